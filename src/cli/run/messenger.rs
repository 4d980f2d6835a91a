//! The receivers of alerts of a running service: a thread for each, which is tried again, later and later, like a job.
//!
//! Checked by: tests/kafka/alerts.rs.

use super::{LOOK_INTERVAL, alert_settings, millis};
use crate::config::service::{Kafka, Receiver, Service as Configuration};
use crate::runtime::alerts::alertmanager::Links;
use crate::runtime::alerts::dispatcher::{self, Dispatcher, Manner};
use crate::runtime::alerts::http::HttpPost;
use crate::runtime::clock::{Clock, SystemClock};
use crate::runtime::kafka::KafkaLog;
use crate::runtime::log::{NewTopic, Topics};
use crate::runtime::shutdown::Shutdown;
use crate::runtime::task::TopicNames;
use crate::runtime::telemetry::Telemetry;
use anyhow::Context;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Before a receiver that failed is tried again; doubled each time.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(60);

/// A thread for each receiver of alerts.
pub(super) fn start_messengers(
    configuration: &Arc<Configuration>,
    telemetry: &Arc<Telemetry>,
    shutdown: &Shutdown,
) -> anyhow::Result<Vec<JoinHandle<bool>>> {
    let receivers = &configuration.alerts.receivers;
    telemetry.expect_receivers(receivers.iter().map(|receiver| receiver.name.as_str()));
    let start = |receiver: &Receiver| {
        let messenger = Messenger {
            receiver: receiver.clone(),
            configuration: configuration.clone(),
            telemetry: telemetry.clone(),
            shutdown: shutdown.clone(),
        };
        thread::Builder::new()
            .name(format!("alerts {}", receiver.name))
            .spawn(move || messenger.run())
            .context("cannot start a thread")
    };
    receivers.iter().map(start).collect()
}

/// Sees to it that one receiver is told of alerts.
struct Messenger {
    receiver: Receiver,
    configuration: Arc<Configuration>,
    telemetry: Arc<Telemetry>,
    shutdown: Shutdown,
}

impl Messenger {
    /// Whether it ended in order. One that fails is tried again, later and later, like a job.
    fn run(self) -> bool {
        let mut wait = RETRY_FIRST;
        while !self.shutdown.is_asked() {
            let Err(error) = self.attempt() else {
                return true;
            };
            let error = format!("{error:#}");
            if self.shutdown.is_asked() {
                tracing::error!(receiver = self.receiver.name, error, "not ended in order");
                return false;
            }
            tracing::error!(receiver = self.receiver.name, error, again_in = ?wait, "nobody tells this receiver of alerts");
            let mut left = wait;
            while !left.is_zero() && !self.shutdown.is_asked() {
                let step = left.min(LOOK_INTERVAL);
                thread::sleep(step);
                left -= step;
            }
            wait = (wait * 2).min(RETRY_MAX);
        }
        true
    }

    fn attempt(&self) -> anyhow::Result<()> {
        let configuration = &self.configuration;
        let names = TopicNames::new(&configuration.topics.prefix);
        let kafka = Kafka {
            group_id: dispatcher::group_of(&configuration.kafka.group_id, &self.receiver.name),
            ..configuration.kafka.clone()
        };
        let mut log = KafkaLog::open(&kafka, &configuration.topics)?;
        let settings = alert_settings(configuration).unwrap_or_default();
        let topics: Vec<NewTopic> = settings.topics(&names);
        log.create(&topics)?;
        let manner = Manner {
            receiver: self.receiver.clone(),
            topic: names.alerts(),
            links: Links {
                external_url: configuration.alerts.external_url.clone(),
                generator_url: configuration.alerts.generator_url.clone(),
            },
            max_age_ms: millis(configuration.alerts.max_age),
            resend_interval_ms: millis(configuration.alerts.resend_interval),
        };
        let post = Box::new(HttpPost::new(&self.receiver)?);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let mut dispatcher = Dispatcher::start(log, post, clock, self.telemetry.clone(), manner)?;
        tracing::info!(
            receiver = self.receiver.name,
            group = kafka.group_id,
            "tells of alerts"
        );
        Ok(dispatcher.run(&self.shutdown)?)
    }
}
