//! Imports: what is chosen of one course is merged into another one, without people, and taken out again.

use std::collections::BTreeMap;
use std::io::Read as _;

use anyhow::{Context, Result, ensure};
use coursevault::proto::*;
use tonic::Code;

use crate::app::TestApp;
use crate::client::*;
use crate::errors::{Detail, refused, refused_with};

const TARGET: &str = "sites/main/courses/small";
const SOURCE: &str = "sites/main/courses/rich";

async fn published(app: &TestApp) -> Result<()> {
    for (course, file) in [(SOURCE, "rich101-full-zip.mbz"), (TARGET, "gen_xs-full.mbz")] {
        let archive = app.upload(&fixture(file)?).await?;
        app.publish(course, &archive.name, "").await?;
    }
    Ok(())
}

fn only(rules: &[&str]) -> Option<BackupOptions> {
    let include = rules.iter().map(|rule| (*rule).to_owned()).collect();
    let extent = selection::Extent::None.into();
    let selection = Some(Selection { extent, include, ..Default::default() });
    Some(BackupOptions { selection, ..Default::default() })
}

fn request(options: Option<BackupOptions>) -> ImportCourseRequest {
    let (course, source_course) = (TARGET.into(), SOURCE.into());
    ImportCourseRequest { course, source_course, options, ..Default::default() }
}

async fn import(app: &TestApp, request: ImportCourseRequest) -> Result<Job, tonic::Status> {
    Ok(app.restores().import_course(request).await?.into_inner().job.unwrap_or_default())
}

/// Members of an archive with their bytes.
type Contents = BTreeMap<String, Vec<u8>>;

async fn state(app: &TestApp) -> Result<(Course, Contents)> {
    let request = GetCourseRequest { name: TARGET.into() };
    let course = app.courses().get_course(request).await?.into_inner().course.context("a course")?;
    let fetched = app.download_course(TARGET, Container::Zip).await?.bytes;
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(&fetched[..]))?;
    let mut contents = Contents::new();
    for index in 0..archive.len() {
        let mut member = archive.by_index(index)?;
        if member.is_file() {
            let mut bytes = Vec::new();
            member.read_to_end(&mut bytes)?;
            contents.insert(member.name()?.into_owned(), bytes);
        }
    }
    Ok((course, contents))
}

fn text<'c>(contents: &'c Contents, path: &str) -> Result<&'c str> {
    Ok(std::str::from_utf8(contents.get(path).with_context(|| path.to_owned())?)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_chosen_comes_along_with_its_files_and_without_people() -> Result<()> {
    chosen(&TestApp::start().await?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn imports_on_postgres() -> Result<()> {
    chosen(&TestApp::on_postgres().await?).await
}

async fn chosen(app: &TestApp) -> Result<()> {
    published(app).await?;
    let (before, had) = state(app).await?;
    let archives = app.archives(false).await?.len();
    let job = import(app, request(only(&["type:forum", "type:folder", "quiz_22"]))).await?;
    ensure!(job.kind() == job::Kind::Import, "{job:?}");
    let result = app.result_of(&job).await?;
    ensure!(result.course == TARGET && result.revision == format!("{TARGET}/revisions/2"), "{result:?}");
    ensure!(result.archive.is_empty() && app.archives(false).await?.len() == archives, "{result:?}");
    let modules = result.proof.iter().find(|proof| proof.kind == "course_module").context("modules")?;
    ensure!((modules.expected, modules.found, modules.matched) == (5, 5, 0), "{modules:?}");

    let (after, has) = state(app).await?;
    ensure!((&after.full_name, &after.short_name) == (&before.full_name, &before.short_name), "{after:?}");
    let told = text(&has, "moodle_backup.xml")?;
    for module in ["forum", "folder", "quiz"] {
        ensure!(told.contains(&format!("<modulename>{module}</modulename>")), "{module}");
    }
    ensure!(!told.contains("<modulename>wiki</modulename>"));
    // Nobody of the source came along, and those of the target are still there.
    let (users, were) = (text(&has, "users.xml")?, text(&had, "users.xml")?);
    ensure!(users.matches("<user id").count() == were.matches("<user id").count());
    for (path, bytes) in has.iter().filter(|(path, _)| path.ends_with(".xml")) {
        let document = String::from_utf8_lossy(bytes);
        ensure!(!document.contains("student0"), "{path} names somebody of the source");
    }
    // The contents that the folder and the questions need are there.
    let files = |contents: &Contents| contents.keys().filter(|path| path.starts_with("files/")).count();
    ensure!(files(&has) > files(&had), "{} {}", files(&has), files(&had));
    for hash in text(&has, "files.xml")?.split("<contenthash>").skip(1).filter_map(|rest| rest.get(..40)) {
        let path = format!("files/{}/{hash}", &hash[..2]);
        // Nothing lies below files/ for what is empty or a folder.
        let empty = hash == "da39a3ee5e6b4b0d3255bfef95601890afd80709";
        ensure!(empty || has.contains_key(&path), "{path} is missing");
    }

    app.result_of(&app.rollback(&job.name).await?).await?;
    let (course, now) = state(app).await?;
    ensure!(course.live_revision == format!("{TARGET}/revisions/3") && now == had, "{course:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_imported_is_refused_before_anything_is_written() -> Result<()> {
    let app = TestApp::start().await?;
    published(&app).await?;
    let invalid = async |request: ImportCourseRequest, field: &'static str| {
        let answer = import(&app, request).await;
        refused_with(answer, Code::InvalidArgument, "FIELD_INVALID", &Detail::Field(field))
            .with_context(|| field.to_owned())
    };
    invalid(ImportCourseRequest { source_course: TARGET.into(), ..request(None) }, "source_course").await?;
    invalid(ImportCourseRequest { source_course: String::new(), ..request(None) }, "source_course").await?;
    let other = "sites/other/courses/rich".to_owned();
    invalid(ImportCourseRequest { source_course: other, ..request(None) }, "source_course").await?;
    let mode = BackupMode::General.into();
    invalid(request(Some(BackupOptions { mode, ..Default::default() })), "options.mode").await?;
    invalid(request(only(&["forum_999"])), "options.selection.include[0]").await?;
    let settings = BackupSettings { users: Some(true), ..Default::default() };
    let users = BackupOptions { settings: Some(settings), ..Default::default() };
    invalid(request(Some(users)), "options.settings.users").await?;
    let missing = "sites/main/courses/missing".to_owned();
    for request in [
        ImportCourseRequest { course: missing.clone(), ..request(None) },
        ImportCourseRequest { source_course: missing, ..request(None) },
    ] {
        refused(import(&app, request).await, Code::NotFound, "COURSE_NOT_FOUND")?;
    }
    let checked = import(&app, ImportCourseRequest { validate_only: true, ..request(None) }).await?;
    ensure!(checked.name.is_empty(), "{checked:?}");
    ensure!(state(&app).await?.0.live_revision == format!("{TARGET}/revisions/1"));
    Ok(())
}
