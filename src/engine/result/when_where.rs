//! The sentence of a record that tells when or where: times as clocks show them, places as maps do.

use super::Record;
use super::sentence::{entity, name_and_value, number, with_history, with_whom};
use crate::engine::feature::Ground;
use crate::engine::model::habit::kilometres;
use std::fmt::Write;

/// A week's days, in the order in which the epoch has them.
const DAYS: [&str; 7] = [
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
];

/// What a function of times or places finds them on; `None` of any other.
pub(super) fn ground_of(function: &str) -> Option<Ground> {
    match function {
        "time_of_day" => Some(Ground::Day),
        "time_of_week" => Some(Ground::Week),
        "lat_long" => Some(Ground::Globe),
        _ => None,
    }
}

/// "Events for user.name ada came at 03:12, usually between 08:00 and 18:00."
pub(super) fn of_record(record: &Record, ground: Ground) -> String {
    let mut text = String::new();
    if record.is_of_population() {
        of_member(record, ground, &mut text);
    } else {
        text.push_str("Events");
        for (name, value) in record.splits() {
            let value = if value.is_empty() { "(none)" } else { value };
            let _ = write!(text, " for {name} {value}");
        }
        let _ = write!(text, " came {}", spot(ground, &record.actual));
        text.push_str(&usual(record, ground));
    }
    with_whom(record, "with", &mut text);
    with_history(record, &mut text);
    text.push('.');
    text
}

/// "user.name ada is unlike the others: it came at 03:12 (the nearest usual time is 08:00) for action login"
fn of_member(record: &Record, ground: Ground, text: &mut String) {
    const CAUSES_TOLD: usize = 3;
    let over = (&record.over_field_name, &record.over_field_value);
    text.push_str(&name_and_value(over).unwrap_or_default());
    let _ = write!(text, "{} is unlike the others: it came ", entity(record));
    for (at, cause) in record.causes.iter().take(CAUSES_TOLD).enumerate() {
        let separator = if at == 0 { "" } else { ", " };
        let actual = spot(ground, &cause.actual);
        let nearest = match ground {
            Ground::Globe => apart(&cause.actual, &cause.typical),
            _ => format!(
                "the nearest usual time is {}",
                clock(ground, &cause.typical)
            ),
        };
        let _ = write!(text, "{separator}{actual} ({nearest})");
        if let Some(by) = name_and_value((&cause.by_field_name, &cause.by_field_value)) {
            let _ = write!(text, " for {by}");
        }
    }
    let more = record.causes.len().saturating_sub(CAUSES_TOLD);
    if more > 0 {
        let _ = write!(text, " and {more} more");
    }
}

fn usual(record: &Record, ground: Ground) -> String {
    if ground == Ground::Globe {
        return format!(", {}", apart(&record.actual, &record.typical));
    }
    let why = &record.explanation;
    let span = why.lower_confidence_bound.zip(why.upper_confidence_bound);
    match span {
        Some((from, to)) if (to - from).abs() < ground.period_s() => {
            let (from, to) = (clock(ground, &[from]), clock(ground, &[to]));
            match ground {
                _ if from == to => format!(", usually about {from}"),
                Ground::Day => format!(", usually between {from} and {to}"),
                _ => format!("; the nearest usual time is {from} to {to}"),
            }
        }
        _ => String::new(),
    }
}

/// "at 03:12", "on Sunday at 03:12", "from 52.52 N 13.40 E".
fn spot(ground: Ground, values: &[f64]) -> String {
    match ground {
        Ground::Day => format!("at {}", clock(ground, values)),
        Ground::Week => format!("on {}", clock(ground, values).replace(' ', " at ")),
        Ground::Globe => format!("from {}", place(values)),
    }
}

/// "03:12", "Sunday 03:12".
fn clock(ground: Ground, values: &[f64]) -> String {
    let minutes = (values.first().copied().unwrap_or(0.0) / 60.0) as u64;
    let time = format!("{:02}:{:02}", minutes / 60 % 24, minutes % 60);
    match ground {
        Ground::Week => format!("{} {time}", DAYS[(minutes / 1440 % 7) as usize]),
        _ => time,
    }
}

/// "52.52 N 13.40 E".
fn place(values: &[f64]) -> String {
    let at = |index: usize| values.get(index).copied().unwrap_or(0.0);
    let half = |degrees: f64, [positive, negative]: [&str; 2]| {
        let side = if degrees < 0.0 { negative } else { positive };
        format!("{:.2} {side}", degrees.abs())
    };
    format!("{} {}", half(at(0), ["N", "S"]), half(at(1), ["E", "W"]))
}

/// "8,918 km from the nearest usual place, 52.52 N 13.40 E".
fn apart(actual: &[f64], typical: &[f64]) -> String {
    let pair = |values: &[f64]| match values {
        [latitude, longitude, ..] => (*latitude, *longitude),
        _ => (0.0, 0.0),
    };
    let km = kilometres(pair(actual), pair(typical));
    let km = number(if km < 10.0 {
        (10.0 * km).round() / 10.0
    } else {
        km.round()
    });
    format!("{km} km from the nearest usual place, {}", place(typical))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_places_read_as_clocks_and_maps_show_them() {
        assert_eq!(spot(Ground::Day, &[11_579.0]), "at 03:12");
        assert_eq!(
            spot(Ground::Week, &[3.0 * 86_400.0 + 60.0]),
            "on Sunday at 00:01"
        );
        assert_eq!(
            spot(Ground::Globe, &[-33.868, 151.209]),
            "from 33.87 S 151.21 E"
        );
        assert_eq!(
            apart(&[52.52, 13.405], &[35.6762, 139.6503]),
            "8,916 km from the nearest usual place, 35.68 N 139.65 E"
        );
        assert_eq!(
            apart(&[0.0, 179.99], &[0.0, -179.99]),
            "2.2 km from the nearest usual place, 0.00 N 179.99 W"
        );
    }
}
