//! What the runtime tells of itself, as log lines: the facts that a person would want to read, with what they name as fields.
//!
//! Holds: an error is for somebody to act on, a warning for somebody to know of; no event and no secret is in a line.

use crate::runtime::log::TopicPartition;
use crate::runtime::observer::{Delivery, Fact};

/// The facts that a person would want to read, as log lines.
pub(super) fn say(job_id: &str, fact: &Fact<'_>) {
    match fact {
        Fact::Rejected {
            at,
            offset,
            rejection,
        } => {
            tracing::debug!(job_id, %at, offset, reason = rejection.reason.label(), detail = rejection.detail, "event refused");
        }
        Fact::Unreadable { at, offset, error } => {
            tracing::error!(job_id, %at, offset, error, "an internal message cannot be read by this build; passed over");
        }
        // A partition with little to say is silent again and again.
        Fact::Idle { at } => tracing::debug!(job_id, %at, "silent; no longer waited for"),
        Fact::PositionNotOurs { at, offset } => {
            tracing::error!(job_id, %at, offset, "the committed position was set by other means than this service's, and is not gone by: the newest snapshot stands in, or the job's start (`tidewatch jobs` sets positions)");
        }
        Fact::StartNotMet { why } => tracing::warn!(job_id, "{why}"),
        Fact::Aborted { error } => tracing::warn!(job_id, error, "transaction aborted"),
        Fact::Snapshot {
            key,
            bytes,
            duration_ms,
        } => {
            tracing::debug!(job_id, snapshot = %key, bytes, duration_ms, "snapshot stored");
        }
        Fact::SnapshotFailed { key, error } => {
            tracing::error!(job_id, snapshot = %key, error, "snapshot not stored; tried again in its time");
        }
        Fact::SnapshotsNotAwaited { tasks } => {
            tracing::warn!(
                job_id,
                tasks,
                "partitions are left before the store has taken their last snapshots: what came after those before is replayed"
            );
        }
        Fact::SnapshotsNotForgotten { key, error } => {
            tracing::warn!(job_id, newest = %key, error, "old snapshots not deleted; tried again with the next one");
        }
        Fact::Expired { .. } | Fact::NotExpired { .. } => say_of_expiry(job_id, fact),
        Fact::SnapshotUnusable { key, error } => {
            tracing::warn!(job_id, snapshot = %key, error, "snapshot passed over; an older one, or the log's beginning, stands in");
        }
        Fact::SnapshotsAwaited { at, error } => {
            tracing::error!(job_id, %at, error, "waits for the snapshots' store: without it the models would be lost, because the log no longer reaches back to where they began");
        }
        Fact::Assigned {
            at,
            snapshot,
            from,
            live_from,
            ..
        } => {
            let snapshot = snapshot.map(ToString::to_string);
            tracing::info!(job_id, %at, snapshot, from, live_from, "partition assigned");
        }
        Fact::Replayed {
            at,
            messages,
            duration_ms,
        } => {
            tracing::info!(job_id, %at, messages, duration_ms, "replayed; live");
        }
        Fact::Gap { at, from, to } => {
            tracing::error!(job_id, %at, from, to, "messages to be read, or read again, are gone from the log: results may differ from those of an unbroken run");
        }
        Fact::PositionVanished { at, from } => {
            tracing::error!(job_id, %at, from, "the committed position had vanished; a snapshot stands in, and results after it may come twice");
        }
        Fact::Reconfigured { at } => {
            tracing::info!(job_id, %at, "the job was changed: it learns anew and publishes no bucket again");
        }
        Fact::JobStarted { .. } => tracing::info!(job_id, "job started"),
        Fact::JobStopped => tracing::info!(job_id, "job stopped"),
        Fact::JobFiles { refusals, .. } => {
            for mistakes in *refusals {
                tracing::error!(
                    mistakes,
                    "job file refused; what it described before goes on"
                );
            }
        }
        Fact::Unavailable { error } => {
            tracing::warn!(job_id, error, "the log does not answer; asking again")
        }
        Fact::Revoked { partitions, how } => {
            tracing::info!(job_id, ?how, partitions = %list(partitions), "partitions left");
        }
        Fact::Spans {
            news: Some(news), ..
        } => say_of_spans(*news),
        of_topics => say_of_topics(job_id, of_topics),
    }
}

/// How many events have reached judges too late since it was said last. Each by itself would be a line for a message.
pub(super) fn say_late(job_id: &str, events: u64) {
    tracing::warn!(
        job_id,
        events,
        "events came after their bucket was judged: a longer idle_timeout would have waited"
    );
}

/// How spans fare.
fn say_of_spans(news: Delivery<'_>) {
    match news {
        Delivery::Works => tracing::info!("spans are delivered again"),
        Delivery::Fails(error) => {
            tracing::warn!(
                error,
                "spans are not delivered, and let go; nothing else waits for them"
            );
        }
        Delivery::Overflows => tracing::warn!(
            "more spans than can be sent; the rest is let go, and counted in tidewatch_trace_spans_total"
        ),
    }
}

/// What becomes of the topics that a job reads.
fn say_of_topics(job_id: &str, fact: &Fact<'_>) {
    match fact {
        Fact::TopicGone { topic } => {
            tracing::error!(
                job_id,
                topic,
                "an input topic does not exist any more; the job goes on without it, and waits for it to be made anew"
            );
        }
        Fact::TopicRenewed { at, from, to } => {
            tracing::error!(job_id, %at, from, to, "the topic was made anew, or has lost messages: offset `from` was to be read next; reading goes on at `to`, with the models that there are");
        }
        Fact::PartitionsAdded {
            topic,
            before,
            count,
        } => {
            tracing::warn!(
                job_id,
                topic,
                before,
                count,
                "an input topic has more partitions (0 before: it is new); they are read from their beginning"
            );
        }
        _ => {}
    }
}

/// What becomes of results that their job does not keep any longer.
fn say_of_expiry(job_id: &str, fact: &Fact<'_>) {
    match fact {
        Fact::Expired { documents, before } => {
            tracing::info!(job_id, documents, %before, "old results withdrawn");
        }
        Fact::NotExpired { error } => {
            tracing::warn!(
                job_id,
                error,
                "old results not withdrawn; tried again later"
            );
        }
        _ => {}
    }
}

fn list(partitions: &[TopicPartition]) -> String {
    let names: Vec<String> = partitions.iter().map(ToString::to_string).collect();
    names.join(" ")
}
