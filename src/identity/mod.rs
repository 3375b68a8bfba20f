//! Who callers are: credentials in, a principal out. Knows no call and no resource.
//!
//! Principals come from the configuration and from a file that is read again when it changes. Secrets are kept as digests.

mod oidc;
mod registry;

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use sha2::{Digest as _, Sha256 as Hasher};

use crate::config::{ConfigError, PrincipalsConfig};
use crate::digest::Sha256;
use crate::principal::{Grant, Principal};
use oidc::{Issuer, Unvouched};
use registry::Registry;

/// A caller that was recognised.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who it is.
    pub principal: Principal,
    /// Whether it may act for others.
    pub acts_for_others: bool,
}

/// Why there is no principal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unidentified {
    /// Nobody has these credentials.
    Unknown,
    /// The issuer of the credentials does not answer.
    Unverifiable,
    /// The caller may not act for somebody else.
    Untrusted,
    /// The name of the person is no name.
    Person,
    /// The roles of the person are none: what is wrong.
    Role(String),
}

/// Most characters of a principal's name.
const NAME: usize = 200;

/// Everybody who is known.
pub struct Identities {
    /// What the configuration says; it does not change while the server runs.
    fixed: PrincipalsConfig,
    /// The file with more of them.
    file: Option<PathBuf>,
    state: RwLock<State>,
}

struct State {
    registry: Arc<Registry>,
    issuers: Arc<[Arc<Issuer>]>,
    /// When each of the files was written, as it was read.
    written: Vec<Option<SystemTime>>,
}

impl Identities {
    /// Those of a configuration, without a file.
    pub fn of(fixed: &PrincipalsConfig) -> Result<Self, ConfigError> {
        Self::open(fixed.clone(), None)
    }

    /// Those of a configuration and of a file.
    pub fn open(fixed: PrincipalsConfig, file: Option<PathBuf>) -> Result<Self, ConfigError> {
        let state = RwLock::new(read(&fixed, file.as_ref())?);
        Ok(Self { fixed, file, state })
    }

    /// Reads the file again. What cannot be used changes nothing.
    pub fn reload(&self) -> Result<(), ConfigError> {
        let new = read(&self.fixed, self.file.as_ref())?;
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }

    /// Whether the file was written since it was read.
    pub fn is_stale(&self) -> bool {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        files(self.file.as_ref(), &state.issuers).map(modified).collect::<Vec<_>>() != state.written
    }

    /// Whether there is a file, which may change.
    pub fn has_file(&self) -> bool {
        files(self.file.as_ref(), &self.issuers()).next().is_some()
    }

    /// Whether nobody is configured, so that every caller is the local administrator.
    pub fn is_open(&self) -> bool {
        self.file.is_none() && self.registry().is_empty() && self.issuers().is_empty()
    }

    /// Who shows a token.
    pub fn by_token(&self, token: &str) -> Result<Caller, Unidentified> {
        let digest = Sha256(Hasher::digest(token.as_bytes()).into());
        self.registry().by_token(&digest).ok_or(Unidentified::Unknown)
    }

    /// Who shows a token, its own or one that an issuer signed.
    pub async fn by_any_token(&self, token: &str) -> Result<Caller, Unidentified> {
        let issuers = self.issuers();
        // A signed token has three parts; those that we make have none.
        if issuers.is_empty() || token.split('.').count() != 3 {
            return self.by_token(token);
        }
        let vouched = oidc::vouched(&issuers, token).await.map_err(|why| match why {
            Unvouched::Invalid => Unidentified::Unknown,
            Unvouched::Unreachable => Unidentified::Unverifiable,
        })?;
        if !is_name(&vouched.name) {
            return Err(Unidentified::Unknown);
        }
        let registry = self.registry();
        // A grant that makes no sense, or reaches further than the issuer's word, is none.
        let said = vouched.roles.iter().filter_map(|text| Grant::parse(text, registry.roles()).ok());
        let said: Vec<Grant> = said.collect();
        let sites = &issuers[vouched.issuer].config.sites;
        let within = sites.iter().flat_map(|site| said.iter().filter_map(|grant| grant.within(site)));
        let grants: Vec<Grant> = registry.grants_of(&vouched.name).iter().cloned().chain(within).collect();
        let acts_for_others = registry.acts_for_others(&vouched.name);
        Ok(Caller { principal: Principal::new(vouched.name, grants), acts_for_others })
    }

    fn issuers(&self) -> Arc<[Arc<Issuer>]> {
        Arc::clone(&self.state.read().unwrap_or_else(PoisonError::into_inner).issuers)
    }

    /// Who shows a certificate with these names.
    pub fn by_certificate(&self, names: &[String]) -> Result<Caller, Unidentified> {
        self.registry().by_certificate(names).ok_or(Unidentified::Unknown)
    }

