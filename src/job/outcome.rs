//! How far a job is, why it failed, and what came out of it.

use std::collections::BTreeMap;

use crate::ids::{ArchiveId, CourseId};
use crate::label::labels;
use crate::reason::Reason;

/// How far a job is.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Progress {
    /// What it is at, such as `reading`; empty before it began.
    pub phase: String,
    /// Items done.
    pub items_done: u64,
    /// Items in all; 0 when not known.
    pub items_total: u64,
    /// Bytes done.
    pub bytes_done: u64,
    /// Bytes in all; 0 when not known.
    pub bytes_total: u64,
}

/// An error that is kept.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Problem {
    /// The reason for callers. One that this version does not know (written by a newer replica) reads as
    /// [`Reason::Internal`], so that a job that failed elsewhere can be listed everywhere.
    #[serde(with = "reason_text")]
    pub reason: Reason,
    /// For people.
    pub message: String,
    /// The values in the message.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// Whether trying again may help.
    pub retryable: bool,
}

mod reason_text {
    use std::borrow::Cow;

    use crate::reason::Reason;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    pub(super) fn serialize<S: serde::Serializer>(reason: &Reason, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(reason.as_str())
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Reason, D::Error> {
        let text: Cow<'de, str> = serde::Deserialize::deserialize(deserializer)?;
        Ok(Reason::parse(&text).unwrap_or(Reason::Internal))
    }
}

labels! {
    /// How much a finding matters.
    pub enum Severity {
        /// Worth knowing.
        Info = "INFO",
        /// Something is lost or odd; the work goes on.
        Warning = "WARNING",
        /// Something blocks.
        Error = "ERROR",
    }
}

/// Something that is wrong or worth knowing.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// A stable code, such as `CONTENT_ALTERED`.
    pub code: String,
    /// The member or element concerned; may be empty.
    pub path: String,
    /// For people.
    pub message: String,
}

/// How many things of a kind an archive has, and how many of them are in the course after a restore.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Proof {
    /// The kind, such as `forum_post`.
    pub kind: String,
    /// The word under which people count it, such as `posts`; empty for what only programs count.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub label: String,
    /// How many the archive holds in all.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub held: u64,
    /// How many the archive has, after the settings were applied.
    pub expected: u64,
    /// How many of them are in the course: made, or what they were matched to.
    pub found: u64,
    /// How many of those that were found were there before.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub matched: u64,
    /// Why the others are not; empty if there are none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The same for programs: why how many of those that the archive holds are not in the course. They add up to the difference.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<Missing>,
}

impl Proof {
    /// How many of those that the archive holds are not in the course.
    pub fn difference(&self) -> u64 {
        self.held.max(self.expected).saturating_sub(self.found)
    }

    /// Proofs added up under the words that people count by; kinds that have none are left out.
    pub fn summary(proofs: &[Self]) -> Vec<Self> {
        let mut sums: BTreeMap<&str, Self> = BTreeMap::new();
        for proof in proofs.iter().filter(|proof| !proof.label.is_empty()) {
            let new = || Self { kind: proof.label.clone(), label: proof.label.clone(), ..Self::default() };
            let sum = sums.entry(&proof.label).or_insert_with(new);
            sum.held += proof.held;
            sum.expected += proof.expected;
            sum.found += proof.found;
            sum.matched += proof.matched;
            for missing in &proof.reasons {
                match sum.reasons.iter_mut().find(|one| one.why == missing.why) {
                    Some(one) => one.count += missing.count,
                    None => sum.reasons.push(*missing),
                }
            }
        }
        let told = |sum: Self| Self { reason: Missing::sentence(&sum.reasons), ..sum };
        sums.into_values().map(told).collect()
    }
}

labels! {
    /// Why something that an archive holds is not in the course.
    pub enum WhyMissing {
        /// Settings or selection leave it out.
        Settings = "SETTINGS",
        /// The plan left it out: a user who was dropped or whom nothing refers to, a role without a counterpart, an enrolment
        /// method that does not come along, and what goes with these.
        Planned = "PLANNED",
        /// The course has its own, and keeps it: its configuration, its conditions of completion.
        CourseKept = "COURSE_KEPT",
        /// Nothing explains it.
        Lost = "LOST",
    }
}

/// Things that are missing for one reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Missing {
    /// Why.
    pub why: WhyMissing,
    /// How many.
    pub count: u64,
}

