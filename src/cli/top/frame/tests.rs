//! What a frame looks like, and what it never does.

use super::super::look::{Bucket, Memory};
use super::*;
use proptest::prelude::*;

const PLAIN: Style = Style {
    width: 100,
    color: false,
    top: usize::MAX,
};
/// 2026-03-09T15:04:05Z
const NOW_MS: i64 = 1_773_068_645_000;

fn view() -> View {
    let facts = Facts {
        version: "0.1.0".to_owned(),
        timestamp_ms: NOW_MS,
        live: true,
        ready: true,
        resident_bytes: Some(150.0 * 1024.0 * 1024.0),
    };
    let bucket = Bucket {
        timestamp_ms: NOW_MS - 245_000,
        anomaly_score: 93.4,
        event_count: 1204,
    };
    let web = JobView {
        id: "web".to_owned(),
        state: "live".to_owned(),
        instances: 1,
        lag_messages: 1234,
        lag_is_whole: true,
        watermark_ms: Some(NOW_MS - 15_000),
        delay_ms: Some(15_250),
        events_per_second: Some(1204.4),
        memory: Memory {
            model_bytes: 12_900_000,
            limit_bytes: 64 << 20,
            status: "ok".to_owned(),
            series: 4321,
        },
        last_bucket: Some(bucket),
        error: None,
    };
    let shop = JobView {
        id: "shop".to_owned(),
        state: "failed".to_owned(),
        error: Some("topic \"orders\" does not exist".to_owned()),
        lag_is_whole: false,
        memory: Memory {
            limit_bytes: 64 << 20,
            ..Memory::default()
        },
        ..JobView::default()
    };
    let hot = Entity {
        name: "host.name=web-03".to_owned(),
        job: "web".to_owned(),
        score: 93.4,
        function: "mean".to_owned(),
        timestamp_ms: NOW_MS - 245_000,
        actual: Some(1204.0),
        typical: Some(296.0),
        records: 2,
    };
    View {
        instances: vec![
            Instance {
                url: "http://a:9600".to_owned(),
                facts: Ok(facts),
            },
            Instance {
                url: "http://b:9600".to_owned(),
                facts: Err("connection refused".to_owned()),
            },
        ],
        jobs: vec![shop, web],
        hottest: vec![hot],
    }
}

fn at(width: usize, height: Option<usize>) -> Vec<String> {
    frame(&view(), Size { width, height }, PLAIN)
}

#[test]
fn a_wide_frame_has_everything() {
    assert_eq!(
        at(140, None).join("\n"),
        "tidewatch top  1 of 2 instances, 2 jobs  2026-03-09 15:04:05  q quits\n\
         http://a:9600  ready  150 MiB resident  0.1.0\n\
         http://b:9600  no answer: connection refused\n\
         \n\
         JOB   STATE     LAG  EVENTS/S  DELAY  WATERMARK                        MEMORY  SERIES  LAST BUCKET       SCORE  ON\n\
         shop  failed      -         -      -  -                           - of 64 MiB       -  -                     -   0\n  \
         topic \"orders\" does not exist\n\
         web   live    1,234     1,204    15s  2026-03-09 15:03:50  12.3 MiB of 64 MiB   4,321  2026-03-09 15:00     93   1\n\
         \n\
         HOTTEST, of each job's last 12 buckets\n 93 critical   host.name=web-03  web  mean  2026-03-09 15:00  1,204 against 296 (4.1x)"
    );
}

#[test]
fn a_narrow_frame_keeps_job_state_and_lag() {
    let lines = at(40, None);
    assert_eq!(lines[4], "JOB   STATE     LAG  EVENTS/S  DELAY");
    assert_eq!(lines[7], "web   live    1,234     1,204    15s");
    assert_eq!(at(24, None)[4], "JOB   STATE     LAG");
}

#[test]
fn a_low_terminal_shows_the_beginning_of_each_part() {
    let lines = at(100, Some(9));
    assert!(lines.len() <= 9, "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains("… and more jobs")));
}

#[test]
fn before_the_first_answer_there_is_a_frame_too() {
    let size = Size {
        width: 80,
        height: Some(24),
    };
    let lines = frame(&View::default(), size, PLAIN);
    assert_eq!(
        lines,
        ["tidewatch top  asking, 0 jobs  q quits", "", "no jobs"]
    );
}

#[test]
fn an_event_time_ahead_of_the_clock_and_one_of_years_ago_are_told() {
    assert_eq!(delay(-61_000), "-1m1s");
    assert_eq!(delay(250), "0s");
    assert_eq!(delay(400 * 86_400_000 + 3_600_000), "400d1h");
}

#[test]
fn wide_characters_are_cut_by_columns() {
    assert_eq!(fit("東京の雨", 5), "東京…");
    assert_eq!(fit("東京の雨", 4), "東…");
    assert_eq!(fit("ab", 2), "ab");
    assert_eq!(fit("ab", 1), "…");
    assert_eq!(fit("ab", 0), "");
}

/// The text without its colours, which are the only commands in it.
fn without_colours(line: &str) -> String {
    let mut rest = line;
    let mut text = String::new();
    while let Some((before, after)) = rest.split_once("\x1b[") {
        text.push_str(before);
        let end = after.find('m').unwrap_or(0);
        assert!(after[..end].chars().all(|c| c.is_ascii_digit() || c == ';'));
        rest = &after[end + 1..];
    }
    text + rest
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn nothing_that_is_said_commands_the_terminal_or_leaves_its_lines(
        text in "(\\PC|\\p{Cc}|\u{202e}|東){0,60}", width in 40_usize..200, height in 5_usize..60, color: bool, count in 1_usize..40,
        ms in prop_oneof![Just(i64::MIN), Just(i64::MAX), any::<i64>()],
    ) {
        let mut view = view();
        let style = Style { color, ..PLAIN };
        let long = text.repeat(5);
        view.instances[0].url = text.clone();
        view.instances[1].facts = Err(long.clone());
        for job in &mut view.jobs {
            job.id = text.clone();
            job.state = text.clone();
            job.error = Some(long.clone());
            job.lag_messages = u64::MAX;
            (job.watermark_ms, job.delay_ms) = (Some(ms), Some(ms));
            if let Some(bucket) = &mut job.last_bucket {
                bucket.timestamp_ms = ms;
            }
        }
        if let Ok(facts) = &mut view.instances[0].facts {
            facts.timestamp_ms = ms;
        }
        view.hottest[0].timestamp_ms = ms;
        let [a, b] = [view.jobs[0].clone(), view.jobs[1].clone()];
        view.jobs = (0..count).flat_map(|_| [a.clone(), b.clone()]).collect();
        view.hottest[0].name = text.clone();
        view.hottest[0].function = long;
        let lines = frame(&view, Size { width, height: Some(height) }, style);
        prop_assert!(lines.len() <= height);
        for line in lines {
            let plain = without_colours(&line);
            prop_assert!(!plain.contains(|c| harmless(c) != c), "{line:?}");
            prop_assert!(columns(&plain) <= width, "{} of {width}: {plain:?}", columns(&plain));
        }
    }
}
