//! The series of a closed bucket as bytes: what is alike stands together, and each name once.
//!
//! Most series of a bucket are sparse: a name or two, an event or two, and as many shares. Written one after another their names would be nearly
//! all of the bytes, and to make texts of them again nearly all of the work. So each column of names (partition, over and by values, and those of
//! each influencer) has a list of its texts in the order of their first use, and speaks of them by number. Numbers, counts and digits lie apart, each
//! with its like.
//!
//! Layout: form (u8: 0 series as postcard writes them, 1 columns). Columns: runs of series of one shape (see [`Shape`]), the lists of names, and the
//! sections of a [`Sheet`], each with its length. A number is a varint (LEB128). A name is 0: the one before it in its column; 1: the column's next
//! new one; else its place in the list, plus 2. A share that is all of its series is said to be, and has no cells.
//! Holds: equal series give equal bytes; whatever the bytes, nothing panics, and nothing is reserved that the bytes could not fill.
//! Self-contained: no message needs another one to be read. Checked: tests below, engine/wire.rs, tests/upgrade.rs.

use super::{SeriesBucket, SeriesKey, Share};
use crate::engine::event::symbols::hash_of;
use crate::engine::feature::{Row, SHEET_SECTIONS, Sheet, SheetCells, Statistic};
use crate::numerics::varint::{Bytes, put};
use hashbrown::HashTable;
use serde::de::{self, Deserializer};
use serde::ser::{Error, Serializer};
use std::fmt;
use std::sync::Arc;

const PLAIN: u8 = 0;
const COLUMNS: u8 = 1;
/// Columns of names before those of the influencers: partition, over, by.
const SPLITS: usize = 3;
/// A name: the one before it; the next new one; the first of the list.
const AS_BEFORE: u64 = 0;
const NEXT: u64 = 1;
const FIRST: u64 = 2;
/// Shares of one influencer: no more of this series; one that is all of the series; else so many, plus 1.
const END: u64 = 0;
const ALL: u64 = 1;
/// So much is made room for at once, whatever is said of how much will come: a message may say anything.
const AT_ONCE: usize = 4096;
/// The sections before those of the sheet: runs, names, keys, shares.
const SECTIONS: usize = 4;

/// For `#[serde(with)]`.
pub(super) fn serialize<S: Serializer>(
    series: &[SeriesBucket],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let bytes = match packed(series) {
        Some(bytes) => bytes,
        None => postcard::to_extend(series, vec![PLAIN]).map_err(S::Error::custom)?,
    };
    serializer.serialize_bytes(&bytes)
}

/// For `#[serde(with)]`.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<SeriesBucket>, D::Error> {
    struct Visitor;
    impl de::Visitor<'_> for Visitor {
        type Value = Vec<SeriesBucket>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("the series of a bucket as bytes")
        }

        fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Vec<SeriesBucket>, E> {
            let unreadable = || E::custom("the series of a bucket are not to be read");
            match bytes {
                [PLAIN, rest @ ..] => postcard::from_bytes(rest).map_err(E::custom),
                [COLUMNS, rest @ ..] => unpacked(rest).ok_or_else(unreadable),
                _ => Err(unreadable()),
            }
        }
    }
    deserializer.deserialize_bytes(Visitor)
}

/// What successive series have in common.
#[derive(Clone, PartialEq, Eq)]
struct Shape {
    group: u16,
    /// Bit 0: has a partition value; 1: an over value; 2: a by value.
    splits: u8,
    /// One a cell of a row.
    statistics: Vec<Statistic>,
}

impl Shape {
    fn of(series: &SeriesBucket) -> Shape {
        Shape {
            group: series.group,
            splits: splits_of(&series.key),
            statistics: series.cells.iter().map(|cell| cell.statistic()).collect(),
        }
    }

    fn is_of(&self, series: &SeriesBucket) -> bool {
        self.group == series.group
            && self.splits == splits_of(&series.key)
            && self.fits(&series.cells)
    }

