//! `policy` and `schedule`: how long archives are kept, and when courses are backed up by themselves.

use super::args::{PolicyAction, PolicyRules, ScheduleAction};
use super::client::{Server, request_id};
use super::output::Output;
use super::paging::{self, PAGE};
use super::table::{Column, Table};
use super::words::{rows, word};
use super::{json, names, units};
use crate::proto;

/// `policy`.
pub async fn policy(server: &Server, action: &PolicyAction, output: Output) -> anyhow::Result<()> {
    match action {
        PolicyAction::Ls => list(server, output).await,
        PolicyAction::Set { id, rules } => set(server, id, rules, output).await,
        PolicyAction::Rm { id } => remove(server, id, output).await,
        PolicyAction::Preview { days, all } => preview(server, *days, *all, output).await,
        PolicyAction::Run => {
            let request = proto::RunRetentionRequest { parent: server.site_name(), request_id: request_id() };
            let answer = server.policies().run_retention(request).await?.into_inner();
            if output.is_json() {
                return Ok(output.document(&json::value(&answer)?)?);
            }
            Ok(output.text(&rows(&[("job", answer.job)]))?)
        }
    }
}

async fn all(server: &Server) -> anyhow::Result<Vec<proto::RetentionPolicy>> {
    let all = paging::all(async |page_token| {
        let parent = server.site_name();
        let request = proto::ListRetentionPoliciesRequest { parent, page_size: PAGE, page_token };
        let page = server.policies().list_retention_policies(request).await?.into_inner();
        Ok((page.policies, page.next_page_token))
    })
    .await?;
    Ok(all)
}

async fn list(server: &Server, output: Output) -> anyhow::Result<()> {
    let policies = all(server).await?;
    if output.is_json() {
        return Ok(output.document(&serde_json::json!({ "policies": json::values(&policies)? }))?);
    }
    let mut table = Table::new(&[
        ("POLICY", Column::Whole),
        ("AREA", Column::Whole),
        ("CATEGORY", Column::Whole),
        ("COURSE", Column::Whole),
        ("RULES", Column::Text),
    ]);
    for policy in &policies {
        table.row([
            names::short(&policy.name).to_owned(),
            if policy.area == 0 { "all".to_owned() } else { word(policy.area().as_str_name(), "AREA_") },
            policy.category.clone(),
            names::short(&policy.course).to_owned(),
            policy.rules.as_ref().map(rules_text).unwrap_or_default(),
        ]);
    }
    Ok(output.table(&table)?)
}

/// Rules in one line, such as `last 3, within 1y`.
fn rules_text(rules: &proto::RetentionRules) -> String {
    let period = |period: &proto::Period| {
        let parts = [(period.years, "y"), (period.months, "m"), (period.days, "d")];
        parts
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, unit)| format!("{count}{unit}"))
            .collect::<String>()
    };
    let counts = [
        ("last", rules.keep_last),
        ("daily", rules.daily),
        ("weekly", rules.weekly),
        ("monthly", rules.monthly),
        ("yearly", rules.yearly),
        ("at least", rules.keep_at_least),
    ];
    let periods = [
        ("within", &rules.keep_within),
        ("at most", &rules.max_age),
        ("legal minimum", &rules.legal_minimum),
    ];
    let counts = counts.iter().filter(|(_, count)| *count > 0).map(|(what, count)| format!("{what} {count}"));
    let periods =
        periods.iter().filter_map(|(what, span)| Some(format!("{what} {}", period(span.as_ref()?))));
    counts.chain(periods).collect::<Vec<_>>().join(", ")
}

/// Makes a policy, or changes the one of that id as a whole.
async fn set(server: &Server, id: &str, wanted: &PolicyRules, output: Output) -> anyhow::Result<()> {
    let days = |days: Option<i32>| days.map(|days| proto::Period { days, ..Default::default() });
    let course = wanted.course.as_ref().map(|id| names::course(&server.site, id)).transpose()?;
    let name = format!("{}/retentionPolicies/{id}", server.site_name());
    let policy = proto::RetentionPolicy {
        name: name.clone(),
        area: wanted.area.map_or(proto::Area::Unspecified, proto::Area::from).into(),
        category: wanted.category.clone(),
        course: course.map_or_else(String::new, |name| name.to_string()),
        rules: Some(proto::RetentionRules {
            keep_last: wanted.keep_last,
            keep_within: days(wanted.keep_days),
            daily: wanted.daily,
            weekly: wanted.weekly,
            monthly: wanted.monthly,
            yearly: wanted.yearly,
            max_age: days(wanted.max_days),
            keep_at_least: wanted.keep_at_least,
            legal_minimum: days(wanted.legal_days),
        }),
        ..Default::default()
    };
    let known = all(server).await?.into_iter().find(|known| known.name == name);
    let made = match known {
        None => {
            let request = proto::CreateRetentionPolicyRequest {
                parent: server.site_name(),
                policy_id: id.to_owned(),
                policy: Some(policy),
                validate_only: false,
                request_id: request_id(),
            };
            server.policies().create_retention_policy(request).await?.into_inner().policy
        }
        Some(known) => {
            let request = proto::UpdateRetentionPolicyRequest {
                policy: Some(proto::RetentionPolicy {
                    etag: known.etag,
                    display_name: known.display_name,
                    ..policy
                }),
                update_mask: Some(prost_types::FieldMask { paths: vec!["*".to_owned()] }),
                validate_only: false,
                request_id: request_id(),
            };
            server.policies().update_retention_policy(request).await?.into_inner().policy
        }
    };
    let made = made.unwrap_or_default();
    if output.is_json() {
        return Ok(output.document(&json::value(&made)?)?);
    }
    let shown = made.rules.as_ref().map(rules_text).unwrap_or_default();
    Ok(output.text(&rows(&[("policy", made.name), ("rules", shown)]))?)
}

