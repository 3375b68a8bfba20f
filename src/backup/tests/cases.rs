//! Single cases: sources, locks, presets, contradictions, selection.

use super::*;

fn names(effective: &Effective) -> Vec<&str> {
    effective.items.iter().filter(|item| item.included.value).map(|item| item.name.as_str()).collect()
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// A request with a selection.
fn select(extent: Option<Extent>, include: &[&str], exclude: &[&str]) -> Asked {
    let selection =
        Selection { extent, include: strings(include), exclude: strings(exclude), ..Selection::default() };
    Asked { selection, ..Asked::default() }
}

fn user_data(on: &[&str], off: &[&str]) -> Asked {
    let selection =
        Selection { user_data_on: strings(on), user_data_off: strings(off), ..Selection::default() };
    Asked { selection, ..Asked::default() }
}

fn forced(setting: Setting) -> Source {
    Source::Forced(Cause::Setting(setting))
}

fn forced_by(name: &str) -> Source {
    Source::Forced(Cause::Item(name.to_owned()))
}

/// Value and source of an item's inclusion and of its user data.
fn item(effective: &Effective, name: &str) -> anyhow::Result<[(bool, Source); 2]> {
    let item = effective.item(name).ok_or_else(|| anyhow::anyhow!("{name} is not there"))?;
    Ok([&item.included, &item.user_data].map(|decision| (decision.value, decision.source.clone())))
}

#[test]
fn the_table_is_in_the_order_of_the_settings_and_parents_come_first() {
    for (place, row) in TABLE.iter().enumerate() {
        assert_eq!(row.setting, Setting::ALL[place]);
        assert_eq!(row.setting.row().setting, row.setting);
        assert!(row.parents.iter().chain(row.conflicts).all(|other| *other < row.setting), "{}", row.setting);
    }
}

#[test]
fn modes_have_moodles_numbers() {
    for mode in Mode::ALL {
        assert_eq!(Mode::from_number(mode.number()), Some(mode));
    }
    assert_eq!(Mode::from_number(0), None);
    assert_eq!(Mode::default().number(), 10);
}

#[test]
fn defaults_follow_the_mode() -> anyhow::Result<()> {
    let base = fullest()?;
    for (mode, logs, users, has_cartridge) in [
        (Mode::General, (false, Source::Default), (true, Source::Default), true),
        (Mode::Automated, (false, Source::Default), (true, Source::Default), false),
        (Mode::SameSite, (true, Source::Default), (true, Source::Default), false),
        (Mode::Hub, (false, forced(Setting::Users)), (false, Source::Forced(Cause::Mode(Mode::Hub))), false),
    ] {
        let effective = resolved(&Asked { mode, ..Asked::default() }, &base)?;
        assert_eq!(decision(&effective, Setting::Logs), Some(logs), "{mode:?}");
        assert_eq!(decision(&effective, Setting::Users), Some(users), "{mode:?}");
        assert_eq!(decision(&effective, Setting::Imscc11).is_some(), has_cartridge, "{mode:?}");
        assert_eq!(decision(&effective, Setting::Permissions), None, "{mode:?}");
        assert!(effective.is_on(Setting::Permissions));
    }
    Ok(())
}

#[test]
fn permissions_are_a_choice_in_imports_only() -> anyhow::Result<()> {
    let base = fullest()?;
    let import = Asked { mode: Mode::Import, ..Asked::default() };
    let effective = resolved(&import, &base)?;
    assert_eq!(decision(&effective, Setting::Permissions), Some((false, Source::Default)));
    let entries = effective.entries("x.mbz");
    let place = |name: &str| entries.iter().position(|entry| entry.name == name);
    assert_eq!(place("permissions"), place("role_assignments").map(|place| place + 1));
    assert_eq!(
        refused(&ask("permissions=0")?, &[], &base),
        [(
            "settings.permissions".to_owned(),
            "permissions can be off in imports only; this is mode general".to_owned()
        )]
    );
    assert!(refused(&ask("permissions=1")?, &[], &base).is_empty());
    Ok(())
}

#[test]
fn what_was_not_asked_gives_way_and_says_to_what() -> anyhow::Result<()> {
    let effective = resolved(&ask("users=0 logs=0")?, &fullest()?)?;
    for (setting, source) in [
        (Setting::Users, Source::Asked),
        (Setting::Anonymize, Source::Default),
        (Setting::RoleAssignments, forced(Setting::Users)),
        (Setting::Badges, forced(Setting::Users)),
        (Setting::Logs, Source::Asked),
        (Setting::GradeHistories, Source::Default),
        (Setting::XapiState, forced(Setting::Users)),
    ] {
        assert_eq!(decision(&effective, setting), Some((false, source)), "{setting}");
    }
    let effective = resolved(&ask("activities=0")?, &fullest()?)?;
    assert_eq!(decision(&effective, Setting::Badges), Some((false, forced(Setting::Activities))));
    assert_eq!(item(&effective, "forum_9")?[0], (false, forced(Setting::Activities)));
    assert_eq!(item(&effective, "forum_9")?[1], (false, forced_by("forum_9_included")));
    assert_eq!(names(&effective).len(), 7);
    Ok(())
}

#[test]
fn contradictions_are_told_all_at_once_with_their_fields() -> anyhow::Result<()> {
    let mut asked = ask("imscc11=1 users=1 blocks=1 anonymize=1 activities=0 badges=1")?;
    asked.selection.include = strings(&["forum_9", "forun_9", "type:quizz"]);
    asked.selection.exclude = strings(&["forum_9"]);
    asked.selection.item_settings = [("quiz_22".to_owned(), true)].into();
    let expected = [
        ("settings.users", "users cannot be on: imscc11 is on, as asked"),
        ("settings.anonymize", "anonymize cannot be on: users is off because of imscc11"),
        ("settings.blocks", "blocks cannot be on: imscc11 is on, as asked"),
        ("settings.badges", "badges cannot be on: users is off because of imscc11"),
        (
            "selection.include[1]",
            "the backup has no section or activity \"forun_9\"; near to it: forum_9, forum_1",
        ),
        ("selection.include[2]", "the backup has no activity of the type \"quizz\"; near to it: quiz"),
        (
            "selection.exclude[0]",
            "inclusion of forum_9 is asked off here and on by selection.include[0], equally specific",
        ),
        (
            "selection.item_settings[quiz_22]",
            "is no setting of a section or activity: those end with _included or _userinfo",
        ),
        ("selection.include[0]", "forum_9 cannot be included: activities is off, as asked"),
    ];
    let expected = expected.map(|(field, message)| (field.to_owned(), message.to_owned()));
    assert_eq!(refused(&asked, &[], &fullest()?), expected);
    Ok(())
}

#[test]
fn a_dependent_cannot_be_asked_on_while_its_parent_is_asked_off() -> anyhow::Result<()> {
    let base = fullest()?;
    let fields = |text| -> anyhow::Result<Vec<String>> {
        Ok(refused(&ask(text)?, &[], &base).into_iter().map(|(field, _)| field).collect())
    };
    assert_eq!(fields("users=0 anonymize=1")?, ["settings.anonymize"]);
    assert_eq!(fields("users=0 comments=1 logs=1")?, ["settings.comments", "settings.logs"]);
    assert_eq!(fields("activities=0 grade_histories=1")?, ["settings.grade_histories"]);
    assert_eq!(fields("imscc11=1 users=1")?, ["settings.users"]);
    assert_eq!(fields("imscc11=1")?, [""; 0]);
    // Off is never a contradiction.
    assert_eq!(fields("users=0 anonymize=0 comments=0")?, [""; 0]);
    Ok(())
}

#[test]
fn a_cartridge_is_for_whole_courses_only() -> anyhow::Result<()> {
    let asked = Asked { scope: Scope::Section(3), ..ask("imscc11=1")? };
    assert_eq!(refused(&asked, &[], &fullest()?)[0].0, "settings.imscc11");
    let asked = Asked { scope: Scope::Section(3), ..ask("imscc11=0")? };
    assert!(refused(&asked, &[], &fullest()?).is_empty());
    let effective = resolved(&ask("imscc11=1")?, &fullest()?)?;
    for setting in [Setting::Users, Setting::Blocks, Setting::Filters] {
        assert_eq!(decision(&effective, setting), Some((false, forced(Setting::Imscc11))));
    }
    Ok(())
}

#[test]
fn locks_win_silently_over_defaults_and_loudly_over_requests() -> anyhow::Result<()> {
    let base = fullest()?;
    let lock = |setting, value| Lock { setting, value };
    let no_users = [lock(Setting::Users, false), lock(Setting::Comments, true)];
    let effective = resolve(&Asked::default(), &no_users, &base, QUESTION_MODULES)?;
    assert_eq!(decision(&effective, Setting::Users), Some((false, Source::Lock)));
    // A lock never brings in what another setting keeps out.
    assert_eq!(decision(&effective, Setting::Comments), Some((false, forced(Setting::Users))));
    assert_eq!(
        refused(&ask("users=1 logs=1")?, &no_users, &base),
        [
            ("settings.users".to_owned(), "users cannot be on: it is locked off".to_owned()),
            ("settings.logs".to_owned(), "logs cannot be on: users is locked off".to_owned()),
        ]
    );
    assert_eq!(
        refused(&ask("blocks=0")?, &[lock(Setting::Blocks, true)], &base),
        [("settings.blocks".to_owned(), "blocks cannot be off: it is locked on".to_owned())]
    );
    // Asking for what is locked anyway is no contradiction.
    assert!(refused(&ask("users=0")?, &no_users, &base).is_empty());
    Ok(())
}

#[test]
fn presets_stand_in_for_what_is_not_asked() -> anyhow::Result<()> {
    let base = fullest()?;
    let with = |preset: BuiltInPreset, text| -> anyhow::Result<Asked> {
        Ok(Asked { preset: Some(preset.preset()), ..ask(text)? })
    };
    let effective = resolved(&with(BuiltInPreset::Everything, "blocks=0")?, &base)?;
    assert_eq!(decision(&effective, Setting::Logs), Some((true, Source::Preset)));
    assert_eq!(decision(&effective, Setting::Anonymize), Some((false, Source::Preset)));
    assert_eq!(decision(&effective, Setting::Blocks), Some((false, Source::Asked)));
    let effective = resolved(&with(BuiltInPreset::WithoutUsers, "")?, &base)?;
    assert_eq!(decision(&effective, Setting::Users), Some((false, Source::Lock)));
    assert_eq!(decision(&effective, Setting::Blocks), Some((true, Source::Default)));
    let effective = resolved(&with(BuiltInPreset::Anonymized, "")?, &base)?;
    assert_eq!(decision(&effective, Setting::Anonymize), Some((true, Source::Lock)));
    for preset in [BuiltInPreset::Moodle, BuiltInPreset::Automated] {
        let effective = resolved(&with(preset, "")?, &base)?;
        assert_eq!(decision(&effective, Setting::GradeHistories), Some((false, Source::Preset)));
    }
    let asked = with(BuiltInPreset::Anonymized, "users=0")?;
    assert_eq!(refused(&asked, &[], &base)[0].0, "settings.users");
    let lock = Lock { setting: Setting::Anonymize, value: false };
    assert_eq!(
        refused(&with(BuiltInPreset::Anonymized, "")?, &[lock], &base),
        [("settings.preset".to_owned(), "the preset anonymized locks anonymize on, the site off".to_owned())]
    );
    Ok(())
}

#[test]
fn what_the_state_does_not_hold_is_told_and_no_contradiction() -> anyhow::Result<()> {
    let without_logs = manifest("rich101-full-zip")?;
    let effective = resolved(&ask("logs=1")?, &without_logs)?;
    assert_eq!(decision(&effective, Setting::Logs), Some((false, Source::NotHeld)));
    let without_users = manifest("rich101-tgz-nu")?;
    let asked = Asked { selection: user_data(&["forum_9"], &[]).selection, ..ask("users=1 comments=1")? };
    let effective = resolved(&asked, &without_users)?;
    for setting in [Setting::Users, Setting::Comments] {
        assert_eq!(decision(&effective, setting), Some((false, Source::NotHeld)));
    }
    assert_eq!(item(&effective, "forum_9")?, [(true, Source::Default), (false, Source::NotHeld)]);
    let without_files = manifest("rich101-nf")?;
    // As in modes that leave the contents out without saying so in the settings.
    let only_told = Manifest { includes_files: false, ..fullest()? };
    for base in [without_files, only_told] {
        let effective = resolved(&Asked::default(), &base)?;
        assert_eq!(decision(&effective, Setting::Files), Some((false, Source::NotHeld)));
    }
    // A choice that excludes it counts before the state's lack.
    assert_eq!(refused(&ask("users=0 logs=1")?, &[], &without_logs)[0].0, "settings.logs");
    Ok(())
}

#[test]
fn names_that_the_state_has_lost_stay_lost() -> anyhow::Result<()> {
    let base = manifest("rich101-zip-an")?;
    let anonymize = |text| -> anyhow::Result<Option<(bool, Source)>> {
        Ok(decision(&resolved(&ask(text)?, &base)?, Setting::Anonymize))
    };
    assert_eq!(anonymize("")?, Some((true, Source::NotHeld)));
    assert_eq!(anonymize("anonymize=0")?, Some((true, Source::NotHeld)));
    assert_eq!(anonymize("anonymize=1")?, Some((true, Source::Asked)));
    assert_eq!(anonymize("users=0")?, Some((false, Source::Default)));
    Ok(())
}

#[test]
fn settings_that_an_old_archive_does_not_list_follow_their_history() -> anyhow::Result<()> {
    let mut base = fullest()?;
    base.settings.retain(|setting| setting.level != moodle::SettingLevel::Root);
    let effective = resolved(&Asked::default(), &base)?;
    for setting in [Setting::Groups, Setting::QuestionBank, Setting::LegacyFiles, Setting::Files] {
        assert_eq!(decision(&effective, setting), Some((true, Source::Default)), "{setting}");
    }
    for setting in [Setting::Users, Setting::Comments, Setting::ContentBankContent, Setting::XapiState] {
        assert_eq!(decision(&effective, setting), Some((false, Source::NotHeld)), "{setting}");
    }
    Ok(())
}

#[test]
fn the_more_specific_rule_wins() -> anyhow::Result<()> {
    let base = fullest()?;
    let selected = |default, include: &[&str], exclude: &[&str]| -> anyhow::Result<Vec<String>> {
        Ok(strings(&names(&resolved(&select(default, include, exclude), &base)?)))
    };
    let all = selected(None, &[], &[])?;
    assert_eq!(all.len(), 7 + 33);
    assert_eq!(selected(Some(Extent::None), &[], &[])?, [""; 0]);
    // An activity brings its section; a section brings its activities.
    assert_eq!(selected(Some(Extent::None), &["forum_9"], &[])?, ["section_3", "forum_9"]);
    assert_eq!(
        selected(Some(Extent::None), &["section_5"], &["type:quiz"])?,
        ["section_5", "lesson_24", "workshop_25"]
    );
    assert_eq!(
        selected(None, &["quiz_22"], &["type:quiz", "all"])?,
        ["section_5", "quiz_22"],
        "item over type over all"
    );
    assert_eq!(selected(Some(Extent::None), &["type:wiki"], &["wiki_17"])?, ["section_4", "wiki_16"]);
    let without = selected(None, &["type:quiz"], &["section_5"])?;
    assert_eq!(without.len(), all.len() - 5, "a section that is out takes its activities out");
    Ok(())
}

#[test]
fn sections_and_settings_take_activities_out_and_say_so() -> anyhow::Result<()> {
    let base = fullest()?;
    let effective = resolved(&select(None, &[], &["section_3"]), &base)?;
    assert_eq!(
        item(&effective, "section_3")?,
        [(false, Source::Asked), (false, forced_by("section_3_included"))]
    );
    assert_eq!(
        item(&effective, "forum_9")?,
        [(false, forced_by("section_3_included")), (false, forced_by("forum_9_included"))]
    );
    assert_eq!(
        refused(&select(None, &["forum_9"], &["section_3"]), &[], &base),
        [(
            "selection.include[0]".to_owned(),
            "forum_9 cannot be included: section_3_included is off, as asked".to_owned()
        )]
    );
    let effective = resolved(&ask("questionbank=0")?, &base)?;
    assert_eq!(item(&effective, "quiz_22")?[0], (false, forced(Setting::QuestionBank)));
    let effective = resolve(&ask("questionbank=0")?, &[], &base, &["lesson"])?;
    assert_eq!(item(&effective, "quiz_22")?[0], (true, Source::Default));
    assert_eq!(item(&effective, "lesson_24")?[0], (false, forced(Setting::QuestionBank)));
    let mut asked = ask("questionbank=0")?;
    asked.selection.item_settings = [("quiz_22_included".to_owned(), true)].into();
    assert_eq!(
        refused(&asked, &[], &base),
        [(
            "selection.item_settings[quiz_22_included]".to_owned(),
            "quiz_22 cannot be included: questionbank is off, as asked".to_owned()
        )]
    );
    Ok(())
}

#[test]
fn user_data_follows_users_section_and_activity() -> anyhow::Result<()> {
    let base = fullest()?;
    let effective = resolved(&user_data(&[], &["section_3", "type:wiki"]), &base)?;
    assert_eq!(item(&effective, "section_3")?, [(true, Source::Default), (false, Source::Asked)]);
    assert_eq!(item(&effective, "forum_9")?[1], (false, forced_by("section_3_userinfo")));
    assert_eq!(item(&effective, "wiki_16")?[1], (false, Source::Asked));
    assert_eq!(item(&effective, "glossary_15")?[1], (true, Source::Default));
    // All off, one on: its section's user data comes along, that of its neighbours does not.
    let effective = resolved(&user_data(&["forum_9"], &["all"]), &base)?;
    assert_eq!(item(&effective, "section_3")?[1], (true, forced_by("forum_9_userinfo")));
    assert_eq!(item(&effective, "forum_9")?[1], (true, Source::Asked));
    assert_eq!(item(&effective, "forum_10")?[1], (false, Source::Asked));
    assert_eq!(item(&effective, "section_4")?[1], (false, Source::Asked));
    let contradictions = [
        (user_data(&["forum_9"], &["section_3"]), "section_3_userinfo is off, as asked"),
        (Asked { settings: values("users=0")?, ..user_data(&["forum_9"], &[]) }, "users is off, as asked"),
        (
            Asked {
                selection: Selection {
                    exclude: strings(&["type:forum"]),
                    user_data_on: strings(&["forum_9"]),
                    ..Selection::default()
                },
                ..Asked::default()
            },
            "forum_9_included is off, as asked",
        ),
    ];
    for (asked, why) in contradictions {
        assert_eq!(
            refused(&asked, &[], &base),
            [(
                "selection.user_data_on[0]".to_owned(),
                format!("forum_9 cannot come with its user data: {why}")
            )]
        );
    }
    Ok(())
}

#[test]
fn what_the_state_holds_of_items_limits_them() -> anyhow::Result<()> {
    let mut base = fullest()?;
    for activity in &mut base.activities {
        activity.includes_user_data &= activity.module_id != 9;
        activity.included &= activity.module_id != 10;
    }
    let mut asked = user_data(&["forum_9"], &[]);
    asked.selection.include = strings(&["forum_10"]);
    let effective = resolved(&asked, &base)?;
    assert_eq!(item(&effective, "forum_9")?, [(true, Source::Default), (false, Source::NotHeld)]);
    assert_eq!(item(&effective, "forum_10")?, [(false, Source::NotHeld), (false, Source::NotHeld)]);
    Ok(())
}

#[test]
fn a_part_must_exist_and_be_included() -> anyhow::Result<()> {
    let base = fullest()?;
    let scope = |scope, text| -> anyhow::Result<Vec<(String, String)>> {
        Ok(refused(&Asked { scope, ..ask(text)? }, &[], &base))
    };
    for (part, text, message) in [
        (Scope::Section(99), "", "the course has no section_99"),
        (Scope::Activity(99), "", "the course has no activity with the number 99"),
        (
            Scope::Activity(22),
            "questionbank=0",
            "nothing would be in the backup: quiz_22_included is off because of questionbank",
        ),
    ] {
        assert_eq!(scope(part, text)?, [("item".to_owned(), message.to_owned())]);
    }
    let part = manifest("rich101-section3")?;
    assert_eq!(refused(&Asked::default(), &[], &part)[0].0, "item");
    // Items outside of the part are unknown to it.
    let asked = Asked { scope: Scope::Section(3), ..select(None, &[], &["wiki_16"]) };
    assert_eq!(refused(&asked, &[], &base)[0].0, "selection.exclude[0]");
    Ok(())
}

#[test]
fn activities_without_a_listed_section_are_kept() -> anyhow::Result<()> {
    let mut base = fullest()?;
    base.sections.retain(|section| section.section_id != 3);
    let effective = resolved(&Asked::default(), &base)?;
    let last = effective.items.last().ok_or_else(|| anyhow::anyhow!("no items"))?;
    assert_eq!((last.name.as_str(), last.section.as_deref()), ("survey_14", None));
    assert!(last.included.value && last.user_data.value);
    Ok(())
}
