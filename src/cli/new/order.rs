//! In what order a sample's events come, and how long their buckets have to be waited for.

use crate::cli::table::length;

/// Of so many events one may come too late before that is allowed for.
const LATE_ONE_IN: usize = 1000;
/// What is proposed, minutes; a latency beyond the last is no delay but another order.
const LATENCIES_MIN: [i64; 11] = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720];
const MINUTE_MS: i64 = 60_000;

/// What the order of a sample asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Nothing, or next to nothing, comes after its bucket.
    Forward,
    /// Events come late, but no more than one in a thousand later than so many milliseconds; so many of 1,000 come late without.
    Late { latency_ms: i64, late: usize },
    /// No latency helps: newest first, or several streams one after another.
    None,
}

/// Looks at the times of events in the order in which they came.
pub(super) fn of(instants: &[Option<i64>], span_ms: i64) -> Order {
    let mut newest = i64::MIN;
    let mut behind: Vec<i64> = Vec::new();
    let mut all = 0;
    for time in instants.iter().flatten().copied() {
        all += 1;
        newest = newest.max(time);
        // How long the bucket of this event would have to be kept open still.
        let over = newest - (time.div_euclid(span_ms) + 1) * span_ms;
        if over >= 0 {
            behind.push(over + 1);
        }
    }
    if behind.len() * LATE_ONE_IN <= all {
        return Order::Forward;
    }
    behind.sort_unstable();
    let wanted = behind[behind.len() - 1 - all / LATE_ONE_IN];
    let latencies = LATENCIES_MIN.iter().map(|minutes| minutes * MINUTE_MS);
    let found = latencies.into_iter().find(|latency| *latency >= wanted);
    found.map_or(Order::None, |latency_ms| Order::Late {
        latency_ms,
        late: behind.len() * 1000 / all,
    })
}

impl Order {
    /// What a comment says of it.
    pub(super) fn reason(self) -> Option<String> {
        match self {
            Order::Forward => None,
            Order::Late { latency_ms, late } => Some(format!(
                "{late} of 1,000 events come after their bucket is over; all but one in {LATE_ONE_IN} within {}",
                length(latency_ms)
            )),
            Order::None => Some(
                "The sample is not in the order of time (newest first, or several streams one after another): what comes after its bucket is refused as late, so sort it first"
                    .to_owned(),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_late_is_waited_for_and_what_is_upside_down_is_not() {
        let minutes = |order: Vec<i64>| -> Vec<Option<i64>> {
            order.into_iter().map(|at| Some(at * MINUTE_MS)).collect()
        };
        let span = 5 * MINUTE_MS;
        assert_eq!(of(&minutes((0..5000).collect()), span), Order::Forward);
        // Each tenth comes 25 minutes late, into a bucket that has been over for 20 to 25.
        let late = (0..5000).map(|at| if at % 10 == 9 { at - 25 } else { at });
        let Order::Late { latency_ms, late } = of(&minutes(late.collect()), span) else {
            panic!("late");
        };
        assert_eq!((latency_ms / MINUTE_MS, late), (30, 100));
        assert_eq!(of(&minutes((0..5000).rev().collect()), span), Order::None);
        assert_eq!(of(&[], span), Order::Forward);
    }
}
