//! `custom_rules` of a detector, as written.
//!
//! Source: job-config.md 1.4.2. An empty list is the same as none. Elastic moves a clock "when the rule is first met"; here that is the first
//! bucket that fits the rule's conditions on time, so such a rule has one, and none on values. Models know hours, so a shift is whole hours.
//! Checked: `tests/config.rs`.

use super::detector::Names;
use super::filters::RawFilter;
use super::object::{Object, join, shown};
use crate::config::function::{Family, Function};
use crate::config::rules::{Actions, AppliesTo, Condition, Operator, Rule, Scope, Split};
use serde_json::{Map, Number, Value, json};
use std::collections::BTreeMap;

const HOUR_SECONDS: i64 = 3600;
/// A clock is moved by no more than a day.
const SHIFT_SECONDS_MAX: i64 = 24 * HOUR_SECONDS;
/// Rules of one detector, scopes and conditions of one rule.
const RULES_MAX: usize = 1000;

const ACTIONS: [&str; 3] = ["skip_result", "skip_model_update", "force_time_shift"];
const SUBJECTS: [(&str, AppliesTo); 4] = [
    ("actual", AppliesTo::Actual),
    ("typical", AppliesTo::Typical),
    ("diff_from_typical", AppliesTo::DiffFromTypical),
    ("time", AppliesTo::Time),
];
const OPERATORS: [(&str, Operator); 4] = [
    ("gt", Operator::Gt),
    ("gte", Operator::Gte),
    ("lt", Operator::Lt),
    ("lte", Operator::Lte),
];

/// A rule as written, defaults filled in.
pub(super) struct RawRule {
    actions: Actions,
    /// As written, for responses.
    shift_seconds: Option<i64>,
    scope: Vec<RawScope>,
    conditions: Vec<RawCondition>,
}

/// One field of a rule's scope.
struct RawScope {
    /// Where the filter's name stands.
    path: String,
    field: String,
    split: Split,
    filter_id: String,
    include: bool,
}

struct RawCondition {
    words: (&'static str, &'static str),
    meaning: (AppliesTo, Operator),
    value: Number,
}

/// Reads the detector's rules.
pub(super) fn read(detector: &Object<'_>, function: Function, names: &Names) -> Vec<RawRule> {
    let rules = detector.objects("custom_rules").unwrap_or_default();
    if rules.len() > RULES_MAX {
        let message = format!("has {} rules; at most {RULES_MAX} are allowed", rules.len());
        detector.wrong("custom_rules", message);
        return Vec::new();
    }
    let rules = rules.into_iter();
    rules.map(|rule| read_rule(rule, function, names)).collect()
}

fn read_rule(rule: Object<'_>, function: Function, names: &Names) -> RawRule {
    let (mut actions, shifts) = read_actions(&rule);
    let written = rule.free("scope");
    let is_scoped = written.is_some_and(|scope| !scope.is_empty());
    let scope = written.map_or_else(Vec::new, |scope| read_scope(&rule, scope, names));
    let written = rule.objects("conditions").unwrap_or_default();
    if !is_scoped && written.is_empty() {
        rule.wrong_here("needs a scope or a condition");
    }
    let many = written.len();
    let conditions: Vec<RawCondition> = written
        .into_iter()
        .filter_map(|condition| read_condition(condition, function))
        .collect();
    let shift_seconds = read_shift(&rule);
    match (shifts, rule.has("params")) {
        (true, false) => rule.wrong("params", "force_time_shift needs its time_shift_amount"),
        (false, true) => rule.wrong("params", "force_time_shift is not among the actions"),
        (true, true) if function.family.is_habit() => {
            let name = function.name();
            let message = format!(
                "force_time_shift has no meaning for {name:?}: it knows no hours of a model that could move"
            );
            rule.wrong("actions", message);
        }
        (true, true) if conditions.len() == many => check_when(&rule, &conditions),
        _ => {}
    }
    rule.finish();
    // Days begin earlier when the model's clock goes ahead.
    actions.shift_hours = (-shift_seconds.unwrap_or(0) / HOUR_SECONDS) as i8; // within a day, just checked
    RawRule {
        actions,
        shift_seconds,
        scope,
        conditions,
    }
}

