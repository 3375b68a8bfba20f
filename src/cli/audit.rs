//! `audit`: what was done on a site, and whether the record of it is whole.

use std::collections::BTreeMap;

use anyhow::{Context as _, anyhow};
use serde_json::json;

use super::args::{AuditAction, AuditFilter};
use super::client::Server;
use super::failure::{Differs, Usage};
use super::output::Output;
use super::paging::PAGE;
use super::table::{Column, Table};
use super::{json, units};
use crate::audit::{Deed, Entry, Head};
use crate::clock::Timestamp;
use crate::proto::{AuditEntry, ListAuditEntriesRequest};

/// `audit`.
pub async fn run(server: &Server, action: &AuditAction, output: Output) -> anyhow::Result<()> {
    match action {
        AuditAction::Ls(filter) => list(server, filter, output).await,
        AuditAction::Verify { expect } => verify(server, expect.as_deref(), output).await,
    }
}

async fn list(server: &Server, filter: &AuditFilter, output: Output) -> anyhow::Result<()> {
    let request = ListAuditEntriesRequest {
        parent: server.site_name(),
        page_size: filter.limit.min(1000),
        principal: filter.principal.clone(),
        action: filter.action.clone(),
        resource: filter.resource.clone(),
        ..ListAuditEntriesRequest::default()
    };
    let page = server.admin().list_audit_entries(request).await?.into_inner();
    if output.is_json() {
        return Ok(output.document(&json::value(&page)?)?);
    }
    let mut table = Table::new(&[
        ("NUMBER", Column::Number),
        ("TIME", Column::Whole),
        ("PRINCIPAL", Column::Whole),
        ("ACTION", Column::Whole),
        ("RESOURCE", Column::Whole),
        ("REASON", Column::Text),
    ]);
    for entry in &page.entries {
        let principal = match entry.via.as_str() {
            "" => entry.principal.clone(),
            via => format!("{} ({via})", entry.principal),
        };
        table.row([
            entry.number.to_string(),
            units::time(entry.time.as_ref()),
            principal,
            entry.action.clone(),
            entry.resource.clone(),
            entry.reason.clone(),
        ]);
    }
    Ok(output.table(&table)?)
}

/// Follows the whole chain, and looks whether an entry that was noted before is in it still.
async fn verify(server: &Server, expect: Option<&str>, output: Output) -> anyhow::Result<()> {
    let expect = expect.map(head).transpose()?;
    let mut at = Head::START;
    let mut met = expect.is_none();
    let mut token = String::new();
    loop {
        let request = ListAuditEntriesRequest {
            parent: server.site_name(),
            page_size: PAGE,
            page_token: token.clone(),
            oldest_first: true,
            ..ListAuditEntriesRequest::default()
        };
        let page = server.admin().list_audit_entries(request).await?.into_inner();
        for told in page.entries {
            at = at.follow(&entry(server, told)?).map_err(|broken| Differs(broken.to_string()))?;
            met |= expect == Some(at);
        }
        if page.next_page_token.is_empty() {
            break;
        }
        if page.next_page_token == token {
            return Err(anyhow!("the server answers with the same page again"));
        }
        token = page.next_page_token;
    }
    if !met {
        let number = expect.map(|head| head.number).unwrap_or_default();
        return Err(Differs(format!("entry {number}: it is another one than was noted")).into());
    }
    let noted = format!("{}:{}", at.number, at.digest);
    if output.is_json() {
        return Ok(output.document(&json!({ "entries": at.number, "head": noted }))?);
    }
    Ok(output.text(&format!("{} entries, the chain is whole; note its end: {noted}\n", at.number))?)
}

/// An end of the chain, as `audit verify` told it before.
fn head(text: &str) -> Result<Head, Usage> {
    let parts = text.split_once(':').and_then(|(number, digest)| {
        Some(Head { number: number.parse().ok()?, digest: digest.parse().ok()? })
    });
    parts.ok_or_else(|| Usage(format!("{text:?} is no end of a chain as `audit verify` tells it")))
}

fn entry(server: &Server, told: AuditEntry) -> anyhow::Result<Entry> {
    let time = told.time.context("an entry without a time")?;
    let millis = time.seconds * 1000 + i64::from(time.nanos / 1_000_000);
    let some = |text: String| Some(text).filter(|text| !text.is_empty());
    Ok(Entry {
        site: server.site.clone(),
        number: told.number,
        deed: Deed {
            time: Timestamp::from_millis(millis),
            principal: told.principal,
            via: some(told.via),
            action: told.action,
            resource: told.resource,
            reason: told.reason,
            values: told.values.into_iter().collect::<BTreeMap<_, _>>(),
            request_id: some(told.request_id),
        },
        previous: told.previous.parse().context("an entry with a damaged digest")?,
        digest: told.digest.parse().context("an entry with a damaged digest")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_chains_are_read_as_they_are_told() {
        let told = format!("7:{}", Head::START.digest);
        assert_eq!(head(&told), Ok(Head { number: 7, ..Head::START }));
        for bad in ["", "7", "x:00", ":"] {
            assert!(head(bad).is_err(), "{bad}");
        }
    }
}
