//! One stream of messages to categories, online.
//!
//! A message whose sequence of words was met before is looked up by its hash; that is nearly every message, and allocates nothing. Any other is held
//! against the few categories that the index names, joins the one it fits best (of equals the oldest), or begins a new one. Where [`SIBLINGS`] categories would differ in one
//! word only, that word is a variable: the oldest of them becomes general and takes the others over, which keep their ids and get no more messages.
//!
//! Holds: what a message's category is follows from the messages before it alone (the look-up is a memory of answers, emptied whenever an answer might
//! differ). An id is never given twice. Memory is bounded by [`Account`]; the work for one message by the constants below, whatever it is.

use super::analysis::{analyse, head, ignores_case};
use super::category::{Category, CategoryDefinition, EXAMPLE_BYTES_MAX};
use super::index::Index;
use super::message::{Message, Word, canonical};
use super::quick::Quick;
use super::statistics::CategorizerStats;
use super::template::{Aligner, Fit, MATURE, Template};
use super::tokens::Token;
use crate::config::Analyzer;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// So many categories that differ in one word only show that word to be a variable.
pub const SIBLINGS: usize = 10;
/// Entries of the index that are looked at for one message.
const LISTED_MAX: usize = 8192;
/// Categories that a message is held against, those that share the most listed words first.
const CANDIDATES_MAX: usize = 256;
/// Cells of alignment tables that are filled for one message.
const CELLS_MAX: usize = 1 << 15;
/// Pairs of sequences whose category is remembered, as a power of two. (They take 2 MiB a job, beside what is counted.)
const MEMORY_BITS: u32 = 16;
/// Messages between two looks at whether categories are of use.
const LOOK_EVERY: u64 = 100;

/// What the categorizers of a job share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Account {
    pub(super) next_id: u32,
    /// Messages of streams that there was no room to begin.
    pub(super) refused: u64,
    /// Bytes of all categories.
    pub(super) bytes: u64,
}

/// How much may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Categories, over all partitions.
    pub categories: u32,
    /// Bytes of all categories.
    pub bytes: u64,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is of this category.
    Category(u32),
    /// It would need a new one, and there is no room.
    NoRoom,
    /// Its partition is analysed no more: its categories were of no use.
    Stopped,
}

/// The categories of one stream of messages.
pub(super) struct Categorizer {
    state: State,
    index: Index,
    /// Tells its answers from those of other streams.
    salt: u64,
    generations: Generations,
}

/// Grow whenever an answer may differ from what it was.
#[derive(Clone, Copy)]
struct Generations {
    /// Some template has lost words.
    lost: u64,
    /// A category has begun, or allows more.
    allowed: u64,
    /// A category has become mature: it allows less, and is listed under another word.
    matured: u64,
}

/// How long an answer stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// The message has the words of the template and no others: nothing can fit better, unless some template loses words.
    Whole = 1,
    /// Until a category allows more. That one matures changes nothing: the message fits its own as well when that is mature, others can only fit
    /// less, and of those that are listed anew none can keep one that fits from being looked at ([`Categorizer::best_fit`]).
    Steady,
    /// Until anything changes.
    Passing,
}

impl Generations {
    /// What an answer is marked with: the lower bits of its generation, and how long it stands. Never 0; answers do not live through a thousand
    /// million changes.
    #[inline]
    fn mark(self, standing: Standing) -> u32 {
        let generation = match standing {
            Standing::Whole => self.lost,
            Standing::Steady => self.allowed,
            Standing::Passing => self.allowed + self.matured,
        };
        (generation as u32) << 2 | standing as u32
    }

    /// Whether an answer so marked still stands.
    #[inline]
    fn hold(self, mark: u32) -> bool {
        let standing = match mark & 3 {
            1 => Standing::Whole,
            2 => Standing::Steady,
            _ => Standing::Passing,
        };
        mark == self.mark(standing)
    }
}

/// Where the category of a message is.
#[derive(Clone, Copy)]
struct Place {
    at: u32,
    standing: Standing,
}

/// What is kept of a stream.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    categories: Vec<Category>,
    /// Place of the category of messages without words.
    wordless: Option<u32>,
    messages: u64,
    failed: u64,
    stopped: bool,
    /// What was last said.
    said: CategorizerStats,
}

/// Room to work in, for all streams of a job.
#[derive(Default)]
pub(super) struct Bench {
    pub(super) tokens: Vec<Token>,
    scratch: String,
    message: Message,
    aligner: Aligner,
    /// Alignment of the best fit so far.
    best: Aligner,
    listed: Vec<u32>,
    candidates: Vec<(usize, u32)>,
    memory: Memory,
}

