//! What operators see of the service: the port for probes, metrics by their documented names, traces from calls into jobs.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use coursevault::app::{App, LIVE};
use coursevault::clock::SystemClock;
use coursevault::config::{Config, Role};
use coursevault::ids::JobName;
use coursevault::metric::{self, Kind};
use coursevault::proto;
use coursevault::vault::StorageConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tonic::metadata::MetadataValue;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::app::{TestApp, eventually};
use crate::client::{self, Client};

/// A request of HTTP/1.1 as Prometheus makes it, and the answer's head and body.
async fn get(address: std::net::SocketAddr, path: &str) -> Result<(String, String)> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").context("an answer")?;
    Ok((head.to_owned(), body.to_owned()))
}

/// Name and labels of each series of a page, those of histograms under the histogram's name.
fn series(page: &str) -> Result<BTreeSet<(String, Vec<String>)>> {
    let mut found = BTreeSet::new();
    for line in page.lines().filter(|line| line.starts_with("coursevault_")) {
        let name_end = line.find(['{', ' ']).context("a name")?;
        let (name, rest) = line.split_at(name_end);
        let labels = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
        let labels = labels.map_or("", |(labels, _)| labels);
        let mut labels: Vec<String> = labels
            .split("\",")
            .filter_map(|pair| pair.split_once('='))
            .map(|(label, _)| label.to_owned())
            .filter(|label| label != "le")
            .collect();
        labels.sort();
        let histogram = ["_bucket", "_sum", "_count"].iter().find_map(|end| {
            let name = name.strip_suffix(end)?;
            metric::ALL.iter().find(|each| each.name == name && each.kind == Kind::Histogram)
        });
        found.insert((histogram.map_or(name, |each| each.name).to_owned(), labels));
    }
    Ok(found)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_probe_port_tells_health_and_documented_metrics_and_nothing_else() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let app = App::build(Config::embedded(folder.path().to_owned()), Arc::new(SystemClock)).await?;
    let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let (probe_at, at) = (probe.local_addr()?, listener.local_addr()?);
    let (stop, stopped) = oneshot::channel::<()>();
    let served = tokio::spawn(app.with_probe(probe).serve(listener, async { drop(stopped.await) }));
    let client = Client::connect(&format!("http://{at}")).await?;
    let archive = client.upload(&client::fixture("rich101-full-tgz.mbz")?).await?;
    client.publish("sites/main/courses/rich101", &archive.name, "").await?;
    client.download(&archive.name, proto::Container::Zip).await?;
    let none = proto::GetArchiveRequest { name: "sites/main/archives/none".into() };
    ensure!(client.backups().get_archive(none.clone()).await.is_err());

    let probing = Client::connect(&format!("http://{probe_at}")).await?;
    for service in ["", LIVE] {
        eventually("the probe port says that the server serves", || async {
            let request = HealthCheckRequest { service: service.into() };
            let answer = HealthClient::new(probing.channel.clone()).check(request).await;
            Ok(answer
                .is_ok_and(|answer| answer.into_inner().status() == ServingStatus::Serving)
                .then_some(()))
        })
        .await?;
    }
    let refused = probing.backups().get_archive(none).await.err().context("no other calls")?;
    ensure!(refused.code() == tonic::Code::Unimplemented, "{refused}");
    ensure!(get(probe_at, "/other").await?.0.contains("grpc-status: 12"), "no other pages");

    let page = eventually("the catalog's metrics are there", || async {
        let (head, page) = get(probe_at, "/metrics").await?;
        ensure!(head.starts_with("HTTP/1.1 200"), "{head}");
        Ok((page.contains(metric::STORED_BYTES) && page.contains(metric::RPCS)).then_some(page))
    })
    .await?;
    let found = series(&page)?;
    for (name, labels) in &found {
        let known = metric::ALL.iter().find(|each| each.name == name).context(name.clone())?;
        let mut expected: Vec<&str> = known.labels.to_vec();
        expected.sort_unstable();
        ensure!(*labels == expected, "{name} has {labels:?}");
    }
    // Whatever needs an accident to be seen is not demanded.
    let accidents = [metric::ATTEMPTS_FAILED, metric::LEASES_LOST, metric::STORAGE_ERRORS];
    let jobs = [metric::JOBS_ENDED, metric::JOB_SECONDS];
    for each in
        metric::ALL.iter().filter(|each| !accidents.contains(&each.name) && !jobs.contains(&each.name))
    {
        ensure!(found.iter().any(|(name, _)| name == each.name), "{} is not told", each.name);
    }
    ensure!(
        page.contains("method=\"coursevault.v1.BackupService/GetArchive\",code=\"INVALID_ARGUMENT\""),
        "{page}"
    );
    let _ = stop.send(());
    served.await??;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_goes_on_with_the_trace_of_its_call() -> Result<()> {
    let app = TestApp::without_worker().await?;
    let archive = app.upload(&client::fixture("rich101-full-tgz.mbz")?).await?;
    app.publish("sites/main/courses/rich101", &archive.name, "").await?;
    let mut request = tonic::Request::new(proto::CreateBackupRequest {
        course: "sites/main/courses/rich101".into(),
        ..Default::default()
    });
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    request.metadata_mut().insert("traceparent", MetadataValue::from_static(traceparent));
    let job = app.backups().create_backup(request).await?.into_inner().job.context("a job")?;
    let name: JobName = job.name.parse()?;
    let kept = app.engine.get_job(&name).await?.trace.context("a trace")?;
    ensure!(kept.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"), "{kept}");
    ensure!(!kept.contains("00f067aa0ba902b7"), "a step of its own: {kept}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_answers_calls_and_another_one_runs_the_jobs() -> Result<()> {
    let url = tokio::task::spawn_blocking(|| crate::postgres::server().fresh_database()).await??;
    let shared = tempfile::tempdir()?;
    let storage = StorageConfig::folder(shared.path());
    let configured = |role| {
        let (url, storage) = (url.clone(), storage.clone());
        move |config: &mut Config| {
            config.role = role;
            config.catalog_url = Some(url.into());
            config.storages.insert(primary(), storage);
        }
    };
    let api = TestApp::with(configured(Role::Api)).await?;
    let archive = api.upload(&client::fixture("rich101-full-tgz.mbz")?).await?;
    api.publish("sites/main/courses/rich101", &archive.name, "").await?;
    let job = api.backup("sites/main/courses/rich101").await?;
    let worker = TestApp::with(configured(Role::Worker)).await?;
    let result = api.result_of(&job).await?;
    ensure!(!result.archive.is_empty(), "{result:?}");
    let request = proto::GetArchiveRequest { name: archive.name };
    let refused = worker.backups().get_archive(request).await.err().context("no calls")?;
    ensure!(refused.code() == tonic::Code::Unimplemented, "{refused}");
    Ok(())
}

#[expect(clippy::expect_used, reason = "a literal that is a valid id")]
fn primary() -> coursevault::ids::StorageName {
    "primary".parse().expect("an id")
}
