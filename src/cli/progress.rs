//! How far a transfer or a job is: a bar on a terminal, now and then a plain line elsewhere, nothing with JSON.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::output::Output;
use super::units;

/// Between two plain lines of one task at least.
const LINES_EVERY: Duration = Duration::from_secs(5);
/// A bar moves on its own that often, so that one sees it live.
const TICK: Duration = Duration::from_millis(120);

/// Progress of one task. Ends silently when dropped: the answer of the command tells the rest.
pub struct Progress {
    shown: Shown,
}

enum Shown {
    Bar(ProgressBar),
    Lines { output: Output, label: String, state: Mutex<Lines> },
    Nothing,
}

struct Lines {
    started: Instant,
    last: Instant,
    base: Option<u64>,
    at: u64,
    total: u64,
}

impl Progress {
    /// A task that moves bytes; `total` 0 when nobody knows how many.
    pub fn bytes(output: Output, label: &str, total: u64) -> Self {
        if output.is_json() {
            return Self { shown: Shown::Nothing };
        }
        if !output.shows_bars() {
            let now = Instant::now();
            let state = Mutex::new(Lines { started: now, last: now, base: None, at: 0, total });
            return Self { shown: Shown::Lines { output, label: label.to_owned(), state } };
        }
        let bar = ProgressBar::new(total);
        bar.set_style(style(total));
        bar.set_prefix(label.to_owned());
        bar.enable_steady_tick(TICK);
        Self { shown: Shown::Bar(bar) }
    }

    /// How many bytes there are.
    pub fn set_total(&self, total: u64) {
        match &self.shown {
            Shown::Bar(bar) if bar.length() != Some(total) => {
                bar.set_length(total);
                bar.set_style(style(total));
            }
            Shown::Lines { state, .. } => state.lock().unwrap_or_else(PoisonError::into_inner).total = total,
            _ => {}
        }
    }

    /// How many bytes are done. The first call sets where the rate counts from.
    pub fn set(&self, done: u64) {
        match &self.shown {
            Shown::Bar(bar) => bar.set_position(done),
            Shown::Lines { output, label, state } => {
                let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                state.at = done;
                let base = *state.base.get_or_insert(done);
                let now = Instant::now();
                if now.duration_since(state.last) >= LINES_EVERY {
                    state.last = now;
                    let elapsed = now.duration_since(state.started);
                    output.note(&line(label, done, base, state.total, elapsed));
                }
            }
            Shown::Nothing => {}
        }
    }

    /// What the task is at.
    pub fn phase(&self, phase: &str) {
        if let Shown::Bar(bar) = &self.shown {
            bar.set_message(phase.to_owned());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Shown::Bar(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }
}

/// One plain line: how much of what, the rate and the time that remains.
fn line(label: &str, done: u64, base: u64, total: u64, elapsed: Duration) -> String {
    let moved = done.saturating_sub(base);
    let rate = units::rate(moved, elapsed);
    if total == 0 {
        return format!("{label}: {} at {rate}", units::size(done));
    }
    let percent = done.saturating_mul(100) / total;
    let remaining = if moved == 0 || done >= total {
        String::new()
    } else {
        let seconds = elapsed.as_secs_f64() * (total - done) as f64 / moved as f64;
        let left = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        format!(", {} left", units::duration(left))
    };
    format!("{label}: {} of {} ({percent} %) at {rate}{remaining}", units::size(done), units::size(total))
}

fn style(total: u64) -> ProgressStyle {
    let template = if total == 0 {
        "{spinner} {prefix} {binary_bytes} {binary_bytes_per_sec} {elapsed} {wide_msg}"
    } else {
        "{prefix} [{bar:24}] {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta} left {wide_msg}"
    };
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_rate_and_remaining_time() {
        let ten = Duration::from_secs(10);
        assert_eq!(
            line("a.mbz", 30 << 20, 10 << 20, 50 << 20, ten),
            "a.mbz: 30.0 MiB of 50.0 MiB (60 %) at 2.0 MiB/s, 10.0 s left"
        );
        assert_eq!(line("a.mbz", 0, 0, 50 << 20, ten), "a.mbz: 0 B of 50.0 MiB (0 %) at -");
        assert_eq!(line("job", 3 << 20, 0, 0, ten), "job: 3.0 MiB at 307.2 KiB/s");
    }

    #[test]
    fn the_templates_are_valid() {
        for total in [0, 1] {
            let _ = style(total);
        }
        assert!(ProgressStyle::with_template("{spinner} {prefix} {binary_bytes} {wide_msg}").is_ok());
    }
}
