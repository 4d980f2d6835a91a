//! What a job is set against: another job, another build run beside us, or results written earlier.
//!
//! All end as [`Heard`], from the same documents: what is measured of a build or of a file is what would be measured of the job itself.

use super::Args;
use super::listen::{Ran, hear, run_job};
use crate::backtest::{Coverage, Heard};
use crate::cli::Color;
use crate::cli::beside::Beside;
use crate::cli::interrupt::Interrupt;
use crate::config::Job;
use anyhow::{Context, bail};
use serde_json::Value;
use std::io::{BufRead, BufReader, Cursor, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

/// The longest line of results that is read, bytes.
const LINE_BYTES_MAX: u64 = 16 << 20;

/// What a job is set against.
pub(super) enum Other {
    /// Another job, run here.
    Job(Arc<Job>),
    /// Another build, run beside us on the same job.
    Build,
    /// Results, read already.
    Results(Heard),
}

impl Other {
    /// What it says about the events, and what it judged; `None` when Ctrl-C came first. A build and results do not say how much they
    /// judged: as much as the job did, which has run.
    pub(super) fn hear(
        self,
        args: &Args,
        path: &Path,
        ran: &Ran,
        interrupt: &Interrupt,
        color: Color,
    ) -> anyhow::Result<Option<(Heard, Option<Coverage>)>> {
        let heard = match self {
            Other::Job(job) => {
                let ran = run_job(job, &args.source, interrupt, &[], args.from, None)?;
                return Ok(ran.map(|ran| (ran.heard, ran.coverage)));
            }
            Other::Build => run_build(path, args, color),
            Other::Results(heard) => Ok(heard),
        };
        match interrupt.asked() {
            // The other build was asked as well; what it says of that is of no interest.
            true => Ok(None),
            false => Ok(Some((heard?, ran.coverage))),
        }
    }

    /// Told by what the file begins with.
    pub(super) fn at(path: &Path, beside: &Beside) -> anyhow::Result<Other> {
        /// Programs of Linux, scripts, programs of macOS (of one architecture, of several).
        const PROGRAMS: [&[u8]; 4] = [b"\x7fELF", b"#!", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe"];
        let named = || format!("--against {}", path.display());
        let mut head = Vec::new();
        let mut file = crate::decode::open_bytes(path).with_context(named)?;
        let read = file.by_ref().take(1 << 16).read_to_end(&mut head);
        read.with_context(named)?;
        let blank = head.trim_ascii().is_empty();
        let of_results = |line: &[u8]| memchr::memmem::find(line, b"\"result_type\"").is_some();
        Ok(match () {
            () if PROGRAMS.iter().any(|magic| head.starts_with(magic)) => Other::Build,
            // A detector that found nothing wrote nothing.
            () if blank || head.trim_ascii_start().starts_with(b"{") && of_results(&head) => {
                // What has been read of a pipe cannot be read again.
                let whole = Cursor::new(head).chain(file);
                Other::Results(hear_lines(BufReader::new(whole)).with_context(named)?)
            }
            () => {
                let job = Job::from_files_beside(path, None, &beside.read()?);
                Other::Job(Arc::new(job.with_context(|| {
                    format!("{}: neither a program nor results", named())
                })?))
            }
        })
    }
}

/// Runs another build of this program over the same events.
fn run_build(program: &Path, args: &Args, color: Color) -> anyhow::Result<Heard> {
    let (job, source) = (&args.job, &args.source);
    let named = || format!("{} detect", program.display());
    // A bare name would be looked for in the path, not here.
    let at = std::fs::canonicalize(program).with_context(named)?;
    let mut child = Command::new(at)
        .arg("detect")
        .args(["--format=ndjson", "--kinds=record"])
        .args((color == Color::Never).then_some("--color=never"))
        .args(source.as_arguments())
        .args(args.beside.as_arguments())
        .arg("--")
        .arg(job)
        .args(&source.files)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(named)?;
    let stdout = child.stdout.take().expect("it was asked for");
    let heard = hear_lines(BufReader::with_capacity(1 << 16, stdout));
    if heard.is_err() {
        // It may go on writing for ever.
        let _ = child.kill();
    }
    let status = child.wait().with_context(named)?;
    let heard = heard.with_context(named)?;
    if !status.success() {
        bail!(
            "{}: it failed ({status}); expected a build of tidewatch that can run {}",
            named(),
            job.display()
        );
    }
    Ok(heard)
}

/// Records of lines of JSON; other documents are passed over.
fn hear_lines(mut lines: impl BufRead) -> anyhow::Result<Heard> {
    let mut heard = Heard::default();
    let (mut line, mut number) = (Vec::new(), 0u64);
    loop {
        line.clear();
        number += 1;
        let length = lines
            .by_ref()
            .take(LINE_BYTES_MAX)
            .read_until(b'\n', &mut line)?;
        if length == 0 {
            return Ok(heard.settled());
        }
        if length as u64 == LINE_BYTES_MAX {
            bail!(
                "line {number}: longer than {} MiB; expected result documents",
                LINE_BYTES_MAX >> 20
            );
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let document: Value = serde_json::from_slice(&line)
            .map_err(|error| anyhow::anyhow!("line {number}: {error}"))?;
        if document.get("result_type").is_none() {
            bail!(
                "line {number}: no result_type; expected result documents, as `detect --format ndjson` writes them"
            );
        }
        hear(&mut heard, &document).with_context(|| format!("line {number}"))?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_results_final_records_are_heard_with_their_first_score() {
        let record = |minute: i64, score: f64, initial: f64, more: &str| {
            format!(
                r#"{{"result_type":"record","timestamp":{},"bucket_span":60,"record_score":{score},"initial_record_score":{initial},"detector_index":0,"function":"count"{more}}}"#,
                minute * 60_000
            )
        };
        let lines = [
            record(1, 80.0, 80.0, ""),
            r#"{"result_type":"bucket","timestamp":60000}"#.to_owned(),
            String::new(),
            record(1, 20.0, 80.0, ""),
            record(2, 90.0, 90.0, r#","is_interim":true"#),
            record(3, 0.5, 0.5, ""),
        ];
        let heard = hear_lines(lines.join("\n").as_bytes()).unwrap();
        let kept: Vec<(i64, i64, f64)> = heard
            .alerts()
            .iter()
            .map(|alert| (alert.start.0, alert.end.0, alert.score))
            .collect();
        assert_eq!(kept, [(60_000, 120_000, 80.0)]);
    }

    #[test]
    fn what_is_no_result_is_told_with_its_line() {
        for (text, says) in [
            ("\n{\"a\": 1}", "line 2: no result_type"),
            ("nothing", "line 1: expected"),
            ("[]", "line 1: no result_type"),
            ("{\"result_type\":\"bucket\"}\n{", "line 2: EOF"),
        ] {
            let error = hear_lines(text.as_bytes()).unwrap_err();
            assert!(format!("{error:#}").contains(says), "{text}: {error:#}");
        }
        assert!(hear_lines(&b""[..]).unwrap().alerts().is_empty());
    }
}
