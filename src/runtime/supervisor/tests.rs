//! Jobs that come, change and go, in a workshop that only writes down who is at work.

use super::*;
use crate::config::Job;
use crate::runtime::shutdown::Shutdown;
use std::sync::Mutex;
use std::time::Duration;

#[derive(Default)]
struct Book {
    /// `+id/description` when work begins, `-id` when it ends.
    lines: Mutex<Vec<String>>,
    /// Jobs whose thread is to die.
    doomed: Mutex<Option<String>>,
}

impl Book {
    fn write(&self, line: String) {
        self.lines.lock().unwrap().push(line);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.lines.lock().unwrap())
    }
}

impl Workshop for Book {
    fn work(&self, assignment: &Assignment, stop: &Shutdown) -> Result<(), WorkError> {
        let job = &assignment.job;
        self.write(format!("+{}/{}", job.id, job.description));
        while !stop.is_asked() {
            if self.doomed.lock().unwrap().as_ref() == Some(&job.id) {
                panic!("a bug, for this test");
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        self.write(format!("-{}", job.id));
        Ok(())
    }
}

impl Observer for Book {
    fn observe(&self, job_id: &str, fact: &Fact<'_>) {
        match fact {
            Fact::JobStarted { .. } => self.write(format!("started {job_id}")),
            Fact::JobStopped => self.write(format!("stopped {job_id}")),
            _ => {}
        }
    }
}

fn wanted(jobs: &[(&str, &str)]) -> Wanted {
    let job = |(id, description): &(&str, &str)| {
        let text = format!(
            "job_id: {id}\ndescription: {description}\nanalysis_config: {{detectors: [{{function: count}}]}}\ndata_description: {{}}\n"
        );
        let job = Job::from_text(&text, "test").unwrap();
        let job = Arc::new(job);
        ((*id).to_owned(), Assignment { job, life: 0 })
    };
    jobs.iter().map(job).collect()
}

/// Tends until the book has `lines` new lines, and gives them.
fn tend(
    supervisor: &mut Supervisor<Book>,
    book: &Book,
    jobs: &Wanted,
    lines: usize,
) -> Vec<String> {
    for _ in 0..20_000 {
        assert_eq!(supervisor.tend(jobs).unwrap(), State::Well);
        if book.lines.lock().unwrap().len() >= lines {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    book.take()
}

fn supervisor() -> (Supervisor<Book>, Arc<Book>) {
    let book = Arc::new(Book::default());
    let observer: Arc<dyn Observer> = Arc::clone(&book) as Arc<dyn Observer>;
    (
        Supervisor::new(Arc::clone(&book), observer, Vec::new()),
        book,
    )
}

#[test]
fn jobs_start_change_and_stop_one_by_one() {
    let (mut supervisor, book) = supervisor();
    let first = wanted(&[("a", "one"), ("b", "one")]);
    let mut lines = tend(&mut supervisor, &book, &first, 4);
    lines.sort();
    assert_eq!(lines, ["+a/one", "+b/one", "started a", "started b"]);

    let changed = wanted(&[("a", "two"), ("b", "one")]);
    let lines = tend(&mut supervisor, &book, &changed, 3);
    assert_eq!(lines, ["-a", "started a", "+a/two"], "b is left alone");

    let fewer = wanted(&[("a", "two")]);
    assert_eq!(tend(&mut supervisor, &book, &fewer, 2), ["-b", "stopped b"]);
    assert!(supervisor.has("a") && !supervisor.has("b"));

    assert!(supervisor.end());
    assert_eq!(book.take(), ["-a"]);
}

#[test]
fn a_job_that_was_announced_and_is_not_wanted_is_waited_for_by_nobody() {
    let book = Arc::new(Book::default());
    let observer: Arc<dyn Observer> = Arc::clone(&book) as Arc<dyn Observer>;
    let announced = vec!["a".to_owned()];
    let mut supervisor = Supervisor::new(Arc::clone(&book), observer, announced);
    assert_eq!(supervisor.tend(&wanted(&[])).unwrap(), State::Well);
    assert_eq!(book.take(), ["stopped a"]);
}

#[test]
fn a_worker_that_ends_by_itself_is_a_bug_and_said() {
    let (mut supervisor, book) = supervisor();
    let jobs = wanted(&[("a", "one"), ("b", "one")]);
    tend(&mut supervisor, &book, &jobs, 4);
    *book.doomed.lock().unwrap() = Some("b".to_owned());
    let broken = (0..20_000).any(|_| {
        std::thread::sleep(Duration::from_millis(1));
        supervisor.tend(&jobs).unwrap() == State::Broken
    });
    assert!(broken);
    assert!(supervisor.end(), "the other ends in order");
}
