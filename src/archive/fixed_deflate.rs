//! A tiny deflate encoder for tar headers (RFC 1951): one block of fixed Huffman codes, literals and runs.
//!
//! Its only virtue is that it never changes: an archive's bytes must be the same whatever compression library the
//! service is built with, and tar headers are the only thing that is compressed while an archive is written.

/// Writes bits, least significant first.
struct Bits {
    bytes: Vec<u8>,
    pending: u32,
    count: u32,
}

impl Bits {
    fn put(&mut self, value: u32, count: u32) {
        self.pending |= value << self.count;
        self.count += count;
        while self.count >= 8 {
            // The low byte is complete.
            self.bytes.push(self.pending as u8);
            self.pending >>= 8;
            self.count -= 8;
        }
    }

    /// Huffman codes stand with their most significant bit first.
    fn put_code(&mut self, code: u32, count: u32) {
        self.put(code.reverse_bits() >> (32 - count), count);
    }

    /// A literal, the end of the block (256), or a length code, by the fixed code (RFC 1951, 3.2.6).
    fn put_symbol(&mut self, symbol: u32) {
        match symbol {
            0..=143 => self.put_code(0x30 + symbol, 8),
            144..=255 => self.put_code(0x190 + symbol - 144, 9),
            256..=279 => self.put_code(symbol - 256, 7),
            _ => self.put_code(0xc0 + symbol - 280, 8),
        }
    }

    /// Repeats the last byte 3 to 258 times.
    fn put_run(&mut self, length: u32) {
        debug_assert!((3..=258).contains(&length), "a run has 3 to 258 bytes");
        match length {
            258 => self.put_symbol(285),
            3..=10 => self.put_symbol(254 + length),
            _ => {
                // Groups of four codes share a number of extra bits, which doubles the lengths that a code covers.
                let extra = (length - 3).ilog2() - 2;
                let base = (length - 3) >> extra;
                self.put_symbol(257 + 4 * extra + base);
                self.put((length - 3) & ((1 << extra) - 1), extra);
            }
        }
        // Distance 1.
        self.put_code(0, 5);
    }
}

/// One complete deflate stream of `plain`.
pub(super) fn compress(plain: &[u8]) -> Vec<u8> {
    let mut bits = Bits { bytes: Vec::with_capacity(plain.len() / 4 + 16), pending: 0, count: 0 };
    // Last block, fixed codes.
    bits.put(0b011, 3);
    let mut rest = plain;
    while let Some((&byte, after)) = rest.split_first() {
        bits.put_symbol(u32::from(byte));
        let mut run = after.iter().take_while(|next| **next == byte).count();
        rest = after;
        while run >= 3 {
            let length = run.min(258);
            bits.put_run(length as u32);
            run -= length;
            rest = &rest[length..];
        }
    }
    bits.put_symbol(256);
    bits.put(0, 7);
    bits.bytes
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::DeflateDecoder;
    use proptest::prelude::*;

    use super::compress;

    fn inflated(packed: &[u8]) -> Vec<u8> {
        let mut plain = Vec::new();
        let mut decoder = DeflateDecoder::new(packed);
        decoder.read_to_end(&mut plain).expect("a valid stream");
        assert_eq!(decoder.total_in(), packed.len() as u64, "nothing stands behind the stream");
        plain
    }

    #[test]
    fn every_literal_and_every_run_length_come_back() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(inflated(&compress(&all)), all);
        for length in 0..1200 {
            let plain = [&b"x"[..], &vec![0; length], b"y"].concat();
            assert_eq!(inflated(&compress(&plain)), plain, "{length} zeros");
        }
    }

    proptest! {
        #[test]
        fn anything_comes_back(plain: Vec<u8>) {
            prop_assert_eq!(inflated(&compress(&plain)), plain);
        }
    }
}
