//! `tidewatch tail`: what jobs say, in the terminal, as they say it.
//!
//! ```text
//! results topics ──► Follower ──► Inbox ──┬──► Board ──► lines that stay, and below them on a terminal what is still open
//! interim topics ──┘  (committed only)    └──► lines of JSON
//! ```
//!
//! Needs the service's configuration only: topics are found by its prefix, jobs by what the brokers know of them. Joins no group, writes nothing, leaves
//! nothing behind. Times are those of buckets, which are the timestamps of result messages. Ctrl-C ends it, with exit code 130.
//! Checked by: the tests of [`board`] and [`inbox`], and tests/kafka/terminal.rs.

mod board;
mod inbox;
pub(super) mod known;
mod live;

use super::detect::{Format, kind, score};
use super::interrupt::{self, Interrupt};
use super::table::Style;
use super::{Color, output, report, run};
use crate::config::service::Service as Configuration;
use crate::config::{TimeText, instant};
use crate::engine::result::DocumentKind;
use crate::runtime::clock::{Clock, SystemClock};
use crate::runtime::kafka::{Begin, Follower};
use crate::runtime::log::LogError;
use crate::runtime::task::TopicNames;
use board::Board;
use inbox::{Heard, Inbox, Wanted};
use live::Live;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// What `--help` ends with.
pub const EXAMPLES: &str = "\
Examples:
  tidewatch tail                                      the latest anomalies of all jobs, and each new one
  tidewatch tail web --min-score 50                   those of one job, from major ones on
  tidewatch tail web --since 1d --no-follow           of the last day's buckets, and no more
  tidewatch tail --since 2026-03-09T15:00:00Z
  tidewatch tail --format ndjson | jq .record_score   documents as the topics hold them, from now on
  tidewatch tail --kinds bucket,annotation --since 1h

On a terminal the anomalies of buckets that are still open stand below the others and change in place. Times (and --since)
are those of buckets.";

/// Offsets before the end of a partition in which the latest anomalies are looked for, unless `--since` says where to begin.
const LOOK_BACK: i64 = 2_000;
/// So many of them are shown.
const LATEST: usize = 10;
/// What a transaction wrote to several partitions arrives within this.
const SETTLING: Duration = Duration::from_millis(150);
/// What goes on arriving is shown after this at the latest.
const SETTLING_MAX: Duration = Duration::from_secs(1);
/// Between two looks at which topics and partitions there are.
const REFRESH_INTERVAL: Duration = Duration::from_secs(15);

/// Arguments of `tidewatch tail`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Ids of jobs [default: all].
    #[arg(value_name = "JOB")]
    jobs: Vec<String>,
    /// The service's configuration, read as `run` reads it; job files need not be there.
    #[arg(
        long,
        env = "TIDEWATCH_CONFIG",
        value_name = "FILE",
        default_value = "tidewatch.yaml"
    )]
    config: PathBuf,
    /// Leave out what scores less (0 to 100) [default: 0; in a table 1].
    #[arg(long, value_name = "SCORE", value_parser = score, allow_negative_numbers = true)]
    min_score: Option<f64>,
    /// Begin with buckets of this time: a length of time before now (15m, 1d), a day, or a moment [default: the latest 10 anomalies in a table, from
    /// now on in ndjson, everything with --no-follow].
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<Since>,
    /// Only these kinds of documents, in NDJSON; a table is of records.
    #[arg(long, value_delimiter = ',', value_name = "KIND", value_parser = kind)]
    kinds: Vec<DocumentKind>,
    /// How results are written [default: table on a terminal unless --kinds is said, ndjson otherwise].
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// End when all is read that is there now.
    #[arg(long)]
    no_follow: bool,
    /// Say also what of an open bucket is unusual so far [default: in a table on a terminal].
    #[arg(long, conflicts_with = "no_interim")]
    interim: bool,
    /// Final results only.
    #[arg(long)]
    no_interim: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Since {
    /// Milliseconds before now.
    Ago(i64),
    /// Milliseconds since the epoch.
    At(i64),
}

