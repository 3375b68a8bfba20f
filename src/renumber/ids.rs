//! Numbers in texts: single ids, lists, paths, formulas.

/// The id that a text is: a positive number without sign or leading zeros.
pub(super) fn id_of(text: &str) -> Option<i64> {
    let plain = !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|id| plain && *id > 0)
}

/// A text whose numbers of digits are replaced by what `new` makes of them; `None` if nothing changes.
pub(super) fn each_number(text: &str, mut new: impl FnMut(i64) -> Option<i64>) -> Option<String> {
    let mut out = String::new();
    let (mut taken, mut at) = (0, 0);
    let bytes = text.as_bytes();
    while at < bytes.len() {
        if !bytes[at].is_ascii_digit() {
            at += 1;
            continue;
        }
        let end = bytes[at..].iter().position(|byte| !byte.is_ascii_digit()).map_or(bytes.len(), |n| at + n);
        if let Some(id) = id_of(&text[at..end]).and_then(&mut new) {
            out.push_str(&text[taken..at]);
            out.push_str(&id.to_string());
            taken = end;
        }
        at = end;
    }
    (taken > 0).then(|| {
        out.push_str(&text[taken..]);
        out
    })
}

/// Whether a text is nothing but numbers and separators.
pub(super) fn is_list(text: &str, separator: u8) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit() || byte == separator || byte == b' ')
}

/// A grade formula, in which `##gi5##` is the item 5.
pub(super) fn formula(text: &str, mut new: impl FnMut(i64) -> Option<i64>) -> Option<String> {
    const MARK: &str = "##";
    let mut out = String::new();
    let mut taken = 0;
    let mut from = 0;
    while let Some(at) = text[from..].find("##gi").map(|at| from + at + 4) {
        let Some(length) = text[at..].find(MARK) else { break };
        if let Some(id) = id_of(&text[at..at + length]).and_then(&mut new) {
            out.push_str(&text[taken..at]);
            out.push_str(&id.to_string());
            taken = at + length;
        }
        from = at + length;
    }
    (taken > 0).then(|| {
        out.push_str(&text[taken..]);
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plus(id: i64) -> Option<i64> {
        (id != 9).then_some(id + 100)
    }

    #[test]
    fn lists_keep_their_separators_and_gaps() {
        assert_eq!(each_number("1,,20, 9", plus).as_deref(), Some("101,,120, 9"));
        assert_eq!(each_number("/1/2/", plus).as_deref(), Some("/101/102/"));
        assert_eq!(each_number("9,0", plus), None);
        assert_eq!(each_number("", plus), None);
    }

    #[test]
    fn formulas_change_between_their_marks_only() {
        assert_eq!(formula("=##gi19##*2+##gi9##", plus).as_deref(), Some("=##gi119##*2+##gi9##"));
        assert_eq!(formula("=##gi19", plus), None);
        assert_eq!(formula("=1+2", plus), None);
    }

    #[test]
    fn ids_are_plain_positive_numbers() {
        assert_eq!(id_of("12"), Some(12));
        for no in ["", "0", "-1", "+1", "012", "1.5", "$@NULL@$", "99999999999999999999"] {
            assert_eq!(id_of(no), None, "{no}");
        }
    }
}
