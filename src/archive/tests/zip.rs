//! Reading zip files: what is accepted, what is damaged, and the limits.

use super::super::zip_record::*;
use super::*;

/// A member to be put into a zip file.
#[derive(Clone)]
pub(super) struct Member {
    pub(super) name: Vec<u8>,
    pub(super) method: u16,
    pub(super) flags: u16,
    pub(super) plain: Vec<u8>,
    pub(super) packed: Vec<u8>,
    pub(super) extra: Vec<u8>,
    pub(super) comment: Vec<u8>,
    pub(super) attributes: u32,
    /// With a data descriptor: whether it has a signature, and 64-bit sizes.
    pub(super) descriptor: Option<(bool, bool)>,
    pub(super) sizes_in_front: bool,
}

impl Member {
    pub(super) fn stored(name: &str, plain: &[u8]) -> Self {
        Self {
            name: name.into(),
            method: METHOD_STORED,
            flags: 0,
            plain: plain.into(),
            packed: plain.into(),
            extra: Vec::new(),
            comment: Vec::new(),
            attributes: 0,
            descriptor: None,
            sizes_in_front: true,
        }
    }

    pub(super) fn deflate(name: &str, plain: &[u8]) -> Self {
        Self { method: METHOD_DEFLATE, packed: deflated(plain), ..Self::stored(name, plain) }
    }

    fn described(self, signed: bool, wide: bool) -> Self {
        Self {
            flags: self.flags | FLAG_DESCRIPTOR,
            descriptor: Some((signed, wide)),
            sizes_in_front: false,
            ..self
        }
    }

    fn header(&self, signature: [u8; 4], sizes: bool) -> Vec<u8> {
        let mut bytes = signature.to_vec();
        if signature == CENTRAL {
            bytes.extend([20, 3]);
        }
        [20, self.flags, self.method, 0, 0x21].iter().for_each(|field| bytes.extend(field.to_le_bytes()));
        let [crc32, packed, size] = match sizes {
            true => [crc32fast::hash(&self.plain), self.packed.len() as u32, self.plain.len() as u32],
            false => [0; 3],
        };
        [crc32, packed, size].iter().for_each(|field| bytes.extend(field.to_le_bytes()));
        [self.name.len(), self.extra.len()]
            .iter()
            .for_each(|size| bytes.extend((*size as u16).to_le_bytes()));
        bytes
    }

    pub(super) fn local(&self) -> Vec<u8> {
        let mut bytes = self.header(LOCAL, self.sizes_in_front);
        [&self.name, &self.extra, &self.packed].iter().for_each(|part| bytes.extend(*part));
        if let Some((signed, wide)) = self.descriptor {
            bytes.extend(if signed { &DESCRIPTOR[..] } else { &[] });
            bytes.extend(crc32fast::hash(&self.plain).to_le_bytes());
            for size in [self.packed.len() as u64, self.plain.len() as u64] {
                bytes.extend(&size.to_le_bytes()[..if wide { 8 } else { 4 }]);
            }
        }
        bytes
    }

    pub(super) fn central(&self, offset: usize) -> Vec<u8> {
        let mut bytes = self.header(CENTRAL, true);
        bytes.extend((self.comment.len() as u16).to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(self.attributes.to_le_bytes());
        bytes.extend((offset as u32).to_le_bytes());
        [&self.name, &self.extra, &self.comment].iter().for_each(|part| bytes.extend(*part));
        bytes
    }
}

/// A zip file and where its records are.
#[derive(Clone)]
pub(super) struct Zip {
    pub(super) bytes: Vec<u8>,
    pub(super) locals: Vec<usize>,
    pub(super) centrals: Vec<usize>,
    pub(super) end: usize,
}

impl Zip {
    pub(super) fn of(members: &[Member]) -> Self {
        let mut bytes = Vec::new();
        let mut locals = Vec::new();
        for member in members {
            locals.push(bytes.len());
            bytes.extend(member.local());
        }
        let named: Vec<_> = members.iter().zip(locals.iter().copied()).collect();
        Self::with_central(bytes, locals.clone(), &named)
    }

    /// Any central directory behind any members.
    pub(super) fn with_central(mut bytes: Vec<u8>, locals: Vec<usize>, named: &[(&Member, usize)]) -> Self {
        let start = bytes.len();
        let mut centrals = Vec::new();
        for (member, offset) in named {
            centrals.push(bytes.len());
            bytes.extend(member.central(*offset));
        }
        let end = bytes.len();
        bytes.extend(END);
        bytes.extend([0; 4]);
        [named.len() as u16; 2].iter().for_each(|count| bytes.extend(count.to_le_bytes()));
        [(end - start) as u32, start as u32].iter().for_each(|field| bytes.extend(field.to_le_bytes()));
        bytes.extend([0; 2]);
        Self { bytes, locals, centrals, end }
    }

