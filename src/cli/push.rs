//! `push DIR`: sends every archive of a folder once, and with `--watch` goes on doing so, as for the folder into which a Moodle
//! writes its automated backups. What was sent is written down in the folder, so that it survives a restart.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::args::{After, Push};
use super::client::Server;
use super::failure::{Differs, Shown, Usage};
use super::output::Output;
use super::progress::Progress;
use super::upload::{self, Place};
use super::{names, retry};
use crate::proto;

/// Between two looks at the folder.
const LOOK: Duration = Duration::from_secs(10);

/// One line for each archive that was dealt with.
const RECORD: &str = ".coursevault-push.jsonl";

/// What a file looked like. One that looks the same is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Look {
    size: u64,
    /// When it was last written, in milliseconds since 1970.
    modified_ms: u64,
}

impl Look {
    fn at(path: &Path) -> std::io::Result<Self> {
        let meta = std::fs::metadata(path)?;
        let modified = meta.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        let modified_ms = u64::try_from(modified.as_millis()).unwrap_or(u64::MAX);
        Ok(Self { size: meta.len(), modified_ms })
    }
}

/// A line of the record.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Entry {
    file: String,
    #[serde(flatten)]
    look: Look,
    /// The archive on the server, or nothing when it was refused.
    archive: Option<String>,
    /// Why it was refused.
    refused: Option<String>,
}

/// What became of the files of a folder, by name; a later line counts.
struct Record {
    path: PathBuf,
    entries: BTreeMap<String, Entry>,
}

impl Record {
    fn open(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join(RECORD);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        };
        // A line that a crash cut off is as good as none: its archive is sent again, which costs no space on the server.
        let entries = text.lines().filter_map(|line| serde_json::from_str::<Entry>(line).ok());
        Ok(Self { entries: entries.map(|entry| (entry.file.clone(), entry)).collect(), path })
    }

    fn knows(&self, file: &str, look: Look) -> bool {
        self.entries.get(file).is_some_and(|entry| entry.look == look)
    }

    /// Writes an entry down, durably, before anything follows from it.
    fn add(&mut self, entry: Entry) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(&entry)?;
        line.push(b'\n');
        // A line that was cut off must not swallow this one.
        let mut file = std::fs::OpenOptions::new().create(true).append(true).read(true).open(&self.path)?;
        if !std::fs::read(&self.path)?.ends_with(b"\n") && file.metadata()?.len() > 0 {
            line.insert(0, b'\n');
        }
        file.write_all(&line)?;
        file.sync_all()?;
        self.entries.insert(entry.file.clone(), entry);
        Ok(())
    }
}

/// The archives of a folder, by name.
fn archives(folder: &Path) -> anyhow::Result<BTreeMap<String, Look>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        let path = entry.path();
        let is_archive =
            path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("mbz")) && path.is_file();
        let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
        if is_archive && !name.starts_with('.') {
            // It may have gone meanwhile.
            if let Ok(look) = Look::at(&path) {
                found.insert(name, look);
            }
        }
    }
    Ok(found)
}

/// The course that an archive belongs to: the pattern, with the number that Moodle wrote into the file's name for `{id}`.
/// `None`: the name has none.
fn course_of(pattern: &str, file: &str) -> Option<String> {
    if !pattern.contains("{id}") {
        return Some(pattern.to_owned());
    }
    let rest = file.split_once("-course-")?.1;
    let digits = rest.split('-').next().filter(|part| !part.is_empty())?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| pattern.replace("{id}", digits))
}

