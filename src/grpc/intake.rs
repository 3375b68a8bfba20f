//! One-call uploads: a header, chunks in order, a finish.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use tonic::{Request, Status};

use super::convert;
use super::{auth, call};
use crate::digest::Sha256;
use crate::engine::{Arriving, Engine, Error, Ingested, feed};
use crate::ids::{CourseName, SiteName};
use crate::job::Area;
use crate::principal::Principal;
use crate::proto;
use crate::reason::Reason;

/// An upload that sends nothing for so long is over: it holds threads and memory, or keeps others from its session.
pub const IDLE: Duration = Duration::from_secs(60);

/// A message of an upload stream, whichever call it belongs to.
pub enum Part {
    /// First.
    Header(proto::UploadHeader),
    /// Then these.
    Chunk(proto::Chunk),
    /// Last.
    Finish(proto::UploadFinish),
    /// A message without any of them.
    Empty,
}

/// What a call accepts as an upload.
pub struct Accepts {
    /// Name of the call.
    pub method: &'static str,
    /// The one area that it stores to, if it has only one.
    pub only: Option<Area>,
}

/// What became of an upload.
pub enum Stored {
    /// It was stored by this call.
    Now(Box<Ingested>),
    /// An earlier call with the same request id stored it under this name.
    Before(String),
}

/// Takes an upload in and stores it.
pub async fn receive<M>(
    engine: &Engine,
    request: Request<impl Stream<Item = Result<M, Status>> + Send + 'static>,
    accepts: Accepts,
    part: fn(M) -> Part,
) -> Result<Stored, Error> {
    let principal = auth::principal(&request)?;
    let mut parts = Box::pin(request.into_inner().map(move |message| message.map(part)));
    let Part::Header(header) = next(&mut parts).await? else {
        return Err(Error::new(Reason::UploadProtocol, "the first message must be the header"));
    };
    let arriving = arriving(&principal, &header, &accepts)?;
    let call = call(principal, accepts.method, &header.request_id, &header)
        .map_err(|error| error.within("header"))?;
    if let Some(name) = engine.replayed(&call).await? {
        return Ok(Stored::Before(name));
    }
    engine.check_arriving(&arriving).await.map_err(|error| error.within("header"))?;
    let (mut feed, reader) = feed(engine.limits().upload_bytes);
    let sent = Arc::new(OnceLock::new());
    let (ingest_engine, told) = (engine.clone(), Arc::clone(&sent));
    let mut ingest =
        tokio::spawn(
            async move { ingest_engine.ingest(&arriving, reader, move || told.get().copied()).await },
        );
    let read = loop {
        let part = tokio::select! {
            part = next(&mut parts) => part?,
            // It was refused, which is told without waiting for what the caller may never send.
            read = &mut ingest => break read,
        };
        match part {
            Part::Chunk(chunk) => {
                let bytes = checked(&chunk, engine.limits().chunk_bytes)?;
                in_order(&chunk, feed.received())?;
                if !feed.push(bytes).await? {
                    break ingest.await;
                }
            }
            Part::Finish(finish) => {
                let (size, sha256) =
                    announced(finish.size_bytes, &finish.sha256).map_err(|error| error.within("finish"))?;
                // Set once, for a stream has one finish.
                let _ = sent.set((size, sha256));
                feed.finish(size, &sha256).await?;
                break ingest.await;
            }
            _ => {
                return Err(Error::new(
                    Reason::UploadProtocol,
                    "after the header come chunks, then the finish",
                ));
            }
        }
    };
    let ingested = read.map_err(|error| {
        Error::new(Reason::Internal, "reading the archive failed unexpectedly").caused_by(error)
    })??;
    match engine.store_upload(&call, ingested).await {
        Ok(ingested) => Ok(Stored::Now(Box::new(ingested))),
        // The same upload came twice at once, and the other one is stored.
        Err(error) => match engine.replayed(&call).await {
            Ok(Some(name)) => Ok(Stored::Before(name)),
            _ => Err(error),
        },
    }
}

async fn next(parts: &mut (impl Stream<Item = Result<Part, Status>> + Unpin)) -> Result<Part, Error> {
    match within(IDLE, parts.next()).await? {
        Some(Ok(part)) => Ok(part),
        Some(Err(status)) => Err(broken(&status)),
        None => Err(Error::new(Reason::UploadIncomplete, "the stream ended before its finish").retryable()),
    }
}

