//! One sentence that a person on call understands.

use super::{Record, when_where};
use crate::engine::model::Change;
use std::fmt::Write;

/// What happened, to whom, and how far from the usual it is.
pub fn of_record(record: &Record) -> String {
    if let Some(ground) = when_where::ground_of(record.function) {
        return when_where::of_record(record, ground);
    }
    if record.is_of_population() {
        return of_member(record);
    }
    if record.function_description == "rare" {
        return of_rare(record);
    }
    let mut text = subject_of(record);
    let (Some(&actual), Some(&typical)) = (record.actual.first(), record.typical.first()) else {
        return text;
    };
    if record.first_occurrence {
        // Nothing was expected of a stranger, and no history of it can be short.
        let _ = write!(text, ", never seen before, was {}", number(actual));
    } else if let Some(given) = correlate_of(record) {
        let (was, usual) = (number(actual), number(typical));
        let _ = write!(text, " was {was}, where {usual} was expected given {given}");
        with_bounds(record, &mut text);
    } else {
        against_the_usual(record, actual, typical, &mut text);
    }
    if let Some(series) = record.explanation.series_together {
        let _ = write!(
            text,
            "; {series} series{} are unusual together",
            entity(record)
        );
    }
    with_whom(record, "mostly", &mut text);
    if record.history < 24 && !record.first_occurrence {
        let _ = write!(text, "; only {} of history", buckets(record.history));
    }
    text.push('.');
    text
}

/// "source.address 1.2.3.4 is unlike the others: the event count was 900 (usual 12), for status 404 40 (usual 1); mostly url /admin."
fn of_member(record: &Record) -> String {
    const CAUSES_TOLD: usize = 3;
    let over = (&record.over_field_name, &record.over_field_value);
    let mut text = name_and_value(over).unwrap_or_default();
    let _ = write!(text, "{} is unlike the others", entity(record));
    // Where it is the run that makes it so.
    let is_run = record.multi_bucket_impact > 0.0;
    let in_a_row = record.explanation.anomaly_length.unwrap_or(0);
    match is_run {
        true if in_a_row > 1 => {
            let _ = write!(text, " for the {} bucket in a row", ordinal(in_a_row));
        }
        true => text.push_str(" over the last dozen buckets together"),
        false => {}
    }
    text.push_str(": ");
    let is_rare = matches!(record.function, "rare" | "freq_rare");
    let what = subject(
        record.function_description,
        record.field_name.as_deref(),
        std::iter::empty(),
    );
    if is_rare {
        text.push_str("few of them have ");
    } else {
        let _ = write!(text, "{} was ", lower_first(&what));
    }
    for (at, cause) in record.causes.iter().take(CAUSES_TOLD).enumerate() {
        let separator = if at == 0 { "" } else { ", " };
        let _ = write!(text, "{separator}");
        let by = name_and_value((&cause.by_field_name, &cause.by_field_value));
        let values = cause.actual.first().zip(cause.typical.first());
        match (is_rare, by, values) {
            (true, by, _) => text.push_str(&by.unwrap_or_default()),
            (false, by, Some((&actual, &typical))) => {
                let _ = write!(text, "{} (usual {})", number(actual), number(typical));
                if let Some(by) = by {
                    let _ = write!(text, " for {by}");
                }
            }
            (false, ..) => {}
        }
    }
    let more = record.causes.len().saturating_sub(CAUSES_TOLD);
    if more > 0 {
        let _ = write!(text, " and {more} more");
    }
    with_whom(record, "mostly", &mut text);
    with_history(record, &mut text);
    text.push('.');
    text
}

/// "; only 9 buckets of history", while it is short.
pub(super) fn with_history(record: &Record, text: &mut String) {
    match record.history {
        0 => text.push_str("; no history yet"),
        history if history < 24 => {
            let _ = write!(text, "; only {} of history", buckets(history));
        }
        _ => {}
    }
}

pub(super) fn name_and_value((name, value): (&Option<String>, &Option<String>)) -> Option<String> {
    let value = value.as_deref()?;
    let value = if value.is_empty() { "(none)" } else { value };
    Some(format!("{} {value}", name.as_deref()?))
}

/// "; mostly user.name root": the first influencer that is not what the record is of.
pub(super) fn with_whom(record: &Record, word: &str, text: &mut String) {
    let mut others = record.influencers.iter();
    if let Some(one) = others.find(|one| !record.is_split_field(&one.influencer_field_name)) {
        let values = one.influencer_field_values.join(", ");
        let _ = write!(text, "; {word} {} {values}", one.influencer_field_name);
    }
}

