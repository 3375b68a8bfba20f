//! What holds for every request, every archive and every lock.

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::*;
use crate::choice::Contradictions;

/// Archives to resolve against.
fn archives() -> &'static [Manifest] {
    static ARCHIVES: std::sync::LazyLock<Vec<Manifest>> = std::sync::LazyLock::new(|| {
        let names = [
            "rich101-logs-histories-tgz",
            "rich101-zip-an",
            "rich101-bare-nu",
            "rich101-noactivities",
            "rich101-section3",
            "rich101-activity-quiz",
        ];
        names.into_iter().map(|name| manifest(name).expect("the fixture reads")).collect()
    });
    &ARCHIVES
}

fn some_values(most: usize) -> impl Strategy<Value = Values> {
    proptest::collection::vec((select(Setting::ALL), any::<bool>()), 0..=most)
        .prop_map(|values| values.into_iter().collect())
}

fn some_value<T: Clone + std::fmt::Debug + 'static>(
    given: impl Strategy<Value = T> + 'static,
) -> impl Strategy<Value = Option<CourseValue<T>>> {
    proptest::option::of(prop_oneof![
        Just(CourseValue::OfCourse),
        Just(CourseValue::OfArchive),
        given.prop_map(CourseValue::Given),
    ])
}

fn some_choices() -> impl Strategy<Value = CourseChoices> {
    let enrolments = proptest::option::of(select(Enrolments::ALL));
    let start = some_value((0_i64..9).prop_map(Timestamp::from_secs));
    (enrolments, some_value("[a ]{0,2}"), some_value("[a ]{0,2}"), start).prop_map(
        |(enrolments, full_name, short_name, start)| CourseChoices {
            enrolments,
            full_name,
            short_name,
            start,
        },
    )
}

fn some_selection() -> impl Strategy<Value = Selection> {
    let rules = || {
        let rules = ["all", "section_3", "forum_9", "quiz_22", "type:quiz", "type:wiki", "section_99"];
        subsequence(rules.to_vec(), 0..=1).prop_map(|rules| rules.into_iter().map(str::to_owned).collect())
    };
    let extent = proptest::option::of(select(Extent::ALL));
    (extent, rules(), rules(), rules(), rules()).prop_map(
        |(extent, include, exclude, user_data_on, user_data_off)| Selection {
            extent,
            include,
            exclude,
            user_data_on,
            user_data_off,
            ..Selection::default()
        },
    )
}

fn some_request() -> impl Strategy<Value = (Asked, Locks, usize)> {
    let preset = proptest::option::of(select(BuiltInPreset::ALL));
    let mode = prop_oneof![3 => Just(Mode::General), 1 => select(&Mode::ALL[..])];
    let compatibility = select(&[Compatibility::Strict, Compatibility::Moodle][..]);
    let lock = some_values(2)
        .prop_map(|values| values.iter().map(|(setting, value)| Lock { setting, value }).collect::<Vec<_>>());
    let locks = (lock, prop_oneof![2 => Just(CourseChoices::default()), 1 => some_choices()])
        .prop_map(|(settings, choices)| Locks { settings, choices });
    let asked =
        (select(Target::ALL), mode, compatibility, some_values(4), some_choices(), preset, some_selection())
            .prop_map(|(target, mode, compatibility, settings, choices, preset, selection)| Asked {
                target,
                mode,
                compatibility,
                settings,
                choices,
                preset: preset.map(BuiltInPreset::preset),
                selection,
            });
    (asked, locks, 0..archives().len())
}

/// Takes the fields that contradictions name out of a request, until none is left.
fn repaired(
    mut asked: Asked,
    locks: &Locks,
    archive: &Manifest,
) -> (Asked, Result<Effective, Contradictions>) {
    for _ in 0..4 {
        let Err(found) = resolve(&asked, locks, archive) else { break };
        for one in found.iter() {
            assert!(!one.message.is_empty());
            match one.field.strip_prefix("settings.") {
                Some("preset") => asked.preset = None,
                Some("enrolments") => assert!(asked.choices.enrolments.take().is_some()),
                Some("course_fullname") => asked.choices.full_name = None,
                Some("course_shortname") => asked.choices.short_name = None,
                Some("course_startdate") => asked.choices.start = None,
                Some(name) => {
                    let setting: Setting = name.parse().expect("a setting");
                    assert!(asked.settings.get(setting).is_some(), "{name}");
                    asked.settings.set(setting, None);
                }
                None if one.field == "target" => asked.target = Target::ExistingAdding,
                None => {
                    assert!(one.field.starts_with("selection."), "{}", one.field);
                    asked.selection = Selection::default();
                }
            }
        }
    }
    let result = resolve(&asked, locks, archive);
    (asked, result)
}

