//! Any number of jobs on one partition, in any state: each is handed everything from its seek on, in order and once; and what is shared is.

use super::*;
use crate::runtime::clock::ManualClock;
use crate::runtime::log::memory::{Cluster, MemoryLog};

const TOPIC: &str = "events";

fn job(id: &str, field: &str) -> Arc<Job> {
    let text = format!(
        r#"{{"job_id": "{id}", "analysis_config": {{"bucket_span": "1m", "detectors": [{{"function": "mean", "field_name": "{field}"}}]}},
            "data_description": {{"time_field": "t"}}, "datafeed_config": {{"indices": ["{TOPIC}"]}}}}"#
    );
    Arc::new(Job::from_text(&text, "shared.json").unwrap())
}

/// What one job hears: offsets in their order, and of how many messages nothing had to be fetched or decoded any more.
#[derive(Default)]
struct Diary {
    assigned: Vec<TopicPartition>,
    offsets: Vec<i64>,
    of_others: usize,
    decoded: usize,
}

impl Handler for Diary {
    fn assigned(&mut self, assignments: Vec<Assignment>) {
        self.assigned.extend(assignments.into_iter().map(|a| a.at));
    }

    fn revoked(&mut self, _: &[TopicPartition], _: Revocation) {}

    fn batch(&mut self, _: &TopicPartition, messages: &mut dyn Iterator<Item = Message<'_>>) {
        self.offsets.extend(messages.map(|message| message.offset));
    }

    fn shared(&mut self, _: &TopicPartition, portion: &Portion<'_>) {
        for (message, given) in portion.messages() {
            self.offsets.push(message.offset);
            self.of_others += usize::from(portion.is_of_another());
            self.decoded += usize::from(given.is_some());
        }
    }
}

struct World {
    cluster: Cluster,
    clock: ManualClock,
    sharing: Arc<Sharing>,
}

struct Reader {
    log: SharedLog<MemoryLog>,
    diary: Diary,
}

impl World {
    fn new(limits: Limits) -> World {
        World::of(1, limits)
    }

    fn of(partitions: i32, limits: Limits) -> World {
        let (cluster, clock) = (Cluster::new(), ManualClock::at(0));
        cluster.create_topic(TOPIC, partitions);
        let sharing = Sharing::new(Arc::new(clock.clone()), limits);
        World {
            cluster,
            clock,
            sharing,
        }
    }

    fn append(&self, messages: usize) {
        self.append_to(0, messages);
    }

    fn append_to(&self, partition: i32, messages: usize) {
        for _ in 0..messages {
            let message = Outgoing {
                topic: TOPIC.into(),
                partition: Some(partition),
                key: None,
                payload: Some(br#"{"t": 1700000000000, "a": 1, "b": 2}"#.to_vec()),
                headers: Vec::new(),
                timestamp_ms: None,
            };
            self.cluster.append(&message).unwrap();
        }
    }

    fn reader(&self, id: &str, field: &str, from: i64) -> Reader {
        let mut log = self.cluster.open(id, id);
        log.set_batch_max(10);
        let mut log = SharedLog::new(log, &self.sharing, job(id, field));
        log.subscribe(&[TOPIC.to_owned()]).unwrap();
        let mut diary = Diary::default();
        log.poll(Duration::ZERO, &mut diary).unwrap();
        for at in &diary.assigned {
            log.seek(at, from).unwrap();
        }
        Reader { log, diary }
    }
}

impl Reader {
    fn poll(&mut self) {
        self.log.poll(Duration::ZERO, &mut self.diary).unwrap();
    }

    fn poll_to_the_end(&mut self) {
        let at = TopicPartition::new(TOPIC, 0);
        for _ in 0..10_000 {
            self.poll();
            if self.log.lag(&at) == Some(0) {
                return;
            }
        }
        panic!(
            "no end in sight after {} messages",
            self.diary.offsets.len()
        );
    }

