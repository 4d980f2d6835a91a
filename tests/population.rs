//! Populations and rarity over days of a simulated world: who is planted is found, and those who are like the others are left in peace.
#![allow(missing_docs, unreachable_pub, dead_code)]

#[path = "support/crowds.rs"]
mod crowds;
#[path = "support/random.rs"]
mod random;

use crowds::{
    BUCKET_MS, Clients, Happening, Hosts, START_MS, find_bots, find_implants, job, normal, poisson,
    run,
};
use random::Random;
use tidewatch::config::Side;
use tidewatch::engine::event::{Event, Value};
use tidewatch::engine::gatherer::Input;
use tidewatch::engine::model::crowd::{Crowd, Shown};
use tidewatch::engine::pipeline::{Output, Pipeline};
use tidewatch::engine::result::Body;
use tidewatch::time::{BucketSpan, BucketStart, EventTime};

#[test]
fn who_is_suspected_by_chance_does_not_wear_the_tail_down() {
    const MEMBERS: usize = 20;
    let span = BucketSpan::from_seconds(BUCKET_MS / 1000).expect("a span");
    let mut crowd = Crowd::new(BucketStart(START_MS));
    let mut random = Random::new(3);
    let (mut judged, mut below) = (0.0, [0.0; 3]);
    for bucket in 0..2_000 {
        let at = BucketStart(START_MS + bucket * BUCKET_MS);
        let mut values: Vec<f64> = (0..MEMBERS)
            .map(|_| 100.0 + 3.0 * normal(&mut random))
            .collect();
        values.sort_by(f64::total_cmp);
        let frame = crowd.frame(&values, at, span);
        let mut shown = Vec::new();
        for &value in &values {
            let ln_p = frame
                .as_ref()
                .map_or(0.0, |frame| frame.ln_probability(value, Side::High));
            if bucket > 200 {
                judged += 1.0;
                let counts = below.iter_mut().zip([0.01f64, 0.001, 0.0001]);
                counts.for_each(|(count, a)| *count += f64::from(u8::from(ln_p < a.ln())));
            }
            // As judges suspect: so far out is some member of a bucket in thirty.
            let suspect = ln_p + (MEMBERS as f64).ln() < 0.035f64.ln();
            shown.push(Shown { value, suspect });
        }
        crowd.learn(&shown, at, span);
    }
    let found = below.map(|count| count / judged);
    println!("{found:?}");
    assert!(
        found[0] < 0.02 && found[1] < 0.002 && found[2] < 0.0004,
        "{found:?}"
    );
}

#[test]
fn bots_among_a_thousand_clients_are_the_top_influencers_and_nobody_else_is_critical() {
    let world = Clients {
        clients: 1000,
        bots: 5,
        days: 2,
        seed: 11,
    };
    let found = find_bots(
        &world,
        r#"[{"function": "high_count", "over_field_name": "who"},
            {"function": "high_distinct_count", "field_name": "what", "over_field_name": "who"}]"#,
    );
    let bots = world.planted();
    for name in found.top(5) {
        assert!(bots.contains(name), "{name} among {:?}", found.top(5));
    }
    assert_eq!(found.false_alarms, 0);
    let bytes = found.model_bytes / found.members;
    assert!(bytes < 256, "{bytes} bytes a member");
}

/// Clients of a server, some tens in an hour and fewer by night, each asking for 1 to 5 pages once or twice; in one hour `scanner` asks for 75.
fn access_log(hours: i64, scanned: Option<i64>, seed: u64, sink: &mut dyn FnMut(Happening)) {
    let mut random = Random::new(seed);
    let mut ask = |hour: i64, who: String, page: i64, random: &mut Random| {
        sink(Happening {
            at_ms: START_MS + hour * 3_600_000 + random.within(0, 3_600_000),
            who,
            what: format!("/page/{page}"),
        });
    };
    for hour in 0..hours {
        let by_day = 1.0 - 0.7 * (std::f64::consts::TAU * hour as f64 / 24.0).cos();
        for _ in 0..poisson(&mut random, 30.0 * by_day) {
            let who = format!("client-{}", random.within(0, 400));
            for _ in 0..random.within(1, 6) {
                let page = random.within(0, 50);
                ask(hour, who.clone(), page, &mut random);
            }
        }
        for page in (0..75).filter(|_| scanned == Some(hour)) {
            ask(hour, "scanner".to_owned(), 1000 + page, &mut random);
        }
    }
}

