//! A rhythm that is no part of a day or a week: a schedule of 90 minutes, shifts of 50 hours. Found from the data, believed on evidence.
//!
//! A series whose values follow each other (its last value foretells better than it would by chance) keeps, from its 64th bucket on and again whenever their number has
//! doubled, [`KEPT`] values in a row. Their autocorrelation, less a straight line, is asked for its first clear peak after it has fallen (Box and Jenkins
//! 1976, 2.1), whose multiples say the period to a fraction of a bucket. Where none shows, a series that is no longer young makes one value of two and goes on, until a value is an hour or the next search is due: a period may be longer
//! than what is kept of single buckets. What was kept fills the slots of one period, and is given back. From then on the
//! slots foretell each value before they learn it; they are believed when they did better than the best other predictor, prequentially (Dawid 1984; normal errors),
//! by [`BELIEF`] nats, over a whole period at least, and are forgotten when they did worse by as much. So a walk or noise that happens to look like a rhythm
//! costs memory for a while, and nothing else.
//! Units: values as they come; periods in milliseconds. Periods are of 4 buckets to 128 hours, or buckets where these are longer; what slots of an hour hold as well (6, 8, 12 and 24 hours) is left to the day.
//! Holds: finite; judging changes nothing; equal series, equal bytes. Checked by: tests below, `cargo bench --bench streams`, `--bench noise`.

use super::Room;
use super::profile::HOUR_MS;
use crate::time::{BucketSpan, EventTime};
use serde::{Deserialize, Deserializer, Serialize};

/// Values that a period is looked for in, once half of them are there and again when all are.
const KEPT: usize = 384;
/// Steps after which they are kept first: at this number and each power of two after it.
const FIRST_SEARCH: u32 = 64;
/// Where single values show no period, means of so many are kept as a series has lived for times this: the search is over before the next one is due.
const STRIDE_STEPS: u32 = 512;
/// Slots at the most: they take no more memory than what they were found in. Those of longer periods hold several buckets.
const SLOTS_MOST: usize = 256;
/// The mean square of the last value's errors is below so many times the mean's where values follow each other; of independent values it is twice as large.
const FOLLOWS: f32 = 1.25;
const PERIOD_LEAST: usize = 4;
/// The autocorrelation has fallen when it is below this, and has come back when it is above that.
const FALLEN: f64 = 0.3;
const BACK: f64 = 0.4;
/// A peak nearly as high as the highest, but earlier, is the period; that one is its multiple.
const NEARLY: f64 = 0.9;
/// Least weight of one more visit to a slot (of all its buckets together), and of one more value in what the slots leave.
const VISIT_GAIN: f32 = 0.1;
const LEFT_GAIN: f64 = 1.0 / 16.0;
/// What it takes to believe in a rhythm, nats; it is let go at 0 and forgotten at the negative of it.
const BELIEF: f32 = 12.0;
/// One value tells no more than this, either way. Credit is kept for a period that says the contrary.
const TELLS_MOST: f64 = 2.0;
/// What a rhythm has to be better by, nats a value: it was chosen for looking like one.
const HANDICAP: f64 = 0.02;
/// Missing buckets in a row that still are one series of values.
const GAP_MOST: usize = 8;

/// Values in a row, to look for a period in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Search {
    /// Less the first one. There are places for all from the first, and again after a restore.
    #[serde(deserialize_with = "with_all_places")]
    values: Vec<f32>,
    first: f64,
    last_at: i64,
    /// Buckets that one of them is the mean of; the sum of those of the next one, less the first, and how many they are.
    stride: u16,
    sum: f64,
    filled: u16,
    /// The most that one may come to be the mean of.
    stride_most: u16,
}

fn with_all_places<'de, D: Deserializer<'de>>(values: D) -> Result<Vec<f32>, D::Error> {
    let mut values = Vec::<f32>::deserialize(values)?;
    values.reserve_exact(KEPT.saturating_sub(values.len()));
    Ok(values)
}

/// One period's slots.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Slots {
    period_ms: i64,
    /// Buckets of it, rounded up.
    buckets: u16,
    /// Less the base: means, and how often each was visited.
    means: Box<[f32]>,
    visits: Box<[u8]>,
    base: f64,
    /// What they leave, on average lately.
    left: f64,
    /// Values foretold, up to a period; what speaks for them, nats.
    foretold: u16,
    credit: f32,
    told: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Stage {
    Search(Search),
    Found(Slots),
}

