//! Question banks: where each goes, which of its categories and entries are there already.

use std::collections::{BTreeMap, BTreeSet};

use super::contents::Contents;
use super::deciding::Deciding;
use super::rows::Row;
use crate::format::{Format, Kind};
use crate::restore::precheck::{check_bank, check_loops, check_tops};
use crate::restore::questions::{
    BankLevel, BankPlace, Category, Entry, EntryDecision, Version, decide_entry, loops, match_category,
    match_entry, place_bank,
};

/// Where categories are.
const CATEGORIES: &str = "questions.xml/question_categories/question_category";

/// The kinds that banks are made of.
#[derive(Clone, Copy)]
struct Kinds {
    category: Kind,
    entry: Kind,
    version: Kind,
    question: Kind,
    context: Kind,
}

impl Kinds {
    fn of(format: &Format) -> Option<Self> {
        Some(Self {
            category: format.kind("question_category")?,
            entry: format.kind("question_bank_entry")?,
            version: format.kind("question_version")?,
            question: format.kind("question")?,
            context: format.kind("context")?,
        })
    }
}

/// The entries of an archive or a course.
#[derive(Default)]
struct Entries {
    /// By category.
    of: BTreeMap<i64, Vec<Entry>>,
    /// Ids of versions and of their questions, by entry and number.
    versions: BTreeMap<(i64, i64), (i64, Vec<i64>)>,
}

impl Entries {
    fn read(contents: &Contents, kinds: Kinds) -> Self {
        let id_above = |row: &Row, kind| row.above.filter(|(found, _)| *found == kind).map(|(_, id)| id);
        let mut all = Self::default();
        let mut questions: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
        for (id, row) in contents.rows.of(kinds.question) {
            questions.entry(id_above(row, kinds.version).unwrap_or(0)).or_default().push(id);
        }
        let mut versions: BTreeMap<i64, Vec<Version>> = BTreeMap::new();
        for (id, row) in contents.rows.of(kinds.version) {
            let Some(entry) = id_above(row, kinds.entry) else { continue };
            let number = row.number("version");
            let questions = questions.remove(&id).unwrap_or_default();
            for question in &questions {
                let stamp = contents.rows.get(kinds.question, *question).map(|row| row.text("stamp"));
                let digest = contents.questions.get(question).map(|question| question.digest);
                let (stamp, digest) = (stamp.unwrap_or_default().to_owned(), digest.unwrap_or_default());
                versions.entry(entry).or_default().push(Version { number, stamp, digest });
            }
            all.versions.insert((entry, number), (id, questions));
        }
        for (id, row) in contents.rows.of(kinds.entry) {
            let category = id_above(row, kinds.category).unwrap_or(0);
            let versions = versions.remove(&id).unwrap_or_default();
            all.of.entry(category).or_default().push(Entry { id, category, versions });
        }
        all
    }
}

fn category(id: i64, row: &Row) -> Category {
    Category { id, parent: row.number("parent"), stamp: row.text("stamp").to_owned() }
}

