//! How odd a surprise is among all that came before: the chance of one at least so large.
//!
//! Input: surprises in nats, each foretold by its series before it was learnt; of many series of one kind together, for one alone sees too few. Output: `ln p`, at most 0. What comes
//! again and again has a chance by its rank among the past, whatever foretold it (conformal prediction: Vovk, Gammerman and Shafer 2005): so chances are what they say if
//! things go on as they were. Beyond all but the `√N` largest of `N`, where ranks say little, the excess over them is exponential with an unknown mean, of which
//! two excesses of one nat are believed beforehand (a Lomax tail; Gelman et al., Bayesian Data Analysis, 2.6): `p = (m + ½)/(N + 1) · (1 + x/(T + 2))^−(m + 2)`
//! after `m` excesses of `T` nats.
//!
//! Holds: `ln p` is finite, at most 0, and never grows with the surprise; equal tables have equal bytes. Checked: tests below, tests/functions.rs.

use serde::{Deserialize, Serialize};

/// Surprises are told apart to a quarter of a nat, from −18 to 14.
const BINS: usize = 128;
const LEAST: f64 = -18.0;
const BINS_A_NAT: f64 = 4.0;
/// Fewer surprises than this say nothing of what is odd.
const SURPRISES_MIN: f64 = 20.0;
/// The fewest largest ones that are the tail.
const TAIL_MIN: f64 = 5.0;
const PRIOR_EXCESSES: f64 = 2.0;
const PRIOR_NATS: f64 = 2.0;

/// Past surprises, older ones counting for less.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Oddities {
    /// Weight by bin: [`BINS`] of them.
    weights: Vec<f32>,
    total: f64,
}

impl Default for Oddities {
    fn default() -> Oddities {
        Oddities {
            weights: vec![0.0; BINS],
            total: 0.0,
        }
    }
}

impl Oddities {
    /// Bytes on the heap.
    pub const HEAP_BYTES: usize = BINS * size_of::<f32>();

    /// ln of the chance of a surprise at least so large; 0 while too little is known. `gain` is what one weighs now.
    pub fn ln_probability(&self, surprise: f64, gain: f64) -> f64 {
        let n = self.total / gain;
        if n < SURPRISES_MIN {
            return 0.0;
        }
        let tail = n.sqrt().max(TAIL_MIN).min(0.25 * n);
        let bin = bin_of(surprise);
        // From the largest down to the bin that the tail begins above.
        let (mut beyond, mut excess, mut from) = (0.0, 0.0, self.weights.len());
        for (at, &weight) in self.weights.iter().enumerate().rev() {
            let weight = f64::from(weight) / gain;
            if beyond + weight > tail {
                break;
            }
            // What is beyond moves one bin further from where the tail begins.
            excess += beyond / BINS_A_NAT + 0.5 * weight / BINS_A_NAT;
            beyond += weight;
            from = at;
        }
        let ln_share = |weight: f64| ((weight + 0.5) / (n + 1.0)).min(1.0).ln();
        if bin < from {
            let others: f64 = self.weights[bin..from]
                .iter()
                .map(|&one| f64::from(one) / gain)
                .sum();
            return ln_share(beyond + others);
        }
        let start = LEAST + from as f64 / BINS_A_NAT;
        let over = (surprise - start).max(0.0);
        ln_share(beyond) - (PRIOR_EXCESSES + beyond) * (over / (PRIOR_NATS + excess)).ln_1p()
    }

    /// Takes in a surprise.
    pub fn learn(&mut self, surprise: f64, gain: f64) {
        if let Some(weight) = self.weights.get_mut(bin_of(surprise)) {
            *weight += gain as f32;
            self.total += gain;
        }
    }

    /// Brings the weights to another scale.
    pub fn scale(&mut self, down: f64) {
        for weight in &mut self.weights {
            *weight = (f64::from(*weight) * down) as f32;
        }
        self.total = self.weights.iter().map(|&one| f64::from(one)).sum();
    }
}

fn bin_of(surprise: f64) -> usize {
    (((surprise - LEAST) * BINS_A_NAT).max(0.0) as usize).min(BINS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(surprises: impl IntoIterator<Item = f64>) -> Oddities {
        let mut table = Oddities::default();
        surprises.into_iter().for_each(|one| table.learn(one, 1.0));
        table
    }

    #[test]
    fn chances_never_grow_with_the_surprise() {
        let histories: [Vec<f64>; 4] = [
            vec![-15.0; 400],
            (0..50).map(|i| f64::from(i) * 0.1).collect(),
            (0..5_000)
                .map(|i| -(f64::from(i % 977) / 977.0).ln())
                .filter(|x| x.is_finite())
                .collect(),
            vec![1e9; 30],
        ];
        for history in histories {
            let table = after(history);
            let ln_ps: Vec<f64> = (0..4_000)
                .map(|i| table.ln_probability(f64::from(i) * 0.01 - 20.0, 1.0))
                .collect();
            assert!(ln_ps.is_sorted_by(|a, b| a >= b), "{ln_ps:?}");
            assert!(ln_ps.iter().all(|ln_p| *ln_p <= 0.0 && ln_p.is_finite()));
        }
        assert_eq!(after([1.0; 10]).ln_probability(9.0, 1.0), 0.0, "too few");
    }

    #[test]
    fn of_exponential_surprises_the_chance_is_what_it_says_far_beyond_those_seen() {
        let n = 2_000;
        let table = after((1..=n).map(|rank| -((f64::from(rank) - 0.5) / f64::from(n)).ln()));
        for chance in [0.1, 0.01, 0.001, 1e-5f64] {
            let off = table.ln_probability(-chance.ln(), 1.0) - chance.ln();
            assert!(off.abs() < 0.7, "{chance}: off by {off} nats");
        }
    }

    #[test]
    fn the_first_excess_after_nothing_but_equals_is_unlikely_but_not_beyond_belief() {
        let table = after([-15.0; 600]);
        let (near, far) = (
            table.ln_probability(0.0, 1.0),
            table.ln_probability(7.0, 1.0),
        );
        assert!(near < -9.0 && far < near && far > -15.0, "{near} {far}");
    }
}
