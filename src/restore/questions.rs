//! Which bank, category and entry of a course those of an archive are.
//!
//! Moodle's rule (`restore_dbops::prechek_precheck_qbanks_by_level`, `restore_find_best_target_context`,
//! `restore_create_categories_and_questions`): banks are placed as a whole; a category is the one of the same stamp in the
//! bank's new context. Its comparison of questions by stamp and version never succeeds for archives of Moodle 4 (the
//! cache that it asks has ids for keys). What decides instead is `process_question_bank_entry`: an entry is left
//! out, with all versions, if its category was matched and the site has an entry of *the same id in a category of the
//! same id as in the archive*. That is only right where the archive goes back into its own course; into another course
//! of the same site it lets a quiz use the questions of the first one.
//!
//! Ours compares contents: an entry is the one whose versions hold the same questions, by stamp and digest.

use std::collections::{BTreeMap, BTreeSet};

use crate::backup::Compatibility;

/// Level of the context that a question bank belongs to (`CONTEXT_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BankLevel {
    /// 10: the site.
    System,
    /// 40: a category of courses.
    CourseCategory,
    /// 50: the course.
    Course,
    /// 70: an activity.
    Module,
}

impl BankLevel {
    /// The level of that number.
    pub const fn from_number(number: i64) -> Option<Self> {
        match number {
            10 => Some(Self::System),
            40 => Some(Self::CourseCategory),
            50 => Some(Self::Course),
            70 => Some(Self::Module),
            _ => None,
        }
    }
}

/// Where a bank goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BankPlace {
    /// The site's bank.
    System,
    /// The bank of the category of courses with this context.
    CourseCategory(i64),
    /// The course's bank.
    Course {
        /// Whether it belongs further up, which deserves a warning.
        falls_back: bool,
    },
    /// The new activity's bank.
    Module,
    /// Nowhere: the restorer may not create what is missing.
    Refused,
}

/// Where a bank goes. `matching` are the contexts of the course's parent categories that have a category of one of the
/// bank's stamps; `misses` tells whether anything would have to be created there; `may_create` whether that is allowed
/// at the level itself, `may_create_in_course` in the course (`moodle/question:managecategory`, `moodle/question:add`).
pub fn place_bank(
    level: BankLevel,
    matching: &BTreeSet<i64>,
    misses: bool,
    may_create: bool,
    may_create_in_course: bool,
) -> BankPlace {
    let above = match (level, matching.first()) {
        (BankLevel::System, _) => Some(BankPlace::System),
        (BankLevel::CourseCategory, Some(only)) if matching.len() == 1 => {
            Some(BankPlace::CourseCategory(*only))
        }
        // Several would scatter the bank.
        (BankLevel::CourseCategory, _) => None,
        (BankLevel::Course | BankLevel::Module, _) => {
            let is_allowed = !misses || may_create_in_course;
            return match level {
                _ if !is_allowed => BankPlace::Refused,
                BankLevel::Module => BankPlace::Module,
                _ => BankPlace::Course { falls_back: false },
            };
        }
    };
    match above {
        Some(place) if !misses || may_create => place,
        _ if may_create_in_course => BankPlace::Course { falls_back: true },
        _ => BankPlace::Refused,
    }
}

/// What matching looks at in a category of questions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Category {
    /// Id where it comes from.
    pub id: i64,
    /// Id of the category above it; 0 for the top of a bank.
    pub parent: i64,
    /// What tells it from all others, wherever it is restored.
    pub stamp: String,
}

/// The category of a bank that a category of an archive is; none if it is created. The top of a bank is the top of the
/// other: Moodle finds it by stamp, and else takes the existing one in `process_question_category`. Of several equal
/// stamps, which only old archives have, the least id counts.
pub fn match_category(category: &Category, of_bank: &[Category]) -> Option<i64> {
    let least = |fits: &dyn Fn(&Category) -> bool| {
        of_bank.iter().filter(|other| fits(other)).map(|other| other.id).min()
    };
    if category.parent == 0 {
        return least(&|other| other.parent == 0);
    }
    least(&|other| other.parent != 0 && !category.stamp.is_empty() && other.stamp == category.stamp)
}

/// The question of one version of an entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Number of the version, from 1.
    pub number: i64,
    /// Stamp of the question; since Moodle 4 each version has its own.
    pub stamp: String,
    /// Digest of all that the question consists of, without ids.
    pub digest: [u8; 32],
}

/// An entry of a question bank.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Id where it comes from.
    pub id: i64,
    /// Id of its category, where it comes from.
    pub category: i64,
    /// Its versions.
    pub versions: Vec<Version>,
}