impl Deciding<'_> {
    /// All banks.
    pub fn banks(&mut self) {
        let Some(kinds) = Kinds::of(self.request.format) else { return };
        let mut banks: BTreeMap<i64, Vec<(i64, &Row)>> = BTreeMap::new();
        let mut above = BTreeMap::new();
        for (id, row) in self.incoming(kinds.category) {
            banks.entry(row.number("contextid")).or_default().push((id, row));
            above.insert(id, row.number("parent"));
        }
        self.plan.findings.extend(check_loops(CATEGORIES, &loops(&above)));
        let here = Entries::read(self.request.incoming.contents, kinds);
        let there = self.request.target.map(|target| Entries::read(target.contents, kinds));
        let there = there.unwrap_or_default();
        // Tops by the context that they come to: a bank has one.
        let mut tops: BTreeMap<i64, i64> = BTreeMap::new();
        // The course's own bank first, so that what falls back to it finds its top.
        let mut order: Vec<(i64, Vec<(i64, &Row)>)> = banks.into_iter().collect();
        order.sort_by_key(|(context, bank)| (bank_level(bank) != BankLevel::Course, *context));
        for (context, bank) in order {
            let count = bank.iter().filter(|(_, row)| row.number("parent") == 0).count();
            self.plan.findings.extend(check_tops(self.request.incoming.manifest, context, count));
            let place = self.place(&bank, kinds, &here, &there);
            self.plan.findings.extend(check_bank(context, place));
            self.plan.banks.insert(context, place);
            let to = match place {
                BankPlace::System => Some(self.request.ids.system_context),
                BankPlace::CourseCategory(context) => Some(context),
                BankPlace::Course { .. } => Some(self.request.ids.context),
                BankPlace::Module | BankPlace::Refused => None,
            };
            let Some(to) = to else { continue };
            self.plan.map.set(kinds.context, context, to);
            self.bank(&bank, to, kinds, (&here, &there), &mut tops);
        }
    }

    /// Categories of the course's documents in one context.
    fn of_bank(&self, kinds: Kinds, context: i64) -> Vec<Category> {
        let all = self.existing(kinds.category).into_iter();
        all.filter(|(_, row)| row.number("contextid") == context).map(|(id, row)| category(id, row)).collect()
    }

    fn place(&self, bank: &[(i64, &Row)], kinds: Kinds, here: &Entries, there: &Entries) -> BankPlace {
        let level = bank_level(bank);
        let stamps: BTreeSet<&str> = bank.iter().map(|(_, row)| row.text("stamp")).collect();
        let is_fitting = |row: &Row| {
            row.number("contextlevel") == 40
                && row.number("parent") != 0
                && stamps.contains(row.text("stamp"))
        };
        let existing = self.existing(kinds.category).into_iter();
        let matching: BTreeSet<i64> =
            existing.filter(|(_, row)| is_fitting(row)).map(|(_, row)| row.number("contextid")).collect();
        let to = match level {
            BankLevel::System => Some(self.request.ids.system_context),
            BankLevel::CourseCategory => matching.first().copied(),
            BankLevel::Course => Some(self.request.ids.context),
            BankLevel::Module => None,
        };
        let of_bank = to.map(|context| self.of_bank(kinds, context)).unwrap_or_default();
        let misses = bank.iter().any(|(id, row)| match match_category(&category(*id, row), &of_bank) {
            None => true,
            Some(same) => here.of.get(id).into_iter().flatten().any(|entry| {
                let there = there.of.get(&same).map(Vec::as_slice).unwrap_or_default();
                match_entry(entry, there) == EntryDecision::Create
            }),
        });
        let rights = self.request.rights;
        place_bank(level, &matching, misses, rights.create_questions_above, rights.create_questions)
    }

    fn bank(
        &mut self,
        bank: &[(i64, &Row)],
        to: i64,
        kinds: Kinds,
        (here, there): (&Entries, &Entries),
        tops: &mut BTreeMap<i64, i64>,
    ) {
        let of_bank = self.of_bank(kinds, to);
        let mut sorted = bank.to_vec();
        sorted.sort_by_key(|(id, row)| (row.number("parent") != 0, *id));
        for (id, row) in sorted {
            let is_top = row.number("parent") == 0;
            let free: Vec<Category> =
                of_bank.iter().filter(|other| self.is_free(kinds.category, other.id)).cloned().collect();
            match (match_category(&category(id, row), &free), tops.get(&to).copied()) {
                (_, Some(top)) if is_top => self.is_double(kinds.category, id, top),
                (Some(same), _) => {
                    self.is_same(kinds.category, id, same);
                    self.entries(id, same, kinds, here, there);
                }
                (None, _) => {}
            }
            if is_top {
                tops.entry(to).or_insert(id);
            }
        }
    }

    /// The entries of a category that is one of the course's.
    fn entries(&mut self, category: i64, same: i64, kinds: Kinds, here: &Entries, there: &Entries) {
        let existing = there.of.get(&same).map(Vec::as_slice).unwrap_or_default();
        let number = |row: Option<&Row>| row.map(|row| row.text("idnumber").to_owned()).unwrap_or_default();
        let rows = self.there();
        let numbers: BTreeSet<String> = existing
            .iter()
            .map(|entry| number(rows.and_then(|rows| rows.get(kinds.entry, entry.id))))
            .collect();
        for entry in here.of.get(&category).into_iter().flatten() {
            let free: Vec<Entry> =
                existing.iter().filter(|other| self.is_free(kinds.entry, other.id)).cloned().collect();
            let site_has =
                |id, category| there.of.get(&category).into_iter().flatten().any(|entry| entry.id == id);
            let compatibility = self.request.effective.compatibility;
            match decide_entry(entry, true, site_has, compatibility, &free) {
                EntryDecision::Match { id, versions } => {
                    self.is_same(kinds.entry, entry.id, id);
                    for (old, new) in versions {
                        let found = (here.versions.get(&(entry.id, old)), there.versions.get(&(id, new)));
                        if let (Some(old), Some(new)) = found {
                            self.same_version(kinds, old, new);
                        }
                    }
                }
                EntryDecision::LeaveOut => self.keep_ids(entry, kinds, here),
                EntryDecision::Create => {
                    let own = number(self.rows().get(kinds.entry, entry.id));
                    if !own.is_empty() && numbers.contains(&own) {
                        self.plan.without_number.add(kinds.entry, entry.id);
                    }
                }
            }
        }
    }

    /// A version and all that its questions consist of.
    fn same_version(&mut self, kinds: Kinds, old: &(i64, Vec<i64>), new: &(i64, Vec<i64>)) {
        self.is_same(kinds.version, old.0, new.0);
        let Some(target) = self.request.target else { return };
        for (old, new) in old.1.iter().zip(&new.1) {
            let questions =
                (self.request.incoming.contents.questions.get(old), target.contents.questions.get(new));
            let (Some(old), Some(new)) = questions else { continue };
            for ((kind, old), (_, new)) in old.parts.iter().zip(&new.parts) {
                // Tags are things of their own, which others have, too.
                if self.kind("tag") != Some(*kind) {
                    self.plan.map.set(*kind, *old, *new);
                    self.taken.insert((*kind, *new));
                }
            }
        }
    }

    /// Moodle: whatever refers to the entry keeps the archive's ids.
    fn keep_ids(&mut self, entry: &Entry, kinds: Kinds, here: &Entries) {
        let mut kept = vec![(kinds.entry, entry.id)];
        for ((_, _), (version, questions)) in here.versions.range((entry.id, i64::MIN)..=(entry.id, i64::MAX))
        {
            kept.push((kinds.version, *version));
            let contents = self.request.incoming.contents;
            let parts = questions.iter().filter_map(|question| contents.questions.get(question));
            kept.extend(parts.flat_map(|question| question.parts.iter().copied()));
        }
        for (kind, id) in kept {
            self.plan.left_out.add(kind, id);
            self.plan.map.set(kind, id, id);
        }
    }
}

/// Level of a bank; one of an unknown level counts as the course's.
fn bank_level(bank: &[(i64, &Row)]) -> BankLevel {
    let level = bank.first().and_then(|(_, row)| BankLevel::from_number(row.number("contextlevel")));
    level.unwrap_or(BankLevel::Course)
}
