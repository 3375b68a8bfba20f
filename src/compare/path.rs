//! Where something stands inside a document.

use std::fmt;

/// One step down: an element, or an attribute at the end of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// Name of the element; of an attribute with `@`.
    pub name: String,
    /// What tells it from its siblings: `@id=7`, or its number where it has no id and is not alone.
    pub label: Option<String>,
    /// Its number among all children of its parent in each document, from 1; 0 where it is not.
    pub positions: (u32, u32),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.label {
            Some(label) => write!(f, "{}[{label}]", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// The steps from the document down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Path(pub Vec<Step>);

impl Path {
    /// Whether the path is the one that a pattern describes: `/files`, `/inforef/*`, `/a/b[name=x]/c`. A step of the pattern
    /// without brackets fits whatever tells the element from its siblings.
    pub fn fits(&self, pattern: &str) -> bool {
        let mut steps = self.0.iter();
        let mut parts = pattern.trim_start_matches('/').split('/');
        loop {
            match (steps.next(), parts.next()) {
                (None, None) => return true,
                (Some(step), Some(part)) => {
                    let fits = match part.split_once('[') {
                        _ if part == "*" => !step.name.starts_with('@'),
                        None => step.name == part,
                        Some((name, label)) => {
                            step.name == name && step.label.as_deref() == label.strip_suffix(']')
                        }
                    };
                    if !fits {
                        return false;
                    }
                }
                _ => return false,
            }
        }
    }

    /// The innermost step but `up`.
    pub fn last(&self, up: usize) -> Option<&Step> {
        self.0.len().checked_sub(up + 1).and_then(|index| self.0.get(index))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("/");
        }
        self.0.iter().try_for_each(|step| write!(f, "/{step}"))
    }
}
