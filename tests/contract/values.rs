//! The kinds of series that a model has to live with.

use tidewatch::engine::model::Kind;

const DAY_MS: f64 = 86_400_000.0;

/// A seeded source of draws (SplitMix64: Steele, Lea, Flood 2014).
pub(crate) struct Draw(u64);

impl Draw {
    pub(crate) fn new(seed: u64) -> Draw {
        Draw(seed)
    }

    /// Uniform, 0 and 1 excluded.
    pub(crate) fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut h = self.0;
        h = (h ^ (h >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        h = (h ^ (h >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        h ^= h >> 31;
        ((h >> 12) as f64 + 0.5) / (1u64 << 52) as f64
    }

    /// Box and Muller 1958.
    pub(crate) fn normal(&mut self) -> f64 {
        (-2.0 * self.unit().ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos()
    }
}

/// What a kind of series is like: the value of bucket `i`, which lies `ms` after the first.
pub(crate) struct Values {
    pub(crate) name: &'static str,
    value: fn(i: usize, ms: f64, draw: &mut Draw) -> f64,
}

/// Numbers at the rim of what can be written down.
const EXTREMES: [f64; 8] = [
    f64::MAX,
    0.0,
    f64::MIN,
    f64::MIN_POSITIVE,
    -0.0,
    5e-324,
    -1e300,
    1.0,
];

pub(crate) const ALL: [Values; 14] = [
    values("constant", |_, _, _| 7.0),
    values("integers", |_, _, d| (10.0 * d.unit()).floor()),
    values("zeros", |_, _, _| 0.0),
    values("sparse", |_, _, d| f64::from(u8::from(d.unit() < 0.1))),
    values("normal", |_, _, d| 100.0 + 5.0 * d.normal()),
    values("heavy tails", |_, _, d| (2.0 * d.normal()).exp()),
    values("trend", |i, _, d| 0.5 * i as f64 + d.normal()),
    values("seasonal", |_, ms, d| {
        100.0 + 50.0 * (std::f64::consts::TAU * ms / DAY_MS).sin() + d.normal()
    }),
    values("level shift", |i, _, d| {
        let level = if i < 60 { 50.0 } else { 90.0 };
        level + d.normal()
    }),
    values("huge", |_, _, d| 1e30 * (1.0 + 0.1 * d.normal())),
    values("tiny", |_, _, d| 1e-300 * (1.0 + 0.1 * d.normal())),
    values(
        "alternating",
        |i, _, _| if i % 2 == 0 { 1.0 } else { 100.0 },
    ),
    values("negative", |_, _, d| -100.0 + 5.0 * d.normal()),
    values("extremes", |_, _, d| EXTREMES[(8.0 * d.unit()) as usize]),
];

const fn values(name: &'static str, value: fn(usize, f64, &mut Draw) -> f64) -> Values {
    Values { name, value }
}

impl Values {
    pub(crate) fn named(name: &str) -> &'static Values {
        ALL.iter()
            .find(|values| values.name == name)
            .expect("a kind of series")
    }

    /// The first `n` values for a feature of this kind: whole numbers from 0 where it counts.
    pub(crate) fn of(&self, kind: &Kind, n: usize) -> Vec<f64> {
        let mut draw = Draw::new(7);
        let span = kind.span.millis() as f64;
        (0..n)
            .map(|i| (self.value)(i, i as f64 * span, &mut draw))
            .map(|x| if kind.counting { x.max(0.0).round() } else { x })
            .collect()
    }
}
