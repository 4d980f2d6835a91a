//! By values that go together: a value is judged once more, given the series that its own usually goes with (`multivariate_by_fields`).
//!
//! Per partition value and feature: each series' past ([`Past`]), and of the pairs among them at most [`RELATIONS_MAX`] relations a series
//! ([`Relation`]). Pairs are looked for every [`LOOK_EVERY`] buckets, at most [`PAIRS_MAX`] at a time: all of them while there are few series; of many,
//! those whose last signs agree bit for bit, which related series do far more often than others (locality-sensitive hashing, Charikar 2002; the
//! buckets themselves are the projections, so nothing is drawn). A series is unusual given its correlates when it is so given *each* of those that
//! explain it about as well as the best: where one of several leaves the others, it is the one that is told of. Of two that know only each other, the
//! one that is further from its own usual is.
//! The second view takes nothing from the first but a quarter of the chances: p is the least of 4/3 of the series' own and of 4 times that given the
//! correlates (Bonferroni), and evidence likewise. A series without a believed correlate is judged as if there were none of this.
//! Holds: a function of the entity's buckets, in the order of keys; bytes grow by what the room grants only. Checked: tests/multivariate.rs.

use super::entity::Seat;
use super::memory::{map_bytes, text_bytes};
use super::series::{EVIDENCE_RECORD, FeatureKind, Judged, LN_RECORD};
use crate::config::Side;
use crate::engine::model::Room;
use crate::engine::model::alarm::{Alarm, Hold};
use crate::engine::model::calibration::Calibration;
use crate::engine::model::evidence::{BLOCK_BUCKETS, ln_probability_of};
use crate::engine::model::relation::{Light, Past, Relation, chance_of_pairs};
use crate::engine::probability::Charge;
use crate::time::{BucketSpan, BucketStart, EventTime};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Relations that a series has at the most.
const RELATIONS_MAX: usize = 3;
/// Buckets from one look for pairs to the next, and pairs looked at in one.
const LOOK_EVERY: i64 = 16;
const PAIRS_MAX: usize = 4096;
/// Up to so many series all pairs are looked at: there are 2,016.
const ALL_PAIRS_MEMBERS: usize = 64;
/// Signs that are compared at the most: those of the buckets since the last look.
const SIGNS_MAX: u32 = LOOK_EVERY as u32;
/// A series' forecast has to have seen so many values before its errors say anything.
const SETTLED_AFTER: u32 = 24;
/// Of a series' correlates those count that leave at most so many times as much of its variance as the best.
const AS_GOOD_AS_THE_BEST: f64 = 2.0;
/// By how much (of atanh |r|, whose error is 1/√n) another series has to go better with one than the least of its correlates, to take its place.
const CLEARLY_BETTER: f64 = 0.4;
/// ln 4/3 and ln 4: what both views pay for being two.
const LN_FIRST_VIEW: f64 = 0.287_682_072_451_780_9;
const LN_SECOND_VIEW: f64 = 1.386_294_361_119_890_6;

/// What is known of the by values of one entity that go together; by feature.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Correlates(Vec<Feature>);

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Feature {
    members: BTreeMap<Arc<str>, Member>,
    /// Number of the bucket of the last look for pairs.
    looked: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Member {
    past: Past,
    relations: Vec<(Arc<str>, Relation)>,
    /// Of what it showed given its correlates.
    calibration: Calibration,
    alarm: Alarm,
}

/// A value given the series' correlates, and what was thought of it without them.
#[derive(Clone, Debug)]
pub(super) struct Given {
    /// Its own charge and claim, before the two views were made one.
    pub(super) own: Charge,
    pub(super) own_claim_nats: f64,
    /// Whether what is said of it is said because of them.
    pub(super) told: bool,
    /// The correlate that excuses it best.
    pub(super) correlate: Arc<str>,
    /// ln p given that one.
    pub(super) ln_probability: f64,
    /// The deviates of what was expected, and of the interval around it where that is told.
    pub(super) expected: f64,
    pub(super) interval: (f64, f64),
    /// Evidence, and what of it is said.
    evidence: f64,
    said: f64,
}

/// What was seen, before it is weighed.
struct Seen<'r> {
    light: Light,
    relation: &'r Relation,
    correlate: &'r Arc<str>,
    ln_probability: f64,
    /// The correlate's own deviate.
    other: f64,
}

