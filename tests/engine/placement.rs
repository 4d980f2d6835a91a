//! Placement: fused, keyed or staged, over any number of inputs and shards, the results are the same bytes.

use super::support::{JOBS, difference, events, fused, job, keyed, staged};
use proptest::prelude::*;

/// What a pipeline says when the end of its input is one minute after the last event, as the other drivers have it.
fn whole(number: usize, events: &[super::support::Happening]) -> Vec<String> {
    fused(&job(number), events)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn staged_over_any_inputs_and_shards_equals_fused(
        number in 0..JOBS.len(), events in events(), inputs in 1usize..5, shards in 1u16..6,
        salt in any::<u64>(), order in prop::collection::vec(any::<u8>(), 1..40),
    ) {
        let at_random = |at: usize, _: &super::support::Happening| (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(salt) as usize >> 7;
        let apart = staged(&job(number), &events, inputs, shards, |at, event| at_random(at, event) % inputs, &order);
        prop_assert_eq!(difference(&apart, &whole(number, &events)), None);
    }

    #[test]
    fn keyed_by_the_partition_field_equals_fused(number in 2usize..5, events in events(), inputs in 1usize..5) {
        prop_assert_eq!(difference(&keyed(&job(number), &events, inputs), &whole(number, &events)), None);
    }

    #[test]
    fn the_order_of_events_inside_a_bucket_is_irrelevant(number in 0..JOBS.len(), events in events(), salt in any::<u64>()) {
        let mut shuffled = events.clone();
        let bucket = |at_ms: i64| at_ms / 60_000;
        shuffled.sort_by_key(|event| (bucket(event.at_ms), (event.at_ms as u64 ^ salt).wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        prop_assert_eq!(difference(&whole(number, &shuffled), &whole(number, &events)), None);
    }
}
