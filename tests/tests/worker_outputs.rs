//! One stream to several outputs.

use std::time::Duration;

use suite_tests::compare::assert_no_gap;
use suite_tests::nginx::Nginx;
use suite_tests::packets::{Kind, Reader};
use suite_tests::stack::{OUT, SOON, Stack};
use suite_tests::waiting::wait_until;
use suite_tests::worker::Worker;

/// Three tries, after 1 s, 2 s and 4 s.
const ROUND: Duration = Duration::from_secs(20);
/// And the pause after them.
const PAUSE: Duration = Duration::from_secs(30);

struct Both {
    stack: Stack,
    nginx: Nginx,
    worker: Worker,
}

impl Both {
    #[track_caller]
    fn start() -> Self {
        let (stack, nginx) = (Stack::start(), Nginx::start());
        let outputs = format!("{} {}", stack.output(), nginx.rtmp("test"));
        let worker = Worker::start_with(&stack.input(), &outputs, |command| {
            command.args(["--stats-interval", "500ms"]);
        });
        stack.wait_out();
        wait_until("the stream at nginx", SOON, || nginx.has_publisher("test"));
        Self {
            stack,
            nginx,
            worker,
        }
    }

    #[track_caller]
    fn wait_outputs_up(&self, mark: usize, count: f64) {
        self.worker
            .wait_event(mark, "count of outputs", SOON, |event| {
                event.number("outputsUp") == count
            });
    }
}

#[test]
fn an_output_that_is_lost_leaves_the_other_without_a_gap_and_comes_back() {
    let mut both = Both::start();
    both.wait_outputs_up(0, 2.0);
    let reader = Reader::start(&both.stack.output());
    reader.collect(Kind::Video, 25, SOON);
    let mark = both.worker.process().mark();
    both.nginx.stop();
    both.wait_outputs_up(mark, 1.0);
    both.worker
        .wait_event(mark, "end of its retries", ROUND, |event| {
            event.text("message").contains("given up")
        });
    both.nginx.start_again();
    wait_until("the stream at nginx again", PAUSE + SOON, || {
        both.nginx.has_publisher("test")
    });
    Reader::start(&both.nginx.rtmp("test")).collect(Kind::Video, 25, SOON);
    let seen = reader.packets_of(Kind::Video).len();
    let packets = reader.collect(Kind::Video, seen + 25, SOON);
    assert_no_gap(Kind::Video, &packets);
    let states = both.worker.states();
    assert_eq!(states.last().map(String::as_str), Some("streaming"));
}

#[test]
fn a_worker_that_has_lost_all_outputs_ends() {
    let stack = Stack::start();
    let mut servers = [Nginx::start(), Nginx::start()];
    let outputs = servers.each_ref().map(|server| server.rtmp("test"));
    let mut worker = Worker::start(&stack.input(), &outputs.join(" "));
    for server in &mut servers {
        wait_until("the stream at nginx", SOON, || server.has_publisher("test"));
        server.stop();
    }
    assert_eq!(worker.wait_code(ROUND), 1);
}

#[test]
fn an_output_that_is_taken_leaves_the_other_to_its_worker() {
    let stack = Stack::start();
    let nginx = Nginx::start();
    let first = Worker::start(&stack.input(), &stack.output());
    first.wait_state("streaming", SOON);
    stack.wait_out();
    let outputs = format!("{} {}", stack.output(), nginx.rtmp("test"));
    let second = Worker::start(&stack.input(), &outputs);
    second.wait_event(0, "line about the taken one", SOON, |event| {
        let message = event.text("message");
        message.contains(OUT) && message.contains("given up")
    });
    wait_until("the stream at nginx", SOON, || nginx.has_publisher("test"));
    let packets = Reader::start(&stack.output()).collect(Kind::Video, 50, SOON);
    assert_no_gap(Kind::Video, &packets);
}
