//! Tests of reading and writing containers, with builders that can make every kind of broken archive.

mod fixtures;
mod tar;
mod write;
mod zip;
mod zip_ambiguous;

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;

use super::*;
use crate::reason::Reason;

/// A member as it was delivered.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Delivered {
    pub(super) path: String,
    pub(super) plain: Vec<u8>,
    pub(super) raw: Option<Vec<u8>>,
    pub(super) end: Option<MemberEnd>,
}

/// Keeps all members, and checks that the calls come in their order and fit each other.
#[derive(Default)]
pub(super) struct Collector {
    pub(super) members: Vec<Delivered>,
    declared: Option<u64>,
}

impl Collector {
    fn current(&mut self) -> &mut Delivered {
        self.members.last_mut().filter(|member| member.end.is_none()).expect("a member has started")
    }
}

impl MemberSink for Collector {
    type Error = std::convert::Infallible;

    fn start(&mut self, path: &MemberPath, declared: Option<u64>, raw: bool) -> Result<(), Self::Error> {
        assert!(self.members.last().is_none_or(|member| member.end.is_some()), "the one before has ended");
        self.declared = declared;
        let raw = raw.then(Vec::new);
        self.members.push(Delivered { path: path.to_string(), plain: Vec::new(), raw, end: None });
        Ok(())
    }

    fn plain(&mut self, bytes: &[u8]) -> Result<(), Self::Error> {
        self.current().plain.extend(bytes);
        Ok(())
    }

    fn raw(&mut self, bytes: &[u8]) -> Result<(), Self::Error> {
        self.current().raw.as_mut().expect("raw bytes were announced").extend(bytes);
        Ok(())
    }

    fn finish(&mut self, end: MemberEnd) -> Result<(), Self::Error> {
        let declared = self.declared;
        let member = self.current();
        assert_eq!(end.size, member.plain.len() as u64);
        assert_eq!(end.crc32, crc32fast::hash(&member.plain));
        assert_eq!(end.raw_size, member.raw.as_ref().map(|raw| raw.len() as u64));
        assert!(declared.is_none_or(|declared| declared == end.size));
        if let Some(raw) = &member.raw {
            assert_eq!(inflated(raw), member.plain);
        }
        member.end = Some(end);
        Ok(())
    }
}

pub(super) fn deflated(plain: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::new(6));
    encoder.write_all(plain).expect("memory takes everything");
    encoder.finish().expect("memory takes everything")
}

fn inflated(raw: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut decoder = DeflateDecoder::new(raw);
    decoder.read_to_end(&mut plain).expect("a valid deflate stream");
    assert_eq!(decoder.total_in(), raw.len() as u64, "the stream ends with its last byte");
    plain
}

/// Gives one to three bytes at a time, so that nothing can depend on how the bytes come.
struct Trickle<'a>(&'a [u8], usize);

impl Read for Trickle<'_> {
    fn read(&mut self, target: &mut [u8]) -> std::io::Result<usize> {
        self.1 = self.1 % 3 + 1;
        let count = self.1.min(target.len());
        (&mut self.0).take(count as u64).read(target)
    }
}

pub(super) fn read_with(bytes: &[u8], limits: &Limits) -> Result<Vec<Delivered>, ArchiveError> {
    let mut sink = Collector::default();
    match read_archive(bytes, limits, &mut sink) {
        Ok(summary) => {
            assert_eq!(summary.members, sink.members.len() as u64);
            let bytes: usize = sink.members.iter().map(|member| member.plain.len()).sum();
            assert_eq!(summary.content_bytes, bytes as u64);
            Ok(sink.members)
        }
        Err(ReadError::Archive(error)) => Err(error),
        Err(error) => panic!("{error:?}"),
    }
}

/// Reads in large and in tiny pieces, which must not make a difference.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<Delivered>, ArchiveError> {
    let whole = read_with(bytes, &Limits::default());
    let mut sink = Collector::default();
    let trickled = match read_archive(Trickle(bytes, 0), &Limits::default(), &mut sink) {
        Ok(_) => Ok(sink.members),
        Err(ReadError::Archive(error)) => Err(error),
        Err(error) => panic!("{error:?}"),
    };
    assert_eq!(trickled.as_ref().map_err(ArchiveError::reason), whole.as_ref().map_err(ArchiveError::reason));
    whole
}

pub(super) fn contents(members: &[Delivered]) -> Vec<(&str, &[u8])> {
    members.iter().map(|member| (member.path.as_str(), member.plain.as_slice())).collect()
}

#[track_caller]
pub(super) fn assert_refused(bytes: &[u8], reason: Reason) -> ArchiveError {
    match read(bytes) {
        Ok(members) => panic!("read {members:?}, expected {reason:?}"),
        Err(error) => {
            assert_eq!(error.reason(), reason, "{error}");
            error
        }
    }
}

/// Changes each byte in turn: what is read then is the same or nothing, and the reader never panics.
pub(super) fn assert_no_flip_is_believed(bytes: &[u8]) {
    let expected = read(bytes).expect("a valid archive");
    for index in 0..bytes.len() {
        for mask in [1, 0x80, 0xff] {
            let mut changed = bytes.to_vec();
            changed[index] ^= mask;
            if let Ok(members) = read_with(&changed, &Limits::default()) {
                assert_eq!(contents(&members), contents(&expected), "byte {index} ^ {mask:#x}");
            }
        }
    }
}

/// Cuts the archive everywhere.
pub(super) fn assert_no_cut_is_believed(bytes: &[u8]) {
    for size in Container::SNIFF_BYTES..bytes.len() {
        assert_refused(&bytes[..size], Reason::ArchiveTruncated);
    }
}

#[test]
fn other_formats_are_refused() {
    for bytes in [&b""[..], b"P", b"PK", b"hello world", b"BZh91AY&SY", b"PK\x07\x08PK\x03\x04", &[0; 1024]] {
        assert_refused(bytes, Reason::ArchiveFormatUnsupported);
    }
}

/// A sink that is full, and an input that fails, are not the archive's fault.
#[test]
fn failures_of_input_and_sink_are_told_apart() {
    struct Full;
    impl MemberSink for Full {
        type Error = &'static str;
        fn start(&mut self, _: &MemberPath, _: Option<u64>, _: bool) -> Result<(), Self::Error> {
            Ok(())
        }
        fn plain(&mut self, _: &[u8]) -> Result<(), Self::Error> {
            Err("full")
        }
        fn raw(&mut self, _: &[u8]) -> Result<(), Self::Error> {
            Ok(())
        }
        fn finish(&mut self, _: MemberEnd) -> Result<(), Self::Error> {
            Ok(())
        }
    }
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::ConnectionReset.into())
        }
    }
    let zip = zip::Zip::of(&[zip::Member::deflate("a", b"content")]).bytes;
    let tgz = tar::gzip(&tar::archive(&[tar::entry("a", b'0', b"content")]));
    for bytes in [zip, tgz] {
        let result = read_archive(bytes.as_slice(), &Limits::default(), &mut Full);
        assert!(matches!(result, Err(ReadError::Sink("full"))), "{result:?}");
        let half = bytes[..bytes.len() / 2].chain(Broken);
        let result = read_archive(half, &Limits::default(), &mut Collector::default());
        let Err(ReadError::Input(error)) = result else { panic!("{result:?}") };
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }
}
