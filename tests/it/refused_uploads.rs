//! Uploads that are refused: each with its reason, and each without a trace.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use coursevault::proto::upload_backup_request::Part;
use coursevault::proto::*;
use tonic::Code;

use crate::app::{TestApp, eventually};
use crate::client::*;
use crate::errors::{Detail, refused_with};

/// A one-call upload and why it is refused.
struct Refusal<'a> {
    what: String,
    parts: Vec<Part>,
    code: Code,
    reason: &'a str,
    detail: Detail<'a>,
}

fn refusal<'a>(what: &str, parts: Vec<Part>, reason: &'a str) -> Refusal<'a> {
    Refusal { what: what.into(), parts, code: Code::InvalidArgument, reason, detail: Detail::None }
}

fn field<'a>(parts: Vec<Part>, field: &'a str) -> Refusal<'a> {
    Refusal { detail: Detail::Field(field), ..refusal(field, parts, "FIELD_INVALID") }
}

/// Sends each, and looks each time whether anything stays behind.
async fn check(app: &TestApp, refusals: Vec<Refusal<'_>>) -> Result<()> {
    for Refusal { what, parts, code, reason, detail } in refusals {
        refused_with(app.send(parts).await, code, reason, &detail).with_context(|| what.clone())?;
        ensure!(app.archives(true).await?.is_empty(), "{what}: an archive is visible");
        ensure!(app.report().await? == StorageUse::default(), "{what}: something is written down");
    }
    eventually("packs of refused uploads are removed", || async {
        Ok(app.stored_files("packs").is_empty().then_some(()))
    })
    .await
}

