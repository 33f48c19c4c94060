//! A configuration of MediaMTX, be it a file's or a running server's, as far as doctor looks at it.

use mediamtx::event::EventName;
use serde_json::{Map, Value};

/// Settings by their names in mediamtx.yml.
pub(super) type Settings = Map<String, Value>;

/// MediaMTX's defaults (`setDefaults` in its `internal/conf/conf.go`).
const DEFAULTS: [(&str, &str); 11] = [
    ("api", "no"),
    ("apiAddress", ":9997"),
    ("apiEncryption", "no"),
    ("rtsp", "yes"),
    ("rtspAddress", ":8554"),
    ("rtspsAddress", ":8322"),
    ("rtspEncryption", "no"),
    ("rtmp", "yes"),
    ("rtmpAddress", ":1935"),
    ("rtmpsAddress", ":1936"),
    ("rtmpEncryption", "no"),
];

/// Hooks of a path, those of servers before v1.19.3 among them, and the event of each.
const PATH_HOOKS: [(&str, EventName); 13] = [
    ("runOnInit", EventName::Init),
    ("runOnDemand", EventName::Demand),
    ("runOnUnDemand", EventName::Undemand),
    ("runOnAvailable", EventName::Ready),
    ("runOnUnavailable", EventName::NotReady),
    ("runOnReady", EventName::Ready),
    ("runOnNotReady", EventName::NotReady),
    ("runOnOnline", EventName::Online),
    ("runOnOffline", EventName::Offline),
    ("runOnRead", EventName::Read),
    ("runOnUnread", EventName::Unread),
    ("runOnRecordSegmentCreate", EventName::SegmentCreate),
    ("runOnRecordSegmentComplete", EventName::SegmentComplete),
];

const GLOBAL_HOOKS: [(&str, EventName); 2] = [
    ("runOnConnect", EventName::Connect),
    ("runOnDisconnect", EventName::Disconnect),
];

/// Where an entry's defaults stand.
pub(super) const PATH_DEFAULTS: &str = "pathDefaults";

#[derive(Debug, Default)]
pub(super) struct Configuration {
    pub(super) global: Settings,
    pub(super) defaults: Settings,
    pub(super) entries: Vec<Entry>,
    /// Settings that are a variable's, each with the entry or `pathDefaults` that it is in.
    pub(super) of_variables: Vec<(Option<String>, &'static str)>,
    /// How words such as `no` are written in the file, each with its setting.
    pub(super) styles: Vec<(String, Style)>,
}

/// Whether a word is in quotes: a server takes `no` for false, and `'no'` for a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    Quoted,
    Unknown,
}

/// An entry under `paths`.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    /// What it does not take from `pathDefaults`.
    pub(super) settings: Settings,
    /// Written as a name alone, `cam:`, which YAML reads as null, and not as `cam: {}`.
    pub(super) is_null: bool,
}

/// A hook that is set somewhere.
#[derive(Debug)]
pub(super) struct Hook<'a> {
    /// The entry, or `pathDefaults`; none for hooks of connections.
    pub(super) owner: Option<&'a str>,
    pub(super) setting: &'static str,
    pub(super) event: EventName,
    pub(super) line: &'a str,
}

impl Hook<'_> {
    /// How messages name it.
    pub(super) fn place(&self) -> String {
        match self.owner {
            Some(owner) => format!("{owner}: {}", self.setting),
            None => self.setting.to_owned(),
        }
    }

    pub(super) fn is_default(&self) -> bool {
        self.owner == Some(PATH_DEFAULTS)
    }
}

impl Entry {
    /// What a regular expression matches on, if the entry is one (`validate` in MediaMTX's `internal/conf/path.go`).
    pub(super) fn expression(&self) -> Option<&str> {
        match self.name.as_str() {
            "all" | "all_others" => Some("^.*$"),
            name => name.strip_prefix('~'),
        }
    }

    /// Whether it has a hook from `pathDefaults` alone.
    pub(super) fn inherits(&self, hook: &Hook<'_>) -> bool {
        hook.is_default() && !self.settings.contains_key(hook.setting)
    }

