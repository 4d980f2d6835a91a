//! A feed: the events of a scenario, one after another, in time order.
//!
//! Arrivals are a Poisson process whose rate is constant within a *slot*: a minute, cut where an incident begins or ends. Within a slot the
//! gaps are exponential, and because such a process has no memory it may begin anew at the next slot. An incident with more traffic
//! adds a source of its own that draws only from its place; one with less lets an event through with that probability (thinning:
//! Lewis and Shedler 1979). Times are milliseconds after the start of the feed. Memory: the world and one event.

use super::arithmetic::cos_turns;
use super::draw::{Draw, Weights};
use super::incident::Incident;
use super::scenario::{Scenario, ScenarioError};
use super::world::{Place, World};
use crate::time::EventTime;

const SLOT_MS: f64 = 60_000.0;
const DAY_MS: f64 = 86_400_000.0;
/// The busiest hour of the day, as a part of it.
const PEAK_OF_DAY: f64 = 14.5 / 24.0;
/// Spread of latencies and sizes: standard deviation of their logarithms.
const LATENCY_SIGMA: f64 = 0.45;
const BYTES_SIGMA: f64 = 0.7;
const METHODS: [(&str, f64); 4] = [
    ("GET", 0.84),
    ("POST", 0.12),
    ("PUT", 0.03),
    ("DELETE", 0.01),
];
const STATUSES: [(u16, f64); 6] = [
    (200, 0.91),
    (304, 0.04),
    (404, 0.03),
    (403, 0.008),
    (500, 0.01),
    (503, 0.002),
];
/// Stream numbers of a seed: who lives in the feed, and what happens in it.
const WORLD_STREAM: u64 = 0;
const EVENT_STREAM: u64 = 1;

/// One event: indexes into the feed's [`World`], and what was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SimulatedEvent {
    /// When it happened.
    pub time: EventTime,
    pub(super) host: usize,
    pub(super) user: usize,
    pub(super) service: usize,
    pub(super) method: &'static str,
    pub(super) status: u16,
    pub(super) bytes: u64,
    /// In tenths of a millisecond.
    pub(super) latency_tenths: u64,
}

/// The events of a scenario.
pub struct Feed {
    world: World,
    draw: Draw,
    methods: Weights,
    statuses: Weights,
    from: EventTime,
    length_ms: f64,
    base_rate: f64,
    day_swing: f64,
    weekday: f64,
    weekend: f64,
    incidents: Vec<PlacedIncident>,
    now_ms: f64,
    slot: Slot,
}

struct PlacedIncident {
    what: Incident,
    place: Place,
    start_ms: f64,
    end_ms: f64,
}

/// A stretch in which every rate is constant; rates are events a millisecond.
#[derive(Default)]
struct Slot {
    end_ms: f64,
    base_rate: f64,
    /// Index of an incident under way, and the rate of the traffic that it adds (0 when it adds none).
    active: Vec<(usize, f64)>,
    total_rate: f64,
}

impl Feed {
    /// The feed of a scenario. The same scenario and seed give the same events on every machine.
    pub fn new(scenario: &Scenario, seed: u64) -> Result<Feed, ScenarioError> {
        scenario.check()?;
        let world = World::new(scenario, &mut Draw::new(seed, WORLD_STREAM));
        let mut incidents = Vec::new();
        for (index, incident) in scenario.incidents.iter().enumerate() {
            incidents.push(PlacedIncident {
                place: world.find(
                    incident.entity.as_ref(),
                    &format!("incidents[{index}].entity"),
                )?,
                start_ms: incident.at_ms as f64,
                end_ms: incident.end_ms(scenario.length_ms()) as f64,
                what: incident.clone(),
            });
        }
        // So that the mean over a week is the rate asked for.
        let weekday = 7.0 / (5.0 + 2.0 * scenario.weekend);
        Ok(Feed {
            world,
            draw: Draw::new(seed, EVENT_STREAM),
            methods: Weights::new(METHODS.map(|(_, weight)| weight)),
            statuses: Weights::new(STATUSES.map(|(_, weight)| weight)),
            from: scenario.from,
            length_ms: scenario.length_ms() as f64,
            base_rate: scenario.rate / 1000.0,
            day_swing: scenario.day_swing,
            weekday,
            weekend: weekday * scenario.weekend,
            incidents,
            now_ms: 0.0,
            slot: Slot::default(),
        })
    }

    /// Who lives in it.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// How much of the feed has been drawn, 0 to 1.
    pub fn progress_ratio(&self) -> f64 {
        (self.now_ms / self.length_ms).min(1.0)
    }

