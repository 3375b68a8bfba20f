//! Settings of a restore: messages as values, and what was resolved as messages.

use std::collections::BTreeMap;

use super::convert::{name, optional_name, time};
use super::settings::{compatibility, item, mode, selection, setting, source};
use crate::choice;
use crate::clock::Timestamp;
use crate::engine::{Error, RestorePlan};
use crate::ids::{CourseId, SiteId};
use crate::matching::{Remedy, UserConflict};
use crate::proto;
use crate::restore::users::{ArchiveUser, Conflict, Mapping};
use crate::restore::{
    Asked, BuiltInPreset, Category, CourseChoices, CourseName, CourseStart, CourseValue, Effective,
    Enrolments, Order, Preset, Setting, Target, Values,
};

/// Users that one request may map.
const MOST_MAPPINGS: usize = 100_000;

/// The fields of the message and their switches, each once.
macro_rules! each_setting {
    ($then:ident) => {
        $then! {
            users => Users,
            role_assignments => RoleAssignments,
            permissions => Permissions,
            activities => Activities,
            blocks => Blocks,
            filters => Filters,
            comments => Comments,
            badges => Badges,
            calendarevents => CalendarEvents,
            userscompletion => UsersCompletion,
            logs => Logs,
            grade_histories => GradeHistories,
            groups => Groups,
            competencies => Competencies,
            customfield => CustomField,
            contentbankcontent => ContentBankContent,
            xapistate => XapiState,
            legacyfiles => LegacyFiles,
            overwrite_conf => OverwriteConf,
            keep_roles_and_enrolments => KeepRolesAndEnrolments,
            keep_groups_and_groupings => KeepGroupsAndGroupings,
        }
    };
}

/// The switches that a message asks for.
pub fn values(message: &proto::RestoreSettings) -> Values {
    macro_rules! read {
        ($($field:ident => $setting:ident,)*) => {
            [$(message.$field.map(|value| (Setting::$setting, value)),)*]
        };
    }
    each_setting!(read).into_iter().flatten().collect()
}

/// The choices that are no switches, of a message.
///
/// # Errors
///
/// A field whose value is unknown, or that is there without a value.
pub fn choices(message: &proto::RestoreSettings) -> Result<CourseChoices, Error> {
    use proto::EnrolmentMethods as Wire;
    let enrolments = match Wire::try_from(message.enrolments) {
        Ok(Wire::Unspecified) => None,
        Ok(Wire::Never) => Some(Enrolments::Never),
        Ok(Wire::WithUsers) => Some(Enrolments::WithUsers),
        Ok(Wire::Always) => Some(Enrolments::Always),
        Err(_) => {
            let message = format!("{} is none of the values", message.enrolments);
            return Err(Error::field("settings.enrolments", message));
        }
    };
    let name = |field: &str, name: &Option<proto::CourseName>| {
        name.as_ref().map(|name| course_name(field, name)).transpose()
    };
    Ok(CourseChoices {
        enrolments,
        full_name: name("course_fullname", &message.course_fullname)?,
        short_name: name("course_shortname", &message.course_shortname)?,
        start: message.course_startdate.as_ref().map(course_start).transpose()?,
    })
}

fn course_name(field: &str, name: &proto::CourseName) -> Result<CourseName, Error> {
    use proto::course_name::Value;
    match &name.value {
        Some(Value::Given(name)) => Ok(CourseValue::Given(name.clone())),
        Some(Value::Origin(origin)) => from_origin(field, *origin),
        None => Err(Error::field(format!("settings.{field}"), "has no value".to_owned())),
    }
}

fn course_start(start: &proto::CourseStart) -> Result<CourseStart, Error> {
    use proto::course_start::Value;
    match &start.value {
        // A fraction of a second is dropped: Moodle counts in seconds.
        Some(Value::Given(time)) => Ok(CourseValue::Given(Timestamp::from_secs(time.seconds))),
        Some(Value::Origin(origin)) => from_origin("course_startdate", *origin),
        None => Err(Error::field("settings.course_startdate", "has no value".to_owned())),
    }
}

