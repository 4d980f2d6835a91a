//! One series in front of the judge: its models, and what is said of one bucket of it.

use super::SeriesShelves;
use super::blame::SeatBlame;
use super::correlates::Given;
use super::memory::text_bytes;
use super::partial::{ChangeDraft, PlotDraft, RecordDraft};
use super::ruling::Rulings;
use crate::config::{Family, Job, Side};
use crate::engine::feature::{Accumulator, Group, Statistic};
use crate::engine::influence::{Case, INFLUENCE_MIN};
use crate::engine::model::prefetch::prefetch;
use crate::engine::model::{Kind, Law, Model, Room, Sample, SeriesModel, Verdict};
use crate::engine::probability::Charge;
use crate::engine::wire::{SeriesBucket, SeriesKey, Share};
use crate::time::{BucketSpan, BucketStart, EventTime};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Records are drafted below this probability (results.md 3.12), or from this much evidence on.
pub(super) const LN_RECORD: f64 = -3.352_407_217_330_787; // ln 0.035
pub(super) const EVIDENCE_RECORD: f64 = 2.0;
/// `exclude_frequent`: present in more than this share of the buckets (of so many at least), or of the members.
pub(super) const FREQUENT_SHARE: f64 = 0.1;
pub(super) const FREQUENT_BUCKETS_MIN: u32 = 50;
/// Values of one influencer told of in one record.
const CULPRITS_MAX: usize = 20;
/// A variance of fewer measurements is no sample.
const VARIANCE_MEASUREMENTS_MIN: u64 = 3;

/// The models of one series of one split, and when it was seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Series {
    /// One a feature of the group.
    models: Box<[SeriesModel]>,
    /// First bucket with an event.
    pub(super) born: BucketStart,
    /// Last bucket with an event.
    pub(super) last_seen: BucketStart,
    /// Buckets with an event.
    pub(super) present: u32,
    /// Bytes of the models, as last counted: a series has a few kilobytes.
    pub(super) bytes: u32,
}

/// What a feature is, for all its series: decided once.
pub(super) struct FeatureKind {
    pub(super) detector: usize,
    pub(super) statistic: Statistic,
    pub(super) kind: Kind,
    empty_is_zero: bool,
}

/// How a bucket is judged.
#[derive(Clone, Copy)]
pub(super) enum Mode {
    /// Judge, then learn.
    Learn,
    /// The bucket is still open: this share of it has been seen, 0..=1. Nothing is learnt.
    Interim(f64),
}

/// What of a series is asked for.
#[derive(Clone, Copy)]
pub(super) enum Prefetch {
    Models,
    Parts,
    Profiles,
}

/// One judged feature.
pub(super) struct Judged {
    pub(super) at: usize,
    pub(super) sample: Sample,
    /// What counts.
    pub(super) verdict: Verdict,
    /// Of a hidden one, what its model thinks of it all the same.
    pub(super) thought: Option<Box<Verdict>>,
    /// What it looks like given the series that its own goes with; part of the verdict by then.
    pub(super) given: Option<Given>,
}

/// What is to be said of one detector's view of a series.
pub(super) struct Finding {
    pub(super) detector: usize,
    pub(super) alone: Charge,
    pub(super) draft: Option<Box<RecordDraft>>,
}

impl FeatureKind {
    pub(super) fn all(job: &Job, group: &Group) -> Vec<FeatureKind> {
        let joined = is_joined(group);
        let of = |spec: &crate::engine::feature::FeatureSpec| {
            let function = job.detectors[usize::from(spec.detector)].function;
            let side = match (function.family, spec.statistic) {
                (Family::Metric, Statistic::Min) => Side::Low,
                (Family::Metric, Statistic::Max) => Side::High,
                _ => function.side,
            };
            let kind = Kind {
                side,
                counting: function.family.is_counting(),
                law: law_of(spec.statistic),
                joined,
                span: job.bucket_span,
            };
            FeatureKind {
                detector: usize::from(spec.detector),
                statistic: spec.statistic,
                kind,
                empty_is_zero: function.family.empty_is_zero(),
            }
        };
        group.features.iter().map(of).collect()
    }

