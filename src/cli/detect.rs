//! `tidewatch detect`: files and pipes in, results out; no Kafka.
//!
//! ```text
//! files, stdin ──► Reader ──events──► Pipeline ──documents──► NDJSON or a table, and a page with --report
//!                    └──rejections──► counted, and kept with --rejected
//! ```
//!
//! At the end of the input the open bucket is closed and judged, unless `--state` keeps it open for a later run. Ctrl-C ends the command as if it had never been opened: what is
//! known so far is written, and the exit code is 130. A file that cannot be read to its end (a cut gzip) is a failure, after what was read is told.

use super::Color;
use super::beside::Beside;
use super::feed::{Ending, Source, Tally};
use super::findings::Findings;
use super::interrupt::{self, Interrupt};
use super::output;
use super::progress::Progress;
use super::report::{self, Reading, Report};
use super::sink::{Sink, Wanted};
use super::table::Style;
use crate::config::Job;
use crate::decode::{Item, Origin};
use crate::engine::event::Rejection;
use crate::engine::gatherer::Input;
use crate::engine::pipeline::{Output, Pipeline};
use crate::engine::result::DocumentKind;
use crate::engine::snapshot::Snapshot;
use crate::time::Finality;
use anyhow::Context;
use clap::ValueEnum;
use serde::Serialize;
use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// What `tidewatch detect --help` ends with.
pub const EXAMPLES: &str = "\
Examples:
  A table on a terminal, NDJSON in a pipe:
    tidewatch detect job.yaml events.ndjson
    tidewatch detect job.yaml monday.csv.gz tuesday.csv.zst --format table --top 5
  Live: each bucket's results when the bucket is over:
    tail -F access.ndjson | tidewatch detect job.yaml - > results.ndjson
  Day by day, each run going on where the last one stopped:
    tidewatch detect job.yaml monday.ndjson --state web.state > monday.results
    tidewatch detect job.yaml tuesday.ndjson --state web.state > tuesday.results
  What was refused, and why:
    tidewatch detect job.yaml events.ndjson --rejected rejected.ndjson
  A page to look at, with the series drawn around their anomalies:
    tidewatch detect job.yaml events.ndjson --report report.html

In NDJSON a document (same type, time, detector and values) may come again with another
score: history is renormalised as it grows, and the later line replaces the earlier.";

/// What the command takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The job: the body of Elastic's create-job request, YAML or JSON.
    #[arg(value_name = "JOB")]
    job: PathBuf,
    /// The job's datafeed, if it stands in a file of its own [default: datafeed_JOB beside the job, if the job has none].
    #[arg(long, value_name = "FILE")]
    datafeed: Option<PathBuf>,
    #[command(flatten)]
    beside: Beside,
    #[command(flatten)]
    source: Source,
    /// How results are written [default: table on a terminal unless --kinds is said, ndjson otherwise].
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Where results go [default: stdout].
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Where events that were refused go: reason, detail, origin and raw text, one JSON object a line.
    #[arg(long, value_name = "FILE")]
    rejected: Option<PathBuf>,
    /// Leave out what scores less (0 to 100) [default: 0; in a table and a report 1].
    #[arg(long, value_name = "SCORE", value_parser = score, allow_negative_numbers = true)]
    min_score: Option<f64>,
    /// Where a page to look at goes: scores over time, top influencers, the series with their bounds, each anomaly explained. One HTML
    /// file that needs nothing else. The bounds of every bucket cost about as much again as judging it.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Go on from the state in this file, if it is there, and leave the state in it at the end. The open bucket then stays open.
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// How many anomalies a table shows.
    #[arg(long, default_value_t = 20, value_name = "N")]
    top: usize,
    /// Only these kinds of documents, in NDJSON: bucket, bucket_influencer, influencer, record, model_plot, annotation, model_size_stats,
    /// data_counts, category_definition, categorizer_stats.
    #[arg(long, value_delimiter = ',', value_name = "KIND", value_parser = kind)]
    kinds: Vec<DocumentKind>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// A document a line, as Elastic writes it.
    Ndjson,
    /// Top anomalies and influencers, for people.
    Table,
}

pub(super) fn kind(name: &str) -> Result<DocumentKind, String> {
    DocumentKind::ALL
        .into_iter()
        .find(|kind| kind.name() == name)
        .ok_or_else(|| {
            format!(
                "expected one of {}",
                DocumentKind::ALL.map(DocumentKind::name).join(", ")
            )
        })
}

