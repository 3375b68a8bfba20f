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

/// A plugin that is in no archive.
const SMALL: &str = "\
plugin mod_small
file intro
file entry per small_entry

document activities/small_*/small.xml
activity @id=small @moduleid:course_module
  small @id=small  table small
    . name:text, intro:html(intro), key:secret, opens:date
    entries  when userinfo
      entry @id=small_entry  table small_entries  counts entries
        . userid:user, text:text
    overrides
      override @id=small_override  row userid needs userinfo  row !groupid needs groups
        . userid:user, groupid:group, note:person[anon%]
    notes  own when users
      note  follows groupid
        . groupid:group
    slot subplugin_small_*
";

const DOCUMENT: &str = "\
<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<activity id=\"1\" moduleid=\"9\">
  <small id=\"1\">
    <name>A &amp; B</name>
    <intro><![CDATA[<p>x</p>]]></intro>
    <key>hush</key>
    <opens>1000</opens>
    <entries>
      <entry id=\"5\">
        <userid>7</userid>
        <text>mine</text>
      </entry>
    </entries>
    <overrides>
      <override id=\"1\">
        <userid>7</userid>
        <groupid>$@NULL@$</groupid>
        <note>Ann</note>
      </override>
      <override id=\"2\">
        <userid>$@NULL@$</userid>
        <groupid>3</groupid>
        <note></note>
      </override>
    </overrides>
    <notes>
      <note>
        <groupid>3</groupid>
      </note>
    </notes>
  </small>
</activity>";

fn small(change: impl FnOnce(&mut Purpose<'_>), document: &str) -> (Outcome, String) {
    let format = Format::with(&[("mod_small.plugin".into(), SMALL.into())]).expect("a description");
    let mut purpose = everything();
    change(&mut purpose);
    let (outcome, out) = rewrite(&format, &purpose, "activities/small_1/small.xml", document.as_bytes());
    (outcome, String::from_utf8(out).expect("text"))
}

#[test]
fn what_stays_keeps_its_spelling() {
    let (outcome, out) = small(|_| {}, DOCUMENT);
    assert!(!outcome.changed && out == DOCUMENT);
    assert_eq!(outcome.counts["entries"], 1);
    assert_eq!((outcome.secrets.len(), outcome.people.len(), outcome.unknown.len()), (1, 1, 0));
}

#[test]
fn wrappers_are_emptied_and_rows_go_with_their_white_space() {
    let (outcome, out) = small(|purpose| purpose.on = purpose.on.set(Switch::Userinfo, false), DOCUMENT);
    assert!(outcome.changed && out.contains("    <entries>\n    </entries>\n"), "{out}");
    assert!(out.contains("    <overrides>\n      <override id=\"2\">\n"), "{out}");
    assert_eq!((outcome.counts.get("entries"), outcome.dropped["entries"]), (None, 1));
    let (_, out) = small(|purpose| purpose.on = purpose.on.set(Switch::Groups, false), DOCUMENT);
    assert!(!out.contains("override id=\"1\"") && out.contains("override id=\"2\""), "{out}");
}

#[test]
fn people_secrets_and_dates_are_replaced_where_they_must_be() {
    let without = |purpose: &mut Purpose<'_>| {
        purpose.compatibility = Compatibility::Strict;
        purpose.on = purpose.on.set(Switch::Users, false).set(Switch::Secrets, false);
        purpose.date_offset = 50;
    };
    let (outcome, out) = small(without, DOCUMENT);
    assert!(out.contains("<userid>0</userid>") && out.contains("<note></note>"), "{out}");
    assert!(out.contains("<key></key>") && out.contains("<opens>1050</opens>"), "{out}");
    assert!(out.contains("<notes>\n    </notes>") && !out.contains("Ann") && outcome.blanked > 2, "{out}");
    let (_, out) = small(|purpose| purpose.on = purpose.on.set(Switch::NotAnonymized, false), DOCUMENT);
    assert_eq!(out.matches("<note>anon0</note>").count(), 2, "{out}");
}

