//! What changes of an archive beside its deletion: holds, and what people wrote about it.

use super::access::denied;
use super::archives::check_version;
use super::error::Error;
use super::{Call, Engine};
use crate::access::{Action, may_release};
use crate::catalog::{ArchiveRow, HoldRow};
use crate::ids::ArchiveName;
use crate::reason::Reason;
use crate::vault::journal::Event;

/// Most characters of a reason or a note.
pub(super) const SENTENCE: usize = 500;

/// Most characters of a description.
const DESCRIPTION: usize = 2000;

impl Engine {
    /// Holds an archive, deleted or not.
    pub async fn place_hold(
        &self,
        call: &Call,
        name: &ArchiveName,
        reason: &str,
        version: Option<i64>,
    ) -> Result<ArchiveRow, Error> {
        if self.replayed(call).await?.is_some() {
            return self.get_archive(name).await;
        }
        if reason.trim().is_empty() {
            return Err(Error::field("reason", "is required"));
        }
        check_text("reason", reason, SENTENCE)?;
        let row = self.get_archive(name).await?;
        check_version(version, row.version, name)?;
        not_held(&row, name)?;
        let hold = HoldRow {
            reason: reason.to_owned(),
            principal: call.principal.name.clone(),
            create_time: self.now(),
        };
        let event = Event::ArchiveHeld { archive: name.clone(), reason: reason.to_owned() };
        let mut tx = self.catalog.begin().await?;
        let row = tx.place_hold(&name.site, &name.archive, row.version, &hold).await?;
        self.put_down(&mut tx, &name.site, call, event).await?;
        call.record(&mut tx, &name.to_string(), self).await?;
        tx.commit().await?;
        self.flush_journal().await;
        self.review_now(&row).await;
        Ok(row)
    }

    /// Releases a hold. `version`: that of the archive whose hold the caller has seen.
    pub async fn release_hold(
        &self,
        call: &Call,
        name: &ArchiveName,
        reason: &str,
        version: Option<i64>,
    ) -> Result<ArchiveRow, Error> {
        if self.replayed(call).await?.is_some() {
            return self.get_archive(name).await;
        }
        if version.is_none() {
            return Err(Error::field("etag", "is required: it shows that the caller has seen the hold"));
        }
        if reason.trim().is_empty() {
            return Err(Error::field("reason", "is required"));
        }
        check_text("reason", reason, SENTENCE)?;
        let row = self.get_archive(name).await?;
        let Some(hold) = &row.hold else {
            return Err(Error::new(Reason::ArchiveNotHeld, format!("{name} is not held")).on(name));
        };
        if !may_release(&call.principal, &hold.principal) {
            return Err(denied(Action::Hold.capability()).on(name));
        }
        check_version(version, row.version, name)?;
        let event = Event::ArchiveReleased { archive: name.clone(), reason: reason.to_owned() };
        let mut tx = self.catalog.begin().await?;
        let row = tx.release_hold(&name.site, &name.archive, row.version, self.now()).await?;
        self.put_down(&mut tx, &name.site, call, event).await?;
        call.record(&mut tx, &name.to_string(), self).await?;
        tx.commit().await?;
        self.flush_journal().await;
        self.review_now(&row).await;
        Ok(row)
    }

    /// Changes what people wrote about an archive; `None` changes nothing.
    pub async fn describe_archive(
        &self,
        call: &Call,
        name: &ArchiveName,
        description: Option<&str>,
        version: Option<i64>,
    ) -> Result<ArchiveRow, Error> {
        if self.replayed(call).await?.is_some() {
            return self.get_archive(name).await;
        }
        let row = self.live_archive(name).await?;
        check_version(version, row.version, name)?;
        let Some(description) = description else { return Ok(row) };
        check_text("archive.description", description, DESCRIPTION)?;
        let event = Event::ArchiveDescribed { archive: name.clone(), description: description.to_owned() };
        let mut tx = self.catalog.begin().await?;
        let (site, archive) = (&name.site, &name.archive);
        let row = tx.describe_archive(site, archive, row.version, description, self.now()).await?;
        self.put_down(&mut tx, &name.site, call, event).await?;
        call.record(&mut tx, &name.to_string(), self).await?;
        tx.commit().await?;
        self.flush_journal().await;
        Ok(row)
    }
}

/// Refuses what a hold forbids, with the hold.
pub(super) fn not_held(row: &ArchiveRow, name: &ArchiveName) -> Result<(), Error> {
    let Some(hold) = &row.hold else { return Ok(()) };
    let since = chrono::DateTime::from_timestamp_millis(hold.create_time.millis()).unwrap_or_default();
    let since = since.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    Err(Error::new(Reason::ArchiveHeld, format!("{name} is held since {since}: {}", hold.reason))
        .with("holdTime", &since)
        .with("holdReason", &hold.reason)
        .with("holdPrincipal", &hold.principal)
        .on(name))
}

/// Bounds a text that people write.
pub(super) fn check_text(field: &str, text: &str, most: usize) -> Result<(), Error> {
    if text.chars().count() > most {
        return Err(Error::field(field, format!("has at most {most} characters")));
    }
    if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t')) {
        return Err(Error::field(field, "must not hold control characters"));
    }
    Ok(())
}
