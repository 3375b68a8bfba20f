//! What the service does by itself for what it stores, once per due time whatever the number of replicas: it only asks for jobs.

use chrono::Days;

use super::error::Error;
use super::{Call, Engine};
use crate::calendar;
use crate::catalog::{Chore, DueChore, NewJob};
use crate::clock::Timestamp;
use crate::job::{JobPayload, Priority};
use crate::principal::Principal;
use crate::schedule::{Weekdays, Window, place};

/// When chores begin, by the clocks of the site: behind the nightly backups.
const WINDOW: Window = Window { start_minute: 5 * 60, minutes: 60, weekdays: Weekdays::ALL };

/// Chores taken up in one round.
const BATCH: u32 = 100;

/// In whose name the service works when nobody asked.
fn service() -> Principal {
    Principal::named("coursevault")
}

impl Engine {
    /// Asks for the jobs of all chores that are due. Errors are logged: the next round comes.
    pub async fn begin_chores(&self) {
        if let Err(error) = self.try_begin_chores().await {
            tracing::warn!(error = error.chain(), "chores wait for the next round");
        }
    }

    async fn try_begin_chores(&self) -> Result<(), Error> {
        let mut tx = self.catalog.begin().await?;
        tx.adopt_chores().await?;
        let now = tx.now().await?;
        tx.commit().await?;
        for due in self.catalog.due_chores(now, BATCH).await? {
            if self.begin_chore(&due, now).await? {
                tracing::info!(site = %due.site, chore = %due.chore, "chore begins");
                self.job_changed();
            }
        }
        Ok(())
    }

    /// Moves a chore on and asks for its job in one transaction. One that was only just planned has no job yet.
    async fn begin_chore(&self, due: &DueChore, now: Timestamp) -> Result<bool, Error> {
        let site = self.site(&due.site).await?;
        let zone = site.time_zone.parse().unwrap_or(chrono_tz::UTC);
        let next = next(zone, &format!("{}/{}", due.site, due.chore), now);
        let job = if due.due.millis() == 0 { None } else { self.job_of(due).await? };
        let mut tx = self.catalog.begin().await?;
        if !tx.move_chore(due, next).await? {
            return Ok(false);
        }
        if let Some(job) = &job {
            tx.insert_job(job).await?;
        }
        tx.commit().await?;
        Ok(job.is_some())
    }

    /// The job of a chore, unless there is nothing to do.
    async fn job_of(&self, due: &DueChore) -> Result<Option<NewJob>, Error> {
        let payload = match due.chore {
            Chore::Verify if self.rules.care.verify_days == 0 => return Ok(None),
            Chore::Verify => {
                JobPayload::Verify { archive: None, at_most: self.share_of_a_night(&due.site).await? }
            }
        };
        let nothing = matches!(payload, JobPayload::Verify { at_most: 0, .. });
        let call = Call::by(service());
        Ok((!nothing).then(|| self.new_job(&call, &due.site, payload, Priority::Automated)))
    }
}

/// The next time of a chore after `now`: each has its own place in the window.
fn next(zone: chrono_tz::Tz, seed: &str, now: Timestamp) -> Timestamp {
    let today = calendar::date(zone, now);
    let first = today.checked_sub_days(Days::new(1)).unwrap_or(today);
    let times = first.iter_days().take(5).filter_map(|date| WINDOW.on(zone, date));
    times
        .map(|span| place(seed, span))
        .find(|time| *time > now)
        .unwrap_or_else(|| now.plus_millis(86_400_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chore_comes_once_a_night_in_its_window() {
        let zone = chrono_tz::Europe::Paris;
        // Over both changes of the clocks.
        let mut time = Timestamp::from_secs(1_700_000_000);
        for _ in 0..400 {
            let before = calendar::date(zone, time);
            time = next(zone, "main/VERIFY", time);
            let date = calendar::date(zone, time);
            assert!(WINDOW.on(zone, date).is_some_and(|span| span.start <= time && time < span.end));
            assert!(date.signed_duration_since(before).num_days() <= 1);
            assert_eq!(next(zone, "main/VERIFY", time.plus_millis(-1)), time);
        }
    }
}
