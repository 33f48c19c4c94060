//! Child processes that never outlive their test.

use std::io::{BufRead, BufReader, PipeReader};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::procfs;
use crate::waiting::poll;

/// One line of a process' output and when it was read.
#[derive(Clone, Debug)]
pub struct Line {
    /// When the harness read it.
    pub at: Instant,
    /// Its text, without the newline.
    pub text: String,
}

/// A child process in a process group of its own. Its stdout and stderr are collected together; when this value
/// is dropped, or the test process dies, the child dies with everything below it.
pub struct Spawned {
    name: String,
    child: Child,
    lines: Arc<Mutex<Vec<Line>>>,
    collector: thread::JoinHandle<()>,
}

impl Spawned {
    /// Starts `command` with stdin closed.
    ///
    /// # Panics
    /// When the program can't be started, for instance because it is not installed.
    #[track_caller]
    pub fn start(name: &str, mut command: Command) -> Self {
        let program = command.get_program().to_string_lossy().into_owned();
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let second = writer.try_clone().expect("a second end of the pipe");
        command
            .stdin(Stdio::null())
            .stdout(writer)
            .stderr(second)
            .process_group(0);
        die_with_this_process(&mut command);
        let child = match spawn_on_lasting_thread(command) {
            Ok(child) => child,
            Err(error) => panic!("can't start {program} ({name}): {error}"),
        };
        let lines = Arc::new(Mutex::new(vec![]));
        let sink = Arc::clone(&lines);
        let collector = thread::spawn(move || collect(reader, &sink));
        Self {
            name: name.to_owned(),
            child,
            lines,
            collector,
        }
    }

    /// The process id, which is also the id of its process group.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything written so far.
    pub fn lines(&self) -> Vec<Line> {
        self.lines.lock().expect("no reader panicked").clone()
    }

    /// Everything written so far, as one text.
    pub fn output(&self) -> String {
        self.lines()
            .into_iter()
            .map(|line| line.text + "\n")
            .collect()
    }

    /// How many lines were written so far: a place from which to wait with [`Spawned::find_line`].
    pub fn mark(&self) -> usize {
        self.lines.lock().expect("no reader panicked").len()
    }

    /// Waits for the first line that contains `pattern`.
    ///
    /// # Panics
    /// When it does not come within `timeout`; the message shows what came instead.
    #[track_caller]
    pub fn wait_for_line(&self, pattern: &str, timeout: Duration) -> Line {
        self.find_line(0, pattern, timeout, |line| line.text.contains(pattern))
    }

    /// Waits for the first line from the `mark`th on that `matches`; `what` describes it.
    ///
    /// # Panics
    /// When it does not come within `timeout`; the message shows what came instead.
    #[track_caller]
    pub fn find_line(
        &self,
        mark: usize,
        what: &str,
        timeout: Duration,
        mut matches: impl FnMut(&Line) -> bool,
    ) -> Line {
        let mut seen = mark;
        let found = poll(timeout, || {
            let lines = self.lines.lock().expect("no reader panicked");
            let fresh = lines.get(seen..).unwrap_or_default();
            let found = fresh.iter().find(|line| matches(line)).cloned();
            seen = seen.max(lines.len());
            found
        });
        match found {
            Ok(line) => line,
            Err(waited) => {
                panic!(
                    "{}: no line with «{what}» in {waited:.1?}; it wrote:\n{}",
                    self.name,
                    self.output()
                )
            }
        }
    }

    /// Sends a signal to the process itself, not to its group.
    pub fn signal(&self, signal: Signal) {
        // A process that has just ended can't be signalled, and need not be.
        let _ = kill(pid(self.pid()), signal);
    }

    /// Freezes the process and everything below it, their sockets staying open.
    pub fn freeze(&self) {
        self.signal_tree(Signal::SIGSTOP);
    }

    /// Lets a frozen process run on.
    pub fn thaw(&self) {
        self.signal_tree(Signal::SIGCONT);
    }

    /// The exit status if the process has ended.
    pub fn try_wait(&mut self) -> Option<ExitStatus> {
        self.child
            .try_wait()
            .expect("own children can be waited for")
    }

