//! `tidewatch explain JOB`: how a job is laid out on its topics, why, and what that costs.
//!
//! The same [`Plan`] that the service makes, from the partitions that the brokers tell, or from stated ones. Bytes on the internal topics are measured: a
//! bucket of made-up series goes through the job's own gatherer and encoding. Checked by: tests/cli.rs, and the test below.

use super::beside::Beside;
use super::jobs::{find, jobs_of};
use super::run;
use crate::config::{Detector, Job};
use crate::engine::event::{Event, Value};
use crate::engine::gatherer::{Gatherer, Input, Output};
use crate::engine::wire::StageMessage;
use crate::runtime::kafka::KafkaTopics;
use crate::runtime::log::Topics;
use crate::runtime::service::group_of;
use crate::runtime::task::{Placement, Plan, TopicNames};
use crate::time::{EventTime, Finality};
use anyhow::Context;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// What `--help` ends with.
pub const EXAMPLES: &str = "\
Examples:
  tidewatch explain job.yaml --partitions web-logs=12      without a broker
  tidewatch explain web --config tidewatch.yaml            a job of the service, on its brokers
  tidewatch explain web --series 200000                    what so many series cost";

/// Arguments of `tidewatch explain`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A job file, or the id of a job of the configuration.
    #[arg(value_name = "JOB")]
    job: String,
    #[command(flatten)]
    beside: Beside,
    /// The service's configuration; its brokers are asked for partitions unless these are stated.
    #[arg(long, env = "TIDEWATCH_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// How many partitions an input topic has.
    #[arg(long, value_name = "TOPIC=N", value_parser = partitions)]
    partitions: Vec<(String, i32)>,
    /// Series with events in a bucket, for the estimate.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    series: u32,
}

fn partitions(text: &str) -> Result<(String, i32), String> {
    text.rsplit_once('=')
        .and_then(|(topic, count)| Some((topic.to_owned(), count.parse().ok()?)))
        .filter(|(topic, count)| !topic.is_empty() && *count > 0)
        .ok_or_else(|| "a topic and its number of partitions such as web-logs=12".to_owned())
}

/// Prints the explanation.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let configuration = args.config.as_deref().map(run::load).transpose()?;
    let file = PathBuf::from(&args.job);
    let job = match (&configuration, file.is_file()) {
        (Some(configuration), false) => find(&jobs_of(configuration), &args.job)?,
        _ => Arc::new(Job::from_files_beside(&file, None, &args.beside.read()?)?),
    };
    let (names, base) = match &configuration {
        Some(service) => (
            TopicNames::new(&service.topics.prefix),
            service.kafka.group_id.as_str(),
        ),
        None => (TopicNames::new("tidewatch"), "tidewatch"),
    };
    let mut asked = Plan::asked(&job)?;
    asked.push(names.closed(&job.id));
    let found: BTreeMap<String, i32> = match &configuration {
        _ if !args.partitions.is_empty() => args.partitions.iter().cloned().collect(),
        Some(service) => KafkaTopics::open(&service.kafka, &service.topics)?.partitions(&asked)?,
        None => anyhow::bail!("no broker to ask: say --config FILE, or --partitions TOPIC=N"),
    };
    let plan = Plan::new(job, names, &found).context("the job cannot be laid out")?;
    print!("{}", explain(&plan, base, args.series));
    Ok(ExitCode::SUCCESS)
}

/// The explanation, as text.
fn explain(plan: &Plan, base: &str, series: u32) -> String {
    let mut text = String::new();
    let inputs: i32 = plan.inputs.values().sum();
    let placement = format!("{:?}", plan.placement).to_lowercase();
    let mut line = |name: &str, what: String| {
        let _ = writeln!(text, "{name:<12}{what}");
    };
    line("job", plan.job.id.clone());
    line(
        "placement",
        format!("{placement}: {}", reason(plan, inputs)),
    );
    let topics = plan
        .inputs
        .iter()
        .map(|(topic, count)| format!("{topic} ({count})"));
    line("reads", topics.collect::<Vec<_>>().join(", "));
    line("group", group_of(base, &plan.job.id));
    line("tasks", tasks(plan, inputs));
    line("shards by", sharding(&plan.job));
    line("ceiling", ceiling(plan, inputs));
    for topic in plan
        .written()
        .iter()
        .filter(|topic| plan.is_internal(&topic.name))
    {
        let partitions = topic.partitions.unwrap_or(1);
        line("internal", format!("{} ({partitions})", topic.name));
    }
    line("cost", cost(plan, inputs, series));
    text
}

