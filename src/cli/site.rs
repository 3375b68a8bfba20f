//! `site`, `report` and `info`: a site, what it takes, and what a server is.

use super::args::SiteChange;
use super::client::{Server, request_id};
use super::output::Output;
use super::table::{Column, Table};
use super::words::rows;
use super::{json, units};
use crate::proto;

/// `report`.
pub async fn report(server: &Server, output: Output) -> anyhow::Result<()> {
    let request = proto::GetStorageReportRequest { parent: server.site_name() };
    let report = server.admin().get_storage_report(request).await?.into_inner();
    if output.is_json() {
        return Ok(output.document(&json::value(&report)?)?);
    }
    let mut table = Table::new(&[
        ("STORAGE", Column::Whole),
        ("ARCHIVES", Column::Number),
        ("REVISIONS", Column::Number),
        ("LOGICAL", Column::Number),
        ("CONTENTS", Column::Number),
        ("DISTINCT", Column::Number),
        ("STORED", Column::Number),
        ("PACKS", Column::Number),
        ("SAVED", Column::Number),
    ]);
    for storage in &report.storages {
        table.row([
            storage.storage.clone(),
            storage.archive_count.to_string(),
            storage.revision_count.to_string(),
            units::signed_size(storage.logical_bytes),
            storage.content_count.to_string(),
            units::signed_size(storage.content_bytes),
            units::signed_size(storage.stored_bytes),
            storage.pack_count.to_string(),
            saved(storage),
        ]);
    }
    Ok(output.table(&table)?)
}

/// How much less is stored than all archives and revisions would take side by side; may be less than nothing.
fn saved(storage: &proto::StorageUse) -> String {
    if storage.logical_bytes <= 0 {
        return "-".to_owned();
    }
    let part = 1.0 - storage.stored_bytes as f64 / storage.logical_bytes as f64;
    format!("{:.0} %", part * 100.0)
}

/// `site`: shows it, or changes what was given.
pub async fn site(server: &Server, change: &SiteChange, output: Output) -> anyhow::Result<()> {
    let fields = [
        ("display_name", &change.name),
        ("language", &change.language),
        ("time_zone", &change.time_zone),
        ("identifier_hash", &change.identifier_hash),
        ("wwwroot", &change.wwwroot),
    ];
    let paths: Vec<String> =
        fields.iter().filter(|(_, value)| value.is_some()).map(|(path, _)| (*path).to_owned()).collect();
    let site = if paths.is_empty() {
        let request = proto::GetSiteRequest { name: server.site_name() };
        server.admin().get_site(request).await?.into_inner().site
    } else {
        let site = proto::Site {
            name: server.site_name(),
            display_name: change.name.clone().unwrap_or_default(),
            language: change.language.clone().unwrap_or_default(),
            time_zone: change.time_zone.clone().unwrap_or_default(),
            identifier_hash: change.identifier_hash.clone().unwrap_or_default(),
            wwwroot: change.wwwroot.clone().unwrap_or_default(),
            ..Default::default()
        };
        let update_mask = Some(prost_types::FieldMask { paths });
        let request = proto::UpdateSiteRequest { site: Some(site), update_mask, request_id: request_id() };
        server.admin().update_site(request).await?.into_inner().site
    };
    let site = site.unwrap_or_default();
    if output.is_json() {
        return Ok(output.document(&json::value(&site)?)?);
    }
    Ok(output.text(&rows(&[
        ("site", site.name),
        ("name", site.display_name),
        ("language", site.language),
        ("time zone", site.time_zone),
        ("platform", site.wwwroot),
        ("identifier", site.identifier_hash),
    ]))?)
}

/// `info`.
pub async fn info(server: &Server, output: Output) -> anyhow::Result<()> {
    let told = server.admin().get_server_info(proto::GetServerInfoRequest {}).await?.into_inner();
    if output.is_json() {
        return Ok(output.document(&json::value(&told)?)?);
    }
    Ok(output.text(&rows(&[
        ("version", told.version),
        ("you are", told.principal),
        ("catalog", told.catalog),
        ("storages", told.storages.join(", ")),
        ("largest chunk", units::signed_size(told.max_chunk_bytes)),
        ("largest upload", units::signed_size(told.max_upload_bytes)),
        ("largest member", units::signed_size(told.max_member_bytes)),
        ("largest archive", format!("{} uncompressed", units::signed_size(told.max_content_bytes))),
        ("most members", told.max_members.to_string()),
    ]))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_is_a_part_of_the_whole() {
        let storage = |logical_bytes, stored_bytes| proto::StorageUse {
            logical_bytes,
            stored_bytes,
            ..Default::default()
        };
        assert_eq!(saved(&storage(1000, 250)), "75 %");
        assert_eq!(saved(&storage(100, 110)), "-10 %");
        assert_eq!(saved(&storage(0, 0)), "-");
    }
}
