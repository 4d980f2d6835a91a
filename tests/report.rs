//! `detect --report` and `backtest --report`: a page that stands by itself, tells what the results tell, and is safe whatever the events hold.
//!
//! Pages are read as a browser reads them (html5ever), so what is counted here is what a browser would see.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use scraper::{Html, Selector};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;
use tempfile::TempDir;

/// A page is no longer than this, whatever the input.
const PAGE_BYTES_MAX: usize = 2 << 20;

const JOB: &str = "
job_id: test
description: 'two <b>bold</b> things & more'
analysis_config:
  bucket_span: 1m
  detectors: [{function: count}, {function: mean, field_name: latency_ms, by_field_name: host.name}]
  influencers: [host.name]
data_description: {time_field: '@timestamp'}
";

fn detect(dir: &Path, args: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_tidewatch"))
        .current_dir(dir)
        .arg("detect")
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {errors}");
    output
}

fn simulated(dir: &Path) {
    let status = Command::new(env!("CARGO_BIN_EXE_tidewatch"))
        .current_dir(dir)
        .args("simulate web --days 9 --rate 0.03 -o web.ndjson".split(' '))
        .status();
    assert!(status.unwrap().success());
}

/// Nine days of the simulated web shop, and their page.
static WEB: LazyLock<(TempDir, String)> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    simulated(dir.path());
    let job = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/web.yaml");
    fs::copy(job, dir.path().join("web.yaml")).unwrap();
    let args = "web.yaml web.ndjson --out results.ndjson --report page.html";
    detect(dir.path(), &args.split(' ').collect::<Vec<_>>());
    let page = fs::read_to_string(dir.path().join("page.html")).unwrap();
    (dir, page)
});

/// The page of `events`, in lines, by [`JOB`].
fn page_of(events: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("job.yaml"), JOB).unwrap();
    fs::write(dir.path().join("events.ndjson"), events).unwrap();
    detect(
        dir.path(),
        &["job.yaml", "events.ndjson", "--report", "page.html"],
    );
    fs::read_to_string(dir.path().join("page.html")).unwrap()
}

fn event(second: u32, host: &str, latency: f64) -> String {
    let event = serde_json::json!({"@timestamp": 1_772_409_600_000u64 + 1000 * u64::from(second),
        "host": {"name": host}, "latency_ms": latency});
    format!("{event}\n")
}

/// Three hours of `hosts`, each with a spike of latency near the end.
fn spikes(hosts: &[&str]) -> String {
    let mut events = String::new();
    for minute in 0..180 {
        for (at, host) in (0..).zip(hosts) {
            let latency = match minute == 170 + at % 8 {
                true => 900.0,
                false => 20.0 + f64::from((minute * 7 + at) % 5),
            };
            events.push_str(&event(60 * minute + at, host, latency));
        }
    }
    events
}

fn all<'a>(html: &'a Html, selector: &str) -> Vec<scraper::ElementRef<'a>> {
    html.select(&Selector::parse(selector).unwrap()).collect()
}

fn text(html: &Html, selector: &str) -> String {
    let texts = all(html, selector);
    texts.iter().flat_map(|one| one.text()).collect()
}

