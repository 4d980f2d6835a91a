//! The members of a population against one another: what values one attribute has among those who show it.
//!
//! No member has a model of its own. The crowd keeps a histogram of how far its members were from where the crowd stood in their bucket, on a
//! scale that is logarithmic far from zero ([`SymLog`]), older buckets counting for less (half as much after a week, or [`HALF_LIFE_BUCKETS_MIN`]
//! buckets). Where the crowd stands is the mean of its members' values but for the tenth on either side, drawn to where it stands as a rule by as much as
//! chance would move the mean of so few, against as much as the crowd is known to move (the best linear prediction of a random effect; Robinson,
//! Statistical Science 6, 1991): so the hour of the day, which moves all, moves nobody against the others, and an odd one among three does not either.
//!
//! `p` of a value at least so high (or low) is the share of the histogram beyond it; among the outermost `k = √N` of `N` values, where shares say little, the
//! excess over the k-th is exponential with the mean seen, as the predictive distribution after `k` values has it:
//! `p = k/N · (1 + x/(k·m))^-k`. On this scale that is a power law of the values (Hill, Annals of Statistics 3, 1975; Pickands, ibid.).
//! What members show in one bucket may have one reason, and then is one witness of how far values go: the exponent is the number of buckets where
//! that is less than `k` (the worst case of a cluster sample: Kish, Survey Sampling, 1965, 5.4). So a population of many is known sooner than one of few, and none from one bucket.
//!
//! A member under suspicion teaches that it was out there, and not how far: its value counts at the outermost that others have shown, and as one that was cut off there (the mean of an
//! exponential with cut-off values is the sum of all over the number of the others; Epstein and Sobel, JASA 48, 1953). Were suspects left out, the tail would wear down: by chance
//! alone somebody is suspected in some thirty buckets, what is then fitted is shorter, and more are suspected.
//!
//! Holds: the order of members does not show; equal crowds have equal bytes; `ln p` is finite, at most 0, and never grows as a value goes out.
//! Checked: tests below, tests/population.rs (calibration).

use super::evidence::SymLog;
use crate::config::Side;
use crate::time::{BucketSpan, BucketStart};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::f64::consts::LN_2;

/// A value counts half as much after so many buckets...
const HALF_LIFE_BUCKETS_MIN: f64 = 500.0;
/// ...or so long, if that is longer: a week.
const HALF_LIFE_MS_MIN: f64 = 7.0 * 86_400_000.0;
/// Weights are brought back to size when a new value weighs so much, 2^20.
const GAIN_MAX: f64 = 1_048_576.0;
/// The scale is decided by so many values; nothing is said before.
const SCALE_VALUES: usize = 64;
/// Bins between the 10th and the 90th percentile of those, within their buckets.
const BINS_WITHIN: f64 = 32.0;
/// The widest bin at first, and that of values which are all alike.
const WIDTH_MAX: f64 = 0.125;
/// Beyond so many bins two become one.
const BINS_MAX: usize = 512;
/// Left out on either side when the crowd's place is taken.
const TRIMMED_SHARE: f64 = 0.1;
/// How fast the usual place is followed, a bucket.
const PLACE_GAIN: f64 = 0.05;
/// The fewest outermost values that a tail is fitted to.
const TAIL_MIN: f64 = 10.0;
/// Of the outermost values, no more than this share counts as cut off.
const CUT_OFF_SHARE_MAX: f64 = 0.5;

/// One value of one member in a bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shown {
    /// The value, finite.
    pub value: f64,
    /// Whether its member is under suspicion: it does not teach how far out somebody may be.
    pub suspect: bool,
}

/// What is known of one attribute.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Crowd {
    /// When a value weighed 1.
    origin: BucketStart,
    state: State,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum State {
    /// The first values, bucket by bucket, sorted within.
    First(Vec<Vec<f64>>),
    Known(Histogram),
    /// Of distances from zero, which does not move.
    Still(Histogram),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Histogram {
    scale: SymLog,
    /// Width of a bin on the scale.
    width: f64,
    /// Weight by bin; bin `i` is around `i · width` from where the crowd stood.
    bins: BTreeMap<i32, f32>,
    /// Sum of the weights.
    total: f64,
    /// Weight of the buckets that they came in, of one value each.
    buckets: f64,
    /// Weight of the values that were cut off at the low and at the high end.
    cut_off: [f64; 2],
    /// Where the crowd stands as a rule, on the scale.
    place: f64,
    /// How far it moves from there (variance, beyond chance)...
    wander: f64,
    /// ...and how far its members are apart (variance, the tenth on either side left out).
    within: f64,
}

/// A crowd in one bucket: what it says of its members.
pub struct Frame<'c> {
    histogram: &'c Histogram,
    /// Where it stands now, on the scale...
    place: f64,
    /// ...give or take twice its standard error, in bins.
    doubt: f64,
    /// By bin, in order: the weight up to and with it.
    below: Vec<(i32, f64)>,
    high: Tail,
    low: Tail,
    /// Values, as they count now, and the buckets that they came in.
    count: f64,
    buckets: f64,
}

