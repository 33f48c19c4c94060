//! How the streams fare, from one look to the next.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use mediamtx::api::Api;
use mediamtx::timestamp::Timestamp;

use super::health::{Health, TRIES};
use super::metrics::{Metrics, State as StateLabel};
use super::segments::Files;
use crate::journal::{Record, State};
use crate::plan::plan;
use crate::server::View;
use crate::status::{PathState, status};

/// MediaMTX's pause before it tries a source or a keeper again.
const PAUSE: Duration = Duration::from_secs(5);
const START_TIMEOUT: Duration = Duration::from_secs(10);
/// MediaMTX closes most sources that send nothing for so long by itself.
const SILENCE: Duration = Duration::from_secs(20);

/// What is known of the paths.
#[derive(Debug, Default)]
pub(super) struct Observed {
    paths: BTreeMap<String, Seen>,
    began: bool,
}

#[derive(Debug)]
struct Seen {
    health: Health,
    live: Option<Live>,
    wanted_since: Option<Instant>,
    unwanted_since: Option<Instant>,
    gone_since: Option<Instant>,
    files: Files,
}

#[derive(Debug)]
struct Live {
    since: Instant,
    bytes: u64,
    grown: Instant,
    told: bool,
}

impl Seen {
    fn new(is_degraded: bool, now: Instant) -> Self {
        Self {
            health: match is_degraded {
                true => Health::Degraded { until: now },
                false => Health::Up,
            },
            live: None,
            wanted_since: None,
            unwanted_since: None,
            gone_since: None,
            files: Files::default(),
        }
    }
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
            let kept = plan(&wanted, view, name, state.touched.get(name)).is_ok_and(|it| it.kept);
            let is_wanted = kept || !path.use_cases.is_empty() && path.stopped.is_none();
            seen.change(name, is_live, is_wanted, self.began, now, metrics);
            seen.flow(name, view, now, metrics);
            if kept {
                let timeout = wanted.settings(name).start_timeout;
                let grace = PAUSE + timeout.map_or(START_TIMEOUT, |span| span.duration());
                let note = seen.check(name, is_live, grace, now, metrics);
                notes.extend(note.filter(|note| is_news(note, is_degraded)));
            } else {
                seen.health = Health::Up;
            }
        }
        self.began = true;
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

impl Seen {
    /// Streams that come and go.
    fn change(
        &mut self,
        path: &str,
        is_live: bool,
        is_wanted: bool,
        began: bool,
        now: Instant,
        metrics: &Metrics,
    ) {
        match is_wanted {
            true => {
                self.wanted_since.get_or_insert(now);
                self.unwanted_since = None;
            }
            false if self.wanted_since.take().is_some() => self.unwanted_since = Some(now),
            false => {}
        }
        let seconds = |since: Instant| now.duration_since(since).as_secs_f64();
        match (&self.live, is_live) {
            (None, true) => {
                if let Some(since) = self.gone_since.take() {
                    metrics.recovery.observe(seconds(since));
                    log::info!(path = path, seconds = seconds(since); "the stream is back");
                } else if let Some(since) = self.wanted_since.filter(|_| began) {
                    metrics.activation.observe(seconds(since));
                    log::info!(path = path; "the stream is there");
                }
                self.live = Some(Live {
                    since: now,
                    bytes: 0,
                    grown: now,
                    told: false,
                });
            }
            (Some(live), false) => {
                metrics.session.observe(seconds(live.since));
                self.live = None;
                match self.unwanted_since.take() {
                    Some(since) => {
                        metrics.deactivation.observe(seconds(since));
                        log::info!(path = path; "the stream has ended");
                    }
                    None if is_wanted => {
                        self.gone_since = Some(now);
                        metrics.failed("source");
                        log::warn!(path = path; "the stream has gone, though it is wanted");
                    }
                    None => {}
                }
            }
            (Some(_), true) | (None, false) => {}
        }
        if !is_wanted {
            self.gone_since = None;
        }
    }

    /// A source that is there and sends nothing.
    fn flow(&mut self, path: &str, view: &View, now: Instant, metrics: &Metrics) {
        let bytes = view.live(path).map_or(0, |live| live.bytes_received);
        let Some(live) = &mut self.live else {
            return;
        };
        if bytes != live.bytes {
            (live.bytes, live.grown, live.told) = (bytes, now, false);
        } else if now >= live.grown + SILENCE && !live.told {
            live.told = true;
            metrics.failed("silence");
            log::warn!(path = path; "the source is there, but has sent nothing for {SILENCE:?}");
        }
    }

    /// What is done about a source that is not there.
    fn check(
        &mut self,
        path: &str,
        is_live: bool,
        grace: Duration,
        now: Instant,
        metrics: &Metrics,
    ) -> Option<Record> {
        let before = self.health;
        let jitter = 0.8 + fastrand::f64() * 0.4;
        self.health = before.on(is_live, now, grace, jitter);
        if self.health == before {
            return None;
        }
        let at = Timestamp::now();
        let path_name = path.to_owned();
        match self.health {
            Health::Up => Some(Record::Recovered {
                at,
                path: path_name,
            }),
            Health::Down { .. } | Health::Trying { .. } => None,
            Health::Resting { attempt, until } => {
                let wait = until.duration_since(now).as_secs_f64();
                log::warn!(path = path, attempt = attempt, of = TRIES, wait = wait; "the source does not come: it rests");
                None
            }
            Health::Degraded { .. } => {
                metrics.failed("degraded");
                log::error!(
                    path = path;
                    "degraded: the source does not come. It is tried every 5 minutes; \
                     mtx-lifecycle start makes it be tried at once"
                );
                Some(Record::Degraded {
                    at,
                    path: path_name,
                })
            }
        }
    }
}
