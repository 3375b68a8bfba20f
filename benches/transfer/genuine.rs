//! A large course made of a real one: the activities of a fixture again and again, and as many people as wanted. Its
//! documents are Moodle's own, so that deriving an archive of it does all the work that a real course takes.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;
use coursevault::archive::{MemberEnd, MemberSink, read_archive};
use coursevault::course::MemberPath;
use coursevault::limits::Limits;

use super::course::Member;

const LARGE_FILES: u64 = 10;
const LARGE_FILE: u64 = 80 << 20;
const SMALL_FILES: u64 = 1024;
const SMALL_FILE: u64 = 100 << 10;

/// The documents of a fixture.
#[derive(Default)]
struct Documents {
    all: BTreeMap<String, Vec<u8>>,
    last: String,
}

impl MemberSink for Documents {
    type Error = Infallible;

    fn start(&mut self, path: &MemberPath, _: Option<u64>, _: bool) -> Result<(), Infallible> {
        self.last = path.to_string();
        self.all.insert(path.to_string(), Vec::new());
        Ok(())
    }

    fn plain(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        if let Some(document) = self.all.get_mut(&self.last) {
            document.extend_from_slice(bytes);
        }
        Ok(())
    }

    fn raw(&mut self, _: &[u8]) -> Result<(), Infallible> {
        Ok(())
    }

    fn finish(&mut self, _: MemberEnd) -> Result<(), Infallible> {
        Ok(())
    }
}

fn text(documents: &BTreeMap<String, Vec<u8>>, path: &str) -> anyhow::Result<String> {
    let bytes = documents.get(path).with_context(|| path.to_owned())?;
    Ok(String::from_utf8(bytes.clone())?)
}

/// All members: `activities` activities, `users` people, and 944 MB of contents divided by `part`.
pub fn members(activities: usize, users: usize, part: usize) -> anyhow::Result<Vec<Member>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/gen_s-nf.mbz");
    let mut read = Documents::default();
    read_archive(std::fs::File::open(path)?, &Limits::default(), &mut read)
        .map_err(|error| anyhow::anyhow!("{error}"))?;
    let fixture = read.all;
    let mut members = Vec::new();
    let mut contents = Vec::new();
    for seed in 0..(LARGE_FILES / part as u64).max(1) {
        contents.push(Member::noise(seed, LARGE_FILE)?);
    }
    for seed in 0..SMALL_FILES / part as u64 {
        contents.push(Member::noise(1_000 + seed, SMALL_FILE / 2 + SMALL_FILE * seed / SMALL_FILES)?);
    }
    let (listed, settings) = copies(&fixture, activities, &mut members)?;
    for (path, bytes) in &fixture {
        let made = match path.as_str() {
            "users.xml" => people(&text(&fixture, path)?, "  <user id=", "  </user>\n", users),
            "course/enrolments.xml" => {
                people(&text(&fixture, path)?, "        <enrolment id=", "        </enrolment>\n", users)
            }
            "course/roles.xml" => {
                people(&text(&fixture, path)?, "    <assignment id=", "    </assignment>\n", users)
            }
            "course/inforef.xml" => everybody(&text(&fixture, path)?, users),
            "files.xml" => rows(&text(&fixture, path)?, &contents),
            "moodle_backup.xml" => manifest(&text(&fixture, path)?, &listed, &settings)?,
            path if path.starts_with("activities/") => continue,
            _ => text(&fixture, path)?,
        };
        debug_assert!(!made.is_empty() || bytes.is_empty());
        members.push(Member::text(path.clone(), made));
    }
    members.extend(contents);
    Ok(members)
}

/// The fixture's activities until there are enough; what the manifest lists of them, and their settings.
fn copies(
    fixture: &BTreeMap<String, Vec<u8>>,
    count: usize,
    members: &mut Vec<Member>,
) -> anyhow::Result<(String, String)> {
    let mut folders: Vec<&str> = fixture.keys().filter_map(|path| Some(path.rsplit_once('/')?.0)).collect();
    folders.retain(|folder| folder.starts_with("activities/"));
    folders.dedup();
    let (mut listed, mut settings) = (String::new(), String::new());
    for copy in 0..count {
        let folder = folders[copy % folders.len()];
        let (module, id) = folder["activities/".len()..].rsplit_once('_').context("an activity")?;
        let new = 1_000_000 + copy;
        for (path, bytes) in fixture.iter().filter(|(path, _)| path.starts_with(&format!("{folder}/"))) {
            let name = &path[folder.len() + 1..];
            // Two numbers differ, so that no two documents are the same contents.
            let document = String::from_utf8(bytes.clone())?
                .replace(&format!("moduleid=\"{id}\""), &format!("moduleid=\"{new}\""))
                .replace(&format!("<module id=\"{id}\""), &format!("<module id=\"{new}\""));
            members.push(Member::text(format!("activities/{module}_{new}/{name}"), document));
        }
        let _ = write!(
            listed,
            "        <activity>\n          <moduleid>{new}</moduleid>\n          <sectionid>SECTION</sectionid>\n          \
             <modulename>{module}</modulename>\n          <title>{module} {new}</title>\n          \
             <directory>activities/{module}_{new}</directory>\n        </activity>\n"
        );
        for setting in ["included", "userinfo"] {
            let _ = write!(
                settings,
                "      <setting>\n        <level>activity</level>\n        <activity>{module}_{new}</activity>\n        \
                 <name>{module}_{new}_{setting}</name>\n        <value>1</value>\n      </setting>\n"
            );
        }
    }
    Ok((listed, settings))
}

