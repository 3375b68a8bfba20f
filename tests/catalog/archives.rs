//! Lists of archives: filters, orders, pages, and who sees what.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, ensure};
use coursevault::access::{Action, Decision, Subject, decide};
use coursevault::archive::Container;
use coursevault::capability::BuiltInRole;
use coursevault::catalog::{
    ArchiveOrigin, ArchivePosition, ArchiveQuery, ArchiveRow, ArchiveType, Area, HoldRow, ShareRow,
};
use coursevault::filter::{parse, parse_order};
use coursevault::ids::ArchiveId;
use coursevault::principal::{Grant, Principal, Reach};

use crate::ground::Ground;

fn person(name: &str) -> Principal {
    let sites = "main".parse().into_iter();
    let grants: Vec<_> = sites.map(|site| Grant::of(BuiltInRole::Service, Reach::Site(site))).collect();
    Principal::new(name, grants)
}

/// All pages of a list, of `limit` archives each. `between` runs after each page.
async fn pages(ground: &Ground, mut query: ArchiveQuery, limit: u32) -> anyhow::Result<Vec<ArchiveRow>> {
    let mut seen: Vec<ArchiveRow> = Vec::new();
    loop {
        let page = ground.catalog.list_archives(&ground.site, &query, limit).await?;
        ensure!(page.len() <= limit as usize);
        if page.is_empty() {
            return Ok(seen);
        }
        seen.extend(page);
        query.after = seen.last().map(ArchivePosition::of);
        // What is deleted while somebody turns pages makes no gap.
        let mut tx = ground.catalog.begin().await?;
        let late = ground.archive_row();
        tx.insert_archive(&late).await?;
        tx.delete_archive(&ground.site, &late.archive, 1, ground.now(), ground.now()).await?;
        tx.commit().await?;
    }
}

/// Archives of all kinds: areas, owners, courses, sizes, times; several of one moment and of one size.
async fn populate(ground: &Ground, count: usize) -> anyhow::Result<Vec<ArchiveRow>> {
    let mut rows = Vec::new();
    let mut tx = ground.catalog.begin().await?;
    for n in 0..count {
        if n % 7 == 0 {
            ground.clock.advance(Duration::from_millis(1));
        }
        let mut row = ground.archive_row();
        row.area = Area::ALL[n % 4];
        row.owner = ["teacher", "lms", "root"][n % 3].into();
        row.course = if n % 3 == 0 { Some("rich".parse()?) } else { None };
        row.container = if n % 2 == 0 { Container::Zip } else { Container::TarGz };
        row.zip_size_bytes = Some(100 * (n as u64 % 5));
        row.tgz_size_bytes = (n % 5 != 0).then_some(50 * (n as u64 % 4));
        row.origin = if n % 5 == 0 { ArchiveOrigin::Backup } else { ArchiveOrigin::Upload };
        row.archive_type = ArchiveType::ALL[n % 3];
        row.file_name = format!("Backup-é_{n}%-nu.mbz");
        row.description = if n % 4 == 0 { "it's \"odd\"".into() } else { String::new() };
        row.backup_time = (n % 3 == 1).then(|| ground.now());
        row.includes_users = n % 2 == 0;
        if n % 6 == 0 {
            row.hold = Some(HoldRow {
                reason: "an appeal".into(),
                principal: "root".into(),
                create_time: ground.now(),
            });
        }
        tx.insert_archive(&row).await?;
        if n % 5 == 2 {
            tx.put_share(&share(ground, &row, "lms", 3600)).await?;
            tx.put_share(&share(ground, &row, "cms", -1)).await?;
        }
        rows.push(row);
    }
    tx.commit().await?;
    Ok(rows)
}

fn share(ground: &Ground, row: &ArchiveRow, principal: &str, seconds: i64) -> ShareRow {
    ShareRow {
        site: row.site.clone(),
        archive: row.archive.clone(),
        principal: principal.into(),
        author: row.owner.clone(),
        note: String::new(),
        create_time: ground.now(),
        expire_time: ground.now().plus_millis(1000 * seconds),
    }
}

fn ids(rows: &[ArchiveRow]) -> BTreeSet<ArchiveId> {
    rows.iter().map(|row| row.archive.clone()).collect()
}

