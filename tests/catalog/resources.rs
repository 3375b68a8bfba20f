//! Sites, courses, revisions, archives, request ids and the outbox.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::ensure;
use coursevault::archive::Container;
use coursevault::catalog::{
    CatalogError, Chore, CourseQuery, CourseRow, RequestRow, Resource, RevisionOrigin, RevisionRow,
};
use coursevault::digest::Sha256;
use coursevault::ids::ArchiveId;
use coursevault::job::{Finding, Severity};
use coursevault::reason::Reason;

use crate::ground::{Ground, tree};

pub async fn sites_are_made_once(ground: &Ground) -> anyhow::Result<()> {
    let row = ground.site_row(&ground.site);
    assert_eq!(ground.catalog.get_site(&ground.site).await?, Some(row.clone()));
    let mut tx = ground.catalog.begin().await?;
    let again = tx.insert_site(&row).await;
    assert_eq!(again.map_err(|error| error.reason()), Err(Reason::SiteExists));
    drop(tx);
    for site in ["a", "z"] {
        ground.insert_site(&site.parse()?).await?;
    }
    let first = ground.catalog.list_sites(None, 2).await?;
    assert_eq!(first.iter().map(|row| row.site.as_str()).collect::<Vec<_>>(), ["a", "main"]);
    let rest = ground.catalog.list_sites(first.last().map(|row| &row.site), 2).await?;
    assert_eq!(rest.iter().map(|row| row.site.as_str()).collect::<Vec<_>>(), ["z"]);
    Ok(())
}

pub async fn courses_page_by_id(ground: &Ground) -> anyhow::Result<()> {
    let mut tx = ground.catalog.begin().await?;
    for n in 0..25 {
        tx.insert_course(&ground.course_row(&format!("course{n}"))?).await?;
    }
    tx.commit().await?;
    let mut seen = Vec::new();
    loop {
        let query = CourseQuery { after: seen.last().cloned(), ..Default::default() };
        let page = ground.catalog.list_courses(&ground.site, &query, 10).await?;
        if page.is_empty() {
            break;
        }
        seen.extend(page.into_iter().map(|row| row.course));
    }
    assert_eq!((seen.len(), seen.iter().collect::<BTreeSet<_>>().len()), (25, 25));
    let mut tx = ground.catalog.begin().await?;
    tx.delete_course(&ground.site, &seen[0], None, ground.now()).await?;
    let again = tx.delete_course(&ground.site, &seen[0], None, ground.now()).await;
    ensure!(matches!(again, Err(CatalogError::LostRace { .. })), "{again:?}");
    tx.commit().await?;
    let mut query = CourseQuery::default();
    assert_eq!(ground.catalog.list_courses(&ground.site, &query, 100).await?.len(), 24);
    query.show_deleted = true;
    assert_eq!(ground.catalog.list_courses(&ground.site, &query, 100).await?.len(), 25);
    Ok(())
}

