//! The distribution of a series' next value around its forecast: several families, weighted by how well each foretold the past.
//!
//! Normal (Student-t predictive), log-normal (Student-t on logarithms), gamma (moments of the ratio to the forecast), negative binomial with
//! Poisson as its limit (counts only), a Student-t with 3 degrees of freedom for heavy tails, and of extremes, which are skewed whatever they are the extremes of, a gamma variable
//! moved to where its skewness is theirs (Pearson's type III). Sums have that family too, with a variance in proportion to their level and a skewness in proportion to σ/μ, as sums of
//! a Poisson number of parts have (Feller, An Introduction to Probability Theory, vol. 1, XII.2). Each is fitted by fading moments; weights are the
//! fading sums of log predictive likelihoods (prequential model averaging: Dawid 1984), tails the weighted mean of the families' tails.
//! All in natural logs. Integers are judged with continuity: P(X >= k) and P(X <= k) both hold k.
//! Holds: tails are at most 0, never NaN; the mean of the two tails' probabilities is at least one half of their joint support.

mod families;

use super::change::Cusum;
use super::pearson::Pearson;
use crate::config::Side;
use crate::numerics::log_domain::ln_add_exp;
use crate::numerics::special::student_t::Freedom;
use crate::numerics::special::{gamma, negative_binomial, student_t};
use serde::{Deserialize, Serialize};
use std::f64::consts::LN_2;
use std::sync::LazyLock;

const FAMILIES: usize = 6;
const NORMAL: usize = 0;
const LOG_NORMAL: usize = 1;
const GAMMA: usize = 2;
const COUNTS: usize = 3;
const HEAVY: usize = 4;
const SKEWED: usize = 5;
/// Prior log weights: heavy tails have to be shown, for they excuse everything.
const PRIOR: [f32; FAMILIES] = [0.0, 0.0, 0.0, 0.0, -5.0, 0.0];
/// Values over which moments are forgotten.
const MEMORY: f64 = 1000.0;
const RESTART_WEIGHT: f64 = 24.0;
/// Values after which a spread is known well enough to change.
const SPREAD_AFTER: f64 = 100.0;
/// What a family's past log likelihood is worth after one more value.
const LIKELIHOOD_FADE: f32 = 0.998;
/// Degrees of freedom of the heavy-tailed family, and E|T| of a standard one: 2√3/π.
const HEAVY_FREEDOM: f64 = 3.0;
const HEAVY_MEAN_ABS: f64 = 1.102_657_790_843_584;
/// Floors of the standard deviation: a share of the level, and for integers a third of their step.
const SD_FLOOR_SHARE: f64 = 1e-4;
const SD_FLOOR_INTEGER: f64 = 0.3;
/// Nearer to the forecast than this a whole number is the one that was expected.
const HALF_A_STEP: f64 = 0.5;
/// Below this share of the weight a family is not asked; its log is -13.8.
const WEIGHT_MIN: f64 = 1e-6;
const LN_WEIGHT_MIN: f32 = -14.0;
/// Skewness between these is told from none, and believed.
const SKEWNESS_MIN: f64 = 0.05;
const SKEWNESS_MAX: f64 = 4.0;
/// A skewness is believed like one of so many values that had none.
const SKEWNESS_PRIOR: f64 = 24.0;
/// Deviations count up to so many for the skewness.
const CUBED_MAX: f64 = 8.0;
/// Down to here tails are summed as plain numbers, below it as logs.
const PLAIN_MIN: f64 = 1e-250;
/// What one value can tell against a family: one incident must not make heavy tails of a series.
const SHORTFALL_MAX: f64 = 4.0;
/// ln of a density from which on it is of the size of a whole number's chance no more: a bell as narrow as the step has a density above 1, and no chance is.
const LN_NARROW: f64 = -1.0;
/// One log likelihood counts for at most this much against a family.
const LIKELIHOOD_MIN: f64 = -30.0;

/// Fading moments of what the forecasts left.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Residuals {
    weight: f64,
    square: f64,
    abs: f64,
    /// Of ln x − ln μ.
    log_square: f64,
    /// Of (x/μ − 1)².
    ratio_square: f64,
    /// Of (x − μ)² − μ, and of μ²: the over-dispersion of counts. Of sums the first is of (x − μ)² μ: their variance over their level, by least squares.
    excess: f64,
    level_square: f64,
    /// Sum of values, for the uncertainty of a small count's level.
    events: f64,
    /// Of ((x − μ)/σ)³; of extremes, and of sums, as a multiple of σ/μ.
    skewness: f32,
    likelihood: [f32; FAMILIES],
    wider: Cusum,
    narrower: Cusum,
    integer: bool,
    positive: bool,
    nonnegative: bool,
    sums: bool,
}

