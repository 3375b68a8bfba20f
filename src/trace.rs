//! Which call something is done for: W3C Trace Context, version 00 of `traceparent`. Pure; randomness is an argument.

use std::fmt;
use std::str::FromStr;

/// A place in a trace. Prints and parses as a `traceparent` header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace: the same for everything that follows from one call. Never 0.
    pub trace: u128,
    /// The step within it. Never 0.
    pub span: u64,
    /// Whether the caller records it.
    pub sampled: bool,
}

/// Why a text is no `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no traceparent of W3C Trace Context")]
pub struct InvalidTrace;

impl TraceContext {
    /// A trace that begins here. `random` must differ from call to call.
    pub fn begin(random: u128) -> Self {
        Self { trace: random.max(1), span: step(random), sampled: false }
    }

    /// The next step of this trace.
    #[must_use]
    pub fn child(self, random: u128) -> Self {
        Self { span: step(random), ..self }
    }

    /// The trace's id as logs show it: 32 hexadecimal digits.
    pub fn trace_id(self) -> String {
        format!("{:032x}", self.trace)
    }
}

fn step(random: u128) -> u64 {
    // The halves of a UUID differ in how random they are; both count.
    ((random >> 64) as u64 ^ random as u64).max(1)
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, u8::from(self.sampled))
    }
}

impl FromStr for TraceContext {
    type Err = InvalidTrace;

    fn from_str(text: &str) -> Result<Self, InvalidTrace> {
        let lower = |part: &str| part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let mut parts = text.split('-');
        let mut part = |digits: usize| {
            parts.next().filter(|part| part.len() == digits && lower(part)).ok_or(InvalidTrace)
        };
        let (version, trace, span, flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
        // Later versions may have more parts; `ff` is none.
        if version == "ff" || (version == "00" && parts.next().is_some()) {
            return Err(InvalidTrace);
        }
        let trace = u128::from_str_radix(trace, 16).map_err(|_| InvalidTrace)?;
        let span = u64::from_str_radix(span, 16).map_err(|_| InvalidTrace)?;
        let flags = u8::from_str_radix(flags, 16).map_err(|_| InvalidTrace)?;
        if trace == 0 || span == 0 {
            return Err(InvalidTrace);
        }
        Ok(Self { trace, span, sampled: flags & 1 == 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_the_standard_forbids_is_refused() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(good.parse::<TraceContext>().map(|context| context.to_string()).as_deref(), Ok(good));
        for bad in [
            "",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        ] {
            assert_eq!(bad.parse::<TraceContext>(), Err(InvalidTrace), "{bad}");
        }
        assert!(
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more".parse::<TraceContext>().is_ok()
        );
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read(random in any::<u128>(), other in any::<u128>(), sampled in any::<bool>()) {
            let context = TraceContext { sampled, ..TraceContext::begin(random) };
            prop_assert_eq!(context.to_string().parse(), Ok(context));
            let child = context.child(other);
            prop_assert_eq!((child.trace, child.sampled), (context.trace, context.sampled));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[0-9a-f-]{0,60}") {
            if let Ok(context) = text.parse::<TraceContext>() {
                prop_assert!(context.trace != 0 && context.span != 0);
            }
        }
    }
}
