//! One bucket judged: every series with an event in it, and the known ones without where that is a value.
//!
//! Holds: what is said is a function of the bucket's contents and of what was learnt before; an interim bucket teaches nothing.

use super::rarity::{self, Rarity};
use super::series::{Context, FeatureKind, Finding, Mode, Series};
use super::{Judge, PartialBucket, VOLUME_GAIN, measurements};
use crate::config::{Family, Side};
use crate::engine::wire::{ClosedBucket, SeriesKey};
use crate::time::{BucketStart, EventTime, Finality};
use std::collections::btree_map::Entry;

impl Judge {
    pub(super) fn judge_bucket(
        &mut self,
        start: BucketStart,
        closed: Option<&ClosedBucket>,
        mode: Mode,
    ) -> PartialBucket {
        let learns = matches!(mode, Mode::Learn);
        let mut partial = self.empty_partial(
            start,
            if learns {
                Finality::Final
            } else {
                Finality::Interim
            },
        );
        let middle = EventTime(start.millis() + self.job.bucket_span.millis() / 2);
        let refused_before = self.state.size.refusals();
        if learns {
            self.state.buckets += 1;
            partial.counts = std::mem::take(&mut self.state.carried);
            let seen = closed.map_or(0.0, measurements);
            self.state.volume +=
                VOLUME_GAIN.max(1.0 / self.state.buckets as f64) * (seen - self.state.volume);
        }
        if let Some(closed) = closed {
            partial.event_count = closed.event_count;
            if learns {
                partial.counts.add(&closed.counts);
            }
        }
        self.judge_present(start, middle, closed, mode, &mut partial);
        self.judge_absent(start, middle, closed, mode, &mut partial);
        if learns {
            let pruned = self.prune(start);
            self.count_size(refused_before, pruned);
        }
        partial.size = self.state.size;
        partial
            .records
            .sort_by(|a, b| (a.detector, &a.key).cmp(&(b.detector, &b.key)));
        partial.plots.sort_by(|a, b| {
            (a.detector, &a.key, a.statistic).cmp(&(b.detector, &b.key, b.statistic))
        });
        partial
    }

