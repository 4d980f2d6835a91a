//! Document ids (results.md 3.11): deterministic names, so that a document written twice is one document.
//!
//! `H(v1, v2, …)`: MurmurHash3 x64 128 (Appleby, public domain), seed 0, over the values' concatenated UTF-8, its sixteen bytes read as a signed
//! big-endian integer, in decimal, then `_` and the length of the text in UTF-16 units; `0_0` without values.

use crate::time::{BucketSpan, BucketStart};
use std::io::Cursor;

/// `H` of the values that are there, in the order by, over, partition.
pub fn entity_hash<'a>(values: impl IntoIterator<Item = Option<&'a str>>) -> String {
    let mut any = false;
    let mut text = String::new();
    for value in values.into_iter().flatten() {
        any = true;
        text.push_str(value);
    }
    if !any {
        return "0_0".to_owned();
    }
    let hash = murmur3::murmur3_x64_128(&mut Cursor::new(text.as_bytes()), 0)
        .expect("a slice reads without errors");
    let (h1, h2) = (hash as u64, (hash >> 64) as u64);
    let signed = (u128::from(h1) << 64 | u128::from(h2)) as i128;
    format!("{signed}_{}", text.encode_utf16().count())
}

/// Id of a bucket.
pub fn bucket(job: &str, at: BucketStart, span: BucketSpan) -> String {
    format!("{job}_bucket_{}_{}", at.millis(), span.seconds())
}

/// Id of a record; `hash` is [`entity_hash`] of by, over, partition value.
pub fn record(job: &str, at: BucketStart, span: BucketSpan, detector: u16, hash: &str) -> String {
    format!(
        "{job}_record_{}_{}_{detector}_{hash}",
        at.millis(),
        span.seconds()
    )
}

/// Id of an influencer.
pub fn influencer(
    job: &str,
    at: BucketStart,
    span: BucketSpan,
    field: &str,
    value: &str,
) -> String {
    format!(
        "{job}_influencer_{}_{}_{field}_{}",
        at.millis(),
        span.seconds(),
        entity_hash([Some(value)])
    )
}

/// Id of a bucket influencer.
pub fn bucket_influencer(job: &str, at: BucketStart, span: BucketSpan, field: &str) -> String {
    format!(
        "{job}_bucket_influencer_{}_{}_{field}",
        at.millis(),
        span.seconds()
    )
}

/// Id of an annotation of messages of a partition that were lost from an offset on, noticed in the bucket at `at`.
pub fn loss(
    job: &str,
    at: BucketStart,
    span: BucketSpan,
    partition: &dyn std::fmt::Display,
    offset: i64,
) -> String {
    format!(
        "{job}_annotation_{}_{}_lost_{partition}_{offset}",
        at.millis(),
        span.seconds()
    )
}

/// Id of an annotation of a value of the partition field that has come from several topic partitions.
pub fn misplaced_key(job: &str, at: BucketStart, span: BucketSpan, value: &str) -> String {
    format!(
        "{job}_annotation_{}_{}_misplaced_key_{}",
        at.millis(),
        span.seconds(),
        entity_hash([Some(value)])
    )
}

/// Id of an annotation of a model's change, noticed in the bucket at `at`.
pub fn annotation(
    job: &str,
    at: BucketStart,
    span: BucketSpan,
    detector: u16,
    statistic: &str,
    hash: &str,
) -> String {
    format!(
        "{job}_annotation_{}_{}_{detector}_{statistic}_{hash}",
        at.millis(),
        span.seconds()
    )
}

/// Id of an annotation of the status of a partition's categories, or of all.
pub fn categorization_annotation(
    job: &str,
    at: BucketStart,
    span: BucketSpan,
    partition: Option<&str>,
) -> String {
    format!(
        "{job}_annotation_{}_{}_categorization_{}",
        at.millis(),
        span.seconds(),
        entity_hash([partition])
    )
}

/// Id of a model plot.
pub fn model_plot(
    job: &str,
    at: BucketStart,
    span: BucketSpan,
    detector: u16,
    hash: &str,
) -> String {
    format!(
        "{job}_model_plot_{}_{}_{detector}_{hash}",
        at.millis(),
        span.seconds()
    )
}

/// Id of a point of a forecast.
pub fn model_forecast(
    job: &str,
    forecast: &str,
    at: BucketStart,
    span: BucketSpan,
    detector: u16,
    hash: &str,
) -> String {
    format!(
        "{job}_model_forecast_{forecast}_{}_{}_{detector}_{hash}",
        at.millis(),
        span.seconds()
    )
}

/// Id of what became of a request for a forecast.
pub fn forecast_stats(job: &str, forecast: &str) -> String {
    format!("{job}_model_forecast_request_stats_{forecast}")
}

/// Id of model size statistics.
pub fn model_size_stats(job: &str, at: BucketStart) -> String {
    format!("{job}_model_size_stats_{}", at.millis())
}

/// Id of the data counts, of which there is one.
pub fn data_counts(job: &str) -> String {
    format!("{job}_data_counts")
}

/// Id of a category of messages.
pub fn category(job: &str, category: u32) -> String {
    format!("{job}_category_definition_{category}")
}

/// Id of the statistics of a partition's categorizer, or of the only one.
pub fn categorizer_stats(job: &str, at: BucketStart, partition: Option<&str>) -> String {
    let id = format!("{job}_categorizer_stats_{}", at.millis());
    match partition {
        Some(value) => format!("{id}_{}", entity_hash([Some(value)])),
        None => id,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reference values: MurmurHash3 x64 128 of "hello" is cbd8a7b341bd9b02 5b1e906a48ae1d19 (published test vector, seed 0).
    #[test]
    fn the_hash_is_the_published_one_as_a_signed_integer() {
        let expected = 0xcbd8_a7b3_41bd_9b02_5b1e_906a_48ae_1d19_u128 as i128;
        assert_eq!(entity_hash([Some("hello")]), format!("{expected}_5"));
        assert_eq!(
            entity_hash([None, Some("hel"), Some("lo")]),
            format!("{expected}_5")
        );
        assert_eq!(entity_hash([None, None]), "0_0");
        assert!(entity_hash([Some("𝄞")]).ends_with("_2"), "UTF-16 units");
    }
}