/// The outermost values on one side; distances grow outwards.
#[derive(Clone, Copy, Debug)]
struct Tail {
    /// Where it begins, in bins.
    from: f64,
    /// How many values are there.
    count: f64,
    /// Their mean excess, in bins.
    mean_excess: f64,
}

impl Crowd {
    /// A crowd that nothing is known of.
    pub fn new(at: BucketStart) -> Crowd {
        Crowd {
            origin: at,
            state: State::First(Vec::new()),
        }
    }

    /// A crowd of distances from zero, in bins of this width: nobody moves them all, and beyond the outermost they grow rare exponentially.
    pub fn of_distances(at: BucketStart, width: f64) -> Crowd {
        let scale = SymLog::even();
        Crowd {
            origin: at,
            state: State::Still(Histogram::new(scale, scale.of_value(width))),
        }
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self, bin_bytes: usize) -> usize {
        match &self.state {
            State::First(buckets) => {
                let values: usize = buckets.iter().map(Vec::len).sum();
                let places = buckets.len().next_power_of_two().max(4); // as a growing list takes them
                places * size_of::<Vec<f64>>() + values * size_of::<f64>()
            }
            State::Known(histogram) | State::Still(histogram) => histogram.bins.len() * bin_bytes,
        }
    }

    /// The most bytes on the heap.
    pub fn bytes_max(bin_bytes: usize) -> u64 {
        (BINS_MAX * bin_bytes) as u64
    }

    /// How many values have been seen, as they count in the bucket at `at`.
    pub fn count(&self, at: BucketStart, span: BucketSpan) -> f64 {
        match &self.state {
            State::First(buckets) => buckets.iter().map(Vec::len).sum::<usize>() as f64,
            State::Known(histogram) | State::Still(histogram) => {
                histogram.total / self.gain(at, span)
            }
        }
    }

    /// What its members show as a rule; `None` while too little is known.
    pub fn usual(&self) -> Option<f64> {
        match &self.state {
            State::First(_) => None,
            State::Known(histogram) | State::Still(histogram) => {
                Some(histogram.scale.value_of(histogram.place))
            }
        }
    }

    fn gain(&self, at: BucketStart, span: BucketSpan) -> f64 {
        let age_ms = (at.millis() - self.origin.millis()) as f64;
        let half_life_ms = HALF_LIFE_MS_MIN.max(HALF_LIFE_BUCKETS_MIN * span.millis() as f64);
        (age_ms / half_life_ms).exp2()
    }

    /// The crowd in the bucket at `at`, whose members show `values` (sorted); `None` while too little is known.
    pub fn frame(&self, values: &[f64], at: BucketStart, span: BucketSpan) -> Option<Frame<'_>> {
        match &self.state {
            State::First(_) => None,
            State::Known(histogram) | State::Still(histogram) => {
                Some(Frame::new(histogram, values, self.gain(at, span)))
            }
        }
    }

    /// Takes in the distances of a bucket, sorted, and so many that are zero; only of a crowd [of distances](Self::of_distances).
    pub fn learn_distances(
        &mut self,
        zeros: usize,
        shown: &[Shown],
        at: BucketStart,
        span: BucketSpan,
    ) {
        self.bring_to_size(at, span);
        let gain = self.gain(at, span);
        if let State::Still(histogram) = &mut self.state {
            let ends = histogram.ends();
            if zeros > 0 {
                histogram.add(0, zeros as f64 * gain);
            }
            histogram.take(shown, 0.0, ends, gain);
            histogram.buckets += gain;
            histogram.widen();
        }
    }

    /// Takes in what the members of the bucket at `at` showed, sorted by value. Never fails; grows by less than [`BINS_MAX`] bins.
    pub fn learn(&mut self, shown: &[Shown], at: BucketStart, span: BucketSpan) {
        if shown.is_empty() {
            return;
        }
        self.bring_to_size(at, span);
        let gain = self.gain(at, span);
        match &mut self.state {
            State::First(first) => {
                first.push(shown.iter().map(|one| one.value).collect());
                if first.iter().map(Vec::len).sum::<usize>() >= SCALE_VALUES {
                    self.state = State::Known(Histogram::of(first, gain));
                }
            }
            State::Known(histogram) | State::Still(histogram) => histogram.learn(shown, gain),
        }
    }

    fn bring_to_size(&mut self, at: BucketStart, span: BucketSpan) {
        let gain = self.gain(at, span);
        if gain < GAIN_MAX {
            return;
        }
        if let State::Known(histogram) | State::Still(histogram) = &mut self.state {
            let down = gain.recip();
            for weight in histogram.bins.values_mut() {
                *weight = (f64::from(*weight) * down) as f32;
            }
            histogram.bins.retain(|_, weight| *weight > 0.0);
            histogram.total = histogram.bins.values().map(|&one| f64::from(one)).sum();
            histogram.buckets *= down;
            histogram.cut_off.iter_mut().for_each(|one| *one *= down);
        }
        self.origin = at;
    }
}

