//! The evidence against one value of a series, nats: two copies of the surprise views, a profile they share, and novelty.
//!
//! `F = 0.8 max(A, B) + 2 N a copy`: A the mean of the copies' slow channels (the bucket, and means of one hour held until the next),
//! B the short-range channel, or that the series keeps too still ([`stillness`](super::stillness)), N the mean of the copies' novelty. Where a bucket is an hour or longer there is one copy.
//! Counts have a third channel: their tail around the forecast, for Poisson and negative binomial are laws of counting, and an outage of
//! something steady is certain long before it is large; what it claims is calibrated by its own past like the others, less 4 nats,
//! and heard only while its claims have been no larger than chance brings. So have other values once it has been shown that the distribution knows
//! what no view does: that the spread follows the hour, that hours are joined by steps, that a job runs at four; when it comes to know more, its past claims are forgotten.
//! The tail is the lesser of the bucket's and of the dozen's that it ends. (For all series it brought no incident of the labelled data, and false alarms.)
//! A copy's channel is −ln of the chance that a block of 24 buckets shows this much; two copies agree to that much far more seldom than one shows it, so that 3 nats,
//! which deserve attention, are about one bucket in 5,000. Source: detection-quality.md.
//! What the hour before shows is held against a bucket only while it is not over (`Copies::share_left`; tests/over.rs).
//!
//! Where one copy speaks alone (a bucket of an hour or more, the first day of others) the second look is that of the distribution around the forecast: what is
//! claimed against a bucket is no more than its tail is worth as a single look ([`of_one_look`]), or than the same copy claims against the forecast itself, for where
//! a series has drifted the distribution has followed it and has nothing to say. Without it, the extremes of heavy tails, which are always new values too, are alarms.
//!
//! All of it happens on a scale that is even near zero and logarithmic far from it ([`SymLog`]): counts, sums and latencies vary in
//! proportion to their size, and a heavy tail is no anomaly. The scale's unit is the mean size of the first [`UNIT_VALUES`] values, so a
//! series is a short list of them at first, and the views come into being when it is full.

use super::calibration::FixedCalibration;
use super::prefetch::prefetch;
use super::profile::{HOUR_MS, HourMean, HourMeans, Profile, hour_of};
use super::stillness::{Nearness, Stillness};
use super::surprise::{SeasonView, ShortRange, Surprise, Views};
use super::{Kind, Room};
use crate::config::Side;
use crate::time::{BucketSpan, EventTime};
use serde::{Deserialize, Serialize};

/// Buckets in a block of the calibration.
pub const BLOCK_BUCKETS: u32 = 24;
/// ln of that.
const LN_BLOCK: f64 = 3.178_053_830_347_945_8;
const CHANNEL_WEIGHT: f64 = 0.8;
/// What the novelty of a value is worth to one copy, nats. A series of one copy has one look at it: counted for two, an extreme value, which is nearly
/// always a new one, would be charged twice.
const NOVELTY_NATS: f64 = 2.0;
/// What the tail has to show more than the views.
const TAIL_HANDICAP: f64 = 4.0;
/// A tail that came to be looked at late, or to know more, is heard after so many blocks: until then it has no past of its own.
const TAIL_AFTER_BLOCKS: f64 = 32.0;
/// Values that decide the unit of a series' scale.
const UNIT_VALUES: usize = 24;
/// Evidence that deserves attention, nats.
const ATTENTION: f64 = 3.0;
/// From so much evidence on, which makes a record, a copy that is alone has to be borne out by the distribution around the forecast.
const ASKED_FROM: f64 = 2.0;
/// From so much on the copy on buckets of a count is held to its law.
const ASKED_OF_COUNTS_FROM: f64 = 1.0;
/// From so much on, half-way between what makes a record and what is critical, what an hour claims against the buckets after it is held to where they are.
const ASKED_OF_HOURS_FROM: f64 = 2.5;
/// For so many more of them room is made at a time.
const FIRST_CHUNK: usize = 4;

/// A scale that is linear up to about one unit from zero and logarithmic beyond: `sgn x · ln(1 + |x|/unit)`.
///
/// Tukey's started logarithm (Exploratory Data Analysis, 1977), made odd. Holds: strictly growing; finite for finite values.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SymLog {
    unit: f64,
}

