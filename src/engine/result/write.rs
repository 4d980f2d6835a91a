//! Documents as Elastic writes them: field names, their order, and the copy fields that make `host.name: web-1` a query.
//!
//! Left out on purpose: `event.ingested`, `log_time` and `processing_time_ms`, which only a clock knows; the same events give the same bytes.

use super::{Annotation, Body, BucketInfluencer, Category, Document, JobCounts, Record};
use crate::engine::categorize::CategorizerStats;
use crate::engine::event::Reason;
use crate::time::Finality;
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::collections::BTreeMap;

/// First segments of field names that results use themselves (results.md 3.13): no copy is written for them.
const RESERVED: &[&str] = &[
    "_id",
    "_index",
    "_source",
    "_type",
    "actual",
    "all_field_values",
    "annotation",
    "anomaly_score",
    "anomaly_score_explanation",
    "assignment_memory_basis",
    "average_bucket_processing_time_ms",
    "bucket_allocation_failures_count",
    "bucket_count",
    "bucket_influencers",
    "bucket_span",
    "by_field_name",
    "by_field_value",
    "categorization_status",
    "categorized_doc_count",
    "category_id",
    "causes",
    "correlated_by_field_value",
    "create_time",
    "create_username",
    "dead_category_count",
    "description",
    "detector_index",
    "earliest_record_timestamp",
    "empty_bucket_count",
    "end_timestamp",
    "event",
    "event_count",
    "examples",
    "exponential_average_bucket_processing_time_ms",
    "exponential_average_bucket_processing_time_per_hour_ms",
    "failed_category_count",
    "field_name",
    "forecast_create_timestamp",
    "forecast_end_timestamp",
    "forecast_expiry_timestamp",
    "forecast_id",
    "forecast_lower",
    "forecast_memory_bytes",
    "forecast_messages",
    "forecast_prediction",
    "forecast_progress",
    "forecast_start_timestamp",
    "forecast_status",
    "forecast_upper",
    "frequent_category_count",
    "function",
    "function_description",
    "geo_results",
    "grok_pattern",
    "influencer_field_name",
    "influencer_field_value",
    "influencer_score",
    "influencers",
    "ingested",
    "initial_anomaly_score",
    "initial_influencer_score",
    "initial_record_score",
    "input_bytes",
    "input_field_count",
    "input_record_count",
    "invalid_date_count",
    "is_interim",
    "is_withdrawn",
    "job_id",
    "last_data_time",
    "late_event_count",
    "late_revised_event_count",
    "latest_empty_bucket_timestamp",
    "latest_record_time_stamp",
    "latest_record_timestamp",
    "latest_result_time_stamp",
    "latest_sparse_bucket_timestamp",
    "log_time",
    "max_matching_length",
    "maximum_bucket_processing_time_ms",
    "memory_status",
    "min_version",
    "minimum_bucket_processing_time_ms",
    "missing_field_count",
    "mlcategory",
    "model_bytes",
    "model_bytes_exceeded",
    "model_bytes_memory_limit",
    "model_feature",
    "model_lower",
    "model_median",
    "model_size_stats",
    "model_upper",
    "modified_time",
    "modified_username",
    "multi_bucket_impact",
    "num_matches",
    "out_of_order_timestamp_count",
    "output_memory_allocator_bytes",
    "over_field_name",
    "over_field_value",
    "partition_field_name",
    "partition_field_value",
    "peak_model_bytes",
    "preferred_to_categories",
    "probability",
    "processed_field_count",
    "processed_record_count",
    "processing_time_ms",
    "quantile_state",
    "quantiles",
    "rare_category_count",
    "raw_anomaly_score",
    "record_score",
    "records",
    "regex",
    "rejected_event_counts",
    "result_type",
    "retain",
    "scheduled_events",
    "snapshot_doc_count",
    "snapshot_id",
    "sparse_bucket_count",
    "terms",
    "timestamp",
    "total_bucket_processing_time_ms",
    "total_by_field_count",
    "total_category_count",
    "total_over_field_count",
    "total_partition_field_count",
    "type",
    "typical",
    "unreadable_field_count",
];

