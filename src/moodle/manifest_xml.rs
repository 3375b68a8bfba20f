//! Reads `moodle_backup.xml`: bounded in bytes and depth, without entities of its own.
//!
//! Elements that are not known are skipped, as Moodle demands of readers; fields that are known must make sense.

use std::collections::HashMap;
use std::io::Read;

use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

use super::manifest::*;
use crate::clock::Timestamp;
use crate::limits::Limits;

/// How Moodle writes SQL's NULL.
const NULL: &str = "$@NULL@$";

/// Reads a manifest to its end.
///
/// # Errors
///
/// [`ManifestError`], with the line where the document stops making sense.
pub fn parse(input: impl Read, limits: &Limits) -> Result<Manifest, ManifestError> {
    let limit = limits.manifest_bytes;
    let mut bytes = Vec::new();
    input.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(ManifestError::Input)?;
    if bytes.len() as u64 > limit {
        return Err(ManifestError::LimitBytes { limit });
    }
    // From memory, for the reader then borrows names and texts instead of copying them.
    let mut reader = Reader::from_reader(bytes.as_slice());
    reader.config_mut().expand_empty_elements = true;
    let mut document = Document::new(limits);
    let (mut line, mut rest) = (1, bytes.as_slice());
    loop {
        let event = reader.read_event();
        let left = reader.get_ref().len().min(rest.len());
        let (read, behind) = rest.split_at(rest.len() - left);
        line += read.iter().filter(|byte| **byte == b'\n').count() as u64;
        rest = behind;
        let event = event.map_err(|error| invalid(line, error.to_string()))?;
        if document.take(&event, line)? {
            return document.finish(line);
        }
    }
}

fn invalid(line: u64, what: impl Into<String>) -> ManifestError {
    ManifestError::Invalid { line, what: what.into() }
}

/// The document as far as it was read.
struct Document<'l> {
    limits: &'l Limits,
    /// Names of the open elements, with a slash in front of each.
    path: String,
    depth: usize,
    root_seen: bool,
    /// Text since the last tag; a field's value, when that was its start.
    text: String,
    archive_type: Option<ArchiveType>,
    manifest: Manifest,
    section: Section,
    activity: Activity,
    setting: Setting,
}

impl<'l> Document<'l> {
    fn new(limits: &'l Limits) -> Self {
        Self {
            limits,
            path: String::new(),
            depth: 0,
            root_seen: false,
            text: String::new(),
            archive_type: None,
            manifest: empty_manifest(),
            section: Section::default(),
            activity: Activity::default(),
            setting: empty_setting(),
        }
    }

    /// Takes an event; true at the end of the document.
    fn take(&mut self, event: &Event<'_>, line: u64) -> Result<bool, ManifestError> {
        match event {
            Event::Start(start) => self.start(start, line)?,
            Event::End(_) => self.end(line)?,
            Event::Text(text) => self.put(&text.xml10_content(), line)?,
            Event::CData(text) => self.put(&text.xml10_content(), line)?,
            Event::GeneralRef(reference) => {
                let name: &str = reference;
                let character =
                    reference.resolve_char_ref().map_err(|error| invalid(line, error.to_string()))?;
                match (character, resolve_predefined_entity(name)) {
                    (Some(character), _) => self.put(character.encode_utf8(&mut [0; 4]), line)?,
                    (None, Some(text)) => self.put(text, line)?,
                    (None, None) => return Err(invalid(line, format!("the entity {name:?} is not known"))),
                }
            }
            Event::DocType(_) => return Err(invalid(line, "a document type is not allowed")),
            Event::Decl(declaration) => match declaration.encoding() {
                Some(Ok(encoding)) if !encoding.eq_ignore_ascii_case("utf-8") => {
                    return Err(invalid(line, "it is not in UTF-8"));
                }
                Some(Err(error)) => return Err(invalid(line, error.to_string())),
                _ => {}
            },
            Event::Eof => return Ok(true),
            Event::Empty(_) | Event::Comment(_) | Event::PI(_) => {}
        }
        Ok(false)
    }

    fn put(&mut self, text: &str, line: u64) -> Result<(), ManifestError> {
        if self.depth == 0 && !text.trim_matches([' ', '\t', '\r', '\n', '\u{feff}']).is_empty() {
            return Err(invalid(line, "there is text outside of the root element"));
        }
        self.text.push_str(text);
        Ok(())
    }

