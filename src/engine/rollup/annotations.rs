//! Notes of what models noticed about their series, for charts: one a change and series.

use super::documents::{Writer, description, series_hash};
use crate::config::FieldId;
use crate::engine::judge::ChangeDraft;
use crate::engine::result::{
    Annotation, AnnotationEvent, Body, Document, DocumentKind, id, sentence,
};
use crate::time::{BucketStart, EventTime, Finality};
use std::sync::Arc;

/// Notes written a bucket at the most, of the first series in order.
const ANNOTATIONS_MAX: usize = 100;

impl Writer {
    /// The notes of a bucket.
    pub(super) fn annotations(
        &self,
        start: BucketStart,
        changes: &[ChangeDraft],
    ) -> impl Iterator<Item = Document> {
        let told = changes.iter().take(ANNOTATIONS_MAX);
        told.map(move |change| self.annotation(start, change))
    }

    fn annotation(&self, start: BucketStart, change: &ChangeDraft) -> Document {
        let detector = &self.job.detectors[usize::from(change.detector)];
        let named = |field: Option<FieldId>, value: &Option<Arc<str>>| {
            let name = self.job.field_name(field?).to_owned();
            Some((name, value.as_ref()?.to_string()))
        };
        let by = named(detector.by, &change.key.by);
        let partition = named(detector.partition, &change.key.partition);
        let statistic = description(detector.function, change.statistic);
        let subject = sentence::subject(
            statistic,
            detector.field.map(|field| self.job.field_name(field)),
            [&by, &partition]
                .into_iter()
                .flatten()
                .map(|(name, value)| (name.as_str(), value.as_str())),
        );
        let id = id::annotation(
            &self.job.id,
            start,
            self.job.bucket_span,
            change.detector,
            statistic,
            &series_hash(&change.key),
        );
        let body = Annotation {
            event: AnnotationEvent::ModelChange,
            annotation: sentence::of_change(&subject, &change.noticed.change),
            since: change.noticed.since,
            until: EventTime(self.job.bucket_span.end_of(start).millis()),
            detector_index: Some(change.detector),
            by,
            partition,
            lost: None,
            topic_partitions: Vec::new(),
        };
        let body = Body::Annotation(body);
        self.document(DocumentKind::Annotation, id, start, Finality::Final, body)
    }
}
