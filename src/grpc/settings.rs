//! Settings and selection of a backup: messages as values, and what was resolved as messages.

use crate::backup::{
    Asked, BuiltInPreset, Compatibility, Effective, Extent, Mode, Order, Preset, Scope, Selection, Setting,
    Values,
};
use crate::choice::{self, Root};
use crate::engine::{BackupPlan, Error};
use crate::proto;

/// Rules that one list of a selection may have.
const MOST_RULES: usize = 10_000;

/// The fields of the message and their settings, each once.
macro_rules! each_setting {
    ($then:ident) => {
        $then! {
            imscc11 => Imscc11,
            users => Users,
            anonymize => Anonymize,
            role_assignments => RoleAssignments,
            permissions => Permissions,
            activities => Activities,
            blocks => Blocks,
            files => Files,
            filters => Filters,
            comments => Comments,
            badges => Badges,
            calendarevents => CalendarEvents,
            userscompletion => UsersCompletion,
            logs => Logs,
            grade_histories => GradeHistories,
            questionbank => QuestionBank,
            groups => Groups,
            competencies => Competencies,
            customfield => CustomField,
            contentbankcontent => ContentBankContent,
            xapistate => XapiState,
            legacyfiles => LegacyFiles,
        }
    };
}

/// The settings that a message asks for.
pub fn values(message: &proto::BackupSettings) -> Values {
    macro_rules! read {
        ($($field:ident => $setting:ident,)*) => {
            [$(message.$field.map(|value| (Setting::$setting, value)),)*]
        };
    }
    each_setting!(read).into_iter().flatten().collect()
}

/// Settings and a preset's name (empty for none) as a message.
pub fn backup_settings(values: &Values, preset: &str) -> proto::BackupSettings {
    macro_rules! write {
        ($($field:ident => $setting:ident,)*) => {
            proto::BackupSettings {
                preset: preset.to_owned(),
                $($field: values.get(Setting::$setting),)*
            }
        };
    }
    each_setting!(write)
}

/// The built-in preset that a message names; none when it names none.
///
/// # Errors
///
/// `settings.preset`, when there is none of that name.
pub fn built_in_preset(message: &proto::BackupSettings) -> Result<Option<Preset>, Error> {
    if message.preset.is_empty() {
        return Ok(None);
    }
    let preset: BuiltInPreset = message.preset.parse().map_err(|_| {
        let names: Vec<&str> = BuiltInPreset::ALL.iter().map(|preset| preset.as_str()).collect();
        Error::field("settings.preset", format!("must be one of {}", names.join(", ")))
    })?;
    Ok(Some(preset.preset()))
}

/// The selection of a message. Rules are read later, against the course.
///
/// # Errors
///
/// `selection.extent`, when it is unknown; any list that is too long.
pub fn selection(message: proto::Selection) -> Result<Selection, Error> {
    use proto::selection::Extent as Wire;
    let extent = match Wire::try_from(message.extent) {
        Ok(Wire::Unspecified) => None,
        Ok(Wire::All) => Some(Extent::All),
        Ok(Wire::None) => Some(Extent::None),
        Err(_) => {
            return Err(Error::field("selection.extent", format!("{} is no extent", message.extent)));
        }
    };
    for (field, count) in [
        ("include", message.include.len()),
        ("exclude", message.exclude.len()),
        ("user_data_on", message.user_data_on.len()),
        ("user_data_off", message.user_data_off.len()),
        ("item_settings", message.item_settings.len()),
    ] {
        if count > MOST_RULES {
            let message = format!("has {count} entries, at most {MOST_RULES} are taken");
            return Err(Error::field(format!("selection.{field}"), message));
        }
    }
    Ok(Selection {
        extent,
        include: message.include,
        exclude: message.exclude,
        user_data_on: message.user_data_on,
        user_data_off: message.user_data_off,
        item_settings: message.item_settings.into_iter().collect(),
    })
}

