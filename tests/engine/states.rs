//! State: a snapshot at any point is the state, to the byte, and interim results leave no trace.

use super::support::{JOBS, difference, events, fused, job, line, results};
use proptest::prelude::*;
use std::collections::BTreeMap;
use tidewatch::engine::gatherer::Input;
use tidewatch::engine::pipeline::{Output, Pipeline};
use tidewatch::time::Finality;

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn what_follows_a_restore_is_what_would_have_followed_without(number in 0..JOBS.len(), events in events(), cuts in prop::collection::vec(0usize..200, 1..4)) {
        let job = job(number);
        let mut pipeline = Pipeline::new(job.clone());
        let mut lines = Vec::new();
        for (at, event) in events.iter().enumerate() {
            if cuts.contains(&at) {
                let snapshot = pipeline.snapshot();
                pipeline = Pipeline::restore(job.clone(), &snapshot).unwrap();
                prop_assert_eq!(pipeline.snapshot(), snapshot);
            }
            lines.extend(results(event.with_event(&job, |event| pipeline.handle(Input::Event(event)))));
        }
        lines.extend(results(pipeline.handle(Input::Flush(Finality::Final))));
        prop_assert_eq!(difference(&lines, &fused(&job, &events)), None);
    }

    #[test]
    fn interim_results_change_nothing_and_are_all_replaced_or_taken_back(number in 0..JOBS.len(), events in events(), every in 3usize..40) {
        let job = job(number);
        let mut pipeline = Pipeline::new(job.clone());
        let mut finals = Vec::new();
        let mut open = BTreeMap::new();
        let mut take = |outputs: Vec<Output>| {
            for output in outputs {
                match output {
                    Output::Result(document) if document.finality == Finality::Interim => {
                        assert!(line(&document).contains("\"is_interim\":true"));
                        open.insert(document.id, ());
                    }
                    Output::Result(document) => {
                        open.remove(&document.id);
                        finals.push(line(&document));
                    }
                    Output::Retract(id) => assert!(open.remove(&id.id).is_some(), "{id:?} was never said"),
                    Output::Rejected(_) | Output::Closed(_) | Output::Revised(_) | Output::Late { .. } => {}
                }
            }
        };
        for (at, event) in events.iter().enumerate() {
            take(event.with_event(&job, |event| pipeline.handle(Input::Event(event))));
            if at % every == 0 {
                take(pipeline.handle(Input::Flush(Finality::Interim)));
            }
        }
        take(pipeline.handle(Input::Flush(Finality::Final)));
        prop_assert_eq!(difference(&finals, &fused(&job, &events)), None);
        prop_assert!(open.is_empty(), "left over: {:?}", open);
    }
}
