//! Trees as bytes: blocks of entries, and a root that lists the blocks. Pure.
//!
//! Where a block ends is decided by hashes of paths alone, so two trees that differ in one member share all blocks but
//! one or two, and a nightly tree costs what changed. One tree has exactly one form: decoding refuses every other.

use super::error::Malformed;
use super::wire::{Reader, put_varint};
use crate::course::{ContentRef, Encoding, Entry, MemberPath, Tree};
use crate::digest::Digest;
use crate::limits::Limits;

/// Version of both formats.
const VERSION: u8 = 1;
const BLOCK: &str = "block of a tree";
const ROOT: &str = "root of a tree";

/// A block begins at every path whose hash has these bits clear: one in 128.
const BOUNDARY_MASK: u8 = 0x7f;
/// Entries of the longest block. Without a boundary in sight it ends here; one block in 3 000 does.
const MAX_ENTRIES: usize = 1024;
/// Least bytes of an entry: two lengths, one byte of path, digest, size, CRC-32, encoding.
const MIN_ENTRY_BYTES: usize = 2 + 1 + 32 + 1 + 4 + 1;
/// Least bytes of a block's line in a root: length, one byte of path, entries, digest, size.
const MIN_REF_BYTES: usize = 1 + 1 + 1 + 32 + 1;

/// A block of a tree, encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Path of its first entry.
    pub first_path: String,
    /// How many entries it holds, 1 to 1024.
    pub entries: u64,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Block {
    /// How a root names this block.
    pub fn reference(&self) -> BlockRef {
        BlockRef {
            first_path: self.first_path.clone(),
            entries: self.entries,
            digest: Digest::of(&self.bytes),
            size: self.bytes.len() as u64,
        }
    }
}

/// A block as the root of a tree names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockRef {
    /// Path of the block's first entry.
    pub first_path: String,
    /// How many entries the block holds.
    pub entries: u64,
    /// BLAKE3 of the block's bytes.
    pub digest: Digest,
    /// Size of the block in bytes.
    pub size: u64,
}

/// Splits a tree into encoded blocks, in the order of its entries. An empty tree has none.
pub fn split(tree: &Tree) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut rest = tree.entries();
    while !rest.is_empty() {
        let longest = rest.len().min(MAX_ENTRIES);
        let length = (1..longest).find(|index| is_boundary(&rest[*index].path)).unwrap_or(longest);
        let (entries, after) = rest.split_at(length);
        blocks.push(Block {
            first_path: entries[0].path.as_str().to_owned(),
            entries: length as u64,
            bytes: encode_block(entries),
        });
        rest = after;
    }
    blocks
}

fn is_boundary(path: &MemberPath) -> bool {
    Digest::of(path.as_str().as_bytes()).0[0] & BOUNDARY_MASK == 0
}

fn encode_block(entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::with_capacity(entries.len() * 80);
    out.push(VERSION);
    put_varint(&mut out, entries.len() as u64);
    let mut previous = "";
    for entry in entries {
        let path = entry.path.as_str();
        let shared = shared_prefix(previous, path);
        put_varint(&mut out, shared as u64);
        put_varint(&mut out, (path.len() - shared) as u64);
        out.extend_from_slice(&path.as_bytes()[shared..]);
        encode_content(&mut out, &entry.content);
        previous = path;
    }
    out
}

fn encode_content(out: &mut Vec<u8>, content: &ContentRef) {
    out.extend_from_slice(&content.digest.0);
    put_varint(out, content.size);
    out.extend_from_slice(&content.crc32.to_le_bytes());
    match content.encoding {
        Encoding::Stored => out.push(0),
        Encoding::Deflate => {
            out.push(1);
            put_varint(out, content.encoded_size);
            out.extend_from_slice(&content.form.to_le_bytes());
        }
    }
}

