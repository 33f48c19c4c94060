//! What has to be written for each entry to be as it is wanted, and whom that would hurt.

mod impact;
mod keeper;

use std::collections::BTreeSet;

use mediamtx::api::Fields;
use serde_json::Value;
use url::Url;

use crate::journal::State;
use crate::ledger::{Change, Ledger, Owned};
use crate::policy::{Current, Target};
use crate::server::{
    Busy, Demand, Keeper, ReachError, TemplateError, View, difference, is_reserved, is_template,
};
pub use impact::Impact;
pub use keeper::fields as keeper_fields;

/// One write, and what it does to a running stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The entry.
    pub entry: String,
    /// The path that it is about: the entry's own name, or the one that it holds open.
    pub path: String,
    /// What is written.
    pub change: Change,
    /// What others want of the same settings.
    pub originals: Fields,
    /// What that does to a running stream.
    pub impact: Impact,
    /// Whom that would hurt at the moment.
    pub hurts: Busy,
    /// What decides which recorded files MediaMTX deletes, and when, is given up with it: it waits until they are gone.
    pub ends_retention: bool,
}

/// What a path needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PathPlan {
    /// In this order.
    pub steps: Vec<Step>,
    /// Whether its use cases want the server to hold it open.
    pub kept: bool,
    /// How it comes by its stream.
    pub on_demand: bool,
    /// The same without this program.
    pub original_demand: Demand,
    /// It is wanted by a rule for many paths only, and its stream has gone: nobody waits for another one.
    pub has_lapsed: bool,
}

/// Everything that a plan follows from.
#[derive(Debug)]
pub struct Planner<'a> {
    /// What is wanted.
    pub current: &'a Current,
    /// What the server has.
    pub view: &'a View,
    /// What of it is this program's.
    pub ledger: &'a Ledger,
    /// The journal's id.
    pub journal: &'a str,
    /// Where the server reaches itself, if anybody has said so.
    pub rtsp: Option<&'a Url>,
    /// Paths that are not held open for the moment, because their source has to rest.
    pub resting: &'a BTreeSet<String>,
}

/// Settings that decide which recorded files are deleted, and when.
pub(crate) const RETENTION: [&str; 3] = ["recordDeleteAfter", "recordPath", "recordFormat"];

impl<'a> Planner<'a> {
    /// A plan for what is known after a look.
    #[must_use]
    pub fn new(
        state: &'a State,
        current: &'a Current,
        view: &'a View,
        resting: &'a BTreeSet<String>,
    ) -> Self {
        Self {
            current,
            view,
            ledger: &state.ledger,
            journal: &state.id,
            rtsp: state.rtsp.as_ref(),
            resting,
        }
    }

    /// The same for what is wanted otherwise.
    #[must_use]
    pub fn with<'b>(&'b self, current: &'b Current) -> Planner<'b> {
        Planner { current, ..*self }
    }

    /// The paths that something is wanted of, or was.
    #[must_use]
    pub fn paths(&self) -> Vec<String> {
        let owned = self.ledger.entries().filter(|it| !is_reserved(it));
        let keepers = self.own_keepers().into_iter().map(|(_, path)| path);
        let ruled = self.view.paths();
        let ruled = ruled.filter(|path| self.current.rule(path).is_some());
        let mut all: BTreeSet<String> = self
            .current
            .named()
            .into_iter()
            .map(str::to_owned)
            .collect();
        all.extend(owned.map(str::to_owned));
        all.extend(keepers);
        all.extend(ruled.map(str::to_owned));
        all.into_iter().collect()
    }

    /// What a path's own entry needs.
    ///
    /// # Errors
    /// When it can't be told where its settings come from.
    pub fn path(&self, path: &str) -> Result<PathPlan, TemplateError> {
        match self.view.entries.get(path) {
            Some(current) => Ok(self.existing(path, current)),
            None => self.missing(path),
        }
    }

