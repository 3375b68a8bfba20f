//! Who may do what with an archive: one table over its area, the caller's part in it, and the action.
//!
//! A part alone allows nothing: the capability that the action needs must be held, too, at the archive's course, or, for what
//! is one's own or shared with one, anywhere on its site. Knows neither where shares are kept nor how a refusal is told.

use crate::capability::Capability;
use crate::ids::{CourseId, SiteId};
use crate::job::Area;
use crate::principal::{Courses, Principal};

/// What somebody wants to do with an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// See that it is there, with what its record tells.
    See,
    /// Look into it: its inspection, the list of its members.
    Inspect,
    /// Get its bytes, whole, in part, or compared with others.
    Fetch,
    /// Make a course of it.
    Restore,
    /// Change what people wrote about it.
    Update,
    /// Delete it, and take that back.
    Delete,
    /// Make it available to others, and end that.
    Share,
    /// Hold it. Releasing a hold needs more, see [`may_release`].
    Hold,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::See,
        Self::Inspect,
        Self::Fetch,
        Self::Restore,
        Self::Update,
        Self::Delete,
        Self::Share,
        Self::Hold,
    ];

    /// The capability that it needs.
    pub const fn capability(self) -> Capability {
        match self {
            Self::See | Self::Inspect => Capability::ArchiveView,
            Self::Fetch => Capability::DownloadFile,
            Self::Restore => Capability::RestoreCourse,
            Self::Update | Self::Delete => Capability::ManageFiles,
            Self::Share => Capability::ArchiveShare,
            Self::Hold => Capability::ArchiveHold,
        }
    }
}

/// A part that somebody has in an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// Who manages everybody's archives there.
    Administrator,
    /// Who manages whatever archives the course has.
    Manager,
    /// Who sees that everything is in order.
    Auditor,
    /// Who made or uploaded it.
    Owner,
    /// Somebody to whom it is made available, now.
    Shared,
    /// Anybody who has to do with the course.
    Anyone,
}

impl Party {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Administrator, Self::Manager, Self::Auditor, Self::Owner, Self::Shared, Self::Anyone];

    /// The capability that makes one a party to the archives of an area; the other parts follow from the archive, or from
    /// nothing.
    const fn capability(self, area: Area) -> Option<Capability> {
        match self {
            Self::Administrator if matches!(area, Area::Automated) => Some(Capability::AutomatedArea),
            Self::Administrator => Some(Capability::SiteArchivesManage),
            Self::Manager => Some(Capability::CourseArchivesManage),
            Self::Auditor => Some(Capability::ArchiveViewAll),
            Self::Owner | Self::Shared | Self::Anyone => None,
        }
    }

    /// Whether the part is in the very archive, so that its course does not matter.
    const fn is_own(self) -> bool {
        matches!(self, Self::Owner | Self::Shared)
    }
}

/// An archive, as far as it matters who may do what.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Its site.
    pub site: &'a SiteId,
    /// The course that it belongs to.
    pub course: Option<&'a CourseId>,
    /// Its area.
    pub area: Area,
    /// Who made or uploaded it.
    pub owner: &'a str,
    /// Whether it is made available to who asks, now.
    pub shared: bool,
}

/// What becomes of a wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It may be done.
    Allowed,
    /// It may not be done, by somebody who sees the archive.
    Denied,
    /// For the caller the archive does not exist.
    Unseen,
}

/// Whether somebody may do that to an archive.
pub fn decide(principal: &Principal, subject: &Subject<'_>, action: Action) -> Decision {
    let may = |action| Party::ALL.into_iter().any(|party| may_as(principal, subject, party, action));
    if !may(Action::See) {
        Decision::Unseen
    } else if may(action) {
        Decision::Allowed
    } else {
        Decision::Denied
    }
}

/// Whether somebody may do that to an archive, being that party to it.
fn may_as(principal: &Principal, subject: &Subject<'_>, party: Party, action: Action) -> bool {
    let Subject { site, course, area, .. } = *subject;
    let is_party = match party {
        Party::Owner => principal.name == subject.owner,
        Party::Shared => subject.shared,
        _ => party.capability(area).is_none_or(|needed| principal.holds_at(needed, site, course)),
    };
    let needed = action.capability();
    is_party
        && may(area, party, action)
        && if party.is_own() {
            principal.holds_within(needed, site)
        } else {
            principal.holds_at(needed, site, course)
        }
}

