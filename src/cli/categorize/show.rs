//! The categories as a table for people: most messages first, each with its count, regular expression and an example.
//!
//! Fits the width it is told (at least 60 columns). What would act on a terminal in a message is shown, not done.

use super::super::output::grouped;
use super::super::table::{Style, heading};
use crate::engine::categorize::CategoryDefinition;
use std::cmp::Reverse;
use std::fmt::Write;

/// Examples shown of a category.
const EXAMPLES_SHOWN_MAX: usize = 2;

/// The whole table; `messages` is what the shares are of.
pub(super) fn render(
    mut definitions: Vec<CategoryDefinition>,
    messages: u64,
    style: Style,
) -> String {
    let mut text = String::new();
    if definitions.is_empty() {
        text.push_str("No messages.\n");
        return text;
    }
    definitions.sort_by_key(|one| (Reverse(one.num_matches), one.category_id));
    heading(&mut text, style, "Categories", style.top, definitions.len());
    let width = style.width.max(60);
    for one in definitions.iter().take(style.top) {
        let share = 100.0 * one.num_matches as f64 / messages.max(1) as f64;
        let name = if one.terms.is_empty() {
            "(no words in common)"
        } else {
            &one.terms
        };
        let head = format!(
            "{:>12} {share:5.1} %  {:>6}  ",
            grouped(one.num_matches),
            format!("#{}", one.category_id)
        );
        let _ = writeln!(
            text,
            "{head}{}",
            fitted(name, width.saturating_sub(head.len()))
        );
        let mut line = |label: &str, value: &str| {
            let _ = writeln!(text, "{:21}{label:9}{}", "", fitted(value, width - 30));
        };
        line("regex", &one.regex);
        for example in one.examples.iter().take(EXAMPLES_SHOWN_MAX) {
            line("example", example);
        }
        if !one.preferred_to_categories.is_empty() {
            let ids: Vec<String> = one
                .preferred_to_categories
                .iter()
                .map(u32::to_string)
                .collect();
            line("took over", &ids.join(" "));
        }
    }
    text
}

/// One line of at most so many characters, without anything that a terminal would obey.
fn fitted(text: &str, width: usize) -> String {
    let shown: String = text
        .chars()
        .map(|c| if c.is_control() { '·' } else { c })
        .collect();
    match shown.chars().count() > width {
        true => shown
            .chars()
            .take(width.saturating_sub(1))
            .chain(['…'])
            .collect(),
        false => shown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_the_largest_first_and_obeys_no_message() {
        let one = |id, count, example: &str| CategoryDefinition {
            category_id: id,
            partition: None,
            terms: format!("kind {id}"),
            regex: "(?s).*?kind.*".into(),
            max_matching_length: 9,
            examples: vec![example.into()],
            preferred_to_categories: Vec::new(),
            num_matches: count,
        };
        let style = Style {
            width: 60,
            color: false,
            top: 2,
        };
        let table = render(
            vec![one(1, 5, "small"), one(2, 95, "\u{1b}[31mred\nx")],
            100,
            style,
        );
        let lines: Vec<&str> = table.lines().collect();
        assert!(
            lines[1].contains("95  95.0 %") && lines[1].contains("#2  kind 2"),
            "{table}"
        );
        assert!(lines[3].ends_with("example  ·[31mred·x"), "{table}");
        assert!(
            lines.iter().all(|line| line.chars().count() <= 60),
            "{table}"
        );
    }
}
