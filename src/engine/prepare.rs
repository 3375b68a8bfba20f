//! What an archive comes to in its place: its documents after the settings were applied, and what becomes of every row.
//!
//! A preview stops here; a restore goes on with it. Nothing here changes anything.

use std::collections::{BTreeMap, BTreeSet};

use tokio::runtime::Handle;

use super::derive::{self, Derivation};
use super::error::Error;
use super::restoring::{Restoration, refuse_blocked};
use super::spool::{Located, Spool};
use super::{Call, Engine, Place};
use crate::backup::{Asked, Mode, Order, Setting};
use crate::choice::{Extent, Selection};
use crate::directory::{self, OWN_HOST, People, Person};
use crate::format::{Format, Kind};
use crate::ids::SiteId;
use crate::job::{Finding, Proof};
use crate::limits::Limits;
use crate::matching::{
    self, Contents, CourseIds, DecideError, Existing, Incoming, MatchError, Plan, Request, Rights, Scan,
    constants,
};
use crate::reason::Reason;
use crate::renumber::{Amendments, Renumber, Survey};
use crate::restore;
use crate::restore::roles::SiteRole;
use crate::restore::sections::SectionDecision;
use crate::restore::users::{Hosts, Site};

/// Ids of a new course, of its context, and of nothing.
const OF_COURSE: u64 = 3;

/// What the site has to say.
pub(super) struct Facts {
    roles: Vec<SiteRole>,
    /// Whether an administrator has told all of them. Otherwise they are those of published courses, which may lack some.
    knows_all_roles: bool,
    users: Site,
    hosts: Hosts,
    pseudonym_key: Vec<u8>,
}

/// An archive, ready for its place.
pub(super) struct Prepared<'s> {
    pub spool: Spool<'s>,
    pub contents: Contents,
    pub survey: Survey,
    pub plan: Plan,
    /// What was found about documents and settings.
    pub findings: Vec<Finding>,
}

/// Documents that go with the contents of a course: what comes in replaces them as they are.
const OF_CONTENTS: [&str; 5] =
    ["gradebook.xml", "grade_history.xml", "completion.xml", "questions.xml", "badges.xml"];

impl Engine {
    /// The target without its contents, where they are deleted first; none where they stay.
    pub(super) async fn emptying_of(&self, restoration: &Restoration) -> Result<Option<Derivation>, Error> {
        let Some(target) = restoration.target.as_ref().filter(|_| restoration.effective.target.is_deleting())
        else {
            return Ok(None);
        };
        let effective = &restoration.effective;
        let keeps_people = effective.is_on(restore::Setting::KeepRolesAndEnrolments);
        let keeps_groups = effective.is_on(restore::Setting::KeepGroupsAndGroupings);
        let stays = |setting: Setting| match setting {
            Setting::Users => keeps_people || keeps_groups,
            Setting::RoleAssignments => keeps_people,
            Setting::Groups => keeps_groups,
            Setting::Files | Setting::CustomField => true,
            _ => false,
        };
        let exists = |setting: &Setting| setting.row().exists(Mode::General, true);
        let settings = Setting::ALL.iter().copied().filter(exists).map(|one| (one, stays(one)));
        let asked = Asked {
            settings: settings.collect(),
            selection: Selection { extent: Some(Extent::None), ..Selection::default() },
            ..Asked::default()
        };
        let place = Place::of(&target.revision.site, &target.revision.storage);
        let order = Order { asked, compatibility: effective.compatibility, ..Order::default() };
        let derivation =
            self.derivation(&restoration.course.site, place, target.revision.tree, order).await?;
        Ok(Some(derivation))
    }

