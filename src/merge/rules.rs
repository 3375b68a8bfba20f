//! What makes two rows of different ids the same, and what a row that is there already takes over: tables, for every
//! reader to check against docs/restore-rules.md.

use super::Compatibility;

/// How rows are told from each other where ids do not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    /// The end of the path of the row's element, from its document's root element.
    pub path: &'static str,
    /// Fields that are equal in equal rows.
    pub fields: &'static [&'static str],
    /// Whose rule it is; `None`: in both.
    pub only: Option<Compatibility>,
    /// Which values count where both have the row.
    pub wins: Wins,
}

/// Whose values count in a row that both have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wins {
    /// The target's.
    Target,
    /// The archive's: "set again".
    Incoming,
    /// A section: the archive's where the target has none.
    Section,
    /// The course's own row: the archive's if its configuration is taken over.
    Course,
    /// A setting of the archive's manifest.
    Setting,
    /// The target's, and nothing in the row is looked at.
    Whole,
}

const fn rule(path: &'static str, fields: &'static [&'static str]) -> Rule {
    Rule { path, fields, only: None, wins: Wins::Target }
}

const fn wins(path: &'static str, fields: &'static [&'static str], wins: Wins) -> Rule {
    Rule { path, fields, only: None, wins }
}

const fn only(rule: Rule, compatibility: Compatibility) -> Rule {
    Rule { only: Some(compatibility), ..rule }
}

const EVENT: &[&str] =
    &["name", "courseid", "modulename", "instance", "timestart", "timeduration", "description"];
const OUR_EVENT: &[&str] = &[
    "name",
    "courseid",
    "modulename",
    "instance",
    "timestart",
    "timeduration",
    "description",
    "groupid",
    "eventtype",
];

/// The first that fits counts.
const RULES: &[Rule] = &[
    rule("/inforef/userref/user", &["id"]),
    rule("/inforef/groupingref/grouping", &["id"]),
    rule("/inforef/groupref/group", &["id"]),
    rule("/inforef/roleref/role", &["id"]),
    rule("/inforef/fileref/file", &["id"]),
    rule("/inforef/scaleref/scale", &["id"]),
    rule("/inforef/outcomeref/outcome", &["id"]),
    rule("/inforef/grade_itemref/grade_item", &["id"]),
    rule("/inforef/question_categoryref/question_category", &["id"]),
    rule("/contents/activities/activity", &["moduleid"]),
    rule("/contents/sections/section", &["sectionid"]),
    wins("/settings/setting", &["level", "section", "activity", "name"], Wins::Setting),
    rule("/files/file", &["contextid", "component", "filearea", "itemid", "filepath", "filename"]),
    rule("/group_members/group_member", &["userid"]),
    rule("/grouping_groups/grouping_group", &["groupid"]),
    rule("/groupcustomfields/groupcustomfield", &["shortname", "type", "groupid"]),
    rule("/groupingcustomfields/groupingcustomfield", &["shortname", "type", "groupingid"]),
    rule("/role_assignments/assignment", &["roleid", "userid", "component", "itemid"]),
    rule("/role_overrides/override", &["roleid", "capability"]),
    rule("/preferences/preference", &["name"]),
    rule("/custom_fields/custom_field", &["field_name"]),
    // The id of a tag is the word's, not the row's: a chapter and its neighbour may have the same one.
    rule("/tag", &["name", "itemid"]),
    rule("/enrols/enrol", &[]),
    rule("/user_enrolments/enrolment", &["userid"]),
    wins("/filter_actives/filter_active", &["filter"], Wins::Incoming),
    wins("/filter_configs/filter_config", &["filter", "name"], Wins::Incoming),
    only(rule("/comments/comment", &["userid", "timecreated"]), Compatibility::Moodle),
    rule("/comments/comment", &["userid", "timecreated", "component", "commentarea", "itemid", "content"]),
    only(rule("/events/event", EVENT), Compatibility::Moodle),
    rule("/events/event", OUR_EVENT),
    rule("/course_completion_defaults/course_completion_default", &["modulename"]),
    rule("/course_completion/course_completions", &["userid"]),
    wins("/course_completion/course_completion_aggr_methd", &["criteriatype"], Wins::Incoming),
    rule("/course_competencies/competencies/competency", &["idnumber", "frameworkidnumber"]),
    rule("/user_competencies/user_competency", &["userid", "competencyid"]),
    rule("/lastaccesses/lastaccess", &["userid"]),
    rule("/outcomes_definition/outcome", &["shortname", "courseid"]),
    rule("/grade_categories/grade_category", &[]),
    rule("/grade_items/grade_item", &[]),
    rule("/grade_grades/grade_grade", &["userid"]),
    rule("/grade_settings/grade_setting", &["name"]),
    wins("/course/customfields/customfield", &["shortname", "type"], Wins::Course),
    wins("/course/courseformatoptions/courseformatoption", &["format", "sectionid", "name"], Wins::Course),
    rule("/section/course_format_options", &["format", "name"]),
    wins("/section", &[], Wins::Section),
    wins("/course", &[], Wins::Course),
    // What is in a question, or hangs in by a type of question, was compared when it was matched.
    // One of the same number is another one, unless it was matched.
    wins("/question_versions", &[], Wins::Whole),
    wins("/badges/badge", &[], Wins::Whole),
];

/// Rows of which some fields decide what the others mean: field, its value, and what is equal in equal rows then.
/// Enrolment methods: one manual and one guest instance for each course; others are the same if they let the same people
/// in the same way.
const BY_VALUE: &[(&str, &str, &str, &[&str])] = &[
    ("/enrols/enrol", "enrol", "manual", &["enrol"]),
    ("/enrols/enrol", "enrol", "guest", &["enrol"]),
    (
        "/enrols/enrol",
        "enrol",
        "*",
        &["enrol", "name", "roleid", "customint1", "password", "cost", "currency"],
    ),
    ("/grade_categories/grade_category", "depth", "1", &["depth"]),
    ("/grade_items/grade_item", "itemtype", "course", &["itemtype"]),
    ("/grade_items/grade_item", "itemtype", "manual", &["itemtype", "categoryid", "itemname"]),
];

/// The rule for the rows of an element.
pub(super) fn rule_of(path: &str, compatibility: Compatibility) -> Option<&'static Rule> {
    let fits = |rule: &&Rule| {
        let is_root = rule.path == "/section" || rule.path == "/course";
        let same = if is_root { path == rule.path } else { path.ends_with(rule.path) };
        same && rule.only.is_none_or(|only| only == compatibility)
    };
    RULES.iter().find(fits)
}

/// Names of the fields that must be equal, given a row's fields; `None` if nothing makes such a row equal to another.
pub(super) fn fields_of(
    rule: &Rule,
    field: impl Fn(&str) -> Option<String>,
) -> Option<&'static [&'static str]> {
    if !rule.fields.is_empty() {
        return Some(rule.fields);
    }
    let of_rule = BY_VALUE.iter().filter(|(path, ..)| *path == rule.path);
    let mut fitting = of_rule
        .filter(|(_, name, value, _)| *value == "*" || field(name).is_some_and(|there| there == *value));
    fitting.next().map(|(.., fields)| *fields)
}
