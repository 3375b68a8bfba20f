//! The server in this process: `serve` for good, and a throw-away one for `try`. The only file that calls the server's code.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::args;
use super::output::Output;
use super::words::rows;
use crate::app::{self, App};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::telemetry::LogFormat;
use crate::{shutdown, telemetry};

/// Runs the service until a signal asks it to stop, then lets it finish what it is at.
pub async fn run(arguments: &args::Serve, output: Output) -> anyhow::Result<()> {
    let config = Config::load(arguments.config.as_deref(), &environment(arguments, std::env::vars()))?;
    let format = if output.is_json() { LogFormat::Json } else { config.log_format };
    telemetry::start(format, &config.log, config.otlp_endpoint.as_deref())?;
    let (listen, probe) = (config.listen, config.probe_listen);
    let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    let address = listener.local_addr()?;
    let mut app = Box::pin(App::build(config, Arc::new(SystemClock))).await?;
    if let Some(probe) = probe {
        let listener = TcpListener::bind(probe).await.with_context(|| format!("cannot listen on {probe}"))?;
        tracing::info!(address = %listener.local_addr()?, "listening for probes");
        app = app.with_probe(listener);
    }
    tracing::info!(%address, "listening");
    let stop = async {
        if let Err(error) = shutdown::signal().await {
            tracing::error!(%error, "cannot listen for signals: stopping");
        }
    };
    let served = app.serve(listener, stop).await;
    telemetry::stop();
    Ok(served?)
}

/// Brings the schema of the catalog up to date.
pub async fn migrate(arguments: &args::Serve, output: Output) -> anyhow::Result<()> {
    let config = Config::load(arguments.config.as_deref(), &environment(arguments, std::env::vars()))?;
    app::migrate(&config).await?;
    if output.is_json() {
        return Ok(output.document(&serde_json::json!({ "migrated": true }))?);
    }
    Ok(output.text("the schema is up to date")?)
}

/// Makes the catalog anew from the storages, and tells what was found.
pub async fn rebuild(arguments: &args::Rebuild, output: Output) -> anyhow::Result<()> {
    let serve = &arguments.serve;
    let config = Config::load(serve.config.as_deref(), &environment(serve, std::env::vars()))?;
    telemetry::start(config.log_format, &config.log, config.otlp_endpoint.as_deref())?;
    let rebuilt = Box::pin(App::rebuild(config, Arc::new(SystemClock), arguments.take_over)).await?;
    if output.is_json() {
        return Ok(output.document(&serde_json::to_value(&rebuilt)?)?);
    }
    let mut text = rows(&[
        ("sites", rebuilt.sites.to_string()),
        ("packs", rebuilt.packs.to_string()),
        ("events", rebuilt.events.to_string()),
        ("archives", rebuilt.archives.to_string()),
        ("revisions", rebuilt.revisions.to_string()),
        ("accounts", rebuilt.accounts.to_string()),
        ("stay purged", rebuilt.purged.to_string()),
        ("orphaned", rebuilt.orphaned.len().to_string()),
        ("damaged", rebuilt.damaged.len().to_string()),
    ]);
    for (what, names) in [("orphaned", &rebuilt.orphaned), ("damaged", &rebuilt.damaged)] {
        names.iter().for_each(|name| text.push_str(&format!("{what}: {name}\n")));
    }
    Ok(output.text(&text)?)
}

/// The configuration's variables: those of the environment, with what the arguments say on top.
fn environment(
    arguments: &args::Serve,
    variables: impl Iterator<Item = (String, String)>,
) -> BTreeMap<String, String> {
    let mut all: BTreeMap<_, _> = variables.collect();
    if let Some(listen) = arguments.listen {
        all.insert("COURSEVAULT_LISTEN".to_owned(), listen.to_string());
    }
    if let Some(role) = arguments.role {
        all.insert("COURSEVAULT_ROLE".to_owned(), role.as_str().to_owned());
    }
    if let Some(data) = &arguments.data {
        all.insert("COURSEVAULT_DATA_DIR".to_owned(), data.to_string_lossy().into_owned());
    }
    all
}

/// A server of its own folder, on a free port of this machine only.
pub struct ThrowAway {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    served: JoinHandle<anyhow::Result<()>>,
}

impl ThrowAway {
    /// Starts it with everything under `folder`.
    pub async fn start(folder: &Path) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let config = Config::embedded(folder.to_owned());
        let app = Box::pin(App::build(config, Arc::new(SystemClock))).await?;
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(async move {
            // A sender that is gone stops the server as well.
            let stopped = async { drop(stopped.await) };
            app.serve(listener, stopped).await.map_err(anyhow::Error::from)
        });
        Ok(Self { address, stop, served })
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Stops it and waits until it is down.
    pub async fn stop(self) -> anyhow::Result<()> {
        let _ = self.stop.send(());
        self.served.await.map_err(|error| anyhow!("the server fell over: {error}"))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_win_over_the_environment() {
        let arguments = args::Serve {
            config: None,
            listen: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 1))),
            role: Some(args::ServeRole::Api),
            data: Some("/srv/vault".into()),
        };
        let variables = [("COURSEVAULT_LISTEN", "x"), ("HOME", "/h")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let expected = [
            ("COURSEVAULT_DATA_DIR", "/srv/vault"),
            ("COURSEVAULT_LISTEN", "127.0.0.1:1"),
            ("COURSEVAULT_ROLE", "api"),
            ("HOME", "/h"),
        ];
        let expected: BTreeMap<_, _> = expected.map(|(n, v)| (n.to_owned(), v.to_owned())).into();
        assert_eq!(environment(&arguments, variables.into_iter()), expected);
    }
}
