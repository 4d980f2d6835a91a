//! How the hours of a day are joined: by lines, as the weather is, or by steps, as office hours, backups and rush hours are.
//!
//! Where one hour ends and the next begins there is an edge. The half hours beside it are foretold both ways, out of the same means of hours
//! ([`Profile::joints`](super::profile::Profile::joints)), before their buckets are learnt; steps are believed at an edge when they did better than the line,
//! prequentially (Dawid 1984; normal errors), by [`BELIEF`] nats, and are let go at 0. So a smooth day with one batch at night has 22 lines and two steps.
//! Holds: an edge that is never asked about is a line; judging changes nothing. Checked by: tests below, [`forecast`](super::forecast), `cargo bench --bench streams`.

use super::profile::{HOUR_MS, hour_of};
use crate::time::EventTime;
use serde::{Deserialize, Serialize};

const EDGES: usize = 24;
/// Credit is kept in parts of a nat.
const PARTS: f64 = 256.0;
/// What it takes to believe in a step, nats; its credit is never more than twice this, nor less than its negative.
const BELIEF: f64 = 12.0;
/// One value tells no more than this, either way.
const TELLS_MOST: f64 = 2.0;
/// What a step has to be better by, nats a value: lines are the rule.
const HANDICAP: f64 = 0.02;

/// What speaks for steps between the hours of a day.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Edges {
    /// Of the edge before each hour, in [`PARTS`].
    credits: [i16; EDGES],
    /// A bit for each edge that is believed to be a step.
    steps: u32,
}

impl Edges {
    /// Whether the edge nearest to `at` is a step.
    pub fn is_step(&self, at: EventTime) -> bool {
        self.steps & (1 << edge(at)) != 0
    }

    /// Whether any edge is a step.
    pub fn any_step(&self) -> bool {
        self.steps != 0
    }

    /// Takes what the line and the step left of a value, where errors are usually of this square. True when a step is believed that was not.
    pub fn learn(&mut self, at: EventTime, of_line: f64, of_step: f64, usual_square: f64) -> bool {
        let gained = (of_line * of_line - of_step * of_step) / (2.0 * usual_square) - HANDICAP;
        if !gained.is_finite() || of_line == of_step {
            return false;
        }
        let told = (PARTS * gained.clamp(-TELLS_MOST, TELLS_MOST)) as i16;
        let (edge, belief) = (edge(at), (PARTS * BELIEF) as i16);
        let credit = &mut self.credits[edge];
        *credit = (*credit + told).clamp(-belief, 2 * belief);
        let was = self.steps & (1 << edge) != 0;
        let is = *credit > if was { 0 } else { belief };
        self.steps = self.steps & !(1 << edge) | u32::from(is) << edge;
        is && !was
    }

    /// Days begin so many hours later from now on.
    pub fn turn(&mut self, hours: i8) {
        let by = i64::from(hours).rem_euclid(EDGES as i64) as usize;
        self.credits.rotate_right(by);
        let all = (1 << EDGES) - 1;
        self.steps = (self.steps << by | self.steps >> (EDGES - by)) & all;
    }
}

/// The edge nearest to `at`: the number of the hour that follows it.
fn edge(at: EventTime) -> usize {
    hour_of(EventTime(at.millis().saturating_add(HOUR_MS / 2))).rem_euclid(EDGES as i64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: f64) -> EventTime {
        EventTime((hours * HOUR_MS as f64) as i64)
    }

    #[test]
    fn an_edge_is_a_step_once_steps_have_done_much_better_and_a_line_again_when_they_do_worse() {
        let mut edges = Edges::default();
        let first = (0..20).find(|_| edges.learn(at(7.6), 8.0, 1.0, 1.0));
        assert_eq!(first, Some(6), "12 nats, 2 at a time");
        assert!(edges.is_step(at(8.4)) && !edges.is_step(at(8.6)) && !edges.is_step(at(7.4)));
        (0..20).for_each(|_| {
            edges.learn(at(7.6), 1.0, 8.0, 1.0);
        });
        assert!(!edges.any_step());
    }

    #[test]
    fn what_is_no_better_is_never_believed() {
        let mut edges = Edges::default();
        assert!(!(0..10_000).any(|_| edges.learn(at(0.2), 1.0, 0.999, 1.0)));
    }

    #[test]
    fn edges_turn_with_the_day() {
        let mut edges = Edges::default();
        (0..20).for_each(|_| {
            edges.learn(at(23.6), 8.0, 1.0, 1.0);
        });
        edges.turn(1);
        assert!(edges.is_step(at(1.0)) && !edges.is_step(at(0.0)));
        edges.turn(-1);
        assert!(edges.is_step(at(0.0)) && edges.is_step(at(24.0)));
    }
}
