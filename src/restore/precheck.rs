//! What is found before a restore: what blocks it, and what the caller should know.
//!
//! Moodle's own checks are those of `restore_prechecks_helper::execute_prechecks`; the others are ours, most of them where
//! Moodle is silent or fails in the middle. Everything is given as values; nothing here reads documents. Messages name
//! ids, never people: who is meant the decisions tell ([`MatchedUser`]).

use std::collections::BTreeSet;

use super::effective::Effective;
use super::resolve::Asked;
use super::roles::MatchedBy;
use super::users::{Conflict, MatchedUser, UserDecision};
use crate::choice::Source;
use crate::job::{Finding, Severity};
use crate::label::labels;
use crate::moodle::{ArchiveType, Manifest};

/// `backup_version` of the first backups that can be restored (`restore_prechecks_helper`).
pub const OLDEST_BACKUP_VERSION: f64 = 2_010_072_300.0;

labels! {
    /// What is found. The text is stable.
    pub enum Code {
        /// The backup is of a format older than any that can be restored.
        BackupTooOld = "BACKUP_TOO_OLD",
        /// The backup was made by a newer platform than the site's.
        BackupNewer = "BACKUP_NEWER",
        /// The archive is of no format that can be restored.
        FormatNotRestorable = "FORMAT_NOT_RESTORABLE",
        /// An archive of a part of a course can only be merged into a course.
        TypeNotForTarget = "TYPE_NOT_FOR_TARGET",
        /// A front page and a course cannot be restored into one another.
        FrontPage = "FRONT_PAGE",
        /// The archive lacks a field that a restore needs.
        FieldMissing = "FIELD_MISSING",
        /// Two sections or two activities have one id.
        IdRepeated = "ID_REPEATED",
        /// The archive's files are elsewhere.
        FilesNotIncluded = "FILES_NOT_INCLUDED",
        /// Users of a networked host come to another site.
        RemoteUsers = "REMOTE_USERS",
        /// An activity of a module that is not known is left out.
        ModuleUnknown = "MODULE_UNKNOWN",
        /// Moodle's rules leave out grade book, course completion and badges.
        CourseWideLost = "COURSE_WIDE_LOST",
        /// What was asked for the archive does not hold.
        SettingNotHeld = "SETTING_NOT_HELD",
        /// The target is being changed by another job.
        TargetBusy = "TARGET_BUSY",
        /// The account that a user seems to be is someone else's, or nobody's.
        UserConflict = "USER_CONFLICT",
        /// Several users of the archive would be one account.
        UserShared = "USER_SHARED",
        /// Several users of the archive have one id.
        UserRepeated = "USER_REPEATED",
        /// A user would have to be created, and may not be.
        UserNotCreatable = "USER_NOT_CREATABLE",
        /// A role has no counterpart; its assignments and overrides are left out.
        RoleUnmatched = "ROLE_UNMATCHED",
        /// A role has a counterpart of the same kind, but not of the same name.
        RoleByArchetype = "ROLE_BY_ARCHETYPE",
        /// A question bank of the site or of a category of courses goes into the course.
        QuestionBankMoved = "QUESTION_BANK_MOVED",
        /// A question bank goes nowhere: nothing may be created.
        QuestionBankRefused = "QUESTION_BANK_REFUSED",
        /// A question bank has several categories at its top.
        QuestionBankTops = "QUESTION_BANK_TOPS",
        /// A category or a section is below itself.
        Loop = "LOOP",
        /// A row of `files.xml` needs a content that the archive lacks.
        ContentMissing = "CONTENT_MISSING",
        /// A content is not what its name says.
        ContentAltered = "CONTENT_ALTERED",
        /// No description covers a document.
        MemberUnknown = "MEMBER_UNKNOWN",
        /// No description covers an element.
        ElementUnknown = "ELEMENT_UNKNOWN",
        /// The storage has no room for what would be stored.
        SpaceShort = "SPACE_SHORT",
        /// A reference leads nowhere.
        ReferenceDangling = "REFERENCE_DANGLING",
    }
}

