//! `tidewatch categorize`: which kind of message is each line of a log, and what kinds are there.
//!
//! Messages are lines of text, or a field of JSON objects (`--field`); with `--starts-with`, lines that do not begin a message belong to the one before.
//! Written: the category of each message as it comes (CSV or NDJSON), or the categories at the end (`--table`). Ids are given as messages come and
//! never changed. Nothing is configured for a kind of log.

mod messages;
mod show;

use super::Color;
use super::feed::counted;
use super::interrupt::{self, Interrupt};
use super::output::{self, grouped};
use super::progress::Progress;
use crate::config::Analyzer;
use crate::engine::categorize::{Bounds, Categorizers, Settings, Verdict, grok_pattern};
use anyhow::Context;
use clap::ValueEnum;
use messages::{Message, Messages};
use regex::Regex;
use serde_json::json;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What `tidewatch categorize --help` ends with.
pub const EXAMPLES: &str = "\
Examples:
  What kinds of messages are there, how many of each, what do they look like:
    tidewatch categorize /var/log/syslog --table
  Each line with its category, for a script:
    tidewatch categorize app.log.gz > categories.csv
  A field of JSON logs, from a pipe; the definitions beside it:
    tail -F app.ndjson | tidewatch categorize - --field message --format ndjson --definitions kinds.ndjson
  Stack traces belong to the line that begins with a date:
    tidewatch categorize app.log --starts-with '^[0-9]{4}-' --table

An empty category: no message (the field is missing), or no room for another category.";

/// What the command takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Log files, also gzip or zstd; `-` is standard input.
    #[arg(value_name = "FILE", default_value = "-")]
    files: Vec<PathBuf>,
    /// Lines are JSON objects, and this field of them holds the message (dots lead into objects).
    #[arg(long, value_name = "FIELD")]
    field: Option<String>,
    /// A line that this regular expression does not match goes on with the message before.
    #[arg(long, value_name = "REGEX", conflicts_with = "field")]
    starts_with: Option<Regex>,
    /// How the result is written [default: table on a terminal, csv otherwise].
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// The categories, most messages first: the same as `--format table`.
    #[arg(long, conflicts_with = "format")]
    table: bool,
    /// Where the result goes [default: stdout].
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Where the definitions of all categories go, one JSON object a line: terms, regex, Grok pattern, examples, count.
    #[arg(long, value_name = "FILE")]
    definitions: Option<PathBuf>,
    /// Examples kept of each category.
    #[arg(long, default_value_t = 4, value_name = "N")]
    examples: usize,
    /// Categories at the most; a message that would need another one gets none.
    #[arg(long, default_value_t = 20_000, value_name = "N")]
    max_categories: u32,
    /// How many categories a table shows.
    #[arg(long, default_value_t = 50, value_name = "N")]
    top: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// `line,category`; `file,line,category` where there are several files.
    Csv,
    /// An object a message: file, line, category, message.
    Ndjson,
    /// The categories, for people.
    Table,
}

/// Bytes that the categories may take.
const BYTES_MAX: u64 = 256 << 20;

/// Reads everything, writes what was asked for.
pub fn run(args: &Args, color: Color) -> anyhow::Result<ExitCode> {
    args.refuse_to_overwrite()?;
    let interrupt = Interrupt::listen()?;
    let mut session = Session::new(args, color)?;
    let progress = Progress::new(messages::bytes_total(&args.files));
    let mut seen = 0;
    'files: for (at, file) in args.files.iter().enumerate() {
        let mut source = Messages::open(file, args.field.clone(), args.starts_with.clone())
            .with_context(|| format!("{}: cannot be read", file.display()))?;
        while let Some(message) = source
            .next()
            .with_context(|| format!("{}: cannot be read to its end", file.display()))?
        {
            session.take(at, &message)?;
            seen += 1;
            progress.tick(seen, || source.bytes_read());
            if interrupt.asked() {
                break 'files;
            }
        }
        session.noticed.add(&source.noticed);
    }
    progress.finish();
    session.finish(seen)?;
    Ok(match interrupt.asked() {
        true => ExitCode::from(interrupt::EXIT_CODE),
        false => ExitCode::SUCCESS,
    })
}

impl Args {
    fn refuse_to_overwrite(&self) -> anyhow::Result<()> {
        let out = self.out.as_deref().unwrap_or(Path::new("-"));
        let outputs = [
            ("--out", Some(out)),
            ("--definitions", self.definitions.as_deref()),
        ];
        output::refuse_to_overwrite(&outputs, self.files.iter())
    }

