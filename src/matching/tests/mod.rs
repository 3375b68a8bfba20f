//! Archives of a real Moodle into new courses, into themselves, and twice; and what contradicts.

mod conflicts;
mod merging;
mod properties;
mod world;

use world::*;

use std::collections::BTreeSet;

use super::*;
use crate::format::Format;
use crate::limits::Limits;
use crate::renumber::{IdMap, Losses, Survey};
use crate::restore::Target;
use crate::restore::roles::{MatchedBy, SiteRole};
use crate::restore::users::Account;

const FIXTURES: [&str; 15] = [
    "gen_s-nf",
    "gen_xs-full",
    "gen_xs-nu",
    "rich101-activity-assign-nu",
    "rich101-activity-quiz",
    "rich101-bare-nu",
    "rich101-full-tgz",
    "rich101-full-zip",
    "rich101-logs-histories-tgz",
    "rich101-nf",
    "rich101-noactivities",
    "rich101-noquestionbank-nogroups",
    "rich101-section3",
    "rich101-tgz-nu",
    "rich101-zip-an",
];

const RICH: &str = "rich101-logs-histories-tgz";

/// Kinds of what documents outside of activities define that is created.
fn created_outside(read: &Read, plan: &Plan) -> anyhow::Result<BTreeSet<String>> {
    let format = Format::embedded();
    let mut kinds = BTreeSet::new();
    for (path, bytes) in &read.archive.members {
        let path = path.as_str();
        if path.starts_with("activities/") || !path.ends_with(".xml") {
            continue;
        }
        let mut survey = Survey::new();
        survey.read(&format, path, bytes.as_slice(), &Limits::default())?;
        for kind in survey.defined.kinds().filter(|kind| !plan.map.is_own(*kind)) {
            let ids = survey.defined.sorted(kind);
            if ids.iter().any(|id| plan.map.get(kind, *id).is_none() && !plan.left_out.has(kind, *id)) {
                kinds.insert(format.kind_name(kind).to_owned());
            }
        }
    }
    Ok(kinds)
}

/// What could not be followed: document, path and reason.
fn told(losses: &Losses) -> BTreeSet<String> {
    losses.iter().map(|(document, path, loss, _)| format!("{document} {path} {loss:?}")).collect()
}

/// Everything is decided, allocated once, and leads nowhere only where it did before.
fn check(name: &str, read: &Read, plan: &mut Plan, from: i64) -> anyhow::Result<()> {
    let format = Format::embedded();
    let next = plan.allocate(&format, &read.survey, from);
    let mut given = BTreeSet::new();
    for kind in read.survey.defined.kinds() {
        for id in read.survey.defined.sorted(kind) {
            let new = plan.map.get(kind, id);
            let is_decided = new.is_some() || plan.left_out.has(kind, id) || plan.map.is_own(kind);
            assert!(is_decided, "{name}: {} {id}", format.kind_name(kind));
            let is_created = new.is_some_and(|new| new >= from) && !plan.left_out.has(kind, id);
            assert!(!is_created || new.is_some_and(|new| new < next && given.insert(new)), "{name}: {id}");
        }
    }
    let rest = without_left_out(read, plan)?;
    for kind in plan.left_out.kinds() {
        for id in rest.survey.defined.sorted(kind) {
            assert!(!plan.left_out.has(kind, id), "{name}: {} {id} stays", format.kind_name(kind));
        }
    }
    // What is new leads to something that is left out.
    let gone: BTreeSet<String> =
        plan.left_out.kinds().map(|kind| format!("\"{}\"", format.kind_name(kind))).collect();
    let before = told(&renumbered_by(read, &IdMap::identity(&format, &read.survey.defined))?.1);
    let after = told(&renumbered_by(&rest, &plan.map)?.1);
    let added: Vec<_> =
        after.difference(&before).filter(|loss| !gone.iter().any(|kind| loss.contains(kind))).collect();
    assert!(added.is_empty(), "{name}: {added:?}");
    Ok(())
}

#[test]
fn into_a_new_course_everything_is_created_and_known_users_are_matched() -> anyhow::Result<()> {
    let read = Read::fixture(RICH)?;
    let plan = Restore::new(Target::NewCourse).accounts(read.accounts()).plan(&read, None)?;
    assert_eq!(plan.counts["user"].matched, read.contents.users.len() as u64);
    assert!(plan.conflicts.is_empty() && plan.new_accounts.is_empty());
    let created =
        ["group", "grouping", "course_section", "question_category", "question", "grade_item", "enrol"];
    for kind in created.into_iter().chain(["grade_category", "badge", "block", "group_member", "forum_post"])
    {
        assert_eq!(plan.counts[kind].created, read.ids(kind).len() as u64, "{kind}");
        assert!(!read.ids(kind).is_empty(), "{kind}");
    }
    let role = &plan.roles[&9];
    assert_eq!(*role, Some((5, MatchedBy::Archetype)));
    assert_eq!(codes(&plan), BTreeSet::from(["ROLE_BY_ARCHETYPE"]));
    // Unknown users come as new accounts.
    let plan = Restore::new(Target::NewCourse).plan(&read, None)?;
    assert_eq!(plan.counts["user"].created, read.contents.users.len() as u64);
    assert_eq!(plan.new_accounts.len(), read.contents.users.len());
    Ok(())
}

