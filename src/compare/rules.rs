//! Applies the closed list to one document.

use super::closed_list::{CLOSED_LIST, Documents, Entry, What};
use super::path::Path;
use super::{Level, Options};
use crate::course::MemberPath;

/// What was found to differ.
pub(super) enum Found<'f> {
    /// The value of an element or attribute; `encrypted` if both documents say so.
    Value { a: &'f str, b: &'f str, encrypted: bool },
    /// The order of children.
    Order,
    /// A row that only one has: its id, and the highest one in the other's list.
    Row { id: Option<u64>, highest_there: u64 },
}

/// The entries of the closed list that speak of one document, and its bounds.
pub(super) struct Rules {
    entries: Vec<&'static Entry>,
    rows: usize,
}

impl Rules {
    pub fn of(member: &MemberPath, options: &Options) -> Self {
        let path = member.as_str();
        let name = path.rsplit('/').next().unwrap_or(path);
        let speaks = |entry: &&Entry| {
            options.level == Level::Meaning
                && (entry.what != What::NewRow || options.ignore_new_log_rows)
                && match entry.documents {
                    Documents::Root(root) => root == path,
                    Documents::Named(wanted) => wanted == name,
                }
        };
        Self { entries: CLOSED_LIST.iter().filter(speaks).collect(), rows: options.rows }
    }

    /// Children of one element that may be without their counterparts at once.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The entry that lets a difference pass.
    pub fn excuse(&self, path: &Path, found: &Found<'_>) -> Option<&'static Entry> {
        let fits = |entry: &&&'static Entry| {
            entry.at.iter().any(|pattern| path.fits(pattern)) && self.allows(entry.what, path, found)
        };
        self.entries.iter().find(fits).copied()
    }

    fn allows(&self, what: What, path: &Path, found: &Found<'_>) -> bool {
        match (what, found) {
            (What::Order, Found::Order) => true,
            (What::AnonymousNumber, Found::Value { a, b, .. }) => numbered(path, a, b),
            (What::Encrypted, Found::Value { a, b, encrypted }) => {
                *encrypted && a.len() == b.len() && is_base64(a) && is_base64(b)
            }
            (What::Seconds, Found::Value { a, b, .. }) => is_time(a) && is_time(b),
            (What::RunId, Found::Value { a, b, .. }) => is_run_id(a) && is_run_id(b),
            (What::Text, Found::Value { a, b, .. }) => !a.is_empty() && !b.is_empty(),
            (What::NewRow, Found::Row { id, highest_there }) => id.is_some_and(|id| id > *highest_there),
            _ => false,
        }
    }
}

/// Whether both values are the same name with the number of their own row: `anonfirstname3` in the third row.
fn numbered(path: &Path, a: &str, b: &str) -> bool {
    let (Some(row), Some(field)) = (path.last(1), path.last(0)) else { return false };
    let expected = |position: u32| match field.name.as_str() {
        "username" => (format!("anon{position}"), None),
        "email" => {
            (format!("anon{position}@doesntexist.invalid"), Some(format!("anon{position}@doesntexist.com")))
        }
        name => (format!("anon{name}{position}"), None),
    };
    let (one, one_before) = expected(row.positions.0);
    let (other, other_before) = expected(row.positions.1);
    // Older platforms used another domain, but both archives must be of one of them.
    (a == one && b == other) || (one_before.as_deref() == Some(a) && other_before.as_deref() == Some(b))
}

fn is_base64(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    !body.is_empty()
        && text.len().is_multiple_of(4)
        && text.len() - body.len() <= 2
        && body.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
}

fn is_time(text: &str) -> bool {
    !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<i64>().is_ok()
}

fn is_run_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