/// What is known of the site and of the target.
#[derive(Clone, Copy, Debug)]
pub struct Place<'p> {
    /// The version of the platform that the site stands for, such as `2023112400`; empty if it is not known.
    pub moodle_version: &'p str,
    /// Whether the archive came from this site.
    pub is_same_site: bool,
    /// Whether the caller is an administrator, who may create users anywhere (`moodle/user:create`).
    pub is_administrator: bool,
    /// Whether the target is the site's front page.
    pub is_front_page: bool,
    /// The job that changes the target already.
    pub busy_with: Option<&'p str>,
}

/// Whether anything of this blocks the restore.
pub fn is_blocked(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| finding.severity == Severity::Error)
}

fn finding(severity: Severity, code: Code, path: impl Into<String>, message: impl Into<String>) -> Finding {
    Finding { severity, code: code.as_str().to_owned(), path: path.into(), message: message.into() }
}

fn error(code: Code, path: impl Into<String>, message: impl Into<String>) -> Finding {
    finding(Severity::Error, code, path, message)
}

fn warning(code: Code, path: impl Into<String>, message: impl Into<String>) -> Finding {
    finding(Severity::Warning, code, path, message)
}

const MANIFEST: &str = "moodle_backup.xml";

/// Findings about an archive as a whole and the place that it goes to.
pub fn check_archive(archive: &Manifest, asked: &Asked, place: Place<'_>, with_users: bool) -> Vec<Finding> {
    let mut found = Vec::new();
    let information = |field: &str| format!("{MANIFEST}/moodle_backup/information/{field}");
    if archive.format != "moodle2" {
        let message = format!("the format {:?} cannot be restored", archive.format);
        found.push(error(Code::FormatNotRestorable, information("details/detail/format"), message));
    }
    check_versions(archive, place, &mut found);
    check_fields(archive, &mut found);
    check_ids(archive, &mut found);
    let path = information("details/detail/type");
    if !asked.target.admits(archive.archive_type) {
        let message = "an archive of a section or an activity can only be merged into a course";
        found.push(error(Code::TypeNotForTarget, path, message));
    }
    let is_of_front_page = archive.original_course.format == "site";
    if archive.archive_type == ArchiveType::Course && is_of_front_page != place.is_front_page {
        let message = "the front page of a site and a course cannot be restored into one another";
        found.push(error(Code::FrontPage, information("original_course_format"), message));
    }
    if !archive.includes_files {
        let message =
            "the archive lists files without their contents: those that are not known here will be missing";
        found.push(warning(Code::FilesNotIncluded, information("include_files"), message));
    }
    if with_users && archive.includes_remote_users && !place.is_same_site {
        let path = information("mnet_remoteusers");
        let message = "users of a networked host may come as users of this site";
        let severity = if place.is_administrator { Severity::Warning } else { Severity::Error };
        found.push(finding(severity, Code::RemoteUsers, path, message));
    }
    if let Some(job) = place.busy_with {
        found.push(error(Code::TargetBusy, "", format!("the course is being changed by the job {job}")));
    }
    found
}

fn check_versions(archive: &Manifest, place: Place<'_>, found: &mut Vec<Finding>) {
    let path = |field: &str| format!("{MANIFEST}/moodle_backup/information/{field}");
    match archive.backup_version.parse::<f64>() {
        Ok(version) if version >= OLDEST_BACKUP_VERSION => {}
        // What is no number counts as 0 in Moodle.
        _ => {
            let message =
                format!("backup_version is {:?}, at least 2010072300 is needed", archive.backup_version);
            found.push(error(Code::BackupTooOld, path("backup_version"), message));
        }
    }
    let (here, there) = (place.moodle_version.parse::<f64>(), archive.moodle_version.parse::<f64>());
    if let (Ok(here), Ok(there)) = (here, there)
        && here < there
    {
        let message = format!(
            "the backup was made by Moodle {} ({}), the site has {}",
            archive.moodle_release, archive.moodle_version, place.moodle_version
        );
        found.push(warning(Code::BackupNewer, path("moodle_version"), message));
    }
}

