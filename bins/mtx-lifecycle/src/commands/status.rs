//! How each path stands.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use common::secret;
use common::timestamp::Timestamp;
use mediamtx::api::ApiError;
use serde::Serialize;

use super::act::{check_path, is_unknown};
use super::storage::Storage;
use super::{Error, Lifecycle, Pending};
use crate::journal::{Journal, Revision, State};
use crate::plan::{PathPlan, Planner};
use crate::policy::{Current, Use};
use crate::server::{Keeper, View, is_reserved};

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
    /// When those end that were started for a time.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub until: BTreeMap<String, Timestamp>,
    /// Why somebody has stopped it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
    /// Readers, except for what holds it open.
    pub viewers: usize,
    /// Whether it is recorded at the moment.
    pub recording: bool,
    /// Whether the server holds it open without any viewer.
    pub kept: bool,
    /// The ids of other journals that hold it open, too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub other_journals: Vec<String>,
    /// Whether there is such a path at all.
    #[serde(skip)]
    pub existence: Existence,
    /// Whether somebody wants the stream to be there without anybody who watches.
    #[serde(skip)]
    pub(crate) is_wanted: bool,
    /// Whether it is to be held open for that.
    #[serde(skip)]
    pub(crate) keep: bool,
    /// What will be written once nobody would be hurt.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<Pending>,
    /// What the server did not want, or why nothing can be worked out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Its source, if that was demanded and is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<Missing>,
    /// Its recorded files, if it is recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage: Option<Storage>,
}

/// Whether there is such a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existence {
    /// The server or the policy has it, or the journal.
    Known,
    /// Not at the moment, but an entry for many paths is for it.
    Possible,
    /// Nobody knows it.
    Unknown,
}

/// A source that was demanded and has not come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Missing {
    /// When it was first missed, if the journal knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// What is known of it, and where to read on.
    pub note: String,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.since {
            Some(since) => write!(f, "missed since {since}: {}", self.note),
            None => f.write_str(&self.note),
        }
    }
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
    /// When the journal can't be read, or `only` can't be a path.
    pub fn status(&self, only: Option<&str>) -> Result<Status, Error> {
        if let Some(path) = only {
            check_path(path)?;
        }
        let state = Journal::peek(&self.options().folder)?;
        let view = self.server().look();
        let mut status = status(&state, view.as_ref(), only);
        if let (Some(path), [status]) = (only, &mut status.paths[..]) {
            match &view {
                Ok(view) if is_unknown(&state, view, path) => status.not_there(view),
                Ok(_) => {}
                Err(_) if !state.current().named().contains(path) => {
                    status.existence = Existence::Unknown;
                }
                Err(_) => {}
            }
        }
        if let Ok(view) = &view {
            for path in &mut status.paths {
                path.storage = self.storage(view, &path.path);
            }
        }
        Ok(status)
    }
}

impl Lifecycle {
    /// What was started and stopped on a path by hand, as far as it still holds.
    ///
    /// # Errors
    /// When the journal can't be read.
    pub fn used(&self, path: &str) -> Result<Use, Error> {
        let state = Journal::peek(&self.options().folder)?;
        Ok(state.current().used(path).cloned().unwrap_or_default())
    }
}

/// What journals do to each other that hold one path open.
#[must_use]
pub fn rivalry(others: &[String]) -> Option<String> {
    let others = others.join(", ");
    (!others.is_empty()).then(|| {
        format!(
            "also kept open by another journal ({others}): what one stops or changes the other does not know; use \
             one --state-dir for each server"
        )
    })
}

impl PathStatus {
    /// What two journals do to each other, if another one holds the path open.
    #[must_use]
    pub fn rivalry(&self) -> Option<String> {
        rivalry(&self.other_journals)
    }