/// All that is known of the bucket at work.
pub(super) struct Scene<'s> {
    pub(super) seats: &'s [Seat<'s>],
    pub(super) kinds: &'s [FeatureKind],
    pub(super) middle: EventTime,
    pub(super) span: BucketSpan,
}

impl<'s> Scene<'s> {
    pub(super) fn new(
        seats: &'s [Seat<'s>],
        kinds: &'s [FeatureKind],
        (middle, span): (EventTime, BucketSpan),
    ) -> Scene<'s> {
        Scene {
            seats,
            kinds,
            middle,
            span,
        }
    }

    fn seat_of(&self, by: &str) -> Option<&Seat<'_>> {
        let order = |seat: &Seat<'_>| seat.key.by.as_deref().cmp(&Some(by));
        self.seats
            .binary_search_by(order)
            .ok()
            .map(|at| &self.seats[at])
    }

    /// The deviate of a by value's feature in this bucket.
    fn deviate(&self, by: &str, feature: usize, judged: &[Judged]) -> Option<f64> {
        let own = &judged[self.seat_of(by)?.judged.clone()];
        let one = own.iter().find(|one| one.at == feature)?;
        Some(one.verdict.deviate)
    }

    /// The same, of one that may be learnt from.
    fn lesson(&self, by: &str, feature: usize, judged: &[Judged]) -> Option<f64> {
        let seat = self.seat_of(by)?;
        let own = &judged[seat.judged.clone()];
        let one = own.iter().find(|one| one.at == feature)?;
        self.teaches(seat, one).then_some(one.verdict.deviate)
    }

    fn teaches(&self, seat: &Seat<'_>, one: &Judged) -> bool {
        one.verdict.history >= SETTLED_AFTER && seat.rulings.teaches(self.kinds[one.at].detector)
    }
}

impl Correlates {
    /// Looks at each value given its correlates, and makes one of both views. What rules hide stays hidden.
    pub(super) fn judge(&self, scene: &Scene<'_>, judged: &mut [Judged]) {
        for (at, feature) in self.0.iter().enumerate() {
            for seat in scene.seats {
                let member = seat.key.by.as_ref().and_then(|by| feature.members.get(by));
                let Some(member) = member.filter(|member| member.has_believed()) else {
                    continue;
                };
                for index in seat.judged.clone() {
                    if judged[index].at == at && judged[index].thought.is_none() {
                        let given = member.judge(scene, index, judged);
                        if let Some(given) = given {
                            judged[index].give(given);
                        }
                    }
                }
            }
        }
    }

    /// Learns what the bucket has shown, growing within the room.
    pub(super) fn learn(
        &mut self,
        scene: &Scene<'_>,
        start: BucketStart,
        judged: &[Judged],
        room: &mut Room,
    ) {
        let bucket = start.millis() / scene.span.millis();
        if self.0.is_empty() && room.grant(scene.kinds.len() * size_of::<Feature>()) {
            let all = scene.kinds.iter();
            self.0 = all.map(|_| Feature::default()).collect();
        }
        for (at, feature) in self.0.iter_mut().enumerate() {
            feature.learn(scene, at, bucket, judged, room);
            if bucket - feature.looked >= LOOK_EVERY {
                feature.looked = bucket;
                feature.forget(bucket);
                feature.look(bucket, room);
            }
        }
    }

