//! Names of courses that nothing else has.
//!
//! Moodle's rule (`restore_dbops::calculate_course_names`): both names get a suffix with the same counter, from 1 on,
//! until neither is taken; the name before it is cut so that the whole stays within 254 and 100 characters. What is
//! counted is odd and kept: the room that a suffix takes is counted in bytes, the rest in characters, so a suffix
//! with letters beyond ASCII takes more than it needs.

use crate::backup::Compatibility;

/// Characters of a full name.
pub const LONGEST_FULL_NAME: usize = 254;
/// Characters of a short name.
pub const LONGEST_SHORT_NAME: usize = 100;

/// The names that a course is to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WantedNames<'n> {
    /// Full name.
    pub full: &'n str,
    /// Short name.
    pub short: &'n str,
    /// Whether the full name will be written; false where the course keeps its own.
    pub writes_full: bool,
    /// Whether the short name will be written.
    pub writes_short: bool,
}

/// Names to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UniqueNames {
    /// Full name; none where the course keeps its own.
    pub full: Option<String>,
    /// Short name; none where the course keeps its own.
    pub short: Option<String>,
    /// The number in the suffixes; 0 for names without.
    pub counter: u64,
}

/// The wanted names, made unique. `copy` is the site's word for a copy (`copyasnoun`: `copy` in English), `is_full_taken`
/// and `is_short_taken` tell whether another course than the target has a name.
///
/// Moodle counts until both names are free, even if only one of them will be written; ours looks at the written ones.
/// Ends, since only finitely many names can be taken: one try more than there are taken names, at most.
pub fn unique_names(
    wanted: WantedNames<'_>,
    copy: &str,
    compatibility: Compatibility,
    is_full_taken: impl Fn(&str) -> bool,
    is_short_taken: impl Fn(&str) -> bool,
) -> UniqueNames {
    let follows_moodle = compatibility == Compatibility::Moodle;
    let mut counter = 0;
    loop {
        let (full_suffix, short_suffix) = match counter {
            0 => (String::new(), String::new()),
            _ => (format!(" {copy} {counter}"), format!("_{counter}")),
        };
        let full = with_suffix(wanted.full, &full_suffix, LONGEST_FULL_NAME);
        let short = with_suffix(wanted.short, &short_suffix, LONGEST_SHORT_NAME);
        let collides = (wanted.writes_full || follows_moodle) && is_full_taken(&full)
            || (wanted.writes_short || follows_moodle) && is_short_taken(&short);
        if !collides {
            return UniqueNames {
                full: wanted.writes_full.then_some(full),
                short: wanted.writes_short.then_some(short),
                counter,
            };
        }
        counter += 1;
    }
}

