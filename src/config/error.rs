//! What is wrong with a configuration: every mistake at once, each with its place.
//!
//! Holds: a [`ConfigErrors`] names at least one [`Mistake`]. Display: one mistake a line, `origin: path: message`.

use std::fmt;

/// Whether a mistake is the writer's or ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MistakeKind {
    /// The configuration breaks a rule.
    Invalid,
    /// The configuration is right, but asks for an analysis that is not built yet.
    NotSupported,
}

/// One thing that is wrong, and what would have been right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Whose mistake it is.
    pub kind: MistakeKind,
    /// Where: `analysis_config.detectors[2].function`, a line and column for text that does not parse, empty for the whole.
    pub path: String,
    /// What is wrong and what would have been right.
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => f.write_str(&self.message),
            path => write!(f, "{path}: {}", self.message),
        }
    }
}

/// Everything that is wrong with one configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors {
    origin: Option<String>,
    mistakes: Vec<Mistake>,
}

impl ConfigErrors {
    /// The mistakes found in `origin` (a file's name, say).
    ///
    /// # Panics
    /// When `mistakes` is empty: an error without a reason is a bug of the caller.
    pub fn new(origin: Option<String>, mistakes: Vec<Mistake>) -> ConfigErrors {
        assert!(
            !mistakes.is_empty(),
            "a configuration is refused for a reason"
        );
        ConfigErrors { origin, mistakes }
    }

    /// One mistake of the kind [`MistakeKind::Invalid`].
    pub(crate) fn one(
        origin: &str,
        path: impl Into<String>,
        message: impl Into<String>,
    ) -> ConfigErrors {
        let mistake = Mistake {
            kind: MistakeKind::Invalid,
            path: path.into(),
            message: message.into(),
        };
        ConfigErrors::new(Some(origin.to_owned()), vec![mistake])
    }

    /// Each mistake as its path and its message, in the order in which they were found.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.mistakes
            .iter()
            .map(|mistake| (mistake.path.as_str(), mistake.message.as_str()))
    }

    /// Each mistake, in the order in which they were found; at least one.
    pub fn mistakes(&self) -> &[Mistake] {
        &self.mistakes
    }

    /// The file, when there was one.
    pub fn origin(&self) -> Option<&str> {
        self.origin.as_deref()
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, mistake) in self.mistakes.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            if let Some(origin) = &self.origin {
                write!(f, "{origin}: ")?;
            }
            write!(f, "{mistake}")?;
        }
        Ok(())
    }
}
