//! The commands, each with what it prints.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::{process, thread};

use anyhow::{Context, anyhow};
use common::cli::WRONG_USAGE;
use common::secret;
use common::signals::{Request, StopSignals};
use mtx_lifecycle::commands::{Error, Interrupt, Lifecycle, Options, PathReport, Report};

use super::arguments::Command;
use super::{picture, policies, streams, watch};

const FAILED: u8 = 1;

/// Why a command failed.
pub(crate) struct Failure {
    pub(crate) error: anyhow::Error,
    pub(crate) exit_code: u8,
}

impl Failure {
    pub(crate) fn usage(error: anyhow::Error) -> Self {
        Self {
            error,
            exit_code: WRONG_USAGE,
        }
    }

    fn is_interruption(&self) -> bool {
        let error = self.error.downcast_ref::<Error>();
        matches!(error, Some(Error::Interrupted))
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self {
            error,
            exit_code: FAILED,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let is_usage = error.is_usage();
        Self {
            error: error.into(),
            exit_code: if is_usage { WRONG_USAGE } else { FAILED },
        }
    }
}

/// With `is_bounded`, a source gets no more time than the options say.
pub(crate) fn run(
    command: Command,
    options: Options,
    is_bounded: bool,
    signals: StopSignals,
) -> Result<(), Failure> {
    // It needs neither a server nor a journal.
    if let Command::Migrate { file } = command {
        return policies::migrate(&file);
    }
    let lifecycle = Lifecycle::new(options)?;
    let lifecycle = if is_bounded {
        lifecycle.bounded()
    } else {
        lifecycle
    };
    if let Command::Watch { metrics } = command {
        return watch::watch(lifecycle, metrics, &signals);
    }
    let ended_by = on_signal(signals, lifecycle.interrupt())?;
    execute(command, &lifecycle).map_err(|failure| match ended_by.load(Ordering::Relaxed) {
        signal if signal > 0 && failure.is_interruption() => Failure {
            exit_code: exit_code_of(signal),
            ..failure
        },
        _ => failure,
    })
}

fn execute(command: Command, lifecycle: &Lifecycle) -> Result<(), Failure> {
    match command {
        Command::Start {
            use_case,
            path,
            duration,
            until,
        } => {
            let until = streams::until(duration, until.as_deref()).map_err(Failure::usage)?;
            streams::start(lifecycle, &use_case, &path, until)
        }
        Command::Stop { path, reason } => streams::stop(lifecycle, &path, &reason),
        Command::Status { path, json } => streams::status(lifecycle, path.as_deref(), json),
        Command::Apply {
            file,
            dry_run,
            force,
        } => policies::apply(lifecycle, &file, dry_run, force),
        Command::Reconcile => policies::reconcile(lifecycle),
        Command::Rollback { revision, force } => policies::rollback(lifecycle, revision, force),
        Command::Snapshot { path, output, from } => {
            picture::take(lifecycle, &path, &output, from.as_deref())
        }
        Command::Export => policies::export(lifecycle),
        Command::Migrate { .. } | Command::Watch { .. } => Ok(()),
    }
}

/// As a shell has it of a process that a signal has ended.
fn exit_code_of(signal: u8) -> u8 {
    128 + signal
}

/// The first signal makes waiting end, and what has begun be taken back; the second one ends the process. The number of
/// the first one, once it has come.
fn on_signal(signals: StopSignals, interrupt: Interrupt) -> Result<Arc<AtomicU8>, Failure> {
    let ended_by = Arc::new(AtomicU8::new(0));
    let first = Arc::clone(&ended_by);
    let next = move || match signals.wait() {
        Request::Stop(signal) => signal,
        Request::Reload => 0,
    };
    let run = move || {
        first.store(next(), Ordering::Relaxed);
        interrupt.raise();
        process::exit(exit_code_of(next()).into());
    };
    let thread = thread::Builder::new().name("signals".to_owned());
    thread.spawn(run).context("no thread")?;
    Ok(ended_by)
}

/// Says on stdout what was done and what waits. What failed is the command's failure.
pub(super) fn tell(lifecycle: &Lifecycle, report: &Report) -> Result<(), Failure> {
    for path in &report.paths {
        tell_done(path);
    }
    tell_pending(lifecycle, report);
    let failed = report.failures();
    let failed: Vec<_> = failed.map(|(path, why)| format!("{path}: {why}")).collect();
    match failed.is_empty() {
        true => Ok(()),
        false => Err(anyhow!("{}", failed.join("; ")).into()),
    }
}

fn tell_done(report: &PathReport) {
    let path = &report.path;
    for done in &report.done {
        say(&format!("{path}: {done}"));
    }
    if let Some(dropped) = report.dropped {
        warn(&format!("{path}: dropped {dropped}"));
    }
}

/// Says on stdout what waits, and who writes it.
pub(super) fn tell_pending(lifecycle: &Lifecycle, report: &Report) {
    for path in &report.paths {
        for pending in &path.pending {
            say(&format!("{}: {pending}", path.path));
        }
    }
    let waits = report.paths.iter().any(|path| !path.pending.is_empty());
    if waits && !lifecycle.is_watched() {
        say(
            "what is pending is written by mtx-lifecycle watch, or by mtx-lifecycle reconcile once nobody is there",
        );
    }
}

/// What people should know, but programs need not.
pub(super) fn warn(line: &str) {
    let _ = writeln!(
        io::stderr(),
        "mtx-lifecycle: warning: {}",
        secret::scrub(line)
    );
}

/// A line for people. Nobody is left to be told when the other end of a pipe has gone.
pub(super) fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{}", secret::scrub(line));
}

/// A text for a file, which may hold passwords.
pub(super) fn put(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

/// The server could not be told, but what is wanted is in the journal: says what becomes of it.
pub(super) fn noted<T>(lifecycle: &Lifecycle, result: Result<T, Error>) -> Result<T, Failure> {
    let error = match result {
        Err(error) if error.is_outage() => error,
        other => return Ok(other?),
    };
    let file = lifecycle.write_fallback()?;
    Err(anyhow!(
        "{error}. It stays wanted: the next reconcile or watch does it. Without an API, {} has it for a mediamtx.yml",
        file.display()
    )
    .into())
}
