//! Moodle's documents: what the members of an archive say.
//!
//! Pure: documents come as readers or values and leave as values. This module knows neither containers nor storage.

mod manifest;
mod manifest_xml;
mod rows;

#[cfg(test)]
pub(crate) mod tests;

pub use manifest::{
    Activity, ArchiveType, Manifest, ManifestError, OriginalCourse, OriginalSite, Section, Setting,
    SettingLevel,
};
pub use manifest_xml::parse;
pub use rows::{Row, each_row};

use crate::course::{MemberPath, Tree};

/// The document that makes a tree without [`MemberPath::MANIFEST`] a cartridge.
const CARTRIDGE_MANIFEST: &str = "imsmanifest.xml";

/// A format of course archives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ArchiveFormat {
    /// Moodle's own format since 2.0.
    Moodle2,
    /// IMS Common Cartridge 1.1.
    Imscc1,
}

impl ArchiveFormat {
    /// The format's name, as Moodle spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Moodle2 => "moodle2",
            Self::Imscc1 => "imscc1",
        }
    }
}

/// Tells the format of a tree by the documents at its root; `None` when it has neither.
pub fn detect(tree: &Tree) -> Option<ArchiveFormat> {
    match (tree.get(MemberPath::MANIFEST), tree.get(CARTRIDGE_MANIFEST)) {
        (Some(_), _) => Some(ArchiveFormat::Moodle2),
        (None, Some(_)) => Some(ArchiveFormat::Imscc1),
        (None, None) => None,
    }
}
