//! What an import of accounts changes.
//!
//! The whole import is decided before anything is written: each row is created, changes what is there, changes nothing or
//! is refused. Whatever is refused, the directory ends with one account per id and per name and host.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{FIRST_NEW_ID, Person, Unfit};

/// Why a row is refused. Ids are told; names are not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A field cannot be kept.
    Unfit(Unfit),
    /// Several rows of the import have this id.
    RepeatedId,
    /// Several rows of the import have this name and host.
    RepeatedName {
        /// The least id among the others.
        other: i64,
    },
    /// An account that the import leaves as it is has this name and host.
    NameTaken {
        /// Its id.
        holder: i64,
    },
    /// Ids from [`FIRST_NEW_ID`] on are given out by the service, and this one was not.
    ReservedId,
}

/// What becomes of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is a new account.
    Created,
    /// It changes the account of its id.
    Updated,
    /// The account of its id is like it.
    Unchanged,
    /// It is left out.
    Refused(Refusal),
}

/// What the directory has that an import may touch.
#[derive(Clone, Debug, Default)]
pub struct Existing {
    /// Accounts of the import's ids, by id.
    pub by_id: HashMap<i64, Person>,
    /// Ids of the accounts that have one of the import's names, by name and host.
    pub holders: HashMap<(String, i64), i64>,
}

/// Decides about every row, in their order.
///
/// An account that a restore made as a pseudonym stays one, whatever the row says.
pub fn plan_import(rows: &[Person], existing: &Existing) -> Vec<Fate> {
    let mut fates: Vec<Fate> = rows.iter().map(|row| alone(row, existing)).collect();
    refuse_repeated(rows, &mut fates);
    refuse_taken(rows, existing, &mut fates);
    fates
}

fn alone(row: &Person, existing: &Existing) -> Fate {
    if let Err(unfit) = row.check() {
        return Fate::Refused(Refusal::Unfit(unfit));
    }
    match existing.by_id.get(&row.id) {
        None if row.id >= FIRST_NEW_ID => Fate::Refused(Refusal::ReservedId),
        None => Fate::Created,
        Some(known) => {
            let is_alike = Person { is_pseudonym: known.is_pseudonym, ..row.clone() } == *known;
            if is_alike { Fate::Unchanged } else { Fate::Updated }
        }
    }
}

fn refuse_repeated(rows: &[Person], fates: &mut [Fate]) {
    let mut of_id: HashMap<i64, usize> = HashMap::new();
    let mut of_name: HashMap<(&str, i64), BTreeSet<i64>> = HashMap::new();
    for row in rows {
        *of_id.entry(row.id).or_default() += 1;
        of_name.entry((&row.username, row.host)).or_default().insert(row.id);
    }
    for (row, fate) in rows.iter().zip(fates) {
        if matches!(fate, Fate::Refused(_)) {
            continue;
        }
        if of_id.get(&row.id).is_some_and(|count| *count > 1) {
            *fate = Fate::Refused(Refusal::RepeatedId);
        } else if let Some(other) = of_name
            .get(&(row.username.as_str(), row.host))
            .and_then(|ids| ids.iter().find(|id| **id != row.id))
        {
            *fate = Fate::Refused(Refusal::RepeatedName { other: *other });
        }
    }
}

