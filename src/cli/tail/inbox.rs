//! Messages of the results topics, sorted out: which are wanted, and what they are.
//!
//! Pure. A message that is no result document (somebody else wrote to the topic) is passed over, and said in the log. Holds: a line of JSON has no control
//! character in it, whoever wrote the document, so that it neither breaks the line nor commands a terminal.

use crate::engine::result::DocumentKind;
use crate::runtime::log::Message;
use crate::runtime::task::TopicNames;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write;

/// Which documents are wanted.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    /// Empty: those of all jobs.
    pub(super) jobs: Vec<String>,
    /// Documents that have a score need at least this one.
    pub(super) score_min: f64,
    /// Of buckets from this time on, milliseconds since the epoch.
    pub(super) since_ms: Option<i64>,
}

/// A message that concerns us.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Heard {
    /// The document's id.
    pub(super) id: String,
    /// Whether its bucket is still open.
    pub(super) interim: bool,
    /// The document; `None`: it is taken back.
    pub(super) document: Option<Value>,
    /// The document's text on one line, where its score and job are wanted.
    pub(super) line: Option<String>,
}

/// Sorts messages out.
pub(super) struct Inbox {
    wanted: Wanted,
    interim: BTreeSet<String>,
}

impl Inbox {
    pub(super) fn new(names: &TopicNames, wanted: Wanted) -> Inbox {
        let interim = DocumentKind::ALL.map(|kind| names.interim(kind).to_string());
        Inbox {
            wanted,
            interim: interim.into(),
        }
    }

    pub(super) fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    /// What a message says; `None` when it does not concern us. A score below the least one is told all the same, without a line: it may be
    /// the last word on what scored more before.
    pub(super) fn hear(&mut self, topic: &str, message: &Message<'_>) -> Option<Heard> {
        let id = message.key.and_then(|key| std::str::from_utf8(key).ok())?;
        let interim = self.interim.contains(topic);
        let Some(payload) = message.payload else {
            return Some(Heard {
                id: id.to_owned(),
                interim,
                document: None,
                line: None,
            });
        };
        let text = std::str::from_utf8(payload).ok();
        let document: Option<Value> = text.and_then(|text| serde_json::from_str(text).ok());
        let Some((text, document)) = text.zip(document.filter(|one| one["job_id"].is_string()))
        else {
            let offset = message.offset;
            tracing::warn!(topic, offset, "not a result document; passed over");
            return None;
        };
        let since_ms = self.wanted.since_ms;
        let is_early = since_ms.is_some_and(|since_ms| message.timestamp_ms < Some(since_ms));
        let jobs = &self.wanted.jobs;
        let is_other = !jobs.is_empty() && !jobs.iter().any(|job| document["job_id"] == **job);
        if is_early || is_other {
            return None;
        }
        let is_enough = score(&document).is_none_or(|score| score >= self.wanted.score_min);
        Some(Heard {
            id: id.to_owned(),
            interim,
            line: is_enough.then(|| on_one_line(text)),
            document: Some(document),
        })
    }
}

/// The score of a document, if its kind has one.
fn score(document: &Value) -> Option<f64> {
    let field = match document["result_type"].as_str()? {
        "record" => "record_score",
        "influencer" => "influencer_score",
        "bucket" | "bucket_influencer" => "anomaly_score",
        _ => return None,
    };
    document[field].as_f64()
}

/// The same JSON: between tokens a control character is a blank, and inside of a text, where JSON allows DEL and beyond, it is escaped.
fn on_one_line(json: &str) -> String {
    let mut line = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '\t' | '\n' | '\r' => line.push(' '),
            c if super::super::table::harmless(c) != c => {
                // All of them are below U+FFFF.
                let _ = write!(line, "\\u{:04x}", u32::from(c));
            }
            c => line.push(c),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message<'m>(key: &'m str, payload: Option<&'m str>, timestamp_ms: i64) -> Message<'m> {
        Message {
            offset: 0,
            timestamp_ms: Some(timestamp_ms),
            key: Some(key.as_bytes()),
            payload: payload.map(str::as_bytes),
        }
    }

    fn inbox(wanted: Wanted) -> Inbox {
        Inbox::new(&TopicNames::new("tw"), wanted)
    }

    const RECORD: &str = r#"{"job_id":"web","result_type":"record","record_score":40.5}"#;

    #[test]
    fn only_what_is_wanted_has_a_line_and_a_lower_score_is_heard_without_one() {
        let mut inbox = inbox(Wanted {
            jobs: vec!["web".to_owned()],
            score_min: 50.0,
            since_ms: Some(100),
        });
        let heard = inbox.hear("tw.results.record", &message("a", Some(RECORD), 100));
        assert_eq!(heard.map(|heard| heard.line), Some(None));
        let high = RECORD.replace("40.5", "60");
        let heard = inbox.hear("tw.results.record", &message("a", Some(&high), 100));
        assert_eq!(heard.and_then(|heard| heard.line).as_deref(), Some(&*high));
        let early = inbox.hear("tw.results.record", &message("a", Some(&high), 99));
        assert_eq!(early, None);
        let other = high.replace("web", "shop");
        let other = inbox.hear("tw.results.record", &message("a", Some(&other), 100));
        assert_eq!(other, None);
        let counts = r#"{"job_id":"web","result_type":"data_counts"}"#;
        let counts = inbox.hear("tw.results.data_counts", &message("a", Some(counts), 100));
        assert!(counts.is_some_and(|heard| heard.line.is_some()));
    }

    #[test]
    fn a_tombstone_takes_back_and_interim_is_told_by_the_topic() {
        let mut inbox = inbox(Wanted::default());
        let gone = inbox.hear("tw.interim.record", &message("a", None, 5));
        assert!(gone.is_some_and(|gone| gone.interim && gone.document.is_none()));
    }

    #[test]
    fn what_is_no_document_is_passed_over() {
        let mut inbox = inbox(Wanted::default());
        for strange in ["", "{", "[]", "7", "{\"job_id\":7}"] {
            let heard = inbox.hear("tw.results.record", &message("a", Some(strange), 5));
            assert_eq!(heard, None, "{strange}");
        }
        let mut bytes = message("a", None, 5);
        bytes.payload = Some(b"\xff\xfe");
        assert_eq!(inbox.hear("tw.results.record", &bytes), None);
    }

    #[test]
    fn a_line_of_json_commands_no_terminal_and_stays_the_same_json() {
        let hostile = "{\"job_id\":\"web\",\r\n\t\"x\":\"\u{9b}31m\u{7f}\u{202e}\u{85}\u{2028}\"}";
        let line = on_one_line(hostile);
        assert!(
            !line.chars().any(char::is_control) && !line.contains('\u{202e}'),
            "{line:?}"
        );
        let (before, after): (Value, Value) = (
            serde_json::from_str(hostile).unwrap(),
            serde_json::from_str(&line).unwrap(),
        );
        assert_eq!(before, after);
    }
}
