//! What could not be followed. Nothing is broken silently.

use std::collections::BTreeMap;

/// Different losses that are told one by one; more are only counted. An archive has some hundred kinds of references.
const DIFFERENT: usize = 10_000;

/// Why a number stayed what it was.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loss {
    /// There is no such thing, or it has no new id.
    Dangling {
        /// Its kind.
        kind: String,
    },
    /// Nothing tells what the number is.
    Untold {
        /// The table of kinds that was asked; empty if there is none.
        table: String,
        /// The key that it does not know.
        key: String,
    },
    /// An encoded link of an unknown name.
    Link {
        /// The name.
        name: String,
    },
    /// The value is not of the format that it should have.
    Unreadable {
        /// The format.
        format: String,
    },
    /// No description covers the element or attribute.
    Undescribed,
}

/// Where and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// How often.
    pub count: u64,
    /// The member of the first time.
    pub member: String,
    /// The id of the first time, where there is one.
    pub id: Option<i64>,
}

/// All that could not be followed, by pattern of the document, path in it, and reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    lost: BTreeMap<(String, String, Loss), Lost>,
    more: u64,
}

impl Losses {
    pub(super) fn add(&mut self, document: &str, path: &str, loss: Loss, member: &str, id: Option<i64>) {
        let key = (document.to_owned(), path.to_owned(), loss);
        if let Some(lost) = self.lost.get_mut(&key) {
            lost.count += 1;
        } else if self.lost.len() < DIFFERENT {
            self.lost.insert(key, Lost { count: 1, member: member.to_owned(), id });
        } else {
            self.more += 1;
        }
    }

    /// Pattern of the document, path in it, why, where and how often.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, &Loss, &Lost)> {
        self.lost.iter().map(|((document, path, loss), lost)| (document.as_str(), path.as_str(), loss, lost))
    }

    /// Further ones, beyond what is told one by one.
    pub fn more(&self) -> u64 {
        self.more
    }

    /// Whether everything was followed.
    pub fn is_empty(&self) -> bool {
        self.lost.is_empty()
    }
}
