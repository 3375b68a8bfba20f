//! Comparison of two archives, document by document: what differs, where, and what of it may differ.
//!
//! [`Level::Exact`] demands the same bytes of every member. [`Level::Meaning`] lets pass what a platform that makes the same
//! backup twice writes differently, which is the closed list in [`closed_list`], and nothing else. On both levels documents
//! are told apart element by element. What belongs to the container (order of members, folders, times, compression,
//! `.ARCHIVE_INDEX`) is never compared, for it is no member.
//!
//! How documents are aligned. Children of an element are matched by their name and their id (attribute `id`, child element
//! `id`, or the fields that [`keys`] names). Two cursors walk over both documents at once; a child whose counterpart is not
//! the next one waits for it as a *mark* (two digests and an offset), so that a row that is missing, or stands elsewhere, is
//! one difference at whatever distance. A bounded look-ahead would need no marks, but lose its way in a gap wider than the
//! look-ahead (a forum without its posts), and call a row that moved two differences. Of children without an id, such as
//! the fields of a row, marks are taken from the first ones on that differ, and aligned by content and place ([`align`]).
//! Pairs that differ are entered by going back to their offsets: a document that differs is copied to a scratch file first
//! ([`spool`]), in memory while it is small. So memory grows with the number of rows that are out of place in one list, up
//! to a bound, and never with what they hold.
//!
//! Knows neither containers nor storage: members come through [`Members`]. Must not know async, network or database.

mod align;
mod bytes;
mod closed_list;
mod error;
mod keys;
mod path;
mod report;
mod rules;
mod scan;
mod spool;
mod text;
mod walk;

#[cfg(test)]
mod tests;

pub use closed_list::{CLOSED_LIST, Documents, Entry, What};
pub use error::{CompareError, Side};
pub use report::{Difference, Kind, Note, Report};

use crate::course::MemberPath;
pub use crate::course::{Member, Members};
use crate::format::Format;
use crate::limits::Limits;
use crate::renumber::Canonical;
use report::Collector;
use rules::Rules;
use spool::{Document, Refusal};

/// What counts as the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The same bytes.
    Exact,
    /// The same but for the closed list.
    Meaning,
}

/// How two archives are compared.
#[derive(Clone, Debug)]
pub struct Options {
    /// What counts as the same.
    pub level: Level,
    /// At most this many differences are listed; all are counted.
    pub limit: usize,
    /// Lets pass log rows that one archive has beyond the last one of the other. With [`Level::Meaning`] only.
    pub ignore_new_log_rows: bool,
    /// At most this many children of one element may be out of place at once, for each holds some 120 bytes. A list with more
    /// of them is one difference.
    pub rows: usize,
    /// Bounds of documents.
    pub limits: Limits,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            level: Level::Meaning,
            limit: 1000,
            ignore_new_log_rows: false,
            rows: 1_000_000,
            limits: Limits::default(),
        }
    }
}

/// Whether a member is compared as an XML document: by its name, and not if it is a content file.
pub fn is_document(path: &MemberPath) -> bool {
    let text = path.as_str();
    text.len() > 4 && text[text.len() - 4..].eq_ignore_ascii_case(".xml") && path.claimed_sha1().is_none()
}

/// Compares two archives.
///
/// # Errors
///
/// [`CompareError`] when a member cannot be read, or the scratch space fails. Whatever a member holds is no error: a document
/// that is no XML is compared by its bytes, and a note says so.
pub fn compare(a: &dyn Members, b: &dyn Members, options: &Options) -> Result<Report, CompareError> {
    let list = |side: Side, members: &dyn Members| {
        members.members().map_err(|error| CompareError::List { side, error })
    };
    let (left, right) = (list(Side::A, a)?, list(Side::B, b)?);
    let mut comparison =
        Comparison { sources: (a, b), options, collector: Collector::new(options.level, options.limit) };
    let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
    loop {
        let order = match (left.peek(), right.peek()) {
            (None, None) => return Ok(comparison.collector.finish()),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(one), Some(other)) => one.path.cmp(&other.path),
        };
        let one = if order.is_le() { left.next() } else { None };
        let other = if order.is_ge() { right.next() } else { None };
        match (one, other) {
            (Some(one), Some(other)) => comparison.pair(&one, &other)?,
            (Some(one), None) => comparison.alone(Kind::MemberOnlyInA, &one),
            (None, Some(other)) => comparison.alone(Kind::MemberOnlyInB, &other),
            (None, None) => {}
        }
    }
}

