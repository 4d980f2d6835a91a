//! When, or where, something happens as a rule: usual times of a day or week, usual places on the globe.
//!
//! Times are points of a circle, positions points of a sphere; both are kept as unit vectors, so that neither midnight nor the antimeridian nor a pole is a border. A habit
//! is a few dozen places with weights, older visits counting for less. How likely a spot is, is a mixture around all of them at four widths, and of everywhere:
//!
//! `g(x) = Σ_b π_b Σ_i (w_i / W) k_b(x · c_i) + π_e`, relative to an even spread,
//!
//! A time of the week is near, too, to the same time of other days: of one more width, which is of the day, so that the first Wednesday of somebody who comes at nine is nothing
//! odd, and a night is, though a week has been seen but a few times.
//!
//! with `k` the densities of von Mises (circle) and von Mises and Fisher (sphere; Mardia and Jupp, Directional Statistics, 3.5 and 9.3). Which width explains
//! a visit is learnt as it comes: the shares `π` are those that the visits so far had, each foretold before it was learnt (online EM; Titterington 1984), with a prior weight of one visit.
//! So somebody who is always at one desk, who travels in a country, and who is anywhere, have different habits. Where places are too many, the two become one that
//! lose least by it (Ward 1963).
//!
//! Input: spots. Output: the surprise `−ln g`, nats: below 0 where visits are denser than an even spread; at most `ln(20(n + 1))`, of the week `ln(20(n + 1.2375))`, after `n` visits.
//! How odd a surprise is, is told by [`Oddities`](super::oddity). Weights are in visits at the table's origin; `gain` is what a visit weighs now.
//! Holds: finite for any spots; equal habits have equal bytes; at most [`PLACES_MAX`] places. Checked: tests below, tests/functions.rs.

use super::Room;
use crate::engine::feature::{Ground, Spot};
use serde::{Deserialize, Serialize};

/// Places at the most.
pub const PLACES_MAX: usize = 64;
/// Memory is taken for so many at a time.
const PLACES_STEP: usize = 4;
/// Fewer visits than this say nothing of what is usual.
const VISITS_MIN: f64 = 8.0;
/// A place whose visits count for less than this is forgotten.
const WEIGHT_MIN: f64 = 0.05;
/// What is usual: the heaviest places that have this share of the visits.
const USUAL_SHARE: f64 = 0.9;
/// Usual times this part of the period apart are not one span.
const GAP_SHARE: f64 = 1.0 / 12.0;
/// Prior weight of everywhere and of each width, visits.
const PRIOR_EVERYWHERE: f64 = 0.05;
const PRIOR_WIDTH: f64 = 0.2375;
const WIDTHS: usize = 4;
/// Everywhere, and the same time of another day.
const EVERYWHERE: usize = WIDTHS;
const ANY_DAY: usize = WIDTHS + 1;
const PARTS: usize = WIDTHS + 2;
/// How near is near on another day: the third width of a day.
const ANY_DAY_WIDTH: usize = 2;
/// Mean radius of the earth, km (IUGG).
pub const EARTH_KM: f64 = 6371.0;

/// A unit vector.
type Direction = [f32; 3];

/// A kernel: its concentration, and the logarithm of its peak relative to an even spread.
#[derive(Clone, Copy)]
struct Width {
    concentration: f64,
    ln_peak: f64,
}

const fn width(concentration: f64, ln_peak: f64) -> Width {
    Width {
        concentration,
        ln_peak,
    }
}

