//! `categorization_analyzer` as written and as shown.
//!
//! An analyzer is an object of `char_filter`, `tokenizer` and `filter`, each a name or an object with a `type`, or the name of one of Elasticsearch's
//! built-in analyzers. What is known here is what messages need; anything else is refused with what is known. Holds: what is shown, read
//! again, is the same analyzer. Source: job-config.md 1.5.

use super::object::{Object, join, kind_of, shown};
use crate::config::categorization::{
    Analyzer, CharFilter, StopWords, TOKENS_MAX, TokenFilter, Tokenizer,
};
use regex::Regex;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const ANALYZERS: &str = "standard, simple, whitespace, keyword, pattern";
const CHAR_FILTERS: &str = "first_line_with_letters, first_non_blank_line, pattern_replace";
const TOKENIZERS: &str =
    "ml_standard, ml_classic, standard, whitespace, letter, lowercase, keyword, pattern";
const TOKEN_FILTERS: &str = "stop, limit, lowercase, length";

/// What `pattern` separates at when nothing is said.
const NO_WORD: &str = r"\W+";

/// A built-in analyzer.
pub(super) fn named(object: &Object<'_>, key: &str, name: &str) -> Option<Analyzer> {
    let tokenizer = match name {
        "standard" => Tokenizer::Standard,
        "simple" => Tokenizer::Letter,
        "whitespace" => Tokenizer::Whitespace,
        "keyword" => Tokenizer::Keyword,
        "pattern" => Tokenizer::Pattern(Regex::new(NO_WORD).expect("it is one")),
        _ => {
            let message = format!(
                "{} is not an analyzer; known here: {ANALYZERS}",
                shown(name)
            );
            object.wrong(key, message);
            return None;
        }
    };
    let mut token_filters = vec![TokenFilter::Limit(TOKENS_MAX)];
    if matches!(name, "standard" | "simple" | "pattern") {
        token_filters.insert(0, TokenFilter::Lowercase);
    }
    Some(Analyzer {
        char_filters: Vec::new(),
        tokenizer,
        token_filters,
    })
}

/// An analyzer made of parts.
pub(super) fn read(object: Object<'_>) -> Option<Analyzer> {
    let mut lowercase = false;
    let tokenizer = match object.value("tokenizer") {
        None => {
            object.wrong("tokenizer", "is missing; \"ml_standard\" is the usual one");
            None
        }
        Some(written) => {
            let path = object.path_of("tokenizer");
            let part = Part::of(&object, path, written);
            part.and_then(|part| part.tokenizer(&object, &mut lowercase))
        }
    };
    let parts = |key| {
        let elements = object.elements(key).unwrap_or_default().into_iter();
        elements.filter_map(|(path, written)| Part::of(&object, path, written))
    };
    let char_filters: Vec<CharFilter> = parts("char_filter")
        .filter_map(|part| part.char_filter(&object))
        .collect();
    let mut token_filters: Vec<TokenFilter> = parts("filter")
        .filter_map(|part| part.token_filter(&object))
        .collect();
    if lowercase {
        token_filters.insert(0, TokenFilter::Lowercase);
    }
    object.finish();
    Some(Analyzer {
        char_filters,
        tokenizer: tokenizer?,
        token_filters,
    })
}

/// A regular expression; noted when it is none.
pub(super) fn pattern(object: &Object<'_>, path: String, text: &str) -> Option<Regex> {
    match Regex::new(text) {
        Ok(pattern) => Some(pattern),
        Err(_) => {
            let message = format!(
                "{} is not a regular expression (look-around and back references are not known)",
                shown(text)
            );
            object.wrong_at(path, message);
            None
        }
    }
}

/// A part of an analyzer: its type, and what it was given.
struct Part<'a> {
    path: String,
    kind: &'a str,
    settings: Option<Object<'a>>,
}

