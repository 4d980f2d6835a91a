//! `semantics.txt`: a query, then events that it selects (`+`) and such that it does not (`-`).

use super::selected;
use serde_json::{Value, json};

const TABLE: &str = "tests/query/semantics.txt";

#[test]
fn each_clause_selects_what_it_says() {
    let table = std::fs::read_to_string(TABLE).expect("the table is part of the repository");
    let (mut query, mut cases) = (json!({"match_all": {}}), 0);
    for (at, line) in table.lines().enumerate() {
        let place = format!("{TABLE}:{}", at + 1);
        let parse = |text: &str| -> Value {
            serde_json::from_str(text).unwrap_or_else(|error| panic!("{place}: {error}"))
        };
        let (sign, rest) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
        match sign {
            "" | "#" | "##" => {}
            "query" => query = parse(rest),
            "+" | "-" => {
                let mut event = parse(rest);
                let fields = event.as_object_mut().expect("an event is an object");
                fields
                    .entry("@timestamp")
                    .or_insert(json!("2024-01-31T12:00:00Z"));
                let found = selected(&query, std::slice::from_ref(&event));
                assert_eq!(found, [sign == "+"], "{place}: {query} and {event}");
                cases += 1;
            }
            other => panic!("{place}: {other:?} is neither query nor + nor -"),
        }
    }
    assert!(cases > 150, "{cases} cases");
}
