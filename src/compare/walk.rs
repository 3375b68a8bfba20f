//! Walks over two documents at once and tells every place where they part.
//!
//! Works on documents that were checked before ([`super::spool`]), so a failure here is one of the scratch space. The depth of
//! the recursion is that of the documents, which is bounded.

use super::align::align;
use super::error::CompareError;
use super::path::{Path, Step};
use super::report::{Collector, Kind};
use super::rules::{Found, Newer, Rules};
use super::scan::{Mark, Row, Scan, Tag};
use super::spool::Document;
use super::text::{excerpt, excerpts};

/// Tells where two documents differ.
pub(super) fn documents(
    a: &Document,
    b: &Document,
    rules: &Rules,
    collector: &mut Collector,
) -> Result<(), CompareError> {
    let mut walk = Walk { a, b, rules, collector, path: Path::default() };
    walk.content(Scan::document(a), Scan::document(b), false)
}

struct Walk<'w> {
    a: &'w Document,
    b: &'w Document,
    rules: &'w Rules,
    collector: &'w mut Collector,
    path: Path,
}

/// The children of one element in both documents, as far as more than one step needs to know of them.
struct Lists {
    a: Scan,
    b: Scan,
    /// Whether there are any.
    filled: (bool, bool),
    /// The highest ids.
    highest: (u64, u64),
    /// A difference in the text in front of a child was told.
    lead_told: bool,
}

impl Lists {
    fn next(&mut self) -> Result<(Option<Row>, Option<Row>), CompareError> {
        Ok((self.next_a()?, self.next_b()?))
    }

    fn next_a(&mut self) -> Result<Option<Row>, CompareError> {
        let row = self.a.next_row()?;
        if let Some(row) = &row {
            self.filled.0 = true;
            self.highest.0 = self.highest.0.max(row.id.unwrap_or(0));
        }
        Ok(row)
    }

    fn next_b(&mut self) -> Result<Option<Row>, CompareError> {
        let row = self.b.next_row()?;
        if let Some(row) = &row {
            self.filled.1 = true;
            self.highest.1 = self.highest.1.max(row.id.unwrap_or(0));
        }
        Ok(row)
    }

    /// The step to a child; its number is shown only where it is not alone of its name.
    fn step(&self, row: Row, mark: &Mark, positions: (u32, u32)) -> Step {
        let alone = self.a.count_of(mark.key).max(self.b.count_of(mark.key)) < 2;
        let label = row.label.or_else(|| (!alone).then(|| mark.ordinal.to_string()));
        Step { name: row.name, label, positions }
    }
}

