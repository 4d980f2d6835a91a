//! `time_of_day`, `time_of_week`, `lat_long`: each time or place in a bucket against the usual ones (functions.md 2.3.4, 2.3.5).
//!
//! Every by value of a partition has habits of its own, one a feature; over a population, all members together have those of each by value, and a member is held against
//! them. How surprising a spot is, its habit says; how odd that surprise is, those of all series of the partition: one that has hardly any past is held
//! against the others' too, and nobody is told of for what happens to somebody every day. The chance of a series is that of its oddest spot among all that it shows in the bucket.
//! The evidence is that of populations: the chance that a block of 24 buckets shows *any* series so odd, and no more than so few buckets can show.
//!
//! `exclude_frequent` leaves out who is there in more than a tenth of the buckets (of fifty at least): series by the buckets since they were first seen, members, of which a
//! table is kept for that, by all; of a population's by values those that more than a tenth of the members show. They are learnt as ever.
//!
//! A visit is a cell (a few minutes, a few kilometres) in a bucket, however many events are in it: a busy minute is no habit.
//! Holds: an interim bucket teaches nothing; the bytes of habits are within the memory limit.

mod kept;

use super::bar::{Bar, CAUSES_MAX, LN_CAUSE, LN_TENTH_MORE};
use super::kept::KeptId;
use super::partial::{CauseDraft, Place, RecordDraft, TogetherCharge};
use super::series::{Context, FREQUENT_BUCKETS_MIN, FREQUENT_SHARE, LN_RECORD, Mode};
use super::{Judge, PartialBucket};
use crate::config::rules::{Actions, Facts};
use crate::engine::event::symbols::hash_of;
use crate::engine::feature::{FeatureSpec, Ground, Spot, Spots};
use crate::engine::model::Shape;
use crate::engine::model::habit::Usual;
use crate::engine::probability::{Charge, ln_extreme};
use crate::engine::wire::{SeriesBucket, SeriesKey, Share};
use crate::time::{BucketStart, EventTime};
use kept::{Known, bytes_around, member_bytes, table_bytes};
use std::sync::Arc;

pub(super) use kept::{AllHabits, Habits, series_bytes_max};

/// Values of one influencer told of in one record.
const CULPRITS_MAX: usize = 20;

/// One feature of one series in a bucket: its oddest spot.
struct Look<'b> {
    series: &'b SeriesBucket,
    feature: usize,
    spot: Spot,
    surprise: f64,
    /// ln of the chance of one so odd among all that the series shows.
    ln_probability: f64,
}

/// What is held in one bucket against all series of one partition.
struct Bench<'j> {
    judge: &'j Judge,
    habits: &'j Habits,
    features: &'j [FeatureSpec],
    gain: f64,
    bar: Bar,
}

/// What rules and events keep from being learnt: places of series and features.
struct Taught {
    /// Sorted.
    skipped: Vec<(usize, usize)>,
}

impl Taught {
    /// The features of the series at `place` that are learnt.
    fn features<'f>(
        &self,
        features: &'f [FeatureSpec],
        place: usize,
    ) -> impl Iterator<Item = (usize, &'f FeatureSpec)> {
        let numbered = features.iter().enumerate();
        numbered.filter(move |(at, _)| self.skipped.binary_search(&(place, *at)).is_err())
    }
}

impl Judge {
    /// Judges the series (or members) of one partition that are in the bucket, then learns where they were.
    pub(super) fn judge_habits(
        &mut self,
        present: &[SeriesBucket],
        start: BucketStart,
        mode: Mode,
        partial: &mut PartialBucket,
    ) {
        let Some(first) = present.first() else { return };
        let id = (first.group, first.key.partition.clone());
        let mut all = std::mem::take(&mut self.state.habits);
        let nothing;
        let bench = match all.get(&id) {
            Some(known) => {
                let bench = Bench::new(self, known, id.0, start);
                bench.judge(present, partial);
                bench
            }
            None => {
                let features = self.layout.groups[usize::from(id.0)].features.len();
                nothing = Habits::new(features, start, false);
                Bench::new(self, &nothing, id.0, start)
            }
        };
        if matches!(mode, Mode::Learn) {
            let taught = bench.taught(present);
            self.learn_habits(&mut all, id, (present, &taught), start);
        }
        self.state.habits = all;
    }

