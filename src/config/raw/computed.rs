//! `runtime_mappings` and `script_fields`: fields that are made of others.
//!
//! Of Painless, what copies and concatenates:
//!
//! ```text
//! emit(SUM);   return SUM;   SUM          with or without  if (doc['a'].size() != 0 && ...) { ... }  around it
//! SUM  := TERM (+ TERM)*
//! TERM := 'text' | number | doc['field'].value | params['_source']['field'] | params._source.field, each perhaps with .toString()
//! ```
//!
//! The guard is what a field needs anyway: where a part is missing, so is the field. A sum of fields alone would add numbers, which is
//! not done here, so two fields need a text between them (in a `keyword` field that is concatenation). Everything else is refused with the place where reading stopped.

use super::object::{Object, shown};
use crate::config::datafeed::Part;
use std::collections::BTreeMap;

/// Fields by name, each with its parts.
pub(super) type ComputedFields = BTreeMap<String, Vec<Part<String>>>;

/// The longest script, bytes.
const SCRIPT_BYTES_MAX: usize = 4096;
/// The most fields.
const FIELDS_MAX: usize = 1000;

/// Types of runtime fields that are read as the text or number that they are made of.
const TYPES: [&str; 6] = ["keyword", "long", "double", "boolean", "ip", "date"];

/// Reads both sections. What an event's time is, is read before anything is computed.
pub(super) fn read(datafeed: &Object<'_>, time_field: Option<&str>) -> ComputedFields {
    let mut fields = ComputedFields::new();
    for key in ["runtime_mappings", "script_fields"] {
        let Some(section) = datafeed.object(key) else {
            continue;
        };
        for (path, name, body) in section.entries() {
            if let Some(message) = super::detector::invalid_field_name(name) {
                section.wrong_at(path.clone(), message);
            }
            if Some(name) == time_field {
                let message = "is the job's time field, which cannot be computed; name a field of the event as data_description.time_field";
                section.wrong_at(path.clone(), message.to_owned());
            }
            let Some(field) = section.object_at(path.clone(), body) else {
                continue;
            };
            let parts = match key {
                "runtime_mappings" => read_runtime(&field, name),
                _ => read_script_field(&field),
            };
            if let Some(parts) = parts
                && fields.insert(name.to_owned(), parts).is_some()
            {
                section.wrong_at(path, "is computed twice; keep one of the two");
            }
        }
    }
    if fields.len() > FIELDS_MAX {
        let message = format!("computes more than {FIELDS_MAX} fields");
        datafeed.wrong("runtime_mappings", message);
    }
    check_order(datafeed, &fields);
    fields
}

/// A computed field is made of fields of the event, not of other computed ones: so their order does not matter.
fn check_order(datafeed: &Object<'_>, fields: &ComputedFields) {
    for (name, parts) in fields {
        for part in parts {
            if let Part::Field(source) = part
                && source != name
                && fields.contains_key(source)
            {
                let message = format!(
                    "{} is made of {}, which is computed too; write that one's parts instead",
                    shown(name),
                    shown(source)
                );
                datafeed.wrong("runtime_mappings", message);
            }
        }
    }
}

fn read_runtime(field: &Object<'_>, name: &str) -> Option<Vec<Part<String>>> {
    match field.text("type") {
        Some(kind) if TYPES.contains(&kind) => {}
        Some(kind) => {
            let message = format!("the type {}; known are {}", shown(kind), TYPES.join(", "));
            field.unsupported("type", message);
        }
        None => field.wrong("type", format!("is missing; one of {}", TYPES.join(", "))),
    }
    field.value("format");
    let parts = match field.has("script") {
        true => read_script(field),
        // Without a script the field is read from the document under its own name.
        false => Some(vec![Part::Field(name.to_owned())]),
    };
    close(field, parts)
}

fn read_script_field(field: &Object<'_>) -> Option<Vec<Part<String>>> {
    field.value("ignore_failure");
    let parts = read_script(field);
    if !field.has("script") {
        field.wrong("script", "is missing");
    }
    close(field, parts)
}

/// Notes what nobody asked for.
fn close(field: &Object<'_>, parts: Option<Vec<Part<String>>>) -> Option<Vec<Part<String>>> {
    for (path, key, _) in field.entries() {
        if !["type", "format", "script", "ignore_failure"].contains(&key) {
            field.wrong_at(path, "unknown field; known here: type, script, format");
        }
    }
    parts
}

