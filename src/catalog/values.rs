//! Closed sets and small values that rows are made of.

use crate::job::label::labels;

pub use crate::job::Area;

labels! {
    /// The outer format of an archive's byte stream.
    pub enum Container {
        /// A zip file.
        Zip = "ZIP",
        /// A tar file compressed with gzip.
        TarGz = "TAR_GZ",
    }
}

labels! {
    /// What an archive holds.
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

labels! {
    /// How an archive came to be.
    pub enum ArchiveOrigin {
        /// Made of another archive.
        Conversion = "CONVERSION",
        /// Made elsewhere and uploaded.
        Upload = "UPLOAD",
        /// Made by a backup job.
        Backup = "BACKUP",
    }
}

labels! {
    /// How a revision came to be.
    pub enum RevisionOrigin {
        /// A platform published it.
        Published = "PUBLISHED",
        /// A restore made it.
        Restored = "RESTORED",
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

labels! {
    /// What an item of a pack is.
    pub enum ContentKind {
        /// Content of a member.
        Content = "CONTENT",
        /// A block of a tree.
        Tree = "TREE",
        /// A record of an archive or a revision.
        Record = "RECORD",
    }
}
