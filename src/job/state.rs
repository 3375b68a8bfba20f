//! Where a job stands, and how urgent it is.

use crate::label::labels;

labels! {
    /// Where a job stands.
    pub enum JobState {
        /// It waits for a worker, or for its next attempt.
        Pending = "PENDING",
        /// A worker has it.
        Running = "RUNNING",
        /// A worker has it and was asked to stop.
        Cancelling = "CANCELLING",
        /// Done.
        Succeeded = "SUCCEEDED",
        /// Not done.
        Failed = "FAILED",
        /// Stopped on request.
        Cancelled = "CANCELLED",
    }
}

impl JobState {
    /// Whether a job may move from this state to `next`. A takeover by another worker is no move: the state stays.
    pub const fn allows(self, next: Self) -> bool {
        use JobState::{Cancelled, Cancelling, Failed, Pending, Running, Succeeded};
        matches!(
            (self, next),
            // claimed; cancelled before anybody began
            (Pending, Running | Cancelled)
            // tried again later or handed over; asked to stop; ended
            | (Running, Pending | Cancelling | Succeeded | Failed)
            // whoever was asked to stop can no longer succeed: what it made must not become visible
            | (Cancelling, Cancelled)
            // a person retries
            | (Failed | Cancelled, Pending)
        )
    }

    /// Whether no worker will touch it again unless somebody retries it.
    pub const fn is_ended(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }

    /// Whether it can be retried.
    pub const fn is_retryable(self) -> bool {
        self.is_ended() && self.allows(Self::Pending)
    }
}

/// How urgent a job is. A lower rank is taken first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// A person waits for it.
    Interactive = 0,
    /// A person asked for it.
    Requested = 1,
    /// A schedule asked for it.
    Automated = 2,
}

impl Priority {
    /// All of them, most urgent first.
    pub const ALL: &'static [Self] = &[Self::Interactive, Self::Requested, Self::Automated];

    /// Its rank: 0 is the most urgent.
    pub const fn rank(self) -> i64 {
        self as i64
    }

    /// The priority of that rank.
    pub fn from_rank(rank: i64) -> Option<Self> {
        Self::ALL.iter().copied().find(|priority| priority.rank() == rank)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_of_states_is_decided() {
        let allowed = [
            "PENDING>RUNNING",
            "PENDING>CANCELLED",
            "RUNNING>PENDING",
            "RUNNING>CANCELLING",
            "RUNNING>SUCCEEDED",
            "RUNNING>FAILED",
            "CANCELLING>CANCELLED",
            "FAILED>PENDING",
            "CANCELLED>PENDING",
        ];
        for from in JobState::ALL {
            for to in JobState::ALL {
                let pair = format!("{from}>{to}");
                assert_eq!(from.allows(*to), allowed.contains(&pair.as_str()), "{pair}");
            }
            let leaves = JobState::ALL.iter().any(|to| from.allows(*to));
            assert_eq!(from.is_retryable(), from.is_ended() && leaves, "{from}");
            assert_eq!(from.as_str().parse(), Ok(*from));
        }
        assert!("pending".parse::<JobState>().is_err());
    }

    #[test]
    fn ranks_round_trip() {
        for priority in Priority::ALL {
            assert_eq!(Priority::from_rank(priority.rank()), Some(*priority));
        }
        assert_eq!(Priority::from_rank(3), None);
    }
}
