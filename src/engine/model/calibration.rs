//! How rare a surprise is in its own past: peaks of blocks over a threshold, with a prior.
//!
//! Input: a surprise a step, nats, at least 0. Output: evidence `F`, nats: about −ln of the chance that a whole block of such steps shows
//! this much. Past blocks' maxima are kept (the largest [`PEAKS_MAX`] unless more are asked for, each fading by [`FADE`] a block; those of a series
//! to nine binary digits, and their ages to [`AGE_BLOCKS`] blocks); above the level `u` that some
//! twelve of them exceed, the excess is exponential with an unknown mean whose prior is [`PRIOR`] excesses of one nat:
//!
//! `F = ln (n + 1)/(m + ½) + (m + 4) ln(1 + (C − u)/(T + 4))`, and below `u`: `F = ln (n + 1)/(blocks above + 1)`
//!
//! with `n` blocks, `m` of them above `u` by `T` nats in all. Source: detection-quality.md, "Calibrate once"; the form is the predictive
//! distribution of an exponential with a gamma prior (a Lomax tail; Gelman et al., Bayesian Data Analysis, 2.6), over the threshold
//! of Pickands (1975). Holds: `F` never falls as the surprise grows; it is finite and at least 0.

use super::Room;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Peaks remembered of one series.
const PEAKS_MAX: usize = 32;
/// Where they take places as they come there are so many from the first; they double when there is room.
const PEAKS_FIRST: usize = 4;
/// What a remembered peak weighs after one more block.
const FADE: f32 = 0.999;
/// Where ages are told apart to so many blocks there are so many of them: what is older weighs less than a fifteenth, and is forgotten.
const AGE_BLOCKS: u16 = 192;
const AGES: u16 = 16;
/// Blocks are counted in turn.
const TURN_BLOCKS: u16 = AGE_BLOCKS * AGES;
/// Blocks after which a peak weighs less than a twentieth, where they are told apart singly.
const FORGOTTEN_AFTER: u16 = 2995;
/// What a peak weighs after so many blocks.
static WEIGHTS: [f32; TURN_BLOCKS as usize] = weights();
/// Peaks that the tail is drawn from.
const TAIL_PEAKS: f32 = 12.0;
/// Strength of the prior: excesses of mean one nat.
const PRIOR: f32 = 4.0;

const HONESTY_NATS: f64 = 1.0;

const fn weights() -> [f32; TURN_BLOCKS as usize] {
    let mut weights = [1.0; TURN_BLOCKS as usize];
    let mut age = 1;
    while age < weights.len() {
        weights[age] = weights[age - 1] * FADE;
        age += 1;
    }
    weights
}

/// A remembered peak: the level of its surprise, one of some thousand in their order, and about how long ago it was.
pub trait Peak: Copy + PartialEq {
    /// Binary digits of a single that a level lets go, the code below the least level, and the largest one.
    const DROPPED: u32;
    /// See above.
    const LEAST: u32;
    /// See above.
    const MOST: u16;

    /// One of this level in this block.
    fn new(level: u16, block: u16) -> Self;
    /// Its level.
    fn level(self) -> u16;
    /// How many blocks ago it was, as of `block`.
    fn blocks_ago(self, block: u16) -> u16;
    /// Whether it is forgotten as `block` closes.
    fn is_over(self, block: u16) -> bool;

    /// The level nearest to a surprise.
    fn level_of(surprise: f32) -> u16 {
        let half = 1 << (Self::DROPPED - 1);
        let code = (surprise.max(0.0).to_bits() + half) >> Self::DROPPED;
        code.saturating_sub(Self::LEAST).min(Self::MOST.into()) as u16
    }

    /// The surprise that a level stands for, nats.
    fn nats(level: u16) -> f32 {
        match level {
            0 => 0.0,
            level => f32::from_bits((u32::from(level) + Self::LEAST) << Self::DROPPED),
        }
    }

    /// The largest surprise that is of this level.
    fn top(level: u16) -> f32 {
        match level {
            0 => 0.0,
            level => {
                let half = 1 << (Self::DROPPED - 1);
                f32::from_bits(((u32::from(level) + Self::LEAST) << Self::DROPPED) + half)
            }
        }
    }