    /// Heap bytes.
    pub(super) fn heap_bytes(&self) -> usize {
        let features = self.0.iter();
        let members = features.flat_map(|feature| &feature.members);
        let members = members.map(|(name, member)| member_bytes(name) + member.heap_bytes());
        self.0.len() * size_of::<Feature>() + members.sum::<usize>()
    }
}

/// Bytes of a by value's feature that has all the relations it can have, to series with names of this length.
pub(super) fn bytes_max(name: &Arc<str>) -> usize {
    let relations = RELATIONS_MAX * (size_of::<(Arc<str>, Relation)>() + name_bytes(name));
    member_bytes(name) + new_heap_bytes() + relations
}

fn name_bytes(name: &Arc<str>) -> usize {
    text_bytes(&Some(name.clone()))
}

fn member_bytes(name: &Arc<str>) -> usize {
    map_bytes::<Arc<str>, Member>() + name_bytes(name)
}

/// Heap bytes of a member that has learnt nothing.
fn new_heap_bytes() -> usize {
    Past::new(0).heap_bytes() + Calibration::default().heap_bytes()
}

impl Feature {
    fn learn(
        &mut self,
        scene: &Scene<'_>,
        at: usize,
        bucket: i64,
        judged: &[Judged],
        room: &mut Room,
    ) {
        let chance = chance_of_pairs(self.members.len());
        for seat in scene.seats {
            let Some(by) = &seat.key.by else { continue };
            let own = judged[seat.judged.clone()].iter();
            let mut own = own.filter(|one| one.at == at && scene.teaches(seat, one));
            let Some(one) = own.next() else { continue };
            if !self.members.contains_key(by) {
                if !room.grant(member_bytes(by) + new_heap_bytes()) {
                    continue;
                }
                self.members.insert(by.clone(), Member::new(bucket));
            }
            let Some(member) = self.members.get_mut(by) else {
                continue;
            };
            member.past.learn(bucket, one.verdict.deviate);
            if let Some(given) = &one.given {
                let surprise = -given.ln_probability;
                member.calibration.learn(surprise, BLOCK_BUCKETS, room);
                let hold = Hold::of_series(scene.span);
                let (evidence, said) = (given.evidence, given.said);
                let ln_p = given.ln_probability;
                member.alarm.learn(evidence, said, ln_p, scene.middle, hold);
            }
            for (name, relation) in &mut member.relations {
                if let Some(other) = scene.lesson(name, at, judged) {
                    relation.learn(one.verdict.deviate, other, chance);
                }
            }
        }
    }

    /// Lets go of series that were not seen lately, and of relations that were none.
    fn forget(&mut self, bucket: i64) {
        self.members
            .retain(|_, member| !member.past.is_over(bucket));
        let gone: Vec<Arc<str>> = self
            .members
            .values()
            .flat_map(|member| &member.relations)
            .filter(|(name, _)| !self.members.contains_key(name))
            .map(|(name, _)| name.clone())
            .collect();
        for member in self.members.values_mut() {
            let relations = &mut member.relations;
            relations.retain(|(name, one)| !one.has_failed() && !gone.contains(name));
            if relations.is_empty() {
                *relations = Vec::new();
            }
        }
    }

    /// Looks for pairs that go together, and has each of the two remember the other.
    fn look(&mut self, bucket: i64, room: &mut Room) {
        for member in self.members.values_mut() {
            member.past.pass(bucket);
        }
        let members: Vec<(&Arc<str>, &Member)> = self
            .members
            .iter()
            .filter(|(_, member)| member.past.tells())
            .collect();
        let chance = chance_of_pairs(members.len());
        let mut found: Vec<(f64, Arc<str>, Arc<str>)> = Vec::new();
        for (a, b) in pairs(&members, bucket / LOOK_EVERY) {
            let ((name, one), (other_name, other)) = (members[a], members[b]);
            if one.knows(other_name) && other.knows(name) {
                continue;
            }
            if let Some(strength) = one.past.correlation(&other.past, chance) {
                found.push((strength, name.clone(), other_name.clone()));
            }
        }
        found.sort_by(|a, b| {
            b.0.total_cmp(&a.0)
                .then_with(|| (&a.1, &a.2).cmp(&(&b.1, &b.2)))
        });
        for (strength, a, b) in found {
            for (name, other) in [(&a, &b), (&b, &a)] {
                if let Some(member) = self.members.get_mut(name) {
                    member.meet(other, strength, room);
                }
            }
        }
    }
}

