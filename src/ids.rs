//! Names of resources as checked values: `sites/{site}/archives/{archive}` and so on.

use std::fmt;
use std::str::FromStr;

/// Text that is not an id or a resource name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not of the form {form}")]
pub struct InvalidName {
    /// The text as given, at most 200 characters of it.
    pub text: String,
    /// The form that was expected.
    pub form: &'static str,
}

impl InvalidName {
    fn new(text: &str, form: &'static str) -> Self {
        Self { text: text.chars().take(200).collect(), form }
    }
}

const ID_FORM: &str = "1 to 63 characters a-z, 0-9 and hyphen, first a letter, last no hyphen";

/// The ids that callers may choose (AIP-122).
fn is_chosen_id(text: &str) -> bool {
    let bytes = text.as_bytes();
    matches!(bytes.len(), 1..=63)
        && bytes[0].is_ascii_lowercase()
        && bytes[bytes.len() - 1] != b'-'
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
}

/// The ids that the service makes: UUIDs in lower case.
fn is_uuid(text: &str) -> bool {
    text.len() == 36 && uuid::Uuid::try_parse(text).is_ok_and(|id| id.to_string() == text)
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $check:path, $form:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                if $check(text) { Ok(Self(text.to_owned())) } else { Err(InvalidName::new(text, $form)) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;

            fn try_from(text: String) -> Result<Self, InvalidName> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }
    };
}

id!(
    /// Id of a site, chosen by an administrator.
    SiteId, is_chosen_id, ID_FORM
);
id!(
    /// Id of a course, chosen by the caller.
    CourseId, is_chosen_id, ID_FORM
);
id!(
    /// Id of an archive, made by the service.
    ArchiveId, is_uuid, "a UUID in lower case"
);
id!(
    /// Id of an upload session, made by the service.
    UploadId, is_uuid, "a UUID in lower case"
);
id!(
    /// Id of a job, made by the service.
    JobId, is_uuid, "a UUID in lower case"
);
id!(
    /// Id of a pack object in a storage, made by the service.
    PackId, is_uuid, "a UUID in lower case"
);
id!(
    /// Id of a retention policy, chosen by an administrator.
    PolicyId, is_chosen_id, ID_FORM
);
id!(
    /// Id of a request for an automated archive, made by the service.
    AccessRequestId, is_uuid, "a UUID in lower case"
);
id!(
    /// Name of a configured storage.
    StorageName, is_chosen_id, ID_FORM
);

macro_rules! made_here {
    ($($name:ident),*) => {$(
        impl $name {
            /// A new id. Ids sort by the time they were made.
            pub fn generate() -> Self {
                Self(uuid::Uuid::now_v7().to_string())
            }
        }
    )*};
}
made_here!(ArchiveId, UploadId, JobId, PackId, AccessRequestId);

impl CourseId {
    /// A new id for a course that its caller did not name.
    pub fn generate() -> Self {
        Self(format!("course-{}", uuid::Uuid::now_v7()))
    }
}

macro_rules! child_name {
    ($(#[$doc:meta])* $name:ident, $id:ty, $field:ident, $collection:literal, $form:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name {
            /// The site it belongs to.
            pub site: SiteId,
            /// Its id within the site.
            pub $field: $id,
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!("sites/{}/", $collection, "/{}"), self.site, self.$field)
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                let invalid = || InvalidName::new(text, $form);
                match text.split('/').collect::<Vec<_>>()[..] {
                    ["sites", site, $collection, id] => Ok(Self {
                        site: site.parse().map_err(|_| invalid())?,
                        $field: id.parse().map_err(|_| invalid())?,
                    }),
                    _ => Err(invalid()),
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;

            fn try_from(text: String) -> Result<Self, InvalidName> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.to_string()
            }
        }
    };
}

