//! The question bank on its way into assessments and the question bank of a cartridge.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{Read, Seek, SeekFrom, Write};

use super::course::Course;
use super::error::ImsccError;
use super::files::{Placed, open};
use super::loss::{Losses, Lost, Outcome, Report};
use super::node::{Node, each_part};
use super::qti;
use super::question::{self, Question};
use super::text::{Links, Surroundings};

/// Where files of questions go.
const FOLDER: &str = "questions";

/// Areas of the component `question`, and what their rows belong to.
const OF_QUESTION: &[&str] =
    &["questiontext", "generalfeedback", "correctfeedback", "partiallycorrectfeedback", "incorrectfeedback"];
const OF_ANSWER: &[&str] = &["answer", "answerfeedback"];

/// A slot of a quiz: an entry of the bank, and the version if not the newest one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Wanted {
    pub entry: i64,
    pub version: Option<i64>,
}

/// Why a question is not in the cartridge.
#[derive(Clone, Debug)]
pub(super) struct Refused {
    pub name: String,
    pub kind: String,
    pub why: Lost,
}

/// A question as an item that waits for its place.
pub(super) struct Ready {
    offset: u64,
    head: usize,
    tail: usize,
    pub name: String,
    pub profile: &'static str,
    pub mark: f64,
    /// The resource with its files, if it has any.
    pub files: Option<String>,
    /// What it lost.
    losses: Losses,
    id: i64,
}

/// All questions that someone wants. Items wait in a temporary file, so that memory does not grow with their texts.
pub(super) struct Bank {
    items: tempfile::SpooledTempFile,
    ready: HashMap<Wanted, Result<Ready, Refused>>,
    /// Entries in no quiz, in the order of the bank.
    rest: Vec<i64>,
    /// Files of questions: resource, files.
    pub resources: Vec<(String, Placed)>,
    told: BTreeSet<i64>,
}

/// Bytes of items that stay in memory.
const IN_MEMORY: usize = 4 << 20;

impl Bank {
    /// Reads `questions.xml`. `wanted` are the slots of quizzes.
    pub fn read(course: &Course<'_>, wanted: &BTreeSet<Wanted>, links: &Links) -> Result<Self, ImsccError> {
        let mut bank = Self {
            items: tempfile::SpooledTempFile::new(IN_MEMORY),
            ready: HashMap::new(),
            rest: Vec::new(),
            resources: Vec::new(),
            told: BTreeSet::new(),
        };
        let Some(member) = course.member("questions.xml") else { return Ok(bank) };
        let in_quizzes: BTreeSet<i64> = wanted.iter().map(|slot| slot.entry).collect();
        let categories = categories(course)?;
        let input = open(course.source, &member.path)?;
        let path =
            ["question_categories", "question_category", "question_bank_entries", "question_bank_entry"];
        let path_name = member.path.clone();
        each_part(input, course.limits, &path, |entry| {
            let category = categories.get(&entry.number("questioncategoryid"));
            bank.entry(course, &entry, category, wanted, &in_quizzes, links)
        })
        .map_err(|error: PartError| error.into_imscc(&path_name))?;
        Ok(bank)
    }