/// The pairs to look at, at most [`PAIRS_MAX`]: of series whose signs agree. Where there are too many of those, others of them at every `turn`.
fn pairs(members: &[(&Arc<str>, &Member)], turn: i64) -> Vec<(usize, usize)> {
    let bits = match members.len() {
        0..=ALL_PAIRS_MEMBERS => 0,
        // So many that of random signs about half of the pairs allowed agree.
        many => ((many as f64).log2() * 2.0 - 12.0).ceil().max(0.0) as u32,
    };
    let bits = bits.min(SIGNS_MAX);
    let mut signs: Vec<(u32, usize)> = members
        .iter()
        .enumerate()
        .map(|(at, (_, member))| (member.past.signs(bits), at))
        .collect();
    signs.sort_unstable();
    let groups: Vec<&[(u32, usize)]> = signs.chunk_by(|a, b| a.0 == b.0).collect();
    let largest = groups.iter().map(|group| group.len()).max().unwrap_or(0);
    let mut pairs = Vec::new();
    for step in 1..largest {
        for group in groups.iter().filter(|group| group.len() > step) {
            let others = group.len() - 1;
            let apart = 1 + (turn.unsigned_abs() as usize % others + step - 1) % others;
            for (first, second) in group.iter().zip(&group[apart..]) {
                if pairs.len() == PAIRS_MAX {
                    return pairs;
                }
                pairs.push((first.1, second.1));
            }
        }
    }
    pairs
}

impl Member {
    fn new(bucket: i64) -> Member {
        Member {
            past: Past::new(bucket),
            relations: Vec::new(),
            calibration: Calibration::default(),
            alarm: Alarm::default(),
        }
    }

    fn heap_bytes(&self) -> usize {
        let relations = match self.relations.is_empty() {
            true => 0,
            false => RELATIONS_MAX * size_of::<(Arc<str>, Relation)>(),
        };
        let names = self.relations.iter().map(|(name, _)| name_bytes(name));
        self.past.heap_bytes() + self.calibration.heap_bytes() + relations + names.sum::<usize>()
    }

    fn knows(&self, name: &Arc<str>) -> bool {
        self.relations.iter().any(|(known, _)| known == name)
    }

    fn has_believed(&self) -> bool {
        self.relations.iter().any(|(_, one)| one.is_believed())
    }

    /// Remembers another series that seems to go with this one, if there is a place for it.
    fn meet(&mut self, other: &Arc<str>, strength: f64, room: &mut Room) {
        if self.knows(other) {
            return;
        }
        let known = self.relations.len();
        let new = (other.clone(), Relation::found(strength));
        if known < RELATIONS_MAX {
            let places = match known {
                0 => RELATIONS_MAX * size_of::<(Arc<str>, Relation)>(),
                _ => 0,
            };
            if room.grant(places + name_bytes(other)) {
                self.relations.reserve_exact(RELATIONS_MAX - known);
                self.relations.push(new);
            }
            return;
        }
        let strengths = self.relations.iter().map(|(_, one)| one.strength());
        let least = strengths.enumerate().min_by(|a, b| a.1.total_cmp(&b.1));
        if let Some((at, least)) = least
            && strength > least + CLEARLY_BETTER
            && room.grant(name_bytes(other))
        {
            self.relations[at] = new;
        }
    }