/// What is known of a series' own rhythm.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rhythm {
    stage: Option<Box<Stage>>,
}

/// What the other predictors make of a series.
#[derive(Clone, Copy, Debug)]
pub struct Others {
    /// Values seen.
    pub steps: u32,
    /// Mean square of the errors of the last value.
    pub last_square: f32,
    /// The same of the mean of all.
    pub mean_square: f32,
    /// What the best of them expected.
    pub expected: f64,
    /// The mean square of its errors.
    pub square: f64,
}

impl Rhythm {
    /// What is expected at `at` by a rhythm that is believed in.
    pub fn expected(&self, at: EventTime) -> Option<f64> {
        self.believed()?.expected(at)
    }

    /// What the slots of a rhythm that is believed in say of `at`, without what they left lately.
    pub fn shape(&self, at: EventTime) -> Option<f64> {
        let slots = self.believed()?;
        Some(slots.expected(at)? - slots.left)
    }

    /// Buckets of the rhythm that is believed in.
    pub fn period_buckets(&self) -> Option<u16> {
        Some(self.believed()?.buckets)
    }

    /// Its length.
    pub fn period_ms(&self) -> Option<i64> {
        Some(self.believed()?.period_ms)
    }

    fn believed(&self) -> Option<&Slots> {
        match self.stage.as_deref() {
            Some(Stage::Found(slots)) if slots.told => Some(slots),
            _ => None,
        }
    }

    /// Whether anything has to be asked of the others before a value is learnt.
    pub fn is_on_trial(&self) -> bool {
        matches!(self.stage.as_deref(), Some(Stage::Found(_)))
    }

    /// Takes in a value. True when what is believed has changed.
    pub fn learn(
        &mut self,
        at: EventTime,
        x: f64,
        span: BucketSpan,
        others: Others,
        room: &mut Room,
    ) -> bool {
        match self.stage.as_deref_mut() {
            None => {
                if others.asks_for_search() && room.grant(Search::BYTES + size_of::<Stage>()) {
                    let most = (others.steps / STRIDE_STEPS).min(u32::from(u16::MAX) / 2) as u16;
                    self.stage = Some(Box::new(Stage::Search(Search::new(at, x, most))));
                }
                false
            }
            Some(Stage::Search(search)) => {
                if !search.take(at, x, span) {
                    self.stage = None;
                    return false;
                }
                match search.look(span) {
                    Look::Found(slots) => self.stage = Some(Box::new(Stage::Found(slots))),
                    Look::Nothing => self.stage = None,
                    Look::GoesOn => {}
                }
                false
            }
            Some(Stage::Found(slots)) => {
                let told = slots.told;
                slots.credit(at, x, others);
                slots.learn(at, x);
                let changed = told != slots.told;
                if slots.credit <= -BELIEF {
                    self.stage = None;
                }
                changed
            }
        }
    }

    /// Whether the slots go with a new level, that much above what was expected: unless that is what they say of `at` anyway. (The first half of a rhythm that is on trial is no
    /// new level.)
    pub fn goes_with(&self, at: EventTime, level: f64, by: f64) -> bool {
        let Some(Stage::Found(slots)) = self.stage.as_deref() else {
            return false;
        };
        let off = slots.expected(at).map(|expected| (level - expected).abs());
        off.is_none_or(|off| off > (off - by.abs()).abs())
    }

    /// The level has changed, the shape has not.
    pub fn shift(&mut self, by: f64) {
        if let Some(Stage::Found(slots)) = self.stage.as_deref_mut() {
            slots.base += by;
            slots.left = 0.0;
        }
    }

    /// Level and shape have changed alike.
    pub fn scale(&mut self, factor: f64) {
        if let Some(Stage::Found(slots)) = self.stage.as_deref_mut() {
            slots.base *= factor;
            slots.left = 0.0;
            for mean in &mut slots.means {
                *mean *= factor as f32;
            }
        }
    }

    /// Heap bytes.
    pub fn heap_bytes(&self) -> usize {
        match self.stage.as_deref() {
            None => 0,
            // Slots are smaller than what they were found in.
            Some(Stage::Search(_)) => size_of::<Stage>() + Search::BYTES,
            Some(Stage::Found(slots)) => size_of::<Stage>() + 5 * slots.means.len(),
        }
    }
}