    fn start(&mut self, start: &BytesStart<'_>, line: u64) -> Result<(), ManifestError> {
        if self.depth == self.limits.xml_depth {
            return Err(ManifestError::LimitDepth { line, limit: self.limits.xml_depth });
        }
        if self.depth == 0 && std::mem::replace(&mut self.root_seen, true) {
            return Err(invalid(line, "there is a second root element"));
        }
        self.depth += 1;
        self.path.push('/');
        self.path.push_str(start.name().as_ref());
        self.text.clear();
        match self.below_information() {
            None if self.depth == 1 && self.path != "/moodle_backup" => {
                return Err(invalid(line, "the root element is not moodle_backup"));
            }
            Some("details/detail") => {
                let id =
                    start.try_get_attribute("backup_id").map_err(|error| invalid(line, error.to_string()))?;
                if let Some(id) = id {
                    let id = id
                        .normalized_value(XmlVersion::Implicit1_0)
                        .map_err(|error| invalid(line, error.to_string()))?;
                    self.manifest.backup_id = id.into_owned();
                }
            }
            Some("contents/sections/section") => self.section = Section::default(),
            Some("contents/activities/activity") => self.activity = Activity::default(),
            Some("settings/setting") => self.setting = empty_setting(),
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, line: u64) -> Result<(), ManifestError> {
        let text = std::mem::take(&mut self.text);
        let text = if text == NULL { String::new() } else { text };
        let path = std::mem::take(&mut self.path);
        if let Some(field) = path.strip_prefix("/moodle_backup/information/") {
            let (group, name) = field.rsplit_once('/').unwrap_or(("", field));
            match group {
                "" => self.information(name, text, line)?,
                "details/detail" => self.detail(name, text, line)?,
                "contents/sections/section" => self.section_field(name, text, line)?,
                "contents/activities/activity" => self.activity_field(name, text, line)?,
                "settings/setting" => self.setting_field(name, text, line)?,
                "contents/sections" if name == "section" => {
                    self.manifest.sections.push(std::mem::take(&mut self.section));
                }
                "contents/activities" if name == "activity" => {
                    self.manifest.activities.push(std::mem::take(&mut self.activity));
                }
                "settings" if name == "setting" => self.settle_setting(line)?,
                _ => {}
            }
        }
        self.depth -= 1;
        self.path = path;
        self.path.truncate(self.path.rfind('/').unwrap_or(0));
        Ok(())
    }

    /// The path below `information`.
    fn below_information(&self) -> Option<&str> {
        self.path.strip_prefix("/moodle_backup/information/")
    }

    fn information(&mut self, name: &str, text: String, line: u64) -> Result<(), ManifestError> {
        let manifest = &mut self.manifest;
        let (site, course) = (&mut manifest.original_site, &mut manifest.original_course);
        match name {
            "name" => manifest.file_name = text,
            "moodle_version" => manifest.moodle_version = text,
            "moodle_release" => manifest.moodle_release = text,
            "backup_version" => manifest.backup_version = text,
            "backup_release" => manifest.backup_release = text,
            "backup_date" => manifest.backup_time = time(name, &text, line)?,
            "mnet_remoteusers" => manifest.includes_remote_users = flag(&text),
            "include_files" => manifest.includes_files = flag(&text),
            "include_file_references_to_external_content" => manifest.includes_file_references = flag(&text),
            "original_wwwroot" => site.wwwroot = text,
            "original_site_identifier_hash" => site.identifier_hash = text,
            "original_system_contextid" => site.system_context_id = number(name, &text, line)?,
            "original_course_id" => course.id = number(name, &text, line)?,
            "original_course_format" => course.format = text,
            "original_course_fullname" => course.full_name = text,
            "original_course_shortname" => course.short_name = text,
            "original_course_startdate" => course.start_time = time(name, &text, line)?,
            "original_course_enddate" => course.end_time = time(name, &text, line)?,
            "original_course_contextid" => course.context_id = number(name, &text, line)?,
            _ => {}
        }
        Ok(())
    }

    fn detail(&mut self, name: &str, text: String, line: u64) -> Result<(), ManifestError> {
        match name {
            "type" => {
                self.archive_type = Some(match text.as_str() {
                    "course" => ArchiveType::Course,
                    "section" => ArchiveType::Section,
                    "activity" => ArchiveType::Activity,
                    _ => return Err(invalid(line, format!("the type {:?} is not known", shown(&text)))),
                });
            }
            "format" => self.manifest.format = text,
            "interactive" => self.manifest.interactive = flag(&text),
            "mode" => self.manifest.mode = number(name, &text, line)?,
            "execution" => self.manifest.execution = number(name, &text, line)?,
            _ => {}
        }
        Ok(())
    }

    fn section_field(&mut self, name: &str, text: String, line: u64) -> Result<(), ManifestError> {
        match name {
            "sectionid" => self.section.section_id = number(name, &text, line)?,
            "title" => self.section.title = text,
            "directory" => self.section.directory = text,
            _ => {}
        }
        Ok(())
    }

    fn activity_field(&mut self, name: &str, text: String, line: u64) -> Result<(), ManifestError> {
        match name {
            "moduleid" => self.activity.module_id = number(name, &text, line)?,
            "sectionid" => self.activity.section_id = number(name, &text, line)?,
            "modulename" => self.activity.module_name = text,
            "title" => self.activity.title = text,
            "directory" => self.activity.directory = text,
            _ => {}
        }
        Ok(())
    }

    fn setting_field(&mut self, name: &str, text: String, line: u64) -> Result<(), ManifestError> {
        match name {
            "level" => {
                self.setting.level = SettingLevel::parse(&text).ok_or_else(|| {
                    invalid(line, format!("the setting level {:?} is not known", shown(&text)))
                })?;
            }
            "section" | "activity" => self.setting.item = text,
            "name" => self.setting.name = text,
            "value" => self.setting.value = text,
            _ => {}
        }
        Ok(())
    }

    fn settle_setting(&mut self, line: u64) -> Result<(), ManifestError> {
        let setting = std::mem::replace(&mut self.setting, empty_setting());
        if setting.name.is_empty() {
            return Err(invalid(line, "a setting without a name"));
        }
        self.manifest.settings.push(setting);
        Ok(())
    }

    fn finish(mut self, line: u64) -> Result<Manifest, ManifestError> {
        if self.depth > 0 {
            return Err(invalid(line, format!("it ends within {}", shown(&self.path))));
        }
        if !self.root_seen {
            return Err(invalid(line, "it has no root element"));
        }
        if self.manifest.format.is_empty() {
            return Err(invalid(line, "it does not tell its format"));
        }
        self.manifest.archive_type =
            self.archive_type.ok_or_else(|| invalid(line, "it does not tell what the archive holds"))?;
        self.apply_settings();
        Ok(self.manifest)
    }

    /// Sections and activities are offered only if their settings are 1 (reference 4.4).
    fn apply_settings(&mut self) {
        let Manifest { settings, sections, activities, .. } = &mut self.manifest;
        let values: HashMap<(SettingLevel, &str), &str> = settings
            .iter()
            .map(|setting| ((setting.level, setting.name.as_str()), setting.value.as_str()))
            .collect();
        let is_on = |level, item: &str, what: &str| {
            values.get(&(level, format!("{item}_{what}").as_str())).is_some_and(|value| flag(value))
        };
        for section in sections {
            let item = format!("section_{}", section.section_id);
            section.included = is_on(SettingLevel::Section, &item, "included");
            section.includes_user_data = is_on(SettingLevel::Section, &item, "userinfo");
        }
        for activity in activities {
            let item = format!("{}_{}", activity.module_name, activity.module_id);
            activity.included = is_on(SettingLevel::Activity, &item, "included");
            activity.includes_user_data = is_on(SettingLevel::Activity, &item, "userinfo");
        }
    }
}

fn empty_manifest() -> Manifest {
    Manifest {
        archive_type: ArchiveType::Course,
        format: String::new(),
        mode: 0,
        interactive: false,
        execution: 0,
        backup_id: String::new(),
        file_name: String::new(),
        backup_time: None,
        moodle_version: String::new(),
        moodle_release: String::new(),
        backup_version: String::new(),
        backup_release: String::new(),
        original_site: OriginalSite::default(),
        original_course: OriginalCourse::default(),
        includes_files: true,
        includes_file_references: false,
        includes_remote_users: false,
        settings: Vec::new(),
        sections: Vec::new(),
        activities: Vec::new(),
    }
}

fn empty_setting() -> Setting {
    Setting { level: SettingLevel::Root, item: String::new(), name: String::new(), value: String::new() }
}

fn flag(text: &str) -> bool {
    text == "1"
}

fn number<N: std::str::FromStr + Default>(name: &str, text: &str, line: u64) -> Result<N, ManifestError> {
    if text.is_empty() {
        return Ok(N::default());
    }
    text.parse().map_err(|_| invalid(line, format!("{name} is no number: {:?}", shown(text))))
}

/// Seconds since 1970; 0 stands for no time.
fn time(name: &str, text: &str, line: u64) -> Result<Option<Timestamp>, ManifestError> {
    let seconds: i64 = number(name, text, line)?;
    Ok((seconds != 0).then(|| Timestamp::from_secs(seconds)))
}

fn shown(text: &str) -> &str {
    &text[..text.floor_char_boundary(80)]
}
