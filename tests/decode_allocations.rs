//! The decoder's promise about memory: an event of plain values costs no allocation once the decoder has seen a few like it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::Cursor;
use std::ops::ControlFlow;
use tidewatch::config::Job;
use tidewatch::decode::{Decoder, Options, Reader};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged; counting touches a thread-local without a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn allocations(work: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.with(Cell::get);
    work();
    ALLOCATIONS.with(Cell::get) - before
}

fn job() -> Job {
    let text = r#"{"analysis_config": {"bucket_span": "5m", "influencers": ["host.name"],
        "detectors": [{"function": "mean", "field_name": "value", "by_field_name": "host.name"}]},
        "data_description": {"time_field": "@timestamp", "time_format": "yyyy-MM-dd'T'HH:mm:ss[.SSS]X"}}"#;
    // The configuration may refuse optional parts; the decoder's promise is about any format.
    Job::from_text(text, "j.json")
        .or_else(|_| Job::from_text(&text.replace("[.SSS]", ""), "j.json"))
        .expect("a job")
}

const EVENT: &str = r#"{"@timestamp":"2024-02-29T12:30:59Z","host":{"name":"web-1","os":{"x":[1,{"y":"a\nb"}]}},"value":0.25,"msg":"a \"b\""}"#;

#[test]
fn a_thousand_messages_of_plain_values_allocate_nothing() {
    let mut decoder = Decoder::new(&job());
    let mut events = 0;
    let mut feed = |count: usize| {
        for _ in 0..count {
            decoder.payload(EVENT.as_bytes(), None, &mut |decoded| {
                events += usize::from(decoded.is_ok())
            });
        }
    };
    // The second time that a key comes, it is remembered.
    feed(2);
    assert_eq!(allocations(|| feed(1000)), 0);
    assert_eq!(events, 1002);
}

#[test]
fn ten_thousand_events_of_a_file_allocate_no_more_than_ten() {
    let json = |count: usize| format!("{EVENT}\n").repeat(count);
    let csv = |count: usize| {
        "@timestamp,host.name,value\n".to_string()
            + &"2024-02-29T12:30:59Z,\"web \"\"1\"\"\",0.25\n".repeat(count)
    };
    for file in [json, csv] {
        let cost = |count: usize| {
            let mut reader = Reader::from_bytes(
                &job(),
                "f",
                Cursor::new(file(count).into_bytes()),
                Options::default(),
            );
            let mut events = 0;
            let cost = allocations(|| {
                let _ = reader.run(&mut |_| {
                    events += 1;
                    ControlFlow::Continue(())
                });
            });
            assert_eq!(events, count);
            cost
        };
        assert_eq!(cost(10_000), cost(10));
    }
}