    /// It was handed everything from `from` on, each once and in order.
    fn has_read(&self, from: i64, to: i64) {
        let offsets = &self.diary.offsets;
        let is_so = offsets.iter().copied().eq(from..to);
        assert!(
            is_so,
            "{} messages, the last {:?}",
            offsets.len(),
            offsets.last()
        );
    }
}

fn small() -> Limits {
    Limits {
        ring_bytes: 20_000,
        reach: 100,
        live_messages: 50,
        patience_ms: 250,
    }
}

#[test]
fn two_jobs_at_one_place_fetch_and_decode_once() {
    let world = World::new(small());
    let (mut a, mut b) = (world.reader("a", "a", 0), world.reader("b", "b", 0));
    world.append(1000);
    for _ in 0..200 {
        a.poll();
        b.poll();
        world.clock.advance(1);
    }
    a.has_read(0, 1000);
    b.has_read(0, 1000);
    assert_eq!((a.diary.of_others, b.diary.of_others), (0, 1000));
    assert!(a.diary.decoded >= 990 && b.diary.decoded >= 990);
}

#[test]
fn one_that_is_behind_reads_for_itself_until_it_meets_the_others() {
    let world = World::new(Limits {
        reach: 0,
        ..small()
    });
    world.append(1000);
    let mut a = world.reader("a", "a", 0);
    a.poll_to_the_end();
    let mut b = world.reader("b", "b", 0);
    b.poll_to_the_end();
    b.has_read(0, 1000);
    let alone = b.diary.of_others;
    assert!(alone < 1000, "{alone}");
    for _ in 0..100 {
        world.append(7);
        a.poll();
        b.poll();
    }
    a.poll_to_the_end();
    b.poll_to_the_end();
    a.has_read(0, 1700);
    b.has_read(0, 1700);
    assert_eq!(a.diary.of_others + b.diary.of_others - alone, 700);
}

#[test]
fn who_cannot_keep_up_falls_out_and_loses_nothing() {
    let world = World::new(small());
    let (mut a, mut b) = (world.reader("a", "a", 0), world.reader("b", "b", 0));
    for _ in 0..50 {
        world.append(100);
        a.poll_to_the_end();
        b.poll();
    }
    b.poll_to_the_end();
    a.has_read(0, 5000);
    b.has_read(0, 5000);
}

#[test]
fn a_leader_waits_for_those_behind_half_of_its_time_and_never_when_it_is_live() {
    let world = World::new(small());
    world.append(10_000);
    let (mut a, mut b) = (world.reader("a", "a", 0), world.reader("b", "b", 0));
    b.poll();
    for _ in 0..1_000 {
        a.poll();
        world.clock.advance(1);
    }
    let read = a.diary.offsets.len();
    assert!(
        (4_500..6_500).contains(&read),
        "{read} of 10,000 in 1,000 polls"
    );
    a.poll_to_the_end();
    let before = a.diary.offsets.len();
    world.append(40);
    for _ in 0..4 {
        a.poll();
    }
    assert_eq!(a.diary.offsets.len(), before + 40, "live, and made to wait");
}

#[test]
fn when_a_leader_goes_or_is_silent_another_one_leads() {
    let world = World::new(small());
    let mut readers = ["a", "b", "c"].map(|id| world.reader(id, id, 0));
    world.append(300);
    let [a, b, c] = &mut readers;
    for _ in 0..20 {
        a.poll();
        b.poll();
        c.poll();
    }
    // Silent for longer than the others have patience.
    world.clock.advance(251);
    b.poll();
    c.poll();
    b.poll_to_the_end();
    c.poll_to_the_end();
    b.has_read(0, 300);
    c.has_read(0, 300);
    a.poll_to_the_end();
    a.has_read(0, 300);
    // Gone.
    world.append(300);
    let [a, b, mut c] = readers;
    drop(b);
    drop(a);
    c.poll_to_the_end();
    c.has_read(0, 600);
}

#[test]
fn a_seek_begins_anew_wherever_the_others_are() {
    let world = World::new(small());
    world.append(200);
    let (mut a, mut b) = (world.reader("a", "a", 0), world.reader("b", "b", 0));
    a.poll_to_the_end();
    b.poll_to_the_end();
    for from in [150, 0, 199, 200] {
        b.diary.offsets.clear();
        b.log.seek(&TopicPartition::new(TOPIC, 0), from).unwrap();
        b.poll_to_the_end();
        b.has_read(from, 200);
    }
}

#[test]
fn one_that_is_held_is_handed_nothing_and_stops_nobody() {
    let at = TopicPartition::new(TOPIC, 0);
    let world = World::new(small());
    world.append(500);
    let (mut a, mut b) = (world.reader("a", "a", 0), world.reader("b", "b", 0));
    a.poll();
    b.poll();
    a.log.hold(&at, true);
    let held = a.diary.offsets.len();
    for _ in 0..100 {
        a.poll();
        b.poll();
        world.clock.advance(10);
    }
    b.poll_to_the_end();
    assert_eq!(a.diary.offsets.len(), held);
    a.log.hold(&at, false);
    a.poll_to_the_end();
    a.has_read(0, 500);
    b.has_read(0, 500);
}

#[test]
fn the_lag_of_one_who_follows_is_nought_exactly_when_all_has_been_handed_over() {
    let at = TopicPartition::new(TOPIC, 0);
    let world = World::new(small());
    let (mut a, mut b) = (world.reader("a", "a", 0), world.reader("b", "b", 0));
    world.append(40);
    a.poll();
    b.poll();
    for _ in 0..5 {
        a.poll();
    }
    assert_eq!(b.log.lag(&at), Some(40 - b.diary.offsets.len() as u64));
    b.poll_to_the_end();
    assert_eq!(b.diary.offsets.len(), 40);
    // Nobody knows what has come since.
    world.clock.advance(251);
    assert_ne!(b.log.lag(&at), Some(0));
}

#[test]
fn on_threads_of_their_own_all_read_everything_in_order_while_some_begin_anew_and_some_go() {
    const MESSAGES: i64 = 20_000;
    let world = World::new(Limits {
        patience_ms: 5,
        ..small()
    });
    let sharing = Sharing::new(
        Arc::new(crate::runtime::clock::SystemClock),
        world.sharing.limits,
    );
    let world = World { sharing, ..world };
    let at = TopicPartition::new(TOPIC, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..MESSAGES / 50 {
                world.append(50);
            }
        });
        for number in 0..4 {
            let (world, at) = (&world, &at);
            scope.spawn(move || {
                let (id, field) = (format!("job-{number}"), format!("field-{number}"));
                let mut reader = world.reader(&id, &field, 0);
                let mut from = 0;
                while reader.diary.offsets.last() != Some(&(MESSAGES - 1)) {
                    reader.poll();
                    let read = reader.diary.offsets.len() as i64;
                    match number {
                        // Comes back to where it has been.
                        1 if from == 0 && read > MESSAGES / 3 => {
                            reader.has_read(0, read);
                            from = read / 2;
                            reader.diary.offsets.clear();
                            reader.log.seek(at, from).unwrap();
                        }
                        // Goes, and another one of its kind comes.
                        2 if from == 0 && read > MESSAGES / 2 => {
                            reader.has_read(0, read);
                            from = read;
                            drop(reader);
                            reader = world.reader("again", &field, from);
                        }
                        // Is slow.
                        3 if read % 7 == 0 => std::thread::yield_now(),
                        _ => {}
                    }
                }
                reader.has_read(from, MESSAGES);
            });
        }
    });
}

