//! Lucene's regular expressions → those of the `regex` crate.
//!
//! Lucene matches the whole value, knows no `^`, `$` or `\d`-like shorthand and has operators of its own: `@` (any text), `<1-10>` (a
//! number between), `~` (not), `&` (and), `#` (nothing), `"text"`. The last three sets have no counterpart and are refused. Bounded: patterns of at
//! most [`LENGTH_MAX`] characters, programs of at most [`PROGRAM_BYTES_MAX`]; matching takes time linear in the value.

use crate::config::query::Case;

/// Elastic's `index.max_regex_length`.
const LENGTH_MAX: usize = 1000;
/// The compiled program, bytes.
const PROGRAM_BYTES_MAX: usize = 1 << 20;

/// The pattern in the other language. The error is the end of a sentence that begins with the pattern.
pub(super) fn translated(pattern: &str, case: Case) -> Result<String, String> {
    if pattern.chars().nth(LENGTH_MAX).is_some() {
        return Err(format!(
            "is longer than {LENGTH_MAX} characters, the most that are allowed"
        ));
    }
    let flags = if case == Case::Ignored {
        "(?si)"
    } else {
        "(?s)"
    };
    let mut out = format!("{flags}\\A(?:");
    let mut chars = pattern.chars().peekable();
    let mut in_class = false;
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c) if "dDwWsS".contains(c) => out.extend(['\\', c]),
                Some(c) => push_literal(&mut out, c),
                None => return Err("ends with a backslash".to_owned()),
            },
            '[' if !in_class => {
                in_class = true;
                out.push('[');
                if chars.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
            }
            ']' if in_class => {
                in_class = false;
                out.push(']');
            }
            '-' if in_class => out.push('-'),
            c if in_class => push_literal(&mut out, c),
            '"' => quoted(&mut chars, &mut out)?,
            '@' => out.push_str(".*"),
            '<' | '~' | '&' | '#' => {
                return Err(format!(
                    "has Lucene's operator '{c}', which is not supported; as a character it is \\{c}"
                ));
            }
            '^' | '$' => push_literal(&mut out, c),
            c => out.push(c),
        }
    }
    out.push_str(")\\z");
    let compiled = regex::RegexBuilder::new(&out)
        .size_limit(PROGRAM_BYTES_MAX)
        .build();
    match compiled {
        Ok(_) => Ok(out),
        Err(regex::Error::CompiledTooBig(_)) => {
            Err("is too large when compiled; repeat less".to_owned())
        }
        Err(error) => {
            let error = error.to_string();
            let reason = error.lines().last().unwrap_or_default().trim();
            let reason = reason.strip_prefix("error: ").unwrap_or(reason);
            Err(format!("is not a regular expression: {reason}"))
        }
    }
}

/// Text between double quotes stands for itself.
fn quoted(chars: &mut impl Iterator<Item = char>, out: &mut String) -> Result<(), String> {
    for c in chars {
        match c {
            '"' => return Ok(()),
            c => push_literal(out, c),
        }
    }
    Err("has a quote that is not closed".to_owned())
}

fn push_literal(out: &mut String, c: char) {
    out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lucenes_patterns_match_what_lucene_matches() {
        for (pattern, yes, no) in [
            ("sshd?", &["ssh", "sshd"][..], &["sshdx", "xssh"][..]),
            ("a.c", &["abc", "a\nc"], &["ac"]),
            ("^a$", &["^a$"], &["a"]),
            ("a@", &["a", "abc"], &["ba"]),
            ("\"a.c\"x*", &["a.c", "a.cxx"], &["abc"]),
            ("[^a-c]+", &["xyz"], &["xaz"]),
            ("a|b", &["a", "b"], &["ab"]),
            ("10\\.0\\.\\d+", &["10.0.7"], &["10x0.7"]),
            ("", &[""], &["a"]),
        ] {
            let regex = regex::Regex::new(&translated(pattern, Case::Sensitive).unwrap()).unwrap();
            for text in yes {
                assert!(regex.is_match(text), "{pattern} {text}");
            }
            for text in no {
                assert!(!regex.is_match(text), "{pattern} {text}");
            }
        }
        let any_case = translated("SSHD", Case::Ignored).unwrap();
        assert!(regex::Regex::new(&any_case).unwrap().is_match("sshd"));
    }

    #[test]
    fn what_would_cost_too_much_or_means_nothing_is_refused() {
        for (pattern, why) in [
            ("(", "is not a regular expression"),
            ("a{1000}{1000}{1000}", "too large"),
            ("<1-10>", "Lucene's operator '<'"),
            ("\"abc", "not closed"),
            ("a\\", "backslash"),
            (&"a".repeat(1001), "longer than 1000"),
        ] {
            let error = translated(pattern, Case::Sensitive).unwrap_err();
            assert!(error.contains(why), "{pattern}: {error}");
        }
    }
}
