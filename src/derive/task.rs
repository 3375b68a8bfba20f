//! Tasks in Moodle's order: the course, each section with its activities and their blocks, the course's blocks.

use std::io::{self, BufReader, Read};

use super::inforef;
use super::lists::Lists;
use super::sink::Document;
use super::{DeriveError, Deriving};
use crate::backup::{Effective, ItemKind, Mode, Scope, Setting};
use crate::course::{Member, MemberPath};
use crate::format::{
    Compatibility, Conditions, Element, Keep, Kind, Located, Outcome, Purpose, Refs, Rewrite, Switch,
};

const INFOREF: &str = "inforef.xml";

/// A folder with documents of one thing.
#[derive(Debug)]
struct Task {
    folder: String,
    on: Conditions,
    included: bool,
    place: Place,
    /// What nobody described comes along as it is.
    accepted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Course,
    Section,
    Activity,
    Block,
}

/// What a document is rewritten with.
#[derive(Clone, Debug, Default)]
pub(super) struct Selection<'k> {
    pub keep: Keep<'k>,
    pub gone: Keep<'k>,
}

impl<'d> Deriving<'d> {
    /// Runs all tasks.
    pub fn run_tasks(&mut self) -> Result<(), DeriveError> {
        let tasks = self.tasks();
        for task in &tasks {
            if task.included {
                self.run_task(task)?;
            } else {
                self.skip(task)?;
            }
        }
        let known: std::collections::HashSet<&str> = tasks.iter().map(|task| task.folder.as_str()).collect();
        let strange: Vec<&str> = self
            .folders
            .keys()
            .copied()
            .filter(|folder| !folder.is_empty() && !known.contains(folder))
            .collect();
        for folder in strange {
            for member in self.folders.get(folder).cloned().unwrap_or_default() {
                self.undescribed(member, self.on, false)?;
            }
        }
        // What the last late documents name is in nobody's list. Moodle loses it, we do not.
        if self.strict() {
            let late = std::mem::take(&mut self.late);
            self.listed.refs.extend(&late.refs);
        }
        Ok(())
    }

    fn tasks(&self) -> Vec<Task> {
        let effective = self.request.effective;
        let mut tasks = Vec::new();
        let whole = effective.scope == Scope::Course;
        self.task(&mut tasks, "course", Place::Course, self.on, whole);
        for section in &self.base.sections {
            let included =
                is_included(effective, ItemKind::Section, &format!("section_{}", section.section_id));
            self.task(&mut tasks, &section.directory, Place::Section, self.on, included);
            let of_section =
                self.base.activities.iter().filter(|activity| activity.section_id == section.section_id);
            of_section.for_each(|activity| self.activity(&mut tasks, activity));
        }
        let listed = |id| self.base.sections.iter().any(|section| section.section_id == id);
        let stray = self.base.activities.iter().filter(|activity| !listed(activity.section_id));
        stray.for_each(|activity| self.activity(&mut tasks, activity));
        self.blocks(&mut tasks, "course", self.on, whole);
        tasks
    }

    fn activity(&self, tasks: &mut Vec<Task>, activity: &crate::moodle::Activity) {
        let name = format!("{}_{}", activity.module_name, activity.module_id);
        let item = self.request.effective.item(&name).filter(|item| item.kind == ItemKind::Activity);
        let included = item.is_some_and(|item| item.included.value);
        let asked = item.is_some_and(|item| item.user_data.value) && self.is_on(Setting::Users);
        let user_data = asked || self.request.people_stay;
        let on = self.on.set(Switch::Userinfo, user_data);
        self.task(tasks, &activity.directory, Place::Activity, on, included);
        self.blocks(tasks, &activity.directory, on, included);
    }

    fn task(&self, tasks: &mut Vec<Task>, folder: &str, place: Place, on: Conditions, included: bool) {
        if self.folders.contains_key(folder) {
            let name = folder.strip_prefix("activities/").unwrap_or_default();
            let accepted = place == Place::Activity && self.request.accepted.contains(name);
            tasks.push(Task { folder: folder.to_owned(), on, included, place, accepted });
        }
    }

