//! Calls of the client's that may not come back: made on threads of their own, and waited for no longer than they may take.
//!
//! librdkafka gives most questions a timeout and keeps it (metadata, offsets, committed positions, topics' ids); these are asked as they are. Others wait
//! for the threads of all its connections (purging, destroying), for its group (closing), or have a timeout and may forget it (the steps of a transaction: issue
//! 5456). When all brokers are away at once the client lets its connections go and makes new ones, and who waits for one that has gone may wait for ever. And the
//! client waits by the time of day, which may be set back. So whatever of this a job's thread needs goes through here: the thread goes on, the call that
//! does not come back is said once by its name, and keeps its own thread with what it holds.
//! Checked by: the tests below, tests/kafka/faults.

use std::ops::Deref;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// For a client to end: to leave its group takes a request that has 5 s.
pub(super) const END_MAX: Duration = Duration::from_secs(10);

/// Makes a call; `None`: it has not come back `within` that time, and is left behind.
pub(super) fn watched<T: Send + 'static>(
    name: &str,
    within: Duration,
    call: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (told, heard) = mpsc::channel();
    let work = move || drop(told.send(call()));
    let spawned = thread::Builder::new().name(name.to_owned()).spawn(work);
    let outcome = match spawned {
        Ok(_) => heard.recv_timeout(within).ok(),
        Err(_) => None,
    };
    if outcome.is_none() {
        tracing::warn!(
            call = name,
            ?within,
            "a call of the Kafka client does not come back, and is left behind"
        );
    }
    outcome
}

/// A client that ends on another thread when it is dropped.
pub(super) struct Watched<T: Send + 'static> {
    /// There until the drop.
    client: Option<T>,
    /// What its end is called.
    end: &'static str,
    within: Duration,
}

impl<T: Send + 'static> Watched<T> {
    /// Its end is called `end`, and should not take longer than [`END_MAX`].
    pub(super) fn new(end: &'static str, client: T) -> Watched<T> {
        Watched::within(END_MAX, end, client)
    }

    /// The same with another time for its end.
    pub(super) fn within(within: Duration, end: &'static str, client: T) -> Watched<T> {
        Watched {
            client: Some(client),
            end,
            within,
        }
    }
}

impl<T: Send + 'static> Deref for Watched<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.client.as_ref().expect("it is there until the drop")
    }
}

impl<T: Send + 'static> Drop for Watched<T> {
    fn drop(&mut self) {
        let client = self.client.take();
        let _ = watched(self.end, self.within, move || drop(client));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::time::Instant;

    /// Ends when it is told to.
    struct Stubborn(Receiver<()>, Sender<&'static str>);

    impl Drop for Stubborn {
        fn drop(&mut self) {
            let _ = self.0.recv();
            let _ = self.1.send("ended");
        }
    }

    #[test]
    fn a_call_that_comes_back_gives_its_answer_and_one_that_does_not_holds_nobody_up() {
        assert_eq!(watched("quick", END_MAX, || 7), Some(7));
        let (never, heard) = channel::<()>();
        let began = Instant::now();
        let slow = watched("slow", Duration::from_millis(20), move || heard.recv());
        assert!(slow.is_none() && began.elapsed() < END_MAX);
        drop(never);
    }

    #[test]
    fn a_client_that_does_not_end_is_left_behind_and_may_end_later() {
        let (tell, heard) = channel();
        let (told, hear) = channel();
        let client = Watched::within(Duration::from_millis(20), "end", Stubborn(heard, told));
        drop(client);
        assert!(hear.try_recv().is_err(), "it has not ended");
        tell.send(()).expect("it waits for that");
        assert_eq!(hear.recv_timeout(END_MAX), Ok("ended"));
    }
}
