//! Local time: what clocks on the wall show in a zone of the IANA time zone database.
//!
//! The database is compiled in, so a build gives the same answers on every machine; a zone whose law changes is known by the next build. Checked: tests below.

use super::EventTime;
use chrono::Offset;
use chrono_tz::Tz;
use std::fmt;

/// A time zone.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Zone(Tz);

impl Zone {
    /// No offset, ever.
    pub const UTC: Zone = Zone(Tz::UTC);

    /// The zone of this name, such as `Europe/Berlin`; `None` when there is none.
    pub fn from_name(name: &str) -> Option<Zone> {
        name.parse().ok().map(Zone)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// Every name that `from_name` knows.
    pub fn names() -> impl Iterator<Item = &'static str> + Clone {
        chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name())
    }

    /// What the clock on the wall shows, as seconds since 1970-01-01 00:00 on that wall; a fraction of a second is cut off.
    pub fn wall_seconds(self, time: EventTime) -> i64 {
        let seconds = time.millis().div_euclid(1000);
        if self == Zone::UTC {
            return seconds;
        }
        let Some(utc) = chrono::DateTime::from_timestamp(seconds, 0) else {
            return seconds;
        };
        let offset = chrono::TimeZone::offset_from_utc_datetime(&self.0, &utc.naive_utc());
        seconds + i64::from(offset.fix().local_minus_utc())
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2024-03-31 and 2024-10-27, when clocks in Berlin were put forward and back at 01:00 UTC.
    #[test]
    fn walls_follow_summer_time() {
        let berlin = Zone::from_name("Europe/Berlin").expect("a zone");
        let wall = |utc_s: i64| berlin.wall_seconds(EventTime(utc_s * 1000 + 999)) % 86_400;
        let (spring, autumn) = (1_711_846_800, 1_729_990_800);
        assert_eq!([wall(spring - 1), wall(spring)], [7_199, 3 * 3_600]);
        assert_eq!([wall(autumn - 1), wall(autumn)], [10_799, 2 * 3_600]);
        assert_eq!(Zone::UTC.wall_seconds(EventTime(-1)), -1);
        assert_eq!(Zone::from_name("Europe/Atlantis"), None);
        assert!(Zone::names().count() > 400);
        for end in [EventTime::MIN, EventTime::MAX] {
            let apart = berlin.wall_seconds(end) - end.millis().div_euclid(1000);
            assert!((0..=7_200).contains(&apart), "{apart}");
        }
    }
}
