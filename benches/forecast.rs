//! Forecasts against what came: the share of values inside the 95 % interval, on simulated series, one and seven days ahead.
//! `cargo bench --bench forecast [-- SEEDS] [NAME]`: of the processes whose name begins so
//!
//! Every series is learnt for [`LEARNT_DAYS`] days, then forecast for a week without learning on. Coverage is counted over the buckets of the first day and
//! over those of the seventh, of all seeds; beside it the mean width of the interval in standard deviations of the noise, and the root mean square of the forecast's error in
//! the same unit. Figures are functions of the seeds. A draw is SplitMix64 (Steele, Lea, Flood 2014), turned into a distribution by its textbook
//! definition, so that nothing of what is tested makes the test data.

use std::f64::consts::TAU;
use tidewatch::config::Side;
use tidewatch::engine::model::{Kind, Law, Model, Room, Sample, SeriesModel};
use tidewatch::time::{BucketSpan, EventTime};

/// A Monday, 2024-01-01T00:00:00Z.
const START_MS: i64 = 1_704_067_200_000;
const LEARNT_DAYS: i64 = 28;
const SEEDS: u64 = 40;
const MEASUREMENTS: u64 = 50;

/// A seeded source of draws.
struct Draw(u64);

impl Draw {
    fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut h = self.0;
        h = (h ^ (h >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        h = (h ^ (h >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        h ^ (h >> 31)
    }

    fn unit(&mut self) -> f64 {
        ((self.word() >> 12) as f64 + 0.5) / (1u64 << 52) as f64
    }

    /// Box and Muller 1958.
    fn normal(&mut self) -> f64 {
        (-2.0 * self.unit().ln()).sqrt() * (TAU * self.unit()).cos()
    }

    fn poisson(&mut self, mean: f64) -> f64 {
        let (mut clock, mut arrivals) = (-self.unit().ln(), 0.0);
        while clock < mean {
            clock -= self.unit().ln();
            arrivals += 1.0;
        }
        arrivals
    }
}

/// What a series is made of. `hours` since the start.
#[derive(Clone, Copy)]
struct Process {
    name: &'static str,
    counting: bool,
    /// Standard deviation of the noise where it has one, for the units of the table.
    noise: f64,
    value: fn(&mut State, hours: f64, span_hours: f64) -> f64,
}

struct State {
    draw: Draw,
    memory: f64,
    level: f64,
}

fn day(hours: f64) -> f64 {
    (TAU * hours / 24.0).sin() + 0.4 * (2.0 * TAU * hours / 24.0).cos()
}

fn week(hours: f64) -> f64 {
    day(hours)
        * if hours.rem_euclid(168.0) < 120.0 {
            1.0
        } else {
            0.4
        }
}

/// An autoregression whose memory is half a day.
fn wander(state: &mut State, span_hours: f64) -> f64 {
    let keeps = (-span_hours / 12.0_f64).exp();
    state.memory = keeps * state.memory + (1.0 - keeps * keeps).sqrt() * state.draw.normal();
    state.memory
}

const PROCESSES: [Process; 14] = [
    Process {
        name: "noise",
        counting: false,
        noise: 5.0,
        value: |s, _, _| 100.0 + 5.0 * s.draw.normal(),
    },
    Process {
        name: "day",
        counting: false,
        noise: 5.0,
        value: |s, h, _| 100.0 + 20.0 * day(h) + 5.0 * s.draw.normal(),
    },
    Process {
        name: "day and week",
        counting: false,
        noise: 5.0,
        value: |s, h, _| 100.0 + 20.0 * week(h) + 5.0 * s.draw.normal(),
    },
    Process {
        name: "day and week, trend",
        counting: false,
        noise: 5.0,
        value: |s, h, _| 100.0 + h / 24.0 + 20.0 * week(h) + 5.0 * s.draw.normal(),
    },
    Process {
        name: "trend",
        counting: false,
        noise: 5.0,
        value: |s, h, _| 100.0 + h / 24.0 + 5.0 * s.draw.normal(),
    },
    Process {
        name: "day, autoregression",
        counting: false,
        noise: 5.0,
        value: |s, h, d| 100.0 + 20.0 * day(h) + 5.0 * wander(s, d),
    },
    Process {
        name: "day, walking level",
        counting: false,
        noise: 5.0,
        value: |s, h, d| {
            s.level += 0.5 * d.sqrt() * s.draw.normal();
            200.0 + s.level + 20.0 * day(h) + 5.0 * s.draw.normal()
        },
    },
    Process {
        name: "walk",
        counting: false,
        noise: 5.0,
        value: |s, _, d| {
            s.level += 2.0 * d.sqrt() * s.draw.normal();
            200.0 + s.level
        },
    },
    Process {
        name: "rhythm of 7 hours",
        counting: false,
        noise: 5.0,
        value: |s, h, _| 100.0 + 20.0 * (TAU * h / 7.0).sin() + 5.0 * s.draw.normal(),
    },
    Process {
        name: "rhythm of 50 hours",
        counting: false,
        noise: 5.0,
        value: |s, h, _| {
            let rest = if h.rem_euclid(50.0) < 20.0 { 0.0 } else { 40.0 };
            100.0 + rest + 5.0 * s.draw.normal()
        },
    },
    Process {
        name: "two modes",
        counting: false,
        noise: 5.0,
        value: |s, _, _| {
            if s.draw.unit() < 0.2 {
                s.level = 60.0 - s.level;
            }
            100.0 + s.level + 5.0 * s.draw.normal()
        },
    },
    Process {
        name: "counts, day and week",
        counting: true,
        noise: 5.0,
        value: |s, h, _| s.draw.poisson(25.0 + 12.0 * week(h)),
    },
    Process {
        name: "small counts, day",
        counting: true,
        noise: 1.2,
        value: |s, h, _| s.draw.poisson(1.5 + 0.8 * day(h)),
    },
    Process {
        name: "log-normal, day and week",
        counting: false,
        noise: 25.0,
        value: |s, h, _| 100.0 * (0.5 * week(h) + 0.25 * s.draw.normal()).exp(),
    },
];

/// Shares inside, width and error, of the first and of the seventh day.
#[derive(Clone, Copy, Default)]
struct Tally {
    values: f64,
    inside: f64,
    above: f64,
    width: f64,
    error: f64,
}

fn run(process: &Process, span_s: i64, seed: u64, tallies: &mut [Tally; 2]) {
    let span = BucketSpan::from_seconds(span_s).expect("a span");
    let kind = Kind {
        side: Side::Both,
        counting: process.counting,
        law: Law::Plain,
        joined: false,
        span,
    };
    let mut state = State {
        draw: Draw(seed.wrapping_mul(0x2545_f491_4f6c_dd1d)),
        memory: 0.0,
        level: 0.0,
    };
    let mut model = SeriesModel::new();
    let span_hours = span_s as f64 / 3600.0;
    let mut next = |bucket: i64| {
        let hours = (bucket as f64 + 0.5) * span_hours;
        let value = (process.value)(&mut state, hours, span_hours);
        let at = EventTime(START_MS + bucket * span.millis() + span.millis() / 2);
        Sample {
            at,
            value,
            measurements: MEASUREMENTS,
        }
    };
    let buckets = LEARNT_DAYS * 86_400 / span_s;
    for bucket in 0..buckets {
        let sample = next(bucket);
        let verdict = model.judge(&kind, &sample);
        let _ = model.learn(&kind, &sample, verdict.as_ref(), &mut Room::unlimited());
    }
    let ahead = model.ahead(&kind).expect("four weeks");
    let day_buckets = 86_400 / span_s;
    for bucket in 0..7 * day_buckets {
        let sample = next(buckets + bucket);
        let tally = match bucket / day_buckets {
            0 => &mut tallies[0],
            6 => &mut tallies[1],
            _ => continue,
        };
        let told = ahead.at(sample.at);
        tally.values += 1.0;
        tally.inside += f64::from(u8::from((told.lower..=told.upper).contains(&sample.value)));
        tally.above += f64::from(u8::from(sample.value > told.upper));
        tally.width += (told.upper - told.lower) / process.noise;
        tally.error += ((sample.value - told.prediction) / process.noise).powi(2);
    }
}

fn main() {
    let seeds = std::env::args()
        .filter_map(|one| one.parse().ok())
        .next()
        .unwrap_or(SEEDS);
    let mut words = std::env::args().skip(1);
    let name = words.find(|one| one.parse::<u64>().is_err() && !one.starts_with('-'));
    println!(
        "inside the 95 % interval (above it), width and error in deviations of the noise; {LEARNT_DAYS} days learnt, {seeds} seeds"
    );
    for span_s in [3600, 900] {
        println!(
            "\n{:<26} {:>34} {:>34}",
            format!("buckets of {span_s} s"),
            "day 1",
            "day 7"
        );
        let asked = |process: &&Process| {
            name.as_ref()
                .is_none_or(|name| process.name.starts_with(name))
        };
        for process in PROCESSES.iter().filter(asked) {
            let mut tallies = [Tally::default(); 2];
            (0..seeds).for_each(|seed| run(process, span_s, seed + 1, &mut tallies));
            let shown = tallies.map(|tally| {
                let of = |sum: f64| sum / tally.values;
                format!(
                    "{:.3} ({:.3}) {:5.1} wide {:5.2} off",
                    of(tally.inside),
                    of(tally.above),
                    of(tally.width),
                    of(tally.error).sqrt()
                )
            });
            println!("{:<26} {:>34} {:>34}", process.name, shown[0], shown[1]);
        }
    }
}