impl SymLog {
    /// The scale of a series with these values: its unit is their mean size; 1 if they are all zero.
    pub fn of(values: impl ExactSizeIterator<Item = f64>) -> SymLog {
        let n = values.len().max(1) as f64;
        let unit = values.map(|x| x.abs() / n).sum::<f64>();
        SymLog {
            unit: if unit >= f64::MIN_POSITIVE { unit } else { 1.0 },
        }
    }

    /// A scale that is as good as linear, of values that are small beside 2³⁰.
    pub fn even() -> SymLog {
        SymLog {
            unit: f64::from(1 << 30),
        }
    }

    /// The value on the scale.
    pub fn of_value(self, x: f64) -> f64 {
        let ratio = x.abs() / self.unit;
        let size = if ratio.is_finite() {
            ratio.ln_1p()
        } else {
            x.abs().ln() - self.unit.ln()
        };
        size.copysign(x)
    }
}

impl SymLog {
    /// The value at a place on the scale: the reverse.
    pub fn value_of(self, y: f64) -> f64 {
        (self.unit * y.abs().exp_m1()).min(f64::MAX).copysign(y)
    }
}

/// What is claimed against a value.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Claim {
    /// Evidence, nats, at least 0.
    pub nats: f64,
    /// The part of it that the bucket claims by itself, as if the hour before had been as usual.
    of_bucket: f64,
    /// Of one copy, the other having nothing to say as yet, or ever.
    is_alone: bool,
    /// What the short-range channel claims, which asks for more than others, and knows what no distribution does: that a value has not moved.
    short: f64,
    /// The part of that which is told of a run (of one value, or of still ones) and is over with it.
    of_run: f64,
    /// What the bucket's copy saw, which learning the same value needs again.
    rows: Option<Row>,
}

impl Claim {
    /// ln p of a value as it speaks for an alarm to go on: what a run of values tells, each of them usual by itself, is over with the run, and of one that has returned to
    /// what is usual nothing is told.
    pub fn ln_tail_now(&self, ln_tail: f64, has_returned: bool) -> f64 {
        match has_returned {
            true => 0.0,
            false => ln_tail.min(-self.of_run),
        }
    }

    /// What of the claim is heard on a day of a kind never seen, of a value that is then so many times less far out (a variance ratio) and of which `nearer` is claimed. Nats of a
    /// normal tail go with the square of how far out a value is. But what the bucket by itself claims of the nearer value stands, for that much is beyond such days too.
    pub fn on_strange_day(&self, nearer: &Claim, ratio: f64) -> f64 {
        let beyond = nearer.of_bucket.min(nearer.nats).min(self.nats);
        beyond.max(self.nats / ratio)
    }
}

/// What the forecast and the distribution around it say of a value that is judged.
#[derive(Clone, Copy, Debug)]
pub struct Foretold {
    /// The forecast.
    pub typical: f64,
    /// ln p of it or of the dozen that it ends, whichever is less.
    pub ln_tail: f64,
    /// How much the value can tell by being that of the bucket before again, nats; infinitely much where no law says it.
    pub repeat_nats: f64,
    /// How far out the value is, as a normal deviate; infinite where nothing is to be told of its being near.
    pub deviate: f64,
}

/// The tail of a value.
#[derive(Clone, Copy, Debug)]
pub struct TailOf {
    /// ln p by the distribution around the forecast, of the bucket or of the dozen that it ends.
    pub ln_p: f64,
    /// The distribution has been shown to know what no view does.
    pub knows_more: bool,
    /// As in [`Foretold`].
    pub repeat_nats: f64,
    /// As in [`Foretold`].
    pub deviate: f64,
}

/// A value as the bucket's copy sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Row {
    /// On the scale.
    y: f32,
    season: SeasonView,
    surprise: Surprise,
}

/// What the hour before showed, which is held for the hour after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Held {
    slow: f32,
    novelty: f32,
    /// For 245,000 years around the epoch.
    hour: i32,
    speaks: bool,
}

impl Held {
    /// What is held in `hour`; nothing after a gap.
    fn within(&self, hour: i64) -> Held {
        if hour - i64::from(self.hour) <= 1 {
            *self
        } else {
            Held::default()
        }
    }
}

/// Where values are on the scale of a series: by how much they are above its first one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Scale {
    log: SymLog,
    first: f64,
}

impl Scale {
    fn of_value(&self, x: f64) -> f64 {
        self.log.of_value(x) - self.first
    }
}

