//! Workers as processes of this machine.
//!
//! Each is started, followed and reaped by a thread of its own: the kernel ends a process with the thread that started it.

mod control;
mod lines;

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, ChildStderr, ExitStatus};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, Weak};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use common::secret::scrub_of;
use mediamtx::path::PathName;

use super::failure::{Failure, FailureKind};
use super::launcher::{How, Launcher, Observation, OutputReport, Report, Spec, Usage, WorkerKey};
use super::locked;
use super::output::{self, Meaning};
use super::platform;
use super::supervision::Message;
use super::usage::CpuShare;
use super::worker::Template;
use crate::stream_key::StreamKey;
use control::{Answer, Control};
use lines::Lines;

/// Reading lines takes no more.
const STACK: usize = 256 * 1024;
/// Where the kernel does not tell of a worker's end, it is looked for this often.
const LOOK: Duration = Duration::from_millis(200);
const BUFFER: usize = 16 * 1024;
/// Of what a worker has written before its end, at most this many buffers are read: more fits into no pipe.
const LAST_WORDS: usize = 64;

/// Starts processes, and tells the supervision what comes of them.
pub(super) struct Processes {
    template: Arc<Template>,
    messages: Sender<Message>,
    running: BTreeMap<StreamKey, (u64, Weak<Process>)>,
}

impl Processes {
    pub(super) fn new(template: Arc<Template>, messages: Sender<Message>) -> Self {
        Self {
            template,
            messages,
            running: BTreeMap::new(),
        }
    }

    fn find(&self, key: &WorkerKey) -> Option<Arc<Process>> {
        let (epoch, process) = self.running.get(&key.stream)?;
        process.upgrade().filter(|_| *epoch == key.epoch)
    }

    fn launch(&mut self, key: &WorkerKey, spec: Spec) -> Result<()> {
        let (control, inherited) = Control::new(&spec).context("no control channel")?;
        let process = Arc::new(Process {
            control,
            life: Mutex::new(Life::Starting(None)),
        });
        self.running.retain(|_, (_, it)| it.strong_count() > 0);
        let running = (key.epoch, Arc::downgrade(&process));
        let follower = Follower {
            key: key.clone(),
            process,
            messages: self.messages.clone(),
            path: spec.task.path(),
            trouble: None,
        };
        let template = Arc::clone(&self.template);
        let thread = thread::Builder::new().stack_size(STACK);
        thread.spawn(move || follower.run(&template, &spec, inherited))?;
        self.running.insert(key.stream.clone(), running);
        Ok(())
    }
}

impl Launcher for Processes {
    fn start(&mut self, key: &WorkerKey, spec: Spec) {
        if let Err(error) = self.launch(key, spec) {
            let failure =
                FailureKind::NotStarted.because(format!("can't start a worker: {error:#}"));
            observe(&self.messages, key, Observation::Ended(failure));
        }
    }

    fn apply(&mut self, key: &WorkerKey, spec: Spec) {
        if let Some(process) = self.find(key)
            && let Err(error) = process.control.apply(&spec)
        {
            let generation = spec.generation;
            let reason = format!("its control channel is broken: {error}");
            observe(
                &self.messages,
                key,
                Observation::Refused { generation, reason },
            );
        }
    }

    fn end(&mut self, key: &WorkerKey, how: How) {
        if let Some(process) = self.find(key) {
            return process.end(how);
        }
        let failure = FailureKind::Exited.because("it was gone already");
        observe(&self.messages, key, Observation::Ended(failure));
    }
}

/// Fails when nobody is left to be told.
fn observe(messages: &Sender<Message>, worker: &WorkerKey, observation: Observation) {
    let worker = worker.clone();
    let _ = messages.send(Message::Observed {
        worker,
        observation,
    });
}

/// What the launcher and the thread of a worker share.
struct Process {
    control: Control,
    life: Mutex<Life>,
}

enum Life {
    /// About to be started, and perhaps told to end already.
    Starting(Option<How>),
    /// Not reaped yet, so that its process id can't be anybody else's.
    Running(Child),
    Gone,
}

impl Process {
    fn end(&self, how: How) {
        match &mut *locked(&self.life) {
            Life::Starting(end) => *end = end.filter(|_| how == How::Orderly).or(Some(how)),
            Life::Running(child) => signal(child, how),
            Life::Gone => {}
        }
    }

    fn started(&self, mut child: Child) {
        let mut life = locked(&self.life);
        if let Life::Starting(Some(how)) = *life {
            signal(&mut child, how);
        }
        *life = Life::Running(child);
    }

    /// How it ended, once.
    fn reap(&self) -> Option<ExitStatus> {
        let mut life = locked(&self.life);
        let Life::Running(child) = &mut *life else {
            return None;
        };
        // Our own child can always be asked about.
        let status = child.try_wait().ok().flatten()?;
        *life = Life::Gone;
        Some(status)
    }
}

fn signal(child: &mut Child, how: How) {
    match how {
        How::Orderly => platform::terminate(child),
        // Fails when it has ended already.
        How::Forced => drop(child.kill()),
    }
}

/// What the thread of a worker knows.
struct Follower {
    key: WorkerKey,
    process: Arc<Process>,
    messages: Sender<Message>,
    /// What it reads of MediaMTX's.
    path: Option<PathName>,
    /// What it said last that may be why it ends.
    trouble: Option<String>,
}

impl Follower {
    fn run(mut self, template: &Template, spec: &Spec, inherited: UnixStream) {
        let failure = match self.spawn(template, spec, inherited) {
            Ok((pid, stderr)) => {
                self.observe(Observation::Started { pid });
                let status = self.follow(pid, stderr);
                self.failure(status)
            }
            Err(error) => FailureKind::NotStarted.because(format!("{error:#}")),
        };
        self.observe(Observation::Ended(failure));
    }

