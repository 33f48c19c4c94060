//! Journals of mtx-lifecycle 0.1 as first released, which noted what was planned instead of what was written.

use std::collections::BTreeMap;

use mediamtx::api::Fields;
use serde::Deserialize;
use serde_json::Value;

use super::state::State;
use crate::ledger::{Change, Field, Owned};
use crate::server::same;

/// The records that have changed since; the others are read as they are.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", tag = "record")]
pub(super) enum OldRecord {
    Intent {
        entry: String,
        change: Change,
        #[serde(default)]
        touched: Option<Touched>,
    },
    Done {
        entry: String,
        outcome: OldOutcome,
        #[serde(default)]
        touched: Option<Touched>,
    },
    /// Held open until a moment that has passed since.
    Warm {},
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum OldOutcome {
    Holds,
    Rejected(String),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Touched {
    added: bool,
    before: Fields,
    written: Fields,
    #[serde(default)]
    base: Fields,
}

impl State {
    /// Takes an old record in.
    pub(super) fn fold_old(&mut self, record: OldRecord) {
        match record {
            OldRecord::Intent {
                entry,
                change,
                touched: Some(touched),
            } => {
                let owned = owned(self.ledger.get(&entry), &touched, change.fields());
                self.ledger.set(&entry, Some(owned));
            }
            OldRecord::Done {
                entry,
                outcome,
                touched,
            } => {
                let owned = touched.map(|it| owned(self.ledger.get(&entry), &it, None));
                self.ledger.set(&entry, owned);
                if let OldOutcome::Rejected(why) = outcome {
                    self.rejected.insert(entry, why);
                }
            }
            OldRecord::Intent { touched: None, .. } | OldRecord::Warm {} => {}
        }
    }
}

/// Every value that was ever written may stand there; and such a value was never what others wanted, whatever the
/// old program took it for.
fn owned(known: Option<&Owned>, touched: &Touched, change: Option<&Fields>) -> Owned {
    let mut fields = BTreeMap::new();
    let names = touched.written.keys().chain(touched.base.keys());
    for name in names {
        let known = known.and_then(|known| known.fields.get(name));
        let mut ours = known.map(|field| field.ours.clone()).unwrap_or_default();
        let written = [Some(&touched.written), Some(&touched.base), change];
        for value in written.into_iter().flatten().filter_map(|it| it.get(name)) {
            if !ours.contains(value) {
                ours.push(value.clone());
            }
        }
        let before = touched.before.get(name).or(touched.base.get(name));
        let before = before.cloned().unwrap_or(Value::Null);
        let is_ours = known.is_some_and(|it| it.ours.iter().any(|it| same(name, it, &before)));
        let original = match known {
            Some(known) if is_ours => known.original.clone(),
            _ => before,
        };
        fields.insert(name.clone(), Field { original, ours });
    }
    Owned {
        created: touched.added,
        fields,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fold(lines: &[Value]) -> State {
        let mut state = State::default();
        for line in lines {
            state.fold_old(serde_json::from_value(line.clone()).unwrap());
        }
        state
    }

    /// As the old program wrote it: it planned two settings, wrote one, and then took its own for somebody else's.
    #[test]
    fn what_was_planned_and_not_written_comes_back_all_the_same() {
        let touched = |before: &str| {
            json!({
                "added": false, "before": {"runOnDemandCloseAfter": before, "record": false},
                "written": {"runOnDemandCloseAfter": "5m", "record": true},
            })
        };
        let patch = |fields: Value| json!({"patch": fields});
        let intent = |change: Value, touched: Value| {
            json!({
                "record": "intent", "at": "2026-11-21T00:00:00.000Z", "entry": "cam", "change": change,
                "touched": touched,
            })
        };
        let state = fold(&[
            intent(
                patch(json!({"runOnDemandCloseAfter": "5m"})),
                touched("10s"),
            ),
            intent(patch(json!({"record": true})), touched("5m")),
        ]);
        let current = json!({"runOnDemandCloseAfter": "5m0s", "record": true});
        let owned = state.ledger.get("cam").unwrap();
        let standing = owned.standing(current.as_object().unwrap());
        assert_eq!(standing.originals()["runOnDemandCloseAfter"], "10s");
        assert_eq!(standing.originals()["record"], false);
    }

    #[test]
    fn an_entry_that_was_added_is_ours_to_remove() {
        let state = fold(&[
            json!({"record": "warm", "path": "cam", "until": 7}),
            json!({
                "record": "done", "at": "2026-11-21T00:00:00.000Z", "entry": "lifecycle/keep/cam", "outcome": "holds",
                "touched": {"added": true, "before": {}, "written": {"source": "rtsp://h/cam"}},
            }),
        ]);
        let owned = state.ledger.get("lifecycle/keep/cam").unwrap();
        let current = json!({"source": "rtsp://h/cam"});
        assert!(owned.standing(current.as_object().unwrap()).created);
    }
}
