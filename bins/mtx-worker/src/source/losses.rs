//! What got lost between a source and the worker.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// A line of the log in so much time says what was lost in it.
const INTERVAL: Duration = Duration::from_secs(10);

/// Counts of one session, or of several.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Losses {
    /// Packets that never came, by their sequence numbers.
    pub(crate) packets: u64,
    /// Access units that were left out, since something of them was missing or damaged.
    pub(crate) units: u64,
}

impl Losses {
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            packets: self.packets + other.packets,
            units: self.units + other.units,
        }
    }
}

/// Counts of all sessions of a source.
#[derive(Debug, Default)]
pub(super) struct Total {
    /// Of those that are over.
    before: Cell<Losses>,
    session: Cell<Losses>,
}

impl Total {
    /// A session begins.
    pub(super) fn start_session(&self) {
        self.before.set(self.get());
        self.session.take();
    }

    /// What it lost so far.
    pub(super) fn update(&self, session: Losses) {
        self.session.set(session);
    }

    pub(super) fn get(&self) -> Losses {
        self.before.get().plus(self.session.get())
    }
}

/// Tells of losses, the first time at once.
#[derive(Debug, Default)]
pub(super) struct Report {
    told: Option<(Instant, Losses)>,
}

impl Report {
    pub(super) fn update(&mut self, now: Instant, losses: Losses) {
        let (at, before) = match self.told {
            Some((at, before)) => (Some(at), before),
            None => (None, Losses::default()),
        };
        let is_due = at.is_none_or(|at| now.duration_since(at) >= INTERVAL);
        if losses == before || !is_due {
            return;
        }
        // A track that was left out takes its counts with it.
        let packets = losses.packets.saturating_sub(before.packets);
        let units = losses.units.saturating_sub(before.units);
        log::warn!(lost = packets, damaged = units; "{packets} packets of the input got lost, {units} access units were left out as damaged");
        self.told = Some((now, losses));
    }
}
