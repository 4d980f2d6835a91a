//! Snapshots in S3: on a server, through a proxy that makes trouble.
//!
//! What a store promises (it gives what it was given or nothing; half a snapshot does not exist), while requests are refused, cut, or never answered; and
//! what a service does whose store is gone: everything but keep snapshots.

mod server;

use server::{Fault, NAMES_A_PAGE, Proxy, Server};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;
use tidewatch::config::Job;
use tidewatch::config::service::{CredentialSource, S3Settings};
use tidewatch::engine::result::DocumentKind;
use tidewatch::runtime::clock::{Clock, ManualClock};
use tidewatch::runtime::log::Outgoing;
use tidewatch::runtime::log::memory::Cluster;
use tidewatch::runtime::observer::{Fact, Observer};
use tidewatch::runtime::service::{Service, Settings};
use tidewatch::runtime::store::{S3Store, SnapshotKey, SnapshotStore};
use tidewatch::runtime::task::TopicNames;

const SECRET: &str = "wJalrXUtnFEMI-a-key-that-nobody-may-see";
const DENIED: &str = "<?xml version=\"1.0\"?><Error><Code>SignatureDoesNotMatch</Code><Message>The request signature we calculated does not match</Message><AWSAccessKeyId>AKIAEXAMPLE</AWSAccessKeyId><StringToSign>AWS4-HMAC-SHA256 of all that is secret</StringToSign></Error>";
const BUSY: &str =
    "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>";

/// A folder of this test's own in the one server's bucket, behind a proxy of its own.
struct Place {
    server: Arc<Server>,
    proxy: Proxy,
    folder: tempfile::TempDir,
    prefix: String,
}

impl Place {
    fn new(prefix: &str) -> Place {
        // The last test to let go of it ends it.
        static SHARED: LazyLock<Mutex<std::sync::Weak<Server>>> = LazyLock::new(Mutex::default);
        let mut shared = SHARED.lock().unwrap_or_else(|broken| broken.into_inner());
        let server = shared
            .upgrade()
            .unwrap_or_else(|| Arc::new(Server::start()));
        *shared = Arc::downgrade(&server);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("id"), "AKIAEXAMPLE\n").unwrap();
        std::fs::write(folder.path().join("key"), SECRET).unwrap();
        Place {
            proxy: Proxy::before(&server),
            server,
            folder,
            prefix: prefix.to_owned(),
        }
    }

    fn settings(&self) -> S3Settings {
        S3Settings {
            bucket: "models".to_owned(),
            prefix: self.prefix.clone(),
            region: "us-east-1".to_owned(),
            endpoint: Some(self.proxy.endpoint()),
            path_style: true,
            credentials: CredentialSource::Files {
                access_key_id: self.folder.path().join("id"),
                secret_access_key: self.folder.path().join("key"),
                session_token: None,
            },
            ca_file: None,
            timeout: Duration::from_secs(60),
        }
    }

    fn store(&self) -> S3Store {
        S3Store::open(self.settings()).unwrap()
    }
}

#[test]
fn an_inventory_of_a_bucket_has_size_time_and_format_of_each() {
    let place = Place::new("inventory");
    let mut bytes = b"TWSN".to_vec();
    bytes.extend(9u16.to_le_bytes());
    bytes.extend([7; 4000]);
    let mut store = place.store();
    assert_eq!(store.inventory().unwrap(), []);
    store.put(&key(10), &bytes).unwrap();
    store.put(&key(200), &b"no snapshot".to_vec()).unwrap();
    let all = store.inventory().unwrap();
    let told: Vec<_> = all
        .iter()
        .map(|one| (one.key.clone(), one.format))
        .collect();
    assert_eq!(told, [(key(200), None), (key(10), Some(9))]);
    assert!(
        all.iter()
            .all(|one| one.bytes > 0 && one.stored_ms > Some(1_700_000_000_000))
    );
}

fn key(offset: i64) -> SnapshotKey {
    SnapshotKey {
        task: "job/in/0".to_owned(),
        lineage: 7,
        offset,
    }
}

/// Bytes that do not compress.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut words = std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.by_ref().take(bytes / 8).flatten().collect()
}

