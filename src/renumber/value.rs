//! One value: what its meaning says becomes of it.

use super::losses::{Loss, Losses};
use super::map::IdMap;
use super::survey::Survey;
use super::{codecs, ids, links};
use crate::format::{Format, Kind, Meaning, Place, Selector, Spot, Told};

/// How Moodle writes SQL's NULL.
const NULL: &str = "$@NULL@$";

/// Kinds that formats of values are bound to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kinds {
    pub course_module: Option<Kind>,
    pub course_section: Option<Kind>,
    pub block: Option<Kind>,
    pub scale: Option<Kind>,
    pub context: Option<Kind>,
    pub grade_item: Option<Kind>,
    pub grade_category: Option<Kind>,
}

impl Kinds {
    pub fn of(format: &Format) -> Self {
        Self {
            course_module: format.kind("course_module"),
            course_section: format.kind("course_section"),
            block: format.kind("block"),
            scale: format.kind("scale"),
            context: format.kind("context"),
            grade_item: format.kind("grade_item"),
            grade_category: format.kind("grade_category"),
        }
    }
}

/// All that a value can be renumbered with.
pub(super) struct Reach<'a, 'p> {
    pub format: &'a Format,
    pub survey: &'a Survey,
    pub map: &'a IdMap,
    pub kinds: Kinds,
    pub place: &'a Place<'p>,
    pub pattern: &'a str,
    pub member: &'a str,
    pub losses: &'a mut Losses,
}

impl Reach<'_, '_> {
    /// The new spelling of a value; `None` if it stays.
    pub fn spot(&mut self, spot: Spot<'_>, raw: &str) -> Option<String> {
        if matches!(raw, "" | "0" | NULL) {
            return None;
        }
        match spot {
            Spot::Defines(kind) => self.id_text(kind, raw),
            Spot::Undescribed => {
                self.lose(Loss::Undescribed, None);
                self.links(raw)
            }
            Spot::Value(meaning) => self.value(meaning, raw),
        }
    }

    fn value(&mut self, meaning: &Meaning, raw: &str) -> Option<String> {
        match meaning {
            Meaning::Ref { kind, .. } => self.id_text(*kind, raw),
            Meaning::Grade { .. } => {
                let scale = raw.strip_prefix('-').and_then(ids::id_of)?;
                self.new_id(self.kinds.scale?, scale).map(|new| format!("-{new}"))
            }
            Meaning::Ids(kind) if ids::is_list(raw, b',') => {
                ids::each_number(raw, |id| self.new_id(*kind, id))
            }
            Meaning::Ids(_) => self.unreadable("ids"),
            Meaning::Item(selector) => {
                let id = ids::id_of(raw)?;
                let kind = self.kind_of_item(selector, id)?;
                self.new_id(kind, id).map(|new| new.to_string())
            }
            Meaning::Codec(selector) => codecs::renumber(self, selector, raw),
            _ => self.links(raw),
        }
    }

    /// The new spelling of a text that is an id. Negative numbers are words: everybody, the end of a lesson.
    pub fn id_text(&mut self, kind: Kind, text: &str) -> Option<String> {
        match ids::id_of(text) {
            Some(id) => self.new_id(kind, id).map(|new| new.to_string()),
            None if text.parse::<i64>().is_ok_and(|number| number <= 0) => None,
            None => self.unreadable("id"),
        }
    }

    /// The new id of a thing, if it is another one.
    pub fn new_id(&mut self, kind: Kind, old: i64) -> Option<i64> {
        if self.map.get(kind, old).is_none() && !self.map.is_own(kind) {
            let kind = self.format.kind_name(kind).to_owned();
            self.lose(Loss::Dangling { kind }, Some(old));
        }
        self.map.reference(kind, old).filter(|new| *new != old)
    }

