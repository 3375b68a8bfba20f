//! What callers ask lists for: filters (a subset of AIP-160) and orders (AIP-132), over a closed set of fields of archives.
//!
//! Invariants: pure; never panics, whatever the text; length, depth and number of comparisons are bounded; what was parsed is
//! typed, so that whoever turns it into a query has nothing to check; printing and parsing again gives the same filter.
//! It must not know SQL, and no archive.

mod field;
mod lex;
mod order;
mod parse;
mod print;
#[cfg(test)]
mod tests;

pub use field::{Field, Kind};
pub use order::{MAX_ORDER_BYTES, Order, OrderKey, Sort, parse_order};
pub use parse::{MAX_COMPARISONS, MAX_DEPTH, MAX_FILTER_BYTES, parse};

use crate::clock::Timestamp;

/// A condition on archives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// A comparison of a field with a value.
    Compare(Comparison),
    /// All of these hold: two at least.
    All(Vec<Filter>),
    /// One of these holds: two at least.
    Any(Vec<Filter>),
    /// This does not hold.
    Not(Box<Filter>),
}

/// A comparison of a field with a value. Field, operator and value always fit each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// The field.
    pub field: Field,
    /// How it is compared.
    pub operator: Operator,
    /// With what.
    pub value: Value,
}

/// How a field is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `=`
    Equal,
    /// `!=`
    Unequal,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
    /// `:`, for texts that contain another one, and with `*` for what is there at all
    Has,
}

impl Operator {
    /// All of them, longer ones before those that they begin with.
    pub const ALL: [Self; 7] =
        [Self::AtMost, Self::AtLeast, Self::Unequal, Self::Equal, Self::Less, Self::Greater, Self::Has];

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::Unequal => "!=",
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Greater => ">",
            Self::AtLeast => ">=",
            Self::Has => ":",
        }
    }
}

/// What a field is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A word of a closed set.
    Word(&'static str),
    /// A text.
    Text(String),
    /// A whole number that is not negative.
    Number(i64),
    /// A point in time.
    Time(Timestamp),
    /// Yes or no.
    Flag(bool),
    /// `*`: anything.
    Anything,
}

/// Why a filter or an order cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at position {position}: {message}")]
pub struct FilterError {
    /// The character at which it goes wrong, counted from 1.
    pub position: usize,
    /// The field concerned, as it was written, where there is one; at most 64 characters.
    pub field: Option<String>,
    /// What is wrong. Quotes at most 64 characters of the text.
    pub message: String,
}

/// At most 64 characters of a text, for messages.
fn quoted(text: &str) -> String {
    let mut short: String = text.chars().take(64).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("{short:?}")
}
