//! Faults of the service's own processes: killed, paused, more and fewer of them.

use super::{Trial, of, seed};
use crate::cluster::cluster;
use crate::instance::{CLASSIC, CONSUMER, Deployment, Instance};
use crate::random::Random;
use crate::service::{eventually, metric};
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);
/// Longer than any session here.
const TOO_LONG: Duration = Duration::from_secs(4);

/// Kills at random points of lives of random lengths, on three brokers.
fn kills(group: &'static str, name: &str) {
    let seed = seed(name);
    let (cluster, _turn) = cluster();
    let kills = of(4, 120);
    let trial = Trial::new(name, &cluster.broker, of(40, 240), seed).with_group(group);
    let feed = trial.feed(SECOND * of(6, 120));
    let mut random = Random::new(seed);
    let began = Instant::now();
    for _ in 0..kills {
        let instance = trial.deployment.start("only");
        let life = random.within(100, 2_500).unsigned_abs();
        std::thread::sleep(Duration::from_millis(life));
        instance.kill();
    }
    feed.join().expect("all is written");
    let last = trial.deployment.start("only");
    trial.assert_right(&format!("{kills} kills, seed {seed}"));
    assert_eq!(last.stop(), Some(0));
    println!(
        "chaos: {name}: {kills} SIGKILLs in {:.0} s; results equal detect",
        began.elapsed().as_secs_f64()
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
    let (cluster, _turn) = cluster();
    let trial = Trial::new(name, &cluster.broker, of(60, 300), seed).with_group(group);
    let feed = trial.feed(SECOND * of(12, 100));
    let watch_after = trial.deployment.start("a");
    watch_after.await_ready();
    let watch = trial.watch();
    let mut a = watch_after;
    let rounds = of(1, 8);
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
    let (cluster, _turn) = cluster();
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
    let (cluster, _turn) = cluster();
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
