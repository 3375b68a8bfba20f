//! What a caller orders: settings, selection, and how they are read.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::resolve::Asked;
use crate::format::Compatibility;

/// What a caller orders of a backup. Everything in it is as it was asked; nothing is resolved yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Order {
    /// Settings and selection.
    pub asked: Asked,
    /// Whose rules count where Moodle leaks or loses.
    pub compatibility: Compatibility,
    /// Take passwords, keys and shared secrets out.
    pub without_secrets: bool,
    /// Leave what is told of people as it is, for the source holds no user data. Callers cannot ask for it.
    #[serde(skip)]
    pub people_stay: bool,
    /// Activities of unknown plugins that come along as they are, by name (`MODNAME_CMID`).
    pub accepted: BTreeSet<String>,
}

impl Order {
    /// Whether nothing was asked.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
