//! Results older than a job keeps them (`results_retention_days`) are withdrawn, once a day of its event time.
//!
//! Age counts from the job's last final bucket, not from the clock, as in Elastic: a job that learns from history keeps what is recent there. Whoever writes the
//! buckets of a job sees to it: [`Expiry`] stands before the service's observer, hears when a bucket is final, and has the results topics read on a thread of its own,
//! with a client of its own; the service goes on. What it writes are tombstones of documents that nobody is to see any more, so it needs no transaction: said twice, or
//! by somebody who has been replaced, they say the same. A look that fails is made again an hour later. Statistics of the job and categories have no age.

use super::clock::Clock;
use super::log::{LogError, Topics};
use super::observer::{Fact, Observer};
use super::standing::withdraw;
use super::task::TopicNames;
use crate::engine::result::DocumentKind;
use crate::time::{EventTime, Finality};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

const DAY_MS: i64 = 86_400_000;

/// Between two looks, milliseconds of the steady clock, whatever the time of events: history passes by many days an hour.
const PAUSE_MS: i64 = 3_600_000;

/// The kinds that grow old.
const KINDS: [DocumentKind; 6] = [
    DocumentKind::Bucket,
    DocumentKind::BucketInfluencer,
    DocumentKind::Influencer,
    DocumentKind::Record,
    DocumentKind::ModelPlot,
    DocumentKind::Annotation,
];

/// Opens what a look needs.
pub type Open<L> = dyn Fn() -> Result<L, LogError> + Send + Sync;

/// Listens to the service of one job, and withdraws its old results.
pub struct Expiry<L> {
    /// Who else listens.
    next: Arc<dyn Observer>,
    clock: Arc<dyn Clock>,
    job_id: String,
    /// How long results are kept, milliseconds of event time.
    keep_ms: i64,
    topics: Vec<String>,
    open: Arc<Open<L>>,
    looks: Mutex<Looks>,
}

#[derive(Default)]
struct Looks {
    /// The day of events of the last look, and when that was.
    last: Option<(i64, i64)>,
    thread: Option<JoinHandle<()>>,
}

impl<L: Topics + 'static> Expiry<L> {
    /// For a job that keeps its results so many milliseconds, in topics of these names.
    pub fn new(
        next: Arc<dyn Observer>,
        clock: Arc<dyn Clock>,
        (job_id, keep_ms): (&str, i64),
        names: &TopicNames,
        open: Arc<Open<L>>,
    ) -> Expiry<L> {
        Expiry {
            next,
            clock,
            job_id: job_id.to_owned(),
            keep_ms,
            topics: KINDS.map(|kind| names.results(kind).to_string()).into(),
            open,
            looks: Mutex::default(),
        }
    }

    /// Looks, where it is time to: a bucket of this time is final.
    fn hear(&self, bucket_ms: i64) {
        let now_ms = self.clock.steady_ms();
        let day = bucket_ms.div_euclid(DAY_MS);
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        let is_early = |(last, at_ms): (i64, i64)| day <= last || now_ms - at_ms < PAUSE_MS;
        let is_busy = |thread: &JoinHandle<()>| !thread.is_finished();
        if looks.last.is_some_and(is_early) || looks.thread.as_ref().is_some_and(is_busy) {
            return;
        }
        looks.last = Some((day, now_ms));
        let before_ms = bucket_ms.saturating_sub(self.keep_ms);
        let (open, next) = (Arc::clone(&self.open), Arc::clone(&self.next));
        let (topics, job_id) = (self.topics.clone(), self.job_id.clone());
        let look = move || {
            let looked =
                open().and_then(|mut log| withdraw(&mut log, &topics, &job_id, Some(before_ms)));
            let fact = match looked {
                Ok(documents) => Fact::Expired {
                    documents,
                    before: EventTime(before_ms),
                },
                Err(error) => Fact::NotExpired {
                    error: error.to_string(),
                },
            };
            next.observe(&job_id, &fact);
        };
        match thread::Builder::new().name("expiry".to_owned()).spawn(look) {
            Ok(thread) => looks.thread = Some(thread),
            Err(error) => {
                let error = error.to_string();
                self.next.observe(&self.job_id, &Fact::NotExpired { error });
            }
        }
    }
}

impl<L: Topics + 'static> Observer for Expiry<L> {
    fn observe(&self, job_id: &str, fact: &Fact<'_>) {
        self.next.observe(job_id, fact);
        if let Fact::Bucket { summary, .. } = fact
            && summary.finality == Finality::Final
        {
            self.hear(summary.start.millis());
        }
    }
}
