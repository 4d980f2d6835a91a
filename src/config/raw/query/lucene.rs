//! Queries written as text: `query_string` (Lucene's syntax, with what Kibana's language writes differently) and `simple_query_string`.
//!
//! ```text
//! or    := and (OR and)*            and := many (AND many)*          many := unary unary*   (joined by default_operator)
//! unary := (+ | - | ! | NOT)* one   one := ( or ) | FIELD : value | FIELD >= value | value
//! value := ( or ) | "phrase" | word | wild* | /regexp/ | [a TO b] | {a TO b} | >= a | *
//! ```
//!
//! `NOT` binds before `AND`, `AND` before `OR`, as everybody reads it (Lucene's own parser disagrees in mixtures without parentheses). `and`, `or`, `not`
//! may be written small. Boosts are passed over; what is fuzzy or near is refused. Only named fields of an event are read, so a value
//! without a field needs `default_field` or `fields`.

use super::super::object::{Object, shown};
use super::leaf::{self, Side, bound_of, fields, words_of};
use super::{field_name, regexp};
use crate::config::query::{Case, Edge, Literal, Query, Test, WordOrder, globs};

/// The longest query, characters.
const LENGTH_MAX: usize = 32_768;
/// Parentheses and negations inside one another.
const DEPTH_MAX: usize = 30;

/// `query_string`.
pub(super) fn query_string(object: &Object<'_>) -> Query<String> {
    let default_fields = match object.text("default_field") {
        Some("*") | None if !object.has("fields") => Vec::new(),
        Some("*") | None => fields(object),
        Some(name) => field_name(&object.path_of("default_field"), name, object.report())
            .map(|name| vec![name.to_owned()])
            .unwrap_or_default(),
    };
    for key in [
        "analyze_wildcard",
        "lenient",
        "allow_leading_wildcard",
        "analyzer",
        "quote_analyzer",
        "enable_position_increments",
        "rewrite",
        "escape",
        "tie_breaker",
        "type",
        "time_zone",
        "auto_generate_synonyms_phrase_query",
        "max_determinized_states",
    ] {
        object.value(key); // of scores, of other languages' words, or of speed
    }
    read(object, default_fields, |parser| parser.or(None, 0))
}

/// `simple_query_string`.
pub(super) fn simple_query_string(object: &Object<'_>) -> Query<String> {
    let default_fields = fields(object);
    for key in [
        "analyze_wildcard",
        "lenient",
        "analyzer",
        "auto_generate_synonyms_phrase_query",
    ] {
        object.value(key);
    }
    if object.text("flags").is_some_and(|flags| flags != "ALL") {
        object.unsupported("flags", "switching off parts of the syntax");
    }
    read(object, default_fields, |parser| parser.simple(0))
}

fn read(
    object: &Object<'_>,
    default_fields: Vec<String>,
    parse: impl FnOnce(&mut Parser<'_>) -> Result<Query<String>, String>,
) -> Query<String> {
    let order = leaf::operator(object, "default_operator").unwrap_or(WordOrder::Any);
    if object.has("minimum_should_match") {
        object.unsupported("minimum_should_match", "a number of words");
    }
    object.value("minimum_should_match");
    let Some(text) = object.text("query") else {
        if !object.has("query") {
            object.wrong("query", "is missing");
        }
        return Query::All;
    };
    if text.chars().nth(LENGTH_MAX).is_some() {
        object.wrong("query", format!("is longer than {LENGTH_MAX} characters"));
        return Query::All;
    }
    let mut parser = Parser {
        text,
        at: 0,
        default_fields,
        order,
    };
    let parsed = parse(&mut parser).and_then(|query| match parser.peek() {
        None => Ok(query),
        Some(_) => Err(parser.unexpected("the end")),
    });
    match parsed {
        Ok(query) => query,
        Err(why) => {
            object.wrong("query", why);
            Query::All
        }
    }
}

/// A position in the text.
struct Parser<'t> {
    text: &'t str,
    at: usize,
    default_fields: Vec<String>,
    order: WordOrder,
}

type Parsed = Result<Query<String>, String>;

/// A run of characters up to a blank or a sign with a meaning.
struct Word {
    /// As written, backslashes included.
    raw: String,
    /// What it stands for.
    text: String,
    /// Holds a `*` or `?` without a backslash.
    is_wild: bool,
}

