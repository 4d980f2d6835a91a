//! Nanoseconds per call of the numerics, over ordinary and extreme arguments: `cargo bench --bench numerics`.
//!
//! Arguments come from a fixed list, so that runs compare; each figure is the fastest of several passes, since noise only adds.

use std::hint::black_box;
use std::time::Instant;
use tidewatch::numerics::special::{
    beta, chi_square, gamma, negative_binomial, normal, poisson, student_t,
};
use tidewatch::numerics::{DistinctSketch, ExactSum, QuantileSketch, combine, variance};

const CALLS: usize = 256;
const PASSES: usize = 301;

/// Prints the time of one call, `call` being given 0, 1, 2, ...
#[allow(clippy::disallowed_methods)] // the one thing a benchmark needs a clock for
fn measure(name: &str, mut call: impl FnMut(usize) -> f64) {
    let mut fastest = f64::INFINITY;
    for _ in 0..PASSES {
        let start = Instant::now();
        for i in 0..CALLS {
            black_box(call(black_box(i)));
        }
        fastest = fastest.min(start.elapsed().as_nanos() as f64 / CALLS as f64);
    }
    println!("{name:<52} {fastest:>8.1} ns");
}

/// From -1 to 1, spread evenly and in no order.
fn spread(i: usize) -> f64 {
    let hash = (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (hash as i64 >> 11) as f64 / (1u64 << 52) as f64
}

fn sums() {
    measure("nothing but the argument", spread);
    let mut sum = ExactSum::new();
    measure("ExactSum::add, values within ±1000", |i| {
        sum.add(1000.0 * spread(i));
        0.0
    });
    let mut squares = ExactSum::new();
    measure("ExactSum::add_product, the same squared", |i| {
        squares.add_product(1000.0 * spread(i), 1000.0 * spread(i));
        0.0
    });
    measure("ExactSum::value", |_| sum.value());
    measure("variance", |_| variance(1_000_000, &sum, &squares));
    let part = sum.clone();
    measure("ExactSum::merge", |_| {
        sum.merge(&part);
        0.0
    });
}

fn sketches() {
    let mut few = QuantileSketch::new();
    measure("QuantileSketch::add, 50 distinct values", |i| {
        few.add((i % 50) as f64, 1);
        0.0
    });
    let mut many = QuantileSketch::new();
    measure("QuantileSketch::add, in bins", |i| {
        many.add((5.0 * spread(i)).exp(), 1);
        0.0
    });
    measure("QuantileSketch::median, in bins", |_| {
        many.median().unwrap_or(0.0)
    });
    let mut distinct = DistinctSketch::new();
    measure("DistinctSketch::insert_hash, 200 distinct", |i| {
        distinct.insert_hash(((i % 200) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        0.0
    });
    let mut registers = DistinctSketch::new();
    measure("DistinctSketch::insert_hash, registers", |i| {
        registers.insert_hash((i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        0.0
    });
    (0..10_000u64).for_each(|i| registers.insert_hash(i.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    measure("DistinctSketch::estimate, registers", |_| {
        registers.estimate()
    });
}

fn tails() {
    measure("normal::ln_sf, |z| < 5", |i| normal::ln_sf(5.0 * spread(i)));
    measure("normal::quantile", |i| {
        normal::quantile(0.5 + 0.499 * spread(i))
    });
    measure("normal::quantile_from_ln_sf, to e^-50", |i| {
        normal::quantile_from_ln_sf(-25.0 + 25.0 * spread(i))
    });
    for shape in [0.5, 3.0, 11.0, 15.0, 80.0, 1e4, 1e9] {
        measure(&format!("gamma::ln_sf, shape {shape}, within 4 sd"), |i| {
            gamma::ln_sf(around(shape, shape.sqrt(), i), shape, 1.0)
        });
    }
    measure("chi_square::ln_sf, 2 degrees, to 300", |i| {
        chi_square::ln_sf(150.0 + 150.0 * spread(i), 2.0)
    });
    for mean in [0.5, 5.0, 30.0, 1e4, 1e9] {
        measure(
            &format!("poisson::ln_sf_inclusive, mean {mean}, within 4 sd"),
            |i| poisson::ln_sf_inclusive(around(mean, mean.sqrt(), i), mean),
        );
    }
    for (mean, size) in [
        (2.0f64, 3.0),
        (50.0, 10.0),
        (1e4, 5.0),
        (1e4, 1e3),
        (1e6, 1e9),
    ] {
        let sd: f64 = (mean + mean * mean / size).sqrt();
        measure(
            &format!("negative_binomial::ln_sf_inclusive, {mean}, size {size}"),
            |i| negative_binomial::ln_sf_inclusive(around(mean, sd, i), mean, size),
        );
    }
    for nu in [3.0, 30.0, 1e4] {
        measure(&format!("student_t::ln_sf, nu {nu}, |t| < 6"), |i| {
            student_t::ln_sf(6.0 * spread(i), nu)
        });
    }
    measure("beta::ln_cdf, a 20, b 30", |i| {
        beta::ln_cdf(0.5 + 0.45 * spread(i), 20.0, 30.0)
    });
}

fn around(mean: f64, sd: f64, i: usize) -> f64 {
    (mean + 4.0 * sd * spread(i)).max(0.1 * mean)
}

fn inverses() {
    measure("gamma::quantile, shape 3", |i| {
        gamma::quantile(0.5 + 0.499 * spread(i), 3.0, 1.0)
    });
    measure("student_t::quantile, nu 5", |i| {
        student_t::quantile(0.5 + 0.499 * spread(i), 5.0)
    });
    measure("poisson::quantile, mean 30", |i| {
        poisson::quantile(0.5 + 0.499 * spread(i), 30.0)
    });
    measure("negative_binomial::quantile, 50, size 10", |i| {
        negative_binomial::quantile(0.5 + 0.499 * spread(i), 50.0, 10.0)
    });
    measure("combine::ln_joint of 8", |i| {
        combine::ln_joint(&[-5.0 + 5.0 * spread(i); 8])
    });
    measure("combine::ln_joint_pair", |i| {
        combine::ln_joint_pair(-5.0 + 5.0 * spread(i), -3.0, 0.6)
    });
}

/// The table.
fn main() {
    sums();
    sketches();
    tails();
    inverses();
}
