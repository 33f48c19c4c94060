//! Reading a policy file, with the place of what is wrong.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use common::secret;
use mediamtx::pattern::Pattern;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{Policy, Rule, Schedule, UseCaseName};
use crate::server::is_reserved;

/// Why a text is no policy; it names the line and the column.
#[derive(Debug, thiserror::Error)]
#[error("{}{}", secret::redact_url(&.0.to_string()), self.unsaid_place())]
pub struct PolicyError(serde_yaml::Error);

impl PolicyError {
    /// Its line and column, which count from 1.
    #[must_use]
    pub fn place(&self) -> (usize, usize) {
        let place = self.0.location();
        place.map_or((1, 1), |place| (place.line(), place.column()))
    }

    /// The YAML reader does not name the very beginning.
    fn unsaid_place(&self) -> &'static str {
        if self.place() == (1, 1) {
            " at line 1 column 1"
        } else {
            ""
        }
    }
}

thread_local! {
    // The YAML reader knows its place only while it reads, so what depends on the rest of the file is checked then.
    // There is nothing while the journal is read: its policies were checked when they were applied.
    static REST: RefCell<Option<Rest>> = const { RefCell::new(None) };
}

/// What rules refer to, whatever else there is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rest {
    #[serde(default)]
    use_cases: BTreeMap<UseCaseName, IgnoredAny>,
    time_zone: Option<IgnoredAny>,
}

impl FromStr for Policy {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        // What is no YAML would else be taken for a file that lacks what comes after the mistake.
        serde_yaml::from_str::<IgnoredAny>(text).map_err(PolicyError)?;
        // Should this fail, so does the whole, with the better message.
        REST.set(serde_yaml::from_str(text).ok());
        let policy = serde_yaml::from_str(text).map_err(PolicyError);
        REST.take();
        policy
    }
}

pub(super) fn known_use_case<'de, D>(deserializer: D) -> Result<Option<UseCaseName>, D::Error>
where
    D: Deserializer<'de>,
{
    let Some(name) = Option::<UseCaseName>::deserialize(deserializer)? else {
        return Ok(None);
    };
    let own = REST.with_borrow(|rest| {
        let rest = rest.as_ref()?;
        Some(rest.use_cases.keys().cloned().collect::<Vec<_>>())
    });
    let Some(own) = own else {
        return Ok(Some(name));
    };
    let mut known = Policy::default().use_case_names();
    known.extend(own);
    if known.contains(&name) {
        return Ok(Some(name));
    }
    Err(D::Error::custom(format!(
        "there is no use case {name:?}: it is one of {}, or your own under useCases",
        known.join(", ")
    )))
}

/// By a clock that the policy names.
pub(super) fn by_the_clock<'de, D>(deserializer: D) -> Result<Option<Schedule>, D::Error>
where
    D: Deserializer<'de>,
{
    let schedule = Option::<Schedule>::deserialize(deserializer)?;
    let has_no_clock = |rest: &Option<Rest>| rest.as_ref().is_some_and(|it| it.time_zone.is_none());
    if schedule.is_some() && REST.with_borrow(has_no_clock) {
        return Err(D::Error::custom(
            "a schedule needs a timeZone: for the whole policy, for example timeZone: Europe/Berlin",
        ));
    }
    Ok(schedule)
}

/// Rules, each of which makes sense as a whole.
pub(super) fn rules<'de, D>(deserializer: D) -> Result<Vec<Rule>, D::Error>
where
    D: Deserializer<'de>,
{
    let rules = Vec::<WholeRule>::deserialize(deserializer)?;
    Ok(rules.into_iter().map(|WholeRule(rule)| rule).collect())
}

/// A rule, checked while the YAML reader knows where it stands.
struct WholeRule(Rule);

impl<'de> Deserialize<'de> for WholeRule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(WholeRuleVisitor)
    }
}

struct WholeRuleVisitor;

impl<'de> Visitor<'de> for WholeRuleVisitor {
    type Value = WholeRule;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a rule with a path")
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<WholeRule, A::Error> {
        let rule = Rule::deserialize(MapAccessDeserializer::new(fields))?;
        let is_new = REST.with_borrow(Option::is_some);
        if is_new && rule.schedule.is_some() && rule.use_case.is_none() {
            return Err(A::Error::custom(
                "a schedule says when the rule's useCase holds: add one, for example useCase: recording",
            ));
        }
        Ok(WholeRule(rule))
    }
}

