//! `tidewatch forecast`: how the series of a job may go on, with the 95 % interval of every bucket to come.
//!
//! ```text
//! files, a state ──► Pipeline ──┐
//!                               ├──► forecast ──► NDJSON, a table, a page, the results topic
//! snapshots of a service ───────┘
//! ```
//!
//! Models are read and left as they are: a state file is not written, and a service is not asked. A forecast begins at the end of the last bucket that
//! was complete. Checked by: tests/forecast.rs; `--config` and `--publish` by what they call, in memory.

mod show;

pub(super) use show::name_of;

use super::Color;
use super::beside::Beside;
use super::detect;
use super::feed::{Ending, Source};
use super::interrupt::{self, Interrupt};
use super::jobs::{find, jobs_of};
use super::output;
use super::progress::Progress;
use super::report::{ForecastPage, plotting};
use super::run;
use crate::config::Job;
use crate::decode::Item;
use crate::engine::forecast::{self, Clocked, DURATION_MS_MAX, Request, Yield};
use crate::engine::gatherer::Input;
use crate::engine::pipeline::Pipeline;
use crate::engine::result::Document;
use crate::runtime::clock::{Clock, SystemClock};
use crate::runtime::jobs::{Doors, Footprint, publish_forecast};
use crate::runtime::kafka::KafkaTopics;
use crate::runtime::supervisor::control::Control;
use crate::runtime::task::TopicNames;
use crate::simulate::parse_duration;
use anyhow::Context;
use clap::ValueEnum;
use show::Shown;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// What `tidewatch forecast --help` ends with.
pub const EXAMPLES: &str = "\
Examples:
  A table on a terminal, NDJSON (model_forecast, then model_forecast_request_stats) in a pipe:
    tidewatch forecast job.yaml events.ndjson --duration 7d
    tidewatch forecast job.yaml events.ndjson --duration 7d --series host.name=web-03
  A page with the last weeks of each series and the fan of its bounds:
    tidewatch forecast job.yaml events.ndjson --duration 7d --chart forecast.html
  After what `detect --state` has learnt; the state stays as it is:
    tidewatch forecast job.yaml --state web.state --duration 1d
  Of a job of a running service, from its newest snapshot, and into the results topic:
    tidewatch forecast web --config tidewatch.yaml --duration 7d --publish";

/// What the command takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The job: the body of Elastic's create-job request, YAML or JSON; with --config, the id of one of the service's jobs.
    #[arg(value_name = "JOB")]
    job: PathBuf,
    /// The job's datafeed, if it stands in a file of its own [default: datafeed_JOB beside the job, if the job has none].
    #[arg(long, value_name = "FILE")]
    datafeed: Option<PathBuf>,
    #[command(flatten)]
    beside: Beside,
    #[command(flatten)]
    source: Source,
    /// How far ahead: from one bucket span to 3650d.
    #[arg(long, default_value = "1d", value_name = "TIME", value_parser = duration)]
    duration: i64,
    /// When the forecast is void, after it was made; 0s is never.
    #[arg(long, default_value = "14d", value_name = "TIME", value_parser = expiry)]
    expires_in: i64,
    /// Only series with this value of a by or partition field; each further one narrows it down.
    #[arg(long, value_name = "FIELD=VALUE", value_parser = series)]
    series: Vec<(String, String)>,
    /// The forecast's id; one of the same id is replaced [default: made from the job, the time and the duration].
    #[arg(long, value_name = "ID", value_parser = id)]
    id: Option<String>,
    /// How it is written [default: table on a terminal, ndjson otherwise].
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Where it goes [default: stdout].
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Where a page goes with the history and the forecast of each series drawn. One HTML file that needs nothing else. Needs files.
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    chart: Option<PathBuf>,
    /// Begin with the state in this file, which `detect --state` left. It is only read. Without FILES nothing else is.
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    state: Option<PathBuf>,
    /// Forecast a job of this service, from its newest snapshot.
    #[arg(long, value_name = "FILE", conflicts_with = "datafeed")]
    config: Option<PathBuf>,
    /// Write the forecast to the service's results topics too.
    #[arg(long, requires = "config")]
    publish: bool,
    /// How many series a table and a page show.
    #[arg(long, default_value_t = 20, value_name = "N")]
    top: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A document a line, as Elastic writes it.
    Ndjson,
    /// Some points of each series, for people.
    Table,
}

fn duration(text: &str) -> Result<i64, String> {
    let ms = parse_duration(text).map_err(|error| error.to_string())?;
    match ms {
        ms if ms <= 0 => Err("must be more than 0".to_owned()),
        ms if ms > DURATION_MS_MAX => {
            Err("is more than 3650d, the most that is allowed".to_owned())
        }
        ms => Ok(ms),
    }
}

