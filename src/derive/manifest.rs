//! Writing `moodle_backup.xml`: what the archive says of itself. Everything that a setting does not decide is the source's.

use std::collections::HashSet;
use std::io::BufReader;

use quick_xml::events::Event;

use super::{DeriveError, Deriving, Label};
use crate::backup::{self, Effective, ItemKind, Scope};
use crate::clock::Timestamp;
use crate::course::MemberPath;
use crate::format::moved;
use crate::format::xml::{Pieces, escaped, spelled};
use crate::moodle::{Manifest, Setting, SettingLevel};

const INFORMATION: &str = "/moodle_backup/information";
const CONTENTS: &str = "/moodle_backup/information/contents";

/// What the archive will say of itself, as far as settings and selection decide it.
pub fn described(base: &Manifest, effective: &Effective, label: &Label) -> Manifest {
    let included = |name: &str| effective.item(name).filter(|item| item.included.value);
    let mut manifest = Manifest {
        archive_type: effective.scope.archive_type(),
        mode: effective.mode.number(),
        backup_id: label.backup_id.clone(),
        file_name: label.file_name.clone(),
        backup_time: Some(Timestamp::from_secs(label.time)),
        includes_files: base.includes_files && effective.is_on(backup::Setting::Files),
        settings: effective.entries(&label.file_name),
        ..base.clone()
    };
    manifest.sections.retain_mut(|section| {
        let item = included(&format!("section_{}", section.section_id));
        section.includes_user_data = item.is_some_and(|item| item.user_data.value);
        item.is_some()
    });
    manifest.activities.retain_mut(|activity| {
        let item = included(&format!("{}_{}", activity.module_name, activity.module_id));
        activity.includes_user_data = item.is_some_and(|item| item.user_data.value);
        item.is_some()
    });
    manifest
}

impl Deriving<'_> {
    /// Writes the manifest; the last member of all.
    pub fn manifest(&mut self, with_contents: bool, external: bool) -> Result<(), DeriveError> {
        let Some(member) = self.root_document(MemberPath::MANIFEST) else {
            return Err(DeriveError::Missing { path: MemberPath::MANIFEST });
        };
        if self.is_all_of_it() {
            return self.keep(member);
        }
        let mut writer = Writer::new(
            self.request,
            Values { include_files: with_contents && self.base.includes_files, external },
        );
        let input = BufReader::new(self.open(member)?);
        let mut pieces = Pieces::new(input, self.request.limits);
        loop {
            let event = pieces.advance().map_err(|error| DeriveError::xml(&member.path, error))?;
            match &event {
                Event::Start(start) => writer.start(start.name().as_ref(), &spelled(&event).concat()),
                Event::End(end) => writer.end(end.name().as_ref(), &spelled(&event).concat()),
                Event::Eof => break,
                other => writer.text(&spelled(other).concat()),
            }
        }
        let document = writer.out;
        self.write(&member.path, document.as_bytes())
    }
}

impl Deriving<'_> {
    /// Whether the result is the source, member for member: then its manifest is, too, and tells when the platform made this
    /// state.
    fn is_all_of_it(&self) -> bool {
        let effective = self.request.effective;
        let ours = effective.entries("");
        let is_name = |entry: &Setting| entry.level == SettingLevel::Root && entry.name == "filename";
        let same = |one: &Setting, other: &Setting| one.name == other.name && one.value == other.value;
        *self.request.adjust == super::Adjust::default()
            && self.report.members_written == 0
            && self.report.members_left_out == 0
            && effective.scope.archive_type() == self.base.archive_type
            && self.base.settings.iter().all(|theirs| is_name(theirs) || ours.iter().any(|own| same(own, theirs)))
            // A setting that the source does not list, as it does not exist in its mode, must be off.
            && ours.iter().all(|own| {
                is_name(own) || own.value == "0" || self.base.settings.iter().any(|theirs| same(own, theirs))
            })
    }
}

/// What the contents decide.
struct Values {
    include_files: bool,
    external: bool,
}

/// The manifest as far as it was written.
struct Writer<'w> {
    effective: &'w Effective,
    label: &'w super::Label,
    adjust: &'w super::Adjust,
    values: Values,
    sections: HashSet<String>,
    activities: HashSet<String>,
    out: String,
    /// Text since the last tag.
    held: String,
    path: String,
    /// Length of the path of an element whose inside is not copied.
    skipped: Option<usize>,
    /// An entry of `contents` that waits for its id: where it begins, and whether it stays.
    entry: Option<(usize, bool)>,
    /// A list of `contents`: where it begins, and whether anything in it stays.
    list: Option<(usize, bool)>,
}

