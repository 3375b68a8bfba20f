//! Values as PHP's `serialize` writes them. Read within bounds, nothing is ever made of the classes they name.

/// Levels of nesting that are read.
const DEPTH: usize = 32;

/// A value. Whatever was read is written back byte for byte.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Php {
    Int(i64),
    Text(Vec<u8>),
    /// Elements by key; keys are numbers or texts.
    Array(Vec<(Php, Php)>),
    /// Name of the class, and properties.
    Object(Vec<u8>, Vec<(Php, Php)>),
    /// Anything without parts, as it is spelled: `N;`, `b:1;`, `d:0.5;`, references.
    Other(Vec<u8>),
}

impl Php {
    /// Reads a value; `None` if it is none, or one that could not be written back the same way.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader { bytes, at: 0 };
        let value = reader.value(DEPTH)?;
        (reader.at == bytes.len() && value.serialized() == bytes).then_some(value)
    }

    /// As PHP writes it.
    pub fn serialized(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Int(number) => out.extend_from_slice(format!("i:{number};").as_bytes()),
            Self::Text(text) => {
                out.extend_from_slice(format!("s:{}:\"", text.len()).as_bytes());
                out.extend_from_slice(text);
                out.extend_from_slice(b"\";");
            }
            Self::Array(items) => {
                out.push(b'a');
                Self::write_items(items, out);
            }
            Self::Object(class, items) => {
                out.extend_from_slice(format!("O:{}:\"", class.len()).as_bytes());
                out.extend_from_slice(class);
                out.push(b'"');
                Self::write_items(items, out);
            }
            Self::Other(spelled) => out.extend_from_slice(spelled),
        }
    }

    fn write_items(items: &[(Self, Self)], out: &mut Vec<u8>) {
        out.extend_from_slice(format!(":{}:{{", items.len()).as_bytes());
        for (key, value) in items {
            key.write(out);
            value.write(out);
        }
        out.push(b'}');
    }

    /// The element or property of that name.
    pub fn get(&self, name: &str) -> Option<&Self> {
        let (Self::Array(items) | Self::Object(_, items)) = self else { return None };
        let is_it = |key: &Self| matches!(key, Self::Text(text) if text == name.as_bytes());
        items.iter().find(|(key, _)| is_it(key)).map(|(_, value)| value)
    }

    /// The spelling of a number or text.
    pub fn as_text(&self) -> Option<String> {
        match self {
            Self::Int(number) => Some(number.to_string()),
            Self::Text(text) => String::from_utf8(text.clone()).ok(),
            _ => None,
        }
    }

    /// Shows every number and text with the names that lead to it, joined by slashes (places in lists have none), and puts
    /// what is answered in its place; whether anything changed.
    pub fn replace(&mut self, path: &str, new: &mut impl FnMut(&str, &str) -> Option<String>) -> bool {
        match self {
            Self::Int(number) => {
                let answer = new(path, &number.to_string()).and_then(|text| text.parse().ok());
                answer.map(|new| *number = new).is_some()
            }
            Self::Text(text) => {
                let answer = std::str::from_utf8(text).ok().and_then(|text| new(path, text));
                answer.map(|new| *text = new.into_bytes()).is_some()
            }
            Self::Array(items) | Self::Object(_, items) => {
                let mut changed = false;
                for (key, value) in items {
                    let path = match key {
                        Self::Text(name) => {
                            let name = String::from_utf8_lossy(name);
                            if path.is_empty() { name.into_owned() } else { format!("{path}/{name}") }
                        }
                        _ => path.to_owned(),
                    };
                    changed |= value.replace(&path, new);
                }
                changed
            }
            Self::Other(_) => false,
        }
    }
}

struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Reader<'b> {
    /// What stands before the next `end`, which is passed. Numbers are short.
    fn until(&mut self, end: u8) -> Option<&'b [u8]> {
        let rest = self.bytes.get(self.at..)?;
        let length = rest.iter().take(64).position(|byte| *byte == end)?;
        self.at += length + 1;
        Some(&rest[..length])
    }

    fn number<N: std::str::FromStr>(&mut self, end: u8) -> Option<N> {
        std::str::from_utf8(self.until(end)?).ok()?.parse().ok()
    }

    fn expect(&mut self, text: &[u8]) -> Option<()> {
        self.bytes.get(self.at..)?.starts_with(text).then(|| self.at += text.len())
    }

    /// `LENGTH:"BYTES"`.
    fn counted(&mut self) -> Option<Vec<u8>> {
        let length: usize = self.number(b':')?;
        self.expect(b"\"")?;
        let text = self.bytes.get(self.at..self.at.checked_add(length)?)?;
        self.at += length;
        self.expect(b"\"")?;
        Some(text.to_vec())
    }

    fn value(&mut self, depth: usize) -> Option<Php> {
        let depth = depth.checked_sub(1)?;
        let start = self.at;
        let kind = *self.bytes.get(start)?;
        self.at += 1;
        if kind == b'N' {
            self.expect(b";")?;
            return Some(Php::Other(b"N;".to_vec()));
        }
        self.expect(b":")?;
        match kind {
            b'i' => self.number(b';').map(Php::Int),
            b's' => {
                let text = self.counted()?;
                self.expect(b";")?;
                Some(Php::Text(text))
            }
            b'a' => self.items(depth).map(Php::Array),
            b'O' => {
                let class = self.counted()?;
                self.expect(b":")?;
                Some(Php::Object(class, self.items(depth)?))
            }
            b'b' | b'd' | b'r' | b'R' => {
                self.until(b';')?;
                Some(Php::Other(self.bytes.get(start..self.at)?.to_vec()))
            }
            _ => None,
        }
    }

    /// `COUNT:{KEY VALUE …}`.
    fn items(&mut self, depth: usize) -> Option<Vec<(Php, Php)>> {
        let count: usize = self.number(b':')?;
        self.expect(b"{")?;
        // Memory follows what is there, not what the count says.
        let mut items = Vec::new();
        for _ in 0..count {
            let key = self.value(1).filter(|key| matches!(key, Php::Int(_) | Php::Text(_)))?;
            items.push((key, self.value(depth)?));
        }
        self.expect(b"}")?;
        Some(items)
    }
}

#[cfg(test)]
mod tests {
    use super::Php;
    use proptest::prelude::*;

    const CONFIG: &[u8] =
        b"O:8:\"stdClass\":3:{s:8:\"glossary\";s:1:\"7\";s:4:\"rate\";d:0.5;s:2:\"id\";a:2:{i:0;i:7;i:1;N;}}";

    #[test]
    fn values_come_back_and_change_where_asked() {
        let mut value = Php::parse(CONFIG).expect("a value");
        assert_eq!(value.serialized(), CONFIG);
        assert_eq!(value.get("glossary").and_then(Php::as_text).as_deref(), Some("7"));
        assert!(
            value.replace("", &mut |path, text| (path != "rate" && text == "7").then(|| "1000".to_owned()))
        );
        let new = String::from_utf8(value.serialized()).expect("text");
        assert!(new.contains("s:8:\"glossary\";s:4:\"1000\";") && new.contains("i:0;i:1000;"), "{new}");
    }

    #[test]
    fn broken_and_hostile_values_are_refused() {
        let deep = "a:1:{i:0;".repeat(10_000);
        for bad in [
            "",
            "i:1",
            "s:5:\"ab\";",
            "a:99999999:{}",
            "i:01;",
            "O:1:\"A\":1:{N;N;}",
            "C:1:\"A\":0:{}",
            &deep,
            "i:1;x",
        ] {
            assert_eq!(Php::parse(bad.as_bytes()), None, "{bad:.20}");
        }
    }

    fn values() -> impl Strategy<Value = Php> {
        let leaf = prop_oneof![
            any::<i64>().prop_map(Php::Int),
            proptest::collection::vec(any::<u8>(), 0..12).prop_map(Php::Text),
            prop_oneof![Just("N;"), Just("b:1;"), Just("d:-1.5E+25;"), Just("r:1;")]
                .prop_map(|text| Php::Other(text.as_bytes().to_vec())),
        ];
        let key = prop_oneof![
            any::<i64>().prop_map(Php::Int),
            "[a-z\"]{0,6}".prop_map(|key| Php::Text(key.into_bytes()))
        ];
        leaf.prop_recursive(4, 32, 6, move |inner| {
            let items = proptest::collection::vec((key.clone(), inner), 0..6);
            prop_oneof![
                items.clone().prop_map(Php::Array),
                items.prop_map(|items| Php::Object(b"stdClass".to_vec(), items)),
            ]
        })
    }

    proptest! {
        #[test]
        fn every_value_comes_back(value in values()) {
            prop_assert_eq!(Php::parse(&value.serialized()), Some(value));
        }

        #[test]
        fn no_bytes_are_read_as_anything_else(bytes in proptest::collection::vec(prop_oneof![Just(b':'), Just(b';'), Just(b'"'), Just(b'{'), Just(b'}'), Just(b's'), Just(b'a'), Just(b'i'), Just(b'1'), Just(b'0')], 0..24)) {
            if let Some(value) = Php::parse(&bytes) {
                prop_assert_eq!(value.serialized(), bytes);
            }
        }
    }
}
