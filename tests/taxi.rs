//! Real input: half a year of New York taxi demand, and the days that New York remembers.
//!
//! An episode is a bucket and all within two days of it; its strength is the score that its strongest bucket was first given. What stands out
//! and is not among the labels may stand between the labelled ones: Independence Day, Labor Day and the Saturday of its weekend, Martin Luther
//! King Day, a night or two. Halloween's night and the marathon's morning after it are one episode, as they are one window of the labels.

use std::ops::ControlFlow;
use std::sync::Arc;
use tidewatch::config::Job;
use tidewatch::decode::{Item, Options, Reader};
use tidewatch::engine::gatherer::Input;
use tidewatch::engine::pipeline::{Output, Pipeline};
use tidewatch::engine::result::Body;
use tidewatch::time::{BucketStart, Finality};

const HALF_WIDTH_MS: i64 = 48 * 3_600_000;
const DAY_MS: i64 = 86_400_000;

/// Buckets and the scores that they were first given, strongest first.
fn scores() -> Vec<(f64, BucketStart)> {
    let job = Arc::new(Job::from_file("config/jobs/taxi.json").expect("the sample is a job"));
    let data = "../shared/data/nab/data/realKnownCause/nyc_taxi.csv";
    let mut reader =
        Reader::open(&job, &[data], Options::default()).expect("shared/ lies beside the project");
    let mut pipeline = Pipeline::new(job);
    let mut scores: Vec<(f64, BucketStart)> = Vec::new();
    let mut take = |outputs: Vec<Output>| {
        for output in outputs {
            if let Output::Result(document) = output
                && let Body::Bucket(bucket) = &document.body
                && !scores.iter().any(|(_, start)| *start == document.time)
            {
                scores.push((bucket.initial_anomaly_score, document.time));
            }
        }
    };
    let _ = reader
        .run(&mut |item| {
            match item {
                Item::Event { event, .. } => take(pipeline.handle(Input::Event(event))),
                Item::Rejected { .. } => panic!("every row is an event"),
            }
            ControlFlow::Continue(())
        })
        .expect("the file reads");
    take(pipeline.handle(Input::Flush(Finality::Final)));
    scores.sort_by(|a, b| b.0.total_cmp(&a.0));
    scores
}

#[test]
fn the_five_labelled_days_are_among_the_ten_strongest_episodes_of_the_taxi_year() {
    let mut episodes: Vec<(f64, BucketStart)> = Vec::new();
    for (score, start) in scores() {
        if episodes
            .iter()
            .all(|(_, peak)| (peak.millis() - start.millis()).abs() > HALF_WIDTH_MS)
        {
            episodes.push((score, start));
        }
        if episodes.len() == 10 {
            break;
        }
    }
    let said: Vec<String> = episodes
        .iter()
        .map(|(score, start)| format!("{start} {score:.0}"))
        .collect();
    // Midnights (UTC clock of the file) of the days, and how many days they last.
    let days = [
        ("Halloween and the marathon", 1_414_800_000_000, 2),
        ("Thanksgiving", 1_417_046_400_000, 1),
        ("Christmas", 1_419_379_200_000, 3),
        ("New Year", 1_419_984_000_000, 2),
        ("the blizzard", 1_422_230_400_000, 2),
    ];
    for (name, from_ms, length) in days {
        let hit = episodes
            .iter()
            .any(|(_, start)| (from_ms..from_ms + length * DAY_MS).contains(&start.millis()));
        assert!(hit, "{name} is not among {said:#?}");
    }
}
