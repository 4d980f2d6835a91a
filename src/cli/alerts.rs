//! `tidewatch alerts`: what a job would have told people over history, and how many incidents other thresholds would have been.
//!
//! The very core that the service runs, over files: the job is run once, and each threshold has a tracker of its own. Silences of the job hold; what
//! they or the rate limit hold back is counted apart.

use super::Color;
use super::beside::Beside;
use super::feed::{Ending, Source, Tally, counted};
use super::interrupt::{self, Interrupt};
use super::output;
use super::progress::Progress;
use super::table::{self, Style};
use crate::alert::{Change, Incident, IncidentKind, Notice, Tracker, entity_text};
use crate::config::{AlertPolicy, AlertSubject, AlertWords, GroupBy, Job};
use crate::decode::Item;
use crate::engine::gatherer::Input;
use crate::engine::pipeline::{Output, Pipeline};
use crate::runtime::alerts::document::AlertDocument;
use crate::time::Finality;
use clap::ValueEnum;
use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

/// What `tidewatch alerts --help` ends with.
pub const EXAMPLES: &str = "\
Examples:
  Which incidents a month would have been, and how many at other thresholds:
    tidewatch alerts job.yaml march.ndjson.gz
  Only the worst, one for the whole job at a time:
    tidewatch alerts job.yaml march.ndjson.gz --threshold 90 --group-by job
  The notices themselves, as the alerts topic would hold them:
    tidewatch alerts job.yaml march.ndjson.gz --format ndjson

What is not said comes from the job's tidewatch.alerts, then from the defaults.";

/// Thresholds that are tried beside the chosen one.
const OTHERS: [f64; 5] = [25.0, 50.0, 75.0, 90.0, 95.0];

/// What the command takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The job: the body of Elastic's create-job request, YAML or JSON.
    #[arg(value_name = "JOB")]
    job: PathBuf,
    #[command(flatten)]
    beside: Beside,
    #[command(flatten)]
    source: Source,
    /// An incident begins at this score.
    #[arg(long, value_name = "SCORE", value_parser = score)]
    threshold: Option<f64>,
    /// And goes on while there is this one [default: two thirds of the threshold].
    #[arg(long, value_name = "SCORE", value_parser = score)]
    resolve_below: Option<f64>,
    /// Whose score counts.
    #[arg(long, value_enum)]
    result_type: Option<ResultType>,
    /// What makes anomalies one incident: entity, job, or names of fields.
    #[arg(long, value_delimiter = ',', value_name = "WHAT")]
    group_by: Vec<String>,
    /// How many incidents are announced within an hour (or the job's rate_window); 0: all.
    #[arg(long, value_name = "N")]
    rate_limit: Option<u32>,
    /// How incidents are written [default: table on a terminal, ndjson otherwise].
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// How many incidents a table shows.
    #[arg(long, default_value_t = 20, value_name = "N")]
    top: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A notice a line, as the alerts topic holds it.
    Ndjson,
    /// Incidents, for people.
    Table,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ResultType {
    /// Each record's.
    Record,
    /// Each influencer's.
    Influencer,
    /// The bucket's.
    Bucket,
}

fn score(text: &str) -> Result<f64, String> {
    let score: Option<f64> = text.parse().ok();
    let score = score.filter(|score| *score > 0.0 && *score <= 100.0);
    score.ok_or_else(|| "expected a number above 0 and up to 100".to_owned())
}

impl Args {
    fn policy(&self, job: &Job) -> AlertPolicy {
        let words = AlertWords {
            threshold: self.threshold,
            resolve_below: self.resolve_below,
            subject: self.result_type.map(|subject| match subject {
                ResultType::Record => AlertSubject::Record,
                ResultType::Influencer => AlertSubject::Influencer,
                ResultType::Bucket => AlertSubject::Bucket,
            }),
            group_by: match self.group_by.as_slice() {
                [] => None,
                [one] if one == "entity" => Some(GroupBy::Entity),
                [one] if one == "job" => Some(GroupBy::Job),
                fields => Some(GroupBy::Fields(fields.to_vec())),
            },
            rate_limit: self.rate_limit,
            ..AlertWords::default()
        };
        words.over(&job.alerts.over(&AlertPolicy::default()))
    }
}

