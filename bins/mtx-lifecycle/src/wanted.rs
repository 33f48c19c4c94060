//! What is wanted of the paths: the policy, and what was started and stopped by hand. And what follows from it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mediamtx::api::Fields;
use mediamtx::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::fields::{is_on, text};
use crate::policy::{CloseAfter, Policy, Settings, UseCaseName};
use crate::span::Span;

/// All of it. Each change of it is a revision.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The policy in force.
    pub policy: Arc<Policy>,
    /// Paths that somebody has started or stopped.
    pub uses: BTreeMap<String, Use>,
}

/// What was done to a path by hand.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Use {
    /// The use cases that were started, and when.
    #[serde(default)]
    pub started: BTreeMap<UseCaseName, Timestamp>,
    /// The path was stopped, for this reason: what the policy records by itself rests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
}

/// How the server is to have a path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Target {
    /// Settings, each as it has to be. What is not among them is nobody's business.
    pub fields: Fields,
    /// Whether the server holds it open without any viewer.
    pub kept: bool,
}

/// How a path comes by its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demand {
    /// The server runs a command when somebody reads.
    Command,
    /// The server fetches it when somebody reads.
    Fetched,
    /// It is there when it is there.
    None,
}

impl Demand {
    /// Of an entry with these settings.
    #[must_use]
    pub fn of(fields: &Fields) -> Self {
        match text(fields, "source") {
            "" | "publisher" if !text(fields, "runOnDemand").is_empty() => Self::Command,
            "" | "publisher" | "redirect" => Self::None,
            _ if is_on(fields, "sourceOnDemand") => Self::Fetched,
            _ => Self::None,
        }
    }
}

impl Wanted {
    /// The use cases that hold for a path: the policy's and those that were started.
    #[must_use]
    pub fn use_cases(&self, path: &str) -> BTreeSet<UseCaseName> {
        let standing = self
            .policy
            .rule(path)
            .and_then(|rule| rule.use_case.clone());
        let started = self.uses.get(path).map(|used| used.started.keys().cloned());
        standing
            .into_iter()
            .chain(started.into_iter().flatten())
            .collect()
    }

    /// What each of those use cases says.
    fn meanings(&self, path: &str) -> impl Iterator<Item = Settings> {
        let use_cases = self.use_cases(path).into_iter();
        use_cases.filter_map(|name| self.policy.use_case(&name))
    }

    /// Whether somebody has stopped the path.
    #[must_use]
    pub fn stopped(&self, path: &str) -> Option<&str> {
        self.uses.get(path)?.stopped.as_deref()
    }

    /// The paths that are named, by the policy or by hand.
    pub fn named(&self) -> BTreeSet<&str> {
        let rules = self.policy.paths.iter();
        let by_policy = rules.filter_map(|rule| rule.path.name());
        by_policy
            .chain(self.uses.keys().map(String::as_str))
            .collect()
    }

    /// The same without what the rule of a path overrides.
    #[must_use]
    pub fn without_overrides(&self, path: &str) -> Self {
        let mut wanted = self.clone();
        let policy = Arc::make_mut(&mut wanted.policy);
        if let Some(rule) = policy.paths.iter_mut().find(|rule| rule.path.matches(path)) {
            rule.overrides = Settings::default();
        }
        wanted
    }

    /// What the use cases of a path come to, with the rule's overrides.
    #[must_use]
    pub fn settings(&self, path: &str) -> Settings {
        let meanings = self.meanings(path);
        let together = meanings.reduce(|one, other| one.together_with(&other));
        let mut settings = together.unwrap_or_default();
        if let Some(rule) = self.policy.rule(path) {
            settings = settings.overridden_by(&rule.overrides);
        }
        if self.stopped(path).is_some() {
            settings.record = None;
            settings.close_after = settings.close_after.filter(|it| *it != CloseAfter::Never);
        }
        settings
    }

    /// How a path whose settings are the `current` ones is to come by its stream.
    #[must_use]
    pub fn demand(&self, path: &str, current: &Fields) -> Demand {
        let rule = self.policy.rule(path);
        match rule.and_then(|rule| rule.source.as_ref()) {
            Some(source) => Demand::of(&source.fields()),
            None => Demand::of(current),
        }
    }

    /// How the server is to have a path whose settings are the `current` ones.
    #[must_use]
    pub fn target(&self, path: &str, current: &Fields) -> Target {
        let settings = self.settings(path);
        let rule = self.policy.rule(path);
        let source = rule.and_then(|rule| rule.source.as_ref());
        let mut fields = source.map(|source| source.fields()).unwrap_or_default();
        let demand = self.demand(path, current);
        fields.extend(on_demand(&settings, demand));
        fields.extend(recording(&settings));
        if is_on(&fields, "record") && !fields.contains_key(LENGTH) && has_server_default(current) {
            fields.insert(LENGTH.to_owned(), Value::from(HALF_AN_HOUR.to_string()));
        }
        if let Some(after) = self.finite_close_after(path, &settings) {
            let name = match demand {
                Demand::Command => "runOnDemandCloseAfter",
                Demand::Fetched => "sourceOnDemandCloseAfter",
                Demand::None => {
                    return Target {
                        fields,
                        kept: false,
                    };
                }
            };
            fields.insert(name.to_owned(), Value::from(after));
        }
        let kept = settings.close_after == Some(CloseAfter::Never) && demand != Demand::None;
        Target { fields, kept }
    }

