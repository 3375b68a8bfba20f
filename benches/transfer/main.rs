//! Speed and memory of the service, next to a bare gRPC server in the same run. A table, never a test.
//!
//! `make bench`, or `cargo bench --bench transfer -- [--small] [zip] [tar.gz] [memory] [backup]`. Needs 20 GiB of disk under `target/`,
//! a sixteenth of it with `--small`.

mod backup;
mod client;
mod container;
mod course;
mod genuine;
mod peer;
mod process;
mod report;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use client::{Client, Loaded};
use container::Container;
use process::Process;
use report::Report;

/// Bytes of a chunk, ours and the peer's.
const CHUNK: usize = 256 << 10;
/// Times that everything is measured.
const ROUNDS: usize = 3;
/// Clients that upload at once.
const CLIENTS: u64 = 4;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let runtime = tokio::runtime::Runtime::new()?;
    if let [role, listen, file] = arguments.as_slice()
        && role == "peer"
    {
        return runtime.block_on(peer::serve(listen.parse()?, Path::new(file)));
    }
    let mut bench = Bench { part: 1, report: Report::default(), folder: work_folder()? };
    let mut wanted = Vec::new();
    for argument in &arguments {
        match argument.as_str() {
            "--small" => bench.part = 16,
            "zip" | "tar.gz" | "memory" | "backup" => wanted.push(argument.as_str()),
            other => bail!("{other:?} is none of --small, zip, tar.gz, memory and backup"),
        }
    }
    let is_wanted = |what: &str| wanted.is_empty() || wanted.contains(&what);
    runtime.block_on(async {
        for container in [Container::Zip, Container::TarGz].into_iter().filter(|one| is_wanted(one.name())) {
            bench.speed(container).await?;
        }
        if is_wanted("backup") {
            Box::pin(bench.backups()).await?;
        }
        if is_wanted("memory") { bench.memory().await } else { Ok(()) }
    })?;
    bench.say(&format!("\n{}", bench.report));
    Ok(())
}

/// On the volume where the project is built: a temporary folder of the system may be memory.
fn work_folder() -> anyhow::Result<tempfile::TempDir> {
    let below = Path::new(env!("CARGO_TARGET_TMPDIR"));
    std::fs::create_dir_all(below)?;
    tempfile::Builder::new().prefix("bench-").tempdir_in(below).context("no folder to work in")
}

struct Bench {
    /// Everything is this many times smaller.
    part: usize,
    report: Report,
    folder: tempfile::TempDir,
}

impl Bench {
    fn say(&self, text: &str) {
        // Nobody may be listening.
        let _ = writeln!(std::io::stdout(), "{text}");
    }

    async fn speed(&mut self, container: Container) -> anyhow::Result<()> {
        let name = container.name();
        self.need(8 << 30)?;
        let disk = self.disk_speed()?;
        self.report.value(&format!("disk before {name}, 1 GiB written and synced"), &disk);
        self.say(&format!("an archive as {name} ..."));
        let file = self.write_archive(container)?;
        Box::pin(self.transfers(container, &file)).await?;
        Ok(std::fs::remove_file(file)?)
    }

    fn data(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Says at once what would otherwise be found out when the disk is full.
    fn need(&self, bytes: u64) -> anyhow::Result<()> {
        let needed = bytes / self.part as u64;
        let output = std::process::Command::new("df")
            .args(["--output=avail", "-B1"])
            .arg(self.folder.path())
            .output()
            .context("df tells the free space")?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let free: u64 = text.lines().last().unwrap_or_default().trim().parse().context("df's answer")?;
        ensure!(
            free >= needed,
            "{} are needed below {}, {} are free; --small needs a sixteenth",
            report::size(needed),
            self.folder.path().display(),
            report::size(free)
        );
        Ok(())
    }

    /// What the disk itself takes: no durable upload can be faster for long.
    fn disk_speed(&self) -> anyhow::Result<String> {
        const BYTES: u64 = 1 << 30;
        let piece = vec![0x5a; 8 << 20];
        let path = self.data("disk");
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            let started = Instant::now();
            let mut file = File::create(&path)?;
            for _ in 0..BYTES / piece.len() as u64 {
                file.write_all(&piece)?;
            }
            file.sync_all()?;
            times.push(started.elapsed());
            std::fs::remove_file(&path)?;
        }
        Ok(report::speed(BYTES, median(times)))
    }

    fn write_archive(&self, container: Container) -> anyhow::Result<PathBuf> {
        // Level 3: contents that do not compress come out in stored blocks as at Moodle's level 6, in half the time.
        let members = course::members(&course::Size::large(self.part))?;
        let bytes: u64 = members.iter().map(course::Member::size).sum();
        self.say(&format!("  {} members, {}", members.len(), report::size(bytes)));
        let path = self.data(container.name());
        let mut file = BufWriter::with_capacity(CHUNK, File::create(&path)?);
        container.write(members.into_iter().map(Ok), 3, &mut file)?;
        file.into_inner()?.sync_all()?;
        Ok(path)
    }

