//! One path, from one look to the next.

use std::time::{Duration, Instant};

use common::timestamp::Timestamp;

use super::health::{Health, TRIES};
use super::metrics::Metrics;
use super::segments::Files;
use crate::journal::Record;

/// MediaMTX closes most sources that send nothing for so long by itself.
const SILENCE: Duration = Duration::from_secs(20);

/// Whether a stream is to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// When somebody comes for it.
    None,
    /// Until it is stopped.
    Lasting,
}

/// What there is to see of a path.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    pub(super) is_live: bool,
    pub(super) wish: Wish,
    /// When somebody has started it.
    pub(super) asked: Option<Timestamp>,
    /// Since when it is there, as the server says.
    pub(super) available: Option<Timestamp>,
}

impl Look {
    /// How many seconds it took to come once it was asked for.
    fn activation(self) -> Option<f64> {
        let took = self.available?.as_millisecond() - self.asked?.as_millisecond();
        let took = u32::try_from(took).ok()?;
        Some(Duration::from_millis(took.into()).as_secs_f64())
    }
}

/// What is known of one path.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) health: Health,
    pub(super) files: Files,
    looked: bool,
    wish: Wish,
    live: Option<Live>,
    stopped_since: Option<Instant>,
    gone_since: Option<Instant>,
}

#[derive(Debug)]
struct Live {
    since: Instant,
    bytes: u64,
    grown: Instant,
    is_silent: bool,
}

impl Seen {
    pub(super) fn new(is_degraded: bool, now: Instant) -> Self {
        Self {
            health: match is_degraded {
                true => Health::Degraded { until: now },
                false => Health::Up,
            },
            live: None,
            stopped_since: None,
            gone_since: None,
            files: Files::default(),
            looked: false,
            wish: Wish::None,
        }
    }
}

impl Seen {
    /// Streams that come and go.
    pub(super) fn change(&mut self, path: &str, look: Look, metrics: &Metrics, now: Instant) {
        if look.wish == Wish::Lasting {
            self.stopped_since = None;
        } else if self.wish == Wish::Lasting {
            (self.stopped_since, self.gone_since) = (Some(now), None);
        }
        self.wish = look.wish;
        match (self.live.take(), look.is_live) {
            (None, true) => self.came(path, look, metrics, now),
            (Some(live), false) => self.went(path, &live, metrics, now),
            (live, _) => self.live = live,
        }
        self.looked = true;
    }

    fn came(&mut self, path: &str, look: Look, metrics: &Metrics, now: Instant) {
        if let Some(since) = self.gone_since.take() {
            let seconds = now.duration_since(since).as_secs_f64();
            metrics.recovery.observe(seconds);
            log::info!(path = path, seconds = seconds; "the stream is back");
        } else if let Some(seconds) = look.activation().filter(|_| self.looked) {
            metrics.activation.observe(seconds);
            log::info!(path = path, seconds = seconds; "the stream is there");
        }
        self.live = Some(Live {
            since: now,
            bytes: 0,
            grown: now,
            is_silent: false,
        });
    }

    fn went(&mut self, path: &str, live: &Live, metrics: &Metrics, now: Instant) {
        let seconds = |since: Instant| now.duration_since(since).as_secs_f64();
        metrics.session.observe(seconds(live.since));
        if let Some(since) = self.stopped_since.take() {
            metrics.deactivation.observe(seconds(since));
            log::info!(path = path; "the stream has ended");
        } else if self.wish == Wish::Lasting {
            self.gone_since = Some(now);
            metrics.failed("source");
            log::warn!(path = path; "the stream has gone, though it is wanted");
        }
    }

    /// Whether a source is there and sends nothing.
    pub(super) fn flow(&mut self, path: &str, bytes: u64, now: Instant, metrics: &Metrics) -> bool {
        let Some(live) = &mut self.live else {
            return false;
        };
        if bytes != live.bytes {
            (live.bytes, live.grown, live.is_silent) = (bytes, now, false);
        } else if now >= live.grown + SILENCE && !live.is_silent {
            live.is_silent = true;
            metrics.failed("silence");
            log::warn!(path = path; "the source is there, but has sent nothing for {SILENCE:?}");
        }
        live.is_silent
    }

    /// What is done about a source that is not there, or silent. A rest takes at least as long as `rest`.
    pub(super) fn check(
        &mut self,
        path: &str,
        is_there: bool,
        grace: Duration,
        rest: Duration,
        keep: bool,
        metrics: &Metrics,
    ) -> Option<Record> {
        let now = Instant::now();
        let before = self.health;
        let jitter = 0.8 + fastrand::f64() * 0.4;
        let after = before.on(is_there, now, grace, jitter);
        self.health = match before {
            Health::Resting { .. } => after,
            _ => after.at_least(now + rest),
        };
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
            // Nothing can be let rest that comes by itself, or not.
            Health::Resting { .. } if !keep => None,
            Health::Down { .. } | Health::Trying { .. } => None,
            Health::Degraded { .. } if !keep => {
                metrics.failed("degraded");
                log::warn!(path = path; "degraded: the stream is wanted, and has not come for minutes");
                Some(Record::Degraded {
                    at,
                    path: path_name,
                })
            }
            Health::Resting { attempt, until } => {
                let wait = until.duration_since(now).as_secs_f64();
                log::warn!(path = path, attempt = attempt, of = TRIES, wait = wait; "the source does not come: it rests");
                Some(Record::Missing {
                    at,
                    path: path_name,
                })
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
