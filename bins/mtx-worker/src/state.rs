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
}

impl Default for Status {
    fn default() -> Self {
        log::info!(state:% = State::Connecting; "connecting");
        Self {
            source: Cell::new(Link::Down),
            sink: Cell::new(Link::Down),
        }
    }
}

impl Status {
    pub(crate) fn set(&self, side: Side, link: Link) {
        let before = self.state();
        match side {
            Side::Source => self.source.set(link),
            Side::Sink => self.sink.set(link),
        }
        let state = self.state();
        if state != before {
            log::info!(state:% = state; "{state}");
        }
    }

    /// Whether a connection was lost and waits to be tried again.
    pub(crate) fn is_waiting(&self, side: Side) -> bool {
        let link = match side {
            Side::Source => &self.source,
            Side::Sink => &self.sink,
        };
        link.get() == Link::Waiting
    }

    pub(crate) fn state(&self) -> State {
        State::of(self.source.get(), self.sink.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
