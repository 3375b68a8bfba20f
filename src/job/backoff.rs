//! How long a job waits after an error that may pass.

use std::time::Duration;

/// How often a job is begun before it fails for good.
pub const MAX_ATTEMPTS: u32 = 5;

/// The wait after attempt number `attempt` (from 1) failed: 1, 4, 16, 64 seconds; `None` when there is no further
/// attempt. Long enough to outlast a restart of a storage, short enough that a person may wait for it.
pub fn backoff(attempt: u32) -> Option<Duration> {
    (attempt < MAX_ATTEMPTS).then(|| Duration::from_secs(4_u64.pow(attempt.saturating_sub(1))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_end() {
        let waits: Vec<_> = (1..=6).map(|attempt| backoff(attempt).map(|wait| wait.as_secs())).collect();
        assert_eq!(waits, [Some(1), Some(4), Some(16), Some(64), None, None]);
        assert_eq!(backoff(0), Some(Duration::from_secs(1)));
    }
}