#[test]
fn what_was_read_of_a_topic_is_not_handed_to_who_reads_another_of_its_name() {
    let at = TopicPartition::new(TOPIC, 0);
    let names = [TOPIC.to_owned()];
    let world = World::new(small());
    let mut a = world.reader("a", "a", 0);
    a.log.identities(&names).unwrap();
    a.log.seek(&at, 0).unwrap();
    world.append(40);
    a.poll_to_the_end();
    world.cluster.remake_topic(TOPIC, 1);
    world.append(30);
    // It knows the new topic, and stands where the ring that holds the old one reaches.
    let mut b = world.reader("b", "b", 0);
    b.log.identities(&names).unwrap();
    b.diary = Diary::default();
    b.log.seek(&at, 0).unwrap();
    for _ in 0..20 {
        a.poll();
        b.poll();
        world.clock.advance(1);
    }
    b.has_read(0, 30);
    assert_eq!(b.diary.of_others, 0);
    // When the first has heard of it too, they share.
    a.log.identities(&names).unwrap();
    a.diary = Diary::default();
    a.log.seek(&at, 0).unwrap();
    a.poll_to_the_end();
    world.append(25);
    for _ in 0..20 {
        a.poll();
        b.poll();
        world.clock.advance(1);
    }
    a.has_read(0, 55);
    b.has_read(0, 55);
    assert!(a.diary.of_others + b.diary.of_others >= 25);
}

