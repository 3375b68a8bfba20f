//! What an archive comes to in its place: its documents after the settings were applied, and what becomes of every row.
//!
//! A preview stops here; a restore goes on with it. Nothing here changes anything.

use std::collections::{BTreeMap, BTreeSet};

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::derive::{self, Derivation};
use super::error::Error;
use super::plan_token::part;
use super::restoring::{Restoration, TargetCourse, refuse_blocked};
use super::spool::{Located, Spool};
use super::{Call, Engine, Place};
use crate::backup::{Asked, Mode, Order, Setting};
use crate::choice::{Extent, Selection};
use crate::course::Members as _;
use crate::directory::{self, OWN_HOST, People, Person};
use crate::format::{Format, Kind};
use crate::ids::SiteId;
use crate::job::Finding;
use crate::limits::Limits;
use crate::matching::{
    self, Contents, Count, CourseIds, DecideError, Existing, Incoming, MatchError, Plan, Request, Rights,
    Scan, UserConflict, constants,
};
use crate::reason::Reason;
use crate::renumber::{Amendments, Renumber, Survey, is_document};
use crate::restore;
use crate::restore::roles::SiteRole;
use crate::restore::sections::SectionDecision;
use crate::restore::users::{ArchiveUser, Hosts, Site};

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

/// What a restore would come to, before anything is written.
pub(super) struct Planned {
    pub restoration: Restoration,
    pub adjust: crate::derive::Adjust,
    /// Stands for what becomes of users and roles.
    pub decisions: String,
    pub findings: Vec<Finding>,
    pub counts: BTreeMap<String, Count>,
    pub conflicts: Vec<(ArchiveUser, UserConflict)>,
    pub bytes: Bytes,
}

/// What a restore weighs.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bytes {
    /// Bytes of what comes in, unpacked.
    pub content: u64,
    /// About so many bytes would be stored anew, at most.
    pub new: u64,
}

/// A document takes about a fifth of its size in the vault; this is on the safe side.
const PACKED: u64 = 4;

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

    /// Looks through archive and target, and decides what would become of everything.
    pub(super) async fn planned(&self, restoration: Restoration) -> Result<Planned, Error> {
        let derivation = self.derivation_of(&restoration).await?;
        let adjust = derivation.adjust.clone();
        let facts = self.facts(&restoration).await?;
        let abandoned = CancellationToken::new();
        let _guard = abandoned.clone().drop_guard();
        let stored = self.stored(&derivation.place, &derivation.tree, &abandoned).await?;
        let target = match &restoration.target {
            Some(TargetCourse { revision, .. }) => {
                let place = Place::of(&revision.site, &revision.storage);
                Some(self.stored(&place, &revision.tree, &abandoned).await?)
            }
            None => None,
        };
        let emptying = self.emptying_of(&restoration).await?;
        let engine = self.clone();
        let planning = tokio::task::spawn_blocking(move || {
            let emptied = engine.emptied_target(&restoration, emptying.as_ref(), target.as_ref())?;
            let there = emptied.as_ref().map(|spool| spool as &dyn Located);
            let there = there.or_else(|| target.as_ref().map(|stored| stored as &dyn Located));
            let prepared = engine.prepare(&restoration, &derivation, &facts, &stored, there)?;
            let decisions = prepared.decisions()?;
            let bytes = prepared.bytes(restoration.place() == derivation.place, there)?;
            let conflicts = prepared.plan.conflicts.iter().map(|conflict| {
                (prepared.contents.user(conflict.user).cloned().unwrap_or_default(), conflict.clone())
            });
            let conflicts = conflicts.collect();
            let (counts, findings) = (prepared.plan.counts, prepared.findings);
            Ok(Planned { restoration, adjust, decisions, findings, counts, conflicts, bytes })
        });
        planning.await.map_err(derive::failed)?
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
        in_category(format, &mut plan, &survey, restoration.order.category.as_ref());
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

/// Which category a new course is in is for whoever asks for it to say.
fn in_category(format: &Format, plan: &mut Plan, survey: &Survey, category: Option<&restore::Category>) {
    let (Some(kind), Some(category)) = (format.kind("course_category"), category) else { return };
    for old in survey.defined.sorted(kind) {
        plan.map.set(kind, old, category.id);
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
    /// Stands for what becomes of users and roles: all that depends on the site's directory.
    pub fn decisions(&self) -> Result<String, Error> {
        let roles: BTreeMap<i64, Option<i64>> =
            self.plan.roles.iter().map(|(id, matched)| (*id, matched.map(|(role, _)| role))).collect();
        part(&(&self.plan.users, &self.plan.new_accounts, roles))
    }

    /// What the restore weighs: documents that change are stored anew, and everything is where the course lies elsewhere.
    fn bytes(&self, is_same_place: bool, there: Option<&dyn Located>) -> Result<Bytes, Error> {
        let mut bytes = Bytes::default();
        for member in self.spool.members().map_err(spooled)? {
            bytes.content += member.size;
            let is_new = is_document(&member.path) || !is_same_place;
            bytes.new += match self.spool.entry(&member.path) {
                _ if !is_new => 0,
                Some(entry) => entry.content.encoded_size,
                None => member.size / PACKED,
            };
        }
        // Activities of the course stay as they are.
        for member in there.map(|there| there.members()).transpose().map_err(spooled)?.unwrap_or_default() {
            if is_document(&member.path) && !member.path.as_str().starts_with("activities/") {
                bytes.new += member.size / PACKED;
            }
        }
        Ok(bytes)
    }

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
