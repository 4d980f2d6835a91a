//! `tidewatch run` says what `tidewatch detect` says, byte for byte, however the events are spread, over however many instances, killed
//! however often.

use crate::client::{delete_before, produce, topic};
use crate::instance::{Deployment, Instance, PATIENCE};
use crate::random::Random;
use crate::world::{
    Kind, SPAN_MS, START_MS, Spread, Word, close, events, expected, job, publish, sentinel,
};
use std::time::{Duration, Instant};

const BUCKETS: i64 = 60;

/// What the pipeline says of the events and the sentinel, job by job.
pub(crate) fn reference(jobs: &[String], buckets: i64, seed: u64) -> Vec<Word> {
    let texts = || {
        events(seed, buckets)
            .into_iter()
            .map(|message| message.text)
            .chain([sentinel(buckets)])
    };
    let mut words: Vec<Word> = jobs.iter().flat_map(|job| expected(job, texts())).collect();
    words.sort();
    assert!(
        words.iter().any(|(kind, ..)| kind == "record"),
        "the events hold an anomaly"
    );
    words
}

fn spread_equals_detect(partitions: i32, spread: Spread) {
    let input = topic("events", partitions);
    publish(&input, partitions, spread, &events(1, BUCKETS));
    close(&input, partitions, BUCKETS);
    let mut kinds = vec![Kind::PerHost, Kind::Whole];
    if spread == Spread::ByHost {
        kinds.push(Kind::PerHostKeyed);
    }
    let jobs: Vec<String> = kinds.iter().map(|kind| job(*kind, &input, "")).collect();
    let wanted = reference(&jobs, BUCKETS, 1);
    for instances in [1, 2] {
        let deployment = Deployment::new(&jobs, "");
        let running: Vec<_> = (0..instances)
            .map(|number| deployment.start(&format!("i{number}")))
            .collect();
        deployment.await_results(&wanted);
        for instance in running {
            assert_eq!(instance.stop(), Some(0), "{}", deployment.logs());
        }
        deployment.assert_results(
            &wanted,
            &format!("{partitions} partitions, {spread:?}, {instances} instances"),
        );
    }
}

#[test]
fn one_partition_equals_detect() {
    spread_equals_detect(1, Spread::ByHost);
}

#[test]
fn three_partitions_keyed_equal_detect() {
    spread_equals_detect(3, Spread::ByHost);
}

#[test]
fn three_partitions_at_random_equal_detect() {
    spread_equals_detect(3, Spread::AtRandom);
}

#[test]
fn eight_partitions_keyed_equal_detect() {
    spread_equals_detect(8, Spread::ByHost);
}

#[test]
fn eight_partitions_at_random_equal_detect() {
    spread_equals_detect(8, Spread::AtRandom);
}