fn from_origin<T>(field: &str, origin: i32) -> Result<CourseValue<T>, Error> {
    use proto::CourseValueOrigin as Wire;
    match Wire::try_from(origin) {
        Ok(Wire::Course) => Ok(CourseValue::OfCourse),
        Ok(Wire::Archive) => Ok(CourseValue::OfArchive),
        Ok(Wire::Unspecified) | Err(_) => {
            Err(Error::field(format!("settings.{field}"), format!("{origin} is no origin")))
        }
    }
}

/// Switches, choices and a preset's name (empty for none) as a message.
pub fn restore_settings(values: &Values, choices: &CourseChoices, preset: &str) -> proto::RestoreSettings {
    macro_rules! write {
        ($($field:ident => $setting:ident,)*) => {
            proto::RestoreSettings {
                preset: preset.to_owned(),
                enrolments: choices
                    .enrolments
                    .map_or(proto::EnrolmentMethods::Unspecified, wire_enrolments)
                    .into(),
                course_fullname: choices.full_name.as_ref().map(wire_name),
                course_shortname: choices.short_name.as_ref().map(wire_name),
                course_startdate: choices.start.as_ref().map(wire_start),
                $($field: values.get(Setting::$setting),)*
            }
        };
    }
    each_setting!(write)
}

fn wire_enrolments(enrolments: Enrolments) -> proto::EnrolmentMethods {
    match enrolments {
        Enrolments::Never => proto::EnrolmentMethods::Never,
        Enrolments::WithUsers => proto::EnrolmentMethods::WithUsers,
        Enrolments::Always => proto::EnrolmentMethods::Always,
    }
}

fn wire_name(name: &CourseName) -> proto::CourseName {
    use proto::course_name::Value;
    let value = match name {
        CourseValue::Given(name) => Value::Given(name.clone()),
        CourseValue::OfCourse => Value::Origin(proto::CourseValueOrigin::Course.into()),
        CourseValue::OfArchive => Value::Origin(proto::CourseValueOrigin::Archive.into()),
    };
    proto::CourseName { value: Some(value) }
}

fn wire_start(start: &CourseStart) -> proto::CourseStart {
    use proto::course_start::Value;
    let value = match start {
        CourseValue::Given(start) => Value::Given(time(*start)),
        CourseValue::OfCourse => Value::Origin(proto::CourseValueOrigin::Course.into()),
        CourseValue::OfArchive => Value::Origin(proto::CourseValueOrigin::Archive.into()),
    };
    proto::CourseStart { value: Some(value) }
}

/// The built-in preset that a message names; none when it names none.
///
/// # Errors
///
/// `settings.preset`, when there is none of that name.
pub fn built_in_preset(message: &proto::RestoreSettings) -> Result<Option<Preset>, Error> {
    if message.preset.is_empty() {
        return Ok(None);
    }
    let preset: BuiltInPreset = message.preset.parse().map_err(|_| {
        let names: Vec<&str> = BuiltInPreset::ALL.iter().map(|preset| preset.as_str()).collect();
        Error::field("settings.preset", format!("must be one of {}", names.join(", ")))
    })?;
    Ok(Some(preset.preset()))
}

/// Where a request goes: the course, if it is given, and how.
///
/// # Errors
///
/// Fields of the target.
pub fn target(wire: Where) -> Result<(Option<SiteId>, Option<CourseId>, Target), Error> {
    use proto::existing_course::Contents;
    match wire {
        Where::New(new) => {
            Ok((None, optional_name("new_course.course_id", &new.course_id)?, Target::NewCourse))
        }
        Where::Existing(existing) => {
            let course: crate::ids::CourseName = name("existing_course.course", &existing.course)?;
            let target = match Contents::try_from(existing.contents) {
                Ok(Contents::Unspecified | Contents::Merge) => Target::ExistingAdding,
                Ok(Contents::Delete) => Target::ExistingDeleting,
                Err(_) => {
                    let message = format!("{} is unknown", existing.contents);
                    return Err(Error::field("existing_course.contents", message));
                }
            };
            Ok((Some(course.site), Some(course.course), target))
        }
    }
}

/// The target of a request.
pub enum Where {
    /// A new course.
    New(proto::NewCourse),
    /// One that is there.
    Existing(proto::ExistingCourse),
}

