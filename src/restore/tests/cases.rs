//! Single cases: what archives hold, targets, sources, enrolments, names, dates, selection.

use super::*;

fn forced(setting: Setting) -> Source {
    Source::Forced(Cause::Setting(setting))
}

fn by_target(target: Target) -> Source {
    Source::Forced(Cause::Mode(Circumstance::Target(target)))
}

fn given(seconds: i64) -> Option<CourseStart> {
    Some(CourseValue::Given(Timestamp::from_secs(seconds)))
}

fn named(name: &str) -> Option<CourseName> {
    Some(CourseValue::Given(name.to_owned()))
}

#[test]
fn the_table_is_in_the_order_of_the_settings_and_parents_come_first() {
    for (place, row) in TABLE.iter().enumerate() {
        assert_eq!(row.setting, Setting::ALL[place]);
        let mut parents = row.parents(Compatibility::Strict);
        assert!(parents.all(|parent| parent < row.setting), "{}", row.setting);
    }
}

#[test]
fn everything_held_is_restored_by_default_and_the_rest_says_so() -> anyhow::Result<()> {
    use Setting::*;
    for (archive, missing) in [
        ("rich101-logs-histories-tgz", &[][..]),
        ("rich101-full-zip", &[Logs, GradeHistories]),
        (
            "rich101-tgz-nu",
            &[Users, RoleAssignments, Comments, Badges, UsersCompletion, Logs, GradeHistories, XapiState],
        ),
        ("rich101-noactivities", &[Activities, Badges, Logs, GradeHistories]),
        ("rich101-noquestionbank-nogroups", &[Logs, GradeHistories, Groups]),
        (
            "rich101-bare-nu",
            &[
                Users,
                RoleAssignments,
                Blocks,
                Filters,
                Comments,
                Badges,
                CalendarEvents,
                UsersCompletion,
                Logs,
                GradeHistories,
                Groups,
                Competencies,
                CustomField,
                ContentBankContent,
                XapiState,
            ],
        ),
    ] {
        let effective = resolved(&Asked::default(), &manifest(archive)?)?;
        for one in &effective.settings {
            let expected = if missing.contains(&one.setting) {
                (false, Source::NotHeld)
            } else {
                match one.setting {
                    OverwriteConf => (true, by_target(Target::NewCourse)),
                    KeepRolesAndEnrolments | KeepGroupsAndGroupings => (false, by_target(Target::NewCourse)),
                    _ => (true, Source::Default),
                }
            };
            assert_eq!(
                (one.decision.value, one.decision.source.clone()),
                expected,
                "{archive} {}",
                one.setting
            );
        }
        assert_eq!(effective.settings.len(), TABLE.len());
    }
    Ok(())
}

#[test]
fn a_setting_that_an_old_archive_does_not_know_counts_as_moodle_counts_it() -> anyhow::Result<()> {
    let mut archive = fullest()?;
    archive
        .settings
        .retain(|setting| setting.level != moodle::SettingLevel::Root || setting.name == "activities");
    let effective = resolved(&Asked::default(), &archive)?;
    let on: Vec<&str> =
        effective.settings.iter().filter(|one| one.decision.value).map(|one| one.setting.as_str()).collect();
    let expected = ["permissions", "activities", "groups", "customfield", "legacyfiles", "overwrite_conf"];
    assert_eq!(on, expected);
    Ok(())
}

#[test]
fn moodles_slips_are_followed_only_if_asked() -> anyhow::Result<()> {
    // Custom fields take the default of groups.
    let archive = manifest("rich101-noquestionbank-nogroups")?;
    let moodle = Asked { compatibility: Compatibility::Moodle, ..Asked::default() };
    assert_eq!(decision(&resolved(&moodle, &archive)?, Setting::CustomField), Some((false, Source::Default)));
    assert_eq!(
        decision(&resolved(&Asked::default(), &archive)?, Setting::CustomField),
        Some((true, Source::Default))
    );
    // The state of xAPI content stays on without users.
    for (compatibility, expected) in [
        (Compatibility::Moodle, (true, Source::Default)),
        (Compatibility::Strict, (false, forced(Setting::Users))),
    ] {
        let asked = Asked { compatibility, ..ask(Target::NewCourse, "users=0")? };
        assert_eq!(decision(&resolved(&asked, &fullest()?)?, Setting::XapiState), Some(expected));
    }
    Ok(())
}

