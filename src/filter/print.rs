//! From a filter to its text. Parsed again it is the same filter.

use std::fmt::{self, Display};

use super::{Comparison, Filter, Value};

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compare(comparison) => comparison.fmt(f),
            Self::All(parts) => list(f, parts, " AND "),
            Self::Any(parts) => list(f, parts, " OR "),
            Self::Not(part) => {
                f.write_str("NOT ")?;
                within(f, part)
            }
        }
    }
}

fn list(f: &mut fmt::Formatter<'_>, parts: &[Filter], word: &str) -> fmt::Result {
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            f.write_str(word)?;
        }
        within(f, part)?;
    }
    Ok(())
}

/// What stands within something else is in parentheses unless it is a comparison.
fn within(f: &mut fmt::Formatter<'_>, part: &Filter) -> fmt::Result {
    match part {
        Filter::Compare(comparison) => comparison.fmt(f),
        other => write!(f, "({other})"),
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ", self.field.as_str(), self.operator.as_str())?;
        match &self.value {
            Value::Word(word) => f.write_str(word),
            Value::Text(text) => {
                f.write_str("\"")?;
                for character in text.chars() {
                    if matches!(character, '"' | '\\') {
                        f.write_str("\\")?;
                    }
                    write!(f, "{character}")?;
                }
                f.write_str("\"")
            }
            Value::Number(number) => number.fmt(f),
            Value::Time(time) => {
                let time = chrono::DateTime::from_timestamp_millis(time.millis()).unwrap_or_default();
                write!(f, "\"{}\"", time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true))
            }
            Value::Flag(flag) => flag.fmt(f),
            Value::Anything => f.write_str("*"),
        }
    }
}