/// Bytes that two paths have in common at their beginning, cut at a character.
fn shared_prefix(a: &str, b: &str) -> usize {
    let common = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    (0..=common).rev().find(|end| b.is_char_boundary(*end)).unwrap_or(0)
}

/// Reads a block. Every path is checked again, and the entries must be in the order of a tree.
pub fn decode_block(bytes: &[u8], limits: &Limits) -> Result<Vec<Entry>, Malformed> {
    let mut reader = Reader::new(bytes, BLOCK);
    check_version(&mut reader, BLOCK)?;
    let count = reader.varint()?;
    let possible =
        (MAX_ENTRIES as u64).min(limits.members).min((reader.remaining() / MIN_ENTRY_BYTES) as u64);
    if count == 0 || count > possible {
        return Err(reader.damaged("it cannot hold that many entries"));
    }
    let mut entries: Vec<Entry> = Vec::with_capacity(usize::try_from(count).unwrap_or(0));
    for _ in 0..count {
        let previous = entries.last().map(|entry| &entry.path);
        let path = decode_path(&mut reader, previous, limits)?;
        let content = decode_content(&mut reader)?;
        entries.push(Entry { path, content });
    }
    reader.end()?;
    Ok(entries)
}

fn decode_path(
    reader: &mut Reader<'_>,
    previous: Option<&MemberPath>,
    limits: &Limits,
) -> Result<MemberPath, Malformed> {
    let shared = reader.varint()?;
    let added = reader.varint()?;
    let before = previous.map_or("", MemberPath::as_str);
    let prefix = usize::try_from(shared).ok().and_then(|shared| before.get(..shared));
    let Some(prefix) = prefix else {
        return Err(reader.damaged("a path shares more with the one before than can be"));
    };
    let added = usize::try_from(added).unwrap_or(usize::MAX);
    let suffix =
        std::str::from_utf8(reader.take(added)?).map_err(|error| reader.damaged(error.to_string()))?;
    let text = [prefix, suffix].concat();
    if shared_prefix(before, &text) != prefix.len() {
        return Err(reader.damaged("a path shares more with the one before than it says"));
    }
    let path = MemberPath::parse(&text, limits).map_err(|error| reader.damaged(error.to_string()))?;
    if previous.is_some_and(|previous| *previous >= path) {
        return Err(reader.damaged("paths are out of order"));
    }
    Ok(path)
}

fn decode_content(reader: &mut Reader<'_>) -> Result<ContentRef, Malformed> {
    let digest = Digest(reader.array()?);
    let size = reader.varint()?;
    let crc32 = reader.u32()?;
    let (encoding, encoded_size, form) = match reader.u8()? {
        0 => (Encoding::Stored, size, 0),
        1 => (Encoding::Deflate, reader.varint()?, reader.u64()?),
        _ => return Err(reader.damaged("a content is in an unknown encoding")),
    };
    if encoding == Encoding::Deflate && (form == 0 || form >> 63 != 0) {
        return Err(reader.damaged("a content has a form number that cannot be"));
    }
    Ok(ContentRef { digest, size, crc32, encoding, encoded_size, form })
}

/// The root of a tree: its blocks in order.
pub fn encode_root(blocks: &[BlockRef]) -> Vec<u8> {
    let mut out = vec![VERSION];
    put_varint(&mut out, blocks.len() as u64);
    for block in blocks {
        put_varint(&mut out, block.first_path.len() as u64);
        out.extend_from_slice(block.first_path.as_bytes());
        put_varint(&mut out, block.entries);
        out.extend_from_slice(&block.digest.0);
        put_varint(&mut out, block.size);
    }
    out
}