/// What holds of each page.
fn check(page: &str) -> Html {
    assert!(page.len() <= PAGE_BYTES_MAX, "{} bytes", page.len());
    let html = Html::parse_document(page);
    assert!(html.errors.is_empty(), "{:?}", html.errors);
    let known: BTreeSet<&str> = "html head meta title style body header main footer section div span p b small a ul li h1 h2 h3 \
        table colgroup col thead tbody tfoot tr th td figure figcaption details summary dl dt dd time code bdi button meter script \
        svg path line text circle rect"
        .split_whitespace()
        .collect();
    let ids: Vec<&str> = all(&html, "[id]")
        .iter()
        .filter_map(|one| one.attr("id"))
        .collect();
    let unique: BTreeSet<&str> = ids.iter().copied().collect();
    assert_eq!(unique.len(), ids.len(), "an id is there twice: {ids:?}");
    for element in all(&html, "*") {
        let name = element.value().name();
        assert!(known.contains(name), "<{name}> has no business here");
        for (attribute, value) in element.value().attrs() {
            let is_idle =
                !attribute.starts_with("on") && attribute != "style" && attribute != "src";
            assert!(is_idle, "<{name} {attribute}={value}>");
            if ["href", "xlink:href"].contains(&attribute) {
                let target = value.strip_prefix('#').expect("links stay on the page");
                assert!(unique.contains(target), "{value} leads nowhere");
            }
            if "d data-points x y x1 x2 y1 y2 cx cy width height value"
                .split(' ')
                .any(|one| one == attribute)
            {
                assert!(
                    !value.contains("NaN") && !value.contains("inf"),
                    "{attribute}={value}"
                );
            }
            if attribute == "aria-labelledby" {
                assert!(unique.contains(value), "nothing is labelled by {value}");
            }
        }
    }
    for drawing in all(&html, "svg.plot") {
        assert!(
            drawing
                .attr("aria-label")
                .is_some_and(|label| !label.is_empty())
        );
    }
    let unruly = |c: char| c.is_control() && c != '\n' || ('\u{202a}'..='\u{202e}').contains(&c);
    assert!(!page.contains(unruly), "a character that moves others");
    let policy = all(&html, "meta[http-equiv=Content-Security-Policy]")[0]
        .attr("content")
        .unwrap();
    for part in ["style", "script"] {
        let parts = all(&html, part);
        assert_eq!(parts.len(), 1, "{part}");
        let inside: String = parts[0].text().collect();
        let hash = STANDARD.encode(Sha256::digest(inside.as_bytes()));
        assert!(
            policy.contains(&format!("{part}-src 'sha256-{hash}'")),
            "{part}: {policy}"
        );
        let outside = inside.replace("http://www.w3.org/2000/svg", "");
        assert!(
            !outside.contains("//www") && !outside.contains("url(") && !outside.contains("@import")
        );
    }
    assert!(policy.starts_with("default-src 'none';"), "{policy}");
    html
}

#[test]
fn a_page_is_well_formed_stands_by_itself_and_its_links_lead_somewhere() {
    let html = check(&WEB.1);
    assert_eq!(all(&html, "section").len(), 3);
    assert!(
        all(&html, "a[href^='#a']").len() > 20,
        "markers lead to anomalies"
    );
    assert!(
        all(&html, "a[href^='#s']").len() > 10,
        "anomalies lead to series"
    );
}

#[test]
fn a_page_shows_the_time_the_series_the_influencers_and_explains_each_anomaly() {
    let (dir, page) = &*WEB;
    let html = Html::parse_document(page);
    assert_eq!(text(&html, "h1"), "web");
    assert!(text(&html, ".range").starts_with("2026-03-02 00:00 to 2026-03-11 00:00 UTC"));
    assert!(text(&html, ".tiles").contains("864 buckets"));
    assert!(!all(&html, ".scores rect").is_empty());
    assert_eq!(all(&html, "tr.lane").len(), 20);
    assert!(all(&html, "tr.lane rect").len() > 20);
    assert_eq!(all(&html, "figure .chart").len(), 12);
    let explained = all(&html, "details").len();
    assert!((20..=50).contains(&explained), "{explained}");
    assert_eq!(all(&html, "details .sentence").len(), explained);
    assert!(
        all(&html, "details .chart").len() > explained * 9 / 10,
        "a close look at nearly each"
    );
    for chart in all(&html, ".chart") {
        let path = |class: &str| {
            let path = Selector::parse(class).unwrap();
            chart
                .select(&path)
                .next()
                .and_then(|path| path.attr("d"))
                .unwrap()
                .len()
        };
        assert!(path(".band") > 10 && path(".typical") > 10);
        assert!(path(".actual") + path(".alone") > 5);
    }
    // The strongest anomaly is the strongest record.
    let results = fs::read_to_string(dir.path().join("results.ndjson")).unwrap();
    let mut scores = BTreeMap::new();
    for line in results
        .lines()
        .filter(|line| line.contains("\"record_score\""))
    {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        let what = [
            "timestamp",
            "detector_index",
            "by_field_value",
            "partition_field_value",
        ];
        let key = what.map(|name| record[name].to_string());
        scores.insert(
            key,
            (
                record["record_score"].as_f64().unwrap(),
                record["description"].clone(),
            ),
        );
    }
    let strongest = scores.values().max_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
    assert_eq!(
        text(&html, "#a1 .sentence").replace('\u{a0}', " "),
        strongest.1.as_str().unwrap()
    );
    assert!(text(&html, "#a1 .chip").starts_with(&strongest.0.floor().to_string()));
    // Said where there are more than are explained.
    let more = text(&html, "#anomalies").contains("the first 50 of ");
    assert_eq!(more, explained == 50);
}

