//! The rows of a table with directives as events, in the order of its lines.

use super::super::csv::{Header, Row};
use super::super::directives::Directives;
use super::super::guard::Sink;
use super::super::time_format::TimeReader;
use super::super::window::Window;
use super::super::{Decoded, Decoder, rejection};
use super::{Reader, deliver};
use crate::config::TimeFormat;
use crate::engine::event::Reason;
use std::io;
use std::ops::ControlFlow;

impl Reader {
    /// Hands over the rows of a table that names its columns in directives.
    pub(super) fn table(
        &mut self,
        file: &str,
        window: &mut Window,
        sink: &mut Sink<'_>,
    ) -> io::Result<ControlFlow<()>> {
        let mut table = Directives::new(self.options.bytes_max);
        // A time that is put together is ISO 8601, however the job's own are written.
        let mut joined = TimeReader::new(&TimeFormat::Auto);
        let mut named = (table.headers(), self.decoder.columns_of(&table));
        loop {
            let row = table.next(window.unread(), window.at_end);
            let length = match row {
                Row::Whole(length) | Row::Broken(length) | Row::TooLong(length) => length,
                Row::Skip(length) => {
                    self.lengthen(length);
                    window.take(length);
                    if !table.is_skipping() && self.tell_too_long(file, sink).is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                    continue;
                }
                Row::More => {
                    window.fill()?;
                    continue;
                }
                Row::End => return Ok(self.tell_too_long(file, sink)),
            };
            if named.0 != table.headers() {
                named = (table.headers(), self.decoder.columns_of(&table));
            }
            let mut flow = ControlFlow::Continue(());
            let (guard, too_long) = (&mut self.guard, &mut self.too_long);
            let view = &*window;
            let line = &view.unread()[..length];
            let joins_time = table.joins_time();
            if joins_time {
                std::mem::swap(&mut self.decoder.time, &mut joined);
            }
            self.decoder
                .line_of_table(&mut table, row, &named.1, line, &mut |decoded| {
                    flow = deliver(guard, too_long, decoded, file, view, sink);
                });
            if joins_time {
                std::mem::swap(&mut self.decoder.time, &mut joined);
            }
            if flow.is_break() {
                return Ok(flow);
            }
            window.take(length);
            if !table.is_skipping() && self.tell_too_long(file, sink).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
    }
}

impl Decoder {
    /// What the job wants of the columns that are named by now.
    fn columns_of(&self, table: &Directives) -> Header {
        Header::of_names(&table.columns(&self.time_field), &self.paths)
    }

    /// Decodes one line of a table.
    fn line_of_table(
        &mut self,
        table: &mut Directives,
        row: Row,
        header: &Header,
        line: &[u8],
        sink: &mut dyn FnMut(Decoded<'_>),
    ) {
        let raw = line.trim_ascii_end();
        let outcome = match row {
            Row::Whole(_) => match table.cells(line) {
                Ok(cells) => return self.cells(&cells, header, raw, 0, sink),
                Err(detail) => Err(rejection(Reason::Malformed, detail, raw.len())),
            },
            _ => Err(self.too_long(raw.len())),
        };
        sink(Decoded {
            outcome,
            raw,
            offset: 0,
        });
    }
}