/// By the nearest whole number, the degrees of freedom after so many values that all were believed; of as few as cost gamma functions.
static YOUNG: LazyLock<[Freedom; 31]> = LazyLock::new(|| {
    let mut residuals = Residuals::default();
    std::array::from_fn(|_| {
        residuals.fade(1.0);
        Freedom::of(residuals.freedom()).with_peak()
    })
});

impl Default for Residuals {
    fn default() -> Residuals {
        Residuals {
            weight: 0.0,
            square: 0.0,
            abs: 0.0,
            log_square: 0.0,
            ratio_square: 0.0,
            excess: 0.0,
            level_square: 0.0,
            events: 0.0,
            skewness: 0.0,
            likelihood: PRIOR,
            wider: Cusum::default(),
            narrower: Cusum::default(),
            integer: true,
            positive: true,
            nonnegative: true,
            sums: false,
        }
    }
}

/// The least ln p that is ever said. A family may call what was seen impossible (a log-normal, zero); then the family is wrong, and
/// one value must not outweigh all others of a bucket for ever.
const LN_PROBABILITY_MIN: f64 = -1e6;

/// What else is known of the values around one.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// The last ones stay on one side: they are of another level rather than of a wider spread.
    pub on_one_side: bool,
    /// Buckets of a day: a night may be calm, a narrower spread has to be so by day too.
    pub day_buckets: u16,
    /// They are extremes: their distribution is skewed by its nature.
    pub skewed: bool,
    /// They are sums of so many: their variance grows with their level, and they are skewed.
    pub sums: bool,
    /// How far what is unusual has come again and again, 0..=1: then it is no incident but what a family has to foretell.
    pub repeats: f64,
    /// Of a count: events that its forecast stands on.
    pub events: f64,
}

/// The spread has changed by a factor over so many values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SpreadChange {
    /// 2 or one half.
    pub factor: f64,
    /// Values that showed it.
    pub steps: u16,
}

/// Logarithms of P(X <= x) and P(X >= x).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tails {
    /// ln P(X <= x), at most 0.
    pub lower: f64,
    /// ln P(X >= x), at most 0.
    pub upper: f64,
}

impl Tails {
    /// ln p of a value at least as unlikely, on the side that counts: twice the smaller tail, at most 1.
    pub fn ln_probability(self, side: Side) -> f64 {
        let tail = match side {
            Side::Both => self.lower.min(self.upper),
            Side::High => self.upper,
            Side::Low => self.lower,
        };
        (tail + LN_2).clamp(LN_PROBABILITY_MIN, 0.0)
    }
}

impl Residuals {
    /// How many values (faded) the moments stand on.
    pub fn weight(&self) -> f64 {
        self.weight
    }

    /// Whether no value was ever below zero: then no interval is drawn there either.
    pub fn nonnegative(&self) -> bool {
        self.nonnegative
    }

    /// A value has come as it was measured. (What is learnt of it may be stretched about its forecast, and lie below zero where it never was.)
    pub fn see(&mut self, measured: f64) {
        self.nonnegative &= measured >= 0.0;
    }

    /// What forecasts leave has become another thing: what was known of it is believed like [`RESTART_WEIGHT`] values, to be overruled soon.
    pub fn restart(&mut self) {
        let share = (RESTART_WEIGHT / self.weight).min(1.0);
        self.weight *= share;
        self.events *= share;
        for likelihood in &mut self.likelihood {
            *likelihood *= share as f32;
        }
    }

    /// Whether all values so far were above 0.
    pub fn positive(&self) -> bool {
        self.positive
    }

    /// Standard deviation around the forecast, floored.
    pub fn deviation(&self, forecast: f64) -> f64 {
        (self.square * (1.0 + 1.0 / self.weight.max(1.0)))
            .sqrt()
            .max(self.deviation_floor(forecast))
    }

