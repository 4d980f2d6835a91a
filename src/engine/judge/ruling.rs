//! What rules and scheduled events say of a series in a bucket: the one place where the judge asks.
//!
//! Four things follow from a ruling, and only here is said what they mean:
//! - *hidden*: the series is judged, counts as one that showed nothing (p = 1), and no record tells of it. It still learns by what was thought of it.
//! - *untaught*: nothing that models remember changes, and in what the series of an entity show together it takes no part that is learnt.
//! - *kept out*: a series that nothing is known of, hidden and untaught, is not taken in either.
//! - *turned*: the hours of the day and of the week that it knows move; once, in the first bucket that fits.
//!
//! Holds: a ruling is a function of the job, the bucket, the series' values and what a record on it would say, so every placement gives the same. A
//! job without rules is not asked.

use super::Judge;
use super::partial::RecordDraft;
use super::series::{FeatureKind, Judged};
use crate::config::calendar::ScheduledEvent;
use crate::config::rules::{Actions, Facts, SplitValues};
use crate::config::{Family, Job};
use crate::engine::feature::Group;
use crate::engine::model::Verdict;
use crate::engine::wire::{SeriesBucket, SeriesKey};
use crate::time::{BucketStart, EventTime};
use smallvec::SmallVec;

/// What rules there are to ask in the bucket at work.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// The middle of the bucket, and of the one before.
    middle: EventTime,
    before: EventTime,
    /// The events that fall into it, and whether they begin in it.
    events: Vec<(usize, bool)>,
    /// Whether any detector has a rule that may fit now.
    any: bool,
    /// Whether a clock may be moved now.
    pub(super) turns: bool,
}

impl Default for Asked {
    fn default() -> Asked {
        Asked {
            middle: EventTime(0),
            before: EventTime(0),
            events: Vec::new(),
            any: false,
            turns: false,
        }
    }
}

/// What is to be done about a series, by detector: only those of which there is something to say.
#[derive(Clone, Debug, Default)]
pub(super) struct Rulings(SmallVec<[(u16, Actions); 1]>);

impl Rulings {
    fn of(&self, detector: usize) -> Actions {
        let own = self
            .0
            .iter()
            .find(|(index, _)| usize::from(*index) == detector);
        own.map_or_else(Actions::default, |(_, actions)| *actions)
    }

    /// Whether nothing is said of what this detector sees.
    pub(super) fn hides(&self, detector: usize) -> bool {
        self.of(detector).skip_result
    }

    /// Whether the models of this detector learn the bucket.
    pub(super) fn teaches(&self, detector: usize) -> bool {
        !self.of(detector).skip_model_update
    }

    /// Whether there is nothing to be done.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Makes what was judged of hidden series count for nothing; what was thought of them is kept for learning.
    pub(super) fn hush(&self, kinds: &[FeatureKind], judged: &mut [Judged]) {
        for one in judged.iter_mut() {
            if self.hides(kinds[one.at].detector) {
                one.hush();
            }
        }
    }
}

/// The rulings on some series, in their order.
pub(super) struct RulingsOnAll(Vec<Rulings>);

impl RulingsOnAll {
    /// Whether nothing is said of what this detector sees of a series.
    pub(super) fn hides(&self, series: usize, detector: u16) -> bool {
        let own = self.0.get(series);
        own.is_some_and(|rulings| rulings.hides(usize::from(detector)))
    }

    /// Whether some detector of the group hears of it.
    pub(super) fn is_heard(&self, series: usize, group: &Group) -> bool {
        let mut specs = group.features.iter();
        specs.any(|spec| !self.hides(series, spec.detector))
    }

    /// Whether some detector of the group learns it.
    pub(super) fn teaches(&self, series: usize, group: &Group) -> bool {
        let mut specs = group.features.iter();
        let own = self.0.get(series);
        own.is_none_or(|rulings| specs.any(|spec| rulings.teaches(usize::from(spec.detector))))
    }

    /// Those that some detector of the group learns.
    pub(super) fn taught<T: Clone>(&self, all: &[T], group: &Group) -> Vec<T> {
        let numbered = all.iter().enumerate();
        let taught = numbered.filter(|(at, _)| self.teaches(*at, group));
        taught.map(|(_, one)| one.clone()).collect()
    }
}

impl Judged {
    /// Counts for nothing from now on.
    pub(super) fn hush(&mut self) {
        if self.thought.is_some() {
            return;
        }
        self.thought = Some(Box::new(self.verdict));
        self.verdict = Verdict {
            ln_probability: 0.0,
            ln_single: 0.0,
            ln_multi: None,
            evidence: 0.0,
            claim: Default::default(),
            deviation: Default::default(),
            raw_evidence: 0.0,
            ..self.verdict
        };
    }

