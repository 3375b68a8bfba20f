//! Deriving an archive from a fuller one: the settings of a backup applied to the live state of a course.
//!
//! Everything is subtractive: a document of the result is the original, or the original with elements removed and constants
//! put in. What the descriptions of [`format`](crate::format) say about a document decides over it; this module knows only
//! what lies between documents: which exist, in which order Moodle's tasks run and so which list of references gets what,
//! and which rows of the root documents follow from those lists (reference `derivation`, sections 1 to 7).
//!
//! A *task* is a folder with an `inforef.xml`: the course, a section, an activity, a block. Tasks run in Moodle's order;
//! the documents at the root come last. Documents that do not change are kept, not written again.
//!
//! Pure: members come from [`Members`](crate::course::Members) and go to a [`Sink`].

mod error;
mod files;
mod inforef;
mod lists;
mod manifest;
mod report;
mod root;
mod sink;
mod task;
#[cfg(test)]
mod tests;

pub use error::DeriveError;
pub use manifest::described;
pub use report::Derived;
pub use sink::{Document, Sink};

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::backup::{Compatibility, Effective, Setting};
use crate::course::{Member, MemberPath, Members};
use crate::format::{Conditions, Format, Switch};
use crate::limits::Limits;
use crate::moodle::Manifest;

/// What is derived, and how.
#[derive(Clone, Debug)]
pub struct Request<'q> {
    /// The format.
    pub format: &'q Format,
    /// Settings and selection.
    pub effective: &'q Effective,
    /// Whose rules count where Moodle leaks or loses.
    pub compatibility: Compatibility,
    /// Activities of unknown plugins that come along as they are, by name.
    pub accepted: &'q BTreeSet<String>,
    /// Take passwords, keys and shared secrets out. Moodle leaves them in.
    pub without_secrets: bool,
    /// Nobody is to be hidden, for the source holds no user data: what it tells of people stays as it is.
    pub people_stay: bool,
    /// Look into documents that cannot change too, to count what is in them.
    pub counting: bool,
    /// What the archive says of itself.
    pub label: Label,
    /// What is set anew in a copy.
    pub adjust: &'q Adjust,
    /// Bounds of documents.
    pub limits: &'q Limits,
}

/// What a copy of a course has of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Adjust {
    /// Its full name; the original's if none.
    pub full_name: Option<String>,
    /// Its short name; the original's if none.
    pub short_name: Option<String>,
    /// Seconds by which the dates of the contents move.
    pub date_offset: i64,
    /// Name of the category that it is in; the original's if none.
    pub category_name: Option<String>,
}

impl Adjust {
    /// Values of documents, by path.
    fn values(&self) -> Vec<(&'static str, &str)> {
        let all = [
            ("/course/fullname", &self.full_name),
            ("/course/shortname", &self.short_name),
            ("/course/category/name", &self.category_name),
        ];
        all.into_iter().filter_map(|(path, name)| Some((path, name.as_deref()?))).collect()
    }
}

/// What an archive says of itself in `moodle_backup.xml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// File name.
    pub file_name: String,
    /// When it was made, in seconds since 1970.
    pub time: i64,
    /// Moodle's id of a backup: 32 hexadecimal digits.
    pub backup_id: String,
}

/// Derives an archive from `source`, whose `moodle_backup.xml` says `base`.
///
/// # Errors
///
/// [`DeriveError`], which names the document; what the sink got until then is worthless.
pub fn derive(
    request: &Request<'_>,
    source: &dyn Members,
    base: &Manifest,
    sink: &mut dyn Sink,
) -> Result<Derived, DeriveError> {
    let members = source.members().map_err(DeriveError::List)?;
    Deriving::new(request, source, base, &members, sink)?.run()
}

/// A derivation on its way.
struct Deriving<'d> {
    request: &'d Request<'d>,
    format: &'d Format,
    source: &'d dyn Members,
    base: &'d Manifest,
    sink: &'d mut dyn Sink,
    /// What is on outside of activities.
    on: Conditions,
    /// Documents by folder; the root's folder is empty.
    folders: BTreeMap<&'d str, Vec<&'d Member>>,
    /// Members below `files/`.
    contents: Vec<&'d Member>,
    kinds: lists::Kinds,
    files: files::FileTable,
    /// What spans tasks: groups of groupings, scales of outcomes.
    links: lists::Links,
    /// What all `inforef.xml` of the result list together.
    listed: lists::Lists,
    /// What documents named after their folder's `inforef.xml` was made; the next task lists it.
    late: lists::Lists,
    /// The next task's list must be made anew: a late document stands before it.
    after_late: bool,
    /// Make every task's list anew, whatever changed. For tests.
    always_anew: bool,
    /// Whether documents could change, by description (its address) and conditions.
    changeable: HashMap<(usize, Conditions), bool>,
    report: Derived,
}

