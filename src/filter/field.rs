//! The fields that filters know, each with its kind and the operators that it takes.

use super::{Operator, Value, quoted};
use crate::clock::Timestamp;
use crate::ids::{CourseId, CourseName};
use crate::job::Area;

/// Longest text that a field is compared with, in bytes.
const MAX_TEXT_BYTES: usize = 255;

macro_rules! fields {
    ($($(#[$doc:meta])* $variant:ident = $name:literal: $kind:expr,)*) => {
        /// A field of archives.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Field { $($(#[$doc])* $variant,)* }

        impl Field {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its name, as in the proto.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What its values are.
            pub const fn kind(self) -> Kind {
                match self { $(Self::$variant => $kind,)* }
            }
        }
    };
}

fields! {
    /// The area it is in.
    Area = "area": Kind::Word("AREA_", AREAS),
    /// What it holds.
    Type = "type": Kind::Word("ARCHIVE_TYPE_", TYPES),
    /// How it came to be.
    Origin = "origin": Kind::Word("ARCHIVE_ORIGIN_", ORIGINS),
    /// The course it belongs to; the empty text for none.
    Course = "course": Kind::Course,
    /// Who made or uploaded it.
    Owner = "owner": Kind::Name,
    /// Its file name.
    FileName = "file_name": Kind::Text,
    /// What people wrote about it.
    Description = "description": Kind::Text,
    /// Size of its byte stream.
    SizeBytes = "size_bytes": Kind::Number,
    /// When it was stored.
    CreateTime = "create_time": Kind::Time,
    /// When it last changed.
    UpdateTime = "update_time": Kind::Time,
    /// When the backup was made, where the archive tells.
    BackupTime = "backup_time": Kind::Time,
    /// Whether user data is inside.
    IncludesUsers = "includes_users": Kind::Flag,
    /// Whether users are anonymised.
    Anonymized = "anonymized": Kind::Flag,
    /// Whether it is made available to the caller, now.
    SharedWithMe = "shared_with_me": Kind::Flag,
    /// The hold on it.
    Hold = "hold": Kind::Presence,
}

const AREAS: &[&str] =
    &[Area::DropZone.as_str(), Area::Course.as_str(), Area::Private.as_str(), Area::Automated.as_str()];
const TYPES: &[&str] = &["COURSE", "SECTION", "ACTIVITY", "CARTRIDGE"];
const ORIGINS: &[&str] = &["UPLOAD", "BACKUP", "CONVERSION"];

/// What the values of a field are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A word of a closed set, with or without the prefix of its enum.
    Word(&'static str, &'static [&'static str]),
    /// A course: its id or name, or nothing.
    Course,
    /// A text that is compared as a whole.
    Name,
    /// A text that may be searched in.
    Text,
    /// A whole number that is not negative.
    Number,
    /// A time.
    Time,
    /// Yes or no.
    Flag,
    /// There or not.
    Presence,
}

impl Kind {
    /// The operators that it takes.
    pub const fn operators(self) -> &'static [Operator] {
        use Operator::{AtLeast, AtMost, Equal, Greater, Has, Less, Unequal};
        match self {
            Self::Word(..) | Self::Course | Self::Name | Self::Flag => &[Equal, Unequal],
            Self::Text => &[Equal, Unequal, Has],
            Self::Number | Self::Time => &[Equal, Unequal, Less, AtMost, Greater, AtLeast],
            Self::Presence => &[Has],
        }
    }

    /// A written value as one of this kind; else what is wrong with it. `bare`: it was written without quotes.
    pub(super) fn value(self, operator: Operator, text: &str, bare: bool) -> Result<Value, String> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(format!("a value has at most {MAX_TEXT_BYTES} bytes"));
        }
        match self {
            Self::Word(prefix, words) => {
                let word = text.strip_prefix(prefix).unwrap_or(text);
                let found = words.iter().find(|known| **known == word);
                found
                    .map(|word| Value::Word(word))
                    .ok_or_else(|| format!("{} is none of {}", quoted(text), words.join(", ")))
            }
            Self::Course => course(text),
            Self::Text if operator == Operator::Has && text.is_empty() => {
                Err("every text contains the empty one".into())
            }
            Self::Name | Self::Text => Ok(Value::Text(text.to_owned())),
            Self::Number => number(text),
            Self::Time => time(text),
            Self::Flag => match text {
                "true" => Ok(Value::Flag(true)),
                "false" => Ok(Value::Flag(false)),
                _ => Err(format!("{} is neither true nor false", quoted(text))),
            },
            Self::Presence if bare && text == "*" => Ok(Value::Anything),
            Self::Presence => Err("only * can stand here".into()),
        }
    }
}

/// An id, a name or nothing. It is kept as written, for only the list knows its site.
fn course(text: &str) -> Result<Value, String> {
    if text.is_empty() || text.parse::<CourseId>().is_ok() || text.parse::<CourseName>().is_ok() {
        Ok(Value::Text(text.to_owned()))
    } else {
        Err(format!("{} is no id or name of a course", quoted(text)))
    }
}

fn number(text: &str) -> Result<Value, String> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = if digits { text.parse().ok() } else { None };
    number.map(Value::Number).ok_or_else(|| format!("{} is no whole number below 2^63", quoted(text)))
}

/// A time of RFC 3339, of which milliseconds are kept, for that is how archives' times are. An offset must not carry it out of
/// the years that the format can write.
fn time(text: &str) -> Result<Value, String> {
    use chrono::Datelike;
    let parsed = chrono::DateTime::parse_from_rfc3339(text).ok().map(|time| time.to_utc());
    parsed
        .filter(|time| (0..=9999).contains(&time.year()))
        .map(|time| Value::Time(Timestamp::from_millis(time.timestamp_millis())))
        .ok_or_else(|| format!("{} is no time such as 2026-01-31T00:00:00Z", quoted(text)))
}
