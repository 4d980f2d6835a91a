//! What an event says, field by field, read once for all detectors.
//!
//! Numbers are parsed, texts hashed and made symbols only where some detector or influencer asks for it. Rules (functions.md 2.9): texts
//! by [`Value::text`], numbers by [`Value::number`]; a very long text goes by a [`name_of`] its own; an empty text is a missing value, for splits, influencers and distinct counts
//! alike; of an array the first element is the value, and each distinct element an influencer value. Reading an event whose texts are
//! known allocates nothing.

use super::{FeatureSpec, Layout, Spot, Statistic};
use crate::config::{FieldId, Job};
use crate::engine::event::symbols::{EMPTY, Symbol, Symbols, hash_of};
use crate::engine::event::{Event, Value};
use crate::time::Zone;
use std::borrow::Cow;
use std::sync::Arc;

/// One field of the event at hand.
#[derive(Clone, Copy, Default)]
pub(crate) struct Reading {
    /// The number; only of fields that a statistic of numbers reads.
    pub(crate) number: Option<f64>,
    /// The hash of the text; only of fields that are split by, counted distinct, or influencers.
    pub(crate) hash: Option<u64>,
    /// The text's symbol; only of fields that are split by, or influencers.
    pub(crate) symbol: Option<Symbol>,
}

/// What a field is read for.
#[derive(Clone, Copy, Default)]
struct Role {
    number: bool,
    text: bool,
    /// The text itself, not only its hash.
    whole: bool,
    symbol: bool,
}

/// The symbols of whole numbers met of late, by number: status codes and ids are then neither written out nor hashed. A place is
/// taken over by the next number that falls on it.
struct Wholes([Whole; WHOLES]);

#[derive(Clone, Copy)]
struct Whole {
    number: i64,
    hash: u64,
    /// `EMPTY`: nothing stands here, for no number's text is empty.
    symbol: Symbol,
}

const WHOLES: usize = 64;

/// The longest text that is a name, bytes. ECS indexes no keyword that is longer (`ignore_above: 1024`); and results say a name several times, in messages of a
/// million bytes at the most.
const NAME_BYTES_MAX: usize = 1024;
/// Of a longer one's name: what is not its beginning.
const NAME_END_BYTES: usize = "… #0123456789abcdef".len();

/// What a text that splits, or influences, is called: itself; if very long, its beginning and the hash of the whole, so that long texts are told apart.
#[inline]
fn name_of(text: &str) -> Cow<'_, str> {
    match text.len() <= NAME_BYTES_MAX {
        true => Cow::Borrowed(text),
        false => Cow::Owned(short_name(text)),
    }
}

#[cold]
fn short_name(text: &str) -> String {
    let mut end = NAME_BYTES_MAX - NAME_END_BYTES;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}… #{:016x}", &text[..end], hash_of(text))
}

impl Wholes {
    fn new() -> Wholes {
        Wholes(
            [Whole {
                number: 0,
                hash: 0,
                symbol: EMPTY,
            }; WHOLES],
        )
    }

    #[inline]
    fn place(&mut self, number: i64) -> &mut Whole {
        // The upper bits of the product with 2^64 over the golden ratio.
        let at = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58;
        &mut self.0[at as usize]
    }
}

/// Reads events of one job.
pub(crate) struct Reader {
    /// The fields that are read, with what for.
    plan: Vec<(FieldId, Role)>,
    /// By field; for those with a symbol role.
    symbols: Vec<Option<Symbols>>,
    /// By field; empty for those without a symbol role.
    wholes: Vec<Option<Box<Wholes>>>,
    /// Influencers whose values are wanted, with their fields.
    influencers: Vec<(u16, FieldId)>,
    /// The event at hand, by field.
    readings: Vec<Reading>,
    /// The field whose value is not the event's but the category of its message.
    category_field: Option<FieldId>,
    /// The influencer values of the event at hand, in the order of the influencers, each once.
    influences: Vec<(u16, Symbol)>,
    scratch: String,
    /// By field: the text of the event at hand, where it is wanted itself.
    texts: Vec<String>,
    /// On which walls the time is read, where some detector asks when.
    zone: Option<Zone>,
    /// The second of the day, and of the week.
    times: [Spot; 2],
    /// Fields that hold positions, and the two that hold their halves where they are objects.
    positions: Vec<(FieldId, Option<[FieldId; 2]>)>,
    /// By field: the position.
    places: Vec<Option<Spot>>,
    /// Positions that were found in the halves, less those that were none.
    places_made: i64,
    /// Values of the event at hand that are there and are no number or position, where one is asked for.
    unreadable: u64,
}