    /// Deletes the contents, as far as anybody sees within this restore. On a thread that may block.
    pub(super) fn emptied<'t>(
        &self,
        emptying: &Derivation,
        target: &'t dyn Located,
        keeps_people: bool,
    ) -> Result<Spool<'t>, Error> {
        let mut spool = Spool::over(target).map_err(spooled)?;
        derive::run(&self.rules.format, emptying, target, &mut spool, self.limits(), false)?;
        spool.finish().map_err(spooled)?;
        OF_CONTENTS.iter().for_each(|path| spool.forget(path));
        if !keeps_people {
            ["course/enrolments.xml", "course/roles.xml"].iter().for_each(|path| spool.forget(path));
        }
        Ok(spool)
    }

    /// What the site has to say about an archive.
    pub(super) async fn facts(&self, restoration: &Restoration) -> Result<Facts, Error> {
        let site = &restoration.course.site;
        let row = self.site(site).await?;
        let origin = &restoration.base.original_site;
        // While nobody has said which platform the site stands for, it is that of whatever comes.
        let is_same = row.platform.is_unknown() || row.platform.is_origin_of(origin);
        let roles = self.catalog.list_roles(site).await?;
        let knows_all_roles = roles.iter().any(|row| row.source == directory::Source::Imported);
        let roles = roles.into_iter().map(|row| SiteRole {
            id: row.role.id,
            short_name: row.role.short_name,
            archetype: row.role.archetype,
        });
        let own_url = match row.platform.is_unknown() {
            true => origin.wwwroot.clone(),
            false => row.platform.wwwroot.clone(),
        };
        Ok(Facts {
            users: Site {
                is_same,
                forces_other_site: false,
                own_host: OWN_HOST,
                duplicate_admin: None,
                may_create: true,
                compatibility: restoration.effective.compatibility,
            },
            hosts: Hosts { own_url, own: OWN_HOST, others: BTreeMap::new() },
            roles: roles.collect(),
            knows_all_roles,
            pseudonym_key: self.pseudonym_key(site).await?.into_bytes(),
        })
    }

    /// The key of the site's pseudonyms, made when it is first needed.
    async fn pseudonym_key(&self, site: &SiteId) -> Result<String, Error> {
        // Twice 74 random bits.
        let fresh = format!("{}{}", uuid::Uuid::now_v7().simple(), uuid::Uuid::now_v7().simple());
        let mut tx = self.catalog.begin().await?;
        let key = tx.pseudonym_key(site, &fresh).await?;
        tx.commit().await?;
        Ok(key)
    }

    /// Applies the settings and decides what becomes of everything. On a thread that may block.
    pub(super) fn prepare<'s>(
        &self,
        restoration: &Restoration,
        derivation: &Derivation,
        facts: &Facts,
        stored: &'s dyn Located,
        target: Option<&dyn Located>,
    ) -> Result<Prepared<'s>, Error> {
        let (format, limits) = (&*self.rules.format, self.limits());
        let mut spool = Spool::over(stored).map_err(spooled)?;
        let derived = derive::run(format, derivation, stored, &mut spool, limits, false)?;
        spool.finish().map_err(spooled)?;
        let mut findings = derive::findings(&derived, &derivation.effective);
        let survey = Survey::of(format, &spool, limits)?;
        let scan = Scan::read(format, &spool, limits)?;
        let contents = Contents::read(format, &spool, &facts.hosts, limits)?;
        let there = match target {
            Some(members) => Some((
                Contents::read(format, members, &facts.hosts, limits)?,
                Survey::of(format, members, limits)?,
            )),
            None => None,
        };
        let origin = &restoration.base.original_site;
        let keys = contents.keys(origin, &facts.users, &restoration.order.users, &facts.pseudonym_key);
        let directory = Handle::current().block_on(self.candidates(&restoration.course.site, &keys))?;
        let mut roles = facts.roles.clone();
        if !facts.knows_all_roles {
            // A role that nobody has told of, and that collides with none that is known, is the site's.
            for role in own_roles(&spool, limits)? {
                if !roles.iter().any(|one| one.id == role.id || one.short_name == role.short_name) {
                    roles.push(role);
                }
            }
        }
        let original = &restoration.base.original_course;
        let ids = match &restoration.target {
            Some(target) => CourseIds {
                course: target.base.original_course.id,
                context: target.base.original_course.context_id,
                system_context: target.base.original_site.system_context_id,
            },
            // Those of a new course are given out later; until then its own stand for them.
            None => CourseIds {
                course: original.id,
                context: original.context_id,
                system_context: origin.system_context_id,
            },
        };
        let altered = restoration.archive.findings.iter();
        let altered: BTreeSet<String> = altered
            .filter(|finding| finding.code == "CONTENT_ALTERED" && !finding.path.is_empty())
            .map(|finding| finding.path.clone())
            .collect();
        let request = Request {
            format,
            limits,
            incoming: Incoming {
                manifest: &restoration.base,
                members: &spool,
                contents: &contents,
                survey: &survey,
                scan: &scan,
            },
            target: there.as_ref().map(|(contents, survey)| Existing { contents, survey }),
            effective: &restoration.effective,
            ids,
            rights: Rights::ALL,
            site: &facts.users,
            directory: &directory,
            mapping: &restoration.order.users,
            pseudonym_key: &facts.pseudonym_key,
            roles: &roles,
            role_mapping: &BTreeMap::new(),
            altered: &altered,
        };
        let mut plan = matching::decide(&request)?;
        if facts.users.is_same {
            keep_own_ids(format, &mut plan, |id| directory.by_id(id).is_some());
        }
        one_row_each(format, &mut plan, &survey);
        if let Some((_, survey)) = there.filter(|_| !facts.users.is_same) {
            // Numbers of another platform are other things here. On one's own they are what they say.
            plan.map.keep_off(survey.defined);
        }
        let known: BTreeSet<(String, String)> =
            findings.iter().map(|finding| (finding.code.clone(), finding.path.clone())).collect();
        let new = plan.findings.drain(..);
        findings.extend(new.filter(|it| !known.contains(&(it.code.clone(), it.path.clone()))));
        Ok(Prepared { spool, contents, survey, plan, findings })
    }
}