    /// What the values of a selector's fields are, joined by slashes.
    pub fn key(&self, selector: &Selector) -> String {
        let fields = selector.fields.iter().map(|field| match self.place.field(field) {
            None | Some(NULL) => "",
            Some(value) => value,
        });
        fields.collect::<Vec<_>>().join("/")
    }

    fn kind_of_item(&mut self, selector: &Selector, id: i64) -> Option<Kind> {
        // The rows of files: each area says what its items are.
        if selector.name == "file" {
            let [component, area] = selector.fields.as_slice() else { return None };
            let (component, area) = (self.place.field(component)?, self.place.field(area)?);
            return self.kind_of_file(component, area, id);
        }
        let key = self.key(selector);
        match self.told(&selector.name, &key, |_| None) {
            Some(kinds) => kinds.first().copied().flatten(),
            None => self.untold(&selector.name, &key, Some(id)),
        }
    }

    /// The kind of the items of a file area; `None` if they are nothing that an archive holds.
    pub fn kind_of_file(&mut self, component: &str, area: &str, id: i64) -> Option<Kind> {
        match self.format.file_rule(component, area) {
            Some((_, rule)) => rule.per.filter(|kind| Some(*kind) != self.kinds.context),
            None => self.untold("file", &format!("{component}/{area}"), Some(id)),
        }
    }

    /// The kinds that a table tells for a key, with `None` for what is no id. `sibling` knows the values around it.
    pub fn told(
        &self,
        table: &str,
        key: &str,
        sibling: impl Fn(&str) -> Option<String>,
    ) -> Option<Vec<Option<Kind>>> {
        let named = |name: &str| {
            let word = sibling(name).or_else(|| self.place.field(name).map(ToOwned::to_owned))?;
            self.format.kind(&word).or_else(|| match self.format.told("table", &word)?.first()? {
                Told::Kind(kind) => Some(*kind),
                _ => None,
            })
        };
        let told = self.format.told(table, key)?;
        let kinds = told.iter().map(|told| match told {
            Told::Kind(kind) => Some(Some(*kind)),
            Told::Nothing => Some(None),
            Told::Named(name) => named(name).map(Some),
            Told::Captured => None,
        });
        kinds.collect()
    }

    /// A text with its links renumbered. A link of several numbers changes as a whole or not at all, as in Moodle; unless one
    /// of them would lead to a stranger.
    pub fn links(&mut self, text: &str) -> Option<String> {
        if !links::may_hold(text) {
            return None;
        }
        links::rewrite(text, |name, old| {
            let Some(kinds) = self.told("link", name, |_| None) else {
                if !NULL.contains(name) {
                    self.lose(Loss::Link { name: name.to_owned() }, old.first().copied());
                }
                return None;
            };
            let (mut lost, mut is_kept_off) = (None, false);
            let new = old.iter().enumerate().map(|(at, id)| {
                let Some(kind) = kinds.get(at).copied().flatten() else { return *id };
                let led = self.map.reference(kind, *id);
                if self.map.get(kind, *id).is_none() && !self.map.is_own(kind) {
                    lost = Some((kind, *id));
                    is_kept_off |= led.is_some();
                }
                led.unwrap_or(*id)
            });
            let new: Vec<i64> = new.collect();
            if let Some((kind, id)) = lost {
                self.new_id(kind, id);
                if !is_kept_off {
                    return None;
                }
            }
            (new != old).then_some(new)
        })
    }

    /// Tells that something stays because nobody knows what it is.
    pub fn untold<T>(&mut self, table: &str, key: &str, id: Option<i64>) -> Option<T> {
        self.lose(Loss::Untold { table: table.to_owned(), key: key.to_owned() }, id);
        None
    }

    /// Tells that something stays because it cannot be read.
    pub fn unreadable<T>(&mut self, format: &str) -> Option<T> {
        self.lose(Loss::Unreadable { format: format.to_owned() }, None);
        None
    }

    pub fn lose(&mut self, loss: Loss, id: Option<i64>) {
        self.losses.add(self.pattern, self.place.path(), loss, self.member, id);
    }
}
