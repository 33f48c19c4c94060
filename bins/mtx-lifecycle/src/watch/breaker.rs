//! Leaves a server alone that is in trouble, but for a probe now and then.

use std::time::{Duration, Instant};

/// Failures in a row after which it opens.
const FAILURES: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_secs(4);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Whether the server may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Breaker {
    /// It may.
    Closed {
        /// Failures in a row so far.
        failures: u32,
    },
    /// It may not, until then.
    Open {
        /// When one probe may be made.
        until: Instant,
        /// How long that is since the last one.
        pause: Duration,
    },
    /// One probe is under way.
    HalfOpen {
        /// How long the last pause was.
        pause: Duration,
    },
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// Time has passed.
    Tick,
    /// The server has answered.
    Success,
    /// It has not, or not as itself.
    Failure,
}

impl Breaker {
    pub(super) const fn new() -> Self {
        Self::Closed { failures: 0 }
    }

    /// What becomes of it.
    pub(super) fn on(self, event: Event, now: Instant) -> Self {
        let open = |pause: Duration| Self::Open {
            until: now + pause,
            pause,
        };
        match (self, event) {
            (_, Event::Success) => Self::new(),
            (Self::Closed { failures }, Event::Failure) if failures + 1 >= FAILURES => {
                open(FIRST_PAUSE)
            }
            (Self::Closed { failures }, Event::Failure) => Self::Closed {
                failures: failures + 1,
            },
            (Self::HalfOpen { pause }, Event::Failure) => open((pause * 2).min(LONGEST_PAUSE)),
            (Self::Open { until, pause }, Event::Tick) if now >= until => Self::HalfOpen { pause },
            (unchanged, Event::Tick | Event::Failure) => unchanged,
        }
    }

    pub(super) fn may_ask(self) -> bool {
        !matches!(self, Self::Open { .. })
    }

    pub(super) fn is_closed(self) -> bool {
        matches!(self, Self::Closed { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transitions() {
        let now = Instant::now();
        let closed = |failures| Breaker::Closed { failures };
        let seconds = Duration::from_secs;
        let open = |pause| Breaker::Open {
            until: now + seconds(pause),
            pause: seconds(pause),
        };
        let over = Breaker::Open {
            until: now,
            pause: seconds(4),
        };
        let half = |pause| Breaker::HalfOpen {
            pause: seconds(pause),
        };
        for (before, event, after) in [
            (closed(0), Event::Failure, closed(1)),
            (closed(2), Event::Failure, open(4)),
            (closed(2), Event::Success, closed(0)),
            (closed(1), Event::Tick, closed(1)),
            (open(4), Event::Tick, open(4)),
            (open(4), Event::Failure, open(4)),
            (over, Event::Tick, half(4)),
            (half(4), Event::Failure, open(8)),
            (half(30), Event::Failure, open(30)),
            (half(4), Event::Success, closed(0)),
        ] {
            assert_eq!(before.on(event, now), after, "{before:?} {event:?}");
        }
    }
}
