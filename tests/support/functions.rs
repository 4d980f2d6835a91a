//! Every function of the specification in a simulated world of its own: how well it keeps its chances, how often it cries wolf, and whether it finds what is planted.
//!
//! *Chances* are those of the function's model (series, crowd, presences, habit) for data that follow it, each judged before it is learnt. *False alarms* and what is
//! *planted* are what a whole job says: events in, records out. Units: chances as ln p; scores 0 to 100. Every figure is a function of the seeds.

use super::crowds::{BUCKET_MS, BUCKETS_A_DAY, START_MS, normal, poisson};
use super::random::Random;
use std::collections::BTreeSet;
use std::sync::Arc;
use tidewatch::config::{Family, Function, Job, Side};
use tidewatch::engine::event::{Event, Value};
use tidewatch::engine::feature::{Ground, Spot};
use tidewatch::engine::gatherer::Input;
use tidewatch::engine::model::crowd::{Crowd, Shown};
use tidewatch::engine::model::habit::Habit;
use tidewatch::engine::model::oddity::Oddities;
use tidewatch::engine::model::presence::Presences;
use tidewatch::engine::model::{Kind, Law, Model, Room, Sample, SeriesModel};
use tidewatch::engine::pipeline::{Output, Pipeline};
use tidewatch::engine::result::{Body, Record};
use tidewatch::numerics::TextSet;
use tidewatch::time::{BucketSpan, BucketStart, EventTime, Finality};

/// Levels that chances are held against.
pub const LEVELS: [f64; 3] = [0.1, 0.01, 0.001];
/// Events of a series, or of a member that is there, in a bucket.
const RATE: f64 = 12.0;
const LEVEL: f64 = 100.0;
const DEVIATION: f64 = 10.0;
/// How far what is planted is off, and how many times as much it is.
const OFF: f64 = 60.0;
const TIMES: f64 = 5.0;
/// Buckets that an outage, or a lack, lasts.
const LACK_BUCKETS: i64 = 12;

/// How much is simulated.
#[derive(Clone, Copy)]
pub struct Size {
    /// Series of their own past; and members of a population.
    pub series: usize,
    pub members: usize,
    pub days: i64,
    /// Values (or buckets) whose chances are taken, after as many as a half of them were learnt.
    pub chances: usize,
    pub seed: u64,
}

/// A function, against its own past or over a population.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Case {
    pub function: Function,
    pub over: bool,
}

/// What a whole job has said of a world.
#[derive(Default)]
pub struct Heard {
    /// Series (or members) in buckets.
    pub judged: usize,
    /// Records of 75 and more on what was not planted, in the whole life.
    pub alarms: usize,
    /// The highest first score of a record on what was planted, and whether none was higher.
    pub score: Option<f64>,
    pub is_highest: bool,
}

/// All functions, and all of them that go over a population.
pub fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for name in Function::names() {
        let Some(function) = Function::from_name(name) else {
            continue;
        };
        let family = function.family;
        let alone = family != Family::FreqRare;
        let over = !matches!(family, Family::NonZeroCount | Family::NonNullSum);
        for (over, is_allowed) in [(false, alone), (true, over)] {
            let case = Case { function, over };
            // Names for the same are one.
            let is_same = |one: &Case| {
                let alike = |one: &Case| (one.function.family, one.function.side, one.over);
                alike(one) == alike(&case)
            };
            let is_known = cases.iter().any(is_same);
            if is_allowed && !is_known {
                cases.push(case);
            }
        }
    }
    cases
}

/// How many of these ln p are below each of the levels, as a share.
pub fn shares(ln_ps: &[f64]) -> [f64; 3] {
    LEVELS.map(|level| {
        let below = ln_ps.iter().filter(|&&ln_p| ln_p < level.ln()).count();
        below as f64 / ln_ps.len().max(1) as f64
    })
}