/// Runs the job, tells what would have been told.
pub fn run(args: &Args, color: Color) -> anyhow::Result<ExitCode> {
    let job = Job::from_files_beside(&args.job, None, &args.beside.read()?)?;
    let job = Arc::new(job);
    let interrupt = Interrupt::listen()?;
    let reader = args.source.open(&job)?;
    let progress = Progress::new(reader.bytes_total());
    let format = args.format.unwrap_or(match io::stdout().is_terminal() {
        true => Format::Table,
        false => Format::Ndjson,
    });
    let mut history = History::new(&job, &args.policy(&job));
    let mut pipeline = Pipeline::new(Arc::clone(&job));
    let mut out = output::open(None)?;
    let mut tally = Tally::default();
    let mut carry = |output: Output, tally: &mut Tally| -> anyhow::Result<()> {
        if let Output::Closed(_) = output {
            tally.buckets += 1;
        }
        for notice in history.take(&output) {
            if format == Format::Ndjson {
                output::json_line(out.as_mut(), &AlertDocument::of(&notice, &job))?;
            }
        }
        Ok(())
    };
    let ending = args
        .source
        .read(&job, reader, &interrupt, &progress, &mut |item| {
            let outputs = match &item {
                Item::Event { event, .. } => {
                    tally.events += 1;
                    pipeline.handle(Input::Event(event))
                }
                Item::Rejected { rejection, .. } => {
                    *tally.rejected.entry(rejection.reason).or_default() += 1;
                    pipeline.handle(Input::Rejected(rejection))
                }
            };
            for output in outputs {
                if let Output::Rejected(rejection) = &output {
                    tally.events -= 1;
                    *tally.rejected.entry(rejection.reason).or_default() += 1;
                }
                carry(output, &mut tally)?;
            }
            Ok(())
        })?;
    if let Ending::Whole = ending {
        for output in pipeline.handle(Input::Flush(Finality::Final)) {
            carry(output, &mut tally)?;
        }
    }
    let summary = tally.summary(&progress);
    match format {
        Format::Table => {
            let style = Style {
                width: output::width(),
                color: color.on_stdout(),
                top: args.top,
            };
            writeln!(out, "{}{summary}", history.table(style))?;
        }
        Format::Ndjson if io::stderr().is_terminal() => eprintln!("tidewatch: {summary}"),
        Format::Ndjson => {}
    }
    out.flush()?;
    match ending {
        Ending::Whole => Ok(ExitCode::SUCCESS),
        Ending::Interrupted => Ok(ExitCode::from(interrupt::EXIT_CODE)),
        Ending::Broken(error) => Err(error.into()),
    }
}

/// What has been told, by the chosen policy and by others.
struct History {
    chosen: Tracker,
    threshold: f64,
    /// The last word on each incident, and when it ended.
    told: BTreeMap<String, (Incident, Option<i64>)>,
    others: Vec<(f64, Tracker, Counts)>,
    span_ms: i64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    incidents: u64,
    announced: u64,
}

impl Counts {
    fn add(&mut self, notice: &Notice) {
        if notice.incident.kind == IncidentKind::Anomaly && notice.change == Change::Opened {
            self.incidents += 1;
            self.announced += u64::from(notice.incident.announced);
        }
    }
}

impl History {
    fn new(job: &Job, policy: &AlertPolicy) -> History {
        let tracker =
            |policy: AlertPolicy| Tracker::new(&job.id, job.bucket_span, Arc::new(policy));
        let share = policy.resolve_below / policy.threshold;
        let other = |threshold: f64| AlertPolicy {
            threshold,
            resolve_below: threshold * share,
            ..policy.clone()
        };
        let thresholds = OTHERS.into_iter().filter(|one| *one != policy.threshold);
        let mut thresholds: Vec<f64> = thresholds.chain([policy.threshold]).collect();
        thresholds.sort_by(f64::total_cmp);
        History {
            chosen: tracker(policy.clone()),
            threshold: policy.threshold,
            told: BTreeMap::new(),
            others: thresholds
                .into_iter()
                .map(|one| (one, tracker(other(one)), Counts::default()))
                .collect(),
            span_ms: job.bucket_span.millis(),
        }
    }

