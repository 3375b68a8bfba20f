//! The main job: an archive goes in, is published, backed up, restored and comes out, member for member.

use std::collections::BTreeMap;

use coursevault::config::Config;
use coursevault::proto::*;

use crate::app::{Outcome, SITE, TestApp, sha256};
use crate::members::{fixture, fixtures, members};

/// Takes one archive through everything and compares each stream that comes out with what went in.
async fn run(app: &TestApp, name: &str, bytes: &[u8], id: &str) -> Outcome {
    let original = members(bytes)?;
    let answer = app.upload(bytes).await?;
    let (archive, inspection) = (answer.archive.unwrap_or_default(), answer.inspection.unwrap_or_default());
    assert_eq!(archive.upload_sha256, sha256(bytes), "{name}");
    assert_eq!(archive.member_count, original.len() as i64, "{name}");
    let inspected =
        app.backup().inspect_archive(InspectArchiveRequest { name: archive.name.clone() }).await?;
    assert_eq!(inspected.into_inner().inspection, Some(inspection), "{name}");
    compare(app, &archive, &original).await?;
    if archive.r#type() != ArchiveType::Course {
        return Ok(());
    }
    let course = format!("{SITE}/courses/{id}");
    let publish =
        PublishRevisionRequest { course: course.clone(), archive: archive.name, ..Default::default() };
    let published = app.courses().publish_revision(publish).await?.into_inner();
    assert_eq!(published.revision.map(|r| r.name), Some(format!("{course}/revisions/1")));

    let request = CreateBackupRequest { course: course.clone(), ..Default::default() };
    let job = app.backup().create_backup(request).await?;
    let ended = app.wait(job.into_inner().job).await?;
    assert_eq!(ended.state(), job::State::Succeeded, "{name}: {:?}", ended.problem);
    let backup = ended.result.unwrap_or_default().archive;
    let backup = app.backup().get_archive(GetArchiveRequest { name: backup }).await?.into_inner();
    let backup = backup.archive.unwrap_or_default();
    assert_eq!((backup.origin(), backup.area()), (ArchiveOrigin::Backup, Area::Course));
    let moodle_name =
        backup.file_name.starts_with("backup-moodle2-course-") && backup.file_name.ends_with(".mbz");
    assert!(moodle_name, "{}", backup.file_name);
    compare(app, &backup, &original).await?;

    let target = NewCourse { course_id: format!("{id}-restored") };
    let request = CreateRestoreRequest {
        archive: backup.name,
        target: Some(create_restore_request::Target::NewCourse(target)),
        ..Default::default()
    };
    let restore = app.restore().create_restore(request).await?.into_inner().job;
    let restored = app.wait(restore).await?;
    assert_eq!(restored.state(), job::State::Succeeded, "{name}: {:?}", restored.problem);
    let course = restored.result.unwrap_or_default().course;
    for container in [Container::Zip, Container::TarGz] {
        let out = app.download_course(&course, container).await?;
        assert!(members(&out)? == original, "{name} differs after the restore");
    }
    let request = RollbackRestoreRequest { job: restored.name, ..Default::default() };
    let job = app.restore().rollback_restore(request).await?;
    let undone = app.wait(job.into_inner().job).await?;
    assert_eq!(undone.state(), job::State::Succeeded, "{name}: {:?}", undone.problem);
    let gone = app.courses().get_course(GetCourseRequest { name: course }).await?.into_inner();
    assert!(gone.course.is_some_and(|course| course.delete_time.is_some()));
    Ok(())
}

