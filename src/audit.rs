//! What was done by whom and why, as a chain: every entry holds the digest of the one before it.
//!
//! Nobody can change, take out or put in an entry without changing all digests after it. Who noted a digest elsewhere can tell
//! whether the chain up to there is still the one that it was.

use std::collections::BTreeMap;

use crate::clock::Timestamp;
use crate::digest::Digest;
use crate::ids::SiteId;

/// Something that was done.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Entry {
    /// The site.
    pub site: SiteId,
    /// Its place in the site's chain; the first is 1.
    pub number: i64,
    /// What was done.
    #[serde(flatten)]
    pub deed: Deed,
    /// Digest of the entry before; all zero for the first.
    pub previous: Digest,
    /// Digest of this one.
    pub digest: Digest,
}

/// What was done, by whom and why. No names, addresses or contents of people but those of principals.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Deed {
    /// When.
    pub time: Timestamp,
    /// By whom: who acts, or for whom a service acts.
    pub principal: String,
    /// The service that acts for the principal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<String>,
    /// What, such as `archive_deleted`.
    pub action: String,
    /// To what: a resource's name.
    pub resource: String,
    /// Why, in the words of whoever did it; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// What else there is to say.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, String>,
    /// The caller's id for the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// Where a chain stands: its last entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Number of the last entry; 0 for a chain without any.
    pub number: i64,
    /// Its digest.
    pub digest: Digest,
}

/// A chain that is not whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("entry {number}: {what}")]
pub struct Broken {
    /// The first entry that is not as it should be.
    pub number: i64,
    /// What is wrong.
    pub what: &'static str,
}

impl Head {
    /// Before the first entry.
    pub const START: Self = Self { number: 0, digest: Digest([0; 32]) };

    /// The entry that follows.
    pub fn then(self, site: SiteId, deed: Deed) -> Entry {
        let number = self.number + 1;
        let digest = digest(&site, number, &deed, &self.digest);
        Entry { site, number, deed, previous: self.digest, digest }
    }

    /// Goes on to an entry, if it is the one that follows.
    pub fn follow(self, entry: &Entry) -> Result<Self, Broken> {
        let broken = |what| Err(Broken { number: self.number + 1, what });
        if entry.number != self.number + 1 {
            return broken("it is missing");
        }
        if entry.previous != self.digest {
            return broken("the entry before it is another one");
        }
        if entry.digest != digest(&entry.site, entry.number, &entry.deed, &entry.previous) {
            return broken("it was altered");
        }
        Ok(entry.head())
    }
}

impl Entry {
    /// The chain up to this entry.
    pub const fn head(&self) -> Head {
        Head { number: self.number, digest: self.digest }
    }
}

/// BLAKE3 over all fields in their order, each as its length in bytes (8, little end first) and its bytes, so that no two
/// entries have the same form. Numbers are decimal digits; what is not there is empty.
fn digest(site: &SiteId, number: i64, deed: &Deed, previous: &Digest) -> Digest {
    let mut bytes = Vec::new();
    let mut field = |text: &str| {
        bytes.extend((text.len() as u64).to_le_bytes());
        bytes.extend(text.as_bytes());
    };
    field(site.as_str());
    field(&number.to_string());
    field(&deed.time.millis().to_string());
    field(&deed.principal);
    field(deed.via.as_deref().unwrap_or_default());
    field(&deed.action);
    field(&deed.resource);
    field(&deed.reason);
    field(deed.request_id.as_deref().unwrap_or_default());
    for (key, value) in &deed.values {
        field(key);
        field(value);
    }
    field(&previous.to_string());
    Digest::of(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deed(principal: &str, reason: &str) -> Deed {
        Deed {
            time: Timestamp::from_secs(1_700_000_000),
            principal: principal.into(),
            via: None,
            action: "archive_held".into(),
            resource: "sites/main/archives/x".into(),
            reason: reason.into(),
            values: [("with".to_owned(), "ben".to_owned())].into(),
            request_id: None,
        }
    }

    fn chain() -> Vec<Entry> {
        let mut head = Head::START;
        let site: SiteId = "main".parse().expect("a site");
        let each = [("anna", "an appeal"), ("ben", ""), ("anna", "done")].map(|(principal, reason)| {
            let entry = head.then(site.clone(), deed(principal, reason));
            head = entry.head();
            entry
        });
        each.into()
    }

    fn check(entries: &[Entry]) -> Result<Head, Broken> {
        entries.iter().try_fold(Head::START, Head::follow)
    }

    #[test]
    fn a_whole_chain_is_followed_to_its_end() {
        let chain = chain();
        assert_eq!(check(&chain), Ok(chain[2].head()));
    }

    #[test]
    fn whatever_is_done_to_a_chain_breaks_it() {
        let good = chain();
        let changes: [(&str, fn(&mut Vec<Entry>)); 11] = [
            ("principal", |chain| chain[1].deed.principal = "carl".into()),
            ("via", |chain| chain[1].deed.via = Some("lms".into())),
            ("time", |chain| chain[1].deed.time = Timestamp::from_secs(1)),
            ("action", |chain| chain[1].deed.action = "archive_released".into()),
            ("resource", |chain| chain[1].deed.resource = "sites/main/archives/y".into()),
            ("reason", |chain| chain[1].deed.reason = "none".into()),
            ("values", |chain| chain[1].deed.values = BTreeMap::new()),
            ("request", |chain| chain[1].deed.request_id = Some("1".into())),
            ("taken out", |chain| drop(chain.remove(1))),
            ("put in", |chain| chain.insert(1, chain[1].clone())),
            ("exchanged", |chain| chain.swap(1, 2)),
        ];
        for (what, change) in changes {
            let mut chain = good.clone();
            change(&mut chain);
            let broken = check(&chain).expect_err(what);
            assert!(broken.number == 2 || what == "put in" && broken.number == 3, "{what}: {broken}");
        }
        // Who forges one entry must forge all after it, and the end is another one.
        let mut forged = good.clone();
        forged[1] = good[0].head().then(good[1].site.clone(), deed("carl", ""));
        assert_eq!(check(&forged).map_err(|broken| broken.number), Err(3));
    }

    #[test]
    fn fields_do_not_run_into_each_other() {
        let site: SiteId = "main".parse().expect("a site");
        let (a, b) = (deed("ab", "c"), Deed { action: "carchive_held".into(), ..deed("ab", "") });
        assert_ne!(Head::START.then(site.clone(), a).digest, Head::START.then(site, b).digest);
    }
}