/// What the distribution around the forecast has claimed by its tails.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Tail {
    /// Of −ln p.
    claims: FixedCalibration,
    /// Whether they have been looked at from the first: those of a count, while the distribution knows no more than at first.
    from_first: bool,
}

impl Tail {
    /// What it claims now, while it may be believed; `known` is what others claim already, and less is not asked for.
    fn evidence(&self, ln_tail: f64, known: f64) -> f64 {
        if !self.from_first && self.claims.blocks() < TAIL_AFTER_BLOCKS {
            return 0.0;
        }
        let claimed = self.claims.evidence(-ln_tail) - TAIL_HANDICAP;
        if claimed > known && self.claims.is_honest(BLOCK_BUCKETS) {
            claimed
        } else {
            0.0
        }
    }
}

/// The two copies and what they share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Copies {
    scale: Scale,
    filling: HourMeans,
    held: Held,
    /// The copy on means of an hour: asked once an hour, so it has a place of its own.
    hours: Option<Box<Views>>,
    /// Of counts, and where the distribution around the forecast knows more than the views.
    tail: Option<Box<Tail>>,
    rows: Views,
    short: ShortRange,
    stillness: Stillness,
    profile: Profile,
}

/// One of the first values.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Early {
    x: f64,
    /// Number of its bucket, of so many as there are numbers in turn.
    bucket: u32,
    ln_tail: f32,
}

impl Early {
    fn bucket_of(at: EventTime, span: BucketSpan) -> u32 {
        at.millis().div_euclid(span.millis()) as u32
    }

    /// When it was: the middles of buckets are whole spans apart.
    fn at(&self, now: EventTime, span: BucketSpan) -> EventTime {
        let ago = Early::bucket_of(now, span).wrapping_sub(self.bucket);
        EventTime(now.millis() - i64::from(ago) * span.millis())
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Stage {
    /// The first values, in order.
    First(Vec<Early>),
    Grown(Box<Copies>),
}

/// ln p of a bucket that evidence speaks against: evidence is about blocks; what is far out for a block is farther out for one bucket of it.
pub fn ln_probability_of(evidence: f64) -> f64 {
    -evidence - LN_BLOCK * (evidence / ATTENTION).min(1.0).powi(2)
}

/// Evidence of a single look of `nats` about a block, on the scale of the mean of two: the mean of two exponential variables is `m` or more with probability
/// `(1 + 2m) exp(−2m)`, so `m = (nats + ln(1 + 2m))/2`.
pub fn of_one_look(nats: f64) -> f64 {
    const STEPS: u32 = 8;
    let step = |mean: f64, _| 0.5 * (nats + (2.0 * mean).ln_1p());
    CHANNEL_WEIGHT * (0..STEPS).fold(0.5 * nats, step)
}

/// The reverse of [`of_one_look`]: evidence as nats of a single look about a block, whose excess over any level is one nat on average, as that of
/// an exponential variable is.
pub fn as_one_look(evidence: f64) -> f64 {
    let twice = 2.0 * evidence / CHANNEL_WEIGHT;
    twice - twice.ln_1p()
}

/// Everything that the evidence against a series' next value needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvidenceModel {
    stage: Stage,
}

impl EvidenceModel {
    /// Of a series that has shown nothing.
    pub fn new() -> EvidenceModel {
        EvidenceModel {
            stage: Stage::First(Vec::new()),
        }
    }

