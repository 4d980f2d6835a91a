//! A multiset of doubles from which medians and other quantiles can be asked, in bounded space.
//!
//! Up to [`EXACT_MAX`] distinct values it is the multiset itself. Beyond that, values are counted in bins whose width grows with their
//! magnitude (DDSketch: Masson, Rim and Lee, VLDB 2019), so that a quantile is off by at most [`RELATIVE_ERROR`] of itself. Where more
//! than [`BINS_MAX`] bins of one sign would be needed (magnitudes more than e^20 apart), the smallest magnitudes share the last bin.
//!
//! Bin edges are cubic in the mantissa (§2 there, "interpolated" mappings), so a bin is found with nothing but IEEE additions and
//! multiplications, and is the same on every machine, which logarithms do not promise.
//!
//! Holds: the state is a function of the multiset alone (until something is subtracted): order, grouping and merging do not show in it,
//! nor in its bytes. Equal states, equal bytes. Never NaN. Checked: sorted samples, permutations and splits in the properties below.

use serde::{Deserialize, Serialize, Serializer};
use std::cmp::Ordering;

/// Distinct values that are kept as they are.
pub const EXACT_MAX: usize = 64;
/// Bins of one sign, between the smallest and the largest.
pub const BINS_MAX: usize = 2048;
/// Largest relative error of a quantile that falls into a bin that was not collapsed.
pub const RELATIVE_ERROR: f64 = 0.005;

/// Bins in each octave. `octave + P(mantissa - 1)` grows by 10/7 or more for each e-fold, so a bin spans a factor of at most
/// exp(0.7 / 70) = e^0.01, and its middle is off by tanh(0.005) < 0.005.
const BINS_PER_OCTAVE: i32 = 70;

/// A mergeable multiset of finite numbers.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(try_from = "State")]
pub struct QuantileSketch {
    state: State,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum State {
    /// Value and how often, sorted, at most [`EXACT_MAX`].
    Exact(Vec<(f64, u64)>),
    Binned(Box<Bins>),
}

/// How many values lie in each bin.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Bins {
    /// By bin of the magnitude, sorted.
    negative: Vec<(i32, u64)>,
    zero: u64,
    positive: Vec<(i32, u64)>,
}

impl Default for State {
    fn default() -> State {
        State::Exact(Vec::new())
    }
}

impl QuantileSketch {
    /// The empty multiset.
    pub fn new() -> QuantileSketch {
        QuantileSketch::default()
    }

    /// Adds `x`, `weight` times. Infinities and NaN are refused at the door; one that slips through is ignored (and trips debug builds).
    pub fn add(&mut self, x: f64, weight: u64) {
        debug_assert!(x.is_finite(), "only finite numbers have a place: {x}");
        if weight == 0 || !x.is_finite() {
            return;
        }
        let x = x + 0.0; // -0 becomes 0
        match &mut self.state {
            State::Exact(values) => match values.binary_search_by(|(v, _)| v.total_cmp(&x)) {
                Ok(at) => values[at].1 = values[at].1.saturating_add(weight),
                Err(at) if values.len() < EXACT_MAX => values.insert(at, (x, weight)),
                Err(_) => {
                    let mut bins = Bins::of(values);
                    bins.add(x, weight);
                    self.state = State::Binned(Box::new(bins));
                }
            },
            State::Binned(bins) => bins.add(x, weight),
        }
    }

    /// Adds all of another multiset.
    pub fn merge(&mut self, other: &QuantileSketch) {
        match (&mut self.state, &other.state) {
            (State::Exact(mine), State::Exact(theirs)) => {
                add_counts(mine, theirs, f64::total_cmp);
                if mine.len() > EXACT_MAX {
                    self.state = State::Binned(Box::new(Bins::of(mine)));
                }
            }
            (State::Binned(mine), State::Exact(theirs)) => {
                theirs.iter().for_each(|&(x, weight)| mine.add(x, weight));
            }
            (State::Exact(mine), State::Binned(theirs)) => {
                let mut bins = theirs.clone();
                mine.iter().for_each(|&(x, weight)| bins.add(x, weight));
                self.state = State::Binned(bins);
            }
            (State::Binned(mine), State::Binned(theirs)) => mine.merge(theirs),
        }
    }

