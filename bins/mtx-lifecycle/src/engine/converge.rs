//! All paths, or one, as they are wanted.

use std::collections::BTreeSet;

use mediamtx::api::Fields;

use super::execute::{Executed, describe};
use super::{Error, PathReport, Pending, Report, Session};
use crate::fields::difference;
use crate::keeper;
use crate::plan::{Change, Impact, Step, Touched, plan};
use crate::server::{Busy, View};
use crate::wanted::Wanted;

/// Which paths, and how far to go.
#[derive(Debug, Default)]
pub(crate) struct Scope<'a> {
    /// One path; otherwise all.
    pub(crate) path: Option<&'a str>,
    /// Whoever is in the way is dropped.
    pub(crate) force: bool,
    /// Paths that are not held open for the moment, because their source has to rest.
    pub(crate) resting: Option<&'a BTreeSet<String>>,
}

impl<'a> Scope<'a> {
    pub(crate) fn of(path: &'a str) -> Self {
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

/// Whether the server holds a path open itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    No,
    ForAMoment,
    Lasting,
}

impl Session<'_> {
    /// Makes the server be as it is wanted, as far as nobody is hurt.
    pub(crate) fn converge(&mut self, view: &View, scope: &Scope<'_>) -> Result<Report, Error> {
        let wanted = self.journal.state().wanted();
        let paths: Vec<String> = match scope.path {
            Some(path) => vec![path.to_owned()],
            None => self.concerned(&wanted, view),
        };
        let mut report = Report::default();
        for path in paths {
            let of_path = self.converge_path(&wanted, view, &path, scope)?;
            if !of_path.is_empty() {
                report.paths.push(of_path);
            }
        }
        Ok(report)
    }

    /// The same from a look of its own.
    pub(crate) fn look_and_converge(&mut self, scope: &Scope<'_>) -> Result<Report, Error> {
        let view = View::look(&self.lifecycle.options.api)?;
        self.converge(&view, scope)
    }

    /// The paths that something is wanted of, or was.
    pub(crate) fn concerned(&self, wanted: &Wanted, view: &View) -> Vec<String> {
        let state = self.journal.state();
        let touched = state.touched.keys().map(String::as_str);
        let touched = touched.filter(|entry| keeper::kept(entry).is_none());
        let kept = view.entries.keys().filter_map(|entry| keeper::kept(entry));
        let ruled = view
            .paths()
            .filter(|path| wanted.policy.rule(path).is_some());
        let named = wanted.named().into_iter();
        let all: BTreeSet<_> = named.chain(touched).chain(kept).chain(ruled).collect();
        all.into_iter().map(str::to_owned).collect()
    }

    fn converge_path(
        &mut self,
        wanted: &Wanted,
        view: &View,
        path: &str,
        scope: &Scope<'_>,
    ) -> Result<PathReport, Error> {
        let mut report = PathReport::new(path);
        report.failed = self.journal.state().rejected.get(path).cloned();
        if report.failed.is_none() {
            self.steps(wanted, view, path, scope, &mut report)?;
        }
        if report.failed.is_some() && self.journal.state().rejected.contains_key(path) {
            // One of its overrides is not to the server's liking: the path does without them, the others go on.
            let wanted = wanted.without_overrides(path);
            self.steps(&wanted, view, path, scope, &mut report)?;
        }
        Ok(report)
    }

    fn steps(
        &mut self,
        wanted: &Wanted,
        view: &View,
        path: &str,
        scope: &Scope<'_>,
        report: &mut PathReport,
    ) -> Result<(), Error> {
        let touched = self.journal.state().touched.get(path).cloned();
        let plan = match plan(wanted, view, path, touched.as_ref()) {
            Ok(plan) => plan,
            Err(error) => {
                report.failed = Some(error.to_string());
                return self.keep(view, path, Kept::No, report);
            }
        };
        for step in &plan.steps {
            if !step.hurts.is_idle() && !scope.force {
                report.pending.push(Pending::of(step, step.hurts));
                continue;
            }
            match self.execute(step, view, scope.force)? {
                Executed::Holds => {
                    report.done.push(describe(&step.change));
                    report.dropped = Some(step.hurts)
                        .filter(|busy| !busy.is_idle())
                        .or(report.dropped);
                }
                Executed::InTheWay(busy) => report.pending.push(Pending::of(step, busy)),
                Executed::Rejected(why) => {
                    report.failed = Some(why);
                    break;
                }
            }
        }
        let state = self.journal.state();
        // Who watches knows better than the journal when the source of a degraded path is tried once more.
        let rests = match scope.resting {
            Some(resting) => resting.contains(path),
            None => state.degraded.contains(path),
        };
        let kept = match (plan.kept && !rests, state.is_warm(path)) {
            (true, _) => Kept::Lasting,
            (false, true) => Kept::ForAMoment,
            (false, false) => Kept::No,
        };
        self.keep(view, path, kept, report)
    }

    /// Gives a path its keeper, or takes it away.
    fn keep(
        &mut self,
        view: &View,
        path: &str,
        kept: Kept,
        report: &mut PathReport,
    ) -> Result<(), Error> {
        let entry = keeper::name(path);
        let current = view.entries.get(&entry);
        let change = match (kept != Kept::No, current) {
            (false, None) => return Ok(()),
            (false, Some(_)) => Change::Remove,
            (true, current) => {
                let rtsp = self.lifecycle.rtsp()?;
                let fields = keeper::fields(rtsp, path, &view.defaults);
                match current {
                    None => Change::Add(fields),
                    Some(current) if difference(current, &managed(&fields)).is_empty() => {
                        return Ok(());
                    }
                    Some(_) => Change::Patch(fields),
                }
            }
        };
        let written = match &change {
            Change::Add(fields) | Change::Patch(fields) => fields.clone(),
            Change::Remove => Fields::new(),
        };
        let step = Step {
            entry,
            impact: Impact::Nothing,
            hurts: Busy::default(),
            touched: Touched {
                added: true,
                before: Fields::new(),
                written,
                base: Fields::new(),
            },
            change,
        };
        match self.execute(&step, view, false)? {
            Executed::Rejected(why) => report.failed = Some(why),
            _ => report.done.push(match kept {
                Kept::Lasting => "held open without viewers".to_owned(),
                Kept::ForAMoment => "held open until its source has come".to_owned(),
                Kept::No => "no longer held open without viewers".to_owned(),
            }),
        }
        Ok(())
    }
}

/// Of a keeper's settings those that a look at the server shows.
fn managed(fields: &Fields) -> Fields {
    let known = fields
        .iter()
        .filter(|(name, _)| crate::fields::is_managed(name));
    known
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}
