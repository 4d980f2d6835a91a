//! What several instances say of the same jobs, together.
//!
//! Pure. A job's lag is the sum over instances, its watermark the least, its memory and last bucket those of the instance that published the newest bucket (its
//! rollup is there). Its state is the one that somebody should know of: failed before restoring before catching up; an instance without a
//! partition says nothing about the job. Times are milliseconds since the epoch, sizes bytes, rates per second.

use super::look::{Bucket, Hot, Job, Look, Memory, Outcome};
use std::collections::BTreeMap;

/// All that is shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct View {
    pub(super) instances: Vec<Instance>,
    pub(super) jobs: Vec<JobView>,
    /// The strongest first.
    pub(super) hottest: Vec<Entity>,
}

/// One instance.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Instance {
    pub(super) url: String,
    /// Or why it is not known.
    pub(super) facts: Result<Facts, String>,
}

/// How it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Facts {
    pub(super) version: String,
    pub(super) timestamp_ms: i64,
    pub(super) live: bool,
    pub(super) ready: bool,
    pub(super) resident_bytes: Option<f64>,
    /// Cores in use.
    pub(super) cpu: Option<f64>,
}

/// One job on all of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct JobView {
    pub(super) id: String,
    pub(super) state: String,
    pub(super) error: Option<String>,
    /// Instances that have a partition of it.
    pub(super) instances: usize,
    pub(super) lag_messages: u64,
    /// Whether every instance knows its lag.
    pub(super) lag_is_whole: bool,
    pub(super) watermark_ms: Option<i64>,
    pub(super) delay_ms: Option<i64>,
    pub(super) events_per_second: Option<f64>,
    pub(super) memory: Memory,
    pub(super) last_bucket: Option<Bucket>,
}

/// Somebody or something that stood out lately.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Entity {
    pub(super) name: String,
    pub(super) job: String,
    /// Of its strongest record.
    pub(super) score: f64,
    pub(super) function: String,
    pub(super) timestamp_ms: i64,
    pub(super) actual: Option<f64>,
    pub(super) typical: Option<f64>,
    /// How many of the hottest records name it.
    pub(super) records: usize,
}

impl View {
    /// Of a look at every instance, and of one before, for rates.
    pub(super) fn of(looks: &[Look], before: &[Look]) -> View {
        let mut jobs: BTreeMap<String, JobView> = BTreeMap::new();
        let mut entities: BTreeMap<(String, String), Entity> = BTreeMap::new();
        let mut instances = Vec::new();
        for look in looks {
            let earlier = before.iter().find(|earlier| earlier.url == look.url);
            let rates = Rates::between(earlier, look);
            instances.push(Instance {
                url: look.url.clone(),
                facts: facts(look, &rates),
            });
            let Ok(outcome) = &look.outcome else {
                continue;
            };
            for (id, job) in &outcome.health.jobs {
                let view = jobs.entry(id.clone()).or_insert_with(|| JobView {
                    id: id.clone(),
                    lag_is_whole: true,
                    ..JobView::default()
                });
                view.add(job, outcome.health.timestamp_ms, rates.events(id));
                for hot in &job.hottest {
                    add_entities(&mut entities, id, hot);
                }
            }
        }
        let mut hottest: Vec<Entity> = entities.into_values().collect();
        hottest.sort_by(|a, b| {
            let by_score = b.score.total_cmp(&a.score);
            by_score
                .then(b.timestamp_ms.cmp(&a.timestamp_ms))
                .then_with(|| a.name.cmp(&b.name))
        });
        View {
            instances,
            jobs: jobs.into_values().collect(),
            hottest,
        }
    }

    /// Whether any instance has answered.
    pub(super) fn is_answered(&self) -> bool {
        self.instances.iter().any(|one| one.facts.is_ok())
    }
}

