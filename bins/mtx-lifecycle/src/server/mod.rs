//! What MediaMTX has at the moment: its configuration and what runs. And how it is told.

mod busy;
mod fields;
mod names;
mod reach;
mod template;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use mediamtx::api::{Api, ApiError, Client, Fields, PathInfo, Recordings};
use mediamtx::version::ServerVersion;
use serde::Deserialize;

pub use busy::Busy;
pub use fields::{Demand, difference, is_managed, is_on, same, text};
pub use names::{Keeper, is_reserved, is_template};
pub use reach::{Reach, ReachError};
pub use template::{Template, TemplateError};

/// What is asked of a server and told to it.
pub trait Server: Debug + Send + Sync {
    /// Everything that a plan needs.
    ///
    /// # Errors
    /// When the server does not answer as it should.
    fn look(&self) -> Result<View, ApiError>;

    /// What runs now.
    ///
    /// # Errors
    /// When the server does not answer as it should.
    fn live(&self) -> Result<Live, ApiError>;

    /// All settings of one entry, or `None` if there is none of that name.
    ///
    /// # Errors
    /// When the server does not answer as it should.
    fn entry(&self, name: &str) -> Result<Option<Fields>, ApiError>;

    /// Adds an entry.
    ///
    /// # Errors
    /// When the server does not want it, or nobody knows whether it was added.
    fn add(&self, name: &str, fields: &Fields) -> Result<(), ApiError>;

    /// Changes settings of an entry.
    ///
    /// # Errors
    /// When the server does not want it, or nobody knows whether they were changed.
    fn patch(&self, name: &str, fields: &Fields) -> Result<(), ApiError>;

    /// Removes an entry.
    ///
    /// # Errors
    /// When the server does not want it, or nobody knows whether it was removed.
    fn remove(&self, name: &str) -> Result<(), ApiError>;

    /// What has been recorded of a path.
    ///
    /// # Errors
    /// When the server does not answer as it should.
    fn recordings(&self, path: &str) -> Result<Recordings, ApiError>;

    /// Whether the server answers at all.
    ///
    /// # Errors
    /// When it does not.
    fn ping(&self) -> Result<(), ApiError>;
}

impl Server for Api {
    fn look(&self) -> Result<View, ApiError> {
        let entries: Vec<Entry> = self.path_configs()?;
        let entries = entries.into_iter().map(|it| (it.name, it.fields));
        Ok(View {
            entries: entries.collect(),
            defaults: self.path_defaults()?,
            reach: Reach::from(self.global()?),
            version: ServerVersion::ask(self)?,
            live: Server::live(self)?,
        })
    }

    fn live(&self) -> Result<Live, ApiError> {
        let paths = self.paths()?.into_iter();
        Ok(paths.map(|path| (path.name.clone(), path)).collect())
    }

    fn entry(&self, name: &str) -> Result<Option<Fields>, ApiError> {
        self.path_config(name)
    }

    fn add(&self, name: &str, fields: &Fields) -> Result<(), ApiError> {
        self.add_path(name, fields)
    }

    fn patch(&self, name: &str, fields: &Fields) -> Result<(), ApiError> {
        self.patch_path(name, fields)
    }

    fn remove(&self, name: &str) -> Result<(), ApiError> {
        self.delete_path(name)
    }

    fn recordings(&self, path: &str) -> Result<Recordings, ApiError> {
        Self::recordings(self, path)
    }

    fn ping(&self) -> Result<(), ApiError> {
        self.paths().map(|_| ())
    }
}

/// The paths that exist, by name.
pub type Live = BTreeMap<String, PathInfo>;

/// One look at the server.
#[derive(Debug, Clone)]
pub struct View {
    /// The entries under `paths`, by name. Of an entry for one path, the settings that a policy can touch.
    pub entries: BTreeMap<String, Fields>,
    /// What an entry has that does not say otherwise.
    pub defaults: Fields,
    /// Where it reaches itself.
    pub reach: Reach,
    /// Which server this is.
    pub version: ServerVersion,
    /// What runs.
    pub live: Live,
}

#[derive(Deserialize)]
#[serde(from = "Fields")]
struct Entry {
    name: String,
    fields: Fields,
}

impl From<Fields> for Entry {
    fn from(mut fields: Fields) -> Self {
        let name = text(&fields, "name").to_owned();
        fields.remove("name");
        // Most of an entry is about cameras nobody has here. One for many paths is a model for new ones, though.
        if !is_template(&name) {
            fields.retain(|name, _| is_managed(name));
        }
        Self { name, fields }
    }
}

