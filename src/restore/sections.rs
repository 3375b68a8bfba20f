//! Which section of a course a section of an archive is, what it changes there, and where activities go.
//!
//! Moodle's rule (`restore_section_structure_step::process_section`): the section of the same number. One that is not
//! there is created with all that the archive tells; of one that is there the name is set if it has none, and the summary
//! with its format and files if it has none. Its visibility and availability stay; its time of change becomes the
//! archive's, even an older one. Options of the course format are added where format and name are equal and the section
//! has none (`process_course_format_options`).
//!
//! Sections that belong to a component (subsections, since Moodle 4.5; the 4.4 that the facts are from has none) are ours
//! to rule: they are never found by number, for theirs follow from what was created before, but always created, after
//! the last one. Without their owner, which is an activity, they become ordinary sections, lest nothing leads to them.

use std::collections::BTreeMap;

use super::groups::is_empty_in_php;
use crate::backup::Compatibility;

/// What of an archive's section decides about its place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ArchiveSection {
    /// Number of the section in its course.
    pub number: i64,
    /// Component that the section belongs to, such as `mod_subsection`; empty for none.
    pub component: String,
    /// Whether the activity that it belongs to is restored, too.
    pub owner_is_restored: bool,
}

/// A section of the course.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CourseSection {
    /// Id on the site.
    pub id: i64,
    /// Name; empty for none.
    pub name: String,
    /// Summary; empty for none.
    pub summary: String,
    /// Whether it belongs to a component.
    pub is_delegated: bool,
}

/// What becomes of a section of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SectionDecision {
    /// It is that one.
    Match {
        /// Id of the course's section.
        id: i64,
        /// Whether it takes the archive's name.
        takes_name: bool,
        /// Whether it takes the archive's summary, with its format and files.
        takes_summary: bool,
    },
    /// It is created with all that the archive tells.
    Create {
        /// Number of the new section.
        number: i64,
        /// Whether it belongs to its component still.
        is_delegated: bool,
    },
}

/// Decides about one section, over those of the course by number, including those that this restore created before.
///
/// Moodle takes the summary `0` for none.
pub fn match_section(
    section: &ArchiveSection,
    of_course: &BTreeMap<i64, CourseSection>,
    compatibility: Compatibility,
) -> SectionDecision {
    let last = of_course.keys().next_back().copied();
    let after_all = last.map_or(section.number, |last| last.saturating_add(1));
    if !section.component.is_empty() {
        return SectionDecision::Create { number: after_all, is_delegated: section.owner_is_restored };
    }
    match of_course.get(&section.number) {
        // A subsection's number is no place of its own: an ordinary section goes behind it.
        Some(there) if there.is_delegated => {
            SectionDecision::Create { number: after_all, is_delegated: false }
        }
        Some(there) => SectionDecision::Match {
            id: there.id,
            takes_name: there.name.is_empty(),
            takes_summary: match compatibility {
                Compatibility::Moodle => is_empty_in_php(&there.summary),
                Compatibility::Strict => there.summary.is_empty(),
            },
        },
        None => SectionDecision::Create { number: section.number, is_delegated: false },
    }
}

/// The section that an activity goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActivityPlace {
    /// At the end of this section.
    Section(i64),
    /// The course has no section: number 0 and number 1 are created, and it goes to number 1.
    First,
}

/// Where an activity goes (`restore_module_structure_step::process_module`): to what its section became; if that was not
/// restored, to the section of its number; else to the first one. The first one is that of the least id in Moodle, which
/// says nothing of its place; ours is that of the least number.
pub fn place_activity(
    mapped: Option<i64>,
    number: i64,
    of_course: &BTreeMap<i64, CourseSection>,
    compatibility: Compatibility,
) -> ActivityPlace {
    let by_number = || of_course.get(&number).map(|section| section.id);
    let first = || match compatibility {
        Compatibility::Moodle => of_course.values().map(|section| section.id).min(),
        Compatibility::Strict => of_course.values().next().map(|section| section.id),
    };
    mapped.or_else(by_number).or_else(first).map_or(ActivityPlace::First, ActivityPlace::Section)
}

