//! One worker process.

use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::Sender;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use common::timestamp::Timestamp;
use common::{program, tls};
use mediamtx::via::Via;
use url::Url;

pub(crate) use super::platform::Limits;

use super::failure::{Failure, FailureKind};
use super::marks::Marks;
use super::output::{self, WorkerId};
use super::platform;
use super::publishers::Suspect;
use super::supervision::Message;
use super::usage::Usage;
use crate::declaration::{Servers, Task};

/// Workers report every second.
const REPORT_INTERVAL: &str = "1s";
/// A worker that has not reported for this long hangs.
pub(super) const HUNG_AFTER: Duration = Duration::from_secs(5);
/// How long to wait for the last words of a worker that has ended.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// Reading lines takes no more.
const STACK: usize = 256 * 1024;

/// What a worker gets of our own environment: no more than it needs. Logins for MediaMTX are in its URLs.
const HANDED_ON: [&str; 7] = [
    tls::ROOTS_FILE,
    tls::MEDIAMTX_FINGERPRINT,
    "TMPDIR",
    "XDG_RUNTIME_DIR",
    "MTX_WORKER_RETRY",
    "MTX_WORKER_TRANSPORT",
    // By which `make down` knows what it started.
    "MTX_SUITE_STACK",
];

/// How workers are started.
pub(crate) struct Template {
    pub(crate) program: PathBuf,
    pub(crate) servers: Servers,
}

impl Template {
    /// `via` is where the outputs will have been.
    fn command(&self, task: &Task, limits: Limits, via: &[Via]) -> Command {
        // A brace, which a query may have, would be the beginning of a place to fill in.
        let literal = |url: &Url| url.as_str().replace('{', "%7B").replace('}', "%7D");
        let outputs: Vec<String> = task.outputs.iter().map(|to| literal(&to.url)).collect();
        let via: Vec<String> = via.iter().map(Via::to_string).collect();
        let mut command = Command::new(&self.program);
        command
            .env_clear()
            .envs(program::handed_on(HANDED_ON))
            .env(
                tls::MEDIAMTX_FINGERPRINT_HOSTS,
                self.servers.hosts().join(" "),
            )
            // Other users of the host see command lines, not environments.
            .env("MTX_WORKER_INPUT", task.input.as_str())
            .env("MTX_WORKER_OUTPUT", outputs.join(" "))
            .env("MTX_WORKER_VIA", via.join(" "))
            .env("MTX_WORKER_STATS_INTERVAL", REPORT_INTERVAL)
            .env("MTX_LOG_FORMAT", "json")
            .env(
                "RTMP_PORT",
                self.servers.rtmp.port().unwrap_or(1935).to_string(),
            )
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        platform::confine(&mut command, limits);
        command
    }
}

/// A worker that was started and not yet reaped. Only the thread that started it holds it, so its process id
/// can't be anybody else's.
pub(super) struct Worker {
    pub(super) number: u64,
    pub(super) started: Timestamp,
    /// Its outputs.
    pub(super) suspects: Vec<Suspect>,
    child: Child,
    heard: Instant,
    usage: Usage,
    silent: bool,
    exit: Option<(ExitStatus, Instant)>,
    trouble: Option<String>,
}

