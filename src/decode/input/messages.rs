//! A log's messages as events, in the order of its lines.

use super::super::csv::{Header, Row};
use super::super::guard::Sink;
use super::super::text::{SAMPLE_LINES, Text};
use super::super::time_format::TimeReader;
use super::super::window::Window;
use super::super::{Decoded, Decoder, rejection};
use super::{Reader, deliver};
use crate::config::TimeFormat;
use crate::engine::event::Reason;
use std::io::{self, ErrorKind};
use std::ops::ControlFlow;

const NO_CLOCK: &str = "no line of the first ones has a time in a form that is known (docs/events.md has them); JSON events can name theirs with data_description.time_format";

impl Reader {
    /// Hands over the messages of a log that was last written to at `written_ms`, as far as that is known.
    pub(super) fn text(
        &mut self,
        file: &str,
        window: &mut Window,
        written_ms: Option<i64>,
        sink: &mut Sink<'_>,
    ) -> io::Result<ControlFlow<()>> {
        let sample = window.lines(SAMPLE_LINES)?;
        let mut text = Text::of(sample, written_ms, self.options.bytes_max)
            .ok_or_else(|| io::Error::new(ErrorKind::InvalidData, NO_CLOCK))?;
        let header = self.decoder.columns();
        // Times are given as ISO 8601, however the job's own are written.
        let as_job_says =
            std::mem::replace(&mut self.decoder.time, TimeReader::new(&TimeFormat::Auto));
        let flow = self.messages(file, window, &mut text, &header, sink);
        self.decoder.time = as_job_says;
        flow
    }

    fn messages(
        &mut self,
        file: &str,
        window: &mut Window,
        text: &mut Text,
        header: &Header,
        sink: &mut Sink<'_>,
    ) -> io::Result<ControlFlow<()>> {
        loop {
            let row = text.next(window.unread(), window.at_end);
            let begins = matches!(row, Row::Whole(_) | Row::TooLong(_));
            if begins && self.tell_too_long(file, sink).is_break() {
                return Ok(ControlFlow::Break(()));
            }
            let length = match row {
                Row::Whole(length) | Row::Broken(length) | Row::TooLong(length) => length,
                Row::Skip(length) => {
                    self.lengthen(length);
                    window.take(length);
                    continue;
                }
                Row::More => {
                    window.fill()?;
                    continue;
                }
                Row::End => return Ok(self.tell_too_long(file, sink)),
            };
            let mut flow = ControlFlow::Continue(());
            let (guard, too_long) = (&mut self.guard, &mut self.too_long);
            let view = &*window;
            let message = &view.unread()[..length];
            self.decoder
                .message(text, row, header, message, &mut |decoded| {
                    flow = deliver(guard, too_long, decoded, file, view, sink);
                });
            if flow.is_break() {
                return Ok(flow);
            }
            window.take(length);
        }
    }
}

impl Decoder {
    /// The columns of a log's messages.
    fn columns(&self) -> Header {
        Header::of_names(&Text::columns(&self.time_field), &self.paths)
    }

    /// Decodes one message of a log.
    fn message(
        &mut self,
        text: &mut Text,
        row: Row,
        header: &Header,
        bytes: &[u8],
        sink: &mut dyn FnMut(Decoded<'_>),
    ) {
        let raw = bytes.trim_ascii_end();
        let outcome = match (row, text.cells(bytes)) {
            (Row::Whole(_), Some(cells)) => return self.cells(&cells, header, raw, 0, sink),
            (Row::Whole(_), None) => Err(rejection(
                Reason::MissingTime,
                "no time, where the lines of this log begin with one".into(),
                raw.len(),
            )),
            _ => Err(self.too_long(bytes.len())),
        };
        sink(Decoded {
            outcome,
            raw,
            offset: 0,
        });
    }
}