pub async fn archives_page_without_gaps_or_doubles(ground: &Ground) -> anyhow::Result<()> {
    let rows = populate(ground, 60).await?;
    let all = || ArchiveQuery::all(Principal::local());
    let rich = Some("rich".parse()?);
    let queries = [
        (all(), 60),
        (ArchiveQuery { area: Some(Area::Course), ..all() }, 15),
        (ArchiveQuery { course: rich.clone(), ..all() }, 20),
        (ArchiveQuery { course: rich, area: Some(Area::Course), ..all() }, 5),
    ];
    for (query, expected) in queries {
        let seen = pages(ground, query, 8).await?;
        ensure!(seen.is_sorted_by_key(|row| std::cmp::Reverse((row.create_time, row.archive.clone()))));
        assert_eq!((seen.len(), ids(&seen).len()), (expected, expected));
        ensure!(seen.iter().all(|row| rows.contains(row)), "rows come back as they went in");
    }
    let query = ArchiveQuery { show_deleted: true, ..all() };
    ensure!(ground.catalog.list_archives(&ground.site, &query, 1000).await?.len() > 60);
    ensure!(ground.catalog.list_archives(&"other".parse()?, &query, 1000).await?.is_empty());
    Ok(())
}

pub async fn every_order_pages_without_gaps_or_doubles(ground: &Ground) -> anyhow::Result<()> {
    let mut rows = populate(ground, 40).await?;
    for text in [
        "create_time",
        "create_time desc, size_bytes",
        "size_bytes",
        "size_bytes desc, create_time",
        "size_bytes, name desc",
        "name desc",
    ] {
        let order = parse_order(text)?;
        rows.sort_by(|a, b| {
            let by = |key: &str, a: &ArchiveRow, b: &ArchiveRow| match key {
                "create_time" => a.create_time.cmp(&b.create_time),
                "size_bytes" => a.size_bytes().cmp(&b.size_bytes()),
                _ => a.archive.cmp(&b.archive),
            };
            let decided = order.sorts().iter().map(|sort| {
                let ordering = by(sort.key.as_str(), a, b);
                if sort.descending { ordering.reverse() } else { ordering }
            });
            decided.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then)
        });
        for limit in [1, 7] {
            let query = ArchiveQuery { order: order.clone(), ..ArchiveQuery::all(Principal::local()) };
            let seen = pages(ground, query, limit).await?;
            let names = |rows: &[ArchiveRow]| rows.iter().map(|row| row.archive.clone()).collect::<Vec<_>>();
            ensure!(names(&seen) == names(&rows), "{text} by {limit}");
        }
    }
    Ok(())
}

pub async fn filters_mean_the_same_as_in_memory(ground: &Ground) -> anyhow::Result<()> {
    type Condition = fn(&ArchiveRow) -> bool;
    let rows = populate(ground, 60).await?;
    let time = chrono::DateTime::from_timestamp_millis(rows[30].create_time.millis()).context("a time")?;
    let time = time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    let middle = rows[30].create_time;
    let (before, since) = (format!("create_time < \"{time}\""), format!("NOT create_time < \"{time}\""));
    for (text, expected) in [(before, true), (since, false)] {
        let filter = parse(&text)?;
        let query = ArchiveQuery { filter, ..ArchiveQuery::all(Principal::local()) };
        let seen = ids(&pages(ground, query, 50).await?);
        let wanted: BTreeSet<_> = rows
            .iter()
            .filter(|row| (row.create_time < middle) == expected)
            .map(|row| row.archive.clone())
            .collect();
        ensure!(seen == wanted, "{text}");
    }
    let conditions: [(&str, Condition); 22] = [
        ("area = COURSE", |row| row.area == Area::Course),
        ("area != COURSE AND area != PRIVATE", |row| row.area != Area::Course && row.area != Area::Private),
        ("type = SECTION OR type = ACTIVITY", |row| row.archive_type != ArchiveType::Course),
        ("origin = BACKUP", |row| row.origin == ArchiveOrigin::Backup),
        ("course = rich", |row| row.course.is_some()),
        ("course = sites/main/courses/rich", |row| row.course.is_some()),
        ("course = sites/other/courses/rich", |_| false),
        ("course != sites/other/courses/rich", |_| true),
        ("course != rich", |row| row.course.is_none()),
        ("course = ''", |row| row.course.is_none()),
        ("owner = lms", |row| row.owner == "lms"),
        ("size_bytes >= 100 AND size_bytes < 300", |row| (100..300).contains(&row.size_bytes())),
        ("size_bytes = 0", |row| row.size_bytes() == 0),
        ("backup_time > 1970-01-01T00:00:00Z", |row| row.backup_time.is_some()),
        ("NOT backup_time > 1970-01-01T00:00:00Z", |row| row.backup_time.is_none()),
        ("backup_time != 1970-01-01T00:00:00Z", |_| true),
        ("update_time <= 1970-01-01T00:00:00Z", |_| false),
        ("includes_users = true AND anonymized = false", |row| row.includes_users),
        ("includes_users != true", |row| !row.includes_users),
        ("hold:*", |row| row.hold.is_some()),
        ("-hold:*", |row| row.hold.is_none()),
        ("(area = COURSE AND hold:*) OR NOT (owner = lms OR size_bytes > 0)", |row| {
            row.area == Area::Course && row.hold.is_some() || !(row.owner == "lms" || row.size_bytes() > 0)
        }),
    ];
    for (text, condition) in conditions {
        let filter = parse(text)?;
        let query = ArchiveQuery { filter, ..ArchiveQuery::all(Principal::local()) };
        let seen = ids(&pages(ground, query, 50).await?);
        let wanted = rows.iter().filter(|row| condition(row)).map(|row| row.archive.clone()).collect();
        ensure!(seen == wanted, "{text}: {} of {}", seen.len(), rows.len());
    }
    Ok(())
}

