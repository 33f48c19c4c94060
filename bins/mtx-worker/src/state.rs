//! Where a worker stands, as its log tells it.

use std::cell::Cell;
use std::fmt;

/// The state of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// Not there yet.
    Down,
    /// Media goes through it.
    Up,
    /// Lost; waits to be tried again.
    Waiting,
    /// Given up while other outputs go on.
    Lost,
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
            (Link::Lost, _) | (_, Link::Lost) => Self::Retrying,
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
    /// The output of this number.
    Sink(usize),
}

/// Follows all connections and logs each change of the worker's state.
pub(crate) struct Status {
    source: Cell<Link>,
    sinks: Vec<Cell<Link>>,
    reconnects: Cell<u64>,
}

impl Status {
    pub(crate) fn new(outputs: usize) -> Self {
        log::info!(state:% = State::Connecting; "connecting");
        Self {
            source: Cell::new(Link::Down),
            sinks: vec![Cell::new(Link::Down); outputs],
            reconnects: Cell::new(0),
        }
    }

    pub(crate) fn set(&self, side: Side, link: Link) {
        let before = self.state();
        let changed = match side {
            Side::Source => &self.source,
            Side::Sink(number) => &self.sinks[number],
        };
        let was = changed.replace(link);
        if matches!(was, Link::Waiting | Link::Lost) && link == Link::Up {
            self.reconnects.set(self.reconnects.get() + 1);
        }
        let state = self.state();
        // The worker ends with its last output.
        if state != before && !self.is_every_output_lost() {
            log::info!(state:% = state; "{state}");
        }
    }

    /// How often a lost connection came back.
    pub(crate) fn reconnects(&self) -> u64 {
        self.reconnects.get()
    }

    /// Whether the source was lost and waits to be tried again.
    pub(crate) fn is_source_waiting(&self) -> bool {
        self.source.get() == Link::Waiting
    }

    /// Whether none of the outputs is worth going on for.
    pub(crate) fn is_every_output_lost(&self) -> bool {
        self.sinks.iter().all(|sink| sink.get() == Link::Lost)
    }

    pub(crate) fn outputs_up(&self) -> usize {
        self.sinks
            .iter()
            .filter(|sink| sink.get() == Link::Up)
            .count()
    }

    /// Of several outputs, the one that is best off counts.
    pub(crate) fn state(&self) -> State {
        let is = |link: &Link| self.sinks.iter().any(|sink| sink.get() == *link);
        let order = [Link::Up, Link::Waiting, Link::Down];
        let sink = order.into_iter().find(is).unwrap_or(Link::Lost);
        State::of(self.source.get(), sink)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_comes_back_is_counted() {
        let status = Status::new(1);
        for link in [Link::Up, Link::Waiting, Link::Waiting, Link::Up, Link::Up] {
            status.set(Side::Source, link);
        }
        assert_eq!(status.reconnects(), 1);
    }

    #[test]
    fn of_several_outputs_the_best_one_decides() {
        let status = Status::new(2);
        status.set(Side::Source, Link::Up);
        for (links, expected, lost) in [
            ([Link::Up, Link::Waiting], State::Streaming, false),
            ([Link::Lost, Link::Up], State::Streaming, false),
            ([Link::Lost, Link::Waiting], State::Retrying, false),
            ([Link::Lost, Link::Lost], State::Retrying, true),
        ] {
            for (number, link) in links.into_iter().enumerate() {
                status.set(Side::Sink(number), link);
            }
            assert_eq!(status.state(), expected, "{links:?}");
            assert_eq!(status.is_every_output_lost(), lost, "{links:?}");
        }
    }

    #[test]
    fn the_weaker_connection_decides() {
        use Link::{Down, Lost, Up, Waiting};
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
            (Up, Lost, State::Retrying),
        ];
        for (source, sink, expected) in table {
            assert_eq!(State::of(source, sink), expected, "{source:?} {sink:?}");
        }
    }
}
