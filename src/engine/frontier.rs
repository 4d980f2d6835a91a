//! How far all inputs of a judge or a rollup have come.
//!
//! The frontier is the smallest watermark over the inputs that are not idle; while one of them has not spoken there is none. When all are idle it is
//! the largest: nobody is waited for, and in which order they fell silent must not matter. Holds: it never retreats,
//! whatever arrives in whatever order; an idle input counts again from its next word on.

use super::wire::InputId;
use crate::time::BucketStart;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Voice {
    until: Option<BucketStart>,
    idle: bool,
}

/// The watermarks of several inputs, and their minimum.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Frontier {
    inputs: BTreeMap<InputId, Voice>,
    reached: Option<BucketStart>,
}

impl Frontier {
    /// A frontier that waits for each of `inputs`.
    pub fn new(inputs: Vec<InputId>) -> Frontier {
        Frontier {
            inputs: inputs
                .into_iter()
                .map(|id| (id, Voice::default()))
                .collect(),
            reached: None,
        }
    }

    /// An input has said everything before `until`.
    pub fn hear(&mut self, from: InputId, until: BucketStart) {
        let voice = self.inputs.entry(from).or_default();
        voice.until = voice.until.max(Some(until));
        voice.idle = false;
    }

    /// An input speaks of something; it is idle no more.
    pub fn wake(&mut self, from: &InputId) {
        if let Some(voice) = self.inputs.get_mut(from) {
            voice.idle = false;
        }
    }

    /// An input is not to be waited for until it speaks again.
    pub fn idle(&mut self, from: InputId) {
        self.inputs.entry(from).or_default().idle = true;
    }

    /// Everything before this instant has been said by all that count; `None` at first.
    pub fn reach(&mut self) -> Option<BucketStart> {
        let active = self.inputs.values().filter(|voice| !voice.idle);
        let least = active.map(|voice| voice.until).min();
        self.reached = self.reached.max(least.unwrap_or_else(|| self.furthest()));
        self.reached
    }

    /// What [`Frontier::reach`] has come to so far.
    pub fn reached(&self) -> Option<BucketStart> {
        self.reached
    }

    /// The latest instant that any input has reached: where all of them stand once everything has ended.
    pub fn furthest(&self) -> Option<BucketStart> {
        self.inputs.values().filter_map(|voice| voice.until).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> InputId {
        InputId(name.to_owned())
    }

    #[test]
    fn the_slowest_counts_unless_it_is_idle_and_nothing_retreats() {
        let mut frontier = Frontier::new(vec![id("a"), id("b")]);
        frontier.hear(id("a"), BucketStart(50));
        assert_eq!(frontier.reach(), None, "b has not spoken");
        frontier.hear(id("b"), BucketStart(20));
        assert_eq!(frontier.reach(), Some(BucketStart(20)));
        frontier.idle(id("b"));
        assert_eq!(frontier.reach(), Some(BucketStart(50)));
        frontier.hear(id("b"), BucketStart(30));
        assert_eq!(
            frontier.reach(),
            Some(BucketStart(50)),
            "a late voice does not pull the others back"
        );
    }

    #[test]
    fn when_all_are_idle_the_furthest_counts_in_whichever_order_they_fell_silent() {
        for (first, second) in [("a", "b"), ("b", "a")] {
            let mut frontier = Frontier::new(vec![id("a"), id("b"), id("c")]);
            frontier.hear(id("a"), BucketStart(50));
            frontier.hear(id("b"), BucketStart(20));
            frontier.idle(id(first));
            frontier.idle(id(second));
            assert_eq!(frontier.reach(), None, "c has not spoken and is not idle");
            frontier.idle(id("c"));
            assert_eq!(frontier.reach(), Some(BucketStart(50)));
        }
    }
}
