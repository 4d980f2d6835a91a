//! `custom_rules` of a detector: checked in full, then refused as not built yet.
//!
//! Source: job-config.md 1.4.2. An empty list is the same as none.

use super::detector::Names;
use super::object::{Object, shown};
use crate::config::function::{Family, Function};
use serde_json::Value;

/// Checks the detector's rules.
pub(super) fn check(detector: &Object<'_>, function: Function, names: &Names) {
    let Some(rules) = detector.objects("custom_rules").filter(|r| !r.is_empty()) else {
        return;
    };
    for rule in rules {
        check_rule(rule, function, names);
    }
    detector.unsupported("custom_rules", "custom rules");
}

fn check_rule(rule: Object<'_>, function: Function, names: &Names) {
    let shifts = check_actions(&rule);
    let scoped = check_scope(&rule, names);
    let conditions = rule.objects("conditions").unwrap_or_default();
    if !scoped && conditions.is_empty() {
        rule.wrong_here("needs a scope or a condition");
    }
    for condition in conditions {
        check_condition(condition, function);
    }
    let amount = rule.object("params").and_then(|params| {
        let shift = params.object("force_time_shift").map(|shift| {
            let range = i64::MIN..=i64::MAX;
            if shift.integer("time_shift_amount", range).is_none()
                && !shift.has("time_shift_amount")
            {
                shift.wrong("time_shift_amount", "is missing; whole seconds");
            }
            shift.finish();
        });
        params.finish();
        shift
    });
    match (shifts, amount) {
        (true, None) => rule.wrong("params", "force_time_shift needs its time_shift_amount"),
        (false, Some(())) => rule.wrong("params", "force_time_shift is not among the actions"),
        _ => {}
    }
    rule.finish();
}

/// Whether the rule shifts time.
fn check_actions(rule: &Object<'_>) -> bool {
    const ACTIONS: [&str; 3] = ["skip_result", "skip_model_update", "force_time_shift"];
    let mut shifts = false;
    for (path, action) in rule.texts("actions").unwrap_or_default() {
        shifts |= action == "force_time_shift";
        one_of(rule, path, action, &ACTIONS);
    }
    shifts
}

fn one_of(object: &Object<'_>, path: String, word: &str, known: &[&str]) {
    if !known.iter().any(|known| known.eq_ignore_ascii_case(word)) {
        let message = format!("{} is not one of {}", shown(word), known.join(", "));
        object.wrong_at(path, message);
    }
}

/// Whether the rule has a scope that is not empty.
fn check_scope(rule: &Object<'_>, names: &Names) -> bool {
    let Some(scope) = rule.free("scope") else {
        return false;
    };
    for (field, filter) in scope {
        let path = super::object::join(&rule.path_of("scope"), field);
        if !names.splits().any(|(_, name)| name == field) {
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
        check_filter(rule, path, filter);
    }
    !scope.is_empty()
}

fn check_filter<'a>(rule: &Object<'a>, path: String, filter: &'a Value) {
    let Some(filter) = rule.object_at(path, filter) else {
        return;
    };
    match filter.text("filter_id") {
        Some(id) => {
            if let Err(error) = crate::config::id::check(id) {
                filter.wrong("filter_id", error.to_string());
            }
        }
        None if !filter.has("filter_id") => filter.wrong("filter_id", "is missing"),
        None => {}
    }
    if let Some(word) = filter.text("filter_type") {
        one_of(
            &filter,
            filter.path_of("filter_type"),
            word,
            &["include", "exclude"],
        );
    }
    filter.finish();
}

fn check_condition(condition: Object<'_>, function: Function) {
    let words = [
        (
            "applies_to",
            &["actual", "typical", "diff_from_typical", "time"] as &[&str],
        ),
        ("operator", &["gt", "gte", "lt", "lte"]),
    ];
    for (key, known) in words {
        match condition.text(key) {
            Some(word) => one_of(&condition, condition.path_of(key), word, known),
            None if !condition.has(key) => {
                condition.wrong(key, format!("is missing; one of {}", known.join(", ")));
            }
            None => {}
        }
    }
    match condition.value("value") {
        Some(Value::Number(_)) => {}
        _ => condition.wrong("value", "must be a number"),
    }
    use Family::{FreqRare, LatLong, Metric, Rare};
    let timeless = condition.text("applies_to").is_some_and(|w| w != "time");
    if timeless && matches!(function.family, LatLong | Metric | Rare | FreqRare) {
        let message = format!("only \"time\" can be tested with {:?}", function.name());
        condition.wrong("applies_to", message);
    }
    condition.finish();
}
