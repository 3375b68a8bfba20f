//! Values in formats of their own, one function for each. They find ids by tables of the descriptions (`tells`), so that a
//! plugin's file says which of its numbers are ids.

mod blocks;
mod events;
mod small;
mod trees;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::ids;
use super::php::Php;
use super::value::Reach;
use crate::format::Selector;
use crate::format::xml::{escaped, unescaped};

/// The new spelling of a value; `None` if it stays.
pub(super) fn renumber(reach: &mut Reach<'_, '_>, codec: &Selector, raw: &str) -> Option<String> {
    match codec.name.as_str() {
        "availability" => plain(raw, |text| trees::availability(reach, text)),
        "filtercondition" => plain(raw, |text| trees::filter_condition(reach, text)),
        "bbbparticipants" => plain(raw, |text| trees::participants(reach, text)),
        "calculation" => {
            let kind = reach.kinds.grade_item?;
            ids::formula(raw, |id| reach.new_id(kind, id))
        }
        "idpath" if ids::is_list(raw, b'/') => {
            let kind = reach.kinds.grade_category?;
            ids::each_number(raw, |id| reach.new_id(kind, id))
        }
        "idpath" => reach.unreadable("idpath"),
        "stepdata" => small::step_data(reach, raw),
        "badgeparameter" => small::badge_parameter(reach, codec, raw),
        "lessonanswer" => plain(raw, |text| small::lesson_answer(reach, codec, text)),
        "taskname" => small::task_name(reach, raw),
        "configdata" => blocks::configuration(reach, raw),
        "filereference" => blocks::file_reference(reach, raw),
        "eventother" => events::other(reach, raw),
        "serialized" => plain(raw, |text| serialized(reach, text)),
        // Links are spelled in JSON as anywhere else; numbers in it are no ids of rows, or nobody says so.
        "json" => reach.links(raw),
        // What the survey looks at, no id.
        "questiontype" => None,
        other => reach.untold(other, "", None),
    }
}

/// A value that is looked at without XML's escapes.
fn plain(raw: &str, new: impl FnOnce(&str) -> Option<String>) -> Option<String> {
    new(&unescaped(raw)).map(|new| escaped(&new))
}

/// PHP's serialize, of which only links are followed. Plain texts stand in its place at times.
fn serialized(reach: &mut Reach<'_, '_>, text: &str) -> Option<String> {
    match Php::parse(text.as_bytes()) {
        Some(mut value) => {
            let changed = value.replace("", &mut |_, text| reach.links(text));
            changed.then(|| String::from_utf8(value.serialized()).ok()).flatten()
        }
        // A changed length would break it for good.
        None if super::links::may_hold(text) => reach.unreadable("serialized"),
        None => None,
    }
}

/// The value of a base64 text.
fn decoded(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text.trim()).ok()
}

fn encoded(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}
