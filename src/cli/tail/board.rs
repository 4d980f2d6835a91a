//! Anomalies as they are heard, as text for people: what is new, what is scored anew, what is still open.
//!
//! Pure: the same documents give the same text. Each is told by the printer of `detect --format table`. A record that is said again is shown
//! again only when its severity has become another. Holds: at most [`WAITING_MAX`] records wait to be shown (what is left out is said) and
//! [`SHOWN_MAX`] are remembered, so that memory is bounded however much history there is.

use super::inbox::{Heard, Wanted};
use crate::cli::findings::{Findings, Group};
use crate::cli::output::grouped;
use crate::cli::table::{self, Style, cut, paint};
use crate::engine::result::Severity;
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};

/// Records that wait to be shown; of more the earliest are left out.
const WAITING_MAX: usize = 5_000;
/// Records that are remembered as shown.
const SHOWN_MAX: usize = 20_000;
/// What is open lies within so many buckets of the newest; older words are left over from a job that is gone.
const OPEN_BUCKETS: i64 = 10;

/// How final a word is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Mark {
    New,
    ScoredAnew,
    Open,
}

impl Mark {
    fn words(self) -> &'static str {
        match self {
            Mark::New => "",
            Mark::ScoredAnew => ", scored anew",
            Mark::Open => ", still open",
        }
    }
}

/// Gathers what is heard until it is shown.
pub(super) struct Board {
    style: Style,
    score_min: f64,
    jobs: Vec<String>,
    in_place: bool,
    /// By bucket and id, with whether the bucket is open.
    waiting: BTreeMap<(i64, String), (bool, Value)>,
    left_out: u64,
    shown: Shown,
    /// By id: those of buckets that are still open, when they are shown in place.
    open: BTreeMap<String, Value>,
    /// Whose anomalies were shown last.
    heading: Option<(String, Mark)>,
}

/// What was shown of a record last: whether its bucket was open, and the severity.
#[derive(Default)]
struct Shown {
    by_id: BTreeMap<String, (bool, Severity)>,
    order: VecDeque<String>,
}

impl Shown {
    fn remember(&mut self, id: String, word: (bool, Severity)) {
        if self.by_id.insert(id.clone(), word).is_none() {
            self.order.push_back(id);
        }
        if self.order.len() > SHOWN_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_id.remove(&oldest);
        }
    }

    /// As what a word is to be shown; `None`: it says nothing new.
    fn mark(&self, id: &str, is_open: bool, severity: Severity) -> Option<Mark> {
        match (self.by_id.get(id), is_open) {
            (None, true) => Some(Mark::Open),
            (None | Some((true, _)), false) => Some(Mark::New),
            (Some((true, before)), true) => (*before != severity).then_some(Mark::Open),
            // A left-over of what was open.
            (Some((false, _)), true) => None,
            (Some((false, before)), false) => (*before != severity).then_some(Mark::ScoredAnew),
        }
    }
}

/// A group with whose it is, and how final.
struct Entry {
    job: String,
    mark: Mark,
    group: Group,
}

impl Board {
    /// `in_place`: what is open is shown by [`Board::open`] instead of among the lines that stay.
    pub(super) fn new(style: Style, wanted: &Wanted, in_place: bool) -> Board {
        Board {
            style,
            score_min: wanted.score_min,
            jobs: wanted.jobs.clone(),
            in_place,
            waiting: BTreeMap::new(),
            left_out: 0,
            shown: Shown::default(),
            open: BTreeMap::new(),
            heading: None,
        }
    }

    /// The terminal has this many columns now.
    pub(super) fn fit(&mut self, width: usize) {
        self.style.width = width;
    }

    /// Takes a word on a record.
    pub(super) fn take(&mut self, heard: Heard) {
        let Heard { id, interim, .. } = heard;
        let record = heard.document.filter(|one| one["result_type"] == "record");
        let told = record.and_then(|record| {
            let start_ms = record["timestamp"].as_i64()?;
            let score = record["record_score"].as_f64()?;
            Some((start_ms, score, record))
        });
        // Whatever comes now, what was said of it while it was open is void.
        self.open.remove(&id);
        let Some((start_ms, score, record)) = told else {
            // Withdrawn before it was shown.
            self.waiting
                .retain(|(_, waiting), (is_open, _)| *waiting != id || (interim && !*is_open));
            return;
        };
        let is_enough = score >= self.score_min;
        match interim {
            true if self.in_place && is_enough => drop(self.open.insert(id, record)),
            true if self.in_place => {}
            _ if is_enough || self.was_shown(&id) => self.wait(start_ms, id, interim, record),
            _ => drop(self.waiting.remove(&(start_ms, id))),
        }
    }

