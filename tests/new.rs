//! `tidewatch new` on samples of its own: what it proposes is a job that runs, and is about what the sample holds.

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tidewatch::config::{Input, Job, LineLayout};

fn tidewatch(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tidewatch"))
        .args(arguments)
        .output()
        .expect("the program starts")
}

struct Proposed {
    job: Job,
    file: PathBuf,
    sample: PathBuf,
    table: String,
    _folder: tempfile::TempDir,
}

/// What is proposed for a sample, which must be a job that `validate` and `detect` take.
fn propose(name: &str, sample: &str) -> Proposed {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, path) = (folder.path().join("job.yaml"), folder.path().join(name));
    std::fs::write(&path, sample).expect("the sample can be written");
    let proposed = tidewatch(&["new", text(&path), "-o", text(&file)]);
    let table = String::from_utf8_lossy(&proposed.stderr).into_owned();
    assert!(proposed.status.success(), "{table}");
    let valid = tidewatch(&["validate", text(&file)]);
    assert!(
        valid.status.success(),
        "{}",
        String::from_utf8_lossy(&valid.stdout)
    );
    let detected = tidewatch(&["detect", text(&file), text(&path), "--format", "table"]);
    let said = String::from_utf8_lossy(&detected.stderr);
    assert!(detected.status.success(), "{said}");
    let job = Job::from_file(&file).unwrap_or_else(|errors| panic!("{errors}"));
    Proposed {
        job,
        file,
        sample: path,
        table,
        _folder: folder,
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a readable path")
}

impl Proposed {
    fn detectors(&self) -> Vec<&str> {
        self.job
            .detectors
            .iter()
            .map(|one| one.description.as_str())
            .collect()
    }

    fn influencers(&self) -> Vec<&str> {
        let names = self.job.influencers.iter();
        names.map(|id| self.job.field_name(*id)).collect()
    }

    fn time(&self) -> (&str, Option<&str>) {
        let format = self.job.document["data_description"]["time_format"].as_str();
        (&self.job.time_field, format)
    }
}