#[test]
fn targets_leave_choices() -> anyhow::Result<()> {
    use Setting::{KeepGroupsAndGroupings as Groups, KeepRolesAndEnrolments as Roles, OverwriteConf};
    let archive = fullest()?;
    for target in Target::ALL.iter().copied() {
        let effective = resolved(&ask(target, "")?, &archive)?;
        let default = || Some((false, Source::Default));
        let forced_off = Some((false, by_target(target)));
        let keeps = if target.is_deleting() { default() } else { forced_off };
        assert_eq!(decision(&effective, Roles), keeps, "{target}");
        assert_eq!(decision(&effective, Groups), keeps, "{target}");
        let overwrites = if target.is_new() { Some((true, by_target(target))) } else { default() };
        assert_eq!(decision(&effective, OverwriteConf), overwrites, "{target}");
        let asked = ask(target, "overwrite_conf=1 keep_roles_and_enrolments=1 keep_groups_and_groupings=1")?;
        let fields = refused_fields(&asked, &Locks::default(), &archive);
        let expected: &[&str] = if target.is_deleting() {
            &[]
        } else {
            &["settings.keep_roles_and_enrolments", "settings.keep_groups_and_groupings"]
        };
        assert_eq!(fields, expected, "{target}");
    }
    assert_eq!(
        refused(&ask(Target::NewCourse, "overwrite_conf=0")?, &Locks::default(), &archive),
        [(
            "settings.overwrite_conf".to_owned(),
            "overwrite_conf cannot be off: it is on for the target NEW_COURSE".to_owned()
        )]
    );
    Ok(())
}

#[test]
fn parts_are_merged_and_have_no_course_of_their_own() -> anyhow::Result<()> {
    for (name, items) in [("rich101-section3", "section_3"), ("rich101-activity-quiz", "quiz_22")] {
        let archive = manifest(name)?;
        let effective = resolved(&ask(Target::CurrentAdding, "")?, &archive)?;
        assert!(effective.item(items).is_some_and(|item| item.included.value), "{name}");
        assert_eq!(decision(&effective, Setting::OverwriteConf), None);
        assert!(effective.enrolments.is_none() && effective.full_name.is_none() && effective.start.is_none());
        assert_eq!(effective.enrolment_work(), EnrolmentWork::Unchanged);
        for target in [Target::NewCourse, Target::ExistingDeleting] {
            assert_eq!(refused_fields(&ask(target, "")?, &Locks::default(), &archive), ["target"]);
        }
        let choices = CourseChoices {
            enrolments: Some(Enrolments::Always),
            full_name: named("A"),
            short_name: Some(CourseValue::OfCourse),
            start: given(7),
        };
        let asked = Asked { choices, ..ask(Target::ExistingAdding, "overwrite_conf=1")? };
        assert_eq!(
            refused_fields(&asked, &Locks::default(), &archive),
            [
                "settings.overwrite_conf",
                "settings.enrolments",
                "settings.course_fullname",
                "settings.course_startdate"
            ]
        );
    }
    Ok(())
}