    /// The blocks of a folder, in the order of their ids.
    fn blocks(&self, tasks: &mut Vec<Task>, folder: &str, on: Conditions, included: bool) {
        let prefix = format!("{folder}/blocks/");
        let id = |folder: &str| folder.rsplit('_').next().and_then(|id| id.parse::<u64>().ok());
        let mut blocks: Vec<&str> =
            self.folders.keys().copied().filter(|folder| folder.starts_with(&prefix)).collect();
        blocks.sort_by_key(|folder| id(folder));
        for block in blocks {
            self.task(tasks, block, Place::Block, on, included && self.is_on(Setting::Blocks));
        }
    }

    /// A task that is not in the result.
    fn skip(&mut self, task: &Task) -> Result<(), DeriveError> {
        for member in self.folders.get(task.folder.as_str()).cloned().unwrap_or_default() {
            let path = member.path.as_str();
            self.left_out(member);
            let Some(found) = self.format.document(path) else { continue };
            self.after_late |= found.document.late;
            if path.ends_with(INFOREF) {
                let outcome = self.scan(member, Conditions::all(), None)?;
                self.files.list(&outcome.refs, self.kinds.file);
            } else if self.request.counting {
                let outcome = self.scan(member, Conditions::all(), None)?;
                self.report.seen.add_dropped(&outcome);
            }
        }
        Ok(())
    }

    fn run_task(&mut self, task: &Task) -> Result<(), DeriveError> {
        let documents = self.folders.get(task.folder.as_str()).cloned().unwrap_or_default();
        let mut inforef: Option<&Member> = None;
        let (mut late, mut seen) = (Vec::new(), Vec::new());
        let mut changed = false;
        for member in documents {
            if member.path.as_str().ends_with("/inforef.xml") {
                inforef = Some(member);
                continue;
            }
            let Some(found) = self.format.document(member.path.as_str()) else {
                changed |= !self.undescribed(member, task.on, task.accepted)?;
                continue;
            };
            if found.document.late {
                late.push((member, found));
            } else if !self.exists(found, member, task.on) {
                changed = true;
                self.drop_document(member)?;
            } else {
                let outcome = self.document(member, found, task.on, &Selection::default())?;
                changed |= outcome.as_ref().is_some_and(|outcome| outcome.changed);
                seen.push((member, outcome));
            }
        }
        self.name(task, inforef, seen, changed)?;
        self.run_late(task, late)
    }

    /// Makes the task's list of references, if what it follows from has changed.
    fn name(
        &mut self,
        task: &Task,
        inforef: Option<&Member>,
        seen: Vec<(&Member, Option<Outcome>)>,
        changed: bool,
    ) -> Result<(), DeriveError> {
        let (base, narrowed) = match inforef {
            Some(member) => {
                let outcome = self.scan(member, task.on, None)?;
                let whole = self.scan(member, Conditions::all(), None)?;
                self.files.list(&whole.refs, self.kinds.file);
                (outcome.refs, outcome.changed)
            }
            None => (Refs::default(), false),
        };
        let late = std::mem::take(&mut self.late);
        let after_late = std::mem::take(&mut self.after_late);
        let falls = base.of(self.kinds.file).into_iter().flatten().any(|id| self.files.falls(*id, task.on));
        let ungrouped = !task.on.has(Switch::Groups) && !base.sorted(self.kinds.group).is_empty();
        let anew =
            changed || narrowed || after_late || falls || ungrouped || inforef.is_none() || self.always_anew;
        let mut whole = Outcome::default();
        let mut module = Outcome::default();
        for (member, outcome) in seen {
            let found = self.format.document(member.path.as_str());
            let wanted = anew || found.is_some_and(|found| self.names_scales(found));
            let outcome = match outcome {
                Some(outcome) => outcome,
                None if wanted => self.scan(member, task.on, None)?,
                None => continue,
            };
            if member.path.as_str().ends_with("/module.xml") {
                module = outcome.clone();
            }
            whole.absorb(&outcome);
        }
        if task.place == Place::Activity {
            self.listed.scales.extend(whole.quiet.of(self.kinds.scale).into_iter().flatten());
        }
        let refs = if anew { self.refs(task, &base, &whole, &module, &late) } else { base.clone() };
        // The scale of an outcome is needed, but in no list.
        for outcome in refs.sorted(self.kinds.outcome) {
            self.listed.scales.extend(self.links.scales.get(&outcome));
        }
        match inforef {
            Some(member) if !narrowed && inforef::same(self.format, &refs, &base) => self.keep(member)?,
            _ => {
                let path = format!("{}/{INFOREF}", task.folder);
                let path = MemberPath::parse(&path, self.request.limits)
                    .map_err(|_| DeriveError::Missing { path: INFOREF })?;
                self.write(&path, &inforef::document(self.format, &refs))?;
            }
        }
        self.listed.refs.extend(&refs);
        Ok(())
    }

