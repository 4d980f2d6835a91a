//! What a user knows of a detector beforehand: rules that hide what it finds, keep it from learning, or move its clock.
//!
//! A rule fits a series in a bucket when all of its scope and all of its conditions do; of several rules each that fits has its say. Filters are
//! the lists of values that scopes speak of. Pure questions, asked by the judge for every series of a detector that has rules.
//! Source: job-config.md 1.4.2, 1.10. Units: times in milliseconds since the epoch, shifts in hours. Checked: the tests below, `tests/rules.rs`.

use crate::time::EventTime;
use std::collections::BTreeSet;
use std::sync::Arc;

/// One of a detector's `custom_rules`.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// What is done where it fits.
    pub actions: Actions,
    /// About whom it is: all of them.
    pub scope: Vec<Scope>,
    /// When it fits: all of them.
    pub conditions: Vec<Condition>,
}

/// What is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Actions {
    /// `skip_result`: nothing is said of the series, and it counts in nothing that is said.
    pub skip_result: bool,
    /// `skip_model_update`: the models do not learn the bucket.
    pub skip_model_update: bool,
    /// `force_time_shift`: days begin so many hours earlier from the first bucket on that the rule fits. 0: none.
    pub shift_hours: i8,
}

/// By which of its fields a detector splits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // named as the properties are
pub enum Split {
    By,
    Over,
    Partition,
}

/// The values that a series stands for; `None` for a field that the detector does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // named as the splits are
pub struct SplitValues<'v> {
    pub by: Option<&'v str>,
    pub over: Option<&'v str>,
    pub partition: Option<&'v str>,
}

impl<'v> SplitValues<'v> {
    /// The value of one field.
    pub fn get(&self, split: Split) -> Option<&'v str> {
        match split {
            Split::By => self.by,
            Split::Over => self.over,
            Split::Partition => self.partition,
        }
    }
}

/// About which values of a split field a rule is.
#[derive(Clone, Debug, PartialEq)]
pub struct Scope {
    /// The field.
    pub split: Split,
    /// The values listed.
    pub filter: Arc<Filter>,
    /// Whether the rule is about the values listed (`include`) or about all others (`exclude`).
    pub include: bool,
}

/// What a condition looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppliesTo {
    /// The bucket's value.
    Actual,
    /// The expected value.
    Typical,
    /// How far apart the two are.
    DiffFromTypical,
    /// The middle of the bucket, in seconds since the epoch.
    Time,
}

/// How a condition compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // named as they are written
pub enum Operator {
    Gt,
    Gte,
    Lt,
    Lte,
}

/// When a rule fits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Condition {
    /// What is looked at.
    pub applies_to: AppliesTo,
    /// How it is compared.
    pub operator: Operator,
    /// With what; finite.
    pub value: f64,
}

/// What a record on the series would say.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Facts {
    /// The bucket's value; `None` when it has none.
    pub actual: Option<f64>,
    /// The expected value; `None` while nothing is expected.
    pub typical: Option<f64>,
}

impl Rule {
    /// Whether the rule is about this series.
    pub fn is_about(&self, values: &SplitValues<'_>) -> bool {
        self.scope.iter().all(|scope| scope.holds(values))
    }

    /// Whether every condition fits. One on a value that there is not, does not.
    pub fn holds(&self, at: EventTime, facts: &Facts) -> bool {
        self.conditions.iter().all(|one| one.fits(at, facts))
    }

    /// Whether the conditions on time fit, whatever the others do.
    pub fn holds_at(&self, at: EventTime) -> bool {
        let on_time = |one: &&Condition| one.applies_to == AppliesTo::Time;
        let mut conditions = self.conditions.iter().filter(on_time);
        conditions.all(|one| one.fits(at, &Facts::default()))
    }
}

impl Scope {
    /// Whether the series is among those meant. A value that is missing is in no list.
    pub fn holds(&self, values: &SplitValues<'_>) -> bool {
        let value = values.get(self.split);
        value.is_some_and(|value| self.filter.contains(value)) == self.include
    }
}

impl Condition {
    fn fits(&self, at: EventTime, facts: &Facts) -> bool {
        let found = match self.applies_to {
            AppliesTo::Actual => facts.actual,
            AppliesTo::Typical => facts.typical,
            AppliesTo::DiffFromTypical => facts
                .actual
                .zip(facts.typical)
                .map(|(actual, typical)| (actual - typical).abs()),
            AppliesTo::Time => Some(at.millis() as f64 / 1000.0),
        };
        found.is_some_and(|found| match self.operator {
            Operator::Gt => found > self.value,
            Operator::Gte => found >= self.value,
            Operator::Lt => found < self.value,
            Operator::Lte => found <= self.value,
        })
    }
}

impl Actions {
    /// The same; the clock is moved only where it `begins`.
    #[must_use]
    pub fn once(self, begins: bool) -> Actions {
        Actions {
            shift_hours: if begins { self.shift_hours } else { 0 },
            ..self
        }
    }

