//! How the command line fails: exit codes, and what people and scripts read of an error.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;

use serde_json::{Value, json};
use tonic::Status;
use tonic_types::StatusExt;

use crate::archive::ArchiveError;
use crate::config::ConfigError;
use crate::proto;

/// Exit code: the work failed.
pub const FAILED: u8 = 1;
/// Exit code: refused, with a reason: by the server, or because an archive that was to be compared cannot be read.
pub const REFUSED: u8 = 2;
/// Exit code: the arguments make no sense.
pub const USAGE: u8 = 64;

/// Arguments that make no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

/// A job that did not succeed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("job {name} {state}: {}", problem.message)]
pub struct JobFailed {
    /// Name of the job.
    pub name: String,
    /// `failed` or `cancelled`.
    pub state: &'static str,
    /// Why.
    pub problem: proto::Problem,
}

/// What came out is not what went in.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Differs(pub String);

/// Stands in front of why a local archive that was to be compared cannot be read. That is no difference, so the exit code
/// must be another one.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("there is nothing to compare")]
pub struct Unreadable;

/// An error as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Exit code.
    pub code: u8,
    /// The server's reason; for what went wrong here, a word of ours or the gRPC code.
    pub reason: String,
    /// For people.
    pub message: String,
    /// The values in the message.
    pub metadata: BTreeMap<String, String>,
}

impl Shown {
    /// Takes an error apart. `None` when nobody is left to read it: the reader of a pipe went away.
    pub fn of(error: &anyhow::Error) -> Option<Self> {
        if error.chain().any(is_broken_pipe) {
            return None;
        }
        if let Some(status) = error.chain().find_map(|cause| cause.downcast_ref::<Status>()) {
            return Some(Self::of_status(error, status));
        }
        let message = sentence(error.chain().map(ToString::to_string));
        if let Some(failed) = error.downcast_ref::<JobFailed>() {
            let problem = &failed.problem;
            let metadata = problem.metadata.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
            return Some(Self { code: FAILED, reason: problem.reason.clone(), message, metadata });
        }
        let (code, reason) = if let Some(refused) = error.downcast_ref::<ArchiveError>() {
            (FAILED, refused.reason().as_str())
        } else if error.is::<Usage>() || error.is::<ConfigError>() {
            (USAGE, "USAGE")
        } else if error.is::<Differs>() {
            (FAILED, "CONTENT_DIFFERS")
        } else {
            (FAILED, "FAILED")
        };
        let code = if error.is::<Unreadable>() { REFUSED } else { code };
        Some(Self { code, reason: reason.to_owned(), message, metadata: BTreeMap::new() })
    }

    fn of_status(error: &anyhow::Error, status: &Status) -> Self {
        let before = error.chain().take_while(|cause| !cause.is::<Status>()).map(ToString::to_string);
        let message = sentence(before.chain([status.message().to_owned()]));
        match status.get_details_error_info().filter(|details| !details.reason.is_empty()) {
            Some(details) => Self {
                code: REFUSED,
                reason: details.reason,
                message,
                metadata: details.metadata.into_iter().collect(),
            },
            None => {
                let causes = error.chain().skip_while(|cause| !cause.is::<Status>()).skip(1);
                let message = sentence([message].into_iter().chain(causes.map(ToString::to_string)));
                let reason = format!("{:?}", status.code());
                Self { code: FAILED, reason, message, metadata: BTreeMap::new() }
            }
        }
    }

    /// The error on some lines, for people.
    pub fn to_text(&self) -> String {
        let mut text = format!("error: {}\n", self.message);
        let told = !matches!(self.reason.as_str(), "FAILED" | "USAGE" | "CONTENT_DIFFERS");
        let rows = told.then_some(("reason", self.reason.as_str())).into_iter();
        let rows = rows.chain(self.metadata.iter().map(|(key, value)| (key.as_str(), value.as_str())));
        let width = self.metadata.keys().map(|key| key.chars().count()).max().unwrap_or(0).max(6);
        for (key, value) in rows {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "  {key:width$}  {value}");
        }
        text
    }

    /// The error as one JSON value.
    pub fn to_json(&self) -> Value {
        json!({ "reason": self.reason, "message": self.message, "metadata": self.metadata })
    }
}

/// Causes joined, without those that the one before says already.
fn sentence(causes: impl IntoIterator<Item = String>) -> String {
    let mut text = String::new();
    for cause in causes {
        if cause.is_empty() || text.contains(&cause) {
            continue;
        }
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&cause);
    }
    text
}

fn is_broken_pipe(cause: &(dyn std::error::Error + 'static)) -> bool {
    cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;
    use tonic::Code;
    use tonic_types::ErrorDetails;

    use super::*;

    fn refusal() -> Status {
        let details = ErrorDetails::with_error_info(
            "ARCHIVE_NOT_FOUND",
            "coursevault",
            [("archive".to_owned(), "sites/main/archives/x".to_owned())],
        );
        Status::with_error_details(Code::NotFound, "no such archive", details)
    }

    #[test]
    fn a_refusal_shows_reason_and_metadata() -> anyhow::Result<()> {
        let error = Err::<(), _>(refusal()).context("x.mbz").err().context("an error")?;
        let shown = Shown::of(&error).context("shown")?;
        assert_eq!(shown.code, REFUSED);
        assert_eq!(
            shown.to_text(),
            "error: x.mbz: no such archive\n  reason   ARCHIVE_NOT_FOUND\n  archive  sites/main/archives/x\n"
        );
        assert_eq!(shown.to_json()["metadata"]["archive"], "sites/main/archives/x");
        Ok(())
    }

    #[test]
    fn a_status_without_a_reason_is_a_failure() -> anyhow::Result<()> {
        let shown = Shown::of(&Status::unavailable("gone").into()).context("shown")?;
        assert_eq!((shown.code, shown.reason.as_str()), (FAILED, "Unavailable"));
        Ok(())
    }

    #[test]
    fn exit_codes_follow_the_kind_of_error() {
        let code = |error: anyhow::Error| Shown::of(&error).map(|shown| shown.code);
        assert_eq!(code(Usage("no".into()).into()), Some(USAGE));
        assert_eq!(code(Differs("1 differs".into()).into()), Some(FAILED));
        assert_eq!(code(anyhow::anyhow!("disk full")), Some(FAILED));
        assert_eq!(code(io::Error::from(io::ErrorKind::BrokenPipe).into()), None);
        let unreadable =
            anyhow::Error::from(ArchiveError::FormatUnsupported).context("x.mbz").context(Unreadable);
        assert_eq!(
            Shown::of(&unreadable).map(|shown| (shown.code, shown.reason)),
            Some((REFUSED, "ARCHIVE_FORMAT_UNSUPPORTED".into()))
        );
        let problem = proto::Problem { reason: "STORAGE_FULL".into(), ..Default::default() };
        let failed = JobFailed { name: "j".into(), state: "failed", problem };
        assert_eq!(
            Shown::of(&failed.into()).map(|s| (s.code, s.reason)),
            Some((FAILED, "STORAGE_FULL".into()))
        );
    }
}
