//! Texts of one field as small integers.
//!
//! A symbol is an index: stable while its text is in use, then given to another text. Holds: symbol 0 is the empty text and is never
//! given away; looking up a known text allocates nothing. Symbols depend on the order of events, so they must never show: whatever
//! leaves the engine carries the texts, in the texts' order.

use hashbrown::HashTable;
use std::borrow::Cow;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// Index of a text among those of its field.
pub(crate) type Symbol = u32;

/// The empty text.
pub(crate) const EMPTY: Symbol = 0;

/// The hash by which texts are found and counted as distinct: the same in every build and on every machine.
#[inline]
pub(crate) fn hash_of(text: &str) -> u64 {
    xxh3_64(text.as_bytes())
}

/// The texts of one field that are in use.
pub(crate) struct Symbols {
    table: HashTable<Symbol>,
    entries: Vec<Entry>,
    free: Vec<Symbol>,
    /// The symbols in use but for those of `unranked`, in the order of their texts.
    order: Vec<Symbol>,
    /// By symbol in `order`: a number that grows along it.
    ranks: Vec<u32>,
    /// Symbols given since `order` was made.
    unranked: Vec<Symbol>,
}

struct Entry {
    hash: u64,
    text: Arc<str>,
    /// The epoch of its last use (`u64::MAX`: kept for ever); `None` while the symbol is free.
    last_used: Option<u64>,
}

impl Symbols {
    /// The empty text alone.
    pub(crate) fn new() -> Symbols {
        let mut symbols = Symbols {
            table: HashTable::new(),
            entries: Vec::new(),
            free: Vec::new(),
            order: Vec::new(),
            ranks: Vec::new(),
            unranked: Vec::new(),
        };
        let empty = symbols.intern("", hash_of(""), u64::MAX);
        debug_assert_eq!(empty, EMPTY);
        symbols
    }

    /// The symbol of `text`, whose hash is `hash`; notes that it was used in `epoch`.
    #[inline]
    pub(crate) fn intern(&mut self, text: &str, hash: u64, epoch: u64) -> Symbol {
        let entries = &self.entries;
        let known = self.table.find(hash, |&symbol| {
            let entry = &entries[symbol as usize];
            entry.hash == hash && *entry.text == *text
        });
        match known {
            Some(&symbol) => {
                self.touch(symbol, epoch);
                symbol
            }
            None => self.insert(text, hash, epoch),
        }
    }

    /// Notes that a symbol in use was used in `epoch`.
    #[inline]
    pub(crate) fn touch(&mut self, symbol: Symbol, epoch: u64) {
        let last_used = &mut self.entries[symbol as usize].last_used;
        *last_used = (*last_used).max(Some(epoch));
    }

    #[cold]
    fn insert(&mut self, text: &str, hash: u64, epoch: u64) -> Symbol {
        let entry = Entry {
            hash,
            text: text.into(),
            last_used: Some(epoch),
        };
        let symbol = match self.free.pop() {
            Some(symbol) => {
                self.entries[symbol as usize] = entry;
                symbol
            }
            None => {
                self.entries.push(entry);
                Symbol::try_from(self.entries.len() - 1).expect("fewer than 2^32 texts in memory")
            }
        };
        self.unranked.push(symbol);
        let entries = &self.entries;
        self.table
            .insert_unique(hash, symbol, |&symbol| entries[symbol as usize].hash);
        symbol
    }

    /// The text of a symbol in use.
    #[inline]
    pub(crate) fn text(&self, symbol: Symbol) -> &Arc<str> {
        &self.entries[symbol as usize].text
    }

    /// Finds the places of the texts that came since the last time; where none came, that costs nothing.
    pub(crate) fn rank(&mut self) {
        if !self.unranked.is_empty() {
            (self.order, self.ranks) = self.ranked();
            self.unranked.clear();
        }
    }