async fn remove(server: &Server, id: &str, output: Output) -> anyhow::Result<()> {
    let name = format!("{}/retentionPolicies/{id}", server.site_name());
    let request = proto::GetRetentionPolicyRequest { name: name.clone() };
    let seen = server.policies().get_retention_policy(request).await?.into_inner().policy.unwrap_or_default();
    let request =
        proto::DeleteRetentionPolicyRequest { name, etag: seen.etag.clone(), request_id: request_id() };
    server.policies().delete_retention_policy(request).await?;
    if output.is_json() {
        return Ok(output.document(&json::value(&seen)?)?);
    }
    Ok(output.text(&rows(&[("removed", seen.name)]))?)
}

/// What would expire now, or in some days.
async fn preview(server: &Server, days: i64, everything: bool, output: Output) -> anyhow::Result<()> {
    let then = chrono::Utc::now() + chrono::TimeDelta::days(days);
    let found = paging::all(async |page_token| {
        let request = proto::PreviewRetentionRequest {
            parent: server.site_name(),
            time: (days != 0).then(|| prost_types::Timestamp { seconds: then.timestamp(), nanos: 0 }),
            only_expiring: !everything,
            page_size: PAGE,
            page_token,
            ..Default::default()
        };
        let page = server.policies().preview_retention(request).await?.into_inner();
        Ok((page.previews, page.next_page_token))
    })
    .await?;
    if output.is_json() {
        return Ok(output.document(&serde_json::json!({ "previews": json::values(&found)? }))?);
    }
    let mut table = Table::new(&[
        ("ARCHIVE", Column::Whole),
        ("AREA", Column::Whole),
        ("COURSE", Column::Text),
        ("", Column::Whole),
        ("WHY", Column::Text),
        ("UNTIL", Column::Whole),
    ]);
    for one in &found {
        let told = one.retention.clone().unwrap_or_default();
        let why = if one.expires {
            word(told.expiry().as_str_name(), "EXPIRY_REASON_")
        } else {
            told.reasons()
                .map(|why| word(why.as_str_name(), "RETENTION_REASON_"))
                .collect::<Vec<_>>()
                .join(", ")
        };
        table.row([
            names::short(&one.archive).to_owned(),
            word(one.area().as_str_name(), "AREA_"),
            names::short(&one.course).to_owned(),
            if one.expires { "expires".to_owned() } else { "stays".to_owned() },
            why,
            units::time(told.expire_time.as_ref()),
        ]);
    }
    Ok(output.table(&table)?)
}

/// `schedule`.
pub async fn schedule(
    server: &Server,
    action: Option<&ScheduleAction>,
    output: Output,
) -> anyhow::Result<()> {
    let name = format!("{}/schedule", server.site_name());
    let paused = match action {
        Some(ScheduleAction::Run { courses }) => {
            let courses = courses.iter().map(|id| Ok(names::course(&server.site, id)?.to_string()));
            let courses = courses.collect::<anyhow::Result<Vec<_>>>()?;
            let request = proto::RunScheduleRequest { name, courses };
            let answer = server.policies().run_schedule(request).await?.into_inner();
            if output.is_json() {
                return Ok(output.document(&json::value(&answer)?)?);
            }
            let mut shown: Vec<_> = answer.jobs.iter().map(|job| ("job", job.clone())).collect();
            if shown.is_empty() {
                shown.push(("courses", answer.course_count.to_string()));
            }
            return Ok(output.text(&rows(&shown))?);
        }
        Some(ScheduleAction::Pause) => Some(true),
        Some(ScheduleAction::Resume) => Some(false),
        None => None,
    };
    let request = proto::GetScheduleRequest { name: name.clone() };
    let mut schedule =
        server.policies().get_schedule(request).await?.into_inner().schedule.unwrap_or_default();
    if let Some(paused) = paused {
        let request = proto::UpdateScheduleRequest {
            schedule: Some(proto::Schedule { name, etag: schedule.etag, paused, ..Default::default() }),
            update_mask: Some(prost_types::FieldMask { paths: vec!["paused".to_owned()] }),
            request_id: request_id(),
        };
        schedule =
            server.policies().update_schedule(request).await?.into_inner().schedule.unwrap_or_default();
    }
    if output.is_json() {
        return Ok(output.document(&json::value(&schedule)?)?);
    }
    let (hour, minute) = (schedule.start_minute / 60, schedule.start_minute % 60);
    Ok(output.text(&rows(&[
        ("paused", schedule.paused.to_string()),
        ("window", format!("{hour:02}:{minute:02}, {} minutes", schedule.window_minutes)),
        ("weekdays", format!("{:?}", schedule.weekdays)),
        ("catch up", format!("{} minutes", schedule.catch_up_minutes)),
        ("unchanged courses", if schedule.skip_unchanged { "are left out" } else { "too" }.to_owned()),
        ("hidden courses", if schedule.skip_hidden { "are left out" } else { "too" }.to_owned()),
    ]))?)
}