/// Compares two archives whatever ids they have: equal are those that are equal after the ids of each kind were numbered in
/// their order. So an archive equals what a restore made of it.
///
/// # Errors
///
/// As [`compare()`], and [`CompareError::Ids`] for a document that is no XML.
pub fn compare_without_ids(
    a: &dyn Members,
    b: &dyn Members,
    format: &Format,
    options: &Options,
) -> Result<Report, CompareError> {
    let canonical = |side: Side, members| {
        Canonical::of(members, format, &options.limits).map_err(|error| CompareError::Ids { side, error })
    };
    let (one, other) = (canonical(Side::A, a)?, canonical(Side::B, b)?);
    compare(&one, &other, options)
}

struct Comparison<'c> {
    sources: (&'c dyn Members, &'c dyn Members),
    options: &'c Options,
    collector: Collector,
}

impl Comparison<'_> {
    fn alone(&mut self, kind: Kind, member: &Member) {
        let told = Some(bytes::told(member));
        let (a, b) = if kind == Kind::MemberOnlyInA { (told, None) } else { (None, told) };
        self.collector.begin(&member.path);
        self.collector.lone_member();
        self.collector.of_member(kind, a, b);
    }

    fn pair(&mut self, one: &Member, other: &Member) -> Result<(), CompareError> {
        self.collector.begin(&one.path);
        if one.digest.is_some() && one.digest == other.digest {
            self.collector.same_member(one.size);
            return Ok(());
        }
        let before = self.collector.seen();
        let same = if is_document(&one.path) {
            self.documents(one)?
        } else {
            let (a, b) = self.sources;
            let found = bytes::compare((a, one), (b, other))?;
            if let Some((told, other_told)) = found {
                self.collector.of_member(Kind::BytesDiffer, Some(told), Some(other_told));
                false
            } else {
                true
            }
        };
        match same && before == self.collector.seen() {
            true => self.collector.same_member(one.size),
            false => self.collector.altered_member(),
        }
        Ok(())
    }

    /// Compares two documents; true when their bytes are the same.
    fn documents(&mut self, member: &Member) -> Result<bool, CompareError> {
        let (a, b) = self.sources;
        let limits = &self.options.limits;
        let one = Document::take(Side::A, a, &member.path, limits)?;
        let other = Document::take(Side::B, b, &member.path, limits)?;
        if one.digest() == other.digest() {
            return Ok(true);
        }
        let broken = |side: Side, document: &Document| {
            document.refusal().map(|Refusal { offset, what }| Note {
                member: member.path.clone(),
                side,
                offset: *offset,
                message: format!("compared by its bytes, for it is no XML that can be read: {what}"),
            })
        };
        let notes: Vec<Note> = broken(Side::A, &one).into_iter().chain(broken(Side::B, &other)).collect();
        let refused = !notes.is_empty();
        notes.into_iter().for_each(|note| self.collector.note(note));
        let before = self.collector.seen();
        if !refused {
            let rules = Rules::of(&member.path, self.options);
            walk::documents(&one, &other, &rules, &mut self.collector)?;
        }
        if before == self.collector.seen() {
            // Nothing that a reader of XML could see, or nothing that it could read.
            let (told, other_told) = bytes::told_documents(&one, &other)?;
            self.collector.of_member(Kind::BytesDiffer, Some(told), Some(other_told));
        }
        Ok(false)
    }
}
