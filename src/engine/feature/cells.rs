//! The accumulators of one group in one open bucket: a row a series, a row a share.
//!
//! Rows are kept densely in the order of their first event, found by slot through an index that needs no clearing (Briggs and Torczon,
//! "An efficient representation for sparse sets", 1993: an entry counts only if the row it names knows the slot). The memory is used
//! again for the next bucket. That order never shows: series and shares leave sorted by their texts.

use super::entities::{Entities, Slot, mix};
use super::reading::Reader;
use super::{Accumulator, FeatureSpec, Group, Row, SeriesBucket, Share, Spot, Statistic};
use crate::config::Job;
use crate::engine::event::symbols::Symbol;
use hashbrown::HashTable;
use std::borrow::Cow;
use std::mem;

/// The accumulators of one group in one open bucket.
#[derive(Default)]
pub(crate) struct Cells {
    /// By slot: its row. Whatever stands for a slot without a row is never believed.
    row_of: Vec<u32>,
    /// By row: its slot.
    slots: Vec<Slot>,
    /// By row, then by feature.
    series: Vec<Accumulator>,
    /// By row, then by shared influencer.
    lists: Vec<List>,
    /// By share: what it is of.
    owners: Vec<Owner>,
    /// By share: the one before it in its list.
    before: Vec<u32>,
    /// The shares of long lists.
    share_of: HashTable<u32>,
    /// By share, then by feature.
    shares: Vec<Accumulator>,
}

/// The shares of one row and influencer. Nearly all have a few, which are looked through; those of longer lists are hashed.
#[derive(Clone, Copy, Default)]
struct List {
    /// The newest share, an index into `owners`; of a long list, the one met last.
    last: u32,
    count: u32,
}

/// So many shares are looked through.
const LISTED_MAX: u32 = 8;

#[derive(Clone, Copy, PartialEq, Eq)]
struct Owner {
    row: u32,
    influencer: u16,
    symbol: Symbol,
}

impl Owner {
    #[inline]
    fn hash(self) -> u64 {
        mix(self.row, self.symbol).wrapping_add(mix(u32::from(self.influencer), 0))
    }
}

impl Cells {
    /// Takes the event at hand, which belongs to `slot`.
    pub(crate) fn add(&mut self, group: &Group, slot: Slot, reader: &Reader, weight: u64) {
        let features = &group.features;
        let row = self.row(group, slot);
        let told = match features[..] {
            [feature] => Some(told(&feature, reader)),
            _ => None,
        };
        let at = row as usize * features.len();
        let cells = &mut self.series[at..at + features.len()];
        apply(features, told, cells, reader, weight);
        if group.shared_influencers.is_empty() {
            return;
        }
        for &(influencer, symbol) in reader.influences() {
            let Ok(column) = group.shared_influencers.binary_search(&influencer) else {
                continue;
            };
            let owner = Owner {
                row,
                influencer,
                symbol,
            };
            let at = self.share(group, owner, column) * features.len();
            let cells = &mut self.shares[at..at + features.len()];
            apply(features, told, cells, reader, weight);
        }
    }

    #[inline]
    fn row(&mut self, group: &Group, slot: Slot) -> u32 {
        match self.row_of.get(slot as usize) {
            Some(&row) if self.slots.get(row as usize) == Some(&slot) => row,
            _ => self.add_row(group, slot),
        }
    }

    fn add_row(&mut self, group: &Group, slot: Slot) -> u32 {
        let row = u32::try_from(self.slots.len()).expect("fewer rows than slots");
        if self.row_of.len() <= slot as usize {
            self.row_of.resize(slot as usize + 1, 0);
        }
        self.row_of[slot as usize] = row;
        self.slots.push(slot);
        self.series.extend(fresh(&group.features));
        let shared = group.shared_influencers.len();
        let none = std::iter::repeat_n(List::default(), shared);
        self.lists.extend(none);
        row
    }

    #[inline]
    fn share(&mut self, group: &Group, owner: Owner, column: usize) -> usize {
        let place = owner.row as usize * group.shared_influencers.len() + column;
        let list = self.lists[place];
        if list.count > LISTED_MAX {
            return self.hashed_share(group, owner, place);
        }
        let mut at = list.last;
        for _ in 0..list.count {
            if self.owners[at as usize].symbol == owner.symbol {
                return at as usize;
            }
            at = self.before[at as usize];
        }
        let share = self.add_share(group, owner, place);
        if self.lists[place].count > LISTED_MAX {
            self.hash_list(place);
        }
        share as usize
    }

