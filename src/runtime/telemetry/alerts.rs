//! Counts and log lines of alerts.

use super::catalogue as metric;
use crate::alert::{Change, Delivery, Notice, entity_text};
use crate::runtime::observer::Fact;
use prometheus::{IntCounterVec, Registry};

/// What is counted of incidents and of those who are told.
pub(super) struct AlertMetrics {
    notices: IntCounterVec,
    held_back: IntCounterVec,
    states_lost: IntCounterVec,
    notifications: IntCounterVec,
}

impl AlertMetrics {
    pub(super) fn new(to: &Registry) -> AlertMetrics {
        AlertMetrics {
            notices: metric::ALERTS.counter(to),
            held_back: metric::ALERTS_HELD_BACK.counter(to),
            states_lost: metric::ALERT_STATES_LOST.counter(to),
            notifications: metric::NOTIFICATIONS.counter(to),
        }
    }

    pub(super) fn begin_at_zero(&self, job_id: &str) {
        for change in [Change::Opened, Change::Updated, Change::Resolved] {
            self.notices.with_label_values(&[job_id, event(change)]);
        }
        for reason in ["silence", "rate_limit"] {
            self.held_back.with_label_values(&[job_id, reason]);
        }
        self.states_lost.with_label_values(&[job_id]);
    }

    pub(super) fn expect_receiver(&self, name: &str) {
        for outcome in ["delivered", "failed", "refused", "stale"] {
            self.notifications.with_label_values(&[name, outcome]);
        }
    }

    pub(super) fn observe(&self, job_id: &str, fact: &Fact<'_>) {
        match fact {
            Fact::Alert { notice } => self.notice(job_id, notice),
            Fact::AlertStateAwaited { at, version } => {
                tracing::info!(
                    job_id, %at, version,
                    "the state of alerts cannot be read yet, because a transaction is open before it; waiting for that"
                );
            }
            Fact::AlertStateUnusable { error } => {
                self.states_lost.with_label_values(&[job_id]).inc();
                tracing::error!(
                    job_id,
                    error,
                    "the state of alerts cannot be read: incidents that go on are forgotten, and nobody is told of their end"
                );
            }
            Fact::Notified {
                receiver,
                outcome,
                alerts,
            } => self
                .notifications
                .with_label_values(&[*receiver, *outcome])
                .inc_by(*alerts),
            _ => {}
        }
    }

    fn notice(&self, job_id: &str, notice: &Notice) {
        let incident = &notice.incident;
        let labels = [job_id, event(notice.change)];
        self.notices.with_label_values(&labels).inc();
        let reason = match incident.delivery {
            Delivery::Silenced => Some("silence"),
            Delivery::RateLimited => Some("rate_limit"),
            Delivery::Notify => None,
        };
        if let (Some(reason), Change::Opened) = (reason, notice.change) {
            self.held_back.with_label_values(&[job_id, reason]).inc();
        }
        tracing::info!(job_id, event = event(notice.change), entity = entity_text(&incident.entity), severity = incident.severity().label(),
            score = incident.score.round(), reason = ?notice.reason, delivery = ?incident.delivery, incident = incident.id, "alert");
    }
}

fn event(change: Change) -> &'static str {
    match change {
        Change::Opened => "opened",
        Change::Updated => "updated",
        Change::Resolved => "resolved",
    }
}
