//! What is resolved is what a real Moodle recorded of backups made with the same request: names, order, values, levels.

use super::*;

/// Archive, the state it can be derived from, its scope, and what Moodle was asked.
const RECORDED: &[(&str, &str, Scope, &str)] = &[
    ("gen_s-nf", "gen_s-nf", Scope::Course, "files=0"),
    ("gen_xs-full", "gen_xs-full", Scope::Course, ""),
    ("gen_xs-nu", "gen_xs-full", Scope::Course, "users=0"),
    ("rich101-activity-assign-nu", "rich101-full-zip", Scope::Activity(19), "users=0"),
    ("rich101-activity-quiz", "rich101-full-zip", Scope::Activity(22), ""),
    (
        "rich101-bare-nu",
        "rich101-logs-histories-tgz",
        Scope::Course,
        "users=0 blocks=0 filters=0 calendarevents=0 competencies=0 customfield=0 contentbankcontent=0 \
         legacyfiles=0 questionbank=0 groups=0",
    ),
    ("rich101-full-tgz", "rich101-logs-histories-tgz", Scope::Course, ""),
    ("rich101-full-zip", "rich101-full-tgz", Scope::Course, ""),
    ("rich101-logs-histories-tgz", "rich101-logs-histories-tgz", Scope::Course, "logs=1 grade_histories=1"),
    ("rich101-nf", "rich101-logs-histories-tgz", Scope::Course, "files=0"),
    ("rich101-noactivities", "rich101-logs-histories-tgz", Scope::Course, "activities=0"),
    (
        "rich101-noquestionbank-nogroups",
        "rich101-logs-histories-tgz",
        Scope::Course,
        "questionbank=0 groups=0",
    ),
    ("rich101-section3", "rich101-logs-histories-tgz", Scope::Section(3), ""),
    ("rich101-tgz-nu", "rich101-logs-histories-tgz", Scope::Course, "users=0"),
    ("rich101-zip-an", "rich101-logs-histories-tgz", Scope::Course, "anonymize=1"),
];

#[test]
fn settings_are_those_that_moodle_recorded() -> anyhow::Result<()> {
    for (name, base, scope, asked) in RECORDED {
        let recorded = manifest(name)?;
        let mode = Mode::from_number(recorded.mode).unwrap_or_default();
        assert_eq!(recorded.archive_type, scope.archive_type(), "{name}");
        let asked = Asked { mode, scope: *scope, ..ask(asked)? };
        let effective = resolved(&asked, &manifest(base)?)?;
        assert_eq!(effective.entries(&recorded.file_name), recorded.settings, "{name} of {base}");
    }
    Ok(())
}

#[test]
fn every_fixture_is_compared() -> anyhow::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    for entry in std::fs::read_dir(&folder)?.chain(std::fs::read_dir(folder.join("manifests"))?) {
        let path = entry?.path();
        let is_archive = path.extension().is_some_and(|extension| extension == "mbz" || extension == "xml");
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        assert!(!is_archive || RECORDED.iter().any(|(name, ..)| *name == stem), "{stem}");
    }
    Ok(())
}

/// A backup of all that an archive holds, with what it holds, is made with the archive's own settings.
#[test]
fn all_of_an_archive_has_its_own_settings() -> anyhow::Result<()> {
    for (name, ..) in RECORDED {
        let base = manifest(name)?;
        let Some(scope) = Scope::whole(&base) else { continue };
        let preset = Some(BuiltInPreset::Everything.preset());
        let effective = resolved(&Asked { scope, preset, ..Asked::default() }, &base)?;
        assert_eq!(effective.entries(&base.file_name), base.settings, "{name}");
    }
    Ok(())
}
