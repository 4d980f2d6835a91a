//! An ordered map on shelves, which a copy of it shares until either side changes one.
//!
//! A snapshot is written while the judge goes on: [`Clone`] costs a counter a shelf, and a shelf is copied when it is first changed while such a
//! clone lives (`Arc::make_mut`); otherwise nothing is. Holds: shelves are in order, none is empty, none has more than
//! [`SHELF_MAX`] entries; how entries are spread over shelves shows nowhere, in particular not in the bytes of a snapshot. A shelf is one piece of
//! memory in order, since all are visited bucket after bucket: it comes from memory as it is read.
//! Checked: tests below, against one `BTreeMap`.

use serde::de::{self, MapAccess};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::slice;
use std::sync::Arc;

/// A mature series has some 4 KiB, so that a shelf's copy takes about a tenth of a millisecond.
const SHELF_MAX: usize = 256;
/// Neighbours that would fill less than half a shelf become one.
const SHELF_MIN: usize = SHELF_MAX / 2;
/// Places that a full piece of memory grows by.
const CHUNK: usize = 16;

type Entry<Key, Value> = (Key, Value);
type Shelf<Key, Value> = Arc<Vec<Entry<Key, Value>>>;

/// An ordered map whose clones share what neither has changed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Shelves<Key, Value> {
    shelves: Vec<Shelf<Key, Value>>,
    len: usize,
}

/// What entries are visited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Change,
    Look,
}

/// An entry's value, as far as the purpose goes.
pub(super) enum Held<'s, Value> {
    Change(&'s mut Value),
    Look(&'s Value),
}

impl<Value> Deref for Held<'_, Value> {
    type Target = Value;

    fn deref(&self) -> &Value {
        match self {
            Held::Change(value) => value,
            Held::Look(value) => value,
        }
    }
}

/// Goes along one shelf.
enum Visitor<'s, Key, Value> {
    Change(slice::IterMut<'s, Entry<Key, Value>>),
    Look(slice::Iter<'s, Entry<Key, Value>>),
}

impl<'s, Key, Value> Iterator for Visitor<'s, Key, Value> {
    type Item = (&'s Key, Held<'s, Value>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Visitor::Change(entries) => entries.next().map(|(key, one)| (&*key, Held::Change(one))),
            Visitor::Look(entries) => entries.next().map(|(key, one)| (key, Held::Look(one))),
        }
    }
}

impl<Key, Value> Default for Shelves<Key, Value> {
    fn default() -> Shelves<Key, Value> {
        Shelves {
            shelves: Vec::new(),
            len: 0,
        }
    }
}

fn pairs<Key, Value>(entries: &[Entry<Key, Value>]) -> impl Iterator<Item = (&Key, &Value)> {
    entries.iter().map(|(key, value)| (key, value))
}

impl<Key: Ord + Clone, Value: Clone> Shelves<Key, Value> {
    /// Bytes of an entry, with its share of the places that a half full shelf may keep free.
    pub(super) const fn bytes_an_entry() -> usize {
        let entry = size_of::<Entry<Key, Value>>();
        entry + entry * CHUNK / SHELF_MIN
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Key, &Value)> {
        self.shelves.iter().flat_map(|shelf| pairs(shelf))
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.iter().map(|(key, _)| key)
    }

    /// Everything: to be changed, which copies each shelf that a clone shares, or only to be looked at.
    pub(super) fn visit(
        &mut self,
        purpose: Purpose,
    ) -> impl Iterator<Item = (&Key, Held<'_, Value>)> {
        let shelves = self.shelves.iter_mut();
        shelves.flat_map(move |shelf| match purpose {
            Purpose::Change => Visitor::Change(Arc::make_mut(shelf).iter_mut()),
            Purpose::Look => Visitor::Look(shelf.iter()),
        })
    }

    /// Copies every shelf that another clone shares, from the last on.
    pub(super) fn unshare(&mut self) {
        for shelf in self.shelves.iter_mut().rev() {
            Arc::make_mut(shelf);
        }
    }

    /// The entries from `first` on.
    pub(super) fn range_from(&self, first: &Key) -> impl Iterator<Item = (&Key, &Value)> {
        let at = self.shelf_of(first);
        let (begun, rest) = match self.shelves.get(at..) {
            Some([begun, rest @ ..]) => {
                let before = begun.partition_point(|(key, _)| key < first);
                (&begun[before..], rest)
            }
            _ => (&[][..], &[][..]),
        };
        pairs(begun).chain(rest.iter().flat_map(|shelf| pairs(shelf)))
    }

    /// The first shelf that does not end before `key`.
    fn shelf_of(&self, key: &Key) -> usize {
        let ends_before =
            |shelf: &Shelf<Key, Value>| shelf.last().is_some_and(|(last, _)| last < key);
        self.shelves.partition_point(ends_before)
    }

