//! The table at the end.

use std::fmt::Write as _;
use std::time::Duration;

/// What was measured: a row for each.
#[derive(Default)]
pub struct Report {
    rows: Vec<[String; 6]>,
}

impl Report {
    /// Times for the same bytes: the ratio is that of the speeds.
    pub fn speeds(&mut self, what: &str, bytes: u64, ours: Duration, peer: Duration, target: Option<f64>) {
        let ratio = peer.as_secs_f64() / ours.as_secs_f64();
        let met = target.map_or("", |target| verdict(ratio >= target));
        let target = target.map_or(String::new(), |target| format!(">= {target:.2}"));
        self.push(what, &speed(bytes, ours), &speed(bytes, peer), &format!("{ratio:.2}"), &target, met);
    }

    /// A share of a time.
    pub fn share(&mut self, what: &str, ours: Duration, whole: Duration, target: f64) {
        let share = ours.as_secs_f64() / whole.as_secs_f64() * 100.0;
        let target_text = format!("< {target:.0} %");
        self.push(
            what,
            &time(ours),
            &time(whole),
            &format!("{share:.2} %"),
            &target_text,
            verdict(share < target),
        );
    }

    /// A number of bytes with a bound.
    pub fn below(&mut self, what: &str, bytes: u64, bound: u64) {
        self.push(what, &size(bytes), "", "", &format!("< {}", size(bound)), verdict(bytes < bound));
    }

    /// A value alone.
    pub fn value(&mut self, what: &str, value: &str) {
        self.push(what, value, "", "", "", "");
    }

    fn push(&mut self, what: &str, ours: &str, peer: &str, ratio: &str, target: &str, met: &str) {
        self.rows.push([what, ours, peer, ratio, target, met].map(str::to_owned));
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let head = ["WHAT", "OURS", "PEER", "RATIO", "TARGET", "MET"].map(str::to_owned);
        let rows = || std::iter::once(&head).chain(&self.rows);
        let widths: Vec<usize> = (0..head.len())
            .map(|column| rows().map(|row| row[column].chars().count()).max().unwrap_or(0))
            .collect();
        for row in rows() {
            let mut line = String::new();
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                match column {
                    0 => write!(line, "{cell:width$}")?,
                    _ => write!(line, "  {cell:>width$}")?,
                }
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

fn verdict(met: bool) -> &'static str {
    if met { "yes" } else { "NO" }
}

pub fn speed(bytes: u64, elapsed: Duration) -> String {
    format!("{:.0} MiB/s ({})", mebibytes(bytes) / elapsed.as_secs_f64(), time(elapsed))
}

pub fn time(elapsed: Duration) -> String {
    match elapsed.as_secs_f64() {
        seconds if seconds < 1.0 => format!("{:.1} ms", seconds * 1000.0),
        seconds => format!("{seconds:.2} s"),
    }
}

pub fn size(bytes: u64) -> String {
    match bytes {
        0..10_240 => format!("{bytes} B"),
        10_240..1_048_576 => format!("{} KiB", bytes >> 10),
        _ => format!("{:.1} MiB", mebibytes(bytes)),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a shown number")]
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