/// Whoever is made on his own platform has the id there that the archive tells, unless someone else has it.
fn keep_own_ids(format: &Format, plan: &mut Plan, is_taken: impl Fn(i64) -> bool) {
    let Some(user) = format.kind("user") else { return };
    let own = plan.new_accounts.iter().filter(|(_, account)| account.pseudonym.is_none());
    let ids: Vec<i64> = own.map(|(id, _)| *id).filter(|id| !is_taken(*id)).collect();
    for id in ids {
        plan.map.set(user, id, id);
    }
}

/// Of several roles, or users, that are one on the site one row is enough; all references lead to it.
fn one_row_each(format: &Format, plan: &mut Plan, survey: &Survey) {
    for kind in ["role", "user"].iter().filter_map(|name| format.kind(name)) {
        let mut seen = BTreeSet::new();
        for id in survey.defined.sorted(kind) {
            let same = plan.map.get(kind, id).filter(|same| *same > 0 && !plan.left_out.has(kind, id));
            if same.is_some_and(|same| !seen.insert(same)) {
                plan.left_out.add(kind, id);
            }
        }
    }
}

/// Roles of an archive, as if the site had them: while nobody has told of the site's own.
fn own_roles(source: &dyn Located, limits: &Limits) -> Result<Vec<SiteRole>, Error> {
    let path = crate::course::MemberPath::parse("roles.xml", limits);
    let Some(input) = path.ok().and_then(|path| source.open(&path).ok()) else { return Ok(Vec::new()) };
    let roles = directory::roles_of(std::io::BufReader::new(input), limits);
    let roles = roles.map_err(|error| {
        Error::new(Reason::DocumentInvalid, format!("roles.xml: {error}")).with("path", &"roles.xml")
    })?;
    let role = |role: directory::SiteRole| SiteRole {
        id: role.id,
        short_name: role.short_name,
        archetype: role.archetype,
    };
    Ok(roles.into_iter().map(role).collect())
}

/// What the spool says of a full disk comes out as it went in.
pub(super) fn spooled(error: std::io::Error) -> Error {
    error.downcast::<Error>().unwrap_or_else(|error| {
        Error::new(Reason::Internal, "documents cannot be set aside").caused_by(error)
    })
}