#[test]
fn enrolments_need_users_in_the_archive_to_come_with_them() -> anyhow::Result<()> {
    let asked = |enrolments, text| -> anyhow::Result<Asked> {
        let choices = CourseChoices { enrolments, ..CourseChoices::default() };
        Ok(Asked { choices, ..ask(Target::NewCourse, text)? })
    };
    for (archive, enrolments, settings, expected, work) in [
        (
            "rich101-full-zip",
            None,
            "",
            (Enrolments::WithUsers, Source::Default),
            EnrolmentWork::MethodsAndUsers,
        ),
        (
            "rich101-full-zip",
            None,
            "users=0",
            (Enrolments::WithUsers, Source::Default),
            EnrolmentWork::SiteDefaults,
        ),
        (
            "rich101-full-zip",
            Some(Enrolments::Never),
            "",
            (Enrolments::Never, Source::Asked),
            EnrolmentWork::ManualUsers,
        ),
        (
            "rich101-full-zip",
            Some(Enrolments::Always),
            "users=0",
            (Enrolments::Always, Source::Asked),
            EnrolmentWork::Methods,
        ),
        ("rich101-tgz-nu", None, "", (Enrolments::Never, Source::NotHeld), EnrolmentWork::SiteDefaults),
        (
            "rich101-tgz-nu",
            Some(Enrolments::WithUsers),
            "",
            (Enrolments::Never, Source::NotHeld),
            EnrolmentWork::SiteDefaults,
        ),
        (
            "rich101-tgz-nu",
            Some(Enrolments::Always),
            "",
            (Enrolments::Always, Source::Asked),
            EnrolmentWork::Methods,
        ),
    ] {
        let effective = resolved(&asked(enrolments, settings)?, &manifest(archive)?)?;
        let decision = effective.enrolments.clone().map(|decision| (decision.value, decision.source));
        assert_eq!(decision, Some(expected), "{archive} {enrolments:?}");
        assert_eq!(effective.enrolment_work(), work, "{archive} {enrolments:?}");
    }
    let choices = CourseChoices { enrolments: Some(Enrolments::Never), ..CourseChoices::default() };
    let locks = Locks { choices, ..Locks::default() };
    assert_eq!(
        refused_fields(&asked(Some(Enrolments::Always), "")?, &locks, &fullest()?),
        ["settings.enrolments"]
    );
    Ok(())
}

#[test]
fn modes_without_users_have_none() -> anyhow::Result<()> {
    for mode in Mode::ALL {
        let asked = Asked { mode, ..Asked::default() };
        let users = decision(&resolved(&asked, &fullest()?)?, Setting::Users);
        let expected = if mode.admits_users() {
            (true, Source::Default)
        } else {
            (false, Source::Forced(Cause::Mode(Circumstance::Mode(mode))))
        };
        assert_eq!(users, Some(expected), "{mode:?}");
    }
    let asked = Asked { mode: Mode::Import, ..ask(Target::ExistingAdding, "users=1 logs=1")? };
    assert_eq!(
        refused(&asked, &Locks::default(), &fullest()?),
        [
            ("settings.users".to_owned(), "users cannot be on: it is off in mode import".to_owned()),
            ("settings.logs".to_owned(), "logs cannot be on: users is off in mode import".to_owned()),
        ]
    );
    Ok(())
}