/// Standard deviations of 5, 15, 45 and 120 minutes of a day; peaks are `−ln(I0(κ) e^−κ)` (mpmath, 30 digits), as below.
const OF_DAY: [Width; WIDTHS] = [
    width(2_100.996_064_007_516, 4.743_962_437_175_545),
    width(233.444_007_111_946_23, 3.644_873_045_931_942),
    width(25.938_223_012_438_47, 2.541_881_355_365_451_3),
    width(3.647_562_611_124_16, 1.524_366_009_501_351_6),
];
/// 10, 30, 90 and 270 minutes of a week.
const OF_WEEK: [Width; WIDTHS] = [
    width(25_737.201_784_092_07, 5.996_780_058_549_443),
    width(2_859.689_088_712_134, 4.898_128_908_067_555),
    width(317.743_231_902_371_3, 3.799_166_317_588_432),
    width(35.304_803_544_707_917, 2.697_355_762_516_457),
];
/// 10, 60, 350 and 2,000 km; peaks are `ln(2κ / (1 − e^−2κ))`.
const OF_GLOBE: [Width; WIDTHS] = [
    width(405_896.41, 13.607_000_438_804_83),
    width(11_274.900_277_777_778, 10.023_481_500_348_72),
    width(331.344_008_163_265_3, 6.496_304_315_826_003),
    width(10.147_410_25, 3.010_365_707_223_643_6),
];

impl Ground {
    fn widths(self) -> &'static [Width; WIDTHS] {
        match self {
            Ground::Day => &OF_DAY,
            Ground::Week => &OF_WEEK,
            Ground::Globe => &OF_GLOBE,
        }
    }

    /// Visits nearer than the narrowest width are to one place: that as a squared chord.
    fn reach(self) -> f32 {
        (1.0 / self.widths()[0].concentration) as f32
    }

    /// The library's own sine: the same on every machine.
    fn direction(self, spot: Spot) -> Direction {
        let (first, second) = spot.value(self);
        let of_angles = |latitude: f64, longitude: f64| {
            let (up, across) = libm::sincos(latitude);
            let (y, x) = libm::sincos(longitude);
            [(across * x) as f32, (across * y) as f32, up as f32]
        };
        match self {
            Ground::Globe => of_angles(first.to_radians(), second.to_radians()),
            _ => of_angles(0.0, std::f64::consts::TAU * first / self.period_s()),
        }
    }

    /// Seconds and 0, or degrees of latitude and longitude.
    fn value_of(self, [x, y, z]: Direction) -> (f64, f64) {
        let around = libm::atan2(f64::from(y), f64::from(x));
        match self {
            Ground::Globe => {
                let across = libm::hypot(f64::from(x), f64::from(y));
                let up = libm::atan2(f64::from(z), across);
                (up.to_degrees(), around.to_degrees())
            }
            _ => {
                let turn = around / std::f64::consts::TAU * self.period_s();
                (turn.rem_euclid(self.period_s()), 0.0)
            }
        }
    }
}

/// The square of the straight line between two points: exact where a scalar product would lose its digits.
fn chord_squared(a: Direction, b: Direction) -> f32 {
    let square = |at: usize| (a[at] - b[at]) * (a[at] - b[at]);
    square(0) + square(1) + square(2)
}

/// Of a time of the week the time of the day: seven times the angle, by the seventh power of a complex number.
fn time_of_day([x, y, _]: Direction) -> Direction {
    let times = |a: (f32, f32), b: (f32, f32)| (a.0 * b.0 - a.1 * b.1, a.0 * b.1 + a.1 * b.0);
    let square = times((x, y), (x, y));
    let fourth = times(square, square);
    let (x, y) = times(times(fourth, square), (x, y));
    [x, y, 0.0]
}

/// Kilometres between two positions in degrees, along the surface.
pub fn kilometres(a: (f64, f64), b: (f64, f64)) -> f64 {
    let (from, to) = (a.0.to_radians(), b.0.to_radians());
    let half = |angle: f64| libm::pow(libm::sin(0.5 * angle), 2.0);
    let across = libm::cos(from) * libm::cos(to) * half((b.1 - a.1).to_radians());
    let haversine = (half(to - from) + across).clamp(0.0, 1.0);
    2.0 * EARTH_KM * libm::asin(haversine.sqrt())
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Place {
    at: Direction,
    weight: f32,
}

/// The usual times or places of one series.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Habit {
    places: Vec<Place>,
    /// Visits that each width has explained, everywhere, and of the week the same time of other days.
    explained: [f32; PARTS],
}

/// What is usual near a spot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usual {
    /// The nearest usual spot: seconds and 0, or degrees.
    pub nearest: (f64, f64),
    /// Of times: the span of usual times that it is in, seconds; the end before the beginning when midnight (or Thursday's beginning) is within.
    pub span: (f64, f64),
}