/// "process.name nc of host.name web-1 was never seen before in 672 buckets; with user.name root."
fn of_rare(record: &Record) -> String {
    let name = record.by_field_name.as_deref().unwrap_or_default();
    let subject = name_and_value((&record.by_field_name, &record.by_field_value));
    let mut text = format!("{}{}", subject.unwrap_or_default(), entity(record));
    let known = buckets(record.history);
    match record.explanation.by_field_relative_rarity {
        _ if record.first_occurrence => {
            let _ = write!(text, " was never seen before in {known}");
        }
        Some(rarity) => {
            let _ = write!(
                text,
                " is rare: the usual {name} was seen {} times as often in {known}",
                number((10.0 * rarity).round() / 10.0)
            );
        }
        None => text.push_str(" is rare"),
    }
    with_whom(record, "with", &mut text);
    text.push('.');
    text
}

/// "2nd", "13th".
fn ordinal(number: u32) -> String {
    let suffix = match (number % 10, number % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{number}{suffix}")
}

fn buckets(count: u32) -> String {
    match count {
        1 => "1 bucket".to_owned(),
        many => format!("{many} buckets"),
    }
}

/// The value, the usual one, and how far they are apart.
fn against_the_usual(record: &Record, actual: f64, typical: f64, text: &mut String) {
    let typical = as_told(record.function_description, typical);
    let _ = write!(text, " was {}", number(actual));
    match ratio(actual, typical) {
        _ if actual == typical => text.push_str(", as expected"),
        Some(ratio) if ratio == "0 %" => {
            let _ = write!(text, ", about the usual {}", number(typical));
        }
        Some(ratio) if actual > typical => {
            let _ = write!(text, ", {ratio} above the usual {}", number(typical));
        }
        Some(ratio) => {
            let _ = write!(text, ", {ratio} below the usual {}", number(typical));
        }
        None if actual > typical => {
            let _ = write!(text, ", above the usual {}", number(typical));
        }
        None => {
            let _ = write!(text, ", below the usual {}", number(typical));
        }
    }
    with_bounds(record, text);
    let why = &record.explanation;
    if why.single_bucket_impact.is_none() && why.multi_bucket_impact.is_some() {
        text.push_str(", but the last dozen buckets together are unusual");
    } else if actual == typical || is_usual_alone(record, actual) {
        text.push_str(", but in an unusual pattern");
    }
}

/// Whether the value would be nothing by itself: it is what its series does with others, or has done before, that is told of.
fn is_usual_alone(record: &Record, actual: f64) -> bool {
    let why = &record.explanation;
    let bounds = why.lower_confidence_bound.zip(why.upper_confidence_bound);
    why.single_bucket_impact.is_none()
        && why.series_together.is_none()
        && bounds.is_some_and(|(low, high)| (low..=high).contains(&actual))
}

/// An expected value as people are told it: events and distinct values come in ones, and hundredths of them are exact enough.
pub fn as_told(function_description: &str, x: f64) -> f64 {
    match matches!(function_description, "count" | "distinct_count") {
        true if x.abs() < 1e12 => (100.0 * x).round() / 100.0,
        _ => x,
    }
}

/// " (95 %: 3 to 8)", where that is known.
fn with_bounds(record: &Record, text: &mut String) {
    if let (Some(low), Some(high)) = (
        record.explanation.lower_confidence_bound,
        record.explanation.upper_confidence_bound,
    ) {
        let [low, high] = [low, high].map(|x| number(as_told(record.function_description, x)));
        let _ = write!(text, " (95 %: {low} to {high})");
    }
}

/// "host web-2": the series given which the record's is unusual.
fn correlate_of(record: &Record) -> Option<String> {
    name_and_value((&record.by_field_name, &record.correlated_by_field_value))
}

/// " of host web-1": whose series they are.
pub(super) fn entity(record: &Record) -> String {
    match (&record.partition_field_name, &record.partition_field_value) {
        (Some(name), Some(value)) if !value.is_empty() => format!(" of {name} {value}"),
        _ => String::new(),
    }
}

fn subject_of(record: &Record) -> String {
    let splits = [
        (&record.by_field_name, &record.by_field_value),
        (&record.over_field_name, &record.over_field_value),
        (&record.partition_field_name, &record.partition_field_value),
    ];
    let named = splits
        .into_iter()
        .filter_map(|(name, value)| Some((name.as_deref()?, value.as_deref()?)));
    subject(
        record.function_description,
        record.field_name.as_deref(),
        named,
    )
}

/// "The mean of bytes for host web-1": what is measured, and of whom.
pub fn subject<'t>(
    function_description: &str,
    field: Option<&str>,
    splits: impl Iterator<Item = (&'t str, &'t str)>,
) -> String {
    let mut text = match (function_description, field) {
        ("count", _) => "The event count".to_owned(),
        ("distinct_count", Some(field)) => format!("The number of distinct {field}"),
        ("info_content", Some(field)) => format!("The information content of {field} in bytes"),
        (word, Some(field)) => format!(
            "The {} of {field}",
            if word == "varp" { "variance" } else { word }
        ),
        (word, None) => format!("The {word}"),
    };
    for (name, value) in splits {
        let _ = write!(
            text,
            " for {name} {}",
            if value.is_empty() { "(none)" } else { value }
        );
    }
    text
}