#[test]
fn it_keeps_what_it_is_given_in_parts_when_large_and_forgets_what_it_is_told_to() {
    let place = Place::new("keeps");
    let mut store = place.store();
    let large = noise(20_000_000);
    assert_eq!(store.list("job/in/0").unwrap(), []);
    store.put(&key(10), &b"ten".to_vec()).unwrap();
    place.proxy.requests();
    let stored = store.put(&key(200), &large).unwrap();
    let parts = place.proxy.requests();
    assert_eq!(parts.len(), 1 + 3 + 1, "{parts:?}");
    assert!(stored >= large.len() as u64);
    let other = SnapshotKey {
        task: "job/in/01".to_owned(),
        ..key(30)
    };
    store.put(&other, &b"of another".to_vec()).unwrap();
    assert_eq!(store.list("job/in/0").unwrap(), [key(200), key(10)]);
    assert_eq!(store.get(&key(200)).unwrap(), Some(large));
    assert_eq!(store.get(&key(11)).unwrap(), None);
    store.delete(&key(200)).unwrap();
    store.delete(&key(200)).unwrap();
    assert_eq!(store.list("job/in/0").unwrap(), [key(10)]);
    assert_eq!(store.get(&key(10)).unwrap(), Some(b"ten".to_vec()));
}

#[test]
fn a_listing_of_several_pages_is_read_to_its_end() {
    let place = Place::new("pages");
    let mut store = place.store();
    let count = 2 * NAMES_A_PAGE as i64 + 3;
    for offset in 0..count {
        store.put(&key(offset), &b"x".to_vec()).unwrap();
    }
    place.proxy.requests();
    let listed = store.list("job/in/0").unwrap();
    assert_eq!(listed, (0..count).rev().map(key).collect::<Vec<_>>());
    assert_eq!(place.proxy.requests().len(), 3);
}

#[test]
fn what_fails_for_a_while_is_asked_again_until_it_is_done() {
    let place = Place::new("passing");
    let mut store = S3Store::open(S3Settings {
        timeout: Duration::from_secs(3), // for silence to be over
        ..place.settings()
    })
    .unwrap();
    let content = noise(9_000_000);
    for trouble in [
        vec![
            Fault::Answer(503, BUSY),
            Fault::Answer(500, ""),
            Fault::Hangup,
        ],
        vec![Fault::None, Fault::Hangup, Fault::Answer(429, BUSY)],
        vec![Fault::Silence],
        // Done, though the answer does not arrive: a second time makes no difference.
        vec![
            Fault::None,
            Fault::CutAnswer(20),
            Fault::None,
            Fault::CutAnswer(3),
        ],
    ] {
        place.proxy.plan(trouble.clone());
        store
            .put(&key(5), &content)
            .unwrap_or_else(|error| panic!("{trouble:?}: {error}"));
        place.proxy.plan(trouble.iter().copied());
        let read = store.get(&key(5));
        let read = read.unwrap_or_else(|error| panic!("{trouble:?}: {error}"));
        assert!(read.as_ref() == Some(&content), "{trouble:?}");
    }
}

#[test]
fn an_answer_cut_short_is_not_taken_for_a_snapshot() {
    let place = Place::new("cut");
    let mut store = place.store();
    let content = noise(100_000);
    store.put(&key(5), &content).unwrap();
    place.proxy.plan([50_000; 3].map(Fault::CutAnswer));
    assert_eq!(store.get(&key(5)).unwrap(), Some(content));
    place.proxy.plan([50_000; 4].map(Fault::CutAnswer));
    store.get(&key(5)).expect_err("four attempts are all");
}

#[test]
fn an_upload_that_fails_half_way_leaves_nothing_behind() {
    let place = Place::new("half");
    let mut store = place.store();
    let content = noise(20_000_000);
    let busy = Fault::Answer(503, BUSY);
    // The upload is begun, its first part is there, its second is refused for good.
    place
        .proxy
        .plan([Fault::None, Fault::None, busy, busy, busy, busy]);
    let error = store.put(&key(5), &content).unwrap_err().to_string();
    assert!(
        error.contains("status 503 SlowDown: Please reduce your request rate. (4 attempts)"),
        "{error}"
    );
    assert_eq!(store.list("job/in/0").unwrap(), []);
    assert_eq!(store.get(&key(5)).unwrap(), None);
    let unfinished = place.server.look("/models?uploads");
    assert!(!unfinished.contains("half/job"), "{unfinished}");
}

