//! One job in stages against the same job fused, and on one, two and four instances.
//!
//! *staged*: all events are in one partition, but the topic has a second one without any, so that gatherers, judge and rollup speak to each
//! other through topics. That one is waited for a second and not the usual thirty, whose idle polls are no cost of stages. The bytes are those of the payloads on these topics. *instances*: members of one group in one process, each with
//! clients of its own, on a topic of eight partitions; processor time until the last of them has seen the last bucket that closes.

use crate::TOPIC;
use crate::common::{SPEED_JOBS, job_with, median};
use crate::world::{
    Ear, MEASURED, Stopwatch, breathe_until, fill, kafka, member, read_all, start, topic_settings,
};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Barrier};
use std::thread;
use tidewatch::config::Job;
use tidewatch::runtime::kafka::KafkaLog;
use tidewatch::runtime::service::group_of;
use tidewatch::runtime::task::TopicNames;

const STAGED: &str = "events-staged";
const WIDE: &str = "events-wide";
const WIDE_PARTITIONS: usize = 8;

/// Staged against fused.
pub(crate) fn print(events: usize, rounds: usize) {
    fill(STAGED, 2, events, |_| 0);
    println!(
        "{:<32}{:>14}{:>14}{:>9}{:>13}{:>10}{:>14}{:>14}",
        "stages, one partition",
        "fused, us/ev",
        "staged, us/ev",
        "ratio",
        "of rounds",
        "buckets",
        "closed, B",
        "partials, B"
    );
    for (number, (name, detectors, influencers)) in SPEED_JOBS.into_iter().enumerate() {
        let (mut fused, mut staged) = (Vec::new(), Vec::new());
        let (mut buckets, mut bytes) = (0, [0; 2]);
        for round in 0..rounds {
            let job = |what: &str, topic: &str| {
                let id = format!("{what}-{number}-{round}");
                let mut job = job_with(&id, detectors, influencers, topic);
                let made = Arc::get_mut(&mut job).expect("not shared yet");
                made.extensions.idle_timeout_ms = 1_000;
                job
            };
            let outcome = serve(&job("fused", TOPIC), 1, None);
            fused.push(outcome.0);
            buckets = outcome.1;
            let job = job("staged", STAGED);
            staged.push(serve(&job, 1, Some(buckets)).0);
            let names = TopicNames::new(&job.id);
            bytes = [names.closed(&job.id), names.partials(&job.id)].map(|topic| {
                let mut bytes = 0;
                read_all(&topic, &mut |_, payload| bytes += payload.len());
                bytes
            });
        }
        let mut ratios: Vec<f64> = staged.iter().zip(&fused).map(|(s, f)| s / f).collect();
        ratios.sort_by(f64::total_cmp);
        let spread = format!("{:.2}-{:.2}x", ratios[0], ratios[rounds - 1]);
        let micros = |seconds| 1e6 * seconds / events as f64;
        let each = |bytes: usize| bytes as f64 / buckets as f64;
        println!(
            "{name:<32}{:>14.3}{:>14.3}{:>8.2}x{spread:>13}{buckets:>10}{:>14.1}{:>14.1}",
            micros(median(fused)),
            micros(median(staged)),
            median(ratios),
            each(bytes[0]),
            each(bytes[1]),
        );
    }
    println!(
        "closed, partials: bytes a bucket; of a mean by 1,000 hosts a thousandth is one series' share"
    );
}

/// One, two and four instances.
pub(crate) fn instances(events: usize, rounds: usize) {
    fill(WIDE, WIDE_PARTITIONS as i32, events, |n| {
        n % WIDE_PARTITIONS
    });
    println!(
        "{:<32}{:>12}{:>12}{:>12}{:>10}{:>10}",
        "instances on 8 partitions", "one, us/ev", "two, us/ev", "four, us/ev", "two", "four"
    );
    for (number, (name, detectors, influencers)) in SPEED_JOBS.into_iter().enumerate() {
        let mut cost = [Vec::new(), Vec::new(), Vec::new()];
        let mut expected = None;
        for round in 0..rounds {
            for (which, count) in [1, 2, 4].into_iter().enumerate() {
                let id = format!("wide-{number}-{round}-{count}");
                let job = job_with(&id, detectors, influencers, WIDE);
                let (cpu, buckets) = serve(&job, count, expected);
                expected.get_or_insert(buckets);
                cost[which].push(1e6 * cpu / events as f64);
            }
        }
        let against_one = |which: usize| {
            let pairs = cost[which].iter().zip(&cost[0]);
            median(pairs.map(|(several, one)| several / one).collect())
        };
        let (two, four) = (against_one(1), against_one(2));
        let [one_us, two_us, four_us] = cost.map(median);
        println!("{name:<32}{one_us:>12.3}{two_us:>12.3}{four_us:>12.3}{two:>9.2}x{four:>9.2}x");
    }
}

/// Works a job on so many instances until `buckets` are closed (or, unsaid, until nothing is left to do). Processor seconds, and the buckets.
fn serve(job: &Arc<Job>, count: usize, buckets: Option<u64>) -> (f64, u64) {
    let ear = Ear::of(job);
    let ready = Barrier::new(count + 1);
    thread::scope(|scope| {
        let group = group_of("bench", &job.id);
        // The first makes the topics.
        let made = kafka(&group);
        let log = KafkaLog::open(&made, &topic_settings()).expect("clients");
        let first = start(log, &made, job, &ear, MEASURED);
        let mut services = vec![first];
        for instance in 1..count {
            let made = member(&group, instance);
            let log = KafkaLog::open(&made, &topic_settings()).expect("clients");
            services.push(start(log, &made, job, &ear, MEASURED));
        }
        let workers: Vec<_> = services
            .into_iter()
            .map(|mut service| {
                let (ready, ear) = (&ready, &ear);
                scope.spawn(move || {
                    ready.wait();
                    let closed = || ear.buckets.load(Relaxed);
                    breathe_until(&mut service, ear, |service| match buckets {
                        // The last bucket of all may close at one place and not at the other.
                        Some(buckets) => closed() + 1 >= buckets,
                        None => closed() > 200 && service.is_settled(),
                    });
                    ready.wait();
                    service.finish().expect("an end in order");
                })
            })
            .collect();
        let watch = Stopwatch::start();
        ready.wait();
        ready.wait();
        let cpu = watch.cost().cpu;
        for worker in workers {
            worker.join().expect("no worker panics");
        }
        (cpu, ear.buckets.load(Relaxed))
    })
}
