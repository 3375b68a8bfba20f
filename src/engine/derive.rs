//! Archives with other settings: what is live, or an archive, goes through [`derive`](crate::derive) into the vault.

use std::collections::HashMap;
use std::io::{self, Read as _};
use std::sync::Arc;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::archives::Description;
use super::error::Error;
use super::ingest::Arriving;
use super::intake::Event;
use super::run::JobContext;
use super::spool::{Carried, Located};
use super::stage::{Staged, Stager};
use super::stored::Stored;
use super::{Engine, Place, cartridge};
use crate::archive::{Container, MemberEnd};
use crate::backup::{
    Contents, Effective, Order, QUESTION_MODULES, Scope, Setting, Subject, file_name, resolve,
};
use crate::catalog::{ArchiveOrigin, ArchiveRow, SiteRow};
use crate::course::{Entry, Member, MemberPath, Members, TreeRef};
use crate::derive::{self, Adjust, DeriveError, Derived, Label, Request, Sink};
use crate::format::Format;
use crate::ids::SiteId;
use crate::job::{Finding, Severity};
use crate::limits::Limits;
use crate::moodle::{self, Manifest};
use crate::reason::Reason;

/// Findings of one kind that are told one by one; the others are counted.
pub(super) const TOLD: usize = 100;

/// Contents that are looked up at once.
const LOOK_UP: usize = 1000;

/// What a backup is of, for its name.
fn subject(base: &Manifest, scope: Scope) -> Subject<'_> {
    let course = &base.original_course;
    match scope {
        Scope::Course => Subject::Course(course.id, &course.short_name),
        Scope::Section(id) => {
            let section = base.sections.iter().find(|section| section.section_id == id);
            Subject::Section(id, section.map_or("", |section| &section.title))
        }
        Scope::Activity(id) => {
            let activity = base.activities.iter().find(|activity| activity.module_id == id);
            Subject::Activity(id, activity.map_or("", |activity| &activity.module_name))
        }
    }
}

/// What an archive is derived from, and how.
pub(super) struct Derivation {
    pub place: Place,
    pub tree: TreeRef,
    pub base: Manifest,
    pub order: Order,
    pub effective: Effective,
    pub label: Label,
    pub adjust: Adjust,
    /// Language of the site, for what is made for readers.
    pub language: String,
}

/// A derived archive: durable, not visible yet.
pub(super) struct Made {
    pub row: ArchiveRow,
    /// What it says of itself.
    pub manifest: Manifest,
    pub staged: Staged,
}

impl Engine {
    /// Resolves an order against what is there. All contradictions are told at once.
    pub(super) async fn derivation(
        &self,
        site: &SiteId,
        place: Place,
        tree: TreeRef,
        order: Order,
    ) -> Result<Derivation, Error> {
        let base = self.manifest(&place, &tree).await?.ok_or_else(|| {
            let message = "there is no moodle_backup.xml in it: it is no archive of Moodle's own format";
            Error::new(Reason::ArchiveTypeUnsupported, message)
        })?;
        self.derivation_by(site, place, (tree, base), order).await
    }

    /// The same of a tree whose manifest is known.
    pub(super) async fn derivation_by(
        &self,
        site: &SiteId,
        place: Place,
        (tree, base): (TreeRef, Manifest),
        order: Order,
    ) -> Result<Derivation, Error> {
        let resolved = resolve(&order.asked, &[], &base, QUESTION_MODULES);
        let mut effective = resolved.map_err(|found| Error::from(found).within("options"))?;
        for name in derive::unknown_activities(&self.rules.format, &effective, &base) {
            if !order.accepted.contains(&name) {
                effective.leave_out_unknown(&name);
            }
        }
        let site = self.site(site).await?;
        let label = self.label(&site, &base, &effective);
        let language = site.language;
        Ok(Derivation { place, tree, base, order, effective, label, adjust: Adjust::default(), language })
    }

    fn label(&self, site: &SiteRow, base: &Manifest, effective: &Effective) -> Label {
        let contents = Contents {
            users: effective.is_on(Setting::Users),
            anonymized: effective.is_on(Setting::Anonymize),
            files: effective.is_on(Setting::Files) && base.includes_files,
            cartridge: effective.is_on(Setting::Imscc11),
        };
        let language = super::backup::language(&site.language).unwrap_or_default();
        let zone = site.time_zone.parse().unwrap_or(chrono_tz::UTC);
        let now = self.now();
        Label {
            file_name: file_name(language, subject(base, effective.scope), now, zone, contents),
            time: now.millis().div_euclid(1000),
            backup_id: uuid::Uuid::now_v7().simple().to_string(),
        }
    }

