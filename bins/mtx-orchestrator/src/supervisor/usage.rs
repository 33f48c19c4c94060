//! How much of a processor a worker takes.

use std::time::{Duration, Instant};

/// Over which a worker's share is averaged: a burst at the start of a stream is no offence.
const PERIOD: Duration = Duration::from_secs(10);

/// Compares the time a worker has spent on the processors with the time that has passed.
pub(super) struct CpuShare {
    since: Instant,
    spent: Duration,
}

impl CpuShare {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            since: now,
            spent: Duration::ZERO,
        }
    }

    /// The share in percent of one processor, at the end of each period.
    pub(super) fn percent(&mut self, spent: Duration, now: Instant) -> Option<u64> {
        let passed = now.saturating_duration_since(self.since);
        if passed < PERIOD {
            return None;
        }
        let busy = spent.saturating_sub(self.spent);
        *self = Self { since: now, spent };
        u64::try_from(busy.as_millis() * 100 / passed.as_millis()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_that_of_the_last_period() {
        let start = Instant::now();
        let mut usage = CpuShare::new(start);
        let s = Duration::from_secs;
        for (at, spent, expected) in [
            (1, 1, None),
            (9, 9, None),
            (10, 9, Some(90)),
            (15, 9, None),
            (20, 10, Some(10)),
            (40, 50, Some(200)),
        ] {
            assert_eq!(usage.percent(s(spent), start + s(at)), expected, "{at} s");
        }
    }
}
