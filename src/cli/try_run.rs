//! `try`: the main job on a throw-away server, through gRPC like any client, with every byte compared that comes out.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tempfile::TempDir;

use super::args::{self, Format};
use super::choices::Choices;
use super::client::{Server, request_id};
use super::compare::compare;
use super::failure::{Differs, REFUSED, Shown, Usage};
use super::local::{self, Content, Members};
use super::names::Fetchable;
use super::output::Output;
use super::progress::Progress;
use super::serve::ThrowAway;
use super::try_report::Report;
use super::words::word;
use super::{compare_run, courses, download, inspect, jobs, listing, restore, upload};
use crate::backup::BuiltInPreset;
use crate::compare::Options;
use crate::course::MemberPath;
use crate::ids::{CourseId, CourseName, SiteId};
use crate::limits::Limits;
use crate::proto::{self, ArchiveType};

/// Runs the job for each archive; one that fails does not stop the others.
pub async fn run(arguments: &args::Try, output: Output) -> anyhow::Result<()> {
    if arguments.archives.len() > 1 && (arguments.out.is_some() || arguments.out_backup.is_some()) {
        return Err(Usage("--out and --out-backup take one archive".into()).into());
    }
    let folder = tempfile::Builder::new().prefix("coursevault-try-").tempdir()?;
    let done = tokio::select! {
        done = Box::pin(all(arguments, folder.path(), output)) => done,
        // The folder goes with us.
        stopped = tokio::signal::ctrl_c() => Err(stopped.err().map_or_else(|| anyhow::anyhow!("interrupted"), Into::into)),
    };
    if arguments.keep {
        output.note(&format!("the server's folder: {}", TempDir::keep(folder).display()));
    }
    done
}

async fn all(arguments: &args::Try, folder: &Path, output: Output) -> anyhow::Result<()> {
    let throw_away = ThrowAway::start(&folder.join("server")).await?;
    let site: SiteId = "main".parse()?;
    let server = Server::connect(&throw_away.url(), &site, None).await?;
    let downloads = folder.join("downloads");
    tokio::fs::create_dir_all(&downloads).await?;
    let mut report = Report::default();
    let mut refusals = Vec::new();
    for (number, archive) in arguments.archives.iter().enumerate() {
        report.begin(&archive.file_name().unwrap_or_default().to_string_lossy());
        let mut choices = arguments.choices.clone();
        if arguments.format == Format::Imscc {
            choices.set.push("imscc11=1".into());
        }
        let mut trial = Trial {
            server: &server,
            downloads: &downloads,
            number: number + 1,
            out: arguments.out.as_deref(),
            out_backup: arguments.out_backup.as_deref(),
            format: arguments.format,
            choices: &choices,
            into: arguments.into.as_deref(),
            mode: arguments.mode,
            users: (&arguments.user, arguments.users.as_deref()),
            report: &mut report,
            output,
        };
        if let Err(error) = Box::pin(trial.run(archive)).await {
            let shown = Shown::of(&error);
            report.failed(
                &shown
                    .as_ref()
                    .map_or_else(String::new, |shown| format!("{}: {}", shown.reason, shown.message)),
            );
            refusals.push(error);
        }
    }
    drop(server);
    let stopped = throw_away.stop().await;
    report.show(output)?;
    let bad = report.bad_archives();
    if bad == 0 {
        return stopped;
    }
    // Refusals alone leave with the code for them; something that differs weighs more.
    if bad == refusals.len()
        && refusals.iter().all(|error| Shown::of(error).is_some_and(|shown| shown.code == REFUSED))
        && let Some(first) = refusals.into_iter().next()
    {
        return Err(first);
    }
    Err(Differs(format!("{bad} of {} archives did not come through", arguments.archives.len())).into())
}

/// Containers, their words, and the formats that people ask for.
const CONTAINERS: [(proto::Container, &str, Format); 2] =
    [(proto::Container::Zip, "zip", Format::MbzZip), (proto::Container::TarGz, "tgz", Format::MbzTgz)];

