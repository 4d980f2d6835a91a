//! Short texts told apart by two words, rather than byte by byte through a call.
//!
//! Holds: two texts of one length, at most [`MARKED_MAX`] bytes, have equal marks exactly when they are equal; longer ones with equal marks have equal
//! ends.

/// What a text is told apart by: its bytes, as two words that may overlap.
pub(crate) type Mark = [u64; 2];

/// The bytes of longer texts are not all in their mark.
pub(crate) const MARKED_MAX: usize = 16;

/// The mark of a text.
#[inline(always)]
pub(crate) fn mark_of(text: &[u8]) -> Mark {
    if let (Some(first), Some(last)) = (text.first_chunk(), text.last_chunk()) {
        return [u64::from_le_bytes(*first), u64::from_le_bytes(*last)];
    }
    if let (Some(first), Some(last)) = (text.first_chunk(), text.last_chunk()) {
        let [first, last] = [first, last].map(|four| u64::from(u32::from_le_bytes(*four)));
        return [first, last];
    }
    let all = text.iter().fold(0, |all, byte| all << 8 | u64::from(*byte));
    [all, 0]
}

/// A text that many others are compared with.
pub(crate) struct Marked {
    text: Box<str>,
    mark: Mark,
}

impl Marked {
    pub(crate) fn new(text: &str) -> Marked {
        Marked {
            text: text.into(),
            mark: mark_of(text.as_bytes()),
        }
    }

    /// Whether another is the same.
    #[inline(always)]
    pub(crate) fn is(&self, text: &str) -> bool {
        text.len() == self.text.len()
            && mark_of(text.as_bytes()) == self.mark
            && (text.len() <= MARKED_MAX || *text == *self.text)
    }

    /// The text itself.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_the_same_when_all_bytes_of_the_texts_are() {
        for length in 0..=40 {
            let text: String = ('0'..).take(length).collect();
            let marked = Marked::new(&text);
            assert!(marked.is(&text.clone()));
            for at in 0..length {
                let mut other = text.clone();
                other.replace_range(at..at + 1, "~");
                assert!(!marked.is(&other), "{length} bytes, byte {at}");
                let same = mark_of(text.as_bytes()) == mark_of(other.as_bytes());
                assert!(!same || length > MARKED_MAX, "{length} bytes, byte {at}");
            }
            assert!(!marked.is(&format!("{text}!")));
        }
    }
}
