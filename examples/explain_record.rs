//! Asks a record why: `cargo run --example explain_record`.
//!
//! Ten simulated days in which one host answers late; the strongest record says what was expected, how unlikely it was, and whose
//! doing it is.

use std::sync::Arc;
use tidewatch::config::Job;
use tidewatch::decode::Decoder;
use tidewatch::engine::gatherer::Input;
use tidewatch::engine::pipeline::{Output, Pipeline};
use tidewatch::engine::result::{Body, Record};
use tidewatch::simulate::{EventFormat, Feed, Scenario};

const JOB: &str = "
job_id: latency
analysis_config:
  bucket_span: 30m
  detectors: [{function: high_mean, field_name: latency_ms, partition_field_name: service.name}]
  influencers: [host.name, user.name]
data_description: {time_field: '@timestamp'}
";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let job = Arc::new(Job::from_text(JOB, "the example's job")?);
    let scenario = Scenario {
        rate: 0.1,
        ..Scenario::built_in("slow-host").expect("it is built in")
    };
    let mut feed = Feed::new(&scenario, 1)?;
    let (mut writer, mut line) = (EventFormat::Ndjson.writer(), Vec::new());
    let (mut decoder, mut pipeline) = (Decoder::new(&job), Pipeline::new(Arc::clone(&job)));
    let mut records: Vec<Box<Record>> = Vec::new();
    while let Some(event) = feed.next() {
        line.clear();
        writer.write(feed.world(), &event, &mut line);
        decoder.payload(&line, None, &mut |event| {
            let event = event.expect("a simulated event is one");
            records.extend(
                pipeline
                    .handle(Input::Event(event))
                    .into_iter()
                    .filter_map(record),
            );
        });
    }
    let strongest = records
        .into_iter()
        .max_by(|a, b| a.record_score.total_cmp(&b.record_score));
    let Some(record) = strongest else {
        println!("nothing unusual");
        return Ok(());
    };
    println!("{}\n", record.description);
    println!("score        {:.0}", record.record_score);
    println!("probability  {:e}", record.probability);
    println!(
        "actual       {:?}, typical {:?}",
        record.actual, record.typical
    );
    for influencer in &record.influencers {
        println!(
            "because of   {} {}",
            influencer.influencer_field_name,
            influencer.influencer_field_values.join(", ")
        );
    }
    println!("\n{:#?}", record.explanation);
    Ok(())
}

fn record(output: Output) -> Option<Box<Record>> {
    match output {
        Output::Result(document) => match document.body {
            Body::Record(record) => Some(record),
            _ => None,
        },
        _ => None,
    }
}
