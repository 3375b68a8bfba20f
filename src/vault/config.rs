//! Where a storage is and how it is opened. All options are explicit: no environment variable is read.

use std::fmt;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::memory::InMemory;
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};
use secrecy::{ExposeSecret, SecretString};

use super::error::VaultError;
use super::folder::FolderStore;

/// Where a storage is.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StorageConfig {
    /// `file:///folder`, `file:folder` (relative to the working folder; taken literally, nothing is decoded), `memory:`
    /// or `s3://bucket/prefix`. A folder is made where it is missing.
    pub url: String,
    /// S3: address of the server, without user or password; unset for Amazon's own.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// S3: region; `us-east-1` where unset.
    #[serde(default)]
    pub region: Option<String>,
    /// S3: id of the access key.
    #[serde(default)]
    pub access_key_id: Option<String>,
    /// S3: the access key's secret.
    #[serde(default, deserialize_with = "secret")]
    pub secret_access_key: Option<SecretString>,
    /// S3: whether the endpoint may be plain HTTP.
    #[serde(default)]
    pub allow_http: bool,
    /// S3: whether the bucket stands in the host name (`bucket.host`) and not in the path (`host/bucket`).
    #[serde(default)]
    pub virtual_hosted: bool,
}

fn secret<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<SecretString>, D::Error> {
    let text = <Option<String> as serde::Deserialize>::deserialize(deserializer)?;
    Ok(text.map(SecretString::from))
}

/// An object store that was opened.
pub(super) struct Opened {
    pub(super) store: Arc<dyn ObjectStore>,
    /// The folder, where the storage is one.
    pub(super) folder: Option<PathBuf>,
}

impl StorageConfig {
    /// A storage in this process's memory. It ends with the process.
    pub fn memory() -> Self {
        Self { url: "memory:".into(), ..Self::default() }
    }

    /// A storage in a folder.
    pub fn folder(path: &FilePath) -> Self {
        Self { url: format!("file:{}", path.display()), ..Self::default() }
    }

    pub(super) fn open(&self, storage: &impl fmt::Display) -> Result<Opened, VaultError> {
        let refuse = |what: String| VaultError::Config { storage: storage.to_string(), what };
        let (scheme, rest) = self.url.split_once(':').unwrap_or_default();
        match scheme {
            "memory" if rest.is_empty() => Ok(Opened { store: Arc::new(InMemory::new()), folder: None }),
            "file" => {
                let path = folder_of(rest).ok_or_else(|| refuse("the url names no folder".into()))?;
                let store = FolderStore::open(path)
                    .map_err(|error| refuse(format!("folder {} cannot be used: {error}", path.display())))?;
                let folder = Some(store.root().to_owned());
                Ok(Opened { store: Arc::new(store), folder })
            }
            "s3" => Ok(Opened { store: self.open_s3(rest).map_err(refuse)?, folder: None }),
            _ => Err(refuse("the url must begin with file:, memory: or s3:".into())),
        }
    }

    fn open_s3(&self, rest: &str) -> Result<Arc<dyn ObjectStore>, String> {
        let location = rest.strip_prefix("//").unwrap_or_default();
        let (bucket, prefix) = location.split_once('/').unwrap_or((location, ""));
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        if bucket.is_empty() || !bucket.bytes().all(is_name) {
            return Err("the url must be s3://bucket or s3://bucket/prefix".into());
        }
        let key = self.access_key_id.as_ref().ok_or("access_key_id is missing")?;
        let secret = self.secret_access_key.as_ref().ok_or("secret_access_key is missing")?;
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_region(self.region.as_deref().unwrap_or("us-east-1"))
            .with_access_key_id(key)
            .with_secret_access_key(secret.expose_secret())
            .with_virtual_hosted_style_request(self.virtual_hosted)
            .with_client_options(client_options().with_allow_http(self.allow_http))
            .with_retry(retries());
        if let Some(endpoint) = &self.endpoint {
            self.check_endpoint(endpoint)?;
            builder = builder.with_endpoint(endpoint);
        }
        let store = builder.build().map_err(|error| error.to_string())?;
        let prefix = object_store::path::Path::parse(prefix.trim_end_matches('/'))
            .map_err(|error| format!("the prefix cannot be used: {error}"))?;
        Ok(if prefix.as_ref().is_empty() {
            Arc::new(store)
        } else {
            Arc::new(PrefixStore::new(store, prefix))
        })
    }

