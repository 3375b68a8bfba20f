//! Walks over two documents at once and tells every place where they part.
//!
//! Works on documents that were checked before ([`super::spool`]), so a failure here is one of the scratch space. The depth of
//! the recursion is that of the documents, which is bounded.

use std::collections::{HashMap, VecDeque};

use super::align::align;
use super::error::{CompareError, Side};
use super::path::{Path, Step};
use super::report::{Collector, Kind};
use super::rules::{Found, Rules};
use super::scan::{Mark, Mark16, Row, Scan, Tag};
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

/// Children of one element in one document.
struct List {
    scan: Scan,
    ended: bool,
    /// Number of children so far.
    count: u32,
    /// The highest id so far.
    highest: u64,
    /// Those whose counterpart has not come yet, by key.
    waiting: HashMap<Mark16, VecDeque<Mark>>,
    waiting_count: usize,
}

impl List {
    fn new(scan: Scan) -> Self {
        Self { scan, ended: false, count: 0, highest: 0, waiting: HashMap::new(), waiting_count: 0 }
    }

    fn next(&mut self) -> Result<Option<Row>, CompareError> {
        let row = self.scan.next_row()?;
        match &row {
            Some(row) => {
                self.count += 1;
                self.highest = self.highest.max(row.id.unwrap_or(0));
            }
            None => self.ended = true,
        }
        Ok(row)
    }

    fn wait(&mut self, mark: Mark) {
        self.waiting_count += 1;
        self.waiting.entry(mark.key).or_insert_with(|| VecDeque::with_capacity(1)).push_back(mark);
    }

    /// The first one of a key that waits.
    fn take(&mut self, key: Mark16) -> Option<Mark> {
        let marks = self.waiting.get_mut(&key)?;
        let mark = marks.pop_front();
        self.waiting_count -= 1;
        if marks.is_empty() {
            self.waiting.remove(&key);
        }
        mark
    }

    /// All that wait, in their order.
    fn take_all(&mut self) -> Vec<Mark> {
        self.waiting_count = 0;
        let mut marks: Vec<Mark> = std::mem::take(&mut self.waiting).into_values().flatten().collect();
        marks.sort_unstable_by_key(|mark| mark.position);
        marks
    }
}

/// The children of one element in both documents.
struct Lists {
    a: List,
    b: List,
    /// Positions of the last pair.
    last: (u32, u32),
    order_told: bool,
    /// A difference in the text in front of a child was told.
    lead_told: bool,
}

impl Lists {
    fn next(&mut self) -> Result<(Option<Row>, Option<Row>), CompareError> {
        Ok((self.a.next()?, self.b.next()?))
    }

    fn is_nobody_waiting(&self) -> bool {
        self.a.waiting.is_empty() && self.b.waiting.is_empty()
    }

    /// The step to a child; its number is shown only where it is not alone of its name.
    fn step(&self, row: Row, mark: &Mark, positions: (u32, u32)) -> Step {
        let alone = self.a.scan.count_of(mark.key).max(self.b.scan.count_of(mark.key)) < 2;
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
        let (a, b) = (List::new(a), List::new(b));
        let mut lists = Lists { a, b, last: (0, 0), order_told: false, lead_told: false };
        loop {
            let (one, other) = lists.next()?;
            match (one, other) {
                (None, None) => {
                    self.join(&mut lists, None, None)?;
                    break;
                }
                (Some(one), Some(other)) if lists.is_nobody_waiting() && is_step(&one.mark, &other.mark) => {
                    let marks = (one.mark, other.mark);
                    self.pair(&mut lists, marks, Some(one))?;
                }
                (one, other) if [&one, &other].into_iter().flatten().all(|row| row.mark.keyed) => {
                    self.join(&mut lists, one, other)?;
                }
                (one, other) => {
                    self.tables(&mut lists, one, other)?;
                    break;
                }
            }
            if lists.a.waiting_count.max(lists.b.waiting_count) > self.rules.rows() {
                self.give_up();
                return Ok(());
            }
        }
        self.rest(&lists, encrypted);
        Ok(())
    }

