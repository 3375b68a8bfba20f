//! Who is known on a site: what published and restored courses add, what matching asks for, and new ids.
//!
//! Names and addresses of people never reach a log or an error: only counts and ids do.

use std::collections::{BTreeSet, HashMap};
use std::io::BufReader;
use std::ops::Range;

use tokio_util::sync::CancellationToken;

use super::error::Error;
use super::{Call, Engine, Place};
use crate::catalog::{AccountRow, CatalogError, RoleRow, SiteRow, Tx};
use crate::course::{MemberPath, Members, Tree, TreeRef};
use crate::directory::{self, FIRST_NEW_ID, Meeting, People, Person, Platform, SiteRole, Source};
use crate::format::xml::XmlError;
use crate::ids::SiteId;
use crate::limits::Limits;
use crate::moodle::Manifest;
use crate::reason::Reason;
use crate::restore::users::{Candidates, Keys};
use crate::vault::journal::Event;

/// Accounts looked at together, and told in one event of the journal.
const CHUNK: usize = 200;

/// What became of accounts that were to join a directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Joined {
    /// How many are new.
    pub added: u64,
    /// How many were known and lacked something that they have now.
    pub filled: u64,
    /// How many were known as they are, or under another name, which stays.
    pub known: u64,
    /// Ids of those that did not join, for another account has their name and host.
    pub name_taken: Vec<i64>,
    /// How many did not join, for they cannot be kept: see [`Person::check`], and ids that the service never gave out.
    pub unfit: u64,
}

/// What is wanted of a tree's documents.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Telling {
    /// Only what they say of the course.
    Course,
    /// People and roles, too.
    Everything,
}

/// What the documents of a tree tell.
#[derive(Default)]
pub(super) struct Told {
    /// Its people, where it has them under their own names.
    pub people: People,
    /// Its roles.
    pub roles: Vec<SiteRole>,
    /// The course's id number.
    pub course_id_number: String,
    /// Where it stands on its platform, if they tell that.
    pub placement: Option<directory::Placement>,
}

impl Engine {
    /// Lets accounts join a site's directory, in the transaction of the fact that makes them known.
    ///
    /// An account that is known under the same id, name and host gets what it lacks; nothing else of it changes. A name that
    /// another account has is told, not taken: a restore that made up its mind before must then decide again.
    /// Locks the directory until the transaction ends, so it should be among its last steps.
    pub(super) async fn join_directory(
        &self,
        tx: &mut Tx,
        call: &Call,
        site: &SiteId,
        source: Source,
        people: &[Person],
    ) -> Result<Joined, Error> {
        let mut joined = Joined::default();
        if people.is_empty() {
            return Ok(joined);
        }
        tx.lock_directory(site).await?;
        for chunk in people.chunks(CHUNK) {
            let rows = self.joining(tx, site, source, chunk, &mut joined).await?;
            if rows.is_empty() {
                continue;
            }
            tx.put_accounts(&rows).await?;
            // What was filled keeps its own source, so events are told apart by it.
            let mut by_source: HashMap<Source, Vec<Person>> = HashMap::new();
            for row in rows {
                by_source.entry(row.source).or_default().push(row.person);
            }
            for (source, accounts) in by_source {
                let event = Event::AccountsWritten { site: site.clone(), source, accounts };
                self.put_down(tx, site, call, event).await?;
            }
        }
        Ok(joined)
    }

    /// The rows that a chunk of accounts adds or changes.
    async fn joining(
        &self,
        tx: &mut Tx,
        site: &SiteId,
        source: Source,
        chunk: &[Person],
        joined: &mut Joined,
    ) -> Result<Vec<AccountRow>, Error> {
        let ids: Vec<i64> = chunk.iter().map(|person| person.id).collect();
        let known = tx.accounts_of_ids(site, &ids).await?;
        let known: HashMap<i64, AccountRow> = known.into_iter().map(|row| (row.person.id, row)).collect();
        let names: BTreeSet<&str> = chunk
            .iter()
            // What cannot be kept is not asked for: some databases refuse it.
            .filter(|person| !known.contains_key(&person.id) && person.check().is_ok())
            .map(|person| person.username.as_str())
            .collect();
        let names: Vec<&str> = names.into_iter().collect();
        let mut taken: BTreeSet<(String, i64)> = tx
            .accounts_of_names(site, &names)
            .await?
            .into_iter()
            .map(|row| (row.person.username, row.person.host))
            .collect();
        let (mut rows, mut seen) = (Vec::new(), BTreeSet::new());
        let now = self.now();
        for person in chunk {
            let is_given_out = person.id < FIRST_NEW_ID || source == Source::Restored;
            if !seen.insert(person.id) || person.check().is_err() {
                joined.unfit += 1;
                continue;
            }
            match known.get(&person.id) {
                Some(row) => {
                    let is_alike = row.person.username == person.username && row.person.host == person.host;
                    match row.person.filled(person).filter(|_| is_alike) {
                        Some(person) => {
                            joined.filled += 1;
                            rows.push(AccountRow { person, update_time: now, ..row.clone() });
                        }
                        None => joined.known += 1,
                    }
                }
                None if !is_given_out => joined.unfit += 1,
                None if !taken.insert((person.username.clone(), person.host)) => {
                    joined.name_taken.push(person.id);
                }
                None => {
                    joined.added += 1;
                    let (site, person) = (site.clone(), person.clone());
                    rows.push(AccountRow { site, person, source, create_time: now, update_time: now });
                }
            }
        }
        Ok(rows)
    }

