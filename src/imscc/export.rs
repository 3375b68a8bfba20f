//! A course as a cartridge.

use std::collections::{BTreeMap, BTreeSet};

use super::activity::{self, Form};
use super::bank::{Bank, Wanted};
use super::course::{Course, Module, Section};
use super::error::ImsccError;
use super::files::Placed;
use super::loss::{Losses, Lost, Outcome, Report};
use super::manifest::{self, About, Item, Resource, kind};
use super::sink::Sink;
use super::text::{self, Links, Source, Surroundings};
use super::{qti, whole};
use crate::course::{MemberPath, Members};
use crate::limits::Limits;

/// The report, within the cartridge.
pub const REPORT_PATH: &str = "conversion-report.json";

/// Makes a cartridge of Common Cartridge 1.1 of an archive of a course in Moodle's own format, in the language of that
/// code. What is in the archive about people is not looked at: only contents of activities that a cartridge can hold, their
/// files, and questions are read.
///
/// # Errors
///
/// [`ImsccError`], which names the document; what the sink got until then is worthless.
pub fn export(
    source: &dyn Members,
    language: &str,
    limits: &Limits,
    sink: &mut dyn Sink,
) -> Result<Report, ImsccError> {
    let course = Course::read(source, limits)?;
    let mut export = Export {
        language,
        sink,
        links: Links::new(),
        forms: BTreeMap::new(),
        resources: Vec::new(),
        report: Report::default(),
        written: BTreeSet::new(),
        course: &course,
    };
    export.look()?;
    export.run()?;
    Ok(export.report)
}

/// An export on its way.
pub(super) struct Export<'e> {
    pub course: &'e Course<'e>,
    pub language: &'e str,
    sink: &'e mut dyn Sink,
    pub links: Links,
    /// What every activity becomes.
    forms: BTreeMap<i64, Form>,
    resources: Vec<Resource>,
    pub report: Report,
    written: BTreeSet<String>,
}

