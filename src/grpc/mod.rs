//! The gRPC services. A handler converts, calls a use case, converts; it holds no policy, SQL or object name.

pub mod comparison;
pub mod convert;
pub mod restore_settings;
pub mod settings;

mod admin;
mod auth;
mod backup;
mod bounded;
mod course;
mod directory;
mod drain;
mod intake;
mod jobs;
mod listing;
mod mask;
mod measure;
mod outflow;
mod paging;
mod permissions;
mod policies;
mod restore;
mod retention;
mod schedule;
mod status;
mod transfer;

pub use admin::ServerFacts;
pub use auth::{AuthLayer, Tokens};
pub use drain::DrainLayer;
pub use measure::MeasureLayer;
pub use status::DOMAIN;

use prost::Message;
use tonic::service::{Routes, RoutesBuilder};

use crate::digest::Digest;
use crate::engine::{Call, Engine, Error, RequestKey};
use crate::principal::Principal;
use crate::proto;

/// Largest message that is taken or sent: a chunk and its surroundings.
const MAX_MESSAGE: usize = 8 << 20;

/// Names of our services, as health knows them.
pub const SERVICES: [&str; 7] = [
    "coursevault.v1.AdminService",
    "coursevault.v1.BackupService",
    "coursevault.v1.CourseService",
    "coursevault.v1.JobService",
    "coursevault.v1.PolicyService",
    "coursevault.v1.RestoreService",
    "coursevault.v1.TransferService",
];

/// All our services over the use cases.
pub fn routes(engine: &Engine, facts: ServerFacts) -> RoutesBuilder {
    let mut routes = Routes::builder();
    macro_rules! add {
        ($server:ty, $service:expr) => {
            routes.add_service(
                <$server>::new($service)
                    .max_decoding_message_size(MAX_MESSAGE)
                    .max_encoding_message_size(MAX_MESSAGE),
            );
        };
    }
    add!(proto::admin_service_server::AdminServiceServer<_>, admin::Admin::new(engine.clone(), facts));
    add!(proto::backup_service_server::BackupServiceServer<_>, backup::Backup(engine.clone()));
    add!(proto::course_service_server::CourseServiceServer<_>, course::Course(engine.clone()));
    add!(proto::job_service_server::JobServiceServer<_>, jobs::Jobs(engine.clone()));
    add!(proto::policy_service_server::PolicyServiceServer<_>, policies::Policies(engine.clone()));
    add!(proto::restore_service_server::RestoreServiceServer<_>, restore::Restore(engine.clone()));
    add!(proto::transfer_service_server::TransferServiceServer<_>, transfer::Transfer(engine.clone()));
    routes
}

/// A call that changes something, with the caller's own id for it if there is one.
fn call(
    principal: Principal,
    method: &'static str,
    request_id: &str,
    request: &impl Message,
) -> Result<Call, Error> {
    call_of(principal, method, request_id, Digest::of(&request.encode_to_vec()))
}

/// A text in a request that is looked for.
fn searched(field: &str, text: String) -> Result<String, Error> {
    const MOST: usize = 255;
    if text.contains('\0') || text.chars().count() > MOST {
        return Err(Error::field(field, format!("must have at most {MOST} characters, and no NUL")));
    }
    Ok(text)
}

/// As [`call`], of a request that has this digest.
fn call_of(
    principal: Principal,
    method: &'static str,
    request_id: &str,
    body: Digest,
) -> Result<Call, Error> {
    let request = match request_id {
        "" => None,
        text => {
            let id = uuid::Uuid::try_parse(text).map_err(|_| Error::field("request_id", "must be a UUID"))?;
            Some(RequestKey { method, id: id.to_string(), body })
        }
    };
    Ok(Call { principal, request })
}
