//! `ls`: what the server holds, whole lists however many pages they have.

use serde_json::json;

use super::args::{Archives, Listing};
use super::client::Server;
use super::output::Output;
use super::paging::{self, PAGE};
use super::table::{Column, Table};
use super::words::word;
use super::{json, names, units};
use crate::proto;

/// `ls`.
pub async fn run(
    server: &Server,
    what: Option<&Listing>,
    default: &Archives,
    output: Output,
) -> anyhow::Result<()> {
    match what {
        None => archives(server, default, output).await,
        Some(Listing::Archives(wanted)) => archives(server, wanted, output).await,
        Some(Listing::Courses { search, deleted }) => courses(server, search, *deleted, output).await,
        Some(Listing::Sites) => sites(server, output).await,
        Some(Listing::Revisions { course }) => revisions(server, course, output).await,
        Some(Listing::Members { archive, prefix }) => {
            let name = names::archive(&server.site, archive)?.to_string();
            show_members(&members(server, &name, prefix).await?, output)
        }
    }
}

/// The filter that was given, and the one that `--shared` stands for.
fn filter(wanted: &Archives) -> String {
    const SHARED: &str = "shared_with_me = true";
    match (wanted.shared, wanted.filter.trim()) {
        (false, filter) => filter.to_owned(),
        (true, "") => SHARED.to_owned(),
        (true, filter) => format!("{SHARED} AND ({filter})"),
    }
}