    /// What was thought of it, hidden or not: what its model learns by.
    pub(super) fn thought(&self) -> &Verdict {
        self.thought.as_deref().unwrap_or(&self.verdict)
    }

    /// Where other series have had a say in the verdict, what its model thinks of it by itself: that is what it learns by.
    pub(super) fn own(&self) -> Option<Verdict> {
        let given = self.given.as_ref()?;
        let mut own = self.verdict;
        own.ln_probability = given.own.ln_probability;
        own.evidence = given.own.evidence;
        own.claim.nats = given.own_claim_nats;
        Some(own)
    }
}

impl Judge {
    /// Looks up what may be asked in the bucket from `start`.
    pub(super) fn ask(&mut self, start: BucketStart) {
        let span_ms = self.job.bucket_span.millis();
        let middle = EventTime(start.millis() + span_ms / 2);
        let before = EventTime(middle.millis() - span_ms);
        let rules = || self.job.detectors.iter().flat_map(|one| &one.rules);
        let begins = |rule: &crate::config::rules::Rule| {
            rule.actions.shift_hours != 0 && rule.holds_at(middle) && !rule.holds_at(before)
        };
        let events = now(&self.job, start);
        let turned =
            |(at, begins): &(usize, bool)| *begins && self.job.events[*at].actions.shift_hours != 0;
        self.asked = Asked {
            middle,
            before,
            any: rules().next().is_some() || !events.is_empty(),
            turns: rules().any(begins) || events.iter().any(turned),
            events,
        };
    }

    /// The rulings on a series of a group; `facts` says what a record on one of its features would.
    pub(super) fn rulings(
        &self,
        group: u16,
        key: &SeriesKey,
        facts: impl Fn(usize) -> Facts,
    ) -> Rulings {
        let mut rulings = Rulings::default();
        if !self.asked.any {
            return rulings;
        }
        let features = &self.layout.groups[usize::from(group)].features;
        for (at, spec) in features.iter().enumerate() {
            // Conditions of a detector with several features are on time only: the first of them speaks for all.
            if at == 0 || features[at - 1].detector != spec.detector {
                let actions = self.ruling(spec.detector, key, || facts(at));
                if actions != Actions::default() {
                    rulings.0.push((spec.detector, actions));
                }
            }
        }
        rulings
    }

    fn ruling(&self, detector: u16, key: &SeriesKey, facts: impl FnOnce() -> Facts) -> Actions {
        let mut all = Actions::default();
        let rules = &self.job.detectors[usize::from(detector)].rules;
        let values = values(key);
        for (at, begins) in &self.asked.events {
            let event = &self.job.events[*at];
            if event.is_about(usize::from(detector), &values) {
                all = all.and(event.actions.once(*begins));
            }
        }
        if rules.is_empty() {
            return all;
        }
        let facts = facts();
        for rule in rules {
            if rule.is_about(&values) && rule.holds(self.asked.middle, &facts) {
                all = all.and(rule.actions.once(!rule.holds_at(self.asked.before)));
            }
        }
        all
    }

    /// What is to be done about one feature of a member of a population.
    pub(super) fn ruling_on(
        &self,
        series: &SeriesBucket,
        feature: usize,
        facts: impl FnOnce() -> Facts,
    ) -> Actions {
        if !self.asked.any {
            return Actions::default();
        }
        let group = &self.layout.groups[usize::from(series.group)];
        self.ruling(group.features[feature].detector, &series.key, facts)
    }

    /// The rulings on each of these series, whose records say nothing but that they are there; none at all where there is nothing to ask.
    pub(super) fn rulings_on_all(&self, present: &[SeriesBucket]) -> RulingsOnAll {
        let of = |series| self.rulings_on_stranger(series);
        RulingsOnAll(match self.asked.any {
            true => present.iter().map(of).collect(),
            false => Vec::new(),
        })
    }

    /// What the rules say of a series in a bucket that it has been judged in.
    pub(super) fn rulings_on(
        &self,
        (group, key): (u16, &SeriesKey),
        bucket: Option<&SeriesBucket>,
        judged: &[Judged],
    ) -> Rulings {
        let kinds = &self.kinds[usize::from(group)];
        self.rulings(group, key, |at| {
            match judged.iter().find(|one| one.at == at) {
                Some(one) => Facts {
                    actual: Some(one.sample.value),
                    typical: Some(one.verdict.typical),
                },
                None => self.facts_of_stranger(&kinds[at], at, bucket),
            }
        })
    }

    /// The same of one that nothing is known of.
    pub(super) fn rulings_on_stranger(&self, bucket: &SeriesBucket) -> Rulings {
        let kinds = &self.kinds[usize::from(bucket.group)];
        self.rulings(bucket.group, &bucket.key, |at| {
            self.facts_of_stranger(&kinds[at], at, Some(bucket))
        })
    }

