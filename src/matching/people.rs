//! Roles, groups and groupings, and the ways into the course.

use std::collections::BTreeSet;

use super::deciding::Deciding;
use super::rows::Row;
use crate::format::Kind;
use crate::restore::EnrolmentWork;
use crate::restore::groups::{Group, GroupDecision, Visibility, match_group};
use crate::restore::precheck::check_role;
use crate::restore::roles::{ArchiveRole, match_role};

/// The method of those whom someone brought in by hand.
const MANUAL: &str = "manual";

/// Methods of enrolment of which a course has one.
const ONCE: [&str; 2] = [MANUAL, "guest"];

fn group(id: i64, row: &Row) -> Group {
    let [name, id_number, description] =
        ["name", "idnumber", "description"].map(|field| row.text(field).to_owned());
    Group { id, name, id_number, description, visibility: Visibility::from_number(row.number("visibility")) }
}

impl Deciding<'_> {
    /// Roles are matched or left out, never created.
    pub fn roles(&mut self) {
        let Some(kind) = self.kind("role") else { return };
        let request = self.request;
        for (id, row) in self.incoming(kind) {
            let role = ArchiveRole { short_name: row.text("shortname"), archetype: row.text("archetype") };
            let asked = request.role_mapping.get(&id).copied();
            let matched = match_role(&role, request.roles, asked, request.effective.compatibility);
            self.plan.findings.extend(check_role(id, matched));
            match matched {
                Some((role, _)) => self.plan.map.set(kind, id, role),
                None => {
                    self.plan.map.set(kind, id, 0);
                    self.plan.left_out.add(kind, id);
                    self.gone_roles.insert(id);
                }
            }
            self.plan.roles.insert(id, matched);
        }
        let is_same = request.site.is_same && !request.site.forces_other_site;
        for id in request.incoming.scan.named.sorted(kind) {
            if self.plan.map.get(kind, id).is_none() {
                self.plan.map.set(kind, id, if is_same { id } else { 0 });
            }
        }
    }

    /// Groups, then groupings.
    pub fn groups(&mut self) {
        for name in ["group", "grouping"] {
            let Some(kind) = self.kind(name) else { continue };
            for (id, decision) in self.matched_groups(kind) {
                let list = if name == "group" { &mut self.plan.groups } else { &mut self.plan.groupings };
                list.insert(id, decision);
            }
        }
    }

    /// Ours takes each group of the course once, and none that the archive itself brings: two groups of one name stay
    /// two. Moodle makes one of them.
    fn matched_groups(&mut self, kind: Kind) -> Vec<(i64, GroupDecision)> {
        let compatibility = self.request.effective.compatibility;
        let existing: Vec<Group> = self.existing(kind).into_iter().map(|(id, row)| group(id, row)).collect();
        let mut numbers: BTreeSet<String> = existing.iter().map(|group| group.id_number.clone()).collect();
        // Created before, in Moodle. Their ids are told from others by being negative.
        let mut created: Vec<Group> = Vec::new();
        let mut decisions = Vec::new();
        for (id, row) in self.incoming(kind) {
            let group = group(id, row);
            let free = existing.iter().filter(|other| self.follows_moodle() || self.is_free(kind, other.id));
            let candidates: Vec<Group> = free.chain(&created).cloned().collect();
            let may_number = self.request.rights.number_groups;
            let mut decision = match_group(&group, &candidates, may_number, compatibility);
            match &mut decision {
                GroupDecision::Match { id: same } if *same < 0 => self.is_double(kind, id, -*same),
                GroupDecision::Match { id: same } => self.is_same(kind, id, *same),
                GroupDecision::Create { keeps_id_number } => {
                    let has_number = !group.id_number.is_empty();
                    *keeps_id_number &= !has_number || numbers.insert(group.id_number.clone());
                    if has_number && !*keeps_id_number {
                        self.plan.without_number.add(kind, id);
                    }
                    if self.follows_moodle() {
                        created.push(Group { id: -id, ..group });
                    }
                }
            }
            decisions.push((id, decision));
        }
        decisions
    }

    /// Ways into the course: none where the site's own are made or those of the course stay; else those that are the
    /// same as one of the course (`restore_instance` of the plugins) are that.
    pub fn enrolments(&mut self) {
        let Some(kind) = self.kind("enrol") else { return };
        let stays = |method: &str| match self.request.effective.enrolment_work() {
            EnrolmentWork::Unchanged | EnrolmentWork::SiteDefaults => false,
            EnrolmentWork::ManualUsers => method == MANUAL,
            EnrolmentWork::Methods | EnrolmentWork::MethodsAndUsers => true,
        };
        let gone = self.incoming(kind).into_iter().filter(|(_, row)| !stays(row.text("enrol")));
        for (id, _) in gone.collect::<Vec<_>>() {
            self.plan.left_out.add(kind, id);
            self.plan.map.set(kind, id, 0);
        }
        if self.request.effective.enrolment_work() == EnrolmentWork::ManualUsers {
            self.manual_users(kind);
        }
        let role = self.kind("role");
        let existing = self.existing(kind);
        for (id, row) in self.incoming(kind) {
            let method = row.text("enrol");
            let new_role = role.and_then(|kind| self.plan.map.get(kind, row.number("roleid"))).unwrap_or(0);
            let is_same = |other: &Row| {
                let is_one = ONCE.contains(&method);
                let rest = || {
                    other.number("roleid") == new_role
                        && ["name", "customint1"].iter().all(|field| other.text(field) == row.text(field))
                };
                other.text("enrol") == method && (is_one || rest())
            };
            let found = existing.iter().find(|(other, row)| self.is_free(kind, *other) && is_same(row));
            if let Some((same, _)) = found {
                self.is_same(kind, id, *same);
            }
        }
    }
    /// Users of methods that do not come along (`restore_enrolments_structure_step::process_enrol`).
    fn manual_users(&mut self, enrol: Kind) {
        let Some(enrolment) = self.kind("user_enrolment") else { return };
        let (mut by_hand, mut others) = (BTreeSet::new(), BTreeSet::new());
        for (_, row) in self.incoming(enrolment) {
            let is_gone =
                row.above.is_none_or(|(kind, id)| kind == enrol && self.plan.left_out.has(kind, id));
            let users = if is_gone { &mut others } else { &mut by_hand };
            users.insert(row.number("userid"));
        }
        self.plan.manual_users = others.difference(&by_hand).copied().collect();
    }
}