    fn add_share(&mut self, group: &Group, owner: Owner, place: usize) -> u32 {
        let share = u32::try_from(self.owners.len()).expect("fewer than 2^32 shares in memory");
        let list = &mut self.lists[place];
        self.before.push(list.last);
        list.last = share;
        list.count += 1;
        self.owners.push(owner);
        self.shares.extend(fresh(&group.features));
        share
    }

    /// A list has become long.
    #[cold]
    fn hash_list(&mut self, place: usize) {
        let (list, owners) = (self.lists[place], &self.owners);
        let mut at = list.last;
        for _ in 0..list.count {
            let hash = |&share: &u32| owners[share as usize].hash();
            self.share_of.insert_unique(hash(&at), at, hash);
            at = self.before[at as usize];
        }
    }

    /// Of a long list.
    fn hashed_share(&mut self, group: &Group, owner: Owner, place: usize) -> usize {
        let last = self.lists[place].last as usize;
        if self.owners[last] == owner {
            return last;
        }
        let owners = &self.owners;
        let known = self
            .share_of
            .find(owner.hash(), |&share| owners[share as usize] == owner);
        let share = match known {
            Some(&known) => known,
            None => {
                let share = self.add_share(group, owner, place);
                let owners = &self.owners;
                let hash = |&share: &u32| owners[share as usize].hash();
                self.share_of.insert_unique(owner.hash(), share, hash);
                share
            }
        };
        self.lists[place].last = share;
        share as usize
    }

    /// Puts back a series as `copy` wrote it; it fits the layout.
    pub(crate) fn put(
        &mut self,
        (job, group): (&Job, &Group),
        slot: Slot,
        series: SeriesBucket,
        reader: &mut Reader,
        epoch: u64,
    ) {
        let row = self.row(group, slot);
        let at = row as usize * group.features.len();
        for (cell, stored) in self.series[at..].iter_mut().zip(series.cells) {
            *cell = stored;
        }
        for share in series.shares {
            let influencer = share.influencer;
            let column = group
                .shared_influencers
                .binary_search(&influencer)
                .expect("a fitting series has shares of shared influencers only");
            let field = job.influencers[usize::from(influencer)];
            let owner = Owner {
                row,
                influencer,
                symbol: reader.intern(field, &share.value, epoch),
            };
            let at = self.share(group, owner, column) * group.features.len();
            for (cell, stored) in self.shares[at..].iter_mut().zip(share.cells) {
                *cell = stored;
            }
        }
    }

    /// The series, sorted by key, as copies.
    pub(crate) fn copy(&self, from: &Source<'_>) -> Vec<SeriesBucket> {
        self.collect(
            from,
            |at| self.series[at].clone(),
            |at| self.shares[at].clone(),
        )
    }

    /// The series, sorted by key; nothing stays but the memory.
    pub(crate) fn take(&mut self, from: &Source<'_>) -> Vec<SeriesBucket> {
        let (mut series, mut shares) = (mem::take(&mut self.series), mem::take(&mut self.shares));
        let gone = || Accumulator::Count(0);
        let taken = self.collect(
            from,
            |at| mem::replace(&mut series[at], gone()),
            |at| mem::replace(&mut shares[at], gone()),
        );
        (self.series, self.shares) = (series, shares);
        recycle(&mut self.slots);
        recycle(&mut self.series);
        recycle(&mut self.lists);
        recycle(&mut self.owners);
        recycle(&mut self.before);
        recycle(&mut self.shares);
        if !self.share_of.is_empty() {
            self.share_of.clear();
        }
        taken
    }

    fn collect(
        &self,
        from: &Source<'_>,
        mut series_cell: impl FnMut(usize) -> Accumulator,
        mut share_cell: impl FnMut(usize) -> Accumulator,
    ) -> Vec<SeriesBucket> {
        let Source {
            job,
            reader,
            entities,
            group,
            index,
        } = *from;
        let width = group.features.len();
        let rank = entities.ranks(reader);
        let mut rows: Vec<(u64, u32)> = (0..)
            .zip(&self.slots)
            .map(|(row, &slot)| (rank(slot), row))
            .collect();
        rows.sort_unstable();
        let (mut shares, ends) = self.shares_by_row(from);
        let mut series = Vec::with_capacity(rows.len());
        for (_, row) in rows {
            let at = row as usize;
            let start = at.checked_sub(1).map_or(0, |before| ends[before]);
            let own = &mut shares[start..ends[at]];
            own.sort_unstable();
            let told = own.iter().map(|&(_, share)| {
                let owner = &self.owners[share as usize];
                let field = job.influencers[usize::from(owner.influencer)];
                Share {
                    influencer: owner.influencer,
                    value: reader.text(field, owner.symbol).clone(),
                    cells: cells_of(share as usize, width, &mut share_cell),
                }
            });
            series.push(SeriesBucket {
                group: index,
                key: entities.key(self.slots[at], reader),
                shares: told.collect(),
                cells: cells_of(at, width, &mut series_cell),
            });
        }
        series
    }

