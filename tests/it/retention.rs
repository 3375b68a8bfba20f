//! How long archives are kept, through the front door; time goes by as the test says.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use coursevault::clock::Timestamp;
use coursevault::proto::policy_service_client::PolicyServiceClient;
use coursevault::proto::*;
use tonic::Code;
use tonic::transport::Channel;

use crate::access::{as_whom, store};
use crate::app::TestApp;
use crate::areas::{in_area, on_postgres, on_sqlite};
use crate::client::*;
use crate::errors::{Detail, refused, refused_with};

const DAY: i64 = 86_400_000;

pub fn policies(app: &TestApp) -> PolicyServiceClient<Channel> {
    PolicyServiceClient::new(app.channel.clone())
}

/// So many days after now, by the clock of the catalog.
async fn in_days(app: &TestApp, days: i64) -> Result<Timestamp> {
    Ok(app.engine.catalog().now().await?.plus_millis(days * DAY))
}

fn wire(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: time.secs(), nanos: 0 }
}

fn policy(rules: RetentionRules) -> RetentionPolicy {
    RetentionPolicy {
        name: format!("{MAIN}/retentionPolicies/few"),
        area: Area::Course.into(),
        rules: Some(rules),
        ..Default::default()
    }
}

fn create(policy: &RetentionPolicy) -> CreateRetentionPolicyRequest {
    CreateRetentionPolicyRequest {
        parent: MAIN.into(),
        policy_id: "few".into(),
        policy: Some(policy.clone()),
        ..Default::default()
    }
}

/// What would expire then, under that policy if one is proposed.
async fn expiring(
    app: &TestApp,
    time: Timestamp,
    proposed: Option<RetentionPolicy>,
) -> Result<BTreeSet<String>> {
    let mut request = PreviewRetentionRequest {
        parent: MAIN.into(),
        time: Some(wire(time)),
        proposed,
        only_expiring: true,
        page_size: 2,
        ..Default::default()
    };
    let mut found = BTreeSet::new();
    loop {
        let page = policies(app).preview_retention(as_whom("root", request.clone())?).await?.into_inner();
        ensure!(page.previews.iter().all(|one| one.expires && one.retention.is_some()));
        found.extend(page.previews.into_iter().map(|one| one.archive));
        if page.next_page_token.is_empty() {
            return Ok(found);
        }
        request.page_token = page.next_page_token;
    }
}

async fn get(app: &TestApp, name: &str) -> Result<Archive> {
    let request = as_whom("root", GetArchiveRequest { name: name.into() })?;
    app.backups().get_archive(request).await?.into_inner().archive.context("an archive")
}