impl JobView {
    fn add(&mut self, job: &Job, now_ms: i64, rate: Option<f64>) {
        if rank(&job.state) >= rank(&self.state) {
            self.state = job.state.clone();
        }
        if self.error.is_none() {
            self.error = job.error.clone();
        }
        self.instances += usize::from(!job.partitions.is_empty());
        match job.lag_messages {
            Some(lag) => self.lag_messages = self.lag_messages.saturating_add(lag),
            None => self.lag_is_whole = false,
        }
        if let Some(watermark_ms) = job.watermark_timestamp_ms {
            let least_ms = self
                .watermark_ms
                .map_or(watermark_ms, |held| held.min(watermark_ms));
            if self.watermark_ms != Some(least_ms) {
                self.delay_ms = Some(now_ms.saturating_sub(least_ms));
            }
            self.watermark_ms = Some(least_ms);
        }
        if let Some(rate) = rate {
            self.events_per_second = Some(self.events_per_second.unwrap_or(0.0) + rate);
        }
        let start = |bucket: &Option<Bucket>| bucket.as_ref().map(|bucket| bucket.timestamp_ms);
        if start(&job.last_bucket) >= start(&self.last_bucket) {
            self.last_bucket = job.last_bucket.clone();
            self.memory = job.memory.clone();
        }
    }
}

/// Which of two states is told.
fn rank(state: &str) -> u8 {
    match state {
        "failed" => 5,
        "restoring" => 4,
        "catching_up" => 3,
        "live" => 2,
        "starting" => 1,
        "" => 0,
        // Of a later build.
        _ => 3,
    }
}

fn facts(look: &Look, rates: &Rates<'_>) -> Result<Facts, String> {
    let outcome = look.outcome.as_ref().map_err(String::clone)?;
    Ok(Facts {
        version: outcome.health.version.clone(),
        timestamp_ms: outcome.health.timestamp_ms,
        live: outcome.health.live,
        ready: outcome.health.ready,
        resident_bytes: outcome.resident_bytes,
        cpu: rates.cpu(),
    })
}

fn add_entities(entities: &mut BTreeMap<(String, String), Entity>, job: &str, hot: &Hot) {
    let mut names: Vec<String> = Vec::new();
    // A field may have one value as the series' own and another to blame.
    for (field, value) in hot.influencers.iter().chain(&hot.entity) {
        let name = format!("{field}={value}");
        if !names.contains(&name) {
            names.push(name);
        }
    }
    for name in names {
        let entity = entities
            .entry((job.to_owned(), name.clone()))
            .or_insert_with(|| Entity {
                name,
                job: job.to_owned(),
                ..Entity::default()
            });
        entity.records += 1;
        if entity.records == 1 || hot.record_score > entity.score {
            entity.score = hot.record_score;
            entity.function = hot.function.clone();
            entity.timestamp_ms = hot.timestamp_ms;
            entity.actual = hot.actual.first().copied();
            entity.typical = hot.typical.first().copied();
        }
    }
}

/// Differences between two looks at an instance.
struct Rates<'l> {
    seconds: f64,
    pair: Option<(&'l Outcome, &'l Outcome)>,
}

impl<'l> Rates<'l> {
    fn between(before: Option<&'l Look>, after: &'l Look) -> Rates<'l> {
        let seconds = before.map(|before| after.at.saturating_duration_since(before.at));
        let before = before.and_then(|before| before.outcome.as_ref().ok());
        Rates {
            seconds: seconds.map_or(0.0, |seconds| seconds.as_secs_f64()),
            pair: before.zip(after.outcome.as_ref().ok()),
        }
    }

    /// `None` where it is not known: no look before, or an instance that has begun anew in between.
    fn rate(&self, before: Option<f64>, after: Option<f64>) -> Option<f64> {
        let grown = after? - before?;
        (self.seconds > 0.0 && grown >= 0.0).then(|| grown / self.seconds)
    }

    fn events(&self, job: &str) -> Option<f64> {
        let (before, after) = self.pair?;
        let of = |outcome: &Outcome| outcome.events.get(job).copied();
        self.rate(of(before), of(after))
    }

    fn cpu(&self) -> Option<f64> {
        let (before, after) = self.pair?;
        self.rate(before.cpu_seconds, after.cpu_seconds)
    }
}

