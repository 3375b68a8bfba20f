//! What holds for every request, every state and every lock.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::*;

/// States to resolve against.
fn states() -> &'static [Manifest] {
    static STATES: std::sync::LazyLock<Vec<Manifest>> = std::sync::LazyLock::new(|| {
        let names = [
            "rich101-logs-histories-tgz",
            "rich101-zip-an",
            "rich101-bare-nu",
            "rich101-nf",
            "rich101-noactivities",
            "rich101-section3",
            "rich101-activity-quiz",
        ];
        names.into_iter().map(|name| manifest(name).expect("the fixture reads")).collect()
    });
    &STATES
}

fn some_values(most: usize) -> impl Strategy<Value = Values> {
    proptest::collection::vec((select(Setting::ALL), any::<bool>()), 0..=most)
        .prop_map(|values| values.into_iter().collect())
}

fn some_rules() -> impl Strategy<Value = Vec<String>> {
    let rules = [
        "all",
        "section_3",
        "section_4",
        "section_5",
        "section_99",
        "forum_9",
        "forum_10",
        "wiki_16",
        "quiz_22",
        "quiz_23",
        "survey_14",
        "type:quiz",
        "type:forum",
        "type:wiki",
        "",
    ];
    subsequence(rules.to_vec(), 0..=2).prop_map(|rules| rules.into_iter().map(str::to_owned).collect())
}

fn some_selection() -> impl Strategy<Value = Selection> {
    const NAMES: &[&str] =
        &["section_3_included", "section_3_userinfo", "forum_9_included", "quiz_22_userinfo", "x"];
    let item_settings = proptest::collection::btree_map(select(NAMES), any::<bool>(), 0..=1);
    let extent = proptest::option::of(select(Extent::ALL));
    (extent, some_rules(), some_rules(), some_rules(), some_rules(), item_settings).prop_map(
        |(extent, include, exclude, user_data_on, user_data_off, item_settings)| Selection {
            extent,
            include,
            exclude,
            user_data_on,
            user_data_off,
            item_settings: item_settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        },
    )
}

fn some_request() -> impl Strategy<Value = (Asked, Vec<Lock>, usize)> {
    let preset = proptest::option::of(select(BuiltInPreset::ALL));
    let scope = prop_oneof![
        4 => Just(Scope::Course),
        1 => Just(Scope::Section(3)),
        1 => Just(Scope::Activity(22)),
    ];
    let locks = some_values(2)
        .prop_map(|values| values.iter().map(|(setting, value)| Lock { setting, value }).collect::<Vec<_>>());
    let state = 0..states().len();
    (select(&Mode::ALL[..]), scope, some_values(5), preset, some_selection(), locks, state).prop_map(
        |(mode, scope, settings, preset, selection, locks, state)| {
            let preset = preset.map(BuiltInPreset::preset);
            (Asked { mode, scope, settings, preset, selection }, locks, state)
        },
    )
}

/// Names of everything that is on.
fn all_on(effective: &Effective) -> BTreeSet<String> {
    let settings = effective.settings.iter().filter(|setting| setting.decision.value);
    let mut on: BTreeSet<String> = settings.map(|effective| effective.setting.to_string()).collect();
    for item in &effective.items {
        on.extend(item.included.value.then(|| item.included_name()));
        on.extend(item.user_data.value.then(|| item.user_data_name()));
    }
    on
}

/// What was decided, as a request for exactly that.
fn again(asked: &Asked, effective: &Effective) -> Asked {
    let item_settings = effective.items.iter().flat_map(|item| {
        [(item.included_name(), item.included.value), (item.user_data_name(), item.user_data.value)]
    });
    Asked {
        settings: effective.settings.iter().map(|one| (one.setting, one.decision.value)).collect(),
        selection: Selection { item_settings: item_settings.collect(), ..Selection::default() },
        ..asked.clone()
    }
}

/// Takes the fields that contradictions name out of a request, until none is left or only the scope cannot be.
fn repaired(mut asked: Asked, locks: &[Lock], base: &Manifest) -> (Asked, Result<Effective, Contradictions>) {
    for _ in 0..4 {
        let Err(found) = resolve(&asked, locks, base, QUESTION_MODULES) else { break };
        for one in found.iter() {
            match one.field.strip_prefix("settings.") {
                Some("preset") => asked.preset = None,
                Some(name) => asked.settings.set(name.parse().expect("a setting"), None),
                None if one.field == "item" => asked.scope = Scope::whole(base).unwrap_or_default(),
                None => asked.selection = Selection::default(),
            }
        }
    }
    let result = resolve(&asked, locks, base, QUESTION_MODULES);
    (asked, result)
}

