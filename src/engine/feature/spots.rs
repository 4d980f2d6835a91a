//! Where on a clock or on the globe the events of a series were, in cells: what `time_of_day`, `time_of_week` and `lat_long` gather.
//!
//! Units: times are seconds since the day's or the week's beginning, in cells of five or ten minutes; a week begins on Thursday at 00:00, as the epoch does.
//! Positions are 10^-7 degrees (11 mm), in cells of a tenth of a degree. Of each cell the smallest spot is kept, so that what a result names is an event's own time or
//! position. Beyond [`CELLS_MAX`] cells those with the smallest keys stand for all (bottom-k sampling, as in `numerics::text_set`; cells are numbered without a pattern).
//! Holds: the state is a function of the set of spots alone: order, repetition, grouping and merging do not show in it.
//! Checked: tests below, tests/engine.

use crate::engine::event::Value;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Cells of a series in a bucket at the most.
const CELLS_MAX: usize = 512;
const DAY_S: i64 = 86_400;
const WEEK_S: i64 = 7 * DAY_S;
const DAY_CELL_S: i64 = 300;
const WEEK_CELL_S: i64 = 600;
/// Of a degree: units of a position, and those in a cell.
const UNITS: f64 = 1e7;
const CELL_UNITS: i32 = 1_000_000;
const LATITUDE_MAX: f64 = 90.0;
const LONGITUDE_MAX: f64 = 180.0;
/// Two longitudes of one place, the second of which is written as the first.
const ANTIMERIDIAN: i32 = 1_800_000_000;

/// Which spots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ground {
    /// Seconds of the day.
    Day,
    /// Seconds of the week.
    Week,
    /// Latitude and longitude.
    Globe,
}

/// A time as `(seconds, 0)`, or a position as latitude and longitude in 10^-7 degrees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Spot(pub i32, pub i32);

impl Spot {
    /// The second of the day, and of the week, that a wall shows so many seconds after its own epoch.
    pub fn times(wall_seconds: i64) -> [Spot; 2] {
        [DAY_S, WEEK_S].map(|period| Spot(wall_seconds.rem_euclid(period) as i32, 0))
    }

    /// A position in degrees; `None` when there is none such. At the poles all longitudes are one.
    pub fn position(latitude: f64, longitude: f64) -> Option<Spot> {
        // What is no number is within nothing.
        if !(latitude.abs() <= LATITUDE_MAX && longitude.abs() <= LONGITUDE_MAX) {
            return None;
        }
        let units = |degrees: f64| (degrees * UNITS).round() as i32;
        let longitude = match units(longitude) {
            _ if latitude.abs() == LATITUDE_MAX => 0,
            ANTIMERIDIAN => -ANTIMERIDIAN,
            other => other,
        };
        Some(Spot(units(latitude), longitude))
    }

    /// The position that a value spells: `"lat,lon"`, `"POINT (lon lat)"`, or `[lon, lat]`, as Elastic reads its geo points.
    pub(crate) fn read(value: &Value<'_>) -> Option<Spot> {
        match value {
            Value::Text(text) => Spot::read_text(text),
            Value::List(list) => match &list[..] {
                [Value::Text(text), ..] => Spot::read_text(text),
                [longitude, latitude] | [longitude, latitude, _] => {
                    Spot::position(latitude.number()?, longitude.number()?)
                }
                _ => None,
            },
            _ => None,
        }
    }

    fn read_text(text: &str) -> Option<Spot> {
        let text = text.trim();
        let number = |part: &str| part.trim().parse::<f64>().ok();
        if let Some((latitude, longitude)) = text.split_once(',') {
            return Spot::position(number(latitude)?, number(longitude)?);
        }
        let inner = text.strip_prefix("POINT")?.trim_start();
        let inner = inner.strip_prefix('(')?.strip_suffix(')')?.trim();
        let (longitude, latitude) = inner.split_once(' ')?;
        Spot::position(number(latitude)?, number(longitude)?)
    }

    /// Latitude and longitude in degrees, or the second of the day or week and 0.
    pub fn value(self, ground: Ground) -> (f64, f64) {
        match ground {
            Ground::Day | Ground::Week => (f64::from(self.0), 0.0),
            Ground::Globe => (f64::from(self.0) / UNITS, f64::from(self.1) / UNITS),
        }
    }
}

impl Ground {
    /// Seconds until a clock is where it was; 0 on the globe.
    pub fn period_s(self) -> f64 {
        match self {
            Ground::Day => DAY_S as f64,
            Ground::Week => WEEK_S as f64,
            Ground::Globe => 0.0,
        }
    }

    /// The key of the cell that a spot is in. Neighbours' keys have nothing to do with each other, so that the smallest ones are a sample.
    fn key(self, spot: Spot) -> u32 {
        let cell = match self {
            Ground::Day => i64::from(spot.0) / DAY_CELL_S,
            Ground::Week => i64::from(spot.0) / WEEK_CELL_S,
            Ground::Globe => {
                let [row, column] =
                    [spot.0, spot.1].map(|one| i64::from(one.div_euclid(CELL_UNITS)));
                row * 10_000 + column
            }
        };
        // Odd, so that no two cells have one key; 2^32 over the golden ratio.
        (cell as u32).wrapping_mul(0x9e37_79b1)
    }
}

/// The cells in which a series was.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written")]
pub struct Spots {
    /// By key: the smallest spot in the cell.
    cells: BTreeMap<u32, Spot>,
    /// What was not kept: every cell whose key is at least this.
    cut: Option<u32>,
}