    /// Lets roles be known, unless an administrator imported some: then those are all.
    pub(super) async fn learn_roles(
        &self,
        tx: &mut Tx,
        call: &Call,
        site: &SiteId,
        told: &[SiteRole],
    ) -> Result<(), Error> {
        if told.is_empty() {
            return Ok(());
        }
        tx.lock_directory(site).await?;
        let mut rows = tx.list_roles(site).await?;
        if rows.iter().any(|row| row.source == Source::Imported) {
            return Ok(());
        }
        let before = rows.len();
        for role in told {
            let is_known = |row: &RoleRow| row.role.id == role.id || row.role.short_name == role.short_name;
            if !rows.iter().any(is_known) {
                rows.push(RoleRow { role: role.clone(), source: Source::Published });
            }
        }
        if rows.len() == before {
            return Ok(());
        }
        tx.replace_roles(site, &rows).await?;
        let roles = rows.into_iter().map(|row| row.role).collect();
        let event = Event::RolesWritten { site: site.clone(), source: Source::Published, roles };
        self.put_down(tx, site, call, event).await
    }

    /// Makes sure that an archive comes from the platform that a site stands for. What the archive tells of a platform that
    /// is not known yet is known from then on.
    ///
    /// # Errors
    ///
    /// [`Reason::PlatformMismatch`]: numbers of users, roles and everything else mean something else there.
    pub(super) async fn meet_platform(
        &self,
        tx: &mut Tx,
        call: &Call,
        site: &SiteId,
        manifest: &Manifest,
    ) -> Result<(), Error> {
        // First the lock, so that of two that tell a platform one is the first.
        tx.lock_directory(site).await?;
        let row = tx.get_site(site).await?;
        let mut row = row.ok_or_else(|| Error::not_found(Reason::SiteNotFound, &format!("sites/{site}")))?;
        match row.platform.meets(&manifest.original_site) {
            Meeting::Same | Meeting::Untold => Ok(()),
            Meeting::Other => Err(other_platform(&row, manifest)),
            Meeting::Learns(platform) => {
                tx.set_platform(site, &platform).await?;
                row.platform = platform;
                self.put_down(tx, site, call, super::sites::updated(&row)).await
            }
        }
    }

    /// What the documents of a tree tell. People only where it has them under their own names.
    pub(super) async fn told_by(
        &self,
        place: &Place,
        tree: &TreeRef,
        manifest: &Manifest,
        telling: Telling,
    ) -> Result<Told, Error> {
        let with_people = manifest.includes_users() && !manifest.is_anonymized();
        let mut reader = self.document_reader(place)?;
        let mut entries = Vec::new();
        for path in [COURSE, ROLES, USERS] {
            let is_wanted = match path {
                COURSE => true,
                ROLES => telling == Telling::Everything,
                _ => telling == Telling::Everything && with_people,
            };
            if is_wanted {
                entries.extend(self.find_member(&mut reader, tree, path).await?);
            }
        }
        let abandoned = CancellationToken::new();
        let ends_with_the_call = abandoned.clone().drop_guard();
        let documents = self.stored_entries(place, Tree::new(entries)?, &abandoned)?;
        let (limits, own_url) = (self.stored_limits(), manifest.original_site.wwwroot.clone());
        let told = tokio::task::spawn_blocking(move || read_told(&documents, &limits, &own_url)).await;
        drop(ends_with_the_call);
        told.map_err(|error| {
            Error::new(Reason::Internal, "reading the documents failed unexpectedly").caused_by(error)
        })?
    }

