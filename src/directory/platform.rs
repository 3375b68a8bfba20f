//! The platform that a site stands for, and whether an archive comes from it.

use serde::{Deserialize, Serialize};

use crate::moodle::OriginalSite;
use crate::restore::users::is_same_site;

/// What tells a platform from every other. Empty: not known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Platform {
    /// MD5 of its secret identifier, hexadecimal, as its archives tell it.
    pub identifier_hash: String,
    /// Its address (`$CFG->wwwroot`).
    pub wwwroot: String,
}

/// What an archive's origin means for a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meeting {
    /// It is from the site's platform.
    Same,
    /// It tells what was not known of the site's platform: this is what is known then.
    Learns(Platform),
    /// It is from another platform.
    Other,
    /// It tells nothing.
    Untold,
}

impl Platform {
    /// Whether nothing is known.
    pub fn is_unknown(&self) -> bool {
        self.identifier_hash.is_empty() && self.wwwroot.is_empty()
    }

    /// What the origin of an archive means for the site of this platform. The hash decides where both have one, for an
    /// address may move; else the address does.
    pub fn meets(&self, origin: &OriginalSite) -> Meeting {
        if origin.identifier_hash.is_empty() && origin.wwwroot.is_empty() {
            return Meeting::Untold;
        }
        let is_same = if self.identifier_hash.is_empty() || origin.identifier_hash.is_empty() {
            self.wwwroot.is_empty() || origin.wwwroot.is_empty() || self.wwwroot == origin.wwwroot
        } else {
            self.identifier_hash == origin.identifier_hash
        };
        // A hash alone and an address alone have nothing in common.
        let is_comparable = self.is_unknown()
            || (!self.identifier_hash.is_empty() && !origin.identifier_hash.is_empty())
            || (!self.wwwroot.is_empty() && !origin.wwwroot.is_empty());
        if !is_same || !is_comparable {
            return Meeting::Other;
        }
        let or = |mine: &String, theirs: &String| if mine.is_empty() { theirs } else { mine }.clone();
        let learnt = Self {
            identifier_hash: or(&self.identifier_hash, &origin.identifier_hash),
            wwwroot: or(&self.wwwroot, &origin.wwwroot),
        };
        if learnt == *self { Meeting::Same } else { Meeting::Learns(learnt) }
    }

    /// Whether an archive came from this platform, by Moodle's rule. Never, while nothing is known.
    pub fn is_origin_of(&self, origin: &OriginalSite) -> bool {
        !self.is_unknown() && is_same_site(origin, &self.identifier_hash, &self.wwwroot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(hash: &str, wwwroot: &str) -> Platform {
        Platform { identifier_hash: hash.into(), wwwroot: wwwroot.into() }
    }

    fn origin(hash: &str, wwwroot: &str) -> OriginalSite {
        OriginalSite { identifier_hash: hash.into(), wwwroot: wwwroot.into(), ..OriginalSite::default() }
    }

    #[test]
    fn the_hash_decides_and_else_the_address() {
        let learns = |hash, wwwroot| Meeting::Learns(platform(hash, wwwroot));
        for (known, told, expected) in [
            (platform("", ""), origin("", ""), Meeting::Untold),
            (platform("h", "a"), origin("", ""), Meeting::Untold),
            (platform("", ""), origin("h", "a"), learns("h", "a")),
            (platform("", ""), origin("", "a"), learns("", "a")),
            (platform("h", "a"), origin("h", "a"), Meeting::Same),
            // The platform moved.
            (platform("h", "a"), origin("h", "b"), Meeting::Same),
            // A clone of it at the same address has an identifier of its own.
            (platform("h", "a"), origin("i", "a"), Meeting::Other),
            // Archives from before 2.0.x tell no hash.
            (platform("h", "a"), origin("", "a"), Meeting::Same),
            (platform("h", "a"), origin("", "b"), Meeting::Other),
            (platform("", "a"), origin("h", "a"), learns("h", "a")),
            (platform("", "a"), origin("h", "b"), Meeting::Other),
            (platform("h", ""), origin("h", "a"), learns("h", "a")),
            (platform("h", ""), origin("", "a"), Meeting::Other),
        ] {
            assert_eq!(known.meets(&told), expected, "{known:?} {told:?}");
        }
    }

    #[test]
    fn an_unknown_platform_is_nobodys_origin() {
        assert!(!platform("", "").is_origin_of(&origin("", "")));
        assert!(platform("h", "a").is_origin_of(&origin("h", "b")));
        assert!(platform("h", "a").is_origin_of(&origin("", "a")));
        assert!(!platform("", "a").is_origin_of(&origin("h", "a")));
    }
}
