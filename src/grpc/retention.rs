//! Retention policies and decisions as messages, and back.

use super::convert::{self, etag, time};
use super::intake::course_of;
use crate::calendar::Period;
use crate::catalog::{Decided, PolicyRow, RetentionRow};
use crate::engine::{Error, Previewed, WantedPolicy};
use crate::ids::{ArchiveName, CourseName, PolicyId, PolicyName, SiteId};
use crate::proto;
use crate::retention::{Expiry, Outcome, Reason, Rules, Scope};

/// A policy as a message.
pub fn policy(row: &PolicyRow) -> proto::RetentionPolicy {
    proto::RetentionPolicy {
        name: policy_name(&row.site, &row.policy),
        display_name: row.display_name.clone(),
        area: convert::optional_area(row.scope.area).into(),
        category: row.scope.category.clone().unwrap_or_default(),
        course: course(&row.site, row.scope.course.as_ref()),
        rules: Some(rules(&row.rules)),
        author: row.author.clone(),
        create_time: Some(time(row.create_time)),
        update_time: Some(time(row.update_time)),
        etag: etag(row.version),
    }
}

fn rules(rules: &Rules) -> proto::RetentionRules {
    let count = |count: u32| i32::try_from(count).unwrap_or(i32::MAX);
    let period = |period: Period| proto::Period {
        years: count(period.years),
        months: count(period.months),
        days: count(period.days),
    };
    proto::RetentionRules {
        keep_last: count(rules.keep_last),
        keep_within: rules.keep_within.map(period),
        daily: count(rules.daily),
        weekly: count(rules.weekly),
        monthly: count(rules.monthly),
        yearly: count(rules.yearly),
        max_age: rules.max_age.map(period),
        keep_at_least: count(rules.keep_at_least),
        legal_minimum: rules.legal_minimum.map(period),
    }
}

/// What a message wants a policy to be.
pub fn wanted(site: &SiteId, message: &proto::RetentionPolicy) -> Result<WantedPolicy, Error> {
    let Some(wanted) = &message.rules else { return Err(Error::field("policy.rules", "is required")) };
    Ok(WantedPolicy {
        display_name: message.display_name.clone(),
        scope: scope(site, message)?,
        rules: wanted_rules(wanted)?,
    })
}

/// The scope that a message tells.
pub fn scope(site: &SiteId, message: &proto::RetentionPolicy) -> Result<Scope, Error> {
    Ok(Scope {
        area: convert::area("policy.area", message.area)?,
        category: Some(message.category.clone()).filter(|category| !category.is_empty()),
        course: course_of(site, "policy.course", &message.course)?,
    })
}

/// The rules that a message tells; all that is wrong at once.
pub fn wanted_rules(message: &proto::RetentionRules) -> Result<Rules, Error> {
    let mut wrong = Vec::new();
    let mut count = |field: &str, value: i32| {
        u32::try_from(value).unwrap_or_else(|_| {
            wrong.push((format!("policy.rules.{field}"), "must not be negative".to_owned()));
            0
        })
    };
    let mut period = |field: &str, period: Option<&proto::Period>| {
        let period = period?;
        let [years, months, days] =
            [("years", period.years), ("months", period.months), ("days", period.days)]
                .map(|(part, value)| count(&format!("{field}.{part}"), value));
        Some(Period { years, months, days })
    };
    let keep_within = period("keep_within", message.keep_within.as_ref());
    let max_age = period("max_age", message.max_age.as_ref());
    let legal_minimum = period("legal_minimum", message.legal_minimum.as_ref());
    let rules = Rules {
        keep_last: count("keep_last", message.keep_last),
        keep_within,
        daily: count("daily", message.daily),
        weekly: count("weekly", message.weekly),
        monthly: count("monthly", message.monthly),
        yearly: count("yearly", message.yearly),
        max_age,
        keep_at_least: count("keep_at_least", message.keep_at_least),
        legal_minimum,
    };
    if wrong.is_empty() { Ok(rules) } else { Err(Error::fields(wrong, 0)) }
}

/// What is known of an archive's time with us, as a message; none for one that a person deleted.
pub fn retention(site: &SiteId, row: &RetentionRow) -> Option<proto::Retention> {
    match (&row.decided, row.expiry) {
        (Some(decided), _) => Some(kept(site, decided)),
        (None, Some(why)) => Some(proto::Retention { expiry: expiry(why).into(), ..Default::default() }),
        (None, None) => None,
    }
}

fn kept(site: &SiteId, decided: &Decided) -> proto::Retention {
    proto::Retention {
        reasons: decided.because.iter().map(|because| reason(*because).into()).collect(),
        expire_time: decided.until.map(time),
        policy: decided.policy.as_ref().map(|policy| policy_name(site, policy)).unwrap_or_default(),
        expiry: proto::ExpiryReason::Unspecified.into(),
    }
}

/// What would become of an archive, as a message.
pub fn preview(site: &SiteId, previewed: &Previewed) -> proto::RetentionPreview {
    let group = &previewed.group;
    let (expires, told) = match &previewed.outcome {
        Outcome::Keep { until, because } => {
            let decided =
                Decided { because: because.clone(), until: *until, policy: previewed.policy.clone() };
            (false, kept(site, &decided))
        }
        Outcome::Expire(why) => {
            let policy = previewed.policy.as_ref().map(|policy| policy_name(site, policy));
            let policy = policy.unwrap_or_default();
            (true, proto::Retention { expiry: expiry(*why).into(), policy, ..Default::default() })
        }
    };
    proto::RetentionPreview {
        archive: ArchiveName { site: site.clone(), archive: previewed.archive.clone() }.to_string(),
        area: convert::optional_area(Some(group.area)).into(),
        course: course(site, group.course.as_ref()),
        owner: group.owner.clone().unwrap_or_default(),
        expires,
        retention: Some(told),
    }
}

fn policy_name(site: &SiteId, policy: &PolicyId) -> String {
    PolicyName { site: site.clone(), policy: policy.clone() }.to_string()
}

fn course(site: &SiteId, course: Option<&crate::ids::CourseId>) -> String {
    let name = |course: &crate::ids::CourseId| CourseName { site: site.clone(), course: course.clone() };
    course.map(|course| name(course).to_string()).unwrap_or_default()
}

const fn reason(reason: Reason) -> proto::RetentionReason {
    use proto::RetentionReason as Wire;
    match reason {
        Reason::Held => Wire::Held,
        Reason::LegalMinimum => Wire::LegalMinimum,
        Reason::KeepAtLeast => Wire::KeepAtLeast,
        Reason::Undeleted => Wire::Undeleted,
        Reason::KeepLast => Wire::KeepLast,
        Reason::KeepWithin => Wire::KeepWithin,
        Reason::Daily => Wire::Daily,
        Reason::Weekly => Wire::Weekly,
        Reason::Monthly => Wire::Monthly,
        Reason::Yearly => Wire::Yearly,
        Reason::NothingBetter => Wire::NothingBetter,
        Reason::NoRule => Wire::NoRule,
    }
}

const fn expiry(expiry: Expiry) -> proto::ExpiryReason {
    match expiry {
        Expiry::MaxAge => proto::ExpiryReason::MaxAge,
        Expiry::NotKept => proto::ExpiryReason::NotKept,
    }
}
