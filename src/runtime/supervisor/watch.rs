//! Job files that change while the service runs: noticed by looking at what they hold, not at times or events of the file system.
//!
//! A file that is being written looks like a file that was written badly, and an editor may put it away for a moment. So a change counts when
//! two looks in a row see the same; when somebody asks (SIGHUP), one is enough.

use crate::config::service::{JobSources, Look};

/// Watches job files.
#[derive(Debug)]
pub struct Watch {
    sources: JobSources,
    settled: Option<Look>,
    pending: Option<Look>,
}

/// How sure a change has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Seen twice.
    Patient,
    /// Seen: the start, or somebody asks.
    Urgent,
}

impl Watch {
    /// Nothing has been looked at yet.
    pub fn new(sources: JobSources) -> Watch {
        Watch {
            sources,
            settled: None,
            pending: None,
        }
    }

    /// Looks; what is there, if it has changed and counts.
    pub fn look(&mut self, patience: Patience) -> Option<Look> {
        let seen = self.sources.look();
        self.consider(seen, patience)
    }

    fn consider(&mut self, seen: Look, patience: Patience) -> Option<Look> {
        if self.settled.as_ref() == Some(&seen) {
            self.pending = None;
            return None;
        }
        if patience == Patience::Patient && self.pending.as_ref() != Some(&seen) {
            self.pending = Some(seen);
            return None;
        }
        self.pending = None;
        self.settled = Some(seen.clone());
        Some(seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn look(text: &str) -> Look {
        Look {
            files: vec![(PathBuf::from("web.yaml"), Ok(text.to_owned()))],
            ..Look::default()
        }
    }

    #[test]
    fn a_file_in_the_writing_is_left_to_be_finished() {
        let mut watch = Watch::new(JobSources::default());
        let mut see = |text: &str, patience| watch.consider(look(text), patience).is_some();
        assert!(see("one", Patience::Urgent), "the start");
        assert!(!see("one", Patience::Patient));
        assert!(!see("tw", Patience::Patient), "half written");
        assert!(!see("two", Patience::Patient), "another than last time");
        assert!(see("two", Patience::Patient));
        assert!(!see("two", Patience::Urgent), "nothing new");
        assert!(see("three", Patience::Urgent));
        assert!(!see("four", Patience::Patient));
        assert!(!see("three", Patience::Patient), "taken back");
        assert!(!see("four", Patience::Patient), "looked at anew");
    }
}
