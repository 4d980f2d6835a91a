//! What of a job stands in a topic that keeps the last message of each key: results, interim ones, notices.

use crate::runtime::log::{LogError, Message, TopicPartition, Topics};
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Of a document, only whose it is.
#[derive(Deserialize)]
struct Owner<'a> {
    #[serde(borrow)]
    job_id: Cow<'a, str>,
}

/// The documents of one job that nothing has withdrawn: their keys, with their messages' timestamps in milliseconds since the epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing(BTreeMap<Vec<u8>, Option<i64>>);

impl Standing {
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
        match message.payload.map(serde_json::from_slice::<Owner<'_>>) {
            None => drop(self.0.remove(key)),
            Some(Ok(owner)) if owner.job_id == job_id => {
                self.0.insert(key.to_vec(), message.timestamp_ms);
            }
            Some(_) => {}
        }
    }

    /// How many.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl IntoIterator for Standing {
    type Item = (Vec<u8>, Option<i64>);
    type IntoIter = std::collections::btree_map::IntoIter<Vec<u8>, Option<i64>>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
