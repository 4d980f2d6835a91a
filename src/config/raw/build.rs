//! A job as written, found free of mistakes → the [`Job`] that everything else reads.
//!
//! Holds: fields are numbered in the order in which the configuration names them (detectors, influencers, summary count), so equal
//! configurations number them alike. The fingerprint hashes a JSON rendering of everything that changes what the models learn or
//! what results say of events, in one fixed order; it is the same in every build.

use super::{RawJob, analyzer, calendars, document, feed};
use crate::config::categorization::{Categorization, MLCATEGORY, PerPartition};
use crate::config::datafeed::{Datafeed, Feed};
use crate::config::extensions::Input;
use crate::config::function::Family;
use crate::config::job::{Detector, FieldId, Job, ModelPlot, POSITION_HALVES, TimeFormat};
use crate::time::{BucketSpan, Lateness, Zone};
use serde_json::json;
use std::collections::BTreeMap;
use xxhash_rust::xxh3::xxh3_64;

const DAY_SECONDS: i64 = 86_400;

/// The job that `raw` means.
pub(super) fn job(raw: RawJob) -> Job {
    let document = document::render(&raw);
    let analysis = &raw.analysis;
    let span_text = checked(&analysis.bucket_span);
    let bucket_span = BucketSpan::from_seconds(span_text.ms / 1000).expect("the range was checked");
    let span_seconds = bucket_span.seconds();
    let mut fields = Fields::default();
    let detectors = detectors(&raw, &mut fields);
    let mut influencers: Vec<FieldId> = Vec::new();
    for name in &analysis.influencers {
        let id = fields.id(name);
        if !influencers.contains(&id) {
            influencers.push(id);
        }
    }
    // What an aggregation sums up is here given event by event.
    let aggregated = raw
        .datafeed
        .as_ref()
        .and_then(|feed| feed.aggregated.as_ref());
    let summary_count_field = analysis
        .summary_count_field
        .as_deref()
        .filter(|_| aggregated.is_none())
        .map(|name| fields.id(name));
    let categorization = categorization(&raw, &mut fields);
    let analysed = fields.names.len();
    position_halves(&detectors, &mut fields);
    let halves = fields.names.len() - analysed;
    let mut feed = feed::build(raw.datafeed.as_ref(), &mut fields);
    feed.own_fields += halves;
    let lateness_seconds = analysis
        .latency
        .as_ref()
        .map_or(0, |latency| latency.ms / 1000);
    let prune_window_buckets = checked(&analysis.prune_window).ms / span_text.ms;
    let own = raw.extensions.as_ref();
    let calendars = own.map_or_else(BTreeMap::new, |own| own.calendars.clone());
    let mut job = Job {
        description: raw.description.clone().unwrap_or_default(),
        groups: raw.groups.clone(),
        bucket_span,
        lateness: Lateness::from_seconds(lateness_seconds).expect("the range was checked"),
        detectors,
        influencers,
        summary_count_field,
        categorization,
        multivariate_by_fields: raw.analysis.multivariate_by_fields == Some(true),
        events: Vec::new(),
        fields: fields.names,
        time_field: raw.data_description.time_field.clone(),
        time_format: time_format(&raw),
        prune_window_buckets: u32::try_from(prune_window_buckets).expect("the range was checked"),
        model_memory_limit_bytes: raw.limits.memory_mb << 20,
        model_plot: raw
            .model_plot
            .as_ref()
            .filter(|plot| plot.enabled)
            .map(|plot| ModelPlot {
                terms: plot.term_values(),
                members: true,
            }),
        annotations: raw
            .model_plot
            .as_ref()
            .is_none_or(|plot| plot.annotations_enabled),
        renormalization_window_buckets: renormalization_buckets(
            raw.retention.renormalization_window_days,
            span_seconds,
        ),
        results_retention_ms: raw.retention.results_days.map(days_ms),
        extensions: raw
            .extensions
            .as_ref()
            .map(|own| own.values.clone())
            .unwrap_or_default(),
        alerts: raw
            .extensions
            .as_ref()
            .map(|own| own.alerts.clone())
            .unwrap_or_default(),
        warnings: warnings(&span_text.text, span_seconds),
        datafeed: raw
            .datafeed
            .filter(|datafeed| !datafeed.topics.is_empty())
            .map(|datafeed| Datafeed {
                topics: datafeed.topics,
            }),
        feed,
        document,
        fingerprint: 0,
        id: raw.id,
    };
    job.events = calendars::build(&calendars, &job.detectors, |name| job.field_id(name));
    let idle = calendars::warnings(&calendars, &job.events);
    job.warnings.extend(idle);
    job.fingerprint = fingerprint(&job);
    job
}

