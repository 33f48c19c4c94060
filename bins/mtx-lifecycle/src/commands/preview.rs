//! What a policy would change.

use std::sync::Arc;

use common::timestamp::Timestamp;

use super::{Error, Lifecycle, Session};
use crate::apply::{FILES, describe, describe_fields};
use crate::ledger::Change;
use crate::plan::{Planner, Step};
use crate::policy::{Current, Policy};
use crate::server::{Keeper, View, text};

impl Lifecycle {
    /// What would be written if a policy were put into force, a line each; nothing is. With `force`, whom that would
    /// drop.
    ///
    /// # Errors
    /// When the server can't be asked.
    pub fn preview(&self, policy: Policy, force: bool) -> Result<Vec<String>, Error> {
        let session = Session::begin(self, self.options().timeout)?;
        let view = self.server().look()?;
        let state = session.state();
        let mut wanted = state.wanted();
        wanted.policy = Arc::new(policy);
        let current = wanted.at(Timestamp::now(), Vec::new());
        let planner = Planner::new(state, &current, &view, &state.degraded);
        let mut lines = Vec::new();
        for path in planner.paths() {
            let plan = match planner.path(&path) {
                Ok(plan) => plan,
                Err(error) => {
                    lines.push(format!("{path}: {error}"));
                    continue;
                }
            };
            for step in &plan.steps {
                lines.extend(lines_of(step, &view, &current, force));
            }
            match planner.keepers(&path, &plan) {
                Ok(steps) => {
                    for step in &steps {
                        lines.extend(lines_of(step, &view, &current, force));
                    }
                }
                Err(error) => lines.push(format!("{path}: {error}")),
            }
        }
        Ok(lines)
    }
}

fn lines_of(step: &Step, view: &View, current: &Current, force: bool) -> Vec<String> {
    let path = &step.path;
    let when = match step.hurts {
        nobody if step.ends_retention && !force && nobody.is_idle() => format!("waits for {FILES}"),
        nobody if nobody.is_idle() => "now".to_owned(),
        busy if force => format!("now; drops {busy}"),
        busy => format!("waits for {busy}"),
    };
    let Change::Patch(fields) = &step.change else {
        return vec![format!("{path}: {} ({when})", describe(step, current))];
    };
    if Keeper::parse(&step.entry).is_some() {
        return vec![format!("{path}: {} ({when})", describe(step, current))];
    }
    let entry = view.entries.get(path);
    let one = |(name, value): (&String, &serde_json::Value)| {
        let single = [(name.clone(), value.clone())].into_iter().collect();
        let before = entry.and_then(|fields| fields.get(name));
        let before = match before.and_then(serde_json::Value::as_str) {
            Some(_) => text(entry.unwrap_or(fields), name).to_owned(),
            None => before.map(ToString::to_string).unwrap_or_default(),
        };
        let before = common::secret::redact_url(&before);
        format!(
            "{path}: {} (was {before:?}; {when})",
            describe_fields(&single)
        )
    };
    fields.iter().map(one).collect()
}
