//! How a categorizer fares: `categorizer_stats` and its status.
//!
//! Source: modelling-notes.md 12.8 and 12.9.

use serde::{Deserialize, Serialize};

/// `categorizer_stats` (results.md 3.7) without the names of the job's fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // named and described in results.md 3.7
pub struct CategorizerStats {
    pub categorized_doc_count: u64,
    pub total_category_count: u64,
    pub frequent_category_count: u64,
    pub rare_category_count: u64,
    pub dead_category_count: u64,
    pub failed_category_count: u64,
    pub categorization_status: CategorizationStatus,
}

/// Whether the categories are of use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CategorizationStatus {
    /// They are, or it is too early to say.
    #[default]
    Ok,
    /// They are not: there is one, or nearly as many as messages.
    Warn,
}

impl CategorizationStatus {
    /// `categorization_status`.
    pub fn name(self) -> &'static str {
        match self {
            CategorizationStatus::Ok => "ok",
            CategorizationStatus::Warn => "warn",
        }
    }
}

/// Fewer messages say nothing.
const MESSAGES_MIN: u64 = 100;

impl CategorizerStats {
    /// The status that follows from the counts.
    pub(super) fn judged(self) -> CategorizerStats {
        let total = self.total_category_count;
        let useless = total == 1
            || 10 * self.rare_category_count > 9 * total
            || 2 * total > self.categorized_doc_count
            || self.frequent_category_count == 0
            || 2 * self.dead_category_count > total;
        let warn = self.categorized_doc_count >= MESSAGES_MIN && useless;
        CategorizerStats {
            categorization_status: match warn {
                true => CategorizationStatus::Warn,
                false => CategorizationStatus::Ok,
            },
            ..self
        }
    }

    /// Whether the categories are of no use.
    pub(in crate::engine) fn is_warning(&self) -> bool {
        self.categorization_status == CategorizationStatus::Warn
    }

    /// Whether they are worth saying after `said`: another status, or a tenth more messages (with `last_word`: anything).
    pub(super) fn is_news_after(&self, said: &CategorizerStats, last_word: bool) -> bool {
        let seen =
            |stats: &CategorizerStats| stats.categorized_doc_count + stats.failed_category_count;
        let more = seen(self) - seen(said) > seen(said) / 10;
        self.categorization_status != said.categorization_status
            || more
            || (last_word && self != said)
    }

    /// Adds those of another partition.
    pub fn add(&mut self, other: &CategorizerStats) {
        self.categorized_doc_count += other.categorized_doc_count;
        self.total_category_count += other.total_category_count;
        self.frequent_category_count += other.frequent_category_count;
        self.rare_category_count += other.rare_category_count;
        self.dead_category_count += other.dead_category_count;
        self.failed_category_count += other.failed_category_count;
        self.categorization_status = self.categorization_status.max(other.categorization_status);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn categories_are_useless_when_there_is_one_or_nearly_one_a_message() {
        let stats = |messages, total, frequent, rare, dead| CategorizerStats {
            categorized_doc_count: messages,
            total_category_count: total,
            frequent_category_count: frequent,
            rare_category_count: rare,
            dead_category_count: dead,
            ..CategorizerStats::default()
        };
        let status = |stats: CategorizerStats| stats.judged().categorization_status;
        use CategorizationStatus::{Ok, Warn};
        for (given, expected) in [
            (stats(1000, 20, 10, 3, 0), Ok),
            (stats(99, 1, 1, 0, 0), Ok),
            (stats(100, 1, 1, 0, 0), Warn),
            (stats(1000, 100, 5, 91, 0), Warn),
            (stats(1000, 501, 5, 400, 0), Warn),
            (stats(1000, 200, 0, 10, 0), Warn),
            (stats(1000, 20, 10, 3, 11), Warn),
        ] {
            assert_eq!(status(given), expected, "{given:?}");
        }
    }
}
