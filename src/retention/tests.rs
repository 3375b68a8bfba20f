//! Cases that people would ask about, and what holds for any group of archives.

use std::collections::{BTreeMap, BTreeSet};

use chrono_tz::{Europe, Tz};
use proptest::prelude::*;

use super::*;
use crate::calendar::Period;
use crate::clock::Timestamp;
use crate::job::Area;

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

fn utc(text: &str) -> Timestamp {
    Timestamp::from_millis(text.parse::<chrono::DateTime<chrono::Utc>>().expect("a time").timestamp_millis())
}

fn good(id: u32, create_time: Timestamp) -> Candidate<u32> {
    Candidate { id, create_time, good: true, held: false, spared_until: None }
}

fn bad(id: u32, create_time: Timestamp) -> Candidate<u32> {
    Candidate { good: false, ..good(id, create_time) }
}

fn with(rules: Rules) -> Effective {
    let legal = rules.legal_minimum.into_iter().collect();
    Effective { rules, legal }
}

fn kept(decisions: &[Decision<u32>]) -> Vec<u32> {
    let mut ids: Vec<u32> =
        decisions.iter().filter(|decision| decision.is_kept()).map(|decision| decision.id).collect();
    ids.sort_unstable();
    ids
}

fn reasons(decisions: &[Decision<u32>], id: u32) -> Vec<&'static str> {
    let told = decisions.iter().find(|decision| decision.id == id).map(|decision| &decision.outcome);
    match told {
        Some(Outcome::Keep { because, .. }) => because.iter().map(|reason| reason.as_str()).collect(),
        Some(Outcome::Expire(reason)) => vec![reason.as_str()],
        None => Vec::new(),
    }
}

#[test]
fn defaults_are_a_year_thirty_days_and_the_last_two() {
    let now = utc("2028-03-01T00:00:00Z");
    for (area, age, stays) in [
        (Area::Course, 365 * DAY, true),
        // From 1 March 2027 to 1 March 2028 it is 366 days.
        (Area::Course, 366 * DAY, false),
        (Area::Private, 366 * DAY, false),
        (Area::DropZone, 30 * DAY - 1, true),
        (Area::DropZone, 30 * DAY, false),
    ] {
        let policy = effective([], Subject { area, category: None, course: None });
        let decided = decide(&policy, Tz::UTC, &[good(1, now.plus_millis(-age))], now);
        assert_eq!(decided[0].is_kept(), stays, "{area} {age}");
    }
    let policy = effective([], Subject { area: Area::Automated, category: None, course: None });
    let nights: Vec<_> = (1..=4).map(|id| good(id, now.plus_millis(i64::from(id) * DAY))).collect();
    let decided = decide(&policy, Tz::UTC, &nights, now);
    assert_eq!(kept(&decided), [3, 4]);
    assert!(matches!(decided[0].outcome, Outcome::Keep { until: None, .. }));
}

#[test]
fn archives_that_are_not_good_are_never_counted() {
    let now = utc("2027-01-10T00:00:00Z");
    let at = |day: i64| now.plus_millis((day - 10) * DAY);
    let policy = with(Rules { keep_last: 2, ..Rules::default() });
    let group = [good(1, at(1)), good(2, at(2)), bad(3, at(3)), good(4, at(4)), bad(5, at(5)), bad(6, at(6))];
    let decided = decide(&policy, Tz::UTC, &group, now);
    // 3 is older than a good one; 5 and 6 are seen until the next good one.
    assert_eq!(kept(&decided), [2, 4, 5, 6]);
    assert_eq!(reasons(&decided, 6), ["NOTHING_BETTER"]);
    assert_eq!(reasons(&decided, 3), ["NOT_KEPT"]);
}

#[test]
fn days_are_those_of_the_sites_time_zone() {
    // 23:30 and 00:30 in Paris, on both sides of midnight there, on one day by UTC.
    let evening = good(1, utc("2027-06-01T21:30:00Z"));
    let night = good(2, utc("2027-06-01T22:30:00Z"));
    let group = [evening, night];
    let now = utc("2027-06-10T00:00:00Z");
    let policy = with(Rules { daily: 5, ..Rules::default() });
    assert_eq!(kept(&decide(&policy, Europe::Paris, &group, now)), [1, 2]);
    assert_eq!(kept(&decide(&policy, Tz::UTC, &group, now)), [2]);
}