/// What a job's memory is reckoned by where it is assigned to a node; nothing is, so it is what was asked for.
const ASSIGNMENT_BASIS: &str = "model_memory_limit";

fn may_copy(name: &str) -> bool {
    let first = name.split('.').next().unwrap_or(name);
    RESERVED.binary_search(&first).is_err()
}

impl Serialize for Document {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("job_id", &*self.job_id)?;
        map.serialize_entry("result_type", self.kind.name())?;
        match &self.body {
            Body::DataCounts(counts) => write_counts(&mut map, counts)?,
            Body::ModelSizeStats(stats) => {
                let fields: [(&str, u64); 10] = [
                    ("model_bytes", stats.model_bytes),
                    ("peak_model_bytes", stats.peak_model_bytes),
                    ("model_bytes_exceeded", stats.model_bytes_exceeded),
                    ("model_bytes_memory_limit", stats.model_bytes_memory_limit),
                    ("total_by_field_count", stats.total_by_field_count),
                    ("total_over_field_count", stats.total_over_field_count),
                    (
                        "total_partition_field_count",
                        stats.total_partition_field_count,
                    ),
                    (
                        "bucket_allocation_failures_count",
                        stats.bucket_allocation_failures_count,
                    ),
                    // Ours: how much was refused in those buckets.
                    ("refused_series_count", stats.refused_series_count),
                    ("refused_growth_count", stats.refused_growth_count),
                ];
                for (name, value) in fields {
                    map.serialize_entry(name, &value)?;
                }
                map.serialize_entry("memory_status", &stats.memory_status)?;
                map.serialize_entry("assignment_memory_basis", ASSIGNMENT_BASIS)?;
                write_categorizer(&mut map, &stats.categories)?;
                map.serialize_entry("timestamp", &self.time.millis())?;
            }
            Body::ForecastStats(stats) => stats.write(&mut map)?,
            Body::Category(category) => write_category(&mut map, category)?,
            Body::CategorizerStats(one) => {
                if let Some((name, value)) = &one.partition {
                    map.serialize_entry("partition_field_name", name)?;
                    map.serialize_entry("partition_field_value", value)?;
                }
                write_categorizer(&mut map, &one.stats)?;
                map.serialize_entry("timestamp", &self.time.millis())?;
            }
            body => {
                self.write_head(&mut map)?;
                write_body(&mut map, body, self)?;
            }
        }
        map.end()
    }
}

impl Document {
    fn write_head<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        if let Body::Annotation(one) = &self.body {
            map.serialize_entry("timestamp", &one.since.millis())?;
            return map.serialize_entry("end_timestamp", &one.until.millis());
        }
        map.serialize_entry("timestamp", &self.time.millis())?;
        map.serialize_entry("bucket_span", &self.span.seconds())?;
        if !matches!(self.body, Body::ModelPlot(_) | Body::ModelForecast(_)) {
            map.serialize_entry("is_interim", &(self.finality == Finality::Interim))?;
        }
        if let Some(late) = &self.late {
            if late.event_count > 0 {
                map.serialize_entry("late_event_count", &late.event_count)?;
            }
            if late.is_withdrawn {
                map.serialize_entry("is_withdrawn", &true)?;
            }
        }
        Ok(())
    }
}