    /// Nobody has such a path at the moment, though an entry for many paths may be for it.
    fn not_there(&mut self, view: &View) {
        let path = self.path.clone();
        self.problem = Some(match view.template(&path) {
            Ok(Some(template)) => {
                self.existence = Existence::Possible;
                let entry = template.entry;
                format!("MediaMTX has no such path at the moment; its entry {entry} is for it")
            }
            Ok(None) => {
                self.existence = Existence::Unknown;
                Error::Unknown(path).to_string()
            }
            Err(error) => error.to_string(),
        });
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
    let current = state.current();
    let mut names: BTreeSet<String> = current.named().into_iter().map(str::to_owned).collect();
    if let Ok(view) = view {
        names.extend(view.paths().map(str::to_owned));
    }
    if let Some(only) = only {
        names = [only.to_owned()].into();
    }
    let api_error = view.err().map(ToString::to_string);
    let paths = names.iter().map(|path| match view {
        Ok(view) => of_path(state, &current, view, path),
        Err(_) => unknown(state, &current, path),
    });
    Status {
        revision: state.revision(),
        revisions: state.revisions.iter().map(RevisionStatus::from).collect(),
        api_error,
        paths: paths.collect(),
    }
}

/// What the journal alone knows.
fn unknown(state: &State, current: &Current, path: &str) -> PathStatus {
    let used = current.used(path);
    PathStatus {
        path: path.to_owned(),
        state: PathState::Unknown,
        use_cases: current.lasting_use_cases(path).into_iter().collect(),
        since: used.and_then(|used| used.started.values().min().copied()),
        until: used.map(|used| used.until.clone()).unwrap_or_default(),
        stopped: current.stopped(path).map(str::to_owned),
        viewers: 0,
        recording: false,
        kept: false,
        other_journals: Vec::new(),
        existence: Existence::Known,
        is_wanted: false,
        keep: false,
        pending: Vec::new(),
        problem: (state.rejected.get(path).cloned()).or_else(|| current.unknown_use_case(path)),
        missing: None,
        storage: None,
    }
}

fn of_path(state: &State, current: &Current, view: &View, path: &str) -> PathStatus {
    let mut status = unknown(state, current, path);
    let busy = view.busy(path, &state.id);
    status.viewers = busy.viewers;
    status.recording = busy.recordings > 0;
    let journal = &state.id;
    status.kept = view.is_available(&Keeper { journal, path }.name());
    status.other_journals = view.other_keepers(path, journal);
    let mut has_lapsed = false;
    if !is_reserved(path) {
        match what_waits(state, current, view, path) {
            Ok((plan, pending)) => {
                status.keep = plan.kept;
                has_lapsed = plan.has_lapsed;
                if status.problem.is_none() {
                    status.pending = pending;
                }
            }
            // A path that only the server knows is none of ours.
            Err(why) if current.named().contains(path) => status.problem = Some(why),
            Err(_) => {}
        }
    }
    let is_always_on = view.is_always_on(path);
    // Nobody ends a source that the server fetches all the time.
    let is_expected = !has_lapsed || is_always_on;
    status.is_wanted = current.records(path) && is_expected || status.keep;
    status.state = match (
        busy.publishers > 0,
        state.degraded.contains(path),
        status.is_wanted || is_always_on,
    ) {
        (true, ..) => PathState::Live,
        (false, true, true) => PathState::Degraded,
        (false, false, true) => PathState::Waiting,
        (false, _, false) => PathState::Idle,
    };
    let is_fetched = is_always_on && status.stopped.is_none();
    let has_source = status.keep || is_fetched || state.missing.contains_key(path);
    if status.state != PathState::Live && has_source {
        status.missing = Some(missing(state, &status));
    }
    status
}

fn missing(state: &State, status: &PathStatus) -> Missing {
    let path = &status.path;
    let what = match status.state {
        PathState::Degraded => {
            "its source was tried in vain often enough, and is tried every 5 minutes under watch; mtx-lifecycle start \
             tries it at once"
        }
        PathState::Waiting => "its source has not come",
        _ => "its source did not come when mtx-lifecycle last asked for it",
    };
    Missing {
        since: state.missing.get(path).copied(),
        note: format!("{what}; MediaMTX's log says why, at [path {path}]"),
    }
}

fn what_waits(
    state: &State,
    current: &Current,
    view: &View,
    path: &str,
) -> Result<(PathPlan, Vec<Pending>), String> {
    let planner = Planner::new(state, current, view, &state.degraded);
    let plan = planner.path(path).map_err(|error| error.to_string())?;
    let keepers = planner.keepers(path, &plan);
    let keepers = keepers.map_err(|error| error.to_string())?;
    // What hurts nobody is done at the next look; only of the settings it is worth a line.
    let keepers = keepers.iter().filter(|step| !step.hurts.is_idle());
    let steps = plan.steps.iter().chain(keepers);
    let pending = steps.map(|step| Pending::new(step, step.hurts)).collect();
    Ok((plan, pending))
}
