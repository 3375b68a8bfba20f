//! Calendar arithmetic in a time zone: dates, periods of years, months and days, and local times that do not exist or
//! exist twice. Pure; knows no clock.
//!
//! A local time that does not exist stands for the first instant after the gap. Of one that exists twice the caller says
//! which is meant.

use chrono::{DateTime, Days, MappedLocalTime, Months, NaiveDate, NaiveDateTime, TimeZone, Utc};
use chrono_tz::Tz;

use crate::clock::Timestamp;

/// Most of each part of a period. A thousand years and the year 9999 are within what dates can be.
const MOST: [u32; 3] = [1_000, 12_000, 365_000];

/// A span of the calendar: so many years, then months, then days. One month after 31 January is the last of February.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Period {
    /// Years.
    pub years: u32,
    /// Months.
    pub months: u32,
    /// Days of the calendar: 23 to 25 hours where clocks are changed.
    pub days: u32,
}

impl Period {
    /// So many days.
    pub const fn of_days(days: u32) -> Self {
        Self { years: 0, months: 0, days }
    }

    /// So many years.
    pub const fn of_years(years: u32) -> Self {
        Self { years, months: 0, days: 0 }
    }

    /// Whether it is no time at all.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it is at most 1 000 years, 12 000 months and 365 000 days.
    pub fn is_within_bounds(&self) -> bool {
        [self.years, self.months, self.days].iter().zip(MOST).all(|(part, most)| *part <= most)
    }

    /// The instant when this much has passed since `start`, by the calendar of `zone`: the same time of day. Of a time
    /// that exists twice the later one, so that nothing ends early.
    pub fn after(&self, zone: Tz, start: Timestamp) -> Timestamp {
        if self.is_nothing() {
            return start;
        }
        let [years, months, days] =
            [self.years.min(MOST[0]), self.months.min(MOST[1]), self.days.min(MOST[2])];
        let from = local(zone, start);
        let to = from
            .checked_add_months(Months::new(years * 12 + months))
            .and_then(|time| time.checked_add_days(Days::new(days.into())));
        to.map_or(start, |to| latest(zone, to).max(start))
    }
}

/// The time that clocks in `zone` show. Years are brought within 1 and 9999.
pub fn local(zone: Tz, time: Timestamp) -> NaiveDateTime {
    // 0001-01-02 and 9999-12-30, so that no offset leads out of these years
    let millis = time.millis().clamp(-62_135_510_400_000, 253_402_128_000_000);
    DateTime::<Utc>::from_timestamp_millis(millis).unwrap_or_default().with_timezone(&zone).naive_local()
}

/// The date in `zone`.
pub fn date(zone: Tz, time: Timestamp) -> NaiveDate {
    local(zone, time).date()
}

/// The first instant at which clocks in `zone` show `time`.
pub fn earliest(zone: Tz, time: NaiveDateTime) -> Timestamp {
    match zone.from_local_datetime(&time) {
        MappedLocalTime::Single(found) | MappedLocalTime::Ambiguous(found, _) => stamp(&found),
        MappedLocalTime::None => after_gap(zone, time),
    }
}

/// The last instant at which clocks in `zone` show `time`.
pub fn latest(zone: Tz, time: NaiveDateTime) -> Timestamp {
    match zone.from_local_datetime(&time) {
        MappedLocalTime::Single(found) | MappedLocalTime::Ambiguous(_, found) => stamp(&found),
        MappedLocalTime::None => after_gap(zone, time),
    }
}

fn stamp(time: &DateTime<Tz>) -> Timestamp {
    Timestamp::from_millis(time.timestamp_millis())
}