#[test]
fn rows_follow_what_was_left_out() {
    let gone = IdSet::from([3]);
    let format = Format::with(&[("mod_small.plugin".into(), SMALL.into())]).expect("a description");
    let group = format.kind("group").expect("a kind");
    let purpose = Purpose { gone: vec![(group, &gone)], ..everything() };
    let (_, out) = rewrite(&format, &purpose, "activities/small_1/small.xml", DOCUMENT.as_bytes());
    assert!(String::from_utf8_lossy(&out).contains("<notes>\n    </notes>"));
}

#[test]
fn what_nobody_described_is_told_and_goes_where_people_are_hidden() {
    let strange = DOCUMENT
        .replace("    <key>", "    <odd><deep>Ann</deep></odd>\n    <key>")
        .replace("<small id=\"1\">", "<small id=\"1\" extra=\"Ann\">")
        .replace("<name>A &amp; B</name>", "<name/>");
    let (outcome, out) = small(|_| {}, &strange);
    let unknown: Vec<&str> = outcome.unknown.keys().map(String::as_str).collect();
    assert_eq!(unknown, ["/activity/small/@extra", "/activity/small/odd"]);
    assert_eq!(out, strange);
    let (_, out) = small(|purpose| purpose.on = purpose.on.set(Switch::Userinfo, false), &strange);
    assert!(!out.contains("odd") && !out.contains("extra") && out.contains("<small id=\"1\">"), "{out}");
    assert!(out.contains("<name/>"), "{out}");
}

#[test]
fn documents_that_are_none_are_refused_at_their_place() {
    let format = Format::with(&[("mod_small.plugin".into(), SMALL.into())]).expect("a description");
    let found = format.document("activities/small_1/small.xml").expect("described");
    let purpose = everything();
    let deep = format!("{}{}", "<a>".repeat(100), "</a>".repeat(100));
    for bad in [
        "",
        "<activity>",
        "<activity></b>",
        "x<activity/>",
        "<activity/><b/>",
        "<!DOCTYPE a><activity/>",
        &deep,
    ] {
        let rewrite = Rewrite::new(&format, &purpose, &found.document.root, std::io::sink());
        assert!(
            matches!(rewrite.run(bad.as_bytes(), &Limits::default()), Err(RewriteError::Xml(_))),
            "{bad}"
        );
    }
}

#[test]
fn descriptions_that_are_none_are_refused_by_line() {
    for (text, line, what) in [
        ("", 0, "no line"),
        ("file intro", 1, "the first line"),
        ("plugin a\nplugin b", 2, "second plugin"),
        ("plugin a\n   odd", 2, "odd number"),
        ("plugin a\ndocument x.xml\n\nfile y", 4, "no root"),
        ("plugin a\ndocument x.xml\nx\n    . far", 4, "too far"),
        ("plugin a\ndocument x.xml\nx\n  . a:(", 4, "bracket"),
        ("plugin a\ndocument x.xml\nx\n  . a:codec", 4, ""),
        ("plugin a\ndocument x.xml\nx\n  . a, a", 4, "twice"),
        ("plugin a\ndocument x.xml\nx when nothing", 3, "no setting"),
        ("plugin a\nelement y\nx", 3, "stands where"),
    ] {
        let result = Format::with(&[("a.plugin".into(), text.into())]);
        match (result, what) {
            // A kind may have any name.
            (Ok(_), "") => {}
            (Err(FormatError::Notation { file, error }), what) => {
                assert!(
                    file == "a.plugin" && error.line == line && error.what.contains(what),
                    "{text}: {error}"
                );
            }
            (other, _) => panic!("{text}: {:?}", other.err()),
        }
    }
    let again = Format::with(&[("a.plugin".into(), "plugin mod_forum".into())]);
    assert!(matches!(again, Err(FormatError::Twice { .. })));
}