impl Histogram {
    /// An empty one that stands at zero.
    fn new(scale: SymLog, width: f64) -> Histogram {
        Histogram {
            scale,
            width,
            bins: BTreeMap::new(),
            total: 0.0,
            buckets: 0.0,
            cut_off: [0.0; 2],
            place: 0.0,
            wander: 0.0,
            within: 0.0,
        }
    }

    /// The histogram of the first values, bucket by bucket.
    fn of(buckets: &[Vec<f64>], gain: f64) -> Histogram {
        let values = || buckets.iter().flatten().copied();
        let scale = SymLog::of(values().collect::<Vec<f64>>().into_iter());
        let on_scale =
            |bucket: &Vec<f64>| -> Vec<f64> { bucket.iter().map(|&x| scale.of_value(x)).collect() };
        let mut all: Vec<f64> = buckets.iter().flat_map(on_scale).collect();
        all.sort_by(f64::total_cmp);
        let mut apart: Vec<f64> = buckets
            .iter()
            .map(on_scale)
            .flat_map(|bucket| {
                let place = trimmed_mean(&bucket);
                bucket.into_iter().map(move |y| y - place)
            })
            .collect();
        apart.sort_by(f64::total_cmp);
        // Members are apart as they are within a bucket; where buckets have one member each, as all are.
        let widths = [&apart, &all].map(|sorted| middle_range(sorted) / BINS_WITHIN);
        let width = widths.into_iter().find(|&width| width > 0.0);
        let within = trimmed_variance(if widths[0] > 0.0 { &apart } else { &all });
        let mut histogram = Histogram {
            place: trimmed_mean(&all),
            // Until it is known, as far as members are apart: the bucket at hand is trusted.
            wander: within,
            within,
            ..Histogram::new(scale, width.map_or(WIDTH_MAX, |width| width.min(WIDTH_MAX)))
        };
        for bucket in buckets {
            let shown = |&value: &f64| Shown {
                value,
                suspect: false,
            };
            histogram.learn(&bucket.iter().map(shown).collect::<Vec<Shown>>(), gain);
        }
        histogram
    }

    /// Where the crowd stands in a bucket with these values (sorted), on the scale.
    fn place_of(&self, on_scale: &[f64]) -> f64 {
        if on_scale.is_empty() {
            return self.place;
        }
        self.place + self.drawn(on_scale.len()) * (trimmed_mean(on_scale) - self.place)
    }

    /// By what share of the way a bucket of so many members draws the place, 0..=1.
    fn drawn(&self, members: usize) -> f64 {
        let chance = self.within / members as f64;
        let moves = self.wander.max(0.0);
        match moves + chance {
            whole if whole > 0.0 => moves / whole,
            _ => 1.0,
        }
    }

    /// The standard error of the place in a bucket of so many members.
    fn error_of_place(&self, members: usize) -> f64 {
        (self.drawn(members) * self.within / members as f64).sqrt()
    }

