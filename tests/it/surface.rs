//! What every client meets: health, reflection, unknown calls, the shape of the protos.

use coursevault::proto;
use prost::Message;
use prost_types::FileDescriptorSet;
use tonic::Code;

use anyhow::Result;

use crate::app::TestApp;

#[tokio::test(flavor = "multi_thread")]
async fn health_answers_for_the_server_and_each_service() -> Result<()> {
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_check_response::ServingStatus;
    use tonic_health::pb::health_client::HealthClient;
    let app = TestApp::start().await?;
    let mut health = HealthClient::new(app.client.channel.clone());
    for service in coursevault::grpc::SERVICES.into_iter().chain([""]) {
        // The first round of probes may still be under way.
        let mut looks = tokio::time::interval(std::time::Duration::from_millis(20));
        let mut serving = false;
        for _ in 0..500 {
            looks.tick().await;
            let answer = health.check(HealthCheckRequest { service: service.into() }).await;
            serving = answer.is_ok_and(|answer| answer.into_inner().status() == ServingStatus::Serving);
            if serving {
                break;
            }
        }
        assert!(serving, "{service:?} does not serve");
    }
    let unknown = health.check(HealthCheckRequest { service: "other.Service".into() }).await;
    assert_eq!(unknown.err().map(|status| status.code()), Some(Code::NotFound));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn reflection_speaks_both_versions() -> Result<()> {
    let app = TestApp::start().await?;
    macro_rules! services {
        ($version:ident) => {{
            use tonic_reflection::pb::$version::ServerReflectionRequest;
            use tonic_reflection::pb::$version::server_reflection_client::ServerReflectionClient;
            use tonic_reflection::pb::$version::server_reflection_request::MessageRequest;
            use tonic_reflection::pb::$version::server_reflection_response::MessageResponse;
            let ask =
                |message| ServerReflectionRequest { host: String::new(), message_request: Some(message) };
            let requests = vec![
                ask(MessageRequest::ListServices(String::new())),
                ask(MessageRequest::FileContainingSymbol("coursevault.v1.Archive".into())),
                ask(MessageRequest::FileContainingSymbol("google.rpc.ErrorInfo".into())),
            ];
            let mut client = ServerReflectionClient::new(app.client.channel.clone());
            let mut answers = client.server_reflection_info(tokio_stream::iter(requests)).await?.into_inner();
            let (mut services, mut files) = (Vec::new(), 0);
            while let Some(answer) = answers.message().await? {
                match answer.message_response {
                    Some(MessageResponse::ListServicesResponse(list)) => {
                        services.extend(list.service.into_iter().map(|service| service.name));
                    }
                    Some(MessageResponse::FileDescriptorResponse(_)) => files += 1,
                    other => panic!("{other:?}"),
                }
            }
            for service in coursevault::grpc::SERVICES {
                assert!(services.iter().any(|name| name == service), "{service} is not listed");
            }
            assert_eq!(files, 2);
        }};
    }
    services!(v1);
    services!(v1alpha);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_call_is_unimplemented() -> Result<()> {
    let app = TestApp::start().await?;
    for path in ["/coursevault.v1.BackupService/Dream", "/other.Service/Call"] {
        let mut client = tonic::client::Grpc::new(app.client.channel.clone());
        client.ready().await?;
        let codec: tonic_prost::ProstCodec<proto::GetJobRequest, proto::GetJobResponse> = Default::default();
        let request = tonic::Request::new(proto::GetJobRequest::default());
        let answer = client.unary(request, path.parse()?, codec).await;
        assert_eq!(answer.err().map(|status| status.code()), Some(Code::Unimplemented), "{path}");
    }
    Ok(())
}

#[test]
fn lists_page_and_changes_can_be_repeated() -> Result<()> {
    let set = FileDescriptorSet::decode(proto::DESCRIPTOR_SET)?;
    let ours = || set.file.iter().filter(|file| file.package() == "coursevault.v1");
    let fields = |name: &str| -> Vec<String> {
        ours()
            .flat_map(|file| &file.message_type)
            .filter(|message| name.ends_with(&format!(".{}", message.name())))
            .flat_map(|message| message.field.iter().map(|field| field.name().to_owned()))
            .collect()
    };
    let changes = ["Create", "Start", "Delete", "Undelete", "Publish", "Cancel", "Retry", "Rollback"];
    let (mut lists, mut mutators) = (0, 0);
    for method in ours().flat_map(|file| &file.service).flat_map(|service| &service.method) {
        let (request, response) = (fields(method.input_type()), fields(method.output_type()));
        let has = |fields: &[String], field: &str| fields.iter().any(|name| name == field);
        if method.name().starts_with("List") {
            lists += 1;
            assert!(has(&request, "page_size") && has(&request, "page_token"), "{}", method.name());
            assert!(has(&response, "next_page_token"), "{}", method.name());
        }
        if changes.iter().any(|verb| method.name().starts_with(verb)) {
            mutators += 1;
            assert!(has(&request, "request_id"), "{}", method.name());
        }
    }
    assert!(lists >= 6 && mutators >= 9);
    for value in ours().flat_map(|file| &file.enum_type).filter_map(|set| set.value.first()) {
        assert!(value.name().ends_with("_UNSPECIFIED"), "{}", value.name());
    }
    Ok(())
}