    /// Whether it says nothing but what to start with the server, so that it may be no path of any stream.
    pub(super) fn is_for_startup(&self) -> bool {
        const SETTINGS: [&str; 2] = ["runOnInit", "runOnInitRestart"];
        self.settings.contains_key(SETTINGS[0])
            && self
                .settings
                .keys()
                .all(|name| SETTINGS.contains(&name.as_str()))
    }
}

impl Configuration {
    /// A setting of the whole server.
    pub(super) fn text(&self, name: &str) -> &str {
        let default = || DEFAULTS.iter().find(|(known, _)| *known == name);
        let given = self.global.get(name).and_then(Value::as_str);
        given
            .or_else(|| default().map(|(_, value)| *value))
            .unwrap_or_default()
    }

    /// A setting of the whole server that is on or off.
    pub(super) fn is_on(&self, name: &str) -> bool {
        let given = self.global.get(name).and_then(flag);
        given.unwrap_or_else(|| flag(&self.text(name).into()) == Some(true))
    }

    /// The port of an address such as `:8554` or `127.0.0.1:8554`.
    pub(super) fn port(&self, name: &str) -> Option<u16> {
        let (_, port) = self.text(name).rsplit_once(':')?;
        port.parse().ok()
    }

    /// `no`, `optional` or `strict`; a YAML `no` is a boolean.
    pub(super) fn is_strict(&self, name: &str) -> bool {
        matches!(self.text(name), "strict" | "yes")
    }

    /// Whether a setting is a variable's and not the file's.
    pub(super) fn is_of_variable(&self, owner: Option<&str>, name: &str) -> bool {
        let mut set = self.of_variables.iter();
        set.any(|(place, setting)| place.as_deref() == owner && *setting == name)
    }

    /// How the file writes the words that a setting has for a value; unknown if it writes them in more than one way.
    pub(super) fn style(&self, name: &str) -> Style {
        let styles = self.styles.iter().filter(|(setting, _)| setting == name);
        let mut styles = styles.map(|(_, style)| *style);
        match styles.next() {
            Some(first) if styles.all(|style| style == first) => first,
            _ => Style::Unknown,
        }
    }

    /// What holds for an entry.
    pub(super) fn of_entry<'a>(&'a self, entry: &'a Entry, name: &str) -> Option<&'a Value> {
        entry.settings.get(name).or_else(|| self.defaults.get(name))
    }

    /// Every hook once, where it is written.
    pub(super) fn hooks(&self) -> Vec<Hook<'_>> {
        let mut hooks = Vec::new();
        let defaults = (Some(PATH_DEFAULTS), &self.defaults);
        let entries = self.entries.iter();
        let owners = entries.map(|entry| (Some(entry.name.as_str()), &entry.settings));
        for (owner, settings) in [defaults].into_iter().chain(owners) {
            hooks.extend(set(&PATH_HOOKS, owner, settings));
        }
        hooks.extend(set(&GLOBAL_HOOKS, None, &self.global));
        hooks
    }

    /// The entries for which a hook runs.
    pub(super) fn entries_with<'a>(&'a self, hook: &Hook<'_>) -> Vec<&'a Entry> {
        let line = |entry: &Entry| {
            self.of_entry(entry, hook.setting)
                .is_some_and(|value| value.as_str() == Some(hook.line))
        };
        let owned = |entry: &&Entry| hook.is_default() || hook.owner == Some(entry.name.as_str());
        let entries = self.entries.iter().filter(owned);
        entries.filter(|entry| line(entry)).collect()
    }
}

fn set<'a>(
    hooks: &[(&'static str, EventName)],
    owner: Option<&'a str>,
    settings: &'a Settings,
) -> Vec<Hook<'a>> {
    let hook = |(setting, event): &(&'static str, EventName)| {
        let line = settings.get(*setting)?.as_str()?;
        (!line.trim().is_empty()).then_some(Hook {
            owner,
            setting,
            event: *event,
            line,
        })
    };
    hooks.iter().filter_map(hook).collect()
}

/// On or off, as MediaMTX reads it: with the words of YAML 1.1.
pub(super) fn flag(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::String(text) => match text.to_lowercase().as_str() {
            "yes" | "on" | "true" => Some(true),
            "no" | "off" | "false" => Some(false),
            _ => None,
        },
        _ => None,
    }
}