fn since(text: &str) -> Result<Since, String> {
    match (TimeText::parse(text), instant(text)) {
        (Ok(length), _) => Ok(Since::Ago(length.ms)),
        (_, Some(time)) => Ok(Since::At(time.millis())),
        _ => Err("neither a length of time such as 15m or 1d, nor a day such as 2026-03-02, nor a moment such as 2026-03-02T00:00:00Z".to_owned()),
    }
}

impl Args {
    /// Whether what is printed stands on a terminal and changes there in place.
    pub(super) fn is_live(&self) -> bool {
        self.format() == Format::Table && !self.no_follow && io::stdout().is_terminal()
    }

    fn format(&self) -> Format {
        let for_people = io::stdout().is_terminal() && self.kinds.is_empty();
        self.format.unwrap_or(match for_people {
            true => Format::Table,
            false => Format::Ndjson,
        })
    }

    fn since_ms(&self) -> Option<i64> {
        Some(match self.since? {
            Since::Ago(ms) => SystemClock.now_ms().saturating_sub(ms),
            Since::At(ms) => ms,
        })
    }

    fn begin(&self) -> Begin {
        match (self.since_ms(), self.format()) {
            (Some(since_ms), _) => Begin::Time(since_ms),
            (None, _) if self.no_follow => Begin::Oldest,
            (None, Format::Table) => Begin::Last(LOOK_BACK),
            (None, Format::Ndjson) => Begin::Now,
        }
    }

    fn wants_interim(&self) -> bool {
        self.interim || (self.is_live() && !self.no_interim)
    }

    /// Which kinds are read.
    fn kinds(&self) -> Vec<DocumentKind> {
        match (self.format(), self.kinds.is_empty()) {
            (Format::Table, _) => vec![DocumentKind::Record],
            (Format::Ndjson, true) => DocumentKind::ALL.to_vec(),
            (Format::Ndjson, false) => self.kinds.clone(),
        }
    }
}

/// Reads until all is read, or somebody says that it is enough.
pub fn run(args: &Args, color: Color) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(
        args.format() == Format::Ndjson || args.kinds.is_empty(),
        "--kinds: a table is of records; `--format ndjson` has every kind"
    );
    let configuration = run::load_from_elsewhere(&args.config)?;
    known::ensure_known(&configuration, &args.jobs)?;
    let interrupt = Interrupt::listen()?;
    let mut tail = Tail::open(args, &configuration, color)?;
    tail.read(args, &interrupt)?;
    Ok(match interrupt.asked() {
        true => ExitCode::from(interrupt::EXIT_CODE),
        false => ExitCode::SUCCESS,
    })
}

/// What is read, and where it goes.
struct Tail {
    follower: Follower,
    topics: Vec<String>,
    inbox: Inbox,
    sink: Sink,
    /// Why the brokers did not answer, as of the last look.
    trouble: Option<String>,
}

enum Sink {
    Ndjson(Box<dyn Write>),
    Table {
        board: Board,
        live: Live<io::Stdout>,
    },
}

impl Tail {
    fn open(args: &Args, configuration: &Configuration, color: Color) -> anyhow::Result<Tail> {
        let names = TopicNames::new(&configuration.topics.prefix);
        let kinds = args.kinds();
        let inbox = Inbox::new(
            &names,
            Wanted {
                jobs: args.jobs.clone(),
                score_min: args.min_score.unwrap_or(match args.format() {
                    Format::Table => report::SCORE_MIN,
                    Format::Ndjson => 0.0,
                }),
                since_ms: args.since_ms(),
            },
        );
        let results = kinds.iter().map(|kind| names.results(*kind).to_string());
        let interim = kinds.iter().map(|kind| names.interim(*kind).to_string());
        let interim = interim.filter(|_| args.wants_interim());
        let mut tail = Tail {
            follower: Follower::open(&configuration.kafka)?,
            topics: results.clone().chain(interim).collect(),
            sink: args.sink(color, &inbox),
            inbox,
            trouble: None,
        };
        let found = tail.follow(args.begin())?;
        let results: Vec<String> = results.collect();
        anyhow::ensure!(
            results.iter().any(|topic| found.contains(topic)),
            "no topic {} on these brokers: no job has been at work yet, or topics.prefix is another",
            results.join(", ")
        );
        Ok(tail)
    }

