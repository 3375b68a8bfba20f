//! A value, where it comes from, and what keeps it from being otherwise.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Root settings of one kind of work, and what else can force a value there.
pub trait Root:
    Copy + Ord + Eq + std::hash::Hash + fmt::Debug + fmt::Display + Serialize + DeserializeOwned + 'static
{
    /// What is not a setting and forces values: the mode of a backup, the target of a restore.
    type Circumstance: Clone + Eq + fmt::Debug + Serialize + DeserializeOwned;

    /// What holds the contents, as the subject of a sentence.
    const HOLDER: &'static str;

    /// The one word for a circumstance that a caller reads as `forced_by`.
    fn name(circumstance: &Self::Circumstance) -> &'static str;

    /// The circumstance as the end of "it is off …".
    fn phrase(circumstance: &Self::Circumstance) -> String;
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE", bound = "")]
pub enum Source<S: Root> {
    /// The caller asked for it.
    Asked,
    /// The preset that the caller took.
    Preset,
    /// The default.
    Default,
    /// The site's policy, or a lock of the preset.
    Lock,
    /// Another setting leaves no choice.
    Forced(Cause<S>),
    /// The state or archive holds no such thing, whatever was asked.
    NotHeld,
    /// No description covers the activity's plugin, so nobody knows what in it is about people.
    UnknownPlugin,
}

/// What forces a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", bound = "")]
pub enum Cause<S: Root> {
    /// The mode of the work, or what else is no setting.
    Mode(S::Circumstance),
    /// A root setting.
    Setting(S),
    /// A setting of a section or an activity, such as `section_3_included`.
    Item(String),
}

impl<S: Root> fmt::Display for Cause<S> {
    /// The forcing setting's name, or the circumstance's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mode(circumstance) => f.write_str(S::name(circumstance)),
            Self::Setting(setting) => fmt::Display::fmt(setting, f),
            Self::Item(name) => f.write_str(name),
        }
    }
}

/// A value and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(serialize = "V: Serialize", deserialize = "V: Deserialize<'de>"))]
pub struct Decision<S: Root, V = bool> {
    /// The value; of most settings on or off.
    pub value: V,
    /// Why.
    pub source: Source<S>,
}

impl<S: Root, V> Decision<S, V> {
    pub(crate) const fn new(value: V, source: Source<S>) -> Self {
        Self { value, source }
    }
}

/// A value's word in sentences.
pub(crate) const fn on(value: bool) -> &'static str {
    if value { "on" } else { "off" }
}

impl<S: Root> Decision<S> {
    /// "on" or "off", and why, as the middle of a sentence.
    pub(crate) fn sentence(&self) -> String {
        let value = on(self.value);
        match &self.source {
            Source::Asked => format!("{value}, as asked"),
            Source::Preset => format!("{value} by the preset"),
            Source::Default => format!("{value} by default"),
            Source::Lock => format!("locked {value}"),
            Source::Forced(Cause::Mode(circumstance)) => format!("{value} {}", S::phrase(circumstance)),
            Source::Forced(cause) => format!("{value} because of {cause}"),
            Source::NotHeld => format!("{value}, for {} holds none", S::HOLDER),
            Source::UnknownPlugin => format!("{value}, for its plugin is not known"),
        }
    }
}

/// The decisions on root settings, in Moodle's order; those that do not exist are not in it.
pub(crate) struct Decided<S: Root>(pub Vec<(S, Decision<S>)>);

impl<S: Root> Decided<S> {
    /// The decision on a setting, unless it does not exist.
    pub fn get(&self, setting: S) -> Option<&Decision<S>> {
        self.0.iter().find(|(decided, _)| *decided == setting).map(|(_, decision)| decision)
    }

    /// The setting as something that keeps others out when it is off.
    pub fn parent(&self, setting: S) -> Option<Blocker<'_, S>> {
        let decision = self.get(setting)?;
        Some(Blocker { cause: Cause::Setting(setting), decision, when: false })
    }
}

/// Something that keeps others out when it has a value.
pub(crate) struct Blocker<'d, S: Root> {
    pub cause: Cause<S>,
    pub decision: &'d Decision<S>,
    pub when: bool,
}

impl<S: Root> Blocker<'_, S> {
    pub fn blocks(&self) -> bool {
        self.decision.value == self.when
    }
}

/// What becomes of a wanted value. Off stays off; on goes off when something keeps it out, or is not held.
///
/// The holder's lack counts as a reason only where nothing that was chosen keeps the thing out already.
pub(crate) fn settle<S: Root>(
    wanted: Decision<S>,
    blockers: &[Blocker<'_, S>],
    is_held: bool,
) -> Decision<S> {
    if !wanted.value {
        return wanted;
    }
    let mut blocking = blockers.iter().filter(|blocker| blocker.blocks()).peekable();
    let is_kept_out = blocking.peek().is_some();
    match blocking.find(|blocker| blocker.decision.source != Source::NotHeld) {
        Some(blocker) => Decision::new(false, Source::Forced(blocker.cause.clone())),
        None if is_kept_out || !is_held => Decision::new(false, Source::NotHeld),
        None => wanted,
    }
}
