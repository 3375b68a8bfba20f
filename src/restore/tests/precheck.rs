//! Findings before a restore: each code by cases, and all of them in the docs.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::job::{Finding, Severity};
use crate::restore::precheck::*;
use crate::restore::questions::BankPlace;
use crate::restore::roles::MatchedBy;
use crate::restore::users::{Account, ArchiveUser, Candidates, Mapping, Site, match_users};

const PLACE: Place<'static> = Place {
    moodle_version: "2023112400.00",
    is_same_site: true,
    is_administrator: false,
    is_front_page: false,
    busy_with: None,
};

/// Codes with the first letter of their severity.
fn codes(found: &[Finding]) -> Vec<String> {
    found.iter().map(|one| format!("{} {}", &one.severity.as_str()[..1], one.code)).collect()
}

#[test]
fn genuine_archives_have_no_findings() -> anyhow::Result<()> {
    for name in ["rich101-full-zip", "rich101-tgz-nu", "rich101-zip-an", "gen_xs-full"] {
        let found = check_archive(&manifest(name)?, &Asked::default(), PLACE, true);
        assert_eq!(found, [], "{name}");
    }
    let into = ask(Target::ExistingAdding, "")?;
    for name in ["rich101-section3", "rich101-activity-quiz"] {
        let archive = manifest(name)?;
        assert_eq!(check_archive(&archive, &into, PLACE, true), [], "{name}");
        let found = check_archive(&archive, &Asked::default(), PLACE, true);
        assert_eq!(codes(&found), ["E TYPE_NOT_FOR_TARGET"], "{name}");
        assert!(is_blocked(&found));
    }
    Ok(())
}

#[test]
fn archives_are_found_wanting() -> anyhow::Result<()> {
    type Change = fn(&mut Manifest);
    let cases: [(Change, &[&str]); 18] = [
        (|it| it.format = "moodle1".to_owned(), &["E FORMAT_NOT_RESTORABLE"]),
        (|it| it.backup_version = "2010072299".to_owned(), &["E BACKUP_TOO_OLD"]),
        (|it| it.backup_version = "2010072300".to_owned(), &[]),
        (|it| it.backup_version.clear(), &["E BACKUP_TOO_OLD"]),
        (|it| it.backup_version = "NaN".to_owned(), &["E BACKUP_TOO_OLD"]),
        (|it| it.moodle_version = "2023112400.01".to_owned(), &["W BACKUP_NEWER"]),
        (|it| it.moodle_version = "2022112400".to_owned(), &[]),
        (|it| it.moodle_version.clear(), &["W FIELD_MISSING"]),
        (|it| it.original_course.full_name.clear(), &["E FIELD_MISSING"]),
        (|it| it.original_course.short_name.clear(), &["E FIELD_MISSING"]),
        (|it| it.original_course.context_id = 0, &["W FIELD_MISSING"]),
        (|it| it.original_site.identifier_hash.clear(), &[]),
        (|it| it.original_site = moodle::OriginalSite::default(), &["W FIELD_MISSING", "W FIELD_MISSING"]),
        (|it| it.sections.push(it.sections[0].clone()), &["E ID_REPEATED"]),
        (|it| it.activities.push(it.activities[0].clone()), &["E ID_REPEATED"]),
        (|it| it.original_course.format = "site".to_owned(), &["E FRONT_PAGE"]),
        (|it| it.includes_files = false, &["W FILES_NOT_INCLUDED"]),
        (|it| it.includes_remote_users = true, &[]),
    ];
    for (place, (change, expected)) in cases.into_iter().enumerate() {
        let mut archive = fullest()?;
        change(&mut archive);
        let found = check_archive(&archive, &Asked::default(), PLACE, true);
        assert_eq!(codes(&found), expected, "case {place}");
        assert!(found.iter().all(|one| !one.message.is_empty()));
    }
    let mut part = manifest("rich101-activity-quiz")?;
    part.activities.clear();
    let found = check_archive(&part, &ask(Target::CurrentAdding, "")?, PLACE, true);
    assert_eq!(codes(&found), ["E FIELD_MISSING"]);
    Ok(())
}

