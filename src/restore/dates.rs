//! By how much the dates of a restored course move.
//!
//! Moodle moves what is configured, not what people did (`restore_step::apply_date_offset`, after MDL-9367): every
//! non-zero date that a step passes to it gets the offset. Which dates these are the format descriptions say. Two kinds
//! that no step passes move as well: dates in availability conditions, by the same offset (`restore_update_availability`),
//! and, against the rule, two times of people in badges (`dateissued`, `datemet` in `restore_badges_structure_step`).

use super::course_choice::{CourseStart, CourseValue};
use crate::clock::Timestamp;

/// Seconds by which the dates move: 0 unless both the archive's course has a start date, and the restore has one.
///
/// `of_course` is the start date of the target before the restore; none for a new course, or one without. `start` is the
/// decision on `course_startdate`; none where the setting does not exist (restores of sections and activities, MDL-25019).
/// Times count in whole seconds, as in Moodle. A start date before 1970 counts: only 0 is none.
pub fn date_offset(
    of_archive: Option<Timestamp>,
    of_course: Option<Timestamp>,
    start: Option<&CourseStart>,
) -> i64 {
    let wanted = match start {
        None => None,
        Some(CourseValue::OfArchive) => of_archive,
        Some(CourseValue::OfCourse) => of_course,
        Some(CourseValue::Given(time)) => Some(*time),
    };
    let seconds = |time: Option<Timestamp>| time.map(Timestamp::secs).filter(|seconds| *seconds != 0);
    match (seconds(of_archive), seconds(wanted)) {
        (Some(original), Some(wanted)) => wanted.saturating_sub(original),
        _ => 0,
    }
}

pub use crate::format::moved;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn at(seconds: i64) -> Option<Timestamp> {
        Some(Timestamp::from_secs(seconds))
    }

    #[test]
    fn offsets_follow_moodles_cases() {
        let given = |seconds| Some(CourseValue::Given(Timestamp::from_secs(seconds)));
        for (of_archive, of_course, start, offset) in [
            (at(1000), at(5000), None, 0),
            (at(1000), at(5000), Some(CourseValue::OfArchive), 0),
            (at(1000), at(5000), Some(CourseValue::OfCourse), 4000),
            (at(5000), at(1000), Some(CourseValue::OfCourse), -4000),
            (at(1000), at(5000), given(1500), 500),
            // Without a date on either side nothing moves.
            (None, at(5000), Some(CourseValue::OfCourse), 0),
            (at(0), at(5000), given(1500), 0),
            (at(1000), None, Some(CourseValue::OfCourse), 0),
            (at(1000), at(0), Some(CourseValue::OfCourse), 0),
            (at(1000), at(5000), given(0), 0),
            // Whole seconds.
            (Some(Timestamp::from_millis(1999)), None, given(3), 2),
        ] {
            assert_eq!(date_offset(of_archive, of_course, start.as_ref()), offset, "{start:?}");
        }
    }

    #[test]
    fn dates_move_and_none_stays_none() {
        for (date, offset, expected) in [
            (0, 500, 0),
            (100, 0, 100),
            (100, 50, 150),
            (100, -100, 1),
            (100, -200, -100),
            (i64::MAX, 1, i64::MAX),
        ] {
            assert_eq!(moved(date, offset), expected);
        }
    }

    proptest! {
        #[test]
        fn distances_between_dates_stay(first in 1_i64..1 << 40, second in 1_i64..1 << 40, offset in 0_i64..1 << 40) {
            prop_assert_eq!(moved(second, offset) - moved(first, offset), second - first);
            prop_assert_eq!(moved(moved(first, offset), -offset), first);
        }
    }
}
