//! What changes in the documents of an archive besides ids: rows that are left out, and single values of rows.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufReader, Seek, Write};

use super::is_document;
use crate::course::{Member, Members};
use crate::derive::{DeriveError, Document, Sink};
use crate::format::xml::escaped;
use crate::format::{
    Compatibility, Conditions, Edit, Format, IdSet, Kind, Place, Purpose, Rewrite, RewriteError, Spot,
};
use crate::limits::Limits;

/// Bytes of a document that are held in memory between two passes; more go to a temporary file.
const IN_MEMORY: usize = 1 << 20;

/// Changes of an archive's documents, by the ids that it has.
#[derive(Clone, Debug, Default)]
pub struct Amendments {
    /// Rows that stay, of the kinds of which some go with all below them.
    pub kept: BTreeMap<Kind, IdSet>,
    /// Values of rows, by kind and id of the row and name of the field.
    pub values: BTreeMap<(Kind, i64), BTreeMap<String, String>>,
}

impl Amendments {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty() && self.values.is_empty()
    }

    /// Gives a row's field a value.
    pub fn set(&mut self, kind: Kind, id: i64, field: &str, value: impl Into<String>) {
        self.values.entry((kind, id)).or_default().insert(field.to_owned(), value.into());
    }

    /// Writes all members with the changes; those in which nothing changes are kept.
    ///
    /// # Errors
    ///
    /// [`DeriveError`], which names the document; what the sink got until then is worthless.
    pub fn apply(
        &self,
        format: &Format,
        source: &dyn Members,
        sink: &mut dyn Sink,
        limits: &Limits,
    ) -> Result<(), DeriveError> {
        let purpose = Purpose {
            compatibility: Compatibility::Moodle,
            on: Conditions::all(),
            keep: self.kept.iter().map(|(kind, ids)| (*kind, ids)).collect(),
            gone: Vec::new(),
            date_offset: 0,
            values: Vec::new(),
            links_of: None,
        };
        for member in source.members().map_err(DeriveError::List)? {
            let described =
                is_document(&member.path).then(|| format.document(member.path.as_str())).flatten();
            if described.is_none() {
                sink.keep(&member).map_err(|error| DeriveError::output(&member.path, error))?;
                continue;
            }
            let mut document = Document::new(sink, &member.path);
            let changed = self.amend(format, &purpose, source, &member, &mut document, limits)?;
            document.finish(&member, changed).map_err(|error| DeriveError::output(&member.path, error))?;
        }
        Ok(())
    }

    fn amend(
        &self,
        format: &Format,
        purpose: &Purpose<'_>,
        source: &dyn Members,
        member: &Member,
        output: &mut dyn Write,
        limits: &Limits,
    ) -> Result<bool, DeriveError> {
        let failed = |error| DeriveError::rewrite(&member.path, error);
        let input = source
            .open(&member.path)
            .map_err(|error| DeriveError::Read { path: member.path.clone(), error })?;
        let input = BufReader::new(input);
        let Some(found) = format.document(member.path.as_str()) else { return Ok(false) };
        let root = &found.document.root;
        if self.values.is_empty() {
            return Ok(Rewrite::new(format, purpose, root, output)
                .run(input, limits)
                .map_err(failed)?
                .changed);
        }
        let mut between = tempfile::SpooledTempFile::new(IN_MEMORY);
        let shorter = Rewrite::new(format, purpose, root, &mut between).run(input, limits).map_err(failed)?;
        between.rewind().map_err(|error| failed(RewriteError::Output(error)))?;
        let mut rows: HashMap<String, Option<(Kind, i64)>> = HashMap::new();
        let mut editor =
            |place: &Place<'_>, spot: Spot<'_>, raw: &str| self.edit(&mut rows, place, spot, raw);
        let edit = Edit::new(format, root, &[], output, &mut editor);
        let edited = edit.run(BufReader::new(between), limits).map_err(failed)?;
        Ok(shorter.changed || edited)
    }

    /// The new spelling of a value, if its row has one. `rows` knows the row that is open at each path.
    fn edit(
        &self,
        rows: &mut HashMap<String, Option<(Kind, i64)>>,
        place: &Place<'_>,
        spot: Spot<'_>,
        raw: &str,
    ) -> Option<String> {
        let (row, field) = place.path().rsplit_once('/')?;
        match spot {
            Spot::Defines(kind) if field == "@id" => {
                let key = raw.parse().ok().map(|id| (kind, id)).filter(|key| self.values.contains_key(key));
                match rows.get_mut(row) {
                    Some(open) => *open = key,
                    None => drop(rows.insert(row.to_owned(), key)),
                }
                None
            }
            Spot::Value(_) => {
                let value = self.values.get(rows.get(row)?.as_ref()?)?.get(field)?;
                Some(escaped(value)).filter(|new| new != raw)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::course::in_memory::{InMemory, fixture};
    use crate::renumber::Survey;

    impl Sink for InMemory {
        fn keep(&mut self, member: &Member) -> std::io::Result<()> {
            self.members.entry(member.path.clone()).or_default();
            Ok(())
        }

        fn write(&mut self, path: &crate::course::MemberPath, bytes: &[u8]) -> std::io::Result<()> {
            self.members.insert(path.clone(), bytes.to_vec());
            Ok(())
        }

        fn begin(&mut self, path: &crate::course::MemberPath) -> std::io::Result<()> {
            self.last = Some(path.clone());
            self.write(path, &[])
        }

        fn append(&mut self, bytes: &[u8]) -> std::io::Result<()> {
            let last = self.last.as_ref().and_then(|path| self.members.get_mut(path));
            last.ok_or(std::io::ErrorKind::InvalidInput)?.extend_from_slice(bytes);
            Ok(())
        }

        fn end(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn rows_go_and_values_change_and_nothing_else() -> anyhow::Result<()> {
        let source = fixture("rich101-full-tgz.mbz")?;
        let (format, limits) = (Format::embedded(), Limits::default());
        let survey = Survey::of(&format, &source, &limits)?;
        let [user, group] = ["user", "group"].map(|name| format.kind(name).expect("a kind"));
        let users = survey.defined.sorted(user);
        let groups = survey.defined.sorted(group);
        let mut amendments = Amendments::default();
        assert!(amendments.is_empty());
        amendments.kept.insert(group, groups[1..].iter().copied().collect());
        amendments.set(user, users[1], "username", "a & b");
        let mut result = InMemory::default();
        amendments.apply(&format, &source, &mut result, &limits)?;
        let changed: Vec<&str> = result
            .members
            .iter()
            .filter(|(_, bytes)| !bytes.is_empty())
            .map(|(path, _)| path.as_str())
            .collect();
        assert_eq!(changed, ["groups.xml", "users.xml"]);
        let text = |name: &str| {
            String::from_utf8_lossy(&result.members[&crate::course::in_memory::path_of(name)]).into_owned()
        };
        assert_eq!(text("users.xml").matches("<username>a &amp; b</username>").count(), 1);
        assert!(!text("groups.xml").contains(&format!("<group id=\"{}\">", groups[0])));
        assert!(text("groups.xml").contains(&format!("<group id=\"{}\">", groups[1])));
        Ok(())
    }
}
