//! Reads `moodle_backup.xml`: bounded in bytes and depth, without entities of its own.
//!
//! Elements that are not known are skipped, as Moodle demands of readers; fields that are known must make sense.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::Read;

use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

use super::manifest::*;
use crate::clock::Timestamp;
use crate::limits::Limits;

/// How Moodle writes SQL's NULL.
const NULL: &str = "$@NULL@$";

/// Bytes of a field. Moodle's own columns for these end at some thousand; whoever lists archives reads them all.
const FIELD_BYTES: usize = 64 << 10;

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
    let fault = loop {
        match reader.read_event().map_err(invalid).and_then(|event| document.take(&event)) {
            Ok(false) => {}
            Ok(true) => match document.finish() {
                Ok(manifest) => return Ok(manifest),
                Err(fault) => break fault,
            },
            Err(fault) => break fault,
        }
    };
    // Lines are counted only for whoever is told one: counting them all costs as much as reading.
    let read = bytes.len() - reader.get_ref().len().min(bytes.len());
    let line = 1 + bytes[..read].iter().filter(|byte| **byte == b'\n').count() as u64;
    Err(match fault {
        Fault::Invalid(what) => ManifestError::Invalid { line, what },
        Fault::Depth => ManifestError::LimitDepth { line, limit: limits.xml_depth },
    })
}

/// Why the document stops making sense, wherever that is.
enum Fault {
    Invalid(String),
    Depth,
}

/// A message of ours, or an error of the reader.
#[expect(clippy::needless_pass_by_value, reason = "it is what errors are mapped with")]
fn invalid(what: impl ToString) -> Fault {
    Fault::Invalid(what.to_string())
}

/// The elements that matter, by their place in the document.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Above the root element.
    Document,
    Backup,
    Information,
    Details,
    Detail,
    Contents,
    Sections,
    Section,
    Activities,
    Activity,
    Settings,
    Setting,
    /// Any element within one that has fields.
    Field,
    /// What is skipped, and all below it.
    Other,
}

impl Place {
    /// The place of an element of that name below this one.
    fn child(self, name: &str) -> Self {
        match (self, name) {
            (Self::Document, "moodle_backup") => Self::Backup,
            (Self::Backup, "information") => Self::Information,
            (Self::Information, "details") => Self::Details,
            (Self::Information, "contents") => Self::Contents,
            (Self::Information, "settings") => Self::Settings,
            (Self::Details, "detail") => Self::Detail,
            (Self::Contents, "sections") => Self::Sections,
            (Self::Contents, "activities") => Self::Activities,
            (Self::Sections, "section") => Self::Section,
            (Self::Activities, "activity") => Self::Activity,
            (Self::Settings, "setting") => Self::Setting,
            (Self::Information | Self::Detail | Self::Section | Self::Activity | Self::Setting, _) => {
                Self::Field
            }
            _ => Self::Other,
        }
    }
}

