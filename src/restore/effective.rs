//! What a restore will really be made with: every setting with its value and where the value comes from.

use serde::{Deserialize, Serialize};

use super::course_choice::{CourseName, CourseStart};
use super::settings::Setting;
use super::target::{EnrolmentWork, Enrolments, Target};
use super::{Decision, EffectiveItem};
use crate::backup::{Compatibility, Mode};
use crate::choice::{self, ItemKind};
use crate::moodle::ArchiveType;

/// A switch as it will be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectiveSetting {
    /// The setting.
    pub setting: Setting,
    /// Its value.
    pub decision: Decision,
}

/// Everything that a restore will be made with. Made by [`resolve`](super::resolve) only, so that nothing in it
/// contradicts itself: what depends on something that is off is off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effective {
    /// Where it goes.
    pub target: Target,
    /// What it is for.
    pub mode: Mode,
    /// What the archive holds.
    #[serde(with = "archive_type")]
    pub archive_type: ArchiveType,
    /// Whose rules are followed.
    pub compatibility: Compatibility,
    /// The switches that exist for this type of archive, in Moodle's order.
    pub settings: Vec<EffectiveSetting>,
    /// Whether enrolment methods are restored; none for sections and activities.
    pub enrolments: Option<choice::Decision<Setting, Enrolments>>,
    /// Full name of the course; none for sections and activities.
    pub full_name: Option<choice::Decision<Setting, CourseName>>,
    /// Short name of the course; none for sections and activities.
    pub short_name: Option<choice::Decision<Setting, CourseName>>,
    /// What the dates in the contents move to; none for sections and activities, whose dates stay.
    pub start: Option<choice::Decision<Setting, CourseStart>>,
    /// Sections, each followed by its activities, included or not.
    pub items: Vec<EffectiveItem>,
}

impl Effective {
    /// Whether a switch is on; one that does not exist here is off.
    pub fn is_on(&self, setting: Setting) -> bool {
        self.settings.iter().any(|effective| effective.setting == setting && effective.decision.value)
    }

    /// The item of that name.
    pub fn item(&self, name: &str) -> Option<&EffectiveItem> {
        self.items.iter().find(|item| item.name == name)
    }

    /// The activities, included or not.
    pub fn activities(&self) -> impl Iterator<Item = &EffectiveItem> {
        self.items.iter().filter(|item| item.kind == ItemKind::Activity)
    }

    /// What is done about enrolments.
    pub fn enrolment_work(&self) -> EnrolmentWork {
        self.enrolments.as_ref().map_or(EnrolmentWork::Unchanged, |enrolments| {
            EnrolmentWork::of(self.mode, self.target, self.is_on(Setting::Users), enrolments.value)
        })
    }
}

mod archive_type {
    use std::borrow::Cow;

    use crate::moodle::ArchiveType;

    const WORDS: [(ArchiveType, &str); 3] = [
        (ArchiveType::Course, "course"),
        (ArchiveType::Section, "section"),
        (ArchiveType::Activity, "activity"),
    ];

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    pub(super) fn serialize<S: serde::Serializer>(
        archive_type: &ArchiveType,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let word = WORDS.iter().find(|(of, _)| of == archive_type).map_or("", |(_, word)| word);
        serializer.serialize_str(word)
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> Result<ArchiveType, D::Error> {
        let text: Cow<'de, str> = serde::Deserialize::deserialize(deserializer)?;
        let found = WORDS.iter().find(|(_, word)| *word == text).map(|(of, _)| *of);
        found.ok_or_else(|| serde::de::Error::custom("unknown type of archive"))
    }
}
