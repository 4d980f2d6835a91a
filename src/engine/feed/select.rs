//! Whether a job wants an event: its query, compiled once, asked of every event.
//!
//! Holds: a clause over a missing field is false; of an array any element will do; nothing allocates, unless a number or boolean is matched
//! by its text. Clauses are asked in the order written and no further than needed. Checked: tests/query against an interpreter that works on the
//! JSON itself.

use super::compare::{Matcher, Span};
use crate::config::query::{Bound, Edge, Query, Test};
use crate::config::{FieldId, Job};
use crate::engine::event::{Event, Value};
use crate::time::EventTime;

/// A job's query.
pub(crate) struct Selector(Node);

enum Node {
    Always(bool),
    Every(Box<[Node]>),
    AtLeast(usize, Box<[Node]>),
    Not(Box<Node>),
    Exists(FieldId),
    /// Some value passes.
    Has(FieldId, Matcher),
    /// The event's own time lies between these.
    Time(Span),
}

impl Selector {
    /// That of a job; `None` when it wants every event.
    pub(crate) fn of(job: &Job) -> Option<Selector> {
        match &job.feed.query {
            Query::All => None,
            query => Some(Selector(compiled(query, job))),
        }
    }

    /// Whether the job wants the event.
    #[inline]
    pub(crate) fn wants(&self, event: &Event<'_>) -> bool {
        self.0.is_true_of(event)
    }
}

fn compiled(query: &Query, job: &Job) -> Node {
    let all = |clauses: &[Query]| clauses.iter().map(|clause| compiled(clause, job)).collect();
    match query {
        Query::All => Node::Always(true),
        Query::Nothing => Node::Always(false),
        Query::Every(clauses) => Node::Every(all(clauses)),
        Query::AtLeast(least, clauses) => Node::AtLeast(*least, all(clauses)),
        Query::Not(clause) => Node::Not(Box::new(compiled(clause, job))),
        Query::Exists(field) => Node::Exists(*field),
        Query::Has(field, Test::Range(low, high))
            if job.fields.get(usize::from(field.0)) == Some(&job.time_field)
                && is_of_time(low)
                && is_of_time(high) =>
        {
            Node::Time(Span::new(low.as_ref(), high.as_ref()))
        }
        Query::Has(field, test) => Node::Has(*field, Matcher::new(test)),
    }
}

/// Whether an end can be compared with the event's time, however its field writes it.
fn is_of_time(edge: &Option<Edge>) -> bool {
    let bound = edge.as_ref().map(|edge| &edge.bound);
    matches!(bound, None | Some(Bound::Time(_) | Bound::Number(_)))
}

impl Node {
    fn is_true_of(&self, event: &Event<'_>) -> bool {
        match self {
            Node::Always(answer) => *answer,
            Node::Every(nodes) => nodes.iter().all(|node| node.is_true_of(event)),
            Node::AtLeast(1, nodes) => nodes.iter().any(|node| node.is_true_of(event)),
            Node::AtLeast(least, nodes) => {
                let passed = nodes.iter().filter(|node| node.is_true_of(event));
                passed.take(*least).count() == *least
            }
            Node::Not(node) => !node.is_true_of(event),
            Node::Exists(field) => !matches!(event.value(*field), Value::Missing),
            Node::Has(field, matcher) => passes(event.value(*field), matcher, event.time),
            Node::Time(span) => span.holds_time(event.time, event.time),
        }
    }
}

#[inline]
fn passes(value: &Value<'_>, matcher: &Matcher, time: EventTime) -> bool {
    match value {
        Value::Missing => false,
        Value::List(list) => list.iter().any(|value| matcher.passes(value, time)),
        value => matcher.passes(value, time),
    }
}
