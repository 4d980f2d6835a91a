//! The last dozen buckets of a member of a population together: how far out it has been again and again, against how far members come that way.
//!
//! Each bucket a member shows so many nats: -ln of the chance of what it shows among the others, of which a tenth show [`LEAN`] or more. Its *tally* is the sum of what
//! it shows beyond that, never below zero (a cumulative sum: Page, Continuous inspection schemes, Biometrika 41, 1954); a bucket without the member takes [`LEAN`]
//! away as one does in which it shows nothing. From [`WINDOW`] buckets on it fades, so that it is about a dozen of them whatever came before.
//!
//! How rare a tally is, is measured: a [`Crowd`] has those that members have reached in this population, so that visits that last for hours, and members that are always
//! far out, are known for what they are, and independence is not assumed. Beyond the outermost the tail is exponential, as that of a random walk that is drawn back is. It is
//! never believed to be rarer than buckets that know nothing of each other would have it: what members show is exponential with mean 1 then, a tally is the waiting time of a
//! queue with regular arrivals and exponential service (D/M/1), and `P(tally > x) = σ exp(-(1 - σ) x)`, σ the root of `σ = exp(-(1 - σ) LEAN)` (Lindley, The theory of
//! queues with a single server, 1952; Kleinrock, Queueing Systems I, 1975, 6.4).
//!
//! A run speaks while its last bucket leans: of one bucket nothing is said, nor does one count for more than it tells by itself. And it speaks *now*: a member that comes
//! back into line after hours of being far out has a tally for hours, and a tenth of its buckets lean by chance. So beside the tally goes a second sum, of how much likelier it is
//! that the member is still at it than that it is over. Buckets in which it is at it show [`ANY`]⁻¹ nats on average (7.3), others one: the likelihood ratio of a bucket of `x`
//! nats is `exp((1 − ANY)(x − LEAN))`, the very steps of the tally, whose sum from the bucket that favours it most is the best rule for such a change (Lorden, Procedures for
//! reacting to a change in distribution, Annals of Mathematical Statistics 42, 1971; Moustakides 1986). What lasts for a [`WINDOW`] on average ends in one of a dozen buckets, so the past speaks for no more than
//! eleven to one ([`CARRIED`]; the filter of a hidden Markov chain of two states, Shiryaev 1963). Where it is likelier over than not, the run is over and nothing is left of it.
//!
//! Units: nats, buckets. Holds: ln p is at most 0; a member that is away, or as the others are, for a dozen buckets is forgotten. Checked: tests below, tests/population.rs.

use super::crowd::{Crowd, Frame, Shown};
use super::presence::number_of;
use crate::config::Side;
use crate::time::{BucketSpan, BucketStart};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::f64::consts::LN_10;

/// Buckets that a tally is about.
const WINDOW: u8 = 12;
/// What a tenth of the members show, nats: so much is drawn from a tally every bucket. To be found after `n` buckets in a row, where `need` nats make an alarm, somebody
/// has to show `LEAN + (need + ln σ)/(n (1 − σ))` in each of them: for 6 to 12 buckets and 14 to 19 nats (60 to 10,000 members), that is within 7 % of the least there is at ln 10,
/// and within 13 % from ln 5 on; at ln 4 it is a quarter more, at ln 3 more than twice as much, at ln 30 a tenth to a third more (a test below). So it is in simulated populations: of
/// 600 runs of 4 to 12 buckets, of six kinds, among 60 members, 319 and 300 are found at ln 7 and ln 10, 241 at ln 14, 228, 175, 117 and none at ln 5, 20, 30 and 3.
const LEAN: f64 = LN_10;
/// σ: the chance that a tally of independent buckets is anything.
const ANY: f64 = 0.137128857423862;
/// What buckets before speak at the most for that a run goes on: `ln(WINDOW − 1)/(1 − ANY)`, nats as those of a tally.
const CARRIED: f64 = 2.778_972_612;
/// Width of a bin of tallies, nats.
const BIN: f64 = 0.25;
/// Suspects teach when so many of the last buckets had one...
const SUSPICIOUS_SHARE: f64 = 0.25;
/// ...of some forty.
const SUSPICION_GAIN: f64 = 0.025;

