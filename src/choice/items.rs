//! From what was asked to what will be: sections and activities.
//!
//! Moodle's hierarchy (reference 9.1; `backup_activity_task`, `backup_section_task`, `restore_activity_task`,
//! `restore_section_task`, each `define_settings`): an activity is in if `activities`, its section and, where it uses
//! questions in a backup, `questionbank` are; user data of a section needs `users` and the section, that of an activity
//! needs `users`, the section's user data and the activity.

use serde::{Deserialize, Serialize};

use super::contradiction::{Contradiction, Contradictions};
use super::decision::{Blocker, Cause, Decided, Decision, Root, Source, settle};
use super::item::{Group, Inventory, Item, ItemKind};
use super::selection::{Level, Selection, Wanted, Wishes};

/// A section or an activity as it will be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct EffectiveItem<S: Root> {
    /// Which of the two.
    pub kind: ItemKind,
    /// `section_ID` or `MODNAME_CMID`.
    pub name: String,
    /// An activity's section, as `section_ID`, where that is part of the work.
    pub section: Option<String>,
    /// An activity's kind, such as `forum`; empty for a section.
    pub module_name: String,
    /// Its title.
    pub title: String,
    /// Whether it will be in.
    pub included: Decision<S>,
    /// Whether its user data will be.
    pub user_data: Decision<S>,
}

impl<S: Root> EffectiveItem<S> {
    /// Moodle's name of its first setting.
    pub fn included_name(&self) -> String {
        included_name(&self.name)
    }

    /// Moodle's name of its second setting.
    pub fn user_data_name(&self) -> String {
        user_data_name(&self.name)
    }
}

/// Moodle's name for whether an item is in.
fn included_name(item: &str) -> String {
    format!("{item}_included")
}

/// Moodle's name for whether an item's user data is in.
fn user_data_name(item: &str) -> String {
    format!("{item}_userinfo")
}

/// The root settings that sections and activities depend on.
#[derive(Clone, Copy)]
pub(crate) struct Roots<'r, S> {
    /// Users and all user data.
    pub users: S,
    /// Activities at all.
    pub activities: S,
    /// What modules with questions need besides, and which these are.
    pub questions: Option<(S, &'r [&'r str])>,
}

/// Decides on every item of an inventory, in its order.
pub(crate) fn resolve_items<S: Root>(
    selection: &Selection,
    settings: &Decided<S>,
    roots: Roots<'_, S>,
    inventory: &Inventory<'_>,
    found: &mut Contradictions,
) -> Vec<EffectiveItem<S>> {
    let wanted = Wanted::read(selection, inventory, found);
    let context = Context { settings, wanted: &wanted, roots };
    let mut items = Vec::new();
    for group in &inventory.groups {
        context.group(group, &mut items, found);
    }
    items
}

struct Context<'c, S: Root> {
    settings: &'c Decided<S>,
    wanted: &'c Wanted,
    roots: Roots<'c, S>,
}

/// Name of a setting and the decision on it.
type Named<S> = (String, Decision<S>);

