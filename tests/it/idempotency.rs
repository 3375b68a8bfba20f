//! A repeated call with the same request id has one effect and one answer; and the protos keep their conventions.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use coursevault::proto::*;
use prost::Message;
use tonic::{Code, Status};

use crate::app::TestApp;
use crate::client::*;
use crate::errors::refused;

/// Makes the same call four times, twice of them at once, and gives the one answer. `altered` asks for something else
/// under the same id.
macro_rules! repeated {
    ($app:expr, $stub:ident . $call:ident, $request:expr, $altered:expr) => {{
        let id = fresh_id();
        let request = move || {
            let mut request = $request;
            request.request_id = id.clone();
            request
        };
        let call = |request| {
            let client = $app.client.clone();
            async move { Ok::<_, Status>(client.$stub().$call(request).await?.into_inner()) }
        };
        let (one, two) = tokio::join!(call(request()), call(request()));
        let (one, two) = (one.context("one of two at once")?, two.context("the other of two at once")?);
        let three = call(request()).await?;
        let names = [name_of(&one), name_of(&two), name_of(&three)];
        ensure!(names[0] == names[1] && names[1] == names[2], "{names:?}");
        let mut altered = request();
        ($altered)(&mut altered);
        refused(call(altered).await, Code::InvalidArgument, "REQUEST_ID_REUSED")?;
        one
    }};
}

