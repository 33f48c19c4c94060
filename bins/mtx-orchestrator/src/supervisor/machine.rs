//! What is to be done about one stream: decisions only, no process and no clock of its own.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::failure::Failure;
use super::policy::Policy;
use super::status::{BreakerState, BreakerStatus, StreamState};

/// How long a worker may take to end after SIGTERM.
pub(super) const TERMINATION: Duration = Duration::from_secs(2);

/// Where a stream stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Phase {
    /// No worker; one is to be started when it is due and the limit on all streams allows it.
    Waiting { due: Instant, cause: Cause },
    /// The stream is there, and a worker for it.
    Up { streaming: bool },
    /// The stream is away.
    Grace { until: Instant, worker: bool },
    /// The worker was told to end, and is killed if it has not.
    Ending { kill_at: Instant, next: Next },
    /// Told to stop, which lasts also while the stream is away.
    Stopped,
}

/// Why a worker is to be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// The stream is new or back, or an operator wants it.
    Wanted,
    /// The last worker failed.
    Failure,
    /// The breaker half-opens.
    Probe,
}

/// What follows the end of a worker that was told to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    Start,
    Stop,
    Forget,
    /// It was killed because it misbehaved: a failure like any other.
    Recover(Failure),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Breaker {
    Closed,
    Open { until: Instant, failure: Failure },
    HalfOpen { failure: Failure },
}

/// What has happened.
#[derive(Debug, Clone)]
pub(super) enum Input {
    /// The stream is there.
    Present,
    /// It is not.
    Absent,
    /// Nobody wants it any more: there is no grace period.
    Removed,
    /// The limit on all streams allows a start.
    MayStart,
    /// The worker reported; whether media flows.
    Reported {
        streaming: bool,
    },
    /// The worker has not reported for too long, or takes more than it may.
    Condemned(Failure),
    /// The worker has ended, or could not be started.
    Ended(Ended),
    /// Time has passed.
    Time,
    Start,
    Stop,
    Restart,
}

#[derive(Debug, Clone)]
pub(super) struct Ended {
    pub(super) failure: Failure,
    /// Whether it says something about the stream: not while the server itself is away.
    pub(super) blame: bool,
    /// A random number from 0 to 1, for the jitter.
    pub(super) draw: f64,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Spawn,
    Terminate,
    Kill,
    /// Nothing is left to know about the stream.
    Forget,
}

/// One stream.
#[derive(Debug)]
pub(super) struct Machine {
    phase: Phase,
    present: bool,
    breaker: Breaker,
    /// Those within the breaker's window.
    failures: VecDeque<Instant>,
    in_a_row: u32,
    healthy_since: Option<Instant>,
}

