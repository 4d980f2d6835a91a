//! Whether a job wants an event: its query, compiled once, asked of every event.
//!
//! Compiled, a query is a list of questions, each of which says which one to ask next after a yes and after a no: `bool` clauses are nothing but
//! these jumps. Holds: a clause over a missing field is false; of an array any element will do; nothing allocates, unless a number or boolean is matched
//! by its text. Clauses are asked in the order written and no further than needed. Checked: tests/query against an interpreter that works on the
//! JSON itself.

use super::compare::{Matcher, Span};
use crate::config::query::{Bound, Edge, Query, Test};
use crate::config::{FieldId, Job};
use crate::engine::event::{Event, Value};
use crate::time::EventTime;

/// A job's query.
pub(crate) struct Selector {
    /// A question's own number is greater than those it leads to.
    questions: Box<[Question]>,
    first: usize,
}

/// Leads to itself: the event is wanted.
const WANTED: usize = usize::MAX;
/// It is not.
const UNWANTED: usize = usize::MAX - 1;

struct Question {
    ask: Ask,
    /// Which one is next.
    yes: usize,
    no: usize,
}

enum Ask {
    /// Some value passes.
    Has(FieldId, Matcher),
    Exists(FieldId),
    /// The event's own time lies between these.
    Time(Box<Span>),
    /// At least so many of these want it.
    AtLeast(usize, Box<[Selector]>),
}

impl Selector {
    /// That of a job; `None` when it wants every event.
    pub(crate) fn of(job: &Job) -> Option<Selector> {
        match &job.feed.query {
            Query::All => None,
            query => Some(Selector::new(query, job)),
        }
    }

    fn new(query: &Query, job: &Job) -> Selector {
        let mut questions = Vec::new();
        let first = compile(query, job, WANTED, UNWANTED, &mut questions);
        Selector {
            questions: questions.into(),
            first,
        }
    }

    /// Whether the job wants the event.
    #[inline]
    pub(crate) fn wants(&self, event: &Event<'_>) -> bool {
        let mut at = self.first;
        while let Some(question) = self.questions.get(at) {
            at = match question.ask.is_true_of(event) {
                true => question.yes,
                false => question.no,
            };
        }
        at == WANTED
    }
}

/// Appends what a clause asks, which goes on to `yes` or `no`. Where it begins: what comes later is there already.
fn compile(
    query: &Query,
    job: &Job,
    yes: usize,
    no: usize,
    questions: &mut Vec<Question>,
) -> usize {
    let ask = match query {
        Query::All | Query::AtLeast(0, _) => return yes,
        Query::Nothing => return no,
        Query::Not(clause) => return compile(clause, job, no, yes, questions),
        Query::Every(clauses) => {
            let clauses = clauses.iter().rev();
            return clauses.fold(yes, |next, one| compile(one, job, next, no, questions));
        }
        Query::AtLeast(1, clauses) => {
            let clauses = clauses.iter().rev();
            return clauses.fold(no, |next, one| compile(one, job, yes, next, questions));
        }
        Query::AtLeast(least, clauses) => {
            let clauses = clauses.iter().map(|clause| Selector::new(clause, job));
            Ask::AtLeast(*least, clauses.collect())
        }
        Query::Exists(field) => Ask::Exists(*field),
        Query::Has(field, Test::Range(low, high))
            if job.fields.get(usize::from(field.0)) == Some(&job.time_field)
                && is_of_time(low)
                && is_of_time(high) =>
        {
            Ask::Time(Box::new(Span::new(low.as_ref(), high.as_ref())))
        }
        Query::Has(field, test) => Ask::Has(*field, Matcher::new(test)),
    };
    questions.push(Question { ask, yes, no });
    questions.len() - 1
}

/// Whether an end can be compared with the event's time, however its field writes it.
fn is_of_time(edge: &Option<Edge>) -> bool {
    let bound = edge.as_ref().map(|edge| &edge.bound);
    matches!(bound, None | Some(Bound::Time(_) | Bound::Number(_)))
}

impl Ask {
    #[inline(always)]
    fn is_true_of(&self, event: &Event<'_>) -> bool {
        match self {
            Ask::Has(field, matcher) => passes(event.value(*field), matcher, event.time),
            Ask::Exists(field) => !matches!(event.value(*field), Value::Missing),
            Ask::Time(span) => span.holds_time(event.time, event.time),
            Ask::AtLeast(least, clauses) => {
                let passed = clauses.iter().filter(|clause| clause.wants(event));
                passed.take(*least).count() == *least
            }
        }
    }
}

#[inline(always)]
fn passes(value: &Value<'_>, matcher: &Matcher, time: EventTime) -> bool {
    let at_once = match value {
        Value::Missing => Some(false),
        Value::Text(text) => matcher.passes_at_once(text),
        _ => None,
    };
    at_once.unwrap_or_else(|| passes_at_length(value, matcher, time))
}

#[inline(never)]
fn passes_at_length(value: &Value<'_>, matcher: &Matcher, time: EventTime) -> bool {
    match value {
        Value::List(list) => list.iter().any(|value| matcher.passes(value, time)),
        value => matcher.passes(value, time),
    }
}