/// A path of the user's; the journal's policies were checked when they were applied.
pub(super) fn users_path<'de, D>(deserializer: D) -> Result<Pattern, D::Error>
where
    D: Deserializer<'de>,
{
    let pattern = Pattern::deserialize(deserializer)?;
    let is_new = REST.with_borrow(Option::is_some);
    match pattern.name().filter(|name| is_new && is_reserved(name)) {
        None => Ok(pattern),
        Some(name) => Err(D::Error::custom(format!(
            "{name:?} is no path of its own: all and all_others are entries for many paths, and lifecycle/… are \
             mtx-lifecycle's; write a pattern, for example \"**\""
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(yaml: &str) -> String {
        yaml.parse::<Policy>().unwrap_err().to_string()
    }

    #[test]
    fn what_is_wrong_is_named_with_line_and_column() {
        for (yaml, parts) in [
            (
                "paths:\n- path: cam\n  useCase: party\n",
                ["party", "line 2 column 3"],
            ),
            (
                "paths:\n- path: cam\n  usecase: viewing\n",
                ["unknown field `usecase`", "line 3 column 3"],
            ),
            (
                "paths:\n- path: cam\n  overrides: {closeAfter: 0s}\n",
                ["write never", "line 3"],
            ),
            (
                "timeZone: UTC\npaths:\n- path: a\n- path: b\n  schedule: mon 03:00-03:01\n  overrides: {record: yes}\n",
                ["add one, for example useCase", "line 4 column 3"],
            ),
            ("paths:\n- path: ~^cam\n", ["regular expression", "line 2"]),
            (
                "useCases:\n  a: {closeAfter: soon}\n",
                ["not a length of time", "line 2"],
            ),
            ("paths:\n- path: all_others\n", ["for many paths", "line 2"]),
            (
                "paths:\n- path: lifecycle/keep/cam\n",
                ["mtx-lifecycle's", "line 2"],
            ),
            (
                "paths:\n- path: cam\n  schedule: weekdays 08:00-18:00\n",
                ["needs a timeZone", "line 2 column 3"],
            ),
            (
                "timeZone: Mars/Base\n",
                ["no time zone", "line 1 column 11"],
            ),
            (
                "paths: []\n\ntimeZone: 3\n",
                ["time zone", "line 3 column 11"],
            ),
            ("policy: 1\n", ["unknown field `policy`", "line 1 column 1"]),
            (
                "paths: []\nrules: 1\n",
                ["unknown field `rules`", "line 2 column 1"],
            ),
            (
                "- path: cam\n",
                ["expected struct Policy", "line 1 column 1"],
            ),
            (
                "paths:\n- path: cam\n  schedule: someday 8-18\n",
                ["weekdays 08:00-18:00", "line 2"],
            ),
            ("paths: 3\n", ["expected a sequence", "line 1"]),
            (
                "timeZone: Europe/Berlin\npaths:\n- path: cam\n  schedule: daily 08:00-18:00\n- path: [\n",
                ["did not find expected", "line 6"],
            ),
            (
                "useCases: {patrol: {}}\npaths:\n- path: cam\n  useCase: patrol\n- path: \"a\n",
                ["unexpected end", "line 6"],
            ),
            (
                "useCases: {patrol: {}, [x]: {}}\npaths:\n- {path: cam, useCase: patrol}\n",
                ["invalid type", "line 1"],
            ),
        ] {
            let message = message(yaml);
            for part in parts {
                assert!(message.contains(part), "{message} lacks {part}");
            }
        }
    }

    #[test]
    fn passwords_where_none_belong_are_in_no_message() {
        for yaml in [
            "paths:\n- path: cam\n  source: rtsp://u:hunter2@h/1\n",
            "paths:\n- path: rtsp://u:hunter2@h/1\n",
            "useCases: rtsp://u:hunter2@h/1\n",
        ] {
            let error = yaml.parse::<Policy>().unwrap_err();
            assert!(!error.to_string().contains("hunter2"), "{error}");
            assert!(error.to_string().contains("line "), "{error}");
        }
    }

    #[test]
    fn what_refers_to_itself_again_and_again_is_refused_at_once() {
        let mut yaml = "useCases:\n  a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for level in 1..10 {
            let below = format!("*a{}", level - 1);
            let items = [below.as_str(); 10].join(",");
            yaml += &format!("  a{level}: &a{level} [{items}]\n");
        }
        assert!(yaml.parse::<Policy>().is_err());
        assert!("[".repeat(60_000).parse::<Policy>().is_err());
    }

    #[test]
    fn a_policy_is_read_again_from_the_journal() {
        let yaml = "useCases: {patrol: {closeAfter: 2m}}\npaths: [{path: cam, useCase: patrol, source: {command: x}}]";
        let policy: Policy = yaml.parse().unwrap();
        let json = serde_json::to_string(&policy).unwrap();
        assert_eq!(serde_json::from_str::<Policy>(&json).unwrap(), policy);
        let yaml = serde_yaml::to_string(&policy).unwrap();
        assert_eq!(yaml.parse::<Policy>().unwrap(), policy);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = text.parse::<Policy>();
        }

        #[test]
        fn no_yaml_panics(key in "[a-zA-Z]{1,9}", value in "[!-~]{0,9}") {
            let _ = format!("paths:\n- path: a\n  {key}: {value}\n").parse::<Policy>();
        }
    }
}
