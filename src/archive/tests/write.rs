//! Writing archives: what was written is read again, by us and by others, from every byte on, and stays the same.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::sync::Arc;

use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

use super::*;
use crate::course::{ContentRef, Encoding, Entry, Tree};
use crate::digest::Digest;

/// Encoded contents in the order of a tree's entries.
pub(super) type Encoded = Vec<Vec<u8>>;

fn content(plain: &[u8], raw: Option<Vec<u8>>) -> (ContentRef, Vec<u8>) {
    let (encoding, encoded) = match raw {
        Some(raw) => (Encoding::Deflate, raw),
        None => (Encoding::Stored, plain.to_vec()),
    };
    let reference = ContentRef {
        digest: Digest([0; 32]),
        size: plain.len() as u64,
        crc32: crc32fast::hash(plain),
        encoding,
        encoded_size: encoded.len() as u64,
        form: 0,
    };
    (reference, encoded)
}

fn tree(
    members: impl IntoIterator<Item = (String, Vec<u8>, Option<Vec<u8>>)>,
) -> anyhow::Result<(Arc<Tree>, Encoded)> {
    let mut entries = Vec::new();
    let mut by_path = BTreeMap::new();
    for (path, plain, raw) in members {
        let path = MemberPath::parse(&path, &Limits::default())?;
        let (content, encoded) = content(&plain, raw);
        by_path.insert(path.clone(), encoded);
        entries.push(Entry { path, content });
    }
    // Paths are ordered as trees are.
    Ok((Arc::new(Tree::new(entries)?), by_path.into_values().collect()))
}

pub(super) fn tree_of(members: &[Delivered]) -> anyhow::Result<(Arc<Tree>, Encoded)> {
    tree(members.iter().map(|member| (member.path.clone(), member.plain.clone(), member.raw.clone())))
}

fn fetch(pieces: Pieces, encoded: &Encoded) -> Vec<u8> {
    let mut bytes = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Literal(literal) => bytes.extend(literal),
            Piece::Content { entry, range } => {
                assert!(!range.is_empty());
                bytes.extend(&encoded[entry][range.start as usize..range.end as usize]);
            }
        }
    }
    bytes
}

pub(super) fn archive_of(tree: &Arc<Tree>, encoded: &Encoded, container: Container) -> Vec<u8> {
    let layout = Layout::new(Arc::clone(tree), container).expect("the tree fits the container");
    let bytes = fetch(layout.pieces(0), encoded);
    assert_eq!(layout.size(), bytes.len() as u64);
    bytes
}

/// A stored content of more than one deflate block, a deflated one, an empty one, and paths of every kind.
fn small() -> (Arc<Tree>, Encoded) {
    let folder = "folder/".repeat(20);
    let deflated_text = |text: &[u8]| Some(fixed_deflate::compress(text));
    tree([
        ("moodle_backup.xml".into(), b"<moodle_backup/>".to_vec(), deflated_text(b"<moodle_backup/>")),
        ("files/ab/stored".into(), (0..140_000_u32).map(|i| (i % 251) as u8).collect(), None),
        ("files.xml".into(), Vec::new(), None),
        ("empty-deflated".into(), Vec::new(), deflated_text(b"")),
        ("é/日本/🎓".into(), b"names".to_vec(), None),
        (format!("{folder}split"), b"ustar splits".to_vec(), None),
        (format!("{}/{}", "x".repeat(160), "é".repeat(80)), b"ustar cannot".to_vec(), None),
    ])
    .expect("a tree")
}

#[test]
fn the_bytes_of_an_archive_never_change() {
    let (tree, encoded) = small();
    for (container, size, sha256) in [
        (Container::Zip, 141_673, "f7e977ef5b1b698254d2ba503adca3a0592100fc505eed51797f3d1b87c5d7ba"),
        (Container::TarGz, 141_331, "ad43a801ac804f7a92c4ac1ff027455e09f7ff794399300da209b0b87948b179"),
    ] {
        let bytes = archive_of(&tree, &encoded, container);
        let digest = crate::digest::Sha256(Sha256::digest(&bytes).into());
        assert_eq!((bytes.len(), digest.to_string().as_str()), (size, sha256), "{container:?}");
    }
}

#[test]
fn an_empty_tree_has_an_archive() -> Result<(), ArchiveError> {
    for container in [Container::Zip, Container::TarGz] {
        assert_eq!(read(&archive_of(&Arc::new(Tree::default()), &Vec::new(), container))?, []);
    }
    Ok(())
}