fn with_suffix(name: &str, suffix: &str, longest: usize) -> String {
    let room = longest.saturating_sub(suffix.len());
    name.chars().take(room).chain(suffix.chars()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn both<'n>(full: &'n str, short: &'n str) -> WantedNames<'n> {
        WantedNames { full, short, writes_full: true, writes_short: true }
    }

    fn made(
        wanted: WantedNames<'_>,
        fulls: &[&str],
        shorts: &[&str],
        compatibility: Compatibility,
    ) -> UniqueNames {
        unique_names(
            wanted,
            "copy",
            compatibility,
            |name| fulls.contains(&name),
            |name| shorts.contains(&name),
        )
    }

    #[test]
    fn names_are_made_as_moodle_makes_them() {
        for (fulls, shorts, full, short) in [
            (&[][..], &[][..], "Algebra", "ALG"),
            (&["Algebra"], &[], "Algebra copy 1", "ALG_1"),
            (&[], &["ALG"], "Algebra copy 1", "ALG_1"),
            (&["Algebra", "Algebra copy 1"], &["ALG"], "Algebra copy 2", "ALG_2"),
            (&["Algebra"], &["ALG_1", "ALG_2"], "Algebra copy 3", "ALG_3"),
            (&["algebra"], &["alg"], "Algebra", "ALG"),
        ] {
            let names = made(both("Algebra", "ALG"), fulls, shorts, Compatibility::Moodle);
            assert_eq!((names.full.as_deref(), names.short.as_deref()), (Some(full), Some(short)));
            assert_eq!(names, made(both("Algebra", "ALG"), fulls, shorts, Compatibility::Strict));
        }
    }

    #[test]
    fn a_copy_of_a_copy_gets_another_suffix() {
        let names = made(both("A copy 1", "A_1"), &["A copy 1"], &[], Compatibility::Moodle);
        assert_eq!(names.full.as_deref(), Some("A copy 1 copy 1"));
        assert_eq!(names.short.as_deref(), Some("A_1_1"));
    }

    #[test]
    fn long_names_are_cut_before_the_suffix() {
        let (long, cut) = ("é".repeat(300), "é".repeat(254));
        let names = made(both(&long, &long), &[&cut], &[], Compatibility::Moodle);
        assert_eq!(names.full, Some(format!("{} copy 1", "é".repeat(247))));
        assert_eq!(names.short, Some(format!("{}_1", "é".repeat(98))));
        // The room for a suffix is counted in bytes.
        let names =
            unique_names(both(&long, "x"), "kópia", Compatibility::Moodle, |name| name == cut, |_| false);
        assert_eq!(names.full, Some(format!("{} kópia 1", "é".repeat(254 - 9))));
    }

    #[test]
    fn a_name_that_is_not_written_counts_in_moodle_only() {
        let wanted = WantedNames { writes_full: false, ..both("Algebra", "ALG") };
        let moodle = made(wanted, &["Algebra"], &[], Compatibility::Moodle);
        assert_eq!((moodle.full, moodle.short.as_deref()), (None, Some("ALG_1")));
        let ours = made(wanted, &["Algebra"], &[], Compatibility::Strict);
        assert_eq!((ours.full, ours.short.as_deref(), ours.counter), (None, Some("ALG"), 0));
    }

    proptest! {
        #[test]
        fn names_are_free_short_enough_and_alike(
            full in "[aé]{0,3}", short in "[a_1]{0,3}", long in any::<bool>(), steps in 0_u64..12,
            others in proptest::collection::btree_set("[a_1]{0,3}", 0..8), moodle in any::<bool>(),
        ) {
            let full = if long { full.repeat(120) } else { full };
            let compatibility = if moodle { Compatibility::Moodle } else { Compatibility::Strict };
            // Takes the first names on the way, and some others.
            let mut fulls: BTreeSet<String> = BTreeSet::new();
            for _ in 0..steps {
                let names = unique_names(
                    both(&full, &short), "copy", compatibility,
                    |name| fulls.contains(name), |name| others.contains(name),
                );
                fulls.insert(names.full.expect("it is written"));
            }
            let names = unique_names(
                both(&full, &short), "copy", compatibility,
                |name| fulls.contains(name), |name| others.contains(name),
            );
            let (made_full, made_short) = (names.full.expect("written"), names.short.expect("written"));
            prop_assert!(!fulls.contains(&made_full) && !others.contains(&made_short));
            prop_assert!(made_full.chars().count() <= LONGEST_FULL_NAME);
            prop_assert!(made_short.chars().count() <= LONGEST_SHORT_NAME);
            prop_assert!(names.counter >= steps);
            if names.counter == 0 {
                prop_assert!(full.starts_with(&made_full) && short.starts_with(&made_short));
            } else {
                let ends = (format!(" copy {}", names.counter), format!("_{}", names.counter));
                let stem = made_full.strip_suffix(&ends.0);
                prop_assert!(stem.is_some_and(|stem| full.starts_with(stem)));
                let stem = made_short.strip_suffix(&ends.1);
                prop_assert!(stem.is_some_and(|stem| short.starts_with(stem)));
            }
        }
    }
}
