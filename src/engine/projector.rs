//! In a gatherer's place where gathering does not merge: events of one input partition in, the same events as plain data out, to be gathered in
//! one place ([`ordered`](super::ordered)).
//!
//! A projector asks the job's query, refuses what a gatherer would refuse, and says the watermark before the event that moved it. It keeps nothing of
//! an event, so its state is the watermark. Holds: what leaves, put through a gatherer in this order, is gathered as if it had come there in the first
//! place; what is refused is counted with what leaves next. Checked: tests/engine/ordered.rs, tests/categories_of_several.rs.

use super::bucket::Frontier;
use super::event::{Event, Rejection, Value};
use super::feed::{Computer, Selector};
use super::gatherer::{Input, Weight, refusal, weight_of};
use super::result::DataCounts;
use super::snapshot::{self, Door, Frozen, RestoreError, Snapshot};
use crate::config::Job;
use crate::time::{BucketStart, EventTime};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// An event with the fields that its job names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProjectedEvent {
    time: EventTime,
    raw_bytes: u32,
    raw_fields: u32,
    values: Vec<ProjectedValue>,
}

/// As [`Value`], of text that is its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum ProjectedValue {
    One(Scalar),
    /// Never empty.
    List(Vec<Scalar>),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Scalar {
    Missing,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
}

/// Events in the order in which they came, and what has been refused since the last ones.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EventBatch {
    /// The events.
    pub events: Vec<ProjectedEvent>,
    /// Of those that are not among them.
    pub refused: DataCounts,
}

impl Scalar {
    fn of(value: &Value<'_>) -> Scalar {
        match value {
            Value::Bool(bool) => Scalar::Bool(*bool),
            Value::Int(int) => Scalar::Int(*int),
            Value::Float(float) => Scalar::Float(*float),
            Value::Text(text) => Scalar::Text(text.to_string()),
            Value::Missing | Value::List(_) => Scalar::Missing, // a list in a list is none of ours
        }
    }

    fn value(&self) -> Value<'_> {
        match self {
            Scalar::Missing => Value::Missing,
            Scalar::Bool(bool) => Value::Bool(*bool),
            Scalar::Int(int) => Value::Int(*int),
            Scalar::Float(float) => Value::Float(*float),
            Scalar::Text(text) => Value::Text(text.as_str().into()),
        }
    }

    fn is_sound(&self) -> bool {
        !matches!(self, Scalar::Float(float) if !float.is_finite())
    }
}

impl ProjectedEvent {
    /// The event as plain data.
    pub fn of(event: &Event<'_>) -> ProjectedEvent {
        let values = event.values.iter().map(|value| match value {
            Value::List(list) => ProjectedValue::List(list.iter().map(Scalar::of).collect()),
            one => ProjectedValue::One(Scalar::of(one)),
        });
        ProjectedEvent {
            time: event.time,
            raw_bytes: event.raw_bytes,
            raw_fields: event.raw_fields,
            values: values.collect(),
        }
    }

    /// Hands the event to `take` as it was.
    pub fn with_event<T>(&self, take: impl FnOnce(&Event<'_>) -> T) -> T {
        let values: Vec<Value<'_>> = self
            .values
            .iter()
            .map(|value| match value {
                ProjectedValue::One(one) => one.value(),
                ProjectedValue::List(list) => Value::List(list.iter().map(Scalar::value).collect()),
            })
            .collect();
        take(&Event {
            time: self.time,
            values: &values,
            raw_bytes: self.raw_bytes,
            raw_fields: self.raw_fields,
        })
    }

    /// About how many bytes it takes on the wire.
    pub fn bytes(&self) -> usize {
        let scalar = |one: &Scalar| match one {
            Scalar::Text(text) => 3 + text.len(),
            _ => 6,
        };
        let values = self.values.iter().map(|value| match value {
            ProjectedValue::One(one) => scalar(one),
            ProjectedValue::List(list) => 3 + list.iter().map(scalar).sum::<usize>(),
        });
        16 + values.sum::<usize>()
    }

    /// Whether an event from outside can be one of the job's.
    fn fits(&self, job: &Job) -> bool {
        let is_sound = |value: &ProjectedValue| match value {
            ProjectedValue::One(one) => one.is_sound(),
            ProjectedValue::List(list) => !list.is_empty() && list.iter().all(Scalar::is_sound),
        };
        let least = job.fields.len() + job.feed.presences.len();
        self.values.len() >= least && self.values.iter().all(is_sound)
    }
}

impl EventBatch {
    /// Whether all of it can be of the job.
    pub(super) fn fits(&self, job: &Job) -> bool {
        self.events.iter().all(|event| event.fits(job))
    }
}

/// Everything a projector can say.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// An event of the job.
    Event(ProjectedEvent),
    /// To be counted, with what leaves next.
    Refused(DataCounts),
    /// The event just handed over came too late.
    Rejected(Rejection),
    /// No event of a bucket before this instant will follow, but such as may re-open a result; strictly grows.
    Watermark(BucketStart),
}

