//! How the streams fare, from one look to the next.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::health::Health;
use super::metrics::{Metrics, State as StateLabel};
use super::seen::{Look, Seen, Wish};
use super::segments::Files;
use crate::commands::status::{PathState, PathStatus, status};
use crate::journal::{Record, State};
use crate::policy::{Current, Settings};
use crate::server::{Server, View, text};
use crate::span::Span;

/// MediaMTX's pause before it tries a source or a keeper again.
const PAUSE: Duration = Duration::from_secs(5);
const START_TIMEOUT: Duration = Duration::from_secs(10);
/// Questions about recorded files in one look: each makes the server read a folder.
const QUESTIONS: usize = 20;

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
        let current = state.current();
        let all = status(state, Ok(view), None);
        let mut notes = Vec::new();
        let mut counts: BTreeMap<&'static str, i64> = BTreeMap::new();
        for path in &all.paths {
            *counts.entry(path.state.as_str()).or_default() += 1;
            let is_degraded = state.degraded.contains(&path.path);
            let seen = self.paths.entry(path.path.clone());
            let seen = seen.or_insert_with(|| Seen::new(is_degraded, now));
            let note = look_at(seen, path, is_degraded, &current, view, metrics);
            notes.extend(note.filter(|note| is_news(note, state)));
        }
        self.paths
            .retain(|name, _| all.paths.iter().any(|path| path.path == *name));
        count(metrics, &counts);
        notes
    }

    /// Looks after the recorded files of what is recorded.
    pub(super) fn look_at_files(&mut self, server: &dyn Server, view: &View, metrics: &Metrics) {
        let now = Instant::now();
        let mut due = Vec::new();
        for (path, seen) in &mut self.paths {
            match view.busy(path, "").recordings {
                0 => seen.files = Files::default(),
                _ => due.extend(
                    seen.files
                        .waiting(now)
                        .map(|waiting| (waiting, path, &mut seen.files)),
                ),
            }
        }
        // Those that were not looked at for the longest time come first.
        due.sort_by_key(|(waiting, ..)| std::cmp::Reverse(*waiting));
        for (_, path, files) in due.into_iter().take(QUESTIONS) {
            if let Ok(recordings) = server.recordings(path) {
                files.look(&recordings, length(view, path), path, now, metrics);
            }
        }
    }
}

/// How long a recorded file of a path is.
fn length(view: &View, path: &str) -> Span {
    let entry = view
        .live
        .get(path)
        .and_then(|live| view.entries.get(&live.conf_name));
    let length = entry.and_then(|fields| text(fields, "recordSegmentDuration").parse().ok());
    length.unwrap_or(Span::seconds(3600))
}

fn look_at(
    seen: &mut Seen,
    path: &PathStatus,
    is_degraded: bool,
    current: &Current,
    view: &View,
    metrics: &Metrics,
) -> Option<Record> {
    let now = Instant::now();
    let name = &path.path;
    // Somebody has started it anew.
    if matches!(seen.health, Health::Degraded { .. }) && !is_degraded {
        seen.health = Health::Up;
    }
    let live = view.live.get(name);
    let available = live.and_then(|live| live.available_time.as_deref());
    let look = Look {
        is_live: path.state == PathState::Live,
        wish: if path.is_wanted {
            Wish::Lasting
        } else {
            Wish::None
        },
        asked: path.since,
        available: available.and_then(|time| time.parse().ok()),
    };
    seen.change(name, look, metrics, now);
    let bytes = live.map_or(0, |live| live.bytes_received);
    let is_silent = seen.flow(name, bytes, now, metrics);
    if !path.is_wanted {
        seen.health = Health::Up;
        return (is_degraded || look.is_live).then(|| recovered(name));
    }
    // Whoever watches a silent source is not thrown out for that.
    let is_there = look.is_live && !(is_silent && path.keep && path.viewers == 0);
    let settings = match view.governing(name) {
        Some(fields) => current.settings_beside(name, fields),
        None => current.settings(name),
    };
    let grace = PAUSE + start_timeout(&settings);
    let rest = close_after(view, name) + Duration::from_secs(1);
    let rest = if is_silent { rest } else { Duration::ZERO };
    let note = seen.check(name, is_there, grace, rest, path.keep, metrics);
    note.or_else(|| is_there.then(|| recovered(name)))
}

fn recovered(path: &str) -> Record {
    Record::Recovered {
        at: common::timestamp::Timestamp::now(),
        path: path.to_owned(),
    }
}

fn start_timeout(settings: &Settings) -> Duration {
    settings.start_timeout.map_or(START_TIMEOUT, Span::duration)
}

/// A source that is there ends only that long after nobody holds it any more.
fn close_after(view: &View, path: &str) -> Duration {
    let names = ["runOnDemandCloseAfter", "sourceOnDemandCloseAfter"];
    let entry = view.entries.get(path);
    let spans = names
        .iter()
        .filter_map(|name| text(entry?, name).parse().ok());
    spans.max().map_or(Duration::ZERO, Span::duration)
}

/// Whether the journal does not say so already.
fn is_news(note: &Record, state: &State) -> bool {
    match note {
        Record::Degraded { path, .. } => !state.degraded.contains(path),
        Record::Missing { path, .. } => !state.missing.contains_key(path),
        Record::Recovered { path, .. } => {
            state.degraded.contains(path) || state.missing.contains_key(path)
        }
        _ => true,
    }
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
