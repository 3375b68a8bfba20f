//! What tools see of the service: health for each service, reflection, unknown calls.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use coursevault::grpc::SERVICES;
use prost::Message;
use prost_types::FileDescriptorProto;
use tonic::Code;
use tonic::codegen::http::uri::PathAndQuery;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::app::{TestApp, eventually};

/// Whether a service says that it serves.
pub async fn serves(app: &TestApp, service: &str) -> Result<bool> {
    let request = HealthCheckRequest { service: service.into() };
    let answer = HealthClient::new(app.channel.clone()).check(request).await?;
    Ok(answer.into_inner().status() == ServingStatus::Serving)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_service_tells_its_health() -> Result<()> {
    let app = TestApp::start().await?;
    for service in SERVICES.into_iter().chain([""]) {
        // The first probe may not have ended; until then nothing is known of a service.
        eventually(service, || async { Ok(serves(&app, service).await.unwrap_or(false).then_some(())) })
            .await?;
    }
    let mut client = HealthClient::new(app.channel.clone());
    let status = client.check(HealthCheckRequest { service: "coursevault.v1.Other".into() }).await.err();
    assert_eq!(status.map(|status| status.code()), Some(Code::NotFound));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_calls_are_unimplemented() -> Result<()> {
    let app = TestApp::start().await?;
    for path in
        ["/coursevault.v1.NoService/Get", "/coursevault.v1.BackupService/NoCall", "/other.Service/Call"]
    {
        let mut client = tonic::client::Grpc::new(app.channel.clone());
        client.ready().await?;
        let codec = tonic_prost::ProstCodec::<(), ()>::default();
        let answer = client.unary(tonic::Request::new(()), PathAndQuery::from_static(path), codec).await;
        assert_eq!(answer.err().map(|status| status.code()), Some(Code::Unimplemented), "{path}");
    }
    Ok(())
}

/// Asks one version of reflection for the services, and for the files of some symbols.
macro_rules! reflect {
    ($version:ident, $app:expr) => {{
        use pb::server_reflection_request::MessageRequest as Asked;
        use pb::server_reflection_response::MessageResponse as Told;
        use tonic_reflection::pb::$version as pb;
        let mut client = pb::server_reflection_client::ServerReflectionClient::new($app.channel.clone());
        let mut ask = async |asked: Asked| -> Result<Told> {
            let request = pb::ServerReflectionRequest { host: String::new(), message_request: Some(asked) };
            let mut answers =
                client.server_reflection_info(futures::stream::iter([request])).await?.into_inner();
            answers.message().await?.context("an answer")?.message_response.context("a message")
        };
        let Told::ListServicesResponse(list) = ask(Asked::ListServices(String::new())).await? else {
            anyhow::bail!("no list of services");
        };
        let services: BTreeSet<String> = list.service.into_iter().map(|service| service.name).collect();
        for service in SERVICES.into_iter().chain(["grpc.health.v1.Health"]) {
            ensure!(services.contains(service), "{service} is not in {services:?}");
        }
        for symbol in
            ["coursevault.v1.Archive", "google.rpc.ErrorInfo", "coursevault.v1.BackupService.GetArchive"]
        {
            let Told::FileDescriptorResponse(files) = ask(Asked::FileContainingSymbol(symbol.into())).await?
            else {
                anyhow::bail!("{symbol} is unknown");
            };
            let file = files.file_descriptor_proto.first().context("a file")?;
            let file = FileDescriptorProto::decode(file.as_slice())?;
            ensure!(symbol.starts_with(file.package()), "{symbol} is not in {:?}", file.name());
            // A client goes on with the files that this one needs.
            for needed in file.dependency {
                let told = ask(Asked::FileByFilename(needed.clone())).await?;
                ensure!(matches!(told, Told::FileDescriptorResponse(_)), "{needed} is unknown");
            }
        }
        let told = ask(Asked::FileContainingSymbol("coursevault.v1.Nothing".into())).await;
        ensure!(!matches!(told, Ok(Told::FileDescriptorResponse(_))), "{told:?}");
    }};
}

#[tokio::test(flavor = "multi_thread")]
async fn both_versions_of_reflection_know_everything() -> Result<()> {
    let app = TestApp::start().await?;
    reflect!(v1, app);
    reflect!(v1alpha, app);
    Ok(())
}