    /// Takes a part of this multiset away. What is not in it cannot be taken: such counts stop at zero.
    ///
    /// A multiset in bins stays in bins, however little is left (unless that is nothing).
    pub fn subtract(&mut self, part: &QuantileSketch) {
        match (&mut self.state, &part.state) {
            (State::Exact(mine), State::Exact(theirs)) => {
                take_counts(mine, theirs, f64::total_cmp);
            }
            (State::Binned(mine), State::Exact(theirs)) => mine.subtract(&Bins::of(theirs)),
            (State::Binned(mine), State::Binned(theirs)) => mine.subtract(theirs),
            // More distinct values than there are here: not a part. Take what falls into the same bins.
            (State::Exact(mine), State::Binned(theirs)) => {
                let mut bins = Bins::of(mine);
                bins.subtract(theirs);
                self.state = State::Binned(Box::new(bins));
            }
        }
        if self.count() == 0 {
            self.state = State::default();
        }
    }

    /// How many values, with repetition.
    pub fn count(&self) -> u64 {
        let total = |counts: &[(i32, u64)]| sum_of(counts.iter().map(|&(_, count)| count));
        match &self.state {
            State::Exact(values) => sum_of(values.iter().map(|&(_, count)| count)),
            State::Binned(bins) => {
                sum_of([total(&bins.negative), bins.zero, total(&bins.positive)])
            }
        }
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// The value below which a share `q` of the multiset lies, between ranks by linear interpolation (Hyndman and Fan's type 7: the
    /// median of an even number of values is the mean of the middle two). `q` is clamped to 0..=1. `None` of nothing.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let count = self.count();
        if count == 0 || q.is_nan() {
            return None;
        }
        let rank = q.clamp(0.0, 1.0) * (count - 1) as f64;
        let below = (rank.floor() as u64).min(count - 1);
        let share = rank - rank.floor();
        let (low, high) = match &self.state {
            State::Exact(values) => neighbours(values.iter().copied(), below),
            State::Binned(bins) => {
                let (low, high) = neighbours(bins.iter(), below);
                (low.middle(), high.middle())
            }
        };
        Some(if share == 0.0 {
            low
        } else {
            low * (1.0 - share) + high * share
        })
    }

    /// The middle value. `None` of nothing.
    pub fn median(&self) -> Option<f64> {
        self.quantile(0.5)
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        match &self.state {
            State::Exact(values) => values.capacity() * size_of::<(f64, u64)>(),
            State::Binned(bins) => {
                size_of::<Bins>()
                    + (bins.negative.capacity() + bins.positive.capacity())
                        * size_of::<(i32, u64)>()
            }
        }
    }
}

impl Bins {
    fn of(values: &[(f64, u64)]) -> Bins {
        let mut bins = Bins::default();
        values.iter().for_each(|&(x, weight)| bins.add(x, weight));
        bins
    }

    fn add(&mut self, x: f64, weight: u64) {
        let side = match x.partial_cmp(&0.0) {
            Some(Ordering::Less) => &mut self.negative,
            Some(Ordering::Greater) => &mut self.positive,
            _ => {
                self.zero = self.zero.saturating_add(weight);
                return;
            }
        };
        let bin = bin_of(x.abs()).max(lowest_kept(side));
        match side.binary_search_by_key(&bin, |&(b, _)| b) {
            Ok(at) => side[at].1 = side[at].1.saturating_add(weight),
            Err(at) => {
                side.insert(at, (bin, weight));
                collapse(side);
            }
        }
    }

    fn merge(&mut self, other: &Bins) {
        self.zero = self.zero.saturating_add(other.zero);
        for (mine, theirs) in [
            (&mut self.negative, &other.negative),
            (&mut self.positive, &other.positive),
        ] {
            add_counts(mine, theirs, i32::cmp);
            collapse(mine);
        }
    }

    fn subtract(&mut self, part: &Bins) {
        self.zero = self.zero.saturating_sub(part.zero);
        for (mine, theirs) in [
            (&mut self.negative, &part.negative),
            (&mut self.positive, &part.positive),
        ] {
            // A part's largest magnitude is no larger: it has collapsed no more than the whole has.
            let mut theirs = theirs.clone();
            raise_to(&mut theirs, lowest_kept(mine));
            take_counts(mine, &theirs, i32::cmp);
        }
    }

