//! The strongest anomalies, each explained: what, when, how far from the usual, who is to blame, and a close look at its series.

use super::overview::chip;
use super::series::{chart, heading};
use super::story::Story;
use super::text::{
    NAME_CHARS_MAX, SENTENCE_CHARS_MAX, from_to, iso, minute, named, probability, shown, title,
};
use super::time_axis::TimeAxis;
use super::track::{CONTEXT_AFTER, CONTEXT_BEFORE};
use crate::cli::findings::{Episode, Finding, Group};
use crate::cli::output::grouped;
use crate::cli::table::length;
use crate::engine::result::sentence::number;
use maud::{Markup, html};

/// So many are open when the page is.
const OPEN: usize = 6;
/// Influencers and further series that are named.
const NAMES_MAX: usize = 8;
/// Labels of time in a close look.
const TICKS: usize = 6;
/// The longest part of an anomaly that a close look shows, buckets.
const SHOWN_BUCKETS_MAX: i64 = 96;
/// An impact that fills its meter: a probability of 10^-20.
const IMPACT_FULL: u64 = 20;

/// The section; `axis` is the whole time.
pub(super) fn section(story: &Story<'_>, axis: TimeAxis) -> Markup {
    let left_out = match story.anomalies_all - story.anomalies.len() {
        0 => String::new(),
        _ => format!(
            " the first {} of {}",
            story.anomalies.len(),
            grouped(story.anomalies_all as u64)
        ),
    };
    html! {
        section aria-labelledby="anomalies" {
            h2 id="anomalies" { "Anomalies" span.more { (left_out) } }
            @for (place, group) in story.anomalies.iter().enumerate() { (card(story, place, group, axis)) }
        }
    }
}

fn card(story: &Story<'_>, place: usize, group: &Group, axis: TimeAxis) -> Markup {
    let lead = &group.lead;
    let peak = &lead.peak;
    html! {
        details.card.anomaly id={ "a" (place + 1) } open[place < OPEN] {
            summary {
                (chip(peak.score))
                h3 { (heading(story, peak)) }
                time datetime=(iso(lead.start_ms)) { (from_to(lead.start_ms, lead.end_ms)) }
            }
            div.explained {
                div {
                    p.sentence { bdi { (unbroken(&shown(&peak.sentence, SENTENCE_CHARS_MAX))) } }
                    (facts(lead))
                    (blame(peak))
                    (others(story, group))
                    @if let Some(place) = story.chart(peak) {
                        p.links { a href={ "#s" (place + 1) } { "The whole series" } }
                    }
                }
                @match close_look(story, group, axis) {
                    Some(drawn) => div.close { (drawn) },
                    None if story.has_curve(peak) => p.empty { "The values around it were not kept." },
                    None => {},
                }
            }
        }
    }
}

/// A per cent sign stays with its number.
fn unbroken(sentence: &str) -> String {
    sentence.replace(" %", "\u{a0}%")
}

/// What is measured of it.
fn facts(lead: &Episode) -> Markup {
    let (peak, why) = (&lead.peak, &lead.peak.why);
    html! {
        dl.facts {
            @if let Some(actual) = peak.actual { div { dt { "Value" } dd { (number(actual)) } } }
            @if let Some(typical) = peak.typical { div { dt { "Usual" } dd { (number(typical)) } } }
            @if let Some((low, high)) = why.bounds {
                div { dt { "Expected (95 %)" } dd { (number(low)) " to " (number(high)) } }
            }
            div { dt { "Probability" } dd { (probability(why.probability)) } }
            @if lead.end_ms - lead.start_ms > peak.span_ms {
                div { dt { "Lasted" } dd { (length(lead.end_ms - lead.start_ms)) } }
                div { dt { "Peak" } dd { (minute(peak.start_ms)) } }
            }
            @if why.lasting != 0 { div { dt { "Type" } dd { (kind(why.lasting)) } } }
            (impact("This bucket alone", why.single_impact))
            (impact("The last dozen together", why.multi_impact))
            @if why.incomplete { div { dt { "Incomplete" } dd { "fewer measurements than usual: counted less" } } }
            @if why.first_occurrence { div { dt { "New" } dd { "never seen before" } } }
        }
    }
}

/// `spike, 5 buckets so far`: for so many the value has been too high, or too low.
fn kind(lasting: i64) -> String {
    let word = if lasting > 0 { "spike" } else { "dip" };
    match lasting.unsigned_abs() {
        1 => word.to_owned(),
        buckets => format!("{word}, {buckets} buckets so far"),
    }
}

/// How much something speaks for an anomaly, 10 to the minus so many.
fn impact(name: &str, impact: u64) -> Markup {
    let label = format!("{name}: probability of 10 to the power of -{impact}");
    html! {
        @if impact > 0 {
            div {
                dt { (name) }
                dd {
                    meter min="0" max=(IMPACT_FULL) value=(impact.min(IMPACT_FULL)) aria-label=(label) title=(label) { (impact) }
                }
            }
        }
    }
}

/// Who is to blame.
fn blame(peak: &Finding) -> Markup {
    let named = peak.influencers.iter().take(NAMES_MAX);
    let more = peak.influencers.len().saturating_sub(NAMES_MAX);
    html! {
        @if !peak.influencers.is_empty() {
            p.blame {
                "Influenced by "
                @for (field, value) in named {
                    span.tag title=(title(value)) { span.field { (shown(field, NAME_CHARS_MAX)) } " " bdi { (shown(value, NAME_CHARS_MAX)) } } " "
                }
                @if more > 0 { "and " (more) " more" }
            }
        }
    }
}

/// The other series that it happened to at the same time.
fn others(story: &Story<'_>, group: &Group) -> Markup {
    // A series that was odd twice in the lead's time is one more all the same, told with its strongest.
    let mut others: Vec<&Finding> = Vec::new();
    for episode in &group.others {
        if !others.iter().any(|one| one.series == episode.peak.series) {
            others.push(&episode.peak);
        }
    }
    let more = others.len().saturating_sub(NAMES_MAX);
    html! {
        @if !others.is_empty() {
            p.blame {
                "At the same time "
                @for one in others.iter().take(NAMES_MAX) {
                    @let name = named(&one.series);
                    @let tag = html! { span.tag title=(title(&name)) { bdi { (shown(&name, NAME_CHARS_MAX)) } " " (chip(one.score)) } };
                    @match story.chart(one) {
                        Some(place) => a href={ "#s" (place + 1) } { (tag) },
                        None => (tag),
                    }
                    " "
                }
                @if more > 0 { "and " (more) " more" }
            }
        }
    }
}

/// The series around the anomaly.
fn close_look(story: &Story<'_>, group: &Group, whole: TimeAxis) -> Option<Markup> {
    let span_ms = story.collected.job.bucket_span.millis();
    let (start_ms, peak) = (group.lead.start_ms, &group.lead.peak);
    let end_ms = group
        .lead
        .end_ms
        .min(start_ms + SHOWN_BUCKETS_MAX * span_ms);
    // The peak is shown, wherever in a long anomaly it is.
    let end_ms = end_ms.max(peak.start_ms + span_ms);
    let start_ms = start_ms.max(end_ms - SHOWN_BUCKETS_MAX * span_ms);
    let from_ms = start_ms - CONTEXT_BEFORE * 3 / 4 * span_ms;
    let to_ms = end_ms + CONTEXT_AFTER * 2 / 3 * span_ms;
    let axis = TimeAxis::new(from_ms.max(whole.from_ms), to_ms.min(whole.to_ms));
    chart(story, peak, axis, whole, TICKS)
}
