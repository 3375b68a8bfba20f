//! All descriptions together, and finding what describes a document, an element or a file area.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, LazyLock};

use super::description::{
    AttributeMeaning, Document, Element, FileRule, Kind, Meaning, Plugin, Told, matches,
};
use super::notation::{Kinds, NotationError, parse};
use super::tables::Tables;

/// The descriptions in the binary, by file name.
const EMBEDDED: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/plugins.rs"));

/// Why descriptions do not make a format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// One was not understood.
    #[error("{file}, {error}")]
    Notation {
        /// Name of the file.
        file: String,
        /// Where, and what is wrong.
        #[source]
        error: NotationError,
    },
    /// Two describe the same thing.
    #[error("{file}: {what} is described by {other} already")]
    Twice {
        /// The later file.
        file: String,
        /// The plugin that came first.
        other: String,
        /// What both describe.
        what: String,
    },
}

/// A description of a document, and whose it is.
#[derive(Clone, Copy, Debug)]
pub struct Located<'f> {
    /// The plugin.
    pub plugin: &'f Plugin,
    /// The document.
    pub document: &'f Document,
}

/// The format: all descriptions.
#[derive(Debug, Default)]
pub struct Format {
    kinds: Kinds,
    plugins: Vec<Plugin>,
    /// Documents by the last part of their path: plugin, document, pattern.
    documents: HashMap<String, Vec<(usize, usize, String)>>,
    /// Elements that hang into documents of others: plugin, element.
    elements: HashMap<String, (usize, usize)>,
    /// File rules without a star, by component and area.
    files: HashMap<(String, String), (usize, usize)>,
    /// Those with one.
    file_patterns: Vec<(usize, usize)>,
    /// Kinds whose things keep files.
    tracked: HashSet<Kind>,
    tables: Tables,
    /// Fields that some other value's meaning depends on.
    fields: HashSet<String>,
}

impl Format {
    /// The format as the binary knows it.
    pub fn embedded() -> Arc<Self> {
        static FORMAT: LazyLock<Arc<Format>> = LazyLock::new(|| match Format::with(&[]) {
            Ok(format) => Arc::new(format),
            // A test reads all of them, so this cannot happen in a binary that was built from tested sources.
            Err(error) => panic!("the embedded descriptions are broken: {error}"),
        });
        Arc::clone(&FORMAT)
    }

    /// The format with further descriptions: file name and text of each.
    ///
    /// # Errors
    ///
    /// [`FormatError`] for the first that is not understood, or describes what another one does.
    pub fn with(further: &[(String, String)]) -> Result<Self, FormatError> {
        let mut format = Self::default();
        let embedded = EMBEDDED.iter().map(|(file, text)| (*file, *text));
        for (file, text) in embedded.chain(further.iter().map(|(file, text)| (file.as_str(), text.as_str())))
        {
            let plugin = parse(text, &mut format.kinds)
                .map_err(|error| FormatError::Notation { file: file.to_owned(), error })?;
            format.add(file, plugin)?;
        }
        Ok(format)
    }

    fn add(&mut self, file: &str, plugin: Plugin) -> Result<(), FormatError> {
        let twice = |other: &str, what: String| FormatError::Twice {
            file: file.to_owned(),
            other: other.to_owned(),
            what,
        };
        let number = self.plugins.len();
        if let Some(other) = self.plugins.iter().find(|other| other.name == plugin.name) {
            return Err(twice(&other.name, format!("the plugin {}", plugin.name)));
        }
        for (index, document) in plugin.documents.iter().enumerate() {
            for pattern in &document.patterns {
                let last = pattern.rsplit('/').next().unwrap_or(pattern).to_owned();
                self.documents.entry(last).or_default().push((number, index, pattern.clone()));
            }
        }
        for (index, element) in plugin.elements.iter().enumerate() {
            if let Some((other, _)) = self.elements.insert(element.name.clone(), (number, index)) {
                let other = if other == number { &plugin.name } else { &self.plugins[other].name };
                return Err(twice(other, format!("the element {}", element.name)));
            }
        }
        for (index, rule) in plugin.files.iter().enumerate() {
            self.tracked.extend(rule.per);
            if rule.component.contains('*') || rule.area.contains('*') {
                self.file_patterns.push((number, index));
                continue;
            }
            let key = (rule.component.clone(), rule.area.clone());
            if let Some((other, _)) = self.files.insert(key, (number, index)) {
                let other = if other == number { &plugin.name } else { &self.plugins[other].name };
                return Err(twice(other, format!("the file area {}/{}", rule.component, rule.area)));
            }
        }
        self.tables.add(&plugin);
        for element in plugin.documents.iter().map(|document| &document.root).chain(&plugin.elements) {
            element.visit("", &mut |_, element| {
                let selectors = element.meanings().filter_map(|meaning| match meaning {
                    Meaning::Item(selector) | Meaning::Codec(selector) => Some(selector),
                    _ => None,
                });
                self.fields.extend(selectors.flat_map(|selector| selector.fields.iter().cloned()));
            });
        }
        self.plugins.push(plugin);
        Ok(())
    }

