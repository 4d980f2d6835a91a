//! Asks a record why: `cargo run --example explain_record`.
//!
//! Ten simulated days in which one host answers late, looked at service by service; the strongest record says what was expected,
//! how unlikely the value was, and that it is the host's doing.

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
    let scenario = Scenario::built_in("slow-host").expect("it is built in");
    let mut feed = Feed::new(&scenario, 1)?;
    let (mut writer, mut line) = (EventFormat::Ndjson.writer(), Vec::new());
    let (mut decoder, mut pipeline) = (Decoder::new(&job), Pipeline::new(job));
    let mut records = Vec::new();
    while let Some(event) = feed.next() {
        line.clear();
        writer.write(feed.world(), &event, &mut line);
        decoder.payload(&line, None, &mut |event| {
            for output in pipeline.handle(Input::Event(event.expect("a simulated event is one"))) {
                if let Output::Result(document) = output
                    && let Body::Record(record) = document.body
                {
                    records.push(record);
                }
            }
        });
    }
    records.sort_by(|a, b| a.record_score.total_cmp(&b.record_score));
    explain(records.last().expect("the slow host stands out"));
    Ok(())
}

fn explain(record: &Record) {
    let (score, probability) = (record.record_score, record.probability);
    let (actual, typical) = (&record.actual, &record.typical);
    println!("{}\n", record.description);
    println!("score {score:.0}, probability {probability:.1e}");
    println!("actual {actual:.2?}, typical {typical:.2?}");
    for influencer in &record.influencers {
        let values = influencer.influencer_field_values.join(", ");
        println!("because of {} {values}", influencer.influencer_field_name);
    }
    println!("{:#?}", record.explanation);
}