    /// What an entry for many paths needs: only journals of older versions have any.
    #[must_use]
    pub fn templates(&self) -> Vec<Step> {
        let owned = self.ledger.iter().filter(|(entry, _)| is_template(entry));
        let steps = owned.filter_map(|(entry, owned)| {
            let current = self.view.entries.get(entry)?;
            let back = difference(current, &owned.standing(current).originals());
            (!back.is_empty()).then(|| self.patch(entry, current, back, owned))
        });
        steps.collect()
    }

    /// The path has an entry of its own.
    fn existing(&self, path: &str, current: &Fields) -> PathPlan {
        let owned = self.ledger.get(path).cloned().unwrap_or_default();
        let standing = owned.standing(current);
        // What the path would be without this program decides what kind of path it is.
        let originals = standing.originals();
        let mut others = current.clone();
        others.extend(originals.clone());
        let Target { fields, kept } = self.current.target(path, &others);
        let on_demand = self.current.demand(path, &others) != Demand::None;
        let original_demand = Demand::of(&others);
        let has_lapsed = self.has_lapsed(path);
        let mut aim = originals;
        aim.extend(fields.clone());
        let gives_up =
            |name: &String| RETENTION.contains(&name.as_str()) && !fields.contains_key(name);
        let (given_up, differing): (Fields, Fields) = difference(current, &aim)
            .into_iter()
            .partition(|(name, _)| gives_up(name));
        let is_hot = |name: &String| self.view.version.is_hot(name);
        let (hot, cold): (Fields, Fields) =
            differing.into_iter().partition(|(name, _)| is_hot(name));
        let mut after = current.clone();
        after.extend(hot.clone());
        // An idle path is recreated first, so that a recording begins under its new settings.
        let changes = [cold, hot].into_iter().filter(|fields| !fields.is_empty());
        let mut steps: Vec<Step> = changes
            .map(|fields| self.patch(path, current, fields, &owned))
            .collect();
        let is_removed = standing.created && (has_lapsed || self.is_unwanted(path));
        if is_removed {
            let removal = self.removal(path, current);
            // What can go back before the entry does, a recording above all, does not wait with it.
            if removal.hurts.is_idle() && !removal.ends_retention {
                steps.clear();
            }
            steps.push(removal);
        } else if !given_up.is_empty() {
            steps.push(Step {
                ends_retention: true,
                ..self.patch(path, &after, given_up, &owned)
            });
        }
        PathPlan {
            steps,
            kept: kept && !(is_removed && has_lapsed),
            on_demand,
            original_demand,
            has_lapsed,
        }
    }

    fn patch(&self, entry: &str, current: &Fields, fields: Fields, owned: &Owned) -> Step {
        let mut after = current.clone();
        after.extend(fields.clone());
        let impact = Impact::of(current, &after, &fields, &self.view.version);
        let known = owned.standing(current).originals();
        let original = |name: &String| {
            let others = known.get(name).or(current.get(name));
            (name.clone(), others.cloned().unwrap_or(Value::Null))
        };
        let originals = fields.keys().map(original).collect();
        self.step(entry, Change::Patch(fields), originals, impact)
    }

    fn step(&self, entry: &str, change: Change, originals: Fields, impact: Impact) -> Step {
        Step {
            entry: entry.to_owned(),
            path: entry.to_owned(),
            change,
            originals,
            impact,
            hurts: impact.on(self.view.busy_of_entry(entry, self.journal)),
            ends_retention: false,
        }
    }

