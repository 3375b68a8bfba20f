//! Resource names from what people type: `rich101` for `sites/main/courses/rich101`, a UUID for an archive or a job.
//! Only forms are checked here; whether a thing exists is the server's to say.

use crate::ids::{ArchiveName, CourseName, JobName, RevisionName, SiteId, UploadName};

use super::failure::Usage;

/// Something that can be fetched as a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetchable {
    /// A stored archive.
    Archive(ArchiveName),
    /// The live state of a course.
    Course(CourseName),
    /// A revision of a course.
    Revision(RevisionName),
}

/// The full name for `text`, which is one already when it starts with `sites/`.
fn full(site: &SiteId, collection: &str, text: &str) -> String {
    if text.starts_with("sites/") { text.to_owned() } else { format!("sites/{site}/{collection}/{text}") }
}

macro_rules! expand {
    ($(#[$doc:meta])* $function:ident, $name:ty, $collection:literal, $what:literal) => {
        $(#[$doc])*
        pub fn $function(site: &SiteId, text: &str) -> Result<$name, Usage> {
            full(site, $collection, text)
                .parse()
                .map_err(|_| Usage(format!(concat!("{:?} names no ", $what), text)))
        }
    };
}

expand!(
    /// A course: its id or its name.
    course, CourseName, "courses", "course: an id of a-z, 0-9 and hyphen, or sites/…/courses/…"
);
expand!(
    /// An archive: its UUID or its name.
    archive, ArchiveName, "archives", "archive: a UUID, or sites/…/archives/…"
);
expand!(
    /// A job: its UUID or its name.
    job, JobName, "jobs", "job: a UUID, or sites/…/jobs/…"
);
expand!(
    /// An upload session: its UUID or its name.
    upload, UploadName, "uploads", "upload session: a UUID, or sites/…/uploads/…"
);

/// An archive, a course or a revision. No archive's id is a course's id: ours begin with a digit.
pub fn fetchable(site: &SiteId, text: &str) -> Result<Fetchable, Usage> {
    if let Ok(name) = archive(site, text) {
        return Ok(Fetchable::Archive(name));
    }
    if let Ok(name) = full(site, "courses", text).parse() {
        return Ok(Fetchable::Revision(name));
    }
    course(site, text).map(Fetchable::Course).map_err(|_| {
        Usage(format!("{text:?} names no archive (a UUID), course (an id) or revision (COURSE/revisions/N)"))
    })
}

/// The last part of a resource name: what people type.
pub fn short(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0190a5f0-2f5d-7c3e-8a61-9f5d1c2b3a4d";

    fn site() -> SiteId {
        "main".parse().expect("a valid id")
    }

    #[test]
    fn short_names_get_the_site() -> Result<(), Usage> {
        assert_eq!(course(&site(), "rich101")?.to_string(), "sites/main/courses/rich101");
        assert_eq!(archive(&site(), ID)?.to_string(), format!("sites/main/archives/{ID}"));
        assert_eq!(job(&site(), ID)?.to_string(), format!("sites/main/jobs/{ID}"));
        assert_eq!(upload(&site(), ID)?.to_string(), format!("sites/main/uploads/{ID}"));
        Ok(())
    }

    #[test]
    fn full_names_stay() -> Result<(), Usage> {
        assert_eq!(course(&site(), "sites/lyon/courses/a")?.to_string(), "sites/lyon/courses/a");
        assert!(course(&site(), &format!("sites/lyon/archives/{ID}")).is_err());
        assert!(job(&site(), "rich101").is_err());
        assert!(archive(&site(), "../x").is_err());
        Ok(())
    }

    #[test]
    fn what_can_be_fetched_is_told_apart() -> Result<(), Usage> {
        assert!(matches!(fetchable(&site(), ID)?, Fetchable::Archive(_)));
        assert!(matches!(fetchable(&site(), "rich101")?, Fetchable::Course(_)));
        match fetchable(&site(), "rich101/revisions/3")? {
            Fetchable::Revision(name) => {
                assert_eq!(name.to_string(), "sites/main/courses/rich101/revisions/3");
            }
            other => panic!("{other:?}"),
        }
        assert!(fetchable(&site(), "a b").is_err());
        Ok(())
    }

    #[test]
    fn short_is_the_last_part() {
        assert_eq!(short("sites/main/courses/rich101"), "rich101");
        assert_eq!(short("rich101"), "rich101");
        assert_eq!(short(""), "");
    }
}