/// Reads the root of a tree. Its lists are bounded by its own size; the paths are checked when blocks are read.
pub fn decode_root(bytes: &[u8]) -> Result<Vec<BlockRef>, Malformed> {
    let mut reader = Reader::new(bytes, ROOT);
    check_version(&mut reader, ROOT)?;
    let count = reader.varint()?;
    if count > (reader.remaining() / MIN_REF_BYTES) as u64 {
        return Err(reader.damaged("it cannot list that many blocks"));
    }
    let mut blocks: Vec<BlockRef> = Vec::with_capacity(usize::try_from(count).unwrap_or(0));
    for _ in 0..count {
        let length = usize::try_from(reader.varint()?).unwrap_or(usize::MAX);
        let path =
            std::str::from_utf8(reader.take(length)?).map_err(|error| reader.damaged(error.to_string()))?;
        let first_path = path.to_owned();
        let entries = reader.varint()?;
        let digest = Digest(reader.array()?);
        let size = reader.varint()?;
        if entries == 0 || entries > MAX_ENTRIES as u64 {
            return Err(reader.damaged("a block cannot hold that many entries"));
        }
        if blocks.last().is_some_and(|before| order(&before.first_path) >= order(&first_path)) {
            return Err(reader.damaged("blocks are out of order"));
        }
        blocks.push(BlockRef { first_path, entries, digest, size });
    }
    reader.end()?;
    Ok(blocks)
}

/// The order of members in a tree, for paths that were not checked yet.
fn order(path: &str) -> (bool, &str) {
    (path != MemberPath::MANIFEST, path)
}

