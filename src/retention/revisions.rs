//! Which revisions of a course are kept.

use crate::clock::Timestamp;

/// A revision, as the decision sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revision {
    /// Its number.
    pub number: i64,
    /// Number of the one before.
    pub parent: Option<i64>,
    /// Whether a restore made it, which can be undone.
    pub is_restore: bool,
    /// When it was made.
    pub create_time: Timestamp,
}

/// The numbers of those that are not kept, oldest first: neither among the newest `keep`, nor a restore that was made since
/// `undo_since` or what was there before it. The newest is always kept.
pub fn prunable(revisions: &[Revision], keep: usize, undo_since: Timestamp) -> Vec<i64> {
    let mut newest: Vec<&Revision> = revisions.iter().collect();
    newest.sort_unstable_by_key(|revision| std::cmp::Reverse(revision.number));
    let can_be_undone = |revision: &&Revision| revision.is_restore && revision.create_time >= undo_since;
    let needed: Vec<i64> = revisions
        .iter()
        .filter(can_be_undone)
        .flat_map(|one| [Some(one.number), one.parent])
        .flatten()
        .collect();
    let old = newest.iter().skip(keep.max(1)).map(|revision| revision.number);
    let mut gone: Vec<i64> = old.filter(|number| !needed.contains(number)).collect();
    gone.reverse();
    gone
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn revision(number: i64, is_restore: bool, day: i64) -> Revision {
        let create_time = Timestamp::from_secs(day * 86_400);
        Revision { number, parent: (number > 1).then(|| number - 1), is_restore, create_time }
    }

    #[test]
    fn the_newest_stay_and_what_an_undo_needs() {
        let all: Vec<_> = (1..=15).map(|n| revision(n, n == 4, n)).collect();
        assert_eq!(prunable(&all, 10, Timestamp::from_secs(0)), [1, 2, 5]);
        assert_eq!(prunable(&all, 10, Timestamp::from_secs(5 * 86_400)), [1, 2, 3, 4, 5]);
        assert_eq!(prunable(&all, 0, Timestamp::from_secs(5 * 86_400)).last(), Some(&14));
        assert_eq!(prunable(&all[..3], 10, Timestamp::from_secs(0)), [0; 0]);
    }

    proptest! {
        #[test]
        fn nothing_needed_goes_and_doing_it_again_changes_nothing(
            restores in prop::collection::vec(any::<bool>(), 1..40), keep in 0_usize..12, since in 0_i64..40,
        ) {
            let all: Vec<_> = restores.iter().zip(1..).map(|(is_restore, n)| revision(n, *is_restore, n)).collect();
            let since = Timestamp::from_secs(since * 86_400);
            let gone = prunable(&all, keep, since);
            let left: Vec<_> = all.iter().filter(|revision| !gone.contains(&revision.number)).copied().collect();
            prop_assert!(left.len() >= keep.max(1).min(all.len()));
            for revision in left.iter().filter(|revision| revision.is_restore && revision.create_time >= since) {
                prop_assert!(revision.parent.is_none_or(|parent| !gone.contains(&parent)));
            }
            prop_assert_eq!(prunable(&left, keep, since), Vec::<i64>::new());
        }
    }
}