/// `push`. Without `--watch` it fails when an archive was refused.
pub async fn run(server: &Server, arguments: &Push, output: Output) -> anyhow::Result<()> {
    let mut record = Record::open(&arguments.folder)?;
    let mut before: BTreeMap<String, Look> = BTreeMap::new();
    let mut done = Vec::new();
    loop {
        let now = archives(&arguments.folder)?;
        for (file, look) in &now {
            // Who watches sees files grow: one is sent when it looked the same twice.
            let is_settled = !arguments.watch || before.get(file) == Some(look);
            if is_settled && !record.knows(file, *look) {
                match one(server, arguments, file, *look, output).await {
                    Ok(entry) => {
                        finish(arguments, &mut record, &entry, output)?;
                        done.push(entry);
                    }
                    // The server is away; a watcher waits for it.
                    Err(error) if arguments.watch => {
                        let shown = Shown::of(&error).map_or_else(String::new, |shown| shown.message);
                        output.note(&format!("{file}: {shown}; trying again"));
                        break;
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        if !arguments.watch {
            break;
        }
        before = now;
        tokio::select! {
            stopped = crate::shutdown::signal() => { stopped?; break }
            () = tokio::time::sleep(LOOK) => {}
        }
    }
    report(&done, output)
}

/// Sends one archive. A refusal is an answer, too.
async fn one(
    server: &Server,
    arguments: &Push,
    file: &str,
    look: Look,
    output: Output,
) -> anyhow::Result<Entry> {
    let course = match &arguments.course {
        None => String::new(),
        Some(pattern) => {
            let Some(course) = course_of(pattern, file) else {
                let refused = Some("its name tells no course".to_owned());
                return Ok(Entry { file: file.to_owned(), look, archive: None, refused });
            };
            names::course(&server.site, &course)?.to_string()
        }
    };
    let area = match arguments.area {
        Some(area) => area.into(),
        None if course.is_empty() => proto::Area::DropZone,
        None => proto::Area::Course,
    };
    let place = Place { site: server.site_name(), area, course };
    let progress = Progress::bytes(output, file, look.size);
    let path = arguments.folder.join(file);
    let (archive, refused) = match upload::send(server, &path, &place, None, &progress).await {
        Ok(answer) => (answer.archive.map(|archive| archive.name), None),
        Err(error) => match error.downcast_ref::<tonic::Status>() {
            Some(status)
                if !retry::is_cut(status) && retry::reason(status).is_some_and(|reason| stays(&reason)) =>
            {
                let reason = retry::reason(status).unwrap_or_default();
                (None, Some(format!("{reason}: {}", status.message())))
            }
            _ => return Err(error),
        },
    };
    Ok(Entry { file: file.to_owned(), look, archive, refused })
}

/// Whether a refusal is about the archive itself, so that the same bytes are refused again.
fn stays(reason: &str) -> bool {
    ["ARCHIVE_", "MEMBER_", "LIMIT_", "DOCUMENT_"].iter().any(|begin| reason.starts_with(begin))
}

/// Writes down what became of an archive, and removes the file if that was asked for and it is safe.
fn finish(arguments: &Push, record: &mut Record, entry: &Entry, output: Output) -> anyhow::Result<()> {
    record.add(entry.clone())?;
    let path = arguments.folder.join(&entry.file);
    if let Some(refused) = &entry.refused {
        output.note(&format!("{}: refused: {refused}", entry.file));
    } else if arguments.after == After::Remove {
        // Size and SHA-256 of what the server stored are those of what was read; a file that was written since stays.
        if Look::at(&path)? == entry.look {
            std::fs::remove_file(&path)?;
        }
    }
    Ok(())
}

fn report(done: &[Entry], output: Output) -> anyhow::Result<()> {
    let refused = done.iter().filter(|entry| entry.refused.is_some()).count();
    if output.is_json() {
        let sent: Vec<_> = done
            .iter()
            .map(|entry| json!({"file": entry.file, "archive": entry.archive, "refused": entry.refused}))
            .collect();
        output.document(&json!({ "archives": sent }))?;
    } else {
        for entry in done {
            if let Some(archive) = &entry.archive {
                output.text(&format!("{}  {archive}", entry.file))?;
            }
        }
        let sent = done.len() - refused;
        output.text(&format!("{} sent, {refused} refused", super::units::count(sent as u64, "archive")))?;
    }
    if refused > 0 {
        return Err(Differs(format!("{refused} refused; see {RECORD}")).into());
    }
    Ok(())
}

/// Arguments that make no sense together.
pub fn check(arguments: &Push) -> Result<(), Usage> {
    if arguments.folder.is_dir() {
        Ok(())
    } else {
        Err(Usage(format!("{} is no folder", arguments.folder.display())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moodles_file_names_tell_the_course() {
        let name = "backup-moodle2-course-42-chem101-20260301-0210.mbz";
        assert_eq!(course_of("moodle{id}", name).as_deref(), Some("moodle42"));
        assert_eq!(
            course_of("moodle{id}", "sauvegarde-moodle2-course-7-x-nu.mbz").as_deref(),
            Some("moodle7")
        );
        assert_eq!(course_of("fixed", "anything.mbz").as_deref(), Some("fixed"));
        for none in ["anything.mbz", "backup-moodle2-course-.mbz", "backup-moodle2-course-x-1.mbz"] {
            assert_eq!(course_of("moodle{id}", none), None, "{none}");
        }
    }

    #[test]
    fn what_was_written_down_is_known_after_a_restart_and_a_cut_line_is_not() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let look = Look { size: 5, modified_ms: 7 };
        let entry = |file: &str| Entry { file: file.into(), look, archive: Some("a".into()), refused: None };
        Record::open(folder.path())?.add(entry("a.mbz"))?;
        let mut file = std::fs::OpenOptions::new().append(true).open(folder.path().join(RECORD))?;
        file.write_all(b"{\"file\":\"b.mbz\",\"si")?;
        let mut record = Record::open(folder.path())?;
        record.add(entry("c.mbz"))?;
        let record = Record::open(folder.path())?;
        assert!(record.knows("a.mbz", look) && record.knows("c.mbz", look));
        assert!(!record.knows("b.mbz", look));
        assert!(!record.knows("a.mbz", Look { size: 6, ..look }), "it was written since");
        Ok(())
    }
}
