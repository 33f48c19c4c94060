//! A picture of a stream. A one-shot mtx-worker takes it: media code is at home there.

use std::env;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use common::{program, tls};
use mediamtx::template::Template;
use mtx_lifecycle::commands::{Error, Interrupt, Lifecycle};
use serde_json::Value;

use super::options;
use super::run::{Failure, say, tell_pending, warn};

const WORKER: &str = "mtx-worker";
/// What it may need of our environment: logins, certificates, how to read.
const HANDED_ON: [&str; 5] = [
    "RTSP_USERNAME",
    "RTSP_PASSWORD",
    tls::ROOTS_FILE,
    tls::MEDIAMTX_FINGERPRINT,
    "MTX_WORKER_TRANSPORT",
];
/// Between two looks whether it has ended.
const INTERVAL: Duration = Duration::from_millis(5);

pub(super) fn take(
    lifecycle: &Lifecycle,
    path: &str,
    output: &Path,
    from: Option<&str>,
) -> Result<(), Failure> {
    check(output).map_err(Failure::usage)?;
    let output = &filled(output, path).map_err(Failure::usage)?;
    let from = from.map(options::rtsp).transpose().context("--from");
    let from = from.map_err(Failure::usage)?;
    let worker = worker()?;
    let url = lifecycle.stream_url(path, from.as_ref())?;
    let hold = lifecycle.hold_for_picture(path)?;
    let taken = run(&worker, &url, output, &lifecycle.interrupt());
    // The hold ends whether there is a picture or not; its source stays for a minute.
    let report = hold.release()?;
    if taken.is_ok() {
        say(&format!("{path}: {}", output.display()));
    }
    tell_pending(lifecycle, &report);
    for (path, why) in report.failures() {
        warn(&format!("{path}: {why}"));
    }
    Ok(taken?)
}

fn check(output: &Path) -> Result<()> {
    let extension = output.extension().map(|it| it.to_ascii_lowercase());
    if !extension.is_some_and(|it| it == "jpg" || it == "jpeg") {
        bail!(
            "{} is no name for a picture: it has to end in .jpg",
            output.display()
        );
    }
    Ok(())
}

/// The worker fills in `{path}` and `{name}`, so that the file has to be called here as it is there.
fn filled(output: &Path, path: &str) -> Result<PathBuf> {
    let template = output
        .to_str()
        .and_then(|text| text.parse::<Template>().ok());
    match (template, path.parse()) {
        (Some(template), Ok(path)) => Ok(template.fill(&path, &[])?.into()),
        _ => Ok(output.to_owned()),
    }
}

fn run(worker: &Path, url: &str, output: &Path, interrupt: &Interrupt) -> Result<()> {
    let mut command = Command::new(worker);
    command.arg("--output").arg(output).stdin(Stdio::null());
    command.args(["--log-format", "json"]);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    // It reads what anybody publishes, so of our own environment it has no more than it needs.
    command.env_clear().envs(program::handed_on(HANDED_ON));
    // In the environment, where a password is not seen by everybody.
    let child = command.env("MTX_WORKER_INPUT", url).spawn();
    let mut child = child.with_context(|| format!("can't run {}", worker.display()))?;
    let mut complaint = String::new();
    let stderr = child.stderr.take();
    let reader = thread::spawn(move || {
        if let Some(mut stderr) = stderr {
            let _ = stderr.read_to_string(&mut complaint);
        }
        complaint
    });
    let status = wait(&mut child, interrupt)?;
    let complaint = reader.join().unwrap_or_default();
    if status.success() {
        return Ok(());
    }
    let last = complaint.lines().rfind(|line| !line.trim().is_empty());
    let why = last.map_or("mtx-worker failed without a word".to_owned(), message);
    bail!("no picture: {}", why.trim_start_matches("no picture: "))
}

/// What a line of the worker's log says; what is no such line, as it is.
fn message(line: &str) -> String {
    let fields: Value = serde_json::from_str(line).unwrap_or_default();
    match (fields["message"].as_str(), fields["reason"].as_str()) {
        (Some(message), Some(reason)) => format!("{message}: {reason}"),
        (Some(message), None) => message.to_owned(),
        (None, _) => line.to_owned(),
    }
}

fn wait(child: &mut Child, interrupt: &Interrupt) -> Result<ExitStatus> {
    loop {
        if let Some(status) = child.try_wait().context(WORKER)? {
            return Ok(status);
        }
        if interrupt.is_raised() {
            let _ = child.kill();
            let _ = child.wait();
            return Err(Error::Interrupted.into());
        }
        thread::sleep(INTERVAL);
    }
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
