//! The arguments of the command line, as clap reads them. Knows no server and prints nothing.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use secrecy::SecretString;

pub use super::args_manage::{
    Archives, Hold, PolicyAction, PolicyRules, ScheduleAction, Share, SiteChange, UserAction, UserFilter,
};
use super::choices::Choices;
use crate::ids::{CourseId, SiteId};
use crate::proto;

/// Backup and restore of course spaces on Moodle's archive format.
///
/// Exit codes: 0 done, 1 failed, 2 refused by the server, 64 bad usage.
#[derive(Debug, Parser)]
#[command(name = "coursevault", version, disable_help_subcommand = true)]
pub struct Args {
    /// What holds for every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options that every command takes.
#[derive(Debug, clap::Args)]
pub struct Global {
    /// The server. Default: that of the profile, else http://127.0.0.1:50051.
    #[arg(long, global = true, env = "COURSEVAULT_SERVER", value_name = "URL")]
    pub server: Option<String>,
    /// The site that short names belong to. Default: that of the profile, else main.
    #[arg(long, global = true, env = "COURSEVAULT_SITE")]
    pub site: Option<SiteId>,
    /// A server by its name in ~/.config/coursevault/profiles.toml.
    #[arg(long, global = true, env = "COURSEVAULT_PROFILE", value_name = "NAME")]
    pub profile: Option<String>,
    /// Token to show to the server; better given in the environment, where other users do not see it.
    #[arg(long, global = true, env = "COURSEVAULT_TOKEN", hide_env_values = true)]
    pub token: Option<SecretString>,
    /// Print one JSON document on standard output, and errors as JSON on standard error.
    #[arg(long, global = true)]
    pub json: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the service.
    Serve(Serve),
    /// Make the catalog anew from the storages alone. No server may run; the catalog must be empty (a new data folder, or a new
    /// database).
    Rebuild(Rebuild),
    /// Bring the schema of the catalog up to date and leave. The service does so when it starts, too.
    Migrate(Serve),
    /// Tell whether a server serves, and which of its services. Exit code 1 when it does not.
    Health,
    /// Write the completions for a shell to standard output.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Run the main job for archives on a throw-away server and compare every byte that comes out.
    Try(Try),
    /// Show what an archive says of itself: a local file, or an archive on the server.
    Inspect {
        /// A file, an archive's id, or `sites/…/archives/…`.
        archive: String,
    },
    /// Tell where two archives differ, document by document: local files without a server, or archives on it.
    ///
    /// Exit codes: 0 the same, 1 different, 2 an archive cannot be read.
    Compare(Compare),
    /// Send archives. Goes on where it was after a cut connection.
    Upload(Upload),
    /// Send every archive of a folder once. With --watch it takes over a folder into which a platform writes its backups.
    Push(Push),
    /// Make a backup of a course's live state.
    Backup(Backup),
    /// Make a new course of a course.
    Copy(Copy),
    /// Merge what is chosen of a course into another one.
    Import(Import),
    /// Make an archive of another one, with other settings: without users, anonymised, or of a part.
    Convert(Convert),
    /// Check every byte of archives. Exit code 1 when something is damaged.
    Verify(Verify),
    /// Clear the storages of what nobody needs; with --dry-run only tell what would go.
    Gc(Gc),
    /// Restore an archive, or a local file, into a new course or one that is there.
    Restore(Box<super::restore::Restore>),
    /// Undo a restore.
    Rollback {
        /// The restore's job.
        job: String,
        /// Wait until it is done.
        #[arg(long)]
        wait: bool,
    },
    /// Make a stored archive the live state of a course.
    Publish {
        /// The course; it is made when it is not there.
        course: String,
        /// The archive.
        archive: String,
    },
    /// List what the server holds.
    #[command(args_conflicts_with_subcommands = true)]
    Ls {
        /// What to list; archives when not given.
        #[command(subcommand)]
        what: Option<Listing>,
        /// Which archives.
        #[command(flatten)]
        archives: Archives,
    },
    /// Fetch an archive or a course. Goes on with a partial file and verifies what it got.
    Get(Get),
    /// Write one member of an archive to standard output.
    Cat {
        /// The archive.
        archive: String,
        /// Path of the member.
        path: String,
    },
    /// Write something about an archive; nothing to take it away.
    Describe {
        /// The archive.
        archive: String,
        /// What to write.
        #[arg(default_value = "")]
        description: String,
    },
    /// Hold an archive: it can be neither deleted nor purged, and never expires; or release it.
    Hold(Hold),
    /// Make an archive available to somebody for a time, or end that.
    Share(Share),
    /// Delete an archive; it can be undeleted for a while.
    Rm {
        /// The archive.
        archive: String,
    },
    /// Take the deletion of an archive back.
    Undelete {
        /// The archive.
        archive: String,
    },
    /// Jobs: list, show, cancel, retry.
    Jobs {
        /// What to do; list when not given.
        #[command(subcommand)]
        action: Option<JobAction>,
    },
    /// Follow a job until it ends.
    Watch {
        /// The job.
        job: String,
    },
    /// Show the site, or change its name, language and time zone of its file names, or the platform that it stands for.
    Site(SiteChange),
    /// Who is known on the site: import, list.
    #[command(arg_required_else_help = true)]
    Users {
        /// What to do.
        #[command(subcommand)]
        action: UserAction,
    },
    /// How long archives are kept.
    #[command(arg_required_else_help = true)]
    Policy {
        /// What to do.
        #[command(subcommand)]
        action: PolicyAction,
    },
    /// When courses are backed up by themselves. Without an action it is shown.
    Schedule {
        /// What to do.
        #[command(subcommand)]
        action: Option<ScheduleAction>,
    },
    /// What the site holds and what that takes in storage.
    Report,
    /// Version and limits of the server.
    Info,
}

/// Arguments of `serve`.
#[derive(Debug, clap::Args)]
pub struct Serve {
    /// Configuration file (TOML).
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Address to listen on.
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
    /// What this process does; api and worker need PostgreSQL.
    #[arg(long, value_enum)]
    pub role: Option<ServeRole>,
    /// Folder for everything that is kept without other configuration.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

/// Arguments of `rebuild`.
#[derive(Debug, clap::Args)]
pub struct Rebuild {
    /// Where catalog and storages are, as for `serve`.
    #[command(flatten)]
    pub serve: Serve,
    /// Take the storages over from the deployments that claim them. Their servers must be stopped for good.
    #[arg(long)]
    pub take_over: bool,
}

/// What a process does, as the configuration's `role`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ServeRole {
    /// Answers calls and runs jobs.
    All,
    /// Answers calls only.
    Api,
    /// Runs jobs only.
    Worker,
}

impl ServeRole {
    /// Its word in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Api => "api",
            Self::Worker => "worker",
        }
    }
}