/// The scores of records when they were first told, of the scanner and of all others.
fn scores_of_access_log(hours: i64, scanned: Option<i64>, seed: u64) -> [f64; 2] {
    let text = r#"{"job_id": "clients", "data_description": {"time_field": "time"}, "analysis_config": {"bucket_span": "1h",
        "latency": "15m", "influencers": ["who"], "detectors": [{"function": "high_count", "over_field_name": "who"},
        {"function": "high_distinct_count", "field_name": "what", "over_field_name": "who"}]}}"#;
    let job =
        std::sync::Arc::new(tidewatch::config::Job::from_text(text, "clients").expect("a job"));
    let mut scores = [0.0f64; 2];
    run(
        &job,
        |sink| access_log(hours, scanned, seed, sink),
        |document| {
            if let Body::Record(record) = document.body {
                let others = usize::from(record.over_field_value.as_deref() != Some("scanner"));
                scores[others] = scores[others].max(record.initial_record_score);
            }
        },
    );
    scores
}

#[test]
fn after_a_day_of_hours_a_scanner_of_75_pages_is_a_major_record_and_nobody_is_in_a_calm_log() {
    for seed in 1..=6 {
        for scanned in [24, 30, 44] {
            let [scanner, others] = scores_of_access_log(48, Some(scanned), seed);
            println!("{seed} {scanned}: {scanner} {others}");
            assert!(
                scanner >= 50.0 && others < 50.0,
                "{scanner} of others {others}"
            );
        }
        let [_, others] = scores_of_access_log(48, None, seed);
        println!("{seed}: {others}");
        assert!(others < 50.0, "{others} where all are alike");
    }
}

/// A thousand clients of a server over two days of hours, three in ten of whom are there in an hour; in one of a hundred such hours of theirs they look at 30 pages or more.
struct Readers {
    /// Hours that a visit lasts at the most, each client as eager throughout; `None`: every hour stands for itself.
    visit_hours: Option<i64>,
    /// First hour, and how many, in which `reader` looks at 36 to 75 pages.
    run: Option<(i64, i64)>,
    hours: i64,
    seed: u64,
}

impl Readers {
    fn tell(&self, sink: &mut dyn FnMut(Happening)) {
        const CLIENTS: usize = 1_000;
        let mut random = Random::new(self.seed);
        // Pareto's, of which 1 % exceeds 30.
        let pages = |random: &mut Random| (1.0 - random.unit()).powf(-1.0 / 1.35);
        let mut visits = vec![(0, 0.0); CLIENTS];
        let mut page = 0;
        for hour in 0..self.hours {
            let mut look = |who: String, count: i64, random: &mut Random| {
                for _ in 0..count.min(2_000) {
                    page += 1;
                    sink(Happening {
                        at_ms: START_MS + hour * 3_600_000 + random.within(0, 3_600_000),
                        who: who.clone(),
                        what: format!("/page/{page}"),
                    });
                }
            };
            for (client, (left, usual)) in visits.iter_mut().enumerate() {
                let count = match self.visit_hours {
                    None if random.unit() < 0.3 => pages(&mut random),
                    None => 0.0,
                    Some(longest) => {
                        if *left == 0 && random.unit() < 0.18 {
                            (*left, *usual) = (random.within(1, longest + 1), pages(&mut random));
                        }
                        let is_there = *left > 0;
                        *left -= i64::from(is_there);
                        match is_there {
                            true => (*usual * (0.3 * normal(&mut random)).exp()).max(1.0),
                            false => 0.0,
                        }
                    }
                };
                look(format!("client-{client}"), count as i64, &mut random);
            }
            if self
                .run
                .is_some_and(|(from, hours)| (from..from + hours).contains(&hour))
            {
                let count = random.within(36, 76);
                look("reader".to_owned(), count, &mut random);
            }
        }
    }

