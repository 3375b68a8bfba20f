//! Archives of a real Moodle merged.

use super::*;
use crate::course::in_memory::{self, InMemory};

fn merged(target: &InMemory, incoming: &InMemory) -> Result<(InMemory, Report), MergeError> {
    in_memory_merge::merged(target, incoming, Compatibility::Strict)
}

fn survey(archive: &InMemory) -> Survey {
    Survey::of(&Format::embedded(), archive, &Limits::default()).expect("a survey")
}

#[test]
fn an_archive_merged_into_itself_is_itself() {
    for name in ["rich101-full-zip", "gen_xs-full", "rich101-section3", "rich101-logs-histories-tgz"] {
        let mut archive = in_memory::fixture(&format!("{name}.mbz")).expect("a fixture");
        archive.digests = false;
        let (same, _) = merged(&archive, &archive).unwrap_or_else(|error| panic!("{name}: {error}"));
        for (path, bytes) in &archive.members {
            assert!(same.members[path] == *bytes, "{name}: {path}");
        }
        assert_eq!(same.members.len(), archive.members.len());
    }
}

#[test]
fn what_is_far_away_comes_in_and_what_is_there_stays() {
    let format = Format::embedded();
    let target = in_memory::fixture("rich101-full-zip.mbz").expect("a fixture");
    let before = survey(&target);
    let matched = [
        "course",
        "context",
        "course_section",
        "group",
        "grouping",
        "user",
        "role",
        "scale",
        "question_category",
        "question_bank_entry",
        "question",
        "tag",
    ];
    let mut map = IdMap::new();
    for kind in before.defined.kinds() {
        let stays = matched.contains(&format.kind_name(kind));
        for id in before.defined.sorted(kind) {
            map.set(kind, id, if stays { id } else { id + 1_000_000_000_000 });
        }
    }
    let limits = Limits::default();
    let mut renumber = Renumber::new(&format, &before, &map);
    let mut incoming = InMemory::default();
    for (path, bytes) in &target.members {
        let mut out = bytes.clone();
        if path.as_str().ends_with(".xml") {
            out.clear();
            renumber.document(path.as_str(), bytes.as_slice(), &mut out, &limits).expect("a document");
        }
        incoming.members.insert(in_memory::path_of(&renumber.member_path(path.as_str())), out);
    }
    let (union, report) = merged(&target, &incoming).expect("a union");
    let after = survey(&union);
    for kind in before.defined.kinds() {
        for id in before.defined.sorted(kind) {
            assert!(after.defined.has(kind, id), "{} {id}", format.kind_name(kind));
        }
    }
    let path = in_memory::path_of(MemberPath::MANIFEST);
    let manifest = parse(union.members[&path].as_slice(), &limits).expect("a manifest");
    assert_eq!(manifest.activities.len(), 66);
    assert_eq!(manifest.sections.len(), 7);
    assert!(report.rows["users"].merged > 0 && report.rows["users"].created == 0, "{report:?}");
    assert_eq!(report.rows["enrolments"].created, 0, "{report:?}");
    assert!(report.rows["files"].created > 0);
    for (path, bytes) in &target.members {
        if path.as_str().starts_with("activities/") {
            assert!(union.members[path] == *bytes, "{path}");
        }
    }
}
