//! What people ask for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mediamtx::path::PathName;
use mediamtx::timestamp::Timestamp;

use super::wait::wait_until;
use super::{Error, Lifecycle, Report, Scope, Session};
use crate::journal::{Record, State};
use crate::policy::Policy;
use crate::server::View;
use crate::wanted::{Demand, Wanted};

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
}

impl Lifecycle {
    /// Starts a use case on a path, and waits until it shows.
    ///
    /// # Errors
    /// When the server does not want it so, or the source does not come.
    pub fn start(&self, use_case: &str, path: &str) -> Result<Started, Error> {
        let start = Instant::now();
        check_path(path)?;
        let mut session = Session::begin(self, self.options.timeout)?;
        let mut wanted = session.journal.state().wanted();
        let Some(meaning) = wanted.policy.use_case(use_case) else {
            return Err(Error::UseCase {
                name: use_case.to_owned(),
                known: wanted.policy.use_case_names().join(", "),
            });
        };
        let view = View::look(&self.options.api)?;
        let files = self.options.api.recordings(path)?;
        let recorded_before = view.busy(path).recordings > 0;
        // What is unknown to the server can't be started, and must not be wanted for ever after.
        if !view.entries.contains_key(path) {
            crate::plan::plan(&started(wanted.clone(), use_case, path), &view, path, None)?;
        }
        wanted = started(wanted, use_case, path);
        session.revise(format!("start {use_case} {path}"), wanted.clone())?;
        if session.journal.state().degraded.contains(path) {
            let at = Timestamp::now();
            let path = path.to_owned();
            session.note(Record::Recovered { at, path })?;
        }
        let on_demand = demand(&wanted, &view, path)? != Demand::None;
        let warm = on_demand && !view.is_available(path);
        let report = self.start_path(&mut session, &view, path, warm);
        drop(session);
        if warm && report.is_err() {
            self.cool(path)?;
        }
        let report = report?;
        if !on_demand && !view.is_available(path) {
            return Ok(Started::Armed(report));
        }
        let patience = meaning
            .start_timeout
            .map_or(self.options.timeout, |span| span.duration());
        let patience = patience.max(self.options.timeout);
        let came = self.await_stream(path, patience);
        if warm {
            self.cool(path)?;
        }
        came?;
        let records = wanted.settings(path).record.is_some_and(|record| record.0);
        if records && !recorded_before {
            self.await_file(path, &files, patience)?;
        }
        let after = start.elapsed();
        Ok(Started::Running { after, report })
    }

    /// One path, with a keeper for the moment where no use case gives it one: so its source comes now.
    fn start_path(
        &self,
        session: &mut Session<'_>,
        view: &View,
        path: &str,
        warm: bool,
    ) -> Result<Report, Error> {
        if warm {
            let patience = i64::try_from(self.options.timeout.as_millis()).unwrap_or(i64::MAX / 4);
            let until = Timestamp::now().as_millisecond() + patience * 2;
            let path = path.to_owned();
            session.note(Record::Warm { path, until })?;
        }
        let report = session.converge(view, &Scope::of(path))?;
        let nothing = report.paths.iter().find(|path| path.done.is_empty());
        match nothing.and_then(|path| path.failed.clone()) {
            Some(why) => Err(Error::Rejected {
                path: path.to_owned(),
                why,
            }),
            None => Ok(report),
        }
    }

    /// Ends what [`Lifecycle::start_path`] has done for the moment.
    fn cool(&self, path: &str) -> Result<(), Error> {
        let mut session = Session::begin(self, self.options.timeout)?;
        session.note(Record::Warm {
            path: path.to_owned(),
            until: 0,
        })?;
        session.look_and_converge(&Scope::of(path))?;
        Ok(())
    }

    /// Stops whatever was started on a path; what the policy records by itself rests from now on, too.
    ///
    /// # Errors
    /// When the server does not want it so.
    pub fn stop(&self, path: &str, reason: &str) -> Result<Report, Error> {
        check_path(path)?;
        let mut session = Session::begin(self, self.options.timeout)?;
        let wanted = stopped(session.journal.state().wanted(), path, reason);
        session.revise(format!("stop {path}: {reason}"), wanted)?;
        session.look_and_converge(&Scope::of(path))
    }

