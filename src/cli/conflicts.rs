//! Users about whom someone must decide before a restore: fetched into a table, decided upon there, and sent back.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;

use super::client::Server;
use super::failure::Usage;
use super::{csv, paging};
use crate::proto::{self, UserConflict, create_restore_request::Target};

/// The columns that are written. Of those that are read only the first and the last count.
const COLUMNS: [&str; 8] =
    ["user", "user_name", "email", "code", "accounts", "users", "remedies", "decision"];

/// All conflicts of a restore.
pub async fn all(
    server: &Server,
    archive: &str,
    target: &Target,
    options: &proto::RestoreOptions,
) -> anyhow::Result<Vec<UserConflict>> {
    use proto::list_user_conflicts_request::Target as Listed;
    let target = match target.clone() {
        Target::NewCourse(new) => Listed::NewCourse(new),
        Target::ExistingCourse(existing) => Listed::ExistingCourse(existing),
    };
    let request = proto::ListUserConflictsRequest {
        archive: archive.to_owned(),
        target: Some(target),
        options: Some(options.clone()),
        page_size: paging::PAGE,
        page_token: String::new(),
    };
    let all = paging::all(async |page_token| {
        let request = proto::ListUserConflictsRequest { page_token, ..request.clone() };
        let page = server.restores().list_user_conflicts(request).await?.into_inner();
        Ok((page.user_conflicts, page.next_page_token))
    });
    Ok(all.await?)
}

/// Writes conflicts to a new file that only its owner reads: it names people.
pub fn write(file: &str, conflicts: &[UserConflict]) -> anyhow::Result<()> {
    let refused = |error| Usage(format!("--conflicts {file}: {error}"));
    let mut output =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).map_err(refused)?;
    output.write_all(table(conflicts).as_bytes()).map_err(refused)?;
    Ok(())
}

fn table(conflicts: &[UserConflict]) -> String {
    let mut text = COLUMNS.join(",") + "\n";
    let numbers = |list: &[i64]| list.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    for each in conflicts {
        let fields = [
            each.user.to_string(),
            each.user_name.clone(),
            each.email.clone(),
            each.code.clone(),
            numbers(&each.accounts),
            numbers(&each.users),
            each.remedies.join(" "),
            String::new(),
        ];
        text.push_str(&fields.map(|field| quoted(&field)).join(","));
        text.push('\n');
    }
    text
}

/// A field for a spreadsheet, which must not take anybody's name for a formula.
fn quoted(field: &str) -> String {
    let guard = if field.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    match field.contains(['"', ',', ';', '\n', '\r', '\t']) || !guard.is_empty() {
        true => format!("\"{guard}{}\"", field.replace('"', "\"\"")),
        false => field.to_owned(),
    }
}

/// Reads decisions: a table with the columns `user` and `decision`. Users without a decision are passed over.
pub fn read(file: &str) -> anyhow::Result<Vec<proto::UserMapping>> {
    let text = std::fs::read_to_string(file).map_err(|error| Usage(format!("--users {file}: {error}")))?;
    mappings(&text).map_err(|error| Usage(format!("--users {file}: {error}")).into())
}

fn mappings(text: &str) -> Result<Vec<proto::UserMapping>, String> {
    let mut records = csv::records(text).map_err(|error| error.to_string())?.into_iter();
    let Some((_, heading)) = records.next() else { return Err("the table is empty".into()) };
    let column = |name: &str| {
        let found = heading.iter().position(|field| field.trim().eq_ignore_ascii_case(name));
        found.ok_or_else(|| format!("there is no column {name}"))
    };
    let (user, decision) = (column("user")?, column("decision")?);
    let mut mappings = Vec::new();
    for (line, fields) in records {
        let field = |at: usize| fields.get(at).map_or("", |field| field.trim());
        if field(decision).is_empty() {
            continue;
        }
        let word = format!("{}={}", field(user), field(decision));
        mappings.push(mapping(&word).map_err(|wrong| format!("line {line}: {wrong}"))?);
    }
    Ok(mappings)
}

/// Reads `7=match:42` and the like.
pub fn mapping(word: &str) -> Result<proto::UserMapping, String> {
    use proto::user_mapping::{Create, Decision};
    let wrong = || {
        format!(
            "{word:?} is no decision; such as 7=match:42, 7=create, 7=create:name, 7=drop, 7=pseudonymise"
        )
    };
    let (user, what) = word.split_once('=').ok_or_else(wrong)?;
    let decision = match what.split_once(':') {
        Some(("match", account)) => Decision::MatchTo(account.parse().map_err(|_| wrong())?),
        Some(("create", name)) => Decision::Create(Create { user_name: name.to_owned() }),
        None if what == "create" => Decision::Create(Create::default()),
        None if what == "drop" => Decision::Drop(true),
        None if what == "pseudonymise" => Decision::Pseudonymise(true),
        _ => return Err(wrong()),
    };
    Ok(proto::UserMapping { user: user.parse().map_err(|_| wrong())?, decision: Some(decision) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_decided_upon_and_read() -> Result<(), String> {
        let conflict = |user, name: &str| UserConflict {
            user,
            user_name: name.into(),
            code: "NAME_TAKEN".into(),
            accounts: vec![5, 6],
            remedies: vec!["MATCH_TO".into(), "DROP".into()],
            ..Default::default()
        };
        let text = table(&[conflict(7, "=1+1"), conflict(8, "a\"b,c"), conflict(9, "zoe")]);
        assert!(text.contains("\n7,\"'=1+1\",,NAME_TAKEN,5 6,,MATCH_TO DROP,\n"), "{text}");
        assert!(mappings(&text)?.is_empty());
        let decided = text.replacen("MATCH_TO DROP,", "MATCH_TO DROP,match:5", 1);
        let decided = decided.replace("zoe,,NAME_TAKEN,5 6,,MATCH_TO DROP,", "zoe,,NAME_TAKEN,5 6,,,drop");
        let users: Vec<i64> = mappings(&decided)?.iter().map(|mapping| mapping.user).collect();
        assert_eq!(users, [7, 9]);
        assert!(mappings("user,decision\n7,perhaps\n").is_err_and(|error| error.starts_with("line 2")));
        assert!(mappings("user\n7\n").is_err() && mappings("").is_err());
        Ok(())
    }
}
