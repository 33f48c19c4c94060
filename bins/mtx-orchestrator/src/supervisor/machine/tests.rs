use std::time::Duration;

use super::super::failure::FailureKind;
use super::super::policy::{BreakerPolicy, Recovery};
use super::*;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn policy() -> Policy {
    Policy {
        grace: s(30),
        recovery: Recovery::Fixed(s(2)),
        breaker: BreakerPolicy {
            failures: 3,
            window: s(60),
        },
        breaker_pause: s(20),
        healthy_after: s(10),
    }
}

/// A machine and its clock.
struct Bench {
    machine: Machine,
    policy: Policy,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            machine: Machine::new(now),
            policy: policy(),
            now,
        }
    }

    /// With a worker that streams.
    fn running() -> Self {
        let mut bench = Self::new();
        assert_eq!(bench.feed(Input::MayStart), Some(Action::Spawn));
        assert_eq!(bench.feed(Input::Reported { streaming: true }), None);
        bench
    }

    fn feed(&mut self, input: Input) -> Option<Action> {
        self.machine.step(input, self.now, &self.policy)
    }

    fn wait(&mut self, time: Duration) -> Option<Action> {
        self.now += time;
        self.feed(Input::Time)
    }

    fn fail(&mut self) {
        assert_eq!(self.feed(ended()), None);
    }

    fn state(&self) -> StreamState {
        self.machine.state()
    }
}

fn ended() -> Input {
    Input::Ended(Ended {
        failure: FailureKind::Exited.because("exit code 1"),
        blame: true,
        draw: 0.5,
    })
}

fn hung() -> Input {
    Input::Condemned(FailureKind::Hung.because("hung"))
}

fn reported(streaming: bool) -> Input {
    Input::Reported { streaming }
}

/// What each input does in each phase: the action, and the state it ends in.
#[test]
fn the_table_of_transitions() {
    use Action::{Forget, Kill, Spawn, Terminate};
    use Input::{Absent, MayStart, Present, Removed, Restart, Start, Stop, Time};
    use StreamState::{Backoff, Grace, Running, Starting, Stopped};
    type Row = (
        &'static str,
        &'static [fn() -> Input],
        Option<Action>,
        StreamState,
    );
    let table: &[Row] = &[
        (
            "a new stream waits for a worker",
            &[|| Time],
            None,
            Starting,
        ),
        ("doubled", &[|| Present, || Present], None, Starting),
        ("and gets it", &[|| MayStart], Some(Spawn), Starting),
        ("once", &[|| MayStart, || MayStart], None, Starting),
        ("unwanted before", &[|| Removed], Some(Forget), Starting),
        (
            "unwanted with a worker",
            &[|| MayStart, || Removed],
            Some(Terminate),
            Grace,
        ),
        (
            "unwanted until the worker ends",
            &[|| MayStart, || Removed, ended],
            Some(Forget),
            Grace,
        ),
        (
            "unwanted in grace, with its worker",
            &[|| MayStart, || Absent, || Removed],
            Some(Terminate),
            Grace,
        ),
        (
            "unwanted in grace, without",
            &[|| Absent, || Removed],
            Some(Forget),
            Grace,
        ),
        (
            "unwanted when stopped",
            &[|| Stop, || Removed],
            Some(Forget),
            Stopped,
        ),
        (
            "unwanted while its worker is replaced",
            &[|| MayStart, || Restart, || Removed, ended],
            Some(Forget),
            Grace,
        ),
        (
            "unwanted while a hung worker is killed",
            &[|| MayStart, hung, || Removed, ended],
            Some(Forget),
            Grace,
        ),
        (
            "wanted again before its worker has ended",
            &[|| MayStart, || Removed, || Present, ended, || MayStart],
            Some(Spawn),
            Starting,
        ),
        ("gone before", &[|| Absent], None, Grace),
        (
            "and back",
            &[|| Absent, || Present, || MayStart],
            Some(Spawn),
            Starting,
        ),
        ("streams", &[|| MayStart, || reported(true)], None, Running),
        (
            "keeps running while it retries",
            &[|| MayStart, || reported(true), || reported(false)],
            None,
            Running,
        ),
        (
            "lost for a while",
            &[|| MayStart, || reported(true), || Absent],
            None,
            Grace,
        ),
        (
            "and back with its worker",
            &[|| MayStart, || Absent, || Present, || reported(true)],
            None,
            Running,
        ),
        (
            "without it",
            &[|| MayStart, || Absent, ended, || Present, || MayStart],
            Some(Spawn),
            Starting,
        ),
        (
            "a worker that ended in grace is not replaced",
            &[|| MayStart, || Absent, ended, || MayStart],
            None,
            Grace,
        ),
        ("a failure", &[|| MayStart, ended], None, Backoff),
        ("waits", &[|| MayStart, ended, || MayStart], None, Backoff),
        (
            "a failure of a stream that goes",
            &[|| MayStart, ended, || Absent],
            None,
            Grace,
        ),
        ("hung", &[|| MayStart, hung], Some(Kill), Backoff),
        ("hung and dead", &[|| MayStart, hung, ended], None, Backoff),
        (
            "hung in grace",
            &[|| MayStart, || Absent, hung],
            Some(Kill),
            Grace,
        ),
        ("stop", &[|| MayStart, || Stop], Some(Terminate), Stopped),
        ("stopped", &[|| MayStart, || Stop, ended], None, Stopped),
        (
            "stopped stays",
            &[|| Stop, || Present, || MayStart],
            None,
            Stopped,
        ),
        ("stop before the start", &[|| Stop], None, Stopped),
        (
            "start again",
            &[|| Stop, || Start, || MayStart],
            Some(Spawn),
            Starting,
        ),
        (
            "start while it ends",
            &[|| MayStart, || Stop, || Start, ended, || MayStart],
            Some(Spawn),
            Starting,
        ),
        (
            "one worker at a time",
            &[|| MayStart, || Stop, || Start, || MayStart],
            None,
            Starting,
        ),
        (
            "start does nothing more",
            &[|| MayStart, || reported(true), || Start],
            None,
            Running,
        ),
        (
            "start without a stream",
            &[|| Stop, || Absent, || Start],
            None,
            Grace,
        ),
        (
            "restart",
            &[|| MayStart, || Restart],
            Some(Terminate),
            Starting,
        ),
        (
            "restarted",
            &[|| MayStart, || Restart, ended, || MayStart],
            Some(Spawn),
            Starting,
        ),
        (
            "restart of a stream that goes",
            &[|| MayStart, || Restart, || Absent, ended],
            None,
            Grace,
        ),
        (
            "restart after a failure",
            &[|| MayStart, ended, || Restart, || MayStart],
            Some(Spawn),
            Starting,
        ),
        (
            "stop after a failure",
            &[|| MayStart, ended, || Stop, || MayStart],
            None,
            Stopped,
        ),
        ("nobody ended", &[|| ended()], None, Starting),
    ];
    for (name, inputs, action, state) in table {
        let mut bench = Bench::new();
        let last = inputs.iter().map(|input| bench.feed(input())).last();
        assert_eq!(last, Some(*action), "{name}");
        assert_eq!(bench.state(), *state, "{name}");
    }
}

