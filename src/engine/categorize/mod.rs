//! Log messages to categories, online: messages in, category ids out, definitions when asked.
//!
//! ```text
//! message ──► analysis ──► message ──► categorizer ──► id
//!             text, tokens  words,      index, template,
//!                           values      category
//! ```
//!
//! [`Categorizers`] is the door: one stream of messages, or one a partition; ids are unique over all. Deterministic: ids follow from the order of messages
//! alone, and a restored one goes on as the first would have. Bounded in memory ([`Bounds`]) and in work a message, whatever comes.
//! Checked: tests/categorize.rs (planted templates, hostile input, restore, every definition against every member).

mod analysis;
mod categorizer;
mod category;
mod definition;
mod grok;
mod index;
mod lexicon;
mod message;
mod quick;
mod statistics;
mod template;
mod tokens;

pub use analysis::CHARS_MAX;
pub use categorizer::{Bounds, SIBLINGS, Verdict};
pub use category::CategoryDefinition;
pub use grok::grok_pattern;
pub use statistics::{CategorizationStatus, CategorizerStats};

use crate::config::Analyzer;
use analysis::ignores_case;
use categorizer::{Account, Bench, Categorizer, Rules, State};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How messages are categorized.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How a message becomes tokens.
    pub analyzer: Analyzer,
    /// Examples kept of a category.
    pub examples_max: usize,
    /// How much may be kept.
    pub bounds: Bounds,
    /// Whether a stream whose categories turn out useless is analysed no more.
    pub stop_on_warn: bool,
}

/// The categories of a job's messages.
pub struct Categorizers {
    settings: Settings,
    /// By partition; `""` where there are none.
    streams: BTreeMap<Arc<str>, Categorizer>,
    account: Account,
    bench: Bench,
}

/// What a door keeps of its categorizers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CategorizersState {
    streams: Vec<(Arc<str>, State)>,
    account: Account,
}

/// What is new since it was last asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CategoryNews {
    /// New and changed definitions, by id.
    pub definitions: Vec<CategoryDefinition>,
    /// Of streams whose statistics changed: (partition, statistics).
    pub stats: Vec<(Option<Arc<str>>, CategorizerStats)>,
    /// Over all streams.
    pub totals: CategorizerStats,
    /// Bytes of all categories.
    pub bytes: u64,
}

/// Whether all counts are wanted, or those that have changed by some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// More may come.
    Next,
    /// The input has ended.
    Last,
}

impl Categorizers {
    /// Of messages yet to come.
    pub fn new(settings: Settings) -> Categorizers {
        Categorizers {
            settings,
            streams: BTreeMap::new(),
            account: Account {
                next_id: 1,
                refused: 0,
                bytes: 0,
            },
            bench: Bench::default(),
        }
    }

    /// The category of a message of a partition (`None`: there are no partitions).
    pub fn categorize(&mut self, partition: Option<&str>, message: &str) -> Verdict {
        let rules = Rules {
            analyzer: &self.settings.analyzer,
            examples_max: self.settings.examples_max,
            bounds: self.settings.bounds,
            stop_on_warn: self.settings.stop_on_warn,
        };
        let key = partition.unwrap_or_default();
        if !self.streams.contains_key(key) {
            let bytes = STREAM_BYTES + key.len() as u64;
            if self.account.bytes + bytes > rules.bounds.bytes {
                self.account.refused += 1;
                return Verdict::NoRoom;
            }
            self.account.bytes += bytes;
            self.streams
                .insert(key.into(), Categorizer::resume(key, State::default()));
        }
        let stream = self
            .streams
            .get_mut(key)
            .expect("it is there, or was just put there");
        stream.categorize(&rules, &mut self.account, &mut self.bench, message)
    }

    /// How many tokens a message has: what its analyzer does alone, for measuring the rest by.
    pub fn tokens(&mut self, message: &str) -> usize {
        let message = analysis::head(message);
        analysis::analyse(&self.settings.analyzer, message, &mut self.bench.tokens);
        self.bench.tokens.len()
    }

    /// Bytes of all categories, by their contents.
    pub fn bytes(&self) -> u64 {
        self.account.bytes
    }

    /// Every definition as it stands, by partition and id.
    pub fn definitions(&self) -> impl Iterator<Item = CategoryDefinition> {
        let ignore_case = ignores_case(&self.settings.analyzer);
        self.streams
            .iter()
            .flat_map(move |(key, stream)| stream.definitions(partition(key), ignore_case))
    }

    /// The statistics of all streams together.
    pub fn totals(&self) -> CategorizerStats {
        let mut totals = CategorizerStats {
            failed_category_count: self.account.refused,
            ..CategorizerStats::default()
        };
        self.streams
            .values()
            .for_each(|stream| totals.add(&stream.stats()));
        totals
    }

    /// What is new since the last call.
    pub fn news(&mut self, word: Word) -> CategoryNews {
        let ignore_case = ignores_case(&self.settings.analyzer);
        let mut news = CategoryNews::default();
        for (key, stream) in &mut self.streams {
            let (definitions, stats) = stream.news(partition(key), ignore_case, word == Word::Last);
            news.definitions.extend(definitions);
            news.stats
                .extend(stats.map(|stats| (partition(key).cloned(), stats)));
        }
        news.definitions
            .sort_by_key(|definition| definition.category_id);
        news.totals = self.totals();
        news.bytes = self.bytes();
        news
    }

    /// What is kept.
    pub fn state(&self) -> CategorizersState {
        let streams = self.streams.iter();
        CategorizersState {
            streams: streams
                .map(|(key, stream)| (key.clone(), stream.state().clone()))
                .collect(),
            account: self.account.clone(),
        }
    }

    /// One that goes on exactly where the state was taken.
    pub fn resume(settings: Settings, state: CategorizersState) -> Categorizers {
        let streams = state.streams.into_iter();
        Categorizers {
            streams: streams
                .map(|(key, state)| (key.clone(), Categorizer::resume(&key, state)))
                .collect(),
            account: state.account,
            ..Categorizers::new(settings)
        }
    }
}

/// Bytes of a stream without categories.
const STREAM_BYTES: u64 = 512;

fn partition(key: &Arc<str>) -> Option<&Arc<str>> {
    (!key.is_empty()).then_some(key)
}
