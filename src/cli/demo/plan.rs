//! What the demo shows: the web shop's two weeks, and a few incidents in the live part behind them.

use crate::simulate::{Entity, Incident, Kind, Scenario};

const DAY_MS: f64 = 86_400_000.0;
/// An incident of the live part.
struct Live {
    kind: Kind,
    /// Field and value; everywhere when there are none.
    place: &'static [(&'static str, &'static str)],
    /// After which part of it, 0 to 1.
    after: f64,
    story: &'static str,
}

const LIVE: [Live; 3] = [
    Live {
        kind: Kind::Spike,
        place: &[],
        after: 0.2,
        story: "everybody comes at once",
    },
    Live {
        kind: Kind::SlowHost,
        place: &[("host.name", "web-05")],
        after: 0.5,
        story: "the network card of web-05 is dying",
    },
    Live {
        kind: Kind::Outage,
        place: &[("service.name", "catalogue")],
        after: 0.8,
        story: "a bad deployment of the catalogue",
    },
];

/// A live part shorter than this (days) has no incidents of its own: they would overlap.
const LIVE_DAYS_MIN: f64 = 0.3;

/// History and live part as one scenario.
pub(super) fn scenario(history_days: f64, live_days: f64) -> Scenario {
    let mut scenario = Scenario::built_in("web").expect("it is built in");
    scenario.days = history_days + live_days;
    let history_ms = (history_days * DAY_MS) as i64;
    scenario.incidents.retain(|incident| match incident.for_ms {
        Some(for_ms) => incident.at_ms + for_ms <= history_ms,
        None => incident.at_ms < history_ms,
    });
    if live_days < LIVE_DAYS_MIN {
        return scenario;
    }
    for live in LIVE {
        // Incidents begin on the full minute, as people remember them.
        let at_ms = ((history_days + live.after * live_days) * 1440.0).floor() as i64 * 60_000;
        scenario.incidents.push(Incident {
            at_ms,
            entity: live.place.first().map(|(field, value)| Entity {
                field: (*field).to_owned(),
                value: (*value).to_owned(),
            }),
            description: Some(live.story.to_owned()),
            ..live.kind.usual()
        });
    }
    scenario
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::Feed;

    #[test]
    fn every_incident_of_a_demo_lies_within_it_and_at_a_place_that_exists() {
        for (history, live) in [(14.0, 1.0), (3.0, 0.5), (14.0, 0.0), (0.0, 2.0)] {
            let scenario = scenario(history, live);
            assert_eq!(scenario.labels().len(), scenario.incidents.len());
            assert!(
                scenario
                    .labels()
                    .iter()
                    .all(|label| label.start < label.end)
            );
            Feed::new(&scenario, 1).unwrap();
        }
        assert_eq!(scenario(14.0, 1.0).incidents.len(), 9);
    }
}
