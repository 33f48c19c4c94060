//! Waiting for the server to show what it has been told, and for streams to come.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mediamtx::api::ApiError;

use super::Error;
use crate::ledger::Change;
use crate::server::{Live, Server, is_template};

/// Most changes show within milliseconds, sources take seconds.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// Somebody does not want to wait any longer.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Ends all waiting.
    pub fn raise(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether waiting has to end.
    #[must_use]
    pub fn is_raised(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Asks until it is so; `false` if it is not within the time. An outage of a moment is no answer.
pub(crate) fn wait_until(
    timeout: Duration,
    interrupt: &Interrupt,
    mut is_so: impl FnMut() -> Result<bool, ApiError>,
) -> Result<bool, Error> {
    let start = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        let answer = is_so();
        if matches!(answer, Ok(true)) {
            return Ok(true);
        }
        if interrupt.is_raised() {
            return Err(Error::Interrupted);
        }
        if start.elapsed() >= timeout {
            return Ok(answer?);
        }
        thread::sleep(pause);
        pause = (pause * 5 / 4).min(LONGEST_PAUSE);
    }
}

/// MediaMTX's 200 comes before the change reaches its paths.
pub(crate) fn await_shown(
    server: &dyn Server,
    written: &[(String, Change)],
    timeout: Duration,
    interrupt: &Interrupt,
) -> Result<(), Error> {
    let mut missing: Vec<&(String, Change)> = written.iter().collect();
    // Of one entry, the last write counts.
    missing.retain(|(entry, change)| {
        let last = written.iter().rfind(|(other, _)| other == entry);
        !is_template(entry) && last.is_some_and(|(_, last)| last == change)
    });
    if missing.is_empty() {
        return Ok(());
    }
    let all_shown = wait_until(timeout, interrupt, || {
        let live = server.live()?;
        missing.retain(|(entry, change)| !is_shown(&live, entry, change));
        Ok(missing.is_empty())
    })?;
    match missing.first() {
        Some((entry, _)) if !all_shown => Err(Error::NotShown {
            entry: entry.clone(),
            after: timeout,
        }),
        _ => Ok(()),
    }
}

fn is_shown(live: &Live, entry: &str, change: &Change) -> bool {
    let has_entry = live.get(entry).is_some_and(|it| it.conf_name == entry);
    has_entry != (*change == Change::Remove)
}