    fn learn_habits(
        &mut self,
        all: &mut AllHabits,
        id: KeptId,
        (present, taught): (&[SeriesBucket], &Taught),
        start: BucketStart,
    ) {
        let (span, budget) = (self.job.bucket_span, self.budget);
        let group = &self.layout.groups[usize::from(id.0)];
        let features = &group.features;
        let excludes =
            |one: &FeatureSpec| self.job.detectors[usize::from(one.detector)].exclude_frequent_over;
        let keeps_members = group.over.is_some() && features.iter().any(excludes);
        let size = &mut self.state.size;
        if !all.contains_key(&id) {
            // Of a partition that nothing is learnt of, nothing is kept.
            let is_taught = |place| taught.features(features, place).next().is_some();
            if !(0..present.len()).any(is_taught) {
                return;
            }
            let table = if keeps_members { table_bytes() } else { 0 };
            let bytes = bytes_around(&id, features.len()) + table;
            if !budget.admits(size, bytes) {
                size.refused_series += 1;
                return;
            }
            size.model_bytes += bytes;
        }
        let habits = all
            .entry(id)
            .or_insert_with(|| Habits::new(features.len(), start, keeps_members));
        let went_by = span.buckets_between(habits.last_seen, start).max(1) as f64;
        habits.last_seen = start;
        habits.bring_to_size(start, span);
        let gain = habits.gain(start, span);
        let judged =
            |a: &SeriesBucket, b: &SeriesBucket| a.key.over == b.key.over && a.key.over.is_some();
        let before = habits.buckets;
        habits.buckets += gain * went_by;
        habits.present += gain * present.chunk_by(judged).count() as f64;
        if let Some(members) = &mut habits.members {
            let overs = present.chunk_by(judged);
            let overs = overs.filter_map(|all| all[0].key.over.as_deref());
            let overs: Vec<u64> = overs.map(hash_of).collect();
            members.learn(&overs, start, span, || {
                let admitted = budget.admits(size, member_bytes());
                match admitted {
                    true => size.model_bytes += member_bytes(),
                    false => size.refused_series += 1,
                }
                admitted
            });
        }
        // All visits as they were seen before: neighbours do not make each other usual.
        for (place, series) in present.iter().enumerate() {
            let Some(known) = habits.known.get(&series.key.by) else {
                continue;
            };
            for (at, feature) in taught.features(features, place) {
                let spots = series.cells[at].spots().into_iter().flat_map(Spots::iter);
                let surprise = |spot| known.habits[at].surprise(ground(feature), spot, gain);
                for surprise in spots.filter_map(surprise) {
                    habits.oddities[at].learn(surprise, gain);
                }
            }
        }
        for (place, series) in present.iter().enumerate() {
            if taught.features(features, place).next().is_none() {
                continue;
            }
            if !habits.known.contains_key(&series.key.by) {
                let new = Known::new(features.len(), start, before);
                let bytes = new.bytes(&series.key.by);
                if !budget.admits(size, bytes) {
                    size.refused_series += 1;
                    continue;
                }
                size.model_bytes += bytes;
                habits.known.insert(series.key.by.clone(), new);
            }
            let known = habits
                .known
                .get_mut(&series.key.by)
                .expect("it is there now");
            let bytes_before = known.bytes(&series.key.by);
            let mut room = budget.room(size);
            known.last_seen = start;
            known.present += gain;
            for (at, feature) in taught.features(features, place) {
                let spots = series.cells[at].spots().into_iter().flat_map(Spots::iter);
                for spot in spots {
                    known.habits[at].learn(ground(feature), spot, gain, &mut room);
                }
            }
            size.model_bytes = size.model_bytes - bytes_before + known.bytes(&series.key.by);
            size.refused_growth += u64::from(room.has_refused());
        }
    }
}

/// What a series of which nothing is known shows first.
fn first_value(series: &SeriesBucket, feature: usize, ground: Ground) -> Option<f64> {
    let spots = series.cells[feature].spots()?;
    let first = spots.iter().next()?;
    Some(first.value(ground).0)
}

fn ground(feature: &FeatureSpec) -> Ground {
    feature
        .statistic
        .ground()
        .expect("groups of habits have times and positions only")
}

