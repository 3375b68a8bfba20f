//! `users`: who the server knows on a site.

use std::io::Read as _;

use anyhow::Context;
use futures::stream;
use serde_json::json;

use super::args::{UserAction, UserFilter};
use super::client::{Server, request_id};
use super::csv;
use super::failure::Usage;
use super::output::Output;
use super::paging::{self, PAGE};
use super::table::{Column, Table};
use super::words::{rows, word};
use super::{json, units};
use crate::proto::import_users_request::Part;
use crate::proto::{self, User};

/// Rows in one message.
const ROWS: usize = 2000;

/// Rows in one import: as many as the server takes.
const ROWS_OF_IMPORT: usize = 100_000;

/// `users`.
pub async fn run(server: &Server, action: &UserAction, output: Output) -> anyhow::Result<()> {
    match action {
        UserAction::Import { file, dry_run } => import(server, file, *dry_run, output).await,
        UserAction::Ls(filter) => list(server, filter, output).await,
    }
}

async fn import(server: &Server, file: &str, validate_only: bool, output: Output) -> anyhow::Result<()> {
    let mut text = String::new();
    if file == "-" {
        std::io::stdin().read_to_string(&mut text).context("standard input cannot be read")?;
    } else {
        text = std::fs::read_to_string(file).map_err(|error| Usage(format!("{file}: {error}")))?;
    }
    let users = users(&text).map_err(|error| Usage(format!("{file}: {error}")))?;
    let told = send(server, &users, validate_only).await?;
    if output.is_json() {
        return Ok(output.document(&json::value(&told)?)?);
    }
    output.text(&self::rows(&[
        ("created", told.created_count.to_string()),
        ("updated", told.updated_count.to_string()),
        ("unchanged", told.unchanged_count.to_string()),
        ("refused", told.refused_count.to_string()),
    ]))?;
    if told.refused.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(&[
        ("ROW", Column::Number),
        ("USER", Column::Number),
        ("WHY", Column::Whole),
        ("FIELD", Column::Whole),
        ("", Column::Text),
    ]);
    for row in &told.refused {
        table.row([
            row.row.to_string(),
            row.user_id.to_string(),
            word(row.reason().as_str_name(), "REASON_"),
            row.field.clone(),
            row.message.clone(),
        ]);
    }
    Ok(output.table(&table)?)
}

/// Sends all users, in as many imports as the server wants, and gives what it told of all of them.
async fn send(
    server: &Server,
    users: &[User],
    validate_only: bool,
) -> anyhow::Result<proto::ImportUsersResponse> {
    let mut all = proto::ImportUsersResponse::default();
    let mut before = 0;
    for users in users.chunks(ROWS_OF_IMPORT) {
        let header = proto::ImportUsersHeader {
            parent: server.site_name(),
            validate_only,
            request_id: if validate_only { String::new() } else { request_id() },
        };
        let rows =
            users.chunks(ROWS).map(|users| Part::Rows(proto::ImportUsersRows { users: users.to_vec() }));
        let messages: Vec<proto::ImportUsersRequest> = std::iter::once(Part::Header(header))
            .chain(rows)
            .map(|part| proto::ImportUsersRequest { part: Some(part) })
            .collect();
        let told = server.admin().import_users(stream::iter(messages)).await?.into_inner();
        all.created_count += told.created_count;
        all.updated_count += told.updated_count;
        all.unchanged_count += told.unchanged_count;
        all.refused_count += told.refused_count;
        all.refused
            .extend(told.refused.into_iter().map(|row| proto::RefusedUser { row: row.row + before, ..row }));
        before += i64::try_from(users.len())?;
    }
    Ok(all)
}

/// A column that is understood: the field's own name, then the platform's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Id,
    UserName,
    Host,
    Email,
    IdNumber,
    FirstName,
    LastName,
    FirstAccess,
    Deleted,
    Auth,
}

impl Field {
    fn of(heading: &str) -> Option<Self> {
        let heading: String = heading.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect();
        Some(match heading.as_str() {
            "id" | "userid" => Self::Id,
            "username" => Self::UserName,
            "hostid" | "mnethostid" => Self::Host,
            "email" => Self::Email,
            "idnumber" => Self::IdNumber,
            "firstname" => Self::FirstName,
            "lastname" => Self::LastName,
            "firstaccess" | "firstaccesstime" => Self::FirstAccess,
            "deleted" => Self::Deleted,
            "auth" => Self::Auth,
            _ => return None,
        })
    }