    fn fits(&self, cells: &Row) -> bool {
        let statistics = cells.iter().map(|cell| cell.statistic());
        statistics.eq(self.statistics.iter().copied())
    }
}

fn splits_of(key: &SeriesKey) -> u8 {
    let has = |value: &Option<Arc<str>>| u8::from(value.is_some());
    has(&key.partition) | has(&key.over) << 1 | has(&key.by) << 2
}

/// The texts of a column, in the order of their first use.
struct Names<'s> {
    texts: Vec<&'s str>,
    /// Places of texts, each behind their hash.
    places: HashTable<(u64, u32)>,
    last: Option<(&'s Arc<str>, u32)>,
}

impl<'s> Names<'s> {
    /// With room for so many texts.
    fn with_room_for(count: usize) -> Names<'s> {
        Names {
            texts: Vec::with_capacity(count),
            places: HashTable::with_capacity(count),
            last: None,
        }
    }

    /// Says which name it is.
    #[inline]
    fn tell(&mut self, text: &'s Arc<str>, out: &mut Vec<u8>) {
        // Texts of a bucket are mostly one in memory.
        if self.last.is_some_and(|(last, _)| Arc::ptr_eq(last, text)) {
            return put(out, AS_BEFORE);
        }
        let known = self.texts.len() as u32;
        let place = self.place(text);
        let word = match place {
            _ if self.last.is_some_and(|(_, last)| last == place) => AS_BEFORE,
            _ if place == known => NEXT,
            _ => FIRST + u64::from(place),
        };
        self.last = Some((text, place));
        put(out, word);
    }

    #[inline]
    fn place(&mut self, text: &'s str) -> u32 {
        let (texts, hash) = (&self.texts, hash_of(text));
        let is_it = |known: &(u64, u32)| known.0 == hash && *texts[known.1 as usize] == *text;
        if let Some(known) = self.places.find(hash, is_it) {
            return known.1;
        }
        let place = texts.len() as u32;
        self.texts.push(text);
        let known = (hash, place);
        self.places.insert_unique(hash, known, |known| known.0);
        place
    }
}

/// Series on their way into bytes.
#[derive(Default)]
struct Packer<'s> {
    runs: Vec<u8>,
    columns: Vec<Names<'s>>,
    /// Names of the series' keys.
    keys: Vec<u8>,
    /// How many shares a series has, and whose they are.
    shares: Vec<u8>,
    cells: Sheet,
    /// Names that a column has room for from the first: as many as there are series, while they are not many.
    names: usize,
}

/// `None`: series that no gatherer makes, whose shares are not shaped as they are.
fn packed(series: &[SeriesBucket]) -> Option<Vec<u8>> {
    let mut packer = Packer::with_room_for(series.len());
    let mut rest = series;
    while let Some(first) = rest.first() {
        let shape = Shape::of(first);
        let others = rest.iter().take_while(|series| shape.is_of(series));
        let (run, after) = rest.split_at(others.count());
        packer.begin(&shape, run.len());
        for series in run {
            packer.add(&shape, series)?;
        }
        rest = after;
    }
    Some(packer.finish())
}

