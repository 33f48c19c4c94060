//! Starting, stopping, applying, going back.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::timestamp::Timestamp;
use mediamtx::api::Recordings;
use mediamtx::path::PathName;

use super::{Error, Holding, Lifecycle, PathReport, Report, Session};
use crate::apply::{Scope, await_shown, wait_until};
use crate::journal::{Journal, Record, Revision, State};
use crate::plan::{PathPlan, Planner};
use crate::policy::{Current, Hold, Policy, Settings, Use, Wanted};
use crate::server::{TemplateError, View, is_reserved};

/// How a start went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Started {
    /// The stream is there, and a file of it if it is recorded.
    Running {
        /// After so long.
        after: Duration,
        /// What was written, and what waits.
        report: Report,
    },
    /// Nothing makes the stream come: it will be dealt with when somebody publishes it.
    Armed(Report),
    /// The stream is there, but what was asked for would hurt somebody: it is written when they have gone.
    Pending(Report),
}

/// A start, as far as it goes without waiting.
struct Begun<'a> {
    report: Report,
    /// Holds the path open until its stream has come, where no use case does.
    hold: Option<Holding<'a>>,
    is_armed: bool,
    /// The recorded files of before, if a new one is to be waited for.
    files: Option<Recordings>,
    settings: Settings,
}

impl Lifecycle {
    /// Starts a use case on a path, for good or until a moment, and waits until it shows. An interrupted start is
    /// taken back.
    ///
    /// # Errors
    /// When the server does not want it so, or the source does not come.
    pub fn start(
        &self,
        use_case: &str,
        path: &str,
        until: Option<Timestamp>,
    ) -> Result<Started, Error> {
        let start = Instant::now();
        check_path(path)?;
        if let Some(until) = until.filter(|until| *until <= Timestamp::now()) {
            return Err(Error::Moment(until));
        }
        let mut session = Session::begin(self, self.options().timeout)?;
        let before = session.state().wanted();
        let begun = self.begin(&mut session, use_case, path, until);
        if begun.is_err() {
            session.converge_ended();
        }
        let after = session.state().revisions.last().cloned();
        drop(session);
        let done = begun.and_then(|begun| self.finish(path, begun, start));
        match &done {
            Err(Error::Interrupted) => {}
            // Nobody waits for a server that does not answer.
            Err(error) if error.is_outage() && self.interrupt.is_raised() => {}
            Err(Error::NoSource { .. }) => {
                self.note_missing(path);
                return done;
            }
            Ok(Started::Running { .. } | Started::Pending(_)) => {
                self.note_found(path)?;
                return done;
            }
            _ => return done,
        }
        match self.take_back(use_case, path, &before, after) {
            Err(error) if !error.is_outage() => Err(error),
            // What can't be written now is noted, and written when the server is back.
            _ => Err(Error::Interrupted),
        }
    }