/// Positions may come as objects: then their halves are fields of their own, which no event has to have.
fn position_halves(detectors: &[Detector], fields: &mut Fields) {
    let places = detectors
        .iter()
        .filter(|one| one.function.family == Family::LatLong);
    for field in places.filter_map(|one| one.field) {
        for half in POSITION_HALVES {
            fields.id(&format!("{}{half}", fields.names[usize::from(field.0)]));
        }
    }
}

fn categorization(raw: &RawJob, fields: &mut Fields) -> Option<Categorization> {
    let written = raw.analysis.categorization.as_ref()?;
    let examples_max = raw.limits.categorization_examples;
    Some(Categorization {
        field: fields.id(&written.field),
        category_field: fields.id(MLCATEGORY),
        analyzer: written.analyzer.clone(),
        per_partition: written
            .per_partition
            .as_ref()
            .map(|(name, stop_on_warn)| PerPartition {
                field: fields.id(name),
                stop_on_warn: *stop_on_warn,
            }),
        examples_max: usize::try_from(examples_max).unwrap_or(usize::MAX),
    })
}

fn checked<T>(value: &Option<T>) -> &T {
    value
        .as_ref()
        .expect("absent only when it was wrong, and then no job is built")
}

/// Field names as they are met.
#[derive(Default)]
pub(super) struct Fields {
    pub(super) names: Vec<String>,
    ids: BTreeMap<String, FieldId>,
}

impl Fields {
    pub(super) fn has(&self, name: &str) -> bool {
        self.ids.contains_key(name)
    }

    pub(super) fn id(&mut self, name: &str) -> FieldId {
        if let Some(id) = self.ids.get(name) {
            return *id;
        }
        let id = FieldId(
            u16::try_from(self.names.len())
                .expect("detectors and the fields of a query are limited in number"),
        );
        self.names.push(name.to_owned());
        self.ids.insert(name.to_owned(), id);
        id
    }
}

fn detectors(raw: &RawJob, fields: &mut Fields) -> Vec<Detector> {
    let mut id = |name: &Option<String>| name.as_deref().map(|name| fields.id(name));
    let none = BTreeMap::new();
    let filters = raw.extensions.as_ref().map_or(&none, |own| &own.filters);
    (0u16..)
        .zip(&raw.analysis.detectors)
        .map(|(index, detector)| Detector {
            index,
            function: detector.function,
            field: id(&detector.names.field),
            by: id(&detector.names.by),
            over: id(&detector.names.over),
            partition: id(&detector.names.partition),
            use_null: detector.use_null,
            exclude_frequent_by: matches!(detector.exclude_frequent, Some("by" | "all")),
            exclude_frequent_over: matches!(detector.exclude_frequent, Some("over" | "all")),
            rules: detector
                .rules
                .iter()
                .map(|rule| rule.build(filters))
                .collect(),
            description: detector.description.clone(),
        })
        .collect()
}

/// A datafeed hands Elastic's analysis its times as epoch milliseconds, however the documents write them; on a topic there is
/// nobody in between, so `epoch_ms` beside a datafeed means: milliseconds or ISO 8601, by what the value is.
fn time_format(raw: &RawJob) -> TimeFormat {
    match raw.data_description.time_format.as_deref() {
        None => TimeFormat::Auto,
        Some("epoch_ms") if raw.datafeed.is_some() => TimeFormat::Auto,
        Some("epoch_ms") => TimeFormat::EpochMillis,
        Some("epoch") => TimeFormat::Epoch,
        Some("epoch_us") => TimeFormat::EpochMicros,
        Some("epoch_ns") => TimeFormat::EpochNanos,
        Some(pattern) => TimeFormat::Pattern(pattern.to_owned()),
    }
}

fn days_ms(days: i64) -> i64 {
    days.saturating_mul(DAY_SECONDS * 1_000)
}

/// The larger of 30 days and 100 spans unless days are given; rounded up to whole buckets.
fn renormalization_buckets(days: Option<i64>, span_seconds: i64) -> u32 {
    let seconds = match days {
        Some(days) => days.saturating_mul(DAY_SECONDS),
        None => (30 * DAY_SECONDS).max(100 * span_seconds),
    };
    let buckets = seconds / span_seconds + i64::from(seconds % span_seconds != 0);
    u32::try_from(buckets).unwrap_or(u32::MAX)
}

