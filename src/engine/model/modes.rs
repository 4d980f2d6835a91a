//! Values with two modes: a machine that is on or off, a cache that hits or misses, two kinds of request under one name.
//!
//! One bell around a forecast calls everything between two modes usual, and nothing far enough out. So each series keeps four fading moments of its distance from
//! a calm forecast (levels that do not follow the modes), and where they look like two modes (Sarle's coefficient, (skewness² + 1)/kurtosis, above
//! [`LOOKS_LIKE_TWO`]; 0.33 for a normal, 0.56 for a uniform one, 1 for two points) two normal components are fitted beside the families: each with a fading mean
//! and variance, in proportion to the forecast where values are positive, and with how often either follows either, so that a state that lasts is
//! foretold by the last one. They are believed while they foretold the values better than the families did, prequentially (Dawid 1984), by [`BELIEF`] nats.
//! Probabilities are of densities as low: what lies between the modes is as unusual as what lies beyond them; each component's share of that is taken
//! by itself, as if the others were far. Holds: ln p is at most 0, never NaN.

use super::Room;
use super::residual::Tails;
use crate::config::Side;
use crate::numerics::log_domain::ln_add_exp;
use crate::numerics::special::normal;
use serde::{Deserialize, Serialize};
use std::f64::consts::LN_2;

const LOOKS_LIKE_TWO: f64 = 0.7;
/// Values that moments are known after, and over which they are forgotten.
const KNOWN_AFTER: u16 = 100;
const MEMORY: f64 = 1000.0;
/// Standardised distances are cut here.
const DISTANCE_MOST: f64 = 5.0;
/// What it takes to believe in two modes, nats. They are let go at 0 and given up at the negative of it; their credit is never more than twice it.
const BELIEF: f64 = 12.0;
const TELLS_MOST: f64 = 2.0;
/// A value farther than this from both modes is of neither.
const FAR: f64 = 5.0;
/// Modes are that many sums of their deviations apart.
const APART: f32 = 2.0;
/// Values over which a component, and how often it follows, is forgotten.
const COMPONENT_MEMORY: f64 = 500.0;
/// The least deviation of a component, as a share of the forecast.
const LEAST_SHARE: f64 = 1e-3;
/// Share of the values that the families keep while the two are compared.
const OTHERS: f64 = 0.01;
/// ln 1e-9: what the families' probability counts where the modes are believed, lest thin tails claim what was never seen.
const LN_DOUBT: f64 = -20.723_265_836_946_41;
const LN_ROOT_TAU: f64 = 0.918_938_533_204_672_7;
/// Searches double their patience after each that came to nothing.
const TRIES_MOST: u8 = 6;