/// What one member has shown lately.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Nats beyond what a tenth show.
    tally: f32,
    /// The same of the lately shown: beyond 0 it is likelier that the member is at it than that it is over.
    going: f32,
    /// The last bucket with the member, by number since the epoch.
    last: u32,
    /// Buckets that the tally is about, at most [`WINDOW`].
    buckets: u8,
    /// Buckets in a row that leant, the last among them.
    in_a_row: u8,
}

/// A member's run as a bucket leaves it, to be learnt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reached {
    /// Which member, by the hash of its name.
    pub member: u64,
    /// Its run.
    pub run: Run,
    /// Whether it is under suspicion for it: it does not teach how far runs go.
    pub suspect: bool,
}

/// The runs of the members of one population, as one detector sees them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Runs {
    /// Of those that have a tally.
    members: BTreeMap<u64, Run>,
    /// Tallies of the members of all buckets; 0 where the last bucket did not lean.
    reached: Crowd,
    /// The share of the last buckets in which somebody was under suspicion.
    suspicious: f64,
}

/// What tallies are held against in one bucket.
pub struct Course<'r> {
    reached: Frame<'r>,
}

impl Run {
    /// After one more bucket.
    fn after(self, nats: f64) -> Run {
        let whole = f64::from(self.tally);
        let kept = match self.buckets < WINDOW {
            true => whole,
            false => whole * (1.0 - f64::from(WINDOW).recip()),
        };
        let step = nats - LEAN;
        let going = f64::from(self.going).min(CARRIED) + step;
        let (tally, going) = match going > 0.0 {
            true => ((kept + step).max(0.0) as f32, going as f32),
            false => (0.0, 0.0),
        };
        Run {
            tally,
            going,
            last: self.last.saturating_add(1),
            buckets: match tally > 0.0 {
                true => self.buckets.saturating_add(1).min(WINDOW),
                false => 0,
            },
            in_a_row: match nats > LEAN {
                true => self.in_a_row.saturating_add(1),
                false => 0,
            },
        }
    }

    /// As it is when the bucket of this number begins.
    fn before(self, number: u32) -> Run {
        let away = number.saturating_sub(self.last).saturating_sub(1);
        let left = match away < u32::from(WINDOW) {
            true => (0..away).fold(self, |run, _| run.after(0.0)),
            false => Run::default(),
        };
        Run {
            last: number.saturating_sub(1),
            ..left
        }
    }

    /// Whether the last bucket leant.
    fn leans(self) -> bool {
        self.in_a_row > 0
    }

    /// Whether there is more to it than its last bucket.
    fn is_of_several(self) -> bool {
        self.leans() && self.buckets > 1
    }

    /// ln of the odds that the member is still at it, at least 0.
    pub fn ln_going(self) -> f64 {
        (1.0 - ANY) * f64::from(self.going)
    }

    /// Buckets in a row, this one among them, in which the member showed what a tenth of the members show at the most.
    pub fn in_a_row(self) -> u32 {
        self.in_a_row.into()
    }
}

impl Runs {
    /// Nothing known.
    pub fn new(at: BucketStart) -> Runs {
        Runs {
            members: BTreeMap::new(),
            reached: Crowd::of_distances(at, BIN),
            suspicious: 0.0,
        }
    }

    /// The run of a member that shows so many nats in the bucket at `at`.
    pub fn with(&self, member: u64, nats: f64, at: BucketStart, span: BucketSpan) -> Run {
        let number = number_of(at, span);
        let known = self.members.get(&member).copied().unwrap_or_default();
        known.before(number).after(nats)
    }

