//! `imsmanifest.xml` of Common Cartridge 1.1.

use std::fmt::Write as _;

use super::node::{text, value};

/// The document that describes a cartridge.
pub(super) const PATH: &str = "imsmanifest.xml";

/// Types of resources.
pub(super) mod kind {
    pub const WEB_CONTENT: &str = "webcontent";
    pub const WEB_LINK: &str = "imswl_xmlv1p1";
    pub const DISCUSSION: &str = "imsdt_xmlv1p1";
    pub const ASSESSMENT: &str = "imsqti_xmlv1p2/imscc_xmlv1p1/assessment";
    pub const QUESTION_BANK: &str = "imsqti_xmlv1p2/imscc_xmlv1p1/question-bank";
    pub const BASIC_LTI: &str = "imsbasiclti_xmlv1p0";
}

/// An entry of the table of contents.
#[derive(Clone, Debug, Default)]
pub(super) struct Item {
    pub identifier: String,
    pub title: String,
    /// The resource that it shows; one that shows something has no entries below.
    pub resource: Option<String>,
    pub items: Vec<Item>,
}

/// A resource.
#[derive(Clone, Debug, Default)]
pub(super) struct Resource {
    pub identifier: String,
    pub kind: &'static str,
    /// The file that it begins with; of web content only.
    pub href: Option<String>,
    /// All its files.
    pub files: Vec<String>,
    /// Resources whose files it shows.
    pub dependencies: Vec<String>,
    /// Whether only teachers are to see it.
    pub for_teachers: bool,
}

/// What is told of the whole.
pub(super) struct About<'a> {
    pub identifier: String,
    pub title: &'a str,
    pub description: &'a str,
    pub language: &'a str,
}

const HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<manifest \
    xmlns=\"http://www.imsglobal.org/xsd/imsccv1p1/imscp_v1p1\" \
    xmlns:lomm=\"http://ltsc.ieee.org/xsd/imsccv1p1/LOM/manifest\" \
    xmlns:lom=\"http://ltsc.ieee.org/xsd/imsccv1p1/LOM/resource\" \
    xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" \
    xsi:schemaLocation=\"http://www.imsglobal.org/xsd/imsccv1p1/imscp_v1p1 \
    http://www.imsglobal.org/profile/cc/ccv1p1/ccv1p1_imscp_v1p2_v1p0.xsd \
    http://ltsc.ieee.org/xsd/imsccv1p1/LOM/manifest http://www.imsglobal.org/profile/cc/ccv1p1/LOM/ccv1p1_lommanifest_v1p0.xsd \
    http://ltsc.ieee.org/xsd/imsccv1p1/LOM/resource http://www.imsglobal.org/profile/cc/ccv1p1/LOM/ccv1p1_lomresource_v1p0.xsd\"";

/// The document.
pub(super) fn write(about: &About<'_>, items: &[Item], resources: &[Resource]) -> String {
    let mut out = format!("{HEAD} identifier=\"{}\">\n", value(&about.identifier));
    let language = value(about.language);
    out.push_str("<metadata>\n<schema>IMS Common Cartridge</schema>\n<schemaversion>1.1.0</schemaversion>\n");
    out.push_str("<lomm:lom><lomm:general>\n");
    let string = |text: &str| format!("<lomm:string language=\"{language}\">{text}</lomm:string>");
    let _ = writeln!(out, "<lomm:title>{}</lomm:title>", string(&text(about.title)));
    let _ = writeln!(out, "<lomm:language>{language}</lomm:language>");
    if !about.description.is_empty() {
        let _ = writeln!(out, "<lomm:description>{}</lomm:description>", string(&text(about.description)));
    }
    out.push_str("</lomm:general></lomm:lom>\n</metadata>\n<organizations>\n");
    out.push_str(
        "<organization identifier=\"O_1\" structure=\"rooted-hierarchy\">\n<item identifier=\"root\">\n",
    );
    items.iter().for_each(|one| item(&mut out, one));
    out.push_str("</item>\n</organization>\n</organizations>\n<resources>\n");
    resources.iter().for_each(|one| resource(&mut out, one));
    out.push_str("</resources>\n</manifest>\n");
    out
}

fn item(out: &mut String, item: &Item) {
    let _ = write!(out, "<item identifier=\"{}\"", value(&item.identifier));
    if let Some(resource) = &item.resource {
        let _ = write!(out, " identifierref=\"{}\"", value(resource));
    }
    let _ = writeln!(out, "><title>{}</title>", text(&item.title));
    item.items.iter().for_each(|below| self::item(out, below));
    out.push_str("</item>\n");
}

fn resource(out: &mut String, resource: &Resource) {
    let _ =
        write!(out, "<resource identifier=\"{}\" type=\"{}\"", value(&resource.identifier), resource.kind);
    if let Some(href) = &resource.href {
        let _ = write!(out, " href=\"{}\"", value(href));
    }
    out.push_str(">\n");
    if resource.for_teachers {
        out.push_str(
            "<metadata><lom:lom><lom:educational><lom:intendedEndUserRole><lom:source>IMSGLC_CC_Rolesv1p1</lom:source>\
            <lom:value>Instructor</lom:value></lom:intendedEndUserRole></lom:educational></lom:lom></metadata>\n",
        );
    }
    for file in &resource.files {
        let _ = writeln!(out, "<file href=\"{}\"/>", value(file));
    }
    for dependency in &resource.dependencies {
        let _ = writeln!(out, "<dependency identifierref=\"{}\"/>", value(dependency));
    }
    out.push_str("</resource>\n");
}
