//! What the service does by itself. Whatever is due is only asked for here, once for all replicas; jobs do it.

use std::collections::HashMap;
use std::time::Duration;

use chrono_tz::Tz;

use super::archives::check_version;
use super::error::Error;
use super::{Call, Engine};
use crate::backup::{Asked, BuiltInPreset, Mode, Order};
use crate::catalog::{CourseBackupRow, JobRow, NewJob, ScheduleRow, TurnDecision, Tx};
use crate::clock::Timestamp;
use crate::directory::Placement;
use crate::ids::{CourseId, CourseName, JobId, SiteId};
use crate::job::{Area, JobPayload, JobState, Priority};
use crate::principal::Principal;
use crate::reason::Reason;
use crate::schedule::{Facts, LastRun, RunOutcome, Schedule, SkipRules, Turn, skip, turn};
use crate::vault::journal::Event;

/// Courses looked at in one go.
const BATCH: u32 = 200;

/// Goes of one look; what is left over comes with the next one.
const GOES: usize = 500;

/// A run that has not ended is looked at again after this; one that failed is begun again then.
const FOLLOW_UP: Duration = Duration::from_secs(15 * 60);

/// A run that failed is begun again so often before the next night, beside what its job retries by itself.
const RETRIES: i64 = 3;

/// Courses whose backup one call can ask for.
const MOST_COURSES: usize = 100;

/// Changes that one call can tell of.
const MOST_CHANGES: usize = 1000;

/// What somebody wants a schedule to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedSchedule {
    /// Nothing happens by itself while it is.
    pub paused: bool,
    /// When.
    pub timing: Schedule,
    /// Which courses are left out.
    pub skip: SkipRules,
    /// With which settings.
    pub order: Order,
}

impl Engine {
    /// Asks for what is due by the clock of the catalog. Errors are logged: the next look comes.
    pub async fn keep_schedule(&self) {
        let looked = async {
            let now = self.catalog.now().await?;
            self.tick(now).await
        };
        if let Err(error) = looked.await {
            tracing::warn!(error = error.chain(), "what is due is asked for later");
        }
    }

    /// Asks for what is due at a time.
    pub async fn tick(&self, now: Timestamp) -> Result<(), Error> {
        self.enqueue_retention(now).await?;
        self.enqueue_backups(now).await
    }

    /// The schedule of a site: what was written, or the defaults.
    pub async fn get_schedule(&self, site: &SiteId) -> Result<ScheduleRow, Error> {
        let made = self.site(site).await?.create_time;
        Ok(self.catalog.get_schedule(site).await?.unwrap_or_else(|| default_schedule(site, made)))
    }

    /// Changes the schedule of a site; `version`: the one that the caller saw.
    pub async fn update_schedule(
        &self,
        call: &Call,
        site: &SiteId,
        change: impl Fn(&mut WantedSchedule),
        version: Option<i64>,
    ) -> Result<ScheduleRow, Error> {
        if self.replayed(call).await?.is_some() {
            return self.get_schedule(site).await;
        }
        let mut row = self.get_schedule(site).await?;
        let name = format!("sites/{site}/schedule");
        check_version(version, row.version, &name)?;
        let mut wanted =
            WantedSchedule { paused: row.paused, timing: row.timing, skip: row.skip, order: row.order };
        change(&mut wanted);
        let faults = wanted.timing.faults();
        if !faults.is_empty() {
            let told =
                faults.into_iter().map(|(field, fault)| (format!("schedule.{field}"), fault.to_owned()));
            return Err(Error::fields(told.collect(), 0));
        }
        row = ScheduleRow {
            site: site.clone(),
            paused: wanted.paused,
            timing: wanted.timing,
            skip: wanted.skip,
            order: wanted.order,
            author: call.principal.name.clone(),
            update_time: self.now(),
            version: row.version + 1,
        };
        let event = Event::ScheduleWritten {
            site: site.clone(),
            paused: row.paused,
            timing: row.timing,
            skip: row.skip,
            order: Box::new(row.order.clone()),
        };
        let mut tx = self.catalog.begin().await?;
        tx.put_schedule(&row).await?;
        tx.replace_turns(site, None).await?;
        self.put_down(&mut tx, site, call, event).await?;
        call.record(&mut tx, &name, self).await?;
        tx.commit().await?;
        tracing::info!(%site, principal = call.principal.name, "the schedule changed");
        self.flush_journal().await;
        Ok(row)
    }

