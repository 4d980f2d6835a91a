//! Streams of kinds that no labelled data set of ours holds, each with planted incidents: what is found at a score of 75, and what is said in vain.
//! `cargo bench --bench streams [-- NAME...]`
//!
//! Machines that switch on and off, saw-tooths of batch jobs, response times, disks that fill and are emptied, office hours, schedules of 90 minutes and of
//! 7 hours, spreads that follow the time of day, growth that changes its slope, and the like. Each life is a stream of one seed with one incident in its last
//! quarter; `false` counts alarms of lives without one, per 1,000 buckets after the first quarter. Every figure is a function of the seeds. None of it was made
//! to fit the models: sizes are what a person would see on a chart.

#[path = "common/draws.rs"]
mod draws;

use draws::{ALARM, Draw, Life, alarms, autoregressive, each};
use std::f64::consts::TAU;

const SEEDS: u64 = 12;
const DAY_S: usize = 86_400;

/// A stream: values of a draw at so many buckets of so many seconds.
struct Stream {
    name: &'static str,
    counting: bool,
    seconds: i64,
    buckets: usize,
    /// What a person would call one sigma, about where it is quiet.
    sigma: f64,
    /// Buckets of its rhythm and what it is like while the rhythm is away; 0 where it has none.
    rhythm: (usize, f64),
    values: fn(&mut Draw, usize) -> Vec<f64>,
}

/// What may happen to a stream.
#[derive(Clone, Copy)]
enum Incident {
    Spike,
    Burst,
    Dip,
    Shift,
    Flat,
    Noise,
    Leak,
    /// A period without its rhythm.
    Away,
    /// Half a period late for two periods.
    Late,
}

const INCIDENTS: [(&str, Incident); 9] = [
    ("spike +10", Incident::Spike),
    ("burst 6 of +5", Incident::Burst),
    ("dip 12 of -6", Incident::Dip),
    ("shift +4", Incident::Shift),
    ("flat 48", Incident::Flat),
    ("noise x 4", Incident::Noise),
    ("leak to +8", Incident::Leak),
    ("rhythm away", Incident::Away),
    ("rhythm late", Incident::Late),
];

impl Incident {
    /// Puts it into the values from `at` on; how many buckets it lasts, or `None` where it makes no sense.
    fn plant(
        self,
        stream: &Stream,
        values: &mut [f64],
        at: usize,
        draw: &mut Draw,
    ) -> Option<usize> {
        let (period, rest) = stream.rhythm;
        let lasts = match self {
            Incident::Spike => 1,
            Incident::Burst => 6,
            Incident::Dip => 12,
            Incident::Shift => 96,
            Incident::Flat | Incident::Noise => 48,
            Incident::Leak => 96,
            Incident::Away if period > 0 => period,
            Incident::Late if period > 0 => 2 * period,
            Incident::Away | Incident::Late => return None,
        };
        let sigma = stream.sigma;
        let before = values.to_vec();
        for i in 0..lasts {
            let x = &mut values[at + i];
            *x = match self {
                Incident::Spike => *x + 10.0 * sigma,
                Incident::Burst => *x + 5.0 * sigma,
                Incident::Dip => *x - 6.0 * sigma,
                Incident::Shift => *x + 4.0 * sigma,
                Incident::Flat => before[at - 1],
                Incident::Noise => *x + 4.0 * sigma * draw.normal(),
                Incident::Leak => *x + 8.0 * sigma * (i as f64 / 72.0).min(1.0),
                Incident::Away => rest + sigma * draw.normal(),
                Incident::Late => before[at + i - period / 2],
            };
            if stream.counting {
                *x = x.round().max(0.0);
            } else if before.iter().all(|x| *x >= 0.0) {
                *x = x.max(0.0);
            }
        }
        Some(lasts)
    }
}

/// The place within a day, 0..1.
fn day(bucket: usize, seconds: usize) -> f64 {
    (bucket * seconds % DAY_S) as f64 / DAY_S as f64
}

