//! What the jobs of a process know of each other's reading of one partition.
//!
//! ```text
//!  lane ──┬── leader     reads with its own client, and puts what it has read into the ring
//!         ├── ring       the last batches, one after another without a hole
//!         └── followers  take from the ring what comes next for them, and fetch nothing
//! ```
//!
//! Each member is in one lane. One that stands where another lane's ring reaches changes over to it; one that finds its next offset in no ring leads a
//! lane of its own. Nothing here waits, and nothing here decides what a job is handed: only where it comes from.
//! Holds: the batches of a ring follow one another (`to` of one is `from` of the next), and the last ends where the lane stands.
//! Units: offsets, bytes, milliseconds. Checked by: the tests of the parent module, tests/simulation.rs.

use super::super::Bell;
use super::Limits;
use super::batch::{Batch, Copied};
use crate::config::Job;
use crate::decode::together::Together;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Everybody who reads a partition.
#[derive(Default)]
pub(super) struct Shelf {
    members: BTreeMap<u64, Member>,
    lanes: BTreeMap<u64, Lane>,
    together: Option<Arc<Together>>,
    spare: Vec<Copied>,
    next_lane: u64,
}

struct Member {
    job: Arc<Job>,
    bell: Option<Arc<Bell>>,
    lane: u64,
    /// The next offset that it is to be handed.
    next: i64,
    /// It takes nothing for now, and must not be waited for.
    resting: bool,
}

#[derive(Default)]
struct Lane {
    leader: Option<u64>,
    /// When the leader was last heard of.
    seen_ms: i64,
    ring: VecDeque<Arc<Batch>>,
    bytes: usize,
    /// Where the leader stands, and the ring ends.
    next: i64,
    /// Where the log ends, as the client of a leader has said last who is not alone.
    end: Option<i64>,
}

/// What a member is to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Read on with its own client. Nobody else reads the partition.
    Alone,
    /// Read on with its own client, for others too; `early`: others would be glad if it waited.
    Lead { early: bool },
    /// Begin to read where it stands.
    Begin,
    /// Read nothing, and take from the ring.
    Follow,
}

/// Whom a change concerns.
pub(super) type Bells = Vec<Arc<Bell>>;

impl Shelf {
    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Somebody begins at `next`. Whether as a leader, who reads.
    pub(super) fn sit(
        &mut self,
        (key, job): (u64, &Arc<Job>),
        bell: Option<Arc<Bell>>,
        next: i64,
        (now_ms, limits): (i64, &Limits),
    ) -> bool {
        let found = self.lane_at(next, None, now_ms, limits);
        let lane = found.unwrap_or_else(|| self.open_lane(key, next, now_ms));
        let member = Member {
            job: Arc::clone(job),
            bell,
            lane,
            next,
            resting: false,
        };
        self.members.insert(key, member);
        self.regroup();
        found.is_none()
    }

    /// Somebody goes. Those who followed are woken.
    pub(super) fn leave(&mut self, key: u64) -> Bells {
        let Some(member) = self.members.remove(&key) else {
            return Bells::new();
        };
        self.regroup();
        self.resign(key, member.lane)
    }

    /// Others lead its lane, if it has any, or will.
    fn resign(&mut self, key: u64, lane: u64) -> Bells {
        let bells = self.others_in(lane, key);
        match self.lanes.get_mut(&lane) {
            Some(_) if !self.members.values().any(|member| member.lane == lane) => {
                self.lanes.remove(&lane);
            }
            Some(held) if held.leader == Some(key) => (held.leader, held.end) = (None, None),
            _ => {}
        }
        bells
    }

    /// The decoder of all that are here now. Batches that are here already stay as they are.
    fn regroup(&mut self) {
        self.together = match self.members.len() {
            0 | 1 => None,
            _ => {
                let jobs = self.members.iter().map(|(key, member)| (*key, &member.job));
                Together::of(jobs).map(Arc::new)
            }
        };
    }

    /// A lane whose ring reaches an offset, and that has a leader who is well.
    fn lane_at(&self, offset: i64, but: Option<u64>, now_ms: i64, limits: &Limits) -> Option<u64> {
        let mut lanes = self
            .lanes
            .iter()
            .filter(|(number, _)| Some(**number) != but);
        let reaches = |lane: &Lane| lane.start() <= offset && offset <= lane.next;
        let found = lanes.find(|(_, lane)| lane.is_led(now_ms, limits) && reaches(lane));
        found.map(|(number, _)| *number)
    }