/// Asserts that nothing that is on depends on something that is off, and that sources speak the truth.
fn assert_closed(effective: &Effective) {
    for one in &effective.settings {
        let row = one.setting.row();
        let is_on = |setting: &Setting| effective.is_on(*setting);
        if one.decision.value {
            assert!(row.parents.iter().all(is_on), "{}", one.setting);
            assert!(!row.conflicts.iter().any(is_on), "{}", one.setting);
        }
        if let Source::Forced(Cause::Setting(cause)) = &one.decision.source {
            assert!(row.parents.contains(cause) && !is_on(cause) || row.conflicts.contains(cause));
        }
    }
    for item in &effective.items {
        let section = item.section.as_deref().and_then(|section| effective.item(section));
        if item.included.value && item.kind == ItemKind::Activity {
            assert!(effective.is_on(Setting::Activities), "{}", item.name);
            assert!(section.is_none_or(|section| section.included.value), "{}", item.name);
            let uses_questions = QUESTION_MODULES.contains(&item.module_name.as_str());
            assert!(!uses_questions || effective.is_on(Setting::QuestionBank), "{}", item.name);
        }
        if item.user_data.value {
            assert!(effective.is_on(Setting::Users) && item.included.value, "{}", item.name);
            assert!(section.is_none_or(|section| section.user_data.value), "{}", item.name);
        }
    }
}

/// Asserts that a contradiction names a field that the request has, and the setting or item in it.
fn assert_named(asked: &Asked, contradiction: &Contradiction) {
    let Contradiction { field, message } = contradiction;
    assert!(!message.is_empty());
    if let Some(name) = field.strip_prefix("settings.") {
        match name.parse::<Setting>() {
            Ok(setting) => {
                assert!(asked.settings.get(setting).is_some(), "{field}");
                assert!(message.starts_with(name), "{field}: {message}");
            }
            Err(_) => assert!(name == "preset" && asked.preset.is_some(), "{field}"),
        }
        return;
    }
    let Some(rest) = field.strip_prefix("selection.") else {
        assert_eq!(field, "item");
        return;
    };
    let selection = &asked.selection;
    match rest.trim_end_matches(']').split_once('[') {
        None => assert!(rest == "extent" && selection.extent.is_some(), "{field}"),
        Some(("item_settings", name)) => assert!(selection.item_settings.contains_key(name), "{field}"),
        Some((list, place)) => {
            let rules = match list {
                "include" => &selection.include,
                "exclude" => &selection.exclude,
                "user_data_on" => &selection.user_data_on,
                "user_data_off" => &selection.user_data_off,
                _ => panic!("{field}"),
            };
            let rule = &rules[place.parse::<usize>().expect("an index")];
            assert!(message.contains(rule.trim_start_matches("type:")), "{field}: {message}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn results_are_closed_honoured_and_stable((asked, locks, state) in some_request()) {
        let base = &states()[state];
        if let Err(found) = resolve(&asked, &locks, base, QUESTION_MODULES) {
            prop_assert!(found.iter().len() > 0);
            found.iter().for_each(|one| assert_named(&asked, one));
        }
        // Without the fields that were named the rest can be had.
        let (asked, result) = repaired(asked, &locks, base);
        let effective = match result {
            Ok(effective) => effective,
            Err(found) => {
                prop_assert!(found.iter().all(|one| one.field == "item"), "{}", found);
                return Ok(());
            }
        };
        assert_closed(&effective);
        for one in &effective.settings {
            let is_honoured = asked.settings.get(one.setting).is_none_or(|value| value == one.decision.value);
            prop_assert!(is_honoured || one.decision.source == Source::NotHeld, "{}", one.setting);
        }
        let again = resolve(&again(&asked, &effective), &locks, base, QUESTION_MODULES);
        let again = again.map_err(|found| TestCaseError::fail(found.to_string()))?;
        prop_assert_eq!(all_on(&again), all_on(&effective));
        prop_assert_eq!(again.entries("x"), effective.entries("x"));
    }

    #[test]
    fn asking_for_less_never_brings_more(
        (asked, locks, state) in some_request(), setting in select(Setting::ALL), rules in some_rules(),
    ) {
        // A cartridge keeps users out, and anonymising is less although it is on.
        prop_assume!(!matches!(setting, Setting::Imscc11 | Setting::Anonymize));
        let base = &states()[state];
        let (mut less, before) = repaired(asked, &locks, base);
        less.settings.set(setting, Some(false));
        less.selection.exclude.extend(rules.iter().cloned());
        less.selection.user_data_off.extend(rules);
        let after = resolve(&less, &locks, base, QUESTION_MODULES);
        if let (Ok(before), Ok(after)) = (before, after) {
            prop_assert!(all_on(&after).is_subset(&all_on(&before)));
        }
    }

    #[test]
    fn who_asks_for_nothing_is_never_refused(mode in select(&Mode::ALL[..]), locks in some_values(8)) {
        let locks: Vec<Lock> = locks.iter().map(|(setting, value)| Lock { setting, value }).collect();
        for base in states() {
            let asked = Asked { mode, scope: Scope::Course, ..Asked::default() };
            let is_course = base.archive_type == moodle::ArchiveType::Course;
            prop_assert_eq!(resolve(&asked, &locks, base, QUESTION_MODULES).is_ok(), is_course);
        }
    }

    #[test]
    fn requests_and_results_survive_json((asked, locks, state) in some_request()) {
        let text = serde_json::to_string(&asked).expect("a request is JSON");
        prop_assert_eq!(&serde_json::from_str::<Asked>(&text).expect("the same request"), &asked);
        if let (_, Ok(effective)) = repaired(asked, &locks, &states()[state]) {
            let text = serde_json::to_string(&effective).expect("a result is JSON");
            prop_assert_eq!(serde_json::from_str::<Effective>(&text).expect("the same result"), effective);
        }
    }
}