    /// All plugins that are described.
    pub fn plugins(&self) -> &[Plugin] {
        &self.plugins
    }

    /// What describes the document at a path. The most precise pattern wins: the one with the fewest stars, then the longest.
    pub fn document(&self, path: &str) -> Option<Located<'_>> {
        let last = path.rsplit('/').next().unwrap_or(path);
        let fitting = self.documents.get(last)?.iter().filter(|(_, _, pattern)| matches(pattern, path));
        let stars = |pattern: &str| pattern.matches('*').count();
        let (plugin, document, _) =
            fitting.min_by_key(|(_, _, pattern)| (stars(pattern), std::cmp::Reverse(pattern.len())))?;
        let plugin = &self.plugins[*plugin];
        Some(Located { plugin, document: &plugin.documents[*document] })
    }

    /// What describes an element that hangs into another plugin's document.
    pub fn hung(&self, name: &str) -> Option<&Element> {
        let (plugin, element) = self.elements.get(name)?;
        Some(&self.plugins[*plugin].elements[*element])
    }

    /// What describes a child of an element, its own or one that hangs in.
    pub(crate) fn child<'f>(&'f self, parent: &'f Element, name: &str) -> Option<&'f Element> {
        let child = parent.children.get(name);
        child.or_else(|| parent.has_slot(name).then(|| self.hung(name)).flatten())
    }

    /// What a table of kinds says of a key. The table `table` also knows the database tables that rows mirror.
    pub fn told(&self, table: &str, key: &str) -> Option<Vec<Told>> {
        let (told, star) = self.tables.find(table, key)?;
        let resolved = told.iter().map(|told| match told {
            Told::Captured => self.kind(star).map(Told::Kind),
            other => Some(other.clone()),
        });
        resolved.collect()
    }

    /// The name of a field as it is kept, if some other value's meaning depends on it.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }

    /// The rule for the files of an area, and the plugin that states it.
    pub fn file_rule(&self, component: &str, area: &str) -> Option<(&Plugin, &FileRule)> {
        let exact = self.files.get(&(component.to_owned(), area.to_owned()));
        let (plugin, rule) = exact.or_else(|| {
            self.file_patterns.iter().find(|(plugin, rule)| {
                let rule = &self.plugins[*plugin].files[*rule];
                matches(&rule.component, component) && matches(&rule.area, area)
            })
        })?;
        let plugin = &self.plugins[*plugin];
        Some((plugin, &plugin.files[*rule]))
    }

    /// The kind of that name, if any description names it.
    pub fn kind(&self, name: &str) -> Option<Kind> {
        self.kinds.find(name)
    }

    /// Name of a kind.
    pub fn kind_name(&self, kind: Kind) -> &str {
        self.kinds.name(kind)
    }

    /// The label under which the things of a kind are counted, such as `posts` for `forum_post`.
    pub fn labels(&self) -> BTreeMap<Kind, &str> {
        let mut labels = BTreeMap::new();
        for plugin in &self.plugins {
            let roots = plugin.documents.iter().map(|document| &document.root).chain(&plugin.elements);
            for root in roots {
                root.visit("", &mut |_, element| {
                    let defined = element.attributes.iter().find_map(|attribute| match attribute.meaning {
                        AttributeMeaning::Defines(kind) => Some(kind),
                        AttributeMeaning::Value(_) => None,
                    });
                    if let (Some(kind), Some(label)) = (defined, element.counts.as_deref()) {
                        labels.insert(kind, label);
                    }
                });
            }
        }
        labels
    }

    /// Kinds whose things keep files.
    pub(super) fn tracked(&self) -> &HashSet<Kind> {
        &self.tracked
    }

    /// Whether an element or anything below it, hung in elements included, answers yes.
    pub(super) fn any(&self, element: &Element, test: &impl Fn(&Element) -> bool) -> bool {
        let hung = |name: &str, (plugin, index): &(usize, usize)| {
            element.has_slot(name) && self.any(&self.plugins[*plugin].elements[*index], test)
        };
        test(element)
            || element.children.values().any(|child| self.any(child, test))
            || (!element.slots.is_empty() && self.elements.iter().any(|(name, place)| hung(name, place)))
    }
}

impl Element {
    /// The meanings of its attributes and of its text.
    pub fn meanings(&self) -> impl Iterator<Item = &Meaning> {
        let attributes = self.attributes.iter().filter_map(|attribute| match &attribute.meaning {
            AttributeMeaning::Value(meaning) => Some(meaning),
            AttributeMeaning::Defines(_) => None,
        });
        attributes.chain(self.value.as_ref().map(|value| &value.meaning))
    }
}
