//! The union of two documents: the target's bytes, with rows of the incoming one put in at the end of their containers.
//!
//! Both are indexed element by element; what is found are *edits* of the target's text. So whatever is not edited stays
//! byte for byte, and what comes in is copied as it stands there, with the white space in front of it.

use std::collections::HashMap;
use std::io::{self, Write};

use super::error::{MergeError, Side};
use super::level::{Class, Doc, Level, Mark, NULL};
use super::report::{Report, WhyLeftOut};
use super::rules::{Wins, rule_of};
use crate::format::xml::XmlError;
use crate::format::{Element, Kind};

/// What is put into the target's text.
enum Put {
    /// A range of the incoming document.
    Range(u64, u64),
    Text(String),
}

/// A change of the target's text.
struct Change {
    from: u64,
    to: u64,
    put: Put,
}

/// What decides over documents besides rows.
#[derive(Clone, Debug, Default)]
pub(super) struct Policy {
    pub overwrite_course: bool,
    /// Format of the target's course.
    pub course_format: String,
    /// Course modules that come into a section, by its id.
    pub arriving: HashMap<i64, Vec<i64>>,
}

/// Merges one pair of documents.
pub(super) struct Union<'u, 'd> {
    pub path: &'u str,
    pub target: &'u Doc<'d>,
    pub incoming: &'u Doc<'d>,
    pub policy: &'u Policy,
    pub report: &'u mut Report,
    /// Ids of rows that are rows of the target by their fields: kind, incoming, target.
    pub aliases: Vec<(Kind, i64, i64)>,
    changes: Vec<Change>,
}

/// Where each incoming child goes if the target lacks it: behind the last one of its name, else in front of what follows
/// it, for readers go by the order of elements: a group's field finds no group that comes later.
fn places(target: &Level<'_>, incoming: &Level<'_>) -> Vec<u64> {
    let (mut first, mut last) = (HashMap::new(), HashMap::new());
    for mark in &target.children {
        first.entry(target.name(mark)).or_insert(mark.start);
        last.insert(target.name(mark), mark.end);
    }
    let mut following = target.inner_end;
    let mut places: Vec<u64> = incoming
        .children
        .iter()
        .rev()
        .map(|mark| {
            let name = incoming.name(mark);
            following = first.get(name).copied().unwrap_or(following);
            last.get(name).copied().unwrap_or(following)
        })
        .collect();
    places.reverse();
    places
}

impl<'u, 'd> Union<'u, 'd> {
    pub fn new(
        path: &'u str,
        target: &'u Doc<'d>,
        incoming: &'u Doc<'d>,
        policy: &'u Policy,
        report: &'u mut Report,
    ) -> Self {
        Self { path, target, incoming, policy, report, aliases: Vec::new(), changes: Vec::new() }
    }

    /// Finds what changes; whether anything does.
    pub fn find(&mut self, root: &'d Element) -> Result<bool, MergeError> {
        let target = self.target.root().map_err(|error| self.failed(Side::Target, error))?;
        let incoming = self.incoming.root().map_err(|error| self.failed(Side::Incoming, error))?;
        let path = format!("/{}", root.name);
        self.element(&path, root, target, incoming, Wins::Target)?;
        self.changes.sort_by_key(|change| change.from);
        Ok(!self.changes.is_empty())
    }

    /// Writes the union.
    pub fn write(&self, output: &mut dyn Write) -> io::Result<()> {
        let mut at = 0;
        for change in &self.changes {
            self.target.text.copy(at, change.from, output)?;
            match &change.put {
                Put::Range(from, to) => self.incoming.text.copy(*from, *to, output)?,
                Put::Text(text) => output.write_all(text.as_bytes())?,
            }
            at = change.to;
        }
        self.target.text.copy(at, self.target.text.size(), output)
    }

    fn failed(&self, side: Side, error: XmlError) -> MergeError {
        MergeError::xml(self.path, side, error)
    }

    fn bytes(&self, error: io::Error) -> MergeError {
        MergeError::bytes(self.path, error)
    }

