//! Whether the source of a path that is held open is there, and what is done when it is not.
//!
//! MediaMTX tries again by itself, every 5 s and for ever. What does not come in that time is given rests that get
//! longer: its keeper is taken away, so that nothing demands the source, and comes back for one try. Once a number
//! of those have failed the path is degraded: one try every few minutes, until it comes or somebody starts it anew.

use std::time::{Duration, Instant};

/// Tries, until a path is degraded.
pub(super) const TRIES: u32 = 6;
const FIRST_REST: Duration = Duration::from_secs(1);
const DEGRADED_REST: Duration = Duration::from_secs(300);

/// How a path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Health {
    /// Its source is there.
    Up,
    /// It has gone, and the server tries by itself.
    Down {
        /// Since when.
        since: Instant,
    },
    /// Nobody tries.
    Resting {
        /// Which try comes next.
        attempt: u32,
        /// When it comes.
        until: Instant,
    },
    /// One try.
    Trying {
        /// Which.
        attempt: u32,
        /// Since when.
        since: Instant,
    },
    /// Tried in vain often enough.
    Degraded {
        /// When it is tried once more.
        until: Instant,
    },
}

impl Health {
    /// What becomes of it. `grace` is how long a source may take to come; `jitter` is around 1.
    pub(super) fn on(self, is_there: bool, now: Instant, grace: Duration, jitter: f64) -> Self {
        let rest = |attempt: u32| Self::Resting {
            attempt,
            until: now + rest_before(attempt).mul_f64(jitter),
        };
        match self {
            _ if is_there => Self::Up,
            Self::Up => Self::Down { since: now },
            Self::Down { since } if now >= since + grace => rest(1),
            Self::Resting { attempt, until } if now >= until => Self::Trying {
                attempt,
                since: now,
            },
            Self::Trying { attempt, since } if now >= since + grace && attempt < TRIES => {
                rest(attempt + 1)
            }
            Self::Trying { since, .. } if now >= since + grace => Self::Degraded {
                until: now + DEGRADED_REST.mul_f64(jitter),
            },
            Self::Degraded { until } if now >= until => Self::Trying {
                attempt: TRIES,
                since: now,
            },
            unchanged => unchanged,
        }
    }

    /// The same with a rest that lasts until then, at least, if it has begun just now.
    pub(super) fn at_least(self, earliest: Instant) -> Self {
        match self {
            Self::Resting { attempt, until } => Self::Resting {
                attempt,
                until: until.max(earliest),
            },
            other => other,
        }
    }

    /// Whether its source is not to be demanded.
    pub(super) fn rests(self) -> bool {
        matches!(self, Self::Resting { .. } | Self::Degraded { .. })
    }
}

/// Doubled from try to try, so the last one's is about half a minute.
fn rest_before(attempt: u32) -> Duration {
    FIRST_REST * 2_u32.pow(attempt.clamp(1, TRIES) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transitions() {
        let now = Instant::now() + Duration::from_secs(1000);
        let seconds = Duration::from_secs;
        let grace = seconds(15);
        let ago = |s| now.checked_sub(seconds(s)).unwrap();
        let resting = |attempt, s| Health::Resting {
            attempt,
            until: now + seconds(s),
        };
        let trying = |attempt, s| Health::Trying {
            attempt,
            since: ago(s),
        };
        let degraded = |s| Health::Degraded {
            until: now + seconds(s),
        };
        let down = |s| Health::Down { since: ago(s) };
        for (before, is_there, after) in [
            (Health::Up, true, Health::Up),
            (Health::Up, false, down(0)),
            (down(14), false, down(14)),
            (down(14), true, Health::Up),
            (down(15), false, resting(1, 1)),
            (resting(3, 2), false, resting(3, 2)),
            (resting(3, 0), false, trying(3, 0)),
            (trying(3, 14), false, trying(3, 14)),
            (trying(3, 15), false, resting(4, 8)),
            (trying(5, 15), false, resting(6, 32)),
            (trying(6, 15), false, degraded(300)),
            (degraded(1), false, degraded(1)),
            (degraded(0), false, trying(6, 0)),
            (degraded(100), true, Health::Up),
        ] {
            assert_eq!(before.on(is_there, now, grace, 1.0), after, "{before:?}");
        }
    }
}
