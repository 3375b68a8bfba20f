//! Tests of settings and selection: against a real Moodle's records, by cases, and by properties.

use std::path::Path;

use super::*;
use crate::limits::Limits;
use crate::moodle::{self, Manifest, parse};

mod cases;
mod properties;
mod recorded;

/// The manifest of a fixture: of an archive, or of those of which only the manifest is kept.
fn manifest(name: &str) -> anyhow::Result<Manifest> {
    let alone = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/manifests").join(name);
    let alone = alone.with_extension("xml");
    let text = if alone.exists() { std::fs::read(alone)? } else { moodle::tests::fixture(name)? };
    Ok(parse(text.as_slice(), &Limits::default())?)
}

/// The state that holds most: with logs and grade history.
fn fullest() -> anyhow::Result<Manifest> {
    manifest("rich101-logs-histories-tgz")
}

/// Reads `name=0 name=1`.
fn values(text: &str) -> anyhow::Result<Values> {
    let value = |word: &str| -> anyhow::Result<(Setting, bool)> {
        let (name, value) = word.split_once('=').unwrap_or((word, "1"));
        Ok((name.parse()?, value == "1"))
    };
    text.split_whitespace().map(value).collect()
}

/// A request for a whole course with these settings.
fn ask(text: &str) -> anyhow::Result<Asked> {
    Ok(Asked { settings: values(text)?, ..Asked::default() })
}

fn resolved(asked: &Asked, base: &Manifest) -> Result<Effective, Contradictions> {
    resolve(asked, &[], base, QUESTION_MODULES)
}

/// A root setting's value and source.
fn decision(effective: &Effective, setting: Setting) -> Option<(bool, Source)> {
    let found = effective.settings.iter().find(|effective| effective.setting == setting)?;
    Some((found.decision.value, found.decision.source.clone()))
}

/// Fields and messages of the contradictions of a request.
fn refused(asked: &Asked, locks: &[Lock], base: &Manifest) -> Vec<(String, String)> {
    match resolve(asked, locks, base, QUESTION_MODULES) {
        Ok(_) => Vec::new(),
        Err(found) => found.iter().map(|one| (one.field.clone(), one.message.clone())).collect(),
    }
}