/// What becomes of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryDecision {
    /// It is that entry, which stays as it is.
    Match {
        /// Id of the course's entry.
        id: i64,
        /// For each version number of the archive that of the course.
        versions: BTreeMap<i64, i64>,
    },
    /// It is created with all its versions.
    Create,
    /// Moodle: it is left out, and whatever refers to it keeps the archive's id.
    LeaveOut,
}

/// Decides about an entry by its contents, over the entries of the category that its own was matched to.
///
/// An entry is the same if each version of the archive is one of the course's, by stamp and digest, in the same order; a
/// course may have newer ones besides. If the archive has one that the course's entry lacks, the whole entry is created:
/// to add a version would change every quiz that uses the newest. Several that fit: the least id.
pub fn match_entry(entry: &Entry, of_category: &[Entry]) -> EntryDecision {
    let mut fitting: Vec<(i64, BTreeMap<i64, i64>)> =
        of_category.iter().filter_map(|other| Some((other.id, versions(entry, other)?))).collect();
    fitting.sort_unstable_by_key(|(id, _)| *id);
    match fitting.into_iter().next() {
        Some((id, versions)) => EntryDecision::Match { id, versions },
        None => EntryDecision::Create,
    }
}

/// Each version of an entry in another one; none if one is missing, or if there are none at all.
fn versions(entry: &Entry, other: &Entry) -> Option<BTreeMap<i64, i64>> {
    let sorted = |entry: &Entry| {
        let mut versions = entry.versions.clone();
        versions.sort_unstable();
        versions
    };
    let there = sorted(other);
    let mut there = there.iter();
    let mut found = BTreeMap::new();
    for version in sorted(entry) {
        let same = |there: &&Version| there.stamp == version.stamp && there.digest == version.digest;
        found.insert(version.number, there.find(same)?.number);
    }
    (!found.is_empty()).then_some(found)
}

/// Decides about an entry, by its contents or as Moodle 4.4 does: `category_is_matched` tells whether its category was matched, not created,
/// `site_has` whether the site has an entry of that id in a category of that id.
pub fn decide_entry(
    entry: &Entry,
    category_is_matched: bool,
    site_has: impl Fn(i64, i64) -> bool,
    compatibility: Compatibility,
    of_category: &[Entry],
) -> EntryDecision {
    match compatibility {
        Compatibility::Strict if category_is_matched => match_entry(entry, of_category),
        Compatibility::Moodle if category_is_matched && site_has(entry.id, entry.category) => {
            EntryDecision::LeaveOut
        }
        _ => EntryDecision::Create,
    }
}