    /// By symbol in use: a number that is to other symbols' as its text is to theirs. At hand after [`Symbols::rank`], otherwise made.
    pub(crate) fn ranks(&self) -> Cow<'_, [u32]> {
        match self.unranked.is_empty() {
            true => Cow::Borrowed(&self.ranks),
            false => Cow::Owned(self.ranked().1),
        }
    }

    /// The symbols in use in the order of their texts, and by symbol its place there. Only the new ones' texts are compared.
    fn ranked(&self) -> (Vec<Symbol>, Vec<u32>) {
        let text = |symbol: Symbol| &*self.entries[symbol as usize].text;
        let mut new = self.unranked.clone();
        new.sort_unstable_by_key(|&symbol| text(symbol));
        let (mut order, mut known) = (Vec::with_capacity(self.len()), &self.order[..]);
        for symbol in new {
            let before = known.partition_point(|&other| text(other) < text(symbol));
            order.extend_from_slice(&known[..before]);
            order.push(symbol);
            known = &known[before..];
        }
        order.extend_from_slice(known);
        let mut ranks = vec![0; self.entries.len()];
        for (rank, &symbol) in (0..).zip(&order) {
            ranks[symbol as usize] = rank;
        }
        (order, ranks)
    }

    /// How many texts are in use.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// Forgets the texts last used before epoch `horizon`.
    pub(crate) fn forget_before(&mut self, horizon: u64) {
        let nothing = Arc::clone(&self.entries[EMPTY as usize].text);
        for (at, entry) in self.entries.iter_mut().enumerate() {
            if entry.last_used.is_some_and(|used| used < horizon) {
                let symbol = at as Symbol;
                if let Ok(found) = self.table.find_entry(entry.hash, |&s| s == symbol) {
                    found.remove();
                }
                entry.last_used = None;
                entry.text = Arc::clone(&nothing);
                self.free.push(symbol);
            }
        }
        let entries = &self.entries;
        let in_use = |symbol: &Symbol| entries[*symbol as usize].last_used.is_some();
        self.order.retain(in_use);
        self.unranked.retain(in_use);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intern(symbols: &mut Symbols, text: &str, epoch: u64) -> Symbol {
        symbols.intern(text, hash_of(text), epoch)
    }

    #[test]
    fn a_text_keeps_its_symbol_while_in_use_and_gives_it_away_afterwards() {
        let mut symbols = Symbols::new();
        let a = intern(&mut symbols, "a", 1);
        let b = intern(&mut symbols, "b", 1);
        assert_eq!(intern(&mut symbols, "a", 5), a);
        symbols.forget_before(3);
        assert_eq!(intern(&mut symbols, "a", 5), a);
        assert_eq!(intern(&mut symbols, "c", 5), b, "the place of b is free");
        assert_eq!(&**symbols.text(b), "c");
        assert_eq!(symbols.len(), 3, "empty, a, c");
    }

    #[test]
    fn ranks_follow_the_texts_whatever_came_and_went() {
        let mut symbols = Symbols::new();
        let ordered = |symbols: &Symbols, texts: &[(&str, Symbol)]| {
            let ranks = symbols.ranks();
            let ranks: Vec<u32> = texts.iter().map(|one| ranks[one.1 as usize]).collect();
            assert!(ranks.is_sorted_by(|a, b| a < b), "{texts:?}: {ranks:?}");
        };
        let (c, a) = (intern(&mut symbols, "c", 1), intern(&mut symbols, "a", 5));
        ordered(&symbols, &[("", EMPTY), ("a", a), ("c", c)]);
        symbols.rank();
        ordered(&symbols, &[("", EMPTY), ("a", a), ("c", c)]);
        let b = intern(&mut symbols, "b", 5);
        ordered(&symbols, &[("a", a), ("b", b), ("c", c)]);
        symbols.forget_before(3);
        let z = intern(&mut symbols, "z", 5);
        assert_eq!(z, c, "the place of c is free");
        ordered(&symbols, &[("", EMPTY), ("a", a), ("b", b), ("z", z)]);
        symbols.rank();
        ordered(&symbols, &[("", EMPTY), ("a", a), ("b", b), ("z", z)]);
    }

    #[test]
    fn the_empty_text_is_symbol_zero_for_ever() {
        let mut symbols = Symbols::new();
        symbols.forget_before(u64::MAX);
        assert_eq!(intern(&mut symbols, "", 1), EMPTY);
        symbols.forget_before(u64::MAX);
        assert_eq!(&**symbols.text(EMPTY), "");
        assert_eq!(symbols.len(), 1);
    }
}