fn write_body<M: SerializeMap>(
    map: &mut M,
    body: &Body,
    document: &Document,
) -> Result<(), M::Error> {
    match body {
        Body::Bucket(bucket) => {
            map.serialize_entry("anomaly_score", &bucket.anomaly_score)?;
            map.serialize_entry("initial_anomaly_score", &bucket.initial_anomaly_score)?;
            map.serialize_entry("event_count", &bucket.event_count)?;
            let nested: Vec<Nested<'_>> = bucket
                .bucket_influencers
                .iter()
                .map(|one| Nested { one, document })
                .collect();
            map.serialize_entry("bucket_influencers", &nested)?;
            if !bucket.scheduled_events.is_empty() {
                map.serialize_entry("scheduled_events", &bucket.scheduled_events)?;
            }
            Ok(())
        }
        Body::BucketInfluencer(one) => write_bucket_influencer(map, one),
        Body::Influencer(one) => {
            map.serialize_entry("influencer_field_name", &one.influencer_field_name)?;
            map.serialize_entry("influencer_field_value", &one.influencer_field_value)?;
            map.serialize_entry("influencer_score", &one.influencer_score)?;
            map.serialize_entry("initial_influencer_score", &one.initial_influencer_score)?;
            map.serialize_entry("probability", &one.probability)?;
            if may_copy(&one.influencer_field_name) {
                map.serialize_entry(&one.influencer_field_name, &one.influencer_field_value)?;
            }
            Ok(())
        }
        Body::Record(record) => write_record(map, record),
        Body::ModelPlot(plot) => {
            map.serialize_entry("detector_index", &plot.detector_index)?;
            write_names(
                map,
                [
                    ("partition_field_name", &plot.partition_field_name),
                    ("partition_field_value", &plot.partition_field_value),
                ],
            )?;
            write_names(
                map,
                [
                    ("over_field_name", &plot.over_field_name),
                    ("over_field_value", &plot.over_field_value),
                ],
            )?;
            write_names(
                map,
                [
                    ("by_field_name", &plot.by_field_name),
                    ("by_field_value", &plot.by_field_value),
                ],
            )?;
            map.serialize_entry("model_feature", plot.model_feature)?;
            map.serialize_entry("model_lower", &plot.model_lower)?;
            map.serialize_entry("model_upper", &plot.model_upper)?;
            map.serialize_entry("model_median", &plot.model_median)?;
            plot.actual
                .map_or(Ok(()), |actual| map.serialize_entry("actual", &actual))
        }
        Body::ModelForecast(forecast) => forecast.write(map),
        Body::Annotation(one) => write_annotation(map, one),
        Body::DataCounts(_)
        | Body::ModelSizeStats(_)
        | Body::Category(_)
        | Body::CategorizerStats(_)
        | Body::ForecastStats(_) => unreachable!("written without a head"),
    }
}

fn write_annotation<M: SerializeMap>(map: &mut M, one: &Annotation) -> Result<(), M::Error> {
    map.serialize_entry("annotation", &one.annotation)?;
    map.serialize_entry("type", "annotation")?;
    map.serialize_entry("event", one.event.name())?;
    map.serialize_entry("create_username", "tidewatch")?;
    if let Some(detector) = &one.detector_index {
        map.serialize_entry("detector_index", detector)?;
    }
    if let Some((name, value)) = &one.partition {
        map.serialize_entry("partition_field_name", name)?;
        map.serialize_entry("partition_field_value", value)?;
    }
    if let Some((name, value)) = &one.by {
        map.serialize_entry("by_field_name", name)?;
        map.serialize_entry("by_field_value", value)?;
    }
    if let Some(lost) = &one.lost {
        map.serialize_entry("topic", &lost.topic)?;
        map.serialize_entry("kafka_partition", &lost.partition)?;
        map.serialize_entry("offset_from", &lost.from)?;
        if let Some(to) = lost.to {
            map.serialize_entry("offset_to", &to)?;
        }
    }
    if !one.topic_partitions.is_empty() {
        map.serialize_entry("topic_partitions", &one.topic_partitions)?; // ours
    }
    Ok(())
}

