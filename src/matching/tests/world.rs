//! An archive, a site, and a restore of one into the other, in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufReader;

use super::super::*;
use crate::backup::Compatibility;
use crate::course::in_memory::{InMemory, fixture, path_of};
use crate::course::{Member, MemberPath, Members};
use crate::format::{Conditions, Format, Purpose, Rewrite};
use crate::limits::Limits;
use crate::moodle::{self, Manifest};
use crate::renumber::{IdMap, Losses, Renumber, Survey};
use crate::restore::roles::SiteRole;
use crate::restore::users::{Account, Candidates, Hosts, Mapping, Site};
use crate::restore::{Asked, CourseChoices, Effective, Locks, Target, Values, resolve};

/// Far from every id of the fixtures, as a site's sequences are from a platform's.
pub(super) const FAR: i64 = 1_000_000_000_000;

/// By how much accounts of the site differ from the users of the fixtures.
pub(super) const ACCOUNTS: i64 = 500_000;

pub(super) const KEY: &[u8] = b"a secret";

/// What was read of an archive.
pub(super) struct Read {
    pub archive: InMemory,
    pub manifest: Manifest,
    pub contents: Contents,
    pub survey: Survey,
    pub scan: Scan,
}

pub(super) fn hosts() -> Hosts {
    Hosts { own_url: "https://site.example".to_owned(), own: 1, ..Hosts::default() }
}

impl Read {
    pub fn of(archive: InMemory) -> anyhow::Result<Self> {
        let (format, limits) = (Format::embedded(), Limits::default());
        let manifest = archive.open(&path_of(MemberPath::MANIFEST))?;
        let manifest = moodle::parse(BufReader::new(manifest), &limits)?;
        let contents = Contents::read(&format, &archive, &hosts(), &limits)?;
        let scan = Scan::read(&format, &archive, &limits)?;
        let mut survey = Survey::new();
        for (path, bytes) in &archive.members {
            if path.as_str().ends_with(".xml") {
                survey.read(&format, path.as_str(), bytes.as_slice(), &limits)?;
            }
        }
        Ok(Self { archive, manifest, contents, survey, scan })
    }

    pub fn fixture(name: &str) -> anyhow::Result<Self> {
        Self::of(fixture(&format!("{name}.mbz"))?)
    }

    /// The archive with one text of a document in place of another.
    pub fn with(&self, path: &str, old: &str, new: &str) -> anyhow::Result<Self> {
        let mut archive = self.archive.clone();
        let bytes = archive.members.get_mut(&path_of(path)).ok_or_else(|| anyhow::anyhow!("no {path}"))?;
        let text = String::from_utf8(bytes.clone())?;
        assert!(text.contains(old), "{path} has {old}");
        *bytes = text.replacen(old, new, 1).into_bytes();
        Self::of(archive)
    }

    /// Ids of a kind.
    pub fn ids(&self, kind: &str) -> Vec<i64> {
        Format::embedded().kind(kind).map(|kind| self.survey.defined.sorted(kind)).unwrap_or_default()
    }

    /// Accounts like its users, as if they had come to the site by other ways.
    pub fn accounts(&self) -> Vec<Account> {
        let account = |user: &crate::restore::users::ArchiveUser| Account {
            id: user.id + ACCOUNTS,
            username: user.username.clone(),
            email: user.email.clone(),
            first_access: user.first_access,
            is_deleted: user.is_deleted,
            host: 1,
        };
        self.contents.users.iter().map(account).collect()
    }
}

/// A restore.
pub(super) struct Restore {
    pub target: Target,
    pub compatibility: Compatibility,
    pub site: Site,
    pub accounts: Vec<Account>,
    pub mapping: BTreeMap<i64, Mapping>,
    pub roles: Vec<SiteRole>,
    pub ids: CourseIds,
    pub altered: BTreeSet<String>,
    pub choices: CourseChoices,
}

/// Roles of a platform as it is installed, but for one of a user's own.
pub(super) fn site_roles() -> Vec<SiteRole> {
    let roles =
        ["manager", "coursecreator", "editingteacher", "teacher", "student", "guest", "user", "frontpage"];
    let role = |(id, name): (i64, &&str)| SiteRole {
        id,
        short_name: (*name).to_owned(),
        archetype: (*name).to_owned(),
    };
    (1..).zip(&roles).map(role).collect()
}

impl Restore {
    pub fn new(target: Target) -> Self {
        Self {
            target,
            compatibility: Compatibility::Strict,
            site: Site { own_host: 1, may_create: true, ..Site::default() },
            accounts: Vec::new(),
            mapping: BTreeMap::new(),
            roles: site_roles(),
            ids: CourseIds { course: 77, context: 770, system_context: 1 },
            altered: BTreeSet::new(),
            choices: CourseChoices::default(),
        }
    }

    pub fn accounts(self, accounts: Vec<Account>) -> Self {
        Self { accounts, ..self }
    }

    pub fn mapping(mut self, user: i64, mapping: Mapping) -> Self {
        self.mapping.insert(user, mapping);
        self
    }

    pub fn moodle(mut self) -> Self {
        self.compatibility = Compatibility::Moodle;
        self.site.compatibility = Compatibility::Moodle;
        self
    }

