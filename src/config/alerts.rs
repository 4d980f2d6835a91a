//! When a job's anomalies become alerts: thresholds, grouping, silences, limits.
//!
//! [`AlertPolicy`] is what holds for one job, [`AlertWords`] what somebody said of it: in the job (`tidewatch.alerts`) or for all jobs of
//! a service (`alerts.defaults`); what is not said stays as it is. Scores lie in 0..=100, times are event time in milliseconds. Holds: `resolve_below`
//! never exceeds `threshold`. An alert changes no result, so none of this is part of a job's fingerprint.

use std::collections::BTreeMap;

/// Whose score is held against the threshold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AlertSubject {
    /// `record`: each anomaly record's `record_score`.
    #[default]
    Record,
    /// `influencer`: each influencer's `influencer_score`.
    Influencer,
    /// `bucket`: the bucket's `anomaly_score`; the entity is the whole job.
    Bucket,
}

/// What makes two anomalies one incident, beside their time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum GroupBy {
    /// `entity`: the value to blame.
    #[default]
    Entity,
    /// `job`: nothing; a job has one incident at a time.
    Job,
    /// The values of these fields.
    Fields(Vec<String>),
}

/// Incidents that nobody wants to be told of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Silence {
    /// From this instant of event time on; `None`: since ever.
    pub from_ms: Option<i64>,
    /// Until before this one; `None`: for ever.
    pub until_ms: Option<i64>,
    /// Fields of the entity and their values, in which `*` stands for any text; all must fit. Empty: every incident of the job.
    pub fields: BTreeMap<String, String>,
    /// Why.
    pub comment: String,
}

impl Silence {
    /// Whether it covers an incident of `entity` at `time_ms`.
    pub fn covers(&self, time_ms: i64, entity: &BTreeMap<String, String>) -> bool {
        let fits = |(field, pattern): (&String, &String)| {
            entity
                .get(field)
                .is_some_and(|value| super::service::fits(value, pattern))
        };
        self.from_ms.is_none_or(|from| time_ms >= from)
            && self.until_ms.is_none_or(|until| time_ms < until)
            && self.fields.iter().all(fits)
    }
}

/// When a job's anomalies become alerts.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertPolicy {
    /// Whose score counts.
    pub subject: AlertSubject,
    /// An incident begins at this score.
    pub threshold: f64,
    /// It goes on while there is this score; at most `threshold`.
    pub resolve_below: f64,
    /// It ends when for so long there was none; `None`: two buckets.
    pub resolve_after_ms: Option<i64>,
    /// While it goes on it is told again this often.
    pub repeat_interval_ms: i64,
    /// Whether a bucket that is still open may begin one.
    pub include_interim: bool,
    /// What makes two anomalies one incident.
    pub group_by: GroupBy,
    /// At most so many incidents are announced within `rate_window_ms`; 0: no limit.
    pub rate_limit: u32,
    /// See `rate_limit`.
    pub rate_window_ms: i64,
    /// What is not announced.
    pub silences: Vec<Silence>,
}

impl AlertPolicy {
    /// The part of `threshold` that keeps an incident going, when nothing else is said.
    pub const RESOLVE_SHARE: f64 = 2.0 / 3.0;
}

impl Default for AlertPolicy {
    fn default() -> AlertPolicy {
        AlertPolicy {
            subject: AlertSubject::Record,
            threshold: 75.0,
            resolve_below: 75.0 * AlertPolicy::RESOLVE_SHARE,
            resolve_after_ms: None,
            repeat_interval_ms: 3_600_000,
            include_interim: false,
            group_by: GroupBy::Entity,
            rate_limit: 20,
            rate_window_ms: 3_600_000,
            silences: Vec::new(),
        }
    }
}

/// What was said; `None` leaves the matter to whoever speaks for more jobs.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)] // named as in AlertPolicy
pub struct AlertWords {
    pub subject: Option<AlertSubject>,
    pub threshold: Option<f64>,
    pub resolve_below: Option<f64>,
    pub resolve_after_ms: Option<i64>,
    pub repeat_interval_ms: Option<i64>,
    pub include_interim: Option<bool>,
    pub group_by: Option<GroupBy>,
    pub rate_limit: Option<u32>,
    pub rate_window_ms: Option<i64>,
    pub silences: Vec<Silence>,
}

impl AlertWords {
    /// The policy that follows from `base` and these words. Silences add up; a threshold moves `resolve_below` with it unless that is said too.
    pub fn over(&self, base: &AlertPolicy) -> AlertPolicy {
        let threshold = self.threshold.unwrap_or(base.threshold);
        let resolve_below = match (self.resolve_below, self.threshold) {
            (Some(score), _) => score,
            (None, Some(threshold)) => threshold * AlertPolicy::RESOLVE_SHARE,
            (None, None) => base.resolve_below,
        };
        let silences = base.silences.iter().chain(&self.silences);
        AlertPolicy {
            subject: self.subject.unwrap_or(base.subject),
            threshold,
            resolve_below: resolve_below.min(threshold),
            resolve_after_ms: self.resolve_after_ms.or(base.resolve_after_ms),
            repeat_interval_ms: self.repeat_interval_ms.unwrap_or(base.repeat_interval_ms),
            include_interim: self.include_interim.unwrap_or(base.include_interim),
            group_by: self.group_by.clone().unwrap_or(base.group_by.clone()),
            rate_limit: self.rate_limit.unwrap_or(base.rate_limit),
            rate_window_ms: self.rate_window_ms.unwrap_or(base.rate_window_ms),
            silences: silences.cloned().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_speaks_for_fewer_jobs_has_the_last_word_and_a_threshold_takes_its_hysteresis_along() {
        let service = AlertWords {
            threshold: Some(60.0),
            rate_limit: Some(5),
            ..AlertWords::default()
        };
        let all = service.over(&AlertPolicy::default());
        assert_eq!(
            (all.threshold, all.resolve_below, all.rate_limit),
            (60.0, 40.0, 5)
        );
        let job = AlertWords {
            threshold: Some(30.0),
            resolve_below: Some(90.0),
            ..AlertWords::default()
        };
        let one = job.over(&all);
        assert_eq!(
            (one.threshold, one.resolve_below, one.rate_limit),
            (30.0, 30.0, 5)
        );
        assert_eq!(AlertWords::default().over(&all), all);
    }

    #[test]
    fn a_silence_covers_what_all_of_its_fields_fit_while_it_lasts() {
        let entity = BTreeMap::from([("host.name".to_owned(), "web-03".to_owned())]);
        let silence = |field: &str, pattern: &str| Silence {
            from_ms: Some(100),
            until_ms: Some(200),
            fields: BTreeMap::from([(field.to_owned(), pattern.to_owned())]),
            comment: String::new(),
        };
        assert!(silence("host.name", "web-*").covers(100, &entity));
        assert!(!silence("host.name", "web-*").covers(200, &entity));
        assert!(!silence("host.name", "db-*").covers(150, &entity));
        assert!(!silence("service.name", "*").covers(150, &entity));
        assert!(Silence::default().covers(0, &BTreeMap::new()));
    }
}