    /// What it weighs.
    fn weight(self, block: u16) -> f32 {
        let ago = usize::from(self.blocks_ago(block));
        WEIGHTS.get(ago).copied().unwrap_or(0.0)
    }
}

/// A peak in four bytes: twelve binary digits of a number from 2^-15 to 2^17, and its block.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FinePeak {
    level: u16,
    block: u16,
}

impl Peak for FinePeak {
    const DROPPED: u32 = 12;
    const LEAST: u32 = 112 << 11;
    const MOST: u16 = u16::MAX;

    fn new(level: u16, block: u16) -> FinePeak {
        FinePeak { level, block }
    }

    fn level(self) -> u16 {
        self.level
    }

    fn blocks_ago(self, block: u16) -> u16 {
        (block + TURN_BLOCKS - self.block % TURN_BLOCKS) % TURN_BLOCKS
    }

    fn is_over(self, block: u16) -> bool {
        self.blocks_ago(block) >= FORGOTTEN_AFTER
    }
}

/// A peak in two bytes: nine binary digits of a number from 2^-6 to 2^10, and in the lowest four bits which of [`AGES`] runs of blocks its own was in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CoarsePeak(u16);

impl CoarsePeak {
    /// How many runs ago that was, as of `block`.
    fn age(self, block: u16) -> u16 {
        (block / AGE_BLOCKS + AGES - (self.0 & (AGES - 1))) % AGES
    }
}

impl Peak for CoarsePeak {
    const DROPPED: u32 = 15;
    const LEAST: u32 = 121 << 8;
    const MOST: u16 = 4095;

    fn new(level: u16, block: u16) -> CoarsePeak {
        CoarsePeak((level << 4) | ((block / AGE_BLOCKS) % AGES))
    }

    fn level(self) -> u16 {
        self.0 >> 4
    }

    /// As of the middle of its run, as far as there was any of it.
    fn blocks_ago(self, block: u16) -> u16 {
        let into = block % AGE_BLOCKS;
        match self.age(block) {
            0 => into / 2,
            age => into + AGE_BLOCKS * (age - 1) + AGE_BLOCKS / 2,
        }
    }

    /// The number of the run that begins is that of the oldest.
    fn is_over(self, block: u16) -> bool {
        block.is_multiple_of(AGE_BLOCKS) && self.age(block) == 0
    }
}

/// Where peaks are kept, the largest first.
pub trait Places: Clone + PartialEq {
    /// What is kept of each.
    type Peak: Peak;
    /// Those there are.
    fn peaks(&self) -> &[Self::Peak];
    /// How many there may ever be.
    fn most(&self) -> usize;
    /// Room for one more is made, if there is any; how many there may be now.
    fn widen(&mut self, room: &mut Room) -> usize;
    /// Puts one in; the least goes where there is no place left.
    fn insert(&mut self, at: usize, peak: Self::Peak, places: usize);
    /// Forgets those that are not to be kept.
    fn retain(&mut self, keep: impl Fn(Self::Peak) -> bool);
    /// Heap bytes, the first places included though none may be taken.
    fn heap_bytes(&self) -> usize;
}

/// Peaks that take memory as they come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Growing {
    peaks: Vec<FinePeak>,
    most: u8,
}

impl Default for Growing {
    fn default() -> Growing {
        Growing {
            peaks: Vec::new(),
            most: PEAKS_MAX as u8,
        }
    }
}

impl Places for Growing {
    type Peak = FinePeak;

    fn peaks(&self) -> &[FinePeak] {
        &self.peaks
    }

    fn most(&self) -> usize {
        self.most.into()
    }

    fn widen(&mut self, room: &mut Room) -> usize {
        let known = self.peaks.len();
        let mut places = places(known);
        if known == places && known < self.most() && room.grant(known * size_of::<FinePeak>()) {
            places *= 2;
        }
        if self.peaks.capacity() < places {
            self.peaks.reserve_exact(places - known);
        }
        places
    }

    fn insert(&mut self, at: usize, peak: FinePeak, places: usize) {
        if self.peaks.len() == places {
            self.peaks.pop();
        }
        self.peaks.insert(at, peak);
    }

    fn retain(&mut self, keep: impl Fn(FinePeak) -> bool) {
        self.peaks.retain(|&peak| keep(peak));
        self.peaks.shrink_to(places(self.peaks.len()));
    }