    /// By hour the first scores of records: of the reader with what they say, and the highest of all others.
    fn scores(&self) -> (Vec<(f64, f64, String)>, f64) {
        let text = r#"{"job_id": "readers", "data_description": {"time_field": "time"}, "analysis_config": {"bucket_span": "1h",
            "latency": "15m", "influencers": ["who"], "detectors": [
            {"function": "high_distinct_count", "field_name": "what", "over_field_name": "who"}]}}"#;
        let job =
            std::sync::Arc::new(tidewatch::config::Job::from_text(text, "readers").expect("a job"));
        let mut reader = vec![(0.0, -5.0, String::new()); self.hours as usize];
        let mut others = 0.0f64;
        run(
            &job,
            |sink| self.tell(sink),
            |document| {
                let hour = (document.time.millis() - START_MS) / 3_600_000;
                if let Body::Record(record) = document.body {
                    let score = record.initial_record_score;
                    match record.over_field_value.as_deref() {
                        Some("reader") => {
                            reader[hour as usize] =
                                (score, record.multi_bucket_impact, record.description);
                        }
                        _ => others = others.max(score),
                    }
                }
            },
        );
        (reader, others)
    }
}

#[test]
fn six_hours_in_a_row_that_are_nothing_each_for_itself_are_critical_together_and_over_when_they_are_over()
 {
    for seed in 1..=3 {
        let readers = Readers {
            visit_hours: None,
            run: Some((36, 6)),
            hours: 48,
            seed,
        };
        let (reader, others) = readers.scores();
        let run: Vec<f64> = reader[36..42].iter().map(|one| one.0).collect();
        println!("{seed}: {run:?}, others {others}; {}", reader[41].2);
        assert!(run[0] < 25.0 && run[5] >= 75.0, "{run:?}");
        assert!(reader[42..].iter().all(|one| one.0 == 0.0), "{reader:?}");
        assert!(reader[41].1 >= 2.0, "it is the run: {}", reader[41].1);
        assert!(
            reader[41].2.contains("6th bucket in a row"),
            "{}",
            reader[41].2
        );
        assert!(others < 75.0, "{others}");
    }
}

#[test]
fn a_run_goes_on_where_a_snapshot_was_taken_in_the_midst_of_it() {
    let readers = Readers {
        visit_hours: Some(3),
        run: Some((12, 6)),
        hours: 20,
        seed: 9,
    };
    let job = job(
        r#"[{"function": "high_distinct_count", "field_name": "what", "over_field_name": "who"}]"#,
    );
    let told = |restores: bool| {
        let mut pipeline = Pipeline::new(job.clone());
        let (mut said, mut hour) = (String::new(), 0);
        readers.tell(&mut |one| {
            let now = (one.at_ms - START_MS) / 3_600_000;
            if restores && now != hour {
                let snapshot = pipeline.snapshot();
                pipeline = Pipeline::restore(job.clone(), &snapshot).expect("its own snapshot");
                assert!(pipeline.snapshot().as_bytes() == snapshot.as_bytes());
            }
            hour = now;
            let value = |field: &String| match field.as_str() {
                "who" => Value::Text(one.who.as_str().into()),
                _ => Value::Text(one.what.as_str().into()),
            };
            let values: Vec<Value<'_>> = job.fields.iter().map(value).collect();
            // Each hour of the world is a bucket.
            let event = Event {
                time: EventTime(START_MS + (one.at_ms - START_MS) / 4),
                values: &values,
                raw_bytes: 0,
                raw_fields: 2,
            };
            for output in pipeline.handle(Input::Event(&event)) {
                if let Output::Result(document) = output {
                    said += &format!("{document:?}\n");
                }
            }
        });
        said
    };
    let calm = told(false);
    assert!(calm.contains("bucket in a row"), "no run was told of");
    assert!(told(true) == calm, "a restored life is another one");
}

