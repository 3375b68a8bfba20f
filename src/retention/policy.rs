//! Policies: what they count, for which archives they are, and which one decides.

use serde::{Deserialize, Serialize};

use crate::calendar::Period;
use crate::ids::CourseId;
use crate::job::Area;

/// What a policy asks for. Counting rules count good archives of one group: of one course in an area, and in private areas
/// and the drop zone of one owner.
///
/// An archive stays while at least one rule keeps it, and no longer than `max_age`. `keep_at_least` and `legal_minimum` win
/// over `max_age`. Rules that keep nothing and no `max_age`: all archives stay.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rules {
    /// The newest so many.
    pub keep_last: u32,
    /// All of this age or younger.
    pub keep_within: Option<Period>,
    /// The newest of each of the last so many days that have one.
    pub daily: u32,
    /// The same for weeks, Monday to Sunday.
    pub weekly: u32,
    /// The same for months.
    pub monthly: u32,
    /// The same for years.
    pub yearly: u32,
    /// Nothing stays longer, whatever rule would keep it.
    pub max_age: Option<Period>,
    /// The floor: never fewer good ones, if there are so many.
    pub keep_at_least: u32,
    /// Nothing younger expires.
    pub legal_minimum: Option<Period>,
}

impl Rules {
    /// What counts where no policy says anything: course and private area one year, drop zone 30 days, automated backups the
    /// last two.
    pub fn default_of(area: Area) -> Self {
        match area {
            Area::Course | Area::Private => {
                Self { keep_within: Some(Period::of_years(1)), ..Self::default() }
            }
            Area::DropZone => Self { keep_within: Some(Period::of_days(30)), ..Self::default() },
            Area::Automated => Self { keep_last: 2, ..Self::default() },
        }
    }

    /// Whether some rule keeps archives, so that the others expire.
    pub(super) fn keeps(&self) -> bool {
        self.keep_within.is_some() || self.counts().iter().any(|count| *count > 0)
    }

    /// The counts of the counting rules.
    pub fn counts(&self) -> [u32; 5] {
        [self.keep_last, self.daily, self.weekly, self.monthly, self.yearly]
    }

    /// What is wrong with it: field and reason.
    pub fn faults(&self) -> Vec<(&'static str, &'static str)> {
        let periods = [
            ("keep_within", self.keep_within),
            ("max_age", self.max_age),
            ("legal_minimum", self.legal_minimum),
        ];
        let mut faults = Vec::new();
        for (field, period) in periods {
            match period {
                Some(period) if period.is_nothing() => faults.push((field, "must be longer than no time")),
                Some(period) if !period.is_within_bounds() => {
                    faults.push((field, "has at most 1000 years, 12000 months and 365000 days"));
                }
                _ => {}
            }
        }
        faults
    }
}

/// For which archives of a site a policy is. The narrowest that fits decides: course before category before site, and among
/// those the one for the archive's area before the one for all areas.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scope {
    /// Of this area only.
    pub area: Option<Area>,
    /// Of courses in this category only, by the platform's id of it.
    pub category: Option<String>,
    /// Of this course only.
    pub course: Option<CourseId>,
}

/// What archives of one group have in common, as far as scopes look at it.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Their area.
    pub area: Area,
    /// The category of their course, where the platform told it.
    pub category: Option<&'a str>,
    /// Their course.
    pub course: Option<&'a CourseId>,
}

impl Scope {
    /// How narrow it is, if it fits.
    fn fits(&self, subject: Subject<'_>) -> Option<(u8, bool)> {
        let width = match (&self.course, &self.category) {
            (Some(course), _) => (Some(course) == subject.course).then_some(2),
            (None, Some(category)) => (Some(category.as_str()) == subject.category).then_some(1),
            (None, None) => Some(0),
        }?;
        match self.area {
            Some(area) => (area == subject.area).then_some((width, true)),
            None => Some((width, false)),
        }
    }
}

/// What counts for archives of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// The rules of the narrowest policy, or the area's defaults. Its floor is the highest of all policies that fit.
    pub rules: Rules,
    /// The legal minimums of all policies that fit: a course's policy cannot undercut its site's.
    pub legal: Vec<Period>,
}

impl Effective {
    /// Whether what becomes of an archive depends on how many others there are, so that only the whole group can be decided.
    pub fn counts_archives(&self) -> bool {
        self.rules.keep_at_least > 0 || self.rules.counts().iter().any(|count| *count > 0)
    }
}

/// The policy that decides for a subject, by its place in the list: the narrowest. `None`: the area's defaults do.
pub fn narrowest<'p>(scopes: impl IntoIterator<Item = &'p Scope>, subject: Subject<'_>) -> Option<usize> {
    let fitting = scopes.into_iter().enumerate();
    let fitting = fitting.filter_map(|(place, scope)| scope.fits(subject).map(|width| (width, place)));
    fitting.max_by_key(|(width, _)| *width).map(|(_, place)| place)
}

/// What counts for a subject. The order of the policies changes nothing as long as no two have the same scope.
pub fn effective<'p>(
    policies: impl IntoIterator<Item = (&'p Scope, &'p Rules)>,
    subject: Subject<'_>,
) -> Effective {
    let fitting: Vec<_> = policies
        .into_iter()
        .filter_map(|(scope, rules)| scope.fits(subject).map(|width| (width, rules)))
        .collect();
    let narrowest = fitting.iter().max_by_key(|(width, _)| *width).map(|(_, rules)| (*rules).clone());
    let mut rules = narrowest.unwrap_or_else(|| Rules::default_of(subject.area));
    let floors = fitting.iter().map(|(_, rules)| rules.keep_at_least);
    rules.keep_at_least = floors.max().unwrap_or(rules.keep_at_least);
    let mut legal: Vec<Period> = fitting.iter().filter_map(|(_, rules)| rules.legal_minimum).collect();
    legal.sort_by_key(|period| (period.years, period.months, period.days));
    Effective { rules, legal }
}
