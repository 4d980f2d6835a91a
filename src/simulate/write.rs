//! Events as text: ECS fields as NDJSON (nested, as Beats write them, or with dotted keys) or CSV. About 230 bytes an event.
//!
//! Names need no escaping: the world makes them, and a scenario's service names are plain by `Scenario::check`.

use super::feed::SimulatedEvent;
use super::world::World;
use std::io::Write;

/// How events are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventFormat {
    /// One JSON object a line, fields nested: `{"host":{"name":"web-01"}}`.
    Ndjson,
    /// One JSON object a line, keys dotted: `{"host.name":"web-01"}`.
    Dotted,
    /// Comma-separated values, dotted names in the header.
    Csv,
}

impl EventFormat {
    /// A writer of events in this format.
    pub fn writer(self) -> EventWriter {
        EventWriter {
            format: self,
            day: i64::MIN,
            date: String::new(),
        }
    }

    /// What a file begins with.
    pub fn header(self) -> &'static str {
        match self {
            EventFormat::Csv => {
                "@timestamp,host.name,user.name,service.name,http.request.method,http.response.status_code,\
                 http.response.bytes,latency_ms,source.ip\n"
            }
            EventFormat::Ndjson | EventFormat::Dotted => "",
        }
    }
}

/// Writes events; remembers the date of the last one.
pub struct EventWriter {
    format: EventFormat,
    day: i64,
    date: String,
}

impl EventWriter {
    /// Appends one event and a line end.
    pub fn write(&mut self, world: &World, event: &SimulatedEvent, to: &mut Vec<u8>) {
        let day = event.time.0.div_euclid(86_400_000);
        if day != self.day {
            self.day = day;
            self.date = chrono::DateTime::from_timestamp(day * 86_400, 0)
                .expect("a feed lies within the years 1 to 9999")
                .format("%Y-%m-%d")
                .to_string();
        }
        let ms = event.time.0.rem_euclid(86_400_000);
        let (hour, minute, second, ms) =
            (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000);
        let date = &self.date;
        let (host, user) = (&world.hosts[event.host], &world.users[event.user]);
        let (service, ip) = (&world.services[event.service], &world.addresses[event.user]);
        let SimulatedEvent {
            method,
            status,
            bytes,
            ..
        } = event;
        let (whole, tenth) = (event.latency_tenths / 10, event.latency_tenths % 10);
        let written = match self.format {
            EventFormat::Ndjson => writeln!(
                to,
                "{{\"@timestamp\":\"{date}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z\",\"host\":{{\"name\":\"{host}\"}},\
                 \"user\":{{\"name\":\"{user}\"}},\"service\":{{\"name\":\"{service}\"}},\
                 \"http\":{{\"request\":{{\"method\":\"{method}\"}},\
                 \"response\":{{\"status_code\":{status},\"bytes\":{bytes}}}}},\
                 \"latency_ms\":{whole}.{tenth},\"source\":{{\"ip\":\"{ip}\"}}}}"
            ),
            EventFormat::Dotted => writeln!(
                to,
                "{{\"@timestamp\":\"{date}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z\",\"host.name\":\"{host}\",\
                 \"user.name\":\"{user}\",\"service.name\":\"{service}\",\"http.request.method\":\"{method}\",\
                 \"http.response.status_code\":{status},\"http.response.bytes\":{bytes},\
                 \"latency_ms\":{whole}.{tenth},\"source.ip\":\"{ip}\"}}"
            ),
            EventFormat::Csv => writeln!(
                to,
                "{date}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z,{host},{user},{service},{method},{status},{bytes},\
                 {whole}.{tenth},{ip}"
            ),
        };
        written.expect("a vector takes every byte");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::{Feed, Scenario};

    #[test]
    fn the_three_formats_say_the_same() {
        let scenario = Scenario::from_yaml("{days: 0.01, rate: 0.1}").unwrap();
        let mut feed = Feed::new(&scenario, 1).unwrap();
        let event = feed.next().unwrap();
        let text = |format: EventFormat| {
            let mut bytes = Vec::new();
            format.writer().write(feed.world(), &event, &mut bytes);
            String::from_utf8(bytes).unwrap()
        };
        let nested: serde_json::Value = serde_json::from_str(&text(EventFormat::Ndjson)).unwrap();
        let dotted: serde_json::Value = serde_json::from_str(&text(EventFormat::Dotted)).unwrap();
        let csv = text(EventFormat::Csv);
        let header = EventFormat::Csv.header();
        assert_eq!(header.split(',').count(), csv.split(',').count());
        for (name, cell) in header.trim().split(',').zip(csv.trim().split(',')) {
            let pointer = format!("/{}", name.replace('.', "/"));
            let found = nested
                .pointer(&pointer)
                .unwrap_or_else(|| panic!("{name} is missing"));
            assert_eq!(Some(found), dotted.get(name));
            assert_eq!(found.to_string().trim_matches('"'), cell);
        }
    }
}