impl<'s> Packer<'s> {
    /// For so many series, of a name and a share each as most are, or some more.
    fn with_room_for(count: usize) -> Packer<'s> {
        let bytes = |each: usize| Vec::with_capacity(each * count);
        Packer {
            keys: bytes(4),
            shares: bytes(16),
            names: count.min(AT_ONCE),
            ..Packer::default()
        }
    }

    fn begin(&mut self, shape: &Shape, count: usize) {
        put(&mut self.runs, count as u64);
        put(&mut self.runs, u64::from(shape.group));
        self.runs.push(shape.splits);
        put(&mut self.runs, shape.statistics.len() as u64);
        let statistics = shape.statistics.iter();
        self.runs.extend(statistics.map(|&one| one as u8));
    }

    fn column(&mut self, at: usize) -> &mut Names<'s> {
        if self.columns.len() <= at {
            let names = self.names;
            self.columns
                .resize_with(at + 1, || Names::with_room_for(names));
        }
        &mut self.columns[at]
    }

    fn add(&mut self, shape: &Shape, series: &'s SeriesBucket) -> Option<()> {
        let SeriesKey {
            partition,
            over,
            by,
        } = &series.key;
        let mut keys = std::mem::take(&mut self.keys);
        for (at, value) in [partition, over, by].into_iter().enumerate() {
            if let Some(value) = value {
                self.column(at).tell(value, &mut keys);
            }
        }
        self.keys = keys;
        series.cells.iter().for_each(|cell| self.cells.put(cell));
        let mut shares = std::mem::take(&mut self.shares);
        for own in series.shares.chunk_by(|a, b| a.influencer == b.influencer) {
            let first = &own[0];
            let is_all = own.len() == 1 && first.cells == series.cells;
            let word = if is_all { ALL } else { own.len() as u64 + ALL };
            put(&mut shares, word);
            put(&mut shares, u64::from(first.influencer));
            let column = self.column(SPLITS + usize::from(first.influencer));
            own.iter()
                .for_each(|share| column.tell(&share.value, &mut shares));
            if is_all {
                continue;
            }
            for share in own {
                if !shape.fits(&share.cells) {
                    return None;
                }
                share.cells.iter().for_each(|cell| self.cells.put(cell));
            }
        }
        put(&mut shares, END);
        self.shares = shares;
        Some(())
    }

    fn finish(self) -> Vec<u8> {
        let mut names = Vec::new();
        put(&mut names, self.columns.len() as u64);
        for column in &self.columns {
            put(&mut names, column.texts.len() as u64);
            for text in &column.texts {
                put(&mut names, text.len() as u64);
                names.extend_from_slice(text.as_bytes());
            }
        }
        let cells = self.cells.sections();
        let sections = [&self.runs, &names, &self.keys, &self.shares];
        let all = sections.into_iter().chain(cells);
        let mut bytes = vec![COLUMNS];
        bytes.reserve(all.clone().map(|section| section.len() + 5).sum());
        for section in all {
            put(&mut bytes, section.len() as u64);
            bytes.extend_from_slice(section);
        }
        bytes
    }
}

/// Series on their way out of bytes.
struct Unpacker<'b> {
    columns: Vec<Texts>,
    keys: Bytes<'b>,
    shares: Bytes<'b>,
    cells: SheetCells<'b>,
}

/// The texts of a column, and how far it is read.
struct Texts {
    texts: Vec<Arc<str>>,
    used: usize,
    last: Option<usize>,
}

impl Texts {
    fn read(names: &mut Bytes<'_>) -> Option<Texts> {
        let count = names.count()?;
        let mut texts = Vec::with_capacity(count.min(AT_ONCE));
        for _ in 0..count {
            let length = names.count()?;
            texts.push(std::str::from_utf8(names.take(length)?).ok()?.into());
        }
        Some(Texts {
            texts,
            used: 0,
            last: None,
        })
    }

    #[inline]
    fn next(&mut self, from: &mut Bytes<'_>) -> Option<Arc<str>> {
        let place = match from.number()? {
            AS_BEFORE => self.last?,
            NEXT => {
                self.used += 1;
                self.used - 1
            }
            word => {
                let place = usize::try_from(word - FIRST).ok()?;
                // A name has one word in each place.
                let is_known = place < self.used && self.last != Some(place);
                is_known.then_some(place)?
            }
        };
        self.last = Some(place);
        self.texts.get(place).cloned()
    }
}

