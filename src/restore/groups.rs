//! Which group of a course a group of an archive is; groupings follow the same rule.
//!
//! Moodle's rule (`restore_groups_structure_step::process_group`, `process_grouping`): the same name and, if the archive's
//! group has a description, the same description. Neither the id number nor visibility or participation is looked at. A
//! new one loses its id number if another of the course has it, or the restorer may not set it.
//!
//! Ours differs, each for a reason:
//! * the same name *and* the same id number, which is not empty, match whatever the description says: it is an address,
//!   and the description a text that people improve;
//! * descriptions are compared without the difference of CR LF and LF: Moodle writes one and reads the other, so that
//!   a second merge doubles the group;
//! * groups that both have id numbers, but different ones, do not match;
//! * a group whose members fewer people may see is not merged into one that more may see, for that would show them.

use serde::{Deserialize, Serialize};

use crate::backup::Compatibility;

/// Who sees the members of a group (`GROUPS_VISIBILITY_*`), the most open first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Visibility {
    /// 0: everyone. That of groupings, and of groups from before Moodle 4.2, which do not tell.
    #[default]
    All,
    /// 1: its members.
    Members,
    /// 2: each member himself.
    Own,
    /// 3: nobody but who manages groups.
    None,
}

impl Visibility {
    /// The visibility of that number. An unknown one counts as the most closed.
    pub const fn from_number(number: i64) -> Self {
        match number {
            0 => Self::All,
            1 => Self::Members,
            2 => Self::Own,
            _ => Self::None,
        }
    }
}

/// What matching looks at in a group or a grouping.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// Id where it comes from.
    pub id: i64,
    /// Name.
    pub name: String,
    /// Id number; empty for none.
    pub id_number: String,
    /// Description; empty for none.
    pub description: String,
    /// Who sees its members.
    pub visibility: Visibility,
}

/// What becomes of a group of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupDecision {
    /// It is this group of the course, which stays as it is; members are added.
    Match {
        /// Id of the course's group.
        id: i64,
    },
    /// It is created.
    Create {
        /// Whether it keeps its id number.
        keeps_id_number: bool,
    },
}

/// Decides about one group, or one grouping, over those of the course, including those that this restore created before.
/// `may_number` tells whether id numbers may be set (`moodle/course:changeidnumber`). Of several that fit, one with the
/// same id number is taken before others, then the least id.
pub fn match_group(
    group: &Group,
    of_course: &[Group],
    may_number: bool,
    compatibility: Compatibility,
) -> GroupDecision {
    let fits = |other: &&Group| match compatibility {
        Compatibility::Moodle => {
            other.name == group.name
                && (is_empty_in_php(&group.description) || other.description == group.description)
        }
        Compatibility::Strict => is_ours(group, other),
    };
    let has_number =
        |other: &Group| compatibility == Compatibility::Strict && other.id_number == group.id_number;
    let found = of_course.iter().filter(fits).min_by_key(|other| (!has_number(other), other.id));
    match found {
        Some(other) => GroupDecision::Match { id: other.id },
        None => {
            let is_taken = of_course.iter().any(|other| other.id_number == group.id_number);
            let keeps_id_number = may_number && !group.id_number.is_empty() && !is_taken;
            GroupDecision::Create { keeps_id_number }
        }
    }
}

fn is_ours(group: &Group, other: &Group) -> bool {
    let shows_no_more = other.visibility >= group.visibility;
    let both_numbered = !group.id_number.is_empty() && !other.id_number.is_empty();
    let is_described = || {
        group.description.is_empty()
            || group.description.replace("\r\n", "\n") == other.description.replace("\r\n", "\n")
    };
    shows_no_more
        && group.name == other.name
        && if both_numbered { group.id_number == other.id_number } else { is_described() }
}