#[cfg(test)]
#[allow(
    clippy::disallowed_methods,
    reason = "a moment to count from, whichever"
)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    fn look(url: &str, at: Instant, events: f64, job: Job) -> Look {
        let mut outcome = Outcome::default();
        outcome.health.timestamp_ms = 100_000;
        outcome.health.jobs.insert("web".to_owned(), job);
        outcome.events.insert("web".to_owned(), events);
        Look {
            url: url.to_owned(),
            at,
            outcome: Ok(outcome),
        }
    }

    fn job(state: &str, lag: Option<u64>, watermark: Option<i64>) -> Job {
        Job {
            state: state.to_owned(),
            lag_messages: lag,
            watermark_timestamp_ms: watermark,
            partitions: vec![serde_json::Value::Null],
            ..Job::default()
        }
    }

    #[test]
    fn a_job_on_two_instances_is_one_line_of_both() {
        let start = Instant::now();
        let later = start + Duration::from_secs(2);
        let rollup = Job {
            last_bucket: Some(Bucket {
                timestamp_ms: 60_000,
                ..Bucket::default()
            }),
            memory: Memory {
                model_bytes: 77,
                ..Memory::default()
            },
            ..job("live", Some(3), Some(90_000))
        };
        let other = job("catching_up", Some(4), Some(70_000));
        let before = [
            look("a", start, 10.0, rollup.clone()),
            look("b", start, 5.0, other.clone()),
        ];
        let after = [
            look("a", later, 30.0, rollup),
            look("b", later, 15.0, other),
        ];
        let view = View::of(&after, &before);
        let [web] = &view.jobs[..] else {
            panic!("{view:?}")
        };
        assert_eq!((web.state.as_str(), web.instances), ("catching_up", 2));
        assert_eq!((web.lag_messages, web.lag_is_whole), (7, true));
        assert_eq!(
            (web.watermark_ms, web.delay_ms),
            (Some(70_000), Some(30_000))
        );
        assert_eq!(web.events_per_second, Some(15.0));
        assert_eq!(web.memory.model_bytes, 77);
    }

    #[test]
    fn a_rate_needs_two_looks_at_the_same_life() {
        let start = Instant::now();
        let first = [look("a", start, 30.0, job("live", None, None))];
        assert_eq!(View::of(&first, &[]).jobs[0].events_per_second, None);
        let reborn = [look(
            "a",
            start + Duration::from_secs(1),
            2.0,
            job("live", None, None),
        )];
        let view = View::of(&reborn, &first);
        assert_eq!(view.jobs[0].events_per_second, None);
        assert!(!view.jobs[0].lag_is_whole);
    }

    #[test]
    fn an_instance_that_waits_for_partitions_says_nothing_about_the_job() {
        let start = Instant::now();
        let idle = Job {
            partitions: Vec::new(),
            ..job("starting", Some(0), None)
        };
        let looks = [
            look("a", start, 0.0, idle),
            look("b", start, 0.0, job("live", Some(0), Some(1))),
        ];
        let view = View::of(&looks, &[]);
        assert_eq!(
            (view.jobs[0].state.as_str(), view.jobs[0].instances),
            ("live", 1)
        );
    }

    #[test]
    fn an_entity_has_the_score_of_its_strongest_record() {
        let map = |field: &str, value: &str| BTreeMap::from([(field.to_owned(), value.to_owned())]);
        let hot = |score: f64, user: &str| Hot {
            record_score: score,
            entity: map("host", "h1"),
            influencers: map("user", user),
            ..Hot::default()
        };
        let both = Hot {
            influencers: map("host", "h1"),
            ..hot(20.0, "")
        };
        let job = Job {
            hottest: vec![hot(90.0, "ada"), hot(40.0, "ben"), both],
            ..job("live", None, None)
        };
        let view = View::of(&[look("a", Instant::now(), 0.0, job)], &[]);
        let seen: Vec<(&str, f64, usize)> = view
            .hottest
            .iter()
            .map(|one| (one.name.as_str(), one.score, one.records))
            .collect();
        assert_eq!(
            seen,
            [
                ("host=h1", 90.0, 3),
                ("user=ada", 90.0, 1),
                ("user=ben", 40.0, 1)
            ]
        );
    }

    #[test]
    fn an_instance_that_does_not_answer_is_named_with_the_reason() {
        let look = Look {
            url: "http://b".to_owned(),
            at: Instant::now(),
            outcome: Err("refused".to_owned()),
        };
        let view = View::of(&[look], &[]);
        assert_eq!(view.instances[0].facts, Err("refused".to_owned()));
        assert!(!view.is_answered());
    }
}
