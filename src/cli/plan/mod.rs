//! `tidewatch plan JOB [FILES]`: how many series a job will have, and how much memory they take.
//!
//! ```text
//! a sample ──► Gatherer ──► distinct series over time ──► forecast ─┐
//! --cardinality ──► as many series as that makes ───────────────────┴► bytes, a limit, warnings
//! ```
//!
//! The bytes of a series are those of real models that are taught for as long ([`series_bytes`](crate::engine::judge::series_bytes)); nothing of
//! them is assumed. What Elastic would estimate is told beside it. Docs: docs/planning.md. Checked: tests/plan.rs.

mod elastic;
mod forecast;
mod report;
mod sample;
mod split;
mod table;

use super::feed::{self, InputKind, delimiter, tell};
use super::notes::Notes;
use super::output;
use super::progress::Progress;
use crate::cli::beside::Beside;
use crate::config::Job;
use crate::decode::Reader;
use crate::engine::feature::Layout;
use clap::ValueEnum;
use report::Plan;
use sample::Sample;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What `tidewatch plan --help` ends with.
pub const EXAMPLES: &str = "\
Examples:
  From a sample, the longer the better; a day shows the day's rhythm:
    tidewatch plan job.yaml yesterday.ndjson.gz
  From what is known of the fields, without a sample:
    tidewatch plan job.yaml --cardinality host.name=1000 --cardinality user.name=50000";

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
    /// A sample of its events: NDJSON, JSON or CSV, plain, gzip or zstd; `-` is stdin.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Without a sample: how many values a field has; of a field that is only an influencer, in one bucket. Once for each field.
    #[arg(long, value_name = "FIELD=N", value_parser = cardinality, conflicts_with = "files")]
    cardinality: Vec<(String, u64)>,
    /// How the plan is written.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Where it goes [default: stdout].
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    /// What the events are [default: found out from their first byte].
    #[arg(long, value_enum)]
    input: Option<InputKind>,
    /// What stands between the columns of CSV; `\t` is a tab [default: found out from the header].
    #[arg(long, value_name = "CHAR", value_parser = delimiter)]
    delimiter: Option<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Table,
    /// One object.
    Json,
}

fn cardinality(text: &str) -> Result<(String, u64), String> {
    let parts = text.rsplit_once('=').filter(|(field, _)| !field.is_empty());
    let number = parts.and_then(|(field, number)| Some((field.to_owned(), number.parse().ok()?)));
    number.ok_or_else(|| {
        "expected a field and how many values it has, such as host.name=1000".to_owned()
    })
}

/// Reads the sample if there is one, says what is to be expected.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let job = args.beside.job(&args.job, args.datafeed.as_deref())?;
    let job = Arc::new(job);
    if let Some(out) = &args.out {
        let mut inputs = std::iter::once(&args.job).chain(&args.files);
        if let Some(input) = inputs.find(|input| output::same(input, out)) {
            anyhow::bail!("--out {} would overwrite what is read", input.display());
        }
    }
    let plan = match args.files.is_empty() {
        true => Plan::from_cardinalities(&job, &args.known(&job)?)?,
        false => Plan::from_sample(&job, &read(&job, args)?)?,
    };
    let mut out = output::open(args.out.as_deref())?;
    match args.format {
        Format::Table => out.write_all(table::render(&plan).as_bytes())?,
        Format::Json => output::json_line(out.as_mut(), &plan)?,
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

impl Args {
    /// The cardinalities given, each of a field in whose number of values something of this job lies.
    fn known(&self, job: &Job) -> anyhow::Result<BTreeMap<String, u64>> {
        let layout = Layout::of(job);
        let splits = layout
            .groups
            .iter()
            .flat_map(|group| [group.by, group.partition]);
        let fields = splits.flatten().chain(job.influencers.iter().copied());
        let mut names: Vec<&str> = fields.map(|field| job.field_name(field)).collect();
        names.sort_unstable();
        names.dedup();
        let mut known = BTreeMap::new();
        for (field, values) in &self.cardinality {
            anyhow::ensure!(
                names.contains(&field.as_str()),
                "--cardinality {field}: neither splits nor influences this job; expected one of: {}",
                names.join(", ")
            );
            anyhow::ensure!(
                known.insert(field.clone(), *values).is_none(),
                "--cardinality {field}: is given twice"
            );
        }
        Ok(known)
    }
}

/// The `model_memory_limit` that is enough for the series of a sample after 30 days, MB; `None` if it has no event that can be analysed.
pub(super) fn recommended_mb(
    job: &Arc<Job>,
    readers: impl Iterator<Item = Reader>,
) -> anyhow::Result<Option<u64>> {
    let mut sample = Sample::new(Arc::clone(job));
    for mut reader in readers {
        let _ = reader.run(&mut |item| {
            sample.take(item);
            ControlFlow::Continue(())
        })?;
    }
    sample.finish();
    if sample.events() == 0 {
        return Ok(None);
    }
    let plan = Plan::from_sample(job, &sample)?;
    Ok(Some(plan.recommended_limit_bytes >> 20))
}

fn read(job: &Arc<Job>, args: &Args) -> anyhow::Result<Sample> {
    let options = feed::options(args.input, args.delimiter);
    let mut notes = Notes::new(job);
    let mut reader = Reader::open(job, &args.files, options)?;
    let progress = Progress::new(reader.bytes_total());
    let bytes_read = reader.bytes_read_counter();
    let mut sample = Sample::new(Arc::clone(job));
    let read = reader.run(&mut |item| {
        notes.look(&item);
        sample.take(item);
        progress.tick(sample.events(), || bytes_read.load(Ordering::Relaxed));
        ControlFlow::Continue(())
    });
    progress.finish();
    tell(&notes, &args.files, options);
    let _ = read?;
    sample.finish();
    anyhow::ensure!(
        sample.events() > 0,
        "no event of the sample can be analysed ({} rejected)",
        sample.rejected()
    );
    Ok(sample)
}
