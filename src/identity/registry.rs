//! The principals of a configuration, checked, and how each is found.

use std::collections::HashMap;
use std::sync::Arc;

use subtle::ConstantTimeEq;

use super::{Caller, is_name};
use crate::capability::{BuiltInRole, Capability, Roles};
use crate::config::{ConfigError, PrincipalsConfig, Token};
use crate::digest::Sha256;
use crate::principal::{Grant, Principal, Reach};

/// Everybody who is known.
#[derive(Debug, Default)]
pub(super) struct Registry {
    roles: Roles,
    known: Vec<Caller>,
    /// Digests of tokens, and whose they are.
    tokens: Vec<(Sha256, usize)>,
    /// Names in certificates, and whose they are.
    certificates: HashMap<String, usize>,
    /// Grants by name.
    grants: HashMap<String, Arc<[Grant]>>,
}

impl Registry {
    /// Checks everything and tells all that is wrong at once.
    pub(super) fn new(config: &PrincipalsConfig) -> Result<Self, ConfigError> {
        let mut out = Self::default();
        let mut faults = Vec::new();
        for (name, role) in &config.roles {
            let mut capabilities = Vec::new();
            for text in &role.capabilities {
                match Capability::parse(text) {
                    Some(capability) => capabilities.push(capability),
                    None => faults.push(format!("roles.{name}: there is no capability {text:?}")),
                }
            }
            if !out.roles.define(name, capabilities.into_iter().collect()) {
                faults.push(format!("roles.{name}: the service knows this role, and its meaning stays"));
            }
        }
        for principal in &config.principals {
            let place = format!("principals: {:?}", principal.name);
            let mut grants = Vec::new();
            for text in &principal.grants {
                match Grant::parse(text, &out.roles) {
                    Ok(grant) => grants.push(grant),
                    Err(error) => faults.push(format!("{place}: {error}")),
                }
            }
            for name in &principal.certificates {
                if !["uri:", "dns:", "sha256:"].iter().any(|kind| name.starts_with(kind)) {
                    faults.push(format!("{place}: {name:?} begins with none of uri:, dns:, sha256:"));
                }
                if out.certificates.insert(name.clone(), out.known.len()).is_some() {
                    faults.push(format!("{place}: somebody has the certificate {name:?} already"));
                }
            }
            let tokens = principal.tokens.iter().copied();
            out.add(&principal.name, grants, principal.acts_for_others, tokens, &place, &mut faults);
        }
        for token in &config.tokens {
            let place = format!("tokens: {:?}", token.principal);
            out.add(&token.principal, grants_of(token), false, [token.sha256], &place, &mut faults);
        }
        if faults.is_empty() { Ok(out) } else { Err(ConfigError(faults)) }
    }

