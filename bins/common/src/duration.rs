//! Durations as people write them on a command line: `500ms`, `2s`, `1m`.

use std::time::Duration;

/// Longer waits are typing errors, and would overflow clocks further down.
pub const MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Why a text is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Not a whole number followed by a unit.
    #[error(
        "{0:?} is not a duration: write a whole number and ms, s, m or h, for example 500ms or 2s"
    )]
    Malformed(String),
    /// Above [`MAX`].
    #[error("{0:?} is too long: a duration ends at 24h")]
    TooLong(String),
    /// Zero where something has to take time.
    #[error("zero is too short here")]
    Zero,
}

/// Like [`parse`], for a deadline or an interval, which can't be zero.
pub fn parse_positive(text: &str) -> Result<Duration, DurationError> {
    match parse(text)? {
        Duration::ZERO => Err(DurationError::Zero),
        duration => Ok(duration),
    }
}

/// Parses a whole number and a unit: `ms`, `s`, `m` or `h`.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let malformed = || DurationError::Malformed(excerpt(text));
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit_ms: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(malformed()),
    };
    if number.is_empty() {
        return Err(malformed());
    }
    // What does not fit into 64 bits is above the maximum as well.
    number
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(unit_ms))
        .map(Duration::from_millis)
        .filter(|duration| *duration <= MAX)
        .ok_or_else(|| DurationError::TooLong(excerpt(text)))
}

/// Writes a duration so that [`parse`] reads it again; what is below a millisecond is cut off.
#[must_use]
pub fn format(duration: Duration) -> String {
    let ms = duration.as_millis();
    if ms.is_multiple_of(1_000) {
        format!("{}s", ms / 1_000)
    } else {
        format!("{ms}ms")
    }
}

fn excerpt(text: &str) -> String {
    crate::excerpt(text, 40)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_to_take_time_is_not_zero() {
        assert_eq!(parse_positive("0s"), Err(DurationError::Zero));
        assert_eq!(parse_positive("1ms"), Ok(Duration::from_millis(1)));
    }

    #[test]
    fn units_are_read() {
        assert_eq!(parse("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse("2s"), Ok(Duration::from_secs(2)));
        assert_eq!(parse("1m"), Ok(Duration::from_secs(60)));
        assert_eq!(parse("24h"), Ok(MAX));
    }

    #[test]
    fn what_is_no_duration_is_refused_with_an_example() {
        for text in ["", "s", "1", "-1s", "1.5s", "1 s", "s1", "1d", "١s"] {
            let error = parse(text).unwrap_err();
            assert_eq!(error, DurationError::Malformed(text.to_owned()));
            assert!(error.to_string().contains("500ms"));
        }
        for text in ["25h", "99999999999999999999s", "18446744073709551615h"] {
            assert_eq!(parse(text), Err(DurationError::TooLong(text.to_owned())));
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_is_read_again(ms in 0..=86_400_000_u64) {
            let duration = Duration::from_millis(ms);
            proptest::prop_assert_eq!(parse(&format(duration)), Ok(duration));
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = parse(&text);
        }
    }
}