async fn archives(server: &Server, wanted: &Archives, output: Output) -> anyhow::Result<()> {
    let course = wanted.course.as_ref().map(|id| names::course(&server.site, id)).transpose()?;
    let request = proto::ListArchivesRequest {
        parent: server.site_name(),
        page_size: PAGE,
        page_token: String::new(),
        course: course.map_or_else(String::new, |name| name.to_string()),
        area: wanted.area.map_or(proto::Area::Unspecified, proto::Area::from).into(),
        show_deleted: wanted.deleted,
        filter: filter(wanted),
        order_by: wanted.order.clone(),
    };
    let archives = paging::all(async |page_token| {
        let request = proto::ListArchivesRequest { page_token, ..request.clone() };
        let page = server.backups().list_archives(request).await?.into_inner();
        Ok((page.archives, page.next_page_token))
    })
    .await?;
    if output.is_json() {
        return Ok(output.document(&json!({ "archives": json::values(&archives)? }))?);
    }
    let mut table = Table::new(&[
        ("ARCHIVE", Column::Whole),
        ("TYPE", Column::Whole),
        ("AREA", Column::Whole),
        ("COURSE", Column::Text),
        ("FILE", Column::Text),
        ("MEMBERS", Column::Number),
        ("SIZE", Column::Number),
        ("STORED", Column::Whole),
        ("", Column::Whole),
    ]);
    for archive in &archives {
        table.row([
            names::short(&archive.name).to_owned(),
            word(archive.r#type().as_str_name(), "ARCHIVE_TYPE_"),
            word(archive.area().as_str_name(), "AREA_"),
            names::short(&archive.course).to_owned(),
            archive.file_name.clone(),
            archive.member_count.to_string(),
            units::signed_size(archive.size_bytes),
            units::time(archive.create_time.as_ref()),
            standing(archive),
        ]);
    }
    Ok(output.table(&table)?)
}

/// What is special about an archive: `deleted, held`.
fn standing(archive: &proto::Archive) -> String {
    let special = [
        (archive.delete_time.is_some(), "deleted"),
        (archive.hold.is_some(), "held"),
        (!archive.shares.is_empty(), "shared"),
    ];
    let words: Vec<_> = special.into_iter().filter_map(|(is, word)| is.then_some(word)).collect();
    words.join(", ")
}

fn deleted(time: Option<&prost_types::Timestamp>) -> String {
    time.map_or_else(String::new, |_| "deleted".to_owned())
}

async fn courses(server: &Server, search: &str, show_deleted: bool, output: Output) -> anyhow::Result<()> {
    let courses = paging::all(async |page_token| {
        let parent = server.site_name();
        let search = search.to_owned();
        let request = proto::ListCoursesRequest {
            parent,
            page_size: PAGE,
            page_token,
            show_deleted,
            search,
            ..Default::default()
        };
        let page = server.courses().list_courses(request).await?.into_inner();
        Ok((page.courses, page.next_page_token))
    })
    .await?;
    if output.is_json() {
        return Ok(output.document(&json!({ "courses": json::values(&courses)? }))?);
    }
    let mut table = Table::new(&[
        ("COURSE", Column::Whole),
        ("SHORT NAME", Column::Text),
        ("NAME", Column::Text),
        ("REVISION", Column::Number),
        ("CHANGED", Column::Whole),
        ("", Column::Whole),
    ]);
    for course in &courses {
        table.row([
            names::short(&course.name).to_owned(),
            course.short_name.clone(),
            course.full_name.clone(),
            names::short(&course.live_revision).to_owned(),
            units::time(course.update_time.as_ref()),
            deleted(course.delete_time.as_ref()),
        ]);
    }
    Ok(output.table(&table)?)
}

async fn sites(server: &Server, output: Output) -> anyhow::Result<()> {
    let sites = paging::all(async |page_token| {
        let request = proto::ListSitesRequest { page_size: PAGE, page_token };
        let page = server.admin().list_sites(request).await?.into_inner();
        Ok((page.sites, page.next_page_token))
    })
    .await?;
    if output.is_json() {
        return Ok(output.document(&json!({ "sites": json::values(&sites)? }))?);
    }
    let columns = [
        ("SITE", Column::Whole),
        ("NAME", Column::Text),
        ("LANGUAGE", Column::Whole),
        ("TIME ZONE", Column::Whole),
        ("MADE", Column::Whole),
    ];
    let mut table = Table::new(&columns);
    for site in &sites {
        table.row([
            names::short(&site.name).to_owned(),
            site.display_name.clone(),
            site.language.clone(),
            site.time_zone.clone(),
            units::time(site.create_time.as_ref()),
        ]);
    }
    Ok(output.table(&table)?)
}

async fn revisions(server: &Server, course: &str, output: Output) -> anyhow::Result<()> {
    let parent = names::course(&server.site, course)?.to_string();
    let revisions = paging::all(async |page_token| {
        let request = proto::ListRevisionsRequest { parent: parent.clone(), page_size: PAGE, page_token };
        let page = server.courses().list_revisions(request).await?.into_inner();
        Ok((page.revisions, page.next_page_token))
    })
    .await?;
    if output.is_json() {
        return Ok(output.document(&json!({ "revisions": json::values(&revisions)? }))?);
    }
    let mut table = Table::new(&[
        ("REVISION", Column::Number),
        ("ORIGIN", Column::Whole),
        ("ARCHIVE", Column::Whole),
        ("AUTHOR", Column::Text),
        ("MEMBERS", Column::Number),
        ("SIZE", Column::Number),
        ("MADE", Column::Whole),
    ]);
    for revision in &revisions {
        table.row([
            names::short(&revision.name).to_owned(),
            word(revision.origin().as_str_name(), "ORIGIN_"),
            names::short(&revision.archive).to_owned(),
            revision.author.clone(),
            revision.member_count.to_string(),
            units::signed_size(revision.content_bytes),
            units::time(revision.create_time.as_ref()),
        ]);
    }
    Ok(output.table(&table)?)
}

/// The members of an archive on the server.
pub async fn members(
    server: &Server,
    archive: &str,
    prefix: &str,
) -> Result<Vec<proto::ArchiveMember>, tonic::Status> {
    paging::all(async |page_token| {
        let request = proto::ListArchiveMembersRequest {
            parent: archive.to_owned(),
            page_size: PAGE,
            page_token,
            path_prefix: prefix.to_owned(),
        };
        let page = server.backups().list_archive_members(request).await?.into_inner();
        Ok((page.members, page.next_page_token))
    })
    .await
}

fn show_members(members: &[proto::ArchiveMember], output: Output) -> anyhow::Result<()> {
    if output.is_json() {
        return Ok(output.document(&json!({ "members": json::values(members)? }))?);
    }
    let mut table = Table::new(&[
        ("SIZE", Column::Number),
        ("KEPT AS", Column::Number),
        ("CRC-32", Column::Whole),
        ("PATH", Column::Text),
    ]);
    for member in members {
        table.row([
            units::signed_size(member.size_bytes),
            units::signed_size(member.stored_bytes),
            format!("{:08x}", member.crc32),
            member.path.clone(),
        ]);
    }
    Ok(output.table(&table)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_ones_are_a_filter() {
        let wanted = |shared, filter: &str| Archives {
            course: None,
            area: None,
            deleted: false,
            shared,
            filter: filter.into(),
            order: String::new(),
        };
        assert_eq!(filter(&wanted(false, " area = COURSE ")), "area = COURSE");
        assert_eq!(filter(&wanted(true, "")), "shared_with_me = true");
        let both = filter(&wanted(true, "area = COURSE OR hold:*"));
        assert_eq!(both, "shared_with_me = true AND (area = COURSE OR hold:*)");
        assert!(crate::filter::parse(&both).is_ok());
    }

    #[test]
    fn what_is_special_is_told() {
        let hold = Some(proto::Hold::default());
        let archive = proto::Archive { hold, shares: vec![proto::Share::default()], ..Default::default() };
        assert_eq!(standing(&archive), "held, shared");
        assert_eq!(standing(&proto::Archive::default()), "");
    }
}
