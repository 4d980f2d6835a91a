//! Text laid out in columns and bars. Pure; the text fits the width it is told.

use crate::backtest::{Measured, Point};
use crate::cli::output::rounded;
use std::fmt::Write;

/// Shares of windows found for which the price is shown.
const LEVELS: [f64; 4] = [0.25, 0.5, 0.75, 1.0];
/// The longest bar, characters.
const BAR_MAX: usize = 24;
/// A bar in eighths of a character.
const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

/// A table of right-aligned columns.
pub(super) struct Columns {
    /// Name, cells, and how dearly it is kept where space is short: the lowest goes first.
    columns: Vec<(&'static str, Vec<String>, u32)>,
}

impl Columns {
    pub(super) fn new() -> Columns {
        Columns {
            columns: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, name: &'static str, keep: u32, cells: Vec<String>) {
        self.columns.push((name, cells, keep));
    }

    /// A line of names, then the rows; columns that do not fit are left out. Names are wrapped in `style`, which takes no space.
    pub(super) fn render(mut self, width: usize, style: impl Fn(&str) -> String) -> String {
        let wide = |(name, cells, _): &(&str, Vec<String>, u32)| {
            let cells = cells.iter().map(|cell| cell.chars().count());
            cells.max().unwrap_or(0).max(name.chars().count())
        };
        let needed = |columns: &[(&'static str, Vec<String>, u32)]| {
            columns.iter().map(|column| wide(column) + 2).sum::<usize>()
        };
        while needed(&self.columns) > width && self.columns.len() > 1 {
            let least = self.columns.iter().map(|column| column.2).min();
            let at = self
                .columns
                .iter()
                .rposition(|column| Some(column.2) == least);
            self.columns.remove(at.expect("there are columns"));
        }
        let rows = self.columns.iter().map(|column| column.1.len()).max();
        let line = |cell: &dyn Fn(usize) -> String| {
            let mut text = String::new();
            for (at, column) in self.columns.iter().enumerate() {
                let _ = write!(text, "  {:>width$}", cell(at), width = wide(column));
            }
            text
        };
        let mut text = style(&line(&|at| self.columns[at].0.to_owned()));
        text.push('\n');
        for row in 0..rows.unwrap_or(0) {
            let cell = |at: usize| self.columns[at].1.get(row).cloned().unwrap_or_default();
            text.push_str(line(&cell).trim_end());
            text.push('\n');
        }
        text
    }
}

/// The price of finding so much: of each share of windows the highest threshold that finds it, its precision as a bar. Nothing with fewer windows than levels.
pub(super) fn curve(measured: &Measured) -> Vec<String> {
    let recall = |point: &Point| {
        Some((
            point.labelled.as_ref()?.recall?,
            point.labelled.as_ref()?.precision?,
        ))
    };
    let windows = measured.windows.len();
    if windows < LEVELS.len() {
        return Vec::new();
    }
    let line = |level: f64| {
        let reached = measured.curve.iter().find_map(|point| {
            recall(point)
                .filter(|(recall, _)| *recall >= level)
                .map(|(_, precision)| (point, precision))
        });
        let found = format!("{:>4.0} %", 100.0 * level);
        match reached {
            None => format!("{found}  never"),
            Some((point, precision)) => {
                let labelled = point.labelled.as_ref().expect("it has a recall");
                let price = match labelled.false_alerts_per_1000_series_days {
                    Some(rate) => format!(", {} false for 1,000 series-days", rounded(rate)),
                    None => String::new(),
                };
                format!(
                    "{found}  {:<BAR_MAX$}  {precision:.2}  from {}{price}",
                    bar(precision),
                    point.threshold
                )
            }
        }
    };
    LEVELS.into_iter().map(line).collect()
}

/// A bar for a share.
fn bar(share: f64) -> String {
    let eighths = (share.clamp(0.0, 1.0) * (8 * BAR_MAX) as f64).round() as usize;
    format!("{}{}", "█".repeat(eighths / 8), EIGHTHS[eighths % 8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_that_do_not_fit_are_left_out_the_least_dear_first() {
        let table = |width| {
            let mut columns = Columns::new();
            columns.add("found", 3, vec!["4 of 5".to_owned()]);
            columns.add("delay", 1, vec!["2h".to_owned()]);
            columns.add("recall", 2, vec![".80".to_owned()]);
            columns.render(width, str::to_owned)
        };
        assert_eq!(
            table(23),
            "   found  delay  recall\n  4 of 5     2h     .80\n"
        );
        assert_eq!(table(22), "   found  recall\n  4 of 5     .80\n");
        assert_eq!(table(0), "   found\n  4 of 5\n");
    }

    #[test]
    fn bars_have_eighths_of_a_character() {
        assert_eq!(
            [bar(0.0), bar(1.0 / 48.0), bar(1.0)],
            ["", "▌", &"█".repeat(BAR_MAX)]
        );
    }
}
