//! The sections and activities of a course's state that work can be about, under Moodle's names.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::moodle::{Activity, ArchiveType, Manifest, Section};

/// What a backup or a restore is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// A whole course.
    #[default]
    Course,
    /// One section and its activities, by the section's id.
    Section(i64),
    /// One activity, by its course module's id.
    Activity(i64),
}

impl Scope {
    /// The type of an archive of it.
    pub const fn archive_type(self) -> ArchiveType {
        match self {
            Self::Course => ArchiveType::Course,
            Self::Section(_) => ArchiveType::Section,
            Self::Activity(_) => ArchiveType::Activity,
        }
    }

    /// All that a state holds; `None` for a part without contents.
    pub fn whole(base: &Manifest) -> Option<Self> {
        match base.archive_type {
            ArchiveType::Course => Some(Self::Course),
            ArchiveType::Section => base.sections.first().map(|section| Self::Section(section.section_id)),
            ArchiveType::Activity => {
                base.activities.first().map(|activity| Self::Activity(activity.module_id))
            }
        }
    }
}

/// Sections and activities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ItemKind {
    /// A section.
    Section,
    /// An activity or a resource.
    Activity,
}

/// A section or an activity as the state holds it.
#[derive(Debug)]
pub(crate) struct Item<'m> {
    pub kind: ItemKind,
    pub name: String,
    /// Kind of the activity; empty for a section.
    pub module_name: &'m str,
    pub title: &'m str,
    /// Whether the state's own settings say that it is there.
    pub is_held: bool,
    /// Whether they say that its user data is.
    pub has_user_data: bool,
}

impl<'m> Item<'m> {
    fn section(section: &'m Section) -> Self {
        Self {
            kind: ItemKind::Section,
            name: format!("section_{}", section.section_id),
            module_name: "",
            title: &section.title,
            is_held: section.included,
            has_user_data: section.includes_user_data,
        }
    }

    fn activity(activity: &'m Activity) -> Self {
        Self {
            kind: ItemKind::Activity,
            name: format!("{}_{}", activity.module_name, activity.module_id),
            module_name: &activity.module_name,
            title: &activity.title,
            is_held: activity.included,
            has_user_data: activity.includes_user_data,
        }
    }
}

/// A section, if the scope has one, and its activities.
#[derive(Debug)]
pub(crate) struct Group<'m> {
    pub section: Option<Item<'m>>,
    pub activities: Vec<Item<'m>>,
}

/// Everything in a scope, in the order of Moodle's plan: sections as they come, each followed by its activities.
#[derive(Debug)]
pub(crate) struct Inventory<'m> {
    pub groups: Vec<Group<'m>>,
}

impl<'m> Inventory<'m> {
    /// What of a state lies in a scope.
    ///
    /// # Errors
    ///
    /// A sentence, when the state cannot hold the scope or has no such section or activity.
    pub fn of(base: &'m Manifest, scope: Scope) -> Result<Self, String> {
        let in_section = |id| {
            base.activities
                .iter()
                .filter(move |activity| activity.section_id == id)
                .map(Item::activity)
                .collect()
        };
        let groups = match scope {
            Scope::Course if base.archive_type != ArchiveType::Course => {
                return Err("the state holds a part of a course, not a whole one".to_owned());
            }
            Scope::Course => course(base),
            Scope::Section(id) => {
                let section = base.sections.iter().find(|section| section.section_id == id);
                let section = section.ok_or_else(|| format!("the course has no section_{id}"))?;
                vec![Group { section: Some(Item::section(section)), activities: in_section(id) }]
            }
            // An activity's own backup has no section above it (`backup_plan_builder`).
            Scope::Activity(id) => {
                let activity = base.activities.iter().find(|activity| activity.module_id == id);
                let activity =
                    activity.ok_or_else(|| format!("the course has no activity with the number {id}"))?;
                vec![Group { section: None, activities: vec![Item::activity(activity)] }]
            }
        };
        Ok(Self { groups })
    }

    /// All items, in order.
    pub fn items(&self) -> impl Iterator<Item = &Item<'m>> {
        self.groups.iter().flat_map(|group| group.section.iter().chain(&group.activities))
    }
}

fn course(base: &Manifest) -> Vec<Group<'_>> {
    let mut by_section: HashMap<i64, Vec<Item<'_>>> = HashMap::new();
    for activity in &base.activities {
        by_section.entry(activity.section_id).or_default().push(Item::activity(activity));
    }
    let mut groups: Vec<Group<'_>> = base
        .sections
        .iter()
        .map(|section| Group {
            section: Some(Item::section(section)),
            activities: by_section.remove(&section.section_id).unwrap_or_default(),
        })
        .collect();
    // Activities whose section is not listed; Moodle writes none, other tools may.
    let listed: HashSet<i64> = base.sections.iter().map(|section| section.section_id).collect();
    let stray = base.activities.iter().filter(|activity| !listed.contains(&activity.section_id));
    let activities: Vec<Item<'_>> = stray.map(Item::activity).collect();
    if !activities.is_empty() {
        groups.push(Group { section: None, activities });
    }
    groups
}

/// At most three of the candidates that are much like a text: spelled alike, or of the same number.
pub(super) fn near<'c>(text: &str, candidates: impl Iterator<Item = &'c str>) -> Vec<&'c str> {
    /// Longer texts are no slips of the pen.
    const LONGEST: usize = 100;
    if text.len() > LONGEST {
        return Vec::new();
    }
    let number = |name: &str| name.rsplit_once('_').map(|(_, number)| number.to_owned());
    let wanted = number(text);
    let mut found: Vec<(usize, &str)> = candidates
        .filter(|candidate| candidate.len() <= LONGEST)
        .map(|candidate| (distance(text, candidate), candidate))
        .filter(|(distance, candidate)| {
            *distance <= 1 + text.len() / 5 || (wanted.is_some() && number(candidate) == wanted)
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    found.into_iter().take(3).map(|(_, candidate)| candidate).collect()
}

/// Number of bytes to insert, remove or replace to make one text of another (Levenshtein).
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (line, a) in from.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], line + 1);
        for (column, b) in to.bytes().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::{distance, near};

    #[test]
    fn slips_of_the_pen_are_recognised() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!((distance("", "abc"), distance("abc", "")), (3, 3));
        let names = ["forum_9", "forum_10", "quiz_22", "section_9"];
        assert_eq!(near("forun_9", names.into_iter()), ["forum_9", "section_9"]);
        assert_eq!(near("assign_22", names.into_iter()), ["quiz_22"]);
        assert_eq!(near("glossary_15", names.into_iter()), [""; 0]);
    }
}