    fn entry(
        &mut self,
        course: &Course<'_>,
        entry: &Node,
        category: Option<&Category>,
        wanted: &BTreeSet<Wanted>,
        in_quizzes: &BTreeSet<i64>,
        links: &Links,
    ) -> Result<(), PartError> {
        let id = entry.id();
        let mut versions: Vec<(i64, &str, &Node)> = Vec::new();
        for version in
            entry.child("question_version").into_iter().flat_map(|all| all.all("question_versions"))
        {
            if let Some(question) = version.at(&["questions", "question"]) {
                versions.push((version.number("version"), version.text_of("status"), question));
            }
        }
        versions.sort_by_key(|(number, ..)| *number);
        let newest = versions.iter().rfind(|(_, status, _)| *status != "draft").or(versions.last());
        let Some((newest, _, question)) = newest.copied() else { return Ok(()) };
        // Parts of another question, and what Moodle makes for itself to draw from, are no questions of their own.
        if question.number("parent") != 0 && question.text_of("qtype") != "random" {
            return Ok(());
        }
        let is_hidden = versions.last().is_some_and(|(_, status, _)| *status == "hidden");
        let any = Wanted { entry: id, version: None };
        if !in_quizzes.contains(&id) {
            if is_hidden || question.text_of("qtype") == "random" {
                return Ok(());
            }
            self.rest.push(id);
        }
        let slots =
            wanted.range(Wanted { entry: id, version: None }..=Wanted { entry: id, version: Some(i64::MAX) });
        let mut slots: Vec<Wanted> = slots.copied().collect();
        if slots.is_empty() {
            slots.push(any);
        }
        for slot in slots {
            let version = slot.version.unwrap_or(newest);
            let found = versions.iter().find(|(number, ..)| *number == version);
            let Some((_, _, question)) = found else { continue };
            let ready = self.convert(course, question, category, versions.len() > 1, links)?;
            self.ready.insert(slot, ready);
        }
        Ok(())
    }

    fn convert(
        &mut self,
        course: &Course<'_>,
        node: &Node,
        category: Option<&Category>,
        has_versions: bool,
        links: &Links,
    ) -> Result<Result<Ready, Refused>, PartError> {
        let mut losses = Losses::default();
        losses.add_if(has_versions, Lost::Versions);
        let context = category.map_or(0, |category| category.context);
        let folder = format!("{FOLDER}/q{}", node.id());
        let mut files = Placed::default();
        for area in OF_QUESTION {
            files.add(&folder, course.files.of(context, "question", area, node.id()));
        }
        let mut answers = Vec::new();
        node.visit(&mut |below| {
            if below.name == "answer" {
                answers.push(below.id());
            }
        });
        for (area, answer) in
            OF_ANSWER.iter().flat_map(|area| answers.iter().map(move |answer| (area, answer)))
        {
            files.add(&folder, course.files.of(context, "question", area, *answer));
        }
        losses.add_if(files.renamed, Lost::FileNames);
        let around = Surroundings { files: &files, links, depth: 1, in_xml: true };
        let name = category.map_or("", |category| category.name.as_str());
        let question = match question::of_moodle(node, name, around, &mut losses) {
            Ok(question) => question,
            Err(why) => {
                let (name, kind) = (node.text_of("name").to_owned(), node.text_of("qtype").to_owned());
                return Ok(Err(Refused { name, kind, why }));
            }
        };
        let files = match files.is_empty() {
            true => None,
            false => {
                let identifier = format!("R_{}", question.ident);
                if !self.resources.iter().any(|(known, _)| *known == identifier) {
                    self.resources.push((identifier.clone(), files));
                }
                Some(identifier)
            }
        };
        self.put(node.id(), question, files, losses).map(Ok)
    }

    fn put(
        &mut self,
        id: i64,
        question: Question,
        files: Option<String>,
        losses: Losses,
    ) -> Result<Ready, PartError> {
        let item = qti::item(&question);
        let offset = self.items.seek(SeekFrom::End(0)).map_err(PartError::Write)?;
        self.items.write_all(item.head.as_bytes()).map_err(PartError::Write)?;
        self.items.write_all(item.tail.as_bytes()).map_err(PartError::Write)?;
        Ok(Ready {
            offset,
            head: item.head.len(),
            tail: item.tail.len(),
            profile: question.body.profile(),
            mark: question.mark,
            name: question.name,
            files,
            losses,
            id,
        })
    }

    /// What became of the question in a slot; `None` if the archive has no such question.
    pub fn find(&self, slot: Wanted) -> Option<&Result<Ready, Refused>> {
        self.ready.get(&slot)
    }