#[test]
fn what_has_no_curve_gets_no_empty_card() {
    let dir = tempfile::tempdir().unwrap();
    let job = JOB.replace(
        "[{function: count}, {function: mean, field_name: latency_ms, by_field_name: host.name}]",
        "[{function: high_sum, field_name: latency_ms, over_field_name: host.name}, {function: rare, by_field_name: host.name}]",
    );
    fs::write(dir.path().join("job.yaml"), job).unwrap();
    let mut events = String::new();
    for second in 0..7200 {
        events += &event(
            second,
            &format!("h{}", second % 20),
            20.0 + f64::from(second % 7),
        );
        if second > 6900 {
            events += &event(second, "stranger", 900.0);
        }
    }
    fs::write(dir.path().join("events.ndjson"), events).unwrap();
    detect(
        dir.path(),
        &["job.yaml", "events.ndjson", "--report", "page.html"],
    );
    let page = check(&fs::read_to_string(dir.path().join("page.html")).unwrap());
    assert!(text(&page, ".sentence").contains("stranger"));
    assert_eq!(all(&page, ".empty").len(), 0);
    assert_eq!(all(&page, "#series").len(), 0);
    assert_eq!(all(&page, "a[href^='#s']").len(), 0);
}

#[test]
fn what_events_hold_is_text_and_nothing_else() {
    let long = "x".repeat(10_000);
    let hosts = [
        "</script><img src=x onerror=alert(1)>",
        "</style><script>alert(2)</script>",
        "\"><svg onload=alert(3)>",
        "' onmouseover='alert(4)",
        "<!-- ]]> --> &amp; {{7*7}} ${7}",
        "\u{202e}gnp.exe\u{2066}\u{200f}\u{0}\u{7}\u{1b}[31m\r\n",
        "javascript:alert(5)",
        long.as_str(),
        "",
        "𝔘𝔫𝔦 日本 🦀",
    ];
    let page = page_of(&spikes(&hosts));
    let html = check(&page);
    assert!(all(&html, "details").len() > 2);
    let seen = text(&html, ".lane th");
    for host in [
        hosts[0], hosts[1], hosts[2], hosts[3], hosts[4], hosts[6], hosts[9],
    ] {
        assert!(seen.contains(host), "{host} is shown as it is");
    }
    assert!(seen.contains(&format!("{}…", "x".repeat(79))));
    assert!(
        !page.contains(&"x".repeat(1000)),
        "no value is shown at any length"
    );
    assert!(page.contains("two &lt;b&gt;bold&lt;/b&gt; things &amp; more"));
}

#[test]
fn the_emptiest_inputs_have_a_page_too() {
    let html = check(&page_of(""));
    assert!(text(&html, "main").contains("No bucket was judged"));
    assert!(text(&html, ".tiles").contains("0 events"));
    for events in [event(0, "a", 1.0), event(0, "a", 1.0) + &event(1, "b", 2.0)] {
        let html = check(&page_of(&events));
        assert!(text(&html, "main").contains("Nothing unusual."));
        assert!(text(&html, ".tiles").contains("1 bucket"));
    }
    // A gap of thirty years, of which the first thousand buckets are said.
    check(&page_of(&(spikes(&["a"]) + &event(946_080_000, "a", 5.0))));
    let flat: String = (0..600).map(|second| event(second, "a", 1e300)).collect();
    check(&page_of(&flat));
}

/// Every option that says which documents are written, and jobs that ask for plots themselves.
#[test]
fn no_byte_of_the_results_depends_on_the_report() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("events.ndjson"), spikes(&["a", "b", "c"])).unwrap();
    for plot in [
        "",
        "model_plot_config: {enabled: false}",
        "model_plot_config: {enabled: true}",
        "model_plot_config: {enabled: true, terms: 'b, nobody'}",
    ] {
        fs::write(dir.path().join("job.yaml"), format!("{JOB}{plot}\n")).unwrap();
        for options in [
            &[][..],
            &["--format", "table"],
            &["--kinds", "record,model_plot"],
            &["--min-score", "30"],
        ] {
            let args = [&["job.yaml", "events.ndjson"], options].concat();
            let alone = detect(dir.path(), &args);
            let beside = detect(
                dir.path(),
                &[&args[..], &["--report", "page.html"]].concat(),
            );
            let told = |output: &Output| {
                let text = String::from_utf8(output.stdout.clone()).unwrap();
                // A table ends with how long it took.
                text.split(" none rejected in ").next().unwrap().to_owned()
            };
            assert!(!told(&alone).is_empty());
            assert_eq!(told(&alone), told(&beside), "{plot} {options:?}");
            assert!(fs::metadata(dir.path().join("page.html")).unwrap().len() > 10_000);
        }
    }
}