fn warnings(span_text: &str, span_seconds: i64) -> Vec<String> {
    let (longer, shorter) = (span_seconds.max(DAY_SECONDS), span_seconds.min(DAY_SECONDS));
    if longer % shorter == 0 {
        return Vec::new();
    }
    let wanted = match span_seconds < DAY_SECONDS {
        true => "not an integral divisor",
        false => "not a multiple",
    };
    vec![format!(
        "bucket_span [{span_text}] [{span_seconds}s] is {wanted} of the number of seconds in a day [{DAY_SECONDS}s]"
    )]
}

/// Two things once counted and do not any more: their defaults stand where they stood, so that jobs which never said them keep the
/// number that their snapshots carry.
const MEMORY_LIMIT_STAND_IN: u64 = 1024 << 20;
const SHARDS_STAND_IN: u16 = 4;

/// Left out on purpose: what is only for people (description, groups, detectors' descriptions), where events come from (topics: a job
/// keeps its models when one is added; where it starts), how much memory there is (models go on under another limit), how long things are
/// kept, when things are said rather than what (interim results, idle partitions), and what is known beforehand (rules, filters, calendars: they
/// hold from the next bucket on, whatever models have learnt before). Of shards, which decide what series a snapshot
/// holds, the number in use is in the lineage of the job's plan. Keys do not change results, but likewise snapshots.
fn fingerprint(job: &Job) -> u64 {
    let detectors: Vec<_> = job
        .detectors
        .iter()
        .map(|detector| {
            let name = |id: Option<FieldId>| id.map(|id| job.field_name(id));
            json!([
                detector.function.name(),
                name(detector.field),
                name(detector.by),
                name(detector.partition),
                detector.use_null,
                detector.exclude_frequent_by,
            ])
        })
        .collect();
    // Beside them, so that jobs without a population keep their number.
    let populations: Vec<_> = job
        .detectors
        .iter()
        .filter_map(|detector| {
            let over = job.field_name(detector.over?);
            Some(json!([
                detector.index,
                over,
                detector.exclude_frequent_over
            ]))
        })
        .collect();
    let time_format = match &job.time_format {
        TimeFormat::Auto => json!(["auto"]),
        TimeFormat::Epoch => json!(["epoch"]),
        TimeFormat::EpochMillis => json!(["epoch_ms"]),
        TimeFormat::EpochMicros => json!(["epoch_us"]),
        TimeFormat::EpochNanos => json!(["epoch_ns"]),
        TimeFormat::Pattern(pattern) => json!(["pattern", pattern]),
    };
    let categorization = job.categorization.as_ref().map(|one| {
        let per_partition = one.per_partition.map(|per| per.stop_on_warn);
        json!([
            job.field_name(one.field),
            analyzer::render(&one.analyzer),
            per_partition,
            one.examples_max,
        ])
    });
    let mut canonical = json!([
        "tidewatch job 1",
        job.id,
        job.bucket_span.millis(),
        job.lateness.millis(),
        detectors,
        job.fields,
        job.influencers.iter().map(|id| id.0).collect::<Vec<_>>(),
        job.summary_count_field.map(|id| id.0),
        [json!(job.time_field), time_format],
        job.prune_window_buckets,
        MEMORY_LIMIT_STAND_IN,
        job.model_plot.as_ref().map(|plot| json!([plot.terms])),
        job.renormalization_window_buckets,
        job.extensions.keyed_by_partition_field,
        job.extensions.max_future_skew_ms,
        SHARDS_STAND_IN,
    ]);
    if !populations.is_empty()
        && let Some(parts) = canonical.as_array_mut()
    {
        parts.push(json!(populations));
    }
    if let Some(parts) = canonical.as_array_mut()
        && job.feed != Feed::default()
    {
        parts.push(json!(job.feed));
    }
    if let Some(parts) = canonical.as_array_mut()
        && job.extensions.time_zone != Zone::UTC
    {
        parts.push(json!(["time_zone", job.extensions.time_zone.name()]));
    }
    if let (Some(one), Some(all)) = (categorization, canonical.as_array_mut()) {
        all.push(one);
    }
    if let (true, Some(all)) = (job.multivariate_by_fields, canonical.as_array_mut()) {
        all.push(json!("multivariate by fields"));
    }
    if let (late @ 1.., Some(all)) = (job.extensions.late_revision_ms, canonical.as_array_mut()) {
        all.push(json!(["late revision", late]));
    }
    if let (Input::Text(layout), Some(all)) = (job.extensions.input, canonical.as_array_mut()) {
        all.push(json!(["lines of text", layout.name()]));
    }
    xxh3_64(canonical.to_string().as_bytes())
}
