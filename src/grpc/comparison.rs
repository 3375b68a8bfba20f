//! Comparisons between messages and values.

use prost::Message;

use super::convert::count;
use crate::compare::{CLOSED_LIST, Difference, Kind, Level, Note, Options, Report, Side};
use crate::engine::Error;
use crate::limits::Limits;
use crate::proto::{self, comparison as wire};

/// Differences in an answer when no number was asked for.
const DEFAULT_LIMIT: usize = 100;

/// Differences in an answer at most.
const MAX_LIMIT: usize = 1000;

/// Members whose differences are counted one by one.
const COUNTED_MEMBERS: usize = 1000;

/// How a request wants to compare.
pub fn options(message: &proto::CompareArchivesRequest, limits: &Limits) -> Result<Options, Error> {
    let level = match wire::Level::try_from(message.level) {
        Ok(wire::Level::Unspecified | wire::Level::Meaning) => Level::Meaning,
        Ok(wire::Level::Exact) => Level::Exact,
        Err(_) => return Err(Error::field("level", format!("{} is no level", message.level))),
    };
    if level == Level::Exact && message.ignore_new_log_rows {
        return Err(Error::field("ignore_new_log_rows", "goes with the level MEANING only"));
    }
    if level == Level::Exact && message.ignore_ids {
        return Err(Error::field("ignore_ids", "goes with the level MEANING only"));
    }
    let limit = match usize::try_from(message.limit) {
        Err(_) => return Err(Error::field("limit", "must not be negative")),
        Ok(0) => DEFAULT_LIMIT,
        Ok(limit) => limit.min(MAX_LIMIT),
    };
    let (limits, ignore_new_log_rows) = (limits.clone(), message.ignore_new_log_rows);
    Ok(Options { level, limit, ignore_new_log_rows, limits, ..Options::default() })
}

/// What a comparison came to, with at most so many bytes of differences.
pub fn comparison(report: &Report, bytes: usize) -> proto::Comparison {
    let kinds = report.by_kind.iter();
    let members = report.by_member.iter().take(COUNTED_MEMBERS);
    let reason =
        |entry: &str| CLOSED_LIST.iter().find(|each| each.id == entry).map_or("", |each| each.reason);
    let mut left = bytes;
    let fits = |message: &wire::Difference| {
        let size = message.encoded_len();
        let fits = size <= left;
        left = left.saturating_sub(size);
        fits
    };
    proto::Comparison {
        same: report.is_same(),
        level: wire_level(report.level).into(),
        differences: report.differences.iter().map(difference).take_while(fits).collect(),
        difference_count: count(report.total),
        kinds: kinds
            .map(|(each, n)| wire::KindCount { kind: kind(*each).into(), count: count(*n) })
            .collect(),
        members: members
            .map(|(path, n)| wire::MemberCount { member: path.to_string(), count: count(*n) })
            .collect(),
        differing_member_count: count(report.by_member.len() as u64),
        excused: report
            .excused
            .iter()
            .map(|(entry, n)| wire::ExcuseCount {
                entry: (*entry).to_owned(),
                count: count(*n),
                reason: reason(entry).to_owned(),
            })
            .collect(),
        notes: report.notes.iter().map(note).collect(),
        same_member_count: count(report.same_members),
        same_content_bytes: count(report.same_bytes),
        altered_member_count: count(report.altered_members),
        lone_member_count: count(report.lone_members),
    }
}

fn wire_level(level: Level) -> wire::Level {
    match level {
        Level::Exact => wire::Level::Exact,
        Level::Meaning => wire::Level::Meaning,
    }
}

fn kind(kind: Kind) -> wire::Kind {
    match kind {
        Kind::MemberOnlyInA => wire::Kind::MemberOnlyInA,
        Kind::MemberOnlyInB => wire::Kind::MemberOnlyInB,
        Kind::ElementOnlyInA => wire::Kind::ElementOnlyInA,
        Kind::ElementOnlyInB => wire::Kind::ElementOnlyInB,
        Kind::ValueDiffers => wire::Kind::ValueDiffers,
        Kind::AttributeDiffers => wire::Kind::AttributeDiffers,
        Kind::TextDiffers => wire::Kind::TextDiffers,
        Kind::OrderDiffers => wire::Kind::OrderDiffers,
        Kind::BytesDiffer => wire::Kind::BytesDiffer,
    }
}

fn difference(each: &Difference) -> wire::Difference {
    wire::Difference {
        member: each.member.to_string(),
        path: each.path.clone(),
        kind: kind(each.kind).into(),
        a: each.a.clone(),
        b: each.b.clone(),
    }
}

fn note(each: &Note) -> wire::Note {
    wire::Note {
        member: each.member.to_string(),
        in_b: each.side == Side::B,
        offset: count(each.offset),
        message: each.message.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_the_same_names_on_the_wire() {
        for each in Kind::ALL {
            assert_eq!(kind(*each).as_str_name(), format!("KIND_{}", each.as_str()));
        }
    }
}