#[test]
fn after_grace_the_worker_is_ended_and_the_stream_forgotten() {
    let mut bench = Bench::running();
    bench.feed(Input::Absent);
    assert_eq!(bench.wait(s(29)), None);
    assert_eq!(bench.wait(s(1)), Some(Action::Terminate));
    assert_eq!(bench.feed(ended()), Some(Action::Forget));
}

#[test]
fn a_worker_that_does_not_end_is_killed() {
    let mut bench = Bench::running();
    bench.feed(Input::Stop);
    assert_eq!(bench.wait(s(1)), None);
    assert_eq!(bench.wait(s(1)), Some(Action::Kill));
}

#[test]
fn a_stream_that_comes_back_while_its_worker_ends_gets_the_next_one() {
    let mut bench = Bench::running();
    bench.feed(Input::Absent);
    bench.wait(s(30));
    bench.feed(Input::Present);
    assert_eq!(bench.feed(Input::MayStart), None, "one at a time");
    assert_eq!(bench.feed(ended()), None);
    assert_eq!(bench.feed(Input::MayStart), Some(Action::Spawn));
}

#[test]
fn a_stopped_stream_is_remembered_while_it_is_away_until_it_is_started() {
    let mut bench = Bench::running();
    bench.feed(Input::Stop);
    bench.feed(ended());
    bench.feed(Input::Absent);
    assert_eq!(bench.wait(s(3600)), None);
    assert_eq!(bench.state(), StreamState::Stopped);
    bench.feed(Input::Start);
    assert_eq!(bench.wait(s(29)), None);
    assert_eq!(bench.wait(s(1)), Some(Action::Forget));
}