fn is_weekend(bucket: usize, seconds: usize) -> bool {
    bucket * seconds / DAY_S % 7 >= 5
}

/// Gamma-mixed Poisson.
fn over_dispersed(draw: &mut Draw, mean: f64, size: u32) -> f64 {
    let gamma: f64 = (0..size).map(|_| -draw.unit().ln()).sum();
    draw.poisson(mean * gamma / f64::from(size))
}

/// Two states in turn, each for a while that is geometric but for its least length: the level of each, its spread, its shortest and its mean stay.
fn duty(draw: &mut Draw, n: usize, states: [(f64, f64, usize, usize); 2]) -> Vec<f64> {
    let (mut state, mut stayed) = (0, 0);
    each(n, |_| {
        let (_, _, least, mean) = states[state];
        stayed += 1;
        if stayed > least && draw.unit() < 1.0 / (mean - least) as f64 {
            (state, stayed) = (1 - state, 0);
        }
        let (level, spread, ..) = states[state];
        level + spread * draw.normal()
    })
}

/// Grows by a step a bucket and starts again when a threshold, different each time, is passed.
fn filling(draw: &mut Draw, n: usize, step: f64, least: f64, spread: f64) -> Vec<f64> {
    let (mut x, mut most) = (0.0, least);
    each(n, |_| {
        x += step * (0.5 + draw.unit());
        if x > most {
            x = 0.0;
            most = least + spread * draw.unit();
        }
        x
    })
}

const fn stream(
    name: &'static str,
    (counting, seconds, buckets): (bool, i64, usize),
    sigma: f64,
    rhythm: (usize, f64),
    values: fn(&mut Draw, usize) -> Vec<f64>,
) -> Stream {
    Stream {
        name,
        counting,
        seconds,
        buckets,
        sigma,
        rhythm,
        values,
    }
}