    /// Whether a final word on it was shown.
    fn was_shown(&self, id: &str) -> bool {
        matches!(self.shown.by_id.get(id), Some((false, _)))
    }

    fn wait(&mut self, start_ms: i64, id: String, is_open: bool, record: Value) {
        self.waiting.insert((start_ms, id), (is_open, record));
        if self.waiting.len() > WAITING_MAX {
            self.waiting.pop_first();
            self.left_out += 1;
        }
    }

    /// The text of what has been heard since the last call, in order of time; only the `latest` so many anomalies, where that is said.
    pub(super) fn settle(&mut self, latest: Option<usize>) -> String {
        let mut findings: BTreeMap<(String, Mark), Findings> = BTreeMap::new();
        for ((_, id), (is_open, record)) in std::mem::take(&mut self.waiting) {
            let score = record["record_score"].as_f64().unwrap_or(0.0);
            let severity = Severity::of(score);
            let Some(mark) = self.shown.mark(&id, is_open, severity) else {
                continue;
            };
            let job = record["job_id"].as_str().unwrap_or_default().to_owned();
            let of_job = findings.entry((job, mark)).or_default();
            of_job.add(&record);
            self.shown.remember(id, (is_open, severity));
        }
        let mut entries = entries(&findings);
        entries.sort_by(|a, b| {
            let (a, b) = (&a.group.lead, &b.group.lead);
            let by_time = a.start_ms.cmp(&b.start_ms);
            by_time.then(b.peak.score.total_cmp(&a.peak.score))
        });
        let passed_over = latest.map_or(0, |latest| entries.len().saturating_sub(latest));
        let mut text = match std::mem::take(&mut self.left_out) {
            0 => String::new(),
            left_out => {
                let words = format!("({} earlier records left out)", grouped(left_out));
                format!("{}\n", paint(self.style, "2", &words))
            }
        };
        for entry in entries.iter().skip(passed_over) {
            text.push_str(&self.head(&entry.job, entry.mark));
            text.push_str(&table::anomaly(&entry.group, self.style));
        }
        text
    }

    /// `==> web <==`, where it is another's turn.
    fn head(&mut self, job: &str, mark: Mark) -> String {
        let is_only = self.jobs.len() == 1;
        let said = self.heading.as_ref();
        let is_said = match said {
            None => is_only && mark == Mark::New,
            Some((last, as_what)) => last == job && *as_what == mark,
        };
        self.heading = Some((job.to_owned(), mark));
        match is_said {
            true => String::new(),
            false => title(job, mark, self.style),
        }
    }

    /// The lines that stand below the others: what is open, as far as `height` lines hold it, and whether all is well.
    pub(super) fn open(&self, height: usize, trouble: Option<&str>) -> Vec<String> {
        let mut newest: BTreeMap<&str, i64> = BTreeMap::new();
        for record in self.open.values() {
            let of_job = newest.entry(job_of(record)).or_insert(i64::MIN);
            *of_job = (*of_job).max(start_of(record));
        }
        let mut findings: BTreeMap<(String, Mark), Findings> = BTreeMap::new();
        for record in self.open.values() {
            let span_ms = record["bucket_span"].as_i64().unwrap_or(0) * 1000;
            let since_ms = newest[job_of(record)].saturating_sub(OPEN_BUCKETS * span_ms);
            if start_of(record) >= since_ms {
                let key = (job_of(record).to_owned(), Mark::Open);
                findings.entry(key).or_default().add(record);
            }
        }
        let mut lines: Vec<String> = Vec::new();
        let mut last = None;
        for entry in entries(&findings) {
            if last.as_ref() != Some(&entry.job) {
                lines.push(
                    title(&entry.job, Mark::Open, self.style)
                        .trim_end()
                        .to_owned(),
                );
            }
            lines.extend(
                table::anomaly(&entry.group, self.style)
                    .lines()
                    .map(str::to_owned),
            );
            last = Some(entry.job);
        }
        let room = height.saturating_sub(2);
        if lines.len() > room {
            let more = lines.len() - room;
            lines.truncate(room);
            let words = format!("… {} more lines", grouped(more as u64));
            lines.push(paint(self.style, "2", &words));
        }
        lines.push(self.status(trouble));
        lines
    }