/// A selection as a message.
pub fn wire_selection(selection: Selection) -> proto::Selection {
    use proto::selection::Extent as Wire;
    proto::Selection {
        extent: selection
            .extent
            .map_or(Wire::Unspecified, |extent| match extent {
                Extent::All => Wire::All,
                Extent::None => Wire::None,
            })
            .into(),
        include: selection.include,
        exclude: selection.exclude,
        user_data_on: selection.user_data_on,
        user_data_off: selection.user_data_off,
        item_settings: selection.item_settings.into_iter().collect(),
    }
}

/// What a message orders, if nothing stands in for settings that it leaves out but `preset`.
///
/// # Errors
///
/// Fields below `options`.
pub fn order(message: Option<proto::BackupOptions>, preset: Option<BuiltInPreset>) -> Result<Order, Error> {
    let message = message.unwrap_or_default();
    let settings = message.settings.unwrap_or_default();
    let asked = (|| {
        let named = built_in_preset(&settings)?.or_else(|| preset.map(BuiltInPreset::preset));
        Ok(Asked {
            mode: mode(message.mode)?,
            scope: scope(&message.item)?,
            settings: values(&settings),
            preset: named,
            selection: selection(message.selection.unwrap_or_default())?,
        })
    })()
    .map_err(|error: Error| error.within("options"))?;
    if message.accept_unknown.len() > MOST_RULES {
        let message = format!("has more than {MOST_RULES} entries");
        return Err(Error::field("options.accept_unknown", message));
    }
    Ok(Order {
        asked,
        compatibility: compatibility("options.compatibility", message.compatibility)?,
        without_secrets: message.remove_secrets,
        people_stay: false,
        accepted: message.accept_unknown.into_iter().collect(),
    })
}

/// The mode of a field; a general backup for none.
pub(super) fn mode(value: i32) -> Result<Mode, Error> {
    match value {
        0 => Ok(Mode::General),
        number => {
            Mode::from_number(number).ok_or_else(|| Error::field("mode", format!("{number} is no mode")))
        }
    }
}

/// The scope that an item's name gives; the whole course for none.
fn scope(item: &str) -> Result<Scope, Error> {
    if item.is_empty() {
        return Ok(Scope::Course);
    }
    let invalid = || Error::field("item", "must be section_ID or MODNAME_CMID");
    let (kind, id) = item.rsplit_once('_').ok_or_else(invalid)?;
    let id = id.parse().map_err(|_| invalid())?;
    Ok(if kind == "section" { Scope::Section(id) } else { Scope::Activity(id) })
}

/// The compatibility in a field of a request.
pub fn compatibility(field: &str, value: i32) -> Result<Compatibility, Error> {
    match proto::Compatibility::try_from(value) {
        Ok(proto::Compatibility::Unspecified) => Ok(Compatibility::Strict),
        Ok(proto::Compatibility::Moodle) => Ok(Compatibility::Moodle),
        Err(_) => Err(Error::field(field, format!("{value} is no compatibility"))),
    }
}

/// A compatibility as the wire has it.
pub fn wire_compatibility(compatibility: Compatibility) -> proto::Compatibility {
    match compatibility {
        Compatibility::Strict => proto::Compatibility::Unspecified,
        Compatibility::Moodle => proto::Compatibility::Moodle,
    }
}

/// The root settings of a backup as messages, in Moodle's order.
pub fn effective_settings(effective: &Effective) -> Vec<proto::EffectiveSetting> {
    let settings = effective.settings.iter();
    settings.map(|effective| setting(effective.setting.to_string(), &effective.decision)).collect()
}

/// The sections and activities of a backup as messages: sections, each followed by its activities.
pub fn effective_items(effective: &Effective) -> Vec<proto::EffectiveItem> {
    effective.items.iter().map(item).collect()
}

/// A section or an activity of a backup or a restore as a message.
pub(super) fn item<S: Root>(item: &choice::EffectiveItem<S>) -> proto::EffectiveItem {
    proto::EffectiveItem {
        name: item.name.clone(),
        section: item.section.clone().unwrap_or_default(),
        module_name: item.module_name.clone(),
        title: item.title.clone(),
        included: Some(setting(item.included_name(), &item.included)),
        user_data: Some(setting(item.user_data_name(), &item.user_data)),
    }
}

