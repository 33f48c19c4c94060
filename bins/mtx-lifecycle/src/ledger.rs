//! Which entries and values of the server this program is responsible for, field by field.
//!
//! It changes by writes that were executed or may have been, for exactly their fields, and by nothing else. Whatever
//! is not in it is somebody else's.

use std::collections::BTreeMap;

use mediamtx::api::Fields;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::server::{is_managed, same};

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

impl Change {
    /// What is written.
    #[must_use]
    pub fn fields(&self) -> Option<&Fields> {
        match self {
            Self::Add(fields) | Self::Patch(fields) => Some(fields),
            Self::Remove => None,
        }
    }
}

/// All entries that this program has written to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ledger {
    entries: BTreeMap<String, Owned>,
}

/// What of one entry is this program's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owned {
    /// The entry may be there because it was added.
    pub created: bool,
    /// The settings that were written.
    pub fields: BTreeMap<String, Field>,
}

/// A setting that was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// What others want there.
    pub original: Value,
    /// What may stand on the server because it was written.
    pub ours: Vec<Value>,
}

impl Field {
    fn is_ours(&self, name: &str, value: &Value) -> bool {
        self.ours.iter().any(|ours| same(name, ours, value))
    }
}

impl Ledger {
    /// What is known of an entry.
    #[must_use]
    pub fn get(&self, entry: &str) -> Option<&Owned> {
        self.entries.get(entry)
    }

    /// The names of all entries.
    pub fn entries(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// Each entry with what is known of it.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &Owned)> {
        self.entries.iter()
    }

    /// A write is about to be executed; `originals` are what others want of its fields.
    pub fn may_be_written(&mut self, entry: &str, change: &Change, originals: &Fields) {
        let Some(fields) = change.fields() else {
            return;
        };
        let owned = self.entries.entry(entry.to_owned()).or_default();
        if let Change::Add(fields) = change {
            owned.created = true;
            // There is no such entry, so that nothing of one that was there before can stand.
            owned.fields.retain(|name, _| fields.contains_key(name));
        }
        for (name, value) in fields {
            let original = originals.get(name).cloned().unwrap_or(Value::Null);
            let field = owned.fields.entry(name.clone()).or_insert_with(|| Field {
                original: original.clone(),
                ours: Vec::new(),
            });
            field.original = original;
            if !field.is_ours(name, value) {
                field.ours.push(value.clone());
            }
        }
    }

    /// A write was executed: of its fields, nothing else stands on the server.
    pub fn is_written(&mut self, entry: &str, change: &Change) {
        let Some(fields) = change.fields() else {
            self.entries.remove(entry);
            return;
        };
        let Some(owned) = self.entries.get_mut(entry) else {
            return;
        };
        let created = owned.created;
        for (name, value) in fields {
            if let Some(field) = owned.fields.get_mut(name) {
                field.ours = vec![value.clone()];
            }
        }
        // What was put back is others' again.
        owned.fields.retain(|name, field| {
            let is_original = field.is_ours(name, &field.original) && field.ours.len() == 1;
            created || !(fields.contains_key(name) && is_original)
        });
        if !created && owned.fields.is_empty() {
            self.entries.remove(entry);
        }
    }

    /// Somebody else has made the entry theirs, so that it is not removed any more.
    pub fn disown(&mut self, entry: &str) {
        if let Some(owned) = self.entries.get_mut(entry) {
            owned.created = false;
        }
    }

    /// What is known of an entry is what it was before.
    pub fn set(&mut self, entry: &str, owned: Option<Owned>) {
        match owned {
            Some(owned) => self.entries.insert(entry.to_owned(), owned),
            None => self.entries.remove(entry),
        };
    }
}

impl Owned {
    /// What of it stands on the server, where the entry has the `current` settings. A value that was not written by
    /// this program is somebody else's, and what holds without it from now on.
    #[must_use]
    pub fn standing(&self, current: &Fields) -> Self {
        let mut is_others = false;
        let mut fields = self.fields.clone();
        // A look shows nothing of an entry but what a policy can touch.
        fields.retain(|name, _| is_managed(name) || current.contains_key(name));
        fields.retain(|name, field| {
            let value = current.get(name).unwrap_or(&Value::Null);
            let stands = field.is_ours(name, value);
            is_others |= !stands && !same(name, value, &field.original);
            stands
        });
        Self {
            created: self.created && !is_others && !fields.is_empty(),
            fields,
        }
    }

    /// The settings without this program's values.
    #[must_use]
    pub fn originals(&self) -> Fields {
        let fields = self.fields.iter();
        let known = fields.filter(|(_, field)| !field.original.is_null());
        known
            .map(|(name, field)| (name.clone(), field.original.clone()))
            .collect()
    }