    fn begin<'a>(
        &'a self,
        session: &mut Session<'a>,
        use_case: &str,
        path: &str,
        until: Option<Timestamp>,
    ) -> Result<Begun<'a>, Error> {
        let policy = session.state().wanted().policy;
        if policy.use_case(use_case).is_none() {
            return Err(Error::UseCase {
                name: use_case.to_owned(),
                known: policy.use_case_names().join(", "),
            });
        }
        let wanted = started(session.state().wanted(), use_case, path, until);
        let what = format!("start {use_case} {path}");
        let view = match self.server().look() {
            Ok(view) => view,
            // It is wanted all the same, and done when the server is back.
            Err(error) => {
                let error = Error::from(error);
                if error.is_outage() {
                    session.revise(what, wanted)?;
                }
                return Err(error);
            }
        };
        // What is unknown to the server can't be started, and must not be wanted for ever after.
        let plan = plan_of(session.state(), &wanted, &view, path)?;
        session.revise(what, wanted)?;
        let files = self.server().recordings(path)?;
        // Whoever starts it anew wants it to be tried at once.
        if session.state().degraded.contains(path) {
            session.note_recovered(path)?;
        }
        let is_there = view.is_available(path);
        let hold = Hold {
            path: path.to_owned(),
            use_case: None,
        };
        let hold = (plan.on_demand && !is_there).then(|| Holding::begin(session, hold));
        let hold = hold.transpose()?;
        let report = session.converge(&view, &Scope::one(path))?;
        let current = session.state().current();
        let is_recorded = view.busy(path, "").recordings > 0;
        Ok(Begun {
            report,
            hold,
            is_armed: !plan.on_demand && !is_there,
            files: (current.records(path) && !is_recorded).then_some(files),
            settings: settings_beside(&current, &view, path),
        })
    }

    fn finish(&self, path: &str, begun: Begun<'_>, start: Instant) -> Result<Started, Error> {
        let patience = self.patience(&begun.settings);
        let mut reports = begun.report.paths.iter();
        let has_failed = |report: &&PathReport| report.done.is_empty() || report.is_unmet;
        let failed = reports.find(|report| report.path == path && has_failed(report));
        let failed = failed.and_then(|path| path.failed.clone());
        let came = match failed {
            Some(why) => Err(Error::Rejected {
                path: path.to_owned(),
                why,
            }),
            None => self.await_start(path, &begun, patience),
        };
        let released = match begun.hold {
            Some(hold) => hold.release().map(|_| ()),
            None => Ok(()),
        };
        came?;
        released?;
        if begun.is_armed {
            return Ok(Started::Armed(begun.report));
        }
        let is_pending = |report: &PathReport| {
            let mut pending = report.pending.iter();
            report.path == path && pending.any(|it| it.fields.contains_key("record"))
        };
        if begun.report.paths.iter().any(is_pending) {
            return Ok(Started::Pending(begun.report));
        }
        if let Some(files) = &begun.files {
            self.await_file(path, files, patience)?;
        }
        Ok(Started::Running {
            after: start.elapsed(),
            report: begun.report,
        })
    }

    fn await_start(&self, path: &str, begun: &Begun<'_>, patience: Duration) -> Result<(), Error> {
        self.await_report(&begun.report)?;
        if begun.is_armed {
            return Ok(());
        }
        self.await_stream(path, patience, begun.settings.lasts())
    }

    /// For the status. What failed is said anyway, so that trouble with the journal is worth no more than a warning.
    fn note_missing(&self, path: &str) {
        let noted = Session::begin(self, self.options().timeout).and_then(|mut session| {
            let at = Timestamp::now();
            let path = path.to_owned();
            session.note(Record::Missing { at, path })?;
            session.converge_ended();
            Ok(())
        });
        if let Err(error) = noted {
            log::warn!(path = path; "that its source is missing could not be noted: {error}");
        }
    }

    /// The source has come. Another start may have noted while this one waited that it is missing.
    fn note_found(&self, path: &str) -> Result<(), Error> {
        let known = Journal::peek(&self.options().folder)?;
        if known.missing.contains_key(path) {
            self.note_recovered(path)?;
        }
        Ok(())
    }

    fn note_recovered(&self, path: &str) -> Result<(), Error> {
        let mut session = Session::begin(self, self.options().timeout)?;
        session.note_recovered(path)?;
        session.converge_ended();
        Ok(())
    }

    /// Somebody did not want to wait for it.
    fn take_back(
        &self,
        use_case: &str,
        path: &str,
        before: &Wanted,
        after: Option<Revision>,
    ) -> Result<(), Error> {
        let Some(after) = after.filter(|after| after.wanted != *before) else {
            return Ok(());
        };
        let mut session = Session::begin(self, self.options().timeout)?;
        let mut wanted = session.state().wanted();
        let used = wanted.uses.remove(path).unwrap_or_default();
        let before = before.uses.get(path).cloned().unwrap_or_default();
        let written = after.wanted.uses.get(path).cloned().unwrap_or_default();
        let used = used.without_start(use_case, &before, &written);
        if used != Use::default() {
            wanted.uses.insert(path.to_owned(), used);
        }
        let what = format!("start {use_case} {path} was interrupted");
        session.revise_undoing(what, wanted, Some(after.number))?;
        session.look_and_converge(&Scope::one(path))?;
        Ok(())
    }

    /// Holds a path open with the settings of a picture, until the hold is released.
    ///
    /// # Errors
    /// When the source does not come.
    pub fn hold_for_picture(&self, path: &str) -> Result<Holding<'_>, Error> {
        const USE_CASE: &str = "snapshot";
        check_path(path)?;
        let mut session = Session::begin(self, self.options().timeout)?;
        let view = self.server().look()?;
        if let Err(error) = check_for_picture(session.state(), &view, path) {
            session.converge_ended();
            return Err(error);
        }
        let hold = Hold {
            path: path.to_owned(),
            use_case: Some(USE_CASE.to_owned()),
        };
        let holding = Holding::begin(&mut session, hold)?;
        let report = session.converge(&view, &Scope::one(path))?;
        let current = session.state().current();
        let patience = self.patience(&settings_beside(&current, &view, path));
        drop(session);
        let came = self.await_report(&report);
        let came = came.and_then(|()| self.await_stream(path, patience, false));
        match came {
            Ok(()) => {
                self.note_recovered(path)?;
                Ok(holding)
            }
            Err(Error::NoSource { path, after, .. }) => {
                holding.release()?;
                self.note_missing(&path);
                Err(Error::NoPicture { path, after })
            }
            Err(error) => {
                holding.release()?;
                Err(error)
            }
        }
    }

    /// Stops whatever was started on a path; what the policy records by itself rests from now on, too.
    ///
    /// # Errors
    /// When the server does not want it so.
    pub fn stop(&self, path: &str, reason: &str) -> Result<Report, Error> {
        check_path(path)?;
        let mut session = Session::begin(self, self.options().timeout)?;
        let before = session.state().wanted();
        let wanted = stopped(before.clone(), path, reason);
        if wanted == before && !is_noted(session.state(), path) {
            session.converge_ended();
            let view = self.server().look();
            let view = view.map_err(|error| Error::NothingToStop {
                path: path.to_owned(),
                error,
            })?;
            if is_unknown(session.state(), &view, path) {
                return Err(Error::Unknown(path.to_owned()));
            }
        }
        session.revise(format!("stop {path}: {reason}"), wanted)?;
        session.note_recovered(path)?;
        self.converged(session, &Scope::one(path))
    }

    /// Puts a policy into force.
    ///
    /// # Errors
    /// When the server can't be told.
    pub fn apply(&self, policy: Policy, force: bool) -> Result<Report, Error> {
        let mut session = Session::begin(self, self.options().timeout)?;
        let mut wanted = session.state().wanted();
        wanted.policy = Arc::new(policy);
        session.revise("apply".to_owned(), wanted)?;
        self.converged(session, &Scope::all(force))
    }

    /// Makes the server be as it is wanted, once more. As its own runOnInit this begins before its API is there.
    ///
    /// # Errors
    /// When the server can't be told.
    pub fn reconcile(&self) -> Result<Report, Error> {
        wait_until(self.options().timeout, &self.interrupt, || {
            self.server().ping().map(|()| true)
        })?;
        let session = Session::begin(self, self.options().timeout)?;
        self.converged(session, &Scope::default())
    }

    /// Converges and waits, without the lock, until it shows.
    pub(super) fn converged(
        &self,
        mut session: Session<'_>,
        scope: &Scope<'_>,
    ) -> Result<Report, Error> {
        let report = session.look_and_converge(scope)?;
        drop(session);
        self.await_report(&report)?;
        Ok(report)
    }

    fn await_report(&self, report: &Report) -> Result<(), Error> {
        let timeout = self.options().timeout;
        await_shown(self.server(), &report.written, timeout, &self.interrupt)
    }

    fn await_stream(&self, path: &str, timeout: Duration, is_held: bool) -> Result<(), Error> {
        let is_there = || {
            let live = self.server().live()?;
            Ok(live.get(path).is_some_and(|it| it.is_available()))
        };
        if wait_until(timeout, &self.interrupt, is_there)? {
            return Ok(());
        }
        Err(Error::NoSource {
            path: path.to_owned(),
            after: timeout,
            is_held,
        })
    }

    /// Waits for a recorded file that was not there before; old ones may be deleted meanwhile.
    fn await_file(&self, path: &str, before: &Recordings, timeout: Duration) -> Result<(), Error> {
        let is_there = || {
            let now = self.server().recordings(path)?.segments;
            Ok(now.iter().any(|segment| !before.segments.contains(segment)))
        };
        if wait_until(timeout, &self.interrupt, is_there)? {
            return Ok(());
        }
        Err(Error::NoFile {
            path: path.to_owned(),
            after: timeout,
        })
    }
}

