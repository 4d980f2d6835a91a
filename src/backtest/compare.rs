//! Two detectors on the same events and labels: what one found and the other did not, and whether that is more than chance.
//!
//! Only what the two disagree about says which is better. If neither is, each disagreement is a coin's throw, so the p-value is that of the exact sign
//! test (McNemar's test in its exact form): twice the lower tail of the binomial distribution with probability one half, in closed form
//! `P(X <= k | n, 1/2) = I_1/2(n - k, k + 1)`. It takes disagreements for independent, which false alerts of one burst are not: there the true p is larger.
//! Source: McNemar, Psychometrika 12 (1947); DLMF 8.17.5. Checked: below, against the sum of the terms.

use super::figures::{AlertTold, Measured, WindowOutcome};
use crate::numerics::special::beta;
use crate::time::EventTime;
use serde::Serialize;

/// What is different at the threshold for alerts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// Windows that both found.
    pub found_by_both: usize,
    /// Windows that only the job found.
    pub found_only_here: Vec<WindowOutcome>,
    /// Windows that only the other one found.
    pub found_only_there: Vec<WindowOutcome>,
    /// How often chance alone makes the two differ so much in windows found, if neither is better: a p-value, two-sided.
    pub p_found: f64,
    /// False alerts of the job with no false alert of the other one in a series of the same by, over and partition values within the quiet period; the strongest first.
    pub false_only_here: Vec<AlertTold>,
    /// The same the other way round.
    pub false_only_there: Vec<AlertTold>,
    /// As for windows, of false alerts.
    pub p_false: f64,
}

/// Sets two detectors against each other that were measured on the same windows.
pub fn compare(here: &Measured, there: &Measured, quiet_ms: i64) -> Difference {
    let pairs = || here.windows.iter().zip(&there.windows);
    let only = |mine: fn(&(&WindowOutcome, &WindowOutcome)) -> bool| pairs().filter(mine);
    let found_only_here: Vec<_> = only(|(a, b)| a.found && !b.found)
        .map(|(a, _)| a.clone())
        .collect();
    let found_only_there: Vec<_> = only(|(a, b)| b.found && !a.found)
        .map(|(_, b)| b.clone())
        .collect();
    let false_only_here = without_match(&here.false_alerts, &there.false_alerts, quiet_ms);
    let false_only_there = without_match(&there.false_alerts, &here.false_alerts, quiet_ms);
    Difference {
        found_by_both: pairs().filter(|(a, b)| a.found && b.found).count(),
        p_found: sign_test(found_only_here.len(), found_only_there.len()),
        p_false: sign_test(false_only_here.len(), false_only_there.len()),
        found_only_here,
        found_only_there,
        false_only_here,
        false_only_there,
    }
}

/// Those of `mine` that have no like among `theirs`.
fn without_match(mine: &[AlertTold], theirs: &[AlertTold], quiet_ms: i64) -> Vec<AlertTold> {
    let key = |one: &AlertTold| (one.series.fields.clone(), one.start);
    let mut known: Vec<_> = theirs.iter().map(key).collect();
    known.sort_unstable();
    let is_alone = |one: &&AlertTold| {
        let earliest = EventTime(one.start.0.saturating_sub(quiet_ms));
        let from = (one.series.fields.clone(), earliest);
        let near = known.get(known.partition_point(|other| *other < from));
        near.is_none_or(|(fields, start)| {
            *fields != one.series.fields || start.0 > one.start.0.saturating_add(quiet_ms)
        })
    };
    mine.iter().filter(is_alone).cloned().collect()
}

/// The two-sided p-value of `here` against `there` throws of a fair coin, in (0, 1].
pub fn sign_test(here: usize, there: usize) -> f64 {
    let (least, all) = (here.min(there), here + there);
    if here == there {
        return 1.0;
    }
    let ln_tail = beta::ln_cdf(0.5, (all - least) as f64, least as f64 + 1.0);
    (2.0 * ln_tail.exp()).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sign_test_is_twice_the_sum_of_the_terms() {
        for (here, there) in [(0, 1), (0, 5), (1, 7), (3, 4), (10, 30), (400, 500)] {
            let all = here + there;
            let mut term = 0.5f64.powi(all as i32);
            let mut sum = 0.0;
            for k in 0..=here {
                sum += term;
                term *= (all - k) as f64 / (k + 1) as f64;
            }
            let (p, expected) = (sign_test(here, there), (2.0 * sum).min(1.0));
            assert!(
                (p - expected).abs() < 1e-9 * expected,
                "{here}, {there}: {p} {expected}"
            );
            assert_eq!(p, sign_test(there, here));
        }
        assert_eq!((sign_test(0, 0), sign_test(6, 6)), (1.0, 1.0));
    }
}