    /// What a value looks like given the correlates that say most of it; `None` when none can say anything.
    fn judge(&self, scene: &Scene<'_>, index: usize, judged: &[Judged]) -> Option<Given> {
        let one = &judged[index];
        let kind = &scene.kinds[one.at].kind;
        let own = one.verdict.deviate;
        let look = |(correlate, relation): &'_ (Arc<str>, Relation)| {
            let other = scene.deviate(correlate, one.at, judged)?;
            let light = relation.judge(own, other)?;
            Some((light, other))
        };
        let mut seen: [Option<Seen<'_>>; RELATIONS_MAX] = Default::default();
        for (place, pair) in seen.iter_mut().zip(&self.relations) {
            *place = look(pair).map(|(light, other)| Seen {
                ln_probability: light.tails.ln_probability(kind.side),
                light,
                other,
                relation: &pair.1,
                correlate: &pair.0,
            });
        }
        let all = || seen.iter().flatten();
        let best = all().map(|one| one.light.left).reduce(f64::min)?;
        let is_good = |one: &&Seen<'_>| one.light.left <= AS_GOOD_AS_THE_BEST * best;
        let excuse = all()
            .filter(is_good)
            .max_by(|a, b| a.ln_probability.total_cmp(&b.ln_probability))?;
        if kind.side == Side::Both
            && all().filter(is_good).count() == 1
            && own.abs() < excuse.other.abs()
        {
            return None;
        }
        Some(self.weigh(excuse, one, scene))
    }

    fn weigh(&self, seen: &Seen<'_>, one: &Judged, scene: &Scene<'_>) -> Given {
        let ln_p = seen.ln_probability;
        let most = f64::from(seen.light.buckets).ln_1p();
        let evidence = self.calibration.evidence(-ln_p).min(most);
        let hold = Hold::of_series(scene.span);
        let said = self.alarm.said(evidence, ln_p, scene.middle, hold);
        let own = Charge {
            ln_probability: one.verdict.ln_probability,
            evidence: one.verdict.evidence,
        };
        let second = second_view(ln_p, said);
        let told = match second.evidence >= EVIDENCE_RECORD || own.evidence >= EVIDENCE_RECORD {
            true => second.evidence > own.evidence,
            false => second.ln_probability < own.ln_probability,
        };
        let is_shown =
            told && (second.evidence >= EVIDENCE_RECORD || second.ln_probability < LN_RECORD);
        let expected = seen.light.expected;
        Given {
            own,
            own_claim_nats: one.verdict.claim.nats,
            told,
            correlate: seen.correlate.clone(),
            ln_probability: ln_p,
            expected,
            interval: match is_shown {
                true => seen.relation.interval(expected),
                false => (expected, expected),
            },
            evidence,
            said,
        }
    }
}

/// What the view given the correlates is worth beside the first.
fn second_view(ln_p: f64, said: f64) -> Charge {
    let least = ln_p.min(ln_probability_of(said));
    Charge {
        ln_probability: (least + LN_SECOND_VIEW).min(0.0),
        evidence: (said - LN_SECOND_VIEW).max(0.0),
    }
}

impl Judged {
    /// Both views are one from now on.
    fn give(&mut self, given: Given) {
        let second = second_view(given.ln_probability, given.said);
        let first = Charge {
            ln_probability: (given.own.ln_probability + LN_FIRST_VIEW).min(0.0),
            evidence: (given.own.evidence - LN_FIRST_VIEW).max(0.0),
        };
        let both = first.or(second);
        self.verdict.ln_probability = both.ln_probability;
        self.verdict.evidence = both.evidence;
        if given.told {
            self.verdict.claim.nats = self.verdict.claim.nats.max(given.evidence);
        }
        self.given = Some(given);
    }

    /// What is said of it is said because of this.
    pub(super) fn told_given(&self) -> Option<&Given> {
        self.given.as_ref().filter(|given| given.told)
    }
}
