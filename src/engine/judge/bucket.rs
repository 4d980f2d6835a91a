//! One bucket judged: every series with an event in it, and the known ones without where that is a value.
//!
//! Holds: what is said is a function of the bucket's contents and of what was learnt before; an interim bucket teaches nothing.

use super::correlates::Scene;
use super::entity::{Alongside, Seat};
use super::rarity::{Rare, Rarity};
use super::ruling::Rulings;
use super::series::{Context, FeatureKind, Finding, Judged, Mode, Prefetch, Series};
use super::shelves::{Held, Purpose};
use super::{Judge, PartialBucket, SeriesShelves, VOLUME_GAIN, measurements};
use crate::config::{Family, Side};
use crate::engine::feature::Analysis;
use crate::engine::probability::Charge;
use crate::engine::wire::{ClosedBucket, SeriesBucket, SeriesKey};
use crate::time::{BucketStart, EventTime, Finality};
use std::cmp::Ordering;
use std::collections::VecDeque;

/// What is being worked on, entity after entity: where there is nothing to tell, no memory is asked for.
#[derive(Default)]
struct Desk {
    /// Of the series of one entity, in order.
    judged: Vec<Judged>,
    /// Of one series.
    findings: Vec<Finding>,
}

/// Series on their way to be judged, whose models are asked for as they come: one after another each would wait for memory by itself.
#[derive(Default)]
struct Hall<'s> {
    /// In order, entity by entity. Those before `judged` are.
    seats: Vec<Seat<'s>>,
    judged: usize,
    /// How many seats each entity has of those that have all come, and the last one so far.
    entities: VecDeque<usize>,
    last: usize,
}

/// So many series wait while models are on their way.
const AHEAD: usize = 16;
/// What is asked for of the series that stands so many before the last one asked for.
const STEPS: [(Prefetch, usize); 3] = [
    (Prefetch::Models, 0),
    (Prefetch::Parts, 5),
    (Prefetch::Profiles, 10),
];
/// Seats of so many judged series are cleared away together.
const CLEARED: usize = 64;

impl<'s> Hall<'s> {
    fn take(&mut self, seat: Seat<'s>, at: EventTime) {
        let before = self.seats.last().filter(|_| self.last > 0);
        if before.is_some_and(|before| !before.is_beside(seat.group, seat.key)) {
            self.close();
        }
        self.last += 1;
        self.seats.push(seat);
        ask_for(&self.seats, self.seats.len() - 1, at);
    }

    /// Nobody else comes of the last entity.
    fn close(&mut self) {
        self.entities.push_back(std::mem::take(&mut self.last));
    }

    /// The first entity that waits and has all come, if `ahead` series wait at least.
    fn call(&mut self, ahead: usize) -> Option<&mut [Seat<'s>]> {
        if self.judged >= CLEARED {
            self.seats.drain(..self.judged);
            self.judged = 0;
        }
        if self.seats.len() - self.judged < ahead {
            return None;
        }
        let from = self.judged;
        self.judged += self.entities.pop_front()?;
        Some(&mut self.seats[from..self.judged])
    }
}