    /// What a task refers to (derivation 5).
    fn refs(&self, task: &Task, base: &Refs, whole: &Outcome, module: &Outcome, late: &Lists) -> Refs {
        let kinds = self.kinds;
        let mut refs = Refs::default();
        for kind in [kinds.user, kinds.grouping, kinds.group, kinds.role, kinds.scale, kinds.outcome] {
            refs.extend_kind(kind, whole.refs.of(kind).into_iter().flatten().copied());
        }
        refs.extend_kind(kinds.grade_item, whole.kept.of(kinds.grade_item).into_iter().flatten().copied());
        if task.on.has(Switch::Groups) {
            match task.place {
                Place::Course => {
                    for kind in [kinds.group, kinds.grouping] {
                        refs.extend_kind(kind, base.of(kind).into_iter().flatten().copied());
                    }
                }
                Place::Activity => {
                    for grouping in module.refs.of(kinds.grouping).into_iter().flatten() {
                        refs.extend_kind(
                            kinds.group,
                            self.links.groups.get(grouping).into_iter().flatten().copied(),
                        );
                    }
                }
                Place::Section | Place::Block => {}
            }
        }
        refs.extend_kind(
            kinds.question_category,
            base.of(kinds.question_category).into_iter().flatten().copied(),
        );
        let unknown = !self.hides_people(task.on);
        let files = base.of(kinds.file).into_iter().flatten().copied().filter(|id| {
            !self.files.is_late(*id) && self.files.stays(*id, task.on, &whole.kept, kinds.context, unknown)
        });
        refs.extend_kind(kinds.file, files);
        refs.extend(&late.refs);
        refs
    }

    /// Documents that Moodle writes after the task's list was made: what they name comes into the next task's.
    fn run_late(&mut self, task: &Task, late: Vec<(&'d Member, Located<'d>)>) -> Result<(), DeriveError> {
        for (member, found) in late {
            self.after_late = true;
            if !self.exists(found, member, task.on) {
                self.drop_document(member)?;
                continue;
            }
            let outcome = match self.document(member, found, task.on, &Selection::default())? {
                Some(outcome) => outcome,
                None => self.scan(member, task.on, None)?,
            };
            let rows = self.files.late_rows(&found.plugin.name, task.on, &outcome.kept, self.kinds.context);
            self.late.refs.extend(&outcome.refs);
            self.late.refs.extend_kind(self.kinds.file, rows);
        }
        Ok(())
    }

    /// Whether a document is in the result at all.
    fn exists(&self, found: Located<'_>, member: &Member, on: Conditions) -> bool {
        // A course that is imported or published brings nobody, and no way in either (derivation 2).
        let closed = matches!(self.request.effective.mode, Mode::Import | Mode::Hub);
        on.holds(found.document.needs) && !(closed && member.path.as_str() == "course/enrolments.xml")
    }

    /// Whether what a document says of scales decides over `scales.xml` although no list holds it.
    fn names_scales(&self, found: Located<'_>) -> bool {
        use crate::format::Meaning;
        let scale = self.kinds.scale;
        found.document.root.any(&|element: &Element| {
            element
                .meanings()
                .any(|meaning| matches!(meaning, Meaning::Ref { kind, annotated: false } if *kind == scale))
        })
    }

