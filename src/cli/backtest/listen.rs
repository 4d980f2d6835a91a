//! What a job says about the events, run here.

use super::super::feed::{Ending, Source, Tally};
use super::super::findings::Finding;
use super::super::interrupt::Interrupt;
use super::super::progress::Progress;
use super::super::report::{self, Reading, Report};
use crate::backtest::{Coverage, Heard, Series, Window};
use crate::config::Job;
use crate::decode::Item;
use crate::engine::event::Event;
use crate::engine::gatherer::Input;
use crate::engine::pipeline::{Output, Pipeline};
use crate::engine::result::DocumentKind;
use crate::time::{BucketSpan, EventTime, Finality};
use anyhow::{Context, bail};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IsTerminal};
use std::sync::Arc;

/// What a run of a job has shown.
pub(super) struct Ran {
    pub(super) heard: Heard,
    pub(super) coverage: Option<Coverage>,
    /// Entities of labels that no event named.
    pub(super) unseen: Unseen,
    /// How much was read.
    pub(super) reading: Reading,
}

/// Label fields with those of their values that no event has named yet.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Unseen {
    values: BTreeMap<String, BTreeSet<String>>,
}

impl Unseen {
    /// Everything that labels name.
    pub(super) fn new(windows: &[Window]) -> Unseen {
        let mut values: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (field, value) in windows.iter().flat_map(|window| &window.entity) {
            values
                .entry(field.clone())
                .or_default()
                .insert(value.clone());
        }
        Unseen { values }
    }

    /// Whether a window names somebody who was never there.
    pub(super) fn holds(&self, window: &Window) -> bool {
        let unseen = |(field, value): (&String, &String)| {
            let values = self.values.get(field);
            values.is_some_and(|values| values.contains(value))
        };
        window.entity.iter().any(unseen)
    }

    fn look(&mut self, event: &Event<'_>, slots: &[(usize, String)], scratch: &mut String) {
        for (slot, field) in slots {
            let Some(unseen) = self.values.get_mut(field).filter(|left| !left.is_empty()) else {
                continue;
            };
            for value in event.values[*slot].each() {
                if let Some(text) = value.text(scratch) {
                    unseen.remove(text);
                }
            }
        }
    }
}

/// Adds a document to what was heard, if it is a final record.
pub(super) fn hear(heard: &mut Heard, document: &Value) -> anyhow::Result<()> {
    if document["result_type"] != "record" || document["is_interim"] == true {
        return Ok(());
    }
    let finding = Finding::from_record(document)
        .context("a record without timestamp, bucket_span or record_score")?;
    let is_time = (EventTime::MIN.0..=EventTime::MAX.0).contains(&finding.start_ms);
    if !is_time || BucketSpan::from_seconds(finding.span_ms / 1000).is_none() {
        bail!("a record whose timestamp (milliseconds) or bucket_span (seconds) cannot be");
    }
    if !(0.0..=100.0).contains(&finding.initial_score) {
        bail!(
            "a record with a score of {}; expected 0 to 100",
            finding.initial_score
        );
    }
    let series = Series {
        detector: finding.detector,
        what: finding.what,
        fields: finding.series,
    };
    heard.add(
        series,
        EventTime(finding.start_ms),
        EventTime(finding.start_ms + finding.span_ms),
        finding.initial_score,
        finding.influencers,
    );
    Ok(())
}

/// Runs a job over the events; `None` when Ctrl-C came first. `from`: what comes before it is not counted in the coverage. `report`
/// is told everything that the job says.
pub(super) fn run_job(
    job: Arc<Job>,
    source: &Source,
    interrupt: &Interrupt,
    windows: &[Window],
    from: Option<EventTime>,
    report: Option<&mut Report>,
) -> anyhow::Result<Option<Ran>> {
    let reader = source.open(&job)?;
    let progress = Progress::new(reader.bytes_total());
    let slots = job.fields.iter().cloned().enumerate();
    let mut listener = Listener {
        slots: slots.collect(),
        span: job.bucket_span,
        pipeline: Pipeline::new(match report {
            Some(_) => report::plotting(&job),
            None => Arc::clone(&job),
        }),
        report,
        heard: Heard::default(),
        coverage: None,
        unseen: Unseen::new(windows),
        from,
        tally: Tally::default(),
        scratch: String::new(),
    };
    listener
        .slots
        .retain(|(_, field)| listener.unseen.values.contains_key(field));
    let ending = source.read(&job, reader, interrupt, &progress, &mut |item| {
        listener.take(item)
    })?;
    match ending {
        Ending::Whole => listener.flush()?,
        Ending::Interrupted => return Ok(None),
        // Half a history measured would pass for a whole one.
        Ending::Broken(error) => return Err(error.into()),
    }
    listener.tally.pass_over(listener.pipeline.passed_over());
    if io::stderr().is_terminal() || !listener.tally.rejected.is_empty() {
        eprintln!("tidewatch: {}", listener.tally.summary(&progress));
    }
    Ok(Some(Ran {
        heard: listener.heard.settled(),
        coverage: listener.coverage,
        unseen: listener.unseen,
        reading: Reading {
            events: listener.tally.events,
            rejected: listener.tally.rejected.values().sum(),
            is_cut: false,
        },
    }))
}

/// A pipeline, and what is kept of what it says.
struct Listener<'a> {
    pipeline: Pipeline,
    report: Option<&'a mut Report>,
    span: BucketSpan,
    heard: Heard,
    coverage: Option<Coverage>,
    unseen: Unseen,
    /// Fields that labels name, by their place in an event.
    slots: Vec<(usize, String)>,
    from: Option<EventTime>,
    tally: Tally,
    scratch: String,
}

impl Listener<'_> {
    fn take(&mut self, item: Item<'_>) -> anyhow::Result<()> {
        let outputs = match item {
            Item::Event { event, .. } => {
                self.tally.events += 1;
                self.unseen.look(event, &self.slots, &mut self.scratch);
                self.pipeline.handle(Input::Event(event))
            }
            Item::Rejected { rejection, .. } => {
                *self.tally.rejected.entry(rejection.reason).or_default() += 1;
                self.pipeline.handle(Input::Rejected(&rejection))
            }
        };
        self.carry(outputs)
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        let outputs = self.pipeline.handle(Input::Flush(Finality::Final));
        self.carry(outputs)
    }

    fn carry(&mut self, outputs: Vec<Output>) -> anyhow::Result<()> {
        for output in outputs {
            if let Some(report) = &mut self.report {
                report.take(&output);
            }
            match output {
                Output::Rejected(rejection) => {
                    self.tally.events -= 1;
                    *self.tally.rejected.entry(rejection.reason).or_default() += 1;
                }
                Output::Result(document) if document.kind == DocumentKind::Record => {
                    hear(&mut self.heard, &serde_json::to_value(document)?)?;
                }
                Output::Closed(bucket) if bucket.finality == Finality::Final => {
                    self.tally.buckets += 1;
                    if self.from.is_none_or(|from| bucket.start.time() >= from) {
                        Coverage::extend(
                            &mut self.coverage,
                            bucket.start,
                            self.span,
                            bucket.series,
                        );
                    }
                }
                Output::Result(_)
                | Output::Retract(_)
                | Output::Closed(_)
                | Output::Revised(_)
                | Output::Late { .. } => {}
            }
        }
        Ok(())
    }
}
