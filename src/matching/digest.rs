//! Digests of questions: all that a question consists of, without ids and times, so that a question is known again
//! wherever it was restored.
//!
//! Left out are ids, times, who made or changed it, and rows of people below it (comments). Numbers in encoded links are
//! left out, for they are ids. CR LF counts as LF. Its files count by place, name and content.

use std::collections::{BTreeMap, BTreeSet};

use super::document::value;
use super::rows::{Rows, defined, defines};
use crate::digest::Digest;
use crate::format::{Element, Format, Kind, Meaning, Step};

/// The format of the field that says the type of a question.
const QUESTION_TYPE: &str = "questiontype";

/// What a question is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Question {
    /// Digest of its contents.
    pub digest: [u8; 32],
    /// Itself and the things below it, in their order. Questions of one digest have the same kinds in the same order.
    pub parts: Vec<(Kind, i64)>,
}

/// Reads the digests of a document's questions.
pub(super) struct DigestReader {
    question: Kind,
    user: Option<Kind>,
    current: Option<Current>,
    found: BTreeMap<i64, Question>,
}

struct Current {
    id: i64,
    text: Vec<u8>,
    parts: Vec<(Kind, i64)>,
    /// Open elements of it.
    depth: usize,
    /// Open elements of a row of people.
    skipped: usize,
}

impl DigestReader {
    pub fn new(format: &Format) -> Option<Self> {
        let question = format.kind("question")?;
        Some(Self { question, user: format.kind("user"), current: None, found: BTreeMap::new() })
    }

    pub fn see(&mut self, step: Step<'_, '_>) {
        match step {
            Step::Open { element, name, attributes } => self.open(element, name, attributes),
            Step::Close { element, text, .. } => self.close(element, text),
        }
    }

    fn open(&mut self, element: Option<&Element>, name: &str, attributes: &[(String, String)]) {
        let all = element.map(|element| defines(element, attributes)).unwrap_or_default();
        let Some(current) = &mut self.current else {
            let own = element.and_then(defined);
            if let Some((kind, id)) = all.first().filter(|(kind, _)| Some(*kind) == own)
                && *kind == self.question
            {
                self.current = Some(Current { id: *id, text: Vec::new(), parts: all, depth: 1, skipped: 0 });
            }
            return;
        };
        current.depth += 1;
        let names_people = |element: &Element| {
            let values = element.children.values().filter_map(|child| child.value.as_ref());
            values
                .into_iter()
                .any(|value| matches!(value.meaning, Meaning::Ref { kind, .. } if Some(kind) == self.user))
        };
        if current.skipped > 0 || element.is_some_and(names_people) {
            current.skipped += 1;
            return;
        }
        current.text.extend_from_slice(b"<");
        current.text.extend_from_slice(name.as_bytes());
        current.text.extend_from_slice(b">");
        current.parts.extend(all);
    }

    fn close(&mut self, element: Option<&Element>, text: Option<&str>) {
        let Some(current) = &mut self.current else { return };
        current.depth -= 1;
        if current.skipped > 0 {
            current.skipped -= 1;
        } else {
            if let (Some(text), Some(bytes)) = (text, element) {
                let meaning = bytes.value.as_ref().map(|value| &value.meaning);
                current.text.extend_from_slice(content(meaning, value(text)).as_bytes());
            } else if let Some(text) = text {
                current.text.extend_from_slice(plain(value(text)).as_bytes());
            }
            current.text.extend_from_slice(b"</>");
        }
        if current.depth == 0 {
            let digest = Digest::of(&current.text).0;
            self.found.insert(current.id, Question { digest, parts: std::mem::take(&mut current.parts) });
            self.current = None;
        }
    }

    /// The questions by id, with their files.
    pub fn finish(mut self, format: &Format, rows: &Rows) -> BTreeMap<i64, Question> {
        let mut places: BTreeMap<(Kind, i64), (i64, usize)> = BTreeMap::new();
        for (id, question) in &self.found {
            let parts = question.parts.iter().enumerate();
            places.extend(parts.map(|(at, part)| (*part, (*id, at))));
        }
        let mut files: BTreeMap<i64, BTreeSet<String>> = BTreeMap::new();
        for (_, file) in format.kind("file").into_iter().flat_map(|kind| rows.of(kind)) {
            let [component, area, name] = ["component", "filearea", "filename"].map(|name| file.text(name));
            let per = format.file_rule(component, area).and_then(|(_, rule)| rule.per);
            let place = per.and_then(|kind| places.get(&(kind, file.number("itemid"))));
            if let Some((question, at)) = place.filter(|_| name != ".") {
                let words = [component, area, file.text("filepath"), name, file.text("contenthash")];
                files.entry(*question).or_default().insert(format!("{at}\0{}", words.join("\0")));
            }
        }
        for (id, files) in files {
            if let Some(question) = self.found.get_mut(&id) {
                let mut text = question.digest.to_vec();
                files.iter().for_each(|file| text.extend_from_slice(format!("\0\0{file}").as_bytes()));
                question.digest = Digest::of(&text).0;
            }
        }
        self.found
    }
}

/// What of a value counts.
fn content(meaning: Option<&Meaning>, text: &str) -> String {
    match meaning {
        Some(Meaning::Ref { .. } | Meaning::Ids(_) | Meaning::Item(_) | Meaning::Time) => String::new(),
        Some(Meaning::Codec(codec)) if codec.name != QUESTION_TYPE => {
            plain(text).chars().filter(|c| !c.is_ascii_digit()).collect()
        }
        _ => plain(text),
    }
}

/// A text without the numbers of encoded links, and with one kind of line ends.
fn plain(text: &str) -> String {
    let text = text.replace("\r\n", "\n");
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(at) = rest.find("$@") {
        let (head, tail) = rest.split_at(at + 2);
        out.push_str(head);
        let name = tail.find(|c: char| !c.is_ascii_uppercase() && !c.is_ascii_digit()).unwrap_or(tail.len());
        let numbers = tail[name..].find(|c: char| c != '*' && !c.is_ascii_digit());
        let end = numbers.map_or(tail.len(), |numbers| name + numbers);
        let is_link = name > 0 && tail[end..].starts_with("@$");
        out.push_str(&tail[..name]);
        rest = if is_link { &tail[end..] } else { &tail[name..] };
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn numbers_of_links_do_not_count() {
        for (text, expected) in [
            ("a $@PAGEVIEWBYID*5@$ b $@X*1*22@$", "a $@PAGEVIEWBYID@$ b $@X@$"),
            ("$@NULL@$", "$@NULL@$"),
            ("$@ *5 $@A*5", "$@ *5 $@A*5"),
            ("é\r\n$@", "é\n$@"),
            ("$@A*5", "$@A*5"),
            ("", ""),
        ] {
            assert_eq!(plain(text), expected);
        }
    }
}
