//! The main job: an archive comes in, becomes a course, is backed up and restored, and every byte that leaves is the
//! same; whatever holds catalog and contents.

use std::collections::BTreeMap;
use std::io::Read;

use anyhow::{Context, Result, ensure};
use coursevault::proto::*;
use futures::TryStreamExt;

use crate::app::TestApp;
use crate::client::*;

const CONTAINERS: [Container; 2] = [Container::Zip, Container::TarGz];

#[tokio::test(flavor = "multi_thread")]
async fn every_fixture_goes_round_on_sqlite_and_a_folder() -> Result<()> {
    let app = TestApp::start().await?;
    for name in fixtures()? {
        go_round(&app, &name).await.with_context(|| name.clone())?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_main_job_runs_on_postgres() -> Result<()> {
    go_round(&TestApp::on_postgres().await?, "gen_xs-full.mbz").await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_main_job_runs_on_s3() -> Result<()> {
    go_round(&TestApp::on_s3().await?, "rich101-full-zip.mbz").await
}

/// Everything that can be done with one archive.
async fn go_round(app: &TestApp, name: &str) -> Result<()> {
    let bytes = fixture(name)?;
    let expected = members(&bytes)?;
    let archive = app.upload(&bytes).await?;
    ensure!(
        archive.upload_sha256 == sha256(&bytes) && archive.upload_size_bytes == size(&bytes),
        "{archive:?}"
    );
    ensure!(usize::try_from(archive.member_count)? == expected.len(), "{archive:?}");
    ensure!(archive.file_name == "archive.mbz" && archive.area() == Area::Private, "{archive:?}");
    check_forms(app, &archive, &expected).await?;

    let session = app.start_upload().await?;
    app.push(&session.name, 0, &bytes).await?;
    let finished = app.finish(&session.name, &bytes).await?;
    let twin = finished.archive.context("an archive")?;
    ensure!(twin.area() == Area::DropZone && twin.job == finished.job.context("a job")?.name, "{twin:?}");
    ensure!(finished.upload.context("an upload")?.archive == twin.name);
    check_forms(app, &twin, &expected).await?;

    let request = InspectArchiveRequest { name: archive.name.clone() };
    let inspection = app.backups().inspect_archive(request).await?.into_inner().inspection;
    ensure!(inspection.is_some() && inspection == finished.inspection, "{inspection:?}");
    let inspection = inspection.context("an inspection")?;
    ensure!(inspection.r#type() == archive.r#type() && inspection.format == "moodle2", "{inspection:?}");

    let id = name.trim_end_matches(".mbz").replace('_', "-");
    if archive.r#type() == ArchiveType::Course {
        course_round(app, &archive, &id, &expected).await?;
    }
    Ok(())
}

/// Publish, back up, restore, undo.
async fn course_round(app: &TestApp, archive: &Archive, id: &str, expected: &Members) -> Result<()> {
    let course = format!("{MAIN}/courses/{id}");
    let revision = app.publish(&course, &archive.name, "").await?;
    ensure!(revision.name == format!("{course}/revisions/1") && revision.parent.is_empty(), "{revision:?}");
    check_course(app, &course, expected).await?;

    let result = app.result_of(&app.backup(&course).await?).await?;
    let backup = app.archive(&result.archive).await?;
    ensure!(backup.origin() == ArchiveOrigin::Backup && backup.course == course, "{backup:?}");
    ensure!(backup.file_name.starts_with("backup-moodle2-course-"), "{backup:?}");
    check_forms(app, &backup, expected).await?;

    let restore = app.restore(&backup.name, &format!("{id}-again")).await?;
    let restored = app.result_of(&restore).await?;
    ensure!(restored.course == format!("{course}-again"), "{restored:?}");
    check_restored(app, &backup.name, &restored.revision).await?;

    app.result_of(&app.rollback(&restore.name).await?).await?;
    let gone = GetCourseRequest { name: restored.course };
    let gone = app.courses().get_course(gone).await?.into_inner().course.context("a course")?;
    ensure!(gone.delete_time.is_some(), "{gone:?}");
    check_course(app, &course, expected).await
}

/// A restored course holds what its archive held, under ids of its own.
async fn check_restored(app: &TestApp, archive: &str, revision: &str) -> Result<()> {
    app.holds_the_same(archive, revision).await?;
    let course = revision.split("/revisions/").next().context("a course")?;
    for container in CONTAINERS {
        let fetched = app.download_course(course, container).await?;
        check_bytes(&fetched, container, &members(&fetched.bytes)?)?;
    }
    Ok(())
}

async fn check_course(app: &TestApp, course: &str, expected: &Members) -> Result<()> {
    for container in CONTAINERS {
        let fetched = app.download_course(course, container).await?;
        check_bytes(&fetched, container, expected).with_context(|| format!("{course} {container:?}"))?;
    }
    Ok(())
}

/// Fetches both forms and holds them against what is promised for them.
async fn check_forms(app: &TestApp, archive: &Archive, expected: &Members) -> Result<()> {
    ensure!(
        archive.forms.len() == 2 && archive.forms.iter().all(|form| form.sha256.is_empty()),
        "{archive:?}"
    );
    for container in CONTAINERS {
        let fetched = app.download(&archive.name, container).await?;
        check_bytes(&fetched, container, expected)
            .with_context(|| format!("{} {container:?}", archive.name))?;
        ensure!(fetched.header.sha256.is_empty() && fetched.finish.sha256 == sha256(&fetched.bytes));
        let form =
            app.archive(&archive.name).await?.forms.into_iter().find(|form| form.container() == container);
        let form = form.context("a form")?;
        ensure!(form.size_bytes == size(&fetched.bytes) && form.sha256 == fetched.finish.sha256, "{form:?}");
    }
    Ok(())
}

fn check_bytes(fetched: &Fetched, container: Container, expected: &Members) -> Result<()> {
    ensure!(fetched.header.size_bytes == size(&fetched.bytes), "{:?}", fetched.header);
    ensure!(members(&fetched.bytes)? == *expected, "members differ");
    ensure!(read_by_others(&fetched.bytes, container)? == *expected, "other readers see other members");
    Ok(())
}

/// The members as readers see them that are not ours.
fn read_by_others(bytes: &[u8], container: Container) -> Result<Members> {
    let mut found = BTreeMap::new();
    let mut note = |path: &str, content: &mut dyn Read| -> Result<()> {
        let mut plain = Vec::new();
        content.read_to_end(&mut plain)?;
        found.insert(path.to_owned(), (plain.len() as u64, blake3::hash(&plain)));
        Ok(())
    };
    if container == Container::Zip {
        let mut zip = zip::ZipArchive::new(std::io::Cursor::new(bytes))?;
        for index in 0..zip.len() {
            let mut member = zip.by_index(index)?;
            let path = member.name()?.into_owned();
            if !member.is_dir() {
                note(&path, &mut member)?;
            }
        }
    } else {
        let mut tar = tar::Archive::new(flate2::read::MultiGzDecoder::new(bytes));
        for member in tar.entries()? {
            let mut member = member?;
            let path = member.path()?.to_string_lossy().into_owned();
            if member.header().entry_type().is_file() && path != ".ARCHIVE_INDEX" {
                note(&path, &mut member)?;
            }
        }
    }
    Ok(found)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cartridge_is_kept_but_is_no_course() -> Result<()> {
    use std::io::Write;
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (path, text) in [("imsmanifest.xml", "<manifest/>"), ("web/page.html", "<p>hello</p>")] {
        zip.start_file(path, zip::write::SimpleFileOptions::default())?;
        zip.write_all(text.as_bytes())?;
    }
    let bytes = zip.finish()?.into_inner();
    let app = TestApp::start().await?;
    let archive = app.upload(&bytes).await?;
    assert_eq!(archive.r#type(), ArchiveType::Cartridge);
    check_forms(&app, &archive, &members(&bytes)?).await?;
    let request = InspectArchiveRequest { name: archive.name };
    let inspection = app.backups().inspect_archive(request).await?.into_inner().inspection.context("one")?;
    assert_eq!((inspection.r#type(), inspection.format.as_str()), (ArchiveType::Cartridge, "imscc1"));
    assert_eq!(inspection.member_count, 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_upload_stores_no_content_again() -> Result<()> {
    let app = TestApp::start().await?;
    let bytes = fixture("rich101-full-zip.mbz")?;
    app.upload(&bytes).await?;
    let once = app.report().await?;
    // The same course in the other container: other bytes on the way, the same members.
    app.upload(&bytes).await?;
    let twice = app.report().await?;
    assert_eq!((twice.archive_count, twice.logical_bytes), (2, 2 * once.logical_bytes));
    assert_eq!((twice.content_count, twice.content_bytes), (once.content_count, once.content_bytes));
    assert!(once.content_bytes > 0 && once.stored_bytes > 0);
    // What it takes is its record, not its contents.
    let grown = twice.stored_bytes - once.stored_bytes;
    assert!(grown * 100 < once.stored_bytes, "{grown} more bytes than {}", once.stored_bytes);

    let course = format!("{MAIN}/courses/rich");
    app.publish(&course, &app.archives(false).await?[0].name, "").await?;
    app.result_of(&app.backup(&course).await?).await?;
    let backed_up = app.report().await?;
    assert_eq!(backed_up.content_bytes, once.content_bytes);
    assert_eq!((backed_up.archive_count, backed_up.revision_count), (3, 1));
    assert_eq!(backed_up.logical_bytes, 4 * once.logical_bytes);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_of_an_archive_are_stable_from_any_offset_and_after_a_restart() -> Result<()> {
    let app = TestApp::start().await?;
    let archive = app.upload(&fixture("rich101-full-tgz.mbz")?).await?.name;
    let mut whole = BTreeMap::new();
    for container in CONTAINERS {
        let (first, second) =
            (app.download(&archive, container).await?, app.download(&archive, container).await?);
        assert!(first.bytes == second.bytes, "{container:?}");
        assert_eq!(second.header.sha256, first.finish.sha256);
        assert_eq!((&first.header.etag, &second.finish.sha256), (&second.header.etag, &first.finish.sha256));
        let bytes = first.bytes;
        for (offset, limit) in ranges(bytes.len()) {
            let part = app.download_range(&archive, container, offset, limit).await?;
            let end = if limit == 0 { bytes.len() } else { bytes.len().min(offset + limit) };
            assert!(part.bytes == bytes[offset..end], "{container:?} {offset} {limit}");
            assert_eq!(part.finish.sha256.is_empty(), (offset, end) != (0, bytes.len()));
            assert_eq!(part.header.sha256, second.header.sha256, "of the whole, whatever part is sent");
        }
        whole.insert(container as i32, (bytes, second.header));
    }
    let app = app.restart().await?;
    for container in CONTAINERS {
        let again = app.download(&archive, container).await?;
        let (bytes, header) = &whole[&(container as i32)];
        assert!(again.bytes == *bytes && again.header == *header, "{container:?} after a restart");
    }
    Ok(())
}

/// Offsets and limits all over a stream, its ends among them.
fn ranges(size: usize) -> Vec<(usize, usize)> {
    let mut all = vec![(0, 0), (0, 1), (0, size), (1, 0), (size - 1, 0), (size, 0), (size / 2, size)];
    let mut state = 0x9e37_79b9_usize;
    for _ in 0..20 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        all.push(((state >> 16) % size, (state >> 40) % 100_000));
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn every_member_can_be_listed_and_read_alone() -> Result<()> {
    let app = TestApp::start().await?;
    let bytes = fixture("gen_xs-full.mbz")?;
    let archive = app.upload(&bytes).await?.name;
    let expected = members(&bytes)?;
    let mut found = Members::new();
    let mut request =
        ListArchiveMembersRequest { parent: archive.clone(), page_size: 7, ..Default::default() };
    loop {
        let page = app.backups().list_archive_members(request.clone()).await?.into_inner();
        assert!(page.members.len() <= 7);
        for member in page.members {
            let read = ReadArchiveMemberRequest { name: archive.clone(), path: member.path.clone() };
            let answers = app.backups().read_archive_member(read).await?.into_inner();
            let mut content = Vec::new();
            for answer in answers.try_collect::<Vec<_>>().await? {
                match answer.part.context("a part")? {
                    read_archive_member_response::Part::Member(told) => assert_eq!(told, member),
                    read_archive_member_response::Part::Chunk(chunk) => {
                        content.extend_from_slice(&chunk.data);
                    }
                }
            }
            let digest = blake3::hash(&content);
            assert_eq!(member.blake3, digest.to_hex().as_str());
            assert_eq!(member.crc32, crc32fast::hash(&content));
            found.insert(member.path, (content.len() as u64, digest));
        }
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(found, expected);
    let prefixed =
        ListArchiveMembersRequest { parent: archive, path_prefix: "course/".into(), ..Default::default() };
    let prefixed = app.backups().list_archive_members(prefixed).await?.into_inner().members;
    assert_eq!(prefixed.len(), expected.keys().filter(|path| path.starts_with("course/")).count());
    Ok(())
}
