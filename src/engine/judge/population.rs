//! Members of a population against one another (functions.md 2.4): an over field, and any function that measures.
//!
//! A population is all members of one partition value. Each attribute (by value) has a [`Crowd`](crate::engine::model::crowd::Crowd) for each feature; a member's chance is that of its
//! attributes together (joint and extreme in equal parts), and a record says which of them it is to blame for (`causes`).
//!
//! What it takes to stand out among so many is a [`Bar`]. A member is told of when less than one bucket in e shows any so far out. When less than one in
//! thirty does, it hardly teaches what is usual, unless that has been so in every fourth bucket lately: then it is the crowd that has changed.
//!
//! Detector by detector a member's last dozen buckets are held against how far members come in a dozen ([`crate::engine::model::runs`]). The lesser of the two chances counts, of the
//! dozen twice, for that is a second look.
//!
//! Holds: an interim bucket teaches nothing; the bytes of crowds and members are within the memory limit.

mod kept;
mod plots;
mod stride;

use super::bar::{Bar, CAUSES_MAX, LN_CAUSE, LN_TENTH_MORE};
use super::kept::KeptId;
use super::memory::map_bytes;
use super::partial::{CauseDraft, RecordDraft, TogetherCharge};
use super::series::{Context, FREQUENT_SHARE, FeatureKind, Mode};
use super::{Judge, PartialBucket, ShardSize};
use crate::config::rules::{Actions, Facts};
use crate::engine::event::symbols::hash_of;
use crate::engine::influence::{Case, INFLUENCE_MIN};
use crate::engine::model::Shape;
use crate::engine::model::crowd::{Frame, Shown};
use crate::engine::model::runs::{Course, Reached};
use crate::engine::probability::{Aggregate, Charge, ln_extreme};
use crate::engine::wire::{SeriesBucket, SeriesKey};
use crate::time::{BucketStart, EventTime};
use kept::{CrowdId, Known, bytes_around, member_bytes};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) use kept::{Population, Populations};

/// Suspects teach when so many of the last buckets had one...
const SUSPICIOUS_SHARE: f64 = 0.25;
/// ...of some forty.
const SUSPICION_GAIN: f64 = 0.025;
/// Values of one influencer told of in one record.
const CULPRITS_MAX: usize = 20;

/// One feature of one member's attribute in a bucket.
struct Look<'b> {
    series: &'b SeriesBucket,
    feature: usize,
    value: f64,
    measurements: u64,
    /// The value as if it stood on as many measurements as those of others: it is what is held against them, and learnt.
    alike: f64,
    /// `None` where the crowd is not known yet.
    seen: Option<Seen>,
    /// What rules say of it.
    ruling: Actions,
}

impl Look<'_> {
    fn is_told(&self) -> bool {
        !self.ruling.skip_result
    }

    fn teaches(&self) -> bool {
        !self.ruling.skip_model_update
    }
}

#[derive(Clone, Copy)]
struct Seen {
    ln_probability: f64,
    typical: f64,
}

/// A member whose attributes have been looked at.
struct Member<'b> {
    over: &'b Arc<str>,
    looks: Vec<Look<'b>>,
    suspect: bool,
    /// What its runs have come to, by detector, as they are to be learnt.
    strides: Vec<(u16, Reached)>,
}

impl Judge {
    /// Judges the members of one population that are in the bucket (sorted by member), then learns from them.
    pub(super) fn judge_population(
        &mut self,
        present: &[SeriesBucket],
        (start, middle): (BucketStart, EventTime),
        mode: Mode,
        partial: &mut PartialBucket,
    ) {
        let Some(first) = present.first() else { return };
        let id = (first.group, first.key.partition.clone());
        let mut populations = std::mem::take(&mut self.state.populations);
        let mut members = self.members(present, middle);
        if let Some(population) = populations.get(&id) {
            self.make_alike(population, &mut members);
            let mut jury = Jury::new(self, population, &members, start, mode);
            for member in &mut members {
                jury.judge(member, partial);
            }
            jury.charge_all(members.len(), partial);
            if self.job.model_plot.is_some() && !matches!(mode, Mode::Interim(_)) {
                partial.plots.extend(jury.plots(&members));
            }
        }
        if matches!(mode, Mode::Learn) {
            self.learn_population(&mut populations, id, &members, start);
        }
        self.state.populations = populations;
    }

