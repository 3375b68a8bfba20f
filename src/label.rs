//! Closed sets of words that are stored and exchanged as text.
//!
//! An unknown word is an error of its own, never a default.

/// Text that is none of the words of its set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no {set}")]
pub struct UnknownLabel {
    /// The text as given, at most 100 characters of it.
    pub text: String,
    /// Name of the set.
    pub set: &'static str,
}

impl UnknownLabel {
    pub(crate) fn new(text: &str, set: &'static str) -> Self {
        Self { text: text.chars().take(100).collect(), set }
    }
}

/// An enum without fields whose variants have one text each, the same in SQL, JSON and messages.
macro_rules! labels {
    ($(#[$doc:meta])* pub enum $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
        )]
        pub enum $name { $($(#[$variant_doc])* #[serde(rename = $text)] $variant,)* }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its text.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::label::UnknownLabel;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($text => Ok(Self::$variant),)*
                    _ => Err($crate::label::UnknownLabel::new(text, stringify!($name))),
                }
            }
        }
    };
}
pub(crate) use labels;