    /// A document that goes.
    pub fn drop_document(&mut self, member: &Member) -> Result<(), DeriveError> {
        self.left_out(member);
        if self.request.counting {
            let outcome = self.scan(member, Conditions::all(), None)?;
            self.report.seen.add_dropped(&outcome);
        }
        Ok(())
    }

    /// A member that no description covers: it stays only where everything may be told. True when it stays.
    pub fn undescribed(
        &mut self,
        member: &Member,
        on: Conditions,
        accepted: bool,
    ) -> Result<bool, DeriveError> {
        let stays = accepted || !self.hides_people(on);
        self.report.unknown_members.insert(member.path.to_string(), stays);
        if stays {
            self.keep(member)?;
        } else {
            self.left_out(member);
        }
        Ok(stays)
    }

    /// A document that stays: rewritten if it may change, else kept. What was seen, unless nobody looked.
    pub fn document(
        &mut self,
        member: &Member,
        found: Located<'_>,
        on: Conditions,
        selection: &Selection<'_>,
    ) -> Result<Option<Outcome>, DeriveError> {
        let purpose = self.purpose(on, selection, None);
        let root = &found.document.root;
        let plain = selection.keep.is_empty() && selection.gone.is_empty();
        let key = (std::ptr::from_ref(root).addr(), on);
        let may_change = match self.changeable.get(&key).filter(|_| plain) {
            Some(known) => *known,
            None => {
                let may_change = Rewrite::<io::Sink>::may_change(self.format, &purpose, root);
                if plain {
                    self.changeable.insert(key, may_change);
                }
                may_change
            }
        };
        if !may_change {
            self.keep(member)?;
            if !self.request.counting {
                return Ok(None);
            }
            let outcome = self.scan(member, on, None)?;
            self.report.seen.add_counts(&outcome);
            return Ok(Some(outcome));
        }
        let input = BufReader::with_capacity(64 << 10, self.open(member)?);
        let mut output = Document::new(self.sink, &member.path);
        let outcome = Rewrite::new(self.format, &purpose, root, &mut output)
            .run(input, self.request.limits)
            .map_err(|error| DeriveError::rewrite(&member.path, error))?;
        output.finish(member, outcome.changed).map_err(|error| DeriveError::output(&member.path, error))?;
        self.report.seen.add_counts(&outcome);
        match outcome.changed {
            true => self.report.members_written += 1,
            false => self.report.members_kept += 1,
        }
        Ok(Some(outcome))
    }

    fn purpose<'p>(&self, on: Conditions, selection: &Selection<'p>, links_of: Option<Kind>) -> Purpose<'p>
    where
        'd: 'p,
    {
        Purpose {
            compatibility: self.request.compatibility,
            on,
            keep: selection.keep.clone(),
            gone: selection.gone.clone(),
            date_offset: self.request.adjust.date_offset,
            values: self.request.adjust.values(),
            links_of,
        }
    }

    /// Looks into a document without writing it.
    pub fn scan(
        &self,
        member: &Member,
        on: Conditions,
        links_of: Option<Kind>,
    ) -> Result<Outcome, DeriveError> {
        let Some(found) = self.format.document(member.path.as_str()) else { return Ok(Outcome::default()) };
        let mut purpose = self.purpose(on, &Selection::default(), links_of);
        if on == Conditions::all() {
            purpose.compatibility = Compatibility::Moodle;
        }
        let input = BufReader::with_capacity(64 << 10, self.open(member)?);
        Rewrite::new(self.format, &purpose, &found.document.root, io::sink())
            .run(input, self.request.limits)
            .map_err(|error| DeriveError::rewrite(&member.path, error))
    }

    /// The content of a member.
    pub fn open(&self, member: &Member) -> Result<Box<dyn Read + 'd>, DeriveError> {
        let failed = |error| DeriveError::Read { path: member.path.clone(), error };
        self.source.open(&member.path).map_err(failed)
    }
}

fn is_included(effective: &Effective, kind: ItemKind, name: &str) -> bool {
    effective.item(name).is_some_and(|item| item.kind == kind && item.included.value)
}
