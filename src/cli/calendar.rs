//! `tidewatch calendar FILES...`: what will come of calendars, occurrence by occurrence, so that nobody has to guess.
//!
//! The same reading as the service's and `detect`'s: what is listed here is when events act (on every bucket that they fall into).
//! Checked: tests/calendars.rs.

use super::output;
use crate::config::service::SharedSources;
use crate::config::{Coming, Shared};
use crate::runtime::clock::{Clock, SystemClock};
use crate::time::EventTime;
use chrono::{DateTime, TimeZone};
use chrono_tz::Tz;
use clap::ValueEnum;
use serde_json::json;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

const DAY_MS: i64 = 86_400_000;
/// How far is looked ahead when nobody says.
const DAYS_AHEAD: i64 = 90;

/// What `tidewatch calendar --help` ends with.
pub const EXAMPLES: &str = "\
Examples:
  What the coming quarter holds:
    tidewatch calendar holidays.ics maintenance.yaml --timezone Europe/Berlin
  A whole year, for a script:
    tidewatch calendar holidays.ics --from 2027-01-01 --to 2028-01-01 --format ndjson";

/// What the command takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Calendars: iCalendar (.ics), YAML or JSON; files, directories or patterns.
    #[arg(required = true, value_name = "PATH")]
    calendars: Vec<PathBuf>,
    /// From when on, by the clock of --timezone [default: now].
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Until when, exclusive [default: 90 days later].
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// The time zone to show times in; and of all-day events and times whose zone the calendar does not name [default: UTC].
    #[arg(long, value_name = "ZONE", value_parser = Shared::zone)]
    timezone: Option<Tz>,
    /// How occurrences are written.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Where they go [default: stdout].
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A line each, for people.
    Table,
    /// An object a line.
    Ndjson,
}

/// The moment that an option names, if it is there.
fn moment(option: &str, text: Option<&String>, zone: Tz) -> anyhow::Result<Option<EventTime>> {
    let Some(text) = text else { return Ok(None) };
    let at = Shared::moment(text, zone);
    let right = "a day, a time such as 2026-03-01T00:00:00Z, or milliseconds since the epoch";
    at.map(Some)
        .ok_or_else(|| anyhow::anyhow!("{option} {text}: expected {right}"))
}

/// Lists what comes.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let sources = SharedSources {
        calendars: args.calendars.clone(),
        time_zone: args.timezone,
        ..SharedSources::default()
    };
    let shared = sources
        .read()
        .map_err(|mistakes| anyhow::anyhow!(mistakes.join("\n")))?;
    let zone = args.timezone.unwrap_or(Tz::UTC);
    let from = moment("--from", args.from.as_ref(), zone)?
        .unwrap_or_else(|| EventTime(SystemClock.now_ms()));
    let to = moment("--to", args.to.as_ref(), zone)?
        .unwrap_or(EventTime(from.millis() + DAYS_AHEAD * DAY_MS));
    anyhow::ensure!(from < to, "--to is not after --from");
    let coming = shared.coming(from, to);
    let mut out = output::open(args.out.as_deref())?;
    for one in &coming {
        let line = match args.format {
            Format::Table => row(one, zone),
            Format::Ndjson => object(one),
        };
        writeln!(out, "{line}")?;
    }
    if coming.is_empty() && args.format == Format::Table {
        writeln!(
            out,
            "nothing from {} to {}",
            shown(from, zone),
            shown(to, zone)
        )?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn shown(at: EventTime, zone: Tz) -> String {
    let time: Option<DateTime<Tz>> = zone.timestamp_millis_opt(at.millis()).single();
    time.map_or_else(
        || at.millis().to_string(),
        |time| time.format("%a %Y-%m-%d %H:%M %:z").to_string(),
    )
}

fn row(one: &Coming, zone: Tz) -> String {
    let mut text = format!(
        "{}  to  {}  {}: {}",
        shown(one.from, zone),
        shown(one.to, zone),
        one.calendar_id,
        one.description
    );
    for (field, values) in &one.entities {
        text.push_str(&format!(", {field} {}", values.join(" ")));
    }
    for (said, word) in [
        (one.actions.skip_result, "records"),
        (one.actions.skip_model_update, "learning"),
    ] {
        if !said {
            text.push_str(&format!(" ({word} as ever)"));
        }
    }
    text
}

fn object(one: &Coming) -> String {
    json!({
        "calendar_id": one.calendar_id,
        "description": one.description,
        "start_time": one.from.millis(),
        "end_time": one.to.millis(),
        "skip_result": one.actions.skip_result,
        "skip_model_update": one.actions.skip_model_update,
        "entities": one.entities,
    })
    .to_string()
}
