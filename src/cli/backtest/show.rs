//! A backtest as a table for people. Pure: the same figures give the same text.
//!
//! Fits the width it is told (at least 60 columns). Times are UTC. What has no answer (the recall of no window) is a dash.

use super::plot::{self, Columns};
use crate::backtest::{
    AlertPer, AlertTold, Backtest, Labelled, Measured, Point, SeriesCount, WindowOutcome,
};
use crate::cli::output::{grouped, rounded};
use crate::cli::table::{self, Style, badge, cut, length, minute, named, paint, wrap};
use std::fmt::Write;

/// The whole of it.
pub(super) fn render(backtest: &Backtest, style: Style) -> String {
    let page = Page {
        backtest,
        style: Style {
            width: style.width.max(60),
            ..style
        },
    };
    let mut text = page.head(&backtest.measured);
    text.push('\n');
    text.push_str(&page.thresholds(&backtest.measured));
    text.push_str(&page.curve(&backtest.measured));
    text.push_str(&page.windows(&backtest.measured));
    text.push_str(&page.alerts(&backtest.measured));
    text.push_str(&page.series(&backtest.measured));
    if let Some(against) = &backtest.against {
        text.push_str(&page.against(&against.measured, &against.difference));
    }
    text
}

pub(super) struct Page<'a> {
    pub(super) backtest: &'a Backtest,
    pub(super) style: Style,
}