#[test]
fn what_a_member_does_for_days_has_become_normal() {
    let readers = Readers {
        visit_hours: None,
        run: Some((36, 100)),
        hours: 136,
        seed: 5,
    };
    let scores: Vec<f64> = readers.scores().0.iter().map(|one| one.0).collect();
    println!("{:.0?}", &scores[36..]);
    assert!(scores[36..48].iter().any(|&score| score >= 75.0));
    assert!(scores[84..].iter().all(|&score| score < 25.0));
}

#[test]
fn where_nobody_does_more_in_a_row_than_others_do_no_run_is_critical() {
    for visit_hours in [None, Some(3), Some(8)] {
        for seed in 11..=13 {
            let readers = Readers {
                visit_hours,
                run: None,
                hours: 72,
                seed,
            };
            let (_, others) = readers.scores();
            println!("{visit_hours:?} {seed}: {others}");
            assert!(others < 75.0, "{visit_hours:?} {seed}: {others}");
        }
    }
}

#[test]
fn a_process_that_a_host_never_ran_is_found_in_its_first_bucket() {
    let world = Hosts {
        hosts: 40,
        planted: 10,
        days: 8,
        seed: 5,
    };
    let alone = r#"[{"function": "rare", "by_field_name": "what", "partition_field_name": "who"}]"#;
    let found = find_implants(&world, alone);
    assert_eq!(found.found.len(), 10, "each has a record in its bucket");
    let bytes = found.model_bytes / found.values;
    assert!(bytes < 128, "{bytes} bytes a value");
}

#[test]
fn what_one_of_many_members_has_is_a_cause_and_what_all_have_is_not() {
    let world = Hosts {
        hosts: 60,
        planted: 3,
        days: 4,
        seed: 9,
    };
    for function in ["rare", "freq_rare"] {
        let detectors = format!(
            r#"[{{"function": "{function}", "by_field_name": "what", "over_field_name": "who"}}]"#
        );
        let mut causes = 0;
        run(
            &job(&detectors),
            |sink| world.tell(sink),
            |document| {
                if let Body::Record(record) = document.body {
                    assert_eq!(record.over_field_name.as_deref(), Some("who"));
                    assert!(record.by_field_value.is_none() && !record.causes.is_empty());
                    for cause in &record.causes {
                        assert!((0.0..=0.05).contains(&cause.probability), "{cause:?}");
                        causes += u64::from(cause.by_field_value.as_deref() == Some("implant"));
                        assert!(
                            !cause
                                .by_field_value
                                .as_deref()
                                .unwrap_or_default()
                                .starts_with("daemon"),
                            "{cause:?}"
                        );
                    }
                }
            },
        );
        assert!(causes >= 3, "{function}: {causes} of 3");
    }
}

#[test]
fn a_flood_of_members_and_values_is_kept_within_the_limit_and_counted() {
    let text = r#"{"job_id": "flood", "analysis_config": {"bucket_span": "15m", "detectors": [
        {"function": "high_count", "over_field_name": "who"}, {"function": "rare", "by_field_name": "what"},
        {"function": "rare", "by_field_name": "what", "over_field_name": "who"}]},
        "analysis_limits": {"model_memory_limit": "1mb"}, "data_description": {"time_field": "time"}}"#;
    let job = std::sync::Arc::new(tidewatch::config::Job::from_text(text, "flood").expect("a job"));
    let flood = |sink: &mut dyn FnMut(crowds::Happening)| {
        for at in 0..60_000i64 {
            sink(crowds::Happening {
                at_ms: 1_704_067_200_000 + at * 1_000,
                who: format!("stranger-{at}"),
                what: format!("thing-{at}"),
            });
        }
    };
    let (mut most, mut refused) = (0, 0);
    run(&job, flood, |document| {
        if let Body::ModelSizeStats(size) = document.body {
            most = most.max(size.peak_model_bytes);
            refused = size.refused_series_count;
        }
    });
    assert!(most <= 1 << 20, "{most} bytes");
    assert!(refused > 0, "nobody was told that there was no room");
}

