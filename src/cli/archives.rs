//! The bytes of stored archives: send, fetch, read a member.

use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use anyhow::bail;
use serde_json::json;
use tokio_stream::StreamExt;

use super::args::{self, Area};
use super::client::Server;
use super::failure::Usage;
use super::output::Output;
use super::progress::Progress;
use super::words::{rows, word};
use super::{courses, download, names, units, upload};
use crate::ids::CourseName;
use crate::proto::{self, read_archive_member_response::Part};

/// `upload`: one file after the other.
pub async fn send(server: &Server, arguments: &args::Upload, output: Output) -> anyhow::Result<()> {
    let course = arguments.course.as_ref().map(|id| names::course(&server.site, id)).transpose()?;
    let place = place(server, arguments, course.as_ref())?;
    let resume = arguments.resume.as_ref().map(|id| names::upload(&server.site, id)).transpose()?;
    if arguments.files.len() > 1 && (resume.is_some() || arguments.publish) {
        return Err(Usage("--resume and --publish take one file".into()).into());
    }
    let mut documents = Vec::new();
    for file in &arguments.files {
        let started = Instant::now();
        let label = file.file_name().unwrap_or_default().to_string_lossy();
        let progress = Progress::bytes(output, &label, upload::local_size(file));
        let resume = resume.as_ref().map(ToString::to_string);
        let stored = Box::pin(upload::send(server, file, &place, resume, &progress)).await?;
        drop(progress);
        let archive = stored.archive.clone().unwrap_or_default();
        output.text(&told(file, &archive, started))?;
        let published = match course.as_ref().filter(|_| arguments.publish) {
            Some(course) => Some(courses::make_live(server, course, &archive.name).await?),
            None => None,
        };
        if let Some(published) = &published {
            output.text(&courses::told(published))?;
        }
        documents.push(courses::stored_json(&file.to_string_lossy(), &stored, published.as_ref())?);
    }
    if output.is_json() {
        output.document(&json!({ "archives": documents }))?;
    }
    Ok(())
}

/// Where uploads are kept. With --publish the archive is only the way to a course that may not be there yet.
fn place(
    server: &Server,
    arguments: &args::Upload,
    course: Option<&CourseName>,
) -> Result<upload::Place, Usage> {
    let area = match (arguments.area, course) {
        (Some(Area::Course | Area::Automated), None) => {
            return Err(Usage("--area course and automated need --course".into()));
        }
        (Some(area), _) => area,
        (None, Some(_)) if !arguments.publish => Area::Course,
        (None, _) => Area::DropZone,
    };
    let belongs = course.filter(|_| arguments.area.is_some() || !arguments.publish);
    let course = belongs.map_or_else(String::new, ToString::to_string);
    Ok(upload::Place { site: server.site_name(), area: area.into(), course })
}

fn told(file: &Path, archive: &proto::Archive, started: Instant) -> String {
    let sent = u64::try_from(archive.upload_size_bytes).unwrap_or(0);
    let elapsed = started.elapsed();
    let name = &archive.original_full_name;
    let course = if name.is_empty() { String::new() } else { format!(", {name}") };
    let findings = u64::try_from(archive.finding_count).unwrap_or(0);
    rows(&[
        ("file", file.display().to_string()),
        ("archive", archive.name.clone()),
        ("holds", format!("{}{course}", word(archive.r#type().as_str_name(), "ARCHIVE_TYPE_"))),
        ("members", format!("{}, {}", archive.member_count, units::signed_size(archive.content_bytes))),
        ("findings", if findings == 0 { String::new() } else { findings.to_string() }),
        ("sha256", archive.upload_sha256.clone()),
        (
            "sent",
            format!("{} in {} ({})", units::size(sent), units::duration(elapsed), units::rate(sent, elapsed)),
        ),
    ])
}

/// `get`.
pub async fn get(server: &Server, arguments: &args::Get, output: Output) -> anyhow::Result<()> {
    let source = names::fetchable(&server.site, &arguments.source)?;
    if arguments.output.is_dir() {
        return Err(Usage(format!("{} is a folder", arguments.output.display())).into());
    }
    let container = arguments.format.map_or(proto::Container::Unspecified, proto::Container::from);
    let started = Instant::now();
    let progress = Progress::bytes(output, &arguments.source, 0);
    let fetched = Box::pin(download::fetch(server, &source, container, &arguments.output, &progress)).await?;
    drop(progress);
    if output.is_json() {
        let document = json!({
            "file": arguments.output.to_string_lossy(),
            "size_bytes": fetched.size,
            "sha256": fetched.sha256.to_string(),
            "sha256_verified": fetched.verified,
            "resumed_from": fetched.resumed_from,
        });
        return Ok(output.document(&document)?);
    }
    let (got, elapsed) = (fetched.size - fetched.resumed_from, started.elapsed());
    let verified = if fetched.verified { "the server's" } else { "the server does not know it" };
    let resumed = match fetched.resumed_from {
        0 => String::new(),
        bytes => format!("after {}", units::size(bytes)),
    };
    Ok(output.text(&rows(&[
        ("file", arguments.output.display().to_string()),
        ("size", units::size(fetched.size)),
        ("sha256", format!("{} ({verified})", fetched.sha256)),
        ("went on", resumed),
        (
            "fetched",
            format!("{} in {} ({})", units::size(got), units::duration(elapsed), units::rate(got, elapsed)),
        ),
    ]))?)
}

/// `cat`: bytes as they are, so there is no JSON form.
pub async fn cat(server: &Server, archive: &str, path: &str, output: Output) -> anyhow::Result<()> {
    if output.is_json() {
        return Err(Usage("cat writes the member itself, so --json has no place here".into()).into());
    }
    let name = names::archive(&server.site, archive)?.to_string();
    let request = proto::ReadArchiveMemberRequest { name, path: path.to_owned() };
    let mut stream = server.backups().read_archive_member(request).await?.into_inner();
    let mut out = std::io::stdout().lock();
    let (mut expected, mut written) = (None, 0_i64);
    while let Some(message) = stream.next().await {
        match message?.part {
            Some(Part::Member(member)) => expected = Some(member.size_bytes),
            Some(Part::Chunk(chunk)) => {
                out.write_all(&chunk.data)?;
                written += i64::try_from(chunk.data.len())?;
            }
            None => bail!("a message of a kind that this client does not know"),
        }
    }
    out.flush()?;
    if expected != Some(written) {
        bail!("{path}: got {written} bytes of {}", expected.unwrap_or(0));
    }
    Ok(())
}