impl<'d> Deriving<'d> {
    fn new(
        request: &'d Request<'d>,
        source: &'d dyn Members,
        base: &'d Manifest,
        members: &'d [Member],
        sink: &'d mut dyn Sink,
    ) -> Result<Self, DeriveError> {
        let mut folders: BTreeMap<&str, Vec<&Member>> = BTreeMap::new();
        let mut contents = Vec::new();
        for member in members {
            let path = member.path.as_str();
            if path.starts_with("files/") {
                contents.push(member);
            } else {
                let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
                folders.entry(folder).or_default().push(member);
            }
        }
        Ok(Self {
            format: request.format,
            on: conditions(request),
            kinds: lists::Kinds::of(request.format),
            files: files::FileTable::default(),
            links: lists::Links::default(),
            listed: lists::Lists::default(),
            late: lists::Lists::default(),
            after_late: false,
            always_anew: false,
            changeable: HashMap::new(),
            report: Derived::default(),
            request,
            source,
            base,
            sink,
            folders,
            contents,
        })
    }

    fn run(mut self) -> Result<Derived, DeriveError> {
        self.read_lists()?;
        self.run_tasks()?;
        self.run_root()?;
        Ok(self.report)
    }

    fn is_on(&self, setting: Setting) -> bool {
        self.request.effective.is_on(setting)
    }

    fn strict(&self) -> bool {
        self.request.compatibility == Compatibility::Strict
    }

    /// Whether what nobody described may be about people who must not be told.
    fn hides_people(&self, on: Conditions) -> bool {
        !on.has(Switch::Users) || !on.has(Switch::NotAnonymized) || !on.has(Switch::Userinfo)
    }

    /// The root's document of that name.
    fn root_document(&self, name: &str) -> Option<&'d Member> {
        self.folders.get("")?.iter().find(|member| member.path.as_str() == name).copied()
    }

    fn keep(&mut self, member: &Member) -> Result<(), DeriveError> {
        self.report.members_kept += 1;
        self.sink.keep(member).map_err(|error| DeriveError::output(&member.path, error))
    }

    fn left_out(&mut self, member: &Member) {
        self.report.members_left_out += 1;
        self.report.bytes_left_out += member.size;
    }

    fn write(&mut self, path: &MemberPath, bytes: &[u8]) -> Result<(), DeriveError> {
        self.report.members_written += 1;
        self.sink.write(path, bytes).map_err(|error| DeriveError::output(path, error))
    }

    /// Course modules that are in.
    fn included_modules(&self) -> HashSet<i64> {
        let included = self.base.activities.iter().filter(|activity| {
            let name = format!("{}_{}", activity.module_name, activity.module_id);
            self.request.effective.item(&name).is_some_and(|item| item.included.value)
        });
        included.map(|activity| activity.module_id).collect()
    }
}

/// What is on outside of activities. There `userinfo` equals `users`.
fn conditions(request: &Request<'_>) -> Conditions {
    let is_on = |switch: Switch| match switch {
        Switch::Userinfo | Switch::Users => request.people_stay || request.effective.is_on(Setting::Users),
        Switch::NotAnonymized => !request.effective.is_on(Setting::Anonymize),
        Switch::Secrets => !request.without_secrets,
        other => other.as_str().parse::<Setting>().is_ok_and(|setting| request.effective.is_on(setting)),
    };
    Switch::ALL.iter().copied().filter(|switch| is_on(*switch)).collect()
}

/// Activities that would be in the result although no description covers their plugin, in places where people are
/// hidden: nobody knows what in them is about people. By name, such as `forum_9`.
pub fn unknown_activities(format: &Format, effective: &Effective, base: &Manifest) -> Vec<String> {
    let hidden = !effective.is_on(Setting::Users) || effective.is_on(Setting::Anonymize);
    let unknown = base.activities.iter().filter(|activity| {
        let main = format!("{}/{}.xml", activity.directory, activity.module_name);
        format.document(&main).is_none()
    });
    let names = unknown.map(|activity| format!("{}_{}", activity.module_name, activity.module_id));
    names
        .filter(|name| {
            effective.item(name).is_some_and(|item| item.included.value && (hidden || !item.user_data.value))
        })
        .collect()
}
