//! Sites.

use super::error::Error;
use super::{Call, Engine};
use crate::catalog::{SiteRow, StorageUseRow};
use crate::ids::SiteId;
use crate::principal::Principal;
use crate::reason::Reason;
use crate::vault::journal::Event;

impl Engine {
    /// Makes a site.
    pub async fn create_site(
        &self,
        call: &Call,
        site: &SiteId,
        display_name: &str,
        language: &str,
        time_zone: &str,
    ) -> Result<SiteRow, Error> {
        if self.replayed(call).await?.is_some() {
            return self.get_site(site).await;
        }
        let language = if language.is_empty() { "en" } else { language };
        let time_zone = if time_zone.is_empty() { "UTC" } else { time_zone };
        if super::backup::language(language).is_none() {
            return Err(Error::field("site.language", "must be `en` or `fr`"));
        }
        if time_zone.parse::<chrono_tz::Tz>().is_err() {
            return Err(Error::field("site.time_zone", "must be an IANA name such as Europe/Paris"));
        }
        let row = SiteRow {
            site: site.clone(),
            display_name: if display_name.is_empty() { site.to_string() } else { display_name.to_owned() },
            language: language.to_owned(),
            time_zone: time_zone.to_owned(),
            create_time: self.now(),
        };
        let event = Event::SiteCreated {
            site: row.site.clone(),
            display_name: row.display_name.clone(),
            language: row.language.clone(),
            time_zone: row.time_zone.clone(),
        };
        let mut tx = self.catalog.begin().await?;
        tx.insert_site(&row).await?;
        self.put_down(&mut tx, site, call, event).await?;
        call.record(&mut tx, &format!("sites/{site}"), self).await?;
        tx.commit().await?;
        self.flush_journal().await;
        Ok(row)
    }

    /// Makes a site with defaults unless it is there.
    pub async fn ensure_site(&self, site: &SiteId) -> Result<(), Error> {
        if self.catalog.get_site(site).await?.is_some() {
            return Ok(());
        }
        match self.create_site(&Call::by(Principal::local()), site, "", "", "").await {
            // Another replica was faster.
            Err(error) if error.reason == Reason::SiteExists => Ok(()),
            other => other.map(|_| ()),
        }
    }

    /// One site.
    pub async fn get_site(&self, site: &SiteId) -> Result<SiteRow, Error> {
        self.site(site).await
    }

    /// Sites by id.
    pub async fn list_sites(&self, after: Option<&SiteId>, limit: u32) -> Result<Vec<SiteRow>, Error> {
        Ok(self.catalog.list_sites(after, limit).await?)
    }

    /// Of these sites those that exist, by id.
    pub async fn sites_of(
        &self,
        sites: &[SiteId],
        after: Option<&SiteId>,
        limit: u32,
    ) -> Result<Vec<SiteRow>, Error> {
        let mut wanted: Vec<&SiteId> =
            sites.iter().filter(|site| after.is_none_or(|after| *site > after)).collect();
        wanted.sort();
        wanted.dedup();
        let mut rows = Vec::new();
        for site in wanted {
            if rows.len() == limit as usize {
                break;
            }
            rows.extend(self.catalog.get_site(site).await?);
        }
        Ok(rows)
    }

    /// What a site holds, for each storage.
    pub async fn storage_report(&self, site: &SiteId) -> Result<Vec<StorageUseRow>, Error> {
        self.site(site).await?;
        Ok(self.catalog.storage_report(site).await?)
    }
}
