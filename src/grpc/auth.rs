//! Who calls: a layer in front of all services that turns credentials into a principal, and refuses what nobody may.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::AUTHORIZATION;
use tokio::time::Instant;
use tonic::body::Body;
use tonic::{Request, Status};
use tower::{Layer, Service};

use super::permissions::permission;
use super::rates::Rates;
use crate::capability::Capability;
use crate::engine::{Error, denied};
use crate::identity::{Identities, Unidentified};
use crate::ids::{CourseId, CourseName, SiteId};
use crate::principal::Principal;
use crate::reason::Reason;
use crate::transport::Peer;

/// Names the person for whom a trusted service calls.
pub const ON_BEHALF_OF: &str = "coursevault-on-behalf-of";

/// What that person may do, by the word of the service: `ROLE@PLACE`, several of them parted by commas.
pub const ROLES: &str = "coursevault-roles";

/// Why somebody calls, for the audit log; percent-encoded where it is not ASCII.
pub const REASON: &str = "coursevault-reason";

/// Most characters of it.
const MOST_REASON: usize = 500;

/// Finds out who calls, and whether it may make that call at all.
#[derive(Clone)]
pub struct Gate(Arc<Inner>);

struct Inner {
    identities: Arc<Identities>,
    rates: Rates,
}

impl Gate {
    /// A gate before which the caller must be one of these. Without any, every caller is the local administrator.
    pub fn new(identities: Arc<Identities>, rates: Rates) -> Self {
        Self(Arc::new(Inner { identities, rates }))
    }

    async fn identify(&self, headers: &http::HeaderMap, peer: Option<&Peer>) -> Result<Principal, Error> {
        let identities = &self.0.identities;
        if identities.is_open() {
            return Ok(Principal::local());
        }
        let caller = match headers.get(AUTHORIZATION) {
            // Without a token, the connection itself may say who it is.
            None => match peer.map(|peer| peer.names.as_ref()) {
                Some(names) if !names.is_empty() => identities.by_certificate(names),
                _ => {
                    let message = "the call has neither an authorization header nor a client certificate";
                    return Err(Error::new(Reason::CredentialsMissing, message));
                }
            },
            Some(header) => {
                // The scheme's name may be written in any case (RFC 9110, 11.1).
                let token = (header.to_str().ok().and_then(|text| text.split_once(' ')))
                    .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
                    .map_or("", |(_, token)| token);
                identities.by_any_token(token).await
            }
        };
        let caller = caller.map_err(unidentified)?;
        let Some(person) = headers.get(ON_BEHALF_OF) else { return Ok(caller.principal) };
        let text = |value: &http::HeaderValue| value.to_str().ok().map(str::to_owned);
        let person = text(person).ok_or_else(|| unidentified(Unidentified::Person))?;
        let roles = match headers.get(ROLES) {
            None => None,
            Some(roles) => Some(text(roles).ok_or_else(|| unidentified(Unidentified::Person))?),
        };
        identities.on_behalf_of(&caller, &person, roles.as_deref()).map_err(unidentified)
    }

    /// The principal of a call, if it may make that call at all. Health answers to anyone.
    async fn admit(&self, request: &http::request::Parts) -> Result<Option<Principal>, Error> {
        let path = request.uri.path();
        if path.starts_with("/grpc.health.v1.Health/") {
            return Ok(None);
        }
        let principal = self.identify(&request.headers, request.extensions.get::<Peer>()).await?;
        let whose = match &principal.via {
            None => principal.name.clone(),
            Some(via) => format!("{via}/{}", principal.name),
        };
        self.0.rates.take(&whose, Instant::now()).map_err(|wait| {
            Error::new(Reason::RateLimited, "the principal calls more often than it may").retry_after(wait)
        })?;
        if !path.starts_with("/coursevault.v1.") {
            return Ok(Some(principal));
        }
        // An unknown method passes: the router behind answers UNIMPLEMENTED, by which clients detect features.
        let Some(needed) = permission(path) else { return Ok(Some(principal)) };
        if !principal.holds(needed) {
            return Err(denied(needed));
        }
        let reason = request.headers.get(REASON).map(reason).transpose()?;
        Ok(Some(principal.calling(needed).because(reason)))
    }
}

/// Why somebody calls, by the header that says so.
fn reason(header: &http::HeaderValue) -> Result<String, Error> {
    let text = percent_encoding::percent_decode(header.as_bytes()).decode_utf8().ok();
    text.filter(|text| text.chars().count() <= MOST_REASON && !text.chars().any(char::is_control))
        .map(std::borrow::Cow::into_owned)
        .ok_or_else(|| {
            Error::field(
                REASON,
                format!("has at most {MOST_REASON} characters, of UTF-8 and no control characters"),
            )
        })
}

