//! What is made of real courses, held against the rules of the specification.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::node::{Node, document};
use super::*;
use crate::course::in_memory::{InMemory, fixture};
use crate::course::{Member, MemberPath, Members};
use crate::limits::Limits;

/// Takes a cartridge into memory.
struct Taken<'t> {
    source: &'t InMemory,
    members: BTreeMap<MemberPath, Vec<u8>>,
    open: Option<MemberPath>,
}

impl Sink for Taken<'_> {
    fn keep(&mut self, member: &Member, path: &MemberPath) -> io::Result<()> {
        let bytes = self.source.members.get(&member.path).ok_or(io::ErrorKind::NotFound)?;
        assert!(self.members.insert(path.clone(), bytes.clone()).is_none(), "{path} twice");
        Ok(())
    }

    fn begin(&mut self, path: &MemberPath) -> io::Result<()> {
        assert!(self.members.insert(path.clone(), Vec::new()).is_none(), "{path} twice");
        self.open = Some(path.clone());
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let open = self.open.as_ref().and_then(|path| self.members.get_mut(path));
        open.ok_or(io::ErrorKind::InvalidInput)?.extend_from_slice(bytes);
        Ok(())
    }

    fn end(&mut self) -> io::Result<()> {
        self.open.take().map(|_| ()).ok_or_else(|| io::ErrorKind::InvalidInput.into())
    }
}

fn exported(name: &str) -> anyhow::Result<(InMemory, Report)> {
    let source = fixture(name)?;
    let mut taken = Taken { source: &source, members: BTreeMap::new(), open: None };
    let report = export(&source, "en", &Limits::default(), &mut taken)?;
    Ok((InMemory { members: taken.members, ..InMemory::default() }, report))
}

fn read(cartridge: &InMemory, path: &str) -> anyhow::Result<Node> {
    let found = cartridge.members.iter().find(|(known, _)| known.as_str() == path);
    let bytes =
        found.map(|(_, bytes)| bytes.as_slice()).ok_or_else(|| anyhow::anyhow!("{path} is missing"))?;
    Ok(document(bytes, &Limits::default())?)
}

/// What the specification demands of a manifest and of what it names.
mod rules {
    use super::*;

    const TYPES: [&str; 6] = [
        "webcontent",
        "imswl_xmlv1p1",
        "imsdt_xmlv1p1",
        "imsbasiclti_xmlv1p0",
        "imsqti_xmlv1p2/imscc_xmlv1p1/assessment",
        "imsqti_xmlv1p2/imscc_xmlv1p1/question-bank",
    ];

    pub fn hold(cartridge: &InMemory) -> anyhow::Result<()> {
        let manifest = read(cartridge, "imsmanifest.xml")?;
        assert_eq!(manifest.attribute("xmlns"), Some("http://www.imsglobal.org/xsd/imsccv1p1/imscp_v1p1"));
        let names: Vec<&str> = manifest.children.iter().map(|child| child.name.as_str()).collect();
        assert_eq!(names, ["metadata", "organizations", "resources"]);
        let metadata = &manifest.children[0];
        assert_eq!(
            (metadata.text_of("schema"), metadata.text_of("schemaversion")),
            ("IMS Common Cartridge", "1.1.0")
        );
        assert!(
            metadata.at(&["lom", "general", "title", "string"]).is_some_and(|title| !title.text.is_empty())
        );
        identifiers(&manifest);
        let resources: Vec<&Node> =
            manifest.at(&["resources"]).into_iter().flat_map(|all| &all.children).collect();
        items(&manifest, &resources);
        files(cartridge, &resources);
        resources.iter().try_for_each(|one| resource(cartridge, one, &resources))
    }

    fn identifiers(manifest: &Node) {
        let mut seen = BTreeSet::new();
        manifest.visit(&mut |node| {
            if let Some(identifier) = node.attribute("identifier") {
                let begins = identifier.starts_with(|c: char| c.is_alphabetic() || c == '_');
                let name = identifier.chars().all(|c| c.is_alphanumeric() || "._-".contains(c));
                assert!(begins && name, "{identifier} is no XML name");
                assert!(seen.insert(identifier.to_owned()), "{identifier} twice");
            }
        });
    }

