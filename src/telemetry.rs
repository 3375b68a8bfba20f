//! Logs, metrics and spans. One subscriber for the process, to standard error, as text or JSON; one recorder, for Prometheus;
//! one exporter, for whoever takes OTLP.

use std::io::IsTerminal;
use std::sync::OnceLock;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing::Subscriber;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::metric::{self, Kind};

mod export;

pub use export::{follow, stop};

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Why logging cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The list of directives is none.
    #[error("log: no list of directives")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Spans cannot be exported.
    #[error("otlp_endpoint: {0}")]
    Export(String),
}

/// Starts logging, and the export of spans to `otlp` if there is one. `filter` is a list of directives such as
/// `info,coursevault=debug`; spans follow it, too. A second call changes nothing.
pub fn start(format: LogFormat, filter: &str, otlp: Option<&str>) -> Result<(), StartError> {
    let subscriber = tracing_subscriber::registry()
        .with(EnvFilter::builder().parse(filter)?)
        .with(lines(format))
        .with(otlp.map(export::layer).transpose()?);
    // The only failure is that a subscriber is set already, which is what a second call finds.
    let _ = subscriber.try_init();
    Ok(())
}

fn lines<S: Subscriber + for<'span> LookupSpan<'span>>(format: LogFormat) -> Box<dyn Layer<S> + Send + Sync> {
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().boxed(),
    }
}

static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// The metrics of this process in Prometheus' text format. The first call starts the recording: servers of one process share
/// it. `None`: something else records already.
pub fn metrics() -> Option<&'static PrometheusHandle> {
    RECORDER
        .get_or_init(|| {
            let handle =
                PrometheusBuilder::new().set_buckets(&metric::BUCKETS).ok()?.install_recorder().ok()?;
            for each in metric::ALL {
                match each.kind {
                    Kind::Counter => metrics::describe_counter!(each.name, each.help),
                    Kind::Gauge => metrics::describe_gauge!(each.name, each.help),
                    Kind::Histogram => metrics::describe_histogram!(each.name, each.help),
                }
            }
            metrics::gauge!(metric::BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
            Some(handle)
        })
        .as_ref()
}
