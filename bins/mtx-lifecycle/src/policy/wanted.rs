//! What is wanted of the paths: the policy, and what was started and stopped by hand. And what follows from it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use common::timestamp::Timestamp;
use mediamtx::api::Fields;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::rules::RulesByName;
use super::{CloseAfter, Policy, Rule, Settings, UseCaseName};
use crate::server::{Demand, is_reserved};
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
    /// When those of them end that were started for a time.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub until: BTreeMap<UseCaseName, Timestamp>,
    /// The path was stopped, for this reason: what the policy records by itself rests, until somebody starts it anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
}

impl Use {
    /// Starts a use case, for good or until a moment. What somebody has started for longer is not shortened.
    pub fn start(&mut self, use_case: &str, until: Option<Timestamp>) {
        let name = || use_case.to_owned();
        let is_new = !self.started.contains_key(use_case);
        self.started.entry(name()).or_insert_with(Timestamp::now);
        match (until, self.until.get(use_case)) {
            (None, _) => {
                self.until.remove(use_case);
            }
            (Some(until), None) if is_new => {
                self.until.insert(name(), until);
            }
            (Some(until), Some(known)) if until > *known => {
                self.until.insert(name(), until);
            }
            (Some(_), _) => {}
        }
    }

    /// The same as if a use case had not been started, which turned `before` into `written`. What others have started
    /// and stopped since stays as it is.
    #[must_use]
    pub fn without_start(mut self, use_case: &str, before: &Self, written: &Self) -> Self {
        if self == *written {
            return before.clone();
        }
        let start = |used: &Self| {
            let started = used.started.get(use_case).copied();
            started.map(|started| (started, used.until.get(use_case).copied()))
        };
        if start(&self) != start(written) {
            return self;
        }
        self.started.remove(use_case);
        self.until.remove(use_case);
        if let Some((started, until)) = start(before) {
            self.started.insert(use_case.to_owned(), started);
            let until = until.map(|until| (use_case.to_owned(), until));
            self.until.extend(until);
        }
        self
    }
}

/// A path is held open for as long as a command waits for its stream, or takes a picture of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hold {
    /// Which path.
    pub path: String,
    /// A use case that holds meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub use_case: Option<UseCaseName>,
}

/// How the server is to have a path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Target {
    /// Settings, each as it has to be. What is not among them is nobody's business.
    pub fields: Fields,
    /// Whether the server holds it open without any viewer.
    pub kept: bool,
}

/// What is wanted at a moment.
#[derive(Debug, Clone)]
pub struct Current {
    wanted: Wanted,
    rules: RulesByName,
    holds: Vec<Hold>,
    now: Timestamp,
}

impl Wanted {
    /// What of it holds at a moment, while paths are held.
    #[must_use]
    pub fn at(&self, now: Timestamp, holds: Vec<Hold>) -> Current {
        let mut wanted = self.clone();
        wanted.end_what_is_over(now);
        Current {
            rules: RulesByName::of(&wanted.policy),
            wanted,
            holds,
            now,
        }
    }

    /// Ends the use cases whose time is over, and says which on which paths.
    pub fn end_what_is_over(&mut self, now: Timestamp) -> Vec<(UseCaseName, String)> {
        let mut over = Vec::new();
        for (path, used) in &mut self.uses {
            let ended = used.until.iter().filter(|(_, until)| **until <= now);
            let ended: Vec<_> = ended.map(|(name, _)| name.clone()).collect();
            for name in ended {
                used.started.remove(&name);
                used.until.remove(&name);
                over.push((name, path.clone()));
            }
        }
        self.uses.retain(|_, used| *used != Use::default());
        over
    }

    /// The same without the use cases whose time is over.
    #[must_use]
    pub fn without_what_is_over(mut self, now: Timestamp) -> Self {
        self.end_what_is_over(now);
        self
    }

