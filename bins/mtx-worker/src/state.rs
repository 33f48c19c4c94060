//! Where a worker stands, as its log tells it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;

use common::secret;
use serde::Serialize;
use tokio::sync::Notify;

/// The state of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// Not there yet.
    Down,
    /// Media goes through it.
    Up,
    /// Open, but the video that it is there for does not come.
    NoVideo,
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
            (Link::Waiting | Link::NoVideo, _) | (_, Link::Waiting | Link::NoVideo) => {
                Self::Retrying
            }
            (Link::Up, Link::Up) => Self::Streaming,
            (Link::Down, _) | (_, Link::Down) => Self::Connecting,
        }
    }
}

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Streaming => "streaming",
            Self::Retrying => "retrying",
            Self::Ended => "ended",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Names an output for as long as the worker runs; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct OutputKey(pub(crate) u64);

/// How one output fares.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct OutputReport {
    /// What its id is for whoever wants it.
    id: String,
    /// Its URL, without secrets.
    output: String,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

struct OutputStatus {
    id: String,
    shown: String,
    link: Link,
    /// Why it waits or is lost.
    reason: Option<String>,
    reported: Option<OutputReport>,
}

impl OutputStatus {
    fn report(&self, source: Link) -> OutputReport {
        let reason = match self.link {
            Link::Waiting | Link::Lost => self.reason.clone(),
            _ if source == Link::Waiting => Some("the input is away".to_owned()),
            Link::NoVideo => self.reason.clone(),
            _ => None,
        };
        let state = match self.link {
            Link::Lost => "lost",
            link => State::of(source, link).name(),
        };
        OutputReport {
            id: self.id.clone(),
            output: self.shown.clone(),
            state,
            reason,
        }
    }
}

/// Follows all connections and logs each change of the worker's state.
pub(crate) struct Status {
    source: Cell<Link>,
    outputs: RefCell<BTreeMap<OutputKey, OutputStatus>>,
    reconnects: Cell<u64>,
    has_changed: Notify,
}

impl Status {
    pub(crate) fn new() -> Self {
        log::info!(state:% = State::Connecting; "connecting");
        Self {
            source: Cell::new(Link::Down),
            outputs: RefCell::default(),
            reconnects: Cell::new(0),
            has_changed: Notify::new(),
        }
    }

    /// Follows one more output, which reports call by this id and this URL without secrets.
    pub(crate) fn add_output(&self, output: OutputKey, id: String, shown: String) {
        let status = OutputStatus {
            id,
            shown,
            link: Link::Down,
            reason: None,
            reported: None,
        };
        self.change(|| {
            self.outputs.borrow_mut().insert(output, status);
        });
    }

    /// What its connection does from now on changes nothing.
    pub(crate) fn remove_output(&self, output: OutputKey) {
        self.change(|| {
            self.outputs.borrow_mut().remove(&output);
        });
    }

    pub(crate) fn set_source(&self, link: Link) {
        if self.source.get() != link {
            self.change(|| self.count(self.source.replace(link), link));
        }
    }

    pub(crate) fn set_output(&self, output: OutputKey, link: Link) {
        self.set(output, link, None);
    }

    /// It is lost for now, or for long.
    pub(crate) fn set_output_lost(&self, output: OutputKey, link: Link, reason: &str) {
        self.set(output, link, Some(reason));
    }

    /// It is open, but gets no video. One that was lost before has not come back by that.
    pub(crate) fn set_output_without_video(&self, output: OutputKey, reason: &str) {
        let link = self.outputs.borrow().get(&output).map(|status| status.link);
        let link = match link {
            Some(Link::Waiting) => Link::Waiting,
            _ => Link::NoVideo,
        };
        self.set(output, link, Some(reason));
    }

