//! Listens to what a pipeline says, and keeps as much of it as a page can show.
//!
//! Charts need the values and bounds of every bucket, which a job says only when it asks for `model_plot`. A pipeline for a report is therefore
//! given [`plotting`]'s job, which asks for all of them; [`is_asked_for`] tells which the job itself wanted, so that nothing but the page shows
//! the difference. Results do not depend on it (checked by tests/report.rs). Kept in memory: what `Findings`, `Timeline` and `Tracks` say, each of them bounded.

use super::timeline::Timeline;
use super::track::Sample;
use super::tracks::{KeyRef, Tracks};
use crate::cli::findings::Findings;
use crate::config::{Family, Job, ModelPlot as PlotConfig};
use crate::engine::pipeline::Output;
use crate::engine::result::{Body, Document, ModelPlot, Record};
use crate::time::Finality;
use std::sync::Arc;

/// The records that are kept at most, some 500 bytes each.
const RECORDS_MAX: usize = 20_000;
/// The buckets of influencers that are kept at most, some 20 bytes each.
const INFLUENCER_BUCKETS_MAX: usize = 200_000;

/// The job with a model plot of every series: same results, same fingerprint, more documents. Of members of a population no page draws any, so there are
/// those that the job asks for itself.
pub(in crate::cli) fn plotting(job: &Arc<Job>) -> Arc<Job> {
    let mut job = Job::clone(job);
    let members = job.model_plot.is_some();
    job.model_plot = Some(PlotConfig {
        terms: None,
        members,
    });
    Arc::new(job)
}

/// Whether `job` says `document` by itself, without [`plotting`].
pub(super) fn is_asked_for(job: &Job, document: &Document) -> bool {
    let Body::ModelPlot(plot) = &document.body else {
        return true;
    };
    let asked = job.model_plot.as_ref();
    asked.is_some_and(|asked| {
        asked.includes(
            [
                &plot.by_field_value,
                &plot.over_field_value,
                &plot.partition_field_value,
            ]
            .map(|value| value.as_deref()),
        )
    })
}

/// What a page is made of.
pub(super) struct Collector {
    pub(super) job: Arc<Job>,
    pub(super) findings: Findings,
    pub(super) timeline: Timeline,
    pub(super) tracks: Tracks,
    pub(super) buckets: u64,
    pub(super) series: u64,
}

impl Collector {
    /// One that has heard nothing; what scores less than `score_min` is no anomaly to it.
    pub(super) fn new(job: Arc<Job>, score_min: f64) -> Collector {
        Collector {
            findings: Findings::new(score_min),
            timeline: Timeline::new(job.bucket_span.millis()),
            tracks: Tracks::default(),
            buckets: 0,
            series: 0,
            job,
        }
    }

    /// Takes one thing that the pipeline said; of buckets that are still open, nothing.
    pub(super) fn take(&mut self, output: &Output) {
        match output {
            Output::Result(document) if document.finality == Finality::Final => {
                self.take_document(document)
            }
            Output::Closed(summary) if summary.finality == Finality::Final => {
                self.buckets += 1;
                self.series = self.series.max(summary.series);
            }
            _ => {}
        }
    }

    fn take_document(&mut self, document: &Document) {
        let bucket = document.time.millis() / document.span.millis(); // a multiple of it
        match &document.body {
            Body::Bucket(one) => {
                let start_ms = document.time.millis();
                self.timeline
                    .add(start_ms, one.anomaly_score, one.event_count);
            }
            Body::Record(record) => {
                if record.record_score >= self.findings.score_min().0 {
                    let key = key_of_record(record);
                    self.tracks.mark(&key, bucket, record.record_score);
                }
                self.find(document);
            }
            Body::Influencer(_) => self.find(document),
            // A track goes on in time: what late events change of it is not drawn.
            Body::ModelPlot(_) if document.late.is_some() => {}
            Body::ModelPlot(plot) if plot.over_field_value.is_some() => {}
            Body::ModelPlot(plot) => {
                let sample = Sample {
                    actual: plot.actual,
                    typical: plot.model_median,
                    lower: plot.model_lower,
                    upper: plot.model_upper,
                };
                let key = key_of_plot(&self.job, plot);
                self.tracks.push(&key, bucket, &sample);
            }
            Body::BucketInfluencer(_)
            | Body::Annotation(_)
            | Body::ModelSizeStats(_)
            | Body::DataCounts(_)
            | Body::Category(_)
            | Body::CategorizerStats(_)
            | Body::ModelForecast(_)
            | Body::ForecastStats(_) => {}
        }
    }

    fn find(&mut self, document: &Document) {
        let document = serde_json::to_value(document).expect("documents are plain data");
        self.findings.add(&document);
        self.findings
            .keep_at_most(RECORDS_MAX, INFLUENCER_BUCKETS_MAX);
    }
}

fn key_of_record(record: &Record) -> KeyRef<'_> {
    KeyRef {
        detector: record.detector_index,
        statistic: record.function_description,
        partition: record.partition_field_value.as_deref(),
        by: record.by_field_value.as_deref(),
    }
}

fn key_of_plot<'a>(job: &Job, plot: &'a ModelPlot) -> KeyRef<'a> {
    let function = job.detectors[usize::from(plot.detector_index)].function;
    // `metric` is three statistics in one, and a plot names its own in its feature only (functions.md 2.7).
    let statistic = match (function.family, plot.model_feature) {
        (Family::Metric, "'minimum value by person'") => "min",
        (Family::Metric, "'maximum value by person'") => "max",
        _ => function.description(),
    };
    KeyRef {
        detector: plot.detector_index,
        statistic,
        partition: plot.partition_field_value.as_deref(),
        by: plot.by_field_value.as_deref(),
    }
}
