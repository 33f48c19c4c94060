//! What has to be written for a path to be as it is wanted, and what of it can be written without hurting anybody.

use mediamtx::api::Fields;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::fields::{difference, is_hot, is_on, same, split};
use crate::server::{Busy, GoverningError, View};
use crate::wanted::{Target, Wanted};

/// One write to one entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Change {
    /// A new entry with these settings.
    Add(Fields),
    /// These settings of an entry.
    Patch(Fields),
    /// No entry any more.
    Remove,
}

/// What was there before, so that it can be there again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Touched {
    /// The entry was not there.
    pub added: bool,
    /// The settings as others want them.
    pub before: Fields,
    /// The same settings, as they were written.
    pub written: Fields,
    /// What an added entry has besides, from the entry for many paths.
    #[serde(default, skip_serializing_if = "Fields::is_empty")]
    pub base: Fields,
}

/// What a write does to a running stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Impact {
    /// Nothing that nobody has asked for.
    Nothing,
    /// Its recording begins anew, at the next key frame: what comes before that is in no file.
    Recording,
    /// It ends, for everybody.
    Path,
}

impl Impact {
    /// Whom that hurts, of those who are there.
    #[must_use]
    pub fn on(self, busy: Busy) -> Busy {
        match self {
            Self::Nothing => Busy::default(),
            Self::Recording => Busy {
                recordings: busy.recordings,
                ..Busy::default()
            },
            Self::Path => busy,
        }
    }

    /// Of a change of these settings on a path that is recorded before and after it, or not.
    fn of(changed: &Fields, stays_recorded: bool) -> Self {
        if !changed.keys().all(|name| is_hot(name)) {
            Self::Path
        } else if stays_recorded && !changed.is_empty() {
            Self::Recording
        } else {
            Self::Nothing
        }
    }
}

/// One write, and what it does to the path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The entry, which is the path's name.
    pub entry: String,
    /// What is written.
    pub change: Change,
    /// What that does to a running stream.
    pub impact: Impact,
    /// Whom that would hurt at the moment.
    pub hurts: Busy,
    /// What is touched from the moment on at which it is tried.
    pub touched: Touched,
}

/// What a path needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// In this order.
    pub steps: Vec<Step>,
    /// Whether the path is to have a keeper.
    pub kept: bool,
}

/// Works out what a path needs. `touched` is what this program has done to it so far.
///
/// # Errors
/// When it can't be told where its settings come from.
pub fn plan(
    wanted: &Wanted,
    view: &View,
    path: &str,
    touched: Option<&Touched>,
) -> Result<Plan, GoverningError> {
    match view.entries.get(path) {
        Some(current) => Ok(plan_entry(wanted, view, path, current, touched)),
        None => plan_template(wanted, view, path),
    }
}

/// The path has an entry of its own.
fn plan_entry(
    wanted: &Wanted,
    view: &View,
    path: &str,
    current: &Fields,
    touched: Option<&Touched>,
) -> Plan {
    let known = up_to_date(touched, current);
    // What the path would be without this program decides what kind of path it is.
    let mut others = current.clone();
    others.extend(known.before.clone());
    let Target { fields, kept } = wanted.target(path, &others);
    let busy = view.busy(path);
    if known.added && is_unwanted(wanted, view, path) {
        let impact = impact_of_removal(view, path, current);
        let step = Step {
            entry: path.to_owned(),
            change: Change::Remove,
            impact,
            hurts: impact.on(busy),
            touched: known,
        };
        let steps = vec![step];
        return Plan { steps, kept };
    }
    let mut aim = known.before.clone();
    aim.extend(fields.clone());
    let touched = touched_by(known, current, &fields);
    let mut after = current.clone();
    after.extend(aim.clone());
    let stays_recorded = is_on(current, "record") && is_on(&after, "record");
    let (hot, cold) = split(difference(current, &aim));
    let step = |fields: Fields| {
        let impact = Impact::of(&fields, stays_recorded);
        (!fields.is_empty()).then(|| Step {
            entry: path.to_owned(),
            change: Change::Patch(fields),
            impact,
            hurts: impact.on(busy),
            touched: touched.clone(),
        })
    };
    // An idle path is recreated first, so that a recording begins under its new settings.
    let steps = [step(cold), step(hot)];
    Plan {
        steps: steps.into_iter().flatten().collect(),
        kept,
    }
}