impl Worker {
    pub(super) fn start(
        template: &Template,
        (task, limits): (&Task, Limits),
        (marks, via): (Marks, Via),
        id: &WorkerId,
        messages: &Sender<Message>,
        now: Instant,
    ) -> Result<Self> {
        let outputs = task.outputs.iter();
        let via: Vec<Via> = outputs.map(|to| via.through(marks.mark(to))).collect();
        let mut child = template
            .command(task, limits, &via)
            .spawn()
            .with_context(|| format!("can't start {}", template.program.display()))?;
        let (stderr, pid) = (child.stderr.take(), child.id());
        let (id, number, messages) = (id.clone(), id.number, messages.clone());
        let suspects = Suspect::list(pid, task, marks);
        let task = task.clone();
        let reader = thread::Builder::new().stack_size(STACK).spawn(move || {
            if let Some(stderr) = stderr {
                output::follow(stderr, pid, id, &task, &messages);
            }
        });
        if let Err(error) = reader {
            let _ = child.kill();
            let _ = child.wait();
            return Err(error).context("can't start the thread that reads a worker's reports");
        }
        Ok(Self {
            number,
            started: Timestamp::now(),
            suspects,
            child,
            heard: now,
            usage: Usage::new(now),
            silent: false,
            exit: None,
            trouble: None,
        })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn terminate(&mut self) {
        if self.exit.is_none() {
            platform::terminate(&mut self.child);
        }
    }

    pub(super) fn kill(&mut self) {
        // Fails when it has ended already.
        let _ = self.child.kill();
    }

    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    /// What it did wrong, if it took more of a processor than `limit` percent.
    pub(super) fn excess(&mut self, limit: u64, now: Instant) -> Option<Failure> {
        let spent = platform::cpu_time(self.pid())?;
        let percent = self.usage.percent(spent, now)?;
        let reason = || format!("took {percent} % of a processor, where {limit} % are allowed");
        (percent > limit).then(|| FailureKind::OverLimit.because(reason()))
    }

    pub(super) fn in_trouble(&mut self, reason: String) {
        self.trouble = Some(reason);
    }

    pub(super) fn fell_silent(&mut self) {
        self.silent = true;
    }

    pub(super) fn hangs(&self, now: Instant) -> bool {
        self.exit.is_none() && now.saturating_duration_since(self.heard) >= HUNG_AFTER
    }

    /// Whether it has ended, whatever it has said.
    pub(super) fn has_exited(&mut self) -> bool {
        self.exit.is_some() || self.child.try_wait().is_ok_and(|status| status.is_some())
    }

    /// How it ended, if it has and its last words are known.
    pub(super) fn ended(&mut self, now: Instant) -> Option<Failure> {
        if self.exit.is_none() {
            // Our own child can always be asked about.
            let status = self.child.try_wait().ok().flatten()?;
            self.exit = Some((status, now));
        }
        let (status, at) = self.exit?;
        if !self.silent && now.saturating_duration_since(at) < LAST_WORDS {
            return None;
        }
        let signal = platform::signal(status);
        // The last words of one that was shot are about something else.
        let words = self
            .trouble
            .take()
            .filter(|_| signal.as_deref() != Some("SIGKILL"));
        let (kind, how) = match (signal, status.code()) {
            (Some(signal), _) => (FailureKind::Signalled, format!("killed by {signal}")),
            (None, Some(code)) => (FailureKind::Exited, format!("exit code {code}")),
            (None, None) => (FailureKind::Exited, status.to_string()),
        };
        Some(kind.because(match words {
            Some(words) => format!("{how}: {words}"),
            None => how,
        }))
    }

    /// When to ask again whether it has ended.
    pub(super) fn next_look(&self, now: Instant) -> Instant {
        let soon = if self.silent || self.exit.is_some() {
            5
        } else {
            200
        };
        now + Duration::from_millis(soon)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_braces_of_a_query_are_no_places_for_the_worker() {
        let template = Template {
            program: "/nowhere".into(),
            servers: Servers {
                rtsp: "rtsp://127.0.0.1:8554".parse().unwrap(),
                rtmp: "rtmp://127.0.0.1:1935?user=me&pass={name}".parse().unwrap(),
            },
        };
        let route = "cam => copy/{path} rtmp://h/app/key?x=%7b".parse().unwrap();
        let (task, _) = template.servers.routed(&"cam".parse().unwrap(), &route);
        let limits = Limits {
            memory: 0,
            open_files: 0,
            cpu: 0,
        };
        let command = template.command(&task, limits, &[]);
        let outputs = command
            .get_envs()
            .find(|(name, _)| *name == "MTX_WORKER_OUTPUT");
        let outputs = outputs.and_then(|(_, value)| value).unwrap();
        assert_eq!(
            outputs.to_str(),
            Some("rtmp://127.0.0.1:1935/copy/cam?user=me&pass=%7Bname%7D rtmp://h/app/key?x=%7b")
        );
    }
}
