//! The decision over the archives of one group.

use std::collections::BTreeSet;

use chrono::{Datelike, NaiveDate};
use chrono_tz::Tz;

use super::policy::Effective;
use crate::calendar::{self, Period};
use crate::clock::Timestamp;
use crate::label::labels;

/// An archive that is not deleted, as far as the decision looks at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate<Id> {
    /// Which one.
    pub id: Id,
    /// When it was stored.
    pub create_time: Timestamp,
    /// Whether it can be relied on: it was stored whole, and nothing was found that blocks its use.
    pub good: bool,
    /// Whether it is held.
    pub held: bool,
    /// Somebody undeleted it, and so it stays until then.
    pub spared_until: Option<Timestamp>,
}

labels! {
    /// Why an archive is kept.
    pub enum Reason {
        /// It is held.
        Held = "HELD",
        /// It is younger than the law, as a policy has it, allows to remove.
        LegalMinimum = "LEGAL_MINIMUM",
        /// It is one of the good ones of which there must always be some.
        KeepAtLeast = "KEEP_AT_LEAST",
        /// Somebody undeleted it a short time ago.
        Undeleted = "UNDELETED",
        /// It is one of the newest good ones.
        KeepLast = "KEEP_LAST",
        /// It is young enough.
        KeepWithin = "KEEP_WITHIN",
        /// It is the newest good one of its day.
        Daily = "DAILY",
        /// It is the newest good one of its week.
        Weekly = "WEEKLY",
        /// It is the newest good one of its month.
        Monthly = "MONTHLY",
        /// It is the newest good one of its year.
        Yearly = "YEARLY",
        /// It is not good, but no good one came after it.
        NothingBetter = "NOTHING_BETTER",
        /// The policy keeps whatever is not too old.
        NoRule = "NO_RULE",
    }
}

labels! {
    /// Why an archive expires.
    pub enum Expiry {
        /// It is older than anything may be.
        MaxAge = "MAX_AGE",
        /// No rule keeps it, or keeps it any longer.
        NotKept = "NOT_KEPT",
    }
}

/// What becomes of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It stays.
    Keep {
        /// It expires then unless something changes. `None`: not by time alone.
        until: Option<Timestamp>,
        /// All that keeps it; never empty.
        because: Vec<Reason>,
    },
    /// It goes.
    Expire(Expiry),
}

/// What becomes of which archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision<Id> {
    /// Which one.
    pub id: Id,
    /// What becomes of it.
    pub outcome: Outcome,
}

impl<Id> Decision<Id> {
    /// Whether it stays.
    pub fn is_kept(&self) -> bool {
        matches!(self.outcome, Outcome::Keep { .. })
    }
}

/// What becomes of each archive of a group, newest first. The group must be whole: deleted archives are left out, all
/// others are in it.
pub fn decide<Id: Ord + Clone>(
    policy: &Effective,
    zone: Tz,
    archives: &[Candidate<Id>],
    now: Timestamp,
) -> Vec<Decision<Id>> {
    let mut sorted: Vec<&Candidate<Id>> = archives.iter().collect();
    sorted.sort_by(|a, b| (b.create_time, &b.id).cmp(&(a.create_time, &a.id)));
    let good: Vec<usize> = (0..sorted.len()).filter(|index| sorted[*index].good).collect();
    let counted = Counted::new(policy, zone, &sorted, &good);
    let decided = sorted.iter().enumerate();
    decided
        .map(|(index, archive)| Decision {
            id: archive.id.clone(),
            outcome: outcome(policy, zone, archive, counted.of(index), now),
        })
        .collect()
}

/// Which archives the counting rules choose, by their place among all of the group, newest first.
struct Counted {
    chosen: Vec<(Reason, BTreeSet<usize>)>,
    /// The first good one, or the number of archives when there is none.
    newest_good: usize,
    bad: BTreeSet<usize>,
}

