//! How unusual it is that an anomaly lasts as long, and is as large, as the one that goes on.
//!
//! Buckets in a row below p = .05 are an anomaly. Input: how many there are, and their *nats*, Σ ln(.05/p). Output: ln p of one that lasts so long and of one
//! that is so large, together; at most 0. Under the models a bucket of an anomaly has p evenly between 0 and .05, so that the nats of n buckets are
//! gamma-distributed with shape n. How long anomalies last is the series' own: the chance that one goes on for another bucket is learnt from those that have
//! ended, from a prior of .05, which is what it would be by chance. The two are independent under the models, and joined by Fisher's
//! method: −ln of a product of two p's is gamma-distributed with shape 2. Holds: never grows with either input.

use crate::numerics::special::gamma;

/// By chance an anomaly goes on with this probability; what is known of a series is never less.
pub const GOES_ON_BY_CHANCE: f32 = 0.05;
/// A series is never so sure that its anomalies go on.
const GOES_ON_MOST: f32 = 0.999;
/// What is known counts like so many buckets of an anomaly.
const STRENGTH: f32 = 64.0;

/// ln p of an anomaly of so many buckets and nats, in a series whose anomalies go on with this probability.
pub fn ln_probability(buckets: u32, nats: f64, goes_on: f32) -> f64 {
    if buckets == 0 {
        return 0.0;
    }
    let ln_lasts = f64::from(buckets - 1) * f64::from(goes_on).ln();
    let ln_large = gamma::ln_sf(nats.max(0.0), f64::from(buckets), 1.0);
    let both = -(ln_lasts + ln_large);
    // Q(2, x) = (1 + x) e^-x
    (both.ln_1p() - both).min(0.0)
}

/// What is known of how anomalies go on, after one of so many buckets has ended.
pub fn after_the_end(goes_on: f32, buckets: u32) -> f32 {
    let went_on = (buckets.max(1) - 1).min(u32::from(u16::MAX)) as f32;
    let known = (STRENGTH * goes_on + went_on) / (STRENGTH + went_on + 1.0);
    known.clamp(GOES_ON_BY_CHANCE, GOES_ON_MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longer_and_larger_is_less_likely_and_one_usual_bucket_is_nothing() {
        assert_eq!(ln_probability(0, 0.0, GOES_ON_BY_CHANCE), 0.0);
        assert_eq!(ln_probability(1, 0.0, GOES_ON_BY_CHANCE), 0.0);
        let mut last = 0.0;
        for buckets in 2..40 {
            let ln_p = ln_probability(buckets, 1.5 * f64::from(buckets), GOES_ON_BY_CHANCE);
            assert!(ln_p < last, "{buckets}: {ln_p}");
            last = ln_p;
        }
        assert!(ln_probability(3, 30.0, 0.5) < ln_probability(3, 20.0, 0.5));
        assert!(ln_probability(1, 1e6, 0.5).is_finite());
    }

    #[test]
    fn a_series_whose_anomalies_always_last_is_expected_to_have_them() {
        let mut known = GOES_ON_BY_CHANCE;
        let fresh = ln_probability(12, 12.0, known);
        for _ in 0..30 {
            known = after_the_end(known, 12);
        }
        assert!(
            fresh < -20.0 && ln_probability(12, 12.0, known) > -2.0,
            "{fresh}, {known}"
        );
        (0..2000).for_each(|_| known = after_the_end(known, 1));
        assert_eq!(known, GOES_ON_BY_CHANCE);
    }
}
