//! Words and small layouts for people: enums as words, rows of names and values, text that is safe on a terminal.

/// An enum's name as a word: `AREA_DROP_ZONE` without `AREA_` is `drop-zone`; what was never set is empty.
pub fn word(name: &str, prefix: &str) -> String {
    match name.strip_prefix(prefix).unwrap_or(name) {
        "UNSPECIFIED" => String::new(),
        rest => rest.to_ascii_lowercase().replace('_', "-"),
    }
}

/// Text from outside without control characters: it may come from anybody's archive.
pub fn clean(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// Names and values one below the other; empty values are left out.
pub fn rows(rows: &[(&str, String)]) -> String {
    let filled = || rows.iter().filter(|(_, value)| !value.is_empty());
    let width = filled().map(|(name, _)| name.len()).max().unwrap_or(0);
    filled().map(|(name, value)| format!("{name:width$}  {}\n", clean(value))).collect()
}

/// `yes` or nothing.
pub fn yes(flag: bool) -> String {
    if flag { "yes".to_owned() } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto;

    #[test]
    fn enums_become_words() {
        assert_eq!(word(proto::Area::DropZone.as_str_name(), "AREA_"), "drop-zone");
        assert_eq!(word(proto::job::State::Unspecified.as_str_name(), "STATE_"), "");
        assert_eq!(word(proto::ArchiveType::Cartridge.as_str_name(), "ARCHIVE_TYPE_"), "cartridge");
    }

    #[test]
    fn rows_align_and_leave_out_what_is_empty() {
        let text = rows(&[("a", "1".into()), ("none", String::new()), ("bcd", "x\ny".into())]);
        assert_eq!(text, "a    1\nbcd  x y\n");
    }
}