/// What a message is held against.
pub(super) struct Rules<'a> {
    pub(super) analyzer: &'a Analyzer,
    pub(super) examples_max: usize,
    pub(super) bounds: Bounds,
    pub(super) stop_on_warn: bool,
}

impl Categorizer {
    /// One that has seen nothing, or goes on from a state.
    pub(super) fn resume(partition: &str, state: State) -> Categorizer {
        let mut index = Index::default();
        for (at, category) in (0..).zip(&state.categories) {
            if category.taken_over_by.is_none() {
                index.add(at, &category.template, category.anchor);
            }
        }
        Categorizer {
            state,
            index,
            salt: xxh3_64(partition.as_bytes()),
            generations: Generations {
                lost: 1,
                allowed: 1,
                matured: 1,
            },
        }
    }

    pub(super) fn state(&self) -> &State {
        &self.state
    }

    /// The category of a message.
    pub(super) fn categorize(
        &mut self,
        rules: &Rules<'_>,
        account: &mut Account,
        bench: &mut Bench,
        message: &str,
    ) -> Verdict {
        if self.state.stopped {
            self.state.failed += 1;
            return Verdict::Stopped;
        }
        let message = head(message);
        let Some(at) = self.place_of(rules, account, bench, message) else {
            self.state.failed += 1;
            return Verdict::NoRoom;
        };
        let category = &mut self.state.categories[at as usize];
        let has_room = account.bytes + EXAMPLE_BYTES_MAX <= rules.bounds.bytes;
        let examples_max = if has_room { rules.examples_max } else { 0 };
        account.bytes += category.count(message, examples_max);
        if category.matches == MATURE {
            self.index.remove(at, &category.template, None);
            category.anchor = self.index.rarest(&category.template);
            self.index.add(at, &category.template, category.anchor);
            self.generations.matured += 1;
            let shares = |anchor| self.index.anchors(anchor) > 1;
            self.generations.allowed += u64::from(category.anchor.is_some_and(shares));
        }
        let id = category.id;
        self.state.messages += 1;
        if rules.stop_on_warn && self.state.messages.is_multiple_of(LOOK_EVERY) {
            self.state.stopped = self.stats().is_warning();
        }
        Verdict::Category(id)
    }

    /// The place of the category of a message, remembered, found or made.
    #[inline]
    fn place_of(
        &mut self,
        rules: &Rules<'_>,
        account: &mut Account,
        bench: &mut Bench,
        message: &str,
    ) -> Option<u32> {
        let quick = Quick::of(rules.analyzer)
            .and_then(|quick| quick.key(message, &mut bench.tokens, &mut bench.scratch));
        if let Some(quick) = quick
            && let Some(at) = bench.memory.look_up(quick ^ self.salt, self.generations)
        {
            return Some(at);
        }
        let text = analyse(rules.analyzer, message, &mut bench.tokens);
        let ignore_case = ignores_case(rules.analyzer);
        bench.message.read(&text, &bench.tokens, ignore_case);
        // Not the same as a quick one, whatever the message.
        let key = quick.unwrap_or(!bench.message.key) ^ self.salt;
        if quick.is_none()
            && let Some(at) = bench.memory.look_up(key, self.generations)
        {
            return Some(at);
        }
        bench.message.weigh(&text);
        let place = self.place(rules, account, bench, &text)?;
        bench.memory.put(key, self.generations, place);
        Some(place.at)
    }

    /// The place of the category that the message at hand is of, found or made.
    fn place(
        &mut self,
        rules: &Rules<'_>,
        account: &mut Account,
        bench: &mut Bench,
        text: &str,
    ) -> Option<Place> {
        let whole = |at| Place {
            at,
            standing: Standing::Whole,
        };
        if bench.message.words.is_empty() {
            if self.state.wordless.is_none() {
                let template = Template::of(&bench.message, |_| "".into());
                self.state.wordless = self.begin(rules, account, template);
            }
            return self.state.wordless.map(whole);
        }
        if let Some((fit, at)) = self.best_fit(bench) {
            self.join(account, at, bench);
            let matched = bench.best.pairs.len() == bench.message.words.len();
            let standing = match matched && fit.apart == 0 {
                true => Standing::Whole,
                false if self.is_steady(at, bench) => Standing::Steady,
                false => Standing::Passing,
            };
            return Some(Place { at, standing });
        }
        let ignore_case = ignores_case(rules.analyzer);
        let template = Template::of(&bench.message, |word: &Word| {
            let mut canonical_text = String::new();
            let word = &text[word.start as usize..word.end as usize];
            canonical(word, ignore_case, &mut canonical_text);
            canonical_text.into()
        });
        if let Some(at) = self.generalise(account, &template) {
            let standing = Standing::Passing;
            return Some(Place { at, standing });
        }
        self.begin(rules, account, template).map(whole)
    }

