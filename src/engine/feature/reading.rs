//! What an event says, field by field, read once for all detectors.
//!
//! Numbers are parsed, texts hashed and made symbols only where some detector or influencer asks for it. Rules (functions.md 2.9): texts
//! by [`Value::text`], numbers by [`Value::number`]; an empty text is a missing value, for splits, influencers and distinct counts
//! alike; of an array the first element is the value, and each distinct element an influencer value. Reading an event whose texts are
//! known allocates nothing.

use super::{Layout, Statistic};
use crate::config::{FieldId, Job};
use crate::engine::event::symbols::{EMPTY, Symbol, Symbols, hash_of};
use crate::engine::event::{Event, Value};
use std::borrow::Cow;
use std::sync::Arc;

/// One field of the event at hand.
#[derive(Clone, Copy, Default)]
pub(crate) struct Reading {
    /// The number; only of fields that a statistic of numbers reads.
    pub(crate) number: Option<f64>,
    /// The hash of the text; only of fields that are split by, counted distinct, or influencers.
    pub(crate) hash: Option<u64>,
    /// The text's symbol; only of fields that are split by, or influencers.
    pub(crate) symbol: Option<Symbol>,
}

/// What a field is read for.
#[derive(Clone, Copy, Default)]
struct Role {
    number: bool,
    text: bool,
    symbol: bool,
}

/// Reads events of one job.
pub(crate) struct Reader {
    /// The fields that are read, with what for.
    plan: Vec<(FieldId, Role)>,
    /// By field; for those with a symbol role.
    symbols: Vec<Option<Symbols>>,
    /// Influencers whose values are wanted, with their fields.
    influencers: Vec<(u16, FieldId)>,
    /// The event at hand, by field.
    readings: Vec<Reading>,
    /// The influencer values of the event at hand, in the order of the influencers, each once.
    influences: Vec<(u16, Symbol)>,
    scratch: String,
}

impl Reader {
    /// A reader that knows no text.
    pub(crate) fn new(job: &Job, layout: &Layout) -> Reader {
        let mut roles = vec![Role::default(); job.fields.len()];
        let mut influencers: Vec<(u16, FieldId)> = Vec::new();
        for group in &layout.groups {
            let shared = group.shared_influencers.iter();
            influencers.extend(shared.map(|&i| (i, job.influencers[usize::from(i)])));
            for field in group.by.into_iter().chain(group.partition) {
                roles[usize::from(field.0)].symbol = true;
            }
            for feature in &group.features {
                match (feature.field, feature.statistic) {
                    (None, _) | (_, Statistic::Count) => {}
                    (Some(field), Statistic::Distinct) => roles[usize::from(field.0)].text = true,
                    (Some(field), _) => roles[usize::from(field.0)].number = true,
                }
            }
        }
        influencers.sort_unstable();
        influencers.dedup();
        for (_, field) in &influencers {
            roles[usize::from(field.0)].symbol = true;
        }
        let wanted = |role: &Role| role.number || role.text || role.symbol;
        Reader {
            plan: (0u16..)
                .map(FieldId)
                .zip(roles.iter().copied())
                .filter(|(_, role)| wanted(role))
                .collect(),
            symbols: roles
                .iter()
                .map(|role| role.symbol.then(Symbols::new))
                .collect(),
            influencers,
            readings: vec![Reading::default(); job.fields.len()],
            influences: Vec::new(),
            scratch: String::new(),
        }
    }

    /// Reads an event; its texts count as used in `epoch`.
    pub(crate) fn read(&mut self, event: &Event<'_>, epoch: u64) {
        for &(field, role) in &self.plan {
            let at = usize::from(field.0);
            let value = event.value(field);
            let reading = &mut self.readings[at];
            if role.number {
                reading.number = value.number().filter(|x| x.is_finite());
            }
            if role.text || role.symbol {
                (reading.hash, reading.symbol) = match value.text(&mut self.scratch) {
                    Some(text) if !text.is_empty() => {
                        let hash = hash_of(text);
                        let symbols = self.symbols[at].as_mut();
                        (
                            Some(hash),
                            symbols.map(|symbols| symbols.intern(text, hash, epoch)),
                        )
                    }
                    _ => (None, None),
                };
            }
        }
        self.influences.clear();
        for &(influencer, field) in &self.influencers {
            let at = usize::from(field.0);
            match event.value(field) {
                Value::List(elements) => {
                    let symbols = self.symbols[at]
                        .as_mut()
                        .expect("influencer fields have symbols");
                    let first = self.influences.len();
                    for element in elements {
                        let text = element.text(&mut self.scratch).unwrap_or_default();
                        let symbol = symbols.intern(text, hash_of(text), epoch);
                        let influence = (influencer, symbol);
                        if symbol != EMPTY && !self.influences[first..].contains(&influence) {
                            self.influences.push(influence);
                        }
                    }
                }
                _ => {
                    let symbol = self.readings[at].symbol;
                    self.influences
                        .extend(symbol.map(|symbol| (influencer, symbol)));
                }
            }
        }
    }

    /// The event at hand, by field.
    #[inline]
    pub(crate) fn readings(&self) -> &[Reading] {
        &self.readings
    }

    /// The influencer values of the event at hand, each once.
    #[inline]
    pub(crate) fn influences(&self) -> &[(u16, Symbol)] {
        &self.influences
    }

    /// The text of a symbol of a field that has symbols.
    pub(crate) fn text(&self, field: FieldId, symbol: Symbol) -> &Arc<str> {
        self.symbols[usize::from(field.0)]
            .as_ref()
            .expect("split and influencer fields have symbols")
            .text(symbol)
    }

    /// The symbol of a text of a field that has symbols.
    pub(crate) fn intern(&mut self, field: FieldId, text: &str, epoch: u64) -> Symbol {
        self.symbols[usize::from(field.0)]
            .as_mut()
            .expect("split and influencer fields have symbols")
            .intern(text, hash_of(text), epoch)
    }

    /// Finds the places of new texts among those of their fields.
    pub(crate) fn rank(&mut self) {
        self.symbols.iter_mut().flatten().for_each(Symbols::rank);
    }

    /// By symbol of a field that has symbols: the place of its text.
    pub(crate) fn ranks(&self, field: FieldId) -> Cow<'_, [u32]> {
        self.symbols[usize::from(field.0)]
            .as_ref()
            .expect("split and influencer fields have symbols")
            .ranks()
    }

    /// How many texts are known.
    pub(crate) fn len(&self) -> usize {
        self.symbols.iter().flatten().map(Symbols::len).sum()
    }

    /// Forgets the texts last used before epoch `horizon`.
    pub(crate) fn forget_before(&mut self, horizon: u64) {
        for symbols in self.symbols.iter_mut().flatten() {
            symbols.forget_before(horizon);
        }
    }
}
