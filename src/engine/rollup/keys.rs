//! Values of the partition field that come from several partitions of a topic that is said to be keyed by it, told once each.

use super::documents::Writer;
use super::{Output, Rollup};
use crate::engine::keys::Stray;
use crate::engine::result::{
    Annotation, AnnotationEvent, Body, Document, DocumentKind, MisplacedKeys, id,
};
use crate::engine::wire::InputId;
use crate::time::{BucketStart, EventTime, Finality};
use std::sync::Arc;

/// So many values of a job are told by name; further ones are counted.
const TOLD_MAX: u64 = 10;

impl Rollup {
    /// Takes what was announced up to the end of the bucket at `at`, notes the first strays, and counts all.
    pub(super) fn hear_keys(
        &mut self,
        at: BucketStart,
        words: Vec<(Arc<str>, InputId)>,
        outputs: &mut Vec<Output>,
    ) -> MisplacedKeys {
        let before = self.state.homes.strays();
        let strays = self.state.homes.hear(words);
        for (number, stray) in (before + 1..=TOLD_MAX).zip(&strays) {
            let note = self.writer.misplaced_key(at, stray, number == TOLD_MAX);
            outputs.push(Output::Result(note));
        }
        MisplacedKeys {
            total: self.state.homes.strays(),
            new: strays.len() as u64,
            sentence: strays.first().map(|stray| self.writer.sentence_of(stray)),
        }
    }
}

impl Writer {
    fn misplaced_key(&self, at: BucketStart, stray: &Stray, is_last: bool) -> Document {
        let mut annotation = self.sentence_of(stray);
        if is_last {
            annotation.push_str(". Further values are counted and not named");
        }
        let body = Annotation {
            event: AnnotationEvent::MisplacedKey,
            annotation,
            since: EventTime(at.millis()),
            until: EventTime(self.job.bucket_span.end_of(at).millis()),
            detector_index: None,
            by: None,
            partition: Some((self.key_name().to_owned(), stray.value.to_string())),
            lost: None,
            topic_partitions: stray.inputs.iter().map(|input| input.0.clone()).collect(),
        };
        let id = id::misplaced_key(&self.job.id, at, self.job.bucket_span, &stray.value);
        let body = Body::Annotation(body);
        self.document(DocumentKind::Annotation, id, at, Finality::Final, body)
    }

    fn sentence_of(&self, stray: &Stray) -> String {
        let (name, [first, other]) = (self.key_name(), &stray.inputs);
        let what = match &*stray.value {
            "" => format!("Events without {name}"),
            value => format!("{name} {value}"),
        };
        format!(
            "{what} came from partitions {} and {}: the topic is not keyed by {name}, or its partitions have been added to. Each partition's \
             part is judged for itself; without keyed_by_partition_field they are judged together",
            first.0, other.0
        )
    }

    /// The partition field, which is the same in all detectors of a keyed job.
    fn key_name(&self) -> &str {
        let fields = self.job.detectors.iter().find_map(|one| one.partition);
        fields.map_or("the key", |field| self.job.field_name(field))
    }
}
