//! Parts of a course into another course, and what of it stays as it is.

use super::world::*;
use super::{FAR, RICH, check};
use crate::course::in_memory::path_of;
use crate::format::{Format, Kind};
use crate::restore::sections::SectionDecision;
use crate::restore::{Enrolments, Target};

fn kind(name: &str) -> Kind {
    Format::embedded().kind(name).expect("a kind")
}

#[test]
fn an_activity_goes_to_the_section_of_its_number_or_waits_for_one() -> anyhow::Result<()> {
    let (read, course) = (Read::fixture("rich101-activity-quiz")?, Read::fixture(RICH)?);
    let restore = Restore::new(Target::ExistingAdding).accounts(course.accounts());
    let (course, _, _) =
        Restore::new(Target::NewCourse).accounts(course.accounts()).restored(&course, FAR)?;
    let plan = restore.plan(&read, Some(&course))?;
    let (_, module) =
        read.contents.rows.of(kind("course_module")).next().ok_or_else(|| anyhow::anyhow!("a module"))?;
    let new = plan.map.get(kind("course_section"), module.number("sectionid"));
    let there = new.and_then(|id| course.contents.rows.get(kind("course_section"), id));
    assert_eq!(there.map(|row| row.number("number")), Some(module.number("sectionnumber")));
    assert!(plan.without_section.is_empty());
    let mut empty = course.archive.clone();
    empty.members.retain(|path, _| !path.as_str().starts_with("sections/"));
    let mut plan = restore.plan(&read, Some(&Read::of(empty)?))?;
    assert_eq!(plan.without_section.iter().copied().collect::<Vec<_>>(), read.ids("course_module"));
    check("an activity", &read, &mut plan, 2 * FAR)
}

#[test]
fn sections_take_what_is_empty_and_what_configures_the_course_stays_away() -> anyhow::Result<()> {
    let read = Read::fixture(RICH)?;
    let restore = Restore::new(Target::ExistingAdding).accounts(read.accounts());
    let fresh = || Restore::new(Target::NewCourse).accounts(read.accounts());
    let path = "sections/section_2/section.xml";
    let text = String::from_utf8_lossy(&read.archive.members[&path_of(path)]).into_owned();
    let summary = text.split("<summary>").nth(1).and_then(|rest| rest.split("</summary>").next());
    let summary = format!("<summary>{}</summary>", summary.unwrap_or_default());
    let bare = read.with(path, &summary, "<summary></summary>")?;
    let (bare, first, _) = fresh().restored(&bare, FAR)?;
    let plan = restore.plan(&read, Some(&bare))?;
    let id = first.map.get(kind("course_section"), 2).unwrap_or_default();
    let decision = SectionDecision::Match { id, takes_name: true, takes_summary: true };
    assert_eq!(plan.sections[&2], decision);
    assert_eq!(plan.counts["course_section"].merged, 1);
    // Files of the summary come along with it, if they are not there; those of other sections do not.
    let mut without = bare.archive;
    without.members.retain(|path, _| path.as_str() != "files.xml");
    let plan = restore.plan(&read, Some(&Read::of(without)?))?;
    for (id, row) in read.contents.rows.of(kind("file")) {
        let is_out = plan.left_out.has(kind("file"), id);
        match (row.text("component"), row.text("filearea")) {
            ("course", "section") => assert_eq!(is_out, row.number("itemid") != 2, "{id}"),
            ("course", "summary" | "overviewfiles") | ("group" | "user" | "badges", _) => {
                assert!(is_out, "{id}");
            }
            ("mod_page" | "mod_forum", _) => assert!(!is_out, "{id}"),
            _ => {}
        }
    }
    Ok(())
}

#[test]
fn without_methods_users_come_by_hand_or_not_at_all() -> anyhow::Result<()> {
    let read = Read::fixture(RICH)?;
    let mut restore = Restore::new(Target::NewCourse).accounts(read.accounts());
    restore.choices.enrolments = Some(Enrolments::Never);
    let mut plan = restore.plan(&read, None)?;
    let methods = read.contents.rows.of(kind("enrol"));
    let others: Vec<i64> =
        methods.filter(|(_, row)| row.text("enrol") != "manual").map(|(id, _)| id).collect();
    assert_eq!(plan.left_out.sorted(kind("enrol")), others);
    for (id, row) in read.contents.rows.of(kind("user_enrolment")) {
        let is_other = row.above.is_some_and(|(_, enrol)| others.contains(&enrol));
        assert_eq!(plan.left_out.has(kind("user_enrolment"), id), is_other, "{id}");
        assert!(!is_other || plan.manual_users.contains(&row.number("userid")), "{id}");
    }
    check("by hand", &read, &mut plan, FAR)?;
    let read = Read::fixture("rich101-tgz-nu")?;
    let plan = Restore::new(Target::NewCourse).plan(&read, None)?;
    assert_eq!(plan.left_out.sorted(kind("enrol")), read.ids("enrol"));
    assert!(plan.manual_users.is_empty());
    Ok(())
}

#[test]
fn moodle_keeps_the_grade_book_of_a_course_that_has_one() -> anyhow::Result<()> {
    let read = Read::fixture(RICH)?;
    let (course, first, _) =
        Restore::new(Target::NewCourse).accounts(read.accounts()).restored(&read, FAR)?;
    let other = read.with("gradebook.xml", "<fullname>Contrôle continu é<", "<fullname>Other<")?;
    let top = first.map.get(kind("grade_category"), 1);
    let moodle = Restore::new(Target::ExistingAdding).accounts(read.accounts()).moodle();
    let plan = moodle.plan(&other, Some(&course))?;
    assert_eq!(plan.left_out.sorted(kind("grade_category")), [2]);
    assert_eq!(
        (plan.map.get(kind("grade_category"), 1), plan.map.get(kind("grade_category"), 2)),
        (top, top)
    );
    let ours = Restore::new(Target::ExistingAdding).accounts(read.accounts());
    let plan = ours.plan(&other, Some(&course))?;
    assert_eq!(plan.counts["grade_category"].created, 1);
    assert_eq!(plan.map.get(kind("grade_category"), 1), top);
    Ok(())
}

#[test]
fn what_is_in_no_category_that_came_along_is_in_that_of_the_course() -> anyhow::Result<()> {
    let read = Read::fixture(RICH)?;
    let (course, first, _) =
        Restore::new(Target::NewCourse).accounts(read.accounts()).restored(&read, FAR)?;
    let top = first.map.get(kind("grade_category"), 1);
    let mut bare = read.archive.clone();
    bare.members.retain(|path, _| path.as_str() != "gradebook.xml");
    let restore = Restore::new(Target::ExistingAdding).accounts(read.accounts()).moodle();
    let plan = restore.plan(&Read::of(bare)?, Some(&course))?;
    assert_eq!(plan.map.get(kind("grade_category"), 1), None);
    assert_eq!((plan.map.reference(kind("grade_category"), 1), top.is_some()), (top, true));
    Ok(())
}