impl<'t> Parser<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    /// The next character that is not blank; stands at it afterwards.
    fn peek(&mut self) -> Option<char> {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
        self.rest().chars().next()
    }

    fn eat(&mut self, sign: &str) -> bool {
        self.peek();
        let found = self.rest().starts_with(sign);
        if found {
            self.at += sign.len();
        }
        found
    }

    /// `AND` and its like, as a word of its own.
    fn eat_word(&mut self, words: [&str; 3]) -> bool {
        self.peek();
        let rest = self.rest();
        let found = words.into_iter().find(|word| {
            let letters = word.starts_with(char::is_alphabetic);
            rest.strip_prefix(word).is_some_and(|after| {
                !letters || after.is_empty() || after.starts_with([' ', '\t', '\n', '(', ')'])
            })
        });
        self.at += found.map_or(0, str::len);
        found.is_some()
    }

    fn unexpected(&mut self, expected: &str) -> String {
        let found: String = self.rest().chars().take(20).collect();
        let found = match found.as_str() {
            "" => "the end".to_owned(),
            found => format!("{found:?}"),
        };
        let character = self.text[..self.at].chars().count() + 1;
        format!("character {character}: found {found}; expected {expected}")
    }

    fn or(&mut self, field: Option<&str>, depth: usize) -> Parsed {
        if depth > DEPTH_MAX {
            return Err(format!("nests deeper than {DEPTH_MAX} parentheses"));
        }
        let mut any = vec![self.and(field, depth)?];
        while self.eat_word(["OR", "or", "||"]) {
            any.push(self.and(field, depth)?);
        }
        Ok(Query::at_least(1, any))
    }

    fn and(&mut self, field: Option<&str>, depth: usize) -> Parsed {
        let mut all = vec![self.many(field, depth)?];
        while self.eat_word(["AND", "and", "&&"]) {
            all.push(self.many(field, depth)?);
        }
        Ok(Query::every(all))
    }

    /// Clauses one after another: `+` must be, `-` must not be; of the others one if nothing must be.
    fn many(&mut self, field: Option<&str>, depth: usize) -> Parsed {
        let (mut must, mut should) = (Vec::new(), Vec::new());
        loop {
            if self.eat("+") {
                must.push(self.unary(field, depth)?);
            } else if self.is_negated() {
                must.push(Query::negated(self.unary(field, depth)?));
            } else {
                should.push(self.unary(field, depth)?);
            }
            if self.is_over() {
                break;
            }
        }
        let only_should = must.iter().all(|clause| matches!(clause, Query::Not(_)));
        Ok(match self.order {
            WordOrder::All => {
                must.append(&mut should);
                Query::every(must)
            }
            _ => {
                let least = usize::from(only_should && !should.is_empty());
                must.push(Query::at_least(least, should));
                Query::every(must)
            }
        })
    }

    fn is_negated(&mut self) -> bool {
        self.eat("-") || self.eat("!") || self.eat_word(["NOT", "not", "NOT"])
    }

    /// Whether no further clause begins here.
    fn is_over(&mut self) -> bool {
        let at = self.at;
        let over = matches!(self.peek(), None | Some(')'))
            || self.eat_word(["OR", "or", "||"])
            || self.eat_word(["AND", "and", "&&"]);
        self.at = at;
        over
    }

    fn unary(&mut self, field: Option<&str>, depth: usize) -> Parsed {
        if depth > DEPTH_MAX {
            return Err(format!("nests deeper than {DEPTH_MAX} parentheses"));
        }
        if self.is_negated() {
            return Ok(Query::negated(self.unary(field, depth + 1)?));
        }
        if self.eat("(") {
            let inner = self.or(field, depth + 1)?;
            return self.closed(inner);
        }
        let start = self.at;
        if let Some(word) = self.word(true)? {
            self.peek();
            if self.rest().starts_with(':') {
                self.at += 1;
                return self.of_field(&word, depth);
            }
            if self.rest().starts_with(['<', '>']) && field.is_none() {
                return self.value(&[word.text]);
            }
            self.at = start;
        }
        match field {
            Some(field) => self.value(&[field.to_owned()]),
            None => self.value(&self.default_fields.clone()),
        }
    }

    fn closed(&mut self, inner: Query<String>) -> Parsed {
        if !self.eat(")") {
            return Err(self.unexpected("')'"));
        }
        self.boost()?;
        Ok(inner)
    }

    fn of_field(&mut self, name: &Word, depth: usize) -> Parsed {
        if name.raw == "_exists_" {
            let field = self.word(true)?.ok_or_else(|| self.unexpected("a field"))?;
            return Ok(Query::Exists(field.text));
        }
        if name.is_wild && !(name.raw == "*" && self.rest().starts_with('*')) {
            return Err(format!(
                "{} is a pattern of fields; name each field",
                shown(&name.raw)
            ));
        }
        if name.raw == "*" {
            self.at += 1;
            return Ok(Query::All);
        }
        if self.eat("(") {
            let inner = self.or(Some(&name.text), depth + 1)?;
            return self.closed(inner);
        }
        self.value(std::slice::from_ref(&name.text))
    }

    /// One value, of any of these fields.
    fn value(&mut self, fields: &[String]) -> Parsed {
        let start = self.at;
        let Some(test) = self.test(fields.first().map_or("", String::as_str))? else {
            return Ok(match fields {
                [] => Query::All, // a lone *
                fields => Query::at_least(1, fields.iter().cloned().map(Query::Exists).collect()),
            });
        };
        if fields.is_empty() {
            let value: String = self.text[start..self.at].trim().chars().take(40).collect();
            return Err(format!(
                "{value:?} stands without a field; write FIELD:{value}, or give default_field (only named fields are read)"
            ));
        }
        let each = fields.iter().map(|field| {
            let test = match &test {
                // Whether a field is one of text goes by its name.
                Test::Words { whole, order, .. } => words_of(field, whole.clone(), *order),
                test => test.clone(),
            };
            Query::Has(field.clone(), test)
        });
        Ok(Query::at_least(1, each.collect()))
    }

    /// The test that is written here; `None`: `*`, anything at all.
    fn test(&mut self, field: &str) -> Result<Option<Test>, String> {
        let test = match self.peek() {
            Some('"') => {
                let phrase = self.quoted('"')?;
                words_of(field, Literal::Text(phrase), WordOrder::Phrase)
            }
            Some('/') => {
                let pattern = self.quoted('/')?;
                let translated = regexp::translated(&pattern, Case::Sensitive);
                Test::Regexp(translated.map_err(|why| format!("{} {why}", shown(&pattern)))?)
            }
            Some('[' | '{') => self.range()?,
            Some('<' | '>') => self.comparison()?,
            _ => {
                let Some(word) = self.word(false)? else {
                    return Err(self.unexpected("a value"));
                };
                self.boost()?;
                return Ok(match word {
                    Word { raw, .. } if raw == "*" => None,
                    Word {
                        is_wild: true, raw, ..
                    } => Some(Test::Wildcard(globs(&raw), Case::Sensitive)),
                    Word { text, .. } => Some(words_of(field, Literal::Text(text), self.order)),
                });
            }
        };
        self.boost()?;
        Ok(Some(test))
    }

    /// `^2` is passed over, `~` is refused.
    fn boost(&mut self) -> Result<(), String> {
        if self.rest().starts_with('~') {
            return Err(self.unexpected("no '~': what is only near is not found here"));
        }
        if let Some(boost) = self.rest().strip_prefix('^') {
            let end = boost.find(|c: char| !c.is_ascii_digit() && c != '.');
            self.at += 1 + end.unwrap_or(boost.len());
        }
        Ok(())
    }

    /// A run of characters; of a field's name, up to a colon or a comparison.
    fn word(&mut self, is_name: bool) -> Result<Option<Word>, String> {
        self.peek();
        let mut word = Word {
            raw: String::new(),
            text: String::new(),
            is_wild: false,
        };
        let mut chars = self.rest().char_indices();
        let mut end = self.rest().len();
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => {
                    let Some((_, c)) = chars.next() else {
                        self.at += at;
                        return Err(self.unexpected("a character after the backslash"));
                    };
                    word.raw.extend(['\\', c]);
                    word.text.push(c);
                    continue;
                }
                ':' | '<' | '>' if is_name => {}
                ':' => {
                    self.at += at;
                    return Err(self.unexpected("no ':' in a value; put the value between quotes"));
                }
                '(' | ')' | '"' | '[' | ']' | '{' | '}' | '^' | '~' => {}
                c if c.is_whitespace() => {}
                c => {
                    word.is_wild |= matches!(c, '*' | '?');
                    word.raw.push(c);
                    word.text.push(c);
                    continue;
                }
            }
            end = at;
            break;
        }
        self.at += end;
        Ok((end > 0).then_some(word))
    }

    /// Text between two such signs; a backslash takes the meaning from the next character, in a regular expression only from the sign.
    fn quoted(&mut self, sign: char) -> Result<String, String> {
        let mut text = String::new();
        let mut chars = self.rest().char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => match chars.next() {
                    Some((_, c)) if c == sign || sign == '"' => text.push(c),
                    Some((_, c)) => text.extend(['\\', c]),
                    None => break,
                },
                c if c == sign => {
                    self.at += at + sign.len_utf8();
                    return Ok(text);
                }
                c => text.push(c),
            }
        }
        Err(self.unexpected(&format!("a {sign} at its end too")))
    }

    /// `[a TO b]`, `{a TO b}` or a mixture; `*` is no end.
    fn range(&mut self) -> Result<Test, String> {
        let low_inclusive = self.eat("[") || !self.eat("{");
        let low = self.end()?;
        if !self.eat_word(["TO", "to", "TO"]) {
            return Err(self.unexpected("TO"));
        }
        let high = self.end()?;
        let high_inclusive = self.eat("]");
        if !high_inclusive && !self.eat("}") {
            return Err(self.unexpected("']' or '}'"));
        }
        let low = low
            .map(|text| edge(text, Side::Low, low_inclusive))
            .transpose()?;
        let high = high
            .map(|text| edge(text, Side::High, high_inclusive))
            .transpose()?;
        match (&low, &high) {
            (None, None) => Ok(Test::Wildcard(globs("*"), Case::Sensitive)),
            _ => Ok(Test::Range(low, high)),
        }
    }

    /// An end of a range: up to a blank or the bracket, so that dates need no quotes.
    fn end(&mut self) -> Result<Option<String>, String> {
        if self.peek() == Some('"') {
            return self.quoted('"').map(Some);
        }
        let rest = self.rest();
        let end = rest.find(|c: char| c.is_whitespace() || matches!(c, ']' | '}'));
        let text = &rest[..end.unwrap_or(rest.len())];
        self.at += text.len();
        match text {
            "" => Err(self.unexpected("an end of the range, or *")),
            "*" => Ok(None),
            text => Ok(Some(text.replace('\\', ""))),
        }
    }

    fn comparison(&mut self) -> Result<Test, String> {
        let is_low = self.eat(">") || !self.eat("<");
        let inclusive = self.eat("=");
        let text = match self.peek() {
            Some('"') => self.quoted('"')?,
            _ => {
                let rest = self.rest();
                let end = rest.find(|c: char| c.is_whitespace() || c == ')');
                let text = &rest[..end.unwrap_or(rest.len())];
                self.at += text.len();
                text.replace('\\', "")
            }
        };
        if text.is_empty() {
            return Err(self.unexpected("a value to compare with"));
        }
        Ok(match is_low {
            true => Test::Range(Some(edge(text, Side::Low, inclusive)?), None),
            false => Test::Range(None, Some(edge(text, Side::High, inclusive)?)),
        })
    }

    /// The simple syntax: `+` and, `|` or, `-` not, "phrase", beginning*, parentheses; from left to right.
    fn simple(&mut self, depth: usize) -> Parsed {
        if depth > DEPTH_MAX {
            return Err(format!("nests deeper than {DEPTH_MAX} parentheses"));
        }
        let mut query = self.simple_one(depth)?;
        loop {
            let is_and = match self.peek() {
                None | Some(')') => return Ok(query),
                Some('+') => self.eat("+"),
                Some('|') => !self.eat("|"),
                _ => self.order == WordOrder::All,
            };
            let next = self.simple_one(depth)?;
            query = match is_and {
                true => Query::every(vec![query, next]),
                false => Query::at_least(1, vec![query, next]),
            };
        }
    }

    fn simple_one(&mut self, depth: usize) -> Parsed {
        if depth > DEPTH_MAX {
            return Err(format!("nests deeper than {DEPTH_MAX} parentheses"));
        }
        if self.eat("-") {
            return Ok(Query::negated(self.simple_one(depth + 1)?));
        }
        if self.eat("(") {
            let inner = self.simple(depth + 1)?;
            return self.closed(inner);
        }
        let fields = self.default_fields.clone();
        if self.peek() == Some('"') {
            return self.value(&fields);
        }
        let rest = self.rest();
        let end =
            rest.find(|c: char| c.is_whitespace() || matches!(c, '(' | ')' | '|' | '+' | '"'));
        let word = &rest[..end.unwrap_or(rest.len())];
        if word.is_empty() {
            return Err(self.unexpected("a word"));
        }
        if word.contains('~') {
            return Err(self.unexpected("no '~': what is only near is not found here"));
        }
        self.at += word.len();
        let each = fields.into_iter().map(|field| {
            let test = match word.strip_suffix('*') {
                Some(start) => Test::Prefix(start.to_owned(), Case::Sensitive),
                None => words_of(&field, Literal::Text(word.to_owned()), self.order),
            };
            Query::Has(field, test)
        });
        Ok(Query::at_least(1, each.collect()))
    }
}

fn edge(text: String, side: Side, inclusive: bool) -> Result<Edge, String> {
    let literal = Literal::Text(text);
    let bound = bound_of(&literal, side.round(inclusive), 0, 1.0);
    let Literal::Text(text) = literal else {
        return Err(String::new());
    };
    Ok(Edge {
        bound: bound.map_err(|why| format!("{} {why}", shown(&text)))?,
        inclusive,
    })
}
