//! Where a worker stands, as its log tells it.

use std::cell::Cell;
use std::fmt;

/// The state of one of the two connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// Not there yet.
    Down,
    /// Media goes through it.
    Up,
    /// Lost; waits to be tried again.
    Waiting,
}

/// The state of the whole worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Connecting,
    Streaming,
    Retrying,
    Ended,
}

impl State {
    fn of(source: Link, sink: Link) -> Self {
        match (source, sink) {
            (Link::Waiting, _) | (_, Link::Waiting) => Self::Retrying,
            (Link::Up, Link::Up) => Self::Streaming,
            (Link::Down, _) | (_, Link::Down) => Self::Connecting,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connecting => "connecting",
            Self::Streaming => "streaming",
            Self::Retrying => "retrying",
            Self::Ended => "ended",
        })
    }
}

/// Which connection changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Source,
    Sink,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Source => "input",
            Self::Sink => "output",
        })
    }
}

/// Follows both connections and logs each change of the worker's state.
pub(crate) struct Status {
    source: Cell<Link>,
    sink: Cell<Link>,
    reconnects: Cell<u64>,
}

impl Default for Status {
    fn default() -> Self {
        log::info!(state:% = State::Connecting; "connecting");
        Self {
            source: Cell::new(Link::Down),
            sink: Cell::new(Link::Down),
            reconnects: Cell::new(0),
        }
    }
}

impl Status {
    pub(crate) fn set(&self, side: Side, link: Link) {
        let before = self.state();
        if self.link(side).replace(link) == Link::Waiting && link == Link::Up {
            self.reconnects.set(self.reconnects.get() + 1);
        }
        let state = self.state();
        if state != before {
            log::info!(state:% = state; "{state}");
        }
    }

    /// How often a lost connection came back.
    pub(crate) fn reconnects(&self) -> u64 {
        self.reconnects.get()
    }

    /// Whether a connection was lost and waits to be tried again.
    pub(crate) fn is_waiting(&self, side: Side) -> bool {
        self.link(side).get() == Link::Waiting
    }

    pub(crate) fn state(&self) -> State {
        State::of(self.source.get(), self.sink.get())
    }

    fn link(&self, side: Side) -> &Cell<Link> {
        match side {
            Side::Source => &self.source,
            Side::Sink => &self.sink,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_comes_back_is_counted() {
        let status = Status::default();
        for link in [Link::Up, Link::Waiting, Link::Waiting, Link::Up, Link::Up] {
            status.set(Side::Source, link);
        }
        assert_eq!(status.reconnects(), 1);
    }

    #[test]
    fn the_weaker_connection_decides() {
        use Link::{Down, Up, Waiting};
        let table = [
            (Down, Down, State::Connecting),
            (Down, Up, State::Connecting),
            (Up, Down, State::Connecting),
            (Up, Up, State::Streaming),
            (Waiting, Up, State::Retrying),
            (Up, Waiting, State::Retrying),
            (Waiting, Waiting, State::Retrying),
            (Waiting, Down, State::Retrying),
            (Down, Waiting, State::Retrying),
        ];
        for (source, sink, expected) in table {
            assert_eq!(State::of(source, sink), expected, "{source:?} {sink:?}");
        }
    }
}
