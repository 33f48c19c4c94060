//! A MediaMTX without streams: its configuration, who is there, and what a change does to them.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::panic_any;
use std::sync::{Arc, Mutex};

use mediamtx::api::{ApiError, Fields, PathInfo, Recordings, Segment};
use mediamtx::version::ServerVersion;
use serde_json::{Value, json};

use crate::plan::RETENTION;
use crate::server::{
    Demand, Keeper, Live, Reach, Server, View, difference, is_managed, is_on, is_template, same,
};

/// What happens to a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is rejected.
    Reject,
    /// It is lost, and nobody knows.
    Lose,
    /// It is made, and nobody knows.
    Hide,
    /// The program is killed before it, or after it.
    Kill { after: bool },
}

/// What a killed program leaves behind.
pub(super) struct Killed;

#[derive(Debug, Clone)]
pub(super) struct State {
    pub(super) version: ServerVersion,
    /// mediamtx.yml.
    pub(super) file: BTreeMap<String, Fields>,
    pub(super) entries: BTreeMap<String, Fields>,
    /// What there would be if nobody of this program had ever written.
    pub(super) shadow: BTreeMap<String, Fields>,
    /// Settings of others in entries that this program has added.
    pub(super) adopted: BTreeMap<String, Fields>,
    pub(super) viewers: BTreeMap<String, usize>,
    pub(super) published: BTreeSet<String>,
    /// On-demand sources that have not been closed yet.
    pub(super) lingering: BTreeSet<String>,
    /// The n-th write from now on.
    pub(super) fault: Option<(usize, Fault)>,
    /// The journal at work.
    pub(super) actor: String,
    pub(super) hurt: Vec<String>,
    /// Paths with recorded files.
    files: BTreeSet<String>,
    segments: usize,
    /// Whether nothing may be recorded, and how often that was tried.
    pub(super) forbids_recording: Option<usize>,
}

/// The server, which several programs share.
#[derive(Debug, Clone)]
pub(super) struct Model(Arc<Mutex<State>>);

pub(super) fn defaults() -> Fields {
    let defaults = json!({
        "source": "publisher", "sourceOnDemand": false, "record": false, "recordSegmentDuration": "1h0m0s",
        "recordDeleteAfter": "1d", "runOnDemand": "", "runOnDemandRestart": false,
        "runOnDemandStartTimeout": "10s", "runOnDemandCloseAfter": "10s", "maxReaders": 0, "runOnAvailable": "", "rtspTransport": "automatic",
    });
    defaults.as_object().cloned().unwrap_or_default()
}

fn with_defaults(fields: &Fields) -> Fields {
    let mut all = defaults();
    all.extend(fields.clone());
    all
}

impl Model {
    pub(super) fn new(version: &str, file: &Value) -> Self {
        let file = file.as_object().unwrap().iter();
        let file: BTreeMap<_, _> = file
            .map(|(name, fields)| (name.clone(), with_defaults(fields.as_object().unwrap())))
            .collect();
        Self(Arc::new(Mutex::new(State {
            version: ServerVersion::Known(version.parse().unwrap()),
            entries: file.clone(),
            shadow: file.clone(),
            file,
            adopted: BTreeMap::new(),
            viewers: BTreeMap::new(),
            published: BTreeSet::new(),
            lingering: BTreeSet::new(),
            fault: None,
            actor: String::new(),
            hurt: Vec::new(),
            files: BTreeSet::new(),
            segments: 0,
            forbids_recording: None,
        })))
    }

