//! Backups with settings: time against copying the same entries raw, memory against the number of people.

use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::client::Client;
use super::container::Container;
use super::process::Process;
use super::{Bench, CHUNK, ROUNDS, genuine, median, report};

const ACTIVITIES: usize = 2_000;
const BOUND: u64 = 200 << 20;

impl Bench {
    /// A backup without users of a course of 2 000 activities, for two numbers of people.
    pub async fn backups(&mut self) -> anyhow::Result<()> {
        self.need(8 << 30)?;
        for users in [1_000, 10_000] {
            let (activities, users) = (ACTIVITIES / self.part, users / self.part);
            self.say(&format!("a course of {activities} activities and {users} users ..."));
            let source = self.data("course.mbz");
            {
                let mut file = BufWriter::with_capacity(CHUNK, File::create(&source)?);
                let members = genuine::members(activities, users, self.part)?;
                Container::Zip.write(members.into_iter().map(Ok), 6, &mut file)?;
                file.into_inner()?.sync_all()?;
            }
            self.backup_of(&source, users).await?;
            std::fs::remove_file(source)?;
        }
        Ok(())
    }

    async fn backup_of(&mut self, source: &Path, users: usize) -> anyhow::Result<()> {
        let data = self.data("backups");
        let vault = self.fresh(&data)?;
        let client = Client::connect(&vault).await?;
        client.publish(&super::client::Loaded::new(std::fs::read(source)?)).await?;
        drop((client, vault));
        // Another process, so that its memory is that of backups alone.
        let vault = Process::vault(&data)?;
        let client = Client::connect(&vault).await?;
        let idle = vault.peak_memory()?;
        let (made, copied) = (self.data("made.mbz"), self.data("copied.mbz"));
        let (mut times, mut making, mut peer_times) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let started = Instant::now();
            let archive = client.backup_without_users().await?;
            making.push(started.elapsed());
            client.save(&archive, &made).await?;
            times.push(started.elapsed());
            peer_times.push(copy_raw(source, &made, &copied)?);
        }
        let bytes = std::fs::metadata(&made)?.len();
        let (ours, peer) = (median(times), median(peer_times));
        let what = format!("backup without {users} users, to a file");
        self.report.speeds(&what, bytes, ours, peer, Some(1.0 / 1.5));
        self.report.value("  the job alone", &report::time(median(making)));
        self.report.value("  memory, idle", &report::size(idle));
        self.report.below(&format!("  memory, {users} users"), vault.peak_memory()?, BOUND);
        drop(vault);
        std::fs::remove_dir_all(&data)?;
        std::fs::remove_file(made)?;
        Ok(std::fs::remove_file(copied)?)
    }
}

/// The entries of `source` that `made` has, too, copied raw from zip to zip.
fn copy_raw(source: &Path, made: &Path, target: &Path) -> anyhow::Result<Duration> {
    let made = zip::ZipArchive::new(BufReader::new(File::open(made)?))?;
    let names: Vec<String> = made.file_names().map(|name| name.map(Into::into)).collect::<Result<_, _>>()?;
    let started = Instant::now();
    let mut from = zip::ZipArchive::new(BufReader::with_capacity(CHUNK, File::open(source)?))?;
    let mut to = zip::ZipWriter::new(BufWriter::with_capacity(CHUNK, File::create(target)?));
    for name in names {
        // Folders and the index belong to the container.
        let Some(index) = from.index_for_name(&name) else { continue };
        to.raw_copy_file(from.by_index_raw(index)?)?;
    }
    to.finish()?.into_inner().map_err(|error| error.into_error()).context("the copy")?;
    Ok(started.elapsed())
}
