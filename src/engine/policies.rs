//! Retention policies. Who changes one has all archives of the site looked at again, by a job that the change brings along.

use super::archives::check_version;
use super::error::Error;
use super::holds::check_text;
use super::{Call, Engine};
use crate::catalog::{JobRow, NewJob, PolicyRow, Tx};
use crate::ids::{JobName, PolicyName, SiteId};
use crate::job::{JobPayload, Priority};
use crate::reason::Reason;
use crate::retention::{Rules, Scope};
use crate::vault::journal::Event;

/// Most policies of a site: all of them are looked at with every decision.
const MOST: usize = 1000;

/// Most characters of a name for people.
pub(super) const DISPLAY_NAME: usize = 200;

/// Most characters of a platform's id of a category.
pub(super) const CATEGORY: usize = 100;

/// What somebody wants a policy to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedPolicy {
    /// For people.
    pub display_name: String,
    /// For which archives it is.
    pub scope: Scope,
    /// What it asks for.
    pub rules: Rules,
}

impl WantedPolicy {
    /// All that is wrong with it at once.
    pub(super) fn check(&self) -> Result<(), Error> {
        let mut wrong = Vec::new();
        let texts = [
            ("policy.display_name", &self.display_name, DISPLAY_NAME),
            ("policy.category", self.scope.category.as_ref().unwrap_or(&String::new()), CATEGORY),
        ]
        .map(|(field, text, most)| check_text(field, text, most));
        wrong.extend(texts.into_iter().filter_map(Result::err).flat_map(|error| error.violations));
        if self.scope.category.is_some() && self.scope.course.is_some() {
            wrong.push(("policy.category".into(), "must be empty for a policy of a course".into()));
        }
        let faults = self.rules.faults().into_iter();
        wrong.extend(faults.map(|(field, fault)| (format!("policy.rules.{field}"), fault.to_owned())));
        if wrong.is_empty() { Ok(()) } else { Err(Error::fields(wrong, 0)) }
    }
}

impl Engine {
    /// One policy.
    pub async fn get_policy(&self, name: &PolicyName) -> Result<PolicyRow, Error> {
        let row = self.catalog.get_policy(&name.site, &name.policy).await?;
        row.ok_or_else(|| Error::not_found(Reason::PolicyNotFound, name))
    }

    /// Policies of a site, by id.
    pub async fn list_policies(&self, site: &SiteId) -> Result<Vec<PolicyRow>, Error> {
        self.site(site).await?;
        Ok(self.catalog.all_policies(site).await?)
    }

    /// Makes a policy. With `validate_only` everything is checked and nothing made.
    pub async fn create_policy(
        &self,
        call: &Call,
        name: &PolicyName,
        wanted: &WantedPolicy,
        validate_only: bool,
    ) -> Result<PolicyRow, Error> {
        if self.replayed(call).await?.is_some() {
            return self.get_policy(name).await;
        }
        self.site(&name.site).await?;
        wanted.check()?;
        let now = self.now();
        let row = PolicyRow {
            site: name.site.clone(),
            policy: name.policy.clone(),
            display_name: wanted.display_name.clone(),
            scope: wanted.scope.clone(),
            rules: wanted.rules.clone(),
            author: call.principal.name.clone(),
            create_time: now,
            update_time: now,
            version: 1,
        };
        let mut tx = self.catalog.begin().await?;
        if tx.all_policies(&name.site).await?.len() >= MOST {
            let message = format!("sites/{} has {MOST} retention policies", name.site);
            return Err(Error::new(Reason::LimitPolicies, message).with("limit", &MOST).on(name));
        }
        tx.insert_policy(&row).await?;
        self.settle_policy(tx, call, name, written(&row), validate_only).await?;
        Ok(row)
    }

    /// Changes a policy; `version`: the one that the caller saw.
    pub async fn update_policy(
        &self,
        call: &Call,
        name: &PolicyName,
        change: impl Fn(&mut WantedPolicy),
        version: Option<i64>,
        validate_only: bool,
    ) -> Result<PolicyRow, Error> {
        if self.replayed(call).await?.is_some() {
            return self.get_policy(name).await;
        }
        let mut row = self.get_policy(name).await?;
        check_version(version, row.version, name)?;
        let mut wanted = WantedPolicy { display_name: row.display_name, scope: row.scope, rules: row.rules };
        change(&mut wanted);
        wanted.check()?;
        row.display_name = wanted.display_name;
        row.scope = wanted.scope;
        row.rules = wanted.rules;
        row.author.clone_from(&call.principal.name);
        row.update_time = self.now();
        row.version += 1;
        let mut tx = self.catalog.begin().await?;
        tx.update_policy(&row).await?;
        self.settle_policy(tx, call, name, written(&row), validate_only).await?;
        Ok(row)
    }

    /// Forgets a policy; `version`: the one that the caller saw.
    pub async fn delete_policy(
        &self,
        call: &Call,
        name: &PolicyName,
        version: Option<i64>,
    ) -> Result<(), Error> {
        if self.replayed(call).await?.is_some() {
            return Ok(());
        }
        let row = self.get_policy(name).await?;
        check_version(version, row.version, name)?;
        let mut tx = self.catalog.begin().await?;
        tx.delete_policy(&name.site, &name.policy, row.version).await?;
        self.settle_policy(tx, call, name, Event::PolicyDeleted { policy: name.clone() }, false).await
    }

    /// Makes a change of a policy true, with all that follows from it. Dropping the transaction was the rehearsal.
    async fn settle_policy(
        &self,
        mut tx: Tx,
        call: &Call,
        name: &PolicyName,
        event: Event,
        validate_only: bool,
    ) -> Result<(), Error> {
        if validate_only {
            return Ok(());
        }
        self.put_down(&mut tx, &name.site, call, event).await?;
        tx.mark_site(&name.site).await?;
        tx.insert_job(&self.retention_job(call, &name.site)).await?;
        call.record(&mut tx, &name.to_string(), self).await?;
        tx.commit().await?;
        tracing::info!(policy = %name, principal = call.principal.name, "a retention policy changed");
        self.flush_journal().await;
        self.job_changed();
        Ok(())
    }

    /// Asks for a look at all archives of a site whose time it is.
    pub async fn ask_for_retention(&self, call: &Call, site: &SiteId) -> Result<JobRow, Error> {
        if let Some(row) = self.replayed_job(call).await? {
            return Ok(row);
        }
        self.site(site).await?;
        let job = NewJob { priority: Priority::Requested, ..self.retention_job(call, site) };
        let name = JobName { site: site.clone(), job: job.job.clone() };
        let mut tx = self.catalog.begin().await?;
        tx.mark_site(site).await?;
        let row = tx.insert_job(&job).await?;
        call.record(&mut tx, &name.to_string(), self).await?;
        tx.commit().await?;
        self.job_changed();
        Ok(row)
    }

    pub(super) fn retention_job(&self, call: &Call, site: &SiteId) -> NewJob {
        self.new_job(call, site, JobPayload::Retention, Priority::Automated)
    }
}

fn written(row: &PolicyRow) -> Event {
    Event::PolicyWritten {
        policy: PolicyName { site: row.site.clone(), policy: row.policy.clone() },
        display_name: row.display_name.clone(),
        scope: row.scope.clone(),
        rules: row.rules.clone(),
    }
}