    fn set(self, user: &mut User, text: String) -> Result<(), String> {
        let number = |text: &str| match text.trim() {
            "" => Ok(0),
            text => text.parse::<i64>().map_err(|_| "is no whole number".to_owned()),
        };
        match self {
            Self::Id => user.user_id = number(&text)?,
            Self::UserName => user.user_name = text,
            Self::Host => user.host_id = number(&text)?,
            Self::Email => user.email = text,
            Self::IdNumber => user.id_number = text,
            Self::FirstName => user.first_name = text,
            Self::LastName => user.last_name = text,
            Self::FirstAccess => {
                let seconds = number(&text)?;
                user.first_access_time =
                    (seconds != 0).then_some(prost_types::Timestamp { seconds, nanos: 0 });
            }
            Self::Deleted => {
                user.deleted = match text.trim() {
                    "" | "0" | "false" => false,
                    "1" | "true" => true,
                    _ => return Err("is neither 0 nor 1".to_owned()),
                }
            }
            Self::Auth => user.auth = text,
        }
        Ok(())
    }
}

/// The users of a table: columns by their headings, those that are not known passed over. Values are not quoted in what is told.
fn users(text: &str) -> Result<Vec<User>, String> {
    let mut records = csv::records(text).map_err(|error| error.to_string())?.into_iter();
    let (_, headings) = records.next().ok_or("has no line with headings")?;
    let fields: Vec<Option<Field>> = headings.iter().map(|heading| Field::of(heading)).collect();
    for needed in [Field::Id, Field::UserName] {
        match fields.iter().filter(|field| **field == Some(needed)).count() {
            1 => {}
            0 => return Err("needs the columns id and username".to_owned()),
            _ => return Err("has two columns of one heading".to_owned()),
        }
    }
    let user = |(line, record): csv::Record| {
        if record.len() != fields.len() {
            return Err(format!("line {line}: has {} fields, not {}", record.len(), fields.len()));
        }
        let mut user = User::default();
        for ((field, text), heading) in fields.iter().zip(record).zip(&headings) {
            let Some(field) = field else { continue };
            field.set(&mut user, text).map_err(|what| format!("line {line}: {heading} {what}"))?;
        }
        Ok(user)
    };
    records.map(user).collect()
}

async fn list(server: &Server, filter: &UserFilter, output: Output) -> anyhow::Result<()> {
    let users = paging::all(async |page_token| {
        let request = proto::ListUsersRequest {
            parent: server.site_name(),
            page_size: PAGE,
            page_token,
            user_name: filter.name.clone(),
            email: filter.email.clone(),
            id_number: filter.id_number.clone(),
            show_deleted: filter.deleted,
            ..Default::default()
        };
        let page = server.admin().list_users(request).await?.into_inner();
        Ok((page.users, page.next_page_token))
    })
    .await?;
    if output.is_json() {
        return Ok(output.document(&json!({ "users": json::values(&users)? }))?);
    }
    let mut table = Table::new(&[
        ("USER", Column::Number),
        ("USER NAME", Column::Text),
        ("FIRST NAME", Column::Text),
        ("LAST NAME", Column::Text),
        ("EMAIL", Column::Text),
        ("ID NUMBER", Column::Text),
        ("FROM", Column::Whole),
        ("CHANGED", Column::Whole),
        ("", Column::Whole),
    ]);
    for user in &users {
        let special =
            [(user.deleted, "deleted"), (user.pseudonym, "pseudonym"), (user.host_id != 1, "remote")];
        let special: Vec<_> = special.into_iter().filter_map(|(is, word)| is.then_some(word)).collect();
        table.row([
            user.user_id.to_string(),
            user.user_name.clone(),
            user.first_name.clone(),
            user.last_name.clone(),
            user.email.clone(),
            user.id_number.clone(),
            word(user.source().as_str_name(), "SOURCE_"),
            units::time(user.update_time.as_ref()),
            special.join(", "),
        ]);
    }
    Ok(output.table(&table)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_read_by_their_headings() {
        let text = "ID;User name;email;city;first_access;deleted\n3;zoe;z@x;Orléans;17;1\n4;ann;;;;\n";
        let zoe = User {
            user_id: 3,
            user_name: "zoe".into(),
            email: "z@x".into(),
            first_access_time: Some(prost_types::Timestamp { seconds: 17, nanos: 0 }),
            deleted: true,
            ..User::default()
        };
        let ann = User { user_id: 4, user_name: "ann".into(), ..User::default() };
        assert_eq!(users(text), Ok(vec![zoe, ann]));
    }

    #[test]
    fn what_cannot_be_read_is_told_without_names() {
        for (text, expected) in [
            ("", "has no line with headings"),
            ("id,email\n", "needs the columns id and username"),
            ("id,userid,username\n", "has two columns of one heading"),
            ("id,username\n1,a\n2\n", "line 3: has 1 fields, not 2"),
            ("id,username\nzoe,zoe\n", "line 2: id is no whole number"),
            ("id,username,deleted\n1,zoe,yes\n", "line 2: deleted is neither 0 nor 1"),
        ] {
            assert_eq!(users(text), Err(expected.to_owned()), "{text}");
        }
    }
}