/// `None`: no series.
fn unpacked(bytes: &[u8]) -> Option<Vec<SeriesBucket>> {
    let mut bytes = Bytes(bytes);
    let mut section = || {
        let length = bytes.count()?;
        bytes.take(length).map(Bytes)
    };
    let mut own = [Bytes(&[]); SECTIONS];
    for one in &mut own {
        *one = section()?;
    }
    let mut sheet = [Bytes(&[]); SHEET_SECTIONS];
    for one in &mut sheet {
        *one = section()?;
    }
    let [mut runs, mut names, keys, shares] = own;
    let columns: Option<Vec<Texts>> = (0..names.count()?)
        .map(|_| Texts::read(&mut names))
        .collect();
    let mut unpacker = Unpacker {
        columns: columns?,
        keys,
        shares,
        cells: SheetCells::of(sheet),
    };
    let mut series = Vec::new();
    while !runs.is_empty() {
        let count = usize::try_from(runs.number()?).ok()?;
        let shape = Shape::read(&mut runs)?;
        // Each has a byte at least that says where its shares end.
        if count > unpacker.shares.len() {
            return None;
        }
        series.reserve(count.min(AT_ONCE));
        for _ in 0..count {
            series.push(unpacker.next(&shape)?);
        }
    }
    let is_all = bytes.is_empty() && names.is_empty() && unpacker.is_at_end();
    is_all.then_some(series)
}

impl Shape {
    fn read(runs: &mut Bytes<'_>) -> Option<Shape> {
        let group = u16::try_from(runs.number()?).ok()?;
        let splits = runs.byte().filter(|splits| splits >> SPLITS == 0)?;
        let width = runs.count()?;
        let numbers = runs.take(width)?.iter();
        let statistics: Option<Vec<Statistic>> = numbers
            .map(|&number| Statistic::ALL.get(usize::from(number)).copied())
            .collect();
        Some(Shape {
            group,
            splits,
            statistics: statistics?,
        })
    }
}

