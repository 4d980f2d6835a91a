//! A category's Grok pattern, made from its terms and examples when it is shown.
//!
//! Between two terms, what every example has there is named where it has a common form (a time, an address, a path, a number); the rest is `.*?`.
//! The forms are tried from the most telling to the least, and each splits what is left and right of it. Names are those of the usual pattern
//! libraries; a name that comes again is numbered (`field2`).

use super::category::CategoryDefinition;
use regex::Regex;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// (Grok name, field, form).
const FORMS: [(&str, &str, &str); 14] = [
    (
        "TIMESTAMP_ISO8601",
        "timestamp",
        r"\b\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?",
    ),
    (
        "DATESTAMP",
        "timestamp",
        r"\b\d{1,2}[./-]\d{1,2}[./-](?:\d{4}|\d{2})[- ]\d{2}:\d{2}:\d{2}(?:[.,]\d+)?",
    ),
    (
        "HTTPDATE",
        "timestamp",
        r"\b\d{1,2}/[A-Z][a-z]{2}/\d{4}:\d{2}:\d{2}:\d{2} [+-]\d{4}",
    ),
    (
        "SYSLOGTIMESTAMP",
        "timestamp",
        r"\b(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)  ?\d{1,2} \d{2}:\d{2}:\d{2}",
    ),
    ("URI", "uri", r"\b[A-Za-z][A-Za-z+.-]*://[^\s'\x22<>]+"),
    (
        "UUID",
        "uuid",
        r"\b[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}\b",
    ),
    (
        "MAC",
        "macaddress",
        r"\b(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}\b",
    ),
    (
        "EMAILADDRESS",
        "email",
        r"\b[A-Za-z0-9_.+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+\b",
    ),
    ("IP", "ipaddress", r"\b(?:\d{1,3}\.){3}\d{1,3}\b"),
    (
        "PATH",
        "path",
        r"(?:/[A-Za-z0-9_.%+~-]+){2,}|\b[A-Za-z]:\\[^\s:]+",
    ),
    (
        "LOGLEVEL",
        "loglevel",
        r"\b(?:TRACE|DEBUG|INFO|NOTICE|WARN(?:ING)?|ERROR|CRITICAL|FATAL)\b",
    ),
    ("BASE16NUM", "field", r"\b0[xX][0-9A-Fa-f]+\b"),
    ("NUMBER", "field", r"\b\d+(?:\.\d+)?\b"),
    ("INT", "field", r"\d+"),
];

static COMPILED: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    let forms = FORMS.iter();
    forms
        .map(|(_, _, form)| Regex::new(form).expect("forms are regular expressions"))
        .collect()
});

/// The Grok pattern of a category; empty without examples.
pub fn grok_pattern(definition: &CategoryDefinition) -> String {
    let mut rest: Vec<&str> = definition
        .examples
        .iter()
        .map(|one| one.trim_end_matches('…'))
        .collect();
    if rest.is_empty() {
        return String::new();
    }
    let mut writer = Writer::default();
    for term in definition.terms.split_whitespace() {
        let places: Option<Vec<usize>> = rest.iter().map(|text| text.find(term)).collect();
        // A term that was cut off with its example, or is spelled in another case.
        let Some(places) = places else {
            continue;
        };
        let before: Vec<&str> = rest
            .iter()
            .zip(&places)
            .map(|(text, &at)| &text[..at])
            .collect();
        writer.describe(&before, 0);
        writer.text(term);
        let after = rest
            .iter()
            .zip(&places)
            .map(|(text, &at)| &text[at + term.len()..]);
        rest = after.collect();
    }
    writer.describe(&rest, 0);
    if !writer.pattern.ends_with(".*?") {
        writer.pattern.push_str(".*?");
    }
    writer.pattern.pop(); // the last one need not be brief
    writer.pattern
}

#[derive(Default)]
struct Writer {
    pattern: String,
    fields: BTreeMap<&'static str, u32>,
}

impl Writer {
    fn text(&mut self, term: &str) {
        self.anything();
        self.pattern.push_str(&regex::escape(term));
    }

    /// Anything may stand here.
    fn anything(&mut self) {
        if !self.pattern.ends_with(".*?") {
            self.pattern.push_str(".*?");
        }
    }

    /// What stands in all of `texts`, by forms from number `from` on.
    fn describe(&mut self, texts: &[&str], from: usize) {
        for (at, form) in COMPILED.iter().enumerate().skip(from) {
            let found: Option<Vec<_>> = texts.iter().map(|text| form.find(text)).collect();
            let Some(found) = found else {
                continue;
            };
            let pairs = || texts.iter().zip(&found);
            let before: Vec<&str> = pairs().map(|(text, at)| &text[..at.start()]).collect();
            let after: Vec<&str> = pairs().map(|(text, at)| &text[at.end()..]).collect();
            self.describe(&before, at + 1);
            self.anything();
            let (name, field, _) = FORMS[at];
            let times = self.fields.entry(field).or_insert(0);
            *times += 1;
            let number = if *times > 1 {
                times.to_string()
            } else {
                String::new()
            };
            self.pattern
                .push_str(&format!("%{{{name}:{field}{number}}}"));
            self.describe(&after, at);
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grok(terms: &str, examples: &[&str]) -> String {
        grok_pattern(&CategoryDefinition {
            category_id: 1,
            partition: None,
            terms: terms.into(),
            regex: String::new(),
            max_matching_length: 0,
            examples: examples.iter().map(|one| (*one).to_owned()).collect(),
            preferred_to_categories: Vec::new(),
            num_matches: 0,
        })
    }

    #[test]
    fn common_forms_between_the_terms_are_named() {
        let examples = [
            "2024-01-31T12:30:59Z user bob failed from 10.0.0.1 port 22 after 1.5 s",
            "2024-02-01T00:00:00Z user eve failed from 10.9.8.7 port 4711 after 12 s",
        ];
        assert_eq!(
            grok("user failed from port after", &examples),
            ".*?%{TIMESTAMP_ISO8601:timestamp}.*?user.*?failed.*?from.*?%{IP:ipaddress}.*?port.*?%{NUMBER:field}.*?after.*?%{NUMBER:field2}.*"
        );
        assert_eq!(
            grok("open", &["open /var/log/a.b now", "open /etc/x/y"]),
            ".*?open.*?%{PATH:path}.*"
        );
        assert_eq!(grok("a", &[]), "");
    }
}