/// What a message orders of a restore into a target.
///
/// # Errors
///
/// Fields below `options`.
pub fn order(message: Option<proto::RestoreOptions>, target: Target) -> Result<Order, Error> {
    let message = message.unwrap_or_default();
    let settings = message.settings.unwrap_or_default();
    if message.users.len() > MOST_MAPPINGS {
        return Err(Error::field("options.users", format!("has more than {MOST_MAPPINGS} entries")));
    }
    let read = || {
        let asked = Asked {
            target,
            mode: mode(message.mode)?,
            compatibility: compatibility("compatibility", message.compatibility)?,
            settings: values(&settings),
            choices: choices(&settings)?,
            preset: built_in_preset(&settings)?,
            selection: selection(message.selection.unwrap_or_default())?,
        };
        let accepted = message.accept_unknown.into_iter().collect();
        Ok(Order { asked, users: mappings(message.users)?, accepted, category: None })
    };
    read().map_err(|error: Error| error.within("options"))
}

fn mappings(messages: Vec<proto::UserMapping>) -> Result<BTreeMap<i64, Mapping>, Error> {
    use proto::user_mapping::Decision;
    let mut mappings = BTreeMap::new();
    for (place, message) in messages.into_iter().enumerate() {
        let wrong = |what: &str| Error::field(format!("users[{place}]"), what);
        let mapping = match message.decision {
            Some(Decision::MatchTo(account)) if account > 0 => Mapping::MatchTo { account },
            Some(Decision::MatchTo(_)) => return Err(wrong("match_to must be the id of an account")),
            Some(Decision::Create(proto::user_mapping::Create { user_name })) => {
                Mapping::Create { username: (!user_name.is_empty()).then_some(user_name) }
            }
            Some(Decision::Drop(true)) => Mapping::Drop,
            Some(Decision::Pseudonymise(true)) => Mapping::Pseudonymise,
            _ => return Err(wrong("a decision is required")),
        };
        if mappings.insert(message.user, mapping).is_some() {
            return Err(wrong("the user is mapped twice"));
        }
    }
    Ok(mappings)
}

/// The switches of a restore as messages, in Moodle's order.
pub fn effective_settings(effective: &Effective) -> Vec<proto::EffectiveSetting> {
    let settings = effective.settings.iter();
    settings.map(|effective| setting(effective.setting.to_string(), &effective.decision)).collect()
}

/// The sections and activities of a restore as messages: sections, each followed by its activities.
pub fn effective_items(effective: &Effective) -> Vec<proto::EffectiveItem> {
    effective.items.iter().map(item).collect()
}

/// The choices of a restore that are no switches, as messages; none for sections and activities.
pub fn effective_choices(effective: &Effective) -> Vec<proto::EffectiveChoice> {
    use proto::effective_choice::Value;
    let of_name = |decision: &choice::Decision<Setting, CourseName>, name| {
        choice(name, decision, Value::CourseName(wire_name(&decision.value)))
    };
    let enrolments = effective.enrolments.as_ref().map(|decision| {
        choice("enrolments", decision, Value::Enrolments(wire_enrolments(decision.value).into()))
    });
    let full_name = effective.full_name.as_ref().map(|decision| of_name(decision, "course_fullname"));
    let short_name = effective.short_name.as_ref().map(|decision| of_name(decision, "course_shortname"));
    let start = effective.start.as_ref().map(|decision| {
        choice("course_startdate", decision, Value::CourseStart(wire_start(&decision.value)))
    });
    [enrolments, full_name, short_name, start].into_iter().flatten().collect()
}

fn choice<V>(
    name: &str,
    decision: &choice::Decision<Setting, V>,
    value: proto::effective_choice::Value,
) -> proto::EffectiveChoice {
    let (source, forced_by) = source(&decision.source);
    proto::EffectiveChoice { name: name.to_owned(), value: Some(value), source: source.into(), forced_by }
}

/// A plan as a message.
pub fn plan(plan: RestorePlan) -> proto::RestorePlan {
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let counts = plan.counts.into_iter().map(|(kind, count)| proto::RestoreCount {
        kind,
        created: number(count.created),
        matched: number(count.matched),
        merged: number(count.merged),
        skipped: number(count.skipped),
    });
    let total = i32::try_from(plan.conflicts.len()).unwrap_or(i32::MAX);
    let conflicts = plan.conflicts.into_iter().take(MOST_CONFLICTS).map(conflict);
    proto::RestorePlan {
        blocked: plan.blocked,
        findings: plan.findings.iter().map(super::convert::finding).collect(),
        settings: effective_settings(&plan.effective),
        choices: effective_choices(&plan.effective),
        items: effective_items(&plan.effective),
        counts: counts.collect(),
        user_conflicts: conflicts.collect(),
        user_conflicts_total: total,
        revision: plan.revision.as_ref().map(ToString::to_string).unwrap_or_default(),
        full_name: plan.full_name,
        short_name: plan.short_name,
        date_offset_seconds: plan.date_offset,
        plan_token: plan.token,
        content_bytes: number(plan.content_bytes),
        new_bytes: number(plan.new_bytes),
    }
}

