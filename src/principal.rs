//! Who asks, and what it may do where.

use std::fmt;
use std::sync::Arc;

use crate::capability::{BuiltInRole, Capabilities, Capability, Roles};
use crate::ids::{CourseId, CourseName, SiteId, SiteName};

/// The party on whose word something is done. It owns what it makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Its name, as resources and the record show it.
    pub name: String,
    /// The trusted service that asks for it, where one does.
    pub via: Option<String>,
    /// Why it asks, in its own words, where it says so beside the request.
    pub reason: Option<String>,
    /// What it may do where. Nothing else is allowed.
    grants: Arc<[Grant]>,
    /// What the call in hand needs. The gate asks whether the caller has it anywhere, the handler whether it has it there.
    needs: Option<Capability>,
}

/// Capabilities at a place and everywhere below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The place.
    pub at: Reach,
    /// What may be done there.
    pub capabilities: Capabilities,
}

/// A place to which capabilities are bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// All sites, and the server.
    Everywhere,
    /// A site with all its courses.
    Site(SiteId),
    /// One course.
    Course(CourseName),
}

/// Courses of a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Courses {
    /// All of them, and what belongs to no course.
    All,
    /// These.
    Only(Vec<CourseId>),
}

/// Sites.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sites {
    /// All of them.
    All,
    /// These.
    Only(Vec<SiteId>),
}

/// A grant that cannot be: what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidGrant(String);

impl Reach {
    /// The smaller of two places of which one lies in the other.
    fn meet<'a>(&'a self, other: &'a Self) -> Option<&'a Self> {
        match (self, other) {
            (Self::Everywhere, place) | (place, Self::Everywhere) => Some(place),
            (Self::Site(a), Self::Site(b)) => (a == b).then_some(self),
            (Self::Site(site), course @ Self::Course(name))
            | (course @ Self::Course(name), Self::Site(site)) => (name.site == *site).then_some(course),
            (Self::Course(a), Self::Course(b)) => (a == b).then_some(self),
        }
    }

    fn covers_site(&self, site: &SiteId) -> bool {
        match self {
            Self::Everywhere => true,
            Self::Site(own) => own == site,
            Self::Course(_) => false,
        }
    }

    fn touches_site(&self, site: &SiteId) -> bool {
        match self {
            Self::Course(name) => name.site == *site,
            _ => self.covers_site(site),
        }
    }
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everywhere => f.write_str("*"),
            Self::Site(site) => write!(f, "sites/{site}"),
            Self::Course(course) => course.fmt(f),
        }
    }
}

impl Grant {
    /// What a role may do at a place.
    pub fn of(role: BuiltInRole, at: Reach) -> Self {
        Self { at, capabilities: role.capabilities() }
    }

    /// The part of it that lies within a site.
    pub fn within(&self, site: &SiteId) -> Option<Self> {
        let at = self.at.meet(&Reach::Site(site.clone()))?.clone();
        Some(Self { at, capabilities: self.capabilities })
    }

    /// Reads `ROLE@PLACE`, where PLACE is `*`, `sites/{site}` or `sites/{site}/courses/{course}`.
    pub fn parse(text: &str, roles: &Roles) -> Result<Self, InvalidGrant> {
        let invalid = |what: &str| InvalidGrant(format!("{text:?}: {what}"));
        let (role, place) = text
            .split_once('@')
            .ok_or_else(|| invalid("a grant is ROLE@PLACE, such as teacher@sites/main"))?;
        let capabilities = roles.get(role).ok_or_else(|| invalid("there is no such role"))?;
        let at = match place {
            "*" => Reach::Everywhere,
            _ => match (place.parse::<SiteName>(), place.parse::<CourseName>()) {
                (Ok(SiteName(site)), _) => Reach::Site(site),
                (_, Ok(course)) => Reach::Course(course),
                _ => return Err(invalid("a place is *, sites/SITE or sites/SITE/courses/COURSE")),
            },
        };
        Ok(Self { at, capabilities })
    }
}

impl Principal {
    /// Somebody who may do that.
    pub fn new(name: impl Into<String>, grants: impl Into<Arc<[Grant]>>) -> Self {
        Self { name: name.into(), via: None, reason: None, grants: grants.into(), needs: None }
    }

