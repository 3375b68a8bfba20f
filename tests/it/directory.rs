//! Who is known on a site, through the front door.

use std::collections::BTreeMap;

use anyhow::Result;
use coursevault::catalog::AccountQuery;
use coursevault::directory::{FIRST_NEW_ID, Person, Platform, Source};
use coursevault::engine::Call;
use coursevault::principal::Principal;
use coursevault::proto::*;
use coursevault::reason::Reason;
use coursevault::restore::users::{ArchiveUser, Keys};
use coursevault::vault::fault::{Fault, Operation};
use coursevault::vault::journal::Event;
use tonic::Code;

use crate::app::TestApp;
use crate::client::{MAIN, fixture};
use crate::errors::{Detail, refused_with};
use crate::settings::changed;

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

#[tokio::test(flavor = "multi_thread")]
async fn a_site_stands_for_one_platform() -> Result<()> {
    let app = TestApp::start().await?;
    let archive = app.upload(&fixture("rich101-full-zip.mbz")?).await?.name;
    let site = |hash: &str, wwwroot: &str, paths: &[&str]| UpdateSiteRequest {
        site: Some(Site {
            name: MAIN.into(),
            identifier_hash: hash.into(),
            wwwroot: wwwroot.into(),
            ..Default::default()
        }),
        update_mask: Some(prost_types::FieldMask { paths: paths.iter().map(ToString::to_string).collect() }),
        ..Default::default()
    };
    for (hash, wwwroot, field) in [
        ("67E925a0477f4e2832fa7ddd1949959e", "", "site.identifier_hash"),
        ("67e9", "", "site.identifier_hash"),
        ("", "moodle.example.org", "site.wwwroot"),
        ("", "https://moodle.example.org/", "site.wwwroot"),
    ] {
        let told = app.admin().update_site(site(hash, wwwroot, &["identifier_hash", "wwwroot"])).await;
        refused_with(told, Code::InvalidArgument, "FIELD_INVALID", &Detail::Field(field))?;
    }
    let other = "0123456789abcdef0123456789abcdef";
    let told = app.admin().update_site(site(other, "", &["identifier_hash"])).await?.into_inner().site;
    assert_eq!(told.map(|site| (site.identifier_hash, site.wwwroot)), Some((other.into(), String::new())));
    let told = app.publish("sites/main/courses/c", &archive, "").await;
    let info = refused_with(
        told,
        Code::FailedPrecondition,
        "PLATFORM_MISMATCH",
        &Detail::Metadata("archiveWwwroot", "http://localhost:8044"),
    )?;
    assert_eq!(info.metadata.get("identifierHash").map(String::as_str), Some(other));
    let nothing = app.courses().get_course(GetCourseRequest { name: "sites/main/courses/c".into() }).await;
    refused_with(nothing, Code::NotFound, "COURSE_NOT_FOUND", &Detail::None)?;
    // Restores take archives of any platform; whoever they make joins under an id that no platform has.
    let job = app.restore(&archive, "restored").await?;
    app.result_of(&job).await?;
    let (main, catalog) = ("main".parse()?, app.engine.catalog());
    assert!(catalog.count_accounts(&main).await? > 5);
    let made = app.admin().list_users(ListUsersRequest { parent: MAIN.into(), ..Default::default() }).await?;
    assert!(made.into_inner().users.iter().all(|user| user.user_id >= FIRST_NEW_ID));
    // Only the address is known: the hash is told with the first archive of it.
    let both = ["identifier_hash", "wwwroot"];
    app.admin().update_site(site("", "http://localhost:8044", &both)).await?;
    app.publish("sites/main/courses/c", &archive, "").await?;
    let known = app.admin().get_site(GetSiteRequest { name: MAIN.into() }).await?.into_inner().site;
    assert_eq!(known.map(|site| site.identifier_hash).as_deref(), Some("67e925a0477f4e2832fa7ddd1949959e"));
    assert!(catalog.count_accounts(&main).await? > 10);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn new_ids_are_in_the_journal_before_they_are_given_out() -> Result<()> {
    let app = TestApp::start().await?;
    let (main, call) = ("main".parse()?, Call::by(Principal::local()));
    let first = app.engine.reserve_ids(&call, &main, 10).await?;
    assert_eq!(first, FIRST_NEW_ID..FIRST_NEW_ID + 10);
    app.faults().fail_from(Operation::Put, 1, Fault::Unavailable);
    let refused =
        app.engine.reserve_ids(&call, &main, 5).await.map_err(|error| (error.reason, error.retryable));
    assert_eq!(refused, Err((Reason::StorageUnavailable, true)));
    app.faults().clear();
    // What may have come out is not given again.
    assert_eq!(app.engine.reserve_ids(&call, &main, 2).await?, FIRST_NEW_ID + 15..FIRST_NEW_ID + 17);
    let reserved: Vec<i64> = journal(&app)
        .await?
        .into_iter()
        .filter_map(|event| match event {
            Event::IdsReserved { below, .. } => Some(below),
            _ => None,
        })
        .collect();
    assert_eq!(reserved, [FIRST_NEW_ID + 10, FIRST_NEW_ID + 15, FIRST_NEW_ID + 17]);
    Ok(())
}

/// All events in the journal of the main site, in their order.
async fn journal(app: &TestApp) -> Result<Vec<Event>> {
    let (main, storage) = ("main".parse()?, "primary".parse()?);
    let storage = app.engine.vault().storage(&storage)?;
    let mut events = Vec::new();
    for segment in storage.list_journal(&main).await? {
        events.extend(storage.read_journal(&main, &segment).await?.into_iter().map(|event| event.event));
    }
    Ok(events)
}

/// What the journal tells of the directory is the directory.
#[tokio::test(flavor = "multi_thread")]
async fn the_directory_can_be_made_again_from_the_journal() -> Result<()> {
    let app = TestApp::start().await?;
    let archive = app.upload(&fixture("rich101-full-zip.mbz")?).await?;
    app.publish("sites/main/courses/c", &archive.name, "").await?;
    let call = Call::by(Principal::local());
    let main = "main".parse()?;
    let person = |id: i64, name: &str| Person { id, username: name.into(), host: 1, ..Person::default() };
    let mut rows: Vec<Person> = (1001..=1500).map(|id| person(id, &format!("user{id}"))).collect();
    app.engine.import_users(&call, &main, &rows, false).await?;
    rows.iter_mut().for_each(|row| row.username = format!("user{}", 2501 - row.id));
    let swapped = app.engine.import_users(&call, &main, &rows, false).await?;
    assert_eq!((swapped.updated, swapped.refused), (500, 0));
    app.engine.delete_users(&call, &main, &[1001, 3, 9999]).await?;
    let (mut accounts, mut roles, mut platform) = (BTreeMap::new(), Vec::new(), Platform::default());
    for event in journal(&app).await? {
        match event {
            Event::AccountsWritten { source, accounts: written, .. } => {
                accounts.extend(written.into_iter().map(|person| (person.id, (source, person))));
            }
            Event::AccountsForgotten { accounts: ids, .. } => ids.iter().for_each(|id| {
                accounts.remove(id);
            }),
            Event::RolesWritten { roles: written, .. } => roles = written,
            Event::SiteUpdated { platform: told, .. } => platform = told,
            _ => {}
        }
    }
    let catalog = app.engine.catalog();
    let query = AccountQuery { show_deleted: true, ..Default::default() };
    let rows = catalog.list_accounts(&main, &query, 10_000).await?;
    assert!(rows.len() > 500);
    assert!(rows.iter().map(|row| (row.source, row.person.clone())).eq(accounts.into_values()));
    assert!(catalog.list_roles(&main).await?.into_iter().map(|row| row.role).eq(roles));
    assert_eq!(catalog.get_site(&main).await?.map(|site| site.platform), Some(platform));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn courses_are_found_by_what_they_are_called() -> Result<()> {
    let app = TestApp::start().await?;
    for (course, file) in [("rich", "rich101-full-zip.mbz"), ("small", "gen_xs-nu.mbz")] {
        let archive = app.upload(&fixture(file)?).await?;
        app.publish(&format!("{MAIN}/courses/{course}"), &archive.name, "").await?;
    }
    let list = || ListCoursesRequest { parent: MAIN.into(), ..Default::default() };
    for (request, expected) in [
        (list(), 2),
        (ListCoursesRequest { search: "œUVRE".into(), ..list() }, 1),
        (ListCoursesRequest { full_name: "rich101".into(), ..list() }, 1),
        (ListCoursesRequest { short_name: "rich101".into(), ..list() }, 1),
        (ListCoursesRequest { id_number: "id_rich".into(), ..list() }, 1),
        (ListCoursesRequest { id_number: "id_rich".into(), search: "nothing".into(), ..list() }, 0),
    ] {
        let found = app.courses().list_courses(request.clone()).await?.into_inner().courses;
        assert_eq!(found.len(), expected, "{request:?}");
        assert!(found.len() != 1 || found[0].id_number == "ID_RICH101");
    }
    let long = ListCoursesRequest { search: "x".repeat(256), ..list() };
    let told = app.courses().list_courses(long).await;
    refused_with(told, Code::InvalidArgument, "FIELD_INVALID", &Detail::Field("search"))?;
    Ok(())
}

/// The rich course with other users in it.
fn with_users(users: &str) -> Result<Vec<u8>> {
    changed(|path, bytes| {
        (path.to_owned(), if path == "users.xml" { users.as_bytes().to_vec() } else { bytes })
    })
}

fn user(id: &str, username: &str, more: &str) -> String {
    format!("<user id=\"{id}\"><username>{username}</username>{more}<deleted>0</deleted></user>")
}

#[tokio::test(flavor = "multi_thread")]
async fn users_that_no_platform_has_do_not_join() -> Result<()> {
    let app = TestApp::start().await?;
    let (main, catalog) = ("main".parse()?, app.engine.catalog());
    for broken in ["<users><user id=\"1\">", "<!DOCTYPE users><users/>", "no document"] {
        let archive = app.upload(&with_users(broken)?).await?;
        let told = app.publish("sites/main/courses/c", &archive.name, "").await;
        let path = Detail::Metadata("path", "users.xml");
        refused_with(told, Code::FailedPrecondition, "DOCUMENT_INVALID", &path)?;
    }
    let nothing = app.courses().get_course(GetCourseRequest { name: "sites/main/courses/c".into() }).await;
    refused_with(nothing, Code::NotFound, "COURSE_NOT_FOUND", &Detail::None)?;
    let long = "x".repeat(5000);
    let users = [
        user("1", "zoe", ""),
        user("2", "zoe", ""),
        user("1", "bob", ""),
        user("-3", "minus", ""),
        user("9223372036854775808", "huge", ""),
        user("1000000000000", "given", ""),
        user("4", "remote", "<mnethosturl>https://elsewhere.example</mnethosturl>"),
        user("5", &long, ""),
        user("6", "nul\0", ""),
        user("7", "long", &format!("<email>{long}</email>")),
        user("8", "&lt;b&gt;", "<firstname>$@NULL@$</firstname><firstaccess>-7</firstaccess>"),
    ];
    let archive = app.upload(&with_users(&format!("<users>{}</users>", users.concat()))?).await?;
    app.publish("sites/main/courses/c", &archive.name, "").await?;
    let rows = catalog.list_accounts(&main, &AccountQuery::default(), 100).await?;
    let known: Vec<_> = rows.iter().map(|row| (row.person.id, row.person.username.as_str())).collect();
    assert_eq!(known, [(1, "zoe"), (8, "<b>")]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn many_publications_and_imports_at_once_on_postgres() -> Result<()> {
    many_at_once(TestApp::on_postgres().await?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn many_publications_and_imports_at_once_on_sqlite() -> Result<()> {
    many_at_once(TestApp::start().await?).await
}

async fn many_at_once(app: TestApp) -> Result<()> {
    let users: String = (1..=2000).map(|id| user(&id.to_string(), &format!("user{id}"), "")).collect();
    let archive = app.upload(&with_users(&format!("<users>{users}</users>"))?).await?.name;
    let (call, main) = (Call::by(Principal::local()), "main".parse()?);
    let person = |id: i64| Person { id, username: format!("user{id}"), host: 1, ..Person::default() };
    let people: Vec<Person> = (1001..=3000).map(person).collect();
    let courses: Vec<String> = (0..4).map(|n| format!("{MAIN}/courses/c{n}")).collect();
    let publications = courses.iter().map(|course| app.publish(course, &archive, ""));
    let imports = (0..2).map(|_| app.engine.import_users(&call, &main, &people, false));
    let ids = (0..4).map(|_| app.engine.reserve_ids(&call, &main, 7));
    let (published, imported, ids) = tokio::join!(
        futures::future::try_join_all(publications),
        futures::future::try_join_all(imports),
        futures::future::try_join_all(ids)
    );
    assert_eq!(published?.len(), 4);
    assert!(
        imported?
            .iter()
            .all(|told| told.refused == 0 && told.created + told.updated + told.unchanged == 2000)
    );
    let ids: std::collections::BTreeSet<i64> = ids?.into_iter().flatten().collect();
    assert_eq!(ids.len(), 28);
    assert_eq!(app.engine.catalog().count_accounts(&main).await?, 3000);
    Ok(())
}