    /// What both do.
    #[must_use]
    pub fn and(self, other: Actions) -> Actions {
        Actions {
            skip_result: self.skip_result | other.skip_result,
            skip_model_update: self.skip_model_update | other.skip_model_update,
            shift_hours: self.shift_hours.saturating_add(other.shift_hours),
        }
    }
}

/// A list of values: exact ones, and such as begin with, end with or hold a text. Elastic's `*` at either end; `\*` is a star itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// `filter_id`.
    pub id: String,
    exact: BTreeSet<String>,
    beginnings: BTreeSet<String>,
    ends: BTreeSet<String>,
    parts: BTreeSet<String>,
}

impl Filter {
    /// The most items of a filter.
    pub const ITEMS_MAX: usize = 10_000;

    /// A filter of these items.
    pub fn new<'i>(id: &str, items: impl IntoIterator<Item = &'i str>) -> Filter {
        let mut filter = Filter {
            id: id.to_owned(),
            ..Filter::default()
        };
        for item in items {
            let (starts_open, rest) = match item.strip_prefix('*') {
                Some(rest) => (true, rest),
                None => (false, item),
            };
            let (ends_open, rest) = match rest.strip_suffix('*') {
                Some(before) if !before.ends_with('\\') => (true, before),
                _ => (false, rest),
            };
            let text = rest.replace("\\*", "*");
            let kind = match (starts_open, ends_open) {
                (false, false) => &mut filter.exact,
                (false, true) => &mut filter.beginnings,
                (true, false) => &mut filter.ends,
                (true, true) => &mut filter.parts,
            };
            kind.insert(text);
        }
        filter
    }

    /// Whether `value` is in it.
    pub fn contains(&self, value: &str) -> bool {
        let cuts = || (0..=value.len()).filter(|&at| value.is_char_boundary(at));
        self.exact.contains(value)
            || !self.beginnings.is_empty()
                && cuts().any(|at| self.beginnings.contains(&value[..at]))
            || !self.ends.is_empty() && cuts().any(|at| self.ends.contains(&value[at..]))
            || self.parts.iter().any(|part| value.contains(part.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_at_either_end_stands_for_any_text_and_behind_a_backslash_for_itself() {
        for (item, inside, outside) in [
            (
                "web-1",
                &["web-1"] as &[&str],
                &["web-10", "Web-1", ""] as &[&str],
            ),
            ("web-*", &["web-", "web-1"], &["web", "my-web-1"]),
            (
                "*.internal",
                &["a.internal", ".internal"],
                &["internal", "a.internal.b"],
            ),
            ("*ü*", &["ü", "güte"], &["u"]),
            ("*", &["", "anything"], &[]),
            ("**", &["", "anything"], &[]),
            ("a*b", &["a*b"], &["ab", "axb"]),
            ("\\*", &["*"], &["", "x"]),
            ("\\*x*", &["*x", "*xy"], &["x", "ax"]),
            ("x\\*", &["x*"], &["x", "xy"]),
        ] {
            let filter = Filter::new("f", [item]);
            for value in inside {
                assert!(filter.contains(value), "{value:?} in {item:?}");
            }
            for value in outside {
                assert!(!filter.contains(value), "{value:?} not in {item:?}");
            }
        }
        assert!(!Filter::new("none", []).contains(""));
    }

    #[test]
    fn a_rule_fits_when_all_of_it_does_and_not_by_what_is_unknown() {
        let filter = Arc::new(Filter::new("f", ["a*"]));
        let scope = |split, include| Scope {
            split,
            filter: filter.clone(),
            include,
        };
        let condition = |applies_to, operator, value| Condition {
            applies_to,
            operator,
            value,
        };
        let rule = Rule {
            actions: Actions::default(),
            scope: vec![scope(Split::By, true), scope(Split::Partition, false)],
            conditions: vec![
                condition(AppliesTo::DiffFromTypical, Operator::Gte, 3.0),
                condition(AppliesTo::Time, Operator::Lt, 10.5),
            ],
        };
        let values = |by, partition| SplitValues {
            by,
            over: None,
            partition,
        };
        assert!(rule.is_about(&values(Some("ab"), Some("b"))));
        assert!(!rule.is_about(&values(Some("ab"), Some("a"))));
        assert!(
            !rule.is_about(&values(None, Some("b"))),
            "no value is in no list"
        );
        assert!(rule.is_about(&values(Some("a"), None)));
        let facts = |actual, typical| Facts { actual, typical };
        assert!(rule.holds(EventTime(10_499), &facts(Some(1.0), Some(4.0))));
        assert!(!rule.holds(EventTime(10_500), &facts(Some(1.0), Some(4.0))));
        assert!(!rule.holds(EventTime(0), &facts(Some(1.0), Some(3.9))));
        assert!(!rule.holds(EventTime(0), &facts(Some(1.0), None)));
        assert!(rule.holds_at(EventTime(0)));
        assert!(!rule.holds_at(EventTime(10_500)));
    }
}