#[test]
fn other_readers_see_the_same() -> anyhow::Result<()> {
    let (tree, encoded) = small();
    let expected: Vec<_> = tree.entries().iter().map(|entry| entry.path.to_string()).collect();

    let bytes = archive_of(&tree, &encoded, Container::Zip);
    let mut zip = ::zip::ZipArchive::new(Cursor::new(bytes))?;
    let mut names = Vec::new();
    for index in 0..zip.len() {
        let mut file = zip.by_index(index)?;
        assert_eq!(file.unix_mode(), Some(0o100_644));
        names.push(file.name()?.into_owned());
        // Reading to the end compares size and checksum.
        std::io::copy(&mut file, &mut std::io::sink())?;
    }
    assert_eq!(names, expected);

    let bytes = archive_of(&tree, &encoded, Container::TarGz);
    let mut tar = ::tar::Archive::new(flate2::read::MultiGzDecoder::new(bytes.as_slice()));
    let mut names = Vec::new();
    for entry in tar.entries()? {
        let mut entry = entry?;
        names.push(String::from_utf8(entry.path_bytes().into_owned())?);
        let mut plain = Vec::new();
        entry.read_to_end(&mut plain)?;
        let content = tree.get(&names[names.len() - 1]).map(|content| (content.size, content.crc32));
        assert_eq!(content, Some((plain.len() as u64, crc32fast::hash(&plain))));
        assert_eq!((entry.header().mode()?, entry.header().mtime()?), (0o644, 315_532_800));
    }
    assert_eq!(names, expected);
    Ok(())
}

#[test]
fn what_does_not_fit_a_container_is_told() -> anyhow::Result<()> {
    let of = |path: &str, size: u64| -> anyhow::Result<Arc<Tree>> {
        let (content, _) = content(b"", None);
        let path = MemberPath::parse(path, &Limits { path_bytes: 1 << 20, ..Limits::default() })?;
        let content = ContentRef { size, encoded_size: size, ..content };
        Ok(Arc::new(Tree::new(vec![Entry { path, content }])?))
    };
    let reason = |tree: &Arc<Tree>, container| {
        Layout::new(Arc::clone(tree), container).map(|layout| layout.size()).map_err(|error| error.reason())
    };
    let large = of("a", 8 << 30)?;
    assert_eq!(reason(&large, Container::TarGz), Err(Reason::ContainerUnsuitable));
    assert!(reason(&large, Container::Zip).is_ok_and(|size| size > 8 << 30));
    assert!(reason(&of("a", (8 << 30) - 1)?, Container::TarGz).is_ok());
    let index = of(".ARCHIVE_INDEX", 1)?;
    assert_eq!(reason(&index, Container::TarGz), Err(Reason::ContainerUnsuitable));
    assert!(reason(&index, Container::Zip).is_ok());
    let long = of(&"x".repeat(65_536), 1)?;
    assert_eq!(reason(&long, Container::Zip), Err(Reason::ContainerUnsuitable));
    assert!(reason(&long, Container::TarGz).is_ok());
    Ok(())
}

/// Offsets and sizes beyond 4 GiB, without the bytes: the headers are compared with the `zip` crate's reading of them.
#[test]
fn large_archives_have_zip64_records() -> anyhow::Result<()> {
    let sizes = [u64::from(u32::MAX) - 1, u64::from(u32::MAX), 5 << 30, 7];
    let mut entries = Vec::new();
    for (index, size) in sizes.into_iter().enumerate() {
        let (content, _) = content(b"", None);
        let path = MemberPath::parse(&index.to_string(), &Limits::default())?;
        entries.push(Entry { path, content: ContentRef { size, encoded_size: size, ..content } });
    }
    let layout = Layout::new(Arc::new(Tree::new(entries)?), Container::Zip)?;
    let mut zip = ::zip::ZipArchive::new(Sparse::of(&layout))?;
    assert_eq!(zip.len(), sizes.len());
    for (index, size) in sizes.into_iter().enumerate() {
        let file = zip.by_index_raw(index)?;
        assert_eq!((file.size(), file.compressed_size()), (size, size));
        assert!(file.header_start() == 0 || index > 0);
    }
    // 65 535 members: the number of a 16-bit field that stands for "look elsewhere".
    let many = |count: usize| tree((0..count).map(|index| (index.to_string(), Vec::new(), None)));
    for count in [65_534, 65_535, 65_536] {
        let (tree, encoded) = many(count)?;
        let bytes = archive_of(&tree, &encoded, Container::Zip);
        assert_eq!(bytes.windows(4).any(|window| window == zip_record::END64), count >= 65_535);
        assert_eq!(::zip::ZipArchive::new(Cursor::new(&bytes))?.len(), count);
        assert_eq!(read_with(&bytes, &Limits::default())?.len(), count);
    }
    Ok(())
}

