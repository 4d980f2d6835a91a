//! Differences of counters: an interval's largest value less that of the interval before, entity by entity.
//!
//! What a search does with `terms`, a date histogram, `max`, `derivative` and the positive part, on a stream. Counters are kept until their bucket closes
//! and told then, so the order of events within a bucket does not show. As in a search, an interval after an empty one has no
//! difference. Spread over input partitions an entity would have two beginnings: its events must lie in one (docs/queries.md).
//! Memory: an entity's last interval, for as long as it is the last; and what open buckets hold.

use crate::config::{Counters, FieldId, Job};
use crate::engine::event::{Event, Value};
use crate::time::EventTime;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The counters of a job.
pub(crate) struct Differences {
    plan: Counters,
    /// How many values an event has.
    width: usize,
    entities: BTreeMap<Vec<String>, Entity>,
}

/// One entity's counters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Entity {
    /// The last interval that was told, by its beginning, with its maxima.
    last: Option<(i64, Vec<Option<f64>>)>,
    /// Intervals of open buckets.
    open: BTreeMap<i64, Interval>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Interval {
    events: u64,
    /// By counter.
    maxima: Vec<Option<f64>>,
}

/// An interval of an entity, told as an event.
pub(crate) struct Reading {
    pub(crate) time: EventTime,
    pub(crate) values: Vec<Value<'static>>,
    /// How many events it stands for.
    pub(crate) events: u64,
}

/// What a snapshot holds.
#[derive(Serialize, Deserialize)]
pub(crate) struct State(Vec<(Vec<String>, Entity)>);

impl Differences {
    /// Those of a job; `None` when it analyses events as they are.
    pub(crate) fn of(job: &Job) -> Option<Differences> {
        let plan = job.feed.counters.clone()?;
        Some(Differences {
            plan,
            width: job.fields.len() + job.feed.presences.len(),
            entities: BTreeMap::new(),
        })
    }

    /// Takes an event in; one that lacks a part of its entity is of none.
    pub(crate) fn take(&mut self, event: &Event<'_>) {
        let mut scratch = String::new();
        let parts = self.plan.entity.iter().map(|field| {
            let text = event.value(*field).text(&mut scratch)?;
            (!text.is_empty()).then(|| text.to_owned())
        });
        let Some(key) = parts.collect::<Option<Vec<String>>>() else {
            return;
        };
        let start = self.plan.intervals.start_ms(event.time.0);
        let counters = &self.plan.counters;
        let entity = self.entities.entry(key).or_default();
        let interval = entity.open.entry(start).or_insert_with(|| Interval {
            events: 0,
            maxima: vec![None; counters.len()],
        });
        interval.events += 1;
        for (counter, most) in counters.iter().zip(&mut interval.maxima) {
            if let Some(value) = event.value(counter.source).number() {
                *most = Some(most.map_or(value, |most| most.max(value)));
            }
        }
    }

    /// The intervals that begin before `until`, in the order of entities and time. They are done with.
    pub(crate) fn close_before(&mut self, until: EventTime) -> Vec<Reading> {
        let mut readings = Vec::new();
        let length = self.plan.intervals.ms;
        for (key, entity) in &mut self.entities {
            let later = entity.open.split_off(&until.0);
            for (start, interval) in std::mem::replace(&mut entity.open, later) {
                let before = entity
                    .last
                    .take()
                    .filter(|(last, _)| last + length == start);
                let values = values(&self.plan, self.width, key, &interval, before.as_ref());
                readings.push(Reading {
                    time: EventTime(start),
                    values,
                    events: interval.events,
                });
                entity.last = Some((start, interval.maxima));
            }
        }
        let is_last = |entity: &Entity| {
            entity
                .last
                .as_ref()
                .is_some_and(|(start, _)| start + length >= until.0)
        };
        self.entities
            .retain(|_, entity| !entity.open.is_empty() || is_last(entity));
        readings
    }

    /// The state.
    pub(crate) fn state(&self) -> State {
        let entities = self.entities.iter();
        State(
            entities
                .map(|(key, entity)| (key.clone(), entity.clone()))
                .collect(),
        )
    }

    /// Goes on from a state; `false` when it cannot have been this job's.
    #[must_use]
    pub(crate) fn resume(&mut self, state: State) -> bool {
        let (parts, counters) = (self.plan.entity.len(), self.plan.counters.len());
        let fits = state.0.iter().all(|(key, entity)| {
            let maxima = entity.open.values().map(|interval| interval.maxima.len());
            let last = entity.last.iter().map(|(_, maxima)| maxima.len());
            key.len() == parts && maxima.chain(last).all(|length| length == counters)
        });
        self.entities = state.0.into_iter().collect();
        fits
    }
}

fn values(
    plan: &Counters,
    width: usize,
    key: &[String],
    interval: &Interval,
    before: Option<&(i64, Vec<Option<f64>>)>,
) -> Vec<Value<'static>> {
    let mut values = vec![Value::Missing; width];
    let mut put = |field: FieldId, value| values[usize::from(field.0)] = value;
    for (field, text) in plan.entity.iter().zip(key) {
        put(*field, Value::Text(Cow::Owned(text.clone())));
    }
    for (at, counter) in plan.counters.iter().enumerate() {
        let before = before.and_then(|(_, maxima)| maxima[at]);
        let difference = interval.maxima[at]
            .zip(before)
            .map(|(now, before)| now - before);
        let Some(difference) = difference.filter(|x| x.is_finite()) else {
            continue;
        };
        for field in &counter.differences {
            put(*field, Value::Float(difference));
        }
        for field in &counter.rises {
            put(*field, Value::Float(difference.max(0.0)));
        }
    }
    values
}