impl View {
    /// The names of all paths that exist, but for the suite's own.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        let configured = self.entries.keys().filter(|name| !is_template(name));
        let all: BTreeSet<_> = configured.chain(self.live.keys()).collect();
        all.into_iter()
            .map(String::as_str)
            .filter(|name| !is_reserved(name))
    }

    /// The entry that a path gets its settings from; the template's groups are not filled in.
    #[must_use]
    pub fn governing(&self, path: &str) -> Option<&Fields> {
        let template = || self.template(path).ok().flatten();
        let entry = self.entries.get(path);
        entry.or_else(|| self.entries.get(&template()?.entry))
    }

    /// Whether a stream is there.
    #[must_use]
    pub fn is_available(&self, path: &str) -> bool {
        self.live.get(path).is_some_and(PathInfo::is_available)
    }

    /// The journals other than this one that hold a path open.
    #[must_use]
    pub fn other_keepers(&self, path: &str, journal: &str) -> Vec<String> {
        let keepers = self.entries.keys().filter_map(|entry| Keeper::parse(entry));
        let others = keepers.filter(|it| it.path == path && it.journal != journal);
        others.map(|it| it.journal.to_owned()).collect()
    }

    /// Whether the server fetches a path's source all the time, whoever wants it.
    #[must_use]
    pub fn is_always_on(&self, path: &str) -> bool {
        let source = self.live.get(path).and_then(|live| live.source.as_ref());
        let entry = self.governing(path);
        source.is_some_and(|source| source.kind.ends_with("Source"))
            && entry.is_some_and(|entry| Demand::of(entry) == Demand::None)
    }

    /// Who watches, publishes and records; the keepers of the journal with this id are nobody.
    #[must_use]
    pub fn busy(&self, path: &str, journal: &str) -> Busy {
        let Some(live) = self.live.get(path) else {
            return Busy::default();
        };
        let own = self.keepers(path, journal).min(live.readers.len());
        // A path of a regular expression with a command exists only while somebody is on it, or waits for its source. With
        // a source that is fetched it stays for good (internal/core/path.go, shouldClose).
        let settings = self.entries.get(&live.conf_name);
        let has_command = settings.is_some_and(|fields| Demand::of(fields) == Demand::Command);
        let waits = is_template(&live.conf_name) && has_command && !live.is_available();
        let records = settings.is_some_and(|fields| is_on(fields, "record"));
        Busy {
            viewers: (live.readers.len() - own).max(usize::from(waits)),
            publishers: usize::from(live.is_available()),
            recordings: usize::from(live.is_available() && records),
        }
    }

    /// The same of all paths that get their settings from an entry.
    #[must_use]
    pub fn busy_of_entry(&self, entry: &str, journal: &str) -> Busy {
        if !is_template(entry) {
            return self.busy(entry, journal);
        }
        let governed = self.live.values().filter(|it| it.conf_name == entry);
        governed
            .map(|it| self.busy(&it.name, journal))
            .fold(Busy::default(), Busy::and)
    }

    /// How many of a journal's keepers read a path.
    fn keepers(&self, path: &str, journal: &str) -> usize {
        let name = Keeper { journal, path }.name();
        usize::from(self.is_available(&name))
    }

    /// What kind of source it has.
    #[must_use]
    pub fn source_kind(&self, path: &str) -> Option<&str> {
        let source = self.live.get(path)?.source.as_ref();
        source.map(|Client { kind, .. }| kind.as_str())
    }
}

#[cfg(test)]
impl View {
    /// A MediaMTX v1.19.3 with these entries and these lines of its path list.
    #[expect(clippy::missing_panics_doc, reason = "for tests only")]
    pub fn fake(entries: &serde_json::Value, live: &serde_json::Value) -> Self {
        let entries = entries.as_object().unwrap().iter();
        let live: Vec<PathInfo> = serde_json::from_value(live.clone()).unwrap();
        let defaults =
            serde_json::json!({"source": "publisher", "record": false, "runOnDemand": ""});
        let global = serde_json::json!({"rtsp": true, "rtspAddress": "127.0.0.1:8554"});
        Self {
            entries: entries
                .map(|(name, fields)| (name.clone(), fields.as_object().unwrap().clone()))
                .collect(),
            defaults: defaults.as_object().unwrap().clone(),
            reach: Reach::from(serde_json::from_value::<mediamtx::api::Global>(global).unwrap()),
            version: ServerVersion::Known("v1.19.3".parse().unwrap()),
            live: live
                .into_iter()
                .map(|path| (path.name.clone(), path))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_server_that_holds_a_path_is_no_viewer_of_it() {
        let reader = json!({"type": "rtspSession", "id": "1"});
        let view = View::fake(
            &json!({
                "cam": {"record": true},
                "~^x$": {"runOnDemand": "y"},
                "~^f$": {"source": "rtsp://h/$G1", "sourceOnDemand": true},
            }),
            &json!([
                {"name": "cam", "confName": "cam", "available": true, "readers": [reader, reader]},
                {"name": "lifecycle/me/cam", "confName": "lifecycle/me/cam", "available": true},
                {"name": "x", "confName": "~^x$", "available": false},
                {"name": "f", "confName": "~^f$", "available": false},
            ]),
        );
        let busy = view.busy("cam", "me");
        assert_eq!((busy.viewers, busy.publishers, busy.recordings), (1, 1, 1));
        assert_eq!(busy.to_string(), "1 viewer, 1 publisher, 1 recording");
        assert!(
            !view.busy("x", "me").is_idle(),
            "somebody waits for its source"
        );
        assert!(view.busy("f", "me").is_idle(), "it has been watched once");
        assert_eq!(
            view.busy("cam", "other").viewers,
            2,
            "another's keeper is a viewer"
        );
        assert_eq!(view.busy_of_entry("~^x$", "me").viewers, 1);
        assert!(view.busy("nowhere", "me").is_idle());
        assert_eq!(view.paths().collect::<Vec<_>>(), ["cam", "f", "x"]);
    }
}
