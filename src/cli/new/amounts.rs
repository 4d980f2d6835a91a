//! Who moves how much: amounts summed up by source, as whoever looks for data that is carried off does.
//!
//! An amount is a number that is named as one and may be added up; a source is who acted, else from where it came, else a machine. A few sources have each a past of their own to be held
//! against (`by`); many are held against one another (`over`): most of them are seen too seldom for a past.

use super::names;
use super::propose::{Proposed, SPLIT_MAX};
use super::stats::{Field, Sample};

/// A source is in so many of the events, at least.
const PRESENCE_MIN: f64 = 0.5;
/// An amount with fewer events than this share has little to say of anybody.
const AMOUNT_PRESENCE_MIN: f64 = 0.2;

/// The sum of the amount that sources send, if there are both; of several amounts the one that is sent rather than received, then the first of `measures`. `visitors` are held against
/// one another already.
pub(super) fn summed(
    sample: &Sample,
    measures: &[usize],
    categories: &[usize],
    visitors: Option<usize>,
) -> Option<Proposed> {
    let amounts = measures.iter().copied().filter(|&at| {
        let field = &sample.fields[at];
        let is_there = sample.presence(at) >= AMOUNT_PRESENCE_MIN;
        is_there && field.low >= 0.0 && names::is_amount(&field.path)
    });
    let amounts: Vec<usize> = amounts.collect();
    let sent = |at: &&usize| names::is_sent(&sample.fields[**at].path);
    let amount = *amounts.iter().find(sent).or(amounts.first())?;
    let source = source(sample, categories, visitors)?;
    let path = |at: usize| &sample.fields[at].path;
    let is_many = visitors == Some(source) || sample.fields[source].distinct() > SPLIT_MAX;
    let (by, over, against) = match is_many {
        true => (None, Some(source), "the others do"),
        false => (Some(source), None, "it did before"),
    };
    Some(Proposed {
        function: "high_sum",
        field: Some(amount),
        by,
        over,
        partition: None,
        reason: format!(
            "{} of each {} in all, against what {against}: data carried off",
            path(amount),
            path(source)
        ),
    })
}

/// Who is to be asked.
fn source(sample: &Sample, categories: &[usize], visitors: Option<usize>) -> Option<usize> {
    let kinds: [fn(&Field) -> bool; 3] = [names::is_actor, names::is_origin, names::is_machine];
    let most = |is_one: fn(&Field) -> bool| {
        let is_known = |at: &usize| {
            let field = &sample.fields[*at];
            let is_there = sample.presence(*at) >= PRESENCE_MIN;
            is_there && field.effective() >= 1.5 && is_one(field)
        };
        let known = categories.iter().copied().filter(is_known);
        known.max_by(|a, b| {
            let spread = |at: usize| sample.presence(at) * sample.fields[at].effective();
            spread(*a).total_cmp(&spread(*b)).then(b.cmp(a))
        })
    };
    let named = kinds.into_iter().find_map(most);
    // Who comes and goes is one, however it is called.
    named.or(visitors)
}