    /// Bins and counts, by ascending value.
    fn iter(&self) -> impl Iterator<Item = (Bin, u64)> {
        let negative = self.negative.iter().rev();
        negative
            .map(|&(bin, count)| (Bin::Negative(bin), count))
            .chain((self.zero > 0).then_some((Bin::Zero, self.zero)))
            .chain(self.positive.iter().map(|&(b, n)| (Bin::Positive(b), n)))
    }
}

#[derive(Clone, Copy)]
enum Bin {
    Negative(i32),
    Zero,
    Positive(i32),
}

impl Bin {
    fn middle(self) -> f64 {
        match self {
            Bin::Negative(bin) => -middle_of(bin),
            Bin::Zero => 0.0,
            Bin::Positive(bin) => middle_of(bin),
        }
    }
}

/// The lowest bin that may exist beside the highest of these.
fn lowest_kept(side: &[(i32, u64)]) -> i32 {
    side.last()
        .map_or(i32::MIN, |&(top, _)| top - (BINS_MAX as i32 - 1))
}

/// Moves what lies too far below the highest bin up into the lowest one kept. As the highest only rises, when this is done
/// (at each step or at the end) does not matter.
fn collapse(side: &mut Vec<(i32, u64)>) {
    raise_to(side, lowest_kept(side));
}

fn raise_to(side: &mut Vec<(i32, u64)>, lowest: i32) {
    let below = side.partition_point(|&(bin, _)| bin < lowest);
    if below == 0 {
        return;
    }
    let moved = sum_of(side[..below].iter().map(|&(_, count)| count));
    side.drain(..below);
    match side.first_mut() {
        Some((bin, count)) if *bin == lowest => *count = count.saturating_add(moved),
        _ => side.insert(0, (lowest, moved)),
    }
}

/// Sum of counts, stopping at the largest.
fn sum_of(counts: impl IntoIterator<Item = u64>) -> u64 {
    counts.into_iter().fold(0, u64::saturating_add)
}

/// Adds counts to counts, both sorted by key.
fn add_counts<K: Copy>(
    mine: &mut Vec<(K, u64)>,
    theirs: &[(K, u64)],
    order: impl Fn(&K, &K) -> Ordering,
) {
    let mut merged = Vec::with_capacity(mine.len() + theirs.len());
    let (mut a, mut b) = (mine.iter().peekable(), theirs.iter().peekable());
    loop {
        merged.push(match (a.peek(), b.peek()) {
            (Some(&&x), Some(&&y)) => match order(&x.0, &y.0) {
                Ordering::Less => *a.next().expect("peeked"),
                Ordering::Greater => *b.next().expect("peeked"),
                Ordering::Equal => {
                    a.next();
                    b.next();
                    (x.0, x.1.saturating_add(y.1))
                }
            },
            (Some(_), None) => *a.next().expect("peeked"),
            (None, Some(_)) => *b.next().expect("peeked"),
            (None, None) => break,
        });
    }
    *mine = merged;
}

/// Takes counts from counts, both sorted by key.
fn take_counts<K: Copy>(
    mine: &mut Vec<(K, u64)>,
    theirs: &[(K, u64)],
    order: impl Fn(&K, &K) -> Ordering,
) {
    for (key, taken) in theirs {
        if let Ok(at) = mine.binary_search_by(|(k, _)| order(k, key)) {
            mine[at].1 = mine[at].1.saturating_sub(*taken);
        }
    }
    mine.retain(|&(_, count)| count > 0);
}

/// What stands at ranks `below` and `below + 1` (or last), counted from 0, of something that is not empty.
fn neighbours<K: Copy>(mut values: impl Iterator<Item = (K, u64)>, below: u64) -> (K, K) {
    let (first, mut seen) = values.next().expect("asked of a count above zero");
    let mut low = first;
    while seen <= below {
        let Some((value, count)) = values.next() else {
            return (low, low);
        };
        low = value;
        seen = seen.saturating_add(count);
    }
    if seen - below > 1 {
        return (low, low);
    }
    (low, values.next().map_or(low, |(high, _)| high))
}

/// `P(s)` of the mapping: 0 at 0, 1 at 1, and `(1 + s)·P'(s) >= 10/7` in between, with equality at 0 and 2/3.
fn cubic(s: f64) -> f64 {
    ((6.0 / 35.0 * s - 3.0 / 5.0) * s + 10.0 / 7.0) * s
}

