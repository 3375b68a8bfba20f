//! Looking at a backup before it is made: what will be in it, what will not, and why.

use super::derive::Preview;
use super::error::Error;
use super::{Engine, Place};
use crate::archive::Container;
use crate::backup::{Effective, Order};
use crate::derive::Derived;
use crate::digest::Digest;
use crate::ids::{ArchiveName, CourseName, RevisionName};
use crate::job::Finding;
use crate::reason::Reason;

/// What a backup would come to.
#[derive(Debug)]
pub struct BackupPlan {
    /// The state that it would be of.
    pub revision: Option<RevisionName>,
    /// Settings and selection, resolved.
    pub effective: Effective,
    /// What it would hold and leave out.
    pub derived: Derived,
    /// What should be known of it.
    pub findings: Vec<Finding>,
    /// Its file name, if it were made now.
    pub file_name: String,
    /// Members that it would have.
    pub members: u64,
    /// Bytes of their contents.
    pub content_bytes: u64,
    /// About so many bytes as zip and as tar.gz. Exact as far as documents stay as they are.
    pub sizes: [Option<u64>; 2],
    /// Stands for this plan: the state, the order and what was resolved of it.
    pub token: String,
}

/// Stands for a plan.
pub(super) fn token(of: &str, order: &Order, effective: &Effective) -> Result<String, Error> {
    let text = serde_json::to_vec(&(of, order, effective))
        .map_err(|error| Error::new(Reason::Internal, "a plan cannot be written down").caused_by(error))?;
    Ok(Digest::of(&text).to_string())
}

impl Engine {
    /// What a backup of a course's live state would come to.
    pub async fn plan_backup(&self, course: &CourseName, order: Order) -> Result<BackupPlan, Error> {
        let (_, number) = self.live_course(course).await?;
        let revision = RevisionName { course: course.clone(), number };
        let row = self.get_revision(&revision).await?;
        let place = Place::of(&course.site, &row.storage);
        let derivation = self.derivation(&course.site, place, row.tree, order).await?;
        let (derivation, preview) = self.preview(derivation).await?;
        let token = token(&revision.to_string(), &derivation.order, &derivation.effective)?;
        Ok(plan(Some(revision), derivation.effective, derivation.label.file_name, preview, token))
    }

    /// What converting an archive would come to.
    pub async fn plan_conversion(&self, archive: &ArchiveName, order: Order) -> Result<BackupPlan, Error> {
        let row = self.live_archive(archive).await?;
        let place = Place::of(&row.site, &row.storage);
        let derivation = self.derivation(&row.site, place, row.tree, order).await?;
        let (derivation, preview) = self.preview(derivation).await?;
        let token = token(&archive.to_string(), &derivation.order, &derivation.effective)?;
        Ok(plan(None, derivation.effective, derivation.label.file_name, preview, token))
    }
}

fn plan(
    revision: Option<RevisionName>,
    effective: Effective,
    file_name: String,
    preview: Preview,
    token: String,
) -> BackupPlan {
    let sizes = super::assemble::form_sizes(&preview.tree);
    BackupPlan {
        revision,
        effective,
        findings: preview.findings,
        file_name,
        members: preview.tree.entries().len() as u64,
        content_bytes: preview.tree.content_bytes(),
        sizes: [Container::Zip, Container::TarGz].map(|container| sizes.get(&container).copied()),
        derived: preview.derived,
        token,
    }
}