    fn open_lane(&mut self, leader: u64, next: i64, now_ms: i64) -> u64 {
        self.next_lane += 1;
        let lane = Lane {
            leader: Some(leader),
            seen_ms: now_ms,
            next,
            ..Lane::default()
        };
        self.lanes.insert(self.next_lane, lane);
        self.next_lane
    }

    /// What a member is to do now, and who has to hear of it.
    pub(super) fn turn(&mut self, key: u64, now_ms: i64, limits: &Limits) -> (Turn, Bells) {
        let Some(member) = self.members.get(&key) else {
            return (Turn::Alone, Bells::new());
        };
        let (number, next, resting) = (member.lane, member.next, member.resting);
        let is_alone = self.members.len() == 1;
        let elsewhere = match is_alone {
            true => None,
            false => self.lane_at(next, Some(number), now_ms, limits),
        };
        let lane = self.lanes.entry(number).or_default();
        if lane.leader == Some(key) {
            if !resting {
                lane.seen_ms = now_ms;
            }
            return match elsewhere {
                Some(other) => (Turn::Follow, self.change_over(key, other)),
                None if is_alone => {
                    lane.end = None; // nobody is told any more: whoever comes is not to take it for the present end
                    (Turn::Alone, Bells::new())
                }
                None => {
                    let early = self.is_early(key, number, now_ms, limits);
                    (Turn::Lead { early }, Bells::new())
                }
            };
        }
        let is_there = lane.start() <= next && next < lane.next;
        let will_come = next >= lane.next && lane.is_led(now_ms, limits);
        if resting || is_there || will_come {
            return (Turn::Follow, Bells::new());
        }
        if let Some(other) = elsewhere {
            return (Turn::Follow, self.change_over(key, other));
        }
        if next != lane.next {
            let own = self.open_lane(key, next, now_ms);
            return (Turn::Begin, self.change_over(key, own));
        }
        (lane.leader, lane.seen_ms, lane.end) = (Some(key), now_ms, None);
        (Turn::Begin, Bells::new())
    }

    fn change_over(&mut self, key: u64, to: u64) -> Bells {
        match self.members.get_mut(&key) {
            Some(member) => {
                let from = std::mem::replace(&mut member.lane, to);
                self.resign(key, from)
            }
            None => Bells::new(),
        }
    }

    /// Whether a leader is so far ahead of somebody that it would soon lose him, or before somebody who may still join it, and is not live: who is
    /// live waits for nobody.
    fn is_early(&self, key: u64, number: u64, now_ms: i64, limits: &Limits) -> bool {
        let Some(lane) = self.lanes.get(&number) else {
            return false;
        };
        let ahead = lane
            .end
            .map(|end| u64::try_from(end - lane.next).unwrap_or(0));
        if ahead.is_none_or(|ahead| ahead <= limits.live_messages) {
            return false;
        }
        let oldest = lane.ring.front().map_or(lane.next, |batch| batch.to);
        let one_more = lane.ring.back().map_or(0, |batch| batch.bytes());
        let is_full = lane.bytes + one_more > limits.ring_bytes;
        let followers = self
            .members
            .iter()
            .filter(|(one, member)| **one != key && member.lane == number && !member.resting);
        let loses = is_full
            && followers
                .into_iter()
                .any(|(_, member)| member.next < oldest);
        let may_join = |other: &Lane| {
            other.is_led(now_ms, limits)
                && other.next < lane.start()
                && lane.next - other.next <= limits.reach
        };
        let others = self.lanes.iter().filter(|(other, _)| **other != number);
        loses || others.into_iter().any(|(_, other)| may_join(other))
    }

    /// The next batch for a follower.
    pub(super) fn next_batch(&self, key: u64) -> Option<(Arc<Batch>, i64)> {
        let member = self.members.get(&key)?;
        let lane = self.lanes.get(&member.lane)?;
        let at = lane.ring.partition_point(|batch| batch.to <= member.next);
        let batch = lane.ring.get(at)?;
        (batch.from <= member.next).then(|| (Arc::clone(batch), member.next))
    }