    fn set(&self, output: OutputKey, link: Link, reason: Option<&str>) {
        let is_same = |status: &OutputStatus| status.link == link && reason.is_none();
        if self.outputs.borrow().get(&output).is_none_or(is_same) {
            return;
        }
        let state = self.changed(|| {
            if let Some(status) = self.outputs.borrow_mut().get_mut(&output) {
                self.count(status.link, link);
                status.link = link;
                status.reason = reason.map(|reason| secret::scrub(reason).into_owned());
            }
        });
        // The worker ends with its last output, and logs that itself.
        if !self.is_last_output_lost(output) {
            log_state(state);
        }
    }

    /// An output that was given up is tried again at once. It keeps its reason.
    pub(crate) fn set_output_tried_again(&self, output: OutputKey) {
        self.change(|| {
            if let Some(status) = self.outputs.borrow_mut().get_mut(&output) {
                status.link = Link::Waiting;
            }
        });
    }

    /// What has changed for an output since it was reported last.
    pub(crate) fn take_report(&self) -> Option<OutputReport> {
        let mut outputs = self.outputs.borrow_mut();
        outputs.values_mut().find_map(|status| {
            let report = Some(status.report(self.source.get()));
            let is_new = status.reported != report;
            is_new.then(|| status.reported.clone_from(&report))?;
            report
        })
    }