/// A part of the day, −1 to 1: what follows the hours follows this.
fn wave(bucket: i64) -> f64 {
    (std::f64::consts::TAU * bucket as f64 / BUCKETS_A_DAY as f64).sin()
}

/// A name as names are asked for: some often, many seldom.
fn name(random: &mut Random) -> String {
    let rank = (1.0 - random.unit()).powf(-1.1) as u64 % 5_000;
    format!("host-{rank}.example.com")
}

fn letters(random: &mut Random, count: usize) -> String {
    let letter = |_| char::from(b'a' + random.within(0, 26) as u8);
    (0..count).map(letter).collect()
}

fn span() -> BucketSpan {
    BucketSpan::from_seconds(BUCKET_MS / 1_000).expect("a span")
}

/// What an event says.
#[derive(Clone, Debug)]
struct Happening {
    offset_ms: i64,
    who: usize,
    value: f64,
    what: String,
    place: (f64, f64),
}

impl Case {
    pub fn name(&self) -> String {
        let over = if self.over { " over" } else { "" };
        format!("{}{over}", self.function.name())
    }

    fn family(&self) -> Family {
        self.function.family
    }

    fn is_rare(&self) -> bool {
        matches!(self.family(), Family::Rare | Family::FreqRare)
    }

    fn is_low(&self) -> bool {
        self.function.side == Side::Low
    }

    /// The chances that the function's model gives to values which follow it.
    pub fn chances(&self, size: &Size) -> Vec<f64> {
        match self.family() {
            Family::Rare | Family::FreqRare => presences(size),
            Family::TimeOfDay => habits(Ground::Day, self.over, size),
            Family::TimeOfWeek => habits(Ground::Week, self.over, size),
            Family::LatLong => habits(Ground::Globe, self.over, size),
            _ if self.over => self.crowd(size),
            _ => self.series(size),
        }
    }

    /// The sides and statistics that the function looks at: `metric` at three.
    fn statistics(&self) -> Vec<(Family, Side)> {
        match self.family() {
            Family::Metric => vec![
                (Family::Mean, Side::Both),
                (Family::Min, Side::Low),
                (Family::Max, Side::High),
            ],
            family => vec![(family, self.function.side)],
        }
    }

    fn series(&self, size: &Size) -> Vec<f64> {
        let mut ln_ps = Vec::new();
        for (family, side) in self.statistics() {
            let kind = Kind {
                side,
                counting: family.is_counting(),
                law: law_of(family),
                joined: family.is_counting(),
                span: span(),
            };
            let (mut model, mut random) = (SeriesModel::new(), Random::new(size.seed));
            for bucket in 0..(size.chances + size.chances / 2) as i64 {
                let events = poisson(&mut random, RATE * (1.0 + 0.4 * wave(bucket)));
                let Some(value) = statistic(family, events, 1.0, &mut random) else {
                    continue;
                };
                let sample = Sample {
                    at: EventTime(START_MS + bucket * BUCKET_MS + BUCKET_MS / 2),
                    value,
                    measurements: events as u64,
                };
                let verdict = model.judge(&kind, &sample);
                if bucket >= size.chances as i64 / 2 {
                    ln_ps.extend(verdict.map(|one| one.ln_single));
                }
                model.learn(&kind, &sample, verdict.as_ref(), &mut Room::unlimited());
            }
        }
        ln_ps
    }

