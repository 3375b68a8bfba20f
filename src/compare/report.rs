//! What a comparison came to.

use std::collections::BTreeMap;

use super::closed_list::Entry;
use super::error::Side;
use super::{Level, path::Path};
use crate::course::MemberPath;

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)*) => {
        /// What kind of difference it is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind { $($(#[$doc])* $variant,)* }

        impl Kind {
            /// All kinds.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The kind as programs see it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

kinds! {
    /// A member that only the first archive has.
    MemberOnlyInA = "MEMBER_ONLY_IN_A",
    /// A member that only the second archive has.
    MemberOnlyInB = "MEMBER_ONLY_IN_B",
    /// An element that only the first document has; what is in it is not told again.
    ElementOnlyInA = "ELEMENT_ONLY_IN_A",
    /// An element that only the second document has.
    ElementOnlyInB = "ELEMENT_ONLY_IN_B",
    /// An element holds another text.
    ValueDiffers = "VALUE_DIFFERS",
    /// An attribute holds another text, or only one document has it.
    AttributeDiffers = "ATTRIBUTE_DIFFERS",
    /// White space between elements or in an empty one, or the spelling of what is the same.
    TextDiffers = "TEXT_DIFFERS",
    /// Children of an element stand in another order. The element is named, not the children.
    OrderDiffers = "ORDER_DIFFERS",
    /// A content that is no document, a document that cannot be read, or a list too long to be aligned.
    BytesDiffer = "BYTES_DIFFER",
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The member.
    pub member: MemberPath,
    /// Where in the document, such as `/activity/forum[@id=1]/discussions/discussion[@id=7]/name`; empty for the member as a
    /// whole. At most 500 characters.
    pub path: String,
    /// What kind it is.
    pub kind: Kind,
    /// What the first archive has there, at most 120 characters, control characters spelled out; none if it has nothing there.
    pub a: Option<String>,
    /// What the second archive has there.
    pub b: Option<String>,
}

/// Something that the comparison had to say besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The member.
    pub member: MemberPath,
    /// The archive.
    pub side: Side,
    /// Where in the member, in bytes.
    pub offset: u64,
    /// What about it.
    pub message: String,
}

/// What a comparison came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What counted as the same.
    pub level: Level,
    /// The first differences in the order of members, as many as were asked for.
    pub differences: Vec<Difference>,
    /// Number of all differences.
    pub total: u64,
    /// Their numbers by kind; no zeros.
    pub by_kind: BTreeMap<Kind, u64>,
    /// Their numbers by member; no zeros.
    pub by_member: BTreeMap<MemberPath, u64>,
    /// How many differences each entry of the closed list let pass, by its id; no zeros.
    pub excused: BTreeMap<&'static str, u64>,
    /// The first notes, as many as differences were asked for.
    pub notes: Vec<Note>,
    /// Members with the same bytes.
    pub same_members: u64,
    /// Their bytes.
    pub same_bytes: u64,
    /// Members that both have, with other bytes, whether that was let pass or not.
    pub altered_members: u64,
    /// Members that only one has.
    pub lone_members: u64,
}

impl Report {
    /// Whether both archives hold the same on the level that was asked for.
    pub fn is_same(&self) -> bool {
        self.total == 0
    }
}

/// Gathers differences; lists no more than it may.
pub(super) struct Collector {
    report: Report,
    limit: usize,
    member: Option<MemberPath>,
    excused: u64,
}

impl Collector {
    pub fn new(level: Level, limit: usize) -> Self {
        let report = Report {
            level,
            differences: Vec::new(),
            total: 0,
            by_kind: BTreeMap::new(),
            by_member: BTreeMap::new(),
            excused: BTreeMap::new(),
            notes: Vec::new(),
            same_members: 0,
            same_bytes: 0,
            altered_members: 0,
            lone_members: 0,
        };
        Self { report, limit, member: None, excused: 0 }
    }

    /// What follows is about this member.
    pub fn begin(&mut self, member: &MemberPath) {
        self.member = Some(member.clone());
    }

    /// Differences seen so far, those that were let pass among them.
    pub fn seen(&self) -> u64 {
        self.report.total + self.excused
    }

    pub fn same_member(&mut self, bytes: u64) {
        self.report.same_members += 1;
        self.report.same_bytes += bytes;
    }

    pub fn altered_member(&mut self) {
        self.report.altered_members += 1;
    }

    pub fn lone_member(&mut self) {
        self.report.lone_members += 1;
    }

    /// A difference of the member as a whole.
    pub fn of_member(&mut self, kind: Kind, a: Option<String>, b: Option<String>) {
        self.add(kind, String::new, || (a, b));
    }

    /// A difference within the document.
    pub fn within(
        &mut self,
        path: &Path,
        kind: Kind,
        excerpts: impl FnOnce() -> (Option<String>, Option<String>),
    ) {
        self.add(kind, || path.to_string(), excerpts);
    }

    /// A difference that is let pass.
    pub fn excuse(&mut self, entry: &Entry) {
        self.excused += 1;
        *self.report.excused.entry(entry.id).or_default() += 1;
    }

    pub fn note(&mut self, note: Note) {
        if self.report.notes.len() < self.limit {
            self.report.notes.push(note);
        }
    }

    pub fn finish(self) -> Report {
        self.report
    }

    fn add(
        &mut self,
        kind: Kind,
        path: impl FnOnce() -> String,
        excerpts: impl FnOnce() -> (Option<String>, Option<String>),
    ) {
        let Some(member) = &self.member else { return };
        let report = &mut self.report;
        report.total += 1;
        *report.by_kind.entry(kind).or_default() += 1;
        match report.by_member.get_mut(member) {
            Some(count) => *count += 1,
            None => {
                report.by_member.insert(member.clone(), 1);
            }
        }
        if report.differences.len() < self.limit {
            let (a, b) = excerpts();
            let path = shorten(path());
            report.differences.push(Difference { member: member.clone(), path, kind, a, b });
        }
    }
}

/// A path of at most 500 characters: names of elements can have any length.
fn shorten(mut path: String) -> String {
    const SHOWN: usize = 500;
    if let Some((end, _)) = path.char_indices().nth(SHOWN) {
        path.truncate(path[..end].char_indices().next_back().map_or(0, |(last, _)| last));
        path.push('…');
    }
    path
}
