//! Comparing two stored trees. The comparison is synchronous and runs beside the other work; what it must read, and that is
//! only documents that differ, comes through the reader of contents.

use tokio_util::sync::CancellationToken;

use super::audit::Act;
use super::error::Error;
use super::{Call, Engine, Place};
use crate::compare::{self, CompareError, Options, Report};
use crate::course::TreeRef;
use crate::ids::{ArchiveName, RevisionName, SiteId};
use crate::reason::Reason;

/// Something that holds members and can be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Comparable {
    /// A stored archive.
    Archive(ArchiveName),
    /// A state of a course.
    Revision(RevisionName),
}

impl Comparable {
    /// Its name.
    pub fn name(&self) -> String {
        match self {
            Self::Archive(name) => name.to_string(),
            Self::Revision(name) => name.to_string(),
        }
    }

    /// The site that it belongs to.
    pub fn site(&self) -> &SiteId {
        match self {
            Self::Archive(name) => &name.site,
            Self::Revision(name) => &name.course.site,
        }
    }
}

impl Engine {
    /// Tells where two things differ, whatever ids they have if so wanted. Waits while as many comparisons run as may.
    pub async fn compare_archives(
        &self,
        call: &Call,
        a: &Comparable,
        b: &Comparable,
        options: Options,
        ignore_ids: bool,
    ) -> Result<Report, Error> {
        let (left, right) = (self.tree_of(a).await?, self.tree_of(b).await?);
        let act = Act::of("contents_compared", &a.name()).with("other", &b.name());
        self.audit_reading(a.site(), call, act).await?;
        let permit = self.comparisons.clone().acquire_owned().await;
        let permit = permit.map_err(|error| failed().caused_by(error))?;
        // When the caller goes away this future is dropped, and the next reading ends the comparison.
        let abandoned = CancellationToken::new();
        let _guard = abandoned.clone().drop_guard();
        let left = self.stored(&left.0, &left.1, &abandoned).await?;
        let right = self.stored(&right.0, &right.1, &abandoned).await?;
        let format = self.rules.format.clone();
        let comparing = tokio::task::spawn_blocking(move || {
            let report = match ignore_ids {
                true => compare::compare_without_ids(&left, &right, &format, &options),
                false => compare::compare(&left, &right, &options),
            };
            drop(permit);
            report
        });
        let report = comparing.await.map_err(|error| failed().caused_by(error))?;
        report.map_err(Error::from)
    }

    /// Where the members lie.
    async fn tree_of(&self, what: &Comparable) -> Result<(Place, TreeRef), Error> {
        match what {
            Comparable::Archive(name) => {
                let row = self.live_archive(name).await?;
                Ok((Place::of(&row.site, &row.storage), row.tree))
            }
            Comparable::Revision(name) => {
                self.live_course(&name.course).await?;
                let row = self.get_revision(name).await?;
                Ok((Place::of(&row.site, &row.storage), row.tree))
            }
        }
    }
}

fn failed() -> Error {
    Error::new(Reason::Internal, "comparing failed unexpectedly")
}

impl From<CompareError> for Error {
    /// What the vault said comes out as it went in.
    fn from(error: CompareError) -> Self {
        match error {
            CompareError::Read { error, .. } | CompareError::List { error, .. } => {
                error.downcast::<Self>().unwrap_or_else(|error| failed().caused_by(error))
            }
            CompareError::Ids { error, .. } => error.into(),
            CompareError::Scratch(error) => super::stage::spill_failed(error),
        }
    }
}
