//! The way to a server: one HTTP/2 connection that mends itself, the token on every call, and bounds that fit our messages.

use std::time::Duration;

use anyhow::Context as _;
use secrecy::{ExposeSecret, SecretString};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use tonic_health::pb::health_client::HealthClient;

use crate::ids::SiteId;
use crate::proto::admin_service_client::AdminServiceClient;
use crate::proto::backup_service_client::BackupServiceClient;
use crate::proto::course_service_client::CourseServiceClient;
use crate::proto::job_service_client::JobServiceClient;
use crate::proto::policy_service_client::PolicyServiceClient;
use crate::proto::restore_service_client::RestoreServiceClient;
use crate::proto::transfer_service_client::TransferServiceClient;

use super::failure::Usage;

/// HTTP/2 windows: a fast network with 40 ms of delay stays full at 100 MiB/s.
const WINDOW_BYTES: u32 = 4 << 20;
/// Largest message either way: a chunk has at most 2 MiB, a page of 1000 archives about 1 MiB.
const MESSAGE_BYTES: usize = 8 << 20;
/// How long to wait for a connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// A connection that nobody hears of for so long is asked for a sign of life, and given up after as long again.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// A channel that shows the token.
pub type Wire = InterceptedService<Channel, Bearer>;

/// Puts the token into a call.
#[derive(Clone)]
pub struct Bearer(Option<MetadataValue<Ascii>>);

impl Bearer {
    fn new(token: Option<&SecretString>) -> Result<Self, Usage> {
        let Some(token) = token.filter(|token| !token.expose_secret().is_empty()) else {
            return Ok(Self(None));
        };
        // The error would name the value.
        let mut value: MetadataValue<Ascii> = format!("Bearer {}", token.expose_secret())
            .parse()
            .map_err(|_| Usage("the token has characters that no header can carry".to_owned()))?;
        value.set_sensitive(true);
        Ok(Self(Some(value)))
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

/// A server, and the site that short names belong to. Cheap to clone; all clones share one connection.
#[derive(Clone)]
pub struct Server {
    channel: Channel,
    bearer: Bearer,
    /// The site that short names belong to.
    pub site: SiteId,
}

macro_rules! clients {
    ($($(#[$doc:meta])* $function:ident -> $client:ident;)*) => {
        impl Server {$(
            $(#[$doc])*
            pub fn $function(&self) -> $client<Wire> {
                $client::with_interceptor(self.channel.clone(), self.bearer.clone())
                    .max_decoding_message_size(MESSAGE_BYTES)
                    .max_encoding_message_size(MESSAGE_BYTES)
            }
        )*}
    };
}

clients! {
    /// Whether the server serves.
    health -> HealthClient;
    /// Sites and the server itself.
    admin -> AdminServiceClient;
    /// Backups and archives.
    backups -> BackupServiceClient;
    /// Courses and revisions.
    courses -> CourseServiceClient;
    /// Jobs.
    jobs -> JobServiceClient;
    /// Retention policies and schedules.
    policies -> PolicyServiceClient;
    /// Restores.
    restores -> RestoreServiceClient;
    /// Resumable uploads.
    transfers -> TransferServiceClient;
}

impl Server {
    /// Connects at once, so that a wrong address is an error now and not later.
    pub async fn connect(url: &str, site: &SiteId, token: Option<&SecretString>) -> anyhow::Result<Self> {
        let bearer = Bearer::new(token)?;
        let channel = endpoint(url)?.connect().await.with_context(|| format!("no server at {url}"))?;
        Ok(Self { channel, bearer, site: site.clone() })
    }

    /// `sites/{site}`.
    pub fn site_name(&self) -> String {
        crate::ids::SiteName(self.site.clone()).to_string()
    }
}

fn endpoint(url: &str) -> anyhow::Result<Endpoint> {
    if url.starts_with("https:") {
        return Err(Usage("https is not built in: connect to the address behind the TLS proxy".into()).into());
    }
    let endpoint = Endpoint::from_shared(url.to_owned())
        .map_err(|_| Usage(format!("{url:?} is no address such as http://127.0.0.1:50051")))?;
    if endpoint.uri().scheme_str() != Some("http") || endpoint.uri().host().is_none() {
        return Err(Usage(format!("{url:?} is no address such as http://127.0.0.1:50051")).into());
    }
    Ok(endpoint
        .connect_timeout(CONNECT_WITHIN)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .tcp_nodelay(true))
}

/// An id that makes a call harmless when it arrives twice.
pub fn request_id() -> String {
    uuid::Uuid::now_v7().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked_before_anything_is_sent() {
        assert!(endpoint("http://127.0.0.1:50051").is_ok());
        for bad in ["", "localhost", "ftp://a", "https://vault.example.org", "http://"] {
            assert!(endpoint(bad).is_err_and(|error| error.is::<Usage>()), "{bad}");
        }
    }

    #[test]
    fn a_token_is_sent_and_not_shown() -> anyhow::Result<()> {
        let mut bearer = Bearer::new(Some(&SecretString::from("s3cret")))?;
        let request = bearer.call(Request::new(()))?;
        let value = request.metadata().get("authorization").context("a header")?;
        assert_eq!(value.to_str()?, "Bearer s3cret");
        assert!(!format!("{value:?}").contains("s3cret"));
        let error = Bearer::new(Some(&SecretString::from("a\nb"))).err().context("an error")?;
        assert!(!error.to_string().contains('\n'));
        Ok(())
    }

    #[test]
    fn no_token_sends_no_header() -> anyhow::Result<()> {
        for none in [None, Some(SecretString::from(""))] {
            assert!(Bearer::new(none.as_ref())?.call(Request::new(()))?.metadata().is_empty());
        }
        Ok(())
    }
}
