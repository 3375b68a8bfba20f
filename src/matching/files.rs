//! Rows of `files.xml`: which are those of the course, and which go because what they belong to stays as it is.
//!
//! A file is known by its place, as in Moodle (`pathnamehash`): context, component, area, item, path and name.

use std::collections::BTreeMap;

use super::deciding::Deciding;
use super::rows::Row;
use crate::format::Kind;
use crate::restore::Setting;
use crate::restore::sections::SectionDecision;

/// Areas of the course's own configuration.
const CONFIGURATION: [&str; 2] = ["summary", "overviewfiles"];

/// Where a file is: context, component, area, item, path, name.
type Place<'r> = (i64, &'r str, &'r str, i64, &'r str, &'r str);

fn place<'r>(row: &'r Row, context: i64, item: i64) -> Place<'r> {
    let [component, area, path, name] =
        ["component", "filearea", "filepath", "filename"].map(|field| row.text(field));
    (context, component, area, item, path, name)
}

impl Deciding<'_> {
    /// All rows.
    pub fn files(&mut self) {
        let (Some(file), Some(context)) = (self.kind("file"), self.kind("context")) else { return };
        let contexts = self.contexts_of_people(context);
        let mut there: BTreeMap<Place<'_>, i64> = BTreeMap::new();
        for (id, row) in self.existing(file) {
            there.entry(place(row, row.number("contextid"), row.number("itemid"))).or_insert(id);
        }
        for (id, row) in self.incoming(file) {
            let owner = self.owner(context, row);
            let old = row.number("contextid");
            let is_gone = owner.is_some_and(|(kind, id)| self.is_gone(kind, id));
            if is_gone || contexts.get(&old) == Some(&true) {
                self.plan.left_out.add(file, id);
                continue;
            }
            let item = match owner {
                Some((kind, _)) if kind == context => Some(row.number("itemid")),
                Some((kind, id)) => self.plan.map.get(kind, id),
                None => Some(row.number("itemid")),
            };
            let new = self.plan.map.get(context, old).zip(item);
            let found = new.and_then(|(context, item)| there.remove(&place(row, context, item)));
            match found {
                Some(same) => self.is_same(file, id, same),
                None if self.stays_away(context, owner, row) => self.plan.left_out.add(file, id),
                None => {}
            }
        }
    }

    /// Contexts of users, and whether their files go: with whoever is left out or pseudonymised.
    fn contexts_of_people(&self, context: Kind) -> BTreeMap<i64, bool> {
        let user = self.kind("user");
        let contexts = &self.request.incoming.contents.user_contexts;
        let all = contexts.iter().flat_map(|(user, all)| all.iter().map(move |one| (*user, *one)));
        all.filter(|(_, (kind, _))| *kind == context)
            .map(|(id, (_, context))| {
                let is_gone = user.is_some_and(|kind| self.plan.left_out.has(kind, id));
                let is_hidden = self.plan.new_accounts.get(&id).is_some_and(|new| new.pseudonym.is_some());
                (context, is_gone || is_hidden)
            })
            .collect()
    }

    /// What a file belongs to: a thing of the kind that its area names, else its context.
    fn owner(&self, context: Kind, row: &Row) -> Option<(Kind, i64)> {
        let rule = self.request.format.file_rule(row.text("component"), row.text("filearea"));
        match rule.and_then(|(_, rule)| rule.per).filter(|kind| *kind != context) {
            Some(kind) => Some((kind, row.number("itemid"))),
            None => Some((context, row.number("contextid"))),
        }
    }

    /// Whether a thing is left out for good, not as a double.
    fn is_gone(&self, kind: Kind, id: i64) -> bool {
        self.plan.left_out.has(kind, id)
    }

    /// Whether a file that the course does not have is not to be added: what it belongs to stays as it is.
    fn stays_away(&self, context: Kind, owner: Option<(Kind, i64)>, row: &Row) -> bool {
        let Some((kind, id)) = owner.filter(|(kind, id)| self.is_there(*kind, *id)) else { return false };
        if kind == context && self.plan.map.get(context, id) == Some(self.request.ids.context) {
            let is_configuration =
                row.text("component") == "course" && CONFIGURATION.contains(&row.text("filearea"));
            return is_configuration && !self.request.effective.is_on(Setting::OverwriteConf);
        }
        match self.plan.sections.get(&id).filter(|_| self.kind("course_section") == Some(kind)) {
            Some(SectionDecision::Match { takes_summary, .. }) => !takes_summary,
            Some(SectionDecision::Create { .. }) => false,
            None => true,
        }
    }
}