    fn remember(&mut self, notices: &[Notice]) {
        for notice in notices {
            let word = (notice.incident.clone(), notice.ended_ms);
            self.told.insert(notice.incident.id.clone(), word);
        }
    }

    /// What the chosen policy tells of one thing that the pipeline said.
    fn take(&mut self, output: &Output) -> Vec<Notice> {
        match output {
            Output::Result(document) => {
                self.chosen.document(document);
                let others = self.others.iter_mut();
                others.for_each(|(_, tracker, _)| tracker.document(document));
                Vec::new()
            }
            Output::Closed(summary) => {
                for (_, tracker, counts) in &mut self.others {
                    let notices = tracker.closed(summary.start, summary.finality);
                    notices.iter().for_each(|notice| counts.add(notice));
                }
                let notices = self.chosen.closed(summary.start, summary.finality);
                self.remember(&notices);
                notices
            }
            Output::Revised(revision) => {
                for (_, tracker, counts) in &mut self.others {
                    let notices = tracker.revised(revision.start);
                    notices.iter().for_each(|notice| counts.add(notice));
                }
                let notices = self.chosen.revised(revision.start);
                self.remember(&notices);
                notices
            }
            Output::Rejected(_) | Output::Retract(_) | Output::Late { .. } => Vec::new(),
        }
    }

    /// Incidents, the worst first, and the numbers at each threshold.
    fn table(&self, style: Style) -> String {
        let mut incidents: Vec<&(Incident, Option<i64>)> = self
            .told
            .values()
            .filter(|(incident, _)| incident.kind == IncidentKind::Anomaly)
            .collect();
        incidents.sort_by(|(a, _), (b, _)| {
            let scores = b.peak.score.total_cmp(&a.peak.score);
            scores.then_with(|| (a.started_ms, &a.id).cmp(&(b.started_ms, &b.id)))
        });
        let mut text = String::new();
        let heading = format!("Incidents at a threshold of {}", self.threshold);
        table::heading(&mut text, style, &heading, style.top, incidents.len());
        if incidents.is_empty() {
            text.push_str("None.\n");
        }
        for (incident, ended_ms) in incidents.into_iter().take(style.top) {
            text.push_str(&self.lines(incident, *ended_ms, style));
        }
        text.push('\n');
        text.push_str("threshold  incidents  announced\n");
        for (threshold, _, counts) in &self.others {
            let mark = if *threshold == self.threshold {
                " <"
            } else {
                ""
            };
            text.push_str(&format!(
                "{threshold:>9}  {:>9}  {:>9}{mark}\n",
                output::grouped(counts.incidents),
                output::grouped(counts.announced)
            ));
        }
        text
    }

    fn lines(&self, incident: &Incident, ended_ms: Option<i64>, style: Style) -> String {
        let width = style.width.max(60);
        let end_ms = ended_ms.unwrap_or(incident.last_ms + self.span_ms);
        let length = table::length(end_ms - incident.started_ms);
        let when = format!("{} {length:>5}", table::minute(incident.started_ms));
        let who = match entity_text(&incident.entity) {
            text if text.is_empty() => "the whole job".to_owned(),
            text => text,
        };
        let state = match (incident.announced, &incident.silence) {
            (true, _) => "",
            (false, Some(_)) => "  (silenced)",
            (false, None) => "  (held back)",
        };
        let results = counted(incident.results, "result");
        let what = format!("{who}  {results}{state}");
        let what = table::cut(&what, width - 22 - 13 - 4);
        let badge = table::badge(incident.peak.score, style);
        let mut text = format!("{when:<22}  {badge}  {what}\n");
        for line in table::wrap(&incident.peak.description, width - 2) {
            text.push_str(&format!("  {}\n", table::paint(style, "2", &line)));
        }
        text
    }
}
