//! Whether two archives hold the same: member by member, byte for byte. What belongs to the container (folders, times, order)
//! is not looked at.

use super::local::Members;
use super::units;

/// So many members are named when archives differ.
const NAMED: usize = 5;

/// What comparing two archives came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Members that are the same in both.
    pub same: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Paths that only the first has.
    pub missing: Vec<String>,
    /// Paths that only the second has.
    pub added: Vec<String>,
    /// Paths with different content.
    pub altered: Vec<String>,
}

/// Compares what went in with what came out.
pub fn compare(before: &Members, after: &Members) -> Comparison {
    let mut result = Comparison::default();
    for (path, content) in before {
        match after.get(path) {
            Some(other) if other == content => {
                result.same += 1;
                result.bytes += content.size;
            }
            Some(_) => result.altered.push(path.to_string()),
            None => result.missing.push(path.to_string()),
        }
    }
    result.added = after.keys().filter(|path| !before.contains_key(*path)).map(ToString::to_string).collect();
    result
}

impl Comparison {
    /// Whether both hold the same.
    pub fn is_same(&self) -> bool {
        self.missing.is_empty() && self.added.is_empty() && self.altered.is_empty()
    }

    /// One line: `identical`, or what differs with the first paths.
    pub fn verdict(&self) -> String {
        if self.is_same() {
            return "identical".to_owned();
        }
        let kinds = [("missing", &self.missing), ("added", &self.added), ("altered", &self.altered)];
        let parts = kinds.iter().filter(|(_, paths)| !paths.is_empty()).map(|(word, paths)| {
            let rest = if paths.len() > NAMED { ", …" } else { "" };
            let named: Vec<&str> = paths.iter().take(NAMED).map(String::as_str).collect();
            format!("{} {word} ({}{rest})", paths.len(), named.join(", "))
        });
        format!("DIFFERS: {}", parts.collect::<Vec<_>>().join("; "))
    }

    /// What was compared: `812 members, 45.3 MiB`.
    pub fn extent(&self) -> String {
        let looked_at = self.same + (self.missing.len() + self.added.len() + self.altered.len()) as u64;
        format!("{}, {}", units::count(looked_at, "member"), units::size(self.bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::super::local::Content;
    use super::*;
    use crate::course::{MemberPath, PathError};
    use crate::digest::Digest;
    use crate::limits::Limits;

    fn members(list: &[(&str, &str)]) -> Result<Members, PathError> {
        let member = |(path, text): &(&str, &str)| {
            let content = Content { size: text.len() as u64, digest: Digest::of(text.as_bytes()) };
            Ok((MemberPath::parse(path, &Limits::default())?, content))
        };
        list.iter().map(member).collect()
    }

    #[test]
    fn the_same_members_are_identical() -> Result<(), PathError> {
        let tree = members(&[("moodle_backup.xml", "<a/>"), ("files/da/x", "")])?;
        let result = compare(&tree, &tree.clone());
        assert!(result.is_same());
        assert_eq!(result.verdict(), "identical");
        assert_eq!(result.extent(), "2 members, 4 B");
        Ok(())
    }

    #[test]
    fn every_kind_of_difference_is_named() -> Result<(), PathError> {
        let before = members(&[("a", "1"), ("b", "2"), ("c", "3")])?;
        let after = members(&[("a", "1"), ("b", "X"), ("d", "4")])?;
        let result = compare(&before, &after);
        assert!(!result.is_same());
        assert_eq!((result.same, result.bytes), (1, 1));
        assert_eq!(result.verdict(), "DIFFERS: 1 missing (c); 1 added (d); 1 altered (b)");
        assert_eq!(result.extent(), "4 members, 1 B");
        Ok(())
    }

    #[test]
    fn content_of_the_same_size_is_told_apart() -> Result<(), PathError> {
        let result = compare(&members(&[("a", "12")])?, &members(&[("a", "21")])?);
        assert_eq!(result.altered, ["a"]);
        Ok(())
    }

    #[test]
    fn only_the_first_paths_are_named() -> Result<(), PathError> {
        let list = ["a", "b", "c", "d", "e", "f"].map(|path| (path, "x"));
        let result = compare(&members(&list)?, &Members::new());
        assert_eq!(result.verdict(), "DIFFERS: 6 missing (a, b, c, d, e, …)");
        Ok(())
    }
}
