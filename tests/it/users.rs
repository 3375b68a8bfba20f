//! Accounts and roles of a site as administrators bring them in, through the front door.

use anyhow::Result;
use coursevault::proto::*;
use coursevault::reason::Reason;
use tonic::{Code, Status};

use crate::access::{as_whom, guarded};
use crate::app::TestApp;
use crate::client::{MAIN, fresh_id};
use crate::errors::{Detail, refused, refused_with};

/// A row of an import.
fn user(id: i64, name: &str) -> User {
    User { user_id: id, user_name: name.into(), ..Default::default() }
}

/// Messages of an import, some rows in each.
fn import(header: ImportUsersHeader, users: &[User]) -> Vec<ImportUsersRequest> {
    use import_users_request::Part;
    let rows = users.chunks(3).map(|users| Part::Rows(ImportUsersRows { users: users.to_vec() }));
    std::iter::once(Part::Header(header))
        .chain(rows)
        .map(|part| ImportUsersRequest { part: Some(part) })
        .collect()
}

fn header(request_id: &str, validate_only: bool) -> ImportUsersHeader {
    ImportUsersHeader { parent: MAIN.into(), validate_only, request_id: request_id.into() }
}

async fn send(app: &TestApp, messages: Vec<ImportUsersRequest>) -> Result<ImportUsersResponse, Status> {
    Ok(app.admin().import_users(futures::stream::iter(messages)).await?.into_inner())
}

async fn listed(app: &TestApp, mut request: ListUsersRequest) -> Result<Vec<User>, Status> {
    request.parent = MAIN.into();
    request.page_size = 2;
    let mut users = Vec::new();
    loop {
        let page = app.admin().list_users(request.clone()).await?.into_inner();
        users.extend(page.users);
        if page.next_page_token.is_empty() {
            return Ok(users);
        }
        request.page_token = page.next_page_token;
    }
}

