//! What the metrics tell of all sites together, read from the catalog now and then. Every replica tells the same numbers, so
//! they are to be looked at with `max`, not `sum`.

use std::collections::BTreeSet;

use super::Engine;
use super::error::Error;
use crate::job::{JobKind, JobState};
use crate::metric;

/// Sites that are told of; a platform's own are a handful.
const SITES: u32 = 200;

/// Waiting events are counted up to so many.
const WAITING: u32 = 1000;

impl Engine {
    /// Brings the gauges up to date. Errors are logged: what could not be read keeps its last value.
    pub async fn update_gauges(&self) {
        if let Err(error) = self.try_update_gauges().await {
            tracing::warn!(error = error.chain(), "the metrics of the catalog are not up to date");
        }
    }

    async fn try_update_gauges(&self) -> Result<(), Error> {
        let open = self.catalog.open_jobs().await?;
        for kind in JobKind::ALL {
            for state in [JobState::Pending, JobState::Running, JobState::Cancelling] {
                // Those that nobody waits for any more must fall to 0.
                let found = open.iter().find(|jobs| jobs.kind == *kind && jobs.state == state);
                let count = found.map_or(0, |jobs| jobs.count);
                metrics::gauge!(metric::JOBS, "kind" => kind.as_str(), "state" => state.as_str())
                    .set(count as f64);
            }
        }
        metrics::gauge!(metric::QUEUE_AGE).set(self.catalog.queue_age_ms().await? as f64 / 1000.0);
        let waiting = self.catalog.pending_outbox(WAITING).await?.len();
        metrics::gauge!(metric::JOURNAL_WAITING).set(waiting as f64);
        let mut told = BTreeSet::new();
        for row in self.catalog.saved_courses().await? {
            let site = row.site.to_string();
            metrics::gauge!(metric::COURSES, "site" => site.clone()).set(row.courses as f64);
            metrics::gauge!(metric::COURSES_UNSAVED, "site" => site.clone()).set(row.unsaved as f64);
            metrics::gauge!(metric::OLDEST_UNSAVED, "site" => site.clone())
                .set(row.unsaved_for_ms as f64 / 1000.0);
            told.insert(site);
        }
        for site in self.catalog.list_sites(None, SITES).await? {
            let site = site.site.to_string();
            if !told.contains(&site) {
                for name in [metric::COURSES, metric::COURSES_UNSAVED, metric::OLDEST_UNSAVED] {
                    metrics::gauge!(name, "site" => site.clone()).set(0.0);
                }
            }
        }
        Ok(())
    }

    /// Brings the gauges up to date that count contents: a look at every row, so seldom.
    pub async fn update_storage_gauges(&self) {
        if let Err(error) = self.try_update_storage_gauges().await {
            tracing::warn!(error = error.chain(), "the metrics of the storages are not up to date");
        }
    }

    async fn try_update_storage_gauges(&self) -> Result<(), Error> {
        for site in self.catalog.list_sites(None, SITES).await? {
            for row in self.catalog.storage_report(&site.site).await? {
                let (site, storage) = (site.site.to_string(), row.storage.to_string());
                let set = |name: &'static str, value: u64| {
                    metrics::gauge!(name, "site" => site.clone(), "storage" => storage.clone())
                        .set(value as f64);
                };
                set(metric::ARCHIVES, row.archive_count);
                set(metric::LOGICAL_BYTES, row.logical_bytes);
                set(metric::CONTENT_BYTES, row.content_bytes);
                set(metric::STORED_BYTES, row.stored_bytes);
            }
        }
        Ok(())
    }
}