    /// Series with an event in the bucket.
    fn judge_present(
        &mut self,
        start: BucketStart,
        middle: EventTime,
        closed: Option<&ClosedBucket>,
        mode: Mode,
        partial: &mut PartialBucket,
    ) {
        let Some(closed) = closed else { return };
        let learns = matches!(mode, Mode::Learn);
        let rarity = Rarity::of(closed, &self.state.series, |group| {
            self.judges_rarity(group)
        });
        for bucket in &closed.series {
            let group = usize::from(bucket.group);
            let size = &mut self.state.size;
            let mut stranger;
            let series = match self.state.series.entry((bucket.group, bucket.key.clone())) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(place) if learns => {
                    let features = self.kinds[group].len();
                    let bytes = Series::bytes_when_new(features, &bucket.key);
                    if !self.budget.admits(size, bytes) {
                        size.refused_series += 1;
                        continue;
                    }
                    size.model_bytes += bytes;
                    let series = place.insert(Series::new(features, start));
                    series.bytes = bytes;
                    series
                }
                Entry::Vacant(_) => {
                    stranger = Series::new(self.kinds[group].len(), start);
                    &mut stranger
                }
            };
            let rare = rarity.of_series(bucket, series.present);
            let context = Context {
                job: &self.job,
                group: &self.layout.groups[group],
                kinds: &self.kinds[group],
                middle,
                tell_all: rare.is_some(),
            };
            let frequent = series.is_frequent(start, self.job.bucket_span);
            let mut room = self.budget.room(size);
            let findings = series.judge(
                &context,
                &bucket.key,
                Some(bucket),
                mode,
                &mut room,
                &mut partial.plots,
            );
            if learns {
                series.last_seen = start;
                series.present = series.present.saturating_add(1);
                size.recount(series, &bucket.key, &room);
            }
            self.tell(findings, bucket.group, &bucket.key, frequent, rare, partial);
        }
    }

    /// Known series without an event, where that is a value.
    fn judge_absent(
        &mut self,
        start: BucketStart,
        middle: EventTime,
        closed: Option<&ClosedBucket>,
        mode: Mode,
        partial: &mut PartialBucket,
    ) {
        let mut findings_of: Vec<(u16, SeriesKey, bool, Vec<Finding>)> = Vec::new();
        let present = |id: &(u16, SeriesKey)| {
            closed.is_some_and(|closed| {
                closed
                    .series
                    .binary_search_by(|one| (one.group, &one.key).cmp(&(id.0, &id.1)))
                    .is_ok()
            })
        };
        for (id, series) in &mut self.state.series {
            let group = usize::from(id.0);
            let kinds = &self.kinds[group];
            let seen = if matches!(mode, Mode::Learn) {
                series.last_seen == start
            } else {
                present(id)
            };
            if seen
                || !(kinds.iter().any(FeatureKind::samples_empty_buckets)
                    || self.job.model_plot.is_some())
            {
                continue;
            }
            let context = Context {
                job: &self.job,
                group: &self.layout.groups[group],
                kinds,
                middle,
                tell_all: false,
            };
            let size = &mut self.state.size;
            let mut room = self.budget.room(size);
            let plots = &mut partial.plots;
            let findings = series.judge(&context, &id.1, None, mode, &mut room, plots);
            let frequent = series.is_frequent(start, self.job.bucket_span);
            if matches!(mode, Mode::Learn) {
                size.recount(series, &id.1, &room);
            }
            if !findings.is_empty() {
                findings_of.push((id.0, id.1.clone(), frequent, findings));
            }
        }
        for (group, key, frequent, findings) in findings_of {
            self.tell(findings, group, &key, frequent, None, partial);
        }
    }

    /// Counts what was found into the aggregate, and drafts the records.
    fn tell(
        &self,
        findings: Vec<Finding>,
        group: u16,
        key: &SeriesKey,
        frequent: bool,
        rarity: Option<rarity::Rare>,
        partial: &mut PartialBucket,
    ) {
        let mut told = findings;
        if let Some(rare) = &rarity {
            self.add_rarity(&mut told, group, key, rare);
        }
        for finding in told {
            if frequent && self.job.detectors[finding.detector].exclude_frequent_by {
                continue;
            }
            partial.judged.add(finding.ln_probability, finding.evidence);
            partial.records.extend(finding.draft);
        }
    }

    /// Whether counting in this group looks at the rarity of by values too (functions.md 2.3.1).
    fn judges_rarity(&self, group: u16) -> bool {
        let group = &self.layout.groups[usize::from(group)];
        group.by.is_some()
            && group
                .features
                .iter()
                .any(|spec| self.counts_rarity(usize::from(spec.detector)))
    }

    fn counts_rarity(&self, detector: usize) -> bool {
        let function = self.job.detectors[detector].function;
        matches!(function.family, Family::Count | Family::NonZeroCount)
            && function.side == Side::Both
    }

    /// Joins the rarity of a by value to the findings of detectors that look at it; a value never seen has no other finding.
    fn add_rarity(
        &self,
        findings: &mut Vec<Finding>,
        group: u16,
        key: &SeriesKey,
        rare: &rarity::Rare,
    ) {
        let specs = &self.layout.groups[usize::from(group)].features;
        for spec in specs
            .iter()
            .filter(|spec| self.counts_rarity(usize::from(spec.detector)))
        {
            let detector = usize::from(spec.detector);
            match findings
                .iter_mut()
                .find(|finding| finding.detector == detector)
            {
                Some(finding) => rare.join(finding),
                None => {
                    let culprits = Context {
                        job: &self.job,
                        group: &self.layout.groups[usize::from(group)],
                        kinds: &[],
                        middle: EventTime(0),
                        tell_all: true,
                    };
                    findings.push(rare.alone(detector, key, culprits.split_culprits(key)));
                }
            }
        }
    }
}
