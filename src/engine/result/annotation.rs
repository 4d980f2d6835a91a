//! `annotation`: what a person should know of a stretch of time that is no anomaly (results.md 3.9).

use crate::time::EventTime;

/// What an annotation is about (`event`, results.md 3.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnnotationEvent {
    /// A model noticed that its series has changed.
    ModelChange,
    /// The categories of messages have come to be of no use, or of use again.
    CategorizationStatusChange,
    /// Messages were gone before they could be read, or read again.
    DelayedData,
    /// Ours: a value of the partition field has come from two topic partitions, though the job says that the topic is keyed by it.
    MisplacedKey,
}

impl AnnotationEvent {
    /// `event`.
    pub fn name(self) -> &'static str {
        match self {
            AnnotationEvent::ModelChange => "model_change",
            AnnotationEvent::CategorizationStatusChange => "categorization_status_change",
            AnnotationEvent::DelayedData => "delayed_data",
            AnnotationEvent::MisplacedKey => "misplaced_key",
        }
    }
}

/// `annotation` (results.md 3.9).
#[derive(Clone, Debug, PartialEq)]
pub struct Annotation {
    /// About what.
    pub event: AnnotationEvent,
    /// One sentence.
    pub annotation: String,
    /// When it began to show; `timestamp` of the document.
    pub since: EventTime,
    /// When it was noticed.
    pub until: EventTime,
    /// Which detector, where it is about one.
    pub detector_index: Option<u16>,
    /// Which series: by and partition field with their values, where there are any.
    pub by: Option<(String, String)>,
    /// Likewise.
    pub partition: Option<(String, String)>,
    /// Which messages are missing, where any are.
    pub lost: Option<Lost>,
    /// From where a misplaced key came, `topic/3`.
    pub topic_partitions: Vec<String>,
}

/// Messages that were gone before they were read, or before they could be read again.
#[derive(Clone, Debug, PartialEq)]
pub struct Lost {
    /// Of which topic.
    pub topic: String,
    /// Which of its partitions.
    pub partition: i32,
    /// The first offset that is missed.
    pub from: i64,
    /// The first that is there; `None` when the topic itself was deleted, so that nobody knows.
    pub to: Option<i64>,
}