/// Ids of those that are above themselves, by the id above each; what lies below such a loop is not among them. Categories
/// and subsections of a hostile archive can be like that.
pub fn loops(above: &BTreeMap<i64, i64>) -> BTreeSet<i64> {
    let mut looping = BTreeSet::new();
    let mut seen: BTreeMap<i64, i64> = BTreeMap::new();
    for start in above.keys() {
        let mut at = *start;
        // Marks the way with its start, until it ends, or meets an earlier way, or itself.
        while let (false, Some(next)) = (seen.contains_key(&at), above.get(&at)) {
            seen.insert(at, *start);
            at = *next;
        }
        if seen.get(&at) == Some(start) {
            while looping.insert(at) {
                at = above.get(&at).copied().unwrap_or(at);
            }
        }
    }
    looping
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn banks_go_where_they_may() {
        use BankLevel::{Course, CourseCategory, Module, System};
        let course = |falls_back| BankPlace::Course { falls_back };
        for (level, matching, misses, may_create, in_course, expected) in [
            (System, &[][..], true, true, true, BankPlace::System),
            (System, &[], true, false, true, course(true)),
            (System, &[], false, false, false, BankPlace::System),
            (System, &[], true, false, false, BankPlace::Refused),
            (CourseCategory, &[7], true, true, true, BankPlace::CourseCategory(7)),
            (CourseCategory, &[7], false, false, false, BankPlace::CourseCategory(7)),
            (CourseCategory, &[7], true, false, true, course(true)),
            (CourseCategory, &[7, 8], false, true, true, course(true)),
            (CourseCategory, &[], true, true, true, course(true)),
            (CourseCategory, &[], true, true, false, BankPlace::Refused),
            (Course, &[], true, false, true, course(false)),
            (Course, &[], false, false, false, course(false)),
            (Course, &[], true, true, false, BankPlace::Refused),
            (Module, &[], true, false, true, BankPlace::Module),
            (Module, &[], true, true, false, BankPlace::Refused),
        ] {
            let matching = matching.iter().copied().collect();
            let place = place_bank(level, &matching, misses, may_create, in_course);
            assert_eq!(place, expected, "{level:?} {matching:?}");
        }
        let numbers = [10, 40, 50, 70].map(BankLevel::from_number);
        assert_eq!(numbers, [Some(System), Some(CourseCategory), Some(Course), Some(Module)]);
        assert_eq!(BankLevel::from_number(30), None);
    }

    #[test]
    fn categories_match_by_stamp_and_tops_by_being_tops() {
        let category = |id, parent, stamp: &str| Category { id, parent, stamp: stamp.to_owned() };
        let bank = [category(9, 0, "t"), category(7, 9, "a"), category(6, 9, "a"), category(5, 9, "")];
        for (parent, stamp, expected) in
            [(0, "other", Some(9)), (3, "a", Some(6)), (3, "b", None), (3, "t", None), (3, "", None)]
        {
            assert_eq!(match_category(&category(1, parent, stamp), &bank), expected, "{parent} {stamp}");
        }
        assert_eq!(match_category(&category(1, 0, "t"), &[]), None);
    }

    fn entry(id: i64, versions: &[(i64, &str, u8)]) -> Entry {
        let version = |(number, stamp, digest): &(i64, &str, u8)| Version {
            number: *number,
            stamp: (*stamp).to_owned(),
            digest: [*digest; 32],
        };
        Entry { id, category: 1, versions: versions.iter().map(version).collect() }
    }

    #[test]
    fn entries_match_by_the_contents_of_all_versions() {
        for (archive, course, expected) in [
            (&[(1, "a", 1)][..], &[(1, "a", 1)][..], Some(&[(1, 1)][..])),
            (&[(1, "a", 1)], &[(1, "a", 2)], None),
            (&[(1, "a", 1)], &[(1, "b", 1)], None),
            (&[(1, "a", 1)], &[(1, "a", 1), (2, "b", 2)], Some(&[(1, 1)])),
            (&[(1, "a", 1), (2, "b", 2)], &[(1, "a", 1)], None),
            (&[(2, "b", 2), (1, "a", 1)], &[(4, "b", 2), (3, "a", 1)], Some(&[(1, 3), (2, 4)])),
            (&[(1, "a", 1), (2, "b", 2)], &[(1, "b", 2), (2, "a", 1)], None),
            // The same question twice in a row stays two versions.
            (&[(1, "a", 1), (2, "a", 1)], &[(1, "a", 1)], None),
            (&[], &[], None),
        ] {
            let decision = match_entry(&entry(5, archive), &[entry(9, course)]);
            let expected = expected.map_or(EntryDecision::Create, |versions| EntryDecision::Match {
                id: 9,
                versions: versions.iter().copied().collect(),
            });
            assert_eq!(decision, expected, "{archive:?} {course:?}");
        }
        let twins = [entry(9, &[(1, "a", 1)]), entry(8, &[(1, "a", 1)])];
        let decision = match_entry(&entry(5, &[(1, "a", 1)]), &twins);
        assert!(matches!(decision, EntryDecision::Match { id: 8, .. }));
    }

    #[test]
    fn moodle_looks_at_the_ids_of_the_source() {
        let (moodle, strict) = (Compatibility::Moodle, Compatibility::Strict);
        let archive = entry(5, &[(1, "a", 1)]);
        let course = [entry(9, &[(1, "a", 1)])];
        for (compatibility, is_matched, site_has, expected) in [
            (moodle, true, true, EntryDecision::LeaveOut),
            (moodle, true, false, EntryDecision::Create),
            (moodle, false, true, EntryDecision::Create),
            (strict, true, false, match_entry(&archive, &course)),
            (strict, false, true, EntryDecision::Create),
        ] {
            let has = |id, category| site_has && (id, category) == (5, 1);
            let decision = decide_entry(&archive, is_matched, has, compatibility, &course);
            assert_eq!(decision, expected);
        }
    }

    proptest! {
        #[test]
        fn loops_are_found_and_nothing_else(above in proptest::collection::btree_map(0_i64..9, 0_i64..12, 0..9)) {
            let found = loops(&above);
            for start in above.keys() {
                let mut at = *start;
                let is_looping = (0..above.len()).any(|_| {
                    at = above.get(&at).copied().unwrap_or(-1);
                    at == *start
                });
                prop_assert_eq!(found.contains(start), is_looping, "{} in {:?}", start, above);
            }
        }

        #[test]
        fn a_restored_entry_is_found_again(
            versions in proptest::collection::vec((1_i64..5, "[ab]", 0_u8..3), 1..4), shift in 0_i64..3,
        ) {
            let archive = Entry {
                id: 1,
                category: 1,
                versions: versions
                    .iter()
                    .map(|(number, stamp, digest)| Version { number: *number, stamp: stamp.clone(), digest: [*digest; 32] })
                    .collect(),
            };
            let mut restored = Entry { id: 50, ..archive.clone() };
            for version in &mut restored.versions {
                version.number += shift;
            }
            let is_found = matches!(match_entry(&archive, &[restored]), EntryDecision::Match { id: 50, .. });
            prop_assert!(is_found);
        }
    }
}
