//! `tidewatch new FILES`: looks at a sample and proposes a job.
//!
//! ```text
//! sample ──► fields (stats) ──► time ──► roles ──► rhythm ──► proposal ──► YAML, checked and planned
//! ```
//!
//! What is written is a job as it stands; what it rests on is told in its comments, and in a table on stderr. Docs: docs/queries.md.
//! Checked: tests/new.rs, on samples of its own.

mod amounts;
mod long;
mod names;
mod order;
mod propose;
mod rhythm;
mod stats;
mod time;
mod visitors;
mod within;
mod yaml;

use super::feed::{self, InputKind, delimiter};
use super::output;
use crate::config::Job;
use crate::decode::{self, Format, Options, Reader};
use anyhow::Context;
use order::Order;
use propose::Role;
use stats::Sample;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
pub(super) use time::pattern_of;
use yaml::Draft;

/// What `tidewatch new --help` ends with.
pub const EXAMPLES: &str = "\
Examples:
  From yesterday's log, the longer the sample the better:
    tidewatch new access.ndjson.gz -o web.yaml && tidewatch detect web.yaml access.ndjson.gz
  From CSV, whatever stands between its columns:
    tidewatch new sensors.csv -o sensors.yaml
  From a topic, of JSON or of lines of text, through any consumer:
    kcat -C -b localhost -t web-logs -c 100000 -e | tidewatch new - --topic web-logs -o web.yaml";

/// What the command takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A sample of the events: NDJSON, JSON, CSV, a table with directives (Zeek, IIS) or a log as text; plain, gzip or zstd; `-` is stdin.
    #[arg(default_value = "-", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The topic that the job is to read.
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
    /// The job's id [default: made of the topic's or the first file's name].
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// How much of the files is looked at, from their beginnings, MB in all.
    #[arg(long, default_value_t = 32, value_name = "MB", value_parser = clap::value_parser!(u64).range(1..=1024))]
    sample: u64,
    /// Where the job goes [default: stdout].
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    /// What the events are [default: found out from their first byte].
    #[arg(long, value_enum)]
    input: Option<InputKind>,
    /// What stands between the columns of CSV; `\t` is a tab [default: found out from the header].
    #[arg(long, value_name = "CHAR", value_parser = delimiter)]
    delimiter: Option<u8>,
    /// Leave out the table of what was seen.
    #[arg(long, short)]
    quiet: bool,
}

/// A file's beginning.
struct Beginning {
    name: String,
    written_ms: Option<i64>,
    bytes: Vec<u8>,
}

/// Reads the sample, writes the proposal.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let out = args.out.as_deref().unwrap_or(Path::new("-"));
    output::refuse_to_overwrite(&[("--out", Some(out))], args.files.iter())?;
    let beginnings = args.beginnings()?;
    let text = args.propose(beginnings)?;
    let mut out = output::open(args.out.as_deref())?;
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

impl Args {
    /// How a file is read that begins so. What comes out of a topic and is no JSON is lines of text: it holds no CSV.
    fn options(&self, file: &Beginning) -> Options {
        let options = feed::options(self.input, self.delimiter);
        let begins_json = file.bytes.trim_ascii_start().starts_with(b"{")
            || file.bytes.trim_ascii_start().starts_with(b"[");
        let is_text = options.format.is_none() && self.topic.is_some() && !begins_json;
        Options {
            now_ms: file.written_ms.or(options.now_ms),
            format: if is_text {
                Some(Format::Text)
            } else {
                options.format
            },
            ..options
        }
    }

    fn beginnings(&self) -> anyhow::Result<Vec<Beginning>> {
        let share = (self.sample << 20) / self.files.len().max(1) as u64;
        let beginnings = self.files.iter().map(|file| {
            let name = file.display().to_string();
            let mut bytes = Vec::new();
            decode::open_bytes(file)
                .and_then(|source| source.take(share.max(1 << 16)).read_to_end(&mut bytes))
                .with_context(|| format!("{name}: cannot be read"))?;
            Ok(Beginning {
                name,
                written_ms: decode::written_ms(file),
                bytes,
            })
        });
        beginnings.collect()
    }