    /// Somebody of whom only the name counts: what it may do was decided before.
    pub fn named(name: impl Into<String>) -> Self {
        Self::new(name, [])
    }

    /// The administrator that every caller is while nobody is configured.
    pub fn local() -> Self {
        Self::new("local", [Grant::of(BuiltInRole::Administrator, Reach::Everywhere)])
    }

    /// Somebody for whom this one, a trusted service, acts: at most what both may do.
    #[must_use]
    pub fn acting_for(&self, person: &str, grants: &[Grant]) -> Self {
        let both = grants.iter().flat_map(|theirs| {
            self.grants.iter().filter_map(|own| {
                let capabilities = own.capabilities.and(theirs.capabilities);
                let at = own.at.meet(&theirs.at).filter(|_| !capabilities.is_empty())?;
                Some(Grant { at: at.clone(), capabilities })
            })
        });
        let grants: Vec<Grant> = both.collect();
        Self { via: Some(self.name.clone()), ..Self::new(person, grants) }
    }

    /// The same, about to make a call that needs this.
    #[must_use]
    pub fn calling(self, needs: Capability) -> Self {
        Self { needs: Some(needs), ..self }
    }

    /// The same, for whom that service acts.
    #[must_use]
    pub fn via(self, service: Option<String>) -> Self {
        Self { via: service, ..self }
    }

    /// The same, for that reason.
    #[must_use]
    pub fn because(self, reason: Option<String>) -> Self {
        Self { reason, ..self }
    }

    /// What the call in hand needs.
    pub fn needs(&self) -> Option<Capability> {
        self.needs
    }

    fn with(&self, capability: Capability) -> impl Iterator<Item = &Reach> {
        self.grants.iter().filter(move |grant| grant.capabilities.contains(capability)).map(|grant| &grant.at)
    }

    /// Whether it may do that anywhere at all.
    pub fn holds(&self, capability: Capability) -> bool {
        self.with(capability).next().is_some()
    }

    /// Whether it may do that on all sites.
    pub fn holds_everywhere(&self, capability: Capability) -> bool {
        self.with(capability).any(|at| *at == Reach::Everywhere)
    }

    /// Whether it may do that somewhere on a site.
    pub fn holds_within(&self, capability: Capability, site: &SiteId) -> bool {
        self.with(capability).any(|at| at.touches_site(site))
    }

    /// Whether it may do that to a course of a site, or, without a course, to the site as a whole.
    pub fn holds_at(&self, capability: Capability, site: &SiteId, course: Option<&CourseId>) -> bool {
        self.with(capability).any(|at| match (at, course) {
            (Reach::Course(name), Some(course)) => name.site == *site && name.course == *course,
            _ => at.covers_site(site),
        })
    }

    /// The courses of a site where it may do that.
    pub fn courses_with(&self, capability: Capability, site: &SiteId) -> Courses {
        if self.holds_at(capability, site, None) {
            return Courses::All;
        }
        let course = |at: &Reach| match at {
            Reach::Course(name) if name.site == *site => Some(name.course.clone()),
            _ => None,
        };
        let mut courses: Vec<CourseId> = self.with(capability).filter_map(course).collect();
        courses.sort();
        courses.dedup();
        Courses::Only(courses)
    }

    /// The sites where it may do that somewhere.
    pub fn sites_with(&self, capability: Capability) -> Sites {
        if self.holds_everywhere(capability) {
            return Sites::All;
        }
        let site = |at: &Reach| match at {
            Reach::Everywhere => None,
            Reach::Site(site) => Some(site.clone()),
            Reach::Course(name) => Some(name.site.clone()),
        };
        let mut sites: Vec<SiteId> = self.with(capability).filter_map(site).collect();
        sites.sort();
        sites.dedup();
        Sites::Only(sites)
    }
}

