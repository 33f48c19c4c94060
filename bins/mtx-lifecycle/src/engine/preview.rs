//! What a policy would change.

use std::sync::Arc;

use super::execute::{describe, describe_fields};
use super::{Error, Lifecycle, Session};
use crate::fields::text;
use crate::keeper;
use crate::plan::{Change, Step, plan};
use crate::policy::Policy;
use crate::server::View;

impl Lifecycle {
    /// What would be written if a policy were put into force, a line each; nothing is.
    ///
    /// # Errors
    /// When the server can't be asked.
    pub fn preview(&self, policy: Policy) -> Result<Vec<String>, Error> {
        let session = Session::begin(self, self.options.timeout)?;
        let view = View::look(&self.options.api)?;
        let state = session.journal.state();
        let mut wanted = state.wanted();
        wanted.policy = Arc::new(policy);
        let mut lines = Vec::new();
        for path in session.concerned(&wanted, &view) {
            let plan = match plan(&wanted, &view, &path, state.touched.get(&path)) {
                Ok(plan) => plan,
                Err(error) => {
                    lines.push(format!("{path}: {error}"));
                    continue;
                }
            };
            let kept = view.entries.contains_key(&keeper::name(&path));
            lines.extend(plan.steps.iter().flat_map(|step| lines_of(step, &view)));
            match (kept, plan.kept) {
                (false, true) => lines.push(format!("{path}: held open without viewers (now)")),
                (true, false) => {
                    lines.push(format!("{path}: no longer held open without viewers (now)"))
                }
                _ => {}
            }
        }
        Ok(lines)
    }
}

fn lines_of(step: &Step, view: &View) -> Vec<String> {
    let path = &step.entry;
    let when = match step.hurts {
        nobody if nobody.is_idle() => "now".to_owned(),
        busy => format!("waits for {busy}"),
    };
    let Change::Patch(fields) = &step.change else {
        return vec![format!("{path}: {} ({when})", describe(&step.change))];
    };
    let current = view.entries.get(path);
    let one = |(name, value): (&String, &serde_json::Value)| {
        let single = [(name.clone(), value.clone())].into_iter().collect();
        let before = current.and_then(|fields| fields.get(name));
        let before = match before.and_then(serde_json::Value::as_str) {
            Some(_) => text(current.unwrap_or(fields), name).to_owned(),
            None => before.map(ToString::to_string).unwrap_or_default(),
        };
        let before = mediamtx::secret::redact_url(&before);
        format!(
            "{path}: {} (was {before:?}; {when})",
            describe_fields(&single)
        )
    };
    fields.iter().map(one).collect()
}
