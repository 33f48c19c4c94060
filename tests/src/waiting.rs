//! Polling instead of sleeping.

use std::thread;
use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_millis(20);

/// Polls until `probe` yields something; `Err` once `timeout` has passed.
pub fn poll<T>(timeout: Duration, mut probe: impl FnMut() -> Option<T>) -> Result<T, Duration> {
    let start = Instant::now();
    loop {
        if let Some(found) = probe() {
            return Ok(found);
        }
        if start.elapsed() >= timeout {
            return Err(start.elapsed());
        }
        thread::sleep(INTERVAL);
    }
}

/// Waits until `probe` yields something.
///
/// # Panics
/// When nothing came within `timeout`; `what` says in the message what was waited for.
#[track_caller]
pub fn wait_for<T>(what: &str, timeout: Duration, probe: impl FnMut() -> Option<T>) -> T {
    match poll(timeout, probe) {
        Ok(found) => found,
        Err(waited) => panic!("waited {waited:.1?} in vain for {what}"),
    }
}

/// Waits until `condition` holds.
///
/// # Panics
/// When it did not hold within `timeout`; `what` says in the message what was waited for.
#[track_caller]
pub fn wait_until(what: &str, timeout: Duration, mut condition: impl FnMut() -> bool) {
    wait_for(what, timeout, || condition().then_some(()));
}
