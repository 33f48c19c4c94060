//! When which stream is looked at, and in which order workers are started: only what something has happened to, or what is
//! due, costs anything.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use log::Level;

use super::super::launched::Launched;
use super::super::machine::Input;
use super::queue::Queue;
use super::{FIRST_LIST, LOST, STALLED, Server, Supervision};
use crate::stream_key::StreamKey;

/// With nothing to wait for, there is still a look around now and then.
const IDLE: Duration = Duration::from_secs(1);
/// Until a start that the limit on all streams holds back is looked at again.
const HELD_BACK: Duration = Duration::from_millis(50);
/// Likewise where something else is waited for, of whose coming a message tells.
const UNREADY: Duration = Duration::from_millis(500);

#[derive(Default)]
pub(super) struct Schedule {
    /// Something has happened to them.
    touched: BTreeSet<StreamKey>,
    /// When time alone makes a difference.
    deadlines: Queue<Instant>,
    /// Those that are to be started now. Who failed less often in a row goes first, so that many that always fail don't hold
    /// up one that does not; then who waits longest.
    starts: Queue<(u32, Instant)>,
    /// Of these, those that were not told yet that there is no room for them.
    hopeful: BTreeSet<StreamKey>,
    /// To be started, but for something that others have to tell first.
    unready: BTreeSet<StreamKey>,
    /// Those that have a worker.
    running: BTreeSet<StreamKey>,
    is_full: bool,
}

impl Schedule {
    pub(super) fn touch(&mut self, key: &StreamKey) {
        self.touched.insert(key.clone());
    }

    /// What was waited for may have come.
    pub(super) fn retry(&mut self) {
        self.touched.append(&mut self.unready);
    }

    fn due(&self, now: Instant) -> Option<StreamKey> {
        let (at, key) = self.deadlines.first()?;
        (*at <= now).then(|| key.clone())
    }

    fn forget(&mut self, key: &StreamKey) {
        self.deadlines.set(key, None);
        self.starts.set(key, None);
        self.hopeful.remove(key);
        self.unready.remove(key);
        self.running.remove(key);
    }
}

/// What became of a start that was due.
enum Start {
    Done,
    Unready,
    /// The limit on all streams has no start left.
    Limited,
}

impl Supervision {
    /// What time brings: workers that hang, deadlines, starts that are due.
    pub(super) fn look_after(&mut self) {
        let now = self.now();
        let stalled = now.saturating_duration_since(self.looked) >= STALLED;
        self.look_after_at(now, stalled);
    }

    /// The time; it does not go back.
    pub(super) fn now(&self) -> Instant {
        Instant::now().max(self.looked)
    }

    pub(super) fn look_after_at(&mut self, now: Instant, stalled: bool) {
        self.looked = now;
        if stalled {
            log::warn!("this process was held up; workers are given time to report");
            let workers = self.streams.values_mut();
            let workers = workers.filter_map(|stream| stream.worker.as_mut());
            workers.for_each(|worker| worker.excuse(self.looked));
        }
        self.renew_names(now);
        self.schedule_touched(now);
        while let Some(key) = self.schedule.due(now) {
            self.look_after_worker(&key, now);
            self.feed(&key, Input::Time);
            self.schedule(&key, now);
            if self.schedule.due(now).is_some_and(|next| next == key) {
                // Whatever it waits for, it does not come with time.
                self.schedule.deadlines.set(&key, Some(now + HELD_BACK));
            }
        }
        self.start_due(now);
        self.schedule_touched(now);
    }

    /// How long nothing has to be done unless something is heard.
    pub(super) fn patience(&self) -> Duration {
        if self.schedule.starts.first().is_some() && self.has_room() {
            return HELD_BACK;
        }
        let next = self.schedule.deadlines.first();
        let wait = next.map(|(at, _)| at.saturating_duration_since(Instant::now()));
        wait.map_or(IDLE, |wait| wait.min(IDLE))
    }

    fn schedule_touched(&mut self, now: Instant) {
        let mut touched = std::mem::take(&mut self.schedule.touched);
        touched.extend(self.changed.iter().cloned());
        for key in touched {
            self.schedule(&key, now);
        }
    }