    /// Evidence against `x` at `at` (the middle of its bucket), nats, at least 0. What is foretold of it is all there is to go by while no view has seen
    /// enough (a young series, a constant that moves for the first time). `ln_by_law`, of a count: ln p of the value by its law, around the forecast or a level that
    /// follows nothing quickly, whichever calls it rarer. The copy on buckets can say no more than that: it compares the sizes of distances, and those of a count have few.
    pub fn judge(
        &self,
        at: EventTime,
        x: f64,
        side: Side,
        foretold: &Foretold,
        ln_by_law: Option<&dyn Fn() -> f64>,
    ) -> Claim {
        let of_block = |ln_p: f64| (-ln_p - LN_BLOCK).max(0.0);
        let of_tail = of_block(foretold.ln_tail);
        let Stage::Grown(copies) = &self.stage else {
            return Claim {
                nats: CHANNEL_WEIGHT * of_tail,
                ..Claim::default()
            };
        };
        let mut most = f64::INFINITY;
        let mut claim = copies.judge(at, x, side, foretold, of_tail, (most, 1.0));
        if let Some(ln_by_law) = ln_by_law.filter(|_| claim.nats > ASKED_OF_COUNTS_FROM) {
            most = of_block(ln_by_law());
            let by_law = copies.judge(at, x, side, foretold, of_tail, (most, 1.0));
            claim.nats = by_law.nats.max(ASKED_OF_COUNTS_FROM);
        }
        if claim.nats > ASKED_OF_HOURS_FROM && copies.hours.is_some() {
            let left = copies.judge(
                at,
                x,
                side,
                foretold,
                of_tail,
                (most, copies.share_left(at, x)),
            );
            claim.nats = claim.nats.min(left.nats.max(ASKED_OF_HOURS_FROM));
        }
        if claim.is_alone && claim.nats > ASKED_FROM {
            let borne_out = of_one_look(of_tail).max(claim.short).max(ASKED_FROM);
            if claim.nats > borne_out {
                let as_foretold = Foretold {
                    ln_tail: 0.0,
                    deviate: f64::INFINITY,
                    ..*foretold
                };
                let typical = foretold.typical;
                let of_forecast =
                    copies.judge(at, typical, side, &as_foretold, 0.0, (f64::INFINITY, 1.0));
                let of_forecast = of_forecast.nats;
                claim.nats = claim.nats.min(borne_out.max(of_forecast));
            }
        }
        claim
    }

    /// Learns `x`; `tail` is what [`judge`](Self::judge) was told of it, `claim` what it said if it was asked of this very value.
    pub fn learn(
        &mut self,
        at: EventTime,
        x: f64,
        kind: &Kind,
        tail: TailOf,
        claim: Option<&Claim>,
        room: &mut Room,
    ) {
        match &mut self.stage {
            Stage::First(values) => {
                let value = Early {
                    x,
                    bucket: Early::bucket_of(at, kind.span),
                    ln_tail: tail.ln_p as f32,
                };
                keep_first(values, value, room);
                if values.len() == UNIT_VALUES && room.grant(Copies::bytes_when_new(kind)) {
                    let mut copies = Copies::new(values, kind);
                    for early in values.iter() {
                        let then = early.at(at, kind.span);
                        let early_tail = TailOf {
                            ln_p: early.ln_tail.into(),
                            repeat_nats: f64::INFINITY,
                            deviate: f64::INFINITY,
                            ..tail
                        };
                        copies.learn(then, early.x, kind, early_tail, None, room);
                    }
                    self.stage = Stage::Grown(Box::new(copies));
                }
            }
            Stage::Grown(copies) => {
                let bytes = size_of::<Tail>();
                if tail.knows_more && copies.tail.is_none() && room.grant(bytes) {
                    copies.tail = Some(Box::default());
                }
                let judged = claim.and_then(|claim| claim.rows.as_ref());
                copies.learn(at, x, kind, tail, judged, room);
            }
        }
    }

    /// The distribution has come to know what it did not: what its tail claimed before is no measure of what it claims now.
    pub fn restart_tail(&mut self) {
        if let Stage::Grown(copies) = &mut self.stage
            && let Some(tail) = &mut copies.tail
        {
            **tail = Tail::default();
        }
    }

    /// What the tail has claimed was claimed in ignorance of what is known now; it is heard as before.
    pub fn forgive_tail(&mut self) {
        if let Stage::Grown(copies) = &mut self.stage
            && let Some(tail) = &mut copies.tail
        {
            tail.claims.forgive(BLOCK_BUCKETS);
        }
    }

    /// Days begin so many hours later from now on.
    pub fn turn(&mut self, hours: i8) {
        if let Stage::Grown(copies) = &mut self.stage {
            copies.profile.turn(hours);
        }
    }

    /// As [`SeriesModel::prefetch_parts`](super::SeriesModel::prefetch_parts).
    pub fn prefetch_parts(&self) {
        match &self.stage {
            Stage::First(values) => prefetch(values.as_slice()),
            Stage::Grown(copies) => prefetch(&**copies),
        }
    }

    /// As [`SeriesModel::prefetch_profile`](super::SeriesModel::prefetch_profile).
    pub fn prefetch_profile(&self, at: EventTime) {
        if let Stage::Grown(copies) = &self.stage {
            copies.profile.prefetch_parts(hour_of(at));
        }
    }