#[test]
fn names_and_start_go_with_the_configuration() -> anyhow::Result<()> {
    use CourseValue::{OfArchive, OfCourse};
    let strict = Compatibility::Strict;
    let moodle = Compatibility::Moodle;
    let forced_by_conf = || forced(Setting::OverwriteConf);
    // Target, configuration, compatibility, asked name and start; name and start with their sources, or refused fields.
    let name_field = "settings.course_fullname";
    let start_field = "settings.course_startdate";
    type Got<T> = (CourseValue<T>, Source);
    type Case = (
        Target,
        &'static str,
        Compatibility,
        Option<CourseName>,
        Option<CourseStart>,
        Result<(Got<String>, Got<Timestamp>), Vec<&'static str>>,
    );
    let default = || Source::Default;
    let cases: Vec<Case> = vec![
        (Target::NewCourse, "", strict, None, None, Ok(((OfArchive, default()), (OfArchive, default())))),
        (
            Target::NewCourse,
            "",
            strict,
            named("New"),
            given(9),
            Ok((
                (CourseValue::Given("New".to_owned()), Source::Asked),
                (CourseValue::Given(Timestamp::from_secs(9)), Source::Asked),
            )),
        ),
        (Target::NewCourse, "", strict, Some(OfCourse), Some(OfCourse), Err(vec![name_field, start_field])),
        (
            Target::ExistingAdding,
            "",
            strict,
            None,
            None,
            Ok(((OfCourse, forced_by_conf()), (OfArchive, forced_by_conf()))),
        ),
        (Target::ExistingAdding, "", strict, named("New"), given(9), Err(vec![name_field, start_field])),
        (
            Target::ExistingAdding,
            "",
            strict,
            Some(OfCourse),
            Some(OfCourse),
            Ok(((OfCourse, Source::Asked), (OfCourse, Source::Asked))),
        ),
        (Target::ExistingAdding, "", moodle, Some(OfCourse), Some(OfCourse), Err(vec![start_field])),
        (
            Target::CurrentDeleting,
            "overwrite_conf=1",
            moodle,
            Some(OfCourse),
            Some(OfCourse),
            Ok(((OfCourse, Source::Asked), (OfCourse, Source::Asked))),
        ),
        (
            Target::CurrentAdding,
            "overwrite_conf=1",
            strict,
            None,
            None,
            Ok(((OfArchive, default()), (OfArchive, default()))),
        ),
        (Target::NewCourse, "", strict, named("  "), None, Err(vec![name_field])),
    ];
    for (target, settings, compatibility, full_name, start, expected) in cases {
        let choices = CourseChoices { full_name, start, ..CourseChoices::default() };
        let asked = Asked { compatibility, choices, ..ask(target, settings)? };
        match expected {
            Err(fields) => assert_eq!(refused_fields(&asked, &Locks::default(), &fullest()?), fields),
            Ok((name, start)) => {
                let effective = resolved(&asked, &fullest()?)?;
                assert_eq!(effective.full_name.map(|it| (it.value, it.source)), Some(name), "{target}");
                assert_eq!(effective.start.map(|it| (it.value, it.source)), Some(start), "{target}");
            }
        }
    }
    Ok(())
}

#[test]
fn names_that_moodle_cuts_are_refused() -> anyhow::Result<()> {
    for (length, compatibility, fields) in [
        (100, Compatibility::Strict, &[][..]),
        (101, Compatibility::Strict, &["settings.course_shortname"]),
        (101, Compatibility::Moodle, &[]),
        (255, Compatibility::Strict, &["settings.course_fullname", "settings.course_shortname"]),
    ] {
        let name = named(&"é".repeat(length));
        let choices = CourseChoices { full_name: name.clone(), short_name: name, ..CourseChoices::default() };
        let asked = Asked { compatibility, choices, ..Asked::default() };
        assert_eq!(refused_fields(&asked, &Locks::default(), &fullest()?), fields, "{length}");
    }
    Ok(())
}

#[test]
fn locks_hold_for_existing_courses_and_say_nothing_for_new_ones() -> anyhow::Result<()> {
    let keeps = CourseChoices {
        full_name: Some(CourseValue::OfCourse),
        start: Some(CourseValue::OfCourse),
        ..CourseChoices::default()
    };
    let locks = Locks { settings: vec![Lock { setting: Setting::Users, value: false }], choices: keeps };
    let archive = fullest()?;
    let effective = resolve(&ask(Target::ExistingAdding, "overwrite_conf=1")?, &locks, &archive)?;
    let name = effective.full_name.clone().map(|it| (it.value, it.source));
    assert_eq!(name, Some((CourseValue::OfCourse, Source::Lock)));
    assert_eq!(decision(&effective, Setting::Users), Some((false, Source::Lock)));
    // A site that locks the course's own start moves dates even where the configuration stays.
    let effective = resolve(&ask(Target::ExistingAdding, "")?, &locks, &archive)?;
    assert_eq!(effective.start.map(|it| (it.value, it.source)), Some((CourseValue::OfCourse, Source::Lock)));
    let effective = resolve(&ask(Target::NewCourse, "")?, &locks, &archive)?;
    let name = effective.full_name.map(|it| (it.value, it.source));
    assert_eq!(name, Some((CourseValue::OfArchive, Source::Default)));
    let choices = CourseChoices { full_name: named("Mine"), ..CourseChoices::default() };
    let asked = Asked { choices, ..ask(Target::ExistingAdding, "overwrite_conf=1 users=1 comments=1")? };
    assert_eq!(
        refused_fields(&asked, &locks, &archive),
        ["settings.users", "settings.comments", "settings.course_fullname"]
    );
    Ok(())
}