/// A clock is moved once: in a bucket that can be told from its time.
fn check_when(rule: &Object<'_>, conditions: &[RawCondition]) {
    let on_time = |one: &&RawCondition| one.meaning.0 == AppliesTo::Time;
    let begins = |one: &RawCondition| matches!(one.meaning.1, Operator::Gt | Operator::Gte);
    if !conditions.iter().filter(on_time).any(begins) {
        let message = "force_time_shift needs one on \"time\" with \"gt\" or \"gte\": the clock is moved once, in the first bucket that fits";
        rule.wrong("conditions", message);
    } else if !conditions.iter().all(|one| on_time(&one)) {
        let message = "force_time_shift goes with conditions on \"time\" only; put the others in a rule of their own";
        rule.wrong("conditions", message);
    }
}

/// What is done, and whether the clock is moved besides.
fn read_actions(rule: &Object<'_>) -> (Actions, bool) {
    let (mut actions, mut shifts) = (Actions::default(), false);
    let written = rule.texts("actions").unwrap_or_default();
    actions.skip_result = written.is_empty();
    for (path, action) in written {
        match one_of(rule, path, action, &ACTIONS) {
            Some(0) => actions.skip_result = true,
            Some(1) => actions.skip_model_update = true,
            Some(_) => shifts = true,
            None => {}
        }
    }
    (actions, shifts)
}

/// Which of the known words it is, in upper or lower case; otherwise noted.
fn one_of(object: &Object<'_>, path: String, word: &str, known: &[&str]) -> Option<usize> {
    let found = known.iter().position(|one| one.eq_ignore_ascii_case(word));
    if found.is_none() {
        let message = format!("{} is not one of {}", shown(word), known.join(", "));
        object.wrong_at(path, message);
    }
    found
}

fn read_shift(rule: &Object<'_>) -> Option<i64> {
    let params = rule.object("params")?;
    let shift = params.object("force_time_shift");
    if shift.is_none() && !params.has("force_time_shift") {
        params.wrong("force_time_shift", "is missing");
    }
    let amount = shift.and_then(|shift| {
        const KEY: &str = "time_shift_amount";
        let amount = shift.integer(KEY, -SHIFT_SECONDS_MAX..=SHIFT_SECONDS_MAX);
        if !shift.has(KEY) {
            shift.wrong(KEY, "is missing; whole seconds");
        }
        check_hours(&shift, KEY, amount);
        shift.finish();
        amount
    });
    params.finish();
    amount
}

/// Models know the hours of the day and of the week.
pub(super) fn check_hours(object: &Object<'_>, key: &str, seconds: Option<i64>) {
    if let Some(seconds) = seconds.filter(|seconds| seconds % HOUR_SECONDS != 0) {
        let message =
            format!("{seconds} is not a number of whole hours (3600 each), which models know");
        object.wrong(key, message);
    }
}

fn read_scope<'a>(
    rule: &Object<'a>,
    scope: &'a Map<String, Value>,
    names: &Names,
) -> Vec<RawScope> {
    let mut read = Vec::new();
    for (field, filter) in scope {
        let path = join(&rule.path_of("scope"), field);
        let split = names.splits().find(|(_, name)| name == field);
        if split.is_none() {
            let valid: Vec<&str> = names.splits().map(|(_, name)| name).collect();
            let hint = match valid.is_empty() {
                true => "the detector has no such field".to_owned(),
                false => format!("valid here: {}", valid.join(", ")),
            };
            rule.wrong_at(
                path.clone(),
                format!("a scope is about a by, over or partition field; {hint}"),
            );
        }
        let filter = read_filter(rule, path, filter);
        let (Some((key, _)), Some((path, filter_id, include))) = (split, filter) else {
            continue;
        };
        read.push(RawScope {
            path,
            field: field.clone(),
            split: match key {
                "by_field_name" => Split::By,
                "over_field_name" => Split::Over,
                _ => Split::Partition,
            },
            filter_id,
            include,
        });
    }
    read
}