/// A document with its rows again and again, each for another person.
fn people(document: &str, open: &str, close: &str, count: usize) -> String {
    let (Some(start), Some(end)) = (document.find(open), document.rfind(close)) else {
        return document.to_owned();
    };
    let end = end + close.len();
    let rows: Vec<&str> = document[start..end].split_inclusive(close).collect();
    let mut out = document[..start].to_owned();
    for number in 0..count {
        let row = rows[number % rows.len()];
        let user = 1_000 + number;
        let row = replaced(row, "userid", user);
        let (head, rest) = row.split_at(open.len());
        let rest = rest.split_once('>').map_or(rest, |(_, rest)| rest);
        let _ = write!(
            out,
            "{head}\"{user}\"{}>{rest}",
            if open.contains("user ") { format!(" contextid=\"{}\"", user + 90_000) } else { String::new() }
        );
    }
    out.push_str(&document[end..]);
    out
}

fn replaced(row: &str, field: &str, value: usize) -> String {
    let (open, close) = (format!("<{field}>"), format!("</{field}>"));
    match (row.find(&open), row.find(&close)) {
        (Some(start), Some(end)) => format!("{}{value}{}", &row[..start + open.len()], &row[end..]),
        _ => row.to_owned(),
    }
}

fn everybody(document: &str, count: usize) -> String {
    let (Some(start), Some(end)) = (document.find("  <userref>\n"), document.find("  </userref>")) else {
        return document.to_owned();
    };
    let mut out = document[..start + "  <userref>\n".len()].to_owned();
    for user in 1_000..1_000 + count {
        let _ = write!(out, "    <user>\n      <id>{user}</id>\n    </user>\n");
    }
    out.push_str(&document[end..]);
    out
}

/// The fixture's rows, with further ones of the course for contents that are there.
fn rows(document: &str, contents: &[Member]) -> String {
    let (head, tail) = document.split_once("<files>\n").unwrap_or((document, ""));
    let mut out = format!("{head}<files>\n");
    for (number, content) in contents.iter().enumerate() {
        let hash = content.path.rsplit('/').next().unwrap_or_default();
        let _ = write!(
            out,
            "  <file id=\"{}\">\n    <contenthash>{hash}</contenthash>\n    <contextid>7</contextid>\n    \
             <component>course</component>\n    <filearea>legacy</filearea>\n    <itemid>0</itemid>\n    \
             <filepath>/</filepath>\n    <filename>file{number}.dat</filename>\n    <userid>1001</userid>\n    \
             <filesize>{}</filesize>\n    <mimetype>application/octet-stream</mimetype>\n    <status>0</status>\n    \
             <timecreated>1795456375</timecreated>\n    <timemodified>1795456375</timemodified>\n    \
             <source>file{number}.dat</source>\n    <author>Somebody Else</author>\n    <license>unknown</license>\n    \
             <sortorder>0</sortorder>\n    <repositorytype>$@NULL@$</repositorytype>\n    \
             <repositoryid>$@NULL@$</repositoryid>\n    <reference>$@NULL@$</reference>\n  </file>\n",
            5_000_000 + number,
            content.size()
        );
    }
    out.push_str(tail);
    out
}

/// The fixture's manifest with the activities that there are, and with files.
fn manifest(document: &str, listed: &str, settings: &str) -> anyhow::Result<String> {
    let section = document.split("<sectionid>").nth(1).and_then(|rest| rest.split('<').next());
    let listed = listed.replace("SECTION", section.context("a section")?);
    let (head, rest) = document.split_once("      <activities>\n").context("activities")?;
    let (_, rest) = rest.split_once("      </activities>").context("their end")?;
    let (middle, tail) = rest.split_once("    </settings>").context("settings")?;
    // Settings of the fixture's own activities go: they are not there any more.
    let marker = "      <setting>\n";
    let (before, own) = middle.split_once("<settings>\n").context("settings")?;
    let kept: String = own
        .split_inclusive("      </setting>\n")
        .filter(|setting| !setting.contains("<level>activity</level>"))
        .collect();
    debug_assert!(kept.starts_with(marker));
    let out = format!(
        "{head}      <activities>\n{listed}      </activities>{before}<settings>\n{kept}{settings}    </settings>{tail}"
    );
    Ok(out
        .replace("<include_files>0<", "<include_files>1<")
        .replace("<name>files</name>\n        <value>0<", "<name>files</name>\n        <value>1<"))
}
