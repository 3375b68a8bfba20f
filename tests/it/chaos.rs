//! Several server processes on one PostgreSQL and one S3-compatible store, of which one after the other is killed with -9 while
//! clients upload, back up, restore and clear up: what was acknowledged is there, every job ends, and nothing in use is collected.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use coursevault::proto::*;

use crate::app::eventually;
use crate::client::*;
use crate::crash::{COURSE, Cast, check, is_refusal};
use crate::errors::reason;
use crate::postgres;
use crate::s3_server::S3Server;

/// Rounds in `make test`; `make chaos` has more.
const ROUNDS: u64 = 8;

/// Servers, of which each does something else.
const ROLES: [&str; 3] = ["all", "api", "worker"];

/// What all servers work on.
struct Ground {
    database: String,
    s3: S3Server,
    folder: tempfile::TempDir,
}

/// A server process.
struct Server {
    process: Child,
    url: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

impl Ground {
    async fn new() -> Result<Self> {
        let database = tokio::task::spawn_blocking(|| postgres::server().fresh_database()).await??;
        Ok(Self { database, s3: S3Server::start().await?, folder: tempfile::tempdir()? })
    }

    fn start(&self, role: &str) -> Result<Server> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let process = Command::new(env!("CARGO_BIN_EXE_coursevault"))
            .args(["serve", "--role", role, "--listen", &format!("127.0.0.1:{port}"), "--data"])
            .arg(self.folder.path())
            .envs(self.s3.variables())
            // A server refuses variables of its prefix that it does not know.
            .env_remove("COURSEVAULT_TEST_SEED")
            .env_remove("COURSEVAULT_CHAOS_ROUNDS")
            .env("COURSEVAULT_CATALOG_URL", &self.database)
            .env("COURSEVAULT_LEASE_SECONDS", "3")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Server { process, url: format!("http://127.0.0.1:{port}") })
    }
}

impl Server {
    async fn client(&self) -> Result<Client> {
        eventually("a server answers", || async { Ok(Client::connect(&self.url).await.ok()) }).await
    }
}

/// Asks for a collection that takes little for too young, again and again.
async fn clear_up(client: &Client) -> Result<()> {
    loop {
        let request = CollectGarbageRequest {
            parent: MAIN.into(),
            min_age: Some(prost_types::Duration { seconds: 5, nanos: 0 }),
            accept_most: true,
            ..Default::default()
        };
        let job = client.admin().collect_garbage(request).await?.into_inner().job.context("a job")?;
        client.ended(&job.name).await?;
    }
}

/// What a caller may meet while servers are killed and packs are collected: the same call succeeds later.
fn may_pass(error: &anyhow::Error) -> bool {
    let status = error.chain().find_map(|cause| cause.downcast_ref::<tonic::Status>());
    let busy = ["STORAGE_CHANGED", "UPLOAD_BUSY", "SHUTTING_DOWN", "CATALOG_UNAVAILABLE"];
    !is_refusal(error) || status.is_some_and(|status| busy.contains(&reason(status).as_str()))
}

fn random(seed: u64, round: u64, what: u64) -> u64 {
    let hash = blake3::hash(&[seed, round, what].map(u64::to_le_bytes).concat());
    u64::from(hash.as_bytes()[0]) << 8 | u64::from(hash.as_bytes()[1])
}

fn number(name: &str, otherwise: u64) -> Result<u64> {
    Ok(std::env::var(name).ok().map(|text| text.parse()).transpose()?.unwrap_or(otherwise))
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_die_and_nothing_is_lost_doubled_or_collected() -> Result<()> {
    let seed = number("COURSEVAULT_TEST_SEED", u64::from(std::process::id()))?;
    #[expect(clippy::print_stdout, reason = "a test that fails must tell how to run it again")]
    let () = println!("COURSEVAULT_TEST_SEED={seed}");
    let ground = Ground::new().await?;
    let mut servers = Vec::new();
    for role in ROLES {
        servers.push(ground.start(role)?);
        // The first one makes the schema.
        servers[0].client().await?;
    }
    let client = servers[0].client().await?;
    let small = fixture("gen_xs-full.mbz")?;
    let archive = client.upload(&small).await?.name;
    client.publish(COURSE, &archive, "").await?;
    let mut cast = Cast::new(small, archive);
    for round in 0..number("COURSEVAULT_CHAOS_ROUNDS", ROUNDS)? {
        // Calls go to either of those that answer them, so that uploads go on elsewhere.
        let client = servers[usize::try_from(random(seed, round, 0) % 2)?].client().await?;
        let moment = Duration::from_millis(200 + random(seed, round, 1) % 1200);
        let working = async { tokio::try_join!(cast.work(&client, u64::MAX), clear_up(&client)) };
        if let Ok(Err(error)) = Box::pin(tokio::time::timeout(moment, working)).await {
            ensure!(may_pass(&error), "round {round}: {error:#}");
        }
        let victim = usize::try_from(random(seed, round, 2) % 3)?;
        drop(std::mem::replace(&mut servers[victim], ground.start(ROLES[victim])?));
    }
    ensure!(cast.calls() > 0, "nothing was done");
    let client = servers[1].client().await?;
    // Everybody gets an answer for the call that was in doubt.
    let (mut tries, mut ticks) = (0, tokio::time::interval(Duration::from_millis(500)));
    while let Err(error) = cast.work(&client, 1).await {
        tries += 1;
        ensure!(may_pass(&error) && tries < 30, "after the last kill: {error:#}");
        ticks.tick().await;
    }
    check(&client, &cast).await?;
    let verify = VerifyArchivesRequest { parent: MAIN.into(), ..Default::default() };
    let job = client.admin().verify_archives(verify).await?.into_inner().job.context("a job")?;
    ensure!(client.result_of(&job).await?.findings.is_empty(), "something is damaged");
    Ok(())
}
