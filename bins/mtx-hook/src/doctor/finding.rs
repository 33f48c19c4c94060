//! What doctor has to say.

use std::fmt;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Severity {
    /// Something does not work.
    Error,
    /// It works, but hardly as it is meant, or only as long as nothing changes.
    Warning,
}

/// Something that is wrong, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Finding {
    pub(super) severity: Severity,
    /// The setting, for example `cam1: runOnAvailable`.
    pub(super) place: String,
    pub(super) text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{severity}: {}: {}", self.place, self.text)
    }
}

/// All that one look has come to.
#[derive(Debug, Default)]
pub(super) struct Diagnosis {
    pub(super) found: Vec<Finding>,
    /// Checks that could not be made, each with the reason.
    pub(super) unchecked: Vec<String>,
    /// What findings have in common.
    pub(super) notes: Vec<String>,
}

impl Diagnosis {
    pub(super) fn error(&mut self, place: impl Into<String>, text: impl Into<String>) {
        self.add(Severity::Error, place.into(), text.into());
    }

    pub(super) fn warning(&mut self, place: impl Into<String>, text: impl Into<String>) {
        self.add(Severity::Warning, place.into(), text.into());
    }

    pub(super) fn add(&mut self, severity: Severity, place: String, text: String) {
        self.found.push(Finding {
            severity,
            place,
            text,
        });
    }

    pub(super) fn unchecked(&mut self, text: impl Into<String>) {
        push_new(&mut self.unchecked, text.into());
    }

    pub(super) fn note(&mut self, text: impl Into<String>) {
        push_new(&mut self.notes, text.into());
    }

    /// Takes over those that are not there yet.
    pub(super) fn merge(&mut self, other: Self) {
        self.found.extend(other.found);
        other
            .unchecked
            .into_iter()
            .for_each(|text| self.unchecked(text));
        other.notes.into_iter().for_each(|text| self.note(text));
    }
}

fn push_new(texts: &mut Vec<String>, text: String) {
    if !texts.contains(&text) {
        texts.push(text);
    }
}
