//! The command line: one file a command, each an `Args` and a `run`.
//!
//! Results go to stdout, everything else (progress, logs, errors) to stderr. Exit codes: 0 done, 1 it failed, 2 the command line is
//! wrong, 130 interrupted. A reader that goes away (`tidewatch ... | head`) ends a command quietly, with 0.
//! Checked by: tests/cli.rs, tests/readme.rs.

pub mod alerts;
pub mod backtest;
mod beside;
pub mod calendar;
pub mod categorize;
pub mod demo;
pub mod detect;
pub mod explain;
mod feed;
mod findings;
pub mod forecast;
mod interrupt;
pub mod jobs;
pub mod new;
mod notes;
mod output;
pub mod plan;
mod progress;
mod report;
pub mod run;
pub mod simulate;
mod sink;
pub mod snapshots;
mod table;
pub mod tail;
pub mod top;
pub mod topics;
pub mod validate;

use crate::config::service::LogFormat;
use clap::builder::styling::{AnsiColor, Styles};
use clap::{ColorChoice, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;

/// What `--help` ends with.
const EXAMPLES: &str = "\
Examples:
  tidewatch demo                                        watch the service find known incidents
  tidewatch simulate web --days 14 -o web.ndjson        two weeks of events to try it on
  tidewatch new web.ndjson -o job.yaml                  a job for what a file holds
  tidewatch detect job.yaml web.ndjson                  what was unusual in a file
  tail -F access.ndjson | tidewatch detect job.yaml -   the same, live
  tidewatch backtest job.yaml web.ndjson --labels L     what of known incidents a job finds, how fast, at what price
  tidewatch forecast job.yaml web.ndjson --duration 7d  how its series may go on, with bounds
  tidewatch alerts job.yaml web.ndjson                  which alerts it would have raised, by threshold
  tidewatch categorize app.log --table                  what kinds of messages a log has
  tidewatch plan job.yaml web.ndjson                    how many series, how much memory
  tidewatch validate job.yaml                           every mistake in a job, with its cure
  tidewatch validate --config tidewatch.yaml            the same of a service and all its jobs
  tidewatch run --config tidewatch.yaml                 Kafka in, Kafka out
  tidewatch jobs list --config tidewatch.yaml           where each of its jobs stands
  tidewatch tail web --config tidewatch.yaml            a job's anomalies as they come
  tidewatch top --url http://127.0.0.1:9600             lag, watermark, memory, hottest entities, live
  tidewatch topics --plan --config tidewatch.yaml       the topics it needs, against those there are
  tidewatch explain job.yaml --partitions web=12        how a job is spread over instances, and what that costs

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.";

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// Anomaly detection for event streams: Elastic's job language, Kafka's guarantees.
#[derive(Debug, Parser)]
#[command(name = "tidewatch", version, after_help = EXAMPLES, styles = STYLES, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    common: Common,
}

/// What every command takes.
#[derive(Clone, Debug, clap::Args)]
pub struct Common {
    /// How much to log, to stderr: off, error, warn, info, debug, trace, or directives such as `tidewatch=debug,warn`.
    #[arg(
        long,
        global = true,
        env = "TIDEWATCH_LOG",
        value_name = "LEVEL",
        help_heading = "Common options"
    )]
    pub log_level: Option<String>,
    /// When to colour what is printed.
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, value_name = "WHEN", help_heading = "Common options")]
    pub color: Color,
}

/// When to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Color {
    /// Whether stdout takes colour.
    pub fn on_stdout(self) -> bool {
        match self {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                io::stdout().is_terminal()
                    && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            }
        }
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// What a job would have alerted people of over history, and how often at other thresholds.
    #[command(after_help = alerts::EXAMPLES)]
    Alerts(alerts::Args),
    /// What comes of calendars: every occurrence of their events.
    #[command(after_help = calendar::EXAMPLES)]
    Calendar(calendar::Args),
    /// Run a job over history and measure it against labels: found, how fast, false alarms.
    #[command(after_help = backtest::EXAMPLES)]
    Backtest(backtest::Args),
    /// Which kind of message is each line of a log, and what kinds are there.
    #[command(after_help = categorize::EXAMPLES)]
    Categorize(categorize::Args),
    /// Analyse files or a pipe: what was unusual, when, who caused it.
    #[command(after_help = detect::EXAMPLES)]
    Detect(detect::Args),
    /// How a job is laid out on its topics, why, and what that costs.
    #[command(after_help = explain::EXAMPLES)]
    Explain(explain::Args),
    /// How the series of a job may go on, with 95 % bounds: after files, or after what a running service has learnt.
    #[command(after_help = forecast::EXAMPLES)]
    Forecast(forecast::Args),
    /// Watch the service find known incidents in a simulated feed, with a verdict at the end.
    #[command(after_help = demo::EXAMPLES)]
    Demo(demo::Args),
    /// Look at a sample and propose a job: time, bucket span, detectors, influencers, memory.
    #[command(after_help = new::EXAMPLES)]
    New(new::Args),
    /// Look at the jobs of a service, stop, start and reset them, replay a range.
    #[command(after_help = jobs::EXAMPLES)]
    Jobs(jobs::Args),
    /// How many series a job will have and how much memory they take, from a sample or from what is known of its fields.
    #[command(after_help = plan::EXAMPLES)]
    Plan(plan::Args),
    /// Run the service: jobs over Kafka topics.
    Run {
        /// The service's configuration.
        #[arg(
            long,
            env = "TIDEWATCH_CONFIG",
            default_value = "tidewatch.yaml",
            value_name = "FILE"
        )]
        config: PathBuf,
    },
    /// Write simulated events with known incidents, and the labels beside them.
    #[command(after_help = simulate::EXAMPLES)]
    Simulate(simulate::Args),
    /// What is kept of jobs' models: task, offset, time, size, format.
    #[command(after_help = snapshots::EXAMPLES)]
    Snapshots(snapshots::Args),
    /// What jobs say, in the terminal, as they say it.
    #[command(after_help = tail::EXAMPLES)]
    Tail(tail::Args),
    /// Jobs, lag, watermark, memory and hottest entities of running instances, refreshed in place.
    #[command(after_help = top::EXAMPLES)]
    Top(top::Args),
    /// The topics that the service writes, against what is on the brokers.
    #[command(after_help = topics::EXAMPLES)]
    Topics(topics::Args),
    /// Check job files, or a service's configuration and its jobs: every mistake at once, where it is and what would have been right.
    Validate {
        /// Job files, YAML or JSON.
        #[arg(required_unless_present = "config", value_name = "JOB")]
        jobs: Vec<PathBuf>,
        /// A service's configuration, read as `run` reads it (environment and secret files included), and the jobs it names.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        #[command(flatten)]
        beside: beside::Beside,
    },
}

