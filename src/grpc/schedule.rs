//! Schedules, and how automated backups stand, as messages, and back.

use prost_types::FieldMask;

use super::convert::{etag, time};
use super::{mask, settings};
use crate::backup::{Asked, BuiltInPreset, Mode, Order};
use crate::catalog::{CourseBackupRow, ScheduleRow};
use crate::clock::Timestamp;
use crate::engine::{Error, WantedSchedule};
use crate::ids::JobName;
use crate::proto;
use crate::schedule::{Overlap, Skip, Weekdays};

/// `sites/{site}` of `sites/{site}/schedule`.
pub fn site_of<'n>(field: &str, name: &'n str) -> Result<&'n str, Error> {
    let site = name.strip_suffix("/schedule");
    site.ok_or_else(|| Error::field(field, "must be of the form sites/{site}/schedule"))
}

/// A schedule as a message.
pub fn schedule(row: &ScheduleRow) -> proto::Schedule {
    let number = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    let days = (1..=7).filter(|day| row.timing.window.weekdays.0 >> (day - 1) & 1 == 1);
    let preset = row.order.asked.preset.as_ref().map_or("", |preset| &preset.name);
    proto::Schedule {
        name: format!("sites/{}/schedule", row.site),
        paused: row.paused,
        start_minute: number(row.timing.window.start_minute),
        window_minutes: number(row.timing.window.minutes),
        weekdays: days.collect(),
        overlap: match row.timing.overlap {
            Overlap::Skip => proto::schedule::Overlap::Skip,
            Overlap::Wait => proto::schedule::Overlap::Wait,
        }
        .into(),
        catch_up_minutes: number(row.timing.catch_up_minutes),
        skip_hidden: row.skip.hidden,
        skip_unmodified_days: number(row.skip.unmodified_days),
        skip_unchanged: row.skip.unchanged,
        settings: Some(settings::backup_settings(&row.order.asked.settings, preset)),
        author: row.author.clone(),
        update_time: Some(time(row.update_time)),
        etag: etag(row.version),
    }
}

/// What a request changes of a schedule.
pub fn change(
    mask: Option<&FieldMask>,
    asked: &proto::Schedule,
) -> Result<impl Fn(&mut WantedSchedule) + use<>, Error> {
    if mask.is_none_or(|mask| mask.paths.is_empty()) {
        return Err(Error::field("update_mask", "is required"));
    }
    const FIELDS: [&str; 10] = [
        "paused",
        "start_minute",
        "window_minutes",
        "weekdays",
        "overlap",
        "catch_up_minutes",
        "skip_hidden",
        "skip_unmodified_days",
        "skip_unchanged",
        "settings",
    ];
    let chosen = mask::chosen(mask, FIELDS.map(|field| (field, false)))?;
    let [paused, start, minutes, weekdays, overlap, catch_up, hidden, unmodified, unchanged, settings] =
        chosen;
    let mut wanted = WantedSchedule {
        paused: asked.paused,
        timing: crate::schedule::Schedule::default(),
        skip: crate::schedule::SkipRules {
            hidden: asked.skip_hidden,
            unmodified_days: number("skip_unmodified_days", asked.skip_unmodified_days)?,
            unchanged: asked.skip_unchanged,
        },
        order: order(asked.settings.as_ref())?,
    };
    wanted.timing.window.start_minute = number("start_minute", asked.start_minute)?;
    wanted.timing.window.minutes = number("window_minutes", asked.window_minutes)?;
    wanted.timing.window.weekdays = days(&asked.weekdays)?;
    wanted.timing.catch_up_minutes = number("catch_up_minutes", asked.catch_up_minutes)?;
    wanted.timing.overlap = match proto::schedule::Overlap::try_from(asked.overlap) {
        Ok(proto::schedule::Overlap::Unspecified | proto::schedule::Overlap::Skip) => Overlap::Skip,
        Ok(proto::schedule::Overlap::Wait) => Overlap::Wait,
        Err(_) => return Err(Error::field("schedule.overlap", "is no way of overlapping")),
    };
    Ok(move |now: &mut WantedSchedule| {
        macro_rules! take {
            ($($chosen:ident: $($field:ident).+;)*) => {
                $(if $chosen { now.$($field).+ = wanted.$($field).+.clone(); })*
            };
        }
        take! {
            paused: paused;
            start: timing.window.start_minute;
            minutes: timing.window.minutes;
            weekdays: timing.window.weekdays;
            overlap: timing.overlap;
            catch_up: timing.catch_up_minutes;
            hidden: skip.hidden;
            unmodified: skip.unmodified_days;
            unchanged: skip.unchanged;
            settings: order;
        }
    })
}

fn number(field: &str, value: i32) -> Result<u32, Error> {
    u32::try_from(value).map_err(|_| Error::field(format!("schedule.{field}"), "must not be negative"))
}

fn days(named: &[i32]) -> Result<Weekdays, Error> {
    if named.is_empty() {
        return Ok(Weekdays::ALL);
    }
    named.iter().try_fold(Weekdays(0), |days, day| match day {
        1..=7 => Ok(Weekdays(days.0 | 1 << (day - 1))),
        _ => Err(Error::field("schedule.weekdays", "are 1 for Monday to 7 for Sunday")),
    })
}

fn order(message: Option<&proto::BackupSettings>) -> Result<Order, Error> {
    let message = message.cloned().unwrap_or_default();
    let preset = settings::built_in_preset(&message).map_err(|error| error.within("schedule"))?;
    let preset = Some(preset.unwrap_or_else(|| BuiltInPreset::Automated.preset()));
    let asked =
        Asked { mode: Mode::Automated, settings: settings::values(&message), preset, ..Asked::default() };
    Ok(Order { asked, ..Order::default() })
}

/// How a course's automated backups stand, as a message.
pub fn course_backups(row: &CourseBackupRow, now: Timestamp) -> proto::CourseBackups {
    let state = row.job_state.map_or(proto::job::State::Unspecified, super::convert::wire_state);
    let succeeded = row.job_state == Some(crate::job::JobState::Succeeded);
    proto::CourseBackups {
        last_good_backup_time: row.last_good.map(time),
        seconds_since_last_good_backup: row.last_good.map(|good| (now.secs() - good.secs()).max(0)),
        change_time: Some(time(row.change_time)),
        unpublished_change_time: row.unpublished_time.map(time),
        changed_since_backup: !(succeeded && row.run_seq == Some(row.change_seq)),
        next_backup_time: row.due.filter(|_| row.look.is_some()).map(time),
        last_run_time: row.run_time.map(time),
        last_job: match &row.job {
            Some(job) => JobName { site: row.site.clone(), job: job.clone() }.to_string(),
            None => String::new(),
        },
        last_job_state: state.into(),
        last_skip: match row.skip {
            None => proto::course_backups::Skip::Unspecified,
            Some(Skip::Hidden) => proto::course_backups::Skip::Hidden,
            Some(Skip::Unmodified) => proto::course_backups::Skip::Unmodified,
            Some(Skip::Unchanged) => proto::course_backups::Skip::Unchanged,
        }
        .into(),
        category: row.placement.category.clone(),
        hidden: row.placement.hidden,
    }
}
