//! Times against chrono: random instants written by it must read as themselves.

use crate::support::{decode, job, words};
use chrono::{DateTime, FixedOffset};
use proptest::prelude::*;
use tidewatch::config::{Job, TimeFormat};
use tidewatch::time::EventTime;

/// A time format, and how chrono writes it. The last letter says what the text leaves out: seconds or milliseconds, nothing.
const FORMATS: &[(&str, &str, i64)] = &[
    ("auto", "%Y-%m-%dT%H:%M:%S%.3fZ", 1),
    ("auto", "%Y-%m-%d %H:%M:%S%.9f", 1),
    ("auto", "%Y-%m-%dT%H:%M:%S", 1000),
    ("auto", "%Y-%m-%d %H:%M", 60_000),
    ("auto", "%Y-%m-%d", 86_400_000),
    ("yyyy-MM-dd HH:mm:ss", "%Y-%m-%d %H:%M:%S", 1000),
    ("yyyy-MM-dd'T'HH:mm:ss.SSS'Z'", "%Y-%m-%dT%H:%M:%S%.3fZ", 1),
    ("uuuuMMddHHmmssSSS", "%Y%m%d%H%M%S%3f", 1),
    ("dd/MMM/yyyy:HH:mm:ss", "%d/%b/%Y:%H:%M:%S", 1000),
    (
        "EEEE, d. MMMM yyyy h:mm:ss a",
        "%A, %-d. %B %Y %-I:%M:%S %p",
        1000,
    ),
    ("yyyy DDD HH", "%Y %j %H", 3_600_000),
    ("M/d/yyyy H:m:s.SSSSSS", "%-m/%-d/%Y %-H:%-M:%S%.6f", 1),
];

const ZONED: &[(&str, &str)] = &[
    ("auto", "%Y-%m-%dT%H:%M:%S%.3f%:z"),
    ("auto", "%Y-%m-%d %H:%M:%S%.3f %z"),
    ("yyyy-MM-dd HH:mm:ss.SSS XXX", "%Y-%m-%d %H:%M:%S%.3f %:z"),
    ("dd/MMM/yyyy:HH:mm:ss.SSS Z", "%d/%b/%Y:%H:%M:%S%.3f %z"),
    ("yyyy-MM-dd HH:mm:ss.SSS VV", "%Y-%m-%d %H:%M:%S%.3f UTC%:z"),
];

fn job_of(format: &str) -> Job {
    let format = match format {
        "auto" => TimeFormat::Auto,
        "epoch" => TimeFormat::Epoch,
        pattern => TimeFormat::Pattern(pattern.into()),
    };
    job("time", format, &[])
}

fn read(format: &str, text: &str) -> Vec<String> {
    let payload = serde_json::json!({ "time": text }).to_string();
    words(&decode(&job_of(format), payload.as_bytes(), None))
}

proptest! {
    #[test]
    fn what_chrono_writes_reads_as_itself(ms in EventTime::MIN.0..=EventTime::MAX.0, offset_minutes in -17 * 60..17 * 60) {
        let utc = DateTime::from_timestamp_millis(ms).unwrap();
        for (format, written, unit_ms) in FORMATS {
            let text = utc.format(written).to_string();
            let expected = ms.div_euclid(*unit_ms) * unit_ms;
            prop_assert_eq!(read(format, &text), [expected.to_string()], "{} {}", format, text);
        }
        let there = utc.with_timezone(&FixedOffset::east_opt(offset_minutes * 60).unwrap());
        if (1..=9999).contains(&chrono::Datelike::year(&there)) {
            for (format, written) in ZONED {
                let text = there.format(written).to_string();
                prop_assert_eq!(read(format, &text), [ms.to_string()], "{} {}", format, text);
            }
        }
    }

    #[test]
    fn a_decimal_epoch_is_never_off_by_a_millisecond(ms in EventTime::MIN.0..=EventTime::MAX.0) {
        let text = format!("{}.{:03}", ms.div_euclid(1000), ms.rem_euclid(1000));
        prop_assume!(ms >= 0);
        prop_assert_eq!(read("epoch", &text), [ms.to_string()]);
        let number = format!("{{\"time\":{text}}}");
        prop_assert_eq!(words(&decode(&job_of("epoch"), number.as_bytes(), None)), [ms.to_string()]);
    }

    #[test]
    fn no_text_and_no_pattern_panics(pattern in "[yuMdDHhKkamsSnNXxZzVEeG '\\[\\]./:-]{0,12}", text in "[0-9A-Za-z :+.,é-]{0,20}") {
        for format in ["auto", "epoch", &pattern, &format!("yyyyMMdd{pattern}")] {
            prop_assert_eq!(read(format, &text).len(), 1);
        }
    }
}

/// `config` validates patterns and `decode` compiles them: what the one accepts the other must read.
#[test]
fn every_pattern_that_a_job_may_have_compiles() {
    for letter in ('a'..='z').chain('A'..='Z') {
        for count in 1..=20 {
            let letters = letter.to_string().repeat(count);
            let pattern = format!("yyyy-MM-dd {letters} a");
            let text = format!(
                r#"{{"analysis_config": {{"bucket_span": "5m", "detectors": [{{"function": "count"}}]}},
                    "data_description": {{"time_format": "{pattern}"}}}}"#
            );
            if Job::from_text(&text, "j.json").is_ok() {
                let compiled = tidewatch::decode::Pattern::new(&pattern);
                assert!(compiled.is_ok(), "{pattern}: {compiled:?}");
            }
        }
    }
}
