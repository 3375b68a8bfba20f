//! Who calls: a layer in front of all services that turns credentials into a principal, and refuses what nobody may.

use std::collections::HashMap;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::{Either, Ready, ready};
use http::header::AUTHORIZATION;
use sha2::{Digest as _, Sha256 as Hasher};
use tonic::body::Body;
use tonic::{Request, Status};
use tower::{Layer, Service};

use super::permissions::permission;
use crate::config::Token;
use crate::digest::Sha256;
use crate::engine::Error;
use crate::ids::SiteId;
use crate::principal::{Principal, Scope};
use crate::reason::Reason;

/// The principals by the SHA-256 of their tokens. Looking a digest up leaks nothing of use about the token.
#[derive(Clone, Default)]
pub struct Tokens(Arc<HashMap<Sha256, Principal>>);

impl Tokens {
    /// The configured tokens. Without any, every caller is the local administrator.
    pub fn new(tokens: &[Token]) -> Self {
        let principal = |token: &Token| Principal {
            name: token.principal.clone(),
            scope: if token.administrator { Scope::Administrator } else { Scope::Sites(token.sites.clone()) },
        };
        Self(Arc::new(tokens.iter().map(|token| (token.sha256, principal(token))).collect()))
    }

    fn identify(&self, headers: &http::HeaderMap) -> Result<Principal, Error> {
        if self.0.is_empty() {
            return Ok(Principal::local());
        }
        let Some(header) = headers.get(AUTHORIZATION) else {
            return Err(Error::new(Reason::CredentialsMissing, "the call has no authorization header"));
        };
        // The scheme's name may be written in any case (RFC 9110, 11.1).
        let token = (header.to_str().ok().and_then(|text| text.split_once(' ')))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map_or("", |(_, token)| token);
        let digest = Sha256(Hasher::digest(token.as_bytes()).into());
        self.0
            .get(&digest)
            .cloned()
            .ok_or_else(|| Error::new(Reason::CredentialsInvalid, "nobody has these credentials"))
    }

    /// The principal of a call, if it may make that call at all. Health answers to anyone.
    fn admit(&self, path: &str, headers: &http::HeaderMap) -> Result<Option<Principal>, Error> {
        if path.starts_with("/grpc.health.v1.Health/") {
            return Ok(None);
        }
        let principal = self.identify(headers)?;
        if path.starts_with("/coursevault.v1.") {
            // An unknown method passes: the router behind answers UNIMPLEMENTED, by which clients detect features.
            if let Some(needed) = permission(path)
                && needed.administrators_only
                && !principal.is_administrator()
            {
                return Err(denied(needed.capability));
            }
        }
        Ok(Some(principal))
    }
}

fn denied(capability: &str) -> Error {
    Error::new(Reason::PermissionDenied, format!("the caller lacks {capability}"))
        .with("permission", &capability)
}

/// Puts [`Tokens`] in front of services.
#[derive(Clone)]
pub struct AuthLayer(pub Tokens);

impl<S> Layer<S> for AuthLayer {
    type Service = Auth<S>;

    fn layer(&self, inner: S) -> Auth<S> {
        Auth { tokens: self.0.clone(), inner }
    }
}

/// See [`AuthLayer`].
#[derive(Clone)]
pub struct Auth<S> {
    tokens: Tokens,
    inner: S,
}

impl<S> Service<http::Request<Body>> for Auth<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<S::Response, S::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        match self.tokens.admit(request.uri().path(), request.headers()) {
            Ok(principal) => {
                if let Some(principal) = principal {
                    request.extensions_mut().insert(principal);
                }
                Either::Left(self.inner.call(request))
            }
            Err(error) => Either::Right(ready(Ok(Status::from(error).into_http()))),
        }
    }
}

/// The principal that the layer found.
pub fn principal<T>(request: &Request<T>) -> Result<Principal, Error> {
    request
        .extensions()
        .get::<Principal>()
        .cloned()
        .ok_or_else(|| Error::new(Reason::CredentialsMissing, "the call has no principal"))
}

/// Refuses a site that the principal does not reach, whether it exists or not.
pub fn reach(principal: &Principal, site: &SiteId) -> Result<(), Error> {
    if principal.reaches(site) { Ok(()) } else { Err(denied("coursevault/site:view")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(token: &str) -> http::HeaderMap {
        let mut headers = http::HeaderMap::new();
        if let Ok(value) = format!("Bearer {token}").parse() {
            headers.insert(AUTHORIZATION, value);
        }
        headers
    }

    fn tokens() -> Tokens {
        let token = |principal: &str, secret: &str, administrator| Token {
            principal: principal.into(),
            sha256: Sha256(Hasher::digest(secret).into()),
            administrator,
            sites: "main".parse().into_iter().collect(),
        };
        Tokens::new(&[token("root", "s3cret", true), token("lms", "other", false)])
    }

    const ADMIN_CALL: &str = "/coursevault.v1.AdminService/CreateSite";

    #[test]
    fn without_tokens_everybody_is_the_local_administrator() {
        let admitted = Tokens::default().admit(ADMIN_CALL, &http::HeaderMap::new());
        assert_eq!(admitted.ok().flatten(), Some(Principal::local()));
    }

    #[test]
    fn credentials_are_needed_known_and_sufficient() {
        let refusal =
            |path: &str, headers: &http::HeaderMap| tokens().admit(path, headers).err().map(|e| e.reason);
        assert_eq!(refusal(ADMIN_CALL, &http::HeaderMap::new()), Some(Reason::CredentialsMissing));
        assert_eq!(refusal(ADMIN_CALL, &headers("guess")), Some(Reason::CredentialsInvalid));
        assert_eq!(refusal(ADMIN_CALL, &headers("other")), Some(Reason::PermissionDenied));
        assert_eq!(refusal(ADMIN_CALL, &headers("s3cret")), None);
        assert_eq!(refusal("/coursevault.v1.JobService/GetJob", &headers("other")), None);
        assert_eq!(
            refusal("/grpc.reflection.v1.ServerReflection/x", &http::HeaderMap::new()),
            Some(Reason::CredentialsMissing)
        );
        assert_eq!(refusal("/grpc.health.v1.Health/Check", &http::HeaderMap::new()), None);
    }

    #[test]
    fn other_sites_are_out_of_reach() {
        let lms = Principal { name: "lms".into(), scope: Scope::Sites("main".parse().into_iter().collect()) };
        assert!("main".parse().is_ok_and(|site| reach(&lms, &site).is_ok()));
        assert!("other".parse().is_ok_and(|site| reach(&lms, &site).is_err()));
    }
}
