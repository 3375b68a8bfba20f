//! The calls of AdminService about accounts and roles.

use std::pin::Pin;

use futures::{Stream, StreamExt};
use prost::Message;
use prost_types::Timestamp as WireTime;
use tonic::{Request, Status, Streaming};

use super::convert::{self, name};
use super::intake::{IDLE, within};
use super::paging::Page;
use super::{auth, call, call_of, searched};
use crate::catalog::{AccountQuery, AccountRow, RoleRow};
use crate::directory::{OWN_HOST, Person, SiteRole, Source};
use crate::engine::{Engine, Error, Imported, MOST_ROWS, WhyRefused};
use crate::ids::{SiteId, SiteName, UserName};
use crate::proto::import_users_request::Part;
use crate::proto::*;
use crate::reason::Reason;

/// Most accounts that one call forgets.
const MOST_NAMES: usize = 1000;

type Rows = Pin<Box<dyn Stream<Item = Result<ImportUsersRequest, Status>> + Send>>;

pub async fn import_users(
    engine: &Engine,
    request: Request<Streaming<ImportUsersRequest>>,
) -> Result<ImportUsersResponse, Error> {
    let principal = auth::principal(&request)?;
    let mut parts: Rows = Box::pin(request.into_inner());
    let mut digest = blake3::Hasher::new();
    let Some(Part::Header(header)) = next(&mut parts, &mut digest).await? else {
        return Err(Error::new(Reason::UploadProtocol, "the first message must be the header"));
    };
    let SiteName(site) = name("header.parent", &header.parent)?;
    auth::reach(&principal, &site)?;
    let mut people = Vec::new();
    while let Some(part) = next(&mut parts, &mut digest).await? {
        let Part::Rows(rows) = part else {
            return Err(Error::new(Reason::UploadProtocol, "after the header come rows"));
        };
        if people.len() + rows.users.len() > MOST_ROWS {
            let message = format!("one import has at most {MOST_ROWS} rows");
            return Err(Error::new(Reason::LimitImportRows, message).with("limit", &MOST_ROWS));
        }
        people.extend(rows.users.into_iter().map(person));
    }
    let body = crate::digest::Digest(*digest.finalize().as_bytes());
    let call = call_of(principal, "ImportUsers", &header.request_id, body)
        .map_err(|error| error.within("header"))?;
    let import = || engine.import_users(&call, &site, &people, header.validate_only);
    Ok(imported(&engine.once(&call, import).await?))
}

/// The next message of an import. `None`: the caller ended the stream.
async fn next(parts: &mut Rows, digest: &mut blake3::Hasher) -> Result<Option<Part>, Error> {
    match within(IDLE, parts.next()).await? {
        None => Ok(None),
        Some(Err(status)) => Err(super::intake::broken(&status)),
        Some(Ok(message)) => {
            digest.update(&message.encode_to_vec());
            let empty = || Error::new(Reason::UploadProtocol, "a message is neither header nor rows");
            message.part.map(Some).ok_or_else(empty)
        }
    }
}

/// An account as it was sent. What cannot be is refused with its row, so nothing fails here.
fn person(user: User) -> Person {
    Person {
        id: user.user_id,
        username: user.user_name,
        host: if user.host_id == 0 { OWN_HOST } else { user.host_id },
        email: user.email,
        id_number: user.id_number,
        first_name: user.first_name,
        last_name: user.last_name,
        first_access: user.first_access_time.map_or(0, |time| time.seconds),
        is_deleted: user.deleted,
        auth: user.auth,
        is_pseudonym: false,
    }
}

fn imported(done: &Imported) -> ImportUsersResponse {
    use refused_user::Reason as Told;
    let refused = done.told.iter().map(|row| RefusedUser {
        row: convert::count(row.row),
        user_id: row.id,
        reason: match row.why {
            WhyRefused::FieldInvalid => Told::FieldInvalid,
            WhyRefused::RepeatedId => Told::RepeatedId,
            WhyRefused::RepeatedName => Told::RepeatedName,
            WhyRefused::NameTaken => Told::NameTaken,
            WhyRefused::ReservedId => Told::ReservedId,
        }
        .into(),
        field: row.field.clone(),
        other_user_id: row.other,
        message: row.message.clone(),
    });
    ImportUsersResponse {
        created_count: convert::count(done.created),
        updated_count: convert::count(done.updated),
        unchanged_count: convert::count(done.unchanged),
        refused_count: convert::count(done.refused),
        refused: refused.collect(),
    }
}

fn user(row: &AccountRow) -> User {
    let person = &row.person;
    let time = |seconds| WireTime { seconds, nanos: 0 };
    User {
        name: UserName { site: row.site.clone(), user: person.id }.to_string(),
        user_id: person.id,
        user_name: person.username.clone(),
        host_id: person.host,
        email: person.email.clone(),
        id_number: person.id_number.clone(),
        first_name: person.first_name.clone(),
        last_name: person.last_name.clone(),
        first_access_time: (person.first_access != 0).then(|| time(person.first_access)),
        deleted: person.is_deleted,
        auth: person.auth.clone(),
        pseudonym: person.is_pseudonym,
        source: match row.source {
            Source::Imported => user::Source::Imported,
            Source::Published => user::Source::Published,
            Source::Restored => user::Source::Restored,
        }
        .into(),
        create_time: Some(convert::time(row.create_time)),
        update_time: Some(convert::time(row.update_time)),
    }
}