/// The bin of a positive number.
fn bin_of(x: f64) -> i32 {
    const SUBNORMAL: f64 = (1u64 << 54) as f64;
    let (x, lifted) = if x < f64::MIN_POSITIVE {
        (x * SUBNORMAL, 54)
    } else {
        (x, 0)
    };
    let bits = x.to_bits();
    let octave = (bits >> 52) as i32 - 1023 - lifted;
    let mantissa = f64::from_bits(bits & ((1 << 52) - 1) | 1023 << 52);
    octave * BINS_PER_OCTAVE + (f64::from(BINS_PER_OCTAVE) * cubic(mantissa - 1.0)) as i32
}

/// The number that is off by the same share from both edges of a bin: their harmonic mean.
fn middle_of(bin: i32) -> f64 {
    let octave = bin.div_euclid(BINS_PER_OCTAVE);
    let edge = |i: i32| 1.0 + inverse_cubic(f64::from(i) / f64::from(BINS_PER_OCTAVE));
    let step = bin.rem_euclid(BINS_PER_OCTAVE);
    let (low, high) = (edge(step), edge(step + 1));
    // Two factors, since 2^octave alone may be below the smallest normal number; only bins that no double falls into would overflow.
    let half = octave / 2;
    let middle = 2.0 * low * high / (low + high) * 2f64.powi(half) * 2f64.powi(octave - half);
    middle.min(f64::MAX)
}

/// `s` with `P(s) = t`, by Newton's method: P is nearly straight, five steps reach the last bit.
fn inverse_cubic(t: f64) -> f64 {
    let mut s = t;
    for _ in 0..5 {
        let slope = (18.0 / 35.0 * s - 6.0 / 5.0) * s + 10.0 / 7.0;
        s -= (cubic(s) - t) / slope;
    }
    s
}

impl Serialize for QuantileSketch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.state.serialize(serializer)
    }
}

