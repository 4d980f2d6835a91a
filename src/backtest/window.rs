//! A stretch of time in which something is known to have been wrong, and what a record has to do with it.

use super::heard::Names;
use super::iso_8601;
use crate::time::EventTime;
use serde::Serialize;
use std::collections::BTreeMap;

/// A label: from `start` up to, not including, `end` an alert is right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Window {
    /// When it began.
    #[serde(serialize_with = "iso_8601")]
    pub start: EventTime,
    /// When it was over, exclusive; after `start`.
    #[serde(serialize_with = "iso_8601")]
    pub end: EventTime,
    /// Where: field → value. Empty: everywhere.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub entity: BTreeMap<String, String>,
    /// Values that are known to be the cause, whatever their field; of those a good first alert names one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<String>,
    /// For a person.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub label: String,
}

/// What a record in a window's time says about the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bearing {
    /// It names every entity of the window (of a window without entities: it is there).
    Finds,
    /// It speaks of the window's entity fields, but names others.
    NamesAnother,
    /// It says nothing about them.
    Silent,
}

impl Window {
    /// Whether a bucket overlaps the window's time.
    pub fn overlaps(&self, start: EventTime, end: EventTime) -> bool {
        start < self.end && self.start < end
    }

    /// What somebody who names these fields and values says about the window.
    pub fn bearing(&self, series: &Names, influencers: &Names) -> Bearing {
        let named = || series.iter().chain(influencers.iter());
        let names = |field: &str, value: &str| named().any(|(f, v)| f == field && v == value);
        if self.entity.iter().all(|(field, value)| names(field, value)) {
            return Bearing::Finds;
        }
        match named().any(|(field, _)| self.entity.contains_key(field)) {
            true => Bearing::NamesAnother,
            false => Bearing::Silent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_finds_names_another_or_says_nothing() {
        let everywhere = Window {
            start: EventTime(0),
            end: EventTime(1),
            entity: BTreeMap::new(),
            metrics: Vec::new(),
            label: String::new(),
        };
        let window = Window {
            entity: BTreeMap::from([("host".to_owned(), "a".to_owned())]),
            ..everywhere.clone()
        };
        let names = |pairs: &[(&str, &str)]| {
            let own = |(f, v): &(&str, &str)| (f.to_string(), v.to_string());
            Names::new(pairs.iter().map(own).collect())
        };
        let nobody = names(&[]);
        for (series, influencers, bearing) in [
            (names(&[("host", "a")]), nobody.clone(), Bearing::Finds),
            (
                nobody.clone(),
                names(&[("host", "b"), ("host", "a")]),
                Bearing::Finds,
            ),
            (
                names(&[("host", "b")]),
                nobody.clone(),
                Bearing::NamesAnother,
            ),
            (names(&[("user", "a")]), nobody.clone(), Bearing::Silent),
        ] {
            assert_eq!(
                window.bearing(&series, &influencers),
                bearing,
                "{series:?} {influencers:?}"
            );
        }
        assert_eq!(
            everywhere.bearing(&nobody, &nobody),
            Bearing::Finds,
            "a window without entities is found by anybody"
        );
    }
}
