//! A moment, as the suite writes it: RFC 3339, milliseconds, UTC.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A moment with the precision it is written with, for example `2026-11-21T04:18:22.123Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Timestamp(jiff::Timestamp);

/// A text that is no moment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a time stamp as in 2026-11-21T04:18:22.123Z (RFC 3339)")]
pub struct TimestampError(String);

impl Timestamp {
    /// Now, by the system's clock.
    #[must_use]
    pub fn now() -> Self {
        Self::whole_milliseconds(jiff::Timestamp::now())
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub fn as_millisecond(self) -> i64 {
        self.0.as_millisecond()
    }

    /// What is not written must not make two moments differ.
    fn whole_milliseconds(moment: jiff::Timestamp) -> Self {
        Self(jiff::Timestamp::from_millisecond(moment.as_millisecond()).unwrap_or(moment))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.0)
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse()
            .map(Self::whole_milliseconds)
            .map_err(|_| TimestampError(crate::excerpt(text, 40)))
    }
}

impl TryFrom<String> for Timestamp {
    type Error = TimestampError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Timestamp> for String {
    fn from(timestamp: Timestamp) -> Self {
        timestamp.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_are_always_written_and_always_in_utc() {
        let text = "2026-11-21T04:18:22.120Z";
        assert_eq!(text.parse::<Timestamp>().unwrap().to_string(), text);
        let elsewhere: Timestamp = "2026-11-21T06:18:22.120999+02:00".parse().unwrap();
        assert_eq!(elsewhere.to_string(), text);
        assert_eq!(elsewhere, text.parse().unwrap());
    }

    #[test]
    fn now_survives_a_round_trip() {
        let now = Timestamp::now();
        assert_eq!(now.to_string().parse(), Ok(now));
        assert!(now.as_millisecond() > 1_790_000_000_000);
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in ".*") {
            let _ = text.parse::<Timestamp>();
        }
    }
}
