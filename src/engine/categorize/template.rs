//! What the messages of a category have in common: words in order, and what may stand between them.
//!
//! A message is held against a template by the weightiest common subsequence of their words (a weighted Levenshtein alignment without crossings; Wagner
//! and Fischer 1974). It is of the category when the words they share weigh more than three times those that differ, and no rule forbids:
//! * Vocabulary never comes, goes or changes place with other vocabulary: `opened` and `closed`, or one `not` more, are other messages. Unless the place has
//!   already shown different words: then any words may stand there, but no more than it has held.
//! * A value may be a name instead: where values stood, one word that is no vocabulary fits, and any number of joined names.
//! * What a hundred messages had in common they have for good: from [`MATURE`] messages on, words are lost no more.
//! * Seven tenths of the first message's weight stay (half, where ten categories showed the place to be variable).
//!
//! So a template cannot wear down until it takes everything. Holds: the words of a template stand in this order in every message that was
//! ever joined to it.

use super::message::{Kind, Message, WEIGHT_VOCABULARY, Word};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

/// From so many messages on, a word they all have is fixed.
pub(super) const MATURE: u64 = 100;

/// A word of a template.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Fixed {
    pub(super) hash: u64,
    pub(super) weight: u32,
    pub(super) kind: Kind,
    /// With `#` for a number.
    pub(super) text: Box<str>,
}

/// What stands before a word of a template, or after the last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Gap {
    /// Whether a value has stood there.
    pub(super) value: bool,
    /// How many words have, at the most.
    pub(super) words: u32,
}

impl Gap {
    fn and(self, other: Gap) -> Gap {
        Gap {
            value: self.value || other.value,
            words: self.words + other.words,
        }
    }
}

/// What the messages of a category have in common.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Template {
    pub(super) words: Vec<Fixed>,
    /// One more than there are words.
    pub(super) gaps: Vec<Gap>,
    /// Of the words of the first message.
    first_weight: u32,
    /// Never less than this is left.
    least_weight: u32,
}

/// How a message fits a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fit {
    /// Weight of the words shared.
    pub(super) shared: u32,
    /// Weight of those that differ.
    pub(super) apart: u32,
}

impl Fit {
    /// Whether this one is the closer; of equally close ones, the one that shares more.
    pub(super) fn is_better_than(self, other: Fit) -> bool {
        let (mine, its) = (
            u64::from(self.shared) * u64::from(other.shared + other.apart),
            u64::from(other.shared) * u64::from(self.shared + self.apart),
        );
        mine > its || (mine == its && self.shared > other.shared)
    }
}

/// Room to align in.
#[derive(Default)]
pub(super) struct Aligner {
    table: Vec<u32>,
    /// (word of the template, word of the message) that are the same, in order.
    pub(super) pairs: Vec<(usize, usize)>,
    /// Cells of tables that may still be filled for the message at hand.
    pub(super) budget: usize,
    /// Whether it did not suffice.
    pub(super) is_exhausted: bool,
}

impl Template {
    /// Of a message alone; `text_of` gives a word's text.
    pub(super) fn of(message: &Message, text_of: impl Fn(&Word) -> Box<str>) -> Template {
        let words: Vec<Fixed> = message
            .words
            .iter()
            .map(|word| Fixed {
                hash: word.hash,
                weight: word.weight,
                kind: word.kind,
                text: text_of(word),
            })
            .collect();
        let gap = |value: &bool| Gap {
            value: *value,
            words: 0,
        };
        let first_weight: u32 = words.iter().map(|word| word.weight).sum();
        Template {
            first_weight,
            least_weight: (7 * first_weight).div_ceil(10),
            gaps: message.values.iter().map(gap).collect(),
            words,
        }
    }

    /// Of its words.
    pub(super) fn weight(&self) -> u32 {
        self.words.iter().map(|word| word.weight).sum()
    }

    /// What the message could share at the most, whatever the order.
    pub(super) fn may_share(&self, message: &Message) -> bool {
        let has = |fixed: &&Fixed| message.words.iter().any(|word| word.hash == fixed.hash);
        let shared: u32 = self.words.iter().filter(has).map(|word| word.weight).sum();
        // More than three quarters, since what is lost counts as apart.
        4 * shared > 3 * self.weight()
    }

