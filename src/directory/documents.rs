//! What a directory learns from an archive's documents.

use std::io::BufRead;

use super::{OWN_HOST, Person, SiteRole};
use crate::format::xml::XmlError;
use crate::limits::Limits;
use crate::moodle::{Row, each_row};
use crate::restore::users::ArchiveUser;

/// Most people that one archive makes known: a bound on memory. A course of 10 000 participants is large.
pub const MOST_PEOPLE: usize = 100_000;

/// Most roles that one archive makes known.
const MOST_ROLES: usize = 1000;

/// The people in an archive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct People {
    /// Those that a directory can keep.
    pub people: Vec<Person>,
    /// How many are left out: of other hosts, anonymous, more than [`MOST_PEOPLE`], or with fields that no platform has.
    pub left_out: u64,
}

/// Reads `users.xml` of an archive from the platform at `own_url`.
///
/// Users of other network hosts are left out: the number of their host is not in the archive. So is whoever looks like
/// somebody of an anonymised backup, for under that name and id there is nobody.
///
/// # Errors
///
/// [`XmlError`], which names the place.
pub fn users_of(input: impl BufRead, limits: &Limits, own_url: &str) -> Result<People, XmlError> {
    const FIELDS: [&str; 9] = [
        "username",
        "idnumber",
        "email",
        "firstname",
        "lastname",
        "firstaccess",
        "deleted",
        "auth",
        "mnethosturl",
    ];
    let mut found = People::default();
    each_row(input, limits, &["users", "user"], &FIELDS, |mut row| {
        let is_own = row.fields[8].is_empty() || row.fields[8] == own_url;
        let person = person(&mut row);
        if is_own && found.people.len() < MOST_PEOPLE && !is_anonymous(&person) && person.check().is_ok() {
            found.people.push(person);
        } else {
            found.left_out += 1;
        }
    })?;
    Ok(found)
}

fn person(row: &mut Row) -> Person {
    let (first_access, is_deleted) = (row.number(5).max(0), row.number(6) != 0);
    Person {
        id: row.id.unwrap_or_default(),
        username: row.text(0),
        host: OWN_HOST,
        email: row.text(2),
        id_number: row.text(1),
        first_name: row.text(3),
        last_name: row.text(4),
        first_access,
        is_deleted,
        auth: row.text(7),
        is_pseudonym: false,
    }
}

fn is_anonymous(person: &Person) -> bool {
    let user = ArchiveUser {
        username: person.username.clone(),
        email: person.email.clone(),
        first_name: person.first_name.clone(),
        last_name: person.last_name.clone(),
        ..ArchiveUser::default()
    };
    user.is_anonymous()
}

/// Reads `roles.xml` of an archive. Roles that no platform has are passed over.
///
/// # Errors
///
/// [`XmlError`], which names the place.
pub fn roles_of(input: impl BufRead, limits: &Limits) -> Result<Vec<SiteRole>, XmlError> {
    let mut roles: Vec<SiteRole> = Vec::new();
    each_row(
        input,
        limits,
        &["roles_definition", "role"],
        &["shortname", "archetype", "name"],
        |mut row| {
            let role = SiteRole {
                id: row.id.unwrap_or_default(),
                short_name: row.text(0),
                archetype: row.text(1),
                name: row.text(2),
            };
            let is_new =
                !roles.iter().any(|other| other.id == role.id || other.short_name == role.short_name);
            if roles.len() < MOST_ROLES && is_new && role.check().is_ok() {
                roles.push(role);
            }
        },
    )?;
    Ok(roles)
}

/// Reads the id number out of `course/course.xml`; empty for none.
///
/// # Errors
///
/// [`XmlError`], which names the place.
pub fn course_id_number_of(input: impl BufRead, limits: &Limits) -> Result<String, XmlError> {
    let mut found = String::new();
    each_row(input, limits, &["course"], &["idnumber"], |mut row| found = row.text(0))?;
    // The platform's own column has 100 characters; a row of ours must not carry more.
    Ok(found.chars().filter(|letter| !letter.is_control()).take(255).collect())
}

