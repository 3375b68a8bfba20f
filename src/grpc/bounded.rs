//! Answers stay below what clients take, whatever an archive says of itself: 4 MiB unless a client asks for more.

use prost::Message;

use crate::proto;

/// Bytes of rows in one page, and of what an archive says of itself: an answer is a little more than that.
pub const ANSWER_BYTES: usize = 3 << 20;

/// Leaves out settings, then activities, then sections, from the end, until the message is small enough. 10 000
/// activities fit; the lists of an archive that nobody made by hand are left whole.
pub fn fit(mut told: proto::Inspection, limit: usize) -> proto::Inspection {
    let mut over = told.encoded_len().saturating_sub(limit);
    if over > 0 {
        let left_out = shorten(&mut told.settings, &mut over)
            + shorten(&mut told.activities, &mut over)
            + shorten(&mut told.sections, &mut over);
        told.left_out_count = i32::try_from(left_out).unwrap_or(i32::MAX);
    }
    told
}

/// Shortens a list by `over` bytes, or to nothing. Tells how many were taken.
fn shorten<M: Message>(list: &mut Vec<M>, over: &mut usize) -> usize {
    let before = list.len();
    while *over > 0
        && let Some(last) = list.pop()
    {
        *over = over.saturating_sub(last.encoded_len());
    }
    before - list.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(count: usize) -> proto::Inspection {
        let title = "x".repeat(100);
        proto::Inspection {
            settings: vec![proto::InspectedSetting { name: title.clone(), ..Default::default() }; count],
            activities: vec![proto::InspectedActivity { title: title.clone(), ..Default::default() }; count],
            sections: vec![proto::InspectedSection { title, ..Default::default() }; count],
            ..Default::default()
        }
    }

    #[test]
    fn what_fits_is_left_whole() {
        let all = told(10);
        assert_eq!(fit(all.clone(), all.encoded_len()), all);
    }

    #[test]
    fn lists_are_shortened_from_the_end_one_after_the_other() {
        let all = told(10);
        for limit in 0..all.encoded_len() {
            let cut = fit(all.clone(), limit);
            let lists = [cut.settings.len(), cut.activities.len(), cut.sections.len()];
            assert!(cut.encoded_len() <= limit.max(10), "{limit}: {}", cut.encoded_len());
            assert_eq!(cut.left_out_count as usize, 30 - lists.iter().sum::<usize>());
            assert!(lists[0] == 0 || lists[1] == 10, "settings go first: {lists:?}");
            assert!(lists[1] == 0 || lists[2] == 10, "then activities: {lists:?}");
        }
    }
}
