//! The one error of the use cases: a reason for programs, a message for people, and who acts next.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::backup::Contradictions;
use crate::job::Problem;
use crate::reason::Reason;

/// Why a use case refused or failed. Built by the modules' own errors, turned into a gRPC status or kept with a job.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// The stable reason.
    pub reason: Reason,
    /// For people. Never holds secrets, nor names or addresses of persons.
    pub message: String,
    /// The values in the message, by lower-camel key.
    pub metadata: BTreeMap<String, String>,
    /// The request fields that are wrong, as in the proto, and what is wrong with each.
    pub violations: Vec<(String, String)>,
    /// The resource that is missing or in the way.
    pub resource: Option<String>,
    /// Whether the same call may succeed later.
    pub retryable: bool,
    /// After how many milliseconds, where that is known. Small, for errors travel in every result.
    pub retry_after_ms: Option<NonZeroU32>,
    /// What lies behind it; for the log only.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// A refusal that stays one.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            metadata: BTreeMap::new(),
            violations: Vec::new(),
            resource: None,
            retryable: false,
            retry_after_ms: None,
            source: None,
        }
    }

    /// A request field that is missing or malformed.
    pub fn field(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::fields(vec![(field.into(), message.into())], 0)
    }

    /// Several wrong fields, each with what is wrong with it, and how many more there are that are not told.
    pub fn fields(violations: Vec<(String, String)>, more: usize) -> Self {
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        let mut error = Self::new(Reason::FieldInvalid, listed(&violations) + &more);
        error.violations = violations;
        error
    }

    /// Says that the wrong fields, if any are named, lie within another one.
    #[must_use]
    pub fn within(mut self, outer: &str) -> Self {
        let before = listed(&self.violations);
        for (field, _) in &mut self.violations {
            *field = format!("{outer}.{field}");
        }
        if let Some(rest) = self.message.strip_prefix(&before) {
            self.message = listed(&self.violations) + rest;
        }
        self
    }

    /// The server stops; the same call goes on at another one, or later.
    pub fn shutting_down() -> Self {
        Self::new(Reason::ShuttingDown, "the server is stopping").retryable()
    }

    /// A resource that is not there.
    pub fn not_found(reason: Reason, name: &impl ToString) -> Self {
        let name = name.to_string();
        Self::new(reason, format!("{name} does not exist")).on(&name)
    }

    /// Names the resource concerned.
    #[must_use]
    pub fn on(mut self, resource: &impl ToString) -> Self {
        self.resource = Some(resource.to_string());
        self
    }

    /// Adds a value of the message.
    #[must_use]
    pub fn with(mut self, key: &str, value: &impl ToString) -> Self {
        self.metadata.insert(key.to_owned(), value.to_string());
        self
    }

    /// Says that the same call may succeed later.
    #[must_use]
    pub fn retryable(mut self) -> Self {
        self.retryable = true;
        self
    }

    /// Says that the same call may succeed after that.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        let millis = u32::try_from(after.as_millis()).unwrap_or(u32::MAX);
        self.retry_after_ms = NonZeroU32::new(millis.max(1));
        self.retryable()
    }

    /// Keeps what lies behind it, for the log.
    #[must_use]
    pub fn caused_by(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// The form in which a job or an upload keeps it.
    pub fn to_problem(&self) -> Problem {
        Problem {
            reason: self.reason,
            message: self.message.clone(),
            metadata: self.metadata.clone(),
            retryable: self.retryable,
        }
    }

    /// The message with everything behind it, for the log.
    pub fn chain(&self) -> String {
        let mut text = self.message.clone();
        let mut next = std::error::Error::source(self);
        while let Some(source) = next {
            let cause = source.to_string();
            if !text.ends_with(&cause) {
                text.push_str(": ");
                text.push_str(&cause);
            }
            next = source.source();
        }
        text
    }
}

/// How a job ended, told to whoever waited for it.
impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        let mut out = Self::new(problem.reason, problem.message);
        out.metadata = problem.metadata;
        out.retryable = problem.retryable;
        out
    }
}

/// Wrong fields as one sentence.
fn listed(violations: &[(String, String)]) -> String {
    let each = violations.iter().map(|(field, message)| format!("{field}: {message}"));
    each.collect::<Vec<_>>().join("; ")
}

/// Contradictions that one answer tells; a status travels in headers, which are small.
const MOST_CONTRADICTIONS: usize = 20;

/// One refusal that names every field; beyond the twentieth they are only counted.
impl From<Contradictions> for Error {
    fn from(found: Contradictions) -> Self {
        let told = found.iter().take(MOST_CONTRADICTIONS);
        let violations = told.map(|one| (one.field.clone(), one.message.clone())).collect();
        Self::fields(violations, found.iter().len().saturating_sub(MOST_CONTRADICTIONS))
    }
}

impl From<crate::vault::VaultError> for Error {
    fn from(error: crate::vault::VaultError) -> Self {
        let message = match error.reason() {
            Reason::StorageFull => "the storage has no room left",
            Reason::StorageUnavailable => "the storage does not answer",
            _ => "the storage does not hold what it should",
        };
        let mut out = Self::new(error.reason(), message);
        out.retryable = error.is_retryable();
        out.caused_by(error)
    }
}

impl From<crate::catalog::CatalogError> for Error {
    fn from(error: crate::catalog::CatalogError) -> Self {
        let mut out = Self::new(error.reason(), error.to_string());
        out.retryable = error.is_retryable();
        out.resource = error.resource_name();
        out.metadata = error.values().into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        out.caused_by(error)
    }
}

impl From<crate::archive::ArchiveError> for Error {
    fn from(error: crate::archive::ArchiveError) -> Self {
        error
            .values()
            .into_iter()
            .fold(Self::new(error.reason(), error.to_string()), |out, (key, value)| out.with(key, &value))
    }
}

impl From<crate::moodle::ManifestError> for Error {
    fn from(error: crate::moodle::ManifestError) -> Self {
        let reason = error.reason().unwrap_or(Reason::Internal);
        Self::new(reason, format!("moodle_backup.xml: {error}")).with("path", &"moodle_backup.xml")
    }
}

impl From<crate::vault::Malformed> for Error {
    fn from(error: crate::vault::Malformed) -> Self {
        Self::new(error.reason(), "the storage does not hold what it should").caused_by(error)
    }
}

impl From<crate::course::TreeError> for Error {
    fn from(error: crate::course::TreeError) -> Self {
        Self::new(error.reason(), error.to_string())
    }
}
