//! Where a restore goes, and how users come to be enrolled there.

use serde::{Deserialize, Serialize};

use crate::backup::Mode;
use crate::label::labels;
use crate::moodle::ArchiveType;

labels! {
    /// Where a restore goes (`backup::TARGET_*`).
    pub enum Target {
        /// 2: a new course.
        NewCourse = "NEW_COURSE",
        /// 1: merged into the course that the archive lies in.
        CurrentAdding = "CURRENT_ADDING",
        /// 0: into the course that the archive lies in, whose contents are deleted first.
        CurrentDeleting = "CURRENT_DELETING",
        /// 4: merged into another course.
        ExistingAdding = "EXISTING_ADDING",
        /// 3: into another course, whose contents are deleted first.
        ExistingDeleting = "EXISTING_DELETING",
    }
}

impl Target {
    /// Moodle's number of it.
    pub const fn number(self) -> i32 {
        match self {
            Self::CurrentDeleting => 0,
            Self::CurrentAdding => 1,
            Self::NewCourse => 2,
            Self::ExistingDeleting => 3,
            Self::ExistingAdding => 4,
        }
    }

    /// Whether the course is made by the restore.
    pub const fn is_new(self) -> bool {
        matches!(self, Self::NewCourse)
    }

    /// Whether the contents of the course are deleted first.
    pub const fn is_deleting(self) -> bool {
        matches!(self, Self::CurrentDeleting | Self::ExistingDeleting)
    }

    /// Whether the archive is merged into what is there.
    pub const fn is_adding(self) -> bool {
        matches!(self, Self::CurrentAdding | Self::ExistingAdding)
    }

    /// Whether an archive of this type may go there: sections and activities are only ever merged into a course, as the
    /// destination page offers it (`core_backup_renderer::course_selector`).
    pub const fn admits(self, archive_type: ArchiveType) -> bool {
        matches!(archive_type, ArchiveType::Course) || self.is_adding()
    }
}

labels! {
    /// Whether enrolment methods are restored (`backup::ENROL_*`).
    pub enum Enrolments {
        /// 0: never; users come as manual enrolments.
        Never = "NEVER",
        /// 1: if users are restored.
        WithUsers = "WITH_USERS",
        /// 2: always, also without users.
        Always = "ALWAYS",
    }
}

impl Enrolments {
    /// Moodle's number of it.
    pub const fn number(self) -> i32 {
        match self {
            Self::Never => 0,
            Self::WithUsers => 1,
            Self::Always => 2,
        }
    }
}

/// What is done about enrolments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum EnrolmentWork {
    /// The course's methods and enrolments stay as they are.
    Unchanged,
    /// The site's default methods, as in a course made by hand, if the course has none.
    SiteDefaults,
    /// The archive's methods, without anyone enrolled.
    Methods,
    /// The archive's methods with its enrolments.
    MethodsAndUsers,
    /// Every user of the archive's enrolments becomes a manual enrolment; no other method is restored.
    ManualUsers,
}

impl EnrolmentWork {
    /// What is done, of a whole course in a mode into a target (`restore_course_task::build`; that users come as manual
    /// enrolments with 0: `restore_enrolments_structure_step::process_enrol`).
    ///
    /// With `users` off the values 0 and 1 do the same. Archives of a section or an activity have no enrolments.
    pub const fn of(mode: Mode, target: Target, users: bool, enrolments: Enrolments) -> Self {
        match (mode, users, enrolments) {
            (Mode::Import, ..) => Self::Unchanged,
            (Mode::Hub, ..) | (_, false, Enrolments::Never | Enrolments::WithUsers) => {
                if target.is_adding() {
                    Self::Unchanged
                } else {
                    Self::SiteDefaults
                }
            }
            (_, false, Enrolments::Always) => Self::Methods,
            (_, true, Enrolments::Never) => Self::ManualUsers,
            (_, true, Enrolments::WithUsers | Enrolments::Always) => Self::MethodsAndUsers,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_have_moodles_numbers_and_admit_parts_only_when_adding() {
        let numbers: Vec<i32> = Target::ALL.iter().map(|target| target.number()).collect();
        assert_eq!(numbers, [2, 1, 0, 4, 3]);
        for target in Target::ALL {
            let kinds = [target.is_new(), target.is_deleting(), target.is_adding()];
            assert_eq!(kinds.iter().filter(|is| **is).count(), 1, "{target}");
            assert!(target.admits(ArchiveType::Course));
            for part in [ArchiveType::Section, ArchiveType::Activity] {
                assert_eq!(target.admits(part), target.is_adding(), "{target}");
            }
        }
    }

    #[test]
    fn enrolments_follow_moodles_table() {
        use EnrolmentWork::*;
        use Target::*;
        let (never, with, always) = (Enrolments::Never, Enrolments::WithUsers, Enrolments::Always);
        for (mode, users, enrolments, in_new, when_adding) in [
            (Mode::General, false, never, SiteDefaults, Unchanged),
            (Mode::General, false, with, SiteDefaults, Unchanged),
            (Mode::General, false, always, Methods, Methods),
            (Mode::General, true, never, ManualUsers, ManualUsers),
            (Mode::General, true, with, MethodsAndUsers, MethodsAndUsers),
            (Mode::General, true, always, MethodsAndUsers, MethodsAndUsers),
            (Mode::Hub, false, always, SiteDefaults, Unchanged),
            (Mode::Hub, true, always, SiteDefaults, Unchanged),
            (Mode::Import, false, never, Unchanged, Unchanged),
            (Mode::Import, true, always, Unchanged, Unchanged),
        ] {
            for (target, expected) in [
                (NewCourse, in_new),
                (CurrentDeleting, in_new),
                (ExistingDeleting, in_new),
                (CurrentAdding, when_adding),
                (ExistingAdding, when_adding),
            ] {
                let work = EnrolmentWork::of(mode, target, users, enrolments);
                assert_eq!(work, expected, "{mode:?} {target} {users} {enrolments}");
            }
        }
    }
}