impl Others {
    fn asks_for_search(&self) -> bool {
        self.steps >= FIRST_SEARCH
            && self.steps.is_power_of_two()
            && self.last_square < FOLLOWS * self.mean_square
    }
}

/// What has come of a search so far.
enum Look {
    GoesOn,
    Nothing,
    Found(Slots),
}

impl Search {
    const BYTES: usize = KEPT * size_of::<f32>();

    fn new(at: EventTime, x: f64, stride_most: u16) -> Search {
        let mut values = Vec::with_capacity(KEPT);
        values.push(0.0);
        Search {
            values,
            first: x,
            last_at: at.millis(),
            stride: 1,
            sum: 0.0,
            filled: 0,
            stride_most,
        }
    }

    /// Looks for a period where it is time to.
    fn look(&mut self, span: BucketSpan) -> Look {
        let kept = self.values.len();
        let is_half = kept == KEPT / 2 && self.stride == 1;
        if self.filled > 0 || !(is_half || kept == KEPT) {
            return Look::GoesOn;
        }
        let Some((lag, multiples)) = self.period() else {
            let next = 2 * self.stride;
            let is_coarse = i64::from(next) * span.millis() > HOUR_MS;
            return match kept == KEPT {
                true if next <= self.stride_most && !is_coarse => {
                    self.zoom();
                    Look::GoesOn
                }
                true => Look::Nothing,
                false => Look::GoesOn,
            };
        };
        match self.slots(lag, multiples, span) {
            Some(slots) => Look::Found(slots),
            None if kept == KEPT => Look::Nothing,
            None => Look::GoesOn,
        }
    }

    /// Makes one value of two.
    fn zoom(&mut self) {
        for at in 0..self.values.len() / 2 {
            self.values[at] = 0.5 * (self.values[2 * at] + self.values[2 * at + 1]);
        }
        self.values.truncate(self.values.len() / 2);
        self.stride *= 2;
    }

    /// Keeps a value; in the place of missing buckets, the last one. False after too long a gap.
    fn take(&mut self, at: EventTime, x: f64, span: BucketSpan) -> bool {
        let steps = at.millis().saturating_sub(self.last_at) / span.millis();
        self.last_at = at.millis();
        let kept = self.values.len();
        // What is kept is looked at when half of it is there, and all: no gap hides either.
        let ahead = if kept < KEPT / 2 { KEPT / 2 } else { KEPT } - kept;
        let ahead = ahead * usize::from(self.stride) - usize::from(self.filled);
        let missing = match usize::try_from(steps - 1) {
            Ok(missing) if missing <= GAP_MOST && missing < ahead => missing,
            _ => return false,
        };
        let last = self.values.last().copied().unwrap_or(0.0);
        (0..missing).for_each(|_| self.push(last.into()));
        self.push(x - self.first);
        true
    }

    fn push(&mut self, x: f64) {
        self.sum += x;
        self.filled += 1;
        if self.filled == self.stride {
            self.values.push((self.sum / f64::from(self.stride)) as f32);
            (self.sum, self.filled) = (0.0, 0);
        }
    }

    /// The slots of a period of so many values in so many multiples, filled; `None` where the day knows it.
    fn slots(&self, lag: usize, multiples: usize, span: BucketSpan) -> Option<Slots> {
        let stride = usize::from(self.stride);
        let period_ms = span.millis() * (stride * lag) as i64 / multiples as i64;
        let is_of_a_day = [6, 8, 12, 24].iter().any(|hours| {
            let off = period_ms - hours * HOUR_MS;
            off.abs() * 50 <= period_ms
        });
        if is_of_a_day {
            return None;
        }
        let buckets = (stride * lag).div_ceil(multiples);
        let count = buckets.div_ceil(buckets.div_ceil(SLOTS_MOST));
        let mut slots = Slots {
            period_ms,
            buckets: buckets as u16,
            means: vec![0.0; count].into_boxed_slice(),
            visits: vec![0; count].into_boxed_slice(),
            base: self.first,
            left: 0.0,
            foretold: 0,
            credit: 0.0,
            told: false,
        };
        let begun = self.last_at - ((self.values.len() * stride) as i64 - 1) * span.millis();
        for bucket in 0..self.values.len() * stride {
            let at = EventTime(begun + bucket as i64 * span.millis());
            let value = self.values[bucket / stride];
            slots.learn(at, self.first + f64::from(value));
        }
        Some(slots)
    }