    fn learn(&mut self, shown: &[Shown], gain: f64) {
        let on_scale: Vec<f64> = shown
            .iter()
            .map(|one| self.scale.of_value(one.value))
            .collect();
        let place = self.place_of(&on_scale);
        self.take(shown, place, self.ends(), gain);
        if !on_scale.is_empty() {
            self.buckets += gain;
            let n = on_scale.len() as f64;
            let moved = trimmed_mean(&on_scale) - self.place;
            self.wander += PLACE_GAIN * (moved * moved - self.within / n - self.wander);
            if on_scale.len() > 1 {
                self.within += PLACE_GAIN * (trimmed_variance(&on_scale) - self.within);
            }
            self.place += PLACE_GAIN * moved;
        }
        self.widen();
    }

    /// The outermost bins.
    fn ends(&self) -> Option<(i32, i32)> {
        let (first, last) = (self.bins.first_key_value()?, self.bins.last_key_value()?);
        Some((*first.0, *last.0))
    }

    fn add(&mut self, bin: i32, weight: f64) {
        *self.bins.entry(bin).or_insert(0.0) += weight as f32;
        self.total += weight;
    }

    /// Adds values to the bins around `place`, suspects within those that others have come to.
    fn take(&mut self, shown: &[Shown], place: f64, known: Option<(i32, i32)>, gain: f64) {
        for one in shown {
            let mut bin = bin_of(self.scale.of_value(one.value) - place, self.width);
            if let Some((first, last)) = known.filter(|_| one.suspect) {
                self.cut_off[0] += if bin < first { gain } else { 0.0 };
                self.cut_off[1] += if bin > last { gain } else { 0.0 };
                bin = bin.clamp(first, last);
            }
            self.add(bin, gain);
        }
    }

    /// Wider bins, where there are too many.
    fn widen(&mut self) {
        while self.bins.len() > BINS_MAX {
            let mut wider = BTreeMap::new();
            for (bin, weight) in &self.bins {
                *wider.entry(bin.div_euclid(2)).or_insert(0.0) += weight;
            }
            self.bins = wider;
            self.width *= 2.0;
        }
    }
}

fn bin_of(distance: f64, width: f64) -> i32 {
    (distance / width).round() as i32 // saturates
}

/// From the 10th to the 90th percentile of sorted values.
fn middle_range(sorted: &[f64]) -> f64 {
    let at = |share: f64| sorted[(share * (sorted.len() - 1) as f64).round() as usize];
    at(0.9) - at(0.1)
}

/// The mean of sorted values but for the tenth on either side.
fn trimmed_mean(sorted: &[f64]) -> f64 {
    let left_out = (TRIMMED_SHARE * sorted.len() as f64) as usize;
    let kept = &sorted[left_out..sorted.len() - left_out];
    kept.iter().sum::<f64>() / kept.len() as f64
}

/// The variance of sorted values but for the tenth on either side.
fn trimmed_variance(sorted: &[f64]) -> f64 {
    let left_out = (TRIMMED_SHARE * sorted.len() as f64) as usize;
    let kept = &sorted[left_out..sorted.len() - left_out];
    let mean = trimmed_mean(sorted);
    kept.iter().map(|y| (y - mean) * (y - mean)).sum::<f64>() / kept.len() as f64
}

