//! Closed sets and small values that rows are made of.

use crate::label::labels;
use crate::moodle;

pub use crate::job::Area;

labels! {
    /// What an archive in store holds: what a manifest can tell, and what has none of Moodle's.
    pub enum ArchiveType {
        /// A whole course.
        Course = "COURSE",
        /// One section and its activities.
        Section = "SECTION",
        /// One activity.
        Activity = "ACTIVITY",
        /// An IMS Common Cartridge.
        Cartridge = "CARTRIDGE",
    }
}

impl From<moodle::ArchiveType> for ArchiveType {
    fn from(told: moodle::ArchiveType) -> Self {
        match told {
            moodle::ArchiveType::Course => Self::Course,
            moodle::ArchiveType::Section => Self::Section,
            moodle::ArchiveType::Activity => Self::Activity,
        }
    }
}

labels! {
    /// How an archive came to be.
    pub enum ArchiveOrigin {
        /// Made elsewhere and uploaded.
        Upload = "UPLOAD",
        /// Made by a backup job.
        Backup = "BACKUP",
        /// Made of another archive, with other settings.
        Conversion = "CONVERSION",
    }
}

labels! {
    /// How a revision came to be.
    pub enum RevisionOrigin {
        /// A platform published it.
        Published = "PUBLISHED",
        /// A restore made it.
        Restored = "RESTORED",
        /// A restore was undone: what was there before it is there again.
        RolledBack = "ROLLED_BACK",
    }
}

labels! {
    /// Where an upload session stands.
    pub enum UploadState {
        /// It takes bytes.
        Open = "OPEN",
        /// Its archive is being read.
        Finishing = "FINISHING",
        /// Its archive is stored.
        Finished = "FINISHED",
        /// It was given up or expired.
        Aborted = "ABORTED",
    }
}
