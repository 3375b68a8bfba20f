//! `try --into`: an archive itself is restored, into a course that is there or a new one, and taken out again.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;

use super::choices::Choices;
use super::client::request_id;
use super::compare::compare;
use super::local::Members;
use super::names::Fetchable;
use super::restore::{self, RestoreChoices, TryMode};
use super::try_run::Trial;
use super::{inspect, jobs};
use crate::ids::CourseName;
use crate::proto::{self, create_restore_request::Target, existing_course::Contents};

impl Trial<'_> {
    /// Restores the archive, fetches what came of it, and undoes that again.
    pub async fn restore_itself(&mut self, file: &Path, archive: &proto::Archive) -> anyhow::Result<()> {
        let (before, into) = split(self.choices);
        let archive = match before.is_empty() {
            true => archive.name.clone(),
            // What only a backup can do is done to the archive first.
            false => self.convert(&archive.name, &before).await?,
        };
        let mode = self.mode.unwrap_or(TryMode::Merge);
        let target = match (self.into, mode) {
            (None, TryMode::New) => None,
            (target, _) => Some(Box::pin(self.target(target.unwrap_or(file))).await?),
        };
        let options =
            RestoreChoices { user: self.users.0.to_vec(), users: self.users.1.map(str::to_owned), ..into };
        let options = options.options()?;
        let goal = match (&target, mode) {
            (Some((course, _)), TryMode::Merge | TryMode::Delete) => {
                let contents = if mode == TryMode::Delete { Contents::Delete } else { Contents::Merge };
                Target::ExistingCourse(proto::ExistingCourse {
                    course: course.to_string(),
                    contents: contents.into(),
                })
            }
            _ => {
                let course_id = self.course("restored")?.course.to_string();
                Target::NewCourse(proto::NewCourse { course_id, category: None })
            }
        };
        let job = self.run_restore(&archive, goal, options).await?;
        let course: CourseName = job.result.clone().unwrap_or_default().course.parse()?;
        let source = Fetchable::Course(course.clone());
        self.fetch_restored_course(&source).await?;
        let was = target.filter(|(name, _)| *name == course).map(|(_, members)| members);
        self.undo(&job, &course, was).await
    }

    /// Makes the target's archive a course.
    async fn target(&mut self, file: &Path) -> anyhow::Result<(CourseName, Members)> {
        let members = self.read(file).await?;
        let archive = self.upload(file).await?;
        let course = self.course("target")?;
        self.publish(&course, &archive.name).await?;
        Ok((course, members))
    }

    async fn run_restore(
        &mut self,
        archive: &str,
        target: Target,
        options: proto::RestoreOptions,
    ) -> anyhow::Result<proto::Job> {
        let started = Instant::now();
        let plan = restore::planned(self.server, archive, target.clone(), options.clone()).await?;
        let conflicts = match plan.user_conflicts_total {
            0 => String::new(),
            count => format!(", {count} users must be decided about"),
        };
        let told = told(&plan.findings) + &conflicts;
        self.report.done("plan", started, 0, if told.is_empty() { "nothing found" } else { &told });
        for each in &plan.findings {
            self.output.note(&inspect::finding(each));
        }
        let course_name = match &target {
            Target::ExistingCourse(existing) => {
                let request = proto::GetCourseRequest { name: existing.course.clone() };
                let course = self.server.courses().get_course(request).await?.into_inner().course;
                course.unwrap_or_default().short_name
            }
            Target::NewCourse(_) => String::new(),
        };
        let started = Instant::now();
        let request = proto::CreateRestoreRequest {
            archive: archive.to_owned(),
            target: Some(target),
            options: Some(options),
            plan_token: plan.plan_token,
            course_name,
            request_id: request_id(),
            validate_only: false,
        };
        let job = restore::start(self.server, request).await?;
        let job = self.wait(job).await?;
        let bytes = job.progress.as_ref().map_or(0, |at| u64::try_from(at.bytes_done).unwrap_or(0));
        let result = job.result.clone().unwrap_or_default();
        self.report.done("restore", started, bytes, &result.revision);
        self.prove(&result);
        Ok(job)
    }

    /// Everything of the archive must be in the course, or it must be said why not.
    fn prove(&mut self, result: &proto::JobResult) {
        let started = Instant::now();
        let lost = result.proof.iter().filter_map(|proof| {
            let lost = proof.reasons.iter().find(|missing| missing.code == "LOST")?;
            Some(format!("{} of {}", lost.count, proof.kind))
        });
        let lost: Vec<String> = lost.collect();
        let (held, found) =
            result.proof.iter().fold((0, 0), |(held, found), proof| (held + proof.held, found + proof.found));
        let text = match lost.is_empty() {
            true => format!("{found} are in the course, the others are explained"),
            false => format!("DIFFERS: nothing explains the loss of {}", lost.join(", ")),
        };
        self.report.checked("proof", started, &format!("{held} rows"), lost.is_empty(), &text);
        if !self.output.is_json() {
            self.output.note(&jobs::proof_table(result).render(super::output::width()));
        }
    }

    /// Both containers of the course; the one of --format is kept.
    async fn fetch_restored_course(&mut self, source: &Fetchable) -> anyhow::Result<()> {
        let first = self.download_whole(source, "course").await?;
        self.fetch_both("restored", source, self.out, &first).await
    }

    /// Takes the restore back: the course must be what it was, or deleted if the restore made it.
    async fn undo(
        &mut self,
        job: &proto::Job,
        course: &CourseName,
        was: Option<Members>,
    ) -> anyhow::Result<()> {
        let started = Instant::now();
        let request = proto::RollbackRestoreRequest { job: job.name.clone(), request_id: request_id() };
        let undone = self.server.restores().rollback_restore(request).await?.into_inner().job;
        self.wait(undone).await?;
        let Some(was) = was else {
            let request = proto::GetCourseRequest { name: course.to_string() };
            let row = self.server.courses().get_course(request).await?.into_inner().course;
            let is_gone = row.context("a course")?.delete_time.is_some();
            let text = if is_gone { "the new course is deleted" } else { "DIFFERS: the course is there" };
            self.report.checked("undo", started, "course", is_gone, text);
            return Ok(());
        };
        let back = self.download_whole(&Fetchable::Course(course.clone()), "undone").await?;
        self.report.compared("undo", started.elapsed(), 0, &compare(&was, &back));
        Ok(())
    }
}

