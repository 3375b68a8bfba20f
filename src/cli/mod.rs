//! The command line: one binary that is the service, a way to try it on local files, and a client for people.
//!
//! Answers go to standard output (text, or one JSON document), progress and errors to standard error. Exit codes: 0 done,
//! 1 failed, 2 refused by the server, 64 bad usage. Apart from `serve` and `try`, which start a server, and from reading
//! local archives, everything here knows the service only through its protos.

mod archives;
mod args;
mod args_manage;
mod choices;
mod client;
mod compare;
mod compare_run;
mod completions;
mod conflicts;
mod courses;
mod csv;
mod download;
mod failure;
mod health;
mod inspect;
mod jobs;
mod json;
mod listing;
mod local;
mod local_archive;
mod manage;
mod names;
mod output;
mod paging;
mod plan;
mod policy;
mod profile;
mod progress;
mod push;
mod restore;
mod retry;
mod serve;
mod site;
mod store;
mod table;
#[cfg(test)]
mod transfer_tests;
mod try_into;
mod try_report;
mod try_run;
mod units;
mod upload;
mod users;
mod words;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};
use client::Server;
use failure::{FAILED, Shown, USAGE};
use output::Output;

/// Runs the command line with the arguments of the process, the program's name first. Returns its exit code.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    ExitCode::from(code(arguments))
}

fn code(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let parsed = match Args::try_parse_from(&arguments) {
        Ok(parsed) => parsed,
        Err(error) => return bad_usage(&error, arguments.iter().any(|argument| argument == "--json")),
    };
    let output = Output::new(parsed.global.json);
    let done = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(Box::pin(run(&parsed, output))));
    match done {
        Ok(()) => 0,
        Err(error) => match Shown::of(&error) {
            Some(shown) => {
                output.error(&shown);
                shown.code
            }
            // Whoever read our output has seen enough.
            None => 0,
        },
    }
}

/// Help and version are no errors; anything else that clap says is bad usage.
fn bad_usage(error: &clap::Error, as_json: bool) -> u8 {
    if as_json && error.use_stderr() {
        let message = error.to_string().trim().trim_start_matches("error: ").to_owned();
        let metadata = std::collections::BTreeMap::new();
        Output::new(true).error(&Shown { code: USAGE, reason: "USAGE".to_owned(), message, metadata });
        return USAGE;
    }
    match error.print() {
        Ok(()) if !error.use_stderr() => 0,
        Ok(()) => USAGE,
        Err(_) => FAILED,
    }
}

async fn run(arguments: &Args, output: Output) -> anyhow::Result<()> {
    let global = &arguments.global;
    match &arguments.command {
        Command::Serve(serve) => serve::run(serve, output).await,
        Command::Rebuild(rebuild) => serve::rebuild(rebuild, output).await,
        Command::Migrate(serve) => serve::migrate(serve, output).await,
        Command::Completions { shell } => completions::write(*shell),
        Command::Try(each) => try_run::run(each, output).await,
        Command::Inspect { archive } => inspect::run(archive, global, output).await,
        Command::Compare(each) => compare_run::run(each, global, output).await,
        command => {
            if let Command::Push(push) = command {
                push::check(push)?;
            }
            let target = profile::target(global)?;
            let server = Server::connect(&target.server, &target.site, target.token.as_ref()).await?;
            with_server(&server, command, output).await
        }
    }
}

async fn with_server(server: &Server, command: &Command, output: Output) -> anyhow::Result<()> {
    match command {
        Command::Serve(_)
        | Command::Rebuild(_)
        | Command::Migrate(_)
        | Command::Completions { .. }
        | Command::Try(_)
        | Command::Inspect { .. }
        | Command::Compare(_) => Ok(()),
        Command::Health => health::run(server, output).await,
        Command::Push(push) => push::run(server, push, output).await,
        Command::Upload(upload) => archives::send(server, upload, output).await,
        Command::Backup(backup) => courses::backup(server, backup, output).await,
        Command::Copy(copy) => courses::copy(server, copy, output).await,
        Command::Import(import) => courses::import(server, import, output).await,
        Command::Convert(convert) => courses::convert(server, convert, output).await,
        Command::Restore(each) => restore::run(server, each, output).await,
        Command::Gc(gc) => store::gc(server, gc, output).await,
        Command::Verify(verify) => store::verify(server, verify, output).await,
        Command::Rollback { job, wait } => courses::rollback(server, job, *wait, output).await,
        Command::Publish { course, archive } => courses::publish(server, course, archive, output).await,
        Command::Ls { what, archives } => listing::run(server, what.as_ref(), archives, output).await,
        Command::Get(get) => archives::get(server, get, output).await,
        Command::Cat { archive, path } => archives::cat(server, archive, path, output).await,
        Command::Describe { archive, description } => {
            manage::describe(server, archive, description, output).await
        }
        Command::Hold(hold) => manage::hold(server, hold, output).await,
        Command::Share(share) => manage::share(server, share, output).await,
        Command::Rm { archive } => manage::remove(server, archive, output).await,
        Command::Undelete { archive } => manage::undelete(server, archive, output).await,
        Command::Jobs { action } => jobs::run(server, action.as_ref(), output).await,
        Command::Watch { job } => jobs::watch(server, job, output).await,
        Command::Site(change) => site::site(server, change, output).await,
        Command::Users { action } => users::run(server, action, output).await,
        Command::Policy { action } => policy::policy(server, action, output).await,
        Command::Schedule { action } => policy::schedule(server, action.as_ref(), output).await,
        Command::Report => site::report(server, output).await,
        Command::Info => site::info(server, output).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(line: &str) -> u8 {
        code(std::iter::once("coursevault").chain(line.split(' ')).map(OsString::from))
    }

    #[test]
    fn bad_usage_leaves_with_64() {
        for bad in [
            "fly",
            "get",
            "try a.mbz b.mbz --out c.mbz",
            "info --server ftp://x",
            "inspect /no/such/file.mbz",
            "compare /no/such/file.mbz /no/such/other.mbz",
            "compare Cargo.toml 0197b2a0-0000-7000-8000-000000000000",
            "info --json --site NO",
            "serve --config /no/such/file.toml",
            "serve --listen 0.0.0.0:1",
        ] {
            assert_eq!(run(bad), USAGE, "{bad}");
        }
    }

    #[test]
    fn no_server_leaves_with_1() {
        // Port 1 of this machine: nobody listens there.
        assert_eq!(run("info --server http://127.0.0.1:1 --json"), FAILED);
    }

    #[test]
    fn help_and_version_are_done() {
        assert_eq!((run("--help"), run("--version")), (0, 0));
    }
}
