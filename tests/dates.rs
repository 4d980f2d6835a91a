//! Days of the month, dates of the year and yearly waves: what is known of them after how long, what it costs, and that noise has none.
//!
//! Series are simulated by SplitMix64 (Steele, Lea, Flood 2014); days are named by chrono, not by the crate.

use chrono::{DateTime, Datelike, Weekday};
use tidewatch::config::Side;
use tidewatch::engine::model::{
    Change, Kind, Law, Model, MonthDay, Noticed, Room, Sample, SeriesModel, Verdict,
};
use tidewatch::time::{BucketSpan, EventTime};

const DAY_MS: i64 = 86_400_000;
const DAY_S: i64 = 86_400;
/// 2023-01-01.
const START_MS: i64 = 1_672_531_200_000;

struct Draw(u64);

impl Draw {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// With three degrees of freedom.
    fn student(&mut self) -> f64 {
        let chi_square: f64 = (0..3).map(|_| self.normal().powi(2)).sum();
        self.normal() / (chi_square / 3.0).sqrt()
    }
}

/// A day of the simulated calendar.
#[derive(Clone, Copy)]
struct Day {
    year: i32,
    month: u32,
    day: u32,
    weekday: Weekday,
    is_last_workday: bool,
}

impl Day {
    fn at(day: i64) -> Day {
        let date = |day: i64| {
            let ms = START_MS + day * DAY_MS;
            DateTime::from_timestamp_millis(ms)
                .expect("a time")
                .date_naive()
        };
        let works = |day: i64| date(day).weekday().number_from_monday() <= 5;
        let own = date(day);
        let next = (day + 1..)
            .find(|&next| works(next))
            .expect("a working day");
        Day {
            year: own.year(),
            month: own.month(),
            day: own.day(),
            weekday: own.weekday(),
            is_last_workday: works(day) && date(next).month() != own.month(),
        }
    }

    /// Months since January 2023.
    fn month(&self) -> usize {
        (12 * (self.year - 2023)) as usize + self.month as usize - 1
    }

    fn works(&self) -> bool {
        self.weekday.number_from_monday() <= 5
    }
}

/// What is told of one bucket.
struct Told {
    day: Day,
    verdict: Option<Verdict>,
    noticed: Option<Noticed>,
}

impl Told {
    /// Less likely than one in a hundred, by the bucket alone.
    fn is_anomaly(&self) -> bool {
        self.verdict.is_some_and(|verdict| verdict.ln_single < -4.6)
    }

    /// What makes a record, of those with a score: below p = .035 with some evidence.
    fn is_record(&self) -> bool {
        let is_record = |verdict: Verdict| verdict.ln_probability < -3.35 && verdict.evidence > 1.0;
        self.verdict.is_some_and(is_record)
    }
}

fn kind(span_s: i64) -> Kind {
    Kind {
        side: Side::Both,
        counting: false,
        law: Law::Plain,
        joined: false,
        span: BucketSpan::from_seconds(span_s).expect("a span"),
    }
}

/// A life of so many days; `value` is asked by day and hour.
fn live(
    span_s: i64,
    days: i64,
    mut value: impl FnMut(&Day, f64) -> f64,
    mut told: impl FnMut(&Told),
) -> SeriesModel {
    let kind = kind(span_s);
    let mut model = SeriesModel::new();
    for bucket in 0..days * DAY_S / span_s {
        let middle_s = bucket * span_s + span_s / 2;
        let day = Day::at(middle_s / DAY_S);
        let sample = Sample {
            at: EventTime(START_MS + 1000 * middle_s),
            value: value(&day, (middle_s % DAY_S) as f64 / 3600.0),
            measurements: 10,
        };
        let verdict = model.judge(&kind, &sample);
        let noticed = model.learn(&kind, &sample, verdict.as_ref(), &mut Room::unlimited());
        told(&Told {
            day,
            verdict,
            noticed,
        });
    }
    model
}

/// Office days around 100, weekends around 60, with a shape by hour where there are hours; 5 % of noise.
fn usual(draw: &mut Draw, day: &Day, hour: f64, span_s: i64) -> f64 {
    let week = if day.works() { 100.0 } else { 60.0 };
    let hours = match span_s {
        DAY_S => 1.0,
        _ => 1.0 + 0.5 * (std::f64::consts::TAU * (hour - 14.0) / 24.0).cos(),
    };
    week * hours * (1.0 + 0.05 * draw.normal())
}