    fn crowd(&self, size: &Size) -> Vec<f64> {
        let mut ln_ps = Vec::new();
        for (family, side) in self.statistics() {
            let mut random = Random::new(size.seed);
            let mut crowd = Crowd::new(BucketStart(START_MS));
            let members = size.members as i64;
            let buckets = (size.chances as i64 * 3 / 2 / members).max(60);
            for bucket in 0..buckets {
                let at = BucketStart(START_MS + bucket * BUCKET_MS);
                let mut values: Vec<f64> = (0..members)
                    .filter_map(|_| {
                        let events = poisson(&mut random, RATE * (1.0 + 0.4 * wave(bucket)));
                        (events > 0).then(|| statistic(family, events, 1.0, &mut random))?
                    })
                    .collect();
                values.sort_by(f64::total_cmp);
                if let Some(frame) = crowd.frame(&values, at, span())
                    && bucket >= buckets / 3
                {
                    ln_ps.extend(
                        values
                            .iter()
                            .map(|&value| frame.ln_probability(value, side)),
                    );
                }
                let shown = |&value: &f64| Shown {
                    value,
                    suspect: false,
                };
                let shown: Vec<Shown> = values.iter().map(shown).collect();
                crowd.learn(&shown, at, span());
            }
        }
        ln_ps
    }

    /// A job over such a world, in which something is planted in the last quarter; what it has said.
    pub fn heard(&self, size: &Size) -> Heard {
        // A record is said again when history makes its score another.
        let mut alarms = BTreeSet::new();
        let (mut heard, mut highest) = (Heard::default(), 0.0f64);
        heard.judged = self.listen(size, |bucket, record, is_planted| {
            let score = record.initial_record_score;
            if is_planted {
                heard.score = Some(heard.score.unwrap_or(0.0).max(score));
            } else {
                highest = highest.max(score);
                if score >= 75.0
                    && alarms.insert((bucket, record.by_field_value.clone(), named(record)))
                {
                    heard.alarms += 1;
                }
            }
        });
        heard.is_highest = heard.score.is_some_and(|score| score >= highest);
        heard
    }

    /// The same record by record: the bucket, what is said, and whether it is of what was planted. How many series (or members) in buckets were judged.
    pub fn listen(&self, size: &Size, mut hear: impl FnMut(i64, &Record, bool)) -> usize {
        let buckets = size.days * BUCKETS_A_DAY;
        let planted = buckets * 4 / 5 / BUCKETS_A_DAY * BUCKETS_A_DAY + self.planted_at();
        let lasts = match self.is_low() && !self.over {
            true => LACK_BUCKETS,
            false => 1,
        };
        let whose = 1;
        let mut random = Random::new(size.seed ^ 0xf0);
        let mut pipeline = Pipeline::new(self.job());
        let mut hear = |outputs: Vec<Output>| {
            for output in outputs {
                let Output::Result(document) = output else {
                    continue;
                };
                let bucket = (document.time.millis() - START_MS) / BUCKET_MS;
                let Body::Record(record) = document.body else {
                    continue;
                };
                let is_planted = (planted..planted + lasts + 2).contains(&bucket)
                    && named(&record) == format!("who-{whose}");
                hear(bucket, &record, is_planted);
            }
        };
        let fields = pipeline_fields(&self.job());
        let mut judged = 0;
        for bucket in 0..buckets {
            let mut events = self.usual(bucket, size, &mut random);
            if (planted..planted + lasts).contains(&bucket) {
                self.plant(whose, &mut events, &mut random);
            }
            events.sort_by_key(|one| (one.offset_ms, one.who));
            let mut there: Vec<usize> = events.iter().map(|one| one.who).collect();
            there.sort_unstable();
            there.dedup();
            judged += if self.over { there.len() } else { size.series };
            for one in events {
                let at = EventTime(START_MS + bucket * BUCKET_MS + one.offset_ms);
                let outputs =
                    one.with_event(at, &fields, |event| pipeline.handle(Input::Event(event)));
                hear(outputs);
            }
        }
        hear(pipeline.handle(Input::Flush(Finality::Final)));
        judged
    }