impl Export<'_> {
    /// Decides what everything becomes, so that links can lead to it.
    fn look(&mut self) -> Result<(), ImsccError> {
        for module in self.course.modules.values() {
            let form = activity::form_of(self.course, module)?;
            if let Some(link) = form.link_of(module) {
                self.links.insert(module.id, link);
            }
            self.forms.insert(module.id, form);
        }
        Ok(())
    }

    fn run(&mut self) -> Result<(), ImsccError> {
        let wanted: BTreeSet<Wanted> = self.forms.values().flat_map(Form::slots).collect();
        let mut bank = Bank::read(self.course, &wanted, &self.links)?;
        let mut items = Vec::new();
        let subsections: BTreeSet<i64> = self.subsections().keys().copied().collect();
        for section in &self.course.sections {
            if !section.subsection.is_some_and(|instance| subsections.contains(&instance)) {
                items.push(self.section(section, &mut bank)?);
            }
        }
        self.question_bank(&mut bank)?;
        for (identifier, files) in std::mem::take(&mut bank.resources) {
            self.files(&identifier, &files, false)?;
        }
        self.whole_course()?;
        self.write_report()?;
        let (original, description) =
            (&self.course.manifest.original_course, self.course.course.text_of("summary"));
        let about = About {
            identifier: format!("M_{}", original.id),
            title: &original.full_name,
            description: &text::words(description),
            language: self.language,
        };
        let document = manifest::write(&about, &items, &self.resources);
        self.put(manifest::PATH, &document)
    }

    /// Sections within sections, by the instance of their activity.
    fn subsections(&self) -> BTreeMap<i64, &Section> {
        let all = self.course.sections.iter();
        all.filter_map(|section| Some((section.subsection?, section))).collect()
    }

    fn section(&mut self, section: &Section, bank: &mut Bank) -> Result<Item, ImsccError> {
        let name = format!("section_{}", section.id);
        let mut losses = Losses::default();
        losses.add_if(section.restricted, Lost::Restrictions);
        let mut item =
            Item { identifier: format!("I_{name}"), title: section.title.clone(), ..Item::default() };
        if !section.summary.trim().is_empty() {
            item.items.push(self.summary(section, &name, &mut losses)?);
        }
        // Headings that wait for what is indented below them: depth, entry.
        let mut open: Vec<(i64, Item)> = Vec::new();
        for id in &section.modules {
            let Some(module) = self.course.modules.get(id) else { continue };
            let mut lost = Losses::default();
            let Some(entry) = self.module(module, section, bank, &mut lost)? else { continue };
            while open.last().is_some_and(|(depth, _)| *depth >= module.indent) {
                close(&mut open, &mut item);
            }
            let depth = open.last().map_or(0, |(depth, _)| depth + 1);
            lost.add_if(module.indent > depth, Lost::Indentation);
            lost.tell(&mut self.report, &module.name(), &module.title, Outcome::Converted);
            if matches!(self.forms.get(id), Some(Form::Heading { .. })) {
                open.push((module.indent, entry));
            } else {
                open.last_mut().map_or(&mut item, |(_, heading)| heading).items.push(entry);
            }
        }
        while !open.is_empty() {
            close(&mut open, &mut item);
        }
        losses.tell(&mut self.report, &name, &section.title, Outcome::Converted);
        Ok(item)
    }

    /// The summary of a section, as its first page.
    fn summary(&mut self, section: &Section, name: &str, losses: &mut Losses) -> Result<Item, ImsccError> {
        // An entry of its own beside that of the section.
        let own = format!("{name}/summary");
        let mut files = Placed::default();
        let context = self.course.manifest.original_course.context_id;
        let found = self.course.files.of(context, "course", "section", section.id);
        files.add(&format!("{own}/files"), found);
        let source = Source { text: &section.summary, format: section.summary_format };
        self.page(&own, &section.title, source, &files, !section.visible, losses)
    }

    /// A page, its files and the entry that shows it.
    pub fn page(
        &mut self,
        name: &str,
        title: &str,
        source: Source<'_>,
        files: &Placed,
        for_teachers: bool,
        losses: &mut Losses,
    ) -> Result<Item, ImsccError> {
        losses.add_if(files.renamed, Lost::FileNames);
        let around =
            Surroundings { files, links: &self.links, depth: name.matches('/').count() + 1, in_xml: false };
        let body = text::html(source, around, losses);
        let href = format!("{name}/index.html");
        self.put(&href, &text::page(title, self.language, &body))?;
        self.copy(files)?;
        let identifier = name.replace('/', "_");
        let own = std::iter::once(href.clone()).chain(files.targets().map(str::to_owned));
        self.resource(Resource {
            identifier: format!("R_{identifier}"),
            kind: kind::WEB_CONTENT,
            href: Some(href.clone()),
            files: own.collect(),
            dependencies: Vec::new(),
            for_teachers,
        });
        Ok(entry(&identifier, title))
    }

    fn module(
        &mut self,
        module: &Module,
        section: &Section,
        bank: &mut Bank,
        losses: &mut Losses,
    ) -> Result<Option<Item>, ImsccError> {
        let Some(form) = self.forms.get(&module.id).cloned() else { return Ok(None) };
        if let Form::Subsection { instance } = form {
            let below = self.subsections().get(&instance).map(|section| (*section).clone());
            return below.map(|below| self.section(&below, bank)).transpose();
        }
        losses.add_if(module.restricted, Lost::Restrictions);
        losses.add_if(module.completion, Lost::Completion);
        losses.add_if(module.groups, Lost::Groups);
        losses.add_if(module.tags, Lost::Tags);
        let for_teachers = !module.visible || !section.visible;
        activity::write(self, module, &form, for_teachers, bank, losses)
    }

    /// Questions that no quiz has.
    fn question_bank(&mut self, bank: &mut Bank) -> Result<(), ImsccError> {
        let rest: Vec<i64> = bank.rest().map(|(entry, _)| entry).collect();
        let (mut refused, mut good) = (Vec::new(), Vec::new());
        for entry in rest {
            let slot = Wanted { entry, version: None };
            match bank.find(slot) {
                Some(Ok(ready)) => good.push((slot, ready.mark, ready.files.clone())),
                Some(Err(why)) => refused.push((entry, why.clone())),
                None => {}
            }
        }
        for (entry, why) in refused {
            bank.tell_refused(entry, &why, &mut self.report);
        }
        if good.is_empty() {
            return Ok(());
        }
        let href = "question_bank/questions.xml";
        let mut document = Writing::begin(self, href)?;
        document.append(qti::bank_head("question_bank").as_bytes())?;
        for (slot, mark, _) in &good {
            document.append(bank.item(*slot, *mark)?.as_bytes())?;
        }
        document.append(qti::BANK_TAIL.as_bytes())?;
        document.end()?;
        for (slot, mark, _) in &good {
            bank.tell(*slot, *mark, &mut self.report);
        }
        self.resource(Resource {
            identifier: "R_question_bank".into(),
            kind: kind::QUESTION_BANK,
            files: vec![href.into()],
            dependencies: once_each(good.into_iter().filter_map(|(_, _, files)| files)),
            ..Resource::default()
        });
        Ok(())
    }

    /// What the course has as a whole and a cartridge has no place for.
    fn whole_course(&mut self) -> Result<(), ImsccError> {
        for (item, title, count) in whole::left_out(self.course)? {
            let mut losses = Losses::default();
            losses.add(Lost::NoForm);
            losses.detail(count.to_string());
            losses.tell(&mut self.report, item, title, Outcome::LeftOut);
        }
        let course = &self.course.course;
        let mut losses = Losses::default();
        let summary = course.text_of("summary");
        losses.add_if(summary.contains('<') && text::words(summary) != summary.trim(), Lost::Formatting);
        losses.add_if(summary.contains("@@PLUGINFILE@@"), Lost::Files);
        losses.add_if(course.child("tags").is_some_and(|tags| !tags.children.is_empty()), Lost::Tags);
        losses.add(Lost::Options);
        losses.detail("format, dates and the other settings of the course");
        let title = self.course.manifest.original_course.full_name.clone();
        losses.tell(&mut self.report, "course", &title, Outcome::Converted);
        Ok(())
    }

    /// The losses, as a file that only teachers are to see.
    fn write_report(&mut self) -> Result<(), ImsccError> {
        for resource in &self.resources {
            *self.report.resources.entry(resource.kind.to_owned()).or_default() += 1;
        }
        let text = serde_json::to_string_pretty(&self.report)
            .map_err(|error| ImsccError::Write(std::io::Error::other(error)))?;
        self.put(REPORT_PATH, &text)?;
        self.resource(Resource {
            identifier: "R_conversion_report".into(),
            kind: kind::WEB_CONTENT,
            href: Some(REPORT_PATH.into()),
            files: vec![REPORT_PATH.into()],
            for_teachers: true,
            ..Resource::default()
        });
        Ok(())
    }

    /// A resource that only holds files.
    pub fn files(&mut self, identifier: &str, files: &Placed, for_teachers: bool) -> Result<(), ImsccError> {
        self.copy(files)?;
        let files = files.targets().map(str::to_owned).collect();
        let identifier = identifier.to_owned();
        self.resource(Resource {
            identifier,
            kind: kind::WEB_CONTENT,
            files,
            for_teachers,
            ..Resource::default()
        });
        Ok(())
    }

    pub fn resource(&mut self, resource: Resource) {
        self.resources.push(resource);
    }

    /// Copies files to their places.
    pub fn copy(&mut self, files: &Placed) -> Result<(), ImsccError> {
        for (content, target) in &files.copies {
            let path = MemberPath::parse(target, self.course.limits)?;
            let member = self.course.member(content.as_str());
            if let Some(member) = member.filter(|_| self.written.insert(target.clone())) {
                self.sink.keep(member, &path).map_err(ImsccError::Write)?;
            }
        }
        Ok(())
    }

    /// A document of the cartridge.
    pub fn put(&mut self, path: &str, text: &str) -> Result<(), ImsccError> {
        let mut document = Writing::begin(self, path)?;
        document.append(text.as_bytes())?;
        document.end()
    }
}

