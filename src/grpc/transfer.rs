//! TransferService.

use std::time::Duration;

use futures::StreamExt;
use tonic::{Request, Response, Status, Streaming};

use super::convert::{self, name};
use super::intake::{IDLE, admit_area, announced, broken, checked, course_of, within};
use super::{auth, call};
use crate::capability::Capability;
use crate::engine::{Arriving, Engine, Error, Inspected};
use crate::ids::{JobName, SiteName, UploadName};
use crate::job::Area;
use crate::principal::Principal;
use crate::proto::transfer_service_server::TransferService;
use crate::proto::upload_chunks_request::Part;
use crate::proto::*;
use crate::reason::Reason;

/// Longest wait of FinishUpload.
const MAX_WAIT: Duration = Duration::from_secs(3600);

/// Uploads that go on where they broke off.
pub struct Transfer(pub Engine);

/// The upload of a request. A session belongs to whoever opened it; administrators reach all.
async fn upload_name(engine: &Engine, principal: &Principal, text: &str) -> Result<UploadName, Error> {
    let name: UploadName = name("name", text)?;
    auth::within(principal, &name.site)?;
    let upload = engine.get_upload(&name).await?;
    let manages = |site, course| principal.holds_at(Capability::SiteArchivesManage, site, course);
    if upload.owner != principal.name && !manages(&upload.site, upload.course.as_ref()) {
        return Err(Error::not_found(Reason::UploadNotFound, &name));
    }
    Ok(name)
}

#[tonic::async_trait]
impl TransferService for Transfer {
    async fn start_upload(
        &self,
        request: Request<StartUploadRequest>,
    ) -> Result<Response<StartUploadResponse>, Status> {
        let principal = auth::principal(&request)?;
        let message = request.into_inner();
        let SiteName(site) = name("parent", &message.parent)?;
        auth::within(&principal, &site)?;
        let area = convert::area("area", message.area)?.unwrap_or(Area::DropZone);
        let course = course_of(&site, "course", &message.course)?;
        admit_area(&principal, &site, course.as_ref(), area)?;
        let (file_name, owner) = (message.file_name.clone(), principal.name.clone());
        let arriving = Arriving { site, area, course, file_name, owner, job: None };
        let call = call(principal, "StartUpload", &message.request_id, &message)?;
        let row = self.0.once(&call, || self.0.start_upload(&call, arriving.clone())).await?;
        let max_chunk_bytes = max_chunk_bytes(&self.0);
        Ok(Response::new(StartUploadResponse { upload: Some(convert::upload(&row)), max_chunk_bytes }))
    }

    async fn upload_chunks(
        &self,
        request: Request<Streaming<UploadChunksRequest>>,
    ) -> Result<Response<UploadChunksResponse>, Status> {
        let principal = auth::principal(&request)?;
        let engine = self.0.clone();
        // A task of its own: when the connection is cut, what has arrived is still made durable.
        let committed =
            tokio::spawn(take_chunks(engine, principal, request.into_inner())).await.map_err(|error| {
                Error::new(Reason::Internal, "taking chunks failed unexpectedly").caused_by(error)
            })??;
        Ok(Response::new(UploadChunksResponse { committed_bytes: convert::count(committed) }))
    }

    async fn get_upload(
        &self,
        request: Request<GetUploadRequest>,
    ) -> Result<Response<GetUploadResponse>, Status> {
        let principal = auth::principal(&request)?;
        let name = upload_name(&self.0, &principal, &request.into_inner().name).await?;
        let row = self.0.get_upload(&name).await?;
        let max_chunk_bytes = max_chunk_bytes(&self.0);
        Ok(Response::new(GetUploadResponse { upload: Some(convert::upload(&row)), max_chunk_bytes }))
    }

