//! Nights on which clocks are changed, and what holds for any schedule.

use chrono::{Days, NaiveDate};
use chrono_tz::{America, Europe, Pacific, Tz};
use proptest::prelude::*;

use super::*;
use crate::clock::Timestamp;

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

fn utc(text: &str) -> Timestamp {
    Timestamp::from_millis(text.parse::<chrono::DateTime<chrono::Utc>>().expect("a time").timestamp_millis())
}

fn day(text: &str) -> NaiveDate {
    text.parse().expect("a date")
}

fn window(start_minute: u32, minutes: u32) -> Window {
    Window { start_minute, minutes, weekdays: Weekdays::ALL }
}

#[test]
fn windows_where_clocks_are_changed() {
    let cases = [
        // An ordinary night from 1 to 5, a short and a long one.
        (
            Europe::Paris,
            "2027-06-01",
            window(60, 240),
            Some(("2027-05-31T23:00:00Z", "2027-06-01T03:00:00Z")),
        ),
        (
            Europe::Paris,
            "2027-03-28",
            window(60, 240),
            Some(("2027-03-28T00:00:00Z", "2027-03-28T03:00:00Z")),
        ),
        (
            Europe::Paris,
            "2027-10-31",
            window(60, 240),
            Some(("2027-10-30T23:00:00Z", "2027-10-31T04:00:00Z")),
        ),
        // Begins where clocks leave an hour out.
        (
            Europe::Paris,
            "2027-03-28",
            window(150, 60),
            Some(("2027-03-28T01:00:00Z", "2027-03-28T01:30:00Z")),
        ),
        // Lies there as a whole: as long as it would have been.
        (
            Europe::Paris,
            "2027-03-28",
            window(130, 30),
            Some(("2027-03-28T01:00:00Z", "2027-03-28T01:30:00Z")),
        ),
        // Lies in the hour that comes twice: once, from its first beginning to its last end.
        (
            Europe::Paris,
            "2027-10-31",
            window(130, 30),
            Some(("2027-10-31T00:10:00Z", "2027-10-31T01:40:00Z")),
        ),
        // Over midnight, and over a midnight that does not exist.
        (
            Europe::Paris,
            "2027-06-01",
            window(1380, 120),
            Some(("2027-06-01T21:00:00Z", "2027-06-01T23:00:00Z")),
        ),
        (
            America::Sao_Paulo,
            "2018-11-04",
            window(0, 90),
            Some(("2018-11-04T03:00:00Z", "2018-11-04T03:30:00Z")),
        ),
        // A day that does not exist.
        (Pacific::Apia, "2011-12-30", window(60, 240), None),
    ];
    for (zone, date, window, expected) in cases {
        let span = window.on(zone, day(date));
        let expected = expected.map(|(start, end)| Span { start: utc(start), end: utc(end) });
        assert_eq!(span, expected, "{zone} {date} {window:?}");
    }
    let sundays = Window { weekdays: Weekdays(64), ..Window::default() };
    assert!(
        sundays.on(Tz::UTC, day("2027-03-28")).is_some() && sundays.on(Tz::UTC, day("2027-03-29")).is_none()
    );
}

#[test]
fn missed_nights_are_made_up_for_once_and_not_too_late() {
    let schedule = Schedule { catch_up_minutes: 720, ..Schedule::default() };
    let at = |due: &str, now: &str, running| turn(&schedule, Tz::UTC, "c", Some(utc(due)), utc(now), running);
    let place = |date: &str| schedule.next(Tz::UTC, "c", utc(date)).expect("a due time");
    let next = place("2027-01-11T00:00:00Z");
    let due = place("2027-01-10T00:00:00Z");
    // In the window, in the morning after, and after ten nights away.
    for (was, now) in [
        ("2027-01-10T01:00:00Z", "2027-01-10T04:59:00Z"),
        ("2027-01-10T01:00:00Z", "2027-01-10T11:00:00Z"),
        ("2027-01-01T01:00:00Z", "2027-01-10T11:00:00Z"),
        ("2020-01-01T01:00:00Z", "2027-01-10T11:00:00Z"),
    ] {
        let Some(Turn::Now { due: told, next: after }) = at(was, now, false) else { panic!("{was} {now}") };
        assert_eq!((told.max(due), after), (due, next), "{was} {now}");
    }
    assert_eq!(at("2027-01-02T01:00:00Z", "2027-01-10T20:00:00Z", false), Some(Turn::LeftOut { due, next }));
    // The run before has not ended.
    assert_eq!(at("2027-01-02T01:00:00Z", "2027-01-10T11:00:00Z", true), Some(Turn::LeftOut { due, next }));
    let waiting = Schedule { overlap: Overlap::Wait, ..schedule };
    let told = turn(&waiting, Tz::UTC, "c", Some(due), utc("2027-01-10T06:00:00Z"), true);
    assert_eq!(told, Some(Turn::Waits { due }));
    let never = Schedule { catch_up_minutes: 0, ..schedule };
    let told = turn(&never, Tz::UTC, "c", Some(due), utc("2027-01-10T05:00:00Z"), false);
    assert_eq!(told, Some(Turn::LeftOut { due, next }));
}

