//! Local archives, read without a server: the digest of every member, and what the archive says of itself.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs::File;
use std::io::{BufReader, Read as _};
use std::path::Path;

use anyhow::{Context as _, bail};

use crate::archive::{MemberEnd, MemberSink, ReadError, ReadSummary, read_archive};
use crate::course::MemberPath;
use crate::digest::Digest;
use crate::grpc::convert;
use crate::limits::Limits;
use crate::{moodle, proto};

/// What a member holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    /// Size in bytes.
    pub size: u64,
    /// BLAKE3 of the content.
    pub digest: Digest,
}

/// Members by path.
pub type Members = BTreeMap<MemberPath, Content>;

/// The document that describes an IMS Common Cartridge.
const CARTRIDGE_MANIFEST: &str = "imsmanifest.xml";

/// Hashes members as they come, and keeps the manifest.
pub struct Digesting {
    limits: Limits,
    current: Option<(MemberPath, blake3::Hasher)>,
    manifest: Vec<u8>,
    members: Members,
}

impl Digesting {
    fn new(limits: Limits) -> Self {
        Self { limits, current: None, manifest: Vec::new(), members: Members::new() }
    }
}

impl MemberSink for Digesting {
    type Error = Infallible;

    fn start(
        &mut self,
        path: &MemberPath,
        _declared_size: Option<u64>,
        _raw: bool,
    ) -> Result<(), Infallible> {
        self.current = Some((path.clone(), blake3::Hasher::new()));
        Ok(())
    }

    fn plain(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        if let Some((path, hasher)) = &mut self.current {
            hasher.update(bytes);
            // One byte more than allowed is enough to have it refused.
            if path.as_str() == MemberPath::MANIFEST
                && self.manifest.len() as u64 <= self.limits.manifest_bytes
            {
                self.manifest.extend_from_slice(bytes);
            }
        }
        Ok(())
    }

    fn raw(&mut self, _bytes: &[u8]) -> Result<(), Infallible> {
        Ok(())
    }

    fn finish(&mut self, end: MemberEnd) -> Result<(), Infallible> {
        if let Some((path, hasher)) = self.current.take() {
            let digest = Digest(*hasher.finalize().as_bytes());
            self.members.insert(path, Content { size: end.size, digest });
        }
        Ok(())
    }
}

fn read(path: &Path) -> anyhow::Result<(ReadSummary, Digesting)> {
    let shown = || path.display().to_string();
    let file = File::open(path).with_context(shown)?;
    let limits = Limits::default();
    let mut sink = Digesting::new(limits.clone());
    match read_archive(BufReader::new(file), &limits, &mut sink) {
        Ok(summary) => Ok((summary, sink)),
        Err(ReadError::Sink(never)) => match never {},
        Err(ReadError::Archive(refused)) => Err(refused).with_context(shown),
        Err(error) => Err(error).with_context(shown),
    }
}

/// Every member of a local archive with its digest.
pub fn members(path: &Path) -> anyhow::Result<Members> {
    read(path).map(|(_, sink)| sink.members)
}