    /// The address is shown in messages, so it may hold no secret.
    fn check_endpoint(&self, endpoint: &str) -> Result<(), String> {
        if endpoint.contains(['@', '?', '#']) {
            return Err("the endpoint may hold no user, password or query".into());
        }
        match endpoint.split_once("://") {
            Some(("https", _)) => Ok(()),
            Some(("http", _)) if self.allow_http => Ok(()),
            Some(("http", _)) => Err("the endpoint is plain HTTP and allow_http is off".into()),
            _ => Err("the endpoint must begin with https:// or http://".into()),
        }
    }
}

fn folder_of(rest: &str) -> Option<&FilePath> {
    let path = match rest.strip_prefix("//") {
        Some(absolute) => Some(absolute).filter(|path| path.starts_with('/')),
        None => Some(rest),
    };
    path.filter(|path| !path.is_empty()).map(FilePath::new)
}

/// One request carries at most one part of a pack; a slow line needs minutes for it.
fn client_options() -> ClientOptions {
    ClientOptions::new()
        .with_connect_timeout(Duration::from_secs(10))
        .with_read_timeout(Duration::from_secs(60))
        .with_timeout(Duration::from_secs(300))
        // Without a proxy of its own the client would take one from the environment. This one is used for no host: the
        // asterisk stands for all names, the networks for all addresses.
        .with_proxy_url("http://proxy.invalid")
        .with_proxy_excludes("*,0.0.0.0/0,::/0")
}

/// A hiccup is bridged here; a longer outage is the job's to retry.
fn retries() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(200),
            max_backoff: Duration::from_secs(5),
            base: 2.0,
        },
        max_retries: 4,
        retry_timeout: Duration::from_secs(60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(config: &StorageConfig) -> String {
        config.open(&"test").err().map(|error| error.to_string()).expect("a refusal")
    }

    fn s3() -> StorageConfig {
        StorageConfig {
            url: "s3://bucket/some/prefix".into(),
            endpoint: Some("https://s3.example.org".into()),
            access_key_id: Some("key".into()),
            secret_access_key: Some(SecretString::from("very-secret")),
            ..StorageConfig::default()
        }
    }

    #[test]
    fn a_secret_shows_in_no_debug_output_and_no_message() {
        let config = StorageConfig { allow_http: false, endpoint: Some("http://localhost".into()), ..s3() };
        assert!(!format!("{config:?}").contains("very-secret"));
        assert!(!refusal(&config).contains("very-secret"));
        let opened = s3().open(&"test").expect("a usable configuration");
        assert!(!format!("{:?} {}", opened.store, opened.store).contains("very-secret"));
    }

    #[test]
    fn what_cannot_be_used_is_refused_when_opening() {
        for url in
            ["", "memory:x", "file:", "file://host/x", "s3:bucket", "s3://", "s3://b?ck", "ftp://x", "x"]
        {
            let config = StorageConfig { url: url.into(), ..s3() };
            assert!(refusal(&config).starts_with("storage test: "), "{url}");
        }
        for endpoint in ["http://x", "x", "https://user:hunter2@host", "https://host/?a=b"] {
            let config = StorageConfig { endpoint: Some(endpoint.into()), ..s3() };
            assert!(!refusal(&config).contains("hunter2"), "{endpoint}");
        }
        assert!(refusal(&StorageConfig { access_key_id: None, ..s3() }).contains("access_key_id"));
    }

    #[test]
    fn unknown_options_are_refused() {
        let parse = |json: &str| serde_json::from_str::<StorageConfig>(json);
        assert!(parse(r#"{"url": "memory:"}"#).is_ok());
        assert!(parse(r#"{"url": "memory:", "acces_key_id": "x"}"#).is_err());
    }

    #[test]
    fn a_folder_is_made_and_known_by_its_full_path() {
        let temp = tempfile::tempdir().expect("a temporary folder");
        let path = temp.path().join("a/../b/vault");
        std::fs::create_dir(temp.path().join("a")).expect("a folder");
        let opened = StorageConfig::folder(&path).open(&"test").expect("a folder");
        let expected = temp.path().canonicalize().expect("a path").join("b/vault");
        assert_eq!(opened.folder, Some(expected));
    }
}