type IsSpecial = fn(&Day) -> bool;

const BILLING: [(MonthDay, IsSpecial); 3] = [
    (MonthDay::Day(1), |day| day.day == 1),
    (MonthDay::WorkdayFromEnd(1), |day| day.is_last_workday),
    (MonthDay::Weekday(2, 1), |day| {
        day.weekday == Weekday::Tue && (8..15).contains(&day.day)
    }),
];

#[test]
fn a_billing_day_is_known_within_half_a_year_and_its_absence_is_found() {
    for (span_s, days, missing) in [(DAY_S, 760, 22), (3600, 400, 11)] {
        for (name, is_special) in BILLING {
            let mut draw = Draw(7);
            let (mut known_in, mut odd, mut missed, mut others) = (None, [0; 26], false, 0);
            live(
                span_s,
                days,
                |day, hour| {
                    let is_due = is_special(day) && day.month() != missing;
                    usual(&mut draw, day, hour, span_s) + if is_due { 50.0 } else { 0.0 }
                },
                |told| {
                    let month = told.day.month();
                    if let Some(Noticed {
                        change: Change::Month { day, here },
                        ..
                    }) = told.noticed
                        && day == name
                    {
                        known_in = here.then_some(month);
                    }
                    match (is_special(&told.day), month == missing) {
                        (true, true) => missed |= told.is_record(),
                        (true, false) => odd[month] += u32::from(told.is_anomaly()),
                        (false, _) if month > 8 => others += u32::from(told.is_anomaly()),
                        _ => {}
                    }
                },
            );
            let known_in = known_in.unwrap_or_else(|| panic!("{name} of {span_s} s"));
            assert!(
                known_in <= 7,
                "{name} of {span_s} s: known in month {known_in}"
            );
            let after: u32 = odd[known_in + 1..].iter().sum();
            assert!(after <= 1, "{name} of {span_s} s: {odd:?} after {known_in}");
            assert!(missed, "{name} of {span_s} s: its absence is no record");
            let most = (days * DAY_S / span_s / 50) as u32;
            assert!(
                others <= most,
                "{name} of {span_s} s: {others} on other days"
            );
        }
    }
}

#[test]
fn one_odd_month_teaches_little_and_what_is_over_is_given_up() {
    let mut draw = Draw(3);
    let mut gone_in = None;
    let mut typical = Vec::new();
    live(
        DAY_S,
        1200,
        |day, hour| {
            let bill = match (day.day, day.month()) {
                (1, 14) => 300.0,
                (1, month) if month < 24 => 50.0,
                _ => 0.0,
            };
            usual(&mut draw, day, hour, DAY_S) + bill
        },
        |told| {
            let month = told.day.month();
            if let Some(Noticed {
                change: Change::Month { here: false, .. },
                ..
            }) = told.noticed
            {
                gone_in = Some(month);
            }
            if told.day.day == 1 && (13..20).contains(&month) {
                let week = if told.day.works() { 100.0 } else { 60.0 };
                let expected = told.verdict.map(|verdict| verdict.typical - week);
                typical.push(expected.expect("judged"));
            }
        },
    );
    assert!(
        typical.iter().all(|bill| (25.0..75.0).contains(bill)),
        "what is expected beyond a usual day stays what it was: {typical:?}"
    );
    assert!(
        gone_in.is_some_and(|month| (24..28).contains(&month)),
        "{gone_in:?}"
    );
}

#[test]
fn dates_that_come_again_are_known_as_a_class_in_their_second_year() {
    /// Public holidays, and days that are nothing.
    const HOLIDAYS: [(u32, u32); 6] = [(2, 14), (5, 1), (7, 4), (8, 15), (10, 3), (12, 24)];
    let mut draw = Draw(5);
    let mut told_in = None;
    let mut odd = [0; 48];
    live(
        DAY_S,
        4 * 365,
        |day, hour| {
            let is_holiday = HOLIDAYS.contains(&(day.month, day.day));
            usual(&mut draw, day, hour, DAY_S) * if is_holiday { 0.3 } else { 1.0 }
        },
        |told| {
            if let Some(Noticed {
                change: Change::Year(true),
                ..
            }) = told.noticed
            {
                told_in = Some(told.day.month());
            }
            if HOLIDAYS.contains(&(told.day.month, told.day.day)) {
                odd[told.day.month()] += u32::from(told.is_anomaly());
            }
        },
    );
    let told_in = told_in.expect("told");
    assert!(told_in < 24, "in its second year: {told_in}");
    assert!(odd[..=12].iter().sum::<u32>() >= 3, "{odd:?}");
    assert_eq!(
        odd[told_in + 1..].iter().sum::<u32>(),
        0,
        "{odd:?} after {told_in}"
    );
}

