//! Probabilities in natural logs: a tail of 1e-400 is as good a number as one of 0.1.
//!
//! Every `ln_sf` and `ln_cdf` is at most 0, -∞ only where the probability is zero (or its log beyond what a double holds), monotone in its
//! argument but by rounding, and no NaN unless its argument or a parameter is one. Parameters are positive and finite: a debug build says
//! so, a release build returns what the formula gives. Constants and references come from scripts in tests/reference.

pub mod beta;
pub mod chi_square;
pub mod gamma;
mod incomplete_beta;
mod incomplete_gamma;
mod inverse;
mod ln_gamma;
pub mod lognormal;
pub mod negative_binomial;
pub mod normal;
pub mod poisson;
pub mod student_t;
mod temme;

pub use ln_gamma::ln_gamma;

use crate::numerics::log_domain::ln_1m_exp;

/// Probabilities up to a point and from it on, as plain numbers: cheaper than two logs wherever neither is beyond what a double holds (then it
/// is 0). Relative errors as of the logs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Probabilities {
    /// `P(X <= x)`.
    pub lower: f64,
    /// `P(X >= x)`.
    pub upper: f64,
}

impl Probabilities {
    fn of_upper(upper: f64) -> Probabilities {
        Probabilities {
            lower: 1.0 - upper,
            upper,
        }
    }

    fn of_lower(lower: f64) -> Probabilities {
        Probabilities {
            lower,
            upper: 1.0 - lower,
        }
    }
}

/// The log of a probability below one half, so that of two that are together 1 it is the lesser: ln 0.497.
const CLEARLY_LESSER: f64 = -0.7;

/// Logs of the probabilities below and above a point; together they are 1.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Tails {
    lower: f64,
    upper: f64,
}

impl Tails {
    const ALL_ABOVE: Tails = Tails {
        lower: f64::NEG_INFINITY,
        upper: 0.0,
    };
    const ALL_BELOW: Tails = Tails {
        lower: 0.0,
        upper: f64::NEG_INFINITY,
    };

    fn probabilities(self) -> Probabilities {
        if self.lower < self.upper {
            Probabilities::of_lower(self.lower.exp())
        } else {
            Probabilities::of_upper(self.upper.exp())
        }
    }

    /// The probabilities of [`from_lower`](Tails::from_lower) and [`from_upper`](Tails::from_upper), to the bit: the other log is found only where it is the
    /// lesser, or near it.
    fn probabilities_from_lower(lower: f64) -> Probabilities {
        match lower < CLEARLY_LESSER {
            true => Probabilities::of_lower(lower.exp()),
            false => Tails::from_lower(lower).probabilities(),
        }
    }

    fn probabilities_from_upper(upper: f64) -> Probabilities {
        match upper < CLEARLY_LESSER {
            true => Probabilities::of_upper(upper.exp()),
            false => Tails::from_upper(upper).probabilities(),
        }
    }

    fn from_lower(lower: f64) -> Tails {
        let lower = lower.min(0.0);
        Tails {
            lower,
            upper: ln_1m_exp(lower),
        }
    }

    fn from_upper(upper: f64) -> Tails {
        let upper = upper.min(0.0);
        Tails {
            lower: ln_1m_exp(upper),
            upper,
        }
    }
}