fn assert_closed(effective: &Effective) {
    for one in &effective.settings {
        let row = one.setting.row();
        if one.decision.value {
            let mut parents = row.parents(effective.compatibility);
            assert!(parents.all(|parent| effective.is_on(parent)), "{}", one.setting);
        }
        if let Some(value) = row.forced(effective.target) {
            assert_eq!(one.decision.value, value, "{}", one.setting);
        }
        if let Source::Forced(Cause::Setting(cause)) = &one.decision.source {
            assert!(row.parents(effective.compatibility).any(|parent| parent == *cause));
            assert!(!effective.is_on(*cause));
        }
    }
    for item in &effective.items {
        let section = item.section.as_deref().and_then(|section| effective.item(section));
        if item.included.value && !item.module_name.is_empty() {
            assert!(effective.is_on(Setting::Activities), "{}", item.name);
            assert!(section.is_none_or(|section| section.included.value), "{}", item.name);
        }
        if item.user_data.value {
            assert!(effective.is_on(Setting::Users) && item.included.value, "{}", item.name);
            assert!(section.is_none_or(|section| section.user_data.value), "{}", item.name);
        }
    }
    if !effective.is_on(Setting::OverwriteConf) {
        let keeps = |name: &Option<crate::choice::Decision<Setting, CourseName>>| {
            name.as_ref().is_none_or(|name| name.value == CourseValue::OfCourse)
        };
        assert!(keeps(&effective.full_name) && keeps(&effective.short_name));
    }
    if effective.target.is_new() {
        let name = effective.full_name.as_ref().map(|name| &name.value);
        assert!(name.is_some_and(|name| *name != CourseValue::OfCourse));
        assert!(effective.start.as_ref().is_some_and(|start| start.value != CourseValue::OfCourse));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn results_are_closed_honoured_and_stable((asked, locks, archive) in some_request()) {
        let archive = &archives()[archive];
        let (asked, result) = repaired(asked, &locks, archive);
        let effective = result.map_err(|found| TestCaseError::fail(found.to_string()))?;
        assert_closed(&effective);
        for one in &effective.settings {
            let is_honoured = asked.settings.get(one.setting).is_none_or(|value| value == one.decision.value);
            prop_assert!(is_honoured || one.decision.source == Source::NotHeld, "{}", one.setting);
        }
        if let (Some(wish), Some(name)) = (&asked.choices.full_name, &effective.full_name) {
            prop_assert_eq!(wish, &name.value);
        }
        if let (Some(wish), Some(start)) = (&asked.choices.start, &effective.start) {
            prop_assert_eq!(wish, &start.value);
        }
        // Asking for exactly what came out brings the same, and survives being stored.
        let items = effective.items.iter().flat_map(|item| {
            [(item.included_name(), item.included.value), (item.user_data_name(), item.user_data.value)]
        });
        let again = Asked {
            settings: effective.settings.iter().map(|one| (one.setting, one.decision.value)).collect(),
            selection: Selection { item_settings: items.collect(), ..Selection::default() },
            ..asked
        };
        let text = serde_json::to_string(&again).expect("a request is JSON");
        let again: Asked = serde_json::from_str(&text).expect("the same request");
        let again = resolve(&again, &locks, archive).map_err(|found| TestCaseError::fail(found.to_string()))?;
        for setting in Setting::ALL {
            prop_assert_eq!(again.is_on(*setting), effective.is_on(*setting), "{}", setting);
        }
        for (one, other) in again.items.iter().zip(&effective.items) {
            prop_assert_eq!(one.included.value, other.included.value);
            prop_assert_eq!(one.user_data.value, other.user_data.value);
        }
        let text = serde_json::to_string(&effective).expect("a result is JSON");
        prop_assert_eq!(serde_json::from_str::<Effective>(&text).expect("the same result"), effective);
    }

    #[test]
    fn who_asks_for_nothing_is_never_refused(
        locks in some_values(8), choices in some_choices(), target in select(Target::ALL),
    ) {
        let settings = locks.iter().map(|(setting, value)| Lock { setting, value }).collect();
        let locks = Locks { settings, choices };
        for archive in archives() {
            let is_fitting = target.admits(archive.archive_type);
            let asked = Asked { target, ..Asked::default() };
            prop_assert_eq!(resolve(&asked, &locks, archive).is_ok(), is_fitting);
        }
    }
}
