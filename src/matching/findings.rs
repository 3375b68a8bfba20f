//! What is found besides: contents that are missing or altered, what nobody described, references that lead nowhere.

use super::deciding::Deciding;
use super::plan::Request;
use crate::format::Format;
use crate::job::{Finding, Severity};
use crate::renumber::{Loss, Losses};
use crate::restore::precheck::Code;

/// Findings of one code that are told one by one; the others are counted.
const TOLD: usize = 100;

/// Kinds of which two rows of one id make an archive ambiguous.
const DISTINCT: [&str; 14] = [
    "group",
    "grouping",
    "course_section",
    "course_module",
    "question_category",
    "question_bank_entry",
    "question_version",
    "question",
    "grade_category",
    "grade_item",
    "scale",
    "outcome",
    "enrol",
    "badge",
];

/// A field of a row that says where it is, or whose, so that the row means nothing without: kind of document by its last
/// name, field, kind that it refers to.
const NEEDED: [(&str, &str, &str); 6] = [
    ("module.xml", "/sectionid", "course_section"),
    ("groups.xml", "/group_member/userid", "user"),
    ("groups.xml", "/grouping_group/groupid", "group"),
    ("roles.xml", "/assignment/userid", "user"),
    ("questions.xml", "/question_category/contextid", "context"),
    ("enrolments.xml", "/enrolment/userid", "user"),
];

fn tell(all: &mut Vec<Finding>, severity: Severity, code: Code, told: Vec<(String, String)>) {
    let more = told.len().saturating_sub(TOLD);
    let finding = |(path, message)| Finding { severity, code: code.as_str().to_owned(), path, message };
    all.extend(told.into_iter().take(TOLD).map(finding));
    if more > 0 {
        all.push(finding((String::new(), format!("and {more} more"))));
    }
}

impl Deciding<'_> {
    /// All further checks.
    pub fn check(&mut self) {
        let found = further(self.request);
        self.plan.findings.extend(found);
    }
}

fn further(request: &Request<'_>) -> Vec<Finding> {
    let mut all = Vec::new();
    let (contents, scan) = (request.incoming.contents, request.incoming.scan);
    if request.incoming.manifest.includes_files {
        let missing = contents.missing.iter().map(|(hash, rows)| {
            let folder = hash.get(..2).unwrap_or_default();
            (
                format!("files/{folder}/{hash}"),
                format!("{rows} rows of files.xml need it, and it is not there"),
            )
        });
        tell(&mut all, Severity::Warning, Code::ContentMissing, missing.collect());
    }
    let altered = request.altered.iter();
    let altered =
        altered.map(|path| (path.clone(), "the content is not the one that its name says".to_owned()));
    tell(&mut all, Severity::Warning, Code::ContentAltered, altered.collect());
    let unknown = scan.unknown_documents.iter();
    let unknown =
        unknown.map(|path| (path.clone(), "no description covers it: ids in it stay as they are".to_owned()));
    tell(&mut all, Severity::Warning, Code::MemberUnknown, unknown.collect());
    let unknown = scan.unknown_elements.iter().map(|((_, path), (count, member))| {
        (format!("{member}{path}"), format!("{count} elements that no description covers: ids in them stay"))
    });
    tell(&mut all, Severity::Warning, Code::ElementUnknown, unknown.collect());
    let repeated = contents.rows.repeated.iter().map(|(kind, id)| (request.format.kind_name(*kind), *id));
    let mut repeated: Vec<_> = repeated.filter(|(kind, _)| DISTINCT.contains(kind)).collect();
    repeated.sort_unstable();
    let repeated = repeated.into_iter().map(|(kind, id)| {
        (format!("{kind}[@id={id}]"), format!("the archive has more than one {kind} of the id {id}"))
    });
    tell(&mut all, Severity::Error, Code::IdRepeated, repeated.collect());
    all
}

/// What renumbering could not follow, as findings. A reference that leads nowhere is a warning, and an error where the
/// row cannot stand without: a member of a group who is nobody, an activity in no section.
pub fn dangling(format: &Format, losses: &Losses) -> Vec<Finding> {
    let (mut errors, mut warnings) = (Vec::new(), Vec::new());
    for (document, path, loss, lost) in losses.iter() {
        let id = lost.id.map(|id| format!(" {id}")).unwrap_or_default();
        let count = lost.count;
        let message = match loss {
            Loss::Dangling { kind } => format!("{count} references to no {kind} in the archive, such as{id}"),
            Loss::Untold { table, key } => {
                format!("{count} numbers{id} that {table} {key:?} tells nothing of")
            }
            Loss::Link { name } => format!("{count} links of the unknown name {name}"),
            Loss::Unreadable { format } => format!("{count} values that are no {format}"),
            Loss::Undescribed => continue,
        };
        let is_needed = NEEDED.iter().any(|(name, field, needed)| {
            let is_kind = matches!(loss, Loss::Dangling { kind } if kind == needed);
            is_kind && format.kind(needed).is_some() && document.ends_with(name) && path.ends_with(field)
        });
        let told = if is_needed { &mut errors } else { &mut warnings };
        told.push((format!("{}{path}", lost.member), message));
    }
    let mut all = Vec::new();
    tell(&mut all, Severity::Error, Code::ReferenceDangling, errors);
    tell(&mut all, Severity::Warning, Code::ReferenceDangling, warnings);
    if losses.more() > 0 {
        let more = format!("{} further references could not be followed", losses.more());
        tell(&mut all, Severity::Warning, Code::ReferenceDangling, vec![(String::new(), more)]);
    }
    all
}