fn check_version(reader: &mut Reader<'_>, what: &'static str) -> Result<(), Malformed> {
    match reader.u8()? {
        VERSION => Ok(()),
        found => Err(Malformed::Version { what, found: found.into(), known: VERSION.into() }),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    fn path(text: &str) -> MemberPath {
        MemberPath::parse(text, &Limits::default()).expect("a path")
    }

    fn stored(number: u64) -> ContentRef {
        let bytes = number.to_le_bytes();
        ContentRef {
            digest: Digest::of(&bytes),
            size: 8,
            crc32: crc32fast::hash(&bytes),
            encoding: Encoding::Stored,
            encoded_size: 8,
            form: 0,
        }
    }

    fn tree_of(members: &BTreeMap<String, ContentRef>) -> Tree {
        let entries =
            members.iter().map(|(text, content)| Entry { path: path(text), content: *content }).collect();
        Tree::new(entries).expect("a tree")
    }

    fn join(blocks: &[Block]) -> Tree {
        let decode = |block: &Block| decode_block(&block.bytes, &Limits::default()).expect("a block");
        Tree::new(blocks.iter().flat_map(decode).collect()).expect("a tree")
    }

    fn many(count: u64) -> BTreeMap<String, ContentRef> {
        (0..count)
            .map(|number| (format!("activities/page_{}/f{number}.xml", number % 100), stored(number)))
            .collect()
    }

    #[test]
    fn a_block_and_a_root_have_the_documented_bytes() {
        let deflated = ContentRef {
            digest: Digest([0x11; 32]),
            size: 300,
            crc32: 0x0403_0201,
            encoding: Encoding::Deflate,
            encoded_size: 77,
            form: 5,
        };
        let plain = ContentRef { digest: Digest([0x22; 32]), size: 0, crc32: 0, ..stored(0) };
        let plain = ContentRef { encoded_size: 0, ..plain };
        let entries = [
            Entry { path: path("moodle_backup.xml"), content: deflated },
            Entry { path: path("a/é1"), content: plain },
            Entry { path: path("a/è2"), content: plain },
        ];
        let mut expected = vec![1, 3, 0, 17];
        expected.extend(b"moodle_backup.xml");
        expected.extend([0x11; 32]);
        expected.extend([0xac, 2, 1, 2, 3, 4, 1, 77, 5, 0, 0, 0, 0, 0, 0, 0]);
        let tree = Tree::new(entries.to_vec()).expect("a tree");
        // In the order of a tree è (c3 a8) stands before é (c3 a9); the prefix they share is cut at the character.
        expected.extend([0, 5]);
        expected.extend("a/è2".bytes());
        expected.extend([0x22; 32]);
        expected.extend([0, 0, 0, 0, 0, 0, 2, 3]);
        expected.extend("é1".bytes());
        expected.extend([0x22; 32]);
        expected.extend([0, 0, 0, 0, 0, 0]);
        assert_eq!(encode_block(tree.entries()), expected);
        assert_eq!(decode_block(&expected, &Limits::default()).as_deref(), Ok(tree.entries()));

        let block = BlockRef { first_path: "a".into(), entries: 3, digest: Digest([0x33; 32]), size: 300 };
        let root = encode_root(std::slice::from_ref(&block));
        assert_eq!(root, [&[1, 1, 1, b'a', 3][..], &[0x33; 32], &[0xac, 2]].concat());
        assert_eq!(decode_root(&root), Ok(vec![block]));
        assert_eq!(decode_root(&encode_root(&[])), Ok(Vec::new()));
    }

    #[test]
    fn boundaries_stay_where_they_are() {
        // Blocks are shared between trees of all times, so the places where they end are part of the format.
        let blocks = split(&tree_of(&many(2_000)));
        let counts: Vec<u64> = blocks.iter().map(|block| block.entries).collect();
        assert_eq!(counts, [210, 309, 34, 341, 74, 185, 115, 256, 290, 96, 79, 11]);
        assert_eq!(join(&blocks), tree_of(&many(2_000)));
    }

    #[test]
    fn a_block_without_boundaries_ends_at_its_bound() {
        let members: BTreeMap<String, ContentRef> = (0..)
            .map(|number: u64| (format!("{number}"), stored(number)))
            .filter(|(text, _)| !is_boundary(&path(text)))
            .take(2_500)
            .collect();
        let counts: Vec<u64> = split(&tree_of(&members)).iter().map(|block| block.entries).collect();
        assert_eq!(counts, [1024, 1024, 452]);
        assert!(split(&Tree::default()).is_empty());
    }

    #[test]
    fn damaged_blocks_are_refused() {
        let members = BTreeMap::from([("a/b".to_owned(), stored(1)), ("a/c".to_owned(), stored(2))]);
        let good = split(&tree_of(&members)).remove(0).bytes;
        let limits = Limits::default();
        let decode = |bytes: &[u8]| decode_block(bytes, &limits);
        assert!(decode(&good).is_ok());
        for length in 0..good.len() {
            assert!(decode(&good[..length]).is_err(), "{length}");
        }
        assert!(decode(&[&good[..], &[0]].concat()).is_err());
        let with = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            decode(&bytes)
        };
        assert!(matches!(with(0, 2), Err(Malformed::Version { found: 2, .. })));
        // Counts, a shared prefix of the first entry, a path that climbs, order, a shorter prefix than there is.
        let second = good.len() - 1 - 4 - 1 - 32 - 1;
        for (at, byte) in [(1, 0), (1, 3), (2, 1), (4, b'.'), (second, b'b'), (second, b'a'), (4, 0xff)] {
            assert!(matches!(with(at, byte), Err(Malformed::Damaged { .. })), "{at} {byte}");
        }
        let few = Limits { members: 1, ..Limits::default() };
        assert!(decode_block(&good, &few).is_err());
        let claims = [&[VERSION, 0xff, 0xff, 0xff, 0xff, 0x0f][..], &good[2..]].concat();
        assert!(decode(&claims).is_err() && decode_root(&claims).is_err());
    }

    #[test]
    fn damaged_roots_are_refused() {
        let reference = |first: &str, entries| BlockRef {
            first_path: first.into(),
            entries,
            digest: Digest([1; 32]),
            size: 9,
        };
        let good = encode_root(&[reference("moodle_backup.xml", 5), reference("a", 1024)]);
        assert!(decode_root(&good).is_ok());
        for length in 0..good.len() {
            assert!(decode_root(&good[..length]).is_err(), "{length}");
        }
        assert!(decode_root(&[&good[..], &[0]].concat()).is_err());
        for bad in [
            vec![reference("a", 0)],
            vec![reference("a", 1025)],
            vec![reference("a", 1), reference("a", 1)],
            vec![reference("b", 1), reference("a", 1)],
            vec![reference("a", 1), reference("moodle_backup.xml", 1)],
        ] {
            assert!(decode_root(&encode_root(&bad)).is_err(), "{bad:?}");
        }
    }

    fn content() -> impl Strategy<Value = ContentRef> {
        (
            any::<[u8; 32]>(),
            any::<u64>(),
            any::<u32>(),
            proptest::option::of((any::<u64>(), 1..u64::MAX >> 1)),
        )
            .prop_map(|(digest, size, crc32, deflated)| {
                let (encoding, (encoded_size, form)) = match deflated {
                    Some(deflated) => (Encoding::Deflate, deflated),
                    None => (Encoding::Stored, (size, 0)),
                };
                ContentRef { digest: Digest(digest), size, crc32, encoding, encoded_size, form }
            })
    }

    fn members(most: usize) -> impl Strategy<Value = BTreeMap<String, ContentRef>> {
        // Files end in a letter that no folder ends in, so that none stands where another needs a folder.
        let path = prop_oneof![
            1 => Just(MemberPath::MANIFEST.to_owned()),
            20 => "([a-cé]{1,3}/){0,3}[a-dé]{1,4}z",
        ];
        proptest::collection::btree_map(path, content(), 0..most)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn trees_round_trip(members in members(600)) {
            let tree = tree_of(&members);
            let blocks = split(&tree);
            let references: Vec<BlockRef> = blocks.iter().map(Block::reference).collect();
            prop_assert_eq!(decode_root(&encode_root(&references)), Ok(references));
            prop_assert_eq!(join(&blocks), tree);
        }

        #[test]
        fn one_changed_member_changes_one_block(seed in members(600), changed in any::<prop::sample::Index>()) {
            prop_assume!(!seed.is_empty());
            let mut later = seed.clone();
            let path = later.keys().nth(changed.index(seed.len())).cloned().expect("a member");
            later.insert(path, stored(77));
            prop_assert!(new_blocks(&seed, &later) <= 1);
        }

        #[test]
        fn one_added_or_removed_member_changes_two_blocks_at_most(
            seed in members(600),
            changed in any::<prop::sample::Index>(),
        ) {
            prop_assume!(!seed.is_empty());
            let mut fewer = seed.clone();
            let path = fewer.keys().nth(changed.index(seed.len())).cloned().expect("a member");
            fewer.remove(&path);
            prop_assert!(new_blocks(&seed, &fewer) <= 2);
            prop_assert!(new_blocks(&fewer, &seed) <= 2);
        }

        #[test]
        fn whatever_decodes_has_that_form_only(bytes in proptest::collection::vec(any::<u8>(), 0..400), flip in any::<(prop::sample::Index, u8)>(), members in members(20)) {
            let limits = Limits::default();
            let mut blocks: Vec<Vec<u8>> = split(&tree_of(&members)).into_iter().map(|block| block.bytes).collect();
            for block in &mut blocks {
                let at = flip.0.index(block.len());
                block[at] = flip.1;
            }
            for bytes in blocks.iter().chain([&bytes]) {
                if let Ok(entries) = decode_block(bytes, &limits) {
                    prop_assert_eq!(&encode_block(&entries), bytes);
                }
                if let Ok(references) = decode_root(bytes) {
                    prop_assert_eq!(&encode_root(&references), bytes);
                }
            }
        }
    }

    /// How many blocks of `after` are not in `before`.
    fn new_blocks(before: &BTreeMap<String, ContentRef>, after: &BTreeMap<String, ContentRef>) -> usize {
        let digests =
            |members| split(&tree_of(members)).iter().map(|block| block.reference().digest).collect();
        let (before, after): (BTreeSet<Digest>, BTreeSet<Digest>) = (digests(before), digests(after));
        after.difference(&before).count()
    }
}