    /// Derives an archive into the vault.
    pub(super) async fn make(
        &self,
        derivation: Derivation,
        arriving: Arriving,
        origin: ArchiveOrigin,
        context: &JobContext,
    ) -> Result<Made, Error> {
        let abandoned = CancellationToken::new();
        let _guard = abandoned.clone().drop_guard();
        let stored = self.stored(&derivation.place, &derivation.tree, &abandoned).await?;
        let (members, bytes) = (derivation.tree.members, derivation.tree.content_bytes);
        context.report(|progress| {
            progress.phase = "deriving".into();
            progress.items_total = members;
            progress.bytes_total = bytes;
        });
        let target = self.place(&arriving.site, arriving.area);
        let there = if target == derivation.place {
            None
        } else {
            Some(self.contents_at(&target, &stored.tree).await?)
        };
        let stager = self.stager(&target)?;
        let (engine, context) = (self.clone(), context.clone());
        let making = tokio::task::spawn_blocking(move || {
            let carried = there.map(|there| Carried { below: &stored, there });
            let source: &dyn Located = match &carried {
                Some(carried) => carried,
                None => &stored,
            };
            let mut sink = StageSink::new(source, stager, &context);
            let written = write(&engine.rules.format, &derivation, &stored, &mut sink, engine.limits());
            let findings = match written {
                Ok(findings) => findings,
                Err(error) => {
                    sink.stager.abort();
                    return Err(error);
                }
            };
            let mut described = None;
            let staged = sink.stager.finish(|staged| {
                let own = staged.manifest.as_deref();
                let own = own.map(|bytes| moodle::parse(bytes, engine.limits())).transpose()?;
                let about = Description {
                    arriving: &arriving,
                    origin,
                    container: Container::Zip,
                    upload: None,
                    manifest: own.as_ref(),
                    findings,
                };
                let made = engine.archive_row(&target, &staged.tree, staged.tree_ref, about);
                let record = super::journal::archive_record(&made)?;
                described = Some((made, own.unwrap_or_else(|| derivation.base.clone())));
                Ok(record)
            })?;
            let (row, manifest) =
                described.ok_or_else(|| Error::new(Reason::Internal, "the archive was not described"))?;
            Ok(Made { row, manifest, staged })
        });
        making.await.map_err(failed)?
    }

    /// Which contents of a tree lie at a place, in whatever form.
    async fn contents_at(
        &self,
        place: &Place,
        tree: &crate::course::Tree,
    ) -> Result<HashMap<crate::digest::Digest, crate::course::ContentRef>, Error> {
        let mut there = HashMap::new();
        for batch in tree.entries().chunks(LOOK_UP) {
            let digests: Vec<_> = batch.iter().map(|entry| entry.content.digest).collect();
            let found = self.catalog.find_contents(&place.site, &place.storage, &digests).await?;
            there.extend(found.into_iter().map(|row| (row.content.digest, row.content)));
        }
        Ok(there)
    }

    /// Takes new members of a place.
    pub(super) fn stager(&self, place: &Place) -> Result<Stager, Error> {
        let (catalog, limits) = (self.catalog.clone(), self.limits().clone());
        Ok(Stager::new(Handle::current(), catalog, place.clone(), self.storage(place)?, limits))
    }

    /// What would come of it, without writing anything.
    pub(super) async fn preview(&self, derivation: Derivation) -> Result<(Derivation, Preview), Error> {
        let abandoned = CancellationToken::new();
        let _guard = abandoned.clone().drop_guard();
        let stored = self.stored(&derivation.place, &derivation.tree, &abandoned).await?;
        let engine = self.clone();
        let looking = tokio::task::spawn_blocking(move || {
            if derivation.effective.is_on(Setting::Imscc11) {
                let preview =
                    cartridge::preview(&engine.rules.format, &derivation, &stored, engine.limits())?;
                return Ok((derivation, preview));
            }
            let mut sink = PlanSink { stored: &stored, entries: Vec::new() };
            let derived = run(&engine.rules.format, &derivation, &stored, &mut sink, engine.limits(), true)?;
            let findings = findings(&derived, &derivation.effective);
            let tree = Arc::new(crate::course::Tree::new(sink.entries)?);
            Ok((derivation, Preview { derived, findings, tree }))
        });
        looking.await.map_err(failed)?
    }
}

/// What a derivation would come to.
pub(super) struct Preview {
    pub derived: Derived,
    pub findings: Vec<Finding>,
    /// The members that it would have; the encoded sizes of those that change are estimated.
    pub tree: Arc<crate::course::Tree>,
}

