//! What a course has by itself: sections, scales and outcomes, the grade book.

use std::collections::{BTreeMap, BTreeSet};

use super::deciding::Deciding;
use super::rows::Row;
use crate::format::Kind;
use crate::restore::precheck::check_loops;
use crate::restore::questions::loops;
use crate::restore::sections::{
    ActivityPlace, ArchiveSection, CourseSection, SectionDecision, match_section, place_activity,
};

/// Where sections are.
const SECTIONS: &str = "sections/section";

fn section(id: i64, row: &Row) -> CourseSection {
    let [name, summary] = ["name", "summary"].map(|field| row.text(field).to_owned());
    CourseSection { id, name, summary, is_delegated: !row.text("component").is_empty() }
}

impl Deciding<'_> {
    /// Sections, and where activities without one go.
    pub fn sections(&mut self) {
        let (Some(kind), Some(module)) = (self.kind("course_section"), self.kind("course_module")) else {
            return;
        };
        let compatibility = self.request.effective.compatibility;
        let mut of_course: BTreeMap<i64, CourseSection> = BTreeMap::new();
        for (id, row) in self.existing(kind) {
            of_course.entry(row.number("number")).or_insert_with(|| section(id, row));
        }
        let before = of_course.clone();
        let mut incoming = self.incoming(kind);
        // Those with a place of their own come first, so that the others can go behind them.
        incoming.sort_by_key(|(id, row)| (!row.text("component").is_empty(), row.number("number"), *id));
        let owners = &self.request.incoming.contents.owners;
        let mut above = BTreeMap::new();
        for (id, row) in incoming {
            let (number, component) = (row.number("number"), row.text("component").to_owned());
            let owner = owners.get(&(component.clone(), row.number("itemid"))).copied();
            let owner = owner.and_then(|module_id| self.rows().get(module, module_id));
            if let Some(owner) = owner {
                above.insert(id, owner.number("sectionid"));
            }
            let decided = ArchiveSection { number, component, owner_is_restored: owner.is_some() };
            let mut decision = match_section(&decided, &of_course, compatibility);
            if let SectionDecision::Match { id: same, .. } = decision
                && (same == 0 || !self.is_free(kind, same))
            {
                // Another section of the archive is it already.
                let number = of_course.keys().next_back().map_or(number, |last| last.saturating_add(1));
                decision = SectionDecision::Create { number, is_delegated: false };
            }
            match decision {
                SectionDecision::Match { id: same, takes_name, takes_summary } => {
                    self.is_same(kind, id, same);
                    let takes_name = takes_name && !row.text("name").is_empty();
                    let takes_summary = takes_summary && !row.text("summary").is_empty();
                    if takes_name || takes_summary {
                        self.merged.insert((kind, id));
                    }
                }
                SectionDecision::Create { number, is_delegated } => {
                    let (name, summary) = (row.text("name").to_owned(), row.text("summary").to_owned());
                    of_course.insert(number, CourseSection { id: 0, name, summary, is_delegated });
                }
            }
            self.plan.sections.insert(id, decision);
        }
        self.plan.findings.extend(check_loops(SECTIONS, &loops(&above)));
        self.activities(kind, module, &before);
    }

    /// Activities whose section did not come along.
    fn activities(&mut self, section: Kind, module: Kind, of_course: &BTreeMap<i64, CourseSection>) {
        let compatibility = self.request.effective.compatibility;
        for (id, row) in self.incoming(module) {
            let old = row.number("sectionid");
            if self.plan.sections.contains_key(&old) {
                continue;
            }
            match place_activity(None, row.number("sectionnumber"), of_course, compatibility) {
                ActivityPlace::Section(there) => self.plan.map.set(section, old, there),
                ActivityPlace::First => drop(self.plan.without_section.insert(id)),
            }
        }
        let numbers: BTreeSet<&str> =
            self.existing(module).iter().map(|(_, row)| row.text("idnumber")).collect();
        for (id, row) in self.incoming(module) {
            let number = row.text("idnumber");
            if !number.is_empty() && numbers.contains(number) {
                self.plan.without_number.add(module, id);
            }
        }
    }

    /// Scales by the list of their items and their name, outcomes by their short name.
    pub fn scales(&mut self) {
        for (name, fields) in [("scale", &["scale", "name"][..]), ("outcome", &["shortname"])] {
            let Some(kind) = self.kind(name) else { continue };
            let existing = self.existing(kind);
            for (id, row) in self.incoming(kind) {
                let is_same = |other: &Row| fields.iter().all(|field| other.text(field) == row.text(field));
                let found = existing.iter().find(|(other, row)| self.is_free(kind, *other) && is_same(row));
                if let Some((same, _)) = found {
                    self.is_same(kind, id, *same);
                }
            }
        }
    }

    /// The categories and items that a course has by itself are the course's; others are known by their names. Moodle
    /// restores others only into a course that has none.
    pub fn gradebook(&mut self) {
        let (Some(category), Some(item)) = (self.kind("grade_category"), self.kind("grade_item")) else {
            return;
        };
        let existing = self.existing(category);
        let is_lost =
            self.follows_moodle() && (existing.len() > 1 || self.request.effective.loses_as_moodle(false));
        let top = existing.iter().find(|(_, row)| row.number("depth") <= 1).map(|(id, _)| *id);
        if let Some(top) = top {
            // Items of activities whose category does not come along are the course's own, as in Moodle.
            self.plan.map.lead_otherwise(category, top);
        }
        let mut incoming = self.incoming(category);
        incoming.sort_by_key(|(id, row)| (row.number("depth"), *id));
        for (id, row) in incoming {
            let is_top = row.number("depth") <= 1;
            let parent = self.plan.map.get(category, row.number("parent"));
            let is_same = |other: &Row| {
                if is_top {
                    return other.number("depth") <= 1;
                }
                parent == Some(other.number("parent")) && other.text("fullname") == row.text("fullname")
            };
            let found = existing.iter().find(|(other, row)| self.is_free(category, *other) && is_same(row));
            match found {
                Some((same, _)) => self.is_same(category, id, *same),
                None if is_lost && !is_top => {
                    self.plan.left_out.add(category, id);
                    if let Some(top) = top {
                        self.plan.map.set(category, id, top);
                    }
                }
                None => {}
            }
        }
        self.grade_items(category, item, is_lost);
    }

    fn grade_items(&mut self, category: Kind, item: Kind, is_lost: bool) {
        let existing = self.existing(item);
        for (id, row) in self.incoming(item) {
            let kind = row.text("itemtype");
            let mapped = |field: &str| self.plan.map.get(category, row.number(field));
            let is_same = |other: &Row| {
                other.text("itemtype") == kind
                    && match kind {
                        "course" => true,
                        "category" => mapped("iteminstance") == Some(other.number("iteminstance")),
                        _ => {
                            mapped("categoryid") == Some(other.number("categoryid"))
                                && other.text("itemname") == row.text("itemname")
                        }
                    }
            };
            let found = existing.iter().find(|(other, row)| self.is_free(item, *other) && is_same(row));
            match found {
                Some((same, _)) => self.is_same(item, id, *same),
                None if is_lost && kind != "course" => self.plan.left_out.add(item, id),
                None => {}
            }
        }
    }
}
