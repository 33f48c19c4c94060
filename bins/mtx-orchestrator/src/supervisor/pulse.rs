//! Whether the supervising thread still does its work.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// It looks around once a second at least; what it does in between takes milliseconds.
const LONGEST: Duration = Duration::from_secs(10);

/// When the thread was last seen at work.
pub(super) struct Pulse(Mutex<Instant>);

impl Pulse {
    pub(super) fn new(now: Instant) -> Self {
        Self(Mutex::new(now))
    }

    pub(super) fn beat(&self, now: Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }

    /// Fails with the reason if it has not been seen for too long.
    pub(super) fn check(&self, now: Instant) -> Result<(), String> {
        let latest = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let silent = now.saturating_duration_since(latest);
        if silent < LONGEST {
            return Ok(());
        }
        let seconds = silent.as_secs();
        Err(format!(
            "the supervision has been stuck for {seconds} s: see the log, and restart mtx-orchestrator"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_is_stuck_is_noticed_until_it_goes_on() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let pulse = Pulse::new(start);
        assert_eq!(pulse.check(after(9)), Ok(()));
        assert!(pulse.check(after(12)).unwrap_err().contains("12 s"));
        pulse.beat(after(12));
        assert_eq!(pulse.check(after(13)), Ok(()));
    }
}
