//! Memory while a lag is worked off: that of ten million messages takes what that of fewer does.

use crate::common::{SPEED_JOBS, job_with};
use crate::several::{Reading, serve_all};
use crate::world::fill;

pub(crate) fn print(lag: usize) {
    let (name, detectors, influencers) = SPEED_JOBS[2];
    println!("memory while job {name} works off a lag, two jobs sharing what they read");
    println!("{:>12}{:>12}{:>12}", "messages", "peak MB", "cpu s");
    for messages in [lag / 10, lag] {
        let topic = format!("lag-{messages}");
        fill(&topic, 1, messages, |_| 0);
        let job = |n| {
            let id = format!("lag-{messages}-{n}");
            job_with(&id, detectors, influencers, &topic)
        };
        let outcome = serve_all(&[job(0), job(1)], messages, Reading::Shared);
        println!(
            "{messages:>12}{:>12.0}{:>12.2}",
            outcome.peak_mb, outcome.cpu
        );
    }
}