/// Streams an archive out in both containers, whole and from offsets, and reads some members one by one.
async fn compare(app: &TestApp, archive: &Archive, original: &BTreeMap<String, Vec<u8>>) -> Outcome {
    for form in &archive.forms {
        let request = DownloadArchiveRequest {
            name: archive.name.clone(),
            container: form.container,
            ..Default::default()
        };
        let (header, whole, finish) = app.download(request.clone()).await?;
        assert_eq!((header.size_bytes, form.size_bytes), (whole.len() as i64, whole.len() as i64));
        assert!(members(&whole)? == *original, "{} differs", archive.name);
        assert_eq!(finish.sha256, sha256(&whole));
        for (offset, limit) in
            [(0, 1), (1, 100), (whole.len() / 2, 70_000), (whole.len() - 1, 0), (whole.len(), 0)]
        {
            let range =
                DownloadArchiveRequest { offset: offset as i64, limit: limit as i64, ..request.clone() };
            let (again, part, _) = app.download(range).await?;
            let end = if limit == 0 { whole.len() } else { whole.len().min(offset + limit) };
            assert!(part == whole[offset..end], "range from {offset}");
            assert_eq!((again.etag, again.sha256), (header.etag.clone(), sha256(&whole)));
        }
    }
    let mut listed = BTreeMap::new();
    let mut page_token = String::new();
    loop {
        let request = ListArchiveMembersRequest {
            parent: archive.name.clone(),
            page_size: 100,
            page_token,
            ..Default::default()
        };
        let page = app.backup().list_archive_members(request).await?.into_inner();
        listed.extend(page.members.into_iter().map(|member| (member.path, member.size_bytes)));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let sizes: BTreeMap<String, i64> =
        original.iter().map(|(path, content)| (path.clone(), content.len() as i64)).collect();
    assert_eq!(listed, sizes);
    for (path, content) in original.iter().step_by(37) {
        let request = ReadArchiveMemberRequest { name: archive.name.clone(), path: path.clone() };
        let mut stream = app.backup().read_archive_member(request).await?.into_inner();
        let mut read = Vec::new();
        while let Some(message) = stream.message().await? {
            if let Some(read_archive_member_response::Part::Chunk(chunk)) = message.part {
                read.extend_from_slice(&chunk.data);
            }
        }
        assert!(read == *content, "{path} differs");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fixture_goes_the_whole_way() -> Outcome {
    let folder = tempfile::tempdir()?;
    let app = TestApp::embedded(folder.path()).await?;
    for (index, (name, bytes)) in fixtures()?.into_iter().enumerate() {
        run(&app, &name, &bytes, &format!("course-{index}")).await?;
    }
    app.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_and_s3_carry_the_main_job() -> Outcome {
    let s3 = crate::s3::S3Server::start().await?;
    let folder = tempfile::tempdir()?;
    let mut config = Config::embedded(folder.path().to_path_buf());
    config.catalog_url = Some(crate::postgres::server().fresh_database()?.into());
    config.storages.insert("primary".parse()?, s3.config());
    let app = TestApp::start(config).await?;
    for name in ["rich101-full-zip.mbz", "gen_xs-full.mbz"] {
        let id = name.split('.').next().unwrap_or_default().replace('_', "-");
        run(&app, name, &fixture(name)?, &id).await?;
    }
    app.stop().await
}

/// A cartridge: no Moodle archive, but accepted and kept.
#[tokio::test(flavor = "multi_thread")]
async fn a_cartridge_is_kept_but_is_no_course() -> Outcome {
    let folder = tempfile::tempdir()?;
    let app = TestApp::embedded(folder.path()).await?;
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    zip.start_file("imsmanifest.xml", zip::write::SimpleFileOptions::default())?;
    std::io::Write::write_all(&mut zip, b"<manifest/>")?;
    let bytes = zip.finish()?.into_inner();
    let archive = app.upload(&bytes).await?.archive.unwrap_or_default();
    assert_eq!(archive.r#type(), ArchiveType::Cartridge);
    compare(&app, &archive, &members(&bytes)?).await?;
    let publish = PublishRevisionRequest {
        course: format!("{SITE}/courses/c"),
        archive: archive.name,
        ..Default::default()
    };
    let refused = app.courses().publish_revision(publish).await.err();
    assert_eq!(refused.map(|status| status.code()), Some(tonic::Code::FailedPrecondition));
    app.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_archive_again_stores_no_content_again() -> Outcome {
    let folder = tempfile::tempdir()?;
    let app = TestApp::embedded(folder.path()).await?;
    let zip = fixture("rich101-full-zip.mbz")?;
    app.upload(&zip).await?;
    let first = app.report().await?;
    app.upload(&zip).await?;
    let second = app.report().await?;
    assert_eq!(second.logical_bytes, 2 * first.logical_bytes);
    assert_eq!(second.content_count, first.content_count);
    // Only the second archive's own record is new.
    assert!(second.stored_bytes - first.stored_bytes < 4096, "{first:?} {second:?}");
    app.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bytes_of_an_archive_outlive_the_server() -> Outcome {
    let folder = tempfile::tempdir()?;
    let app = TestApp::embedded(folder.path()).await?;
    let archive = app.upload(&fixture("rich101-activity-quiz.mbz")?).await?.archive.unwrap_or_default();
    let request = DownloadArchiveRequest { name: archive.name, ..Default::default() };
    let before = app.download(request.clone()).await?;
    app.stop().await?;
    let app = TestApp::embedded(folder.path()).await?;
    let after = app.download(request).await?;
    assert!(before.1 == after.1);
    assert_eq!(before.0.etag, after.0.etag);
    app.stop().await
}
