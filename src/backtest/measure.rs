//! A trial in figures: points over thresholds, each window, each false alert.
//!
//! Quantiles are nearest-rank: the least value that at least that share does not exceed. Thresholds of the curve are tenths, since nobody sets finer ones; so
//! there are a thousand at the most, each worth one pass over the records.

use super::figures::{AlertTold, Labelled, Measured, Point, SeriesCount, Share, WindowOutcome};
use super::heard::{Alert, Coverage};
use super::trial::{Told, Trial, Worth};
use super::window::Window;
use std::collections::BTreeMap;

/// Thresholds of the table, besides that of the alerts.
const TABLE: [f64; 3] = [25.0, 50.0, 75.0];

impl Trial<'_> {
    /// Everything in figures. `coverage` is what the detector judged.
    pub fn measure(&self, name: &str, coverage: Option<Coverage>) -> Measured {
        let threshold = self.settings.threshold;
        let mut thresholds: Vec<f64> = TABLE.to_vec();
        thresholds.push(threshold);
        thresholds.sort_by(|a, b| b.total_cmp(a));
        thresholds.dedup();
        let at = |threshold: f64| self.point(threshold, coverage.as_ref());
        let curve: Vec<Point> = self.turning_points().into_iter().map(at).collect();
        let told = self.told(threshold);
        Measured {
            name: name.to_owned(),
            coverage,
            records: self.counted(),
            table: thresholds.into_iter().map(at).collect(),
            at_threshold: at(threshold),
            best: best(&curve),
            average_precision: self.average_precision(&curve),
            curve,
            windows: self.outcomes(),
            false_alerts: self.false_alerts(&told),
            series: self.by_series(&told),
        }
    }

    /// The thresholds, falling and in tenths, at each of which one window more is found.
    fn turning_points(&self) -> Vec<f64> {
        let mut tenths: Vec<i64> = self
            .window_scores()
            .into_iter()
            .flatten()
            .map(|score| {
                let tenth = (score * 10.0).floor() as i64;
                // The product may have been rounded up to the next tenth.
                tenth - i64::from(tenth as f64 / 10.0 > score)
            })
            .collect();
        tenths.sort_unstable_by(|a, b| b.cmp(a));
        tenths.dedup();
        tenths
            .into_iter()
            .map(|tenth| tenth as f64 / 10.0)
            .collect()
    }

    /// The figures at a threshold.
    fn point(&self, threshold: f64, coverage: Option<&Coverage>) -> Point {
        let told = self.told(threshold);
        let per_1000 = |count: usize| {
            let days = coverage.map_or(0.0, |coverage| coverage.series_days);
            (days > 0.0).then(|| 1000.0 * count as f64 / days)
        };
        Point {
            threshold,
            alerts: told.len(),
            alerts_per_1000_series_days: per_1000(told.len()),
            labelled: self.windows.map(|windows| {
                let count = |worth| told.iter().filter(|one| one.worth == worth).count();
                let false_alerts = count(Worth::False);
                Labelled {
                    false_alerts,
                    false_alerts_per_1000_series_days: per_1000(false_alerts),
                    bystanders: count(Worth::Bystander),
                    ..self.windows_at(windows, threshold, false_alerts)
                }
            }),
        }
    }

    /// What concerns the windows at a threshold.
    fn windows_at(&self, windows: &[Window], threshold: f64, false_alerts: usize) -> Labelled {
        let mut delays = Vec::new();
        let (mut blame, mut metric) = (Vec::new(), Vec::new());
        for (at, window) in windows.iter().enumerate() {
            let Some(first) = self.first_in(at, threshold) else {
                continue;
            };
            delays.push(first.end.0 - window.start.0);
            if !window.entity.is_empty() {
                let mut words = self.words[at].iter();
                let loud = words.find(|word| self.heard.alerts()[word.alert].score >= threshold);
                blame.push(loud.is_some_and(|word| word.finds));
            }
            if !window.metrics.is_empty() {
                metric.push(
                    self.names(first)
                        .any(|value| window.metrics.contains(value)),
                );
            }
        }
        delays.sort_unstable();
        let (found, all) = (delays.len(), windows.len());
        let ratio = |part: usize, whole: usize| (whole > 0).then(|| part as f64 / whole as f64);
        let misses_and_false = all - found + false_alerts;
        Labelled {
            found,
            windows: all,
            false_alerts,
            false_alerts_per_1000_series_days: None,
            bystanders: 0,
            precision: ratio(found, found + false_alerts),
            recall: ratio(found, all),
            f1: ratio(2 * found, 2 * found + misses_and_false).filter(|_| all > 0),
            delay_ms_median: quantile(&delays, 1, 2),
            delay_ms_p90: quantile(&delays, 9, 10),
            first_blame: Share::of(&blame),
            first_metric: Share::of(&metric),
        }
    }

    /// The record that finds a window first, of one time the strongest.
    fn first_in(&self, window: usize, threshold: f64) -> Option<&Alert> {
        let finding = self.words[window].iter().filter(|word| word.finds);
        finding
            .map(|word| &self.heard.alerts()[word.alert])
            .find(|alert| alert.score >= threshold)
    }

    /// The values that a record names.
    fn names<'t>(&'t self, alert: &'t Alert) -> impl Iterator<Item = &'t String> {
        let series = &self.heard.series()[alert.series].fields;
        series
            .iter()
            .chain(alert.influencers.iter())
            .map(|(_, value)| value)
    }

    /// Sum of precision times gain in recall.
    fn average_precision(&self, curve: &[Point]) -> Option<f64> {
        self.windows.filter(|windows| !windows.is_empty())?;
        let (mut sum, mut recall_before) = (0.0, 0.0);
        for one in curve.iter().filter_map(|point| point.labelled.as_ref()) {
            let (precision, recall) = (one.precision?, one.recall?);
            sum += precision * (recall - recall_before);
            recall_before = recall;
        }
        Some(sum)
    }

    fn outcomes(&self) -> Vec<WindowOutcome> {
        let windows = self.windows.unwrap_or_default();
        let outcome = |(at, (window, score)): (usize, (&Window, Option<f64>))| {
            let first = self.first_in(at, self.settings.threshold);
            WindowOutcome {
                window: window.clone(),
                found: first.is_some(),
                score,
                delay_ms: first.map(|alert| alert.end.0 - window.start.0),
                alert: first.map(|alert| self.tell(alert, alert)),
            }
        };
        let scored = windows.iter().zip(self.window_scores());
        scored.enumerate().map(outcome).collect()
    }

    fn false_alerts(&self, told: &[Told]) -> Vec<AlertTold> {
        let alerts = self.heard.alerts();
        let mut all: Vec<AlertTold> = told
            .iter()
            .filter(|one| one.worth == Worth::False)
            .map(|one| self.tell(&alerts[one.onset], &alerts[one.peak]))
            .collect();
        all.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.start.cmp(&b.start)));
        all
    }

    fn by_series(&self, told: &[Told]) -> Vec<SeriesCount> {
        let mut counts: BTreeMap<usize, SeriesCount> = BTreeMap::new();
        for one in told {
            let (onset, peak) = (
                &self.heard.alerts()[one.onset],
                &self.heard.alerts()[one.peak],
            );
            let series = &self.heard.series()[onset.series];
            let count = counts.entry(onset.series).or_insert_with(|| SeriesCount {
                what: series.what.clone(),
                fields: series.fields.clone(),
                alerts: 0,
                false_alerts: 0,
                score: 0.0,
            });
            count.alerts += 1;
            let is_false = self.windows.is_some() && one.worth == Worth::False;
            count.false_alerts += usize::from(is_false);
            count.score = count.score.max(peak.score);
        }
        let mut counts: Vec<SeriesCount> = counts.into_values().collect();
        counts.sort_by(|a, b| {
            let by_count = (b.false_alerts, b.alerts).cmp(&(a.false_alerts, a.alerts));
            by_count.then(b.score.total_cmp(&a.score))
        });
        counts
    }

    /// Begun with `onset`, at its strongest with `peak`.
    fn tell(&self, onset: &Alert, peak: &Alert) -> AlertTold {
        AlertTold {
            start: onset.start,
            score: peak.score,
            series: self.heard.series()[onset.series].clone(),
            influencers: peak.influencers.clone(),
        }
    }
}

/// Where F1 is highest; of equals the first.
fn best(curve: &[Point]) -> Option<Point> {
    let f1 = |point: &Point| {
        let labelled = point.labelled.as_ref();
        labelled.and_then(|one| one.f1).unwrap_or(0.0)
    };
    // Of equals the last is taken: from behind, the first.
    let points = curve.iter().rev();
    points.max_by(|a, b| f1(a).total_cmp(&f1(b))).cloned()
}

/// The least value that `of` in `among` do not exceed.
fn quantile(sorted: &[i64], of: usize, among: usize) -> Option<i64> {
    let rank = (sorted.len() * of).div_ceil(among);
    sorted.get(rank.max(1) - 1).copied()
}
