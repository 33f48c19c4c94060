//! Names of settings, and the kinds of their values: a server refuses a whole file for one that it does not know.

use mediamtx::version::{Version, tried_versions};
use serde_json::Value;

use super::configuration::{Configuration, Settings, Style};
use super::finding::Diagnosis;
use super::server::Server;
use super::settings::Level;

/// Old names, which newer servers still take, and the new ones.
const RENAMED: [(&str, &str); 3] = [
    ("runOnReady", "runOnAvailable"),
    ("runOnReadyRestart", "runOnAvailableRestart"),
    ("runOnNotReady", "runOnUnavailable"),
];

/// The first version that is known to refuse a list without a value (its `internal/conf/jsonwrapper`).
const NO_EMPTY_LISTS: Version = Version::release(1, 19, 2);

/// Settings that stand in one place: the server, `pathDefaults` or an entry.
struct Group<'a> {
    owner: Option<&'a str>,
    level: Level,
    settings: &'a Settings,
    /// What the running server has in that place.
    known: Option<&'a Settings>,
    /// Whether that server takes a list without a value for none.
    takes_empty_lists: bool,
}

/// Compares with the settings of the running server, or with those of all versions.
pub(super) fn check(
    configuration: &Configuration,
    server: Option<&Server>,
    diagnosis: &mut Diagnosis,
) {
    let version = server.and_then(|server| server.version.as_deref()?.parse::<Version>().ok());
    let takes_empty_lists = version.is_none_or(|version| version < NO_EMPTY_LISTS);
    let global = Group {
        owner: None,
        level: Level::Server,
        settings: &configuration.global,
        known: server.map(|server| &server.configuration.global),
        takes_empty_lists,
    };
    let of_path = |owner, settings| Group {
        owner: Some(owner),
        level: Level::Path,
        settings,
        known: server.map(|server| &server.known),
        takes_empty_lists,
    };
    let entries = configuration.entries.iter();
    let entries = entries.map(|entry| of_path(entry.name.as_str(), &entry.settings));
    let defaults = of_path("pathDefaults", &configuration.defaults);
    for group in [global, defaults].into_iter().chain(entries) {
        for (name, value) in group.settings {
            group.check_name(name, diagnosis);
            // A variable is text, whatever is made of it.
            if !configuration.is_of_variable(group.owner, name) {
                let style = configuration.style(name);
                group.check_value(name, value, style, diagnosis);
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
    fn check_value(&self, name: &str, value: &Value, style: Style, diagnosis: &mut Diagnosis) {
        let Some(own) = self.own(name) else {
            return;
        };
        if value.is_null() && self.takes_empty_lists {
            return;
        }
        match judge(own, value, style) {
            Kind::Right => {}
            Kind::Wrong(wanted) => {
                let text = format!(
                    "the server refuses the whole file for its value, which has to be {wanted}"
                );
                diagnosis.error(self.place(name), text);
            }
            Kind::Unknown => diagnosis.unchecked(format!(
                "{}: its value: whether it has quotes around it can't be seen here",
                self.place(name)
            )),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Right,
    /// What it has to be.
    Wrong(&'static str),
    Unknown,
}

/// Compares a value with the one that the server has (its `internal/conf/yamlwrapper`, and `jsonwrapper`).
fn judge(own: &Value, value: &Value, style: Style) -> Kind {
    const A_FLAG: &str = "yes or no";
    const A_TEXT: &str = "a text: without quotes, yes, no, on, off, true and false are none";
    const A_LIST: &str = "a list, such as [a, b]";
    match (own, value) {
        (Value::Array(_), Value::Array(_)) => Kind::Right,
        (Value::Array(_), _) => Kind::Wrong(A_LIST),
        // Set to nothing, a setting is as good as not there.
        (_, Value::Null) => Kind::Right,
        (Value::Bool(_), Value::Bool(_)) => Kind::Right,
        (Value::Bool(_), Value::String(text)) if is_flag(text) => match style {
            Style::Quoted => Kind::Wrong("yes or no, without quotes"),
            Style::Plain | Style::Unknown => Kind::Right,
        },
        (Value::Bool(_), _) => Kind::Wrong(A_FLAG),
        (Value::Number(_), Value::Number(_)) => Kind::Right,
        (Value::Number(_), Value::String(text)) if is_number(text) => Kind::Right,
        (Value::Number(_), _) => Kind::Wrong("a number"),
        (Value::String(_), Value::Array(_) | Value::Object(_)) => Kind::Wrong("a single text"),
        // Servers take 1e3 for a text.
        (Value::String(_), Value::Number(number)) if !number.is_f64() => {
            Kind::Wrong("a text: put quotes around it")
        }
        (Value::String(_), Value::Number(number)) => match number.as_f64() {
            Some(number) if number.fract() != 0.0 => Kind::Wrong("a text: put quotes around it"),
            _ => Kind::Unknown,
        },
        (Value::String(_), Value::Bool(_)) => Kind::Wrong(A_TEXT),
        (Value::String(_), Value::String(text)) if is_flag(text) => match style {
            Style::Plain => Kind::Wrong(A_TEXT),
            Style::Quoted => Kind::Right,
            // As a server lists its own settings.
            Style::Unknown if own == value => Kind::Right,
            Style::Unknown => Kind::Unknown,
        },
        _ => Kind::Right,
    }
}

/// The words of YAML 1.1 that servers take for on or off, if they have no quotes around them.
pub(super) fn is_flag(word: &str) -> bool {
    let is_lower = |word: &str| matches!(word, "yes" | "no" | "on" | "off" | "true" | "false");
    let lower = word.to_lowercase();
    let capitalized = |word: &str| word[..1].to_uppercase() + &word[1..];
    is_lower(&lower)
        && (word == lower || word == lower.to_uppercase() || word == capitalized(&lower))
}

/// Numbers of YAML 1.1, which serde_yaml takes for texts: `1_024`, `01000`, `1_0.5`.
fn is_number(text: &str) -> bool {
    let digits = text.trim_start_matches(['+', '-']);
    digits.starts_with(|first: char| first.is_ascii_digit())
        && digits
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b"_.".contains(&byte))
        && digits.matches('.').count() <= 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_judged_as_the_server_reads_them() {
        use Style::{Plain, Quoted, Unknown};
        for (own, value, style) in [
            (json!(true), json!("yes"), Plain),
            (json!(true), json!(true), Unknown),
            (json!(""), json!("yes"), Quoted),
            (json!(""), json!("tRue"), Plain),
            (json!("no"), json!("no"), Quoted),
            (json!(512), json!("1_024"), Plain),
            (json!(512), json!("01000"), Plain),
            (json!(0.0), json!("1_0.5"), Plain),
            (json!(""), json!(null), Plain),
            (json!([]), json!(["a"]), Plain),
            (json!("no"), json!("no"), Unknown),
        ] {
            assert_eq!(judge(&own, &value, style), Kind::Right, "{own} {value}");
        }
        for (own, value, style) in [
            (json!("no"), json!("no"), Plain),
            (json!("no"), json!(true), Unknown),
            (json!(true), json!("no"), Quoted),
            (json!(true), json!("nO"), Plain),
            (json!([]), json!(null), Plain),
            (json!([]), json!("a"), Plain),
            (json!(512), json!("many"), Plain),
            (json!(512), json!("0_x"), Plain),
            (json!(""), json!(5), Plain),
            (json!(""), json!(1.5), Plain),
        ] {
            assert!(
                matches!(judge(&own, &value, style), Kind::Wrong(_)),
                "{own} {value}"
            );
        }
        assert_eq!(judge(&json!(""), &json!(1e3), Plain), Kind::Unknown);
        assert_eq!(judge(&json!(""), &json!("no"), Unknown), Kind::Unknown);
    }
}
