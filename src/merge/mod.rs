//! The union of a course and of what is restored into it.
//!
//! The incoming tree comes with ids of the target's space: what was matched has the target's ids, everything else new ones.
//! Two rows of one id in one container are the same row: the target's stays, their containers are united. Other incoming
//! rows are put at the end of their container, byte for byte. What else makes rows equal, and where the incoming value
//! counts, is said by tables (`rules`). A document that does not change is kept, not written.
//!
//! Pure: members come from [`Members`](crate::course::Members) and go to a [`Sink`]. Of each document, some hundred
//! bytes for each row of one container are in memory, never a document.

mod document;
mod error;
#[cfg(test)]
pub(crate) mod in_memory_merge;
mod level;
mod report;
mod rules;
mod scratch;
mod sink;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, BufReader, Read as _};

pub use crate::backup::Compatibility;
pub use error::{MergeError, Side};
pub use report::{Report, Rows, WhyLeftOut};
pub use sink::Sink;

use crate::course::{Member, MemberPath, Members};
use crate::format::Format;
use crate::limits::Limits;
use crate::moodle::{Manifest, parse};
use crate::renumber::{IdMap, Renumber, Survey};
use document::{Policy, Union};
use level::Doc;
use scratch::Scratch;

/// What is merged, and how.
#[derive(Clone, Debug)]
pub struct Request<'r> {
    /// The format.
    pub format: &'r Format,
    /// Bounds of documents.
    pub limits: &'r Limits,
    /// Whose rules count where Moodle loses or doubles.
    pub compatibility: Compatibility,
    /// Whether the course takes the incoming course's configuration.
    pub overwrite_conf: bool,
    /// Where activities go whose section was left out: id of that section, id of the target's.
    pub placement: BTreeMap<i64, i64>,
}

/// Documents whose rows others refer to: what is equal in them is known before the others are read.
const FIRST: &[&str] = &[
    "course/enrolments.xml",
    "outcomes.xml",
    "gradebook.xml",
    "badges.xml",
    "course/calendar.xml",
    "files.xml",
];

/// Times that a document is looked at again because rows in it refer to others that turned out to be equal.
const ROUNDS: usize = 3;

/// Merges `incoming` into `target`.
///
/// # Errors
///
/// [`MergeError`], which names the document; what the sink got until then is worthless.
pub fn merge(
    request: &Request<'_>,
    target: &dyn Members,
    incoming: &dyn Members,
    sink: &mut dyn Sink,
) -> Result<Report, MergeError> {
    let list = |source: &dyn Members| source.members().map_err(|error| MergeError::bytes("", error));
    let by_path = |members: Vec<Member>| -> BTreeMap<MemberPath, Member> {
        members.into_iter().map(|member| (member.path.clone(), member)).collect()
    };
    let (of_target, of_incoming) = (by_path(list(target)?), by_path(list(incoming)?));
    let mut merging = Merging {
        request,
        target,
        incoming,
        sink,
        policy: Policy { overwrite_course: request.overwrite_conf, ..Policy::default() },
        aliases: IdMap::new(),
        has_aliases: false,
        survey: Survey::new(),
        report: Report::default(),
    };
    merging.prepare()?;
    let skipped = merging.blocks(&of_target, &of_incoming)?;
    let is_skipped = |path: &MemberPath| skipped.iter().any(|folder| path.as_str().starts_with(folder));
    let order = |path: &MemberPath| !FIRST.contains(&path.as_str());
    let mut paths: Vec<&MemberPath> = of_target.keys().chain(of_incoming.keys()).collect();
    paths.sort_by_key(|path| (order(path), *path));
    paths.dedup();
    for path in paths {
        match (of_target.get(path), of_incoming.get(path).filter(|member| !is_skipped(&member.path))) {
            (Some(one), Some(other)) => merging.both(one, other)?,
            (Some(one), None) => merging.keep_target(one)?,
            (None, Some(other)) => merging.arrives(other)?,
            (None, None) => {}
        }
    }
    Ok(merging.report)
}