/// Events of one input partition → the events that its job wants.
pub struct Projector {
    job: Arc<Job>,
    frontier: Frontier,
    computer: Option<Computer>,
    selector: Option<Selector>,
    /// Events that the query did not want, since this projector was made.
    passed_over: u64,
}

impl Projector {
    /// A projector that has seen nothing.
    pub fn new(job: Arc<Job>) -> Projector {
        Projector {
            frontier: Frontier::new(job.bucket_span, job.lateness),
            computer: Computer::of(&job),
            selector: Selector::of(&job),
            passed_over: 0,
            job,
        }
    }

    /// Takes one input, says what follows from it. There are no open buckets to be flushed.
    #[must_use]
    pub fn handle(&mut self, input: Input<'_>) -> Vec<Output> {
        match input {
            Input::Event(event) => self.event(event),
            Input::Rejected(rejection) => {
                let mut counts = DataCounts {
                    input_bytes: u64::from(rejection.raw_bytes),
                    ..DataCounts::default()
                };
                counts.rejected[rejection.reason as usize] += 1;
                vec![Output::Refused(counts)]
            }
            Input::Advance(time) => {
                let time = time.clamp(EventTime::MIN, EventTime::MAX);
                let until = self.frontier.raise(time);
                until.map(Output::Watermark).into_iter().collect()
            }
            Input::Flush(_) => Vec::new(),
        }
    }

    fn event(&mut self, event: &Event<'_>) -> Vec<Output> {
        let is_wanted = self.is_wanted(event);
        self.passed_over += u64::from(!is_wanted);
        let is_timed = !is_wanted
            || matches!(
                weight_of(&self.job, event),
                Weight::Events(_) | Weight::Null
            );
        let in_calendar = (EventTime::MIN..=EventTime::MAX).contains(&event.time);
        let is_in_time = in_calendar && !self.frontier.is_late(event.time);
        let mut outputs = Vec::new();
        if is_timed && is_in_time {
            outputs.extend(self.frontier.observe(event.time).map(Output::Watermark));
        }
        if !is_wanted {
            return outputs;
        }
        if is_timed && !is_in_time && !(in_calendar && self.is_revisable(event.time)) {
            let (rejection, counts) = refusal(&self.job, &self.frontier, event, in_calendar);
            return vec![Output::Refused(counts), Output::Rejected(rejection)];
        }
        outputs.push(Output::Event(ProjectedEvent::of(event)));
        outputs
    }

    fn is_wanted(&mut self, event: &Event<'_>) -> bool {
        let Some(selector) = &self.selector else {
            return true;
        };
        let Some(computer) = &mut self.computer else {
            return selector.wants(event);
        };
        let values = computer.values(event);
        let is_wanted = selector.wants(&Event {
            values: &values,
            ..*event
        });
        computer.recycle(values);
        is_wanted
    }

    /// Whether the place that gathers may still take it, to re-open a result: it is no further than this input.
    fn is_revisable(&self, time: EventTime) -> bool {
        let window_ms = self.job.late_revision_buckets() * self.job.bucket_span.millis();
        let start = self.job.bucket_span.bucket_of(time);
        self.frontier
            .closed_until()
            .is_some_and(|until| start.millis() >= until.millis().saturating_sub(window_ms))
    }

    /// The largest event time seen minus the allowed lateness; `None` before the first event.
    pub fn watermark(&self) -> Option<EventTime> {
        self.frontier.watermark()
    }

    /// How many events the job's query has passed over since this projector was made or restored.
    pub fn passed_over(&self) -> u64 {
        self.passed_over
    }

    /// The state; to be written while the projector goes on.
    pub fn freeze(&self) -> Frozen {
        let watermark: Option<EventTime> = self.watermark();
        Frozen::new(Door::Projector, self.job.fingerprint, watermark)
    }

    /// The state as bytes.
    pub fn snapshot(&self) -> Snapshot {
        self.freeze().seal()
    }

    /// A projector that goes on exactly where the snapshot was taken.
    pub fn restore(job: Arc<Job>, snapshot: &Snapshot) -> Result<Projector, RestoreError> {
        let watermark: Option<EventTime> =
            snapshot::open(snapshot.as_bytes(), Door::Projector, job.fingerprint)?;
        let mut projector = Projector::new(job);
        projector.frontier = projector.frontier.resume(watermark);
        Ok(projector)
    }
}
