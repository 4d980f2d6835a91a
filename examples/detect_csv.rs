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
use tidewatch::engine::result::{Body, Document};
use tidewatch::simulate::{EventFormat, Feed, Scenario};
use tidewatch::time::Finality;

const JOB: &str = "
job_id: traffic
analysis_config: {bucket_span: 15m, detectors: [{function: count}]}
data_description: {time_field: '@timestamp'}
";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let job = Arc::new(Job::from_text(JOB, "the example's job")?);
    let mut reader = match std::env::args().nth(1) {
        Some(path) => Reader::open(&job, &[path], Options::default())?,
        None => Reader::from_bytes(
            &job,
            "simulated",
            Cursor::new(ten_days()),
            Options::default(),
        ),
    };
    let mut pipeline = Pipeline::new(job);
    let mut outputs = Vec::new();
    let _ = reader.run(&mut |item| {
        match item {
            Item::Event { event, .. } => outputs.extend(pipeline.handle(Input::Event(event))),
            Item::Rejected { rejection, .. } => eprintln!("{}", rejection.detail),
        }
        ControlFlow::Continue(())
    })?;
    outputs.extend(pipeline.handle(Input::Flush(Finality::Final)));
    let records = outputs.iter().filter_map(|output| match output {
        Output::Result(Document {
            time,
            body: Body::Record(record),
            ..
        }) => Some((time, record)),
        _ => None,
    });
    match records.max_by(|(_, a), (_, b)| a.record_score.total_cmp(&b.record_score)) {
        Some((time, record)) => println!(
            "{time}  score {:.0}  {}",
            record.record_score, record.description
        ),
        None => println!("nothing unusual"),
    }
    Ok(())
}

fn ten_days() -> Vec<u8> {
    let mut feed =
        Feed::new(&Scenario::built_in("spike").expect("it is built in"), 1).expect("it is tested");
    let mut csv = EventFormat::Csv.header().as_bytes().to_vec();
    let mut writer = EventFormat::Csv.writer();
    while let Some(event) = feed.next() {
        writer.write(feed.world(), &event, &mut csv);
    }
    csv
}