    async fn transfers(&mut self, container: Container, file: &Path) -> anyhow::Result<()> {
        let name = container.name();
        let archive = Loaded::new(std::fs::read(file)?);
        let bytes = archive.bytes.len() as u64;
        let peer = Process::peer(file)?;
        let bare = Client::connect(&peer).await?;
        let (mut peer_times, mut times, mut by_transfer) = (Vec::new(), Vec::new(), Vec::new());
        let mut last = None;
        for round in 0..ROUNDS {
            self.say(&format!("  uploads, round {}", round + 1));
            peer_times.push(bare.upload(&archive).await?.1);
            let data = self.data("one-call");
            let vault = self.fresh(&data)?;
            let client = Client::connect(&vault).await?;
            let (stored, elapsed) = client.upload(&archive).await?;
            times.push(elapsed);
            let other = self.data("transfer");
            let second = self.fresh(&other)?;
            by_transfer.push(Client::connect(&second).await?.transfer(&archive).await?);
            drop(second);
            std::fs::remove_dir_all(&other)?;
            last = Some((vault, client, stored));
        }
        let bare_up = median(peer_times);
        self.report.speeds(&format!("upload {name}, one call"), bytes, median(times), bare_up, Some(0.4));
        self.report.speeds(
            &format!("upload {name}, TransferService"),
            bytes,
            median(by_transfer),
            bare_up,
            None,
        );
        let (_vault, client, stored) = last.context("no round")?;
        let reading = self.downloads(container, &client, &bare, &stored).await?;
        self.inspection(name, &client, &stored, reading).await?;
        let before = client.stored_bytes().await?;
        client.upload(&archive).await?;
        let again = client.stored_bytes().await?.saturating_sub(before);
        let text = format!("{} of {}", report::size(again), report::size(before));
        self.report.value(&format!("upload {name} again, stored bytes added"), &text);
        Ok(())
    }

    /// A server on an empty folder. One that ran there is gone by now.
    fn fresh(&self, data: &Path) -> anyhow::Result<Process> {
        if data.exists() {
            std::fs::remove_dir_all(data)?;
        }
        Process::vault(data)
    }

    async fn downloads(
        &mut self,
        uploaded: Container,
        client: &Client,
        bare: &Client,
        stored: &str,
    ) -> anyhow::Result<Duration> {
        let (mut peer_times, mut times) = (Vec::new(), Vec::new());
        self.say("  downloads");
        let (_, first) = client.download(stored, uploaded).await?;
        let mut bytes = 0;
        for _ in 0..ROUNDS {
            peer_times.push(bare.download(stored, uploaded).await?);
            let (size, elapsed) = client.download(stored, uploaded).await?;
            (bytes, times) = (size, [times, vec![elapsed]].concat());
        }
        // What comes out has other headers than what came in, so both are taken for their own bytes.
        let peer_bytes = peer_times.first().map_or(0, |(bytes, _)| *bytes);
        let peer = median(peer_times.into_iter().map(|(_, elapsed)| elapsed).collect());
        #[expect(clippy::cast_precision_loss, reason = "a ratio near to one")]
        let peer = peer.mul_f64(bytes as f64 / peer_bytes.max(1) as f64);
        let name = uploaded.name();
        self.report.speeds(&format!("download {name}, the first"), bytes, first, peer, None);
        let later = median(times);
        self.report.speeds(&format!("download {name}, later"), bytes, later, peer, Some(0.7));
        Ok(later)
    }

    async fn inspection(
        &mut self,
        name: &str,
        client: &Client,
        stored: &str,
        reading: Duration,
    ) -> anyhow::Result<()> {
        let mut times = Vec::new();
        for _ in 0..49 {
            times.push(client.inspect(stored).await?);
        }
        self.report.share(&format!("inspect in store / read the {name}"), median(times), reading, 1.0);
        Ok(())
    }

    async fn memory(&mut self) -> anyhow::Result<()> {
        const BOUND: u64 = 200 << 20;
        self.need(18 << 30)?;
        let bytes = (4 << 30) / self.part as u64;
        let data = self.data("memory");
        let vault = Process::vault(&data)?;
        let idle = vault.peak_memory()?;
        self.report.value("memory, idle", &report::size(idle));
        self.say(&format!("{CLIENTS} clients upload {} each ...", report::size(bytes)));
        let started = Instant::now();
        let uploads = (0..CLIENTS).map(|client| {
            let container = if client % 2 == 0 { Container::TarGz } else { Container::Zip };
            let vault = &vault;
            async move { Client::connect(vault).await?.upload_made(container, client, bytes).await }
        });
        let uploaded = futures::future::try_join_all(uploads).await?;
        let sent: u64 = uploaded.iter().map(|(_, size)| size).sum();
        let what = format!("memory, {CLIENTS} clients upload {} each", report::size(bytes));
        self.report.below(&what, vault.peak_memory()?, BOUND);
        self.report.value("  speed of them together", &report::speed(sent, started.elapsed()));
        drop(vault);
        let (stored, _) = uploaded.first().context("no upload")?;
        for container in [Container::Zip, Container::TarGz] {
            self.say(&format!("one is downloaded as {} ...", container.name()));
            let vault = Process::vault(&data)?;
            Client::connect(&vault).await?.download(stored, container).await?;
            let what = format!("memory, one is downloaded as {}", container.name());
            self.report.below(&what, vault.peak_memory()?, BOUND);
        }
        std::fs::remove_dir_all(&data)?;
        Ok(())
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
