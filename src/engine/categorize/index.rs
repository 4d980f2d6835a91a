//! Which categories a message may be of, without looking at all of them; and which categories differ in one word only.
//!
//! *By word.* A message of a category has lost less than a quarter of the template's weight. So if a category is listed under words that weigh a
//! quarter of it, every message of it has one of them (the prefix filter of set-similarity joins; Chaudhuri, Ganti, Kaushik 2006). The longest words are
//! taken: they are the rarest. Of a mature category a message has every word, so that one is enough: its *anchor*, the word that the fewest categories have
//! when it matures. A message that begins with a word is never of a category that begins with another (template.rs), so that those are listed
//! under pairs of their first word and a listed one; only a message that begins with a value has to look at all. *By siblings.* Under the hash of each template with one word left out stand the categories that share it.
//!
//! Holds: an index is a function of the templates and anchors in it, not of how they came; lists are sorted. It is made anew on restore.

use super::template::{Fixed, Template};
use hashbrown::HashMap;
use smallvec::SmallVec;
use std::cmp::Reverse;
use std::hash::{BuildHasherDefault, Hasher};

type Ids = SmallVec<[u32; 4]>;

/// Hashes are hashes already.
#[derive(Clone, Copy, Default)]
pub(super) struct Ready(u64);

impl Hasher for Ready {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {
        unreachable!("keys are numbers");
    }
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

type Lists = HashMap<u64, Ids, BuildHasherDefault<Ready>>;
type Counts = HashMap<u64, u32, BuildHasherDefault<Ready>>;

/// Templates with more words than this are not held against one another.
const SIBLING_WORDS_MAX: usize = 32;

/// Finds categories by their words.
#[derive(Default)]
pub(super) struct Index {
    by_word: Lists,
    /// By category: whether it is listed under an anchor.
    anchored: Vec<bool>,
    /// How many have an anchor.
    anchors: Counts,
    /// How many categories have a word.
    frequency: Counts,
    /// By the template without one word.
    siblings: Lists,
}

impl Index {
    /// Lists a category.
    pub(super) fn add(&mut self, at: u32, template: &Template, anchor: Option<u64>) {
        for_listed(template, anchor, |key| add(&mut self.by_word, key, at));
        for_blanks(template, |blank| add(&mut self.siblings, blank, at));
        if self.anchored.len() <= at as usize {
            self.anchored.resize(at as usize + 1, false);
        }
        self.anchored[at as usize] = anchor.is_some();
        let anchor = anchor.into_iter();
        anchor.for_each(|anchor| count(&mut self.anchors, anchor));
        for word in &template.words {
            count(&mut self.frequency, word.hash);
        }
    }

    /// Takes a category out again, as it was listed.
    pub(super) fn remove(&mut self, at: u32, template: &Template, anchor: Option<u64>) {
        for_listed(template, anchor, |key| remove(&mut self.by_word, key, at));
        for_blanks(template, |blank| remove(&mut self.siblings, blank, at));
        let anchor = anchor.into_iter();
        anchor.for_each(|anchor| discount(&mut self.anchors, anchor));
        for word in &template.words {
            discount(&mut self.frequency, word.hash);
        }
    }

    /// How many categories are listed under this anchor.
    pub(super) fn anchors(&self, anchor: u64) -> u32 {
        self.anchors.get(&anchor).copied().unwrap_or(0)
    }

    /// Whether a category is listed under its anchor alone.
    pub(super) fn is_anchored(&self, at: u32) -> bool {
        self.anchored[at as usize]
    }

    /// The word of a template that the fewest categories have; of equally rare ones the longest.
    pub(super) fn rarest(&self, template: &Template) -> Option<u64> {
        let rarity = |word: &&Fixed| {
            let count = self.frequency.get(&word.hash).copied().unwrap_or(0);
            (count, Reverse(word.text.len()), word.hash)
        };
        let rarest = template.words.iter().min_by_key(rarity)?;
        Some(rarest.hash)
    }

    /// The categories listed under a word that a message which begins with `first` (`None`: with a value) may be of: two lists.
    pub(super) fn of_word(&self, first: Option<u64>, word: u64) -> [&[u32]; 2] {
        let list = |key| self.by_word.get(&key).map_or(&[][..], |ids| ids);
        [list(word), list(under(first, word))]
    }

    /// The first word of `template` in which at least `least` categories differ and in nothing else, with those categories.
    pub(super) fn variable_word(
        &self,
        template: &Template,
        least: usize,
    ) -> Option<(usize, &[u32])> {
        let (mut at, mut found) = (0, None);
        for_blanks(template, |blank| {
            let ids = self.siblings.get(&blank).map_or(&[][..], |ids| ids);
            if found.is_none() && ids.len() >= least {
                found = Some((at, ids));
            }
            at += 1;
        });
        found
    }
}

fn count(counts: &mut Counts, key: u64) {
    *counts.entry(key).or_insert(0) += 1;
}

fn discount(counts: &mut Counts, key: u64) {
    if let Some(count) = counts.get_mut(&key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&key);
        }
    }
}

fn add(lists: &mut Lists, key: u64, at: u32) {
    let ids = lists.entry(key).or_default();
    if let Err(place) = ids.binary_search(&at) {
        ids.insert(place, at);
    }
}

fn remove(lists: &mut Lists, key: u64, at: u32) {
    let Some(ids) = lists.get_mut(&key) else {
        return;
    };
    if let Ok(place) = ids.binary_search(&at) {
        ids.remove(place);
    }
    if ids.is_empty() {
        lists.remove(&key);
    }
}

/// The key of a word among categories that begin with a certain word, or (`None`) with any.
fn under(first: Option<u64>, word: u64) -> u64 {
    let first = first.unwrap_or(0x9e37_79b9_7f4a_7c15);
    (first.rotate_left(29) ^ word).wrapping_mul(0xff51_afd7_ed55_8ccd)
}

/// The keys of a template's listed words.
fn for_listed(template: &Template, anchor: Option<u64>, mut list: impl FnMut(u64)) {
    for_rarest(template, anchor, |word| match template.first_word() {
        None => list(word),
        first => {
            list(under(first, word));
            list(under(None, word));
        }
    });
}

/// The anchor, or words that together weigh at least a quarter.
fn for_rarest(template: &Template, anchor: Option<u64>, mut list: impl FnMut(u64)) {
    if let Some(anchor) = anchor {
        return list(anchor);
    }
    let mut order: SmallVec<[usize; 16]> = (0..template.words.len()).collect();
    order.sort_by_key(|&at| {
        let word = &template.words[at];
        (Reverse(word.text.len()), word.hash)
    });
    let (whole, mut listed) = (template.weight(), 0);
    for at in order {
        if listed > 0 && 4 * listed >= whole {
            break;
        }
        list(template.words[at].hash);
        listed += template.words[at].weight;
    }
}

/// For each word: the hash of all else.
fn for_blanks(template: &Template, mut list: impl FnMut(u64)) {
    if !(2..=SIBLING_WORDS_MAX).contains(&template.words.len()) {
        return;
    }
    for blank in 0..template.words.len() {
        let mut hash = template.words.len() as u64;
        for (at, word) in template.words.iter().enumerate() {
            let part = if at == blank { blank as u64 } else { word.hash };
            hash = (hash.rotate_left(17) ^ part).wrapping_mul(0xff51_afd7_ed55_8ccd);
        }
        list(hash ^ (hash >> 31));
    }
}