    async fn finish_upload(
        &self,
        request: Request<FinishUploadRequest>,
    ) -> Result<Response<FinishUploadResponse>, Status> {
        let wait = deadline(&request).map_or(MAX_WAIT, |deadline| deadline.mul_f32(0.8).min(MAX_WAIT));
        let principal = auth::principal(&request)?;
        let message = request.into_inner();
        let upload = upload_name(&self.0, &principal, &message.name).await?;
        let (size, sha256) = announced(message.size_bytes, &message.sha256)?;
        let call = call(principal, "FinishUpload", "", &message)?;
        let job = self.0.finish_upload(&call, &upload, size, sha256).await?;
        let job = JobName { site: job.site, job: job.job };
        let finished = self.0.finished_upload(&upload, &job, wait).await?;
        if let Some(problem) = finished.job.problem {
            return Err(Error::from(problem).with("job", &job).on(&upload).into());
        }
        let inspected = match finished.archive {
            Some(row) => Some(Inspected { manifest: self.0.manifest_of(&row).await?, row }),
            None => None,
        };
        Ok(Response::new(FinishUploadResponse {
            upload: Some(convert::upload(&finished.upload)),
            job: Some(convert::job(&finished.job)),
            archive: inspected.as_ref().map(|inspected| convert::archive(&inspected.row)),
            inspection: inspected.as_ref().map(convert::inspection),
        }))
    }

    async fn abort_upload(
        &self,
        request: Request<AbortUploadRequest>,
    ) -> Result<Response<AbortUploadResponse>, Status> {
        let principal = auth::principal(&request)?;
        let name = upload_name(&self.0, &principal, &request.into_inner().name).await?;
        let row = self.0.abort_upload(&name).await?;
        Ok(Response::new(AbortUploadResponse { upload: Some(convert::upload(&row)) }))
    }
}

/// The largest chunk that is taken, as the wire has it.
fn max_chunk_bytes(engine: &Engine) -> i64 {
    convert::count(engine.limits().chunk_bytes as u64)
}

/// Takes the chunks of one stream. Whatever ends it, what has arrived before counts.
async fn take_chunks(
    engine: Engine,
    principal: Principal,
    mut messages: Streaming<UploadChunksRequest>,
) -> Result<u64, Error> {
    let first = within(IDLE, messages.next()).await?.transpose().map_err(|status| broken(&status))?;
    let Some(Part::Name(text)) = first.and_then(|message| message.part) else {
        return Err(Error::new(Reason::UploadProtocol, "the first message must name the upload"));
    };
    let name = upload_name(&engine, &principal, &text).await?;
    let mut stream = engine.open_upload_stream(&name).await?;
    let ended = loop {
        let message = tokio::select! {
            message = within(IDLE, messages.next()) => message,
            // What has arrived is kept, and the session is free for the next server.
            () = engine.closing() => break Err(Error::shutting_down()),
        };
        let chunk = match message {
            Err(idle) => break Err(idle),
            Ok(None) => break Ok(()),
            Ok(Some(Err(status))) => break Err(broken(&status)),
            Ok(Some(Ok(UploadChunksRequest { part: Some(Part::Chunk(chunk)) }))) => chunk,
            Ok(Some(Ok(_))) => break Err(Error::new(Reason::UploadProtocol, "after the name come chunks")),
        };
        let taken = async {
            let bytes = checked(&chunk, engine.limits().chunk_bytes)?;
            stream.push(convert::unsigned("chunk.offset", chunk.offset)?, bytes).await
        };
        if let Err(error) = taken.await {
            break Err(error);
        }
    };
    let committed = stream.close().await;
    ended?;
    committed
}

/// The time that the caller leaves, by the `grpc-timeout` header.
fn deadline<T>(request: &Request<T>) -> Option<Duration> {
    let text = request.metadata().get("grpc-timeout")?.to_str().ok()?;
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u64 = number.parse().ok()?;
    match unit {
        "H" => number.checked_mul(3600).map(Duration::from_secs),
        "M" => number.checked_mul(60).map(Duration::from_secs),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}