#[test]
fn a_failure_is_recovered_after_the_strategys_wait() {
    let mut bench = Bench::running();
    bench.fail();
    assert_eq!(bench.machine.deadline(), Some(bench.now + s(2)));
    bench.now += s(2);
    assert_eq!(bench.machine.wants_start(bench.now), Some(Cause::Failure));
    assert_eq!(bench.feed(Input::MayStart), Some(Action::Spawn));
}

/// Fails three times within the window.
fn broken() -> Bench {
    let mut bench = Bench::running();
    for _ in 0..2 {
        bench.fail();
        bench.now += s(2);
        assert_eq!(bench.feed(Input::MayStart), Some(Action::Spawn));
    }
    bench.fail();
    assert_eq!(bench.state(), StreamState::Broken);
    bench
}

#[test]
fn too_many_failures_open_the_breaker_and_a_healthy_probe_closes_it() {
    let mut bench = broken();
    let breaker = bench.machine.breaker();
    assert_eq!(breaker.state, BreakerState::Open);
    assert_eq!(breaker.reason.as_deref(), Some("exit code 1"));
    bench.now += s(19);
    assert_eq!(bench.feed(Input::MayStart), None);
    bench.now += s(1);
    assert_eq!(bench.feed(Input::MayStart), Some(Action::Spawn));
    assert_eq!(bench.machine.breaker().state, BreakerState::HalfOpen);
    bench.feed(reported(true));
    bench.now += s(9);
    bench.feed(reported(true));
    assert_eq!(bench.machine.breaker().state, BreakerState::HalfOpen);
    bench.now += s(1);
    bench.feed(reported(true));
    assert_eq!(bench.machine.breaker().state, BreakerState::Closed);
    assert_eq!(bench.state(), StreamState::Running);
}

#[test]
fn a_probe_that_fails_opens_the_breaker_again() {
    let mut bench = broken();
    bench.now += s(20);
    bench.feed(Input::MayStart);
    bench.fail();
    assert_eq!(bench.machine.breaker().state, BreakerState::Open);
    assert_eq!(bench.machine.deadline(), Some(bench.now + s(20)));
}

#[test]
fn a_stream_that_goes_and_comes_does_not_escape_its_breaker() {
    let mut bench = broken();
    bench.feed(Input::Absent);
    bench.feed(Input::Present);
    assert_eq!(bench.state(), StreamState::Broken);
    assert_eq!(bench.feed(Input::MayStart), None);
    assert_eq!(bench.feed(Input::Start), None);
    assert_eq!(
        bench.feed(Input::MayStart),
        Some(Action::Spawn),
        "but an operator may"
    );
}

#[test]
fn failures_far_apart_do_not_open_the_breaker() {
    let mut bench = Bench::running();
    for _ in 0..9 {
        bench.fail();
        assert_eq!(bench.state(), StreamState::Backoff);
        bench.now += s(31);
        assert_eq!(bench.feed(Input::MayStart), Some(Action::Spawn));
    }
}

#[test]
fn failures_while_the_server_is_away_are_not_the_streams() {
    let mut bench = Bench::running();
    for _ in 0..9 {
        bench.feed(Input::Ended(Ended {
            failure: FailureKind::Exited.because("the input is gone"),
            blame: false,
            draw: 0.5,
        }));
        assert_eq!(bench.state(), StreamState::Backoff);
        bench.now += s(2);
        bench.feed(Input::MayStart);
    }
}

proptest::proptest! {
    #[test]
    fn whatever_comes_there_is_at_most_one_worker_and_none_is_lost(
        inputs in proptest::collection::vec((0_u8..13, 0_u64..40), 0..200),
    ) {
        let mut bench = Bench::new();
        let mut worker = false;
        for (input, seconds) in inputs {
            bench.now += s(seconds / 10);
            let input = match input {
                0 => Input::Present,
                1 => Input::Absent,
                2 | 3 => Input::MayStart,
                4 => reported(true),
                5 if worker => hung(),
                6 | 7 if worker => {
                    worker = false;
                    ended()
                }
                8 => Input::Start,
                9 => Input::Stop,
                10 => Input::Restart,
                11 => Input::Removed,
                _ => Input::Time,
            };
            match bench.feed(input) {
                Some(Action::Spawn) => {
                    proptest::prop_assert!(!worker, "a second worker");
                    worker = true;
                }
                Some(Action::Terminate | Action::Kill) => proptest::prop_assert!(worker),
                Some(Action::Forget) => {
                    proptest::prop_assert!(!worker, "a worker nobody knows");
                    bench = Bench { now: bench.now, machine: Machine::new(bench.now), policy: policy() };
                }
                None => {}
            }
        }
    }
}
