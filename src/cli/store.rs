//! Care of what is stored: `verify`, `gc`.

use super::args::{Gc, Verify};
use super::client::{Server, request_id};
use super::output::Output;
use super::words::rows;
use super::{jobs, json, names, units};
use crate::proto;

/// `verify`: fails when something is damaged.
pub async fn verify(server: &Server, arguments: &Verify, output: Output) -> anyhow::Result<()> {
    let job = match &arguments.archive {
        Some(archive) => {
            let name = names::archive(&server.site, archive)?.to_string();
            let request = proto::VerifyArchiveRequest { name, request_id: request_id() };
            server.backups().verify_archive(request).await?.into_inner().job
        }
        None => {
            let request = proto::VerifyArchivesRequest {
                parent: server.site_name(),
                archive_count: arguments.count,
                request_id: request_id(),
            };
            server.admin().verify_archives(request).await?.into_inner().job
        }
    };
    if arguments.detach {
        return jobs::started(server, job, false, output).await;
    }
    let ended = jobs::follow(server, &job.unwrap_or_default().name, output).await?;
    jobs::show(&ended, output)?;
    jobs::check(&ended)?;
    let damage = ended.result.map(|result| result.findings.len()).unwrap_or_default();
    anyhow::ensure!(damage == 0, "{damage} findings: what is stored is damaged");
    Ok(())
}

/// `gc`: waits for the job, and shows what went.
pub async fn gc(server: &Server, arguments: &Gc, output: Output) -> anyhow::Result<()> {
    let min_age =
        arguments.min_age.map(|hours| prost_types::Duration { seconds: i64::from(hours) * 3600, nanos: 0 });
    let request = proto::CollectGarbageRequest {
        parent: server.site_name(),
        dry_run: arguments.dry_run,
        min_age,
        accept_most: arguments.accept_most,
        request_id: request_id(),
    };
    let job = server.admin().collect_garbage(request).await?.into_inner().job.unwrap_or_default();
    let ended = jobs::follow(server, &job.name, output).await?;
    jobs::check(&ended)?;
    let garbage = ended.result.and_then(|result| result.garbage).unwrap_or_default();
    if output.is_json() {
        return Ok(output.document(&json::value(&garbage)?)?);
    }
    let amount = |amount: Option<proto::garbage::Amount>| {
        let amount = amount.unwrap_or_default();
        format!("{}, {}", amount.count, units::signed_size(amount.bytes))
    };
    Ok(output.text(&rows(&[
        ("dry run", if garbage.dry_run { "yes: nothing was changed" } else { "no" }.to_owned()),
        ("kept packs", amount(garbage.kept)),
        ("dead packs", amount(garbage.dead)),
        ("orphans", amount(garbage.orphans)),
        ("rewritten", amount(garbage.rewritten)),
        ("into", amount(garbage.repacked)),
        ("removed", amount(garbage.removed)),
        ("lost uploads", garbage.upload_count.to_string()),
        ("old revisions", garbage.revision_count.to_string()),
        ("journal segments", garbage.journal_segment_count.to_string()),
    ]))?)
}
