//! Simulated series against the model of a series: false alarms on noise, calibration, power, and how long a shift of level is held against
//! its series. `cargo bench --bench noise [-- false-alarms calibration power shift]`
//!
//! Every figure is a function of the seeds. A draw is SplitMix64 (Steele, Lea, Flood 2014), turned into a distribution by its textbook
//! definition, so that nothing of what is tested makes the test data; only the calibration inverts with the crate's own quantiles (they are checked
//! against references). Buckets are judged first and learnt second, as in the engine.

#[path = "common/draws.rs"]
mod draws;

use draws::{ALARM, Draw, Life, alarms, autoregressive, each, student};
use tidewatch::engine::model::Verdict;
use tidewatch::engine::score::of_evidence;
use tidewatch::numerics::special::{gamma, negative_binomial, normal, poisson};

const HOUR_S: f64 = 3_600.0;
const WEEK_S: f64 = 168.0 * HOUR_S;
/// What the judge makes records of: below this ln p, or from this evidence on.
const LN_RECORD: f64 = -3.352_407_217_330_787; // ln 0.035
const EVIDENCE_RECORD: f64 = 2.0;
const LN_USUAL: f64 = -2.995_732_273_553_991; // ln 0.05

/// Noise of one kind: `values` of a draw, in buckets of so many seconds.
struct Noise {
    name: &'static str,
    counting: bool,
    values: fn(&mut Draw, f64, usize) -> Vec<f64>,
}

fn walk(draw: &mut Draw, n: usize) -> Vec<f64> {
    let mut x = 100.0;
    let step = |_| {
        x += draw.normal();
        x
    };
    (0..n).map(step).collect()
}

/// Two a bucket, and twenty in a burst: one begins in two of a hundred calm buckets and lasts five on average.
fn bursts(draw: &mut Draw, n: usize) -> Vec<f64> {
    let mut burst = false;
    let step = |_| {
        burst = draw.unit() < if burst { 0.8 } else { 0.02 };
        draw.poisson(if burst { 20.0 } else { 2.0 })
    };
    (0..n).map(step).collect()
}

/// The wave of a day at a bucket, −1..=1.
fn wave(seconds: f64, bucket: usize) -> f64 {
    (std::f64::consts::TAU * seconds * bucket as f64 / (24.0 * HOUR_S)).sin()
}

fn scaled(z: Vec<f64>) -> Vec<f64> {
    z.into_iter().map(|z| 100.0 + 10.0 * z).collect()
}

const fn noise(
    name: &'static str,
    counting: bool,
    values: fn(&mut Draw, f64, usize) -> Vec<f64>,
) -> Noise {
    Noise {
        name,
        counting,
        values,
    }
}

const NOISES: [Noise; 9] = [
    noise("normal", false, |d, _, n| scaled(each(n, |_| d.normal()))),
    noise("log-normal, sigma 1", false, |d, _, n| {
        each(n, |_| 100.0 * d.normal().exp())
    }),
    noise("Poisson 5", true, |d, _, n| each(n, |_| d.poisson(5.0))),
    noise("AR(1) .9", false, |d, _, n| {
        scaled(autoregressive(d, 0.9, n))
    }),
    noise("random walk", false, |d, _, n| walk(d, n)),
    noise("daily + noise", false, |d, s, n| {
        each(n, |i| 100.0 + 30.0 * wave(s, i) + 10.0 * d.normal())
    }),
    noise("bursty counts", true, |d, _, n| bursts(d, n)),
    noise("sparse counts .2", true, |d, _, n| {
        each(n, |_| d.poisson(0.2))
    }),
    noise("Student-t 3", false, |d, _, n| {
        scaled(each(n, |_| student(d)))
    }),
];

fn false_alarms() {
    // Of twenty lives an alarm more or less was .013 of 5-minute buckets, and the sum of them .05 off.
    const SEEDS: u64 = 100;
    const LIVES: [(&str, i64, usize); 3] = [
        ("4,000 x 5 min", 300, 4_000),
        ("16,000 x 1 min", 60, 16_000),
        ("1,600 x 1 h", 3_600, 1_600),
    ];
    println!(
        "\n## False alarms per 1,000 buckets, score >= 75 (in brackets 93: 5 nats); {SEEDS} seeds\n"
    );
    println!(
        "| noise | {} |\n|---|---|---|---|",
        LIVES.map(|life| life.0).join(" | ")
    );
    for noise in &NOISES {
        let cells = LIVES.map(|(_, seconds, n)| {
            let mut counts = [0; 2];
            for seed in 0..SEEDS {
                let mut life = Life::new(seconds, noise.counting);
                let values = (noise.values)(&mut Draw::new(seed, 1), seconds as f64, n);
                let evidence: Vec<f64> = values
                    .into_iter()
                    .map(|x| life.live(x).map_or(0.0, |verdict| verdict.evidence))
                    .collect();
                counts[0] += alarms(&evidence, ALARM);
                counts[1] += alarms(&evidence, 5.0);
            }
            let buckets = (n as u64 * SEEDS) as f64;
            let [at_3, at_5] = counts.map(|count| 1000.0 * count as f64 / buckets);
            format!("{at_3:.2} ({at_5:.2})")
        });
        println!("| {} | {} |", noise.name, cells.join(" | "));
    }
}