/// Whether an option of a course format is taken over: the formats are equal and the section has none of that name.
pub fn takes_format_option(option_format: &str, course_format: &str, has_option: bool) -> bool {
    option_format == course_format && !has_option
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sections(of_course: &[(i64, i64, &str, &str, bool)]) -> BTreeMap<i64, CourseSection> {
        let section = |(number, id, name, summary, is_delegated): &(i64, i64, &str, &str, bool)| {
            let (name, summary) = ((*name).to_owned(), (*summary).to_owned());
            (*number, CourseSection { id: *id, name, summary, is_delegated: *is_delegated })
        };
        of_course.iter().map(section).collect()
    }

    #[test]
    fn sections_match_by_number_and_fill_what_is_empty() {
        use SectionDecision::{Create, Match};
        let course = sections(&[
            (0, 50, "", "", false),
            (1, 40, "Name", "", false),
            (2, 30, "", "Text", false),
            (3, 20, "0", "0", false),
            (4, 10, "", "", true),
        ]);
        let matched = |id, takes_name, takes_summary| Match { id, takes_name, takes_summary };
        let new = |number| Create { number, is_delegated: false };
        for (number, moodle, ours) in [
            (0, matched(50, true, true), None),
            (1, matched(40, false, true), None),
            (2, matched(30, true, false), None),
            (3, matched(20, false, true), Some(matched(20, false, false))),
            (4, new(5), None),
            (7, new(7), None),
        ] {
            let section = ArchiveSection { number, ..ArchiveSection::default() };
            assert_eq!(match_section(&section, &course, Compatibility::Moodle), moodle, "{number}");
            let ours = ours.unwrap_or(moodle);
            assert_eq!(match_section(&section, &course, Compatibility::Strict), ours, "{number}");
        }
        for (owner_is_restored, number, of_course, at) in
            [(true, 1, &course, 5), (false, 9, &course, 5), (true, 3, &BTreeMap::new(), 3)]
        {
            let component = "mod_subsection".to_owned();
            let section = ArchiveSection { number, component, owner_is_restored };
            let expected = Create { number: at, is_delegated: owner_is_restored };
            assert_eq!(match_section(&section, of_course, Compatibility::Strict), expected);
        }
    }

    #[test]
    fn activities_follow_their_section_or_its_number_or_come_first() {
        use ActivityPlace::{First, Section};
        let course = sections(&[(0, 50, "", "", false), (1, 40, "", "", false)]);
        for (mapped, number, moodle, ours) in [
            (Some(7), 1, Section(7), Section(7)),
            (None, 1, Section(40), Section(40)),
            (None, 9, Section(40), Section(50)),
        ] {
            assert_eq!(place_activity(mapped, number, &course, Compatibility::Moodle), moodle);
            assert_eq!(place_activity(mapped, number, &course, Compatibility::Strict), ours);
        }
        assert_eq!(place_activity(None, 1, &BTreeMap::new(), Compatibility::Strict), First);
    }

    #[test]
    fn options_are_taken_where_none_is() {
        for (format, has_option, expected) in
            [("topics", false, true), ("topics", true, false), ("weeks", false, false)]
        {
            assert_eq!(takes_format_option(format, "topics", has_option), expected);
        }
    }

    proptest! {
        #[test]
        fn new_sections_get_free_numbers(
            numbers in proptest::collection::btree_map(0_i64..6, any::<bool>(), 0..6),
            number in 0_i64..8, is_delegated in any::<bool>(), owner_is_restored in any::<bool>(),
        ) {
            let course: BTreeMap<i64, CourseSection> = numbers
                .into_iter()
                .map(|(number, is_delegated)| (number, CourseSection { id: number + 1, is_delegated, ..CourseSection::default() }))
                .collect();
            let component = if is_delegated { "mod_subsection".to_owned() } else { String::new() };
            let section = ArchiveSection { number, component, owner_is_restored };
            match match_section(&section, &course, Compatibility::Strict) {
                SectionDecision::Create { number, is_delegated: still } => {
                    prop_assert!(!course.contains_key(&number));
                    prop_assert_eq!(still, is_delegated && owner_is_restored);
                }
                SectionDecision::Match { id, .. } => {
                    prop_assert!(!is_delegated);
                    prop_assert!(course.get(&number).is_some_and(|there| there.id == id && !there.is_delegated));
                }
            }
        }
    }
}
