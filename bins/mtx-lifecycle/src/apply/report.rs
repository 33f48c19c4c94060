//! What came of it.

use std::fmt;

use mediamtx::api::Fields;
use serde::Serialize;

use super::Refused;
use super::describe::{describe_fields, without_passwords};
use crate::ledger::Change;
use crate::plan::Step;
use crate::server::Busy;

/// What a change waits for that would have recorded files deleted otherwise.
pub(crate) const FILES: &str = "the end of its recorded files";

/// Of all paths.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Those that needed something.
    pub paths: Vec<PathReport>,
    /// Why the server accepts no change at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jammed: Option<String>,
    /// The ids of other journals that hold the path open that this is about.
    #[serde(skip)]
    pub other_journals: Vec<String>,
    /// The writes, in order.
    #[serde(skip)]
    pub(crate) written: Vec<(String, Change)>,
    /// What the server has rejected, now or before.
    #[serde(skip)]
    pub(crate) refused: Vec<Refused>,
}

/// Of one path.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PathReport {
    /// Which.
    pub path: String,
    /// What was written, a line each.
    pub done: Vec<String>,
    /// What waits.
    pub pending: Vec<Pending>,
    /// Who was dropped by force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropped: Option<Busy>,
    /// What the server did not want, or why nothing could be worked out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// Whether that is more than an override, without which the path is as its use cases say.
    #[serde(skip)]
    pub(crate) is_unmet: bool,
}

/// What waits until nobody would be hurt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pending {
    /// What will be written.
    pub fields: Fields,
    /// Who is in the way.
    pub waits_for: Busy,
    /// It waits for the end of the path's recorded files, too, which MediaMTX deletes by the settings as they are.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub waits_for_files: bool,
}

impl Pending {
    /// A step, and who is in its way.
    pub(crate) fn new(step: &Step, waits_for: Busy) -> Self {
        let fields = match &step.change {
            Change::Add(fields) | Change::Patch(fields) => without_passwords(fields),
            Change::Remove => Fields::new(),
        };
        Self {
            fields,
            waits_for,
            waits_for_files: step.ends_retention,
        }
    }
}

impl fmt::Display for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = match describe_fields(&self.fields) {
            fields if fields.is_empty() => "entry removed".to_owned(),
            fields => fields,
        };
        let waits_for = match (self.waits_for_files, self.waits_for.is_idle()) {
            (false, true) => "until mtx-lifecycle reconcile or watch".to_owned(),
            (false, false) => format!("waits for {}", self.waits_for),
            (true, true) => format!("waits for {FILES}"),
            (true, false) => format!("waits for {}, {FILES}", self.waits_for),
        };
        write!(f, "pending: {fields} ({waits_for})")
    }
}

impl PathReport {
    pub(crate) fn new(path: &str) -> Self {
        Self {
            path: path.to_owned(),
            ..Self::default()
        }
    }

    /// Whether there is nothing to tell.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.done.is_empty() && self.pending.is_empty() && self.failed.is_none()
    }
}

impl Report {
    pub(super) fn add(&mut self, path: PathReport) {
        if !path.is_empty() {
            self.paths.push(path);
        }
    }

    /// Whether every path is as wanted, or will be.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.failures().next().is_none()
    }

    /// The paths that are not, with the reason.
    pub fn failures(&self) -> impl Iterator<Item = (&str, &str)> {
        let failed = self.paths.iter();
        failed.filter_map(|path| Some((path.path.as_str(), path.failed.as_deref()?)))
    }
}