#[test]
fn places_are_found_wanting() -> anyhow::Result<()> {
    let mut archive = fullest()?;
    archive.includes_remote_users = true;
    let other = Place { is_same_site: false, ..PLACE };
    for (place, with_users, expected) in [
        (Place { is_front_page: true, ..PLACE }, true, &["E FRONT_PAGE"][..]),
        (Place { busy_with: Some("jobs/7"), ..PLACE }, true, &["E TARGET_BUSY"]),
        (other, true, &["E REMOTE_USERS"]),
        (Place { is_administrator: true, ..other }, true, &["W REMOTE_USERS"]),
        (other, false, &[]),
        (Place { moodle_version: "", ..PLACE }, true, &[]),
        (Place { moodle_version: "2020110900", ..PLACE }, true, &["W BACKUP_NEWER"]),
    ] {
        assert_eq!(codes(&check_archive(&archive, &Asked::default(), place, with_users)), expected);
    }
    // Parts of a front page are as good as others.
    let mut part = manifest("rich101-activity-quiz")?;
    part.original_course.format = "site".to_owned();
    assert_eq!(check_archive(&part, &ask(Target::CurrentAdding, "")?, PLACE, true), []);
    Ok(())
}

#[test]
fn contents_are_found_wanting() -> anyhow::Result<()> {
    let all_but_one = |name: &str| name != "glossary";
    for (archive, target, settings, compatibility, expected) in [
        ("rich101-full-zip", Target::NewCourse, "", Compatibility::Strict, &["W MODULE_UNKNOWN"][..]),
        (
            "rich101-full-zip",
            Target::NewCourse,
            "",
            Compatibility::Moodle,
            &["W MODULE_UNKNOWN", "W COURSE_WIDE_LOST"],
        ),
        ("rich101-full-zip", Target::NewCourse, "activities=0", Compatibility::Strict, &[]),
        (
            "rich101-full-zip",
            Target::NewCourse,
            "activities=0",
            Compatibility::Moodle,
            &["W COURSE_WIDE_LOST"],
        ),
        ("rich101-noactivities", Target::NewCourse, "logs=1", Compatibility::Strict, &["W SETTING_NOT_HELD"]),
        ("rich101-activity-quiz", Target::CurrentAdding, "", Compatibility::Strict, &[]),
    ] {
        let archive = manifest(archive)?;
        let asked = Asked { compatibility, ..ask(target, settings)? };
        let effective = resolved(&asked, &archive)?;
        assert_eq!(codes(&check_contents(&archive, &asked, &effective, all_but_one)), expected, "{settings}");
    }
    let archive = manifest("rich101-activity-quiz")?;
    let asked = ask(Target::CurrentAdding, "")?;
    let found = check_contents(&archive, &asked, &resolved(&asked, &archive)?, |_| false);
    assert_eq!(codes(&found), ["E MODULE_UNKNOWN"]);
    assert_eq!(found[0].path, "activities/quiz_22");
    Ok(())
}