/// Parses the process's arguments, runs the command, says what went wrong.
pub fn main() -> ExitCode {
    let cli = match parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come here too; clap knows which stream and which code each has.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match dispatch(cli) {
        Ok(code) => code,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tidewatch: {}", legible(&causes(&error)));
            ExitCode::FAILURE
        }
    }
}

/// `--color` decides how help is shown, so it is looked for before the arguments are parsed.
fn parse() -> Result<Cli, clap::Error> {
    let given: Vec<_> = std::env::args_os().collect();
    let says = |when: &str| {
        given
            .windows(2)
            .any(|two| two[0] == "--color" && two[1] == when)
            || given
                .iter()
                .any(|one| one.to_str() == Some(&format!("--color={when}")))
    };
    let choice = match () {
        () if says("always") => ColorChoice::Always,
        () if says("never") => ColorChoice::Never,
        () => ColorChoice::Auto,
    };
    let matches = Cli::command().color(choice).try_get_matches_from(&given)?;
    Cli::from_arg_matches(&matches)
}

fn dispatch(cli: Cli) -> anyhow::Result<ExitCode> {
    let color = cli.common.color;
    if !matches!(cli.command, Command::Run { .. }) {
        // Where lines change in place, trouble is shown among them: a log line between would be overwritten.
        let usual = match &cli.command {
            Command::Tail(args) if args.is_live() => "error",
            _ => "warn",
        };
        let wanted = cli.common.log_level.as_deref().unwrap_or(usual);
        start_logging(wanted, color, LogFormat::Text)?;
    }
    match cli.command {
        Command::Alerts(args) => alerts::run(&args, color),
        Command::Calendar(args) => calendar::run(&args),
        Command::Backtest(args) => backtest::run(&args, color),
        Command::Categorize(args) => categorize::run(&args, color),
        Command::Detect(args) => detect::run(&args, color),
        Command::Demo(args) => demo::run(&args, color),
        Command::Forecast(args) => forecast::run(&args, color),
        Command::New(args) => new::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Jobs(args) => jobs::run(&args),
        Command::Plan(args) => plan::run(&args),
        Command::Run { config } => run::run(&config, &cli.common),
        Command::Simulate(args) => simulate::run(&args),
        Command::Snapshots(args) => snapshots::run(&args),
        Command::Tail(args) => tail::run(&args, color),
        Command::Top(args) => top::run(&args, color),
        Command::Topics(args) => topics::run(&args),
        Command::Validate {
            jobs,
            config,
            beside,
        } => validate::run(config.as_deref(), &jobs, &beside),
    }
}

/// Logs go to stderr. A tool only says what goes wrong; the service, which comes here by itself, what its configuration wants.
fn start_logging(wanted: &str, color: Color, format: LogFormat) -> anyhow::Result<()> {
    use anyhow::Context;
    let filter = tracing_subscriber::EnvFilter::try_new(wanted).with_context(|| {
        format!("log level: \"{wanted}\" is neither a level (off, error, warn, info, debug, trace) nor directives")
    })?;
    let ansi = match color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
    };
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    match format {
        LogFormat::Text => lines.with_ansi(ansi).init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
    Ok(())
}

/// The error and its causes on one line. Some errors quote their cause already: that is not said again.
fn causes(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |text, cause| {
        let cause = cause.to_string();
        match text.as_str() {
            "" => cause,
            said if said.contains(&cause) => text,
            said => format!("{said}: {cause}"),
        }
    })
}

/// An error may quote what somebody else chose: nothing of it commands the terminal. Several mistakes stand on lines of their own.
fn legible(text: &str) -> String {
    let harmless = |c| match c {
        '\n' | '\t' => c,
        c => table::harmless(c),
    };
    text.chars().map(harmless).collect()
}

/// Whether the cause is a reader of our output that went away.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_each_cause_once() {
        let cause = io::Error::other("no such luck");
        let quoting = anyhow::Error::new(cause).context("line 3: no such luck");
        assert_eq!(
            causes(&quoting.context("job.yaml")),
            "job.yaml: line 3: no such luck"
        );
    }

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        Cli::command().debug_assert();
    }
}
