//! What the documents of an archive, or of a course, say that matching looks at.
//!
//! Documents are read one after the other and none is held. Memory grows with users (about 200 bytes each), with what
//! they are members of, and with files; not with what activities hold.

use std::collections::{BTreeMap, BTreeSet};

use super::digest::{DigestReader, Question};
use super::document::{MatchError, Source, is_document, number, value};
use super::rows::{RowReader, Rows, Wanted, defines};
use super::table::CLOSED;
use crate::course::{Member, Members};
use crate::format::{Format, Kind, Step};
use crate::limits::Limits;
use crate::restore::users::{ArchiveUser, Hosts};

/// What the documents say that matching looks at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    pub(super) rows: Rows,
    pub(super) users: Vec<ArchiveUser>,
    /// Contexts of users.
    pub(super) user_contexts: BTreeMap<i64, Vec<(Kind, i64)>>,
    /// Users that some `inforef.xml` lists, or that are members of a group.
    pub(super) listed_users: BTreeSet<i64>,
    pub(super) questions: BTreeMap<i64, Question>,
    /// Contents that rows of `files.xml` need and no member has: how many rows of each.
    pub(super) missing: BTreeMap<String, u64>,
    /// Course modules of the instances that own sections, by component and instance.
    pub(super) owners: BTreeMap<(String, i64), i64>,
}

impl Contents {
    /// Whether a row stands in a thing that stays as it is once it is matched: what it has beyond what is there is left out.
    pub fn is_within_closed(&self, format: &Format, kind: Kind, id: i64) -> bool {
        let mut above = self.rows.get(kind, id).and_then(|row| row.above);
        while let Some((kind, id)) = above {
            if CLOSED.contains(&format.kind_name(kind)) {
                return true;
            }
            above = self.rows.get(kind, id).and_then(|row| row.above);
        }
        false
    }

    /// A user, by id.
    pub fn user(&self, id: i64) -> Option<&ArchiveUser> {
        self.users.binary_search_by_key(&id, |user| user.id).ok().map(|at| &self.users[at])
    }

    /// Reads them. `hosts` tells which host a user comes from.
    ///
    /// # Errors
    ///
    /// [`MatchError`] for a document that is no XML, or cannot be had.
    pub fn read(
        format: &Format,
        members: &dyn Members,
        hosts: &Hosts,
        limits: &Limits,
    ) -> Result<Self, MatchError> {
        let source = Source { format, members, limits };
        let wanted = Wanted::of(format);
        let mut contents = Self::default();
        let list = source.list()?;
        let mut digests = DigestReader::new(format);
        for member in list.iter().filter(|member| is_document(member.path.as_str())) {
            let path = member.path.as_str();
            match path.rsplit('/').next().unwrap_or(path) {
                "inforef.xml" => contents.read_list(&source, member)?,
                _ if path.starts_with("activities/") && !path.ends_with("/module.xml") => {}
                "users.xml" => contents.read_users(&source, member, hosts, &wanted)?,
                "questions.xml" => {
                    contents.read_rows(&source, member, &wanted)?;
                    if let Some(digests) = &mut digests {
                        source.read(member, &mut |step| digests.see(step))?;
                    }
                }
                _ => contents.read_rows(&source, member, &wanted)?,
            }
        }
        contents.questions = digests.map(|read| read.finish(format, &contents.rows)).unwrap_or_default();
        contents.find_missing(format, &list);
        contents.read_owners(&source, &list)?;
        let members = format.kind("group_member");
        let members = members.into_iter().flat_map(|kind| contents.rows.of(kind));
        let members: Vec<i64> = members.map(|(_, row)| row.number("userid")).collect();
        contents.listed_users.extend(members);
        contents.users.sort_unstable();
        Ok(contents)
    }

    fn read_rows(&mut self, source: &Source<'_>, member: &Member, wanted: &Wanted) -> Result<(), MatchError> {
        let path = member.path.as_str();
        let document = source.format.document(path);
        if document.is_none_or(|found| !wanted.any_in(&found.document.root)) {
            return Ok(());
        }
        let mut reader = RowReader::new(wanted, &mut self.rows, around(source.format, path));
        source.read(member, &mut |step| reader.see(step))?;
        Ok(())
    }

