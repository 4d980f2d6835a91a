//! The entities of one group (the values that its series are split by) as slots: small integers that index the cells of open buckets.
//!
//! Without a split there is one slot; with one split field the slot is the field's symbol, so no further look-up is made; with two,
//! pairs of symbols have slots of their own; with three, pairs of the first two's slot and the third. Like symbols, slots are given away
//! when not in use, and never show.

use super::reading::{Reader, Reading};
use super::{Group, SeriesKey};
use crate::config::FieldId;
use crate::engine::event::symbols::{EMPTY, Symbol};
use hashbrown::HashTable;
use std::sync::Arc;

/// Index of an entity among those of its group.
pub(crate) type Slot = u32;

/// A field that splits, and what an event without it means.
#[derive(Clone, Copy)]
pub(crate) struct Split {
    field: FieldId,
    role: Role,
    /// Whether a missing value is the empty one; else the event is of no series of the group.
    missing_is_empty: bool,
}

/// What a split field is to its group.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Partition,
    Over,
    By,
}

/// The entities of one group; splits in the order partition, over, by, as series are sorted.
pub(crate) enum Entities {
    /// No split: one entity.
    None,
    /// Split by one field.
    One(Split),
    /// Split by two.
    Two([Split; 2], Pairs),
    /// Split by all three: the slots of the first two, then those of that slot and the third.
    Three([Split; 3], Pairs, Pairs),
}

impl Split {
    #[inline]
    fn symbol(self, readings: &[Reading]) -> Option<Symbol> {
        let missing = self.missing_is_empty.then_some(EMPTY);
        readings[usize::from(self.field.0)].symbol.or(missing)
    }

    fn text(self, key: &SeriesKey) -> Option<&Arc<str>> {
        match self.role {
            Role::Partition => key.partition.as_ref(),
            Role::Over => key.over.as_ref(),
            Role::By => key.by.as_ref(),
        }
    }
}

impl Entities {
    /// The entities of a group, none known.
    pub(crate) fn new(group: &Group) -> Entities {
        let split = |field: Option<FieldId>, role, missing_is_empty| {
            field.map(|field| Split {
                field,
                role,
                missing_is_empty,
            })
        };
        let splits: Vec<Split> = [
            split(group.partition, Role::Partition, true),
            split(group.over, Role::Over, group.use_null),
            split(group.by, Role::By, group.use_null),
        ]
        .into_iter()
        .flatten()
        .collect();
        match splits[..] {
            [] => Entities::None,
            [one] => Entities::One(one),
            [a, b] => Entities::Two([a, b], Pairs::default()),
            [a, b, c, ..] => Entities::Three([a, b, c], Pairs::default(), Pairs::default()),
        }
    }

    /// The slot of the event at hand; `None` when it lacks its by or over value and the detectors do not use null.
    #[inline]
    pub(crate) fn slot(&mut self, readings: &[Reading], epoch: u64) -> Option<Slot> {
        match self {
            Entities::None => Some(0),
            Entities::One(split) => split.symbol(readings),
            Entities::Two([a, b], pairs) => {
                let symbols = (a.symbol(readings)?, b.symbol(readings)?);
                Some(pairs.intern(symbols, epoch))
            }
            Entities::Three([a, b, c], pairs, triples) => {
                let symbols = (a.symbol(readings)?, b.symbol(readings)?);
                let last = c.symbol(readings)?;
                Some(triples.intern((pairs.intern(symbols, epoch), last), epoch))
            }
        }
    }

