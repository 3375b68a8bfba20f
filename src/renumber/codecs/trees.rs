//! JSON with ids in it: condition trees, filters of random questions, participants of video meetings.

use super::super::ids;
use super::super::json::{Change, Json, changed};
use super::super::value::Reach;

/// Conditions for access. `c` lists what is in a node; a leaf has a `type`. Table `availability`, key `TYPE/FIELD`.
pub(super) fn availability(reach: &mut Reach<'_, '_>, text: &str) -> Option<String> {
    let Some(tree) = Json::parse(text) else { return reach.unreadable("availability") };
    let mut changes = Vec::new();
    node(reach, text, &tree, &mut changes);
    changed(text, changes)
}

fn node(reach: &mut Reach<'_, '_>, text: &str, tree: &Json, changes: &mut Vec<Change>) {
    if let Some(Json::Array(children)) = tree.get("c") {
        children.iter().for_each(|child| node(reach, text, child, changes));
    }
    let Some(word) = tree.get("type").and_then(Json::as_text) else { return };
    tree.scalars(word, &mut |path, value| scalar(reach, "availability", text, path, value, changes));
}

/// The filter by which questions are drawn. Table `filtercondition`, keys are the names on the way down.
pub(super) fn filter_condition(reach: &mut Reach<'_, '_>, text: &str) -> Option<String> {
    let Some(tree) = Json::parse(text) else { return reach.unreadable("filtercondition") };
    let mut changes = Vec::new();
    tree.scalars("", &mut |path, value| scalar(reach, "filtercondition", text, path, value, &mut changes));
    changed(text, changes)
}

/// Rules for participants of a video meeting: `selectiontype` says what `selectionid` is.
pub(super) fn participants(reach: &mut Reach<'_, '_>, text: &str) -> Option<String> {
    let Some(Json::Array(rules)) = Json::parse(text) else { return reach.unreadable("bbbparticipants") };
    let mut changes = Vec::new();
    for rule in &rules {
        let kind = rule.get("selectiontype").and_then(Json::as_text).unwrap_or_default();
        if let Some(value) = rule.get("selectionid") {
            scalar(reach, "bbbparticipants", text, kind, value, &mut changes);
        }
    }
    changed(text, changes)
}

/// A number, or a text of numbers with commas: each part is what the table tells for its place.
fn scalar(
    reach: &mut Reach<'_, '_>,
    table: &str,
    text: &str,
    key: &str,
    value: &Json,
    changes: &mut Vec<Change>,
) {
    let Some((spelled, place)) = value.spelled(text) else { return };
    if !spelled.split(',').any(|part| ids::id_of(part).is_some()) {
        return;
    }
    let Some(kinds) = reach.told(table, key, |_| None) else {
        reach.untold::<()>(table, key, ids::id_of(spelled));
        return;
    };
    let parts = spelled.split(',').enumerate().map(|(at, part)| {
        let kind = kinds.get(at).or(kinds.last()).copied().flatten();
        let new = kind.and_then(|kind| reach.new_id(kind, ids::id_of(part)?));
        new.map_or_else(|| part.to_owned(), |new| new.to_string())
    });
    let new = parts.collect::<Vec<_>>().join(",");
    if new != spelled {
        changes.push((place, new));
    }
}
