//! Which categories a message may be of, without looking at all of them; and which categories differ in one word only.
//!
//! *By word.* A message of a category has lost less than a quarter of the template's weight. So if a category is listed under words that weigh a
//! quarter of it, every message of it has one of them (the prefix filter of set-similarity joins; Chaudhuri, Ganti, Kaushik 2006). The longest words are
//! taken: they are the rarest. *By siblings.* Under the hash of each template with one word left out stand the categories that share it.
//!
//! Holds: an index is a function of the templates in it, not of how they came; lists are sorted. It is made anew on restore.

use super::template::Template;
use hashbrown::HashMap;
use smallvec::SmallVec;
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

/// Templates with more words than this are not held against one another.
const SIBLING_WORDS_MAX: usize = 32;

/// Finds categories by their words.
#[derive(Default)]
pub(super) struct Index {
    by_word: Lists,
    /// By category: under how many words it is listed.
    listed: Vec<u32>,
    /// By the template without one word.
    siblings: Lists,
}

impl Index {
    /// Lists a category.
    pub(super) fn add(&mut self, at: u32, template: &Template) {
        let mut listed = 0;
        for_rarest(template, |word| {
            listed += 1;
            add(&mut self.by_word, word, at);
        });
        if self.listed.len() <= at as usize {
            self.listed.resize(at as usize + 1, 0);
        }
        self.listed[at as usize] = listed;
        for_blanks(template, |blank| add(&mut self.siblings, blank, at));
    }

    /// Takes a category out again; `template` is the one it was listed with.
    pub(super) fn remove(&mut self, at: u32, template: &Template) {
        for_rarest(template, |word| remove(&mut self.by_word, word, at));
        for_blanks(template, |blank| remove(&mut self.siblings, blank, at));
    }

    /// The categories listed under a word.
    pub(super) fn of_word(&self, hash: u64) -> &[u32] {
        self.by_word.get(&hash).map_or(&[], |ids| ids)
    }

    /// Under how many words a category is listed (one that a template has twice counts twice).
    pub(super) fn listed(&self, at: u32) -> usize {
        self.listed[at as usize] as usize
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

/// Words that together weigh at least a quarter.
fn for_rarest(template: &Template, mut list: impl FnMut(u64)) {
    let mut order: SmallVec<[usize; 16]> = (0..template.words.len()).collect();
    order.sort_by_key(|&at| {
        let word = &template.words[at];
        (std::cmp::Reverse(word.text.len()), word.hash)
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
