//! The whole way into a course that is there: decided, taken out, renumbered, merged.

use std::collections::BTreeMap;

use super::world::*;
use super::{FAR, RICH};
use crate::format::Format;
use crate::merge::in_memory_merge::merged;
use crate::restore::Target;

/// The course with the archive in it, and the next free id.
fn merged_into(restore: &Restore, read: &Read, course: &Read, next: i64) -> anyhow::Result<(Read, i64)> {
    let mut plan = restore.plan(read, Some(course))?;
    let next = plan.allocate(&Format::embedded(), &read.survey, next);
    let rest = without_left_out(read, &plan)?;
    let (incoming, _) = renumbered(&rest, &plan)?;
    let (union, _) = merged(&course.archive, &incoming, restore.compatibility)?;
    let result = Read::of(union)?;
    for kind in rest.survey.defined.kinds().filter(|kind| !plan.map.is_own(*kind)) {
        for id in rest.survey.defined.sorted(kind) {
            let new = plan.map.get(kind, id);
            let is_there = new.is_some_and(|new| result.survey.defined.has(kind, new));
            assert!(is_there, "{} {id} is in the course", Format::embedded().kind_name(kind));
        }
    }
    Ok((result, next))
}

/// Documents that list what is in a course, or that others add rows to.
fn lists(path: &str) -> bool {
    let is_root = !path.contains('/') && path.ends_with(".xml");
    let is_of_section = path.starts_with("sections/");
    is_root || is_of_section || path.starts_with("course/")
}

#[test]
fn a_merge_leaves_every_member_as_it_is_but_those_that_list_what_is_there() -> anyhow::Result<()> {
    for (archive, into) in [(RICH, "gen_s-nf"), ("gen_s-nf", RICH), ("rich101-section3", RICH), (RICH, RICH)]
    {
        let (read, course) = (Read::fixture(archive)?, Read::fixture(into)?);
        for restore in [Restore::new(Target::ExistingAdding), Restore::new(Target::ExistingAdding).moodle()] {
            let restore = restore.accounts(read.accounts());
            let (result, _) = merged_into(&restore, &read, &course, FAR)?;
            for (path, bytes) in &course.archive.members {
                let now = result.archive.members.get(path);
                assert!(now.is_some(), "{archive} into {into}: {path} is gone");
                assert!(lists(path.as_str()) || now == Some(bytes), "{archive} into {into}: {path} changed");
            }
            for kind in course.survey.defined.kinds() {
                for id in course.survey.defined.sorted(kind) {
                    let name = Format::embedded().kind_name(kind).to_owned();
                    assert!(
                        result.survey.defined.has(kind, id),
                        "{archive} into {into}: {name} {id} is gone"
                    );
                }
            }
        }
    }
    Ok(())
}

#[test]
fn an_archive_merged_twice_doubles_activities_and_what_is_of_them() -> anyhow::Result<()> {
    let read = Read::fixture(RICH)?;
    let new = Restore::new(Target::NewCourse).accounts(read.accounts());
    let (course, _, next) = new.restored(&read, FAR)?;
    let count = |read: &Read| -> BTreeMap<&str, usize> {
        let kinds =
            ["course_module", "forum_post", "quiz_attempt", "group", "grouping", "group_member", "question"];
        let others =
            ["question_category", "question_bank_entry", "course_section", "enrol", "user_enrolment", "user"];
        let more = [
            "scale",
            "outcome",
            "grade_category",
            "badge",
            "badge_criterion",
            "event",
            "contentbank_content",
        ];
        let all = kinds.into_iter().chain(others).chain(more);
        all.map(|kind| (kind, read.ids(kind).len())).collect()
    };
    let once = count(&course);
    let merge = || Restore::new(Target::ExistingAdding).accounts(read.accounts());
    let (twice, next) = merged_into(&merge(), &read, &course, next)?;
    let (thrice, _) = merged_into(&merge(), &read, &twice, next)?;
    for (times, now) in [(2, count(&twice)), (3, count(&thrice))] {
        for (kind, count) in &once {
            let doubles = ["course_module", "forum_post", "quiz_attempt"].contains(kind);
            assert_eq!(now[kind], if doubles { times * count } else { *count }, "{kind} after {times}");
            assert!(*count > 0, "{kind}");
        }
    }
    // Moodle doubles badges with all that is in them.
    let (twice, _) = merged_into(&merge().moodle(), &read, &course, next + FAR)?;
    let now = count(&twice);
    for kind in ["badge", "badge_criterion"] {
        assert_eq!(now[kind], 2 * once[kind], "{kind}");
    }
    Ok(())
}