#[test]
fn users_have_one_finding_each_that_names_nobody() {
    let user = |id, username: &str| ArchiveUser {
        id,
        username: username.to_owned(),
        host: 1,
        ..ArchiveUser::default()
    };
    let users = [
        user(1, "qa1"),
        user(2, "qb2"),
        user(3, "qb2"),
        user(4, "qc3"),
        user(4, "qd4"),
        user(5, "qe5"),
        user(6, "qf6"),
    ];
    let account =
        |id, username: &str| Account { id, username: username.to_owned(), host: 1, ..Account::default() };
    let directory: Candidates = [account(9, "qa1"), account(6, "qf6")].into_iter().collect();
    let site = Site { is_same: true, own_host: 1, may_create: true, ..Site::default() };
    let mapping: BTreeMap<i64, Mapping> = [(5, Mapping::MatchTo { account: 99 })].into_iter().collect();
    let found = check_users(&match_users(&users, &directory, &site, &mapping).0);
    assert_eq!(
        codes(&found),
        [
            "E USER_CONFLICT",
            "E USER_SHARED",
            "E USER_SHARED",
            "E USER_REPEATED",
            "E USER_REPEATED",
            "E USER_CONFLICT"
        ]
    );
    assert_eq!(found[0].path, "users.xml/users/user[@id=1]");
    for (one, user) in found.iter().zip(&users) {
        assert!(!one.message.contains(&user.username) && one.path.contains(&user.id.to_string()));
    }
    let site = Site { may_create: false, ..site };
    let found = check_users(&match_users(&users[1..2], &directory, &site, &BTreeMap::new()).0);
    assert_eq!(codes(&found), ["E USER_NOT_CREATABLE"]);
}

#[test]
fn roles_banks_and_loops_have_findings() -> anyhow::Result<()> {
    for (matched, expected) in [
        (None, Some("W ROLE_UNMATCHED")),
        (Some((4, MatchedBy::Archetype)), Some("W ROLE_BY_ARCHETYPE")),
        (Some((4, MatchedBy::Teacher)), Some("W ROLE_BY_ARCHETYPE")),
        (Some((4, MatchedBy::ShortName)), None),
        (Some((4, MatchedBy::Caller)), None),
    ] {
        let found: Vec<Finding> = check_role(5, matched).into_iter().collect();
        assert_eq!(codes(&found), expected.into_iter().collect::<Vec<_>>());
    }
    for (place, expected) in [
        (BankPlace::Course { falls_back: true }, Some("W QUESTION_BANK_MOVED")),
        (BankPlace::Refused, Some("E QUESTION_BANK_REFUSED")),
        (BankPlace::Course { falls_back: false }, None),
        (BankPlace::System, None),
        (BankPlace::CourseCategory(7), None),
        (BankPlace::Module, None),
    ] {
        let found: Vec<Finding> = check_bank(5, place).into_iter().collect();
        assert_eq!(codes(&found), expected.into_iter().collect::<Vec<_>>());
    }
    for (release, version, tops, is_found) in [
        ("4.4dev", "2023112400.00", 2, true),
        ("4.4dev", "2023112400.00", 1, false),
        ("3.5", "2018051700", 2, true),
        ("3.5", "2018020500", 2, false),
        ("3.4", "2018051700", 2, false),
        ("", "", 2, false),
    ] {
        let archive =
            Manifest { backup_release: release.to_owned(), moodle_version: version.to_owned(), ..fullest()? };
        assert_eq!(check_tops(&archive, 5, tops).is_some(), is_found, "{release} {version}");
    }
    let looping: BTreeSet<i64> = [3, 4].into_iter().collect();
    let found = check_loops("questions.xml/question_categories/question_category", &looping);
    assert_eq!(codes(&found), ["E LOOP", "E LOOP"]);
    assert_eq!(found[0].path, "questions.xml/question_categories/question_category[@id=3]");
    Ok(())
}

#[test]
fn warnings_do_not_block() {
    let found =
        |severity| Finding { severity, code: String::new(), path: String::new(), message: String::new() };
    assert!(!is_blocked(&[found(Severity::Info), found(Severity::Warning)]));
    assert!(is_blocked(&[found(Severity::Info), found(Severity::Error)]));
    assert!(!is_blocked(&[]));
}

/// The docs tell every code with its severity and reason.
#[test]
fn every_code_is_documented() -> anyhow::Result<()> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/restore-rules.md");
    let docs = std::fs::read_to_string(docs)?;
    for code in Code::ALL {
        assert!(docs.contains(&format!("| `{code}` |")), "{code}");
    }
    Ok(())
}