    /// The accounts of a site that may match, see [`Keys`].
    pub async fn candidates(&self, site: &SiteId, keys: &Keys) -> Result<Candidates, Error> {
        Ok(self.catalog.find_accounts(site, keys).await?.into_iter().collect())
    }

    /// Gives out new ids of a site, one after the other. Nobody else ever gets one of them.
    ///
    /// They are in the storage's journal before they are given out, so that a catalog that is made anew goes on behind them:
    /// when the storage does not answer, nothing is given out.
    pub async fn reserve_ids(&self, call: &Call, site: &SiteId, count: u64) -> Result<Range<i64>, Error> {
        let mut tx = self.catalog.begin().await?;
        let first = match tx.reserve_ids(site, count).await {
            Err(CatalogError::Unstorable { .. }) => {
                return Err(Error::new(Reason::Internal, "the site has no ids left").with("count", &count));
            }
            first => first?,
        };
        // The statement refused whatever does not fit.
        let below = first.saturating_add(i64::try_from(count).unwrap_or(i64::MAX));
        if count > 0 {
            let event = Event::IdsReserved { site: site.clone(), below };
            self.put_down(&mut tx, site, call, event).await?;
        }
        tx.commit().await?;
        self.try_flush_journal().await?;
        Ok(first..below)
    }
}

const COURSE: &str = "course/course.xml";
const ROLES: &str = "roles.xml";
const USERS: &str = "users.xml";

fn read_told(documents: &impl Members, limits: &Limits, own_url: &str) -> Result<Told, Error> {
    let mut told = Told::default();
    for member in documents.members().map_err(unread)? {
        let input = BufReader::with_capacity(64 << 10, documents.open(&member.path).map_err(unread)?);
        let read = match member.path.as_str() {
            COURSE => {
                directory::course_id_number_of(input, limits).map(|number| told.course_id_number = number)
            }
            ROLES => directory::roles_of(input, limits).map(|roles| told.roles = roles),
            _ => directory::users_of(input, limits, own_url).map(|people| told.people = people),
        };
        read.map_err(|error| document_invalid(&member.path, error))?;
        if member.path.as_str() == COURSE {
            let open = || Ok(BufReader::new(documents.open(&member.path)?));
            let placement = directory::placement_of(open, limits);
            told.placement = Some(placement.map_err(|error| document_invalid(&member.path, error))?);
        }
    }
    Ok(told)
}

fn document_invalid(path: &MemberPath, error: XmlError) -> Error {
    match error {
        XmlError::Input(error) => unread(error),
        // Its text quotes names of elements at most, and no values.
        error => Error::new(Reason::DocumentInvalid, format!("{path}: {error}")).with("path", path),
    }
}

/// The storage's own error, where there is one within.
fn unread(error: std::io::Error) -> Error {
    match error.downcast::<Error>() {
        Ok(error) => error,
        Err(error) => Error::new(Reason::StorageCorrupt, "a document cannot be had").caused_by(error),
    }
}

/// What an archive tells of the site's platform that was not known. Refuses one from another platform.
pub(super) fn met(row: &SiteRow, manifest: &Manifest) -> Result<Option<Platform>, Error> {
    match row.platform.meets(&manifest.original_site) {
        Meeting::Same | Meeting::Untold => Ok(None),
        Meeting::Learns(platform) => Ok(Some(platform)),
        Meeting::Other => Err(other_platform(row, manifest)),
    }
}

fn other_platform(row: &SiteRow, manifest: &Manifest) -> Error {
    let name = format!("sites/{}", row.site);
    let (own, origin) = (&row.platform, &manifest.original_site);
    let message = format!(
        "the archive comes from the platform at {:?}, and {name} stands for the one at {:?}",
        origin.wwwroot, own.wwwroot
    );
    Error::new(Reason::PlatformMismatch, message)
        .with("identifierHash", &own.identifier_hash)
        .with("wwwroot", &own.wwwroot)
        .with("archiveIdentifierHash", &origin.identifier_hash)
        .with("archiveWwwroot", &origin.wwwroot)
        .on(&name)
}

impl Joined {
    /// Tells the log how many, of whom nobody is named.
    pub(super) fn log(&self, site: &SiteId, left_out: u64) {
        if self.added + self.filled + self.unfit + left_out > 0 || !self.name_taken.is_empty() {
            tracing::info!(
                %site,
                added = self.added,
                filled = self.filled,
                known = self.known,
                name_taken = self.name_taken.len(),
                unfit = self.unfit + left_out,
                "accounts joined the directory"
            );
        }
    }
}
