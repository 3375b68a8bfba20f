//! Which role of a site a role of an archive is. Roles are never created.
//!
//! Moodle's rule (`restore_dbops::get_best_assignable_role`): of the roles that the restorer may assign in the course, the
//! one of the same short name; else the first of the same archetype; else `teacher` for `editingteacher`; else none, and
//! the role's assignments and overrides are skipped with a warning (`precheck_included_roles`).

use serde::{Deserialize, Serialize};

use crate::backup::Compatibility;

/// A role as `roles.xml` tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveRole<'r> {
    /// Short name, such as `student`.
    pub short_name: &'r str,
    /// Archetype; empty for a role of its own kind.
    pub archetype: &'r str,
}

/// A role of the site that the restorer may assign in the target (`get_assignable_roles`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteRole {
    /// Id on the site.
    pub id: i64,
    /// Short name.
    pub short_name: String,
    /// Archetype; may be empty.
    pub archetype: String,
}

/// By what a role was matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum MatchedBy {
    /// The caller said so.
    Caller,
    /// The short names are equal.
    ShortName,
    /// The archetypes are equal. A role of one's own may lose its meaning by that, which deserves a warning.
    Archetype,
    /// An editing teacher becomes a teacher.
    Teacher,
}

/// The role that stands for a role of an archive; none if it is skipped.
///
/// `asked` is the caller's mapping, none for the rules: the id of a role, or none to skip it. A role that may not be
/// assigned is none. Of several roles of one archetype Moodle takes what the database gives first; this takes the least
/// id. Moodle also matches roles without an archetype to any other without one; ours does not, for nothing makes them
/// alike.
pub fn match_role(
    role: &ArchiveRole<'_>,
    assignable: &[SiteRole],
    asked: Option<Option<i64>>,
    compatibility: Compatibility,
) -> Option<(i64, MatchedBy)> {
    if let Some(asked) = asked {
        let id = asked?;
        return assignable.iter().any(|role| role.id == id).then_some((id, MatchedBy::Caller));
    }
    let least = |is_fitting: &dyn Fn(&SiteRole) -> bool, by| {
        let fitting = assignable.iter().filter(|role| is_fitting(role)).map(|role| role.id);
        fitting.min().map(|id| (id, by))
    };
    let has_kind = compatibility == Compatibility::Moodle || !role.archetype.is_empty();
    least(&|other| other.short_name == role.short_name, MatchedBy::ShortName)
        .or_else(|| least(&|other| has_kind && other.archetype == role.archetype, MatchedBy::Archetype))
        .or_else(|| {
            let was_editing = role.short_name == "editingteacher";
            least(&|other| was_editing && other.short_name == "teacher", MatchedBy::Teacher)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roles() -> Vec<SiteRole> {
        [
            (5, "student", "student"),
            (4, "teacher", "teacher"),
            (9, "auditor", ""),
            (7, "guest2", "guest"),
            (6, "guest1", "guest"),
        ]
        .into_iter()
        .map(|(id, short_name, archetype)| SiteRole {
            id,
            short_name: short_name.to_owned(),
            archetype: archetype.to_owned(),
        })
        .collect()
    }

    #[test]
    fn roles_match_as_in_moodle() {
        use MatchedBy::{Archetype, ShortName, Teacher};
        for (short_name, archetype, moodle, ours) in [
            ("student", "student", Some((5, ShortName)), None),
            // The short name counts more than the archetype.
            ("student", "teacher", Some((5, ShortName)), None),
            ("learner", "student", Some((5, Archetype)), None),
            ("visitor", "guest", Some((6, Archetype)), None),
            ("editingteacher", "editingteacher", Some((4, Teacher)), None),
            ("Student", "x", None, None),
            ("manager", "manager", None, None),
            ("special", "", Some((9, Archetype)), Some(None)),
        ] {
            let role = ArchiveRole { short_name, archetype };
            assert_eq!(match_role(&role, &roles(), None, Compatibility::Moodle), moodle, "{short_name}");
            let ours = ours.unwrap_or(moodle);
            assert_eq!(match_role(&role, &roles(), None, Compatibility::Strict), ours, "{short_name}");
            assert_eq!(match_role(&role, &[], None, Compatibility::Moodle), None);
        }
    }

    #[test]
    fn the_caller_maps_to_assignable_roles_or_to_none() {
        let role = ArchiveRole { short_name: "student", archetype: "student" };
        for (asked, expected) in [(Some(4), Some((4, MatchedBy::Caller))), (None, None), (Some(99), None)] {
            assert_eq!(match_role(&role, &roles(), Some(asked), Compatibility::Strict), expected);
        }
    }
}
