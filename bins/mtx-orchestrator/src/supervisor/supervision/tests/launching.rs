//! Whatever launches the workers: what is asked of it, and what its observations do.

use std::sync::Mutex;

use super::super::super::failure::FailureKind;
use super::super::super::launcher::Spec;
use super::*;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Order {
    /// The epoch, and how many outputs.
    Start(u64, usize),
    /// Likewise, with the generation.
    Apply(u64, u64, usize),
    End(u64, How),
}

/// Takes orders, and starts nothing.
#[derive(Clone, Default)]
pub(super) struct Recorder(Arc<Mutex<Vec<Order>>>);

impl Recorder {
    fn add(&self, order: Order) {
        locked(&self.0).push(order);
    }

    pub(super) fn take(&self) -> Vec<Order> {
        std::mem::take(&mut locked(&self.0))
    }
}

impl Launcher for Recorder {
    fn start(&mut self, key: &WorkerKey, spec: Spec) {
        self.add(Order::Start(key.epoch, spec.task.outputs.len()));
    }

    fn apply(&mut self, key: &WorkerKey, spec: Spec) {
        let outputs = spec.task.outputs.len();
        assert_eq!(spec.via.len(), outputs);
        self.add(Order::Apply(key.epoch, spec.generation, outputs));
    }

    fn end(&mut self, key: &WorkerKey, how: How) {
        self.add(Order::End(key.epoch, how));
    }
}

/// With a worker that was started for a declared stream, and the orders that are to come.
fn running() -> (Supervision, Recorder, Declaration) {
    let recorder = Recorder::default();
    let mut supervision = supervision("none => copy/none");
    supervision.launcher = Box::new(recorder.clone());
    let declared = declaration("x", "rtsp://camera/1", "rtmp://192.0.2.1/a/one");
    supervision.declare(&declared);
    supervision.knows("192.0.2.1");
    supervision.look_after();
    assert_eq!(recorder.take(), [Order::Start(1, 1)]);
    supervision.observes(1, Observation::Started { pid: 1 });
    (supervision, recorder, declared)
}

impl Supervision {
    fn knows(&mut self, host: &str) {
        self.resolves(host, 1935, &[host]);
    }

    fn observes(&mut self, epoch: u64, observation: Observation) {
        let worker = WorkerKey {
            stream: key("live/x/in"),
            epoch,
        };
        self.take(Message::Observed {
            worker,
            observation,
        });
        self.look_after();
    }

    fn epoch_of_worker(&self) -> Option<u64> {
        let stream = self.streams.get(&key("live/x/in"))?;
        stream.worker.as_ref().map(|worker| worker.epoch)
    }
}

fn ended() -> Observation {
    Observation::Ended(FailureKind::Exited.because("exit code 0"))
}

fn with_outputs(declared: &Declaration, outputs: &[&str]) -> Declaration {
    let outputs = outputs.iter().map(|text| Output::parse(text).unwrap());
    Declaration {
        outputs: Outputs::new(outputs.collect()).ok(),
        ..declared.clone()
    }
}

#[test]
fn what_is_observed_late_of_an_earlier_worker_changes_nothing() {
    let (mut supervision, recorder, declared) = running();
    supervision.command(&declared.key(), Command::Restart);
    assert_eq!(recorder.take(), [Order::End(1, How::Orderly)]);
    supervision.observes(1, ended());
    assert_eq!(recorder.take(), [Order::Start(2, 1)]);
    for late in [ended(), Observation::Started { pid: 1 }, ended()] {
        supervision.observes(1, late);
        assert_eq!(recorder.take(), []);
        assert_eq!(supervision.epoch_of_worker(), Some(2));
    }
}

#[test]
fn other_outputs_are_applied_while_the_worker_runs_and_what_it_refuses_replaces_it() {
    let (mut supervision, recorder, declared) = running();
    let urls = ["rtmp://192.0.2.1/a/one", "rtmp://192.0.2.1/a/two"];
    supervision.declare(&with_outputs(&declared, &urls));
    supervision.declare(&with_outputs(&declared, &urls[1..]));
    assert_eq!(
        recorder.take(),
        [Order::Apply(1, 2, 2), Order::Apply(1, 3, 1)]
    );
    let refused = |generation| Observation::Refused {
        generation,
        reason: "no".to_owned(),
    };
    supervision.observes(1, refused(2));
    supervision.observes(1, Observation::Applied { generation: 3 });
    assert_eq!(recorder.take(), []);
    supervision.observes(1, refused(3));
    assert_eq!(recorder.take(), [Order::End(1, How::Orderly)]);
}

#[test]
fn another_source_replaces_the_worker() {
    let (mut supervision, recorder, declared) = running();
    let other = Declaration {
        source: Source::parse("rtsp://camera/2").unwrap(),
        ..declared
    };
    supervision.declare(&other);
    assert_eq!(recorder.take(), [Order::End(1, How::Orderly)]);
    supervision.observes(1, ended());
    assert_eq!(recorder.take(), [Order::Start(2, 1)]);
}

#[test]
fn outputs_that_change_while_the_worker_ends_go_to_the_next_one() {
    let (mut supervision, recorder, declared) = running();
    supervision.command(&declared.key(), Command::Restart);
    recorder.take();
    let urls = ["rtmp://192.0.2.1/a/one", "rtmp://192.0.2.1/a/two"];
    supervision.declare(&with_outputs(&declared, &urls));
    assert_eq!(recorder.take(), []);
    supervision.observes(1, ended());
    assert_eq!(recorder.take(), [Order::Start(2, 2)]);
}

#[test]
fn a_refusal_that_comes_after_a_stop_starts_nothing() {
    let (mut supervision, recorder, declared) = running();
    supervision.declare(&with_outputs(&declared, &["rtmp://192.0.2.1/a/two"]));
    supervision.command(&declared.key(), Command::Stop);
    supervision.observes(
        1,
        Observation::Refused {
            generation: 2,
            reason: "no".to_owned(),
        },
    );
    supervision.observes(1, ended());
    let last = recorder.take().pop();
    assert_eq!(last, Some(Order::End(1, How::Orderly)));
    assert_eq!(supervision.epoch_of_worker(), None);
}

#[test]
fn a_stop_of_a_stream_that_was_just_forgotten_counts_when_it_comes_back() {
    let mut supervision = supervision("* => rtmp://backup/x/{name}");
    supervision.launcher = Box::new(Recorder::default());
    supervision.command(&key("cam"), Command::Stop);
    supervision.sees(&[("cam", "rtspSession", "1")]);
    supervision.look_after();
    let state = supervision.streams[&key("cam")].machine.state();
    assert_eq!(state, StreamState::Stopped);
}
