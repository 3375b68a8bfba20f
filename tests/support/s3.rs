//! An S3 server in this process, over real HTTP on a loopback port of its own. Include it with
//! `#[path = "support/s3.rs"] mod s3_server;`.

use coursevault::vault::StorageConfig;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

const BUCKET: &str = "vault";
const ACCESS_KEY: &str = "test-key";
const SECRET_KEY: &str = "test-secret";

/// A running server with one bucket. It stops, and its objects go, when it is dropped.
pub struct S3Server {
    endpoint: String,
    _tasks: JoinSet<()>,
    _folder: tempfile::TempDir,
}

impl S3Server {
    /// Starts a server. Needs a running tokio runtime.
    pub async fn start() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        std::fs::create_dir(folder.path().join(BUCKET))?;
        let files = s3s_fs::FileSystem::new(folder.path())
            .map_err(|error| anyhow::anyhow!("the server's folder cannot be used: {error:?}"))?;
        let mut builder = S3ServiceBuilder::new(files);
        builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let service = builder.build();

        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                while connections.try_join_next().is_some() {}
                let service = service.clone();
                connections.spawn(async move {
                    let server = Builder::new(TokioExecutor::new());
                    // A client that goes away is no fault of the server.
                    drop(server.serve_connection(TokioIo::new(socket), service).await);
                });
            }
        });
        Ok(Self { endpoint, _tasks: tasks, _folder: folder })
    }

    /// The same for a server in a process of its own: variables of the configuration.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        vec![
            ("COURSEVAULT_STORAGES__PRIMARY__URL", format!("s3://{BUCKET}/some/prefix")),
            ("COURSEVAULT_STORAGES__PRIMARY__ENDPOINT", self.endpoint.clone()),
            ("COURSEVAULT_STORAGES__PRIMARY__ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
            ("COURSEVAULT_STORAGES__PRIMARY__SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
            ("COURSEVAULT_STORAGES__PRIMARY__ALLOW_HTTP", "true".to_owned()),
        ]
    }

    /// The configuration of a storage in the server's bucket, below a prefix.
    pub fn config(&self) -> StorageConfig {
        StorageConfig {
            url: format!("s3://{BUCKET}/some/prefix"),
            endpoint: Some(self.endpoint.clone()),
            access_key_id: Some(ACCESS_KEY.into()),
            secret_access_key: Some(SECRET_KEY.to_owned().into()),
            allow_http: true,
            ..StorageConfig::default()
        }
    }
}
