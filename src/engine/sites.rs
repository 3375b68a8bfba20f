//! Sites.

use super::error::Error;
use super::holds::check_text;
use super::{Call, Engine};
use crate::catalog::{SiteRow, StorageUseRow};
use crate::directory::Platform;
use crate::ids::SiteId;
use crate::principal::Principal;
use crate::reason::Reason;
use crate::vault::journal::Event;

/// What is to change of a site. What is changed to nothing gets its default.
#[derive(Clone, Debug, Default)]
pub struct SiteChange {
    /// Its name for people. Default: its id.
    pub display_name: Option<String>,
    /// Language of its file names. Default: `en`.
    pub language: Option<String>,
    /// Time zone of its file names. Default: `UTC`.
    pub time_zone: Option<String>,
    /// Hash of its platform's identifier. Default: not known.
    pub identifier_hash: Option<String>,
    /// Address of its platform. Default: not known.
    pub wwwroot: Option<String>,
}

impl SiteChange {
    /// The site after the change. All that is wrong is told at once.
    fn applied(&self, mut row: SiteRow) -> Result<SiteRow, Error> {
        let or =
            |text: &String, default: &str| if text.is_empty() { default.to_owned() } else { text.clone() };
        let mut wrong = Vec::new();
        if let Some(name) = &self.display_name {
            row.display_name = or(name, row.site.as_str());
            if let Err(error) = check_text("site.display_name", name, DISPLAY_NAME) {
                wrong.extend(error.violations);
            }
        }
        if let Some(language) = &self.language {
            row.language = or(language, "en");
            if super::backup::language(&row.language).is_none() {
                wrong.push(("site.language".into(), "must be `en` or `fr`".into()));
            }
        }
        if let Some(zone) = &self.time_zone {
            row.time_zone = or(zone, "UTC");
            if row.time_zone.parse::<chrono_tz::Tz>().is_err() {
                wrong.push(("site.time_zone".into(), "must be an IANA name such as Europe/Paris".into()));
            }
        }
        if let Some(hash) = &self.identifier_hash {
            row.platform.identifier_hash.clone_from(hash);
            let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            if !hash.is_empty() && (hash.len() != 32 || !hash.bytes().all(is_digit)) {
                let message = "must be 32 hexadecimal digits in lower case";
                wrong.push(("site.identifier_hash".into(), message.into()));
            }
        }
        if let Some(wwwroot) = &self.wwwroot {
            row.platform.wwwroot.clone_from(wwwroot);
            let is_address = wwwroot.starts_with("https://") || wwwroot.starts_with("http://");
            let is_clean = wwwroot.len() <= WWWROOT
                && !wwwroot.ends_with('/')
                && !wwwroot.contains(|c: char| c.is_whitespace() || c.is_control());
            if !(wwwroot.is_empty() || is_address && is_clean) {
                let message =
                    "must be an address such as https://moodle.example.org, without a slash at its end";
                wrong.push(("site.wwwroot".into(), message.into()));
            }
        }
        if wrong.is_empty() { Ok(row) } else { Err(Error::fields(wrong, 0)) }
    }
}

/// The event of a site that is so from then on.
pub(super) fn updated(row: &SiteRow) -> Event {
    Event::SiteUpdated {
        site: row.site.clone(),
        display_name: row.display_name.clone(),
        language: row.language.clone(),
        time_zone: row.time_zone.clone(),
        platform: row.platform.clone(),
    }
}

/// Most characters of a site's name for people.
const DISPLAY_NAME: usize = 200;

/// Most bytes of a platform's address.
const WWWROOT: usize = 1333;

impl Engine {
    /// Makes a site. What is not wanted of it gets its default.
    pub async fn create_site(
        &self,
        call: &Call,
        site: &SiteId,
        wanted: &SiteChange,
    ) -> Result<SiteRow, Error> {
        if self.replayed(call).await?.is_some() {
            return self.get_site(site).await;
        }
        let or_default = |value: &Option<String>| Some(value.clone().unwrap_or_default());
        let change = SiteChange {
            display_name: or_default(&wanted.display_name),
            language: or_default(&wanted.language),
            time_zone: or_default(&wanted.time_zone),
            ..wanted.clone()
        };
        let row = SiteRow {
            site: site.clone(),
            display_name: String::new(),
            language: String::new(),
            time_zone: String::new(),
            platform: Platform::default(),
            create_time: self.now(),
        };
        let row = change.applied(row)?;
        let event = Event::SiteCreated {
            site: row.site.clone(),
            display_name: row.display_name.clone(),
            language: row.language.clone(),
            time_zone: row.time_zone.clone(),
            platform: row.platform.clone(),
        };
        let mut tx = self.catalog.begin().await?;
        tx.insert_site(&row).await?;
        self.put_down(&mut tx, site, call, event).await?;
        call.record(&mut tx, &format!("sites/{site}"), self).await?;
        tx.commit().await?;
        self.flush_journal().await;
        Ok(row)
    }

    /// Changes a site. File names that were made already stay.
    pub async fn update_site(
        &self,
        call: &Call,
        site: &SiteId,
        change: &SiteChange,
    ) -> Result<SiteRow, Error> {
        if self.replayed(call).await?.is_some() {
            return self.get_site(site).await;
        }
        let mut tx = self.catalog.begin().await?;
        let present = tx.get_site(site).await?;
        let present =
            present.ok_or_else(|| Error::not_found(Reason::SiteNotFound, &format!("sites/{site}")))?;
        let zone = present.time_zone.clone();
        let row = change.applied(present)?;
        let event = updated(&row);
        tx.update_site(&row).await?;
        if row.time_zone != zone {
            // Nights come at other times now, and days end at others.
            tx.replace_turns(site, None).await?;
            tx.mark_site(site).await?;
        }
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
        match self.create_site(&Call::by(Principal::local()), site, &SiteChange::default()).await {
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
