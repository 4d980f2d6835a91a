//! The report: what a job found, as one page that people look at in a browser.
//!
//! ```text
//! Pipeline ──outputs──► Collector ──► Story ──► page
//!  (plots of all series)  bounded      chosen    overview · series · anomalies, inline SVG
//! Backtest, if there is one ────────────┘         windows shaded behind the overview, figures
//! ```
//!
//! Pure but for the collecting: the same outputs give the same bytes, however often and wherever. Bounded: the memory while collecting (see `collect`), and the
//! page, since it shows the strongest of everything and says what it leaves out. Checked by: tests/report.rs.

mod anomaly;
mod backtest;
mod chart;
mod collect;
mod forecast;
mod overview;
mod page;
mod series;
mod story;
mod text;
mod time_axis;
mod timeline;
mod track;
mod tracks;
mod value_axis;
mod windows;

pub(super) use collect::plotting;
pub(super) use forecast::ForecastPage;

use super::output;
use crate::backtest::Backtest;
use crate::config::Job;
use crate::engine::pipeline::Output;
use anyhow::Context;
use collect::Collector;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The least score that people want to see unless they say otherwise: below it are records that nobody would call unusual.
pub(super) const SCORE_MIN: f64 = 1.0;

/// Where a page's contents come from.
#[derive(Clone, Debug)]
struct Source {
    /// The command that made it.
    command: &'static str,
    /// What was read.
    inputs: Vec<String>,
    reading: Reading,
}

/// What became of the input.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    /// Events that were analysed.
    pub(super) events: u64,
    /// Events that were refused.
    pub(super) rejected: u64,
    /// Whether it was not read to its end.
    pub(super) is_cut: bool,
}

/// A page in the making.
pub(super) struct Report {
    collector: Collector,
    command: &'static str,
    inputs: Vec<String>,
    out: Box<dyn Write>,
}

impl Report {
    /// A page on `job`, made by `command` from `inputs`. Its file is opened now: a place that cannot be written is better known before hours of
    /// work. The pipeline that it listens to is to be given the job of [`plotting`].
    pub(super) fn open(
        path: &Path,
        command: &'static str,
        job: &Arc<Job>,
        score_min: f64,
        inputs: &[PathBuf],
    ) -> anyhow::Result<Report> {
        let named = |path: &PathBuf| match path.to_str() {
            Some("-") => "standard input".to_owned(),
            _ => path.display().to_string(),
        };
        Ok(Report {
            collector: Collector::new(Arc::clone(job), score_min),
            command,
            inputs: inputs.iter().map(named).collect(),
            out: output::open(Some(path)).context("--report")?,
        })
    }

    /// Takes one thing that the pipeline said; whether the job says it without a report too.
    pub(super) fn take(&mut self, output: &Output) -> bool {
        self.collector.take(output);
        match output {
            Output::Result(document) => collect::is_asked_for(&self.collector.job, document),
            _ => true,
        }
    }

    /// Writes the page of everything taken, with what a backtest made of it.
    pub(super) fn write(
        mut self,
        reading: Reading,
        backtest: Option<&Backtest>,
    ) -> anyhow::Result<()> {
        let source = Source {
            command: self.command,
            inputs: self.inputs,
            reading,
        };
        let page = page::page(&self.collector, &source, backtest);
        self.out
            .write_all(page.as_bytes())
            .and_then(|()| self.out.flush())
            .context("--report")
    }
}
