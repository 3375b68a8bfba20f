//! Trees: the members of an archive or of a state of a course, by path and content.

use super::path::MemberPath;
use crate::digest::Digest;
use crate::label::labels;
use crate::reason::Reason;

/// How the vault keeps a content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// As it is.
    Stored,
    /// As one raw deflate stream (RFC 1951) that ends exactly with its last byte.
    Deflate,
}

labels! {
    /// What is kept under an address of the vault.
    pub enum ContentKind {
        /// The content of a member.
        Content = "CONTENT",
        /// The root or a block of a tree.
        Tree = "TREE",
        /// The record of an archive or of a revision.
        Record = "RECORD",
    }
}

/// A content and the encoded form of it that is pinned: whoever has a `ContentRef` can lay out an archive to the byte
/// without reading anything, and the bytes stay the same for as long as the tree lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ContentRef {
    /// BLAKE3 of the content: its address.
    pub digest: Digest,
    /// Size of the content in bytes.
    pub size: u64,
    /// CRC-32 of the content, as zip and gzip write it.
    pub crc32: u32,
    /// How the pinned form is encoded.
    pub encoding: Encoding,
    /// Size of the pinned form in bytes.
    pub encoded_size: u64,
    /// Tells forms of one content apart: 0 for [`Encoding::Stored`], else the first 8 bytes (little endian, the top
    /// bit cleared, never 0) of the BLAKE3 of the encoded bytes.
    pub form: u64,
}

impl ContentRef {
    /// The form number of deflated bytes whose BLAKE3 is `encoded`.
    pub fn form_of(encoded: &Digest) -> u64 {
        let mut first = [0; 8];
        first.copy_from_slice(&encoded.0[..8]);
        (u64::from_le_bytes(first) >> 1).max(1)
    }
}

/// Where a stored tree begins, and how much it holds. Whoever has it can read the tree from the vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct TreeRef {
    /// BLAKE3 of the tree's root block: its address in the vault.
    pub root: Digest,
    /// Size of the root block in bytes.
    pub root_size: u64,
    /// Number of members.
    pub members: u64,
    /// Sum of the sizes of all members, uncompressed, in bytes.
    pub content_bytes: u64,
}

/// A member: a path and its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it stands.
    pub path: MemberPath,
    /// What it holds.
    pub content: ContentRef,
}

/// Why a list of members is no tree.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// Two members have one path.
    #[error("{0} is there twice")]
    Duplicate(MemberPath),
    /// A file stands where other members need a folder.
    #[error("{0} is both a file and a folder")]
    FileAndFolder(MemberPath),
}

impl TreeError {
    /// The reason for callers.
    pub fn reason(&self) -> Reason {
        Reason::MemberDuplicate
    }
}

/// All members of an archive, in canonical order: `moodle_backup.xml` first, then by path. Immutable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    entries: Vec<Entry>,
}

impl Tree {
    /// Puts members into their order. Refuses a path that occurs twice, and a file that is also a folder.
    pub fn new(mut entries: Vec<Entry>) -> Result<Self, TreeError> {
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        if let Some(pair) = entries.windows(2).find(|pair| pair[0].path == pair[1].path) {
            return Err(TreeError::Duplicate(pair[0].path.clone()));
        }
        let tree = Self { entries };
        match tree.entries.iter().find(|entry| tree.is_folder(entry.path.as_str())) {
            Some(entry) => Err(TreeError::FileAndFolder(entry.path.clone())),
            None => Ok(tree),
        }
    }

    /// The members in order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The content of a member.
    pub fn get(&self, path: &str) -> Option<&ContentRef> {
        let position = self.position(path);
        self.entries.get(position).filter(|entry| entry.path.as_str() == path).map(|entry| &entry.content)
    }

    /// The place of a member among [`Self::entries`].
    pub fn position_of(&self, path: &MemberPath) -> Option<usize> {
        let position = self.position(path.as_str());
        self.entries.get(position).filter(|entry| entry.path == *path).map(|_| position)
    }

    /// Sum of the sizes of all members.
    pub fn content_bytes(&self) -> u64 {
        self.entries.iter().map(|entry| entry.content.size).sum()
    }

    /// Index of the first entry that does not stand before `path`.
    pub fn position(&self, path: &str) -> usize {
        let key = |text: &str| text != MemberPath::MANIFEST;
        self.entries
            .partition_point(|entry| (key(entry.path.as_str()), entry.path.as_str()) < (key(path), path))
    }

    fn is_folder(&self, path: &str) -> bool {
        let prefix = format!("{path}/");
        self.entries.get(self.position(&prefix)).is_some_and(|entry| entry.path.as_str().starts_with(&prefix))
    }
}
