//! Random queries over random events: the compiled query and an interpreter of the JSON agree.

use super::selected;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

/// Whether a query is true of an event, by the words of docs/queries.md.
fn is_true(query: &Value, event: &Value) -> bool {
    let (kind, body) = query.as_object().unwrap().iter().next().unwrap();
    let of_field = || body.as_object().unwrap().iter().next().unwrap();
    let any = |test: &dyn Fn(&Value) -> bool| values(event, of_field().0).iter().any(test);
    match kind.as_str() {
        "match_all" => true,
        "term" => any(&|value| equal(of_field().1, value)),
        "terms" => any(&|value| {
            let list = of_field().1.as_array().unwrap();
            list.iter().any(|one| equal(one, value))
        }),
        "prefix" => any(&|value| text(value).starts_with(of_field().1.as_str().unwrap())),
        "wildcard" => any(&|value| like(of_field().1.as_str().unwrap(), &text(value))),
        "range" => any(&|value| in_range(of_field().1, value)),
        "exists" => stands(event, body["field"].as_str().unwrap()),
        "bool" => boolean(body, event),
        other => panic!("{other} is not drawn"),
    }
}

fn boolean(body: &Value, event: &Value) -> bool {
    let list = |key: &str| body[key].as_array().cloned().unwrap_or_default();
    let holds = |query: &Value| is_true(query, event);
    let must: Vec<Value> = [list("must"), list("filter")].concat();
    let should = list("should");
    let least = match body["minimum_should_match"].as_i64() {
        _ if must.is_empty() && !should.is_empty() => {
            body["minimum_should_match"].as_i64().unwrap_or(1).max(1)
        }
        given => given.unwrap_or(0),
    };
    must.iter().all(holds)
        && should.iter().filter(|query| holds(query)).count() as i64 >= least
        && !list("must_not").iter().any(holds)
}

/// Every value that stands at a path, however it is spelled; the last spelling counts. Of an array its plain elements.
fn values(event: &Value, path: &str) -> Vec<Value> {
    match found(event, path).pop() {
        None | Some(Value::Null | Value::Object(_)) => Vec::new(),
        Some(Value::Array(list)) => {
            let plain = |value: &Value| !(value.is_null() || value.is_array() || value.is_object());
            list.into_iter().filter(plain).collect()
        }
        Some(value) => vec![value],
    }
}

/// Everything that stands at a path, in the order of the document.
fn found(event: &Value, path: &str) -> Vec<Value> {
    let Value::Object(object) = event else {
        return Vec::new();
    };
    let mut all = Vec::new();
    for (key, value) in object {
        if key == path {
            all.push(value.clone());
        } else if let Some(rest) = path
            .strip_prefix(key.as_str())
            .and_then(|rest| rest.strip_prefix('.'))
        {
            all.extend(found(value, rest));
        }
    }
    all
}

/// Whether anything that is not null stands at the path or below it.
fn stands(event: &Value, path: &str) -> bool {
    let Value::Object(object) = event else {
        return false;
    };
    object.iter().any(|(key, value)| {
        let below = key == path || key.starts_with(&format!("{path}."));
        let on_the_way = path
            .strip_prefix(key.as_str())
            .and_then(|rest| rest.strip_prefix('.'));
        below && something(value) || on_the_way.is_some_and(|rest| stands(value, rest))
    })
}

fn something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Array(list) => list.iter().any(something),
        Value::Object(object) => object.values().any(something),
        _ => true,
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

fn equal(wanted: &Value, value: &Value) -> bool {
    match (wanted, value) {
        (Value::String(a), Value::String(b)) => a == b,
        (Value::Bool(_), _) | (_, Value::Bool(_)) => text(wanted) == text(value),
        _ => number(wanted).is_some() && number(wanted) == number(value),
    }
}