pub(super) fn score(text: &str) -> Result<f64, String> {
    let score = text
        .parse()
        .ok()
        .filter(|score| (0.0..=100.0).contains(score));
    score.ok_or_else(|| "expected a number from 0 to 100".to_owned())
}

/// Reads everything, says what was unusual.
pub fn run(args: &Args, color: Color) -> anyhow::Result<ExitCode> {
    let job = args.beside.job(&args.job, args.datafeed.as_deref())?;
    let job = Arc::new(job);
    args.refuse_to_overwrite()?;
    let interrupt = Interrupt::listen()?;
    let reader = args.source.open(&job)?;
    let total = reader.bytes_total();
    let mut session = Session::new(args, color, Arc::clone(&job), total.is_none())?;
    let progress = Progress::new(total);
    let ending = args
        .source
        .read(&job, reader, &interrupt, &progress, &mut |item| {
            session.take(item)
        })?;
    if let Ending::Broken(_) = ending {
        // What was read is worth having; a state that holds half a file is not.
        session.state = None;
    }
    session.finish(&ending, &progress)?;
    match ending {
        Ending::Whole => Ok(ExitCode::SUCCESS),
        Ending::Interrupted => Ok(ExitCode::from(interrupt::EXIT_CODE)),
        Ending::Broken(error) => Err(error.into()),
    }
}

impl Args {
    fn refuse_to_overwrite(&self) -> anyhow::Result<()> {
        let out = self.out.as_deref().unwrap_or(Path::new("-"));
        let outputs = [
            ("--out", Some(out)),
            ("--rejected", self.rejected.as_deref()),
            ("--report", self.report.as_deref()),
            ("--state", self.state.as_deref()),
        ];
        output::refuse_to_overwrite(
            &outputs,
            std::iter::once(&self.job).chain(&self.source.files),
        )
    }

    fn report(&self, job: &Arc<Job>) -> anyhow::Result<Option<Report>> {
        let score_min = self.min_score.unwrap_or(report::SCORE_MIN);
        let open = |path| Report::open(path, "detect", job, score_min, &self.source.files);
        self.report.as_deref().map(open).transpose()
    }

    /// Where results go; `live` says that somebody may be waiting for each of them.
    fn sink(&self, color: Color, live: bool) -> anyhow::Result<Sink> {
        let to_terminal = self.out.is_none() && io::stdout().is_terminal();
        let format = self.format.unwrap_or(match to_terminal {
            true if self.kinds.is_empty() => Format::Table,
            _ => Format::Ndjson,
        });
        anyhow::ensure!(
            format == Format::Ndjson || self.kinds.is_empty(),
            "--kinds chooses documents of NDJSON; a table is of records and influencers, so leave one of the two out"
        );
        let out = output::open(self.out.as_deref())?;
        Ok(match format {
            Format::Ndjson => {
                let wanted = Wanted {
                    kinds: self.kinds.clone(),
                    score_min: self.min_score.unwrap_or(0.0),
                };
                Sink::Ndjson { out, wanted, live }
            }
            Format::Table => Sink::Table {
                out,
                findings: Findings::new(self.min_score.unwrap_or(report::SCORE_MIN)),
                style: Style {
                    width: super::output::width(),
                    color: self.out.is_none() && color.on_stdout(),
                    top: self.top,
                },
            },
        })
    }
}

/// A pipeline and what is around it.
struct Session {
    pipeline: Pipeline,
    state: Option<PathBuf>,
    sink: Sink,
    report: Option<Report>,
    rejected: Option<Box<dyn Write>>,
    live: bool,
    /// Nothing was known before this run.
    is_new: bool,
    tally: Tally,
}

/// A line of `--rejected`.
#[derive(Serialize)]
struct RejectedLine<'a> {
    reason: &'static str,
    detail: &'a str,
    origin: String,
    raw: Cow<'a, str>,
}

impl Session {
    fn new(args: &Args, color: Color, job: Arc<Job>, live: bool) -> anyhow::Result<Session> {
        if let Some(path) = &args.state {
            check_writable(path)?;
        }
        let report = args.report(&job)?;
        let job = match report {
            Some(_) => report::plotting(&job),
            None => job,
        };
        Ok(Session {
            is_new: !args.state.as_deref().is_some_and(Path::exists),
            report,
            pipeline: match &args.state {
                Some(path) if path.exists() => restore(job, path)?,
                _ => Pipeline::new(job),
            },
            state: args.state.clone(),
            sink: args.sink(color, live)?,
            rejected: args
                .rejected
                .as_deref()
                .map(|path| output::open(Some(path)))
                .transpose()?,
            live,
            tally: Tally::default(),
        })
    }

