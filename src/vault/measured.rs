//! A storage whose operations are counted and timed.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};
use tracing::Instrument as _;

use crate::metric;

/// Counts and times what is asked of a store.
#[derive(Debug)]
pub(super) struct MeasuredStore {
    inner: Arc<dyn ObjectStore>,
    storage: Arc<str>,
}

impl MeasuredStore {
    pub(super) fn over(inner: Arc<dyn ObjectStore>, storage: Arc<str>) -> Arc<dyn ObjectStore> {
        Arc::new(Self { inner, storage })
    }
}

impl fmt::Display for MeasuredStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

/// Waits for an operation and records how it went.
async fn timed<T>(
    storage: &Arc<str>,
    operation: &'static str,
    running: impl Future<Output = Result<T>>,
) -> Result<T> {
    let begin = Instant::now();
    let span = tracing::debug_span!("storage", storage = %storage, operation);
    let answer = running.instrument(span).await;
    told(storage, operation, begin, answer.as_ref().err());
    answer
}

fn told(storage: &Arc<str>, operation: &'static str, begin: Instant, error: Option<&Error>) {
    let storage = storage.to_string();
    let seconds = begin.elapsed().as_secs_f64();
    metrics::histogram!(metric::STORAGE_SECONDS, "storage" => storage.clone(), "operation" => operation)
        .record(seconds);
    if error.is_some_and(|error| !matches!(error, Error::NotFound { .. })) {
        metrics::counter!(metric::STORAGE_ERRORS, "storage" => storage, "operation" => operation)
            .increment(1);
    }
}

fn moved(storage: &Arc<str>, direction: &'static str, bytes: u64) {
    metrics::counter!(metric::STORAGE_BYTES, "storage" => storage.to_string(), "direction" => direction)
        .increment(bytes);
}

#[async_trait]
impl ObjectStore for MeasuredStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let bytes = payload.content_length() as u64;
        let done = timed(&self.storage, "put", self.inner.put_opts(location, payload, options)).await?;
        moved(&self.storage, "in", bytes);
        Ok(done)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let inner = self.inner.put_multipart_opts(location, options).await?;
        Ok(Box::new(MeasuredUpload { inner, storage: Arc::clone(&self.storage) }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let size_only = options.head;
        let got = timed(&self.storage, "get", self.inner.get_opts(location, options)).await?;
        if !size_only {
            moved(&self.storage, "out", got.range.end - got.range.start);
        }
        Ok(got)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (storage, begin) = (Arc::clone(&self.storage), Instant::now());
        let done = self.inner.delete_stream(locations);
        done.inspect(move |answer| told(&storage, "delete", begin, answer.as_ref().err())).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        // Its first answer is what the storage took; the rest goes at the pace of who reads.
        let (storage, mut begin) = (Arc::clone(&self.storage), Some(Instant::now()));
        let listed = self.inner.list(prefix);
        listed
            .inspect(move |answer| {
                if let Some(begin) = begin.take() {
                    told(&storage, "list", begin, answer.as_ref().err());
                }
            })
            .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        timed(&self.storage, "list", self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        timed(&self.storage, "put", self.inner.copy_opts(from, to, options)).await
    }
}

#[derive(Debug)]
struct MeasuredUpload {
    inner: Box<dyn MultipartUpload>,
    storage: Arc<str>,
}

#[async_trait]
impl MultipartUpload for MeasuredUpload {
    fn put_part(&mut self, payload: PutPayload) -> UploadPart {
        let (storage, bytes) = (Arc::clone(&self.storage), payload.content_length() as u64);
        let part = self.inner.put_part(payload);
        async move {
            timed(&storage, "part", part).await?;
            moved(&storage, "in", bytes);
            Ok(())
        }
        .boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        timed(&self.storage, "complete", self.inner.complete()).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}
