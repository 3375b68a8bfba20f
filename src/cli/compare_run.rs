//! `compare`: where two archives differ. One line for each difference, grouped by member, and a summary.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;
use serde_json::json;

use super::args::{self, Global};
use super::client::Server;
use super::failure::{Differs, Unreadable, Usage};
use super::names::{self, Fetchable};
use super::output::Output;
use super::words::{clean, word};
use super::{json, local_archive, profile, units};
use crate::compare::{self, Level, Options};
use crate::format::Format;
use crate::grpc::comparison;
use crate::proto::{self, Comparison};

/// Local files are compared here; anything else must name archives on the server.
pub async fn run(arguments: &args::Compare, global: &Global, output: Output) -> anyhow::Result<()> {
    let told = match (Path::new(&arguments.a).exists(), Path::new(&arguments.b).exists()) {
        (true, true) => of_files(arguments).await?,
        (false, false) => of_stored(arguments, global).await?,
        (is_file, _) => {
            let other = if is_file { &arguments.b } else { &arguments.a };
            return Err(
                Usage(format!("{other:?} is no file: both must be files, or names on the server")).into()
            );
        }
    };
    if output.is_json() {
        let document = json!({ "a": arguments.a, "b": arguments.b, "comparison": json::value(&told)? });
        output.document(&document)?;
    } else {
        output.text(&page(&told))?;
    }
    match told.same {
        true => Ok(()),
        false => Err(Differs(format!("{} and {} differ", arguments.a, arguments.b)).into()),
    }
}

async fn of_files(arguments: &args::Compare) -> anyhow::Result<Comparison> {
    let options = Options {
        level: if arguments.exact { Level::Exact } else { Level::Meaning },
        limit: usize::try_from(arguments.limit)?,
        ignore_new_log_rows: arguments.ignore_new_log_rows,
        ..Options::default()
    };
    let (a, b, ignore_ids) = (arguments.a.clone(), arguments.b.clone(), arguments.ignore_ids);
    let compared =
        tokio::task::spawn_blocking(move || files(Path::new(&a), Path::new(&b), &options, ignore_ids));
    let report = compared.await?.context(Unreadable)?;
    Ok(comparison::comparison(&report, usize::MAX))
}

/// Compares two local archives.
pub fn files(a: &Path, b: &Path, options: &Options, ignore_ids: bool) -> anyhow::Result<compare::Report> {
    if ignore_ids {
        let (one, other) = local_archive::open_all(a, b)?;
        return Ok(compare::compare_without_ids(&one, &other, &Format::embedded(), options)?);
    }
    let (one, other) = local_archive::open(a, b)?;
    Ok(compare::compare(&one, &other, options)?)
}

async fn of_stored(arguments: &args::Compare, global: &Global) -> anyhow::Result<Comparison> {
    let target = profile::target(global)?;
    let name = |text: &String| match names::fetchable(&target.site, text) {
        Ok(Fetchable::Archive(name)) => Ok(name.to_string()),
        Ok(Fetchable::Revision(name)) => Ok(name.to_string()),
        _ => Err(Usage(format!(
            "{text:?} is neither a file, nor an archive on the server (a UUID), nor a revision (COURSE/revisions/N)"
        ))),
    };
    let level =
        if arguments.exact { proto::comparison::Level::Exact } else { proto::comparison::Level::Meaning };
    let request = proto::CompareArchivesRequest {
        a: name(&arguments.a)?,
        b: name(&arguments.b)?,
        level: level.into(),
        // 0 would mean the server's default.
        limit: i32::try_from(arguments.limit).unwrap_or(i32::MAX).max(1),
        ignore_new_log_rows: arguments.ignore_new_log_rows,
        ignore_ids: arguments.ignore_ids,
    };
    let server = Server::connect(&target.server, &target.site, target.token.as_ref()).await?;
    Ok(server.backups().compare_archives(request).await?.into_inner().comparison.unwrap_or_default())
}

/// The differences, what was let pass, what had to be said, and the sums.
fn page(told: &Comparison) -> String {
    let mut text = String::new();
    let mut member = None;
    for each in &told.differences {
        if member != Some(&each.member) {
            member = Some(&each.member);
            let counted = told.members.iter().find(|count| count.member == each.member);
            let count = counted.map_or(0, |count| u64::try_from(count.count).unwrap_or(0));
            let _ = writeln!(text, "{}: {}", clean(&each.member), units::count(count, "difference"));
        }
        let _ = writeln!(text, "  {}", clean(&line(each)));
    }
    let listed = i64::try_from(told.differences.len()).unwrap_or(i64::MAX);
    if told.difference_count > listed {
        let _ = writeln!(text, "… and {} more", told.difference_count - listed);
    }
    for note in &told.notes {
        let side = if note.in_b { "B" } else { "A" };
        let _ = writeln!(
            text,
            "note: {} in {side} at byte {}: {}",
            clean(&note.member),
            note.offset,
            clean(&note.message)
        );
    }
    for each in &told.excused {
        let _ = writeln!(text, "let pass: {} {}: {}", each.count, each.entry, each.reason);
    }
    text + &summary(told)
}