/// Archives that somebody sees for one and the same reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sight {
    /// As whom.
    pub party: Party,
    /// The areas.
    pub areas: Vec<Area>,
    /// The courses.
    pub courses: Courses,
}

/// The archives of a site that somebody sees: those of any of these sights. Says the same as [`decide`] does of each archive.
pub fn sights(principal: &Principal, site: &SiteId) -> Vec<Sight> {
    let mut sights: Vec<Sight> = Vec::new();
    let needed = Action::See.capability();
    for party in Party::ALL {
        for area in Area::ALL.iter().copied().filter(|area| may(*area, party, Action::See)) {
            let courses = if party.is_own() {
                if principal.holds_within(needed, site) { Courses::All } else { Courses::Only(Vec::new()) }
            } else {
                let seen = principal.courses_with(needed, site);
                match party.capability(area) {
                    Some(needed) => seen.and(principal.courses_with(needed, site)),
                    None => seen,
                }
            };
            match sights.iter_mut().find(|sight| sight.party == party && sight.courses == courses) {
                _ if courses.is_empty() => {}
                Some(sight) => sight.areas.push(area),
                None => sights.push(Sight { party, areas: vec![area], courses }),
            }
        }
    }
    sights
}

/// Whether somebody may release a hold: who placed it may, and who manages everybody's archives there, so that an owner cannot
/// end a hold that was placed against them.
pub fn may_release(principal: &Principal, subject: &Subject<'_>, placed_by: &str) -> bool {
    let manages = Party::Administrator.capability(subject.area);
    principal.name == placed_by
        || manages.is_some_and(|needed| principal.holds_at(needed, subject.site, subject.course))
}