    /// The path gets its settings from an entry for many paths, which is not to be touched: it needs one of its own.
    fn missing(&self, path: &str) -> Result<PathPlan, TemplateError> {
        let template = self.view.template(path)?;
        let (model, others) = match &template {
            Some(template) => {
                let model = &self.view.entries[&template.entry];
                (Some(model), template.fill(model))
            }
            None => (None, self.view.defaults.clone()),
        };
        let Target { fields, kept } = self.current.target(path, &others);
        let on_demand = self.current.demand(path, &others) != Demand::None;
        let original_demand = Demand::of(&others);
        let differing = difference(&others, &fields);
        let is_needless = differing.is_empty() && (model.is_some() || fields.is_empty());
        let has_lapsed = self.has_lapsed(path);
        if is_needless || has_lapsed {
            return Ok(PathPlan {
                steps: Vec::new(),
                kept: kept && model.is_some() && !has_lapsed,
                on_demand,
                original_demand,
                has_lapsed,
            });
        }
        if model.is_none() && !fields.contains_key("source") {
            return Err(TemplateError::None(path.to_owned()));
        }
        let mut step = self.addition(path, model, &others, fields.clone());
        if !step.hurts.is_idle() {
            // A recording need not wait for the settings that recreate the path: they follow.
            let is_hot = |name: &String| self.view.version.is_hot(name);
            let hot: Fields = fields
                .into_iter()
                .filter(|(name, _)| is_hot(name))
                .collect();
            let is_worth_it = !difference(&others, &hot).is_empty();
            let first = self.addition(path, model, &others, hot);
            if is_worth_it && first.hurts.is_idle() {
                step = first;
            }
        }
        Ok(PathPlan {
            // A keeper would hold the source that an entry waits for.
            kept: kept && step.hurts.is_idle(),
            steps: vec![step],
            on_demand,
            original_demand,
            has_lapsed,
        })
    }

    /// An entry of its own for a path that gets `others` from one for many paths.
    fn addition(
        &self,
        path: &str,
        model: Option<&Fields>,
        others: &Fields,
        fields: Fields,
    ) -> Step {
        // What is nobody's but the template's comes along.
        let mut whole = difference(&self.view.defaults, others);
        let mut aim = others.clone();
        whole.extend(fields.clone());
        aim.extend(fields);
        let impact = match model {
            Some(model) => Impact::of_entry(model, &aim, &self.view.version),
            None => Impact::Path,
        };
        let original = |name: &String| {
            let others = others.get(name).cloned();
            (name.clone(), others.unwrap_or(Value::Null))
        };
        let originals = whole.keys().map(original).collect();
        self.step(path, Change::Add(whole), originals, impact)
    }

    /// A rule for many paths gave it an entry, and its stream has gone since.
    fn has_lapsed(&self, path: &str) -> bool {
        let is_kept = || {
            let template = self.view.template(path).ok().flatten();
            let others = template.map(|it| it.fill(&self.view.entries[&it.entry]));
            let others = others.unwrap_or_else(|| self.view.defaults.clone());
            self.current.target(path, &others).kept
        };
        self.current.is_by_pattern(path)
            && !self.view.is_available(path)
            && self.view.busy(path, self.journal).is_idle()
            && !is_kept()
    }

    /// Whether nothing is wanted of a path that this program has given an entry of its own.
    fn is_unwanted(&self, path: &str) -> bool {
        let others = match self.view.template(path) {
            Ok(Some(template)) => template.fill(&self.view.entries[&template.entry]),
            Ok(None) => self.view.defaults.clone(),
            Err(_) => return false,
        };
        let target = self.current.target(path, &others);
        difference(&others, &target.fields).is_empty()
    }

    fn removal(&self, path: &str, current: &Fields) -> Step {
        let impact = self.impact_of_removal(path, current);
        let mut step = self.step(path, Change::Remove, Fields::new(), impact);
        step.ends_retention = self.ends_retention(path, current);
        step
    }

    /// Whether MediaMTX looks for recorded files elsewhere, keeps them for another time, or deletes none at all, once
    /// the path has lost its entry (`internal/recordcleaner/cleaner.go`).
    fn ends_retention(&self, path: &str, current: &Fields) -> bool {
        let Ok(Some(template)) = self.view.template(path) else {
            return true;
        };
        let after = difference(current, &template.fill(&self.view.entries[&template.entry]));
        RETENTION.iter().any(|name| after.contains_key(*name))
    }

    /// What it does to a running stream that its path loses its entry.
    fn impact_of_removal(&self, path: &str, current: &Fields) -> Impact {
        let Ok(Some(template)) = self.view.template(path) else {
            return Impact::Path;
        };
        let model = &self.view.entries[&template.entry];
        // What the path has from the groups of an expression is in no list of settings that are looked at.
        if template.fill(model) != *model {
            return Impact::Path;
        }
        let own = self.whole(path, current);
        Impact::of_entry(&self.with_defaults(model), &own, &self.view.version)
    }

