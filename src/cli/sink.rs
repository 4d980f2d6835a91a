//! Where the results of `detect` go: lines of JSON as they come, or a table at the end.
//!
//! NDJSON holds every document that the job says, in the order said. A document may come again with another score (history is
//! renormalised as it grows): the later line replaces the earlier (docs/results.md). Live output is flushed whenever a bucket is done.

use super::findings::Findings;
use super::output;
use super::table::{self, Style};
use crate::engine::pipeline::Output;
use crate::engine::result::{Document, DocumentKind};
use std::io::{self, Write};

/// Which documents are wanted.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// Empty: all.
    pub(super) kinds: Vec<DocumentKind>,
    /// Documents that have a score need at least this one.
    pub(super) score_min: f64,
}

impl Wanted {
    fn takes(&self, document: &Document) -> bool {
        (self.kinds.is_empty() || self.kinds.contains(&document.kind))
            && document.score().is_none_or(|score| score >= self.score_min)
    }
}

/// What takes the results.
pub(super) enum Sink {
    /// A line a document.
    Ndjson {
        /// Where to.
        out: Box<dyn Write>,
        /// Which.
        wanted: Wanted,
        /// Whether somebody waits for each line.
        live: bool,
    },
    /// A table, when all is read.
    Table {
        /// Where to.
        out: Box<dyn Write>,
        /// What has been found.
        findings: Findings,
        /// How it is drawn.
        style: Style,
    },
}

impl Sink {
    /// Takes one thing that the pipeline said.
    pub(super) fn take(&mut self, output: &Output) -> io::Result<()> {
        match (self, output) {
            (Sink::Ndjson { out, wanted, .. }, Output::Result(document))
                if wanted.takes(document) =>
            {
                output::json_line(out.as_mut(), document)
            }
            (
                Sink::Ndjson {
                    out, live: true, ..
                },
                Output::Closed(_),
            ) => out.flush(),
            (Sink::Table { findings, .. }, Output::Result(document))
                if matches!(
                    document.kind,
                    DocumentKind::Record | DocumentKind::Influencer
                ) =>
            {
                let value = serde_json::to_value(document).map_err(io::Error::other)?;
                findings.add(&value);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Writes what is left; a table ends with the summary. `nothing`: what is said where there is nothing to show.
    pub(super) fn finish(self, nothing: &str, summary: &str) -> io::Result<()> {
        match self {
            Sink::Ndjson { mut out, .. } => out.flush(),
            Sink::Table {
                mut out,
                findings,
                style,
            } => {
                let shown = table::render(&findings, style, nothing);
                writeln!(out, "{shown}\n{summary}")?;
                out.flush()
            }
        }
    }
}
