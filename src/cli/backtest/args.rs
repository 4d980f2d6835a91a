//! What `tidewatch backtest` takes, checked before anything is read; and what becomes of the figures.

use super::labels;
use super::others::Other;
use super::show;
use crate::backtest::{AlertPer, Backtest, Measured, SCORE_MIN, Settings, Window};
use crate::cli::Color;
use crate::cli::beside::Beside;
use crate::cli::feed::Source;
use crate::cli::output;
use crate::cli::report::Report;
use crate::cli::table::Style;
use crate::config::Job;
use crate::simulate::parse_duration;
use crate::time::EventTime;
use anyhow::bail;
use clap::ValueEnum;
use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// What `tidewatch backtest --help` ends with.
pub const EXAMPLES: &str = "\
Examples:
  What of the known incidents a job finds, how fast, and at how many false alarms:
    tidewatch backtest job.yaml history.ndjson.gz --labels incidents.csv
  The same without labels: how often it would have told somebody, and of what:
    tidewatch backtest job.yaml history.ndjson.gz
  Is another job better, or another build?
    tidewatch backtest job.yaml history.csv --labels incidents.csv --against other.yaml
    tidewatch backtest job.yaml history.csv --labels incidents.csv --against ./tidewatch-old
  A page to look at, with the incidents behind the scores:
    tidewatch backtest job.yaml history.csv --labels incidents.csv --report report.html
  In a pipeline, failing when it gets worse:
    tidewatch backtest job.yaml history.csv --labels incidents.csv --fail-under 0.8 --fail-over 50

incidents.csv has the columns start and end, and for incidents of one host, say, a column host.
Other forms of labels, and what each figure means: docs/backtest.md.";

/// For so long at least repetitions are the same alert: as long as a job holds back what is like an alarm just given (docs/results.md).
const QUIET_MS_MIN: i64 = 8 * 3_600_000;
/// And for so many buckets at least.
const QUIET_BUCKETS_MIN: i64 = 24;

/// What the command takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The job: the body of Elastic's create-job request, YAML or JSON.
    #[arg(value_name = "JOB")]
    pub(super) job: PathBuf,
    /// The job's datafeed, if it stands in a file of its own [default: datafeed_JOB beside the job, if the job has none].
    #[arg(long, value_name = "FILE")]
    pub(super) datafeed: Option<PathBuf>,
    #[command(flatten)]
    pub(super) beside: Beside,
    #[command(flatten)]
    pub(super) source: Source,
    /// What should have been found: CSV, JSON or NDJSON; without it alerts are counted.
    #[arg(long, short, value_name = "FILE")]
    pub(super) labels: Option<PathBuf>,
    /// What to set the job against: another job, another build of this program, or NDJSON results that one wrote.
    #[arg(long, value_name = "OTHER")]
    pub(super) against: Option<PathBuf>,
    /// The score from which somebody is told (1 to 100).
    #[arg(long, default_value_t = 75.0, value_name = "SCORE", value_parser = threshold, allow_negative_numbers = true)]
    threshold: f64,
    /// For so long after an alert began its repetitions are the same alert [default: 8h, 24 buckets at least].
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    quiet: Option<i64>,
    /// Whose alerts are kept apart: `series`, `job` (all are one), or a by, over or partition field of the job.
    #[arg(long, default_value = "series", value_name = "WHAT")]
    alert_per: String,
    /// Before this moment the job only learns: neither alerts nor windows count.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(super) from: Option<EventTime>,
    /// How the figures are written.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Where they go [default: stdout].
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Where a page to look at goes: that of `detect --report`, with the labelled windows behind the scores, and the figures. It is of
    /// JOB alone, whatever it is set against.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// How many windows, alerts and series a table shows of each kind.
    #[arg(long, default_value_t = 10, value_name = "N")]
    top: usize,
    /// Fail (exit code 1) when the recall at the threshold is less (0 to 1).
    #[arg(long, value_name = "RECALL", value_parser = recall, requires = "labels", allow_negative_numbers = true)]
    fail_under: Option<f64>,
    /// Fail (exit code 1) when there are more false alerts at the threshold for 1,000 series-days.
    #[arg(long, value_name = "FALSE_ALERTS", value_parser = not_negative, requires = "labels", allow_negative_numbers = true)]
    fail_over: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Table,
    /// Everything, as one JSON object.
    Json,
}

fn number_in(text: &str, least: f64, most: f64, expected: &str) -> Result<f64, String> {
    let number = text.parse().ok();
    let number = number.filter(|number: &f64| (least..=most).contains(number));
    number.ok_or_else(|| format!("expected {expected}"))
}

fn threshold(text: &str) -> Result<f64, String> {
    number_in(text, SCORE_MIN, 100.0, "a score from 1 to 100")
}

fn recall(text: &str) -> Result<f64, String> {
    number_in(text, 0.0, 1.0, "a share from 0 to 1")
}

fn not_negative(text: &str) -> Result<f64, String> {
    number_in(text, 0.0, f64::MAX, "a number, 0 or more")
}

fn duration(text: &str) -> Result<i64, String> {
    parse_duration(text).map_err(|error| error.to_string())
}

fn moment(text: &str) -> Result<EventTime, String> {
    crate::decode::instant(text).map_err(|why| format!("it {why}"))
}