/// A law with a level: the value at the quantile of a normal deviate `z`, and of a second one for what it mixes.
struct Law {
    name: &'static str,
    counting: bool,
    value: fn(level: f64, z: f64, other: f64) -> f64,
    /// Of whole numbers: ln of the chances of `k` or fewer, and of `k` or more.
    ln_tails: Option<fn(level: f64, k: f64) -> [f64; 2]>,
}

/// Dispersion of the negative binomial.
const SIZE: f64 = 5.0;

const LAWS: [Law; 6] = [
    Law {
        name: "normal",
        counting: false,
        value: |level, z, _| 100.0 * level + 10.0 * z,
        ln_tails: None,
    },
    Law {
        name: "log-normal .5",
        counting: false,
        value: |level, z, _| 100.0 * level * (0.5 * z).exp(),
        ln_tails: None,
    },
    Law {
        name: "gamma 4",
        counting: false,
        value: |level, z, _| gamma::quantile(normal::ln_cdf(z).exp(), 4.0, 25.0 * level),
        ln_tails: None,
    },
    Law {
        name: "Poisson 20",
        counting: true,
        value: |level, z, _| poisson::quantile(normal::ln_cdf(z).exp(), 20.0 * level),
        ln_tails: Some(|level, k| {
            let mean = 20.0 * level;
            [poisson::ln_cdf(k, mean), poisson::ln_sf_inclusive(k, mean)]
        }),
    },
    Law {
        name: "neg. binomial 20, 5",
        counting: true,
        value: |level, z, _| {
            negative_binomial::quantile(normal::ln_cdf(z).exp(), 20.0 * level, SIZE)
        },
        ln_tails: Some(|level, k| {
            let mean = 20.0 * level;
            [
                negative_binomial::ln_cdf(k, mean, SIZE),
                negative_binomial::ln_sf_inclusive(k, mean, SIZE),
            ]
        }),
    },
    // Seven of ten around 100, three around 160.
    Law {
        name: "two modes",
        counting: false,
        value: |level, z, other| {
            if other < 0.524_4 {
                100.0 * level + 5.0 * z
            } else {
                160.0 * level + 8.0 * z
            }
        },
        ln_tails: None,
    },
];

/// The course of the level, and the factor of the last deviate on the next.
struct Course {
    name: &'static str,
    factor: f64,
    level: fn(seconds: f64) -> f64,
}

const COURSES: [Course; 4] = [
    Course {
        name: "plain",
        factor: 0.0,
        level: |_| 1.0,
    },
    Course {
        name: "day+week",
        factor: 0.0,
        level: |s| {
            let weekend = s.rem_euclid(WEEK_S) >= 120.0 * HOUR_S;
            (1.0 + 0.4 * (std::f64::consts::TAU * s / (24.0 * HOUR_S)).sin())
                * if weekend { 0.7 } else { 1.0 }
        },
    },
    // Doubles in the six weeks.
    Course {
        name: "trend",
        factor: 0.0,
        level: |s| 1.0 + s / (6.0 * WEEK_S),
    },
    Course {
        name: "AR(1) .5",
        factor: 0.5,
        level: |_| 1.0,
    },
];

/// Natural logs of the levels .1, .01 and .001.
const LN_LEVELS: [f64; 3] = [
    -std::f64::consts::LN_10,
    -2.0 * std::f64::consts::LN_10,
    -3.0 * std::f64::consts::LN_10,
];

impl Law {
    /// How often the law itself, known exactly, says less than this of its own values: of whole numbers few have a chance near a level, and p < .001 comes .6 times in a thousand.
    fn share_below(&self, level: f64, ln_p: f64) -> f64 {
        let Some(ln_tails) = self.ln_tails else {
            return ln_p.exp();
        };
        let is_below =
            |k: f64, side: usize| ln_tails(level, k)[side] + std::f64::consts::LN_2 < ln_p;
        let middle = (20.0 * level).round();
        let low = (0..=middle as u32).rev().map(f64::from);
        let low = low.into_iter().find(|&k| is_below(k, 0));
        let mut high = middle;
        while !is_below(high, 1) {
            high += 1.0;
        }
        low.map_or(0.0, |k| ln_tails(level, k)[0].exp()) + ln_tails(level, high)[1].exp()
    }
}