/// Fields that a restore reads without asking whether they are there (`backup_general_helper::get_backup_information`). A
/// course without names cannot be named; the others only make the archive's origin doubtful.
fn check_fields(archive: &Manifest, found: &mut Vec<Finding>) {
    let (course, site) = (&archive.original_course, &archive.original_site);
    let whole = archive.archive_type == ArchiveType::Course;
    let from_somewhere = !site.identifier_hash.is_empty() || !site.wwwroot.is_empty();
    for (field, is_there, blocks) in [
        ("moodle_version", !archive.moodle_version.is_empty(), false),
        ("original_course_fullname", !course.full_name.is_empty() || !whole, true),
        ("original_course_shortname", !course.short_name.is_empty() || !whole, true),
        ("original_course_contextid", course.context_id != 0, false),
        ("original_system_contextid", site.system_context_id != 0, false),
        ("original_site_identifier_hash", from_somewhere, false),
    ] {
        if !is_there {
            let severity = if blocks { Severity::Error } else { Severity::Warning };
            let path = format!("{MANIFEST}/moodle_backup/information/{field}");
            found.push(finding(severity, Code::FieldMissing, path, format!("{field} is missing")));
        }
    }
    if !whole && archive.sections.is_empty() && archive.activities.is_empty() {
        let path = format!("{MANIFEST}/moodle_backup/information/contents");
        let message = "the archive holds neither a section nor an activity";
        found.push(error(Code::FieldMissing, path, message));
    }
}

fn check_ids(archive: &Manifest, found: &mut Vec<Finding>) {
    let sections = archive.sections.iter().map(|section| ("section", section.section_id, &section.directory));
    let activities =
        archive.activities.iter().map(|activity| ("activity", activity.module_id, &activity.directory));
    let mut seen = BTreeSet::new();
    for (what, id, directory) in sections.chain(activities) {
        if !seen.insert((what, id)) {
            let message = format!("the archive has more than one {what} of the id {id}");
            found.push(error(Code::IdRepeated, directory.clone(), message));
        }
    }
}

/// Findings about what was asked and what comes of it. `is_known` tells whether a module can be restored.
pub fn check_contents(
    archive: &Manifest,
    asked: &Asked,
    effective: &Effective,
    is_known: impl Fn(&str) -> bool,
) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut misses_modules = false;
    for item in effective.activities().filter(|item| item.included.value && !is_known(&item.module_name)) {
        misses_modules = true;
        let path = archive
            .activities
            .iter()
            .find(|one| format!("{}_{}", one.module_name, one.module_id) == item.name);
        let path = path.map(|activity| activity.directory.clone()).unwrap_or_default();
        let message = format!("{} is of an unknown module and will be left out", item.name);
        let severity =
            if archive.archive_type == ArchiveType::Activity { Severity::Error } else { Severity::Warning };
        found.push(finding(severity, Code::ModuleUnknown, path, message));
    }
    if effective.loses_as_moodle(misses_modules) {
        let message = "categories and settings of the grade book, course completion and badges are left out, since not \
                       every activity is restored";
        found.push(warning(Code::CourseWideLost, "", message));
    }
    for one in &effective.settings {
        let is_wanted = asked.settings.get(one.setting) == Some(true);
        if is_wanted && one.decision.source == Source::NotHeld {
            let path = format!("settings.{}", one.setting);
            let message = format!("{} was asked for, and the archive holds none", one.setting);
            found.push(warning(Code::SettingNotHeld, path, message));
        }
    }
    found
}