/// Arguments of `try`.
#[derive(Debug, clap::Args)]
pub struct Try {
    /// Local archives.
    #[arg(required = true, value_name = "ARCHIVE")]
    pub archives: Vec<PathBuf>,
    /// Keep the archive that the backup made. With one ARCHIVE only.
    #[arg(long, value_name = "FILE")]
    pub out_backup: Option<PathBuf>,
    /// Keep the course after the restore. With one ARCHIVE only.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Container of the files that are kept.
    #[arg(long, value_enum, default_value_t = Format::MbzZip)]
    pub format: Format,
    /// Keep the server's folder and say where it is.
    #[arg(long)]
    pub keep: bool,
    /// Restore each archive itself into this course, instead of a backup of it into a new one: an archive of a course.
    /// Settings and selection are then those of the restore.
    #[arg(long, value_name = "TARGET")]
    pub into: Option<PathBuf>,
    /// Where each archive itself is restored to. Default with --into: merge. Without --into the target is the course that the
    /// archive is of.
    #[arg(long, value_enum)]
    pub mode: Option<super::restore::TryMode>,
    /// With --into or --mode: what becomes of a user of the archive, such as 7=match:42, 7=create:name, 7=drop. Repeatable.
    #[arg(long, value_name = "USER=WHAT", help_heading = "Settings")]
    pub user: Vec<String>,
    /// With --into or --mode: the same for many users, a table with the columns `user` and `decision`.
    #[arg(long, value_name = "FILE", help_heading = "Settings")]
    pub users: Option<String>,
    /// Settings and selection of the backup. Without any, everything is in it as it is; with some, the others have Moodle's defaults.
    #[command(flatten)]
    pub choices: Choices,
}

