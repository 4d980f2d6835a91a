//! A forecast for programs, a document a line, or for people: some points of each series.

use super::super::output;
use crate::config::Job;
use crate::engine::result::sentence::number;
use crate::engine::result::{Body, Document, ForecastStats, ModelForecast};
use crate::time::EventTime;
use std::io::{self, Write};
use std::sync::Arc;

/// Points of a series in a table: evenly over the time, the first and the last among them.
const ROWS: usize = 9;

/// What takes the documents.
pub(super) enum Shown {
    Ndjson(Box<dyn Write>),
    Table(Box<Table>),
}

/// A table in the making: a series is shown when the next one begins.
pub(super) struct Table {
    out: Box<dyn Write>,
    job: Arc<Job>,
    top: usize,
    color: bool,
    /// Of the series that is being told: its name, and its points.
    name: String,
    points: Vec<(i64, ModelForecast)>,
    series: usize,
}

impl Shown {
    pub(super) fn ndjson(out: Box<dyn Write>) -> Shown {
        Shown::Ndjson(out)
    }

    pub(super) fn table(out: Box<dyn Write>, job: &Arc<Job>, top: usize, color: bool) -> Shown {
        Shown::Table(Box::new(Table {
            out,
            job: Arc::clone(job),
            top,
            color,
            name: String::new(),
            points: Vec::new(),
            series: 0,
        }))
    }

    pub(super) fn take(&mut self, document: &Document) -> io::Result<()> {
        match (self, &document.body) {
            (Shown::Ndjson(out), _) => output::json_line(out.as_mut(), document),
            (Shown::Table(table), Body::ModelForecast(point)) => {
                table.take(document.time.millis(), point)
            }
            (Shown::Table(table), Body::ForecastStats(stats)) => table.end(stats),
            (Shown::Table(_), _) => Ok(()),
        }
    }

    pub(super) fn finish(self) -> io::Result<()> {
        match self {
            Shown::Ndjson(mut out) => out.flush(),
            Shown::Table(mut table) => table.out.flush(),
        }
    }
}

/// The detector, and whose series: `count host.name=web-03`.
pub(in crate::cli) fn name_of(job: &Job, point: &ModelForecast) -> String {
    let detector = job.detectors.get(usize::from(point.detector_index));
    let mut name = detector.map_or_else(String::new, |detector| detector.description.clone());
    if detector.is_some_and(|detector| detector.function.family == crate::config::Family::Metric) {
        name = format!("{name} {}", point.model_feature);
    }
    let splits = [
        (&point.partition_field_name, &point.partition_field_value),
        (&point.by_field_name, &point.by_field_value),
    ];
    for (field, value) in splits {
        if let (Some(field), Some(value)) = (field, value) {
            name.push_str(&format!("  {field}={value}"));
        }
    }
    name
}

impl Table {
    fn take(&mut self, at_ms: i64, point: &ModelForecast) -> io::Result<()> {
        let name = name_of(&self.job, point);
        if name != self.name {
            self.close()?;
            self.name = name;
        }
        self.points.push((at_ms, point.clone()));
        Ok(())
    }

    fn close(&mut self) -> io::Result<()> {
        let points = std::mem::take(&mut self.points);
        if points.is_empty() {
            return Ok(());
        }
        self.series += 1;
        if self.series > self.top {
            return Ok(());
        }
        let bold = |text: &str| match self.color {
            true => format!("\x1b[1m{text}\x1b[0m"),
            false => text.to_owned(),
        };
        writeln!(self.out, "{}", bold(&self.name))?;
        writeln!(
            self.out,
            "  {:<16}  {:>12}  {:>12}  {:>12}",
            "bucket (UTC)", "lower", "prediction", "upper"
        )?;
        let last = points.len() - 1;
        let mut shown: Vec<usize> = (0..ROWS).map(|row| row * last / (ROWS - 1)).collect();
        shown.dedup();
        for at in shown {
            let (ms, point) = &points[at];
            let time = EventTime(*ms).to_string();
            writeln!(
                self.out,
                "  {:<16}  {:>12}  {:>12}  {:>12}",
                time.get(..16).unwrap_or(&time).replace('T', " "),
                number(point.forecast_lower),
                number(point.forecast_prediction),
                number(point.forecast_upper)
            )?;
        }
        writeln!(self.out)
    }

    fn end(&mut self, stats: &ForecastStats) -> io::Result<()> {
        self.close()?;
        if self.series > self.top {
            writeln!(self.out, "the first {} of {} series", self.top, self.series)?;
        }
        for message in &stats.forecast_messages {
            writeln!(self.out, "{message}")?;
        }
        writeln!(
            self.out,
            "forecast {}: {} series, {} points, 95 % intervals",
            stats.forecast_id,
            output::grouped(self.series as u64),
            output::grouped(stats.processed_record_count)
        )
    }
}
