//! What may be done, by name, and the roles that the service knows by itself. Names are Moodle's where it has one.

use std::collections::BTreeMap;
use std::fmt;

/// A role that the service knows by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuiltInRole {
    /// Somebody who teaches: backs up and restores courses, handles the archives of them and their own.
    Teacher,
    /// Somebody who looks after courses: makes them, and manages whatever archives they have.
    Manager,
    /// Somebody who runs the site: everything.
    Administrator,
    /// A program that works for people, such as the platform.
    Service,
    /// Somebody who sees that everything is in order, and no contents.
    Auditor,
}

impl BuiltInRole {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Teacher, Self::Manager, Self::Administrator, Self::Service, Self::Auditor];

    /// Its name in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Teacher => "teacher",
            Self::Manager => "manager",
            Self::Administrator => "administrator",
            Self::Service => "service",
            Self::Auditor => "auditor",
        }
    }

    /// What it may do.
    pub fn capabilities(self) -> Capabilities {
        Capability::ALL
            .iter()
            .copied()
            .filter(|capability| self == Self::Administrator || capability.roles().contains(&self))
            .collect()
    }
}

macro_rules! capabilities {
    ($($(#[$doc:meta])* $variant:ident = $text:literal for [$($role:ident)*],)*) => {
        /// Something that may be done.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Capability { $($(#[$doc])* $variant,)* }

        impl Capability {
            /// All capabilities.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its name.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// The capability of that name.
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|capability| capability.as_str() == text)
            }

            /// The roles that have it, besides administrators, who have all.
            pub const fn roles(self) -> &'static [BuiltInRole] {
                match self { $(Self::$variant => &[$(BuiltInRole::$role,)*],)* }
            }
        }
    };
}

