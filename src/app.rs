//! Puts everything together: configuration in, a running server out.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::server::HealthReporter;

use crate::catalog::{Catalog, CatalogClock, CatalogConfig, Dialect};
use crate::clock::Clock;
use crate::config::{Config, storage_primary};
use crate::engine::{Engine, Rules, StorageHealth};
use crate::format::Format;
use crate::grpc::{self, AuthLayer, DrainLayer, Gate, Rates, ServerFacts};
use crate::identity::Identities;
use crate::ids::StorageName;
use crate::transport::{Tls, connections};
use crate::vault::{StorageConfig, Vault, VaultError};
use crate::worker::Worker;

/// Of the time to drain: calls that are left then are told so, and their answers have this long to get out.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Files that may change while the server runs are looked at this often.
const RELOAD: Duration = Duration::from_secs(5);

/// Why a server cannot start or run.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The data folder cannot be used.
    #[error("the data folder {path} cannot be used")]
    DataDir {
        /// The folder.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Another server works on the data folder.
    #[error("another server works on the data folder {path}")]
    DataDirBusy {
        /// The folder.
        path: String,
    },
    /// The catalog cannot be opened.
    #[error("the catalog cannot be opened")]
    Catalog(#[from] crate::catalog::CatalogError),
    /// A storage cannot be opened.
    #[error("a storage cannot be opened")]
    Vault(#[from] crate::vault::VaultError),
    /// The first site cannot be made.
    #[error("the first site cannot be made")]
    Engine(#[from] crate::engine::Error),
    /// The descriptors for reflection cannot be read.
    #[error("the descriptors for reflection cannot be read")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// A description of a plugin cannot be used.
    #[error("the descriptions of plugins in {}: {what}", folder.display())]
    Plugins {
        /// Where they lie.
        folder: PathBuf,
        /// Which, and what is wrong.
        what: String,
    },
    /// Who may call cannot be told.
    #[error(transparent)]
    Identities(#[from] crate::config::ConfigError),
    /// TLS cannot be served.
    #[error(transparent)]
    Tls(#[from] crate::transport::TlsError),
    /// Nothing can listen for probes.
    #[error("cannot listen on probe_listen")]
    Probes(#[source] std::io::Error),
    /// The server failed.
    #[error("the server failed")]
    Serve(#[from] tonic::transport::Error),
}

/// A server that is ready to serve.
pub struct App {
    config: Config,
    engine: Engine,
    facts: ServerFacts,
    identities: Arc<Identities>,
    tls: Option<Arc<Tls>>,
    /// The listener for probes and metrics.
    probes: Option<TcpListener>,
    /// Holds the data folder against a second server for as long as this one lives.
    _lock: Option<std::fs::File>,
}

impl App {
    /// Opens catalog and storages, and makes the default site.
    pub async fn build(config: Config, clock: Arc<dyn Clock>) -> Result<Self, AppError> {
        Self::build_with(config, clock, Vault::open).await
    }

    /// As [`Self::build`], over storages that the caller opens, so that tests can make them fail.
    pub async fn build_with(
        config: Config,
        clock: Arc<dyn Clock>,
        open: impl FnOnce(&BTreeMap<StorageName, StorageConfig>) -> Result<Vault, VaultError>,
    ) -> Result<Self, AppError> {
        let identities = Identities::open(config.identities(), config.principals_file.clone())?;
        let identities = Arc::new(identities);
        let tls = config.tls.clone().map(Tls::open).transpose()?.map(Arc::new);
        let probes = match config.probe_listen {
            Some(address) => Some(TcpListener::bind(address).await.map_err(AppError::Probes)?),
            None => None,
        };
        if !config.listen.ip().is_loopback() && tls.is_none() {
            tracing::warn!(
                "credentials and contents travel in clear unless something before the server encrypts"
            );
        }
        let embedded = config.catalog_url.is_none();
        let lock = if embedded { Some(lock_data_dir(&config.data_dir)?) } else { None };
        let catalog_config = CatalogConfig {
            url: config.catalog_url.clone().unwrap_or_else(|| {
                SecretString::from(format!("sqlite:{}", config.data_dir.join("catalog.db").display()))
            }),
            max_connections: config.catalog_connections,
        };
        let catalog = Catalog::open(&catalog_config, CatalogClock::Database).await?;
        if catalog.dialect() == Dialect::Sqlite {
            // This process is the only one: whatever was running has ended with the one before.
            let mut tx = catalog.begin().await?;
            let count = tx.release_all_leases().await?;
            tx.commit().await?;
            if count > 0 {
                tracing::info!(count, "jobs of the server before are taken over");
            }
        }
        let storages = storages(&config);
        let facts = ServerFacts {
            catalog: match catalog.dialect() {
                Dialect::Sqlite => "sqlite",
                Dialect::Postgres => "postgresql",
            },
            storages: storages.keys().map(ToString::to_string).collect(),
        };
        let rules = Rules {
            limits: config.limits.clone(),
            quotas: config.quotas.clone(),
            care: config.care.clone(),
            storage: storage_primary(),
            grace: Duration::from_secs(u64::from(config.grace_days) * 86_400),
            longest_share: Duration::from_secs(u64::from(config.share_days) * 86_400),
            upload_idle: Duration::from_secs(u64::from(config.upload_hours) * 3600),
            lease: config.lease(),
            format: format_of(config.plugins_dir.as_deref())?,
        };
        let engine = Engine::new(catalog, open(&storages)?, clock, rules);
        engine.ensure_site(&config.default_site).await?;
        Ok(Self { config, engine, facts, identities, tls, probes, _lock: lock })
    }

    /// Where probes are answered, if they are.
    pub fn probe_address(&self) -> Option<std::net::SocketAddr> {
        self.probes.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// The use cases, for tests and tools in the same process.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Serves on `listener` until `shutdown` ends, then drains: no new jobs, running ones handed back, calls ended.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), AppError> {
        let stop = CancellationToken::new();
        let owner = format!("{}-{}", std::process::id(), uuid::Uuid::now_v7());
        let worker = tokio::spawn(Worker::new(self.engine.clone(), owner, stop.clone()).run());
        let (reporter, health) = tonic_health::server::health_reporter();
        let reading = tokio::spawn(keep_files(Arc::clone(&self.identities), self.tls.clone(), stop.clone()));
        let probing = tokio::spawn(report_health(self.engine.clone(), reporter.clone(), stop.clone()));
        let mut routes = grpc::routes(&self.engine, self.facts.clone());
        routes.add_service(health.clone());
        if self.config.reflection {
            routes.add_service(reflection().build_v1()?);
            routes.add_service(reflection().build_v1alpha()?);
        }
        let (closing, stopped) = (CancellationToken::new(), CancellationToken::new());
        let incoming = connections(listener, self.tls.clone(), closing.clone());
        let limits = &self.config.limits;
        let rates = Rates::new(limits.calls_per_second, limits.calls_at_once);
        let server = Server::builder()
            .initial_stream_window_size(Some(2 << 20))
            .initial_connection_window_size(Some(4 << 20))
            .max_concurrent_streams(Some(200))
            .http2_keepalive_interval(Some(Duration::from_secs(30)))
            .http2_keepalive_timeout(Some(Duration::from_secs(20)))
            .layer(DrainLayer(self.engine.clone()))
            .layer(AuthLayer(Gate::new(Arc::clone(&self.identities), rates)))
            .add_routes(routes.routes())
            .serve_with_incoming_shutdown(incoming, closing.clone().cancelled_owned());
        let mut server = Box::pin(server);
        let probes =
            self.probes.map(|listener| tokio::spawn(serve_probes(listener, health, stopped.clone())));
        tokio::select! {
            served = &mut server => {
                stop.cancel();
                return Ok(served?);
            }
            () = shutdown => {}
        }
        tracing::info!("the server stops");
        for service in grpc::SERVICES.into_iter().chain([""]) {
            reporter.set_service_status(service, ServingStatus::NotServing).await;
        }
        self.engine.stop_watches();
        stop.cancel();
        closing.cancel();
        let drain = Duration::from_secs(self.config.drain_seconds.into());
        let last = LAST_WORDS.min(drain / 4);
        // Probes are answered until the last call is: what is not asked any more is taken for dead.
        let mut drained = pin!(async {
            let served = server.await;
            (served, worker.await, probing.await, reading.await)
        });
        let mut ended = tokio::time::timeout(drain - last, &mut drained).await;
        if ended.is_err() {
            self.engine.drop_calls();
            // Half-open connections could keep a server from ending for hours, so what is left then is dropped.
            ended = tokio::time::timeout(last, drained).await;
            tracing::warn!(unheard = ended.is_err(), "some calls had to be dropped");
        }
        stopped.cancel();
        if let Some(probes) = probes {
            // It holds nothing that must be kept.
            probes.abort();
        }
        if let Ok((served, ..)) = ended {
            served?;
        }
        Ok(())
    }
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(crate::proto::DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
}

/// Serves what probes and metrics need, in clear: health, and nothing else of the service.
async fn serve_probes(listener: TcpListener, health: HealthServer<impl Health>, stopped: CancellationToken) {
    let router = probe_routes(health);
    let incoming = connections(listener, None, stopped.clone());
    let served = Server::builder()
        .accept_http1(true)
        .max_concurrent_streams(Some(16))
        .add_routes(router)
        .serve_with_incoming_shutdown(incoming, stopped.cancelled_owned())
        .await;
    if let Err(error) = served {
        tracing::error!(%error, "probes are not answered any more");
    }
}

/// What the second port answers.
fn probe_routes(health: HealthServer<impl Health>) -> Routes {
    Routes::new(health)
}

/// Reads the files of principals and certificates again when they were written, or when the process is told to (SIGHUP).
async fn keep_files(identities: Arc<Identities>, tls: Option<Arc<Tls>>, stop: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    if !identities.has_file() && tls.is_none() {
        // Nothing to read: SIGHUP means what it always means.
        return;
    }
    let mut told = signal(SignalKind::hangup()).ok();
    loop {
        let hangup = async {
            match &mut told {
                Some(told) => drop(told.recv().await),
                None => std::future::pending().await,
            }
        };
        let is_told = tokio::select! {
            () = stop.cancelled() => return,
            () = hangup => true,
            () = tokio::time::sleep(RELOAD) => false,
        };
        if is_told || identities.is_stale() {
            match identities.reload() {
                Ok(()) => tracing::info!("principals are read again"),
                Err(error) => tracing::error!(%error, "principals stay as they were"),
            }
        }
        if let Some(tls) = tls.as_ref().filter(|tls| is_told || tls.is_stale()) {
            match tls.reload() {
                Ok(()) => tracing::info!("certificates are read again"),
                Err(error) => tracing::error!(%error, "certificates stay as they were"),
            }
        }
    }
}

/// The configured storages, or a folder beside the catalog.
fn storages(config: &Config) -> BTreeMap<StorageName, StorageConfig> {
    if !config.storages.is_empty() {
        return config.storages.clone();
    }
    let folder = config.data_dir.join("storage");
    BTreeMap::from([(storage_primary(), StorageConfig::folder(&folder))])
}

fn lock_data_dir(path: &std::path::Path) -> Result<std::fs::File, AppError> {
    let shown = path.display().to_string();
    let failed = |source| AppError::DataDir { path: shown.clone(), source };
    std::fs::create_dir_all(path).map_err(failed)?;
    let lock = std::fs::File::create(path.join("lock")).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(std::fs::TryLockError::WouldBlock) => Err(AppError::DataDirBusy { path: shown }),
        Err(std::fs::TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// Says which services can do their work: without the catalog none, without the storage those that move bytes are out,
/// and with a full one those that do nothing but store.
async fn report_health(engine: Engine, reporter: HealthReporter, stop: CancellationToken) {
    // Courses too: they are published and downloaded.
    const READ: [&str; 2] = ["coursevault.v1.BackupService", "coursevault.v1.CourseService"];
    const WRITE: [&str; 2] = ["coursevault.v1.RestoreService", "coursevault.v1.TransferService"];
    loop {
        let (catalog, storage) = (engine.catalog_answers().await, engine.storage_health().await);
        let is_out = |service: &&str| match storage {
            StorageHealth::Works => false,
            StorageHealth::Full => WRITE.contains(service),
            StorageHealth::Silent => READ.contains(service) || WRITE.contains(service),
        };
        for service in grpc::SERVICES.into_iter().chain([""]) {
            let serves = catalog && !is_out(&service);
            let status = if serves { ServingStatus::Serving } else { ServingStatus::NotServing };
            if stop.is_cancelled() {
                return;
            }
            reporter.set_service_status(service, status).await;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(Duration::from_secs(10)) => {}
        }
    }
}

/// The format as the binary knows it, with the descriptions of further plugins in a folder.
fn format_of(folder: Option<&Path>) -> Result<Arc<Format>, AppError> {
    let Some(folder) = folder else { return Ok(Format::embedded()) };
    let failed = |what: String| AppError::Plugins { folder: folder.to_owned(), what };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|error| failed(error.to_string()))? {
        let path = entry.map_err(|error| failed(error.to_string()))?.path();
        if path.extension().is_some_and(|extension| extension == "plugin") {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let text = std::fs::read_to_string(&path).map_err(|error| failed(format!("{name}: {error}")))?;
            files.push((name, text));
        }
    }
    files.sort();
    Ok(Arc::new(Format::with(&files).map_err(|error| failed(error.to_string()))?))
}