/// A user about whom someone must decide, as a message.
pub fn conflict((user, conflict): (ArchiveUser, UserConflict)) -> proto::UserConflict {
    let remedies = conflict.remedies.iter().map(remedy).collect();
    let (code, accounts, users) = match conflict.conflict {
        Conflict::NameTaken { account, .. } => ("NAME_TAKEN", vec![account], Vec::new()),
        Conflict::SharedAccount { account, users } => ("SHARED_ACCOUNT", vec![account], users),
        Conflict::SharedName { users } => ("SHARED_NAME", Vec::new(), users),
        Conflict::RepeatedId => ("REPEATED_ID", Vec::new(), Vec::new()),
        Conflict::MayNotCreate => ("MAY_NOT_CREATE", Vec::new(), Vec::new()),
        Conflict::UnknownAccount { account } => ("UNKNOWN_ACCOUNT", vec![account], Vec::new()),
    };
    proto::UserConflict {
        user: conflict.user,
        user_name: user.username,
        email: user.email,
        code: code.to_owned(),
        accounts,
        users,
        remedies,
    }
}

/// The category that a new course shall be in, if one is given.
///
/// # Errors
///
/// Fields of the category.
pub fn category(target: &Where) -> Result<Option<Category>, Error> {
    let Where::New(proto::NewCourse { category: Some(category), .. }) = target else { return Ok(None) };
    let wrong = |field: &str, what: &str| Error::field(format!("new_course.category.{field}"), what);
    if category.category_id <= 0 {
        return Err(wrong("category_id", "must be the id of a category of the platform"));
    }
    let name = &category.name;
    if name.trim().is_empty() || name.chars().count() > LONGEST_CATEGORY || name.contains(char::is_control) {
        return Err(wrong("name", "must have 1 to 255 characters, no control characters"));
    }
    Ok(Some(Category { id: category.category_id, name: name.clone() }))
}

/// Characters of a category's name, as on the platform.
const LONGEST_CATEGORY: usize = 255;

/// What can be done, as the wire has it.
fn remedy(remedy: &Remedy) -> String {
    match remedy {
        Remedy::MatchTo { .. } => "MATCH_TO",
        Remedy::MatchToOther => "MATCH_TO_OTHER",
        Remedy::CreateUnderOtherName => "CREATE_UNDER_OTHER_NAME",
        Remedy::Pseudonymise => "PSEUDONYMISE",
        Remedy::Drop => "DROP",
    }
    .to_owned()
}

