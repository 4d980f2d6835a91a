//! Faults of the service's own processes: killed, paused, more and fewer of them.

use super::{Trial, of, seed};
use crate::cluster::cluster_in_peace;
use crate::instance::{CLASSIC, CONSUMER, Deployment, Instance};
use crate::random::Random;
use crate::service::{eventually, metric};
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);
/// Longer than any session here.
const TOO_LONG: Duration = Duration::from_secs(4);

/// How often an instance of this name has been given partitions, over all its lives.
fn times_at_work(deployment: &Deployment) -> usize {
    let log = deployment.whole_log("only");
    log.matches("partition assigned").count()
}

/// Kills at random points, on three brokers: every second life ends at one from its start, in the midst of joining and restoring more often than
/// not; the others at one from when they have begun to work, in the midst of transactions and snapshots.
fn kills(group: &'static str, name: &str) {
    let seed = seed(name);
    let (cluster, _turn) = cluster_in_peace();
    let kills = of(4, 60);
    let trial = Trial::new(name, &cluster.broker, of(40, 400), seed).with_group(group);
    let feed = trial.feed(SECOND * of(6, 180));
    let mut random = Random::new(seed);
    let began = Instant::now();
    let mut worked = 0;
    for kill in 0..kills {
        let before = times_at_work(&trial.deployment);
        let instance = trial.deployment.start("only");
        let life = match kill % 2 {
            0 => random.within(100, 4_000),
            _ => {
                eventually("it is at work", || {
                    times_at_work(&trial.deployment) > before
                });
                random.within(0, 1_500)
            }
        };
        std::thread::sleep(Duration::from_millis(life.unsigned_abs()));
        instance.kill();
        worked += usize::from(times_at_work(&trial.deployment) > before);
    }
    let took = began.elapsed();
    feed.join().expect("all is written");
    let last = trial.deployment.start("only");
    trial.assert_right(&format!("{kills} kills, seed {seed}"));
    assert_eq!(last.stop(), Some(0));
    println!(
        "chaos: {name}: {kills} SIGKILLs in {:.0} s, {worked} of them of an instance at work; results equal detect",
        took.as_secs_f64()
    );
}

#[test]
fn kills_on_three_brokers_leave_the_results_of_a_calm_run() {
    kills(CLASSIC, "kills-classic");
}

#[test]
fn kills_in_a_group_of_the_consumer_protocol_leave_the_results_of_a_calm_run() {
    kills(CONSUMER, "kills-consumer");
}

fn assigned(instance: &Instance) -> f64 {
    let name = "tidewatch_assigned_partitions{job_id=\"per-host\"}";
    metric(instance, name).unwrap_or(0.0)
}

/// One instance, then three, then another one, while events come in.
fn rebalances(group: &'static str, name: &str) {
    let seed = seed(name);
    let (cluster, _turn) = cluster_in_peace();
    let trial = Trial::new(name, &cluster.broker, of(60, 300), seed).with_group(group);
    let feed = trial.feed(SECOND * of(12, 100));
    let watch_after = trial.deployment.start("a");
    watch_after.await_ready();
    let watch = trial.watch();
    let mut a = watch_after;
    let rounds = of(1, 5);
    for round in 0..rounds {
        let b = trial.deployment.start("b");
        let c = trial.deployment.start("c");
        eventually("all three have a share", || {
            [&a, &b, &c].iter().all(|one| assigned(one) > 0.0)
        });
        std::thread::sleep(SECOND);
        // The one that was there first goes in order, another is killed; the third has everything.
        assert_eq!(a.stop(), Some(0), "{}", trial.deployment.logs());
        match round % 2 {
            0 => b.kill(),
            _ => assert_eq!(b.stop(), Some(0), "{}", trial.deployment.logs()),
        }
        eventually("the last one has everything", || {
            // Input partitions, shards and the rollup.
            assigned(&c) == 3.0 + 4.0 + 1.0
        });
        assert_eq!(c.stop(), Some(0), "{}", trial.deployment.logs());
        a = trial.deployment.start("a");
        a.await_ready();
    }
    feed.join().expect("all is written");
    trial.assert_right(&format!("{rounds} times 1 -> 3 -> 1, seed {seed}"));
    println!(
        "chaos: {name}: {rounds} times 1 -> 3 -> 1 instances; results equal detect; longest time without a bucket {:.1} s",
        watch.longest_silence().as_secs_f64()
    );
    assert_eq!(a.stop(), Some(0));
}

