//! How each path stands.

use mediamtx::api::ApiError;
use mediamtx::secret;
use mediamtx::timestamp::Timestamp;
use serde::Serialize;

use crate::engine::{Error, Lifecycle, Pending};
use crate::journal::{Journal, Revision, State};
use crate::plan::plan;
use crate::server::View;
use crate::wanted::Wanted;

/// All of it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The current revision.
    pub revision: u64,
    /// Those that can be gone back to, the current one last.
    pub revisions: Vec<RevisionStatus>,
    /// Why the server could not be asked; what follows is then what the journal knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_error: Option<String>,
    /// By name.
    pub paths: Vec<PathStatus>,
}

/// What was wanted from some moment on.
#[derive(Debug, Clone, Serialize)]
pub struct RevisionStatus {
    /// Its number.
    pub number: u64,
    /// Since when.
    pub at: Timestamp,
    /// By which command.
    pub what: String,
}

/// Of one path.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PathStatus {
    /// Its name.
    pub path: String,
    /// What it is at the moment.
    pub state: PathState,
    /// The use cases that hold for it.
    pub use_cases: Vec<String>,
    /// Since when the oldest of those that were started by hand holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Why somebody has stopped it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
    /// Readers, except for the server's own.
    pub viewers: usize,
    /// Whether it is recorded at the moment.
    pub recording: bool,
    /// Whether the server holds it open without any viewer.
    pub kept: bool,
    /// Whether it is to.
    #[serde(skip)]
    pub(crate) keep: bool,
    /// What will be written once nobody would be hurt.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<Pending>,
    /// What the server did not want, or why nothing can be worked out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// What a path is at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PathState {
    /// A stream is there.
    Live,
    /// No stream, and none is wanted.
    Idle,
    /// No stream, though it is wanted.
    Waiting,
    /// No stream, and nobody tries any more, but every few minutes.
    Degraded,
    /// The server can't be asked.
    Unknown,
}

impl PathState {
    /// As in the JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Idle => "idle",
            Self::Waiting => "waiting",
            Self::Degraded => "degraded",
            Self::Unknown => "unknown",
        }
    }
}

impl Lifecycle {
    /// How each path stands, or one of them. It waits for nobody.
    ///
    /// # Errors
    /// When the journal can't be read.
    pub fn status(&self, only: Option<&str>) -> Result<Status, Error> {
        let state = Journal::peek(&self.options().folder)?;
        let view = View::look(&self.options().api);
        Ok(status(&state, view.as_ref(), only))
    }
}

impl From<&Revision> for RevisionStatus {
    fn from(revision: &Revision) -> Self {
        Self {
            number: revision.number,
            at: revision.at,
            what: secret::scrub(&revision.what).into_owned(),
        }
    }
}

/// How each path stands after one look at the server.
#[must_use]
pub fn status(state: &State, view: Result<&View, &ApiError>, only: Option<&str>) -> Status {
    let wanted = state.wanted();
    let mut names: std::collections::BTreeSet<String> =
        wanted.named().into_iter().map(str::to_owned).collect();
    if let Ok(view) = view {
        names.extend(view.paths().map(str::to_owned));
    }
    if let Some(only) = only {
        names = [only.to_owned()].into();
    }
    let of_path = |path: &String| of_path(state, &wanted, view.ok(), path);
    Status {
        revision: state.revision(),
        revisions: state.revisions.iter().map(RevisionStatus::from).collect(),
        api_error: view.err().map(ToString::to_string),
        paths: names.iter().map(of_path).collect(),
    }
}

fn of_path(state: &State, wanted: &Wanted, view: Option<&View>, path: &str) -> PathStatus {
    let used = wanted.uses.get(path);
    let mut status = PathStatus {
        path: path.to_owned(),
        state: PathState::Unknown,
        use_cases: wanted.use_cases(path).into_iter().collect(),
        since: used.and_then(|used| used.started.values().min().copied()),
        stopped: wanted.stopped(path).map(str::to_owned),
        viewers: 0,
        recording: false,
        kept: false,
        keep: false,
        pending: Vec::new(),
        problem: state.rejected.get(path).cloned(),
    };
    let Some(view) = view else {
        return status;
    };
    let busy = view.busy(path);
    status.viewers = busy.viewers;
    status.recording = busy.recordings > 0;
    status.kept = view.is_kept(path);
    match plan(wanted, view, path, state.touched.get(path)) {
        Ok(plan) => {
            status.keep = plan.kept;
            let waiting = plan.steps.iter().filter(|_| status.problem.is_none());
            status.pending = waiting.map(|step| Pending::of(step, step.hurts)).collect();
        }
        // A path that only the server knows is none of ours.
        Err(error) if wanted.named().contains(path) => status.problem = Some(error.to_string()),
        Err(_) => {}
    }
    let records = wanted.settings(path).record.is_some_and(|record| record.0);
    let is_wanted = records || status.keep;
    status.state = match (
        busy.publishers > 0,
        state.degraded.contains(path),
        is_wanted,
    ) {
        (true, ..) => PathState::Live,
        (false, true, _) => PathState::Degraded,
        (false, false, true) => PathState::Waiting,
        (false, false, false) => PathState::Idle,
    };
    status
}