/// Arguments of `compare`.
#[derive(Debug, clap::Args)]
pub struct Compare {
    /// A file; or an archive's id, `sites/…/archives/…`, or a course's revision (`COURSE/revisions/N`).
    pub a: String,
    /// The other one: a file if A is one.
    pub b: String,
    /// Demand the same bytes. Default: let pass what a platform writes differently each time, and tell how much.
    #[arg(long)]
    pub exact: bool,
    /// List at most this many differences; all are counted.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub limit: u32,
    /// Let pass log rows that one archive has beyond the last one of the other.
    #[arg(long, conflicts_with = "exact")]
    pub ignore_new_log_rows: bool,
    /// Compare whatever ids they have: an archive equals the course that was restored of it.
    #[arg(long, conflicts_with = "exact")]
    pub ignore_ids: bool,
}

/// Arguments of `upload`.
#[derive(Debug, clap::Args)]
pub struct Upload {
    /// Local archives.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The course they belong to.
    #[arg(long, value_name = "ID")]
    pub course: Option<String>,
    /// Where to keep them. Default: course with --course, else drop-zone.
    #[arg(long, value_enum)]
    pub area: Option<Area>,
    /// Make the archive the live state of --course.
    #[arg(long, requires = "course")]
    pub publish: bool,
    /// Go on with this upload session, of an earlier run. With one FILE only.
    #[arg(long, value_name = "UPLOAD")]
    pub resume: Option<String>,
}

/// Arguments of `push`.
#[derive(Debug, clap::Args)]
pub struct Push {
    /// The folder. What was sent is written down in it, in .coursevault-push.jsonl.
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// Go on until stopped: a file is sent when it looked the same twice within ten seconds.
    #[arg(long)]
    pub watch: bool,
    /// What to do with a file that is stored and verified.
    #[arg(long, value_enum, default_value_t = After::Keep)]
    pub after: After,
    /// The course of the archives; {id} stands for the number that Moodle wrote into the file's name.
    #[arg(long, value_name = "ID")]
    pub course: Option<String>,
    /// Where to keep them. Default: course with --course, else drop-zone.
    #[arg(long, value_enum)]
    pub area: Option<Area>,
}

/// What becomes of a file that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum After {
    /// It stays.
    Keep,
    /// It goes, once the server has stored it under the digest of what was read.
    Remove,
}

/// Arguments of `verify`.
#[derive(Debug, clap::Args)]
pub struct Verify {
    /// The archive.
    #[arg(required_unless_present = "all")]
    pub archive: Option<String>,
    /// All archives of the site; of those that were not checked for the longest time only --count.
    #[arg(long, conflicts_with = "archive")]
    pub all: bool,
    /// With --all: so many at most.
    #[arg(long, value_name = "N", requires = "all", default_value_t = 0)]
    pub count: i32,
    /// Do not wait until it is done.
    #[arg(long)]
    pub detach: bool,
}

/// Arguments of `gc`.
#[derive(Debug, clap::Args)]
pub struct Gc {
    /// Only tell what would go.
    #[arg(long)]
    pub dry_run: bool,
    /// What is younger stays, in hours. Default: the server's, one day.
    #[arg(long, value_name = "HOURS")]
    pub min_age: Option<u32>,
    /// Go on though most of what is stored would go.
    #[arg(long)]
    pub accept_most: bool,
}

/// Arguments of `backup`.
#[derive(Debug, clap::Args)]
pub struct Backup {
    /// The course.
    pub course: String,
    /// Where to keep the archive: course or private. Default: course.
    #[arg(long, value_enum)]
    pub area: Option<Area>,
    /// Wait until it is done.
    #[arg(long)]
    pub wait: bool,
    /// Only show what would be in it and what would not, and why.
    #[arg(long, conflicts_with = "wait")]
    pub plan: bool,
    /// What comes out. Default: mbz.
    #[arg(long, value_enum)]
    pub format: Option<BackupFormat>,
    /// Settings and selection.
    #[command(flatten)]
    pub choices: Choices,
}

