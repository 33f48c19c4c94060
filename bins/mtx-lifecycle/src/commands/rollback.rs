//! Going back to what was wanted before.

use common::timestamp::Timestamp;

use super::{Error, Lifecycle, Report, Session};
use crate::apply::Scope;
use crate::journal::State;
use crate::policy::Wanted;

impl Lifecycle {
    /// Goes back to what was wanted at a revision, or to the one before the current one. 0 is the server as it was.
    ///
    /// # Errors
    /// When there is no such revision any more, or the server can't be told.
    pub fn rollback(&self, revision: Option<u64>, force: bool) -> Result<(u64, Report), Error> {
        let mut session = Session::begin(self, self.options().timeout)?;
        let state = session.state();
        let number = revision.map_or_else(|| before(state), Ok);
        let found = number.and_then(|number| Ok((number, wanted_at(state, number)?)));
        if found.is_err() {
            session.converge_ended();
        }
        let (number, mut wanted) = found?;
        wanted.end_what_is_over(Timestamp::now());
        session.revise(format!("rollback {number}"), wanted)?;
        Ok((number, self.converged(session, &Scope::all(force))?))
    }
}

/// The last revision that somebody made and that wants something else than what is wanted now. What is over by now,
/// and starts that were interrupted, are nobody's wish.
fn before(state: &State) -> Result<u64, Error> {
    let now = Timestamp::now();
    let current = state.wanted().without_what_is_over(now);
    let mut others = state.revisions.iter().rev().filter(|it| {
        // What was wanted between an interrupted start and its end holds that start.
        let mut takebacks = state
            .revisions
            .iter()
            .filter_map(|by| Some((by.undoes?, by.number)));
        let is_wish = !takebacks.any(|(start, end)| (start..=end).contains(&it.number));
        is_wish && it.wanted.clone().without_what_is_over(now) != current
    });
    if let Some(revision) = others.next() {
        return Ok(revision.number);
    }
    match state.revisions.first() {
        Some(oldest) if oldest.number > 1 => Err(Error::Forgotten {
            oldest: oldest.number,
        }),
        _ => Ok(0),
    }
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
            let known = revisions.iter().map(|it| format!(", {}", it.number));
            Error::Revision {
                wanted: number,
                known: known.collect(),
            }
        })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::journal::{Record, Revision};

    const GOOD: &str = "paths: [{path: cam, useCase: viewing}]";
    const BAD: &str = "paths: [{path: cam, useCase: recording}]";

    fn revision(number: u64, policy: &str, uses: Wanted, undoes: Option<u64>) -> Revision {
        Revision {
            number,
            at: Timestamp::now(),
            what: String::new(),
            wanted: Wanted {
                policy: Arc::new(policy.parse().unwrap()),
                ..uses
            },
            undoes,
        }
    }

    fn viewed_until_now() -> Wanted {
        let mut over = Wanted::fake("", &["viewing"]);
        let used = over.uses.get_mut("cam").unwrap();
        used.until.insert("viewing".to_owned(), Timestamp::now());
        over
    }

    /// A journal with these revisions.
    fn state(revisions: impl IntoIterator<Item = Revision>) -> State {
        let mut state = State::default();
        for revision in revisions {
            state.fold(Record::Revision {
                at: revision.at,
                number: revision.number,
                what: revision.what,
                policy: Some((*revision.wanted.policy).clone()),
                uses: revision.wanted.uses,
                undoes: revision.undoes,
            });
        }
        state
    }

    #[test]
    fn rollback_takes_back_what_somebody_did_last() {
        let nothing = Wanted::default;
        let over = viewed_until_now();
        let known = state([
            revision(1, GOOD, nothing(), None),
            revision(2, GOOD, over.clone(), None),
            revision(3, BAD, over, None),
            revision(4, BAD, nothing(), None),
        ]);
        let number = before(&known).unwrap();
        assert_eq!(number, 2, "the policy, not the time that is over");
        let started = Wanted::fake("", &["recording"]);
        let known = state([
            revision(1, "", started, None),
            revision(2, "", nothing(), Some(1)),
        ]);
        let number = before(&known).unwrap();
        assert_eq!(number, 0, "nobody wants the interrupted start");
    }

    #[test]
    fn starts_that_are_over_or_were_interrupted_push_no_policy_out() {
        let mut revisions = vec![
            revision(1, "", Wanted::default(), None),
            revision(2, GOOD, Wanted::default(), None),
            revision(3, BAD, Wanted::default(), None),
        ];
        for number in (4..400).step_by(4) {
            let interrupted = Wanted::fake("", &["recording"]);
            revisions.extend([
                revision(number, BAD, viewed_until_now(), None),
                revision(number + 1, BAD, Wanted::default(), None),
                revision(number + 2, BAD, interrupted, None),
                revision(number + 3, BAD, Wanted::default(), Some(number + 2)),
            ]);
        }
        let known = state(revisions);
        assert_eq!(before(&known).unwrap(), 2);
        assert!(wanted_at(&known, 1).is_ok());
        assert_eq!(known.revision(), 399);
    }

    #[test]
    fn what_is_not_known_any_more_is_not_taken_for_nothing() {
        let policy = |number: u64| format!("useCases: {{patrol: {{closeAfter: {number}s}}}}");
        let many =
            (1..=60).map(|number| revision(number, &policy(number), Wanted::default(), None));
        let mut known = state(many);
        assert_eq!(before(&known).unwrap(), 59);
        // All of them want the same as now.
        let same = known.wanted();
        for revision in &mut known.revisions {
            revision.wanted = same.clone();
        }
        let error = before(&known).unwrap_err().to_string();
        assert!(error.contains("oldest one is 11"), "{error}");
        assert!(error.contains("rollback 0"), "{error}");
    }
}