    /// Reads the ids of users that a list of references names.
    fn read_list(&mut self, source: &Source<'_>, member: &Member) -> Result<(), MatchError> {
        let listed = &mut self.listed_users;
        let mut path: Vec<String> = Vec::new();
        source.read(member, &mut |step| match step {
            Step::Open { name, .. } => path.push(name.to_owned()),
            Step::Close { text, .. } => {
                let is_user = path.iter().skip(1).map(String::as_str).eq(["userref", "user", "id"]);
                if let Some(id) = text.filter(|_| is_user).and_then(|text| text.parse().ok()) {
                    listed.insert(id);
                }
                path.pop();
            }
        })?;
        Ok(())
    }

    fn read_users(
        &mut self,
        source: &Source<'_>,
        member: &Member,
        hosts: &Hosts,
        wanted: &Wanted,
    ) -> Result<(), MatchError> {
        let mut rows = RowReader::new(wanted, &mut self.rows, None);
        let (users, contexts) = (&mut self.users, &mut self.user_contexts);
        let mut user = ArchiveUser::default();
        let mut depth = 0;
        source.read(member, &mut |step| {
            match step {
                Step::Open { element, attributes, .. } => {
                    depth += 1;
                    if depth == 2 {
                        let mut all = element.map(|element| defines(element, attributes)).unwrap_or_default();
                        let id = if all.is_empty() { 0 } else { all.remove(0).1 };
                        user = ArchiveUser { id, host: hosts.own, ..ArchiveUser::default() };
                        contexts.insert(id, all);
                    }
                }
                Step::Close { name, text, .. } => {
                    match (depth, text) {
                        (3, Some(text)) => field(&mut user, name, value(text), hosts),
                        (2, _) if user.id > 0 => users.push(std::mem::take(&mut user)),
                        _ => {}
                    }
                    depth -= 1;
                }
            }
            rows.see(step);
        })?;
        Ok(())
    }

    /// Reads which course modules own sections. Only of modules that do.
    fn read_owners(&mut self, source: &Source<'_>, list: &[Member]) -> Result<(), MatchError> {
        let sections = source.format.kind("course_section");
        let components: BTreeSet<String> = sections
            .into_iter()
            .flat_map(|kind| self.rows.of(kind))
            .map(|(_, section)| section.text("component").to_owned())
            .collect();
        for component in &components {
            let Some(module) = component.strip_prefix("mod_") else { continue };
            let (folder, document) = (format!("activities/{module}_"), format!("/{module}.xml"));
            let fits = |member: &&Member| {
                member.path.as_str().starts_with(&folder) && member.path.as_str().ends_with(&document)
            };
            for member in list.iter().filter(fits) {
                let owners = &mut self.owners;
                let mut is_root = true;
                source.read(member, &mut |step| {
                    if let (Step::Open { attributes, .. }, true) = (step, is_root) {
                        let found = |name: &str| attributes.iter().find(|(found, _)| found == name);
                        let number = |name: &str| found(name).map_or(0, |(_, text)| number(text));
                        owners.insert((component.clone(), number("id")), number("moduleid"));
                    }
                    is_root = false;
                })?;
            }
        }
        Ok(())
    }

    fn find_missing(&mut self, format: &Format, list: &[Member]) {
        let contents: BTreeSet<&str> = list
            .iter()
            .filter_map(|member| member.path.as_str().strip_prefix("files/"))
            .filter_map(|path| path.rsplit('/').next())
            .collect();
        for (_, file) in format.kind("file").into_iter().flat_map(|kind| self.rows.of(kind)) {
            let is_elsewhere = !matches!(file.text("repositoryid"), "" | "0");
            let hash = file.text("contenthash");
            if !is_elsewhere && file.text("filename") != "." && !contents.contains(hash) {
                *self.missing.entry(hash.to_owned()).or_default() += 1;
            }
        }
    }
}

fn field(user: &mut ArchiveUser, name: &str, text: &str, hosts: &Hosts) {
    match name {
        "username" => text.clone_into(&mut user.username),
        "email" => text.clone_into(&mut user.email),
        "firstname" => text.clone_into(&mut user.first_name),
        "lastname" => text.clone_into(&mut user.last_name),
        "firstaccess" => user.first_access = number(text),
        "deleted" => user.is_deleted = number(text) != 0,
        "mnethosturl" => user.host = hosts.of(text),
        _ => {}
    }
}

/// The thing that a document as a whole is about, by the folder that it lies in.
fn around(format: &Format, path: &str) -> Option<(Kind, i64)> {
    let folder = path.strip_prefix("course/blocks/")?.split('/').next()?;
    let id = folder.rsplit_once('_')?.1.parse().ok()?;
    Some((format.kind("block")?, id))
}
