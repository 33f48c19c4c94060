//! What MediaMTX has at the moment: its configuration and what runs.

mod governing;

use std::collections::BTreeMap;

use mediamtx::api::{Api, ApiError, Client, Fields, PathInfo};
use serde::Deserialize;

use crate::fields::{is_managed, is_on, text};
use crate::keeper;
use crate::wanted::Demand;

pub use governing::{GoverningError, Template};

/// One look at the server.
#[derive(Debug, Clone)]
pub struct View {
    /// The entries under `paths`, by name. Of an entry for one path, the settings that a policy can touch.
    pub entries: BTreeMap<String, Fields>,
    /// What an entry has that does not say otherwise.
    pub defaults: Fields,
    live: BTreeMap<String, PathInfo>,
}

/// Who would be hurt if a path were destroyed now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Busy {
    /// Readers, except for the server's own.
    pub viewers: usize,
    /// Publishers and running sources.
    pub publishers: usize,
    /// Running recordings.
    pub recordings: usize,
}

impl Busy {
    /// Whether there is nobody.
    #[must_use]
    pub fn is_idle(self) -> bool {
        self == Self::default()
    }
}

impl std::fmt::Display for Busy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let count = |number: usize, one: &str| match number {
            1 => format!("1 {one}"),
            _ => format!("{number} {one}s"),
        };
        write!(
            f,
            "{}, {}, {}",
            count(self.viewers, "viewer"),
            count(self.publishers, "publisher"),
            count(self.recordings, "recording")
        )
    }
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
    /// Asks the server.
    ///
    /// # Errors
    /// When it does not answer as it should.
    pub fn look(api: &Api) -> Result<Self, ApiError> {
        let entries: Vec<Entry> = api.path_configs()?;
        let defaults = api.path_defaults()?;
        Ok(Self {
            entries: entries
                .into_iter()
                .map(|entry| (entry.name, entry.fields))
                .collect(),
            defaults,
            live: live(api)?,
        })
    }

    /// The same, with what runs now.
    ///
    /// # Errors
    /// When the server does not answer as it should.
    pub fn look_again(&self, api: &Api) -> Result<Self, ApiError> {
        let mut view = self.clone();
        view.live = live(api)?;
        Ok(view)
    }

    /// A path as it runs, if it does.
    #[must_use]
    pub fn live(&self, path: &str) -> Option<&PathInfo> {
        self.live.get(path)
    }

    /// The names of all paths that exist, but for the suite's own.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        let configured = self.entries.keys().filter(|name| !is_template(name));
        let live = self.live.keys();
        let all: std::collections::BTreeSet<_> = configured.chain(live).collect();
        all.into_iter()
            .map(String::as_str)
            .filter(|name| keeper::kept(name).is_none())
    }

    /// Whether a stream is there.
    #[must_use]
    pub fn is_available(&self, path: &str) -> bool {
        self.live(path).is_some_and(PathInfo::is_available)
    }

    /// Whether the server itself holds the path.
    #[must_use]
    pub fn is_kept(&self, path: &str) -> bool {
        self.is_available(&keeper::name(path))
    }

    /// Who watches, publishes and records.
    #[must_use]
    pub fn busy(&self, path: &str) -> Busy {
        let Some(live) = self.live(path) else {
            return Busy::default();
        };
        let own = usize::from(self.is_kept(path)).min(live.readers.len());
        // An on-demand path of a regular expression exists only while somebody is on it, or waits for its source.
        let settings = self.entries.get(&live.conf_name);
        let on_demand = settings.is_some_and(|fields| Demand::of(fields) != Demand::None);
        let waits = is_template(&live.conf_name) && on_demand && !live.is_available();
        let records = settings.is_some_and(|fields| is_on(fields, "record"));
        Busy {
            viewers: (live.readers.len() - own).max(usize::from(waits)),
            publishers: usize::from(live.is_available()),
            recordings: usize::from(live.is_available() && records),
        }
    }

    /// Those who watch, but for the server itself.
    #[must_use]
    pub fn viewers(&self, path: &str) -> usize {
        self.busy(path).viewers
    }

    /// What kind of source it has.
    #[must_use]
    pub fn source_kind(&self, path: &str) -> Option<&str> {
        let source = self.live(path)?.source.as_ref();
        source.map(|Client { kind, .. }| kind.as_str())
    }
}

fn live(api: &Api) -> Result<BTreeMap<String, PathInfo>, ApiError> {
    let paths = api.paths()?.into_iter();
    Ok(paths.map(|path| (path.name.clone(), path)).collect())
}

/// Whether an entry is for many paths.
#[must_use]
pub fn is_template(entry: &str) -> bool {
    entry.starts_with('~') || matches!(entry, "all" | "all_others")
}

#[cfg(test)]
impl View {
    /// A server with these entries and these lines of its path list.
    #[expect(clippy::missing_panics_doc, reason = "for tests only")]
    pub fn fake(entries: &serde_json::Value, live: &serde_json::Value) -> Self {
        let entries = entries.as_object().unwrap().iter();
        let live: Vec<PathInfo> = serde_json::from_value(live.clone()).unwrap();
        Self {
            entries: entries
                .map(|(name, fields)| (name.clone(), fields.as_object().unwrap().clone()))
                .collect(),
            defaults:
                serde_json::json!({"source": "publisher", "record": false, "runOnDemand": ""})
                    .as_object()
                    .unwrap()
                    .clone(),
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
            &json!({"cam": {"record": true}, "~^x$": {"runOnDemand": "y"}}),
            &json!([
                {"name": "cam", "confName": "cam", "available": true, "readers": [reader, reader]},
                {"name": "lifecycle/keep/cam", "confName": "lifecycle/keep/cam", "available": true},
                {"name": "x", "confName": "~^x$", "available": false},
            ]),
        );
        let busy = view.busy("cam");
        assert_eq!((busy.viewers, busy.publishers, busy.recordings), (1, 1, 1));
        assert_eq!(busy.to_string(), "1 viewer, 1 publisher, 1 recording");
        assert!(!view.busy("x").is_idle(), "somebody waits for its source");
        assert!(view.busy("nowhere").is_idle());
        assert_eq!(view.paths().collect::<Vec<_>>(), ["cam", "x"]);
    }
}
