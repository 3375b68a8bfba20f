//! Configuration: one struct, from a TOML file and `COURSEVAULT_…` variables; unknown fields are refused.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::ids::{SiteId, StorageName};
use crate::limits::{Care, Limits};
use crate::telemetry::LogFormat;
use crate::vault::StorageConfig;

/// What a process of the service does. Any number of each works on one catalog in PostgreSQL and one set of storages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Answers calls and runs jobs.
    #[default]
    All,
    /// Answers calls only.
    Api,
    /// Runs jobs only; of the services it has health and reflection.
    Worker,
}

/// Everything that an operator can set.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Address to listen on. Without tokens it must be a loopback address.
    pub listen: SocketAddr,
    /// What this process does: `all`, `api` or `worker`. The latter two need PostgreSQL.
    pub role: Role,
    /// Address of a second port without encryption and credentials, for probes (`grpc.health.v1.Health`) and metrics
    /// (`GET /metrics`) only. Without it there is no such port.
    pub probe_listen: Option<SocketAddr>,
    /// Folder of the embedded catalog and of the embedded storage.
    pub data_dir: PathBuf,
    /// `postgres://…`; without it a SQLite file in `data_dir`.
    pub catalog_url: Option<SecretString>,
    /// Connections to PostgreSQL.
    pub catalog_connections: u32,
    /// Storages by name; `primary` must be there. Without any: a folder in `data_dir`.
    pub storages: BTreeMap<StorageName, StorageConfig>,
    /// Storages of areas that have one of their own.
    pub areas: AreaStorages,
    /// The site that exists from the first start on.
    pub default_site: SiteId,
    /// Who may call, by the SHA-256 of a token. Without any: everybody on this machine is the administrator `local`.
    pub tokens: Vec<Token>,
    /// Bounds.
    pub limits: Limits,
    /// How the service cares for what it stores.
    pub care: Care,
    /// Days until a deleted archive may be purged.
    pub grace_days: u32,
    /// Most days for which an archive can be shared at once.
    pub share_days: u32,
    /// Seconds until a worker's claim on a job ends without a sign of life.
    pub lease_seconds: u32,
    /// Hours until an upload session without any activity may be removed.
    pub upload_hours: u32,
    /// Seconds that a stopping server waits for calls and jobs.
    pub drain_seconds: u32,
    /// Folder with descriptions of further plugins (`*.plugin`, see docs/plugins.md). Read at the start.
    pub plugins_dir: Option<PathBuf>,
    /// Where spans are sent by OTLP over gRPC, such as `http://collector:4317`. Only in a build with the feature `otlp`.
    pub otlp_endpoint: Option<String>,
    /// How log lines look.
    pub log_format: LogFormat,
    /// What is logged, such as `info,coursevault=debug`.
    pub log: String,
}

/// Names of the storages of areas; those that are not named are on `primary`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AreaStorages {
    /// Of the drop zone.
    pub drop_zone: Option<StorageName>,
    /// Of the course area.
    pub course: Option<StorageName>,
    /// Of private areas.
    pub private: Option<StorageName>,
    /// Of the automated area. Without it the storage named `automated`, if there is one.
    pub automated: Option<StorageName>,
}

/// A static token.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// Name of the principal.
    pub principal: String,
    /// SHA-256 of the token, 64 hex digits.
    pub sha256: crate::digest::Sha256,
    /// Whether it is an administrator.
    #[serde(default)]
    pub administrator: bool,
    /// The sites that it may reach; an administrator reaches all.
    #[serde(default)]
    pub sites: Vec<SiteId>,
}

/// Why a configuration cannot be used. Lists everything that is wrong.
#[derive(Debug, thiserror::Error)]
#[error("configuration: {}", .0.join("; "))]
pub struct ConfigError(pub Vec<String>);

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 50051)),
            role: Role::All,
            probe_listen: None,
            data_dir: PathBuf::from("coursevault-data"),
            catalog_url: None,
            catalog_connections: 10,
            storages: BTreeMap::new(),
            areas: AreaStorages::default(),
            default_site: site_main(),
            tokens: Vec::new(),
            limits: Limits::default(),
            care: Care::default(),
            grace_days: 30,
            share_days: 90,
            lease_seconds: 30,
            upload_hours: 72,
            drain_seconds: 20,
            plugins_dir: None,
            otlp_endpoint: None,
            log_format: LogFormat::Text,
            log: "info".into(),
        }
    }
}

#[expect(clippy::expect_used, reason = "a literal that is a valid id; a test reads it")]
fn site_main() -> SiteId {
    "main".parse().expect("`main` is a valid id")
}

#[expect(clippy::expect_used, reason = "a literal that is a valid id; a test reads it")]
pub(crate) fn storage_primary() -> StorageName {
    "primary".parse().expect("`primary` is a valid id")
}

impl Config {
    /// SQLite and a folder below `data_dir`, everything else by default.
    pub fn embedded(data_dir: PathBuf) -> Self {
        Self { data_dir, ..Self::default() }
    }