    /// What runs are held against in the bucket at `at`; `None` while nothing is known.
    pub fn course(&self, at: BucketStart, span: BucketSpan) -> Option<Course<'_>> {
        let reached = self.reached.frame(&[], at, span)?;
        Some(Course { reached })
    }

    /// How many members have a tally.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether none has.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Bytes on the heap, given those of a member and of a bin.
    pub fn heap_bytes(&self, member_bytes: usize, bin_bytes: usize) -> usize {
        self.members.len() * member_bytes + self.reached.heap_bytes(bin_bytes)
    }

    /// Forgets the runs that have come to nothing before the bucket at `at`.
    pub fn forget(&mut self, at: BucketStart, span: BucketSpan) {
        let number = number_of(at, span);
        self.members.retain(|_, run| run.before(number).tally > 0.0);
    }

    /// Takes in what the members of the bucket at `at` have reached; a run that was not there only if `admit` has room for one.
    pub fn learn(
        &mut self,
        reached: &[Reached],
        at: BucketStart,
        span: BucketSpan,
        mut admit: impl FnMut() -> bool,
    ) {
        if reached.is_empty() {
            return;
        }
        let suspects = reached.iter().any(|one| one.suspect);
        self.suspicious += SUSPICION_GAIN * (f64::from(suspects) - self.suspicious);
        let doubts_them = self.suspicious < SUSPICIOUS_SHARE;
        let leaning = reached.iter().filter(|one| one.run.leans());
        let mut shown: Vec<Shown> = leaning
            .map(|one| Shown {
                value: one.run.tally.into(),
                suspect: one.suspect && doubts_them,
            })
            .collect();
        shown.sort_by(|a, b| a.value.total_cmp(&b.value));
        let others = reached.len() - shown.len();
        self.reached.learn_distances(others, &shown, at, span);
        for one in reached {
            match one.run.tally > 0.0 {
                false => {
                    self.members.remove(&one.member);
                }
                true if self.members.contains_key(&one.member) || admit() => {
                    self.members.insert(one.member, one.run);
                }
                true => {}
            }
        }
    }
}