#[test]
fn courses_without_anything_to_back_up() {
    let now = utc("2027-03-01T02:00:00Z");
    let ago = |days: i64| now.plus_millis(-days * DAY);
    let last = |days, outcome| Some(LastRun { start: ago(days), outcome });
    let moodle = SkipRules { hidden: true, unmodified_days: 30, unchanged: false };
    let ours = SkipRules::default();
    let facts = |modified, last| Facts { hidden: false, modified: ago(modified), last };
    for (rules, facts, expected) in [
        (ours, facts(3, None), None),
        (ours, facts(1, last(2, RunOutcome::Good)), None),
        (ours, facts(3, last(2, RunOutcome::Good)), Some(Skip::Unchanged)),
        (ours, facts(3, last(2, RunOutcome::Skipped)), Some(Skip::Unchanged)),
        (ours, facts(3, last(2, RunOutcome::Failed)), None),
        (ours, Facts { hidden: true, ..facts(1, None) }, None),
        (moodle, Facts { hidden: true, ..facts(1, None) }, Some(Skip::Hidden)),
        (moodle, facts(31, None), None),
        (moodle, facts(31, last(2, RunOutcome::Good)), Some(Skip::Unmodified)),
        (moodle, facts(31, last(2, RunOutcome::Failed)), None),
        (moodle, facts(29, last(2, RunOutcome::Good)), None),
    ] {
        assert_eq!(skip(&rules, &facts, now), expected, "{rules:?} {facts:?}");
    }
}

#[test]
fn faults_are_told() {
    let schedule = Schedule {
        window: Window { start_minute: 1440, minutes: 0, weekdays: Weekdays(0) },
        catch_up_minutes: 10_081,
        ..Schedule::default()
    };
    assert_eq!(schedule.faults().len(), 4);
    assert!(Schedule::default().faults().is_empty());
}

fn schedules() -> impl Strategy<Value = Schedule> {
    (0_u32..1440, 1_u32..=1440, 1_u8..128, prop::sample::select(Overlap::ALL), 0_u32..=10_080).prop_map(
        |(start_minute, minutes, weekdays, overlap, catch_up_minutes)| Schedule {
            window: Window { start_minute, minutes, weekdays: Weekdays(weekdays) },
            overlap,
            catch_up_minutes,
        },
    )
}

proptest! {
    #[test]
    fn no_window_is_empty_and_each_course_has_its_place_in_it(
        schedule in schedules(), zone in prop::sample::select(&chrono_tz::TZ_VARIANTS[..]),
        days in 0_u64..20_000, seed in "[a-z]{1,8}",
    ) {
        let date = day("1990-01-01").checked_add_days(Days::new(days)).expect("a date");
        if let Some(span) = schedule.window.on(zone, date) {
            prop_assert!(span.start < span.end);
            prop_assert!(span.end.millis() - span.start.millis() <= 52 * HOUR);
            let at = place(&seed, span);
            prop_assert!(span.start <= at && at < span.end);
            prop_assert_eq!(at, place(&seed, span));
        }
    }

    #[test]
    fn due_times_move_forward_and_one_turn_makes_up_for_all(
        schedule in schedules(), zone in prop::sample::select(&chrono_tz::TZ_VARIANTS[..]),
        start in 600_000_i64..1_900_000_000, seed in "[a-z]{1,4}", away in 0_i64..2000, running: bool,
    ) {
        let due = schedule.next(zone, &seed, Timestamp::from_secs(start)).expect("a due time");
        prop_assert!(due > Timestamp::from_secs(start));
        let now = due.plus_millis(away * HOUR / 2);
        match turn(&schedule, zone, &seed, Some(due), now, running).expect("a turn") {
            Turn::Later { .. } => prop_assert!(false, "it is due"),
            Turn::Now { due: told, next } => {
                prop_assert!(!running && told >= due && told <= now && next > now);
                // What was made up for does not come again.
                let again = turn(&schedule, zone, &seed, Some(next), now, false);
                prop_assert_eq!(again, Some(Turn::Later { next }));
            }
            Turn::LeftOut { due: told, next } => prop_assert!(told >= due && told <= now && next > now),
            Turn::Waits { due: told } => prop_assert!(running && told >= due && told <= now),
        }
    }

    #[test]
    fn failed_courses_are_not_skipped_for_want_of_change(
        days in 0_u32..100, unchanged: bool, modified in 0_i64..1000, start in 0_i64..1000,
    ) {
        let now = Timestamp::from_secs(1000 * 86_400);
        let rules = SkipRules { hidden: true, unmodified_days: days, unchanged };
        let last = Some(LastRun { start: Timestamp::from_secs(start * 86_400), outcome: RunOutcome::Failed });
        let facts = Facts { hidden: false, modified: Timestamp::from_secs(modified * 86_400), last };
        prop_assert_eq!(skip(&rules, &facts, now), None);
    }
}

#[test]
fn courses_are_spread_over_the_window() {
    let span = Span { start: Timestamp::from_secs(0), end: Timestamp::from_secs(4 * 3600) };
    let mut hours = [0; 4];
    for course in 0..1000 {
        let at = place(&format!("sites/main/courses/c-{course}"), span);
        hours[usize::try_from(at.secs() / 3600).expect("an hour")] += 1;
    }
    assert!(hours.iter().all(|count| (200..300).contains(count)), "{hours:?}");
}
