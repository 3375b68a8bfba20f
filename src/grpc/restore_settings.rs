//! Settings of a restore: messages as values, and what was resolved as messages.

use super::convert::time;
use super::settings::{item, setting, source};
use crate::choice;
use crate::clock::Timestamp;
use crate::engine::Error;
use crate::proto;
use crate::restore::{
    BuiltInPreset, CourseChoices, CourseName, CourseStart, CourseValue, Effective, Enrolments, Preset,
    Setting, Target, Values,
};

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

/// The target in a field of a request.
///
/// # Errors
///
/// The field, when its value is unknown.
pub fn target(field: &str, value: i32) -> Result<Target, Error> {
    use proto::RestoreTarget as Wire;
    match Wire::try_from(value) {
        Ok(Wire::Unspecified | Wire::NewCourse) => Ok(Target::NewCourse),
        Ok(Wire::CurrentAdding) => Ok(Target::CurrentAdding),
        Ok(Wire::CurrentDeleting) => Ok(Target::CurrentDeleting),
        Ok(Wire::ExistingAdding) => Ok(Target::ExistingAdding),
        Ok(Wire::ExistingDeleting) => Ok(Target::ExistingDeleting),
        Err(_) => Err(Error::field(field, format!("{value} is no target"))),
    }
}

/// A target as the wire has it.
pub fn wire_target(target: Target) -> proto::RestoreTarget {
    match target {
        Target::NewCourse => proto::RestoreTarget::NewCourse,
        Target::CurrentAdding => proto::RestoreTarget::CurrentAdding,
        Target::CurrentDeleting => proto::RestoreTarget::CurrentDeleting,
        Target::ExistingAdding => proto::RestoreTarget::ExistingAdding,
        Target::ExistingDeleting => proto::RestoreTarget::ExistingDeleting,
    }
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
        for one in Target::ALL.iter().copied() {
            assert_eq!(target("target", wire_target(one).into()).ok(), Some(one));
        }
        assert_eq!(target("target", 0).ok(), Some(Target::NewCourse));
    }

    #[test]
    fn wrong_fields_are_named() {
        use proto::course_start::Value;
        let plain = || restore_settings(&Values::default(), &CourseChoices::default(), "");
        assert_eq!(field(target("target", 9).err().as_ref()), "target");
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