    /// Two children with ids that are not one: each looks for its counterpart among those that wait, or waits.
    fn join(&mut self, lists: &mut Lists, one: Option<Row>, other: Option<Row>) -> Result<(), CompareError> {
        if let Some(row) = one {
            match lists.b.take(row.mark.key) {
                Some(partner) => self.pair(lists, (row.mark, partner), Some(row))?,
                None => lists.a.wait(row.mark),
            }
        }
        if let Some(row) = other {
            match lists.a.take(row.mark.key) {
                Some(partner) => self.pair(lists, (partner, row.mark), Some(row))?,
                None => lists.b.wait(row.mark),
            }
        }
        // Nobody comes any more for whom they could wait.
        if lists.b.ended {
            lists.a.take_all().iter().try_for_each(|mark| self.alone(lists, Side::A, mark))?;
        }
        if lists.a.ended {
            lists.b.take_all().iter().try_for_each(|mark| self.alone(lists, Side::B, mark))?;
        }
        Ok(())
    }

    /// A list that cannot be aligned within bounds: that it differs is all that can be said of what follows in it.
    fn give_up(&mut self) {
        let told = format!("more than {} children without a counterpart", self.rules.rows());
        self.collector.within(&self.path, Kind::BytesDiffer, || (Some(told.clone()), Some(told)));
    }

    /// The text of elements without children, or what stands behind the last child.
    fn rest(&mut self, lists: &Lists, encrypted: bool) {
        let (one, other) = (&lists.a.scan.text, &lists.b.scan.text);
        if one.digest() == other.digest() {
            return;
        }
        let is_value = (lists.a.count, lists.b.count) == (0, 0);
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
        // Pairs are found in the order of both lists if, and only if, they stand in the same order there.
        if one.position > lists.last.0 && other.position > lists.last.1 {
            lists.last = (one.position, other.position);
        } else if !std::mem::replace(&mut lists.order_told, true) {
            self.order(lists, &one, &other)?;
        }
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
            None => Scan::row(self.a, one.start, lists.a.scan.parent())?,
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

    /// The children from the first ones on that do not match, some of them without ids.
    fn tables(
        &mut self,
        lists: &mut Lists,
        one: Option<Row>,
        other: Option<Row>,
    ) -> Result<(), CompareError> {
        let (mut left, mut right) = (lists.a.take_all(), lists.b.take_all());
        let mut next = (one, other);
        while next.0.is_some() || next.1.is_some() {
            left.extend(next.0.map(|row| row.mark));
            right.extend(next.1.map(|row| row.mark));
            if left.len().max(right.len()) > self.rules.rows() {
                self.give_up();
                return Ok(());
            }
            next = lists.next()?;
        }
        let alignment = align(&left, &right);
        for (index, partner) in alignment.partners() {
            match partner {
                Some(partner) => self.pair(lists, (left[index], right[partner]), None)?,
                None => self.alone(lists, Side::A, &left[index])?,
            }
        }
        alignment.only_b.iter().try_for_each(|index| self.alone(lists, Side::B, &right[*index]))
    }

    /// The children stand in another order; the first one that does is shown with its places.
    fn order(&mut self, lists: &Lists, one: &Mark, other: &Mark) -> Result<(), CompareError> {
        if let Some(entry) = self.rules.excuse(&self.path, &Found::Order) {
            self.collector.excuse(entry);
            return Ok(());
        }
        let row = Scan::row(self.a, one.start, lists.a.scan.parent())?;
        let step = lists.step(row, one, (one.position, other.position)).to_string();
        let told = |position: u32| Some(format!("child {position}: {}", excerpt(&step)));
        self.collector.within(&self.path, Kind::OrderDiffers, || (told(one.position), told(other.position)));
        Ok(())
    }

    /// A child that only one document has.
    fn alone(&mut self, lists: &Lists, only_in: Side, mark: &Mark) -> Result<(), CompareError> {
        let (document, scan, highest_there, positions) = match only_in {
            Side::A => (self.a, &lists.a.scan, lists.b.highest, (mark.position, 0)),
            Side::B => (self.b, &lists.b.scan, lists.a.highest, (0, mark.position)),
        };
        let row = Scan::row(document, mark.start, scan.parent())?;
        let (id, shown) = (row.id, row.shown.clone());
        self.path.0.push(lists.step(row, mark, positions));
        match self.rules.excuse(&self.path, &Found::Row { id, highest_there }) {
            Some(entry) => self.collector.excuse(entry),
            None => {
                let shown = Some(excerpt(&shown));
                match only_in {
                    Side::A => self.collector.within(&self.path, Kind::ElementOnlyInA, || (shown, None)),
                    Side::B => self.collector.within(&self.path, Kind::ElementOnlyInB, || (None, shown)),
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
