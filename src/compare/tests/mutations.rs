//! Every archive equals itself, and one change anywhere in a document is told at exactly its place.

use std::sync::OnceLock;

use proptest::prelude::*;

use super::super::{Kind, Level, compare, is_document};
use super::tree::{Node, Way};
use super::{InMemory, at, fixture, path_of, told};

const FIXTURES: [&str; 4] =
    ["gen_xs-full.mbz", "rich101-full-zip.mbz", "rich101-activity-quiz.mbz", "rich101-section3.mbz"];

/// All documents of some fixtures.
fn all() -> &'static [(String, Node)] {
    static ALL: OnceLock<Vec<(String, Node)>> = OnceLock::new();
    ALL.get_or_init(|| {
        let mut all = Vec::new();
        for name in FIXTURES {
            for (path, bytes) in fixture(name).expect("a fixture").members {
                if is_document(&path) {
                    let text = String::from_utf8(bytes).expect("UTF-8");
                    let node = Node::read(&text);
                    assert_eq!(node.write(), text, "{path}");
                    all.push((path.to_string(), node));
                }
            }
        }
        all
    })
}

/// What is changed.
#[derive(Clone, Copy, Debug)]
enum Change {
    Value,
    Row,
    Swap,
    Attribute,
    Wrapper,
    Indent,
    Spelling,
}

const CHANGES: [Change; 7] = [
    Change::Value,
    Change::Row,
    Change::Swap,
    Change::Attribute,
    Change::Wrapper,
    Change::Indent,
    Change::Spelling,
];

/// What must be told.
type Expected = Vec<(Kind, String)>;

/// What is told of a value or an attribute: a difference there, unless it is what tells the row from its siblings; then it is
/// another row.
fn told_of(before: &Node, after: &Node, way: &[usize], field: &str, kind: Kind, attribute: bool) -> Expected {
    let row = if attribute { way } else { &way[..way.len() - 1] };
    if let Some((index, above)) = row.split_last()
        && let Some((fields, _)) = before.at(above).label(*index)
        && fields.contains(&field)
    {
        return vec![(Kind::ElementOnlyInA, before.path(row)), (Kind::ElementOnlyInB, after.path(row))];
    }
    let path = before.path(way);
    vec![(kind, if attribute { format!("{path}/{field}") } else { path })]
}

/// Whether an element is what tells the row that it belongs to from others.
fn tells_its_parent(before: &Node, way: &[usize]) -> bool {
    let name = before.at(way).name.as_str();
    let [above @ .., row, _] = way else { return false };
    before.at(above).label(*row).is_some_and(|(fields, _)| fields.contains(&name))
}

fn pick<T: Clone>(list: &[T], number: usize) -> Option<T> {
    (!list.is_empty()).then(|| list[number % list.len()].clone())
}

/// Changes a document in one place; none if it has no place for such a change.
fn change(before: &Node, kind: Change, number: usize) -> Option<(Node, Expected)> {
    let mut after = before.clone();
    let leaf = |node: &Node| node.children.is_empty();
    match kind {
        Change::Value => {
            let way = pick(&before.ways(&|node| leaf(node) && !node.text.trim().is_empty()), number)?;
            after.at_mut(&way).text.push('x');
            let name = before.at(&way).name.clone();
            let expected = told_of(before, &after, &way, &name, Kind::ValueDiffers, false);
            Some((after, expected))
        }
        Change::Row => {
            let ways = before.ways(&|_| true).into_iter();
            let ways: Vec<Way> = ways.filter(|way| way.len() > 1 && !tells_its_parent(before, way)).collect();
            let way = pick(&ways, number)?;
            let (index, above) = way.split_last()?;
            let gone = after.at_mut(above).children.remove(*index);
            // Of rows that are all the same, any one may be missing.
            let mut index = *index;
            let same = |one: &Node| {
                (one.name == gone.name, one.text.clone(), one.children.clone(), one.attributes.clone())
                    == (true, gone.text.clone(), gone.children.clone(), gone.attributes.clone())
            };
            if before.at(above).label(index).is_none() {
                let rows = &before.at(above).children;
                while index + 1 < rows.len() && same(&rows[index + 1]) {
                    index += 1;
                }
            }
            let path = before.path(&[above, &[index]].concat());
            Some((after, vec![(Kind::ElementOnlyInA, path)]))
        }
        Change::Swap => {
            let way = pick(&before.ways(&|node| node.children.len() > 1), number)?;
            let children = &mut after.at_mut(&way).children;
            let first = number / 7 % (children.len() - 1);
            children.swap(first, first + 1);
            let lead = std::mem::take(&mut children[first].lead);
            children[first].lead = std::mem::replace(&mut children[first + 1].lead, lead);
            let path = before.path(&way);
            (after != *before).then(|| (after, vec![(Kind::OrderDiffers, path)]))
        }
        Change::Attribute => {
            let way = pick(&before.ways(&|node| !node.attributes.is_empty()), number)?;
            let attributes = &mut after.at_mut(&way).attributes;
            let index = number / 7 % attributes.len();
            attributes[index].1.push_str("00000");
            let field = format!("@{}", attributes[index].0);
            let expected = told_of(before, &after, &way, &field, Kind::AttributeDiffers, true);
            Some((after, expected))
        }
        Change::Wrapper => {
            let way = pick(&before.ways(&|node| leaf(node) && node.text.trim().is_empty()), number)?;
            after.at_mut(&way).text.push(' ');
            let name = before.at(&way).name.clone();
            let expected = told_of(before, &after, &way, &name, Kind::TextDiffers, false);
            Some((after, expected))
        }
        Change::Indent => {
            let way = pick(&before.ways(&|node| !leaf(node)), number)?;
            let children = &mut after.at_mut(&way).children;
            let index = number / 7 % children.len();
            children[index].lead.push('\t');
            Some((after, vec![(Kind::TextDiffers, before.path(&way))]))
        }
        Change::Spelling => {
            let way = pick(&before.ways(&|node| leaf(node) && node.text.is_empty() && !node.short), number)?;
            after.at_mut(&way).short = true;
            Some((after, vec![(Kind::TextDiffers, before.path(&way))]))
        }
    }
}

