//! Rights that brokers do not grant, as sentences: which operation on which resource.
//!
//! Kafka's own word is a code ("Topic authorization failed") that names neither. The least that the service needs is the table in
//! docs/security.md. Source: Kafka's documentation, "Authorization using ACLs"; read and write imply describe.
//! Checked by: tests/kafka/rights.rs, which takes the table's rights away one by one.

use rdkafka::error::RDKafkaErrorCode;
use std::fmt;

/// What a right is about, and the operation that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Resource {
    kind: &'static str,
    name: String,
    operation: &'static str,
}

impl Resource {
    fn of(operation: &'static str, kind: &'static str, name: &str) -> Resource {
        Resource {
            kind,
            name: name.to_owned(),
            operation,
        }
    }

    pub(super) fn read(topic: &str) -> Resource {
        Resource::of("Read", "topic", topic)
    }

    pub(super) fn written(topic: &str) -> Resource {
        Resource::of("Write", "topic", topic)
    }

    pub(super) fn created(topic: &str) -> Resource {
        Resource::of("Create", "topic", topic)
    }

    pub(super) fn deleted(topic: &str) -> Resource {
        Resource::of("Delete", "topic", topic)
    }

    pub(super) fn configured(operation: &'static str, topic: &str) -> Resource {
        Resource::of(operation, "topic", topic)
    }

    pub(super) fn group_deleted(group_id: &str) -> Resource {
        Resource::of("Delete", "group", group_id)
    }

    pub(super) fn group(group_id: &str) -> Resource {
        Resource::of("Read", "group", group_id)
    }

    pub(super) fn transactional_id(id: &str) -> Resource {
        Resource::of("Write", "transactional id", id)
    }

    /// The sentence.
    pub(super) fn missing(&self) -> String {
        format!(
            "not allowed: {self}; grant it to the service's user (docs/security.md has all rights)"
        )
    }

    /// Why it was refused: the sentence, or the broker's word where it is about something else.
    pub(super) fn why(&self, code: RDKafkaErrorCode) -> String {
        self.denied(code).unwrap_or_else(|| code.to_string())
    }

    /// The sentence, when `code` says that this right is missing.
    pub(super) fn denied(&self, code: RDKafkaErrorCode) -> Option<String> {
        let is_mine = match code {
            RDKafkaErrorCode::TopicAuthorizationFailed => self.kind == "topic",
            RDKafkaErrorCode::GroupAuthorizationFailed => self.kind == "group",
            RDKafkaErrorCode::TransactionalIdAuthorizationFailed => self.kind == "transactional id",
            RDKafkaErrorCode::ClusterAuthorizationFailed => self.operation == "Create",
            _ => false,
        };
        is_mine.then(|| self.missing())
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {} \"{}\"", self.operation, self.kind, self.name)
    }
}

/// Whether a right is missing.
pub(super) fn is_denial(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::GroupAuthorizationFailed
            | RDKafkaErrorCode::TransactionalIdAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed
    )
}
