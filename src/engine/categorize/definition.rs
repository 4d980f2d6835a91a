//! How a category is shown: terms, and a regular expression that matches every message of it.
//!
//! `(?s).*?Failed.+?password.+?for.+?from.+?port.*`: the words of the template in order, something between them. It matches every member because the
//! template's words stand in this order in every member, each a piece of the text that does not touch the next (but where a script without
//! blanks meets another: there nothing may stand between). Checked: tests/categorize.rs, with messages of every kind.

use super::message::NUMBER;
use super::template::Template;
use super::tokens::is_unspaced;

/// Characters that a regular expression may have: as many words as fit.
const REGEX_BYTES_MAX: usize = 10_000;

/// The words, a blank between; those with a number in them are left out, for they are spelled differently.
pub(super) fn terms(template: &Template) -> String {
    let words = template.words.iter().map(|word| &*word.text);
    let words: Vec<&str> = words.filter(|word| !word.contains(NUMBER)).collect();
    words.join(" ")
}

/// The regular expression.
pub(super) fn regex(template: &Template, ignore_case: bool) -> String {
    let mut regex = String::from(if ignore_case { "(?is)" } else { "(?s)" });
    let mut last = None;
    for word in &template.words {
        let (first, end) = (word.text.chars().next(), word.text.chars().next_back());
        let touches = |c: Option<char>| c.is_some_and(is_unspaced);
        let part = escaped(&word.text);
        if regex.len() + part.len() > REGEX_BYTES_MAX {
            break;
        }
        regex.push_str(match last {
            None => ".*?",
            Some(last) if touches(last) || touches(first) => ".*?",
            Some(_) => ".+?",
        });
        regex.push_str(&part);
        last = Some(end);
    }
    regex.push_str(".*");
    regex
}

fn escaped(word: &str) -> String {
    let parts: Vec<String> = word.split(NUMBER).map(regex::escape).collect();
    parts.join(r"\d+")
}