    /// So many values are so many periods.
    fn period(&self) -> Option<(usize, usize)> {
        let values = self.less_a_line();
        let n = values.len();
        let square = values.iter().map(|x| x * x).sum::<f64>() / n as f64;
        if !(square > 0.0 && square.is_finite()) {
            return None;
        }
        let together = |lag: usize| {
            let pairs = values[lag..].iter().zip(&values);
            pairs.map(|(a, b)| a * b).sum::<f64>() / ((n - lag) as f64 * square)
        };
        let longest = n / 3;
        let all: Vec<f64> = (0..=longest + 1).map(together).collect();
        let fallen = (1..=longest).find(|&lag| all[lag] < FALLEN)?;
        let from = fallen.max(PERIOD_LEAST);
        let is_peak = |lag: &usize| all[*lag] >= all[lag - 1] && all[*lag] >= all[lag + 1];
        let peaks = || (from..=longest).filter(is_peak);
        let highest = peaks().map(|lag| all[lag]).fold(BACK, f64::max);
        let first = peaks().find(|&lag| all[lag] > BACK && all[lag] >= NEARLY * highest)?;
        let (mut lag, mut multiples) = (first, 1);
        while first * (multiples + 1) < 3 * n / 4 {
            let next = multiples + 1;
            let about = (lag * next + multiples / 2) / multiples;
            let near = [about, about - 1, about + 1];
            let best = near
                .into_iter()
                .filter(|&near| near < n)
                .max_by(|&a, &b| together(a).total_cmp(&together(b)))?;
            (lag, multiples) = (best, next);
        }
        Some((lag, multiples))
    }

    /// The values around the straight line of least squares.
    fn less_a_line(&self) -> Vec<f64> {
        let n = self.values.len() as f64;
        let middle = (n - 1.0) / 2.0;
        let mean = self.values.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
        let (mut product, mut square) = (0.0, 0.0);
        for (step, &x) in self.values.iter().enumerate() {
            let from_middle = step as f64 - middle;
            product += from_middle * (f64::from(x) - mean);
            square += from_middle * from_middle;
        }
        let slope = product / square;
        let left = |(step, &x): (usize, &f32)| f64::from(x) - mean - slope * (step as f64 - middle);
        self.values.iter().enumerate().map(left).collect()
    }
}

impl Slots {
    fn slot(&self, at: EventTime) -> usize {
        let place = at.millis().rem_euclid(self.period_ms) as f64 / self.period_ms as f64;
        ((place * self.means.len() as f64) as usize).min(self.means.len() - 1)
    }

    fn expected(&self, at: EventTime) -> Option<f64> {
        let slot = self.slot(at);
        (self.visits[slot] > 0).then(|| self.base + f64::from(self.means[slot]) + self.left)
    }

    /// What a value tells for the slots, against the best of the others.
    fn credit(&mut self, at: EventTime, x: f64, others: Others) {
        let Some(expected) = self.expected(at).filter(|_| others.square > 0.0) else {
            return;
        };
        let gained = (x - others.expected).powi(2) - (x - expected).powi(2);
        let told = gained / (2.0 * others.square) - HANDICAP;
        let told = if told.is_finite() { told } else { 0.0 };
        let most = BELIEF + TELLS_MOST as f32 * f32::from(self.buckets);
        self.credit = (self.credit + told.clamp(-TELLS_MOST, TELLS_MOST) as f32).min(most);
        self.foretold = self.foretold.saturating_add(1);
        let is_tried = self.foretold >= self.buckets;
        self.told = is_tried && self.credit > if self.told { 0.0 } else { BELIEF };
    }

