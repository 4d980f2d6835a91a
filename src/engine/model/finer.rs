//! What is finer than one bell of one width: hours of their own spread, and two modes. One piece of memory, of a series that is no count and has come again.
//!
//! Laws of counting say themselves how much a quiet hour varies, and have their own shapes; what has come once has shown neither.
//! Holds: without the memory everything is of one width and one mode; what is taken is asked of the room.

use super::Room;
use super::modes::Modes;
use super::prefetch::prefetch;
use super::residual::Tails;
use super::spread::HourSpread;
use crate::config::Side;
use crate::time::EventTime;
use serde::{Deserialize, Serialize};

/// The spread by hours and the modes, once there are some to be learnt.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Finer {
    parts: Option<Box<Parts>>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Parts {
    spread: HourSpread,
    modes: Modes,
}

impl Finer {
    /// As [`SeriesModel::prefetch_parts`](super::SeriesModel::prefetch_parts).
    pub fn prefetch_parts(&self) {
        if let Some(parts) = self.parts.as_deref() {
            prefetch(parts);
        }
    }

    /// From now on they are learnt, if there is room.
    pub fn begin(&mut self, room: &mut Room) {
        if self.parts.is_none() && room.grant(size_of::<Parts>()) {
            self.parts = Some(Box::default());
        }
    }

    fn spread(&self) -> Option<&HourSpread> {
        self.parts.as_ref().map(|parts| &parts.spread)
    }

    fn modes(&self) -> Option<&Modes> {
        self.parts.as_ref().map(|parts| &parts.modes)
    }

    /// The spread at `at`; 1 is that of the day as a whole.
    pub fn spread_at(&self, at: EventTime) -> f64 {
        self.spread().map_or(1.0, |spread| spread.at(at))
    }

    /// Whether hours are believed to vary differently.
    pub fn knows_hours(&self) -> bool {
        self.spread().is_some_and(HourSpread::is_believed)
    }

    /// Whether two modes are believed in.
    pub fn knows_modes(&self) -> bool {
        self.modes().is_some_and(Modes::are_believed)
    }

    /// See [`Modes::tails`].
    pub fn tails(
        &self,
        x: f64,
        calm: f64,
        side: Side,
        least: f64,
        families: Tails,
    ) -> Option<Tails> {
        self.modes()?.tails(x, calm, side, least, families)
    }

    /// See [`Modes::range`].
    pub fn range(&self, calm: f64, least: f64) -> Option<(f64, f64)> {
        self.modes()?.range(calm, least)
    }

    /// See [`Modes::learn`].
    pub fn learn_modes(
        &mut self,
        x: f64,
        calm: f64,
        is_positive: bool,
        least: f64,
        ln_density: impl FnOnce() -> f64,
        room: &mut Room,
    ) -> bool {
        self.parts.as_mut().is_some_and(|parts| {
            let modes = &mut parts.modes;
            modes.learn(x, calm, is_positive, least, ln_density, room)
        })
    }

    /// See [`HourSpread::learn`].
    pub fn learn_spread(
        &mut self,
        at: EventTime,
        deviate: f64,
        buckets_a_day: u16,
        room: &mut Room,
    ) -> bool {
        self.parts.as_mut().is_some_and(|parts| {
            let known = parts.spread.at(at);
            let spread = &mut parts.spread;
            spread.learn(at, deviate, known, buckets_a_day, room)
        })
    }

    /// Heap bytes.
    pub fn heap_bytes(&self) -> usize {
        self.parts.as_ref().map_or(0, |parts| {
            size_of::<Parts>() + parts.spread.heap_bytes() + parts.modes.heap_bytes()
        })
    }
}
