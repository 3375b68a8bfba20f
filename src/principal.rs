//! Who asks.

use crate::ids::SiteId;

/// Name of the service itself. No caller has it.
pub const SERVICE: &str = "coursevault";

/// The party on whose word something is done. It owns what it makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Its name, as resources and the record show it.
    pub name: String,
    /// What it may reach.
    pub scope: Scope,
}

/// What a principal may reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everything.
    Administrator,
    /// These sites, without what only administrators may do.
    Sites(Vec<SiteId>),
}

impl Principal {
    /// The administrator that every caller is while no tokens are configured.
    pub fn local() -> Self {
        Self { name: "local".into(), scope: Scope::Administrator }
    }

    /// The service itself, where it does something that nobody asked for at that moment.
    pub fn service() -> Self {
        Self { name: SERVICE.into(), scope: Scope::Administrator }
    }

    /// Whether it may do what only administrators may.
    pub fn is_administrator(&self) -> bool {
        self.scope == Scope::Administrator
    }

    /// Whether it may reach a site at all.
    pub fn reaches(&self, site: &SiteId) -> bool {
        match &self.scope {
            Scope::Administrator => true,
            Scope::Sites(sites) => sites.contains(site),
        }
    }
}