pub async fn viewers_see_what_the_table_says(ground: &Ground) -> anyhow::Result<()> {
    let rows = populate(ground, 60).await?;
    for viewer in [Principal::local(), person("teacher"), person("lms"), person("cms"), person("")] {
        let seen = ids(&pages(ground, ArchiveQuery::all(viewer.clone()), 50).await?);
        let mut shared_ones = BTreeSet::new();
        for (n, row) in rows.iter().enumerate() {
            let shared = n % 5 == 2 && viewer.name == "lms";
            let (course, owner) = (row.course.as_ref(), row.owner.as_str());
            let subject = Subject { site: &row.site, course, area: row.area, owner, shared };
            let sees = decide(&viewer, &subject, Action::See);
            ensure!(
                seen.contains(&row.archive) == (sees == Decision::Allowed),
                "{viewer:?} {} of {}",
                row.area,
                row.owner
            );
            if shared {
                shared_ones.insert(row.archive.clone());
            }
        }
        for (text, yes) in [
            ("shared_with_me = true", true),
            ("shared_with_me != false", true),
            ("NOT shared_with_me = false", true),
            ("shared_with_me = false", false),
        ] {
            let query = ArchiveQuery { filter: parse(text)?, ..ArchiveQuery::all(viewer.clone()) };
            let found = ids(&pages(ground, query, 50).await?);
            let wanted: BTreeSet<_> =
                seen.iter().filter(|id| shared_ones.contains(id) == yes).cloned().collect();
            ensure!(found == wanted, "{viewer:?}: {text}");
        }
    }
    Ok(())
}

pub async fn texts_are_bound_and_mind_case(ground: &Ground) -> anyhow::Result<()> {
    let rows = populate(ground, 12).await?;
    for (text, expected) in [
        ("file_name : 'Backup-é_'", 12),
        ("file_name : backup", 0),
        ("file_name : 'é_1'", 3),
        ("file_name : '%'", 12),
        ("file_name : '_%'", 0),
        ("file_name : '?'", 0),
        ("file_name = 'Backup-é_3%-nu.mbz'", 1),
        ("file_name != 'Backup-é_3%-nu.mbz'", 11),
        ("description : \"it's\"", 3),
        ("description = 'it\\'s \"odd\"'", 3),
        ("description = ''", 9),
        ("owner = \"x' OR '1'='1\"", 0),
        ("file_name : \"'); DROP TABLE archives; --\"", 0),
        ("owner : x", 99),
    ] {
        let Ok(filter) = parse(text) else {
            ensure!(expected == 99, "{text}");
            continue;
        };
        let query = ArchiveQuery { filter, ..ArchiveQuery::all(Principal::local()) };
        let seen = ground.catalog.list_archives(&ground.site, &query, 100).await?;
        assert_eq!(seen.len(), expected, "{text}");
    }
    assert_eq!(ground.catalog.get_archive(&ground.site, &rows[0].archive).await?.as_ref(), Some(&rows[0]));
    Ok(())
}
