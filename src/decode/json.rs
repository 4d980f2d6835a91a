//! One JSON object → the values of the fields that the job names.
//!
//! Wanted values are materialised (text borrowed when it holds no escape), everything else is skipped. Of a path that occurs twice the last
//! value counts. Arrays become lists of their plain elements; what is nested in them, and nulls, are left out, and a list of
//! nothing is missing. The slot of a presence holds `true` when something that is not null stands at its path or below. Checked: tests/decode.rs against serde_json.

use super::orders::{Course, Lead, Orders};
use super::paths::{NodeId, Paths};
use super::scan::{DEPTH_MAX, Flaw, Number, Scanner};
use crate::engine::event::Value;
use std::borrow::Cow;

/// What an object was besides its values.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Extracted {
    /// Bytes read, up to and including the closing brace.
    pub(super) end: usize,
    /// Keys whose value is not an object.
    pub(super) fields: u32,
    /// The time field held an object somewhere.
    pub(super) time_is_object: bool,
}

/// Reads the object at the beginning of `text` into `values`, which are indexed by the slots of `paths`; or says what is wrong
/// with it, and at which byte.
pub(super) fn extract<'p>(
    paths: &Paths,
    orders: &mut Orders,
    time_slot: usize,
    text: &'p str,
    values: &mut [Value<'p>],
) -> Result<Extracted, (Flaw, usize)> {
    let mut walk = Walk {
        paths,
        orders,
        scanner: Scanner::new(text),
        values,
        time_slot,
        time_is_object: false,
    };
    let read = match walk.scanner.peek() {
        Ok(b'{') => walk.object(Paths::ROOT, 1),
        Ok(_) => Err(Flaw::Object),
        Err(flaw) => Err(flaw),
    };
    read.map_err(|flaw| (flaw, walk.scanner.position()))?;
    Ok(Extracted {
        end: walk.scanner.position(),
        fields: walk.scanner.fields,
        time_is_object: walk.time_is_object,
    })
}

struct Walk<'w, 'p> {
    paths: &'w Paths,
    orders: &'w mut Orders,
    scanner: Scanner<'p>,
    values: &'w mut [Value<'p>],
    time_slot: usize,
    time_is_object: bool,
}