    /// Two elements that are the same.
    fn element(
        &mut self,
        path: &str,
        element: &'d Element,
        target_at: u64,
        incoming_at: u64,
        outer: Wins,
    ) -> Result<(), MergeError> {
        let target = self.target.level(path, Some(element), target_at);
        let target = target.map_err(|error| self.failed(Side::Target, error))?;
        let incoming = self.incoming.level(path, Some(element), incoming_at);
        let incoming = incoming.map_err(|error| self.failed(Side::Incoming, error))?;
        let wins = rule_of(path, self.target.compatibility).map_or(outer, |rule| rule.wins);
        if wins == Wins::Whole {
            return Ok(());
        }
        let mut by_id = HashMap::new();
        let mut by_key = HashMap::new();
        for (index, mark) in target.children.iter().enumerate() {
            if let Some((_, id)) = mark.id {
                by_id.entry((target.name(mark), id)).or_insert(index);
            }
            if let Some(key) = mark.key {
                by_key.entry(key).or_insert(index);
            }
        }
        let mut found = vec![false; target.children.len()];
        let mut seen = std::collections::HashSet::new();
        let mut puts = Vec::new();
        // Letters are a whole: some of each would be a scale that nobody made.
        let has_own = path.ends_with("/grade_letters") && !target.children.is_empty();
        let places = places(&target, &incoming);
        for (mark, place) in incoming.children.iter().zip(places) {
            let name = incoming.name(mark);
            if let Some((_, id)) = mark.id.filter(|_| mark.class == Class::Row && mark.key.is_none())
                && !seen.insert((mark.name, id))
            {
                return Err(MergeError::Repeated {
                    path: self.path.to_owned(),
                    element: name.to_owned(),
                    id,
                });
            }
            let there = mark
                .id
                .and_then(|(_, id)| by_id.get(&(name, id)))
                .or_else(|| mark.key.and_then(|key| by_key.get(&key)))
                .copied()
                .or_else(|| match mark.class {
                    Class::Row => None,
                    _ => target.children.iter().position(|child| target.name(child) == name),
                });
            match there {
                Some(index) => {
                    found[index] = true;
                    self.both(path, name, &target.children[index], mark, wins)?;
                }
                None if has_own => {
                    self.report.left_out(self.path, name, WhyLeftOut::TargetHasOwn);
                }
                None if self.comes(path, name, mark)? => puts.push((place, Put::Range(mark.start, mark.end))),
                None => {}
            }
        }
        self.values(wins, &target, &incoming)?;
        self.put(&target, puts)
    }

    /// Something that both have.
    fn both(
        &mut self,
        path: &str,
        name: &str,
        target: &Mark<'d>,
        incoming: &Mark<'d>,
        outer: Wins,
    ) -> Result<(), MergeError> {
        let path = format!("{path}/{name}");
        match incoming.class {
            Class::Field => Ok(()),
            Class::Closed => {
                let one = self.target.text.text(target.tag, target.end).map_err(|error| self.bytes(error))?;
                let other =
                    self.incoming.text.text(incoming.tag, incoming.end).map_err(|error| self.bytes(error))?;
                if one != other {
                    self.report.left_out(self.path, name, WhyLeftOut::Undescribed);
                }
                Ok(())
            }
            Class::Wrapper | Class::Row => {
                let Some(element) = incoming.element else { return Ok(()) };
                if incoming.class == Class::Row {
                    self.report.rows(label(element)).merged += 1;
                    if let (Some((Some(kind), from)), Some((_, to))) = (incoming.id, target.id)
                        && from != to
                    {
                        self.aliases.push((kind, from, to));
                    }
                }
                // Rows inherit nothing from the row around them; wrappers do.
                let outer = if incoming.class == Class::Row { Wins::Target } else { outer };
                if !incoming.has_elements {
                    return Ok(());
                }
                self.element(&path, element, target.tag, incoming.tag, outer)
            }
        }
    }

    /// Whether something that the target lacks comes in.
    fn comes(&mut self, path: &str, name: &str, mark: &Mark<'d>) -> Result<bool, MergeError> {
        match (mark.class, mark.element) {
            (Class::Field, _) => Ok(false),
            // A course is in one category, and where it is decides nobody who restores into it.
            _ if path == "/course" && name == "category" => Ok(false),
            (Class::Wrapper, _) if !mark.has_elements => Ok(false),
            (Class::Row, Some(element)) if path == "/section" && name == "course_format_options" => {
                let text =
                    self.incoming.text.text(mark.tag_end, mark.close).map_err(|error| self.bytes(error))?;
                let same = text.contains(&format!("<format>{}</format>", self.policy.course_format));
                if !same {
                    self.report.left_out(self.path, name, WhyLeftOut::OtherFormat);
                    self.report.rows(label(element)).skipped += 1;
                }
                Ok(same)
            }
            (Class::Row, Some(element)) => {
                if path.starts_with("/course/")
                    && !self.policy.overwrite_course
                    && name == "courseformatoption"
                {
                    self.report.left_out(self.path, name, WhyLeftOut::CourseKept);
                    self.report.rows(label(element)).skipped += 1;
                    return Ok(false);
                }
                self.report.rows(label(element)).created += 1;
                Ok(true)
            }
            _ => Ok(true),
        }
    }

