//! Arguments of the commands that list and manage archives and sites.

use super::args::Area;

/// Which archives `ls` lists.
#[derive(Debug, clap::Args)]
pub struct Archives {
    /// Only those of this course.
    #[arg(long, value_name = "ID")]
    pub course: Option<String>,
    /// Only those in this area.
    #[arg(long, value_enum)]
    pub area: Option<Area>,
    /// Deleted ones too.
    #[arg(long)]
    pub deleted: bool,
    /// Only those that others made available to you.
    #[arg(long)]
    pub shared: bool,
    /// Only those for which this holds, such as 'size_bytes > 1000000 AND (area = COURSE OR file_name : "-nu")'.
    #[arg(long, value_name = "FILTER", default_value = "")]
    pub filter: String,
    /// Their order: create_time, size_bytes, name, each with ` desc` if wanted. Default: newest first.
    #[arg(long, value_name = "ORDER", default_value = "")]
    pub order: String,
}

/// Arguments of `hold`.
#[derive(Debug, clap::Args)]
pub struct Hold {
    /// The archive.
    pub archive: String,
    /// Why, for the record.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Release the hold.
    #[arg(long)]
    pub release: bool,
}

/// Arguments of `share`.
#[derive(Debug, clap::Args)]
pub struct Share {
    /// The archive.
    pub archive: String,
    /// To whom.
    pub principal: String,
    /// For so many days.
    #[arg(long, value_name = "N", default_value_t = 7, conflicts_with_all = ["until", "end"])]
    pub days: u32,
    /// Until then: a time such as 2026-01-31T00:00:00Z.
    #[arg(long, value_name = "TIME", conflicts_with = "end")]
    pub until: Option<String>,
    /// A word to them.
    #[arg(long, value_name = "TEXT", default_value = "", conflicts_with = "end")]
    pub note: String,
    /// End it at once.
    #[arg(long)]
    pub end: bool,
}

/// Arguments of `site`. Without any it is shown.
#[derive(Debug, clap::Args)]
pub struct SiteChange {
    /// Its name for people.
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Language of the file names made from now on: en or fr.
    #[arg(long, value_name = "LANGUAGE")]
    pub language: Option<String>,
    /// Time zone of the file names made from now on, such as Europe/Paris.
    #[arg(long, value_name = "ZONE")]
    pub time_zone: Option<String>,
    /// Hash of the identifier of the platform that it stands for; nothing to forget it.
    #[arg(long, value_name = "HASH")]
    pub identifier_hash: Option<String>,
    /// Address of the platform that it stands for; nothing to forget it.
    #[arg(long, value_name = "URL")]
    pub wwwroot: Option<String>,
}

/// What `users` does.
#[derive(Debug, clap::Subcommand)]
pub enum UserAction {
    /// Bring accounts in from a table with headings.
    ///
    /// Columns: id, username, and of those that are there email, idnumber, firstname, lastname, firstaccess (seconds since 1970),
    /// deleted (0 or 1), auth, mnethostid. Others are passed over. Rows that cannot be kept are told and left out.
    Import {
        /// The table, as comma-separated values; `-` for standard input.
        file: String,
        /// Only tell what would become of the rows.
        #[arg(long)]
        dry_run: bool,
    },
    /// Accounts that are known, by id.
    Ls(UserFilter),
}

/// Which accounts `users ls` lists.
#[derive(Debug, clap::Args)]
pub struct UserFilter {
    /// Only those of this user name.
    #[arg(long, value_name = "NAME", default_value = "")]
    pub name: String,
    /// Only those of this address, whatever the case of letters.
    #[arg(long, value_name = "ADDRESS", default_value = "")]
    pub email: String,
    /// Only those of this id number.
    #[arg(long, value_name = "NUMBER", default_value = "")]
    pub id_number: String,
    /// Those that the platform deleted, too.
    #[arg(long)]
    pub deleted: bool,
}

/// What `policy` does.
#[derive(Debug, clap::Subcommand)]
pub enum PolicyAction {
    /// The policies of the site.
    Ls,
    /// Make a policy, or change the one of that id as a whole.
    Set {
        /// Its id.
        id: String,
        /// For what it is, and what it asks for.
        #[command(flatten)]
        rules: PolicyRules,
    },
    /// Forget a policy.
    Rm {
        /// Its id.
        id: String,
    },
    /// What would expire.
    Preview {
        /// As it will be in so many days.
        #[arg(long, value_name = "N", default_value_t = 0)]
        days: i64,
        /// What stays, too, and why.
        #[arg(long)]
        all: bool,
    },
    /// Look at all archives now.
    Run,
}

/// For what a policy is, and what it asks for.
#[derive(Debug, clap::Args)]
pub struct PolicyRules {
    /// Only for archives in this area.
    #[arg(long, value_enum)]
    pub area: Option<Area>,
    /// Only for archives of courses in this category, by the platform's id of it.
    #[arg(long, value_name = "ID", default_value = "")]
    pub category: String,
    /// Only for archives of this course.
    #[arg(long, value_name = "ID")]
    pub course: Option<String>,
    /// Keep the newest so many.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub keep_last: i32,
    /// Keep all that are not older.
    #[arg(long, value_name = "DAYS")]
    pub keep_days: Option<i32>,
    /// Keep the newest of each of so many days.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub daily: i32,
    /// Keep the newest of each of so many weeks.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub weekly: i32,
    /// Keep the newest of each of so many months.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub monthly: i32,
    /// Keep the newest of each of so many years.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub yearly: i32,
    /// Nothing stays longer.
    #[arg(long, value_name = "DAYS")]
    pub max_days: Option<i32>,
    /// Never fewer good ones.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub keep_at_least: i32,
    /// Nothing younger expires or is purged.
    #[arg(long, value_name = "DAYS")]
    pub legal_days: Option<i32>,
}

/// What `schedule` does.
#[derive(Debug, clap::Subcommand)]
pub enum ScheduleAction {
    /// Start now: backups of these courses, or the turn of all that changed.
    Run {
        /// The courses.
        courses: Vec<String>,
    },
    /// Nothing happens by itself from now on.
    Pause,
    /// It happens by itself again.
    Resume,
}
