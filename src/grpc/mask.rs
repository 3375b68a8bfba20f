//! Field masks: what of a resource is to change.

use prost_types::FieldMask;

use crate::engine::Error;

/// For each field that can change, whether it is to change. `fields`: their names, and whether the request's resource holds
/// something in them. Without a mask what it holds changes; `*` stands for all; a path that is none of them is refused, also that
/// of a field which cannot change.
pub fn chosen<const N: usize>(
    mask: Option<&FieldMask>,
    fields: [(&str, bool); N],
) -> Result<[bool; N], Error> {
    let Some(mask) = mask.filter(|mask| !mask.paths.is_empty()) else {
        return Ok(fields.map(|(_, filled)| filled));
    };
    let known = fields.map(|(name, _)| name);
    let unknown = mask.paths.iter().find(|path| *path != "*" && !known.contains(&path.as_str()));
    if let Some(path) = unknown {
        let path: String = path.chars().take(64).collect();
        let message = format!("{path:?} is no field that can change; there are {}", known.join(", "));
        return Err(Error::field("update_mask", message).with("path", &path));
    }
    Ok(known.map(|name| mask.paths.iter().any(|path| path == name || path == "*")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_choose_among_what_can_change() {
        let told = |paths: Option<&[&str]>| {
            let mask =
                paths.map(|paths| FieldMask { paths: paths.iter().map(ToString::to_string).collect() });
            chosen(mask.as_ref(), [("a", true), ("b", false)]).ok()
        };
        assert_eq!(told(None), Some([true, false]));
        assert_eq!(told(Some(&[])), Some([true, false]));
        assert_eq!(told(Some(&["b"])), Some([false, true]));
        assert_eq!(told(Some(&["b", "a", "b"])), Some([true, true]));
        assert_eq!(told(Some(&["*"])), Some([true, true]));
        for wrong in ["c", "", "A", "a.b", "a,b"] {
            assert_eq!(told(Some(&["a", wrong])), None, "{wrong}");
        }
    }
}
