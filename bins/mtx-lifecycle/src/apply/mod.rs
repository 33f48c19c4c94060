//! Makes the server be as it is wanted, as far as nobody is hurt: each entry by itself.

mod describe;
mod error;
mod execute;
mod report;
mod wait;

use std::collections::{BTreeMap, BTreeSet};

pub(crate) use describe::{describe, describe_fields};
pub use error::Error;
use execute::Executed;
pub(crate) use report::FILES;
pub use report::{PathReport, Pending, Report};
pub use wait::Interrupt;
pub(crate) use wait::{await_shown, wait_until};

use mediamtx::api::Fields;

use crate::journal::{Journal, Record};
use crate::ledger::Change;
use crate::plan::{Planner, Step};
use crate::policy::Current;
use crate::server::{Demand, Server, View};

/// Which paths, and how far to go.
#[derive(Debug, Default)]
pub(crate) struct Scope<'a> {
    /// One path; otherwise all.
    pub(crate) path: Option<&'a str>,
    /// Whoever is in the way is dropped.
    pub(crate) force: bool,
    /// Paths that are not held open for the moment, because their source has to rest; by default those that are
    /// degraded.
    pub(crate) resting: Option<&'a BTreeSet<String>>,
    /// How often to ask for recorded files, of paths chosen at random; by default as often as there is a reason to.
    pub(crate) questions: Option<usize>,
    /// What the server has rejected; that is not tried again as long as nothing differs.
    pub(crate) refused: &'a [Refused],
}

/// A change that the server has rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    entry: String,
    change: Change,
    /// The entry as it was.
    current: Option<Fields>,
    why: String,
}

impl<'a> Scope<'a> {
    pub(crate) fn one(path: &'a str) -> Self {
        Self {
            path: Some(path),
            ..Self::default()
        }
    }

    pub(crate) fn all(force: bool) -> Self {
        Self {
            force,
            ..Self::default()
        }
    }
}

/// Writes what a plan says, and notes it.
pub(crate) struct Applier<'a> {
    server: &'a dyn Server,
    journal: &'a mut Journal,
    force: bool,
    questions: Option<usize>,
    refused: Vec<Refused>,
    /// Why the server accepts no change at all.
    jammed: Option<String>,
    demands: BTreeMap<String, Demand>,
    report: Report,
}

/// What becomes of a path.
enum Go {
    On,
    /// The server rejects what its rule overrides.
    WithoutOverrides,
    /// Its entry stays, since it has become somebody else's: what this program wrote to it goes back.
    Disowned,
}

/// What became of a step.
enum Stepped {
    On,
    /// The server rejects it.
    Rejected(String),
    /// Its entry was to be removed, and stays as somebody else's.
    Disowned,
}

impl<'a> Applier<'a> {
    pub(crate) fn new(server: &'a dyn Server, journal: &'a mut Journal, force: bool) -> Self {
        Self {
            server,
            journal,
            force,
            questions: None,
            refused: Vec::new(),
            jammed: None,
            demands: BTreeMap::new(),
            report: Report::default(),
        }
    }

    /// Makes the server be as it is wanted. The paths on which something has ended are in every scope.
    ///
    /// # Errors
    /// When the server or the journal is in trouble; what one path can't have is in the report.
    pub(crate) fn converge(mut self, view: &View, scope: &Scope<'_>) -> Result<Report, Error> {
        let state = self.journal.state().clone();
        let current = state.current();
        let resting = scope.resting.unwrap_or(&state.degraded);
        let planner = Planner::new(&state, &current, view, resting);
        self.refused = scope.refused.to_vec();
        match scope.path {
            Some(path) => {
                self.path(&planner, path)?;
                self.report.other_journals = view.other_keepers(path, planner.journal);
                for other in state.ended.iter().filter(|ended| *ended != path) {
                    self.path(&planner, other)?;
                }
            }
            None => {
                let mut paths = planner.paths();
                self.questions = scope.questions;
                if scope.questions.is_some() {
                    fastrand::shuffle(&mut paths);
                }
                for path in paths {
                    self.path(&planner, &path)?;
                }
                for step in planner.templates() {
                    let mut report = PathReport::new(&step.path);
                    self.step(&planner, &step, &mut report)?;
                    self.report.add(report);
                }
            }
        }
        self.note_demands(&current)?;
        self.report.jammed = self.jammed;
        Ok(self.report)
    }

    /// For when the server can't be asked. Paths that come and go under a rule for many are of interest only while
    /// something of them is this program's.
    fn note_demands(&mut self, current: &Current) -> Result<(), Error> {
        let named = current.named();
        let mut paths = std::mem::take(&mut self.demands);
        let state = self.journal.state();
        paths.retain(|path, demand| {
            let concerns = named.contains(path.as_str()) || state.ledger.get(path).is_some();
            concerns && state.demands.get(path) != Some(demand)
        });
        if paths.is_empty() {
            return Ok(());
        }
        self.note(Record::Demands { paths })
    }

