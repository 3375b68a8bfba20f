//! Configuration: one struct, from a TOML file and `COURSEVAULT_…` variables; unknown fields are refused.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::ids::{SiteId, StorageName};
use crate::limits::{Care, Limits, Quota};
use crate::telemetry::LogFormat;
use crate::vault::StorageConfig;

/// Everything that an operator can set.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Address to listen on. Without principals it must be a loopback address.
    pub listen: SocketAddr,
    /// Folder of the embedded catalog and of the embedded storage.
    pub data_dir: PathBuf,
    /// `postgres://…`; without it a SQLite file in `data_dir`.
    pub catalog_url: Option<SecretString>,
    /// Connections to PostgreSQL.
    pub catalog_connections: u32,
    /// Storages by name; `primary` must be there. Without any: a folder in `data_dir`.
    pub storages: BTreeMap<StorageName, StorageConfig>,
    /// The site that exists from the first start on.
    pub default_site: SiteId,
    /// Who may call, by the SHA-256 of a token. Without any: everybody on this machine is the administrator `local`.
    pub tokens: Vec<Token>,
    /// Who may call, in full.
    pub principals: Vec<PrincipalConfig>,
    /// Roles beside those that the service knows.
    pub roles: BTreeMap<String, RoleConfig>,
    /// A file with more `principals`, `roles` and `tokens`. It is read again on SIGHUP and when it was written.
    pub principals_file: Option<PathBuf>,
    /// TLS on `listen`. Without it, in clear.
    pub tls: Option<TlsConfig>,
    /// A second address, in clear, for probes and metrics only: `grpc.health.v1.Health` and nothing of the service.
    pub probe_listen: Option<SocketAddr>,
    /// Whether those who are known may ask for the descriptors of the services.
    pub reflection: bool,
    /// Issuers whose signed tokens (JWT) are believed.
    pub issuers: Vec<IssuerConfig>,
    /// What each site may take; `*` stands for those that are not named.
    pub quotas: BTreeMap<String, Quota>,
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
    /// How log lines look.
    pub log_format: LogFormat,
    /// What is logged, such as `info,coursevault=debug`.
    pub log: String,
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

/// TLS. The files are PEM, and are read again on SIGHUP and when they were written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The server's certificate, then those up to its authority.
    pub certificate_file: PathBuf,
    /// Its key.
    pub key_file: PathBuf,
    /// Authorities whose certificates clients may show. Without it, none is asked for.
    #[serde(default)]
    pub client_ca_file: Option<PathBuf>,
    /// Whether a client without a certificate is refused before it says anything.
    #[serde(default)]
    pub client_required: bool,
}

/// Somebody who may call.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PrincipalConfig {
    /// Its name, as resources and the record show it.
    pub name: String,
    /// SHA-256 of its tokens, 64 hex digits each: one, or two while it changes.
    pub tokens: Vec<crate::digest::Sha256>,
    /// Names in its client certificates: `uri:spiffe://…`, `dns:…`, or `sha256:…` of a certificate itself.
    pub certificates: Vec<String>,
    /// What it may do where: `ROLE@*`, `ROLE@sites/SITE` or `ROLE@sites/SITE/courses/COURSE`.
    pub grants: Vec<String>,
    /// Whether it may act for people, within what it may do itself.
    pub acts_for_others: bool,
}

/// An issuer of signed tokens (OpenID Connect, OAuth 2.0).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerConfig {
    /// Its name, the claim `iss`.
    pub issuer: String,
    /// What tokens for this service have as `aud`.
    pub audience: String,
    /// What stands before the names of its people, so that nobody gets the name of somebody else who is known here; may be empty.
    pub prefix: String,
    /// Where its keys are: an address (https, or of this machine) …
    #[serde(default)]
    pub jwks_url: Option<String>,
    /// … or a file.
    #[serde(default)]
    pub jwks_file: Option<PathBuf>,
    /// The claim that is the name.
    #[serde(default = "claim_sub")]
    pub name_claim: String,
    /// The claim with a list of grants, `ROLE@PLACE`. Without it, only what is granted to the name in this configuration counts.
    #[serde(default)]
    pub roles_claim: Option<String>,
    /// The sites on which its grants count.
    #[serde(default)]
    pub sites: Vec<SiteId>,
    /// Seconds that its clock and ours may differ.
    #[serde(default = "leeway")]
    pub leeway_seconds: u32,
}

fn claim_sub() -> String {
    "sub".into()
}

