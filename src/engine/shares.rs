//! Archives made available to others for a time, by the clock of the catalog.

use std::time::Duration;

use super::archives::is_live;
use super::error::Error;
use super::holds::{SENTENCE, check_text};
use super::{Call, Engine};
use crate::catalog::{ArchiveRow, ShareRow};
use crate::clock::Timestamp;
use crate::ids::ArchiveName;
use crate::reason::Reason;
use crate::vault::journal::Event;

/// Most principals with whom an archive can be shared at once.
const MOST: u64 = 100;

/// Most characters of a principal's name.
const PRINCIPAL: usize = 200;

/// An archive that is to be made available.
#[derive(Clone, Debug)]
pub struct NewShare {
    /// To whom.
    pub principal: String,
    /// How long.
    pub until: Until,
    /// A word to that principal; may be empty.
    pub note: String,
}

/// When something ends.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// Then.
    Time(Timestamp),
    /// After so long.
    After(Duration),
}

impl Until {
    /// The end, if it lies after now, and at most so far.
    fn end(self, now: Timestamp, longest: Duration) -> Result<Timestamp, Error> {
        let (field, end) = match self {
            Self::Time(time) => ("expire_time", time),
            Self::After(ttl) => ("ttl", now.plus(ttl)),
        };
        if end <= now {
            return Err(Error::field(field, "must lie in the future"));
        }
        if end > now.plus(longest) {
            let days = longest.as_secs() / 86_400;
            return Err(Error::field(field, format!("can be at most {days} days from now")));
        }
        Ok(end)
    }
}

impl Engine {
    /// Makes an archive available to a principal, or does so anew.
    pub async fn share_archive(
        &self,
        call: &Call,
        name: &ArchiveName,
        share: &NewShare,
    ) -> Result<ArchiveRow, Error> {
        if self.replayed(call).await?.is_some() {
            return self.get_archive(name).await;
        }
        check_principal(&share.principal)?;
        check_text("note", &share.note, SENTENCE)?;
        let mut tx = self.catalog.begin().await?;
        // From here on the archive's row is ours: no other share or deletion comes in between.
        let row = tx.touch_archive(&name.site, &name.archive, self.now()).await?;
        is_live(&row, name)?;
        if row.owner == share.principal {
            return Err(Error::field("principal", "owns the archive"));
        }
        let now = tx.now().await?;
        let expire_time = share.until.end(now, self.rules.longest_share)?;
        if tx.count_other_shares(&name.site, &name.archive, &share.principal).await? >= MOST {
            let message = format!("{name} is shared with {MOST} principals");
            return Err(Error::new(Reason::LimitShares, message).with("limit", &MOST).on(name));
        }
        tx.put_share(&ShareRow {
            site: name.site.clone(),
            archive: name.archive.clone(),
            principal: share.principal.clone(),
            author: call.principal.name.clone(),
            note: share.note.clone(),
            create_time: now,
            expire_time,
        })
        .await?;
        let (with, note) = (share.principal.clone(), share.note.clone());
        let event = Event::ArchiveShared { archive: name.clone(), with, expire_time, note };
        self.put_down(&mut tx, &name.site, call, event).await?;
        call.record(&mut tx, &name.to_string(), self).await?;
        tx.commit().await?;
        self.flush_journal().await;
        Ok(row)
    }

    /// Ends a share, also one of an archive that is deleted.
    pub async fn unshare_archive(
        &self,
        call: &Call,
        name: &ArchiveName,
        principal: &str,
    ) -> Result<ArchiveRow, Error> {
        if self.replayed(call).await?.is_some() {
            return self.get_archive(name).await;
        }
        check_principal(principal)?;
        let mut tx = self.catalog.begin().await?;
        if !tx.remove_share(&name.site, &name.archive, principal).await? {
            let message = format!("{name} is not shared with that principal");
            return Err(Error::new(Reason::ArchiveNotShared, message).on(name));
        }
        let row = tx.touch_archive(&name.site, &name.archive, self.now()).await?;
        let event = Event::ArchiveUnshared { archive: name.clone(), with: principal.to_owned() };
        self.put_down(&mut tx, &name.site, call, event).await?;
        call.record(&mut tx, &name.to_string(), self).await?;
        tx.commit().await?;
        self.flush_journal().await;
        Ok(row)
    }
}

fn check_principal(principal: &str) -> Result<(), Error> {
    if principal.trim().is_empty() {
        return Err(Error::field("principal", "is required"));
    }
    check_text("principal", principal, PRINCIPAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_end_in_the_future_and_within_the_bound() {
        let (now, day) = (Timestamp::from_secs(1_700_000_000), Duration::from_secs(86_400));
        let end = |until: Until| until.end(now, day).ok().map(|end| end.millis() - now.millis());
        assert_eq!(end(Until::After(day)), Some(86_400_000));
        assert_eq!(end(Until::Time(now.plus_millis(1))), Some(1));
        for wrong in [
            Until::After(Duration::ZERO),
            Until::After(day + Duration::from_millis(1)),
            Until::After(Duration::MAX),
            Until::Time(now),
            Until::Time(now.plus_millis(-1)),
            Until::Time(now.plus(day).plus_millis(1)),
        ] {
            assert_eq!(end(wrong), None, "{wrong:?}");
        }
    }
}