    /// Standard deviation around the forecast by the likeliest family: of counts, and of what varies in proportion, it grows with the forecast.
    pub fn deviation_by_law(&self, forecast: f64, counting: bool) -> f64 {
        match self.likeliest(counting) {
            LOG_NORMAL => positive(forecast) * self.log_deviation(forecast),
            GAMMA => positive(forecast) / self.gamma_shape(forecast).sqrt(),
            COUNTS => self.count_deviation(forecast),
            _ => self.deviation(forecast),
        }
    }

    /// No standard deviation is less: values are rounded, whatever they are.
    pub fn deviation_floor(&self, forecast: f64) -> f64 {
        let floor = if self.integer { SD_FLOOR_INTEGER } else { 0.0 };
        (SD_FLOOR_SHARE * forecast.abs())
            .max(floor)
            .max(f64::MIN_POSITIVE.sqrt())
    }

    /// The tails at `x`; `events`, when values are whole numbers of things: how many of them the forecast stands on.
    pub fn tails(&self, x: f64, forecast: f64, events: Option<f64>) -> Tails {
        let weights = self.weights(events.is_some());
        let size = self.size_after(events);
        let asked = || weights.iter().enumerate().filter(|(_, w)| **w > WEIGHT_MIN);
        let (mut lower, mut upper) = (0.0, 0.0);
        let freedom = self.known_freedom();
        for (family, weight) in asked() {
            let one = self.family_probabilities(family, x, forecast, size, &freedom);
            lower += weight * one.lower;
            upper += weight * one.upper;
        }
        let tails = if lower.min(upper) > PLAIN_MIN {
            Tails {
                lower: lower.ln(),
                upper: upper.ln(),
            }
        } else {
            let mut tails = Tails {
                lower: f64::NEG_INFINITY,
                upper: f64::NEG_INFINITY,
            };
            for (family, weight) in asked() {
                let one = self.family_tails(family, x, forecast, size);
                tails.lower = ln_add_exp(tails.lower, one.lower + weight.ln());
                tails.upper = ln_add_exp(tails.upper, one.upper + weight.ln());
            }
            tails
        };
        let most = match events {
            None => self.ln_side_at_most(x - forecast),
            Some(_) => 0.0,
        };
        let (below, above) = if x < forecast {
            (most, 0.0)
        } else {
            (0.0, most)
        };
        Tails {
            lower: tails.lower.min(below),
            upper: tails.upper.min(above),
        }
    }

    /// ln of the most that a side beyond this error can have, where whole numbers hardly move: no family is narrower than their step, so that one step away would be
    /// as likely after weeks without any as after a day. By Chebyshev's inequality of a variance that is itself estimated, of `n` values, with the rule of
    /// succession for what none of them showed (after Saw, Yang and Mo, The American Statistician 38, 1984): `P(|X − m| ≥ d) ≤ (n s²/d² + 1)/(n + 2)`.
    fn ln_side_at_most(&self, error: f64) -> f64 {
        let hardly_moves = self.square < SD_FLOOR_INTEGER * SD_FLOOR_INTEGER;
        if !self.integer || !hardly_moves || error.abs() < HALF_A_STEP {
            return 0.0;
        }
        let shown = self.weight * self.square / (error * error);
        (0.5 * (shown + 1.0) / (self.weight + 2.0)).ln().min(0.0)
    }

    fn likeliest(&self, counting: bool) -> usize {
        let weights = self.weights(counting);
        (0..FAMILIES)
            .max_by(|&a, &b| weights[a].total_cmp(&weights[b]))
            .unwrap_or(NORMAL)
    }

    /// As [`quantile`](Self::quantile), of a distribution of `ratio` times the variance: that of a forecast further ahead, or of a better one. Positive families
    /// are widened in logarithms, counts by their dispersion, which is at least Poisson's: neither comes to promise values below zero.
    pub fn quantile_of_ratio(&self, p: f64, forecast: f64, counting: bool, ratio: f64) -> f64 {
        let value = self.quantile(p, forecast, counting);
        let wider = ratio.sqrt();
        match self.likeliest(counting) {
            LOG_NORMAL | GAMMA if value > 0.0 && forecast > 0.0 => {
                forecast * (ln_ratio(value, forecast) * wider).exp()
            }
            COUNTS => {
                let mean = count_mean(forecast);
                let variance = ratio * (mean + mean * mean / self.count_size());
                let size = match variance > mean {
                    true => (mean * mean / (variance - mean)).clamp(1e-3, 1e9),
                    false => 1e9,
                };
                negative_binomial::quantile(p, mean, size)
            }
            _ => forecast + (value - forecast) * wider,
        }
    }