    pub fn effective(&self, manifest: &Manifest) -> anyhow::Result<Effective> {
        let (target, compatibility) = (self.target, self.compatibility);
        let (choices, settings) = (self.choices.clone(), Values::default());
        let asked = Asked { target, compatibility, choices, settings, ..Asked::default() };
        resolve(&asked, &Locks::default(), manifest).map_err(|found| anyhow::anyhow!("{found:?}"))
    }

    pub fn plan(&self, read: &Read, into: Option<&Read>) -> anyhow::Result<Plan> {
        let effective = self.effective(&read.manifest)?;
        let keys = read.contents.keys(&read.manifest.original_site, &self.site, &self.mapping, KEY);
        assert!(keys.ids.len() <= read.contents.users.len() + self.mapping.len());
        let directory: Candidates = self.accounts.iter().cloned().collect();
        let request = Request {
            format: &Format::embedded(),
            limits: &Limits::default(),
            incoming: Incoming {
                manifest: &read.manifest,
                members: &read.archive,
                contents: &read.contents,
                survey: &read.survey,
                scan: &read.scan,
            },
            target: into.map(|into| Existing { contents: &into.contents, survey: &into.survey }),
            effective: &effective,
            ids: self.ids,
            rights: Rights::ALL,
            site: &self.site,
            directory: &directory,
            mapping: &self.mapping,
            pseudonym_key: KEY,
            roles: &self.roles,
            role_mapping: &BTreeMap::new(),
            altered: &self.altered,
        };
        decide(&request).map_err(|error| anyhow::anyhow!("{error:?}"))
    }

    /// The archive as it is in its new course, and the next free id.
    pub fn restored(&self, read: &Read, next: i64) -> anyhow::Result<(Read, Plan, i64)> {
        let mut plan = self.plan(read, None)?;
        let next = plan.allocate(&Format::embedded(), &read.survey, next);
        let (archive, _) = renumbered(read, &plan)?;
        Ok((Read::of(archive)?, plan, next))
    }
}

/// An archive with the ids of a plan, and what could not be followed.
pub(super) fn renumbered(read: &Read, plan: &Plan) -> anyhow::Result<(InMemory, Losses)> {
    renumbered_by(read, &plan.map)
}

/// An archive with the ids of a map, and what could not be followed.
pub(super) fn renumbered_by(read: &Read, map: &IdMap) -> anyhow::Result<(InMemory, Losses)> {
    let (format, limits) = (Format::embedded(), Limits::default());
    let mut renumber = Renumber::new(&format, &read.survey, map);
    let mut new = InMemory { digests: true, ..InMemory::default() };
    for (path, bytes) in &read.archive.members {
        let mut out = bytes.clone();
        if path.as_str().ends_with(".xml") {
            out.clear();
            renumber.document(path.as_str(), bytes.as_slice(), &mut out, &limits)?;
        }
        new.members.insert(path_of(&renumber.member_path(path.as_str())), out);
    }
    Ok((new, renumber.finish()))
}

/// An archive without what a plan leaves out.
pub(super) fn without_left_out(read: &Read, plan: &Plan) -> anyhow::Result<Read> {
    let (format, limits) = (Format::embedded(), Limits::default());
    let kept = plan.kept(&format, &read.survey);
    let purpose = Purpose {
        compatibility: Compatibility::Strict,
        on: Conditions::all(),
        keep: kept.iter().map(|(kind, ids)| (*kind, ids)).collect(),
        gone: Vec::new(),
        date_offset: 0,
        values: Vec::new(),
        links_of: None,
    };
    let mut rest = read.archive.clone();
    for (path, bytes) in &mut rest.members {
        let Some(found) = format.document(path.as_str()) else { continue };
        let mut out = Vec::new();
        Rewrite::new(&format, &purpose, &found.document.root, &mut out).run(bytes.as_slice(), &limits)?;
        *bytes = out;
    }
    Read::of(rest)
}

/// An archive that lists its members from behind.
pub(super) struct Backwards<'a>(pub &'a InMemory);

impl Members for Backwards<'_> {
    fn members(&self) -> std::io::Result<Vec<Member>> {
        let mut members = self.0.members()?;
        members.reverse();
        Ok(members)
    }

    fn open(&self, path: &MemberPath) -> std::io::Result<Box<dyn std::io::Read + '_>> {
        self.0.open(path)
    }
}

/// An archive whose rows in the documents at the root stand from behind.
pub(super) fn turned(archive: &InMemory) -> anyhow::Result<InMemory> {
    let mut turned = archive.clone();
    let rows = [("users.xml", "user"), ("groups.xml", "group"), ("roles.xml", "role"), ("files.xml", "file")];
    for (path, row) in rows.into_iter().chain([("questions.xml", "question_category")]) {
        let Some(bytes) = turned.members.get_mut(&path_of(path)) else { continue };
        let text = String::from_utf8(bytes.clone())?;
        let (open, close) = (format!("\n  <{row} "), format!("\n  </{row}>"));
        let (Some(from), Some(to)) = (text.find(&open), text.rfind(&close)) else { continue };
        let to = to + close.len();
        let mut list: Vec<&str> = text[from..to].split_inclusive(close.as_str()).collect();
        list.reverse();
        *bytes = format!("{}{}{}", &text[..from], list.concat(), &text[to..]).into_bytes();
    }
    Ok(turned)
}

/// Codes of a plan's findings, each once.
pub(super) fn codes(plan: &Plan) -> BTreeSet<&str> {
    plan.findings.iter().map(|finding| finding.code.as_str()).collect()
}
