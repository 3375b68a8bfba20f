//! Who is known on a site: its accounts and roles, the platform that it stands for, and how they come to be known.
//!
//! Pure. [`Person`] is an account as the directory keeps it; [`plan_import`] decides what an import changes; [`Platform`]
//! tells one platform from another. Names and addresses of people are values here and never part of an error's text.

mod documents;
mod import;
mod person;
mod platform;
mod roles;

pub use documents::{MOST_PEOPLE, People, Placement, course_id_number_of, placement_of, roles_of, users_of};
pub use import::{Existing, Fate, Refusal, plan_import};
pub use person::{FIRST_NEW_ID, HIGHEST_ID, OWN_HOST, Person, Unfit};
pub use platform::{Meeting, Platform};
pub use roles::SiteRole;

use crate::label::labels;

labels! {
    /// How an account or a role came to be known.
    pub enum Source {
        /// An administrator imported it.
        Imported = "IMPORTED",
        /// It is in a course that its platform published.
        Published = "PUBLISHED",
        /// A restore made it.
        Restored = "RESTORED",
    }
}
