//! Tables that name their columns in directives: Zeek's logs, and what web servers write in W3C's extended format.

use crate::reader::read_pieces;
use crate::support::{Outcome, job, words};
use serde_json::{Value, json};
use tidewatch::config::{Job, TimeFormat};
use tidewatch::decode::{Options, survey};

const ZEEK: &str = "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tconn\n#open\t2026-03-02-00-00-00\n#fields\tts\tid.orig_h\tservice\torig_bytes\n#types\ttime\taddr\tstring\tcount\n1772409600.250000\t10.0.0.1\tdns\t62\n1772409601.500000\t10.0.0.2\t-\t-\n1772409602.0\t10.0.0.2\n#close\t2026-03-02-01-00-00\n";
const IIS: &str = "#Software: Microsoft Internet Information Services 10.0\r\n#Version: 1.0\r\n#Date: 2026-03-02 00:00:00\r\n#Fields: date time cs-method cs-uri-stem c-ip\r\n2026-03-02 00:00:01 GET /a 10.0.0.1\r\n#Fields: date time c-ip cs-method time-taken\r\n2026-03-02 00:00:02 10.0.0.9 POST 31\r\n";

fn read(job: &Job, text: &str) -> Vec<Outcome> {
    let whole = read_pieces(job, text.as_bytes(), 1 << 20, Options::default()).unwrap();
    let bytewise = read_pieces(job, text.as_bytes(), 1, Options::default()).unwrap();
    assert_eq!(words(&bytewise.0), words(&whole.0), "however bytes arrive");
    whole.0
}

fn values(outcome: &Outcome) -> &[Value] {
    &outcome.as_ref().expect("an event").1
}

fn surveyed(text: &str) -> Vec<String> {
    let mut events = Vec::new();
    survey(text.as_bytes(), Options::default(), &mut |fields| {
        let names = fields.iter().map(|(name, _)| name.as_str());
        events.push(names.collect::<Vec<_>>().join(" "));
    });
    events
}

#[test]
fn a_zeek_log_names_its_columns_above_them() {
    let job = job(
        "ts",
        TimeFormat::Epoch,
        &["id.orig_h", "service", "orig_bytes"],
    );
    let found = read(&job, ZEEK);
    assert_eq!(
        words(&found),
        ["1772409600250", "1772409601500", "malformed"]
    );
    assert_eq!(
        values(&found[0])[..3],
        [json!("10.0.0.1"), json!("dns"), json!("62")]
    );
    assert_eq!(
        values(&found[1])[..3],
        [json!("10.0.0.2"), Value::Null, Value::Null]
    );
    let detail = &found[2].as_ref().unwrap_err().detail;
    assert!(detail.contains("2 columns; expected 4"), "{detail}");
    assert_eq!(
        surveyed(ZEEK),
        ["ts id.orig_h service orig_bytes", "ts id.orig_h"]
    );
}

#[test]
fn a_date_and_a_time_of_day_are_one_time_and_columns_may_change() {
    // Whatever the job calls its time, and says of its format.
    for (time, format) in [
        ("@timestamp", TimeFormat::Auto),
        ("time", TimeFormat::Epoch),
    ] {
        let job = job(time, format, &["c-ip", "time-taken"]);
        let found = read(&job, IIS);
        assert_eq!(words(&found), ["1772409601000", "1772409602000"]);
        assert_eq!(values(&found[0])[..2], [json!("10.0.0.1"), Value::Null]);
        assert_eq!(values(&found[1])[..2], [json!("10.0.0.9"), json!("31")]);
    }
    let cloudfront = "#Version: 1.0\n#Fields: date time x-edge-location sc-bytes\n2026-03-02\t00:00:01\tFRA 50\t702\n";
    let job = job("@timestamp", TimeFormat::Auto, &["x-edge-location"]);
    let found = read(&job, cloudfront);
    assert_eq!(values(&found[0])[0], json!("FRA 50"));
    assert_eq!(
        surveyed(cloudfront),
        ["x-edge-location sc-bytes @timestamp"]
    );
}