/// Derives into the vault, as an archive in Moodle's own format or as a cartridge.
fn write(
    format: &Format,
    derivation: &Derivation,
    stored: &Stored,
    sink: &mut StageSink<'_>,
    limits: &Limits,
) -> Result<Vec<Finding>, Error> {
    if derivation.effective.is_on(Setting::Imscc11) {
        return cartridge::write(format, derivation, stored, sink, limits);
    }
    let derived = run(format, derivation, stored, sink, limits, false)?;
    Ok(findings(&derived, &derivation.effective))
}

/// Derives into a sink.
pub(super) fn run(
    format: &Format,
    derivation: &Derivation,
    stored: &dyn Members,
    sink: &mut dyn Sink,
    limits: &Limits,
    counting: bool,
) -> Result<Derived, Error> {
    let request = Request {
        format,
        effective: &derivation.effective,
        compatibility: derivation.order.compatibility,
        accepted: &derivation.order.accepted,
        without_secrets: derivation.order.without_secrets,
        people_stay: derivation.order.people_stay,
        counting,
        label: derivation.label.clone(),
        adjust: &derivation.adjust,
        limits,
    };
    Ok(derive::derive(&request, stored, &derivation.base, sink)?)
}

pub(super) fn failed(error: tokio::task::JoinError) -> Error {
    Error::new(Reason::Internal, "deriving the archive failed unexpectedly").caused_by(error)
}

/// The entry of a member that stays as it is.
fn entry_of(source: &dyn Located, path: &MemberPath) -> io::Result<Entry> {
    source.entry(path).ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// Puts members into the vault.
pub(super) struct StageSink<'s> {
    source: &'s dyn Located,
    pub stager: Stager,
    /// Size and checksum of the member that was begun.
    end: Option<(u64, crc32fast::Hasher)>,
    context: &'s JobContext,
}

impl<'s> StageSink<'s> {
    /// What is kept is that of `source`; a member that lies in the vault already is not written again.
    pub fn new(source: &'s dyn Located, stager: Stager, context: &'s JobContext) -> Self {
        Self { source, stager, end: None, context }
    }

    /// The same with what is kept of another source.
    pub fn over<'o>(&'o mut self, source: &'o dyn Located) -> Over<'o, 's> {
        Over { sink: self, source }
    }

    fn keep_of(&mut self, source: &dyn Located, path: &MemberPath, size: u64) -> io::Result<()> {
        if let Some(entry) = source.entry(path) {
            self.stager.keep(entry);
            self.done(size);
            return Ok(());
        }
        let mut input = source.open(path)?;
        let mut block = vec![0; 64 << 10];
        self.begin(path)?;
        loop {
            match input.read(&mut block)? {
                0 => break,
                count => self.append(&block[..count])?,
            }
        }
        self.end()
    }

    fn done(&self, bytes: u64) {
        self.context.report(|progress| {
            progress.items_done += 1;
            progress.bytes_done += bytes;
        });
    }
}

impl Sink for StageSink<'_> {
    fn keep(&mut self, member: &Member) -> io::Result<()> {
        self.keep_of(self.source, &member.path, member.size)
    }

    fn write(&mut self, path: &MemberPath, bytes: &[u8]) -> io::Result<()> {
        let end = MemberEnd { size: bytes.len() as u64, crc32: crc32fast::hash(bytes), raw_size: None };
        let event = Event::Whole { path: path.clone(), plain: bytes.to_vec(), raw: None, end };
        self.done(bytes.len() as u64);
        self.stager.take(event).map_err(io::Error::other)
    }

    fn begin(&mut self, path: &MemberPath) -> io::Result<()> {
        self.end = Some((0, crc32fast::Hasher::new()));
        let event = Event::Begin { path: path.clone(), declared: None, raw: false };
        self.stager.take(event).map_err(io::Error::other)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some((size, hasher)) = &mut self.end {
            *size += bytes.len() as u64;
            hasher.update(bytes);
        }
        self.stager.take(Event::Plain(Bytes::copy_from_slice(bytes))).map_err(io::Error::other)
    }

    fn end(&mut self) -> io::Result<()> {
        let (size, hasher) = self.end.take().ok_or(io::ErrorKind::InvalidInput)?;
        self.done(size);
        let end = MemberEnd { size, crc32: hasher.finalize(), raw_size: None };
        self.stager.take(Event::End(end)).map_err(io::Error::other)
    }
}