impl<'j> Bench<'j> {
    fn new(judge: &'j Judge, habits: &'j Habits, group: u16, start: BucketStart) -> Bench<'j> {
        let gain = habits.gain(start, judge.job.bucket_span);
        let a_bucket = if habits.buckets > 0.0 {
            habits.present / habits.buckets
        } else {
            1.0
        };
        Bench {
            judge,
            habits,
            features: &judge.layout.groups[usize::from(group)].features,
            gain,
            bar: Bar::new(a_bucket, habits.buckets / gain).of_one_look(),
        }
    }

    /// What is learnt of the series.
    fn taught(&self, present: &[SeriesBucket]) -> Taught {
        let all = present.iter().enumerate();
        let all = all.flat_map(|one| (0..self.features.len()).map(move |at| (one, at)));
        let skipped = all.filter(|((_, series), at)| self.ruling(series, *at).skip_model_update);
        Taught {
            skipped: skipped.map(|((place, _), at)| (place, at)).collect(),
        }
    }

    /// Detector by detector; all series of the partition are one thing that was looked at.
    fn judge(&self, present: &[SeriesBucket], partial: &mut PartialBucket) {
        let is_one = |a: &SeriesBucket, b: &SeriesBucket| {
            a.key.over == b.key.over && (a.key.over.is_some() || a.key.by == b.key.by)
        };
        for (feature, spec) in self.features.iter().enumerate() {
            let (mut most, mut judged) = (Charge::default(), 0u32);
            let detector = &self.judge.job.detectors[usize::from(spec.detector)];
            for one in present.chunk_by(is_one) {
                if detector.exclude_frequent_over && self.is_frequent_member(&one[0]) {
                    continue;
                }
                let mut looks: Vec<Look<'_>> = one
                    .iter()
                    .filter_map(|series| self.look(series, feature))
                    .collect();
                looks.retain(|look| {
                    !(detector.exclude_frequent_by && self.is_frequent(look.series))
                });
                judged += u32::from(!looks.is_empty());
                looks.retain(|look| !self.ruling(look.series, feature).skip_result);
                let Some(least) = looks
                    .iter()
                    .map(|look| look.ln_probability)
                    .min_by(f64::total_cmp)
                else {
                    continue;
                };
                let charge = self.bar.charge(ln_extreme(least, looks.len() as f64));
                most = most.or(charge);
                if self.bar.tells(charge) && charge.ln_probability < LN_RECORD {
                    partial.records.push(self.record(spec, looks, charge));
                }
            }
            if judged > 0 {
                partial.judged.add(Charge {
                    ln_probability: ln_extreme(most.ln_probability, f64::from(judged)),
                    evidence: most.evidence,
                });
            }
        }
    }

    /// Whether its by value is too common to be told of.
    fn is_frequent(&self, series: &SeriesBucket) -> bool {
        let Some(known) = self.habits.known.get(&series.key.by) else {
            return false;
        };
        let among = match (&series.key.over, &series.key.by) {
            (Some(_), None) => return false,
            (Some(_), Some(_)) => self.habits.present,
            (None, _) => (self.habits.buckets - known.before)
                .max(f64::from(FREQUENT_BUCKETS_MIN) * self.gain),
        };
        known.present > FREQUENT_SHARE * among
    }

    fn is_frequent_member(&self, series: &SeriesBucket) -> bool {
        let (Some(members), Some(over)) = (&self.habits.members, &series.key.over) else {
            return false;
        };
        let is_known = self.habits.buckets > f64::from(FREQUENT_BUCKETS_MIN) * self.gain;
        is_known && members.share(hash_of(over)) > FREQUENT_SHARE
    }

    /// What rules and events say of a feature of a series: by its oddest spot.
    fn ruling(&self, series: &SeriesBucket, feature: usize) -> Actions {
        self.judge.ruling_on(series, feature, || {
            let look = self.look(series, feature);
            let usual = look.as_ref().and_then(|look| self.usual(look));
            let ground = ground(&self.features[feature]);
            Facts {
                actual: match &look {
                    Some(look) => Some(look.spot.value(ground).0),
                    None => first_value(series, feature, ground),
                },
                typical: usual.map(|usual| usual.nearest.0),
            }
        })
    }

    /// The oddest spot of a series; `None` where nothing is known of it.
    fn look<'b>(&self, series: &'b SeriesBucket, feature: usize) -> Option<Look<'b>> {
        let habit = &self.habits.known.get(&series.key.by)?.habits[feature];
        let ground = ground(&self.features[feature]);
        let spots = series.cells[feature].spots()?;
        let judged = spots
            .iter()
            .filter_map(|spot| Some((habit.surprise(ground, spot, self.gain)?, spot)));
        let count = spots.iter().count();
        // Of equals the smallest.
        let (surprise, spot) = judged.max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)))?;
        let ln_p = self.habits.oddities[feature].ln_probability(surprise, self.gain);
        Some(Look {
            series,
            feature,
            spot,
            surprise,
            ln_probability: ln_extreme(ln_p, count as f64),
        })
    }

    fn usual(&self, look: &Look<'_>) -> Option<Usual> {
        let habit = &self.habits.known.get(&look.series.key.by)?.habits[look.feature];
        habit.usual(ground(&self.features[look.feature]), look.spot)
    }

    fn record(&self, spec: &FeatureSpec, mut looks: Vec<Look<'_>>, charge: Charge) -> RecordDraft {
        looks.sort_by(|a, b| {
            let by_chance = a.ln_probability.total_cmp(&b.ln_probability);
            by_chance
                .then(b.surprise.total_cmp(&a.surprise))
                .then_with(|| a.series.key.by.cmp(&b.series.key.by))
        });
        let least = looks[0].ln_probability;
        let told = looks.iter().take(CAUSES_MAX);
        let told: Vec<&Look<'_>> = told
            .filter(|look| look.ln_probability <= (least + LN_TENTH_MORE).max(LN_CAUSE))
            .collect();
        let ground = ground(spec);
        let values = |look: &Look<'_>| {
            let actual = look.spot.value(ground);
            let usual = self.usual(look);
            let typical = usual.map_or(actual, |usual| usual.nearest);
            let place = (ground == Ground::Globe).then_some(Place {
                actual: actual.1,
                typical: typical.1,
            });
            (
                actual.0,
                typical.0,
                place,
                usual.map_or((0.0, 0.0), |usual| usual.span),
            )
        };
        let is_member = looks[0].series.key.over.is_some();
        let cause = |look: &&Look<'_>| {
            let (actual, typical, place, _) = values(look);
            CauseDraft {
                by: look.series.key.by.clone(),
                statistic: spec.statistic,
                ln_probability: look.ln_probability,
                actual,
                typical,
                place,
            }
        };
        let (actual, typical, place, bounds) = values(&looks[0]);
        let together = TogetherCharge {
            charge,
            share: 1.0,
            series: 1,
        };
        let key = looks[0].series.key.clone();
        RecordDraft {
            detector: spec.detector,
            key: match is_member {
                true => SeriesKey { by: None, ..key },
                false => key,
            },
            statistic: spec.statistic,
            actual,
            typical,
            place,
            bounds,
            // What several detectors see of one member is one thing held against it.
            alone: if is_member { Charge::default() } else { charge },
            together: is_member.then_some(together),
            ln_single: charge.ln_probability,
            ln_multi: None,
            shape: Shape::default(),
            history: self.bar.history,
            incomplete: false,
            anomaly: (0, 0.0),
            ln_characteristics: 0.0,
            first_occurrence: false,
            relative_rarity: None,
            correlated: None,
            causes: match is_member {
                true => told.iter().map(cause).collect(),
                false => Vec::new(),
            },
            influencers: self.culprits(&told, ground),
        }
    }

    /// Whom the series is of, and whoever was there and then: without them nothing odd would be left.
    fn culprits(&self, told: &[&Look<'_>], ground: Ground) -> Vec<(u16, Arc<str>, f64)> {
        let mut culprits: Vec<(u16, Arc<str>, f64)> = Vec::new();
        for look in told {
            let context = Context {
                job: &self.judge.job,
                group: &self.judge.layout.groups[usize::from(look.series.group)],
                kinds: &[],
                middle: EventTime(0),
                tell_all: true,
            };
            culprits.extend(context.split_culprits(&look.series.key));
            let was_there = |share: &&Share| {
                let spots = share.cells[look.feature].spots();
                spots.is_some_and(|spots| spots.is_at(ground, look.spot))
            };
            let shares = look.series.shares.iter().filter(was_there);
            culprits.extend(shares.map(|share| (share.influencer, share.value.clone(), 1.0)));
        }
        culprits.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        culprits.dedup();
        let chunks = culprits.chunk_by(|a, b| a.0 == b.0);
        chunks
            .flat_map(|chunk| chunk.iter().take(CULPRITS_MAX).cloned())
            .collect()
    }
}
