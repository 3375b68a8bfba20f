//! Texts on their way into a cartridge: links to files and activities become links within the cartridge.

use std::collections::BTreeMap;

use super::files::Placed;
use super::loss::{Losses, Lost};

/// How Moodle writes a link to a file of the same text.
const PLUGIN_FILE: &str = "@@PLUGINFILE@@";

/// How a text of a discussion topic or a question names the folder that it lies in.
const FILE_BASE: &str = "$IMS-CC-FILEBASE$";

/// Where links to activities lead: the path in the cartridge or an address, by course module.
pub(super) type Links = BTreeMap<i64, String>;

/// A formatted text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'s> {
    pub text: &'s str,
    /// Moodle's number of the format.
    pub format: i64,
}

/// What a text is linked with.
#[derive(Clone, Copy)]
pub(super) struct Surroundings<'s> {
    /// Its files.
    pub files: &'s Placed,
    /// Other activities.
    pub links: &'s Links,
    /// Folders between the document that the text will stand in and the root of the cartridge.
    pub depth: usize,
    /// Whether the text stands in an XML document, where links are relative by a token.
    pub in_xml: bool,
}

/// Moodle's numbers of formats.
mod format {
    pub const PLAIN: i64 = 2;
    pub const MARKDOWN: i64 = 4;
}

/// The text as HTML.
pub(super) fn html(source: Source<'_>, around: Surroundings<'_>, losses: &mut Losses) -> String {
    match source.format {
        format::PLAIN => plain_as_html(source.text),
        format::MARKDOWN => {
            // The text stays readable, and what it says is not guessed.
            losses.add_if(!source.text.trim().is_empty(), Lost::Formatting);
            linked(&plain_as_html(source.text), around, losses)
        }
        _ => linked(source.text, around, losses),
    }
}

fn plain_as_html(text: &str) -> String {
    super::node::text(text).replace("\r\n", "\n").replace('\n', "<br />\n")
}

fn linked(html: &str, around: Surroundings<'_>, losses: &mut Losses) -> String {
    let mut out = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(at) = rest.find(['@', '$']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix(PLUGIN_FILE) {
            let end = after.find(|c: char| "\"'<>()?#&".contains(c) || c.is_whitespace());
            let (path, tail) = after.split_at(end.unwrap_or(after.len()));
            match around.files.path(&decoded(path)) {
                Some(path) => out.push_str(&relative(path, around)),
                None => {
                    losses.add(Lost::Files);
                    out.push('#');
                }
            }
            rest = tail;
        } else if let Some((target, tail)) = activity_link(rest) {
            match target.and_then(|module| around.links.get(&module)) {
                Some(link) if link.contains("://") => out.push_str(&super::node::value(link)),
                Some(path) => out.push_str(&relative(path, around)),
                None => {
                    losses.add(Lost::Links);
                    out.push('#');
                }
            }
            rest = tail;
        } else {
            let one = rest.chars().next().map_or(0, char::len_utf8);
            out.push_str(&rest[..one]);
            rest = &rest[one..];
        }
    }
    out.push_str(rest);
    out
}

/// A link as a backup writes it, `$@PAGEVIEWBYID*3@$` for one: the course module that it leads to, if it is to one.
fn activity_link(text: &str) -> Option<(Option<i64>, &str)> {
    let inner = text.strip_prefix("$@")?;
    let (inner, tail) = inner.split_at(inner.find("@$")?);
    let mut parts = inner.split('*');
    let name = parts.next()?;
    let is_name =
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    if !is_name || inner.len() > 200 {
        return None;
    }
    let module = parts.next().and_then(|id| id.parse().ok());
    let module = module
        .filter(|_| name.contains("VIEWBYID") && !name.starts_with("COURSE") && !name.starts_with("USER"));
    // What follows in the link, an anchor or parameters, belongs to Moodle's page.
    let tail = &tail[2..];
    let end = tail.find(|c: char| "\"'<> ".contains(c) || c.is_whitespace()).unwrap_or(tail.len());
    let tail = if tail.starts_with(['#', '&', '?', '/']) { &tail[end..] } else { tail };
    Some((module, tail))
}

