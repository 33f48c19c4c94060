//! Names of settings, and the kinds of their values: a server refuses a whole file for one that it does not know.

use mediamtx::version::tried_versions;
use serde_json::Value;

use super::configuration::{Configuration, Settings, flag};
use super::finding::Diagnosis;
use super::server::Server;
use super::settings::Level;

/// Old names, which newer servers still take, and the new ones.
const RENAMED: [(&str, &str); 3] = [
    ("runOnReady", "runOnAvailable"),
    ("runOnReadyRestart", "runOnAvailableRestart"),
    ("runOnNotReady", "runOnUnavailable"),
];

/// Settings that stand in one place: the server, `pathDefaults` or an entry.
struct Group<'a> {
    owner: Option<&'a str>,
    level: Level,
    settings: &'a Settings,
    /// What the running server has in that place.
    known: Option<&'a Settings>,
}

/// Compares with the settings of the running server, or with those of all versions.
pub(super) fn check(
    configuration: &Configuration,
    server: Option<&Server>,
    diagnosis: &mut Diagnosis,
) {
    let global = Group {
        owner: None,
        level: Level::Server,
        settings: &configuration.global,
        known: server.map(|server| &server.configuration.global),
    };
    let of_path = |owner, settings| Group {
        owner: Some(owner),
        level: Level::Path,
        settings,
        known: server.map(|server| &server.known),
    };
    let entries = configuration.entries.iter();
    let entries = entries.map(|entry| of_path(entry.name.as_str(), &entry.settings));
    let defaults = of_path("pathDefaults", &configuration.defaults);
    for group in [global, defaults].into_iter().chain(entries) {
        for (name, value) in group.settings {
            group.check_name(name, diagnosis);
            // A variable is text, whatever is made of it.
            if !configuration.is_of_variable(group.owner, name) {
                group.check_value(name, value, diagnosis);
            }
        }
    }
    if server.is_none() {
        diagnosis.unchecked(
            "whether this version of the server has each setting, and takes its value: no server was asked",
        );
    }
}

impl Group<'_> {
    fn place(&self, name: &str) -> String {
        match self.owner {
            Some(owner) => format!("{owner}: {name}"),
            None => name.to_owned(),
        }
    }

    /// What the server has there itself, be it under the setting's new name.
    fn own(&self, name: &str) -> Option<&Value> {
        let renamed = RENAMED.iter().find(|(old, _)| *old == name);
        let new = renamed.map_or(name, |(_, new)| *new);
        self.known?.get(name).or_else(|| self.known?.get(new))
    }

    fn has(&self, name: &str) -> bool {
        self.known.is_some_and(|known| known.contains_key(name))
    }

    fn check_name(&self, name: &str, diagnosis: &mut Diagnosis) {
        let place = self.place(name);
        let renamed = RENAMED.iter().find(|(old, _)| *old == name);
        if let Some((_, new)) = renamed.filter(|(_, new)| self.has(new)) {
            let both = if self.settings.contains_key(*new) {
                format!(" and silently beats the {new} beside it")
            } else {
                format!(" and silently beats a {new} that is set later")
            };
            diagnosis.warning(
                place,
                format!("it is an old name, works with a warning,{both}: write {new}"),
            );
            return;
        }
        let is_known = match self.known {
            Some(known) => known.contains_key(name) || self.level.is_deprecated(name),
            None => self.level.has(name),
        };
        let is_old = self.level.is_deprecated(name) && !self.has(name) && renamed.is_none();
        if is_old {
            diagnosis.warning(
                place,
                "it is an old name, which servers take with a warning in their log: see their mediamtx.yml for the new one",
            );
            return;
        }
        // Where paths stand, which are looked at one by one.
        let is_group = self.level == Level::Server && matches!(name, "paths" | "pathDefaults");
        if !is_known && !is_group {
            diagnosis.error(place, self.unknown(name));
        }
    }

    fn unknown(&self, name: &str) -> String {
        const REFUSED: &str = "and refuses the whole file";
        let old_of = RENAMED.iter().find(|(_, new)| *new == name);
        if let Some((old, _)) = old_of.filter(|(old, _)| self.has(old)) {
            return format!(
                "this server does not know the name, which came with v1.19.3, {REFUSED}: write {old}"
            );
        }
        let elsewhere = match self.level {
            Level::Server if Level::Path.has(name) => Some("under pathDefaults or a path"),
            Level::Path if Level::Server.has(name) => Some("at the top level, not under a path"),
            _ => None,
        };
        let way_out = match (elsewhere, self.level.closest(name, self.known)) {
            (Some(elsewhere), _) => format!("write it {elsewhere}"),
            (None, Some(meant)) => format!("write {meant}"),
            (None, None) => "see its mediamtx.yml for the name".to_owned(),
        };
        match self.known {
            Some(_) if self.level.has(name) => format!(
                "this server has no such setting, though other versions do, {REFUSED}: {way_out}"
            ),
            Some(_) => format!("this server knows no such setting {REFUSED}: {way_out}"),
            None => {
                let newest = tried_versions()
                    .last()
                    .map_or_else(String::new, ToString::to_string);
                format!("MediaMTX has no such setting (up to {newest}) {REFUSED}: {way_out}")
            }
        }
    }

    /// By what the server has there itself.
    fn check_value(&self, name: &str, value: &Value, diagnosis: &mut Diagnosis) {
        const A_TEXT: &str = "a text: without quotes, yes, no, on, off, true and false are none";
        let wanted = match self.own(name) {
            Some(Value::Bool(_)) if flag(value).is_none() => "yes or no",
            Some(Value::Number(_)) if !value.is_number() => "a number",
            Some(Value::Array(_)) if !value.is_array() => "a list, such as [a, b]",
            Some(Value::String(_)) if value.is_array() || value.is_object() => "a single text",
            Some(Value::String(_)) if value.is_number() => "a text: put quotes around it",
            Some(Value::String(_)) if value.is_boolean() => A_TEXT,
            // Whether a word is in quotes can't be seen here, and some settings have such a word for a value.
            Some(own @ Value::String(_)) if flag(value).is_some() && flag(own).is_none() => A_TEXT,
            _ => return,
        };
        // Set to nothing, a setting is as good as not there.
        if !value.is_null() {
            let text = format!(
                "the server refuses the whole file for its value, which has to be {wanted}"
            );
            diagnosis.error(self.place(name), text);
        }
    }
}
