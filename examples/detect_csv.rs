//! Reads a CSV file and shows its most unusual moment: `cargo run --example detect_csv [FILE]`.
//!
//! The file needs the columns of the job below. Without one, ten simulated days in which traffic once bursts stand in.

use std::fs::File;
use std::io::{Cursor, Read};
use std::ops::ControlFlow;
use std::sync::Arc;
use tidewatch::config::Job;
use tidewatch::decode::{Item, Options, Reader};
use tidewatch::engine::gatherer::Input;
use tidewatch::engine::pipeline::{Output, Pipeline};
use tidewatch::engine::result::{Body, Record};
use tidewatch::simulate::{EventFormat, Feed, Scenario};
use tidewatch::time::Finality;

const JOB: &str = "
job_id: traffic
analysis_config: {bucket_span: 15m, detectors: [{function: count}], influencers: [service.name]}
data_description: {time_field: '@timestamp'}
";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let job = Arc::new(Job::from_text(JOB, "the example's job")?);
    let csv: Box<dyn Read + Send> = match std::env::args().nth(1) {
        Some(path) => Box::new(File::open(path)?),
        None => Box::new(Cursor::new(ten_days())),
    };
    let mut pipeline = Pipeline::new(Arc::clone(&job));
    let mut strongest: Option<(String, Box<Record>)> = None;
    let mut keep = |outputs: Vec<Output>| {
        for output in outputs {
            let Output::Result(document) = output else {
                continue;
            };
            let Body::Record(record) = document.body else {
                continue;
            };
            if strongest
                .as_ref()
                .is_none_or(|(_, best)| record.record_score > best.record_score)
            {
                strongest = Some((document.time.to_string(), record));
            }
        }
    };
    let _ = Reader::from_bytes(&job, "csv", csv, Options::default()).run(&mut |item| {
        match item {
            Item::Event { event, .. } => keep(pipeline.handle(Input::Event(event))),
            Item::Rejected { rejection, .. } => eprintln!("{}", rejection.detail),
        }
        ControlFlow::Continue(())
    })?;
    keep(pipeline.handle(Input::Flush(Finality::Final)));
    match strongest {
        Some((time, record)) => println!(
            "{time}  score {:.0}  {}",
            record.record_score, record.description
        ),
        None => println!("nothing unusual"),
    }
    Ok(())
}

fn ten_days() -> Vec<u8> {
    let scenario = Scenario {
        rate: 0.05,
        ..Scenario::built_in("spike").expect("it is built in")
    };
    let mut feed = Feed::new(&scenario, 1).expect("built-in scenarios are sound");
    let mut csv = EventFormat::Csv.header().as_bytes().to_vec();
    let mut writer = EventFormat::Csv.writer();
    while let Some(event) = feed.next() {
        writer.write(feed.world(), &event, &mut csv);
    }
    csv
}