    /// Heap bytes.
    pub fn heap_bytes(&self) -> usize {
        match &self.stage {
            // By the rule that room is made by, not by what there is: a restored series may have less.
            Stage::First(values) => values.len().next_multiple_of(FIRST_CHUNK) * size_of::<Early>(),
            Stage::Grown(copies) => size_of::<Copies>() + copies.heap_bytes(),
        }
    }
}

/// One more of the first values; the oldest makes place for it where there is no room, or where there are all that decide the unit.
fn keep_first(values: &mut Vec<Early>, value: Early, room: &mut Room) {
    let full = values.len().is_multiple_of(FIRST_CHUNK);
    let chunk_bytes = FIRST_CHUNK * size_of::<Early>();
    if full && (values.len() == UNIT_VALUES || !room.grant(chunk_bytes)) {
        if values.is_empty() {
            return;
        }
        values.remove(0);
    }
    let places = (values.len() + 1).next_multiple_of(FIRST_CHUNK);
    if values.capacity() < places {
        values.reserve_exact(places - values.len());
    }
    values.push(value);
}

impl Default for EvidenceModel {
    fn default() -> EvidenceModel {
        EvidenceModel::new()
    }
}

impl Copies {
    /// Copies that have learnt nothing, with the scale of a series that began with these values.
    fn new(values: &[Early], kind: &Kind) -> Copies {
        let log = SymLog::of(values.iter().map(|early| early.x));
        let first = values.first().map_or(0.0, |early| log.of_value(early.x));
        Copies {
            scale: Scale { log, first },
            filling: HourMeans::default(),
            held: Held::default(),
            hours: (kind.span.millis() < HOUR_MS).then(Box::default),
            tail: kind.counting.then(|| {
                Box::new(Tail {
                    from_first: true,
                    ..Tail::default()
                })
            }),
            rows: Views::default(),
            short: ShortRange::default(),
            stillness: Stillness::default(),
            profile: Profile::default(),
        }
    }

    /// Bytes of copies that have learnt nothing yet.
    fn bytes_when_new(kind: &Kind) -> usize {
        size_of::<Copies>() + Copies::new(&[], kind).heap_bytes()
    }

    /// A value with what judging and learning it both need.
    fn row(&self, at: EventTime, x: f64, side: Side, repeat_nats: f64) -> Row {
        let season = SeasonView::of(&self.profile, hour_of(at));
        let y = self.scale.of_value(x) as f32;
        let short = Some((&self.short, repeat_nats));
        let surprise = self.rows.judge(y, &season, side, short);
        Row {
            y,
            season,
            surprise,
        }
    }

    fn nearness(&self, y: f32, deviate: f64) -> Nearness {
        Nearness {
            deviate,
            step: self.rows.step_to(y),
        }
    }

    /// The share of what the hour before claims that is left against `x`: all of it from half-way between what is usual and the mean of that hour on, and nothing of a usual value.
    /// But where the bucket before was farther out than that hour, so much of the hour was usual itself, and its share is left: spikes have such values between them.
    fn share_left(&self, at: EventTime, x: f64) -> f64 {
        let held = self.held.within(hour_of(at));
        let Some(hours) = self.hours.as_ref().filter(|_| held.speaks) else {
            return 1.0;
        };
        let then = SeasonView::of(&self.profile, held.hour.into());
        let now = SeasonView::of(&self.profile, hour_of(at));
        let y = self.scale.of_value(x) as f32;
        let [own, last] = [y, self.rows.last()].map(|y| hours.on_the_way_to_last(y, &now, &then));
        let between = 1.0 - 1.0 / last.max(1.0);
        (2.0 * own).clamp(between, 1.0)
    }

