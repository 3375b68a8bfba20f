//! What is read of rows, and by what a row is told to be the same as one of the course.
//!
//! Knowledge as data: kinds of things by the names that the descriptions give them, and names of fields. A field that is
//! an id is `name:kind`; it is compared by what the id became.

/// Kinds that have rules of their own, and the fields that these look at.
pub(super) const RULED: &[(&str, &str)] = &[
    ("role", "shortname archetype"),
    ("group", "name idnumber description visibility"),
    ("grouping", "name idnumber description"),
    ("scale", "name scale"),
    ("outcome", "shortname"),
    ("course", "format"),
    ("course_category", ""),
    ("course_section", "number name summary component itemid"),
    ("course_module", "modulename sectionid sectionnumber idnumber"),
    ("question_category", "contextid contextlevel parent stamp"),
    ("question_bank_entry", "idnumber"),
    ("question_version", "version"),
    ("question", "stamp"),
    ("grade_category", "depth parent fullname"),
    ("grade_item", "itemtype itemname iteminstance categoryid idnumber"),
    ("enrol", "enrol name roleid customint1"),
    ("file", "contextid component filearea itemid filepath filename contenthash repositoryid"),
];

/// Whose rows another row's are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Among {
    /// Those in the same container.
    Siblings,
    /// All of the course. Rows of one id stand in several places then, so none is left out with a place.
    Course,
}

/// What tells rows apart, kind by kind. What stands first is matched first: ids of it may be in keys below. A kind that is
/// not here and has no rules of its own is created: log rows, attempts, whatever belongs to an activity.
///
/// Moodle's rules are those of `process_*` in its restore steps: members and enrolments by user, assignments by role,
/// user and origin, overrides by role and capability, comments by user and time, events by name, time and description,
/// manual grade items by name, contents of the content bank by name and time. Badges it creates anew ([`DOUBLED`]), completion
/// anew or not at all; ours are matched, lest a second merge doubles them.
pub(super) const ALIKE: &[(&str, Among, &str)] = &[
    ("tag", Among::Course, "rawname"),
    ("user_info_field", Among::Course, "field_name"),
    ("customfield_data", Among::Siblings, "shortname type groupid:group groupingid:grouping"),
    ("course_format_option", Among::Siblings, "format name"),
    ("user_enrolment", Among::Siblings, "userid:user"),
    ("role_capability", Among::Siblings, "roleid:role capability"),
    ("role_assignment", Among::Siblings, "roleid:role userid:user component itemid:enrol"),
    ("group_member", Among::Siblings, "userid:user"),
    ("grouping_group", Among::Siblings, "groupid:group"),
    ("event", Among::Siblings, "name eventtype timestart timeduration groupid:group description"),
    ("comment", Among::Siblings, "commentarea userid:user timecreated content"),
    ("contentbank_content", Among::Siblings, "name contenttype timecreated"),
    ("course_completion_default", Among::Siblings, "modulename"),
    ("user_lastaccess", Among::Siblings, "userid:user"),
    ("grade_grade", Among::Siblings, "userid:user"),
    ("grade_letter", Among::Siblings, "lowerboundary"),
    ("grade_setting", Among::Siblings, "name"),
    ("grade_history", Among::Siblings, "itemid:grade_item userid:user action timemodified"),
    (
        "course_completion_criteria",
        Among::Siblings,
        "criteriatype module moduleinstance:course_module courseinstanceshortname role:role timeend enrolperiod gradepass",
    ),
    ("course_completion_crit_compl", Among::Siblings, "userid:user"),
    ("course_completions", Among::Siblings, "userid:user"),
    ("course_completion_aggr_methd", Among::Siblings, "criteriatype"),
    ("badge", Among::Siblings, "name type"),
    ("badge_criterion", Among::Siblings, "criteriatype"),
    ("badge_criteria_param", Among::Siblings, "name value"),
    ("badge_endorsement", Among::Siblings, "issuername"),
    ("badge_alignment", Among::Siblings, "targetname targeturl"),
    ("badge_related", Among::Siblings, "relatedbadgeid:badge"),
    ("badge_manual_award", Among::Siblings, "recipientid:user issuerid:user datemet"),
    ("block", Among::Siblings, "blockname pagetypepattern subpagepattern defaultregion configdata"),
    ("block_position", Among::Siblings, "pagetype subpage region"),
];

/// Kinds that Moodle creates anew whatever is there: each merge doubles them.
pub(super) const DOUBLED: &[&str] = &["badge"];

/// Things that stay as they are once they are matched: what the archive has below them beyond what is there is left out.
pub(super) const CLOSED: &[&str] = &["question_version", "event", "block", "badge"];

/// Kinds of things that belong to the site, not to a course.
pub(super) const OF_SITE: &[&str] = &[
    "course_category",
    "competency",
    "competency_framework",
    "cohort",
    "mnet_host",
    "payment_account",
    "enrol_lti_tool",
    "lti_tool_proxy",
];

/// A field of a key: its name, and the kind of thing that it is the id of.
pub(super) fn fields(list: &'static str) -> impl Iterator<Item = (&'static str, Option<&'static str>)> {
    list.split_whitespace().map(|word| match word.split_once(':') {
        Some((name, kind)) => (name, Some(kind)),
        None => (word, None),
    })
}