    fn spawn(
        &self,
        template: &Template,
        spec: &Spec,
        inherited: UnixStream,
    ) -> Result<(u32, Option<ChildStderr>)> {
        let mut command = template.command(&spec.task, spec.limits, &spec.via);
        // Its copy of the descriptor goes with the command, at the end of this function.
        platform::inherit(&mut command, "--control-fd", inherited);
        let child = command.spawn();
        let program = template.program.display();
        let mut child = child.with_context(|| format!("can't start {program}"))?;
        let (pid, stderr) = (child.id(), child.stderr.take());
        self.process.started(child);
        Ok((pid, stderr))
    }

    /// Reads what it tells until its end.
    fn follow(&mut self, pid: u32, mut stderr: Option<ChildStderr>) -> ExitStatus {
        let end = platform::end_of(pid);
        let process = Arc::clone(&self.process);
        let mut control = Some(process.control.reader());
        let (mut log, mut answers) = (Lines::default(), Lines::default());
        let mut cpu = CpuShare::new(Instant::now());
        loop {
            let fds = [
                stderr.as_ref().map(AsFd::as_fd),
                control.as_ref().map(AsFd::as_fd),
                end.as_ref().map(AsFd::as_fd),
            ];
            let timeout = end.is_none().then_some(LOOK);
            let [logs, answered, ends] = platform::poll(fds, timeout);
            if logs && !read(stderr.as_mut(), &mut log) {
                stderr = None;
            }
            if answered && !read(control.as_mut(), &mut answers) {
                control = None;
            }
            if (ends || end.is_none())
                && let Some(status) = self.process.reap()
            {
                rest(stderr.as_mut(), &mut log);
                rest(control.as_mut(), &mut answers);
                self.take_lines(pid, &mut cpu, log.finish());
                self.take_answers(answers.finish());
                return status;
            }
            self.take_lines(pid, &mut cpu, log.take());
            self.take_answers(answers.take());
        }
    }

    fn take_lines(&mut self, pid: u32, cpu: &mut CpuShare, lines: Vec<String>) {
        if lines.is_empty() {
            return;
        }
        let secrets = self.process.control.secrets();
        let scrub = |reason: String| scrub_of(&reason, &secrets).into_owned();
        for text in lines {
            let (meaning, log_line) = output::understand(&text);
            match meaning {
                Some(Meaning::Counters(counters)) => {
                    let usage = Usage {
                        memory_bytes: platform::memory_bytes(pid),
                        cpu_percent: platform::cpu_time(pid)
                            .and_then(|spent| cpu.percent(spent, Instant::now())),
                    };
                    self.report(Report::Counters(counters, usage));
                }
                Some(Meaning::State(state)) => self.report(Report::State(state)),
                Some(Meaning::Retrying(reason)) => {
                    let reason = scrub(reason);
                    self.trouble = Some(reason.clone());
                    self.report(Report::Retrying(reason));
                }
                Some(Meaning::Trouble(reason)) => self.trouble = Some(scrub(reason)),
                None => {}
            }
            if let Some(line) = log_line {
                line.pass_on(&self.key.stream, self.path.as_ref(), pid, &secrets);
            }
        }
    }

    fn take_answers(&self, lines: Vec<String>) {
        for line in lines {
            match self.process.control.understand(&line) {
                Some(Answer::Applied(generation)) => {
                    self.observe(Observation::Applied { generation })
                }
                Some(Answer::Refused(generation, reason)) => {
                    self.observe(Observation::Refused { generation, reason });
                }
                Some(Answer::Output(report)) => self.report(Report::Output(report)),
                None => {}
            }
        }
    }

    fn report(&self, report: Report) {
        self.observe(Observation::Reported(report));
    }

    fn observe(&self, observation: Observation) {
        observe(&self.messages, &self.key, observation);
    }

    fn failure(&mut self, status: ExitStatus) -> Failure {
        let signal = platform::signal(status);
        // The last words of one that was shot are about something else.
        let words = self.trouble.take();
        let words = words.filter(|_| signal.as_deref() != Some("SIGKILL"));
        let (kind, how) = match (signal, status.code()) {
            (Some(signal), _) => (FailureKind::Signalled, format!("killed by {signal}")),
            (None, Some(code)) => (FailureKind::Exited, format!("exit code {code}")),
            (None, None) => (FailureKind::Exited, status.to_string()),
        };
        kind.because(match words {
            Some(words) => format!("{how}: {words}"),
            None => how,
        })
    }
}

/// Reads what there is, once. False at the end.
fn read(from: Option<&mut impl Read>, lines: &mut Lines) -> bool {
    let Some(from) = from else {
        return false;
    };
    let mut buffer = [0; BUFFER];
    match from.read(&mut buffer) {
        Ok(0) => false,
        Ok(count) => {
            lines.add(&buffer[..count]);
            true
        }
        Err(error) => matches!(
            error.kind(),
            io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock
        ),
    }
}

/// Reads what an ended worker has left; somebody else may hold the other end open, who is not waited for.
fn rest(mut from: Option<&mut (impl Read + AsFd)>, lines: &mut Lines) {
    for _ in 0..LAST_WORDS {
        let fd = from.as_ref().map(|from| from.as_fd());
        let [is_readable, ..] = platform::poll([fd, None, None], Some(Duration::ZERO));
        if !is_readable || !read(from.as_deref_mut(), lines) {
            return;
        }
    }
}
