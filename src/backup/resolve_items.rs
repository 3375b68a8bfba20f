//! From what was asked to what will be: sections and activities.
//!
//! Moodle's hierarchy (reference 9.1; `backup_activity_task`, `backup_section_task`): an activity is in if `activities`,
//! its section and, where it uses questions, `questionbank` are; user data of a section needs `users` and the section,
//! that of an activity needs `users`, the section's user data and the activity.

use super::Scope;
use super::contradiction::{Contradiction, Contradictions};
use super::effective::{Cause, Decision, EffectiveItem, Source, included_name, user_data_name};
use super::item::{Group, Inventory, Item};
use super::resolve::{Asked, Blocker, Decided, settle};
use super::selection::{Level, Wanted, Wishes};
use super::settings::Setting;

/// Decides on every item of an inventory, in its order.
pub(super) fn resolve_items(
    asked: &Asked,
    settings: &Decided,
    inventory: &Inventory<'_>,
    question_modules: &[&str],
    found: &mut Contradictions,
) -> Vec<EffectiveItem> {
    let wanted = Wanted::read(&asked.selection, inventory, found);
    let context = Context { settings, wanted: &wanted, question_modules };
    let mut items = Vec::new();
    for group in &inventory.groups {
        context.group(group, &mut items, found);
    }
    let top = items.first().filter(|top| asked.scope != Scope::Course && !top.included.value);
    if let Some(top) = top {
        let (name, state) = (top.included_name(), top.included.sentence());
        let message = format!("nothing would be in the backup: {name} is {state}");
        found.add(Contradiction { field: "scope".to_owned(), message });
    }
    items
}

struct Context<'c> {
    settings: &'c Decided,
    wanted: &'c Wanted,
    question_modules: &'c [&'c str],
}

/// Name of a setting and the decision on it.
type Named = (String, Decision);

impl Context<'_> {
    /// Decides on a section and its activities.
    fn group(&self, group: &Group<'_>, items: &mut Vec<EffectiveItem>, found: &mut Contradictions) {
        let section = group.section.as_ref();
        let section_in: Option<Named> =
            section.map(|section| (included_name(&section.name), self.section_included(section, group)));
        let included: Vec<Decision> = group
            .activities
            .iter()
            .map(|activity| self.activity_included(activity, section, section_in.as_ref()))
            .collect();
        let section_data: Option<Named> = section.zip(section_in.as_ref()).map(|(section, section_in)| {
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
            let above: Vec<&Named> = section_in.iter().chain(&section_data).collect();
            self.check(activity, &included, &user_data, &above, found);
            items.push(effective(activity, section, included, user_data));
        }
    }

    fn section_included(&self, section: &Item<'_>, group: &Group<'_>) -> Decision {
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
        section_in: Option<&Named>,
    ) -> Decision {
        let wanted = wish(&self.wanted.included, activity, section);
        settle(wanted, &self.activity_blockers(activity, section_in), activity.is_held)
    }

    fn activity_blockers<'d>(
        &'d self,
        activity: &Item<'_>,
        section_in: Option<&'d Named>,
    ) -> Vec<Blocker<'d>> {
        let uses_questions = self.question_modules.contains(&activity.module_name);
        let question_bank = uses_questions.then_some(Setting::QuestionBank);
        let roots = [Some(Setting::Activities), question_bank];
        let roots = roots.into_iter().flatten().filter_map(|setting| self.settings.parent(setting));
        roots.chain(section_in.map(item_parent)).collect()
    }

    fn section_user_data(
        &self,
        section: &Item<'_>,
        section_in: &Named,
        group: &Group<'_>,
        included: &[Decision],
    ) -> Decision {
        let wishes = &self.wanted.user_data;
        let mut decision = wish(wishes, section, None);
        if !decision.value && wishes.own(section).is_none() {
            let brings = |(activity, included): &(&Item<'_>, &Decision)| {
                included.value && activity.has_user_data && is_asked_on(wishes, activity)
            };
            if let Some((activity, _)) = group.activities.iter().zip(included).find(brings) {
                let cause = Cause::Item(user_data_name(&activity.name));
                decision = Decision::new(true, Source::Forced(cause));
            }
        }
        let users = self.settings.parent(Setting::Users);
        let blockers: Vec<Blocker<'_>> = users.into_iter().chain([item_parent(section_in)]).collect();
        settle(decision, &blockers, section.has_user_data)
    }

    fn activity_user_data(
        &self,
        activity: &Item<'_>,
        section: Option<&Item<'_>>,
        section_data: Option<&Named>,
        included: &Decision,
    ) -> Decision {
        let own: Named = (included_name(&activity.name), included.clone());
        let users = self.settings.parent(Setting::Users);
        let blockers: Vec<Blocker<'_>> =
            users.into_iter().chain([item_parent(&own)]).chain(section_data.map(item_parent)).collect();
        settle(wish(&self.wanted.user_data, activity, section), &blockers, activity.has_user_data)
    }

    /// What was asked of an item by its name is what happens, or a contradiction.
    fn check(
        &self,
        item: &Item<'_>,
        included: &Decision,
        user_data: &Decision,
        above: &[&Named],
        found: &mut Contradictions,
    ) {
        let own: Named = (included_name(&item.name), included.clone());
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
    fn why<'n>(&self, decision: &Decision, mut items: impl Iterator<Item = &'n Named>) -> String {
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
fn item_parent((name, decision): &Named) -> Blocker<'_> {
    Blocker { cause: Cause::Item(name.clone()), decision, when: false }
}

/// The value before anything else has a say; on by default.
fn wish(wishes: &Wishes, item: &Item<'_>, section: Option<&Item<'_>>) -> Decision {
    wishes
        .find(item, section)
        .map_or(Decision::new(true, Source::Default), |(_, wish)| Decision::new(wish.value, Source::Asked))
}

/// Whether an activity is asked for by its name or its type, which brings its section.
fn is_asked_on(wishes: &Wishes, activity: &Item<'_>) -> bool {
    wishes.find(activity, None).is_some_and(|(level, wish)| wish.value && level >= Level::Type)
}

fn effective(
    item: &Item<'_>,
    section: Option<&Item<'_>>,
    included: Decision,
    user_data: Decision,
) -> EffectiveItem {
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
