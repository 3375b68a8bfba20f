//! The rows of `files.xml`: which stay, and which contents they need.

use std::collections::{HashMap, HashSet};
use std::io::BufReader;

use quick_xml::events::Event;

use super::{DeriveError, Deriving};
use crate::digest::Sha1;
use crate::format::xml::{Pieces, unescaped};
use crate::format::{Conditions, Format, Kind, Refs};

/// A file area, and what its rule says.
#[derive(Debug)]
struct Area {
    component: String,
    area: String,
    rule: Option<AreaRule>,
}

#[derive(Debug)]
struct AreaRule {
    plugin: String,
    per: Option<Kind>,
    needs: Conditions,
    /// Its plugin's documents are named after their folder's `inforef.xml` was made.
    late: bool,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    area: u16,
    item: i64,
    context: i64,
    /// The content that lies in the archive for it: none for folders and aliases.
    content: Option<Sha1>,
    /// A folder: its name is a dot.
    folder: bool,
    /// Its content lies in another place.
    external: bool,
}

/// All rows, by id.
#[derive(Debug, Default)]
pub(super) struct FileTable {
    rows: HashMap<i64, Row>,
    areas: Vec<Area>,
    /// Rows that some `inforef.xml` of the source lists.
    listed: HashSet<i64>,
}

/// What the rows that stay need and are.
#[derive(Debug, Default)]
pub(super) struct Needed {
    pub contents: HashSet<Sha1>,
    pub files: u64,
    pub external: bool,
}

impl FileTable {
    /// Reads the rows of the source, if it has any.
    pub fn read(deriving: &Deriving<'_>) -> Result<Self, DeriveError> {
        let mut table = Self::default();
        let Some(member) = deriving.root_document("files.xml") else { return Ok(table) };
        let failed = |error| DeriveError::xml(&member.path, error);
        let mut pieces = Pieces::new(BufReader::new(deriving.open(member)?), deriving.request.limits);
        let mut areas: HashMap<(String, String), u16> = HashMap::new();
        let mut fields: HashMap<String, String> = HashMap::new();
        let (mut depth, mut id, mut name, mut text) = (0, None, String::new(), String::new());
        loop {
            match pieces.advance().map_err(failed)? {
                Event::Start(start) => {
                    depth += 1;
                    match depth {
                        2 => {
                            let found = start.attributes().flatten().find(|each| each.key.as_ref() == "id");
                            id = found.and_then(|each| each.value.parse::<i64>().ok());
                        }
                        3 => {
                            name.clear();
                            name.push_str(start.name().as_ref());
                        }
                        _ => {}
                    }
                    text.clear();
                }
                Event::End(_) => {
                    match depth {
                        3 => {
                            fields.insert(name.clone(), unescaped(&text).into_owned());
                        }
                        2 => {
                            if let Some(id) = id.take() {
                                let row = row(deriving.format, &mut table.areas, &mut areas, &fields);
                                table.rows.insert(id, row);
                            }
                            fields.clear();
                        }
                        _ => {}
                    }
                    depth -= 1;
                }
                Event::Text(piece) => text.push_str(&piece),
                Event::GeneralRef(reference) => {
                    text.push('&');
                    text.push_str(&reference);
                    text.push(';');
                }
                Event::Eof => return Ok(table),
                _ => {}
            }
        }
    }

    /// Notes which rows a task of the source lists.
    pub fn list(&mut self, base: &Refs, file: Kind) {
        self.listed.extend(base.of(file).into_iter().flatten());
    }

    fn rule(&self, id: i64) -> Option<(&Row, Option<&AreaRule>)> {
        let row = self.rows.get(&id)?;
        Some((row, self.areas[usize::from(row.area)].rule.as_ref()))
    }

    /// Whether a row goes although everything around it stays.
    pub fn falls(&self, id: i64, on: Conditions) -> bool {
        self.rule(id).is_some_and(|(_, rule)| rule.is_some_and(|rule| !on.holds(rule.needs)))
    }

