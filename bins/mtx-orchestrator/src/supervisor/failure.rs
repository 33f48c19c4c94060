//! Why a worker had to be replaced.

use std::fmt;

use serde::Serialize;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) kind: FailureKind,
    /// For people.
    pub(crate) reason: String,
}

/// There are few of them, so that each can be a label of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum FailureKind {
    NotStarted,
    Exited,
    Signalled,
    /// It does not report.
    Hung,
    /// It reports, but passes nothing on.
    Stalled,
    OverLimit,
}

impl FailureKind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::NotStarted => "not-started",
            Self::Exited => "exited",
            Self::Signalled => "signalled",
            Self::Hung => "hung",
            Self::Stalled => "stalled",
            Self::OverLimit => "over-limit",
        }
    }

    pub(super) fn because(self, reason: impl Into<String>) -> Failure {
        let reason = reason.into();
        Failure { kind: self, reason }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}