    /// The value below which the share `p` of the likeliest family lies.
    pub fn quantile(&self, p: f64, forecast: f64, counting: bool) -> f64 {
        match self.likeliest(counting) {
            LOG_NORMAL => {
                positive(forecast)
                    * (self.log_deviation(forecast) * student_t::quantile(p, self.freedom())).exp()
            }
            GAMMA => {
                let shape = self.gamma_shape(forecast);
                gamma::quantile(p, shape, positive(forecast) / shape)
            }
            COUNTS => negative_binomial::quantile(p, count_mean(forecast), self.count_size()),
            HEAVY => forecast + self.heavy_scale(forecast) * student_t::quantile(p, HEAVY_FREEDOM),
            SKEWED => self.pearson(forecast).quantile(p),
            _ => forecast + self.deviation(forecast) * student_t::quantile(p, self.freedom()),
        }
    }

    /// The least deviation that values of this kind can have: a third of the step of integers.
    pub fn least_deviation(&self) -> f64 {
        if self.integer { SD_FLOOR_INTEGER } else { 0.0 }
    }

    /// ln of the density at `x`, all families together.
    pub fn ln_density_of_all(&self, x: f64, forecast: f64, events: Option<f64>) -> f64 {
        let weights = self.weights(events.is_some());
        let size = self.size_after(events);
        let freedom = self.known_freedom().with_peak();
        let ln_density = |family| self.ln_density(family, x, forecast, size, &freedom);
        (0..FAMILIES)
            .filter(|&family| weights[family] > WEIGHT_MIN)
            .map(|family| ln_density(family).max(LIKELIHOOD_MIN) + weights[family].ln())
            .fold(f64::NEG_INFINITY, ln_add_exp)
    }

    /// Learns what a forecast left; `weight` in 0..=1 says how much of it to believe. By how much the spread has changed, if that is believed now.
    pub fn learn(
        &mut self,
        x: f64,
        forecast: f64,
        weight: f64,
        counting: bool,
        run: Run,
    ) -> Option<SpreadChange> {
        let changed = self.watch_spread(x - forecast, run);
        if self.weight >= 1.0 {
            let events = counting.then_some(run.events);
            self.learn_families(x, forecast, weight, events, run.repeats);
        }
        self.integer &= x.fract() == 0.0;
        self.positive &= x > 0.0;
        self.fade(weight);
        let gain = weight / self.weight;
        let error = x - forecast;
        let level = positive(forecast);
        let mean = count_mean(forecast);
        self.sums = run.sums;
        if (run.skewed || run.sums) && self.weight > 1.0 {
            let deviation = self.skewed_deviation(forecast);
            let cubed = (error / deviation).clamp(-CUBED_MAX, CUBED_MAX).powi(3);
            let unit = self.skewness_unit(forecast, deviation);
            self.skewness += (gain * (cubed / unit - f64::from(self.skewness))) as f32;
        }
        self.square += gain * ((error * error).min(1e300) - self.square);
        self.abs += gain * (error.abs() - self.abs);
        let square = (error * error).min(1e300);
        let dispersed = if run.sums {
            square * mean
        } else {
            square - mean
        };
        self.excess += gain * (dispersed.min(1e300) - self.excess);
        self.level_square += gain * (mean * mean - self.level_square);
        self.events = self.events * (1.0 - 1.0 / MEMORY) + x.clamp(0.0, 1e12);
        if x > 0.0 {
            self.log_square += gain * (ln_ratio(x, level).powi(2) - self.log_square);
        }
        self.ratio_square += gain * ((x / level - 1.0).powi(2).min(1e12) - self.ratio_square);
        changed
    }

