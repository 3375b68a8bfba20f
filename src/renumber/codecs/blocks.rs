//! Base64 of PHP's serialize: what a block was told, and where the original of an alias lies.

use super::super::ids;
use super::super::php::Php;
use super::super::value::Reach;
use super::{decoded, encoded};

/// The configuration of a block. Table `configdata`, key `BLOCK/NAME`. Texts may hold links.
pub(super) fn configuration(reach: &mut Reach<'_, '_>, raw: &str) -> Option<String> {
    let Some(before) = decoded(raw).and_then(|bytes| Php::parse(&bytes)) else {
        return reach.unreadable("configdata");
    };
    let block = reach.place.field("blockname").unwrap_or_default().to_owned();
    let mut value = before.clone();
    let changed = value.replace("", &mut |path, text| {
        let Some(id) = ids::id_of(text) else { return reach.links(text) };
        let key = format!("{block}/{path}");
        match reach.told("configdata", &key, |name| before.get(name).and_then(Php::as_text)) {
            Some(kinds) => reach.new_id(kinds.first().copied().flatten()?, id).map(|new| new.to_string()),
            None if path.ends_with("id") => reach.untold("configdata", &key, Some(id)),
            None => None,
        }
    });
    changed.then(|| encoded(&value.serialized()))
}

/// The original of an alias: fields of its row among Moodle's files. What is no such thing is a path or an address.
pub(super) fn file_reference(reach: &mut Reach<'_, '_>, raw: &str) -> Option<String> {
    let mut value = Php::parse(&decoded(raw)?)?;
    let field = |name: &str| value.get(name).and_then(Php::as_text);
    let (component, area) = (field("component")?, field("filearea")?);
    let context = ids::id_of(&field("contextid")?)?;
    let kind = reach.kinds.context?;
    // The original stays where it is unless its context comes along.
    if reach.map.get(kind, context).is_none() {
        reach.new_id(kind, context);
        return None;
    }
    let changed = value.replace("", &mut |path, text| {
        let id = ids::id_of(text)?;
        let kind = match path {
            "contextid" => kind,
            "itemid" => reach.kind_of_file(&component, &area, id)?,
            _ => return None,
        };
        reach.new_id(kind, id).map(|new| new.to_string())
    });
    changed.then(|| encoded(&value.serialized()))
}