impl Courses {
    /// What is in both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::All, other) | (other, Self::All) => other,
            (Self::Only(mut own), Self::Only(other)) => {
                own.retain(|course| other.contains(course));
                Self::Only(own)
            }
        }
    }

    /// The courses, where it is not all of them.
    pub fn only(self) -> Option<Vec<CourseId>> {
        match self {
            Self::All => None,
            Self::Only(courses) => Some(courses),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Only(courses) if courses.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(text: &str) -> SiteId {
        text.parse().expect("a site")
    }

    fn course(text: &str) -> CourseId {
        text.parse().expect("a course")
    }

    fn principal(grants: &[&str]) -> Principal {
        let grants = grants.iter().map(|text| Grant::parse(text, &Roles::default()).expect("a grant"));
        Principal::new("anna", grants.collect::<Vec<_>>())
    }

    #[test]
    fn grants_reach_what_lies_below_and_nothing_else() {
        let view = Capability::ArchiveView;
        for (grant, main, other, a, b, within) in [
            ("teacher@*", true, true, true, true, true),
            ("teacher@sites/main", true, false, true, true, true),
            ("teacher@sites/main/courses/a", false, false, true, false, true),
            ("teacher@sites/other/courses/a", false, false, false, false, false),
        ] {
            let anna = principal(&[grant]);
            assert_eq!(anna.holds_at(view, &site("main"), None), main, "{grant}");
            assert_eq!(anna.holds_at(view, &site("other"), None), other, "{grant}");
            assert_eq!(anna.holds_at(view, &site("main"), Some(&course("a"))), a, "{grant}");
            assert_eq!(anna.holds_at(view, &site("main"), Some(&course("b"))), b, "{grant}");
            assert_eq!(anna.holds_within(view, &site("main")), within, "{grant}");
            assert!(!anna.holds(Capability::SiteConfig), "{grant}");
        }
        assert!(!Principal::named("anna").holds(view));
    }

    #[test]
    fn who_acts_for_somebody_gets_no_more_than_both_may() {
        let lms = principal(&["service@sites/main"]);
        let roles = Roles::default();
        let grants = ["teacher@sites/main/courses/a", "administrator@*", "teacher@sites/other"];
        let grants = grants.map(|text| Grant::parse(text, &roles).expect("a grant"));
        let ben = lms.acting_for("ben", &grants[..1]);
        assert_eq!((ben.name.as_str(), ben.via.as_deref()), ("ben", Some("anna")));
        assert!(ben.holds_at(Capability::BackupCourse, &site("main"), Some(&course("a"))));
        assert!(!ben.holds_at(Capability::BackupCourse, &site("main"), Some(&course("b"))));
        assert!(!ben.holds(Capability::CourseCreate), "a teacher has it not");
        let root = lms.acting_for("root", &grants[1..2]);
        assert!(root.holds_at(Capability::CourseCreate, &site("main"), None));
        assert!(!root.holds(Capability::SiteConfig), "the service has it not");
        assert!(!root.holds_within(Capability::CourseCreate, &site("other")));
        assert!(!lms.acting_for("carl", &grants[2..]).holds(Capability::ArchiveView));
        assert!(!lms.acting_for("carl", &[]).holds(Capability::ArchiveView));
    }

    #[test]
    fn grants_that_cannot_be() {
        for bad in [
            "teacher",
            "nobody@*",
            "teacher@",
            "teacher@main",
            "teacher@sites/main/",
            "teacher@sites/*",
            "@*",
        ] {
            assert!(Grant::parse(bad, &Roles::default()).is_err(), "{bad}");
        }
        let told =
            Grant::parse("teacher@sites/main/courses/a", &Roles::default()).map(|grant| grant.at.to_string());
        assert_eq!(told.as_deref(), Ok("sites/main/courses/a"));
    }

    #[test]
    fn places_of_a_capability() {
        let anna = principal(&[
            "teacher@sites/main/courses/b",
            "teacher@sites/main/courses/a",
            "auditor@sites/other",
        ]);
        assert_eq!(
            anna.courses_with(Capability::BackupCourse, &site("main")),
            Courses::Only(vec![course("a"), course("b")])
        );
        assert_eq!(anna.courses_with(Capability::ArchiveView, &site("other")), Courses::All);
        assert!(anna.courses_with(Capability::BackupCourse, &site("other")).is_empty());
        assert_eq!(anna.sites_with(Capability::ArchiveView), Sites::Only(vec![site("main"), site("other")]));
        assert_eq!(Principal::local().sites_with(Capability::SiteConfig), Sites::All);
    }
}