/// The same stage, fed from another source.
pub(super) struct Over<'o, 's> {
    sink: &'o mut StageSink<'s>,
    source: &'o dyn Located,
}

impl Sink for Over<'_, '_> {
    fn keep(&mut self, member: &Member) -> io::Result<()> {
        self.sink.keep_of(self.source, &member.path, member.size)
    }

    fn write(&mut self, path: &MemberPath, bytes: &[u8]) -> io::Result<()> {
        self.sink.write(path, bytes)
    }

    fn begin(&mut self, path: &MemberPath) -> io::Result<()> {
        self.sink.begin(path)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sink.append(bytes)
    }

    fn end(&mut self) -> io::Result<()> {
        self.sink.end()
    }
}

/// Only notes which members there would be.
struct PlanSink<'s> {
    stored: &'s Stored,
    entries: Vec<Entry>,
}

impl PlanSink<'_> {
    fn add(&mut self, path: &MemberPath, size: u64) {
        let original = self.stored.tree.get(path.as_str()).copied();
        let content = original.map(|content| {
            let encoded = content.encoded_size.saturating_mul(size) / content.size.max(1);
            crate::course::ContentRef { size, encoded_size: encoded, ..content }
        });
        // A list that a task gets new is small, and stored as it is in the worst case.
        let content = content.unwrap_or(crate::course::ContentRef {
            digest: crate::digest::Digest::of(path.as_str().as_bytes()),
            size,
            crc32: 0,
            encoding: crate::course::Encoding::Stored,
            encoded_size: size,
            form: 0,
        });
        self.entries.push(Entry { path: path.clone(), content });
    }
}

impl Sink for PlanSink<'_> {
    fn keep(&mut self, member: &Member) -> io::Result<()> {
        self.entries.push(entry_of(self.stored, &member.path)?);
        Ok(())
    }

    fn write(&mut self, path: &MemberPath, bytes: &[u8]) -> io::Result<()> {
        self.add(path, bytes.len() as u64);
        Ok(())
    }

    fn begin(&mut self, path: &MemberPath) -> io::Result<()> {
        self.add(path, 0);
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(Entry { path, content }) = self.entries.pop() {
            self.add(&path, content.size + bytes.len() as u64);
        }
        Ok(())
    }

    fn end(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a caller should know of a derivation.
pub(super) fn findings(derived: &Derived, effective: &Effective) -> Vec<Finding> {
    let mut all = Vec::new();
    let mut tell = |severity: Severity, code: &str, told: Vec<(String, String)>| {
        let more = told.len().saturating_sub(TOLD);
        let finding = |(path, message)| Finding { severity, code: code.to_owned(), path, message };
        all.extend(told.into_iter().take(TOLD).map(finding));
        if more > 0 {
            all.push(finding((String::new(), format!("and {more} more"))));
        }
    };
    let list = |map: &std::collections::BTreeMap<String, u64>, what: &str| {
        map.iter().map(|(path, count)| (path.clone(), format!("{count} {what}"))).collect()
    };
    tell(
        Severity::Warning,
        "CONTENT_MISSING",
        list(&derived.missing_contents, "rows of files.xml need this content, which the state lacks"),
    );
    tell(
        Severity::Warning,
        "ELEMENT_UNKNOWN",
        list(&derived.seen.unknown, "elements or attributes that no description covers"),
    );
    let stays = |stays: bool| if stays { "it stays as it is" } else { "it was left out" };
    let members = derived.unknown_members.iter();
    let members = members.map(|(path, kept)| {
        (
            path.clone(),
            format!("no description covers it, so nobody knows what it says of people; {}", stays(*kept)),
        )
    });
    tell(Severity::Warning, "MEMBER_UNKNOWN", members.collect());
    tell(
        Severity::Info,
        "SECRET_INCLUDED",
        list(&derived.seen.secrets, "passwords, keys or shared secrets stay, as in Moodle's own backups"),
    );
    if !effective.is_on(Setting::Users) || effective.is_on(Setting::Anonymize) {
        let people =
            list(&derived.seen.people, "values that name or describe people, or their addresses, stay");
        tell(Severity::Warning, "PERSON_INCLUDED", people);
    }
    all
}

impl From<DeriveError> for Error {
    /// What the vault said comes out as it went in.
    fn from(error: DeriveError) -> Self {
        match (error.reason(), error) {
            (
                _,
                DeriveError::List(error) | DeriveError::Read { error, .. } | DeriveError::Write { error, .. },
            ) => error
                .downcast::<Self>()
                .unwrap_or_else(|error| Self::new(Reason::Internal, "deriving failed").caused_by(error)),
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