const STREAMS: [Stream; 20] = [
    stream("duty cycle", (false, 60, 8_000), 3.0, (0, 0.0), |d, n| {
        duty(d, n, [(20.0, 1.0, 8, 20), (80.0, 3.0, 5, 12)])
    }),
    stream("two modes", (false, 300, 4_000), 6.0, (0, 0.0), |d, n| {
        each(n, |_| {
            if d.unit() < 0.6 {
                100.0 + 5.0 * d.normal()
            } else {
                200.0 + 8.0 * d.normal()
            }
        })
    }),
    stream("saw-tooth", (false, 60, 8_000), 12.0, (0, 0.0), |d, n| {
        let z = each(n, |_| d.normal());
        let mut x = filling(d, n, 1.4, 95.0, 10.0);
        x.iter_mut().zip(z).for_each(|(x, z)| *x += z);
        x
    }),
    stream("latencies", (false, 300, 4_000), 40.0, (0, 0.0), |d, n| {
        each(n, |_| {
            let calls: f64 = (0..20).map(|_| (4.0 + d.normal()).exp()).sum();
            calls / 20.0
                + if d.unit() < 0.02 {
                    150.0 * d.unit()
                } else {
                    0.0
                }
        })
    }),
    stream(
        "disk filling",
        (false, 300, 6_000),
        8.0,
        (0, 0.0),
        |d, n| filling(d, n, 0.15, 80.0, 10.0),
    ),
    stream(
        "office hours",
        (true, 900, 4_032),
        15.0,
        (672, 3.0),
        |d, n| {
            each(n, |i| {
                let open = !is_weekend(i, 900) && (8.0..18.0).contains(&(24.0 * day(i, 900)));
                if open {
                    over_dispersed(d, 200.0, 40)
                } else {
                    d.poisson(3.0)
                }
            })
        },
    ),
    stream(
        "sparse bursts",
        (true, 300, 5_000),
        3.0,
        (0, 0.0),
        |d, n| {
            each(n, |_| {
                if d.unit() < 0.03 {
                    5.0 + d.poisson(6.0)
                } else {
                    0.0
                }
            })
        },
    ),
    stream(
        "growth, new slope",
        (false, 3_600, 1_600),
        8.0,
        (0, 0.0),
        |d, n| {
            let half = n as f64 / 2.0;
            each(n, |i| {
                let t = i as f64;
                200.0 + 0.1 * t + 0.3 * (t - half).max(0.0) + 8.0 * d.normal()
            })
        },
    ),
    stream("7 hours", (false, 300, 6_000), 8.0, (84, 100.0), |d, n| {
        each(n, |i| {
            100.0 + 40.0 * (TAU * i as f64 / 84.0).sin() + 8.0 * d.normal()
        })
    }),
    stream("90 minutes", (false, 60, 8_000), 3.0, (90, 20.0), |d, n| {
        each(n, |i| {
            20.0 + if i % 90 < 12 { 70.0 } else { 0.0 } + 3.0 * d.normal()
        })
    }),
    stream(
        "shift of 50 hours",
        (true, 1_800, 3_000),
        10.0,
        (100, 40.0),
        |d, n| each(n, |i| d.poisson(if i % 100 < 30 { 100.0 } else { 40.0 })),
    ),
    stream(
        "road speed",
        (false, 300, 6_000),
        5.0,
        (288, 65.0),
        |d, n| {
            let z = autoregressive(d, 0.8, n);
            each(n, |i| {
                let hour = 24.0 * day(i, 300);
                let rush = !is_weekend(i, 300)
                    && ((7.0..9.0).contains(&hour) || (16.0..18.5).contains(&hour));
                (65.0 - if rush { 25.0 } else { 0.0 } + if rush { 8.0 } else { 3.0 } * z[i]).round()
            })
        },
    ),
    stream(
        "spread by day",
        (false, 300, 6_000),
        2.0,
        (288, 100.0),
        |d, n| {
            each(n, |i| {
                let busy = (8.0..20.0).contains(&(24.0 * day(i, 300)));
                100.0 + if busy { 15.0 } else { 1.5 } * d.normal()
            })
        },
    ),
    stream(
        "temperature",
        (false, 3_600, 1_600),
        1.0,
        (24, 22.0),
        |d, n| {
            let z = autoregressive(d, 0.97, n);
            each(n, |i| {
                22.0 + 3.0 * (TAU * day(i, 3_600)).sin() + 2.0 * z[i] + 0.1 * d.normal()
            })
        },
    ),
    stream("error counts", (true, 600, 4_000), 2.0, (0, 0.0), |d, n| {
        each(n, |_| {
            if d.unit() < 0.01 {
                over_dispersed(d, 6.0, 1)
            } else {
                d.poisson(0.5)
            }
        })
    }),
    stream("queue length", (true, 60, 8_000), 6.0, (0, 0.0), |d, n| {
        let mut queue: f64 = 5.0;
        each(n, |_| {
            queue = (queue + d.poisson(4.0) - d.poisson(4.4)).max(0.0);
            queue
        })
    }),
    stream(
        "orders an hour",
        (true, 3_600, 1_600),
        25.0,
        (168, 30.0),
        |d, n| {
            each(n, |i| {
                let wave = 1.0 + 0.7 * (TAU * (day(i, 3_600) - 0.35)).sin();
                over_dispersed(
                    d,
                    150.0 * wave * if is_weekend(i, 3_600) { 0.6 } else { 1.0 },
                    30,
                )
            })
        },
    ),
    stream(
        "weekly backup",
        (false, 900, 4_032),
        5.0,
        (672, 50.0),
        |d, n| {
            each(n, |i| {
                let backup = i * 900 / 3_600 % 168 == 147;
                50.0 + if backup { 250.0 } else { 0.0 } + 5.0 * d.normal()
            })
        },
    ),
    stream(
        "daily job, 5 min",
        (false, 300, 6_000),
        4.0,
        (288, 40.0),
        |d, n| {
            each(n, |i| {
                40.0 + if i % 288 == 40 { 160.0 } else { 0.0 } + 4.0 * d.normal()
            })
        },
    ),
    stream(
        "utilisation",
        (false, 300, 6_000),
        3.0,
        (288, 20.0),
        |d, n| {
            let z = autoregressive(d, 0.9, n);
            each(n, |i| {
                let base = 30.0 + 25.0 * (TAU * (day(i, 300) - 0.3)).sin() + 4.0 * z[i];
                (base
                    + if d.unit() < 0.02 {
                        30.0 * d.unit()
                    } else {
                        0.0
                    })
                .clamp(1.0, 100.0)
            })
        },
    ),
];

