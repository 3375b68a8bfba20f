//! Digests as values: BLAKE3 addresses contents in the vault, SHA-256 answers to clients, SHA-1 is Moodle's own naming.

use std::fmt;
use std::str::FromStr;

/// Text that is not the hexadecimal form of a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a digest of {bytes} bytes in lower-case hexadecimal digits")]
pub struct InvalidDigest {
    bytes: usize,
}

fn parse_hex<const N: usize>(text: &str) -> Result<[u8; N], InvalidDigest> {
    let invalid = InvalidDigest { bytes: N };
    if text.len() != N * 2 {
        return Err(invalid);
    }
    let nibble = |byte: u8| match byte {
        b'0'..=b'9' => Ok(byte - b'0'),
        b'a'..=b'f' => Ok(byte - b'a' + 10),
        _ => Err(invalid),
    };
    let mut out = [0; N];
    for (target, pair) in out.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *target = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Ok(out)
}

fn write_hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

macro_rules! digest {
    ($(#[$doc:meta])* $name:ident, $bytes:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $bytes]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidDigest;

            fn from_str(text: &str) -> Result<Self, InvalidDigest> {
                parse_hex(text).map(Self)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

digest!(
    /// BLAKE3 of a content: its address in the vault.
    Digest, 32
);
digest!(
    /// SHA-256 of a byte stream, as clients know it.
    Sha256, 32
);
digest!(
    /// SHA-1 of a content: its name in Moodle's file pool.
    Sha1, 20
);

impl Digest {
    /// The digest of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_round_trip_and_refusals() {
        let digest = Digest::of(b"coursevault");
        assert_eq!(digest.to_string().parse(), Ok(digest));
        let text = digest.to_string();
        for bad in [&text[1..], &text.to_uppercase(), &format!("{text}0"), ""] {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
    }
}
