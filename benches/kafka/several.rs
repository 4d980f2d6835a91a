//! Several jobs on one topic in one process, as `tidewatch run` works them (a thread each, sharing what they read), against one of them.
//!
//! Processor time from the first poll until all is settled. "apart" is the same two jobs, each reading for itself. The peak is that of the
//! resident set above what the process had before: what working off the whole topic takes.

use crate::TOPIC;
use crate::common::{SPEED_JOBS, job_with, median};
use crate::world::{Ear, MEASURED, Stopwatch, breathe_until, forget_peak, kafka, peak, start};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Barrier};
use std::thread;
use tidewatch::config::Job;
use tidewatch::config::service::Kafka;
use tidewatch::runtime::clock::SystemClock;
use tidewatch::runtime::kafka::KafkaLog;
use tidewatch::runtime::log::Log;
use tidewatch::runtime::log::shared::{Limits, SharedLog, Sharing};
use tidewatch::runtime::service::group_of;

pub(crate) fn print(events: usize, rounds: usize) {
    println!(
        "{:<32}{:>12}{:>12}{:>10}{:>13}{:>10}{:>12}{:>14}{:>14}",
        "jobs on one topic",
        "one, cpu s",
        "two, cpu s",
        "ratio",
        "of rounds",
        "apart",
        "shared",
        "one, peak MB",
        "two, peak MB"
    );
    for (number, (name, detectors, influencers)) in SPEED_JOBS.into_iter().enumerate() {
        let (mut one, mut two, mut apart) = (Vec::new(), Vec::new(), Vec::new());
        let (mut shared, mut peaks) = (0, [0.0_f64; 2]);
        for round in 0..rounds {
            let jobs = |what: &str, count: usize| -> Vec<Arc<Job>> {
                let id = |n| format!("{what}-{number}-{round}-{n}");
                let job = |n| job_with(&id(n), detectors, influencers, TOPIC);
                (0..count).map(job).collect()
            };
            let outcome = serve_all(&jobs("one", 1), events, Reading::Shared);
            one.push(outcome.cpu);
            peaks[0] = peaks[0].max(outcome.peak_mb);
            let outcome = serve_all(&jobs("two", 2), events, Reading::Shared);
            two.push(outcome.cpu);
            peaks[1] = peaks[1].max(outcome.peak_mb);
            shared = outcome.shared;
            apart.push(serve_all(&jobs("apart", 2), events, Reading::Apart).cpu);
        }
        let times = |of: &[f64]| -> Vec<f64> {
            let mut times: Vec<f64> = of.iter().zip(&one).map(|(of, one)| of / one).collect();
            times.sort_by(f64::total_cmp);
            times
        };
        let (ratios, without) = (times(&two), times(&apart));
        let spread = format!("{:.2}-{:.2}x", ratios[0], ratios[rounds - 1]);
        println!(
            "{name:<32}{:>12.2}{:>12.2}{:>9.2}x{spread:>13}{:>9.2}x{:>11.0}%{:>14.0}{:>14.0}",
            median(one),
            median(two),
            median(ratios),
            median(without),
            100.0 * shared as f64 / events as f64,
            peaks[0],
            peaks[1],
        );
    }
}

/// How jobs of one process read a topic that they have in common.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Reading {
    Shared,
    Apart,
}

/// What it took to work jobs from the first message to the last commit.
pub(crate) struct Outcome {
    /// Seconds of this process.
    pub(crate) cpu: f64,
    /// Messages that one job took from another.
    pub(crate) shared: u64,
    /// Resident memory at its highest, above what it was before; in MB.
    pub(crate) peak_mb: f64,
}

/// Works jobs side by side, each on a thread.
pub(crate) fn serve_all(jobs: &[Arc<Job>], events: usize, reading: Reading) -> Outcome {
    let sharing = Sharing::new(Arc::new(SystemClock), Limits::default());
    let before_mb = forget_peak();
    let ready = Barrier::new(jobs.len() + 1);
    thread::scope(|scope| {
        let workers: Vec<_> = jobs
            .iter()
            .map(|job| {
                let (ready, sharing) = (&ready, &sharing);
                scope.spawn(move || {
                    let kafka = kafka(&group_of("bench", &job.id));
                    let log = KafkaLog::open(&kafka, &crate::world::topic_settings());
                    let log = log.expect("clients");
                    match reading {
                        Reading::Apart => work(log, &kafka, job, events, ready),
                        Reading::Shared => {
                            let log = SharedLog::new(log, sharing, Arc::clone(job));
                            work(log, &kafka, job, events, ready)
                        }
                    }
                })
            })
            .collect();
        ready.wait();
        let watch = Stopwatch::start();
        let shared = workers.into_iter().map(|worker| worker.join());
        let shared = shared
            .map(|outcome| outcome.expect("no worker panics"))
            .sum();
        Outcome {
            cpu: watch.cost().cpu,
            shared,
            peak_mb: peak() - before_mb,
        }
    })
}

/// One job's thread, from the first poll until all is settled. Returns how many messages it took from others.
fn work<L: Log>(log: L, kafka: &Kafka, job: &Arc<Job>, events: usize, ready: &Barrier) -> u64 {
    let ear = Ear::of(job);
    let mut service = start(log, kafka, job, &ear, MEASURED);
    ready.wait();
    breathe_until(&mut service, &ear, |service| {
        ear.consumed.load(Relaxed) >= events as u64 && service.is_settled()
    });
    service.finish().expect("an end in order");
    ear.shared.load(Relaxed)
}
