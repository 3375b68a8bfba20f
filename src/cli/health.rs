//! `health`: what a server says of itself and of each of its services.

use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;

use super::client::Server;
use super::failure::Differs;
use super::output::Output;
use super::table::{Column, Table};
use crate::grpc::SERVICES;

/// Fails when the server as a whole does not serve.
pub async fn run(server: &Server, output: Output) -> anyhow::Result<()> {
    let mut told = Vec::new();
    for service in [""].into_iter().chain(SERVICES) {
        let request = HealthCheckRequest { service: service.to_owned() };
        let answer = server.health().check(request).await;
        let serves = match answer {
            Ok(answer) => answer.into_inner().status() == ServingStatus::Serving,
            // A process that only runs jobs has no services.
            Err(status) if status.code() == tonic::Code::NotFound => continue,
            Err(status) => return Err(status.into()),
        };
        told.push((if service.is_empty() { "all" } else { service }, serves));
    }
    if output.is_json() {
        let services = told.iter().map(|(service, serves)| ((*service).to_owned(), (*serves).into()));
        output.document(&serde_json::Value::Object(services.collect()))?;
    } else {
        let mut table = Table::new(&[("SERVICE", Column::Whole), ("STATE", Column::Whole)]);
        for (service, serves) in &told {
            let state = if *serves { "serving" } else { "not serving" };
            table.row([(*service).to_owned(), state.to_owned()]);
        }
        output.table(&table)?;
    }
    if told.iter().any(|(service, serves)| *service == "all" && *serves) {
        Ok(())
    } else {
        Err(Differs("the server does not serve".to_owned()).into())
    }
}