/// What has changed about `subject`, and that models follow it.
pub fn of_change(subject: &str, change: &Change) -> String {
    match *change {
        Change::Level { from, to } => format!(
            "{subject} has a new level: {}, where {} was expected.",
            number(to),
            number(from)
        ),
        Change::Scale(factor) => format!(
            "{subject} is {}, its daily pattern included.",
            times(factor)
        ),
        Change::Clock(hours) => format!(
            "The days of {} begin {} h {} than they did.",
            lower_first(subject),
            hours.unsigned_abs(),
            if hours > 0 { "later" } else { "earlier" }
        ),
        Change::Season(true) => {
            format!("{subject} has come to follow the hour of the day or of the week.")
        }
        Change::Season(false) => {
            format!("{subject} no longer follows the hour of the day or of the week.")
        }
        Change::Rhythm { period_ms, here } => format!(
            "{subject} {} {}.",
            if here {
                "has come to repeat itself every"
            } else {
                "no longer repeats itself every"
            },
            period(period_ms)
        ),
        Change::Month { day, here } => format!(
            "{subject} {} something else than usual on {day}.",
            if here {
                "has come to do"
            } else {
                "no longer does"
            }
        ),
        Change::Wave(here) => format!(
            "{subject} {} with the time of the year.",
            if here {
                "has come to go up and down"
            } else {
                "no longer goes up and down"
            }
        ),
        Change::Year(true) => {
            format!("{subject} has come to do again what it did on the same dates a year before.")
        }
        Change::Year(false) => {
            format!("{subject} no longer does what it did on the same dates a year before.")
        }
        Change::Spread(factor) => format!(
            "{subject} varies about {} as much as it did around what is expected.",
            if factor > 1.0 { "twice" } else { "half" }
        ),
    }
}

/// "90 min", "50 h".
fn period(ms: i64) -> String {
    let minutes = ms as f64 / 60_000.0;
    if minutes < 1.0 {
        format!("{:.0} s", 60.0 * minutes)
    } else if minutes < 120.0 {
        format!("{minutes:.0} min")
    } else {
        format!("{} h", number((minutes / 6.0).round() / 10.0))
    }
}

/// "2.5 times as large as it was", "a third lower than it was".
fn times(factor: f64) -> String {
    if factor >= 2.0 {
        format!("{factor:.1} times as large as it was")
    } else if factor >= 1.0 {
        format!("{:.0} % larger than it was", 100.0 * (factor - 1.0))
    } else {
        format!("{:.0} % smaller than it was", 100.0 * (1.0 - factor))
    }
}

fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_lowercase().chain(letters).collect()
    })
}

