//! Archives of a real Moodle renumbered: what stays, what follows, and the way back.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::course::in_memory;

/// Far from every id of the fixtures, as a site's sequences are from a platform's.
const FAR: i64 = 1_000_000_000_000;

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

type Archive = BTreeMap<String, Vec<u8>>;

fn fixture(name: &str) -> Archive {
    let archive = in_memory::fixture(&format!("{name}.mbz")).expect("a fixture");
    archive.members.into_iter().map(|(path, bytes)| (path.to_string(), bytes)).collect()
}

fn survey(archive: &Archive) -> Survey {
    let mut survey = Survey::new();
    for (path, bytes) in archive.iter().filter(|(path, _)| path.ends_with(".xml")) {
        let read = survey.read(&Format::embedded(), path, bytes.as_slice(), &Limits::default());
        read.unwrap_or_else(|error| panic!("{path}: {error}"));
    }
    survey
}

fn renumber(archive: &Archive, survey: &Survey, map: &IdMap) -> (Archive, Losses) {
    let format = Format::embedded();
    let mut renumber = Renumber::new(&format, survey, map);
    let mut new = Archive::new();
    for (path, bytes) in archive {
        let mut out = Vec::new();
        if path.ends_with(".xml") {
            let done = renumber.document(path, bytes.as_slice(), &mut out, &Limits::default());
            let changed = done.unwrap_or_else(|error| panic!("{path}: {error}"));
            assert_eq!(changed, out != *bytes, "{path} tells whether it changed");
        } else {
            out.clone_from(bytes);
        }
        assert!(new.insert(renumber.member_path(path), out).is_none(), "{path} has a place of its own");
    }
    (new, renumber.finish())
}

fn shifted(survey: &Survey, by: i64) -> IdMap {
    let mut map = IdMap::new();
    for kind in survey.defined.kinds() {
        survey.defined.sorted(kind).into_iter().for_each(|id| map.set(kind, id, id + by));
    }
    map
}

fn told(losses: &Losses) -> BTreeSet<String> {
    let lines = losses.iter().map(|(document, path, loss, lost)| {
        format!("{document} {path} {loss:?} x{} ({:?})", lost.count, lost.id)
    });
    lines.collect()
}

/// Differing lines, for a message that can be read.
fn assert_same(name: &str, a: &Archive, b: &Archive) {
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>(), "{name}");
    for (path, bytes) in a {
        if bytes != &b[path] {
            let (a, b) = (String::from_utf8_lossy(bytes), String::from_utf8_lossy(&b[path]));
            let differing = a.lines().zip(b.lines()).find(|(a, b)| a != b);
            panic!("{name}: {path}: {differing:?}");
        }
    }
}

#[test]
fn nothing_changes_if_every_id_stays() {
    for name in FIXTURES {
        let archive = fixture(name);
        let survey = survey(&archive);
        let map = IdMap::identity(&Format::embedded(), &survey.defined);
        let (new, _) = renumber(&archive, &survey, &map);
        assert_same(name, &archive, &new);
    }
}

#[test]
fn every_id_moves_and_comes_back() {
    let format = &Format::embedded();
    for name in FIXTURES {
        let archive = fixture(name);
        let before = survey(&archive);
        let there = shifted(&before, FAR);
        let (moved, _) = renumber(&archive, &before, &there);
        let after = survey(&moved);
        for kind in before.defined.kinds() {
            let ids: Vec<i64> = before.defined.sorted(kind).into_iter().map(|id| id + FAR).collect();
            assert_eq!(after.defined.sorted(kind), ids, "{name}: {}", format.kind_name(kind));
        }
        let back = there.inverse().expect("one thing, one id");
        let (same, _) = renumber(&moved, &after, &back);
        assert_same(name, &archive, &same);
    }
}