const fn leeway() -> u32 {
    60
}

/// A role that an operator defines.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RoleConfig {
    /// Names of capabilities, see docs/permissions.md.
    pub capabilities: Vec<String>,
}

/// Everybody who may call, and the roles for them: a part of the configuration, and the whole of `principals_file`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PrincipalsConfig {
    /// Roles beside those that the service knows.
    pub roles: BTreeMap<String, RoleConfig>,
    /// Principals in full.
    pub principals: Vec<PrincipalConfig>,
    /// Issuers whose signed tokens are believed.
    pub issuers: Vec<IssuerConfig>,
    /// Principals in short: an administrator, or a service on some sites.
    pub tokens: Vec<Token>,
}

impl PrincipalsConfig {
    /// Reads a file.
    pub fn read(file: &Path) -> Result<Self, ConfigError> {
        config::Config::builder()
            .add_source(config::File::from(file).format(config::FileFormat::Toml))
            .build()
            .and_then(config::Config::try_deserialize)
            .map_err(|error| ConfigError(vec![error.to_string()]))
    }

    /// These and those.
    #[must_use]
    pub fn and(mut self, more: Self) -> Self {
        self.roles.extend(more.roles);
        self.principals.extend(more.principals);
        self.issuers.extend(more.issuers);
        self.tokens.extend(more.tokens);
        self
    }
}

/// Why a configuration cannot be used. Lists everything that is wrong.
#[derive(Debug, thiserror::Error)]
#[error("configuration: {}", .0.join("; "))]
pub struct ConfigError(pub Vec<String>);

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 50051)),
            data_dir: PathBuf::from("coursevault-data"),
            catalog_url: None,
            catalog_connections: 10,
            storages: BTreeMap::new(),
            default_site: site_main(),
            tokens: Vec::new(),
            principals: Vec::new(),
            roles: BTreeMap::new(),
            principals_file: None,
            tls: None,
            probe_listen: None,
            reflection: true,
            issuers: Vec::new(),
            quotas: BTreeMap::new(),
            limits: Limits::default(),
            care: Care::default(),
            grace_days: 30,
            share_days: 90,
            lease_seconds: 30,
            upload_hours: 72,
            drain_seconds: 20,
            plugins_dir: None,
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
        const CLIENT: [&str; 3] = ["COURSEVAULT_SERVER", "COURSEVAULT_SITE", "COURSEVAULT_TOKEN"];
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
        if !self.authenticates() && !self.listen.ip().is_loopback() {
            faults.push(format!(
                "listen: {} is reachable from other machines, so principals must be configured",
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
        if !self.storages.is_empty() && !self.storages.contains_key(&storage_primary()) {
            faults.push("storages: one of them must be named `primary`".into());
        }
        for token in self.tokens.iter().filter(|token| token.principal.is_empty()) {
            faults.push(format!("tokens: the token {} has no principal", token.sha256));
        }
        if self.tls.as_ref().is_some_and(|tls| tls.client_required && tls.client_ca_file.is_none()) {
            faults.push("tls.client_required: needs tls.client_ca_file".into());
        }
        if self.probe_listen.is_some_and(|probe| probe == self.listen && probe.port() != 0) {
            faults.push("probe_listen: must be another address than listen".into());
        }
        if self.limits.concurrent_jobs == 0 || self.limits.concurrent_ingests == 0 {
            faults.push("limits: concurrent_jobs and concurrent_ingests must be at least 1".into());
        }
        if self.lease_seconds < 3 {
            faults.push("lease_seconds: must be at least 3".into());
        }
        if tracing_subscriber::EnvFilter::builder().parse(&self.log).is_err() {
            faults.push(format!("log: {:?} is no list of directives", self.log));
        }
        faults
    }

    /// Whether callers must show who they are.
    pub fn authenticates(&self) -> bool {
        !self.tokens.is_empty()
            || !self.principals.is_empty()
            || !self.issuers.is_empty()
            || self.principals_file.is_some()
    }

    /// Who may call, as far as it stands in the configuration itself.
    pub fn identities(&self) -> PrincipalsConfig {
        PrincipalsConfig {
            roles: self.roles.clone(),
            principals: self.principals.clone(),
            issuers: self.issuers.clone(),
            tokens: self.tokens.clone(),
        }
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
        assert_eq!(refused.map_err(|e| e.0.len()).err(), Some(3));
        assert!(Config::load(None, &env(&[("COURSEVAULT_LISTENN", "x")])).is_err());
    }
}
