//! Many probabilities into one: joint, extreme, and the two views of a set that results use.
//!
//! Input and output: natural logs, at most 0, and evidence in nats, at least 0. Sums go through [`ExactSum`], so that neither the order
//! of the series nor their spread over shards shows. Sources: Fisher 1925 in its Gaussian form (sum of squared normal deviates is
//! chi-squared); order statistics (David and Nagaraja); modelling-notes.md 9.

use crate::numerics::ExactSum;
use crate::numerics::log_domain::ln_1m_exp;
use crate::numerics::special::{chi_square, gamma, normal};
use serde::{Deserialize, Serialize};
use std::f64::consts::LN_2;

/// What is held against something: one value, an entity, a bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Charge {
    /// ln p, at most 0.
    pub ln_probability: f64,
    /// Nats, at least 0.
    pub evidence: f64,
}

impl Charge {
    /// The heavier of two, part by part.
    pub fn or(self, other: Charge) -> Charge {
        Charge {
            ln_probability: self.ln_probability.min(other.ln_probability),
            evidence: self.evidence.max(other.evidence),
        }
    }

    /// As much of it as a share of 0..=1 of the blame.
    pub fn share(self, influence: f64) -> Charge {
        Charge {
            ln_probability: self.ln_probability * influence,
            evidence: self.evidence * influence,
        }
    }
}

/// What an aggregate needs to know of its members; adds up exactly.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Aggregate {
    /// How many were looked at.
    members: u64,
    /// Sum of squared normal deviates of their probabilities.
    squares: ExactSum,
    /// Smallest ln p.
    ln_least: f64,
    /// Sum of the evidence.
    evidence_sum: ExactSum,
    /// Largest evidence.
    evidence_most: f64,
}

impl Default for Aggregate {
    fn default() -> Aggregate {
        Aggregate {
            members: 0,
            squares: ExactSum::new(),
            ln_least: 0.0,
            evidence_sum: ExactSum::new(),
            evidence_most: 0.0,
        }
    }
}

impl Aggregate {
    /// Adds a member.
    pub fn add(&mut self, charge: Charge) {
        let Charge {
            ln_probability: ln_p,
            evidence,
        } = charge;
        self.members += 1;
        let z = normal::quantile_from_ln_sf((ln_p - LN_2).min(-LN_2));
        self.squares.add(z * z);
        self.ln_least = self.ln_least.min(ln_p);
        self.evidence_sum.add(evidence);
        self.evidence_most = self.evidence_most.max(evidence);
    }

    /// Adds all members of another.
    pub fn merge(&mut self, other: &Aggregate) {
        self.members += other.members;
        self.squares.merge(&other.squares);
        self.ln_least = self.ln_least.min(other.ln_least);
        self.evidence_sum.merge(&other.evidence_sum);
        self.evidence_most = self.evidence_most.max(other.evidence_most);
    }

    /// How many members there are.
    pub fn members(&self) -> u64 {
        self.members
    }

    /// ln p of the whole: joint and extreme in equal parts, of one member its own. 0 for none.
    pub fn ln_probability(&self) -> f64 {
        match self.members {
            0 => 0.0,
            1 => self.ln_least,
            n => {
                0.5 * (chi_square::ln_sf(self.squares.value(), n as f64)
                    + ln_extreme(self.ln_least, n as f64))
            }
        }
    }

    /// Both of the whole.
    pub fn charge(&self) -> Charge {
        Charge {
            ln_probability: self.ln_probability(),
            evidence: self.evidence(),
        }
    }

    /// Evidence of the whole, nats: the larger of what the strongest member still shows among so many, and what all show together (evidence of
    /// independent members that follow their models adds up like exponential variables: a gamma tail), less ln 2 for having looked twice.
    pub fn evidence(&self) -> f64 {
        match self.members {
            0 => 0.0,
            1 => self.evidence_most,
            n => {
                let extreme = -ln_extreme(-self.evidence_most, n as f64);
                let joint = -gamma::ln_sf(self.evidence_sum.value(), n as f64, 1.0);
                (extreme.max(joint) - LN_2)
                    .clamp(0.0, self.evidence_sum.value().max(self.evidence_most))
            }
        }
    }
}

/// ln(1 − (1 − p)^n): the chance that the least likely of `n` is at least this unlikely.
pub fn ln_extreme(ln_p: f64, n: f64) -> f64 {
    if ln_p >= 0.0 {
        return 0.0;
    }
    // ln (1 − p)^n, at most 0
    let ln_none = n * ln_1m_exp(ln_p);
    if ln_none > -1e-12 {
        (ln_p + n.ln()).min(0.0)
    } else {
        ln_1m_exp(ln_none)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(members: &[(f64, f64)]) -> Aggregate {
        let mut aggregate = Aggregate::default();
        members.iter().for_each(|&(ln_probability, evidence)| {
            aggregate.add(Charge {
                ln_probability,
                evidence,
            })
        });
        aggregate
    }

    #[test]
    fn one_member_is_itself() {
        let alone = of(&[(-12.5, 4.0)]);
        assert_eq!((alone.ln_probability(), alone.evidence()), (-12.5, 4.0));
    }

    #[test]
    fn a_moderate_value_is_unremarkable_among_many() {
        let mut members = vec![(-0.7, 0.0); 999];
        members.push((-5.0, 3.0));
        let many = of(&members);
        assert!(many.ln_probability() > -0.5, "{}", many.ln_probability());
        assert_eq!(many.evidence(), 0.0);
    }

    #[test]
    fn neither_order_nor_grouping_shows() {
        let members: Vec<(f64, f64)> = (1..60)
            .map(|i| (-0.01 * f64::from(i * i % 97), f64::from(i % 7) / 3.0))
            .collect();
        let forward = of(&members);
        let mut grouped = of(&members[30..]);
        grouped.merge(&of(&members[..30]));
        assert_eq!(forward, grouped);
    }

    #[test]
    fn the_extreme_of_tiny_probabilities_does_not_underflow() {
        assert!((ln_extreme(-1000.0, 50.0) - (-1000.0 + 50f64.ln())).abs() < 1e-9);
        assert!((ln_extreme(-0.01, 1.0) + 0.01).abs() < 1e-12);
    }
}
