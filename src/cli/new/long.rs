//! Numbers of many kinds in one field: `metric` says what `value` is of.
//!
//! So it is when the values of a category tell nearly all that differs between the numbers, on a scale of magnitudes. The mean over all of them would be the
//! mean of percentages and bytes.

use super::propose::{Role, of_role};
use super::stats::{Sample, hash_of};
use std::collections::BTreeMap;

/// So much of the variance is told.
const TOLD_MIN: f64 = 0.9;
/// More values than this are no kinds.
const KINDS_MAX: usize = 1000;

/// The category that says what each number of a measure is of, if there is one.
pub(super) fn names_of(sample: &Sample, roles: &[Role], measure: usize) -> Option<usize> {
    let categories = of_role(roles, &[Role::Split, Role::Entity]).into_iter();
    let likely = categories
        .filter(|at| sample.fields[*at].distinct() <= KINDS_MAX && sample.presence(*at) >= 0.9);
    let told = likely.map(|at| (at, told(sample, measure, at)));
    let most = told.max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)));
    most.filter(|most| most.1 >= TOLD_MIN).map(|most| most.0)
}

/// The share of the variance of a number's magnitude that a category tells, for the number of its values.
fn told(sample: &Sample, measure: usize, category: usize) -> f64 {
    let pairs = sample.column(measure).zip(sample.column(category));
    let pairs =
        pairs.filter_map(|(number, kind)| Some((hash_of(kind?), number?.number()?.asinh())));
    let mut kinds: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    for (kind, number) in pairs {
        kinds.entry(kind).or_default().push(number);
    }
    let all: Vec<f64> = kinds.values().flatten().copied().collect();
    if all.len() <= 2 * kinds.len() {
        return 0.0;
    }
    let within: f64 = kinds.values().map(|kind| squares(kind)).sum();
    let (whole, n) = (squares(&all), all.len() as f64);
    let degrees = (n - 1.0) / (n - kinds.len() as f64);
    match whole > 0.0 {
        true => 1.0 - within / whole * degrees,
        false => 0.0,
    }
}

/// Sum of the squared distances from the mean.
fn squares(numbers: &[f64]) -> f64 {
    let mean = numbers.iter().sum::<f64>() / numbers.len().max(1) as f64;
    numbers.iter().map(|x| (x - mean).powi(2)).sum()
}

/// Whether two numbers are nearly the same but for a factor: a duration and most of it.
pub(super) fn go_together(sample: &Sample, a: usize, b: usize) -> bool {
    const CORRELATION_MIN: f64 = 0.995;
    let pairs = sample.column(a).zip(sample.column(b));
    let pairs: Vec<(f64, f64)> = pairs
        .filter_map(|(a, b)| Some((a?.number()?, b?.number()?)))
        .collect();
    let n = pairs.len().max(1) as f64;
    let (x, y) = (
        pairs.iter().map(|pair| pair.0).sum::<f64>() / n,
        pairs.iter().map(|pair| pair.1).sum::<f64>() / n,
    );
    let sum = |f: &dyn Fn(f64, f64) -> f64| -> f64 {
        pairs.iter().map(|pair| f(pair.0 - x, pair.1 - y)).sum()
    };
    let spread = (sum(&|x, _| x * x) * sum(&|_, y| y * y)).sqrt();
    pairs.len() >= 20 && sum(&|x, y| x * y) >= CORRELATION_MIN * spread && spread > 0.0
}