    fn heap_bytes(&self) -> usize {
        places(self.peaks.len()) * size_of::<FinePeak>()
    }
}

/// Peaks that have their places beside what is known of them: no memory of its own to be fetched.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fixed {
    /// Zeros after the last.
    peaks: [CoarsePeak; PEAKS_MAX],
    count: u8,
}

impl Places for Fixed {
    type Peak = CoarsePeak;

    fn peaks(&self) -> &[CoarsePeak] {
        self.peaks.get(..self.count.into()).unwrap_or_default()
    }

    fn most(&self) -> usize {
        PEAKS_MAX
    }

    fn widen(&mut self, _: &mut Room) -> usize {
        PEAKS_MAX
    }

    fn insert(&mut self, at: usize, peak: CoarsePeak, _: usize) {
        let from = usize::from(self.count).min(PEAKS_MAX - 1);
        self.count = self.count.saturating_add(1).min(PEAKS_MAX as u8);
        self.peaks.copy_within(at..from, at + 1);
        self.peaks[at] = peak;
    }

    fn retain(&mut self, keep: impl Fn(CoarsePeak) -> bool) {
        let mut kept = Fixed::default();
        for &peak in self.peaks().iter().filter(|&&peak| keep(peak)) {
            kept.peaks[usize::from(kept.count)] = peak;
            kept.count += 1;
        }
        *self = kept;
    }

    fn heap_bytes(&self) -> usize {
        0
    }
}

impl Serialize for Fixed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.peaks().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Fixed {
    fn deserialize<D: Deserializer<'de>>(peaks: D) -> Result<Fixed, D::Error> {
        let peaks = Vec::<CoarsePeak>::deserialize(peaks)?;
        let mut fixed = Fixed::default();
        let places = fixed.peaks.get_mut(..peaks.len());
        let places = places.ok_or_else(|| de::Error::invalid_length(peaks.len(), &"32 peaks"))?;
        places.copy_from_slice(&peaks);
        fixed.count = peaks.len() as u8;
        Ok(fixed)
    }
}

/// The block maxima of one surprise, and how unusual a new one is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CalibrationIn<P> {
    peaks: P,
    /// Blocks seen, faded.
    blocks: f32,
    /// Largest surprise of the block that is being filled.
    open_peak: f32,
    /// Steps in that block.
    open_steps: u16,
    /// Number of the last block, of [`TURN_BLOCKS`] in turn.
    block: u16,
    /// So many peaks are the tail.
    tail_peaks: u8,
}

/// One whose memory grows with what it has seen.
pub type Calibration = CalibrationIn<Growing>;
/// One that is a part of something that every grown series has.
pub type FixedCalibration = CalibrationIn<Fixed>;

/// The tail of the peaks: the weight above its threshold, the threshold, and the sum of the excesses over it.
struct Tail {
    weight: f32,
    threshold: u16,
    excess: f32,
}

impl Calibration {
    /// One that has seen nothing and will remember so many peaks.
    pub fn with_peaks(most: u8) -> Calibration {
        Calibration {
            peaks: Growing {
                peaks: Vec::new(),
                most,
            },
            ..Calibration::default()
        }
    }
}

impl<P: Places> CalibrationIn<P> {
    /// Evidence of a surprise, nats, at least 0.
    pub fn evidence(&self, surprise: f64) -> f64 {
        self.evidence_of_mean(surprise, 1)
    }

    /// The same of the mean surprise of `of` members, whose excesses are expected to be smaller by √of.
    pub fn evidence_of_mean(&self, surprise: f64, of: u32) -> f64 {
        let (surprise, n) = (surprise as f32, self.blocks);
        let level = P::Peak::level_of(surprise);
        let f = if level > self.threshold() {
            let prior_mean = 1.0 / (of.max(1) as f32).sqrt();
            let tail = self.tail();
            let most = P::Peak::nats(P::Peak::MOST);
            let beyond = (surprise.min(most) - P::Peak::top(tail.threshold)).max(0.0);
            ((n + 1.0) / (tail.weight + 0.5)).ln()
                + (tail.weight + PRIOR) * (beyond / (tail.excess + PRIOR * prior_mean)).ln_1p()
        } else if self
            .peaks()
            .last()
            .is_none_or(|least| level < least.level())
        {
            // Below every peak that is remembered, while smaller ones were let go: nothing is known of it.
            0.0
        } else {
            let above = self.peaks().iter();
            let above = above.take_while(|peak| peak.level() >= level);
            let above: f32 = above.map(|peak| peak.weight(self.block)).sum();
            ((n + 1.0) / (above + 1.0)).ln()
        };
        f64::from(f.max(0.0))
    }

