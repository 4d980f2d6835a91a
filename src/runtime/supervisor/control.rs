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
        self.tell(vec![(job_id.to_owned(), wish.map(json))])
    }

    /// Sees to it that the current life of each of these jobs is one under its configuration, of which this is the fingerprint: the one that is, or a new one.
    /// Which it is, the next look tells: somebody else may speak after us, and the last word counts. For very many jobs at once it takes no
    /// longer than for one.
    pub fn claim(&mut self, claims: &BTreeMap<String, u64>) -> Result<(), LogError> {
        let lives = &self.look()?.lives;
        let word = |(job_id, &fingerprint): (&String, &u64)| {
            let life = match lives.get(job_id) {
                Some(life) if life.fingerprint == fingerprint => return None,
                Some(other) => other.life + 1,
                None => 0,
            };
            let own = Life { fingerprint, life };
            Some((format!("{job_id}{LIFE}"), Some(json(&own))))
        };
        let words = claims.iter().filter_map(word).collect();
        self.tell(words)
    }

    /// Safe when this returns.
    fn tell(&mut self, words: Vec<(String, Option<Vec<u8>>)>) -> Result<(), LogError> {
        let message = |(key, payload): (String, _)| Outgoing {
            topic: self.at.topic.clone(),
            partition: Some(self.at.partition),
            key: Some(key.into_bytes()),
            payload,
            headers: Vec::new(),
            timestamp_ms: None,
        };
        let messages: Vec<Outgoing> = words.into_iter().map(message).collect();
        self.log.publish(&messages)?;
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
            let claims = BTreeMap::from([("web".to_owned(), fingerprint)]);
            let lives = [&mut one, &mut two].map(|control| {
                control.claim(&claims).unwrap();
                control.look().unwrap().lives["web"]
            });
            lives.map(|life| life.life)
        };
        assert_eq!(claim(7), [0, 0]);
        assert_eq!(claim(8), [1, 1]);
        assert_eq!(claim(7), [2, 2], "not 0 again");
        assert_eq!(claim(7), [2, 2], "a restart");
        let mut three = open(&cluster, "three");
        let claims = [("web", 7), ("ops", 9)].map(|(id, fingerprint)| (id.to_owned(), fingerprint));
        three.claim(&BTreeMap::from(claims)).unwrap();
        let lives = &three.look().unwrap().lives;
        assert_eq!((lives["web"].life, lives["ops"].life), (2, 0));
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
