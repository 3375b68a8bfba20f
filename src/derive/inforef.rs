//! Writing `inforef.xml`.

use super::lists::listed;
use crate::format::{Format, Refs};

/// The document that lists these references, as Moodle writes it: lists without an entry are left out.
pub(super) fn document(format: &Format, refs: &Refs) -> Vec<u8> {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<inforef>\n");
    for (name, kind) in listed(format) {
        let ids = refs.sorted(kind);
        if ids.is_empty() {
            continue;
        }
        out.push_str(&format!("  <{name}ref>\n"));
        for id in ids {
            out.push_str(&format!("    <{name}>\n      <id>{id}</id>\n    </{name}>\n"));
        }
        out.push_str(&format!("  </{name}ref>\n"));
    }
    out.push_str("</inforef>");
    out.into_bytes()
}

/// Whether two tasks refer to the same things.
pub(super) fn same(format: &Format, one: &Refs, other: &Refs) -> bool {
    listed(format).all(|(_, kind)| one.sorted(kind) == other.sorted(kind))
}
