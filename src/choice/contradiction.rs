//! What keeps a request from being carried out as it was asked: each with its field, all at once.

use std::fmt;

/// A field of a request that contradicts another one, the site's policy, or the course.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contradiction {
    /// Path of the field: `settings.anonymize`, `selection.include[2]`, `scope`.
    pub field: String,
    /// Why, as a sentence.
    pub message: String,
}

/// All contradictions of a request; at least one where it is an error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contradictions(Vec<Contradiction>);

impl Contradictions {
    /// Each of them: settings first, in Moodle's order, then the selection.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Contradiction> {
        self.0.iter()
    }

    pub(crate) fn add(&mut self, contradiction: Contradiction) {
        self.0.push(contradiction);
    }

    /// `value` if there are none.
    pub(crate) fn none_or<T>(self, value: T) -> Result<T, Self> {
        if self.0.is_empty() { Ok(value) } else { Err(self) }
    }
}

impl fmt::Display for Contradictions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, Contradiction { field, message }) in self.0.iter().enumerate() {
            let separator = if place == 0 { "" } else { "; " };
            write!(f, "{separator}{field}: {message}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Contradictions {}