    fn take(&mut self, item: Item<'_>) -> anyhow::Result<()> {
        match item {
            Item::Event { event, raw, origin } => {
                self.tally.events += 1;
                for output in self.pipeline.handle(Input::Event(event)) {
                    if let Output::Rejected(rejection) = &output {
                        self.tally.events -= 1;
                        let placed = Rejection {
                            detail: format!("{origin}: {}", rejection.detail),
                            ..rejection.clone()
                        };
                        self.reject(&placed, raw, origin)?;
                    }
                    self.carry(&output)?;
                }
            }
            Item::Rejected {
                rejection,
                raw,
                origin,
            } => {
                self.reject(&rejection, raw, origin)?;
                for output in self.pipeline.handle(Input::Rejected(&rejection)) {
                    self.carry(&output)?;
                }
            }
        }
        Ok(())
    }

    fn carry(&mut self, output: &Output) -> io::Result<()> {
        match output {
            Output::Closed(summary) => {
                self.tally.buckets += u64::from(summary.finality == Finality::Final);
            }
            Output::Late { events } => self.tally.without_result += events,
            _ => {}
        }
        let is_asked_for = match &mut self.report {
            Some(report) => report.take(output),
            None => true,
        };
        match is_asked_for {
            true => self.sink.take(output),
            false => Ok(()),
        }
    }

    fn reject(&mut self, rejection: &Rejection, raw: &[u8], origin: Origin<'_>) -> io::Result<()> {
        *self.tally.rejected.entry(rejection.reason).or_default() += 1;
        let Some(out) = &mut self.rejected else {
            return Ok(());
        };
        let line = RejectedLine {
            reason: rejection.reason.label(),
            detail: &rejection.detail,
            origin: origin.to_string(),
            raw: String::from_utf8_lossy(raw),
        };
        output::json_line(out.as_mut(), &line)?;
        if self.live { out.flush() } else { Ok(()) }
    }

    fn finish(mut self, ending: &Ending, progress: &Progress) -> anyhow::Result<()> {
        match &self.state {
            Some(path) => keep(&self.pipeline, path)?,
            // In mid-bucket its count would mean nothing: what is open is left alone.
            None if matches!(ending, Ending::Whole) => {
                for output in self.pipeline.handle(Input::Flush(Finality::Final)) {
                    self.carry(&output)?;
                }
            }
            None => {}
        }
        if let Some(rejected) = &mut self.rejected {
            rejected.flush().context("--rejected")?;
        }
        self.tally.pass_over(self.pipeline.passed_over());
        let summary = self.tally.summary(progress);
        let for_people = matches!(self.sink, Sink::Table { .. });
        let worth_a_line = io::stderr().is_terminal() || !self.tally.rejected.is_empty();
        self.sink
            .finish(&self.tally.nothing(self.is_new), &summary)?;
        if let Some(report) = self.report {
            let reading = Reading {
                events: self.tally.events,
                rejected: self.tally.rejected.values().sum(),
                is_cut: !matches!(ending, Ending::Whole),
            };
            report.write(reading, None)?;
        }
        if !for_people && worth_a_line {
            eprintln!("tidewatch: {summary}");
        }
        Ok(())
    }
}

/// The pipeline whose state a former run left in `path`.
pub(super) fn restore(job: Arc<Job>, path: &Path) -> anyhow::Result<Pipeline> {
    let bytes = std::fs::read(path)
        .with_context(|| format!("--state {}: cannot be read", path.display()))?;
    Pipeline::restore(job, &Snapshot::from_bytes(bytes))
        .with_context(|| format!("--state {}", path.display()))
}

/// Where the state is written before it takes its place.
fn beside(path: &Path) -> PathBuf {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    beside.into()
}

/// That a state cannot be kept is told before hours of reading, not after.
fn check_writable(path: &Path) -> anyhow::Result<()> {
    let beside = beside(path);
    std::fs::File::create(&beside)
        .and_then(|_| std::fs::remove_file(&beside))
        .with_context(|| format!("--state {}: cannot be written", path.display()))
}

/// Leaves the state in `path`; whatever happens, the file holds the old state or the new one.
fn keep(pipeline: &Pipeline, path: &Path) -> anyhow::Result<()> {
    let beside = beside(path);
    std::fs::write(&beside, pipeline.snapshot().as_bytes())
        .and_then(|()| std::fs::rename(&beside, path))
        .with_context(|| format!("--state {}: cannot be written", path.display()))
}