/// Where a course stands on its platform.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// The platform's id of its category; empty when the document does not tell it.
    pub category: String,
    /// Whether it is hidden.
    pub hidden: bool,
}

/// Reads where a course stands out of `course/course.xml`, which is opened for each of two passes.
///
/// # Errors
///
/// [`XmlError`], which names the place.
pub fn placement_of<R: BufRead>(
    open: impl Fn() -> std::io::Result<R>,
    limits: &Limits,
) -> Result<Placement, XmlError> {
    let mut found = Placement::default();
    each_row(open().map_err(XmlError::Input)?, limits, &["course"], &["visible"], |row| {
        found.hidden = row.fields[0].trim() == "0";
    })?;
    each_row(open().map_err(XmlError::Input)?, limits, &["course", "category"], &[], |row| {
        found.category = row.id.map(|id| id.to_string()).unwrap_or_default();
    })?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_read_and_others_left_out() {
        let user = |id: &str, username: &str, more: &str| {
            format!("<user id=\"{id}\"><username>{username}</username><deleted>0</deleted>{more}</user>")
        };
        let anonymous = "<firstname>anonfirstname2</firstname><lastname>anonlastname2</lastname>\
            <email>anon2@doesntexist.invalid</email>";
        let text = [
            "<users>".to_owned(),
            user(
                "3",
                "zoe",
                "<email>z@x</email><idnumber>I</idnumber><firstaccess>5</firstaccess><auth>cas</auth>",
            ),
            user("4", "own", "<mnethosturl>https://a</mnethosturl>"),
            user("5", "remote", "<mnethosturl>https://b</mnethosturl>"),
            user("6", "anon2", anonymous),
            user("x", "nobody", ""),
            user("7", "", ""),
            user("8", "gone", "<deleted>1</deleted><firstname>$@NULL@$</firstname>"),
            "</users>".to_owned(),
        ]
        .concat();
        let found = users_of(text.as_bytes(), &Limits::default(), "https://a").unwrap();
        let ids: Vec<(i64, bool)> = found.people.iter().map(|one| (one.id, one.is_deleted)).collect();
        assert_eq!((ids, found.left_out), (vec![(3, false), (4, false), (8, true)], 4));
        let zoe = Person {
            id: 3,
            username: "zoe".into(),
            host: OWN_HOST,
            email: "z@x".into(),
            id_number: "I".into(),
            first_access: 5,
            auth: "cas".into(),
            ..Person::default()
        };
        assert_eq!(found.people[0], zoe);
    }

    #[test]
    fn the_placement_of_a_course_is_read() {
        let told = |text: &'static str| {
            let found = placement_of(|| Ok(text.as_bytes()), &Limits::default()).unwrap();
            (found.category, found.hidden)
        };
        let whole =
            "<course id=\"5\"><visible>0</visible><category id=\"12\"><name>A</name></category></course>";
        assert_eq!(told(whole), ("12".to_owned(), true));
        assert_eq!(told("<course id=\"5\"><visible>1</visible></course>"), (String::new(), false));
        assert_eq!(told("<course/>"), (String::new(), false));
    }

    #[test]
    fn roles_are_read_once() {
        let text = "<roles_definition><role id=\"5\"><shortname>student</shortname><archetype>student</archetype>\
            <name></name></role><role id=\"5\"><shortname>x</shortname></role><role id=\"6\"><shortname>student</shortname>\
            </role><role id=\"9\"><shortname>auditor</shortname><archetype>$@NULL@$</archetype></role></roles_definition>";
        let roles = roles_of(text.as_bytes(), &Limits::default()).unwrap();
        assert_eq!(roles.iter().map(|role| role.id).collect::<Vec<_>>(), [5, 9]);
        assert_eq!(roles[1].archetype, "");
    }
}
