//! Reads a CSV file and shows its most unusual moment: `cargo run --example detect_csv [FILE]`.
//!
//! The file needs the columns of the job below. Without one, ten simulated days in which traffic once bursts stand in.

use std::io::Cursor;
use std::ops::ControlFlow;
use std::sync::Arc;
use tidewatch::config::Job;
use tidewatch::decode::{Item, Options, Reader};
use tidewatch::engine::gatherer::Input;
use tidewatch::engine::pipeline::{Output, Pipeline};
use tidewatch::engine::result::Body;
use tidewatch::simulate::{EventFormat, Feed, Scenario};
use tidewatch::time::Finality;

const JOB: &str = "
job_id: traffic
analysis_config: {bucket_span: 15m, detectors: [{function: count}]}
data_description: {time_field: '@timestamp'}
";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let job = Arc::new(Job::from_text(JOB, "the example's job")?);
    let options = Options::default();
    let mut reader = match std::env::args().nth(1) {
        Some(path) => Reader::open(&job, &[path], options)?,
        None => Reader::from_bytes(&job, "simulated", Cursor::new(ten_days()?), options),
    };
    let (mut pipeline, mut outputs) = (Pipeline::new(job), Vec::new());
    let _ = reader.run(&mut |item| {
        match item {
            Item::Event { event, .. } => outputs.extend(pipeline.handle(Input::Event(event))),
            Item::Rejected { rejection, .. } => eprintln!("{}", rejection.detail),
        }
        ControlFlow::Continue(())
    })?;
    outputs.extend(pipeline.handle(Input::Flush(Finality::Final)));
    let mut records = Vec::new();
    for output in outputs {
        if let Output::Result(document) = output
            && let Body::Record(record) = document.body
        {
            records.push((record.record_score, document.time, record.description));
        }
    }
    match records.iter().max_by(|a, b| a.0.total_cmp(&b.0)) {
        Some((score, time, description)) => println!("{time}  score {score:.0}  {description}"),
        None => println!("nothing unusual"),
    }
    Ok(())
}

fn ten_days() -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let mut feed = Feed::new(&Scenario::built_in("spike").expect("it is built in"), 1)?;
    let (mut writer, mut csv) = (EventFormat::Csv.writer(), EventFormat::Csv.header().into());
    while let Some(event) = feed.next() {
        writer.write(feed.world(), &event, &mut csv);
    }
    Ok(csv)
}