    /// `most`: what the copy on buckets can say by its slow views; the share of what the hour says that is heard.
    fn judge(
        &self,
        at: EventTime,
        x: f64,
        side: Side,
        foretold: &Foretold,
        of_tail: f64,
        (most, share): (f64, f64),
    ) -> Claim {
        let row = self.row(at, x, side, foretold.repeat_nats);
        let surprise = &row.surprise;
        let mut slow = if surprise.speaks() {
            surprise.slow.min(most)
        } else {
            of_tail
        };
        let (mut novelty, mut copies) = (surprise.novelty.unwrap_or(0.0), 1.0);
        let (mut of_bucket, of_bucket_novelty) = (slow, novelty);
        let mut is_alone = true;
        if self.hours.is_some() {
            let held = self.held.within(hour_of(at));
            is_alone = !held.speaks;
            if held.speaks && surprise.speaks() {
                slow = (slow + share * f64::from(held.slow)) / 2.0;
            }
            of_bucket /= 2.0;
            novelty = (novelty + share * f64::from(held.novelty)) / 2.0;
            copies = 2.0;
        }
        let still = match side {
            Side::Both => self
                .stillness
                .evidence(self.nearness(row.y, foretold.deviate)),
            _ => 0.0,
        };
        let short = surprise.short.max(still);
        let [views, of_bucket] = [slow, of_bucket].map(|slow| slow.max(short).max(0.0));
        let tail = self.tail.as_ref();
        let tail = tail.map_or(0.0, |tail| tail.evidence(foretold.ln_tail, of_bucket));
        Claim {
            nats: CHANNEL_WEIGHT * views.max(tail) + copies * NOVELTY_NATS * novelty,
            of_bucket: CHANNEL_WEIGHT * of_bucket.max(tail) + NOVELTY_NATS * of_bucket_novelty,
            is_alone,
            short: CHANNEL_WEIGHT * short,
            of_run: CHANNEL_WEIGHT * still.max(if surprise.of_run { surprise.short } else { 0.0 }),
            rows: Some(row),
        }
    }

    fn learn(
        &mut self,
        at: EventTime,
        x: f64,
        kind: &Kind,
        tail_of: TailOf,
        judged: Option<&Row>,
        room: &mut Room,
    ) {
        let (span, side) = (kind.span, kind.side);
        if let Some(tail) = &mut self.tail {
            tail.claims.learn(-tail_of.ln_p, BLOCK_BUCKETS, room);
        }
        let Row {
            y,
            season,
            surprise,
        } = judged
            .copied()
            .unwrap_or_else(|| self.row(at, x, side, tail_of.repeat_nats));
        // Of counts, and where one side counts, it is never asked.
        if kind.side == Side::Both && !kind.counting {
            self.stillness.learn(self.nearness(y, tail_of.deviate));
        }
        let (judged, short) = (
            Some(&surprise),
            Some((&mut self.short, tail_of.repeat_nats)),
        );
        self.rows
            .learn(y, &season, side, BLOCK_BUCKETS, judged, short);
        for over in self.filling.push(at, y.into(), span).into_iter().flatten() {
            self.learn_hour(over, kind);
            self.profile.learn(over.hour, over.mean, room);
        }
    }

    fn learn_hour(&mut self, over: HourMean, kind: &Kind) {
        let Some(hours) = &mut self.hours else {
            return;
        };
        let (mean, side) = (over.mean as f32, kind.side);
        let season = SeasonView::of(&self.profile, over.hour);
        let surprise = hours.judge(mean, &season, side, None);
        let block_hours = i64::from(BLOCK_BUCKETS) * kind.span.millis() / HOUR_MS;
        let block_hours = block_hours.max(1) as u32;
        hours.learn(mean, &season, side, block_hours, Some(&surprise), None);
        self.held = Held {
            slow: surprise.slow as f32,
            novelty: surprise.novelty.unwrap_or(0.0) as f32,
            hour: over.hour as i32,
            speaks: surprise.speaks(),
        };
    }

