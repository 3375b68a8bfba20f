//! Writes members as Moodle packs them: zip with sizes in front, or one gzip stream around a tar file.
//!
//! Not the service's own writers: what they write is not what they should be measured with.

use std::io::{self, Read, Write};

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder};

use super::course::{Content, Member};

/// Which container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    Zip,
    TarGz,
}

impl Container {
    pub fn name(self) -> &'static str {
        match self {
            Self::Zip => "zip",
            Self::TarGz => "tar.gz",
        }
    }

    pub fn wire(self) -> coursevault::proto::Container {
        match self {
            Self::Zip => coursevault::proto::Container::Zip,
            Self::TarGz => coursevault::proto::Container::TarGz,
        }
    }

    /// Writes members one after the other. `level` is that of the deflate data; what does not compress is stored in zip.
    pub fn write(
        self,
        members: impl Iterator<Item = io::Result<Member>>,
        level: u32,
        out: impl Write,
    ) -> io::Result<()> {
        match self {
            Self::Zip => write_zip(members, level, out),
            Self::TarGz => write_tar_gz(members, level, out),
        }
    }
}

fn write_tar_gz(
    members: impl Iterator<Item = io::Result<Member>>,
    level: u32,
    out: impl Write,
) -> io::Result<()> {
    let mut tar = tar::Builder::new(GzEncoder::new(out, Compression::new(level)));
    for member in members {
        let member = member?;
        let mut header = tar::Header::new_ustar();
        header.set_size(member.size());
        header.set_mode(0o644);
        tar.append_data(&mut header, &member.path, member.reader())?;
    }
    tar.into_inner()?.finish()?.flush()
}

const NARROW: u64 = 0xffff_ffff;
const NAMES_ARE_UTF8: u16 = 1 << 11;

fn write_zip(
    members: impl Iterator<Item = io::Result<Member>>,
    level: u32,
    mut out: impl Write,
) -> io::Result<()> {
    let (mut position, mut count, mut central) = (0_u64, 0_u64, Vec::new());
    for member in members {
        let member = member?;
        let deflated = match &member.content {
            Content::Text(text) if !text.is_empty() => {
                let mut deflate = DeflateEncoder::new(Vec::new(), Compression::new(level));
                deflate.write_all(text)?;
                Some(deflate.finish()?)
            }
            _ => None,
        };
        let packed = deflated.as_ref().map_or(member.size(), |deflated| deflated.len() as u64);
        let fields = shared_fields(&member, deflated.is_some(), packed);
        out.write_all(b"PK\x03\x04")?;
        out.write_all(&fields)?;
        out.write_all(&0_u16.to_le_bytes())?;
        out.write_all(member.path.as_bytes())?;
        match deflated {
            Some(deflated) => out.write_all(&deflated)?,
            None => copy(&mut *member.reader(), &mut out)?,
        }
        let wide = position >= NARROW;
        central.extend(b"PK\x01\x02\x1e\x03");
        central.extend(&fields);
        central.extend(if wide { 12_u16 } else { 0 }.to_le_bytes());
        central.extend([0; 6]);
        central.extend((0o100_644_u32 << 16).to_le_bytes());
        central.extend(low(position).to_le_bytes());
        central.extend(member.path.as_bytes());
        if wide {
            central.extend([1, 0, 8, 0]);
            central.extend(position.to_le_bytes());
        }
        position += 4 + fields.len() as u64 + 2 + member.path.len() as u64 + packed;
        count += 1;
    }
    out.write_all(&central)?;
    out.write_all(&end(count, central.len() as u64, position))?;
    out.flush()
}

fn copy(input: &mut dyn Read, out: &mut impl Write) -> io::Result<()> {
    let mut buffer = vec![0; 256 << 10];
    loop {
        match input.read(&mut buffer)? {
            0 => return Ok(()),
            count => out.write_all(&buffer[..count])?,
        }
    }
}

fn low(value: u64) -> u32 {
    u32::try_from(value.min(NARROW)).unwrap_or(u32::MAX)
}

/// From the version that is needed to the length of the name.
fn shared_fields(member: &Member, is_deflated: bool, packed: u64) -> Vec<u8> {
    let method: u16 = if is_deflated { 8 } else { 0 };
    let mut fields = Vec::new();
    [20, NAMES_ARE_UTF8, method, 0, 0x21].iter().for_each(|field: &u16| fields.extend(field.to_le_bytes()));
    [member.crc32, low(packed), low(member.size())]
        .iter()
        .for_each(|field| fields.extend(field.to_le_bytes()));
    fields.extend(u16::try_from(member.path.len()).unwrap_or(u16::MAX).to_le_bytes());
    fields
}

fn end(count: u64, size: u64, start: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let narrow_count = u16::try_from(count).unwrap_or(u16::MAX);
    if start >= NARROW || narrow_count == u16::MAX {
        bytes.extend(b"PK\x06\x06");
        bytes.extend(44_u64.to_le_bytes());
        bytes.extend([45, 3, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        [count, count, size, start].iter().for_each(|field| bytes.extend(field.to_le_bytes()));
        bytes.extend(b"PK\x06\x07\0\0\0\0");
        bytes.extend((start + size).to_le_bytes());
        bytes.extend(1_u32.to_le_bytes());
    }
    bytes.extend(b"PK\x05\x06\0\0\0\0");
    [narrow_count; 2].iter().for_each(|field| bytes.extend(field.to_le_bytes()));
    [low(size), low(start)].iter().for_each(|field| bytes.extend(field.to_le_bytes()));
    bytes.extend([0; 2]);
    bytes
}
