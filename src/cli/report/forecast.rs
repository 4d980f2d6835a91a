//! A page for a forecast: each series with the last of its history, and how it may go on.
//!
//! The charts, colours and script are those of the report. Bounded: the tracks of all series together ([`Tracks`]), and as many series shown as asked for.

use super::chart::Chart;
use super::page::{SCRIPT, STYLE, logo, policy};
use super::text::{NAME_CHARS_MAX, from_to, shown, title};
use super::time_axis::TimeAxis;
use super::track::Sample;
use super::tracks::{KeyRef, Tracks};
use crate::cli::forecast::name_of;
use crate::cli::output;
use crate::config::Job;
use crate::engine::pipeline::Output;
use crate::engine::result::{Body, Document, ForecastStats, ModelForecast};
use crate::time::{EventTime, Finality};
use anyhow::Context;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

/// History shown, as a multiple of the forecast's duration, and at least so much.
const HISTORY_TIMES: i64 = 2;
const HISTORY_MS_MIN: i64 = 3 * 86_400_000;
/// Labels of time in a chart.
const TICKS: usize = 8;

/// A page in the making.
pub(in crate::cli) struct ForecastPage {
    job: Arc<Job>,
    top: usize,
    tracks: Tracks,
    /// One point of each series that is shown, in order.
    series: Vec<ModelForecast>,
    series_all: usize,
    last: Option<ModelForecast>,
    stats: Option<ForecastStats>,
    out: Box<dyn Write>,
}

fn key_of(point: &ModelForecast) -> KeyRef<'_> {
    KeyRef {
        detector: point.detector_index,
        statistic: point.model_feature,
        partition: point.partition_field_value.as_deref(),
        by: point.by_field_value.as_deref(),
    }
}

impl ForecastPage {
    /// A page with at most `top` series. Its file is opened now. The pipeline that it listens to is to be given the job of [`plotting`](super::plotting).
    pub(in crate::cli) fn open(
        path: &Path,
        job: &Arc<Job>,
        top: usize,
    ) -> anyhow::Result<ForecastPage> {
        Ok(ForecastPage {
            job: Arc::clone(job),
            top,
            tracks: Tracks::default(),
            series: Vec::new(),
            series_all: 0,
            last: None,
            stats: None,
            out: output::open(Some(path)).context("--chart")?,
        })
    }

    /// Takes what the pipeline said while it learnt.
    pub(in crate::cli) fn learn(&mut self, output: &Output) {
        let Output::Result(document) = output else {
            return;
        };
        if let (Body::ModelPlot(plot), Finality::Final) = (&document.body, document.finality)
            && plot.over_field_value.is_none()
        {
            let key = KeyRef {
                detector: plot.detector_index,
                statistic: plot.model_feature,
                partition: plot.partition_field_value.as_deref(),
                by: plot.by_field_value.as_deref(),
            };
            let sample = Sample {
                actual: plot.actual,
                typical: plot.model_median,
                lower: plot.model_lower,
                upper: plot.model_upper,
            };
            self.tracks.push(&key, bucket_of(document), &sample);
        }
    }

    /// Takes a document of the forecast.
    pub(in crate::cli) fn take(&mut self, document: &Document) {
        match &document.body {
            Body::ModelForecast(point) => {
                let is_new = self
                    .last
                    .as_ref()
                    .is_none_or(|last| key_of(last) != key_of(point));
                if is_new {
                    self.series_all += 1;
                    self.last = Some(point.clone());
                    if self.series.len() < self.top {
                        self.series.push(point.clone());
                    }
                }
                if self.series_all > self.top {
                    return;
                }
                let sample = Sample {
                    actual: None,
                    typical: point.forecast_prediction,
                    lower: point.forecast_lower,
                    upper: point.forecast_upper,
                };
                self.tracks
                    .push(&key_of(point), bucket_of(document), &sample);
            }
            Body::ForecastStats(stats) => self.stats = Some(ForecastStats::clone(stats)),
            _ => {}
        }
    }

