//! The entities of one group (the values that its series are split by) as slots: small integers that index the cells of open buckets.
//!
//! Without a split there is one slot; with one split field the slot is the field's symbol, so no further look-up is made; with two,
//! pairs of symbols have slots of their own. Like symbols, slots are given away when not in use, and never show.

use super::reading::{Reader, Reading};
use super::{Group, SeriesKey};
use crate::config::FieldId;
use crate::engine::event::symbols::{EMPTY, Symbol};
use hashbrown::HashTable;
use std::borrow::Cow;

/// Index of an entity among those of its group.
pub(crate) type Slot = u32;

/// The entities of one group.
pub(crate) enum Entities {
    /// No split: one entity.
    One,
    /// Split by a partition field: a missing value is the empty one.
    Partition(FieldId),
    /// Split by a by field.
    By { by: FieldId, use_null: bool },
    /// Split by both.
    Both {
        partition: FieldId,
        by: FieldId,
        use_null: bool,
        pairs: Pairs,
    },
}

impl Entities {
    /// The entities of a group, none known.
    pub(crate) fn new(group: &Group) -> Entities {
        match (group.partition, group.by) {
            (None, None) => Entities::One,
            (Some(partition), None) => Entities::Partition(partition),
            (None, Some(by)) => Entities::By {
                by,
                use_null: group.use_null,
            },
            (Some(partition), Some(by)) => Entities::Both {
                partition,
                by,
                use_null: group.use_null,
                pairs: Pairs::default(),
            },
        }
    }

    /// The slot of the event at hand; `None` when it lacks its by value and the detectors do not use null.
    #[inline]
    pub(crate) fn slot(&mut self, readings: &[Reading], epoch: u64) -> Option<Slot> {
        let symbol = |field: FieldId| readings[usize::from(field.0)].symbol;
        let by_symbol = |by, use_null: bool| symbol(by).or(use_null.then_some(EMPTY));
        match self {
            Entities::One => Some(0),
            Entities::Partition(field) => Some(symbol(*field).unwrap_or(EMPTY)),
            Entities::By { by, use_null } => by_symbol(*by, *use_null),
            Entities::Both {
                partition,
                by,
                use_null,
                pairs,
            } => {
                let by = by_symbol(*by, *use_null)?;
                Some(pairs.intern((symbol(*partition).unwrap_or(EMPTY), by), epoch))
            }
        }
    }

    /// The symbols behind a slot in use: partition, by; `EMPTY` where the group has no such field.
    pub(crate) fn symbols(&self, slot: Slot) -> (Symbol, Symbol) {
        match self {
            Entities::One => (EMPTY, EMPTY),
            Entities::Partition(_) => (slot, EMPTY),
            Entities::By { .. } => (EMPTY, slot),
            Entities::Both { pairs, .. } => pairs.entries[slot as usize].symbols,
        }
    }

    /// Numbers for slots in use, that are to one another as the texts behind the slots are: by partition, then by.
    pub(crate) fn ranks(&self, reader: &Reader) -> impl Fn(Slot) -> u64 {
        let (partition, by) = self.fields();
        let of = |field: Option<FieldId>| field.map(|field| reader.ranks(field));
        let (partitions, bys) = (of(partition), of(by));
        let rank = |ranks: &Option<Cow<'_, [u32]>>, symbol: Symbol| {
            ranks
                .as_ref()
                .map_or(0, |ranks| u64::from(ranks[symbol as usize]))
        };
        move |slot| {
            let (partition, by) = self.symbols(slot);
            rank(&partitions, partition) << 32 | rank(&bys, by)
        }
    }

    /// The key of the series of a slot in use.
    pub(crate) fn key(&self, slot: Slot, reader: &Reader) -> SeriesKey {
        let (partition, by) = self.symbols(slot);
        let (partition_field, by_field) = self.fields();
        SeriesKey {
            partition: partition_field.map(|field| reader.text(field, partition).clone()),
            by: by_field.map(|field| reader.text(field, by).clone()),
        }
    }

    /// The slot of a series; `None` when the key has other fields than the group.
    pub(crate) fn slot_of(
        &mut self,
        key: &SeriesKey,
        reader: &mut Reader,
        epoch: u64,
    ) -> Option<Slot> {
        match (self, key.partition.as_deref(), key.by.as_deref()) {
            (Entities::One, None, None) => Some(0),
            (Entities::Partition(field), Some(text), None) => {
                Some(reader.intern(*field, text, epoch))
            }
            (Entities::By { by, .. }, None, Some(text)) => Some(reader.intern(*by, text, epoch)),
            (
                Entities::Both {
                    partition,
                    by,
                    pairs,
                    ..
                },
                Some(p),
                Some(b),
            ) => {
                let symbols = (
                    reader.intern(*partition, p, epoch),
                    reader.intern(*by, b, epoch),
                );
                Some(pairs.intern(symbols, epoch))
            }
            _ => None,
        }
    }

    /// How many pairs are known (symbols are counted by the reader).
    pub(crate) fn len(&self) -> usize {
        match self {
            Entities::Both { pairs, .. } => pairs.table.len(),
            _ => 0,
        }
    }

    /// Forgets what was last used before epoch `horizon`. A pair is never used later than its symbols, so it goes no later than they do.
    pub(crate) fn forget_before(&mut self, horizon: u64) {
        if let Entities::Both { pairs, .. } = self {
            pairs.forget_before(horizon);
        }
    }

    fn fields(&self) -> (Option<FieldId>, Option<FieldId>) {
        match self {
            Entities::One => (None, None),
            Entities::Partition(partition) => (Some(*partition), None),
            Entities::By { by, .. } => (None, Some(*by)),
            Entities::Both { partition, by, .. } => (Some(*partition), Some(*by)),
        }
    }
}

/// Pairs of symbols as slots.
#[derive(Default)]
pub(crate) struct Pairs {
    table: HashTable<Slot>,
    entries: Vec<Pair>,
    free: Vec<Slot>,
}

struct Pair {
    /// Partition, by.
    symbols: (Symbol, Symbol),
    /// The epoch of its last use; `None` while the slot is free.
    last_used: Option<u64>,
}

impl Pairs {
    fn intern(&mut self, symbols: (Symbol, Symbol), epoch: u64) -> Slot {
        let entries = &self.entries;
        let hash = mix(symbols.0, symbols.1);
        let known = self
            .table
            .find(hash, |&slot| entries[slot as usize].symbols == symbols);
        if let Some(&slot) = known {
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
        let entries = &self.entries;
        self.table.insert_unique(hash, slot, |&slot| {
            let (a, b) = entries[slot as usize].symbols;
            mix(a, b)
        });
        slot
    }

    fn forget_before(&mut self, horizon: u64) {
        for (at, pair) in self.entries.iter_mut().enumerate() {
            if pair.last_used.is_some_and(|used| used < horizon) {
                let (slot, hash) = (at as Slot, mix(pair.symbols.0, pair.symbols.1));
                if let Ok(found) = self.table.find_entry(hash, |&s| s == slot) {
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