/// The table.
fn may(area: Area, party: Party, action: Action) -> bool {
    use Action::{Delete, Fetch, Hold, Inspect, Restore, See};
    match (party, area) {
        // A person's own archives: an operator counts, holds and removes them, and looks into none.
        (Party::Administrator, Area::Private) => matches!(action, See | Delete | Hold),
        (Party::Administrator, Area::DropZone | Area::Course | Area::Automated) => true,
        (Party::Manager, Area::Course) => true,
        (Party::Manager, Area::DropZone | Area::Private | Area::Automated) => false,
        (Party::Auditor, _) => matches!(action, See),
        // Whoever stored a nightly backup was an administrator then, and needs to be one now.
        (Party::Owner, Area::Automated) => false,
        (Party::Owner, Area::DropZone | Area::Course | Area::Private) => true,
        // Whatever the area: that is what sharing is for.
        (Party::Shared, _) => matches!(action, See | Inspect | Fetch | Restore),
        // Backups of a course belong to the course, which everybody who has to do with it can fetch as it is.
        (Party::Anyone, Area::Course) => matches!(action, See | Inspect | Fetch | Restore),
        (Party::Anyone, Area::DropZone | Area::Private | Area::Automated) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capability::Roles;
    use crate::principal::Grant;

    fn principal(name: &str, grants: &[&str]) -> Principal {
        let roles = Roles::default();
        let grants: Vec<_> = grants.iter().map(|text| Grant::parse(text, &roles).expect("a grant")).collect();
        Principal::new(name, grants)
    }

    /// One letter for each action in its order: `+` allowed, `-` denied, `.` unseen.
    fn row(principal: &Principal, area: Area, course: Option<&str>, owner: &str, shared: bool) -> String {
        let site = "main".parse().expect("a site");
        let course: Option<CourseId> = course.map(|course| course.parse().expect("a course"));
        let subject = Subject { site: &site, course: course.as_ref(), area, owner, shared };
        let letter = |action| match decide(principal, &subject, action) {
            Decision::Allowed => '+',
            Decision::Denied => '-',
            Decision::Unseen => '.',
        };
        Action::ALL.into_iter().map(letter).collect()
    }

    #[test]
    fn the_table_of_areas_parties_and_actions() {
        let named = |grants| principal("anna", grants);
        let (nobody, service) = (named(&[]), named(&["service@sites/main"]));
        let (teacher, elsewhere) =
            (named(&["teacher@sites/main/courses/c"]), named(&["teacher@sites/main/courses/d"]));
        let (manager, auditor) = (named(&["manager@sites/main/courses/c"]), named(&["auditor@sites/main"]));
        let (root, foreign) = (named(&["administrator@*"]), named(&["administrator@sites/other"]));
        // see, inspect, fetch, restore, update, delete, share, hold: of others' archives of a course
        for (whom, drop_zone, course, private, automated) in [
            (&root, "++++++++", "++++++++", "+----+-+", "++++++++"),
            (&manager, "........", "++++++++", "........", "........"),
            (&service, "........", "++++----", "........", "........"),
            (&teacher, "........", "++++----", "........", "........"),
            (&auditor, "+-------", "++------", "+-------", "+-------"),
            (&elsewhere, "........", "........", "........", "........"),
            (&foreign, "........", "........", "........", "........"),
            (&nobody, "........", "........", "........", "........"),
        ] {
            let areas = [Area::DropZone, Area::Course, Area::Private, Area::Automated];
            for (area, expected) in areas.into_iter().zip([drop_zone, course, private, automated]) {
                assert_eq!(row(whom, area, Some("c"), "ben", false), expected, "{area} {whom:?}");
            }
        }
        // Shared archives, and one's own, need a capability somewhere on the site, and no more.
        for area in [Area::DropZone, Area::Private] {
            for whom in [&service, &teacher, &elsewhere] {
                assert_eq!(row(whom, area, None, "anna", false), "++++++++", "{area} {whom:?}");
                assert_eq!(row(whom, area, Some("x"), "ben", true), "++++----", "{area} {whom:?}");
            }
            for whom in [&foreign, &nobody] {
                assert_eq!(row(whom, area, None, "anna", true), "........", "{area} {whom:?}");
            }
        }
        assert_eq!(row(&service, Area::Automated, Some("c"), "anna", false), "........");
        assert_eq!(row(&service, Area::Automated, Some("c"), "root", true), "++++----");
        // Somebody who only audits gets nothing out, even of what was shared.
        assert_eq!(row(&auditor, Area::Private, None, "ben", true), "++------");
        assert_eq!(row(&root, Area::Private, None, "ben", true), "++++-+-+");
    }

    #[test]
    fn lists_show_what_single_decisions_allow_to_see() {
        let site: SiteId = "main".parse().expect("a site");
        for grants in [
            &["administrator@*"][..],
            &["manager@sites/main/courses/c", "teacher@sites/main/courses/d"],
            &["service@sites/main"],
            &["auditor@sites/main/courses/c"],
            &["teacher@sites/other"],
            &[],
        ] {
            let anna = principal("anna", grants);
            let sights = sights(&anna, &site);
            for area in Area::ALL.iter().copied() {
                for (course, owner, shared) in
                    [None, Some("c"), Some("d"), Some("e")].into_iter().flat_map(|course| {
                        [("anna", false), ("ben", true), ("ben", false)].map(|(o, s)| (course, o, s))
                    })
                {
                    let listed = sights.iter().any(|sight| {
                        let in_course = match (&sight.courses, course) {
                            (Courses::All, _) => true,
                            (Courses::Only(courses), Some(course)) => {
                                courses.iter().any(|one| one.as_str() == course)
                            }
                            (Courses::Only(_), None) => false,
                        };
                        let is_party = match sight.party {
                            Party::Owner => owner == "anna",
                            Party::Shared => shared,
                            _ => true,
                        };
                        sight.areas.contains(&area) && in_course && is_party
                    });
                    let seen = !row(&anna, area, course, owner, shared).starts_with('.');
                    assert_eq!(listed, seen, "{grants:?} {area} {course:?} {owner} {shared}");
                }
            }
        }
    }

    #[test]
    fn holds_are_released_by_who_placed_them_and_by_administrators() {
        let site = "main".parse().expect("a site");
        let subject = Subject { site: &site, course: None, area: Area::Course, owner: "anna", shared: false };
        let lms = principal("lms", &["manager@sites/main"]);
        assert!(may_release(&lms, &subject, "lms") && !may_release(&lms, &subject, "root"));
        assert!(may_release(&Principal::local(), &subject, "root"));
        assert!(!may_release(&principal("root", &["administrator@sites/other"]), &subject, "lms"));
    }
}
