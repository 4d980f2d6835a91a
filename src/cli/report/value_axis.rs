//! An axis of values: where one lies, and which round ones are worth a label.
//!
//! Positions are per cent of a chart's height, from the top. Holds: any two finite values make an axis, and any value has a place on it.

use super::time_axis::Tick;

/// A range of values, laid out from bottom to top.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ValueAxis {
    low: f64,
    high: f64,
}

impl ValueAxis {
    /// An axis over finite values, with some room above and below.
    pub(super) fn new(low: f64, high: f64) -> ValueAxis {
        let half = (high / 2.0 - low / 2.0).max(0.0);
        let room = match half > 1e-12 * high.abs().max(low.abs()) {
            true => 0.16 * half,
            // All values are one.
            false => (0.1 * high.abs()).max(1.0),
        };
        let floor = (low - room).max(-f64::MAX);
        ValueAxis {
            // What is never negative has no room below zero.
            low: if low >= 0.0 { floor.max(0.0) } else { floor },
            high: (high + room).min(f64::MAX),
        }
    }

    /// Where a value lies; what is outside, at the rim.
    pub(super) fn percent(self, value: f64) -> f64 {
        let share = (value / 2.0 - self.low / 2.0)
            / (self.high / 2.0 - self.low / 2.0).max(f64::MIN_POSITIVE);
        100.0 * (1.0 - share.clamp(0.0, 1.0))
    }

    /// Some two to five round values.
    pub(super) fn ticks(self) -> Vec<Tick> {
        let rough = (self.high / 2.0 - self.low / 2.0) / 2.0;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
        let step = step.into_iter().find(|step| *step >= rough);
        let Some(step) = step.filter(|step| step.is_finite() && *step > 0.0) else {
            return Vec::new();
        };
        let first = (self.low / step).ceil();
        (0..6)
            .map(|at| (first + f64::from(at)) * step)
            .filter(|value| *value < self.high && value.is_finite())
            .map(|value| Tick {
                percent: self.percent(value),
                label: compact(value),
                is_minor: false,
            })
            .collect()
    }
}

/// `12.5M`, `0.03`: a value on an axis.
pub(super) fn compact(value: f64) -> String {
    // 0.1 + 0.2 is to read 0.3.
    let value = format!("{value:.3e}").parse().unwrap_or(value);
    let units = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")];
    let size = f64::abs(value);
    match units.iter().find(|(least, _)| size >= *least) {
        Some((least, unit)) if size < 1e15 => {
            let unit_size = if *unit == "k" { 1e3 } else { *least };
            format!("{}{unit}", value / unit_size)
        }
        _ if size != 0.0 && !(1e-4..1e15).contains(&size) => format!("{value:e}"),
        _ => format!("{value}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_lie_within_the_axis_and_labels_are_round() {
        let axis = ValueAxis::new(0.0, 39_197.0);
        let labels: Vec<String> = axis.ticks().into_iter().map(|tick| tick.label).collect();
        assert_eq!(labels, ["0", "20k", "40k"]);
        assert!(axis.percent(0.0) > axis.percent(39_197.0));
        for (low, high) in [
            (0.0, 0.0),
            (5.0, 5.0),
            (-1.0, 1.0),
            (1e-9, 2e-9),
            (-f64::MAX, f64::MAX),
            (1e15, 1e15 + 1.0),
        ] {
            let axis = ValueAxis::new(low, high);
            assert!(axis.ticks().len() <= 6, "{low} {high}");
            for value in [low, high, f64::INFINITY, f64::NEG_INFINITY] {
                let percent = axis.percent(value);
                assert!(
                    (0.0..=100.0).contains(&percent),
                    "{low} {high} {value}: {percent}"
                );
            }
        }
    }

    #[test]
    fn values_on_axes_are_short() {
        let short = [
            0.0,
            0.30000000000000004,
            1500.0,
            20_000.0,
            2.5e6,
            -3e9,
            1e-7,
        ]
        .map(compact);
        assert_eq!(short, ["0", "0.3", "1500", "20k", "2.5M", "-3G", "1e-7"]);
    }
}