    /// Ends one use case of a path.
    ///
    /// # Errors
    /// When the server does not want it so.
    pub fn end(&self, use_case: &str, path: &str) -> Result<Report, Error> {
        let mut session = Session::begin(self, self.options.timeout)?;
        let mut wanted = session.journal.state().wanted();
        if let Some(used) = wanted.uses.get_mut(path) {
            used.started.remove(use_case);
            if *used == crate::wanted::Use::default() {
                wanted.uses.remove(path);
            }
        }
        session.revise(format!("end {use_case} {path}"), wanted)?;
        session.look_and_converge(&Scope::of(path))
    }

    /// Puts a policy into force.
    ///
    /// # Errors
    /// When the server can't be told.
    pub fn apply(&self, policy: Policy, force: bool) -> Result<Report, Error> {
        let mut session = Session::begin(self, self.options.timeout)?;
        let mut wanted = session.journal.state().wanted();
        wanted.policy = Arc::new(policy);
        session.revise("apply".to_owned(), wanted)?;
        session.look_and_converge(&Scope::all(force))
    }

    /// Makes the server be as it is wanted, once more. As its own runOnInit this begins before its API is there.
    ///
    /// # Errors
    /// When the server can't be told.
    pub fn reconcile(&self) -> Result<Report, Error> {
        let mut session = Session::begin(self, self.options.timeout)?;
        wait_until(self.options.timeout, || {
            self.options.api.info().map(|_| true)
        })?;
        session.look_and_converge(&Scope::default())
    }

    /// Goes back to what was wanted at a revision, or to the one before the current one. 0 is the server as it was.
    ///
    /// # Errors
    /// When there is no such revision, or the server can't be told.
    pub fn rollback(&self, revision: Option<u64>, force: bool) -> Result<(u64, Report), Error> {
        let mut session = Session::begin(self, self.options.timeout)?;
        let state = session.journal.state();
        let number = revision.unwrap_or_else(|| before(state));
        let wanted = wanted_at(state, number)?;
        session.revise(format!("rollback {number}"), wanted)?;
        Ok((number, session.look_and_converge(&Scope::all(force))?))
    }
}

fn demand(wanted: &Wanted, view: &View, path: &str) -> Result<Demand, Error> {
    if let Some(fields) = view.entries.get(path) {
        return Ok(wanted.demand(path, fields));
    }
    let template = view.template(path)?;
    let fields = template.map(|template| template.fill(&view.entries[&template.entry]));
    Ok(wanted.demand(path, &fields.unwrap_or_default()))
}

fn check_path(path: &str) -> Result<(), Error> {
    match path.parse::<PathName>().is_ok() && crate::keeper::kept(path).is_none() {
        true => Ok(()),
        false => Err(Error::Path(path.chars().take(80).collect())),
    }
}

fn started(mut wanted: Wanted, use_case: &str, path: &str) -> Wanted {
    let used = wanted.uses.entry(path.to_owned()).or_default();
    used.stopped = None;
    used.started
        .entry(use_case.to_owned())
        .or_insert_with(Timestamp::now);
    wanted
}

fn stopped(mut wanted: Wanted, path: &str, reason: &str) -> Wanted {
    wanted.uses.remove(path);
    let standing = wanted.settings(path);
    let records = standing.record.is_some_and(|record| record.0);
    if records || standing.close_after == Some(crate::policy::CloseAfter::Never) {
        let used = wanted.uses.entry(path.to_owned()).or_default();
        used.stopped = Some(reason.to_owned());
    }
    wanted
}

/// The last revision that wanted something else.
fn before(state: &State) -> u64 {
    let current = state.wanted();
    let mut others = state
        .revisions
        .iter()
        .rev()
        .filter(|it| it.wanted != current);
    others.next().map_or(0, |revision| revision.number)
}

fn wanted_at(state: &State, number: u64) -> Result<Wanted, Error> {
    if number == 0 {
        return Ok(Wanted::default());
    }
    let revisions = &state.revisions;
    let found = revisions.iter().find(|revision| revision.number == number);
    found
        .map(|revision| revision.wanted.clone())
        .ok_or_else(|| {
            let known: Vec<_> = revisions.iter().map(|it| it.number.to_string()).collect();
            Error::Revision {
                wanted: number,
                known: format!("0 (the server as it was) {}", known.join(" ")),
            }
        })
}
