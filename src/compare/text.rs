//! Texts as they stand in a document, of which only a digest and the beginning are kept, and the excerpts that are shown.

use super::scan::Mark16;

/// Bytes of a text that are kept to be shown and to be judged.
const KEPT: usize = 1 << 20;

/// Characters of an excerpt.
const SHOWN: usize = 120;

/// Characters in front of the first difference that an excerpt shows.
const BEFORE: usize = 30;

/// What stands between two tags, spelled as in the document: character data, references, comments.
#[derive(Clone, Default)]
pub(super) struct Text {
    hasher: blake3::Hasher,
    kept: String,
    size: u64,
    ink: bool,
}

impl Text {
    pub fn push(&mut self, piece: &str) {
        self.hasher.update(piece.as_bytes());
        self.size += piece.len() as u64;
        self.ink |= !piece.bytes().all(|byte| byte.is_ascii_whitespace());
        let room = KEPT.saturating_sub(self.kept.len());
        self.kept.push_str(&piece[..piece.floor_char_boundary(room)]);
    }

    /// Whether it is white space only, or nothing.
    pub fn is_blank(&self) -> bool {
        !self.ink
    }

    pub fn digest(&self) -> Mark16 {
        Mark16::of(&self.hasher)
    }

    /// The text, if it is short enough to be kept whole.
    pub fn whole(&self) -> Option<&str> {
        (self.kept.len() as u64 == self.size).then_some(self.kept.as_str())
    }

    /// What is told of texts that differ only behind what is kept of them.
    pub fn beyond(&self) -> String {
        format!("{} bytes, other ones after the first {}", self.size, self.kept.len())
    }

    /// The text or its beginning.
    pub fn kept(&self) -> &str {
        &self.kept
    }
}

/// Excerpts of two texts that differ, around the first difference.
pub(super) fn excerpts(a: &str, b: &str) -> (String, String) {
    let same = a.bytes().zip(b.bytes()).take_while(|(one, other)| one == other).count();
    let common = a.floor_char_boundary(same).min(b.floor_char_boundary(same));
    let start = match a[..common].char_indices().rev().nth(BEFORE - 1) {
        // Cutting off less than the mark that says so takes no room away.
        Some((index, _)) if index > BEFORE => index,
        _ => 0,
    };
    (from(a, start), from(b, start))
}

/// The beginning of a text.
pub(super) fn excerpt(text: &str) -> String {
    from(text, 0)
}

fn from(text: &str, start: usize) -> String {
    let mut shown = String::new();
    let mut count = 0;
    if start > 0 {
        shown.push('…');
        count += 1;
    }
    for character in text[start..].chars() {
        let spelled: String = match character {
            _ if character.is_control() => character.escape_default().collect(),
            _ => character.into(),
        };
        let length = spelled.chars().count();
        if count + length >= SHOWN {
            shown.push('…');
            break;
        }
        count += length;
        shown.push_str(&spelled);
    }
    shown
}