/// The first instant at which clocks show more than a time that they leave out.
fn after_gap(zone: Tz, time: NaiveDateTime) -> Timestamp {
    // No zone is, or skips, more than 26 hours off.
    let reach = 26 * 3600;
    let middle = time.and_utc().timestamp();
    let (mut before, mut after) = (middle - reach, middle + reach);
    while after - before > 1 {
        let probe = before + (after - before) / 2;
        if local(zone, Timestamp::from_secs(probe)) > time { after = probe } else { before = probe }
    }
    Timestamp::from_secs(after)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono_tz::{America, Europe, Pacific};
    use proptest::prelude::*;

    fn utc(text: &str) -> Timestamp {
        Timestamp::from_millis(text.parse::<DateTime<Utc>>().expect("a time").timestamp_millis())
    }

    fn at(text: &str) -> NaiveDateTime {
        text.parse().expect("a local time")
    }

    #[test]
    fn days_keep_the_time_of_day_across_changes_of_the_clocks() {
        for (start, days, end) in [
            // Paris: 28 March 2027, 02:00 becomes 03:00; 31 October 2027, 03:00 becomes 02:00.
            ("2027-03-27T11:00:00Z", 1, "2027-03-28T10:00:00Z"),
            ("2027-10-30T10:00:00Z", 1, "2027-10-31T11:00:00Z"),
            // 02:30 is left out: the first instant after the gap.
            ("2027-03-27T01:30:00Z", 1, "2027-03-28T01:00:00Z"),
            // 02:30 comes twice: the later one.
            ("2027-10-30T00:30:00Z", 1, "2027-10-31T01:30:00Z"),
        ] {
            assert_eq!(Period::of_days(days).after(Europe::Paris, utc(start)), utc(end), "{start}");
        }
    }

    #[test]
    fn months_and_years_end_on_days_that_exist() {
        for (start, years, months, end) in [
            ("2028-02-29T12:00:00Z", 1, 0, "2029-02-28T12:00:00Z"),
            ("2027-01-31T12:00:00Z", 0, 1, "2027-02-28T12:00:00Z"),
            ("2027-06-01T12:00:00Z", 1, 0, "2028-06-01T12:00:00Z"),
        ] {
            let period = Period { years, months, days: 0 };
            assert_eq!(period.after(Tz::UTC, utc(start)), utc(end), "{start}");
        }
    }

    #[test]
    fn local_times_that_do_not_exist_or_exist_twice() {
        let gap = at("2027-03-28T02:30:00");
        assert_eq!(earliest(Europe::Paris, gap), utc("2027-03-28T01:00:00Z"));
        assert_eq!(latest(Europe::Paris, gap), utc("2027-03-28T01:00:00Z"));
        let twice = at("2027-10-31T02:30:00");
        assert_eq!(earliest(Europe::Paris, twice), utc("2027-10-31T00:30:00Z"));
        assert_eq!(latest(Europe::Paris, twice), utc("2027-10-31T01:30:00Z"));
        // Midnight was left out in São Paulo, and a whole day on Samoa.
        assert_eq!(earliest(America::Sao_Paulo, at("2018-11-04T00:00:00")), utc("2018-11-04T03:00:00Z"));
        assert_eq!(earliest(Pacific::Apia, at("2011-12-30T12:00:00")), utc("2011-12-30T10:00:00Z"));
    }

    #[test]
    fn bounds_hold() {
        assert!(Period { years: 1_000, months: 12_000, days: 365_000 }.is_within_bounds());
        assert!(!Period::of_years(1_001).is_within_bounds());
        let far = Period { years: u32::MAX, months: u32::MAX, days: u32::MAX };
        for start in [i64::MIN, -1, 0, i64::MAX] {
            let start = Timestamp::from_millis(start);
            assert!(far.after(Pacific::Apia, start) >= start);
        }
    }

    proptest! {
        #[test]
        fn a_period_never_ends_before_it_begins(
            start in 0_i64..4_000_000_000_000, years in 0_u32..50, months in 0_u32..50, days in 0_u32..5000,
            zone in prop::sample::select(&chrono_tz::TZ_VARIANTS[..]),
        ) {
            let period = Period { years, months, days };
            let start = Timestamp::from_millis(start);
            let end = period.after(zone, start);
            prop_assert!(end >= start);
            let floor = i64::from(years) * 365 + i64::from(months) * 28 + i64::from(days);
            prop_assert!(end >= start.plus_millis((floor - 2) * 86_400_000));
        }
    }
}
