//! The policies of the server's paths: status, control, configuration, metrics.

mod body;
mod commands;
mod policy;

use common::http::{Answer, Head, Method, Problem};
use common::secret;
use mediamtx::path::PathName;
use mtx_lifecycle::commands::{Error, Lifecycle as Commands, Report};

use super::{JSON, PROMETHEUS};
use crate::lifecycle::Lifecycle;
use crate::power::Power;
pub(super) use policy::dry_run;

/// Where a request leads, below `/v1/lifecycle`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    Paths,
    Path(String),
    Start(String),
    Stop(String),
    Policy,
    Apply,
    Reconcile,
    Rollback,
}

impl Route {
    /// A path's slashes may stand as they are or as `%2F`. The latter tells one that is called `…/start` from a command.
    pub(super) fn find(path: &[&str]) -> Result<Self, Problem> {
        match path {
            ["paths"] => Ok(Self::Paths),
            ["paths", path @ .., "start"] if !path.is_empty() => name(path).map(Self::Start),
            ["paths", path @ .., "stop"] if !path.is_empty() => name(path).map(Self::Stop),
            ["paths", path @ ..] => name(path).map(Self::Path),
            ["policy"] => Ok(Self::Policy),
            ["reconcile"] => Ok(Self::Reconcile),
            ["rollback"] => Ok(Self::Rollback),
            _ => Err(Problem::new(
                404,
                "there is nothing here; below /v1/lifecycle there are paths, policy, reconcile, rollback and metrics",
            )),
        }
    }

    pub(super) fn allow(&self) -> &'static str {
        match self {
            Self::Paths | Self::Path(_) => "GET, HEAD",
            Self::Policy | Self::Apply => "GET, HEAD, PUT",
            Self::Start(_) | Self::Stop(_) | Self::Reconcile | Self::Rollback => "POST",
        }
    }

    pub(super) fn with(self, method: &Method) -> Self {
        match (self, method) {
            (Self::Policy, Method::Put) => Self::Apply,
            (route, _) => route,
        }
    }

    pub(super) fn power(&self) -> Power {
        match self {
            Self::Paths | Self::Path(_) | Self::Policy => Power::Read,
            Self::Start(_) | Self::Stop(_) | Self::Reconcile => Power::Operate,
            // What was in force earlier can have commands, too.
            Self::Apply | Self::Rollback => Power::Policy,
        }
    }

    /// Which types a body can be of, and whether there has to be one.
    pub(super) fn body(&self) -> (&'static [&'static str], bool) {
        match self {
            // JSON is YAML, too.
            Self::Apply => (&["application/yaml", "application/json"], true),
            Self::Start(_) => (JSON, true),
            _ => (JSON, false),
        }
    }
}

fn name(segments: &[&str]) -> Result<String, Problem> {
    let name = segments.join("/");
    match name.parse::<PathName>() {
        Ok(_) => Ok(name),
        Err(error) => Err(Problem::new(400, error.to_string()).field("path")),
    }
}

pub(super) fn answer(
    lifecycle: Option<&Lifecycle>,
    route: Route,
    head: &Head,
    body: &[u8],
) -> Answer {
    let Some(lifecycle) = lifecycle else {
        return no_journal();
    };
    let Some(commands) = lifecycle.commands() else {
        let problem = Problem::new(
            503,
            "too many requests wait for MediaMTX: try again in a moment",
        );
        return problem.header("Retry-After", "1").into();
    };
    let done = match route {
        Route::Paths => commands::status(&commands),
        Route::Path(path) => commands::status_of(&commands, &path),
        Route::Start(path) => commands::start(&commands, &path, body),
        Route::Stop(path) => commands::stop(&commands, &path, body),
        Route::Policy => policy::show(&commands),
        Route::Apply => policy::apply(&commands, head.query(), body),
        Route::Reconcile => commands::reconcile(&commands),
        Route::Rollback => policy::rollback(&commands, body),
    };
    done.unwrap_or_else(Answer::from)
}

/// What `watch` has seen. Asking for it waits for nobody, so it always has a place.
pub(super) fn metrics(lifecycle: Option<&Lifecycle>) -> Answer {
    match lifecycle {
        Some(lifecycle) => Answer::new(200, PROMETHEUS, lifecycle.metrics()),
        None => no_journal(),
    }
}

fn no_journal() -> Answer {
    let detail = "mtx-orchestrator has no journal for policies; start it with --lifecycle-state FOLDER \
                  (or ORCHESTRATOR_LIFECYCLE_STATE)";
    Problem::new(503, detail).into()
}

/// What is answered where the library refuses or fails.
fn problem(error: &Error) -> Problem {
    let problem = |status| Problem::new(status, secret::scrub(&error.to_string()));
    match error {
        Error::UseCase { .. } => problem(400).field("useCase"),
        Error::Path(_) | Error::Reserved(_) => problem(400).field("path"),
        Error::Moment(_) => problem(400).field("until"),
        Error::Unknown(_) => problem(404).field("path"),
        Error::Revision { .. } | Error::Forgotten { .. } => problem(404).field("revision"),
        Error::Template(_)
        | Error::Reach(_)
        | Error::Redirect(_)
        | Error::Rejected { .. }
        | Error::Jammed(_) => problem(409),
        Error::NoSource { .. } | Error::NoFile { .. } | Error::NotShown { .. } => problem(504),
        _ => problem(503),
    }
}

/// What came of a change of many paths; what failed for one of them is in the answer, and in the log.
fn told(what: &'static str, report: &Report) {
    let failed = report
        .paths
        .iter()
        .filter_map(|path| Some((path, path.failed.as_ref()?)));
    for (path, why) in failed {
        log::warn!(path = path.path.as_str(), command = what; "{why}");
    }
    log::info!(command = what, paths = report.paths.len(); "lifecycle command done");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_of_a_path_stand_as_they_are_or_escaped() {
        let cam = || "live/cam/in".to_owned();
        for (segments, route) in [
            (&["paths"][..], Route::Paths),
            (&["paths", "live", "cam", "in"], Route::Path(cam())),
            (&["paths", "live/cam/in"], Route::Path(cam())),
            (
                &["paths", "live", "cam", "in", "start"],
                Route::Start(cam()),
            ),
            (&["paths", "live/cam/in", "stop"], Route::Stop(cam())),
            (&["paths", "start"], Route::Path("start".to_owned())),
            (&["paths", "a/start"], Route::Path("a/start".to_owned())),
            (
                &["paths", "a/start", "start"],
                Route::Start("a/start".to_owned()),
            ),
        ] {
            assert_eq!(Route::find(segments), Ok(route), "{segments:?}");
        }
        for (segments, status) in [
            (&[][..], 404),
            (&["path"], 404),
            (&["policy", "x"], 404),
            (&["paths", ""], 400),
            (&["paths", "..", "x"], 400),
            (&["paths", "a b"], 400),
            (&["paths", "", "start"], 400),
        ] {
            assert_eq!(
                Route::find(segments).unwrap_err().status,
                status,
                "{segments:?}"
            );
        }
    }
}