fn write_category<M: SerializeMap>(map: &mut M, category: &Category) -> Result<(), M::Error> {
    let one = &category.definition;
    map.serialize_entry("category_id", &one.category_id)?;
    if let Some((name, value)) = &category.partition {
        map.serialize_entry("partition_field_name", name)?;
        map.serialize_entry("partition_field_value", value)?;
        if may_copy(name) {
            map.serialize_entry(name, value)?;
        }
    }
    map.serialize_entry("terms", &one.terms)?;
    map.serialize_entry("regex", &one.regex)?;
    map.serialize_entry("max_matching_length", &one.max_matching_length)?;
    map.serialize_entry("examples", &one.examples)?;
    map.serialize_entry("preferred_to_categories", &one.preferred_to_categories)?;
    if one.num_matches > 0 {
        map.serialize_entry("num_matches", &one.num_matches)?;
    }
    map.serialize_entry("mlcategory", &one.category_id.to_string())
}

fn write_categorizer<M: SerializeMap>(
    map: &mut M,
    stats: &CategorizerStats,
) -> Result<(), M::Error> {
    map.serialize_entry("categorized_doc_count", &stats.categorized_doc_count)?;
    map.serialize_entry("total_category_count", &stats.total_category_count)?;
    map.serialize_entry("frequent_category_count", &stats.frequent_category_count)?;
    map.serialize_entry("rare_category_count", &stats.rare_category_count)?;
    map.serialize_entry("dead_category_count", &stats.dead_category_count)?;
    map.serialize_entry("failed_category_count", &stats.failed_category_count)?;
    map.serialize_entry("categorization_status", stats.categorization_status.name())
}

struct Nested<'a> {
    one: &'a BucketInfluencer,
    document: &'a Document,
}

impl Serialize for Nested<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("job_id", &*self.document.job_id)?;
        map.serialize_entry("result_type", "bucket_influencer")?;
        self.document.write_head(&mut map)?;
        write_bucket_influencer(&mut map, self.one)?;
        map.end()
    }
}

fn write_bucket_influencer<M: SerializeMap>(
    map: &mut M,
    one: &BucketInfluencer,
) -> Result<(), M::Error> {
    map.serialize_entry("influencer_field_name", &one.influencer_field_name)?;
    map.serialize_entry("initial_anomaly_score", &one.initial_anomaly_score)?;
    map.serialize_entry("anomaly_score", &one.anomaly_score)?;
    map.serialize_entry("raw_anomaly_score", &one.raw_anomaly_score)?;
    map.serialize_entry("probability", &one.probability)
}

pub(super) fn write_names<M: SerializeMap>(
    map: &mut M,
    fields: [(&str, &Option<String>); 2],
) -> Result<(), M::Error> {
    fields
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.as_ref()?)))
        .try_for_each(|(name, value)| map.serialize_entry(name, value))
}

fn write_record<M: SerializeMap>(map: &mut M, record: &Record) -> Result<(), M::Error> {
    map.serialize_entry("detector_index", &record.detector_index)?;
    map.serialize_entry("probability", &record.probability)?;
    map.serialize_entry("record_score", &record.record_score)?;
    map.serialize_entry("initial_record_score", &record.initial_record_score)?;
    if record.explanation.multi_bucket_impact.is_some() || !record.is_of_population() {
        map.serialize_entry("multi_bucket_impact", &record.multi_bucket_impact)?;
    }
    map.serialize_entry("function", record.function)?;
    map.serialize_entry("function_description", record.function_description)?;
    if let Some(field) = &record.field_name {
        map.serialize_entry("field_name", field)?;
    }
    write_names(
        map,
        [
            ("by_field_name", &record.by_field_name),
            ("by_field_value", &record.by_field_value),
        ],
    )?;
    if let Some(correlate) = &record.correlated_by_field_value {
        map.serialize_entry("correlated_by_field_value", correlate)?;
    }
    write_names(
        map,
        [
            ("partition_field_name", &record.partition_field_name),
            ("partition_field_value", &record.partition_field_value),
        ],
    )?;
    write_names(
        map,
        [
            ("over_field_name", &record.over_field_name),
            ("over_field_value", &record.over_field_value),
        ],
    )?;
    if let Some(geo) = &record.geo_results {
        map.serialize_entry("geo_results", geo)?;
    }
    if record.is_of_population() {
        map.serialize_entry("causes", &record.causes)?;
    } else {
        map.serialize_entry("typical", &record.typical)?;
        map.serialize_entry("actual", &record.actual)?;
    }
    if !record.influencers.is_empty() {
        map.serialize_entry("influencers", &record.influencers)?;
    }
    if !record.is_of_population() {
        map.serialize_entry("anomaly_score_explanation", &record.explanation)?;
    }
    map.serialize_entry("description", &record.description)?;
    for (name, values) in copies(record) {
        map.serialize_entry(name, &values)?;
    }
    Ok(())
}

