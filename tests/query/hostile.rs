//! Queries that nobody should send: each is refused by its place, or run within bounds.

use super::{job, selected};
use serde_json::{Value, json};
use tidewatch::config::Job;

fn refusal(query: &Value) -> String {
    match Job::from_value(&job(query)) {
        Ok(_) => panic!("{query} is accepted"),
        Err(errors) => errors.to_string(),
    }
}

#[test]
fn a_clause_that_cannot_be_run_is_named_by_its_path() {
    for (query, message) in [
        (
            json!({"bool": {"filter": [{"match_all": {}}, {"exists": {"field": "a"}}, {"span_first": {}}]}}),
            "datafeed_config.query.bool.filter[2].span_first: not supported yet: this clause (positions of words",
        ),
        (
            json!({"bool": {"must": {"nested": {"path": "a"}}}}),
            "datafeed_config.query.bool.must.nested: not supported yet",
        ),
        (
            json!({"bool": {"must_not": [{"trem": {"a": 1}}]}}),
            "datafeed_config.query.bool.must_not[0].trem: is not a query clause; did you mean \"term\"?",
        ),
        (
            json!({"ids": {"values": ["1"]}}),
            "datafeed_config.query.ids: not supported yet: this clause (messages of a topic have no _id)",
        ),
        (
            json!({"term": {"process.name": {"value": "x", "bost": 1}}}),
            "datafeed_config.query.term[\"process.name\"].bost: unknown field; did you mean \"boost\"?",
        ),
        (
            json!({"term": {"a": {"b": {}}}}),
            "datafeed_config.query.term.a.value: is missing",
        ),
        (
            json!({"terms": {"a": ["x", []]}}),
            "datafeed_config.query.terms.a[1]: must be text, a number or a boolean, not a list",
        ),
        (
            json!({"term": {"a": 1}, "exists": {"field": "b"}}),
            "datafeed_config.query: has a second clause, \"exists\"; put both into bool.filter",
        ),
        (
            json!({"range": {"a": {"gte": "2024-13-01"}}}),
            "datafeed_config.query.range.a.gte: \"2024-13-01\" is not a date",
        ),
        (
            json!({"range": {"a": {"gte": "now", "time_zone": "Europe/Berlin"}}}),
            "time_zone: \"Europe/Berlin\" is not an offset",
        ),
        (
            json!({"query_string": {"query": "a:1 AND (b:2"}}),
            "datafeed_config.query.query_string.query: character 13: found the end; expected ')'",
        ),
        (
            json!({"query_string": {"query": "failed"}}),
            "\"failed\" stands without a field; write FIELD:failed",
        ),
        (
            json!({"query_string": {"query": "a:helo~1"}}),
            "expected no '~'",
        ),
        (json!({}), "datafeed_config.query: is empty"),
        (
            json!([]),
            "datafeed_config.query: must be an object, not a list",
        ),
        (
            json!({"bool": {"should": [{"match_all": {}}], "minimum_should_match": "2<75%"}}),
            "minimum_should_match: \"2<75%\" is not supported",
        ),
    ] {
        let refusal = refusal(&query);
        assert!(refusal.contains(message), "{query}: {refusal}");
    }
}

#[test]
fn depth_width_and_length_have_bounds() {
    let mut deep = json!({"match_all": {}});
    for _ in 0..100 {
        deep = json!({"bool": {"must_not": [deep]}});
    }
    assert!(refusal(&deep).contains("nests deeper than 30 clauses"));
    let deep = format!(
        "{}{{\"match_all\": {{}}}}{}",
        "{\"bool\": {\"must_not\": [".repeat(1000),
        "]}}".repeat(1000)
    );
    let text = job(&json!("here")).to_string().replace("\"here\"", &deep);
    assert!(
        Job::from_text(&text, "q.json").is_err(),
        "too deep for JSON itself"
    );
    let terms = |count: usize| -> Value {
        let terms: Vec<String> = (0..count).map(|n| format!("t{n}")).collect();
        json!({"terms": {"a": terms}})
    };
    assert!(refusal(&terms(100_000)).contains("has 100000 values; at most 65536 are allowed"));
    let events = [
        json!({"@timestamp": 1, "a": "t65535"}),
        json!({"@timestamp": 1, "a": "x"}),
    ];
    assert_eq!(selected(&terms(65_536), &events), [true, false]);
    let wide: Vec<Value> = (0..20_000).map(|_| json!({"match_all": {}})).collect();
    assert!(refusal(&json!({"bool": {"should": wide}})).contains("more than 10000 clauses"));
    let fields: Vec<Value> = (0..2000)
        .map(|n| json!({"term": {format!("f{n}"): 1}}))
        .collect();
    assert!(
        refusal(&json!({"bool": {"should": fields}})).contains("names 2000 fields; at most 1000")
    );
    let huge = json!({"regexp": {"a": "(a{100}){100}{100}"}});
    assert!(refusal(&huge).contains("too large when compiled"));
    let nested = format!("{}a:1{}", "(".repeat(5000), ")".repeat(5000));
    assert!(refusal(&json!({"query_string": {"query": nested}})).contains("nests deeper than 30"));
    let negated = format!("{}a:1", "NOT ".repeat(5000));
    assert!(refusal(&json!({"query_string": {"query": negated}})).contains("nests deeper than 30"));
}

#[test]
fn a_pattern_made_to_take_long_does_not() {
    let value = "a".repeat(20_000);
    let event = [json!({"@timestamp": 1, "a": value})];
    assert_eq!(
        selected(&json!({"wildcard": {"a": "*a*a*a*a*a*a*b"}}), &event),
        [false]
    );
    assert_eq!(
        selected(&json!({"regexp": {"a": "(a+)+b"}}), &event),
        [false]
    );
}