#[test]
fn who_joins_one_that_was_alone_does_not_take_what_that_knew_long_ago_for_its_lag() {
    let at = TopicPartition::new(TOPIC, 0);
    for is_held in [true, false] {
        let world = World::new(small());
        world.append(40);
        let (mut a, mut b) = (world.reader("a", "a", 0), world.reader("b", "b", 0));
        a.poll_to_the_end();
        b.poll_to_the_end();
        drop(b);
        a.log.hold(&at, is_held);
        a.poll();
        world.append(100);
        let mut b = world.reader("again", "b", 40);
        assert_ne!(b.log.lag(&at), Some(0), "held: {is_held}");
        b.poll();
        assert_ne!(b.log.lag(&at), Some(0), "held: {is_held}");
    }
}

/// A leader whose messages a follower looks at while it still takes them in itself.
struct WithOnlooker<'r> {
    own: Diary,
    other: &'r mut Reader,
    /// How much that has been handed of the first partition, and what it knows of the second.
    seen: Vec<(usize, Option<u64>)>,
}

impl Handler for WithOnlooker<'_> {
    fn assigned(&mut self, assignments: Vec<Assignment>) {
        self.own.assigned(assignments);
    }

    fn revoked(&mut self, _: &[TopicPartition], _: Revocation) {}

    fn batch(&mut self, at: &TopicPartition, messages: &mut dyn Iterator<Item = Message<'_>>) {
        self.own.batch(at, messages);
    }

    fn shared(&mut self, at: &TopicPartition, portion: &Portion<'_>) {
        self.own.shared(at, portion);
        self.other.poll();
        let lag = self.other.log.lag(&TopicPartition::new(TOPIC, 1));
        self.seen.push((self.other.diary.offsets.len(), lag));
    }
}

/// A job wakes an idle partition by its lag, before what it reads of the others closes that one's buckets.
#[test]
fn who_is_handed_a_message_knows_of_those_that_the_reader_knew_of_then() {
    let world = World::of(2, small());
    let (mut a, mut b) = (world.reader("a", "a", 0), world.reader("b", "b", 0));
    for _ in 0..3 {
        a.poll();
        b.poll();
    }
    let at = TopicPartition::new(TOPIC, 1);
    assert_eq!(b.log.lag(&at), Some(0));
    (0..2).for_each(|partition| world.append_to(partition, 1));
    let mut ears = WithOnlooker {
        own: Diary::default(),
        other: &mut b,
        seen: Vec::new(),
    };
    a.log.poll(Duration::ZERO, &mut ears).unwrap();
    assert!(!ears.seen.is_empty());
    for (read, lag) in ears.seen {
        assert!(read == 0 || lag != Some(0), "{read} read, lag {lag:?}");
    }
    b.poll();
    assert_eq!((b.diary.offsets.len(), b.log.lag(&at)), (1, Some(1)));
}