/// Arguments of `copy`.
#[derive(Debug, clap::Args)]
pub struct Copy {
    /// The course.
    pub course: String,
    /// Id of the new course. Default: the server makes one.
    #[arg(long, value_name = "ID")]
    pub course_id: Option<CourseId>,
    /// Its full name. Default: that of the course, made unique.
    #[arg(long, value_name = "NAME")]
    pub full_name: Option<String>,
    /// Its short name. Default: that of the course, made unique.
    #[arg(long, value_name = "NAME")]
    pub short_name: Option<String>,
    /// The day on which it starts (UTC), such as 2027-09-01: all dates of the contents move with it. Default: that of the course.
    #[arg(long, value_name = "DAY")]
    pub start: Option<chrono::NaiveDate>,
    /// Wait until it is done.
    #[arg(long)]
    pub wait: bool,
    /// Settings and selection. Default: without users.
    #[command(flatten)]
    pub choices: Choices,
}

/// Arguments of `import`.
#[derive(Debug, clap::Args)]
pub struct Import {
    /// The course into which.
    pub course: String,
    /// The course from which.
    #[arg(value_name = "SOURCE")]
    pub source_course: String,
    /// Wait until it is done.
    #[arg(long)]
    pub wait: bool,
    /// Settings and selection, of the source. Default: everything that an import can hold, which is never a user.
    #[command(flatten)]
    pub choices: Choices,
}

/// Arguments of `convert`.
#[derive(Debug, clap::Args)]
pub struct Convert {
    /// The archive.
    pub archive: String,
    /// Where to keep the new archive: course or private. Default: private.
    #[arg(long, value_enum)]
    pub area: Option<Area>,
    /// Wait until it is done.
    #[arg(long)]
    pub wait: bool,
    /// Only show what would be in it and what would not, and why.
    #[arg(long, conflicts_with = "wait")]
    pub plan: bool,
    /// What comes out. Default: mbz.
    #[arg(long, value_enum)]
    pub format: Option<BackupFormat>,
    /// Settings and selection. Unset settings are on, as with --preset everything.
    #[command(flatten)]
    pub choices: Choices,
}

/// Arguments of `get`.
#[derive(Debug, clap::Args)]
pub struct Get {
    /// An archive, a course, or a course's revision (`COURSE/revisions/N`).
    #[arg(value_name = "ARCHIVE|COURSE")]
    pub source: String,
    /// The file to write.
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// Container of the file. Default: the archive's own; zip for a course.
    #[arg(long, value_enum)]
    pub format: Option<Format>,
}

/// What `ls` lists.
#[derive(Debug, Subcommand)]
pub enum Listing {
    /// Archives of the site, newest first.
    Archives(Archives),
    /// Courses of the site.
    Courses {
        /// Only those that have this in full name, short name or id number, whatever the case of letters.
        #[arg(default_value = "", value_name = "TEXT")]
        search: String,
        /// Deleted ones too.
        #[arg(long)]
        deleted: bool,
    },
    /// Sites that you may see.
    Sites,
    /// Revisions of a course, newest first.
    Revisions {
        /// The course.
        course: String,
    },
    /// Members of an archive.
    Members {
        /// The archive.
        archive: String,
        /// Only members whose path starts so.
        #[arg(long, value_name = "PATH", default_value = "")]
        prefix: String,
    },
}

/// What `jobs` does.
#[derive(Debug, Subcommand)]
pub enum JobAction {
    /// Jobs of the site, newest first.
    List {
        /// Only those in this state.
        #[arg(long, value_enum)]
        state: Option<JobState>,
        /// Only those of this kind.
        #[arg(long, value_enum)]
        kind: Option<JobKind>,
        /// Only those on this course.
        #[arg(long, value_name = "ID")]
        course: Option<String>,
    },
    /// One job with all it tells.
    Show {
        /// The job.
        job: String,
    },
    /// Ask a job to stop.
    Cancel {
        /// The job.
        job: String,
        /// Why, for the record.
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Let a failed or cancelled job run once more.
    Retry {
        /// The job.
        job: String,
    },
}

/// Formats of backups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BackupFormat {
    /// Moodle's own.
    Mbz,
    /// IMS Common Cartridge 1.1, the same as --set imscc11=1.
    Imscc,
}

/// Containers by the names of their formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A zip file.
    MbzZip,
    /// A tar file compressed with gzip.
    MbzTgz,
    /// An IMS Common Cartridge 1.1: a zip file of another content.
    Imscc,
}

impl From<Format> for proto::Container {
    fn from(format: Format) -> Self {
        match format {
            Format::MbzZip | Format::Imscc => Self::Zip,
            Format::MbzTgz => Self::TarGz,
        }
    }
}