    /// The shares of each row together, each behind a number that is to its neighbours' as (influencer, value) is to theirs; and by row
    /// where its shares end. Counted into their places: sorting them all by row would cost more than what is left to sort.
    fn shares_by_row(&self, from: &Source<'_>) -> (Vec<(u64, u32)>, Vec<usize>) {
        let mut ranks: Vec<Cow<'_, [u32]>> = vec![Cow::default(); from.job.influencers.len()];
        for &influencer in &from.group.shared_influencers {
            let at = usize::from(influencer);
            ranks[at] = from.reader.ranks(from.job.influencers[at]);
        }
        let ranks: Vec<&[u32]> = ranks.iter().map(|ranks| &**ranks).collect();
        let mut next = vec![0; self.slots.len()];
        for owner in &self.owners {
            next[owner.row as usize] += 1;
        }
        let mut start = 0;
        for count in &mut next {
            start += mem::replace(count, start);
        }
        let mut shares = vec![(0, 0); self.owners.len()];
        for (share, owner) in (0..).zip(&self.owners) {
            let rank = ranks[usize::from(owner.influencer)][owner.symbol as usize];
            let place = &mut next[owner.row as usize];
            shares[*place] = (u64::from(owner.influencer) << 32 | u64::from(rank), share);
            *place += 1;
        }
        (shares, next)
    }
}

/// Where the texts and the shape of a group's cells are known.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) job: &'a Job,
    pub(crate) reader: &'a Reader,
    pub(crate) entities: &'a Entities,
    pub(crate) group: &'a Group,
    /// Which group it is.
    pub(crate) index: u16,
}

/// The cells of a row: most rows have one, which needs no list.
#[inline]
fn cells_of(row: usize, width: usize, mut cell: impl FnMut(usize) -> Accumulator) -> Row {
    match width {
        1 => Row::from([cell(row)]),
        _ => (row * width..(row + 1) * width).map(cell).collect(),
    }
}

fn fresh(features: &[FeatureSpec]) -> impl Iterator<Item = Accumulator> {
    features
        .iter()
        .map(|feature| Accumulator::new(feature.statistic))
}

/// Empties a buffer; gives most of its memory back when it was hardly used.
fn recycle<T>(buffer: &mut Vec<T>) {
    let used = buffer.len();
    buffer.clear();
    if buffer.capacity() / 4 > used + 1024 {
        buffer.shrink_to(2 * used);
    }
}

/// What the event at hand tells a feature.
#[derive(Clone, Copy)]
enum Told<'r> {
    Nothing,
    Event,
    Number(f64),
    Hash(u64),
    Text(u64, &'r str),
    Spot(Spot),
}

#[inline]
fn told<'r>(feature: &FeatureSpec, reader: &'r Reader) -> Told<'r> {
    if feature.statistic.ground().is_some() {
        return reader.spot(feature).map_or(Told::Nothing, Told::Spot);
    }
    let Some(field) = feature.field else {
        return Told::Event;
    };
    let reading = &reader.readings()[usize::from(field.0)];
    let told = match feature.statistic {
        Statistic::Distinct => reading.hash.map(Told::Hash),
        Statistic::Info => {
            let text = |hash| Told::Text(hash, reader.whole_text(field));
            reading.hash.map(text)
        }
        _ => reading.number.map(Told::Number),
    };
    told.unwrap_or(Told::Nothing)
}

/// Tells each feature's cell; `known` is what is told where there is but one.
#[inline]
fn apply(
    features: &[FeatureSpec],
    known: Option<Told<'_>>,
    cells: &mut [Accumulator],
    reader: &Reader,
    weight: u64,
) {
    if let (Some(told), [cell]) = (known, &mut *cells) {
        return tell(cell, told, weight);
    }
    for (feature, cell) in features.iter().zip(cells) {
        tell(cell, told(feature, reader), weight);
    }
}

#[inline]
fn tell(cell: &mut Accumulator, told: Told<'_>, weight: u64) {
    match told {
        Told::Nothing => {}
        Told::Event => cell.add_event(weight),
        Told::Number(number) => cell.add_number(number, weight),
        Told::Hash(hash) => cell.add_hash(hash, weight),
        Told::Text(hash, text) => cell.add_text(hash, text, weight),
        Told::Spot(spot) => cell.add_spot(spot, weight),
    }
}
