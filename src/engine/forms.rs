//! A set of encoded forms of contents, eight bytes each.

use std::collections::HashSet;

use crate::course::ContentRef;
use crate::digest::Digest;

/// Forms of contents, each by eight bytes that stand for it. Two forms may have the same eight, at odds of one to a billion
/// of them: so the set may hold more than was put in, never less. Who uses it must be harmed by neither.
#[derive(Default)]
pub(super) struct Forms(HashSet<u64>);

impl Forms {
    fn key(digest: &Digest, form: u64) -> u64 {
        let mut first = [0; 8];
        first.copy_from_slice(&digest.0[..8]);
        // A form is a digest, too: turned, so that it never cancels out what it is of.
        u64::from_le_bytes(first) ^ form.rotate_left(17)
    }

    /// Whether it holds a form of a content.
    pub(super) fn has(&self, content: &ContentRef) -> bool {
        self.0.contains(&Self::key(&content.digest, content.form))
    }

    /// Puts a form of a content in; `false` when it seems to be there.
    pub(super) fn add(&mut self, content: &ContentRef) -> bool {
        self.0.insert(Self::key(&content.digest, content.form))
    }

    /// Puts a content in that is kept as it is.
    pub(super) fn add_plain(&mut self, digest: &Digest) -> bool {
        self.0.insert(Self::key(digest, 0))
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
