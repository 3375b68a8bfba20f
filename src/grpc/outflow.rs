//! Downloads as response streams.

use std::pin::Pin;

use futures::{Stream, StreamExt, stream};
use tonic::{Response, Status};

use super::convert;
use super::drain::until_dropped;
use crate::engine::{Download, Engine, Error, Outgoing, Range};
use crate::proto;
use crate::reason::Reason;

/// A response stream.
pub type Outflow<M> = Pin<Box<dyn Stream<Item = Result<M, Status>> + Send>>;

/// A message of a download, whichever call it belongs to.
pub enum Part {
    /// First.
    Header(proto::DownloadHeader),
    /// Then these.
    Chunk(proto::Chunk),
    /// Last.
    Finish(proto::DownloadFinish),
}

/// The range in a request.
pub fn range(offset: i64, limit: i64, if_etag: &str) -> Result<Range, Error> {
    Ok(Range {
        offset: convert::unsigned("offset", offset)?,
        limit: Some(convert::unsigned("limit", limit)?).filter(|limit| *limit > 0),
        if_etag: Some(if_etag.to_owned()).filter(|etag| !etag.is_empty()),
    })
}

/// A download as a response stream.
pub fn stream_out<M: 'static>(
    engine: &Engine,
    download: Download,
    message: fn(Part) -> M,
) -> Response<Outflow<M>> {
    let header = proto::DownloadHeader {
        size_bytes: convert::count(download.size),
        sha256: download.sha256.map(|sha256| sha256.to_string()).unwrap_or_default(),
        etag: download.etag,
        file_name: download.file_name,
        container: convert::wire_container(download.container).into(),
    };
    let rest = stream::unfold(Some(download.chunks), |chunks| async move {
        let mut chunks = chunks?;
        match chunks.recv().await {
            Some(Ok(Outgoing::Chunk(offset, data))) => {
                metrics::counter!(crate::metric::DOWNLOADED_BYTES).increment(data.len() as u64);
                let crc32 = Some(crc32fast::hash(&data));
                let chunk = proto::Chunk { offset: convert::count(offset), data, crc32 };
                Some((Ok(Part::Chunk(chunk)), Some(chunks)))
            }
            Some(Ok(Outgoing::End(sent, sha256))) => {
                let sent_bytes = convert::count(sent);
                let sha256 = sha256.map(|sha256| sha256.to_string()).unwrap_or_default();
                Some((Ok(Part::Finish(proto::DownloadFinish { sent_bytes, sha256 })), None))
            }
            Some(Err(error)) => Some((Err(Status::from(error)), None)),
            // An end without a finish must not look like a good one.
            None => {
                let message = "the download was given up: go on from the last offset";
                let error = Error::new(Reason::Overloaded, message).retryable();
                Some((Err(Status::from(error)), None))
            }
        }
    });
    let parts = stream::once(async move { Ok(Part::Header(header)) }).chain(rest);
    Response::new(until_dropped(engine, parts.map(move |part| part.map(message))))
}