    /// Writes the page.
    pub(in crate::cli) fn write(mut self) -> anyhow::Result<()> {
        let page = self.page();
        self.out
            .write_all(page.as_bytes())
            .and_then(|()| self.out.flush())
            .context("--chart")
    }

    fn page(&self) -> String {
        let id = shown(&self.job.id, NAME_CHARS_MAX);
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta http-equiv="Content-Security-Policy" content=(policy());
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    meta name="generator" content={ "tidewatch " (env!("CARGO_PKG_VERSION")) };
                    meta name="referrer" content="no-referrer";
                    title { (id) ": forecast" }
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    header {
                        div.top {
                            p.brand { (logo()) "tidewatch forecast" }
                            button #theme type="button" hidden { "Colours: auto" }
                        }
                        h1 title=(title(&self.job.id)) { (id) }
                        @if let Some(stats) = &self.stats {
                            p.range { (from_to(stats.start_ms, stats.end_ms)) " UTC" }
                        }
                    }
                    main { (self.section()) }
                    footer {
                        p {
                            "By tidewatch " (env!("CARGO_PKG_VERSION"))
                            ". Times are UTC. Of the values to come 95 % are expected within the bounds."
                        }
                        @for note in self.notes() { p.note { (note) } }
                    }
                    script { (PreEscaped(SCRIPT)) }
                }
            }
        };
        page.into_string()
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.series_all > self.series.len() {
            notes.push(format!(
                "The first {} of {} series are shown.",
                self.series.len(),
                output::grouped(self.series_all as u64)
            ));
        }
        let messages = self.stats.iter().flat_map(|stats| &stats.forecast_messages);
        notes.extend(messages.map(|message| shown(message, super::text::SENTENCE_CHARS_MAX)));
        notes
    }

    fn section(&self) -> Markup {
        html! {
            section aria-labelledby="series" {
                h2 id="series" { "Series" }
                p.legend {
                    span.key { span."swatch line" {} "value" }
                    span.key { span."swatch dashes" {} "expected" }
                    span.key { span."swatch range" {} "95 % of what was, or is, expected" }
                }
                div.series {
                    @for (place, point) in self.series.iter().enumerate() { (self.figure(place, point)) }
                }
            }
        }
    }

    fn figure(&self, place: usize, point: &ModelForecast) -> Markup {
        let name = name_of(&self.job, point);
        html! {
            figure.card id={ "s" (place + 1) } {
                figcaption { h3 { span title=(title(&name)) { bdi.name { (shown(&name, 2 * NAME_CHARS_MAX)) } } } }
                @match self.chart(point, &name) {
                    Some(drawn) => (drawn),
                    None => p.empty { "Its values were not kept." },
                }
            }
        }
    }

    fn chart(&self, point: &ModelForecast, name: &str) -> Option<Markup> {
        let stats = self.stats.as_ref()?;
        let span_ms = self.job.bucket_span.millis();
        let history = (HISTORY_TIMES * (stats.end_ms - stats.start_ms)).max(HISTORY_MS_MIN);
        let wanted = (stats.start_ms - history).div_euclid(span_ms);
        let to = stats.end_ms.div_euclid(span_ms);
        let readings: Vec<_> = self
            .tracks
            .get(&key_of(point))?
            .readings(wanted, to)
            .collect();
        let from_ms = readings.first()?.first.max(wanted) * span_ms;
        Chart {
            axis: TimeAxis::new(from_ms, stats.end_ms),
            span_ms,
            label: format!(
                "{}: values, and from {} on what is expected with its bounds",
                title(name),
                EventTime(stats.start_ms)
            ),
            readings,
            markers: Vec::new(),
            ticks: TICKS,
        }
        .draw()
    }
}

/// The bucket, counted in spans since the epoch.
fn bucket_of(document: &Document) -> i64 {
    document.time.millis().div_euclid(document.span.millis())
}