child_name!(
    /// Name of a course.
    CourseName, CourseId, course, "courses", "sites/{site}/courses/{course}"
);
child_name!(
    /// Name of an archive.
    ArchiveName, ArchiveId, archive, "archives", "sites/{site}/archives/{archive}"
);
child_name!(
    /// Name of an upload session.
    UploadName, UploadId, upload, "uploads", "sites/{site}/uploads/{upload}"
);
child_name!(
    /// Name of a job.
    JobName, JobId, job, "jobs", "sites/{site}/jobs/{job}"
);

child_name!(
    /// Name of a retention policy.
    PolicyName, PolicyId, policy, "retentionPolicies", "sites/{site}/retentionPolicies/{policy}"
);
child_name!(
    /// Name of a request for an automated archive.
    AccessRequestName, AccessRequestId, request, "accessRequests", "sites/{site}/accessRequests/{request}"
);

/// Name of a site.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SiteName(pub SiteId);

impl fmt::Display for SiteName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sites/{}", self.0)
    }
}

impl FromStr for SiteName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        text.strip_prefix("sites/")
            .and_then(|id| id.parse().ok())
            .map(Self)
            .ok_or_else(|| InvalidName::new(text, "sites/{site}"))
    }
}

/// Name of a revision of a course. Revisions are numbered from 1.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RevisionName {
    /// The course.
    pub course: CourseName,
    /// The revision's number.
    pub number: i64,
}

impl fmt::Display for RevisionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/revisions/{}", self.course, self.number)
    }
}

impl FromStr for RevisionName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let invalid = || InvalidName::new(text, "sites/{site}/courses/{course}/revisions/{number}");
        let (course, number) = text.split_once("/revisions/").ok_or_else(invalid)?;
        let parsed: i64 = number.parse().map_err(|_| invalid())?;
        if parsed < 1 || parsed.to_string() != number {
            return Err(invalid());
        }
        Ok(Self { course: course.parse().map_err(|_| invalid())?, number: parsed })
    }
}

/// Name of an account of a site. Accounts are numbered by their platform.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserName {
    /// The site.
    pub site: SiteId,
    /// The account's id.
    pub user: i64,
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sites/{}/users/{}", self.site, self.user)
    }
}

impl FromStr for UserName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let invalid = || InvalidName::new(text, "sites/{site}/users/{user_id}");
        let (site, number) = text.split_once("/users/").ok_or_else(invalid)?;
        let user: i64 = number.parse().map_err(|_| invalid())?;
        if user < 1 || user.to_string() != number {
            return Err(invalid());
        }
        let SiteName(site) = site.parse().map_err(|_| invalid())?;
        Ok(Self { site, user })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chosen_ids_follow_aip_122() {
        for good in ["a", "rich101", "course-2", &"a".repeat(63)] {
            assert!(good.parse::<CourseId>().is_ok(), "{good}");
        }
        for bad in ["", "1a", "A", "a-", "-a", "a_b", "a/b", "é", &"a".repeat(64)] {
            assert!(bad.parse::<CourseId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn names_round_trip() {
        let name = format!("sites/main/archives/{}", ArchiveId::generate());
        assert_eq!(name.parse::<ArchiveName>().map(|n| n.to_string()), Ok(name.clone()));
        for bad in
            [name.to_uppercase(), format!("{name}/"), format!("/{name}"), "sites/main/archives/x".into()]
        {
            assert!(bad.parse::<ArchiveName>().is_err(), "{bad}");
        }
        let user = "sites/main/users/12";
        assert_eq!(user.parse::<UserName>().map(|n| n.to_string()).as_deref(), Ok(user));
        for bad in ["sites/main/users/0", "sites/main/users/+1", "main/users/1", "sites/main/users/x"] {
            assert!(bad.parse::<UserName>().is_err(), "{bad}");
        }
        let revision = "sites/main/courses/c/revisions/12";
        assert_eq!(revision.parse::<RevisionName>().map(|n| n.to_string()).as_deref(), Ok(revision));
        for bad in
            ["sites/main/courses/c/revisions/0", "sites/main/courses/c/revisions/01", "sites/main/courses/c"]
        {
            assert!(bad.parse::<RevisionName>().is_err(), "{bad}");
        }
    }
}
