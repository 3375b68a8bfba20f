//! The references in docs/ that are made of the code: metrics and configuration. They are held to it here, and written anew by
//! `make docs`. The dashboard and the alerts are held to the metrics that there are.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use coursevault::metric::{self, Kind};
use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Compares a page with what the code makes of it; writes it instead when `UPDATE_DOCS` is set.
fn hold(path: &str, expected: &str) {
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(root().join(path), expected).expect("the page can be written");
        return;
    }
    assert!(read(path) == expected, "{path} is not what the code says any more: run `make docs`");
}

#[test]
fn metrics() {
    let mut page = String::from(
        "# Metrics\n\nMade of `src/metric.rs` by `make docs`; do not edit. Told in Prometheus' text format by `GET /metrics` on `probe_listen`.\n\
         Histograms count seconds. What is read from the catalog is the same on every replica (those about jobs that have not ended,\n\
         the queue, courses, archives and bytes by site): look at it with `max`. What a process counts itself is to be summed.\n\n\
         | name | kind | labels | meaning |\n|---|---|---|---|\n",
    );
    for each in metric::ALL {
        let kind = match each.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let labels: Vec<String> = each.labels.iter().map(|label| format!("`{label}`")).collect();
        writeln!(page, "| `{}` | {kind} | {} | {} |", each.name, labels.join(", "), each.help)
            .expect("a string takes all");
    }
    hold("docs/metrics.md", &page);
}

/// All words of a text that look like our metrics.
fn named_metrics(text: &str) -> BTreeSet<&str> {
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    text.split(|c| !is_word(c)).filter(|word| word.starts_with("coursevault_")).collect()
}

#[test]
fn dashboard_and_alerts_use_metrics_that_exist() {
    for path in ["deploy/grafana/coursevault.json", "deploy/kubernetes/overlays/production/alerts.yaml"] {
        let text = read(path);
        let named = named_metrics(&text);
        assert!(named.len() > 5, "{path} uses metrics");
        for name in named {
            let exists = metric::ALL.iter().any(|each| match each.kind {
                Kind::Histogram => {
                    ["_bucket", "_sum", "_count"].iter().any(|end| name.strip_suffix(end) == Some(each.name))
                }
                Kind::Counter | Kind::Gauge => each.name == name,
            });
            assert!(exists, "{path}: there is no metric {name}");
        }
    }
}

/// A field of the configuration as the source has it.
struct Field {
    name: String,
    docs: String,
    of: String,
}

/// The documented public fields of a struct in a source file.
fn fields(source: &str, name: &str) -> Vec<Field> {
    let begin = format!("pub struct {name} {{");
    let body = source.split(&begin).nth(1).unwrap_or_else(|| panic!("there is no struct {name}"));
    let (mut found, mut docs) = (Vec::new(), String::new());
    for line in body.lines().map(str::trim).take_while(|line| *line != "}") {
        if let Some(text) = line.strip_prefix("///") {
            docs = format!("{docs} {}", text.trim()).trim().to_owned();
        } else if let Some((name, of)) = line.strip_prefix("pub ").and_then(|line| line.split_once(": ")) {
            found.push(Field {
                name: name.into(),
                docs: std::mem::take(&mut docs),
                of: of.trim_end_matches(',').into(),
            });
        }
    }
    assert!(!found.is_empty(), "{name} has fields");
    found
}