/// Model plots of thirty members who do one thing ten times a bucket, and another now and then; `plot` is the job's `model_plot_config`.
fn plots_of_a_crowd(plot: &str) -> Vec<serde_json::Value> {
    let text = format!(
        r#"{{"job_id": "crowd", "analysis_config": {{"bucket_span": "15m", "detectors": [{{"function": "count", "over_field_name": "who", "by_field_name": "what"}}]}},
            "model_plot_config": {plot}, "data_description": {{"time_field": "time"}}}}"#
    );
    let job = tidewatch::config::Job::from_text(&text, "crowd");
    let job = std::sync::Arc::new(job.unwrap_or_else(|mistakes| panic!("{mistakes}")));
    let mut random = Random::new(7);
    let mut plots = Vec::new();
    let tell = |take: &mut dyn FnMut(Happening)| {
        for bucket in 0..200 {
            for who in 0..30 {
                for (what, rate) in [("read", 10.0), ("write", 1.0)] {
                    for _ in 0..poisson(&mut random, rate) {
                        take(Happening {
                            at_ms: START_MS + bucket * BUCKET_MS,
                            who: format!("who-{who}"),
                            what: what.to_owned(),
                        });
                    }
                }
            }
        }
    };
    run(&job, tell, |document| {
        if matches!(document.body, Body::ModelPlot(_)) {
            plots.push(serde_json::to_value(&document).expect("documents are plain data"));
        }
    });
    plots
}

#[test]
fn the_plot_of_a_population_shows_each_member_between_the_bounds_of_all() {
    let plots = plots_of_a_crowd(r#"{"enabled": true}"#);
    let reads = || plots.iter().filter(|plot| plot["by_field_value"] == "read");
    assert!(reads().count() > 5_000, "{}", reads().count());
    assert!(reads().count() < plots.len());
    for plot in &plots {
        assert_eq!(
            plot["model_feature"],
            "'non-zero count per bucket by person and attribute'"
        );
        assert_eq!(plot["over_field_name"], "who");
        let [lower, median, upper] = ["model_lower", "model_median", "model_upper"]
            .map(|name| plot[name].as_f64().expect("a number"));
        assert!(0.0 <= lower && lower <= median && median <= upper, "{plot}");
    }
    let ids: std::collections::BTreeSet<_> = plots.iter().map(|plot| plot["id"].as_str()).collect();
    assert!(ids.len() == plots.len() || ids == [None].into());
    let later = || reads().skip(reads().count() / 2);
    let within = later().filter(|plot| {
        let [lower, actual, upper] = ["model_lower", "actual", "model_upper"]
            .map(|name| plot[name].as_f64().expect("a number"));
        lower - 0.5 <= actual && actual <= upper + 0.5
    });
    let share = within.count() as f64 / later().count() as f64;
    assert!((0.93..0.99).contains(&share), "{share}");
}

#[test]
fn the_plot_of_a_population_is_of_the_members_and_attributes_that_are_asked_for() {
    for (terms, field, count) in [
        ("who-3, nobody", "over_field_value", 150),
        ("write", "by_field_value", 1_000),
    ] {
        let plots = plots_of_a_crowd(&format!(r#"{{"enabled": true, "terms": "{terms}"}}"#));
        assert!(plots.len() > count, "{}", plots.len());
        assert!(
            plots
                .iter()
                .all(|plot| terms.contains(plot[field].as_str().expect("a value")))
        );
    }
}