    /// Puts something into an element.
    fn put(&mut self, target: &Level<'_>, puts: Vec<(u64, Put)>) -> Result<(), MergeError> {
        if puts.is_empty() {
            return Ok(());
        }
        if target.is_empty_tag {
            let tag = self.target.text.text(target.tag, target.tag_end).map_err(|error| self.bytes(error))?;
            let inside = tag.trim_start_matches('<').trim_end_matches("/>").trim_end();
            let name = inside.split_ascii_whitespace().next().unwrap_or_default();
            let end = format!("\n</{name}>");
            let open = Put::Text(format!("<{inside}>"));
            self.changes.push(Change { from: target.tag, to: target.end, put: open });
            // At the tag's end, in this order: the sort is stable.
            let rest = puts.into_iter().map(|(_, put)| put).chain([Put::Text(end)]);
            self.changes.extend(rest.map(|put| Change { from: target.end, to: target.end, put }));
            return Ok(());
        }
        self.changes.extend(puts.into_iter().map(|(at, put)| Change { from: at, to: at, put }));
        Ok(())
    }

    /// The fields of a row that both have.
    fn values(&mut self, wins: Wins, target: &Level<'d>, incoming: &Level<'d>) -> Result<(), MergeError> {
        let take = |name: &str| match wins {
            Wins::Incoming => true,
            Wins::Course => self.policy.overwrite_course && !matches!(name, "idnumber" | "timecreated"),
            _ => false,
        };
        let mut taken: Vec<&Mark<'_>> = incoming
            .children
            .iter()
            .filter(|mark| mark.class == Class::Field && take(incoming.name(mark)))
            .collect();
        if wins == Wins::Section {
            let empty = |name: &str| match target.child(name) {
                Some(mark) => Ok(matches!(self.target.value(mark)?.as_str(), "" | NULL)),
                None => Ok::<bool, io::Error>(false),
            };
            for (name, with) in [("name", None), ("summary", Some("summaryformat"))] {
                if empty(name).map_err(|error| self.bytes(error))? {
                    taken.extend(
                        incoming.child(name).into_iter().chain(with.and_then(|with| incoming.child(with))),
                    );
                }
            }
        }
        for mark in taken {
            let Some(there) = target.child(incoming.name(mark)) else { continue };
            let new = self.incoming.text.text(mark.tag, mark.end).map_err(|error| self.bytes(error))?;
            self.set(there, new)?;
        }
        match wins {
            Wins::Section => self.sequence(target),
            Wins::Setting => self.setting(target, incoming),
            _ => Ok(()),
        }
    }

    /// Gives a field another spelling.
    fn set(&mut self, there: &Mark<'_>, new: String) -> Result<(), MergeError> {
        let old = self.target.text.text(there.tag, there.end).map_err(|error| self.bytes(error))?;
        if old != new {
            self.changes.push(Change { from: there.tag, to: there.end, put: Put::Text(new) });
        }
        Ok(())
    }

    /// A section's activities, followed by those that arrive.
    fn sequence(&mut self, target: &Level<'_>) -> Result<(), MergeError> {
        let Some(there) = target.child("sequence") else { return Ok(()) };
        let tag = self.target.text.text(target.tag, target.tag_end).map_err(|error| self.bytes(error))?;
        let id = tag.split("id=\"").nth(1).and_then(|rest| rest.split('"').next());
        let Some(arriving) =
            id.and_then(|id| id.parse().ok()).and_then(|id: i64| self.policy.arriving.get(&id))
        else {
            return Ok(());
        };
        let old = self.target.value(there).map_err(|error| self.bytes(error))?;
        let old = if old == NULL { "" } else { old.as_str() };
        let mut all: Vec<String> = old.split(',').filter(|id| !id.is_empty()).map(str::to_owned).collect();
        for id in arriving.iter().map(i64::to_string) {
            if !all.contains(&id) {
                all.push(id);
            }
        }
        if all.join(",") == old {
            return Ok(());
        }
        self.set(there, format!("<sequence>{}</sequence>", all.join(",")))
    }

    /// A setting of the manifest: on if either has it, but only anonymised if both are.
    fn setting(&mut self, target: &Level<'_>, incoming: &Level<'_>) -> Result<(), MergeError> {
        let read = |doc: &Doc<'_>, level: &Level<'_>, name: &str| {
            level.child(name).map_or_else(|| Ok(String::new()), |mark| doc.value(mark))
        };
        let values: io::Result<[String; 3]> = (|| {
            Ok([
                read(self.target, target, "name")?,
                read(self.target, target, "value")?,
                read(self.incoming, incoming, "value")?,
            ])
        })();
        let [name, ours, theirs] = values.map_err(|error| self.bytes(error))?;
        let new = match name.as_str() {
            "anonymize" if ours == "1" && theirs != "1" => "0",
            "anonymize" => return Ok(()),
            _ if theirs == "1" && matches!(ours.as_str(), "0" | "") => "1",
            _ => return Ok(()),
        };
        let Some(there) = target.child("value") else { return Ok(()) };
        self.set(there, format!("<value>{new}</value>"))
    }
}

/// The name under which a row is counted.
pub(super) fn label(element: &Element) -> &str {
    element.counts.as_deref().or(element.table.as_deref()).unwrap_or(&element.name)
}
