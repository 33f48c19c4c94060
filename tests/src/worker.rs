//! The binary under test: mtx-worker and its log.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::binaries::suite_binary;
use crate::control::Control;
use crate::processes::{Line, Spawned};
use crate::waiting::poll;

/// A running mtx-worker that logs JSON.
pub struct Worker {
    process: Spawned,
}

impl Worker {
    /// Starts a worker from one URL to another.
    #[track_caller]
    pub fn start(input: &str, output: &str) -> Self {
        Self::start_with(input, output, |_| {})
    }

    /// Starts a worker from one URL to another, with more flags or another environment.
    #[track_caller]
    pub fn start_with(input: &str, output: &str, change: impl FnOnce(&mut Command)) -> Self {
        let mut command = Command::new(suite_binary("mtx-worker"));
        command.args(["--log-format", "json", "--input", input, "--output", output]);
        change(&mut command);
        Self {
            process: Spawned::start("mtx-worker", command),
        }
    }

    /// Starts a worker that gets its outputs over a control channel.
    #[track_caller]
    pub fn start_controlled(input: &str, change: impl FnOnce(&mut Command)) -> (Self, Control) {
        let mut command = Command::new(suite_binary("mtx-worker"));
        command.args(["--log-format", "json", "--input", input]);
        let control = Control::attach(&mut command);
        change(&mut command);
        let process = Spawned::start("mtx-worker", command);
        (Self { process }, control)
    }

    /// The worker's process.
    pub fn process(&self) -> &Spawned {
        &self.process
    }

    /// The worker's process, to wait for its end.
    pub fn process_mut(&mut self) -> &mut Spawned {
        &mut self.process
    }

    /// Its log so far.
    ///
    /// # Panics
    /// When a line is not JSON.
    #[track_caller]
    pub fn events(&self) -> Vec<Event> {
        events(&self.process.lines())
    }

    /// The states it has gone through so far, each change once.
    #[track_caller]
    pub fn states(&self) -> Vec<String> {
        let changes = self
            .events()
            .into_iter()
            .filter(|event| event.text("message") != "stats");
        let mut states: Vec<String> = changes.map(|event| event.text("state")).collect();
        states.retain(|state| !state.is_empty());
        states.dedup();
        states
    }

    /// The retries it has logged so far.
    #[track_caller]
    pub fn retries(&self) -> Vec<Event> {
        self.events()
            .into_iter()
            .filter(|event| event.json.get("attempt").is_some())
            .collect()
    }

    /// Waits until it logs that it has entered `state`.
    ///
    /// # Panics
    /// When it does not within `timeout`.
    #[track_caller]
    pub fn wait_state(&self, state: &str, timeout: Duration) -> Event {
        self.wait_state_after(0, state, timeout)
    }

    /// Waits until it logs, after line number `mark`, that it has entered `state`.
    ///
    /// # Panics
    /// When it does not within `timeout`.
    #[track_caller]
    pub fn wait_state_after(&self, mark: usize, state: &str, timeout: Duration) -> Event {
        self.wait_event(mark, &format!("state {state}"), timeout, |event| {
            event.text("state") == state && event.text("message") != "stats"
        })
    }

    /// Waits for a log line after line number `mark` that `matches`; `what` describes it.
    ///
    /// # Panics
    /// When it does not come within `timeout`.
    #[track_caller]
    pub fn wait_event(
        &self,
        mark: usize,
        what: &str,
        timeout: Duration,
        matches: impl Fn(&Event) -> bool,
    ) -> Event {
        let found = poll(timeout, || {
            let lines = self.process.lines();
            events(lines.get(mark..).unwrap_or_default())
                .into_iter()
                .find(&matches)
        });
        match found {
            Ok(event) => event,
            Err(waited) => panic!(
                "mtx-worker: no {what} in {waited:.1?}; it logged:\n{}",
                self.process.output()
            ),
        }
    }

    /// Waits for its end and returns its exit code.
    ///
    /// # Panics
    /// When it does not end within `timeout` or is killed by a signal.
    #[track_caller]
    pub fn wait_code(&mut self, timeout: Duration) -> i32 {
        self.process.wait_code(timeout)
    }
}

/// One line of a log in JSON.
#[derive(Clone, Debug)]
pub struct Event {
    /// When the harness read it.
    pub at: std::time::Instant,
    /// The line.
    pub json: Value,
}

impl Event {
    /// A field as text; empty when absent.
    pub fn text(&self, key: &str) -> String {
        match &self.json[key] {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        }
    }

    /// A field as number, whether written as one or as text; zero when absent.
    pub fn number(&self, key: &str) -> f64 {
        self.text(key).parse().unwrap_or_default()
    }
}

#[track_caller]
fn events(lines: &[Line]) -> Vec<Event> {
    let parse = |line: &Line| match serde_json::from_str(&line.text) {
        Ok(json) => Event { at: line.at, json },
        Err(error) => panic!(
            "mtx-worker logged a line that is not JSON ({error}): {}",
            line.text
        ),
    };
    lines
        .iter()
        .filter(|line| !line.text.is_empty())
        .map(parse)
        .collect()
}