    /// Waits for the end of the process and for its last words.
    ///
    /// # Panics
    /// When it has not ended within `timeout`.
    #[track_caller]
    pub fn wait(&mut self, timeout: Duration) -> ExitStatus {
        match poll(timeout, || self.try_wait()) {
            Ok(status) => {
                // Something below it may still hold the pipe open.
                let _ = poll(Duration::from_secs(1), || {
                    self.collector.is_finished().then_some(())
                });
                status
            }
            Err(waited) => panic!(
                "{} still runs after {waited:.1?}; it wrote:\n{}",
                self.name,
                self.output()
            ),
        }
    }

    /// Waits for the end of the process and returns its exit code.
    ///
    /// # Panics
    /// When it has not ended within `timeout`, or was killed by a signal.
    #[track_caller]
    pub fn wait_code(&mut self, timeout: Duration) -> i32 {
        let status = self.wait(timeout);
        match status.code() {
            Some(code) => code,
            None => panic!(
                "{} was killed by signal {:?}:\n{}",
                self.name,
                status.signal(),
                self.output()
            ),
        }
    }

    /// Asks the process to end (SIGTERM) and kills what is left of it after `grace`.
    pub fn stop(&mut self, grace: Duration) {
        // One that has ended may have lost its id to another.
        if self.try_wait().is_none() {
            self.signal(Signal::SIGTERM);
            let _ = poll(grace, || self.try_wait());
        }
        self.kill();
    }

    /// Kills the process, its group and everything below it, and waits for its end.
    pub fn kill(&mut self) {
        if self.try_wait().is_none() {
            self.signal_tree(Signal::SIGKILL);
        }
        let _ = killpg(pid(self.pid()), Signal::SIGKILL);
        let _ = self.child.wait();
    }

    // Hooks of MediaMTX live in process groups of their own, so the group alone is not enough.
    fn signal_tree(&self, signal: Signal) {
        let below = procfs::descendants(self.pid());
        let _ = killpg(pid(self.pid()), signal);
        for process in below {
            let _ = kill(pid(process), signal);
        }
    }
}

impl Drop for Spawned {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            eprintln!(
                "--- output of {}:\n{}---",
                self.name,
                tail(&self.output(), 60)
            );
        }
    }
}

fn pid(id: u32) -> Pid {
    Pid::from_raw(i32::try_from(id).expect("Linux' process ids fit"))
}

fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..]
        .iter()
        .map(|line| format!("{line}\n"))
        .collect()
}

fn collect(pipe: PipeReader, lines: &Mutex<Vec<Line>>) {
    let mut reader = BufReader::new(pipe);
    let mut raw = vec![];
    while reader
        .read_until(b'\n', &mut raw)
        .is_ok_and(|count| count > 0)
    {
        let text = String::from_utf8_lossy(&raw).trim_end().to_owned();
        lines.lock().expect("no other holder panics").push(Line {
            at: Instant::now(),
            text,
        });
        raw.clear();
    }
}

/// On Linux the kernel kills the child when this process dies, however it dies.
fn die_with_this_process(command: &mut Command) {
    #[cfg(target_os = "linux")]
    #[expect(
        unsafe_code,
        reason = "pre_exec is the only way to run code in the child"
    )]
    // SAFETY: prctl is async-signal-safe and touches no memory of this process.
    unsafe {
        command.pre_exec(|| Ok(nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?));
    }
    #[cfg(not(target_os = "linux"))]
    let _ = command;
}

/// "Parent death" means the death of the *thread* that forked, and a test's thread ends before the test process
/// does. So one thread that never ends forks for all.
fn spawn_on_lasting_thread(command: Command) -> std::io::Result<Child> {
    type Order = (Command, mpsc::Sender<std::io::Result<Child>>);
    static SPAWNER: OnceLock<mpsc::Sender<Order>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (orders, inbox) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for (mut command, reply) in inbox {
                let _ = reply.send(command.spawn());
            }
        });
        orders
    });
    let (reply, result) = mpsc::channel();
    spawner
        .send((command, reply))
        .expect("the spawner never ends");
    result.recv().expect("the spawner answers every order")
}
