//! What tells the rows of a list apart in Moodle's documents, where it is not the id alone (reference 3 and 4).
//!
//! Only alignment rests on this: a row that no entry covers is matched by its id, or by content and place, and a key that is
//! wrong makes differences harder to read, never fewer.

/// Rows of one kind and the fields that name one of them.
struct Fields {
    parent: &'static str,
    row: &'static str,
    fields: &'static [&'static str],
}

const KEYS: &[Fields] = &[
    // moodle_backup.xml: the row's own id has a name of its own there.
    Fields { parent: "settings", row: "setting", fields: &["name"] },
    Fields { parent: "activities", row: "activity", fields: &["moduleid"] },
    Fields { parent: "sections", row: "section", fields: &["sectionid"] },
    // The id is the tag's, and one tag stands on several entries.
    Fields { parent: "chaptertags", row: "tag", fields: &["@id", "itemid"] },
    Fields { parent: "entriestags", row: "tag", fields: &["@id", "itemid"] },
    Fields { parent: "recordstags", row: "tag", fields: &["@id", "itemid"] },
    Fields { parent: "poststags", row: "tag", fields: &["@id", "itemid"] },
    // Rows that are written without their id.
    Fields {
        parent: "courseformatoptions",
        row: "courseformatoption",
        fields: &["format", "sectionid", "name"],
    },
    Fields { parent: "filter_actives", row: "filter_active", fields: &["filter"] },
    Fields { parent: "user_competencies", row: "user_competency", fields: &["userid", "competencyid"] },
    Fields { parent: "response", row: "variable", fields: &["name"] },
];

/// Fields to try for a row, best first. A field is the name of a child element, or `@` and an attribute.
pub(super) fn candidates(parent: &str, row: &str) -> [&'static [&'static str]; 3] {
    let own = KEYS.iter().find(|each| each.parent == parent && each.row == row);
    [own.map_or(&[], |own| own.fields), &["@id"], &["id"]]
}
