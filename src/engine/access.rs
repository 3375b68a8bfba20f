//! Who may do what with a stored archive: the table of the domain, asked with what the catalog knows.

use std::collections::HashMap;

use super::Engine;
use super::error::Error;
use crate::access::{Action, Decision, Parts, decide};
use crate::catalog::{ArchiveRow, RetentionRow, ShareRow};
use crate::ids::{ArchiveId, ArchiveName};
use crate::principal::Principal;
use crate::reason::Reason;

/// An archive as somebody sees it.
pub struct Seen {
    /// The archive.
    pub row: ArchiveRow,
    /// Its shares that have not ended: all of them for whoever may share it, else the viewer's own.
    pub shares: Vec<ShareRow>,
    /// How long it is kept, and why.
    pub retention: Option<RetentionRow>,
}

impl Engine {
    /// An archive, deleted or not, if a principal may do that with it. To whoever may not see it, it looks exactly like one that
    /// does not exist.
    pub async fn admit(
        &self,
        principal: &Principal,
        name: &ArchiveName,
        action: Action,
    ) -> Result<ArchiveRow, Error> {
        let row = self.get_archive(name).await?;
        let own = [name.archive.clone()];
        let shared = !self.catalog.list_shares(&name.site, &own, Some(&principal.name)).await?.is_empty();
        match decide(row.area, Parts::of(principal, &row.owner, shared), action) {
            Decision::Allowed => Ok(row),
            Decision::Denied => Err(denied(action.capability()).on(name)),
            Decision::Unseen => Err(Error::not_found(Reason::ArchiveNotFound, name)),
        }
    }

    /// Archives of one site with the shares that a principal may see of them.
    pub async fn seen(&self, principal: &Principal, rows: Vec<ArchiveRow>) -> Result<Vec<Seen>, Error> {
        let Some(site) = rows.first().map(|row| row.site.clone()) else { return Ok(Vec::new()) };
        let ids: Vec<ArchiveId> = rows.iter().map(|row| row.archive.clone()).collect();
        let mut shares: HashMap<ArchiveId, Vec<ShareRow>> = HashMap::new();
        for share in self.catalog.list_shares(&site, &ids, None).await? {
            shares.entry(share.archive.clone()).or_default().push(share);
        }
        let mut retention = self.retention_of(&site, &rows).await?;
        let seen = |row: ArchiveRow| {
            let retention = retention.remove(&row.archive);
            let mut shares = shares.remove(&row.archive).unwrap_or_default();
            let shared = shares.iter().any(|share| share.principal == principal.name);
            let parts = Parts::of(principal, &row.owner, shared);
            if decide(row.area, parts, Action::Share) != Decision::Allowed {
                shares.retain(|share| share.principal == principal.name);
            }
            Seen { row, shares, retention }
        };
        Ok(rows.into_iter().map(seen).collect())
    }
}

/// A refusal for want of a capability.
pub(super) fn denied(capability: &str) -> Error {
    Error::new(Reason::PermissionDenied, format!("the caller lacks {capability}"))
        .with("permission", &capability)
}
