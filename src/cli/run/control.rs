//! The control topic of a running service, followed on a thread of its own: reading may wait for brokers, tending jobs may not.
//!
//! Holds: what is on the desk is what the topic said last; where the topic is not for us, each instance goes by its own files.
//! Checked by: tests/kafka.

use super::LOOK_INTERVAL;
use crate::config::Job;
use crate::config::service::Service as Configuration;
use crate::runtime::kafka::KafkaTopics;
use crate::runtime::log::LogError;
use crate::runtime::supervisor::Agreement;
use crate::runtime::supervisor::control::{Agreed, Control, Life};
use crate::runtime::task::TopicNames;
use anyhow::Context;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Between two looks at the control topic.
const CONTROL_INTERVAL: Duration = Duration::from_secs(1);
/// Between two attempts at one that we may not read.
const CONTROL_RETRY: Duration = Duration::from_secs(60);

/// What the control topic says and what is to be claimed in it, between the thread that follows it and the one that tends the jobs.
#[derive(Clone, Default)]
pub(super) struct Desk(Arc<Mutex<Papers>>);

#[derive(Default)]
struct Papers {
    /// `None` until it is known.
    agreed: Option<Agreed>,
    claims: BTreeMap<String, u64>,
    /// The topic is not for us: each instance goes by its own files.
    is_alone: bool,
}

impl Desk {
    fn papers(&self) -> MutexGuard<'_, Papers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings the agreement up to date; whether there is one yet.
    pub(super) fn consult(
        &self,
        agreement: &mut Agreement,
        jobs: &BTreeMap<String, Arc<Job>>,
    ) -> bool {
        let mut papers = self.papers();
        let Some(agreed) = &papers.agreed else {
            return false;
        };
        agreement.update(jobs, agreed);
        papers.claims = agreement.claims().clone();
        if papers.is_alone {
            let papers = &mut *papers;
            let agreed = papers.agreed.get_or_insert_default();
            for (id, fingerprint) in std::mem::take(&mut papers.claims) {
                let life = 0;
                agreed.lives.insert(id, Life { fingerprint, life });
            }
        }
        true
    }
}

/// Follows the control topic on a thread of its own, which ends with the process: reading may wait for brokers.
pub(super) fn follow_control(configuration: &Arc<Configuration>) -> anyhow::Result<Desk> {
    let desk = Desk::default();
    let (ours, configuration) = (desk.clone(), configuration.clone());
    let follow = move || {
        loop {
            match watch_control(&configuration, &ours) {
                LogError::Unavailable(error) => {
                    tracing::warn!(error, "the control topic cannot be read; asking again");
                    thread::sleep(CONTROL_INTERVAL);
                }
                LogError::Fatal(error) => {
                    tracing::error!(
                        error,
                        "the control topic cannot be used: jobs go on, and `tidewatch jobs` cannot stop them"
                    );
                    let mut papers = ours.papers();
                    papers.is_alone = true;
                    papers.agreed.get_or_insert_default();
                    drop(papers);
                    thread::sleep(CONTROL_RETRY);
                }
            }
        }
    };
    thread::Builder::new()
        .name("control".into())
        .spawn(follow)
        .context("cannot start a thread")?;
    Ok(desk)
}

/// Keeps the desk up to date, and claims what is on it, until something fails.
fn watch_control(configuration: &Configuration, desk: &Desk) -> LogError {
    let names = TopicNames::new(&configuration.topics.prefix);
    let opened = KafkaTopics::open(&configuration.kafka, &configuration.topics)
        .and_then(|topics| Control::open(topics, &names.control()));
    let mut control = match opened {
        Ok(control) => control,
        Err(error) => return error,
    };
    loop {
        if let Err(error) = serve_desk(&mut control, desk) {
            return error;
        }
        let mut left = CONTROL_INTERVAL;
        while !left.is_zero() && desk.papers().claims.is_empty() {
            thread::sleep(LOOK_INTERVAL);
            left = left.saturating_sub(LOOK_INTERVAL);
        }
    }
}

fn serve_desk(control: &mut Control<KafkaTopics>, desk: &Desk) -> Result<(), LogError> {
    let claims = std::mem::take(&mut desk.papers().claims);
    let mut known = BTreeMap::new();
    if !claims.is_empty() {
        known = control.look()?.lives.clone();
        control.claim(&claims)?;
    }
    let agreed = control.look()?.clone();
    for id in claims.keys() {
        // A claim can be asked for again before it is heard of; and a first life is no news.
        if let (Some(before), Some(now)) = (known.get(id), agreed.lives.get(id))
            && before != now
        {
            let life = now.life;
            tracing::info!(
                job_id = id,
                life,
                "what the job computes has changed: it learns anew"
            );
        }
    }
    let mut papers = desk.papers();
    papers.agreed = Some(agreed);
    papers.is_alone = false;
    Ok(())
}