    /// Whether a row belongs to a document that is named late.
    pub fn is_late(&self, id: i64) -> bool {
        self.rule(id).is_some_and(|(_, rule)| rule.is_some_and(|rule| rule.late))
    }

    /// Whether a row stays with these things. One of an area that nobody described stays if `unknown` may.
    pub fn stays(&self, id: i64, on: Conditions, kept: &Refs, context: Kind, unknown: bool) -> bool {
        match self.rule(id) {
            // A list may name a row that is not there; that is no reason to change it.
            None => true,
            Some((_, None)) => unknown,
            Some((row, Some(rule))) => {
                on.holds(rule.needs)
                    && rule.per.is_none_or(|kind| {
                        kept.has(kind, if kind == context { row.context } else { row.item })
                    })
            }
        }
    }

    /// The rows of a plugin that stay with its late documents.
    pub fn late_rows(&self, plugin: &str, on: Conditions, kept: &Refs, context: Kind) -> Vec<i64> {
        let of_plugin = |id: &i64| {
            self.rule(*id).and_then(|(_, rule)| rule).is_some_and(|rule| rule.late && rule.plugin == plugin)
        };
        let rows = self.rows.keys().copied().filter(of_plugin);
        rows.filter(|id| self.stays(*id, on, kept, context, false)).collect()
    }

    /// Rows that no task of the source lists: those of the documents at the root.
    pub fn unlisted(&self) -> impl Iterator<Item = i64> + '_ {
        self.rows.keys().copied().filter(|id| !self.listed.contains(id))
    }

    /// Areas of these rows that nobody described.
    pub fn unknown_areas(&self) -> impl Iterator<Item = String> + '_ {
        let unknown = self.areas.iter().filter(|area| area.rule.is_none());
        unknown.map(|area| format!("{}/{}", area.component, area.area))
    }

    /// What rows need and are.
    pub fn needed<'i>(&self, ids: impl Iterator<Item = &'i i64>) -> Needed {
        let mut needed = Needed::default();
        for row in ids.filter_map(|id| self.rows.get(id)) {
            needed.contents.extend(row.content);
            needed.files += u64::from(!row.folder);
            needed.external |= row.external;
        }
        needed
    }

    /// Rows that are no folders.
    pub fn files(&self) -> u64 {
        self.rows.values().filter(|row| !row.folder).count() as u64
    }

    /// How many of these rows need each content that `has` denies.
    pub fn missing(&self, ids: impl Iterator<Item = i64>, has: impl Fn(&Sha1) -> bool) -> HashMap<Sha1, u64> {
        let mut missing = HashMap::new();
        let contents = ids.filter_map(|id| self.rows.get(&id)?.content);
        for content in contents.filter(|content| !has(content)) {
            *missing.entry(content).or_default() += 1;
        }
        missing
    }
}

fn row(
    format: &Format,
    list: &mut Vec<Area>,
    numbers: &mut HashMap<(String, String), u16>,
    fields: &HashMap<String, String>,
) -> Row {
    let text = |name: &str| fields.get(name).map_or("", String::as_str);
    let number = |name: &str| text(name).parse().unwrap_or(0);
    let key = (text("component").to_owned(), text("filearea").to_owned());
    let area = match numbers.get(&key) {
        Some(area) => *area,
        None => {
            let rule = format.file_rule(&key.0, &key.1).map(|(plugin, rule)| AreaRule {
                plugin: plugin.name.clone(),
                per: rule.per,
                needs: rule.needs,
                late: plugin.documents.iter().any(|document| document.late),
            });
            list.push(Area { component: key.0.clone(), area: key.1.clone(), rule });
            let area = u16::try_from(list.len() - 1).unwrap_or(u16::MAX);
            numbers.insert(key, area);
            area
        }
    };
    let folder = text("filename") == ".";
    let external = !matches!(text("repositoryid"), "" | "0" | "$@NULL@$");
    let content = if folder || external { None } else { text("contenthash").parse().ok() };
    Row { area, item: number("itemid"), context: number("contextid"), content, folder, external }
}