/// Asks for the models of seat `last`, and for what is next of those before it.
fn ask_for(seats: &[Seat<'_>], last: usize, at: EventTime) {
    for (step, before) in STEPS {
        let seat = last.checked_sub(before).and_then(|place| seats.get(place));
        if let Some(seat) = seat {
            seat.series.prefetch(step, at);
        }
    }
}

/// Of an entity with many series, those asked for as they came are out of the caches again: asks for those that are soon at work.
fn ask_ahead(seats: &[Seat<'_>], at: usize, middle: EventTime) {
    if seats.len() > 4 * AHEAD {
        ask_for(seats, at + AHEAD, middle);
    }
}

/// Why something that was found is not told.
#[derive(Clone, Copy)]
struct Telling<'r> {
    /// The series is one of every day, and some detector leaves those out.
    frequent: bool,
    /// Rules say so.
    rulings: &'r Rulings,
}

/// Where a series of a bucket stands, seen from a known one.
fn place(bucket: &SeriesBucket, group: u16, key: &SeriesKey) -> Ordering {
    let by_group = bucket.group.cmp(&group);
    by_group.then_with(|| bucket.key.compare(key))
}

/// A series that is known, or in a bucket, or both.
struct Met {
    /// Its place in the bucket, or [`ABSENT`].
    place: usize,
    is_known: bool,
}

/// Beyond the end of any bucket.
const ABSENT: usize = usize::MAX;

/// The known series and those of a bucket, both in order: all of them in order, each once.
fn meet(present: &[SeriesBucket], known: &SeriesShelves) -> Vec<Met> {
    let mut met = Vec::with_capacity(known.len());
    let mut next = 0;
    for (group, key) in known.keys() {
        let mut order = Ordering::Less;
        while order == Ordering::Less {
            order = match present.get(next) {
                Some(bucket) => place(bucket, *group, key),
                None => Ordering::Greater,
            };
            let is_present = order != Ordering::Greater;
            met.push(Met {
                place: if is_present { next } else { ABSENT },
                is_known: order != Ordering::Less,
            });
            next += usize::from(is_present);
        }
    }
    let strangers = next..present.len();
    met.extend(strangers.map(|place| Met {
        place,
        is_known: false,
    }));
    met
}

impl Judge {
    pub(super) fn judge_bucket(
        &mut self,
        start: BucketStart,
        closed: Option<&ClosedBucket>,
        mode: Mode,
    ) -> PartialBucket {
        let learns = matches!(mode, Mode::Learn);
        let mut partial = self.empty_partial(
            start,
            if learns {
                Finality::Final
            } else {
                Finality::Interim
            },
        );
        let middle = EventTime(start.millis() + self.job.bucket_span.millis() / 2);
        let refused_before = self.state.size.refusals();
        self.ask(start);
        if learns {
            self.state.buckets += 1;
            partial.counts = std::mem::take(&mut self.state.carried);
            let seen = closed.map_or(0.0, measurements);
            self.state.volume +=
                VOLUME_GAIN.max(1.0 / self.state.buckets as f64) * (seen - self.state.volume);
        }
        if let Some(closed) = closed {
            partial.event_count = closed.event_count;
            if learns {
                partial.counts.add(&closed.counts);
            }
        }
        let present = closed.map(|closed| closed.series.as_slice());
        let individual = self.layout.individual();
        let is_individual = |series: &SeriesBucket| usize::from(series.group) < individual;
        let (present, others) = match present {
            Some(all) => all.split_at(all.partition_point(is_individual)),
            None => (&[][..], &[][..]),
        };
        if individual > 0 {
            self.judge_series(start, middle, present, mode, &mut partial);
        }
        let is_beside = |a: &SeriesBucket, b: &SeriesBucket| {
            a.group == b.group && a.key.partition == b.key.partition
        };
        for partition in others.chunk_by(is_beside) {
            match self.layout.groups[usize::from(partition[0].group)].analysis {
                Analysis::Rare => self.judge_rare(partition, start, mode, &mut partial),
                Analysis::Population => {
                    self.judge_population(partition, (start, middle), mode, &mut partial);
                }
                Analysis::RareInPopulation => {
                    self.judge_customs(partition, start, mode, &mut partial);
                }
                Analysis::Habits => self.judge_habits(partition, start, mode, &mut partial),
                Analysis::Individual => unreachable!("these groups come first"),
            }
        }
        if learns {
            let pruned = self.prune(start);
            self.count_size(refused_before, pruned);
        }
        partial.size = self.state.size;
        partial
            .records
            .sort_by(|a, b| (a.detector, &a.key).cmp(&(b.detector, &b.key)));
        partial.plots.sort_by(|a, b| {
            (a.detector, &a.key, a.statistic).cmp(&(b.detector, &b.key, b.statistic))
        });
        partial.changes.sort_by(|a, b| {
            (a.detector, &a.key, a.statistic).cmp(&(b.detector, &b.key, b.statistic))
        });
        partial
    }

    /// Makes room for a series that is seen for the first time; counts one that could not be taken in.
    fn admit(&mut self, start: BucketStart, bucket: &SeriesBucket) -> bool {
        if self.keeps_out(bucket) {
            return false;
        }
        let size = &mut self.state.size;
        let features = self.kinds[usize::from(bucket.group)].len();
        let bytes = Series::bytes_when_new(features, &bucket.key);
        if !self.budget.admits(size, bytes) {
            size.refused_series += 1;
            return false;
        }
        size.model_bytes += bytes;
        let mut series = Series::new(features, start);
        series.bytes = bytes as u32;
        let id = (bucket.group, bucket.key.clone());
        self.state.series.insert(id, series);
        true
    }

    /// Every series with an event in the bucket, and the known ones without where that is a value, entity by entity.
    fn judge_series(
        &mut self,
        start: BucketStart,
        middle: EventTime,
        present: &[SeriesBucket],
        mode: Mode,
        partial: &mut PartialBucket,
    ) {
        let wanted = |group| self.judges_rarity(group);
        let rarity = Rarity::of(present, &self.state.series, wanted);
        let rare = |bucket: &SeriesBucket, present| rarity.of_series(bucket, present);
        let mut met = meet(present, &self.state.series);
        if matches!(mode, Mode::Learn) {
            if self.asked.turns {
                self.turn_clocks();
            }
            met.retain_mut(|one| {
                one.is_known = one.is_known || self.admit(start, &present[one.place]);
                one.is_known
            });
        }
        let mut series_of = std::mem::take(&mut self.state.series);
        let mut entities_of = std::mem::take(&mut self.state.entities);
        let mut entities = Alongside::of(&mut entities_of);
        let (mut hall, mut desk): (Hall<'_>, Desk) = Default::default();
        let when = (start, middle);
        // Of an open bucket, what is said of strangers stands between what is said of the series.
        let (purpose, ahead) = match mode {
            Mode::Learn => (Purpose::Change, AHEAD),
            Mode::Interim(_) => (Purpose::Look, 1),
        };
        let mut known = series_of.visit(purpose);
        for one in met {
            if !one.is_known {
                let stranger = &present[one.place];
                self.tell_stranger(stranger, rare(stranger, 0), mode, partial);
                continue;
            }
            let bucket = present.get(one.place);
            let (id, series) = known.next().expect("each known series was met");
            let (group, key) = (id.0, &id.1);
            let kinds = &self.kinds[usize::from(group)];
            let is_value = kinds.iter().any(FeatureKind::samples_empty_buckets);
            if bucket.is_none() && !is_value && self.job.model_plot.is_none() {
                continue;
            }
            let seat = Seat {
                group,
                key,
                bucket,
                rare: bucket.and_then(|bucket| rare(bucket, series.present)),
                series,
                rulings: Rulings::default(),
                judged: 0..0,
            };
            hall.take(seat, middle);
            while let Some(entity) = hall.call(ahead) {
                self.judge_entity(entity, &mut desk, &mut entities, when, mode, partial);
            }
        }
        hall.close();
        while let Some(entity) = hall.call(0) {
            self.judge_entity(entity, &mut desk, &mut entities, when, mode, partial);
        }
        drop(known);
        let begun = entities.begun();
        entities_of.extend(begun);
        (self.state.series, self.state.entities) = (series_of, entities_of);
    }

    /// Judges the series of one entity: each for itself, then together; tells of them, and teaches them.
    fn judge_entity(
        &mut self,
        seats: &mut [Seat<'_>],
        desk: &mut Desk,
        entities: &mut Alongside<'_>,
        (start, middle): (BucketStart, EventTime),
        mode: Mode,
        partial: &mut PartialBucket,
    ) {
        let Some(first) = seats.first() else { return };
        let (group, learns) = (first.group, matches!(mode, Mode::Learn));
        let (kinds, span) = (&self.kinds[usize::from(group)], self.job.bucket_span);
        let context = |tell_all| Context {
            job: &self.job,
            group: &self.layout.groups[usize::from(group)],
            kinds,
            middle,
            tell_all,
        };
        let Desk { judged, findings } = desk;
        judged.clear();
        for at in 0..seats.len() {
            ask_ahead(seats, at, middle);
            let seat = &mut seats[at];
            let (from, plots) = (judged.len(), &mut partial.plots);
            seat.series
                .judge(&context(false), seat.key, seat.bucket, mode, plots, judged);
            let own = &mut judged[from..];
            seat.rulings = self.rulings_on((group, seat.key), seat.bucket, own);
            seat.rulings.hush(kinds, own);
            seat.judged = from..judged.len();
        }
        let is_joined = kinds.first().is_some_and(|kind| kind.kind.joined);
        let has_by = self.layout.groups[usize::from(group)].by.is_some();
        let looks_for_correlates = has_by && self.job.multivariate_by_fields;
        let scene = |seats| Scene::new(seats, kinds, (middle, span));
        let mut entity = is_joined.then(|| entities.of_seat(&seats[0])).flatten();
        if looks_for_correlates && let Some(entity) = &entity {
            entity.judge_given(&scene(seats), judged);
        }
        let blame = entity
            .as_ref()
            .and_then(|entity| entity.judge(seats, judged, middle, span));
        if let Some(blame) = &blame {
            partial.judged.add(blame.charge());
        }
        if is_joined && learns {
            let mut room = self.budget.room(&self.state.size);
            if entity.is_none() {
                entity = entities.begin(&seats[0], start, &mut room);
            }
            if let Some(entity) = entity {
                let before = entity.bytes;
                if looks_for_correlates {
                    entity.learn_correlates(&scene(seats), start, judged, &mut room);
                }
                let lesson = entity.lesson(blame.as_ref(), seats, kinds, judged);
                entity.learn(lesson, start, &mut room);
                // Peaks that have faded give their memory back.
                let others = self.state.size.model_bytes - before;
                self.state.size.model_bytes = others + entity.bytes;
            }
            self.state.size.refused_growth += u64::from(room.has_refused());
        }
        let excludes = |kind: &FeatureKind| self.job.detectors[kind.detector].exclude_frequent_by;
        let excludes_frequent = kinds.iter().any(excludes);
        for at in 0..seats.len() {
            ask_ahead(seats, at, middle);
            let seat = &mut seats[at];
            let blame = blame.as_ref().map(|blame| blame.of_seat(seat));
            let own = &judged[seat.judged.clone()];
            let (key, bucket, rulings) = (seat.key, seat.bucket, &seat.rulings);
            let context = context(seat.rare.is_some());
            let frequent = excludes_frequent && seat.series.is_frequent(start, span);
            seat.series
                .findings(&context, key, bucket, own, blame, findings);
            if let Held::Change(series) = &mut seat.series {
                let mut room = self.budget.room(&self.state.size);
                let changes = &mut partial.changes;
                let own = (own, rulings);
                series.learn(&context, (key, bucket), own, &mut room, changes);
                if let Some(blame) = blame {
                    series.learn_said(&context, own, blame);
                }
                if bucket.is_some() {
                    series.last_seen = start;
                    let counts = self.counts_presence(group, rulings);
                    series.present = series.present.saturating_add(u32::from(counts));
                }
                self.state.size.recount(series, key, &room);
            }
            let telling = Telling { frequent, rulings };
            self.tell(findings, (group, key), telling, seat.rare.take(), partial);
        }
    }

    /// A series that nothing is known of, in a bucket that is still open: it may be rare at least. In a closed one it was refused.
    fn tell_stranger(
        &self,
        bucket: &SeriesBucket,
        rare: Option<Rare>,
        mode: Mode,
        partial: &mut PartialBucket,
    ) {
        if matches!(mode, Mode::Interim(_)) {
            let telling = Telling {
                frequent: false,
                rulings: &self.rulings_on_stranger(bucket),
            };
            let of = (bucket.group, &bucket.key);
            self.tell(&mut Vec::new(), of, telling, rare, partial);
        }
    }

    /// Counts what was found into the aggregate, and drafts the records; leaves `findings` empty.
    fn tell(
        &self,
        findings: &mut Vec<Finding>,
        (group, key): (u16, &SeriesKey),
        telling: Telling<'_>,
        rarity: Option<Rare>,
        partial: &mut PartialBucket,
    ) {
        if let Some(rare) = &rarity {
            self.add_rarity(findings, group, key, rare);
        }
        for finding in findings.drain(..) {
            if telling.frequent && self.job.detectors[finding.detector].exclude_frequent_by {
                continue;
            }
            if telling.rulings.hides(finding.detector) {
                partial.judged.add(Charge::default());
                continue;
            }
            partial.judged.add(finding.alone);
            if let Some(draft) = finding.draft {
                partial.records.push(*draft);
            }
        }
    }

    /// Whether counting in this group looks at the rarity of by values too (functions.md 2.3.1).
    fn judges_rarity(&self, group: u16) -> bool {
        let group = &self.layout.groups[usize::from(group)];
        group.by.is_some()
            && group
                .features
                .iter()
                .any(|spec| self.counts_rarity(usize::from(spec.detector)))
    }

    fn counts_rarity(&self, detector: usize) -> bool {
        let function = self.job.detectors[detector].function;
        matches!(function.family, Family::Count | Family::NonZeroCount)
            && function.side == Side::Both
    }

    /// Joins the rarity of a by value to the findings of detectors that look at it; a value never seen has no other finding.
    fn add_rarity(&self, findings: &mut Vec<Finding>, group: u16, key: &SeriesKey, rare: &Rare) {
        let specs = &self.layout.groups[usize::from(group)].features;
        for spec in specs
            .iter()
            .filter(|spec| self.counts_rarity(usize::from(spec.detector)))
        {
            let detector = usize::from(spec.detector);
            match findings
                .iter_mut()
                .find(|finding| finding.detector == detector)
            {
                Some(finding) => rare.join(finding),
                None => {
                    let culprits = Context {
                        job: &self.job,
                        group: &self.layout.groups[usize::from(group)],
                        kinds: &[],
                        middle: EventTime(0),
                        tell_all: true,
                    };
                    findings.push(rare.alone(detector, key, culprits.split_culprits(key)));
                }
            }
        }
    }
}