    fn propose(&self, beginnings: Vec<Beginning>) -> anyhow::Result<String> {
        let mut sample = Sample::default();
        let mut unreadable = 0;
        let (mut text, mut is_timeless) = (None, false);
        for beginning in &beginnings {
            let take = &mut |fields| sample.take(fields);
            let surveyed = decode::survey(&beginning.bytes, self.options(beginning), take);
            unreadable += surveyed.unreadable;
            text = text.or(surveyed.text);
            is_timeless |= surveyed.is_timeless;
        }
        let within = || {
            let advice = beginnings.iter().find_map(|one| within::advice(&one.bytes));
            advice.map_or(String::new(), |advice| format!("; {advice}"))
        };
        anyhow::ensure!(
            !sample.events.is_empty(),
            "the sample holds no event ({}); expected JSON objects, CSV below a header, or a log's lines{}",
            match unreadable {
                0 if beginnings.iter().all(|one| one.bytes.is_empty()) => "it is empty".to_owned(),
                0 => "nothing is below its first line".to_owned(),
                1 => "what is in it is none, or too long for one".to_owned(),
                many => format!("{many} lines are none"),
            },
            within()
        );
        let time = time::find(&sample);
        let apart = time::apart(&sample, time.as_ref());
        anyhow::ensure!(
            apart.is_none() || self.topic.is_some(),
            "{}",
            apart.unwrap_or_default()
        );
        anyhow::ensure!(
            time.is_some() || self.topic.is_some(),
            "no field reads as a time in 99 of 100 events; the fields are: {} (--topic takes the message's own time){}",
            sample
                .fields
                .iter()
                .map(|field| &*field.path)
                .collect::<Vec<_>>()
                .join(", "),
            within()
        );
        if let Some(time) = &time {
            let name = &sample.fields[time.field].path;
            anyhow::ensure!(
                !within::is_time(&name.as_str().into()),
                "the first line holds values, and not the names of the columns: {name:?} is a time; put a line with a name for each column above it"
            );
        }
        let no_times = vec![None; sample.events.len()];
        let instants = time.as_ref().map_or(&no_times, |time| &time.instants);
        let time_field = time.as_ref().map_or(usize::MAX, |time| time.field);
        let roles = propose::roles(&sample, time_field, instants);
        let entities = propose::of_role(&roles, &[Role::Split, Role::Entity]);
        let names = propose::measures(&sample, &roles)
            .into_iter()
            .find_map(|measure| long::names_of(&sample, &roles, measure));
        let rhythm = rhythm::of(&sample, instants, &entities, names);
        let proposal = propose::propose(&sample, &roles, instants, &rhythm);
        let order = order::of(instants, rhythm.span_ms);
        let id = self.id();
        let names: Vec<String> = beginnings.iter().map(|one| one.name.clone()).collect();
        let mut draft = Draft {
            id: &id,
            source: &names.join(", "),
            topic: self.topic.as_deref(),
            sample: &sample,
            roles: &roles,
            time: time.as_ref(),
            rhythm: &rhythm,
            order,
            proposal: &proposal,
            text,
            memory_mb: None,
        };
        if !self.quiet {
            eprint!("{}", draft.table(output::width()));
        }
        let job = Job::from_text(&draft.render(), "the proposal")?;
        if order != Order::None && !is_timeless {
            draft.memory_mb = self.memory_mb(job, beginnings)?;
        }
        let text = draft.render();
        Job::from_text(&text, "the proposal")?;
        Ok(text)
    }

    /// Twice what the sample's series need after 30 days, for a sample has not seen everyone.
    fn memory_mb(&self, job: Job, beginnings: Vec<Beginning>) -> anyhow::Result<Option<u64>> {
        const LEAST_MB: u64 = 16;
        let job = Arc::new(job);
        let readers = beginnings.into_iter().map(|beginning| {
            let options = self.options(&beginning);
            let bytes = Cursor::new(beginning.bytes);
            Reader::from_bytes(&job, &beginning.name, bytes, options)
        });
        let recommended = super::plan::recommended_mb(&job, readers)?;
        Ok(recommended.map(|mb| (2 * mb).max(LEAST_MB)))
    }

    /// An id of the letters that one may have.
    fn id(&self) -> String {
        if let Some(id) = &self.id {
            return id.clone();
        }
        let file = self.files.first().filter(|file| **file != Path::new("-"));
        let name = file.and_then(|file| {
            file.file_name()?
                .to_str()?
                .split('.')
                .find(|part| !part.is_empty())
        });
        let name = self
            .topic
            .as_deref()
            .or(name)
            .unwrap_or("new-job")
            .to_ascii_lowercase();
        let legal = |c: char| {
            if c.is_ascii_lowercase() || c.is_ascii_digit() || "_-.".contains(c) {
                c
            } else {
                '-'
            }
        };
        let id: String = name.chars().map(legal).take(64).collect();
        let id = id.trim_matches(['_', '-', '.']);
        if id.is_empty() {
            "new-job".to_owned()
        } else {
            id.to_owned()
        }
    }
}