    /// Of several use cases one may never close; what the others say is written all the same, so that a recording
    /// that begins or ends leaves this setting alone.
    fn finite_close_after(&self, path: &str, settings: &Settings) -> Option<String> {
        if let Some(CloseAfter::After(span)) = settings.close_after {
            return Some(span.to_string());
        }
        let finite = self
            .meanings(path)
            .filter_map(|settings| match settings.close_after {
                Some(CloseAfter::After(span)) => Some(span),
                _ => None,
            });
        finite.max().map(|span| span.to_string())
    }
}

const LENGTH: &str = "recordSegmentDuration";
const HALF_AN_HOUR: Span = Span::seconds(30 * 60);

/// Whether nobody has said how long the files of a recording are: MediaMTX's own default is an hour.
fn has_server_default(current: &Fields) -> bool {
    text(current, LENGTH).parse() == Ok(Span::seconds(60 * 60))
}

fn on_demand(settings: &Settings, demand: Demand) -> Fields {
    let mut fields = Fields::new();
    let timeout = settings
        .start_timeout
        .map(|span| Value::from(span.to_string()));
    match (demand, timeout) {
        (Demand::None, _) => return fields,
        (Demand::Command, Some(timeout)) => {
            fields.insert("runOnDemandStartTimeout".to_owned(), timeout)
        }
        (Demand::Fetched, Some(timeout)) => {
            fields.insert("sourceOnDemandStartTimeout".to_owned(), timeout)
        }
        (_, None) => None,
    };
    if let (Demand::Command, Some(restart)) = (demand, settings.restart) {
        fields.insert("runOnDemandRestart".to_owned(), Value::from(restart.0));
    }
    fields
}

fn recording(settings: &Settings) -> Fields {
    let span = |span: Span| Value::from(span.to_string());
    let all = [
        (
            "record",
            settings.record.map(|record| Value::from(record.0)),
        ),
        ("recordPath", settings.record_path.clone().map(Value::from)),
        (
            "recordFormat",
            settings
                .record_format
                .map(|format| Value::from(format.as_str())),
        ),
        (
            "recordPartDuration",
            settings.record_part_duration.map(span),
        ),
        (
            "recordSegmentDuration",
            settings.record_segment_duration.map(span),
        ),
        ("recordDeleteAfter", settings.record_delete_after.map(span)),
    ];
    let said = all
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    said.collect()
}

#[cfg(test)]
impl Wanted {
    /// A policy, and the use cases that were started on `cam`.
    #[expect(clippy::missing_panics_doc, reason = "for tests only")]
    pub fn fake(policy: &str, started: &[&str]) -> Self {
        let now = Timestamp::now();
        let started = started.iter().map(|name| ((*name).to_owned(), now));
        let used = Use {
            started: started.collect(),
            stopped: None,
        };
        Self {
            policy: Arc::new(policy.parse().unwrap()),
            uses: [("cam".to_owned(), used)].into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn target(wanted: &Wanted, current: Value) -> (Value, bool) {
        let Target { fields, kept } = wanted.target("cam", current.as_object().unwrap());
        (Value::from(fields), kept)
    }

    #[test]
    fn each_use_case_is_what_the_specification_says() {
        let current = || json!({"source": "publisher", "runOnDemand": "x"});
        let fetched = || json!({"source": "rtsp://h", "sourceOnDemand": true});
        for (use_case, current, fields, kept) in [
            (
                "recording",
                current(),
                json!({"record": true, "runOnDemandRestart": true, "runOnDemandStartTimeout": "10s"}),
                true,
            ),
            (
                "viewing",
                current(),
                json!({"runOnDemandCloseAfter": "5m", "runOnDemandRestart": true, "runOnDemandStartTimeout": "10s"}),
                false,
            ),
            (
                "snapshot",
                current(),
                json!({"runOnDemandCloseAfter": "1m", "runOnDemandRestart": false, "runOnDemandStartTimeout": "5s"}),
                false,
            ),
            (
                "viewing",
                fetched(),
                json!({"sourceOnDemandCloseAfter": "5m", "sourceOnDemandStartTimeout": "10s"}),
                false,
            ),
            (
                "recording",
                json!({"source": "publisher"}),
                json!({"record": true}),
                false,
            ),
        ] {
            let seen = target(&Wanted::fake("", &[use_case]), current);
            assert_eq!(seen, (fields, kept), "{use_case}");
        }
    }

    #[test]
    fn files_are_half_an_hour_long_unless_somebody_has_said_otherwise() {
        let recording = Wanted::fake("", &["recording"]);
        for (length, expected) in [("1h0m0s", json!("30m")), ("2s", Value::Null)] {
            let current = json!({"runOnDemand": "x", "recordSegmentDuration": length});
            assert_eq!(
                target(&recording, current).0["recordSegmentDuration"],
                expected
            );
        }
    }

    #[test]
    fn a_recording_that_begins_leaves_the_viewers_settings_alone() {
        let policy = "paths: [{path: cam, useCase: viewing}]";
        let current = || json!({"runOnDemand": "x"});
        let (mut before, _) = target(&Wanted::fake(policy, &[]), current());
        let (after, kept) = target(&Wanted::fake(policy, &["recording"]), current());
        before["record"] = true.into();
        assert_eq!((after, kept), (before, true));
    }

    #[test]
    fn what_was_stopped_does_not_record_whatever_the_policy_says() {
        let mut wanted = Wanted::fake("paths: [{path: cam, useCase: recording}]", &[]);
        assert!(target(&wanted, json!({"runOnDemand": "x"})).1);
        wanted.uses.get_mut("cam").unwrap().stopped = Some("maintenance".to_owned());
        let (fields, kept) = target(&wanted, json!({"runOnDemand": "x"}));
        assert_eq!((fields.get("record"), kept), (None, false));
    }
}