#[test]
fn items_follow_the_hierarchy_without_the_question_bank() -> anyhow::Result<()> {
    let selection = Selection {
        extent: Some(Extent::None),
        include: vec!["quiz_22".to_owned()],
        user_data_off: vec!["all".to_owned()],
        ..Selection::default()
    };
    let asked = Asked { selection, ..Asked::default() };
    let effective = resolved(&asked, &fullest()?)?;
    let included: Vec<&str> =
        effective.items.iter().filter(|item| item.included.value).map(|item| item.name.as_str()).collect();
    assert_eq!(included, ["section_5", "quiz_22"]);
    assert!(effective.items.iter().all(|item| !item.user_data.value));
    // Without the archive's question bank the archive has no quiz either, and that is told as its lack.
    let effective = resolved(&Asked::default(), &manifest("rich101-noquestionbank-nogroups")?)?;
    assert!(effective.activities().all(|item| item.module_name != "quiz" || !item.included.value));
    let selection = Selection { include: vec!["forum_999".to_owned()], ..Selection::default() };
    let asked = Asked { selection, ..Asked::default() };
    assert_eq!(refused_fields(&asked, &Locks::default(), &fullest()?), ["selection.include[0]"]);
    Ok(())
}

#[test]
fn only_moodle_loses_the_grade_book_with_an_activity() -> anyhow::Result<()> {
    let without = Selection { exclude: vec!["forum_9".to_owned()], ..Selection::default() };
    for (selection, compatibility, misses, loses) in [
        (Selection::default(), Compatibility::Moodle, false, false),
        (Selection::default(), Compatibility::Moodle, true, true),
        (without.clone(), Compatibility::Moodle, false, true),
        (without, Compatibility::Strict, true, false),
    ] {
        let effective = resolved(&Asked { selection, compatibility, ..Asked::default() }, &fullest()?)?;
        assert_eq!(effective.loses_as_moodle(misses), loses);
    }
    let asked = Asked { compatibility: Compatibility::Moodle, ..ask(Target::ExistingAdding, "")? };
    assert!(resolved(&asked, &manifest("rich101-section3")?)?.loses_as_moodle(false));
    assert!(!resolved(&asked, &manifest("rich101-activity-quiz")?)?.loses_as_moodle(false));
    Ok(())
}

#[test]
fn presets_stand_in_for_what_was_not_asked() -> anyhow::Result<()> {
    let preset = Some(BuiltInPreset::WithoutUsers.preset());
    let asked = Asked { preset, ..Asked::default() };
    assert_eq!(decision(&resolved(&asked, &fullest()?)?, Setting::Users), Some((false, Source::Lock)));
    let locks = Locks { settings: vec![Lock { setting: Setting::Users, value: true }], ..Locks::default() };
    assert_eq!(refused_fields(&asked, &locks, &fullest()?), ["settings.preset"]);
    let plain = resolved(&Asked::default(), &fullest()?)?;
    let preset = Some(BuiltInPreset::Moodle.preset());
    let with_preset = resolved(&Asked { preset, ..Asked::default() }, &fullest()?)?;
    for setting in Setting::ALL.iter().copied() {
        assert_eq!(plain.is_on(setting), with_preset.is_on(setting), "{setting}");
    }
    Ok(())
}