/// A document on its way.
pub(super) struct Writing<'w, 'e> {
    export: &'w mut Export<'e>,
}

impl<'w, 'e> Writing<'w, 'e> {
    pub fn begin(export: &'w mut Export<'e>, path: &str) -> Result<Self, ImsccError> {
        let member = MemberPath::parse(path, export.course.limits)?;
        export.written.insert(path.to_owned());
        export.sink.begin(&member).map_err(ImsccError::Write)?;
        Ok(Self { export })
    }

    pub fn append(&mut self, bytes: &[u8]) -> Result<(), ImsccError> {
        self.export.sink.append(bytes).map_err(ImsccError::Write)
    }

    pub fn end(self) -> Result<(), ImsccError> {
        self.export.sink.end().map_err(ImsccError::Write)
    }
}

/// An entry of the table of contents that shows the resource of the same name.
pub(super) fn entry(name: &str, title: &str) -> Item {
    Item {
        identifier: format!("I_{name}"),
        title: title.to_owned(),
        resource: Some(format!("R_{name}")),
        items: Vec::new(),
    }
}

fn close(open: &mut Vec<(i64, Item)>, section: &mut Item) {
    if let Some((_, heading)) = open.pop() {
        open.last_mut().map_or(section, |(_, outer)| outer).items.push(heading);
    }
}

/// In order, each one once.
pub(super) fn once_each(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    names.filter(|name| seen.insert(name.clone())).collect()
}
