//! `model_forecast` and `model_forecast_request_stats` (results.md 3.8): what was foretold, and what became of the request.
//!
//! Units: milliseconds; values as they come. Holds: times that are zero, and what only a clock knows where there is none, are left out.

use super::write::write_names;
use serde::Serialize;
use serde::ser::SerializeMap;

/// What is expected of a series in a bucket to come.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)] // named and described in results.md 3.8
pub struct ModelForecast {
    pub forecast_id: String,
    pub detector_index: u16,
    pub by_field_name: Option<String>,
    pub by_field_value: Option<String>,
    pub partition_field_name: Option<String>,
    pub partition_field_value: Option<String>,
    pub model_feature: &'static str,
    pub forecast_lower: f64,
    pub forecast_upper: f64,
    pub forecast_prediction: f64,
}

/// How far a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ForecastStatus {
    /// Its points are being written.
    Started,
    /// All is written.
    Finished,
    /// Nothing could be foretold; the messages say why.
    Failed,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)] // named and described in results.md 3.8
pub struct ForecastStats {
    pub job_id: String,
    pub forecast_id: String,
    pub processed_record_count: u64,
    pub forecast_messages: Vec<String>,
    /// The bucket that it begins with, as `forecast_start_timestamp`.
    pub start_ms: i64,
    pub end_ms: i64,
    /// When it was asked for; 0 where no clock was asked.
    pub create_ms: i64,
    /// 0: never.
    pub expiry_ms: i64,
    /// 0..=1.
    pub forecast_progress: f64,
    /// 0 where no clock was asked.
    pub processing_time_ms: u64,
    pub forecast_memory_bytes: u64,
    pub forecast_status: ForecastStatus,
}

impl ModelForecast {
    pub(super) fn write<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("forecast_id", &self.forecast_id)?;
        map.serialize_entry("detector_index", &self.detector_index)?;
        write_names(
            map,
            [
                ("partition_field_name", &self.partition_field_name),
                ("partition_field_value", &self.partition_field_value),
            ],
        )?;
        write_names(
            map,
            [
                ("by_field_name", &self.by_field_name),
                ("by_field_value", &self.by_field_value),
            ],
        )?;
        map.serialize_entry("model_feature", self.model_feature)?;
        map.serialize_entry("forecast_lower", &self.forecast_lower)?;
        map.serialize_entry("forecast_upper", &self.forecast_upper)?;
        map.serialize_entry("forecast_prediction", &self.forecast_prediction)
    }
}

impl ForecastStats {
    /// All but the head.
    pub(super) fn write<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("forecast_id", &self.forecast_id)?;
        map.serialize_entry("processed_record_count", &self.processed_record_count)?;
        map.serialize_entry("forecast_messages", &self.forecast_messages)?;
        map.serialize_entry("timestamp", &self.start_ms)?;
        let times = [
            ("forecast_start_timestamp", self.start_ms),
            ("forecast_end_timestamp", self.end_ms),
            ("forecast_create_timestamp", self.create_ms),
            ("forecast_expiry_timestamp", self.expiry_ms),
        ];
        for (name, ms) in times.into_iter().filter(|(_, ms)| *ms != 0) {
            map.serialize_entry(name, &ms)?;
        }
        map.serialize_entry("forecast_progress", &self.forecast_progress)?;
        if self.processing_time_ms > 0 {
            map.serialize_entry("processing_time_ms", &self.processing_time_ms)?;
        }
        map.serialize_entry("forecast_memory_bytes", &self.forecast_memory_bytes)?;
        map.serialize_entry("forecast_status", &self.forecast_status)
    }
}