    pub(super) fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// A write with whatever happens to it.
    fn write(
        &self,
        entry: &str,
        make: impl FnOnce(&mut State) -> Result<(), ApiError>,
    ) -> Result<(), ApiError> {
        let (result, is_killed) = self.with(|state| {
            state.check_owner(entry);
            let fault = match &mut state.fault {
                Some((0, fault)) => Some(*fault),
                Some((left, _)) => {
                    *left -= 1;
                    None
                }
                None => None,
            };
            if fault.is_some() {
                state.fault = None;
            }
            let lost = || ApiError::Failed {
                url: entry.to_owned(),
                status: 504,
                message: String::new(),
            };
            match fault {
                None => (make(state), false),
                Some(Fault::Reject) => (Err(rejected(entry)), false),
                Some(Fault::Lose) => (Err(lost()), false),
                Some(Fault::Hide) => (make(state).and(Err(lost())), false),
                Some(Fault::Kill { after: false }) => (Ok(()), true),
                Some(Fault::Kill { after: true }) => (make(state), true),
            }
        });
        if is_killed {
            panic_any(Killed);
        }
        result
    }
}

fn retention(fields: &Fields) -> Fields {
    let known = fields
        .iter()
        .filter(|(name, _)| RETENTION.contains(&name.as_str()));
    known
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

fn rejected(entry: &str) -> ApiError {
    ApiError::Rejected {
        url: entry.to_owned(),
        message: ": no".to_owned(),
    }
}

impl State {
    fn check_owner(&mut self, entry: &str) {
        let owner = Keeper::parse(entry).map(|keeper| keeper.journal);
        if owner.is_some_and(|owner| owner != self.actor) {
            self.hurt.push(format!("{} writes to {entry}", self.actor));
        }
        if is_template(entry) {
            self.hurt.push(format!("{entry} is for many paths"));
        }
    }

    /// The entry of a path, as MediaMTX finds it.
    pub(super) fn conf_name(&self, path: &str) -> Option<String> {
        let own = self.entries.contains_key(path).then(|| path.to_owned());
        own.or_else(|| {
            let catch_all = "all_others".to_owned();
            self.entries.contains_key(&catch_all).then_some(catch_all)
        })
    }

    fn conf(&self, path: &str) -> Option<&Fields> {
        self.entries.get(&self.conf_name(path)?)
    }

    pub(super) fn is_recorded(&self, path: &str) -> bool {
        self.conf(path).is_some_and(|it| is_on(it, "record"))
    }

    pub(super) fn can_be_published(&self, path: &str) -> bool {
        self.conf(path)
            .is_some_and(|it| Demand::of(it) == Demand::None)
    }

    fn keepers(&self, path: &str) -> usize {
        let keepers = self.entries.keys().filter_map(|entry| Keeper::parse(entry));
        keepers.filter(|keeper| keeper.path == path).count()
    }

    pub(super) fn viewers(&self, path: &str) -> usize {
        self.viewers.get(path).copied().unwrap_or_default()
    }

    pub(super) fn is_available(&self, path: &str) -> bool {
        if let Some(keeper) = Keeper::parse(path) {
            return self.entries.contains_key(path) && self.is_available(keeper.path);
        }
        let Some(conf) = self.conf(path) else {
            return false;
        };
        if Demand::of(conf) == Demand::None {
            return self.published.contains(path);
        }
        let is_wanted = self.viewers(path) + self.keepers(path) > 0;
        is_wanted || self.lingering.contains(path) || self.published.contains(path)
    }

    /// A change of the configuration, with what it does to those who are there (`doReloadConf` of MediaMTX).
    pub(super) fn change(
        &mut self,
        is_ours: bool,
        make: impl FnOnce(&mut BTreeMap<String, Fields>),
    ) {
        let present: BTreeSet<String> = self
            .viewers
            .keys()
            .chain(&self.published)
            .cloned()
            .collect();
        let before: BTreeMap<_, _> = present
            .iter()
            .map(|path| (path.clone(), self.conf(path).cloned()))
            .collect();
        let available: Vec<_> = self
            .entries
            .keys()
            .filter(|path| self.is_available(path))
            .cloned()
            .collect();
        self.record();
        let retentions = self.retentions();
        make(&mut self.entries);
        if is_ours {
            self.check_retentions(&retentions);
        }
        for (path, before) in before {
            let survives = match (&before, self.conf(&path)) {
                (Some(before), Some(after)) => difference(before, after)
                    .keys()
                    .all(|name| self.version.is_hot(name)),
                _ => false,
            };
            if survives {
                continue;
            }
            let is_there = self.viewers(&path) > 0 || self.published.contains(&path);
            if is_ours && is_there {
                self.hurt.push(format!("{path} was recreated"));
            }
            self.viewers.remove(&path);
            self.published.remove(&path);
            self.lingering.remove(&path);
        }
        // An on-demand source that nobody wants any more goes on for a while.
        for path in available {
            let on_demand = self
                .conf(&path)
                .is_some_and(|it| Demand::of(it) != Demand::None);
            if on_demand
                && Keeper::parse(&path).is_none()
                && self.keepers(&path) + self.viewers(&path) == 0
            {
                self.lingering.insert(path);
            }
        }
    }

    /// Files of what is recorded at the moment.
    fn record(&mut self) {
        let own = self.entries.keys().chain(&self.published).cloned();
        let records =
            |path: &String| !is_template(path) && self.is_recorded(path) && self.is_available(path);
        let recorded: Vec<String> = own.filter(records).collect();
        self.files.extend(recorded);
    }

    /// How long the files of each path are kept, and where MediaMTX looks for them; nothing if it does not.
    fn retentions(&self) -> BTreeMap<String, Option<Fields>> {
        let of = |path: &String| (path.clone(), self.conf(path).map(retention));
        self.files.iter().map(of).collect()
    }

    /// Nobody's files lose what was promised of them because it has become what others want.
    fn check_retentions(&mut self, before: &BTreeMap<String, Option<Fields>>) {
        for (path, after) in self.retentions() {
            let shadow = self.shadow.get(&path);
            let shadow = shadow.or_else(|| self.shadow.get("all_others"));
            let is_given_up = after.is_none() || after == shadow.map(retention);
            if before[&path].is_some() && before[&path] != after && is_given_up {
                self.hurt
                    .push(format!("files of {path} lost their retention"));
            }
        }
    }

    /// MediaMTX has deleted all recorded files.
    pub(super) fn expire(&mut self) {
        self.files.clear();
    }

    fn live(&self) -> Live {
        let mut names: BTreeSet<String> = self
            .viewers
            .keys()
            .chain(&self.published)
            .cloned()
            .collect();
        let own = self.entries.keys().filter(|name| !is_template(name));
        names.extend(own.cloned());
        let info = |name: String| {
            let reader = json!({"type": "rtspSession", "id": "1"});
            let readers = self.viewers(&name) + self.keepers(&name);
            let info: PathInfo = serde_json::from_value(json!({
                "name": name, "confName": self.conf_name(&name)?, "available": self.is_available(&name),
                "readers": vec![reader; readers],
            }))
            .unwrap();
            Some((name, info))
        };
        names.into_iter().filter_map(info).collect()
    }

    /// Somebody else changes a setting.
    pub(super) fn others_patch(&mut self, path: &str, name: &str, value: &Value) {
        if !self.entries.contains_key(path) {
            return;
        }
        let set = |entries: &mut BTreeMap<String, Fields>| {
            if let Some(fields) = entries.get_mut(path) {
                fields.insert(name.to_owned(), value.clone());
            }
        };
        self.change(false, set);
        if self.shadow.contains_key(path) {
            set(&mut self.shadow);
        } else {
            let adopted = self.adopted.entry(path.to_owned()).or_default();
            adopted.insert(name.to_owned(), value.clone());
        }
    }

    pub(super) fn restart(&mut self) {
        self.entries = self.file.clone();
        self.shadow = self.file.clone();
        self.adopted.clear();
        self.everybody_leaves();
    }

    pub(super) fn everybody_leaves(&mut self) {
        self.viewers.clear();
        self.published.clear();
        self.lingering.clear();
    }

    /// What is otherwise than if this program had never been there.
    pub(super) fn leftovers(&self) -> Vec<String> {
        let mut leftovers = Vec::new();
        let names: BTreeSet<_> = self.entries.keys().chain(self.shadow.keys()).collect();
        for name in names {
            if let Some(adopted) = self.adopted.get(name) {
                let empty = Fields::new();
                let entry = self.entries.get(name).unwrap_or(&empty);
                let lost = difference(entry, adopted);
                leftovers.extend(
                    lost.keys()
                        .map(|field| format!("others' {name}.{field} was lost")),
                );
                continue;
            }
            match (self.entries.get(name), self.shadow.get(name)) {
                (Some(is), Some(was)) => {
                    let differs = |field: &&String| {
                        let value =
                            |fields: &Fields| fields.get(*field).cloned().unwrap_or_default();
                        !same(field, &value(is), &value(was))
                    };
                    let fields: BTreeSet<_> = is.keys().chain(was.keys()).collect();
                    leftovers.extend(fields.iter().filter(|it| differs(it)).map(|field| {
                        format!(
                            "{name}.{field} is {:?} and was {:?}",
                            is.get(*field),
                            was.get(*field)
                        )
                    }));
                }
                (Some(_), None) => leftovers.push(format!("{name} is left")),
                (None, _) => leftovers.push(format!("{name} is gone")),
            }
        }
        leftovers
    }
}

impl Server for Model {
    fn look(&self) -> Result<View, ApiError> {
        self.with(|state| {
            let visible = |(name, fields): (&String, &Fields)| {
                let mut fields = fields.clone();
                if !is_template(name) {
                    fields.retain(|name, _| is_managed(name));
                }
                (name.clone(), fields)
            };
            let global = json!({"rtsp": true, "rtspAddress": "127.0.0.1:8554"});
            let global: mediamtx::api::Global = serde_json::from_value(global).unwrap();
            Ok(View {
                entries: state.entries.iter().map(visible).collect(),
                defaults: defaults(),
                reach: Reach::from(global),
                version: state.version.clone(),
                live: state.live(),
            })
        })
    }

    fn live(&self) -> Result<Live, ApiError> {
        Ok(self.with(|state| state.live()))
    }

    fn entry(&self, name: &str) -> Result<Option<Fields>, ApiError> {
        Ok(self.with(|state| state.entries.get(name).cloned()))
    }

    fn add(&self, name: &str, fields: &Fields) -> Result<(), ApiError> {
        self.write(name, |state| {
            if state.entries.contains_key(name) {
                return Err(rejected(name));
            }
            let fields = with_defaults(fields);
            state.change(true, |entries| {
                entries.insert(name.to_owned(), fields);
            });
            Ok(())
        })
    }

    fn patch(&self, name: &str, fields: &Fields) -> Result<(), ApiError> {
        if fields.is_empty() {
            return Ok(());
        }
        self.write(name, |state| {
            if !state.entries.contains_key(name) {
                let url = name.to_owned();
                return Err(ApiError::NotFound { url });
            }
            if let Some(tries) = &mut state.forbids_recording
                && is_on(fields, "record")
            {
                *tries += 1;
                return Err(rejected(name));
            }
            state.change(true, |entries| {
                if let Some(entry) = entries.get_mut(name) {
                    entry.extend(fields.clone());
                }
            });
            Ok(())
        })
    }

    fn remove(&self, name: &str) -> Result<(), ApiError> {
        self.write(name, |state| {
            if !state.entries.contains_key(name) {
                let url = name.to_owned();
                return Err(ApiError::NotFound { url });
            }
            state.change(true, |entries| {
                entries.remove(name);
            });
            Ok(())
        })
    }

    fn recordings(&self, path: &str) -> Result<Recordings, ApiError> {
        Ok(self.with(|state| {
            state.record();
            if !state.files.contains(path) {
                return Recordings {
                    segments: Vec::new(),
                };
            }
            state.segments += 1;
            let segment = |number: usize| Segment {
                start: format!("2026-11-21T00:00:{:02}Z", number % 60),
            };
            Recordings {
                segments: (0..state.segments).map(segment).collect(),
            }
        }))
    }

    fn ping(&self) -> Result<(), ApiError> {
        Ok(())
    }
}
