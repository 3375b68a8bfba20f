//! kill -9 at random moments: what was acknowledged is there, every job ends, nothing is doubled, and whoever was in
//! doubt repeats the call and goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use coursevault::proto::*;
use futures::StreamExt;
use tonic::{Code, Status};

use crate::app::eventually;
use crate::client::*;
use crate::errors::reason;

const ROUNDS: u64 = 12;
pub const COURSE: &str = "sites/main/courses/c";

/// A server in a process of its own.
struct Server {
    process: Child,
    client: Client,
}

impl Server {
    async fn start(folder: &Path, port: u16) -> Result<Self> {
        let mut process = Command::new(env!("CARGO_BIN_EXE_coursevault"))
            .args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--data"])
            .arg(folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let url = format!("http://127.0.0.1:{port}");
        let client =
            eventually("the server answers", || async { Ok(Client::connect(&url).await.ok()) }).await;
        if client.is_err() {
            process.kill()?;
        }
        Ok(Self { process, client: client? })
    }

    /// SIGKILL: the process gets no chance to end well.
    fn kill(mut self) -> Result<()> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }
}

/// Somebody who asks for one thing after the other. After a crash it repeats the call that it has no answer for.
pub struct Actor {
    calls: u64,
    request_id: String,
    /// What was acknowledged: archives of uploads, or jobs.
    acknowledged: Vec<String>,
}

impl Actor {
    fn new() -> Self {
        Self { calls: 0, request_id: fresh_id(), acknowledged: Vec::new() }
    }

    fn done(&mut self, name: String) {
        self.acknowledged.push(name);
        self.calls += 1;
        self.request_id = fresh_id();
    }
}

/// Everybody who works on the server, and what they work with.
pub struct Cast {
    small: Vec<u8>,
    archive: String,
    uploader: Actor,
    backups: Actor,
    restores: Actor,
    session: Actor,
    /// The upload session that is under way, by the request id under which it was opened.
    open: Option<String>,
}

impl Cast {
    /// Everybody at the beginning: `archive` holds what `small` does, and is the state of the course.
    pub fn new(small: Vec<u8>, archive: String) -> Self {
        let (uploader, backups, restores, session) = (Actor::new(), Actor::new(), Actor::new(), Actor::new());
        Self { small, archive, uploader, backups, restores, session, open: None }
    }

    /// Everybody works for so many more calls.
    pub async fn work(&mut self, client: &Client, more: u64) -> Result<()> {
        let Self { small, archive, uploader, backups, restores, session, open } = self;
        tokio::try_join!(
            upload_all(client, uploader, small, more),
            back_up(client, backups, more),
            restore_all(client, restores, archive, more),
            transfer(client, session, open, small, more),
        )?;
        Ok(())
    }

    pub fn calls(&self) -> u64 {
        [&self.uploader, &self.backups, &self.restores, &self.session].map(|actor| actor.calls).iter().sum()
    }
}

async fn upload_all(client: &Client, actor: &mut Actor, bytes: &[u8], more: u64) -> Result<()> {
    for _ in 0..more {
        let header = UploadHeader { request_id: actor.request_id.clone(), ..header("one-call.mbz") };
        actor.done(client.send(upload(header, bytes)).await?.name);
    }
    Ok(())
}

async fn back_up(client: &Client, actor: &mut Actor, more: u64) -> Result<()> {
    for _ in 0..more {
        let request_id = actor.request_id.clone();
        let request = CreateBackupRequest { course: COURSE.into(), request_id, ..Default::default() };
        let job = client.backups().create_backup(request).await?.into_inner().job.context("a job")?;
        actor.done(job.name);
    }
    Ok(())
}

async fn restore_all(client: &Client, actor: &mut Actor, archive: &str, more: u64) -> Result<()> {
    for _ in 0..more {
        let request = CreateRestoreRequest {
            request_id: actor.request_id.clone(),
            ..restore_request(archive, &format!("restored-{}", actor.calls))
        };
        let job = client.restores().create_restore(request).await?.into_inner().job.context("a job")?;
        actor.done(job.name);
    }
    Ok(())
}

/// Sends an archive slowly, so that most crashes find a stream open, and goes on at once with what is durable.
async fn transfer(
    client: &Client,
    actor: &mut Actor,
    open: &mut Option<String>,
    bytes: &[u8],
    more: u64,
) -> Result<()> {
    for _ in 0..more {
        let upload = match open {
            Some(upload) => upload.clone(),
            None => {
                let request = StartUploadRequest {
                    parent: MAIN.into(),
                    file_name: "session.mbz".into(),
                    request_id: actor.request_id.clone(),
                    ..Default::default()
                };
                let answer = client.transfers().start_upload(request).await?.into_inner();
                open.insert(answer.upload.context("an upload")?.name).clone()
            }
        };
        let session = client.transfers().get_upload(GetUploadRequest { name: upload.clone() }).await?;
        let session = session.into_inner().upload.context("an upload")?;
        let committed = usize::try_from(session.committed_bytes)?;
        if committed < bytes.len() && session.state() == upload::State::Open {
            let mut messages = chunk_messages(&upload, committed, &[]);
            let mut offset = committed;
            for piece in bytes[committed..].chunks(2000) {
                messages.extend(chunk_messages(&upload, offset, piece).into_iter().skip(1));
                offset += piece.len();
            }
            let ticks = tokio::time::interval(Duration::from_millis(20));
            let ticks = tokio_stream::wrappers::IntervalStream::new(ticks);
            let slowly = ticks.zip(futures::stream::iter(messages)).map(|(_, message)| message);
            client.transfers().upload_chunks(slowly).await.with_context(|| format!("from {committed}"))?;
        }
        let archive = client.finish(&upload, bytes).await?.archive.context("an archive")?;
        actor.done(archive.name);
        *open = None;
    }
    Ok(())
}