/// The next message of an upload, if it comes in time.
pub async fn within<T>(idle: Duration, message: impl Future<Output = T>) -> Result<T, Error> {
    tokio::time::timeout(idle, message).await.map_err(|_| {
        let message = format!("nothing arrived for {} seconds", idle.as_secs());
        Error::new(Reason::UploadIncomplete, message).retryable()
    })
}

/// A stream that ended with an error of the transport.
pub fn broken(status: &Status) -> Error {
    if status.code() == tonic::Code::OutOfRange {
        return Error::new(Reason::LimitChunkBytes, "a message is larger than the server takes");
    }
    Error::new(Reason::UploadIncomplete, "the stream broke off").retryable()
}

fn arriving(
    principal: &Principal,
    header: &proto::UploadHeader,
    accepts: &Accepts,
) -> Result<Arriving, Error> {
    let SiteName(site) = convert::name("header.parent", &header.parent)?;
    auth::reach(principal, &site)?;
    let course = course_of(&site, "header.course", &header.course)?;
    let asked = convert::area("header.area", header.area)?;
    let area = match (asked, accepts.only) {
        (Some(area), Some(only)) if area != only => {
            return Err(Error::field("header.area", "this call stores to AREA_DROP_ZONE only"));
        }
        (_, Some(only)) => only,
        (Some(area), None) => area,
        (None, None) if course.is_some() => Area::Course,
        (None, None) => Area::Private,
    };
    admit_area(principal, area)?;
    let (file_name, owner) = (header.file_name.clone(), principal.name.clone());
    Ok(Arriving { site, area, course, file_name, owner, job: None })
}

/// A course in a field; it must be of the same site.
pub fn course_of(
    site: &crate::ids::SiteId,
    field: &str,
    text: &str,
) -> Result<Option<crate::ids::CourseId>, Error> {
    match convert::optional_name::<CourseName>(field, text)? {
        Some(name) if name.site != *site => Err(Error::field(field, "must be of the same site")),
        name => Ok(name.map(|name| name.course)),
    }
}

/// Only administrators store automated backups.
pub fn admit_area(principal: &Principal, area: Area) -> Result<(), Error> {
    if area == Area::Automated && !principal.is_administrator() {
        return Err(Error::new(
            Reason::PermissionDenied,
            "the caller lacks moodle/restore:viewautomatedfilearea",
        )
        .with("permission", &"moodle/restore:viewautomatedfilearea"));
    }
    Ok(())
}

/// The bytes of a chunk, checked against limit and checksum.
pub fn checked(chunk: &proto::Chunk, limit: usize) -> Result<Bytes, Error> {
    if chunk.data.len() > limit {
        return Err(Error::new(
            Reason::LimitChunkBytes,
            format!("a chunk is over the limit of {limit} bytes"),
        )
        .with("limit", &limit));
    }
    if chunk.crc32.is_some_and(|crc32| crc32fast::hash(&chunk.data) != crc32) {
        return Err(Error::new(
            Reason::ChunkDigestMismatch,
            format!("the chunk at {} has another CRC-32 than it says", chunk.offset),
        )
        .with("offset", &chunk.offset)
        .retryable());
    }
    metrics::counter!(crate::metric::UPLOADED_BYTES).increment(chunk.data.len() as u64);
    Ok(chunk.data.clone())
}

fn in_order(chunk: &proto::Chunk, received: u64) -> Result<(), Error> {
    if u64::try_from(chunk.offset) == Ok(received) {
        return Ok(());
    }
    Err(Error::new(
        Reason::UploadOffsetMismatch,
        format!("the chunk begins at {}, {received} bytes have arrived", chunk.offset),
    )
    .with("committedBytes", &received)
    .with("offset", &chunk.offset))
}

/// Size and digest that a caller announces.
pub fn announced(size: i64, sha256: &str) -> Result<(u64, Sha256), Error> {
    let sha256 = sha256
        .parse()
        .map_err(|error: crate::digest::InvalidDigest| Error::field("sha256", error.to_string()))?;
    Ok((convert::unsigned("size_bytes", size)?, sha256))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_upload_that_sends_nothing_ends() {
        let ended = within(Duration::ZERO, std::future::pending::<()>()).await;
        let told = ended.err().map(|error| (error.reason, error.retryable));
        assert_eq!(told, Some((Reason::UploadIncomplete, true)));
    }
}