/// The job is there first, and its topic empty for longer than partitions are waited for: what then comes at once is judged whole, whichever partition and
/// instance reads first.
#[test]
fn a_topic_that_is_filled_after_all_its_partitions_have_been_idle_equals_detect() {
    const PARTITIONS: i32 = 8;
    let input = topic("filled", PARTITIONS);
    let kinds = [Kind::PerHost, Kind::Whole, Kind::PerHostKeyed];
    let jobs = kinds.map(|kind| job(kind, &input, r#","idle_timeout":"4s""#));
    let wanted = reference(&jobs, BUCKETS, 1);
    let deployment = Deployment::new(&jobs, "");
    let running = ["a", "b"].map(|name| deployment.start(name));
    running.iter().for_each(Instance::await_ready);
    for job in ["per-host", "whole", "per-host-keyed"] {
        let name = format!("tidewatch_inputs_idle_total{{job_id=\"{job}\"}}");
        let idle = || -> f64 { running.iter().filter_map(|one| metric(one, &name)).sum() };
        let deadline = Instant::now() + PATIENCE;
        while idle() < PARTITIONS.into() {
            assert!(Instant::now() < deadline, "{job}: {} idle", idle());
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    publish(&input, PARTITIONS, Spread::ByHost, &events(1, BUCKETS));
    close(&input, PARTITIONS, BUCKETS);
    deployment.await_results(&wanted);
    for instance in running {
        assert_eq!(instance.stop(), Some(0), "{}", deployment.logs());
    }
    deployment.assert_results(&wanted, "filled after all were idle");
}

/// Most partitions are idle when the job is stopped. What they get while nobody reads is judged with what the others got, though those be read first.
#[test]
fn what_idle_partitions_got_while_nobody_read_equals_detect() {
    const PARTITIONS: i32 = 8;
    let input = topic("backlog", PARTITIONS);
    let kinds = [Kind::PerHost, Kind::Whole, Kind::PerHostKeyed];
    let jobs = kinds.map(|kind| job(kind, &input, r#","idle_timeout":"4s""#));
    let wanted = reference(&jobs, BUCKETS, 1);
    let deployment = Deployment::new(&jobs, "");
    let running = deployment.start("a");
    let all = events(1, BUCKETS);
    let half = format!(r#"{{"time":{}"#, START_MS + BUCKETS / 2 * SPAN_MS);
    let (before, after) = all.split_at(all.partition_point(|message| message.text < half));
    // The one that is read first.
    let last = before.iter().rposition(|message| message.host == 0);
    let (mut before, last) = (before.to_vec(), last.unwrap());
    let last = before.remove(last);
    publish(&input, PARTITIONS, Spread::ByHost, &before);
    let idle = |job: &str| {
        let name = format!("tidewatch_inputs_idle_total{{job_id=\"{job}\"}}");
        metric(&running, &name).unwrap_or_default()
    };
    eventually("all inputs are idle", || {
        ["per-host", "whole", "per-host-keyed"]
            .map(idle)
            .into_iter()
            .all(|count| count >= PARTITIONS.into())
    });
    // One of them speaks again, and is not idle yet when the job stops.
    publish(&input, PARTITIONS, Spread::ByHost, &[last]);
    std::thread::sleep(Duration::from_millis(2_800));
    assert_eq!(running.stop(), Some(0), "{}", deployment.logs());
    publish(&input, PARTITIONS, Spread::ByHost, after);
    close(&input, PARTITIONS, BUCKETS);
    let running = deployment.start("a");
    deployment.await_results(&wanted);
    assert_eq!(running.stop(), Some(0), "{}", deployment.logs());
    deployment.assert_results(&wanted, "a backlog of idle partitions");
}

#[test]
fn twenty_kills_at_random_points_leave_the_results_of_one_calm_run() {
    const KILLS: usize = 20;
    const LONGEST_LIFE_MS: i64 = 2_500;
    let seed = std::env::var("TIDEWATCH_TEST_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(20_260_101);
    println!("seed {seed} (TIDEWATCH_TEST_SEED sets another)");
    let partitions = 3;
    let input = topic("killed", partitions);
    let jobs = [job(Kind::PerHost, &input, ""), job(Kind::Whole, &input, "")];
    let wanted = reference(&jobs, BUCKETS, 2);
    let settings = "timing:\n  commit_interval: 20ms\n  snapshot_interval: 300ms";
    let deployment = Deployment::new(&jobs, settings);
    let all = events(2, BUCKETS);
    // Events come in while the service lives and dies; a twentieth for each life.
    let shares: Vec<_> = all
        .chunks(all.len().div_ceil(KILLS))
        .map(<[_]>::to_vec)
        .collect();
    let mut random = Random::new(seed);
    for share in &shares {
        let instance = deployment.start("only");
        publish(&input, partitions, Spread::AtRandom, share);
        std::thread::sleep(Duration::from_millis(
            random.within(100, LONGEST_LIFE_MS).unsigned_abs(),
        ));
        instance.kill();
    }
    close(&input, partitions, BUCKETS);
    let last = deployment.start("only");
    deployment.await_results(&wanted);
    assert_eq!(last.stop(), Some(0));
    deployment.assert_results(&wanted, &format!("{KILLS} kills, seed {seed}"));
}

#[test]
fn a_restart_goes_on_from_a_snapshot_in_a_directory() {
    let input = topic("directory", 2);
    let jobs = [job(Kind::PerHost, &input, "")];
    let wanted = reference(&jobs, BUCKETS, 3);
    let deployment = Deployment::new(&jobs, "snapshots:\n  store: directory\n  path: state");
    let all = events(3, BUCKETS);
    let (first, second) = all.split_at(all.len() / 2);
    publish(&input, 2, Spread::AtRandom, first);
    let instance = deployment.start("a");
    instance.await_ready();
    await_metric(
        &instance,
        "tidewatch_buckets_closed_total{finality=\"final\",job_id=\"per-host\"}",
        |count| count > 5.0,
    );
    assert_eq!(instance.stop(), Some(0));
    assert!(
        deployment
            .path("state")
            .read_dir()
            .expect("a directory")
            .next()
            .is_some(),
        "snapshots are kept"
    );

    publish(&input, 2, Spread::AtRandom, second);
    close(&input, 2, BUCKETS);
    let instance = deployment.start("a");
    deployment.await_results(&wanted);
    assert!(
        deployment.logs().contains("snapshot=\"per-host/"),
        "the second life began with a snapshot\n{}",
        deployment.logs()
    );
    assert_eq!(instance.stop(), Some(0));
    deployment.assert_results(&wanted, "two lives");
}

#[test]
fn a_log_that_no_longer_reaches_back_is_counted_and_said_and_the_job_goes_on() {
    let input = topic("forgotten", 1);
    let jobs = [job(Kind::PerHost, &input, "")];
    let deployment = Deployment::new(&jobs, "snapshots:\n  store: directory\n  path: state");
    let all = events(5, BUCKETS);
    let (first, second) = all.split_at(all.len() / 2);
    publish(&input, 1, Spread::AtRandom, first);
    let instance = deployment.start("a");
    let closed = "tidewatch_buckets_closed_total{finality=\"final\",job_id=\"per-host\"}";
    await_metric(&instance, closed, |count| count > 5.0);
    instance.kill(); // minutes before a snapshot is due
    delete_before(&input, 0, 20);
    publish(&input, 1, Spread::AtRandom, second);
    close(&input, 1, BUCKETS);
    let instance = deployment.start("a");
    await_metric(
        &instance,
        "tidewatch_replay_gaps_total{job_id=\"per-host\"}",
        |count| count == 1.0,
    );
    await_metric(&instance, closed, |count| count > 0.0);
    assert_eq!(instance.stop(), Some(0));
    let logs = deployment.logs();
    assert!(
        logs.lines().any(|line| line.contains("ERROR")
            && line.contains("from=0")
            && line.contains("to=20")),
        "{logs}"
    );
}

#[test]
fn bad_events_are_dead_letters_with_their_reason_and_origin_and_the_good_ones_count() {
    let input = topic("bad", 1);
    let jobs = [job(Kind::Whole, &input, "")];
    let good = events(4, BUCKETS);
    let bad = [
        "{not json",
        r#"{"host": {"name": "h1"}}"#,
        r#"{"time": "yesterday", "status": 200}"#,
    ];
    let mut payloads: Vec<String> = good.iter().map(|message| message.text.clone()).collect();
    for (at, text) in bad.iter().enumerate() {
        payloads.insert(40 * (at + 1), text.to_string());
    }
    payloads.push(sentinel(BUCKETS));
    produce(&input, payloads.iter().map(|payload| (0, payload.clone())));
    let wanted = expected(&jobs[0], payloads.clone());
    let deployment = Deployment::new(&jobs, "");
    let instance = deployment.start("a");
    deployment.await_results(&wanted);
    let metrics = instance.get("/metrics").expect("metrics").1;
    assert_eq!(instance.stop(), Some(0));
    deployment.assert_results(&wanted, "with bad events between");
    let deadline = Instant::now() + PATIENCE;
    let letters = loop {
        let letters = deployment.seen("dead-letters");
        if letters.len() >= bad.len() || Instant::now() > deadline {
            break letters;
        }
    };
    let header = |name: &str, at: usize| {
        letters[at]
            .headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.clone())
    };
    assert_eq!(letters.len(), bad.len());
    for (at, _) in bad.iter().enumerate() {
        let offset: usize = header("offset", at)
            .expect("an offset")
            .parse()
            .expect("a number");
        assert_eq!(
            letters[at].value.as_deref(),
            Some(payloads[offset].as_str()),
            "the letter is the message"
        );
        assert_eq!(header("topic", at).as_deref(), Some(input.as_str()));
        let reason = header("reason", at).expect("a reason");
        let line =
            format!("tidewatch_events_rejected_total{{job_id=\"whole\",reason=\"{reason}\"}} ");
        assert!(
            metrics
                .lines()
                .any(|metric| metric.starts_with(&line) && !metric.ends_with(" 0")),
            "{line}\n{metrics}"
        );
    }
}

#[test]
fn interim_results_come_while_a_bucket_is_open_and_go_when_it_closes() {
    let input = topic("interim", 2);
    let jobs = [job(Kind::Whole, &input, r#", "interim_interval": "200ms""#)];
    let deployment = Deployment::new(&jobs, "");
    let all = events(5, BUCKETS);
    publish(&input, 2, Spread::AtRandom, &all);
    let instance = deployment.start("a");
    instance.await_ready();
    let deadline = Instant::now() + PATIENCE;
    let standing = || {
        let mut last = std::collections::BTreeMap::new();
        for seen in deployment.seen("interim.bucket") {
            last.insert(seen.key, seen.value);
        }
        last.into_values().flatten().count()
    };
    while standing() == 0 {
        assert!(
            Instant::now() < deadline,
            "no interim bucket came\n{}",
            deployment.logs()
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    close(&input, 2, BUCKETS);
    let wanted = reference(&jobs, BUCKETS, 5);
    deployment.await_results(&wanted);
    assert_eq!(instance.stop(), Some(0));
    deployment.assert_results(&wanted, "beside interim results");
    let open: Vec<_> = deployment.seen("interim.bucket");
    assert!(open.iter().all(|seen| {
        seen.value
            .as_ref()
            .is_none_or(|text| text.contains("\"is_interim\":true"))
    }));
    // Only the sentinel's bucket, or one that the events had not filled, may still stand.
    assert!(
        standing() <= 2,
        "{} interim buckets still stand",
        standing()
    );
}

#[test]
fn the_probes_and_metrics_of_a_running_service_tell_what_it_does() {
    let input = topic("probes", 2);
    publish(&input, 2, Spread::ByHost, &events(6, BUCKETS));
    close(&input, 2, BUCKETS);
    let deployment = Deployment::new(&[job(Kind::Whole, &input, "")], "log:\n  format: json");
    let instance = deployment.start("a");
    instance.await_ready();
    assert_eq!(instance.get("/livez").map(|(status, _)| status), Some(200));
    await_metric(
        &instance,
        "tidewatch_buckets_closed_total{finality=\"final\",job_id=\"whole\"}",
        |count| count >= BUCKETS as f64,
    );
    for partition in 0..2 {
        let lag = format!(
            "tidewatch_consumer_lag_messages{{job_id=\"whole\",kafka_partition=\"{partition}\",topic=\"{input}\"}}"
        );
        await_metric(&instance, &lag, |lag| lag == 0.0);
    }
    await_metric(
        &instance,
        "tidewatch_assigned_partitions{job_id=\"whole\"}",
        |count| count >= 3.0,
    );
    await_metric(
        &instance,
        "tidewatch_transactions_total{outcome=\"committed\"}",
        |count| count > 0.0,
    );
    assert_eq!(instance.stop(), Some(0));
}

#[test]
fn a_member_whose_name_lasts_finds_its_partitions_where_it_left_them() {
    /// Input partitions, shards and the rollup.
    const TASKS: f64 = 4.0 + 4.0 + 1.0;
    let input = topic("static", 4);
    let jobs = [job(Kind::PerHost, &input, "")];
    let deployment = Deployment::new(&jobs, "");
    let start = |name: &str| {
        // As the Helm chart says it of a StatefulSet's pods.
        let variables = [
            ("TIDEWATCH_KAFKA_PROPERTIES_GROUP_INSTANCE_ID", name),
            ("TIDEWATCH_KAFKA_PROPERTIES_SESSION_TIMEOUT_MS", "45000"),
        ];
        deployment.start_with(name, &variables)
    };
    let assigned = |instance: &Instance| {
        metric(
            instance,
            "tidewatch_assigned_partitions{job_id=\"per-host\"}",
        )
        .unwrap_or(0.0)
    };
    let moves = |instance: &Instance| {
        ["assigned", "released", "lost"].map(|kind| {
            metric(
                instance,
                &format!("tidewatch_rebalances_total{{kind=\"{kind}\"}}"),
            )
        })
    };
    let a = start("a");
    a.await_ready();
    eventually("it has everything", || assigned(&a) == TASKS);
    let b = start("b");
    b.await_ready();
    eventually("both have a share", || {
        assigned(&a) > 0.0 && assigned(&b) > 0.0 && assigned(&a) + assigned(&b) == TASKS
    });
    let (share, before) = (assigned(&a), moves(&b));

    assert_eq!(a.stop(), Some(0));
    let a = start("a");
    a.await_ready();
    eventually("it has its share again", || assigned(&a) == share);
    assert_eq!(
        moves(&b),
        before,
        "the other one was not disturbed\n{}",
        deployment.logs()
    );

    publish(&input, 4, Spread::AtRandom, &events(7, BUCKETS));
    close(&input, 4, BUCKETS);
    let wanted = reference(&jobs, BUCKETS, 7);
    deployment.await_results(&wanted);
    assert_eq!((a.stop(), b.stop()), (Some(0), Some(0)));
    deployment.assert_results(&wanted, "a static member that came back");
}

/// The value of a metric now.
pub fn metric(instance: &Instance, name: &str) -> Option<f64> {
    let (_, metrics) = instance.get("/metrics")?;
    metrics
        .lines()
        .find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

/// Waits until it is so.
pub fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Waits until a metric's value is as wanted.
pub fn await_metric(instance: &crate::instance::Instance, name: &str, is_so: impl Fn(f64) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let value = metric(instance, name);
        if value.is_some_and(&is_so) {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{name} is {value:?}\n{}",
            instance.get("/metrics").unwrap_or_default().1
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}