fn expiry(text: &str) -> Result<i64, String> {
    parse_duration(text).map_err(|error| error.to_string())
}

fn series(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(field, _)| !field.is_empty());
    pair.map(|(field, value)| (field.to_owned(), value.to_owned()))
        .ok_or_else(|| "expected a field and its value, such as host.name=web-03".to_owned())
}

fn id(text: &str) -> Result<String, String> {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    match !text.is_empty() && text.len() <= 64 && text.chars().all(is_fine) {
        true => Ok(text.to_owned()),
        false => Err("expected up to 64 letters, digits, dots, dashes or underscores".to_owned()),
    }
}

/// Learns, or reads what was learnt, and forecasts.
pub fn run(args: &Args, color: Color) -> anyhow::Result<ExitCode> {
    match &args.config {
        Some(config) => of_service(args, config, color),
        None => of_files(args, color),
    }
}

/// What can be forecast.
trait Models {
    fn forecast(
        &self,
        request: &Request,
        say: &mut dyn FnMut(Document) -> ControlFlow<()>,
    ) -> Yield;
}

impl Models for Pipeline {
    fn forecast(
        &self,
        request: &Request,
        say: &mut dyn FnMut(Document) -> ControlFlow<()>,
    ) -> Yield {
        Pipeline::forecast(self, request, say)
    }
}

impl Models for Doors {
    fn forecast(
        &self,
        request: &Request,
        say: &mut dyn FnMut(Document) -> ControlFlow<()>,
    ) -> Yield {
        Doors::forecast(self, request, say)
    }
}

impl Args {
    fn request(&self) -> Request {
        Request {
            id: self.id.clone().unwrap_or_default(),
            duration_ms: self.duration,
            only: self.series.clone(),
        }
    }

    /// The files that are named: with a state, standard input is none unless something is piped in by name.
    fn reads_files(&self) -> bool {
        self.state.is_none() || !self.source.has_stdin()
    }

    fn shown(&self, job: &Arc<Job>, color: Color) -> anyhow::Result<Shown> {
        let for_people = match self.format {
            Some(format) => format == Format::Table,
            None => self.out.is_none() && io::IsTerminal::is_terminal(&io::stdout()),
        };
        let out = output::open(self.out.as_deref())?;
        Ok(match for_people {
            true => Shown::table(out, job, self.top, self.out.is_none() && color.on_stdout()),
            false => Shown::ndjson(out),
        })
    }

    /// Forecasts, and hands every document to `take`; the last one says what became of it.
    fn foretell(
        &self,
        job: &Job,
        models: &impl Models,
        request: &Request,
        mut notes: Vec<String>,
        clock: Option<&dyn Clock>,
        take: &mut dyn FnMut(Document) -> anyhow::Result<()>,
    ) -> anyhow::Result<Yield> {
        let created_ms = clock.map_or(0, Clock::now_ms);
        let mut failure = None;
        let found = models.forecast(request, &mut |document| match take(document) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failure = Some(error);
                ControlFlow::Break(())
            }
        });
        if let Some(error) = failure {
            return Err(error);
        }
        if found.series == 0 && !request.only.is_empty() {
            let asked: Vec<String> = request
                .only
                .iter()
                .map(|(field, value)| format!("{field}={value}"))
                .collect();
            notes.push(format!("asked for {}", asked.join(", ")));
        }
        let took_ms = clock.map_or(0, |clock| (clock.now_ms() - created_ms).max(1));
        let clocked = Clocked {
            created_ms,
            took_ms: took_ms.unsigned_abs(),
        };
        take(forecast::stats(
            job,
            request,
            &found,
            notes,
            clocked,
            self.expires_in,
        ))?;
        Ok(found)
    }
}

