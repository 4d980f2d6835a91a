//! What the engine is told: events, and why something was not one.
//!
//! An [`Event`] borrows from the bytes it was decoded from and holds only the fields that the job names, in the order of
//! [`Job::fields`](crate::config::Job). Nothing here allocates for an event of plain values.

pub(crate) mod mark;
pub(crate) mod symbols;

use crate::config::FieldId;
use crate::time::EventTime;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// One event, reduced to the fields that a job names.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// When it happened.
    pub time: EventTime,
    /// One value a field of the job, indexed by [`FieldId`].
    pub values: &'a [Value<'a>],
    /// Size of the raw event, bytes.
    pub raw_bytes: u32,
    /// How many fields the raw event held, time excluded (0 when the decoder did not count).
    pub raw_fields: u32,
}

impl<'a> Event<'a> {
    /// The value of a field; `Missing` when the event lacks it.
    pub fn value(&self, field: FieldId) -> &'a Value<'a> {
        &self.values[field.0 as usize]
    }
}

/// A field's value.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value<'a> {
    /// Absent, null, or an object.
    #[default]
    Missing,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number; finite.
    Float(f64),
    /// Text (also whole numbers beyond 64 bits, digit for digit).
    Text(Cow<'a, str>),
    /// An array's elements that are values; never nested, never empty.
    List(Vec<Value<'a>>),
}

impl Value<'_> {
    /// The number that the value is or spells, finite; of an array, that of its first element.
    pub fn number(&self) -> Option<f64> {
        match self {
            Value::Int(i) => Some(*i as f64),
            Value::Float(x) => Some(*x),
            Value::Text(text) => text.trim().parse().ok().filter(|x: &f64| x.is_finite()),
            Value::List(list) => list.first()?.number(),
            Value::Missing | Value::Bool(_) => None,
        }
    }

    /// The value as text, by which entities are told apart: numbers in their shortest textual form, of an array the first
    /// element. `scratch` is used when the text has to be made.
    pub fn text<'s>(&'s self, scratch: &'s mut String) -> Option<&'s str> {
        use std::fmt::Write;
        match self {
            Value::Text(text) => Some(text),
            Value::Missing => None,
            Value::List(list) => list.first()?.text(scratch),
            Value::Bool(b) => Some(if *b { "true" } else { "false" }),
            Value::Int(i) => {
                scratch.clear();
                push_digits(scratch, *i);
                Some(scratch)
            }
            Value::Float(x) => {
                scratch.clear();
                write!(scratch, "{x}").ok()?;
                Some(scratch)
            }
        }
    }

    /// The elements of an array, or the value itself; nothing when missing.
    pub fn each(&self) -> &[Value<'_>] {
        match self {
            Value::Missing => &[],
            Value::List(list) => list,
            one => std::slice::from_ref(one),
        }
    }
}

/// Appends a whole number as `Display` writes it, without that machinery: status codes and ids are entities of every event.
fn push_digits(to: &mut String, number: i64) {
    let mut digits = [0; 20];
    let (mut at, mut rest) = (digits.len(), number.unsigned_abs());
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        to.push('-');
    }
    to.extend(digits[at..].iter().map(|&digit| char::from(digit)));
}

/// Why something that arrived is not part of the analysis. The label of every counter and dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Reason {
    /// Not JSON, not CSV, not UTF-8, or cut off.
    Malformed,
    /// JSON, but not an object; or a time field that is neither text nor number.
    WrongType,
    /// No value in the time field.
    MissingTime,
    /// A time that does not read as the job's format, or lies outside the years 1 to 9999.
    BadTime,
    /// Nested deeper than is decoded.
    TooDeep,
    /// Longer than is decoded.
    TooLong,
    /// Ahead of its own message's timestamp by more than the allowed skew.
    FarFuture,
    /// Its bucket had been closed.
    Late,
}

impl Reason {
    /// Every reason, in the order of their labels' declaration.
    pub const ALL: [Reason; 8] = [
        Reason::Malformed,
        Reason::WrongType,
        Reason::MissingTime,
        Reason::BadTime,
        Reason::TooDeep,
        Reason::TooLong,
        Reason::FarFuture,
        Reason::Late,
    ];

    /// The label in counters, dead letters and logs.
    pub fn label(self) -> &'static str {
        match self {
            Reason::Malformed => "malformed",
            Reason::WrongType => "wrong_type",
            Reason::MissingTime => "missing_time",
            Reason::BadTime => "bad_time",
            Reason::TooDeep => "too_deep",
            Reason::TooLong => "too_long",
            Reason::FarFuture => "far_future",
            Reason::Late => "late",
        }
    }
}

/// Something that arrived and was not analysed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Why.
    pub reason: Reason,
    /// What exactly, for a person: the offending part and what would have been right. Short; no secrets, no whole payload.
    pub detail: String,
    /// Size of what was refused, bytes.
    pub raw_bytes: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_read_as_numbers_and_as_text() {
        let mut scratch = String::new();
        for (value, number, text) in [
            (Value::Int(200), Some(200.0), Some("200")),
            (Value::Int(0), Some(0.0), Some("0")),
            (Value::Int(-7), Some(-7.0), Some("-7")),
            (
                Value::Int(i64::MIN),
                Some(i64::MIN as f64),
                Some("-9223372036854775808"),
            ),
            (Value::Float(0.5), Some(0.5), Some("0.5")),
            (Value::Text(" 12.5 ".into()), Some(12.5), Some(" 12.5 ")),
            (Value::Text("nan".into()), None, Some("nan")),
            (Value::Bool(true), None, Some("true")),
            (
                Value::List(vec![Value::Int(3), Value::Int(4)]),
                Some(3.0),
                Some("3"),
            ),
            (Value::Missing, None, None),
        ] {
            assert_eq!(
                (value.number(), value.text(&mut scratch)),
                (number, text),
                "{value:?}"
            );
        }
    }
}
