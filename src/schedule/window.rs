//! The window of a night, and each course's place in it.

use chrono::{Datelike, Days, NaiveDate, NaiveTime};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use crate::calendar;
use crate::clock::Timestamp;
use crate::digest::Digest;

/// Minutes of a day.
const DAY: u32 = 24 * 60;

/// Days of the week, as bits from Monday (1) to Sunday (64).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Weekdays(pub u8);

impl Weekdays {
    /// All seven.
    pub const ALL: Self = Self(0b111_1111);

    /// Whether a date falls on one of them.
    pub fn has(self, date: NaiveDate) -> bool {
        self.0 >> date.weekday().num_days_from_monday() & 1 == 1
    }
}

/// When on a day work may begin, by the clocks of a time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Its beginning, in minutes after midnight, below 1440.
    pub start_minute: u32,
    /// How long it is by the clocks, in minutes: 1 to 1440.
    pub minutes: u32,
    /// The days on which it begins.
    pub weekdays: Weekdays,
}

impl Default for Window {
    /// Every night from 1 to 5.
    fn default() -> Self {
        Self { start_minute: 60, minutes: 240, weekdays: Weekdays::ALL }
    }
}

/// From an instant to another one, which is not in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first instant.
    pub start: Timestamp,
    /// The first instant after it.
    pub end: Timestamp,
}

impl Window {
    /// What is wrong with it: field and reason.
    pub fn faults(&self) -> Vec<(&'static str, &'static str)> {
        let mut faults = Vec::new();
        if self.start_minute >= DAY {
            faults.push(("start_minute", "must be 0 to 1439"));
        }
        if !(1..=DAY).contains(&self.minutes) {
            faults.push(("minutes", "must be 1 to 1440"));
        }
        if self.weekdays.0 == 0 || self.weekdays.0 > Weekdays::ALL.0 {
            faults.push(("weekdays", "must name a day"));
        }
        faults
    }

    /// The window that begins on a date, if one does.
    ///
    /// A beginning that clocks leave out is the first instant after the gap; one that they show twice is the first of both,
    /// and an end that they show twice the second: a window comes once. A window that lies in the gap as a whole is as long
    /// as it would have been, after the gap. On a date that a zone leaves out there is none.
    pub fn on(&self, zone: Tz, date: NaiveDate) -> Option<Span> {
        if !self.weekdays.has(date) {
            return None;
        }
        let minute = self.start_minute.min(DAY - 1);
        let from = date.and_time(NaiveTime::from_num_seconds_from_midnight_opt(minute * 60, 0)?);
        let start = calendar::earliest(zone, from);
        if calendar::date(zone, start) != date {
            return None;
        }
        let length = chrono::TimeDelta::minutes(self.minutes.clamp(1, DAY).into());
        let end = calendar::latest(zone, from.checked_add_signed(length)?);
        let end = if end > start { end } else { start.plus_millis(length.num_milliseconds()) };
        Some(Span { start, end })
    }

    /// The first window of which `of` finds an instant after `after`, and that instant; each weekday is looked at at least
    /// once. `None`: the window is on no day.
    pub(super) fn first(
        &self,
        zone: Tz,
        after: Timestamp,
        of: impl Fn(Span) -> Timestamp,
    ) -> Option<Timestamp> {
        // A window that began on the day before may not have ended; and a zone may leave a day out.
        let today = calendar::date(zone, after);
        let first = today.checked_sub_days(Days::new(2))?;
        let instants = first.iter_days().take(18).filter_map(|date| self.on(zone, date)).map(of);
        instants.filter(|instant| *instant > after).min()
    }
}

/// A course's place in a window: the same every night, and spread evenly over courses. `seed` stands for the course.
pub fn place(seed: &str, span: Span) -> Timestamp {
    let digest = Digest::of(seed.as_bytes());
    let number = digest.0.iter().take(4).fold(0_i64, |number, byte| number << 8 | i64::from(*byte));
    let length = span.end.millis() - span.start.millis();
    // 32 bits times the milliseconds of some two days stay below 2^63.
    span.start.plus_millis((length * number) >> 32)
}
