//! One sentence that a person on call understands.

use super::Record;
use std::fmt::Write;

/// What happened, to whom, and how far from the usual it is.
pub fn of_record(record: &Record) -> String {
    let mut text = subject(record);
    let (Some(&actual), Some(&typical)) = (record.actual.first(), record.typical.first()) else {
        return text;
    };
    let _ = write!(text, " was {}", number(actual));
    match ratio(actual, typical) {
        _ if record.first_occurrence => text.push_str(", never seen before"),
        Some(ratio) if actual > typical => {
            let _ = write!(text, ", {ratio} above the usual {}", number(typical));
        }
        Some(ratio) => {
            let _ = write!(text, ", {ratio} below the usual {}", number(typical));
        }
        None if actual > typical => {
            let _ = write!(text, ", above the usual {}", number(typical));
        }
        None if actual < typical => {
            let _ = write!(text, ", below the usual {}", number(typical));
        }
        None => {
            let _ = write!(text, ", as expected, but in an unusual pattern");
        }
    }
    if let (Some(low), Some(high)) = (
        record.explanation.lower_confidence_bound,
        record.explanation.upper_confidence_bound,
    ) {
        let _ = write!(text, " (95 %: {} to {})", number(low), number(high));
    }
    if let Some(blame) = record
        .influencers
        .iter()
        .find(|one| !record.is_split_field(&one.influencer_field_name))
    {
        let _ = write!(
            text,
            "; mostly {} {}",
            blame.influencer_field_name,
            blame.influencer_field_values.join(", ")
        );
    }
    if record.history < 24 {
        let _ = write!(text, "; only {} buckets of history", record.history);
    }
    text.push('.');
    text
}

fn subject(record: &Record) -> String {
    let mut text = match (record.function_description, &record.field_name) {
        ("count", _) => "The event count".to_owned(),
        ("distinct_count", Some(field)) => format!("The number of distinct {field}"),
        (word, Some(field)) => format!(
            "The {} of {field}",
            if word == "varp" { "variance" } else { word }
        ),
        (word, None) => format!("The {word}"),
    };
    for (name, value) in [
        (&record.by_field_name, &record.by_field_value),
        (&record.partition_field_name, &record.partition_field_value),
    ] {
        if let (Some(name), Some(value)) = (name, value) {
            let _ = write!(
                text,
                " for {name} {}",
                if value.is_empty() { "(none)" } else { value }
            );
        }
    }
    text
}

/// "3.2 times" or "40 %"; `None` when the two cannot be set against each other.
fn ratio(actual: f64, typical: f64) -> Option<String> {
    let ratio = actual / typical;
    if !(ratio.is_finite() && ratio > 0.0 && typical.abs() > 1e-9) {
        return None;
    }
    let apart = if ratio >= 1.0 { ratio } else { 1.0 / ratio };
    Some(match apart {
        r if r >= 10.0 => format!("{r:.0} times"),
        r if r >= 2.0 => format!("{r:.1} times"),
        _ => format!("{:.0} %", 100.0 * (ratio - 1.0).abs()),
    })
}

/// A number as people write it: four significant digits, thousands apart.
pub fn number(x: f64) -> String {
    let size = x.abs();
    if size != 0.0 && !(1e-4..1e15).contains(&size) {
        return format!("{x:.3e}");
    }
    let decimals = if size >= 1000.0 || x.fract() == 0.0 {
        0
    } else {
        (3 - size.max(1e-4).log10().floor() as i32).clamp(0, 7) as usize
    };
    let text = format!("{x:.decimals$}");
    let text = if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        &text
    };
    let (sign, digits) = text.split_at(usize::from(text.starts_with('-')));
    let (whole, rest) = digits.split_at(digits.find('.').unwrap_or(digits.len()));
    let grouped: Vec<&str> = (0..whole.len())
        .rev()
        .step_by(3)
        .map(|end| &whole[end.saturating_sub(2)..=end])
        .collect();
    format!(
        "{sign}{}{rest}",
        grouped.into_iter().rev().collect::<Vec<_>>().join(",")
    )
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers_read_as_people_write_them() {
        for (x, text) in [
            (0.0, "0"),
            (1234567.0, "1,234,567"),
            (39197.4, "39,197"),
            (12.3456, "12.35"),
            (0.012345, "0.01235"),
            (-1234.5, "-1,234"),
            (100.0, "100"),
            (999.96, "1,000"),
            (2e18, "2.000e18"),
        ] {
            assert_eq!(number(x), text);
        }
    }
}