pub async fn courses_are_found_by_what_they_are_called(ground: &Ground) -> anyhow::Result<()> {
    let mut tx = ground.catalog.begin().await?;
    for (course, full_name, short_name, id_number) in
        [("a", "Été à Orléans", "ETE_1", ""), ("b", "100% pure", "p\\1", "ID-7"), ("c", "Winter", "w", "été")]
    {
        let names = (full_name.to_owned(), short_name.to_owned(), id_number.to_owned());
        let (full_name, short_name, id_number) = names;
        tx.insert_course(&CourseRow { full_name, short_name, id_number, ..ground.course_row(course)? })
            .await?;
    }
    // The names of the live state are those that are found.
    let mut winter = ground.course_row("c")?;
    winter.live_revision = Some(1);
    (winter.full_name, winter.short_name, winter.id_number) = ("Hiver".into(), "w".into(), "éTÉ".into());
    tx.set_live_revision(&winter, None).await?;
    tx.commit().await?;
    let any = |text: &str| CourseQuery { any: text.into(), ..Default::default() };
    for (query, expected) in [
        (any("éTÉ"), "ac"),
        (any("%"), "b"),
        (any("_"), "a"),
        (any("\\"), "b"),
        (any("winter"), ""),
        (any("1"), "ab"),
        (CourseQuery { full_name: "été".into(), ..Default::default() }, "a"),
        (CourseQuery { short_name: "W".into(), ..Default::default() }, "c"),
        (CourseQuery { id_number: "id-".into(), ..Default::default() }, "b"),
        (CourseQuery { id_number: "été".into(), ..any("hiver") }, "c"),
        (CourseQuery { id_number: "7".into(), ..any("hiver") }, ""),
        (CourseQuery { after: Some("a".parse()?), ..any("1") }, "b"),
    ] {
        let found = ground.catalog.list_courses(&ground.site, &query, 10).await?;
        let found: String = found.iter().map(|row| row.course.as_str()).collect();
        assert_eq!(found, expected, "{query:?}");
    }
    Ok(())
}

pub async fn sites_are_changed(ground: &Ground) -> anyhow::Result<()> {
    let mut row = ground.site_row(&ground.site);
    row.display_name = "École".into();
    row.language = "fr".into();
    row.time_zone = "UTC".into();
    let mut tx = ground.catalog.begin().await?;
    tx.update_site(&row).await?;
    tx.commit().await?;
    assert_eq!(ground.catalog.get_site(&ground.site).await?, Some(row.clone()));
    row.site = "nowhere".parse()?;
    let missing = ground.catalog.begin().await?.update_site(&row).await;
    assert_eq!(missing.map_err(|error| error.reason()), Err(Reason::SiteNotFound));
    Ok(())
}

pub async fn live_revision_is_guarded(ground: &Ground) -> anyhow::Result<()> {
    let course = ground.course_row("rich")?;
    let mut tx = ground.catalog.begin().await?;
    tx.insert_course(&course).await?;
    for number in 1..=3 {
        let row = RevisionRow {
            site: ground.site.clone(),
            course: course.course.clone(),
            revision: number,
            parent: (number > 1).then_some(number - 1),
            origin: RevisionOrigin::Published,
            archive: ArchiveId::generate(),
            job: None,
            author: "platform".into(),
            storage: ground.storage.clone(),
            tree: tree("revision", 10),
            create_time: ground.now(),
        };
        tx.insert_revision(&row).await?;
        assert_eq!(tx.get_revision(&ground.site, &course.course, number).await?, Some(row));
        let mut live = course.clone();
        live.live_revision = Some(number);
        let live = tx.set_live_revision(&live, (number > 1).then_some(number - 1)).await?;
        assert_eq!((live.live_revision, live.version), (Some(number), number + 1));
    }
    tx.commit().await?;
    let mut late = course.clone();
    late.live_revision = Some(2);
    for expected in [None, Some(1), Some(4)] {
        let mut tx = ground.catalog.begin().await?;
        let lost = tx.set_live_revision(&late, expected).await;
        assert_eq!(lost.map_err(|error| error.reason()), Err(Reason::RevisionConflict));
        let lost = tx.delete_course(&ground.site, &course.course, expected, ground.now()).await;
        assert_eq!(lost.map_err(|error| error.reason()), Err(Reason::RevisionConflict));
    }
    let page = ground.catalog.list_revisions(&ground.site, &course.course, None, 2).await?;
    assert_eq!(page.iter().map(|row| row.revision).collect::<Vec<_>>(), [3, 2]);
    let page = ground.catalog.list_revisions(&ground.site, &course.course, Some(2), 2).await?;
    assert_eq!(page.iter().map(|row| row.revision).collect::<Vec<_>>(), [1]);
    Ok(())
}