    /// Whether the message, which has just joined its category, would fit that as well if it were mature, and was held against all that it might be of,
    /// with so much room left that categories which mature cannot crowd any out. (As long as no two mature ones are listed under the same
    /// anchor, each of its words adds one to those listed at the most.)
    fn is_steady(&self, at: u32, bench: &mut Bench) -> bool {
        let words = bench.message.words.len();
        if bench.aligner.is_exhausted
            || bench.listed.len() + words > LISTED_MAX
            || bench.candidates.len() + words > CANDIDATES_MAX
        {
            return false;
        }
        let category = &self.state.categories[at as usize];
        let (message, aligner) = (&bench.message, &mut bench.aligner);
        let mut fit = |matches| {
            aligner.budget = CELLS_MAX;
            category.template.fit(message, matches, aligner)
        };
        category.matches >= MATURE || fit(category.matches) == fit(MATURE)
    }

    /// The category that the message fits best; its alignment is then in `bench.best`.
    ///
    /// A category that matures is from then on listed under its anchor alone. Whatever it fits it was held against before, for it shares more than three
    /// quarters of the weight with it; of what it is now held against besides, [`Template::may_share`] refuses all.
    fn best_fit(&self, bench: &mut Bench) -> Option<(Fit, u32)> {
        self.find_candidates(bench);
        let mut best: Option<(Fit, u32)> = None;
        (bench.aligner.budget, bench.aligner.is_exhausted) = (CELLS_MAX, false);
        for &(_, at) in &bench.candidates {
            let category = &self.state.categories[at as usize];
            if !category.template.may_share(&bench.message) {
                continue;
            }
            let fit = category
                .template
                .fit(&bench.message, category.matches, &mut bench.aligner);
            let Some(fit) = fit else {
                continue;
            };
            let better = best.is_none_or(|(other, its)| {
                fit.is_better_than(other) || (!other.is_better_than(fit) && at < its)
            });
            if better {
                best = Some((fit, at));
                std::mem::swap(&mut bench.aligner.pairs, &mut bench.best.pairs);
            }
        }
        best
    }

    /// Those that share a listed word, the ones that share most first.
    fn find_candidates(&self, bench: &mut Bench) {
        bench.listed.clear();
        bench.candidates.clear();
        let words = &bench.message.words;
        let begins_with_word = !bench.message.values[0];
        let first = words.first().filter(|_| begins_with_word);
        let first = first.map(|word| word.hash);
        for word in words {
            for list in self.index.of_word(first, word.hash) {
                let left = LISTED_MAX - bench.listed.len();
                bench.listed.extend(list.iter().take(left));
            }
        }
        bench.listed.sort_unstable();
        for run in bench.listed.chunk_by(|a, b| a == b) {
            // An anchor is all that there is to share.
            let shared = match self.index.is_anchored(run[0]) {
                true => usize::MAX,
                false => run.len(),
            };
            bench.candidates.push((shared, run[0]));
        }
        if bench.candidates.len() > CANDIDATES_MAX {
            bench
                .candidates
                .sort_unstable_by_key(|&(shared, at)| (std::cmp::Reverse(shared), at));
            bench.candidates.truncate(CANDIDATES_MAX);
        }
    }

    fn join(&mut self, account: &mut Account, at: u32, bench: &Bench) {
        let category = &mut self.state.categories[at as usize];
        let gaps = category.template.gaps_with(&bench.message, &bench.best);
        if gaps[..] == category.template.gaps[..] {
            return; // so no word is lost either
        }
        let loses_words = bench.best.pairs.len() < category.template.words.len();
        self.index.remove(at, &category.template, category.anchor);
        account.bytes -= category.bytes();
        category.template.keep(&gaps, &bench.best);
        category.changed();
        account.bytes += category.bytes();
        self.index.add(at, &category.template, category.anchor);
        self.generations.allowed += 1;
        self.generations.lost += u64::from(loses_words);
    }

    fn begin(
        &mut self,
        rules: &Rules<'_>,
        account: &mut Account,
        template: Template,
    ) -> Option<u32> {
        let category = Category::new(account.next_id, template);
        let bytes = account.bytes + category.bytes();
        if account.next_id > rules.bounds.categories || bytes > rules.bounds.bytes {
            return None;
        }
        let at = self.state.categories.len() as u32;
        self.index.add(at, &category.template, category.anchor);
        self.state.categories.push(category);
        self.generations.allowed += 1;
        account.next_id += 1;
        account.bytes = bytes;
        Some(at)
    }