/// What a caller without a name is told. Not more than it could find out by itself.
fn unidentified(why: Unidentified) -> Error {
    match why {
        Unidentified::Unknown => Error::new(Reason::CredentialsInvalid, "nobody has these credentials"),
        Unidentified::Unverifiable => {
            let message = "the issuer of the credentials does not answer";
            Error::new(Reason::IssuerUnavailable, message).retryable()
        }
        Unidentified::Untrusted => {
            Error::new(Reason::PermissionDenied, "the caller may not act for somebody else")
                .with("permission", &"coursevault/principal:actfor")
        }
        Unidentified::Person => {
            Error::field(ON_BEHALF_OF, "must be 1 to 200 characters without control characters, of ASCII")
        }
        Unidentified::Role(what) => Error::field(ROLES, what),
    }
}

/// Puts [`Gate`] in front of services.
#[derive(Clone)]
pub struct AuthLayer(pub Gate);

impl<S> Layer<S> for AuthLayer {
    type Service = Auth<S>;

    fn layer(&self, inner: S) -> Auth<S> {
        Auth { gate: self.0.clone(), inner }
    }
}

/// See [`AuthLayer`].
#[derive(Clone)]
pub struct Auth<S> {
    gate: Gate,
    inner: S,
}

impl<S> Service<http::Request<Body>> for Auth<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let gate = self.gate.clone();
        // The one that was asked whether it is ready goes along; the next call asks its clone.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            match gate.admit(&parts).await {
                Ok(principal) => {
                    if let Some(principal) = principal {
                        parts.extensions.insert(principal);
                    }
                    inner.call(http::Request::from_parts(parts, body)).await
                }
                Err(error) => Ok(Status::from(error).into_http()),
            }
        })
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

/// Refuses whoever may not do that to a course, or, without one, to the site as a whole; whether it exists or not.
pub fn allow(
    principal: &Principal,
    capability: Capability,
    site: &SiteId,
    course: Option<&CourseId>,
) -> Result<(), Error> {
    if principal.holds_at(capability, site, course) { Ok(()) } else { Err(denied(capability)) }
}

/// What the call in hand needs. A call that is in no table may do nothing.
fn needs(principal: &Principal) -> Result<Capability, Error> {
    let none = || Error::new(Reason::PermissionDenied, "the call has no permission that anybody could have");
    principal.needs().ok_or_else(none)
}

/// Refuses whoever may not make the call in hand on a site as a whole, whether the site exists or not.
pub fn reach(principal: &Principal, site: &SiteId) -> Result<(), Error> {
    reach_at(principal, site, None)
}

/// Refuses whoever may not make the call in hand for a course.
pub fn reach_course(principal: &Principal, course: &CourseName) -> Result<(), Error> {
    reach_at(principal, &course.site, Some(&course.course))
}

/// Refuses whoever may not make the call in hand for a course, or, without one, on the site as a whole.
pub fn reach_at(principal: &Principal, site: &SiteId, course: Option<&CourseId>) -> Result<(), Error> {
    allow(principal, needs(principal)?, site, course)
}

