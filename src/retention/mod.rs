//! How long archives are kept, and why: a pure decision over policies, the archives of one group, and the time.
//!
//! Invariants, each held by a property test:
//! - a hold, the floor (`keep_at_least`) and the legal minimum win over everything;
//! - only good archives are counted: one that is not good never takes a good one's place;
//! - the order in which archives are given changes nothing, and neither does deciding again after what expired is gone;
//! - a new good archive takes at most one archive's place under each counting rule;
//! - until the time that a decision tells, it stays as it is while the archives stay the same.
//!
//! It must not know databases, areas' access rules or who deletes.

mod decide;
mod policy;
mod revisions;
#[cfg(test)]
mod tests;

pub use decide::{Candidate, Decision, Expiry, Outcome, Reason, decide};
pub use policy::{Effective, Rules, Scope, Subject, effective, narrowest};
pub use revisions::{Revision, prunable};