/// Conflicts that a plan tells one by one.
const MOST_CONFLICTS: usize = 1000;

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::limits::Limits;
    use crate::moodle::{Manifest, parse};
    use crate::restore::{Asked, Locks, TABLE, resolve};

    fn archive() -> anyhow::Result<Manifest> {
        let text = include_bytes!("../../tests/fixtures/manifests/rich101-logs-histories-tgz.xml");
        Ok(parse(text.as_slice(), &Limits::default())?)
    }

    fn field(error: Option<&Error>) -> String {
        match error.map(|error| error.violations.as_slice()) {
            Some([(field, _)]) => field.clone(),
            _ => String::new(),
        }
    }

    #[test]
    fn every_switch_has_its_field_under_its_own_name() -> anyhow::Result<()> {
        let set = prost_types::FileDescriptorSet::decode(proto::DESCRIPTOR_SET)?;
        let mut messages = set.file.iter().flat_map(|file| &file.message_type);
        let message = messages.find(|message| message.name() == "RestoreSettings");
        let message = message.ok_or_else(|| anyhow::anyhow!("no RestoreSettings"))?;
        let fields: Vec<&str> = message.field.iter().map(|field| field.name()).collect();
        let settings = TABLE.iter().map(|row| row.setting.as_str());
        let choices = ["enrolments", "course_fullname", "course_shortname", "course_startdate"];
        assert_eq!(fields, ["preset"].into_iter().chain(settings).chain(choices).collect::<Vec<_>>());
        for (place, row) in TABLE.iter().enumerate() {
            let one = Values::from_iter([(row.setting, true)]);
            let wire = restore_settings(&one, &CourseChoices::default(), "");
            assert_eq!(values(&wire), one);
            let mut expected = Vec::new();
            prost::encoding::encode_varint((u64::try_from(place)? + 2) << 3, &mut expected);
            expected.push(1);
            assert_eq!(wire.encode_to_vec(), expected, "{}", row.setting);
        }
        Ok(())
    }

    #[test]
    fn choices_and_targets_survive_the_wire() {
        let start = CourseValue::Given(Timestamp::from_secs(1_700_000_000));
        for asked in [
            CourseChoices::default(),
            CourseChoices {
                enrolments: Some(Enrolments::Never),
                full_name: Some(CourseValue::Given("A".to_owned())),
                short_name: Some(CourseValue::OfArchive),
                start: Some(CourseValue::OfCourse),
            },
            CourseChoices {
                enrolments: Some(Enrolments::Always),
                full_name: Some(CourseValue::OfCourse),
                start: Some(start),
                ..CourseChoices::default()
            },
        ] {
            let wire = restore_settings(&Values::default(), &asked, "moodle");
            assert_eq!(choices(&wire).ok(), Some(asked));
            assert!(built_in_preset(&wire).is_ok_and(|preset| preset.is_some()));
        }
    }

    #[test]
    fn wrong_fields_are_named() {
        use proto::course_start::Value;
        let plain = || restore_settings(&Values::default(), &CourseChoices::default(), "");
        let wrong = proto::RestoreSettings { enrolments: 9, ..plain() };
        assert_eq!(field(choices(&wrong).err().as_ref()), "settings.enrolments");
        let name = Some(proto::CourseName { value: None });
        let wrong = proto::RestoreSettings { course_fullname: name.clone(), ..plain() };
        assert_eq!(field(choices(&wrong).err().as_ref()), "settings.course_fullname");
        let wrong = proto::RestoreSettings { course_shortname: name, ..plain() };
        assert_eq!(field(choices(&wrong).err().as_ref()), "settings.course_shortname");
        for value in [None, Some(Value::Origin(0)), Some(Value::Origin(7))] {
            let start = Some(proto::CourseStart { value });
            let wrong = proto::RestoreSettings { course_startdate: start, ..plain() };
            assert_eq!(field(choices(&wrong).err().as_ref()), "settings.course_startdate");
        }
        let wrong = proto::RestoreSettings { preset: "automated".to_owned(), ..plain() };
        assert_eq!(field(built_in_preset(&wrong).err().as_ref()), "settings.preset");
    }

    #[test]
    fn what_was_resolved_is_told_with_its_sources() -> anyhow::Result<()> {
        use proto::SettingSource as Wire;
        let settings = Values::from_iter([(Setting::Users, false)]);
        let asked = Asked { target: Target::ExistingAdding, settings, ..Asked::default() };
        let effective = resolve(&asked, &Locks::default(), &archive()?)?;
        let told = effective_settings(&effective);
        let named = |name: &str| {
            let found = told.iter().find(|setting| setting.name == name);
            found.map(|it| (it.value, it.source(), it.forced_by.as_str()))
        };
        assert_eq!(named("users"), Some((false, Wire::Asked, "")));
        assert_eq!(named("comments"), Some((false, Wire::Forced, "users")));
        assert_eq!(named("keep_groups_and_groupings"), Some((false, Wire::Forced, "target")));
        let told = effective_choices(&effective);
        let sources: Vec<_> =
            told.iter().map(|it| (it.name.as_str(), it.source(), it.forced_by.as_str())).collect();
        assert_eq!(
            sources,
            [
                ("enrolments", Wire::Default, ""),
                ("course_fullname", Wire::Forced, "overwrite_conf"),
                ("course_shortname", Wire::Forced, "overwrite_conf"),
                ("course_startdate", Wire::Forced, "overwrite_conf"),
            ]
        );
        assert_eq!(effective_items(&effective).len(), effective.items.len());
        Ok(())
    }
}
