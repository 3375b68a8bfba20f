//! A server for a test: the real one, on a loopback port of its own, over a folder of its own.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::Ipv4Addr;
use std::ops::Deref;
use std::sync::Arc;

use anyhow::{Result, anyhow};
use coursevault::app::{App, AppError};
use coursevault::clock::SystemClock;
use coursevault::config::Config;
use coursevault::engine::{Engine, Rebuilt};
use coursevault::vault::fault::Faults;
use coursevault::vault::{Storage, Vault};
use secrecy::SecretString;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::client::Client;
use crate::postgres;
use crate::s3_server::S3Server;

/// A running server. It is a [`Client`] of itself.
pub struct TestApp {
    pub client: Client,
    pub url: String,
    pub engine: Engine,
    config: Config,
    faults: Faults,
    stop: oneshot::Sender<()>,
    served: JoinHandle<Result<(), AppError>>,
    kept: Kept,
}

/// What must live as long as the server's data.
struct Kept {
    folder: TempDir,
    _s3: Option<S3Server>,
}

impl Deref for TestApp {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl TestApp {
    /// SQLite and a folder, as without any configuration.
    pub async fn start() -> Result<Self> {
        Self::with(|_| {}).await
    }

    /// SQLite and a folder, with some of the configuration changed.
    pub async fn with(change: impl FnOnce(&mut Config)) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut config = Config::embedded(folder.path().to_owned());
        change(&mut config);
        Self::over(config, Kept { folder, _s3: None }, Faults::default()).await
    }

    /// A server that runs no job: what it is asked for stays PENDING.
    pub async fn without_worker() -> Result<Self> {
        Self::with(|config| config.limits.concurrent_jobs = 0).await
    }

    /// The catalog in PostgreSQL.
    pub async fn on_postgres() -> Result<Self> {
        let url = tokio::task::spawn_blocking(|| postgres::server().fresh_database()).await??;
        Self::with(|config| config.catalog_url = Some(SecretString::from(url))).await
    }

    /// The storage in S3.
    pub async fn on_s3() -> Result<Self> {
        let (folder, s3) = (tempfile::tempdir()?, S3Server::start().await?);
        let mut config = Config::embedded(folder.path().to_owned());
        config.storages.insert("primary".parse()?, s3.config());
        Self::over(config, Kept { folder, _s3: Some(s3) }, Faults::default()).await
    }

    /// Stops the server as a signal would, and starts it again on the same data.
    pub async fn restart(self) -> Result<Self> {
        self.restart_with(|_| {}).await
    }

    /// As [`Self::restart`], with the configuration changed.
    pub async fn restart_with(self, change: impl FnOnce(&mut Config)) -> Result<Self> {
        let _ = self.stop.send(());
        self.served.await??;
        // The engine holds the catalog open, and the data folder belongs to one server.
        drop(self.engine);
        let mut config = self.config;
        change(&mut config);
        Self::over(config, self.kept, self.faults).await
    }

    /// Stops the server, forgets the catalog, makes it anew from the storage, and starts the server again.
    pub async fn rebuilt(self) -> Result<(Self, Rebuilt)> {
        let _ = self.stop.send(());
        self.served.await??;
        self.engine.catalog().close().await;
        drop(self.engine);
        let mut config = self.config;
        if config.catalog_url.is_some() {
            let url = tokio::task::spawn_blocking(|| postgres::server().fresh_database()).await??;
            config.catalog_url = Some(SecretString::from(url));
        } else {
            for file in ["catalog.db", "catalog.db-wal", "catalog.db-shm"] {
                drop(std::fs::remove_file(config.data_dir.join(file)));
            }
        }
        let rebuilt = Box::pin(App::rebuild(config.clone(), Arc::new(SystemClock), true)).await?;
        Ok((Self::over(config, self.kept, self.faults).await?, rebuilt))
    }

    /// Asks for every operation of the storage whether it fails.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Files below a folder of the embedded storage: `packs`, `uploads`, `journal`.
    pub fn stored_files(&self, folder: &str) -> Vec<std::path::PathBuf> {
        let mut found = Vec::new();
        let mut open = vec![self.kept.folder.path().join("storage").join(folder)];
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() { open.push(path) } else { found.push(path) }
            }
        }
        found
    }

    /// All lines of the journal of the embedded storage.
    pub fn journal_text(&self) -> Result<String> {
        let mut text = String::new();
        for file in self.stored_files("journal") {
            text.push_str(&String::from_utf8_lossy(&std::fs::read(file)?));
        }
        Ok(text)
    }

    async fn over(config: Config, kept: Kept, faults: Faults) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let failing = faults.clone();
        let building = App::build_with(config.clone(), Arc::new(SystemClock), |configs| {
            let open =
                |(name, config)| Ok((Clone::clone(name), Storage::open(name, config)?.with_faults(&failing)));
            Ok(Vault::of(configs.iter().map(open).collect::<Result<BTreeMap<_, _>, _>>()?))
        });
        let app = Box::pin(building).await?;
        let engine = app.engine().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = app.serve(listener, async { drop(stopped.await) });
        let served = tokio::spawn(serving);
        let url = format!("http://{address}");
        let client = Client::connect(&url).await?;
        Ok(Self { client, url, engine, config, faults, stop, served, kept })
    }
}

/// Looks until something is so, for a minute at most.
pub async fn eventually<T, F: Future<Output = Result<Option<T>>>>(
    what: &str,
    mut look: impl FnMut() -> F,
) -> Result<T> {
    let looking = async {
        let mut ticks = tokio::time::interval(std::time::Duration::from_millis(20));
        loop {
            ticks.tick().await;
            if let Some(found) = look().await? {
                return Ok(found);
            }
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), looking)
        .await
        .map_err(|_| anyhow!("never: {what}"))?
}