#[test]
fn the_day_of_25_hours_is_one_day_and_the_day_of_23_hours_too() {
    let policy = with(Rules { daily: 10, ..Rules::default() });
    for (from, hours) in [("2027-10-30T22:00:00Z", 25), ("2027-03-27T23:00:00Z", 23)] {
        let start = utc(from);
        let group: Vec<_> =
            (0..hours + 1).map(|hour: u32| good(hour, start.plus_millis(i64::from(hour) * HOUR))).collect();
        let decided = decide(&policy, Europe::Paris, &group, start.plus_millis(90 * DAY));
        assert_eq!(kept(&decided), [hours - 1, hours], "{from}");
    }
}

#[test]
fn a_year_ends_at_the_same_local_time_across_changes_of_the_clocks() {
    let policy = with(Rules {
        legal_minimum: Some(Period { months: 1, ..Period::default() }),
        daily: 1,
        ..Rules::default()
    });
    let group = [good(1, utc("2027-03-15T11:00:00Z")), good(2, utc("2027-05-01T00:00:00Z"))];
    let end = utc("2027-04-15T10:00:00Z");
    let before = decide(&policy, Europe::Paris, &group, end.plus_millis(-1));
    assert_eq!(reasons(&before, 1), ["LEGAL_MINIMUM"]);
    assert_eq!(before[1].outcome, Outcome::Keep { until: Some(end), because: vec![Reason::LegalMinimum] });
    assert_eq!(reasons(&decide(&policy, Europe::Paris, &group, end), 1), ["NOT_KEPT"]);
}

#[test]
fn ages_end_what_rules_keep_but_not_floors_holds_and_the_law() {
    let now = utc("2027-01-01T00:00:00Z");
    let rules = Rules {
        keep_last: 9,
        max_age: Some(Period::of_days(10)),
        legal_minimum: Some(Period::of_days(30)),
        keep_at_least: 1,
        ..Rules::default()
    };
    let old = |id: u32, days: i64| good(id, now.plus_millis(-days * DAY));
    let group = [
        old(1, 20),
        old(2, 40),
        Candidate { held: true, ..old(3, 50) },
        old(4, 60),
        Candidate { spared_until: Some(now.plus_millis(DAY)), ..old(5, 70) },
        Candidate { spared_until: Some(now), ..old(6, 80) },
    ];
    let decided = decide(&with(rules), Tz::UTC, &group, now);
    assert_eq!(reasons(&decided, 1), ["LEGAL_MINIMUM", "KEEP_AT_LEAST"]);
    assert_eq!(reasons(&decided, 2), ["MAX_AGE"]);
    assert_eq!(reasons(&decided, 3), ["HELD"]);
    assert_eq!(reasons(&decided, 4), ["MAX_AGE"]);
    assert_eq!(reasons(&decided, 5), ["UNDELETED"]);
    assert_eq!(reasons(&decided, 6), ["MAX_AGE"]);
    let only_age = Rules { max_age: Some(Period::of_days(45)), ..Rules::default() };
    let decided = decide(&with(only_age), Tz::UTC, &group[..2], now);
    assert_eq!(reasons(&decided, 2), ["NO_RULE"]);
    assert_eq!(reasons(&decide(&with(Rules::default()), Tz::UTC, &group, now), 4), ["NO_RULE"]);
}

#[test]
fn the_narrowest_policy_decides_and_minimums_add_up() -> Result<(), crate::ids::InvalidName> {
    let course = "algebra".parse()?;
    let last = |keep_last| Rules { keep_last, ..Rules::default() };
    let scope = |area, category: Option<&str>, with_course: bool| Scope {
        area,
        category: category.map(Into::into),
        course: with_course.then(|| "algebra".parse()).transpose().ok().flatten(),
    };
    let legal = Rules { legal_minimum: Some(Period::of_years(1)), keep_at_least: 3, ..last(1) };
    let all = [
        (scope(None, None, false), legal),
        (scope(Some(Area::Course), None, false), last(2)),
        (scope(None, Some("7"), false), last(3)),
        (scope(Some(Area::Course), Some("7"), false), last(4)),
        (scope(None, None, true), last(5)),
        (scope(Some(Area::Course), None, true), last(6)),
    ];
    let subject = Subject { area: Area::Course, category: Some("7"), course: Some(&course) };
    for count in 1..=6 {
        let told = effective(all[..count].iter().map(|(scope, rules)| (scope, rules)), subject);
        assert_eq!(told.rules.keep_last as usize, count);
        assert_eq!((told.rules.keep_at_least, told.legal), (3, vec![Period::of_years(1)]));
    }
    let elsewhere = Subject { area: Area::Private, category: Some("8"), course: None };
    let told = effective(all.iter().map(|(scope, rules)| (scope, rules)), elsewhere);
    assert_eq!(told.rules.keep_last, 1);
    let faults =
        Rules { max_age: Some(Period::default()), keep_within: Some(Period::of_years(9999)), ..last(1) };
    assert_eq!(faults.faults().len(), 2);
    Ok(())
}

