//! `tidewatch backtest`: a job over history, held against labels: found, how fast, false alarms; and against another job or build.
//!
//! ```text
//! labels ───────────────────────────────┐
//! files ──► job here ──────► records ───┤
//!     ├───► another job ───► records ───┼──► Backtest ──► a table or JSON
//!     └───► another build ─► records ───┤
//! results written earlier ─► records ───┘
//! ```
//!
//! `--report` adds a page on the first of them. What is measured, and how: [`crate::backtest`]. Ctrl-C ends the command with nothing told, since half a history measured would pass for a whole one.

mod args;
mod labels;
mod labels_csv;
mod listen;
mod others;
mod plot;
mod show;
mod versus;

pub use args::{Args, EXAMPLES};

use super::Color;
use super::interrupt::{self, Interrupt};
use crate::backtest::{Against, Backtest, Coverage, Heard, Labels, Trial, Window, compare};
use crate::time::EventTime;
use listen::{Ran, run_job};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

/// Runs everything, measures it, tells it.
pub fn run(args: &Args, color: Color) -> anyhow::Result<ExitCode> {
    let job = args.beside.job(&args.job, args.datafeed.as_deref())?;
    let job = Arc::new(job);
    args.refuse_what_cannot_be()?;
    let settings = args.settings(&job)?;
    let windows = args.windows(&job)?;
    let other = args.other()?;
    let interrupt = Interrupt::listen()?;
    let labels = windows.as_deref().unwrap_or_default();
    let mut report = args.report(&job)?;
    let ran = run_job(
        job,
        &args.source,
        &interrupt,
        labels,
        args.from,
        report.as_mut(),
    )?;
    let Some(ran) = ran else {
        return Ok(ExitCode::from(interrupt::EXIT_CODE));
    };
    let (counted, labels) = match windows {
        Some(windows) => {
            let (counted, labels) = countable(windows, &ran, args.from);
            (Some(counted), Some(labels))
        }
        None => (None, None),
    };
    let against = match (&args.against, other) {
        (Some(path), Some(other)) => {
            let Some(heard) = other.hear(args, path, &ran, &interrupt, color)? else {
                return Ok(ExitCode::from(interrupt::EXIT_CODE));
            };
            Some((path, heard))
        }
        _ => None,
    };
    let measure = |path: &Path, heard: &Heard, coverage: Option<Coverage>| {
        let trial = Trial::new(heard, counted.as_deref(), &settings);
        trial.measure(&path.display().to_string(), coverage)
    };
    let measured = measure(&args.job, &ran.heard, ran.coverage);
    let against = against.map(|(path, (heard, coverage))| {
        let other = measure(path, &heard, coverage);
        Against {
            difference: compare(&measured, &other, settings.quiet_ms),
            measured: other,
        }
    });
    let backtest = Backtest {
        settings,
        labels,
        measured,
        against,
    };
    args.write(&backtest, color)?;
    if let Some(report) = report {
        report.write(ran.reading, Some(&backtest))?;
    }
    Ok(args.verdict(&backtest.measured))
}

/// The windows that could have been found, and how many could not.
fn countable(windows: Vec<Window>, ran: &Ran, from: Option<EventTime>) -> (Vec<Window>, Labels) {
    let mut labels = Labels::default();
    let read = ran.coverage;
    let is_inside = |window: &Window| {
        read.is_some_and(|read| window.overlaps(read.from, read.to))
            && from.is_none_or(|from| window.start >= from)
    };
    let mut counted = windows;
    counted.retain(|window| {
        if !is_inside(window) {
            labels.outside += 1;
        } else if ran.unseen.holds(window) {
            labels.unseen += 1;
        } else {
            labels.windows += 1;
            return true;
        }
        false
    });
    (counted, labels)
}
