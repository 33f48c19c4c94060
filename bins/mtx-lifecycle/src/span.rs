//! Durations as MediaMTX writes them: `10s`, `5m0s`, `1d12h`, and nothing at all for zero.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

const DAY: u64 = 24 * 60 * 60;
/// MediaMTX counts nanoseconds in 63 bits.
const LONGEST: Duration = Duration::from_secs(100 * 365 * DAY);

/// A length of time in a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(Duration);

/// A text that is no length of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a length of time such as 10s, 5m, 1h30m or 7d")]
pub struct SpanError(String);

impl Span {
    /// So many seconds.
    #[must_use]
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// As the standard library has it.
    #[must_use]
    pub const fn duration(self) -> Duration {
        self.0
    }

    /// Whether it is none at all.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0.is_zero()
    }
}

impl FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut total = Duration::ZERO;
        let mut rest = text;
        while !rest.is_empty() {
            let part;
            (part, rest) = part_of(rest).ok_or_else(|| wrong(text))?;
            total = total.checked_add(part).ok_or_else(|| wrong(text))?;
        }
        if total > LONGEST {
            return Err(wrong(text));
        }
        Ok(Self(total))
    }
}

/// The first number with its unit, and what follows.
fn part_of(text: &str) -> Option<(Duration, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, rest) = text.split_at(digits);
    let letters = rest
        .find(|c: char| c.is_ascii_digit() || c == '.')
        .unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(letters);
    let nanos: u128 = match unit {
        "d" => 86_400_000_000_000,
        "h" => 3_600_000_000_000,
        "m" => 60_000_000_000,
        "s" => 1_000_000_000,
        "ms" => 1_000_000,
        "us" | "µs" => 1_000,
        "ns" => 1,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let whole = u128::from(whole.parse::<u64>().ok()?) * nanos;
    let digits = u32::try_from(fraction.len())
        .ok()
        .filter(|digits| *digits <= 18)?;
    let fraction = u128::from(fraction.parse::<u64>().ok()?) * nanos / 10_u128.pow(digits);
    let part = u64::try_from(whole + fraction).ok()?;
    Some((Duration::from_nanos(part), rest))
}

fn wrong(text: &str) -> SpanError {
    SpanError(text.chars().take(40).collect())
}

impl TryFrom<String> for Span {
    type Error = SpanError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.as_str() {
            // MediaMTX's way to write it, but nobody else's.
            "" => Err(wrong("")),
            text => text.parse(),
        }
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        match (seconds, self.0.subsec_nanos()) {
            (_, nanos @ 1..) => write!(f, "{}", FractionalSeconds(seconds, nanos)),
            (1.., 0) if seconds.is_multiple_of(DAY) => write!(f, "{}d", seconds / DAY),
            (1.., 0) if seconds.is_multiple_of(3600) => write!(f, "{}h", seconds / 3600),
            (1.., 0) if seconds.is_multiple_of(60) => write!(f, "{}m", seconds / 60),
            _ => write!(f, "{seconds}s"),
        }
    }
}

struct FractionalSeconds(u64, u32);

impl fmt::Display for FractionalSeconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(seconds, nanos) = self;
        let text = format!("{seconds}.{nanos:09}");
        write!(f, "{}s", text.trim_end_matches('0'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_mediamtx_writes_is_read() {
        for (text, milliseconds) in [
            ("", 0),
            ("0s", 0),
            ("10s", 10_000),
            ("5m0s", 300_000),
            ("1h0m0s", 3_600_000),
            ("1d", 86_400_000),
            ("1d12h0m0s", 129_600_000),
            ("1.5s", 1_500),
            ("200ms", 200),
        ] {
            assert_eq!(
                text.parse(),
                Ok(Span(Duration::from_millis(milliseconds))),
                "{text}"
            );
        }
        for text in ["x", "10", "s", "-1s", "1w", "1s1", "1..2s", "1e9d", "never"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }

    #[test]
    fn they_are_written_short() {
        for text in ["0s", "90s", "5m", "2h", "7d", "1.5s"] {
            assert_eq!(text.parse::<Span>().unwrap().to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(ms in 0_u64..10_000_000_000) {
            let span = Span(Duration::from_millis(ms));
            prop_assert_eq!(span.to_string().parse(), Ok(span));
        }

        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = text.parse::<Span>();
        }
    }
}
