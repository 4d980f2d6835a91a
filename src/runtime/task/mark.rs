//! What stands beside a committed position: all that a successor has to know and a snapshot cannot tell, because it must be of this very
//! position.
//!
//! Text, so that the usual Kafka tools show it: `tidewatch/1 lineage=… idle=… began=… build=… final=… inputs=web:4,auth:2`.
//! A later build that means something else by it says `tidewatch/2`, which this one refuses; words that it does not know it passes over. Holds: `parse` reads what `write` wrote; text of other origin is no mark, never an error.

use crate::runtime::log::TopicId;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

const NAME: &str = "tidewatch/";
const VERSION: u32 = 1;
/// What this build calls itself.
pub(crate) const BUILD: &str = env!("CARGO_PKG_VERSION");

/// The metadata of a committed position.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// The version of the build that wrote it, since builds say it.
    pub build: Option<String>,
    /// Of which configuration and placement.
    pub lineage: u64,
    /// The offset that this lineage began at: where a replay without any snapshot begins. `None` of no lineage: what comes begins where its job says it starts.
    pub began: Option<i64>,
    /// Whether the others had been told not to wait for this partition.
    pub idle: bool,
    /// Whether all that a replay's range holds of this partition had been read, and said to be the end.
    pub ended: bool,
    /// The last bucket whose final results were published, milliseconds since the epoch. Survives a change of lineage.
    pub final_until_ms: Option<i64>,
    /// Buckets up to this one were published by an earlier lineage, and are not published again, or are a replay's warm-up; milliseconds since the epoch.
    pub silent_until_ms: Option<i64>,
    /// The version of the state of alerts that belongs to this position; 0: none.
    pub alerts: u64,
    /// Messages before this offset that were gone have been told of: an annotation is published.
    pub told: i64,
    /// What the names of the topics begin with that are written with this position; `None` in marks of builds that did not say, and of no lineage.
    pub prefix: Option<String>,
    /// Which topic of its name the position is in; `None` in marks of builds that did not say.
    pub topic: Option<TopicId>,
    /// The input topics and partitions that the lineage began with.
    pub inputs: BTreeMap<Arc<str>, i32>,
}

impl Mark {
    /// The text. Input topics are left out, last first, where they would exceed `bytes_max`; they stay known as long as a snapshot is.
    pub fn write(&self, bytes_max: usize) -> String {
        let mut text = format!(
            "{NAME}{VERSION} lineage={:016x} idle={}",
            self.lineage,
            u8::from(self.idle)
        );
        if let Some(offset) = self.began {
            let _ = write!(text, " began={offset}");
        }
        if let Some(build) = &self.build {
            let _ = write!(text, " build={build}");
        }
        if self.ended {
            text.push_str(" ended=1");
        }
        if let Some(ms) = self.final_until_ms {
            let _ = write!(text, " final={ms}");
        }
        if let Some(ms) = self.silent_until_ms {
            let _ = write!(text, " silent={ms}");
        }
        if self.alerts > 0 {
            let _ = write!(text, " alerts={}", self.alerts);
        }
        if self.told > 0 {
            let _ = write!(text, " told={}", self.told);
        }
        if let Some(prefix) = &self.prefix {
            let _ = write!(text, " prefix={prefix}");
        }
        if let Some(id) = self.topic {
            let _ = write!(text, " topic={id}");
        }
        let mut separator = " inputs=";
        for (topic, partitions) in &self.inputs {
            let input = format!("{separator}{topic}:{partitions}");
            if text.len() + input.len() > bytes_max {
                break;
            }
            text.push_str(&input);
            separator = ",";
        }
        text
    }

    /// The version of a mark that a later build has written, in a way that this one does not read.
    pub fn newer(text: &str) -> Option<u32> {
        let said = text.split(' ').next().and_then(version);
        said.filter(|&version| version > VERSION)
    }

    /// The mark that `text` holds.
    pub fn parse(text: &str) -> Option<Mark> {
        let mut words = text.split(' ');
        if words.next().and_then(version) != Some(VERSION) {
            return None;
        }
        let mut mark = Mark::default();
        for word in words {
            let (name, value) = word.split_once('=')?;
            match name {
                "build" => mark.build = Some(value.to_owned()),
                "lineage" => mark.lineage = u64::from_str_radix(value, 16).ok()?,
                "began" => mark.began = Some(value.parse().ok()?),
                "idle" => mark.idle = value == "1",
                "ended" => mark.ended = value == "1",
                "final" => mark.final_until_ms = Some(value.parse().ok()?),
                "alerts" => mark.alerts = value.parse().ok()?,
                "told" => mark.told = value.parse().ok()?,
                "prefix" => mark.prefix = Some(value.to_owned()),
                "topic" => mark.topic = Some(TopicId(u128::from_str_radix(value, 16).ok()?)),
                "silent" => mark.silent_until_ms = Some(value.parse().ok()?),
                "inputs" => {
                    for input in value.split(',') {
                        let (topic, partitions) = input.rsplit_once(':')?;
                        mark.inputs.insert(topic.into(), partitions.parse().ok()?);
                    }
                }
                _ => {} // of a later build
            }
        }
        Some(mark)
    }
}

fn version(word: &str) -> Option<u32> {
    word.strip_prefix(NAME)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_beside_a_position_is_read_again(
            lineage: u64, began in proptest::option::of(0i64..), idle: bool, ended: bool, final_until_ms: Option<i64>,
            silent_until_ms: Option<i64>, alerts: u64, told in 0i64.., topic: Option<u128>, inputs in proptest::collection::btree_map("[a-zA-Z0-9._-]{1,20}", 1i32..100, 0..8),
            build in proptest::option::of("[0-9a-z.+-]{1,20}"),
            prefix in proptest::option::of("[a-zA-Z0-9._-]{1,20}"),
        ) {
            let inputs = inputs.into_iter().map(|(topic, n)| (topic.into(), n)).collect();
            let mark = Mark { build, lineage, began, idle, ended, final_until_ms, silent_until_ms, alerts, told, prefix, topic: topic.map(TopicId), inputs };
            prop_assert_eq!(Mark::parse(&mark.write(4096)), Some(mark));
        }

        #[test]
        fn any_other_text_is_no_mark_and_no_panic(text: String, tail: String) {
            prop_assert_eq!(Mark::parse(&text), None);
            let _ = Mark::parse(&format!("{NAME}{VERSION} {tail}"));
        }
    }

    #[test]
    fn what_a_later_build_means_otherwise_is_known_as_its_own() {
        assert_eq!(Mark::newer("tidewatch/2 lineage=7"), Some(2));
        for ours in ["tidewatch/1 lineage=7 new=1", "tidewatch/x", "", "other/2"] {
            assert_eq!(Mark::newer(ours), None);
        }
    }

    #[test]
    fn a_job_of_very_many_topics_still_fits_beside_its_position() {
        let inputs = (0..1000).map(|n| (format!("a-rather-long-topic-name-{n:04}").into(), 64));
        let mark = Mark {
            inputs: inputs.collect(),
            ..Mark::default()
        };
        let text = mark.write(4096);
        assert!(text.len() <= 4096);
        assert!(Mark::parse(&text).is_some_and(|read| read.inputs.len() > 50));
    }
}
