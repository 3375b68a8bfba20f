//! When a call is worth another try, and how long to wait before it.

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::StatusExt;

/// Tries in a row that may end without having moved anything.
const TRIES: u32 = 8;
/// Before the third try; doubles with each further one. The second follows at once: most cuts are over by then.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// Whether an error may be the connection's and not an answer to what was asked.
pub fn is_cut(status: &Status) -> bool {
    match status.code() {
        Code::Unavailable => true,
        // The transport reports a cut stream under any of these; a server that gives a reason has answered.
        Code::Unknown | Code::Internal | Code::Cancelled | Code::DeadlineExceeded => reason(status).is_none(),
        _ => false,
    }
}

/// The server's reason for a refusal.
pub fn reason(status: &Status) -> Option<String> {
    status.get_details_error_info().map(|details| details.reason).filter(|reason| !reason.is_empty())
}

/// Counts tries that moved nothing.
#[derive(Debug, Default)]
pub struct Retries {
    failed: u32,
}

impl Retries {
    /// Something moved: the count starts anew.
    pub fn moved(&mut self) {
        self.failed = 0;
    }

    /// Waits before the next try.
    ///
    /// # Errors
    /// The error itself, when there were enough tries.
    pub async fn pause(&mut self, error: Status) -> Result<(), Status> {
        self.failed += 1;
        match pause_after(self.failed) {
            Some(pause) => {
                tokio::time::sleep(pause).await;
                Ok(())
            }
            None => Err(error),
        }
    }
}

fn pause_after(failed: u32) -> Option<Duration> {
    let doublings = failed.checked_sub(2);
    let pause =
        doublings.map_or(Duration::ZERO, |doublings| FIRST_PAUSE.saturating_mul(1 << doublings.min(16)));
    (failed < TRIES).then_some(pause.min(LONGEST_PAUSE))
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound_and_end() {
        let millis: Vec<_> = (1..=8).map(|n| pause_after(n).map(|pause| pause.as_millis())).collect();
        let expected = [0, 250, 500, 1000, 2000, 4000, 8000];
        assert_eq!(millis[..7], expected.map(Some));
        assert_eq!(millis[7], None);
    }

    #[test]
    fn an_answer_is_no_cut() {
        let refusal = |code| {
            let details = ErrorDetails::with_error_info("INTERNAL", "coursevault", []);
            Status::with_error_details(code, "no", details)
        };
        assert!(is_cut(&Status::unknown("h2 error")));
        assert!(is_cut(&refusal(Code::Unavailable)));
        assert!(!is_cut(&refusal(Code::Internal)));
        assert!(!is_cut(&Status::not_found("x")));
    }
}