pub async fn archives_are_deleted_and_undeleted_by_version(ground: &Ground) -> anyhow::Result<()> {
    let mut row = ground.archive_row();
    row.findings = vec![Finding {
        severity: Severity::Warning,
        code: "CONTENT_ALTERED".into(),
        path: "files/é".into(),
        message: "it's \"odd\"".into(),
    }];
    let mut tx = ground.catalog.begin().await?;
    tx.insert_archive(&row).await?;
    let again = tx.insert_archive(&row).await;
    ensure!(matches!(again, Err(CatalogError::Conflict { resource: Resource::Archive, .. })), "{again:?}");
    tx.commit().await?;
    assert_eq!(ground.catalog.get_archive(&ground.site, &row.archive).await?, Some(row.clone()));

    let mut tx = ground.catalog.begin().await?;
    let purge = ground.now().plus(Duration::from_secs(3600));
    let stale = tx.delete_archive(&ground.site, &row.archive, 2, ground.now(), purge).await;
    assert_eq!(stale.map_err(|error| error.reason()), Err(Reason::EtagMismatch));
    let deleted = tx.delete_archive(&ground.site, &row.archive, 1, ground.now(), purge).await?;
    assert_eq!(
        (deleted.delete_time, deleted.purge_time, deleted.version),
        (Some(ground.now()), Some(purge), 2)
    );
    let twice = tx.delete_archive(&ground.site, &row.archive, 2, ground.now(), purge).await;
    ensure!(matches!(twice, Err(CatalogError::LostRace { .. })), "{twice:?}");
    let back = tx.undelete_archive(&ground.site, &row.archive, 2, ground.now()).await?;
    assert_eq!((back.delete_time, back.purge_time, back.version), (None, None, 3));
    let nothing = tx.undelete_archive(&ground.site, &ArchiveId::generate(), 1, ground.now()).await;
    assert_eq!(nothing.map_err(|error| error.reason()), Err(Reason::ArchiveNotFound));
    Ok(())
}

pub async fn form_digests_never_change(ground: &Ground) -> anyhow::Result<()> {
    let row = ground.archive_row();
    let mut tx = ground.catalog.begin().await?;
    tx.insert_archive(&row).await?;
    for _ in 0..2 {
        tx.set_form_sha256(&ground.site, &row.archive, Container::Zip, &Sha256([1; 32])).await?;
        tx.set_form_sha256(&ground.site, &row.archive, Container::TarGz, &Sha256([2; 32])).await?;
    }
    let other = tx.set_form_sha256(&ground.site, &row.archive, Container::Zip, &Sha256([3; 32])).await;
    ensure!(matches!(other, Err(CatalogError::LostRace { .. })), "{other:?}");
    let read = tx.get_archive(&ground.site, &row.archive).await?;
    let read = read.map(|row| (row.zip_sha256, row.tgz_sha256, row.version));
    assert_eq!(read, Some((Some(Sha256([1; 32])), Some(Sha256([2; 32])), 1)));
    Ok(())
}

pub async fn requests_are_remembered_once(ground: &Ground) -> anyhow::Result<()> {
    let row = RequestRow {
        principal: "teacher".into(),
        method: "CreateBackup".into(),
        request_id: "b4c8".into(),
        body_hash: "00".into(),
        resource: "sites/main/jobs/1".into(),
        create_time: ground.now(),
    };
    // of many calls at the same time, one has an effect
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..8 {
        let (catalog, mut row) = (ground.catalog.clone(), row.clone());
        row.resource = format!("sites/main/jobs/{n}");
        calls.spawn(async move {
            let mut tx = catalog.begin().await?;
            tx.insert_request(&row).await?;
            tx.commit().await?;
            Ok::<_, CatalogError>(row)
        });
    }
    let (won, lost): (Vec<_>, Vec<_>) = calls.join_all().await.into_iter().partition(Result::is_ok);
    assert_eq!((won.len(), lost.len()), (1, 7));
    for lost in lost {
        assert_eq!(lost.map_err(|error| error.reason()), Err(Reason::RequestIdReused));
    }
    let found = ground.catalog.find_request("teacher", "CreateBackup", "b4c8").await?;
    assert_eq!(found.as_ref(), won[0].as_ref().ok());
    assert_eq!(ground.catalog.find_request("other", "CreateBackup", "b4c8").await?, None);
    let mut tx = ground.catalog.begin().await?;
    assert_eq!(tx.forget_requests(ground.now()).await?, 0);
    assert_eq!(tx.forget_requests(ground.now().plus_millis(1)).await?, 1);
    Ok(())
}