/// The document as far as it was read.
struct Document<'l> {
    limits: &'l Limits,
    /// The open elements.
    open: Vec<Place>,
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
            open: Vec::new(),
            root_seen: false,
            text: String::new(),
            archive_type: None,
            manifest: empty_manifest(),
            section: Section::default(),
            activity: Activity::default(),
            setting: empty_setting(),
        }
    }

    /// The innermost open element.
    fn place(&self) -> Place {
        self.open.last().copied().unwrap_or(Place::Document)
    }

    /// Takes an event; true at the end of the document.
    fn take(&mut self, event: &Event<'_>) -> Result<bool, Fault> {
        match event {
            Event::Start(start) => self.start(start)?,
            Event::End(end) => self.end(end.name().as_ref())?,
            // Indentation between elements is not even looked at.
            Event::Text(text) if matches!(self.place(), Place::Field | Place::Document) => {
                self.put(&text.xml10_content())?;
            }
            Event::Text(_) => {}
            Event::CData(text) => self.put(&text.xml10_content())?,
            Event::GeneralRef(reference) => {
                let name: &str = reference;
                let character = reference.resolve_char_ref().map_err(invalid)?;
                match (character, resolve_predefined_entity(name)) {
                    (Some(character), _) => self.put(character.encode_utf8(&mut [0; 4]))?,
                    (None, Some(text)) => self.put(text)?,
                    (None, None) => return Err(invalid(format!("the entity {name:?} is not known"))),
                }
            }
            Event::DocType(_) => return Err(invalid("a document type is not allowed")),
            Event::Decl(declaration) => match declaration.encoding() {
                Some(Ok(encoding)) if !encoding.eq_ignore_ascii_case("utf-8") => {
                    return Err(invalid("it is not in UTF-8"));
                }
                Some(Err(error)) => return Err(invalid(error)),
                _ => {}
            },
            Event::Eof => return Ok(true),
            Event::Empty(_) | Event::Comment(_) | Event::PI(_) => {}
        }
        Ok(false)
    }

    fn put(&mut self, text: &str) -> Result<(), Fault> {
        match self.place() {
            Place::Field => {
                within_bounds(self.text.len() + text.len())?;
                self.text.push_str(text);
            }
            Place::Document if !text.trim_matches([' ', '\t', '\r', '\n', '\u{feff}']).is_empty() => {
                return Err(invalid("there is text outside of the root element"));
            }
            _ => {}
        }
        Ok(())
    }

    fn start(&mut self, start: &BytesStart<'_>) -> Result<(), Fault> {
        if self.open.len() == self.limits.xml_depth {
            return Err(Fault::Depth);
        }
        if self.open.is_empty() && std::mem::replace(&mut self.root_seen, true) {
            return Err(invalid("there is a second root element"));
        }
        let place = self.place().child(start.name().as_ref());
        match place {
            Place::Other if self.open.is_empty() => {
                return Err(invalid("the root element is not moodle_backup"));
            }
            Place::Detail => {
                if let Some(id) = start.try_get_attribute("backup_id").map_err(invalid)? {
                    let id = id.normalized_value(XmlVersion::Implicit1_0).map_err(invalid)?;
                    within_bounds(id.len())?;
                    self.manifest.backup_id = id.into_owned();
                }
            }
            Place::Section => self.section = Section::default(),
            Place::Activity => self.activity = Activity::default(),
            Place::Setting => self.setting = empty_setting(),
            _ => {}
        }
        self.open.push(place);
        self.text.clear();
        Ok(())
    }

    fn end(&mut self, name: &str) -> Result<(), Fault> {
        match self.open.pop() {
            Some(Place::Field) => {
                let mut text = std::mem::take(&mut self.text);
                if text == NULL {
                    text.clear();
                }
                self.field(name, &text)?;
                // Kept for the next one, so that a field costs memory only where it is kept.
                self.text = text;
            }
            Some(Place::Section) => self.manifest.sections.push(std::mem::take(&mut self.section)),
            Some(Place::Activity) => self.manifest.activities.push(std::mem::take(&mut self.activity)),
            Some(Place::Setting) => self.settle_setting()?,
            _ => {}
        }
        self.text.clear();
        Ok(())
    }

    /// A field of the element that is innermost now.
    fn field(&mut self, name: &str, text: &str) -> Result<(), Fault> {
        match self.place() {
            Place::Information => self.information(name, text),
            Place::Detail => self.detail(name, text),
            Place::Section => self.section_field(name, text),
            Place::Activity => self.activity_field(name, text),
            Place::Setting => self.setting_field(name, text),
            _ => Ok(()),
        }
    }

    fn information(&mut self, name: &str, text: &str) -> Result<(), Fault> {
        let manifest = &mut self.manifest;
        let (site, course) = (&mut manifest.original_site, &mut manifest.original_course);
        match name {
            "name" => manifest.file_name = text.to_owned(),
            "moodle_version" => manifest.moodle_version = text.to_owned(),
            "moodle_release" => manifest.moodle_release = text.to_owned(),
            "backup_version" => manifest.backup_version = text.to_owned(),
            "backup_release" => manifest.backup_release = text.to_owned(),
            "backup_date" => manifest.backup_time = time(name, text)?,
            "mnet_remoteusers" => manifest.includes_remote_users = flag(text),
            "include_files" => manifest.includes_files = flag(text),
            "include_file_references_to_external_content" => manifest.includes_file_references = flag(text),
            "original_wwwroot" => site.wwwroot = text.to_owned(),
            "original_site_identifier_hash" => site.identifier_hash = text.to_owned(),
            "original_system_contextid" => site.system_context_id = number(name, text)?,
            "original_course_id" => course.id = number(name, text)?,
            "original_course_format" => course.format = text.to_owned(),
            "original_course_fullname" => course.full_name = text.to_owned(),
            "original_course_shortname" => course.short_name = text.to_owned(),
            "original_course_startdate" => course.start_time = time(name, text)?,
            "original_course_enddate" => course.end_time = time(name, text)?,
            "original_course_contextid" => course.context_id = number(name, text)?,
            _ => {}
        }
        Ok(())
    }

    fn detail(&mut self, name: &str, text: &str) -> Result<(), Fault> {
        match name {
            "type" => {
                self.archive_type = Some(match text {
                    "course" => ArchiveType::Course,
                    "section" => ArchiveType::Section,
                    "activity" => ArchiveType::Activity,
                    _ => return Err(invalid(format!("the type {:?} is not known", shown(text)))),
                });
            }
            "format" => self.manifest.format = text.to_owned(),
            "interactive" => self.manifest.interactive = flag(text),
            "mode" => self.manifest.mode = number(name, text)?,
            "execution" => self.manifest.execution = number(name, text)?,
            _ => {}
        }
        Ok(())
    }

    fn section_field(&mut self, name: &str, text: &str) -> Result<(), Fault> {
        match name {
            "sectionid" => self.section.section_id = number(name, text)?,
            "title" => self.section.title = text.to_owned(),
            "directory" => self.section.directory = text.to_owned(),
            _ => {}
        }
        Ok(())
    }

    fn activity_field(&mut self, name: &str, text: &str) -> Result<(), Fault> {
        match name {
            "moduleid" => self.activity.module_id = number(name, text)?,
            "sectionid" => self.activity.section_id = number(name, text)?,
            "modulename" => self.activity.module_name = text.to_owned(),
            "title" => self.activity.title = text.to_owned(),
            "directory" => self.activity.directory = text.to_owned(),
            _ => {}
        }
        Ok(())
    }

    fn setting_field(&mut self, name: &str, text: &str) -> Result<(), Fault> {
        match name {
            "level" => {
                self.setting.level = SettingLevel::parse(text)
                    .ok_or_else(|| invalid(format!("the setting level {:?} is not known", shown(text))))?;
            }
            "section" | "activity" => self.setting.item = text.to_owned(),
            "name" => self.setting.name = text.to_owned(),
            "value" => self.setting.value = text.to_owned(),
            _ => {}
        }
        Ok(())
    }

    fn settle_setting(&mut self) -> Result<(), Fault> {
        let setting = std::mem::replace(&mut self.setting, empty_setting());
        if setting.name.is_empty() {
            return Err(invalid("a setting without a name"));
        }
        self.manifest.settings.push(setting);
        Ok(())
    }

    fn finish(&mut self) -> Result<Manifest, Fault> {
        if !self.open.is_empty() {
            return Err(invalid(format!("it ends within {} open elements", self.open.len())));
        }
        if !self.root_seen {
            return Err(invalid("it has no root element"));
        }
        if self.manifest.format.is_empty() {
            return Err(invalid("it does not tell its format"));
        }
        self.manifest.archive_type =
            self.archive_type.ok_or_else(|| invalid("it does not tell what the archive holds"))?;
        self.apply_settings();
        Ok(std::mem::replace(&mut self.manifest, empty_manifest()))
    }

    /// Sections and activities are offered only if their settings are 1 (reference 4.4).
    fn apply_settings(&mut self) {
        let Manifest { settings, sections, activities, .. } = &mut self.manifest;
        let values: HashMap<(SettingLevel, &str), &str> = settings
            .iter()
            .map(|setting| ((setting.level, setting.name.as_str()), setting.value.as_str()))
            .collect();
        let mut name = String::new();
        let mut is_on = |level, kind: &str, id: i64, what: &str| {
            name.clear();
            // Writing to a String cannot fail.
            let _ = write!(name, "{kind}_{id}_{what}");
            values.get(&(level, name.as_str())).is_some_and(|value| flag(value))
        };
        for section in sections {
            section.included = is_on(SettingLevel::Section, "section", section.section_id, "included");
            section.includes_user_data =
                is_on(SettingLevel::Section, "section", section.section_id, "userinfo");
        }
        for activity in activities {
            let (kind, id) = (activity.module_name.as_str(), activity.module_id);
            activity.included = is_on(SettingLevel::Activity, kind, id, "included");
            activity.includes_user_data = is_on(SettingLevel::Activity, kind, id, "userinfo");
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

fn within_bounds(bytes: usize) -> Result<(), Fault> {
    if bytes > FIELD_BYTES { Err(invalid(format!("a field is over {FIELD_BYTES} bytes"))) } else { Ok(()) }
}

fn flag(text: &str) -> bool {
    text == "1"
}

fn number<N: std::str::FromStr + Default>(name: &str, text: &str) -> Result<N, Fault> {
    if text.is_empty() {
        return Ok(N::default());
    }
    text.parse().map_err(|_| invalid(format!("{name} is no number: {:?}", shown(text))))
}

/// Seconds since 1970; 0 stands for no time.
fn time(name: &str, text: &str) -> Result<Option<Timestamp>, Fault> {
    let seconds: i64 = number(name, text)?;
    Ok((seconds != 0).then(|| Timestamp::from_secs(seconds)))
}

fn shown(text: &str) -> &str {
    &text[..text.floor_char_boundary(80)]
}