    /// The same, but from the least of the remembered peaks down it falls evenly to 0, not at once: for what is ranked against its like.
    pub fn graded_evidence(&self, surprise: f64) -> f64 {
        let (peaks, block) = (self.peaks(), self.block);
        let full = peaks.len() == self.peaks.most();
        match peaks.last().filter(|_| full) {
            Some(least) if P::Peak::level_of(surprise as f32) < least.level() => {
                let known: f32 = peaks.iter().map(|peak| peak.weight(block)).sum();
                let of_least = ((self.blocks + 1.0) / (known + 1.0)).ln().max(0.0);
                f64::from(of_least) * surprise / f64::from(P::Peak::nats(least.level()))
            }
            _ => self.evidence(surprise),
        }
    }

    /// Whether −ln p has meant what it says here: the level that some twelve blocks of `block_steps` exceeded is no higher than so many steps bring by
    /// chance, [`HONESTY_NATS`] allowed. A family whose tail is too thin for a series fails, for good or until its errors have faded.
    pub fn is_honest(&self, block_steps: u32) -> bool {
        let tail = self.tail();
        let blocks = f64::from((self.blocks + 1.0) / (tail.weight + 0.5));
        let by_chance = (f64::from(block_steps) * blocks).ln();
        f64::from(P::Peak::nats(tail.threshold)) <= by_chance + HONESTY_NATS
    }

    /// Forgets the peaks of −ln p that are above what so many steps bring by chance: they were claimed in ignorance.
    pub fn forgive(&mut self, block_steps: u32) {
        let by_chance = (f64::from(block_steps) * f64::from(self.blocks + 1.0)).ln();
        let most = P::Peak::level_of(by_chance as f32);
        self.peaks.retain(|peak| peak.level() <= most);
        self.tail_peaks = self.count_tail();
    }

    /// Adds one step's surprise; a block closes after `block_steps` of them. Without room the least peaks are forgotten sooner.
    pub fn learn(&mut self, surprise: f64, block_steps: u32, room: &mut Room) {
        self.open_peak = self.open_peak.max(surprise as f32);
        self.open_steps = self.open_steps.saturating_add(1);
        if u32::from(self.open_steps) >= block_steps {
            let peak = std::mem::take(&mut self.open_peak);
            self.open_steps = 0;
            self.close_block(P::Peak::level_of(peak), room);
        }
    }

    /// Whole blocks seen (faded: at most `1/(1 − FADE)` = 1,000).
    pub fn blocks(&self) -> f64 {
        f64::from(self.blocks)
    }

    /// Heap bytes, the first places included though none may be taken.
    pub fn heap_bytes(&self) -> usize {
        self.peaks.heap_bytes()
    }

    fn peaks(&self) -> &[P::Peak] {
        self.peaks.peaks()
    }

    fn close_block(&mut self, level: u16, room: &mut Room) {
        self.blocks = self.blocks * FADE + 1.0;
        self.block = self.block.wrapping_add(1) % TURN_BLOCKS;
        let block = self.block;
        if self.peaks().iter().any(|peak| peak.is_over(block)) {
            self.peaks.retain(|peak| !peak.is_over(block));
        }
        let at = self.peaks().partition_point(|peak| peak.level() >= level);
        let places = self.peaks.widen(room);
        // Where one was forgotten, what is smaller than all that are left is no peak: such were let go before, and how many is not known.
        let (known, most) = (self.peaks().len(), self.peaks.most());
        let is_gap = at == known && 2 * known >= most && self.blocks > most as f32;
        if at < places && !is_gap {
            self.peaks.insert(at, P::Peak::new(level, block), places);
        }
        self.tail_peaks = self.count_tail();
    }