/// A merge on its way.
struct Merging<'m> {
    request: &'m Request<'m>,
    target: &'m dyn Members,
    incoming: &'m dyn Members,
    sink: &'m mut dyn Sink,
    policy: Policy,
    /// Incoming ids of what turned out to be a thing of the target.
    aliases: IdMap,
    has_aliases: bool,
    survey: Survey,
    report: Report,
}

impl<'m> Merging<'m> {
    fn keep_target(&mut self, member: &Member) -> Result<(), MergeError> {
        self.sink.keep_target(member).map_err(|error| MergeError::bytes(member.path.as_str(), error))
    }

    /// Reads what decides over sections: the incoming manifest, and the format of the target's course.
    fn prepare(&mut self) -> Result<(), MergeError> {
        let manifest = self.manifest(self.incoming)?;
        if let Ok(known) = self.manifest(self.target) {
            self.policy.course_format = known.original_course.format;
        }
        let placed = |section: i64| self.request.placement.get(&section).copied().unwrap_or(section);
        let mut arriving: HashMap<i64, Vec<i64>> = HashMap::new();
        for activity in &manifest.activities {
            arriving.entry(placed(activity.section_id)).or_default().push(activity.module_id);
        }
        self.policy.arriving = arriving;
        Ok(())
    }

    fn manifest(&self, source: &dyn Members) -> Result<Manifest, MergeError> {
        let path = MemberPath::MANIFEST;
        let member = MemberPath::parse(path, self.request.limits)
            .map_err(|error| MergeError::bytes(path, io::Error::other(error)))?;
        let input = source.open(&member).map_err(|error| MergeError::bytes(path, error))?;
        Ok(parse(input, self.request.limits)?)
    }

    /// Folders of incoming blocks that the target shows already (reference 13.7): the same block in the same place.
    fn blocks(
        &self,
        of_target: &BTreeMap<MemberPath, Member>,
        of_incoming: &BTreeMap<MemberPath, Member>,
    ) -> Result<BTreeSet<String>, MergeError> {
        let read = |source: &dyn Members, path: &MemberPath| {
            let mut text = String::new();
            let input = source
                .open(path)
                .and_then(|input| input.take(self.request.limits.manifest_bytes).read_to_string(&mut text));
            input.map_err(|error| MergeError::bytes(path.as_str(), error))?;
            let field = |name: &str| {
                let after = text.split(&format!("<{name}>")).nth(1)?;
                after.split(&format!("</{name}>")).next().map(str::to_owned)
            };
            Ok::<_, MergeError>(
                [
                    "blockname",
                    "parentcontextid",
                    "showinsubcontexts",
                    "pagetypepattern",
                    "subpagepattern",
                    "defaultregion",
                    "configdata",
                ]
                .map(field),
            )
        };
        let is_block = |path: &&MemberPath| {
            path.as_str().starts_with("course/blocks/") && path.as_str().ends_with("/block.xml")
        };
        let mut shown = BTreeSet::new();
        for path in of_target.keys().filter(is_block) {
            shown.insert(read(self.target, path)?);
        }
        let mut skipped = BTreeSet::new();
        for path in of_incoming.keys().filter(is_block).filter(|path| !of_target.contains_key(*path)) {
            if shown.contains(&read(self.incoming, path)?) {
                skipped.insert(path.as_str().trim_end_matches("block.xml").to_owned());
            }
        }
        Ok(skipped)
    }

    /// A copy of a member, under the ids that turned out; whether anything in it changed.
    fn copy(&self, side: Side, member: &Member) -> Result<(Scratch, bool), MergeError> {
        let path = member.path.as_str();
        let source = if side == Side::Target { self.target } else { self.incoming };
        let mut input = source.open(&member.path).map_err(|error| MergeError::bytes(path, error))?;
        if side == Side::Target || !self.has_aliases || !path.ends_with(".xml") {
            let copied = Scratch::of(|output| io::copy(&mut input, output));
            return copied.map(|(copy, _)| (copy, false)).map_err(|error| MergeError::bytes(path, error));
        }
        let mut renumber = Renumber::new(self.request.format, &self.survey, &self.aliases);
        let copied = Scratch::of(|output| {
            let done = renumber.document(path, BufReader::new(input), output, self.request.limits);
            done.map_err(|error| io::Error::other(MergeError::rewrite(path, side, error)))
        });
        copied.map_err(|error| match error.downcast::<MergeError>() {
            Ok(error) => error,
            Err(error) => MergeError::bytes(path, error),
        })
    }