// A new capability is one line here: its name, and the built-in roles that have it. Administrators have all.
capabilities! {
    /// See records of archives, look into those that one may look into.
    ArchiveView = "coursevault/archive:view" for [Teacher Manager Service Auditor],
    /// See the record of every archive, whosever it is, and nothing inside.
    ArchiveViewAll = "coursevault/archive:viewall" for [Auditor],
    /// Manage whatever archives the course area of a course has.
    CourseArchivesManage = "coursevault/course:managearchives" for [Manager],
    /// Manage the archives of others in all areas; of private ones, their records.
    SiteArchivesManage = "coursevault/site:managearchives" for [],
    /// Have to do with automated backups.
    AutomatedArea = "moodle/restore:viewautomatedfilearea" for [],
    /// Make archives available to others.
    ArchiveShare = "coursevault/archive:share" for [Teacher Manager Service],
    /// Hold archives.
    ArchiveHold = "coursevault/archive:hold" for [Teacher Manager Service],
    /// Have every byte of an archive checked.
    ArchiveVerify = "coursevault/archive:verify" for [Teacher Manager Service Auditor],
    /// Have all archives of a site checked.
    SiteVerify = "coursevault/site:verify" for [],
    /// Make backups.
    BackupCourse = "moodle/backup:backupcourse" for [Teacher Manager Service],
    /// Get bytes out.
    DownloadFile = "moodle/backup:downloadfile" for [Teacher Manager Service],
    /// Bring archives in.
    UploadFile = "moodle/restore:uploadfile" for [Teacher Manager Service],
    /// Delete and describe archives.
    ManageFiles = "moodle/restore:managefiles" for [Teacher Manager Service],
    /// Restore archives.
    RestoreCourse = "moodle/restore:restorecourse" for [Teacher Manager Service],
    /// Make courses.
    CourseCreate = "moodle/course:create" for [Manager Service],
    /// See courses and their revisions.
    CourseView = "moodle/course:view" for [Teacher Manager Service Auditor],
    /// Say what a course is from now on.
    CourseUpdate = "moodle/course:update" for [Manager Service],
    /// See what goes on.
    JobView = "coursevault/job:view" for [Teacher Manager Service Auditor],
    /// See all of others' jobs, the archives concerned included.
    JobViewAll = "coursevault/job:viewall" for [Manager Auditor],
    /// Stop and repeat jobs.
    JobManage = "coursevault/job:manage" for [Teacher Manager Service],
    /// See sites, and what the server tells of itself.
    SiteView = "coursevault/site:view" for [Teacher Manager Service Auditor],
    /// See what a site holds and what that costs.
    SiteReport = "coursevault/site:report" for [Manager Service Auditor],
    /// See what was done on a site, by whom and why.
    AuditView = "coursevault/audit:view" for [Auditor],
    /// Make and change sites.
    SiteConfig = "moodle/site:config" for [],
    /// Bring people into a site's directory.
    UserUpload = "moodle/site:uploadusers" for [],
    /// See the people of a site's directory.
    UserView = "moodle/user:viewalldetails" for [],
    /// Take people out of a site's directory.
    UserDelete = "moodle/user:delete" for [],
    /// See and say which roles the platform has.
    RoleManage = "moodle/role:manage" for [],
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of capabilities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities(u64);

impl Capabilities {
    /// Whether it holds that one.
    pub const fn contains(self, capability: Capability) -> bool {
        self.0 & (1 << capability as u64) != 0
    }

    /// Whether it holds none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// What is in both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What is in one of them.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

// One bit each.
const _: () = assert!(Capability::ALL.len() <= 64);

impl FromIterator<Capability> for Capabilities {
    fn from_iter<I: IntoIterator<Item = Capability>>(all: I) -> Self {
        Self(all.into_iter().fold(0, |set, capability| set | 1 << capability as u64))
    }
}

/// Roles by name: those that the service knows, and those that an operator defined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roles(BTreeMap<String, Capabilities>);

impl Default for Roles {
    fn default() -> Self {
        Self(BuiltInRole::ALL.map(|role| (role.as_str().to_owned(), role.capabilities())).into())
    }
}

impl Roles {
    /// Adds a role. Tells whether the name was free: what a known role means is not changed.
    pub fn define(&mut self, name: &str, capabilities: Capabilities) -> bool {
        let is_free = !self.0.contains_key(name);
        if is_free {
            self.0.insert(name.to_owned(), capabilities);
        }
        is_free
    }

    /// What a role may do.
    pub fn get(&self, name: &str) -> Option<Capabilities> {
        self.0.get(name).copied()
    }

    /// All names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_round_trip() {
        for capability in Capability::ALL {
            assert_eq!(Capability::parse(capability.as_str()), Some(*capability));
        }
    }

    #[test]
    fn roles_hold_what_they_should() {
        let roles = Roles::default();
        let held = |role: &str| roles.get(role).unwrap_or_default();
        assert!(Capability::ALL.iter().all(|capability| held("administrator").contains(*capability)));
        // Nobody but administrators comes near people, other people's archives, and nightly backups.
        for role in ["teacher", "manager", "service", "auditor"] {
            for kept in [
                Capability::AutomatedArea,
                Capability::SiteArchivesManage,
                Capability::SiteConfig,
                Capability::UserView,
                Capability::UserUpload,
            ] {
                assert!(!held(role).contains(kept), "{role} {kept}");
            }
        }
        // An auditor changes nothing, and gets no contents.
        for kept in [Capability::DownloadFile, Capability::ManageFiles, Capability::RestoreCourse] {
            assert!(!held("auditor").contains(kept), "{kept}");
        }
        assert_eq!(roles.get("nobody"), None);
    }

    #[test]
    fn known_roles_keep_their_meaning() {
        let mut roles = Roles::default();
        assert!(!roles.define("teacher", BuiltInRole::Administrator.capabilities()));
        assert!(roles.define("grader", [Capability::ArchiveView].into_iter().collect()));
        assert_eq!(roles.get("teacher"), Some(BuiltInRole::Teacher.capabilities()));
        assert!(roles.get("grader").is_some_and(|set| set.contains(Capability::ArchiveView)));
    }
}