/// Findings as `2 WARNING CODE`, by severity and code.
fn told(findings: &[proto::Finding]) -> String {
    let mut codes: BTreeMap<(i32, &str), usize> = BTreeMap::new();
    for each in findings {
        *codes.entry((-each.severity, each.code.as_str())).or_default() += 1;
    }
    let one = |((_, code), count): (&(i32, &str), &usize)| match count {
        1 => (*code).to_owned(),
        count => format!("{count} {code}"),
    };
    codes.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// What only a backup knows, and what a restore does.
fn split(choices: &Choices) -> (Choices, RestoreChoices) {
    let of_restore = |word: &String| {
        let name = word.split_once('=').map_or(word.as_str(), |(name, _)| name);
        restore::is_setting(name) || name.ends_with("_included") || name.ends_with("_userinfo")
    };
    let (set, only_backup): (Vec<String>, Vec<String>) = choices.set.iter().cloned().partition(of_restore);
    let is_of_restore = |name: &String| name.parse::<crate::restore::BuiltInPreset>().is_ok();
    let (preset, of_backup) = match &choices.preset {
        Some(name) if is_of_restore(name) => (Some(name.clone()), None),
        name => (None, name.clone()),
    };
    let before = Choices {
        preset: of_backup,
        set: only_backup,
        remove_secrets: choices.remove_secrets,
        item: choices.item.clone(),
        mode: choices.mode,
        ..Choices::default()
    };
    let before = Choices { compat: choices.compat.filter(|_| !before.is_empty()), ..before };
    let into = RestoreChoices {
        preset,
        set,
        compat: choices.compat,
        exclude: choices.exclude.clone(),
        only: choices.only.clone(),
        no_user_data: choices.no_user_data.clone(),
        user_data: choices.user_data.clone(),
        accept_unknown: choices.accept_unknown.clone(),
        ..RestoreChoices::default()
    };
    (before, into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_go_where_they_are_known() {
        let set = ["users=0", "anonymize=1", "overwrite_conf=1", "quiz_3_included=0", "enrolments=always"];
        let choices = Choices { set: set.map(str::to_owned).to_vec(), ..Choices::default() };
        let (before, into) = split(&choices);
        assert_eq!(before.set, ["anonymize=1"]);
        assert_eq!(into.set.len(), 4);
        let (before, into) = split(&Choices { preset: Some("without_users".into()), ..Choices::default() });
        assert!(before.is_empty() && into.preset.as_deref() == Some("without_users"));
        let (before, _) = split(&Choices { preset: Some("anonymized".into()), ..Choices::default() });
        assert_eq!(before.preset.as_deref(), Some("anonymized"));
    }
}