fn reason(plan: &Plan, inputs: i32) -> String {
    match plan.placement {
        Placement::Fused => {
            "one input partition, so nothing needs merging; events become results in one task"
                .to_owned()
        }
        Placement::Keyed => format!(
            "{inputs} input partitions, and the job says that their key decides by its partition field; each judges its own series"
        ),
        Placement::Ordered => format!(
            "{inputs} input partitions and categories of messages, which are decided in one order: the events of all go to one task"
        ),
        Placement::Staged => format!(
            "{inputs} input partitions that may hold events of the same series; closed buckets go to {} shards to be merged",
            plan.shards
        ),
    }
}

fn tasks(plan: &Plan, inputs: i32) -> String {
    match plan.placement {
        Placement::Fused => "1: gatherer, judge and rollup in one".to_owned(),
        Placement::Keyed => format!("{}: {inputs} gatherer-judges, 1 rollup", inputs + 1),
        Placement::Ordered => format!(
            "{}: {inputs} projectors, 1 gatherer, judge and rollup in one",
            inputs + 1
        ),
        Placement::Staged => format!(
            "{}: {inputs} gatherers, {} judges, 1 rollup",
            inputs + i32::from(plan.shards) + 1,
            plan.shards
        ),
    }
}

/// Which field decides to which shard a series belongs, detector by detector.
fn sharding(job: &Job) -> String {
    let of = |detector: &Detector| match detector.partition {
        Some(field) => format!("{} ({})", job.field_name(field), detector.description),
        None => format!("nothing, all on shard 0 ({})", detector.description),
    };
    let mut each: Vec<String> = job.detectors.iter().map(of).collect();
    each.dedup();
    each.join("; ")
}

fn ceiling(plan: &Plan, inputs: i32) -> String {
    let spread = plan
        .job
        .detectors
        .iter()
        .any(|detector| detector.partition.is_some());
    match plan.placement {
        Placement::Fused => {
            "1 instance; more partitions in the topic would make it more".to_owned()
        }
        Placement::Keyed => format!("{inputs} instances share the models"),
        Placement::Ordered => {
            format!("{inputs} instances decode and select, 1 categorises and holds the models")
        }
        Placement::Staged if spread => format!(
            "{inputs} instances decode, {} hold models (tidewatch.shards, then `tidewatch jobs reshard {}`)",
            plan.shards, plan.job.id
        ),
        Placement::Staged => format!(
            "{inputs} instances decode, 1 holds the models: no detector has a partition field"
        ),
    }
}

/// Messages and bytes on internal topics for a bucket in which every gatherer has events of every shard.
fn cost(plan: &Plan, inputs: i32, series: u32) -> String {
    match plan.placement {
        Placement::Fused => "no internal messages".to_owned(),
        Placement::Keyed => format!(
            "at most {} messages a bucket on internal topics, a few hundred bytes each and what is unusual",
            2 * inputs
        ),
        Placement::Ordered => {
            "each event once more, reduced to the job's fields, in messages of 256 KiB at the most before compression"
                .to_owned()
        }
        Placement::Staged => {
            let shards = i32::from(plan.shards);
            // A closed bucket and a watermark each, from gatherers to judges and from judges to the rollup.
            let messages = 2 * inputs * shards + 2 * shards;
            let bytes = closed_bytes(plan, series) as f64 / f64::from(series);
            format!(
                "at most {messages} messages a bucket; {bytes:.0} bytes a series and bucket that one gatherer has events of \
                 ({series} series in one partition: {:.1} MB a bucket), before the client's own compression",
                bytes * f64::from(series) / 1e6
            )
        }
    }
}

