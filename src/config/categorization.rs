//! What is true of a job's categorization of log messages: which field, how a message becomes tokens, one categorizer or one a partition.
//!
//! Regular expressions are compiled once, here; nobody checks them again. Source: job-config.md 1.3 and 1.5, modelling-notes.md 12.

use super::job::FieldId;
use regex::Regex;
use std::collections::BTreeSet;

/// The field that holds the category of an event's message.
pub const MLCATEGORY: &str = "mlcategory";

/// A job's categorization.
#[derive(Clone, Debug)]
pub struct Categorization {
    /// `categorization_field_name`: holds the messages.
    pub field: FieldId,
    /// `mlcategory`: what detectors split by.
    pub category_field: FieldId,
    /// How a message becomes tokens.
    pub analyzer: Analyzer,
    /// `per_partition_categorization`, when enabled.
    pub per_partition: Option<PerPartition>,
    /// `categorization_examples_limit`: examples kept of a category.
    pub examples_max: usize,
}

/// One categorizer a value of the partition field.
#[derive(Clone, Copy, Debug)]
pub struct PerPartition {
    /// The partition field.
    pub field: FieldId,
    /// Whether a partition whose categories turn out useless is analysed no more.
    pub stop_on_warn: bool,
}

/// How a message becomes tokens.
#[derive(Clone, Debug)]
pub struct Analyzer {
    /// What is done to the text first, in order.
    pub char_filters: Vec<CharFilter>,
    /// What cuts it into tokens.
    pub tokenizer: Tokenizer,
    /// What is done to the tokens, in order.
    pub token_filters: Vec<TokenFilter>,
}

/// What is done to the text.
#[derive(Clone, Debug)]
pub enum CharFilter {
    /// Only the first line with a letter in it is kept.
    FirstLineWithLetters,
    /// Only the first line that is not blank is kept.
    FirstNonBlankLine,
    /// What matches is replaced; `$1` stands for a group.
    PatternReplace {
        /// What is looked for.
        pattern: Regex,
        /// What takes its place.
        replacement: String,
    },
}

/// What cuts a text into tokens.
#[derive(Clone, Debug)]
pub enum Tokenizer {
    /// Words, paths, URLs, dotted names and addresses stay whole; numbers and hexadecimal ids are values.
    MlStandard,
    /// The older one: slashes, backslashes and colons always separate.
    MlClassic,
    /// Letters, digits and what joins them inside a word.
    Standard,
    /// Between blanks.
    Whitespace,
    /// Letters only.
    Letter,
    /// The whole text is one token.
    Keyword,
    /// Between matches.
    Pattern(Regex),
}

/// What is done to the tokens.
#[derive(Clone, Debug)]
pub enum TokenFilter {
    /// Stop words are no words of the message.
    Stop {
        /// The words; in lower case when case is ignored.
        words: StopWords,
        /// Whether case matters.
        ignore_case: bool,
    },
    /// Only so many tokens are kept.
    Limit(usize),
    /// Tokens in lower case.
    Lowercase,
    /// Only tokens of so many characters are kept.
    Length {
        /// At least.
        min: usize,
        /// At most.
        max: usize,
    },
}

/// Days and months, full and short, and two time zones: the words of dates.
const DATE_WORDS: [&str; 40] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
    "Mon",
    "Tue",
    "Wed",
    "Thu",
    "Fri",
    "Sat",
    "Sun",
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
    "Jan",
    "Feb",
    "Mar",
    "Apr",
    "May",
    "Jun",
    "Jul",
    "Aug",
    "Sep",
    "Oct",
    "Nov",
    "Dec",
    "GMT",
    "UTC",
];

/// Tokens of a message that are looked at when nothing else is said.
pub(super) const TOKENS_MAX: usize = 100;

impl Default for Analyzer {
    /// The first line with letters, `ml_standard`, without the words of dates, a hundred tokens.
    fn default() -> Analyzer {
        Analyzer {
            char_filters: vec![CharFilter::FirstLineWithLetters],
            tokenizer: Tokenizer::MlStandard,
            token_filters: vec![
                TokenFilter::Stop {
                    words: StopWords::new(DATE_WORDS.map(str::to_owned)),
                    ignore_case: false,
                },
                TokenFilter::Limit(TOKENS_MAX),
            ],
        }
    }
}

/// Words that are looked for in every message: most words are seen not to be among them by their first byte or their length.
#[derive(Clone, Debug)]
pub struct StopWords {
    words: BTreeSet<String>,
    /// By first byte, the length of the longest word.
    longest: Box<[u32; 256]>,
}

impl StopWords {
    /// These words.
    pub fn new(words: impl IntoIterator<Item = String>) -> StopWords {
        let words: BTreeSet<String> = words.into_iter().collect();
        let mut longest = Box::new([0; 256]);
        for word in &words {
            let first = word.bytes().next().unwrap_or_default();
            let of_first: &mut u32 = &mut longest[usize::from(first)];
            *of_first = (*of_first).max(word.len() as u32);
        }
        StopWords { words, longest }
    }

    /// In order.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.words.iter().map(String::as_str)
    }

    /// Whether a word is one of them.
    #[inline]
    pub fn contains(&self, word: &str) -> bool {
        let Some(&first) = word.as_bytes().first() else {
            return false;
        };
        word.len() <= self.longest[usize::from(first)] as usize && self.words.contains(word)
    }
}