/// `element only in B`.
fn kind_words(kind: proto::comparison::Kind) -> String {
    word(kind.as_str_name(), "KIND_").replace("-in-a", "-in-A").replace("-in-b", "-in-B").replace('-', " ")
}

/// One difference: its kind, where it is, and what both have.
fn line(each: &proto::comparison::Difference) -> String {
    let kind = kind_words(each.kind());
    let place = if each.path.is_empty() { String::new() } else { format!(" {}", each.path) };
    let value = match (&each.a, &each.b) {
        (Some(a), Some(b)) => format!(": \"{a}\" / \"{b}\""),
        (Some(one), None) | (None, Some(one)) => format!(": \"{one}\""),
        (None, None) => String::new(),
    };
    format!("{kind}{place}{value}")
}

fn summary(told: &Comparison) -> String {
    let number = |count: i64| u64::try_from(count).unwrap_or(0);
    let same = units::count(number(told.same_member_count), "member");
    let bytes = units::signed_size(told.same_content_bytes);
    let mut text = format!("{same} with the same bytes ({bytes}), {} with others", told.altered_member_count);
    if told.lone_member_count > 0 {
        let _ = write!(text, ", {} in one archive only", told.lone_member_count);
    }
    text.push('\n');
    let exact = told.level() == proto::comparison::Level::Exact;
    match (told.same, exact) {
        (true, true) => text.push_str("identical\n"),
        (true, false) => text.push_str("the same\n"),
        (false, _) => {
            let differences = units::count(number(told.difference_count), "difference");
            let members = units::count(number(told.differing_member_count), "member");
            let kinds = told.kinds.iter().map(|each| format!("{} {}", each.count, kind_words(each.kind())));
            let _ = writeln!(text, "{differences} in {members}: {}", kinds.collect::<Vec<_>>().join(", "));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::comparison::{Difference, ExcuseCount, Kind, KindCount, MemberCount, Note};

    fn told() -> Comparison {
        let difference = |path: &str, kind: Kind, a: Option<&str>, b: Option<&str>| Difference {
            member: "users.xml".into(),
            path: path.into(),
            kind: kind.into(),
            a: a.map(Into::into),
            b: b.map(Into::into),
        };
        Comparison {
            level: proto::comparison::Level::Meaning.into(),
            differences: vec![
                difference("/users/user[@id=7]/city", Kind::ValueDiffers, Some("Lyon\u{1b}[2J"), Some("")),
                difference("/users/user[@id=8]", Kind::ElementOnlyInB, None, Some("<user>")),
            ],
            difference_count: 5,
            kinds: vec![KindCount { kind: Kind::ValueDiffers.into(), count: 5 }],
            members: vec![MemberCount { member: "users.xml".into(), count: 5 }],
            differing_member_count: 1,
            excused: vec![ExcuseCount { entry: "BACKUP_DATE".into(), count: 1, reason: "time".into() }],
            notes: vec![Note { member: "x.xml".into(), in_b: true, offset: 9, message: "no XML".into() }],
            same_member_count: 2,
            same_content_bytes: 2048,
            altered_member_count: 1,
            ..Default::default()
        }
    }

    #[test]
    fn differences_stand_below_their_member() {
        assert_eq!(
            page(&told()),
            "users.xml: 5 differences\n\
             \u{20} value differs /users/user[@id=7]/city: \"Lyon [2J\" / \"\"\n\
             \u{20} element only in B /users/user[@id=8]: \"<user>\"\n\
             … and 3 more\n\
             note: x.xml in B at byte 9: no XML\n\
             let pass: 1 BACKUP_DATE: time\n\
             2 members with the same bytes (2.0 KiB), 1 with others\n\
             5 differences in 1 member: 5 value differs\n"
        );
    }

    #[test]
    fn nothing_that_differs_is_told_in_two_lines() {
        let same = Comparison { same: true, same_member_count: 1, ..Default::default() };
        assert_eq!(page(&same), "1 member with the same bytes (0 B), 0 with others\nthe same\n");
    }
}