/// What PHP calls empty: also the text `0`.
pub(super) fn is_empty_in_php(text: &str) -> bool {
    text.is_empty() || text == "0"
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    fn group(id: i64, name: &str, id_number: &str, description: &str, visibility: Visibility) -> Group {
        let [name, id_number, description] = [name, id_number, description].map(str::to_owned);
        Group { id, name, id_number, description, visibility }
    }

    #[test]
    fn groups_match_by_moodles_rule_and_by_ours() {
        use GroupDecision::{Create, Match};
        use Visibility::{All, Members, None as Nobody};
        let (new, without) = (Create { keeps_id_number: true }, Create { keeps_id_number: false });
        // What the archive's group A has, what the course has, Moodle's decision and ours.
        for (archive, course, moodle, ours) in [
            (("", "", All), vec![], without.clone(), without.clone()),
            (("N", "", All), vec![], new.clone(), new.clone()),
            (("", "", All), vec![("A", "", "", All)], Match { id: 1 }, Match { id: 1 }),
            (("", "", All), vec![("a", "", "", All)], without.clone(), without.clone()),
            // An empty description fits any; another than the course's fits none.
            (("", "", All), vec![("A", "", "text", All)], Match { id: 1 }, Match { id: 1 }),
            (("", "text", All), vec![("A", "", "", All)], without.clone(), without.clone()),
            (("", "0", All), vec![("A", "", "", All)], Match { id: 1 }, without.clone()),
            (("", "x\ny", All), vec![("A", "", "x\r\ny", All)], without.clone(), Match { id: 1 }),
            // Id numbers.
            (("N", "new", All), vec![("A", "N", "old", All)], without.clone(), Match { id: 1 }),
            (("N", "", All), vec![("A", "M", "", All)], Match { id: 1 }, new),
            (("N", "", All), vec![("B", "N", "", All)], without.clone(), without.clone()),
            (
                ("N", "", All),
                vec![("A", "", "", All), ("A", "N", "x", All)],
                Match { id: 1 },
                Match { id: 2 },
            ),
            (("N", "", All), vec![("A", "", "", All)], Match { id: 1 }, Match { id: 1 }),
            // Visibility.
            (("", "", Members), vec![("A", "", "", All)], Match { id: 1 }, without.clone()),
            (("", "", Members), vec![("A", "", "", Nobody)], Match { id: 1 }, Match { id: 1 }),
            (
                ("", "", Nobody),
                vec![("A", "", "", All), ("A", "", "", Nobody)],
                Match { id: 1 },
                Match { id: 2 },
            ),
        ] {
            let (number, description, visibility) = archive;
            let archive = group(9, "A", number, description, visibility);
            let of_course: Vec<Group> = course
                .iter()
                .zip(1..)
                .map(|((name, number, description, visibility), id)| {
                    group(id, name, number, description, *visibility)
                })
                .collect();
            let what = format!("{archive:?} into {of_course:?}");
            assert_eq!(match_group(&archive, &of_course, true, Compatibility::Moodle), moodle, "{what}");
            assert_eq!(match_group(&archive, &of_course, true, Compatibility::Strict), ours, "{what}");
        }
        let numbered = group(9, "A", "N", "", All);
        assert_eq!(match_group(&numbered, &[], false, Compatibility::Strict), without);
    }

    fn some_group() -> impl Strategy<Value = Group> {
        let texts = || select(vec!["", "x", "x\r\ny", "x\ny", "0"]);
        (1_i64..6, select(vec!["A", "B"]), select(vec!["", "N", "M"]), texts(), 0_i64..4).prop_map(
            |(id, name, id_number, description, visibility)| {
                group(id, name, id_number, description, Visibility::from_number(visibility))
            },
        )
    }

    proptest! {
        #[test]
        fn merging_again_matches_and_order_changes_nothing(
            archive in some_group(), of_course in proptest::collection::vec(some_group(), 0..5),
        ) {
            let mut of_course = of_course;
            of_course.sort_by_key(|group| group.id);
            of_course.dedup_by_key(|group| group.id);
            let strict = Compatibility::Strict;
            let decision = match_group(&archive, &of_course, true, strict);
            let turned: Vec<Group> = of_course.iter().rev().cloned().collect();
            prop_assert_eq!(&decision, &match_group(&archive, &turned, true, strict));
            if let GroupDecision::Create { keeps_id_number } = decision {
                let mut made = Group { id: 100, ..archive.clone() };
                if !keeps_id_number {
                    made.id_number.clear();
                }
                // A reader of XML turns CR LF into LF.
                made.description = made.description.replace("\r\n", "\n");
                of_course.push(made);
                let again = match_group(&archive, &of_course, true, strict);
                prop_assert_eq!(again, GroupDecision::Match { id: 100 });
            }
        }

        #[test]
        fn members_are_shown_to_nobody_more(
            archive in some_group(), of_course in proptest::collection::vec(some_group(), 0..5),
        ) {
            if let GroupDecision::Match { id } = match_group(&archive, &of_course, true, Compatibility::Strict) {
                let shown = of_course.iter().find(|group| group.id == id).map(|group| group.visibility);
                prop_assert!(of_course.iter().filter(|group| group.id == id).count() > 1 || shown >= Some(archive.visibility));
            }
        }
    }
}
