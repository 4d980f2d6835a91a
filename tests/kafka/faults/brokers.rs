//! Faults of the brokers: one of three killed and started again, cut off from the others, the coordinators among them; all of them away at once;
//! transactions that take too long.

use super::{Trial, await_line, of, seed};
use crate::client::{delete_on, topic_on_nodes};
use crate::cluster::{Cluster, cluster, cluster_in_peace};
use crate::instance::{CLASSIC, Instance};
use crate::service::{await_metric, eventually, metric};
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);
/// An outage is noticed by a transaction that fails, and by a look at the topics, every half minute: whichever comes first, with its patience. A loop
/// that has not turned for so long is stuck, and `/livez` says so.
const SAID_WITHIN: Duration = Duration::from_secs(120);
/// The jobs of a trial.
const JOBS: [&str; 2] = ["per-host", "whole"];
/// How long a node is away: longer than its session with the controllers, and than the members' with it.
const AWAY: Duration = Duration::from_secs(5);

/// What is done to the node, and undone.
type Fault = (fn(&Cluster, usize), fn(&Cluster, usize));

const KILL: Fault = (Cluster::kill, Cluster::restart);
const CUT: Fault = (Cluster::cut_off, Cluster::rejoin);

/// Which nodes it is done to, one after another.
type Victims = fn(&Cluster, &Trial) -> Vec<usize>;

fn group_of(trial: &Trial) -> String {
    format!("{}.per-host", trial.deployment.prefix)
}

/// The leader of an input partition, and where that leadership went then: whoever comes first.
fn leader(cluster: &Cluster, trial: &Trial) -> Vec<usize> {
    vec![cluster.leader(&trial.input, 0)]
}

/// The group's coordinator, and that of the transactions.
fn coordinators(cluster: &Cluster, trial: &Trial) -> Vec<usize> {
    let group = group_of(trial);
    let mut nodes = vec![
        cluster.coordinator(&group),
        cluster.transaction_coordinator(&format!("{group}-a")),
    ];
    nodes.dedup();
    nodes
}

fn broken(name: &str, fault: Fault, victims: Victims) {
    let seed = seed(name);
    let (cluster, _turn) = cluster();
    let trial = Trial::new(name, &cluster.broker, of(60, 300), seed).with_group(CLASSIC);
    let a = trial.deployment.start("a");
    a.await_ready();
    let feed = trial.feed(SECOND * of(12, 120));
    std::thread::sleep(SECOND * 2);
    let watch = trial.watch();
    let mut done = 0;
    for _ in 0..of(1, 3) {
        for node in victims(cluster, &trial) {
            (fault.0)(cluster, node);
            std::thread::sleep(AWAY);
            (fault.1)(cluster, node);
            cluster.await_nodes(3);
            done += 1;
        }
    }
    feed.join().expect("all is written");
    trial.assert_right(&format!("{name}, seed {seed}"));
    let aborted = metric(&a, "tidewatch_transactions_total{outcome=\"aborted\"}");
    println!(
        "chaos: {name}: {done} times for {} s; results equal detect; longest time without a bucket {:.1} s; transactions aborted {}",
        AWAY.as_secs(),
        watch.longest_silence().as_secs_f64(),
        aborted.unwrap_or(0.0)
    );
    assert_eq!(a.stop(), Some(0), "{}", trial.deployment.logs());
}

#[test]
fn a_leader_killed_and_started_again_leaves_the_results_of_a_calm_run() {
    broken("leader-killed", KILL, leader);
}

#[test]
fn coordinators_that_move_leave_the_results_of_a_calm_run() {
    broken("coordinators-killed", KILL, coordinators);
}

#[test]
fn a_broker_cut_off_from_the_others_leaves_the_results_of_a_calm_run() {
    broken("cut-off", CUT, coordinators);
}

/// An outage: no node answers, and nothing can be read or written. The process lives, each job says what is the matter, and goes on where it was when they
/// are back.
#[test]
fn all_brokers_away_and_back_leave_the_results_of_a_calm_run() {
    let name = "all-away";
    let seed = seed(name);
    let (cluster, _turn) = cluster();
    let trial = Trial::new(name, &cluster.broker, of(60, 300), seed).with_group(CLASSIC);
    let a = trial.deployment.start("a");
    a.await_ready();
    let watch = trial.watch();
    let feed = trial.feed(SECOND * of(8, 60));
    let (mut said, mut done) = (Duration::ZERO, 0);
    for (fault, mend) in [CUT, KILL].into_iter().cycle().take(of(1, 4)) {
        // In the midst of its work: buckets have come since the last one.
        let seen = buckets(&a);
        await_metric(&a, BUCKETS_OF_JOB, |count| count > seen + 5.0);
        let before = JOBS.map(|job| unavailable(&a, job));
        (1..=cluster.nodes()).for_each(|node| fault(cluster, node));
        let began = Instant::now();
        for (job, before) in JOBS.into_iter().zip(before) {
            while unavailable(&a, job) <= before {
                if began.elapsed() > SAID_WITHIN {
                    trial.deployment.keep_logs(name);
                    panic!("{job} says nothing: {}", trial.deployment.logs());
                }
                std::thread::sleep(SECOND / 10);
            }
            let after = began.elapsed();
            said = said.max(after);
            println!(
                "chaos: {name}: {job} says it by {:.1} s",
                after.as_secs_f64()
            );
        }
        std::thread::sleep(AWAY.saturating_sub(began.elapsed()));
        assert_eq!(a.get("/livez").map(|(status, _)| status), Some(200));
        (1..=cluster.nodes()).for_each(|node| mend(cluster, node));
        cluster.await_nodes(cluster.nodes());
        done += 1;
    }
    let line = await_line(&trial.deployment, "a", "the log does not answer");
    assert!(line.contains("WARN"), "{line}");
    feed.join().expect("all is written");
    trial.assert_right(&format!("all brokers away, seed {seed}"));
    println!(
        "chaos: {name}: {done} times; said after {:.1} s at the latest; results equal detect; longest time without a bucket {:.1} s",
        said.as_secs_f64(),
        watch.longest_silence().as_secs_f64()
    );
    assert_eq!(a.stop(), Some(0), "{}", trial.deployment.logs());
}