/// A setting of a backup or a restore as a message.
pub(super) fn setting<S: Root>(name: String, decision: &choice::Decision<S>) -> proto::EffectiveSetting {
    let (source, forced_by) = source(&decision.source);
    proto::EffectiveSetting { name, value: decision.value, source: source.into(), forced_by }
}

/// Where a value comes from, as the wire has it, and what forces it.
pub(super) fn source<S: Root>(source: &choice::Source<S>) -> (proto::SettingSource, String) {
    use crate::choice::Source;
    use proto::SettingSource as Wire;
    match source {
        Source::Asked => (Wire::Asked, String::new()),
        Source::Preset => (Wire::Preset, String::new()),
        Source::Default => (Wire::Default, String::new()),
        Source::Lock => (Wire::Lock, String::new()),
        Source::Forced(cause) => (Wire::Forced, cause.to_string()),
        Source::NotHeld => (Wire::NotHeld, String::new()),
        Source::UnknownPlugin => (Wire::UnknownPlugin, String::new()),
    }
}

/// A plan as a message.
pub fn plan(plan: &BackupPlan) -> proto::BackupPlan {
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let seen = &plan.derived.seen;
    let mut kinds: Vec<&String> = seen.counts.keys().chain(seen.dropped.keys()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let of = |counts: &std::collections::BTreeMap<String, u64>, kind: &str| {
        number(counts.get(kind).copied().unwrap_or(0))
    };
    let counts = kinds.into_iter().map(|kind| proto::PlannedCount {
        kind: kind.clone(),
        included: of(&seen.counts, kind),
        left_out: of(&seen.dropped, kind),
    });
    let [zip, tgz] = plan.sizes.map(|size| number(size.unwrap_or(0)));
    proto::BackupPlan {
        revision: plan.revision.as_ref().map(ToString::to_string).unwrap_or_default(),
        file_name: plan.file_name.clone(),
        settings: effective_settings(&plan.effective),
        items: effective_items(&plan.effective),
        counts: counts.collect(),
        members: number(plan.members),
        members_kept: number(plan.derived.members_kept),
        members_left_out: number(plan.derived.members_left_out),
        content_bytes: number(plan.content_bytes),
        zip_size_bytes: zip,
        tgz_size_bytes: tgz,
        findings: plan.findings.iter().map(super::convert::finding).collect(),
        plan_token: plan.token.clone(),
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use tonic_types::StatusExt;

    use super::*;
    use crate::backup::{Asked, QUESTION_MODULES, TABLE, resolve};
    use crate::limits::Limits;
    use crate::moodle::{Manifest, parse};

    fn course() -> anyhow::Result<Manifest> {
        let text = include_bytes!("../../tests/fixtures/manifests/rich101-logs-histories-tgz.xml");
        Ok(parse(text.as_slice(), &Limits::default())?)
    }

    #[test]
    fn every_setting_has_its_field_under_its_own_name() -> anyhow::Result<()> {
        let set = prost_types::FileDescriptorSet::decode(proto::DESCRIPTOR_SET)?;
        let message = set.file.iter().flat_map(|file| &file.message_type);
        let message = message.into_iter().find(|message| message.name() == "BackupSettings");
        let message = message.ok_or_else(|| anyhow::anyhow!("no BackupSettings"))?;
        let fields: Vec<&str> = message.field.iter().map(|field| field.name()).collect();
        let settings = TABLE.iter().map(|row| row.setting.as_str());
        assert_eq!(fields, ["preset"].into_iter().chain(settings).collect::<Vec<_>>());
        for (place, row) in TABLE.iter().enumerate() {
            let one = Values::from_iter([(row.setting, true)]);
            let wire = backup_settings(&one, "");
            assert_eq!(values(&wire), one);
            // On the wire it is the field of its own name: the key's number, then 1.
            let number = u64::try_from(place)? + 2;
            let mut expected = Vec::new();
            prost::encoding::encode_varint(number << 3, &mut expected);
            expected.push(1);
            assert_eq!(wire.encode_to_vec(), expected, "{}", row.setting);
        }
        Ok(())
    }

    #[test]
    fn unset_on_and_off_survive_the_wire() {
        let asked = Values::from_iter([(Setting::Users, false), (Setting::Logs, true)]);
        let message = backup_settings(&asked, "moodle");
        assert_eq!((message.users, message.logs, message.blocks), (Some(false), Some(true), None));
        assert_eq!(values(&message), asked);
        let selection_asked = Selection {
            extent: Some(Extent::None),
            include: vec!["forum_9".into()],
            user_data_off: vec!["all".into()],
            item_settings: [("forum_9_userinfo".to_owned(), true)].into(),
            ..Selection::default()
        };
        let read = selection(wire_selection(selection_asked.clone()));
        assert_eq!(read.ok(), Some(selection_asked));
        for one in [Compatibility::Strict, Compatibility::Moodle] {
            assert_eq!(compatibility("compatibility", wire_compatibility(one).into()).ok(), Some(one));
        }
    }

    #[test]
    fn wrong_fields_are_named() {
        let field = |error: Option<Error>| match error.as_ref().map(|error| error.violations.as_slice()) {
            Some([(field, _)]) => field.clone(),
            _ => String::new(),
        };
        let message = proto::Selection { extent: 9, ..proto::Selection::default() };
        assert_eq!(field(selection(message).err()), "selection.extent");
        let exclude = vec![String::new(); MOST_RULES + 1];
        let message = proto::Selection { exclude, ..proto::Selection::default() };
        assert_eq!(field(selection(message).err()), "selection.exclude");
        assert_eq!(field(compatibility("compatibility", 7).err()), "compatibility");
        let message = backup_settings(&Values::default(), "evrything");
        let error = built_in_preset(&message).err();
        assert!(error.as_ref().is_some_and(|error| error.message.ends_with("without_users, anonymized")));
        assert_eq!(field(error), "settings.preset");
    }

    #[test]
    fn contradictions_are_one_status_with_every_field() -> anyhow::Result<()> {
        let mut asked = Asked {
            settings: values(&backup_settings(
                &Values::from_iter([(Setting::Users, false), (Setting::Anonymize, true)]),
                "",
            )),
            ..Asked::default()
        };
        asked.selection.include = vec!["forum_99".into(); 40];
        let found = resolve(&asked, &[], &course()?, QUESTION_MODULES).err();
        let found = found.ok_or_else(|| anyhow::anyhow!("it is refused"))?;
        let status = tonic::Status::from(Error::from(found));
        assert_eq!(status.code(), tonic::Code::InvalidArgument);
        assert!(
            status
                .message()
                .starts_with("settings.anonymize: anonymize cannot be on: users is off, as asked")
        );
        assert!(status.message().ends_with("and 21 more"), "{}", status.message());
        let details = status.get_error_details();
        let fields = &details.bad_request().ok_or_else(|| anyhow::anyhow!("no fields"))?.field_violations;
        assert_eq!((fields.len(), fields[0].field.as_str()), (20, "settings.anonymize"));
        assert_eq!(fields[1].field, "selection.include[0]");
        Ok(())
    }

    #[test]
    fn what_was_resolved_is_told_with_its_sources() -> anyhow::Result<()> {
        use proto::SettingSource as Wire;
        let settings = Values::from_iter([(Setting::Users, false)]);
        let effective = resolve(&Asked { settings, ..Asked::default() }, &[], &course()?, QUESTION_MODULES)?;
        let told = effective_settings(&effective);
        let named = |name: &str| told.iter().find(|setting| setting.name == name);
        let expected = |name: &str, source: Wire, forced_by: &str| proto::EffectiveSetting {
            name: name.to_owned(),
            value: false,
            source: source.into(),
            forced_by: forced_by.to_owned(),
        };
        assert_eq!(named("users"), Some(&expected("users", Wire::Asked, "")));
        assert_eq!(named("comments"), Some(&expected("comments", Wire::Forced, "users")));
        let items = effective_items(&effective);
        let forum = items.iter().find(|item| item.name == "forum_9");
        let forum = forum.ok_or_else(|| anyhow::anyhow!("no forum"))?;
        assert_eq!((forum.section.as_str(), forum.module_name.as_str()), ("section_3", "forum"));
        assert!(forum.included.as_ref().is_some_and(|included| included.value));
        assert_eq!(forum.user_data, Some(expected("forum_9_userinfo", Wire::Forced, "users")));
        Ok(())
    }
}
