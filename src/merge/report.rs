//! What became of the rows of both trees.

use std::collections::BTreeMap;

/// How many rows of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// Rows of the incoming tree that are new in the target.
    pub created: u64,
    /// Rows that both have.
    pub merged: u64,
    /// Rows of the incoming tree that were left out.
    pub skipped: u64,
}

/// Why something of the incoming tree was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WhyLeftOut {
    /// The target has conditions, letters or settings of its own.
    TargetHasOwn,
    /// The target shows that block already.
    BlockShown,
    /// The course keeps its configuration.
    CourseKept,
    /// The section has a summary of its own.
    SummaryKept,
    /// Nobody knows what it means, and the target has one.
    Undescribed,
    /// An option of another course format.
    OtherFormat,
    /// The grade book has more than its automatic category (Moodle).
    GradebookInUse,
}

/// What became of the rows of both trees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// By the label under which rows are counted, else by their table.
    pub rows: BTreeMap<String, Rows>,
    /// What was left out: document, element or label, why, and how often.
    pub left_out: BTreeMap<(String, String, WhyLeftOut), u64>,
}

impl Report {
    pub(super) fn rows(&mut self, label: &str) -> &mut Rows {
        self.rows.entry(label.to_owned()).or_default()
    }

    pub(super) fn left_out(&mut self, path: &str, what: &str, why: WhyLeftOut) {
        *self.left_out.entry((path.to_owned(), what.to_owned(), why)).or_default() += 1;
    }
}