#[test]
fn one_three_one_instances_leave_the_results_of_one() {
    rebalances(CLASSIC, "rebalances-classic");
}

#[test]
fn one_three_one_instances_of_the_consumer_protocol_leave_the_results_of_one() {
    rebalances(CONSUMER, "rebalances-consumer");
}

/// A process that is paused for longer than its session, and goes on in the belief that it owns what it owned.
fn zombies(group: &'static str, name: &str) {
    let seed = seed(name);
    let (cluster, _turn) = cluster_in_peace();
    let trial = Trial::new(name, &cluster.broker, of(50, 250), seed).with_group(group);
    let feed = trial.feed(SECOND * of(14, 100));
    let a = trial.deployment.start("a");
    a.await_ready();
    let b = trial.deployment.start("b");
    eventually("both have a share", || {
        assigned(&a) > 0.0 && assigned(&b) > 0.0
    });
    let watch = trial.watch();
    let rounds = of(1, 10);
    for round in 0..rounds {
        let zombie = if round % 2 == 0 { &a } else { &b };
        zombie.pause();
        std::thread::sleep(TOO_LONG);
        zombie.resume();
        std::thread::sleep(SECOND);
    }
    feed.join().expect("all is written");
    trial.assert_right(&format!("{rounds} zombies, seed {seed}"));
    println!(
        "chaos: {name}: {rounds} pauses of {} s; results equal detect; longest time without a bucket {:.1} s",
        TOO_LONG.as_secs(),
        watch.longest_silence().as_secs_f64()
    );
    assert_eq!(
        (a.stop(), b.stop()),
        (Some(0), Some(0)),
        "{}",
        trial.deployment.logs()
    );
}

#[test]
fn a_process_paused_past_its_session_writes_nothing_twice() {
    zombies(CLASSIC, "zombie-classic");
}

#[test]
fn a_process_paused_past_its_session_in_the_consumer_protocol_writes_nothing_twice() {
    zombies(CONSUMER, "zombie-consumer");
}

/// A static member of the consumer protocol that is killed keeps its place until its session is over: the successor waits, says why, and then works.
#[test]
fn a_killed_static_member_of_the_consumer_protocol_is_succeeded_when_its_session_is_over() {
    let name = "static-consumer";
    let seed = seed(name);
    let (cluster, _turn) = cluster_in_peace();
    let trial = Trial::new(name, &cluster.broker, 40, seed).with_group(CONSUMER);
    let start = |deployment: &Deployment| {
        let variables = [("TIDEWATCH_KAFKA_PROPERTIES_GROUP_INSTANCE_ID", "only")];
        deployment.start_with("only", &variables)
    };
    let first = start(&trial.deployment);
    first.await_ready();
    let feed = trial.feed(SECOND * 2);
    std::thread::sleep(SECOND);
    first.kill();
    let began = Instant::now();
    let second = start(&trial.deployment);
    second.await_ready();
    let waited = began.elapsed();
    feed.join().expect("all is written");
    trial.assert_right("a static member that was killed");
    assert_eq!(second.stop(), Some(0), "{}", trial.deployment.logs());
    let third = start(&trial.deployment);
    third.await_ready();
    assert_eq!(third.stop(), Some(0), "{}", trial.deployment.logs());
    println!(
        "chaos: {name}: ready again {:.1} s after the kill",
        waited.as_secs_f64()
    );
}
