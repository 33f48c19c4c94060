//! How each stream was over the last hour, also one that is gone.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use common::timestamp::Timestamp;
use serde::Serialize;

use crate::stream_key::StreamKey;
use crate::supervisor::{StreamState, StreamStatus, Supervisor};

const LOOK: Duration = Duration::from_secs(1);
/// Looks that a step sums up.
const LOOKS: u64 = 10;
/// An hour of steps; a stream's take 9 KiB.
const STEPS: usize = 360;
/// Those beyond have no history: all of it takes 18 MiB at most.
const MOST_STREAMS: usize = 2000;
/// A stream that has been gone for so long has no history any more.
const HOUR: i64 = 3_600_000;

/// Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct History(Arc<Mutex<BTreeMap<StreamKey, Track>>>);

/// Ten seconds of a stream.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Step {
    /// When it began.
    at: Timestamp,
    /// The worst one.
    state: StreamState,
    /// Bits a second, on average; 0 while there is no worker.
    bitrate: u32,
    restarts: u16,
}

#[derive(Default)]
struct Track {
    steps: VecDeque<Step>,
    /// Of the step that is not over yet, the last one.
    looks: u64,
    bits: u64,
    /// Since the stream was found.
    restarts: u64,
}

impl History {
    /// From now on the supervisor's streams are followed.
    pub(crate) fn start(supervisor: Supervisor) -> Result<Self> {
        let history = Self::default();
        let follower = history.clone();
        thread::Builder::new()
            .name("history".to_owned())
            .spawn(move || {
                loop {
                    follower.look(&supervisor);
                    thread::sleep(LOOK);
                }
            })
            .context("can't start the thread that keeps the streams' history")?;
        Ok(history)
    }

    fn look(&self, supervisor: &Supervisor) {
        let now = Timestamp::now();
        let mut tracks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        supervisor.look_at_each(|status| take(&mut tracks, status, now));
        tracks.retain(|_, track| !track.is_over(now));
    }

    /// The steps of a stream, the latest one at the end; `None` if it has not been there within the hour.
    pub(crate) fn steps(&self, key: &StreamKey) -> Option<Vec<Step>> {
        let tracks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let steps = &tracks.get(key)?.steps;
        Some(steps.iter().cloned().collect())
    }
}

fn take(tracks: &mut BTreeMap<StreamKey, Track>, status: &StreamStatus, now: Timestamp) {
    if let Some(track) = tracks.get_mut(&status.id) {
        track.add(status, now);
    } else if tracks.len() < MOST_STREAMS {
        let mut track = Track::default();
        track.add(status, now);
        tracks.insert(status.id.clone(), track);
    }
}

impl Track {
    fn add(&mut self, status: &StreamStatus, now: Timestamp) {
        // A stream that went and came back counts anew.
        let restarts = match status.restarts.checked_sub(self.restarts) {
            Some(more) => more,
            None => status.restarts,
        };
        self.restarts = status.restarts;
        if self.looks == LOOKS || self.steps.is_empty() {
            self.looks = 0;
            self.bits = 0;
            if self.steps.len() == STEPS {
                self.steps.pop_front();
            }
            self.steps.push_back(Step {
                at: now,
                state: status.state,
                bitrate: 0,
                restarts: 0,
            });
        }
        self.looks += 1;
        self.bits += status.worker.as_ref().map_or(0, |worker| worker.bitrate);
        if let Some(step) = self.steps.back_mut() {
            if badness(status.state) > badness(step.state) {
                step.state = status.state;
            }
            step.bitrate = u32::try_from(self.bits / self.looks).unwrap_or(u32::MAX);
            let more = u16::try_from(restarts).unwrap_or(u16::MAX);
            step.restarts = step.restarts.saturating_add(more);
        }
    }

    fn is_over(&self, now: Timestamp) -> bool {
        let last = self.steps.back().map(|step| step.at.as_millisecond());
        last.is_none_or(|last| now.as_millisecond() - last > HOUR)
    }
}

/// What of ten seconds is worth to be seen an hour later.
fn badness(state: StreamState) -> u8 {
    match state {
        StreamState::Running => 0,
        StreamState::Stopped => 1,
        StreamState::Starting => 2,
        StreamState::Grace => 3,
        StreamState::Backoff => 4,
        StreamState::Blocked => 5,
        StreamState::Broken => 6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::stream;

    fn at(second: i64) -> Timestamp {
        let (hours, minutes, seconds) = (second / 3600, second / 60 % 60, second % 60);
        let text = format!("2026-11-21T{hours:02}:{minutes:02}:{seconds:02}.000Z");
        text.parse().unwrap()
    }

    #[test]
    fn ten_looks_are_one_step_with_their_worst_state_and_mean_rate() {
        let mut track = Track::default();
        for second in 0..12 {
            let mut status = stream(0, Some(u64::from(second < 5) * 20));
            if second == 3 {
                status.state = StreamState::Backoff;
            }
            status.restarts = if second < 3 { 4 } else { 6 };
            track.add(&status, at(second));
        }
        let steps: Vec<_> = track.steps.iter().collect();
        assert_eq!(steps.len(), 2);
        let first = (steps[0].state, steps[0].bitrate, steps[0].restarts);
        assert_eq!(first, (StreamState::Backoff, 10, 6));
        let second = (steps[1].state, steps[1].bitrate, steps[1].restarts);
        assert_eq!(second, (StreamState::Running, 0, 0));
    }

    #[test]
    fn an_hour_is_kept_and_a_stream_that_is_gone_for_an_hour_is_forgotten() {
        let mut track = Track::default();
        for second in 0..4000 {
            track.add(&stream(0, Some(1)), at(second));
        }
        assert_eq!(track.steps.len(), STEPS);
        assert_eq!(track.steps.front().unwrap().at, at(400));
        assert!(!track.is_over(at(4000 + 3580)) && track.is_over(at(4000 + 3600)));
    }

    #[test]
    fn streams_beyond_the_bound_have_no_history() {
        let mut tracks = BTreeMap::new();
        for number in 0..=MOST_STREAMS {
            let path: mediamtx::path::PathName = format!("cam-{number}").parse().unwrap();
            let mut status = stream(0, None);
            status.id = path.into();
            take(&mut tracks, &status, at(0));
        }
        assert_eq!(tracks.len(), MOST_STREAMS);
        let step = size_of::<Step>();
        assert!(STEPS * step <= 9 * 1024, "{step} bytes a step");
    }
}