    fn facts_of_stranger(
        &self,
        kind: &FeatureKind,
        at: usize,
        bucket: Option<&SeriesBucket>,
    ) -> Facts {
        let sample = kind.sample(self.asked.middle, bucket.map(|bucket| &bucket.cells[at]));
        Facts {
            actual: sample.map(|sample| sample.value),
            typical: None,
        }
    }

    /// Whether a series that nothing is known of is to stay so.
    pub(super) fn keeps_out(&self, bucket: &SeriesBucket) -> bool {
        if !self.asked.any {
            return false;
        }
        let rulings = self.rulings_on_stranger(bucket);
        let mut kinds = self.kinds[usize::from(bucket.group)].iter();
        kinds.all(|kind| rulings.hides(kind.detector) && !rulings.teaches(kind.detector))
    }

    /// Whether the bucket counts as one in which the series was there: what its rarity is told by.
    pub(super) fn counts_presence(&self, group: u16, rulings: &Rulings) -> bool {
        if rulings.is_empty() {
            return true;
        }
        let kinds = &self.kinds[usize::from(group)];
        let detectors = || kinds.iter().map(|kind| kind.detector);
        let counts = |detector: &usize| {
            let family = self.job.detectors[*detector].function.family;
            matches!(family, Family::Count | Family::NonZeroCount)
        };
        let taught = |detector: usize| rulings.teaches(detector);
        match detectors().any(|detector| counts(&detector)) {
            true => detectors().filter(counts).all(taught),
            false => detectors().any(taught),
        }
    }

    /// Moves the clocks of series whose rules say so now.
    pub(super) fn turn_clocks(&mut self) {
        let mut series_of = std::mem::take(&mut self.state.series);
        for (id, held) in series_of.visit(super::shelves::Purpose::Change) {
            let super::shelves::Held::Change(series) = held else {
                continue;
            };
            let rulings = self.rulings(id.0, &id.1, |_| Facts::default());
            for (at, kind) in self.kinds[usize::from(id.0)].iter().enumerate() {
                let hours = rulings.of(kind.detector).shift_hours;
                if hours != 0 {
                    series.turn(at, hours);
                }
            }
        }
        self.state.series = series_of;
    }
}

/// The events that fall into a bucket, and whether they begin in it.
fn now(job: &Job, start: BucketStart) -> Vec<(usize, bool)> {
    if job.events.is_empty() {
        return Vec::new();
    }
    let (from, to) = (start.time(), job.bucket_span.end_of(start).time());
    let begins = |event: &ScheduledEvent| event.occurrences.begins_in(from, to);
    let events = job.events_in(start);
    events.map(|(at, event)| (at, begins(event))).collect()
}

/// Whether scores may be normalised by what a record tells: not by one that its models do not learn from. Asked where results are made, with the same
/// answer as in the judge.
pub(in crate::engine) fn may_teach(job: &Job, start: BucketStart, draft: &RecordDraft) -> bool {
    let detector = usize::from(draft.detector);
    let rules = &job.detectors[detector].rules;
    if rules.is_empty() && job.events.is_empty() {
        return true;
    }
    let mut rules = rules.iter().filter(|rule| rule.actions.skip_model_update);
    let middle = EventTime(start.millis() + job.bucket_span.millis() / 2);
    let mut events = job
        .events_in(start)
        .filter(|(_, event)| event.actions.skip_model_update);
    let of = |by: Option<&str>, actual: f64, typical: f64| {
        let facts = Facts {
            actual: Some(actual),
            typical: Some(typical),
        };
        (by.map(str::to_owned), facts)
    };
    let told: Vec<_> = match draft.causes.as_slice() {
        [] => vec![of(draft.key.by.as_deref(), draft.actual, draft.typical)],
        causes => causes
            .iter()
            .map(|one| of(one.by.as_deref(), one.actual, one.typical))
            .collect(),
    };
    let of_all = |fits: &dyn Fn(&SplitValues<'_>, &Facts) -> bool| {
        told.iter().all(|(by, facts)| {
            let values = SplitValues {
                by: by.as_deref(),
                ..values(&draft.key)
            };
            fits(&values, facts)
        })
    };
    rules.all(|rule| !of_all(&|values, facts| rule.is_about(values) && rule.holds(middle, facts)))
        && events.all(|(_, event)| !of_all(&|values, _| event.is_about(detector, values)))
}

fn values(key: &SeriesKey) -> SplitValues<'_> {
    SplitValues {
        by: key.by.as_deref(),
        over: key.over.as_deref(),
        partition: key.partition.as_deref(),
    }
}