    /// One root without a title; what shows a resource has nothing below it; a question bank is shown nowhere.
    fn items(manifest: &Node, resources: &[&Node]) {
        let organizations: Vec<&Node> =
            manifest.at(&["organizations"]).into_iter().flat_map(|all| &all.children).collect();
        assert_eq!(organizations.len(), 1);
        assert_eq!(organizations[0].attribute("structure"), Some("rooted-hierarchy"));
        assert_eq!(organizations[0].children.len(), 1);
        let root = &organizations[0].children[0];
        assert!(root.child("title").is_none() && root.attribute("identifierref").is_none());
        root.visit(&mut |item| {
            if item.name != "item" || std::ptr::eq(item, root) {
                return;
            }
            assert!(item.child("title").is_some());
            if let Some(reference) = item.attribute("identifierref") {
                assert!(item.child("item").is_none(), "{reference} has entries below");
                let found = resources.iter().find(|one| one.attribute("identifier") == Some(reference));
                let kind = found.and_then(|one| one.attribute("type"));
                assert!(kind.is_some_and(|kind| !kind.ends_with("question-bank")), "{reference}: {kind:?}");
                let needs_href = kind == Some("webcontent");
                assert_eq!(
                    found.is_some_and(|one| one.attribute("href").is_some()),
                    needs_href,
                    "{reference}"
                );
            }
        });
    }

    /// Every file that is named exists, and every file is named.
    fn files(cartridge: &InMemory, resources: &[&Node]) {
        let mut named = BTreeSet::from(["imsmanifest.xml".to_owned()]);
        for one in resources {
            let mut own = BTreeSet::new();
            for href in one.all("file").filter_map(|file| file.attribute("href")) {
                assert!(own.insert(href), "{href} twice in a resource");
                named.insert(href.to_owned());
            }
            if let Some(href) = one.attribute("href") {
                assert!(own.contains(href), "{href} begins a resource that has no such file");
            }
        }
        let there: BTreeSet<String> = cartridge.members.keys().map(ToString::to_string).collect();
        assert_eq!(named, there);
    }

    fn resource(cartridge: &InMemory, one: &Node, all: &[&Node]) -> anyhow::Result<()> {
        let kind = one.attribute("type").unwrap_or_default();
        assert!(TYPES.contains(&kind), "{kind}");
        let mut seen = BTreeSet::new();
        for dependency in one.all("dependency").filter_map(|node| node.attribute("identifierref")) {
            assert!(seen.insert(dependency));
            let found = all.iter().find(|other| other.attribute("identifier") == Some(dependency));
            assert_eq!(found.and_then(|other| other.attribute("type")), Some("webcontent"), "{dependency}");
        }
        if kind == "webcontent" {
            return Ok(());
        }
        assert!(one.attribute("href").is_none());
        let files: Vec<&str> = one.all("file").filter_map(|file| file.attribute("href")).collect();
        assert_eq!(files.len(), 1, "{kind} is one document");
        let root = read(cartridge, files[0])?;
        match kind {
            "imswl_xmlv1p1" => {
                assert_eq!(
                    root.attribute("xmlns"),
                    Some("http://www.imsglobal.org/xsd/imsccv1p1/imswl_v1p1")
                );
                assert!(!root.text_of("title").is_empty());
                assert!(root.child("url").and_then(|url| url.attribute("href")).is_some());
                assert!(seen.is_empty());
            }
            "imsdt_xmlv1p1" => {
                assert_eq!(
                    root.attribute("xmlns"),
                    Some("http://www.imsglobal.org/xsd/imsccv1p1/imsdt_v1p1")
                );
                assert_eq!(root.child("text").and_then(|text| text.attribute("texttype")), Some("text/html"));
            }
            "imsbasiclti_xmlv1p0" => {
                assert_eq!(root.attribute("xmlns"), Some("http://www.imsglobal.org/xsd/imslticc_v1p0"));
                assert!(root.child("launch_url").is_some() && root.child("vendor").is_some());
                assert!(seen.is_empty());
            }
            _ => questions(&root, kind),
        }
        Ok(())
    }

