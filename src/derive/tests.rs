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
        format: &Format::embedded(),
        effective: &effective,
        compatibility,
        accepted: &BTreeSet::new(),
        without_secrets: false,
        people_stay: false,
        counting: true,
        adjust: &Adjust::default(),
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

/// Values of fields of that name with at least so many characters.
fn texts(document: &str, fields: &[&str], least: usize) -> Vec<String> {
    let mut found = Vec::new();
    for field in fields {
        let (open, close) = (format!("<{field}>"), format!("</{field}>"));
        for piece in document.split(open.as_str()).skip(1) {
            let text = piece.split(close.as_str()).next().unwrap_or_default().trim();
            if text.chars().count() >= least && !text.contains("$@NULL@$") {
                found.push(text.to_owned());
            }
        }
    }
    found
}

/// What names people, and what they wrote.
fn about_people(archive: &InMemory) -> BTreeSet<String> {
    const PERSON: [&str; 18] = [
        "username",
        "idnumber",
        "email",
        "phone1",
        "phone2",
        "institution",
        "department",
        "address",
        "imagealt",
        "firstnamephonetic",
        "lastnamephonetic",
        "middlename",
        "alternatename",
        "firstname",
        "lastname",
        "field_data",
        "rawname",
        "lastip",
    ];
    /// Document and fields of what people write there.
    const WRITTEN: [(&str, &[&str]); 13] = [
        ("forum.xml", &["message", "subject"]),
        ("assign.xml", &["onlinetext", "commenttext"]),
        ("comments.xml", &["content"]),
        ("glossary.xml", &["definition", "concept"]),
        ("wiki.xml", &["content", "cachedcontent"]),
        ("chat.xml", &["message_text", "message"]),
        ("survey.xml", &["answer1", "answer2", "notes"]),
        ("quiz.xml", &["responsesummary"]),
        ("data.xml", &["content"]),
        ("feedback.xml", &["value"]),
        ("workshop.xml", &["feedbackauthor", "feedbackreviewer"]),
        ("grades.xml", &["feedback"]),
        ("logstores.xml", &["ip"]),
    ];
    /// Names may be short. Answers may be chosen from those that a teacher offers; from this length on they are free.
    const NAME: usize = 4;
    const FREE: usize = 21;
    let mut all = BTreeSet::new();
    for (path, bytes) in &archive.members {
        let (path, text) = (path.as_str(), String::from_utf8_lossy(bytes));
        if path == "users.xml" {
            all.extend(texts(&text, &PERSON, NAME));
        }
        if path == "files.xml" {
            all.extend(texts(&text, &["author"], NAME));
        }
        for (_, fields) in WRITTEN.iter().filter(|(name, _)| path.ends_with(&format!("/{name}"))) {
            all.extend(texts(&text, fields, FREE));
        }
    }
    all
}

/// References to users and values that name people, as the descriptions know them.
fn users_in(path: &str, bytes: &[u8]) -> Vec<String> {
    use crate::format::{Purpose, Rewrite};
    let format = &*Format::embedded();
    let Some(found) = format.document(path) else { return Vec::new() };
    let purpose = Purpose {
        compatibility: Compatibility::Moodle,
        on: Conditions::all(),
        keep: Vec::new(),
        gone: Vec::new(),
        date_offset: 0,
        values: Vec::new(),
        links_of: None,
    };
    let rewrite = Rewrite::new(format, &purpose, &found.document.root, io::sink());
    let seen = rewrite.run(bytes, &Limits::default()).unwrap_or_else(|error| panic!("{path}: {error}"));
    let user = lists::Kinds::of(format).user;
    let ids =
        seen.refs.sorted(user).into_iter().chain(seen.quiet.sorted(user)).map(|id| format!("user {id}"));
    ids.chain(seen.people.into_keys()).collect()
}

