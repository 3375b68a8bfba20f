//! What of an archive is in the course after a restore, counted by kind, and why the rest is not.
//!
//! What was written is read again for this, so that it does not rest on what was meant to be written.

use std::collections::{BTreeMap, BTreeSet};

use super::error::Error;
use super::prepare::Prepared;
use super::spool::Located;
use crate::format::{Format, Kind, Refs};
use crate::job::{Finding, Missing, Proof, Severity, WhyMissing};
use crate::limits::Limits;
use crate::merge;
use crate::renumber::Survey;

/// What is looked at.
pub(super) struct Evidence<'e> {
    pub format: &'e Format,
    pub limits: &'e Limits,
    /// The archive as it is stored.
    pub archive: &'e dyn Located,
    /// The archive in the course's ids, before it was merged.
    pub incoming: &'e dyn Located,
    /// What a merge left out of it.
    pub merged: Option<&'e merge::Report>,
    /// What was written.
    pub result: &'e dyn Located,
}

impl Prepared<'_> {
    /// Everything of the archive is looked for in the result under the id that it got.
    pub fn proof(&self, evidence: &Evidence<'_>) -> Result<Vec<Proof>, Error> {
        let Evidence { format, limits, .. } = *evidence;
        let result = Survey::of(format, evidence.result, limits)?.defined;
        let dropped = self.dropped(evidence)?;
        let kept = kept_by_course(evidence)?;
        let labels = format.labels();
        let mut kinds: BTreeSet<Kind> = self.survey.defined.kinds().chain(dropped.kinds()).collect();
        kinds.retain(|kind| !self.plan.map.is_own(*kind));
        let mut proofs: Vec<Proof> = kinds
            .into_iter()
            .map(|kind| {
                let label = labels.get(&kind).copied().unwrap_or_default();
                self.proof_of(format, kind, label, &result, (&dropped, &kept))
            })
            .collect();
        proofs.sort_by(|one, other| one.kind.cmp(&other.kind));
        Ok(proofs)
    }

    fn proof_of(
        &self,
        format: &Format,
        kind: Kind,
        label: &str,
        result: &Refs,
        (dropped, kept): (&Refs, &Refs),
    ) -> Proof {
        let ids = self.survey.defined.sorted(kind);
        let (mut found, mut planned, mut by_course, mut lost) = (0, 0, 0, 0);
        for id in &ids {
            let new = self.plan.map.get(kind, *id);
            let counter = match new {
                Some(new) if result.has(kind, new) => &mut found,
                _ if self.plan.left_out.has(kind, *id) => &mut planned,
                Some(new) if kept.has(kind, new) => &mut by_course,
                // What stands in a badge or an event that the course has already.
                _ if self.contents.is_within_closed(format, kind, *id) => &mut by_course,
                _ => &mut lost,
            };
            *counter += 1;
        }
        let expected = ids.len() as u64;
        let settings = dropped.sorted(kind).iter().filter(|id| !self.survey.defined.has(kind, **id)).count();
        let count = self.plan.counts.get(format.kind_name(kind)).copied().unwrap_or_default();
        let reasons: Vec<Missing> = [
            (WhyMissing::Settings, settings as u64),
            (WhyMissing::Planned, planned),
            (WhyMissing::CourseKept, by_course),
            (WhyMissing::Lost, lost),
        ]
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(why, count)| Missing { why, count })
        .collect();
        Proof {
            kind: format.kind_name(kind).to_owned(),
            label: label.to_owned(),
            held: expected + settings as u64,
            expected,
            found,
            matched: (count.matched + count.merged).min(found),
            reason: Missing::sentence(&reasons),
            reasons,
        }
    }

    /// What the documents define that settings changed or left out: what of it is not expected, settings took.
    fn dropped(&self, evidence: &Evidence<'_>) -> Result<Refs, Error> {
        let kept = self.spool.kept_paths();
        let changed = Survey::of_some(evidence.format, evidence.archive, evidence.limits, |path| {
            !kept.contains(path.as_str())
        })?;
        Ok(changed.defined)
    }
}

/// What is defined where the course kept its own.
fn kept_by_course(evidence: &Evidence<'_>) -> Result<Refs, Error> {
    let Some(report) = evidence.merged.filter(|report| !report.left_out.is_empty()) else {
        return Ok(Refs::default());
    };
    let paths: BTreeSet<&str> = report.left_out.keys().map(|(path, ..)| path.as_str()).collect();
    let there = Survey::of_some(evidence.format, evidence.incoming, evidence.limits, |path| {
        paths.contains(path.as_str())
    })?;
    Ok(there.defined)
}

/// What nothing explains is told as a warning, too: nobody should have to read all numbers to see it.
pub(super) fn unexplained(proofs: &[Proof]) -> Vec<Finding> {
    let lost: BTreeMap<&str, u64> = proofs
        .iter()
        .filter_map(|proof| {
            let lost = proof.reasons.iter().find(|missing| missing.why == WhyMissing::Lost)?;
            Some((proof.kind.as_str(), lost.count))
        })
        .collect();
    let one = |(kind, count): (&str, u64)| Finding {
        severity: Severity::Warning,
        code: "PROOF_DIFFERS".into(),
        path: kind.to_owned(),
        message: format!("{count} of the archive's {kind} are not in the course, and nothing explains it"),
    };
    lost.into_iter().map(one).collect()
}