impl Spots {
    /// Adds one.
    pub fn insert(&mut self, ground: Ground, spot: Spot) {
        self.keep(ground.key(spot), spot);
        self.shrink();
    }

    /// Adds all of another.
    pub(crate) fn merge(&mut self, other: &Spots) {
        if let Some(cut) = other
            .cut
            .filter(|&cut| self.cut.is_none_or(|own| cut < own))
        {
            self.cut = Some(cut);
            self.cells.split_off(&cut);
        }
        for (&key, &spot) in &other.cells {
            self.keep(key, spot);
        }
        self.shrink();
    }

    /// The spots, one a cell: the same order for the same spots.
    pub fn iter(&self) -> impl Iterator<Item = Spot> {
        self.cells.values().copied()
    }

    /// Whether it was in the cell of this spot.
    pub fn is_at(&self, ground: Ground, spot: Spot) -> bool {
        self.cells.contains_key(&ground.key(spot))
    }

    fn keep(&mut self, key: u32, spot: Spot) {
        if self.cut.is_none_or(|cut| key < cut) {
            let known = self.cells.entry(key).or_insert(spot);
            *known = spot.min(*known);
        }
    }

    fn shrink(&mut self) {
        while self.cells.len() > CELLS_MAX
            && let Some((key, _)) = self.cells.pop_last()
        {
            self.cut = Some(key);
        }
    }
}

/// As it is written.
#[derive(Deserialize)]
struct Written {
    cells: BTreeMap<u32, Spot>,
    cut: Option<u32>,
}

impl TryFrom<Written> for Spots {
    type Error = &'static str;

    fn try_from(Written { cells, cut }: Written) -> Result<Spots, &'static str> {
        let last = cells.last_key_value().map(|(&key, _)| key);
        if cells.len() > CELLS_MAX || (cut.is_some() && last >= cut) {
            return Err("more cells than are kept");
        }
        Ok(Spots { cells, cut })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn positions_are_read_as_elastic_writes_them_and_what_is_none_is_refused() {
        let text = |text: &str| Spot::read(&Value::Text(text.to_owned().into()));
        let berlin = Some(Spot(525_000_000, 134_000_000));
        for spelled in [
            "52.5,13.4",
            " 52.5 , 13.4 ",
            "POINT (13.4 52.5)",
            "POINT(13.4 52.5)",
        ] {
            assert_eq!(text(spelled), berlin, "{spelled}");
        }
        let pair = Value::List(vec![Value::Float(13.4), Value::Float(52.5)]);
        assert_eq!(Spot::read(&pair), berlin);
        let texts = Value::List(vec![
            Value::Text("52.5,13.4".into()),
            Value::Text("0,0".into()),
        ]);
        assert_eq!(Spot::read(&texts), berlin);
        assert_eq!(text("90,77"), text("90,-180"), "one pole");
        assert_eq!(text("-90,77"), text("-90,0"));
        assert_eq!(text("12,180"), text("12,-180"), "one meridian");
        assert_eq!(text("-0,0"), text("0,-0"));
        for hostile in [
            "",
            ",",
            "nan,1",
            "1,NaN",
            "inf,0",
            "90.0000001,0",
            "0,180.1",
            "1e300,0",
            "52.5",
            "52.5,13.4,9",
            "north,east",
            "POINT (13.4)",
            "POINT (13.4 52.5",
            "POINT EMPTY",
            "0x10,1",
        ] {
            assert_eq!(text(hostile), None, "{hostile}");
        }
        for value in [
            Value::Missing,
            Value::Bool(true),
            Value::Int(5),
            Value::List(vec![Value::Int(1)]),
        ] {
            assert_eq!(Spot::read(&value), None, "{value:?}");
        }
    }

    #[test]
    fn a_day_begins_at_midnight_and_a_week_on_thursday() {
        // 2024-01-01 was a Monday: four days after a Thursday.
        let monday = 1_704_067_200;
        assert_eq!(
            Spot::times(monday + 61),
            [Spot(61, 0), Spot(4 * 86_400 + 61, 0)]
        );
        assert_eq!(Spot::times(-1), [Spot(86_399, 0), Spot(604_799, 0)]);
    }

    fn of(spots: &[Spot]) -> Spots {
        let mut all = Spots::default();
        spots
            .iter()
            .for_each(|&spot| all.insert(Ground::Globe, spot));
        all
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn the_state_is_a_function_of_the_set(
            positions in prop::collection::vec((-90.0..=90.0f64, -180.0..=180.0f64), 0..1_500), parts in 1usize..5, seed in any::<u64>()
        ) {
            let spots: Vec<Spot> =
                positions.iter().filter_map(|&(lat, lon)| Spot::position(lat, lon)).collect();
            prop_assert_eq!(spots.len(), positions.len());
            let whole = of(&spots);
            let mut shares: Vec<Vec<Spot>> = vec![Vec::new(); parts];
            for (at, &spot) in spots.iter().enumerate() {
                shares[(seed.rotate_left(at as u32) as usize) % parts].push(spot);
            }
            let mut merged = of(&shares[0]);
            shares[1..].iter().rev().for_each(|share| merged.merge(&of(share)));
            prop_assert_eq!(&merged, &whole);
            let bytes = postcard::to_stdvec(&whole).unwrap();
            prop_assert_eq!(postcard::from_bytes::<Spots>(&bytes).unwrap(), whole);
        }

        #[test]
        fn no_text_makes_a_panic(text in ".*") {
            let _ = Spot::read(&Value::Text(text.into()));
        }
    }
}
