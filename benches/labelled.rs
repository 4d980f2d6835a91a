//! Chances on labelled data: of the buckets that nobody labelled, how often p was below a level. `cargo bench --bench labelled [-- DIR]`
//!
//! DIR holds NAB's development subset (`../shared/data/nab` unless said): `dev.txt`, `data/CATEGORY/FILE.csv` with `timestamp,value` rows and
//! `combined_windows.json`. One model a file, `mean(value)` in buckets of the data's own step, as `benches/quality/nab.py` runs it; each bucket is
//! judged first and learnt second. Counted are the buckets outside the labelled windows after NAB's own probation (15 % of the rows, at most 750).
//! Real data need not follow a model, and what nobody labelled may still be strange: 1 is right for data without anomalies.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

use chrono::NaiveDateTime;
use tidewatch::config::Side;
use tidewatch::engine::model::{Kind, Law, Model, Room, Sample, SeriesModel};
use tidewatch::time::{BucketSpan, EventTime};

/// The levels that p is held against.
const LEVELS: [f64; 3] = [0.1, 0.01, 0.001];

type Outcome<T> = Result<T, Box<dyn Error>>;

/// How many buckets were judged, and of how many p was below each level: of the record, and of the bucket alone.
#[derive(Clone, Copy, Default)]
struct Tally {
    judged: u32,
    below: [[u32; 3]; 2],
}

impl Tally {
    fn count(&mut self, ln_ps: [f64; 2]) {
        self.judged += 1;
        for (below, ln_p) in self.below.iter_mut().zip(ln_ps) {
            for (count, level) in below.iter_mut().zip(LEVELS) {
                *count += u32::from(ln_p < level.ln());
            }
        }
    }

    fn add(&mut self, other: &Tally) {
        self.judged += other.judged;
        for (mine, theirs) in self
            .below
            .as_flattened_mut()
            .iter_mut()
            .zip(other.below.as_flattened())
        {
            *mine += theirs;
        }
    }

    /// Each share as a multiple of its level.
    fn ratios(&self) -> [[f64; 3]; 2] {
        self.below.map(|below| {
            std::array::from_fn(|at| f64::from(below[at]) / (f64::from(self.judged) * LEVELS[at]))
        })
    }
}

fn instant_ms(text: &str) -> Outcome<i64> {
    let text = text.split('.').next().unwrap_or(text);
    Ok(NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S")?
        .and_utc()
        .timestamp_millis())
}

fn rows(path: &Path) -> Outcome<Vec<(i64, f64)>> {
    let text = std::fs::read_to_string(path)?;
    let row = |line: &str| {
        let (time, value) = line.split_once(',').ok_or("a row without a comma")?;
        Ok((instant_ms(time)?, value.trim().parse()?))
    };
    text.lines().skip(1).map(row).collect()
}

/// The median distance of two rows, whole seconds, at least one.
fn step_seconds(rows: &[(i64, f64)]) -> i64 {
    let mut steps: Vec<i64> = rows
        .windows(2)
        .map(|two| (two[1].0 - two[0].0) / 1_000)
        .collect();
    steps.sort_unstable();
    steps.get(steps.len() / 2).copied().unwrap_or(1).max(1)
}

/// One file, bucket after bucket.
fn judge(rows: &[(i64, f64)], windows: &[[String; 2]]) -> Outcome<Tally> {
    let span =
        BucketSpan::from_seconds(step_seconds(rows)).ok_or("a step that is no bucket span")?;
    let windows: Vec<[i64; 2]> = windows
        .iter()
        .map(|[start, end]| Ok([instant_ms(start)?, instant_ms(end)?]))
        .collect::<Outcome<_>>()?;
    let probation = (rows.len() * 15 / 100).min(750);
    let starts_ms = rows.get(probation).map_or(i64::MAX, |row| row.0);
    let kind = Kind {
        side: Side::Both,
        counting: false,
        law: Law::Average,
        joined: false,
        span,
    };
    let mut buckets: BTreeMap<i64, (f64, u64)> = BTreeMap::new();
    for (at_ms, value) in rows {
        let (sum, events) = buckets.entry(at_ms.div_euclid(span.millis())).or_default();
        *sum += value;
        *events += 1;
    }
    let (mut model, mut tally) = (SeriesModel::new(), Tally::default());
    for (bucket, (sum, events)) in buckets {
        let (start_ms, end_ms) = (bucket * span.millis(), (bucket + 1) * span.millis());
        let sample = Sample {
            at: EventTime(start_ms + span.millis() / 2),
            value: sum / events as f64,
            measurements: events,
        };
        let verdict = model.judge(&kind, &sample);
        let is_labelled = windows
            .iter()
            .any(|[start, end]| start_ms <= *end && *start < end_ms);
        if start_ms >= starts_ms && !is_labelled {
            tally.count(
                verdict
                    .as_ref()
                    .map_or([0.0; 2], |one| [one.ln_probability, one.ln_single]),
            );
        }
        model.learn(&kind, &sample, verdict.as_ref(), &mut Room::unlimited());
    }
    Ok(tally)
}

fn print(name: &str, tally: &Tally) {
    let text = |r: [f64; 3]| format!("{:.2} / {:.2} / {:.2}", r[0], r[1], r[2]);
    let [whole, single] = tally.ratios();
    println!(
        "| {name} | {} | {} | {} |",
        tally.judged,
        text(whole),
        text(single)
    );
}

fn main() -> Outcome<()> {
    let folder = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with("--"));
    let folder = folder.unwrap_or_else(|| "../shared/data/nab".to_owned());
    let folder = Path::new(&folder);
    if !folder.join("dev.txt").is_file() {
        println!(
            "{}: no dev.txt, so nothing to judge; name the folder of NAB's data",
            folder.display()
        );
        return Ok(());
    }
    let windows = std::fs::read_to_string(folder.join("combined_windows.json"))?;
    let windows: BTreeMap<String, Vec<[String; 2]>> = serde_json::from_str(&windows)?;
    println!(
        "Share of buckets outside the labelled windows with p < .1 / .01 / .001, as a multiple of the level\n"
    );
    println!("| category | buckets | of the record | of the bucket alone |\n|---|---:|---|---|");
    let (mut all, mut categories) = (Tally::default(), BTreeMap::<String, Tally>::new());
    for name in std::fs::read_to_string(folder.join("dev.txt"))?
        .lines()
        .filter(|line| !line.trim().is_empty())
    {
        let rows = rows(&folder.join("data").join(name))?;
        let tally = judge(&rows, windows.get(name).map_or(&[][..], Vec::as_slice))?;
        let category = name.split('/').next().unwrap_or(name);
        categories
            .entry(category.to_owned())
            .or_default()
            .add(&tally);
        all.add(&tally);
    }
    for (category, tally) in &categories {
        print(category, tally);
    }
    print("all", &all);
    Ok(())
}
