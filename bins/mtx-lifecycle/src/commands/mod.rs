//! The commands, each with what it prints.

mod picture;
mod policies;
mod streams;
mod watch;

use std::io::{self, Write};

use anyhow::anyhow;
use mediamtx::secret;
use mediamtx::signals::StopSignals;
use mtx_lifecycle::engine::{Error, Lifecycle, Options, PathReport, Report};

use crate::cli::Command;

/// Why a command failed.
pub(crate) struct Failure {
    pub(crate) error: anyhow::Error,
    pub(crate) is_usage: bool,
}

impl Failure {
    pub(crate) fn usage(error: anyhow::Error) -> Self {
        Self {
            error,
            is_usage: true,
        }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self {
            error: error.into(),
            is_usage: false,
        }
    }
}

pub(crate) fn run(
    command: Command,
    options: Options,
    signals: Option<StopSignals>,
) -> Result<(), Failure> {
    // It needs neither a server nor a journal.
    if let Command::Migrate { file } = command {
        return policies::migrate(&file);
    }
    let lifecycle = Lifecycle::new(options)?;
    match command {
        Command::Start { use_case, path } => streams::start(&lifecycle, &use_case, &path),
        Command::Stop { path, reason } => streams::stop(&lifecycle, &path, &reason),
        Command::Status { path, json } => streams::status(&lifecycle, path.as_deref(), json),
        Command::Apply {
            file,
            dry_run,
            force,
        } => policies::apply(&lifecycle, &file, dry_run, force),
        Command::Reconcile => policies::reconcile(&lifecycle),
        Command::Rollback { revision, force } => policies::rollback(&lifecycle, revision, force),
        Command::Watch { metrics } => watch::watch(lifecycle, metrics, signals),
        Command::Snapshot { path, output } => picture::take(&lifecycle, &path, &output),
        Command::Export => policies::export(&lifecycle),
        Command::Migrate { .. } => Ok(()),
    }
}

/// Says on stdout what was done and what waits. What failed is the command's failure.
fn tell(report: &Report) -> Result<(), Failure> {
    for path in &report.paths {
        tell_path(path);
    }
    let failed = report.paths.iter().filter_map(|path| {
        let why = path.failed.as_ref()?;
        Some(format!("{}: {why}", path.path))
    });
    let failed: Vec<_> = failed.collect();
    match failed.is_empty() {
        true => Ok(()),
        false => Err(anyhow!("{}", failed.join("; ")).into()),
    }
}

fn tell_path(report: &PathReport) {
    let path = &report.path;
    for done in &report.done {
        say(&format!("{path}: {done}"));
    }
    if let Some(dropped) = report.dropped {
        let _ = writeln!(
            io::stderr(),
            "mtx-lifecycle: warning: {path}: dropped {dropped}"
        );
    }
    for pending in &report.pending {
        say(&format!("{path}: {pending}"));
    }
}

/// A line for people. Nobody is left to be told when the other end of a pipe has gone.
fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{}", secret::scrub(line));
}

/// A text for a file, which may hold passwords.
fn put(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

/// The server could not be told, but what is wanted is in the journal: says what becomes of it.
fn noted<T>(lifecycle: &Lifecycle, result: Result<T, Error>) -> Result<T, Failure> {
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