fn zip(list: &[(&str, &[u8])]) -> Result<Vec<u8>> {
    use std::io::Write;
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (path, content) in list {
        zip.start_file(*path, zip::write::SimpleFileOptions::default())?;
        zip.write_all(content)?;
    }
    Ok(zip.finish()?.into_inner())
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_break_the_protocol() -> Result<()> {
    let app = TestApp::start().await?;
    let bytes = fixture("gen_xs-nu.mbz")?;
    let first = || Part::Header(header("x.mbz"));
    let chunk = |offset: i64, data: &[u8], crc32: Option<u32>| {
        Part::Chunk(Chunk { offset, data: Bytes::copy_from_slice(data), crc32 })
    };
    let finish = |size_bytes: i64, sha256: String| Part::Finish(UploadFinish { size_bytes, sha256 });
    let whole = || chunk(0, &bytes, None);
    let huge = |size: usize| vec![first(), chunk(0, &vec![0; size], None)];
    let other = sha256(b"other");
    let gap = vec![first(), chunk(0, &bytes[..100], None), chunk(101, &bytes[101..], None)];
    let twice = vec![first(), chunk(0, &bytes[..100], None), chunk(0, &bytes[..100], None)];
    let right = || upload(header("x.mbz"), &bytes);
    check(
        &app,
        vec![
            refusal("nothing", vec![], "UPLOAD_INCOMPLETE"),
            refusal("no finish", right()[..right().len() - 1].to_vec(), "UPLOAD_INCOMPLETE"),
            refusal("no header", right().into_iter().skip(1).collect(), "UPLOAD_PROTOCOL"),
            refusal("two headers", vec![first(), first()], "UPLOAD_PROTOCOL"),
            refusal("wrong crc32", vec![first(), chunk(0, &bytes, Some(1))], "CHUNK_DIGEST_MISMATCH"),
            refusal("chunk of 2 MiB and a byte", huge((2 << 20) + 1), "LIMIT_CHUNK_BYTES"),
            refusal("message of 9 MiB", huge(9 << 20), "LIMIT_CHUNK_BYTES"),
            Refusal { code: Code::OutOfRange, ..refusal("gap", gap, "UPLOAD_OFFSET_MISMATCH") },
            Refusal { code: Code::OutOfRange, ..refusal("twice", twice, "UPLOAD_OFFSET_MISMATCH") },
            refusal("too few", vec![first(), whole(), finish(1, sha256(&bytes))], "SIZE_MISMATCH"),
            refusal("digest", vec![first(), whole(), finish(size(&bytes), other)], "DIGEST_MISMATCH"),
            field(vec![first(), whole(), finish(size(&bytes), "x".into())], "finish.sha256"),
            field(vec![first(), whole(), finish(-1, sha256(&bytes))], "finish.size_bytes"),
        ],
    )
    .await?;
    let empty = futures::stream::iter([UploadBackupRequest { part: None }]);
    let answer = app.backups().upload_backup(empty).await;
    refused_with(answer, Code::InvalidArgument, "UPLOAD_PROTOCOL", &Detail::None)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_that_no_upload_can_have() -> Result<()> {
    let app = TestApp::start().await?;
    let bytes = fixture("gen_xs-nu.mbz")?;
    let with = |change: fn(&mut UploadHeader)| {
        let mut header = header("x.mbz");
        change(&mut header);
        upload(header, &bytes)
    };
    check(
        &app,
        vec![
            field(with(|header| header.parent.clear()), "header.parent"),
            field(with(|header| header.parent = "main".into()), "header.parent"),
            field(with(|header| header.area = 77), "header.area"),
            field(with(|header| header.area = Area::Course.into()), "header.course"),
            field(with(|header| header.course = "c".into()), "header.course"),
            field(with(|header| header.course = "sites/other/courses/c".into()), "header.course"),
            field(with(|header| header.file_name.clear()), "header.file_name"),
            field(with(|header| header.file_name = "a\\b".into()), "header.file_name"),
            field(with(|header| header.request_id = "seven".into()), "header.request_id"),
        ],
    )
    .await?;
    let elsewhere = UploadHeader { area: Area::Private.into(), ..header("x.mbz") };
    let part = upload_archive_request::Part::Header(elsewhere);
    let stream = futures::stream::iter([UploadArchiveRequest { part: Some(part) }]);
    let answer = app.restores().upload_archive(stream).await;
    refused_with(answer, Code::InvalidArgument, "FIELD_INVALID", &Detail::Field("header.area"))?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_archive() -> Result<()> {
    let app = TestApp::start().await?;
    let (small, large) = (fixture("gen_xs-nu.mbz")?, fixture("rich101-full-tgz.mbz")?);
    let send = |bytes: &[u8]| upload(header("x.mbz"), bytes);
    let manifest: &[u8] = b"<moodle_backup/>";
    let mut altered = small.clone();
    altered[small.len() / 2] ^= 0x40;
    let mut refusals = vec![
        refusal("text", send(b"this is no archive at all"), "ARCHIVE_FORMAT_UNSUPPORTED"),
        refusal("no bytes", send(b""), "ARCHIVE_FORMAT_UNSUPPORTED"),
        refusal("no manifest", send(&zip(&[("readme.txt", b"x")])?), "ARCHIVE_MANIFEST_MISSING"),
        refusal("odd manifest", send(&zip(&[("moodle_backup.xml", manifest)])?), "ARCHIVE_MANIFEST_INVALID"),
        refusal("no XML", send(&zip(&[("moodle_backup.xml", b"<a")])?), "ARCHIVE_MANIFEST_INVALID"),
        refusal("way out", send(&zip(&[("../moodle_backup.xml", manifest)])?), "MEMBER_PATH_INVALID"),
        refusal("letter case", send(&zip(&[("a/B.xml", b"1"), ("a/b.xml", b"2")])?), "MEMBER_DUPLICATE"),
        refusal("a bit flipped", send(&altered), "ARCHIVE_CORRUPT"),
    ];
    for (what, bytes) in [("zip", &small), ("tgz", &large)] {
        for cut in [20, bytes.len() / 3, bytes.len() - 1] {
            let what = format!("{what} cut at {cut}");
            refusals.push(refusal(&what, send(&bytes[..cut]), "ARCHIVE_TRUNCATED"));
        }
    }
    check(&app, refusals).await?;
    for (members, reason, member) in [
        ([("a/B.xml", manifest), ("a/b.xml", manifest)], "MEMBER_DUPLICATE", "a/b.xml"),
        ([("a", manifest), ("../b.xml", manifest)], "MEMBER_PATH_INVALID", "../b.xml"),
    ] {
        let answer = app.send(send(&zip(&members)?)).await;
        refused_with(answer, Code::InvalidArgument, reason, &Detail::Metadata("member", member))?;
    }
    // The server is none the worse for it.
    app.upload(&small).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_that_go_over_a_limit() -> Result<()> {
    use coursevault::limits::Limits;
    let bytes = fixture("gen_xs-nu.mbz")?;
    type Case = (fn(&mut Limits), &'static str);
    let cases: [Case; 7] = [
        (|limits| limits.upload_bytes = 30_000, "LIMIT_UPLOAD_BYTES"),
        (|limits| limits.members = 10, "LIMIT_MEMBERS"),
        (|limits| limits.member_bytes = 1000, "LIMIT_MEMBER_BYTES"),
        (|limits| limits.content_bytes = 50_000, "LIMIT_CONTENT_BYTES"),
        (|limits| limits.path_bytes = 20, "LIMIT_PATH"),
        (|limits| limits.manifest_bytes = 1000, "LIMIT_MANIFEST_BYTES"),
        (|limits| limits.xml_depth = 3, "LIMIT_XML_DEPTH"),
    ];
    for (change, reason) in cases {
        let app = TestApp::with(|config| change(&mut config.limits)).await?;
        check(&app, vec![refusal(reason, upload(header("x.mbz"), &bytes), reason)]).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_cut_leaves_nothing() -> Result<()> {
    use futures::StreamExt;
    let app = TestApp::start().await?;
    let bytes = fixture("rich101-full-zip.mbz")?;
    for share in [1, 2, 3] {
        let mut parts = upload(header("x.mbz"), &bytes);
        parts.truncate(parts.len() * share / 4);
        let messages = parts.into_iter().map(|part| UploadBackupRequest { part: Some(part) });
        let (told, all_sent) = tokio::sync::oneshot::channel();
        let mut told = Some(told);
        let stream = futures::stream::iter(messages).chain(futures::stream::poll_fn(move |_| {
            told.take().map(|told| told.send(()));
            std::task::Poll::Pending
        }));
        let client = Client::connect(&app.url).await?;
        let calling = tokio::spawn(async move { client.backups().upload_backup(stream).await });
        all_sent.await?;
        // Half of it is being packed by now, or soon.
        calling.abort();
        ensure!(calling.await.is_err_and(|error| error.is_cancelled()), "the call ended by itself");
    }
    eventually("what came of cut uploads is removed", || async {
        Ok(app.stored_files("packs").is_empty().then_some(()))
    })
    .await?;
    ensure!(app.archives(true).await?.is_empty() && app.report().await? == StorageUse::default());
    app.upload(&bytes).await?;
    ensure!(app.archives(true).await?.len() == 1);
    Ok(())
}