/// How often p was below each level, as a multiple of how often the law itself, known exactly, says so: of the whole verdict, and of the bucket alone.
fn ratios(law: &Law, course: &Course) -> [[f64; 3]; 2] {
    // Of ten lives .001 was 27 buckets in a cell: by a quarter more or less by chance.
    const SEEDS: u64 = 40;
    const SECONDS: f64 = 900.0;
    let week = (WEEK_S / SECONDS) as usize;
    let (buckets, warm) = (6 * week, 2 * week);
    let mut below = [[0u32; 3]; 2];
    for seed in 0..SEEDS {
        let mut draw = Draw::new(seed, 2);
        let z = autoregressive(&mut draw, course.factor, buckets);
        let other = autoregressive(&mut draw, course.factor, buckets);
        let mut life = Life::new(SECONDS as i64, law.counting);
        for bucket in 0..buckets {
            let level = (course.level)((bucket as f64 + 0.5) * SECONDS);
            let verdict = life.live((law.value)(level, z[bucket], other[bucket]));
            let Some(verdict) = verdict.filter(|_| bucket >= warm) else {
                continue;
            };
            for (counts, ln_p) in below
                .iter_mut()
                .zip([verdict.ln_probability, verdict.ln_single])
            {
                for (count, ln_level) in counts.iter_mut().zip(LN_LEVELS) {
                    *count += u32::from(ln_p < ln_level);
                }
            }
        }
    }
    let levels = (warm..buckets).map(|bucket| (course.level)((bucket as f64 + 0.5) * SECONDS));
    let levels: Vec<f64> = levels.collect();
    let by_law = LN_LEVELS.map(|ln_p| {
        levels
            .iter()
            .map(|&level| law.share_below(level, ln_p))
            .sum()
    });
    let by_law: [f64; 3] = by_law;
    below
        .map(|counts| std::array::from_fn(|at| f64::from(counts[at]) / (SEEDS as f64 * by_law[at])))
}

fn calibration() {
    println!(
        "\n## Calibration: share of buckets with p < a, as a multiple of a (1 is right); a = .1 / .01 / .001\n"
    );
    println!(
        "Of the record's probability, then of the bucket's alone (in brackets); of counts as a multiple of how often their law, known exactly, says so.\n"
    );
    println!(
        "| law | {} |\n|---|---|---|---|---|",
        COURSES.map(|course| course.name).join(" | ")
    );
    let mut beyond = [0; 2];
    for law in &LAWS {
        let cells = COURSES.map(|course| {
            let [whole, single] = ratios(law, &course);
            for (count, ratios) in beyond.iter_mut().zip([whole, single]) {
                *count += ratios.iter().filter(|r| **r > 2.0 || **r < 0.5).count();
            }
            let text = |r: [f64; 3]| format!("{:.2} / {:.2} / {:.2}", r[0], r[1], r[2]);
            format!("{} ({})", text(whole), text(single))
        });
        println!("| {} | {} |", law.name, cells.join(" | "));
    }
    println!(
        "\nOutside a factor of 2: {} of 72 (of the bucket alone: {}).",
        beyond[0], beyond[1]
    );
}

/// A series to disturb: its values, how large one sigma is, and whether it counts.
struct Calm {
    name: &'static str,
    counting: bool,
    sigma: f64,
    values: fn(&mut Draw, f64, usize) -> Vec<f64>,
}

const CALMS: [Calm; 6] = [
    Calm {
        name: "normal",
        counting: false,
        sigma: 10.0,
        values: |d, _, n| scaled(each(n, |_| d.normal())),
    },
    Calm {
        name: "log-normal .5",
        counting: false,
        sigma: 60.4,
        values: |d, _, n| each(n, |_| 100.0 * (0.5 * d.normal()).exp()),
    },
    Calm {
        name: "Poisson 5",
        counting: true,
        sigma: 2.236,
        values: |d, _, n| each(n, |_| d.poisson(5.0)),
    },
    Calm {
        name: "Poisson 20",
        counting: true,
        sigma: 4.472,
        values: |d, _, n| each(n, |_| d.poisson(20.0)),
    },
    Calm {
        name: "AR(1) .5",
        counting: false,
        sigma: 10.0,
        values: |d, _, n| scaled(autoregressive(d, 0.5, n)),
    },
    Calm {
        name: "daily + noise",
        counting: false,
        sigma: 10.0,
        values: |d, s, n| each(n, |i| 100.0 + 30.0 * wave(s, i) + 10.0 * d.normal()),
    },
];

impl Calm {
    /// A value so many sigmas higher.
    fn raised(&self, x: f64, sigmas: f64) -> f64 {
        let x = x + sigmas * self.sigma;
        if self.counting { x.round() } else { x }
    }