impl Habit {
    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.places.len().next_multiple_of(PLACES_STEP) * size_of::<Place>()
    }

    /// The most of them.
    pub const BYTES_MAX: usize = PLACES_MAX * size_of::<Place>();

    fn visits(&self, gain: f64) -> f64 {
        self.explained
            .iter()
            .map(|&one| f64::from(one))
            .sum::<f64>()
            / gain
    }

    /// What each width, everywhere and other days give a spot.
    fn parts(&self, ground: Ground, to: Direction, gain: f64) -> [f64; PARTS] {
        let mut parts = [0.0; PARTS];
        let by_day = ground == Ground::Week;
        let to_of_day = time_of_day(to);
        let mut whole = 0.0;
        for place in &self.places {
            let (weight, chord) = (f64::from(place.weight), chord_squared(place.at, to));
            whole += weight;
            for (part, width) in parts.iter_mut().zip(ground.widths()) {
                let fall = 0.5 * width.concentration * f64::from(chord);
                *part += weight * (width.ln_peak - fall).exp();
            }
            if by_day {
                let (width, chord) = (
                    OF_DAY[ANY_DAY_WIDTH],
                    chord_squared(time_of_day(place.at), to_of_day),
                );
                let fall = 0.5 * width.concentration * f64::from(chord);
                parts[ANY_DAY] += weight * (width.ln_peak - fall).exp();
            }
        }
        let whole_prior = if by_day { 1.0 + PRIOR_WIDTH } else { 1.0 };
        let known = whole_prior + self.visits(gain);
        for (at, part) in parts.iter_mut().enumerate() {
            let (prior, density) = match at {
                EVERYWHERE => (PRIOR_EVERYWHERE, 1.0),
                ANY_DAY if !by_day => continue,
                _ if whole > 0.0 => (PRIOR_WIDTH, *part / whole),
                _ => (PRIOR_WIDTH, 1.0),
            };
            let share = (prior + f64::from(self.explained[at]) / gain) / known;
            *part = share * density;
        }
        parts
    }

    /// How surprising a spot is, nats; `None` while too little is known.
    pub fn surprise(&self, ground: Ground, spot: Spot, gain: f64) -> Option<f64> {
        (self.visits(gain) >= VISITS_MIN).then(|| {
            let parts = self.parts(ground, ground.direction(spot), gain);
            -parts.iter().sum::<f64>().ln()
        })
    }

    /// Takes in a visit. Without room for another place it goes to the nearest.
    pub fn learn(&mut self, ground: Ground, spot: Spot, gain: f64, room: &mut Room) {
        let to = ground.direction(spot);
        let parts = self.parts(ground, to, gain);
        let whole: f64 = parts.iter().sum();
        for (explained, part) in self.explained.iter_mut().zip(parts) {
            *explained += (gain * part / whole) as f32;
        }
        let visit = Place {
            at: to,
            weight: gain as f32,
        };
        let near = self.places.iter().enumerate();
        let near = near.map(|(at, place)| (at, chord_squared(place.at, to)));
        let nearest = near.min_by(|a, b| a.1.total_cmp(&b.1));
        let is_there = nearest.is_some_and(|(_, chord)| chord <= ground.reach());
        if is_there || !self.has_room(room) {
            if let Some((at, _)) = nearest {
                self.places[at] = joined(self.places[at], visit);
            }
            return;
        }
        self.thin_out();
        let known = self.places.len();
        let held = (known + 1).next_multiple_of(PLACES_STEP);
        self.places.reserve_exact(held - known);
        self.places.push(visit);
    }

    /// Whether there is a place for one more: one that memory is held for, that two others leave, or that is granted.
    fn has_room(&self, room: &mut Room) -> bool {
        let len = self.places.len();
        len >= PLACES_MAX
            || !len.is_multiple_of(PLACES_STEP)
            || room.grant(PLACES_STEP * size_of::<Place>())
    }

    /// Makes one of the two that lose least by it, where there is no place for another.
    fn thin_out(&mut self) {
        if self.places.len() < PLACES_MAX {
            return;
        }
        let mut least = (f32::INFINITY, 0, 1);
        for (b, second) in self.places.iter().enumerate() {
            for (a, first) in self.places[..b].iter().enumerate() {
                let both = first.weight + second.weight;
                let loss = first.weight / both * second.weight * chord_squared(first.at, second.at);
                if loss < least.0 {
                    least = (loss, a, b);
                }
            }
        }
        let (_, a, b) = least;
        let second = self.places.remove(b);
        self.places[a] = joined(self.places[a], second);
    }

    /// Brings the weights to another scale, and forgets the places that count for nothing any more.
    pub fn scale(&mut self, down: f64) {
        for place in &mut self.places {
            place.weight = (f64::from(place.weight) * down) as f32;
        }
        self.places.retain(|place| place.weight > 0.0);
        self.give_back();
        for one in &mut self.explained {
            *one = (f64::from(*one) * down) as f32;
        }
    }

    /// Forgets the places whose visits are long past.
    pub fn forget(&mut self, gain: f64) {
        let least = (WEIGHT_MIN * gain) as f32;
        self.places.retain(|place| place.weight >= least);
        self.give_back();
    }

    fn give_back(&mut self) {
        let held = self.places.len().next_multiple_of(PLACES_STEP);
        self.places.shrink_to(held);
    }

    /// What is usual near a spot; `None` where nothing is known.
    pub fn usual(&self, ground: Ground, spot: Spot) -> Option<Usual> {
        let to = ground.direction(spot);
        let mut places = self.places.clone();
        places.sort_by(|a, b| b.weight.total_cmp(&a.weight));
        let whole: f64 = places.iter().map(|place| f64::from(place.weight)).sum();
        let mut sum = 0.0;
        let kept = places.iter().take_while(|place| {
            let is_usual = sum < USUAL_SHARE * whole;
            sum += f64::from(place.weight);
            is_usual
        });
        let usual: Vec<Direction> = kept.map(|place| place.at).collect();
        let distance = |at: &&Direction| chord_squared(**at, to);
        let nearest = usual
            .iter()
            .min_by(|a, b| distance(a).total_cmp(&distance(b)))?;
        let nearest = ground.value_of(*nearest);
        let span = match ground {
            Ground::Globe => (0.0, 0.0),
            _ => span_around(
                nearest.0,
                usual.iter().map(|&at| ground.value_of(at).0),
                ground.period_s(),
            ),
        };
        Some(Usual { nearest, span })
    }
}