    /// The same with other bytes at a place.
    pub(super) fn with(&self, at: usize, bytes: &[u8]) -> Vec<u8> {
        let mut changed = self.bytes.clone();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        changed
    }
}

pub(super) fn ordinary() -> Vec<Member> {
    vec![
        Member::stored("empty", b""),
        Member::deflate("folder/deflated", &b"some text, some text, some text".repeat(5)),
        Member { attributes: 0o100_644 << 16, ..Member::stored("folder/stored", b"stored") },
    ]
}

#[test]
fn members_come_as_they_stand() -> Result<(), ArchiveError> {
    let members = ordinary();
    let delivered = read(&Zip::of(&members).bytes)?;
    let expected: Vec<_> = members
        .iter()
        .map(|m| (std::str::from_utf8(&m.name).unwrap_or_default(), m.plain.as_slice()))
        .collect();
    assert_eq!(contents(&delivered), expected);
    assert_eq!(delivered[1].raw.as_ref(), Some(&members[1].packed));
    assert_eq!(delivered[2].raw, None);
    assert_eq!(read(&Zip::of(&[]).bytes)?, []);
    Ok(())
}

#[test]
fn folders_are_skipped_and_a_leading_dot_is_no_part_of_a_path() -> Result<(), ArchiveError> {
    let folder = Member { attributes: 0o040_755 << 16, ..Member::stored("./a/", b"") };
    let zip = Zip::of(&[
        Member::stored("./", b""),
        folder.clone(),
        folder,
        Member::deflate("a/packed-folder/", b""),
        Member::stored("./a/é", b"1"),
        Member { flags: FLAG_UTF8, ..Member::stored("a/日本", b"2") },
    ]);
    assert_eq!(contents(&read(&zip.bytes)?), [("a/é", &b"1"[..]), ("a/日本", b"2")]);
    Ok(())
}

#[test]
fn streamed_members_with_any_data_descriptor_are_read() -> Result<(), ArchiveError> {
    let plain = b"text, text, text";
    for (signed, wide) in [(true, true), (true, false), (false, true), (false, false)] {
        let member = Member::deflate("a", plain).described(signed, wide);
        let empty = Member::stored("b", b"").described(signed, wide);
        // What Python writes into a pipe: both sizes stand in a zip64 field, and are 0.
        let mut python = Member::deflate("c", plain).described(signed, wide);
        let narrow = Zip::of(&[member.clone(), empty.clone(), member_named(&member, "d")]);
        assert_eq!(contents(&read(&narrow.bytes)?), [("a", &plain[..]), ("b", b""), ("d", plain)]);
        python.extra = [&[1, 0, 16, 0][..], &[0; 16]].concat();
        let zip = Zip::of(&[python]);
        let bytes = zip.with(18, &[0xff; 8]);
        assert_eq!(contents(&read(&bytes)?), [("c", &plain[..])]);
    }
    // A stored member may have one, if its size is told in front.
    let stored = Member { sizes_in_front: true, ..Member::stored("a", plain).described(true, false) };
    assert_eq!(contents(&read(&Zip::of(&[stored]).bytes)?), [("a", &plain[..])]);
    Ok(())
}

fn member_named(member: &Member, name: &str) -> Member {
    Member { name: name.into(), ..member.clone() }
}

#[test]
fn stored_members_without_a_size_in_front_are_refused() {
    let zip = Zip::of(&[Member::stored("a", b"where does it end").described(true, false)]);
    let error = assert_refused(&zip.bytes, Reason::ArchiveAmbiguous);
    assert!(error.to_string().contains("not into a pipe"), "{error}");
    assert_eq!(error.member(), Some("a"));
}

#[test]
fn damage_is_noticed() {
    let zip = Zip::of(&ordinary());
    assert_no_flip_is_believed(&zip.bytes);
    assert_no_cut_is_believed(&zip.bytes);
    let described = Zip::of(&[Member::deflate("a", b"text, text").described(true, false)]);
    assert_no_flip_is_believed(&described.bytes);
    assert_no_cut_is_believed(&described.bytes);
}

#[test]
fn wrong_checksums_and_sizes_are_corrupt() {
    let stored = Zip::of(&[Member::stored("a", b"stored")]);
    assert_refused(&stored.with(14, &[0; 4]), Reason::ArchiveCorrupt);
    let plain = b"text, text, text, text";
    let whole = Member::deflate("a", plain);
    // The stream ends before the packed size does, or behind it.
    let long = Member { packed: [&whole.packed[..], &[0]].concat(), ..whole.clone() };
    assert_refused(&Zip::of(&[long]).bytes, Reason::ArchiveCorrupt);
    let size = whole.packed.len() as u32 - 1;
    assert_refused(
        &Zip::of(std::slice::from_ref(&whole)).with(18, &size.to_le_bytes()),
        Reason::ArchiveCorrupt,
    );
    // The stream is none.
    let nonsense = Member { packed: vec![0xff; 8], ..whole.clone() };
    assert_refused(&Zip::of(&[nonsense]).bytes, Reason::ArchiveCorrupt);
    // Another size than the header's, and than the descriptor's.
    assert_refused(&Zip::of(std::slice::from_ref(&whole)).with(22, &[9, 0, 0, 0]), Reason::ArchiveCorrupt);
    let described = Zip::of(&[whole.described(true, false)]);
    assert_refused(&described.with(described.centrals[0] - 4, &[9]), Reason::ArchiveCorrupt);
}

#[test]
fn encryption_and_other_methods_are_refused() {
    for flags in [1, 1 << 6, 1 << 13] {
        let member = Member { flags, ..Member::stored("a", b"x") };
        assert_refused(&Zip::of(&[member]).bytes, Reason::ArchiveEncrypted);
    }
    for method in [1, 9, 12, 14, 93, 99] {
        let member = Member { method, ..Member::stored("a", b"x") };
        let error = assert_refused(&Zip::of(&[member]).bytes, Reason::ArchiveMethodUnsupported);
        assert_eq!(error, ArchiveError::MethodUnsupported { member: "a".into(), method });
    }
}

#[test]
fn links_devices_and_misnamed_folders_are_refused() {
    let kinds = [("a", 0o120_777), ("a", 0o060_600), ("a", 0o010_600), ("a", 0o040_755), ("a/", 0o100_644)];
    for (name, mode) in kinds {
        let member = Member { attributes: mode << 16, ..Member::stored(name, b"") };
        assert_refused(&Zip::of(&[member]).bytes, Reason::MemberKindUnsupported);
    }
}

#[test]
fn paths_that_leave_or_meet_are_refused() {
    let one = |name: &str| Zip::of(&[Member::stored(name, b"")]).bytes;
    for name in
        ["../a", "a/../b", "/a", "a\\b", "C:/a", "a//b", "././a", "..", "", "a\nb", "../", "/", "a/./"]
    {
        assert_refused(&one(name), Reason::MemberPathInvalid);
    }
    let not_text = Member { name: b"caf\xe9".to_vec(), ..Member::stored("", b"") };
    assert_refused(&Zip::of(&[not_text]).bytes, Reason::MemberPathInvalid);
    let pair = |a: &str, b: &str| Zip::of(&[Member::stored(a, b""), Member::stored(b, b"")]).bytes;
    for (first, second) in [
        ("a/b", "a/b"),
        ("a/b", "./a/b"),
        ("a/B", "a/b"),
        ("É", "é"),
        ("a", "a/b"),
        ("a/b/c", "a"),
        ("A", "a/b"),
        ("a", "a/"),
        ("a/", "a"),
        ("x/a/", "x/A"),
    ] {
        assert_refused(&pair(first, second), Reason::MemberDuplicate);
    }
    assert!(read(&pair("a/b", "A/c")).is_ok(), "folders that differ in case only hold different members");
}

#[test]
fn folders_with_a_content_are_refused() {
    assert_refused(&Zip::of(&[Member::stored("a/", b"x")]).bytes, Reason::ArchiveAmbiguous);
    assert_refused(&Zip::of(&[Member::deflate("a/", b"x")]).bytes, Reason::ArchiveAmbiguous);
}

#[test]
fn each_limit_holds_at_its_value_and_not_beyond() {
    let text = vec![b'x'; 5000];
    let zip = Zip::of(&[
        Member::stored("folder/", b""),
        Member::stored("folder/a", b"12345"),
        Member::deflate("b", &text),
        Member::deflate("c", &text).described(true, false),
    ]);
    let packed = zip.bytes.len() as u64;
    let base = Limits { ratio: 1000, ..Limits::default() };
    let is_read = |limits: Limits| match read_with(&zip.bytes, &limits) {
        Ok(_) => None,
        Err(error) => Some(error.reason()),
    };
    assert_eq!(is_read(Limits { members: 4, ..base }), None);
    assert_eq!(is_read(Limits { members: 3, ..base }), Some(Reason::LimitMembers));
    assert_eq!(is_read(Limits { member_bytes: 5000, ..base }), None);
    assert_eq!(is_read(Limits { member_bytes: 4999, ..base }), Some(Reason::LimitMemberBytes));
    assert_eq!(is_read(Limits { content_bytes: 10_005, ..base }), None);
    assert_eq!(is_read(Limits { content_bytes: 10_004, ..base }), Some(Reason::LimitContentBytes));
    assert_eq!(is_read(Limits { path_bytes: 8, ..base }), None);
    assert_eq!(is_read(Limits { path_bytes: 7, ..base }), Some(Reason::LimitPath));
    assert_eq!(is_read(Limits { path_depth: 0, ..base }), Some(Reason::LimitPath));
    // 10 005 bytes come out of some 300; the floor keeps small archives out of it.
    assert!(packed < 10_005 / 10);
    assert_eq!(is_read(Limits { ratio: 10, ratio_floor_bytes: 10_005, ..base }), None);
    assert_eq!(is_read(Limits { ratio: 10, ratio_floor_bytes: 10_004, ..base }), Some(Reason::LimitRatio));
    assert_eq!(is_read(Limits { ratio: 10_005, ratio_floor_bytes: 0, ..base }), None);
}
