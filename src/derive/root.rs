//! The documents at the root, which follow from what all tasks refer to (derivation 2 and 7).

use std::collections::HashSet;

use super::task::Selection;
use super::{DeriveError, Deriving};
use crate::backup::{Scope, Setting};
use crate::course::MemberPath;
use crate::digest::Sha1;
use crate::format::{IdSet, Outcome, Refs};

/// Documents that are made of the whole course, and lost by Moodle as soon as a part of it is left out.
const WHOLE: [&str; 2] = ["completion.xml", "badges.xml"];
const GRADES: [&str; 2] = ["gradebook.xml", "grade_history.xml"];
/// Documents of which each has a step of its own here.
const LAST: [&str; 2] = ["files.xml", MemberPath::MANIFEST];
const LOG: &str = "moodle_backup.log";

impl Deriving<'_> {
    /// Writes the documents at the root, then the contents of files.
    pub fn run_root(&mut self) -> Result<(), DeriveError> {
        let kinds = self.kinds;
        let mut kept = Refs::default();
        let whole = self.whole_documents()?;
        kept.extend(&whole.kept);

        let groups = self.groups()?;
        kept.extend(&groups.kept);
        let users = self.users(&groups, &whole)?;
        kept.extend(&users.kept);

        let mut roles = self.ids(kinds.role);
        roles.extend(users.refs.of(kinds.role).into_iter().flatten());
        if self.strict() {
            roles.extend(whole.quiet.of(kinds.role).into_iter().flatten());
        }
        kept.extend(&self.narrowed("roles.xml", kinds.role, &roles)?.kept);
        let categories = self.ids(kinds.question_category);
        kept.extend(&self.narrowed("questions.xml", kinds.question_category, &categories)?.kept);
        let mut scales = self.ids(kinds.scale);
        scales.extend(&self.listed.scales);
        scales.extend(whole.refs.of(kinds.scale).into_iter().flatten());
        kept.extend(&self.narrowed("scales.xml", kinds.scale, &scales)?.kept);
        let mut outcomes = self.ids(kinds.outcome);
        outcomes.extend(whole.refs.of(kinds.outcome).into_iter().flatten());
        kept.extend(&self.narrowed("outcomes.xml", kinds.outcome, &outcomes)?.kept);

        self.others()?;
        self.files(&kept)
    }

    fn ids(&self, kind: crate::format::Kind) -> IdSet {
        self.listed.refs.of(kind).cloned().unwrap_or_default()
    }

    /// Grade book, course completion and badges: what they hold, of those that are in.
    fn whole_documents(&mut self) -> Result<Outcome, DeriveError> {
        let included = self.included_modules();
        let gone: IdSet = self
            .base
            .activities
            .iter()
            .map(|activity| activity.module_id)
            .filter(|id| !included.contains(id))
            .collect();
        let scope = self.request.effective.scope;
        let losing = !(self.strict() && scope == Scope::Course);
        let mut all = Outcome::default();
        for name in WHOLE.into_iter().chain(GRADES) {
            let Some(member) = self.root_document(name) else { continue };
            let Some(found) = self.format.document(name) else { continue };
            let complete = if GRADES.contains(&name) {
                !losing || self.all_graded_are_in(&gone)?
            } else {
                match scope {
                    Scope::Course => !losing || gone.is_empty(),
                    Scope::Section(_) => false,
                    Scope::Activity(_) => true,
                }
            };
            if !complete || !self.on.holds(found.document.needs) {
                self.drop_document(member)?;
                continue;
            }
            let gone = if self.strict() && !gone.is_empty() && scope == Scope::Course {
                vec![(self.kinds.course_module, &gone)]
            } else {
                Vec::new()
            };
            let selection = Selection { keep: Vec::new(), gone };
            let outcome = match self.document(member, found, self.on, &selection)? {
                Some(outcome) => outcome,
                None => self.scan(member, self.on, None)?,
            };
            all.absorb(&outcome);
        }
        Ok(all)
    }

    /// Whether no activity that is left out has a grade item.
    fn all_graded_are_in(&self, gone: &IdSet) -> Result<bool, DeriveError> {
        for activity in self.base.activities.iter().filter(|activity| gone.contains(&activity.module_id)) {
            let grades = format!("{}/grades.xml", activity.directory);
            let Some(members) = self.folders.get(activity.directory.as_str()) else { continue };
            let Some(member) = members.iter().find(|member| member.path.as_str() == grades) else { continue };
            let outcome = self.scan(member, crate::format::Conditions::all(), None)?;
            if outcome.kept.of(self.kinds.grade_item).is_some_and(|items| !items.is_empty()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn groups(&mut self) -> Result<Outcome, DeriveError> {
        let Some(member) = self.root_document("groups.xml") else { return Ok(Outcome::default()) };
        let Some(found) = self.format.document("groups.xml") else { return Ok(Outcome::default()) };
        let kinds = self.kinds;
        let (groups, groupings) = (self.ids(kinds.group), self.ids(kinds.grouping));
        let all = self.scan(member, crate::format::Conditions::all(), None)?;
        let without = |kind, kept: &IdSet| -> IdSet {
            all.kept.of(kind).into_iter().flatten().copied().filter(|id| !kept.contains(id)).collect()
        };
        let gone = (without(kinds.group, &groups), without(kinds.grouping, &groupings));
        let selection = Selection {
            keep: vec![(kinds.group, &groups), (kinds.grouping, &groupings)],
            gone: vec![(kinds.group, &gone.0), (kinds.grouping, &gone.1)],
        };
        Ok(self.document(member, found, self.on, &selection)?.unwrap_or_default())
    }

    /// The people: those that the lists name, and the members of groups. Ours adds whom the documents of the whole name.
    fn users(&mut self, groups: &Outcome, whole: &Outcome) -> Result<Outcome, DeriveError> {
        let Some(member) = self.root_document("users.xml") else { return Ok(Outcome::default()) };
        let Some(found) = self.format.document("users.xml") else { return Ok(Outcome::default()) };
        if !self.on.holds(found.document.needs) {
            self.drop_document(member)?;
            return Ok(Outcome::default());
        }
        let user = self.kinds.user;
        let mut users = self.ids(user);
        users.extend(groups.refs.of(user).into_iter().flatten());
        if self.strict() {
            users.extend(whole.quiet.of(user).into_iter().flatten());
        }
        let selection = Selection { keep: vec![(user, &users)], gone: Vec::new() };
        Ok(self.document(member, found, self.on, &selection)?.unwrap_or_default())
    }

    /// A root document of which only some things stay.
    fn narrowed(
        &mut self,
        name: &str,
        kind: crate::format::Kind,
        ids: &IdSet,
    ) -> Result<Outcome, DeriveError> {
        let Some(member) = self.root_document(name) else { return Ok(Outcome::default()) };
        let Some(found) = self.format.document(name) else { return Ok(Outcome::default()) };
        let selection = Selection { keep: vec![(kind, ids)], gone: Vec::new() };
        Ok(self.document(member, found, self.on, &selection)?.unwrap_or_default())
    }

    /// What else lies at the root.
    fn others(&mut self) -> Result<(), DeriveError> {
        const KNOWN: [&str; 6] =
            ["groups.xml", "users.xml", "roles.xml", "questions.xml", "scales.xml", "outcomes.xml"];
        let known = |path: &str| {
            KNOWN.contains(&path) || WHOLE.contains(&path) || GRADES.contains(&path) || LAST.contains(&path)
        };
        for member in self.folders.get("").cloned().unwrap_or_default() {
            let path = member.path.as_str();
            if known(path) {
                continue;
            }
            if path == LOG {
                // Moodle's is empty; what another one says may name people.
                match member.size > 0 && self.hides_people(self.on) {
                    true => self.write(&member.path, b"")?,
                    false => self.keep(member)?,
                }
                continue;
            }
            self.undescribed(member, self.on, false)?;
        }
        Ok(())
    }

    fn files(&mut self, kept: &Refs) -> Result<(), DeriveError> {
        let kinds = self.kinds;
        let mut rows = self.ids(kinds.file);
        let unknown = !self.hides_people(self.on);
        let own: Vec<i64> = self
            .files
            .unlisted()
            .filter(|id| self.files.stays(*id, self.on, kept, kinds.context, unknown))
            .collect();
        rows.extend(own);
        for area in self.files.unknown_areas().collect::<Vec<_>>() {
            self.report.unknown_members.insert(format!("files.xml: {area}"), unknown);
        }
        self.narrowed("files.xml", kinds.file, &rows)?;
        let needed = self.files.needed(rows.iter());
        self.report.files = needed.files;
        self.report.files_left_out = self.files.files() - needed.files;
        // Ours stands for itself, wherever it is restored.
        let admitted = self.strict() || self.request.effective.mode.admits_contents();
        let with_contents = self.is_on(Setting::Files) && admitted;
        let mut there: HashSet<Sha1> = HashSet::new();
        for member in std::mem::take(&mut self.contents) {
            let content = member.path.claimed_sha1();
            let wanted = content.is_some_and(|content| needed.contents.contains(&content));
            if wanted && with_contents {
                there.extend(content);
                self.keep(member)?;
            } else {
                self.left_out(member);
            }
        }
        if with_contents && self.base.includes_files {
            let missing = self.files.missing(rows.iter().copied(), |content| there.contains(content));
            for (content, rows) in missing {
                let hash = content.to_string();
                self.report.missing_contents.insert(format!("files/{}/{hash}", &hash[..2]), rows);
            }
        }
        self.manifest(with_contents, needed.external)
    }
}
