//! Tests of settings and selection of restores: by cases and by properties.

use std::path::Path;

use super::*;
use crate::backup::{Compatibility, Mode};
use crate::choice::{Extent, Selection};
use crate::clock::Timestamp;
use crate::limits::Limits;
use crate::moodle::{self, Manifest, parse};

mod cases;
mod precheck;
mod properties;

/// The manifest of a fixture: of an archive, or of those of which only the manifest is kept.
fn manifest(name: &str) -> anyhow::Result<Manifest> {
    let alone = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/manifests").join(name);
    let alone = alone.with_extension("xml");
    let text = if alone.exists() { std::fs::read(alone)? } else { moodle::tests::fixture(name)? };
    Ok(parse(text.as_slice(), &Limits::default())?)
}

/// The archive that holds most: with logs and grade history.
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

/// A request with these switches into a target.
fn ask(target: Target, text: &str) -> anyhow::Result<Asked> {
    Ok(Asked { target, settings: values(text)?, ..Asked::default() })
}

fn resolved(asked: &Asked, archive: &Manifest) -> anyhow::Result<Effective> {
    Ok(resolve(asked, &Locks::default(), archive)?)
}

/// A switch's value and source.
fn decision(effective: &Effective, setting: Setting) -> Option<(bool, Source)> {
    let found = effective.settings.iter().find(|effective| effective.setting == setting)?;
    Some((found.decision.value, found.decision.source.clone()))
}

/// Fields and messages of the contradictions of a request.
fn refused(asked: &Asked, locks: &Locks, archive: &Manifest) -> Vec<(String, String)> {
    match resolve(asked, locks, archive) {
        Ok(_) => Vec::new(),
        Err(found) => found.iter().map(|one| (one.field.clone(), one.message.clone())).collect(),
    }
}

/// Fields of the contradictions of a request.
fn refused_fields(asked: &Asked, locks: &Locks, archive: &Manifest) -> Vec<String> {
    refused(asked, locks, archive).into_iter().map(|(field, _)| field).collect()
}
