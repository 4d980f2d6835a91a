//! Forecasts of a judge's series: its models are asked, and stay as they are.
//!
//! Holds: series in order, each from the end of the last bucket judged, one point a bucket; what is said is a function of the state and of the request.

use super::Judge;
use super::series::{FeatureKind, Series};
use crate::config::{Family, FieldId, Job};
use crate::engine::forecast::{self, Request, Yield};
use crate::engine::model::Ahead;
use crate::engine::result::{Document, ModelForecast, id};
use crate::engine::rollup::{feature_suffix, model_feature, series_hash};
use crate::engine::wire::SeriesKey;
use crate::time::{BucketStart, EventTime};
use std::ops::ControlFlow;

impl Judge {
    /// The first bucket that a forecast would begin with: the end of the last one judged.
    pub fn forecast_start(&self) -> Option<BucketStart> {
        self.state.next
    }

    /// Forecasts every series that the request asks for, point by point, until `say` has had enough. The request has been [checked](forecast::check).
    pub fn forecast(
        &self,
        request: &Request,
        say: &mut dyn FnMut(Document) -> ControlFlow<()>,
    ) -> Yield {
        let mut found = Yield::default();
        let Some(start) = self.state.next else {
            return found;
        };
        let span_ms = self.job.bucket_span.millis();
        let buckets = request.duration_ms / span_ms;
        found.range = Some((start, BucketStart(start.0 + buckets * span_ms)));
        for ((group, key), series) in self.state.series.iter() {
            let kinds = &self.kinds[usize::from(*group)];
            if !is_asked_for(&self.job, kinds, key, request) {
                continue;
            }
            found.memory_bytes += u64::from(series.bytes);
            for (kind, ahead) in series.ahead(kinds) {
                if forecast::objection(&self.job.detectors[kind.detector]).is_some() {
                    continue;
                }
                let Some(ahead) = ahead else {
                    found.too_young += 1;
                    continue;
                };
                found.series += 1;
                for bucket in 0..buckets {
                    let at = BucketStart(start.0 + bucket * span_ms);
                    if say(self.point(request, kind, key, &ahead, at)).is_break() {
                        return found;
                    }
                    found.points += 1;
                }
            }
        }
        found
    }

    fn point(
        &self,
        request: &Request,
        kind: &FeatureKind,
        key: &SeriesKey,
        ahead: &Ahead<'_>,
        at: BucketStart,
    ) -> Document {
        let (job, span) = (&self.job, self.job.bucket_span);
        let detector = &job.detectors[kind.detector];
        let prospect = ahead.at(EventTime(at.millis() + span.millis() / 2));
        let name = |field: Option<FieldId>| field.map(|field| job.field_name(field).to_owned());
        let mut id = id::model_forecast(
            &job.id,
            &request.id,
            at,
            span,
            detector.index,
            &series_hash(key),
        );
        if detector.function.family == Family::Metric {
            id.push_str(feature_suffix(kind.statistic));
        }
        let body = ModelForecast {
            forecast_id: request.id.clone(),
            detector_index: detector.index,
            by_field_name: name(detector.by),
            by_field_value: key.by.as_ref().map(ToString::to_string),
            partition_field_name: name(detector.partition),
            partition_field_value: key.partition.as_ref().map(ToString::to_string),
            model_feature: model_feature(detector.function, kind.statistic),
            forecast_lower: prospect.lower,
            forecast_upper: prospect.upper,
            forecast_prediction: prospect.prediction,
        };
        forecast::point(job, id, at, body)
    }
}

/// Whether the series has every value that the request names. The series of a group have its detectors' splits.
fn is_asked_for(job: &Job, kinds: &[FeatureKind], key: &SeriesKey, request: &Request) -> bool {
    let Some(detector) = kinds.first().map(|kind| &job.detectors[kind.detector]) else {
        return false;
    };
    let has = |name: &str, value: &str| {
        let splits = [(detector.by, &key.by), (detector.partition, &key.partition)];
        splits.into_iter().any(|(field, known)| {
            field.is_some_and(|field| job.field_name(field) == name)
                && known.as_deref() == Some(value)
        })
    };
    request.only.iter().all(|(name, value)| has(name, value))
}

impl Series {
    /// Each feature, and how it may go on.
    fn ahead<'s>(
        &'s self,
        kinds: &'s [FeatureKind],
    ) -> impl Iterator<Item = (&'s FeatureKind, Option<Ahead<'s>>)> {
        let models = kinds.iter().zip(self.models());
        models.map(|(kind, model)| (kind, model.ahead(&kind.kind)))
    }
}
