//! `tidewatch simulate`: the events of a scenario, and the labels beside them.

use super::output;
use crate::simulate::{EventFormat, Feed, Scenario, parse_time};
use anyhow::Context;
use clap::ValueEnum;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What `tidewatch simulate --help` ends with.
pub const EXAMPLES: &str = "\
Examples:
  tidewatch simulate web -o web.ndjson --labels web.labels.ndjson   two weeks, one incident of each kind
  tidewatch simulate calm --events 2000000 --rate 2000 --hosts 1000 a load to measure with
  tidewatch simulate shop.yaml | tidewatch detect job.yaml -        a scenario of one's own

The format of scenarios and labels: docs/simulated-feeds.md.";

/// What the command takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A built-in scenario (see --list) or a YAML file.
    #[arg(default_value = "web", value_name = "SCENARIO")]
    scenario: String,
    /// The same seed gives the same events, on every machine.
    #[arg(
        long,
        default_value_t = 1,
        value_name = "N",
        allow_negative_numbers = true
    )]
    seed: u64,
    /// When the feed begins: a day or an ISO 8601 moment [default: the scenario's, 2026-03-02].
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// How long it is.
    #[arg(
        long,
        value_name = "DAYS",
        conflicts_with = "events",
        allow_negative_numbers = true
    )]
    days: Option<f64>,
    /// Stop after so many events, however long that takes.
    #[arg(long, value_name = "N")]
    events: Option<u64>,
    /// Events a second, mean over a week.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    rate: Option<f64>,
    /// How many hosts.
    #[arg(long, value_name = "N")]
    hosts: Option<usize>,
    /// How many users.
    #[arg(long, value_name = "N")]
    users: Option<usize>,
    /// How events are written.
    #[arg(long, value_enum, default_value_t = Format::Ndjson)]
    format: Format,
    /// Where the events go [default: stdout].
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Where the labels go: what a detector should find, one JSON object a line.
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// List the built-in scenarios.
    #[arg(long)]
    list: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// One JSON object a line, nested as Beats write it.
    Ndjson,
    /// One JSON object a line, with dotted keys.
    Dotted,
    /// Comma-separated values with a header.
    Csv,
}

impl From<Format> for EventFormat {
    fn from(format: Format) -> EventFormat {
        match format {
            Format::Ndjson => EventFormat::Ndjson,
            Format::Dotted => EventFormat::Dotted,
            Format::Csv => EventFormat::Csv,
        }
    }
}

/// The days that a feed of `--events` may take: a hundred years.
const DAYS_MAX: f64 = 36_525.0;

/// Writes the feed.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if args.list {
        let mut out = output::open(None)?;
        for name in Scenario::built_in_names() {
            let scenario = Scenario::built_in(name).expect("it was just named");
            writeln!(out, "{name:13} {}", scenario.description)?;
        }
        out.flush()?;
        return Ok(ExitCode::SUCCESS);
    }
    let scenario = scenario(args)?;
    let feed = Feed::new(&scenario, args.seed).with_context(|| args.scenario.clone())?;
    if args.events.is_none() {
        warn_of_incidents_beyond(&scenario);
    }
    let last = write_events(args, feed)?;
    if let Some(path) = &args.labels {
        let mut out = output::open(Some(path))?;
        for label in scenario
            .labels()
            .iter()
            .filter(|label| last.is_none_or(|last| label.start <= last))
        {
            output::json_line(&mut out, label)?;
        }
        out.flush()
            .with_context(|| format!("{}: cannot be written", path.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The scenario asked for, with what the options change.
fn scenario(args: &Args) -> anyhow::Result<Scenario> {
    let mut scenario = load(&args.scenario)?;
    if let Some(from) = &args.from {
        scenario.from = parse_time(from).context("--from")?;
    }
    scenario.days = match args.events {
        Some(_) => DAYS_MAX,
        None => args.days.unwrap_or(scenario.days),
    };
    scenario.rate = args.rate.unwrap_or(scenario.rate);
    scenario.hosts = args.hosts.unwrap_or(scenario.hosts);
    scenario.users = args.users.unwrap_or(scenario.users);
    if args.events.is_some() && scenario.rate <= 0.0 {
        anyhow::bail!("--events needs a rate above 0, found {}", scenario.rate);
    }
    Ok(scenario)
}

/// A built-in scenario by its name, or one from a file.
pub(super) fn load(name: &str) -> anyhow::Result<Scenario> {
    if let Some(scenario) = Scenario::built_in(name) {
        return Ok(scenario);
    }
    if !Path::new(name).exists() {
        let names: Vec<_> = Scenario::built_in_names().collect();
        anyhow::bail!(
            "{name}: neither a file nor a built-in scenario ({})",
            names.join(", ")
        );
    }
    let text = std::fs::read_to_string(name).with_context(|| format!("{name}: cannot be read"))?;
    Scenario::from_yaml(&text).with_context(|| name.to_owned())
}

fn warn_of_incidents_beyond(scenario: &Scenario) {
    let beyond = scenario.incidents.len() - scenario.labels().len();
    if beyond > 0 {
        let all = scenario.incidents.len();
        eprintln!(
            "tidewatch: {beyond} of {all} incidents lie beyond day {} and are left out",
            scenario.days
        );
    }
}

/// Writes the events; says when the last one was if the feed was cut short.
fn write_events(args: &Args, mut feed: Feed) -> anyhow::Result<Option<crate::time::EventTime>> {
    let to_file = args
        .out
        .as_deref()
        .is_some_and(|path| path != Path::new("-"));
    let progress = (to_file && io::stderr().is_terminal())
        .then(|| indicatif::ProgressBar::new(1000).with_message("simulating"));
    let mut out = output::open(args.out.as_deref())?;
    let format = EventFormat::from(args.format);
    let mut writer = format.writer();
    let mut line = format.header().as_bytes().to_vec();
    let mut left = args.events.unwrap_or(u64::MAX);
    let mut last = None;
    while left > 0 {
        let Some(event) = feed.next() else { break };
        left -= 1;
        last = Some(event.time);
        writer.write(feed.world(), &event, &mut line);
        out.write_all(&line)?;
        line.clear();
        if let (Some(progress), 0) = (&progress, left % 4096) {
            progress.set_position((feed.progress_ratio() * 1000.0) as u64);
        }
    }
    out.write_all(&line)?; // the header, when there was no event
    out.flush()?;
    if let Some(progress) = progress {
        progress.finish_and_clear();
    }
    Ok(args.events.and(last))
}
