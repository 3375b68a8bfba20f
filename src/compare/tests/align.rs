//! Alignment: what belongs together when rows are missing, moved, doubled or have no ids.

use super::super::{Kind, Level};
use super::{at, documents, told};

/// Compares two lists of rows, each spelled as it stands.
fn rows(a: &[&str], b: &[&str]) -> Vec<(Kind, String)> {
    let document = |rows: &[&str]| {
        let rows: String = rows.iter().map(|row| format!("\n  {row}")).collect();
        format!("<list>{rows}\n</list>")
    };
    let report = documents("list.xml", &document(a), &document(b), &at(Level::Meaning));
    told(&report).into_iter().map(|(kind, path)| (kind, path.to_owned())).collect()
}

fn expected(list: &[(Kind, &str)]) -> Vec<(Kind, String)> {
    list.iter().map(|(kind, path)| (*kind, (*path).to_owned())).collect()
}

/// A row with an id and a value.
fn row(id: u32) -> String {
    format!("<r id=\"{id}\"><v>{id}</v></r>")
}

#[test]
fn a_row_that_is_missing_is_one_difference_wherever_it_stood() {
    let all: Vec<String> = (1..=5).map(row).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    for gone in 0..5 {
        let mut left = all.clone();
        left.remove(gone);
        let path = format!("/list/r[@id={}]", gone + 1);
        assert_eq!(rows(&all, &left), expected(&[(Kind::ElementOnlyInA, &path)]));
        assert_eq!(rows(&left, &all), expected(&[(Kind::ElementOnlyInB, &path)]));
    }
}

#[test]
fn a_wide_gap_costs_its_rows_and_nothing_behind_it() {
    let all: Vec<String> = (0..5000).map(row).collect();
    let mut a: Vec<&str> = all.iter().map(String::as_str).collect();
    let b = [&a[..10], &a[4010..]].concat();
    let changed = "<r id=\"4999\"><v>x</v></r>";
    a[4999] = changed;
    let found = rows(&a, &b);
    // The list is capped at 1000.
    assert!(found.len() == 1000 && found.iter().all(|(kind, _)| *kind == Kind::ElementOnlyInA));
    let options = super::Options { limit: usize::MAX, ..at(Level::Meaning) };
    let document = |rows: &[&str]| format!("<list>{}</list>", rows.concat());
    let report = documents("list.xml", &document(&a), &document(&b), &options);
    assert_eq!((report.total, report.by_kind[&Kind::ValueDiffers]), (4001, 1));
    assert_eq!(told(&report)[4000], (Kind::ValueDiffers, "/list/r[@id=4999]/v"));
}

#[test]
fn rows_that_moved_are_one_difference_of_their_list_and_are_still_compared() {
    let (one, two, three) = (row(1), row(2), row(3));
    let found = rows(&[&one, &two, &three], &[&three, &one, "<r id=\"2\"><v>x</v></r>"]);
    let order = (Kind::OrderDiffers, "/list");
    assert_eq!(found, expected(&[order, (Kind::ValueDiffers, "/list/r[@id=2]/v")]));
}

#[test]
fn rows_of_one_id_are_counted() {
    let (one, two) = (row(1), row(2));
    assert_eq!(
        rows(&[&one, &one, &two], &[&one, &two]),
        expected(&[(Kind::ElementOnlyInA, "/list/r[@id=1]")])
    );
    assert_eq!(
        rows(&[&one, &two], &[&one, &two, &one]),
        expected(&[(Kind::ElementOnlyInB, "/list/r[@id=1]")])
    );
}

#[test]
fn the_child_element_id_tells_rows_apart() {
    let [one, two, other] = ["1", "2", "3"].map(|id| format!("<r><id>{id}</id></r>"));
    let found = rows(&[&one, &two], &[&other, &two]);
    assert_eq!(
        found,
        expected(&[(Kind::ElementOnlyInA, "/list/r[id=1]"), (Kind::ElementOnlyInB, "/list/r[id=3]")])
    );
}

#[test]
fn rows_without_ids_are_matched_by_content_then_by_place() {
    let only_a = |path| expected(&[(Kind::ElementOnlyInA, path)]);
    assert_eq!(rows(&["<r>1</r>", "<r>2</r>", "<r>3</r>"], &["<r>2</r>", "<r>3</r>"]), only_a("/list/r[1]"));
    assert_eq!(rows(&["<r>1</r>", "<r>1</r>", "<r>2</r>"], &["<r>1</r>", "<r>2</r>"]), only_a("/list/r[2]"));
    assert_eq!(
        rows(&["<r>1</r>", "<r>2</r>", "<r>3</r>"], &["<r>1</r>", "<r>x</r>", "<r>3</r>"]),
        expected(&[(Kind::ValueDiffers, "/list/r[2]")])
    );
    assert_eq!(
        rows(&["<r>1</r>", "<r>2</r>", "<r>3</r>", "<r>4</r>"], &["<r>2</r>", "<r>3</r>", "<r>x</r>"]),
        expected(&[(Kind::ElementOnlyInA, "/list/r[1]"), (Kind::ValueDiffers, "/list/r[4]")])
    );
}

#[test]
fn fields_are_matched_by_their_names() {
    assert_eq!(
        rows(&["<a>1</a>", "<b>2</b>", "<c>3</c>"], &["<a>x</a>", "<b>2</b>", "<d>4</d>", "<c>y</c>"]),
        expected(&[
            (Kind::ValueDiffers, "/list/a"),
            (Kind::ValueDiffers, "/list/c"),
            (Kind::ElementOnlyInB, "/list/d"),
        ])
    );
}

#[test]
fn differences_deep_down_are_told_where_they_are() {
    let a = "<forum id=\"1\"><posts><post id=\"7\"><message>one</message></post><post id=\"8\"></post></posts></forum>";
    let found = rows(&[a], &[&a.replace("one", "two")]);
    assert_eq!(found, expected(&[(Kind::ValueDiffers, "/list/forum[@id=1]/posts/post[@id=7]/message")]));
}

#[test]
fn a_list_with_too_much_out_of_place_is_one_difference() {
    let list = |ids: std::ops::Range<u32>, row: fn(u32) -> String| {
        format!("<a><list>{}</list><b>1</b></a>", ids.map(row).collect::<String>())
    };
    let options = super::Options { rows: 99, ..at(Level::Meaning) };
    for row in [row, |id| format!("<r>{id}</r>")] {
        let b = list(1000..1100, row).replace("<b>1", "<b>2");
        let report = documents("x.xml", &list(0..100, row), &b, &options);
        assert_eq!(told(&report), [(Kind::BytesDiffer, "/a/list"), (Kind::ValueDiffers, "/a/b")]);
    }
    // Rows are not out of place where the other list has ended.
    assert_eq!(documents("x.xml", &list(0..100, row), &list(0..0, row), &options).total, 100);
}
