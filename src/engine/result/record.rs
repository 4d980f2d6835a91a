//! `record`: the document that everything else leads to: what is unlikely, of which series, why, and who is to blame (results.md 3.5).

use serde::Serialize;

/// The values of one influencer field that are to blame for a record.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RecordInfluencer {
    /// Which field.
    pub influencer_field_name: String,
    /// Its values, strongest first.
    pub influencer_field_values: Vec<String>,
}

/// `record` (results.md 3.5).
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)] // named and described in results.md 3.5
pub struct Record {
    pub detector_index: u16,
    pub probability: f64,
    pub record_score: f64,
    pub initial_record_score: f64,
    pub multi_bucket_impact: f64,
    pub function: &'static str,
    pub function_description: &'static str,
    pub field_name: Option<String>,
    pub by_field_name: Option<String>,
    pub by_field_value: Option<String>,
    pub correlated_by_field_value: Option<String>,
    pub over_field_name: Option<String>,
    pub over_field_value: Option<String>,
    pub partition_field_name: Option<String>,
    pub partition_field_value: Option<String>,
    pub typical: Vec<f64>,
    pub actual: Vec<f64>,
    pub geo_results: Option<GeoResults>,
    /// What a member of a population is to blame for, the least probable first. Individual records have none.
    pub causes: Vec<Cause>,
    pub influencers: Vec<RecordInfluencer>,
    pub explanation: Explanation,
    /// Whether the by value was never seen before.
    pub first_occurrence: bool,
    /// Buckets that the series' model had learnt from.
    pub history: u32,
    /// One sentence for a person.
    pub description: String,
}

impl Record {
    /// The value and what was expected, as the record says it; of a member of a population, those of its first cause.
    pub fn told(&self) -> (&[f64], &[f64]) {
        match self.causes.first() {
            Some(cause) => (&cause.actual, &cause.typical),
            None => (&self.actual, &self.typical),
        }
    }

    /// Its partition, over and by field with their values, those that it has.
    pub fn splits(&self) -> impl Iterator<Item = (&str, &str)> {
        [
            (&self.partition_field_name, &self.partition_field_value),
            (&self.over_field_name, &self.over_field_value),
            (&self.by_field_name, &self.by_field_value),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name.as_deref()?, value.as_deref()?)))
    }

    /// Whether a field is the record's by, over or partition field.
    pub fn is_split_field(&self, name: &str) -> bool {
        [
            &self.by_field_name,
            &self.over_field_name,
            &self.partition_field_name,
        ]
        .into_iter()
        .any(|field| field.as_deref() == Some(name))
    }

    /// Whether it is about a member of a population.
    pub fn is_of_population(&self) -> bool {
        self.over_field_name.is_some()
    }
}

/// One of a population record's `causes` (results.md 3.5).
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs)] // named and described in results.md 3.5
pub struct Cause {
    pub probability: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by_field_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by_field_value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub over_field_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub over_field_value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition_field_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition_field_value: Option<String>,
    pub function: &'static str,
    pub function_description: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field_name: Option<String>,
    pub typical: Vec<f64>,
    pub actual: Vec<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub geo_results: Option<GeoResults>,
}

/// The positions of a `lat_long` record or cause, as texts that maps read.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs)] // named and described in results.md 3.5
pub struct GeoResults {
    pub typical_point: String,
    pub actual_point: String,
}

impl GeoResults {
    /// Of positions as latitude and longitude, degrees.
    pub fn of(typical: (f64, f64), actual: (f64, f64)) -> GeoResults {
        let point = |(latitude, longitude): (f64, f64)| format!("{latitude:.12},{longitude:.12}");
        GeoResults {
            typical_point: point(typical),
            actual_point: point(actual),
        }
    }
}

/// `anomaly_score_explanation` (results.md 3.6); zeros and `false` are left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[allow(missing_docs)] // named and described in results.md 3.6
pub struct Explanation {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anomaly_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anomaly_length: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub single_bucket_impact: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multi_bucket_impact: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anomaly_characteristics_impact: Option<u32>,
    #[serde(skip_serializing_if = "is_nothing")]
    pub lower_confidence_bound: Option<f64>,
    #[serde(skip_serializing_if = "is_nothing")]
    pub typical_value: Option<f64>,
    #[serde(skip_serializing_if = "is_nothing")]
    pub upper_confidence_bound: Option<f64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub high_variance_penalty: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub incomplete_bucket_penalty: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub multimodal_distribution: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub by_field_first_occurrence: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by_field_relative_rarity: Option<f64>,
    /// Ours: series of the same entity that are unusual together, where that is what made the score.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub series_together: Option<u32>,
    /// Ours: the part of this one in it, 0..=1, against that of the most blamed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub series_together_share: Option<f64>,
}

/// Absent, or 0 (results.md 3.6 leaves both out).
fn is_nothing(number: &Option<f64>) -> bool {
    number.is_none_or(|number| number == 0.0)
}