    fn job(&self) -> Arc<Job> {
        let family = self.family();
        let field = match family {
            Family::Count | Family::NonZeroCount | Family::Rare | Family::FreqRare => "",
            Family::TimeOfDay | Family::TimeOfWeek => "",
            Family::DistinctCount | Family::InfoContent => r#","field_name":"what""#,
            Family::LatLong => r#","field_name":"place""#,
            _ => r#","field_name":"value""#,
        };
        let splits = match (self.is_rare(), family.is_habit(), self.over) {
            (true, _, true) => r#","by_field_name":"what","over_field_name":"who""#,
            (true, _, false) => r#","by_field_name":"what","partition_field_name":"who""#,
            (_, _, true) => r#","over_field_name":"who""#,
            (_, true, false) => r#","by_field_name":"who""#,
            _ => r#","partition_field_name":"who""#,
        };
        let text = format!(
            r#"{{"job_id": "one", "data_description": {{"time_field": "time"}}, "analysis_config": {{"bucket_span": "15m",
                "detectors": [{{"function": "{}"{field}{splits}}}]}}}}"#,
            self.function.name()
        );
        Arc::new(Job::from_text(&text, "one").unwrap_or_else(|mistakes| panic!("{mistakes}")))
    }

    /// In which bucket of its day something is planted: at half past three in the night. Who comes around eleven, give or take two hours, does so by chance, at that time or as far
    /// from their own, in every sixth world of four such; at eleven in the night, twelve hours off, in none.
    fn planted_at(&self) -> i64 {
        if self.family().is_habit() { 92 } else { 14 }
    }

    /// Events of a series, or of a member that is there, in a bucket. A dozen names are one and the same, of a member of forty, every other day by chance: where that is what is planted,
    /// there are more.
    fn rate(&self) -> f64 {
        match self.over && self.is_low() && self.family() == Family::DistinctCount {
            true => 3.0 * RATE,
            false => RATE,
        }
    }

    /// What happens in a bucket as a rule.
    fn usual(&self, bucket: i64, size: &Size, random: &mut Random) -> Vec<Happening> {
        let mut events = Vec::new();
        let count = if self.over { size.members } else { size.series };
        for who in 0..count {
            if self.family().is_habit() {
                // By day, each around hours and from a place of its own.
                let hour = bucket.rem_euclid(BUCKETS_A_DAY) as f64 / 4.0;
                let middle = if self.over {
                    12.0
                } else {
                    10.0 + (who % 5) as f64
                };
                let rate = 0.4 * (-0.5 * ((hour - middle) / 2.0).powi(2)).exp();
                for _ in 0..poisson(random, rate) {
                    events.push(Happening::usual(who, random));
                }
                continue;
            }
            if self.is_rare() {
                // The rarest once in a hundred and a half buckets: where new ones came every other day, one more would be nothing new.
                events.extend((0..20).filter_map(|rank| {
                    let is_there = random.unit() < 0.5 * 0.8f64.powi(rank);
                    is_there.then(|| Happening {
                        what: format!("process-{rank}"),
                        ..Happening::usual(who, random)
                    })
                }));
                continue;
            }
            if self.over && random.unit() < 0.5 {
                continue;
            }
            for _ in 0..poisson(random, self.rate() * (1.0 + 0.4 * wave(bucket))) {
                events.push(Happening::usual(who, random));
            }
        }
        events
    }

    /// What is planted: as far off as a person would see it, on the side that counts.
    fn plant(&self, whose: usize, events: &mut Vec<Happening>, random: &mut Random) {
        let (low, is_many) = (self.is_low(), (self.rate() * TIMES) as usize);
        let more = |events: &mut Vec<Happening>, count: usize, random: &mut Random| {
            events.extend((0..count).map(|_| Happening::usual(whose, random)));
        };
        let sign = if low { -1.0 } else { 1.0 };
        match self.family() {
            Family::Sum | Family::Count if low && !self.over => {
                events.retain(|one| one.who != whose)
            }
            Family::Count | Family::NonZeroCount | Family::Sum | Family::NonNullSum => {
                events.retain(|one| one.who != whose);
                more(events, if low { 1 } else { is_many }, random);
            }
            Family::DistinctCount | Family::InfoContent if low => {
                events.retain(|one| one.who != whose);
                more(events, self.rate() as usize, random);
                let own = events.iter_mut().filter(|one| one.who == whose);
                own.for_each(|one| one.what = "same".to_owned());
            }
            Family::DistinctCount | Family::InfoContent => {
                let before = events.len();
                more(events, is_many, random);
                let new = &mut events[before..];
                new.iter_mut()
                    .for_each(|one| one.what = letters(random, 40));
            }
            Family::Min | Family::Max | Family::Mean | Family::Median | Family::Metric => {
                let sign = if self.family() == Family::Min {
                    -1.0
                } else {
                    sign
                };
                events.retain(|one| one.who != whose);
                more(events, self.rate() as usize, random);
                let own = events.iter_mut().filter(|one| one.who == whose);
                own.for_each(|one| one.value += sign * OFF);
            }
            Family::Varp => {
                events.retain(|one| one.who != whose);
                more(events, self.rate() as usize, random);
                let times = if low { 0.0 } else { TIMES };
                let own = events.iter_mut().filter(|one| one.who == whose);
                own.for_each(|one| one.value = LEVEL + times * (one.value - LEVEL));
            }
            Family::Rare | Family::FreqRare => {
                let before = events.len();
                more(
                    events,
                    if self.family() == Family::Rare { 1 } else { 20 },
                    random,
                );
                let new = &mut events[before..];
                new.iter_mut()
                    .for_each(|one| one.what = "implant".to_owned());
            }
            Family::TimeOfDay | Family::TimeOfWeek | Family::LatLong => {
                more(events, 1, random);
                if let Some(last) = events.last_mut() {
                    last.place = (-33.9, 151.2);
                }
            }
        }
    }
}

