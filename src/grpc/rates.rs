//! How often somebody may call: a bucket for each principal, which fills by and by.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Buckets that are kept at once. Full ones are forgotten first, for they say nothing.
const BUCKETS: usize = 10_000;

/// The buckets of all principals.
pub struct Rates {
    /// Calls in a second; 0 for as many as one likes.
    each_second: u32,
    /// Calls at once after a pause.
    burst: u32,
    buckets: Mutex<HashMap<String, Bucket>>,
}

struct Bucket {
    left: f64,
    seen: Instant,
}

impl Rates {
    /// So many calls in a second, and so many at once after a pause.
    pub fn new(each_second: u32, burst: u32) -> Self {
        Self { each_second, burst: burst.max(1), buckets: Mutex::new(HashMap::new()) }
    }

    /// Takes a call out of somebody's bucket. When it is empty: how long it takes until there is one again.
    pub fn take(&self, whose: &str, now: Instant) -> Result<(), Duration> {
        if self.each_second == 0 {
            return Ok(());
        }
        let (rate, most) = (f64::from(self.each_second), f64::from(self.burst));
        let filled = |bucket: &Bucket| {
            (bucket.left + now.saturating_duration_since(bucket.seen).as_secs_f64() * rate).min(most)
        };
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= BUCKETS && !buckets.contains_key(whose) {
            buckets.retain(|_, bucket| filled(bucket) < most);
        }
        let bucket = buckets.entry(whose.to_owned()).or_insert(Bucket { left: most, seen: now });
        bucket.left = filled(bucket);
        bucket.seen = now;
        if bucket.left >= 1.0 {
            bucket.left -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - bucket.left) / rate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_so_many_a_second_for_each() {
        let (rates, start) = (Rates::new(10, 3), Instant::now());
        for _ in 0..3 {
            assert_eq!(rates.take("anna", start), Ok(()));
        }
        let wait = rates.take("anna", start).expect_err("the bucket is empty");
        assert!(wait > Duration::from_millis(99) && wait < Duration::from_millis(101), "{wait:?}");
        assert_eq!(rates.take("ben", start), Ok(()), "others have buckets of their own");
        let later = start + Duration::from_millis(150);
        assert_eq!(rates.take("anna", later), Ok(()));
        assert!(rates.take("anna", later).is_err());
        // After a long pause no more than a burst.
        let next_day = start + Duration::from_secs(86_400);
        assert_eq!((0..9).filter(|_| rates.take("anna", next_day).is_ok()).count(), 3);
        assert_eq!((0..99).filter(|_| Rates::new(0, 0).take("anna", start).is_ok()).count(), 99);
    }

    #[test]
    fn names_without_end_take_no_memory_without_end() {
        let (rates, start) = (Rates::new(1, 1), Instant::now());
        for n in 0..3 * u64::try_from(BUCKETS).expect("a number") {
            let _ = rates.take(&n.to_string(), start + Duration::from_secs(n));
        }
        assert!(rates.buckets.lock().expect("no panic").len() <= BUCKETS);
    }
}