    /// The paths that are named, by the policy or by hand.
    #[must_use]
    pub fn named(&self) -> BTreeSet<&str> {
        let rules = self.policy.paths.iter();
        let by_policy = rules.filter_map(|rule| rule.path.name());
        let all = by_policy.chain(self.uses.keys().map(String::as_str));
        all.filter(|path| !is_reserved(path)).collect()
    }
}

impl Current {
    /// The policy in force.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.wanted.policy
    }

    /// The paths that are named, by the policy or by hand, or held.
    #[must_use]
    pub fn named(&self) -> BTreeSet<&str> {
        let mut named = self.wanted.named();
        named.extend(self.holds.iter().map(|hold| hold.path.as_str()));
        named
    }

    /// What was done to a path by hand.
    #[must_use]
    pub fn used(&self, path: &str) -> Option<&Use> {
        self.wanted.uses.get(path)
    }

    /// Whether a path is held by a command.
    #[must_use]
    pub fn is_held(&self, path: &str) -> bool {
        self.holds.iter().any(|hold| hold.path == path)
    }

    /// The policy's rule for a path.
    #[must_use]
    pub fn rule(&self, path: &str) -> Option<&Rule> {
        self.rules.rule(&self.wanted.policy, path)
    }

    /// Whether all that is wanted of a path comes from a rule for many paths.
    #[must_use]
    pub fn is_by_pattern(&self, path: &str) -> bool {
        let is_named = self.wanted.uses.contains_key(path) || self.is_held(path);
        !is_named
            && self
                .rule(path)
                .is_some_and(|rule| rule.path.name().is_none())
    }

    /// The use cases that hold for a path: the policy's, those that were started, and those of commands at work.
    #[must_use]
    pub fn use_cases(&self, path: &str) -> BTreeSet<UseCaseName> {
        let mut all = self.held_use_cases(path);
        all.extend(self.lasting_use_cases(path));
        all
    }

    /// The same without those of commands at work.
    #[must_use]
    pub fn lasting_use_cases(&self, path: &str) -> BTreeSet<UseCaseName> {
        let rule = self.rule(path).filter(|rule| self.is_on(rule));
        let standing = rule.and_then(|rule| rule.use_case.clone());
        let used = self.wanted.uses.get(path);
        let started = used.map(|used| used.started.keys().cloned());
        let all = standing.into_iter().chain(started.into_iter().flatten());
        all.collect()
    }

    fn held_use_cases(&self, path: &str) -> BTreeSet<UseCaseName> {
        let holds = self.holds.iter().filter(|hold| hold.path == path);
        holds.filter_map(|hold| hold.use_case.clone()).collect()
    }

    fn is_on(&self, rule: &Rule) -> bool {
        let zone = self.wanted.policy.time_zone.as_ref();
        match (&rule.schedule, zone) {
            (Some(schedule), Some(zone)) => schedule.is_on(self.now, zone),
            _ => true,
        }
    }

    /// What each of those use cases says. Of a path that was stopped, the policy's lets its stream rest.
    fn meanings(&self, path: &str) -> impl Iterator<Item = Settings> {
        let used = self.wanted.uses.get(path);
        let stopped = used.filter(|used| used.stopped.is_some());
        let use_cases = self.use_cases(path).into_iter();
        use_cases.filter_map(move |name| {
            let settings = self.wanted.policy.use_case(&name)?;
            let rests = stopped.is_some_and(|used| !used.started.contains_key(&name));
            Some(if rests { settings.resting() } else { settings })
        })
    }

    /// What is the matter if somebody has started a use case that the policy does not have any more.
    #[must_use]
    pub fn unknown_use_case(&self, path: &str) -> Option<String> {
        let policy = &self.wanted.policy;
        let mut started = self.wanted.uses.get(path)?.started.keys();
        let name = started.find(|name| policy.use_case(name).is_none())?;
        Some(format!(
            "{name} was started there, and the policy has no use case of that name any more: put it under useCases \
             again, or mtx-lifecycle stop {path}"
        ))
    }

    /// Why somebody has stopped the path, if somebody has.
    #[must_use]
    pub fn stopped(&self, path: &str) -> Option<&str> {
        self.wanted.uses.get(path)?.stopped.as_deref()
    }

    /// The same without what the rule of a path overrides.
    #[must_use]
    pub fn without_overrides(&self, path: &str) -> Self {
        let mut current = self.clone();
        let policy = Arc::make_mut(&mut current.wanted.policy);
        if let Some(rule) = policy.paths.iter_mut().find(|rule| rule.path.matches(path)) {
            rule.overrides = Settings::default();
        }
        current
    }

    /// What the use cases of a path come to, with the rule's overrides.
    #[must_use]
    pub fn settings(&self, path: &str) -> Settings {
        let meanings = self.meanings(path);
        let together = meanings.reduce(|one, other| one.together_with(&other));
        let mut settings = together.unwrap_or_default();
        if let Some(rule) = self.rule(path) {
            let mut overrides = rule.overrides.clone();
            if !self.is_on(rule) || self.stopped(path).is_some() {
                overrides = overrides.resting();
            }
            settings = settings.overridden_by(&overrides);
        }
        settings
    }

    /// The same for a path that would have the `others` without this program: a start time that only the suite's own
    /// use cases name is no reason to give a source less time than the server does.
    #[must_use]
    pub fn settings_beside(&self, path: &str, others: &Fields) -> Settings {
        let mut settings = self.settings(path);
        let name = self.demand(path, others).start_timeout();
        let servers = name.and_then(|name| others.get(name)?.as_str()?.parse().ok());
        if !self.names_start_timeout(path) && settings.start_timeout.is_some() {
            settings.start_timeout = settings.start_timeout.max(servers);
        }
        settings
    }

    fn names_start_timeout(&self, path: &str) -> bool {
        let use_cases = self.use_cases(path);
        let policy = &self.wanted.policy;
        let mut own = use_cases
            .iter()
            .filter_map(|name| policy.use_cases.get(name));
        let rule = self.rule(path);
        own.any(|settings| settings.start_timeout.is_some())
            || rule.is_some_and(|rule| rule.overrides.start_timeout.is_some())
    }

    /// Whether a path is to be recorded.
    #[must_use]
    pub fn records(&self, path: &str) -> bool {
        self.settings(path).records()
    }

    /// How a path whose settings are the `current` ones is to come by its stream.
    #[must_use]
    pub fn demand(&self, path: &str, current: &Fields) -> Demand {
        let rule = self.rule(path);
        match rule.and_then(|rule| rule.source.as_ref()) {
            Some(source) => Demand::of(&source.fields()),
            None => Demand::of(current),
        }
    }

    /// How the server is to have a path whose settings are the `current` ones.
    #[must_use]
    pub fn target(&self, path: &str, current: &Fields) -> Target {
        let settings = self.settings_beside(path, current);
        let source = self.rule(path).and_then(|rule| rule.source.as_ref());
        let mut fields = source.map(|source| source.fields()).unwrap_or_default();
        let demand = self.demand(path, current);
        fields.extend(on_demand(&settings, demand));
        fields.extend(recording(&settings));
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
        if let Some(after) = self.finite_close_after(path, &settings) {
            fields.insert(name.to_owned(), Value::from(after));
        }
        let kept = settings.close_after == Some(CloseAfter::Never);
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

fn on_demand(settings: &Settings, demand: Demand) -> Fields {
    let mut fields = Fields::new();
    let timeout = settings
        .start_timeout
        .map(|span| Value::from(span.to_string()));
    if let Some((name, timeout)) = demand.start_timeout().zip(timeout) {
        fields.insert(name.to_owned(), timeout);
    }
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
            ..Use::default()
        };
        Self {
            policy: Arc::new(policy.parse().unwrap()),
            uses: [("cam".to_owned(), used)].into(),
        }
    }

    /// The same as it holds now.
    pub fn now(&self) -> Current {
        self.at(Timestamp::now(), Vec::new())
    }
}

#[cfg(test)]
mod tests;
