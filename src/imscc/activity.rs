//! What every kind of activity becomes. A kind that is not named here has no form in a cartridge, and is told as such.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::bank::{Bank, Wanted};
use super::course::{Course, Module};
use super::error::ImsccError;
use super::export::{Export, Writing, entry, once_each};
use super::files::{File, Placed};
use super::loss::{Losses, Lost, Outcome};
use super::manifest::{Item, Resource, kind};
use super::node::{self, Node};
use super::qti;
use super::text::{self, Source, Surroundings};

/// Letters of a heading; longer texts are pages.
const HEADING: usize = 200;

/// A slot of a quiz.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Slot {
    /// A question, with its points.
    Question(Wanted, f64),
    /// A question drawn when the quiz is begun.
    Random,
}

/// What an activity becomes.
#[derive(Clone, Debug)]
pub(super) enum Form {
    /// A page.
    Page,
    /// An entry without anything below it, which may hold further entries.
    Heading { title: String, plain: bool },
    /// A label that is more than a heading.
    LabelPage,
    /// A file with others around it.
    File { main: String, files: Placed },
    /// An entry for each file.
    Folder,
    /// An entry for each chapter; the first of them.
    Book { first: i64 },
    /// A link.
    Link { address: String },
    /// A discussion topic.
    Discussion,
    /// An assessment.
    Quiz { slots: Vec<Slot> },
    /// A tool, by its address.
    Tool { address: String },
    /// What is asked for, as a page.
    Instructions,
    /// A section within its section.
    Subsection { instance: i64 },
    /// Nothing.
    Nothing { why: Lost },
}

impl Form {
    /// The activity's part that links can lead to.
    pub fn link_of(&self, module: &Module) -> Option<String> {
        match self {
            Self::Page | Self::LabelPage | Self::Instructions => {
                Some(format!("{}/index.html", module.name()))
            }
            Self::File { main, .. } => Some(main.clone()),
            Self::Book { first } => Some(format!("{}/chapter_{first}/index.html", module.name())),
            Self::Link { address } if address.contains("://") => Some(address.clone()),
            _ => None,
        }
    }

    /// The questions that it needs.
    pub fn slots(&self) -> impl Iterator<Item = Wanted> {
        let slots = match self {
            Self::Quiz { slots } => slots.as_slice(),
            _ => &[],
        };
        slots.iter().filter_map(|slot| match slot {
            Slot::Question(wanted, _) => Some(*wanted),
            Slot::Random => None,
        })
    }
}

/// The main element of an activity's document, and the activity's context.
fn main(course: &Course<'_>, module: &Module) -> Result<Option<(Node, i64)>, ImsccError> {
    let Some(mut root) = course.document(&module.document)? else { return Ok(None) };
    let context = root.attribute("contextid").and_then(|id| id.parse().ok()).unwrap_or_default();
    let at = root.children.iter().position(|child| child.name == module.kind);
    Ok(at.map(|at| (root.children.swap_remove(at), context)))
}

/// Decides what an activity becomes.
pub(super) fn form_of(course: &Course<'_>, module: &Module) -> Result<Form, ImsccError> {
    let simple = match module.kind.as_str() {
        "page" => Some(Form::Page),
        "folder" => Some(Form::Folder),
        "forum" => Some(Form::Discussion),
        "assign" => Some(Form::Instructions),
        "label" | "resource" | "book" | "url" | "quiz" | "lti" | "subsection" => None,
        _ => Some(Form::Nothing { why: Lost::NoForm }),
    };
    if let Some(form) = simple {
        return Ok(form);
    }
    let Some((node, context)) = main(course, module)? else { return Ok(Form::Nothing { why: Lost::Empty }) };
    Ok(match module.kind.as_str() {
        "label" => label(&node),
        "resource" => file(course, module, context),
        "book" => match chapters(&node).first() {
            Some(first) => Form::Book { first: first.id() },
            None => Form::Nothing { why: Lost::Empty },
        },
        "url" => match node.text_of("externalurl").trim() {
            "" => Form::Nothing { why: Lost::Empty },
            address => Form::Link { address: address.to_owned() },
        },
        "quiz" => Form::Quiz { slots: slots(&node) },
        "lti" => tool(&node),
        _ => Form::Subsection { instance: node.id() },
    })
}

