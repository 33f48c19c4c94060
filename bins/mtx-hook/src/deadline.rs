//! The end of everything, whatever the process is busy with.
//!
//! No time-out of a socket ends a name lookup that hangs, and each byte of a drip-fed answer would
//! start one anew. So a second thread watches the clock.

use std::mem;
use std::process;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Held by whoever says what became of the request: either the deadline or the answer, not both.
static OUTCOME: Mutex<()> = Mutex::new(());

/// From now on, `last_words` are said and the process exits with 1 if there is no outcome `after`
/// that time since `start`.
pub(crate) fn watch(
    start: Instant,
    after: Duration,
    last_words: impl FnOnce() + Send + 'static,
) -> std::io::Result<()> {
    let watchdog = move || {
        thread::sleep(after.saturating_sub(start.elapsed()));
        claim();
        last_words();
        process::exit(1);
    };
    thread::Builder::new().spawn(watchdog).map(drop)
}

/// There is an outcome, and it is the caller's. Does not return if it was the deadline's before.
pub(crate) fn claim() {
    mem::forget(OUTCOME.lock().unwrap_or_else(PoisonError::into_inner));
}
