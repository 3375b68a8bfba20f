//! Use cases: the only place where the domain meets catalog and vault.
//!
//! Drivers (gRPC, worker, command line) call these; they know neither SQL nor object names. Invariants:
//! bytes first, row last; a state change is one guarded statement; a job's result becomes visible in one transaction
//! that also settles the job under its lease.

mod access;
mod archives;
mod assemble;
mod backup;
mod call;
mod care;
mod cartridge;
mod collect;
mod compare;
mod copy;
mod courses;
mod derive;
mod directory;
#[cfg(test)]
mod directory_tests;
mod encode;
mod error;
mod feed;
mod forms;
mod gauges;
mod holds;
mod import;
mod ingest;
mod intake;
mod jobs;
mod journal;
mod plan;
mod plan_token;
mod policies;
mod prepare;
mod proof;
mod read;
mod rebuild;
mod repack;
mod replay;
mod restore;
mod restore_plan;
mod restoring;
mod retention;
mod run;
mod schedule;
mod shares;
mod sites;
mod spool;
mod stage;
mod stored;
mod sweep;
#[cfg(test)]
mod tests;
pub mod trace;
mod uploads;
mod users;
mod verify;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, Notify, Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::catalog::Catalog;
use crate::clock::{Clock, Timestamp};
use crate::format::Format;
use crate::ids::{SiteId, StorageName};
use crate::job::Area;
use crate::limits::{Care, Limits};
use crate::reason::Reason;
use crate::vault::{Storage, Vault};

pub use access::Seen;
pub use archives::Inspected;
pub use assemble::{Download, Outgoing, Range};
pub use call::{Call, RequestKey};
pub use compare::Comparable;
pub use copy::NewCopy;
pub use courses::Published;
pub use directory::Joined;
pub use error::Error;
pub use feed::{Feed, feed};
pub use ingest::{Arriving, Ingested};
pub use plan::BackupPlan;
pub use policies::WantedPolicy;
pub use read::MemberReader;
pub use rebuild::Rebuilt;
pub use restore::NewRestore;
pub use restore_plan::RestorePlan;
pub use retention::{PreviewQuery, Previewed, Retained};
pub use run::JobContext;
pub use schedule::WantedSchedule;
pub use shares::{NewShare, Until};
pub use sites::SiteChange;
pub use sweep::Swept;
pub use uploads::{Finished, UploadStream};
pub use users::{Imported, MOST_ROWS, RefusedRow, WhyRefused};

/// Comparisons at once in this process; others wait.
const COMPARISONS: usize = 4;

/// What a storage is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageHealth {
    /// It takes and gives.
    Works,
    /// It gives only.
    Full,
    /// It does neither.
    Silent,
}

/// What the use cases need of the configuration.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Bounds.
    pub limits: Limits,
    /// How the service cares for what it stores.
    pub care: Care,
    /// The storage for courses, and for archives of areas that have none of their own.
    pub storage: StorageName,
    /// Storages of areas that have one of their own.
    pub area_storages: BTreeMap<Area, StorageName>,
    /// Time until a deleted archive may be purged.
    pub grace: Duration,
    /// Longest time for which an archive can be shared at once.
    pub longest_share: Duration,
    /// Time until an idle upload session may be removed.
    pub upload_idle: Duration,
    /// Time until a claim on a job or an upload ends without a sign of life.
    pub lease: Duration,
    /// What the documents of archives mean.
    pub format: Arc<Format>,
}

/// The use cases over one catalog and one vault. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    catalog: Catalog,
    vault: Vault,
    clock: Arc<dyn Clock>,
    rules: Arc<Rules>,
    /// Archives that are read at once from callers' streams.
    ingests: Arc<Semaphore>,
    /// Comparisons at once: each holds two lists of members and a thread.
    comparisons: Arc<Semaphore>,
    /// Wakes a worker when a job may be claimed.
    work: Arc<Notify>,
    /// Changes whenever any job of this process changed.
    changes: Arc<watch::Sender<u64>>,
    /// Ends all watches, waits and streams of upload sessions when the server stops.
    closing: CancellationToken,
    /// Ends all calls that are left when a stopping server waits no longer.
    dropping: CancellationToken,
    /// One flush of the journal at a time.
    journal: Arc<Mutex<()>>,
}

