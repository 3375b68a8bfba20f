//! A document as a tree, written again to the same bytes, so that tests can change it in one place and say which.

use quick_xml::Reader;
use quick_xml::events::Event;

use super::super::keys;

/// An element.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    pub name: String,
    pub attributes: Vec<(String, String)>,
    /// The text in front of it, as it is spelled.
    pub lead: String,
    pub children: Vec<Node>,
    /// The text before its end tag.
    pub text: String,
    /// Spelled `<x/>`.
    pub short: bool,
}

/// Where a node stands: the numbers of the children on the way from the root.
pub type Way = Vec<usize>;

impl Node {
    /// Reads a document into a node without a name, whose only child is the root.
    pub fn read(text: &str) -> Self {
        let mut reader = Reader::from_str(text);
        let mut open = vec![Self::default()];
        let mut lead = String::new();
        loop {
            let event = reader.read_event().expect("XML");
            let top = open.len() - 1;
            match event {
                Event::Start(ref start) | Event::Empty(ref start) => {
                    let attribute = |each: quick_xml::events::attributes::Attribute<'_>| {
                        (each.key.as_ref().to_owned(), each.value.to_string())
                    };
                    let node = Self {
                        name: start.name().as_ref().to_owned(),
                        attributes: start.attributes().flatten().map(attribute).collect(),
                        lead: std::mem::take(&mut lead),
                        short: matches!(event, Event::Empty(_)),
                        ..Self::default()
                    };
                    match node.short {
                        true => open[top].children.push(node),
                        false => open.push(node),
                    }
                }
                Event::End(_) => {
                    let mut node = open.pop().expect("an open element");
                    node.text = std::mem::take(&mut lead);
                    open[top - 1].children.push(node);
                }
                Event::Eof => {
                    open[0].text = lead;
                    return open.remove(0);
                }
                Event::Text(text) => lead.push_str(&text),
                Event::GeneralRef(name) => lead.push_str(&format!("&{};", &*name)),
                Event::Decl(text) => lead.push_str(&format!("<?{}?>", &*text)),
                other => panic!("not in the fixtures: {other:?}"),
            }
        }
    }

    pub fn write(&self) -> String {
        let mut out = String::new();
        self.write_content(&mut out);
        out
    }

    fn write_content(&self, out: &mut String) {
        for child in &self.children {
            out.push_str(&child.lead);
            out.push_str(&format!("<{}", child.name));
            for (name, value) in &child.attributes {
                out.push_str(&format!(" {name}=\"{value}\""));
            }
            if child.short {
                out.push_str("/>");
            } else {
                out.push('>');
                child.write_content(out);
                out.push_str(&format!("</{}>", child.name));
            }
        }
        out.push_str(&self.text);
    }

    pub fn at(&self, way: &[usize]) -> &Self {
        way.iter().fold(self, |node, index| &node.children[*index])
    }

    pub fn at_mut(&mut self, way: &[usize]) -> &mut Self {
        way.iter().fold(self, |node, index| &mut node.children[*index])
    }

    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Every element below this node that fits, as its way.
    pub fn ways(&self, fits: &dyn Fn(&Self) -> bool) -> Vec<Way> {
        let mut found = Vec::new();
        for (index, child) in self.children.iter().enumerate() {
            if fits(child) {
                found.push(vec![index]);
            }
            found.extend(child.ways(fits).into_iter().map(|way| [vec![index], way].concat()));
        }
        found
    }

    /// The fields that tell a child from its siblings, and how paths show them.
    pub fn label(&self, index: usize) -> Option<(&'static [&'static str], String)> {
        let child = &self.children[index];
        if self.name.is_empty() {
            return None;
        }
        keys::candidates(&self.name, &child.name).into_iter().filter(|fields| !fields.is_empty()).find_map(
            |fields| {
                let value = |field: &&str| match field.strip_prefix('@') {
                    Some(attribute) => child.attribute(attribute),
                    None => {
                        child.children.iter().find(|each| each.name == **field).map(|each| each.text.as_str())
                    }
                };
                let parts: Option<Vec<String>> =
                    fields.iter().map(|field| Some(format!("{field}={}", value(field)?))).collect();
                Some((fields, parts?.join(",")))
            },
        )
    }

    /// The path of an element as reports show it.
    pub fn path(&self, way: &[usize]) -> String {
        let mut path = String::new();
        let mut node = self;
        for index in way {
            let child = &node.children[*index];
            path.push_str(&format!("/{}", child.name));
            let alike = |nodes: &[Self]| nodes.iter().filter(|each| each.name == child.name).count();
            match node.label(*index) {
                Some((_, label)) => path.push_str(&format!("[{label}]")),
                None if alike(&node.children) > 1 => {
                    path.push_str(&format!("[{}]", alike(&node.children[..=*index])));
                }
                None => {}
            }
            node = child;
        }
        path
    }
}
