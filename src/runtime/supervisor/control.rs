//! What instances and operators agree on, whatever job files say: a small compacted topic that every instance follows.
//!
//! | key | value | says |
//! |---|---|---|
//! | `JOB` | `{"wish": "stopped", "since": ..., "by": ...}` | somebody wants the job to stand still |
//! | `JOB/life` | `{"fingerprint": ..., "life": 3}` | which life of the job is the current one |
//!
//! The last message of a key counts; a tombstone takes it back. A *life* begins whenever what a job computes is changed. A job that is changed and
//! changed back is configured as before, but what its stages told each other then must not be heard now; so every life has
//! a number, and the topic's order decides which it is when several instances notice a change at once.
//! Nothing in it is state: an instance that cannot read it goes on as it was. Messages that are none of ours are passed over, said in the
//! log. Checked by the tests below and tests/kafka.

use crate::runtime::log::{Cleanup, LogError, Message, NewTopic, Outgoing, TopicPartition, Topics};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// After a job's id, in the key of its life.
const LIFE: &str = "/life";

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

/// Which life of a job is the current one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Life {
    /// [`Job::fingerprint`](crate::config::Job::fingerprint) of the configuration that it is lived under.
    pub fingerprint: u64,
    /// Its number, from 0.
    pub life: u64,
}

/// All that the topic says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Agreed {
    /// By job.
    pub wishes: BTreeMap<String, Wish>,
    /// By job.
    pub lives: BTreeMap<String, Life>,
}

/// The job that a message of the topic is about, by the message's key.
pub fn job_of(key: &str) -> &str {
    key.strip_suffix(LIFE).unwrap_or(key)
}

/// Follows the topic, and writes to it.
pub struct Control<T> {
    log: T,
    at: TopicPartition,
    next: i64,
    agreed: Agreed,
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
    /// What is agreed on in `name`, a topic that is made when it does not exist. Nothing is read yet.
    pub fn open(mut log: T, name: &str) -> Result<Control<T>, LogError> {
        log.create(&[topic(name)])?;
        Ok(Control {
            log,
            at: TopicPartition::new(name, 0),
            next: 0,
            agreed: Agreed::default(),
        })
    }

    /// All that stands; reads what is new.
    pub fn look(&mut self) -> Result<&Agreed, LogError> {
        let agreed = &mut self.agreed;
        self.next = self
            .log
            .read(&self.at, self.next, &mut |message| hear(agreed, message))?;
        Ok(&self.agreed)
    }

    /// Makes a wish, or takes it back. Safe when this returns.
    pub fn wish(&mut self, job_id: &str, wish: Option<&Wish>) -> Result<(), LogError> {
        self.tell(job_id.to_owned(), wish.map(json))
    }

    /// Sees to it that the current life of a job is one under this configuration: the one that is, or a new one.
    pub fn claim(&mut self, job_id: &str, fingerprint: u64) -> Result<Life, LogError> {
        let current = self.look()?.lives.get(job_id).copied();
        let life = match current {
            Some(life) if life.fingerprint == fingerprint => return Ok(life),
            Some(other) => other.life + 1,
            None => 0,
        };
        let own = Life { fingerprint, life };
        self.tell(format!("{job_id}{LIFE}"), Some(json(&own)))?;
        // Somebody else may have spoken after us: the last word counts.
        Ok(self.look()?.lives.get(job_id).copied().unwrap_or(own))
    }

    fn tell(&mut self, key: String, payload: Option<Vec<u8>>) -> Result<(), LogError> {
        self.log.publish(&[Outgoing {
            topic: self.at.topic.clone(),
            partition: Some(self.at.partition),
            key: Some(key.into_bytes()),
            payload,
            headers: Vec::new(),
            timestamp_ms: None,
        }])?;
        self.log.flush()
    }
}

fn json<T: Serialize>(word: &T) -> Vec<u8> {
    serde_json::to_vec(word).expect("text and numbers, which JSON can write")
}

fn hear(agreed: &mut Agreed, message: &Message<'_>) {
    let offset = message.offset;
    let Some(key) = message.key.and_then(|key| std::str::from_utf8(key).ok()) else {
        tracing::warn!(
            offset,
            "a message without a job in the control topic; passed over"
        );
        return;
    };
    let heard = match key.strip_suffix(LIFE) {
        Some(job_id) => note(&mut agreed.lives, job_id, message.payload),
        None => note(&mut agreed.wishes, key, message.payload),
    };
    if let Err(error) = heard {
        tracing::warn!(key, offset, %error, "a word that this build does not know in the control topic; passed over");
    }
}

fn note<T: for<'a> Deserialize<'a>>(
    words: &mut BTreeMap<String, T>,
    job_id: &str,
    payload: Option<&[u8]>,
) -> serde_json::Result<()> {
    match payload {
        Some(payload) => drop(words.insert(job_id.to_owned(), serde_json::from_slice(payload)?)),
        None => drop(words.remove(job_id)),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::log::memory::{Cluster, MemoryLog};

    fn stopped() -> Wish {
        Wish {
            wish: Want::Stopped,
            since: 5,
            by: "host".to_owned(),
        }
    }

    fn open(cluster: &Cluster, who: &str) -> Control<MemoryLog> {
        Control::open(cluster.open("g", who), "t.control").unwrap()
    }

    #[test]
    fn every_follower_hears_the_last_wish_whenever_it_comes() {
        let cluster = Cluster::new();
        let (mut one, mut two) = (open(&cluster, "one"), open(&cluster, "two"));
        assert!(two.look().unwrap().wishes.is_empty());
        one.wish("web", Some(&stopped())).unwrap();
        one.wish("ops", Some(&stopped())).unwrap();
        assert_eq!(two.look().unwrap().wishes.len(), 2);
        one.wish("web", None).unwrap();
        cluster.compact();
        let heard = two.look().unwrap().wishes.keys().collect::<Vec<_>>();
        assert_eq!(heard, ["ops"]);
        let mut three = open(&cluster, "three");
        assert_eq!(three.look().unwrap().wishes["ops"], stopped());
    }

    #[test]
    fn a_job_that_is_changed_back_has_a_life_of_its_own_and_all_agree_on_its_number() {
        let cluster = Cluster::new();
        let (mut one, mut two) = (open(&cluster, "one"), open(&cluster, "two"));
        let mut claim = |fingerprint| {
            let lives = [&mut one, &mut two].map(|control| control.claim("web", fingerprint));
            lives.map(|life| life.unwrap().life)
        };
        assert_eq!(claim(7), [0, 0]);
        assert_eq!(claim(8), [1, 1]);
        assert_eq!(claim(7), [2, 2], "not 0 again");
        assert_eq!(claim(7), [2, 2], "a restart");
        assert_eq!(open(&cluster, "three").claim("ops", 9).unwrap().life, 0);
    }

    #[test]
    fn what_is_no_word_of_ours_is_passed_over() {
        let cluster = Cluster::new();
        let mut control = open(&cluster, "one");
        control.wish("web", Some(&stopped())).unwrap();
        for (key, value) in [
            (None, "{}"),
            (Some("web"), "no JSON"),
            (Some("web"), r#"{"wish":"fly","since":1}"#),
            (Some("ops"), "[]"),
            (Some("web/life"), r#"{"life":-1}"#),
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
        let agreed = control.look().unwrap();
        assert_eq!(agreed.wishes.len(), 1);
        assert_eq!(agreed.wishes["web"], stopped());
        assert!(agreed.lives.is_empty());
    }
}