#[test]
fn wrong_credentials_and_a_bucket_that_is_not_there_are_said_and_the_key_is_not() {
    let place = Place::new("denied");
    let mut store = place.store();
    for offset in 0..3 {
        place.proxy.plan([Fault::Answer(403, DENIED)]);
        place.proxy.requests();
        let error = match offset {
            0 => store.put(&key(1), &b"x".to_vec()).unwrap_err(),
            1 => store.list("job/in/0").unwrap_err(),
            _ => store.get(&key(1)).unwrap_err(),
        };
        let error = error.to_string();
        assert!(
            error.contains("s3://models/denied/job/in/0/")
                && error.contains("status 403 SignatureDoesNotMatch: The request signature"),
            "{error}"
        );
        let shown = error + &format!("{store:?}");
        assert!(
            !shown.contains(SECRET) && !shown.contains("Signature="),
            "{shown}"
        );
        assert_eq!(
            place.proxy.requests().len(),
            1,
            "asking again will not help"
        );
    }
    let mut elsewhere = S3Store::open(S3Settings {
        bucket: "no-such-bucket".to_owned(),
        ..place.settings()
    })
    .unwrap();
    let error = elsewhere.get(&key(1)).unwrap_err().to_string();
    assert!(error.contains("NoSuchBucket"), "{error}");
    std::fs::remove_file(place.folder.path().join("key")).unwrap();
    let error = store.list("job/in/0").unwrap_err().to_string();
    assert!(error.contains("no credentials: cannot read"), "{error}");
}

#[test]
fn keys_that_rotate_are_taken_up() {
    let place = Place::new("rotates");
    let mut store = place.store();
    store.put(&key(1), &b"x".to_vec()).unwrap();
    std::fs::write(place.folder.path().join("id"), "AKIAROTATED").unwrap();
    std::fs::write(place.folder.path().join("key"), "another").unwrap();
    store.put(&key(2), &b"y".to_vec()).unwrap();
    assert_eq!(store.list("job/in/0").unwrap(), [key(2), key(1)]);
}

/// Counts what becomes of snapshots.
#[derive(Default)]
struct Ledger(Mutex<(u32, Vec<String>)>);

impl Observer for Ledger {
    fn observe(&self, _job_id: &str, fact: &Fact<'_>) {
        let mut ledger = self.0.lock().unwrap();
        match fact {
            Fact::Snapshot { .. } => ledger.0 += 1,
            Fact::SnapshotFailed { error, .. } => ledger.1.push(error.clone()),
            _ => {}
        }
    }
}

#[test]
fn a_service_without_its_store_publishes_all_the_same_and_tells() {
    let place = Place::new("service");
    let text = r#"{"job_id":"j","analysis_config":{"bucket_span":"1m","detectors":[{"function":"count"}]},
        "data_description":{"time_field":"time","time_format":"epoch_ms"},"datafeed_config":{"indices":["events"]}}"#;
    let job = Arc::new(Job::from_text(text, "test").unwrap());
    let cluster = Cluster::new();
    cluster.create_topic("events", 1);
    for minute in 0..20 {
        let payload = format!(r#"{{"time":{}}}"#, minute * 60_000);
        let message = Outgoing {
            topic: "events".into(),
            partition: Some(0),
            key: None,
            payload: Some(payload.into()),
            headers: Vec::new(),
            timestamp_ms: Some(0),
        };
        cluster.append(&message).unwrap();
    }
    let ledger = Arc::new(Ledger::default());
    let (clock, observer): (Arc<dyn Clock>, Arc<dyn Observer>) =
        (Arc::new(ManualClock::at(0)), ledger.clone());
    let settings = Settings {
        snapshot_every_messages: Some(1),
        ..Settings::default()
    };
    let log = cluster.open("group.j", "one");
    let store = Box::new(place.store());
    let mut service = Service::start(log, store, clock, observer, job, settings).unwrap();
    service.receive(Duration::ZERO).unwrap(); // the partition is assigned
    // Gone while it works, and back when it ends.
    place.proxy.plan([Fault::Hangup; 4]);
    let mut breaths = 0;
    while ledger.0.lock().unwrap().1.is_empty() {
        service.breathe(Duration::ZERO).unwrap();
        service.commit_now().unwrap();
        breaths += 1;
        std::thread::sleep(Duration::from_millis(5));
        assert!(breaths < 12_000, "no failure is told within a minute");
    }
    let published = cluster.committed(TopicNames::new("tidewatch").results(DocumentKind::Bucket));
    assert_eq!(
        published.len(),
        19,
        "what it does it does without its store"
    );
    let message = Outgoing {
        topic: "events".into(),
        partition: Some(0),
        key: None,
        payload: Some(br#"{"time":1200000}"#.to_vec()),
        headers: Vec::new(),
        timestamp_ms: Some(0),
    };
    cluster.append(&message).unwrap();
    service.breathe(Duration::ZERO).unwrap();
    service.finish().unwrap();
    assert!(
        ledger.0.lock().unwrap().0 > 0,
        "it is stored when the store is back"
    );
    assert_eq!(place.store().list("j/events/0").unwrap()[0].offset, 21);
}
