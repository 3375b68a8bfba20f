//! Answers stay small enough to be taken, whatever an archive says of itself.

use std::io::Write;

use anyhow::{Context, Result, ensure};
use coursevault::proto::*;
use prost::Message;

use crate::app::TestApp;
use crate::client::*;

/// What clients take unless they say otherwise.
const TAKEN: usize = 4 << 20;

/// An archive of a course whose manifest has that name and these contents, with some files.
fn archive(full_name: &str, contents: &str, files: impl Iterator<Item = String>) -> Result<Vec<u8>> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let manifest = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<moodle_backup><information>\
         <original_course_fullname>{full_name}</original_course_fullname><details><detail backup_id=\"a\">\
         <type>course</type><format>moodle2</format></detail></details>{contents}</information></moodle_backup>"
    );
    for (path, text) in
        [("moodle_backup.xml".to_owned(), manifest)].into_iter().chain(files.map(|path| (path.clone(), path)))
    {
        zip.start_file(path, zip::write::SimpleFileOptions::default())?;
        zip.write_all(text.as_bytes())?;
    }
    Ok(zip.finish()?.into_inner())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_long_names_ends_early_and_leaves_no_gap() -> Result<()> {
    let app = TestApp::start().await?;
    let bytes = archive(&"n".repeat(60_000), "", std::iter::empty())?;
    let mut expected = Vec::new();
    for _ in 0..60 {
        expected.push(app.upload(&bytes).await?.name);
    }
    expected.reverse();
    let mut request = ListArchivesRequest { parent: MAIN.into(), page_size: 1000, ..Default::default() };
    let mut found = Vec::new();
    let mut pages = 0;
    loop {
        let page = app.backups().list_archives(request.clone()).await?.into_inner();
        ensure!(page.encoded_len() < TAKEN, "{} bytes", page.encoded_len());
        found.extend(page.archives.into_iter().map(|archive| archive.name));
        pages += 1;
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    ensure!(found == expected && pages == 2, "{pages} pages, {} archives", found.len());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inspection_of_a_monstrous_archive_says_what_it_leaves_out() -> Result<()> {
    let app = TestApp::start().await?;
    let title = "t".repeat(1000);
    let activity = |id: usize| {
        format!(
            "<activity><moduleid>{id}</moduleid><modulename>page</modulename><title>{title}</title></activity>"
        )
    };
    let activities: String = (0..5000).map(activity).collect();
    let contents = format!("<contents><activities>{activities}</activities></contents>");
    // The upload answers with the inspection, too: it would fail although the archive is stored.
    let name = app.upload(&archive("large", &contents, std::iter::empty())?).await?.name;
    let answer = app.backups().inspect_archive(InspectArchiveRequest { name }).await?.into_inner();
    ensure!(answer.encoded_len() < TAKEN, "{} bytes", answer.encoded_len());
    let inspection = answer.inspection.context("an inspection")?;
    let left_out = usize::try_from(inspection.left_out_count)?;
    ensure!(left_out > 0 && inspection.activities.len() + left_out == 5000, "{left_out} left out");
    ensure!(inspection.activities[0].module_id == 0, "the end is left out");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn contents_that_lie_are_told_up_to_a_number() -> Result<()> {
    let app = TestApp::start().await?;
    let files = (0..150).map(|number| format!("files/{:02x}/{number:040x}", 0));
    let stored = app.upload(&archive("altered", "", files)?).await?;
    assert_eq!(stored.finding_count, 101);
    let request = InspectArchiveRequest { name: stored.name };
    let inspection = app.backups().inspect_archive(request).await?.into_inner().inspection.context("one")?;
    let codes: Vec<_> = inspection.findings.iter().map(|finding| finding.code.as_str()).collect();
    assert_eq!(codes, ["CONTENT_ALTERED"; 101]);
    let last = inspection.findings.last().context("a finding")?;
    assert_eq!((last.path.as_str(), last.message.split(' ').next()), ("", Some("50")));
    Ok(())
}