    /// A member that only the incoming tree has.
    fn arrives(&mut self, member: &Member) -> Result<(), MergeError> {
        let path = member.path.as_str();
        if self.has_aliases && path.ends_with(".xml") && !path.starts_with("files/") {
            let (copy, changed) = self.copy(Side::Incoming, member)?;
            if changed {
                return self.written(&member.path, |output| copy.copy(0, copy.size(), output));
            }
        }
        self.sink.keep_incoming(member).map_err(|error| MergeError::bytes(path, error))
    }

    fn written(
        &mut self,
        path: &MemberPath,
        write: impl FnOnce(&mut dyn io::Write) -> io::Result<()>,
    ) -> Result<(), MergeError> {
        let done = self
            .sink
            .begin(path)
            .and_then(|()| write(&mut sink::Pipe(&mut *self.sink)))
            .and_then(|()| self.sink.end());
        done.map_err(|error| MergeError::bytes(path.as_str(), error))
    }

    /// A member that both trees have.
    fn both(&mut self, one: &Member, other: &Member) -> Result<(), MergeError> {
        let path = one.path.as_str();
        let described = self.request.format.document(path).filter(|_| !path.starts_with("files/"));
        let equal = one.digest.is_some() && one.digest == other.digest;
        let Some(found) = described.filter(|_| !equal) else {
            return self.keep_target(one);
        };
        if path == "completion.xml" && self.has_criteria(one)? {
            self.report.left_out(path, "course_completion", WhyLeftOut::TargetHasOwn);
            return self.keep_target(one);
        }
        if path == "course/course.xml" && !self.request.overwrite_conf {
            self.report.left_out(path, "course", WhyLeftOut::CourseKept);
            return self.keep_target(one);
        }
        let doc = |text: Scratch| Doc {
            text,
            format: self.request.format,
            limits: self.request.limits,
            compatibility: self.request.compatibility,
        };
        let target = doc(self.copy(Side::Target, one)?.0);
        for round in 0.. {
            let incoming = doc(self.copy(Side::Incoming, other)?.0);
            let mut report = self.report.clone();
            let mut union = Union::new(path, &target, &incoming, &self.policy, &mut report);
            let changes = union.find(&found.document.root)?;
            let aliases = std::mem::take(&mut union.aliases);
            if FIRST.contains(&path) && round < ROUNDS && !aliases.is_empty() {
                self.has_aliases = true;
                aliases.into_iter().for_each(|(kind, from, to)| self.aliases.set(kind, from, to));
                continue;
            }
            if changes {
                let done = self
                    .sink
                    .begin(&one.path)
                    .and_then(|()| union.write(&mut sink::Pipe(&mut *self.sink)))
                    .and_then(|()| self.sink.end());
                done.map_err(|error| MergeError::bytes(path, error))?;
                self.report = report;
            } else {
                self.report = report;
                self.keep_target(one)?;
            }
            return Ok(());
        }
        Ok(())
    }

    /// Whether a course has conditions of its own for its completion.
    fn has_criteria(&self, member: &Member) -> Result<bool, MergeError> {
        let (copy, _) = self.copy(Side::Target, member)?;
        let doc = Doc {
            text: copy,
            format: self.request.format,
            limits: self.request.limits,
            compatibility: self.request.compatibility,
        };
        let failed = |error| MergeError::xml(member.path.as_str(), Side::Target, error);
        let root = doc.root().map_err(failed)?;
        let level = doc.level("/course_completion", None, root).map_err(failed)?;
        Ok(level.child("course_completion_criteria").is_some())
    }
}
