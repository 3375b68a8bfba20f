//! Who may do what with an archive: one table over its area, the caller's part in it, and the action.
//!
//! Roles and their capabilities will come in as further parties, or narrow what a party may; the callers of [`decide`] stay.
//! Knows neither where shares are kept nor how a refusal is told.

use crate::job::Area;
use crate::principal::Principal;

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

    /// The capability that it needs, Moodle's where there is one.
    pub const fn capability(self) -> &'static str {
        match self {
            Self::See | Self::Inspect => "coursevault/archive:view",
            Self::Fetch => "moodle/backup:downloadfile",
            Self::Restore => "moodle/restore:restorecourse",
            Self::Update | Self::Delete => "moodle/restore:managefiles",
            Self::Share => "coursevault/archive:share",
            Self::Hold => "coursevault/archive:hold",
        }
    }
}

/// A part that somebody has in an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// An administrator.
    Administrator,
    /// Who made or uploaded it.
    Owner,
    /// Somebody to whom it is made available, now.
    Shared,
    /// Anybody who reaches the site.
    Anyone,
}

/// The parts that a caller has in an archive. Everybody is [`Party::Anyone`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// It is an administrator.
    pub administrator: bool,
    /// It is the owner.
    pub owner: bool,
    /// The archive is made available to it, now.
    pub shared: bool,
}

impl Parts {
    /// The parts of a principal in an archive of that owner.
    pub fn of(principal: &Principal, owner: &str, shared: bool) -> Self {
        Self { administrator: principal.is_administrator(), owner: principal.name == owner, shared }
    }

    /// The parties that it is.
    pub fn parties(self) -> impl Iterator<Item = Party> {
        [
            (self.administrator, Party::Administrator),
            (self.owner, Party::Owner),
            (self.shared, Party::Shared),
            (true, Party::Anyone),
        ]
        .into_iter()
        .filter_map(|(is, party)| is.then_some(party))
    }
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

/// Whether somebody with these parts may do that to an archive of that area.
pub fn decide(area: Area, parts: Parts, action: Action) -> Decision {
    if parts.parties().any(|party| may(area, party, action)) {
        Decision::Allowed
    } else if parts.parties().any(|party| may(area, party, Action::See)) {
        Decision::Denied
    } else {
        Decision::Unseen
    }
}

/// The areas whose archives a party sees.
pub fn seen_by(party: Party) -> Vec<Area> {
    Area::ALL.iter().copied().filter(|area| may(*area, party, Action::See)).collect()
}

/// Whether somebody may release a hold: who placed it may, and administrators, so that an owner cannot end a hold that was
/// placed against them.
pub fn may_release(principal: &Principal, placed_by: &str) -> bool {
    principal.is_administrator() || principal.name == placed_by
}

/// The table.
fn may(area: Area, party: Party, action: Action) -> bool {
    use Action::{Delete, Fetch, Hold, Inspect, Restore, See};
    match (party, area) {
        // A person's own archives: an operator counts, holds and removes them, and looks into none.
        (Party::Administrator, Area::Private) => matches!(action, See | Delete | Hold),
        (Party::Administrator, Area::DropZone | Area::Course | Area::Automated) => true,
        // Whoever stored a nightly backup was an administrator then, and needs to be one now.
        (Party::Owner, Area::Automated) => false,
        (Party::Owner, Area::DropZone | Area::Course | Area::Private) => true,
        // Whatever the area: that is what sharing is for.
        (Party::Shared, _) => matches!(action, See | Inspect | Fetch | Restore),
        // Backups of a course belong to the course, which everybody on the site can fetch as it is.
        (Party::Anyone, Area::Course) => matches!(action, See | Inspect | Fetch | Restore),
        (Party::Anyone, Area::DropZone | Area::Private | Area::Automated) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::principal::Scope;

    const NONE: Parts = Parts { administrator: false, owner: false, shared: false };
    const ADMINISTRATOR: Parts = Parts { administrator: true, ..NONE };
    const OWNER: Parts = Parts { owner: true, ..NONE };
    const SHARED: Parts = Parts { shared: true, ..NONE };

    /// One letter for each action in its order: `+` allowed, `-` denied, `.` unseen.
    fn row(area: Area, parts: Parts) -> String {
        let letter = |action| match decide(area, parts, action) {
            Decision::Allowed => '+',
            Decision::Denied => '-',
            Decision::Unseen => '.',
        };
        Action::ALL.into_iter().map(letter).collect()
    }

    #[test]
    fn the_table_of_areas_parties_and_actions() {
        // see, inspect, fetch, restore, update, delete, share, hold
        for (area, parts, expected) in [
            (Area::DropZone, ADMINISTRATOR, "++++++++"),
            (Area::DropZone, OWNER, "++++++++"),
            (Area::DropZone, SHARED, "++++----"),
            (Area::DropZone, NONE, "........"),
            (Area::Course, ADMINISTRATOR, "++++++++"),
            (Area::Course, OWNER, "++++++++"),
            (Area::Course, SHARED, "++++----"),
            (Area::Course, NONE, "++++----"),
            (Area::Private, ADMINISTRATOR, "+----+-+"),
            (Area::Private, OWNER, "++++++++"),
            (Area::Private, SHARED, "++++----"),
            (Area::Private, NONE, "........"),
            (Area::Automated, ADMINISTRATOR, "++++++++"),
            (Area::Automated, OWNER, "........"),
            (Area::Automated, SHARED, "++++----"),
            (Area::Automated, NONE, "........"),
        ] {
            assert_eq!(row(area, parts), expected, "{area} {parts:?}");
        }
    }

    #[test]
    fn several_parts_allow_what_one_of_them_allows() {
        let both = Parts { administrator: true, owner: true, shared: false };
        assert_eq!(row(Area::Private, both), "++++++++");
        let shared = Parts { administrator: true, owner: false, shared: true };
        assert_eq!(row(Area::Private, shared), "++++-+-+");
    }

    #[test]
    fn who_may_do_anything_sees() {
        for area in Area::ALL {
            for bits in 0..8 {
                let parts =
                    Parts { administrator: bits & 1 != 0, owner: bits & 2 != 0, shared: bits & 4 != 0 };
                let sees = decide(*area, parts, Action::See) == Decision::Allowed;
                let listed = parts.parties().any(|party| seen_by(party).contains(area));
                assert_eq!(sees, listed);
                for action in Action::ALL {
                    let decision = decide(*area, parts, action);
                    assert_eq!(decision == Decision::Unseen, !sees, "{area} {parts:?} {action:?}");
                }
            }
        }
    }

    #[test]
    fn holds_are_released_by_who_placed_them_and_by_administrators() {
        let person = Principal { name: "lms".into(), scope: Scope::Sites(Vec::new()) };
        assert!(may_release(&person, "lms") && !may_release(&person, "root"));
        assert!(may_release(&Principal::local(), "root"));
    }
}
