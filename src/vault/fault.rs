//! A storage that fails on purpose, for tests of everything that must survive it.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};

use super::storage::Storage;

/// An operation of a storage, as faults count them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// A whole object is written.
    Put,
    /// An object that comes in parts is begun.
    Begin,
    /// A part is written.
    PutPart,
    /// An object that came in parts is made visible.
    Complete,
    /// An object that came in parts is given up.
    Abort,
    /// An object or a range of it is read, or asked for its size.
    Get,
    /// Objects are listed.
    List,
    /// An object is deleted.
    Delete,
}

/// How an operation fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The storage does not answer, and nothing happens.
    Unavailable,
    /// The storage does not answer, yet what was asked for happens. Reads fail as with `Unavailable`.
    AnswerLost,
    /// There is no room.
    Full,
    /// An object ends after so many bytes: when it is written whole, silently; when it is read, so it seems.
    Cut(usize),
}

#[derive(Default)]
struct Plan {
    calls: HashMap<Operation, u64>,
    /// Operation, number of the first call that fails, number of the first that does not any more.
    faults: Vec<(Operation, u64, u64, Fault)>,
}

/// What is to fail. Clones share it.
#[derive(Clone, Default)]
pub struct Faults(Arc<Mutex<Plan>>);

impl Faults {
    /// Fails the `nth` call of an operation from now, counted from 1.
    pub fn fail(&self, operation: Operation, nth: u64, fault: Fault) {
        self.plan(operation, nth, Some(1), fault);
    }

    /// Fails the `nth` call of an operation from now, counted from 1, and all later ones.
    pub fn fail_from(&self, operation: Operation, nth: u64, fault: Fault) {
        self.plan(operation, nth, None, fault);
    }

    /// Lets everything succeed again.
    pub fn clear(&self) {
        self.lock().faults.clear();
    }

    /// How often an operation was called.
    pub fn calls(&self, operation: Operation) -> u64 {
        self.lock().calls.get(&operation).copied().unwrap_or(0)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Plan> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn plan(&self, operation: Operation, nth: u64, count: Option<u64>, fault: Fault) {
        let first = self.calls(operation).saturating_add(nth);
        let end = count.map_or(u64::MAX, |count| first.saturating_add(count));
        self.lock().faults.push((operation, first, end, fault));
    }

    fn next(&self, operation: Operation) -> Option<Fault> {
        let mut plan = self.lock();
        let calls = plan.calls.entry(operation).or_default();
        *calls += 1;
        let call = *calls;
        let hits = |(planned, first, end, _): &&(Operation, u64, u64, Fault)| {
            *planned == operation && (*first..*end).contains(&call)
        };
        plan.faults.iter().find(hits).map(|(_, _, _, fault)| *fault)
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.lock().faults).finish()
    }
}

impl Storage {
    /// This storage, failing as `faults` says.
    #[must_use]
    pub fn with_faults(&self, faults: &Faults) -> Self {
        self.with_store(Arc::new(FaultStore { inner: Arc::clone(self.store()), faults: faults.clone() }))
    }
}

fn error(fault: Fault) -> Error {
    let source = match fault {
        Fault::Full => io::Error::from(io::ErrorKind::StorageFull),
        Fault::Unavailable | Fault::AnswerLost | Fault::Cut(_) => {
            io::Error::from(io::ErrorKind::ConnectionReset)
        }
    };
    Error::Generic { store: "fault", source: source.into() }
}

fn cut(payload: PutPayload, size: usize) -> PutPayload {
    let bytes = bytes::Bytes::from(payload);
    bytes.slice(..size.min(bytes.len())).into()
}

#[derive(Debug)]
struct FaultStore {
    inner: Arc<dyn ObjectStore>,
    faults: Faults,
}

impl fmt::Display for FaultStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failing {}", self.inner)
    }
}

#[async_trait]
impl ObjectStore for FaultStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        match self.faults.next(Operation::Put) {
            None => self.inner.put_opts(location, payload, options).await,
            Some(Fault::Cut(size)) => self.inner.put_opts(location, cut(payload, size), options).await,
            Some(Fault::AnswerLost) => {
                self.inner.put_opts(location, payload, options).await?;
                Err(error(Fault::AnswerLost))
            }
            Some(fault) => Err(error(fault)),
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        match self.faults.next(Operation::Begin) {
            Some(fault) => Err(error(fault)),
            None => {
                let inner = self.inner.put_multipart_opts(location, options).await?;
                Ok(Box::new(FaultUpload { inner, faults: self.faults.clone() }))
            }
        }
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let fault = self.faults.next(Operation::Get);
        let Some(Fault::Cut(size)) = fault else {
            return match fault {
                Some(fault) => Err(error(fault)),
                None => self.inner.get_opts(location, options).await,
            };
        };
        let mut result = self.inner.get_opts(location, options).await?;
        let (meta, range, attributes) =
            (result.meta.clone(), result.range.clone(), result.attributes.clone());
        let bytes = result.bytes().await?;
        let bytes = bytes.slice(..size.min(bytes.len()));
        let range = range.start..range.start + bytes.len() as u64;
        let payload = GetResultPayload::Stream(stream::once(async move { Ok(bytes) }).boxed());
        result = GetResult { payload, meta, range, attributes, extensions: Default::default() };
        Ok(result)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (inner, faults) = (Arc::clone(&self.inner), self.faults.clone());
        locations
            .then(move |location| {
                let (inner, fault) = (Arc::clone(&inner), faults.next(Operation::Delete));
                async move {
                    let location = location?;
                    match fault {
                        Some(fault) => Err(error(fault)),
                        None => {
                            let one = stream::once(async move { Ok(location) }).boxed();
                            inner
                                .delete_stream(one)
                                .next()
                                .await
                                .unwrap_or_else(|| Err(error(Fault::AnswerLost)))
                        }
                    }
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.faults.next(Operation::List) {
            Some(fault) => stream::once(async move { Err(error(fault)) }).boxed(),
            None => self.inner.list(prefix),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        match self.faults.next(Operation::List) {
            Some(fault) => Err(error(fault)),
            None => self.inner.list_with_delimiter(prefix).await,
        }
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

#[derive(Debug)]
struct FaultUpload {
    inner: Box<dyn MultipartUpload>,
    faults: Faults,
}

#[async_trait]
impl MultipartUpload for FaultUpload {
    fn put_part(&mut self, payload: PutPayload) -> UploadPart {
        match self.faults.next(Operation::PutPart) {
            None => self.inner.put_part(payload),
            Some(Fault::Cut(size)) => self.inner.put_part(cut(payload, size)),
            Some(fault) => futures::future::ready(Err(error(fault))).boxed(),
        }
    }

    async fn complete(&mut self) -> Result<PutResult> {
        match self.faults.next(Operation::Complete) {
            Some(Fault::AnswerLost) => {
                self.inner.complete().await?;
                Err(error(Fault::AnswerLost))
            }
            Some(fault) => Err(error(fault)),
            None => self.inner.complete().await,
        }
    }

    async fn abort(&mut self) -> Result<()> {
        match self.faults.next(Operation::Abort) {
            Some(fault) => Err(error(fault)),
            None => self.inner.abort().await,
        }
    }
}
