//! The bridge from asynchronous chunks to the synchronous archive reader.

use std::io::{self, Read};

use bytes::Bytes;
use sha2::{Digest as _, Sha256 as Hasher};
use tokio::sync::mpsc;

use super::error::Error;
use crate::digest::Sha256;
use crate::reason::Reason;

/// What goes over the bridge. The end is said, not implied: a sender that vanishes is a broken upload.
enum Piece {
    Bytes(Bytes),
    End,
}

/// Pieces on the way at once: with chunks of 256 KiB this is 2 MiB for each upload.
const IN_FLIGHT: usize = 8;

/// A bridge: chunks go into the [`Feed`], a blocking thread reads them from the [`FeedReader`].
pub fn feed(limit: u64) -> (Feed, FeedReader) {
    let (sender, receiver) = mpsc::channel(IN_FLIGHT);
    let feed = Feed { sender, hasher: Hasher::new(), received: 0, limit };
    (feed, FeedReader { receiver, current: Bytes::new(), ended: false })
}

/// Takes the chunks of one upload in order, and counts and digests them.
pub struct Feed {
    sender: mpsc::Sender<Piece>,
    hasher: Hasher,
    received: u64,
    limit: u64,
}

impl Feed {
    /// Bytes taken so far.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Takes the next chunk. `false`: the reader has stopped, so its own result tells why.
    pub async fn push(&mut self, bytes: Bytes) -> Result<bool, Error> {
        self.received += bytes.len() as u64;
        if self.received > self.limit {
            return Err(Error::new(
                Reason::LimitUploadBytes,
                format!("the upload is over the limit of {} bytes", self.limit),
            )
            .with("limit", &self.limit));
        }
        self.hasher.update(&bytes);
        Ok(bytes.is_empty() || self.sender.send(Piece::Bytes(bytes)).await.is_ok())
    }

    /// Compares with what was announced; only then the reader sees the end of the archive.
    pub async fn finish(self, size: u64, sha256: &Sha256) -> Result<(), Error> {
        if self.received != size {
            return Err(Error::new(
                Reason::SizeMismatch,
                format!("{} bytes arrived, {size} were announced", self.received),
            )
            .with("received", &self.received)
            .with("announced", &size));
        }
        let actual = Sha256(self.hasher.finalize().into());
        if actual != *sha256 {
            return Err(Error::new(
                Reason::DigestMismatch,
                format!("the bytes that arrived have the SHA-256 {actual}, not {sha256}"),
            )
            .with("received", &actual)
            .with("announced", sha256));
        }
        // A reader that stopped early has a result of its own, which is looked at next.
        let _ = self.sender.send(Piece::End).await;
        Ok(())
    }
}

/// The reading end, for a blocking thread.
pub struct FeedReader {
    receiver: mpsc::Receiver<Piece>,
    current: Bytes,
    ended: bool,
}

impl Read for FeedReader {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() && !self.ended {
            match self.receiver.blocking_recv() {
                Some(Piece::Bytes(bytes)) => self.current = bytes,
                Some(Piece::End) => self.ended = true,
                None => return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the upload broke off")),
            }
        }
        let count = self.current.len().min(target.len());
        target[..count].copy_from_slice(&self.current.split_to(count));
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sha256(bytes: &[u8]) -> Sha256 {
        Sha256(Hasher::digest(bytes).into())
    }

    #[tokio::test]
    async fn the_end_is_seen_only_after_size_and_digest_agree() -> Result<(), Error> {
        let (mut feed, mut reader) = feed(5);
        let reading = tokio::task::spawn_blocking(move || {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).map(|_| all)
        });
        assert!(feed.push(Bytes::from_static(b"ab")).await?);
        assert!(feed.push(Bytes::from_static(b"cde")).await?);
        feed.finish(5, &sha256(b"abcde")).await?;
        assert_eq!(reading.await.ok().and_then(Result::ok).as_deref(), Some(&b"abcde"[..]));
        Ok(())
    }

    #[tokio::test]
    async fn a_mismatch_or_a_vanished_sender_breaks_the_reading_off() -> Result<(), Error> {
        for (size, content) in [(2, &b"xy"[..]), (3, b"ab")] {
            let (mut feed, mut reader) = feed(5);
            let reading = tokio::task::spawn_blocking(move || reader.read_to_end(&mut Vec::new()));
            feed.push(Bytes::from_static(b"ab")).await?;
            assert!(feed.finish(size, &sha256(content)).await.is_err());
            assert!(reading.await.is_ok_and(|read| read.is_err()));
        }
        Ok(())
    }

    #[tokio::test]
    async fn one_byte_past_the_limit_is_refused() -> Result<(), Error> {
        let (mut feed, _reader) = feed(2);
        assert!(feed.push(Bytes::from_static(b"ab")).await?);
        let refused = feed.push(Bytes::from_static(b"c")).await;
        assert_eq!(refused.map_err(|e| e.reason).err(), Some(Reason::LimitUploadBytes));
        Ok(())
    }
}