#[test]
fn nobody_is_in_archives_without_users() -> anyhow::Result<()> {
    let mut found = Vec::new();
    for base in [
        "rich101-logs-histories-tgz",
        "rich101-tgz-nu",
        "rich101-section3",
        "rich101-activity-quiz",
        "gen_s-nf",
    ] {
        let source = fixture(&format!("{base}.mbz"))?;
        let mut people = about_people(&source);
        people.extend(about_people(&fixture("rich101-logs-histories-tgz.mbz")?));
        assert!(people.len() > 150, "{}", people.len());
        let scope = Scope::whole(&manifest(&source)?).unwrap_or_default();
        let asked = ask("users=0", scope, Mode::General)?;
        let (ours, _) = made(&source, &asked, Compatibility::Strict, false)?;
        for (path, bytes) in &ours.members {
            if path.claimed_sha1().is_some() {
                continue;
            }
            let text = String::from_utf8_lossy(bytes);
            let named = people.iter().filter(|word| text.contains(word.as_str()));
            found.extend(named.map(|word| format!("{base}: {path}: {word}")));
            assert_eq!(text.matches("<userref>").count(), 0, "{path}");
            found.extend(
                users_in(path.as_str(), bytes).into_iter().map(|what| format!("{base}: {path}: {what}")),
            );
        }
    }
    assert!(found.is_empty(), "{}\n{}", found.len(), found.join("\n"));
    Ok(())
}

/// The search finds what Moodle leaves: answers of the survey, names of authors.
#[test]
fn by_moodles_rules_people_are_left_in() -> anyhow::Result<()> {
    let source = fixture("rich101-logs-histories-tgz.mbz")?;
    let people = about_people(&source);
    let asked = ask("users=0", Scope::Course, Mode::General)?;
    let document = |archive: &InMemory, path: &str| {
        String::from_utf8_lossy(&archive.members[&crate::course::in_memory::path_of(path)]).into_owned()
    };
    for (compatibility, left) in [(Compatibility::Moodle, true), (Compatibility::Strict, false)] {
        let (ours, _) = made(&source, &asked, compatibility, false)?;
        let files = document(&ours, "files.xml");
        assert_eq!(people.iter().any(|word| files.contains(word.as_str())), left);
        assert_eq!(document(&ours, "activities/survey_14/survey.xml").contains("<answer id="), left);
    }
    Ok(())
}

/// Where Moodle loses the grade book, completion, badges and files of the content bank, ours keeps them.
#[test]
fn leaving_one_activity_out_loses_nothing_else() -> anyhow::Result<()> {
    let source = fixture("rich101-logs-histories-tgz.mbz")?;
    let mut asked = ask("logs=1 grade_histories=1", Scope::Course, Mode::General)?;
    asked.selection.exclude = vec!["assign_19".into(), "section_1".into()];
    let has = |archive: &InMemory, path: &str| {
        archive.members.contains_key(&crate::course::in_memory::path_of(path))
    };
    let whole = ["gradebook.xml", "grade_history.xml", "completion.xml", "badges.xml"];
    let (theirs, _) = made(&source, &asked, Compatibility::Moodle, false)?;
    let (ours, derived) = made(&source, &asked, Compatibility::Strict, false)?;
    for path in whole {
        assert!(has(&source, path) && !has(&theirs, path) && has(&ours, path), "{path}");
    }
    assert!(!has(&ours, "activities/assign_19/assign.xml") && !has(&ours, "sections/section_1/section.xml"));
    let text = |path: &str| {
        String::from_utf8_lossy(&ours.members[&crate::course::in_memory::path_of(path)]).into_owned()
    };
    // What is said of the activity that went has gone, too.
    assert!(text("completion.xml").contains("<moduleinstance>"));
    assert!(!text("completion.xml").contains("<moduleinstance>19<"));
    let rows = |text: &str| text.matches("<component>contentbank</component>").count();
    let before = String::from_utf8_lossy(&source.members[&crate::course::in_memory::path_of("files.xml")])
        .into_owned();
    assert!(rows(&before) > 0 && rows(&text("files.xml")) == rows(&before));
    assert!(derived.missing_contents.is_empty() && derived.unknown_members.is_empty());
    Ok(())
}

/// Changes the first place of a text in a document.
fn edit(archive: &mut InMemory, path: &str, from: &str, to: &str) -> anyhow::Result<()> {
    let document = archive.members.get_mut(&crate::course::in_memory::path_of(path));
    let document = document.ok_or_else(|| anyhow::anyhow!("no {path}"))?;
    let text = String::from_utf8(document.clone())?;
    anyhow::ensure!(text.contains(from), "{path} has no {from}");
    *document = text.replacen(from, to, 1).into_bytes();
    Ok(())
}

fn text(archive: &InMemory, path: &str) -> anyhow::Result<String> {
    let document = archive.members.get(&crate::course::in_memory::path_of(path));
    Ok(String::from_utf8(document.ok_or_else(|| anyhow::anyhow!("no {path}"))?.clone())?)
}

