//! TLS, client certificates, their reload, and the second port in clear.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use coursevault::app::App;
use coursevault::clock::SystemClock;
use coursevault::config::{Config, PrincipalConfig, TlsConfig};
use coursevault::digest::Sha256;
use coursevault::proto::GetServerInfoRequest;
use coursevault::proto::admin_service_client::AdminServiceClient;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use sha2::Digest;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tonic::Code;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::access::as_whom;
use crate::app::eventually;
use crate::errors::refused;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Result<Authority> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}

/// A certificate and its key, in PEM.
fn issue(authority: &Authority, dns: &str, uri: Option<&str>) -> Result<(String, String)> {
    let mut params = CertificateParams::new(vec![dns.to_owned()])?;
    if let Some(uri) = uri {
        params.subject_alt_names.push(SanType::URI(uri.try_into()?));
    }
    let key = KeyPair::generate()?;
    Ok((params.signed_by(&key, authority)?.pem(), key.serialize_pem()))
}

struct Secured {
    url: String,
    probes: String,
    _stop: oneshot::Sender<()>,
}

/// A server with the files `server.pem`, `server.key` and `clients.pem` of a folder.
async fn start(folder: &Path) -> Result<Secured> {
    let mut config = Config::embedded(folder.join("data"));
    config.tls = Some(TlsConfig {
        certificate_file: folder.join("server.pem"),
        key_file: folder.join("server.key"),
        client_ca_file: Some(folder.join("clients.pem")),
        client_required: false,
    });
    config.probe_listen = Some((Ipv4Addr::LOCALHOST, 0).into());
    config.principals = vec![
        PrincipalConfig {
            name: "lms".into(),
            certificates: vec!["uri:spiffe://example.org/lms".into()],
            grants: vec!["service@sites/main".into()],
            ..PrincipalConfig::default()
        },
        PrincipalConfig {
            name: "root".into(),
            tokens: vec![Sha256(sha2::Sha256::digest("root-secret").into())],
            grants: vec!["administrator@*".into()],
            ..PrincipalConfig::default()
        },
    ];
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let url = format!("https://localhost:{}", listener.local_addr()?.port());
    let app = Box::pin(App::build(config, Arc::new(SystemClock))).await?;
    let probes = format!("http://{}", app.probe_address().context("a port for probes")?);
    let (stop, stopped) = oneshot::channel::<()>();
    tokio::spawn(app.serve(listener, async { drop(stopped.await) }));
    Ok(Secured { url, probes, _stop: stop })
}

/// Connects as whoever has that certificate.
async fn connect(url: &str, trusted: &Authority, shown: Option<&(String, String)>) -> Result<Channel> {
    let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(trusted.pem()));
    if let Some((certificate, key)) = shown {
        tls = tls.identity(Identity::from_pem(certificate, key));
    }
    Ok(Endpoint::from_shared(url.to_owned())?.tls_config(tls)?.connect().await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_name_principals_and_are_read_again() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (servers, clients, others) = (authority()?, authority()?, authority()?);
    let put = |name: &str, text: &str| std::fs::write(folder.path().join(name), text);
    let (certificate, key) = issue(&servers, "localhost", None)?;
    put("server.pem", &certificate)?;
    put("server.key", &key)?;
    put("clients.pem", &clients.pem())?;
    let server = start(folder.path()).await?;
    let info = GetServerInfoRequest {};

    let lms = issue(&clients, "lms", Some("spiffe://example.org/lms"))?;
    let channel = connect(&server.url, &servers, Some(&lms)).await?;
    let told = AdminServiceClient::new(channel.clone()).get_server_info(info).await?.into_inner();
    assert_eq!(told.principal, "lms");
    let told = AdminServiceClient::new(channel).get_server_info(as_whom("root", info)?).await?;
    assert_eq!(told.into_inner().principal, "root", "a token goes before the certificate");

    let unknown = issue(&clients, "cms", Some("spiffe://example.org/cms"))?;
    let channel = connect(&server.url, &servers, Some(&unknown)).await?;
    let answer = AdminServiceClient::new(channel).get_server_info(info).await;
    refused(answer, Code::Unauthenticated, "CREDENTIALS_INVALID")?;
    let channel = connect(&server.url, &servers, None).await?;
    let answer = AdminServiceClient::new(channel.clone()).get_server_info(info).await;
    refused(answer, Code::Unauthenticated, "CREDENTIALS_MISSING")?;
    HealthClient::new(channel).check(HealthCheckRequest::default()).await?;

    // A certificate by an authority that nobody trusts ends the connection, at the latest with the first call.
    let forged = issue(&others, "lms", Some("spiffe://example.org/lms"))?;
    if let Ok(channel) = connect(&server.url, &servers, Some(&forged)).await {
        let answer = AdminServiceClient::new(channel).get_server_info(info).await;
        ensure!(answer.is_err_and(|status| status.code() != Code::PermissionDenied), "a forged certificate");
    }
    ensure!(connect(&server.url, &others, None).await.is_err(), "the server's certificate is another one");
    let clear = server.url.replace("https", "http");
    if let Ok(channel) = Endpoint::from_shared(clear)?.connect().await {
        let answer = AdminServiceClient::new(channel).get_server_info(as_whom("root", info)?).await;
        ensure!(answer.is_err(), "the service answers in clear");
    }

    // In clear, and without credentials: health, and nothing else.
    let probes = Endpoint::from_shared(server.probes.clone())?.connect().await?;
    HealthClient::new(probes.clone()).check(HealthCheckRequest::default()).await?;
    let answer = AdminServiceClient::new(probes).get_server_info(as_whom("root", info)?).await;
    assert_eq!(answer.err().map(|status| status.code()), Some(Code::Unimplemented));

    // New files are in force without a restart; half of a pair changes nothing until the other half is there.
    let (certificate, key) = issue(&others, "localhost", None)?;
    put("server.pem", &certificate)?;
    put("server.key", &key)?;
    eventually("the new certificate is shown", || async {
        Ok(connect(&server.url, &others, Some(&lms)).await.ok())
    })
    .await?;
    Ok(())
}
