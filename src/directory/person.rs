//! An account as a site's directory keeps it.

use serde::{Deserialize, Serialize};

use crate::restore::users::Account;

/// The first id that the service gives out itself, for accounts and everything else: far beyond what a platform's
/// sequences reach, and within what every reader of numbers keeps exactly.
pub const FIRST_NEW_ID: i64 = 1_000_000_000_000;

/// The number of the site itself among network hosts (`mnet_localhost_id` of every platform that was set up as usual).
pub const OWN_HOST: i64 = 1;

/// The highest id there may be, 2^53 − 1: readers that take numbers for doubles keep them exactly.
pub const HIGHEST_ID: i64 = (1 << 53) - 1;

/// Characters of a user name, an address, a first and a last name: the platform's own columns.
const NAME: usize = 100;
/// Characters of an id number.
const ID_NUMBER: usize = 255;
/// Characters of an authentication method's name.
const AUTH: usize = 50;

/// An account of a site.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Person {
    /// Its id on the platform, or one that the service gave out.
    pub id: i64,
    /// Name to log in with; unique together with the host.
    pub username: String,
    /// The network host it comes from; [`OWN_HOST`] for the site itself.
    pub host: i64,
    /// Address; of a deleted account the MD5 of its name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub email: String,
    /// The institution's own number of the person.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id_number: String,
    /// First name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub first_name: String,
    /// Last name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub last_name: String,
    /// First access in seconds since 1970; 0 for never.
    #[serde(skip_serializing_if = "is_zero")]
    pub first_access: i64,
    /// Whether the platform deleted it.
    #[serde(skip_serializing_if = "is_false")]
    pub is_deleted: bool,
    /// How it logs in, such as `manual`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub auth: String,
    /// Whether a restore made it for somebody whose name it does not tell.
    #[serde(skip_serializing_if = "is_false")]
    pub is_pseudonym: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde wants")]
const fn is_zero(value: &i64) -> bool {
    *value == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde wants")]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// Only the id: whatever is printed may come into a log.
impl std::fmt::Debug for Person {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Person").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Why something cannot be an account of a directory: the field, and what it must be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} {message}")]
pub struct Unfit {
    /// The field, as the messages of the service name it.
    pub field: &'static str,
    /// What it must be. Does not quote the value.
    pub message: String,
}

impl Person {
    /// Whether it can be kept.
    ///
    /// # Errors
    ///
    /// [`Unfit`] for the first field that cannot.
    pub fn check(&self) -> Result<(), Unfit> {
        let unfit = |field, message: String| Err(Unfit { field, message });
        if !(1..=HIGHEST_ID).contains(&self.id) {
            return unfit("user_id", format!("must be from 1 to {HIGHEST_ID}"));
        }
        if self.host < 1 {
            return unfit("host_id", "must be positive".to_owned());
        }
        if self.first_access < 0 {
            return unfit("first_access_time", "must not be before 1970".to_owned());
        }
        if self.username.is_empty() {
            return unfit("user_name", "is required".to_owned());
        }
        for (field, text, most) in [
            ("user_name", &self.username, NAME),
            ("email", &self.email, NAME),
            ("id_number", &self.id_number, ID_NUMBER),
            ("first_name", &self.first_name, NAME),
            ("last_name", &self.last_name, NAME),
            ("auth", &self.auth, AUTH),
        ] {
            if text.chars().count() > most {
                return unfit(field, format!("must have at most {most} characters"));
            }
            if text.chars().any(char::is_control) {
                return unfit(field, "must not have control characters".to_owned());
            }
        }
        Ok(())
    }

    /// This one with what it lacks from the other, if that fills anything. Only fields that are empty here.
    #[must_use]
    pub fn filled(&self, other: &Self) -> Option<Self> {
        let mut filled = self.clone();
        for (mine, theirs) in [
            (&mut filled.email, &other.email),
            (&mut filled.id_number, &other.id_number),
            (&mut filled.first_name, &other.first_name),
            (&mut filled.last_name, &other.last_name),
            (&mut filled.auth, &other.auth),
        ] {
            if mine.is_empty() {
                mine.clone_from(theirs);
            }
        }
        if filled.first_access == 0 {
            filled.first_access = other.first_access;
        }
        (filled != *self).then_some(filled)
    }
}

/// What matching looks at.
impl From<Person> for Account {
    fn from(person: Person) -> Self {
        Self {
            id: person.id,
            username: person.username,
            email: person.email,
            first_access: person.first_access,
            is_deleted: person.is_deleted,
            host: person.host,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ann() -> Person {
        Person { id: 5, username: "ann".into(), host: OWN_HOST, ..Person::default() }
    }

    #[test]
    fn what_cannot_be_kept_is_told_by_its_field() {
        assert_eq!(ann().check(), Ok(()));
        type Change = fn(&mut Person);
        let cases: [(&str, Change); 9] = [
            ("user_id", |person| person.id = 0),
            ("user_id", |person| person.id = i64::MAX),
            ("host_id", |person| person.host = 0),
            ("first_access_time", |person| person.first_access = -1),
            ("user_name", |person| person.username.clear()),
            ("user_name", |person| person.username = "é".repeat(101)),
            ("email", |person| person.email = "a\0b".into()),
            ("id_number", |person| person.id_number = "1".repeat(256)),
            ("auth", |person| person.auth = "x".repeat(51)),
        ];
        for (field, change) in cases {
            let mut person = ann();
            change(&mut person);
            assert_eq!(person.check().map_err(|unfit| unfit.field), Err(field));
        }
    }

    #[test]
    fn only_what_is_empty_is_filled() {
        let known = Person { email: "ann@x.org".into(), ..ann() };
        let told = Person { email: "other@x.org".into(), id_number: "7".into(), first_access: 9, ..ann() };
        let filled = known.filled(&told);
        let expected = Person { id_number: "7".into(), first_access: 9, ..known.clone() };
        assert_eq!(filled.as_ref(), Some(&expected));
        assert_eq!(expected.filled(&told), None);
        assert_eq!(known.filled(&ann()), None);
    }

    #[test]
    fn people_do_not_show_in_what_is_printed() {
        let person = Person { email: "ann@x.org".into(), first_name: "Ann".into(), ..ann() };
        assert_eq!(format!("{person:?}"), "Person { id: 5, .. }");
    }
}
