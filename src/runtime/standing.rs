//! What of a job stands in a topic that keeps the last message of each key: results, interim ones, notices.

use super::log::{LogError, Message, Outgoing, TopicPartition, Topics};
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Messages published between two waits for their safety.
const BATCH: usize = 10_000;

/// Of a document, only whose it is.
#[derive(Deserialize)]
struct Owner<'a> {
    #[serde(borrow)]
    job_id: Cow<'a, str>,
}

/// The documents of one job that nothing has withdrawn: their keys, with their messages' timestamps in milliseconds since the epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    keys: BTreeMap<Vec<u8>, Option<i64>>,
    /// Only those with a timestamp before this one.
    before_ms: Option<i64>,
}

impl Standing {
    /// Of documents of this time and later nothing is to be known. Milliseconds since the epoch.
    fn before(before_ms: Option<i64>) -> Standing {
        Standing {
            before_ms,
            ..Standing::default()
        }
    }

    /// Reads on from `from`. Returns the offset to go on from.
    pub(crate) fn read<T: Topics + ?Sized>(
        &mut self,
        log: &mut T,
        at: &TopicPartition,
        from: i64,
        job_id: &str,
    ) -> Result<i64, LogError> {
        log.read(at, from, &mut |message| self.hear(message, job_id))
    }

    fn hear(&mut self, message: &Message<'_>, job_id: &str) {
        let Some(key) = message.key else {
            return;
        };
        let Some(payload) = message.payload else {
            self.keys.remove(key);
            return;
        };
        let is_meant = |before_ms| message.timestamp_ms.is_some_and(|time| time < before_ms);
        if !self.before_ms.is_none_or(is_meant) {
            return;
        }
        match serde_json::from_slice::<Owner<'_>>(payload) {
            Ok(owner) if owner.job_id == job_id => {
                self.keys.insert(key.to_vec(), message.timestamp_ms);
            }
            Ok(_) | Err(_) => {}
        }
    }
}

impl IntoIterator for Standing {
    type Item = (Vec<u8>, Option<i64>);
    type IntoIter = std::collections::btree_map::IntoIter<Vec<u8>, Option<i64>>;
    fn into_iter(self) -> Self::IntoIter {
        self.keys.into_iter()
    }
}

/// Writes a tombstone for every document of a job that stands in these topics; with `before_ms`, for those only whose messages bear an earlier time,
/// milliseconds since the epoch. Returns how many.
pub(crate) fn withdraw<T: Topics + ?Sized>(
    log: &mut T,
    topics: &[String],
    job_id: &str,
    before_ms: Option<i64>,
) -> Result<u64, LogError> {
    let mut count = 0;
    for (topic, partitions) in log.partitions(topics)? {
        let topic: Arc<str> = topic.into();
        for partition in 0..partitions {
            let at = TopicPartition::new(Arc::clone(&topic), partition);
            let mut standing = Standing::before(before_ms);
            standing.read(log, &at, 0, job_id)?;
            let tombstones: Vec<Outgoing> = standing
                .into_iter()
                .map(|(key, _)| Outgoing {
                    topic: Arc::clone(&topic),
                    partition: Some(partition),
                    key: Some(key),
                    payload: None,
                    headers: Vec::new(),
                    timestamp_ms: None,
                })
                .collect();
            count += tombstones.len() as u64;
            for batch in tombstones.chunks(BATCH) {
                log.publish(batch)?;
                log.flush()?;
            }
        }
    }
    Ok(count)
}