// ---- what holds for any group ----

fn periods() -> impl Strategy<Value = Option<Period>> {
    let period =
        (0_u32..2, 0_u32..4, 0_u32..40).prop_map(|(years, months, days)| Period { years, months, days });
    prop::option::weighted(0.4, period.prop_filter("some time", |period| !period.is_nothing()))
}

fn rules() -> impl Strategy<Value = Rules> {
    let counts = || prop_oneof![3 => Just(0_u32), 2 => 1_u32..4];
    let counted = (counts(), counts(), counts(), counts(), counts(), counts());
    (counted, periods(), periods(), periods()).prop_map(
        |(
            (keep_last, daily, weekly, monthly, yearly, keep_at_least),
            keep_within,
            max_age,
            legal_minimum,
        )| Rules {
            keep_last,
            keep_within,
            daily,
            weekly,
            monthly,
            yearly,
            max_age,
            keep_at_least,
            legal_minimum,
        },
    )
}

/// Times within some two years, often close together, also around changes of the clocks.
fn times() -> impl Strategy<Value = Timestamp> {
    let base = utc("2026-01-01T00:00:00Z");
    prop_oneof![
        (0_i64..700 * 24).prop_map(move |hour| base.plus_millis(hour * HOUR)),
        (0_i64..40).prop_map(|step| utc("2026-10-24T22:00:00Z").plus_millis(step * HOUR / 2)),
        (0_i64..40).prop_map(|step| utc("2026-03-28T22:00:00Z").plus_millis(step * HOUR / 2)),
    ]
}

fn group() -> impl Strategy<Value = Vec<Candidate<u32>>> {
    let one =
        (times(), prop::bool::weighted(0.8), prop::bool::weighted(0.1), prop::option::weighted(0.1, times()));
    prop::collection::vec(one, 0..25).prop_map(|all| {
        let numbered = all.into_iter().zip(0..);
        numbered
            .map(|((create_time, good, held, spared_until), id)| Candidate {
                id,
                create_time,
                good,
                held,
                spared_until,
            })
            .collect()
    })
}

fn zones() -> impl Strategy<Value = Tz> {
    prop::sample::select(vec![
        Tz::UTC,
        Europe::Paris,
        Tz::America__New_York,
        Tz::Pacific__Apia,
        Tz::Asia__Kathmandu,
    ])
}

/// A policy as scopes make it: perhaps with a wider policy's legal minimum.
fn policies() -> impl Strategy<Value = Effective> {
    (rules(), periods()).prop_map(|(rules, wider)| {
        let legal = rules.legal_minimum.into_iter().chain(wider).collect();
        Effective { rules, legal }
    })
}

fn by_id(decisions: Vec<Decision<u32>>) -> BTreeMap<u32, Outcome> {
    decisions.into_iter().map(|decision| (decision.id, decision.outcome)).collect()
}

fn nows() -> impl Strategy<Value = Timestamp> {
    (0_i64..900 * 24).prop_map(|hour| utc("2026-01-01T00:00:00Z").plus_millis(hour * HOUR + 1))
}

