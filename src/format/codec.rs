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

/// Whether values of that codec hold dates that move with the course's start.
pub(super) fn has_dates(codec: &str) -> bool {
    codec == "availability"
}

/// A tree of conditions with its dates moved; `None` when it holds none, or cannot be read and so stays as it is. A condition
/// on a date is `{"type":"date","d":">=","t":SECONDS}` (availability_date).
pub(super) fn with_dates(raw: &str, moved: impl Fn(i64) -> i64) -> Option<String> {
    fn walk(value: &mut serde_json::Value, moved: &impl Fn(i64) -> i64) -> bool {
        match value {
            serde_json::Value::Array(list) => {
                list.iter_mut().fold(false, |any, each| walk(each, moved) | any)
            }
            serde_json::Value::Object(fields) => {
                let is_date = fields.get("type").and_then(serde_json::Value::as_str) == Some("date");
                match fields.get_mut("t").filter(|_| is_date) {
                    Some(time) => match time.as_i64() {
                        Some(date) => {
                            *time = moved(date).into();
                            true
                        }
                        None => false,
                    },
                    None => fields.values_mut().fold(false, |any, each| walk(each, moved) | any),
                }
            }
            _ => false,
        }
    }
    let mut tree: serde_json::Value = serde_json::from_str(&unescaped(raw)).ok()?;
    walk(&mut tree, &moved).then(|| escaped(&tree.to_string()))
}

#[cfg(test)]
mod tests {
    use super::{with_dates, without_users};

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

    #[test]
    fn dates_of_conditions_move_and_nothing_else() {
        let raw = r#"{"op":"&amp;","c":[{"type":"date","d":"&gt;=","t":1000},{"type":"group","id":7}],"showc":[true,true]}"#;
        let moved = with_dates(raw, |date| date + 5).expect("a date");
        assert!(moved.contains("1005") && moved.contains("\"id\":7") && moved.contains("&gt;="), "{moved}");
        assert_eq!(with_dates(r#"{"op":"|","c":[{"type":"group","id":7}]}"#, |date| date + 5), None);
        assert_eq!(with_dates("broken", |date| date + 5), None);
    }
}