    fn questions(root: &Node, kind: &str) {
        assert_eq!(root.attribute("xmlns"), Some("http://www.imsglobal.org/xsd/ims_qtiasiv1p2"));
        assert_eq!(root.children.len(), 1);
        let outer = &root.children[0];
        let items: Vec<&Node> = if kind.ends_with("assessment") {
            assert_eq!(outer.name, "assessment");
            assert!(outer.attribute("title").is_some());
            assert_eq!(
                fields(outer.child("qtimetadata")).get("cc_profile").map(String::as_str),
                Some("cc.exam.v0p1")
            );
            assert_eq!(outer.all("section").count(), 1);
            outer.child("section").into_iter().flat_map(|section| &section.children).collect()
        } else {
            assert_eq!(outer.name, "objectbank");
            outer.children.iter().collect()
        };
        assert!(!items.is_empty());
        let mut idents = BTreeSet::new();
        for item in items {
            assert_eq!(item.name, "item");
            assert!(idents.insert(item.attribute("ident")));
            self::item(item);
        }
    }

    fn fields(metadata: Option<&Node>) -> BTreeMap<String, String> {
        let all = metadata.into_iter().flat_map(|all| all.all("qtimetadatafield"));
        all.map(|field| (field.text_of("fieldlabel").to_owned(), field.text_of("fieldentry").to_owned()))
            .collect()
    }

    fn item(item: &Node) {
        let order = ["itemmetadata", "presentation", "resprocessing", "itemfeedback"];
        let places: Vec<_> =
            item.children.iter().map(|child| order.iter().position(|name| *name == child.name)).collect();
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{places:?}");
        let fields = fields(item.at(&["itemmetadata", "qtimetadata"]));
        let profile = fields.get("cc_profile").map(String::as_str).unwrap_or_default();
        assert!(
            fields
                .get("cc_weighting")
                .and_then(|weight| weight.parse::<u32>().ok())
                .is_some_and(|weight| weight <= 99)
        );
        let feedback: BTreeSet<_> =
            item.all("itemfeedback").filter_map(|one| one.attribute("ident")).collect();
        let mut right = 0;
        item.visit(&mut |node| match node.name.as_str() {
            "displayfeedback" => assert!(node.attribute("linkrefid").is_some_and(|id| feedback.contains(id))),
            "setvar" => {
                right += 1;
                assert_eq!((node.text.as_str(), node.attribute("action")), ("100", Some("Set")));
            }
            "decvar" => assert_eq!(node.attribute("varname"), Some("SCORE")),
            "conditionvar" => {
                assert!(node.children.iter().all(|test| {
                    ["and", "other", "varequal", "varsubstring"].contains(&test.name.as_str())
                }))
            }
            _ => {}
        });
        let response =
            |name: &str| item.at(&["presentation", name]).and_then(|one| one.attribute("rcardinality"));
        match profile {
            "cc.multiple_choice.v0p1" | "cc.true_false.v0p1" => {
                assert_eq!((response("response_lid"), right), (Some("Single"), 1));
            }
            "cc.multiple_response.v0p1" => {
                assert_eq!((response("response_lid"), right), (Some("Multiple"), 1))
            }
            "cc.fib.v0p1" | "cc.pattern_match.v0p1" => {
                assert_eq!((response("response_str"), right), (Some("Single"), 1))
            }
            "cc.essay.v0p1" => assert_eq!((response("response_str"), right), (Some("Single"), 0)),
            other => panic!("{other} is no profile"),
        }
    }
}