/// An archive whose contents are zeros, made while it is read.
struct Sparse {
    layout: Layout,
    position: u64,
}

impl Sparse {
    fn of(layout: &Layout) -> Self {
        Self { layout: layout.clone(), position: 0 }
    }
}

impl Read for Sparse {
    fn read(&mut self, target: &mut [u8]) -> std::io::Result<usize> {
        let Some(piece) = self.layout.pieces(self.position).next() else { return Ok(0) };
        let count = usize::try_from(piece.size()).unwrap_or(usize::MAX).min(target.len());
        match piece {
            Piece::Literal(bytes) => target[..count].copy_from_slice(&bytes[..count]),
            Piece::Content { .. } => target[..count].fill(0),
        }
        self.position += count as u64;
        Ok(count)
    }
}

impl std::io::Seek for Sparse {
    fn seek(&mut self, to: std::io::SeekFrom) -> std::io::Result<u64> {
        let target = match to {
            std::io::SeekFrom::Start(position) => Some(position),
            std::io::SeekFrom::End(distance) => self.layout.size().checked_add_signed(distance),
            std::io::SeekFrom::Current(distance) => self.position.checked_add_signed(distance),
        };
        self.position = target.ok_or(std::io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

#[test]
fn pieces_begin_at_every_byte_and_can_be_sent_to_a_thread() {
    fn can_be_sent<T: Send + 'static>(_: &T) {}
    let (tree, encoded) = small();
    for container in [Container::Zip, Container::TarGz] {
        let layout = Layout::new(Arc::clone(&tree), container).expect("the tree fits the container");
        can_be_sent(&layout.pieces(0));
        let whole = archive_of(&tree, &encoded, container);
        // Every byte where pieces meet, and a few others.
        let mut edges = vec![0];
        for piece in layout.pieces(0) {
            edges.push(edges[edges.len() - 1] + piece.size());
        }
        let offsets = edges.iter().flat_map(|edge| [edge.saturating_sub(1), *edge, edge + 1, edge + 10]);
        for offset in offsets.chain([u64::MAX]) {
            let expected = whole.get(usize::try_from(offset).unwrap_or(usize::MAX)..).unwrap_or_default();
            assert_eq!(fetch(layout.pieces(offset), &encoded), expected, "{container:?} from {offset}");
        }
    }
}

fn any_members() -> impl Strategy<Value = BTreeMap<String, (Vec<u8>, bool)>> {
    let path = "[a-c日é]{1,3}(/[a-c é]{1,60}){0,4}";
    let content = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..2000),
        (any::<u8>(), 0..140_000_usize).prop_map(|(byte, size)| vec![byte; size]),
    ];
    proptest::collection::btree_map(path, (content, any::<bool>()), 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_read_again(members in any_members(), at in 0.0..1.0_f64) {
        let members = members.into_iter().map(|(path, (plain, packed))| {
            let raw = packed.then(|| deflated(&plain));
            (path, plain, raw)
        });
        // A path that is a folder of another one makes no tree.
        let Ok((tree, encoded)) = tree(members) else { return Ok(()) };
        for container in [Container::Zip, Container::TarGz] {
            let bytes = archive_of(&tree, &encoded, container);
            let delivered = read_with(&bytes, &Limits { ratio: 2000, ..Limits::default() });
            let delivered = delivered.map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert_eq!(delivered.len(), tree.entries().len());
            for ((member, entry), encoded) in delivered.iter().zip(tree.entries()).zip(&encoded) {
                prop_assert_eq!(member.path.as_str(), entry.path.as_str());
                prop_assert_eq!(member.plain.len() as u64, entry.content.size);
                prop_assert_eq!(crc32fast::hash(&member.plain), entry.content.crc32);
                if let Some(raw) = &member.raw {
                    prop_assert_eq!(raw, encoded);
                }
            }
            let layout = Layout::new(Arc::clone(&tree), container).expect("the tree fits the container");
            let offset = (bytes.len() as f64 * at) as usize;
            prop_assert_eq!(&fetch(layout.pieces(offset as u64), &encoded), &bytes[offset..]);
        }
    }
}