    /// Every value that the members show, looked at by nobody yet.
    fn members<'b>(&self, present: &'b [SeriesBucket], middle: EventTime) -> Vec<Member<'b>> {
        let is_same = |a: &SeriesBucket, b: &SeriesBucket| a.key.over == b.key.over;
        let looks = |series: &'b SeriesBucket| {
            let kinds = self.kinds[usize::from(series.group)].iter().enumerate();
            kinds.filter_map(move |(feature, kind)| {
                let sample = kind.sample(middle, Some(&series.cells[feature]))?;
                Some(Look {
                    series,
                    feature,
                    value: sample.value,
                    measurements: sample.measurements,
                    alike: sample.value,
                    seen: None,
                    ruling: self.ruling_on(series, feature, || Facts {
                        actual: Some(sample.value),
                        typical: None,
                    }),
                })
            })
        };
        let member = |all: &'b [SeriesBucket]| {
            Some(Member {
                over: all[0].key.over.as_ref()?,
                looks: all.iter().flat_map(looks).collect(),
                suspect: false,
                strides: Vec::new(),
            })
        };
        present.chunk_by(is_same).filter_map(member).collect()
    }

    /// Who has fewer measurements than others is drawn nearer to them.
    fn make_alike(&self, population: &Population, members: &mut [Member<'_>]) {
        for look in members.iter_mut().flat_map(|member| &mut member.looks) {
            let law = self.kinds[usize::from(look.series.group)][look.feature]
                .kind
                .law;
            if law.is_surer_of_many() {
                let id = (look.feature as u16, look.series.key.by.clone());
                let known = population.crowds.get(&id);
                look.alike = known.map_or(look.value, |known| {
                    known.alike(law, look.value, look.measurements)
                });
            }
        }
    }

    fn learn_population(
        &mut self,
        populations: &mut Populations,
        id: KeptId,
        members: &[Member<'_>],
        start: BucketStart,
    ) {
        let teaches = |member: &&Member<'_>| member.looks.iter().any(Look::teaches);
        if !members.iter().any(|member| teaches(&member)) {
            return;
        }
        let (span, budget) = (self.job.bucket_span, self.budget);
        let size = &mut self.state.size;
        if !populations.contains_key(&id) {
            if !budget.admits(size, bytes_around(&id)) {
                size.refused_series += 1;
                return;
            }
            size.model_bytes += bytes_around(&id);
        }
        let population = populations
            .entry(id)
            .or_insert_with(|| Population::new(start));
        population.last_seen = start;
        let suspects = members.iter().filter(teaches).any(|member| member.suspect);
        population.suspicious += SUSPICION_GAIN * (f64::from(suspects) - population.suspicious);
        let doubts_them = population.suspicious < SUSPICIOUS_SHARE;
        let names = members.iter().filter(teaches);
        let names: Vec<u64> = names.map(|one| hash_of(one.over)).collect();
        let admit = |size: &mut ShardSize, bytes: u64| {
            let admitted = budget.admits(size, bytes);
            match admitted {
                true => size.model_bytes += bytes,
                false => size.refused_series += 1,
            }
            admitted
        };
        population
            .members
            .learn(&names, start, span, || admit(size, member_bytes()));
        for (
            id,
            Showing {
                mut shown,
                measurements,
            },
        ) in by_attribute(members, |look| look.teaches())
        {
            shown.iter_mut().for_each(|one| one.suspect &= doubts_them);
            if !population.crowds.contains_key(&id) {
                let new = Known::new(start);
                if !admit(size, new.bytes(&id)) {
                    continue;
                }
                population.crowds.insert(id.clone(), new);
            }
            let known = population.crowds.get_mut(&id).expect("it is there now");
            let before = known.bytes(&id);
            if budget.room(size).left() < crowd_growth(shown.len()) {
                size.refused_growth += 1;
                continue;
            }
            shown.sort_by(|a, b| a.value.total_cmp(&b.value));
            known.crowd.learn(&shown, start, span);
            known.learn_measurements(measurements as f64 / shown.len() as f64);
            known.last_seen = start;
            size.model_bytes = size.model_bytes - before + known.bytes(&id);
        }
        stride::learn(population, members, (start, span), (budget, size));
    }
}

/// Bytes that a crowd may grow by in a bucket of so many members: a bin each.
fn crowd_growth(members: usize) -> u64 {
    (members * map_bytes::<i32, f32>()) as u64 + 1024
}

/// What members show of one feature and attribute, and by how many measurements in all.
#[derive(Default)]
struct Showing {
    shown: Vec<Shown>,
    measurements: u64,
}

/// What was shown, by feature and attribute.
fn by_attribute(
    members: &[Member<'_>],
    counts: impl Fn(&Look<'_>) -> bool,
) -> BTreeMap<CrowdId, Showing> {
    let mut by_attribute: BTreeMap<CrowdId, Showing> = BTreeMap::new();
    for member in members {
        for look in member.looks.iter().filter(|look| counts(look)) {
            let id = (look.feature as u16, look.series.key.by.clone());
            let showing = by_attribute.entry(id).or_default();
            showing.measurements += look.measurements;
            showing.shown.push(Shown {
                value: look.alike,
                suspect: member.suspect,
            });
        }
    }
    by_attribute
}

/// Judges the members of one population in one bucket.
struct Jury<'j> {
    judge: &'j Judge,
    population: &'j Population,
    frames: BTreeMap<CrowdId, Frame<'j>>,
    courses: BTreeMap<u16, Course<'j>>,
    start: BucketStart,
    mode: Mode,
    bar: Bar,
    /// The most that is held against anyone, by detector.
    most: BTreeMap<usize, Charge>,
}

impl<'j> Jury<'j> {
    fn new(
        judge: &'j Judge,
        population: &'j Population,
        members: &[Member<'_>],
        start: BucketStart,
        mode: Mode,
    ) -> Jury<'j> {
        let span = judge.job.bucket_span;
        let mut frames = BTreeMap::new();
        for (id, Showing { shown, .. }) in by_attribute(members, |_| true) {
            let Some(known) = population.crowds.get(&id) else {
                continue;
            };
            let mut values: Vec<f64> = shown.iter().map(|one| one.value).collect();
            values.sort_by(f64::total_cmp);
            frames.extend(
                known
                    .crowd
                    .frame(&values, start, span)
                    .map(|frame| (id, frame)),
            );
        }
        let runs = population.runs.iter();
        Jury {
            judge,
            population,
            frames,
            courses: runs
                .filter_map(|(&detector, runs)| Some((detector, runs.course(start, span)?)))
                .collect(),
            start,
            mode,
            bar: Bar::of(&population.members, start, span).of_tails(span),
            most: BTreeMap::new(),
        }
    }

    /// Judges one member, detector by detector; tells of it, and says whether it is under suspicion.
    fn judge(&mut self, member: &mut Member<'_>, partial: &mut PartialBucket) {
        for look in &mut member.looks {
            let kind = &self.kinds(look.series.group)[look.feature];
            let id = (look.feature as u16, look.series.key.by.clone());
            look.seen = self.frames.get(&id).map(|frame| Seen {
                ln_probability: self.ln_probability(frame, kind, look.alike),
                typical: frame.typical(),
            });
            look.ruling = self.judge.ruling_on(look.series, look.feature, || Facts {
                actual: Some(look.value),
                typical: look.seen.map(|seen| seen.typical),
            });
        }
        let detectors: Vec<usize> = {
            let of = |look: &Look<'_>| self.kinds(look.series.group)[look.feature].detector;
            let mut all: Vec<usize> = member.looks.iter().map(of).collect();
            all.sort_unstable();
            all.dedup();
            all
        };
        for detector in detectors {
            if self.judge.job.detectors[detector].exclude_frequent_over
                && self.is_frequent(member.over)
            {
                continue;
            }
            let alone = self.charge(self.looks(member, detector, |look| look.is_told()));
            // Who is hidden is suspected all the same: it is no better a teacher for that.
            let shown = match member.looks.iter().all(Look::is_told) {
                true => alone,
                false => self.charge(self.looks(member, detector, |_| true)),
            };
            member.suspect |= shown.is_some_and(|charge| self.bar.suspects(charge));
            if matches!(self.mode, Mode::Learn) {
                member.strides.extend(self.stride(member, detector, shown));
            }
            let Some(alone) = alone else { continue };
            let dozen = self.dozen(member, detector, alone);
            let charge = dozen.map_or(alone, |dozen| self.both(alone, dozen));
            let most = self.most.entry(detector).or_default();
            *most = most.or(charge);
            if self.bar.tells(charge) {
                let record = self.record(member, detector, charge);
                partial.records.push(RecordDraft {
                    ln_single: alone.ln_probability,
                    ln_multi: dozen.map(|dozen| dozen.ln_probability),
                    anomaly: dozen.map_or((0, 0.0), |dozen| (dozen.in_a_row, 1.0)),
                    ..record
                });
            }
        }
    }

    /// The population as a whole is one thing that was looked at by each detector: its strangest member among all that were there.
    fn charge_all(&self, members: usize, partial: &mut PartialBucket) {
        for charge in self.most.values() {
            partial.judged.add(Charge {
                ln_probability: ln_extreme(charge.ln_probability, members as f64),
                evidence: charge.evidence,
            });
        }
    }

    fn kinds(&self, group: u16) -> &'j [FeatureKind] {
        &self.judge.kinds[usize::from(group)]
    }

    fn ln_probability(&self, frame: &Frame<'_>, kind: &FeatureKind, value: f64) -> f64 {
        use crate::config::Side;
        let additive = self.judge.job.detectors[kind.detector]
            .function
            .family
            .is_additive();
        match (self.mode, kind.kind.side) {
            // What an open bucket lacks may still come.
            (Mode::Interim(_), Side::Low) if additive => 0.0,
            (Mode::Interim(_), Side::Both) if additive => frame.ln_probability(value, Side::High),
            (_, side) => frame.ln_probability(value, side),
        }
    }

    /// The looks of one detector that count, the least likely first.
    fn looks<'m, 'b>(
        &self,
        member: &'m Member<'b>,
        detector: usize,
        is_wanted: impl Fn(&Look<'_>) -> bool,
    ) -> Vec<(&'m Look<'b>, Seen)> {
        let excludes = self.judge.job.detectors[detector].exclude_frequent_by;
        let counts = |look: &&Look<'_>| {
            self.kinds(look.series.group)[look.feature].detector == detector
                && is_wanted(look)
                && !(excludes && self.is_frequent_attribute(look))
        };
        let looks = member.looks.iter().filter(counts);
        let mut looks: Vec<_> = looks.filter_map(|look| Some((look, look.seen?))).collect();
        looks.sort_by(|a, b| {
            a.1.ln_probability
                .total_cmp(&b.1.ln_probability)
                .then_with(|| a.0.series.key.cmp(&b.0.series.key))
        });
        looks
    }

    /// What is held against a member by these looks of one detector; `None` when there are none.
    fn charge(&self, looks: Vec<(&Look<'_>, Seen)>) -> Option<Charge> {
        let mut together = Aggregate::default();
        for (_, seen) in &looks {
            together.add(Charge {
                ln_probability: seen.ln_probability,
                evidence: 0.0,
            });
        }
        (!looks.is_empty()).then(|| self.bar.charge(together.ln_probability()))
    }

    fn is_frequent(&self, member: &str) -> bool {
        let span = self.judge.job.bucket_span;
        let share = self.population.members.share(hash_of(member));
        self.population.members.buckets(self.start, span) * FREQUENT_SHARE > 1.0
            && share > FREQUENT_SHARE
    }

    fn is_frequent_attribute(&self, look: &Look<'_>) -> bool {
        let span = self.judge.job.bucket_span;
        let id = (look.feature as u16, look.series.key.by.clone());
        let known = self.population.crowds.get(&id);
        let shown = known.map_or(0.0, |known| known.crowd.count(self.start, span));
        let members = self.population.members.presences(self.start, span);
        look.series.key.by.is_some() && shown > FREQUENT_SHARE * members
    }

    fn record(&self, member: &Member<'_>, detector: usize, charge: Charge) -> RecordDraft {
        let looks = self.looks(member, detector, |look| look.is_told());
        let least = looks[0].1.ln_probability;
        let statistic = |look: &Look<'_>| self.kinds(look.series.group)[look.feature].statistic;
        // Causes are of one statistic (results.md 3.5).
        let told = looks.iter().filter(|(look, seen)| {
            statistic(look) == statistic(looks[0].0)
                && seen.ln_probability <= (least + LN_TENTH_MORE).max(LN_CAUSE)
        });
        let told: Vec<_> = told.take(CAUSES_MAX).collect();
        let cause = |(look, seen): &&(&Look<'_>, Seen)| CauseDraft {
            by: look.series.key.by.clone(),
            statistic: statistic(look),
            ln_probability: seen.ln_probability,
            actual: look.value,
            typical: seen.typical,
            place: None,
        };
        let (worst, seen) = looks[0];
        RecordDraft {
            detector: detector as u16,
            key: SeriesKey {
                by: None,
                ..worst.series.key.clone()
            },
            statistic: statistic(worst),
            actual: worst.value,
            typical: seen.typical,
            place: None,
            bounds: (0.0, 0.0),
            // What several detectors see of one member is one thing held against it.
            alone: Charge::default(),
            together: Some(TogetherCharge {
                charge,
                share: 1.0,
                series: 1,
            }),
            ln_single: charge.ln_probability,
            ln_multi: None,
            history: self.bar.history,
            incomplete: false,
            shape: Shape::default(),
            anomaly: (0, 0.0),
            ln_characteristics: 0.0,
            first_occurrence: false,
            relative_rarity: None,
            correlated: None,
            causes: told.iter().map(cause).collect(),
            influencers: self.culprits(&told),
        }
    }

    /// Who is to blame: the member, its attributes, and whoever brought what they show.
    fn culprits(&self, told: &[&(&Look<'_>, Seen)]) -> Vec<(u16, Arc<str>, f64)> {
        let mut most: BTreeMap<(u16, Arc<str>), f64> = BTreeMap::new();
        for (look, seen) in told {
            let kind = &self.kinds(look.series.group)[look.feature];
            let context = Context {
                job: &self.judge.job,
                group: &self.judge.layout.groups[usize::from(look.series.group)],
                kinds: &[],
                middle: EventTime(0),
                tell_all: true,
            };
            let split = context.split_culprits(&look.series.key);
            let id = (look.feature as u16, look.series.key.by.clone());
            let frame = self.frames.get(&id);
            let case = Case {
                whole: &look.series.cells[look.feature],
                actual: look.value,
                typical: seen.typical,
                side: kind.kind.side,
                ln_whole: seen.ln_probability,
            };
            let shares = look.series.shares.iter().map(|share| {
                let known = self.population.crowds.get(&id);
                let ln_p = |value: f64, measurements| {
                    let alike = known.map_or(value, |known| {
                        known.alike(kind.kind.law, value, measurements)
                    });
                    frame.map_or(0.0, |frame| frame.ln_probability(alike, kind.kind.side))
                };
                let influence = case.influence(&share.cells[look.feature], ln_p);
                (share.influencer, share.value.clone(), influence)
            });
            for (influencer, value, influence) in split.into_iter().chain(shares) {
                if influence >= INFLUENCE_MIN {
                    let known = most.entry((influencer, value)).or_default();
                    *known = known.max(influence);
                }
            }
        }
        let mut culprits: Vec<_> = most
            .into_iter()
            .map(|((influencer, value), influence)| (influencer, value, influence))
            .collect();
        culprits.sort_by(|a, b| {
            a.0.cmp(&b.0)
                .then(b.2.total_cmp(&a.2))
                .then_with(|| a.1.cmp(&b.1))
        });
        let chunks = culprits.chunk_by(|a, b| a.0 == b.0);
        chunks
            .flat_map(|chunk| chunk.iter().take(CULPRITS_MAX).cloned())
            .collect()
    }
}