fn of_files(args: &Args, color: Color) -> anyhow::Result<ExitCode> {
    let job = args.beside.job(&args.job, args.datafeed.as_deref())?;
    let job = Arc::new(job);
    let mut request = args.request();
    let notes = forecast::check(&job, &request)?;
    let out = args.out.as_deref().unwrap_or(Path::new("-"));
    output::refuse_to_overwrite(
        &[("--out", Some(out)), ("--chart", args.chart.as_deref())],
        std::iter::once(&args.job)
            .chain(&args.source.files)
            .chain(&args.state),
    )?;
    let mut page = match &args.chart {
        Some(path) => Some(ForecastPage::open(path, &job, args.top)?),
        None => None,
    };
    let learning = match page {
        Some(_) => plotting(&job),
        None => Arc::clone(&job),
    };
    let mut pipeline = match &args.state {
        Some(path) => detect::restore(learning, path)?,
        None => Pipeline::new(learning),
    };
    let ending = match args.reads_files() {
        true => learn(args, &job, &mut pipeline, page.as_mut())?,
        false => Ending::Whole,
    };
    match ending {
        Ending::Whole => {}
        Ending::Interrupted => return Ok(ExitCode::from(interrupt::EXIT_CODE)),
        Ending::Broken(error) => return Err(error.into()),
    }
    let start = pipeline.forecast_start().with_context(|| {
        format!(
            "job {}: no bucket is complete yet (a bucket is, when an event beyond its end has come); there is nothing to forecast from",
            job.id
        )
    })?;
    if args.id.is_none() {
        request.id = forecast::id_of(&job, start, request.duration_ms);
    }
    let mut shown = args.shown(&job, color)?;
    let found = args.foretell(&job, &pipeline, &request, notes, None, &mut |document| {
        if let Some(page) = &mut page {
            page.take(&document);
        }
        Ok(shown.take(&document)?)
    })?;
    shown.finish()?;
    if let Some(page) = page {
        page.write()?;
    }
    Ok(code(&found))
}

/// Feeds the files to the pipeline. The open bucket stays open: half of it would be learnt for a whole one.
fn learn(
    args: &Args,
    job: &Job,
    pipeline: &mut Pipeline,
    mut page: Option<&mut ForecastPage>,
) -> anyhow::Result<Ending> {
    let interrupt = Interrupt::listen()?;
    let reader = args.source.open(job)?;
    let progress = Progress::new(reader.bytes_total());
    args.source
        .read(job, reader, &interrupt, &progress, &mut |item| {
            let said = match item {
                Item::Event { event, .. } => pipeline.handle(Input::Event(event)),
                Item::Rejected { rejection, .. } => pipeline.handle(Input::Rejected(&rejection)),
            };
            if let Some(page) = page.as_deref_mut() {
                said.iter().for_each(|output| page.learn(output));
            }
            Ok(())
        })
}

fn of_service(args: &Args, config: &Path, color: Color) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(
        args.source.files == [PathBuf::from("-")],
        "files and --config: a job of a service is forecast from its snapshots, not from files"
    );
    let configuration = run::load(config)?;
    let job_id = args.job.to_str().context("JOB is not the id of a job")?;
    let job = find(&jobs_of(&configuration), job_id)?;
    let mut request = args.request();
    let mut notes = forecast::check(&job, &request)?;
    let names = TopicNames::new(&configuration.topics.prefix);
    let kafka = run::kafka_of(&configuration, &job.id);
    let mut log = KafkaTopics::open(&kafka, &configuration.topics)?;
    let footprint = Footprint::of(&mut log, &job, &names, &configuration.kafka.group_id)?;
    let agreed = KafkaTopics::open(&kafka, &configuration.topics)?;
    let mut control = Control::open(agreed, &names.control())?;
    let life = control
        .look()?
        .lives
        .get(&job.id)
        .map_or(0, |life| life.life);
    let footprint = Footprint {
        plan: footprint.plan.in_life(life),
        ..footprint
    };
    let mut store = run::open_store(&configuration, &kafka).map_err(anyhow::Error::from_boxed)?;
    let doors = Doors::open(&mut store, &footprint)?;
    notes.extend(
        doors
            .missing
            .iter()
            .map(|task| format!("{task} has no snapshot yet: its series are left out")),
    );
    let start = doors.forecast_start().with_context(|| {
        format!(
            "job {}: no bucket was complete when its newest snapshot was taken",
            job.id
        )
    })?;
    if args.id.is_none() {
        request.id = forecast::id_of(&job, start, request.duration_ms);
    }
    let mut shown = args.shown(&job, color)?;
    let mut outbox = Vec::new();
    let clock = SystemClock;
    let expiry_ms = match args.expires_in {
        0 => 0,
        ms => clock.now_ms().saturating_add(ms),
    };
    let found = args.foretell(
        &job,
        &doors,
        &request,
        notes,
        Some(&clock),
        &mut |document| {
            shown.take(&document)?;
            if args.publish {
                outbox.push(document);
                if outbox.len() >= OUTBOX_MAX {
                    publish_forecast(&mut log, &names, &outbox, expiry_ms)?;
                    outbox.clear();
                }
            }
            Ok(())
        },
    )?;
    if args.publish {
        publish_forecast(&mut log, &names, &outbox, expiry_ms)?;
    }
    shown.finish()?;
    Ok(code(&found))
}

/// Documents held until they are published.
const OUTBOX_MAX: usize = 10_000;

/// A forecast of nothing has failed.
fn code(found: &Yield) -> ExitCode {
    match found.series {
        0 => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}
