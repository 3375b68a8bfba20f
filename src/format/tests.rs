//! The embedded descriptions, and documents rewritten with small ones.

use super::*;
use crate::course::in_memory;
use crate::limits::Limits;

#[test]
fn the_embedded_descriptions_are_understood() {
    let format = Format::with(&[]).unwrap_or_else(|error| panic!("{error}"));
    assert!(format.plugins().len() > 80);
    assert_eq!(
        format.document("activities/forum_7/forum.xml").map(|found| found.plugin.name.as_str()),
        Some("mod_forum")
    );
    assert_eq!(format.document("users.xml").map(|found| found.plugin.name.as_str()), Some("core_user"));
    assert!(format.document("activities/forum_7/nothing.xml").is_none());
    assert!(format.hung("plugin_qtype_multichoice_question").is_some());
    assert_eq!(
        format.file_rule("question", "response_answer").map(|(plugin, _)| plugin.name.as_str()),
        Some("mod_quiz")
    );
}

/// Course archives of a real Moodle, and parts of courses.
const FIXTURES: [&str; 14] = [
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
];

fn documents(fixture: &str) -> Vec<(String, Vec<u8>)> {
    let archive = in_memory::fixture(&format!("{fixture}.mbz")).expect("a fixture");
    let members = archive.members.into_iter().map(|(path, bytes)| (path.to_string(), bytes));
    members.filter(|(path, _)| path.ends_with(".xml")).collect()
}

fn everything() -> Purpose<'static> {
    Purpose {
        compatibility: Compatibility::Moodle,
        on: Conditions::all(),
        keep: Vec::new(),
        gone: Vec::new(),
        date_offset: 0,
        values: Vec::new(),
        links_of: None,
    }
}

fn rewrite(format: &Format, purpose: &Purpose<'_>, path: &str, bytes: &[u8]) -> (Outcome, Vec<u8>) {
    let found = format.document(path).unwrap_or_else(|| panic!("{path} is described"));
    let mut out = Vec::new();
    let rewrite = Rewrite::new(format, purpose, &found.document.root, &mut out);
    let outcome = rewrite.run(bytes, &Limits::default()).unwrap_or_else(|error| panic!("{path}: {error}"));
    (outcome, out)
}

/// What no description covers fails by its path.
#[test]
fn every_element_and_attribute_of_the_fixtures_is_described() {
    let format = &*Format::embedded();
    let mut unknown = std::collections::BTreeSet::new();
    for fixture in FIXTURES {
        for (path, bytes) in documents(fixture) {
            if format.document(&path).is_none() {
                unknown.insert(path);
                continue;
            }
            let (outcome, out) = rewrite(format, &everything(), &path, &bytes);
            unknown.extend(outcome.unknown.keys().map(|what| format!("{path}: {what}")));
            assert!(!outcome.changed && out == bytes, "{fixture}: {path} must not change");
        }
    }
    assert!(unknown.is_empty(), "{unknown:#?}");
}