    pub(super) fn insert(&mut self, key: Key, value: Value) {
        let mut at = self.shelf_of(&key);
        if at == self.shelves.len() {
            // Beyond the end: behind the last one, or on a new shelf, so that what comes in order fills each.
            match self.shelves.last() {
                Some(last) if last.len() < SHELF_MAX => at -= 1,
                _ => self.shelves.push(Shelf::default()),
            }
        }
        let place =
            |shelf: &Shelf<Key, Value>| shelf.binary_search_by(|(known, _)| known.cmp(&key));
        match place(&self.shelves[at]) {
            Ok(place) => Arc::make_mut(&mut self.shelves[at])[place].1 = value,
            Err(mut place) => {
                if self.shelves[at].len() == SHELF_MAX {
                    self.split(at);
                    if place > SHELF_MAX / 2 {
                        (at, place) = (at + 1, place - SHELF_MAX / 2);
                    }
                }
                let shelf = Arc::make_mut(&mut self.shelves[at]);
                if shelf.len() == shelf.capacity() {
                    shelf.reserve_exact(CHUNK);
                }
                shelf.insert(place, (key, value));
                self.len += 1;
            }
        }
    }

    fn split(&mut self, at: usize) {
        let first = Arc::make_mut(&mut self.shelves[at]);
        let second = first.split_off(SHELF_MAX / 2);
        first.shrink_to(first.len() + CHUNK);
        self.shelves.insert(at + 1, Arc::new(second));
    }

    /// Lets go of what `keep` does not want; shelves that stay as they are, are not copied.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&Key, &Value) -> bool) {
        for shelf in &mut self.shelves {
            let stays: Vec<bool> = pairs(shelf).map(|(key, value)| keep(key, value)).collect();
            let gone = stays.iter().filter(|stays| !**stays).count();
            self.len -= gone;
            if gone == shelf.len() {
                *shelf = Shelf::default();
            } else if gone > 0 {
                let mut stays = stays.into_iter();
                let shelf = Arc::make_mut(shelf);
                shelf.retain(|_| stays.next() == Some(true));
                shelf.shrink_to(shelf.len() + CHUNK);
            }
        }
        self.tidy_up();
    }

    fn tidy_up(&mut self) {
        self.shelves.retain(|shelf| !shelf.is_empty());
        let mut at = 1;
        while at < self.shelves.len() {
            if self.shelves[at - 1].len() + self.shelves[at].len() < SHELF_MIN {
                let mut second = Arc::unwrap_or_clone(self.shelves.remove(at));
                Arc::make_mut(&mut self.shelves[at - 1]).append(&mut second);
            } else {
                at += 1;
            }
        }
    }
}

impl<Key: Ord + Clone, Value: Clone> FromIterator<(Key, Value)> for Shelves<Key, Value> {
    fn from_iter<I: IntoIterator<Item = (Key, Value)>>(entries: I) -> Shelves<Key, Value> {
        let mut shelves = Shelves::default();
        entries
            .into_iter()
            .for_each(|(key, value)| shelves.insert(key, value));
        shelves
    }
}

/// As one map.
impl<Key, Value> Serialize for Shelves<Key, Value>
where
    Key: Ord + Clone + Serialize,
    Value: Clone + Serialize,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let mut map = serializer.serialize_map(Some(self.len))?;
        for (key, value) in self.iter() {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<'de, Key, Value> Deserialize<'de> for Shelves<Key, Value>
where
    Key: Ord + Clone + Deserialize<'de>,
    Value: Clone + Deserialize<'de>,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<Key, Value>(PhantomData<(Key, Value)>);
        impl<'de, Key, Value> de::Visitor<'de> for Entries<Key, Value>
        where
            Key: Ord + Clone + Deserialize<'de>,
            Value: Clone + Deserialize<'de>,
        {
            type Value = Shelves<Key, Value>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut shelves = Shelves::default();
                let mut batch: Vec<(Key, Value)> = Vec::with_capacity(SHELF_MAX);
                while let Some(entry) = map.next_entry()? {
                    batch.push(entry);
                    if batch.len() == SHELF_MAX {
                        shelves.put_down(&mut batch);
                    }
                }
                shelves.put_down(&mut batch);
                Ok(shelves)
            }
        }
        deserializer.deserialize_map(Entries(PhantomData))
    }
}

