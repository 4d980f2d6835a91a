//! What operators want of jobs, whatever their files say: a small compacted topic that every instance follows.
//!
//! One message a job: key, its id; value, `{"wish": "stopped", "since": ..., "by": ...}`, or a tombstone for none. The last one counts. Only
//! wishes are in it, no state: an instance that cannot read it goes on as it was. A message that is none of ours is passed over, said in
//! the log. Checked by the tests below and tests/kafka.

use crate::runtime::log::{Cleanup, LogError, Message, NewTopic, Outgoing, TopicPartition, Topics};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What somebody wants of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// What.
    pub wish: Want,
    /// When it was said, milliseconds since the epoch.
    pub since: i64,
    /// Who said it: a host's name, for people.
    #[serde(default)]
    pub by: String,
}

/// What a job is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Want {
    /// Not at work, on no instance.
    Stopped,
}

/// Follows the topic, and writes to it.
pub struct Control<T> {
    log: T,
    at: TopicPartition,
    next: i64,
    wishes: BTreeMap<String, Wish>,
}

/// The topic, as it is to be made.
pub fn topic(name: &str) -> NewTopic {
    NewTopic {
        name: name.to_owned(),
        partitions: Some(1),
        cleanup: Cleanup::Compact,
    }
}

impl<T: Topics> Control<T> {
    /// The wishes in `name`, a topic that is made when it does not exist. Nothing is read yet.
    pub fn open(mut log: T, name: &str) -> Result<Control<T>, LogError> {
        log.create(&[topic(name)])?;
        Ok(Control {
            log,
            at: TopicPartition::new(name, 0),
            next: 0,
            wishes: BTreeMap::new(),
        })
    }

    /// Every wish that stands, by job; reads what is new.
    pub fn look(&mut self) -> Result<&BTreeMap<String, Wish>, LogError> {
        let wishes = &mut self.wishes;
        self.next = self
            .log
            .read(&self.at, self.next, &mut |message| hear(wishes, message))?;
        Ok(&self.wishes)
    }

    /// Makes a wish, or takes it back. Safe when this returns.
    pub fn tell(&mut self, job_id: &str, wish: Option<&Wish>) -> Result<(), LogError> {
        let payload = wish.map(|wish| {
            serde_json::to_vec(wish).expect("a wish is text and numbers, which JSON can write")
        });
        self.log.publish(&[Outgoing {
            topic: self.at.topic.clone(),
            partition: Some(self.at.partition),
            key: Some(job_id.as_bytes().to_vec()),
            payload,
            headers: Vec::new(),
            timestamp_ms: None,
        }])?;
        self.log.flush()
    }
}

fn hear(wishes: &mut BTreeMap<String, Wish>, message: &Message<'_>) {
    let Some(job_id) = message.key.and_then(|key| std::str::from_utf8(key).ok()) else {
        tracing::warn!(
            offset = message.offset,
            "a message without a job in the control topic; passed over"
        );
        return;
    };
    let Some(payload) = message.payload else {
        wishes.remove(job_id);
        return;
    };
    match serde_json::from_slice(payload) {
        Ok(wish) => drop(wishes.insert(job_id.to_owned(), wish)),
        Err(error) => {
            tracing::warn!(job_id, offset = message.offset, %error, "a wish that this build does not know; passed over");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::log::memory::Cluster;

    fn stopped() -> Wish {
        Wish {
            wish: Want::Stopped,
            since: 5,
            by: "host".to_owned(),
        }
    }

    #[test]
    fn every_follower_hears_the_last_wish_whenever_it_comes() {
        let cluster = Cluster::new();
        let open = |who: &str| Control::open(cluster.open("g", who), "t.control").unwrap();
        let (mut one, mut two) = (open("one"), open("two"));
        assert!(two.look().unwrap().is_empty());
        one.tell("web", Some(&stopped())).unwrap();
        one.tell("ops", Some(&stopped())).unwrap();
        assert_eq!(two.look().unwrap().len(), 2);
        one.tell("web", None).unwrap();
        cluster.compact();
        assert_eq!(two.look().unwrap().keys().collect::<Vec<_>>(), ["ops"]);
        assert_eq!(open("three").look().unwrap()["ops"], stopped());
    }

    #[test]
    fn what_is_no_wish_is_passed_over() {
        let cluster = Cluster::new();
        let mut control = Control::open(cluster.open("g", "one"), "t.control").unwrap();
        control.tell("web", Some(&stopped())).unwrap();
        for (key, value) in [
            (None, "{}"),
            (Some("web"), "no JSON"),
            (Some("web"), r#"{"wish":"fly","since":1}"#),
            (Some("ops"), "[]"),
        ] {
            let message = Outgoing {
                topic: "t.control".into(),
                partition: Some(0),
                key: key.map(Into::into),
                payload: Some(value.into()),
                headers: Vec::new(),
                timestamp_ms: None,
            };
            cluster.append(&message).unwrap();
        }
        let wishes = control.look().unwrap();
        assert_eq!(wishes.len(), 1);
        assert_eq!(wishes["web"], stopped());
    }
}