impl Course<'_> {
    /// ln of the chance that a member's run has come so far; `None` where there is no run: of one bucket, or over.
    pub fn ln_probability(&self, run: Run) -> Option<f64> {
        run.is_of_several().then(|| {
            let tally = f64::from(run.tally);
            let shown = self.reached.ln_probability(tally, Side::High);
            shown.max(ANY.ln() - (1.0 - ANY) * tally).min(0.0)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::{Rng, SeedableRng};

    fn span() -> BucketSpan {
        BucketSpan::from_seconds(3_600).expect("a span")
    }

    fn at(bucket: i64) -> BucketStart {
        BucketStart(bucket * 3_600_000)
    }

    fn uniform(random: &mut ChaCha8Rng) -> f64 {
        (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A day and a half of a hundred members, each of whom shows what chance brings for as many buckets at a time as `visit` says.
    fn known(visit: i64) -> Runs {
        let mut random = ChaCha8Rng::seed_from_u64(7);
        let mut runs = Runs::new(at(0));
        let mut shows = [0.0; 100];
        for bucket in 0..400 {
            let reached: Vec<Reached> = (0u64..)
                .zip(&mut shows)
                .map(|(member, nats)| {
                    if (bucket + member as i64) % visit == 0 {
                        *nats = -(1.0 - uniform(&mut random)).ln();
                    }
                    Reached {
                        member,
                        run: runs.with(member, *nats, at(bucket), span()),
                        suspect: false,
                    }
                })
                .collect();
            runs.forget(at(bucket), span());
            runs.learn(&reached, at(bucket), span(), || true);
        }
        runs
    }

    /// ln p after each of so many buckets in a row of a stranger that shows `nats`.
    fn of_stranger(runs: &mut Runs, buckets: i64, nats: f64) -> Vec<f64> {
        let course = |runs: &Runs, bucket, run| {
            let course = runs.course(at(bucket), span()).expect("known");
            course.ln_probability(run).unwrap_or(0.0)
        };
        (400..400 + buckets)
            .map(|bucket| {
                let run = runs.with(1_000, nats, at(bucket), span());
                runs.members.insert(1_000, run);
                course(runs, bucket, run)
            })
            .collect()
    }

    #[test]
    fn independent_tallies_are_as_rare_as_the_queue_says() {
        assert!(((ANY - 1.0) * LEAN).exp() - ANY < 1e-12);
        let mut random = ChaCha8Rng::seed_from_u64(2);
        let (mut run, mut beyond) = (Run::default(), [0.0; 3]);
        for _ in 0..400_000 {
            // Before it fades.
            run.buckets = run.buckets.min(WINDOW - 1);
            run = run.after(-(1.0 - uniform(&mut random)).ln());
            for (count, x) in beyond.iter_mut().zip([0.0f32, 2.0, 5.0]) {
                *count += f64::from(u8::from(run.tally > x)) / 400_000.0;
            }
        }
        for (share, x) in beyond.into_iter().zip([0.0, 2.0, 5.0]) {
            let expected = ANY * (-(1.0 - ANY) * x).exp();
            assert!(
                (0.85..1.05).contains(&(share / expected)), // some are over sooner
                "{x}: {share} {expected}"
            );
        }
    }

    #[test]
    fn the_longer_a_run_the_less_likely_and_the_more_so_where_buckets_stand_for_themselves() {
        let (mut alone, mut visits) = (known(1), known(6));
        let [alone, visits] = [&mut alone, &mut visits].map(|runs| of_stranger(runs, 8, 4.6));
        assert!(
            alone[0] == 0.0 && alone.is_sorted_by(|a, b| a >= b),
            "{alone:?}"
        );
        assert!(alone[5] < -9.0, "{alone:?}");
        assert!(visits[5] > alone[5] + 3.0, "{visits:?} {alone:?}");
    }

    /// What somebody has to show in each of `n` buckets to be found by them, and by no other number of nats drawn from a tally with less.
    #[test]
    fn what_a_tenth_show_finds_the_faintest_runs_of_half_a_dozen_to_a_dozen_buckets() {
        for need in [14.0, 16.5, 19.0] {
            for n in [6.0, 9.0, 12.0] {
                let faintest = |lean: f64| {
                    let any = (0..500).fold(0.0, |any: f64, _| ((any - 1.0) * lean).exp());
                    lean + (need + any.ln()) / (n * (1.0 - any))
                };
                let of = |times: f64| faintest(times.ln());
                let least = (12..120).map(|one| of(0.25 * f64::from(one)));
                let least = least.fold(f64::INFINITY, f64::min);
                assert!(faintest(LEAN) < 1.07 * least, "{need} {n}");
                assert!(of(5.0) < 1.13 * least && of(3.0) > 2.0 * least);
                assert!(of(30.0) > 1.09 * least);
            }
        }
    }

    #[test]
    fn after_hours_far_out_a_bucket_that_leans_by_chance_is_not_held_to_be_more_of_the_same() {
        assert!((CARRIED - f64::from(WINDOW - 1).ln() / (1.0 - ANY)).abs() < 1e-8);
        let hours = (0..8).fold(Run::default(), |run, _| run.after(7.3));
        assert!(hours.ln_going() > 6.0 && hours.after(4.6).ln_going() > 4.0);
        // At once it may be, and is no alarm; after one usual bucket it hardly is, after two it is another run.
        let leans = |after: u32| (0..after).fold(hours, |run, _| run.after(0.7)).after(2.5);
        let odds: Vec<f64> = (0..4).map(|after| leans(after).ln_going()).collect();
        assert!(odds.is_sorted_by(|a, b| a >= b), "{odds:?}");
        assert!(odds[0] < 3.0 && odds[1] < 1.3 && odds[2] < 0.2, "{odds:?}");
        assert!(leans(1).is_of_several() && !leans(2).is_of_several());
        assert!(f64::from(leans(2).tally) < 0.3);
    }

    #[test]
    fn what_is_over_is_over_and_who_is_away_is_forgotten() {
        let mut runs = known(1);
        of_stranger(&mut runs, 6, 4.6);
        let reached = runs.with(1_000, 0.0, at(406), span());
        let course = runs.course(at(406), span()).expect("known");
        assert_eq!(course.ln_probability(reached), None);
        let returns = |bucket: i64| runs.with(1_000, 4.6, at(bucket), span());
        let tallies: Vec<f32> = (406..420).map(|bucket| returns(bucket).tally).collect();
        assert!(tallies.is_sorted_by(|a, b| a >= b), "{tallies:?}");
        assert!((f64::from(tallies[13]) - (4.6 - LEAN)).abs() < 1e-5);
        runs.forget(at(420), span());
        assert!(!runs.members.contains_key(&1_000));
    }

    #[test]
    fn who_goes_on_for_ever_has_a_tally_of_a_dozen_buckets() {
        let run = (0..500).fold(Run::default(), |run, _| run.after(5.0));
        assert!(f64::from(run.tally) < 12.5 * (5.0 - LEAN), "{run:?}");
        assert_eq!((run.buckets, run.in_a_row), (WINDOW, u8::MAX));
    }
}
