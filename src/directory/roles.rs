//! Roles of a site.

use serde::{Deserialize, Serialize};

use super::Unfit;

/// A role of a site.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SiteRole {
    /// Its id on the platform.
    pub id: i64,
    /// Short name, such as `student`; one of its kind on the site.
    pub short_name: String,
    /// Archetype; empty for a role of its own kind.
    pub archetype: String,
    /// Name for people; empty where the platform uses its own word for the archetype.
    pub name: String,
}

/// What matching looks at.
impl From<SiteRole> for crate::restore::roles::SiteRole {
    fn from(role: SiteRole) -> Self {
        Self { id: role.id, short_name: role.short_name, archetype: role.archetype }
    }
}

impl SiteRole {
    /// Whether it can be kept.
    ///
    /// # Errors
    ///
    /// [`Unfit`] for the first field that cannot.
    pub fn check(&self) -> Result<(), Unfit> {
        let unfit = |field, message: String| Err(Unfit { field, message });
        if !(1..super::FIRST_NEW_ID).contains(&self.id) {
            return unfit("role_id", format!("must be from 1 to {}", super::FIRST_NEW_ID - 1));
        }
        if self.short_name.is_empty() {
            return unfit("short_name", "is required".to_owned());
        }
        // The platform's own columns.
        let fields = [
            ("short_name", &self.short_name, 100),
            ("archetype", &self.archetype, 30),
            ("name", &self.name, 255),
        ];
        for (field, text, most) in fields {
            if text.chars().count() > most {
                return unfit(field, format!("must have at most {most} characters"));
            }
            if text.chars().any(char::is_control) {
                return unfit(field, "must not have control characters".to_owned());
            }
        }
        Ok(())
    }
}
