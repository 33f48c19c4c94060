//! In which order workers are started, and what happens when there are too many.

use super::super::super::failure::FailureKind;
use super::launching::{Order, Recorder};
use super::*;

fn with_streams(count: usize, most: usize) -> (Supervision, Recorder) {
    let recorder = Recorder::default();
    let mut supervision = supervision("* => rtmp://backup/x/{name}");
    supervision.launcher = Box::new(recorder.clone());
    supervision.config.max_streams = most;
    let paths: Vec<String> = (0..count).map(|number| format!("cam{number:03}")).collect();
    let paths: Vec<_> = paths
        .iter()
        .map(|path| (path.as_str(), "rtspSession", path.as_str()))
        .collect();
    supervision.sees(&paths);
    supervision.look_after();
    (supervision, recorder)
}

impl Supervision {
    fn fails(&mut self, path: &str) {
        let stream = key(path);
        let epoch = self.streams[&stream].worker.as_ref().unwrap().epoch;
        let worker = WorkerKey { stream, epoch };
        let failure = FailureKind::Exited.because("exit code 1");
        self.take(Message::Observed {
            worker,
            observation: Observation::Ended(failure),
        });
        self.look_after();
    }

    fn in_state(&self, state: StreamState) -> usize {
        let streams = self.streams.values();
        let statuses = streams.map(|stream| stream.status().state);
        statuses.filter(|it| *it == state).count()
    }
}

fn starts(recorder: &Recorder) -> usize {
    let orders = recorder.take();
    let is_start = |order: &&Order| matches!(order, Order::Start(..));
    orders.iter().filter(is_start).count()
}

#[test]
fn streams_beyond_the_most_are_blocked_with_the_reason_until_there_is_room() {
    let (mut supervision, recorder) = with_streams(5, 3);
    assert_eq!(starts(&recorder), 3);
    assert_eq!(supervision.in_state(StreamState::Starting), 3);
    assert_eq!(supervision.in_state(StreamState::Blocked), 2);
    let blocked = supervision.streams[&key("cam004")].status();
    let why = blocked.blocked.unwrap();
    assert!(
        why.contains("3 workers") && why.contains("--max-streams"),
        "{why}"
    );

    supervision.command(&key("cam000"), Command::Stop);
    supervision.look_after();
    assert_eq!(starts(&recorder), 0, "its worker has not ended yet");
    supervision.fails("cam000");
    assert_eq!(starts(&recorder), 1);
    assert_eq!(supervision.in_state(StreamState::Blocked), 1);
    assert_eq!(supervision.streams[&key("cam003")].status().blocked, None);
    supervision.command(&key("cam004"), Command::Stop);
    assert_eq!(supervision.in_state(StreamState::Stopped), 2);
    assert_eq!(supervision.in_state(StreamState::Blocked), 0);
}

/// With a limit of ten starts at once, and a worker that fails as soon as it is started.
#[test]
fn many_that_always_fail_do_not_hold_up_one_that_is_new() {
    let (mut supervision, recorder) = with_streams(60, 100);
    let mut paths: Vec<String> = (0..60).map(|number| format!("cam{number:03}")).collect();
    let running = |supervision: &Supervision| -> Vec<String> {
        let running = supervision.streams.iter();
        let running = running.filter(|(_, stream)| stream.worker.is_some());
        running.map(|(key, _)| key.path().to_string()).collect()
    };
    let fail_all = |supervision: &mut Supervision| {
        for path in running(supervision) {
            supervision.fails(&path);
        }
    };
    while supervision.totals.worker_failures < 60 {
        supervision.limit = StartLimit::new(10, Instant::now());
        supervision.look_after();
        fail_all(&mut supervision);
    }
    recorder.take();
    supervision.limit = StartLimit::new(1, Instant::now());
    paths.push("zoo".to_owned());
    let paths: Vec<_> = paths
        .iter()
        .map(|path| (path.as_str(), "rtspSession", path.as_str()))
        .collect();
    supervision.sees(&paths);
    supervision.look_after();
    assert!(running(&supervision).contains(&"zoo".to_owned()));
}

#[test]
fn what_nothing_has_happened_to_is_not_looked_at() {
    let (mut supervision, recorder) = with_streams(3, 3);
    assert_eq!(starts(&recorder), 3);
    supervision.publish();
    supervision.look_after();
    let patience = supervision.patience();
    assert!(patience > Duration::from_millis(500), "{patience:?}");
}
