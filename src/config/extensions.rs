//! What a job may say beyond Elastic's words: the top-level object `tidewatch`, every key of it optional.
//!
//! Units are milliseconds. Holds: no duration is negative; `shards` lies in 1..=[`Extensions::SHARDS_MAX`].

use crate::time::Zone;
use std::collections::BTreeMap;

/// Placement and patience of a job on Kafka.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extensions {
    /// `keyed_by_partition_field`: the input topics' message key decides the Kafka partition by the value of the detectors'
    /// common partition field, so that one value never shows in two Kafka partitions.
    pub keyed_by_partition_field: bool,
    /// `max_future_skew`: how far ahead of its Kafka message's timestamp an event may be, milliseconds, at least 0.
    pub max_future_skew_ms: i64,
    /// `shards`: over how many judges a staged job's series are spread when its topics are made.
    pub shards: u16,
    /// `idle_timeout`: how long an input partition without lag may be silent before the job stops waiting for it, milliseconds,
    /// at least 1.
    pub idle_timeout_ms: i64,
    /// `interim_interval`: how often the open bucket's interim results are published, milliseconds; 0 turns them off.
    pub interim_interval_ms: i64,
    /// `time_zone`: on whose walls `time_of_day` and `time_of_week` read the time.
    pub time_zone: Zone,
    /// `late_revision_window`: how far behind the watermark an event may be and still re-open its bucket's result, milliseconds, whole buckets; 0:
    /// such events are refused.
    pub late_revision_ms: i64,
    /// `start`: where reading begins in an input partition that the job has no position in.
    pub start: Start,
    /// `input` and `input_layout`: what the messages of the job's topics are. Files are looked at instead.
    pub input: Input,
}

impl Extensions {
    /// The most shards that a job may have.
    pub const SHARDS_MAX: u16 = 1024;
    /// The most buckets whose results may be re-opened.
    pub const LATE_REVISION_BUCKETS_MAX: i64 = 64;
}

impl Default for Extensions {
    fn default() -> Extensions {
        Extensions {
            keyed_by_partition_field: false,
            max_future_skew_ms: 86_400_000,
            shards: 4,
            idle_timeout_ms: 30_000,
            interim_interval_ms: 10_000,
            time_zone: Zone::UTC,
            late_revision_ms: 0,
            start: Start::Earliest,
            input: Input::Json,
        }
    }
}

/// What the messages of a job's topics are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Input {
    /// JSON objects.
    #[default]
    Json,
    /// Lines of text, one a message, laid out so; and JSON, where a message is one object.
    Text(LineLayout),
}

/// How a line of text is laid out behind its time, if it has one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LineLayout {
    /// As each can hardly be meant otherwise: as syslog's if its time is written as syslog writes it, as a web server's if all of it is, else plain.
    #[default]
    ByLine,
    /// A message.
    Plain,
    /// A host, a process and a message, by RFC 3164 or RFC 5424, however the time is written.
    Syslog,
    /// A request, in the common or the combined format.
    WebServer,
}

impl LineLayout {
    /// As `input_layout` says it; `None`: by not saying it.
    pub fn name(self) -> Option<&'static str> {
        match self {
            LineLayout::ByLine => None,
            LineLayout::Plain => Some("plain"),
            LineLayout::Syslog => Some("syslog"),
            LineLayout::WebServer => Some("web_server"),
        }
    }
}

/// Where a job begins to read an input partition, when nothing is committed for it and no snapshot is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// At the oldest message that the log still holds.
    #[default]
    Earliest,
    /// After the newest message there is at that moment.
    Latest,
    /// At the first message whose timestamp is not before this instant, milliseconds since the epoch; after the last if all are older.
    Time(i64),
    /// At these offsets, by topic and partition; where none is given, at the oldest message.
    Offsets(BTreeMap<(String, i32), i64>),
}
