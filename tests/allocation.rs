//! An event of known entities costs the gatherer no allocation: counted, by this binary's allocator, for the thread that gathers.

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use support::{Owned, job};
use tidewatch::engine::event::Value;
use tidewatch::engine::gatherer::{Gatherer, Input};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: hands everything to the system's allocator; counting touches a plain thread-local cell, which does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(memory, layout) }
    }
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Ten events a host, in the bucket that starts at `start_s`: texts, numbers and arrays as entities.
fn events(start_s: i64) -> Vec<Owned> {
    (0..2_000)
        .map(|i| {
            let (host, service) = (format!("host-{}", i % 200), format!("service-{}", i % 7));
            let user = match i % 3 {
                0 => Value::Int(i % 5),
                1 => Value::Float(0.5),
                _ => Value::List(vec![Value::Text("root".into()), Value::Int(i % 4)]),
            };
            Owned::new(start_s * 1000 + i, &host, &service, "", i as f64 * 0.37).with("user", user)
        })
        .collect()
}

fn allocations_of(gatherer: &mut Gatherer, events: &[Owned]) -> u64 {
    let before = ALLOCATIONS.get();
    for event in events {
        let _ = gatherer.handle(Input::Event(&event.event()));
    }
    ALLOCATIONS.get() - before
}

#[test]
fn an_event_of_known_entities_allocates_nothing() {
    let job = job(
        0,
        false,
        &[
            ("count", "", "", "", false),
            ("mean", "value", "host", "", false),
            ("metric", "value", "host", "service", true),
            ("sum", "value", "", "service", false),
            ("varp", "value", "", "service", false),
            ("distinct_count", "host", "", "service", false),
        ],
        &["host", "user"],
    );
    let mut gatherer = Gatherer::new(job);
    let events = events(0);
    assert!(
        allocations_of(&mut gatherer, &events) > 0,
        "strangers are remembered"
    );
    assert_eq!(allocations_of(&mut gatherer, &events), 0);
}

#[test]
fn a_new_bucket_uses_the_memory_of_the_closed_one() {
    let detectors = [
        ("mean", "value", "host", "", false),
        ("max", "value", "", "service", false),
    ];
    let mut gatherer = Gatherer::new(job(0, false, &detectors, &["user"]));
    let _ = allocations_of(&mut gatherer, &events(0));
    let next = events(10);
    let (closing, others) = next.split_first().expect("events");
    let _ = allocations_of(&mut gatherer, std::slice::from_ref(closing));
    assert_eq!(allocations_of(&mut gatherer, others), 0);
}