/// Bytes that one gatherer sends to all judges of a bucket of so many made-up series, ten events each.
fn closed_bytes(plan: &Plan, series: u32) -> usize {
    let job = &plan.job;
    let mut gatherer = Gatherer::new(Arc::clone(job));
    let is_measured = |name: usize| {
        let measured = |detector: &Detector| {
            detector
                .field
                .is_some_and(|field| usize::from(field.0) == name)
        };
        job.detectors.iter().any(measured)
    };
    for one in 0..series {
        for event in 0..10_u32 {
            let values: Vec<Value<'_>> = (0..job.fields.len())
                .map(|field| match is_measured(field) {
                    true => Value::Float((scatter(one, event) % 1_000_000) as f64 / 1_000.0),
                    false => Value::Text(format!("value-{:08x}", scatter(one, 0) as u32).into()),
                })
                .collect();
            let event = Event {
                time: EventTime(0),
                values: &values,
                raw_bytes: 200,
                raw_fields: 10,
            };
            let _ = gatherer.handle(Input::Event(&event));
        }
    }
    let closed = gatherer.handle(Input::Flush(Finality::Final));
    let buckets = closed.into_iter().filter_map(|output| match output {
        Output::Closed(bucket) => Some(bucket),
        Output::Late(_) | Output::Watermark(_) | Output::Rejected(_) => None,
    });
    buckets
        .flat_map(|bucket| bucket.split(plan.shards))
        .map(|(_, share)| StageMessage::Closed(share).encode().len())
        .sum()
}

/// A number that neither looks like its neighbours' nor compresses with them, as those of real series do not.
fn scatter(series: u32, event: u32) -> u64 {
    xxh3_64(format!("{series}/{event}").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(extensions: &str, partitions: i32) -> String {
        let text = format!(
            "job_id: web\nanalysis_config: {{bucket_span: 5m, detectors: [{{function: mean, field_name: ms, partition_field_name: host}}]}}\n\
             data_description: {{}}\ndatafeed_config: {{indices: [logs]}}\ntidewatch: {{{extensions}}}\n"
        );
        let job = Arc::new(Job::from_text(&text, "web.yaml").unwrap());
        let found = BTreeMap::from([("logs".to_owned(), partitions)]);
        let plan = Plan::new(job, TopicNames::new("tw"), &found).unwrap();
        explain(&plan, "base", 1_000)
    }

    #[test]
    fn each_placement_is_told_with_its_reason_and_its_price() {
        let fused = told("", 1);
        for says in [
            "fused: one input partition",
            "base.web",
            "1: gatherer",
            "no internal messages",
        ] {
            assert!(fused.contains(says), "{says}\n{fused}");
        }
        let keyed = told("keyed_by_partition_field: true", 6);
        for says in [
            "keyed: 6 input",
            "7: 6 gatherer-judges, 1 rollup",
            "tw.web.partials (1)",
            "at most 12 messages",
        ] {
            assert!(keyed.contains(says), "{says}\n{keyed}");
        }
        assert!(!keyed.contains("closed"));
        let staged = told("shards: 3", 6);
        for says in [
            "staged: 6 input",
            "10: 6 gatherers, 3 judges, 1 rollup",
            "tw.web.closed (3)",
            "at most 42 messages",
            "host (mean(ms) partitionfield=host)",
        ] {
            assert!(staged.contains(says), "{says}\n{staged}");
        }
    }

    #[test]
    fn partitions_are_stated_as_topic_and_number() {
        assert_eq!(partitions("a=b=3"), Ok(("a=b".to_owned(), 3)));
        for wrong in ["a", "a=", "=3", "a=0", "a=-1", "a=x"] {
            assert!(partitions(wrong).is_err(), "{wrong}");
        }
    }
}
