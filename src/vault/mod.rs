//! Content-addressed storage over object stores: the only place that knows them.
//!
//! - A [`Vault`] is a set of named [`Storage`]s, each a folder, a bucket with a prefix, or memory.
//! - Contents, trees and records travel in packs ([`PackWriter`], [`PackFooter`]); later facts in [`journal`] segments;
//!   pieces of unfinished uploads as objects of their own. [`VaultKey`] owns all names.
//! - Everything that is acknowledged is durable. Objects are written once; no lock, counter or condition rests on a
//!   storage. What a crash leaves behind is garbage that nothing names.
//!
//! The formats are documented in `docs/storage-format.md`. This module knows no catalog, no archive format and no job.

use std::collections::BTreeMap;

mod config;
mod error;
#[cfg(any(test, feature = "testing"))]
pub mod fault;
mod folder;
mod footer;
pub mod journal;
mod key;
mod measured;
mod pack;
mod parts;
pub mod record;
mod storage;
pub mod tree;
mod wire;

pub use config::StorageConfig;
pub use error::{Cause, Malformed, VaultError};
pub use footer::{PackFooter, PackItem, PackedItem};
pub use journal::{JournalEvent, SegmentId};
pub use key::VaultKey;
pub use pack::{PackWriter, WrittenPack};
pub use storage::{ListedPack, ListedPart, Storage};

use crate::ids::StorageName;

/// All storages of the service. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Vault {
    storages: BTreeMap<StorageName, Storage>,
}

impl Vault {
    /// Opens all storages. Fails with [`VaultError::Config`] on the first that cannot be used.
    pub fn open(configs: &BTreeMap<StorageName, StorageConfig>) -> Result<Self, VaultError> {
        let open = |(name, config): (&StorageName, &StorageConfig)| {
            Storage::open(name, config).map(|storage| (name.clone(), storage))
        };
        Ok(Self { storages: configs.iter().map(open).collect::<Result<_, _>>()? })
    }

    /// A vault of storages that are open already.
    pub fn of(storages: BTreeMap<StorageName, Storage>) -> Self {
        Self { storages }
    }

    /// The storage of that name.
    pub fn storage(&self, name: &StorageName) -> Result<&Storage, VaultError> {
        self.storages.get(name).ok_or_else(|| VaultError::Config {
            storage: name.to_string(),
            what: "no storage of that name is configured".into(),
        })
    }

    /// All storages by name.
    pub fn storages(&self) -> impl Iterator<Item = (&StorageName, &Storage)> {
        self.storages.iter()
    }
}