/// The job for one archive.
pub(super) struct Trial<'a> {
    pub server: &'a Server,
    pub downloads: &'a Path,
    pub number: usize,
    pub out: Option<&'a Path>,
    pub out_backup: Option<&'a Path>,
    pub format: Format,
    pub choices: &'a Choices,
    pub into: Option<&'a Path>,
    pub mode: Option<restore::TryMode>,
    /// What becomes of users: single ones, and a table.
    pub users: (&'a [String], Option<&'a str>),
    pub report: &'a mut Report,
    pub output: Output,
}

impl Trial<'_> {
    async fn run(&mut self, file: &Path) -> anyhow::Result<()> {
        let before = self.read(file).await?;
        let archive = self.upload(file).await?;
        self.inspect(&archive, &before).await?;
        if self.into.is_some() || self.mode.is_some() {
            return Box::pin(self.restore_itself(file, &archive)).await;
        }
        let part = matches!(archive.r#type(), ArchiveType::Section | ArchiveType::Activity);
        if part && !self.choices.is_empty() {
            let made = self.convert(&archive.name, self.choices).await?;
            return self.fetch_made(&made, self.out_backup.or(self.out)).await;
        }
        if archive.r#type() != ArchiveType::Course {
            let kind = word(archive.r#type().as_str_name(), "ARCHIVE_TYPE_");
            self.output.note(&format!("{}: a {kind} is no course: it comes out as it is", file.display()));
            let source = Fetchable::Archive(archive.name.parse()?);
            return self.fetch_both(&kind, &source, self.out, &before).await;
        }
        let course = self.course("course")?;
        self.publish(&course, &archive.name).await?;
        let backup = self.backup(&course).await?;
        if self.format == Format::Imscc {
            self.output.note("a cartridge is no backup of everything: it is not restored into a new course");
            return self.fetch_made(&backup, self.out_backup.or(self.out)).await;
        }
        if self.choices.item.is_some() {
            self.output.note("an archive of a part is no course: it is not restored into a new one");
            return self.fetch_made(&backup, self.out_backup.or(self.out)).await;
        }
        let restored = self.restore(&backup).await?;
        // With everything in it a backup is what was published, member for member; otherwise what the server says it is.
        let expected = if self.choices.is_empty() { before } else { self.listed(&backup).await? };
        let source = Fetchable::Archive(backup.parse()?);
        self.fetch_both("backup", &source, self.out_backup, &expected).await?;
        self.fetch_restored(&backup, &Fetchable::Course(restored)).await
    }

    /// Every archive gets courses of its own.
    pub fn course(&self, word: &str) -> anyhow::Result<CourseName> {
        let course: CourseId = format!("{word}-{}", self.number).parse()?;
        Ok(CourseName { site: self.server.site.clone(), course })
    }

    pub async fn read(&mut self, file: &Path) -> anyhow::Result<Members> {
        let started = Instant::now();
        let members = read_members(file).await?;
        self.report.done(
            "read here",
            started,
            upload::local_size(file),
            &format!("{} members", members.len()),
        );
        Ok(members)
    }

    pub async fn upload(&mut self, file: &Path) -> anyhow::Result<proto::Archive> {
        let started = Instant::now();
        let size = upload::local_size(file);
        let progress = Progress::bytes(self.output, "upload", size);
        let place = upload::Place {
            site: self.server.site_name(),
            area: proto::Area::DropZone,
            course: String::new(),
        };
        let stored = upload::send(self.server, file, &place, None, &progress).await?;
        let archive = stored.archive.context("the server stored no archive")?;
        let kind = word(archive.r#type().as_str_name(), "ARCHIVE_TYPE_");
        self.report.done("upload", started, size, &kind);
        Ok(archive)
    }

    /// What the server says of the archive must be what is in the file.
    async fn inspect(&mut self, archive: &proto::Archive, before: &Members) -> anyhow::Result<()> {
        let started = Instant::now();
        let told = inspect::of_stored(self.server, &archive.name).await?;
        let bytes: u64 = before.values().map(|content| content.size).sum();
        let same = u64::try_from(told.member_count) == Ok(before.len() as u64)
            && u64::try_from(told.content_bytes) == Ok(bytes);
        let result = match told.findings.len() {
            _ if !same => format!("DIFFERS: {} members, {} bytes", told.member_count, told.content_bytes),
            0 => "same".to_owned(),
            findings => format!("same, {findings} findings"),
        };
        self.report.checked("inspect", started, "number and size of members", same, &result);

        let started = Instant::now();
        let listed = listing::members(self.server, &archive.name, "").await?;
        let listed = listed.iter().map(content_of).collect::<anyhow::Result<Members>>()?;
        self.report.compared("members", started.elapsed(), 0, &compare(before, &listed));
        Ok(())
    }

    pub async fn publish(&mut self, course: &CourseName, archive: &str) -> anyhow::Result<()> {
        let started = Instant::now();
        let published = courses::make_live(self.server, course, archive).await?;
        let revision = published.revision.context("the server published nothing")?;
        let bytes = u64::try_from(revision.content_bytes)?;
        self.report.done("publish", started, bytes, revision.name.as_str());
        Ok(())
    }

    async fn backup(&mut self, course: &CourseName) -> anyhow::Result<String> {
        let started = Instant::now();
        let mut options = self.choices.options()?;
        if self.choices.is_empty() {
            // All as it is, also what Moodle leaves of people in an archive without users.
            options.settings.get_or_insert_default().preset = BuiltInPreset::Everything.to_string();
            options.compatibility = proto::Compatibility::Moodle.into();
        }
        let job = courses::start_backup(self.server, course.to_string(), None, options).await?;
        let job = self.wait(job).await?;
        let bytes = job.progress.map_or(0, |progress| u64::try_from(progress.bytes_done).unwrap_or(0));
        let archive = job.result.unwrap_or_default().archive;
        self.report.done("backup", started, bytes, &archive);
        Ok(archive)
    }

    pub async fn convert(&mut self, archive: &str, choices: &Choices) -> anyhow::Result<String> {
        let started = Instant::now();
        let request = proto::ConvertArchiveRequest {
            name: archive.to_owned(),
            options: Some(choices.options()?),
            ..Default::default()
        };
        let job = self.server.backups().convert_archive(request).await?.into_inner().job;
        let job = self.wait(job).await?;
        let made = job.result.unwrap_or_default().archive;
        self.report.done("convert", started, 0, &made);
        Ok(made)
    }

    /// Both containers of an archive that the server made, each compared with what the server says of it.
    pub async fn fetch_made(&mut self, archive: &str, keep: Option<&Path>) -> anyhow::Result<()> {
        let expected = self.listed(archive).await?;
        let source = Fetchable::Archive(archive.parse()?);
        self.fetch_both("backup", &source, keep, &expected).await
    }

    async fn listed(&self, archive: &str) -> anyhow::Result<Members> {
        listing::members(self.server, archive, "").await?.iter().map(content_of).collect()
    }

    async fn restore(&mut self, archive: &str) -> anyhow::Result<CourseName> {
        let started = Instant::now();
        let course = self.course("restored")?;
        let target = proto::NewCourse { course_id: course.course.to_string(), category: None };
        let request = proto::CreateRestoreRequest {
            archive: archive.to_owned(),
            target: Some(proto::create_restore_request::Target::NewCourse(target)),
            options: Some(proto::RestoreOptions {
                // All as it is, as in the backup.
                compatibility: proto::Compatibility::Moodle.into(),
                settings: Some(proto::RestoreSettings {
                    enrolments: proto::EnrolmentMethods::Always.into(),
                    ..proto::RestoreSettings::default()
                }),
                ..proto::RestoreOptions::default()
            }),
            request_id: request_id(),
            ..proto::CreateRestoreRequest::default()
        };
        let job = restore::start(self.server, request).await?;
        let job = self.wait(job).await?;
        let bytes = job.progress.map_or(0, |progress| u64::try_from(progress.bytes_done).unwrap_or(0));
        let restored = job.result.unwrap_or_default().course;
        self.report.done("restore", started, bytes, &restored);
        Ok(restored.parse()?)
    }

    pub async fn wait(&self, job: Option<proto::Job>) -> anyhow::Result<proto::Job> {
        let job = job.context("the server started no job")?;
        let ended = jobs::follow(self.server, &job.name, self.output).await?;
        jobs::check(&ended)?;
        Ok(ended)
    }

    /// Both containers of `source`, each compared with what went in. The one of --format is kept as `keep`.
    pub async fn fetch_both(
        &mut self,
        what: &str,
        source: &Fetchable,
        keep: Option<&Path>,
        before: &Members,
    ) -> anyhow::Result<()> {
        for (container, word, format) in CONTAINERS {
            let kept = keep.filter(|_| self.is_kept(format)).map(Path::to_owned);
            let target = kept.clone().unwrap_or_else(|| self.download(what, word));
            let started = Instant::now();
            let progress = Progress::bytes(self.output, &format!("{what}, {word}"), 0);
            let fetched =
                Box::pin(download::fetch(self.server, source, container, &target, &progress)).await?;
            let elapsed: Duration = started.elapsed();
            drop(progress);
            let after = read_members(&target).await?;
            self.report.compared(&format!("{what}, {word}"), elapsed, fetched.size, &compare(before, &after));
            if kept.is_none() {
                tokio::fs::remove_file(&target).await?;
            }
        }
        Ok(())
    }

    /// Both containers of a restored course. Everything in it has ids of its own, so each is compared with the backup as if
    /// ids did not matter.
    async fn fetch_restored(&mut self, backup: &str, restored: &Fetchable) -> anyhow::Result<()> {
        let original = self.download("backup", "original");
        let progress = Progress::bytes(self.output, "backup, to compare with", 0);
        let source = Fetchable::Archive(backup.parse()?);
        Box::pin(download::fetch(self.server, &source, proto::Container::Zip, &original, &progress)).await?;
        drop(progress);
        for (container, word, format) in CONTAINERS {
            let kept = self.out.filter(|_| self.is_kept(format)).map(Path::to_owned);
            let target = kept.clone().unwrap_or_else(|| self.download("restored", word));
            let started = Instant::now();
            let progress = Progress::bytes(self.output, &format!("restored, {word}"), 0);
            let fetched =
                Box::pin(download::fetch(self.server, restored, container, &target, &progress)).await?;
            let elapsed = started.elapsed();
            drop(progress);
            let (one, other) = (original.clone(), target.clone());
            let comparing = tokio::task::spawn_blocking(move || {
                compare_run::files(&one, &other, &Options::default(), true)
            });
            let report = comparing.await??;
            self.report.compared_without_ids(&format!("restored, {word}"), elapsed, fetched.size, &report);
            if kept.is_none() {
                tokio::fs::remove_file(&target).await?;
            }
        }
        tokio::fs::remove_file(&original).await?;
        Ok(())
    }

    /// Fetches something, and reads what is in it.
    pub async fn download_whole(&mut self, source: &Fetchable, what: &str) -> anyhow::Result<Members> {
        let target = self.download(what, "zip");
        let progress = Progress::bytes(self.output, what, 0);
        Box::pin(download::fetch(self.server, source, proto::Container::Zip, &target, &progress)).await?;
        drop(progress);
        let members = read_members(&target).await?;
        tokio::fs::remove_file(&target).await?;
        Ok(members)
    }

    /// Whether the file of that container is the one of --format.
    fn is_kept(&self, format: Format) -> bool {
        proto::Container::from(format) == proto::Container::from(self.format)
    }

    fn download(&self, what: &str, word: &str) -> PathBuf {
        self.downloads.join(format!("{what}-{}.{word}", self.number))
    }
}

/// A member as the server lists it.
fn content_of(member: &proto::ArchiveMember) -> anyhow::Result<(MemberPath, Content)> {
    let path = MemberPath::parse(&member.path, &Limits::default())?;
    Ok((path, Content { size: u64::try_from(member.size_bytes)?, digest: member.blake3.parse()? }))
}

/// Reads an archive beside the other work.
async fn read_members(file: &Path) -> anyhow::Result<Members> {
    let file = file.to_owned();
    tokio::task::spawn_blocking(move || local::members(&file)).await?
}
