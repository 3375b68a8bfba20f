//! Puts everything together: configuration in, a running server out.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::HealthReporter;

use crate::catalog::{Catalog, CatalogClock, CatalogConfig, Dialect};
use crate::clock::Clock;
use crate::config::{AreaStorages, Config, Role, storage_primary};
use crate::engine::{Engine, Rebuilt, Rules, StorageHealth};
use crate::format::Format;
use crate::grpc::{self, AuthLayer, DrainLayer, MeasureLayer, ServerFacts, Tokens};
use crate::ids::StorageName;
use crate::job::Area;
use crate::metric;
use crate::telemetry;
use crate::vault::{StorageConfig, Vault, VaultError};
use crate::worker::Worker;

/// Of the time to drain: calls that are left then are told so, and their answers have this long to get out.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The metrics of the catalog are brought up to date this often.
const GAUGES: Duration = Duration::from_secs(10);

/// Those of the storages once in so many times.
const GAUGE_ROUNDS: u64 = 60;

/// Health answers SERVING to this name for as long as the process runs, for a probe that would restart it.
pub const LIVE: &str = "coursevault.live";

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
    /// A rebuild of the catalog has not come to its end.
    #[error("the catalog is being rebuilt: let `coursevault rebuild` come to its end first")]
    Rebuilding,
    /// The descriptors for metrics cannot be read.
    #[error("the descriptors for metrics cannot be read")]
    Measure(#[from] prost::DecodeError),
    /// The server failed.
    #[error("the server failed")]
    Serve(#[from] tonic::transport::Error),
}

/// A server that is ready to serve.
pub struct App {
    config: Config,
    engine: Engine,
    facts: ServerFacts,
    probe: Option<TcpListener>,
    /// Holds the data folder against a second server for as long as this one lives.
    _lock: Option<std::fs::File>,
}

/// Opens the catalog, and so brings its schema up to date.
pub async fn open_catalog(config: &Config) -> Result<Catalog, AppError> {
    let url = config.catalog_url.clone().unwrap_or_else(|| {
        SecretString::from(format!("sqlite:{}", config.data_dir.join("catalog.db").display()))
    });
    let catalog_config = CatalogConfig { url, max_connections: config.catalog_connections };
    Ok(Catalog::open(&catalog_config, CatalogClock::Database).await?)
}

/// Brings the schema of the catalog up to date, and does nothing else. A server does so when it starts, too.
pub async fn migrate(config: &Config) -> Result<(), AppError> {
    let embedded = config.catalog_url.is_none();
    let _lock = if embedded { Some(lock_data_dir(&config.data_dir)?) } else { None };
    open_catalog(config).await.map(drop)
}

impl App {
    /// Makes the catalog anew from the storages. No server may run on either.
    pub async fn rebuild(
        config: Config,
        clock: Arc<dyn Clock>,
        take_over: bool,
    ) -> Result<Rebuilt, AppError> {
        let (engine, _, _lock) = open_engine(&config, clock, Vault::open).await?;
        let rebuilt = engine.rebuild(take_over).await?;
        engine.catalog().close().await;
        Ok(rebuilt)
    }

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
        let (engine, facts, lock) = open_engine(&config, clock, open).await?;
        if engine.catalog().is_being_rebuilt().await? {
            return Err(AppError::Rebuilding);
        }
        let catalog = engine.catalog();
        if catalog.dialect() == Dialect::Sqlite {
            // This process is the only one: whatever was running has ended with the one before.
            let mut tx = catalog.begin().await?;
            let count = tx.release_all_leases().await?;
            tx.commit().await?;
            if count > 0 {
                tracing::info!(count, "jobs of the server before are taken over");
            }
        }
        engine.ensure_site(&config.default_site).await?;
        Ok(Self { config, engine, facts, probe: None, _lock: lock })
    }

    /// The use cases, for tests and tools in the same process.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Answers to probes and tells metrics on `listener`, too, without encryption and credentials.
    #[must_use]
    pub fn with_probe(self, listener: TcpListener) -> Self {
        Self { probe: Some(listener), ..self }
    }

    /// Serves on `listener` until `shutdown` ends, then drains: no new jobs, running ones handed back, calls ended.
    pub async fn serve(
        mut self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), AppError> {
        let stop = CancellationToken::new();
        let owner = format!("{}-{}", std::process::id(), uuid::Uuid::now_v7());
        let claiming = self.engine.clone();
        tokio::spawn(async move { claiming.claim_storages().await });
        let worker = Worker::new(self.engine.clone(), owner, stop.clone());
        let worker = match self.config.role {
            Role::All | Role::Worker => tokio::spawn(worker.run()),
            Role::Api => tokio::spawn(worker.run_without_jobs()),
        };
        let (reporter, health) = tonic_health::server::health_reporter();
        let probing = tokio::spawn(report_health(self.engine.clone(), reporter.clone(), stop.clone()));
        let mut routes = match self.config.role {
            Role::All | Role::Api => grpc::routes(&self.engine, self.facts.clone()),
            Role::Worker => Routes::builder(),
        };
        let probe = self.probe.take().map(|listener| {
            let done = CancellationToken::new();
            (tokio::spawn(serve_probe(listener, health.clone(), done.clone())), done)
        });
        let gauges = tokio::spawn(keep_gauges(self.engine.clone(), stop.clone()));
        routes.add_service(health);
        routes.add_service(reflection().build_v1()?);
        routes.add_service(reflection().build_v1alpha()?);
        let incoming = TcpListenerStream::new(listener).map(|stream| {
            stream.inspect(|stream| {
                // Without it the last packet of every small answer waits for an acknowledgement.
                let _ = stream.set_nodelay(true);
            })
        });
        let closing = CancellationToken::new();
        let server = Server::builder()
            .initial_stream_window_size(Some(2 << 20))
            .initial_connection_window_size(Some(4 << 20))
            .max_concurrent_streams(Some(200))
            .http2_keepalive_interval(Some(Duration::from_secs(30)))
            .http2_keepalive_timeout(Some(Duration::from_secs(20)))
            .layer(MeasureLayer::new()?)
            .layer(DrainLayer(self.engine.clone()))
            .layer(AuthLayer(Tokens::new(&self.config.tokens)))
            .add_routes(routes.routes())
            .serve_with_incoming_shutdown(incoming, closing.clone().cancelled_owned());
        let mut server = Box::pin(server);
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
        let mut drained = pin!(async {
            let served = server.await;
            (served, worker.await, probing.await, gauges.await)
        });
        let mut ended = tokio::time::timeout(drain - last, &mut drained).await;
        if ended.is_err() {
            self.engine.drop_calls();
            // Half-open connections could keep a server from ending for hours, so what is left then is dropped.
            ended = tokio::time::timeout(last, drained).await;
            tracing::warn!(unheard = ended.is_err(), "some calls had to be dropped");
        }
        // Until here probes hear that nothing is served any more.
        if let Some((probe, done)) = probe {
            done.cancel();
            drop(probe.await);
        }
        if let Ok((served, ..)) = ended {
            served?;
        }
        Ok(())
    }
}