    pub(super) fn samples_empty_buckets(&self) -> bool {
        self.empty_is_zero
    }

    /// The sample that a bucket gives; `None` when it gives none.
    pub(super) fn sample(&self, at: EventTime, cell: Option<&Accumulator>) -> Option<Sample> {
        let measurements = cell.map_or(0, Accumulator::measurements);
        if self.statistic == Statistic::Varp && measurements < VARIANCE_MEASUREMENTS_MIN {
            return None;
        }
        let value = cell
            .and_then(Accumulator::value)
            .filter(|_| measurements > 0);
        let value = match value {
            Some(value) if self.statistic == Statistic::Distinct => value.round(),
            Some(value) => value,
            None if self.empty_is_zero => 0.0,
            None => return None,
        };
        value.is_finite().then_some(Sample {
            at,
            value,
            measurements,
        })
    }

    /// The value corrected for the part of the bucket still to come (modelling-notes.md 11): additive values may yet grow, by at most what is
    /// usual for that part.
    fn corrected(&self, sample: Sample, model: &SeriesModel, seen: f64, additive: bool) -> Sample {
        match model.expected(&self.kind, sample.at) {
            Some(usual) if additive && usual > 0.0 => {
                let missing = (usual - sample.value).clamp(0.0, (1.0 - seen) * usual);
                Sample {
                    value: sample.value + missing,
                    ..sample
                }
            }
            _ => sample,
        }
    }
}

/// What the number of measurements does to a statistic.
fn law_of(statistic: Statistic) -> Law {
    match statistic {
        Statistic::Mean | Statistic::Median => Law::Average,
        Statistic::Varp => Law::Variance,
        Statistic::Min => Law::Least,
        Statistic::Max => Law::Greatest,
        Statistic::Sum => Law::Sum,
        _ => Law::Plain,
    }
}

/// Bytes of a series' key and of its place in the map.
fn bytes_around(key: &SeriesKey) -> usize {
    SeriesShelves::bytes_an_entry() + text_bytes(&key.partition) + text_bytes(&key.by)
}

/// Whether a partition value of this group has several series, to be judged together: one a by value, or one a detector.
pub(super) fn is_joined(group: &Group) -> bool {
    let detectors = group.features.chunk_by(|a, b| a.detector == b.detector);
    group.by.is_some() || detectors.count() > 1
}

impl Series {
    pub(super) fn new(features: usize, at: BucketStart) -> Series {
        Series {
            models: (0..features).map(|_| SeriesModel::new()).collect(),
            born: at,
            last_seen: at,
            present: 0,
            bytes: 0,
        }
    }

    /// Asks for the models, as far as a bucket at `at` needs them, in three steps: where the next step begins is known once the last one has come.
    pub(super) fn prefetch(&self, step: Prefetch, at: EventTime) {
        match step {
            Prefetch::Models => prefetch(&*self.models),
            Prefetch::Parts => self
                .models
                .iter()
                .for_each(|model| model.prefetch_parts(at)),
            Prefetch::Profiles => self
                .models
                .iter()
                .for_each(|model| model.prefetch_profile(at)),
        }
    }

    pub(super) fn models(&self) -> &[SeriesModel] {
        &self.models
    }

    /// Whether `exclude_frequent` leaves the series out: present in more than a tenth of the buckets since it was first seen (of fifty at least).
    pub(super) fn is_frequent(&self, at: BucketStart, span: crate::time::BucketSpan) -> bool {
        let lived = (span.buckets_between(self.born, at) + 1).max(FREQUENT_BUCKETS_MIN.into());
        f64::from(self.present) > FREQUENT_SHARE * lived as f64
    }

    /// Bytes of the models, of the texts of the key, and of the series' place on the judge's shelves.
    pub(super) fn count_bytes(&self, key: &SeriesKey) -> u64 {
        let models: usize = self.models.iter().map(Model::memory_bytes).sum();
        (models + bytes_around(key)) as u64
    }

    /// The same of a series that has learnt nothing.
    pub(super) fn bytes_when_new(features: usize, key: &SeriesKey) -> u64 {
        (features * SeriesModel::new().memory_bytes() + bytes_around(key)) as u64
    }

