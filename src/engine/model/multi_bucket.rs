//! The last dozen buckets together: a fading mean of how far out each was.
//!
//! Every bucket's tail is turned into a normal deviate u (clamped); their geometrically weighted mean, factor 0.9 a bucket back, is set against its own
//! spread so far, never below that of independent buckets, so that series that drift by nature are not called unusual for it.
//! Source: modelling-notes.md 6. Units: standard deviations. Holds: ln p is at most 0.

use crate::config::Side;
use crate::numerics::special::normal;
use crate::numerics::special::student_t::Freedom;
use serde::{Deserialize, Serialize};
use std::f64::consts::LN_2;
use std::sync::LazyLock;

const FACTOR: f64 = 0.9;
const WINDOW: u32 = 12;
/// Three quarters of the window have to be filled.
const FILLED: u32 = 9;
/// A bucket leans when it is one standard deviation out.
const LEAN: f64 = 1.0;
const DEVIATE_MAX: f64 = 8.0;
const SPREAD_MEMORY: f64 = 500.0;
/// Variance of a fading mean of independent standard deviates: Σ f^2i / (Σ f^i)².
const INDEPENDENT: f64 = (1.0 - FACTOR) / (1.0 + FACTOR);

/// The degrees of freedom of every spread that has seen all it remembers: so few that they cost gamma functions.
static MATURE: LazyLock<Freedom> = LazyLock::new(|| Freedom::of(SPREAD_MEMORY * INDEPENDENT));

/// The fading mean and its spread.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MultiBucket {
    mean: f32,
    spread: f32,
    buckets: u32,
}

impl MultiBucket {
    /// ln p of the window that ends with a bucket of deviate `u`; `None` while too few buckets are known.
    pub fn ln_probability(&self, u: f64, side: Side) -> Option<f64> {
        (self.buckets + 1 >= FILLED).then(|| {
            // What is over is over: the window speaks only while its last bucket leans its way.
            if u.abs() < LEAN || u.signum() != self.next(u).signum() {
                return 0.0;
            }
            let spread = f64::from(self.spread);
            let z = self.next(u) / spread.max(INDEPENDENT).sqrt();
            let z = match side {
                Side::Both => z.abs(),
                Side::High => z,
                Side::Low => -z,
            };
            // The spread of independent buckets is known; another one stands on as many windows as there were apart from each other.
            let tail = match spread > INDEPENDENT {
                true => self.freedom().ln_sf(z),
                false => normal::ln_sf(z),
            };
            (tail + LN_2).min(0.0)
        })
    }

    /// Takes in a bucket.
    pub fn learn(&mut self, u: f64) {
        self.mean = self.next(u) as f32;
        self.buckets = self.buckets.saturating_add(1);
        if self.buckets > WINDOW {
            let n = f64::from(self.buckets - WINDOW);
            let (square, known) = (f64::from(self.mean).powi(2), f64::from(self.spread));
            let usual = known.max(INDEPENDENT);
            let gain = (1.0 / n).max(1.0 / SPREAD_MEMORY);
            self.spread += (gain * (square.min(9.0 * usual) - known)) as f32;
        }
    }

    /// Windows apart from each other that the spread stands on.
    fn freedom(&self) -> Freedom {
        let buckets = f64::from(self.buckets.saturating_sub(WINDOW));
        match buckets < SPREAD_MEMORY {
            true => Freedom::of((buckets * INDEPENDENT).max(1.0)),
            false => *MATURE,
        }
    }

    fn next(&self, u: f64) -> f64 {
        let gain = (1.0 / (f64::from(self.buckets) + 1.0)).max(1.0 - FACTOR);
        let mean = f64::from(self.mean);
        mean + gain * (u.clamp(-DEVIATE_MAX, DEVIATE_MAX) - mean)
    }
}
