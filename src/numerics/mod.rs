//! Numbers: exact sums, mergeable sketches, probabilities in natural logs. Knows no word of the domain.

pub mod combine;
pub mod distinct_sketch;
pub mod exact_sum;
pub mod log_domain;
pub mod moments;
pub mod quantile_sketch;
pub mod special;
pub mod text_set;
pub(crate) mod varint;

pub use distinct_sketch::DistinctSketch;
pub use exact_sum::{ExactSum, variance};
pub use moments::Decayed;
pub use quantile_sketch::QuantileSketch;
pub use text_set::TextSet;
