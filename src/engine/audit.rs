//! The audit log: what was done by whom and why, in the transaction of the fact, and in the journal beside it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::error::Error;
use super::{Call, Engine};
use crate::audit::{Deed, Entry};
use crate::catalog::{AuditQuery, Tx};
use crate::clock::Timestamp;
use crate::ids::SiteId;
use crate::reason::Reason;
use crate::vault::journal::{Event, JournalEvent};

/// Events that no one asked for.
const UNASKED: [&str; 2] = ["ids_reserved", "audited"];

/// Fields of events that an entry has in a place of its own, in the order in which they name what it is about.
const RESOURCES: [&str; 3] = ["archive", "course", "site"];

/// Fields of events that say why.
const REASONS: [&str; 2] = ["reason", "note"];

/// Something that was done, without who did it.
pub(super) struct Act<'a> {
    /// What, such as `archive_downloaded`.
    pub action: &'a str,
    /// To what.
    pub resource: String,
    /// What else there is to say.
    pub values: BTreeMap<String, String>,
}

impl<'a> Act<'a> {
    /// What was done to what.
    pub fn of(action: &'a str, resource: &impl ToString) -> Self {
        Self { action, resource: resource.to_string(), values: BTreeMap::new() }
    }

    /// Says more of it. What is empty is left out.
    pub fn with(mut self, key: &str, value: &impl ToString) -> Self {
        let value = value.to_string();
        if !value.is_empty() {
            self.values.insert(key.to_owned(), value);
        }
        self
    }
}

/// What an event says, as an entry: by its form, so that new events need nothing here. Lists become their length and groups of
/// fields are left out, for they may hold people. `None`: nobody asked for it.
pub(super) fn deed_of(event: &Event, call: &Call, now: Timestamp) -> Option<Deed> {
    let Ok(Value::Object(fields)) = serde_json::to_value(event) else { return None };
    let text = |name: &str| fields.get(name).and_then(Value::as_str);
    let action = text("kind").filter(|kind| !UNASKED.contains(kind))?;
    let place = RESOURCES.into_iter().find_map(|name| Some((name, text(name)?)));
    let resource = match place {
        Some(("site", site)) => format!("sites/{site}"),
        Some((_, name)) => name.to_owned(),
        None => String::new(),
    };
    let reason = REASONS.into_iter().find_map(text).filter(|reason| !reason.is_empty());
    let told = |(name, value): (&String, &Value)| {
        let is_placed =
            name == "kind" || RESOURCES.contains(&name.as_str()) || REASONS.contains(&name.as_str());
        let value = match value {
            _ if is_placed => return None,
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
            Value::Array(list) => list.len().to_string(),
            Value::Object(_) | Value::Null => return None,
        };
        (!value.is_empty()).then(|| (name.clone(), value))
    };
    let mut act = Act::of(action, &resource);
    act.values = fields.iter().filter_map(told).collect();
    Some(deed(act, call, reason, now))
}

fn deed(act: Act<'_>, call: &Call, reason: Option<&str>, time: Timestamp) -> Deed {
    Deed {
        time,
        principal: call.principal.name.clone(),
        via: call.principal.via.clone(),
        action: act.action.to_owned(),
        resource: act.resource,
        reason: reason.or(call.principal.reason.as_deref()).unwrap_or_default().to_owned(),
        values: act.values,
        request_id: call.request.as_ref().map(|request| request.id.clone()),
    }
}

impl Engine {
    /// Puts down that something was done, in the transaction of the fact.
    pub(super) fn audit(&self, tx: &mut Tx, site: &SiteId, call: &Call, act: Act<'_>) {
        self.enter(tx, site, deed(act, call, None, self.now()));
    }

    /// Puts down that contents are read, which changes nothing in the catalog. When that has no room left, archives must still
    /// come out: then the log of the process is the record.
    pub(super) async fn audit_reading(&self, site: &SiteId, call: &Call, act: Act<'_>) -> Result<(), Error> {
        let deed = deed(act, call, None, self.now());
        let entering = async {
            let mut tx = self.catalog.begin().await?;
            self.enter(&mut tx, site, deed.clone());
            Ok::<_, Error>(tx.commit().await?)
        };
        match entering.await {
            Err(error) if error.reason == Reason::StorageFull => {
                let (via, action, resource) = (deed.via.as_deref(), &deed.action, &deed.resource);
                tracing::error!(%site, principal = deed.principal, via, action, resource, "not on the audit log");
                Ok(())
            }
            entered => entered,
        }
    }

    pub(super) fn enter(&self, tx: &mut Tx, site: &SiteId, deed: Deed) {
        tx.defer_audit(site, &self.rules.storage, deed, |entry| {
            serde_json::to_string(&JournalEvent {
                time: entry.deed.time,
                principal: entry.deed.principal.clone(),
                request_id: entry.deed.request_id.clone(),
                event: Event::Audited { entry: Box::new(entry) },
            })
        });
    }

    /// Entries of a site's audit log.
    pub async fn list_audit(
        &self,
        site: &SiteId,
        query: &AuditQuery,
        limit: u32,
    ) -> Result<Vec<Entry>, Error> {
        self.site(site).await?;
        Ok(self.catalog.list_audit(site, query, limit).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::{Person, Platform, Source};
    use crate::principal::Principal;

    fn told(event: &Event) -> Option<Deed> {
        deed_of(event, &Call::by(Principal::named("anna")), Timestamp::from_secs(1))
    }

    #[test]
    fn entries_tell_of_events_what_is_no_persons() {
        let site: SiteId = "main".parse().expect("a site");
        let archive = "sites/main/archives/01920000-0000-7000-8000-000000000001";
        let held =
            Event::ArchiveHeld { archive: archive.parse().expect("a name"), reason: "an appeal".into() };
        let held = told(&held).expect("an entry");
        assert_eq!(
            (held.action.as_str(), held.resource.as_str(), held.reason.as_str()),
            ("archive_held", archive, "an appeal")
        );
        assert!(held.values.is_empty(), "{held:?}");

        let zoe =
            Person { id: 3, username: "zoe".into(), email: "zoe@example.org".into(), ..Person::default() };
        let accounts = vec![zoe.clone(), zoe];
        let written = Event::AccountsWritten { site: site.clone(), source: Source::Imported, accounts };
        let written = told(&written).expect("an entry");
        assert_eq!((written.resource.as_str(), written.values["accounts"].as_str()), ("sites/main", "2"));
        assert!(!format!("{written:?}").contains("zoe"), "{written:?}");

        let updated = Event::SiteUpdated {
            site: site.clone(),
            display_name: "École".into(),
            language: "fr".into(),
            time_zone: "UTC".into(),
            platform: Platform::default(),
        };
        assert_eq!(told(&updated).expect("an entry").values["language"], "fr");
        assert_eq!(told(&Event::IdsReserved { site, below: 7 }), None);
    }
}