    /// Of an entry that was added: the settings that somebody else has changed since.
    #[must_use]
    pub fn others(&self, current: &Fields, defaults: &Fields) -> Vec<String> {
        let is_others = |name: &String, value: &Value| match self.fields.get(name) {
            Some(field) => !field.is_ours(name, value) && !same(name, value, &field.original),
            None => !same(name, value, defaults.get(name).unwrap_or(&Value::Null)),
        };
        let others = current
            .iter()
            .filter(|(name, value)| is_others(name, value));
        others.map(|(name, _)| name.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fields(value: Value) -> Fields {
        value.as_object().unwrap().clone()
    }

    fn patch(value: Value) -> Change {
        Change::Patch(fields(value))
    }

    #[test]
    fn only_the_fields_of_a_write_become_ours() {
        let mut ledger = Ledger::default();
        let change = patch(json!({"record": true}));
        ledger.may_be_written("cam", &change, &fields(json!({"record": false})));
        ledger.is_written("cam", &change);
        let current = fields(json!({"record": true, "runOnDemandCloseAfter": "10s"}));
        let standing = ledger.get("cam").unwrap().standing(&current);
        assert_eq!(standing.originals(), fields(json!({"record": false})));
        let back = patch(json!({"record": false}));
        ledger.may_be_written("cam", &back, &fields(json!({"record": false})));
        ledger.is_written("cam", &back);
        assert_eq!(ledger, Ledger::default());
    }

    #[test]
    fn of_a_write_that_nobody_knows_of_both_values_are_known() {
        let mut ledger = Ledger::default();
        let first = patch(json!({"closeAfter": "5m"}));
        let original = fields(json!({"closeAfter": "10s"}));
        ledger.may_be_written("cam", &first, &original);
        ledger.is_written("cam", &first);
        // A time-out: it may have been applied or not.
        ledger.may_be_written("cam", &patch(json!({"closeAfter": "7m"})), &original);
        for value in ["5m", "7m"] {
            let current = fields(json!({"closeAfter": value}));
            let standing = ledger.get("cam").unwrap().standing(&current);
            assert_eq!(standing.originals(), original, "{value}");
        }
        let elses = fields(json!({"closeAfter": "30s"}));
        let standing = ledger.get("cam").unwrap().standing(&elses);
        assert_eq!(standing, Owned::default());
    }

    #[test]
    fn of_an_entry_that_was_lost_and_is_added_anew_only_the_new_one_counts() {
        let mut ledger = Ledger::default();
        let changes = [
            Change::Add(fields(json!({"record": true}))),
            patch(json!({"length": "30m"})),
            Change::Add(fields(json!({"record": true}))),
        ];
        for change in &changes {
            let originals = fields(json!({"record": false, "length": "17m"}));
            ledger.may_be_written("cam", change, &originals);
            ledger.is_written("cam", change);
        }
        let current = fields(json!({"record": true, "length": "1h"}));
        assert!(ledger.get("cam").unwrap().standing(&current).created);
    }

    #[test]
    fn settings_that_a_look_does_not_show_are_nobody_elses() {
        let mut ledger = Ledger::default();
        let added = json!({"record": true, "runOnAvailable": "true"});
        ledger.may_be_written("cam", &Change::Add(fields(added)), &Fields::new());
        let standing = ledger.get("cam").unwrap();
        let standing = standing.standing(&fields(json!({"record": true})));
        assert!(standing.created);
        assert_eq!(standing.fields.keys().collect::<Vec<_>>(), ["record"]);
    }

    #[test]
    fn an_entry_that_somebody_else_has_changed_is_not_ours_to_remove() {
        let mut ledger = Ledger::default();
        let change = Change::Add(fields(json!({"record": true, "source": "x"})));
        ledger.may_be_written("cam", &change, &Fields::new());
        ledger.is_written("cam", &change);
        let owned = ledger.get("cam").unwrap();
        let current = fields(json!({"record": true, "source": "x", "maxReaders": 3}));
        assert!(owned.standing(&current).created);
        let defaults = fields(json!({"record": false, "source": "publisher", "maxReaders": 0}));
        assert_eq!(owned.others(&current, &defaults), ["maxReaders"]);
        let current = fields(json!({"record": true, "source": "y"}));
        assert!(!owned.standing(&current).created);
        // The default is somebody's value, too, where something else was copied.
        let copied = Change::Add(fields(json!({"record": true, "maxReaders": 50})));
        ledger.may_be_written("door", &copied, &fields(json!({"maxReaders": 50})));
        let current = fields(json!({"record": true, "maxReaders": 0}));
        let door = ledger.get("door").unwrap();
        assert_eq!(door.others(&current, &defaults), ["maxReaders"]);
    }
}