fn read_script(field: &Object<'_>) -> Option<Vec<Part<String>>> {
    const KEY: &str = "script";
    let (path, source) = match field.value(KEY)? {
        serde_json::Value::String(source) => (field.path_of(KEY), source.as_str()),
        _ => {
            let script = field.object(KEY)?;
            if let Some(lang) = script.text("lang").filter(|lang| *lang != "painless") {
                script.unsupported("lang", format!("the language {}", shown(lang)));
            }
            if script.has("id") {
                script.unsupported("id", "stored scripts; write the source here");
                script.value("id");
                return None;
            }
            if script
                .free("params")
                .is_some_and(|params| !params.is_empty())
            {
                script.unsupported("params", "parameters; write their values into the source");
            }
            let source = script.text("source");
            if !script.has("source") {
                script.wrong("source", "is missing");
            }
            let path = script.path_of("source");
            script.finish();
            (path, source?)
        }
    };
    match parse(source) {
        Ok(parts) => Some(parts),
        Err(why) => {
            field.report().unsupported(path, why);
            None
        }
    }
}

/// The parts that a script puts together. The error says where it stopped being understood.
fn parse(source: &str) -> Result<Vec<Part<String>>, String> {
    if source.len() > SCRIPT_BYTES_MAX {
        return Err(format!("a script longer than {SCRIPT_BYTES_MAX} bytes"));
    }
    let mut script = Script { rest: source };
    let guarded = script.eat("if");
    if guarded {
        script.guard()?;
    }
    let braced = guarded && script.eat("{");
    let parts = script.statement()?;
    if braced && !script.eat("}") {
        return Err(script.stopped("'}'"));
    }
    match script.skip_blanks() {
        "" => checked(parts),
        _ => Err(script.stopped("the end")),
    }
}

fn checked(parts: Vec<Part<String>>) -> Result<Vec<Part<String>>, String> {
    let has_text = parts.iter().any(|part| matches!(part, Part::Text(_)));
    match parts.len() > 1 && !has_text {
        true => Err(
            "a sum of fields, which could be one of numbers; put a text between them, such as '|'"
                .to_owned(),
        ),
        false => Ok(parts),
    }
}

struct Script<'s> {
    rest: &'s str,
}