impl Unpacker<'_> {
    fn next(&mut self, shape: &Shape) -> Option<SeriesBucket> {
        let mut key = SeriesKey::default();
        let values = [&mut key.partition, &mut key.over, &mut key.by];
        for (at, value) in values.into_iter().enumerate() {
            if shape.splits >> at & 1 != 0 {
                *value = Some(self.columns.get_mut(at)?.next(&mut self.keys)?);
            }
        }
        let cells = self.row(shape)?;
        let mut shares = Vec::new();
        loop {
            let word = self.shares.number()?;
            if word == END {
                break;
            }
            let influencer = u16::try_from(self.shares.number()?).ok()?;
            let column = self.columns.get_mut(SPLITS + usize::from(influencer))?;
            let count = usize::try_from(word - ALL).ok()?.max(1);
            if count > self.shares.len() {
                return None; // a name takes a byte at least
            }
            let begun = shares.len();
            shares.reserve_exact(count.min(AT_ONCE));
            for _ in 0..count {
                shares.push(Share {
                    influencer,
                    value: column.next(&mut self.shares)?,
                    cells: Row::new(),
                });
            }
            for share in &mut shares[begun..] {
                share.cells = match word {
                    ALL => cells.clone(),
                    _ => self.row(shape)?,
                };
            }
        }
        Some(SeriesBucket {
            group: shape.group,
            key,
            cells,
            shares,
        })
    }

    #[inline]
    fn row(&mut self, shape: &Shape) -> Option<Row> {
        if let [statistic] = shape.statistics[..] {
            return Some(Row::from([self.cells.take(statistic)?]));
        }
        let statistics = shape.statistics.iter();
        statistics
            .map(|&statistic| self.cells.take(statistic))
            .collect()
    }

    fn is_at_end(&self) -> bool {
        let used = |column: &Texts| column.used == column.texts.len();
        self.keys.is_empty()
            && self.shares.is_empty()
            && self.cells.is_empty()
            && self.columns.iter().all(used)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::feature::Accumulator;
    use proptest::prelude::*;

    fn mean(value: f64) -> Accumulator {
        let mut cell = Accumulator::new(Statistic::Mean);
        cell.add_number(value, 1);
        cell
    }

    fn text() -> impl Strategy<Value = Arc<str>> {
        "[ab]{0,2}".prop_map(Arc::from)
    }

    fn cell() -> impl Strategy<Value = Accumulator> {
        prop_oneof![
            any::<u64>().prop_map(Accumulator::Count),
            (-1e9..1e9f64).prop_map(mean),
            (0..50i32).prop_map(|whole| mean(whole.into())),
            Just(Accumulator::new(Statistic::Median)),
        ]
    }

    fn row() -> impl Strategy<Value = Row> {
        prop::collection::vec(cell(), 0..3).prop_map(Row::from)
    }

    /// Series of any shapes in any order, most of which no gatherer makes.
    fn series() -> impl Strategy<Value = Vec<SeriesBucket>> {
        let value = || prop::option::of(text());
        let share = (0u16..3, text(), row()).prop_map(|(influencer, value, cells)| Share {
            influencer,
            value,
            cells,
        });
        let key = (value(), value(), value()).prop_map(|(partition, over, by)| SeriesKey {
            partition,
            over,
            by,
        });
        let one = (
            0u16..3,
            key,
            row(),
            prop::collection::vec(share, 0..4),
            any::<bool>(),
        );
        let one = one.prop_map(|(group, key, cells, mut shares, alike)| {
            if alike {
                let own = shares.iter_mut();
                own.for_each(|share| share.cells = cells.clone());
            }
            SeriesBucket {
                group,
                key,
                cells,
                shares,
            }
        });
        prop::collection::vec(one, 0..8)
    }

    /// The same texts, none of them one in memory with another.
    fn apart(series: &[SeriesBucket]) -> Vec<SeriesBucket> {
        let copy = |text: &Arc<str>| Arc::from(&**text);
        let copied = |series: &SeriesBucket| SeriesBucket {
            key: SeriesKey {
                partition: series.key.partition.as_ref().map(copy),
                over: series.key.over.as_ref().map(copy),
                by: series.key.by.as_ref().map(copy),
            },
            shares: series
                .shares
                .iter()
                .map(|share| Share {
                    value: copy(&share.value),
                    ..share.clone()
                })
                .collect(),
            ..series.clone()
        };
        series.iter().map(copied).collect()
    }

    proptest! {
        #[test]
        fn series_come_back_and_equal_ones_have_equal_bytes(series in series()) {
            let packed = packed(&series);
            prop_assert_eq!(&packed, &super::packed(&apart(&series)));
            if let Some(bytes) = packed {
                prop_assert_eq!(bytes[0], COLUMNS);
                prop_assert_eq!(unpacked(&bytes[1..]), Some(series));
            }
        }

        #[test]
        fn damaged_bytes_are_other_series_or_none(
            series in series(),
            at: prop::sample::Index,
            byte: u8,
        ) {
            if let Some(mut bytes) = packed(&series) {
                let at = at.index(bytes.len());
                bytes[at] = byte;
                let _ = unpacked(&bytes[1..]);
                let _ = unpacked(&bytes[1..at.max(1)]);
            }
        }
    }

    #[test]
    fn a_name_is_written_once_and_a_share_that_is_all_of_its_series_without_cells() {
        let series = |host: &str, by: &str, user: &str| SeriesBucket {
            group: 0,
            key: SeriesKey {
                partition: Some(host.into()),
                over: None,
                by: Some(by.into()),
            },
            cells: [mean(9284.0)].into(),
            shares: vec![Share {
                influencer: 0,
                value: user.into(),
                cells: [mean(9284.0)].into(),
            }],
        };
        let bytes = |count: usize| {
            let one = |n: usize| {
                series(
                    "host-0001",
                    if n.is_multiple_of(2) { "200" } else { "404" },
                    "alice",
                )
            };
            let all: Vec<SeriesBucket> = (0..count).map(one).collect();
            packed(&all).expect("shaped as its shares").len()
        };
        assert_eq!(
            bytes(11) - bytes(10),
            2 + 4 + 4,
            "two names, a cell, a share"
        );
    }
}