    /// What the model says of a spike after `k` buckets.
    fn spike(&self, seed: u64, k: usize) -> Option<Verdict> {
        let values = (self.values)(&mut Draw::new(seed, 3), 300.0, k + 1);
        let mut life = Life::new(300, self.counting);
        for &x in &values[..k] {
            life.live(x);
        }
        life.live(self.raised(values[k], 10.0))
    }
}

fn power() {
    const SEEDS: u64 = 10;
    const BUCKETS_MOST: usize = 80;
    println!(
        "\n## Power: least k such that a spike of 10 sigma after k buckets (5 min) is found in 9 of {SEEDS} seeds\n"
    );
    println!(
        "`from` is the least k with no worse k after it (to {BUCKETS_MOST}); - where there is none.\n"
    );
    println!("| series | a record | from | score 75 | from |\n|---|---|---|---|---|");
    for calm in &CALMS {
        let found: Vec<[bool; 2]> = (1..=BUCKETS_MOST)
            .map(|k| {
                let mut counts = [0; 2];
                for verdict in (0..SEEDS).filter_map(|seed| calm.spike(seed, k)) {
                    let record =
                        verdict.ln_probability < LN_RECORD || verdict.evidence >= EVIDENCE_RECORD;
                    counts[0] += u64::from(record);
                    counts[1] += u64::from(verdict.evidence >= ALARM);
                }
                counts.map(|count| 10 * count >= 9 * SEEDS)
            })
            .collect();
        let told = |k: Option<usize>| k.map_or("-".to_string(), |k| k.to_string());
        let cells = [0, 1].map(|which| {
            let least = found.iter().position(|one| one[which]).map(|at| at + 1);
            let from = found
                .iter()
                .rposition(|one| !one[which])
                .map_or(1, |at| at + 2);
            let from = Some(from).filter(|from| *from <= BUCKETS_MOST);
            format!("{} | {}", told(least), told(from))
        });
        println!("| {} | {} |", calm.name, cells.join(" | "));
    }
}

fn shift() {
    const SEEDS: u64 = 20;
    const LOOK: usize = 400;
    const SPANS: [(&str, i64, usize); 2] = [("5 min", 300, 4_032), ("1 h", 3_600, 1_344)];
    println!(
        "\n## A shift of level by +5 sigma after two weeks (5 min) or eight (1 h): buckets until it is accepted; {SEEDS} seeds, median / worst of nine in ten\n"
    );
    println!(
        "Loud: buckets of score 75 and more among the first {LOOK}. Settled: the first bucket of ten of which nine have a p of the bucket alone of .05 or more.\n"
    );
    println!(
        "| series | bucket | onset found | loud | score below 3 | p of the bucket .05 | settled |\n|---|---|---|---|---|---|---|"
    );
    for calm in &CALMS {
        for (name, seconds, before) in SPANS {
            let mut figures: [Vec<usize>; 4] = Default::default();
            let mut found = 0;
            for seed in 0..SEEDS {
                let values =
                    (calm.values)(&mut Draw::new(seed, 4), seconds as f64, before + LOOK + 10);
                let mut life = Life::new(seconds, calm.counting);
                for &x in &values[..before] {
                    life.live(x);
                }
                let after: Vec<Verdict> = values[before..]
                    .iter()
                    .filter_map(|&x| life.live(calm.raised(x, 5.0)))
                    .collect();
                let usual = |verdict: &Verdict| verdict.ln_single >= LN_USUAL;
                let quiet = |verdict: &Verdict| of_evidence(verdict.evidence) < 3.0;
                let loud = after[..LOOK].iter().filter(|v| v.evidence >= ALARM).count();
                found += u32::from(after[..3].iter().any(|v| v.evidence >= ALARM));
                let settled = after
                    .windows(10)
                    .position(|ten| ten.iter().filter(|v| usual(v)).count() >= 9);
                figures[0].push(loud);
                figures[1].push(after.iter().position(quiet).unwrap_or(LOOK));
                figures[2].push(after.iter().position(usual).unwrap_or(LOOK));
                figures[3].push(settled.unwrap_or(LOOK));
            }
            let cells = figures.map(|mut figure| {
                figure.sort_unstable();
                format!(
                    "{} / {}",
                    figure[figure.len() / 2],
                    figure[figure.len() * 9 / 10]
                )
            });
            println!(
                "| {} | {name} | {found} of {SEEDS} | {} |",
                calm.name,
                cells.join(" | ")
            );
        }
    }
}

fn main() {
    let asked: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with("--"))
        .collect();
    let parts: [(&str, fn()); 4] = [
        ("false-alarms", false_alarms),
        ("calibration", calibration),
        ("power", power),
        ("shift", shift),
    ];
    for (name, part) in parts {
        if asked.is_empty() || asked.iter().any(|one| one == name) {
            part();
        }
    }
}