    /// Traffic at a moment, as a ratio to the weekly mean.
    fn rhythm(&self, ms: f64) -> f64 {
        let day = (self.from.0 as f64 + ms) / DAY_MS;
        let turns = day - PEAK_OF_DAY;
        // The second harmonic makes mornings steeper than evenings; together at most 1, so that the rate is never negative.
        let swing = 0.85 * cos_turns(turns) + 0.15 * cos_turns(2.0 * turns + 0.15);
        // 1970-01-01 was a Thursday, so days 2 and 3 of the epoch's weeks are Saturday and Sunday.
        let day_of_week = (day.floor() as i64).rem_euclid(7);
        let week = if matches!(day_of_week, 2 | 3) {
            self.weekend
        } else {
            self.weekday
        };
        week * (1.0 + self.day_swing * swing)
    }

    /// The slot that begins now.
    fn open_slot(&mut self) {
        let now = self.now_ms;
        let base_rate = self.base_rate * self.rhythm(now);
        let mut end_ms = (((now / SLOT_MS).floor() + 1.0) * SLOT_MS).min(self.length_ms);
        let mut active = std::mem::take(&mut self.slot.active);
        active.clear();
        for (index, incident) in self.incidents.iter().enumerate() {
            for edge in [incident.start_ms, incident.end_ms] {
                if edge > now {
                    end_ms = end_ms.min(edge);
                }
            }
            if incident.start_ms <= now && now < incident.end_ms {
                let added = (incident.what.rate - 1.0).max(0.0);
                active.push((index, base_rate * added * self.world.share(incident.place)));
            }
        }
        let total_rate = base_rate + active.iter().map(|(_, rate)| rate).sum::<f64>();
        self.slot = Slot {
            end_ms,
            base_rate,
            active,
            total_rate,
        };
    }

    /// Which place the next event is drawn from: anywhere, or that of an incident that adds traffic.
    fn draw_source(&mut self) -> Place {
        let mut at = self.draw.unit() * self.slot.total_rate - self.slot.base_rate;
        for &(index, rate) in &self.slot.active {
            if at < 0.0 {
                break;
            }
            if at < rate {
                return self.incidents[index].place;
            }
            at -= rate;
        }
        Place::Everywhere
    }

    /// An event at this moment, as calm as its source; `None` when an incident keeps it away.
    fn draw_event(&mut self) -> Option<SimulatedEvent> {
        let source = self.draw_source();
        let (draw, world) = (&mut self.draw, &self.world);
        let host = if let Place::Host(host) = source {
            host
        } else {
            draw.pick(&world.host_weights)
        };
        let user = if let Place::User(user) = source {
            user
        } else {
            draw.pick(&world.user_weights)
        };
        let service = if let Place::Service(it) = source {
            it
        } else {
            draw.pick(&world.service_weights)
        };
        let method = METHODS[draw.pick(&self.methods)].0;
        let mut status = STATUSES[draw.pick(&self.statuses)].0;
        let (latency_median, bytes_median) = world.medians(service);
        let mut latency =
            draw.log_normal(latency_median * world.host_slowness[host], LATENCY_SIGMA);
        let mut bytes = draw.log_normal(bytes_median * world.user_appetite[user], BYTES_SIGMA);
        for &(index, _) in &self.slot.active {
            let PlacedIncident { what, place, .. } = &self.incidents[index];
            let here = match *place {
                Place::Everywhere => true,
                Place::Host(it) => it == host,
                Place::User(it) => it == user,
                Place::Service(it) => it == service,
            };
            if here {
                if what.rate < 1.0 && !draw.chance(what.rate) {
                    return None;
                }
                latency *= what.latency;
                bytes *= what.bytes;
                status = what.status.unwrap_or(status);
            }
        }
        if status == 304 {
            bytes = 0.0;
        } else if status >= 400 {
            bytes = bytes.min(700.0);
        }
        Some(SimulatedEvent {
            time: EventTime(self.from.0 + self.now_ms as i64),
            host,
            user,
            service,
            method,
            status,
            bytes: bytes as u64,
            latency_tenths: (latency * 10.0) as u64,
        })
    }
}

impl Iterator for Feed {
    type Item = SimulatedEvent;

