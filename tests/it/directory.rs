//! Who is known on a site, through the front door.

use std::collections::BTreeMap;

use anyhow::Result;
use coursevault::catalog::AccountQuery;
use coursevault::directory::Source;
use coursevault::restore::users::{ArchiveUser, Keys, Site};

use crate::app::TestApp;
use crate::client::*;

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
    let keys = Keys::of(&[user], &Site::default(), &BTreeMap::new());
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