    fn learn(&mut self, at: EventTime, x: f64) {
        let slot = self.slot(at);
        let least = VISIT_GAIN * self.means.len() as f32 / f32::from(self.buckets);
        let gain = (1.0 / (f32::from(self.visits[slot]) + 1.0)).max(least);
        let rest = x - self.base - f64::from(self.means[slot]);
        if self.visits[slot] > 0 {
            self.left += LEFT_GAIN * (rest - self.left);
        }
        self.means[slot] += gain * rest as f32;
        self.visits[slot] = self.visits[slot].saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span() -> BucketSpan {
        BucketSpan::from_seconds(300).expect("a span")
    }

    /// Without a pattern, within half of 0.
    fn noise(step: usize) -> f64 {
        let mut z = (step as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) as f64 / 2f64.powi(64) - 0.5
    }

    /// A rhythm that has seen these values, against a predictor which knows their mean and variance.
    fn after(values: impl Iterator<Item = f64>, room: &mut Room) -> Rhythm {
        let mut rhythm = Rhythm::default();
        for (step, x) in values.enumerate() {
            let at = EventTime(1_704_067_200_000 + 300_000 * step as i64);
            let others = Others {
                steps: step as u32,
                last_square: 1.0,
                mean_square: 1.0,
                expected: 0.0,
                square: 1.0,
            };
            rhythm.learn(at, x, span(), others, room);
        }
        rhythm
    }

    fn pulse(step: usize, buckets: f64) -> f64 {
        let is_on = (step as f64 / buckets).fract() < 0.3;
        let level = if is_on { 1.5 } else { -0.7 };
        level + noise(step)
    }

    #[test]
    fn periods_are_found_to_a_fraction_of_a_bucket_once_they_foretold_a_whole_one() {
        for buckets in [5.0, 18.0, 40.5, 61.3, 100.0] {
            let rhythm = after(
                (0..700).map(|step| pulse(step, buckets)),
                &mut Room::unlimited(),
            );
            let found = rhythm.period_ms().expect("it repeats itself") as f64 / 300_000.0;
            assert!((found - buckets).abs() < 0.3, "{buckets}: {found}");
        }
    }

    #[test]
    fn a_period_longer_than_what_is_kept_of_single_buckets_is_found_in_means_of_several() {
        let values = (0..4_000).map(|step| pulse(step, 310.0));
        let rhythm = after(values, &mut Room::unlimited());
        let found = rhythm.period_ms().expect("it repeats itself") as f64 / 300_000.0;
        assert!((found - 310.0).abs() < 1.0, "{found}");
        assert!(rhythm.heap_bytes() <= Search::BYTES + size_of::<Stage>());
    }

    #[test]
    fn what_a_rhythm_on_trial_foretold_is_no_new_level_of_it() {
        // Found in 384 values after the 64th, and not yet tried.
        let values = (0..460).map(|step| pulse(step, 100.0));
        let mut rhythm = after(values, &mut Room::unlimited());
        assert!(rhythm.is_on_trial() && rhythm.period_ms().is_none());
        // High from the 500th on: so it says.
        let at = EventTime(1_704_067_200_000 + 300_000 * 505);
        assert!(!rhythm.goes_with(at, 1.5, 2.2) && rhythm.goes_with(at, 5.0, 5.7));
        rhythm.shift(3.5);
        assert!(!rhythm.goes_with(at, 5.0, 5.7));
    }

    #[test]
    fn neither_noise_nor_a_walk_nor_what_the_day_holds_is_a_rhythm() {
        let mut walk = 0.0;
        let walks: Vec<f64> = (0..5000)
            .map(|step| {
                walk += noise(step);
                walk
            })
            .collect();
        let noises: Vec<f64> = (0..5000).map(noise).collect();
        let days: Vec<f64> = (0..5000).map(|step| pulse(step, 72.0)).collect();
        for values in [walks, noises, days] {
            let rhythm = after(values.into_iter(), &mut Room::unlimited());
            assert_eq!(rhythm.period_ms(), None);
        }
    }

    #[test]
    fn a_rhythm_that_is_over_is_forgotten_and_gives_its_memory_back() {
        let values = |step: usize| match step {
            0..700 => pulse(step, 30.0),
            _ => noise(step),
        };
        let known = after((0..700).map(values), &mut Room::unlimited());
        assert!(known.heap_bytes() > 0 && known.period_buckets() == Some(30));
        let over = after((0..7500).map(values), &mut Room::unlimited());
        assert_eq!((over.period_ms(), over.heap_bytes()), (None, 0));
    }

    #[test]
    fn without_room_nothing_is_kept_and_after_a_long_gap_nothing_is_believed() {
        let mut room = Room::of(100);
        let rhythm = after((0..700).map(|step| pulse(step, 30.0)), &mut room);
        assert!(rhythm.heap_bytes() == 0 && room.left() == 100);
        let mut search = Search::new(EventTime(0), 1.0, 1);
        assert!(search.take(EventTime(300_000), 2.0, span()));
        assert!(search.take(EventTime(5 * 300_000), 2.0, span()));
        assert_eq!(search.values.len(), 6);
        assert!(!search.take(EventTime(15 * 300_000), 2.0, span()));
        assert!(!search.take(EventTime(0), 2.0, span()), "time goes on");
    }
}
