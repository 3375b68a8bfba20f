//! Who is known on a site, through the front door.

use std::collections::BTreeMap;

use anyhow::Result;
use coursevault::catalog::AccountQuery;
use coursevault::directory::Source;
use coursevault::proto::*;
use coursevault::restore::users::{ArchiveUser, Keys};
use tonic::{Code, Status};

use crate::app::TestApp;
use crate::client::{MAIN, fixture, fresh_id};

#[tokio::test(flavor = "multi_thread")]
async fn published_courses_make_people_known() -> Result<()> {
    published(TestApp::start().await?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn published_courses_make_people_known_on_postgres() -> Result<()> {
    published(TestApp::on_postgres().await?).await
}

async fn published(app: TestApp) -> Result<()> {
    let (site, catalog) = ("main".parse()?, app.engine.catalog().clone());
    // Without users, and with anonymised ones: nobody joins.
    for (course, file) in [("nu", "gen_xs-nu.mbz"), ("an", "rich101-zip-an.mbz")] {
        let archive = app.upload(&fixture(file)?).await?;
        app.publish(&format!("{MAIN}/courses/{course}"), &archive.name, "").await?;
        assert_eq!(catalog.count_accounts(&site).await?, 0, "{file}");
    }
    let archive = app.upload(&fixture("rich101-full-zip.mbz")?).await?;
    app.publish(&format!("{MAIN}/courses/rich"), &archive.name, "").await?;
    let rows = catalog
        .list_accounts(&site, &AccountQuery { show_deleted: true, ..Default::default() }, 1000)
        .await?;
    assert!(rows.len() > 10 && rows.iter().all(|row| row.source == Source::Published), "{}", rows.len());
    let zoe = rows.iter().find(|row| row.person.id == 3).map(|row| &row.person);
    assert_eq!(zoe.map(|zoe| (zoe.username.as_str(), zoe.id_number.as_str())), Some(("zoe.lefevre", "ID-0")));
    let user = ArchiveUser { id: 77, username: "zoe.lefevre".into(), host: 1, ..Default::default() };
    let keys = Keys::of(&[user], &coursevault::restore::users::Site::default(), &BTreeMap::new());
    assert!(app.engine.candidates(&site, &keys).await?.by_id(3).is_some());
    let roles = catalog.list_roles(&site).await?;
    assert!(roles.iter().any(|row| row.role.short_name == "auditeur" && row.role.archetype == "student"));
    let platform = catalog.get_site(&site).await?.map(|site| site.platform).unwrap_or_default();
    assert_eq!(platform.wwwroot, "http://localhost:8044");
    let course = catalog.get_course(&site, &"rich".parse()?).await?;
    assert_eq!(course.map(|course| course.id_number).as_deref(), Some("ID_RICH101"));
    // A second course of the same people changes nothing.
    app.publish(&format!("{MAIN}/courses/again"), &archive.name, "").await?;
    let again = catalog
        .list_accounts(&site, &AccountQuery { show_deleted: true, ..Default::default() }, 1000)
        .await?;
    assert_eq!(rows, again);
    Ok(())
}

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
    let dry = send(&app, import(header("", true), &rows)).await?;
    assert!(listed(&app, ListUsersRequest { show_deleted: true, ..Default::default() }).await?.is_empty());
    let id = fresh_id();
    let (one, two) = tokio::join!(
        send(&app, import(header(&id, false), &rows)),
        send(&app, import(header(&id, false), &rows))
    );
    let (first, second, third) = (one?, two?, send(&app, import(header(&id, false), &rows)).await?);
    assert!(first == dry && first == second && second == third, "{first:?} {second:?} {third:?}");
    let counts = |told: &ImportUsersResponse| {
        [told.created_count, told.updated_count, told.unchanged_count, told.refused_count]
    };
    assert_eq!(counts(&first), [4, 0, 0, 6]);
    use refused_user::Reason;
    let refused: Vec<_> =
        first.refused.iter().map(|row| (row.row, row.user_id, row.reason(), row.other_user_id)).collect();
    let expected = [
        (4, 4, Reason::RepeatedName, 5),
        (5, 5, Reason::RepeatedName, 4),
        (6, 6, Reason::RepeatedId, 0),
        (7, 6, Reason::RepeatedId, 0),
        (8, 7, Reason::FieldInvalid, 0),
        (9, 1_000_000_000_000, Reason::ReservedId, 0),
    ];
    assert_eq!(refused, expected);
    assert_eq!(first.refused[4].field, "user_name");
    crate::errors::refused(
        send(&app, import(header(&id, false), &rows[1..])).await,
        Code::InvalidArgument,
        "REQUEST_ID_REUSED",
    )?;

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
    assert_eq!((counts(&told), told.refused[0].reason()), ([0, 3, 0, 2], Reason::RepeatedName));
    let told = send(&app, import(header("", false), &again[4..])).await?;
    let taken: Vec<_> = told.refused.iter().map(|row| (row.reason(), row.other_user_id)).collect();
    assert_eq!(taken, [(Reason::NameTaken, 8), (Reason::NameTaken, 1)]);

    assert_eq!(ids(&listed(&app, ListUsersRequest::default()).await?), [1, 2, 8]);
    let everybody = ListUsersRequest { show_deleted: true, ..Default::default() };
    assert_eq!(ids(&listed(&app, everybody).await?), [1, 2, 3, 8]);
    for (request, expected) in [
        (ListUsersRequest { user_name: "ann".into(), ..Default::default() }, vec![8]),
        (ListUsersRequest { email: "NEW@example.ORG".into(), ..Default::default() }, vec![1]),
        (ListUsersRequest { id_number: "N1".into(), ..Default::default() }, vec![1]),
        (ListUsersRequest { source: user::Source::Published.into(), ..Default::default() }, vec![]),
    ] {
        assert_eq!(ids(&listed(&app, request.clone()).await?), expected, "{request:?}");
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
    crate::errors::refused_with(gone, Code::NotFound, "USER_NOT_FOUND", &crate::errors::Detail::None)?;
    Ok(())
}