impl Page<'_> {
    pub(super) fn bold(&self, text: &str) -> String {
        paint(self.style, "1", text)
    }

    /// A sentence in as many lines as it takes.
    pub(super) fn say(&self, text: &mut String, words: &str) {
        for line in wrap(words, self.style.width) {
            let _ = writeln!(text, "{line}");
        }
    }

    pub(super) fn heading(&self, text: &mut String, what: &str, all: usize) {
        text.push('\n');
        table::heading(text, self.style, what, self.style.top, all);
    }

    /// What was judged, and which labels counted.
    fn head(&self, measured: &Measured) -> String {
        let mut text = format!("{}\n", self.bold(&cut(&measured.name, self.style.width)));
        self.say(&mut text, &judged(measured));
        if let Some(labels) = &self.backtest.labels {
            let mut words = match labels.windows {
                1 => "1 window to be found".to_owned(),
                many => format!("{} windows to be found", grouped(many as u64)),
            };
            for (count, why) in [
                (labels.outside, "outside the time that counts"),
                (labels.unseen, "of entities that no event names"),
            ] {
                if count > 0 {
                    let _ = write!(words, "; {} {why}, not counted", grouped(count as u64));
                }
            }
            self.say(&mut text, &words);
        }
        let settings = &self.backtest.settings;
        let per = match &settings.alert_per {
            AlertPer::Series => "a series".to_owned(),
            AlertPer::Field(field) => format!("a value of {field}"),
            AlertPer::Job => "for all".to_owned(),
        };
        let quiet = length(settings.quiet_ms);
        self.say(&mut text, &format!("One alert {per} in {quiet}."));
        text
    }

    /// A row a threshold, and one where F1 is highest.
    fn thresholds(&self, measured: &Measured) -> String {
        let points: Vec<&Point> = measured.table.iter().chain(&measured.best).collect();
        let mut table = Columns::new();
        let names = measured.table.iter().map(|point| {
            let mark = match point.threshold == self.backtest.settings.threshold {
                true => "alert ",
                false => "",
            };
            format!("{mark}{}", point.threshold)
        });
        let best = measured.best.iter();
        let best = best.map(|point| format!("best F1 {}", point.threshold));
        table.add("score", 9, names.chain(best).collect());
        let cells = |cell: &dyn Fn(&Point) -> String| points.iter().map(|one| cell(one)).collect();
        if measured.at_threshold.labelled.is_none() {
            table.add("alerts", 8, cells(&|point| grouped(point.alerts as u64)));
            let rate = |point: &Point| optional(point.alerts_per_1000_series_days, rounded);
            table.add("for 1,000 series-days", 7, cells(&rate));
        } else {
            for (name, keep, cell) in COLUMNS {
                let labelled =
                    |point: &Point| point.labelled.as_ref().map(cell).unwrap_or_default();
                table.add(name, keep, cells(&labelled));
                if name == "found" {
                    table.add("alerts", 2, cells(&|point| grouped(point.alerts as u64)));
                }
            }
        }
        let mut text = table.render(self.style.width, |names| paint(self.style, "2", names));
        if let Some(precision) = measured.average_precision {
            let mut words = format!("Average precision {precision:.3}.");
            let point = measured.at_threshold.labelled.as_ref();
            for (share, what) in [
                (
                    point.and_then(|one| one.first_blame),
                    "The first alert blames the right entity",
                ),
                (
                    point.and_then(|one| one.first_metric),
                    "The first alert names a right metric",
                ),
            ] {
                if let Some(share) = share {
                    let _ = write!(
                        words,
                        " {what} in {} of {} windows found.",
                        share.right, share.all
                    );
                }
            }
            text.push('\n');
            self.say(&mut text, &words);
        }
        text
    }

    fn curve(&self, measured: &Measured) -> String {
        let lines = plot::curve(measured);
        let mut text = String::new();
        if !lines.is_empty() {
            let _ = writeln!(
                text,
                "\n{}",
                self.bold("Precision, when so many of the windows are found")
            );
        }
        for line in lines {
            let _ = writeln!(text, "{}", cut(&line, self.style.width));
        }
        text
    }

    /// Windows in order of time; where not all are shown, first those that were missed.
    fn windows(&self, measured: &Measured) -> String {
        let mut windows: Vec<&WindowOutcome> = measured.windows.iter().collect();
        if windows.is_empty() {
            return String::new();
        }
        if windows.len() > self.style.top {
            windows.sort_by_key(|one| one.found);
        }
        let mut text = String::new();
        let threshold = self.backtest.settings.threshold;
        self.heading(
            &mut text,
            &format!("Windows at a score of {threshold}"),
            windows.len(),
        );
        for one in windows.into_iter().take(self.style.top) {
            text.push_str(&self.window(one));
        }
        text
    }

    /// `found  after 1h30m   92 critical   2014-11-01 00:00  4d3h  host=web-03  the disk is failing`.
    pub(super) fn window(&self, one: &WindowOutcome) -> String {
        let outcome = match one.delay_ms {
            Some(delay_ms) => format!("found after {:>6}", length(delay_ms)),
            None => format!("{:18}", "MISSED"),
        };
        let score = match one.score {
            Some(score) => badge(score, self.style),
            None => format!("{:>3} {:<9}", "-", "no record"),
        };
        let window = &one.window;
        let entity: Vec<(String, String)> = window.entity.clone().into_iter().collect();
        let mut who = named(&entity);
        if !window.label.is_empty() {
            who = format!("{who}  {}", window.label).trim_start().to_owned();
        }
        // The score has 13 columns, gaps two. What does not fit goes from behind.
        let left = self.style.width - outcome.chars().count() - 17;
        let start = cut(&minute(window.start.0), left);
        let lasted = length(window.end.0 - window.start.0);
        let whole = format!("{start} {lasted:>5}");
        let when = match whole.chars().count() <= left {
            true => whole,
            false => start,
        };
        let who = match left - when.chars().count().max(22.min(left)) {
            0..3 => String::new(),
            left => cut(&who, left - 2),
        };
        let line = format!("{outcome}  {score}  {when:<22}  {who}");
        format!("{}\n", line.trim_end())
    }

    /// False alerts, or without labels all.
    fn alerts(&self, measured: &Measured) -> String {
        if measured.false_alerts.is_empty() {
            return String::new();
        }
        let what = match self.backtest.labels {
            Some(_) => "False alerts",
            None => "Alerts",
        };
        let mut text = String::new();
        let threshold = self.backtest.settings.threshold;
        let what = format!("{what} at a score of {threshold}");
        self.heading(&mut text, &what, measured.false_alerts.len());
        for one in measured.false_alerts.iter().take(self.style.top) {
            text.push_str(&self.alert(one));
        }
        text
    }

    pub(super) fn alert(&self, one: &AlertTold) -> String {
        let mut who = format!("{}  {}", one.series.what, named(&one.series.fields));
        if !one.influencers.is_empty() {
            who = format!("{}  ({})", who.trim_end(), named(&one.influencers));
        }
        let when = minute(one.start.0);
        let used = when.chars().count().max(20) + 13 + 4;
        let who = cut(&who, self.style.width.saturating_sub(used));
        let line = format!("{when:<20}  {}  {who}", badge(one.score, self.style));
        format!("{}\n", line.trim_end())
    }

    /// Series by what they said, those that said nothing wrong left out.
    fn series(&self, measured: &Measured) -> String {
        let labelled = self.backtest.labels.is_some();
        let all = measured.series.iter();
        let loud: Vec<&SeriesCount> = all
            .filter(|one| !labelled || one.false_alerts > 0)
            .collect();
        if measured.series.len() < 2 || loud.is_empty() {
            return String::new();
        }
        let mut text = String::new();
        let what = match self.backtest.labels {
            Some(_) => "Series by false alerts",
            None => "Series by alerts",
        };
        self.heading(&mut text, what, loud.len());
        for one in loud.into_iter().take(self.style.top) {
            let counts = match self.backtest.labels {
                Some(_) => format!("{:>6} false of {:<6}", one.false_alerts, one.alerts),
                None => format!("{:>6}", one.alerts),
            };
            let who = format!("{}  {}", one.what, named(&one.fields));
            let left = self.style.width.saturating_sub(counts.chars().count() + 17);
            let line = format!(
                "{counts}  {}  {}",
                badge(one.score, self.style),
                cut(&who, left)
            );
            let _ = writeln!(text, "{}", line.trim_end());
        }
        text
    }
}

