//! `tidewatch topics --plan|--apply`: the topics that a service writes, against what is on the brokers.
//!
//! For those who make topics before the service may (or instead of it), and to see whether what is there is what the service relies on.
//! Never destructive. Checked by: tests/kafka.

use super::jobs::jobs_of;
use super::run;
use crate::config::service::SnapshotStore as Where;
use crate::runtime::jobs::Footprint;
use crate::runtime::kafka::{KafkaTopics, Step, steps};
use crate::runtime::log::NewTopic;
use crate::runtime::store::TopicStore;
use crate::runtime::supervisor::control;
use crate::runtime::task::TopicNames;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

/// What `--help` ends with.
pub const EXAMPLES: &str = "\
Examples:
  tidewatch topics --plan                what would be made or changed, and what is left as it is
  tidewatch topics --apply               make and change it; nothing is ever deleted, no partition count touched";

/// Arguments of `tidewatch topics`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Say what would be done.
    #[arg(long, required_unless_present = "apply", conflicts_with = "apply")]
    plan: bool,
    /// Do it.
    #[arg(long)]
    apply: bool,
    /// The service's configuration.
    #[arg(
        long,
        env = "TIDEWATCH_CONFIG",
        value_name = "FILE",
        default_value = "tidewatch.yaml"
    )]
    config: PathBuf,
}

/// Says or does what is to be done.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let configuration = run::load(&args.config)?;
    let names = TopicNames::new(&configuration.topics.prefix);
    let mut log = KafkaTopics::open(&configuration.kafka, &configuration.topics)?;
    let mut wanted: BTreeMap<String, NewTopic> = BTreeMap::new();
    let mut want = |topic: NewTopic| drop(wanted.insert(topic.name.clone(), topic));
    want(control::topic(&names.control()));
    if configuration.snapshots == Where::Topic {
        want(TopicStore::<KafkaTopics>::topic(&names.snapshots()));
    }
    names.forecasts().into_iter().for_each(&mut want);
    if let Some(alerts) = run::alert_settings(&configuration) {
        alerts.topics(&names).into_iter().for_each(&mut want);
    }
    for (id, job) in jobs_of(&configuration) {
        match Footprint::of(&mut log, &job, &names, &configuration.kafka.group_id) {
            Ok(footprint) => footprint.plan.written().into_iter().for_each(&mut want),
            // Its own topics depend on the partitions of its inputs.
            Err(error) => eprintln!("tidewatch: {id} is left out: {error}"),
        }
    }
    let wanted: Vec<NewTopic> = wanted.into_values().collect();
    let standing = log.standing(&wanted)?;
    let steps = steps(&wanted, &standing, &configuration.topics);
    if args.apply {
        log.apply(&steps, &standing)?;
    }
    let is_left = |step: &&Step| matches!(step, Step::Partitions { .. });
    let left = steps.iter().filter(is_left).count();
    steps.iter().for_each(|step| println!("{step}"));
    let verb = if args.apply { "done" } else { "to do" };
    println!("{} topics, {} {verb}", wanted.len(), steps.len() - left);
    Ok(ExitCode::SUCCESS)
}
