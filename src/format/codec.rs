//! Values in formats of their own, as far as rewriting must look into them.

use super::xml::{escaped, unescaped};

/// Whether values of that codec name users by id.
pub(super) fn names_users(codec: &str) -> bool {
    codec == "bbbparticipants"
}

/// A value without the users in it; `None` when there are none. What cannot be read is emptied, for it may hold them.
pub(super) fn without_users(codec: &str, raw: &str) -> Option<String> {
    if !names_users(codec) {
        return None;
    }
    // A list of rules; `selectiontype` says whether `selectionid` is a user (mod_bigbluebuttonbn's form writes it).
    let Ok(mut rules) = serde_json::from_str::<Vec<serde_json::Value>>(&unescaped(raw)) else {
        return Some(String::new());
    };
    let before = rules.len();
    rules.retain(|rule| rule.get("selectiontype").and_then(serde_json::Value::as_str) != Some("user"));
    (rules.len() < before).then(|| escaped(&serde_json::Value::Array(rules).to_string()))
}

#[cfg(test)]
mod tests {
    use super::without_users;

    #[test]
    fn rules_for_single_users_go() {
        let codec = "bbbparticipants";
        let raw =
            r#"[{"selectiontype":"all","selectionid":"all"},{"selectiontype":"user","selectionid":"5"}]"#;
        let rest = without_users(codec, raw).expect("a rule goes");
        assert!(!rest.contains("user") && rest.contains("\"all\""));
        assert_eq!(without_users(codec, r#"[{"selectiontype":"role","selectionid":"3"}]"#), None);
        assert_eq!(without_users(codec, "{broken"), Some(String::new()));
        assert_eq!(without_users("json", raw), None);
    }
}
