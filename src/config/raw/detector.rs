//! One element of `analysis_config.detectors`, and the rules within it.
//!
//! Source: job-config.md 1.4 and its table 1.4.1, whose row numbers stand beside the rules. Rows 1 to 5 overlap; one message is
//! given for each thing that is missing. Checked: `tests/config.rs`, a case for every row.

use super::object::{Object, shown};
use super::rules::{self, RawRule};
use super::suggest::nearest;
use crate::config::function::{Family, Function};

/// A detector as written, defaults filled in.
pub(super) struct RawDetector {
    /// Where it stands.
    pub(super) path: String,
    pub(super) function: Function,
    pub(super) names: Names,
    pub(super) use_null: bool,
    pub(super) exclude_frequent: Option<&'static str>,
    pub(super) rules: Vec<RawRule>,
    /// Given or generated.
    pub(super) description: String,
}

/// The fields that a detector names; the empty name counts as none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Names {
    pub(super) field: Option<String>,
    pub(super) by: Option<String>,
    pub(super) over: Option<String>,
    pub(super) partition: Option<String>,
}

impl Names {
    /// The fields that split: property and name.
    pub(super) fn splits(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [
            ("by_field_name", &self.by),
            ("over_field_name", &self.over),
            ("partition_field_name", &self.partition),
        ]
        .into_iter()
        .filter_map(|(key, name)| Some((key, name.as_deref()?)))
    }

    /// Every field: property and name.
    pub(super) fn all(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let field = self.field.as_deref().map(|name| ("field_name", name));
        field.into_iter().chain(self.splits())
    }
}

/// Reads a detector; `None` when even its function is unknown (which is noted).
pub(super) fn read(object: Object<'_>) -> Option<RawDetector> {
    let function = read_function(&object);
    let owned = |key| object.name(key).map(str::to_owned);
    let names = Names {
        field: owned("field_name"),
        by: owned("by_field_name"),
        over: owned("over_field_name"),
        partition: owned("partition_field_name"),
    };
    let use_null = object.boolean("use_null").unwrap_or(false);
    let exclude_frequent = read_exclude_frequent(&object);
    let given = owned("detector_description");
    object.value("detector_index"); // assigned by position, whatever is written

    check_names(&object, &names);
    let mut rules = Vec::new();
    if let Some(function) = function {
        check_needs(&object, function, &names);
        rules = rules::read(&object, function, &names);
    } else {
        object.value("custom_rules");
    }
    let path = object.path().to_owned();
    object.finish();
    let function = function?;
    let description =
        given.unwrap_or_else(|| describe(function, &names, use_null, exclude_frequent));
    Some(RawDetector {
        path,
        function,
        names,
        use_null,
        exclude_frequent,
        rules,
        description,
    })
}

fn read_function(object: &Object<'_>) -> Option<Function> {
    if !object.has("function") {
        object.value("function");
        return Function::from_name("metric");
    }
    let name = object.text("function")?;
    let function = Function::from_name(name);
    if function.is_none() {
        let hint = match nearest(name, Function::names()) {
            Some(near) => format!("; did you mean {near:?}?"),
            None => "; \"count\", \"mean\" and \"high_sum\" are some".to_owned(),
        };
        object.wrong(
            "function",
            format!("{} is not a function{hint}", shown(name)),
        );
    }
    function
}

fn read_exclude_frequent(object: &Object<'_>) -> Option<&'static str> {
    let written = object.name("exclude_frequent")?;
    let known = ["all", "none", "by", "over"];
    let found = known
        .into_iter()
        .find(|word| written.eq_ignore_ascii_case(word));
    match found {
        Some(_) => {}
        None => object.wrong(
            "exclude_frequent",
            format!(
                "{} is not one of \"by\", \"over\", \"all\" and \"none\"",
                shown(written)
            ),
        ),
    }
    found
}

/// Rows 7, 9 and 10: the names themselves.
fn check_names(object: &Object<'_>, names: &Names) {
    for (key, name) in names.all() {
        if let Some(message) = invalid_field_name(name) {
            object.wrong(key, message);
        }
    }
    let splits: Vec<_> = names.splits().collect();
    for (at, (key, name)) in splits.iter().enumerate() {
        for (other, _) in splits[..at].iter().filter(|(_, earlier)| earlier == name) {
            object.wrong(
                key,
                format!("cannot be the same as {other}: {}", shown(name)),
            );
        }
        if *key != "partition_field_name" && ["count", "by", "over"].contains(name) {
            object.wrong(key, format!("{name:?} is not a permitted name here"));
        }
    }
}

/// The longest name of a field, bytes: hostile names must not cost more than honest ones.
const FIELD_NAME_LENGTH_MAX: usize = 1024;

/// Why a text cannot name a field (row 7).
pub(super) fn invalid_field_name(name: &str) -> Option<String> {
    let bad = |c: char| c == '"' || c == '\\' || c.is_control();
    if name == "." {
        return Some("\".\" is not a field name".to_owned());
    }
    if name.len() > FIELD_NAME_LENGTH_MAX {
        let message = format!("is longer than {FIELD_NAME_LENGTH_MAX} bytes, the most for a field");
        return Some(message);
    }
    name.contains(bad).then(|| {
        format!(
            "{} is not a field name: quotes, backslashes and control characters are not allowed",
            shown(name)
        )
    })
}

/// Rows 1 to 6: what the function needs and refuses.
fn check_needs(object: &Object<'_>, function: Function, names: &Names) {
    let (name, family) = (function.name(), function.family);
    match (family.needs_field(), &names.field) {
        (true, None) => object.wrong("field_name", format!("must be set when {name:?} is used")),
        (false, Some(_)) => object.wrong("field_name", format!("cannot be used with {name:?}")),
        _ => {}
    }
    if matches!(family, Family::Rare | Family::FreqRare) && names.by.is_none() {
        object.wrong(
            "by_field_name",
            format!("must be set when {name:?} is used"),
        );
    }
    if family == Family::FreqRare && names.over.is_none() {
        object.wrong(
            "over_field_name",
            format!("must be set when {name:?} is used"),
        );
    }
    if matches!(family, Family::NonZeroCount | Family::NonNullSum) && names.over.is_some() {
        object.wrong("over_field_name", format!("cannot be used with {name:?}"));
    }
}

/// The description of a detector that was given none.
fn describe(
    function: Function,
    names: &Names,
    use_null: bool,
    exclude_frequent: Option<&str>,
) -> String {
    let mut text = function.name().to_owned();
    let mut say = |before: &str, name: Option<&str>, after: &str| {
        if let Some(name) = name {
            text.push_str(&format!("{before}{name}{after}"));
        }
    };
    let quoted = |name: &Option<String>| name.as_deref().map(quote_unless_word);
    say("(", quoted(&names.field).as_deref(), ")");
    say(" by ", quoted(&names.by).as_deref(), "");
    say(" over ", quoted(&names.over).as_deref(), "");
    say(" usenull=", use_null.then_some("true"), "");
    say(" partitionfield=", quoted(&names.partition).as_deref(), "");
    say(" excludefrequent=", exclude_frequent, "");
    text
}

fn quote_unless_word(name: &str) -> String {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    match name.bytes().all(word) {
        true => name.to_owned(),
        false => format!("\"{name}\""),
    }
}
