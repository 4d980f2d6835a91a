//! The last dozen buckets of each member, detector by detector: judged with its bucket, learnt after it.
//!
//! Holds: an interim bucket teaches nothing; the bytes of runs are within the memory limit.

use super::super::ShardSize;
use super::super::memory::Budget;
use super::super::rarity::LN_BLOCK;
use super::kept::{Population, run_bytes, runs_bytes};
use super::{Jury, Look, Member, crowd_growth};
use crate::engine::event::symbols::hash_of;
use crate::engine::model::runs::{Reached, Run, Runs};
use crate::engine::probability::Charge;
use crate::time::{BucketSpan, BucketStart};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::f64::consts::LN_2;

/// What a member's last buckets say.
#[derive(Clone, Copy)]
pub(super) struct Dozen {
    pub(super) ln_probability: f64,
    /// ln of the odds that it still is as they were.
    ln_going: f64,
    /// Buckets in a row in which it was out.
    pub(super) in_a_row: u32,
}

impl Jury<'_> {
    /// What is held against the last buckets of a member that shows this in the last of them; `None` where there is no run.
    pub(super) fn dozen(
        &self,
        member: &Member<'_>,
        detector: usize,
        alone: Charge,
    ) -> Option<Dozen> {
        let course = self.courses.get(&(detector as u16))?;
        let run = self.run(member, detector, alone);
        Some(Dozen {
            ln_probability: course.ln_probability(run)?,
            ln_going: run.ln_going(),
            in_a_row: run.in_a_row(),
        })
    }

    /// The bucket and the dozen that it ends: the lesser, which for the dozen is a second look. The dozen is held against this bucket as far as it is sure that
    /// what it shows is not over.
    pub(super) fn both(&self, alone: Charge, dozen: Dozen) -> Charge {
        let together = self.bar.charge((dozen.ln_probability + LN_2).min(0.0));
        let evidence = together.evidence.min(dozen.ln_going);
        match evidence > alone.evidence {
            true => Charge {
                evidence,
                ..together
            },
            false => alone,
        }
    }

    /// What a member's run has come to, to be learnt; `shown` is what all its looks show. `None` where nothing of it teaches.
    pub(super) fn stride(
        &self,
        member: &Member<'_>,
        detector: usize,
        shown: Option<Charge>,
    ) -> Option<(u16, Reached)> {
        let taught = match member.looks.iter().all(Look::teaches) {
            true => shown?,
            false => self.charge(self.looks(member, detector, |look| look.teaches()))?,
        };
        let run = self.run(member, detector, taught);
        let course = self.courses.get(&(detector as u16));
        let ln_probability = course.and_then(|course| course.ln_probability(run));
        let suspects = |ln_p| self.bar.suspects(self.bar.charge(ln_p));
        let reached = Reached {
            member: hash_of(member.over),
            run,
            suspect: ln_probability.is_some_and(suspects),
        };
        Some((detector as u16, reached))
    }

    /// A bucket counts for no more than a block of them shows by chance: what is further out, it tells by itself.
    fn run(&self, member: &Member<'_>, detector: usize, alone: Charge) -> Run {
        let span = self.judge.job.bucket_span;
        let nats = (-alone.ln_probability).min(self.bar.ln_members() + LN_BLOCK);
        match self.population.runs.get(&(detector as u16)) {
            Some(runs) => runs.with(hash_of(member.over), nats, self.start, span),
            None => Runs::new(self.start).with(0, nats, self.start, span),
        }
    }
}

/// Takes in what the runs of the members have come to.
pub(super) fn learn(
    population: &mut Population,
    members: &[Member<'_>],
    (start, span): (BucketStart, BucketSpan),
    (budget, size): (Budget, &mut ShardSize),
) {
    let mut by_detector: BTreeMap<u16, Vec<Reached>> = BTreeMap::new();
    for &(detector, reached) in members.iter().flat_map(|member| &member.strides) {
        by_detector.entry(detector).or_default().push(reached);
    }
    for (detector, reached) in by_detector {
        let runs = match population.runs.entry(detector) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => {
                let new = Runs::new(start);
                if !budget.admits(size, runs_bytes(&new)) {
                    size.refused_growth += 1;
                    continue;
                }
                size.model_bytes += runs_bytes(&new);
                place.insert(new)
            }
        };
        let before = runs_bytes(runs);
        runs.forget(start, span);
        size.model_bytes = size.model_bytes - before + runs_bytes(runs);
        let before = runs_bytes(runs);
        let leaning = reached.iter().filter(|one| one.run.in_a_row() > 0).count();
        let Some(mut left) = budget.room(size).left().checked_sub(crowd_growth(leaning)) else {
            size.refused_growth += 1;
            continue;
        };
        let mut refused = 0;
        runs.learn(&reached, start, span, || {
            let admitted = left.checked_sub(run_bytes());
            refused += u64::from(admitted.is_none());
            left = admitted.unwrap_or(left);
            admitted.is_some()
        });
        size.refused_growth += u64::from(refused > 0);
        size.model_bytes = size.model_bytes - before + runs_bytes(runs);
    }
}
