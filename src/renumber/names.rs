//! Ids in names: folders of members, directories in `moodle_backup.xml`, names of settings.

use super::map::IdMap;
use super::value::Kinds;
use crate::format::Kind;

/// The module that the folder of a member is about, such as `forum`.
pub(super) fn module_of(member: &str) -> Option<&str> {
    let folder = member.strip_prefix("activities/")?.split('/').next()?;
    folder.rsplit_once('_').map(|(module, _)| module)
}

/// The kind of thing that a folder's name ends with, by the folder above.
fn kind_in(kinds: &Kinds, above: &str) -> Option<Kind> {
    match above {
        "activities" => kinds.course_module,
        "sections" => kinds.course_section,
        "blocks" => kinds.block,
        _ => None,
    }
}

/// The new path of a member; `None` if it stays.
pub(super) fn member_path(kinds: &Kinds, map: &IdMap, member: &str) -> Option<String> {
    if member.starts_with("files/") {
        return None;
    }
    let mut above = "";
    let mut parts: Vec<String> = Vec::new();
    for part in member.split('/') {
        let new = kind_in(kinds, above).and_then(|kind| {
            let (name, id) = part.rsplit_once('_')?;
            Some(format!("{name}_{}", map.get(kind, super::ids::id_of(id)?)?))
        });
        parts.push(new.unwrap_or_else(|| part.to_owned()));
        above = part;
    }
    let path = parts.join("/");
    (path != member).then_some(path)
}

/// The kind of the id in a task's name, and where it stands: `assign_12`, `section_5_included`, `activities/assign_12`.
/// Names of settings of the whole archive have none.
pub(super) fn task_id(kinds: &Kinds, name: &str) -> Option<(Kind, std::ops::Range<usize>)> {
    let end =
        ["_included", "_userinfo"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name).len();
    let (folder, task) = match name[..end].rfind('/') {
        Some(at) => (&name[..at], &name[at + 1..end]),
        None => ("", &name[..end]),
    };
    let (word, id) = task.rsplit_once('_')?;
    super::ids::id_of(id)?;
    let above = folder.rsplit('/').next().unwrap_or_default();
    let kind = match (kind_in(kinds, above), word) {
        (Some(kind), _) => kind,
        (None, "section") => kinds.course_section?,
        (None, block) if block.starts_with("block_") => kinds.block?,
        (None, _) => kinds.course_module?,
    };
    Some((kind, end - id.len()..end))
}