/// The entry of the closed list that lets one of these changes pass.
fn excuse(member: &str, change: Change, path: &str) -> Option<&'static str> {
    let information = "/moodle_backup/information";
    match (member, change) {
        ("moodle_backup.xml", Change::Value)
            if path == format!("{information}/name")
                || path == format!("{information}/settings/setting[name=filename]/value") =>
        {
            Some("FILE_NAME")
        }
        ("files.xml", Change::Swap) if path == "/files" => Some("FILES_ORDER"),
        ("users.xml", Change::Swap) if path == "/users" => Some("USERS_ORDER"),
        ("roles.xml", Change::Swap) if path == "/roles_definition" => Some("ROLES_ORDER"),
        ("scales.xml", Change::Swap) if path == "/scales_definition" => Some("SCALES_ORDER"),
        ("outcomes.xml", Change::Swap) if path == "/outcomes_definition" => Some("OUTCOMES_ORDER"),
        (member, Change::Swap)
            if member.ends_with("/grades.xml")
                && (path == "/activity_gradebook/grade_items" || path.ends_with("/grade_grades")) =>
        {
            Some("GRADES_ORDER")
        }
        (member, Change::Swap)
            if member.ends_with("inforef.xml")
                && path.starts_with("/inforef/")
                && path.matches('/').count() == 2 =>
        {
            Some("REFERENCES_ORDER")
        }
        _ => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn one_change_is_told_at_its_place(
        document in any::<prop::sample::Index>(),
        kind in any::<prop::sample::Index>(),
        number in any::<u32>(),
        exact in any::<bool>(),
        digests in any::<bool>(),
    ) {
        let (member, before) = document.get(all());
        let kind = *kind.get(&CHANGES);
        let Some((after, expected)) = change(before, kind, number as usize) else { return Ok(()) };
        let archive = |node: &Node| InMemory {
            digests,
            ..InMemory::of(&[(member, &node.write()), ("other.xml", "<x></x>")])
        };
        let level = if exact { Level::Exact } else { Level::Meaning };
        let report = compare(&archive(before), &archive(&after), &at(level)).expect("memory");
        let place = &expected[0].1;
        match excuse(member, kind, place).filter(|_| !exact) {
            Some(entry) => {
                prop_assert!(report.is_same(), "{member} {kind:?} {place}: {report:?}");
                prop_assert_eq!(report.excused.get(entry), Some(&1));
            }
            None => {
                let found: Vec<(Kind, String)> =
                    told(&report).into_iter().map(|(kind, path)| (kind, path.to_owned())).collect();
                prop_assert_eq!(found, expected, "{} {:?}", member, kind);
                prop_assert!(report.excused.is_empty());
                prop_assert!(report.differences.iter().all(|each| each.member == path_of(member)));
            }
        }
        prop_assert_eq!((report.same_members, report.altered_members), (1, 1));
    }

    /// The same change seen from the other side.
    #[test]
    fn a_row_that_was_added_is_told_once(document in any::<prop::sample::Index>(), number in any::<u32>()) {
        let (member, before) = document.get(all());
        let Some((after, expected)) = change(before, Change::Row, number as usize) else { return Ok(()) };
        let archive = |node: &Node| InMemory::of(&[(member, &node.write())]);
        let report = compare(&archive(&after), &archive(before), &at(Level::Meaning)).expect("memory");
        prop_assert_eq!(told(&report), vec![(Kind::ElementOnlyInB, expected[0].1.as_str())]);
    }
}

#[test]
fn every_archive_equals_itself() -> std::io::Result<()> {
    for name in FIXTURES {
        let archive = fixture(name)?;
        for digests in [true, false] {
            let one = InMemory { digests, ..archive.clone() };
            for level in [Level::Exact, Level::Meaning] {
                let report = compare(&one, &archive, &at(level)).expect("memory");
                assert!(report.is_same() && report.excused.is_empty(), "{name}: {report:?}");
                assert_eq!(report.same_members, archive.members.len() as u64);
            }
        }
    }
    Ok(())
}