    /// Reads a file, if one is given, and lays the `COURSEVAULT_…` variables of `env` over it
    /// (`COURSEVAULT_LISTEN`, `COURSEVAULT_STORAGES__PRIMARY__URL`; two underscores go one level down).
    pub fn load(file: Option<&Path>, env: &BTreeMap<String, String>) -> Result<Self, ConfigError> {
        // The variables of the client share the prefix.
        const CLIENT: [&str; 4] =
            ["COURSEVAULT_PROFILE", "COURSEVAULT_SERVER", "COURSEVAULT_SITE", "COURSEVAULT_TOKEN"];
        let ours: std::collections::HashMap<String, String> = env
            .iter()
            .filter(|(key, _)| key.starts_with("COURSEVAULT_") && !CLIENT.contains(&key.as_str()))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        let mut builder = config::Config::builder();
        if let Some(file) = file {
            builder = builder.add_source(config::File::from(file).format(config::FileFormat::Toml));
        }
        let environment = config::Environment::with_prefix("COURSEVAULT")
            .prefix_separator("_")
            .separator("__")
            .source(Some(ours));
        let config: Self = builder
            .add_source(environment)
            .build()
            .and_then(config::Config::try_deserialize)
            .map_err(|error| ConfigError(vec![error.to_string()]))?;
        let faults = config.faults();
        if faults.is_empty() { Ok(config) } else { Err(ConfigError(faults)) }
    }

    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.tokens.is_empty() && !self.listen.ip().is_loopback() {
            faults.push(format!(
                "listen: {} is reachable from other machines, so tokens must be configured",
                self.listen
            ));
        }
        let url = self.catalog_url.as_ref().map(|url| url.expose_secret());
        if url.is_some_and(|url| !url.starts_with("postgres://") && !url.starts_with("postgresql://")) {
            // SQLite belongs into the data folder, whose lock keeps a second server out.
            faults.push(
                "catalog_url: must begin with postgres://; without it a SQLite file is kept in data_dir"
                    .into(),
            );
        }
        if self.role != Role::All && url.is_none() {
            faults.push("role: without catalog_url one process does everything, so it must be `all`".into());
        }
        if !self.storages.is_empty() && !self.storages.contains_key(&storage_primary()) {
            faults.push("storages: one of them must be named `primary`".into());
        }
        let AreaStorages { drop_zone, course, private, automated } = &self.areas;
        for name in [drop_zone, course, private, automated].into_iter().flatten() {
            if !self.storages.contains_key(name) && (*name != storage_primary() || !self.storages.is_empty())
            {
                faults.push(format!("areas: there is no storage {name}"));
            }
        }
        for token in self.tokens.iter().filter(|token| token.principal == crate::principal::SERVICE) {
            faults.push(format!("tokens: the principal {} is the service itself", token.principal));
        }
        for token in self.tokens.iter().filter(|token| token.principal.is_empty()) {
            faults.push(format!("tokens: the token {} has no principal", token.sha256));
        }
        if self.limits.concurrent_jobs == 0 || self.limits.concurrent_ingests == 0 {
            faults.push("limits: concurrent_jobs and concurrent_ingests must be at least 1".into());
        }
        if self.lease_seconds < 3 {
            faults.push("lease_seconds: must be at least 3".into());
        }
        if self.otlp_endpoint.is_some() && !cfg!(feature = "otlp") {
            faults
                .push("otlp_endpoint: this build exports no spans; build it with the feature `otlp`".into());
        }
        if tracing_subscriber::EnvFilter::builder().parse(&self.log).is_err() {
            faults.push(format!("log: {:?} is no list of directives", self.log));
        }
        faults
    }

    /// Time until a worker's claim on a job ends without a sign of life.
    pub fn lease(&self) -> Duration {
        Duration::from_secs(self.lease_seconds.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn nothing_needs_to_be_configured() -> Result<(), ConfigError> {
        let config = Config::load(None, &env(&[("COURSEVAULT_TOKEN", "a client's own"), ("PATH", "/bin")]))?;
        assert!(config.listen.ip().is_loopback());
        assert_eq!(config.default_site.as_str(), "main");
        assert_eq!(storage_primary().as_str(), "primary");
        Ok(())
    }

    #[test]
    fn variables_reach_every_level() -> Result<(), ConfigError> {
        let config = Config::load(
            None,
            &env(&[
                ("COURSEVAULT_LISTEN", "127.0.0.1:7"),
                ("COURSEVAULT_LIMITS__MEMBERS", "9"),
                ("COURSEVAULT_STORAGES__PRIMARY__URL", "memory:"),
                ("COURSEVAULT_STORAGES__PRIMARY__ALLOW_HTTP", "true"),
                ("COURSEVAULT_STORAGES__PRIMARY__SECRET_ACCESS_KEY", "0012e3"),
            ]),
        )?;
        let secret = config.storages.values().find_map(|storage| storage.secret_access_key.as_ref());
        assert_eq!(secret.map(|secret| secret.expose_secret()), Some("0012e3"));
        assert_eq!((config.listen.port(), config.limits.members, config.storages.len()), (7, 9, 1));
        Ok(())
    }

    #[test]
    fn an_open_address_without_tokens_is_refused_with_every_other_fault() {
        let refused = Config::load(
            None,
            &env(&[
                ("COURSEVAULT_LISTEN", "0.0.0.0:1"),
                ("COURSEVAULT_STORAGES__OTHER__URL", "memory:"),
                ("COURSEVAULT_CATALOG_URL", "sqlite:elsewhere.db"),
            ]),
        );
        let alone = Config::load(None, &env(&[("COURSEVAULT_ROLE", "worker")]));
        assert_eq!(alone.map_err(|e| e.0.len()).err(), Some(1));
        assert_eq!(refused.map_err(|e| e.0.len()).err(), Some(3));
        assert!(Config::load(None, &env(&[("COURSEVAULT_LISTENN", "x")])).is_err());
    }
}
