//! Reads flat rows of a document one after the other: an element's id and the texts of some elements directly in it.
//!
//! Memory does not grow with the document: one row at a time, and of each text only its beginning. What is not asked for
//! is passed over.

use std::io::BufRead;

use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::Event;

use crate::format::xml::{Pieces, XmlError, unescaped};
use crate::limits::Limits;

/// How Moodle writes SQL's NULL.
const NULL: &str = "$@NULL@$";

/// Bytes that are kept of a text: far more than any column has that is read so. What is longer is seen to be too long.
const TEXT_BYTES: usize = 4096;

/// A row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// Its `id`, where it has one that is a number.
    pub id: Option<i64>,
    /// Texts of the fields that were asked for, in that order. Empty for what is missing or NULL.
    pub fields: Vec<String>,
}

impl Row {
    /// The text of a field, by its place among those that were asked for.
    pub fn text(&mut self, at: usize) -> String {
        self.fields.get_mut(at).map(std::mem::take).unwrap_or_default()
    }

    /// The number in a field; 0 for none.
    pub fn number(&self, at: usize) -> i64 {
        self.fields.get(at).and_then(|text| text.trim().parse().ok()).unwrap_or_default()
    }
}

/// Reads a document to its end, and gives every element at `path`, the names from the root on.
///
/// # Errors
///
/// [`XmlError`], which names the place. What was given before is meaningless then.
pub fn each_row(
    input: impl BufRead,
    limits: &Limits,
    path: &[&str],
    fields: &[&str],
    mut each: impl FnMut(Row),
) -> Result<(), XmlError> {
    let mut pieces = Pieces::new(input, limits);
    let mut walk = Walk { path, fields, depth: 0, fitting: 0, row: None, field: None };
    loop {
        match pieces.advance()? {
            Event::Start(start) => walk.open(start.name().as_ref(), || id_of(&start)),
            Event::Empty(start) => {
                walk.open(start.name().as_ref(), || id_of(&start));
                walk.close(&mut each);
            }
            Event::End(_) => walk.close(&mut each),
            Event::Text(text) => walk.text(&unescaped(&text)),
            Event::CData(text) => walk.text(&text),
            Event::GeneralRef(reference) => match reference.resolve_char_ref() {
                Ok(Some(letter)) => walk.text(letter.encode_utf8(&mut [0; 4])),
                _ => walk.text(resolve_predefined_entity(&reference).unwrap_or_default()),
            },
            Event::Eof => return Ok(()),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
        }
    }
}

fn id_of(start: &quick_xml::events::BytesStart<'_>) -> Option<i64> {
    let id = start.try_get_attribute("id").ok()??;
    unescaped(&id.value).trim().parse().ok()
}

/// Where reading is.
struct Walk<'w> {
    path: &'w [&'w str],
    fields: &'w [&'w str],
    depth: usize,
    /// How many of the open elements, from the root on, are those of the path.
    fitting: usize,
    row: Option<Row>,
    /// The open field, by its place.
    field: Option<usize>,
}

impl Walk<'_> {
    fn open(&mut self, name: &str, id: impl FnOnce() -> Option<i64>) {
        if self.depth == self.fitting && self.path.get(self.depth).is_some_and(|wanted| *wanted == name) {
            self.fitting += 1;
            if self.fitting == self.path.len() {
                self.row = Some(Row { id: id(), fields: vec![String::new(); self.fields.len()] });
            }
        } else if self.row.is_some() && self.depth == self.path.len() {
            self.field = self.fields.iter().position(|field| *field == name);
            // Of two fields of one name the last one counts.
            if let (Some(at), Some(row)) = (self.field, &mut self.row) {
                row.fields[at].clear();
            }
        }
        self.depth += 1;
    }

    fn text(&mut self, text: &str) {
        // Directly in the field, not in what is nested there.
        if self.depth != self.path.len() + 1 {
            return;
        }
        if let (Some(at), Some(row)) = (self.field, &mut self.row) {
            let field = &mut row.fields[at];
            let room = TEXT_BYTES.saturating_sub(field.len());
            field.push_str(&text[..text.floor_char_boundary(room)]);
        }
    }

    fn close(&mut self, each: &mut impl FnMut(Row)) {
        self.depth -= 1;
        if self.depth == self.path.len() {
            if let (Some(at), Some(row)) = (self.field.take(), &mut self.row)
                && row.fields[at] == NULL
            {
                row.fields[at].clear();
            }
        } else if self.depth < self.fitting {
            self.fitting = self.depth;
            if let Some(row) = self.row.take() {
                each(row);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str, path: &[&str], fields: &[&str]) -> Result<Vec<Row>, XmlError> {
        let mut rows = Vec::new();
        each_row(text.as_bytes(), &Limits::default(), path, fields, |row| rows.push(row))?;
        Ok(rows)
    }

    fn row(id: i64, fields: &[&str]) -> Row {
        Row { id: Some(id), fields: fields.iter().map(|field| (*field).to_owned()).collect() }
    }

    #[test]
    fn rows_are_told_with_the_fields_that_are_asked_for() {
        let text = "<?xml version=\"1.0\"?><users><user id=\"3\" contextid=\"9\"><name>A&amp;<![CDATA[<b>]]>&#233;</name>\
            <x>no</x><mail>$@NULL@$</mail><tags><name>inner</name><user id=\"7\"><name>z</name></user></tags></user>\
            <other><user id=\"4\"/></other><user id=\"5\"/><user><mail>m<deep>d</deep>n</mail></user></users>";
        let told = rows(text, &["users", "user"], &["name", "mail"]).unwrap();
        let last = Row { id: None, fields: vec![String::new(), "mn".into()] };
        assert_eq!(told, [row(3, &["A&<b>é", ""]), row(5, &["", ""]), last]);
        let course =
            "<course id=\"2\"><idnumber>I</idnumber><category><idnumber>J</idnumber></category></course>";
        assert_eq!(rows(course, &["course"], &["idnumber"]).unwrap(), [row(2, &["I"])]);
        assert_eq!(rows("<none/>", &["course"], &["idnumber"]).unwrap(), []);
    }

    #[test]
    fn texts_are_cut_and_broken_documents_refused() {
        let long = format!("<a><b id=\"1\"><c>{}</c></b></a>", "é".repeat(TEXT_BYTES));
        let told = rows(&long, &["a", "b"], &["c"]).unwrap();
        assert_eq!(told[0].fields[0].len(), TEXT_BYTES);
        for broken in ["<a><b></a>", "<a>", "", "<!DOCTYPE a><a/>"] {
            assert!(rows(broken, &["a", "b"], &["c"]).is_err(), "{broken}");
        }
    }
}
