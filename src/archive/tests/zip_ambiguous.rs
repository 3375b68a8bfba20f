//! Zip files in which two readers could see different members.

use super::super::zip_record::*;
use super::zip::{Member, Zip, ordinary};
use super::*;

#[track_caller]
fn ambiguous(bytes: &[u8]) {
    assert_refused(bytes, Reason::ArchiveAmbiguous);
}

#[test]
fn the_central_directory_must_name_what_is_there() {
    let members = ordinary();
    let zip = Zip::of(&members);
    let body = zip.bytes[..zip.centrals[0]].to_vec();
    let offset = |index: usize| zip.locals[index];
    let of = |named: &[(&Member, usize)]| Zip::with_central(body.clone(), Vec::new(), named).bytes;
    let all = [(&members[0], offset(0)), (&members[1], offset(1)), (&members[2], offset(2))];
    assert!(read(&of(&[all[2], all[0], all[1]])).is_ok(), "the order plays no role");
    ambiguous(&of(&all[..2]));
    ambiguous(&of(&[]));
    ambiguous(&of(&[all[0], all[1], all[2], all[2]]));
    ambiguous(&of(&[all[0], all[1], (&members[2], offset(2) + 1)]));
    ambiguous(&of(&[all[0], all[2], (&members[2], offset(1))]));
    for other in [
        Member { name: b"folder/Stored".to_vec(), ..members[2].clone() },
        Member { plain: b"stores".to_vec(), ..members[2].clone() },
        Member { plain: b"stored!".to_vec(), ..members[2].clone() },
        Member { packed: b"stored!".to_vec(), ..members[2].clone() },
        Member { method: METHOD_DEFLATE, ..members[2].clone() },
        Member { flags: FLAG_UTF8, ..members[2].clone() },
    ] {
        ambiguous(&of(&[all[0], all[1], (&other, offset(2))]));
    }
    let disk = zip.with(zip.centrals[1] + 34, &[1]);
    ambiguous(&disk);
}

#[test]
fn nothing_may_stand_between_or_behind() {
    let members = ordinary();
    let mut gap = members[0].local();
    gap.extend(b"gap");
    let second = gap.len();
    gap.extend(members[1].local());
    ambiguous(&Zip::with_central(gap, Vec::new(), &[(&members[0], 0), (&members[1], second)]).bytes);

    let zip = Zip::of(&members);
    ambiguous(&[&zip.bytes[..], b"\0"].concat());
    let (front, end) = zip.bytes.split_at(zip.end);
    ambiguous(&[front, b"\0", end].concat());
    ambiguous(&[front, b"PK\x05\x05\x00\x00", end].concat());
    // Two archives, one behind the other: readers from the end see the second.
    ambiguous(&[&zip.bytes[..], &zip.bytes[..]].concat());
}

#[test]
fn the_end_record_must_tell_what_is_there() {
    let zip = Zip::of(&ordinary());
    for at in [4, 6, 8, 10, 12, 16] {
        let value = zip.bytes[zip.end + at] ^ 1;
        ambiguous(&zip.with(zip.end + at, &[value]));
    }
    let comment = |text: &[u8]| {
        let mut bytes = zip.with(zip.end + 20, &(text.len() as u16).to_le_bytes());
        bytes.extend(text);
        bytes
    };
    assert!(read(&comment(b"made by hand")).is_ok());
    let second_end = zip.bytes[zip.end..].to_vec();
    ambiguous(&comment(&second_end));
    assert_refused(&zip.with(zip.end + 20, &[1]), Reason::ArchiveTruncated);
}

#[test]
fn what_looks_like_a_zip64_locator_is_refused() {
    let mut comment = LOCATOR64.to_vec();
    comment.extend([0; 16]);
    ambiguous(&Zip::of(&[Member { comment, ..Member::stored("a", b"") }]).bytes);
}

#[test]
fn extra_fields_must_not_tell_other_things() {
    let of = |extra: &[u8]| Zip::of(&[Member { extra: extra.to_vec(), ..Member::stored("abc", b"") }]).bytes;
    let unicode = |name: &[u8]| {
        let body = [&[1][..], &crc32fast::hash(b"abc").to_le_bytes(), name].concat();
        [&0x7075_u16.to_le_bytes()[..], &(body.len() as u16).to_le_bytes(), &body].concat()
    };
    assert!(read(&of(&unicode(b"abc"))).is_ok());
    ambiguous(&of(&unicode(b"abd")));
    ambiguous(&of(&unicode(b"")));
    ambiguous(&of(&[1, 0, 0, 0, 1, 0, 0, 0]));
    assert!(read(&of(&[0x55, 0x54, 1, 0, 0])).is_ok(), "other fields are skipped");
    assert!(read(&of(&[0, 0, 0])).is_ok(), "alignment is skipped");
    for cut in [&[0x55, 0x54, 2, 0, 0][..], &[0x55, 0x54, 1]] {
        assert_refused(&of(cut), Reason::ArchiveCorrupt);
    }
    // A size that is said to stand in a field which is not there.
    let zip = Zip::of(&[Member::stored("abc", b"")]);
    assert_refused(&zip.with(22, &[0xff; 4]), Reason::ArchiveCorrupt);
}

/// 64-bit records are accepted where they are not needed, as some writers put them everywhere, but must be right.
#[test]
fn zip64_records_are_compared_too() {
    let member = Member::stored("a", b"12345");
    let mut sized = member.local();
    sized[18..26].fill(0xff);
    sized[28] = 20;
    let field = [&[1, 0, 16, 0, 5][..], &[0; 7], &[5], &[0; 7]].concat();
    sized.splice(31..31, field);
    let start = sized.len() as u64;
    let central = member.central(0);
    let mut bytes = sized;
    bytes.extend(&central);
    let end64 = bytes.len();
    bytes.extend(END64);
    bytes.extend(44_u64.to_le_bytes());
    bytes.extend([45, 3, 45, 0]);
    bytes.extend([0; 8]);
    [1, 1, central.len() as u64, start].iter().for_each(|field| bytes.extend(field.to_le_bytes()));
    let locator = bytes.len();
    bytes.extend(LOCATOR64);
    bytes.extend([0; 4]);
    bytes.extend((end64 as u64).to_le_bytes());
    bytes.extend([1, 0, 0, 0]);
    bytes.extend(END);
    bytes.extend([0; 4]);
    bytes.extend([0xff; 12]);
    bytes.extend([0; 2]);
    assert_eq!(read(&bytes).map(|members| members.len()), Ok(1));
    assert_no_cut_is_believed(&bytes);
    for at in [end64 + 4, end64 + 16, end64 + 24, end64 + 32, end64 + 40, end64 + 48] {
        let mut changed = bytes.clone();
        changed[at] ^= 4;
        ambiguous(&changed);
    }
    for at in [locator, locator + 4, locator + 8, locator + 16] {
        let mut changed = bytes.clone();
        changed[at] ^= 4;
        ambiguous(&changed);
    }
}