    /// Judges one bucket, feature by feature, and adds what is thought of it to `judged`; `bucket` is `None` when the series had no event in it.
    pub(super) fn judge(
        &self,
        context: &Context<'_>,
        key: &SeriesKey,
        bucket: Option<&SeriesBucket>,
        mode: Mode,
        plots: &mut Vec<PlotDraft>,
        judged: &mut Vec<Judged>,
    ) {
        for (at, (kind, model)) in context.kinds.iter().zip(&self.models).enumerate() {
            let cell = bucket.map(|bucket| &bucket.cells[at]);
            let sample = kind.sample(context.middle, cell);
            let sample = match (sample, mode) {
                (Some(sample), Mode::Interim(seen)) => Some(
                    kind.corrected(
                        sample,
                        model,
                        seen,
                        context.job.detectors[kind.detector]
                            .function
                            .family
                            .is_additive(),
                    ),
                ),
                (sample, _) => sample,
            };
            let verdict = sample.and_then(|sample| model.judge(&kind.kind, &sample));
            if is_plotted(context.job, key) {
                plots.extend(plot(kind, model, key, context.middle, sample, verdict));
            }
            if let Some(sample) = sample
                && let Some(verdict) = verdict
            {
                judged.push(Judged {
                    at,
                    sample,
                    verdict,
                    thought: None,
                    given: None,
                });
            }
        }
    }

    /// Days begin so many hours later for one of its models.
    pub(super) fn turn(&mut self, at: usize, hours: i8) {
        if let Some(model) = self.models.get_mut(at) {
            model.turn(hours);
        }
    }

    /// What is said of one feature's part in what the entity shows.
    pub(super) fn said_together(
        &self,
        one: &Judged,
        (evidence, all_usual): (f64, bool),
        at: EventTime,
        span: BucketSpan,
    ) -> f64 {
        self.models[one.at].said_together(evidence, all_usual, at, span)
    }

    /// Remembers what was said of each feature's part.
    pub(super) fn learn_said(
        &mut self,
        context: &Context<'_>,
        (judged, rulings): (&[Judged], &Rulings),
        blame: SeatBlame<'_>,
    ) {
        let (at, span) = (context.middle, context.job.bucket_span);
        let taught = |one: &Judged| rulings.teaches(context.kinds[one.at].detector);
        let all = judged.iter().zip(blame.parts);
        for (one, part) in all.filter(|(one, _)| taught(one)) {
            let said = (part.evidence, part.said);
            self.models[one.at].learn_said_together(said, blame.all_usual, at, span);
        }
    }

    /// Learns the bucket that was judged as a closed one, growing within the room; notes what models notice.
    pub(super) fn learn(
        &mut self,
        context: &Context<'_>,
        (key, bucket): (&SeriesKey, Option<&SeriesBucket>),
        (judged, rulings): (&[Judged], &Rulings),
        room: &mut Room,
        changes: &mut Vec<ChangeDraft>,
    ) {
        for (at, (kind, model)) in context.kinds.iter().zip(self.models.iter_mut()).enumerate() {
            if !rulings.teaches(kind.detector) {
                continue;
            }
            let known = judged.iter().find(|one| one.at == at);
            let cell = bucket.map(|bucket| &bucket.cells[at]);
            let noticed = match known {
                Some(one) => {
                    let own = one.own();
                    let verdict = own.as_ref().unwrap_or_else(|| one.thought());
                    model.learn(&kind.kind, &one.sample, Some(verdict), room)
                }
                None => match kind.sample(context.middle, cell) {
                    Some(sample) => model.learn(&kind.kind, &sample, None, room),
                    None => None,
                },
            };
            if let Some(noticed) = noticed.filter(|_| context.job.annotations) {
                changes.push(ChangeDraft {
                    detector: kind.detector as u16,
                    key: key.clone(),
                    statistic: kind.statistic,
                    noticed,
                });
            }
        }
    }

