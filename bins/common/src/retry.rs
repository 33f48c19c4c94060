//! How often and after which waits something is tried again.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::duration::{self, DurationError};

/// The waits before each retry; as many retries as there are waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetrySchedule(Vec<Duration>);

impl RetrySchedule {
    /// The waits, in order.
    #[must_use]
    pub fn as_slice(&self) -> &[Duration] {
        &self.0
    }
}

/// Three retries, after 1 s, 2 s and 4 s.
impl Default for RetrySchedule {
    fn default() -> Self {
        Self([1, 2, 4].map(Duration::from_secs).into())
    }
}

/// Why a text is no [`RetrySchedule`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RetryScheduleError {
    /// One of the waits is no duration.
    #[error("{0}; a retry schedule is a list such as 1s,2s,4s, or none")]
    Wait(DurationError),
    /// More waits than `u32` counts is nothing anybody means.
    #[error("a retry schedule ends at 1000 waits")]
    TooMany,
}

impl FromStr for RetrySchedule {
    type Err = RetryScheduleError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.trim() == "none" {
            return Ok(Self(Vec::new()));
        }
        if text.split(',').nth(1_000).is_some() {
            return Err(RetryScheduleError::TooMany);
        }
        let waits = text.split(',').map(|wait| duration::parse(wait.trim()));
        let waits = waits.collect::<Result<_, _>>();
        waits.map(Self).map_err(RetryScheduleError::Wait)
    }
}

impl fmt::Display for RetrySchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        let waits: Vec<_> = self.0.iter().copied().map(duration::format).collect();
        f.write_str(&waits.join(","))
    }
}

/// One retry to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// 1 for the first retry.
    pub number: u32,
    /// How many retries there are in all.
    pub of: u32,
    /// The wait before it.
    pub delay: Duration,
}

/// Walks through a schedule.
#[derive(Debug, Clone)]
pub struct Retries {
    schedule: RetrySchedule,
    used: usize,
}

impl Retries {
    /// At the schedule's start.
    #[must_use]
    pub fn new(schedule: RetrySchedule) -> Self {
        Self { schedule, used: 0 }
    }

    /// The next retry, or `None` once they are used up.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator that restarts by reset() would be a surprise"
    )]
    pub fn next(&mut self) -> Option<Attempt> {
        let delay = *self.schedule.0.get(self.used)?;
        self.used += 1;
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Some(Attempt {
            number: count(self.used),
            of: count(self.schedule.0.len()),
            delay,
        })
    }

    /// Starts anew: what was broken has worked again.
    pub fn reset(&mut self) {
        self.used = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_default_is_three_retries_after_1_2_and_4_seconds() {
        assert_eq!(RetrySchedule::default().to_string(), "1s,2s,4s");
        let mut retries = Retries::new(RetrySchedule::default());
        let mut seen = Vec::new();
        while let Some(attempt) = retries.next() {
            seen.push((attempt.number, attempt.of, attempt.delay.as_secs()));
        }
        assert_eq!(seen, [(1, 3, 1), (2, 3, 2), (3, 3, 4)]);
        assert_eq!(retries.next(), None);
        retries.reset();
        assert_eq!(retries.next().map(|attempt| attempt.number), Some(1));
    }

    #[test]
    fn none_means_no_retry() {
        let schedule: RetrySchedule = "none".parse().unwrap();
        assert_eq!(schedule.as_slice(), []);
        assert_eq!(schedule.to_string(), "none");
        assert_eq!(Retries::new(schedule).next(), None);
    }

    #[test]
    fn spaces_are_allowed_and_nonsense_is_refused_with_an_example() {
        assert_eq!(
            " 1s, 500ms ".parse::<RetrySchedule>().unwrap().to_string(),
            "1s,500ms"
        );
        for text in ["", ",", "1s,", "1s,,2s", "None", "1", "-1s", "none,1s"] {
            let message = text.parse::<RetrySchedule>().unwrap_err().to_string();
            assert!(message.contains("1s,2s,4s"), "{message}");
        }
        assert_eq!(
            "1s,".repeat(2_000).parse::<RetrySchedule>(),
            Err(RetryScheduleError::TooMany)
        );
    }

    proptest! {
        #[test]
        fn a_schedule_survives_a_round_trip(ms in prop::collection::vec(0..=86_400_000_u64, 0..20)) {
            let schedule = RetrySchedule(ms.into_iter().map(Duration::from_millis).collect());
            prop_assert_eq!(schedule.to_string().parse(), Ok(schedule));
        }

        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = text.parse::<RetrySchedule>();
        }
    }
}