    /// Numbers for slots in use, that are to one another as the keys behind the slots are.
    pub(crate) fn ranks(&self, reader: &Reader) -> impl Fn(Slot) -> u64 {
        let ranks: Vec<_> = self
            .splits()
            .iter()
            .map(|split| reader.ranks(split.field))
            .collect();
        let rank = move |at: usize, symbol: Symbol| u64::from(ranks[at][symbol as usize]);
        let inner = match self {
            Entities::Three(_, pairs, _) => pairs.ranks(|a, b| rank(0, a) << 32 | rank(1, b)),
            _ => Vec::new(),
        };
        move |slot| match self {
            Entities::None => 0,
            Entities::One(_) => rank(0, slot),
            Entities::Two(_, pairs) => {
                let (a, b) = pairs.symbols(slot);
                rank(0, a) << 32 | rank(1, b)
            }
            Entities::Three(_, _, triples) => {
                let (pair, last) = triples.symbols(slot);
                u64::from(inner[pair as usize]) << 32 | rank(2, last)
            }
        }
    }

    /// The key of the series of a slot in use.
    pub(crate) fn key(&self, slot: Slot, reader: &Reader) -> SeriesKey {
        let symbols = match self {
            Entities::None => [EMPTY; 3],
            Entities::One(_) => [slot, EMPTY, EMPTY],
            Entities::Two(_, pairs) => {
                let (a, b) = pairs.symbols(slot);
                [a, b, EMPTY]
            }
            Entities::Three(_, pairs, triples) => {
                let (pair, last) = triples.symbols(slot);
                let (a, b) = pairs.symbols(pair);
                [a, b, last]
            }
        };
        let mut key = SeriesKey::default();
        for (split, symbol) in self.splits().iter().zip(symbols) {
            let text = Some(reader.text(split.field, symbol).clone());
            match split.role {
                Role::Partition => key.partition = text,
                Role::Over => key.over = text,
                Role::By => key.by = text,
            }
        }
        key
    }

    /// The slot of a series; `None` when the key has other fields than the group.
    pub(crate) fn slot_of(
        &mut self,
        key: &SeriesKey,
        reader: &mut Reader,
        epoch: u64,
    ) -> Option<Slot> {
        let fields = [&key.partition, &key.over, &key.by];
        if fields.into_iter().flatten().count() != self.splits().len() {
            return None;
        }
        let mut symbol = |split: &Split| Some(reader.intern(split.field, split.text(key)?, epoch));
        match self {
            Entities::None => Some(0),
            Entities::One(split) => symbol(split),
            Entities::Two([a, b], pairs) => {
                let symbols = (symbol(a)?, symbol(b)?);
                Some(pairs.intern(symbols, epoch))
            }
            Entities::Three([a, b, c], pairs, triples) => {
                let symbols = (symbol(a)?, symbol(b)?);
                let last = symbol(c)?;
                Some(triples.intern((pairs.intern(symbols, epoch), last), epoch))
            }
        }
    }

    /// How many pairs are known (symbols are counted by the reader).
    pub(crate) fn len(&self) -> usize {
        match self {
            Entities::None | Entities::One(_) => 0,
            Entities::Two(_, pairs) => pairs.table.len(),
            Entities::Three(_, pairs, triples) => pairs.table.len() + triples.table.len(),
        }
    }

    /// Forgets what was last used before epoch `horizon`. A pair is never used later than its halves, so it goes no later than they do.
    pub(crate) fn forget_before(&mut self, horizon: u64) {
        match self {
            Entities::None | Entities::One(_) => {}
            Entities::Two(_, pairs) => pairs.forget_before(horizon),
            Entities::Three(_, pairs, triples) => {
                triples.forget_before(horizon);
                pairs.forget_before(horizon);
            }
        }
    }

    fn splits(&self) -> &[Split] {
        match self {
            Entities::None => &[],
            Entities::One(split) => std::slice::from_ref(split),
            Entities::Two(splits, _) => splits,
            Entities::Three(splits, ..) => splits,
        }
    }
}

/// Pairs of symbols as slots.
#[derive(Default)]
pub(crate) struct Pairs {
    /// With the symbols, so that finding a pair waits for one piece of memory only.
    table: HashTable<((Symbol, Symbol), Slot)>,
    entries: Vec<Pair>,
    free: Vec<Slot>,
    /// By first half: the pair met last. A host's events mostly have the same status as the one before.
    last: Vec<Last>,
}

