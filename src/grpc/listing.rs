//! ListArchives: what a caller asks for as a query, and the page tokens that go with it.

use super::convert;
use super::intake::course_of;
use super::paging::Page;
use crate::catalog::{ArchivePosition, ArchiveQuery};
use crate::clock::Timestamp;
use crate::engine::Error;
use crate::filter::{self, FilterError};
use crate::ids::SiteId;
use crate::principal::Principal;
use crate::proto::ListArchivesRequest;
use crate::reason::Reason;

/// What a request asks for, and its page.
pub fn query(
    principal: &Principal,
    site: &SiteId,
    message: &ListArchivesRequest,
) -> Result<(ArchiveQuery, Page), Error> {
    let list = [
        &message.parent,
        &message.course,
        &message.area.to_string(),
        &message.show_deleted.to_string(),
        &message.order_by,
        &message.filter,
    ];
    let page = Page::parse(message.page_size, &message.page_token, &list.map(String::as_str))?;
    let query = ArchiveQuery {
        area: convert::area("area", message.area)?,
        course: course_of(site, "course", &message.course)?,
        show_deleted: message.show_deleted,
        filter: filter::parse(&message.filter).map_err(|error| wrong("filter", &error))?,
        order: filter::parse_order(&message.order_by).map_err(|error| wrong("order_by", &error))?,
        after: page.after.as_deref().map(position).transpose()?,
        ..ArchiveQuery::all(principal.clone())
    };
    Ok((query, page))
}

/// What cannot be understood, with its place in the field of the request.
fn wrong(field: &str, error: &FilterError) -> Error {
    let told = Error::field(field, error.to_string()).with("position", &error.position);
    match &error.field {
        Some(name) => told.with("field", name),
        None => told,
    }
}

/// Where a page ends, whatever the order. It holds all that any order looks at.
pub fn position_key(position: &ArchivePosition) -> String {
    format!("{}/{}/{}", position.create_time.millis(), position.size_bytes, position.archive)
}

fn position(key: &str) -> Result<ArchivePosition, Error> {
    let parsed = || {
        let (millis, rest) = key.split_once('/')?;
        let (size, archive) = rest.split_once('/')?;
        Some(ArchivePosition {
            create_time: Timestamp::from_millis(millis.parse().ok()?),
            size_bytes: size.parse().ok()?,
            archive: archive.parse().ok()?,
        })
    };
    parsed().ok_or_else(|| Error::new(Reason::PageTokenInvalid, "page_token is not of this list"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ArchiveId;

    #[test]
    fn positions_round_trip() {
        let end = ArchivePosition {
            create_time: Timestamp::from_millis(-5),
            size_bytes: i64::MAX,
            archive: ArchiveId::generate(),
        };
        assert_eq!(position(&position_key(&end)).ok(), Some(end));
        for wrong in ["", "1", "1/2", "1/2/x", "x/2/0197b2a0-0000-7000-8000-000000000000"] {
            assert_eq!(
                position(wrong).map_err(|error| error.reason),
                Err(Reason::PageTokenInvalid),
                "{wrong}"
            );
        }
    }
}
