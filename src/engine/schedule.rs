//! What the service does by itself. Whatever is due is only asked for here, once for all replicas; jobs do it.

use super::error::Error;
use super::{Call, Engine};
use crate::catalog::Tx;
use crate::clock::Timestamp;
use crate::directory::Placement;
use crate::ids::CourseName;
use crate::vault::journal::Event;

impl Engine {
    /// Asks for what is due by the clock of the catalog. Errors are logged: the next look comes.
    pub async fn keep_schedule(&self) {
        let looked = async {
            let now = self.catalog.now().await?;
            self.tick(now).await
        };
        if let Err(error) = looked.await {
            tracing::warn!(error = error.chain(), "what is due is asked for later");
        }
    }

    /// Asks for what is due at a time.
    pub async fn tick(&self, now: Timestamp) -> Result<(), Error> {
        self.enqueue_retention(now).await
    }

    /// A course changed: counts that, and keeps where it stands on its platform, in the transaction of the change.
    pub(super) async fn note_change(
        &self,
        tx: &mut Tx,
        call: &Call,
        course: &CourseName,
        placement: Option<&Placement>,
    ) -> Result<(), Error> {
        let is_news = tx.note_change(&course.site, &course.course, placement).await?;
        let Some(placement) = placement.filter(|_| is_news) else { return Ok(()) };
        let event = Event::CourseTold {
            course: course.clone(),
            category: placement.category.clone(),
            hidden: placement.hidden,
        };
        self.put_down(tx, &course.site, call, event).await?;
        // Policies of categories are for other archives now.
        Ok(tx.mark_site(&course.site).await?)
    }
}