/// Bytes that say what no multiset can be.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not a quantile sketch: {0}")]
pub struct QuantileSketchError(&'static str);

impl TryFrom<State> for QuantileSketch {
    type Error = QuantileSketchError;

    fn try_from(state: State) -> Result<QuantileSketch, QuantileSketchError> {
        let err = |what| Err(QuantileSketchError(what));
        match &state {
            State::Exact(values) if values.len() > EXACT_MAX => {
                return err("more than 64 exact values");
            }
            State::Exact(values) => {
                if !values.iter().all(|(x, n)| x.is_finite() && *n > 0) {
                    return err("a value that is not finite, or counted zero times");
                }
                if !values.is_sorted_by(|a, b| a.0 < b.0) {
                    return err("values out of order, or twice");
                }
            }
            State::Binned(bins) => {
                for side in [&bins.negative, &bins.positive] {
                    let (first, last) = (side.first(), side.last());
                    let bounds = bin_of(5e-324)..=bin_of(f64::MAX);
                    let within =
                        |end: Option<&(i32, u64)>| end.is_none_or(|e| bounds.contains(&e.0));
                    if !within(first) || !within(last) {
                        return err("a bin that no number falls into");
                    }
                    if first.is_some_and(|&(bin, _)| bin < lowest_kept(side)) {
                        return err("bins more than 2048 apart");
                    }
                    if !side.is_sorted_by(|a, b| a.0 < b.0) || side.iter().any(|&(_, n)| n == 0) {
                        return err("bins out of order, twice or empty");
                    }
                }
            }
        }
        Ok(QuantileSketch { state })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sketch_of(values: &[f64]) -> QuantileSketch {
        let mut sketch = QuantileSketch::new();
        values.iter().for_each(|&x| sketch.add(x, 1));
        sketch
    }

    fn sorted(values: &[f64]) -> Vec<f64> {
        let mut values = values.to_vec();
        values.sort_by(f64::total_cmp);
        values
    }

    /// Of magnitudes within a factor e^20, or zero.
    fn measurements() -> impl Strategy<Value = Vec<f64>> {
        let value = prop_oneof![
            -1e6..1e6f64,
            (-9i32..9).prop_map(f64::from),
            (-6.0..11.0f64).prop_map(f64::exp),
        ];
        prop::collection::vec(value, 1..300)
    }

    #[test]
    fn few_values_have_their_exact_median() {
        assert_eq!(sketch_of(&[3.0, 1.0, 2.0]).median(), Some(2.0));
        assert_eq!(sketch_of(&[4.0, 1.0, 2.0, 3.0]).median(), Some(2.5));
        assert_eq!(sketch_of(&[]).median(), None);
        let mut weighed = sketch_of(&[1.0]);
        weighed.add(10.0, 2);
        assert_eq!((weighed.median(), weighed.count()), (Some(10.0), 3));
        assert_eq!(
            (weighed.quantile(0.0), weighed.quantile(1.0)),
            (Some(1.0), Some(10.0))
        );
    }

    #[test]
    fn every_magnitude_is_within_the_relative_error_of_its_bin() {
        let mut x = f64::MIN_POSITIVE;
        while x < f64::MAX / 1.01 {
            let middle = middle_of(bin_of(x));
            assert!(
                (middle - x).abs() <= RELATIVE_ERROR * x,
                "{x} in the bin of {middle}"
            );
            x *= 1.000_9;
        }
        assert!(middle_of(bin_of(f64::MAX)).is_finite() && middle_of(bin_of(5e-324)) >= 0.0);
    }

    #[test]
    fn a_hundred_thousand_magnitudes_stay_within_the_bins() {
        let mut sketch = QuantileSketch::new();
        for i in 0..100_000 {
            sketch.add(((i % 1400) as f64 - 700.0).exp(), 1);
        }
        let State::Binned(bins) = &sketch.state else {
            panic!("that many are not exact")
        };
        assert!(bins.positive.len() <= BINS_MAX);
        let top = sketch.quantile(0.999).unwrap().ln();
        assert!((top - 698.0).abs() < 1.0, "the largest are kept: e^{top}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn a_quantile_is_off_by_half_a_percent_at_most(values in measurements(), q in 0.0..1.0f64) {
            let values_sorted = sorted(&values);
            // The ranks around q, so that interpolation across a wide gap is bounded by its two ends.
            let rank = q * (values.len() - 1) as f64;
            let (low, high) = (values_sorted[rank.floor() as usize], values_sorted[rank.ceil() as usize]);
            let found = sketch_of(&values).quantile(q).unwrap();
            let slack = |x: f64| RELATIVE_ERROR * x.abs() + 1e-9;
            prop_assert!(low - slack(low) <= found && found <= high + slack(high), "{} {} {}", low, found, high);
        }

        #[test]
        fn the_state_is_a_function_of_the_multiset(values in measurements(), cut in 0usize..300) {
            let cut = cut.min(values.len());
            let whole = sketch_of(&values);
            let mut merged = sketch_of(&sorted(&values[cut..]));
            merged.merge(&sketch_of(&values[..cut]));
            prop_assert_eq!(&merged, &whole);
            let bytes = postcard::to_stdvec(&whole).unwrap();
            prop_assert_eq!(&postcard::to_stdvec(&merged).unwrap(), &bytes);
            prop_assert_eq!(&postcard::from_bytes::<QuantileSketch>(&bytes).unwrap(), &whole);
        }

        #[test]
        fn what_is_left_after_taking_a_part_has_its_quantiles(values in measurements(), cut in 0usize..300) {
            let cut = cut.min(values.len());
            let mut rest = sketch_of(&values);
            rest.subtract(&sketch_of(&values[..cut]));
            prop_assert_eq!(rest.count() as usize, values.len() - cut);
            let expected = sketch_of(&values[cut..]).median();
            match (rest.median(), expected) {
                (Some(a), Some(b)) => {
                    let s = sorted(&values[cut..]);
                    let scale = s[(s.len() - 1) / 2].abs().max(s[s.len() / 2].abs());
                    prop_assert!((a - b).abs() <= 2.0 * RELATIVE_ERROR * scale, "{} {}", a, b);
                }
                (a, b) => prop_assert_eq!(a, b),
            }
        }

        #[test]
        fn collapsing_early_or_late_is_the_same(exponents in prop::collection::vec(-300.0..300.0f64, 65..200), cut in 0usize..200) {
            let values: Vec<f64> = exponents.iter().map(|e| e.exp()).collect();
            let cut = cut.min(values.len());
            let mut merged = sketch_of(&values[cut..]);
            merged.merge(&sketch_of(&values[..cut]));
            prop_assert_eq!(merged, sketch_of(&sorted(&values)));
        }

        #[test]
        fn no_bytes_make_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(sketch) = postcard::from_bytes::<QuantileSketch>(&bytes) {
                prop_assert!(sketch.median().is_none_or(f64::is_finite));
            }
        }
    }
}
