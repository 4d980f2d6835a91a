//! "Did you mean …?": the known word nearest to an unknown one.
//!
//! Distance: optimal string alignment (Damerau 1964), the fewest insertions, deletions, substitutions and swaps of neighbours;
//! upper and lower case are the same. A word is near when at most a third of its letters (or one) differ, or when it is the
//! beginning or end of a longer one: `distinct` of `distinct_count`, `description` of `detector_description`.

/// Longer words are not typing errors; the bound keeps the cost of hostile input small.
const WORD_LENGTH_MAX: usize = 64;

/// The candidate nearest to `word`, when there is one near enough; of equals the first.
pub(crate) fn nearest<'c>(
    word: &str,
    candidates: impl IntoIterator<Item = &'c str> + Clone,
) -> Option<&'c str> {
    slip(word, candidates.clone()).or_else(|| part(word, candidates))
}

/// The candidate that `word` is the beginning or end of, up to an underscore.
fn part<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let is_part = |candidate: &str| {
        let rest = candidate
            .strip_prefix(word)
            .map(|rest| rest.starts_with('_'));
        let before = candidate
            .strip_suffix(word)
            .map(|before| before.ends_with('_'));
        word.len() >= 5 && (rest == Some(true) || before == Some(true))
    };
    candidates.into_iter().find(|candidate| is_part(candidate))
}

fn slip<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let word: Vec<char> = word.to_lowercase().chars().collect();
    if word.len() > WORD_LENGTH_MAX {
        return None;
    }
    let near = (word.len() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (distance(&word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= near && *distance < candidate.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

fn distance(a: &[char], b: &str) -> usize {
    let b: Vec<char> = b.to_lowercase().chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let changed = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = changed.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(before[j - 2] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_or_end_of_a_longer_word_finds_it() {
        let words = ["detector_description", "distinct_count", "field_name"];
        for (word, expected) in [
            ("description", Some("detector_description")),
            ("distinct", Some("distinct_count")),
            ("field", Some("field_name")),
            ("name", None),
            ("tinct_count", None),
        ] {
            assert_eq!(part(word, words), expected, "{word}");
        }
    }

    #[test]
    fn a_slip_of_the_finger_finds_its_word_and_a_stranger_finds_none() {
        let words = ["mean", "median", "high_mean", "count", "min"];
        for (word, expected) in [
            ("hihg_mean", Some("high_mean")),
            ("Mean", Some("mean")),
            ("medain", Some("median")),
            ("cuont", Some("count")),
            ("high_m", None),
            ("percentile", None),
            ("", None),
            ("x", None),
        ] {
            assert_eq!(nearest(word, words), expected, "{word}");
        }
        assert_eq!(nearest(&"m".repeat(100_000), words), None);
    }
}
