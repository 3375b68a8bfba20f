//! JSON that is changed in place: what is not replaced keeps its spelling, so PHP's escapes and blanks stay.

use std::ops::Range;

/// Levels of nesting that are read. Moodle's condition trees have a handful.
const DEPTH: usize = 64;

/// A value, and where its text stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Json {
    Object(Vec<(String, Json)>),
    Array(Vec<Json>),
    Number(Range<usize>),
    /// Unescaped, and the place between the quotes.
    Text(String, Range<usize>),
    /// `true`, `false`, `null`.
    Word,
}

/// A place, and what stands there from now on.
pub(super) type Change = (Range<usize>, String);

impl Json {
    /// Reads a text that is one value; `None` if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let mut reader = Reader { text, at: 0 };
        let value = reader.value(DEPTH)?;
        reader.blanks();
        (reader.at == text.len()).then_some(value)
    }

    /// The member of that name.
    pub fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => members.iter().find(|(key, _)| key == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// The text of a text.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text, _) => Some(text),
            _ => None,
        }
    }

    /// Shows every number and text with the names that lead to it, joined by slashes; places in lists have none.
    pub fn scalars(&self, path: &str, visit: &mut impl FnMut(&str, &Self)) {
        match self {
            Self::Object(members) => {
                for (name, value) in members {
                    let path = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
                    value.scalars(&path, visit);
                }
            }
            Self::Array(values) => values.iter().for_each(|value| value.scalars(path, visit)),
            Self::Number(_) | Self::Text(..) => visit(path, self),
            Self::Word => {}
        }
    }

    /// The spelling of a number or text, and where it stands.
    pub fn spelled<'t>(&self, text: &'t str) -> Option<(&'t str, Range<usize>)> {
        match self {
            Self::Number(place) | Self::Text(_, place) => Some((&text[place.clone()], place.clone())),
            _ => None,
        }
    }
}

/// A text with changes; `None` if there are none.
pub(super) fn changed(text: &str, mut changes: Vec<Change>) -> Option<String> {
    if changes.is_empty() {
        return None;
    }
    changes.sort_by_key(|(place, _)| place.start);
    let mut out = String::with_capacity(text.len() + 16 * changes.len());
    let mut taken = 0;
    for (place, new) in changes {
        out.push_str(&text[taken..place.start]);
        out.push_str(&new);
        taken = place.end;
    }
    out.push_str(&text[taken..]);
    Some(out)
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl Reader<'_> {
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blanks(&mut self) {
        while matches!(self.byte(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        self.blanks();
        (self.byte()? == byte).then(|| self.at += 1)
    }

    fn value(&mut self, depth: usize) -> Option<Json> {
        let depth = depth.checked_sub(1)?;
        self.blanks();
        match self.byte()? {
            b'{' => {
                let mut members = Vec::new();
                self.list(b'}', |reader| {
                    reader.blanks();
                    let (name, _) = reader.string()?;
                    reader.take(b':')?;
                    members.push((name, reader.value(depth)?));
                    Some(())
                })?;
                Some(Json::Object(members))
            }
            b'[' => {
                let mut values = Vec::new();
                self.list(b']', |reader| {
                    values.push(reader.value(depth)?);
                    Some(())
                })?;
                Some(Json::Array(values))
            }
            b'"' => self.string().map(|(text, place)| Json::Text(text, place)),
            b'-' | b'0'..=b'9' => {
                let start = self.at;
                let is_part = |byte: &u8| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9');
                self.at += self.text.as_bytes()[start..].iter().take_while(|byte| is_part(byte)).count();
                serde_json::from_str::<serde_json::Number>(&self.text[start..self.at]).ok()?;
                Some(Json::Number(start..self.at))
            }
            _ => {
                let word =
                    ["true", "false", "null"].iter().find(|word| self.text[self.at..].starts_with(**word))?;
                self.at += word.len();
                Some(Json::Word)
            }
        }
    }

    /// What stands between the byte at hand and `end`, with commas between.
    fn list(&mut self, end: u8, mut item: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.at += 1;
        if self.take(end).is_some() {
            return Some(());
        }
        loop {
            item(self)?;
            if self.take(end).is_some() {
                return Some(());
            }
            self.take(b',')?;
        }
    }

    fn string(&mut self) -> Option<(String, Range<usize>)> {
        let start = self.at;
        if self.byte()? != b'"' {
            return None;
        }
        self.at += 1;
        loop {
            match self.byte()? {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        let text = serde_json::from_str(self.text.get(start..self.at)?).ok()?;
        Some((text, start + 1..self.at - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids_plus(text: &str) -> Option<String> {
        let mut changes = Vec::new();
        Json::parse(text)?.scalars("", &mut |path, value| {
            let Some((spelled, place)) = value.spelled(text) else { return };
            if let (true, Ok(id)) = (path.ends_with("id"), spelled.parse::<i64>()) {
                changes.push((place, (id + 100).to_string()));
            }
        });
        Some(changed(text, changes).unwrap_or_else(|| text.to_owned()))
    }

    #[test]
    fn only_what_changes_changes() {
        let text = r#"{ "a\/\u00e9":[1, {"id":"7"}] , "x":{"id":8,"y":-1.5e3,"z":null}}"#;
        let expected = r#"{ "a\/\u00e9":[1, {"id":"107"}] , "x":{"id":108,"y":-1.5e3,"z":null}}"#;
        assert_eq!(ids_plus(text).as_deref(), Some(expected));
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for bad in
            ["", "{", "[1,]", "{\"a\"}", "01", "\"\\", "nul", "1 2", "\"\\u12\"", "{\"a\":1,}", "\"é\\"]
        {
            assert_eq!(Json::parse(bad), None, "{bad}");
        }
        assert_eq!(Json::parse(&"[".repeat(100_000)), None, "too deep");
    }

    proptest::proptest! {
        #[test]
        fn it_reads_what_another_reader_reads(text in r#"[\[\]{}":,0-9a-e\\. é-]{0,24}"#) {
            proptest::prop_assert_eq!(Json::parse(&text).is_some(), serde_json::from_str::<serde_json::Value>(&text).is_ok());
        }
    }
}