    /// Adds one finding a detector: the probability is that of its least probable feature, the record tells of its most unusual one.
    pub(super) fn findings(
        &self,
        context: &Context<'_>,
        key: &SeriesKey,
        bucket: Option<&SeriesBucket>,
        judged: &[Judged],
        blame: Option<SeatBlame<'_>>,
        findings: &mut Vec<Finding>,
    ) {
        let mut rest = judged;
        while let Some(first) = rest.first() {
            let start = judged.len() - rest.len();
            let detector = context.kinds[first.at].detector;
            let (own, others) = rest.split_at(
                rest.iter()
                    .take_while(|one| context.kinds[one.at].detector == detector)
                    .count(),
            );
            rest = others;
            let least = own
                .iter()
                .min_by(|a, b| {
                    a.verdict
                        .ln_probability
                        .total_cmp(&b.verdict.ln_probability)
                })
                .expect("not empty");
            let loudest = own
                .iter()
                .rev()
                .max_by(|a, b| a.verdict.claim.nats.total_cmp(&b.verdict.claim.nats))
                .expect("not empty");
            let evidence = own
                .iter()
                .map(|one| one.verdict.evidence)
                .fold(0.0, f64::max);
            // Far out, families of unlike tails are not to be compared: a minimum's heavy one gives -200 a better chance than a mean's
            // thin one gives 87. How far each is beyond its own past is, and makes the score too.
            let most = if evidence >= EVIDENCE_RECORD {
                loudest
            } else {
                least
            };
            // A detector with several features has looked several times.
            let ln_looks = if own.len() == 1 {
                0.0
            } else {
                (own.len() as f64).ln()
            };
            let ln_probability = (least.verdict.ln_probability + ln_looks).min(0.0);
            let alone = Charge {
                ln_probability,
                evidence,
            };
            let together = blame.and_then(|blame| blame.worst(start..start + own.len()));
            let discounted = blame.map_or(alone, |blame| {
                blame.discount(ln_probability, start..start + own.len())
            });
            let told = context.tell_all
                || together.is_some()
                || discounted.ln_probability < LN_RECORD
                || discounted.evidence >= EVIDENCE_RECORD;
            let draft = told.then(|| {
                Box::new(RecordDraft {
                    alone: discounted,
                    together,
                    ..self.draft(context, key, bucket, most)
                })
            });
            findings.push(Finding {
                detector,
                alone,
                draft,
            });
        }
    }

    fn draft(
        &self,
        context: &Context<'_>,
        key: &SeriesKey,
        bucket: Option<&SeriesBucket>,
        judged: &Judged,
    ) -> RecordDraft {
        let (kind, verdict) = (&context.kinds[judged.at], &judged.verdict);
        let model = &self.models[judged.at];
        let given = judged.told_given();
        let value_at = |deviate| model.value_at(&kind.kind, &judged.sample, deviate);
        let (typical, bounds) = match given {
            Some(given) => {
                let (low, high) = given.interval;
                (value_at(given.expected), (value_at(low), value_at(high)))
            }
            None => (
                verdict.typical,
                model.bounds(&kind.kind, &judged.sample, verdict.typical),
            ),
        };
        RecordDraft {
            detector: kind.detector as u16,
            key: key.clone(),
            statistic: kind.statistic,
            actual: judged.sample.value,
            typical,
            place: None,
            bounds,
            alone: Charge::default(),
            together: None,
            ln_single: given.map_or(verdict.ln_single, |given| given.ln_probability),
            ln_multi: verdict.ln_multi,
            history: verdict.history,
            incomplete: verdict.incomplete,
            shape: verdict.shape,
            anomaly: (verdict.anomaly_buckets, verdict.anomaly_error),
            ln_characteristics: model.ln_characteristics(verdict),
            first_occurrence: false,
            relative_rarity: None,
            correlated: given.map(|given| given.correlate.clone()),
            causes: Vec::new(),
            influencers: self.culprits(context, key, bucket, judged),
        }
    }