    fn next(&mut self) -> Option<SimulatedEvent> {
        loop {
            if self.now_ms >= self.slot.end_ms {
                if self.now_ms >= self.length_ms {
                    return None;
                }
                self.open_slot();
            }
            let next_ms = match self.slot.total_rate > 0.0 {
                true => self.now_ms + self.draw.exponential() / self.slot.total_rate,
                false => f64::INFINITY,
            };
            if next_ms >= self.slot.end_ms {
                self.now_ms = self.slot.end_ms;
                continue;
            }
            self.now_ms = next_ms;
            if let Some(event) = self.draw_event() {
                return Some(event);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::EventFormat;
    use std::collections::BTreeMap;

    fn bytes_of(scenario: &Scenario, seed: u64, events: usize) -> Vec<u8> {
        let mut feed = Feed::new(scenario, seed).unwrap();
        let mut writer = EventFormat::Ndjson.writer();
        let mut bytes = Vec::new();
        for event in feed.by_ref().take(events).collect::<Vec<_>>() {
            writer.write(feed.world(), &event, &mut bytes);
        }
        bytes
    }

    fn scenario(yaml: &str) -> Scenario {
        Scenario::from_yaml(yaml).unwrap()
    }

    fn count(feed: Feed, wanted: impl Fn(&Feed, &SimulatedEvent) -> bool) -> f64 {
        let mut feed = feed;
        let mut count = 0.0;
        while let Some(event) = feed.next() {
            count += f64::from(u8::from(wanted(&feed, &event)));
        }
        count
    }

    #[test]
    fn a_seed_gives_the_same_bytes_on_every_machine() {
        let web = Scenario::built_in("web").unwrap();
        // Once computed; a change here changes the feeds that people have made, and belongs in the changelog.
        assert_eq!(
            xxhash_rust::xxh3::xxh3_64(&bytes_of(&web, 1, 20_000)),
            FINGERPRINT
        );
        assert_ne!(bytes_of(&web, 1, 100), bytes_of(&web, 2, 100));
    }
    const FINGERPRINT: u64 = 12_580_831_907_053_411_887;

    #[test]
    fn the_rate_asked_for_is_the_mean_over_a_week() {
        let week = scenario("{days: 7, rate: 0.05}");
        let expected = 7.0 * 86_400.0 * 0.05;
        let events = count(Feed::new(&week, 3).unwrap(), |_, _| true);
        assert!(
            (events - expected).abs() < 5.0 * expected.sqrt(),
            "{events} events, expected {expected}"
        );
    }

    #[test]
    fn days_are_busier_than_nights_and_weekends_quieter_than_weekdays() {
        let feed = || Feed::new(&scenario("{days: 7, rate: 0.05}"), 3).unwrap();
        let hour = |event: &SimulatedEvent| event.time.0 / 3_600_000 % 24;
        let noon = count(feed(), |_, event| (12..17).contains(&hour(event)));
        let night = count(feed(), |_, event| hour(event) < 5);
        assert!(noon > 2.5 * night, "{noon} by day, {night} by night");
        let saturday = feed().from.0 + 5 * 86_400_000;
        let weekend = count(feed(), |_, event| event.time.0 >= saturday) / 2.0;
        let weekday = count(feed(), |_, event| event.time.0 < saturday) / 5.0;
        assert!(
            (weekend / weekday - 0.6).abs() < 0.05,
            "{}",
            weekend / weekday
        );
    }

    #[test]
    fn events_come_in_time_order_and_stay_within_the_feed() {
        let web = scenario("{days: 0.5, rate: 0.5, incidents: [{kind: spike, at: 90s, for: 2h}]}");
        let times: Vec<i64> = Feed::new(&web, 5)
            .unwrap()
            .map(|event| event.time.0 - web.from.0)
            .collect();
        assert!(times.is_sorted() && times[0] >= 0 && *times.last().unwrap() < 43_200_000);
    }

    /// Events of each user and day, in two flat days with `incident` in the second.
    fn events_of_users_and_days(incident: &str) -> BTreeMap<(String, i64), f64> {
        let flat = "days: 2, rate: 0.3, rhythm: {day: 0, weekend: 1}";
        let two_days = scenario(&format!("{{{flat}, incidents: [{incident}]}}"));
        let mut feed = Feed::new(&two_days, 4).unwrap();
        let mut counts = BTreeMap::new();
        while let Some(event) = feed.next() {
            let day = (event.time.0 - feed.from.0) / 86_400_000;
            *counts
                .entry((feed.world.users[event.user].clone(), day))
                .or_insert(0.0) += 1.0;
        }
        counts
    }

    #[test]
    fn an_incident_changes_its_own_place_and_time_by_its_factors_and_nothing_else() {
        let calm = events_of_users_and_days("");
        for (incident, expected) in [
            (
                "kind: exfiltration, rate: 5, entity: {user.name: ada}",
                [("ada", 0, 1.0), ("ada", 1, 5.0), ("ben", 1, 1.0)],
            ),
            (
                "kind: dip, rate: 0.1, entity: {user.name: ada}",
                [("ada", 0, 1.0), ("ada", 1, 0.1), ("ben", 1, 1.0)],
            ),
            (
                "kind: spike, rate: 3",
                [("ben", 0, 1.0), ("ada", 1, 3.0), ("ben", 1, 3.0)],
            ),
        ] {
            let during = events_of_users_and_days(&format!("{{at: 1d, for: 1d, {incident}}}"));
            for (user, day, factor) in expected {
                let key = (user.to_owned(), day);
                let (calm, during) = (calm[&key], during[&key]);
                // Five standard deviations of the difference between two Poisson counts.
                let bound = 5.0 * (during + factor * factor * calm).sqrt();
                assert!(
                    (during - factor * calm).abs() < bound,
                    "{incident}: {user} on day {day}: {calm}, then {during}"
                );
            }
        }
    }
}