    fn format(&self) -> Format {
        let to_terminal = self.out.is_none() && io::stdout().is_terminal();
        match self.format {
            _ if self.table => Format::Table,
            Some(format) => format,
            None if to_terminal => Format::Table,
            None => Format::Csv,
        }
    }
}

/// One run.
struct Session<'a> {
    args: &'a Args,
    color: Color,
    format: Format,
    out: Box<dyn Write>,
    categorizers: Categorizers,
    noticed: messages::Noticed,
}

impl<'a> Session<'a> {
    fn new(args: &'a Args, color: Color) -> anyhow::Result<Session<'a>> {
        let mut session = Session {
            args,
            color,
            format: args.format(),
            out: output::open(args.out.as_deref())?,
            categorizers: Categorizers::new(Settings {
                analyzer: Analyzer::default(),
                examples_max: args.examples,
                bounds: Bounds {
                    categories: args.max_categories,
                    bytes: BYTES_MAX,
                },
                stop_on_warn: false,
            }),
            noticed: messages::Noticed::default(),
        };
        match session.format {
            Format::Csv if args.files.len() > 1 => writeln!(session.out, "file,line,category")?,
            Format::Csv => writeln!(session.out, "line,category")?,
            Format::Ndjson | Format::Table => {}
        }
        Ok(session)
    }

    fn take(&mut self, file: usize, message: &Message<'_>) -> anyhow::Result<()> {
        let verdict = message
            .text
            .map(|text| self.categorizers.categorize(None, text));
        let category = match verdict {
            Some(Verdict::Category(id)) => Some(id),
            _ => None,
        };
        let several = self.args.files.len() > 1;
        let file = || self.args.files[file].display().to_string();
        match self.format {
            Format::Table => {}
            Format::Csv => {
                if several {
                    write!(self.out, "{},", quoted(&file()))?;
                }
                match category {
                    Some(id) => writeln!(self.out, "{},{id}", message.line)?,
                    None => writeln!(self.out, "{},", message.line)?,
                }
            }
            Format::Ndjson => {
                let mut object = serde_json::Map::new();
                if several {
                    object.insert("file".into(), json!(file()));
                }
                object.insert("line".into(), json!(message.line));
                object.insert("category".into(), json!(category));
                object.insert("message".into(), json!(message.text));
                output::json_line(self.out.as_mut(), &object)?;
            }
        }
        Ok(())
    }

    fn finish(mut self, messages: u64) -> anyhow::Result<()> {
        if let Some(path) = &self.args.definitions {
            self.write_definitions(path)?;
        }
        let totals = self.categorizers.totals();
        if self.format == Format::Table {
            let style = super::table::Style {
                width: output::width(),
                color: self.args.out.is_none() && self.color.on_stdout(),
                top: self.args.top,
            };
            let definitions = self.categorizers.definitions().collect();
            write!(
                self.out,
                "{}",
                show::render(definitions, totals.categorized_doc_count, style)
            )?;
        }
        self.out.flush()?;
        let mut summary = format!(
            "{}, {}",
            counted(messages, "message"),
            match totals.total_category_count {
                1 => "1 category".to_owned(),
                many => format!("{} categories", grouped(many)),
            }
        );
        let odd = [
            (self.noticed.not_json, "lines that are no JSON object"),
            (self.noticed.without_field, "objects without the field"),
            (
                self.noticed.not_utf8,
                "lines that are not UTF-8 (read with \u{fffd} in place of what is not)",
            ),
            (self.noticed.too_long, "lines that were cut at 1 MiB"),
            (
                totals.failed_category_count,
                "messages for which there was no room (--max-categories)",
            ),
        ];
        for (count, what) in odd.into_iter().filter(|(count, _)| *count > 0) {
            summary.push_str(&format!(", {} {what}", grouped(count)));
        }
        if totals.categorization_status.name() == "warn" {
            summary.push_str(
                "; these categories may be of little use: one for all, or nearly one a message",
            );
        }
        eprintln!("{summary}");
        Ok(())
    }

    fn write_definitions(&self, path: &Path) -> anyhow::Result<()> {
        let mut out = output::open(Some(path))?;
        for definition in self.categorizers.definitions() {
            let object = json!({
                "category_id": definition.category_id,
                "terms": definition.terms,
                "regex": definition.regex,
                "max_matching_length": definition.max_matching_length,
                "grok_pattern": grok_pattern(&definition),
                "examples": definition.examples,
                "preferred_to_categories": definition.preferred_to_categories,
                "num_matches": definition.num_matches,
            });
            output::json_line(out.as_mut(), &object)?;
        }
        out.flush()?;
        Ok(())
    }
}

/// A CSV cell.
fn quoted(text: &str) -> String {
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}