/// What refers to something in the archive still does, what did not is the same as before.
#[test]
fn no_reference_loses_its_thing() {
    let format = &Format::embedded();
    for name in FIXTURES {
        let archive = fixture(name);
        let before = survey(&archive);
        let (_, dangling) = renumber(&archive, &before, &IdMap::identity(format, &before.defined));
        let (moved, left) = renumber(&archive, &before, &shifted(&before, FAR));
        assert_eq!(told(&left), told(&dangling), "{name}");
        let after = survey(&moved);
        let (_, dangling_after) = renumber(&moved, &after, &IdMap::identity(format, &after.defined));
        assert_eq!(told(&dangling_after), told(&dangling), "{name}");
    }
}

#[test]
fn allocated_ids_are_in_the_order_of_the_old_ones_and_unique() {
    let archive = fixture("gen_xs-full");
    let format = &Format::embedded();
    let survey = survey(&archive);
    let user = format.kind("user").expect("a kind");
    let mut map = IdMap::new();
    map.keep_own([user]);
    let next = map.allocate(format, &survey.defined, FAR);
    assert!(next > FAR);
    let mut all = BTreeSet::new();
    for kind in survey.defined.kinds().filter(|kind| *kind != user) {
        let new: Vec<i64> = survey.defined.sorted(kind).iter().filter_map(|id| map.get(kind, *id)).collect();
        assert!(new.windows(2).all(|pair| pair[0] < pair[1]), "{}", format.kind_name(kind));
        new.into_iter().for_each(|id| assert!(all.insert(id), "{id} is given once"));
    }
    assert_eq!(i64::try_from(all.len()), Ok(next - FAR));
    assert_eq!(map.get(user, 2), None);
    let (_, losses) = renumber(&archive, &survey, &map);
    assert!(!told(&losses).iter().any(|line| line.contains("\"user\"")), "users are the site's own");
}

#[test]
fn what_does_not_come_along_leads_to_nobody_elses_thing() {
    let archive = fixture("rich101-full-tgz");
    let format = &Format::embedded();
    let survey = survey(&archive);
    let module = format.kind("course_module").expect("a kind");
    let (id, nothing) = (22, 3 * FAR);
    let link = |id: i64| format!("$@QUIZVIEWBYID*{id}@$");
    let text = |archive: &Archive| {
        let documents = archive.iter().filter(|(path, _)| path.ends_with("/page.xml"));
        documents.map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned()).collect::<String>()
    };
    assert!(text(&archive).contains(&link(id)), "the fixture links to the quiz");
    let mut map = shifted(&survey, FAR);
    map.unset(module, id);
    map.lead_to_nothing(nothing);
    let (free, losses) = renumber(&archive, &survey, &map);
    assert!(text(&free).contains(&link(id)), "nothing else has the number");
    let mut strangers = crate::format::Refs::default();
    strangers.add(module, id);
    map.keep_off(strangers);
    let (taken, same) = renumber(&archive, &survey, &map);
    assert!(!text(&taken).contains(&link(id)) && text(&taken).contains(&link(nothing)));
    assert_eq!(told(&losses), told(&same), "it is told all the same");
}

#[test]
fn points_and_times_of_badges_and_courses_of_answers_are_no_ids_of_the_archive() {
    let format = &Format::embedded();
    for key in ["1/bydate_5", "4/bydate_5", "4/grade_5", "5/grade_5", "5/bydate_5", "6/field_1"] {
        let told = format.told("badgevalue", key).expect("a line");
        assert!(matches!(told.as_slice(), [crate::format::Told::Nothing]), "{key}: {told:?}");
    }
    for key in ["1/module_5", "2/role_5", "4/course_5", "7/badge_5"] {
        let told = format.told("badgevalue", key).expect("a line");
        assert!(matches!(told.as_slice(), [crate::format::Told::Kind(_)]), "{key}: {told:?}");
    }
    let archive = fixture("rich101-full-tgz");
    let survey = survey(&archive);
    let (moved, _) = renumber(&archive, &survey, &shifted(&survey, FAR));
    let lines = |archive: &Archive| {
        let documents = archive.iter().filter(|(path, _)| path.ends_with("/feedback.xml"));
        let text: String = documents.map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned()).collect();
        let courses = text.lines().filter(|line| line.contains("<courseid>") || line.contains("<course_id>"));
        courses.map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    assert!(!lines(&archive).is_empty());
    assert_eq!(lines(&moved), lines(&archive));
}