    fn path(&mut self, planner: &Planner<'_>, path: &str) -> Result<(), Error> {
        let mut report = PathReport::new(path);
        report.failed = self.journal.state().rejected.get(path).cloned();
        let mut go = Go::WithoutOverrides;
        if report.failed.is_none() {
            go = self.settings_and_keepers(planner, path, &mut report)?;
        }
        let (current, ledger);
        let mut planner = Planner { ..*planner };
        if let Go::WithoutOverrides = go {
            current = planner.current.without_overrides(path);
            planner.current = &current;
            go = self.settings_and_keepers(&planner, path, &mut report)?;
        }
        if let Go::Disowned = go {
            ledger = self.journal.state().ledger.clone();
            planner.ledger = &ledger;
            self.settings_and_keepers(&planner, path, &mut report)?;
        }
        if report.failed.is_none() {
            report.failed = planner.current.unknown_use_case(path);
        }
        self.report.add(report);
        Ok(())
    }

    fn settings_and_keepers(
        &mut self,
        planner: &Planner<'_>,
        path: &str,
        report: &mut PathReport,
    ) -> Result<Go, Error> {
        let plan = match planner.path(path) {
            Ok(plan) => {
                self.demands.insert(path.to_owned(), plan.original_demand);
                plan
            }
            Err(error) => {
                report.failed = Some(error.to_string());
                Default::default()
            }
        };
        for step in &plan.steps {
            match self.step(planner, step, report)? {
                Stepped::On => {}
                Stepped::Disowned => return Ok(Go::Disowned),
                Stepped::Rejected(why) => {
                    let is_first = report.failed.replace(why.clone()).is_none();
                    if is_first {
                        let entry = path.to_owned();
                        self.note(Record::Rejected { entry, why })?;
                        return Ok(Go::WithoutOverrides);
                    }
                    report.is_unmet = true;
                    break;
                }
            }
        }
        match planner.keepers(path, &plan) {
            Ok(steps) => {
                for step in &steps {
                    if let Stepped::Rejected(why) = self.step(planner, step, report)? {
                        report.failed = Some(why);
                        report.is_unmet = true;
                    }
                }
            }
            Err(error) => {
                report.failed = Some(error.to_string());
                report.is_unmet = true;
            }
        }
        Ok(Go::On)
    }

    /// Executes a step, unless it would hurt somebody.
    fn step(
        &mut self,
        planner: &Planner<'_>,
        step: &Step,
        report: &mut PathReport,
    ) -> Result<Stepped, Error> {
        if !step.hurts.is_idle() && !self.force {
            report.pending.push(Pending::new(step, step.hurts));
            return Ok(Stepped::On);
        }
        let write = (step.entry.clone(), step.change.clone());
        if self.report.written.contains(&write) {
            return Ok(Stepped::On);
        }
        if let Some(why) = &self.jammed {
            report.failed = Some(why.clone());
            return Ok(Stepped::On);
        }
        let current = planner.view.entries.get(&step.entry);
        let is_same = |refused: &&Refused| {
            refused.entry == step.entry
                && refused.change == step.change
                && refused.current.as_ref() == current
        };
        if let Some(refused) = self.refused.iter().find(is_same) {
            self.report.refused.push(refused.clone());
            return Ok(Stepped::Rejected(refused.why.clone()));
        }
        match self.execute(step, planner.view)? {
            Executed::Written => {
                report.done.push(describe(step, planner.current));
                if !step.hurts.is_idle() {
                    report.dropped = Some(step.hurts);
                }
                self.report.written.push(write);
            }
            Executed::FilesLeft => report.pending.push(Pending::new(step, step.hurts)),
            Executed::InTheWay(busy) => report.pending.push(Pending::new(step, busy)),
            Executed::Left { changed } => {
                report.done.push(format!(
                    "its entry stays, since somebody else has changed {} of it",
                    changed.join(", ")
                ));
                return Ok(Stepped::Disowned);
            }
            Executed::Rejected(why) => {
                self.report.refused.push(Refused {
                    entry: step.entry.clone(),
                    change: step.change.clone(),
                    current: current.cloned(),
                    why: why.clone(),
                });
                return Ok(Stepped::Rejected(why));
            }
            Executed::Jammed(why) => {
                let why = Error::Jammed(why).to_string();
                report.failed = Some(why.clone());
                self.jammed = Some(why);
            }
        }
        Ok(Stepped::On)
    }

    fn note(&mut self, record: Record) -> Result<(), Error> {
        Ok(self.journal.append(record)?)
    }
}
