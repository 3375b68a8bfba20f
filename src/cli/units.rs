//! Sizes, rates and times for people.

use std::time::Duration;

/// A size: `812 B`, `45.3 MiB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    // 1023.95 would be shown as 1024.0.
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// A size that the protos carry as a signed number.
pub fn signed_size(bytes: i64) -> String {
    size(u64::try_from(bytes).unwrap_or(0))
}

/// Bytes in a time: `93.1 MiB/s`; `-` when there is nothing to divide.
pub fn rate(bytes: u64, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64();
    if bytes == 0 || seconds <= 0.0 {
        return "-".to_owned();
    }
    format!("{}/s", size((bytes as f64 / seconds) as u64))
}

/// A length of time: `0.123 s`, `12.3 s`, `3 min 04 s`, `1 h 02 min`.
pub fn duration(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    match seconds {
        0 => format!("{:.3} s", elapsed.as_secs_f64()),
        1..=59 => format!("{:.1} s", elapsed.as_secs_f64()),
        60..=3599 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// A point in time in UTC, to the second: `2026-05-01 12:30:00`; empty when unset.
pub fn time(time: Option<&prost_types::Timestamp>) -> String {
    let point = time.and_then(|time| chrono::DateTime::from_timestamp(time.seconds, 0));
    point.map_or_else(String::new, |point| point.format("%Y-%m-%d %H:%M:%S").to_string())
}

/// A number of things: `1 member`, `12 members`.
pub fn count(number: u64, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (bytes, shown) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            ((1 << 20) - 1, "1.0 MiB"),
            (47_500_000, "45.3 MiB"),
            (3 << 30, "3.0 GiB"),
            (u64::MAX, "16384.0 PiB"),
        ] {
            assert_eq!(size(bytes), shown);
        }
        assert_eq!(signed_size(-1), "0 B");
    }

    #[test]
    fn rates_and_durations() {
        assert_eq!(rate(10 << 20, Duration::from_secs(2)), "5.0 MiB/s");
        assert_eq!(rate(0, Duration::from_secs(2)), "-");
        assert_eq!(rate(1, Duration::ZERO), "-");
        for (millis, shown) in
            [(123, "0.123 s"), (12_340, "12.3 s"), (184_000, "3 min 04 s"), (3_720_000, "1 h 02 min")]
        {
            assert_eq!(duration(Duration::from_millis(millis)), shown);
        }
    }

    #[test]
    fn times_are_utc_to_the_second() {
        let stamp = prost_types::Timestamp { seconds: 1_777_638_600, nanos: 5 };
        assert_eq!(time(Some(&stamp)), "2026-05-01 12:30:00");
        assert_eq!(time(None), "");
        assert_eq!((count(1, "member"), count(0, "member")), ("1 member".into(), "0 members".into()));
    }
}