/// A refusal that is no consequence of the crash.
pub fn is_refusal(error: &anyhow::Error) -> bool {
    let status = error.chain().find_map(|cause| cause.downcast_ref::<Status>());
    status.is_none_or(|status| !reason(status).is_empty() && status.code() != Code::Unavailable)
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_nothing_is_lost_or_doubled() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let small = fixture("gen_xs-full.mbz")?;
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let seed = match std::env::var("COURSEVAULT_TEST_SEED") {
        Ok(text) => text.parse()?,
        Err(_) => u64::from(std::process::id()),
    };
    #[expect(clippy::print_stdout, reason = "a test that fails must tell how to run it again")]
    let () = println!("COURSEVAULT_TEST_SEED={seed}");
    let server = Server::start(folder.path(), port).await?;
    let archive = server.client.upload(&small).await?.name;
    server.client.publish(COURSE, &archive, "").await?;
    server.kill()?;
    let mut cast = Cast::new(small, archive);
    for round in 0..ROUNDS {
        let server = Server::start(folder.path(), port).await?;
        let random = blake3::hash(&[seed.to_le_bytes(), round.to_le_bytes()].concat()).as_bytes()[0];
        let moment = Duration::from_millis(30 + 3 * u64::from(random));
        // What the actors are at is cut off at that moment, and the server with it.
        if let Ok(Err(error)) = tokio::time::timeout(moment, cast.work(&server.client, u64::MAX)).await {
            ensure!(!is_refusal(&error), "round {round}: {error:#}");
        }
        server.kill()?;
    }
    ensure!(cast.calls() > ROUNDS, "hardly anything was done: {}", cast.calls());
    let server = Server::start(folder.path(), port).await?;
    // Everybody gets an answer for the call that was in doubt.
    let last = cast.work(&server.client, 1).await;
    let checked = match last {
        Ok(()) => check(&server.client, &cast).await,
        refused => refused.context("after the last crash"),
    };
    server.kill()?;
    checked
}

/// Every job of the site, over all pages, when it has ended.
async fn ended_jobs(client: &Client) -> Result<BTreeMap<String, Job>> {
    let mut jobs = BTreeMap::new();
    let mut request = ListJobsRequest { parent: MAIN.into(), page_size: 1000, ..Default::default() };
    loop {
        let page = client.jobs().list_jobs(request.clone()).await?.into_inner();
        for job in page.jobs {
            jobs.insert(job.name.clone(), client.ended(&job.name).await?);
        }
        if page.next_page_token.is_empty() {
            return Ok(jobs);
        }
        request.page_token = page.next_page_token;
    }
}

pub async fn check(client: &Client, cast: &Cast) -> Result<()> {
    let jobs = ended_jobs(client).await?;
    for job in jobs.values() {
        // What clears up may find another server in its place; whatever else was asked for is done.
        ensure!(job.state() == job::State::Succeeded || job.kind() == job::Kind::Collect, "{job:?}");
    }
    let of_kind = |kind: job::Kind| -> BTreeSet<&String> {
        jobs.values().filter(|job| job.kind() == kind).map(|job| &job.name).collect()
    };
    // One job for each call that was acknowledged, however often it was repeated.
    let told = |actor: &'_ Actor| actor.acknowledged.iter().cloned().collect::<BTreeSet<_>>();
    for (kind, actor) in [(job::Kind::Backup, &cast.backups), (job::Kind::Restore, &cast.restores)] {
        ensure!(of_kind(kind).into_iter().cloned().collect::<BTreeSet<_>>() == told(actor), "{kind:?}");
        ensure!(told(actor).len() == actor.acknowledged.len(), "{kind:?}: two calls got one job");
    }
    let archives = all_archives(client).await?;
    let uploads =
        [cast.uploader.acknowledged.len(), cast.session.acknowledged.len(), 1].into_iter().sum::<usize>();
    let found = archives.values().filter(|archive| archive.origin() == ArchiveOrigin::Upload).count();
    ensure!(found == uploads, "{found} uploads are there, {uploads} were acknowledged");
    for name in cast.uploader.acknowledged.iter().chain(&cast.session.acknowledged) {
        ensure!(archives.contains_key(name), "{name} is lost");
    }
    let mut makers: Vec<_> =
        archives.values().map(|archive| &archive.job).filter(|job| !job.is_empty()).collect();
    let all = makers.len();
    makers.sort();
    makers.dedup();
    ensure!(makers.len() == all, "a job made two archives");
    ensure!(all == of_kind(job::Kind::Backup).len() + cast.session.acknowledged.len());
    let expected = members(&cast.small)?;
    for name in archives.keys() {
        let fetched = client.download(name, Container::Zip).await?;
        ensure!(members(&fetched.bytes)? == expected, "{name} differs");
    }
    for job in of_kind(job::Kind::Restore) {
        let result = jobs[job].result.as_ref().context("a result")?;
        client.holds_the_same(&result.archive, &result.revision).await.context("a restored course")?;
    }
    Ok(())
}

async fn all_archives(client: &Client) -> Result<BTreeMap<String, Archive>> {
    let mut archives = BTreeMap::new();
    let mut request = ListArchivesRequest { parent: MAIN.into(), page_size: 1000, ..Default::default() };
    loop {
        let page = client.backups().list_archives(request.clone()).await?.into_inner();
        archives.extend(page.archives.into_iter().map(|archive| (archive.name.clone(), archive)));
        if page.next_page_token.is_empty() {
            return Ok(archives);
        }
        request.page_token = page.next_page_token;
    }
}
