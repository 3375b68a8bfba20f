//! First half of reading an archive in: from the archive reader to a bounded queue of members.
//!
//! Runs on the reader's thread, so that inflating and hashing share two cores. Small members travel whole, large ones
//! in pieces.

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::archive::{MemberEnd, MemberSink};
use crate::course::MemberPath;

/// Members up to this size travel whole and are kept in memory until they are stored.
pub const SMALL: usize = 1 << 20;

/// Events on the way at once. Pieces are at most 256 KiB, whole members at most 1 MiB.
pub const IN_FLIGHT: usize = 8;

/// What the reader tells the stager.
pub enum Event {
    /// A small member.
    Whole {
        /// Its path.
        path: MemberPath,
        /// Its content.
        plain: Vec<u8>,
        /// Its raw deflate data, when the archive had it so.
        raw: Option<Vec<u8>>,
        /// Its size and checksum, counted.
        end: MemberEnd,
    },
    /// A large member begins.
    Begin {
        /// Its path.
        path: MemberPath,
        /// Its size as the archive claims it.
        declared: Option<u64>,
        /// Whether [`Event::Raw`] will come, too.
        raw: bool,
    },
    /// A piece of the large member's content.
    Plain(Bytes),
    /// A piece of the large member's raw deflate data.
    Raw(Bytes),
    /// The large member ends.
    End(MemberEnd),
}

/// The stager has stopped; its own result tells why.
#[derive(Debug)]
pub struct Stopped;

/// Collects members and sends them on.
pub struct Intake {
    sender: mpsc::Sender<Event>,
    member: Option<Member>,
}

struct Member {
    path: MemberPath,
    declared: Option<u64>,
    plain: Vec<u8>,
    raw: Option<Vec<u8>>,
    begun: bool,
}

impl Intake {
    /// An intake that sends to `sender`.
    pub fn new(sender: mpsc::Sender<Event>) -> Self {
        Self { sender, member: None }
    }

    fn send(&self, event: Event) -> Result<(), Stopped> {
        self.sender.blocking_send(event).map_err(|_| Stopped)
    }

    /// Announces the current member as a large one and sends what was collected of it.
    fn begin(&mut self) -> Result<(), Stopped> {
        let Some(member) = self.member.as_mut().filter(|member| !member.begun) else { return Ok(()) };
        member.begun = true;
        let plain = std::mem::take(&mut member.plain);
        let raw = member.raw.as_mut().map(std::mem::take);
        let (path, declared) = (member.path.clone(), member.declared);
        self.send(Event::Begin { path, declared, raw: raw.is_some() })?;
        if let Some(raw) = raw.filter(|raw| !raw.is_empty()) {
            self.send(Event::Raw(raw.into()))?;
        }
        if plain.is_empty() { Ok(()) } else { self.send(Event::Plain(plain.into())) }
    }
}

impl MemberSink for Intake {
    type Error = Stopped;

    fn start(&mut self, path: &MemberPath, declared: Option<u64>, raw: bool) -> Result<(), Stopped> {
        let expected = declared.and_then(|size| usize::try_from(size).ok()).filter(|size| *size <= SMALL);
        self.member = Some(Member {
            path: path.clone(),
            declared,
            plain: Vec::with_capacity(expected.unwrap_or(0)),
            raw: raw.then(Vec::new),
            begun: false,
        });
        if declared.is_some_and(|size| size > SMALL as u64) { self.begin() } else { Ok(()) }
    }

    fn plain(&mut self, bytes: &[u8]) -> Result<(), Stopped> {
        let Some(member) = self.member.as_mut() else { return Ok(()) };
        if !member.begun && member.plain.len() + bytes.len() > SMALL {
            self.begin()?;
        }
        match self.member.as_mut().filter(|member| !member.begun) {
            Some(member) => member.plain.extend_from_slice(bytes),
            None => self.send(Event::Plain(Bytes::copy_from_slice(bytes)))?,
        }
        Ok(())
    }

    fn raw(&mut self, bytes: &[u8]) -> Result<(), Stopped> {
        let Some(member) = self.member.as_mut() else { return Ok(()) };
        // Deflate data may be far larger than what it unpacks to; memory is bounded for both.
        if !member.begun && member.raw.as_ref().is_some_and(|raw| raw.len() + bytes.len() > SMALL) {
            self.begin()?;
        }
        let Some(member) = self.member.as_mut() else { return Ok(()) };
        match member.raw.as_mut() {
            Some(raw) if !member.begun => raw.extend_from_slice(bytes),
            _ => self.send(Event::Raw(Bytes::copy_from_slice(bytes)))?,
        }
        Ok(())
    }

    fn finish(&mut self, end: MemberEnd) -> Result<(), Stopped> {
        match self.member.take() {
            Some(Member { path, plain, raw, begun: false, .. }) => {
                self.send(Event::Whole { path, plain, raw, end })
            }
            Some(_) => self.send(Event::End(end)),
            None => Ok(()),
        }
    }
}
