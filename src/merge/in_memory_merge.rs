//! Merging in memory, for tests of the domain.

use std::collections::BTreeMap;
use std::io;

use super::*;
use crate::course::in_memory::InMemory;

struct Tree<'t> {
    target: &'t InMemory,
    incoming: &'t InMemory,
    members: BTreeMap<MemberPath, Vec<u8>>,
    last: Option<MemberPath>,
}

impl Sink for Tree<'_> {
    fn keep_target(&mut self, member: &Member) -> io::Result<()> {
        self.members.insert(member.path.clone(), self.target.members[&member.path].clone());
        Ok(())
    }
    fn keep_incoming(&mut self, member: &Member) -> io::Result<()> {
        self.members.insert(member.path.clone(), self.incoming.members[&member.path].clone());
        Ok(())
    }
    fn begin(&mut self, path: &MemberPath) -> io::Result<()> {
        self.members.insert(path.clone(), Vec::new());
        self.last = Some(path.clone());
        Ok(())
    }
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let path = self.last.clone().expect("begun");
        self.members.get_mut(&path).expect("begun").extend_from_slice(bytes);
        Ok(())
    }
    fn end(&mut self) -> io::Result<()> {
        self.last = None;
        Ok(())
    }
}

/// The union of two archives.
pub(crate) fn merged(
    target: &InMemory,
    incoming: &InMemory,
    compatibility: Compatibility,
) -> Result<(InMemory, Report), MergeError> {
    let (format, limits) = (Format::embedded(), Limits::default());
    let request = Request {
        format: &format,
        limits: &limits,
        compatibility,
        overwrite_conf: false,
        placement: BTreeMap::new(),
    };
    let mut tree = Tree { target, incoming, members: BTreeMap::new(), last: None };
    let report = merge(&request, target, incoming, &mut tree)?;
    Ok((InMemory { members: tree.members, digests: true, ..InMemory::default() }, report))
}