/// The path gets its settings from an entry for many paths, which is not to be touched: it needs one of its own.
fn plan_template(wanted: &Wanted, view: &View, path: &str) -> Result<Plan, GoverningError> {
    let template = view.template(path)?;
    let (model, others) = match &template {
        Some(template) => {
            let model = &view.entries[&template.entry];
            (Some(model), template.fill(model))
        }
        None => (None, view.defaults.clone()),
    };
    let Target { fields, kept } = wanted.target(path, &others);
    let differing = difference(&others, &fields);
    if differing.is_empty() && (model.is_some() || fields.is_empty()) {
        let kept = kept && model.is_some();
        let steps = Vec::new();
        return Ok(Plan { steps, kept });
    }
    if model.is_none() && !fields.contains_key("source") {
        return Err(GoverningError::None(path.to_owned()));
    }
    let base = difference(&view.defaults, &others);
    let mut whole = base.clone();
    whole.extend(fields.clone());
    let mut aim = others.clone();
    aim.extend(fields.clone());
    let impact = match model {
        Some(model) => {
            let stays_recorded = is_on(model, "record") && is_on(&aim, "record");
            Impact::of(&difference(model, &aim), stays_recorded)
        }
        None => Impact::Path,
    };
    let before = |name: &String| {
        (
            name.clone(),
            others.get(name).cloned().unwrap_or(Value::Null),
        )
    };
    let step = Step {
        entry: path.to_owned(),
        change: Change::Add(whole),
        impact,
        hurts: impact.on(view.busy(path)),
        touched: Touched {
            added: true,
            before: differing.keys().map(before).collect(),
            written: differing,
            base,
        },
    };
    let steps = vec![step];
    Ok(Plan { steps, kept })
}

/// Whether nothing is wanted of a path that this program has given an entry of its own.
fn is_unwanted(wanted: &Wanted, view: &View, path: &str) -> bool {
    let others = match view.template(path) {
        Ok(Some(template)) => template.fill(&view.entries[&template.entry]),
        Ok(None) => view.defaults.clone(),
        Err(_) => return false,
    };
    difference(&others, &wanted.target(path, &others).fields).is_empty()
}

/// What it does to a running stream that its path loses its entry.
fn impact_of_removal(view: &View, path: &str, current: &Fields) -> Impact {
    let Ok(Some(template)) = view.template(path) else {
        return Impact::Path;
    };
    let model = &view.entries[&template.entry];
    // What the path has from the groups of an expression is in no list of settings that are looked at.
    if template.fill(model) != *model {
        return Impact::Path;
    }
    let stays_recorded = is_on(current, "record") && is_on(model, "record");
    Impact::of(&difference(model, current), stays_recorded)
}

/// What is known of the entry, but for settings that somebody else has changed since: a restart of the server, which
/// reads its file again, a reload, another program. What they say is what holds without this program.
fn up_to_date(touched: Option<&Touched>, current: &Fields) -> Touched {
    let mut known = touched.cloned().unwrap_or_default();
    for (name, written) in &known.written {
        let now = current.get(name).cloned().unwrap_or(Value::Null);
        if !same(name, &now, written) {
            known.added = false;
            known.before.insert(name.clone(), now);
        }
    }
    known
}

/// What will be touched from the moment on at which the `fields` are written.
fn touched_by(mut known: Touched, current: &Fields, fields: &Fields) -> Touched {
    for (name, value) in fields {
        let now = current.get(name).cloned().unwrap_or(Value::Null);
        if !known.written.contains_key(name) {
            if same(name, &now, value) {
                continue;
            }
            known.before.insert(name.clone(), now);
        }
        known.written.insert(name.clone(), value.clone());
    }
    known
}

impl Touched {
    /// What is still touched once the change has been made: what was put back is others' again.
    #[must_use]
    pub fn after(mut self, change: &Change) -> Option<Self> {
        match change {
            Change::Remove => return None,
            Change::Add(_) => {}
            Change::Patch(fields) => {
                for (name, value) in fields {
                    if self
                        .before
                        .get(name)
                        .is_some_and(|before| same(name, before, value))
                    {
                        self.before.remove(name);
                        self.written.remove(name);
                    }
                }
            }
        }
        (self.added || !self.written.is_empty()).then_some(self)
    }
}

#[cfg(test)]
mod tests;
