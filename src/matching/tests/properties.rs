//! What holds for all groups, categories and questions.

use proptest::prelude::*;
use proptest::sample::select;

use super::world::*;
use super::{FAR, check};
use crate::course::in_memory::{InMemory, path_of};
use crate::format::Format;
use crate::restore::Target;

/// A group: name, id number, description, visibility, members.
type Group = (&'static str, &'static str, &'static str, i64, Vec<i64>);

fn groups() -> impl Strategy<Value = Vec<Group>> {
    let members = proptest::collection::btree_set(1_i64..4, 0..3).prop_map(|set| set.into_iter().collect());
    let group =
        (select(vec!["A", "B"]), select(vec!["", "N", "M"]), select(vec!["", "x", "y"]), 0_i64..3, members);
    proptest::collection::vec(group, 0..5)
}

/// A category: the one above it by place, a stamp, questions by text and stamp.
type Category = (usize, &'static str, Vec<(&'static str, &'static str)>);

fn categories() -> impl Strategy<Value = Vec<Category>> {
    let question = (select(vec!["one", "two"]), select(vec!["q1", "q2"]));
    let questions = proptest::collection::vec(question, 0..3);
    proptest::collection::vec((0_usize..4, select(vec!["s1", "s2", "s3"]), questions), 0..4)
}

fn groups_xml(groups: &[Group]) -> String {
    let (mut text, mut groupings, mut member) = (String::new(), String::new(), 0);
    for (id, (name, number, description, visibility, members)) in (1..).zip(groups) {
        let mut rows = String::new();
        for user in members {
            member += 1;
            rows.push_str(&format!("\n<group_member id=\"{member}\"><userid>{user}</userid></group_member>"));
        }
        text.push_str(&format!(
            "\n  <group id=\"{id}\"><name>{name}</name><idnumber>{number}</idnumber><description>{description}</description>\
             <visibility>{visibility}</visibility><group_members>{rows}</group_members>\n  </group>"
        ));
        groupings.push_str(&format!(
            "\n    <grouping id=\"{id}\"><name>{name}</name><idnumber>{number}</idnumber><grouping_groups>\
             <grouping_group id=\"{id}\"><groupid>{id}</groupid></grouping_group></grouping_groups></grouping>"
        ));
    }
    format!("<groups>{text}\n  <groupings>{groupings}</groupings>\n</groups>")
}

fn questions_xml(categories: &[Category]) -> String {
    let row = |id: usize, parent: usize, stamp: &str, entries: &str| {
        format!(
            "\n  <question_category id=\"{id}\"><contextid>23</contextid><contextlevel>50</contextlevel><stamp>{stamp}</stamp>\
             <parent>{parent}</parent><question_bank_entries>{entries}</question_bank_entries>\n  </question_category>"
        )
    };
    let mut text = row(1, 0, "top", "");
    let mut entry = 0;
    for (id, (above, stamp, questions)) in (2..).zip(categories) {
        let mut entries = String::new();
        for (words, stamp) in questions {
            entry += 1;
            entries.push_str(&format!(
                "<question_bank_entry id=\"{entry}\"><question_version><question_versions id=\"{entry}\">\
                 <version>1</version><questions><question id=\"{entry}\"><questiontext>{words}</questiontext>\
                 <qtype>essay</qtype><stamp>{stamp}</stamp><timecreated>{entry}</timecreated></question></questions>\
                 </question_versions></question_version></question_bank_entry>"
            ));
        }
        // Only categories before it are above it: no loops.
        text.push_str(&row(id, 1 + above % (id - 1), stamp, &entries));
    }
    format!("<question_categories>{text}\n</question_categories>")
}

/// An archive of some users, groups and questions.
fn archive(groups: &[Group], categories: &[Category]) -> anyhow::Result<InMemory> {
    let mut archive = crate::course::in_memory::fixture("rich101-noactivities.mbz")?;
    let user = |id: i64| {
        format!(
            "\n  <user id=\"{id}\" contextid=\"{}\"><username>u{id}</username><email>u{id}@example.org</email></user>",
            id + 90
        )
    };
    let users: String = (1..4).map(user).collect();
    archive.members.retain(|path, _| path.as_str() == "moodle_backup.xml");
    for (path, text) in [
        ("users.xml", format!("<users>{users}\n</users>")),
        ("groups.xml", groups_xml(groups)),
        ("questions.xml", questions_xml(categories)),
        ("roles.xml", "<roles_definition></roles_definition>".to_owned()),
    ] {
        archive.members.insert(path_of(path), text.into_bytes());
    }
    Ok(archive)
}

fn all_the_same(groups: &[Group], categories: &[Category], moodle: bool) -> anyhow::Result<()> {
    let read = Read::of(archive(groups, categories)?)?;
    let by = |restore: Restore| if moodle { restore.moodle() } else { restore };
    let new = by(Restore::new(Target::NewCourse)).accounts(read.accounts());
    let mut plan = new.plan(&read, None)?;
    check("some", &read, &mut plan, FAR)?;
    let turned = Read::of(turned(&read.archive)?)?;
    assert!(new.plan(&read, None)? == new.plan(&turned, None)?, "order changes nothing");
    let (course, first, next) = new.restored(&read, FAR)?;
    let merge = by(Restore::new(Target::ExistingAdding)).accounts(read.accounts());
    let mut second = merge.plan(&read, Some(&course))?;
    assert!(second == merge.plan(&turned, Some(&course))?, "order changes nothing");
    if !moodle {
        let format = Format::embedded();
        let kinds = [
            "group",
            "grouping",
            "group_member",
            "grouping_group",
            "question_category",
            "question_bank_entry",
        ];
        for name in kinds.into_iter().chain(["question_version", "question"]) {
            let kind = format.kind(name).ok_or_else(|| anyhow::anyhow!("{name}"))?;
            for id in read.ids(name) {
                assert_eq!(second.map.get(kind, id), first.map.get(kind, id), "{name} {id}");
            }
        }
    }
    check("some again", &read, &mut second, next)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_was_restored_is_found_again(groups in groups(), categories in categories(), moodle in any::<bool>()) {
        let done = all_the_same(&groups, &categories, moodle);
        prop_assert!(done.is_ok(), "{:?}", done);
    }
}