/// -1 to 1 over the year.
fn wave(day: i64) -> f64 {
    (std::f64::consts::TAU * day as f64 / 365.2425).sin()
}

#[test]
fn a_yearly_wave_is_known_in_its_second_year_and_forecasts_follow_it() {
    let truth = |day: i64| 200.0 + 40.0 * wave(day);
    let (mut draw, mut day) = (Draw(11), 0);
    let (mut told_in, mut odd) = (None, 0);
    let days = 3 * 365;
    let model = live(
        DAY_S,
        days,
        |_, _| {
            day += 1;
            truth(day - 1) + 5.0 * draw.normal()
        },
        |told| {
            if let Some(Noticed {
                change: Change::Wave(here),
                ..
            }) = told.noticed
            {
                told_in = here.then_some(told.day.month());
            }
            odd += u32::from(told.is_anomaly());
        },
    );
    assert!(
        told_in.is_some_and(|month| month < 24),
        "known in month {told_in:?}"
    );
    assert!(odd <= 22, "{odd} odd days");
    let kind = kind(DAY_S);
    let ahead = model.ahead(&kind).expect("three years");
    for after in [1, 30, 60, 90, 150] {
        let day = days + after;
        let told = ahead.at(EventTime(START_MS + day * DAY_MS + DAY_MS / 2));
        assert!(
            (told.prediction - truth(day)).abs() < 16.0,
            "{after}: {told:?} {}",
            truth(day)
        );
        assert!(
            (told.lower..told.upper).contains(&truth(day)),
            "{after}: {told:?}"
        );
    }
}

/// Of so many lives of this noise, how many were taken for something; and their bytes.
fn taken_for_something(lives: u64, noise: fn(&mut Draw, &mut f64) -> f64) -> (u32, usize) {
    let (mut taken, mut bytes) = (0, 0);
    for seed in 0..lives {
        let (mut draw, mut state) = (Draw(1000 + seed), 0.0);
        let mut is_taken = false;
        let model = live(
            DAY_S,
            1100,
            |_, _| noise(&mut draw, &mut state),
            |told| {
                let change = told.noticed.map(|noticed| noticed.change);
                is_taken |= matches!(
                    change,
                    Some(Change::Month { .. } | Change::Year(_) | Change::Wave(_))
                );
            },
        );
        taken += u32::from(is_taken);
        bytes += model.memory_bytes();
    }
    (taken, bytes / lives as usize)
}

#[test]
fn three_years_of_noise_have_no_days_of_the_month_nor_dates_nor_waves() {
    let noises: [fn(&mut Draw, &mut f64) -> f64; 5] = [
        |draw, _| 100.0 + 5.0 * draw.normal(),
        |draw, _| 100.0 + 5.0 * draw.student(),
        |draw, _| (4.0 + 0.7 * draw.normal()).exp(),
        |draw, walk| {
            *walk += 5.0 * draw.normal();
            1000.0 + *walk
        },
        |draw, memory| {
            *memory = 0.9 * *memory + draw.normal();
            100.0 + 5.0 * *memory
        },
    ];
    let taken: Vec<u32> = noises
        .into_iter()
        .map(|noise| taken_for_something(12, noise).0)
        .collect();
    assert!(
        taken.iter().sum::<u32>() <= 1,
        "of 12 lives each: {taken:?}"
    );
}

#[test]
fn a_series_without_far_out_days_has_no_log_and_one_without_room_goes_on() {
    let kind = kind(DAY_S);
    let mut model = SeriesModel::new();
    let mut draw = Draw(1);
    for day in 0..400 {
        let sample = Sample {
            at: EventTime(START_MS + day * DAY_MS + DAY_MS / 2),
            value: 100.0 + draw.normal() + if Day::at(day).day == 1 { 50.0 } else { 0.0 },
            measurements: 10,
        };
        let verdict = model.judge(&kind, &sample);
        let room = &mut Room::of(if day < 100 { 10_000 } else { 0 });
        let before = model.memory_bytes();
        model.learn(&kind, &sample, verdict.as_ref(), room);
        assert!(day < 100 || model.memory_bytes() <= before, "day {day}");
    }
}
