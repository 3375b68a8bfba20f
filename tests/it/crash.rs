//! kill -9 at random moments: what was acknowledged is there, every job ends, nothing is doubled.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use coursevault::proto::backup_service_client::BackupServiceClient;
use coursevault::proto::job_service_client::JobServiceClient;
use coursevault::proto::restore_service_client::RestoreServiceClient;
use coursevault::proto::transfer_service_client::TransferServiceClient;
use coursevault::proto::*;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

use crate::client::{Client, MAIN, Members, chunk_messages, fixture, members, restore_request, sha256, size};

const ROUNDS: u64 = 8;

/// A server in a process of its own.
struct Server {
    process: Child,
    channel: Channel,
}

impl Server {
    async fn start(folder: &std::path::Path, port: u16) -> anyhow::Result<Self> {
        let process = Command::new(env!("CARGO_BIN_EXE_coursevault"))
            .args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--data"])
            .arg(folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{port}"))?;
        let mut looks = tokio::time::interval(Duration::from_millis(20));
        for _ in 0..1500 {
            looks.tick().await;
            if let Ok(channel) = endpoint.connect().await {
                return Ok(Self { process, channel });
            }
        }
        anyhow::bail!("the server does not start")
    }

    fn kill(mut self) -> anyhow::Result<()> {
        // SIGKILL: the process gets no chance to end well.
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }
}

/// The jobs that a server acknowledged, and what it was told to make of them.
#[derive(Default)]
struct Acknowledged {
    jobs: Vec<String>,
    uploads: Vec<String>,
}

/// Asks for as much work as the server takes until it is gone.
async fn work(
    channel: Channel,
    archive: &[u8],
    round: u64,
    acknowledged: &mut Acknowledged,
) -> Result<(), Status> {
    let mut transfers = TransferServiceClient::new(channel.clone());
    let mut backups = BackupServiceClient::new(channel.clone());
    let mut restores = RestoreServiceClient::new(channel);
    for count in 0.. {
        let request =
            StartUploadRequest { parent: MAIN.into(), file_name: "crash.mbz".into(), ..Default::default() };
        let session = transfers.start_upload(request).await?.into_inner().upload.unwrap_or_default().name;
        transfers.upload_chunks(tokio_stream::iter(chunk_messages(&session, 0, archive))).await?;
        let finish =
            FinishUploadRequest { name: session.clone(), size_bytes: size(archive), sha256: sha256(archive) };
        let finished = transfers.finish_upload(finish).await?.into_inner();
        acknowledged.uploads.push(session);
        let archive_name = finished.archive.unwrap_or_default().name;
        let backup = CreateBackupRequest { course: format!("{MAIN}/courses/c"), ..Default::default() };
        let job = backups.create_backup(backup).await?.into_inner().job.unwrap_or_default();
        acknowledged.jobs.push(job.name);
        let restore = restore_request(&archive_name, &format!("r-{round}-{count}"));
        let job = restores.create_restore(restore).await?.into_inner().job.unwrap_or_default();
        acknowledged.jobs.push(job.name);
    }
    Ok(())
}

/// A course to back up, before anything is killed.
async fn prepare(channel: Channel, archive: &[u8]) -> anyhow::Result<()> {
    let client = Client { channel: channel.clone() };
    let stored = client.upload(archive).await?;
    client.publish(&format!("{MAIN}/courses/c"), &stored.name, "").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_nothing_is_lost_or_doubled() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let archive = fixture("gen_xs-full.mbz")?;
    let original = members(&archive)?;
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let seed = u64::from(std::process::id());
    println!("seed {seed}");
    let mut acknowledged = Acknowledged::default();
    let server = Server::start(folder.path(), port).await?;
    prepare(server.channel.clone(), &archive).await?;
    server.kill()?;
    for round in 0..ROUNDS {
        let server = Server::start(folder.path(), port).await?;
        let millis = blake3::hash(&[seed.to_le_bytes(), round.to_le_bytes()].concat()).as_bytes()[0];
        let working = work(server.channel.clone(), &archive, round, &mut acknowledged);
        // Whatever the clients were at is cut off at that moment.
        let _ = tokio::time::timeout(Duration::from_millis(100 + 4 * u64::from(millis)), working).await;
        server.kill()?;
    }
    let server = Server::start(folder.path(), port).await?;
    check(&server, &acknowledged, &original).await?;
    server.kill()
}

async fn check(server: &Server, acknowledged: &Acknowledged, original: &Members) -> anyhow::Result<()> {
    let mut jobs = JobServiceClient::new(server.channel.clone());
    assert!(!acknowledged.jobs.is_empty() && !acknowledged.uploads.is_empty(), "no round got anything done");
    let mut made = std::collections::BTreeSet::new();
    for name in &acknowledged.jobs {
        let job = jobs.wait_job(WaitJobRequest { name: name.clone(), timeout: None }).await?.into_inner();
        let job = job.job.unwrap_or_default();
        assert_eq!(job.state(), job::State::Succeeded, "{name}: {:?}", job.problem);
        if job.kind() == job::Kind::Backup {
            assert!(made.insert(job.result.unwrap_or_default().archive), "{name} shares its archive");
        }
    }
    let mut transfers = TransferServiceClient::new(server.channel.clone());
    for name in &acknowledged.uploads {
        let upload = transfers.get_upload(GetUploadRequest { name: name.clone() }).await?.into_inner().upload;
        assert_eq!(upload.map(|it| it.state()), Some(upload::State::Finished), "{name}");
    }
    // Every job ends, those that nobody heard of as well.
    let mut token = String::new();
    let mut of_job = std::collections::BTreeMap::<String, u32>::new();
    let mut backups = BackupServiceClient::new(server.channel.clone());
    loop {
        let request = ListJobsRequest { parent: MAIN.into(), page_token: token, ..Default::default() };
        let page = jobs.list_jobs(request).await?.into_inner();
        for job in page.jobs {
            let ended =
                jobs.wait_job(WaitJobRequest { name: job.name.clone(), timeout: None }).await?.into_inner();
            assert!(ended.job.is_some_and(|job| job.end_time.is_some()), "{} does not end", job.name);
        }
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    let mut token = String::new();
    loop {
        let request = ListArchivesRequest { parent: MAIN.into(), page_token: token, ..Default::default() };
        let page = backups.list_archives(request).await?.into_inner();
        for archive in page.archives {
            *of_job.entry(archive.job.clone()).or_default() += u32::from(!archive.job.is_empty());
            let request = DownloadArchiveRequest { name: archive.name.clone(), ..Default::default() };
            let mut stream = backups.download_archive(request).await?.into_inner();
            let mut bytes = Vec::new();
            while let Some(message) = stream.message().await? {
                if let Some(download_archive_response::Part::Chunk(chunk)) = message.part {
                    bytes.extend_from_slice(&chunk.data);
                }
            }
            assert!(members(&bytes)? == *original, "{} differs", archive.name);
        }
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert!(of_job.values().all(|count| *count <= 1), "a job made two archives: {of_job:?}");
    Ok(())
}
