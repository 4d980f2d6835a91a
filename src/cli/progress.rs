//! Progress on a terminal: how much of the input is done, and how fast. Silent when stderr is not a terminal.

use super::output::grouped;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{self, IsTerminal};
use std::time::Instant;

/// How often the bar may be told something new: once in so many events, a power of two.
const EVENTS_PER_UPDATE: u64 = 4096;

/// A bar, and the clock behind the rate.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    began: Instant,
}

impl Progress {
    /// A bar over `total` units of work; without a total it only shows that something happens.
    #[allow(
        clippy::disallowed_methods,
        reason = "a person's clock: nothing that is computed depends on it"
    )]
    pub(super) fn new(total: Option<u64>) -> Progress {
        let bar = io::stderr().is_terminal().then(|| match total {
            Some(total) => ProgressBar::new(total)
                .with_style(style("{bar:30.cyan} {percent:>3} %  {msg}  {eta} left")),
            None => ProgressBar::new_spinner().with_style(style("{spinner:.cyan} {msg}")),
        });
        Progress {
            bar,
            began: Instant::now(),
        }
    }

    /// After each event: redraws now and then.
    pub(super) fn tick(&self, events: u64, done: impl FnOnce() -> u64) {
        if let (Some(bar), 0) = (&self.bar, events % EVENTS_PER_UPDATE) {
            bar.set_position(done());
            bar.set_message(format!("{} events  {}", grouped(events), self.rate(events)));
        }
    }

    /// Prints above the bar.
    pub(super) fn above(&self, print: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// Seconds since the beginning.
    pub(super) fn seconds(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// `27,000 events/s`.
    pub(super) fn rate(&self, events: u64) -> String {
        format!(
            "{} events/s",
            grouped((events as f64 / self.seconds().max(1e-3)) as u64)
        )
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the templates are constants")
}