const BUCKETS_OF_JOB: &str =
    "tidewatch_buckets_closed_total{finality=\"final\",job_id=\"per-host\"}";

fn buckets(instance: &Instance) -> f64 {
    metric(instance, BUCKETS_OF_JOB).unwrap_or(0.0)
}

/// How often a job has said that the log does not answer.
fn unavailable(instance: &Instance, job: &str) -> f64 {
    let name = format!("tidewatch_log_unavailable_total{{job_id=\"{job}\"}}");
    metric(instance, &name).unwrap_or(0.0)
}

/// Of a partition whose only replica is away nothing is to be had. An instance that begins meanwhile reads the others.
#[test]
fn a_partition_without_a_leader_holds_up_itself_alone() {
    let name = "leaderless";
    let seed = seed(name);
    let (cluster, _turn) = cluster();
    let input = topic_on_nodes(&cluster.broker, name, &[1, 2, 3]);
    let trial = Trial::over(input, &cluster.broker, of(60, 300), seed).with_group(CLASSIC);
    trial.feed(Duration::ZERO).join().expect("all is written");
    let away = 2;
    cluster.kill(away);
    eventually("the brokers have noticed", || {
        cluster.leader_of(&trial.input, away as i32 - 1).is_none()
    });
    let a = trial.deployment.start("a");
    let lag = |job: &str, partition: usize| {
        let at = format!("kafka_partition=\"{partition}\",topic=\"{}\"", trial.input);
        metric(
            &a,
            &format!("tidewatch_consumer_lag_messages{{job_id=\"{job}\",{at}}}"),
        )
    };
    for job in JOBS {
        for partition in (0..cluster.nodes()).filter(|partition| partition + 1 != away) {
            eventually("the others are read", || lag(job, partition) == Some(0.0));
        }
        assert_eq!(lag(job, away - 1), None);
    }
    let line = await_line(
        &trial.deployment,
        "a",
        "assigned partitions are not to be had",
    );
    assert!(
        line.contains("WARN") && line.contains(&trial.input),
        "{line}"
    );
    cluster.restart(away);
    trial.assert_right(&format!("{name}, seed {seed}"));
    println!(
        "chaos: {name}: a partition of 3 without a leader at the start; the others are read; results equal detect"
    );
    assert_eq!(a.stop(), Some(0), "{}", trial.deployment.logs());
    // Nobody has a second replica of it to wait for.
    delete_on(&cluster.broker, &trial.input);
}

/// A process that stops in the middle of its transaction, for longer than the brokers wait: they abort it, and readers go on.
#[test]
fn a_transaction_that_takes_too_long_is_aborted_and_made_again() {
    let name = "transaction-timeout";
    let seed = seed(name);
    let (cluster, _turn) = cluster_in_peace();
    let trial = Trial::new(name, &cluster.broker, of(40, 120), seed);
    let start = |name: &str| {
        let variables = [
            // Longer than brokers on a busy machine take over a step: else each transaction times out by itself, and none ever ends.
            ("TIDEWATCH_KAFKA_PROPERTIES_TRANSACTION_TIMEOUT_MS", "6000"),
            // So that the pause ends the transaction and not the membership.
            ("TIDEWATCH_KAFKA_PROPERTIES_SESSION_TIMEOUT_MS", "30000"),
            // One transaction after the other, so that a pause is likely to hit one.
            ("TIDEWATCH_TIMING_COMMIT_INTERVAL", "1ms"),
        ];
        trial.deployment.start_with(name, &variables)
    };
    let a = start("a");
    a.await_ready();
    let feed = trial.feed(SECOND * of(40, 120));
    let watch = trial.watch();
    let aborted = || {
        let aborted = metric(&a, "tidewatch_transactions_total{outcome=\"aborted\"}");
        aborted.unwrap_or(0.0)
    };
    // Not every pause hits a transaction: as many as it takes for one that does.
    let (least, mut pauses) = (of(2u64, 12), 0);
    while pauses < least || (aborted() < 1.0 && pauses < least + 3) {
        std::thread::sleep(Duration::from_millis(700 + 137 * (pauses % 12)));
        a.pause();
        std::thread::sleep(Duration::from_millis(7_500));
        a.resume();
        pauses += 1;
    }
    feed.join().expect("all is written");
    trial.assert_right(&format!("transactions that time out, seed {seed}"));
    println!(
        "chaos: {name}: {pauses} pauses of 7.5 s at a transaction timeout of 6 s; results equal detect; transactions aborted {}; longest time without a bucket {:.1} s",
        aborted(),
        watch.longest_silence().as_secs_f64()
    );
    assert_eq!(a.stop(), Some(0), "{}", trial.deployment.logs());
}