    /// Questions in no quiz: those that can be in a cartridge, and those that cannot.
    pub fn rest(&self) -> impl Iterator<Item = (i64, &Result<Ready, Refused>)> {
        self.rest.iter().filter_map(|id| Some((*id, self.ready.get(&Wanted { entry: *id, version: None })?)))
    }

    /// The item of the question in a slot, with its weight.
    pub fn item(&mut self, slot: Wanted, mark: f64) -> Result<String, ImsccError> {
        let Some(Ok(ready)) = self.ready.get(&slot) else { return Ok(String::new()) };
        let mut bytes = vec![0; ready.head + ready.tail];
        let head = ready.head;
        self.items.seek(SeekFrom::Start(ready.offset)).map_err(ImsccError::Write)?;
        self.items.read_exact(&mut bytes).map_err(ImsccError::Write)?;
        let tail = bytes.split_off(head);
        let text = [bytes, weight(mark).to_string().into_bytes(), tail].concat();
        String::from_utf8(text).map_err(|_| ImsccError::Write(std::io::ErrorKind::InvalidData.into()))
    }

    /// Tells what a question lost, once, and counts it.
    pub fn tell(&mut self, slot: Wanted, mark: f64, report: &mut Report) {
        let Some(Ok(ready)) = self.ready.get(&slot) else { return };
        if !self.told.insert(ready.id) {
            return;
        }
        let mut losses = ready.losses.clone();
        losses.add_if(!is_whole(mark), Lost::Mark);
        *report.questions.entry(ready.profile.to_owned()).or_default() += 1;
        losses.tell(report, &format!("question {}", ready.id), &ready.name, Outcome::Converted);
    }

    /// Tells why a question is not there, once.
    pub fn tell_refused(&mut self, entry: i64, refused: &Refused, report: &mut Report) {
        if self.told.insert(-entry) {
            let mut losses = Losses::default();
            losses.add(refused.why);
            losses.detail(refused.kind.clone());
            losses.tell(report, &format!("question bank entry {entry}"), &refused.name, Outcome::LeftOut);
        }
    }
}

/// A weight as the profile has it: a whole number from 0 to 99.
fn weight(mark: f64) -> i64 {
    // Between two whole numbers the higher one, so that no question loses its weight.
    let whole = mark.clamp(0.0, 99.0).ceil();
    format!("{whole:.0}").parse().unwrap_or(1)
}

fn is_whole(mark: f64) -> bool {
    (0.0..=99.0).contains(&mark) && (mark - mark.round()).abs() < 1e-6
}

/// A category of questions.
struct Category {
    name: String,
    context: i64,
}

fn categories(course: &Course<'_>) -> Result<BTreeMap<i64, Category>, ImsccError> {
    let mut all = BTreeMap::new();
    let Some(member) = course.member("questions.xml") else { return Ok(all) };
    let input = open(course.source, &member.path)?;
    let path = ["question_categories", "question_category"];
    crate::moodle::each_row(input, course.limits, &path, &["name", "contextid"], |mut row| {
        let name = row.text(0);
        let name = if name == "top" { String::new() } else { name };
        all.insert(row.id.unwrap_or_default(), Category { name, context: row.number(1) });
    })
    .map_err(ImsccError::xml(&member.path))?;
    Ok(all)
}

/// What goes wrong while parts are read.
enum PartError {
    Xml(crate::format::xml::XmlError),
    Write(std::io::Error),
}

impl From<crate::format::xml::XmlError> for PartError {
    fn from(error: crate::format::xml::XmlError) -> Self {
        Self::Xml(error)
    }
}

impl PartError {
    fn into_imscc(self, path: &crate::course::MemberPath) -> ImsccError {
        match self {
            Self::Xml(error) => ImsccError::xml(path)(error),
            Self::Write(error) => ImsccError::Write(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_whole() {
        assert_eq!([0.0, 0.4, 1.0, 2.5, 99.0, 500.0].map(weight), [0, 1, 1, 3, 99, 99]);
        assert!(is_whole(2.0) && !is_whole(2.5) && !is_whole(100.0));
    }
}