/// Refuses whoever may make the call in hand nowhere on a site. For lists, which show what the caller may see, and for things
/// that are decided one by one.
pub fn within(principal: &Principal, site: &SiteId) -> Result<(), Error> {
    let needed = needs(principal)?;
    if principal.holds_within(needed, site) { Ok(()) } else { Err(denied(needed)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{PrincipalConfig, PrincipalsConfig};
    use crate::digest::Sha256;
    use sha2::Digest as _;

    fn request(path: &str, headers: &[(&str, &str)]) -> http::request::Parts {
        let mut request = http::Request::builder().uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).expect("a request").into_parts().0
    }

    /// What becomes of a call.
    fn admit(gate: &Gate, request: &http::request::Parts) -> Result<Option<Principal>, Error> {
        futures::executor::block_on(gate.admit(request))
    }

    fn gate() -> Gate {
        let principal = |name: &str, grants: &[&str], acts_for_others| PrincipalConfig {
            name: name.into(),
            tokens: vec![Sha256(sha2::Sha256::digest(format!("{name}-secret")).into())],
            grants: grants.iter().map(|grant| (*grant).to_owned()).collect(),
            certificates: vec![format!("dns:{name}")],
            acts_for_others,
            ..PrincipalConfig::default()
        };
        let config = PrincipalsConfig {
            principals: vec![
                principal("root", &["administrator@*"], false),
                principal("lms", &["service@sites/main"], true),
                principal("anna", &["teacher@sites/main/courses/c"], false),
            ],
            ..PrincipalsConfig::default()
        };
        Gate::new(Arc::new(Identities::of(&config).expect("principals")), Rates::new(0, 0))
    }

    const ADMIN_CALL: &str = "/coursevault.v1.AdminService/CreateSite";
    const JOB_CALL: &str = "/coursevault.v1.JobService/GetJob";

    #[test]
    fn without_principals_everybody_is_the_local_administrator() {
        let open = Gate::new(
            Arc::new(Identities::of(&PrincipalsConfig::default()).expect("nobody")),
            Rates::new(0, 0),
        );
        let admitted = admit(&open, &request(ADMIN_CALL, &[])).ok().flatten();
        assert_eq!(admitted, Some(Principal::local().calling(Capability::SiteConfig)));
    }

    #[test]
    fn credentials_are_needed_known_and_sufficient() {
        let refusal = |path: &str, headers: &[(&str, &str)]| {
            admit(&gate(), &request(path, headers)).err().map(|error| error.reason)
        };
        let (lms, root) = (("authorization", "Bearer lms-secret"), ("authorization", "bearer root-secret"));
        assert_eq!(refusal(ADMIN_CALL, &[]), Some(Reason::CredentialsMissing));
        assert_eq!(
            refusal(ADMIN_CALL, &[("authorization", "Bearer guess")]),
            Some(Reason::CredentialsInvalid)
        );
        assert_eq!(
            refusal(ADMIN_CALL, &[("authorization", "Basic lms-secret")]),
            Some(Reason::CredentialsInvalid)
        );
        assert_eq!(refusal(ADMIN_CALL, &[lms]), Some(Reason::PermissionDenied));
        assert_eq!(refusal(ADMIN_CALL, &[root]), None);
        assert_eq!(refusal(JOB_CALL, &[lms]), None);
        assert_eq!(refusal("/grpc.reflection.v1.ServerReflection/x", &[]), Some(Reason::CredentialsMissing));
        assert_eq!(refusal("/grpc.health.v1.Health/Check", &[]), None);
    }

    #[test]
    fn a_certificate_names_its_principal_and_a_token_goes_before_it() {
        let called = |name: &str, headers: &[(&str, &str)]| {
            let mut request = request(JOB_CALL, headers);
            request.extensions.insert(Peer { address: None, names: [name.to_owned()].into() });
            admit(&gate(), &request).map(|principal| principal.map(|principal| principal.name))
        };
        assert_eq!(called("dns:lms", &[]).ok().flatten().as_deref(), Some("lms"));
        let unknown = called("dns:other", &[]).err().map(|error| error.reason);
        assert_eq!(unknown, Some(Reason::CredentialsInvalid));
        let token = called("dns:lms", &[("authorization", "Bearer root-secret")]);
        assert_eq!(token.ok().flatten().as_deref(), Some("root"));
        let guess = called("dns:lms", &[("authorization", "Bearer guess")]).err().map(|error| error.reason);
        assert_eq!(guess, Some(Reason::CredentialsInvalid), "a bad token is not made good by a certificate");
    }

    #[test]
    fn only_trusted_services_act_for_others_and_within_what_both_may() {
        let called = |headers: &[(&str, &str)]| admit(&gate(), &request(JOB_CALL, headers));
        let lms = ("authorization", "Bearer lms-secret");
        let untrusted = called(&[("authorization", "Bearer root-secret"), (ON_BEHALF_OF, "anna")]);
        assert_eq!(untrusted.err().map(|error| error.reason), Some(Reason::PermissionDenied));
        let anna = called(&[lms, (ON_BEHALF_OF, "anna")]).ok().flatten().expect("anna");
        assert_eq!((anna.name.as_str(), anna.via.as_deref()), ("anna", Some("lms")));
        let (site, course) = ("main".parse().expect("a site"), "c".parse().expect("a course"));
        assert!(reach_at(&anna, &site, Some(&course)).is_ok() && reach(&anna, &site).is_err());
        // Of whom nothing is known may do nothing, unless the service says what.
        let ben = called(&[lms, (ON_BEHALF_OF, "ben")]);
        assert_eq!(ben.err().map(|error| error.reason), Some(Reason::PermissionDenied));
        let ben = called(&[
            lms,
            (ON_BEHALF_OF, "ben"),
            (ROLES, "teacher@sites/main/courses/c, auditor@sites/main"),
        ]);
        assert!(reach(&ben.ok().flatten().expect("ben"), &site).is_ok());
        let wrong = called(&[lms, (ON_BEHALF_OF, "ben"), (ROLES, "teacher")]);
        assert_eq!(wrong.err().map(|error| error.reason), Some(Reason::FieldInvalid));
        for nobody in ["", " ", "a\tb"] {
            let wrong = called(&[lms, (ON_BEHALF_OF, nobody)]);
            assert_eq!(wrong.err().map(|error| error.reason), Some(Reason::FieldInvalid), "{nobody:?}");
        }
    }

    #[test]
    fn a_call_that_is_in_no_table_may_do_nothing() {
        let site = "main".parse().expect("a site");
        assert!(reach(&Principal::local(), &site).is_err() && within(&Principal::local(), &site).is_err());
    }
}