#[test]
fn a_state_is_left_and_taken_up_the_same_with_and_without_a_report() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("job.yaml"), JOB).unwrap();
    let events = spikes(&["a", "b"]);
    let (first, second) = events.split_at(events[..events.len() / 2].rfind('\n').unwrap() + 1);
    fs::write(dir.path().join("1.ndjson"), first).unwrap();
    fs::write(dir.path().join("2.ndjson"), second).unwrap();
    let run = |input: &str, state: &str, report: &[&str]| {
        let args = [&["job.yaml", input, "--state", state], report].concat();
        detect(dir.path(), &args).stdout
    };
    let report = ["--report", "page.html"];
    let plain = [
        run("1.ndjson", "a.state", &[]),
        run("2.ndjson", "a.state", &[]),
    ];
    let mixed = [
        run("1.ndjson", "b.state", &report),
        run("2.ndjson", "b.state", &report),
    ];
    assert_eq!(plain, mixed);
    let state = |name: &str| fs::read(dir.path().join(name)).unwrap();
    assert_eq!(state("a.state"), state("b.state"));
}

#[test]
fn the_same_events_give_the_same_page_from_files_and_pipes() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("job.yaml"), JOB).unwrap();
    let events = spikes(&["a", "b"]);
    fs::write(dir.path().join("events.ndjson"), &events).unwrap();
    detect(
        dir.path(),
        &["job.yaml", "events.ndjson", "--report", "file.html"],
    );
    let mut child = Command::new(env!("CARGO_BIN_EXE_tidewatch"))
        .current_dir(dir.path())
        .args("detect job.yaml - --report pipe.html --out /dev/null".split(' '))
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(events.as_bytes())
        .unwrap();
    assert!(child.wait().unwrap().success());
    let page = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
    let from_file = page("file.html").replace("events.ndjson", "standard input");
    assert_eq!(from_file, page("pipe.html"));
}

#[test]
fn an_input_that_breaks_off_has_a_page_that_says_so() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("job.yaml"), JOB).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(spikes(&["a", "b", "c"]).as_bytes()).unwrap();
    let whole = gzip.finish().unwrap();
    fs::write(dir.path().join("cut.gz"), &whole[..whole.len() * 4 / 5]).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_tidewatch"))
        .current_dir(dir.path())
        .args(["detect", "job.yaml", "cut.gz", "--report", "page.html"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let html = check(&fs::read_to_string(dir.path().join("page.html")).unwrap());
    assert!(text(&html, "footer").contains("not read to its end"));
}

#[test]
fn a_page_that_cannot_be_written_is_known_before_anything_is_read() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("job.yaml"), JOB).unwrap();
    fs::write(dir.path().join("events.ndjson"), spikes(&["a"])).unwrap();
    for command in ["detect", "backtest"] {
        for (place, says) in [
            (
                "no/where.html",
                "--report: no/where.html: cannot be written",
            ),
            ("-", "--out and --report cannot both be standard output"),
            ("job.yaml", "--report job.yaml would overwrite what is read"),
            (
                "events.ndjson",
                "--report events.ndjson would overwrite what is read",
            ),
        ] {
            let output = Command::new(env!("CARGO_BIN_EXE_tidewatch"))
                .current_dir(dir.path())
                .args([command, "job.yaml", "events.ndjson", "--report", place])
                .output()
                .unwrap();
            assert_eq!(output.status.code(), Some(1), "{command} {place}");
            assert!(output.stdout.is_empty());
            let errors = String::from_utf8(output.stderr).unwrap();
            assert!(errors.contains(says), "{command} {place}: {errors}");
        }
    }
}

/// The page and the figures of a backtest of `spikes` of four hosts, by [`JOB`].
fn backtest(labels: &str, more: &[&str]) -> (Html, serde_json::Value, String) {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("job.yaml"), JOB).unwrap();
    let events = spikes(&["a", "b", HOSTILE, "d"]);
    fs::write(dir.path().join("events.ndjson"), events).unwrap();
    fs::write(dir.path().join("labels.ndjson"), labels).unwrap();
    let run = |report: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_tidewatch"))
            .current_dir(dir.path())
            .args(["backtest", "job.yaml", "events.ndjson"])
            .args(more)
            .args(["--threshold", "5", "--format", "json"])
            .args(report)
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        String::from_utf8(output.stdout).unwrap()
    };
    let (alone, beside) = (run(&[]), run(&["--report", "page.html"]));
    assert_eq!(alone, beside, "figures do not depend on the report");
    let page = fs::read_to_string(dir.path().join("page.html")).unwrap();
    (check(&page), serde_json::from_str(&alone).unwrap(), page)
}