impl Reader {
    /// A reader that knows no text.
    pub(crate) fn new(job: &Job, layout: &Layout) -> Reader {
        let mut roles = vec![Role::default(); job.fields.len()];
        let mut influencers: Vec<(u16, FieldId)> = Vec::new();
        for group in &layout.groups {
            let shared = group.shared_influencers.iter();
            influencers.extend(shared.map(|&i| (i, job.influencers[usize::from(i)])));
            for field in [group.by, group.over, group.partition]
                .into_iter()
                .flatten()
            {
                roles[usize::from(field.0)].symbol = true;
            }
            for feature in &group.features {
                match (feature.field, feature.statistic) {
                    (Some(_), Statistic::LatLong) => {}
                    (None, _) | (_, Statistic::Count) => {}
                    (Some(field), Statistic::Distinct) => roles[usize::from(field.0)].text = true,
                    (Some(field), Statistic::Info) => {
                        let role = &mut roles[usize::from(field.0)];
                        (role.text, role.whole) = (true, true);
                    }
                    (Some(field), _) => roles[usize::from(field.0)].number = true,
                }
            }
        }
        influencers.sort_unstable();
        influencers.dedup();
        for (_, field) in &influencers {
            roles[usize::from(field.0)].symbol = true;
        }
        let wanted = |role: &Role| role.number || role.text || role.symbol;
        Reader {
            plan: (0u16..)
                .map(FieldId)
                .zip(roles.iter().copied())
                .filter(|(_, role)| wanted(role))
                .collect(),
            symbols: roles
                .iter()
                .map(|role| role.symbol.then(Symbols::new))
                .collect(),
            wholes: roles
                .iter()
                .map(|role| role.symbol.then(|| Box::new(Wholes::new())))
                .collect(),
            influencers,
            readings: vec![Reading::default(); job.fields.len()],
            category_field: job.categorization.as_ref().map(|one| one.category_field),
            influences: Vec::new(),
            scratch: String::new(),
            texts: vec![String::new(); job.fields.len()],
            zone: is_asked(layout, &[Statistic::TimeOfDay, Statistic::TimeOfWeek])
                .then_some(job.extensions.time_zone),
            times: [Spot(0, 0); 2],
            positions: job.position_fields().collect(),
            places: vec![None; job.fields.len()],
            places_made: 0,
            unreadable: 0,
        }
    }

    /// Reads an event whose message, if the job has such, is of `category`; its texts count as used in `epoch`.
    pub(crate) fn read(&mut self, event: &Event<'_>, category: &Value<'static>, epoch: u64) {
        let category_field = self.category_field;
        let value_of = |field: FieldId| match category_field {
            Some(category_field) if category_field == field => category,
            _ => event.value(field),
        };
        self.unreadable = 0;
        for &(field, role) in &self.plan {
            let at = usize::from(field.0);
            let value = value_of(field);
            let reading = &mut self.readings[at];
            if role.number {
                reading.number = value.number().filter(|x| x.is_finite());
                let is_there = !matches!(value, Value::Missing);
                self.unreadable += u64::from(reading.number.is_none() && is_there);
            }
            if !role.text && !role.symbol {
                continue;
            }
            if role.whole {
                let text = value.text(&mut self.scratch).unwrap_or_default();
                self.texts[at].clear();
                self.texts[at].push_str(text);
            }
            let mut symbols = self.symbols[at].as_mut();
            let mut whole = match (value, &mut self.wholes[at]) {
                (Value::Int(number), Some(wholes)) => Some((*number, wholes.place(*number))),
                _ => None,
            };
            if let (Some((number, whole)), Some(symbols)) = (&whole, &mut symbols)
                && whole.number == *number
                && whole.symbol != EMPTY
            {
                symbols.touch(whole.symbol, epoch);
                (reading.hash, reading.symbol) = (Some(whole.hash), Some(whole.symbol));
                continue;
            }
            let text = match value {
                Value::Text(text) => Some(&**text),
                value => value.text(&mut self.scratch),
            };
            (reading.hash, reading.symbol) = match text {
                Some(text) if !text.is_empty() => {
                    let hash = hash_of(text);
                    let symbol = symbols.map(|symbols| match name_of(text) {
                        Cow::Borrowed(text) => symbols.intern(text, hash, epoch),
                        Cow::Owned(name) => symbols.intern(&name, hash_of(&name), epoch),
                    });
                    if let (Some((number, place)), Some(symbol)) = (&mut whole, symbol) {
                        **place = Whole {
                            number: *number,
                            hash,
                            symbol,
                        };
                    }
                    (Some(hash), symbol)
                }
                _ => (None, None),
            };
        }
        self.read_spots(event);
        self.influences.clear();
        for &(influencer, field) in &self.influencers {
            let at = usize::from(field.0);
            match value_of(field) {
                Value::List(elements) => {
                    let symbols = self.symbols[at]
                        .as_mut()
                        .expect("influencer fields have symbols");
                    let first = self.influences.len();
                    for element in elements {
                        let text = element.text(&mut self.scratch).unwrap_or_default();
                        let name = name_of(text);
                        let symbol = symbols.intern(&name, hash_of(&name), epoch);
                        let influence = (influencer, symbol);
                        if symbol != EMPTY && !self.influences[first..].contains(&influence) {
                            self.influences.push(influence);
                        }
                    }
                }
                _ => {
                    let symbol = self.readings[at].symbol;
                    self.influences
                        .extend(symbol.map(|symbol| (influencer, symbol)));
                }
            }
        }
    }

