//! Tables of kinds: what a number is, told by other values. Lines `tells` fill them, and the tables that rows mirror.

use std::collections::HashMap;

use super::description::{AttributeMeaning, Plugin, Tell, Told, matches};

/// The table that knows which kind the rows of a database table are.
const ROWS: &str = "table";

#[derive(Debug, Default)]
struct Table {
    exact: HashMap<String, Vec<Told>>,
    /// Keys with a star: the most precise first.
    patterns: Vec<(String, Vec<Told>)>,
}

/// All tables by name.
#[derive(Debug, Default)]
pub(super) struct Tables(HashMap<String, Table>);

impl Tables {
    /// Adds what a plugin tells. What stands there first stays.
    pub fn add(&mut self, plugin: &Plugin) {
        for Tell { table, key, told } in &plugin.tells {
            let table = self.0.entry(table.clone()).or_default();
            if key.contains('*') {
                table.patterns.push((key.clone(), told.clone()));
                table
                    .patterns
                    .sort_by_key(|(key, _)| (key.matches('*').count(), std::cmp::Reverse(key.len())));
            } else {
                table.exact.entry(key.clone()).or_insert_with(|| told.clone());
            }
        }
        let rows = self.0.entry(ROWS.to_owned()).or_default();
        for element in plugin.documents.iter().map(|document| &document.root).chain(&plugin.elements) {
            element.visit("", &mut |_, element| {
                let Some(table) = &element.table else { return };
                let own = element.attributes.iter().find_map(|attribute| match attribute.meaning {
                    AttributeMeaning::Defines(kind) if attribute.name == "id" => Some(kind),
                    _ => None,
                });
                if let Some(kind) = own {
                    rows.exact.entry(table.clone()).or_insert_with(|| vec![Told::Kind(kind)]);
                }
            });
        }
    }

    /// What a table says of a key, and what the first star of its line stands for.
    pub fn find<'t>(&'t self, table: &str, key: &'t str) -> Option<(&'t [Told], &'t str)> {
        let table = self.0.get(table)?;
        if let Some(told) = table.exact.get(key) {
            return Some((told, ""));
        }
        let (pattern, told) = table.patterns.iter().find(|(pattern, _)| matches(pattern, key))?;
        let (head, tail) = pattern.split_once('*')?;
        let rest = key.strip_prefix(head)?;
        let star = rest.strip_suffix(tail).unwrap_or(rest);
        Some((told, star))
    }
}
