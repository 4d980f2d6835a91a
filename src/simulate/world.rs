//! Who lives in a feed: hosts, users and services, how busy each is, and what its answers are like.
//!
//! Frequencies are Zipf-like (the k-th busiest has weight k^-s): a few users and services make most of the traffic, hosts behind a
//! load balancer are nearly even. Medians are milliseconds and bytes.

use super::draw::{Draw, Weights};
use super::incident::Entity;
use super::scenario::{Scenario, ScenarioError, wrong};

const HOST_EXPONENT: f64 = 0.2;
const USER_EXPONENT: f64 = 0.8;
const SERVICE_EXPONENT: f64 = 0.7;
/// Medians of the services, in the order of the scenario's list; repeated when it is longer.
const SERVICE_MEDIANS: [(f64, f64); 6] = [
    (45.0, 9_000.0),
    (30.0, 14_000.0),
    (22.0, 60_000.0),
    (35.0, 3_000.0),
    (28.0, 2_500.0),
    (90.0, 4_000.0),
];
const NAMES: [&str; 26] = [
    "ada", "ben", "cleo", "dan", "eva", "finn", "gia", "hal", "ivo", "jo", "kim", "leo", "mia",
    "noa", "ole", "pia", "quin", "ria", "sam", "tea", "uma", "vic", "wim", "xia", "yan", "zoe",
];

/// Which part of the world an incident concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Everywhere,
    Host(usize),
    User(usize),
    Service(usize),
}

/// The entities of a feed.
pub struct World {
    pub(super) hosts: Vec<String>,
    pub(super) users: Vec<String>,
    pub(super) services: Vec<String>,
    /// The address that each user comes from.
    pub(super) addresses: Vec<String>,
    pub(super) host_weights: Weights,
    pub(super) user_weights: Weights,
    pub(super) service_weights: Weights,
    /// How much slower than usual a host is, as a ratio.
    pub(super) host_slowness: Vec<f64>,
    /// How much more than usual a user fetches, as a ratio.
    pub(super) user_appetite: Vec<f64>,
}

impl World {
    /// The world of a checked scenario.
    pub(super) fn new(scenario: &Scenario, draw: &mut Draw) -> World {
        let users = 0..scenario.users;
        World {
            hosts: (1..=scenario.hosts)
                .map(|n| format!("web-{n:02}"))
                .collect(),
            users: users.clone().map(user_name).collect(),
            services: scenario.services.clone(),
            addresses: users
                .clone()
                .map(|n| format!("10.{}.{}.{}", n >> 16, (n >> 8) & 255, n & 255))
                .collect(),
            host_weights: Weights::zipf(scenario.hosts, HOST_EXPONENT),
            user_weights: Weights::zipf(scenario.users, USER_EXPONENT),
            service_weights: Weights::zipf(scenario.services.len(), SERVICE_EXPONENT),
            host_slowness: (0..scenario.hosts)
                .map(|_| draw.log_normal(1.0, 0.08))
                .collect(),
            user_appetite: users.map(|_| draw.log_normal(1.0, 0.25)).collect(),
        }
    }

    /// Median latency (milliseconds) and bytes of a service's answers.
    pub(super) fn medians(&self, service: usize) -> (f64, f64) {
        SERVICE_MEDIANS[service % SERVICE_MEDIANS.len()]
    }

    /// The share of all events that a place has, 0 to 1.
    pub(super) fn share(&self, place: Place) -> f64 {
        match place {
            Place::Everywhere => 1.0,
            Place::Host(index) => self.host_weights.share(index),
            Place::User(index) => self.user_weights.share(index),
            Place::Service(index) => self.service_weights.share(index),
        }
    }

    /// Where an entity is; `path` is for the error.
    pub(super) fn find(&self, entity: Option<&Entity>, path: &str) -> Result<Place, ScenarioError> {
        let Some(entity) = entity else {
            return Ok(Place::Everywhere);
        };
        let (names, place): (_, fn(usize) -> Place) = match entity.field.as_str() {
            "host.name" => (&self.hosts, Place::Host),
            "user.name" => (&self.users, Place::User),
            "service.name" => (&self.services, Place::Service),
            other => {
                return Err(wrong(
                    path,
                    format!("\"{other}\""),
                    "host.name, user.name or service.name",
                ));
            }
        };
        let expected = || match (names.first(), names.last()) {
            (Some(first), Some(last)) if names.len() > 1 => {
                format!("one of the {} from \"{first}\" to \"{last}\"", names.len())
            }
            _ => format!("\"{}\", the only one", names[0]),
        };
        names
            .iter()
            .position(|name| *name == entity.value)
            .map(place)
            .ok_or_else(|| {
                wrong(
                    path,
                    format!("{} \"{}\"", entity.field, entity.value),
                    &expected(),
                )
            })
    }
}

fn user_name(index: usize) -> String {
    let name = NAMES[index % NAMES.len()];
    match index / NAMES.len() {
        0 => name.to_owned(),
        round => format!("{name}{round}"),
    }
}