fn label(node: &Node) -> Form {
    let html = node.text_of("intro");
    let words = text::words(html);
    let is_rich =
        ["<img", "<a ", "<iframe", "<video", "<audio", "<object", "<table", "<li", "@@PLUGINFILE@@"]
            .iter()
            .any(|tag| html.to_lowercase().contains(&tag.to_lowercase()));
    match words.as_str() {
        "" if !is_rich => Form::Heading { title: node.text_of("name").to_owned(), plain: true },
        words if !is_rich && words.chars().count() <= HEADING => {
            Form::Heading { title: words.to_owned(), plain: !html.contains('<') }
        }
        _ => Form::LabelPage,
    }
}

fn file(course: &Course<'_>, module: &Module, context: i64) -> Form {
    let found = course.files.of(context, "mod_resource", "content", 0);
    let highest = found.iter().map(|file| file.sort_order).max();
    let main = found.iter().find(|file| Some(file.sort_order) == highest);
    let mut files = Placed::default();
    files.add(&module.name(), found);
    let main = main.and_then(|main| files.path(&format!("{}{}", main.folder, main.name)));
    match main.map(str::to_owned) {
        Some(main) => Form::File { main, files },
        None => Form::Nothing { why: Lost::Empty },
    }
}

/// The chapters of a book, in order.
fn chapters(node: &Node) -> Vec<&Node> {
    let mut chapters: Vec<&Node> =
        node.child("chapters").into_iter().flat_map(|all| all.all("chapter")).collect();
    chapters.sort_by_key(|chapter| chapter.number("pagenum"));
    chapters
}

fn slots(node: &Node) -> Vec<Slot> {
    let all = node.child("question_instances").into_iter().flat_map(|all| all.all("question_instance"));
    let mut slots: Vec<(i64, Slot)> = all
        .map(|instance| {
            let slot = match instance.child("question_reference") {
                Some(reference) => {
                    let version = Some(reference.number("version")).filter(|version| *version > 0);
                    let wanted = Wanted { entry: reference.number("questionbankentryid"), version };
                    Slot::Question(wanted, instance.decimal("maxmark"))
                }
                None => Slot::Random,
            };
            (instance.number("slot"), slot)
        })
        .collect();
    slots.sort_by_key(|(number, _)| *number);
    slots.into_iter().map(|(_, slot)| slot).collect()
}

fn tool(node: &Node) -> Form {
    // A tool of the course or the site has its address with its type.
    let own =
        [node.text_of("securetoolurl"), node.text_of("toolurl")].into_iter().find(|url| !url.is_empty());
    let of_type = node.find("ltitype").map(|kind| kind.text_of("baseurl")).filter(|url| !url.is_empty());
    match own.or(of_type) {
        Some(address) => Form::Tool { address: address.to_owned() },
        None => Form::Nothing { why: Lost::Empty },
    }
}

/// Writes what an activity becomes; what is left out is told at once, and has no entry.
pub(super) fn write(
    export: &mut Export<'_>,
    module: &Module,
    form: &Form,
    for_teachers: bool,
    bank: &mut Bank,
    losses: &mut Losses,
) -> Result<Option<Item>, ImsccError> {
    if let Form::Nothing { why } = form {
        let mut lost = Losses::default();
        lost.add(*why);
        lost.tell(&mut export.report, &module.name(), &module.title, Outcome::LeftOut);
        return Ok(None);
    }
    let Some((node, context)) = main(export.course, module)? else { return Ok(None) };
    let one = One { module, node: &node, context, for_teachers };
    match form {
        Form::Page => one.page(export, "content", losses).map(Some),
        Form::LabelPage => one.label_page(export, losses).map(Some),
        Form::Instructions => one.instructions(export, losses).map(Some),
        Form::Heading { title, plain } => {
            losses.add_if(!plain, Lost::Formatting);
            losses.add_if(for_teachers, Lost::Visibility);
            let identifier = format!("I_{}", module.name());
            Ok(Some(Item { identifier, title: title.clone(), ..Item::default() }))
        }
        Form::File { main, files } => one.file(export, main, files, losses).map(Some),
        Form::Folder => one.folder(export, losses),
        Form::Book { .. } => one.book(export, losses).map(Some),
        Form::Link { address } => one.link(export, address, losses).map(Some),
        Form::Discussion => one.discussion(export, losses).map(Some),
        Form::Quiz { slots } => one.quiz(export, slots, bank, losses),
        Form::Tool { address } => one.tool(export, address, losses).map(Some),
        Form::Nothing { .. } | Form::Subsection { .. } => Ok(None),
    }
}

