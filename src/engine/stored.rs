//! Stored trees for the domain, which reads synchronously: on a thread that may block.

use std::cell::RefCell;
use std::io::{self, Read};
use std::sync::Arc;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::error::Error;
use super::read::{ContentReader, Cursor};
use super::{Engine, Place};
use crate::course::{Entry, Member, MemberPath, Members, Tree, TreeRef};
use crate::reason::Reason;

/// Members looked up at once: those that follow in the tree are often wanted next.
const AHEAD: usize = 400;

/// A stored tree.
pub(super) struct Stored {
    /// The members.
    pub tree: Arc<Tree>,
    reader: RefCell<ContentReader>,
    runtime: Handle,
    abandoned: CancellationToken,
}

impl Engine {
    /// A stored tree as the domain reads it, until nobody waits for it any more.
    pub(super) async fn stored(
        &self,
        place: &Place,
        tree: &TreeRef,
        abandoned: &CancellationToken,
    ) -> Result<Stored, Error> {
        self.stored_entries(place, self.load_tree(place, tree).await?, abandoned)
    }

    /// Some members of a stored tree as the domain reads them.
    pub(super) fn stored_entries(
        &self,
        place: &Place,
        tree: Tree,
        abandoned: &CancellationToken,
    ) -> Result<Stored, Error> {
        Ok(Stored {
            tree: Arc::new(tree),
            reader: RefCell::new(self.reader(place)?),
            runtime: Handle::current(),
            abandoned: abandoned.clone(),
        })
    }
}

impl Members for Stored {
    fn members(&self) -> io::Result<Vec<Member>> {
        let member = |entry: &Entry| Member {
            path: entry.path.clone(),
            size: entry.content.size,
            digest: Some(entry.content.digest),
        };
        Ok(self.tree.entries().iter().map(member).collect())
    }

    fn open(&self, path: &MemberPath) -> io::Result<Box<dyn Read + '_>> {
        let entries = self.tree.entries();
        let position = self.tree.position_of(path).ok_or(io::ErrorKind::NotFound)?;
        let content = &entries[position].content;
        let mut reader = self.reader.borrow_mut();
        if !reader.is_located(content) {
            let following = &entries[position..entries.len().min(position + AHEAD)];
            let locating = reader.locate(following.iter().map(|entry| &entry.content));
            self.runtime.block_on(locating).map_err(io::Error::other)?;
        }
        Ok(Box::new(Reading { stored: self, cursor: Cursor::new(content), bytes: Bytes::new() }))
    }
}

/// A member's content, decoded and checked as it is read.
struct Reading<'s> {
    stored: &'s Stored,
    cursor: Cursor,
    bytes: Bytes,
}

impl Read for Reading<'_> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        if self.bytes.is_empty() {
            if self.stored.abandoned.is_cancelled() {
                return Err(io::Error::other(Error::new(
                    Reason::JobCancelled,
                    "nobody waits for this any more",
                )));
            }
            let mut reader = self.stored.reader.borrow_mut();
            let next =
                self.stored.runtime.block_on(self.cursor.next(&mut reader)).map_err(io::Error::other)?;
            self.bytes = next.unwrap_or_default();
        }
        let count = self.bytes.len().min(target.len());
        target[..count].copy_from_slice(&self.bytes.split_to(count));
        Ok(count)
    }
}