    fn status(&self, trouble: Option<&str>) -> String {
        let whose = match self.jobs.is_empty() {
            true => "all jobs".to_owned(),
            false => self.jobs.join(", "),
        };
        let (code, words) = match trouble {
            Some(why) => ("31", format!("trying again: {why}")),
            None => ("2", format!("following {whose}; Ctrl-C ends")),
        };
        paint(self.style, code, &cut(&words, self.style.width))
    }
}

/// The groups of each, the strongest first.
fn entries(findings: &BTreeMap<(String, Mark), Findings>) -> Vec<Entry> {
    let mut entries = Vec::new();
    for ((job, mark), findings) in findings {
        entries.extend(findings.groups().into_iter().map(|group| Entry {
            job: job.clone(),
            mark: *mark,
            group,
        }));
    }
    entries
}

fn title(job: &str, mark: Mark, style: Style) -> String {
    let words = format!("==> {}{} <==", cut(job, 64), mark.words());
    let code = match mark {
        Mark::Open => "2",
        Mark::New | Mark::ScoredAnew => "1",
    };
    format!("{}\n", paint(style, code, &words))
}

fn job_of(record: &Value) -> &str {
    record["job_id"].as_str().unwrap_or_default()
}

fn start_of(record: &Value) -> i64 {
    record["timestamp"].as_i64().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const STYLE: Style = Style {
        width: 100,
        color: false,
        top: usize::MAX,
    };

    fn board(jobs: &[&str], in_place: bool) -> Board {
        let wanted = Wanted {
            jobs: jobs.iter().map(|&job| job.to_owned()).collect(),
            score_min: 10.0,
            since_ms: None,
        };
        Board::new(STYLE, &wanted, in_place)
    }

    fn heard(job: &str, minute: i64, host: &str, score: f64, interim: bool) -> Heard {
        Heard {
            id: format!("{job}_record_{minute}_{host}"),
            interim,
            document: Some(
                json!({"job_id": job, "result_type": "record", "timestamp": minute * 60_000, "bucket_span": 60,
                "record_score": score, "detector_index": 0, "function": "mean", "field_name": "latency_ms",
                "by_field_name": "host.name", "by_field_value": host, "actual": [900.0], "typical": [300.0],
                "description": "slower than usual"}),
            ),
            line: None,
        }
    }

    #[test]
    fn history_is_told_in_order_of_time_with_the_last_word_on_each() {
        let mut board = board(&["web"], true);
        board.take(heard("web", 9, "b", 50.0, false));
        board.take(heard("web", 3, "a", 90.0, false));
        board.take(heard("web", 3, "a", 30.0, false));
        board.take(heard("web", 5, "c", 60.0, false));
        board.take(heard("web", 5, "c", 5.0, false));
        assert_eq!(
            board.settle(None),
            "1970-01-01 00:03    1m   30 minor      mean(latency_ms)  host.name=a          900 against 300 (3.0x)\n  \
             slower than usual\n\
             1970-01-01 00:09    1m   50 major      mean(latency_ms)  host.name=b          900 against 300 (3.0x)\n  \
             slower than usual\n"
        );
    }

    #[test]
    fn only_the_latest_are_shown_where_nobody_says_since_when() {
        let mut board = board(&["web"], true);
        for minute in 0..20 {
            board.take(heard("web", 2 * minute, "a", 50.0, false));
        }
        let text = board.settle(Some(3));
        assert_eq!(text.matches("host.name=a").count(), 3);
        assert!(text.starts_with("1970-01-01 00:34"), "{text}");
    }

    #[test]
    fn jobs_have_their_headings_when_it_is_anothers_turn() {
        let mut board = board(&[], true);
        board.take(heard("web", 1, "a", 50.0, false));
        board.take(heard("shop", 2, "a", 50.0, false));
        let text = board.settle(None);
        let heads = |text: &str| {
            let heads = text.lines().filter(|line| line.starts_with("==>"));
            heads.map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(heads(&text), ["==> web <==", "==> shop <=="]);
        board.take(heard("shop", 3, "a", 50.0, false));
        assert!(heads(&board.settle(None)).is_empty());
    }

    #[test]
    fn a_record_is_shown_again_when_its_severity_is_another() {
        let mut board = board(&["web"], true);
        board.take(heard("web", 1, "a", 60.0, false));
        assert!(board.settle(None).contains("major"));
        board.take(heard("web", 1, "a", 65.0, false));
        assert_eq!(board.settle(None), "");
        board.take(heard("web", 1, "a", 5.0, false));
        let text = board.settle(None);
        assert!(
            text.starts_with("==> web, scored anew <==") && text.contains("5 warning"),
            "{text}"
        );
    }

    #[test]
    fn what_is_open_stands_below_until_its_bucket_closes_or_it_is_taken_back() {
        let mut board = board(&["web"], true);
        board.take(heard("web", 1, "a", 60.0, true));
        board.take(heard("web", 1, "b", 70.0, true));
        assert_eq!(board.settle(None), "");
        let lines = board.open(20, None).join("\n");
        assert!(
            lines.starts_with("==> web, still open <==") && lines.contains("host.name=b"),
            "{lines}"
        );
        board.take(heard("web", 1, "a", 80.0, false));
        let withdrawn = Heard {
            document: None,
            ..heard("web", 1, "b", 70.0, true)
        };
        board.take(withdrawn);
        assert!(board.settle(None).contains("critical"));
        assert_eq!(board.open(20, None), ["following web; Ctrl-C ends"]);
        assert_eq!(
            board.open(20, Some("no broker")),
            ["trying again: no broker"]
        );
    }

    #[test]
    fn off_a_terminal_what_is_open_is_marked() {
        let mut board = board(&["web"], false);
        board.take(heard("web", 1, "a", 60.0, true));
        assert!(board.settle(None).starts_with("==> web, still open <==\n"));
        board.take(heard("web", 1, "a", 62.0, true));
        assert_eq!(board.settle(None), "");
        board.take(heard("web", 1, "a", 62.0, false));
        assert!(board.settle(None).starts_with("==> web <==\n"));
        board.take(heard("web", 1, "a", 62.0, true));
        assert_eq!(board.settle(None), "", "a word that came late");
    }

    #[test]
    fn the_lines_below_are_no_more_than_there_is_room_for() {
        let mut board = board(&["web"], true);
        for host in 0..30 {
            let mut one = heard("web", 1, &format!("h{host}"), 50.0, true);
            if let Some(document) = &mut one.document {
                document["detector_index"] = json!(host);
            }
            board.take(one);
        }
        let lines = board.open(12, None);
        assert_eq!(lines.len(), 12);
        assert_eq!(lines[10], "… 51 more lines");
    }

    #[test]
    fn more_history_than_is_kept_leaves_out_the_earliest_and_says_so() {
        let mut board = board(&["web"], true);
        for minute in 0..WAITING_MAX as i64 + 7 {
            board.take(heard("web", minute, "a", 50.0, false));
        }
        assert!(
            board
                .settle(None)
                .starts_with("(7 earlier records left out)\n")
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_document_commands_the_terminal(text in any::<String>(), width in 20_usize..200, interim: bool) {
            let mut board = board(&[], true);
            board.fit(width);
            let mut one = heard("web", 1, &text, 60.0, interim);
            if let Some(document) = &mut one.document {
                for field in ["job_id", "function", "field_name", "by_field_name", "description"] {
                    document[field] = json!(text);
                }
            }
            board.take(one);
            let mut shown = board.settle(None);
            shown.push_str(&board.open(30, Some(&text)).join("\n"));
            prop_assert!(!shown.contains(|c: char| c != '\n' && table::harmless(c) != c), "{shown:?}");
        }
    }
}
