//! Care of what is stored: `verify`.

use super::args::Verify;
use super::client::{Server, request_id};
use super::output::Output;
use super::{jobs, names};
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