proptest! {
    #[test]
    fn holds_floors_and_the_law_win(policy in policies(), group in group(), zone in zones(), now in nows()) {
        let decided = by_id(decide(&policy, zone, &group, now));
        prop_assert_eq!(decided.len(), group.len());
        let stays = |id: u32| matches!(decided[&id], Outcome::Keep { .. });
        for archive in &group {
            let lawful = policy.legal.iter().any(|period| period.after(zone, archive.create_time) > now);
            if archive.held || lawful || archive.spared_until.is_some_and(|until| until > now) {
                prop_assert!(stays(archive.id), "{:?}", archive);
            }
        }
        let mut newest: Vec<_> = group.iter().filter(|archive| archive.good).collect();
        newest.sort_by_key(|archive| std::cmp::Reverse((archive.create_time, archive.id)));
        for archive in newest.iter().take(policy.rules.keep_at_least as usize) {
            prop_assert!(stays(archive.id), "floor {:?}", archive);
        }
        // Without ages the newest good one stays as soon as anything is counted.
        if policy.rules.max_age.is_none() && policy.rules.counts().iter().any(|count| *count > 0) {
            prop_assert!(newest.first().is_none_or(|archive| stays(archive.id)));
        }
        for outcome in decided.values() {
            if let Outcome::Keep { until, because } = outcome {
                prop_assert!(!because.is_empty());
                prop_assert!(until.is_none_or(|until| until > now));
            }
        }
    }

    #[test]
    fn the_order_of_archives_changes_nothing(
        policy in policies(), (group, mixed) in group().prop_flat_map(|group| (Just(group.clone()), Just(group).prop_shuffle())),
        zone in zones(), now in nows(),
    ) {
        prop_assert_eq!(decide(&policy, zone, &group, now), decide(&policy, zone, &mixed, now));
    }

    #[test]
    fn deciding_again_after_what_expired_is_gone_changes_nothing(
        policy in policies(), group in group(), zone in zones(), now in nows(),
    ) {
        let first = by_id(decide(&policy, zone, &group, now));
        let left: Vec<_> =
            group.into_iter().filter(|archive| matches!(first[&archive.id], Outcome::Keep { .. })).collect();
        let again = by_id(decide(&policy, zone, &left, now));
        let kept = again.values().all(|outcome| matches!(outcome, Outcome::Keep { .. }));
        prop_assert!(kept);
    }

    #[test]
    fn archives_that_are_not_good_change_nothing_for_good_ones(
        policy in policies(), group in group(), zone in zones(), now in nows(),
    ) {
        let only: Vec<_> = group.iter().filter(|archive| archive.good).cloned().collect();
        let (with_bad, without) = (by_id(decide(&policy, zone, &group, now)), by_id(decide(&policy, zone, &only, now)));
        for (id, outcome) in without {
            prop_assert_eq!(&with_bad[&id], &outcome);
        }
    }

    #[test]
    fn a_new_good_archive_takes_at_most_one_place_under_each_rule(
        policy in policies(), group in group(), zone in zones(), now in nows(),
    ) {
        let before = decide(&policy, zone, &group, now);
        let newest = group.iter().map(|archive| archive.create_time).max().unwrap_or(now);
        let mut grown = group.clone();
        grown.push(good(1000, newest.plus_millis(1)));
        let after = by_id(decide(&policy, zone, &grown, now));
        let is_good: BTreeSet<u32> = group.iter().filter(|archive| archive.good).map(|archive| archive.id).collect();
        let lost = before
            .iter()
            .filter(|decision| decision.is_kept() && is_good.contains(&decision.id))
            .filter(|decision| matches!(after[&decision.id], Outcome::Expire(_)))
            .count();
        let counting = policy.rules.counts().iter().filter(|count| **count > 0).count();
        prop_assert!(lost <= counting + usize::from(policy.rules.keep_at_least > 0), "{} {:?}", lost, policy);
        // What only time keeps stays.
        if counting == 0 && policy.rules.keep_at_least == 0 {
            prop_assert_eq!(lost, 0);
        }
    }

    #[test]
    fn a_decision_stays_until_the_time_that_it_tells(
        policy in policies(), group in group(), zone in zones(), now in nows(), later in 1_i64..400 * 24,
    ) {
        let later = now.plus_millis(later * HOUR);
        let told = by_id(decide(&policy, zone, &group, now));
        let then = by_id(decide(&policy, zone, &group, later));
        for (id, outcome) in told {
            let stays = match outcome {
                Outcome::Keep { until: None, .. } => true,
                Outcome::Keep { until: Some(until), .. } => later < until,
                Outcome::Expire(_) => false,
            };
            prop_assert_eq!(matches!(then[&id], Outcome::Keep { .. }), stays, "{}", id);
        }
    }

    #[test]
    fn where_nothing_is_counted_each_archive_is_decided_by_itself_and_the_newest_good_one(
        policy in policies(), group in group(), zone in zones(), now in nows(),
    ) {
        let mut policy = policy;
        policy.rules = Rules {
            keep_within: policy.rules.keep_within,
            max_age: policy.rules.max_age,
            ..Rules::default()
        };
        prop_assert!(!policy.counts_archives());
        let whole = by_id(decide(&policy, zone, &group, now));
        let newest = group.iter().filter(|archive| archive.good).max_by_key(|archive| (archive.create_time, archive.id));
        for archive in &group {
            let mut few: Vec<_> = newest.into_iter().cloned().collect();
            few.retain(|newest| newest.id != archive.id);
            few.push(archive.clone());
            prop_assert_eq!(&by_id(decide(&policy, zone, &few, now))[&archive.id], &whole[&archive.id]);
        }
    }
}