/// Evidence of a life, bucket by bucket.
fn live(stream: &Stream, values: &[f64]) -> Vec<f64> {
    let mut life = Life::new(stream.seconds, stream.counting);
    let one = |&x: &f64| life.live(x).map_or(0.0, |verdict| verdict.evidence);
    values.iter().map(one).collect()
}

/// How many of the seeds show the incident at a score of 75, and of how many; `None` where it makes no sense.
fn found(stream: &Stream, which: usize) -> Option<usize> {
    let mut found = 0;
    for seed in 0..SEEDS {
        let mut values = (stream.values)(&mut Draw::new(seed, 7), stream.buckets);
        let mut draw = Draw::new(seed, 8 + which as u64);
        let late = (draw.unit() * stream.buckets as f64 / 10.0) as usize;
        let mut at = stream.buckets * 3 / 4 + late;
        let (period, _) = stream.rhythm;
        if period > 1 && matches!(INCIDENTS[which].1, Incident::Away | Incident::Late) {
            // Whole periods, and there have to be two of them.
            at = (at / period * period).min(stream.buckets - 2 * period);
        }
        let lasts = INCIDENTS[which]
            .1
            .plant(stream, &mut values, at, &mut draw)?;
        let evidence = live(stream, &values);
        let seen = &evidence[at..(at + lasts + 2).min(evidence.len())];
        found += usize::from(seen.iter().any(|&nats| nats >= ALARM));
    }
    Some(found)
}

/// Alarms of lives without an incident, per 1,000 buckets.
fn in_vain(stream: &Stream) -> f64 {
    let of = |seed| {
        let values = (stream.values)(&mut Draw::new(seed, 7), stream.buckets);
        alarms(&live(stream, &values)[stream.buckets / 4..], ALARM)
    };
    let all: usize = (0..SEEDS).map(of).sum();
    1000.0 * all as f64 / (SEEDS as usize * stream.buckets * 3 / 4) as f64
}

fn main() {
    let asked: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with("--"))
        .collect();
    let names = INCIDENTS.map(|(name, _)| name).join(" | ");
    println!("Found of {SEEDS} at a score of 75 and more; false alarms per 1,000 buckets\n");
    println!(
        "| stream | false | {names} |\n|---|---|{}",
        "---|".repeat(INCIDENTS.len())
    );
    let (mut sums, mut asked_for, mut false_sum, mut streams) = ([0; 9], [0; 9], 0.0, 0);
    for stream in &STREAMS {
        if !asked.is_empty() && !asked.iter().any(|one| stream.name.contains(one.as_str())) {
            continue;
        }
        let in_vain = in_vain(stream);
        (false_sum, streams) = (false_sum + in_vain, streams + 1);
        let cells: Vec<String> = (0..INCIDENTS.len())
            .map(|which| match found(stream, which) {
                Some(found) => {
                    sums[which] += found;
                    asked_for[which] += SEEDS as usize;
                    found.to_string()
                }
                None => "-".to_string(),
            })
            .collect();
        println!("| {} | {in_vain:.2} | {} |", stream.name, cells.join(" | "));
    }
    let shares: Vec<String> = sums
        .iter()
        .zip(asked_for)
        .map(|(found, of)| format!("{:.0} %", 100.0 * *found as f64 / f64::max(of as f64, 1.0)))
        .collect();
    let all =
        100.0 * sums.iter().sum::<usize>() as f64 / asked_for.iter().sum::<usize>().max(1) as f64;
    println!(
        "| all: {all:.0} % | {:.2} | {} |",
        false_sum / f64::from(streams.max(1)),
        shares.join(" | ")
    );
}