pub async fn get_user(engine: &Engine, request: Request<GetUserRequest>) -> Result<GetUserResponse, Error> {
    let principal = auth::principal(&request)?;
    let name: UserName = name("name", &request.into_inner().name)?;
    auth::reach(&principal, &name.site)?;
    Ok(GetUserResponse { user: Some(user(&engine.get_user(&name).await?)) })
}

/// A text that is looked for; none for nothing.
fn wanted(field: &str, text: String) -> Result<Option<String>, Error> {
    let text = searched(field, text)?;
    Ok((!text.is_empty()).then_some(text))
}

pub async fn list_users(
    engine: &Engine,
    request: Request<ListUsersRequest>,
) -> Result<ListUsersResponse, Error> {
    let principal = auth::principal(&request)?;
    let message = request.into_inner();
    let SiteName(site) = name("parent", &message.parent)?;
    auth::reach(&principal, &site)?;
    let source = match user::Source::try_from(message.source) {
        Ok(user::Source::Unspecified) => None,
        Ok(user::Source::Imported) => Some(Source::Imported),
        Ok(user::Source::Published) => Some(Source::Published),
        Ok(user::Source::Restored) => Some(Source::Restored),
        Err(_) => return Err(Error::field("source", format!("{} is no source", message.source))),
    };
    let list = ListUsersRequest { page_size: 0, page_token: String::new(), ..message.clone() };
    let list = format!("{list:?}");
    let page = Page::parse(message.page_size, &message.page_token, &["users", &list])?;
    let query = AccountQuery {
        username: wanted("user_name", message.user_name)?,
        email: wanted("email", message.email)?,
        id_number: wanted("id_number", message.id_number)?,
        source,
        show_deleted: message.show_deleted,
        after: page.key()?,
    };
    let rows = engine.list_users(&site, &query, page.fetch()).await?;
    let (users, next_page_token) = page.fill(&rows, |row| row.person.id.to_string(), user);
    Ok(ListUsersResponse { users, next_page_token })
}

pub async fn delete_users(
    engine: &Engine,
    request: Request<DeleteUsersRequest>,
) -> Result<DeleteUsersResponse, Error> {
    let principal = auth::principal(&request)?;
    let message = request.into_inner();
    let SiteName(site) = name("parent", &message.parent)?;
    auth::reach(&principal, &site)?;
    if !(1..=MOST_NAMES).contains(&message.names.len()) {
        return Err(Error::field("names", format!("must be 1 to {MOST_NAMES}")));
    }
    let id = |text: &String| {
        let name: UserName = name("names", text)?;
        if name.site == site { Ok(name.user) } else { Err(Error::field("names", "must be of the parent")) }
    };
    let ids: Vec<i64> = message.names.iter().map(id).collect::<Result<_, _>>()?;
    let call = call(principal, "DeleteUsers", &message.request_id, &message)?;
    let gone = engine.once(&call, || engine.delete_users(&call, &site, &ids)).await?;
    Ok(DeleteUsersResponse { deleted_count: convert::count(gone) })
}

pub async fn import_roles(
    engine: &Engine,
    request: Request<ImportRolesRequest>,
) -> Result<ImportRolesResponse, Error> {
    let principal = auth::principal(&request)?;
    let message = request.into_inner();
    let SiteName(site) = name("parent", &message.parent)?;
    auth::reach(&principal, &site)?;
    let call = call(principal, "ImportRoles", &message.request_id, &message)?;
    let roles = message.roles.into_iter().map(|role| SiteRole {
        id: role.role_id,
        short_name: role.short_name,
        archetype: role.archetype,
        name: role.display_name,
    });
    let roles: Vec<SiteRole> = roles.collect();
    let rows = engine.once(&call, || engine.import_roles(&call, &site, &roles)).await?;
    Ok(ImportRolesResponse { roles: rows.iter().map(role).collect() })
}

pub async fn list_roles(
    engine: &Engine,
    request: Request<ListRolesRequest>,
) -> Result<ListRolesResponse, Error> {
    let principal = auth::principal(&request)?;
    let message = request.into_inner();
    let SiteName(site) = name("parent", &message.parent)?;
    auth::reach(&principal, &site)?;
    let page = Page::parse(message.page_size, &message.page_token, &["roles", &message.parent])?;
    let after: i64 = page.key()?.unwrap_or_default();
    let rows = roles_after(engine, &site, after).await?;
    let (roles, next_page_token) = page.fill(&rows, |row| row.role.id.to_string(), role);
    Ok(ListRolesResponse { roles, next_page_token })
}

/// There are some tens, so they are read at once.
async fn roles_after(engine: &Engine, site: &SiteId, after: i64) -> Result<Vec<RoleRow>, Error> {
    let rows = engine.list_roles(site).await?;
    Ok(rows.into_iter().filter(|row| row.role.id > after).collect())
}

fn role(row: &RoleRow) -> Role {
    let role = &row.role;
    Role {
        role_id: role.id,
        short_name: role.short_name.clone(),
        archetype: role.archetype.clone(),
        display_name: role.name.clone(),
    }
}