fn relative(path: &str, around: Surroundings<'_>) -> String {
    let up = "../".repeat(around.depth);
    format!("{}{up}{path}", if around.in_xml { FILE_BASE } else { "" })
}

/// A path as it was before it was put into a link.
pub(super) fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        let hex = hex.and_then(|pair| std::str::from_utf8(pair).ok());
        match hex.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}

/// The text of HTML, without tags, entities resolved, white space in one.
pub(super) fn words(html: &str) -> String {
    let mut out = String::new();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        out.push_str(&rest[..at]);
        out.push(' ');
        rest = rest[at..].find('>').map_or("", |end| &rest[at + end + 1..]);
    }
    out.push_str(rest);
    let resolved = quick_xml::escape::unescape_with(&out, |name| match name {
        "nbsp" => Some(" "),
        "rsquo" => Some("’"),
        "laquo" => Some("«"),
        "raquo" => Some("»"),
        name => quick_xml::escape::resolve_predefined_entity(name),
    });
    let resolved = resolved.map(std::borrow::Cow::into_owned).unwrap_or(out);
    resolved.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A page of a cartridge.
pub(super) fn page(title: &str, language: &str, body: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"{}\">\n<head>\n<meta charset=\"utf-8\">\n<title>{}</title>\n</head>\n<body>\n{body}\n</body>\n</html>\n",
        super::node::value(language),
        super::node::text(title),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::course::in_memory::path_of;
    use crate::imscc::files::File;

    #[test]
    fn links_stay_within_the_cartridge() {
        let mut files = Placed::default();
        let file = File {
            folder: "/a b/".into(),
            name: "é.png".into(),
            content: path_of("files/aa/aa"),
            size: 1,
            sort_order: 0,
        };
        files.add("page_3/files", &[file]);
        let links =
            Links::from([(4, "page_4/index.html".to_owned()), (5, "https://x.org/?a=1&b=2".to_owned())]);
        let around = Surroundings { files: &files, links: &links, depth: 1, in_xml: false };
        let text = "<img src=\"@@PLUGINFILE@@/a%20b/%C3%A9.png?x=1\"> <a href=\"$@PAGEVIEWBYID*4@$#top\">p</a> a@b.org \
            <a href='$@URLVIEWBYID*5@$'>u</a> <a href=\"$@FORUMVIEWBYID*9@$&amp;x=1\">f</a> cost $5 <img src=\"@@PLUGINFILE@@/no\">";
        let mut losses = Losses::default();
        let out = html(Source { text, format: 1 }, around, &mut losses);
        assert_eq!(
            out,
            "<img src=\"../page_3/files/a_b/é.png?x=1\"> <a href=\"../page_4/index.html\">p</a> a@b.org \
            <a href='https://x.org/?a=1&amp;b=2'>u</a> <a href=\"#\">f</a> cost $5 <img src=\"#\">"
        );
        let mut report = crate::imscc::Report::default();
        losses.tell(&mut report, "x", "X", crate::imscc::Outcome::Converted);
        assert_eq!(report.losses[0].lost, [Lost::Files, Lost::Links]);
        let around = Surroundings { in_xml: true, ..around };
        let out = html(
            Source { text: "@@PLUGINFILE@@/a%20b/%C3%A9.png", format: 1 },
            around,
            &mut Losses::default(),
        );
        assert_eq!(out, "$IMS-CC-FILEBASE$../page_3/files/a_b/é.png");
        let out = html(Source { text: "a<b\nc", format: 2 }, around, &mut Losses::default());
        assert_eq!(out, "a&lt;b<br />\nc");
    }

    #[test]
    fn words_and_paths() {
        assert_eq!(words("<p>a &amp; b<br>c&nbsp;d</p>  <img src='x'> 5 &lt; 6"), "a & b c d 5 < 6");
        assert_eq!(decoded("/a%20b%C3%A9%zz%"), "/a bé%zz%");
    }
}