    /// How many peaks make the tail.
    fn count_tail(&self) -> u8 {
        let mut wanted = TAIL_PEAKS.max(0.02 * self.blocks).min(self.blocks / 2.0);
        let known = self.peaks().len();
        if known < self.peaks.most() {
            // Of fewer peaks than blocks, for want of room, half have to say where the tail begins.
            wanted = wanted.min(known as f32 / 2.0);
        }
        let (mut weight, mut count) = (0.0, 0);
        for peak in self.peaks() {
            weight += peak.weight(self.block);
            if weight > wanted + 1e-3 {
                break;
            }
            count += 1;
        }
        // Old peaks are light; but the least that is left is where the tail begins, however light they are together: smaller ones were let go.
        count.min(known.saturating_sub(1) as u8)
    }

    /// The level that the tail begins at: that of the largest peak which is not of it.
    fn threshold(&self) -> u16 {
        let first_below = self.peaks().get(usize::from(self.tail_peaks));
        first_below.map_or(0, |peak| peak.level())
    }

    fn tail(&self) -> Tail {
        let threshold = self.threshold();
        let (mut weight, mut excess) = (0.0, 0.0);
        for peak in self.peaks().iter().take(usize::from(self.tail_peaks)) {
            let own = peak.weight(self.block);
            weight += own;
            excess += own * (P::Peak::nats(peak.level()) - P::Peak::nats(threshold));
        }
        Tail {
            weight,
            threshold,
            excess,
        }
    }
}