impl Machine {
    /// For a stream that has just turned up.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            phase: Phase::Waiting {
                due: now,
                cause: Cause::Wanted,
            },
            present: true,
            breaker: Breaker::Closed,
            failures: VecDeque::new(),
            in_a_row: 0,
            healthy_since: None,
        }
    }

    /// The one place where a stream changes its phase.
    pub(super) fn step(&mut self, input: Input, now: Instant, policy: &Policy) -> Option<Action> {
        match input {
            Input::Present => self.present(now),
            Input::Absent => self.absent(now, policy),
            Input::Removed => self.removed(now),
            Input::MayStart => self.may_start(now),
            Input::Reported { streaming } => self.reported(streaming, now, policy),
            Input::Condemned(failure) => self.condemned(failure, now),
            Input::Ended(ended) => self.ended(ended, now, policy),
            Input::Time => self.time(now),
            Input::Start => self.start(now, policy),
            Input::Stop => self.stop(now),
            Input::Restart => self.restart(now, policy),
        }
    }

    fn present(&mut self, now: Instant) -> Option<Action> {
        self.present = true;
        match &mut self.phase {
            Phase::Grace { worker: true, .. } => self.phase = Phase::Up { streaming: false },
            Phase::Grace { worker: false, .. } => self.phase = self.waiting(now),
            Phase::Ending { next, .. } if *next == Next::Forget => *next = Next::Start,
            Phase::Waiting { .. } | Phase::Up { .. } | Phase::Ending { .. } | Phase::Stopped => {}
        }
        None
    }

    fn absent(&mut self, now: Instant, policy: &Policy) -> Option<Action> {
        self.present = false;
        let until = now + policy.grace;
        match &mut self.phase {
            Phase::Waiting { .. } => {
                self.phase = Phase::Grace {
                    until,
                    worker: false,
                };
            }
            Phase::Up { .. } => {
                self.healthy_since = None;
                self.phase = Phase::Grace {
                    until,
                    worker: true,
                };
            }
            Phase::Grace { .. } | Phase::Ending { .. } | Phase::Stopped => {}
        }
        None
    }

    fn removed(&mut self, now: Instant) -> Option<Action> {
        self.present = false;
        match &mut self.phase {
            Phase::Up { .. } | Phase::Grace { worker: true, .. } => {
                self.phase = ending(now, Next::Forget);
                Some(Action::Terminate)
            }
            Phase::Ending { next, .. } => {
                *next = Next::Forget;
                None
            }
            Phase::Waiting { .. } | Phase::Grace { .. } | Phase::Stopped => Some(Action::Forget),
        }
    }

    fn may_start(&mut self, now: Instant) -> Option<Action> {
        self.wants_start(now)?;
        if let Breaker::Open { failure, .. } = &self.breaker {
            self.breaker = Breaker::HalfOpen {
                failure: failure.clone(),
            };
        }
        self.healthy_since = None;
        self.phase = Phase::Up { streaming: false };
        Some(Action::Spawn)
    }

    fn reported(&mut self, flows: bool, now: Instant, policy: &Policy) -> Option<Action> {
        let Phase::Up { streaming } = &mut self.phase else {
            return None;
        };
        *streaming |= flows;
        if !flows {
            self.healthy_since = None;
            return None;
        }
        let since = *self.healthy_since.get_or_insert(now);
        if now.saturating_duration_since(since) >= policy.healthy_after {
            self.forgive();
        }
        None
    }

    fn condemned(&mut self, failure: Failure, now: Instant) -> Option<Action> {
        match self.phase {
            Phase::Up { .. } => {
                self.phase = ending(now, Next::Recover(failure));
                Some(Action::Kill)
            }
            Phase::Grace { worker: true, .. } => Some(Action::Kill),
            _ => None,
        }
    }

    fn ended(&mut self, mut ended: Ended, now: Instant, policy: &Policy) -> Option<Action> {
        let next = match &mut self.phase {
            Phase::Up { .. } => {
                self.failed(ended, now, policy);
                return None;
            }
            Phase::Grace { worker, .. } => {
                *worker = false;
                return None;
            }
            Phase::Ending { next, .. } => next.clone(),
            Phase::Waiting { .. } | Phase::Stopped => return None,
        };
        let absent_until = (!self.present).then_some(now + policy.grace);
        match (next, absent_until) {
            (Next::Stop, _) => self.phase = Phase::Stopped,
            (Next::Forget, _) => return Some(Action::Forget),
            (_, Some(until)) => {
                self.phase = Phase::Grace {
                    until,
                    worker: false,
                };
            }
            (Next::Start, None) => self.phase = self.waiting(now),
            (Next::Recover(failure), None) => {
                ended.failure = failure;
                self.failed(ended, now, policy);
            }
        }
        None
    }

    fn failed(&mut self, ended: Ended, now: Instant, policy: &Policy) {
        self.healthy_since = None;
        if ended.blame {
            self.in_a_row = self.in_a_row.saturating_add(1);
            self.failures.push_back(now);
            let window = policy.breaker.window;
            self.failures
                .retain(|at| now.saturating_duration_since(*at) < window);
            let probing = matches!(self.breaker, Breaker::HalfOpen { .. });
            if probing || self.failures.len() >= policy.breaker.failures {
                let until = now + policy.breaker_pause;
                self.breaker = Breaker::Open {
                    until,
                    failure: ended.failure,
                };
                self.phase = self.waiting(now);
                return;
            }
        }
        self.phase = Phase::Waiting {
            due: now + policy.recovery.delay(self.in_a_row, ended.draw),
            cause: Cause::Failure,
        };
    }

    fn time(&mut self, now: Instant) -> Option<Action> {
        match &mut self.phase {
            Phase::Grace { until, worker } if *until <= now => {
                if !*worker {
                    return Some(Action::Forget);
                }
                self.phase = ending(now, Next::Forget);
                Some(Action::Terminate)
            }
            Phase::Ending { kill_at, .. } if *kill_at <= now => {
                *kill_at = now + TERMINATION;
                Some(Action::Kill)
            }
            _ => None,
        }
    }

    /// An operator knows better than the breaker.
    fn start(&mut self, now: Instant, policy: &Policy) -> Option<Action> {
        self.forgive_if_down();
        match &mut self.phase {
            Phase::Stopped if !self.present => {
                self.phase = Phase::Grace {
                    until: now + policy.grace,
                    worker: false,
                };
            }
            Phase::Stopped | Phase::Waiting { .. } => self.phase = self.waiting(now),
            Phase::Ending { next, .. } => *next = Next::Start,
            Phase::Up { .. } | Phase::Grace { .. } => {}
        }
        None
    }

    fn stop(&mut self, now: Instant) -> Option<Action> {
        match &mut self.phase {
            Phase::Up { .. } | Phase::Grace { worker: true, .. } => {
                self.phase = ending(now, Next::Stop);
                return Some(Action::Terminate);
            }
            Phase::Waiting { .. } | Phase::Grace { .. } => self.phase = Phase::Stopped,
            Phase::Ending { next, .. } => *next = Next::Stop,
            Phase::Stopped => {}
        }
        None
    }

    fn restart(&mut self, now: Instant, policy: &Policy) -> Option<Action> {
        match self.phase {
            Phase::Up { .. } | Phase::Grace { worker: true, .. } => {
                self.forgive();
                self.phase = ending(now, Next::Start);
                Some(Action::Terminate)
            }
            _ => self.start(now, policy),
        }
    }

    /// To be started now, unless the breaker is open.
    fn waiting(&self, now: Instant) -> Phase {
        match self.breaker {
            Breaker::Open { until, .. } => Phase::Waiting {
                due: until.max(now),
                cause: Cause::Probe,
            },
            Breaker::Closed | Breaker::HalfOpen { .. } => Phase::Waiting {
                due: now,
                cause: Cause::Wanted,
            },
        }
    }

    fn forgive(&mut self) {
        self.breaker = Breaker::Closed;
        self.failures.clear();
        self.in_a_row = 0;
    }

    fn forgive_if_down(&mut self) {
        if !matches!(self.phase, Phase::Up { .. }) {
            self.forgive();
        }
    }

    /// Why a worker is to be started now, if it is.
    pub(super) fn wants_start(&self, now: Instant) -> Option<Cause> {
        match self.phase {
            Phase::Waiting { due, cause } if due <= now => Some(cause),
            _ => None,
        }
    }

    /// Whether what is to be started has failed.
    pub(super) fn is_start_again(&self) -> bool {
        match self.phase {
            Phase::Waiting { cause, .. } => cause != Cause::Wanted,
            _ => false,
        }
    }

    /// Where it stands among all that are to be started now, if it is: failures in a row, and since when it is due.
    pub(super) fn start_rank(&self, now: Instant) -> Option<(u32, Instant)> {
        match self.phase {
            Phase::Waiting { due, .. } if due <= now => Some((self.in_a_row, due)),
            _ => None,
        }
    }

    /// When [`Input::Time`] or [`Input::MayStart`] will matter next.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Waiting { due: at, .. }
            | Phase::Grace { until: at, .. }
            | Phase::Ending { kill_at: at, .. } => Some(at),
            Phase::Up { .. } | Phase::Stopped => None,
        }
    }

    /// Whether a worker runs that is to go on running.
    pub(super) fn may_change(&self) -> bool {
        matches!(
            self.phase,
            Phase::Up { .. } | Phase::Grace { worker: true, .. }
        )
    }

    /// Whether the stream was there when it was last heard of.
    pub(super) fn is_present(&self) -> bool {
        self.present
    }

    /// Whether the end of the worker is nothing to be surprised at.
    pub(super) fn was_asked_to_end(&self) -> bool {
        match &self.phase {
            Phase::Ending { next, .. } => !matches!(next, Next::Recover(_)),
            Phase::Grace { .. } => true,
            Phase::Waiting { .. } | Phase::Up { .. } | Phase::Stopped => false,
        }
    }

    /// Why the worker has ended, where that is known better than from its exit.
    pub(super) fn knows_why(&self) -> Option<&Failure> {
        match &self.phase {
            Phase::Ending {
                next: Next::Recover(failure),
                ..
            } => Some(failure),
            _ => None,
        }
    }

    pub(super) fn state(&self) -> StreamState {
        match &self.phase {
            Phase::Waiting { cause, .. } => match cause {
                Cause::Wanted => StreamState::Starting,
                Cause::Failure => StreamState::Backoff,
                Cause::Probe => StreamState::Broken,
            },
            Phase::Up { streaming: false } => StreamState::Starting,
            Phase::Up { streaming: true } => StreamState::Running,
            Phase::Grace { .. } => StreamState::Grace,
            Phase::Stopped => StreamState::Stopped,
            Phase::Ending { next, .. } => match next {
                Next::Start => StreamState::Starting,
                Next::Stop => StreamState::Stopped,
                Next::Forget => StreamState::Grace,
                Next::Recover(_) => StreamState::Backoff,
            },
        }
    }

    pub(super) fn breaker(&self) -> BreakerStatus {
        let (state, failure) = match &self.breaker {
            Breaker::Closed => (BreakerState::Closed, None),
            Breaker::Open { failure, .. } => (BreakerState::Open, Some(failure)),
            Breaker::HalfOpen { failure } => (BreakerState::HalfOpen, Some(failure)),
        };
        BreakerStatus {
            state,
            reason: failure.map(|failure| failure.reason.clone()),
            kind: failure.map(|failure| failure.kind),
        }
    }
}

fn ending(now: Instant, next: Next) -> Phase {
    Phase::Ending {
        kill_at: now + TERMINATION,
        next,
    }
}

#[cfg(test)]
mod tests;
