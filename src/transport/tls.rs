//! TLS by rustls: certificates from files that are read again when they were written, and client certificates.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use sha2::{Digest as _, Sha256 as Hasher};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::Connection;
use crate::config::TlsConfig;
use crate::digest::Sha256;

/// Why TLS cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be used.
    #[error("tls: {}: {what}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it. Never what is in it.
        what: String,
    },
    /// Certificate, key and authorities do not go together.
    #[error("tls: {0}")]
    Unusable(String),
}

/// What is needed to serve TLS, as it is now.
pub struct Tls {
    files: TlsConfig,
    state: RwLock<State>,
}

struct State {
    config: Arc<ServerConfig>,
    written: Vec<Option<SystemTime>>,
}

impl Tls {
    /// Reads the files.
    pub fn open(files: TlsConfig) -> Result<Self, TlsError> {
        let state = RwLock::new(read(&files)?);
        Ok(Self { files, state })
    }

    /// Reads the files again: new connections get what is new. What cannot be used changes nothing.
    pub fn reload(&self) -> Result<(), TlsError> {
        let new = read(&self.files)?;
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }

    /// Whether one of the files was written since it was read.
    pub fn is_stale(&self) -> bool {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        written(&self.files) != state.written
    }

    /// Shakes hands.
    pub(super) async fn accept(&self, stream: TcpStream) -> std::io::Result<Connection> {
        let config = Arc::clone(&self.state.read().unwrap_or_else(PoisonError::into_inner).config);
        let stream = TlsAcceptor::from(config).accept(stream).await?;
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let names = shown.map(names).unwrap_or_default().into();
        Ok(Connection::Tls(Box::new(stream), names))
    }
}

/// The names in a certificate that was verified.
fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let mut names = vec![format!("sha256:{}", Sha256(Hasher::digest(certificate).into()))];
    if let Ok(certificate) = webpki::EndEntityCert::try_from(certificate) {
        names.extend(certificate.valid_uri_names().map(|name| format!("uri:{name}")));
        names.extend(certificate.valid_dns_names().map(|name| format!("dns:{name}")));
    }
    names
}

fn written(files: &TlsConfig) -> Vec<Option<SystemTime>> {
    let all = [Some(&files.certificate_file), Some(&files.key_file), files.client_ca_file.as_ref()];
    let modified = |file: &PathBuf| std::fs::metadata(file).and_then(|metadata| metadata.modified()).ok();
    all.into_iter().flatten().map(modified).collect()
}

fn read(files: &TlsConfig) -> Result<State, TlsError> {
    // The times first: what is written while it is read is read once more.
    let written = written(files);
    let chain = certificates(&files.certificate_file)?;
    let key = PrivateKeyDer::from_pem_file(&files.key_file).map_err(|error| file(&files.key_file, &error))?;
    let unusable = |error: &dyn std::fmt::Display| TlsError::Unusable(error.to_string());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&error))?;
    let builder = match &files.client_ca_file {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|error| file(path, &error))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = if files.client_required { verifier } else { verifier.allow_unauthenticated() };
            builder.with_client_cert_verifier(verifier.build().map_err(|error| unusable(&error))?)
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|error| unusable(&error))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(State { config: Arc::new(config), written })
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let all = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| file(path, &error))?;
    if all.is_empty() { Err(file(path, &"holds no certificate")) } else { Ok(all) }
}

fn file(path: &Path, what: &dyn std::fmt::Display) -> TlsError {
    TlsError::File { path: path.to_owned(), what: what.to_string() }
}