/// Moodle hangs it into the method without a name of the plugin around it.
#[test]
fn a_tool_that_publishes_the_course_stays_without_users_and_who_came_by_it_goes() -> anyhow::Result<()> {
    let mut source = fixture("rich101-logs-histories-tgz.mbz")?;
    let user = "<user id=\"8\"><userid>4</userid><sourceid>marked</sourceid></user>";
    let tool = format!(
        "</user_enrolments><tool id=\"7\"><contextid>11</contextid><lang>fr</lang><users>\n{user}\n</users></tool>"
    );
    edit(&mut source, "course/enrolments.xml", "</user_enrolments>", &tool)?;
    for (settings, expected) in [("users=0", false), ("", true)] {
        for compatibility in [Compatibility::Moodle, Compatibility::Strict] {
            let asked = ask(settings, Scope::Course, Mode::General)?;
            let (ours, derived) = made(&source, &asked, compatibility, false)?;
            let enrolments = text(&ours, "course/enrolments.xml")?;
            assert!(enrolments.contains("<lang>fr</lang>"), "{settings} {compatibility:?}");
            assert_eq!(enrolments.contains("marked"), expected, "{settings} {compatibility:?}");
            assert!(derived.seen.unknown.is_empty(), "{:?}", derived.seen.unknown);
        }
    }
    Ok(())
}

#[test]
fn the_scale_of_an_outcome_comes_along_in_no_list_and_that_of_a_single_grade_does_not() -> anyhow::Result<()>
{
    let mut source = fixture("rich101-logs-histories-tgz.mbz")?;
    let grades = "activities/assign_19/grades.xml";
    edit(&mut source, grades, "<outcomeid>$@NULL@$</outcomeid>", "<outcomeid>77</outcomeid>")?;
    edit(&mut source, grades, "<rawscaleid>$@NULL@$</rawscaleid>", "<rawscaleid>99</rawscaleid>")?;
    let scales = [88, 99].map(|id| format!("<scale id=\"{id}\"><name>s</name></scale>\n")).concat();
    edit(&mut source, "scales.xml", "</scales_definition>", &format!("{scales}</scales_definition>"))?;
    let outcome = "<outcome id=\"77\"><scaleid>88</scaleid></outcome>\n</outcomes_definition>";
    edit(&mut source, "outcomes.xml", "</outcomes_definition>", outcome)?;
    let asked = ask("", Scope::Activity(19), Mode::General)?;
    let (ours, _) = made(&source, &asked, Compatibility::Moodle, true)?;
    let list = text(&ours, "activities/assign_19/inforef.xml")?;
    assert!(list.contains("<outcomeref>") && !list.contains("<scaleref>"), "{list}");
    let scales = text(&ours, "scales.xml")?;
    assert!(scales.contains("<scale id=\"88\">") && !scales.contains("<scale id=\"99\">"), "{scales}");
    assert!(text(&ours, "outcomes.xml")?.contains("<outcome id=\"77\">"));
    Ok(())
}

/// What a restore is told beforehand of an archive that is not written yet is what the archive says then.
#[test]
fn a_described_archive_is_described_as_it_will_be() -> anyhow::Result<()> {
    let source = fixture("rich101-logs-histories-tgz.mbz")?;
    let base = manifest(&source)?;
    for (settings, scope, mode) in [
        ("", Scope::Course, Mode::Import),
        ("users=0 files=0", Scope::Course, Mode::General),
        ("activities=0", Scope::Course, Mode::General),
        ("questionbank=0", Scope::Section(3), Mode::General),
        ("", Scope::Activity(22), Mode::Import),
    ] {
        let asked = ask(settings, scope, mode)?;
        let (ours, _) = made(&source, &asked, Compatibility::Strict, false)?;
        let effective = resolve(&asked, &[], &base, QUESTION_MODULES);
        let effective = effective.map_err(|found| anyhow::anyhow!("{found:?}"))?;
        let label = Label { file_name: "backup.mbz".into(), time: 1_800_000_000, backup_id: "0".repeat(32) };
        let told = manifest(&ours)?;
        let expected = described(&base, &effective, &label);
        assert_eq!(
            Manifest { includes_file_references: expected.includes_file_references, ..told },
            expected
        );
    }
    Ok(())
}
