//! Reading gzip-compressed tar files: what is accepted, what is damaged or ambiguous, and the limits.

use flate2::write::GzEncoder;

use super::*;

/// One gzip member.
pub(super) fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(6));
    encoder.write_all(plain).expect("memory takes everything");
    encoder.finish().expect("memory takes everything")
}

/// A tar entry: its header of a kind, and its padded content.
pub(super) fn entry(name: &str, kind: u8, content: &[u8]) -> Vec<u8> {
    entry_of(::tar::Header::new_ustar(), name, kind, content)
}

fn entry_of(mut header: ::tar::Header, name: &str, kind: u8, content: &[u8]) -> Vec<u8> {
    header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(::tar::EntryType::new(kind));
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

/// A tar file with its end.
pub(super) fn archive(entries: &[Vec<u8>]) -> Vec<u8> {
    [entries.concat(), vec![0; 1024]].concat()
}

fn tgz(entries: &[Vec<u8>]) -> Vec<u8> {
    gzip(&archive(entries))
}

fn pax(kind: u8, records: &[(&str, &str)]) -> Vec<u8> {
    let mut body = String::new();
    for (key, value) in records {
        let rest = format!(" {key}={value}\n");
        let length = (rest.len()..).find(|length| length.to_string().len() + rest.len() == *length);
        body += &format!("{}{rest}", length.unwrap_or_default());
    }
    entry("././@PaxHeader", kind, body.as_bytes())
}

#[test]
fn members_come_as_they_stand() -> Result<(), ArchiveError> {
    let bytes = tgz(&[
        entry(".ARCHIVE_INDEX", b'0', b"Moodle archive file index. Count: 0\n"),
        entry("./", b'5', b""),
        entry("a/", b'5', b""),
        entry("a/", b'5', b""),
        entry("./a/b", b'0', b"content"),
        entry("old", 0, b"kind of old tar files"),
        entry("empty", b'0', b""),
    ]);
    let expected = [("a/b", &b"content"[..]), ("old", b"kind of old tar files"), ("empty", b"")];
    assert_eq!(contents(&read(&bytes)?), expected);
    assert_eq!(read(&tgz(&[]))?, []);
    Ok(())
}

#[test]
fn long_paths_are_read_in_every_way_of_telling_them() -> Result<(), ArchiveError> {
    let long = format!("{}/é", "folder/".repeat(30).trim_end_matches('/'));
    let gnu = entry_of(::tar::Header::new_gnu(), "././@LongLink", b'L', format!("{long}\0").as_bytes());
    let mut split = entry(&"y".repeat(100), b'0', b"2");
    split[345..348].copy_from_slice(b"x/x");
    let mut header = ::tar::Header::from_byte_slice(&split[..512]).clone();
    header.set_cksum();
    split[..512].copy_from_slice(header.as_bytes());
    let prefixed = format!("x/x/{}", "y".repeat(100));
    assert_eq!(contents(&read(&tgz(&[split]))?), [(prefixed.as_str(), &b"2"[..])]);
    for first in [gnu, pax(b'x', &[("mtime", "1.5"), ("path", &long)])] {
        let bytes = tgz(&[first, entry("short", b'0', b"1")]);
        assert_eq!(contents(&read(&bytes)?), [(long.as_str(), &b"1"[..])]);
    }
    // The size in a PAX header counts, as other readers have it.
    let mut unsized_entry = entry("a", b'0', b"12345");
    let mut header = ::tar::Header::from_byte_slice(&unsized_entry[..512]).clone();
    header.set_size(0);
    header.set_cksum();
    unsized_entry[..512].copy_from_slice(header.as_bytes());
    assert_eq!(contents(&read(&tgz(&[pax(b'x', &[("size", "5")]), unsized_entry]))?), [("a", &b"12345"[..])]);
    Ok(())
}

#[test]
fn a_sequence_of_gzip_members_is_one_stream() -> Result<(), ArchiveError> {
    let plain = archive(&[entry("a", b'0', b"content")]);
    let mut bytes = Vec::new();
    for piece in plain.chunks(100) {
        bytes.extend(gzip(piece));
        bytes.extend(gzip(b""));
    }
    assert_eq!(contents(&read(&bytes)?), [("a", &b"content"[..])]);
    // Every optional field of a gzip header.
    let mut header = vec![0x1f, 0x8b, 8, 0b1_1111, 0, 0, 0, 0, 0, 3];
    header.extend([2, 0, b'x', b'y']);
    header.extend(b"name\0comment\0");
    header.extend((crc32fast::hash(&header) as u16).to_le_bytes());
    let one = gzip(&plain);
    assert_eq!(contents(&read(&[&header[..], &one[10..]].concat())?), [("a", &b"content"[..])]);
    let wrong = header.len() - 1;
    header[wrong] ^= 1;
    assert_refused(&[&header[..], &one[10..]].concat(), Reason::ArchiveCorrupt);
    Ok(())
}

#[test]
fn damage_is_noticed() {
    let bytes = tgz(&[entry("a", b'0', b"content"), entry("b", b'0', b"more")]);
    assert_no_flip_is_believed(&bytes);
    assert_no_cut_is_believed(&bytes);
    // Bytes behind the gzip stream, zeros too.
    for behind in [&b"\0"[..], &[0; 512], b"garbage", b"\x1f\x8c"] {
        assert_refused(&[&bytes[..], behind].concat(), Reason::ArchiveCorrupt);
    }
    let mut header = entry("a", b'0', b"");
    header[148] ^= 1;
    assert_refused(&tgz(&[header]), Reason::ArchiveCorrupt);
    assert_refused(&gzip(b"no tar file at all"), Reason::ArchiveTruncated);
    assert_refused(&gzip(&b"no tar file at all".repeat(100)), Reason::ArchiveCorrupt);
}

#[test]
fn a_tar_file_cut_inside_of_a_whole_gzip_stream_is_truncated() {
    let plain = archive(&[entry("a", b'0', &[b'x'; 700]), entry("b", b'0', b"more")]);
    for size in 0..plain.len() {
        assert_refused(&gzip(&plain[..size]), Reason::ArchiveTruncated);
    }
    let lonely = [pax(b'x', &[("path", "a")]), vec![0; 1024]].concat();
    assert_refused(&gzip(&lonely), Reason::ArchiveCorrupt);
}

#[test]
fn something_behind_the_end_is_ambiguous() -> Result<(), ArchiveError> {
    let plain = archive(&[entry("a", b'0', b"content")]);
    assert_eq!(read(&gzip(&[&plain[..], &[0; 9216]].concat()))?.len(), 1, "padding is usual");
    assert_refused(&gzip(&[&plain[..], &plain[..]].concat()), Reason::ArchiveAmbiguous);
    let lone_zero_block = [vec![0; 512], entry("a", b'0', b""), vec![0; 1024]].concat();
    assert_refused(&gzip(&lone_zero_block), Reason::ArchiveAmbiguous);
    Ok(())
}

#[test]
fn links_devices_and_sparse_files_are_refused() {
    for kind in *b"1234679DMVX" {
        assert_refused(&tgz(&[entry("a", kind, b"")]), Reason::MemberKindUnsupported);
    }
    let mut sparse = ::tar::Header::new_gnu();
    sparse.as_mut_bytes()[483..494].fill(b'0');
    assert_refused(&tgz(&[entry_of(sparse, "a", b'S', b"")]), Reason::MemberKindUnsupported);
    let sparse = pax(b'x', &[("GNU.sparse.major", "1"), ("GNU.sparse.name", "b")]);
    assert_refused(&tgz(&[sparse, entry("a", b'0', b"")]), Reason::MemberKindUnsupported);
}

#[test]
fn headers_that_tell_two_things_are_ambiguous() {
    let gnu = |name: &[u8]| entry_of(::tar::Header::new_gnu(), "././@LongLink", b'L', name);
    let member = entry("a", b'0', b"");
    let mut timed = entry_of(::tar::Header::new_gnu(), "a", b'0', b"");
    timed[345] = b'x';
    let mut header = ::tar::Header::from_byte_slice(&timed[..512]).clone();
    header.set_cksum();
    timed[..512].copy_from_slice(header.as_bytes());
    for entries in [
        vec![gnu(b"b\0"), pax(b'x', &[("path", "c")]), member.clone()],
        vec![pax(b'x', &[("path", "b"), ("path", "c")]), member.clone()],
        vec![pax(b'x', &[("size", "0"), ("size", "1")]), member.clone()],
        vec![pax(b'g', &[("path", "b")]), member.clone()],
        vec![pax(b'g', &[("size", "0")]), member.clone()],
        vec![entry("a/", b'5', b"x")],
        vec![timed],
    ] {
        assert_refused(&tgz(&entries), Reason::ArchiveAmbiguous);
    }
    let comment = pax(b'g', &[("comment", "a commit")]);
    assert_eq!(read(&tgz(&[comment, member])).map(|members| members.len()), Ok(1));
}

#[test]
fn huge_headers_are_not_taken_into_memory() {
    let path = "x".repeat(2 << 20);
    let long = entry_of(::tar::Header::new_gnu(), "././@LongLink", b'L', path.as_bytes());
    for header in [long, pax(b'x', &[("path", &path)]), pax(b'g', &[("comment", &path)])] {
        let bytes = tgz(&[header, entry("a", b'0', b"")]);
        assert_refused(&bytes, Reason::ArchiveCorrupt);
    }
}

#[test]
fn paths_that_leave_or_meet_are_refused() {
    for (name, kind) in [("../a", b'0'), ("/a", b'0'), ("a/..", b'5'), ("a/", b'0'), ("a\\b", b'0')] {
        assert_refused(&tgz(&[entry(name, kind, b"")]), Reason::MemberPathInvalid);
    }
    let mut not_text = ::tar::Header::new_ustar();
    not_text.as_mut_bytes()[0] = 0xe9;
    assert_refused(&tgz(&[entry_of(not_text, "", b'0', b"")]), Reason::MemberPathInvalid);
    for (first, second) in [("a", "a"), ("a", "./a"), ("a", "A"), ("a", "a/b"), ("a/b", "a")] {
        assert_refused(&tgz(&[entry(first, b'0', b""), entry(second, b'0', b"")]), Reason::MemberDuplicate);
    }
}

#[test]
fn each_limit_holds_at_its_value_and_not_beyond() {
    let text = [b'x'; 5000];
    let plain = archive(&[entry("f/", b'5', b""), entry("f/a", b'0', b"12345"), entry("b", b'0', &text)]);
    let bytes = gzip(&plain);
    let is_read = |limits: Limits| match read_with(&bytes, &limits) {
        Ok(_) => None,
        Err(error) => Some(error.reason()),
    };
    let base = Limits::default();
    assert_eq!(is_read(Limits { members: 3, ..base }), None);
    assert_eq!(is_read(Limits { members: 2, ..base }), Some(Reason::LimitMembers));
    assert_eq!(is_read(Limits { member_bytes: 5000, ..base }), None);
    assert_eq!(is_read(Limits { member_bytes: 4999, ..base }), Some(Reason::LimitMemberBytes));
    assert_eq!(is_read(Limits { content_bytes: 5005, ..base }), None);
    assert_eq!(is_read(Limits { content_bytes: 5004, ..base }), Some(Reason::LimitContentBytes));
    assert_eq!(is_read(Limits { path_bytes: 3, ..base }), None);
    assert_eq!(is_read(Limits { path_bytes: 2, ..base }), Some(Reason::LimitPath));
    // Headers and padding count: they come out of the gzip stream, too.
    let unpacked = plain.len() as u64;
    assert_eq!(is_read(Limits { ratio: 2, ratio_floor_bytes: unpacked, ..base }), None);
    assert_eq!(
        is_read(Limits { ratio: 2, ratio_floor_bytes: unpacked - 1, ..base }),
        Some(Reason::LimitRatio)
    );
    assert_eq!(is_read(Limits { ratio: 1000, ratio_floor_bytes: 0, ..base }), None);
}