impl Happening {
    fn usual(who: usize, random: &mut Random) -> Happening {
        let home = [(52.5, 13.4), (48.1, 11.6), (51.5, -0.1)][who % 3];
        Happening {
            offset_ms: random.within(0, BUCKET_MS),
            who,
            value: LEVEL + DEVIATION * normal(random),
            what: name(random),
            place: (home.0 + 0.2 * normal(random), home.1 + 0.2 * normal(random)),
        }
    }

    fn with_event<T>(
        &self,
        time: EventTime,
        fields: &[String],
        take: impl FnOnce(&Event<'_>) -> T,
    ) -> T {
        let value = |field: &String| match field.as_str() {
            "who" => Value::Text(format!("who-{}", self.who).into()),
            "what" => Value::Text(self.what.as_str().into()),
            "value" => Value::Float(self.value),
            "place" => Value::Text(format!("{},{}", self.place.0, self.place.1).into()),
            _ => Value::Missing,
        };
        let values: Vec<Value<'_>> = fields.iter().map(value).collect();
        take(&Event {
            time,
            values: &values,
            raw_bytes: 0,
            raw_fields: 4,
        })
    }
}

fn pipeline_fields(job: &Job) -> Vec<String> {
    job.fields.iter().map(|field| field.to_string()).collect()
}

/// What the number of events does to the function's statistic.
fn law_of(family: Family) -> Law {
    match family {
        Family::Mean | Family::Median => Law::Average,
        Family::Varp => Law::Variance,
        Family::Min => Law::Least,
        Family::Max => Law::Greatest,
        Family::Sum | Family::NonNullSum => Law::Sum,
        _ => Law::Plain,
    }
}

pub fn named(record: &Record) -> String {
    let over = record.over_field_value.as_ref();
    let other = over.or(record.partition_field_value.as_ref());
    let other = other.or(record.by_field_value.as_ref());
    other.cloned().unwrap_or_default()
}

/// The statistic of so many usual events.
fn statistic(family: Family, events: i64, times: f64, random: &mut Random) -> Option<f64> {
    let mut values: Vec<f64> = Vec::new();
    let mut texts = TextSet::new();
    let mut names: Vec<String> = Vec::new();
    for _ in 0..events {
        match family {
            Family::DistinctCount | Family::InfoContent => names.push(name(random)),
            Family::Count | Family::NonZeroCount => {}
            _ => values.push(LEVEL + times * DEVIATION * normal(random)),
        }
    }
    let (count, sum) = (events as f64, values.iter().sum::<f64>());
    if events == 0 {
        return matches!(family, Family::Count | Family::Sum).then_some(0.0);
    }
    values.sort_by(f64::total_cmp);
    Some(match family {
        Family::DistinctCount => {
            names.sort_unstable();
            names.dedup();
            names.len() as f64
        }
        Family::InfoContent => {
            for name in &names {
                texts.insert(xxhash_rust::xxh3::xxh3_64(name.as_bytes()), name);
            }
            texts.information()
        }
        Family::Count | Family::NonZeroCount => count,
        Family::Sum | Family::NonNullSum => sum,
        Family::Mean => sum / count,
        Family::Median => {
            let middle = values.len() / 2;
            match values.len() % 2 {
                1 => values[middle],
                _ => 0.5 * (values[middle - 1] + values[middle]),
            }
        }
        Family::Min => values[0],
        Family::Max => values[values.len() - 1],
        // A model's sample needs three.
        Family::Varp if events < 3 => return None,
        Family::Varp => {
            let mean = sum / count;
            values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count
        }
        other => panic!("{other:?} is no statistic of a series"),
    })
}

/// Buckets with values of which each is there more seldom than the one before: the least chance of each bucket.
fn presences(size: &Size) -> Vec<f64> {
    let mut random = Random::new(size.seed);
    let mut table = Presences::new(BucketStart(START_MS));
    let mut ln_ps = Vec::new();
    for bucket in 0..(size.chances + size.chances / 2) as i64 {
        let at = BucketStart(START_MS + bucket * BUCKET_MS);
        let present: Vec<u64> = (0..80u64)
            .filter(|&rank| random.unit() < 0.5 * 0.9f64.powi(rank as i32))
            .collect();
        let looks = table.judge(&present, at, span());
        if bucket >= size.chances as i64 / 2 {
            let rare = looks.into_iter().flatten();
            ln_ps.push(rare.map(|look| look.ln_probability).fold(0.0, f64::min));
        }
        table.learn(&present, at, span(), || true);
    }
    ln_ps
}

/// Visits of twenty, each at times and places of its own; or of all of them as one.
fn habits(ground: Ground, over: bool, size: &Size) -> Vec<f64> {
    let (series, mut random) = (20, Random::new(size.seed));
    let mut habits = vec![Habit::default(); if over { 1 } else { series }];
    let (mut oddities, mut ln_ps) = (Oddities::default(), Vec::new());
    let visits = size.chances * 3 / 2 / series;
    for visit in 0..visits {
        for at in 0..series {
            let spot = match ground {
                Ground::Globe => {
                    let (latitude, longitude) = (3.0 * at as f64 - 30.0, 15.0 * at as f64 - 150.0);
                    let north = latitude + normal(&mut random);
                    Spot::position(north, longitude + normal(&mut random)).expect("a position")
                }
                _ => {
                    let period = ground.period_s();
                    let middle = period * at as f64 / 24.0;
                    let time = middle + period / 24.0 * normal(&mut random);
                    Spot(time.rem_euclid(period) as i32, 0)
                }
            };
            let habit = &mut habits[if over { 0 } else { at }];
            if let Some(surprise) = habit.surprise(ground, spot, 1.0) {
                if visit > visits / 3 {
                    ln_ps.push(oddities.ln_probability(surprise, 1.0));
                }
                oddities.learn(surprise, 1.0);
            }
            habit.learn(ground, spot, 1.0, &mut Room::unlimited());
        }
    }
    ln_ps
}