#[test]
fn cartridges_keep_the_rules_of_the_specification() -> anyhow::Result<()> {
    for name in ["rich101-full-tgz.mbz", "rich101-tgz-nu.mbz", "gen_xs-full.mbz", "gen_s-nf.mbz"] {
        let (cartridge, report) = exported(name)?;
        rules::hold(&cartridge)?;
        assert!(!report.losses.is_empty(), "{name}");
    }
    Ok(())
}

#[test]
fn everything_of_a_course_is_there_or_named() -> anyhow::Result<()> {
    let source = fixture("rich101-full-tgz.mbz")?;
    let (cartridge, report) = exported("rich101-full-tgz.mbz")?;
    let manifest = read(&cartridge, "imsmanifest.xml")?;
    let mut shown = BTreeSet::new();
    manifest.visit(&mut |node| {
        if node.name == "item" {
            shown.insert(node.attribute("identifier").unwrap_or_default().to_owned());
        }
    });
    let told: BTreeSet<&str> = report.losses.iter().map(|loss| loss.item.as_str()).collect();
    let path = MemberPath::parse("moodle_backup.xml", &Limits::default())?;
    let base = crate::moodle::parse(io::BufReader::new(source.open(&path)?), &Limits::default())?;
    for activity in &base.activities {
        let name = format!("{}_{}", activity.module_name, activity.module_id);
        let gone = !shown.contains(&format!("I_{name}"));
        assert!(!gone || told.contains(name.as_str()), "{name} is lost without a word");
    }
    assert_eq!(
        base.sections.len(),
        manifest.find("organization").map_or(0, |one| one.children[0].children.len())
    );
    let left: Vec<&str> = report
        .losses
        .iter()
        .filter(|loss| {
            loss.outcome == Outcome::LeftOut && loss.item.contains('_') && !loss.item.contains("question")
        })
        .map(|loss| loss.item.as_str())
        .collect();
    assert!(
        left.contains(&"glossary_15") && left.contains(&"scorm_26") && !left.contains(&"quiz_22"),
        "{left:?}"
    );
    // Questions of every kind that a cartridge can hold.
    let profiles: Vec<&str> = report.questions.keys().map(String::as_str).collect();
    assert_eq!(
        profiles,
        [
            "cc.essay.v0p1",
            "cc.fib.v0p1",
            "cc.multiple_choice.v0p1",
            "cc.multiple_response.v0p1",
            "cc.true_false.v0p1"
        ]
    );
    let refused = report.losses.iter().filter(|loss| loss.item.starts_with("question bank entry"));
    assert_eq!(refused.filter(|loss| loss.outcome == Outcome::LeftOut).count(), 10);
    Ok(())
}

#[test]
fn nothing_of_people_is_in_a_cartridge_whatever_the_archive_holds() -> anyhow::Result<()> {
    let source = fixture("rich101-full-tgz.mbz")?;
    let users = source.members.iter().find(|(path, _)| path.as_str() == "users.xml");
    let users = users.map(|(_, bytes)| bytes.as_slice()).unwrap_or_default();
    let mut words = BTreeSet::new();
    crate::moodle::each_row(
        users,
        &Limits::default(),
        &["users", "user"],
        &["username", "email", "lastname"],
        |row| {
            words.extend(row.fields);
        },
    )?;
    words.retain(|word| word.len() > 5);
    assert!(words.len() > 10);
    let (cartridge, _) = exported("rich101-full-tgz.mbz")?;
    for (path, bytes) in &cartridge.members {
        let text = String::from_utf8_lossy(bytes);
        for word in &words {
            assert!(
                !text.contains(word.as_str()) && !path.as_str().contains(word.as_str()),
                "{word} in {path}"
            );
        }
        assert!(!text.contains("Première discussion"), "{path}");
    }
    // Files are those of the activities, not those that people sent in.
    let without = exported("rich101-tgz-nu.mbz")?.0;
    assert_eq!(cartridge.members.keys().collect::<Vec<_>>(), without.members.keys().collect::<Vec<_>>());
    Ok(())
}