/// What a local archive says of itself, and its container. Of a zip file only the directory and the manifest are
/// read, so that an archive of many gigabytes answers at once; whether its members are sound shows when it is uploaded.
pub fn inspection(path: &Path) -> anyhow::Result<(proto::Container, proto::Inspection)> {
    let limits = Limits::default();
    // Whatever cannot be read quickly is read as the service would read it, which finds the right words.
    let (container, glance) = match glance_at_zip(path, &limits) {
        Some(glance) => (proto::Container::Zip, glance),
        None => {
            let (summary, sink) = read(path)?;
            let has = |name: &str| sink.members.keys().any(|path| path.as_str() == name);
            let glance = Glance {
                is_backup: has(MemberPath::MANIFEST),
                is_cartridge: has(CARTRIDGE_MANIFEST),
                manifest: sink.manifest,
                members: summary.members,
                content_bytes: summary.content_bytes,
            };
            (convert::wire_container(summary.container), glance)
        }
    };
    let told = if glance.is_backup {
        let manifest = moodle::parse(glance.manifest.as_slice(), &limits);
        convert::told(&manifest.with_context(|| format!("{}: {}", path.display(), MemberPath::MANIFEST))?)
    } else if glance.is_cartridge {
        let cartridge = proto::ArchiveType::Cartridge.into();
        proto::Inspection { r#type: cartridge, format: "imscc1".to_owned(), ..Default::default() }
    } else {
        bail!("{}: neither a Moodle backup nor a cartridge", path.display());
    };
    let member_count = convert::count(glance.members);
    let content_bytes = convert::count(glance.content_bytes);
    Ok((container, proto::Inspection { member_count, content_bytes, ..told }))
}

/// What inspection needs of an archive.
struct Glance {
    is_backup: bool,
    is_cartridge: bool,
    manifest: Vec<u8>,
    members: u64,
    content_bytes: u64,
}

/// Reads a zip file's directory and its manifest, nothing else.
fn glance_at_zip(path: &Path, limits: &Limits) -> Option<Glance> {
    let mut archive = zip::ZipArchive::new(BufReader::new(File::open(path).ok()?)).ok()?;
    let (mut members, mut content_bytes) = (0, 0_u64);
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index).ok()?;
        members += u64::from(!entry.is_dir());
        content_bytes = content_bytes.checked_add(entry.size())?;
    }
    let is_backup = archive.index_for_name(MemberPath::MANIFEST).is_some();
    let mut manifest = Vec::new();
    if is_backup {
        let entry = archive.by_name(MemberPath::MANIFEST).ok()?;
        // One byte more than allowed is enough to have it refused.
        entry.take(limits.manifest_bytes + 1).read_to_end(&mut manifest).ok()?;
    }
    let is_cartridge = archive.index_for_name(CARTRIDGE_MANIFEST).is_some();
    Some(Glance { is_backup, is_cartridge, manifest, members, content_bytes })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::sync::Arc;

    use super::super::compare::compare;
    use super::*;
    use crate::archive::{Container, Layout, Piece};
    use crate::course::{ContentRef, Encoding, Entry, Tree};

    /// An archive of small members, as the service would write it.
    fn archive(container: Container, list: &[(&str, &str)]) -> anyhow::Result<tempfile::NamedTempFile> {
        let entries = list.iter().map(|(path, text)| {
            let size = text.len() as u64;
            let content = ContentRef {
                digest: Digest::of(text.as_bytes()),
                size,
                crc32: crc32fast::hash(text.as_bytes()),
                encoding: Encoding::Stored,
                encoded_size: size,
                form: 0,
            };
            Ok(Entry { path: MemberPath::parse(path, &Limits::default())?, content })
        });
        let tree = Arc::new(Tree::new(entries.collect::<anyhow::Result<_>>()?)?);
        let mut file = tempfile::NamedTempFile::new()?;
        for piece in Layout::new(Arc::clone(&tree), container)?.pieces(0) {
            match piece {
                Piece::Literal(bytes) => file.write_all(&bytes)?,
                Piece::Content { entry, range } => {
                    let path = &tree.entries()[entry].path;
                    let text = list.iter().find(|(name, _)| *name == path.as_str()).context("a member")?.1;
                    file.write_all(
                        &text.as_bytes()[usize::try_from(range.start)?..usize::try_from(range.end)?],
                    )?;
                }
            }
        }
        Ok(file)
    }

    #[test]
    fn containers_of_the_same_members_compare_equal() -> anyhow::Result<()> {
        let list = [("moodle_backup.xml", "<a/>"), ("course/course.xml", "<c/>"), ("files/empty", "")];
        let zip = archive(Container::Zip, &list)?;
        let tar = archive(Container::TarGz, &list)?;
        let (before, after) = (members(zip.path())?, members(tar.path())?);
        assert_eq!(before.len(), 3);
        assert!(compare(&before, &after).is_same());
        let other = archive(Container::TarGz, &[list[0], ("course/course.xml", "<d/>"), list[2]])?;
        assert_eq!(compare(&before, &members(other.path())?).altered, ["course/course.xml"]);
        Ok(())
    }

    #[test]
    fn a_cartridge_is_known_by_its_manifest() -> anyhow::Result<()> {
        let file = archive(Container::Zip, &[("imsmanifest.xml", "<manifest/>")])?;
        let (container, told) = inspection(file.path())?;
        assert_eq!((container, told.r#type()), (proto::Container::Zip, proto::ArchiveType::Cartridge));
        assert_eq!((told.member_count, told.content_bytes), (1, 11));
        let tar = archive(Container::TarGz, &[("imsmanifest.xml", "<manifest/>")])?;
        assert_eq!(inspection(tar.path())?, (proto::Container::TarGz, told));
        let other = archive(Container::Zip, &[("readme.txt", "x")])?;
        assert!(inspection(other.path()).is_err());
        Ok(())
    }

    #[test]
    fn what_is_no_archive_is_an_error_that_names_the_file() -> anyhow::Result<()> {
        let file = tempfile::NamedTempFile::new()?;
        let error = members(file.path()).err().context("an error")?;
        let shown = super::super::failure::Shown::of(&error).context("shown")?;
        assert_eq!((shown.code, shown.reason.as_str()), (1, "ARCHIVE_FORMAT_UNSUPPORTED"));
        assert!(format!("{error:#}").contains(&file.path().display().to_string()));
        Ok(())
    }
}
