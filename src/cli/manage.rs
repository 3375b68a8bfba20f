//! What is decided over stored archives: describe, hold, share, delete and undelete.

use super::args;
use super::client::{Server, request_id};
use super::failure::Usage;
use super::output::Output;
use super::words::rows;
use super::{json, names, units};
use crate::proto::{self, share_archive_request::Expiration};

/// `describe`.
pub async fn describe(server: &Server, archive: &str, text: &str, output: Output) -> anyhow::Result<()> {
    let name = names::archive(&server.site, archive)?.to_string();
    let described = proto::Archive { name, description: text.to_owned(), ..Default::default() };
    let update_mask = Some(prost_types::FieldMask { paths: vec!["description".to_owned()] });
    let request =
        proto::UpdateArchiveRequest { archive: Some(described), update_mask, request_id: request_id() };
    let archive = server.backups().update_archive(request).await?.into_inner().archive.unwrap_or_default();
    let shown = [("archive", archive.name.clone()), ("description", archive.description.clone())];
    tell(&archive, &shown, output)
}

/// `hold`.
pub async fn hold(server: &Server, arguments: &args::Hold, output: Output) -> anyhow::Result<()> {
    let name = names::archive(&server.site, &arguments.archive)?.to_string();
    let reason = arguments.reason.clone();
    if arguments.release {
        // The hold that is released is the one that is there now.
        let request = proto::GetArchiveRequest { name: name.clone() };
        let seen = server.backups().get_archive(request).await?.into_inner().archive.unwrap_or_default();
        let request = proto::ReleaseHoldRequest { name, etag: seen.etag, reason, request_id: request_id() };
        let archive = server.backups().release_hold(request).await?.into_inner().archive.unwrap_or_default();
        let was = seen.hold.map(|hold| hold.reason).unwrap_or_default();
        return tell(&archive, &[("released", archive.name.clone()), ("was held for", was)], output);
    }
    let request = proto::PlaceHoldRequest { name, reason, request_id: request_id(), ..Default::default() };
    let archive = server.backups().place_hold(request).await?.into_inner().archive.unwrap_or_default();
    let hold = archive.hold.clone().unwrap_or_default();
    tell(&archive, &[("held", archive.name.clone()), ("by", hold.principal), ("reason", hold.reason)], output)
}

/// `share`.
pub async fn share(server: &Server, arguments: &args::Share, output: Output) -> anyhow::Result<()> {
    let name = names::archive(&server.site, &arguments.archive)?.to_string();
    let principal = arguments.principal.clone();
    if arguments.end {
        let request = proto::UnshareArchiveRequest { name, principal, request_id: request_id() };
        let answer = server.backups().unshare_archive(request).await?.into_inner();
        let archive = answer.archive.unwrap_or_default();
        let shown = [("archive", archive.name.clone()), ("no more for", arguments.principal.clone())];
        return tell(&archive, &shown, output);
    }
    let request = proto::ShareArchiveRequest {
        name,
        principal,
        expiration: Some(expiration(arguments)?),
        note: arguments.note.clone(),
        request_id: request_id(),
    };
    let archive = server.backups().share_archive(request).await?.into_inner().archive.unwrap_or_default();
    let share = archive.shares.iter().find(|share| share.principal == arguments.principal);
    let until = units::time(share.and_then(|share| share.expire_time.as_ref()));
    let shown = [
        ("archive", archive.name.clone()),
        ("available to", arguments.principal.clone()),
        ("until", until),
        ("note", arguments.note.clone()),
    ];
    tell(&archive, &shown, output)
}

/// A length of time is the server's to add to its own clock.
fn expiration(arguments: &args::Share) -> Result<Expiration, Usage> {
    let Some(until) = &arguments.until else {
        let seconds = i64::from(arguments.days) * 86_400;
        return Ok(Expiration::Ttl(prost_types::Duration { seconds, nanos: 0 }));
    };
    let time = chrono::DateTime::parse_from_rfc3339(until)
        .map_err(|_| Usage(format!("{until:?} is no time such as 2026-01-31T00:00:00Z")))?;
    Ok(Expiration::ExpireTime(prost_types::Timestamp { seconds: time.timestamp(), nanos: 0 }))
}

/// `rm`.
pub async fn remove(server: &Server, archive: &str, output: Output) -> anyhow::Result<()> {
    let name = names::archive(&server.site, archive)?.to_string();
    let request = proto::DeleteArchiveRequest { name, request_id: request_id(), ..Default::default() };
    let archive = server.backups().delete_archive(request).await?.into_inner().archive.unwrap_or_default();
    let until = units::time(archive.purge_time.as_ref());
    tell(&archive, &[("deleted", archive.name.clone()), ("undelete until", until)], output)
}

/// `undelete`.
pub async fn undelete(server: &Server, archive: &str, output: Output) -> anyhow::Result<()> {
    let name = names::archive(&server.site, archive)?.to_string();
    let request = proto::UndeleteArchiveRequest { name, request_id: request_id() };
    let archive = server.backups().undelete_archive(request).await?.into_inner().archive.unwrap_or_default();
    tell(&archive, &[("live again", archive.name.clone())], output)
}

/// The archive as JSON, or some rows of it.
fn tell(archive: &proto::Archive, shown: &[(&str, String)], output: Output) -> anyhow::Result<()> {
    if output.is_json() {
        return Ok(output.document(&json::value(archive)?)?);
    }
    Ok(output.text(&rows(shown))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_end_after_days_or_at_a_time() -> Result<(), Usage> {
        let share = |days, until: Option<&str>| args::Share {
            archive: String::new(),
            principal: String::new(),
            days,
            until: until.map(str::to_owned),
            note: String::new(),
            end: false,
        };
        let week = Expiration::Ttl(prost_types::Duration { seconds: 604_800, nanos: 0 });
        assert_eq!(expiration(&share(7, None))?, week);
        let then = Expiration::ExpireTime(prost_types::Timestamp { seconds: 3600, nanos: 0 });
        assert_eq!(expiration(&share(7, Some("1970-01-01T02:00:00+01:00")))?, then);
        assert!(expiration(&share(7, Some("tomorrow"))).is_err());
        Ok(())
    }
}
