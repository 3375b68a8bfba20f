//! The call of AdminService about the audit log.

use tonic::Request;

use super::convert::{self, name};
use super::paging::Page;
use super::{auth, searched};
use crate::audit::Entry;
use crate::catalog::AuditQuery;
use crate::engine::{Engine, Error};
use crate::ids::SiteName;
use crate::proto::{AuditEntry, ListAuditEntriesRequest, ListAuditEntriesResponse};

pub async fn list_audit_entries(
    engine: &Engine,
    request: Request<ListAuditEntriesRequest>,
) -> Result<ListAuditEntriesResponse, Error> {
    let principal = auth::principal(&request)?;
    let message = request.into_inner();
    let SiteName(site) = name("parent", &message.parent)?;
    auth::reach(&principal, &site)?;
    let list = ListAuditEntriesRequest { page_size: 0, page_token: String::new(), ..message.clone() };
    let page = Page::parse(message.page_size, &message.page_token, &[&format!("{list:?}")])?;
    let wanted = |field: &str, text: String| {
        searched(field, text).map(|text| Some(text).filter(|text| !text.is_empty()))
    };
    let time = |field: &str, time: Option<prost_types::Timestamp>| {
        time.map(|time| convert::instant(field, &time)).transpose()
    };
    let query = AuditQuery {
        principal: wanted("principal", message.principal)?,
        action: wanted("action", message.action)?,
        resource: wanted("resource", message.resource)?,
        since: time("start_time", message.start_time)?,
        until: time("end_time", message.end_time)?,
        oldest_first: message.oldest_first,
        after: page.key()?,
    };
    let rows = engine.list_audit(&site, &query, page.fetch()).await?;
    let (entries, next_page_token) = page.fill(&rows, |row| row.number.to_string(), entry);
    Ok(ListAuditEntriesResponse { entries, next_page_token })
}

fn entry(entry: &Entry) -> AuditEntry {
    let deed = entry.deed.clone();
    AuditEntry {
        number: entry.number,
        time: Some(convert::time(deed.time)),
        principal: deed.principal,
        via: deed.via.unwrap_or_default(),
        action: deed.action,
        resource: deed.resource,
        reason: deed.reason,
        values: deed.values.into_iter().collect(),
        request_id: deed.request_id.unwrap_or_default(),
        previous: entry.previous.to_string(),
        digest: entry.digest.to_string(),
    }
}