/// Numbers from a seed (xorshift64*).
fn draws(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move |below| {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % below
    }
}

/// Jobs that wake, or have run ahead, hold a partition for a while, whoever leads, follows or goes meanwhile.
#[test]
fn holds_at_any_time_cost_nobody_a_message_and_stop_nobody_else() {
    let at = TopicPartition::new(TOPIC, 0);
    for seed in 0..150 {
        let mut draw = draws(seed + 1);
        let limits = Limits {
            ring_bytes: [600, 4_000, 20_000][draw(3) as usize],
            reach: draw(100) as i64,
            live_messages: draw(50),
            patience_ms: 250,
        };
        let (patience_ms, world) = (limits.patience_ms, World::new(limits));
        let (mut readers, mut held) = (Vec::new(), [false; 4]);
        let mut from = [0; 4];
        for n in 0..4 {
            readers.push(world.reader(&format!("job-{n}"), &format!("f{n}"), 0));
        }
        // How much there was, and when.
        let (mut total, mut known) = (0, vec![(0, 0)]);
        for _ in 0..400 {
            let n = draw(4) as usize;
            match draw(20) {
                0..10 => readers[n].poll(),
                10..13 => {
                    let more = draw(30) as i64;
                    world.append(more as usize);
                    total += more;
                }
                13..16 => world.clock.advance(draw(200) as i64),
                16..18 => {
                    held[n] = !held[n];
                    readers[n].log.hold(&at, held[n]);
                }
                // It goes, and comes again where it was or somewhat before, in the place of another one perhaps.
                18 => {
                    let read = readers[n].diary.offsets.len() as i64;
                    readers[n].has_read(from[n], from[n] + read);
                    from[n] = (from[n] + read - draw(3) as i64 * 7).max(0);
                    let gone = readers.remove(n);
                    drop(gone);
                    let (id, field) = (format!("job-{n}-{}", known.len()), format!("f{n}"));
                    readers.insert(n, world.reader(&id, &field, from[n]));
                    held[n] = false;
                }
                _ => {
                    let (was, to) = (held[n], (from[n] + draw(40) as i64).min(total));
                    readers[n].log.seek(&at, to).unwrap();
                    readers[n].log.hold(&at, was);
                    readers[n].diary.offsets.clear();
                    from[n] = to;
                }
            }
            let now_ms = world.clock.steady_ms();
            known.push((now_ms, total));
            let long_ago = known
                .iter()
                .rev()
                .find(|(ms, _)| *ms < now_ms - patience_ms);
            let least = long_ago.map_or(0, |(_, total)| *total);
            for (n, reader) in readers.iter_mut().enumerate() {
                let read = from[n] + reader.diary.offsets.len() as i64;
                let is_at_end = reader.log.lag(&at) == Some(0);
                assert!(
                    !is_at_end || read >= least,
                    "seed {seed}: {read} of {least} is no end"
                );
            }
        }
        // First those that nobody holds, then all.
        for everybody in [false, true] {
            let free = |n: usize, held: &[bool; 4]| everybody || !held[n];
            for _ in 0..4_000 {
                for reader in &mut readers {
                    if everybody {
                        reader.log.hold(&at, false);
                    }
                    reader.poll();
                }
                world.clock.advance(20);
                let is_done = |(n, reader): (usize, &mut Reader)| {
                    !free(n, &held) || reader.log.lag(&at) == Some(0)
                };
                if readers.iter_mut().enumerate().all(is_done) {
                    break;
                }
            }
            for (n, reader) in readers.iter().enumerate().filter(|(n, _)| free(*n, &held)) {
                let read = reader.diary.offsets.len() as i64;
                assert_eq!(from[n] + read, total, "seed {seed}: job {n}, {held:?}");
                reader.has_read(from[n], total);
            }
        }
    }
}
