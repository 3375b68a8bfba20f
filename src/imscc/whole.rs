//! What belongs to a course as a whole and has no form in a cartridge.

use super::course::Course;
use super::error::ImsccError;
use super::files::open;
use crate::moodle::each_row;

/// Document, path of its rows, what they are: for programs and for people.
const KINDS: &[(&str, &[&str], &str, &str)] = &[
    ("groups.xml", &["groups", "group"], "groups", "Groups"),
    ("groups.xml", &["groups", "groupings", "grouping"], "groupings", "Groupings"),
    (
        "gradebook.xml",
        &["gradebook", "grade_items", "grade_item"],
        "grade_items",
        "Grade items of the course",
    ),
    ("badges.xml", &["badges", "badge"], "badges", "Badges"),
    ("outcomes.xml", &["outcomes_definition", "outcome"], "outcomes", "Outcomes"),
    ("scales.xml", &["scales_definition", "scale"], "scales", "Scales"),
    (
        "completion.xml",
        &["course_completion", "course_completion_criteria"],
        "completion_criteria",
        "Completion of the course",
    ),
    ("course/calendar.xml", &["events", "event"], "calendar_events", "Calendar events"),
    (
        "course/competencies.xml",
        &["course_competencies", "competencies", "competency"],
        "competencies",
        "Competencies",
    ),
    ("course/contentbank.xml", &["contents", "content"], "content_bank", "Contents of the content bank"),
    ("course/enrolments.xml", &["enrolments", "enrols", "enrol"], "enrolment_methods", "Ways to enrol"),
    ("course/roles.xml", &["roles", "role_overrides", "override"], "role_overrides", "Permissions"),
    ("course/course.xml", &["course", "customfields", "customfield"], "custom_fields", "Custom fields"),
];

/// Kinds of things that the course has and a cartridge cannot hold, with how many of them there are.
pub(super) fn left_out(course: &Course<'_>) -> Result<Vec<(&'static str, &'static str, u64)>, ImsccError> {
    let mut found = Vec::new();
    for (document, path, item, title) in KINDS {
        let Some(member) = course.member(document) else { continue };
        let mut count = 0;
        let input = open(course.source, &member.path)?;
        each_row(input, course.limits, path, &[], |_| count += 1).map_err(ImsccError::xml(&member.path))?;
        if count > 0 {
            found.push((*item, *title, count));
        }
    }
    let context = course.manifest.original_course.context_id;
    let legacy = course.files.of(context, "course", "legacy", 0).len() as u64;
    if legacy > 0 {
        found.push(("legacy_files", "Files of the course", legacy));
    }
    Ok(found)
}
