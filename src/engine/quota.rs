//! What a site may take: bytes, archives, jobs.

use std::time::Duration;

use super::Engine;
use super::error::Error;
use crate::ids::SiteId;
use crate::limits::Quota;
use crate::reason::Reason;

/// A job ends sooner or later.
const JOBS_FREE: Duration = Duration::from_secs(10);

/// Room is made by people, by policies and by the collection of garbage.
const ROOM_FREES: Duration = Duration::from_secs(3600);

impl Engine {
    fn quota(&self, site: &SiteId) -> Quota {
        let quotas = &self.rules.quotas;
        quotas.get(site.as_str()).or_else(|| quotas.get("*")).cloned().unwrap_or_default()
    }

    /// Refuses what would store more on a site that has as much as it may. What is stored at the same moment is not counted.
    pub(super) async fn check_room(&self, site: &SiteId) -> Result<(), Error> {
        let quota = self.quota(site);
        if quota.bytes.is_none() && quota.archives.is_none() {
            return Ok(());
        }
        let used = self.catalog.site_use(site).await?;
        for (reason, what, used, most) in [
            (Reason::QuotaBytes, "bytes", used.stored_bytes, quota.bytes),
            (Reason::QuotaArchives, "archives", used.archives, quota.archives),
        ] {
            if let Some(most) = most.filter(|most| used >= *most) {
                return Err(refused(reason, site, what, used, most, ROOM_FREES));
            }
        }
        Ok(())
    }

    /// Refuses one more job on a site that waits for as many as it may.
    pub(super) async fn check_jobs(&self, site: &SiteId) -> Result<(), Error> {
        let Some(most) = self.quota(site).jobs else { return Ok(()) };
        let used = self.catalog.site_use(site).await?.open_jobs;
        if used >= most {
            return Err(refused(Reason::QuotaJobs, site, "jobs that have not ended", used, most, JOBS_FREE));
        }
        Ok(())
    }
}

fn refused(reason: Reason, site: &SiteId, what: &str, used: u64, most: u64, after: Duration) -> Error {
    let message = format!("the site {site} has {used} {what} and may have {most}");
    Error::new(reason, message)
        .with("used", &used)
        .with("limit", &most)
        .on(&format!("sites/{site}"))
        .retry_after(after)
}
