//! How the streams fare, from one look to the next.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use mediamtx::api::Api;

use super::health::Health;
use super::metrics::{Metrics, State as StateLabel};
use super::seen::{Look, Seen, Wish};
use super::segments::Files;
use crate::journal::{Record, State};
use crate::server::View;
use crate::status::{PathState, status};

/// MediaMTX's pause before it tries a source or a keeper again.
const PAUSE: Duration = Duration::from_secs(5);
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// What is known of the paths.
#[derive(Debug, Default)]
pub(super) struct Observed {
    paths: BTreeMap<String, Seen>,
}

impl Observed {
    /// Paths whose source is not to be demanded at the moment.
    pub(super) fn resting(&self, state: &State) -> BTreeSet<String> {
        let resting = self.paths.iter().filter(|(_, seen)| seen.health.rests());
        let mut resting: BTreeSet<_> = resting.map(|(path, _)| path.clone()).collect();
        let unseen = state
            .degraded
            .iter()
            .filter(|path| !self.paths.contains_key(*path));
        resting.extend(unseen.cloned());
        resting
    }

    /// Takes a look in, and says what is to be noted in the journal.
    pub(super) fn look(&mut self, view: &View, state: &State, metrics: &Metrics) -> Vec<Record> {
        let now = Instant::now();
        let wanted = state.wanted();
        let all = status(state, Ok(view), None);
        let mut notes = Vec::new();
        let mut counts: BTreeMap<&'static str, i64> = BTreeMap::new();
        for path in &all.paths {
            *counts.entry(path.state.as_str()).or_default() += 1;
            let name = &path.path;
            let is_degraded = state.degraded.contains(name);
            let seen = self.paths.entry(name.clone());
            let seen = seen.or_insert_with(|| Seen::new(is_degraded, now));
            // Somebody has started it anew.
            if matches!(seen.health, Health::Degraded { .. }) && !is_degraded {
                seen.health = Health::Up;
            }
            let is_live = path.state == PathState::Live;
            let records = wanted.settings(name).record.is_some_and(|record| record.0);
            let live = view
                .live(name)
                .and_then(|live| live.available_time.as_deref());
            let look = Look {
                is_live,
                wish: if path.keep || records {
                    Wish::Lasting
                } else {
                    Wish::None
                },
                asked: path.since,
                available: live.and_then(|time| time.parse().ok()),
            };
            seen.change(name, look, metrics, now);
            seen.flow(name, view, now, metrics);
            if path.keep {
                let timeout = wanted.settings(name).start_timeout;
                let grace = PAUSE + timeout.map_or(START_TIMEOUT, |span| span.duration());
                let note = seen.check(name, is_live, grace, now, metrics);
                notes.extend(note.filter(|note| is_news(note, is_degraded)));
            } else {
                seen.health = Health::Up;
            }
        }
        self.paths
            .retain(|name, _| all.paths.iter().any(|path| path.path == *name));
        count(metrics, &counts);
        notes
    }

    /// Looks after the recorded files of what is recorded.
    pub(super) fn look_at_files(&mut self, api: &Api, view: &View, metrics: &Metrics) {
        for (path, seen) in &mut self.paths {
            match view.busy(path).recordings {
                0 => seen.files = Files::default(),
                _ => seen.files.look(api, view, path, metrics),
            }
        }
    }
}

fn is_news(note: &Record, is_degraded: bool) -> bool {
    matches!(note, Record::Degraded { .. }) != is_degraded
}

fn count(metrics: &Metrics, counts: &BTreeMap<&'static str, i64>) {
    for state in [
        PathState::Live,
        PathState::Idle,
        PathState::Waiting,
        PathState::Degraded,
    ] {
        let state = state.as_str();
        let gauge = metrics.paths.get_or_create(&StateLabel { state });
        gauge.set(counts.get(state).copied().unwrap_or_default());
    }
}
