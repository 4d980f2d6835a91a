//! Who holds a connection, and who has to go when there are too many.
//!
//! Holds: a newcomer always finds a place, so that a probe, which comes on a connection of its own, waits for nobody; who goes for it is the oldest connection
//! of the party that has the most. So a stranger who opens many takes places from himself; and where all parties look like one, behind a proxy or an
//! address translation, the oldest goes, which has had the most time to say what it wants. Checked by: the tests below and those of the parent module.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use tokio::task::AbortHandle;

/// Enough for probes and a scraper, however little the system has.
const PLACES_MIN: usize = 8;

/// The connections that are open, oldest first.
pub(super) struct Places {
    max: usize,
    taken: Vec<(IpAddr, AbortHandle)>,
}

impl Places {
    /// For so many at once.
    pub(super) fn of(max: usize) -> Places {
        let taken = Vec::with_capacity(max + 1);
        Places { max, taken }
    }

    /// A connection from this address has been made. Returns whose was ended for it.
    pub(super) fn take(&mut self, address: IpAddr, connection: AbortHandle) -> Option<IpAddr> {
        self.taken.push((party(address), connection));
        self.taken.retain(|(_, open)| !open.is_finished());
        match self.taken.len() > self.max {
            true => self.free_one(),
            false => None,
        }
    }

    /// The system has no more sockets or files: half of ours go back, because the jobs need some more than strangers do, and from now on we take no more than
    /// that. Returns whether there were any.
    pub(super) fn give_back(&mut self) -> bool {
        self.taken.retain(|(_, open)| !open.is_finished());
        let left = self.taken.len() / 2;
        self.max = left.clamp(PLACES_MIN.min(self.max), self.max);
        let mut is_any = false;
        while self.taken.len() > left {
            is_any |= self.free_one().is_some();
        }
        is_any
    }

    /// Ends a connection, if there is one. Returns whose.
    fn free_one(&mut self) -> Option<IpAddr> {
        let at = first_of_most(self.taken.iter().map(|(party, _)| *party))?;
        let (party, connection) = self.taken.remove(at);
        connection.abort();
        Some(party)
    }
}

/// What one party is taken to have: an address, or a network of IPv6, in which a host has as many addresses as it likes (RFC 4291: 64 bits of interface).
fn party(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address => address,
    }
}

/// Where the first of those is that there are most of.
fn first_of_most(parties: impl Iterator<Item = IpAddr> + Clone) -> Option<usize> {
    let mut counts: BTreeMap<IpAddr, usize> = BTreeMap::new();
    for party in parties.clone() {
        *counts.entry(party).or_default() += 1;
    }
    let most = counts.values().copied().max()?;
    parties.into_iter().position(|party| counts[&party] == most)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_oldest_of_who_has_most_goes_and_among_equals_the_oldest() {
        for (held, goes) in [
            (&[][..], None),
            (&["10.0.0.1"], Some(0)),
            (&["10.0.0.1", "10.0.0.2", "10.0.0.3"], Some(0)),
            (&["10.0.0.1", "10.0.0.2", "10.0.0.2"], Some(1)),
            (&["10.0.0.2", "10.0.0.1", "10.0.0.2"], Some(0)),
            (&["10.0.0.1", "2001:db8::1", "2001:db8::2"], Some(1)),
            (
                &[
                    "2001:db8::1",
                    "2001:db8:0:1::1",
                    "10.0.0.1",
                    "::ffff:10.0.0.1",
                ],
                Some(2),
            ),
        ] {
            let parties = held.iter().map(|text| party(address(text)));
            assert_eq!(first_of_most(parties), goes, "{held:?}");
        }
    }

    #[test]
    fn what_the_system_lacks_is_given_back_by_halves_and_not_taken_again() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut places = Places::of(64);
            let take = |places: &mut Places| {
                let lasting = tokio::spawn(std::future::pending::<()>());
                places.take(address("10.0.0.1"), lasting.abort_handle())
            };
            (0..40).for_each(|_| assert_eq!(take(&mut places), None));
            assert!(places.give_back());
            assert_eq!((places.taken.len(), places.max), (20, 20));
            assert!(take(&mut places).is_some());
            let halves = std::iter::from_fn(|| places.give_back().then_some(places.taken.len()));
            assert_eq!(halves.collect::<Vec<_>>(), [10, 5, 2, 1, 0]);
            assert_eq!(places.max, PLACES_MIN);
        });
    }

    #[test]
    fn connections_that_have_ended_take_no_place() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut places = Places::of(2);
            let lasting = tokio::spawn(std::future::pending::<()>());
            assert_eq!(
                places.take(address("10.0.0.1"), lasting.abort_handle()),
                None
            );
            for _ in 0..5 {
                let ended = tokio::spawn(async {});
                assert_eq!(places.take(address("10.0.0.1"), ended.abort_handle()), None);
                ended.await.unwrap();
            }
            let others = [0; 2].map(|_| tokio::spawn(std::future::pending::<()>()));
            let ended = others
                .each_ref()
                .map(|other| places.take(address("10.0.0.2"), other.abort_handle()));
            assert_eq!(ended, [None, Some(address("10.0.0.2"))]);
            assert!(!lasting.is_finished());
        });
    }
}
