//! The servers as processes of their own, so that neither shares threads or memory with what measures it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

/// How long a server may take to listen.
const START_WITHIN: Duration = Duration::from_secs(30);

/// A running server; dropping it kills it.
pub struct Process {
    child: Child,
    address: SocketAddr,
}

impl Process {
    /// Our server on a folder.
    pub fn vault(data: &Path) -> anyhow::Result<Self> {
        let address = free_address()?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_coursevault"));
        command.arg("serve").arg("--data").arg(data).arg("--listen").arg(address.to_string());
        command.env("COURSEVAULT_LOG", "warn");
        Self::start(command, address)
    }

    /// The peer, which sends `file`.
    pub fn peer(file: &Path) -> anyhow::Result<Self> {
        let address = free_address()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("peer").arg(address.to_string()).arg(file);
        Self::start(command, address)
    }

    fn start(mut command: Command, address: SocketAddr) -> anyhow::Result<Self> {
        let child = command.stdin(Stdio::null()).spawn().context("a server cannot be started")?;
        let mut process = Self { child, address };
        let started = Instant::now();
        while TcpStream::connect(address).is_err() {
            if let Some(status) = process.child.try_wait()? {
                bail!("a server ended at its start: {status}");
            }
            if started.elapsed() > START_WITHIN {
                bail!("a server does not listen on {address}");
            }
            #[expect(clippy::disallowed_methods, reason = "a bench waits for a process that tells nothing")]
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(process)
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Most resident memory that it ever had, in bytes.
    pub fn peak_memory(&self) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
        let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kibibytes << 10)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_address() -> std::io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}