const HOSTILE: &str = "</title><script>alert(1)</script>\u{202e}\" onload='alert(2)";

/// A label from minute to minute.
fn label(from: u32, to: u32, host: &str, text: &str) -> String {
    let ms = |minute: u32| 1_772_409_600_000u64 + 60_000 * u64::from(minute);
    let label = serde_json::json!({"start": ms(from), "end": ms(to), "entity": {"host.name": host}, "label": text});
    format!("{label}\n")
}

#[test]
fn the_page_of_a_backtest_shades_the_windows_and_tells_its_figures() {
    let labels = label(30, 40, "a", "nothing happened")
        + &label(170, 173, "a", "a is slow")
        + &label(172, 175, HOSTILE, HOSTILE)
        + &label(20, 30, "nobody", "who?");
    let (html, figures, page) = backtest(&labels, &["--labels", "labels.ndjson"]);
    let measured = &figures["measured"];
    let windows = measured["windows"].as_array().unwrap();
    assert_eq!(windows.len(), 3);
    assert!(measured["at_threshold"]["found"].as_u64() >= Some(1));
    let shades = all(&html, ".scores a rect.window");
    let rows = all(&html, "table.windows tbody tr");
    assert_eq!((shades.len(), rows.len()), (3, 3));
    for ((window, shade), row) in windows.iter().zip(&shades).zip(&rows) {
        let is_found = window["found"] == true;
        let outcome = if is_found { "found after" } else { "missed" };
        for told in [shade.text().collect::<String>(), row.text().collect()] {
            assert!(told.contains(outcome), "{window}: {told}");
            let label = window["label"]
                .as_str()
                .unwrap()
                .replace('\u{202e}', "\u{fffd}");
            assert!(told.contains(&label), "{window}: {told}");
        }
        let class = if is_found { "found" } else { "missed" };
        assert!(shade.value().classes().any(|one| one == class));
        if let Some(score) = window["score"].as_f64() {
            let chip = all(
                &Html::parse_fragment(&format!("<table>{}</table>", row.html())),
                ".chip",
            )[0]
            .text()
            .collect::<String>();
            assert!(chip.starts_with(&score.floor().to_string()), "{chip}");
        }
    }
    let told = text(&html, ".figures");
    let point = &measured["at_threshold"];
    assert!(
        told.contains(&format!("{} of 3 windows found", point["found"])),
        "{told}"
    );
    let precision = measured["average_precision"].as_f64().unwrap();
    assert!(
        told.contains(&format!("{precision:.3} average precision")),
        "{told}"
    );
    let rate = point["false_alerts_per_1000_series_days"].as_f64().unwrap();
    let rate = match rate {
        rate if rate >= 99.95 => format!("{rate:.0}"),
        rate => format!("{rate:.2}"),
    };
    assert!(
        told.replace(',', "")
            .contains(&format!("{rate} false alerts for 1000 series-days")),
        "{told}"
    );
    assert!(text(&html, "section").contains("1 window is of entities that no event names"));
    assert!(text(&html, ".legend").contains("labelled window, found"));
    assert!(!all(&html, "tr.lane .shades path").is_empty());
    assert!(!page.contains("<script>alert"), "labels are text");
}

#[test]
fn a_backtest_of_many_windows_or_none_has_a_page_within_bounds() {
    let long = "<&\"'".repeat(5_000);
    let many: String = (0..3_000)
        .map(|at| label(at % 170, at % 170 + 1, "a", &long[..400 + at as usize % 7]))
        .collect();
    let (html, ..) = backtest(&many, &["--labels", "labels.ndjson"]);
    assert_eq!(all(&html, "table.windows tbody tr").len(), 50);
    assert_eq!(all(&html, ".scores rect.window").len(), 200);
    assert_eq!(all(&html, ".scores .shades").len(), 1);
    assert!(text(&html, "section").contains("and 2,950 later, "));
    let (html, figures, _) = backtest("", &[]);
    assert!(all(&html, ".window").is_empty());
    let alerts = format!("{} alerts", figures["measured"]["at_threshold"]["alerts"]);
    assert!(text(&html, ".figures").contains(&alerts));
}