#[test]
fn every_fixture_is_decided_as_a_whole() -> anyhow::Result<()> {
    let course = Read::fixture(RICH)?;
    for name in FIXTURES {
        let read = Read::fixture(name)?;
        if Target::NewCourse.admits(read.manifest.archive_type) {
            for restore in [Restore::new(Target::NewCourse), Restore::new(Target::NewCourse).moodle()] {
                let mut plan = restore.accounts(read.accounts()).plan(&read, None)?;
                // Without users the site's own ways into the course are made.
                let skipped = plan.counts.iter().filter(|(_, count)| count.skipped > 0).map(|(kind, _)| kind);
                assert!(
                    skipped.clone().all(|kind| kind == "enrol"),
                    "{name}: {:?}",
                    skipped.collect::<Vec<_>>()
                );
                check(name, &read, &mut plan, FAR)?;
            }
        }
        for restore in [Restore::new(Target::ExistingAdding), Restore::new(Target::ExistingAdding).moodle()] {
            let mut plan = restore.accounts(course.accounts()).plan(&read, Some(&course))?;
            check(name, &read, &mut plan, FAR)?;
        }
    }
    Ok(())
}

#[test]
fn an_archive_into_its_own_course_is_there_already_but_for_activities() -> anyhow::Result<()> {
    let read = Read::fixture(RICH)?;
    let accounts =
        read.accounts().into_iter().map(|account| Account { id: account.id - ACCOUNTS, ..account });
    let mut restore = Restore::new(Target::CurrentAdding).accounts(accounts.collect());
    restore.site.is_same = true;
    let course = &read.manifest.original_course;
    restore.ids = CourseIds { course: course.id, context: course.context_id, system_context: 1 };
    restore.roles.push(SiteRole { id: 9, short_name: "auditeur".into(), archetype: "student".into() });
    let mut plan = restore.plan(&read, Some(&read))?;
    assert_eq!(codes(&plan), BTreeSet::new());
    let created = created_outside(&read, &plan)?;
    let logs = BTreeSet::from(["logstore_standard_log", "file"].map(str::to_owned));
    assert!(created.is_subset(&logs), "{created:?}");
    for kind in ["user", "role", "group", "question", "course_section", "grade_item", "scale", "block"] {
        let is_user = kind == "user";
        let kind = read.ids(kind).into_iter().map(|id| (Format::embedded().kind(kind), id));
        for (kind, id) in kind {
            // Those of activities are new with them.
            if !is_user && kind.is_some_and(|kind| read.contents.rows.get(kind, id).is_none()) {
                continue;
            }
            assert_eq!(kind.and_then(|kind| plan.map.get(kind, id)), Some(id), "{kind:?} {id}");
        }
    }
    assert_eq!(plan.counts["course_module"].created, read.ids("course_module").len() as u64);
    check("itself", &read, &mut plan, FAR)
}

#[test]
fn a_second_merge_doubles_nothing_but_activities() -> anyhow::Result<()> {
    let read = Read::fixture(RICH)?;
    let restore = Restore::new(Target::NewCourse).accounts(read.accounts());
    let (course, first, next) = restore.restored(&read, FAR)?;
    let restore = Restore::new(Target::ExistingAdding).accounts(read.accounts());
    let mut plan = restore.plan(&read, Some(&course))?;
    let block = Format::embedded().kind("block").ok_or_else(|| anyhow::anyhow!("a kind"))?;
    // Blocks about an activity are about the new activity.
    assert_eq!(plan.counts["block"].matched + 2, read.contents.rows.of(block).count() as u64);
    let new = ["logstore_standard_log", "file", "block", "block_position", "context"].map(str::to_owned);
    let created = created_outside(&read, &plan)?;
    assert!(created.is_subset(&BTreeSet::from(new)), "{created:?}");
    let format = Format::embedded();
    let kinds =
        ["group", "grouping", "group_member", "question", "question_answer", "question_version", "enrol"];
    for name in kinds.into_iter().chain(["course_section", "scale", "grade_category", "grade_item", "badge"])
    {
        let Some(kind) = format.kind(name) else { continue };
        let outside = |id: &i64| name != "grade_item" || read.contents.rows.get(kind, *id).is_some();
        for id in read.ids(name).into_iter().filter(outside) {
            assert_eq!(plan.map.get(kind, id), first.map.get(kind, id), "{name} {id}");
        }
    }
    check("twice", &read, &mut plan, next)
}

#[test]
fn the_order_of_documents_and_rows_changes_nothing() -> anyhow::Result<()> {
    let read = Read::fixture(RICH)?;
    let turned = Read::of(turned(&read.archive)?)?;
    assert!(turned.contents == read.contents && turned.scan == read.scan, "contents are the same");
    let backwards = Backwards(&read.archive);
    let (format, limits) = (Format::embedded(), Limits::default());
    assert!(Contents::read(&format, &backwards, &hosts(), &limits)? == read.contents, "backwards");
    assert_eq!(Scan::read(&format, &backwards, &limits)?, read.scan);
    let restore = Restore::new(Target::ExistingAdding).accounts(read.accounts());
    assert!(
        restore.plan(&read, Some(&read))? == restore.plan(&turned, Some(&turned))?,
        "the plan is the same"
    );
    Ok(())
}
