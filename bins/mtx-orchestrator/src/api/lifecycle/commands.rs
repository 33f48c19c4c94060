//! How paths stand, and what is done with them.

use common::http::{Answer, Problem};
use common::secret;
use mtx_lifecycle::commands::status::{Existence, Status};
use mtx_lifecycle::commands::{Report, Started};
use serde_json::{Value, json};

use super::body::{Start, read_reason};
use super::{Commands, problem, told};

pub(super) fn status(commands: &Commands) -> Result<Answer, Problem> {
    let status = commands.status(None).map_err(|error| problem(&error))?;
    Ok(Answer::json(200, &shown(status)))
}

/// The same of one path, which has to be known to MediaMTX, to the policy or to the journal.
pub(super) fn status_of(commands: &Commands, path: &str) -> Result<Answer, Problem> {
    let status = commands
        .status(Some(path))
        .map_err(|error| problem(&error))?;
    let mut paths = status.paths.iter();
    let is_known = paths.all(|one| one.existence == Existence::Known);
    match (is_known, &status.api_error) {
        (false, Some(error)) => Err(Problem::new(503, secret::scrub(error))),
        (false, None) => {
            let detail =
                format!("MediaMTX has no path {path} at the moment, and no policy names it");
            Err(Problem::new(404, detail).field("path"))
        }
        (true, _) => Ok(Answer::json(200, &shown(status))),
    }
}

/// What the server says about its troubles can quote settings.
fn shown(mut status: Status) -> Status {
    scrub(&mut status.api_error);
    for path in &mut status.paths {
        scrub(&mut path.problem);
        scrub(&mut path.stopped);
    }
    status
}

fn scrub(text: &mut Option<String>) {
    *text = text.take().map(|text| secret::scrub(&text).into_owned());
}

pub(super) fn start(commands: &Commands, path: &str, body: &[u8]) -> Result<Answer, Problem> {
    let Start { use_case, until } = Start::read(body)?;
    let started = commands.start(&use_case, path, until).map_err(|error| {
        log::warn!(path = path, command = "start"; "{error}");
        problem(&error)
    })?;
    let (state, seconds, report) = match started {
        Started::Running { after, report } => ("running", Some(after.as_secs_f64()), report),
        Started::Armed(report) => ("armed", None, report),
        Started::Pending(report) => ("pending", None, report),
    };
    log::info!(path = path, useCase = use_case.as_str(), state = state; "use case started");
    let mut answer = changes_of(report);
    answer["path"] = path.into();
    answer["useCase"] = use_case.into();
    answer["state"] = state.into();
    answer["seconds"] = json!(seconds);
    if let Some(until) = until {
        answer["until"] = json!(until);
    }
    Ok(Answer::json(200, &answer))
}

pub(super) fn stop(commands: &Commands, path: &str, body: &[u8]) -> Result<Answer, Problem> {
    let reason = read_reason(body)?;
    let reason = reason.as_str();
    let report = commands.stop(path, reason).map_err(|error| {
        log::warn!(path = path, command = "stop"; "{error}");
        problem(&error)
    })?;
    log::info!(path = path, reason = reason; "path stopped");
    if let Some(why) = report.paths.iter().find_map(|path| path.failed.as_ref()) {
        return Err(Problem::new(409, secret::scrub(&format!("{path}: {why}"))));
    }
    let mut answer = changes_of(report);
    answer["path"] = path.into();
    answer["reason"] = reason.into();
    Ok(Answer::json(200, &answer))
}

/// What was written for the one path that a report is about, and what waits.
fn changes_of(mut report: Report) -> Value {
    let of_path = report.paths.pop().unwrap_or_default();
    json!({ "done": of_path.done, "pending": of_path.pending })
}

pub(super) fn reconcile(commands: &Commands) -> Result<Answer, Problem> {
    let report = commands.reconcile().map_err(|error| problem(&error))?;
    told("reconcile", &report);
    Ok(Answer::json(200, &clean(report)))
}

/// The report, as it may be shown.
pub(super) fn clean(mut report: Report) -> Report {
    scrub(&mut report.jammed);
    for path in &mut report.paths {
        scrub(&mut path.failed);
    }
    report
}