    fn heap_bytes(&self) -> usize {
        let hours = self.hours.as_ref().map_or(0, |_| size_of::<Views>());
        let tail = self.tail.as_ref();
        let tail = tail.map_or(0, |_| size_of::<Tail>());
        hours + tail + self.profile.heap_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Law;
    use super::*;
    use crate::time::BucketSpan;

    const MINUTE_MS: i64 = 60_000;

    fn kind(minutes: i64) -> Kind {
        Kind {
            side: Side::Both,
            counting: false,
            law: Law::Plain,
            joined: false,
            span: BucketSpan::from_seconds(60 * minutes).unwrap(),
        }
    }

    #[test]
    fn the_scale_is_finite_and_grows_over_all_sizes() {
        for unit in [1e-300, 1e-3, 1.0, 1e30] {
            let scale = SymLog::of([unit; 24].into_iter());
            let sizes = [0.0, 1e-300, 1e-30, 1.0, 1e10, 1e30];
            let values: Vec<f64> = sizes.iter().map(|&x| scale.of_value(x)).collect();
            assert!(
                values.is_sorted() && values.iter().all(|y| y.is_finite()),
                "unit {unit}: {values:?}"
            );
            assert_eq!(scale.of_value(-7.0), -scale.of_value(7.0));
        }
    }

    #[test]
    fn what_an_hour_showed_is_held_for_the_next_hour_and_not_for_days() {
        let kind = kind(5);
        let mut model = EvidenceModel::new();
        let mut at = EventTime(0);
        let mut learn = |model: &mut EvidenceModel, x: f64| {
            let tail = TailOf {
                ln_p: 0.0,
                knows_more: false,
                repeat_nats: f64::INFINITY,
                deviate: f64::INFINITY,
            };
            model.learn(at, x, &kind, tail, None, &mut Room::unlimited());
            at = EventTime(at.millis() + 5 * MINUTE_MS);
            at
        };
        // Two weeks of noise without pattern, and an hour far beyond it.
        let mut state = 1u64;
        for _ in 0..14 * 288 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            learn(&mut model, 100.0 + (state >> 60) as f64);
        }
        let next = (0..12).map(|_| learn(&mut model, 400.0)).last().unwrap();
        let foretold = Foretold {
            typical: 107.0,
            ln_tail: 0.0,
            repeat_nats: f64::INFINITY,
            deviate: f64::INFINITY,
        };
        let nats = |at: EventTime, x: f64| model.judge(at, x, Side::Both, &foretold, None).nats;
        let later = EventTime(next.millis() + 3 * 24 * HOUR_MS);
        let (held, alone) = (nats(next, 400.0), nats(later, 400.0));
        assert!(
            alone < held - 1.0,
            "the hour before shows in this one, {held}; three days later {alone}"
        );
        let Stage::Grown(copies) = &model.stage else {
            panic!("grown after {UNIT_VALUES} values")
        };
        let held = |at| copies.held.within(hour_of(at));
        assert!(held(next).speaks && !held(later).speaks);
        let left = [400.0, 250.0, 107.0].map(|x| copies.share_left(next, x));
        assert!(
            left[0] == 1.0 && left[1] == 1.0 && left[2] < 0.05,
            "{left:?}"
        );
    }

    #[test]
    fn one_look_is_as_rare_as_the_mean_of_two_that_it_is_turned_into() {
        for tenths in 0..400 {
            let nats = f64::from(tenths) / 10.0;
            let mean = of_one_look(nats) / CHANNEL_WEIGHT;
            let chance = 2.0 * mean - (2.0 * mean).ln_1p();
            assert!((chance - nats).abs() < 0.06, "{nats} nats: {chance}");
            let back = as_one_look(of_one_look(nats));
            assert!((back - nats).abs() < 0.06, "{nats} nats: {back}");
        }
    }

    #[test]
    fn a_copy_that_is_alone_is_borne_out_by_the_distribution_or_by_the_forecast_itself() {
        let kind = kind(60);
        let mut model = EvidenceModel::new();
        let at = |hour: i64| EventTime(hour * HOUR_MS + HOUR_MS / 2);
        let mut state = 1u64;
        for hour in 0..40 * 24 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let x = 100.0 + (state >> 60) as f64;
            let tail = TailOf {
                ln_p: 0.0,
                knows_more: false,
                repeat_nats: f64::INFINITY,
                deviate: f64::INFINITY,
            };
            let room = &mut Room::unlimited();
            model.learn(at(hour), x, &kind, tail, None, room);
        }
        let nats = |typical: f64, ln_p: f64| {
            let foretold = Foretold {
                typical,
                ln_tail: ln_p,
                repeat_nats: f64::INFINITY,
                deviate: f64::INFINITY,
            };
            let claim = model.judge(at(40 * 24), 122.0, Side::Both, &foretold, None);
            claim.nats
        };
        let [unheard_of, rare, usual] = [-60.0, -8.0, -1.0].map(|ln_p| nats(107.0, ln_p));
        assert!(
            unheard_of > 3.0 && rare < 3.0 && usual <= ASKED_FROM,
            "{unheard_of}, {rare}, {usual}"
        );
        let drifted = nats(122.0, -1.0);
        assert!(drifted == unheard_of, "{drifted} of {unheard_of}");
    }
}