/// Findings about users, one for each who has to be decided about.
pub fn check_users(users: &[MatchedUser<'_>]) -> Vec<Finding> {
    let conflicts = users.iter().filter_map(|one| match &one.decision {
        UserDecision::Conflict(conflict) => Some((one.user.id, conflict)),
        _ => None,
    });
    let found = conflicts.map(|(id, conflict)| {
        let (code, message) = match conflict {
            Conflict::NameTaken { account, .. } => (
                Code::UserConflict,
                format!("his name belongs to the account {account}, which does not seem to be his"),
            ),
            Conflict::UnknownAccount { account } => {
                (Code::UserConflict, format!("he is mapped to the account {account}, which is not there"))
            }
            Conflict::SharedAccount { account, users } => {
                (Code::UserShared, format!("{} users are matched to the account {account}", users.len()))
            }
            Conflict::SharedName { users } => {
                (Code::UserShared, format!("{} users would be created under one name", users.len()))
            }
            Conflict::RepeatedId => {
                (Code::UserRepeated, "the archive has several users of this id".to_owned())
            }
            Conflict::MayNotCreate => {
                (Code::UserNotCreatable, "he would have to be created, which is not allowed".to_owned())
            }
        };
        error(code, format!("users.xml/users/user[@id={id}]"), message)
    });
    found.collect()
}

/// The finding about a role of the archive, if its match deserves one.
pub fn check_role(id: i64, matched: Option<(i64, MatchedBy)>) -> Option<Finding> {
    let path = format!("roles.xml/roles_definition/role[@id={id}]");
    match matched {
        None => {
            let message =
                "no role that may be assigned is like it: its assignments and overrides will be left out";
            Some(warning(Code::RoleUnmatched, path, message))
        }
        Some((role, MatchedBy::Archetype | MatchedBy::Teacher)) => {
            let message =
                format!("it becomes the role {role}, which is of the same kind but not of the same name");
            Some(warning(Code::RoleByArchetype, path, message))
        }
        Some((_, MatchedBy::ShortName | MatchedBy::Caller)) => None,
    }
}

/// The finding about a question bank, by the context that it had, if its place deserves one.
pub fn check_bank(context: i64, place: super::questions::BankPlace) -> Option<Finding> {
    use super::questions::BankPlace;
    let path = format!("questions.xml/question_categories/question_category[contextid={context}]");
    match place {
        BankPlace::Course { falls_back: true } => {
            let message = "the bank has no place above the course and goes into the course";
            Some(warning(Code::QuestionBankMoved, path, message))
        }
        BankPlace::Refused => {
            let message = "the bank would have to be created, which is not allowed";
            Some(error(Code::QuestionBankRefused, path, message))
        }
        BankPlace::System | BankPlace::CourseCategory(_) | BankPlace::Course { .. } | BankPlace::Module => {
            None
        }
    }
}

/// The finding about the categories at the top of a bank. Since 3.5 a bank has one; older archives may have several
/// (`prechek_precheck_qbanks_by_level`: backup release 3.5, platform version above 20180205).
pub fn check_tops(archive: &Manifest, context: i64, tops: usize) -> Option<Finding> {
    let mut numbers = archive.backup_release.split('.').map(|number| {
        let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u32>().unwrap_or(0)
    });
    let release = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let is_new = release >= (3, 5) && first_day(&archive.moodle_version) > 20_180_205;
    (is_new && tops > 1).then(|| {
        let path = format!("questions.xml/question_categories/question_category[contextid={context}]");
        error(Code::QuestionBankTops, path, format!("the bank has {tops} categories at its top"))
    })
}

/// The day of a platform's version: its first eight digits in a row (`restore_plan::backup_version_compare`).
fn first_day(version: &str) -> u32 {
    let mut rows = version.split(|c: char| !c.is_ascii_digit());
    rows.find_map(|digits| digits.get(..8)).and_then(|day| day.parse().ok()).unwrap_or(0)
}

/// A finding for each row that is below itself; `path` is where the rows are, such as
/// `questions.xml/question_categories/question_category`.
pub fn check_loops(path: &str, looping: &BTreeSet<i64>) -> Vec<Finding> {
    let one = |id: &i64| error(Code::Loop, format!("{path}[@id={id}]"), "it is below itself");
    looping.iter().map(one).collect()
}