    fn schedule(&mut self, key: &StreamKey, now: Instant) {
        let schedule = &mut self.schedule;
        let Some(stream) = self.streams.get_mut(key) else {
            return schedule.forget(key);
        };
        let rank = stream.machine.start_rank(now);
        let machine = stream.machine.deadline().filter(|_| rank.is_none());
        let worker = stream.worker.as_ref().map(Launched::deadline);
        schedule.unready.remove(key);
        schedule
            .deadlines
            .set(key, machine.into_iter().chain(worker).min());
        let rank = rank.filter(|_| !stream.is_blocked());
        let was_queued = schedule.starts.set(key, rank);
        if rank.is_none() {
            stream.crowded = None;
            schedule.hopeful.remove(key);
        } else if !was_queued && stream.crowded.is_none() {
            schedule.hopeful.insert(key.clone());
        }
        if stream.worker.is_some() {
            schedule.running.insert(key.clone());
        } else {
            schedule.running.remove(key);
        }
        // It may have been blocked, or freed, since it was looked at.
        if let Some(state) = stream.new_state() {
            stream.log(Level::Info, format_args!("stream is {state}"));
            self.changed.insert(key.clone());
        }
    }

    fn has_room(&self) -> bool {
        self.schedule.running.len() < self.config.max_streams
    }

    fn start_due(&mut self, now: Instant) {
        while let Some((_, key)) = self.schedule.starts.first() {
            let key = key.clone();
            if !self.has_room() {
                return self.turn_away();
            }
            match self.try_start(&key, now) {
                Start::Done => self.schedule(&key, now),
                Start::Unready => {
                    self.schedule.starts.set(&key, None);
                    self.schedule.deadlines.set(&key, Some(now + UNREADY));
                    self.schedule.unready.insert(key);
                }
                Start::Limited => return self.count_delayed(),
            }
        }
        self.schedule.is_full &= !self.has_room();
    }

    /// Tells the streams for which there is no room.
    fn turn_away(&mut self) {
        let most = self.config.max_streams;
        let hopeful = std::mem::take(&mut self.schedule.hopeful);
        if !self.schedule.is_full && !hopeful.is_empty() {
            self.schedule.is_full = true;
            log::warn!(
                "{most} workers run, which is --max-streams: further streams wait for the end of one"
            );
        }
        for key in hopeful {
            let Some(stream) = self.streams.get_mut(&key) else {
                continue;
            };
            let why = format!(
                "{most} workers run already, which is --max-streams; it starts when one of them ends"
            );
            stream.note("blocked", why.clone());
            stream.crowded = Some(why);
            if let Some(state) = stream.new_state() {
                stream.log(Level::Info, format_args!("stream is {state}: no room"));
            }
            self.changed.insert(key);
        }
    }

    /// Each of them is looked at again and again, but delayed once.
    fn count_delayed(&mut self) {
        for key in &self.schedule.hopeful {
            if let Some(stream) = self.streams.get_mut(key) {
                self.totals.starts_delayed += u64::from(!stream.delayed);
                stream.delayed = true;
            }
        }
    }

    fn try_start(&mut self, key: &StreamKey, now: Instant) -> Start {
        if !self.is_ready_for(key, now) {
            return Start::Unready;
        }
        if !self.limit.take(now) {
            return Start::Limited;
        }
        if let Some(stream) = self.streams.get_mut(key) {
            let is_again = stream.machine.is_start_again();
            stream.restarts += u64::from(is_again);
            stream.delayed = false;
            stream.crowded = None;
        }
        self.feed(key, Input::MayStart);
        Start::Done
    }

    fn is_ready_for(&mut self, key: &StreamKey, now: Instant) -> bool {
        let Some(stream) = self.streams.get(key) else {
            return false;
        };
        let needs_mediamtx = stream.plan.task.needs_mediamtx;
        // A worker that failed along with its server would only fail again, unless it is the API alone that is away.
        let is_lost = self.server == Server::Lost && now - self.lost < LOST;
        if is_lost && needs_mediamtx && stream.machine.is_start_again() {
            return false;
        }
        let is_early = self.server == Server::NeverReached && now - self.began < FIRST_LIST;
        if is_early && stream.declared.is_some() && needs_mediamtx {
            return false;
        }
        self.knows_names(key, now)
    }
}
