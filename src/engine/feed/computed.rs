//! Computed fields: copies and concatenations, made event by event.

use crate::config::{Computed, Job, Part};
use crate::engine::event::{Event, Value};
use std::borrow::Cow;
use std::fmt::Write;

/// Makes a job's computed fields.
pub(crate) struct Computer {
    fields: Vec<Computed>,
    /// All missing between events, kept for its memory.
    values: Vec<Value<'static>>,
}

impl Computer {
    /// That of a job; `None` when nothing is computed.
    pub(crate) fn of(job: &Job) -> Option<Computer> {
        let fields = job.feed.computed.clone();
        (!fields.is_empty()).then_some(Computer {
            fields,
            values: Vec::new(),
        })
    }

    /// The event's values with the computed ones in their places. To be given back by [`Computer::recycle`].
    pub(crate) fn values<'e>(&mut self, event: &Event<'e>) -> Vec<Value<'e>> {
        let mut values: Vec<Value<'e>> = std::mem::take(&mut self.values);
        values.extend_from_slice(event.values);
        for computed in &self.fields {
            let made = made_of(&computed.parts, &values, event);
            values[usize::from(computed.field.0)] = made;
        }
        values
    }

    /// Takes the memory back.
    pub(crate) fn recycle(&mut self, mut values: Vec<Value<'_>>) {
        values.clear();
        // Collecting an empty vector's own iterator keeps its memory.
        self.values = values.into_iter().map(|_| Value::Missing).collect();
    }
}

fn made_of<'e>(parts: &[Part], values: &[Value<'e>], event: &Event<'_>) -> Value<'e> {
    if let [Part::Field(field)] = parts {
        return values[usize::from(field.0)].clone();
    }
    let (mut text, mut scratch) = (String::new(), String::new());
    for part in parts {
        match part {
            Part::Text(part) => text.push_str(part),
            Part::Interval(intervals) => {
                // Writing to a string does not fail.
                let _ = write!(text, "{}", intervals.start_ms(event.time.0));
            }
            Part::Field(field) => match values[usize::from(field.0)].text(&mut scratch) {
                Some(part) => text.push_str(part),
                None => return Value::Missing,
            },
        }
    }
    Value::Text(Cow::Owned(text))
}