/// What a path needs, if the server or the policy knows it, and can hold it open where that is wanted.
/// Of a path as the server has it.
fn settings_beside(current: &Current, view: &View, path: &str) -> Settings {
    match view.governing(path) {
        Some(fields) => current.settings_beside(path, fields),
        None => current.settings(path),
    }
}

fn plan_of(state: &State, wanted: &Wanted, view: &View, path: &str) -> Result<PathPlan, Error> {
    let current = wanted.at(Timestamp::now(), Vec::new());
    let none = BTreeSet::new();
    let plan = Planner::new(state, &current, view, &none).path(path)?;
    let is_known = view.entries.contains_key(path) || view.template(path)?.is_some();
    if !is_known && plan.steps.is_empty() {
        return Err(TemplateError::None(path.to_owned()).into());
    }
    let has_source = current.rule(path).is_some_and(|rule| rule.source.is_some());
    let source = view.governing(path).and_then(|entry| entry.get("source"));
    if !has_source && source.is_some_and(|source| source == "redirect") {
        return Err(Error::Redirect(path.to_owned()));
    }
    if plan.on_demand {
        view.reach.own(state.rtsp.as_ref(), path)?;
    }
    Ok(plan)
}

fn check_for_picture(state: &State, view: &View, path: &str) -> Result<(), Error> {
    let plan = plan_of(state, &state.wanted(), view, path)?;
    if plan.on_demand || view.is_available(path) {
        return Ok(());
    }
    Err(Error::NotPublished(path.to_owned()))
}

