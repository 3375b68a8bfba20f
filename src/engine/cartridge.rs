//! Cartridges: what was derived of a course goes through [`imscc`](crate::imscc) on its way into the vault.

use std::sync::Arc;

use super::derive::{self, Derivation, Preview, StageSink, TOLD};
use super::error::Error;
use super::prepare::spooled;
use super::spool::{Located as _, Spool};
use super::stored::Stored;
use crate::course::{ContentRef, Encoding, Entry, Members as _, Tree};
use crate::derive::{Derived, Sink as _};
use crate::digest::Digest;
use crate::format::Format;
use crate::imscc::{self, ImsccError, Outcome, REPORT_PATH, Report};
use crate::job::{Finding, Severity};
use crate::limits::Limits;
use crate::reason::Reason;

/// Derives a cartridge and shows it, before it goes.
fn with_cartridge<T>(
    format: &Format,
    derivation: &Derivation,
    stored: &Stored,
    limits: &Limits,
    show: impl FnOnce(&Spool<'_>, Derived, &Report) -> Result<T, Error>,
) -> Result<T, Error> {
    let mut course = Spool::over(stored).map_err(spooled)?;
    let derived = derive::run(format, derivation, stored, &mut course, limits, false)?;
    course.finish().map_err(spooled)?;
    let mut cartridge = Spool::over(&course).map_err(spooled)?;
    let report = imscc::export(&course, &derivation.language, limits, &mut cartridge)?;
    cartridge.finish().map_err(spooled)?;
    show(&cartridge, derived, &report)
}

/// Puts a cartridge into the vault, and says what was lost.
pub(super) fn write(
    format: &Format,
    derivation: &Derivation,
    stored: &Stored,
    sink: &mut StageSink<'_>,
    limits: &Limits,
) -> Result<Vec<Finding>, Error> {
    with_cartridge(format, derivation, stored, limits, |cartridge, _, report| {
        let mut sink = sink.over(cartridge);
        for member in cartridge.members().map_err(spooled)? {
            sink.keep(&member).map_err(spooled)?;
        }
        Ok(findings(report))
    })
}

/// What a cartridge would come to.
pub(super) fn preview(
    format: &Format,
    derivation: &Derivation,
    stored: &Stored,
    limits: &Limits,
) -> Result<Preview, Error> {
    with_cartridge(format, derivation, stored, limits, |cartridge, derived, report| {
        let members = cartridge.members().map_err(spooled)?;
        let entry = |member: crate::course::Member| {
            cartridge.entry(&member.path).unwrap_or_else(|| Entry {
                // What is new would be as large as this if it could not be compressed.
                content: ContentRef {
                    digest: Digest::of(member.path.as_str().as_bytes()),
                    size: member.size,
                    crc32: 0,
                    encoding: Encoding::Stored,
                    encoded_size: member.size,
                    form: 0,
                },
                path: member.path,
            })
        };
        let tree = Arc::new(Tree::new(members.into_iter().map(entry).collect())?);
        Ok(Preview { derived, findings: findings(report), tree })
    })
}

/// What was lost, item by item. The cartridge holds all of it, for the row of an archive has bounds.
fn findings(report: &Report) -> Vec<Finding> {
    let mut all = Vec::new();
    for outcome in [Outcome::LeftOut, Outcome::Converted] {
        let (severity, code) = match outcome {
            Outcome::LeftOut => (Severity::Warning, "CARTRIDGE_LEFT_OUT"),
            Outcome::Converted => (Severity::Info, "CARTRIDGE_CONVERTED"),
        };
        let told: Vec<_> = report.losses.iter().filter(|loss| loss.outcome == outcome).collect();
        all.extend(told.iter().take(TOLD).map(|loss| Finding {
            severity,
            code: code.into(),
            path: loss.item.clone(),
            message: loss.message(),
        }));
        if told.len() > TOLD {
            let message = format!("and {} more; the member {REPORT_PATH} tells all", told.len() - TOLD);
            all.push(Finding { severity, code: code.into(), path: String::new(), message });
        }
    }
    all
}

impl From<ImsccError> for Error {
    /// What the vault said comes out as it went in.
    fn from(error: ImsccError) -> Self {
        match (error.reason(), error) {
            (None, ImsccError::List(error) | ImsccError::Read { error, .. } | ImsccError::Write(error)) => {
                error.downcast::<Self>().unwrap_or_else(|error| {
                    Self::new(Reason::Internal, "converting the cartridge failed").caused_by(error)
                })
            }
            (reason, error) => {
                let out = Self::new(reason.unwrap_or(Reason::Internal), error.to_string());
                match error.document() {
                    Some(path) => out.with("path", &path),
                    None => out,
                }
            }
        }
    }
}