/// The use cases over the configured catalog and storages, what there is to tell of them, and the lock on the data folder.
async fn open_engine(
    config: &Config,
    clock: Arc<dyn Clock>,
    open: impl FnOnce(&BTreeMap<StorageName, StorageConfig>) -> Result<Vault, VaultError>,
) -> Result<(Engine, ServerFacts, Option<std::fs::File>), AppError> {
    let embedded = config.catalog_url.is_none();
    let lock = if embedded { Some(lock_data_dir(&config.data_dir)?) } else { None };
    let catalog = open_catalog(config).await?;
    let storages = storages(config);
    let facts = ServerFacts {
        catalog: match catalog.dialect() {
            Dialect::Sqlite => "sqlite",
            Dialect::Postgres => "postgresql",
        },
        storages: storages.keys().map(ToString::to_string).collect(),
    };
    let rules = Rules {
        limits: config.limits.clone(),
        care: config.care.clone(),
        storage: storage_primary(),
        area_storages: area_storages(config),
        grace: Duration::from_secs(u64::from(config.grace_days) * 86_400),
        longest_share: Duration::from_secs(u64::from(config.share_days) * 86_400),
        upload_idle: Duration::from_secs(u64::from(config.upload_hours) * 3600),
        lease: config.lease(),
        format: format_of(config.plugins_dir.as_deref())?,
    };
    let engine = Engine::new(catalog, open(&storages)?, clock, rules);
    Ok((engine, facts, lock))
}

/// Health and metrics until `done`: what a kubelet and a Prometheus ask for, and nothing else.
async fn serve_probe<H: tonic_health::pb::health_server::Health>(
    listener: TcpListener,
    health: HealthServer<H>,
    done: CancellationToken,
) {
    // Recording begins with the process, not with the first look.
    let recorder = telemetry::metrics();
    let render = move || std::future::ready(recorder.map(PrometheusHandle::render).unwrap_or_default());
    let router = Routes::new(health).into_axum_router().route("/metrics", axum::routing::get(render));
    let served = Server::builder()
        .accept_http1(true)
        .add_routes(Routes::from(router))
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), done.cancelled());
    if let Err(error) = served.await {
        tracing::error!(%error, "probes are not answered any more");
    }
}

/// Brings the metrics of the catalog up to date; those of the storages, which cost more, now and then.
async fn keep_gauges(engine: Engine, stop: CancellationToken) {
    let Some(recorder) = telemetry::metrics() else { return };
    for round in 0_u64.. {
        let update = async {
            engine.update_gauges().await;
            if round % GAUGE_ROUNDS == 0 {
                engine.update_storage_gauges().await;
            }
            recorder.run_upkeep();
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = update => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(GAUGES) => {}
        }
    }
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(crate::proto::DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
}

/// The configured storages, or a folder beside the catalog.
fn storages(config: &Config) -> BTreeMap<StorageName, StorageConfig> {
    if !config.storages.is_empty() {
        return config.storages.clone();
    }
    let folder = config.data_dir.join("storage");
    BTreeMap::from([(storage_primary(), StorageConfig::folder(&folder))])
}

/// Which areas have a storage of their own.
fn area_storages(config: &Config) -> BTreeMap<Area, StorageName> {
    let AreaStorages { drop_zone, course, private, automated } = config.areas.clone();
    let named = config.storages.keys().find(|name| name.as_str() == "automated").cloned();
    let areas = [
        (Area::DropZone, drop_zone),
        (Area::Course, course),
        (Area::Private, private),
        (Area::Automated, automated.or(named)),
    ];
    areas.into_iter().filter_map(|(area, name)| Some((area, name?))).collect()
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
    reporter.set_service_status(LIVE, ServingStatus::Serving).await;
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
            let told = if service.is_empty() { "all" } else { service };
            metrics::gauge!(metric::HEALTH, "service" => told).set(f64::from(u8::from(serves)));
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
