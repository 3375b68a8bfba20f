//! The closed list: every entry lets pass what it speaks of, and nothing beside it.

use std::collections::BTreeSet;

use super::super::{CLOSED_LIST, Kind, Level, Options, compare};
use super::{InMemory, at, documents, told};

/// What is let pass, and what is told.
type Judged = (Vec<(&'static str, u64)>, Vec<(Kind, String)>);

/// Compares on the level MEANING.
fn judged(member: &str, a: &str, b: &str) -> Judged {
    let report = documents(member, a, b, &at(Level::Meaning));
    let exact = documents(member, a, b, &at(Level::Exact));
    assert!(!exact.is_same() && exact.excused.is_empty(), "nothing is let pass where bytes count");
    assert_eq!(exact.total, report.total + report.excused.values().sum::<u64>());
    let told = told(&report).into_iter().map(|(kind, path)| (kind, path.to_owned())).collect();
    (report.excused.into_iter().collect(), told)
}

fn passes(member: &str, a: &str, b: &str, entry: &'static str, count: u64) {
    assert_eq!(judged(member, a, b), (vec![(entry, count)], vec![]), "{member}");
}

fn fails(member: &str, a: &str, b: &str, kind: Kind, path: &str) {
    assert_eq!(judged(member, a, b), (vec![], vec![(kind, path.to_owned())]), "{member}");
}

#[test]
fn every_entry_gives_its_reason_and_one_reason_only() {
    let mut seen = BTreeSet::new();
    for entry in CLOSED_LIST {
        assert!(!entry.reason.is_empty() && !entry.origin.is_empty() && !entry.at.is_empty(), "{entry:?}");
        assert!(entry.at.iter().all(|path| path.starts_with('/')), "{entry:?}");
        seen.insert((entry.id, entry.what.eq(&super::super::What::NewRow)));
    }
    let ids: BTreeSet<_> = seen.iter().map(|(id, _)| id).collect();
    assert_eq!(ids.len(), seen.len());
}

#[test]
fn the_order_of_file_rows() {
    let (a, b) = (
        "<files><file id=\"1\"><x>1</x></file><file id=\"2\"></file></files>",
        "<files><file id=\"2\"></file><file id=\"1\"><x>1</x></file></files>",
    );
    passes("files.xml", a, b, "FILES_ORDER", 1);
    fails("course/files.xml", a, b, Kind::OrderDiffers, "/files");
    let altered = b.replace(">1<", ">2<");
    let (excused, found) = judged("files.xml", a, &altered);
    assert_eq!(excused, [("FILES_ORDER", 1)]);
    assert_eq!(found, [(Kind::ValueDiffers, "/files/file[@id=1]/x".to_owned())]);
    fails(
        "files.xml",
        a,
        &a.replace("<file id=\"2\"></file>", ""),
        Kind::ElementOnlyInA,
        "/files/file[@id=2]",
    );
}

#[test]
fn the_order_of_users_and_of_nothing_in_them() {
    let a =
        "<users><user id=\"1\"><t><r id=\"1\"></r><r id=\"2\"></r></t></user><user id=\"2\"></user></users>";
    let b =
        "<users><user id=\"2\"></user><user id=\"1\"><t><r id=\"1\"></r><r id=\"2\"></r></t></user></users>";
    passes("users.xml", a, b, "USERS_ORDER", 1);
    let inner = a.replace("<r id=\"1\"></r><r id=\"2\"></r>", "<r id=\"2\"></r><r id=\"1\"></r>");
    fails("users.xml", a, &inner, Kind::OrderDiffers, "/users/user[@id=1]/t");
}

/// A users.xml of anonymous users: id, and the number that their names have.
fn anonymous(users: &[(u32, u32)]) -> String {
    let user = |(id, number): &(u32, u32)| {
        format!(
            "<user id=\"{id}\"><username>anon{number}</username><email>anon{number}@doesntexist.invalid</email>\
             <lastnamephonetic>anonlastnamephonetic{number}</lastnamephonetic><city>Perth</city></user>"
        )
    };
    format!("<users>{}</users>", users.iter().map(user).collect::<String>())
}

#[test]
fn numbers_of_anonymous_users_follow_their_places() {
    let a = anonymous(&[(7, 1), (8, 2), (9, 3)]);
    let b = anonymous(&[(7, 1), (9, 2), (8, 3)]);
    let (excused, found) = judged("users.xml", &a, &b);
    assert_eq!(excused, [("ANONYMOUS_NUMBERS", 6), ("USERS_ORDER", 1)]);
    assert!(found.is_empty());
}

#[test]
fn a_number_that_is_not_the_place_is_told() {
    let a = anonymous(&[(7, 1), (8, 2)]);
    let found = |b: &str| judged("users.xml", &a, b).1.into_iter().map(|(_, path)| path).collect::<Vec<_>>();
    let fields = ["username", "email", "lastnamephonetic"].map(|field| format!("/users/user[@id=8]/{field}"));
    // The order is the same, so the number must be.
    assert_eq!(found(&anonymous(&[(7, 1), (8, 3)])), fields);
    // The order differs, but the number is not that of the place.
    assert_eq!(found(&anonymous(&[(8, 3), (7, 2)])), fields);
    // Another field, another domain, another name.
    assert_eq!(found(&a.replace("doesntexist.invalid", "example.com").replace("anon1@", "x@")).len(), 2);
    let swapped = anonymous(&[(8, 1), (7, 2)]).replacen("anonlastnamephonetic1", "anonlastname1", 1);
    assert_eq!(found(&swapped), ["/users/user[@id=8]/lastnamephonetic"]);
}

#[test]
fn ids_in_references_are_sets_that_count() {
    let list = |ids: &[u32]| {
        let ids: String = ids.iter().map(|id| format!("<user><id>{id}</id></user>")).collect();
        format!("<inforef><userref>{ids}</userref></inforef>")
    };
    let a = list(&[1, 2, 3]);
    passes("course/inforef.xml", &a, &list(&[3, 1, 2]), "REFERENCES_ORDER", 1);
    fails("course/inforef.xml", &a, &list(&[1, 3]), Kind::ElementOnlyInA, "/inforef/userref/user[id=2]");
    fails(
        "course/inforef.xml",
        &a,
        &list(&[1, 2, 3, 3]),
        Kind::ElementOnlyInB,
        "/inforef/userref/user[id=3]",
    );
    fails("course/other.xml", &a, &list(&[2, 1, 3]), Kind::OrderDiffers, "/inforef/userref");
    // The lists themselves stand in a fixed order.
    let groups =
        |first: &str, second: &str| format!("<inforef><{first}></{first}><{second}></{second}></inforef>");
    fails(
        "course/inforef.xml",
        &groups("userref", "groupref"),
        &groups("groupref", "userref"),
        Kind::OrderDiffers,
        "/inforef",
    );
}

#[test]
fn fresh_encryption_of_the_same_length() {
    let tool = |mark: &str, value: &str| {
        format!(
            "<activity><lti id=\"1\"><resourcekey encrypted=\"{mark}\">{value}</resourcekey></lti></activity>"
        )
    };
    let (member, path) = ("activities/lti_1/lti.xml", "/activity/lti[@id=1]/resourcekey");
    let a = tool("true", "QUJDREVG");
    passes(member, &a, &tool("true", "R0hJSktM"), "FRESHLY_ENCRYPTED", 1);
    for other in
        [tool("true", ""), tool("true", "R0hJSktMTU5P"), tool("true", "$@NULL@$"), tool("true", "QUJ REVG")]
    {
        fails(member, &a, &other, Kind::ValueDiffers, path);
    }
    fails("activities/url_1/url.xml", &a, &tool("true", "R0hJSktM"), Kind::ValueDiffers, path);
    fails(member, &tool("false", "QUJDREVG"), &tool("false", "R0hJSktM"), Kind::ValueDiffers, path);
    let renamed = |text: &str| text.replace("resourcekey", "toolurl");
    fails(
        member,
        &renamed(&a),
        &renamed(&tool("true", "R0hJSktM")),
        Kind::ValueDiffers,
        "/activity/lti[@id=1]/toolurl",
    );
    let typed = |value: &str| {
        format!(
            "<activity><lti id=\"1\"><ltitype id=\"2\"><ltitypesconfigs><ltitypesconfigencrypted id=\"3\"><name>n</name>\
             <value encrypted=\"true\">{value}</value></ltitypesconfigencrypted></ltitypesconfigs></ltitype></lti></activity>"
        )
    };
    passes(member, &typed("QUJDREVG"), &typed("R0hJSktM"), "FRESHLY_ENCRYPTED", 1);
}

/// A manifest: date, id, file name, time of execution, and what else it says.
fn manifest(date: &str, id: &str, name: &str, time: &str, rest: &str) -> String {
    format!(
        "<moodle_backup><information><name>{name}</name><backup_date>{date}</backup_date>\
         <include_files>{rest}</include_files>\
         <details><detail backup_id=\"{id}\"><type>course</type><format>moodle2</format><executiontime>{time}</executiontime>\
         </detail></details><settings><setting><level>root</level><name>filename</name><value>{name}</value></setting>\
         <setting><level>root</level><name>users</name><value>{rest}</value></setting></settings>\
         </information></moodle_backup>"
    )
}

#[test]
fn what_a_run_writes_of_itself() {
    let (one, other) = ("0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210");
    let member = "moodle_backup.xml";
    let a = manifest("1700000000", one, "a.mbz", "0", "1");
    passes(member, &a, &manifest("1700000001", one, "a.mbz", "0", "1"), "BACKUP_DATE", 1);
    passes(member, &a, &manifest("1700000000", other, "a.mbz", "0", "1"), "BACKUP_ID", 1);
    passes(member, &a, &manifest("1700000000", one, "b.mbz", "0", "1"), "FILE_NAME", 2);
    let delayed = manifest("1700000000", one, "a.mbz", "1700000000", "1");
    passes(member, &delayed, &manifest("1700000000", one, "a.mbz", "1700000009", "1"), "EXECUTION_TIME", 1);

    let information = "/moodle_backup/information";
    let told = |b: &str, path: &str, kind: Kind| fails(member, &a, b, kind, &format!("{information}/{path}"));
    told(&delayed, "details/detail/executiontime", Kind::ValueDiffers);
    told(&manifest("", one, "a.mbz", "0", "1"), "backup_date", Kind::ValueDiffers);
    told(&manifest("0", one, "a.mbz", "0", "1"), "backup_date", Kind::ValueDiffers);
    told(
        &manifest("1700000000", "x", "a.mbz", "0", "1"),
        "details/detail/@backup_id",
        Kind::AttributeDiffers,
    );
    let report = judged(member, &a, &manifest("1700000000", one, "a.mbz", "0", "0"));
    let paths: Vec<String> = report.1.into_iter().map(|(_, path)| path).collect();
    let expected = ["include_files", "settings/setting[name=users]/value"];
    assert_eq!(paths, expected.map(|path| format!("{information}/{path}")));
    fails(
        "course/course.xml",
        &a,
        &manifest("1700000001", one, "a.mbz", "0", "1"),
        Kind::ValueDiffers,
        &format!("{information}/backup_date"),
    );
}

/// An archive with a date and log rows.
fn logged(date: u32, ids: &[u32]) -> InMemory {
    let row =
        |id: &u32| format!("\n  <logstore_standard_log id=\"{id}\"><x>{id}</x></logstore_standard_log>");
    let rows: String = ids.iter().map(row).collect();
    let store = "subplugin_logstore_standard_logstore";
    InMemory::of(&[
        (
            "moodle_backup.xml",
            &manifest(&date.to_string(), "0123456789abcdef0123456789abcdef", "a.mbz", "0", "1"),
        ),
        (
            "course/logstores.xml",
            &format!("<logstores><logstore><{store}>{rows}\n</{store}></logstore></logstores>"),
        ),
    ])
}

#[test]
fn new_log_rows_pass_only_when_asked_for_and_only_beyond_the_last_one() {
    let (old, new) = (logged(1_700_000_000, &[1, 2]), logged(1_700_000_009, &[1, 2, 3, 4]));
    let asked = Options { ignore_new_log_rows: true, ..at(Level::Meaning) };
    let judge = |a: &InMemory, b: &InMemory, options: &Options| {
        let report = compare(a, b, options).expect("memory");
        (report.excused.get("NEW_LOG_ROWS").copied().unwrap_or(0), report.total)
    };
    assert_eq!(judge(&old, &new, &asked), (2, 0));
    assert_eq!(judge(&new, &old, &asked), (2, 0));
    assert_eq!(judge(&old, &new, &at(Level::Meaning)), (0, 2));
    assert_eq!(judge(&old, &new, &Options { ignore_new_log_rows: true, ..at(Level::Exact) }), (0, 3));
    // An archive that is derived later has the log of its source; a row below the last one is missing.
    assert_eq!(judge(&logged(1_700_000_000, &[1, 2, 3]), &logged(1_700_000_009, &[1, 2]), &asked), (1, 0));
    assert_eq!(judge(&logged(1_700_000_000, &[1, 3]), &logged(1_700_000_009, &[1, 2, 3, 4]), &asked), (1, 1));
    assert_eq!(judge(&logged(1_700_000_000, &[1, 2]), &logged(1_700_000_000, &[2]), &asked), (0, 1));
    // The row itself must be the same where both have it.
    let mut altered = logged(1_700_000_009, &[1, 2, 3]);
    let log = altered.members.get_mut(&super::path_of("course/logstores.xml")).expect("a member");
    *log = String::from_utf8_lossy(log).replace("<x>2</x>", "<x>x</x>").into_bytes();
    assert_eq!(judge(&old, &altered, &asked), (1, 1));
}