/// The default that the source gives a field, in the notation of the configuration.
fn default(source: &str, owner: &str, field: &Field) -> String {
    let begin = format!("impl Default for {owner} {{");
    let body = source.split(&begin).nth(1).and_then(|text| text.split("\n}\n").next()).unwrap_or_default();
    // A struct of one field stands in one line.
    let mut parts = body.lines().flat_map(|line| line.split(['{', '}'])).map(str::trim);
    let value = parts.find_map(|part| part.strip_prefix(&format!("{}: ", field.name)));
    let Some(value) = value.map(|value| value.trim_end_matches(',')) else {
        return if field.of == "bool" { "`false`".into() } else { String::new() };
    };
    if let Some(inner) = value.strip_prefix("SocketAddr::from(([").and_then(|v| v.strip_suffix("))")) {
        let (ip, port) = inner.split_once("], ").unwrap_or_default();
        return format!("`{}:{port}`", ip.replace(", ", "."));
    }
    let quoted = value.split('"').nth(1);
    match value {
        "None" | "BTreeMap::new()" | "Vec::new()" => "none".into(),
        "true" | "false" => format!("`{value}`"),
        "site_main()" => "`main`".into(),
        _ if quoted.is_some() => format!("`{}`", quoted.unwrap_or_default()),
        _ if value.contains("::default()") => String::new(),
        _ if value.contains("::") => {
            format!("`{}`", value.rsplit("::").next().unwrap_or_default().to_lowercase())
        }
        _ => {
            let number = match value.split_once(" << ") {
                Some((base, by)) => base
                    .parse::<u64>()
                    .ok()
                    .zip(by.parse::<u32>().ok())
                    .map(|(base, by)| format!("{} ({base} << {by})", base << by)),
                None => Some(value.to_owned()),
            };
            number.unwrap_or_else(|| value.to_owned())
        }
    }
}

fn table(page: &mut String, path: &str, owner: &str, prefix: &str) {
    let source = read(path);
    page.push_str("| field | default | meaning |\n|---|---|---|\n");
    for field in fields(&source, owner) {
        let default = default(&source, owner, &field);
        writeln!(page, "| `{prefix}{}` | {default} | {} |", field.name, field.docs.replace('|', "\\|"))
            .expect("a string takes all");
    }
}

/// Tables below the one of the whole: heading, source, struct, prefix of its fields.
const PARTS: &[(&str, &str, &str, &str)] = &[
    ("`[storages.NAME]`", "src/vault/config.rs", "StorageConfig", ""),
    ("`[[tokens]]`", "src/config.rs", "Token", ""),
    ("`[limits]`", "src/limits.rs", "Limits", ""),
    ("`[care]`", "src/limits.rs", "Care", ""),
];

#[test]
fn configuration() {
    let mut page = String::from(
        "# Configuration\n\nMade of the code by `make docs`; do not edit. Nothing needs to be configured. `coursevault serve --config FILE` reads TOML;\n\
         `COURSEVAULT_…` variables lie over it, where two underscores go one level down (`COURSEVAULT_STORAGES__PRIMARY__URL`).\n\
         Unknown fields are refused, and everything that is wrong is told at once.\n\n",
    );
    table(&mut page, "src/config.rs", "Config", "");
    for (heading, path, owner, prefix) in PARTS {
        write!(page, "\n## {heading}\n\n").expect("a string takes all");
        table(&mut page, path, owner, prefix);
    }
    hold("docs/configuration.md", &page);
}

/// Comments of everything in a file, by the path of the descriptor.
type Comments = std::collections::BTreeMap<Vec<i32>, String>;

fn about(comments: &Comments, path: &[i32]) -> String {
    let text = comments.get(path).map_or("", String::as_str);
    text.lines().map(str::trim).collect::<Vec<_>>().join(" ").trim().replace('|', "\\|")
}

fn short(type_name: &str) -> String {
    let name = type_name.trim_start_matches('.');
    match name.strip_prefix("coursevault.v1.") {
        Some(own) => format!("[{own}](#{})", own.to_lowercase().replace('.', "")),
        None => name.to_owned(),
    }
}

fn type_of(field: &FieldDescriptorProto) -> String {
    let of = match field.r#type() {
        Type::Message | Type::Enum => short(field.type_name()),
        other => other.as_str_name().trim_start_matches("TYPE_").to_lowercase(),
    };
    if field.label() == Label::Repeated { format!("repeated {of}") } else { of }
}