/// How many peaks memory is held for when so many are known.
fn places(peaks: usize) -> usize {
    peaks.next_power_of_two().max(PEAKS_FIRST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(blocks: &[f64]) -> Calibration {
        let mut calibration = Calibration::default();
        let room = &mut Room::unlimited();
        blocks
            .iter()
            .for_each(|&peak| calibration.learn(peak, 1, room));
        calibration
    }

    #[test]
    fn evidence_never_falls_as_the_surprise_grows() {
        let histories: [Vec<f64>; 4] = [
            vec![],
            vec![1.0],
            (0..50).map(f64::from).collect(),
            (0..400).map(|i| f64::from(i % 7)).collect(),
        ];
        for history in histories {
            let calibration = after(&history);
            let evidence: Vec<f64> = (0..800)
                .map(|i| calibration.evidence(f64::from(i) / 10.0))
                .collect();
            assert!(
                evidence.windows(2).all(|pair| pair[0] <= pair[1] + 1e-5),
                "{} blocks: {evidence:?}",
                history.len()
            );
            assert!(evidence.iter().all(|f| f.is_finite() && *f >= 0.0));
        }
    }

    #[test]
    fn a_tail_is_honest_while_it_claims_no_more_than_chance_brings() {
        // The largest of 24 exponential variables, by their quantiles; and the same claimed threefold.
        let largest = |i: u32| -(1.0 - ((f64::from(i) + 0.5) / 100.0).powf(1.0 / 24.0)).ln();
        let blocks = |factor: f64| {
            (0..100)
                .map(|i| factor * largest(i * 37 % 100))
                .collect::<Vec<_>>()
        };
        assert!(after(&blocks(1.0)).is_honest(24));
        assert!(!after(&blocks(3.0)).is_honest(24));
    }

    #[test]
    fn graded_evidence_has_no_step_where_the_memory_of_peaks_ends() {
        let calibration = after(&(0..400).map(|i| f64::from(i % 97)).collect::<Vec<_>>());
        let graded: Vec<f64> = (0..970)
            .map(|i| calibration.graded_evidence(f64::from(i) / 10.0))
            .collect();
        let steps = graded.windows(2).map(|pair| pair[1] - pair[0]);
        let (least, most) = steps.fold((0.0f64, 0.0f64), |(least, most), step| {
            (least.min(step), most.max(step))
        });
        assert!(
            least > -1e-5 && most < 0.3,
            "from {least} to {most}: {graded:?}"
        );
    }

    #[test]
    fn forgiven_are_claims_that_chance_does_not_bring_and_the_number_of_blocks_stays() {
        let usual = (0..60).map(|i| 3.0 + f64::from(i % 5) / 5.0);
        let blocks: Vec<f64> = usual.chain([35.0, 33.0]).collect();
        let mut calibration = after(&blocks);
        let (before, known) = (calibration.evidence(22.0), calibration.blocks());
        calibration.forgive(24);
        assert!(
            calibration
                .peaks()
                .iter()
                .all(|peak| FinePeak::nats(peak.level()) < 8.0)
        );
        assert_eq!(calibration.blocks(), known);
        let forgiven = calibration.evidence(22.0);
        assert!(forgiven > before + 3.0, "{before}, then {forgiven}");
    }

    #[test]
    fn on_exponential_peaks_the_evidence_is_the_logarithm_of_their_rank() {
        let peaks: Vec<f64> = (1..=150)
            .map(|rank| -(f64::from(rank) / 151.0).ln())
            .collect();
        let calibration = after(&peaks);
        for chance in [0.2, 0.02, 0.005_f64] {
            let f = calibration.evidence(-chance.ln());
            assert!(
                (f + chance.ln()).abs() < 1.0,
                "chance {chance}: evidence {f}, expected {}",
                -chance.ln()
            );
        }
    }

    #[test]
    fn what_repeats_loses_its_evidence() {
        let mut calibration = after(&vec![1.0; 40]);
        let before = calibration.evidence(9.0);
        (0..20).for_each(|_| calibration.learn(9.0, 1, &mut Room::unlimited()));
        assert!(
            before > 5.0 && calibration.evidence(9.0) < 2.0,
            "{before} then {}",
            calibration.evidence(9.0)
        );
    }

    #[test]
    fn with_room_for_few_peaks_no_more_is_claimed_of_what_is_usual() {
        let (mut few, room) = (Calibration::default(), &mut Room::of(0));
        let mut draw = 1u64;
        let mut peak = || {
            draw = draw.wrapping_mul(6_364_136_223_846_793_005) + 1;
            -((draw >> 11) as f64 / 2f64.powi(53)).ln()
        };
        (0..500).for_each(|_| few.learn(peak(), 1, room));
        let usual: Vec<f64> = (0..500).map(|_| few.evidence(peak())).collect();
        let loud = usual.iter().filter(|&&f| f > 3.0).count();
        assert!(
            few.peaks().len() == PEAKS_FIRST && loud <= 40,
            "{loud} of 500, by chance 25"
        );
        assert!(few.evidence(30.0) > 5.0, "{}", few.evidence(30.0));
    }

    #[test]
    fn peaks_of_two_bytes_say_about_what_those_of_four_do_and_old_ones_are_forgotten() {
        let (mut growing, mut fixed) = (Calibration::default(), FixedCalibration::default());
        let room = &mut Room::unlimited();
        let (mut draw, mut off) = (1u64, Vec::new());
        for block in 0..8_000 {
            draw = draw.wrapping_mul(6_364_136_223_846_793_005) + 1;
            let peak = -((draw >> 11) as f64 / 2f64.powi(53)).ln();
            growing.learn(peak, 1, room);
            fixed.learn(peak, 1, room);
            for surprise in [0.5, 3.0, 8.0, 20.0] {
                let (one, other) = (growing.evidence(surprise), fixed.evidence(surprise));
                off.push((one - other).abs());
            }
            // What is usual is no evidence, however old the series is.
            let usual = growing.evidence(0.5).max(fixed.evidence(0.5));
            assert!(block < 50 || usual < 1.5, "block {block}: {usual}");
            assert!(fixed.peaks().is_sorted_by(|a, b| a.level() >= b.level()));
            let ages = fixed.peaks().iter().map(|peak| peak.weight(fixed.block));
            assert!(
                ages.into_iter().all(|weight| weight > 0.05),
                "block {block}"
            );
        }
        // The tail may begin one peak earlier or later: of few that is much.
        let most = off.iter().copied().fold(0.0, f64::max);
        let mean = off.iter().sum::<f64>() / off.len() as f64;
        assert!(
            mean < 0.1 && most < 1.5,
            "{mean} on average, {most} at most"
        );
        let bytes = postcard::to_allocvec(&fixed).expect("bytes");
        assert_eq!(postcard::from_bytes::<FixedCalibration>(&bytes), Ok(fixed));
        let long = postcard::to_allocvec(&vec![CoarsePeak(0); PEAKS_MAX + 1]).expect("bytes");
        assert!(postcard::from_bytes::<Fixed>(&long).is_err());
    }
}