/// "3.2 times" or "40 %", or just "far"; `None` when the two cannot be set against each other.
fn ratio(actual: f64, typical: f64) -> Option<String> {
    let ratio = actual / typical;
    if !(ratio.is_finite() && ratio > 0.0 && typical.abs() > 1e-9) {
        return None;
    }
    let apart = if ratio >= 1.0 { ratio } else { 1.0 / ratio };
    Some(match apart {
        r if r >= 10_000.0 => "far".to_owned(),
        r if r >= 10.0 => format!("{} times", number(r.round())),
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
    // To whole numbers formatting rounds likewise, halves to even, but at ten times the cost.
    let text = match decimals {
        0 if x != 0.0 => (x.round_ties_even() as i64).to_string(),
        _ => format!("{x:.decimals$}"),
    };
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
    use super::{number, of_record};
    use crate::engine::result::{Explanation, Record, RecordInfluencer};

    /// A count of 4 where 3.9 were usual.
    fn record() -> Record {
        Record {
            detector_index: 0,
            probability: 0.01,
            record_score: 50.0,
            initial_record_score: 50.0,
            multi_bucket_impact: 0.0,
            function: "low_count",
            function_description: "count",
            field_name: None,
            by_field_name: Some("status".to_owned()),
            by_field_value: Some("404".to_owned()),
            correlated_by_field_value: None,
            over_field_name: None,
            over_field_value: None,
            partition_field_name: None,
            partition_field_value: None,
            typical: vec![3.9],
            actual: vec![4.0],
            geo_results: None,
            causes: Vec::new(),
            influencers: Vec::new(),
            explanation: Explanation {
                single_bucket_impact: Some(2),
                lower_confidence_bound: Some(0.0),
                upper_confidence_bound: Some(8.0),
                ..Explanation::default()
            },
            first_occurrence: false,
            history: 100,
            description: String::new(),
        }
    }

    #[test]
    fn what_was_never_seen_before_is_told_so_and_not_held_against_a_usual_that_it_lacks() {
        let host = RecordInfluencer {
            influencer_field_name: "host".to_owned(),
            influencer_field_values: vec!["evil".to_owned()],
        };
        let first = Record {
            first_occurrence: true,
            history: 0,
            typical: vec![0.0],
            influencers: vec![host],
            ..record()
        };
        assert_eq!(
            of_record(&first),
            "The event count for status 404, never seen before, was 4; mostly host evil."
        );
    }

    #[test]
    fn a_run_is_told_by_its_length_and_a_bucket_alone_is_not() {
        let of_member = |impact: f64, length: u32| {
            let mut one = record();
            one.over_field_name = Some("user".to_owned());
            one.over_field_value = Some("eve".to_owned());
            one.multi_bucket_impact = impact;
            one.explanation.anomaly_length = Some(length);
            of_record(&one)
        };
        let begins = |impact, length, with: &str| {
            let text = of_member(impact, length);
            let with = format!("user eve is unlike the others{with}: ");
            assert!(text.starts_with(&with), "{text}");
        };
        begins(-1.0, 6, "");
        begins(0.5, 1, " over the last dozen buckets together");
        for (length, told) in [(2, "2nd"), (11, "11th"), (21, "21st"), (113, "113th")] {
            begins(4.0, length, &format!(" for the {told} bucket in a row"));
        }
    }

    #[test]
    fn a_usual_value_after_a_dozen_odd_ones_is_told_as_that() {
        let mut one = record();
        assert_eq!(
            of_record(&one),
            "The event count for status 404 was 4, 3 % above the usual 3.9 (95 %: 0 to 8)."
        );
        one.typical = vec![4.01];
        assert_eq!(
            of_record(&one),
            "The event count for status 404 was 4, about the usual 4.01 (95 %: 0 to 8)."
        );
        one.typical = vec![4.0];
        assert!(
            of_record(&one)
                .ends_with("was 4, as expected (95 %: 0 to 8), but in an unusual pattern.")
        );
        // Hundredths of an event are enough.
        one.typical = vec![2.676e-5];
        assert!(of_record(&one).contains("was 4, above the usual 0 (95 %"));
        one.typical = vec![0.5379];
        assert!(of_record(&one).contains("was 4, 7.4 times above the usual 0.54 (95 %"));
        one.typical = vec![3.9];
        one.explanation.single_bucket_impact = None;
        one.explanation.multi_bucket_impact = Some(3);
        one.history = 1;
        assert_eq!(
            of_record(&one),
            "The event count for status 404 was 4, 3 % above the usual 3.9 (95 %: 0 to 8), \
             but the last dozen buckets together are unusual; only 1 bucket of history."
        );
    }

    #[test]
    fn a_value_within_its_bounds_is_not_told_as_if_it_were_odd_by_itself() {
        let mut one = record();
        one.explanation.single_bucket_impact = None;
        assert_eq!(
            of_record(&one),
            "The event count for status 404 was 4, 3 % above the usual 3.9 (95 %: 0 to 8), but in an unusual pattern."
        );
        one.explanation.series_together = Some(3);
        assert!(of_record(&one).ends_with("(95 %: 0 to 8); 3 series are unusual together."));
    }

    #[test]
    fn what_is_unusual_beside_another_is_told_with_its_name() {
        let mut one = record();
        one.correlated_by_field_value = Some("500".to_owned());
        one.typical = vec![40.0];
        one.explanation.lower_confidence_bound = Some(31.5);
        one.explanation.upper_confidence_bound = Some(48.0);
        assert_eq!(
            of_record(&one),
            "The event count for status 404 was 4, where 40 was expected given status 500 (95 %: 31.5 to 48)."
        );
    }

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