/// The record's values by field name, each once, in the order they appear.
fn copies(record: &Record) -> BTreeMap<&str, Vec<&str>> {
    let causes = record.causes.iter().filter_map(|cause| {
        let name = cause.by_field_name.as_deref()?;
        Some((name, cause.by_field_value.as_deref()?))
    });
    let splits = record.splits().chain(causes);
    let influencers = record.influencers.iter().flat_map(|one| {
        one.influencer_field_values
            .iter()
            .map(|value| (one.influencer_field_name.as_str(), value.as_str()))
    });
    let mut copies: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, value) in splits.chain(influencers).filter(|(name, _)| may_copy(name)) {
        let values = copies.entry(name).or_default();
        if !values.contains(&value) {
            values.push(value);
        }
    }
    copies
}

fn write_counts<M: SerializeMap>(map: &mut M, job: &JobCounts) -> Result<(), M::Error> {
    let counts = &job.counts;
    let rejected = |reason: Reason| counts.rejected[reason as usize];
    let invalid_dates =
        rejected(Reason::MissingTime) + rejected(Reason::BadTime) + rejected(Reason::FarFuture);
    let fields = [
        ("processed_record_count", counts.processed_record_count),
        ("processed_field_count", counts.processed_field_count),
        ("input_bytes", counts.input_bytes),
        ("input_field_count", counts.input_field_count),
        ("invalid_date_count", invalid_dates),
        ("missing_field_count", counts.missing_field_count),
        ("out_of_order_timestamp_count", rejected(Reason::Late)),
        (
            "input_record_count",
            counts.processed_record_count + invalid_dates + rejected(Reason::Late),
        ),
        ("empty_bucket_count", job.empty_bucket_count),
        ("sparse_bucket_count", job.sparse_bucket_count),
        ("bucket_count", job.bucket_count),
    ];
    for (name, value) in fields {
        map.serialize_entry(name, &value)?;
    }
    let times = [
        (
            "earliest_record_timestamp",
            counts.earliest_record.map(|t| t.millis()),
        ),
        (
            "latest_record_timestamp",
            counts.latest_record.map(|t| t.millis()),
        ),
        (
            "latest_empty_bucket_timestamp",
            job.latest_empty_bucket.map(|t| t.millis()),
        ),
        (
            "latest_sparse_bucket_timestamp",
            job.latest_sparse_bucket.map(|t| t.millis()),
        ),
    ];
    for (name, time) in times {
        if let Some(time) = time {
            map.serialize_entry(name, &time)?;
        }
    }
    if counts.unreadable_field_count > 0 {
        map.serialize_entry("unreadable_field_count", &counts.unreadable_field_count)?; // ours
    }
    if job.late_revised > 0 {
        map.serialize_entry("late_revised_event_count", &job.late_revised)?; // ours
    }
    // Ours: every reason by name, so that nothing refused hides in a sum.
    let by_reason: BTreeMap<&str, u64> = Reason::ALL
        .iter()
        .map(|&reason| (reason.label(), rejected(reason)))
        .collect();
    map.serialize_entry("rejected_event_counts", &by_reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_results_use_get_no_copy() {
        assert!(RESERVED.is_sorted());
        assert!(
            may_copy("host.name")
                && may_copy("user")
                && !may_copy("event.action")
                && !may_copy("timestamp")
                && !may_copy("model_bytes")
                && !may_copy("terms.first")
        );
    }
}