impl Prepared<'_> {
    /// Gives out new ids. Nothing may stand against the restore.
    pub fn number(&mut self, engine: &Engine, call: &Call, restoration: &Restoration) -> Result<(), Error> {
        refuse_blocked(&self.findings)?;
        let format = &*engine.rules.format;
        let defined = &self.survey.defined;
        let all: usize = defined.kinds().filter_map(|kind| defined.of(kind)).map(|ids| ids.len()).sum();
        let site = &restoration.course.site;
        let reserved = engine.reserve_ids(call, site, all as u64 + OF_COURSE);
        let ids = Handle::current().block_on(reserved)?;
        let original = &restoration.base.original_course;
        let own = [("course", original.id), ("context", original.context_id)];
        let own = own.into_iter().filter_map(|(kind, id)| Some((format.kind(kind)?, id)));
        let own: Vec<(Kind, i64)> = own.filter(|_| restoration.target.is_none()).collect();
        for (kind, old) in &own {
            self.plan.map.unset(*kind, *old);
        }
        let mut next = self.plan.allocate(format, &self.survey, ids.start);
        for (kind, old) in own {
            if self.plan.map.get(kind, old).is_none() {
                self.plan.map.set(kind, old, next);
                next += 1;
            }
        }
        self.plan.map.lead_to_nothing(next);
        Ok(())
    }

    /// What else changes in the documents.
    pub fn amendments(&self, format: &Format) -> Amendments {
        let mut amendments =
            Amendments { kept: self.plan.kept(format, &self.survey), values: BTreeMap::new() };
        let kind = |name: &str| format.kind(name);
        if let Some(user) = kind("user") {
            for (id, account) in &self.plan.new_accounts {
                let own = self.contents.user(*id).map(|user| user.username.as_str());
                if own != Some(account.username.as_str()) {
                    amendments.set(user, *id, "username", account.username.as_str());
                }
                for (field, value) in account.pseudonym.map(|it| constants(format, it)).unwrap_or_default() {
                    amendments.set(user, *id, &field, value);
                }
            }
        }
        if let Some(section) = kind("course_section") {
            for (id, decision) in &self.plan.sections {
                if let SectionDecision::Create { number, is_delegated } = decision {
                    amendments.set(section, *id, "number", number.to_string());
                    if !is_delegated {
                        amendments.set(section, *id, "component", "$@NULL@$");
                        amendments.set(section, *id, "itemid", "$@NULL@$");
                    }
                }
            }
        }
        let kinds: Vec<Kind> = self.plan.without_number.kinds().collect();
        for kind in kinds {
            for id in self.plan.without_number.sorted(kind) {
                amendments.set(kind, id, "idnumber", "");
            }
        }
        amendments
    }

    /// What of the archive is in the result, by kind: every thing of the archive is looked for under the id that it got.
    /// What was written is read again for this, so that it does not rest on what was meant to be written.
    pub fn proof(&self, format: &Format, result: &Survey) -> Vec<Proof> {
        let defined = &self.survey.defined;
        let mut kinds: Vec<Kind> = defined.kinds().filter(|kind| !self.plan.map.is_own(*kind)).collect();
        kinds.sort_by_key(|kind| format.kind_name(*kind));
        let one = |kind: Kind| {
            let name = format.kind_name(kind);
            let (mut found, mut out) = (0, 0);
            let ids = defined.sorted(kind);
            for id in &ids {
                let new = self.plan.map.get(kind, *id);
                if new.is_some_and(|new| result.defined.has(kind, new)) {
                    found += 1;
                } else if self.plan.left_out.has(kind, *id) {
                    out += 1;
                }
            }
            let expected = ids.len() as u64;
            let count = self.plan.counts.get(name).copied().unwrap_or_default();
            let lost = expected - found - out;
            let reason = match (out, lost) {
                (0, 0) => String::new(),
                (out, 0) => format!("{out} left out, as planned"),
                (0, lost) => format!("{lost} are not there"),
                (out, lost) => format!("{out} left out, as planned; {lost} are not there"),
            };
            let matched = (count.matched + count.merged).min(found);
            Proof { kind: name.to_owned(), expected, found, matched, reason }
        };
        kinds.into_iter().map(one).collect()
    }

    /// The accounts that the restore makes, as the documents will tell of them.
    pub fn new_people(
        &self,
        format: &Format,
        renumber: &mut Renumber<'_>,
        source: &dyn Located,
        origin: &str,
        limits: &Limits,
    ) -> Result<Vec<Person>, Error> {
        let user = format.kind("user");
        let made = self.plan.new_accounts.iter();
        let made: BTreeMap<i64, bool> = made
            .filter_map(|(id, account)| Some((self.plan.map.get(user?, *id)?, account.pseudonym.is_some())))
            .collect();
        if made.is_empty() {
            return Ok(Vec::new());
        }
        let path = crate::course::MemberPath::parse("users.xml", limits);
        let Some(input) = path.ok().and_then(|path| source.open(&path).ok()) else { return Ok(Vec::new()) };
        let mut document = tempfile::SpooledTempFile::new(1 << 20);
        let path = crate::course::MemberPath::parse("users.xml", limits)
            .map_err(|error| Error::new(Reason::Internal, "users.xml has no place").caused_by(error))?;
        renumber
            .document(path.as_str(), std::io::BufReader::new(input), &mut document, limits)
            .map_err(|error| crate::derive::DeriveError::rewrite(&path, error))?;
        std::io::Seek::rewind(&mut document).map_err(spooled)?;
        let People { people, .. } = directory::users_of(std::io::BufReader::new(document), limits, origin)
            .map_err(|error| Error::new(Reason::DocumentInvalid, format!("users.xml: {error}")))?;
        let made = people.into_iter().filter_map(|person| {
            let is_pseudonym = *made.get(&person.id)?;
            Some(Person { is_pseudonym, ..person })
        });
        Ok(made.collect())
    }
}

impl From<MatchError> for Error {
    /// What the vault said comes out as it went in.
    fn from(error: MatchError) -> Self {
        match (error.reason(), error) {
            (None, MatchError::List(error) | MatchError::Read { error, .. }) => error
                .downcast::<Self>()
                .unwrap_or_else(|error| Self::new(Reason::Internal, "reading failed").caused_by(error)),
            (reason, error) => {
                let out = Self::new(reason.unwrap_or(Reason::Internal), error.to_string());
                match error.document() {
                    Some(path) => out.with("path", &path),
                    None => out,
                }
            }
        }
    }
}

impl From<DecideError> for Error {
    fn from(error: DecideError) -> Self {
        match error {
            DecideError::Contradictions(found) => Self::from(found).within("options.users"),
            DecideError::Read(error) => error.into(),
        }
    }
}
