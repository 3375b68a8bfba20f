//! Rows that are told to be the same by their key, and what is left out below things that stay as they are. The keys are in
//! the [`table`](super::table).

use std::collections::{BTreeMap, VecDeque};

use super::deciding::Deciding;
use super::rows::Row;
use super::table::{ALIKE, Among, CLOSED, DOUBLED, fields};
use crate::format::Kind;
use crate::restore::Setting;
use crate::restore::sections::takes_format_option;

/// The conditions of a course's completion. A course that has some keeps them, and nothing is added to them, as in Moodle
/// (`restore_course_completion_structure_step::execute_condition`).
const CONDITIONS: &str = "course_completion_criteria";

/// What goes with them.
const OF_COMPLETION: [&str; 4] =
    [CONDITIONS, "course_completion_crit_compl", "course_completions", "course_completion_aggr_methd"];

/// What people and the course may have even below things that stay as they are.
const ADDED: [&str; 4] = ["comment", "role_assignment", "role_capability", "badge_manual_award"];

/// How far up is looked for what a row stands in. Moodle's rows are nested less deep; ids that come twice could lead in
/// circles.
const DEPTH: usize = 8;

/// A container and a key in it.
type Place = (Option<(Kind, i64)>, Vec<String>);

impl Deciding<'_> {
    /// Kind by kind, each over what was decided before.
    pub fn alike(&mut self) {
        let has_conditions = self.kind(CONDITIONS).is_some_and(|kind| !self.existing(kind).is_empty());
        for (name, among, list) in ALIKE {
            let is_doubled = self.follows_moodle() && DOUBLED.contains(name);
            let Some(kind) = self.kind(name).filter(|_| !is_doubled) else { continue };
            let mut there: BTreeMap<Place, VecDeque<i64>> = BTreeMap::new();
            for (id, row) in self.existing(kind).into_iter().filter(|(id, _)| self.is_free(kind, *id)) {
                let above = row.above.filter(|_| *among == Among::Siblings);
                let key = fields(list).map(|(field, kind)| text(row, field, kind.is_some())).collect();
                there.entry((above, key)).or_default().push_back(id);
            }
            let is_settled = has_conditions && OF_COMPLETION.contains(name);
            for (id, row) in self.incoming(kind) {
                if self.plan.map.get(kind, id).is_some() {
                    continue;
                }
                let is_shared = *among == Among::Course;
                if !is_shared && row.above.is_some_and(|(kind, id)| self.plan.left_out.has(kind, id)) {
                    self.plan.left_out.add(kind, id);
                    continue;
                }
                let place = self.place_of(name, id, row, *among, list);
                let found = place.and_then(|place| match *among {
                    // One of the site's: everything of that name is it.
                    Among::Course => there.get(&place)?.front().copied(),
                    Among::Siblings => there.get_mut(&place)?.pop_front(),
                });
                match found {
                    Some(same) => self.is_same(kind, id, same),
                    None if is_settled || !is_shared && self.is_closed(name, row) => {
                        self.plan.left_out.add(kind, id);
                    }
                    None => {}
                }
            }
        }
    }

    /// Where a row would be in the course; none if what it stands in, or refers to, is new there.
    fn place_of(&self, name: &str, id: i64, row: &Row, among: Among, list: &'static str) -> Option<Place> {
        let above = match row.above.filter(|_| among == Among::Siblings) {
            Some((kind, id)) => Some((kind, self.plan.map.get(kind, id)?)),
            None => None,
        };
        let mut key = Vec::new();
        for (field, kind) in fields(list) {
            let old = row.number(field);
            let settings = self.block_settings.get(&id).filter(|_| name == "block" && field == "configdata");
            if let Some(settings) = settings {
                key.push(settings.clone());
                continue;
            }
            key.push(match kind {
                Some(kind) if old > 0 => {
                    let new = self.kind(kind).and_then(|kind| self.plan.map.get(kind, old));
                    new?.to_string()
                }
                kind => text(row, field, kind.is_some()),
            });
        }
        Some((above, key))
    }

    /// Whether a row stands in something of the course that stays as it is.
    fn is_closed(&self, name: &str, row: &Row) -> bool {
        if self.is_other_configuration(name, row) {
            return true;
        }
        let mut above = row.above.filter(|_| !ADDED.contains(&name));
        for _ in 0..DEPTH {
            let Some((kind, id)) = above else { return false };
            if CLOSED.contains(&self.request.format.kind_name(kind)) {
                return self.is_there(kind, id);
            }
            above = self.rows().get(kind, id).and_then(|row| row.above);
        }
        false
    }

    /// Whether a row configures what is not configured by this restore: the course without `overwrite_conf`, or a section
    /// of the course for another course format.
    fn is_other_configuration(&self, name: &str, row: &Row) -> bool {
        let Some((kind, _)) = row.above.filter(|(kind, id)| self.is_there(*kind, *id)) else { return false };
        match (name, self.request.format.kind_name(kind)) {
            ("customfield_data", "course") => !self.request.effective.is_on(Setting::OverwriteConf),
            ("course_format_option", "course_section") => {
                let course = self.kind("course").into_iter().flat_map(|kind| self.existing(kind)).next();
                let format = course.map_or("", |(_, row)| row.text("format"));
                !takes_format_option(row.text("format"), format, false)
            }
            _ => false,
        }
    }

    /// Whether a thing of the archive is one that the course's documents have.
    pub fn is_there(&self, kind: Kind, id: i64) -> bool {
        let same = self.plan.map.get(kind, id);
        same.is_some_and(|same| {
            self.request.target.is_some_and(|target| target.survey.defined.has(kind, same))
        })
    }
}

/// A field as it is compared: one kind of line ends, and nothing for no id.
fn text(row: &Row, field: &str, is_id: bool) -> String {
    match row.text(field) {
        "0" if is_id => String::new(),
        text => text.replace("\r\n", "\n"),
    }
}
