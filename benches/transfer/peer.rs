//! The peer: a gRPC server that does nothing but gRPC, with the windows and the chunks of ours.
//!
//! An upload is hashed and dropped; a download comes from memory.

use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;

use anyhow::Context as _;
use bytes::Bytes;
use coursevault::proto::backup_service_server::{BackupService, BackupServiceServer};
use coursevault::proto::*;
use futures::{Stream, StreamExt, stream};
use sha2::{Digest as _, Sha256};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

use super::CHUNK;

/// Serves until it is killed.
pub async fn serve(listen: SocketAddr, file: &Path) -> anyhow::Result<()> {
    let bytes = Bytes::from(tokio::fs::read(file).await.context("the archive that the peer sends")?);
    let listener = tokio::net::TcpListener::bind(listen).await?;
    let incoming = TcpListenerStream::new(listener).map(|stream| {
        stream.inspect(|stream| {
            let _ = stream.set_nodelay(true);
        })
    });
    let server = Server::builder()
        .initial_stream_window_size(Some(2 << 20))
        .initial_connection_window_size(Some(8 << 20))
        .add_service(BackupServiceServer::new(Bare(bytes)))
        .serve_with_incoming(incoming);
    Ok(server.await?)
}

struct Bare(Bytes);

type Sent<M> = Pin<Box<dyn Stream<Item = Result<M, Status>> + Send>>;

macro_rules! refused {
    ($($method:ident: $request:ident -> $response:ident;)*) => {
        #[tonic::async_trait]
        impl BackupService for Bare {
            $(async fn $method(&self, _: Request<$request>) -> Result<Response<$response>, Status> {
                Err(Status::unimplemented("the peer only moves bytes"))
            })*

            async fn upload_backup(
                &self,
                request: Request<Streaming<UploadBackupRequest>>,
            ) -> Result<Response<UploadBackupResponse>, Status> {
                take(request.into_inner()).await.map(Response::new)
            }

            type DownloadArchiveStream = Sent<DownloadArchiveResponse>;

            async fn download_archive(
                &self,
                _: Request<DownloadArchiveRequest>,
            ) -> Result<Response<Self::DownloadArchiveStream>, Status> {
                Ok(Response::new(give(self.0.clone())))
            }

            type ReadArchiveMemberStream = Sent<ReadArchiveMemberResponse>;

            async fn read_archive_member(
                &self,
                _: Request<ReadArchiveMemberRequest>,
            ) -> Result<Response<Self::ReadArchiveMemberStream>, Status> {
                Err(Status::unimplemented("the peer only moves bytes"))
            }
        }
    };
}

refused! {
    create_backup: CreateBackupRequest -> CreateBackupResponse;
    plan_backup: PlanBackupRequest -> PlanBackupResponse;
    convert_archive: ConvertArchiveRequest -> ConvertArchiveResponse;
    verify_archive: VerifyArchiveRequest -> VerifyArchiveResponse;
    get_archive: GetArchiveRequest -> GetArchiveResponse;
    list_archives: ListArchivesRequest -> ListArchivesResponse;
    update_archive: UpdateArchiveRequest -> UpdateArchiveResponse;
    place_hold: PlaceHoldRequest -> PlaceHoldResponse;
    release_hold: ReleaseHoldRequest -> ReleaseHoldResponse;
    share_archive: ShareArchiveRequest -> ShareArchiveResponse;
    unshare_archive: UnshareArchiveRequest -> UnshareArchiveResponse;
    delete_archive: DeleteArchiveRequest -> DeleteArchiveResponse;
    undelete_archive: UndeleteArchiveRequest -> UndeleteArchiveResponse;
    list_archive_members: ListArchiveMembersRequest -> ListArchiveMembersResponse;
    inspect_archive: InspectArchiveRequest -> InspectArchiveResponse;
    compare_archives: CompareArchivesRequest -> CompareArchivesResponse;
}

async fn take(mut messages: Streaming<UploadBackupRequest>) -> Result<UploadBackupResponse, Status> {
    use upload_backup_request::Part;
    let mut hasher = Sha256::new();
    let mut announced = String::new();
    while let Some(message) = messages.next().await {
        match message?.part {
            Some(Part::Chunk(chunk)) => hasher.update(&chunk.data),
            Some(Part::Finish(finish)) => announced = finish.sha256,
            _ => {}
        }
    }
    if coursevault::digest::Sha256(hasher.finalize().into()).to_string() != announced {
        return Err(Status::data_loss("another SHA-256"));
    }
    Ok(UploadBackupResponse::default())
}

fn give(bytes: Bytes) -> Sent<DownloadArchiveResponse> {
    use download_archive_response::Part;
    let chunks = (0..bytes.len()).step_by(CHUNK).map(move |start| {
        let data = bytes.slice(start..bytes.len().min(start + CHUNK));
        let offset = i64::try_from(start).unwrap_or(i64::MAX);
        Part::Chunk(Chunk { offset, data, crc32: None })
    });
    let parts = std::iter::once(Part::Header(DownloadHeader::default()))
        .chain(chunks)
        .chain([Part::Finish(DownloadFinish::default())]);
    Box::pin(stream::iter(parts.map(|part| Ok(DownloadArchiveResponse { part: Some(part) }))))
}