fn in_range(range: &Value, value: &Value) -> bool {
    let Some(x) = number(value) else { return false };
    range.as_object().unwrap().iter().all(|(key, bound)| {
        let bound = bound.as_f64().unwrap();
        match key.as_str() {
            "gt" => x > bound,
            "gte" => x >= bound,
            "lt" => x < bound,
            _ => x <= bound,
        }
    })
}

fn like(pattern: &str, text: &str) -> bool {
    match pattern.chars().next() {
        None => text.is_empty(),
        Some('*') => {
            let ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
            let mut ends = ends.collect::<Vec<_>>().into_iter();
            ends.any(|at| like(&pattern[1..], &text[at..]))
        }
        Some(c) => {
            let first = text.chars().next();
            first.is_some_and(|d| c == '?' || c == d)
                && like(
                    &pattern[c.len_utf8()..],
                    &text[first.map_or(0, char::len_utf8)..],
                )
        }
    }
}

fn field() -> impl Strategy<Value = String> {
    select(vec!["a", "b", "a.b", "a.b.c", "b.c", "c"]).prop_map(str::to_owned)
}

fn plain() -> impl Strategy<Value = Value> {
    select(vec![
        json!("x"),
        json!("xy"),
        json!("1"),
        json!("true"),
        json!(""),
        json!(1),
        json!(2.5),
        json!(-3),
        json!(true),
        json!(false),
    ])
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![5 => plain(), 1 => Just(Value::Null)];
    leaf.prop_recursive(4, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            object(inner)
        ]
    })
}

fn object(inner: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    let keys = select(vec!["a", "b", "c", "a.b", "b.c", "a.b.c", "d", "a.d"]);
    prop::collection::vec((keys, inner), 0..5).prop_map(|entries| {
        let entries = entries
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value));
        Value::Object(entries.collect::<Map<String, Value>>())
    })
}

fn query() -> impl Strategy<Value = Value> {
    let pattern = select(vec!["x*", "*y", "?", "*", "t?ue", "1*", "*x*y*", ""]);
    let ends = (
        select(vec!["gt", "gte"]),
        select(vec!["lt", "lte"]),
        -4..4,
        0..4,
        0..3,
    );
    let leaf = prop_oneof![
        (field(), plain()).prop_map(|(f, v)| json!({"term": {f: v}})),
        (field(), prop::collection::vec(plain(), 0..4)).prop_map(|(f, v)| json!({"terms": {f: v}})),
        field().prop_map(|f| json!({"exists": {"field": f}})),
        (field(), pattern).prop_map(|(f, p)| json!({"wildcard": {f: p}})),
        (field(), select(vec!["x", "1", "tr", ""])).prop_map(|(f, p)| json!({"prefix": {f: p}})),
        (field(), ends).prop_map(|(f, (low, high, from, length, which))| {
            let mut range = json!({});
            if which != 1 {
                range[low] = json!(from);
            }
            if which != 2 {
                range[high] = json!(f64::from(from + length) + 0.5);
            }
            json!({"range": {f: range}})
        }),
        Just(json!({"match_all": {}})),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let list = || prop::option::of(prop::collection::vec(inner.clone(), 0..4));
        let least = prop::option::of(0..4);
        (list(), list(), list(), list(), least).prop_map(|(must, filter, should, not, least)| {
            let mut body = json!({});
            let lists = [
                ("must", must),
                ("filter", filter),
                ("should", should),
                ("must_not", not),
            ];
            for (key, list) in lists {
                if let Some(list) = list {
                    body[key] = json!(list);
                }
            }
            if let Some(least) = least {
                body["minimum_should_match"] = json!(least);
            }
            json!({"bool": body})
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn a_compiled_query_selects_what_its_words_say(query in query(), mut events in prop::collection::vec(object(value()), 1..6)) {
        for event in &mut events {
            event["@timestamp"] = json!(1_706_702_400_000_i64);
        }
        let expected: Vec<bool> = events.iter().map(|event| is_true(&query, event)).collect();
        prop_assert_eq!(selected(&query, &events), expected, "{} {:?}", query, events);
    }
}
