//! A picture of a stream. A one-shot mtx-worker takes it: media code is at home there.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, anyhow, bail};
use mediamtx::program;
use mtx_lifecycle::engine::Lifecycle;

use super::{Failure, say};

const WORKER: &str = "mtx-worker";

pub(super) fn take(lifecycle: &Lifecycle, path: &str, output: &Path) -> Result<(), Failure> {
    let worker = worker()?;
    let url = lifecycle.stream_url(path)?;
    let taken = match lifecycle.start("snapshot", path) {
        Ok(_) => run(&worker, &url, output),
        Err(error) => Err(error.into()),
    };
    // The use case ends whether there is a picture or not; its source stays for a minute.
    lifecycle.end("snapshot", path)?;
    taken?;
    say(&format!("{path}: {}", output.display()));
    Ok(())
}

fn run(worker: &Path, url: &str, output: &Path) -> Result<()> {
    let extension = output.extension().map(|it| it.to_ascii_lowercase());
    if !extension.is_some_and(|it| it == "jpg" || it == "jpeg") {
        bail!(
            "{} is no name for a picture: it has to end in .jpg",
            output.display()
        );
    }
    let mut command = Command::new(worker);
    command.arg("--output").arg(output).stdin(Stdio::null());
    // In the environment, where a password is not seen by everybody.
    let done = command.env("MTX_WORKER_INPUT", url).output();
    let done = done.with_context(|| format!("can't run {}", worker.display()))?;
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    let last = said.lines().rfind(|line| !line.trim().is_empty());
    bail!(
        "no picture: {}",
        last.unwrap_or("mtx-worker failed without a word")
    )
}

/// As given, or beside this program, or in `PATH`.
fn worker() -> Result<PathBuf> {
    if let Some(file) = env::var_os("MTX_WORKER").map(PathBuf::from) {
        return match file.is_file() {
            true => Ok(file),
            false => Err(anyhow!("MTX_WORKER: no file {}", file.display())),
        };
    }
    program::find(WORKER).with_context(|| {
        format!("no {WORKER} beside this program or in PATH: name it with MTX_WORKER")
    })
}