    /// Waits until there is such a change.
    pub(crate) async fn next_report(&self) -> OutputReport {
        loop {
            if let Some(report) = self.take_report() {
                return report;
            }
            self.has_changed.notified().await;
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

    /// Whether this output is lost, and with it the last one that was worth going on for.
    pub(crate) fn is_last_output_lost(&self, output: OutputKey) -> bool {
        self.outputs.borrow().contains_key(&output) && self.is_every_output_lost()
    }

    pub(crate) fn outputs_up(&self) -> usize {
        let outputs = self.outputs.borrow();
        outputs
            .values()
            .filter(|status| status.link == Link::Up)
            .count()
    }

    /// Of several outputs, the one that is best off counts.
    pub(crate) fn state(&self) -> State {
        let outputs = self.outputs.borrow();
        let is = |link: &Link| outputs.values().any(|status| status.link == *link);
        let order = [
            Link::Up,
            Link::NoVideo,
            Link::Waiting,
            Link::Down,
            Link::Lost,
        ];
        let output = order.into_iter().find(is).unwrap_or(Link::Down);
        State::of(self.source.get(), output)
    }

    /// Whether there are outputs, and none of them is worth going on for.
    pub(crate) fn is_every_output_lost(&self) -> bool {
        let outputs = self.outputs.borrow();
        !outputs.is_empty() && outputs.values().all(|status| status.link == Link::Lost)
    }

    fn count(&self, before: Link, now: Link) {
        if matches!(before, Link::Waiting | Link::Lost) && now == Link::Up {
            self.reconnects.set(self.reconnects.get() + 1);
        }
    }

    fn change(&self, make: impl FnOnce()) {
        log_state(self.changed(make));
    }

    /// Makes a change; returns the worker's state if that is another one now.
    fn changed(&self, make: impl FnOnce()) -> Option<State> {
        let before = self.state();
        make();
        self.has_changed.notify_one();
        let state = self.state();
        (state != before).then_some(state)
    }
}

fn log_state(state: Option<State>) {
    if let Some(state) = state {
        log::info!(state:% = state; "{state}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(status: &Status, output: OutputKey) {
        status.add_output(output, output.0.to_string(), "rtmp://h/***".to_owned());
    }

    #[test]
    fn each_change_of_an_output_is_reported_once_and_the_last_one_counts() {
        let status = Status::new();
        let output = OutputKey(1);
        add(&status, output);
        let next = || {
            status
                .take_report()
                .map(|report| (report.state, report.reason))
        };
        assert_eq!(next(), Some(("connecting", None)));
        assert_eq!(next(), None);
        status.set_source(Link::Up);
        status.set_output(output, Link::Up);
        assert_eq!(next(), Some(("streaming", None)));
        status.set_source(Link::Waiting);
        let away = Some("the input is away".to_owned());
        assert_eq!(next(), Some(("retrying", away)));
        status.set_source(Link::Up);
        status.set_output_lost(output, Link::Waiting, "gone");
        status.set_output_lost(output, Link::Lost, "refused");
        assert_eq!(next(), Some(("lost", Some("refused".to_owned()))));
        status.remove_output(output);
        assert_eq!(next(), None);
    }

    #[test]
    fn a_connection_that_comes_back_is_counted() {
        let status = Status::new();
        for link in [Link::Up, Link::Waiting, Link::Waiting, Link::Up, Link::Up] {
            status.set_source(link);
        }
        assert_eq!(status.reconnects(), 1);
    }

    #[test]
    fn an_output_that_gets_no_video_is_retrying_and_counts_as_lost_only_if_it_was() {
        for (before, reconnects) in [(Link::Down, 0), (Link::Up, 0), (Link::Waiting, 1)] {
            let (status, output) = (Status::new(), OutputKey(1));
            add(&status, output);
            status.set_source(Link::Up);
            status.set_output(output, before);
            status.set_output_without_video(output, "no key frame");
            let report = status.take_report().unwrap();
            let reported = (report.state, report.reason.as_deref());
            assert_eq!(reported, ("retrying", Some("no key frame")), "{before:?}");
            assert_eq!((status.state(), status.outputs_up()), (State::Retrying, 0));
            status.set_output(output, Link::Up);
            assert_eq!(status.state(), State::Streaming);
            assert_eq!(status.reconnects(), reconnects, "{before:?}");
        }
    }

    #[test]
    fn of_several_outputs_the_best_one_decides() {
        let status = Status::new();
        let outputs = [OutputKey(1), OutputKey(2)];
        for output in outputs {
            add(&status, output);
        }
        status.set_source(Link::Up);
        for (links, expected, lost) in [
            ([Link::Up, Link::Waiting], State::Streaming, false),
            ([Link::Lost, Link::Up], State::Streaming, false),
            ([Link::Lost, Link::Waiting], State::Retrying, false),
            ([Link::Lost, Link::Lost], State::Retrying, true),
        ] {
            for (output, link) in outputs.into_iter().zip(links) {
                status.set_output(output, link);
            }
            assert_eq!(status.state(), expected, "{links:?}");
            for output in outputs {
                assert_eq!(status.is_last_output_lost(output), lost, "{links:?}");
            }
        }
    }

    #[test]
    fn an_output_that_was_removed_counts_no_longer() {
        let status = Status::new();
        let (kept, removed) = (OutputKey(1), OutputKey(2));
        add(&status, kept);
        add(&status, removed);
        status.set_source(Link::Up);
        status.set_output(removed, Link::Up);
        status.set_output(kept, Link::Lost);
        status.remove_output(removed);
        status.set_output(removed, Link::Up);
        assert_eq!((status.state(), status.outputs_up()), (State::Retrying, 0));
        assert!(status.is_last_output_lost(kept));
        assert!(!status.is_last_output_lost(removed));
        status.remove_output(kept);
        assert_eq!(status.state(), State::Connecting);
    }

    #[test]
    fn a_removal_that_leaves_lost_outputs_ends_the_streaming_and_they_are_tried_again() {
        let status = Status::new();
        let (healthy, lost) = (OutputKey(1), OutputKey(2));
        add(&status, healthy);
        add(&status, lost);
        status.set_source(Link::Up);
        status.set_output(healthy, Link::Up);
        status.set_output_lost(lost, Link::Lost, "refused");
        let remove = || {
            status.outputs.borrow_mut().remove(&healthy);
        };
        assert_eq!(status.changed(remove), Some(State::Retrying));
        while status.take_report().is_some() {}
        status.set_output_tried_again(lost);
        let report = status.take_report().unwrap();
        assert_eq!(
            (report.state, report.reason.as_deref()),
            ("retrying", Some("refused"))
        );
        assert!(!status.is_every_output_lost());
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