fn ids(users: &[User]) -> Vec<i64> {
    users.iter().map(|user| user.user_id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn users_are_imported_on_sqlite() -> Result<()> {
    users_are_imported(TestApp::start().await?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn users_are_imported_on_postgres() -> Result<()> {
    users_are_imported(TestApp::on_postgres().await?).await
}

async fn users_are_imported(app: TestApp) -> Result<()> {
    let zoe = User {
        email: "Zoe@Example.org".into(),
        id_number: "N1".into(),
        first_name: "Zoé".into(),
        first_access_time: Some(prost_types::Timestamp { seconds: 1_700_000_000, nanos: 0 }),
        auth: "cas".into(),
        ..user(1, "zoe")
    };
    let rows = [
        zoe.clone(),
        user(2, "ann"),
        User { deleted: true, ..user(3, "bob") },
        user(4, "same"),
        user(5, "same"),
        user(6, "twice"),
        user(6, "other"),
        user(7, ""),
        user(1_000_000_000_000, "made"),
        User { host_id: 4, ..user(8, "ann") },
    ];
    imported_once(&app, &rows).await?;

    // The same again, with a change, a name that changes hands and one that is taken.
    let again = [
        User { email: "new@example.org".into(), ..zoe.clone() },
        user(2, "bob"),
        User { deleted: true, ..user(3, "ann") },
        User { host_id: 4, ..user(8, "ann") },
        User { host_id: 4, ..user(9, "ann") },
        user(10, "zoe"),
    ];
    let told = send(&app, import(header("", false), &again[..5])).await?;
    assert_eq!((counts(&told), told.refused[0].reason()), ([0, 3, 0, 2], refused_user::Reason::RepeatedName));
    let told = send(&app, import(header("", false), &again[4..])).await?;
    let taken: Vec<_> = told.refused.iter().map(|row| (row.reason(), row.other_user_id)).collect();
    assert_eq!(taken, [(refused_user::Reason::NameTaken, 8), (refused_user::Reason::NameTaken, 1)]);

    listed_and_forgotten(&app, zoe).await
}

/// How many rows were created, changed, left and refused.
fn counts(told: &ImportUsersResponse) -> [i64; 4] {
    [told.created_count, told.updated_count, told.unchanged_count, told.refused_count]
}

/// Sends rows under one request id, twice at once and once more, after having asked what would become of them.
async fn imported_once(app: &TestApp, rows: &[User]) -> Result<()> {
    let dry = send(app, import(header("", true), rows)).await?;
    assert!(listed(app, ListUsersRequest { show_deleted: true, ..Default::default() }).await?.is_empty());
    let id = fresh_id();
    let (one, two) = tokio::join!(
        send(app, import(header(&id, false), rows)),
        send(app, import(header(&id, false), rows))
    );
    let (first, second, third) = (one?, two?, send(app, import(header(&id, false), rows)).await?);
    assert!(first == dry && first == second && second == third, "{first:?} {second:?} {third:?}");
    assert_eq!(counts(&first), [4, 0, 0, 6]);
    let told: Vec<_> =
        first.refused.iter().map(|row| (row.row, row.user_id, row.reason(), row.other_user_id)).collect();
    let expected = [
        (4, 4, refused_user::Reason::RepeatedName, 5),
        (5, 5, refused_user::Reason::RepeatedName, 4),
        (6, 6, refused_user::Reason::RepeatedId, 0),
        (7, 6, refused_user::Reason::RepeatedId, 0),
        (8, 7, refused_user::Reason::FieldInvalid, 0),
        (9, 1_000_000_000_000, refused_user::Reason::ReservedId, 0),
    ];
    assert_eq!(told, expected);
    assert_eq!(first.refused[4].field, "user_name");
    refused(
        send(app, import(header(&id, false), &rows[1..])).await,
        Code::InvalidArgument,
        "REQUEST_ID_REUSED",
    )?;
    Ok(())
}

async fn listed_and_forgotten(app: &TestApp, zoe: User) -> Result<()> {
    assert_eq!(ids(&listed(app, ListUsersRequest::default()).await?), [1, 2, 8]);
    let everybody = ListUsersRequest { show_deleted: true, ..Default::default() };
    assert_eq!(ids(&listed(app, everybody).await?), [1, 2, 3, 8]);
    for (request, expected) in [
        (ListUsersRequest { user_name: "ann".into(), ..Default::default() }, vec![8]),
        (ListUsersRequest { email: "NEW@example.ORG".into(), ..Default::default() }, vec![1]),
        (ListUsersRequest { id_number: "N1".into(), ..Default::default() }, vec![1]),
        (ListUsersRequest { source: user::Source::Published.into(), ..Default::default() }, vec![]),
    ] {
        assert_eq!(ids(&listed(app, request.clone()).await?), expected, "{request:?}");
    }
    let name = format!("{MAIN}/users/1");
    let got = app.admin().get_user(GetUserRequest { name: name.clone() }).await?.into_inner().user;
    let got = got.unwrap_or_default();
    let expected = User {
        name: name.clone(),
        host_id: 1,
        email: "new@example.org".into(),
        source: user::Source::Imported.into(),
        create_time: got.create_time,
        update_time: got.update_time,
        ..zoe
    };
    assert!(got == expected && got.create_time != got.update_time, "{got:?}");

    let names = vec![name.clone(), format!("{MAIN}/users/99")];
    let id = fresh_id();
    for _ in 0..2 {
        let request =
            DeleteUsersRequest { parent: MAIN.into(), names: names.clone(), request_id: id.clone() };
        assert_eq!(app.admin().delete_users(request).await?.into_inner().deleted_count, 1);
    }
    let gone = app.admin().get_user(GetUserRequest { name }).await;
    refused_with(gone, Code::NotFound, "USER_NOT_FOUND", &Detail::None)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn imports_that_make_no_sense_change_nothing() -> Result<()> {
    use import_users_request::Part;
    let app = TestApp::start().await?;
    let rows =
        || ImportUsersRequest { part: Some(Part::Rows(ImportUsersRows { users: vec![user(1, "a")] })) };
    let first = |header: ImportUsersHeader| ImportUsersRequest { part: Some(Part::Header(header)) };
    let site = |parent: &str| ImportUsersHeader { parent: parent.into(), ..header("", false) };
    let protocol = "UPLOAD_PROTOCOL";
    for messages in [
        vec![],
        vec![rows()],
        vec![first(header("", false)), first(header("", false))],
        vec![first(header("", false)), rows(), ImportUsersRequest { part: None }],
    ] {
        refused(send(&app, messages).await, Code::InvalidArgument, protocol)?;
    }
    let detail = Detail::Field("header.request_id");
    let told = send(&app, vec![first(header("seven", false)), rows()]).await;
    refused_with(told, Code::InvalidArgument, "FIELD_INVALID", &detail)?;
    let detail = Detail::Field("header.parent");
    refused_with(
        send(&app, vec![first(site("main"))]).await,
        Code::InvalidArgument,
        "FIELD_INVALID",
        &detail,
    )?;
    refused(send(&app, vec![first(site("sites/none")), rows()]).await, Code::NotFound, "SITE_NOT_FOUND")?;
    let many: Vec<User> = (1..=25_001).map(|id| user(id, &format!("u{id}"))).collect();
    let many = ImportUsersRequest { part: Some(Part::Rows(ImportUsersRows { users: many })) };
    let messages = vec![first(header("", false)), many.clone(), many.clone(), many.clone(), many];
    refused(send(&app, messages).await, Code::InvalidArgument, Reason::LimitImportRows.as_str())?;
    assert_eq!(app.engine.catalog().count_accounts(&"main".parse()?).await?, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_are_imported_and_then_not_learnt() -> Result<()> {
    let app = TestApp::start().await?;
    let role = |role_id, short_name: &str| Role {
        role_id,
        short_name: short_name.into(),
        archetype: "student".into(),
        display_name: "É".into(),
    };
    let import = |roles: &[Role]| ImportRolesRequest {
        parent: MAIN.into(),
        roles: roles.to_vec(),
        request_id: String::new(),
    };
    let roles = [role(5, "student"), role(9, "auditor")];
    let told = app.admin().import_roles(import(&roles)).await?.into_inner().roles;
    assert_eq!(told, roles);
    for (wrong, field) in [
        (vec![role(0, "x")], "roles[0].role_id"),
        (vec![role(1, "x"), role(1, "y")], "roles[1].role_id"),
        (vec![role(1, "x"), role(2, "x")], "roles[1].short_name"),
        (vec![role(1, "")], "roles[0].short_name"),
    ] {
        let told = app.admin().import_roles(import(&wrong)).await;
        refused_with(told, Code::InvalidArgument, "FIELD_INVALID", &Detail::Field(field))?;
    }
    let archive = app.upload(&crate::client::fixture("rich101-full-zip.mbz")?).await?;
    app.publish("sites/main/courses/c", &archive.name, "").await?;
    let mut request = ListRolesRequest { parent: MAIN.into(), page_size: 1, ..Default::default() };
    let mut listed = Vec::new();
    loop {
        let page = app.admin().list_roles(request.clone()).await?.into_inner();
        listed.extend(page.roles);
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(listed, roles);
    // Without any that were imported they are learnt again.
    app.admin().import_roles(import(&[])).await?;
    app.publish("sites/main/courses/d", &archive.name, "").await?;
    request = ListRolesRequest { parent: MAIN.into(), ..Default::default() };
    let learnt = app.admin().list_roles(request).await?.into_inner().roles;
    assert!(learnt.iter().any(|role| role.short_name == "auditeur"), "{learnt:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_for_administrators_only() -> Result<()> {
    let app = guarded().await?;
    let denied = |status: Option<Status>| {
        refused::<()>(
            Err(status.unwrap_or_else(|| Status::ok("allowed"))),
            Code::PermissionDenied,
            "PERMISSION_DENIED",
        )
    };
    let (parent, name) = (MAIN.to_owned(), format!("{MAIN}/users/1"));
    let messages = || futures::stream::iter(import(header("", false), &[user(1, "a")]));
    let list = || ListUsersRequest { parent: parent.clone(), ..Default::default() };
    let get = || GetUserRequest { name: name.clone() };
    let delete =
        || DeleteUsersRequest { parent: parent.clone(), names: vec![name.clone()], ..Default::default() };
    let roles = || ListRolesRequest { parent: parent.clone(), ..Default::default() };
    let import = || ImportRolesRequest { parent: parent.clone(), ..Default::default() };
    app.admin().import_users(as_whom("root", messages())?).await?;
    denied(app.admin().import_users(as_whom("lms", messages())?).await.err())?;
    denied(app.admin().list_users(as_whom("lms", list())?).await.err())?;
    denied(app.admin().get_user(as_whom("lms", get())?).await.err())?;
    denied(app.admin().delete_users(as_whom("lms", delete())?).await.err())?;
    denied(app.admin().list_roles(as_whom("lms", roles())?).await.err())?;
    denied(app.admin().import_roles(as_whom("lms", import())?).await.err())?;
    let users = app.admin().list_users(as_whom("root", list())?).await?.into_inner().users;
    assert_eq!(users.len(), 1);
    Ok(())
}