    /// When and where, as far as anybody asks.
    fn read_spots(&mut self, event: &Event<'_>) {
        if let Some(zone) = self.zone {
            self.times = Spot::times(zone.wall_seconds(event.time));
        }
        self.places_made = 0;
        for &(field, halves) in &self.positions {
            let at = usize::from(field.0);
            self.places[at] = match (event.value(field), halves) {
                (Value::Missing, Some(halves)) => {
                    let halves = halves.map(|half| event.value(half));
                    let [latitude, longitude] = halves.map(|half| half.number());
                    let place = latitude.zip(longitude);
                    let place = place.and_then(|(lat, lon)| Spot::position(lat, lon));
                    self.places_made += i64::from(place.is_some());
                    let is_there = halves.iter().any(|half| !matches!(half, Value::Missing));
                    self.unreadable += u64::from(place.is_none() && is_there);
                    place
                }
                (Value::Missing, None) => None,
                (value, _) => {
                    let place = Spot::read(value);
                    self.places_made -= i64::from(place.is_none());
                    self.unreadable += u64::from(place.is_none());
                    place
                }
            };
        }
    }

    /// The event at hand, by field.
    #[inline]
    pub(crate) fn readings(&self) -> &[Reading] {
        &self.readings
    }

    /// When or where the event at hand was, by a feature that asks for that.
    #[inline]
    pub(crate) fn spot(&self, feature: &FeatureSpec) -> Option<Spot> {
        match (feature.statistic, feature.field) {
            (Statistic::TimeOfDay, _) => Some(self.times[0]),
            (Statistic::TimeOfWeek, _) => Some(self.times[1]),
            (_, field) => self.places[usize::from(field?.0)],
        }
    }

    /// How many fields of the event at hand that hold a position were not missing though they seemed to be (objects), less those that were though they did
    /// not (what is no position).
    #[inline]
    pub(crate) fn places_made(&self) -> i64 {
        self.places_made
    }

    /// How many values of the event at hand are there and are no number or position, where one is asked for.
    #[inline]
    pub(crate) fn unreadable(&self) -> u64 {
        self.unreadable
    }

    /// The text that the event at hand has in a field whose texts are read themselves.
    #[inline]
    pub(crate) fn whole_text(&self, field: FieldId) -> &str {
        &self.texts[usize::from(field.0)]
    }

    /// The influencer values of the event at hand, each once.
    #[inline]
    pub(crate) fn influences(&self) -> &[(u16, Symbol)] {
        &self.influences
    }

    /// The text of a symbol of a field that has symbols.
    pub(crate) fn text(&self, field: FieldId, symbol: Symbol) -> &Arc<str> {
        self.symbols[usize::from(field.0)]
            .as_ref()
            .expect("split and influencer fields have symbols")
            .text(symbol)
    }

    /// The symbol of a text of a field that has symbols.
    pub(crate) fn intern(&mut self, field: FieldId, text: &str, epoch: u64) -> Symbol {
        self.symbols[usize::from(field.0)]
            .as_mut()
            .expect("split and influencer fields have symbols")
            .intern(text, hash_of(text), epoch)
    }

    /// Finds the places of new texts among those of their fields.
    pub(crate) fn rank(&mut self) {
        self.symbols.iter_mut().flatten().for_each(Symbols::rank);
    }

    /// By symbol of a field that has symbols: the place of its text.
    pub(crate) fn ranks(&self, field: FieldId) -> Cow<'_, [u32]> {
        self.symbols[usize::from(field.0)]
            .as_ref()
            .expect("split and influencer fields have symbols")
            .ranks()
    }

    /// How many texts are known.
    pub(crate) fn len(&self) -> usize {
        self.symbols.iter().flatten().map(Symbols::len).sum()
    }

    /// Forgets the texts last used before epoch `horizon`.
    pub(crate) fn forget_before(&mut self, horizon: u64) {
        for symbols in self.symbols.iter_mut().flatten() {
            symbols.forget_before(horizon);
        }
        // Any of their symbols may stand for another text from now on.
        for wholes in self.wholes.iter_mut().flatten() {
            **wholes = Wholes::new();
        }
    }
}