impl<S: Root> Context<'_, S> {
    /// Decides on a section and its activities.
    fn group(&self, group: &Group<'_>, items: &mut Vec<EffectiveItem<S>>, found: &mut Contradictions) {
        let section = group.section.as_ref();
        let section_in: Option<Named<S>> =
            section.map(|section| (included_name(&section.name), self.section_included(section, group)));
        let included: Vec<Decision<S>> = group
            .activities
            .iter()
            .map(|activity| self.activity_included(activity, section, section_in.as_ref()))
            .collect();
        let section_data: Option<Named<S>> = section.zip(section_in.as_ref()).map(|(section, section_in)| {
            let decision = self.section_user_data(section, section_in, group, &included);
            (user_data_name(&section.name), decision)
        });
        if let (Some(item), Some((_, included)), Some((_, user_data))) = (section, &section_in, &section_data)
        {
            self.check(item, included, user_data, &[], found);
            items.push(effective(item, None, included.clone(), user_data.clone()));
        }
        for (activity, included) in group.activities.iter().zip(included) {
            let user_data = self.activity_user_data(activity, section, section_data.as_ref(), &included);
            let above: Vec<&Named<S>> = section_in.iter().chain(&section_data).collect();
            self.check(activity, &included, &user_data, &above, found);
            items.push(effective(activity, section, included, user_data));
        }
    }

    fn section_included(&self, section: &Item<'_>, group: &Group<'_>) -> Decision<S> {
        let mut decision = wish(&self.wanted.included, section, None);
        if !decision.value && self.wanted.included.own(section).is_none() {
            // An activity that was asked for brings its section, if it can come itself.
            let brings = |activity: &&Item<'_>| {
                let wanted = wish(&self.wanted.included, activity, None);
                is_asked_on(&self.wanted.included, activity)
                    && settle(wanted, &self.activity_blockers(activity, None), activity.is_held).value
            };
            if let Some(activity) = group.activities.iter().find(brings) {
                let cause = Cause::Item(included_name(&activity.name));
                decision = Decision::new(true, Source::Forced(cause));
            }
        }
        settle(decision, &[], section.is_held)
    }

    fn activity_included(
        &self,
        activity: &Item<'_>,
        section: Option<&Item<'_>>,
        section_in: Option<&Named<S>>,
    ) -> Decision<S> {
        let wanted = wish(&self.wanted.included, activity, section);
        settle(wanted, &self.activity_blockers(activity, section_in), activity.is_held)
    }

    fn activity_blockers<'d>(
        &'d self,
        activity: &Item<'_>,
        section_in: Option<&'d Named<S>>,
    ) -> Vec<Blocker<'d, S>> {
        let questions = self.roots.questions.filter(|(_, modules)| modules.contains(&activity.module_name));
        let roots = [Some(self.roots.activities), questions.map(|(setting, _)| setting)];
        let roots = roots.into_iter().flatten().filter_map(|setting| self.settings.parent(setting));
        roots.chain(section_in.map(item_parent)).collect()
    }

    fn section_user_data(
        &self,
        section: &Item<'_>,
        section_in: &Named<S>,
        group: &Group<'_>,
        included: &[Decision<S>],
    ) -> Decision<S> {
        let wishes = &self.wanted.user_data;
        let mut decision = wish(wishes, section, None);
        if !decision.value && wishes.own(section).is_none() {
            let brings = |(activity, included): &(&Item<'_>, &Decision<S>)| {
                included.value && activity.has_user_data && is_asked_on(wishes, activity)
            };
            if let Some((activity, _)) = group.activities.iter().zip(included).find(brings) {
                let cause = Cause::Item(user_data_name(&activity.name));
                decision = Decision::new(true, Source::Forced(cause));
            }
        }
        let users = self.settings.parent(self.roots.users);
        let blockers: Vec<Blocker<'_, S>> = users.into_iter().chain([item_parent(section_in)]).collect();
        settle(decision, &blockers, section.has_user_data)
    }

    fn activity_user_data(
        &self,
        activity: &Item<'_>,
        section: Option<&Item<'_>>,
        section_data: Option<&Named<S>>,
        included: &Decision<S>,
    ) -> Decision<S> {
        let own: Named<S> = (included_name(&activity.name), included.clone());
        let users = self.settings.parent(self.roots.users);
        let blockers: Vec<Blocker<'_, S>> =
            users.into_iter().chain([item_parent(&own)]).chain(section_data.map(item_parent)).collect();
        settle(wish(&self.wanted.user_data, activity, section), &blockers, activity.has_user_data)
    }

    /// What was asked of an item by its name is what happens, or a contradiction.
    fn check(
        &self,
        item: &Item<'_>,
        included: &Decision<S>,
        user_data: &Decision<S>,
        above: &[&Named<S>],
        found: &mut Contradictions,
    ) {
        let own: Named<S> = (included_name(&item.name), included.clone());
        for (wishes, decision, what) in [
            (&self.wanted.included, included, "cannot be included"),
            (&self.wanted.user_data, user_data, "cannot come with its user data"),
        ] {
            let Some(wish) = wishes.own(item) else { continue };
            if wish.value != decision.value && decision.source != Source::NotHeld {
                let why = self.why(decision, above.iter().copied().chain([&own]));
                let message = format!("{} {what}: {why}", item.name);
                found.add(Contradiction { field: wish.field.clone(), message });
            }
        }
    }

    /// Why a decision is not what was asked, with the state of what forces it.
    fn why<'n>(&self, decision: &Decision<S>, mut items: impl Iterator<Item = &'n Named<S>>) -> String {
        let Source::Forced(cause) = &decision.source else { return format!("it is {}", decision.sentence()) };
        let forcing = match cause {
            Cause::Setting(setting) => self.settings.get(*setting),
            Cause::Item(name) => items.find(|(item, _)| item == name).map(|(_, decision)| decision),
            Cause::Mode(_) => None,
        };
        format!("{cause} is {}", forcing.map(Decision::sentence).unwrap_or_default())
    }
}

/// An item's setting as something that keeps others out when it is off.
fn item_parent<S: Root>((name, decision): &Named<S>) -> Blocker<'_, S> {
    Blocker { cause: Cause::Item(name.clone()), decision, when: false }
}

/// The value before anything else has a say; on by default.
fn wish<S: Root>(wishes: &Wishes, item: &Item<'_>, section: Option<&Item<'_>>) -> Decision<S> {
    wishes
        .find(item, section)
        .map_or(Decision::new(true, Source::Default), |(_, wish)| Decision::new(wish.value, Source::Asked))
}

/// Whether an activity is asked for by its name or its type, which brings its section.
fn is_asked_on(wishes: &Wishes, activity: &Item<'_>) -> bool {
    wishes.find(activity, None).is_some_and(|(level, wish)| wish.value && level >= Level::Type)
}

fn effective<S: Root>(
    item: &Item<'_>,
    section: Option<&Item<'_>>,
    included: Decision<S>,
    user_data: Decision<S>,
) -> EffectiveItem<S> {
    EffectiveItem {
        kind: item.kind,
        name: item.name.clone(),
        section: section.map(|section| section.name.clone()),
        module_name: item.module_name.to_owned(),
        title: item.title.to_owned(),
        included,
        user_data,
    }
}
