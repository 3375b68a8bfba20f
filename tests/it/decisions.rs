//! Holds, descriptions and changes of a site, through the front door, and how they reach the bucket.

use anyhow::{Context, Result, ensure};
use coursevault::proto::*;
use tonic::Code;
use tonic_types::StatusExt;

use crate::access::{as_whom, store};
use crate::app::TestApp;
use crate::areas::{in_area, on_postgres, on_sqlite, share};
use crate::client::*;
use crate::errors::{Detail, refused, refused_with};

#[tokio::test(flavor = "multi_thread")]
async fn held_archives_stay_on_sqlite() -> Result<()> {
    holds(on_sqlite().await?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn held_archives_stay_on_postgres() -> Result<()> {
    holds(on_postgres().await?).await
}

async fn holds(app: TestApp) -> Result<()> {
    let archive = store(&app, "anna", in_area(Area::Private)).await?;
    let name = archive.name.as_str();
    let hold =
        |reason: &str| PlaceHoldRequest { name: name.into(), reason: reason.into(), ..Default::default() };
    let release = |etag: &str, reason: &str| ReleaseHoldRequest {
        name: name.into(),
        etag: etag.into(),
        reason: reason.into(),
        ..Default::default()
    };
    let delete = || DeleteArchiveRequest { name: name.into(), ..Default::default() };
    for reason in ["", " ", &"x".repeat(501), "a\u{0}b"] {
        let answer = app.backups().place_hold(as_whom("anna", hold(reason))?).await;
        refused_with(answer, Code::InvalidArgument, "FIELD_INVALID", &Detail::Field("reason"))?;
    }
    let answer = app.backups().release_hold(as_whom("anna", release(&archive.etag, "why"))?).await;
    refused_with(answer, Code::FailedPrecondition, "ARCHIVE_NOT_HELD", &Detail::Resource(name))?;

    // Placed by an administrator: the owner can neither delete nor release.
    let held = app.backups().place_hold(as_whom("root", hold("an appeal"))?).await?.into_inner();
    let held = held.archive.context("an archive")?;
    let told = held.hold.clone().context("a hold")?;
    ensure!(told.reason == "an appeal" && told.principal == "root" && told.create_time.is_some());
    for answer in [
        app.backups().delete_archive(as_whom("anna", delete())?).await.map(|_| ()),
        app.backups().delete_archive(as_whom("root", delete())?).await.map(|_| ()),
        app.backups().place_hold(as_whom("anna", hold("mine"))?).await.map(|_| ()),
    ] {
        let status = answer.as_ref().err().cloned().context("refused")?;
        let held = status.get_error_details().precondition_failure().cloned().context("a precondition")?;
        ensure!(held.violations[0].subject == name, "{held:?}");
        let info = refused_with(
            answer,
            Code::FailedPrecondition,
            "ARCHIVE_HELD",
            &Detail::Metadata("holdReason", "an appeal"),
        )?;
        ensure!(info.metadata["holdPrincipal"] == "root" && info.metadata.contains_key("holdTime"));
    }
    let answer = app.backups().release_hold(as_whom("anna", release(&held.etag, "mine"))?).await;
    refused(answer, Code::PermissionDenied, "PERMISSION_DENIED")?;
    for (etag, reason, field) in [("", "why", "etag"), (held.etag.as_str(), "", "reason")] {
        let answer = app.backups().release_hold(as_whom("root", release(etag, reason))?).await;
        refused_with(answer, Code::InvalidArgument, "FIELD_INVALID", &Detail::Field(field))?;
    }
    let answer = app.backups().release_hold(as_whom("root", release(&archive.etag, "why"))?).await;
    refused(answer, Code::Aborted, "ETAG_MISMATCH")?;
    let free = app.backups().release_hold(as_whom("root", release(&held.etag, "decided"))?).await?;
    ensure!(free.into_inner().archive.context("an archive")?.hold.is_none());

    // One that is deleted can be held: it is not purged then, and says so. Who placed the hold may release it.
    let deleted = app.backups().delete_archive(as_whom("anna", delete())?).await?.into_inner().archive;
    ensure!(deleted.context("an archive")?.purge_time.is_some());
    let held = app.backups().place_hold(as_whom("anna", hold("mine"))?).await?.into_inner();
    let held = held.archive.context("an archive")?;
    ensure!(held.delete_time.is_some() && held.purge_time.is_none(), "{held:?}");
    let free = app.backups().release_hold(as_whom("anna", release(&held.etag, "done"))?).await?.into_inner();
    ensure!(free.archive.context("an archive")?.purge_time.is_some());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn descriptions_change_by_mask_and_etag() -> Result<()> {
    let app = TestApp::start().await?;
    let archive = app.upload(&fixture("gen_xs-nu.mbz")?).await?;
    let name = archive.name.as_str();
    let update = |description: &str, etag: &str, paths: Option<&[&str]>| UpdateArchiveRequest {
        archive: Some(Archive {
            name: name.into(),
            description: description.into(),
            etag: etag.into(),
            // What only the service says is not looked at.
            file_name: "other.mbz".into(),
            ..Default::default()
        }),
        update_mask: paths
            .map(|paths| prost_types::FieldMask { paths: paths.iter().map(ToString::to_string).collect() }),
        ..Default::default()
    };
    let told = app.backups().update_archive(update("before the exam", &archive.etag, None)).await?;
    let told = told.into_inner().archive.context("an archive")?;
    ensure!(told.description == "before the exam" && told.file_name == "archive.mbz", "{told:?}");
    ensure!(told.etag != archive.etag && app.archive(name).await? == told);
    // Without a mask what is empty stays; with one it goes.
    let same = app.backups().update_archive(update("", "", None)).await?.into_inner().archive;
    ensure!(same.as_ref() == Some(&told), "{same:?}");
    let answer = app.backups().update_archive(update("x", &archive.etag, None)).await;
    refused_with(answer, Code::Aborted, "ETAG_MISMATCH", &Detail::Resource(name))?;
    for path in ["file_name", "nothing", "hold.reason", ""] {
        let answer = app.backups().update_archive(update("x", "", Some(&[path]))).await;
        refused_with(answer, Code::InvalidArgument, "FIELD_INVALID", &Detail::Field("update_mask"))?;
    }
    for text in ["x".repeat(2001), "a\u{1b}[31mb".to_owned()] {
        let answer = app.backups().update_archive(update(&text, "", None)).await;
        let field = Detail::Field("archive.description");
        refused_with(answer, Code::InvalidArgument, "FIELD_INVALID", &field)?;
    }
    let answer = app.backups().update_archive(UpdateArchiveRequest::default()).await;
    refused_with(answer, Code::InvalidArgument, "FIELD_INVALID", &Detail::Field("archive.name"))?;
    for paths in [["*"], ["description"]] {
        let told = app.backups().update_archive(update("", "", Some(&paths))).await?.into_inner();
        ensure!(told.archive.context("an archive")?.description.is_empty());
    }
    app.backups().delete_archive(DeleteArchiveRequest { name: name.into(), ..Default::default() }).await?;
    let answer = app.backups().update_archive(update("x", "", None)).await;
    refused_with(answer, Code::FailedPrecondition, "ARCHIVE_DELETED", &Detail::Resource(name))?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn decisions_are_in_the_bucket() -> Result<()> {
    let app = TestApp::start().await?;
    let name = app.upload(&fixture("gen_xs-nu.mbz")?).await?.name;
    let described = Archive { name: name.clone(), description: "one".into(), ..Default::default() };
    let update = UpdateArchiveRequest { archive: Some(described), ..Default::default() };
    app.backups().update_archive(update).await?;
    app.backups().share_archive(share(&name, "lms", 3600)).await?;
    let unshare = UnshareArchiveRequest { name: name.clone(), principal: "lms".into(), ..Default::default() };
    app.backups().unshare_archive(unshare).await?;
    let hold = PlaceHoldRequest { name: name.clone(), reason: "an appeal".into(), ..Default::default() };
    let held = app.backups().place_hold(hold).await?.into_inner().archive.context("an archive")?;
    let release = ReleaseHoldRequest {
        name: name.clone(),
        etag: held.etag,
        reason: "decided".into(),
        ..Default::default()
    };
    app.backups().release_hold(release).await?;
    app.backups().delete_archive(DeleteArchiveRequest { name, ..Default::default() }).await?;
    let changed = Site { name: MAIN.into(), time_zone: "Europe/Paris".into(), ..Default::default() };
    let change = UpdateSiteRequest { site: Some(changed), ..Default::default() };
    app.admin().update_site(change).await?;
    let mut files = app.stored_files("journal");
    files.sort();
    let mut kinds = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(file)?;
        for line in text.lines() {
            let line: serde_json::Value = serde_json::from_str(line)?;
            kinds.extend(line["event"]["kind"].as_str().map(str::to_owned));
        }
    }
    assert_eq!(
        kinds,
        [
            "site_created",
            "archive_stored",
            "archive_described",
            "archive_shared",
            "archive_unshared",
            "archive_held",
            "archive_released",
            "archive_deleted",
            "site_updated"
        ]
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn file_names_follow_the_site() -> Result<()> {
    let app = TestApp::start().await?;
    let archive = app.upload(&fixture("gen_xs-nu.mbz")?).await?.name;
    let course = "sites/main/courses/c";
    app.publish(course, &archive, "").await?;
    let update = |language: &str, zone: &str, paths: &[&str]| UpdateSiteRequest {
        site: Some(Site {
            name: MAIN.into(),
            language: language.into(),
            time_zone: zone.into(),
            ..Default::default()
        }),
        update_mask: (!paths.is_empty())
            .then(|| prost_types::FieldMask { paths: paths.iter().map(ToString::to_string).collect() }),
        ..Default::default()
    };
    let told = app.admin().update_site(update("fr", "Asia/Kathmandu", &[])).await?.into_inner().site;
    let told = told.context("a site")?;
    ensure!((told.language.as_str(), told.time_zone.as_str()) == ("fr", "Asia/Kathmandu"), "{told:?}");
    ensure!(told.display_name == "main");
    let result = app.result_of(&app.backup(course).await?).await?;
    let made = app.archive(&result.archive).await?;
    ensure!(made.file_name.starts_with("sauvegarde-moodle2-course-"), "{}", made.file_name);
    ensure!(made.file_name.ends_with("-nu.mbz"), "{}", made.file_name);
    // The quarter of an hour of that zone shows in the minutes.
    let minute = made.create_time.context("a time")?.seconds / 60;
    let shown: i64 =
        made.file_name.trim_end_matches("-nu.mbz").rsplit('-').next().context("a time")?[2..].parse()?;
    assert_eq!(shown, (minute + 45) % 60);

    let wrong = |field: &'static str, request: UpdateSiteRequest| {
        let app = app.client.clone();
        async move {
            let answer = app.admin().update_site(request).await;
            refused_with(answer, Code::InvalidArgument, "FIELD_INVALID", &Detail::Field(field))
        }
    };
    wrong("site.language", update("de", "", &[])).await?;
    wrong("site.time_zone", update("", "Mars/Olympus", &[])).await?;
    wrong("update_mask", update("en", "", &["name"])).await?;
    wrong("site.name", UpdateSiteRequest::default()).await?;
    let elsewhere = Site { name: "sites/none".into(), language: "en".into(), ..Default::default() };
    let answer =
        app.admin().update_site(UpdateSiteRequest { site: Some(elsewhere), ..Default::default() }).await;
    refused_with(answer, Code::NotFound, "SITE_NOT_FOUND", &Detail::Resource("sites/none"))?;
    // What is changed to nothing gets its default.
    let told = app.admin().update_site(update("", "", &["language"])).await?.into_inner().site;
    ensure!(told.as_ref().is_some_and(|site| site.language == "en" && site.time_zone == "Asia/Kathmandu"));
    let app = app.restart().await?;
    let site = app.admin().get_site(GetSiteRequest { name: MAIN.into() }).await?.into_inner().site;
    ensure!(site == told, "{site:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn sites_are_changed_by_administrators() -> Result<()> {
    let app = on_sqlite().await?;
    let change = || UpdateSiteRequest {
        site: Some(Site { name: MAIN.into(), language: "fr".into(), ..Default::default() }),
        ..Default::default()
    };
    let answer = app.admin().update_site(as_whom("anna", change())?).await;
    refused(answer, Code::PermissionDenied, "PERMISSION_DENIED")?;
    app.admin().update_site(as_whom("root", change())?).await?;
    Ok(())
}
