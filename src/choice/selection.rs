//! What a caller wishes of sections and activities: which are in, and which with user data.
//!
//! A more specific wish beats a less specific one: an item's own name over its type, over its section (for an activity),
//! over all. Two equally specific wishes that differ are a contradiction. This module knows wishes only; what becomes
//! of them is decided in `resolve_items`.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::contradiction::{Contradiction, Contradictions};
use super::item::{Inventory, Item, near};
use crate::label::labels;

labels! {
    /// What is in unless a rule says otherwise.
    pub enum Extent {
        /// Everything.
        All = "ALL",
        /// Nothing.
        None = "NONE",
    }
}

/// Which sections and activities are wanted. The default is everything with its user data.
///
/// A rule is `section_ID`, `MODNAME_CMID`, `type:MODNAME` or `all`. A section that is included brings its activities,
/// unless rules of their own say otherwise; an activity that is included brings its section.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Selection {
    /// What is in unless a rule says otherwise; unset means everything.
    pub extent: Option<Extent>,
    /// Rules for what is in.
    pub include: Vec<String>,
    /// Rules for what is out.
    pub exclude: Vec<String>,
    /// Rules for what comes with its user data.
    pub user_data_on: Vec<String>,
    /// Rules for what comes without.
    pub user_data_off: Vec<String>,
    /// Moodle's own settings of items: `section_ID_included`, `MODNAME_CMID_userinfo` and so on. As specific as an
    /// item's name.
    pub item_settings: BTreeMap<String, bool>,
}

/// How specific a wish is, the least specific first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// For all.
    All,
    /// For an activity, by its section.
    Section,
    /// By the activity's type.
    Type,
    /// By its own name.
    Own,
}

/// A wish: on or off, and the request's field that says so.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    pub value: bool,
    pub field: String,
}

/// The wishes for one of the two questions.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    all: Option<Wish>,
    types: HashMap<String, Wish>,
    own: HashMap<String, Wish>,
}

impl Wishes {
    /// The most specific wish for an item, which lies in a section or not.
    pub fn find(&self, item: &Item<'_>, section: Option<&Item<'_>>) -> Option<(Level, &Wish)> {
        let own = self.own(item).map(|wish| (Level::Own, wish));
        let by_type = || self.types.get(item.module_name).map(|wish| (Level::Type, wish));
        // A section that is out keeps its activities out by itself.
        let by_section = || self.own(section?).filter(|wish| wish.value).map(|wish| (Level::Section, wish));
        let for_all = || self.all.as_ref().map(|wish| (Level::All, wish));
        own.or_else(by_type).or_else(by_section).or_else(for_all)
    }

    /// The wish that names the item.
    pub fn own(&self, item: &Item<'_>) -> Option<&Wish> {
        self.own.get(&item.name)
    }

    /// Keeps a wish; a different one of the same target is a contradiction.
    fn add(&mut self, rule: Rule<'_>, what: &str, wish: Wish, found: &mut Contradictions) {
        let earlier = match rule {
            Rule::All => self.all.get_or_insert_with(|| wish.clone()),
            Rule::Type(module) => self.types.entry(module.to_owned()).or_insert_with(|| wish.clone()),
            Rule::Item(name) => self.own.entry(name.to_owned()).or_insert_with(|| wish.clone()),
        };
        if earlier.value != wish.value {
            let (on, off) = if wish.value { ("on", "off") } else { ("off", "on") };
            let message = format!(
                "{what} of {rule} is asked {on} here and {off} by {}, equally specific",
                earlier.field
            );
            found.add(Contradiction { field: wish.field, message });
        }
    }
}

/// What a rule is about.
#[derive(Clone, Copy, Debug)]
enum Rule<'r> {
    All,
    Type(&'r str),
    Item(&'r str),
}

impl<'r> Rule<'r> {
    fn parse(text: &'r str) -> Self {
        match text.strip_prefix("type:") {
            Some(module) => Self::Type(module),
            None if text == "all" => Self::All,
            None => Self::Item(text),
        }
    }
}

impl std::fmt::Display for Rule<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Type(module) => write!(f, "type:{module}"),
            Self::Item(name) => f.write_str(name),
        }
    }
}

