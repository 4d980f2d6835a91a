//! Numbers: exact sums, mergeable sketches, probabilities in natural logs. Knows no word of the domain.

pub mod distinct_sketch;
pub mod exact_sum;
pub mod quantile_sketch;

pub use distinct_sketch::DistinctSketch;
pub use exact_sum::{ExactSum, variance};
pub use quantile_sketch::QuantileSketch;
