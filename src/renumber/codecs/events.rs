//! What a row of the log says beside its columns: base64 of JSON or of PHP's serialize.

use super::super::ids;
use super::super::json::{Json, changed};
use super::super::php::Php;
use super::super::value::Reach;
use super::{decoded, encoded};

/// Table `eventother`, key `COMPONENT/EVENT/NAME`. Only names that end with `id` are taken for ids where the table is silent.
pub(super) fn other(reach: &mut Reach<'_, '_>, raw: &str) -> Option<String> {
    let Some(bytes) = decoded(raw) else { return reach.unreadable("eventother") };
    let event = reach.place.field("eventname").unwrap_or_default();
    let event = event.trim_start_matches('\\').replace("\\event\\", "/");
    if let Some(tree) = std::str::from_utf8(&bytes).ok().and_then(Json::parse) {
        let text = std::str::from_utf8(&bytes).ok()?;
        let mut changes = Vec::new();
        let sibling = |name: &str| tree.get(name).and_then(Json::as_text).map(ToOwned::to_owned);
        tree.scalars("", &mut |path, value| {
            let Some((spelled, place)) = value.spelled(text) else { return };
            if let Some(new) = number(reach, &event, path, spelled, sibling) {
                changes.push((place, new));
            }
        });
        return changed(text, changes).map(|new| encoded(new.as_bytes()));
    }
    let Some(before) = Php::parse(&bytes) else { return reach.unreadable("eventother") };
    let mut value = before.clone();
    let sibling = |name: &str| before.get(name).and_then(Php::as_text);
    let changed = value.replace("", &mut |path, text| number(reach, &event, path, text, sibling));
    changed.then(|| encoded(&value.serialized()))
}

fn number(
    reach: &mut Reach<'_, '_>,
    event: &str,
    path: &str,
    text: &str,
    sibling: impl Fn(&str) -> Option<String>,
) -> Option<String> {
    let id = ids::id_of(text)?;
    let key = format!("{event}/{path}");
    match reach.told("eventother", &key, sibling) {
        Some(kinds) => reach.new_id(kinds.first().copied().flatten()?, id).map(|new| new.to_string()),
        None if path.ends_with("id") => reach.untold("eventother", &key, Some(id)),
        None => None,
    }
}
