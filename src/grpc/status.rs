//! The one place where an error becomes a gRPC status: code, ErrorInfo, and one typed detail.

use std::collections::HashMap;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::engine::Error;
use crate::reason::Reason;

/// `domain` of google.rpc.ErrorInfo.
pub const DOMAIN: &str = "coursevault";

/// The code under which a reason is told. Exhaustive on purpose: a new reason must be thought about here.
pub fn code(reason: Reason) -> Code {
    use Reason::*;
    match reason {
        FieldInvalid | PageTokenInvalid | RequestIdReused | UploadProtocol | UploadIncomplete
        | DigestMismatch | SizeMismatch | ChunkDigestMismatch => Code::InvalidArgument,
        ArchiveFormatUnsupported
        | ArchiveTruncated
        | ArchiveCorrupt
        | ArchiveAmbiguous
        | ArchiveEncrypted
        | ArchiveMethodUnsupported
        | ArchiveManifestMissing
        | ArchiveManifestInvalid
        | MemberPathInvalid
        | MemberDuplicate
        | MemberKindUnsupported => Code::InvalidArgument,
        LimitUploadBytes | LimitMembers | LimitMemberBytes | LimitContentBytes | LimitRatio | LimitPath
        | LimitManifestBytes | LimitXmlDepth | LimitChunkBytes | LimitImportRows => Code::InvalidArgument,
        CredentialsMissing | CredentialsInvalid => Code::Unauthenticated,
        PermissionDenied => Code::PermissionDenied,
        SiteNotFound | CourseNotFound | RevisionNotFound | ArchiveNotFound | MemberNotFound
        | UploadNotFound | JobNotFound | UserNotFound | PolicyNotFound | ArchiveNotShared => Code::NotFound,
        SiteExists | CourseExists | PolicyExists | ArchiveNotDeleted => Code::AlreadyExists,
        ArchiveDeleted
        | ArchiveHeld
        | ArchiveNotHeld
        | LimitShares
        | LimitPolicies
        | ArchiveTypeUnsupported
        | CourseDeleted
        | CourseEmpty
        | PlanStale
        | RestoreBlocked
        | PlanRequired
        | CourseNameRequired
        | DocumentInvalid
        | RestoreSuperseded
        | PlatformMismatch
        | RestoreNotUndoable
        | JobEnded
        | JobNotRetryable
        | UploadNotOpen
        | CollectionRefused
        | ContainerUnsuitable => Code::FailedPrecondition,
        CourseBusy | EtagMismatch | RevisionConflict | DirectoryConflict | UploadBusy | JobLeaseLost
        | StorageChanged => Code::Aborted,
        JobCancelled => Code::Cancelled,
        JobAttemptsExhausted | Internal => Code::Internal,
        UploadOffsetMismatch | OffsetOutOfRange => Code::OutOfRange,
        StorageUnavailable | CatalogUnavailable | ShuttingDown => Code::Unavailable,
        StorageFull | Overloaded => Code::ResourceExhausted,
        StorageCorrupt | CatalogCorrupt => Code::DataLoss,
    }
}

/// Turns an error into a status with details. Logs what lies behind it when it is not the caller's doing.
pub fn status(error: Error) -> Status {
    let code = code(error.reason);
    match code {
        _ if matches!(error.reason, Reason::ShuttingDown | Reason::Overloaded) => {
            tracing::info!(reason = error.reason.as_str(), "call put off");
        }
        Code::Internal | Code::DataLoss | Code::Unavailable | Code::ResourceExhausted => {
            tracing::error!(reason = error.reason.as_str(), error = error.chain(), "call failed");
        }
        _ => tracing::debug!(reason = error.reason.as_str(), "call refused"),
    }
    let metadata: HashMap<String, String> = error.metadata.into_iter().collect();
    let mut details = ErrorDetails::with_error_info(error.reason.as_str(), DOMAIN, metadata);
    for (field, message) in &error.violations {
        details.add_bad_request_violation(field, format!("{field}: {message}"));
    }
    if error.retryable {
        details.set_retry_info(Some(Duration::from_secs(1)));
    }
    if let Some(resource) = error.resource {
        if code == Code::FailedPrecondition {
            details.add_precondition_failure_violation(
                error.reason.as_str(),
                resource.clone(),
                error.message.clone(),
            );
        }
        let kind = resource.rsplit('/').nth(1).unwrap_or("sites").to_owned();
        details.set_resource_info(kind, resource, "", error.message.clone());
    }
    if code == Code::ResourceExhausted {
        details.add_quota_failure_violation(error.reason.as_str(), error.message.clone());
    }
    Status::with_error_details(code, error.message, details)
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        status(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_an_error_info_and_no_success_code() {
        for reason in Reason::ALL {
            let status = status(Error::new(*reason, "m").with("key", &1).on(&"sites/s/archives/a"));
            assert_ne!(status.code(), Code::Ok);
            assert_ne!(status.code(), Code::Unknown);
            let details = status.get_error_details();
            let info = details.error_info().map(|info| (info.reason.as_str(), info.domain.as_str()));
            assert_eq!(info, Some((reason.as_str(), DOMAIN)));
            assert!(details.error_info().is_some_and(|info| info.metadata["key"] == "1"));
            assert!(status.get_error_details().resource_info().is_some());
        }
    }

    #[test]
    fn a_wrong_field_is_a_bad_request_with_its_path() {
        let status = status(Error::field("page_size", "must not be negative"));
        let details = status.get_error_details();
        let fields = details.bad_request().map(|bad| bad.field_violations[0].field.as_str());
        assert_eq!(fields, Some("page_size"));
    }

    #[test]
    fn several_wrong_fields_are_told_at_once_and_within_another_one() {
        let wrong =
            [("a", "is no a"), ("b", "is no b")].map(|(field, message)| (field.into(), message.into()));
        let status = status(Error::fields(wrong.to_vec(), 3).within("header"));
        assert_eq!(status.message(), "header.a: is no a; header.b: is no b; and 3 more");
        let details = status.get_error_details();
        let told = details.bad_request().map(|bad| bad.field_violations.clone()).unwrap_or_default();
        let told: Vec<_> = told.iter().map(|one| (one.field.as_str(), one.description.as_str())).collect();
        assert_eq!(told, [("header.a", "header.a: is no a"), ("header.b", "header.b: is no b")]);
    }
}