/// Moments of the distance from the calm forecast, and the modes once there are some to fit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Modes {
    mean: f32,
    square: f32,
    /// Of the standardised distance.
    third: f32,
    fourth: f32,
    seen: u16,
    tries: u8,
    two: Option<Box<Two>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Component {
    mean: f32,
    variance: f32,
    /// Values of it, faded.
    count: f32,
    /// How often the lower and the upper one came after it, faded.
    followed: [f32; 2],
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Two {
    /// Distances are ratios to the forecast, not differences.
    in_proportion: bool,
    /// The lower one first, at birth.
    components: [Component; 2],
    /// That of the last value.
    last: u8,
    credit: f32,
    believed: bool,
}

/// A component as it is expected of the next value.
#[derive(Clone, Copy)]
struct Expected {
    ln_weight: f64,
    mean: f64,
    deviation: f64,
}

impl Expected {
    fn ln_density(&self, x: f64) -> f64 {
        let z = (x - self.mean) / self.deviation;
        self.ln_weight - 0.5 * z * z - self.deviation.ln() - LN_ROOT_TAU
    }

    /// ln of its share of values whose density, by itself, is below this.
    fn ln_below(&self, ln_density: f64) -> f64 {
        let square = 2.0 * (self.ln_weight - self.deviation.ln() - LN_ROOT_TAU - ln_density);
        self.ln_weight + (normal::ln_sf(square.max(0.0).sqrt()) + LN_2).min(0.0)
    }
}

impl Modes {
    /// Whether two modes are believed in.
    pub fn are_believed(&self) -> bool {
        self.two.as_ref().is_some_and(|two| two.believed)
    }

    /// Whether there are components to be compared with the families.
    pub fn are_fitted(&self) -> bool {
        self.two.is_some()
    }

    /// The tails at `x` where two modes are believed in, with what the families say of it mixed in; `calm` is the forecast that does not follow the modes. For
    /// both sides the lesser tail is half the share of values of a density as low.
    pub fn tails(
        &self,
        x: f64,
        calm: f64,
        side: Side,
        least: f64,
        families: Tails,
    ) -> Option<Tails> {
        let two = self.two.as_ref().filter(|two| two.believed)?;
        let expected = two.expected(calm, least);
        let of_tail = |sign: f64| {
            let tail = |one: &Expected| {
                one.ln_weight + normal::ln_sf(sign * (x - one.mean) / one.deviation)
            };
            ln_add_exp(tail(&expected[0]), tail(&expected[1]))
        };
        let (mut lower, mut upper) = (of_tail(-1.0), of_tail(1.0));
        if side == Side::Both {
            let here = ln_add_exp(expected[0].ln_density(x), expected[1].ln_density(x));
            let half = (ln_add_exp(expected[0].ln_below(here), expected[1].ln_below(here)) - LN_2)
                .min(-LN_2);
            let other = (-half.exp()).ln_1p();
            (lower, upper) = if lower < upper {
                (half, other)
            } else {
                (other, half)
            };
        }
        let mixed = |own: f64, families: f64| ln_add_exp(own, families + LN_DOUBT).min(0.0);
        Some(Tails {
            lower: mixed(lower, families.lower),
            upper: mixed(upper, families.upper),
        })
    }

    /// The range that holds all but a twentieth of both modes, where they are believed in.
    pub fn range(&self, calm: f64, least: f64) -> Option<(f64, f64)> {
        const ALL_BUT_A_FORTIETH: f64 = 1.959_963_984_540_054;
        let two = self.two.as_ref().filter(|two| two.believed)?;
        let ends = two.expected(calm, least).map(|one| {
            let reach = ALL_BUT_A_FORTIETH * one.deviation;
            (one.mean - reach, one.mean + reach)
        });
        Some((ends[0].0.min(ends[1].0), ends[0].1.max(ends[1].1)))
    }

    /// Takes in a value; `ln_density` asks what the families gave it, `least` is the least deviation that values can have. True when what is believed has changed.
    pub fn learn(
        &mut self,
        x: f64,
        calm: f64,
        is_positive: bool,
        least: f64,
        ln_density: impl FnOnce() -> f64,
        room: &mut Room,
    ) -> bool {
        let believed = self.are_believed();
        if let Some(two) = &mut self.two {
            two.learn(x, calm, least, ln_density());
            let is_over = f64::from(two.credit) <= -BELIEF || (two.in_proportion && !is_positive);
            if is_over {
                self.two = None;
                self.tries = (self.tries + 1).min(TRIES_MOST);
                self.seen = 0;
            }
            return believed != self.are_believed();
        }
        self.learn_moments(x - calm);
        let patience = KNOWN_AFTER << self.tries;
        if self.seen >= patience && self.look_like_two() && room.grant(size_of::<Two>()) {
            self.two = Some(Box::new(self.first_guess(calm, is_positive)));
        }
        false
    }

    /// Heap bytes.
    pub fn heap_bytes(&self) -> usize {
        self.two.as_ref().map_or(0, |_| size_of::<Two>())
    }

    fn learn_moments(&mut self, distance: f64) {
        self.seen = self.seen.saturating_add(1);
        let gain = (1.0 / f64::from(self.seen)).max(1.0 / MEMORY);
        let follow =
            |value: &mut f32, next: f64| *value += (gain * (next - f64::from(*value))) as f32;
        let distance = distance.clamp(-1e15, 1e15);
        follow(&mut self.mean, distance);
        let off = distance - f64::from(self.mean);
        follow(&mut self.square, off * off);
        if self.square > 0.0 {
            let z = (off / f64::from(self.square).sqrt()).clamp(-DISTANCE_MOST, DISTANCE_MOST);
            follow(&mut self.third, z.powi(3));
            follow(&mut self.fourth, z.powi(4));
        }
    }

    fn look_like_two(&self) -> bool {
        let (skewness, kurtosis) = (f64::from(self.third), f64::from(self.fourth));
        kurtosis > 0.0 && skewness * skewness + 1.0 > LOOKS_LIKE_TWO * kurtosis
    }

    /// The two points that have the mean, variance and skewness seen.
    fn first_guess(&self, calm: f64, is_positive: bool) -> Two {
        let in_proportion = is_positive && calm > 0.0;
        let skewness = f64::from(self.third);
        let root = (skewness * skewness + 4.0).sqrt();
        let deviation = f64::from(self.square).sqrt();
        let component = |z: f64, share: f64| {
            let place = f64::from(self.mean) + z * deviation;
            let unit = if in_proportion { calm } else { 1.0 };
            Component {
                mean: (place / unit + f64::from(u8::from(in_proportion))) as f32,
                variance: (0.3 * deviation / unit).powi(2) as f32,
                count: 10.0 * share as f32,
                followed: [1.0; 2],
            }
        };
        let share = 0.5 * (1.0 + skewness / root);
        Two {
            in_proportion,
            components: [
                component(0.5 * (skewness - root), share),
                component(0.5 * (skewness + root), 1.0 - share),
            ],
            last: 0,
            credit: 0.0,
            believed: false,
        }
    }
}

impl Two {
    fn unit(&self, calm: f64) -> f64 {
        if self.in_proportion {
            calm.abs().max(1e-9)
        } else {
            1.0
        }
    }

    /// Whether there is room between the modes: one that wanders is not two.
    fn are_apart(&self) -> bool {
        let [a, b] = &self.components;
        (b.mean - a.mean).abs() > APART * (a.variance.sqrt() + b.variance.sqrt())
    }

    /// The components after the last value, in the units of values.
    fn expected(&self, calm: f64, least: f64) -> [Expected; 2] {
        let followed = self.components[usize::from(self.last)].followed;
        let all = f64::from(followed[0] + followed[1]) + 1.0;
        let unit = self.unit(calm);
        let least = least.max(LEAST_SHARE * calm.abs()).max(1e-9);
        [0, 1].map(|at| {
            let one = &self.components[at];
            let mean = if self.in_proportion {
                unit * f64::from(one.mean)
            } else {
                calm + f64::from(one.mean)
            };
            // The mean and the variance of few are uncertain.
            let doubt = 1.0 + 3.0 / f64::from(one.count).max(1.0);
            Expected {
                ln_weight: ((f64::from(followed[at]) + 0.5) / all).ln(),
                mean,
                deviation: (unit * (f64::from(one.variance) * doubt).sqrt()).max(least),
            }
        })
    }

    fn learn(&mut self, x: f64, calm: f64, least: f64, ln_density: f64) {
        let expected = self.expected(calm, least);
        let densities = [expected[0].ln_density(x), expected[1].ln_density(x)];
        let own = ln_add_exp(
            ln_add_exp(densities[0], densities[1]) + (-OTHERS).ln_1p(),
            ln_density + OTHERS.ln(),
        );
        let told = (own - ln_density).clamp(-TELLS_MOST, TELLS_MOST);
        self.credit = (f64::from(self.credit) + told).clamp(-BELIEF, 2.0 * BELIEF) as f32;
        let wanted = if self.believed { 0.0 } else { BELIEF };
        self.believed = f64::from(self.credit) > wanted && self.are_apart();
        let nearest = usize::from(densities[1] > densities[0]);
        let distance = if self.in_proportion {
            x / self.unit(calm)
        } else {
            x - calm
        };
        let is_far = ((x - expected[nearest].mean) / expected[nearest].deviation).abs() > FAR;
        let followed = &mut self.components[usize::from(self.last)].followed;
        let fade = (1.0 - 1.0 / COMPONENT_MEMORY) as f32;
        followed.iter_mut().for_each(|count| *count *= fade);
        followed[nearest] += 1.0;
        self.last = nearest as u8;
        if is_far && self.believed {
            return;
        }
        let one = &mut self.components[nearest];
        one.count = (one.count + 1.0).min(COMPONENT_MEMORY as f32);
        let gain = 1.0 / one.count;
        let off = distance.clamp(-1e15, 1e15) as f32 - one.mean;
        one.mean += gain * off;
        one.variance += gain * (off * off * (1.0 - gain) - one.variance);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(state: &mut u64) -> f64 {
        *state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (*state >> 11) as f64 / 2f64.powi(53)
    }

    /// About normal: the sum of twelve.
    fn bell(state: &mut u64) -> f64 {
        (0..12).map(|_| draw(state)).sum::<f64>() - 6.0
    }

    /// A thousand values around a calm forecast of 100, against the normal density of mean 100 and this deviation.
    fn after(deviation: f64, mut value: impl FnMut(&mut u64) -> f64) -> Modes {
        let (mut modes, mut state) = (Modes::default(), 11);
        for _ in 0..1000 {
            let x = value(&mut state);
            let z = (x - 100.0) / deviation;
            let ln_density = || -0.5 * z * z - deviation.ln() - LN_ROOT_TAU;
            modes.learn(x, 100.0, true, 0.0, ln_density, &mut Room::unlimited());
        }
        modes
    }

    const FAMILIES: Tails = Tails {
        lower: -LN_2,
        upper: -LN_2,
    };

    #[test]
    fn one_mode_needs_no_memory() {
        let modes = after(10.0, |state| 100.0 + 10.0 * bell(state));
        assert_eq!((modes.are_believed(), modes.heap_bytes()), (false, 0));
    }

    #[test]
    fn what_lies_between_two_modes_is_as_unusual_as_what_lies_beyond() {
        let modes = after(30.0, |state| {
            let mode = if draw(state) < 0.6 { 80.0 } else { 130.0 };
            mode + 3.0 * bell(state)
        });
        let ln_p = |x: f64| {
            let tails = modes.tails(x, 100.0, Side::Both, 0.0, FAMILIES);
            tails.expect("two modes").ln_probability(Side::Both)
        };
        assert!(
            ln_p(80.0) > -0.8 && ln_p(130.0) > -1.5,
            "{} and {}",
            ln_p(80.0),
            ln_p(130.0)
        );
        assert!(ln_p(105.0) < -4.0 && ln_p(180.0) < -4.0 && ln_p(30.0) < -4.0);
        let (low, high) = modes.range(100.0, 0.0).expect("two modes");
        assert!(
            (low - 74.0).abs() < 3.0 && (high - 136.0).abs() < 3.0,
            "{low} to {high}"
        );
    }
}