    /// Whether errors have come to be twice as large, or half: the likelihood ratio of two Laplace densities asks nothing of a value but how large it is
    /// against the usual size, so that tails of any weight tell as little as they should. Follows what is believed.
    fn watch_spread(&mut self, error: f64, run: Run) -> Option<SpreadChange> {
        let floor = if self.integer { SD_FLOOR_INTEGER } else { 0.0 };
        if self.weight < SPREAD_AFTER || self.abs <= floor {
            return None;
        }
        let size = error.abs() / self.abs;
        let wider = !run.on_one_side && self.wider.add(0.5 * size - LN_2);
        let narrower = self.narrower.add(LN_2 - size);
        let (factor, steps): (f64, u16) = match (wider, narrower) {
            (true, _) => (2.0, self.wider.steps()),
            (_, true) if self.narrower.steps() >= run.day_buckets => (0.5, self.narrower.steps()),
            _ => return None,
        };
        (self.wider, self.narrower) = (Cusum::default(), Cusum::default());
        let square = factor * factor;
        self.abs *= factor;
        for moment in [
            &mut self.square,
            &mut self.log_square,
            &mut self.ratio_square,
        ] {
            *moment *= square;
        }
        self.weight = self.weight.min(SPREAD_AFTER);
        Some(SpreadChange { factor, steps })
    }

    /// What each family foretold counts for it: by how much it fell short of the best, and for one value no more than [`SHORTFALL_MAX`] nats.
    fn learn_families(
        &mut self,
        x: f64,
        forecast: f64,
        weight: f64,
        events: Option<f64>,
        repeats: f64,
    ) {
        let (counting, size) = (events.is_some(), self.size_after(events));
        let mut gained = [LIKELIHOOD_MIN; FAMILIES];
        let freedom = self.known_freedom().with_peak();
        for (family, gained) in gained.iter_mut().enumerate() {
            if self.allows(family, counting) {
                let mut told = self.ln_density(family, x, forecast, size, &freedom);
                if counting && family != COUNTS && told > LN_NARROW {
                    told = self.ln_mass(family, x, forecast, &freedom).min(told);
                }
                *gained = told.max(LIKELIHOOD_MIN);
            }
        }
        let best = gained.iter().copied().fold(LIKELIHOOD_MIN, f64::max);
        for (likelihood, gained) in self.likelihood.iter_mut().zip(gained) {
            let most = SHORTFALL_MAX + repeats * (-LIKELIHOOD_MIN - SHORTFALL_MAX);
            let shortfall = (gained - best).max(-most);
            *likelihood = LIKELIHOOD_FADE * *likelihood + (weight * shortfall) as f32;
        }
    }

    /// The weight of one value more.
    fn fade(&mut self, weight: f64) {
        self.weight = self.weight * (1.0 - 1.0 / MEMORY) + weight;
    }

    fn freedom(&self) -> f64 {
        (self.weight - 1.0).max(1.0)
    }

    /// The same with what it costs to find. Series that have believed every value so far have one of a few weights.
    fn known_freedom(&self) -> Freedom {
        let nu = self.freedom();
        let known = YOUNG.get((nu + 0.5) as usize);
        let known = known.filter(|known| known.degrees() == nu);
        known.copied().unwrap_or_else(|| Freedom::of(nu))
    }

    /// Least relative deviation: what the integers' step, or rounding, leaves open.
    fn share_floor(&self, forecast: f64) -> f64 {
        let step = if self.integer {
            SD_FLOOR_INTEGER / positive(forecast)
        } else {
            0.0
        };
        step.max(SD_FLOOR_SHARE)
    }

    /// Standard deviation of the logarithm of a value over its forecast.
    pub(super) fn log_deviation(&self, forecast: f64) -> f64 {
        (self.log_square * (1.0 + 1.0 / self.weight.max(1.0)))
            .sqrt()
            .max(self.share_floor(forecast))
    }

    /// Shape of the gamma family: the square of the forecast over the variance.
    pub(super) fn gamma_shape(&self, forecast: f64) -> f64 {
        let square = self.ratio_square * (1.0 + 1.0 / self.weight.max(1.0));
        1.0 / square.max(self.share_floor(forecast).powi(2)).min(1e6)
    }

    /// Size of the negative binomial: over-dispersion of the data and uncertainty of the level together.
    fn count_size(&self) -> f64 {
        let dispersion = if self.level_square > 0.0 {
            (self.excess / self.level_square).max(0.0)
        } else {
            0.0
        };
        (1.0 / (dispersion + 1.0 / (self.events + 0.5))).clamp(1e-3, 1e9)
    }

    /// The same where the forecast stands on so many events: it is a gamma variable of that shape, and so is no better known than that.
    fn size_after(&self, events: Option<f64>) -> f64 {
        let events = events.unwrap_or(f64::INFINITY);
        self.count_size().min(events)
    }

