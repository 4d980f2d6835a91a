//! The engine in a loop of one's own: messages in, results out, the state saved and taken up again half-way.
//!
//! `cargo run --example embed_pipeline`. There is no thread, clock or I/O in the engine: where messages come from and when a
//! snapshot is taken is up to you, and what follows a restore is exactly what would have followed without one.

use std::sync::Arc;
use tidewatch::config::Job;
use tidewatch::decode::Decoder;
use tidewatch::engine::gatherer::Input;
use tidewatch::engine::pipeline::{Output, Pipeline};
use tidewatch::engine::result::Severity;
use tidewatch::time::Finality;

const JOB: &str = "
job_id: sensors
analysis_config: {bucket_span: 1m, detectors: [{function: max, field_name: celsius, by_field_name: sensor}]}
data_description: {time_field: time, time_format: epoch}
";

/// A reading a sensor and ten seconds; in the sixth hour the boiler runs hot.
fn messages() -> impl Iterator<Item = String> {
    (0..6 * 360).flat_map(|n| {
        let (seconds, wobble) = (1_772_409_600 + n * 10, f64::from(n * 7919 % 101) / 100.0);
        let boiler = if n == 2000 { 95.0 } else { 60.0 + wobble };
        [("boiler", boiler), ("hall", 20.0 + wobble)].map(|(sensor, celsius)| {
            format!("{{\"time\":{seconds},\"sensor\":\"{sensor}\",\"celsius\":{celsius}}}")
        })
    })
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let job = Arc::new(Job::from_text(JOB, "the example's job")?);
    let mut decoder = Decoder::new(&job);
    let mut pipeline = Pipeline::new(Arc::clone(&job));
    for (n, message) in messages().enumerate() {
        if n == 2000 {
            let snapshot = pipeline.snapshot();
            println!("moving house with {} bytes", snapshot.as_bytes().len());
            pipeline = Pipeline::restore(Arc::clone(&job), &snapshot)?;
        }
        decoder.payload(message.as_bytes(), None, &mut |event| match event {
            Ok(event) => pipeline.handle(Input::Event(event)).iter().for_each(show),
            Err(rejection) => eprintln!("{}: {}", rejection.reason.label(), rejection.detail),
        });
    }
    pipeline
        .handle(Input::Flush(Finality::Final))
        .iter()
        .for_each(show);
    Ok(())
}

fn show(output: &Output) {
    if let Output::Closed(bucket) = output
        && Severity::of(bucket.anomaly_score) >= Severity::Minor
    {
        println!("{}  bucket score {:.0}", bucket.start, bucket.anomaly_score);
    }
}
