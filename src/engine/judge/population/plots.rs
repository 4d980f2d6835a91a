//! Model plots of a population: what each member shows of each attribute, between the values that members show as a rule.
//!
//! The bounds are those that 95 of 100 members are within, where the crowd stands in this bucket; `median` is what records call typical. They are the attribute's, the same
//! for each of its members: nothing is expected of one member by itself.
//! Holds: `lower <= median <= upper`; of what cannot be below 0, neither can a bound. Checked: tests/population.rs.

use super::{Jury, Look, Member};
use crate::config::Family;
use crate::engine::judge::partial::PlotDraft;
use crate::engine::judge::series::{FeatureKind, is_plotted};

/// The share of the members that is within the bounds.
const WITHIN: f64 = 0.95;

impl Jury<'_> {
    /// Those that the job asks for, of members whose crowd is known.
    pub(super) fn plots(&self, members: &[Member<'_>]) -> Vec<PlotDraft> {
        let looks = members.iter().flat_map(|member| &member.looks);
        looks.filter_map(|look| self.plot(look)).collect()
    }

    fn plot(&self, look: &Look<'_>) -> Option<PlotDraft> {
        let key = &look.series.key;
        if !is_plotted(&self.judge.job, key) {
            return None;
        }
        let frame = self.frames.get(&(look.feature as u16, key.by.clone()))?;
        let kind = &self.kinds(look.series.group)[look.feature];
        let least = match self.is_never_below_zero(kind) {
            true => 0.0,
            false => f64::NEG_INFINITY,
        };
        let (low, high) = frame.range(WITHIN);
        Some(PlotDraft {
            detector: kind.detector as u16,
            key: key.clone(),
            statistic: kind.statistic,
            median: frame.typical().max(least),
            bounds: (low.max(least), high.max(least)),
            actual: Some(look.value),
        })
    }

    fn is_never_below_zero(&self, kind: &FeatureKind) -> bool {
        let family = self.judge.job.detectors[kind.detector].function.family;
        family.is_counting() || matches!(family, Family::InfoContent | Family::Varp)
    }
}