/// Where its filter's name stands, the name, and whether the rule is about what is in it.
fn read_filter<'a>(
    rule: &Object<'a>,
    path: String,
    filter: &'a Value,
) -> Option<(String, String, bool)> {
    let filter = rule.object_at(path, filter)?;
    let id = filter.text("filter_id");
    match id {
        Some(id) => {
            if let Err(error) = crate::config::id::check(id) {
                filter.wrong("filter_id", error.to_string());
            }
        }
        None if !filter.has("filter_id") => filter.wrong("filter_id", "is missing"),
        None => {}
    }
    let kind = filter.text("filter_type").and_then(|word| {
        let path = filter.path_of("filter_type");
        one_of(&filter, path, word, &["include", "exclude"])
    });
    let path = filter.path_of("filter_id");
    filter.finish();
    Some((path, id?.to_owned(), kind != Some(1)))
}

fn read_condition(condition: Object<'_>, function: Function) -> Option<RawCondition> {
    let word = |key: &'static str, known: &[&'static str]| match condition.text(key) {
        Some(word) => one_of(&condition, condition.path_of(key), word, known),
        None if !condition.has(key) => {
            condition.wrong(key, format!("is missing; one of {}", known.join(", ")));
            None
        }
        None => None,
    };
    let subject = word("applies_to", &SUBJECTS.map(|(word, _)| word)).map(|at| SUBJECTS[at]);
    let operator = word("operator", &OPERATORS.map(|(word, _)| word)).map(|at| OPERATORS[at]);
    let value = match condition.value("value") {
        Some(Value::Number(number)) => Some(number.clone()),
        _ => {
            condition.wrong("value", "must be a number");
            None
        }
    };
    use Family::{FreqRare, LatLong, Metric, Rare};
    let timeless = subject.is_some_and(|(_, subject)| subject != AppliesTo::Time);
    if timeless && matches!(function.family, LatLong | Metric | Rare | FreqRare) {
        let message = format!("only \"time\" can be tested with {:?}", function.name());
        condition.wrong("applies_to", message);
    }
    condition.finish();
    let ((subject, applies_to), (operator, how)) = (subject?, operator?);
    Some(RawCondition {
        words: (subject, operator),
        meaning: (applies_to, how),
        value: value?,
    })
}

impl RawRule {
    /// The filters it speaks of: where, and which.
    pub(super) fn filters(&self) -> impl Iterator<Item = (&str, &str)> {
        let scope = self.scope.iter();
        scope.map(|one| (one.path.as_str(), one.filter_id.as_str()))
    }

    /// What it means; every filter is known.
    pub(super) fn build(&self, filters: &BTreeMap<String, RawFilter>) -> Rule {
        let scope = |one: &RawScope| Scope {
            split: one.split,
            filter: filters[&one.filter_id].filter.clone(),
            include: one.include,
        };
        let condition = |one: &RawCondition| Condition {
            applies_to: one.meaning.0,
            operator: one.meaning.1,
            value: one.value.as_f64().unwrap_or_default(),
        };
        Rule {
            actions: self.actions,
            scope: self.scope.iter().map(scope).collect(),
            conditions: self.conditions.iter().map(condition).collect(),
        }
    }

    /// As a response shows it.
    pub(super) fn render(&self) -> Value {
        let done = [
            self.actions.skip_result,
            self.actions.skip_model_update,
            self.shift_seconds.is_some(),
        ];
        let actions: Vec<&str> = ACTIONS
            .into_iter()
            .zip(done)
            .filter_map(|(word, done)| done.then_some(word))
            .collect();
        let mut document = json!({ "actions": actions });
        let scope = |one: &RawScope| {
            let kind = if one.include { "include" } else { "exclude" };
            let filter = json!({"filter_id": one.filter_id, "filter_type": kind});
            (one.field.clone(), filter)
        };
        if !self.scope.is_empty() {
            document["scope"] = Value::Object(self.scope.iter().map(scope).collect());
        }
        let condition = |one: &RawCondition| json!({"applies_to": one.words.0, "operator": one.words.1, "value": one.value});
        if !self.conditions.is_empty() {
            document["conditions"] = self.conditions.iter().map(condition).collect();
        }
        if let Some(seconds) = self.shift_seconds {
            document["params"] = json!({"force_time_shift": {"time_shift_amount": seconds}});
        }
        document
    }
}
