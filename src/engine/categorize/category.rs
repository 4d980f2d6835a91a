//! One category: its template, how many messages it has, and what it shows of them.

use super::definition;
use super::template::Template;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Characters of an example that are kept.
const EXAMPLE_CHARS_MAX: usize = 1000;
/// Bytes of an example at the most.
pub(super) const EXAMPLE_BYTES_MAX: u64 = (4 * EXAMPLE_CHARS_MAX + 64) as u64;
/// Bytes of an example besides its text.
const EXAMPLE_BYTES: usize = size_of::<Box<str>>();

/// A category as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Category {
    /// `category_id`, from 1.
    pub(super) id: u32,
    pub(super) template: Template,
    pub(super) matches: u64,
    /// Once mature: the hash of the word that it is listed under.
    pub(super) anchor: Option<u64>,
    /// Characters of the longest message, as far as it was analysed.
    longest: u32,
    /// Distinct, in the order in which they came.
    examples: Vec<Box<str>>,
    /// Ids of categories that this one took over.
    pub(super) preferred_to: Vec<u32>,
    /// The category that took this one over.
    pub(super) taken_over_by: Option<u32>,
    /// `matches` when the definition was last said; `None` when anything else has changed since.
    said: Option<u64>,
}

/// `category_definition` (results.md 3.7), without the names of the job's fields.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CategoryDefinition {
    /// From 1; unique in the job.
    pub category_id: u32,
    /// The partition it belongs to, with one categorizer a partition.
    pub partition: Option<Arc<str>>,
    /// The words that all its messages have, in order.
    pub terms: String,
    /// Matches each of its messages.
    pub regex: String,
    /// No message of it was longer, with a tenth to spare; characters.
    pub max_matching_length: u64,
    /// Some of its messages, sorted.
    pub examples: Vec<String>,
    /// Ids of categories that it took over: they get no more messages.
    pub preferred_to_categories: Vec<u32>,
    /// Messages so far.
    pub num_matches: u64,
}

impl Category {
    /// Of no messages yet.
    pub(super) fn new(id: u32, template: Template) -> Category {
        Category {
            id,
            template,
            matches: 0,
            anchor: None,
            longest: 0,
            examples: Vec::new(),
            preferred_to: Vec::new(),
            taken_over_by: None,
            said: None,
        }
    }

    /// Counts a message; by how many bytes it grew.
    #[inline]
    pub(super) fn count(&mut self, message: &str, examples_max: usize) -> u64 {
        self.matches += 1;
        let length = match message.is_ascii() {
            true => message.len(),
            false => message.chars().count(),
        };
        if length as u32 > self.longest {
            self.longest = length as u32;
            self.said = None;
        }
        match self.examples.len() < examples_max {
            true => self.keep_example(message),
            false => 0,
        }
    }

    fn keep_example(&mut self, message: &str) -> u64 {
        let example = shortened(message);
        let cut = example.len() < message.len();
        let known = |one: &str| match cut {
            true => one.strip_suffix('…') == Some(example),
            false => one == example,
        };
        if self.examples.iter().any(|one| known(one)) {
            return 0;
        }
        let text = if cut {
            format!("{example}…")
        } else {
            example.to_owned()
        };
        let bytes = (text.len() + EXAMPLE_BYTES) as u64;
        self.examples.push(text.into());
        self.said = None;
        bytes
    }

    /// Notes that its definition is no longer what was said.
    pub(super) fn changed(&mut self) {
        self.said = None;
    }

    /// Whether there is news: anything but the count, or half as many messages again (with `last_word`: one more).
    pub(super) fn has_news(&self, last_word: bool) -> bool {
        match self.said {
            None => self.matches > 0,
            Some(said) if last_word => self.matches > said,
            Some(said) => self.matches - said > said / 2,
        }
    }

    /// Notes that its definition has been said.
    pub(super) fn said(&mut self) {
        self.said = Some(self.matches);
    }

    /// As it is shown.
    pub(super) fn definition(
        &self,
        partition: Option<Arc<str>>,
        ignore_case: bool,
    ) -> CategoryDefinition {
        let mut examples: Vec<String> = self.examples.iter().map(|one| one.to_string()).collect();
        examples.sort();
        let longest = u64::from(self.longest);
        CategoryDefinition {
            category_id: self.id,
            partition,
            terms: definition::terms(&self.template),
            regex: definition::regex(&self.template, ignore_case),
            max_matching_length: longest + longest.div_ceil(10),
            examples,
            preferred_to_categories: self.preferred_to.clone(),
            num_matches: self.matches,
        }
    }

    /// Bytes it takes, with its places in the index: by its contents alone.
    pub(super) fn bytes(&self) -> u64 {
        const LISTED: usize = 160; // its entries of the index, and their spare places
        let words = self
            .template
            .words
            .iter()
            .map(|word| word.text.len() + 32 + LISTED);
        let examples = self
            .examples
            .iter()
            .map(|example| example.len() + EXAMPLE_BYTES);
        let gaps = self.template.gaps.len() * 8 + self.preferred_to.len() * 4;
        (size_of::<Category>() + words.sum::<usize>() + examples.sum::<usize>() + gaps) as u64
    }
}

fn shortened(message: &str) -> &str {
    let cut = message.char_indices().nth(EXAMPLE_CHARS_MAX);
    cut.map_or(message, |(at, _)| &message[..at])
}