impl<'w> Writer<'w> {
    fn new(request: &'w super::Request<'w>, values: Values) -> Self {
        let (effective, label) = (request.effective, &request.label);
        let ids = |wanted: ItemKind| {
            let included =
                effective.items.iter().filter(move |item| item.kind == wanted && item.included.value);
            included.filter_map(|item| Some(item.name.rsplit_once('_')?.1.to_owned())).collect()
        };
        Self {
            sections: ids(ItemKind::Section),
            activities: ids(ItemKind::Activity),
            effective,
            label,
            adjust: request.adjust,
            values,
            out: String::new(),
            held: String::new(),
            path: String::new(),
            skipped: None,
            entry: None,
            list: None,
        }
    }

    fn text(&mut self, text: &str) {
        if self.skipped.is_none() {
            self.held.push_str(text);
        }
    }

    fn start(&mut self, name: &str, raw: &str) {
        let outside = self.path.len();
        self.path.push('/');
        self.path.push_str(name);
        if self.skipped.is_some() {
            return;
        }
        let before = self.out.len();
        self.out.push_str(&std::mem::take(&mut self.held));
        match self.path.strip_prefix(CONTENTS) {
            Some("/activities" | "/sections") => self.list = Some((before, false)),
            Some("/activities/activity" | "/sections/section") => self.entry = Some((before, false)),
            Some("/course") if self.effective.scope != Scope::Course => {
                self.out.truncate(before);
                self.skipped = Some(outside);
                return;
            }
            _ => {}
        }
        match self.path.strip_prefix(INFORMATION) {
            Some("/settings") => {
                self.out.push_str(raw);
                self.settings();
                self.skipped = Some(outside);
            }
            Some("/details/detail") => {
                let id = escaped(&self.label.backup_id);
                self.out.push_str(&format!("<detail backup_id=\"{id}\">"));
            }
            _ => self.out.push_str(raw),
        }
    }

    fn end(&mut self, name: &str, raw: &str) {
        let inside = self.path.len();
        let outside = inside - name.len() - 1;
        if let Some(level) = self.skipped {
            if level == outside {
                self.skipped = None;
                if self.path.strip_prefix(INFORMATION) == Some("/settings") {
                    self.out.push_str(raw);
                }
            }
            self.path.truncate(outside);
            return;
        }
        let text = std::mem::take(&mut self.held);
        let value = self.value(text);
        self.out.push_str(&value);
        self.out.push_str(raw);
        match self.path.strip_prefix(CONTENTS) {
            Some("/activities/activity" | "/sections/section") => {
                if let Some((begin, stays)) = self.entry.take() {
                    if stays {
                        self.list = self.list.map(|(begin, _)| (begin, true));
                    } else {
                        self.out.truncate(begin);
                    }
                }
            }
            Some("/activities" | "/sections") => {
                if let Some((begin, false)) = self.list.take() {
                    self.out.truncate(begin);
                }
            }
            _ => {}
        }
        self.path.truncate(outside);
    }

    /// A value as it is to be, from what it was.
    fn value(&mut self, text: String) -> String {
        let flag = |on: bool| if on { "1" } else { "0" }.to_owned();
        match self.path.strip_prefix(CONTENTS) {
            Some("/activities/activity/moduleid") => {
                self.entry = self.entry.map(|(begin, _)| (begin, self.activities.contains(&text)));
            }
            Some("/sections/section/sectionid") => {
                self.entry = self.entry.map(|(begin, _)| (begin, self.sections.contains(&text)));
            }
            _ => {}
        }
        match self.path.strip_prefix(INFORMATION) {
            Some("/name") => escaped(&self.label.file_name),
            Some("/backup_date") => self.label.time.to_string(),
            Some("/original_course_fullname") => self.adjust.full_name.as_deref().map_or(text, escaped),
            Some("/original_course_shortname") => self.adjust.short_name.as_deref().map_or(text, escaped),
            Some("/original_course_startdate" | "/original_course_enddate") => {
                text.parse().map_or(text, |date| moved(date, self.adjust.date_offset).to_string())
            }
            Some("/include_files") => flag(self.values.include_files),
            Some("/include_file_references_to_external_content") => flag(self.values.external),
            Some("/details/detail/type") => self.effective.scope.archive_type().as_str().to_owned(),
            Some("/details/detail/mode") => self.effective.mode.number().to_string(),
            _ => text,
        }
    }

    /// The settings, in Moodle's spelling.
    fn settings(&mut self) {
        for Setting { level, item, name, value } in self.effective.entries(&self.label.file_name) {
            let of = match level {
                SettingLevel::Section | SettingLevel::Activity => {
                    format!("        <{0}>{1}</{0}>\n", level.as_str(), escaped(&item))
                }
                SettingLevel::Root | SettingLevel::Course => String::new(),
            };
            self.out.push_str(&format!(
                "\n      <setting>\n        <level>{}</level>\n{of}        <name>{}</name>\n        <value>{}</value>\n      </setting>",
                level.as_str(),
                escaped(&name),
                escaped(&value)
            ));
        }
        self.out.push_str("\n    ");
    }
}
