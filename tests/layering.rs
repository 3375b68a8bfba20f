//! Imports point one way, and external crates stay where they belong. Reads the source; knows nothing of the code.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Levels, lowest first: a module may name modules of its own level's list and of all levels below it.
const VALUES: &[&str] =
    &["calendar", "clock", "digest", "ids", "label", "limits", "metric", "principal", "reason", "trace"];
const DOMAIN: &[&str] = &[
    "access",
    "archive",
    "backup",
    "choice",
    "compare",
    "course",
    "derive",
    "directory",
    "filter",
    "format",
    "imscc",
    "job",
    "matching",
    "merge",
    "moodle",
    "renumber",
    "restore",
    "retention",
    "schedule",
];

/// What a module may name besides itself.
fn allowed(module: &str) -> Option<Vec<&'static str>> {
    let below = |lists: &[&[&'static str]]| Some(lists.concat());
    match module {
        _ if VALUES.contains(&module) => below(&[VALUES]),
        _ if DOMAIN.contains(&module) => below(&[VALUES, DOMAIN]),
        "catalog" | "vault" => below(&[VALUES, DOMAIN]),
        "engine" => below(&[VALUES, DOMAIN, &["catalog", "vault"]]),
        // A handler turns rows into messages, so it sees the rows' types; the configuration holds the tokens.
        "grpc" => below(&[VALUES, DOMAIN, &["catalog", "engine", "proto", "config", "telemetry"]]),
        "worker" => below(&[VALUES, DOMAIN, &["catalog", "engine", "telemetry"]]),
        "config" => below(&[VALUES, &["vault", "telemetry"]]),
        "telemetry" => below(&[VALUES]),
        "shutdown" => Some(Vec::new()),
        "app" => below(&[
            VALUES,
            DOMAIN,
            &["catalog", "vault", "engine", "grpc", "worker", "config", "proto", "telemetry"],
        ]),
        "cli" => below(&[VALUES, DOMAIN, &["app", "config", "grpc", "proto", "shutdown", "telemetry"]]),
        _ => None,
    }
}

/// Crates that only some modules may name.
const CRATES: &[(&str, &[&str])] = &[
    ("sqlx", &["catalog"]),
    ("object_store", &["vault"]),
    ("tonic", &["grpc", "app", "cli", "lib"]),
    ("tonic_types", &["grpc", "app", "cli"]),
    ("prost", &["app", "grpc", "cli"]),
    ("axum", &["app"]),
    ("metrics", &["app", "engine", "grpc", "telemetry", "vault", "worker"]),
    ("metrics_exporter_prometheus", &["app", "telemetry"]),
    ("quick_xml", &["compare", "derive", "format", "imscc", "merge", "moodle"]),
    ("base64", &["renumber"]),
    ("tar", &["archive"]),
    ("zip", &["archive", "cli"]),
    ("flate2", &["archive", "engine"]),
    ("md5", &["restore"]),
    ("tokio", &["app", "catalog", "cli", "engine", "grpc", "shutdown", "vault", "worker"]),
    ("anyhow", &["cli", "main"]),
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            sources(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(())
}

/// Code lines of a file without its tests and comments, by top-level module.
fn code() -> std::io::Result<BTreeMap<PathBuf, (String, String)>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files)?;
    let mut all = BTreeMap::new();
    for path in files {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let relative = path.strip_prefix(&root).unwrap_or(&path).to_path_buf();
        if name.ends_with("tests") || relative.components().any(|part| part.as_os_str() == "tests") {
            continue;
        }
        let first = relative.components().next().map(|part| part.as_os_str().to_string_lossy().into_owned());
        let module = first.unwrap_or_default().trim_end_matches(".rs").to_owned();
        let text = std::fs::read_to_string(&path)?;
        let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        all.insert(relative, (module, lines.join("\n")));
    }
    assert!(all.len() > 60, "the sources are there");
    Ok(all)
}

/// The words that follow each `prefix` in a text.
fn words_after<'a>(text: &'a str, prefix: &str) -> Vec<&'a str> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.match_indices(prefix)
        .filter(|(at, _)| !text[..*at].ends_with(|c: char| is_word(c) || c == '$'))
        .flat_map(|(at, _)| {
            let rest = &text[at + prefix.len()..];
            match rest.strip_prefix('{') {
                // Only the first word of each part of a group names a module.
                Some(group) => group
                    .split('}')
                    .next()
                    .unwrap_or_default()
                    .split(',')
                    .map(|part| part.trim().split(|c| !is_word(c)).next().unwrap_or_default())
                    .collect(),
                None => vec![rest.split(|c| !is_word(c)).next().unwrap_or_default()],
            }
        })
        .filter(|word| !word.is_empty())
        .collect()
}

#[test]
fn imports_point_down() -> std::io::Result<()> {
    let mut wrong = Vec::new();
    for (path, (module, text)) in code()? {
        if matches!(module.as_str(), "lib" | "main") {
            continue;
        }
        let Some(allowed) = allowed(&module) else {
            wrong.push(format!("{}: the module {module} has no place in the house", path.display()));
            continue;
        };
        for word in words_after(&text, "crate::") {
            if word != module && !allowed.contains(&word) {
                wrong.push(format!("{}: {module} names {word}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn external_crates_stay_where_they_belong() -> std::io::Result<()> {
    let mut wrong = Vec::new();
    for (path, (module, text)) in code()? {
        for (name, modules) in CRATES {
            let named = text.match_indices(&format!("{name}::")).any(|(at, _)| {
                !text[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':')
            });
            if named && !modules.contains(&module.as_str()) {
                wrong.push(format!("{}: {module} names {name}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn the_reader_of_imports_reads_groups() {
    assert_eq!(words_after("use crate::{a::B, c};\ncrate::d::E", "crate::"), ["a", "c", "d"]);
    assert_eq!(words_after("xcrate::a $crate::b", "crate::"), [""; 0]);
}
