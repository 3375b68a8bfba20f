//! The parts of a course, as its archive tells them.

use std::collections::{BTreeMap, HashMap};

use super::error::ImsccError;
use super::files::{Files, open};
use super::node::{Node, document};
use crate::course::{Member, MemberPath, Members};
use crate::limits::Limits;
use crate::moodle::{self, Manifest};

/// A section.
#[derive(Clone, Debug, Default)]
pub(super) struct Section {
    pub id: i64,
    pub title: String,
    pub summary: String,
    pub summary_format: i64,
    pub visible: bool,
    pub restricted: bool,
    /// Its course modules, in order.
    pub modules: Vec<i64>,
    /// The instance of mod_subsection whose section it is.
    pub subsection: Option<i64>,
    /// Its number in the course, for the order.
    pub number: i64,
}

/// An activity.
#[derive(Clone, Debug, Default)]
pub(super) struct Module {
    pub id: i64,
    /// Such as `quiz`.
    pub kind: String,
    pub title: String,
    /// Its main document.
    pub document: String,
    pub indent: i64,
    pub visible: bool,
    pub restricted: bool,
    pub completion: bool,
    pub groups: bool,
    pub tags: bool,
}

impl Module {
    /// `quiz_22`.
    pub fn name(&self) -> String {
        format!("{}_{}", self.kind, self.id)
    }
}

/// A course that is about to become a cartridge.
pub(super) struct Course<'c> {
    pub source: &'c dyn Members,
    pub limits: &'c Limits,
    pub manifest: Manifest,
    pub files: Files,
    pub sections: Vec<Section>,
    pub modules: BTreeMap<i64, Module>,
    /// `course/course.xml`.
    pub course: Node,
    paths: HashMap<String, Member>,
}

impl<'c> Course<'c> {
    pub fn read(source: &'c dyn Members, limits: &'c Limits) -> Result<Self, ImsccError> {
        let members = source.members().map_err(ImsccError::List)?;
        let files = Files::read(source, &members, limits)?;
        let found = members.iter().find(|member| member.path.as_str() == MemberPath::MANIFEST);
        let found = found.ok_or_else(|| ImsccError::invalid(MemberPath::MANIFEST, "it is missing"))?;
        let manifest = moodle::parse(open(source, &found.path)?, limits)?;
        let paths = members.into_iter().map(|member| (member.path.to_string(), member)).collect();
        let (sections, modules) = (Vec::new(), BTreeMap::new());
        let course = Node::default();
        let mut course = Self { source, limits, manifest, files, sections, modules, course, paths };
        course.course = course.document("course/course.xml")?.unwrap_or_default();
        course.read_sections()?;
        course.read_modules()?;
        Ok(course)
    }

    /// The member of that path.
    pub fn member(&self, path: &str) -> Option<&Member> {
        self.paths.get(path)
    }

    /// A small document; none if the archive has none of that path.
    pub fn document(&self, path: &str) -> Result<Option<Node>, ImsccError> {
        let Some(member) = self.member(path) else { return Ok(None) };
        let input = open(self.source, &member.path)?;
        document(input, self.limits).map(Some).map_err(ImsccError::xml(&member.path))
    }

    fn read_sections(&mut self) -> Result<(), ImsccError> {
        let mut sections = Vec::new();
        for told in &self.manifest.sections {
            let Some(node) = self.document(&format!("{}/section.xml", told.directory))? else { continue };
            let number = node.number("number");
            let name = node.text_of("name");
            sections.push(Section {
                id: told.section_id,
                title: if name.is_empty() { told.title.clone() } else { name.to_owned() },
                summary: node.text_of("summary").to_owned(),
                summary_format: node.number("summaryformat"),
                visible: node.text_of("visible") != "0",
                restricted: is_restricted(node.text_of("availabilityjson")),
                modules: node
                    .text_of("sequence")
                    .split(',')
                    .filter_map(|id| id.trim().parse().ok())
                    .collect(),
                subsection: (node.text_of("component") == "mod_subsection").then(|| node.number("itemid")),
                number,
            });
        }
        sections.sort_by_key(|section| (section.number, section.id));
        self.sections = sections;
        Ok(())
    }

    fn read_modules(&mut self) -> Result<(), ImsccError> {
        for told in self.manifest.activities.clone() {
            let node = self.document(&format!("{}/module.xml", told.directory))?.unwrap_or_default();
            let completion = node.number("completion") > 0;
            let module = Module {
                id: told.module_id,
                document: format!("{}/{}.xml", told.directory, told.module_name),
                kind: told.module_name,
                title: told.title,
                indent: node.number("indent"),
                visible: node.text_of("visible") != "0" && node.text_of("visibleoncoursepage") != "0",
                restricted: is_restricted(node.text_of("availability")),
                completion,
                groups: node.number("groupmode") > 0 || node.number("groupingid") > 0,
                tags: node.child("tags").is_some_and(|tags| !tags.children.is_empty()),
            };
            // A section that does not list it has it last.
            let listed = self.sections.iter().any(|section| section.modules.contains(&module.id));
            let own = self.sections.iter_mut().find(|section| section.id == told.section_id);
            if let Some(own) = own.filter(|_| !listed) {
                own.modules.push(module.id);
            }
            self.modules.insert(module.id, module);
        }
        Ok(())
    }
}

/// Whether a tree of conditions has any.
fn is_restricted(json: &str) -> bool {
    let tree: Option<serde_json::Value> = serde_json::from_str(json).ok();
    tree.is_some_and(|tree| tree.get("c").and_then(|c| c.as_array()).is_none_or(|c| !c.is_empty()))
}