/// Areas by the names that people type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Area {
    /// Uploaded in order to be restored.
    DropZone,
    /// Backups that belong to a course.
    Course,
    /// A person's own.
    Private,
    /// Nightly backups, for administrators.
    Automated,
}

impl From<Area> for proto::Area {
    fn from(area: Area) -> Self {
        match area {
            Area::DropZone => Self::DropZone,
            Area::Course => Self::Course,
            Area::Private => Self::Private,
            Area::Automated => Self::Automated,
        }
    }
}

/// States of a job, as the proto's Job.State describes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum JobState {
    Pending,
    Running,
    Cancelling,
    Succeeded,
    Failed,
    Cancelled,
}

impl From<JobState> for proto::job::State {
    fn from(state: JobState) -> Self {
        match state {
            JobState::Pending => Self::Pending,
            JobState::Running => Self::Running,
            JobState::Cancelling => Self::Cancelling,
            JobState::Succeeded => Self::Succeeded,
            JobState::Failed => Self::Failed,
            JobState::Cancelled => Self::Cancelled,
        }
    }
}

/// Kinds of jobs, as the proto's Job.Kind describes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum JobKind {
    Ingest,
    Backup,
    Restore,
    Rollback,
    Convert,
    Copy,
    Import,
    Verify,
    Collect,
}

impl From<JobKind> for proto::job::Kind {
    fn from(kind: JobKind) -> Self {
        match kind {
            JobKind::Ingest => Self::Ingest,
            JobKind::Backup => Self::Backup,
            JobKind::Restore => Self::Restore,
            JobKind::Rollback => Self::Rollback,
            JobKind::Convert => Self::Convert,
            JobKind::Copy => Self::Copy,
            JobKind::Import => Self::Import,
            JobKind::Verify => Self::Verify,
            JobKind::Collect => Self::Collect,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use secrecy::ExposeSecret;

    use super::*;

    fn parse(line: &str) -> Result<Args, clap::Error> {
        Args::try_parse_from(std::iter::once("coursevault").chain(line.split(' ')))
    }

    #[test]
    fn the_definition_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn defaults_and_global_options_after_the_command() -> Result<(), clap::Error> {
        let args = parse("ls courses --deleted --json --site lyon")?;
        assert!(args.global.json);
        assert_eq!(args.global.site.as_ref().map(SiteId::as_str), Some("lyon"));
        assert!(matches!(
            args.command,
            Command::Ls { what: Some(Listing::Courses { deleted: true, .. }), .. }
        ));
        assert!(matches!(parse("ls")?.command, Command::Ls { what: None, .. }));
        for line in ["ls --deleted --order name", "ls archives --deleted --order name"] {
            let (Command::Ls { what: None, archives }
            | Command::Ls { what: Some(Listing::Archives(archives)), .. }) = parse(line)?.command
            else {
                panic!("{line} lists no archives");
            };
            assert!(archives.deleted && archives.order == "name", "{line}");
        }
        assert!(matches!(parse("jobs")?.command, Command::Jobs { action: None }));
        Ok(())
    }

    #[test]
    fn a_token_is_never_shown() -> Result<(), clap::Error> {
        let args = parse("info --token s3cret-token")?;
        assert!(!format!("{args:?}").contains("s3cret"));
        assert_eq!(args.global.token.as_ref().map(|t| t.expose_secret()), Some("s3cret-token"));
        Ok(())
    }

    #[test]
    fn bad_usage_is_refused() {
        for bad in [
            "fly",
            "try",
            "upload",
            "upload a.mbz --publish",
            "upload a.mbz --area attic",
            "get x",
            "get x -o y --format rar",
            "restore x --course-id Bad_Id",
            "ls --deleted courses",
            "hold x",
            "share x",
            "share x lms --days 1 --until 2026-01-31T00:00:00Z",
            "share x lms --days many",
            "share x lms --end --days 1",
            "serve --listen nowhere",
            "info --site UPPER",
            "jobs list --state done",
            "compare a.mbz",
            "compare a.mbz b.mbz --limit many",
            "compare a.mbz b.mbz --exact --ignore-new-log-rows",
        ] {
            assert!(parse(bad).is_err_and(|error| error.use_stderr()), "{bad}");
        }
    }
}