impl<'a> Part<'a> {
    fn of(object: &Object<'a>, path: String, written: &'a Value) -> Option<Part<'a>> {
        match written {
            Value::String(kind) => Some(Part {
                path,
                kind,
                settings: None,
            }),
            Value::Object(_) => {
                let settings = object.object_at(path.clone(), written)?;
                let Some(kind) = settings.text("type") else {
                    settings.wrong("type", "is missing");
                    return None;
                };
                Some(Part {
                    path,
                    kind,
                    settings: Some(settings),
                })
            }
            other => {
                let message = format!("must be a name or an object, not {}", kind_of(other));
                object.wrong_at(path, message);
                None
            }
        }
    }

    fn unknown(&self, object: &Object<'_>, what: &str, known: &str) {
        let message = format!("{} is not a {what}; known here: {known}", shown(self.kind));
        object.wrong_at(self.path.clone(), message);
    }

    fn text(&self, key: &'static str) -> Option<&'a str> {
        self.settings.as_ref()?.text(key)
    }

    fn whole(&self, key: &'static str, otherwise: usize) -> usize {
        let settings = self.settings.as_ref();
        let number = settings.and_then(|settings| settings.integer(key, 0..=1_000_000));
        number.map_or(otherwise, |number| number as usize)
    }

    fn pattern(&self, object: &Object<'_>) -> Option<Regex> {
        pattern(object, join(&self.path, "pattern"), self.text("pattern")?)
    }

    /// Every property that was not asked for is wrong.
    fn finish(self) {
        if let Some(settings) = self.settings {
            settings.finish();
        }
    }

    fn tokenizer(self, object: &Object<'_>, lowercase: &mut bool) -> Option<Tokenizer> {
        let tokenizer = match self.kind {
            "ml_standard" => Some(Tokenizer::MlStandard),
            "ml_classic" => Some(Tokenizer::MlClassic),
            "standard" => Some(Tokenizer::Standard),
            "whitespace" => Some(Tokenizer::Whitespace),
            "letter" => Some(Tokenizer::Letter),
            "lowercase" => {
                *lowercase = true;
                Some(Tokenizer::Letter)
            }
            "keyword" => Some(Tokenizer::Keyword),
            "pattern" => {
                let text = self.text("pattern").unwrap_or(NO_WORD);
                pattern(object, join(&self.path, "pattern"), text).map(Tokenizer::Pattern)
            }
            _ => {
                self.unknown(object, "tokenizer", TOKENIZERS);
                return None;
            }
        };
        self.finish();
        tokenizer
    }

    fn char_filter(self, object: &Object<'_>) -> Option<CharFilter> {
        let filter = match self.kind {
            "first_line_with_letters" => Some(CharFilter::FirstLineWithLetters),
            "first_non_blank_line" => Some(CharFilter::FirstNonBlankLine),
            "pattern_replace" => {
                if self.text("pattern").is_none() {
                    object.wrong_at(join(&self.path, "pattern"), "is missing");
                }
                let replacement = self.text("replacement").unwrap_or_default().to_owned();
                self.pattern(object)
                    .map(|pattern| CharFilter::PatternReplace {
                        pattern,
                        replacement,
                    })
            }
            _ => {
                self.unknown(object, "char_filter", CHAR_FILTERS);
                return None;
            }
        };
        self.finish();
        filter
    }

    fn token_filter(self, object: &Object<'_>) -> Option<TokenFilter> {
        let filter = match self.kind {
            "lowercase" => TokenFilter::Lowercase,
            "limit" => TokenFilter::Limit(self.whole("max_token_count", 1)),
            "length" => TokenFilter::Length {
                min: self.whole("min", 0),
                max: self.whole("max", usize::MAX),
            },
            "stop" => {
                let settings = self.settings.as_ref();
                let ignore_case = settings
                    .and_then(|settings| settings.boolean("ignore_case"))
                    .unwrap_or(false);
                let words = settings.and_then(|settings| settings.texts("stopwords"));
                let words: BTreeSet<String> = words
                    .unwrap_or_default()
                    .into_iter()
                    .map(|(_, word)| match ignore_case {
                        true => word.to_lowercase(),
                        false => word.to_owned(),
                    })
                    .collect();
                if words.is_empty() || words.iter().any(|word| word.starts_with('_')) {
                    let message =
                        "needs stopwords: a list of words (named lists are not known here)";
                    object.wrong_at(self.path.clone(), message);
                }
                TokenFilter::Stop {
                    words: StopWords::new(words),
                    ignore_case,
                }
            }
            _ => {
                self.unknown(object, "filter", TOKEN_FILTERS);
                return None;
            }
        };
        self.finish();
        Some(filter)
    }
}

/// As a response shows it.
pub(super) fn render(analyzer: &Analyzer) -> Value {
    let char_filters = analyzer.char_filters.iter().map(|filter| match filter {
        CharFilter::FirstLineWithLetters => json!("first_line_with_letters"),
        CharFilter::FirstNonBlankLine => json!("first_non_blank_line"),
        CharFilter::PatternReplace { pattern, replacement } if replacement.is_empty() => {
            json!({"type": "pattern_replace", "pattern": pattern.as_str()})
        }
        CharFilter::PatternReplace { pattern, replacement } => {
            json!({"type": "pattern_replace", "pattern": pattern.as_str(), "replacement": replacement})
        }
    });
    let tokenizer = match &analyzer.tokenizer {
        Tokenizer::MlStandard => json!("ml_standard"),
        Tokenizer::MlClassic => json!("ml_classic"),
        Tokenizer::Standard => json!("standard"),
        Tokenizer::Whitespace => json!("whitespace"),
        Tokenizer::Letter => json!("letter"),
        Tokenizer::Keyword => json!("keyword"),
        Tokenizer::Pattern(pattern) => json!({"type": "pattern", "pattern": pattern.as_str()}),
    };
    let token_filters = analyzer.token_filters.iter().map(|filter| match filter {
        TokenFilter::Stop {
            words,
            ignore_case: false,
        } => json!({"type": "stop", "stopwords": words.words().collect::<Vec<&str>>()}),
        TokenFilter::Stop { words, .. } => {
            let words: Vec<&str> = words.words().collect();
            json!({"type": "stop", "stopwords": words, "ignore_case": true})
        }
        TokenFilter::Limit(most) => json!({"type": "limit", "max_token_count": most}),
        TokenFilter::Lowercase => json!("lowercase"),
        TokenFilter::Length { min, max } if *max == usize::MAX => {
            json!({"type": "length", "min": min})
        }
        TokenFilter::Length { min, max } => json!({"type": "length", "min": min, "max": max}),
    });
    json!({
        "char_filter": char_filters.collect::<Vec<Value>>(),
        "tokenizer": tokenizer,
        "filter": token_filters.collect::<Vec<Value>>(),
    })
}
