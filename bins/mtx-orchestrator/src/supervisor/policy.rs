//! How patient the supervisor is: what an operator may configure.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use common::duration::{self, DurationError};

/// What the decisions about a stream go by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Policy {
    /// How long a stream may be away before its worker is ended and it is forgotten.
    pub(crate) grace: Duration,
    pub(crate) recovery: Recovery,
    pub(crate) breaker: BreakerPolicy,
    /// How long an open breaker lets nothing be tried.
    pub(crate) breaker_pause: Duration,
    /// How long media has to flow until earlier failures are forgiven.
    pub(crate) healthy_after: Duration,
}

/// When a worker that has failed is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recovery {
    Immediate,
    Fixed(Duration),
    /// The first time at once, then after a wait that doubles from `first` to `most`.
    Exponential {
        first: Duration,
        most: Duration,
    },
}

impl Recovery {
    /// The wait before the start after so many failures in a row; `draw` is a random number from 0 to 1.
    pub(crate) fn delay(self, failures: u32, draw: f64) -> Duration {
        match self {
            Self::Immediate => Duration::ZERO,
            Self::Fixed(delay) => delay,
            Self::Exponential { .. } if failures <= 1 => Duration::ZERO,
            Self::Exponential { first, most } => {
                let doublings = (failures - 2).min(20);
                let delay = first.saturating_mul(1 << doublings).min(most);
                // Streams that failed together come back one after the other.
                delay.mul_f64(0.75 + draw.clamp(0.0, 1.0) / 4.0)
            }
        }
    }
}

/// A text that is no [`Recovery`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RecoveryError {
    #[error("it is immediate, fixed:<wait> or exponential:<first>..<most>, for example fixed:2s")]
    Shape,
    #[error("{0}")]
    Wait(#[from] DurationError),
    #[error("the first wait is longer than the longest")]
    Order,
}

impl FromStr for Recovery {
    type Err = RecoveryError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "immediate" {
            return Ok(Self::Immediate);
        }
        match text.split_once(':') {
            Some(("fixed", delay)) => Ok(Self::Fixed(duration::parse_positive(delay)?)),
            Some(("exponential", range)) => {
                let (first, most) = range.split_once("..").ok_or(RecoveryError::Shape)?;
                let first = duration::parse_positive(first)?;
                let most = duration::parse_positive(most)?;
                if first > most {
                    return Err(RecoveryError::Order);
                }
                Ok(Self::Exponential { first, most })
            }
            _ => Err(RecoveryError::Shape),
        }
    }
}

impl fmt::Display for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Immediate => f.write_str("immediate"),
            Self::Fixed(delay) => write!(f, "fixed:{}", duration::format(*delay)),
            Self::Exponential { first, most } => write!(
                f,
                "exponential:{}..{}",
                duration::format(*first),
                duration::format(*most)
            ),
        }
    }
}

/// So many failures within such a time open the breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BreakerPolicy {
    pub(crate) failures: usize,
    pub(crate) window: Duration,
}

/// A text that is no [`BreakerPolicy`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BreakerPolicyError {
    #[error("it is <failures>/<time>, for example 5/2m")]
    Shape,
    #[error("the breaker opens after 1 to 1000 failures")]
    Failures,
    #[error("{0}")]
    Window(#[from] DurationError),
}

impl FromStr for BreakerPolicy {
    type Err = BreakerPolicyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (failures, window) = text.split_once('/').ok_or(BreakerPolicyError::Shape)?;
        let failures = failures.parse().map_err(|_| BreakerPolicyError::Shape)?;
        if !(1..=1000).contains(&failures) {
            return Err(BreakerPolicyError::Failures);
        }
        let window = duration::parse_positive(window)?;
        Ok(Self { failures, window })
    }
}

impl fmt::Display for BreakerPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.failures, duration::format(self.window))
    }
}

/// Starts that are left, over all streams: a second's worth at most, refilled evenly.
#[derive(Debug)]
pub(crate) struct StartLimit {
    per_second: u32,
    left: f64,
    at: Instant,
}

impl StartLimit {
    pub(crate) fn new(per_second: u32, now: Instant) -> Self {
        Self {
            per_second,
            left: f64::from(per_second),
            at: now,
        }
    }

    /// Whether one more worker may be started now.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let rate = f64::from(self.per_second);
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + passed * rate).min(rate);
        self.at = now;
        if self.left < 1.0 {
            return false;
        }
        self.left -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn each_strategy_waits_as_it_says() {
        let exponential = Recovery::Exponential {
            first: s(1),
            most: s(30),
        };
        for (recovery, failures, expected) in [
            (Recovery::Immediate, 9, s(0)),
            (Recovery::Fixed(s(2)), 1, s(2)),
            (Recovery::Fixed(s(2)), 9, s(2)),
            (exponential, 0, s(0)),
            (exponential, 1, s(0)),
            (exponential, 2, s(1)),
            (exponential, 4, s(4)),
            (exponential, 7, s(30)),
            (exponential, u32::MAX, s(30)),
        ] {
            assert_eq!(recovery.delay(failures, 1.0), expected, "{recovery}");
        }
        assert_eq!(exponential.delay(4, 0.0), s(3));
    }

    #[test]
    fn strategies_and_breakers_are_read_back_as_written() {
        for text in ["immediate", "fixed:2s", "exponential:1s..30s"] {
            assert_eq!(text.parse::<Recovery>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "fixed",
            "fixed:",
            "fixed:0s",
            "exponential:1s",
            "exponential:3s..2s",
            "later",
        ] {
            assert!(text.parse::<Recovery>().is_err(), "{text}");
        }
        let breaker: BreakerPolicy = "5/120s".parse().unwrap();
        assert_eq!(
            (breaker.failures, breaker.to_string()),
            (5, "5/120s".into())
        );
        for text in ["", "5", "0/1m", "-1/1m", "5/", "5/0s", "1001/1m"] {
            assert!(text.parse::<BreakerPolicy>().is_err(), "{text}");
        }
    }

    #[test]
    fn starts_come_at_the_rate_after_the_first_burst() {
        let start = Instant::now();
        let mut limit = StartLimit::new(10, start);
        let granted = |limit: &mut StartLimit, at| (0..100).filter(|_| limit.take(at)).count();
        assert_eq!(granted(&mut limit, start), 10);
        assert_eq!(granted(&mut limit, start + Duration::from_millis(350)), 3);
        assert_eq!(granted(&mut limit, start + s(60)), 10);
    }
}