    /// All settings of an entry that this program has added, of which a look shows the `current` ones: the others are
    /// as they were written. One that may have several values has none that is known.
    fn whole(&self, path: &str, current: &Fields) -> Fields {
        let mut whole = self.with_defaults(&Fields::new());
        let written = self.ledger.get(path).into_iter();
        let written = written.flat_map(|owned| &owned.fields);
        whole.extend(written.map(|(name, field)| {
            let only = match &field.ours[..] {
                [only] => only.clone(),
                _ => Value::Null,
            };
            (name.clone(), only)
        }));
        whole.extend(current.clone());
        whole
    }

    fn with_defaults(&self, entry: &Fields) -> Fields {
        let mut whole = self.view.defaults.clone();
        whole.extend(entry.clone());
        whole
    }

    /// What holding a path open needs, if it is to be.
    ///
    /// # Errors
    /// When the server can't read its own paths.
    pub fn keepers(&self, path: &str, plan: &PathPlan) -> Result<Vec<Step>, ReachError> {
        let is_kept = plan.kept && !self.resting.contains(path);
        let is_wanted = is_kept || plan.on_demand && self.current.is_held(path);
        let own = self.own_keepers();
        let own = own.into_iter().filter(|(_, kept)| kept == path);
        let wanted = Keeper {
            journal: self.journal,
            path,
        };
        let wanted = is_wanted.then(|| wanted.name());
        let mut steps = Vec::new();
        if let Some(name) = &wanted {
            steps.extend(self.keeper(name, path)?);
        }
        for (entry, _) in own.filter(|(entry, _)| Some(entry) != wanted.as_ref()) {
            // One of another name goes when the path is held by this one.
            let is_held = wanted
                .as_ref()
                .is_none_or(|name| self.view.is_available(name));
            steps.push(self.keeper_step(&entry, path, Change::Remove, is_held));
        }
        Ok(steps)
    }

    /// The entries of the server that hold paths open for this journal, and which.
    fn own_keepers(&self) -> Vec<(String, String)> {
        let keepers = self.view.entries.keys().filter_map(|entry| {
            let keeper = Keeper::parse(entry)?;
            let is_own = keeper.journal == self.journal || self.ledger.get(entry).is_some();
            is_own.then(|| (entry.clone(), keeper.path.to_owned()))
        });
        keepers.collect()
    }

    fn keeper(&self, name: &str, path: &str) -> Result<Option<Step>, ReachError> {
        let url = self.view.reach.own(self.rtsp, path)?;
        let fields = keeper::fields(&url, path, &self.view.defaults);
        let Some(current) = self.view.entries.get(name) else {
            return Ok(Some(self.keeper_step(
                name,
                path,
                Change::Add(fields),
                true,
            )));
        };
        let differing = difference(current, &keeper::visible(&fields));
        let change = (!differing.is_empty()).then_some(Change::Patch(differing));
        // For a moment the path is held by nobody, unless somebody reads it.
        let is_read = self.view.busy(path, self.journal).viewers > 0;
        let is_idle = is_read || !self.view.is_available(name);
        Ok(change.map(|change| self.keeper_step(name, path, change, is_idle)))
    }

    fn keeper_step(&self, entry: &str, path: &str, change: Change, is_harmless: bool) -> Step {
        let impact = if is_harmless {
            Impact::Nothing
        } else {
            Impact::Hold
        };
        let current = self.view.entries.get(entry);
        let original = |name: &String| {
            let value = current.and_then(|it| it.get(name)).cloned();
            (name.clone(), value.unwrap_or(Value::Null))
        };
        let fields = change.fields().map(|it| it.keys().map(original).collect());
        Step {
            entry: entry.to_owned(),
            path: path.to_owned(),
            originals: fields.unwrap_or_default(),
            change,
            impact,
            hurts: impact.on(self.view.busy(path, self.journal)),
            ends_retention: false,
        }
    }
}

#[cfg(test)]
mod tests;