impl<'c> Frame<'c> {
    fn new(histogram: &'c Histogram, values: &[f64], gain: f64) -> Frame<'c> {
        let on_scale: Vec<f64> = values
            .iter()
            .map(|&x| histogram.scale.of_value(x))
            .collect();
        let mut sum = 0.0;
        let below: Vec<(i32, f64)> = histogram
            .bins
            .iter()
            .map(|(&bin, &weight)| {
                sum += f64::from(weight) / gain;
                (bin, sum)
            })
            .collect();
        let weights = histogram.bins.iter();
        let weights = weights.map(|(&bin, &weight)| (f64::from(bin), f64::from(weight) / gain));
        Frame {
            histogram,
            place: histogram.place_of(&on_scale),
            doubt: 2.0 * histogram.error_of_place(on_scale.len().max(1)) / histogram.width,
            high: Tail::of(weights.clone().rev(), sum, histogram.cut_off[1] / gain),
            low: Tail::of(
                weights.map(|(bin, weight)| (-bin, weight)),
                sum,
                histogram.cut_off[0] / gain,
            ),
            below,
            count: sum,
            buckets: histogram.buckets / gain,
        }
    }

    /// What is usual here.
    pub fn typical(&self) -> f64 {
        self.histogram.scale.value_of(self.place)
    }

    /// Between which values this share of the members is, around what is usual: as many of the others are below as above.
    pub fn range(&self, share: f64) -> (f64, f64) {
        let beyond = 0.5 * (1.0 - share) * self.count;
        let value = |at: usize| {
            let bin = self.below.get(at).map_or(0, |&(bin, _)| bin);
            let place = self.place + f64::from(bin) * self.histogram.width;
            self.histogram.scale.value_of(place)
        };
        let low = self.below.partition_point(|&(_, below)| below <= beyond);
        let high = self
            .below
            .partition_point(|&(_, below)| below < self.count - beyond);
        let last = self.below.len().saturating_sub(1);
        let typical = self.typical();
        (
            value(low.min(last)).min(typical),
            value(high.min(last)).max(typical),
        )
    }

    /// ln of the chance that a member shows a value at least so far out on `side`; on both, the smaller twice.
    pub fn ln_probability(&self, value: f64, side: Side) -> f64 {
        let distance = self.histogram.scale.of_value(value) - self.place;
        let bin = distance / self.histogram.width;
        match side {
            Side::High => self.ln_beyond(bin),
            Side::Low => self.ln_short_of(bin),
            Side::Both => (self.ln_beyond(bin).min(self.ln_short_of(bin)) + LN_2).min(0.0),
        }
    }

    /// At least so high.
    fn ln_beyond(&self, bin: f64) -> f64 {
        let whole = bin.round();
        let at = self
            .below
            .partition_point(|&(one, _)| f64::from(one) < whole);
        let below = at.checked_sub(1).map_or(0.0, |before| self.below[before].1);
        self.high.ln_probability(bin, self.count - below, self)
    }

    /// At most so high.
    fn ln_short_of(&self, bin: f64) -> f64 {
        let whole = bin.round();
        let at = self
            .below
            .partition_point(|&(one, _)| f64::from(one) <= whole);
        let short = at.checked_sub(1).map_or(0.0, |before| self.below[before].1);
        self.low.ln_probability(-bin, short, self)
    }
}

impl Tail {
    /// Of (distance outwards, weight), the outermost first, of `total` weight, of which so much was cut off.
    fn of(outwards: impl Iterator<Item = (f64, f64)> + Clone, total: f64, cut_off: f64) -> Tail {
        let wanted = total.sqrt().max(TAIL_MIN);
        let (mut count, mut from) = (0.0, 0.0);
        let mut taken = 0;
        let mut inwards = outwards.clone();
        for (distance, weight) in inwards.by_ref() {
            (count, from, taken) = (count + weight, distance, taken + 1);
            if count >= wanted {
                break;
            }
        }
        // Values are no finer than they come: of whole numbers the next is one step away, however many bins that is.
        let step = inwards.next().map_or(1.0, |(next, _)| from - next);
        let excess: f64 = outwards
            .take(taken)
            .map(|(distance, weight)| (distance - from) * weight)
            .sum();
        let whole = count - cut_off.min(CUT_OFF_SHARE_MAX * count);
        Tail {
            from,
            count,
            mean_excess: (excess / whole.max(1.0)).max(0.5 * step),
        }
    }