async fn run(app: &TestApp) -> Result<Job> {
    let request = RunRetentionRequest { parent: MAIN.into(), ..Default::default() };
    let name = policies(app).run_retention(as_whom("root", request)?).await?.into_inner().job;
    let request = as_whom("root", WaitJobRequest { name, timeout: None })?;
    let job = app.jobs().wait_job(request).await?.into_inner().job.context("a job")?;
    ensure!(job.state() == job::State::Succeeded, "{job:?}");
    Ok(job)
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_expire_as_previewed_on_sqlite() -> Result<()> {
    expires_as_previewed(on_sqlite().await?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_expire_as_previewed_on_postgres() -> Result<()> {
    expires_as_previewed(on_postgres().await?).await
}

async fn expires_as_previewed(app: TestApp) -> Result<()> {
    let mut names = Vec::new();
    for _ in 0..4 {
        names.push(store(&app, "root", in_area(Area::Course)).await?.name);
    }
    let dropped = store(&app, "anna", in_area(Area::DropZone)).await?.name;
    // The defaults: a year in the course area, 30 days in the drop zone. Every archive says so at once.
    let told = get(&app, &names[0]).await?;
    let (stored, told) = (told.create_time.context("a time")?, told.retention.context("retention")?);
    ensure!(told.reasons().eq([RetentionReason::KeepWithin]) && told.policy.is_empty(), "{told:?}");
    let days = (told.expire_time.context("a time")?.seconds - stored.seconds) / 86_400;
    ensure!((365..=366).contains(&days), "{days}");
    ensure!(expiring(&app, in_days(&app, 29).await?, None).await?.is_empty());
    ensure!(expiring(&app, in_days(&app, 31).await?, None).await? == BTreeSet::from([dropped.clone()]));

    // What is only proposed changes nothing; what is made does what the preview told.
    let held = names[0].clone();
    let hold = PlaceHoldRequest { name: held.clone(), reason: "an appeal".into(), ..Default::default() };
    app.backups().place_hold(as_whom("root", hold)?).await?;
    let few = policy(RetentionRules { keep_last: 1, ..Default::default() });
    let foreseen = expiring(&app, in_days(&app, 0).await?, Some(few.clone())).await?;
    ensure!(foreseen == BTreeSet::from([names[1].clone(), names[2].clone()]), "{foreseen:?}");
    ensure!(get(&app, &names[1]).await?.delete_time.is_none());
    let made =
        policies(&app).create_retention_policy(as_whom("root", create(&few))?).await?.into_inner().policy;
    let made = made.context("a policy")?;
    run(&app).await?;
    for name in &names {
        let archive = get(&app, name).await?;
        let told = archive.retention.context("retention")?;
        ensure!(archive.delete_time.is_some() == foreseen.contains(name), "{name}");
        if foreseen.contains(name) {
            ensure!(told.expiry() == ExpiryReason::NotKept && told.policy == made.name, "{told:?}");
        }
    }
    ensure!(get(&app, &held).await?.retention.context("retention")?.reasons().eq([RetentionReason::Held]));
    let newest = get(&app, &names[3]).await?.retention.context("retention")?;
    ensure!(newest.reasons().eq([RetentionReason::KeepLast]) && newest.expire_time.is_none(), "{newest:?}");
    // Running again changes nothing.
    ensure!(run(&app).await?.result.context("a result")?.findings.is_empty());

    // One that somebody undeletes stays for a time; a new one takes the place of the newest at once.
    let undelete = UndeleteArchiveRequest { name: names[1].clone(), ..Default::default() };
    app.backups().undelete_archive(as_whom("root", undelete)?).await?;
    run(&app).await?;
    let spared = get(&app, &names[1]).await?.retention.context("retention")?;
    ensure!(spared.reasons().eq([RetentionReason::Undeleted]), "{spared:?}");
    let next = store(&app, "root", in_area(Area::Course)).await?.name;
    ensure!(
        get(&app, &names[3]).await?.delete_time.is_some() && get(&app, &next).await?.delete_time.is_none()
    );

    // After the grace period what was deleted is gone, whatever was deleted by whom; what is held is not.
    let later = in_days(&app, 61).await?;
    let foreseen = expiring(&app, later, None).await?;
    ensure!(foreseen == BTreeSet::from([dropped.clone(), names[1].clone()]), "{foreseen:?}");
    let site = "main".parse()?;
    let done = app.engine.retain(&site, later).await?;
    ensure!((done.expired, done.purged) == (2, 2), "{done:?}");
    for gone in [&names[2], &names[3]] {
        let answer =
            app.backups().get_archive(as_whom("root", GetArchiveRequest { name: gone.clone() })?).await;
        refused(answer, Code::NotFound, "ARCHIVE_NOT_FOUND")?;
    }
    ensure!(get(&app, &held).await?.delete_time.is_none());
    let tombstones = app.journal_text()?;
    ensure!(
        names[2..4]
            .iter()
            .all(|name| tombstones.contains(&format!(r#""kind":"archive_purged","archive":"{name}""#)))
    );
    let done = app.engine.retain(&site, later).await?;
    ensure!((done.expired, done.purged) == (0, 0), "{done:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_purged_before_the_law_allows_it() -> Result<()> {
    let app = on_sqlite().await?;
    let period = |years| Some(Period { years, ..Default::default() });
    let whole = RetentionPolicy {
        area: Area::Unspecified.into(),
        ..policy(RetentionRules { legal_minimum: period(2), max_age: period(1), ..Default::default() })
    };
    let made =
        policies(&app).create_retention_policy(as_whom("root", create(&whole))?).await?.into_inner().policy;
    let made = made.context("a policy")?;
    let name = store(&app, "anna", in_area(Area::Private)).await?.name;
    let told = get(&app, &name).await?.retention.context("retention")?;
    ensure!(told.reasons().any(|reason| reason == RetentionReason::LegalMinimum), "{told:?}");
    let delete = DeleteArchiveRequest { name: name.clone(), ..Default::default() };
    let deleted = app.backups().delete_archive(as_whom("anna", delete)?).await?.into_inner().archive;
    let deleted = deleted.context("an archive")?;
    let days = (deleted.purge_time.context("a time")?.seconds
        - deleted.create_time.context("a time")?.seconds)
        / 86_400;
    ensure!((730..=731).contains(&days), "{days}");
    // A longer one that comes later counts, too.
    let longer = RetentionPolicy {
        etag: made.etag.clone(),
        rules: Some(RetentionRules { legal_minimum: period(3), ..Default::default() }),
        ..Default::default()
    };
    let update = |etag: &str| UpdateRetentionPolicyRequest {
        policy: Some(RetentionPolicy { name: made.name.clone(), etag: etag.into(), ..longer.clone() }),
        ..Default::default()
    };
    let answer = policies(&app).update_retention_policy(as_whom("root", update(""))?).await;
    refused_with(answer, Code::InvalidArgument, "FIELD_INVALID", &Detail::Field("policy.etag"))?;
    let answer = policies(&app).update_retention_policy(as_whom("root", update("\"7\""))?).await;
    refused(answer, Code::Aborted, "ETAG_MISMATCH")?;
    policies(&app).update_retention_policy(as_whom("root", update(&made.etag))?).await?;
    let site = "main".parse()?;
    for (days, purged) in [(800, 0), (1100, 1)] {
        let done = app.engine.retain(&site, in_days(&app, days).await?).await?;
        ensure!(done.purged == purged, "{days} {done:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_are_made_by_administrators_and_once() -> Result<()> {
    let app = on_sqlite().await?;
    let few = policy(RetentionRules { keep_last: 1, ..Default::default() });
    let answer = policies(&app).create_retention_policy(as_whom("anna", create(&few))?).await;
    refused(answer, Code::PermissionDenied, "PERMISSION_DENIED")?;
    let rehearsed = CreateRetentionPolicyRequest { validate_only: true, ..create(&few) };
    policies(&app).create_retention_policy(as_whom("root", rehearsed)?).await?;
    let made =
        policies(&app).create_retention_policy(as_whom("root", create(&few))?).await?.into_inner().policy;
    let made = made.context("a policy")?;
    // Neither one of that id, nor another one for the same archives; the one that is in the way is named.
    for id in ["few", "other"] {
        let again = CreateRetentionPolicyRequest { policy_id: id.into(), ..create(&few) };
        let answer = policies(&app).create_retention_policy(as_whom("root", again)?).await;
        refused_with(answer, Code::AlreadyExists, "POLICY_EXISTS", &Detail::Resource(&made.name))?;
    }
    let wrong = policy(RetentionRules {
        keep_last: -1,
        max_age: Some(Period { days: -2, ..Default::default() }),
        ..Default::default()
    });
    let answer = policies(&app).create_retention_policy(as_whom("root", create(&wrong))?).await;
    refused_with(
        answer,
        Code::InvalidArgument,
        "FIELD_INVALID",
        &Detail::Field("policy.rules.max_age.days"),
    )?;
    let listed = ListRetentionPoliciesRequest { parent: MAIN.into(), ..Default::default() };
    let listed = policies(&app).list_retention_policies(as_whom("anna", listed)?).await?.into_inner();
    ensure!(listed.policies == [made.clone()], "{listed:?}");
    let delete = |etag: &str| DeleteRetentionPolicyRequest {
        name: made.name.clone(),
        etag: etag.into(),
        ..Default::default()
    };
    policies(&app).delete_retention_policy(as_whom("root", delete(&made.etag))?).await?;
    let answer = policies(&app).delete_retention_policy(as_whom("root", delete(&made.etag))?).await;
    refused_with(answer, Code::NotFound, "POLICY_NOT_FOUND", &Detail::Resource(&made.name))?;
    let journal = app.journal_text()?;
    ensure!(journal.contains("policy_written") && journal.contains("policy_deleted"));
    Ok(())
}
