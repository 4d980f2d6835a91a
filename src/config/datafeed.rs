//! Where a job's events come from: `datafeed_config`.

/// The part of `datafeed_config` that means something on topics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Datafeed {
    /// `indices`: topic names, or patterns that begin with `^` (a regular expression, as librdkafka takes it).
    pub topics: Vec<String>,
}
