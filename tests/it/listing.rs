//! ListArchives through the front door: filters, orders, pages, and what cannot be understood.

use anyhow::{Result, ensure};
use coursevault::proto::*;
use tonic::{Code, Status};

use crate::app::TestApp;
use crate::client::*;
use crate::errors::{Detail, refused_with};

fn list(filter: &str, order_by: &str) -> ListArchivesRequest {
    ListArchivesRequest {
        parent: MAIN.into(),
        filter: filter.into(),
        order_by: order_by.into(),
        ..Default::default()
    }
}

/// File names on all pages of a list, two on each.
async fn names(app: &TestApp, mut request: ListArchivesRequest) -> Result<Vec<String>, Status> {
    request.page_size = 2;
    let mut names = Vec::new();
    loop {
        let page = app.backups().list_archives(request.clone()).await?.into_inner();
        names.extend(page.archives.into_iter().map(|archive| archive.file_name));
        if page.next_page_token.is_empty() {
            return Ok(names);
        }
        request.page_token = page.next_page_token;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_filtered_and_ordered_on_sqlite() -> Result<()> {
    filtered_and_ordered(TestApp::start().await?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_filtered_and_ordered_on_postgres() -> Result<()> {
    filtered_and_ordered(TestApp::on_postgres().await?).await
}

async fn filtered_and_ordered(app: TestApp) -> Result<()> {
    for (file, name, course) in [
        ("gen_xs-nu.mbz", "a-nu.mbz", "c"),
        ("rich101-section3.mbz", "b.mbz", ""),
        ("rich101-nf.mbz", "c-nf.mbz", "c"),
        ("rich101-activity-quiz.mbz", "d.mbz", ""),
        ("gen_xs-nu.mbz", "e-nu.mbz", ""),
    ] {
        let course = if course.is_empty() { String::new() } else { format!("{MAIN}/courses/{course}") };
        app.send(upload(UploadHeader { course, ..header(name) }, &fixture(file)?)).await?;
    }
    for (filter, order, expected) in [
        ("", "", "edcba"),
        ("", "create_time", "abcde"),
        ("", "name desc", "edcba"),
        ("course = c", "create_time", "ac"),
        ("course = sites/main/courses/c AND type = COURSE", "", "ca"),
        ("type = SECTION OR type = ARCHIVE_TYPE_ACTIVITY", "name", "bd"),
        ("file_name : \"-nu\"", "", "ea"),
        ("NOT file_name : \"-nu\" AND area = PRIVATE", "name", "bd"),
        ("owner = local AND create_time > \"2020-01-01T00:00:00Z\" AND hold:*", "", ""),
        ("size_bytes > 0", "create_time", "abcde"),
    ] {
        let found = names(&app, list(filter, order)).await?;
        let letters: String = found.iter().filter_map(|name| name.chars().next()).collect();
        assert_eq!(letters, expected, "{filter:?} {order:?}");
    }
    // By size, the two of one size by their names.
    let by_size = app.backups().list_archives(list("", "size_bytes desc")).await?.into_inner().archives;
    ensure!(by_size.is_sorted_by_key(|one| (-one.size_bytes, std::cmp::Reverse(one.name.clone()))));
    ensure!(by_size.iter().all(|one| one.forms.iter().any(|form| form.size_bytes == one.size_bytes)));
    let again = names(&app, list("", "size_bytes desc")).await?;
    ensure!(by_size.iter().map(|one| &one.file_name).eq(&again), "{again:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_understood_is_told_with_its_place() -> Result<()> {
    let app = TestApp::start().await?;
    let archives = || app.backups();
    for (filter, order, field, position, name) in [
        ("colour = red", "", "filter", "1", Some("colour")),
        ("area = COURSE AND size_bytes > much", "", "filter", "32", Some("size_bytes")),
        ("(area = COURSE", "", "filter", "1", None),
        ("", "size_bytes, colour", "order_by", "13", Some("colour")),
    ] {
        let told = archives().list_archives(list(filter, order)).await;
        let info = refused_with(told, Code::InvalidArgument, "FIELD_INVALID", &Detail::Field(field))?;
        assert_eq!(info.metadata.get("position").map(String::as_str), Some(position), "{filter}{order}");
        assert_eq!(info.metadata.get("field").map(String::as_str), name, "{filter}{order}");
    }
    for filter in ["(".repeat(2000), "x".repeat(2001), vec!["hold:*"; 101].join(" OR ")] {
        let told = archives().list_archives(list(&filter, "")).await;
        refused_with(told, Code::InvalidArgument, "FIELD_INVALID", &Detail::Field("filter"))?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_bound_to_filter_and_order() -> Result<()> {
    let app = TestApp::start().await?;
    for _ in 0..3 {
        app.upload(&fixture("gen_xs-nu.mbz")?).await?;
    }
    let first = ListArchivesRequest { page_size: 1, ..list("area = PRIVATE", "size_bytes") };
    let token = app.backups().list_archives(first.clone()).await?.into_inner().next_page_token;
    let next = ListArchivesRequest { page_token: token, ..first };
    let second = app.backups().list_archives(next.clone()).await?.into_inner();
    ensure!(second.archives.len() == 1 && !second.next_page_token.is_empty());
    for other in [
        ListArchivesRequest { filter: String::new(), ..next.clone() },
        ListArchivesRequest { filter: "area = COURSE".into(), ..next.clone() },
        ListArchivesRequest { order_by: String::new(), ..next.clone() },
        ListArchivesRequest { order_by: "size_bytes desc".into(), ..next.clone() },
        ListArchivesRequest {
            filter: "size_bytes".into(),
            order_by: "area = PRIVATE".into(),
            ..next.clone()
        },
    ] {
        let told = app.backups().list_archives(other).await;
        refused_with(told, Code::InvalidArgument, "PAGE_TOKEN_INVALID", &Detail::None)?;
    }
    Ok(())
}
