//! What the user wants of which path: the policy file.

#[cfg(test)]
mod examples;
pub mod migrate;
mod parse;
mod rules;
mod schedule;
mod settings;
mod source;
mod wanted;

use std::collections::BTreeMap;

use mediamtx::pattern::Pattern;
use serde::{Deserialize, Serialize};

pub use parse::PolicyError;
pub use schedule::{Schedule, TimeZone};
pub use settings::{CloseAfter, RecordFormat, Settings, Switch};
pub use source::Source;
pub use wanted::{Current, Hold, Target, Use, Wanted};

use crate::span::Span;

/// The name of a use case: one of the three built in, or the user's own.
pub type UseCaseName = String;

/// A policy file, checked. Its default is an empty one, under which every path stays as the server has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Policy {
    /// The user's own use cases, and changes of those built in.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub use_cases: BTreeMap<UseCaseName, Settings>,
    /// Where the clock of the schedules hangs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<TimeZone>,
    /// What applies to which path. The first rule whose pattern matches wins; the others are not looked at.
    #[serde(default, deserialize_with = "parse::rules")]
    pub paths: Vec<Rule>,
}

/// What applies to the paths of one pattern.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// Which paths.
    #[serde(deserialize_with = "parse::users_path")]
    pub path: Pattern,
    /// The use case that holds without anybody starting it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "parse::known_use_case")]
    pub use_case: Option<UseCaseName>,
    /// When that use case holds; always, if this is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "parse::by_the_clock")]
    pub schedule: Option<Schedule>,
    /// Where the stream comes from; by default from where the server has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// What is to be otherwise than the use cases say.
    #[serde(default, skip_serializing_if = "Settings::is_empty")]
    pub overrides: Settings,
}

impl Policy {
    /// The rule for a path.
    #[must_use]
    pub fn rule(&self, path: &str) -> Option<&Rule> {
        self.paths.iter().find(|rule| rule.path.matches(path))
    }

    /// What a use case means, or `None` if there is none of that name.
    #[must_use]
    pub fn use_case(&self, name: &str) -> Option<Settings> {
        let own = self.use_cases.get(name);
        match (built_in(name), own) {
            (Some(built_in), Some(own)) => Some(built_in.overridden_by(own)),
            (Some(built_in), None) => Some(built_in),
            (None, Some(own)) => Some(viewing().overridden_by(own)),
            (None, None) => None,
        }
    }

    /// What the rule of a path says, without anybody starting anything.
    #[must_use]
    pub fn standing(&self, path: &str) -> Settings {
        let Some(rule) = self.rule(path) else {
            return Settings::default();
        };
        let use_case = rule.use_case.as_deref();
        let use_case = use_case.and_then(|name| self.use_case(name));
        use_case.unwrap_or_default().overridden_by(&rule.overrides)
    }

    /// Whether somebody who starts this use case on a stopped path wants what its rule does by itself, too.
    #[must_use]
    pub fn resumes_with(&self, use_case: &str, path: &str) -> bool {
        let own = self.rule(path).and_then(|rule| rule.use_case.as_ref());
        if own.is_some_and(|own| own == use_case) {
            return true;
        }
        let standing = self.standing(path);
        let started = self.use_case(use_case).unwrap_or_default();
        !standing.lasts() || started.lasts() && (started.records() || !standing.records())
    }

    /// The names of all use cases.
    #[must_use]
    pub fn use_case_names(&self) -> Vec<UseCaseName> {
        let mut names: Vec<_> = BUILT_IN.iter().map(|name| (*name).to_owned()).collect();
        let own = self.use_cases.keys();
        names.extend(
            own.filter(|name| !BUILT_IN.contains(&name.as_str()))
                .cloned(),
        );
        names
    }
}

const BUILT_IN: [&str; 3] = ["recording", "viewing", "snapshot"];

fn built_in(name: &str) -> Option<Settings> {
    match name {
        "recording" => Some(Settings {
            close_after: Some(CloseAfter::Never),
            record: Some(Switch(true)),
            ..viewing()
        }),
        "viewing" => Some(viewing()),
        "snapshot" => Some(Settings {
            close_after: Some(CloseAfter::After(Span::seconds(60))),
            restart: Some(Switch(false)),
            start_timeout: Some(Span::seconds(5)),
            ..Settings::default()
        }),
        _ => None,
    }
}

fn viewing() -> Settings {
    Settings {
        close_after: Some(CloseAfter::After(Span::seconds(300))),
        restart: Some(Switch(true)),
        start_timeout: Some(Span::seconds(10)),
        ..Settings::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn use_cases_are_as_promised_and_own_ones_start_from_viewing() {
        let policy: Policy =
            "useCases:\n  patrol: {closeAfter: 2m, record: yes}\n  viewing: {closeAfter: 1m}\n"
                .parse()
                .unwrap();
        let close = |name: &str| {
            policy
                .use_case(name)
                .unwrap()
                .close_after
                .unwrap()
                .to_string()
        };
        assert_eq!(close("recording"), "never");
        assert_eq!(close("viewing"), "1m");
        assert_eq!(close("snapshot"), "1m");
        assert_eq!(close("patrol"), "2m");
        let patrol = policy.use_case("patrol").unwrap();
        assert_eq!(
            (patrol.record, patrol.restart),
            (Some(Switch(true)), Some(Switch(true)))
        );
        let snapshot = policy.use_case("snapshot").unwrap();
        assert_eq!(snapshot.start_timeout, Some(Span::seconds(5)));
        assert_eq!(snapshot.restart, Some(Switch(false)));
        assert_eq!(policy.use_case("party"), None);
        assert_eq!(
            policy.use_case_names(),
            ["recording", "viewing", "snapshot", "patrol"]
        );
    }

    #[test]
    fn the_first_rule_that_matches_wins() {
        let policy: Policy =
            "paths:\n- path: cam/1\n  useCase: recording\n- path: cam/*\n  useCase: viewing\n"
                .parse()
                .unwrap();
        let use_case = |path: &str| policy.rule(path).and_then(|rule| rule.use_case.clone());
        assert_eq!(use_case("cam/1").as_deref(), Some("recording"));
        assert_eq!(use_case("cam/2").as_deref(), Some("viewing"));
        assert_eq!(use_case("door"), None);
    }
}
