//! Tokens that an issuer signed (OpenID Connect, OAuth 2.0): JWTs by asymmetric keys, which come from a file or an address.
//!
//! Keys are kept until they are asked for by an id that is not among them, or are old; an issuer that does not answer
//! changes nothing for keys that are known.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::config::{ConfigError, IssuerConfig};

/// Keys are asked for at most this often, whatever ids tokens name.
const FETCH_PAUSE: Duration = Duration::from_secs(5);

/// Keys are asked for anew after that: what an issuer took back is not believed for ever.
const KEYS_LAST: Duration = Duration::from_secs(600);

/// An issuer answers within that.
const FETCH_WITHIN: Duration = Duration::from_secs(5);

/// Bytes of a set of keys; it is read as a whole.
const KEYS_BYTES: usize = 1 << 20;

/// Longest token that is looked at.
const TOKEN_BYTES: usize = 16 << 10;

/// Ways to sign that are believed: none of them uses a secret that the verifier has, too.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// Who an issuer vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Vouched {
    /// The name, with the issuer's prefix.
    pub name: String,
    /// What it may do, by the issuer's word; to be narrowed to the issuer's sites.
    pub roles: Vec<String>,
    /// The issuer.
    pub issuer: usize,
}

/// Why a token is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unvouched {
    /// It is none of a known issuer, altered, expired, or for somebody else.
    Invalid,
    /// Its key is unknown, and the issuer does not answer.
    Unreachable,
}

/// An issuer whose word counts.
pub(super) struct Issuer {
    pub config: IssuerConfig,
    keys: RwLock<Arc<JwkSet>>,
    /// When the keys were asked for last; whoever holds it asks.
    asked: Mutex<Option<Instant>>,
}

impl Issuer {
    /// Reads the keys, if they are in a file.
    pub(super) fn open(config: &IssuerConfig) -> Result<Self, ConfigError> {
        let fault = |what: String| ConfigError(vec![format!("issuers: {}: {what}", config.issuer)]);
        let keys = match (&config.jwks_file, &config.jwks_url) {
            (Some(path), None) => {
                let text =
                    std::fs::read(path).map_err(|error| fault(format!("{}: {error}", path.display())))?;
                serde_json::from_slice(&text)
                    .map_err(|error| fault(format!("{}: {error}", path.display())))?
            }
            (None, Some(url)) if is_safe(url) => JwkSet { keys: Vec::new() },
            (None, Some(_)) => return Err(fault("jwks_url must be https, or of this machine".into())),
            _ => return Err(fault("needs one of jwks_file and jwks_url".into())),
        };
        if config.issuer.is_empty() || config.audience.is_empty() {
            return Err(fault("needs issuer and audience".into()));
        }
        Ok(Self { config: config.clone(), keys: RwLock::new(Arc::new(keys)), asked: Mutex::new(None) })
    }

    fn key(&self, id: Option<&str>) -> Option<Jwk> {
        let keys = Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner));
        match id {
            Some(id) => keys.find(id).cloned(),
            // Without an id there must be only one that can be meant.
            None if keys.keys.len() == 1 => keys.keys.first().cloned(),
            None => None,
        }
    }

    /// Asks for the keys, unless that was done just now. Tells whether the issuer answered, or needed not.
    async fn fetch(&self, oldest: Duration) -> bool {
        let Some(url) = &self.config.jwks_url else { return true };
        let mut asked = self.asked.lock().await;
        if asked.is_some_and(|asked| asked.elapsed() < oldest) {
            return true;
        }
        *asked = Some(Instant::now());
        match tokio::time::timeout(FETCH_WITHIN, keys_at(url)).await {
            Ok(Ok(keys)) => {
                tracing::info!(
                    issuer = self.config.issuer,
                    keys = keys.keys.len(),
                    "keys of an issuer are read"
                );
                *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
                true
            }
            Ok(Err(what)) => {
                tracing::warn!(issuer = self.config.issuer, what, "keys of an issuer cannot be read");
                false
            }
            Err(_) => {
                tracing::warn!(issuer = self.config.issuer, "an issuer does not answer");
                false
            }
        }
    }

    /// What a token says, if this issuer signed it with that key, for this service, for now.
    fn claims(&self, token: &str, algorithm: Algorithm, key: &Jwk) -> Option<serde_json::Value> {
        let mut validation = Validation::new(algorithm);
        validation.set_issuer(&[&self.config.issuer]);
        validation.set_audience(&[&self.config.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.validate_nbf = true;
        validation.leeway = self.config.leeway_seconds.into();
        let key = DecodingKey::from_jwk(key).ok()?;
        decode::<serde_json::Value>(token, &key, &validation).ok().map(|token| token.claims)
    }
}

/// The one for whom one of the issuers vouches by a token.
pub(super) async fn vouched(issuers: &[Arc<Issuer>], token: &str) -> Result<Vouched, Unvouched> {
    if token.len() > TOKEN_BYTES {
        return Err(Unvouched::Invalid);
    }
    let header = decode_header(token).map_err(|_| Unvouched::Invalid)?;
    if !ALGORITHMS.contains(&header.alg) {
        return Err(Unvouched::Invalid);
    }
    let mut why = Unvouched::Invalid;
    for (index, issuer) in issuers.iter().enumerate() {
        issuer.fetch(KEYS_LAST).await;
        let mut key = issuer.key(header.kid.as_deref());
        if key.is_none() {
            // The issuer may have changed its keys.
            if !issuer.fetch(FETCH_PAUSE).await {
                why = Unvouched::Unreachable;
            }
            key = issuer.key(header.kid.as_deref());
        }
        let claims = key.and_then(|key| issuer.claims(token, header.alg, &key));
        let Some(claims) = claims else { continue };
        let config = &issuer.config;
        let name = claims.get(&config.name_claim).and_then(|name| name.as_str()).unwrap_or_default();
        if name.is_empty() {
            return Err(Unvouched::Invalid);
        }
        let roles = config.roles_claim.as_ref().and_then(|claim| claims.get(claim)?.as_array().cloned());
        let roles = roles.unwrap_or_default();
        return Ok(Vouched {
            name: format!("{}{name}", config.prefix),
            roles: roles.iter().filter_map(|role| role.as_str().map(str::to_owned)).collect(),
            issuer: index,
        });
    }
    Err(why)
}

/// Whether keys from there can be believed: nobody between can exchange them.
fn is_safe(url: &str) -> bool {
    let local = ["http://127.0.0.1:", "http://[::1]:", "http://localhost:"];
    url.starts_with("https://") || local.iter().any(|start| url.starts_with(start))
}

async fn keys_at(url: &str) -> Result<JwkSet, String> {
    let told = |error: reqwest::Error| error.without_url().to_string();
    let client =
        reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().map_err(told)?;
    let mut response =
        client.get(url).send().await.and_then(reqwest::Response::error_for_status).map_err(told)?;
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(told)? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > KEYS_BYTES {
            return Err("more than 1 MiB".into());
        }
    }
    serde_json::from_slice(&bytes).map_err(|error| error.to_string())
}