/// An activity that is being written.
struct One<'o> {
    module: &'o Module,
    node: &'o Node,
    context: i64,
    for_teachers: bool,
}

impl One<'_> {
    fn component(&self) -> String {
        format!("mod_{}", self.module.kind)
    }

    fn placed(&self, export: &Export<'_>, area: &str, item: i64, folder: &str) -> Placed {
        let mut files = Placed::default();
        let component = self.component();
        files.add(folder, export.course.files.of(self.context, &component, area, item));
        files.lacking = export.course.files.missing(self.context, &component, area, item) > 0;
        files
    }

    /// Says that the introduction does not come along, if there is any.
    fn without_introduction(&self, losses: &mut Losses) {
        losses.add_if(!self.node.text_of("intro").trim().is_empty(), Lost::Introduction);
    }

    fn page(&self, export: &mut Export<'_>, field: &str, losses: &mut Losses) -> Result<Item, ImsccError> {
        self.without_introduction(losses);
        losses.add_if(self.node.number("display") != 0, Lost::Options);
        let name = self.module.name();
        let files = self.placed(export, "content", 0, &format!("{name}/files"));
        losses.add_if(files.lacking, Lost::Files);
        let format = self.node.number(&format!("{field}format"));
        let source = Source { text: self.node.text_of(field), format };
        export.page(&name, &self.module.title, source, &files, self.for_teachers, losses)
    }

    fn label_page(&self, export: &mut Export<'_>, losses: &mut Losses) -> Result<Item, ImsccError> {
        let name = self.module.name();
        let files = self.placed(export, "intro", 0, &format!("{name}/files"));
        losses.add_if(files.lacking, Lost::Files);
        losses.add(Lost::Behaviour);
        losses.detail("it is shown on a page of its own, not within its section");
        let source = Source { text: self.node.text_of("intro"), format: self.node.number("introformat") };
        export.page(&name, &self.module.title, source, &files, self.for_teachers, losses)
    }

    /// An assignment: what is asked for, and the files that come with it.
    fn instructions(&self, export: &mut Export<'_>, losses: &mut Losses) -> Result<Item, ImsccError> {
        let name = self.module.name();
        let folder = format!("{name}/files");
        let mut files = self.placed(export, "intro", 0, &folder);
        let component = self.component();
        for area in ["introattachment", "activityattachment"] {
            files.add(&folder, export.course.files.of(self.context, &component, area, 0));
        }
        losses.add(Lost::Behaviour);
        losses.add(Lost::Grading);
        losses.add_if(
            ["duedate", "allowsubmissionsfromdate"].iter().any(|date| self.node.number(date) > 0),
            Lost::Dates,
        );
        let parts = [self.node.text_of("intro"), self.node.text_of("activity")];
        let together = parts
            .iter()
            .filter(|part| !part.trim().is_empty())
            .copied()
            .collect::<Vec<_>>()
            .join("\n<hr />\n");
        let source = Source { text: &together, format: self.node.number("introformat") };
        export.page(&name, &self.module.title, source, &files, self.for_teachers, losses)
    }

    fn file(
        &self,
        export: &mut Export<'_>,
        main: &str,
        files: &Placed,
        losses: &mut Losses,
    ) -> Result<Item, ImsccError> {
        self.without_introduction(losses);
        losses.add_if(self.node.number("display") != 0, Lost::Options);
        losses.add_if(files.renamed, Lost::FileNames);
        let missing = export.course.files.missing(self.context, &self.component(), "content", 0);
        losses.add_if(missing > 0, Lost::Files);
        export.copy(files)?;
        let name = self.module.name();
        export.resource(Resource {
            identifier: format!("R_{name}"),
            kind: kind::WEB_CONTENT,
            href: Some(main.to_owned()),
            files: files.targets().map(str::to_owned).collect(),
            for_teachers: self.for_teachers,
            ..Resource::default()
        });
        Ok(entry(&name, &self.module.title))
    }

    /// A file of a folder is an entry; folders in it are entries that hold them.
    fn folder(&self, export: &mut Export<'_>, losses: &mut Losses) -> Result<Option<Item>, ImsccError> {
        self.without_introduction(losses);
        let name = self.module.name();
        let files = self.placed(export, "content", 0, &name);
        losses.add_if(files.renamed, Lost::FileNames);
        losses.add_if(files.lacking, Lost::Files);
        losses.add_if(self.for_teachers && files.is_empty(), Lost::Visibility);
        export.copy(&files)?;
        let mut tree = Folder::default();
        for (at, file) in export.course.files.of(self.context, "mod_folder", "content", 0).iter().enumerate()
        {
            let Some(target) = files.path(&format!("{}{}", file.folder, file.name)) else { continue };
            let own = format!("{name}_{}", at + 1);
            export.resource(Resource {
                identifier: format!("R_{own}"),
                kind: kind::WEB_CONTENT,
                href: Some(target.to_owned()),
                files: vec![target.to_owned()],
                for_teachers: self.for_teachers,
                ..Resource::default()
            });
            tree.add(file, entry(&own, &file.name));
        }
        let mut count = 0;
        Ok(Some(tree.into_item(&format!("I_{name}"), &self.module.title, &mut count)))
    }

    fn book(&self, export: &mut Export<'_>, losses: &mut Losses) -> Result<Item, ImsccError> {
        self.without_introduction(losses);
        let name = self.module.name();
        let mut items = Vec::new();
        for chapter in chapters(self.node) {
            let own = format!("{name}/chapter_{}", chapter.id());
            let files = self.placed(export, "chapter", chapter.id(), &format!("{own}/files"));
            losses.add_if(files.lacking, Lost::Files);
            losses.add_if(chapter.number("subchapter") == 1, Lost::Indentation);
            let hidden = self.for_teachers || chapter.number("hidden") == 1;
            let source = Source { text: chapter.text_of("content"), format: chapter.number("contentformat") };
            items.push(export.page(&own, chapter.text_of("title"), source, &files, hidden, losses)?);
        }
        losses
            .add_if(self.node.child("chaptertags").is_some_and(|tags| !tags.children.is_empty()), Lost::Tags);
        Ok(Item { identifier: format!("I_{name}"), title: self.module.title.clone(), resource: None, items })
    }

    fn link(&self, export: &mut Export<'_>, address: &str, losses: &mut Losses) -> Result<Item, ImsccError> {
        self.without_introduction(losses);
        let has_parameters = !matches!(self.node.text_of("parameters"), "" | "a:0:{}");
        losses.add_if(has_parameters || self.node.number("display") != 0, Lost::Options);
        let document = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<webLink xmlns=\"http://www.imsglobal.org/xsd/imsccv1p1/imswl_v1p1\" \
            xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" \
            xsi:schemaLocation=\"http://www.imsglobal.org/xsd/imsccv1p1/imswl_v1p1 \
            http://www.imsglobal.org/profile/cc/ccv1p1/ccv1p1_imswl_v1p1.xsd\">\n<title>{}</title>\n\
            <url href=\"{}\" target=\"_blank\"/>\n</webLink>\n",
            node::text(&self.module.title),
            node::value(address),
        );
        self.single(export, "weblink.xml", &document, kind::WEB_LINK, Vec::new())
    }

    /// An activity of one document.
    fn single(
        &self,
        export: &mut Export<'_>,
        file: &str,
        document: &str,
        kind: &'static str,
        dependencies: Vec<String>,
    ) -> Result<Item, ImsccError> {
        let name = self.module.name();
        let href = format!("{name}/{file}");
        export.put(&href, document)?;
        export.resource(Resource {
            identifier: format!("R_{name}"),
            kind,
            href: None,
            files: vec![href],
            dependencies,
            for_teachers: self.for_teachers,
        });
        Ok(entry(&name, &self.module.title))
    }

    /// The introduction within an XML document, and the resource that holds its files.
    fn introduction(
        &self,
        export: &mut Export<'_>,
        losses: &mut Losses,
    ) -> Result<(String, Vec<String>), ImsccError> {
        let name = self.module.name();
        let files = self.placed(export, "intro", 0, &format!("{name}/files"));
        losses.add_if(files.renamed, Lost::FileNames);
        losses.add_if(files.lacking, Lost::Files);
        let source = Source { text: self.node.text_of("intro"), format: self.node.number("introformat") };
        let around = Surroundings { files: &files, links: &export.links, depth: 1, in_xml: true };
        let html = text::html(source, around, losses);
        if files.is_empty() {
            return Ok((html, Vec::new()));
        }
        let identifier = format!("R_{name}_files");
        export.files(&identifier, &files, self.for_teachers)?;
        Ok((html, vec![identifier]))
    }

    fn discussion(&self, export: &mut Export<'_>, losses: &mut Losses) -> Result<Item, ImsccError> {
        let (html, dependencies) = self.introduction(export, losses)?;
        losses.add_if(self.node.text_of("type") != "general", Lost::Options);
        losses
            .add_if(self.node.number("assessed") != 0 || self.node.number("grade_forum") != 0, Lost::Grading);
        losses.add_if(["duedate", "cutoffdate"].iter().any(|date| self.node.number(date) > 0), Lost::Dates);
        let document = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<topic xmlns=\"http://www.imsglobal.org/xsd/imsccv1p1/imsdt_v1p1\" \
            xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" \
            xsi:schemaLocation=\"http://www.imsglobal.org/xsd/imsccv1p1/imsdt_v1p1 \
            http://www.imsglobal.org/profile/cc/ccv1p1/ccv1p1_imsdt_v1p1.xsd\">\n<title>{}</title>\n\
            <text texttype=\"text/html\">{}</text>\n</topic>\n",
            node::text(&self.module.title),
            node::text(&html),
        );
        self.single(export, "discussion.xml", &document, kind::DISCUSSION, dependencies)
    }

    fn tool(&self, export: &mut Export<'_>, address: &str, losses: &mut Losses) -> Result<Item, ImsccError> {
        let intro = self.node.text_of("intro");
        losses.add_if(intro.contains('<') || intro.contains("@@PLUGINFILE@@"), Lost::Formatting);
        losses.add_if(self.node.number("grade") != 0, Lost::Grading);
        let has_secret = ["resourcekey", "password"].iter().any(|field| !self.node.text_of(field).is_empty());
        losses.add_if(has_secret, Lost::Secrets);
        losses.add(Lost::Options);
        let mut out = String::from(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<cartridge_basiclti_link xmlns=\"http://www.imsglobal.org/xsd/imslticc_v1p0\" \
            xmlns:blti=\"http://www.imsglobal.org/xsd/imsbasiclti_v1p0\" xmlns:lticm=\"http://www.imsglobal.org/xsd/imslticm_v1p0\" \
            xmlns:lticp=\"http://www.imsglobal.org/xsd/imslticp_v1p0\" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" \
            xsi:schemaLocation=\"http://www.imsglobal.org/xsd/imslticc_v1p0 http://www.imsglobal.org/xsd/lti/ltiv1p0/imslticc_v1p0.xsd \
            http://www.imsglobal.org/xsd/imsbasiclti_v1p0 http://www.imsglobal.org/xsd/lti/ltiv1p0/imsbasiclti_v1p0p1.xsd\">\n",
        );
        let _ = writeln!(out, "<blti:title>{}</blti:title>", node::text(&self.module.title));
        let _ = writeln!(out, "<blti:description>{}</blti:description>", node::text(&text::words(intro)));
        let parameters = parameters(self.node.text_of("instructorcustomparameters"));
        if !parameters.is_empty() {
            out.push_str("<blti:custom>");
            for (name, value) in &parameters {
                let _ = write!(
                    out,
                    "<lticm:property name=\"{}\">{}</lticm:property>",
                    node::value(name),
                    node::text(value)
                );
            }
            out.push_str("</blti:custom>\n");
        }
        let tag = if address.starts_with("https://") { "secure_launch_url" } else { "launch_url" };
        // Readers that know one of both know the plain one.
        let _ = writeln!(out, "<blti:launch_url>{}</blti:launch_url>", node::text(address));
        if tag == "secure_launch_url" {
            let _ = writeln!(out, "<blti:{tag}>{}</blti:{tag}>", node::text(address));
        }
        for (field, tag) in [("icon", "icon"), ("secureicon", "secure_icon")] {
            let icon = self.node.text_of(field);
            if !icon.is_empty() {
                let _ = writeln!(out, "<blti:{tag}>{}</blti:{tag}>", node::text(icon));
            }
        }
        out.push_str(
            "<blti:vendor><lticp:code>unknown</lticp:code><lticp:name>unknown</lticp:name></blti:vendor>\n",
        );
        out.push_str("</cartridge_basiclti_link>\n");
        self.single(export, "basiclti.xml", &out, kind::BASIC_LTI, Vec::new())
    }

    fn quiz(
        &self,
        export: &mut Export<'_>,
        slots: &[Slot],
        bank: &mut Bank,
        losses: &mut Losses,
    ) -> Result<Option<Item>, ImsccError> {
        let mut good = Vec::new();
        let (mut drawn, mut refused) = (0_u64, 0_u64);
        for slot in slots {
            match slot {
                Slot::Random => drawn += 1,
                Slot::Question(wanted, mark) => match bank.find(*wanted) {
                    Some(Ok(ready)) => good.push((*wanted, *mark, ready.files.clone())),
                    Some(Err(why)) => {
                        let why = why.clone();
                        bank.tell_refused(wanted.entry, &why, &mut export.report);
                        refused += 1;
                    }
                    None => refused += 1,
                },
            }
        }
        losses.add_if(drawn > 0, Lost::RandomQuestions);
        losses.add_if(refused > 0, Lost::Questions);
        if drawn + refused > 0 {
            losses.detail(format!("{} of {} questions are in the cartridge", good.len(), slots.len()));
        }
        let title = self.module.title.clone();
        if good.is_empty() {
            losses.add(Lost::Empty);
            std::mem::take(losses).tell(&mut export.report, &self.module.name(), &title, Outcome::LeftOut);
            return Ok(None);
        }
        losses.add_if(["timeopen", "timeclose"].iter().any(|date| self.node.number(date) > 0), Lost::Dates);
        losses.add_if(!self.node.text_of("password").is_empty(), Lost::Secrets);
        losses.add(Lost::Options);
        let (introduction, mut dependencies) = self.introduction(export, losses)?;
        let name = self.module.name();
        let href = format!("{name}/assessment.xml");
        let assessment = qti::Assessment {
            ident: &name,
            title: &title,
            introduction: &introduction,
            tries: self.node.number("attempts_number"),
            seconds: self.node.number("timelimit"),
        };
        let mut document = Writing::begin(export, &href)?;
        document.append(assessment.head().as_bytes())?;
        for (wanted, mark, _) in &good {
            document.append(bank.item(*wanted, *mark)?.as_bytes())?;
        }
        document.append(qti::ASSESSMENT_TAIL.as_bytes())?;
        document.end()?;
        for (wanted, mark, _) in &good {
            bank.tell(*wanted, *mark, &mut export.report);
        }
        dependencies.extend(once_each(good.into_iter().filter_map(|(_, _, files)| files)));
        export.resource(Resource {
            identifier: format!("R_{name}"),
            kind: kind::ASSESSMENT,
            href: None,
            files: vec![href],
            dependencies,
            for_teachers: self.for_teachers,
        });
        Ok(Some(entry(&name, &title)))
    }
}