    /// `beyond` is the weight of values at least as far out as this one.
    fn ln_probability(&self, distance: f64, beyond: f64, frame: &Frame<'_>) -> f64 {
        let ln_share = |weight: f64| ((weight + 0.5) / (frame.count + 1.0)).min(1.0).ln();
        if beyond > self.count || distance <= self.from {
            return ln_share(beyond);
        }
        // Out there, only what is certain counts: the crowd may stand nearer.
        let certain = (distance - self.from - frame.doubt).max(0.0);
        let witnesses = self.count.min(frame.buckets).max(1.0);
        let excess = certain / (witnesses * self.mean_excess);
        let ln_tail = ln_share(self.count) - witnesses * excess.ln_1p();
        ln_tail.max(f64::MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::{Rng, SeedableRng};

    fn span() -> BucketSpan {
        BucketSpan::from_seconds(900).expect("a span")
    }

    fn at(bucket: i64) -> BucketStart {
        BucketStart(bucket * 900_000)
    }

    fn uniform(random: &mut ChaCha8Rng) -> f64 {
        (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Shares of p below .1, .01 and .001 after half of the buckets, of members that all draw alike.
    fn shares(members: usize, draw: impl Fn(f64, i64) -> f64, side: Side) -> [f64; 3] {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let mut crowd = Crowd::new(at(0));
        let (mut below, mut all) = ([0.0; 3], 0.0);
        for bucket in 0..(60_000 / members as i64).max(400) {
            let mut values: Vec<f64> = (0..members)
                .map(|_| draw(uniform(&mut random), bucket))
                .collect();
            values.sort_by(f64::total_cmp);
            if let Some(frame) = crowd
                .frame(&values, at(bucket), span())
                .filter(|_| bucket >= 200)
            {
                for &value in &values {
                    let ln_p = frame.ln_probability(value, side);
                    assert!(ln_p <= 0.0 && ln_p.is_finite());
                    all += 1.0;
                    for (count, a) in below.iter_mut().zip([0.1f64, 0.01, 0.001]) {
                        *count += f64::from(u8::from(ln_p < a.ln()));
                    }
                }
            }
            let shown: Vec<Shown> = values
                .iter()
                .map(|&value| Shown {
                    value,
                    suspect: false,
                })
                .collect();
            crowd.learn(&shown, at(bucket), span());
        }
        below.map(|count| count / all)
    }

    #[test]
    fn chances_are_what_they_say_for_light_and_heavy_tails_and_a_crowd_that_moves() {
        let day = |bucket: i64| (bucket as f64 * std::f64::consts::TAU / 96.0).sin();
        type Draw = fn(f64, i64) -> f64;
        let exponential: Draw = |u, _| -(1.0 - u).ln() * 40.0;
        let pareto: Draw = |u, _| (1.0 - u).powf(-0.8);
        let narrow: Draw = |u, _| 1000.0 + u + (7.0 * u).sin();
        for (name, draw) in [
            ("exponential", exponential),
            ("pareto", pareto),
            ("narrow", narrow),
        ] {
            for members in [30, 300] {
                for side in [Side::High, Side::Both] {
                    let moving = |u: f64, bucket: i64| draw(u, bucket) * (1.0 + 0.5 * day(bucket));
                    let found = shares(members, moving, side);
                    for (share, a) in found.iter().zip([0.1, 0.01, 0.001]) {
                        assert!(*share < 2.0 * a, "{name} {members} {side:?}: {found:?}");
                    }
                    assert!(found[0] > 0.05, "{name} {members} {side:?}: {found:?}");
                }
            }
        }
    }

    #[test]
    fn the_further_out_the_less_likely_and_a_suspect_hardly_teaches() {
        let mut crowd = Crowd::new(at(0));
        for bucket in 0..100 {
            let shown: Vec<Shown> = (0..50)
                .map(|i| Shown {
                    value: f64::from(10 + i % 7),
                    suspect: false,
                })
                .collect();
            crowd.learn(&shown, at(bucket), span());
        }
        let ln_p = |crowd: &Crowd, x: f64| {
            let frame = crowd
                .frame(&[10.0, 13.0, 16.0], at(100), span())
                .expect("known");
            frame.ln_probability(x, Side::High)
        };
        let all: Vec<f64> = (0..60).map(|i| ln_p(&crowd, 1.3f64.powi(i))).collect();
        assert!(all.is_sorted_by(|a, b| a >= b), "{all:?}");
        assert!(all[20] < -10.0, "{all:?}");
        let before = ln_p(&crowd, 400.0);
        for bucket in 100..110 {
            crowd.learn(
                &[Shown {
                    value: 400.0,
                    suspect: true,
                }],
                at(bucket),
                span(),
            );
        }
        assert!(ln_p(&crowd, 400.0) < before / 2.0);
    }

    #[test]
    fn what_one_bucket_shows_is_one_witness_however_many_members_it_has() {
        let ln_p = |buckets: i64, members: i64| {
            let mut random = ChaCha8Rng::seed_from_u64(5);
            let mut crowd = Crowd::new(at(0));
            for bucket in 0..buckets {
                let mut shown: Vec<Shown> = (0..members)
                    .map(|_| Shown {
                        value: 1.0 + (5.0 * uniform(&mut random)).floor(),
                        suspect: false,
                    })
                    .collect();
                shown.sort_by(|a, b| a.value.total_cmp(&b.value));
                crowd.learn(&shown, at(bucket), span());
            }
            let usual: Vec<f64> = (1..=5).map(f64::from).collect();
            let frame = crowd.frame(&usual, at(buckets), span()).expect("known");
            frame.ln_probability(75.0, Side::High)
        };
        let (one, few, many) = (ln_p(1, 900), ln_p(6, 150), ln_p(30, 30));
        assert!(one > few + 2.0 && few > many + 2.0, "{one} {few} {many}");
    }
}