    /// ln of the chance that nothing comes of a count, by its law, where the forecast stands on so many events.
    pub fn ln_none(&self, forecast: f64, events: f64) -> f64 {
        negative_binomial::ln_pmf(0.0, count_mean(forecast), self.size_after(Some(events)))
    }

    /// How far counts of this mean vary, by their law.
    pub fn count_deviation(&self, mean: f64) -> f64 {
        let mean = count_mean(mean);
        (mean + mean * mean / self.count_size()).sqrt()
    }

    /// The skewed family, its skewness drawn towards none while values are few; that of sums towards the one of equal parts.
    fn pearson(&self, forecast: f64) -> Pearson {
        let known = self.weight / (self.weight + SKEWNESS_PRIOR);
        let deviation = self.skewed_deviation(forecast);
        let unit = self.skewness_unit(forecast, deviation);
        let unknown = if self.sums { 1.0 - known } else { 0.0 };
        let skewness = unit * (known * f64::from(self.skewness) + unknown);
        let size = skewness.abs().clamp(SKEWNESS_MIN, SKEWNESS_MAX);
        Pearson::of(forecast, deviation, size.copysign(skewness))
    }

    /// Standard deviation of the skewed family: a sum of so many independent parts has a variance in proportion to how many they are.
    fn skewed_deviation(&self, forecast: f64) -> f64 {
        if !self.sums || self.level_square <= 0.0 {
            return self.deviation(forecast);
        }
        let a_level = self.excess / self.level_square * (1.0 + 1.0 / self.weight.max(1.0));
        let variance = a_level * count_mean(forecast);
        variance.sqrt().max(self.deviation_floor(forecast))
    }

    /// What a skewness is told in: of a sum of equal parts, as many as a Poisson variable says, it is σ/μ.
    fn skewness_unit(&self, forecast: f64, deviation: f64) -> f64 {
        match self.sums {
            true => (deviation / count_mean(forecast)).clamp(SKEWNESS_MIN, SKEWNESS_MAX),
            false => 1.0,
        }
    }

    fn heavy_scale(&self, forecast: f64) -> f64 {
        let floor = if self.integer { SD_FLOOR_INTEGER } else { 0.0 };
        (self.abs / HEAVY_MEAN_ABS)
            .max(SD_FLOOR_SHARE * forecast.abs())
            .max(floor)
            .max(f64::MIN_POSITIVE.sqrt())
    }

    fn allows(&self, family: usize, counting: bool) -> bool {
        match family {
            LOG_NORMAL | GAMMA => self.positive,
            SKEWED if self.sums => self.nonnegative,
            SKEWED => self.skewness.abs() >= SKEWNESS_MIN as f32,
            COUNTS => counting && self.integer,
            _ => true,
        }
    }

    /// Weights of the families, summing to 1.
    fn weights(&self, counting: bool) -> [f64; FAMILIES] {
        let allowed = |family: usize| self.allows(family, counting);
        let best = (0..FAMILIES)
            .filter(|&f| allowed(f))
            .map(|f| self.likelihood[f])
            .fold(f32::NEG_INFINITY, f32::max);
        let mut weights = [0.0; FAMILIES];
        for (family, weight) in weights.iter_mut().enumerate() {
            let behind = self.likelihood[family] - best;
            if behind == 0.0 && allowed(family) {
                *weight = 1.0;
            } else if behind > LN_WEIGHT_MIN && allowed(family) {
                *weight = f64::from(behind).exp();
            }
        }
        let sum: f64 = weights.iter().sum();
        weights.map(|weight| weight / sum)
    }
}

/// The forecast of a positive quantity; a forecast that is none stands for a little above 0.
fn positive(forecast: f64) -> f64 {
    if forecast > 0.0 { forecast } else { 1e-3 }
}

/// The expected count: a thing that never came may still come.
fn count_mean(forecast: f64) -> f64 {
    forecast.max(1e-3)
}

/// ln of the ratio of a value to the forecast; -∞ from 0 down.
fn ln_ratio(value: f64, forecast: f64) -> f64 {
    if value <= 0.0 {
        return f64::NEG_INFINITY;
    }
    let ratio = value / positive(forecast);
    if ratio.is_normal() {
        ratio.ln()
    } else {
        value.ln() - positive(forecast).ln()
    }
}