impl Missing {
    /// Reasons for people; empty for none.
    pub fn sentence(reasons: &[Self]) -> String {
        let one = |missing: &Self| {
            let words = match missing.why {
                WhyMissing::Settings => "left out by settings or selection",
                WhyMissing::Planned => "left out, as planned",
                WhyMissing::CourseKept => "left out, for the course keeps its own",
                WhyMissing::Lost => "not there",
            };
            format!("{} {words}", missing.count)
        };
        reasons.iter().map(one).collect::<Vec<_>>().join("; ")
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// What a collection cleared away; of a dry run, what it would.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Garbage {
    /// Whether it only told.
    pub dry_run: bool,
    /// Packs of which something is needed, and their bytes.
    pub kept: Amount,
    /// Packs of which nothing is needed.
    pub dead: Amount,
    /// Packs that no committed work wrote.
    pub orphans: Amount,
    /// Packs of which little is needed or that are small: what is needed of them was copied into new ones.
    pub rewritten: Amount,
    /// The new packs.
    pub repacked: Amount,
    /// Packs that were given up earlier and have gone now.
    pub removed: Amount,
    /// Upload sessions whose pieces were left behind.
    pub uploads: u64,
    /// Revisions of courses that are not kept any more.
    pub revisions: u64,
    /// Segments of the journal that were put into fewer.
    pub segments: u64,
}

/// Some objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Amount {
    /// How many.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Amount {
    /// One more.
    pub fn add(&mut self, bytes: u64) {
        self.count += 1;
        self.bytes += bytes;
    }
}

/// What came out of a job. Names are ids: the site is the job's.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct JobResult {
    /// The archive that was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archive: Option<ArchiveId>,
    /// The course that was made or changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub course: Option<CourseId>,
    /// Number of the revision that became the live one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<i64>,
    /// What was found on the way.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// Of a restore: what of the archive is in the course, read again from what was written.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub proof: Vec<Proof>,
    /// Of a collection: what it cleared away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub garbage: Option<Garbage>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_keep_their_form() -> anyhow::Result<()> {
        let problem = Problem {
            reason: Reason::StorageFull,
            message: "no room".into(),
            metadata: BTreeMap::from([("storage".into(), "primary".into())]),
            retryable: true,
        };
        let text = r#"{"reason":"STORAGE_FULL","message":"no room","metadata":{"storage":"primary"},"retryable":true}"#;
        assert_eq!(serde_json::to_string(&problem)?, text);
        assert_eq!(serde_json::from_str::<Problem>(text)?, problem);
        let newer = r#"{"reason":"FROM_THE_FUTURE","message":"m","retryable":false}"#;
        assert_eq!(serde_json::from_str::<Problem>(newer)?.reason, Reason::Internal);
        Ok(())
    }

    #[test]
    fn results_keep_their_form() -> anyhow::Result<()> {
        let result = JobResult {
            archive: Some("0190a5f3-0000-7000-8000-000000000001".parse()?),
            course: Some("c".parse()?),
            revision: Some(3),
            findings: vec![Finding {
                severity: Severity::Warning,
                code: "CONTENT_ALTERED".into(),
                path: "files/00/00".into(),
                message: "m".into(),
            }],
            proof: vec![Proof { kind: "forum_post".into(), expected: 3, found: 3, ..Proof::default() }],
            garbage: None,
        };
        let text = concat!(
            r#"{"archive":"0190a5f3-0000-7000-8000-000000000001","course":"c","revision":3,"findings":"#,
            r#"[{"severity":"WARNING","code":"CONTENT_ALTERED","path":"files/00/00","message":"m"}],"#,
            r#""proof":[{"kind":"forum_post","expected":3,"found":3}]}"#
        );
        assert_eq!(serde_json::to_string(&result)?, text);
        assert_eq!(serde_json::from_str::<JobResult>(text)?, result);
        assert_eq!(serde_json::from_str::<JobResult>("{}")?, JobResult::default());
        Ok(())
    }

    #[test]
    fn progress_keeps_its_form() -> anyhow::Result<()> {
        let progress = Progress {
            phase: "reading".into(),
            items_done: 1,
            items_total: 2,
            bytes_done: 3,
            bytes_total: 4,
        };
        let text = r#"{"phase":"reading","items_done":1,"items_total":2,"bytes_done":3,"bytes_total":4}"#;
        assert_eq!(serde_json::to_string(&progress)?, text);
        assert_eq!(serde_json::from_str::<Progress>(text)?, progress);
        Ok(())
    }
}
