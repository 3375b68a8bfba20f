//! The names of all objects in a storage, in both directions. No other module spells one.
//!
//! Every object is written once under a name that no other writer uses; nothing is overwritten.

use std::fmt;

use super::journal::SegmentId;
use crate::ids::{PackId, SiteId, UploadId};

/// Name of an object, relative to the root of its storage.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum VaultKey {
    /// `packs/{site}/{pack}`: contents, trees and records.
    Pack {
        /// The site whose contents they are.
        site: SiteId,
        /// The pack.
        pack: PackId,
    },
    /// `uploads/{site}/{upload}/{offset}`: a piece of an upload that is not finished yet.
    UploadPart {
        /// The site it is uploaded to.
        site: SiteId,
        /// The upload session.
        upload: UploadId,
        /// Where the piece begins in the upload, in bytes; 20 digits, so that names sort by it.
        offset: u64,
    },
    /// `journal/{site}/{segment}`: facts about archives and courses.
    Journal {
        /// The site they are about.
        site: SiteId,
        /// The segment.
        segment: SegmentId,
    },
    /// `deployments/{id}`: a deployment of the service that stores here, with those that it took over from.
    Deployment {
        /// A UUID, as the catalog of the deployment has it.
        id: uuid::Uuid,
    },
    /// `probe/{id}`: written and deleted to see whether the storage works.
    Probe {
        /// A UUID.
        id: uuid::Uuid,
    },
}

impl VaultKey {
    /// The pack of that id.
    pub fn pack(site: &SiteId, pack: &PackId) -> Self {
        Self::Pack { site: site.clone(), pack: pack.clone() }
    }

    /// What all keys of a site's packs begin with, without the last slash.
    pub fn packs_of(site: &SiteId) -> String {
        format!("packs/{site}")
    }

    /// What all keys of an upload session's pieces begin with, without the last slash.
    pub fn parts_of(site: &SiteId, upload: &UploadId) -> String {
        format!("uploads/{site}/{upload}")
    }

    /// What all keys of a site's journal begin with, without the last slash.
    pub fn journal_of(site: &SiteId) -> String {
        format!("journal/{site}")
    }

    /// The key that `text` spells; `None` for names that the vault never writes.
    pub fn parse(text: &str) -> Option<Self> {
        match text.split('/').collect::<Vec<_>>()[..] {
            ["packs", site, pack] => Some(Self::Pack { site: site.parse().ok()?, pack: pack.parse().ok()? }),
            ["uploads", site, upload, offset] => Some(Self::UploadPart {
                site: site.parse().ok()?,
                upload: upload.parse().ok()?,
                offset: parse_offset(offset)?,
            }),
            ["journal", site, segment] => {
                Some(Self::Journal { site: site.parse().ok()?, segment: segment.parse().ok()? })
            }
            ["deployments", text] => Some(Self::Deployment { id: parse_id(text)? }),
            ["probe", text] => Some(Self::Probe { id: parse_id(text)? }),
            _ => None,
        }
    }
}

fn parse_id(text: &str) -> Option<uuid::Uuid> {
    uuid::Uuid::try_parse(text).ok().filter(|id| id.to_string() == text)
}

fn parse_offset(text: &str) -> Option<u64> {
    let digits = text.len() == 20 && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok())?
}

impl fmt::Display for VaultKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pack { site, pack } => write!(f, "packs/{site}/{pack}"),
            Self::UploadPart { site, upload, offset } => write!(f, "uploads/{site}/{upload}/{offset:020}"),
            Self::Journal { site, segment } => write!(f, "journal/{site}/{segment}"),
            Self::Deployment { id } => write!(f, "deployments/{id}"),
            Self::Probe { id } => write!(f, "probe/{id}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site() -> SiteId {
        "main".parse().expect("a site id")
    }

    #[test]
    fn keys_round_trip_and_begin_with_their_prefix() {
        let (pack, upload, segment) = (PackId::generate(), UploadId::generate(), SegmentId::generate());
        let keys = [
            (VaultKey::pack(&site(), &pack), VaultKey::packs_of(&site())),
            (
                VaultKey::UploadPart { site: site(), upload: upload.clone(), offset: 0 },
                VaultKey::parts_of(&site(), &upload),
            ),
            (
                VaultKey::UploadPart { site: site(), upload: upload.clone(), offset: u64::MAX },
                VaultKey::parts_of(&site(), &upload),
            ),
            (VaultKey::Journal { site: site(), segment }, VaultKey::journal_of(&site())),
            (VaultKey::Probe { id: uuid::Uuid::now_v7() }, "probe".to_owned()),
            (VaultKey::Deployment { id: uuid::Uuid::now_v7() }, "deployments".to_owned()),
        ];
        for (key, prefix) in keys {
            let text = key.to_string();
            assert!(text.strip_prefix(&prefix).is_some_and(|rest| rest.starts_with('/')), "{text}");
            assert_eq!(VaultKey::parse(&text), Some(key));
        }
    }

    #[test]
    fn upload_parts_sort_by_offset() {
        let upload = UploadId::generate();
        let name = |offset| VaultKey::UploadPart { site: site(), upload: upload.clone(), offset }.to_string();
        assert!(name(9) < name(10) && name(999) < name(1 << 40));
    }

    #[test]
    fn foreign_names_are_no_keys() {
        let pack = PackId::generate();
        for bad in [
            String::new(),
            "packs".into(),
            "packs/main".into(),
            format!("packs/Main/{pack}"),
            format!("packs/main/{pack}/x"),
            format!("packs/main/{pack}#1"),
            format!("/packs/main/{pack}"),
            format!("uploads/main/{pack}/1"),
            format!("uploads/main/{pack}/+0000000000000000001"),
            format!("uploads/main/{pack}/99999999999999999999"),
            "probe/x".into(),
            format!("staging/{pack}"),
        ] {
            assert_eq!(VaultKey::parse(&bad), None, "{bad}");
        }
    }
}
