//! What is derived from the fullest archive of a course is what a real Moodle made of the same course with those settings.

use std::io::{self, BufReader, Read};

use super::*;
use crate::backup::{Asked, BuiltInPreset, Mode, QUESTION_MODULES, Scope, resolve};
use crate::compare::{self, Level, Options, Report};
use crate::course::in_memory::{InMemory, fixture};
use crate::moodle;

/// Archive, the state it is derived from, its scope, and what Moodle was asked.
const MADE_BY_MOODLE: [(&str, &str, Scope, &str); 15] = [
    ("gen_s-nf", "gen_s-nf", Scope::Course, "files=0"),
    ("gen_xs-full", "gen_xs-full", Scope::Course, ""),
    ("gen_xs-nu", "gen_xs-full", Scope::Course, "users=0"),
    ("rich101-activity-assign-nu", "rich101-logs-histories-tgz", Scope::Activity(19), "users=0"),
    ("rich101-activity-quiz", "rich101-logs-histories-tgz", Scope::Activity(22), ""),
    (
        "rich101-bare-nu",
        "rich101-logs-histories-tgz",
        Scope::Course,
        "users=0 blocks=0 filters=0 calendarevents=0 competencies=0 customfield=0 contentbankcontent=0 \
         legacyfiles=0 questionbank=0 groups=0",
    ),
    ("rich101-full-tgz", "rich101-logs-histories-tgz", Scope::Course, ""),
    ("rich101-full-zip", "rich101-logs-histories-tgz", Scope::Course, ""),
    ("rich101-logs-histories-tgz", "rich101-logs-histories-tgz", Scope::Course, "logs=1 grade_histories=1"),
    ("rich101-nf", "rich101-logs-histories-tgz", Scope::Course, "files=0"),
    ("rich101-noactivities", "rich101-logs-histories-tgz", Scope::Course, "activities=0"),
    (
        "rich101-noquestionbank-nogroups",
        "rich101-logs-histories-tgz",
        Scope::Course,
        "questionbank=0 groups=0",
    ),
    ("rich101-section3", "rich101-logs-histories-tgz", Scope::Section(3), ""),
    ("rich101-tgz-nu", "rich101-logs-histories-tgz", Scope::Course, "users=0"),
    ("rich101-zip-an", "rich101-logs-histories-tgz", Scope::Course, "anonymize=1"),
];

/// A derived archive in memory, and what was counted while it was made.
struct Made<'s> {
    source: &'s InMemory,
    archive: InMemory,
    begun: Option<MemberPath>,
}

impl Sink for Made<'_> {
    fn keep(&mut self, member: &Member) -> io::Result<()> {
        let mut bytes = Vec::new();
        self.source.open(&member.path)?.read_to_end(&mut bytes)?;
        self.write(&member.path, &bytes)
    }

    fn write(&mut self, path: &MemberPath, bytes: &[u8]) -> io::Result<()> {
        assert!(self.archive.members.insert(path.clone(), bytes.to_vec()).is_none(), "{path} twice");
        Ok(())
    }

    fn begin(&mut self, path: &MemberPath) -> io::Result<()> {
        self.write(path, b"")?;
        self.begun = Some(path.clone());
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let path = self.begun.as_ref().ok_or(io::ErrorKind::InvalidInput)?;
        self.archive.members.get_mut(path).ok_or(io::ErrorKind::NotFound)?.extend_from_slice(bytes);
        Ok(())
    }

    fn end(&mut self) -> io::Result<()> {
        self.begun.take().map(drop).ok_or(io::ErrorKind::InvalidInput.into())
    }
}

fn manifest(archive: &InMemory) -> anyhow::Result<Manifest> {
    let path = crate::course::in_memory::path_of(MemberPath::MANIFEST);
    Ok(moodle::parse(BufReader::new(archive.open(&path)?), &Limits::default())?)
}

fn made(
    source: &InMemory,
    asked: &Asked,
    compatibility: Compatibility,
    anew: bool,
) -> anyhow::Result<(InMemory, Derived)> {
    let base = manifest(source)?;
    let effective =
        resolve(asked, &[], &base, QUESTION_MODULES).map_err(|found| anyhow::anyhow!("{found:?}"))?;
    let limits = Limits::default();
    let request = Request {
        format: Format::embedded(),
        effective: &effective,
        compatibility,
        accepted: &BTreeSet::new(),
        without_secrets: false,
        counting: true,
        label: Label { file_name: "backup.mbz".into(), time: 1_800_000_000, backup_id: "0".repeat(32) },
        limits: &limits,
    };
    let mut sink = Made { source, archive: InMemory { digests: true, ..InMemory::default() }, begun: None };
    let members = source.members()?;
    let mut deriving = Deriving::new(&request, source, &base, &members, &mut sink)?;
    deriving.always_anew = anew;
    let derived = deriving.run()?;
    Ok((sink.archive, derived))
}

fn ask(settings: &str, scope: Scope, mode: Mode) -> anyhow::Result<Asked> {
    let mut asked = Asked { scope, mode, ..Asked::default() };
    for setting in settings.split_whitespace() {
        let (name, value) = setting.split_once('=').ok_or_else(|| anyhow::anyhow!("{setting}"))?;
        asked.settings.set(name.parse()?, Some(value == "1"));
    }
    Ok(asked)
}

fn differences(report: &Report) -> Vec<String> {
    report
        .differences
        .iter()
        .map(|each| format!("{} {}: {:?} | {:?}", each.member, each.path, each.a, each.b))
        .collect()
}

#[test]
fn derived_archives_equal_moodles() -> anyhow::Result<()> {
    let mut wrong = Vec::new();
    for (name, base, scope, settings) in MADE_BY_MOODLE {
        let (theirs, source) = (fixture(&format!("{name}.mbz"))?, fixture(&format!("{base}.mbz"))?);
        let mode = Mode::from_number(manifest(&theirs)?.mode).unwrap_or_default();
        let (ours, _) = made(&source, &ask(settings, scope, mode)?, Compatibility::Moodle, false)?;
        let options = Options { level: Level::Meaning, ..Options::default() };
        let report = compare::compare(&theirs, &ours, &options)?;
        wrong.extend(differences(&report).into_iter().map(|each| format!("{name}: {each}")));
    }
    assert!(
        wrong.is_empty(),
        "{} differences\n{}",
        wrong.len(),
        wrong.iter().take(60).cloned().collect::<Vec<_>>().join("\n")
    );
    Ok(())
}

/// What the documents of a task refer to is what Moodle listed of them, in every task of every archive.
#[test]
fn every_list_of_references_follows_from_the_documents() -> anyhow::Result<()> {
    let names = MADE_BY_MOODLE.iter().map(|(name, ..)| *name);
    for name in names {
        let source = fixture(&format!("{name}.mbz"))?;
        let base = manifest(&source)?;
        let preset = Some(BuiltInPreset::Everything.preset());
        let scope = Scope::whole(&base).unwrap_or_default();
        let asked = Asked {
            scope,
            preset,
            mode: Mode::from_number(base.mode).unwrap_or_default(),
            ..Asked::default()
        };
        let (ours, _) = made(&source, &asked, Compatibility::Moodle, true)?;
        let report = compare::compare(&source, &ours, &Options::default())?;
        assert!(report.differences.is_empty(), "{name}: {:#?}", differences(&report));
    }
    Ok(())
}