impl<'p> Walk<'_, 'p> {
    /// The object here, which is the `depth`th container. Recurses along wanted paths only, hence at most [`DEPTH_MAX`] deep.
    fn object(&mut self, node: NodeId, depth: u32) -> Result<(), Flaw> {
        if depth > DEPTH_MAX {
            return Err(Flaw::TooDeep);
        }
        self.scanner.bump();
        if self.scanner.peek()? == b'}' {
            self.scanner.bump();
            return Ok(());
        }
        let mut course = self.orders.begin(node);
        loop {
            self.scanner.peek()?;
            let rest = self.scanner.rest();
            match self.orders.expected(node, &mut course, rest) {
                Some(key) => {
                    let first = self.scanner.past_key(key.bytes)?;
                    match key.lead {
                        Lead::Slot(slot, _) if first == b'"' => {
                            text(&mut self.scanner, &mut self.values[slot as usize])?;
                        }
                        Lead::Slot(_, node) | Lead::Node(node) => {
                            self.wanted(node, first, depth)?
                        }
                        Lead::Nowhere => self.scanner.skip_value(first, depth)?,
                    }
                }
                None => self.unexpected(node, &mut course, depth)?,
            }
            if !self.scanner.more(b'}', Flaw::ObjectGoesOn)? {
                self.orders.end(node, course);
                return Ok(());
            }
        }
    }

    /// A key that is not the one expected here, and its value.
    #[inline(never)]
    fn unexpected(&mut self, node: NodeId, course: &mut Course, depth: u32) -> Result<(), Flaw> {
        let start = self.scanner.position();
        let key = self.scanner.key()?;
        let first = self.scanner.colon()?;
        let to = self.paths.step(node, &key);
        if to.is_none() && self.paths.watches(node, &key) {
            return self.watched(node, &key, first, depth);
        }
        if let Some(bytes) = self.scanner.plain_key(start, &key) {
            let lead = to.map_or(Lead::Nowhere, |to| match self.paths.plain_slot(to) {
                Some(slot) => Lead::Slot(slot as u32, to),
                None => Lead::Node(to),
            });
            self.orders.met(node, course, bytes, lead);
        }
        match to {
            Some(child) => self.wanted(child, first, depth),
            None => self.scanner.skip_value(first, depth),
        }
    }

    /// The value here, which begins with `first` and whose path is or begins one of the job's.
    #[inline]
    fn wanted(&mut self, node: NodeId, first: u8, depth: u32) -> Result<(), Flaw> {
        if first == b'{' {
            if let Some(slot) = self.paths.slot(node) {
                self.values[slot] = Value::Missing;
                self.time_is_object |= slot == self.time_slot;
            }
            return match self.paths.leads_on(node) {
                true => self.object(node, depth + 1),
                false => self.scanner.skip_value(first, depth),
            };
        }
        if !self.paths.shows(node).is_empty() {
            return self.present(node, first, depth);
        }
        let Some(slot) = self.paths.slot(node) else {
            return self.scanner.skip_value(first, depth);
        };
        if first == b'[' {
            self.values[slot] = self.list(depth + 1)?;
            return Ok(());
        }
        plain(&mut self.scanner, first, &mut self.values[slot])
    }

    /// The same where the value shows presences, and is no object.
    fn present(&mut self, node: NodeId, first: u8, depth: u32) -> Result<(), Flaw> {
        let start = self.scanner.position();
        match (self.paths.slot(node), first) {
            (None, _) => self.scanner.skip_value(first, depth)?,
            (Some(slot), b'[') => self.values[slot] = self.list(depth + 1)?,
            (Some(slot), _) => plain(&mut self.scanner, first, &mut self.values[slot])?,
        }
        if self.scanner.holds_something(start) {
            for &slot in self.paths.shows(node) {
                self.values[slot] = Value::Bool(true);
            }
        }
        Ok(())
    }

    /// The value under a key that nobody names, where it may show presences.
    fn watched(&mut self, node: NodeId, key: &str, first: u8, depth: u32) -> Result<(), Flaw> {
        let start = self.scanner.position();
        self.scanner.skip_value(first, depth)?;
        for slot in self.paths.shown_by_key(node, key) {
            if self.values[slot] == Value::Missing && self.scanner.holds_something(start) {
                self.values[slot] = Value::Bool(true);
            }
        }
        Ok(())
    }

    /// The array here, which is the `depth`th container.
    #[cold]
    fn list(&mut self, depth: u32) -> Result<Value<'p>, Flaw> {
        if depth > DEPTH_MAX {
            return Err(Flaw::TooDeep);
        }
        let mut list = Vec::new();
        self.scanner.bump();
        if self.scanner.peek()? == b']' {
            self.scanner.bump();
            return Ok(Value::Missing);
        }
        loop {
            match self.scanner.peek()? {
                first @ (b'{' | b'[') => self.scanner.skip_value(first, depth)?,
                first => {
                    let mut value = Value::Missing;
                    plain(&mut self.scanner, first, &mut value)?;
                    if !matches!(value, Value::Missing) {
                        list.push(value);
                    }
                }
            }
            if !self.scanner.more(b']', Flaw::ArrayGoesOn)? {
                break;
            }
        }
        Ok(if list.is_empty() {
            Value::Missing
        } else {
            Value::List(list)
        })
    }
}

/// Puts the text here into `to`.
#[inline(always)]
fn text<'p>(scanner: &mut Scanner<'p>, to: &mut Value<'p>) -> Result<(), Flaw> {
    match scanner.string()? {
        Cow::Borrowed(text) => *to = Value::Text(Cow::Borrowed(text)),
        owned => *to = Value::Text(owned),
    }
    Ok(())
}

/// Puts the value here, which begins with `first` and is neither object nor array, into `to`. (Handed back, it would be copied twice, each time
/// in other pieces than it was written in, which costs more than reading it.)
#[inline]
fn plain<'p>(scanner: &mut Scanner<'p>, first: u8, to: &mut Value<'p>) -> Result<(), Flaw> {
    match first {
        b'"' => text(scanner, to)?,
        b't' => {
            scanner.word("true")?;
            *to = Value::Bool(true);
        }
        b'f' => {
            scanner.word("false")?;
            *to = Value::Bool(false);
        }
        b'n' => {
            scanner.word("null")?;
            *to = Value::Missing;
        }
        _ => match scanner.number()? {
            Number::Int(i) => *to = Value::Int(i),
            Number::Float(x) => *to = Value::Float(x),
            Number::Big(digits) => *to = Value::Text(Cow::Borrowed(digits)),
        },
    }
    Ok(())
}