    /// How the message fits; `None` if it is not of this category. `aligner` keeps the alignment for [`keep`](Template::keep).
    pub(super) fn fit(
        &self,
        message: &Message,
        matches: u64,
        aligner: &mut Aligner,
    ) -> Option<Fit> {
        let shared = self.align(message, aligner)?;
        let mature = matches >= MATURE;
        if (mature && aligner.pairs.len() < self.words.len()) || shared < self.least_weight {
            return None;
        }
        let (mut apart, mut from) = (0, (0, 0));
        let ends = [(self.words.len(), message.words.len())];
        for &to in aligner.pairs.iter().chain(&ends) {
            apart += self.apart(message, from, to, mature)?;
            from = (to.0 + 1, to.1 + 1);
        }
        (shared > 3 * apart).then_some(Fit { shared, apart })
    }

    /// The weight of what differs between two words shared; `None` where a rule forbids it.
    fn apart(
        &self,
        message: &Message,
        from: (usize, usize),
        to: (usize, usize),
        mature: bool,
    ) -> Option<u32> {
        let (lost, new) = (&self.words[from.0..to.0], &message.words[from.1..to.1]);
        let gap = self.gap(from.0, to.0);
        let has_value = message.values[from.1..=to.1].contains(&true);
        let lost_weight: u32 = lost.iter().map(|word| word.weight).sum();
        let new_weight: u32 = new.iter().map(|word| word.weight).sum();
        let lost_vocabulary = lost.iter().any(|word| word.kind == Kind::Vocabulary);
        let new_vocabulary = new.iter().any(|word| word.kind == Kind::Vocabulary);
        if is_name_for_value(gap, lost, new) {
            return Some(0);
        }
        if gap.value && gap.words == 0 && !has_value && lost.is_empty() && new.len() == 1 {
            return Some(if new_vocabulary {
                new_weight.max(WEIGHT_VOCABULARY)
            } else {
                0
            });
        }
        if lost_vocabulary && new_vocabulary && gap.words == 0 {
            return None;
        }
        if new.len() > lost.len() + gap.words as usize {
            return (!new_vocabulary && !mature).then_some(new_weight.max(lost_weight));
        }
        if lost_vocabulary && new.is_empty() && !has_value && gap.words == 0 {
            return None;
        }
        match gap.words {
            0 => Some(lost_weight.max(new_weight)),
            _ => Some(lost_weight),
        }
    }

    /// What is allowed from before word `from` to before word `to`.
    fn gap(&self, from: usize, to: usize) -> Gap {
        self.gaps[from..=to]
            .iter()
            .fold(Gap::default(), |sum, gap| sum.and(*gap))
    }

    /// The word that every message of the category begins with, if there is one that no other may stand before or instead of, unless after a value.
    pub(super) fn first_word(&self) -> Option<u64> {
        let first = self.words.first()?;
        let closed = self.gaps[0] == Gap::default() && first.kind == Kind::Vocabulary;
        closed.then_some(first.hash)
    }

    /// What may stand between the words once the message is one of the category, by the alignment in `aligner`.
    pub(super) fn gaps_with(&self, message: &Message, aligner: &Aligner) -> SmallVec<[Gap; 24]> {
        let mut gaps = SmallVec::new();
        let mut from = (0, 0);
        let ends = [(self.words.len(), message.words.len())];
        for &to in aligner.pairs.iter().chain(&ends) {
            let (lost, new) = (&self.words[from.0..to.0], &message.words[from.1..to.1]);
            let mut gap = self.gap(from.0, to.0);
            if !is_name_for_value(gap, lost, new) {
                gap.words = gap.words.max(lost.len() as u32).max(new.len() as u32);
            }
            gap.value |= message.values[from.1..=to.1].contains(&true);
            gaps.push(gap);
            from = (to.0 + 1, to.1 + 1);
        }
        gaps
    }