/// A pair as it was met: so long as its epoch lasts there is nothing to note about it.
#[derive(Clone, Copy)]
struct Last {
    second: Symbol,
    slot: Slot,
    /// `u64::MAX`: none was met.
    epoch: u64,
}

impl Last {
    const NONE: Last = Last {
        second: EMPTY,
        slot: 0,
        epoch: u64::MAX,
    };
}

struct Pair {
    /// Two symbols; or a pair's slot and a symbol.
    symbols: (Symbol, Symbol),
    /// The epoch of its last use; `None` while the slot is free.
    last_used: Option<u64>,
}

impl Pairs {
    /// The halves of a slot in use.
    fn symbols(&self, slot: Slot) -> (Symbol, Symbol) {
        self.entries[slot as usize].symbols
    }

    /// By slot: its place among those in use, ordered by `rank` of its halves.
    fn ranks(&self, rank: impl Fn(Symbol, Symbol) -> u64) -> Vec<u32> {
        let used = (0..self.entries.len() as Slot).zip(&self.entries);
        let mut order: Vec<(u64, Slot)> = used
            .filter(|(_, pair)| pair.last_used.is_some())
            .map(|(slot, pair)| (rank(pair.symbols.0, pair.symbols.1), slot))
            .collect();
        order.sort_unstable();
        let mut places = vec![0; self.entries.len()];
        for (place, (_, slot)) in (0..).zip(order) {
            places[slot as usize] = place;
        }
        places
    }

    #[inline]
    fn intern(&mut self, symbols: (Symbol, Symbol), epoch: u64) -> Slot {
        let (first, second) = symbols;
        match self.last.get(first as usize) {
            Some(last) if last.second == second && last.epoch == epoch => last.slot,
            _ => {
                let slot = self.look_up(symbols, epoch);
                if self.last.len() <= first as usize {
                    self.last.resize(first as usize + 1, Last::NONE);
                }
                self.last[first as usize] = Last {
                    second,
                    slot,
                    epoch,
                };
                slot
            }
        }
    }

    fn look_up(&mut self, symbols: (Symbol, Symbol), epoch: u64) -> Slot {
        let hash = mix(symbols.0, symbols.1);
        let known = self.table.find(hash, |(known, _)| *known == symbols);
        if let Some(&(_, slot)) = known {
            self.entries[slot as usize].last_used = Some(epoch);
            return slot;
        }
        let pair = Pair {
            symbols,
            last_used: Some(epoch),
        };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.entries[slot as usize] = pair;
                slot
            }
            None => {
                self.entries.push(pair);
                Slot::try_from(self.entries.len() - 1).expect("fewer than 2^32 entities in memory")
            }
        };
        self.table
            .insert_unique(hash, (symbols, slot), |&((a, b), _)| mix(a, b));
        slot
    }

    fn forget_before(&mut self, horizon: u64) {
        self.last.clear();
        for (at, pair) in self.entries.iter_mut().enumerate() {
            if pair.last_used.is_some_and(|used| used < horizon) {
                let (slot, hash) = (at as Slot, mix(pair.symbols.0, pair.symbols.1));
                if let Ok(found) = self.table.find_entry(hash, |&(_, known)| known == slot) {
                    found.remove();
                }
                pair.last_used = None;
                self.free.push(slot);
            }
        }
    }
}

/// A hash of two small integers: both halves of their product with an odd constant (2^64 over the golden ratio).
#[inline]
pub(crate) fn mix(a: u32, b: u32) -> u64 {
    let both = (u64::from(a) << 32 | u64::from(b)).wrapping_add(1);
    let product = u128::from(both) * 0x9e37_79b9_7f4a_7c15;
    product as u64 ^ (product >> 64) as u64
}
