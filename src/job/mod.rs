//! Work in the background as values: what a job is to do, where it stands, how far it is, what came of it.
//!
//! Invariants: a job's state only ever moves along [`JobState::allows`]; whatever is stored of a job (payload,
//! progress, problem, result) is versioned or tolerant JSON whose form is held by golden texts.
//! This module knows neither the catalog that stores jobs nor the worker that runs them.

mod backoff;
mod outcome;
mod payload;
mod state;

pub use backoff::{MAX_ATTEMPTS, backoff};
pub use outcome::{
    Amount, Finding, Garbage, JobResult, Missing, Problem, Progress, Proof, Severity, WhyMissing,
};
pub use payload::{Area, JobKind, JobPayload, PayloadError};
pub use state::{JobState, Priority};
