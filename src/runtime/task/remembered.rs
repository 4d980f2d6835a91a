//! What is remembered of a bucket's results until they are public, for metrics of scores and for people to look at.

use crate::engine::result::{Body, Document};

/// How much of a bucket's results is remembered, for people to look at, until its transaction is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// Records, the strongest.
    pub records: usize,
    /// Which model plots.
    pub plots: Plots,
}

/// Model plots to remember of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plots {
    /// None.
    None,
    /// Those of detectors without a split: one each.
    Unsplit,
    /// So many, the first.
    First(usize),
}

impl Plots {
    pub(super) fn room(self, document: &Document) -> usize {
        match (self, &document.body) {
            (Plots::First(room), _) => room,
            (Plots::Unsplit, Body::ModelPlot(plot))
                if plot.by_field_value.is_none()
                    && plot.partition_field_value.is_none()
                    && plot.over_field_value.is_none() =>
            {
                usize::MAX
            }
            _ => 0,
        }
    }
}

impl Default for Remembered {
    fn default() -> Remembered {
        Remembered {
            records: 10,
            plots: Plots::None,
        }
    }
}
