//! The other end of mtx-worker's control channel.

use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use serde_json::{Value, json};

use crate::waiting::wait_for;

/// What adds and removes the outputs of a worker.
pub struct Control {
    socket: UnixStream,
    lines: Arc<Mutex<Vec<Value>>>,
    answers: usize,
}

impl Control {
    /// Has the program of `command` inherit a control channel.
    ///
    /// # Panics
    /// When there are no descriptors left.
    #[track_caller]
    pub fn attach(command: &mut Command) -> Self {
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        command.args(["--control-fd", &theirs.as_raw_fd().to_string()]);
        #[expect(
            unsafe_code,
            reason = "pre_exec is the only way to run code in the child"
        )]
        // SAFETY: fcntl is async-signal-safe and touches no memory of this process.
        unsafe {
            command.pre_exec(move || {
                fcntl(theirs.as_fd(), FcntlArg::F_SETFD(FdFlag::empty()))?;
                Ok(())
            });
        }
        let lines = Arc::new(Mutex::new(vec![]));
        let (reader, sink) = (ours.try_clone().expect("a descriptor"), Arc::clone(&lines));
        thread::spawn(move || collect(reader, &sink));
        Self {
            socket: ours,
            lines,
            answers: 0,
        }
    }

    /// Sends bytes as they are.
    ///
    /// # Panics
    /// When the worker is gone.
    #[track_caller]
    pub fn send(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).expect("the worker reads");
    }

    /// Wants these outputs, each an id and a URL, and returns the answer.
    ///
    /// # Panics
    /// When there is no answer.
    #[track_caller]
    pub fn want(&mut self, generation: u64, outputs: &[(&str, &str)]) -> Value {
        let outputs = outputs
            .iter()
            .map(|(id, url)| json!({"id": id, "url": url}));
        let outputs: Vec<_> = outputs.collect();
        let line = json!({"generation": generation, "outputs": outputs});
        self.send(format!("{line}\n").as_bytes());
        self.answer()
    }

    /// The next answer.
    ///
    /// # Panics
    /// When it does not come.
    #[track_caller]
    pub fn answer(&mut self) -> Value {
        let number = self.answers;
        self.answers += 1;
        wait_for("answer on the control channel", ANSWER, || {
            self.lines(|line| line.get("id").is_none()).nth(number)
        })
    }

    /// All reports of an output so far.
    pub fn reports(&self, id: &str) -> Vec<Value> {
        self.lines(|line| line["id"] == id).collect()
    }

    /// Waits until this is the last that was reported of an output.
    ///
    /// # Panics
    /// When it is not within `timeout`.
    #[track_caller]
    pub fn wait_state(&self, id: &str, state: &str, timeout: Duration) -> Value {
        wait_for(&format!("{id} {state}"), timeout, || {
            let last = self.reports(id).pop()?;
            (last["state"] == state).then_some(last)
        })
    }

    fn lines(&self, keep: impl Fn(&Value) -> bool) -> impl Iterator<Item = Value> {
        let lines = self.lines.lock().expect("no reader panicked").clone();
        lines.into_iter().filter(move |line| keep(line))
    }
}

const ANSWER: Duration = Duration::from_secs(10);

impl Drop for Control {
    fn drop(&mut self) {
        // The reader has a copy of the descriptor.
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
    }
}

fn collect(socket: UnixStream, lines: &Mutex<Vec<Value>>) {
    for line in BufReader::new(socket).lines().map_while(Result::ok) {
        let value = serde_json::from_str(&line);
        let value = value.unwrap_or_else(|error| panic!("no line of JSON ({error}): {line}"));
        lines.lock().expect("no other holder panics").push(value);
    }
}
