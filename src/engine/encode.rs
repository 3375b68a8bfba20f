//! How contents are encoded for keeping: deflated where that pays, else as they are.

use bytes::Bytes;
use flate2::{Compress, Compression, FlushCompress, Status};

use crate::course::Encoding;

/// Level for contents that arrive uncompressed: close to the size of level 6 on XML at three times its speed.
const LEVEL: u32 = 3;

/// A content is deflated only if that saves at least one part in this many.
const SAVING: usize = 32;

/// Deflate data of a sample this large tells whether a content compresses: to find that out of whole contents that do not
/// would cost more than all the hashing.
pub const SAMPLE: usize = 8 << 10;

/// Whether deflate data of `encoded` bytes is worth keeping for a content of `plain` bytes.
pub fn pays(plain: u64, encoded: u64) -> bool {
    encoded + plain / SAVING as u64 <= plain && encoded < plain
}

/// A reusable deflater: setting one up costs more than deflating a small document.
pub struct Deflater {
    compress: Compress,
    out: Vec<u8>,
}

impl Default for Deflater {
    fn default() -> Self {
        Self { compress: Compress::new(Compression::new(LEVEL), false), out: Vec::new() }
    }
}

impl Deflater {
    /// The deflate data of a whole content, if it pays.
    pub fn whole(&mut self, plain: &[u8]) -> Option<Bytes> {
        if plain.len() > 2 * SAMPLE && self.suits(plain) == Encoding::Stored {
            return None;
        }
        self.compress.reset();
        self.out.clear();
        self.run(plain, FlushCompress::Finish);
        pays(plain.len() as u64, self.out.len() as u64).then(|| Bytes::copy_from_slice(&self.out))
    }

    /// Which encoding suits a content that begins so.
    pub fn suits(&mut self, sample: &[u8]) -> Encoding {
        match self.whole(&sample[..sample.len().min(SAMPLE)]) {
            Some(_) => Encoding::Deflate,
            None => Encoding::Stored,
        }
    }

    /// Begins a large content.
    pub fn begin(&mut self) {
        self.compress.reset();
        self.out.clear();
    }

    /// Deflate data that a piece of a large content gives; may be empty.
    pub fn piece(&mut self, plain: &[u8]) -> Bytes {
        self.out.clear();
        self.run(plain, FlushCompress::None);
        Bytes::copy_from_slice(&self.out)
    }

    /// The rest of the deflate data of a large content.
    pub fn end(&mut self) -> Bytes {
        self.out.clear();
        self.run(&[], FlushCompress::Finish);
        Bytes::copy_from_slice(&self.out)
    }

    fn run(&mut self, mut plain: &[u8], flush: FlushCompress) {
        loop {
            self.out.reserve((plain.len() / 2).max(4 << 10));
            let (before, room) = (self.compress.total_in(), self.out.capacity());
            // Deflating fails only on misuse of its parameters, which are constants here; a stall would show as one.
            let status = self.compress.compress_vec(plain, &mut self.out, flush);
            let taken = usize::try_from(self.compress.total_in() - before).unwrap_or(plain.len());
            plain = &plain[taken..];
            let done = match flush {
                FlushCompress::Finish => matches!(status, Ok(Status::StreamEnd) | Err(_)),
                _ => status.is_err() || (plain.is_empty() && self.out.len() < room),
            };
            if done {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn inflate(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let read = flate2::read::DeflateDecoder::new(bytes).read_to_end(&mut out);
        assert!(read.is_ok());
        out
    }

    fn noise(len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        blake3::Hasher::new().finalize_xof().fill(&mut bytes);
        bytes
    }

    #[test]
    fn what_does_not_compress_stays_as_it_is() {
        let mut deflater = Deflater::default();
        assert_eq!(deflater.whole(&noise(100_000)), None);
        assert_eq!(deflater.whole(b""), None);
        assert_eq!(deflater.suits(&noise(100_000)), Encoding::Stored);
        assert_eq!(deflater.suits(&[7; 100_000]), Encoding::Deflate);
    }

    #[test]
    fn whole_and_pieces_inflate_to_the_content() {
        let mut deflater = Deflater::default();
        let text: Vec<u8> = (0..300_000_u32).flat_map(|n| n.to_string().into_bytes()).collect();
        for _ in 0..2 {
            assert_eq!(deflater.whole(&text).map(|encoded| inflate(&encoded)), Some(text.clone()));
            deflater.begin();
            let mut encoded: Vec<u8> = text.chunks(70_001).flat_map(|piece| deflater.piece(piece)).collect();
            encoded.extend(deflater.end());
            assert_eq!(inflate(&encoded), text);
        }
    }
}
