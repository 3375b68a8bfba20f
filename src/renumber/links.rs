//! Encoded links in texts, such as `$@FORUMVIEWBYID*5@$` (reference 8). Which kinds their numbers are of is told by the
//! table `link` of the descriptions.

/// What opens a link. SQL's NULL is spelled alike.
const OPEN: &str = "$@";

/// What closes it.
const CLOSE: &str = "@$";

/// Whether there may be a link in a text.
pub(super) fn may_hold(text: &str) -> bool {
    text.contains(OPEN)
}

/// A text with its links renumbered: `new` gets the name and the numbers of each, and answers with new numbers or `None` to
/// leave the link alone. `None` if nothing changes.
pub(super) fn rewrite(text: &str, mut new: impl FnMut(&str, &[i64]) -> Option<Vec<i64>>) -> Option<String> {
    let mut out = String::new();
    let (mut taken, mut from) = (0, 0);
    while let Some(at) = text[from..].find(OPEN).map(|at| from + at) {
        let Some((name, ids, end)) = link(text, at) else {
            from = at + OPEN.len();
            continue;
        };
        if let Some(ids) = new(name, &ids) {
            out.push_str(&text[taken..at + OPEN.len()]);
            out.push_str(name);
            ids.iter().for_each(|id| out.push_str(&format!("*{id}")));
            out.push_str(CLOSE);
            taken = end;
        }
        from = end;
    }
    (taken > 0).then(|| {
        out.push_str(&text[taken..]);
        out
    })
}

/// Name, numbers and end of the link that begins at `at`, if one does.
fn link(text: &str, at: usize) -> Option<(&str, Vec<i64>, usize)> {
    let start = at + OPEN.len();
    let is_word = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
    let name_end = start + text.as_bytes()[start..].iter().position(|byte| !is_word(byte))?;
    let mut rest = name_end;
    let mut ids = Vec::new();
    while text[rest..].starts_with('*') {
        let digits = text.as_bytes()[rest + 1..].iter().position(|byte| !byte.is_ascii_digit())?;
        ids.push(super::ids::id_of(&text[rest + 1..rest + 1 + digits])?);
        rest += 1 + digits;
    }
    let closed = name_end > start && text[rest..].starts_with(CLOSE);
    closed.then(|| (&text[start..name_end], ids, rest + CLOSE.len()))
}

#[cfg(test)]
mod tests {
    use super::rewrite;

    fn plus(_: &str, ids: &[i64]) -> Option<Vec<i64>> {
        (!ids.is_empty()).then(|| ids.iter().map(|id| id + 10).collect())
    }

    #[test]
    fn links_change_and_the_text_around_them_stays() {
        let text =
            r#"<a href="$@COURSEVIEWBYID*2@$#section-2">é</a> $@FORUMDISCUSSIONVIEWINSIDE*5*6@$&amp;x=1"#;
        let expected =
            r#"<a href="$@COURSEVIEWBYID*12@$#section-2">é</a> $@FORUMDISCUSSIONVIEWINSIDE*15*16@$&amp;x=1"#;
        assert_eq!(rewrite(text, plus).as_deref(), Some(expected));
    }

    #[test]
    fn what_is_no_link_stays() {
        for text in ["$@NULL@$", "$@", "$@A*1", "$@*1@$", "$@A*x@$", "$@a*1@$", "5 $ @$ $@é", "$@$@A*@$"] {
            assert_eq!(rewrite(text, plus), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_comes_back_by_the_way_back(text in r"[$@*A-C0-9 é]{0,40}") {
            let there = rewrite(&text, |_, ids| Some(ids.iter().map(|id| id + 1_000_000).collect()));
            let there = there.unwrap_or_else(|| text.clone());
            let back = rewrite(&there, |_, ids| Some(ids.iter().map(|id| id - 1_000_000).collect()));
            proptest::prop_assert_eq!(back.unwrap_or(there), text);
        }
    }
}
