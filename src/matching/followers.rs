//! What goes with users and roles that are left out: their rows, everything below these, and answers to them.
//!
//! A row is a user's if its field for the one it is about says so; someone who only had a hand in it (who graded, who
//! changed last) does not take it along. An answer goes with what it answers, for nothing would lead to it.

use std::collections::{BTreeMap, BTreeSet};

use super::document::{MatchError, Source, is_document, number};
use super::plan::Request;
use super::rows::{defined, defines};
use super::table::{ALIKE, Among};
use crate::format::{Element, Format, Kind, Meaning, Refs, Step};

/// Fields that say whose a row is, the first that a row has.
const OWNERS: [&str; 4] = ["userid", "authorid", "reviewerid", "recipientid"];

/// Kinds whose `userid` says who made or last changed them, not whose they are.
const OF_THE_COURSE: [&str; 5] = ["file", "scale", "outcome", "question_attempt_step", "wiki_page"];

/// Rows about a role.
const OF_ROLES: [&str; 2] = ["role_assignment", "role_capability"];

/// The field that names the row of the same kind that a row answers.
const ANSWERED: &str = "parent";

struct Open {
    thing: Option<(Kind, i64)>,
    /// It is that of a user who is left out.
    gone: bool,
    /// It is about a role that is left out.
    of_gone_role: bool,
    /// A number between `OWNERS`: which of them said so far whose it is.
    owner: usize,
    has_course: bool,
    answered: i64,
    /// Things below it, as far as they may have to go.
    below: Vec<(Kind, i64)>,
}

/// An answer: itself, what it answers, what is below it.
struct Answer {
    thing: (Kind, i64),
    to: i64,
    below: Vec<(Kind, i64)>,
}

struct Reader<'r> {
    format: &'r Format,
    users: &'r BTreeSet<i64>,
    roles: &'r BTreeSet<i64>,
    user: Option<Kind>,
    role: Option<Kind>,
    event: Option<Kind>,
    /// Kinds of things that stand in several places.
    shared: Vec<Kind>,
    gone: Refs,
    answers: BTreeMap<(Kind, i64), Vec<Answer>>,
    open: Vec<Open>,
}

/// Reads what goes, by looking through all documents.
pub(super) fn read(
    request: &Request<'_>,
    users: &BTreeSet<i64>,
    roles: &BTreeSet<i64>,
) -> Result<Refs, MatchError> {
    look_through(request, users, roles, is_document)
}

/// Reads what stands below the rows of users who are in the course as they are.
pub(super) fn below(request: &Request<'_>, users: &BTreeSet<i64>) -> Result<Refs, MatchError> {
    look_through(request, users, &BTreeSet::new(), |path| path == "users.xml")
}

fn look_through(
    request: &Request<'_>,
    users: &BTreeSet<i64>,
    roles: &BTreeSet<i64>,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<Refs, MatchError> {
    let format = request.format;
    let source = Source { format, members: request.incoming.members, limits: request.limits };
    let [user, role, event] = ["user", "role", "event"].map(|name| format.kind(name));
    let (gone, answers) = (Refs::default(), BTreeMap::new());
    let shared = ALIKE.iter().filter(|(_, among, _)| *among == Among::Course);
    let shared = shared.filter_map(|(name, ..)| format.kind(name)).collect();
    let mut reader =
        Reader { format, users, roles, user, role, event, shared, gone, answers, open: Vec::new() };
    for member in source.list()?.iter().filter(|member| is_wanted(member.path.as_str())) {
        source.read(member, &mut |step| match step {
            Step::Open { element, attributes, .. } => reader.open(element, attributes),
            Step::Close { element, name, text } => reader.close(element, name, text),
        })?;
    }
    Ok(reader.finish())
}

impl Reader<'_> {
    fn open(&mut self, element: Option<&Element>, attributes: &[(String, String)]) {
        let own = element.and_then(defined);
        let all = element.map(|element| defines(element, attributes)).unwrap_or_default();
        let thing = all.first().copied().filter(|(kind, _)| Some(*kind) == own);
        let gone = thing.is_some_and(|(kind, id)| Some(kind) == self.user && self.users.contains(&id));
        let thing = thing.filter(|(kind, _)| !self.shared.contains(kind));
        let below =
            all.into_iter().filter(|one| Some(*one) != thing && !self.shared.contains(&one.0)).collect();
        self.open.push(Open {
            thing,
            gone,
            of_gone_role: false,
            owner: OWNERS.len(),
            has_course: false,
            answered: 0,
            below,
        });
    }

    fn close(&mut self, element: Option<&Element>, name: &str, text: Option<&str>) {
        let Some(closed) = self.open.pop() else { return };
        let Some(thing) = closed.thing else {
            self.value(element, name, text);
            self.hand_up(closed.below);
            return;
        };
        let Open { gone, of_gone_role, below, answered, has_course, .. } = closed;
        let is_spared = Some(thing.0) == self.event && has_course
            || OF_THE_COURSE.contains(&self.format.kind_name(thing.0));
        if of_gone_role || gone && !is_spared {
            for (kind, id) in std::iter::once(thing).chain(below) {
                self.gone.add(kind, id);
            }
        } else if answered > 0 {
            self.hand_up(below.iter().copied().chain([thing]).collect());
            let answer = Answer { thing, to: answered, below };
            self.answers.entry((thing.0, answered)).or_default().push(answer);
        } else {
            self.hand_up(below.into_iter().chain([thing]).collect());
        }
    }

    /// Gives what is below to the next thing above; what has none above cannot go with anything.
    fn hand_up(&mut self, below: Vec<(Kind, i64)>) {
        // The root of a document is no row of anyone.
        let above = self.open.iter_mut().skip(1).rev().find(|open| open.thing.is_some());
        if let Some(above) = above {
            above.below.extend(below);
        }
    }

    fn value(&mut self, element: Option<&Element>, name: &str, text: Option<&str>) {
        let (Some(element), Some(id)) = (element, text.map(number).filter(|id| *id > 0)) else { return };
        let Some(Meaning::Ref { kind, .. }) = element.value.as_ref().map(|value| &value.meaning) else {
            return;
        };
        let Some(row) = self.open.last_mut() else { return };
        let Some((own, _)) = row.thing else { return };
        let place = OWNERS.iter().position(|owner| *owner == name);
        if let Some(place) = place.filter(|place| Some(*kind) == self.user && *place < row.owner) {
            row.owner = place;
            row.gone = self.users.contains(&id);
        }
        if name == "courseid" {
            row.has_course = true;
        }
        if name == ANSWERED && *kind == own {
            row.answered = id;
        }
        let is_of_role = Some(*kind) == self.role && OF_ROLES.contains(&self.format.kind_name(own));
        row.of_gone_role |= is_of_role && self.roles.contains(&id);
    }

    /// Everything that goes, answers included.
    fn finish(mut self) -> Refs {
        let kinds: BTreeSet<Kind> = self.answers.keys().map(|(kind, _)| *kind).collect();
        let mut next: Vec<(Kind, i64)> = kinds
            .iter()
            .flat_map(|kind| self.gone.sorted(*kind).into_iter().map(move |id| (*kind, id)))
            .collect();
        while let Some(gone) = next.pop() {
            for Answer { thing, below, to } in self.answers.remove(&gone).unwrap_or_default() {
                debug_assert_eq!(to, gone.1, "answers are kept by what they answer");
                for (kind, id) in std::iter::once(thing).chain(below) {
                    self.gone.add(kind, id);
                    next.push((kind, id));
                }
            }
        }
        self.gone
    }
}