fn message(page: &mut String, comments: &Comments, path: &[i32], outer: &str, each: &DescriptorProto) {
    let name = format!("{outer}{}", each.name());
    let is_map = each.options.as_ref().is_some_and(|options| options.map_entry());
    if is_map {
        return;
    }
    write!(page, "\n### {name}\n\n{}\n", about(comments, path)).expect("a string takes all");
    if !each.field.is_empty() {
        page.push_str("\n| field | type | meaning |\n|---|---|---|\n");
    }
    for (at, field) in each.field.iter().enumerate() {
        let path = [path, &[2, at as i32]].concat();
        let one_of = field.oneof_index.filter(|_| !field.proto3_optional());
        let one_of = one_of.and_then(|index| each.oneof_decl.get(index as usize));
        let one_of = one_of.map_or(String::new(), |one_of| format!(" (one of `{}`)", one_of.name()));
        writeln!(page, "| `{}` | {}{one_of} | {} |", field.name(), type_of(field), about(comments, &path))
            .expect("a string takes all");
    }
    let inner = format!("{name}.");
    for (at, nested) in each.nested_type.iter().enumerate() {
        message(page, comments, &[path, &[3, at as i32]].concat(), &inner, nested);
    }
    for (at, nested) in each.enum_type.iter().enumerate() {
        values(page, comments, &[path, &[4, at as i32]].concat(), &inner, nested);
    }
}

fn values(page: &mut String, comments: &Comments, path: &[i32], outer: &str, each: &EnumDescriptorProto) {
    write!(page, "\n### {outer}{}\n\n{}\n", each.name(), about(comments, path)).expect("a string takes all");
    page.push_str("\n| value | meaning |\n|---|---|\n");
    for (at, value) in each.value.iter().enumerate() {
        let path = [path, &[2, at as i32]].concat();
        writeln!(page, "| `{}` | {} |", value.name(), about(comments, &path)).expect("a string takes all");
    }
}

#[test]
fn calls() {
    let set = FileDescriptorSet::decode(coursevault::proto::DESCRIPTOR_SET).expect("descriptors");
    let (mut services, mut messages) = (String::new(), String::new());
    let mut files: Vec<_> = set.file.iter().filter(|file| file.package() == "coursevault.v1").collect();
    files.sort_by_key(|file| file.name().to_owned());
    for file in files {
        let locations = file.source_code_info.iter().flat_map(|info| &info.location);
        let comments: Comments = locations
            .map(|location| (location.path.clone(), location.leading_comments().to_owned()))
            .collect();
        for (at, service) in file.service.iter().enumerate() {
            let path = [6, at as i32];
            write!(services, "\n## {}\n\n{}\n\n", service.name(), about(&comments, &path))
                .expect("a string takes all");
            services.push_str("| call | request | response | what it does |\n|---|---|---|---|\n");
            for (at, method) in service.method.iter().enumerate() {
                let stream = |streams: bool| if streams { "stream of " } else { "" };
                writeln!(
                    services,
                    "| `{}` | {}{} | {}{} | {} |",
                    method.name(),
                    stream(method.client_streaming()),
                    short(method.input_type()),
                    stream(method.server_streaming()),
                    short(method.output_type()),
                    about(&comments, &[&path[..], &[2, at as i32]].concat()),
                )
                .expect("a string takes all");
            }
        }
        for (at, each) in file.message_type.iter().enumerate() {
            message(&mut messages, &comments, &[4, at as i32], "", each);
        }
        for (at, each) in file.enum_type.iter().enumerate() {
            values(&mut messages, &comments, &[5, at as i32], "", each);
        }
    }
    let page = format!(
        "# Calls\n\nThe package `coursevault.v1`, made of the comments in `proto/` by `make docs`; do not edit.\n{services}\n## Messages\n{messages}"
    );
    hold("docs/api.md", &page);
}

/// What a page links to within the repository is there.
#[test]
fn links_lead_somewhere() {
    let mut wrong = Vec::new();
    let mut pages = vec![PathBuf::from("README.md"), "ARCHITECTURE.md".into(), "CHANGELOG.md".into()];
    for entry in std::fs::read_dir(root().join("docs")).expect("docs").flatten() {
        pages.push(Path::new("docs").join(entry.file_name()));
    }
    for page in pages {
        let text = std::fs::read_to_string(root().join(&page)).expect("a page");
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap_or_default();
            let folder = page.parent().unwrap_or(Path::new(""));
            if !file.is_empty() && !file.contains("://") && !root().join(folder).join(file).exists() {
                wrong.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