/// A name is free when nobody has it, or when its holder gets another one by the same import. A row that is refused leaves its
/// account's name where it is, so refusals can follow from refusals.
fn refuse_taken(rows: &[Person], existing: &Existing, fates: &mut [Fate]) {
    let row_of: BTreeMap<i64, usize> = rows.iter().enumerate().map(|(at, row)| (row.id, at)).collect();
    loop {
        let mut refused = Vec::new();
        for (at, row) in rows.iter().enumerate() {
            if matches!(fates[at], Fate::Refused(_)) {
                continue;
            }
            let holder = existing.holders.get(&(row.username.clone(), row.host));
            let Some(holder) = holder.filter(|holder| **holder != row.id) else { continue };
            // Two rows of one name were refused before, so a holder's own row has another name.
            let is_leaving = row_of.get(holder).is_some_and(|at| !matches!(fates[*at], Fate::Refused(_)));
            if !is_leaving {
                refused.push((at, *holder));
            }
        }
        if refused.is_empty() {
            return;
        }
        for (at, holder) in refused {
            fates[at] = Fate::Refused(Refusal::NameTaken { holder });
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::directory::OWN_HOST;

    fn person(id: i64, username: &str) -> Person {
        Person { id, username: username.into(), host: OWN_HOST, ..Person::default() }
    }

    fn existing(people: &[Person]) -> Existing {
        Existing {
            by_id: people.iter().map(|person| (person.id, person.clone())).collect(),
            holders: people
                .iter()
                .map(|person| ((person.username.clone(), person.host), person.id))
                .collect(),
        }
    }

    fn taken(holder: i64) -> Fate {
        Fate::Refused(Refusal::NameTaken { holder })
    }

    #[test]
    fn rows_are_created_changed_left_or_refused() {
        let there = existing(&[person(1, "a"), person(2, "b"), person(3, "c"), person(4, "d")]);
        let changed = Person { email: "x".into(), ..person(2, "b") };
        let elsewhere = Person { host: 2, ..person(7, "d") };
        let rows = [
            person(1, "a"),
            changed,
            person(5, "e"),
            person(6, "d"),
            elsewhere,
            person(8, "f"),
            person(8, "g"),
            person(9, "h"),
            person(10, "h"),
            person(FIRST_NEW_ID, "new"),
            person(11, ""),
        ];
        let refused = Fate::Refused;
        let unfit = Unfit { field: "user_name", message: "is required".into() };
        let expected = [
            Fate::Unchanged,
            Fate::Updated,
            Fate::Created,
            taken(4),
            Fate::Created,
            refused(Refusal::RepeatedId),
            refused(Refusal::RepeatedId),
            refused(Refusal::RepeatedName { other: 10 }),
            refused(Refusal::RepeatedName { other: 9 }),
            refused(Refusal::ReservedId),
            refused(Refusal::Unfit(unfit)),
        ];
        assert_eq!(plan_import(&rows, &there), expected);
    }

    #[test]
    fn names_change_hands_and_refusals_follow_from_refusals() {
        let there = existing(&[person(1, "a"), person(2, "b"), person(3, "c")]);
        // Each gets the next one's name, and the last one the first's.
        let around = [person(1, "b"), person(2, "c"), person(3, "a")];
        assert_eq!(plan_import(&around, &there), [Fate::Updated, Fate::Updated, Fate::Updated]);
        // The last one stays: nobody can move.
        let stuck = [person(1, "b"), person(2, "c"), person(9, "a")];
        assert_eq!(plan_import(&stuck, &there), [taken(2), taken(3), taken(1)]);
    }

    #[test]
    fn accounts_that_restores_made_can_be_imported() {
        let made = Person { is_pseudonym: true, ..person(FIRST_NEW_ID + 4, "p") };
        let there = existing(std::slice::from_ref(&made));
        let same = person(made.id, "p");
        assert_eq!(plan_import(std::slice::from_ref(&same), &there), [Fate::Unchanged]);
        let next = Person { id: made.id + 1, ..person(1, "q") };
        assert_eq!(plan_import(&[next], &there), [Fate::Refused(Refusal::ReservedId)]);
    }

    proptest! {
        #[test]
        fn ids_and_names_stay_unique(
            present in prop::collection::btree_map(1_i64..8, 0_u8..8, 0..8),
            rows in prop::collection::vec((1_i64..10, 0_u8..8), 0..10),
        ) {
            let name = |n: u8| format!("u{n}");
            let mut names = BTreeSet::new();
            let present: Vec<Person> = present.into_iter()
                .filter(|(_, n)| names.insert(*n)).map(|(id, n)| person(id, &name(n))).collect();
            let rows: Vec<Person> = rows.into_iter().map(|(id, n)| person(id, &name(n))).collect();
            let fates = plan_import(&rows, &existing(&present));
            let mut after: BTreeMap<i64, Person> = present.iter().map(|one| (one.id, one.clone())).collect();
            let mut written = 0;
            for (row, fate) in rows.iter().zip(&fates) {
                match fate {
                    Fate::Created => prop_assert!(after.insert(row.id, row.clone()).is_none()),
                    Fate::Updated => prop_assert!(after.insert(row.id, row.clone()).is_some()),
                    Fate::Unchanged => prop_assert_eq!(after.get(&row.id), Some(row)),
                    Fate::Refused(_) => continue,
                }
                written += 1;
            }
            let distinct: BTreeSet<_> = after.values().map(|one| (one.username.clone(), one.host)).collect();
            prop_assert_eq!(distinct.len(), after.len());
            // What is applied again changes nothing.
            let again: Vec<Person> = rows.iter().zip(&fates)
                .filter(|(_, fate)| !matches!(fate, Fate::Refused(_))).map(|(row, _)| row.clone()).collect();
            let again = plan_import(&again, &existing(&after.into_values().collect::<Vec<_>>()));
            prop_assert_eq!(again.iter().filter(|fate| **fate == Fate::Unchanged).count(), written);
        }
    }
}