/// Whether neither the server nor the journal has such a path at the moment.
pub(super) fn is_unknown(state: &State, view: &View, path: &str) -> bool {
    !is_noted(state, path) && view.paths().all(|known| known != path)
}

fn is_noted(state: &State, path: &str) -> bool {
    state.current().named().contains(path) || state.ledger.get(path).is_some()
}

pub(super) fn check_path(path: &str) -> Result<(), Error> {
    if is_reserved(path) {
        return Err(Error::Reserved(path.chars().take(80).collect()));
    }
    path.parse::<PathName>()?;
    Ok(())
}

fn started(mut wanted: Wanted, use_case: &str, path: &str, until: Option<Timestamp>) -> Wanted {
    let lifts_stop = until.is_none() && wanted.policy.resumes_with(use_case, path);
    let used = wanted.uses.entry(path.to_owned()).or_default();
    if lifts_stop {
        used.stopped = None;
    }
    used.start(use_case, until);
    wanted
}

fn stopped(mut wanted: Wanted, path: &str, reason: &str) -> Wanted {
    wanted.uses.remove(path);
    // Off its schedule it rests, too, and must not begin by itself.
    if wanted.policy.standing(path).lasts() {
        let used = wanted.uses.entry(path.to_owned()).or_default();
        used.stopped = Some(reason.to_owned());
    }
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_that_notes_nothing_does_not_say_that_it_stays_wanted() {
        let folder = tempfile::tempdir().unwrap();
        let options = crate::commands::Options {
            api: mediamtx::api::Api::new("http://127.0.0.1:1", Duration::ZERO).unwrap(),
            rtsp: None,
            folder: folder.path().join("state"),
            timeout: Duration::ZERO,
        };
        let lifecycle = Lifecycle::new(options).unwrap();
        let error = lifecycle.stop("b", "enough").unwrap_err();
        assert!(!error.is_outage() && error.is_of_server(), "{error}");
    }
}