    /// Who is to blame: split fields always, others by what is left without them.
    fn culprits(
        &self,
        context: &Context<'_>,
        key: &SeriesKey,
        bucket: Option<&SeriesBucket>,
        judged: &Judged,
    ) -> Vec<(u16, Arc<str>, f64)> {
        let mut culprits = context.split_culprits(key);
        let (Some(bucket), kind) = (bucket, &context.kinds[judged.at]) else {
            return culprits;
        };
        let model = &self.models[judged.at];
        let whole = &bucket.cells[judged.at];
        // Counts and sums are asked about their upper tail whatever the detector's side.
        let upward = matches!(kind.statistic, Statistic::Count | Statistic::Sum)
            && kind.kind.side != Side::Low;
        let asked = if upward {
            Kind {
                side: Side::High,
                ..kind.kind
            }
        } else {
            kind.kind
        };
        let ln_p = |value: f64, measurements: u64| {
            model.ln_probability(
                &asked,
                &Sample {
                    value,
                    measurements: measurements.max(1),
                    ..judged.sample
                },
            )
        };
        let case = Case {
            whole,
            actual: judged.sample.value,
            typical: judged.verdict.typical,
            side: kind.kind.side,
            ln_whole: match asked.side == kind.kind.side {
                // As when the bucket was judged.
                true => judged.verdict.tails.ln_probability(asked.side),
                false => ln_p(judged.sample.value, judged.sample.measurements),
            },
        };
        for shares in bucket.shares.chunk_by(|a, b| a.influencer == b.influencer) {
            let influence = |share: &Share| {
                (
                    share.influencer,
                    share.value.clone(),
                    case.influence(&share.cells[judged.at], ln_p),
                )
            };
            let mut told: Vec<_> = shares
                .iter()
                .map(influence)
                .filter(|one| one.2 >= INFLUENCE_MIN)
                .collect();
            told.sort_by(|a, b| b.2.total_cmp(&a.2).then_with(|| a.1.cmp(&b.1)));
            told.truncate(CULPRITS_MAX);
            culprits.extend(told);
        }
        culprits.sort_by(|a, b| {
            a.0.cmp(&b.0)
                .then(b.2.total_cmp(&a.2))
                .then_with(|| a.1.cmp(&b.1))
        });
        culprits
    }
}

/// What is the same for all series of a group in one bucket.
pub(super) struct Context<'a> {
    pub(super) job: &'a Job,
    pub(super) group: &'a Group,
    pub(super) kinds: &'a [FeatureKind],
    /// The middle of the bucket.
    pub(super) middle: EventTime,
    /// Draft a record whatever the model says of it: something else speaks against the series.
    pub(super) tell_all: bool,
}

impl Context<'_> {
    pub(super) fn split_culprits(&self, key: &SeriesKey) -> Vec<(u16, Arc<str>, f64)> {
        let mut culprits = Vec::new();
        for (index, &field) in self.job.influencers.iter().enumerate() {
            let value = if self.group.by == Some(field) {
                key.by.as_ref()
            } else if self.group.over == Some(field) {
                key.over.as_ref()
            } else if self.group.partition == Some(field) {
                key.partition.as_ref()
            } else {
                None
            };
            culprits.extend(value.map(|value| (index as u16, value.clone(), 1.0)));
        }
        culprits
    }
}

/// Whether a model plot of the series, or of the member, is asked for.
pub(super) fn is_plotted(job: &Job, key: &SeriesKey) -> bool {
    let plot = job.model_plot.as_ref();
    let values = [&key.by, &key.over, &key.partition].map(|value| value.as_deref());
    plot.is_some_and(|plot| plot.includes(values))
}

fn plot(
    kind: &FeatureKind,
    model: &SeriesModel,
    key: &SeriesKey,
    middle: EventTime,
    sample: Option<Sample>,
    verdict: Option<Verdict>,
) -> Option<PlotDraft> {
    let actual = sample.map(|sample| sample.value);
    let (sample, typical) = match (sample, verdict) {
        (Some(sample), Some(verdict)) => (sample, verdict.typical),
        _ => {
            // No value, but the bounds people would draw: those around what was expected.
            let usual = model.expected(&kind.kind, middle)?;
            let sample = Sample {
                at: middle,
                value: usual,
                measurements: 0,
            };
            (sample, usual)
        }
    };
    Some(PlotDraft {
        detector: kind.detector as u16,
        key: key.clone(),
        statistic: kind.statistic,
        median: typical,
        bounds: model.bounds(&kind.kind, &sample, typical),
        actual,
    })
}