    /// Backs courses up now, whether they changed or not. Answers the jobs, in the order of the courses.
    pub async fn back_up_now(
        &self,
        call: &Call,
        site: &SiteId,
        courses: &[CourseId],
    ) -> Result<Vec<JobRow>, Error> {
        if courses.len() > MOST_COURSES {
            return Err(Error::field("courses", format!("are at most {MOST_COURSES}")));
        }
        let order = self.get_schedule(site).await?.order;
        let mut jobs = Vec::new();
        for course in courses {
            let name = CourseName { site: site.clone(), course: course.clone() };
            self.live_course(&name).await?;
            let known = self.catalog.course_backups(site, std::slice::from_ref(course)).await?.remove(course);
            let Some(row) = known else { return Err(Error::not_found(Reason::CourseNotFound, &name)) };
            // One that is under way sees the course as it is only if it was not begun yet: a new one is asked for.
            let job = NewJob { priority: Priority::Requested, ..self.automated_job(call, &row, &order) };
            let look = row.look.map(|_| self.now().plus(FOLLOW_UP));
            let mut tx = self.catalog.begin().await?;
            let decision = TurnDecision::Runs { job: job.job.clone(), retries: 0 };
            if !tx.decide_turn(&row, &decision, (row.due, look)).await? && row.look.is_some() {
                return Err(Error::new(
                    Reason::EtagMismatch,
                    format!("{name} was just being looked at; try again"),
                )
                .retryable()
                .on(&name));
            }
            jobs.push(tx.insert_job(&job).await?);
            tx.commit().await?;
        }
        self.job_changed();
        Ok(jobs)
    }

    /// Makes it the turn of all courses of a site now, as if the night had come. Answers how many there are.
    pub async fn run_schedule(&self, call: &Call, site: &SiteId) -> Result<u64, Error> {
        self.site(site).await?;
        let mut tx = self.catalog.begin().await?;
        let now = tx.now().await?;
        let count = tx.replace_turns(site, Some(now)).await?;
        tx.commit().await?;
        tracing::info!(%site, principal = call.principal.name, "it is the turn of all courses");
        Ok(count)
    }

    /// How automated backups of courses stand.
    pub async fn course_backups(
        &self,
        site: &SiteId,
        courses: &[CourseId],
    ) -> Result<(HashMap<CourseId, CourseBackupRow>, Timestamp), Error> {
        Ok((self.catalog.course_backups(site, courses).await?, self.catalog.now().await?))
    }

    /// A platform tells that courses changed. Answers those that are not known.
    pub async fn report_changes(
        &self,
        site: &SiteId,
        changes: &[(CourseId, Option<Timestamp>)],
    ) -> Result<Vec<CourseId>, Error> {
        if changes.len() > MOST_CHANGES {
            return Err(Error::field("changes", format!("are at most {MOST_CHANGES}")));
        }
        self.site(site).await?;
        let mut changes = changes.to_vec();
        // The same order for everybody, so that nobody waits in a circle.
        changes.sort();
        let mut unknown = Vec::new();
        let mut tx = self.catalog.begin().await?;
        for (course, time) in changes {
            if !tx.report_change(site, &course, time).await? {
                unknown.push(course);
            }
        }
        tx.commit().await?;
        Ok(unknown)
    }

    /// Asks for the backups of courses whose turn it is.
    async fn enqueue_backups(&self, now: Timestamp) -> Result<(), Error> {
        let mut schedules: HashMap<SiteId, (ScheduleRow, Tz)> = HashMap::new();
        for _ in 0..GOES {
            let due = self.catalog.due_courses(now, BATCH).await?;
            let mut moved = false;
            for row in &due {
                if !schedules.contains_key(&row.site) {
                    let zone = self.site(&row.site).await?.time_zone.parse().unwrap_or(Tz::UTC);
                    schedules.insert(row.site.clone(), (self.get_schedule(&row.site).await?, zone));
                }
                let Some((schedule, zone)) = schedules.get(&row.site) else { continue };
                moved |= self.look_at(row, schedule, *zone, now).await?;
            }
            if !moved || due.len() < BATCH as usize {
                break;
            }
        }
        Ok(())
    }

    /// Decides over one course's turn. Answers whether it was this replica that did.
    async fn look_at(
        &self,
        row: &CourseBackupRow,
        schedule: &ScheduleRow,
        zone: Tz,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let call = Call::by(Principal::service());
        let job = self.automated_job(&call, row, &schedule.order);
        let (decision, times) = decision(row, schedule, zone, now, &job.job);
        let mut tx = self.catalog.begin().await?;
        if !tx.decide_turn(row, &decision, times).await? {
            return Ok(false);
        }
        let runs = matches!(decision, TurnDecision::Runs { .. });
        if runs {
            tx.insert_job(&job).await?;
        }
        tx.commit().await?;
        if runs {
            tracing::info!(site = %row.site, course = %row.course, job = %job.job, "an automated backup is due");
            self.job_changed();
        }
        Ok(true)
    }