    /// A follower has taken everything before `to`. The leader may have waited for that.
    pub(super) fn took(&mut self, key: u64, to: i64) -> Option<Arc<Bell>> {
        let member = self.members.get_mut(&key)?;
        member.next = to;
        let leader = self.lanes.get(&member.lane)?.leader?;
        self.members.get(&leader)?.bell.clone()
    }

    /// Who is alone has taken everything before `to`, and leaves nothing for others.
    pub(super) fn passed(&mut self, key: u64, to: i64) {
        if let Some(member) = self.members.get_mut(&key) {
            member.next = to;
            if let Some(lane) = self.lanes.get_mut(&member.lane) {
                lane.clear();
                lane.next = to;
            }
        }
    }

    /// Memory to copy messages into, and the decoder to use, if anybody would profit. Whoever asks is heard of.
    pub(super) fn prepare(&mut self, key: u64, now_ms: i64) -> (Copied, Option<Arc<Together>>) {
        let lane = self.members.get(&key).map(|member| member.lane);
        let led = lane.and_then(|lane| self.lanes.get_mut(&lane));
        if let Some(led) = led.filter(|led| led.leader == Some(key)) {
            led.seen_ms = now_ms;
        }
        let is_followed = |(other, member): (&u64, &Member)| {
            *other != key && Some(member.lane) == lane && !member.resting
        };
        let together = self.together.as_ref();
        let together = together.filter(|_| self.members.iter().any(is_followed));
        (self.spare.pop().unwrap_or_default(), together.cloned())
    }

    /// A leader has read a batch, and stands behind it. Those who wait for it are woken.
    pub(super) fn put(&mut self, key: u64, batch: &Arc<Batch>, limits: &Limits) -> Bells {
        let Some(member) = self.members.get_mut(&key) else {
            return Bells::new();
        };
        member.next = batch.to;
        let number = member.lane;
        let Some(lane) = self.lanes.get_mut(&number) else {
            return Bells::new();
        };
        if lane.leader != Some(key) || lane.next != batch.from {
            return Bells::new(); // somebody else has taken the lead meanwhile
        }
        lane.bytes += batch.bytes();
        lane.next = batch.to;
        lane.ring.push_back(Arc::clone(batch));
        while lane.bytes > limits.ring_bytes && lane.ring.len() > 1 {
            if let Some(old) = lane.ring.pop_front() {
                lane.bytes -= old.bytes();
                if let Some(old) = Arc::into_inner(old).filter(|_| self.spare.len() < SPARE_MAX) {
                    self.spare.push(old.into_copied());
                }
            }
        }
        self.others_in(number, key)
    }

    /// Where the log ends, by a leader's client.
    pub(super) fn look_ahead(&mut self, key: u64, end: Option<i64>) {
        if let Some(member) = self.members.get(&key)
            && let Some(lane) = self.lanes.get_mut(&member.lane)
            && lane.leader == Some(key)
        {
            lane.end = end;
        }
    }

    /// How far a follower has to go.
    pub(super) fn lag(&self, key: u64, now_ms: i64, limits: &Limits) -> Option<u64> {
        let member = self.members.get(&key)?;
        let lane = self.lanes.get(&member.lane)?;
        let lag = u64::try_from(lane.end? - member.next).unwrap_or(0);
        // What a leader knew who has not been heard of since is no proof that all has been read.
        Some(
            match lane.is_led(now_ms, limits) && member.next <= lane.next {
                true => lag,
                false => lag.max(1),
            },
        )
    }

    /// Whether a member takes nothing for a while. When one who leads has rested for long, others lead.
    pub(super) fn rest(&mut self, key: u64, resting: bool) {
        if let Some(member) = self.members.get_mut(&key) {
            member.resting = resting;
        }
    }

    fn others_in(&self, lane: u64, key: u64) -> Bells {
        let others = self.members.iter();
        let others = others.filter(|(other, member)| **other != key && member.lane == lane);
        others
            .filter_map(|(_, member)| member.bell.clone())
            .collect()
    }
}

/// Emptied batches kept for their memory.
const SPARE_MAX: usize = 4;

impl Lane {
    fn start(&self) -> i64 {
        self.ring.front().map_or(self.next, |batch| batch.from)
    }

    fn is_led(&self, now_ms: i64, limits: &Limits) -> bool {
        self.leader.is_some() && now_ms - self.seen_ms <= limits.patience_ms
    }

    fn clear(&mut self) {
        self.ring.clear();
        self.bytes = 0;
    }
}
