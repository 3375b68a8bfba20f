//! Clearing up: what crashes, broken uploads and old calls leave behind. Each step may run twice, and anywhere.

use std::time::Duration;

use super::Engine;
use super::error::Error;
use crate::catalog::UploadState;
use crate::ids::UploadName;

/// Files that a writer last touched so long ago are nobody's: a pack is written within minutes.
const STAGED: Duration = Duration::from_secs(24 * 3600);

/// A call can be repeated under its request id for so long.
const REMEMBERED: Duration = Duration::from_secs(7 * 24 * 3600);

/// Sessions looked at in one round.
const BATCH: u32 = 100;

/// What a round removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Unfinished files of the storages.
    pub files: u64,
    /// Upload sessions that were idle for too long.
    pub uploads: u64,
    /// Remembered request ids.
    pub requests: u64,
    /// Shares of archives that have ended.
    pub shares: u64,
}

impl Engine {
    /// Removes what nobody will come back for. `alone`: no other process writes to these storages, so every
    /// unfinished file is left over. Errors are logged: the next round comes.
    pub async fn sweep(&self, alone: bool) -> Swept {
        let mut swept = Swept::default();
        if let Err(error) = self.try_sweep(alone, &mut swept).await {
            tracing::warn!(error = error.chain(), "clearing up is not complete");
        }
        if swept != Swept::default() {
            let Swept { files, uploads, requests, shares } = swept;
            tracing::info!(files, uploads, requests, shares, "cleared up");
        }
        swept
    }

    async fn try_sweep(&self, alone: bool, swept: &mut Swept) -> Result<(), Error> {
        let now = self.now();
        // A file's time may lag a little behind the clock.
        let before = now.minus(if alone { Duration::from_millis(100) } else { STAGED });
        for (_, storage) in self.vault.storages() {
            swept.files += storage.remove_unfinished(before).await?;
        }
        for upload in self.catalog.list_expired_uploads(now, BATCH).await? {
            let name = UploadName { site: upload.site.clone(), upload: upload.upload.clone() };
            match self.abort_upload(&name).await {
                Ok(aborted) => swept.uploads += u64::from(aborted.state == UploadState::Aborted),
                // Somebody came back to it at this very moment.
                Err(error) => tracing::debug!(upload = %name, error = error.chain(), "an upload stays"),
            }
        }
        // Whoever crashed after the last step of an upload left its parts behind.
        for upload in self.catalog.list_ended_uploads(BATCH).await? {
            self.remove_parts(&upload).await;
        }
        let mut tx = self.catalog.begin().await?;
        swept.requests = tx.forget_requests(now.minus(REMEMBERED)).await?;
        swept.shares = tx.forget_shares().await?;
        tx.commit().await?;
        Ok(())
    }
}
