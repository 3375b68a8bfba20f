//! What is told of members and documents: white space, attributes, spelling, what is no XML, and bounds.

use super::super::{Kind, Level, Side, compare};
use super::{InMemory, Options, at, documents, told};

fn meaning(a: &str, b: &str) -> super::Report {
    documents("course/course.xml", a, b, &at(Level::Meaning))
}

#[test]
fn members_that_one_lacks_are_told_in_the_order_of_paths() {
    let a = InMemory::of(&[("moodle_backup.xml", "<a/>"), ("b.xml", "<b/>"), ("files/x", "1")]);
    let b = InMemory::of(&[("moodle_backup.xml", "<a/>"), ("a.xml", "<a/>"), ("files/x", "22")]);
    let report = compare(&a, &b, &at(Level::Meaning)).expect("memory");
    let found: Vec<(Kind, &str)> =
        report.differences.iter().map(|each| (each.kind, each.member.as_str())).collect();
    assert_eq!(
        found,
        [(Kind::MemberOnlyInB, "a.xml"), (Kind::MemberOnlyInA, "b.xml"), (Kind::BytesDiffer, "files/x")]
    );
    assert_eq!((report.same_members, report.altered_members, report.lone_members), (1, 1, 2));
    assert_eq!(
        report.differences[2].a.as_deref().map(|told| told.starts_with("1 bytes, blake3 ")),
        Some(true)
    );
    assert_eq!(report.by_member.len(), 3);
}

#[test]
fn contents_without_digests_are_read() {
    let archive = |text: &str| InMemory { digests: false, ..InMemory::of(&[("files/x", text)]) };
    let report = compare(&archive("abcd"), &archive("abxd"), &at(Level::Exact)).expect("memory");
    assert_eq!(report.differences[0].a.as_deref(), Some("4 bytes, first at byte 2"));
    assert!(compare(&archive("abcd"), &archive("abcd"), &at(Level::Exact)).expect("memory").is_same());
    assert!(!compare(&archive("ab"), &archive("abc"), &at(Level::Exact)).expect("memory").is_same());
}

#[test]
fn an_emptied_wrapper_is_no_empty_value() {
    let (wrapper, value) = ("<a>\n  <list>\n  </list>\n</a>", "<a>\n  <list></list>\n</a>");
    let report = meaning(wrapper, value);
    assert_eq!(told(&report), [(Kind::TextDiffers, "/a/list")]);
    assert_eq!(report.differences[0].a.as_deref(), Some("\\n  "));
    assert_eq!(report.differences[0].b.as_deref(), Some(""));
    let full = "<a>\n  <list>\n    <row id=\"1\"></row>\n  </list>\n</a>";
    assert_eq!(told(&meaning(full, wrapper)), [(Kind::ElementOnlyInA, "/a/list/row[@id=1]")]);
    let both = [(Kind::ElementOnlyInA, "/a/list/row[@id=1]"), (Kind::TextDiffers, "/a/list")];
    assert_eq!(told(&meaning(full, value)), both);
}

#[test]
fn attributes_are_told_with_their_name() {
    let report = meaning("<a x=\"1\" y=\"2\"></a>", "<a y=\"3\" z=\"4\"></a>");
    let kind = Kind::AttributeDiffers;
    assert_eq!(told(&report), [(kind, "/a/@x"), (kind, "/a/@y"), (kind, "/a/@z")]);
    assert_eq!((report.differences[0].b.as_deref(), report.differences[2].a.as_deref()), (None, None));
    assert_eq!(told(&meaning("<a x=\"1\" y=\"2\"/>", "<a y=\"2\" x=\"1\"/>")), [(Kind::TextDiffers, "/a")]);
}

#[test]
fn what_is_spelled_in_another_way_is_a_difference() {
    assert_eq!(told(&meaning("<a><b></b></a>", "<a><b/></a>")), [(Kind::TextDiffers, "/a/b")]);
    assert_eq!(told(&meaning("<a>x&gt;</a>", "<a>x></a>")), [(Kind::ValueDiffers, "/a")]);
    assert_eq!(told(&meaning("<a>x</a>", "<a><!-- c -->x</a>")), [(Kind::ValueDiffers, "/a")]);
    let declared = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<a></a>";
    assert_eq!(told(&meaning(declared, "<a></a>")), [(Kind::TextDiffers, "/")]);
    assert_eq!(told(&meaning("<a></a>", "<a></a>\n")), [(Kind::TextDiffers, "/")]);
    assert_eq!(told(&meaning("<a></a>", "\u{feff}<a></a>")), [(Kind::BytesDiffer, "")]);
    assert_eq!(
        told(&meaning("<a></a>", "<b></b>")),
        [(Kind::ElementOnlyInA, "/a"), (Kind::ElementOnlyInB, "/b")]
    );
}

#[test]
fn what_is_no_xml_is_compared_by_its_bytes_and_noted() {
    let deep = "<a>".repeat(65) + &"</a>".repeat(65);
    for (broken, offset) in [
        ("<a><b></a></b>", 6),
        ("<a>", 3),
        ("text", 0),
        ("", 0),
        ("<a></a><b></b>", 7),
        ("<a x=1></a>", 0),
        ("<!DOCTYPE a><a></a>", 0),
        (deep.as_str(), 64 * 3),
    ] {
        let report = meaning("<a></a>", broken);
        assert_eq!(told(&report), [(Kind::BytesDiffer, "")], "{broken:?}");
        let notes: Vec<_> = report.notes.iter().map(|note| (note.side, note.offset)).collect();
        assert_eq!(notes, [(Side::B, offset)], "{broken:?}");
        assert!(meaning(broken, broken).is_same());
    }
}

#[test]
fn the_list_is_capped_and_the_count_is_not() {
    let document = |value: &str| {
        let rows: String = (0..50).map(|id| format!("<r id=\"{id}\">{value}</r>")).collect();
        format!("<a>{rows}</a>")
    };
    let options = Options { limit: 3, ..at(Level::Exact) };
    let report = documents("x.xml", &document("1"), &document("2"), &options);
    assert_eq!((report.differences.len(), report.total), (3, 50));
    assert_eq!(report.by_kind[&Kind::ValueDiffers], 50);
    assert_eq!(report.by_member.values().sum::<u64>(), 50);
}

#[test]
fn excerpts_show_where_texts_part_within_120_characters() {
    let long = "é".repeat(5000);
    let report = meaning(&format!("<a>{long}x{long}</a>"), &format!("<a>{long}\u{7}{long}</a>"));
    let (a, b) = (
        report.differences[0].a.clone().unwrap_or_default(),
        report.differences[0].b.clone().unwrap_or_default(),
    );
    assert!(a.chars().count() <= 120 && b.chars().count() <= 120, "{a} {b}");
    assert!(a.starts_with('…') && a.contains("éx") && b.contains("é\\u{7}"), "{a} {b}");
}

#[test]
fn a_value_of_some_megabytes_is_compared_to_its_end() {
    let long = "x&amp;".repeat(1 << 20);
    let report = meaning(&format!("<a><v>{long}1</v></a>"), &format!("<a><v>{long}2</v></a>"));
    assert_eq!(told(&report), [(Kind::ValueDiffers, "/a/v")]);
    let told = report.differences[0].a.as_deref().unwrap_or_default();
    assert_eq!(told, "6291457 bytes, other ones after the first 1048576");
}