/// Spreads whole numbers as a hash does.
fn mix(n: u64) -> u64 {
    let n = (n ^ (n >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    n ^ (n >> 29)
}

/// A web shop: services, hosts with an id beside the name, users, latencies, request ids, a message, a byte counter.
fn shop() -> String {
    let mut lines = String::new();
    let mut sent = [0u64; 6];
    for n in 0..12_000u64 {
        let draw = |salt: u64| mix(n * 131 + salt);
        let host = (draw(1) % 6) as usize;
        sent[host] += 500 + draw(2) % 5000;
        let service = ["shop", "search", "pay"][(draw(4) % 3) as usize];
        let event = json!({
            "@timestamp": tidewatch::time::EventTime(1_706_702_400_000 + (n * 5000 + draw(3) % 5000) as i64).to_string(),
            "ecs": {"version": "8.0"},
            "service": {"name": service},
            "host": {"name": format!("web-{host}"), "id": format!("{:x}", mix(host as u64))},
            "user": {"name": format!("user{}", draw(5) % 400)},
            "trace": {"id": format!("{:016x}", draw(6))},
            "http": {"response": {"status_code": if draw(7) % 5 == 0 { 404 } else { 200 }}},
            "latency_ms": (draw(8) % 1000) as f64 / 10.0,
            "sent_bytes_total": sent[host],
            "message": format!("request {n} of a customer was answered in due time"),
        });
        lines.push_str(&event.to_string());
        lines.push('\n');
    }
    lines
}

#[test]
fn a_web_shop_is_looked_at_from_its_sides() {
    let proposed = propose("shop.ndjson", &shop());
    assert_eq!(proposed.time(), ("@timestamp", None));
    assert_eq!(proposed.job.bucket_span.seconds(), 300);
    let detectors = proposed.detectors();
    assert!((1..=4).contains(&detectors.len()));
    assert!(
        detectors.iter().any(|one| one.starts_with("count ")),
        "{detectors:?}"
    );
    assert!(
        detectors.iter().any(|one| one.contains("mean(latency_ms)")),
        "{detectors:?}"
    );
    let all = detectors.join(" ") + &proposed.influencers().join(" ");
    for useless in [
        "trace.id",
        "host.id",
        "ecs.version",
        "message",
        "sent_bytes_total",
    ] {
        assert!(!all.contains(useless), "{useless} in {all}");
    }
    let influencers = proposed.influencers();
    assert!(influencers.len() <= 4);
    for useful in ["host.name", "service.name", "user.name"] {
        assert!(influencers.contains(&useful), "{useful} in {influencers:?}");
    }
    let yaml = std::fs::read_to_string(&proposed.file).unwrap();
    assert!(yaml.contains("sent_bytes_total is a counter"), "{yaml}");
    assert!(yaml.contains("message is text of many words"), "{yaml}");
    for line in ["trace.id", "12,000 events", "web-"] {
        assert!(
            proposed.table.contains(line),
            "{line} in {}",
            proposed.table
        );
    }
    let plan = tidewatch(&[
        "plan",
        text(&proposed.file),
        text(&proposed.sample),
        "--format",
        "json",
    ]);
    let plan: Value = serde_json::from_slice(&plan.stdout).unwrap();
    let (limit, needed) = (
        &plan["model_memory_limit_bytes"],
        &plan["recommended_limit_bytes"],
    );
    assert!(limit.as_u64() >= needed.as_u64(), "{limit} {needed}");
}

#[test]
fn measurements_at_even_intervals_are_measured_and_not_counted() {
    let mut csv = String::from("when;sensor;temperature;serial\n");
    for n in 0..2000u64 {
        for sensor in ["north", "south"] {
            let seconds = 1_706_702_400 + n * 60;
            let value = (mix(n + sensor.len() as u64) % 1000) as f64 / 50.0 - 5.0;
            csv.push_str(&format!("{seconds};{sensor};{value};{n}\n"));
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let (file, path) = (
        folder.path().join("job.yaml"),
        folder.path().join("sensors.csv"),
    );
    std::fs::write(&path, csv).unwrap();
    let proposed = tidewatch(&["new", text(&path), "-q", "-o", text(&file)]);
    assert!(
        proposed.status.success() && proposed.stderr.is_empty(),
        "{proposed:?}"
    );
    let job = Job::from_file(&file).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(job.document["data_description"]["time_format"], "epoch");
    assert_eq!(
        job.bucket_span.seconds(),
        300,
        "two or more of a minute's values"
    );
    assert_eq!(
        job.detectors[0].description,
        "mean(temperature) partitionfield=sensor"
    );
    assert!(
        job.detectors
            .iter()
            .all(|one| one.function.name() != "count")
    );
}

#[test]
fn times_are_known_however_they_are_written() {
    for (first, second, format) in [
        (
            "2024-01-31T12:00:00.123+01:00",
            "2024-01-31T12:01:00.123+01:00",
            None,
        ),
        ("2024-01-31 12:00:00", "2024-01-31 12:01:00", None),
        (
            "31/Jan/2024:12:00:00 +0100",
            "31/Jan/2024:12:01:00 +0100",
            Some("dd/MMM/yyyy:HH:mm:ss Z"),
        ),
        (
            "01/31/2024 12:00:00",
            "01/31/2024 12:01:00",
            Some("MM/dd/yyyy HH:mm:ss"),
        ),
        (
            "31.01.2024 12:00:00",
            "31.01.2024 12:01:00",
            Some("dd.MM.yyyy HH:mm:ss"),
        ),
        ("20240131120000", "20240131120100", Some("yyyyMMddHHmmss")),
        ("1706702400", "1706702460", Some("epoch")),
        ("1706702400000", "1706702460000", Some("epoch_ms")),
        ("1706702400000000", "1706702460000000", Some("epoch_us")),
        (
            "1706702400000000000",
            "1706702460000000000",
            Some("epoch_ns"),
        ),
        (
            "Wed Jan 31 12:00:00 2024",
            "Wed Jan 31 12:01:00 2024",
            Some("EEE MMM d HH:mm:ss yyyy"),
        ),
    ] {
        let rows: String = (0..40)
            .map(|n| format!("{n},{}\n", if n < 20 { first } else { second }))
            .collect();
        let proposed = propose("times.csv", &format!("n,when\n{rows}"));
        assert_eq!(proposed.time(), ("when", format), "{first}");
    }
}

#[test]
fn what_is_no_sample_is_refused_with_its_reason() {
    for (sample, reason) in [
        ("", "the sample holds no event (it is empty)"),
        (
            "time,value\n",
            "the sample holds no event (nothing is below its first line)",
        ),
        ("\u{0}\u{1}\u{2}", "the sample holds no event"),
        (
            "{\"a\": 1}\n{\"a\": 2}\n",
            "no field reads as a time in 99 of 100 events; the fields are: a",
        ),
        (
            "Date,Time,host\n2026-01-01,00:00:00,a\n2026-01-01,00:01:00,b\n2026-01-02,00:02:00,a\n",
            "\"Date\" holds days, and \"Time\" the time of day: make one column of the two, such as 2026-01-31T12:30:00 (mlr --csv put '${time} = ${Date} . \"T\" . ${Time}' FILE)",
        ),
        (
            "Datum;Uhrzeit;Kunde\n31.01.2026;9:05;K1\n31.01.2026;9:06;K2\n",
            "\"Uhrzeit\" holds the time of day: make one column of the day and it",
        ),
        (
            "2026-01-01T00:00:00Z,web-1,5\n2026-01-01T00:01:00Z,web-2,6\n2026-01-01T00:02:00Z,web-1,7\n",
            "the first line holds values, and not the names of the columns: \"2026-01-01T00:00:00Z\" is a time",
        ),
        (
            "{\"took\": 1, \"hits\": {\"hits\": [{\"_id\": \"1\", \"_source\": {\"@timestamp\": \"2026-03-02T00:00:00Z\"}}]}}\n",
            "jq -c '.hits.hits[]._source' FILE",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sample");
        std::fs::write(&path, sample).unwrap();
        let proposed = tidewatch(&["new", "-q", text(&path)]);
        let said = String::from_utf8_lossy(&proposed.stderr);
        assert_eq!(proposed.status.code(), Some(1), "{said}");
        assert!(said.contains(reason), "{said}");
        assert!(proposed.stdout.is_empty());
    }
    let absent = tidewatch(&["new", "-q", "no/such/file"]);
    assert!(String::from_utf8_lossy(&absent.stderr).contains("no/such/file: cannot be read"));
}

#[test]
fn names_and_values_cannot_write_into_the_job() {
    let evil = "x: y\n  - function: count # \"\\";
    let mut lines = String::new();
    for n in 0..400u64 {
        let mut event = json!({
            "time": 1_706_702_400_000 + n * 1000,
            "yes": mix(n) % 3,
            "- a: [b]": format!("v{}", mix(n + 7) % 4),
            "count": format!("c{}", mix(n + 9) % 4),
            "#": {"": mix(n + 3) % 2},
        });
        event[evil] = json!(mix(n + 5) % 5);
        lines.push_str(&event.to_string());
        lines.push('\n');
    }
    let proposed = propose("evil: name #.ndjson", &lines);
    assert!(proposed.detectors().len() <= 4);
    assert_eq!(proposed.job.id, "evil--name");
}

#[test]
fn a_topic_without_times_in_its_events_has_those_of_its_messages() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sample.ndjson");
    let lines: String = (0..100)
        .map(|n| format!("{{\"kind\":\"k{}\"}}\n", n % 4))
        .collect();
    std::fs::write(&path, lines).unwrap();
    let proposed = tidewatch(&["new", "-q", text(&path), "--topic", "Shop.Orders"]);
    let yaml = String::from_utf8_lossy(&proposed.stdout).into_owned();
    assert!(proposed.status.success(), "{proposed:?}");
    let job = Job::from_text(&yaml, "x.yaml").unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(
        (job.time_field.as_str(), job.id.as_str()),
        ("@kafka_timestamp", "shop.orders")
    );
    assert_eq!(job.datafeed.expect("a datafeed").topics, ["Shop.Orders"]);
}

/// Requests to a web server: most clients come once for some minutes, one in ten again; all of them see the same pages. `flat`: dotted names, not objects.
fn access_log(flat: bool) -> String {
    let mut requests = Vec::new();
    for visit in 0..1_500u64 {
        let draw = |salt: u64| mix(visit * 977 + salt);
        let client = if draw(1) % 10 == 0 { visit / 2 } else { visit };
        let begins = draw(2) % (3 * 86_400);
        for request in 0..1 + draw(3) % 8 {
            let at = 1_706_702_400 + begins + request * 20 + draw(10 + request) % 20;
            requests.push((at, client, draw(30 + request)));
        }
    }
    requests.sort_unstable();
    let line = |(at, client, random): &(u64, u64, u64)| {
        let time = tidewatch::time::EventTime((at * 1000) as i64).to_string();
        let address = format!("10.{}.{}.7", client / 200, client % 200);
        let page = format!("/page/{}", (random % 40) * (random / 64 % 5));
        let (agent, status) = (
            format!("agent/{}", client % 7),
            [200, 200, 304, 404][random_at(*random)],
        );
        match flat {
            true => json!({"@timestamp": time, "source.address": address, "url.original": page, "user_agent.name": agent,
                "http.response.status_code": status, "http.response.bytes": random % 50_000}),
            false => json!({"time": time, "client": address, "request": {"path": page}, "agent": agent, "status": status, "bytes": random % 50_000}),
        }
        .to_string()
    };
    requests
        .iter()
        .map(|request| line(request) + "\n")
        .collect()
}

fn random_at(random: u64) -> usize {
    (random / 4096 % 4) as usize
}

#[test]
fn clients_who_come_briefly_are_a_population_and_their_pages_are_what_they_look_at() {
    for (flat, client, page) in [
        (false, "client", "request.path"),
        (true, "source.address", "url.original"),
    ] {
        let proposed = propose("access.ndjson", &access_log(flat));
        let detectors = proposed.detectors();
        let wanted = [
            format!("high_count over {client}"),
            format!("high_distinct_count(\"{page}\") over {client}"),
        ];
        for wanted in &wanted {
            let plain = wanted.replace('"', "");
            let is_there = detectors.iter().any(|one| one.replace('"', "") == plain);
            assert!(is_there, "{plain} in {detectors:?}");
        }
        assert!(
            proposed.influencers().contains(&client),
            "{:?}",
            proposed.influencers()
        );
        let yaml = std::fs::read_to_string(&proposed.file).expect("the proposal");
        assert!(yaml.contains("asks more than the others"), "{yaml}");
    }
}

#[test]
fn who_is_there_all_the_time_is_no_population_and_neither_are_requests() {
    let proposed = propose("shop.ndjson", &shop());
    let over = proposed.job.detectors.iter().find(|one| one.over.is_some());
    assert!(over.is_none(), "{:?}", over.map(|one| &one.description));
    // Five lines of each trace within two seconds: they never come back.
    let mut lines = String::new();
    for n in 0..3_000u64 {
        let time = 1_706_702_400_000 + n / 5 * 60_000 + n % 5 * 400;
        let line = json!({"time": time, "trace": format!("{:016x}", mix(n / 5)), "step": format!("s{}", n % 5)});
        lines.push_str(&(line.to_string() + "\n"));
    }
    let proposed = propose("traces.ndjson", &lines);
    assert!(
        proposed.job.detectors.iter().all(|one| one.over.is_none()),
        "{:?}",
        proposed.detectors()
    );
}

/// A syslog of two days: some programs of one machine, with values in what they say.
fn syslog() -> String {
    let mut text = String::new();
    for n in 0..4_000u64 {
        let seconds = n * 43 + mix(n) % 43;
        let (day, hour, minute, second) = (
            seconds / 86_400,
            seconds / 3_600 % 24,
            seconds / 60 % 60,
            seconds % 60,
        );
        let (a, b) = (mix(n + 9) % 60_000, mix(n + 5) % 256);
        let said = match mix(n + 3) % 4 {
            0 => format!("sshd[{a}]: Accepted publickey for deploy from 10.0.0.{b} port {a} ssh2"),
            1 => format!("CRON[{a}]: (root) CMD (run-parts --report /etc/cron.{b})"),
            2 => format!("kernel: [{a}.{b}] eth0: link is up at {b} Mbps after {a} ms"),
            _ => format!("systemd[1]: Started session {a} of user deploy on seat {b}."),
        };
        text += &format!(
            "Mar {:>2} {hour:02}:{minute:02}:{second:02} web-01 {said}\n",
            day + 3
        );
    }
    text
}

#[test]
fn a_log_of_text_is_proposed_to_be_looked_at_by_the_kinds_of_its_messages() {
    let proposed = propose("syslog", &syslog());
    let job = &proposed.job;
    let messages = job.categorization.as_ref().expect("messages").field;
    assert_eq!(job.fields[usize::from(messages.0)], "message");
    let detectors = proposed.detectors();
    assert!(detectors.contains(&"rare by mlcategory"), "{detectors:?}");
    assert!(detectors.contains(&"count by mlcategory"), "{detectors:?}");
    assert_eq!(job.time_field, "@timestamp");

    // And what nobody has said before is found in it, with who said it.
    let log = syslog();
    let (before, after) = log.split_at(log.find("\nMar  4 20:").expect("an evening") + 1);
    let said = "Mar  4 20:00:00 web-01 kernel: EXT4-fs error (device sda1): ext4_lookup:1602: inode #2: comm ls: deleted inode referenced: 131\n";
    std::fs::write(&proposed.sample, [before, said, after].concat()).expect("a file");
    let arguments = ["detect", text(&proposed.file), text(&proposed.sample)];
    let output = tidewatch(&[&arguments[..], &["--kinds", "record"]].concat());
    let records = String::from_utf8(output.stdout).expect("documents");
    let score = |line: &&str| {
        let record: serde_json::Value = serde_json::from_str(line).expect("a document");
        (record["record_score"].as_f64().unwrap_or(0.0) * 1e6) as i64
    };
    let rare = records.lines().filter(|line| line.contains("rare"));
    let loudest = rare.max_by_key(score).expect("a record");
    assert!(loudest.contains("deleted inode referenced"), "{loudest}");
    assert!(score(&loudest) >= 25_000_000, "{loudest}");
}

/// What is proposed for a topic of which `sample` is what a consumer writes.
fn of_topic(sample: &str) -> (Job, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sample");
    std::fs::write(&path, sample).unwrap();
    let proposed = tidewatch(&["new", "-q", text(&path), "--topic", "syslog"]);
    let yaml = String::from_utf8_lossy(&proposed.stdout).into_owned();
    assert!(proposed.status.success(), "{proposed:?}");
    let job = Job::from_text(&yaml, "x.yaml").unwrap_or_else(|errors| panic!("{errors}"));
    (job, yaml)
}

#[test]
fn a_topic_of_lines_of_text_is_proposed_to_be_read_as_such() {
    let looks_at_messages = |job: &Job| {
        let mut detectors = job.detectors.iter().map(|one| one.description.as_str());
        detectors.any(|one| one == "rare by mlcategory")
    };
    let (job, yaml) = of_topic(&syslog());
    assert_eq!(
        job.extensions.input,
        Input::Text(LineLayout::ByLine),
        "{yaml}"
    );
    assert_eq!(job.time_field, "@timestamp");
    assert!(looks_at_messages(&job), "{yaml}");
    assert!(yaml.contains("\ntidewatch:\n"), "{yaml}");

    // Times as syslog does not write them: how the lines are laid out is said.
    let (job, yaml) = of_topic(&syslog().replace("\nMar  ", "\n2026-03-0"));
    assert_eq!(
        job.extensions.input,
        Input::Text(LineLayout::Syslog),
        "{yaml}"
    );

    // Without times, and with what would be columns.
    let bare = syslog();
    let bare = bare
        .lines()
        .map(|line| format!("{}, at last\n", &line[23..]));
    let (job, yaml) = of_topic(&bare.collect::<String>());
    assert_eq!(
        job.extensions.input,
        Input::Text(LineLayout::ByLine),
        "{yaml}"
    );
    assert_eq!(job.time_field, "@kafka_timestamp");
    assert!(looks_at_messages(&job), "{yaml}");

    // A file is looked at, and needs no word; its topic will.
    let proposed = propose("syslog", &syslog());
    assert_eq!(proposed.job.extensions.input, Input::Json);
    let yaml = std::fs::read_to_string(&proposed.file).unwrap();
    assert!(yaml.contains("\n#   input: text\n"), "{yaml}");
}

#[test]
fn numbers_of_many_kinds_in_one_field_are_measured_kind_by_kind() {
    let mut lines = String::new();
    for minute in 0..1500u64 {
        for host in ["web-1", "web-2", "db-1"] {
            for (metric, unit) in [("cpu.user", 30.0), ("mem.used", 4e9), ("load.1", 1.5)] {
                let draw = mix(minute * 31 + metric.len() as u64 + host.len() as u64 * 7) % 100;
                let event = json!({
                    "metric": metric, "timestamp": 1_706_702_400 + minute * 60, "host": host,
                    "value": unit * (1.0 + draw as f64 / 200.0), "tags": ["env:prod"],
                });
                lines.push_str(&format!("{event}\n"));
            }
        }
    }
    let proposed = propose("metrics.ndjson", &lines);
    assert_eq!(
        proposed.detectors(),
        ["mean(value) by metric partitionfield=host"]
    );
    assert_eq!(proposed.influencers(), ["host", "metric"]);
}

#[test]
fn what_comes_late_is_waited_for_and_what_is_upside_down_is_told() {
    let event = |at: u64, n: u64| {
        let time = tidewatch::time::EventTime(1_706_702_400_000 + at as i64 * 5000);
        let service = ["a", "b", "c"][(mix(n) % 3) as usize];
        format!(
            "{}\n",
            json!({"time": time.to_string(), "service": service})
        )
    };
    // Each tenth comes ten minutes after those around it.
    let late: String = (0..12_000u64)
        .map(|n| event(if n % 10 == 9 && n > 150 { n - 120 } else { n }, n))
        .collect();
    let proposed = propose("late.ndjson", &late);
    assert_eq!(proposed.job.lateness.millis(), 10 * 60_000);
    assert!(
        proposed
            .table
            .contains("of 1,000 events come after their bucket is over"),
        "{}",
        proposed.table
    );
    let newest_first: String = (0..12_000u64).rev().map(|n| event(n, n)).collect();
    let proposed = propose("upside-down.ndjson", &newest_first);
    assert_eq!(proposed.job.lateness.millis(), 0);
    assert!(
        proposed.table.contains("newest first"),
        "{}",
        proposed.table
    );
    let file = std::fs::read_to_string(&proposed.file).unwrap();
    assert!(
        !file.contains("model_memory_limit"),
        "of events that are refused no memory is reckoned"
    );
}

#[test]
fn who_acted_may_be_to_blame_and_a_program_is_no_split() {
    let mut lines = String::new();
    for n in 0..12_000u64 {
        let draw = |salt: u64| mix(n * 131 + salt);
        let user = draw(1) % 9;
        let namespace = ["shop", "pay", "search"][(draw(2) % 3) as usize];
        let event = json!({
            "time": tidewatch::time::EventTime(1_706_702_400_000 + n as i64 * 5000).to_string(),
            "userIdentity": {"principalId": format!("AIDA{user}"), "userName": format!("user-{user}")},
            "namespace": namespace,
            "objectRef": {"name": format!("x-{}", draw(3) % 40)},
            "http_user_agent": format!("Mozilla/5.0 (X11) {}", draw(4) % 20),
            "sourceIPAddress": format!("10.0.0.{}", draw(5) % 60),
            "date": &tidewatch::time::EventTime(1_706_702_400_000 + n as i64 * 5000).to_string()[..10],
            "end": 1_706_702_400.5 + n as f64 * 5.0,
            "srcport": 1024 + draw(8) % 60_000,
            "upstream_time": if draw(6) % 10 == 0 { "-".to_owned() } else { format!("0.{:03}", draw(7) % 900) },
        });
        lines.push_str(&format!("{event}\n"));
    }
    let proposed = propose("audit.ndjson", &lines);
    let influencers = proposed.influencers();
    assert!(!influencers.contains(&"date"), "{influencers:?}");
    for who in ["userIdentity.userName", "sourceIPAddress"] {
        assert!(influencers.contains(&who), "{influencers:?}");
    }
    let detectors = proposed.detectors();
    assert!(
        detectors.iter().all(|one| !one.contains("http_user_agent")
            && !one.contains("srcport")
            && !one.contains("(end)")
            && !one.contains("date")),
        "{detectors:?}"
    );
    assert!(
        detectors.contains(&"mean(upstream_time) partitionfield=namespace"),
        "what is not there is no text: {detectors:?}"
    );
}

/// What a proxy logs: users and their addresses, what they send and receive, through which of three nodes.
fn proxy(users: u64) -> String {
    let mut lines = String::new();
    for n in 0..20_000u64 {
        let draw = |salt: u64| mix(n * 137 + salt);
        let user = draw(1) % users;
        let event = json!({
            "@timestamp": tidewatch::time::EventTime(1_706_702_400_000 + (n * 5000 + draw(6) % 5000) as i64).to_string(),
            "user": {"name": format!("user-{user}")},
            "client": {"ip": format!("10.0.{}.{}", user / 200, user % 200)},
            "node": format!("proxy-{}", draw(2) % 3),
            "bytes_received": 500 + draw(3) % 90_000,
            "bytes_sent": 100 + draw(4) % 5_000,
            "duration_ms": draw(5) % 900,
        });
        lines.push_str(&format!("{event}\n"));
    }
    lines
}

#[test]
fn what_each_of_those_who_act_sends_is_added_up() {
    for (users, wanted) in [
        (12, "high_sum(bytes_sent) by user.name"),
        (300, "high_sum(bytes_sent) over user.name"),
    ] {
        let proposed = propose("proxy.ndjson", &proxy(users));
        let detectors = proposed.detectors();
        let plain: Vec<String> = detectors.iter().map(|one| one.replace('"', "")).collect();
        assert!(plain.iter().any(|one| one == wanted), "{detectors:?}");
        assert!(
            plain.iter().any(|one| one.contains("mean(")),
            "{detectors:?}"
        );
        assert!(proposed.influencers().contains(&"user.name"));
        let yaml = std::fs::read_to_string(&proposed.file).expect("the proposal");
        assert!(yaml.contains("data carried off"), "{yaml}");
    }
    // Nobody acts, or nothing is an amount.
    for other in [
        proxy(12)
            .replace("user", "colour")
            .replace("client", "shade"),
        proxy(12).replace("bytes_", "seconds_"),
    ] {
        let proposed = propose("other.ndjson", &other);
        let detectors = proposed.detectors();
        assert!(
            detectors.iter().all(|one| !one.contains("sum")),
            "{detectors:?}"
        );
    }
}

#[test]
fn a_table_of_series_named_with_quotation_marks_is_measured_column_by_column() {
    // As Grafana exports a panel's series, and as Windows exports its counters.
    let mut csv = String::from(
        "\"Time\",\"cpu usage {host=\"\"a\"\"}\",\"cpu usage {host=\"\"b\"\"}\",\"\\\\HOST\\Memory\\Pages/sec\"\n",
    );
    for n in 0..2000u64 {
        let time = tidewatch::time::EventTime(1_706_702_400_000 + n as i64 * 60_000).to_string();
        let time = time.replace('T', " ").replace('Z', "");
        let value = |salt: u64| (mix(n * 3 + salt) % 1000) as f64 / 10.0;
        csv.push_str(&format!(
            "\"{time}\",{},{},{}\n",
            value(0),
            value(1),
            value(2)
        ));
    }
    let proposed = propose("panel.csv", &csv);
    let mut fields: Vec<&str> = proposed
        .job
        .detectors
        .iter()
        .map(|one| {
            assert_eq!(one.function.name(), "mean");
            proposed.job.field_name(one.field.expect("a field"))
        })
        .collect();
    fields.sort_unstable();
    assert_eq!(
        fields,
        [
            "//HOST/Memory/Pages/sec",
            "cpu usage {host='a'}",
            "cpu usage {host='b'}"
        ]
    );
    let (file, sample) = (text(&proposed.file), text(&proposed.sample));
    let detected = tidewatch(&["detect", file, sample, "--threshold", "0"]);
    let said = String::from_utf8_lossy(&detected.stderr);
    assert!(!said.contains("no event has"), "{said}");
}

#[test]
fn events_inside_others_are_told_with_how_to_take_them_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("otlp.json");
    let batch = json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [{"timeUnixNano": "1706702400000000000"}]}]}]});
    std::fs::write(&path, format!("{batch}\n{batch}\n")).unwrap();
    let refused = tidewatch(&["new", text(&path)]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success());
    assert!(
        said.contains("jq -c '.resourceLogs[].scopeLogs[].logRecords[]' FILE"),
        "{said}"
    );
}