impl<Key: Ord + Clone, Value: Clone> Shelves<Key, Value> {
    /// A whole shelf at a time, packed closely, when it comes in order; one by one if not.
    fn put_down(&mut self, batch: &mut Vec<(Key, Value)>) {
        let last = self.shelves.last().and_then(|shelf| shelf.last());
        let begins_after = match (last, batch.first()) {
            (Some((last, _)), Some((first, _))) => last < first,
            (None, Some(_)) => true,
            (_, None) => return,
        };
        if begins_after && batch.is_sorted_by(|a, b| a.0 < b.0) {
            self.len += batch.len();
            let mut shelf = std::mem::replace(batch, Vec::with_capacity(SHELF_MAX));
            shelf.shrink_to_fit();
            self.shelves.push(Arc::new(shelf));
        } else {
            batch
                .drain(..)
                .for_each(|(key, value)| self.insert(key, value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    type Numbers = Shelves<u16, u64>;

    fn is_in_order(shelves: &Numbers) -> bool {
        let sizes = shelves.shelves.iter().map(|shelf| shelf.len());
        sizes.clone().all(|size| (1..=SHELF_MAX).contains(&size))
            && sizes.sum::<usize>() == shelves.len
            && shelves.keys().is_sorted_by(|a, b| a < b)
    }

    fn bytes(value: &impl Serialize) -> Vec<u8> {
        postcard::to_stdvec(value).unwrap()
    }

    fn add_one((_, held): (&u16, Held<'_, u64>)) {
        match held {
            Held::Change(value) => *value += 1,
            Held::Look(_) => panic!("it may be changed"),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn shelves_are_a_map_whatever_is_done_to_them(
            runs in prop::collection::vec((any::<u16>(), 1u16..600, 1u16..200, 1u64..5), 1..12),
            from: u16,
        ) {
            let (mut shelves, mut map) = (Numbers::default(), BTreeMap::new());
            for (first, count, step, modulus) in runs {
                for n in 0..count {
                    let key = first.wrapping_add(n.wrapping_mul(step));
                    shelves.insert(key, u64::from(n));
                    map.insert(key, u64::from(n));
                }
                shelves.retain(|key, value| (u64::from(*key) + value) % modulus != 1);
                map.retain(|key, value| (u64::from(*key) + *value) % modulus != 1);
                shelves.visit(Purpose::Change).for_each(add_one);
                map.values_mut().for_each(|value| *value += 1);
                prop_assert!(is_in_order(&shelves));
                prop_assert!(shelves.iter().eq(map.iter()));
            }
            prop_assert!(shelves.range_from(&from).eq(map.range(from..)));
            prop_assert_eq!(bytes(&shelves), bytes(&map));
            let restored: Numbers = postcard::from_bytes(&bytes(&map)).unwrap();
            prop_assert!(is_in_order(&restored) && restored.iter().eq(map.iter()));
        }
    }

    #[test]
    fn a_clone_stays_as_it_was_and_shares_what_is_not_changed() {
        let mut shelves: Numbers = (0..2000).map(|key| (key, 0)).collect();
        let frozen = shelves.clone();
        shelves.insert(100, 1);
        shelves.retain(|&key, _| key != 700);
        let shared = frozen.shelves.iter().zip(&shelves.shelves);
        let copied = shared.filter(|(a, b)| !Arc::ptr_eq(a, b)).count();
        assert_eq!(copied, 2, "the shelf of 100 and that of 700");
        let unchanged = shelves.clone();
        assert_eq!(
            shelves.visit(Purpose::Look).map(|(_, held)| *held).max(),
            Some(1)
        );
        let shared = unchanged.shelves.iter().zip(&shelves.shelves);
        assert!(
            shared.clone().all(|(a, b)| Arc::ptr_eq(a, b)),
            "looking copies nothing"
        );
        drop(unchanged);
        shelves.visit(Purpose::Change).for_each(add_one);
        assert!(
            frozen
                .iter()
                .eq((0..2000).map(|key| (key, 0)).collect::<Numbers>().iter())
        );
    }

    #[test]
    fn what_is_unshared_while_the_other_changes_is_as_it_was() {
        let mut shelves: Numbers = (0..20_000).map(|key| (key, 0)).collect();
        let mut frozen = shelves.clone();
        let unsharing = std::thread::spawn(move || {
            frozen.unshare();
            frozen
        });
        shelves.visit(Purpose::Change).for_each(add_one);
        let mut frozen = unsharing.join().unwrap();
        assert!(frozen.iter().all(|(_, value)| *value == 0) && frozen.len() == 20_000);
        assert!(shelves.iter().all(|(_, value)| *value == 1) && shelves.len() == 20_000);
        let is_alone = |shelf: &mut Shelf<u16, u64>| Arc::get_mut(shelf).is_some();
        assert!(frozen.shelves.iter_mut().all(is_alone));
        assert!(shelves.shelves.iter_mut().all(is_alone));
    }

    #[test]
    fn entries_out_of_order_in_foreign_bytes_are_put_in_order() {
        let unordered: Vec<(u16, u64)> = vec![(5, 1), (3, 2), (5, 3)];
        let read: Numbers = postcard::from_bytes(&bytes(&unordered)).unwrap();
        assert!(read.iter().eq(BTreeMap::from([(3, 2), (5, 3)]).iter()));
    }
}