fn is_asked(layout: &Layout, statistics: &[Statistic]) -> bool {
    let features = layout.groups.iter().flat_map(|group| &group.features);
    features
        .into_iter()
        .any(|feature| statistics.contains(&feature.statistic))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::EventTime;

    fn symbol_of(reader: &mut Reader, value: Value<'_>, epoch: u64) -> Option<Symbol> {
        let values = [value];
        let event = Event {
            time: EventTime(0),
            values: &values,
            raw_bytes: 0,
            raw_fields: 0,
        };
        reader.read(&event, &Value::Missing, epoch);
        reader.readings()[0].symbol
    }

    #[test]
    fn a_whole_number_is_its_text_whatever_was_met_and_forgotten_in_between() {
        let text = r#"{"job_id": "codes", "analysis_config": {"bucket_span": "10s",
            "detectors": [{"function": "count", "by_field_name": "code"}]}, "data_description": {"time_field": "time"}}"#;
        let job = Job::from_text(text, "codes").expect("a job");
        let mut reader = Reader::new(&job, &Layout::of(&job));
        let field = FieldId(0);
        assert_eq!(job.fields[0], "code");
        // Far more numbers than places, the smallest and the largest among them; each three times, so that places are found and lost.
        for round in 0..3u64 {
            for number in (-300..300).chain([i64::MIN, i64::MAX, 0, 0]) {
                let told = symbol_of(&mut reader, Value::Int(number), round).expect("a symbol");
                assert_eq!(**reader.text(field, told), *number.to_string());
                let text = Value::Text(number.to_string().into());
                assert_eq!(symbol_of(&mut reader, text, round), Some(told), "{number}");
            }
            // All but the empty text is forgotten, and other texts take the symbols.
            reader.forget_before(round + 1);
            assert_eq!(reader.len(), 1);
            symbol_of(&mut reader, Value::Text("another".into()), round);
        }
    }

    #[test]
    fn long_texts_are_told_apart_and_have_names_that_are_not_long() {
        let text = r#"{"job_id": "names", "analysis_config": {"bucket_span": "10s",
            "detectors": [{"function": "count"}], "influencers": ["name"]}, "data_description": {"time_field": "time"}}"#;
        let job = Job::from_text(text, "names").expect("a job");
        let mut reader = Reader::new(&job, &Layout::of(&job));
        let (field, mut told) = (FieldId(0), std::collections::BTreeSet::new());
        // Two bytes a letter: wherever the limit falls.
        for (length, ending) in [(512, ""), (512, "a"), (512, "b"), (900, "a"), (900, "b")] {
            let text = format!("{}{ending}", "é".repeat(length));
            let symbol = symbol_of(&mut reader, Value::Text(text.as_str().into()), 1);
            let name = Arc::clone(reader.text(field, symbol.expect("a symbol")));
            assert!(name.len() <= NAME_BYTES_MAX, "{}", name.len());
            assert_eq!(*name == *text, text.len() <= NAME_BYTES_MAX);
            // An array's element, a name that comes back from a snapshot, and a name itself are the same.
            let list = Value::List(vec![Value::Text("x".into()), Value::Text(text.into())]);
            symbol_of(&mut reader, list, 1);
            assert_eq!(Some(reader.influences()[1].1), symbol);
            assert_eq!(Some(reader.intern(field, &name, 1)), symbol);
            let again = Value::Text(name.to_string().into());
            assert_eq!(symbol_of(&mut reader, again, 1), symbol);
            told.insert(symbol);
        }
        assert_eq!(told.len(), 5, "each its own");
    }

    #[test]
    fn a_number_that_is_met_again_counts_as_used() {
        let text = r#"{"job_id": "codes", "analysis_config": {"bucket_span": "10s",
            "detectors": [{"function": "count", "by_field_name": "code"}]}, "data_description": {"time_field": "time"}}"#;
        let job = Job::from_text(text, "codes").expect("a job");
        let mut reader = Reader::new(&job, &Layout::of(&job));
        let first = symbol_of(&mut reader, Value::Int(404), 1);
        assert_eq!(symbol_of(&mut reader, Value::Int(404), 5), first);
        reader.forget_before(4);
        assert_eq!(reader.len(), 2, "the empty text and 404");
    }
}