impl Walk<'_> {
    /// Two elements that differ somewhere: start tags, children, what stands between and behind them.
    fn element(&mut self, one: u64, other: u64) -> Result<(), CompareError> {
        let (a, tag) = Scan::element(self.a, one)?;
        let (b, other_tag) = Scan::element(self.b, other)?;
        self.attributes(&tag, &other_tag);
        let encrypted = [&tag, &other_tag].iter().all(|tag| tag.attribute("encrypted") == Some("true"));
        self.content(a, b, encrypted)
    }

    fn attributes(&mut self, one: &Tag, other: &Tag) {
        if one.raw == other.raw {
            return;
        }
        let before = self.collector.seen();
        let names = one.attributes.iter().map(|(name, _)| name);
        let added =
            other.attributes.iter().map(|(name, _)| name).filter(|name| one.attribute(name).is_none());
        for name in names.chain(added) {
            let (a, b) = (one.attribute(name), other.attribute(name));
            if a != b {
                self.path.0.push(Step { name: format!("@{name}"), label: None, positions: (0, 0) });
                let excused = match (a, b) {
                    (Some(a), Some(b)) => {
                        self.rules.excuse(&self.path, &Found::Value { a, b, encrypted: false })
                    }
                    _ => None,
                };
                match excused {
                    Some(entry) => self.collector.excuse(entry),
                    None => self
                        .collector
                        .within(&self.path, Kind::AttributeDiffers, || (a.map(excerpt), b.map(excerpt))),
                }
                self.path.0.pop();
            }
        }
        if before == self.collector.seen() {
            self.texts(Kind::TextDiffers, &one.raw, &other.raw);
        }
    }

    fn texts(&mut self, kind: Kind, one: &str, other: &str) {
        self.collector.within(&self.path, kind, || {
            let (a, b) = excerpts(one, other);
            (Some(a), Some(b))
        });
    }

    /// What stands in two elements.
    fn content(&mut self, a: Scan, b: Scan, encrypted: bool) -> Result<(), CompareError> {
        let mut lists = Lists { a, b, filled: (false, false), highest: (0, 0), lead_told: false };
        loop {
            match lists.next()? {
                (None, None) => break,
                (Some(one), Some(other)) if is_step(&one.mark, &other.mark) => {
                    let marks = (one.mark, other.mark);
                    self.pair(&mut lists, marks, Some(one))?;
                }
                (one, other) => {
                    self.lists(&mut lists, one, other)?;
                    break;
                }
            }
        }
        self.rest(&lists, encrypted);
        Ok(())
    }

    /// The text of elements without children, or what stands behind the last child.
    fn rest(&mut self, lists: &Lists, encrypted: bool) {
        let (one, other) = (&lists.a.text, &lists.b.text);
        if one.digest() == other.digest() {
            return;
        }
        let is_value = lists.filled == (false, false);
        if let (true, Some(a), Some(b)) = (is_value, one.whole(), other.whole())
            && let Some(entry) = self.rules.excuse(&self.path, &Found::Value { a, b, encrypted })
        {
            return self.collector.excuse(entry);
        }
        let blank = one.is_blank() && other.is_blank();
        let kind = if is_value && !blank { Kind::ValueDiffers } else { Kind::TextDiffers };
        if one.kept() == other.kept() {
            return self.texts(kind, &one.beyond(), &other.beyond());
        }
        self.texts(kind, one.kept(), other.kept());
    }

    /// Two children that are one. Enters them if they differ.
    fn pair(
        &mut self,
        lists: &mut Lists,
        (one, other): (Mark, Mark),
        row: Option<Row>,
    ) -> Result<(), CompareError> {
        if one.lead != other.lead && !std::mem::replace(&mut lists.lead_told, true) {
            let lead = self.a.text_before(one.start).map_err(CompareError::Scratch)?;
            let other_lead = self.b.text_before(other.start).map_err(CompareError::Scratch)?;
            self.texts(Kind::TextDiffers, &lead, &other_lead);
        }
        if one.digest == other.digest {
            return Ok(());
        }
        let row = match row {
            Some(row) => row,
            None => Scan::row(self.a, one.start, lists.a.parent())?,
        };
        let step = lists.step(row, &one, (one.position, other.position));
        self.path.0.push(step);
        let before = self.collector.seen();
        self.element(one.start, other.start)?;
        if before == self.collector.seen() {
            // The same for a reader of XML, but not spelled in the same way: `<x/>` and `<x></x>`.
            let shown = Scan::row(self.a, one.start, "")?.shown;
            let other_shown = Scan::row(self.b, other.start, "")?.shown;
            self.texts(Kind::TextDiffers, &shown, &other_shown);
        }
        self.path.0.pop();
        Ok(())
    }

    /// The children from the first ones on that do not match.
    fn lists(&mut self, lists: &mut Lists, one: Option<Row>, other: Option<Row>) -> Result<(), CompareError> {
        let (mut left, mut right): (Vec<Mark>, Vec<Mark>) = (Vec::new(), Vec::new());
        let mut next = one;
        while let Some(row) = next {
            left.push(row.mark);
            next = lists.next_a()?;
        }
        let mut next = other;
        while let Some(row) = next {
            right.push(row.mark);
            next = lists.next_b()?;
        }
        let alignment = align(&left, &right);
        if let Some((here, there)) = alignment.disorder() {
            self.order(lists, &left[here], &right[there])?;
        }
        for (index, partner) in alignment.partners() {
            match partner {
                Some(partner) => self.pair(lists, (left[index], right[partner]), None)?,
                None => self.alone(lists, Newer::A, &left[index])?,
            }
        }
        alignment.only_b.iter().try_for_each(|index| self.alone(lists, Newer::B, &right[*index]))
    }

    /// The children stand in another order; the first place where they do is shown.
    fn order(&mut self, lists: &Lists, one: &Mark, other: &Mark) -> Result<(), CompareError> {
        if let Some(entry) = self.rules.excuse(&self.path, &Found::Order) {
            self.collector.excuse(entry);
            return Ok(());
        }
        let here = lists.step(Scan::row(self.a, one.start, lists.a.parent())?, one, (one.position, 0));
        let there = lists.step(Scan::row(self.b, other.start, lists.b.parent())?, other, (0, other.position));
        let told = |step: &Step| Some(excerpt(&step.to_string()));
        self.collector.within(&self.path, Kind::OrderDiffers, || (told(&here), told(&there)));
        Ok(())
    }

    /// A child that only one document has.
    fn alone(&mut self, lists: &Lists, only_in: Newer, mark: &Mark) -> Result<(), CompareError> {
        let (document, scan, highest_there, positions) = match only_in {
            Newer::A => (self.a, &lists.a, lists.highest.1, (mark.position, 0)),
            Newer::B => (self.b, &lists.b, lists.highest.0, (0, mark.position)),
        };
        let row = Scan::row(document, mark.start, scan.parent())?;
        let (id, shown) = (row.id, row.shown.clone());
        self.path.0.push(lists.step(row, mark, positions));
        match self.rules.excuse(&self.path, &Found::Row { only_in, id, highest_there }) {
            Some(entry) => self.collector.excuse(entry),
            None => {
                let shown = Some(excerpt(&shown));
                match only_in {
                    Newer::A => self.collector.within(&self.path, Kind::ElementOnlyInA, || (shown, None)),
                    Newer::B => self.collector.within(&self.path, Kind::ElementOnlyInB, || (None, shown)),
                }
            }
        }
        self.path.0.pop();
        Ok(())
    }
}

/// Whether the next children of both are one without looking further: the same id, or the same content.
fn is_step(one: &Mark, other: &Mark) -> bool {
    one.key == other.key && one.keyed == other.keyed && (one.keyed || one.digest == other.digest)
}
