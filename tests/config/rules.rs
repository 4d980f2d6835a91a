//! Reads `rules.txt`: each case's mistakes must be the ones written below it, word for word.

use super::{merge, web, web_with};
use serde_json::{Value, json};
use tidewatch::config::Job;

const TABLE: &str = "tests/config/rules.txt";

#[test]
fn every_rule_has_its_message() {
    let expected = std::fs::read_to_string(TABLE).expect("the table is part of the repository");
    let mut found = String::new();
    let mut cases = 0;
    for line in expected.lines().filter(|line| !line.starts_with("  ")) {
        found.push_str(line);
        found.push('\n');
        if !line.is_empty() && !line.starts_with('#') {
            cases += 1;
            found.push_str(&verdict(&job_of(line)));
        }
    }
    assert!(cases > 100);
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(TABLE, &found).expect("the table can be written");
        return;
    }
    for (at, (found, expected)) in found.lines().zip(expected.lines()).enumerate() {
        assert_eq!(found, expected, "{TABLE}:{}", at + 1);
    }
    assert_eq!(found.lines().count(), expected.lines().count());
}

/// The mistakes, two blanks before each; `ok` when there are none.
fn verdict(job: &Value) -> String {
    match Job::from_value(job) {
        Ok(_) => "  ok\n".to_owned(),
        Err(errors) => errors
            .mistakes()
            .iter()
            .map(|mistake| format!("  {mistake}\n"))
            .collect(),
    }
}

/// The job that a line of the table describes; its head explains the verbs.
fn job_of(line: &str) -> Value {
    let (verb, patch) = line.split_once(' ').expect("a verb and a patch");
    let patch: Value =
        serde_json::from_str(patch).unwrap_or_else(|error| panic!("{line}: {error}"));
    let with_detector = |detector| web_with(json!({"analysis_config": {"detectors": [detector]}}));
    match verb {
        "job" => web_with(patch),
        "analysis" => web_with(json!({ "analysis_config": patch })),
        "detector" => with_detector(patch),
        "rule" => {
            let mut detector = web()["analysis_config"]["detectors"][0].take();
            detector["custom_rules"] = json!([patch]);
            with_detector(detector)
        }
        "messages" => {
            let mut job =
                with_detector(json!({"function": "count", "by_field_name": "mlcategory"}));
            job["analysis_config"]["categorization_field_name"] = json!("message");
            merge(&mut job["analysis_config"], patch);
            job
        }
        "feed" => {
            let mut job = web_with(json!({"datafeed_config": {"indices": ["logs"]}}));
            merge(&mut job["datafeed_config"], patch);
            job
        }
        _ => panic!("{line}: not a verb"),
    }
}