impl<'s> Script<'s> {
    fn skip_blanks(&mut self) -> &'s str {
        self.rest = self.rest.trim_start();
        self.rest
    }

    fn eat(&mut self, sign: &str) -> bool {
        match self.skip_blanks().strip_prefix(sign) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn need(&mut self, sign: &str) -> Result<(), String> {
        match self.eat(sign) {
            true => Ok(()),
            false => Err(self.stopped(&format!("'{sign}'"))),
        }
    }

    fn stopped(&mut self, expected: &str) -> String {
        let found: String = self.skip_blanks().chars().take(30).collect();
        let found = if found.is_empty() {
            "the end".to_owned()
        } else {
            shown(&found)
        };
        format!(
            "this script: it is understood up to {found}, where {expected} is expected (scripts here copy and concatenate: emit(doc['a'].value + '|' + doc['b'].value))"
        )
    }

    /// `(doc['a'].size() != 0 && doc.containsKey('b') && !doc['c'].empty)`
    fn guard(&mut self) -> Result<(), String> {
        self.need("(")?;
        loop {
            if self.eat("doc.containsKey(") {
                self.quoted()?;
                self.need(")")?;
            } else {
                let negated = self.eat("!");
                self.need("doc[")?;
                self.quoted()?;
                self.need("]")?;
                let fits = match negated {
                    true => self.eat(".empty") || self.eat(".isEmpty()"),
                    false => {
                        self.need(".size()")?;
                        (self.eat("!=") || self.eat(">")) && self.eat("0") || self.eat("==false")
                    }
                };
                if !fits {
                    return Err(self.stopped("a test that the field is there"));
                }
            }
            if self.eat(")") {
                return Ok(());
            }
            self.need("&&")?;
        }
    }

    fn statement(&mut self) -> Result<Vec<Part<String>>, String> {
        let emits = self.eat("emit(");
        if !emits {
            self.eat("return ");
        }
        let mut parts = vec![self.term()?];
        while self.eat("+") {
            parts.push(self.term()?);
        }
        if emits {
            self.need(")")?;
        }
        self.eat(";");
        Ok(parts)
    }

    fn term(&mut self) -> Result<Part<String>, String> {
        let part = if self.eat("doc[") {
            let field = self.quoted()?;
            self.need("]")?;
            self.need(".value")?;
            Part::Field(field)
        } else if self.eat("params['_source']")
            || self.eat("params[\"_source\"]")
            || self.eat("params._source")
        {
            Part::Field(self.source_path()?)
        } else if self.skip_blanks().starts_with(['\'', '"']) {
            Part::Text(self.quoted()?)
        } else {
            let rest = self.skip_blanks();
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            if digits == 0 {
                return Err(self.stopped("a text or doc['field'].value"));
            }
            self.rest = &rest[digits..];
            Part::Text(rest[..digits].to_owned())
        };
        self.eat(".toString()");
        Ok(part)
    }

    /// `['a']['b']` or `.a.b`: the path `a.b`.
    fn source_path(&mut self) -> Result<String, String> {
        let mut path: Vec<String> = Vec::new();
        loop {
            if self.rest.starts_with('[') {
                self.eat("[");
                path.push(self.quoted()?);
                self.need("]")?;
            } else if self.rest.starts_with('.') && !self.rest.starts_with(".toString()") {
                let name = &self.rest[1..];
                let end = name.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '@');
                let name = &name[..end.unwrap_or(name.len())];
                if name.is_empty() {
                    return Err(self.stopped("a field's name"));
                }
                self.rest = &self.rest[1 + name.len()..];
                path.push(name.to_owned());
            } else if path.is_empty() {
                return Err(self.stopped("a field's name"));
            } else {
                return Ok(path.join("."));
            }
        }
    }

    /// Text between single or double quotes.
    fn quoted(&mut self) -> Result<String, String> {
        let rest = self.skip_blanks();
        let Some(sign) = rest.chars().next().filter(|c| ['\'', '"'].contains(c)) else {
            return Err(self.stopped("a text between quotes"));
        };
        let mut text = String::new();
        let mut chars = rest.char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => text.extend(chars.next().map(|(_, c)| c)),
                c if c == sign => {
                    self.rest = &rest[at + 1..];
                    return Ok(text);
                }
                c => text.push(c),
            }
        }
        Err(self.stopped("the closing quote"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str) -> Part<String> {
        Part::Field(name.to_owned())
    }

    fn text(text: &str) -> Part<String> {
        Part::Text(text.to_owned())
    }

    #[test]
    fn scripts_that_copy_and_concatenate_are_understood() {
        for (source, parts) in [
            ("emit(doc['a.b'].value)", vec![field("a.b")]),
            ("emit('prod');", vec![text("prod")]),
            (
                "emit(doc[\"a\"].value + '|' + doc['b'].value.toString());",
                vec![field("a"), text("|"), field("b")],
            ),
            (
                "if (doc['a'].size() != 0 && doc.containsKey('b') && !doc['c'].empty) {\n  emit( doc['a'].value + ' it\\'s ' + 7 );\n}",
                vec![field("a"), text(" it's "), text("7")],
            ),
            (
                "if (doc['a'].size()>0) emit(params._source.user.name)",
                vec![field("user.name")],
            ),
            (
                "return params['_source']['user']['id'] + '@'",
                vec![field("user.id"), text("@")],
            ),
        ] {
            assert_eq!(parse(source), Ok(parts), "{source}");
        }
    }

    #[test]
    fn other_scripts_are_refused_where_they_stop_being_understood() {
        for (source, why) in [
            ("", "up to the end"),
            (
                "emit(doc['a'].value",
                "up to the end, where ')' is expected",
            ),
            ("emit(doc['a'].value * 2)", "\"* 2)\""),
            ("emit(doc['a'].value + doc['b'].value)", "a sum of fields"),
            ("def x = 1; emit(x)", "\"def x = 1; emit(x)\""),
            ("emit(doc['a'].value); emit('b')", "\"emit('b')\""),
            ("if (doc['a'].value == 1) emit('x')", ".value == 1"),
            ("emit('a", "closing quote"),
        ] {
            let error = parse(source).unwrap_err();
            assert!(error.contains(why), "{source}: {error}");
        }
    }
}