/// How much was judged.
pub(super) fn judged(measured: &Measured) -> String {
    let Some(read) = &measured.coverage else {
        return "No bucket was judged.".to_owned();
    };
    format!(
        "{} buckets of {} from {} to {}; {} series, {} series-days, {} records",
        grouped(read.buckets),
        length(read.bucket_span_ms),
        minute(read.from.0),
        minute(read.to.0),
        grouped(read.series),
        rounded(read.series_days),
        grouped(measured.records as u64)
    )
}

/// A column of the table: its name, how dearly it is kept, its cell.
type Column = (&'static str, u32, fn(&Labelled) -> String);

const COLUMNS: [Column; 8] = [
    ("found", 9, |one| {
        format!(
            "{} of {}",
            grouped(one.found as u64),
            grouped(one.windows as u64)
        )
    }),
    ("delay", 6, |one| optional(one.delay_ms_median, length)),
    ("90 %", 1, |one| optional(one.delay_ms_p90, length)),
    ("false", 8, |one| grouped(one.false_alerts as u64)),
    ("for 1,000 series-days", 4, |one| {
        optional(one.false_alerts_per_1000_series_days, rounded)
    }),
    ("precision", 7, |one| optional(one.precision, share)),
    ("recall", 5, |one| optional(one.recall, share)),
    ("F1", 3, |one| optional(one.f1, share)),
];

/// A share of one: `0.667`.
pub(super) fn share(share: f64) -> String {
    format!("{share:.3}")
}

pub(super) fn dash() -> String {
    "-".to_owned()
}

pub(super) fn optional<T>(value: Option<T>, show: fn(T) -> String) -> String {
    value.map_or_else(dash, show)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backtest::{
        Against, Coverage, Heard, Labels, Names, Series, Settings, Trial, Window, compare,
    };
    use crate::time::{BucketSpan, BucketStart, EventTime};
    use proptest::prelude::*;

    /// What a detector that says these (name, millisecond, score) is worth for windows, and against one that says nothing.
    fn backtest(said: &[(String, i64, f64)], windows: Option<Vec<Window>>) -> Backtest {
        let settings = Settings {
            threshold: 60.0,
            quiet_ms: 3_600_001,
            alert_per: AlertPer::Field("a field".to_owned()),
            from: None,
        };
        let mut coverage = None;
        let span = BucketSpan::from_seconds(3600).unwrap();
        Coverage::extend(&mut coverage, BucketStart(0), span, 1_234_567);
        let mut heard = Heard::default();
        for (name, ms, score) in said {
            let series = Series {
                detector: 0,
                what: name.as_str().into(),
                fields: Names::new(vec![("host".to_owned(), name.clone())]),
            };
            let names = Names::new(vec![("user".to_owned(), name.clone())]);
            heard.add(series, EventTime(*ms), EventTime(ms + 1), *score, names);
        }
        let (heard, silent) = (heard.settled(), Heard::default());
        let measure = |heard: &Heard, name: &str| {
            Trial::new(heard, windows.as_deref(), &settings).measure(name, coverage)
        };
        let measured = measure(&heard, &"a/long/path".repeat(9));
        let other = measure(&silent, "other.yaml");
        Backtest {
            labels: windows.as_ref().map(|windows| Labels {
                windows: windows.len(),
                outside: 3,
                unseen: 1_000,
            }),
            against: Some(Against {
                difference: compare(&measured, &other, settings.quiet_ms),
                measured: other,
            }),
            measured,
            settings,
        }
    }

    proptest! {
        #[test]
        fn no_line_is_wider_than_the_terminal_and_no_escape_comes_from_the_data(
            said in prop::collection::vec((".{0,40}", 0i64..100_000, 1.0..100.0), 0..20),
            labels in prop::option::of(prop::collection::vec((0i64..100_000, 1i64..100_000_000_000, ".{0,40}"), 0..6)),
            width in 60usize..160
        ) {
            let window = |(start, length, label): (i64, i64, String)| Window {
                start: EventTime(start),
                end: EventTime(start + length),
                entity: Default::default(),
                metrics: vec![label.clone()],
                label,
            };
            let windows = labels.map(|labels| {
                let mut windows: Vec<Window> = labels.into_iter().map(window).collect();
                windows.sort_by_key(|window| window.start);
                windows
            });
            let text = render(&backtest(&said, windows), Style { width, color: false, top: 4 });
            prop_assert!(text.lines().all(|line| line.chars().count() <= width), "{}", text);
            prop_assert!(!text.chars().any(|c| c.is_control() && c != '\n'));
        }
    }
}