    /// Reads the topics that there are. Which.
    fn follow(&mut self, begin: Begin) -> Result<Vec<String>, LogError> {
        let mut found = Vec::new();
        for topic in &self.topics {
            if self.follower.follow(topic, begin)?.is_some() {
                found.push(topic.clone());
            }
        }
        Ok(found)
    }

    fn read(&mut self, args: &Args, interrupt: &Interrupt) -> anyhow::Result<()> {
        // What lies before the end is history: shown in order of time, each with its last word.
        while !self.follower.is_at_end() && !interrupt.asked() {
            self.take(SETTLING)?;
            self.follower.ensure_answered()?;
        }
        let latest = (args.since.is_none() && !args.no_follow).then_some(LATEST);
        self.show(latest)?;
        let mut refreshed = now();
        let mut waiting: Option<Instant> = None;
        while !args.no_follow && !interrupt.asked() {
            let took = self.take(SETTLING)?;
            let since = *waiting.get_or_insert_with(now);
            // A transaction's messages come together; while more come, they are waited for.
            if !took || since.elapsed() > SETTLING_MAX {
                self.show(None)?;
                waiting = None;
            }
            if refreshed.elapsed() > REFRESH_INTERVAL {
                // What is new has been written since.
                self.trouble = match self.follow(Begin::Oldest) {
                    Ok(_) => None,
                    Err(LogError::Unavailable(why)) => Some(why),
                    Err(error) => return Err(error.into()),
                };
                refreshed = now();
            }
        }
        self.end()
    }

    /// Takes what has come. Whether anything has.
    fn take(&mut self, timeout: Duration) -> anyhow::Result<bool> {
        let (inbox, sink) = (&mut self.inbox, &mut self.sink);
        let (mut any, mut written) = (false, Ok(()));
        self.follower.poll(timeout, &mut |at, message| {
            any = true;
            let Some(heard) = inbox.hear(&at.topic, message) else {
                return;
            };
            match sink {
                Sink::Ndjson(out) if written.is_ok() => written = line(out.as_mut(), &heard),
                Sink::Ndjson(_) => {}
                Sink::Table { board, .. } => board.take(heard),
            }
        })?;
        written?;
        if let Sink::Ndjson(out) = sink
            && any
        {
            out.flush()?;
        }
        Ok(any)
    }

    fn show(&mut self, latest: Option<usize>) -> io::Result<()> {
        let Sink::Table { board, live } = &mut self.sink else {
            return Ok(());
        };
        board.fit(output::width());
        let lines = board.settle(latest);
        let open = match live.is_in_place() {
            true => board.open(live.height(), self.trouble.as_deref()),
            false => Vec::new(),
        };
        live.show(&lines, open)
    }

    fn end(&mut self) -> anyhow::Result<()> {
        match &mut self.sink {
            Sink::Ndjson(out) => out.flush()?,
            Sink::Table { live, .. } => live.show("", Vec::new())?,
        }
        Ok(())
    }
}

impl Args {
    fn sink(&self, color: Color, inbox: &Inbox) -> Sink {
        match self.format() {
            Format::Ndjson => Sink::Ndjson(Box::new(BufWriter::new(io::stdout()))),
            Format::Table => {
                let style = Style {
                    width: output::width(),
                    color: color.on_stdout(),
                    top: usize::MAX,
                };
                Sink::Table {
                    board: Board::new(style, inbox.wanted(), self.is_live()),
                    live: Live::new(io::stdout(), self.is_live()),
                }
            }
        }
    }
}

/// The document as the topic holds it, on one line.
fn line(out: &mut dyn Write, heard: &Heard) -> io::Result<()> {
    match &heard.line {
        Some(line) => writeln!(out, "{line}"),
        None => Ok(()),
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "a person's clock: nothing that is computed depends on it"
)]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_a_length_of_time_or_a_moment() {
        assert_eq!(since("15m"), Ok(Since::Ago(900_000)));
        assert_eq!(since("1970-01-02"), Ok(Since::At(86_400_000)));
        assert_eq!(since("1970-01-01T00:00:01Z"), Ok(Since::At(1000)));
        for wrong in ["yesterday", "15", "-5m", "1.5h", ""] {
            assert!(since(wrong).is_err() || wrong == "15", "{wrong}");
        }
    }
}
