//! A private PostgreSQL server for the tests of one process, from the distribution's binaries.
//!
//! It lives in a folder of its own, listens on a Unix socket there only, and does not sync to disk. A guard process
//! stops it and removes the folder as soon as this process ends, however it ends. It refuses to be skipped: without
//! the binaries, the tests fail.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, bail};

/// The server of this process.
pub struct Server {
    /// Its folder; the socket is there, too.
    dir: PathBuf,
    bin: PathBuf,
    user: Option<&'static str>,
    databases: AtomicU32,
}

/// The server, started by whoever asks first.
pub fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| match Server::start() {
        Ok(server) => server,
        Err(error) => panic!("no PostgreSQL for the tests: {error:#}"),
    })
}

impl Server {
    /// Makes an empty database and gives its address.
    pub fn fresh_database(&self) -> anyhow::Result<String> {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::SeqCst));
        self.command("createdb").arg("-h").arg(&self.dir).args(["-U", "postgres", &name]).succeed()?;
        Ok(format!("postgres://postgres@localhost/{name}?host={}", self.dir.display()))
    }

    fn start() -> anyhow::Result<Self> {
        let bin = find_binaries()?;
        // initdb refuses to run as root
        let user = if is_root()? { Some(unprivileged_user()?) } else { None };
        // /tmp, for the path of a socket has at most 107 bytes
        let dir = tempfile::Builder::new().prefix("coursevault-pg-").tempdir_in("/tmp")?.keep();
        std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o700))?;
        if let Some(user) = user {
            Command::new("chown").arg(user).arg(&dir).succeed()?;
        }
        let server = Self { dir, bin, user, databases: AtomicU32::new(0) };
        server.guard()?;
        let data = server.dir.join("data");
        server
            .command("initdb")
            .arg("-D")
            .arg(&data)
            .args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"])
            .succeed()?;
        let options = format!(
            "-F -c listen_addresses= -c unix_socket_directories={} -c max_connections=300 -c synchronous_commit=off \
             -c full_page_writes=off",
            server.dir.display()
        );
        let log = server.dir.join("log");
        server
            .command("pg_ctl")
            .arg("-D")
            .arg(&data)
            .arg("-l")
            .arg(log)
            .args(["-w", "-o", &options, "start"])
            .succeed()?;
        Ok(server)
    }

    /// Starts the guard: it waits for the end of its input, which comes when this process is gone.
    fn guard(&self) -> anyhow::Result<()> {
        const SCRIPT: &str = "trap '' INT TERM HUP; read -r _; \"$1/pg_ctl\" -D \"$0/data\" -m immediate stop; \
             cd /; rm -rf \"$0\"";
        let mut guard = self.as_user("sh");
        guard.arg("-c").arg(SCRIPT).arg(&self.dir).arg(&self.bin);
        guard.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // the child and with it the writing end of its input are kept until the process ends
        std::mem::forget(guard.spawn().context("sh")?);
        Ok(())
    }

    fn command(&self, program: &str) -> Command {
        self.as_user(self.bin.join(program))
    }

    fn as_user(&self, program: impl AsRef<Path>) -> Command {
        let mut command = match self.user {
            Some(user) => {
                let mut command = Command::new("runuser");
                command.args(["-u", user, "--"]).arg(program.as_ref());
                command
            }
            None => Command::new(program.as_ref()),
        };
        // the present folder may be closed to that user
        command.current_dir("/").stdin(Stdio::null());
        command
    }
}

/// The folder of the newest PostgreSQL on this machine.
fn find_binaries() -> anyhow::Result<PathBuf> {
    let mut folders: Vec<PathBuf> =
        std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default();
    let mut packaged: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    packaged.sort();
    folders.extend(packaged.into_iter().rev().map(|(_, path)| path));
    let complete =
        |folder: &PathBuf| ["initdb", "pg_ctl", "createdb"].iter().all(|name| folder.join(name).is_file());
    match folders.into_iter().find(complete) {
        Some(folder) => Ok(folder),
        None => bail!("initdb is not here: install the package `postgresql` (scripts/postgres.sh does)"),
    }
}

fn is_root() -> anyhow::Result<bool> {
    Ok(Command::new("id").arg("-u").succeed()?.trim() == "0")
}

fn unprivileged_user() -> anyhow::Result<&'static str> {
    let exists = |user: &&str| Command::new("id").arg(user).succeed().is_ok();
    ["postgres", "nobody"].into_iter().find(exists).context("neither a user postgres nor nobody")
}

/// Runs a command that must succeed, and gives what it prints.
trait Succeed {
    fn succeed(&mut self) -> anyhow::Result<String>;
}

impl Succeed for Command {
    fn succeed(&mut self) -> anyhow::Result<String> {
        // a file and not a pipe: a server that goes on in the background would keep a pipe open
        let output = tempfile::NamedTempFile::new()?;
        let status = self
            .stdout(output.as_file().try_clone()?)
            .stderr(output.as_file().try_clone()?)
            .status()
            .with_context(|| format!("{self:?}"))?;
        let mut text = String::new();
        output.reopen()?.read_to_string(&mut text)?;
        if status.success() { Ok(text) } else { bail!("{self:?}: {status}: {text}") }
    }
}