    /// The person for whom a service calls. What it may do is said by the service, else by the configuration; never more than
    /// the service itself may.
    pub fn on_behalf_of(
        &self,
        caller: &Caller,
        person: &str,
        roles: Option<&str>,
    ) -> Result<Principal, Unidentified> {
        if !caller.acts_for_others {
            return Err(Unidentified::Untrusted);
        }
        if !is_name(person) {
            return Err(Unidentified::Person);
        }
        let registry = self.registry();
        let grants: Arc<[Grant]> = match roles {
            Some(roles) => {
                let each = roles.split(',').map(str::trim).filter(|role| !role.is_empty());
                let grants = each.map(|text| Grant::parse(text, registry.roles()));
                let grants: Vec<Grant> = grants
                    .collect::<Result<_, _>>()
                    .map_err(|error| Unidentified::Role(error.to_string()))?;
                grants.into()
            }
            None => registry.grants_of(person),
        };
        Ok(caller.principal.acting_for(person, &grants))
    }

    fn registry(&self) -> Arc<Registry> {
        Arc::clone(&self.state.read().unwrap_or_else(PoisonError::into_inner).registry)
    }
}

/// A secret for a principal: 256 random bits in hexadecimal digits, recognised by what stands before them. `None`: the machine
/// gives no random numbers.
pub fn new_token() -> Option<String> {
    let mut bytes = [0; 32];
    rustls::crypto::aws_lc_rs::default_provider().secure_random.fill(&mut bytes).ok()?;
    Some(format!("cv_{}", Sha256(bytes)))
}

/// Whether a text can be a principal's name.
fn is_name(text: &str) -> bool {
    !text.trim().is_empty() && text.chars().count() <= NAME && !text.chars().any(char::is_control)
}

fn modified(file: &PathBuf) -> Option<SystemTime> {
    std::fs::metadata(file).and_then(|metadata| metadata.modified()).ok()
}

/// The files that are read: that of principals, and those of issuers' keys.
fn files<'a>(file: Option<&'a PathBuf>, issuers: &'a [Arc<Issuer>]) -> impl Iterator<Item = &'a PathBuf> {
    file.into_iter().chain(issuers.iter().filter_map(|issuer| issuer.config.jwks_file.as_ref()))
}

fn read(fixed: &PrincipalsConfig, file: Option<&PathBuf>) -> Result<State, ConfigError> {
    // The time first: what is written while it is read is read once more.
    let written = file.map(modified);
    let all = match file {
        Some(file) => fixed.clone().and(PrincipalsConfig::read(file)?),
        None => fixed.clone(),
    };
    let keys = all.issuers.iter().filter_map(|issuer| issuer.jwks_file.as_ref()).map(modified);
    let written = written.into_iter().chain(keys).collect();
    let issuers = all.issuers.iter().map(|issuer| Issuer::open(issuer).map(Arc::new));
    let issuers = issuers.collect::<Result<Vec<_>, _>>()?.into();
    Ok(State { registry: Arc::new(Registry::new(&all)?), issuers, written })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn file(text: &str, path: &std::path::Path) {
        std::fs::write(path, text).expect("a file");
    }

    fn token(name: &str) -> String {
        Sha256(Hasher::digest(format!("{name}-secret")).into()).to_string()
    }

    #[test]
    fn a_file_is_read_again_and_a_bad_one_changes_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("principals.toml");
        let principal = |name: &str| {
            format!(
                "[[principals]]\nname = {name:?}\ntokens = [{:?}]\ngrants = [\"grader@sites/main\"]\n",
                token(name)
            )
        };
        let role = "[roles.grader]\ncapabilities = [\"coursevault/archive:view\"]\n";
        file(&(role.to_owned() + &principal("anna")), &path);
        let identities =
            Identities::open(PrincipalsConfig::default(), Some(path.clone())).expect("identities");
        let known = |name: &str| identities.by_token(&format!("{name}-secret")).is_ok();
        assert!(known("anna") && !known("ben") && !identities.is_stale() && !identities.is_open());

        file(&(role.to_owned() + &principal("ben")), &path);
        let later = SystemTime::now() + Duration::from_secs(5);
        std::fs::File::options()
            .write(true)
            .open(&path)
            .and_then(|file| file.set_modified(later))
            .expect("a time");
        assert!(identities.is_stale());
        identities.reload().expect("a good file");
        assert!(!known("anna") && known("ben") && !identities.is_stale());

        for bad in
            ["[[principals]]\n", "principals = 7", "[roles.teacher]\ncapabilities = []", &principal("carl")]
        {
            file(bad, &path);
            assert!(identities.reload().is_err(), "{bad}");
            assert!(known("ben"), "{bad}");
        }
        std::fs::remove_file(&path).expect("gone");
        assert!(identities.reload().is_err() && known("ben") && !identities.is_open());
        // An empty file lets nobody in, and does not open the door to all.
        file("", &path);
        identities.reload().expect("an empty file");
        assert!(!known("ben") && !identities.is_open());
    }
}
