//! A plan as a table for people. Pure: the same plan gives the same text.

use super::forecast::Range;
use super::report::{Plan, SampleFacts, bytes_text};
use super::split::{Horizon, SplitPlan};
use crate::cli::feed::counted;
use crate::cli::output::grouped;
use crate::cli::table::length;
use crate::time::EventTime;
use std::fmt::Write;

/// The whole text.
pub(super) fn render(plan: &Plan) -> String {
    let mut text = String::new();
    let span = length(plan.bucket_span_seconds * 1000);
    let _ = writeln!(
        text,
        "{}: buckets of {span}, {} a day",
        plan.job_id,
        short(plan.buckets_a_day)
    );
    if let Some(sample) = &plan.sample {
        text.push_str(&sample_line(sample));
    }
    text.push_str("\nSeries\n");
    text.push_str(&columns(&series_rows(plan)));
    if !plan.fields.is_empty() {
        text.push_str("\nValues\n");
        text.push_str(&columns(&value_rows(plan)));
    }
    text.push_str("\nMemory of their models\n");
    text.push_str(&columns(&memory_rows(plan)));
    text.push('\n');
    text.push_str(&columns_left(&facts(plan)));
    for warning in &plan.warnings {
        let _ = writeln!(text, "warning: {warning}");
    }
    text
}

fn sample_line(sample: &SampleFacts) -> String {
    let rejected = match sample.rejected {
        0 => "none rejected".to_owned(),
        some => format!("{} rejected", grouped(some)),
    };
    let passed_over = match sample.passed_over {
        0 => String::new(),
        some => format!(", {} not selected by the query", grouped(some)),
    };
    format!(
        "sample: {} in {}, from {}; {rejected}{passed_over}\n",
        counted(sample.events, "event"),
        length(sample.until_ms - sample.from_ms),
        EventTime(sample.from_ms),
    )
}

fn series_rows(plan: &Plan) -> Vec<Vec<String>> {
    let sampled = plan.sample.is_some();
    let mut head = vec!["split".to_owned()];
    if sampled {
        head.extend(["1/8", "1/4", "1/2", "sample", "growth"].map(str::to_owned));
    }
    head.extend(["1 day", "1 week", "30 days", "low to high"].map(str::to_owned));
    let mut rows = vec![head];
    for split in &plan.splits {
        let mut row = vec![split.name()];
        row.extend(
            split
                .distinct_over_sample
                .into_iter()
                .flatten()
                .map(grouped),
        );
        if sampled {
            row.push(
                split
                    .growth_exponent
                    .map_or("?".to_owned(), |b| format!("t^{b:.2}")),
            );
        }
        let horizons = split.forecast.iter();
        row.extend(horizons.map(|horizon| grouped(horizon.series.expected)));
        row.push(
            split
                .forecast
                .last()
                .map_or(String::new(), |last| interval(last.series, grouped)),
        );
        rows.push(row);
    }
    rows
}

fn value_rows(plan: &Plan) -> Vec<Vec<String>> {
    let head = ["field", "sample", "most in a bucket"].map(str::to_owned);
    let fields = plan.fields.iter().map(|field| {
        let numbers = [field.distinct, field.most_in_bucket].map(grouped);
        [vec![field.field.clone()], numbers.to_vec()].concat()
    });
    std::iter::once(head.to_vec()).chain(fields).collect()
}

fn memory_rows(plan: &Plan) -> Vec<Vec<String>> {
    let head = [
        "split",
        "a series, cold",
        "after 30 days",
        "1 day",
        "1 week",
        "30 days",
        "low to high",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    let mut add = |name: String, each: [String; 2], forecast: &[Horizon]| {
        let mut row = vec![name];
        row.extend(each);
        row.extend(
            forecast
                .iter()
                .map(|horizon| bytes_text(horizon.model_bytes.expected)),
        );
        row.push(
            forecast
                .last()
                .map_or(String::new(), |last| interval(last.model_bytes, bytes_text)),
        );
        rows.push(row);
    };
    for split in &plan.splits {
        let SplitPlan {
            bytes_a_series: bytes,
            ..
        } = split;
        let each = [bytes.cold, bytes.after_days[2]].map(bytes_text);
        add(split.name(), each, &split.forecast);
    }
    if plan.splits.len() > 1 {
        add("all".to_owned(), Default::default(), &plan.forecast);
    }
    rows
}

fn facts(plan: &Plan) -> Vec<[String; 2]> {
    let shared = match plan.judges {
        1 => String::new(),
        judges => format!(", for the fullest of {judges} shards"),
    };
    let mut facts = vec![
        [
            "model_memory_limit".to_owned(),
            format!(
                "{} set; {}mb recommended: a fifth is left after 30 days{shared}",
                bytes_text(plan.model_memory_limit_bytes),
                plan.recommended_limit_bytes >> 20,
            ),
        ],
        [
            "Elastic's estimate".to_owned(),
            format!("{}mb", plan.elastic_estimate_bytes >> 20),
        ],
        [
            "resident memory".to_owned(),
            format!(
                "about {} after 30 days, and {} more while a snapshot is taken",
                bytes_text(plan.resident_bytes),
                bytes_text(plan.snapshot_bytes),
            ),
        ],
    ];
    if let Some(sample) = &plan.sample {
        facts.push([
            "fullest bucket".to_owned(),
            format!(
                "{} series with {} influencer values, about {} beside the limit until it closes",
                grouped(sample.open_bucket_series),
                grouped(sample.open_bucket_shares),
                bytes_text(sample.open_bucket_bytes),
            ),
        ]);
        if let Some(bytes) = sample.closed_topic_bytes_a_day {
            let text = format!("{} of closed buckets a day", bytes_text(bytes));
            facts.push(["internal topic".to_owned(), text]);
        }
    }
    facts
}

/// `1,000 to 2,500`; the number alone where both are the same.
fn interval(range: Range, text: fn(u64) -> String) -> String {
    match text(range.low) == text(range.high) {
        true => text(range.high),
        false => format!("{} to {}", text(range.low), text(range.high)),
    }
}

/// A number of buckets: whole where it is.
fn short(number: f64) -> String {
    match number.fract() == 0.0 {
        true => grouped(number as u64),
        false => format!("{number:.2}"),
    }
}

/// Rows in columns, the first to the left, the others to the right.
fn columns(rows: &[Vec<String>]) -> String {
    let count = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..count)
        .map(|column| width(column).unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in rows {
        let mut line = format!("  {:<width$}", row[0], width = widths[0]);
        for (cell, width) in row.iter().zip(&widths).skip(1) {
            let _ = write!(line, "  {cell:>width$}");
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

fn columns_left(rows: &[[String; 2]]) -> String {
    let width = rows
        .iter()
        .map(|row| row[0].chars().count())
        .max()
        .unwrap_or(0);
    rows.iter()
        .map(|[name, value]| format!("{name:<width$}  {value}\n"))
        .collect()
}