pub async fn outbox_keeps_order_until_flushed(ground: &Ground) -> anyhow::Result<()> {
    let mut written = Vec::new();
    for n in 0..20 {
        let mut tx = ground.catalog.begin().await?;
        written.push(tx.append_outbox(&ground.site, &ground.storage, &format!(r#"{{"n":{n}}}"#)).await?);
        if n % 4 == 0 {
            ground.clock.advance(Duration::from_millis(1));
        }
        tx.commit().await?;
        // what is rolled back leaves nothing
        let mut tx = ground.catalog.begin().await?;
        tx.append_outbox(&ground.site, &ground.storage, "{}").await?;
        drop(tx);
    }
    let pending = ground.catalog.pending_outbox(100).await?;
    assert_eq!(pending.iter().map(|event| event.seq).collect::<Vec<_>>(), written);
    assert_eq!(pending[7].event, r#"{"n":7}"#);
    let mut tx = ground.catalog.begin().await?;
    assert_eq!(tx.mark_flushed(&written[..15]).await?, 15);
    assert_eq!(tx.mark_flushed(&written[..15]).await?, 0);
    assert_eq!(tx.mark_flushed(&[]).await?, 0);
    tx.commit().await?;
    let pending = ground.catalog.pending_outbox(2).await?;
    assert_eq!(pending.iter().map(|event| event.seq).collect::<Vec<_>>(), written[15..17]);
    Ok(())
}

pub async fn nothing_is_true_before_commit(ground: &Ground) -> anyhow::Result<()> {
    let course = ground.course_row("rich")?;
    let mut tx = ground.catalog.begin().await?;
    tx.insert_course(&course).await?;
    assert_eq!(tx.get_course(&ground.site, &course.course).await?, Some(course.clone()));
    assert_eq!(ground.catalog.get_course(&ground.site, &course.course).await?, None);
    drop(tx);
    assert_eq!(ground.catalog.get_course(&ground.site, &course.course).await?, None);
    let mut tx = ground.catalog.begin().await?;
    tx.insert_course(&course).await?;
    tx.commit().await?;
    assert_eq!(ground.catalog.get_course(&ground.site, &course.course).await?, Some(course));
    ground.catalog.check().await?;
    Ok(())
}

/// Who moves a chore on does it: one of all replicas, once for each due time.
pub async fn a_chore_is_done_once(ground: &Ground) -> anyhow::Result<()> {
    let mut tx = ground.catalog.begin().await?;
    assert_eq!(tx.adopt_chores().await?, Chore::ALL.len() as u64);
    assert_eq!(tx.adopt_chores().await?, 0);
    tx.commit().await?;
    let due = ground.catalog.due_chores(ground.now(), 100).await?;
    assert_eq!(due.len(), Chore::ALL.len());
    let next = ground.now().plus(Duration::from_secs(60));
    for moved in [true, false] {
        let mut tx = ground.catalog.begin().await?;
        assert_eq!(tx.move_chore(&due[0], next).await?, moved);
        tx.commit().await?;
    }
    ground.clock.advance(Duration::from_secs(59));
    let others = ground.catalog.due_chores(ground.now(), 100).await?;
    assert!(!others.iter().any(|chore| chore.chore == due[0].chore));
    ground.clock.advance(Duration::from_secs(1));
    assert_eq!(ground.catalog.due_chores(ground.now(), 100).await?.len(), Chore::ALL.len());
    Ok(())
}