impl Args {
    pub(super) fn settings(&self, job: &Job) -> anyhow::Result<Settings> {
        let alert_per = match self.alert_per.as_str() {
            "series" => AlertPer::Series,
            "job" => AlertPer::Job,
            field if splits(job).contains(field) => AlertPer::Field(field.to_owned()),
            field => bail!(
                "--alert-per {field}: expected series, job, or a field by which the job splits ({})",
                listed(&splits(job))
            ),
        };
        let least = QUIET_MS_MIN.max(QUIET_BUCKETS_MIN * job.bucket_span.millis());
        Ok(Settings {
            threshold: self.threshold,
            quiet_ms: self.quiet.unwrap_or(least),
            alert_per,
            from: self.from,
        })
    }

    /// The labels, if the job can name what they name.
    pub(super) fn windows(&self, job: &Job) -> anyhow::Result<Option<Vec<Window>>> {
        let Some(path) = &self.labels else {
            return Ok(None);
        };
        let partitions = job
            .detectors
            .iter()
            .filter_map(|detector| detector.partition);
        let around = labels::Surroundings {
            files: &self.source.files,
            partition_fields: partitions.map(|id| job.field_name(id)).collect(),
        };
        let windows = labels::read(path, &around)?;
        let mut nameable = splits(job);
        nameable.extend(job.influencers.iter().map(|id| job.field_name(*id)));
        let mut fields = windows.iter().flat_map(|window| window.entity.keys());
        if let Some(field) = fields.find(|field| !nameable.contains(field.as_str())) {
            bail!(
                "labels {}: no record of this job can name the field {field:?}, by which it neither splits nor has it as an influencer; fields of records: {}",
                path.display(),
                listed(&nameable)
            );
        }
        Ok(Some(windows))
    }

    /// Standard input can be read once, and by one of them; an output that is also an input would be emptied before it is read.
    pub(super) fn refuse_what_cannot_be(&self) -> anyhow::Result<()> {
        let beside = [self.labels.as_ref(), self.against.as_ref()];
        let stdin = beside
            .into_iter()
            .flatten()
            .filter(|path| *path == Path::new("-"));
        if stdin.count() + usize::from(self.source.has_stdin()) > 1 {
            bail!(
                "events, --labels and --against cannot share standard input; put all but one into files"
            );
        }
        let inputs = [Some(&self.job), self.labels.as_ref(), self.against.as_ref()];
        let inputs = inputs.into_iter().flatten().chain(&self.source.files);
        let outputs = [
            ("--out", Some(self.out.as_deref().unwrap_or(Path::new("-")))),
            ("--report", self.report.as_deref()),
        ];
        output::refuse_to_overwrite(&outputs, inputs)
    }

    /// The page, if one is wanted.
    pub(super) fn report(&self, job: &Arc<Job>) -> anyhow::Result<Option<Report>> {
        let open = |path| Report::open(path, "backtest", job, SCORE_MIN, &self.source.files);
        self.report.as_deref().map(open).transpose()
    }

    /// The other detector, if the events can be read for it too.
    pub(super) fn other(&self) -> anyhow::Result<Option<Other>> {
        let other = self.against.as_deref();
        let other = other
            .map(|path| Other::at(path, &self.beside))
            .transpose()?;
        let reads_again = matches!(other, Some(Other::Job(_) | Other::Build));
        if reads_again && self.source.has_stdin() {
            bail!(
                "--against a job or a build reads the events twice, and standard input can be read once; put them into a file"
            );
        }
        Ok(other)
    }

    pub(super) fn write(&self, backtest: &Backtest, color: Color) -> anyhow::Result<()> {
        let mut out = output::open(self.out.as_deref())?;
        match self.format {
            Format::Json => output::json_line(out.as_mut(), backtest)?,
            Format::Table => {
                let style = Style {
                    width: output::width(),
                    color: self.out.is_none() && color.on_stdout(),
                    top: self.top,
                };
                out.write_all(show::render(backtest, style).as_bytes())?;
            }
        }
        out.flush()?;
        Ok(())
    }

    /// Whether it is good enough, and what is not.
    pub(super) fn verdict(&self, measured: &Measured) -> ExitCode {
        let Some(labelled) = &measured.at_threshold.labelled else {
            return ExitCode::SUCCESS;
        };
        let mut code = ExitCode::SUCCESS;
        let mut fail = |what: String| {
            eprintln!("tidewatch: {what} at a score of {}", self.threshold);
            code = ExitCode::FAILURE;
        };
        match (self.fail_under, labelled.recall) {
            (Some(least), Some(recall)) if recall < least => {
                fail(format!("a recall of {recall:.3} is under {least}"));
            }
            (Some(_), None) => fail("no window to be found, hence no recall".to_owned()),
            _ => {}
        }
        match (self.fail_over, labelled.false_alerts_per_1000_series_days) {
            (Some(most), Some(rate)) if rate > most => {
                fail(format!(
                    "{rate:.2} false alerts for 1,000 series-days are over {most}"
                ));
            }
            (Some(_), None) => {
                fail("no bucket was judged, hence no rate of false alerts".to_owned())
            }
            _ => {}
        }
        code
    }
}

/// Fields by which the job splits.
fn splits(job: &Job) -> BTreeSet<&str> {
    let detectors = job.detectors.iter();
    detectors
        .flat_map(|detector| [detector.by, detector.over, detector.partition])
        .flatten()
        .map(|id| job.field_name(id))
        .collect()
}

fn listed(fields: &BTreeSet<&str>) -> String {
    match fields.is_empty() {
        true => "it has none".to_owned(),
        false => Vec::from_iter(fields.iter().copied()).join(", "),
    }
}
