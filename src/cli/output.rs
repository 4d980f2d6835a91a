//! Where a command's output goes: a file or stdout, buffered, with errors that name the place.

use anyhow::Context;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// A buffered writer to `file`, or to stdout when there is none or it is `-`.
pub(super) fn open(file: Option<&Path>) -> anyhow::Result<Box<dyn Write>> {
    match file {
        Some(path) if path != Path::new("-") => {
            let file = File::create(path)
                .with_context(|| format!("{}: cannot be written", path.display()))?;
            Ok(named(path.display().to_string(), file))
        }
        _ => Ok(named("standard output".to_owned(), io::stdout())),
    }
}

/// A writer whose errors say which it is.
struct Named<W> {
    name: String,
    to: W,
}

fn named(name: String, to: impl Write + 'static) -> Box<dyn Write> {
    Box::new(BufWriter::with_capacity(1 << 16, Named { name, to }))
}

impl<W> Named<W> {
    fn placed(&self, error: io::Error) -> io::Error {
        match error.kind() {
            io::ErrorKind::Interrupted => error,
            kind => io::Error::new(kind, format!("{}: cannot be written: {error}", self.name)),
        }
    }
}

impl<W: Write> Write for Named<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.to.write(bytes).map_err(|error| self.placed(error))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush().map_err(|error| self.placed(error))
    }
}

/// An output that is also an input would be emptied before it is read, and two outputs in one place would cut each other's lines. Outputs are
/// the options that name them, and where they go.
pub(super) fn refuse_to_overwrite<'a>(
    outputs: &[(&str, Option<&Path>)],
    inputs: impl Iterator<Item = &'a PathBuf>,
) -> anyhow::Result<()> {
    let named = outputs
        .iter()
        .filter_map(|&(name, path)| Some((name, path?)));
    let outputs: Vec<(&str, &Path)> = named.collect();
    for (at, &(name, path)) in outputs.iter().enumerate() {
        if let Some((other, _)) = outputs[..at].iter().find(|(_, other)| same(other, path)) {
            anyhow::bail!("{other} and {name} cannot both be {}", place(path));
        }
    }
    for input in inputs.filter(|input| input.as_path() != Path::new("-")) {
        if let Some((name, _)) = outputs.iter().find(|(_, path)| same(input, path)) {
            anyhow::bail!("{name} {} would overwrite what is read", input.display());
        }
    }
    Ok(())
}

/// Whether two paths are one file; devices such as `/dev/null` take any number of writers.
pub(super) fn same(a: &Path, b: &Path) -> bool {
    match (std::fs::canonicalize(a), std::fs::canonicalize(b)) {
        (Ok(a), Ok(b)) => a == b && a.is_file(),
        _ => a == b,
    }
}

fn place(path: &Path) -> String {
    match path.to_str() {
        Some("-") => "standard output".to_owned(),
        _ => path.display().to_string(),
    }
}

/// Writes one value as a line of JSON.
pub(super) fn json_line<T: serde::Serialize>(to: &mut dyn Write, value: &T) -> io::Result<()> {
    let mut line = serde_json::to_vec(value).map_err(io::Error::other)?;
    line.push(b'\n');
    to.write_all(&line)
}

/// Columns of the terminal that stdout is; a good line length when it is none.
pub(super) fn width() -> usize {
    terminal_size::terminal_size_of(io::stdout()).map_or(110, |(width, _)| usize::from(width.0))
}

/// `1234567` → `1,234,567`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A rate as people read it: thousands grouped, two digits or more that mean something.
pub(super) fn rounded(rate: f64) -> String {
    match rate {
        rate if rate >= 99.95 => grouped(rate.round() as u64),
        rate if rate >= 9.995 => format!("{rate:.1}"),
        rate => format!("{rate:.2}"),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn thousands_are_grouped() {
        let grouped = [0, 999, 1000, 1_234_567].map(super::grouped);
        assert_eq!(grouped, ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn rates_have_the_digits_that_mean_something() {
        let rates = [0.0, 0.126, 12.34, 1234.5].map(super::rounded);
        assert_eq!(rates, ["0.00", "0.13", "12.3", "1,235"]);
    }
}