    /// If `template` would be one of [`SIBLINGS`] that differ in one word only: makes the oldest of them general, and says where it is.
    fn generalise(&mut self, account: &mut Account, template: &Template) -> Option<u32> {
        let (word, siblings) = self.index.variable_word(template, SIBLINGS - 1)?;
        let siblings = siblings.to_vec();
        let oldest = &self.state.categories[siblings[0] as usize].template;
        if !oldest.may_lose(word) {
            return None;
        }
        let mut general = oldest.without(word);
        general.widen(&template.without(word));
        let mut taken_over = Vec::new();
        let general_id = self.state.categories[siblings[0] as usize].id;
        for &at in &siblings {
            let category = &mut self.state.categories[at as usize];
            account.bytes -= category.bytes();
            self.index.remove(at, &category.template, category.anchor);
            general.widen(&category.template.without(word));
            if at != siblings[0] {
                taken_over.push(category.id);
                taken_over.append(&mut category.preferred_to);
                category.taken_over_by = Some(general_id);
                category.changed();
                account.bytes += category.bytes();
            }
        }
        let oldest = &mut self.state.categories[siblings[0] as usize];
        oldest.preferred_to.append(&mut taken_over);
        oldest.preferred_to.sort_unstable();
        oldest.template = general;
        oldest.changed();
        account.bytes += oldest.bytes();
        if oldest.anchor.is_some() {
            oldest.anchor = self.index.rarest(&oldest.template);
        }
        self.index.add(siblings[0], &oldest.template, oldest.anchor);
        self.generations.allowed += 1;
        self.generations.lost += 1;
        Some(siblings[0])
    }

    /// How it fares.
    pub(super) fn stats(&self) -> CategorizerStats {
        let alive = self.state.categories.iter();
        let count = |wanted: &dyn Fn(&Category) -> bool| {
            alive.clone().filter(|category| wanted(category)).count() as u64
        };
        CategorizerStats {
            categorized_doc_count: self.state.messages,
            total_category_count: self.state.categories.len() as u64,
            frequent_category_count: count(&|one| 100 * one.matches > self.state.messages),
            rare_category_count: count(&|one| one.matches == 1),
            dead_category_count: count(&|one| one.taken_over_by.is_some()),
            failed_category_count: self.state.failed,
            ..CategorizerStats::default()
        }
        .judged()
    }

    /// The definitions that are news, and the statistics if they are.
    pub(super) fn news(
        &mut self,
        partition: Option<&Arc<str>>,
        ignore_case: bool,
        last_word: bool,
    ) -> (Vec<CategoryDefinition>, Option<CategorizerStats>) {
        let mut definitions = Vec::new();
        for category in &mut self.state.categories {
            if category.has_news(last_word) {
                category.said();
                definitions.push(category.definition(partition.cloned(), ignore_case));
            }
        }
        let stats = self.stats();
        let news = stats.is_news_after(&self.state.said, last_word);
        if news {
            self.state.said = stats;
        }
        (definitions, news.then_some(stats))
    }

    /// Every definition as it stands.
    pub(super) fn definitions(
        &self,
        partition: Option<&Arc<str>>,
        ignore_case: bool,
    ) -> impl Iterator<Item = CategoryDefinition> {
        let categories = self.state.categories.iter();
        categories.map(move |category| category.definition(partition.cloned(), ignore_case))
    }
}

/// Answers given of late: two that fall on the same place, the one that was asked for last before the other, which the next new one takes over. (One
/// alone would be lost to every other sequence that falls there: with 50,000 sequences three answers in ten.)
#[derive(Default)]
struct Memory(Vec<[Answer; 2]>);

#[derive(Clone, Copy, Default)]
struct Answer {
    key: u64,
    category: u32,
    /// Of which generation it is, and how long it stands; 0: none.
    mark: u32,
}

impl Answer {
    #[inline]
    fn is_of(&self, key: u64, now: Generations) -> bool {
        self.key == key && now.hold(self.mark)
    }
}

impl Memory {
    #[inline]
    fn look_up(&mut self, key: u64, now: Generations) -> Option<u32> {
        let pair = self.0.get_mut(place_of(key))?;
        if !pair[0].is_of(key, now) {
            if !pair[1].is_of(key, now) {
                return None;
            }
            pair.swap(0, 1);
        }
        Some(pair[0].category)
    }

    fn put(&mut self, key: u64, now: Generations, place: Place) {
        self.0.resize(1 << MEMORY_BITS, Default::default());
        let pair = &mut self.0[place_of(key)];
        if pair[0].key != key {
            pair[1] = pair[0];
        }
        pair[0] = Answer {
            key,
            category: place.at,
            mark: now.mark(place.standing),
        };
    }
}

#[inline]
fn place_of(key: u64) -> usize {
    (key >> (64 - MEMORY_BITS)) as usize
}
