//! What a caller orders of a restore, and what that means for the contents of the archive.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::effective::Effective;
use super::resolve::Asked;
use super::settings::Setting;
use super::users::Mapping;
use crate::backup;
use crate::choice::{Extent, Scope, Selection, Source};
use crate::moodle::Manifest;

/// What a caller orders of a restore. Everything in it is as it was asked; nothing is resolved yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Order {
    /// Target, settings and selection.
    pub asked: Asked,
    /// What becomes of users, by their ids in the archive; the rules decide about the others.
    #[serde(with = "by_user")]
    pub users: BTreeMap<i64, Mapping>,
    /// Activities of unknown plugins that come along as they are, by name (`MODNAME_CMID`).
    pub accepted: BTreeSet<String>,
    /// The category that a new course is in; that of the archive's course if none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub category: Option<Category>,
}

/// A category of courses on the platform.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Category {
    /// Its id.
    pub id: i64,
    /// Its name.
    pub name: String,
}

impl Order {
    /// Whether nothing was asked: a new course of everything.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Mappings as a list of pairs: keys that are numbers are lost on their way through a tagged payload.
mod by_user {
    use std::collections::BTreeMap;

    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    use super::Mapping;

    /// Both forms that were ever written.
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        Pairs(Vec<(i64, Mapping)>),
        Named(BTreeMap<String, Mapping>),
    }

    pub(super) fn serialize<S: Serializer>(
        users: &BTreeMap<i64, Mapping>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(users)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<i64, Mapping>, D::Error> {
        match Form::deserialize(deserializer)? {
            Form::Pairs(pairs) => Ok(pairs.into_iter().collect()),
            Form::Named(named) => {
                let pair = |(user, mapping): (String, Mapping)| {
                    Ok((user.parse().map_err(D::Error::custom)?, mapping))
                };
                named.into_iter().map(pair).collect()
            }
        }
    }
}

impl Effective {
    /// The order of an archive that holds just what is restored. The settings of a restore mean for contents what those of
    /// a backup mean; what only a restore knows (the course's configuration, what is kept of it) has no part in it.
    pub fn contents(&self, archive: &Manifest, accepted: &BTreeSet<String>) -> backup::Order {
        let scope = Scope::whole(archive).unwrap_or(Scope::Course);
        let settings = self.settings.iter().filter_map(|effective| {
            let setting = match effective.setting {
                // Overrides are no matter of a backup but in imports.
                Setting::Permissions => return None,
                other => other.as_str().parse::<backup::Setting>().ok()?,
            };
            // What is off because it is not there, or because of another setting, is off by itself.
            let is_asked = matches!(effective.decision.source, Source::Asked | Source::Preset | Source::Lock);
            if !effective.decision.value && !is_asked {
                return None;
            }
            let exists = setting.row().exists(backup::Mode::General, scope == Scope::Course);
            exists.then_some((setting, effective.decision.value))
        });
        let held = [(backup::Setting::QuestionBank, true), (backup::Setting::Files, true)];
        let mut selection = Selection { extent: Some(Extent::All), ..Selection::default() };
        for item in &self.items {
            if !item.included.value {
                selection.exclude.push(item.name.clone());
            } else if !item.user_data.value {
                selection.user_data_off.push(item.name.clone());
            }
        }
        let asked = backup::Asked {
            scope,
            settings: settings.chain(held).collect(),
            selection,
            ..backup::Asked::default()
        };
        backup::Order {
            asked,
            compatibility: self.compatibility,
            without_secrets: false,
            people_stay: !archive.includes_users(),
            accepted: accepted.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a job's payload is: an enum that is told by a field of its own.
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "kind")]
    enum Tagged {
        Restore { order: Order },
    }

    #[test]
    fn mappings_come_through_a_payload() -> anyhow::Result<()> {
        let users = BTreeMap::from([
            (7, Mapping::MatchTo { account: 42 }),
            (8, Mapping::Create { username: Some("other".into()) }),
            (9, Mapping::Drop),
        ]);
        let order = Tagged::Restore { order: Order { users, ..Order::default() } };
        let text = serde_json::to_string(&order)?;
        assert!(text.contains(r#""users":[[7,{"match_to":{"account":42}}],"#), "{text}");
        assert_eq!(serde_json::from_str::<Tagged>(&text)?, order);
        // What was written before.
        let old: Order = serde_json::from_str(r#"{"users":{}}"#)?;
        assert_eq!(old, Order::default());
        Ok(())
    }
}