    /// Keeps the words that are shared in `aligner`, with these gaps.
    pub(super) fn keep(&mut self, gaps: &[Gap], aligner: &Aligner) {
        let mut shared = aligner.pairs.iter().map(|pair| pair.0).peekable();
        let mut at = 0;
        self.words.retain(|_| {
            let keep = shared.next_if_eq(&at).is_some();
            at += 1;
            keep
        });
        self.gaps = gaps.to_vec();
    }

    /// Whether word `at` may be given up because many categories showed its place to be variable: half the weight has to stay.
    pub(super) fn may_lose(&self, at: usize) -> bool {
        let left = self.weight() - self.words[at].weight;
        left > 0 && 2 * left >= self.first_weight
    }

    /// The same with anything in place of word `at`.
    pub(super) fn without(&self, at: usize) -> Template {
        let mut general = self.clone();
        general.words.remove(at);
        let after = general.gaps.remove(at + 1);
        general.gaps[at] = general.gaps[at].and(after);
        general.gaps[at].words += 1;
        general.least_weight = self.least_weight.min(general.weight());
        general
    }

    /// Allows what another template of the same words allows.
    pub(super) fn widen(&mut self, other: &Template) {
        for (mine, its) in self.gaps.iter_mut().zip(&other.gaps) {
            mine.value |= its.value;
            mine.words = mine.words.max(its.words);
        }
    }

    /// Fills `aligner.pairs` with the weightiest common subsequence; its weight. `None` when the budget is used up.
    fn align(&self, message: &Message, aligner: &mut Aligner) -> Option<u32> {
        let (mine, its) = (&self.words, &message.words);
        aligner.pairs.clear();
        let shorter = mine.len().min(its.len());
        let same = |(a, b): (&Fixed, &Word)| a.hash == b.hash;
        let prefix = mine.iter().zip(its).take_while(|&pair| same(pair)).count();
        let ends = mine.iter().rev().zip(its.iter().rev());
        let suffix = ends
            .take(shorter - prefix)
            .take_while(|&pair| same(pair))
            .count();
        aligner.pairs.extend((0..prefix).map(|at| (at, at)));
        let (a, b) = (
            &mine[prefix..mine.len() - suffix],
            &its[prefix..its.len() - suffix],
        );
        if !a.is_empty() && !b.is_empty() {
            let cells = (a.len() + 1) * (b.len() + 1);
            let Some(left) = aligner.budget.checked_sub(cells) else {
                aligner.is_exhausted = true;
                return None;
            };
            aligner.budget = left;
            align_middle(a, b, prefix, aligner);
        }
        let tails = (mine.len() - suffix..mine.len()).zip(its.len() - suffix..its.len());
        aligner.pairs.extend(tails);
        Some(aligner.pairs.iter().map(|pair| mine[pair.0].weight).sum())
    }
}

/// Whether nothing is new there but joined names where values stood: as good as values.
fn is_name_for_value(gap: Gap, lost: &[Fixed], new: &[Word]) -> bool {
    let names = new.iter().all(|word| word.kind == Kind::Identifier);
    gap.value && lost.is_empty() && !new.is_empty() && names
}

fn align_middle(a: &[Fixed], b: &[Word], offset: usize, aligner: &mut Aligner) {
    let width = b.len() + 1;
    let table = &mut aligner.table;
    table.clear();
    table.resize((a.len() + 1) * width, 0);
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            let skipped = table[(i + 1) * width + j].max(table[i * width + j + 1]);
            let paired = table[(i + 1) * width + j + 1] + a[i].weight;
            table[i * width + j] = match a[i].hash == b[j].hash {
                true => skipped.max(paired),
                false => skipped,
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    while i < a.len() && j < b.len() {
        let here = table[i * width + j];
        let paired = table[(i + 1) * width + j + 1] + a[i].weight;
        if a[i].hash == b[j].hash && here == paired {
            aligner.pairs.push((offset + i, offset + j));
            (i, j) = (i + 1, j + 1);
        } else if here == table[(i + 1) * width + j] {
            i += 1;
        } else {
            j += 1;
        }
    }
}