/// Two places as one, between them.
fn joined(a: Place, b: Place) -> Place {
    let weight = a.weight + b.weight;
    let mean = |at: usize| (a.at[at] * a.weight + b.at[at] * b.weight) / weight;
    let sum = [mean(0), mean(1), mean(2)];
    let length = (sum[0] * sum[0] + sum[1] * sum[1] + sum[2] * sum[2]).sqrt();
    // Opposite points have nothing between them.
    let at = if length > 1e-3 {
        sum.map(|one| one / length)
    } else {
        a.at
    };
    Place { at, weight }
}

/// The times around one of them that no gap parts.
fn span_around(time: f64, times: impl Iterator<Item = f64>, period: f64) -> (f64, f64) {
    let gap = GAP_SHARE * period;
    let ahead = |other: f64| (other - time).rem_euclid(period);
    let mut after: Vec<f64> = times.map(ahead).collect();
    after.sort_by(f64::total_cmp);
    let mut end = 0.0;
    for &one in &after {
        if one - end > gap {
            break;
        }
        end = one;
    }
    let mut start = period;
    for &one in after.iter().rev() {
        if start - one > gap {
            break;
        }
        start = one;
    }
    if start <= end {
        return (0.0, period); // all around
    }
    (
        (time + start).rem_euclid(period),
        (time + end).rem_euclid(period),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hour: f64) -> Spot {
        Spot((hour * 3600.0) as i32, 0)
    }

    fn place(latitude: f64, longitude: f64) -> Spot {
        Spot::position(latitude, longitude).expect("a position")
    }

    fn after(ground: Ground, spots: impl IntoIterator<Item = Spot>) -> Habit {
        let mut habit = Habit::default();
        let room = &mut Room::unlimited();
        spots
            .into_iter()
            .for_each(|spot| habit.learn(ground, spot, 1.0, room));
        habit
    }

    /// Without a pattern, 0 to 1.
    fn spread(i: u32) -> f64 {
        (f64::from(i) * 0.618_033_988_749_895).fract()
    }

    #[test]
    fn kernels_have_all_of_their_mass_on_the_circle_and_on_the_sphere() {
        for ground in [Ground::Day, Ground::Week] {
            for (at, width) in ground.widths().iter().enumerate() {
                let n = 20_000;
                let mean: f64 = (0..n)
                    .map(|i| {
                        let fall =
                            1.0 - (std::f64::consts::TAU * f64::from(i) / f64::from(n)).cos();
                        (width.ln_peak - width.concentration * fall).exp()
                    })
                    .sum::<f64>()
                    / f64::from(n);
                assert!((mean - 1.0).abs() < 1e-9, "{ground:?} {at}: {mean}");
            }
        }
        for width in &OF_GLOBE {
            // Evenly along the axis is evenly on the sphere (Archimedes).
            let n = 4_000_000;
            let mean: f64 = (0..n)
                .map(|i| {
                    let fall = 2.0 * (f64::from(i) + 0.5) / f64::from(n);
                    (width.ln_peak - width.concentration * fall).exp()
                })
                .sum::<f64>()
                / f64::from(n);
            assert!((mean - 1.0).abs() < 0.02, "{}: {mean}", width.concentration);
        }
    }

    #[test]
    fn the_night_surprises_who_is_there_by_day_and_midnight_is_no_border() {
        let day = after(Ground::Day, (0..200).map(|i| at(9.0 + 9.0 * spread(i))));
        let surprise =
            |habit: &Habit, hour| habit.surprise(Ground::Day, at(hour), 1.0).expect("known");
        assert!(surprise(&day, 3.2) > surprise(&day, 13.0) + 3.5);
        assert!(
            surprise(&day, 18.6) < surprise(&day, 3.2),
            "near is less odd than far"
        );
        let night = after(
            Ground::Day,
            (0..200).map(|i| at((23.0 + 2.0 * spread(i)) % 24.0)),
        );
        for hour in [23.5, 23.99, 0.01, 0.5] {
            assert!(
                surprise(&night, hour) < -1.5,
                "{hour}: {}",
                surprise(&night, hour)
            );
        }
        assert!(surprise(&night, 12.0) > 4.0);
        let usual = night.usual(Ground::Day, at(12.0)).expect("known");
        let (start, end) = usual.span;
        assert!(
            (22.9..23.4).contains(&(start / 3600.0)) && (0.6..1.1).contains(&(end / 3600.0)),
            "{usual:?}"
        );
    }

    #[test]
    fn a_day_never_seen_is_not_odd_at_the_hours_of_the_others_and_a_night_is() {
        // Monday to Thursday of two weeks, around nine.
        let hour = |day: u32, hour: f64| at(24.0 * f64::from(day) + hour);
        let visits = (0..64).map(|i| hour(i % 4, 8.5 + spread(i)));
        let habit = after(Ground::Week, visits);
        let surprise = |day, hour_of_day| {
            let spot = hour(day, hour_of_day);
            habit.surprise(Ground::Week, spot, 1.0).expect("known")
        };
        let (usual, friday, night) = (surprise(2, 9.0), surprise(4, 9.0), surprise(2, 3.5));
        assert!(usual < friday && friday < 2.5, "{usual} {friday}");
        assert!(night > friday + 3.0, "{friday} {night}");
        assert_eq!(time_of_day([1.0, 0.0, 0.0]), [1.0, 0.0, 0.0]);
    }

    #[test]
    fn two_usual_spans_are_two() {
        let shifts = (0..300).map(|i| at(if i % 2 == 0 { 6.0 } else { 20.0 } + spread(i)));
        let habit = after(Ground::Day, shifts);
        let noon = habit.surprise(Ground::Day, at(13.0), 1.0).expect("known");
        let six = habit.surprise(Ground::Day, at(6.5), 1.0).expect("known");
        assert!(noon > six + 5.0, "{noon} {six}");
        let (start, end) = habit.usual(Ground::Day, at(10.0)).expect("known").span;
        assert!((5.9..6.2).contains(&(start / 3600.0)) && (6.8..7.1).contains(&(end / 3600.0)));
    }

    #[test]
    fn neither_antimeridian_nor_pole_is_a_border() {
        let surprise =
            |habit: &Habit, spot| habit.surprise(Ground::Globe, spot, 1.0).expect("known");
        let fiji = after(
            Ground::Globe,
            (0..60).map(|i| place(-17.0, if i % 2 == 0 { 179.99 } else { -179.99 })),
        );
        assert!(surprise(&fiji, place(-17.0, -179.97)) < -9.0);
        assert!(surprise(&fiji, place(-17.0, 0.0)) > 4.0);
        let pole = after(
            Ground::Globe,
            (0..60).map(|i| place(89.99, f64::from(i) * 6.0 - 179.0)),
        );
        assert!(surprise(&pole, place(90.0, 0.0)) < -9.0);
        let usual = pole.usual(Ground::Globe, place(0.0, 0.0)).expect("known");
        assert!(usual.nearest.0 > 89.9);
    }

    #[test]
    fn the_further_from_the_only_place_the_more_surprising() {
        let home = after(Ground::Globe, (0..300).map(|_| place(52.5, 13.4)));
        let east = (0..40)
            .map(|i| 13.4 + 1.4f64.powi(i) * 1e-4)
            .take_while(|&one| one < 180.0);
        let surprises: Vec<f64> = east
            .map(|one| home.surprise(Ground::Globe, place(52.5, one), 1.0).unwrap())
            .collect();
        assert!(
            surprises.is_sorted_by(|a, b| *b >= a - 1e-6),
            "{surprises:?}"
        );
        assert_eq!(home.places.len(), 1);
    }

    #[test]
    fn who_is_anywhere_surprises_nowhere_and_memory_is_bounded() {
        let anywhere = |i: u32| place(90.0 - 180.0 * spread(i), 360.0 * spread(7 * i + 1) - 180.0);
        let traveller = after(Ground::Globe, (0..2_000).map(anywhere));
        assert!(traveller.places.len() <= PLACES_MAX && traveller.heap_bytes() <= Habit::BYTES_MAX);
        assert!(
            traveller
                .surprise(Ground::Globe, place(10.0, 100.0), 1.0)
                .unwrap()
                < 1.5
        );
        let mut poor = Habit::default();
        let room = &mut Room::of(0);
        (0..100).for_each(|i| poor.learn(Ground::Globe, anywhere(i), 1.0, room));
        assert_eq!((poor.places.len(), poor.heap_bytes()), (0, 0));
        assert!(
            poor.surprise(Ground::Globe, place(0.0, 0.0), 1.0)
                .unwrap()
                .is_finite()
        );
    }

    #[test]
    fn distances_are_those_of_an_atlas() {
        let (berlin, tokyo) = ((52.52, 13.405), (35.6762, 139.6503));
        assert!((kilometres(berlin, tokyo) - 8_918.0).abs() < 20.0);
        assert!((kilometres((0.0, 179.5), (0.0, -179.5)) - 111.2).abs() < 0.1);
        assert!((kilometres((90.0, 0.0), (-90.0, 77.0)) - 20_015.0).abs() < 1.0);
    }

    #[test]
    fn a_habit_brought_to_another_scale_says_the_same() {
        let mut habit = after(Ground::Day, (0..100).map(|i| at(8.0 + spread(i))));
        let before = habit.surprise(Ground::Day, at(20.0), 1.0).unwrap();
        habit.scale(0.25);
        let later = habit.surprise(Ground::Day, at(20.0), 0.25).unwrap();
        assert!((before - later).abs() < 1e-4);
    }
}