/// `a=1` on lines of its own; names as XML has them.
fn parameters(text: &str) -> BTreeMap<String, String> {
    let is_name = |name: &str| {
        name.starts_with(|c: char| c.is_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_alphanumeric() || "._-".contains(c))
    };
    let pair = |line: &str| {
        let (name, value) = line.split_once('=')?;
        Some((name.trim().to_owned(), value.trim().to_owned())).filter(|(name, _)| is_name(name))
    };
    text.lines().filter_map(pair).collect()
}

/// Files by folder.
#[derive(Default)]
struct Folder {
    folders: BTreeMap<String, Folder>,
    files: Vec<Item>,
}

impl Folder {
    fn add(&mut self, file: &File, item: Item) {
        let parts = file.folder.split('/').filter(|part| !part.is_empty());
        let folder = parts.fold(self, |folder, part| folder.folders.entry(part.to_owned()).or_default());
        folder.files.push(item);
    }

    fn into_item(self, identifier: &str, title: &str, count: &mut u64) -> Item {
        let mut items = Vec::new();
        for (name, folder) in self.folders {
            *count += 1;
            let own = format!("{identifier}_folder_{count}");
            items.push(folder.into_item(&own, &name, count));
        }
        items.extend(self.files);
        Item { identifier: identifier.to_owned(), title: title.to_owned(), resource: None, items }
    }
}
