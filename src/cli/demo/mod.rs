//! `tidewatch demo`: the service on a simulated feed with known incidents, and a verdict.
//!
//! History goes through as fast as it can, then the clock of the feed runs at `--speed` times the real one for `--live` seconds.
//! What is found is printed as it is found, and at the end held against the labels. The same seed tells the same story.

mod plan;
mod report;
mod stage;

use super::Color;
use super::interrupt::{self, Interrupt};
use super::output::grouped;
use super::progress::Progress;
use super::table::{self, Style};
use crate::simulate::{EventFormat, EventWriter, Feed, SimulatedEvent};
use crate::time::EventTime;
use report::Announcer;
use stage::Stage;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What `tidewatch demo --help` ends with.
pub const EXAMPLES: &str = "\
Examples:
  tidewatch demo                          two weeks in seconds, then a day in half a minute
  tidewatch demo --days 30 --seed 7       another feed
  tidewatch demo --live 600 --speed 60    ten hours live, an hour every minute
  tidewatch demo --brokers localhost:9092 the same on a Kafka, in topics of its own";

/// What the command takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Days of history.
    #[arg(long, default_value_t = 14.0, value_name = "DAYS", value_parser = amount, allow_negative_numbers = true)]
    days: f64,
    /// How long the live part lasts, real seconds.
    #[arg(long, default_value_t = 30.0, value_name = "SECONDS", value_parser = amount, allow_negative_numbers = true)]
    live: f64,
    /// How much faster than life the live part is.
    #[arg(long, default_value_t = 2880.0, value_name = "N", value_parser = amount, allow_negative_numbers = true)]
    speed: f64,
    /// The same seed tells the same story.
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Events a second, mean over a week [default: the scenario's].
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    rate: Option<f64>,
    /// Use this Kafka instead of a log in memory; topics are created for this run, and stay.
    #[arg(long, value_name = "HOST:PORT")]
    brokers: Option<String>,
    /// Where /livez, /readyz and /metrics are served; port 0: any free one.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "HOST:PORT")]
    http: SocketAddr,
}

/// The job that the demo runs.
const JOB: &str = include_str!("../../../examples/web.yaml");
/// How often the live part moves on.
const TICK: Duration = Duration::from_millis(100);
/// How many events of history are sent at a time.
const HISTORY_BATCH: usize = 4096;

fn amount(text: &str) -> Result<f64, String> {
    let amount = text
        .parse()
        .ok()
        .filter(|amount| (0.0..=1e6).contains(amount));
    amount.ok_or_else(|| "expected a number from 0 to 1000000".to_owned())
}

/// Tells the story.
pub fn run(args: &Args, color: Color) -> anyhow::Result<ExitCode> {
    let live_days = args.live * args.speed / 86_400.0;
    let mut scenario = plan::scenario(args.days, live_days);
    scenario.rate = args.rate.unwrap_or(scenario.rate);
    let feed = Feed::new(&scenario, args.seed)?;
    let interrupt = Interrupt::listen()?;
    let mut out = io::stdout();
    let length = |days: f64| table::length((days * 86_400_000.0) as i64);
    writeln!(
        out,
        "A web shop, simulated: {} of history, then {} live at {} times the speed of life. Ctrl-C ends it.",
        length(args.days),
        length(live_days),
        args.speed
    )?;
    let live_from = EventTime(scenario.from.0 + (args.days * 86_400_000.0) as i64);
    let style = Style {
        width: super::output::width(),
        color: color.on_stdout(),
        top: usize::MAX,
    };
    let mut story = Story {
        stage: match &args.brokers {
            Some(brokers) => Stage::on_kafka(brokers, &run_name(), args.http)?,
            None => Stage::in_memory(args.http)?,
        },
        announcer: Announcer::new(style),
        progress: Progress::new(Some(1000)),
        writer: EventFormat::Ndjson.writer(),
        events: 0,
        told: scenario.from,
        line: Vec::new(),
        feed,
        next: None,
    };
    writeln!(out, "Metrics: http://{}/metrics\n", story.stage.address())?;
    let told_until = story.tell(args, live_from, &interrupt)?;
    let labels: Vec<_> = scenario
        .labels()
        .into_iter()
        .filter(|label| label.start < told_until)
        .collect();
    write!(
        out,
        "\n{}",
        report::verdict(
            &story.announcer.verdict(&labels),
            EventTime(scenario.from.0 + 86_400_000),
            style.width
        )
    )?;
    let (events, seconds) = (story.events, story.progress.seconds());
    writeln!(out, "{} events in {seconds:.1} s", grouped(events))?;
    Ok(match interrupt.asked() {
        true => ExitCode::from(interrupt::EXIT_CODE),
        false => ExitCode::SUCCESS,
    })
}

/// A feed on its way through the service.
struct Story {
    feed: Feed,
    /// An event that has been drawn and whose time has not come.
    next: Option<SimulatedEvent>,
    writer: EventWriter,
    line: Vec<u8>,
    stage: Stage,
    announcer: Announcer,
    progress: Progress,
    events: u64,
    /// The time of the last event sent.
    told: EventTime,
}

impl Story {
    /// History, then live. Says up to which time the story was told.
    #[allow(
        clippy::disallowed_methods,
        reason = "a person watches the live part: it runs by a person's clock"
    )]
    fn tell(
        &mut self,
        args: &Args,
        live_from: EventTime,
        interrupt: &Interrupt,
    ) -> anyhow::Result<EventTime> {
        let mut until = EventTime(live_from.0);
        if self.advance(until, interrupt)? {
            let began = Instant::now();
            self.progress.finish();
            self.progress.above(|| writeln!(io::stdout(), "\nLive"))?;
            loop {
                let elapsed_ms = began.elapsed().as_secs_f64().min(args.live) * 1000.0;
                until = EventTime(live_from.0 + (elapsed_ms * args.speed) as i64);
                if !self.advance(until, interrupt)? || elapsed_ms >= args.live * 1000.0 {
                    break;
                }
                std::thread::sleep(TICK);
            }
        }
        self.progress.finish();
        self.stage.finish()?;
        // Interrupted, the story ends with the last event that was told.
        Ok(if interrupt.asked() { self.told } else { until })
    }

    /// Sends every event before `until` and waits for what is said of them; false when it was interrupted.
    fn advance(&mut self, until: EventTime, interrupt: &Interrupt) -> anyhow::Result<bool> {
        while let Some(event) = self.next.take().or_else(|| self.feed.next()) {
            if event.time >= until {
                self.next = Some(event);
                break;
            }
            self.line.clear();
            self.writer.write(self.feed.world(), &event, &mut self.line);
            self.stage.send(&self.line, event.time.0);
            self.events += 1;
            self.told = event.time;
            self.progress
                .tick(self.events, || (self.feed.progress_ratio() * 1000.0) as u64);
            if self.stage.waiting() >= HISTORY_BATCH {
                self.work()?;
            }
            if interrupt.asked() {
                return Ok(false);
            }
        }
        self.work()?;
        Ok(!interrupt.asked())
    }

    /// Lets the service work, and says what it found.
    fn work(&mut self) -> anyhow::Result<()> {
        let results = self.stage.work()?;
        let text = self.announcer.hear(&results);
        if !text.is_empty() {
            self.progress
                .above(|| io::stdout().write_all(text.as_bytes()))?;
        }
        Ok(())
    }
}

/// What tells this run's topics on a shared Kafka from those of others.
#[allow(
    clippy::disallowed_methods,
    reason = "a name; nothing is computed from it"
)]
fn run_name() -> String {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
        .to_string()
}