    fn add(
        &mut self,
        name: &str,
        grants: Vec<Grant>,
        acts_for_others: bool,
        tokens: impl IntoIterator<Item = Sha256>,
        place: &str,
        faults: &mut Vec<String>,
    ) {
        if !is_name(name) {
            faults.push(format!("{place}: a name has 1 to 200 characters, and no control characters"));
        }
        let index = self.known.len();
        for token in tokens {
            if self.tokens.iter().any(|(known, _)| *known == token) {
                faults.push(format!("{place}: somebody has this token already"));
            }
            self.tokens.push((token, index));
        }
        // One name may stand in several places: what it may do is all of it.
        let all: Vec<Grant> = self.grants_of(name).iter().cloned().chain(grants.iter().cloned()).collect();
        self.grants.insert(name.to_owned(), all.into());
        self.known.push(Caller { principal: Principal::new(name, grants), acts_for_others });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Whether somebody of that name may act for others.
    pub(super) fn acts_for_others(&self, name: &str) -> bool {
        self.known.iter().any(|caller| caller.acts_for_others && caller.principal.name == name)
    }

    pub(super) fn roles(&self) -> &Roles {
        &self.roles
    }

    pub(super) fn grants_of(&self, name: &str) -> Arc<[Grant]> {
        self.grants.get(name).cloned().unwrap_or_default()
    }

    /// Who shows a certificate with these names. Where several principals are named, nobody is meant.
    pub(super) fn by_certificate(&self, names: &[String]) -> Option<Caller> {
        let mut found = names.iter().filter_map(|name| self.certificates.get(name));
        let first = found.next()?;
        if found.all(|other| other == first) { self.known.get(*first).cloned() } else { None }
    }

    /// Who has a token of that digest. Every digest is compared, each in the same time, so that an answer tells nothing of how
    /// near a guess came.
    pub(super) fn by_token(&self, digest: &Sha256) -> Option<Caller> {
        let mut found = None;
        for (known, index) in &self.tokens {
            if bool::from(known.0.ct_eq(&digest.0)) {
                found = Some(*index);
            }
        }
        self.known.get(found?).cloned()
    }
}

/// What the short form of a token means: an administrator of everything, or a service on some sites.
fn grants_of(token: &Token) -> Vec<Grant> {
    if token.administrator {
        return vec![Grant::of(BuiltInRole::Administrator, Reach::Everywhere)];
    }
    token.sites.iter().map(|site| Grant::of(BuiltInRole::Service, Reach::Site(site.clone()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{PrincipalConfig, RoleConfig};

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        let digest = Sha256([7; 32]);
        let principal = |name: &str, grant: &str| PrincipalConfig {
            name: name.into(),
            tokens: vec![digest],
            grants: vec![grant.into()],
            ..PrincipalConfig::default()
        };
        let role = |capability: &str| RoleConfig { capabilities: vec![capability.into()] };
        let config = PrincipalsConfig {
            roles: [("manager".into(), role("moodle/site:config")), ("x".into(), role("fly"))].into(),
            principals: vec![principal("", "x@*"), principal("a", "y@*")],
            tokens: Vec::new(),
        };
        let faults = Registry::new(&config).map(|_| ()).map_err(|error| error.0.len());
        assert_eq!(faults, Err(5));
    }

    #[test]
    fn certificates_mean_one_principal_or_nobody() {
        let principal = |name: &str, certificates: &[&str]| PrincipalConfig {
            name: name.into(),
            certificates: certificates.iter().map(|name| (*name).to_owned()).collect(),
            ..PrincipalConfig::default()
        };
        let config = |principals| PrincipalsConfig { principals, ..PrincipalsConfig::default() };
        let both = vec![principal("lms", &["dns:lms", "uri:spiffe://x/lms"]), principal("cms", &["dns:cms"])];
        let registry = Registry::new(&config(both)).expect("principals");
        let named = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            registry.by_certificate(&names).map(|caller| caller.principal.name)
        };
        assert_eq!(named(&["sha256:1", "dns:lms", "uri:spiffe://x/lms"]).as_deref(), Some("lms"));
        assert_eq!(named(&["dns:lms", "dns:cms"]), None);
        assert_eq!(named(&["dns:other"]), None);
        assert_eq!(named(&[]), None);
        let twice = vec![principal("lms", &["dns:lms"]), principal("cms", &["dns:lms", "cms"])];
        assert_eq!(Registry::new(&config(twice)).map(|_| ()).map_err(|error| error.0.len()), Err(2));
    }

    #[test]
    fn tokens_are_found_among_many() {
        let principals = (0..50u8).map(|n| PrincipalConfig {
            name: format!("p{n}"),
            tokens: vec![Sha256([n; 32]), Sha256([n + 100; 32])],
            ..PrincipalConfig::default()
        });
        let config = PrincipalsConfig { principals: principals.collect(), ..PrincipalsConfig::default() };
        let registry = Registry::new(&config).expect("principals");
        let named = |byte: u8| registry.by_token(&Sha256([byte; 32])).map(|caller| caller.principal.name);
        assert_eq!((named(7), named(107), named(99)), (Some("p7".into()), Some("p7".into()), None));
    }
}