/// Names in an answer: what it made or changed.
fn name_of(answer: &impl std::fmt::Debug) -> Vec<String> {
    let text = format!("{answer:?}");
    let names = text.split("name: \"").skip(1).filter_map(|rest| rest.split('"').next());
    names.filter(|name| name.starts_with("sites/")).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn repeated_calls_have_one_effect_on_sqlite() -> Result<()> {
    Box::pin(every_call(TestApp::start().await?)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn repeated_calls_have_one_effect_on_postgres() -> Result<()> {
    Box::pin(every_call(TestApp::on_postgres().await?)).await
}

async fn every_call(app: TestApp) -> Result<()> {
    let archive = app.upload(&fixture("gen_xs-nu.mbz")?).await?.name;
    let course = "sites/main/courses/c".to_owned();

    let site = CreateSiteRequest { site_id: "second".into(), ..Default::default() };
    repeated!(app, admin.create_site, site.clone(), |r: &mut CreateSiteRequest| r.site_id = "third".into());
    let sites = app.admin().list_sites(ListSitesRequest::default()).await?.into_inner().sites;
    ensure!(sites.len() == 2, "{sites:?}");

    let start = StartUploadRequest { parent: MAIN.into(), file_name: "a.mbz".into(), ..Default::default() };
    repeated!(app, transfers.start_upload, start.clone(), |r: &mut StartUploadRequest| r.file_name =
        "b".into());

    let publish =
        PublishRevisionRequest { course: course.clone(), archive: archive.clone(), ..Default::default() };
    let altered = |r: &mut PublishRevisionRequest| r.course = "sites/main/courses/d".into();
    repeated!(app, courses.publish_revision, publish.clone(), altered);
    let revisions = ListRevisionsRequest { parent: course.clone(), ..Default::default() };
    ensure!(app.courses().list_revisions(revisions).await?.into_inner().revisions.len() == 1);

    let backup = CreateBackupRequest { course: course.clone(), ..Default::default() };
    let altered = |r: &mut CreateBackupRequest| r.area = Area::Private.into();
    let job = repeated!(app, backups.create_backup, backup.clone(), altered).job.context("a job")?;
    app.result_of(&job).await?;

    let restore = restore_request(&archive, "restored");
    let other = app.upload(&fixture("gen_xs-nu.mbz")?).await?.name;
    let altered = |r: &mut CreateRestoreRequest| r.archive.clone_from(&other);
    let restore = repeated!(app, restores.create_restore, restore.clone(), altered).job.context("a job")?;
    app.result_of(&restore).await?;

    let second = app.restore(&archive, "second").await?;
    app.result_of(&second).await?;
    let rollback = RollbackRestoreRequest { job: restore.name.clone(), ..Default::default() };
    let altered = |r: &mut RollbackRestoreRequest| r.job.clone_from(&second.name);
    let undo = repeated!(app, restores.rollback_restore, rollback.clone(), altered).job.context("a job")?;
    app.result_of(&undo).await?;

    let delete = DeleteArchiveRequest { name: archive.clone(), ..Default::default() };
    let altered = |r: &mut DeleteArchiveRequest| r.name.clone_from(&other);
    repeated!(app, backups.delete_archive, delete.clone(), altered);
    ensure!(
        app.archive(&archive).await?.delete_time.is_some()
            && app.archive(&other).await?.delete_time.is_none()
    );

    let undelete = UndeleteArchiveRequest { name: archive.clone(), ..Default::default() };
    let altered = |r: &mut UndeleteArchiveRequest| r.name.clone_from(&other);
    repeated!(app, backups.undelete_archive, undelete.clone(), altered);
    ensure!(app.archive(&archive).await?.delete_time.is_none());

    let jobs = app.all_jobs().await?;
    // Backup, two restores, one rollback.
    ensure!(jobs.len() == 4 && jobs.iter().all(|job| job.state() == job::State::Succeeded), "{jobs:?}");
    ensure!(app.archives(true).await?.len() == 3);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn repeated_decisions_have_one_effect_on_sqlite() -> Result<()> {
    Box::pin(every_decision(TestApp::start().await?)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn repeated_decisions_have_one_effect_on_postgres() -> Result<()> {
    Box::pin(every_decision(TestApp::on_postgres().await?)).await
}

async fn every_decision(app: TestApp) -> Result<()> {
    let archive = app.upload(&fixture("gen_xs-nu.mbz")?).await?.name;
    let update = UpdateArchiveRequest {
        archive: Some(Archive { name: archive.clone(), description: "one".into(), ..Default::default() }),
        ..Default::default()
    };
    let altered = |r: &mut UpdateArchiveRequest| r.update_mask = Some(prost_types::FieldMask::default());
    let updated = repeated!(app, backups.update_archive, update.clone(), altered);
    ensure!(updated.archive.context("an archive")?.description == "one");

    let share = ShareArchiveRequest {
        name: archive.clone(),
        principal: "lms".into(),
        expiration: Some(share_archive_request::Expiration::Ttl(prost_types::Duration {
            seconds: 3600,
            nanos: 0,
        })),
        ..Default::default()
    };
    let altered = |r: &mut ShareArchiveRequest| r.principal = "cms".into();
    let shared = repeated!(app, backups.share_archive, share.clone(), altered).archive.context("one")?;
    ensure!(shared.shares.len() == 1, "{shared:?}");
    let unshare =
        UnshareArchiveRequest { name: archive.clone(), principal: "lms".into(), ..Default::default() };
    let altered = |r: &mut UnshareArchiveRequest| r.principal = "cms".into();
    repeated!(app, backups.unshare_archive, unshare.clone(), altered);

    let hold = PlaceHoldRequest { name: archive.clone(), reason: "an appeal".into(), ..Default::default() };
    let altered = |r: &mut PlaceHoldRequest| r.reason = "another".into();
    let held = repeated!(app, backups.place_hold, hold.clone(), altered).archive.context("an archive")?;
    let release = ReleaseHoldRequest {
        name: archive.clone(),
        etag: held.etag.clone(),
        reason: "it is decided".into(),
        ..Default::default()
    };
    let altered = |r: &mut ReleaseHoldRequest| r.reason = "another".into();
    repeated!(app, backups.release_hold, release.clone(), altered);
    ensure!(app.archive(&archive).await?.hold.is_none());

    let changed = Site { name: MAIN.into(), language: "fr".into(), ..Default::default() };
    let change = UpdateSiteRequest { site: Some(changed), ..Default::default() };
    let altered = |r: &mut UpdateSiteRequest| r.update_mask = Some(prost_types::FieldMask::default());
    repeated!(app, admin.update_site, change.clone(), altered);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_and_retrying_twice_is_once() -> Result<()> {
    let app = TestApp::without_worker().await?;
    let archive = app.upload(&fixture("gen_xs-nu.mbz")?).await?.name;
    app.publish("sites/main/courses/c", &archive, "").await?;
    let job = app.backup("sites/main/courses/c").await?.name;
    let cancel = CancelJobRequest { name: job.clone(), ..Default::default() };
    let altered = |r: &mut CancelJobRequest| r.reason = "why not".into();
    let cancelled = repeated!(app, jobs.cancel_job, cancel.clone(), altered).job.context("a job")?;
    ensure!(cancelled.state() == job::State::Cancelled, "{cancelled:?}");
    let other = app.backup("sites/main/courses/c").await?.name;
    let retry = RetryJobRequest { name: job.clone(), ..Default::default() };
    let altered = |r: &mut RetryJobRequest| r.name.clone_from(&other);
    let retried = repeated!(app, jobs.retry_job, retry.clone(), altered).job.context("a job")?;
    ensure!(
        retried.state() == job::State::Pending && retried.version == cancelled.version + 1,
        "{retried:?}"
    );
    let app = app.restart_with(|config| config.limits.concurrent_jobs = 1).await?;
    ensure!(app.ended(&job).await?.state() == job::State::Succeeded);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_one_call_upload_is_one_archive() -> Result<()> {
    let app = TestApp::start().await?;
    let bytes = fixture("gen_xs-nu.mbz")?;
    let header = UploadHeader { request_id: fresh_id(), ..header("x.mbz") };
    let parts = || upload(header.clone(), &bytes);
    let (one, two) = tokio::join!(app.send(parts()), app.send(parts()));
    let (one, two, three) =
        (one.context("one of two")?, two.context("two of two")?, app.send(parts()).await?);
    ensure!(one == two && two == three, "{one:?} {two:?} {three:?}");
    ensure!(app.archives(true).await?.len() == 1);
    let other = upload(UploadHeader { file_name: "y.mbz".into(), ..header.clone() }, &bytes);
    refused(app.send(other).await, Code::InvalidArgument, "REQUEST_ID_REUSED")?;

    // The same id for another call is another call.
    let into_drop_zone = || {
        let messages = parts().into_iter().map(|part| UploadArchiveRequest {
            part: Some(match part {
                upload_backup_request::Part::Header(header) => upload_archive_request::Part::Header(header),
                upload_backup_request::Part::Chunk(chunk) => upload_archive_request::Part::Chunk(chunk),
                upload_backup_request::Part::Finish(finish) => upload_archive_request::Part::Finish(finish),
            }),
        });
        futures::stream::iter(messages.collect::<Vec<_>>())
    };
    let first = app.restores().upload_archive(into_drop_zone()).await?.into_inner();
    let again = app.restores().upload_archive(into_drop_zone()).await?.into_inner();
    ensure!(first == again && first.inspection.is_some());
    ensure!(first.archive.context("an archive")?.area() == Area::DropZone);
    ensure!(app.archives(true).await?.len() == 2);
    Ok(())
}

#[test]
fn protos_keep_their_conventions() -> Result<()> {
    const MUTATORS: [&str; 14] = [
        "Create",
        "Update",
        "Start",
        "Delete",
        "Undelete",
        "Publish",
        "Cancel",
        "Retry",
        "Rollback",
        "Place",
        "Release",
        "Share",
        "Unshare",
        "ImportRoles",
    ];
    let set = prost_types::FileDescriptorSet::decode(DESCRIPTOR_SET)?;
    let files: Vec<_> = set.file.iter().filter(|file| file.package() == "coursevault.v1").collect();
    let fields = |message: &str| -> Result<BTreeSet<String>> {
        let name = message.rsplit('.').next().unwrap_or_default();
        let mut messages = files.iter().flat_map(|file| &file.message_type);
        let found = messages.find(|known| known.name() == name).with_context(|| message.to_owned())?;
        Ok(found.field.iter().map(|field| field.name().to_owned()).collect())
    };
    let (mut lists, mut mutators, mut enums) = (0, 0, 0);
    for method in files.iter().flat_map(|file| &file.service).flat_map(|service| &service.method) {
        let (name, asked, told) =
            (method.name(), fields(method.input_type())?, fields(method.output_type())?);
        if name.starts_with("List") {
            lists += 1;
            ensure!(asked.contains("page_size") && asked.contains("page_token"), "{name}: {asked:?}");
            ensure!(told.contains("next_page_token"), "{name}: {told:?}");
        }
        if MUTATORS.iter().any(|verb| name.starts_with(verb)) {
            mutators += 1;
            ensure!(asked.contains("request_id"), "{name}: {asked:?}");
        }
        let types = [method.input_type(), method.output_type()].map(|name| name.rsplit('.').next());
        ensure!(types == [Some(&*format!("{name}Request")), Some(&*format!("{name}Response"))], "{types:?}");
    }
    let nested = files.iter().flat_map(|file| &file.message_type).flat_map(|message| &message.enum_type);
    for choice in files.iter().flat_map(|file| &file.enum_type).chain(nested) {
        enums += 1;
        let zero = choice.value.first().context("a value")?;
        ensure!(zero.number() == 0 && zero.name().ends_with("_UNSPECIFIED"), "{}", choice.name());
    }
    ensure!((lists, mutators) == (9, 18) && enums >= 8, "{lists} lists, {mutators} mutators, {enums} enums");
    Ok(())
}