/// Where contents are shared: one site on one storage. Nothing is looked up or read across places.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    site: SiteId,
    storage: StorageName,
}

impl Place {
    fn of(site: &SiteId, storage: &StorageName) -> Self {
        Self { site: site.clone(), storage: storage.clone() }
    }
}

impl Engine {
    /// Puts the use cases over a catalog and a vault.
    pub fn new(catalog: Catalog, vault: Vault, clock: Arc<dyn Clock>, rules: Rules) -> Self {
        Self {
            ingests: Arc::new(Semaphore::new(rules.limits.concurrent_ingests)),
            comparisons: Arc::new(Semaphore::new(COMPARISONS)),
            rules: Arc::new(rules),
            catalog,
            vault,
            clock,
            work: Arc::new(Notify::new()),
            changes: Arc::new(watch::Sender::new(0)),
            closing: CancellationToken::new(),
            dropping: CancellationToken::new(),
            journal: Arc::new(Mutex::new(())),
        }
    }

    /// Bounds.
    pub fn limits(&self) -> &Limits {
        &self.rules.limits
    }

    /// What the use cases need of the configuration.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The catalog, for the worker's claims and for health.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// The vault, for health.
    pub fn vault(&self) -> &Vault {
        &self.vault
    }

    /// Ends when a job may be waiting.
    pub async fn work_arrived(&self) {
        self.work.notified().await;
    }

    /// Says that a job of this process changed, and that one may be waiting.
    pub fn job_changed(&self) {
        self.changes.send_modify(|count| *count += 1);
        self.work.notify_one();
    }

    /// Ends all watches, waits and streams of upload sessions: their callers go on at another replica, or later.
    pub fn stop_watches(&self) {
        self.closing.cancel();
    }

    /// Ends when the server stops.
    pub async fn closing(&self) {
        self.closing.cancelled().await;
    }

    /// Ends whatever call is left.
    pub fn drop_calls(&self) {
        self.dropping.cancel();
    }

    /// Ends when calls that are left are dropped.
    pub async fn dropping_calls(&self) {
        self.dropping.cancelled().await;
    }

    /// Whether the catalog answers.
    pub async fn catalog_answers(&self) -> bool {
        let answer = self.catalog.check().await;
        if let Err(error) = &answer {
            tracing::error!(%error, "the catalog does not answer");
        }
        answer.is_ok()
    }

    /// What the storage is good for now.
    pub async fn storage_health(&self) -> StorageHealth {
        let answer = match self.vault.storage(&self.rules.storage) {
            Ok(storage) => storage.check().await.map_err(Error::from),
            Err(error) => Err(error.into()),
        };
        match answer {
            Ok(()) => StorageHealth::Works,
            Err(error) if error.reason == Reason::StorageFull => {
                tracing::error!(error = error.chain(), "the storage is full");
                StorageHealth::Full
            }
            Err(error) => {
                tracing::error!(error = error.chain(), "the storage does not answer");
                StorageHealth::Silent
            }
        }
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Where new archives of an area go.
    fn place(&self, site: &SiteId, area: Area) -> Place {
        Place::of(site, self.rules.area_storages.get(&area).unwrap_or(&self.rules.storage))
    }

    fn storage(&self, place: &Place) -> Result<&Storage, Error> {
        Ok(self.vault.storage(&place.storage)?)
    }

    async fn site(&self, site: &SiteId) -> Result<crate::catalog::SiteRow, Error> {
        self.catalog
            .get_site(site)
            .await?
            .ok_or_else(|| Error::not_found(Reason::SiteNotFound, &format!("sites/{site}")))
    }
}