    fn automated_job(&self, call: &Call, row: &CourseBackupRow, order: &Order) -> NewJob {
        let payload = JobPayload::Backup {
            course: row.course.clone(),
            area: Area::Automated,
            order: Box::new(order.clone()),
            revision: None,
        };
        let job = self.new_job(call, &row.site, payload, Priority::Automated);
        NewJob { course: Some(row.course.clone()), requester: Principal::service().name, ..job }
    }

    /// A course changed: counts that, and keeps where it stands on its platform, in the transaction of the change.
    pub(super) async fn note_change(
        &self,
        tx: &mut Tx,
        call: &Call,
        course: &CourseName,
        placement: Option<&Placement>,
    ) -> Result<(), Error> {
        let is_news = tx.note_change(&course.site, &course.course, placement).await?;
        let Some(placement) = placement.filter(|_| is_news) else { return Ok(()) };
        let event = Event::CourseTold {
            course: course.clone(),
            category: placement.category.clone(),
            hidden: placement.hidden,
        };
        self.put_down(tx, &course.site, call, event).await?;
        // Policies of categories are for other archives now.
        Ok(tx.mark_site(&course.site).await?)
    }
}

/// What counts on a site where nobody wrote a schedule.
fn default_schedule(site: &SiteId, made: Timestamp) -> ScheduleRow {
    let preset = Some(BuiltInPreset::Automated.preset());
    ScheduleRow {
        site: site.clone(),
        paused: false,
        timing: Schedule::default(),
        skip: SkipRules::default(),
        order: Order {
            asked: Asked { mode: Mode::Automated, preset, ..Asked::default() },
            ..Order::default()
        },
        author: String::new(),
        update_time: made,
        version: 0,
    }
}

/// What becomes of a course's turn, and its next due time with the time when it is looked at again.
fn decision(
    row: &CourseBackupRow,
    schedule: &ScheduleRow,
    zone: Tz,
    now: Timestamp,
    job: &JobId,
) -> (TurnDecision, (Option<Timestamp>, Option<Timestamp>)) {
    let nothing = (TurnDecision::Waits, (row.due, None));
    if schedule.paused || !row.has_state {
        return nothing;
    }
    let seed = CourseName { site: row.site.clone(), course: row.course.clone() }.to_string();
    let running = row.job_state.is_some_and(|state| !state.is_ended());
    let failed = matches!(row.job_state, Some(JobState::Failed | JobState::Cancelled));
    let is_early = row.due.is_some_and(|due| due > now);
    if let (true, true, Some(run)) = (failed, is_early && row.retries < RETRIES, row.run_time) {
        // Of the night that failed something is left.
        if let Some(Turn::Now { next, .. }) = turn(&schedule.timing, zone, &seed, Some(run), now, false) {
            let runs = TurnDecision::Runs { job: job.clone(), retries: row.retries + 1 };
            return (runs, (Some(next), Some(next.min(now.plus(FOLLOW_UP)))));
        }
    }
    let followed = |next: Timestamp| if running { next.min(now.plus(FOLLOW_UP)) } else { next };
    match turn(&schedule.timing, zone, &seed, row.due, now, running) {
        None => nothing,
        Some(Turn::Later { next } | Turn::LeftOut { next, .. }) => {
            (TurnDecision::Waits, (Some(next), Some(followed(next))))
        }
        Some(Turn::Waits { due }) => {
            (TurnDecision::Waits, (Some(due), Some(now.plus(Duration::from_secs(60)))))
        }
        Some(Turn::Now { next, .. }) => match skip(&schedule.skip, &facts(row), now) {
            Some(why) => (TurnDecision::Skipped(why), (Some(next), Some(next))),
            None => {
                let runs = TurnDecision::Runs { job: job.clone(), retries: 0 };
                (runs, (Some(next), Some(next.min(now.plus(FOLLOW_UP)))))
            }
        },
    }
}

/// What the rules for leaving out look at. Whether a change came after the last run was begun is told by counting, and said
/// in times as they want it. A run whose archive is gone is as good as none.
fn facts(row: &CourseBackupRow) -> Facts {
    let outcome = match row.job_state {
        Some(JobState::Succeeded) => RunOutcome::Good,
        _ => RunOutcome::Failed,
    };
    let last = row.run_time.filter(|_| row.last_good.is_some()).map(|start| LastRun { start, outcome });
    let modified = match last {
        None => row.change_time,
        Some(last) if row.run_seq == Some(row.change_seq) => row.change_time.min(last.start.plus_millis(-1)),
        Some(last) => row.change_time.max(last.start),
    };
    Facts { hidden: row.placement.hidden, modified, last }
}