/// The wishes of a selection.
#[derive(Debug)]
pub(super) struct Wanted {
    pub included: Wishes,
    pub user_data: Wishes,
}

impl Wanted {
    /// Reads a selection against what is there. Unknown items are contradictions, too.
    pub fn read(selection: &Selection, inventory: &Inventory<'_>, found: &mut Contradictions) -> Self {
        let mut known = Known::of(inventory);
        let mut wanted = Self { included: Wishes::default(), user_data: Wishes::default() };
        if let Some(extent) = selection.extent {
            let wish = Wish { value: extent == Extent::All, field: "selection.extent".to_owned() };
            wanted.included.add(Rule::All, INCLUSION, wish, found);
        }
        for (name, rules, value, is_inclusion) in [
            ("include", &selection.include, true, true),
            ("exclude", &selection.exclude, false, true),
            ("user_data_on", &selection.user_data_on, true, false),
            ("user_data_off", &selection.user_data_off, false, false),
        ] {
            for (place, text) in rules.iter().enumerate() {
                let (rule, field) = (Rule::parse(text), format!("selection.{name}[{place}]"));
                match known.refuse(rule) {
                    Some(message) => found.add(Contradiction { field, message }),
                    None => wanted.add(is_inclusion, rule, Wish { value, field }, found),
                }
            }
        }
        for (name, value) in &selection.item_settings {
            let field = format!("selection.item_settings[{name}]");
            let item = |suffix| name.strip_suffix(suffix);
            let (item, is_inclusion) = match (item("_included"), item("_userinfo")) {
                (Some(item), _) => (item, true),
                (None, Some(item)) => (item, false),
                (None, None) => {
                    let message =
                        "is no setting of a section or activity: those end with _included or _userinfo";
                    found.add(Contradiction { field, message: message.to_owned() });
                    continue;
                }
            };
            match known.refuse(Rule::Item(item)) {
                Some(message) => found.add(Contradiction { field, message }),
                None => wanted.add(is_inclusion, Rule::Item(item), Wish { value: *value, field }, found),
            }
        }
        wanted
    }

    fn add(&mut self, is_inclusion: bool, rule: Rule<'_>, wish: Wish, found: &mut Contradictions) {
        if is_inclusion {
            self.included.add(rule, INCLUSION, wish, found);
        } else {
            self.user_data.add(rule, "user data", wish, found);
        }
    }
}

/// The first of the two questions in sentences; the other is user data.
const INCLUSION: &str = "inclusion";

/// Names that rules may use.
struct Known<'i> {
    items: HashSet<&'i str>,
    types: HashSet<&'i str>,
    /// How many more suggestions are made; they cost time that grows with the course.
    suggestions: usize,
}

impl<'i> Known<'i> {
    fn of(inventory: &'i Inventory<'_>) -> Self {
        let module_names = inventory.items().map(|item| item.module_name);
        Self {
            items: inventory.items().map(|item| item.name.as_str()).collect(),
            types: module_names.filter(|name| !name.is_empty()).collect(),
            suggestions: 20,
        }
    }

    /// A sentence, if a rule is about something that is not there.
    fn refuse(&mut self, rule: Rule<'_>) -> Option<String> {
        let (text, candidates, what) = match rule {
            Rule::Item(name) if !self.items.contains(name) => (name, &self.items, "section or activity"),
            Rule::Type(name) if !self.types.contains(name) => (name, &self.types, "activity of the type"),
            _ => return None,
        };
        let shown: String = text.chars().take(100).collect();
        let mut message = format!("the backup has no {what} {shown:?}");
        if self.suggestions > 0 {
            self.suggestions -= 1;
            let near = near(text, candidates.iter().copied());
            if !near.is_empty() {
                message = format!("{message}; near to it: {}", near.join(", "));
            }
        }
        Some(message)
    }
}
