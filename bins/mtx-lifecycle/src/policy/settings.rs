//! What a use case or a rule says about a path.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::span::{Span, SpanError};

/// Each of them may be left open.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Settings {
    /// How long after its last viewer an on-demand source is closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub close_after: Option<CloseAfter>,
    /// Whether an on-demand command that ends is started again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart: Option<Switch>,
    /// How long an on-demand source may take to start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_timeout: Option<Span>,
    /// Whether the stream is recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<Switch>,
    /// Where to, as MediaMTX's `recordPath`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record_path: Option<String>,
    /// As what.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record_format: Option<RecordFormat>,
    /// How much a crash can cost, as MediaMTX's `recordPartDuration`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record_part_duration: Option<Span>,
    /// When the next file begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record_segment_duration: Option<Span>,
    /// When a file is deleted; `0s` for never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record_delete_after: Option<Span>,
}

impl Settings {
    /// Whether nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether they have a stream recorded.
    #[must_use]
    pub fn records(&self) -> bool {
        self.record.is_some_and(|record| record.0)
    }

    /// Whether they make a stream go on, or be recorded, that nobody watches.
    #[must_use]
    pub fn lasts(&self) -> bool {
        self.records() || self.close_after == Some(CloseAfter::Never)
    }

    /// The same without what makes a stream go on, or be recorded, that nobody watches.
    #[must_use]
    pub fn resting(mut self) -> Self {
        self.record = None;
        self.close_after = self.close_after.filter(|it| *it != CloseAfter::Never);
        self
    }

    /// These, except for what the `other` ones say.
    #[must_use]
    pub fn overridden_by(self, other: &Self) -> Self {
        let other = other.clone();
        Self {
            close_after: other.close_after.or(self.close_after),
            restart: other.restart.or(self.restart),
            start_timeout: other.start_timeout.or(self.start_timeout),
            record: other.record.or(self.record),
            record_path: other.record_path.or(self.record_path),
            record_format: other.record_format.or(self.record_format),
            record_part_duration: other.record_part_duration.or(self.record_part_duration),
            record_segment_duration: other
                .record_segment_duration
                .or(self.record_segment_duration),
            record_delete_after: other.record_delete_after.or(self.record_delete_after),
        }
    }

    /// What serves both use cases: whatever is longer, or on. A weaker use case so never shortens a stronger one.
    #[must_use]
    pub fn together_with(self, other: &Self) -> Self {
        let longest = |one: Option<Span>, other| one.max(other);
        let either = |one: Option<Switch>, other: Option<Switch>| one.max(other);
        Self {
            close_after: self.close_after.max(other.close_after),
            restart: either(self.restart, other.restart),
            start_timeout: longest(self.start_timeout, other.start_timeout),
            record: either(self.record, other.record),
            ..self.clone().overridden_by(&Self {
                close_after: None,
                restart: None,
                start_timeout: None,
                record: None,
                ..other.clone()
            })
        }
    }
}

/// When an on-demand source is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum CloseAfter {
    /// So long after its last viewer has gone.
    After(Span),
    /// Not until it is stopped.
    Never,
}

/// A text that says no such time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CloseAfterError {
    /// MediaMTX would close the source before anybody has seen it.
    #[error("closeAfter: 0s makes MediaMTX close the source at once: write never, or at least 1s")]
    AtOnce,
    /// No length of time either.
    #[error("closeAfter: {0}, or never")]
    Span(#[from] SpanError),
}

impl TryFrom<String> for CloseAfter {
    type Error = CloseAfterError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text == "never" {
            return Ok(Self::Never);
        }
        match Span::try_from(text)? {
            span if span < Span::seconds(1) => Err(CloseAfterError::AtOnce),
            span => Ok(Self::After(span)),
        }
    }
}

impl From<CloseAfter> for String {
    fn from(close_after: CloseAfter) -> Self {
        close_after.to_string()
    }
}

impl fmt::Display for CloseAfter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::After(span) => span.fmt(f),
            Self::Never => f.write_str("never"),
        }
    }
}

/// On or off, also as `yes` and `no`, which mediamtx.yml is full of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "YesOrTrue", into = "bool")]
pub struct Switch(pub bool);

#[derive(Deserialize)]
#[serde(untagged, expecting = "yes or no")]
enum YesOrTrue {
    Truth(bool),
    Word(String),
}

impl TryFrom<YesOrTrue> for Switch {
    type Error = String;

    fn try_from(value: YesOrTrue) -> Result<Self, Self::Error> {
        match value {
            YesOrTrue::Truth(value) => Ok(Self(value)),
            YesOrTrue::Word(word) => match word.as_str() {
                "yes" => Ok(Self(true)),
                "no" => Ok(Self(false)),
                _ => Err(format!("{word:?} is neither yes nor no")),
            },
        }
    }
}

impl From<Switch> for bool {
    fn from(switch: Switch) -> Self {
        switch.0
    }
}

/// The kind of file that MediaMTX records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecordFormat {
    /// Fragmented MP4.
    Fmp4,
    /// MPEG transport stream.
    MpegTs,
}

impl RecordFormat {
    /// MediaMTX's name for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fmp4 => "fmp4",
            Self::MpegTs => "mpegts",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(yaml: &str) -> Settings {
        serde_yaml::from_str(yaml).unwrap()
    }

    #[test]
    fn a_weaker_use_case_never_shortens_a_stronger_one() {
        let strong = settings("{closeAfter: 5m, restart: yes, startTimeout: 10s}");
        let weak = settings("{closeAfter: 60s, restart: no, startTimeout: 5s}");
        let recording = settings("{closeAfter: never, record: yes, restart: yes}");
        assert_eq!(strong.clone().together_with(&weak), strong);
        assert_eq!(weak.together_with(&strong), strong);
        let all = strong.together_with(&recording);
        assert_eq!(all.close_after, Some(CloseAfter::Never));
        assert_eq!(all.record, Some(Switch(true)));
    }

    #[test]
    fn closing_at_once_is_refused_with_what_to_write_instead() {
        let error = serde_yaml::from_str::<Settings>("closeAfter: 0s").unwrap_err();
        assert!(error.to_string().contains("write never"), "{error}");
    }
}
