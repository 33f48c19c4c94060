//! One write to the server: noted, made, awaited, noted.

use mediamtx::api::{ApiError, Fields};
use mediamtx::secret;
use mediamtx::timestamp::Timestamp;
use serde_json::Value;

use super::{Error, Session};
use crate::journal::{Outcome, Record};
use crate::plan::{Change, Impact, Step, Touched};
use crate::server::{Busy, View};

/// How a step went.
pub(super) enum Executed {
    /// The server shows it.
    Holds,
    /// Somebody has come in the last moment.
    InTheWay(Busy),
    /// The server does not want it so.
    Rejected(String),
}

impl Session<'_> {
    /// Executes a step; it is held back if it would hurt somebody by now, unless `force`.
    pub(super) fn execute(
        &mut self,
        step: &Step,
        view: &View,
        force: bool,
    ) -> Result<Executed, Error> {
        let known = self.journal.state().touched.get(&step.entry).cloned();
        self.note(Record::Intent {
            at: Timestamp::now(),
            entry: step.entry.clone(),
            change: step.change.clone(),
            touched: Some(step.touched.clone()),
        })?;
        // Last thing before the write: between this look and the write somebody can still come, but hardly does.
        if step.impact != Impact::Nothing && !force {
            let view = view.look_again(&self.lifecycle.options.api)?;
            let busy = step.impact.on(view.busy(&step.entry));
            if !busy.is_idle() {
                self.done(step, Outcome::Holds, known)?;
                return Ok(Executed::InTheWay(busy));
            }
        }
        match self.write(&step.entry, &step.change) {
            Ok(()) => {}
            Err(error) if error.is_verdict() => {
                let why = error.to_string();
                self.take_back(&step.entry, &step.change)?;
                self.done(step, Outcome::Rejected(why.clone()), known)?;
                return Ok(Executed::Rejected(why));
            }
            // Nobody knows whether it was written: the next look will tell.
            Err(error) => return Err(error.into()),
        }
        self.await_shown(&step.entry, &step.change)?;
        let touched = step.touched.clone().after(&step.change);
        self.done(step, Outcome::Holds, touched)?;
        Ok(Executed::Holds)
    }

    /// A PATCH that MediaMTX v1.19.3 rejects stays in its memory all the same: it then rejects every change of any
    /// path, until that entry gets values that it wants.
    fn take_back(&self, entry: &str, change: &Change) -> Result<(), ApiError> {
        let Change::Patch(fields) = change else {
            return Ok(());
        };
        let api = &self.lifecycle.options.api;
        let Some(mut current) = api.path_config(entry)? else {
            return Ok(());
        };
        current.retain(|name, _| fields.contains_key(name));
        api.patch_path(entry, &current)
    }

    fn done(
        &mut self,
        step: &Step,
        outcome: Outcome,
        touched: Option<Touched>,
    ) -> Result<(), Error> {
        self.note(Record::Done {
            at: Timestamp::now(),
            entry: step.entry.clone(),
            outcome,
            touched,
        })
    }

    fn write(&self, entry: &str, change: &Change) -> Result<(), ApiError> {
        let api = &self.lifecycle.options.api;
        match change {
            Change::Add(fields) => api.add_path(entry, fields),
            Change::Patch(fields) => api.patch_path(entry, fields),
            Change::Remove => match api.delete_path(entry) {
                Err(ApiError::NotFound { .. }) => Ok(()),
                other => other,
            },
        }
    }
}

/// A change in words, without passwords.
pub(super) fn describe(change: &Change) -> String {
    match change {
        Change::Add(fields) => format!("new entry: {}", describe_fields(fields)),
        Change::Patch(fields) => describe_fields(fields),
        Change::Remove => "entry removed".to_owned(),
    }
}

/// Settings in words, without passwords.
#[must_use]
pub(super) fn describe_fields(fields: &Fields) -> String {
    let shown = without_passwords(fields);
    let shown = shown.iter().map(|(name, value)| {
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        format!("{name}={text}")
    });
    shown.collect::<Vec<_>>().join(" ")
}

/// Settings as they may be shown.
#[must_use]
pub(super) fn without_passwords(fields: &Fields) -> Fields {
    let hide = |value: &Value| match value.as_str() {
        Some(text) => Value::from(secret::conceal(text)),
        None => value.clone(),
    };
    fields
        .iter()
        .map(|(name, value)| (name.clone(), hide(value)))
        .collect()
}