impl Counted {
    fn new<Id>(policy: &Effective, zone: Tz, sorted: &[&Candidate<Id>], good: &[usize]) -> Self {
        let rules = &policy.rules;
        let first = |count: u32| good.iter().copied().take(count as usize).collect::<BTreeSet<_>>();
        let grid = |count: u32, bucket: fn(NaiveDate) -> (i32, u32)| {
            let mut chosen = BTreeSet::new();
            let mut seen = BTreeSet::new();
            for index in good {
                let bucket = bucket(calendar::date(zone, sorted[*index].create_time));
                if seen.len() == count as usize && !seen.contains(&bucket) {
                    break;
                }
                if seen.insert(bucket) {
                    chosen.insert(*index);
                }
            }
            chosen
        };
        let chosen = vec![
            (Reason::KeepAtLeast, first(rules.keep_at_least)),
            (Reason::KeepLast, first(rules.keep_last)),
            (Reason::Daily, grid(rules.daily, |date| (date.num_days_from_ce(), 0))),
            (Reason::Weekly, grid(rules.weekly, |date| (date.iso_week().year(), date.iso_week().week()))),
            (Reason::Monthly, grid(rules.monthly, |date| (date.year(), date.month()))),
            (Reason::Yearly, grid(rules.yearly, |date| (date.year(), 0))),
        ];
        let newest_good = good.first().copied().unwrap_or(sorted.len());
        let bad = (0..sorted.len()).filter(|index| !sorted[*index].good).collect();
        Self { chosen, newest_good, bad }
    }

    fn of(&self, index: usize) -> Vec<Reason> {
        let chosen = self.chosen.iter().filter(|(_, places)| places.contains(&index));
        let mut reasons: Vec<Reason> = chosen.map(|(reason, _)| *reason).collect();
        if self.bad.contains(&index) && index < self.newest_good {
            reasons.push(Reason::NothingBetter);
        }
        reasons
    }
}

fn outcome<Id>(
    policy: &Effective,
    zone: Tz,
    archive: &Candidate<Id>,
    mut because: Vec<Reason>,
    now: Timestamp,
) -> Outcome {
    let rules = &policy.rules;
    let end = |period: &Period| period.after(zone, archive.create_time);
    if !rules.keeps() {
        because.push(Reason::NoRule);
    }
    // No time for what only another archive, or a person, can end.
    let endless = archive.held || because.contains(&Reason::KeepAtLeast);
    if archive.held {
        because.push(Reason::Held);
    }
    let mut ends = Vec::new();
    for (reason, time) in [
        (Reason::LegalMinimum, policy.legal.iter().map(end).max()),
        (Reason::Undeleted, archive.spared_until),
    ] {
        if let Some(time) = time.filter(|time| *time > now) {
            because.push(reason);
            ends.push(time);
        }
    }
    let oldest = rules.max_age.as_ref().map(end);
    let too_old = oldest.is_some_and(|oldest| oldest <= now);
    let is_hard = |reason: &Reason| {
        matches!(reason, Reason::Held | Reason::LegalMinimum | Reason::KeepAtLeast | Reason::Undeleted)
    };
    let within = rules.keep_within.as_ref().map(end).filter(|time| *time > now);
    let mut counted = because.iter().any(|reason| !is_hard(reason));
    let was_wanted = counted || within.is_some();
    if too_old {
        because.retain(is_hard);
        counted = false;
    } else if let Some(within) = within {
        because.push(Reason::KeepWithin);
        ends.push(oldest.map_or(within, |oldest| oldest.min(within)));
    }
    if because.is_empty() {
        return Outcome::Expire(if too_old && was_wanted { Expiry::MaxAge } else { Expiry::NotKept });
    }
    let until = match (endless, counted, oldest) {
        (true, ..) | (_, true, None) => None,
        (_, true, Some(oldest)) => ends.into_iter().chain([oldest]).max(),
        (_, false, _) => ends.into_iter().max(),
    };
    because.sort_unstable();
    Outcome::Keep { until, because }
}
