//! Waiting for the server to show what it has been told, and for streams to come.

use std::thread;
use std::time::{Duration, Instant};

use mediamtx::api::{ApiError, Recordings};

use super::{Error, Lifecycle, Session};
use crate::fields::difference;
use crate::plan::Change;

/// Most changes show within milliseconds, sources take seconds.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// Asks until it is so; `false` if it is not within the time. An outage of a moment is no answer.
pub(super) fn wait_until(
    timeout: Duration,
    mut is_so: impl FnMut() -> Result<bool, ApiError>,
) -> Result<bool, ApiError> {
    let start = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        let answer = is_so();
        if matches!(answer, Ok(true)) {
            return Ok(true);
        }
        if start.elapsed() >= timeout {
            return answer;
        }
        thread::sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

impl Session<'_> {
    /// MediaMTX's 200 comes before it does anything.
    pub(super) fn await_shown(&self, entry: &str, change: &Change) -> Result<(), Error> {
        let options = &self.lifecycle.options;
        let api = &options.api;
        let is_shown = || {
            let paths = api.paths()?;
            let live = paths.iter().find(|path| path.name == entry);
            let own = live.is_some_and(|path| path.conf_name == entry);
            Ok(match change {
                Change::Remove => !own,
                Change::Add(fields) | Change::Patch(fields) => {
                    let current = api.path_config(entry)?.unwrap_or_default();
                    own && difference(&current, fields).is_empty()
                }
            })
        };
        match wait_until(options.timeout, is_shown)? {
            true => Ok(()),
            false => Err(Error::NotShown {
                entry: entry.to_owned(),
                after: options.timeout,
            }),
        }
    }
}

impl Lifecycle {
    /// Waits for a stream, until the time is over.
    pub(super) fn await_stream(&self, path: &str, timeout: Duration) -> Result<(), Error> {
        let is_there = || {
            let paths = self.options.api.paths()?;
            Ok(paths.iter().any(|it| it.name == path && it.is_available()))
        };
        match wait_until(timeout, is_there)? {
            true => Ok(()),
            false => Err(Error::NoSource {
                path: path.to_owned(),
                after: timeout,
            }),
        }
    }

    /// Waits for a recorded file that was not there before; old ones may be deleted meanwhile.
    pub(super) fn await_file(
        &self,
        path: &str,
        before: &Recordings,
        timeout: Duration,
    ) -> Result<(), Error> {
        let is_there = || {
            let now = self.options.api.recordings(path)?.segments;
            Ok(now.iter().any(|segment| !before.segments.contains(segment)))
        };
        match wait_until(timeout, is_there)? {
            true => Ok(()),
            false => Err(Error::NoFile {
                path: path.to_owned(),
                after: timeout,
            }),
        }
    }
}
